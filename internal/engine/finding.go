package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// findings gathers the findings of one run. There may be many times more than
// there are objects, and most of their texts are the same: these are kept once.
type findings struct {
	// chunks hold them until they are sorted: a list that grows by copying would
	// be, with its copy, the largest thing in memory.
	chunks [][]report.Finding
	texts  map[string]string
	// scratch is for texts that are looked up in texts.
	scratch []byte
	rows    map[string]int // place of a recommendation in the ledger
	rank    map[string]guide.Severity
}

func newFindings() *findings {
	f := &findings{texts: map[string]string{}, rows: map[string]int{}, rank: map[string]guide.Severity{}}
	for i, rec := range guide.All() {
		f.rows[rec.ID], f.rank[rec.ID] = i+1, rec.Severity
	}
	return f
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

// add makes a finding of a problem.
func (fs *findings) add(rule, recommendation string, severity guide.Severity, remedy string, ref *evidence.Ref, p *check.Problem) *report.Finding {
	at := ref.Position(p.Path)
	f := report.Finding{
		ID:             Fingerprint(rule, ref, p.Container, p.Path),
		Rule:           rule,
		Recommendation: recommendation,
		Severity:       cmp.Or(p.Severity, severity),
		SeverityReason: fs.once(p.SeverityReason),
		Message:        fs.once(p.Message),
		Object:         fs.object(ref, p.Container),
		Path:           fs.path(p.Path),
		Value:          fs.once(p.Value),
		Location:       report.Location{File: at.File, Line: at.Line, Column: at.Column, ValuesKey: at.ValuesKey},
		Remediation:    report.Remediation{Summary: fs.once(cmp.Or(p.Remedy, remedy)), Automatic: p.Fix != nil},
		Sensitive:      p.Sensitive,
	}
	if row, ok := fs.rank[recommendation]; ok && f.Severity != row && f.SeverityReason == "" {
		f.SeverityReason = fs.once(fmt.Sprintf("rule %s ranks %s within %s (%s)", rule, f.Severity, recommendation, row))
	}
	last := len(fs.chunks) - 1
	if last < 0 || len(fs.chunks[last]) == chunkSize {
		fs.chunks = append(fs.chunks, make([]report.Finding, 0, chunkSize))
		last++
	}
	fs.chunks[last] = append(fs.chunks[last], f)
	return &fs.chunks[last][len(fs.chunks[last])-1]
}

// object names what a finding is about.
func (fs *findings) object(ref *evidence.Ref, container string) report.Object {
	o := report.Object{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name, Container: container}
	if ref.Source != nil && ref.Source.Cluster != nil {
		o.Cluster = ref.Source.Cluster.Name
		o.Manager = fs.once(ref.Manager())
	}
	return o
}

// chunkSize is how many findings are kept together.
const chunkSize = 1024

// A rank is where a finding stands among all, as far as numbers tell.
type rank struct {
	severity guide.Severity
	row      int
	number   int // in the order of being found
}

func (fs *findings) at(r rank) *report.Finding {
	return &fs.chunks[r.number/chunkSize][r.number%chunkSize]
}

// sorted puts the worst first, then in the order of the ledger, then by object
// and place.
func (fs *findings) sorted() []report.Finding {
	order := make([]rank, 0, len(fs.chunks)*chunkSize)
	for _, chunk := range fs.chunks {
		for i := range chunk {
			order = append(order, rank{chunk[i].Severity, fs.rows[chunk[i].Recommendation], len(order)})
		}
	}
	slices.SortStableFunc(order, func(x, y rank) int {
		if c := cmp.Or(cmp.Compare(y.severity, x.severity), cmp.Compare(x.row, y.row)); c != 0 {
			return c
		}
		a, b := fs.at(x), fs.at(y)
		return cmp.Or(
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Object.Namespace, b.Object.Namespace),
			cmp.Compare(a.Object.Kind, b.Object.Kind),
			cmp.Compare(a.Object.Name, b.Object.Name),
			cmp.Compare(a.Location.File, b.Location.File),
			cmp.Compare(a.Location.Line, b.Location.Line),
			cmp.Compare(a.Path, b.Path),
		)
	})
	list := make([]report.Finding, len(order))
	for i, from := range order {
		list[i] = *fs.at(from)
	}
	fs.chunks = nil
	return list
}

// Fingerprint identifies a fault of an object. It depends on neither the line,
// the file, the source nor the API version.
func Fingerprint(rule string, ref *evidence.Ref, container string, at evidence.Path) string {
	group := ref.Group()
	if renamed, ok := renamedGroups[groupKind{group, ref.Kind}]; ok {
		group = renamed
	}
	text := make([]byte, 0, 256)
	for _, part := range [...]string{rule, group, ref.Kind, ref.Namespace, ref.Name, container} {
		text = append(append(text, part...), 0)
	}
	sum := sha256.Sum256(append(at.AppendKey(text), 0))
	return string(hex.AppendEncode(make([]byte, 0, 32), sum[:16]))
}

type groupKind struct{ group, kind string }

// renamedGroups are kinds that the API moved to another group: the same object.
var renamedGroups = map[groupKind]string{
	{"extensions", "Deployment"}:        "apps",
	{"extensions", "ReplicaSet"}:        "apps",
	{"extensions", "DaemonSet"}:         "apps",
	{"extensions", "Ingress"}:           "networking.k8s.io",
	{"extensions", "NetworkPolicy"}:     "networking.k8s.io",
	{"extensions", "PodSecurityPolicy"}: "policy",
}
