package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// A maker makes findings of problems. It is for use by several checks at a time.
type maker struct {
	rank       map[string]guide.Severity
	severities *severityContext
	managers   []string       // of live objects, by Ref.ID
	roots      map[int]string // of hosts, by Ref.ID
	selector   func(*evidence.Ref) bool
	// most is how many findings of a check are made in full; 0 for all.
	most int
}

func newMaker(scan *check.Scan, selector func(*evidence.Ref) bool, most int) *maker {
	m := &maker{
		rank:       map[string]guide.Severity{},
		severities: newSeverityContext(scan), managers: make([]string, len(scan.Objects)), selector: selector, most: most,
		roots: map[int]string{},
	}
	for _, h := range scan.Hosts {
		m.roots[h.ID] = h.Root
	}
	for _, rec := range guide.All() {
		m.rank[rec.ID] = rec.Severity
	}
	for i, ref := range scan.Objects {
		if isLive(ref) {
			m.managers[i] = ref.Manager()
		}
	}
	return m
}

func isLive(ref *evidence.Ref) bool { return ref.Source != nil && ref.Source.Cluster != nil }

// findings are those of one check, in the order in which they were found. There may
// be more than there are objects, and most of their texts are the same: these are
// kept once.
type findings struct {
	*maker
	list  []report.Finding
	refs  []*evidence.Ref // the object of each
	left  leftOut
	texts map[string]string
	// scratch is for texts that are looked up in texts.
	scratch []byte
}

// leftOut are findings that are only counted.
type leftOut struct {
	n          int
	objects    check.IDs
	severities report.SeverityCounts
}

func (l *leftOut) add(ref *evidence.Ref, s guide.Severity) {
	l.n++
	l.objects.Add(ref.ID)
	l.severities.Add(s)
}

// findings makes findings of what a check found.
func (m *maker) findings(c *check.Check, failures []check.Failure) findings {
	if m.most > 0 {
		return m.first(c, failures)
	}
	fs := m.room(len(failures))
	for i := range failures {
		fs.add(c.ID, c.Recommendation, c.Severity, c.Remedy, failures[i].Ref, &failures[i].Problem)
	}
	fs.texts, fs.scratch = nil, nil
	return fs
}

// first makes those findings of a check that stand first in the order of a report,
// in this order, and leaves out the others.
func (m *maker) first(c *check.Check, failures []check.Failure) findings {
	fs := m.room(m.most + 1)
	for i := range failures {
		ref, p := failures[i].Ref, &failures[i].Problem
		if !fs.selected(ref) {
			continue
		}
		n := len(fs.list)
		if n == m.most {
			severity := fs.severities.of(c.ID, p.Value, cmp.Or(p.Severity, c.Severity), ref)
			last := &fs.list[n-1]
			if cmp.Or(cmp.Compare(last.Severity, severity), compareNames(fs.object(ref, ""), last.Object)) > 0 {
				fs.left.add(ref, severity)
				continue
			}
		}
		fs.add(c.ID, c.Recommendation, c.Severity, c.Remedy, ref, p)
		for ; n > 0 && before(&fs.list[n], &fs.list[n-1]); n-- {
			fs.list[n], fs.list[n-1] = fs.list[n-1], fs.list[n]
			fs.refs[n], fs.refs[n-1] = fs.refs[n-1], fs.refs[n]
		}
		if n = m.most; len(fs.list) > n {
			fs.left.add(fs.refs[n], fs.list[n].Severity)
			fs.list, fs.refs = fs.list[:n], fs.refs[:n]
		}
	}
	return fs
}

// before reports whether a finding of a check stands before another one of it.
func before(a, b *report.Finding) bool {
	return cmp.Or(cmp.Compare(b.Severity, a.Severity), byPlace(a, b)) < 0
}

// extra makes findings of what rules that the user brought found.
func (m *maker) extra(list []Extra) findings {
	fs := m.room(len(list))
	for i := range list {
		e := &list[i]
		fs.add(e.Rule, e.Recommendation, e.Severity, e.Problem.Remedy, e.Ref, &e.Problem)
	}
	return fs
}

// room is a list without findings, with room for n.
func (m *maker) room(n int) findings {
	return findings{maker: m, list: make([]report.Finding, 0, n), refs: make([]*evidence.Ref, 0, n), texts: map[string]string{}}
}

// once returns s, or an equal string that is kept already.
func (fs *findings) once(s string) string {
	if s == "" {
		return ""
	}
	if kept, ok := fs.texts[s]; ok {
		return kept
	}
	fs.texts[s] = s
	return s
}

// path returns the text of a path, kept once.
func (fs *findings) path(p evidence.Path) string {
	fs.scratch = p.Append(fs.scratch[:0])
	if kept, ok := fs.texts[string(fs.scratch)]; ok {
		return kept
	}
	return fs.once(string(fs.scratch))
}

// add makes a finding of a problem, if its object is one that is reported about.
func (fs *findings) add(rule, recommendation string, severity guide.Severity, remedy string, ref *evidence.Ref, p *check.Problem) {
	if !fs.selected(ref) {
		return
	}
	from := cmp.Or(p.Severity, severity)
	fs.list = append(fs.list, report.Finding{
		ID:             Fingerprint(rule, ref, p.Container, p.Path),
		Rule:           rule,
		Recommendation: recommendation,
		Severity:       fs.severities.of(rule, p.Value, from, ref),
		SeverityReason: fs.once(p.SeverityReason),
		Message:        fs.once(p.Message),
		Object:         fs.object(ref, p.Container),
		Path:           fs.path(p.Path),
		Value:          fs.once(p.Value),
		Remediation:    report.Remediation{Summary: cmp.Or(fs.once(p.Remedy), remedy), Automatic: p.Fix != nil},
		Sensitive:      p.Sensitive,
	})
	fs.refs = append(fs.refs, ref)
	f := &fs.list[len(fs.list)-1]
	switch {
	case p.At != nil:
		f.Location = report.Location{File: fs.onDisk(ref, p.At.File), Line: p.At.Line, Column: p.At.Column}
	case ref.Outline != nil:
		at := ref.Position(p.Path)
		f.Location = report.Location{File: at.File, Line: at.Line, Column: at.Column, ValuesKey: at.ValuesKey}
	}
	if row, ok := fs.rank[recommendation]; ok && from != row && f.SeverityReason == "" {
		f.SeverityReason = fs.once(fmt.Sprintf("rule %s ranks %s within %s (%s)", rule, from, recommendation, row))
	}
	if f.Severity != from {
		f.SeverityReason = fs.severities.why(f, from, ref)
	}
}

// selected reports whether an object is one that is reported about.
func (m *maker) selected(ref *evidence.Ref) bool { return m.selector == nil || m.selector(ref) }

// onDisk is where a file of a node was read: what a person would open.
func (m *maker) onDisk(ref *evidence.Ref, file string) string {
	root := m.roots[ref.ID]
	if root == "" || root == "/" || file == "" {
		return file
	}
	return path.Join(root, file)
}

// object names what a finding is about.
func (m *maker) object(ref *evidence.Ref, container string) report.Object {
	o := report.Object{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name, Container: container}
	if isLive(ref) {
		o.Cluster, o.Manager = ref.Source.Cluster.Name, m.managers[ref.ID]
	}
	return o
}

// A rank is where a finding stands among those of other ranks.
type rank struct {
	severity guide.Severity
	row      int // place of the recommendation in the ledger
	rule     string
}

// compare puts the worst first, then in the order of the ledger, then by rule.
func (r rank) compare(other rank) int {
	return cmp.Or(cmp.Compare(other.severity, r.severity), cmp.Compare(r.row, other.row), cmp.Compare(r.rule, other.rule))
}

// byPlace puts findings of one rank in order.
func byPlace(a, b *report.Finding) int {
	if c := compareNames(a.Object, b.Object); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.Location.File, b.Location.File),
		cmp.Compare(a.Location.Line, b.Location.Line),
		cmp.Compare(a.Path, b.Path),
	)
}

func compareNames(a, b report.Object) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Name, b.Name),
	)
}

// sorted puts the findings of all lists into one, by rank and place.
func sorted(ctx context.Context, lists [][]report.Finding) ([]report.Finding, error) {
	rows := map[string]int{}
	for i, rec := range guide.All() {
		rows[rec.ID] = i + 1
	}
	ranked := map[rank][]*report.Finding{}
	for _, list := range lists {
		for i := range list {
			f := &list[i]
			r := rank{f.Severity, rows[f.Recommendation], f.Rule}
			ranked[r] = append(ranked[r], f)
		}
	}
	ranks := slices.SortedFunc(maps.Keys(ranked), rank.compare)
	begin, n := make([]int, len(ranks)), 0
	for i, r := range ranks {
		begin[i] = n
		n += len(ranked[r])
	}
	all := make([]report.Finding, n)
	return all, abreast(ctx, len(ranks), func(_, i int) {
		list := ranked[ranks[i]]
		if !slices.IsSortedFunc(list, byPlace) {
			slices.SortStableFunc(list, byPlace)
		}
		for j, f := range list {
			all[begin[i]+j] = *f
		}
	})
}

// Fingerprint identifies a fault of an object. It depends on neither the line,
// the file, the source nor the API version.
func Fingerprint(rule string, ref *evidence.Ref, container string, at evidence.Path) string {
	group := ref.Group()
	if group == extensions {
		group = cmp.Or(moved[ref.Kind], group)
	}
	text := make([]byte, 0, 256)
	for _, part := range [...]string{rule, group, ref.Kind, ref.Namespace, ref.Name, container} {
		text = append(append(text, part...), 0)
	}
	sum := sha256.Sum256(append(at.AppendKey(text), 0))
	return string(hex.AppendEncode(make([]byte, 0, 32), sum[:16]))
}

// extensions is the group that kinds once began in, and moved where they went: they
// are the same objects.
const extensions = "extensions"

var moved = map[string]string{
	"Deployment":        "apps",
	"ReplicaSet":        "apps",
	"DaemonSet":         "apps",
	"Ingress":           "networking.k8s.io",
	"NetworkPolicy":     "networking.k8s.io",
	"PodSecurityPolicy": "policy",
}
