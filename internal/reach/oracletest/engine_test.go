package oracletest

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// engine is what is on trial.
type engine struct {
	graph *reach.Graph
	ends  func(end) []*reach.Endpoint
}

func newEngine(t *testing.T, w *world) *engine {
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("panic: %v\n%s\n%v", r, debug.Stack(), w)
		}
	}()
	snap, of := w.snapshot(t)
	g := reach.NewGraph(snap, w.options(t))
	all := g.Endpoints()
	return &engine{g, func(e end) []*reach.Endpoint {
		if e.pod != nil {
			return []*reach.Endpoint{g.Of(of[e.pod])}
		}
		var list []*reach.Endpoint
		for _, x := range all {
			if e.node != nil && x.Kind == netpol.OfHost && len(x.Workloads) == 0 && x.Name == e.node.name ||
				e.node == nil && x.Kind == netpol.OfWorld && x.Addresses.Contains(e.external) {
				list = append(list, x)
			}
		}
		return list
	}}
}

// misread says what is wrong with how the world's policies were taken, "" for nothing:
// all that the dice roll is valid.
func (e *engine) misread(w *world) string {
	if list := e.graph.Invalid(); len(list) > 0 {
		return fmt.Sprintf("%v is not valid: %v", list[0].Ref, list[0].Err)
	}
	if got := e.graph.Enforcement(); got != w.enforcement {
		return fmt.Sprintf("enforcement %v, want %v", got, w.enforcement)
	}
	return ""
}

// between is the engine's verdict, or what is wrong with its endpoints.
func (e *engine) between(p packet) string {
	var verdicts []string
	for _, src := range e.ends(p.src) {
		for _, dst := range e.ends(p.dst) {
			if src == nil || dst == nil {
				return "no endpoint of a workload"
			}
			v := verdict(e.graph.Between(src, dst), p)
			if !slices.Contains(verdicts, v) {
				verdicts = append(verdicts, v)
			}
		}
	}
	if len(verdicts) != 1 {
		return fmt.Sprintf("%q", verdicts)
	}
	return verdicts[0]
}

func verdict(c reach.Connection, p packet) string {
	open, unsure := c.Ports.Contains(p.protocol, p.port), c.Unknown.Contains(p.protocol, p.port)
	switch {
	case open && unsure:
		return "allowed and unknown"
	case open:
		return allowed
	case unsure:
		return unknown
	}
	return denied
}

// limited reports whether the connection is said to be open for some requests only.
func (e *engine) limited(p packet) bool {
	for _, src := range e.ends(p.src) {
		for _, dst := range e.ends(p.dst) {
			if !e.graph.Between(src, dst).Limited {
				return false
			}
		}
	}
	return true
}

// explained says how Explain differs from Between, "" if it does not.
func (e *engine) explained(p packet, got string) string {
	for _, src := range e.ends(p.src) {
		for _, dst := range e.ends(p.dst) {
			x := e.graph.Explain(src, dst, ports.Of(p.protocol, p.port, p.port))
			var list []string
			for name, set := range map[string]ports.Set{allowed: x.Allowed, denied: x.Denied, unknown: x.Unknown} {
				if set.Contains(p.protocol, p.port) {
					list = append(list, name)
				}
			}
			if len(list) != 1 || list[0] != got {
				return fmt.Sprintf("explained as %q, but %s", list, got)
			}
		}
	}
	return ""
}

func (e *engine) steps(p packet) string {
	var b strings.Builder
	for _, src := range e.ends(p.src) {
		for _, dst := range e.ends(p.dst) {
			for _, s := range e.graph.Explain(src, dst, ports.Of(p.protocol, p.port, p.port)).Steps {
				name, rule := "no policy", ""
				if s.Policy != nil {
					name = s.Policy.Kind + " " + s.Policy.Name
				}
				if s.Rule != nil {
					rule = s.Rule.Path.String()
				}
				fmt.Fprintf(&b, "  %v: %s %s %v [%v] %s %s\n", s.Direction, name, rule, s.Action, s.Ports, s.Unknown, s.Limits)
			}
		}
	}
	return b.String()
}

// listed says how Connections differs from Between over all pairs, "" if it does not.
func (e *engine) listed() string {
	type pair struct{ src, dst int }
	got := map[pair]reach.Connection{}
	for c := range e.graph.Connections() {
		got[pair{c.Src.ID, c.Dst.ID}] = c
	}
	for _, src := range e.graph.Endpoints() {
		for _, dst := range e.graph.Endpoints() {
			if src.Kind != netpol.OfPod && dst.Kind != netpol.OfPod {
				continue
			}
			c := e.graph.Between(src, dst)
			l := got[pair{src.ID, dst.ID}]
			if !l.Ports.Equal(c.Ports) || !l.Unknown.Equal(c.Unknown) {
				return fmt.Sprintf("Connections has %v (unknown %v) for %v %s -> %v %s, Between %v (unknown %v)", l.Ports, l.Unknown, src.Kind, src.Name, dst.Kind, dst.Name, c.Ports, c.Unknown)
			}
		}
	}
	return ""
}

// covered says how Coverage differs from the oracle, "" if it does not. A pod that
// is denied something may be isolated in effect, whatever no policy makes the default.
func (f family) covered(w *world, e *engine) string {
	for _, p := range w.pods {
		for _, d := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
			want := p.host == nil && f.isolates(w, p, d)
			got := e.graph.Coverage(e.ends(end{pod: p})[0], d)
			if got.Unknown != "" || want && !got.Isolated || got.Isolated && !want && f.open(w, p, d) {
				return fmt.Sprintf("%v, %v: isolated is %v (%s), want %v", p, d, got.Isolated, got.Unknown, want)
			}
		}
	}
	return ""
}

// open reports whether a pod may be reached by, or reach, every other end at a port
// that no policy names.
func (f family) open(w *world, p *pod, d netpol.Direction) bool {
	var others []end
	for _, o := range w.pods {
		others = append(others, end{pod: o})
	}
	for _, a := range w.outside() {
		others = append(others, end{external: a})
	}
	return !slices.ContainsFunc(others, func(o end) bool {
		k := packet{src: end{pod: p}, dst: o, version: w.versions[0], protocol: ports.TCP, port: 12345}
		if o.external.Is6() {
			k.version = 6
		}
		if d == netpol.Ingress {
			k.src, k.dst = k.dst, k.src
		}
		return !slices.Contains(f.answers(w, k), true)
	})
}
