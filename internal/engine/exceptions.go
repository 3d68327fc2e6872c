package engine

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// AnnotationPrefix begins the annotation that excepts an object from one rule:
// gabion.dev/except.<rule>: "reason".
const AnnotationPrefix = "gabion.dev/except."

// Exceptions are the findings that somebody has accepted.
type Exceptions struct {
	List []Exception
	// Annotations honours gabion.dev/except.<rule> in the objects themselves.
	Annotations bool
	// Now decides what has expired.
	Now time.Time
}

// An Exception accepts findings. Empty fields match everything; Namespace, Kind,
// Name and Container may hold globs (path.Match).
type Exception struct {
	Rule           string `yaml:"rule"`
	Recommendation string `yaml:"recommendation"`
	Namespace      string `yaml:"namespace"`
	Kind           string `yaml:"kind"`
	Name           string `yaml:"name"`
	Container      string `yaml:"container"`
	Reason         string `yaml:"reason"`
	Author         string `yaml:"author"`
	// Expires is the last day on which the exception is in force (YYYY-MM-DD).
	Expires string `yaml:"expires"`
	// Source is the file and line that the exception stands in.
	Source string `yaml:"-"`
}

// Validate says what is wrong with the exception itself.
func (e Exception) Validate() error {
	if e.Rule == "" && e.Recommendation == "" {
		return fmt.Errorf("an exception needs a rule or a recommendation")
	}
	if strings.TrimSpace(e.Reason) == "" {
		return fmt.Errorf("an exception needs a reason")
	}
	if _, ok := guide.Find(e.Recommendation); e.Recommendation != "" && !ok {
		return fmt.Errorf("recommendation %q is not in the ledger", e.Recommendation)
	}
	if e.Expires != "" {
		if _, err := time.Parse(time.DateOnly, e.Expires); err != nil {
			return fmt.Errorf("expires %q: want a date, such as 2027-06-30", e.Expires)
		}
	}
	for _, pattern := range []string{e.Namespace, e.Kind, e.Name, e.Container} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// Expired reports whether the exception is no longer in force at a time.
func (e Exception) Expired(now time.Time) bool {
	last, err := time.Parse(time.DateOnly, e.Expires)
	return e.Expires != "" && (err != nil || !now.Before(last.AddDate(0, 0, 1)))
}

func (e Exception) matches(f *report.Finding) bool {
	return (e.Rule == "" || e.Rule == f.Rule) &&
		(e.Recommendation == "" || strings.EqualFold(e.Recommendation, f.Recommendation)) &&
		glob(e.Namespace, f.Object.Namespace) && glob(e.Kind, f.Object.Kind) &&
		glob(e.Name, f.Object.Name) && glob(e.Container, f.Object.Container)
}

func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

// String says what the exception is meant for.
func (e Exception) String() string {
	var parts []string
	for _, p := range [][2]string{{"rule", e.Rule}, {"recommendation", e.Recommendation}, {"kind", e.Kind},
		{"namespace", e.Namespace}, {"name", e.Name}, {"container", e.Container}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// exceptionUse counts what each exception did in one run.
type exceptionUse struct {
	Exceptions
	used []int
	seen []report.ExceptionUse // annotations, in the order in which they were met
	at   map[string]int        // index into seen, by source and rule
}

func (e Exceptions) use() *exceptionUse {
	return &exceptionUse{Exceptions: e, used: make([]int, len(e.List)), at: map[string]int{}}
}

// mayMatch reports whether there are exceptions that may match something.
func (e Exceptions) mayMatch(snap *evidence.Snapshot) bool {
	if len(e.List) > 0 || !e.Annotations {
		return len(e.List) > 0
	}
	return slices.ContainsFunc(snap.Objects, func(ref *evidence.Ref) bool {
		for key := range ref.Annotations {
			if strings.HasPrefix(key, AnnotationPrefix) {
				return true
			}
		}
		return false
	})
}

// match returns the first exception in force for a finding, or nil.
func (u *exceptionUse) match(f *report.Finding, ref *evidence.Ref) *report.Exception {
	var found *report.Exception
	if u.Annotations {
		found = u.annotation(f, ref)
	}
	for i, e := range u.List {
		if !e.matches(f) {
			continue
		}
		u.used[i]++
		if found == nil && !e.Expired(u.Now) {
			found = &report.Exception{Reason: e.Reason, Author: e.Author, Expires: e.Expires, Source: e.Source}
		}
	}
	return found
}

func (u *exceptionUse) annotation(f *report.Finding, ref *evidence.Ref) *report.Exception {
	if len(ref.Annotations) == 0 {
		return nil
	}
	key := AnnotationPrefix + f.Rule
	reason, ok := ref.Annotations[key]
	if !ok {
		return nil
	}
	pos := ref.Position(evidence.NewPath("metadata", "annotations", key))
	source := fmt.Sprintf("%s:%d: annotation %s", pos.File, pos.Line, key)
	i, ok := u.at[source]
	if !ok {
		i = len(u.seen)
		u.at[source] = i
		u.seen = append(u.seen, report.ExceptionUse{Source: source, Matches: ref.String(), State: "in-force", Reason: reason})
	}
	if strings.TrimSpace(reason) == "" {
		u.seen[i].State = "without a reason"
		return nil
	}
	u.seen[i].Used++
	return &report.Exception{Reason: reason, Source: source}
}

// report tells what became of every exception. One that has expired no longer
// suppresses; one that matches nothing is said to be unused.
func (u *exceptionUse) report() []report.ExceptionUse {
	out := []report.ExceptionUse{}
	for i, e := range u.List {
		state := "in-force"
		switch {
		case e.Expired(u.Now):
			state = "expired"
		case u.used[i] == 0:
			state = "unused"
		}
		out = append(out, report.ExceptionUse{Source: e.Source, Matches: e.String(), State: state, Used: u.used[i],
			Reason: e.Reason, Author: e.Author, Expires: e.Expires})
	}
	return append(out, u.seen...)
}

// An Attestation is a dated statement by a person about a recommendation.
type Attestation struct {
	Recommendation string `yaml:"recommendation"`
	// Status is pass or fail.
	Status    string `yaml:"status"`
	Statement string `yaml:"statement"`
	By        string `yaml:"by"`
	// Date is when it was stated, Expires the last day it holds (YYYY-MM-DD).
	Date    string `yaml:"date"`
	Expires string `yaml:"expires"`
}

// Validate says what is wrong with the attestation itself.
func (a Attestation) Validate() error {
	if _, ok := guide.Find(a.Recommendation); !ok {
		return fmt.Errorf("recommendation %q is not in the ledger", a.Recommendation)
	}
	if a.Status != "pass" && a.Status != "fail" {
		return fmt.Errorf("status %q of the attestation for %s: want pass or fail", a.Status, a.Recommendation)
	}
	if a.By == "" || a.Statement == "" {
		return fmt.Errorf("the attestation for %s needs by and statement", a.Recommendation)
	}
	if _, err := time.Parse(time.DateOnly, a.Date); err != nil {
		return fmt.Errorf("date %q of the attestation for %s: want a date, such as 2026-06-30", a.Date, a.Recommendation)
	}
	if a.Expires != "" {
		if _, err := time.Parse(time.DateOnly, a.Expires); err != nil {
			return fmt.Errorf("expires %q of the attestation for %s: want a date", a.Expires, a.Recommendation)
		}
	}
	return nil
}
