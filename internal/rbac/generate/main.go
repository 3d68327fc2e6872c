// Command generate prints the table of the roles and bindings that the API server
// makes by itself (internal/rbac/builtin.txt), from what Kubernetes' own tests
// expect them to be:
//
//	go run ./internal/rbac/generate 1.36=DIR 1.36=DIR2 1.37=DIR3 >internal/rbac/builtin.txt
//
// A DIR is plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata of the module
// k8s.io/kubernetes of a release of that minor, or a folder with files of the same
// form. What stands only in files named *-featuregates.yaml is made when a feature
// gate is on. Kubernetes has such a file for ClusterRoles since 1.33; those for the
// other kinds and releases are what the functions of bootstrappolicy return with
// AllAlpha and AllBeta on, written in the same form.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	t := table{minors: map[int]bool{}, objects: map[string]*object{}}
	for _, arg := range args {
		version, dir, ok := strings.Cut(arg, "=")
		minor, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
		if !ok || err != nil {
			return fmt.Errorf("argument %q: want 1.MINOR=DIR", arg)
		}
		if err := t.readDir(minor, dir); err != nil {
			return err
		}
	}
	if len(t.objects) == 0 {
		return errors.New("want folders: 1.MINOR=DIR…")
	}
	return t.write(out)
}

// A table is what was read: by object its lines, by line the releases that have it.
type table struct {
	minors  map[int]bool
	objects map[string]*object
}

type object struct {
	kind, namespace, name, tail string
	seen                        presence
	lines                       map[string]presence
}

// presence tells for a minor whether it has something always (true) or only behind
// a feature gate (false).
type presence map[int]bool

func (p presence) add(minor int, gated bool) { p[minor] = p[minor] || !gated }

// item is any of the four kinds.
type item struct {
	Kind            string                  `json:"kind"`
	Metadata        metav1.ObjectMeta       `json:"metadata"`
	Rules           []rbacv1.PolicyRule     `json:"rules"`
	AggregationRule *rbacv1.AggregationRule `json:"aggregationRule"`
	RoleRef         rbacv1.RoleRef          `json:"roleRef"`
	Subjects        []rbacv1.Subject        `json:"subjects"`
}

func (t *table) readDir(minor int, dir string) error {
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if len(files) == 0 {
		return fmt.Errorf("folder %q holds no YAML", dir)
	}
	t.minors[minor] = true
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var list struct {
			Items []item `json:"items"`
		}
		if err := yaml.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("read %q: %w", file, err)
		}
		for _, i := range list.Items {
			if err := t.add(minor, strings.HasSuffix(file, "-featuregates.yaml"), i); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

func (t *table) add(minor int, gated bool, i item) error {
	tail, err := i.tail()
	if err != nil {
		return err
	}
	key := i.Kind + " " + i.Metadata.Namespace + "/" + i.Metadata.Name
	o := t.objects[key]
	if o == nil {
		o = &object{kind: i.Kind, namespace: i.Metadata.Namespace, name: i.Metadata.Name, tail: tail, seen: presence{}, lines: map[string]presence{}}
		t.objects[key] = o
	}
	if o.tail != tail {
		return fmt.Errorf("%s: has %q in one release and %q in another: the table has no place for both", key, o.tail, tail)
	}
	o.seen.add(minor, gated)
	for _, line := range i.lines() {
		if o.lines[line] == nil {
			o.lines[line] = presence{}
		}
		o.lines[line].add(minor, gated)
	}
	return nil
}

// aggregation begins the labels by which built-in roles collect rules.
const aggregation = "rbac.authorization.k8s.io/"

// tail is what stands behind an object's name: aggregation, or the role bound.
func (i *item) tail() (string, error) {
	if i.RoleRef.Name != "" {
		return " " + i.RoleRef.Kind + "/" + i.RoleRef.Name, nil
	}
	tail := ""
	if i.AggregationRule != nil {
		for _, s := range i.AggregationRule.ClusterRoleSelectors {
			for label, value := range s.MatchLabels {
				short, ok := strings.CutPrefix(label, aggregation)
				if !ok || value != "true" || len(s.MatchLabels) != 1 || len(s.MatchExpressions) > 0 {
					return "", fmt.Errorf("%s: the table has no place for the selector %v", i.Metadata.Name, s)
				}
				tail += " from=" + short
			}
		}
	}
	for _, label := range slices.Sorted(maps.Keys(i.Metadata.Labels)) {
		if short, ok := strings.CutPrefix(label, aggregation); ok {
			tail += " into=" + short
		}
	}
	return tail, nil
}

func (i *item) lines() (lines []string) {
	for _, r := range i.Rules {
		lines = append(lines, ruleLine(r))
	}
	for _, s := range i.Subjects {
		name := s.Name
		if s.Namespace != "" {
			name = s.Namespace + "/" + name
		}
		lines = append(lines, s.Kind+" "+name)
	}
	return lines
}

func ruleLine(r rbacv1.PolicyRule) string {
	if len(r.NonResourceURLs) > 0 {
		return join(r.Verbs) + " url " + join(r.NonResourceURLs)
	}
	groups := slices.Clone(r.APIGroups)
	for i, g := range groups {
		groups[i] = cmp.Or(g, "core")
	}
	line := join(r.Verbs) + " " + join(groups) + " " + join(r.Resources)
	if len(r.ResourceNames) > 0 {
		line += " " + join(r.ResourceNames)
	}
	return line
}

func join(list []string) string { return strings.Join(slices.Sorted(slices.Values(list)), ",") }

const head = `# The roles and bindings that the API server makes by itself. Made by generate.
#
#   minors MINOR...                                the releases of Kubernetes 1 that are known
#   ClusterRole RELEASES NAME [from=LABEL] [into=LABEL]
#   Role RELEASES NAMESPACE/NAME
#    RELEASES VERBS GROUPS RESOURCES [NAMES]       lists are separated by commas
#    RELEASES VERBS url PATHS
#   ClusterRoleBinding RELEASES NAME ROLE-KIND/ROLE
#   RoleBinding RELEASES NAMESPACE/NAME ROLE-KIND/ROLE
#    RELEASES SUBJECT-KIND [NAMESPACE/]NAME
#
# RELEASES are ranges of minors, 29-33 or 36- (to the newest), or * for all; a ? marks
# what needs a feature gate. "core" is the group without a name. from= and into= are the
# aggregation labels, without their prefix rbac.authorization.k8s.io/.
`

func (t *table) write(out io.Writer) error {
	minors := slices.Sorted(maps.Keys(t.minors))
	var b strings.Builder
	b.WriteString(head + "\nminors")
	for _, m := range minors {
		fmt.Fprintf(&b, " %d", m)
	}
	b.WriteString("\n")
	for _, key := range slices.Sorted(maps.Keys(t.objects)) {
		o := t.objects[key]
		name := o.name
		if o.namespace != "" {
			name = o.namespace + "/" + name
		}
		fmt.Fprintf(&b, "\n%s %s %s%s\n", o.kind, releases(o.seen, minors), name, o.tail)
		for _, line := range slices.Sorted(maps.Keys(o.lines)) {
			fmt.Fprintf(&b, " %s %s\n", releases(o.lines[line], minors), line)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// releases writes the minors in which something is, as ranges of those known.
func releases(p presence, minors []int) string {
	var ranges []string
	for i := 0; i < len(minors); {
		always, ok := p[minors[i]]
		if !ok {
			i++
			continue
		}
		last := i
		for last+1 < len(minors) {
			if next, ok := p[minors[last+1]]; !ok || next != always {
				break
			}
			last++
		}
		ranges = append(ranges, rangeOf(minors, i, last, !always))
		i = last + 1
	}
	return strings.Join(ranges, ",")
}

func rangeOf(minors []int, first, last int, gated bool) string {
	text := strconv.Itoa(minors[first])
	switch {
	case first == 0 && last == len(minors)-1:
		text = "*"
	case last == len(minors)-1:
		text += "-"
	case last > first:
		text += "-" + strconv.Itoa(minors[last])
	}
	if gated {
		text += "?"
	}
	return text
}
