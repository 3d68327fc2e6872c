// Package policy judges objects by the user's own rules, written as
// ValidatingAdmissionPolicies: it foresees what a cluster with these policies
// would say to the creation of every object. The language, its functions, cost
// limits and evaluation are the API server's own; what is written here is how a
// policy comes to an object: matching, bindings, parameters, failure policy. The
// pods that a controller would create are judged as well, in the object that
// holds their template.
//
// It opens no file and asks no cluster. What only a server knows (who asks, what
// webhooks changed, the authorizer, other API versions of an object) is not
// guessed: a judgement that needs it is told as one that was not made.
package policy

import (
	"errors"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// A File is the text of a file of policies, bindings and parameters.
type File struct {
	Name string
	Data []byte
}

// Annotations of a policy that say what is reported of it.
const (
	// recommendationAnnotation names the row of the ledger that it counts for.
	recommendationAnnotation = "gabion.dev/recommendation"
	// severityAnnotation is the severity of what it denies; medium without one.
	severityAnnotation = "gabion.dev/severity"
	// remedyAnnotation is what to do, in a line.
	remedyAnnotation = "gabion.dev/remedy"
)

// A Set is the policies to judge by, with their bindings and parameters.
type Set struct {
	policies []*policy
	params   []*param
	crds     []customKind
	sources  []evidence.Source // one for each file
}

// A policy is one that compiled.
type policy struct {
	*admissionregistrationv1.ValidatingAdmissionPolicy
	match    criteria
	programs programs
	bindings []*binding
	// unbound is set when no binding was given: it is judged as if one denied
	// everywhere.
	unbound bool

	recommendation string
	severity       guide.Severity // of what is denied
	remedy         string

	file int // index in Set.sources
	line int
}

type binding struct {
	*admissionregistrationv1.ValidatingAdmissionPolicyBinding
	match    criteria
	severity guide.Severity
	reason   string // for the severity, "" for that of the policy
}

// A located error is one with the place it stands.
type located struct {
	file   string
	line   int
	reason string
}

func (e located) Error() string {
	if e.line == 0 {
		return fmt.Sprintf("%s: %s", e.file, e.reason)
	}
	return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.reason)
}

// mostErrors bounds how many faults of the files are told at once.
const mostErrors = 20

// Load reads policies, bindings and parameters. It is strict: a field that the
// API does not have, an expression that does not compile or an annotation that
// makes no sense is an error, located as file:line. All errors are joined.
func Load(files []File) (*Set, error) {
	l := &loader{set: &Set{}}
	for _, f := range files {
		l.read(f)
	}
	if len(l.errs) == 0 && len(l.set.policies) == 0 {
		return nil, errors.New("no ValidatingAdmissionPolicy among the files of policies")
	}
	l.bind()
	if len(l.errs) > mostErrors {
		more := len(l.errs) - mostErrors
		l.errs = append(l.errs[:mostErrors], fmt.Errorf("and %d more errors", more))
	}
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	return l.set, nil
}

// Names are the names of the policies, which are the rules of their findings.
func (s *Set) Names() []string {
	var names []string
	for _, p := range s.policies {
		names = append(names, p.Name)
	}
	return names
}

// rows returns a row of the report for each file, to be filled with warnings: all
// of them say what could not be judged.
func (s *Set) rows() []*evidence.Source {
	var rows []*evidence.Source
	for _, src := range s.sources {
		src.Skipped, src.Errors = []evidence.Issue{}, []evidence.Issue{}
		src.Warnings = slices.Clone(src.Warnings)
		rows = append(rows, &src)
	}
	return rows
}
