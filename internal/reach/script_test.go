package reach_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// TestScripts runs the truth tables in testdata/script. The files of an archive are
// manifests, and its comment is what they make of a cluster, line by line:
//
//	load town.yaml deny.yaml
//
// makes a cluster of files of the archive or of the directory; what follows is about it.
//
//	shop/web -> bank/db tcp/8080 deny by NetworkPolicy bank/db
//	shop/web -> 203.0.113.9, node/n1 udp/53,tcp/53 allow
//	shop/web -> bank/* tcp/80 unknown because the labels of Namespace bank
//
// says of every source, destination and port what is decided, and if it says so, by
// which policy (and which rule of it, such as "ingress[0]"), or why it is not known.
//
//	only shop/web, shop/api -> bank/db tcp/8080
//	bank/db -> only shop/web tcp/8080
//
// says that of all pods these, and no others, may connect. Pods are named NAMESPACE/NAME,
// * is any, "nobody" is none. "invalid NetworkPolicy shop/db: TEXT" expects a policy to
// be refused. A line that begins with # is a comment.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := script{file: file, archive: archive}
			for i, line := range strings.Split(string(archive.Comment), "\n") {
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				if err := s.line(line); err != nil {
					t.Errorf("%s:%d: %s: %v", file, i+1, line, err)
				}
			}
			if s.asked == 0 {
				t.Errorf("%s asks nothing", file)
			}
		})
	}
}

// A script is one archive at work.
type script struct {
	file    string
	archive *txtar.Archive
	snap    *evidence.Snapshot
	graph   *reach.Graph
	// refused are the policies that are not valid and that no line has named yet.
	refused []netpol.Invalid
	asked   int
}

func (s *script) line(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch {
	case verb == "load":
		return s.load(strings.Fields(rest))
	case s.graph == nil:
		return fmt.Errorf("nothing is loaded")
	case verb == "invalid":
		return s.invalid(rest)
	}
	a, err := parse(line)
	if err != nil {
		return err
	}
	s.asked++
	return s.check(a)
}

func (s *script) load(names []string) error {
	if len(s.refused) > 0 {
		return fmt.Errorf("%s is not valid: %w", s.refused[0].Ref, s.refused[0].Err)
	}
	s.snap = &evidence.Snapshot{}
	source := &evidence.Source{Type: "manifest", Ref: s.file}
	for _, name := range names {
		data, err := s.read(name)
		if err != nil {
			return err
		}
		manifest.Add(s.snap, source, new(manifest.Reader).Read(name, data))
	}
	for _, faults := range [][]evidence.Issue{source.Errors, source.Skipped, source.Warnings} {
		for _, f := range faults {
			return fmt.Errorf("%s", f)
		}
	}
	s.graph = reach.NewGraph(s.snap, reach.Options{})
	s.refused = s.graph.Invalid()
	return nil
}

func (s *script) read(name string) ([]byte, error) {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return f.Data, nil
		}
	}
	return os.ReadFile(filepath.Join(filepath.Dir(s.file), name))
}

func (s *script) invalid(text string) error {
	for i, p := range s.refused {
		name, why, _ := strings.Cut(text, ": ")
		if p.String() == name && strings.Contains(p.Err.Error(), why) {
			s.refused = slices.Delete(slices.Clone(s.refused), i, i+1)
			s.asked++
			return nil
		}
	}
	return fmt.Errorf("not refused for that reason, but %v", s.refused)
}

// A claim is what a line of a script says.
type claim struct {
	sources, destinations []string
	// onlyFrom and onlyTo are set where no other pod may.
	onlyFrom, onlyTo bool
	ports            ports.Set
	verdict          string
	by, because      string
}

func parse(line string) (c claim, err error) {
	left, right, ok := strings.Cut(line, " -> ")
	if !ok {
		return c, fmt.Errorf("no arrow")
	}
	right, c.because, _ = strings.Cut(right, " because ")
	right, c.by, _ = strings.Cut(right, " by ")
	left, c.onlyFrom = strings.CutPrefix(left, "only ")
	right, c.onlyTo = strings.CutPrefix(right, "only ")
	words := strings.Fields(right)
	if c.verdict = "allow"; !c.onlyFrom && !c.onlyTo {
		c.verdict, words = words[len(words)-1], words[:len(words)-1]
	}
	if !slices.Contains([]string{"allow", "deny", "unknown"}, c.verdict) {
		return c, fmt.Errorf("%q is no verdict", c.verdict)
	}
	c.sources = strings.Split(left, ", ")
	c.destinations = strings.Split(strings.Join(words[:len(words)-1], " "), ", ")
	for _, text := range strings.Split(words[len(words)-1], ",") {
		set, err := parsePort(text)
		if err != nil {
			return c, err
		}
		c.ports = c.ports.Union(set)
	}
	return c, nil
}

// parsePort reads tcp/80, udp/5000-5010, sctp and all.
func parsePort(text string) (ports.Set, error) {
	if text == "all" {
		return ports.All(), nil
	}
	name, numbers, ranged := strings.Cut(text, "/")
	for _, p := range ports.Protocols() {
		if !strings.EqualFold(p.String(), name) {
			continue
		}
		if !ranged {
			return ports.Every(p), nil
		}
		first, last, two := strings.Cut(numbers, "-")
		if !two {
			last = first
		}
		lo, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return ports.Set{}, err
		}
		hi, err := strconv.ParseUint(last, 10, 16)
		return ports.Of(p, uint16(lo), uint16(hi)), err
	}
	return ports.Set{}, fmt.Errorf("%q is no port", text)
}

func (s *script) check(c claim) error {
	sources, err := s.endpoints(c.sources)
	if err != nil {
		return err
	}
	destinations, err := s.endpoints(c.destinations)
	if err != nil {
		return err
	}
	if len(sources) == 0 && !c.onlyFrom || len(destinations) == 0 && !c.onlyTo {
		return fmt.Errorf("nobody is meant")
	}
	every := s.pods("*/*")
	asked, answers := sources, destinations
	if c.onlyFrom {
		asked = every
	}
	if c.onlyTo {
		answers = every
	}
	for _, src := range asked {
		for _, dst := range answers {
			if src == dst {
				continue
			}
			verdict := c.verdict
			if c.onlyFrom && !slices.Contains(sources, src) || c.onlyTo && !slices.Contains(destinations, dst) {
				verdict = "deny"
			}
			if err := s.ask(src, dst, verdict, c); err != nil {
				return fmt.Errorf("%s -> %s: %w", name(src), name(dst), err)
			}
		}
	}
	return nil
}

// ask asks twice: for all that is open, and how the ports in question are decided.
func (s *script) ask(src, dst *reach.Endpoint, verdict string, c claim) error {
	conn, x := s.graph.Between(src, dst), s.graph.Explain(src, dst, c.ports)
	allowed, unknown := conn.Ports.Intersect(c.ports), conn.Unknown.Intersect(c.ports)
	if !allowed.Equal(x.Allowed) || !unknown.Equal(x.Unknown) || !c.ports.Minus(allowed).Minus(unknown).Equal(x.Denied) {
		return fmt.Errorf("Between allows %s (unknown %s), but Explain allows %s, denies %s (unknown %s)",
			allowed, unknown, x.Allowed, x.Denied, x.Unknown)
	}
	got := map[string]ports.Set{"allow": x.Allowed, "deny": x.Denied, "unknown": x.Unknown}
	if !got[verdict].Equal(c.ports) {
		return fmt.Errorf("not %s, but allow %s, deny %s, unknown %s\n%s", verdict, x.Allowed, x.Denied, x.Unknown, steps(x))
	}
	if c.by != "" && !slices.ContainsFunc(x.Steps, func(step reach.Step) bool { return decided(step, verdict, c) }) {
		return fmt.Errorf("not decided by %s\n%s", c.by, steps(x))
	}
	if c.because != "" && !slices.ContainsFunc(x.Steps, func(step reach.Step) bool { return strings.Contains(step.Unknown, c.because) }) {
		return fmt.Errorf("not because of %q\n%s", c.because, steps(x))
	}
	return nil
}

// decided reports whether a step is the one that the claim names: KIND [NAMESPACE/]NAME
// and, if given, the rule. A default has no rule.
func decided(step reach.Step, verdict string, c claim) bool {
	if step.Policy == nil || step.Action.String() != verdict || !step.Ports.Covers(c.ports) {
		return false
	}
	name := step.Policy.String()
	if c.by == name {
		return true
	}
	return step.Rule != nil && c.by == name+" "+strings.TrimPrefix(step.Rule.Path.String(), "spec.")
}

func steps(x reach.Explanation) string {
	var b strings.Builder
	for _, step := range x.Steps {
		fmt.Fprintf(&b, "\t%s %s %s", step.Direction, step.Action, step.Ports)
		if step.Policy != nil {
			fmt.Fprintf(&b, " by %s", step.Policy.Ref)
		}
		if step.Rule != nil {
			fmt.Fprintf(&b, " %s", step.Rule.Path)
		}
		if step.Unknown != "" {
			fmt.Fprintf(&b, " unknown because %s", step.Unknown)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func name(e *reach.Endpoint) string {
	if len(e.Workloads) > 0 {
		return e.Workloads[0].Ref.String()
	}
	return e.Name + " " + e.Addresses.String()
}

func (s *script) endpoints(names []string) (list []*reach.Endpoint, err error) {
	for _, n := range names {
		found, err := s.find(strings.TrimSpace(n))
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// find gives the endpoints of a name: a pod, a node, an address, "internet" (an
// address of documentation, which belongs to nobody), "apiserver".
func (s *script) find(name string) ([]*reach.Endpoint, error) {
	if name == "internet" {
		name = "203.0.113.113"
	}
	node, isNode := strings.CutPrefix(name, "node/")
	address, _ := netip.ParseAddr(name)
	match := func(e *reach.Endpoint) bool {
		switch {
		case isNode:
			return e.Kind == netpol.OfHost && e.Name == node
		case name == "apiserver":
			return e.Kind == netpol.OfAPIServer
		}
		return address.IsValid() && e.Kind == netpol.OfWorld && e.Addresses.Contains(address)
	}
	if name == "nobody" {
		return nil, nil
	}
	list := s.pods(name)
	for _, e := range s.graph.Endpoints() {
		if match(e) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is not there", name)
	}
	return list, nil
}

// pods are those of a name, with * for any namespace or any name.
func (s *script) pods(name string) (list []*reach.Endpoint) {
	namespace, pod, _ := strings.Cut(name, "/")
	for _, w := range s.snap.Workloads {
		if (namespace == "*" || namespace == w.Namespace) && (pod == "*" || pod == w.Name) {
			if e := s.graph.Of(w); !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	return list
}
