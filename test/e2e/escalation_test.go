//go:build cluster

package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/report"
)

// What `rbac paths` says is so. Each of its examples is a real cluster here, in
// which it finds exactly the chains that the example names; every hop of each is
// then carried out with the credentials of whoever it starts from, until the
// target is reached. Where the tool says closed or nothing at all, the same is
// tried, and refused.
func TestEscalation(t *testing.T) {
	files, err := filepath.Glob("../../internal/escalate/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	tables := slices.Concat(keys(guards()), keys(refused()), keys(inReality()), keys(emulated()))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		tables = slices.DeleteFunc(tables, func(s string) bool { return s == name })
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if name == "nodes-proxy" && address().IsLoopback() {
				t.Skip("the API server forwards to no loopback address, and this machine has no other")
			}
			version, questions := parse(t, string(text))
			l := newLab(t, string(text), version, questions)
			if version == "" {
				for _, q := range questions {
					q.live(inReality()[name])
					l.answers(t, q)
				}
			}
			for _, p := range emulated()[name] {
				l.works(t, p)
			}
			for _, g := range guards()[name] {
				l.guarded(t, g)
			}
			for _, h := range refused()[name] {
				l.refuses(t, report.Path{From: h.From, To: h.To, Hops: []report.Hop{h}})
			}
		})
	}
	if len(tables) > 0 {
		t.Errorf("there are no examples %q", tables)
	}
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }

// Each technique can be carried out here, as far as a cluster without machines
// goes: a kubelet of ours answers in the place of containers, and gives to what
// runs in a pod what the API server gives to it, no more. Only what is read off a
// node's own disk is taken for granted.
func TestEveryTechniqueIsCarriedOut(t *testing.T) {
	for _, technique := range escalate.Techniques() {
		if executors()[technique.ID] == nil {
			t.Errorf("%s is not carried out", technique.ID)
		}
	}
}

// A question is one that an example asks, with the answers that it expects. The
// comments that it is written in are those of the examples' own test.
type question struct {
	to                 string
	from               []string
	paths, closed, all []string
	none               bool
}

// live replaces chains by those that a cluster has in their place, because it is
// made with objects that the example does not write down.
func (q *question) live(instead map[string]string) {
	for i, chain := range q.paths {
		q.paths[i] = cmp.Or(instead[q.to+": "+chain], chain)
	}
	if chain := instead[q.to+": none"]; chain != "" {
		q.paths, q.none = append(q.paths, chain), false
	}
}

func parse(t *testing.T, text string) (version string, list []*question) {
	t.Helper()
	q := &question{to: "cluster-admin"}
	list = append(list, q)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		comment, ok := strings.CutPrefix(lines.Text(), "# ")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(comment, ": ")
		switch key {
		case "version":
			version = value
		case "to":
			if len(q.paths)+len(q.closed)+len(q.from) > 0 || q.none {
				q = &question{}
				list = append(list, q)
			}
			q.to = value
		case "from":
			q.from = strings.Fields(value)
		case "path":
			q.paths = append(q.paths, value)
		case "closed":
			q.closed = append(q.closed, value)
		case "all":
			q.all = append(q.all, value)
		case "none":
			q.none = true
		}
	}
	return version, list
}

// answers asks the program a question and carries out what it answers. Then the
// binding of each path's first hop is taken away.
func (l *lab) answers(t *testing.T, q *question) {
	d := l.paths(t, q.from, q.to, "--closed")
	same(t, "to "+q.to, q.paths, d.Paths)
	same(t, "closed, to "+q.to, q.closed, d.Closed)
	open := d.Paths
	if len(q.all) > 0 {
		all := l.paths(t, q.from, q.to, "--all")
		same(t, "all, to "+q.to, q.all, all.Paths)
		open = all.Paths
	}
	for _, p := range open {
		if len(p.Hops) > 3 {
			t.Logf("%s has more than three hops, and is carried out all the same", chain(p))
		}
		l.works(t, p)
	}
	for _, p := range d.Closed {
		l.refuses(t, p)
	}
	for _, name := range q.from {
		if slices.ContainsFunc(d.Paths, func(p report.Path) bool { return p.From == name }) {
			continue
		}
		for _, p := range d.Paths {
			p.From = name
			l.refuses(t, p)
		}
	}
	l.withoutRights(t, q, open)
}

// withoutRights takes away the binding that each path begins with.
func (l *lab) withoutRights(t *testing.T, q *question, open []report.Path) {
	taken := map[report.ObjectName]bool{}
	var starts []string
	for _, p := range open {
		if by := p.Hops[0].GrantedBy; by != nil && p.From != "system:masters" {
			taken[by.Binding] = true
			starts = append(starts, p.From)
		}
	}
	if len(taken) == 0 {
		return
	}
	var back []func()
	for binding := range taken {
		back = append(back, l.take(t, at("rbac.authorization.k8s.io", plural(binding.Kind), binding.Namespace, binding.Name)))
	}
	l.settle()
	for _, p := range l.paths(t, starts, q.to).Paths {
		t.Errorf("without the binding of its first hop: %s", chain(p))
	}
	for _, p := range open {
		if slices.Contains(starts, p.From) {
			l.refuses(t, p)
		}
	}
	for _, f := range back {
		f()
	}
	l.settle()
}

// A guard is what somebody does to an example to close a path.
type guard struct {
	from, to string
	// open is the path before; after, it is closed, and instead is the open one, ""
	// when there is none.
	open, closed, instead string
	// levels are the Pod Security levels of namespaces, objects what is added.
	levels  map[string]string
	objects []object
}

func (l *lab) guarded(t *testing.T, g guard) {
	before := l.open(t, "without a guard", g, g.open)
	l.guard(t, g)
	defer l.unguard(t, g)
	l.open(t, "with a guard", g, g.instead)
	if g.instead == g.open {
		return // it is none
	}
	if g.closed != "" {
		closed := l.paths(t, []string{g.from}, g.to, "--closed").Closed
		same(t, "closed", []string{g.closed}, closed)
		for _, p := range closed {
			l.refuses(t, p)
		}
	}
	for _, p := range before {
		l.refuses(t, p)
	}
}

// open carries out the one path that is expected, or "" for none.
func (l *lab) open(t *testing.T, what string, g guard, want string) []report.Path {
	t.Helper()
	d := l.paths(t, []string{g.from}, g.to)
	same(t, what, slices.DeleteFunc([]string{want}, func(s string) bool { return s == "" }), d.Paths)
	for _, p := range d.Paths {
		l.works(t, p)
	}
	return d.Paths
}

// works carries out a path that is said to be open. What it says may refuse it, it
// may: then it works without that.
func (l *lab) works(t *testing.T, p report.Path) {
	t.Helper()
	err := l.carry(p, patient)
	for _, h := range p.Hops {
		_, list, _ := strings.Cut(h.Why, "; ValidatingAdmissionPolicy ")
		names, _, doubtful := strings.Cut(list, " may refuse it")
		if err == nil || !doubtful || !refusal(err) {
			continue
		}
		t.Logf("%s: refused, as %q says: %v", chain(p), h.Why, err)
		for name := range strings.SplitSeq(names, ", ") {
			defer l.take(t, at("admissionregistration.k8s.io", "validatingadmissionpolicies", "", name))()
		}
		err = l.carry(p, patient)
	}
	if err != nil {
		t.Errorf("said to be open: %s: %v", chain(p), err)
	}
}

// refuses carries a path out, which must not work: at the hop that a guard
// closes, or else at some hop.
func (l *lab) refuses(t *testing.T, p report.Path) {
	t.Helper()
	err := l.carry(p, impatient)
	var stopped *stop
	switch {
	case err == nil:
		t.Errorf("said to be closed, and works: %s", chain(p))
	case !errors.As(err, &stopped) || !refusal(stopped.err):
		t.Errorf("%s: not refused, but failed: %v", chain(p), err)
	case len(closedBy(p)) > 0 && p.Hops[stopped.hop].ClosedBy == "":
		t.Errorf("%s: refused at hop %d already: %v", chain(p), stopped.hop+1, err)
	default:
		t.Logf("%s: %v", chain(p), err)
	}
}

func (l *lab) paths(t *testing.T, from []string, to string, flags ...string) report.PathReport {
	t.Helper()
	args := append([]string{"rbac", "paths", "--cluster", "--kubeconfig", l.Kubeconfig, "-o", "json", "--to", to}, flags...)
	for _, name := range from {
		args = append(args, "--from", name)
	}
	var d report.PathReport
	if err := json.Unmarshal([]byte(run(t, args...).out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Gaps) > 0 {
		t.Errorf("gaps: %v", d.Gaps)
	}
	return d
}

func same(t *testing.T, what string, want []string, got []report.Path) {
	t.Helper()
	var list []string
	for _, p := range got {
		list = append(list, chain(p))
	}
	if diff := gocmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(list))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// chain writes a path as the examples do.
func chain(p report.Path) string {
	text := p.From
	for _, h := range p.Hops {
		text += " -> " + h.Technique + " -> " + h.To
	}
	if closed := closedBy(p); len(closed) > 0 {
		text += " | " + strings.Join(closed, ", ")
	}
	return text
}

func closedBy(p report.Path) (list []string) {
	for _, h := range p.Hops {
		if h.ClosedBy != "" {
			list = append(list, h.ClosedBy)
		}
	}
	return list
}

// How long a hop may take: controllers and caches need a moment, and a CronJob
// the next minute.
const (
	patient   = 45 * time.Second
	impatient = 1500 * time.Millisecond
)

// A stop says at which hop a path ended.
type stop struct {
	hop int
	err error
}

func (s *stop) Error() string { return fmt.Sprintf("hop %d: %v", s.hop+1, s.err) }
func (s *stop) Unwrap() error { return s.err }

// carry carries a path out, and undoes what it changed.
func (l *lab) carry(p report.Path, patience time.Duration) error {
	s, err := l.start(p.From)
	if err != nil {
		return err
	}
	a := &attack{lab: l, patience: patience}
	defer a.undo()
	for i, h := range p.Hops {
		if err := a.choose(p.Hops[i+1:]); err != nil {
			return err
		}
		next, err := executors()[h.Technique](a, s, h)
		if err == nil {
			err = a.wait(func() error { return l.proves(next, h.To) })
		}
		if err != nil {
			return &stop{i, fmt.Errorf("%s: %w", h.Technique, err)}
		}
		s = next
	}
	return nil
}
