// Package engine asks every check about one scan and answers every
// recommendation of the ledger. It turns problems into findings: fingerprint,
// place, severity in context, exceptions. It reads nothing and prints nothing.
package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// Options are what the user adds to the evidence.
type Options struct {
	Settings   check.Settings
	Exceptions Exceptions
	// Attestations are statements by people about rows that no machine can decide.
	Attestations []Attestation
	// Selector narrows what findings are reported about, never what is read; nil
	// means all.
	Selector func(*evidence.Ref) bool
	// Extra are findings of rules that the user brought: they stand in no row.
	Extra []Extra
	// Most is how many findings of one row are wanted, the first ones; 0 for all. The
	// others may be left out of the report, which counts them (Omitted).
	Most int
}

// An Extra is a problem found by a rule that is not one of the checks.
type Extra struct {
	Rule string
	// Recommendation is the row it counts for, "" for none.
	Recommendation string
	Severity       guide.Severity
	Ref            *evidence.Ref
	Problem        check.Problem
}

// row collects what the checks of one recommendation said.
type row struct {
	rules     int
	evaluated check.IDs
	failed    check.IDs
	open      []check.Unjudged // why the answer is not whole
	gaps      []check.Unjudged // what could not be read, likewise
	live      bool             // a rule asked the live cluster
	node      bool             // a rule asked the nodes
	beside    []check.Unjudged // why there is nothing to judge
	settled   bool             // a rule that answers the row alone has judged
	left      []check.Rest
	unasked   []check.Unjudged // questions of rules that this kind of evidence cannot answer
	findings  int
	excepted  int // of the findings
}

// Run judges a snapshot. The report has no times and no tool: the caller knows them.
func Run(ctx context.Context, snap *evidence.Snapshot, checks []*check.Check, o Options) (*report.Report, error) {
	snap = prepared(snap)
	scan := check.NewScan(snap, o.Settings)
	most := o.Most
	if o.Exceptions.mayMatch(snap) {
		most = 0 // each finding has to be looked at
	}
	m := newMaker(scan, o.Selector, most)
	rulings, err := judge(ctx, scan, checks, m)
	if err != nil {
		return nil, err
	}
	rows := map[string]*row{}
	for _, rec := range guide.All() {
		rows[rec.ID] = &row{}
	}
	rep := &report.Report{
		APIVersion: report.APIVersion, Kind: report.Kind,
		KubernetesVersion: o.Settings.Version.String(),
		Sources:           snap.Sources,
		Gaps:              slices.Concat([]evidence.Gap{}, snap.Gaps),
		Omitted:           map[string]int{},
	}
	var all []findings
	for i, c := range checks {
		rows[c.Recommendation].hear(c, &rulings[i], snap, o.Selector)
		all = append(all, rulings[i].findings)
		if left := &rulings[i].findings.left; left.n > 0 {
			rows[c.Recommendation].leave(left)
			rep.Omitted[c.Recommendation] += left.n
			rep.Summary.Findings.AddAll(left.severities)
		}
	}
	all = append(all, m.extra(o.Extra))
	exceptions := o.Exceptions.use()
	var lists [][]report.Finding // without what they were made from, which may go
	n := 0
	for _, fs := range all {
		lists = append(lists, fs.list)
		n += len(fs.list)
		for i, ref := range fs.refs {
			f := &fs.list[i]
			f.Exception = exceptions.match(f, ref)
			if rw := rows[f.Recommendation]; rw != nil {
				rw.count(f, ref)
			}
		}
	}
	for _, rec := range guide.All() {
		answer := rows[rec.ID].answer(rec, given(snap), o.Attestations, o.Exceptions.Now.Format(time.DateOnly))
		rep.Recommendations = append(rep.Recommendations, answer)
		rep.Summary.Add(answer.Status)
	}
	if n > manyFindings {
		debug.FreeOSMemory() // what was judged makes room for the list
	}
	if rep.Findings, err = sorted(ctx, lists); err != nil {
		return nil, err
	}
	for i := range rep.Findings {
		if rep.Findings[i].Exception == nil {
			rep.Summary.Findings.Add(rep.Findings[i].Severity)
		}
	}
	rep.Exceptions = exceptions.report()
	return rep, nil
}

// manyFindings are so many that it pays to give memory back before they are copied.
const manyFindings = 50_000

// A ruling is what a check said of a scan.
type ruling struct {
	asked     bool // the check asks of such a scan
	evaluated check.IDs
	unknown   []check.Unjudged
	beside    []check.Unjudged
	findings  findings
}

// judge asks the checks, several at a time. The rulings are in their order.
func judge(ctx context.Context, scan *check.Scan, checks []*check.Check, m *maker) ([]ruling, error) {
	rulings := make([]ruling, len(checks))
	failures := make([][]check.Failure, workers()) // of one check after the other
	return rulings, abreast(ctx, len(checks), func(worker, i int) {
		c := checks[i]
		if !c.Asks(scan.Snapshot) {
			return
		}
		if failures[worker] == nil {
			failures[worker] = make([]check.Failure, 0, 2*len(scan.Workloads))
		}
		clear(failures[worker])
		run := &check.Run{Scan: scan, Severity: c.Severity, Failures: failures[worker][:0]}
		c.Run(run)
		failures[worker] = run.Failures
		rulings[i] = ruling{true, run.Evaluated, run.Unknowns, run.Inapplicables, m.findings(c, run.Failures)}
	})
}

// hear takes in what a check of the row said of a snapshot.
func (rw *row) hear(c *check.Check, r *ruling, snap *evidence.Snapshot, selector func(*evidence.Ref) bool) {
	if !r.asked {
		if c.Probe != "" {
			return // what is tried adds to what is read; no row waits for it
		}
		rw.unasked = append(rw.unasked, unasked(c))
		return
	}
	rw.rules++
	rw.live = rw.live || c.Live != ""
	rw.node = rw.node || c.Node != ""
	rw.beside = append(rw.beside, r.beside...)
	rw.evaluated.AddAll(selected(r.evaluated, snap, selector))
	gaps := unread(snap, c)
	rw.gaps = append(rw.gaps, gaps...)
	rw.open = append(rw.open, r.unknown...)
	rw.settled = rw.settled || c.Alone && r.evaluated.Len() > 0 && len(r.unknown)+len(gaps) == 0
	if c.Leaves.What != "" && r.evaluated.Len() > 0 {
		rw.left = append(rw.left, c.Leaves)
	}
}

// count counts a finding about an object.
func (rw *row) count(f *report.Finding, ref *evidence.Ref) {
	rw.failed.Add(ref.ID)
	rw.findings++
	if f.Exception != nil {
		rw.excepted++
	}
}

// leave counts findings that are left out.
func (rw *row) leave(l *leftOut) {
	rw.failed.AddAll(l.objects)
	rw.findings += l.n
}

// prepared adds to what could not be seen what is written in two ways, and puts
// the objects into an order that is the same from every source: where a check
// names one of several, such as the policy that opens a namespace, it is the same.
func prepared(snap *evidence.Snapshot) *evidence.Snapshot {
	whole := *snap
	whole.Gaps = slices.Concat(snap.Gaps, snap.Contradictions(), snap.UnseenNodes())
	whole.InOrder()
	return &whole
}

// selected are the objects that are reported about. A row that none of them is in
// has nothing to pass by.
func selected(evaluated check.IDs, snap *evidence.Snapshot, selector func(*evidence.Ref) bool) check.IDs {
	if selector == nil {
		return evaluated
	}
	var ids check.IDs
	for _, ref := range snap.Objects {
		if evaluated.Has(ref.ID) && selector(ref) {
			ids.Add(ref.ID)
		}
	}
	return ids
}

// given are the kinds of evidence that a snapshot is.
func given(snap *evidence.Snapshot) (list []guide.Evidence) {
	if snap.HasObjects() {
		list = append(list, guide.Manifest)
	}
	if snap.Cluster != nil {
		list = append(list, guide.Cluster) // whatever a manifest shows, the cluster does
	}
	if slices.ContainsFunc(snap.Hosts, func(h *evidence.Host) bool { return h.Root != "" }) {
		list = append(list, guide.Host)
	}
	if len(snap.Probes) > 0 {
		list = append(list, guide.Probe)
	}
	return list
}

// unasked is the question of a check that needs another kind of evidence; the check's
// name when what it asks is what every check of objects does.
func unasked(c *check.Check) check.Unjudged {
	of := func(what string, e guide.Evidence) check.Unjudged {
		return check.Unjudged{Scope: what, Reason: "needs " + strings.Join(flagged([]guide.Evidence{e}), "")}
	}
	switch {
	case c.Live != "":
		return of(c.Live, guide.Cluster)
	case c.Written != "":
		return of(c.Written, guide.Manifest)
	case c.Node != "":
		return of(c.Node, guide.Host)
	}
	return of("rule "+c.ID, guide.Manifest)
}

// leftOpen is a question that no object shows, unless what was given answers it:
// a rule of the row that asks the live cluster does.
func (rw *row) leftOpen(rest check.Rest, given []guide.Evidence) (open check.Unjudged, ok bool) {
	to := without(rest.To, given)
	switch {
	case len(to) > 0:
		return check.Unjudged{Scope: rest.What, Reason: "needs " + strings.Join(flagged(to), " and ")}, true
	case rest.Elsewhere, rw.live && slices.Contains(rest.To, guide.Cluster), rw.node && slices.Contains(rest.To, guide.Host):
		return check.Unjudged{}, false
	}
	return check.Unjudged{Scope: rest.What, Reason: "no rule tells yet"}, true
}

func without(list, given []guide.Evidence) []guide.Evidence {
	return slices.DeleteFunc(slices.Clone(list), func(e guide.Evidence) bool { return slices.Contains(given, e) })
}

// answer is the row's status, in the order of CONTRACT §4: a failure that was
// seen stands whatever else was not; nothing passes that was not wholly seen.
func (rw *row) answer(rec guide.Recommendation, given []guide.Evidence, attestations []Attestation, today string) report.Recommendation {
	a := report.Recommendation{
		ID: rec.ID, Title: rec.Title, Section: rec.Section, Severity: rec.Severity,
		Evaluated: rw.evaluated.Len(), Failed: rw.failed.Len(),
	}
	for _, rest := range rw.left {
		if open, ok := rw.leftOpen(rest, given); ok {
			rw.open = append(rw.open, open)
		}
	}
	if a.Evaluated > 0 && !rw.settled {
		rw.open = append(rw.open, rw.unasked...)
	}
	open := rw.reasons()
	switch {
	case rw.findings > rw.excepted:
		a.Status, a.Reason = report.Fail, summarize("besides, not judged: ", open)
	case len(open) > 0:
		a.Status, a.Reason = report.NotEvaluated, summarize("", open)
	case rw.excepted > 0:
		a.Status, a.Reason = report.Excepted, fmt.Sprintf("every finding has an exception in force (%d)", rw.excepted)
	case a.Evaluated > 0:
		a.Status = report.Pass
	case len(rw.beside) > 0:
		a.Status, a.Reason = report.NotApplicable, summarize("", together(rw.beside))
	case rw.rules > 0 && len(rw.unasked) == 0:
		a.Status, a.Reason = report.NotApplicable, "nothing it applies to is among what was read"
	default:
		a.Status = report.NotEvaluated
		a.Reason, a.Missing = missing(rec, given)
		if rec.Manual {
			a.Status, a.Reason = report.Manual, "only a person can state it: put a dated attestation into .gabion.yaml"
		}
	}
	if rw.findings == rw.excepted && len(rw.gaps) == 0 {
		attest(&a, rec, attestations, today)
	}
	return a
}

// missing says which evidence a row needs that no rule judged, and how it would
// be given.
func missing(rec guide.Recommendation, given []guide.Evidence) (reason string, names []string) {
	list := without(rec.Evidence, given)
	if len(list) == 0 {
		return "no rule decides it yet", nil
	}
	for _, e := range list {
		names = append(names, string(e))
	}
	return "needs " + strings.Join(flagged(list), ", or "), names
}

// flagged names kinds of evidence and how each would be given.
func flagged(list []guide.Evidence) []string {
	var names []string
	for _, e := range list {
		names = append(names, fmt.Sprintf("%s (%s)", e.Describe(), e.Flag()))
	}
	return names
}

// summarize joins reasons, the first few of them.
func summarize(prefix string, reasons []string) string {
	const shown = 3
	if len(reasons) == 0 {
		return ""
	}
	text := strings.Join(reasons[:min(shown, len(reasons))], "; ")
	if more := len(reasons) - shown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return prefix + text
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
