// Package admissionpolicy writes the policies that refuse at admission what the Pod
// Security Standards cannot say: ValidatingAdmissionPolicies with their bindings, or the
// same expressions as Kyverno's ValidatingPolicies. Each stands for one rule of
// internal/checks, whose name, row and remedy it takes over; the check is the oracle that
// the expressions are tested against.
//
// It looks at no cluster and evaluates nothing: what a policy would say to objects that
// are there is the question of internal/policy.
package admissionpolicy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Options say what to write.
type Options struct {
	// Rules are the IDs of the rules to write policies for; none means all that can be.
	Rules []string
	// Registries are those that images may come from: a registry, or a registry and the
	// beginning of a path, as in the setting images.trusted.
	Registries []string
	// Exclude are namespaces that the policies leave alone, besides kube-system.
	Exclude []string
	// Deny makes the policies refuse; without it they warn and audit.
	Deny bool
	// Kyverno writes ValidatingPolicies of policies.kyverno.io.
	Kyverno bool
	// Version is the release of the cluster that the policies are for.
	Version evidence.Version
}

// A Result is what was written.
type Result struct {
	// Text is the document: comments, policies and bindings.
	Text string
	// Left is why there is no policy for some rule, in words to people.
	Left []string
}

// oldest is the minor release whose API server first has ValidatingAdmissionPolicies
// switched on (KEP-3488).
const oldest = 30

// Rules are the IDs of all rules that there is a policy for, in the order of the guide.
func Rules() (ids []string) {
	for _, r := range rules(evidence.Newest(), nil) {
		ids = append(ids, r.check.ID)
	}
	return slices.Compact(ids)
}

// Generate writes the policies. An error says which of the options makes no sense.
func Generate(o Options) (*Result, error) {
	if !o.Version.AtLeast(oldest) {
		return nil, fmt.Errorf("Kubernetes %s: ValidatingAdmissionPolicies are on from 1.%d on", o.Version, oldest)
	}
	trusted, err := prefixes(o.Registries)
	if err != nil {
		return nil, err
	}
	for _, name := range o.Rules {
		if !slices.Contains(Rules(), name) {
			return nil, fmt.Errorf("no policy for a rule %q: there is one for %s", name, strings.Join(Rules(), ", "))
		}
	}
	o.Exclude, err = excluded(o)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	var chosen []rule
	for _, r := range rules(o.Version, trusted) {
		switch {
		case len(o.Rules) > 0 && !slices.Contains(o.Rules, r.check.ID):
		case r.check == checks.TrustedRegistry && len(trusted) == 0 && len(o.Rules) > 0:
			return nil, fmt.Errorf("rule %s: which registries are trusted is not said", r.check.ID)
		case r.check == checks.TrustedRegistry && len(trusted) == 0:
			result.Left = append(result.Left, r.check.ID+" ("+r.check.Recommendation+"): which registries are trusted is not said")
		default:
			chosen = append(chosen, r)
		}
	}
	result.Text, err = write(o, chosen, result.Left)
	return result, err
}

// excluded are the namespaces that are left alone, kube-system first.
func excluded(o Options) ([]string, error) {
	names := []string{metav1.NamespaceSystem}
	if o.Kyverno {
		names = append(names, kyvernoNamespace)
	}
	for _, name := range o.Exclude {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			return nil, fmt.Errorf("namespace %q: %s", name, wrong[0])
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// prefixes brings the entries of a list of registries into the form that images are
// brought into: a path without a registry is one of Docker Hub.
func prefixes(entries []string) (list []string, err error) {
	for _, entry := range entries {
		name := strings.TrimSuffix(strings.TrimPrefix(entry, "https://"), "/")
		if name == "" || strings.ContainsFunc(name, strange) {
			return nil, fmt.Errorf("registry %q: want a registry, with its port where it has one, and the beginning of a path if need be: registry.example.com/team", entry)
		}
		first, rest, _ := strings.Cut(name, "/")
		switch {
		case first == "index.docker.io":
			name = strings.TrimSuffix("docker.io/"+rest, "/")
		case !strings.ContainsAny(first, ".:") && first != "localhost":
			name = "docker.io/" + name
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, nil
}

// strange reports characters that no name of an image has.
func strange(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-:/[]", r)
}
