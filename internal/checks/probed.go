package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A probedPort is one port of a component on one node, with what came of trying it at
// each of the node's addresses that a connection came about with.
type probedPort struct {
	*check.Run
	ref       *evidence.Ref
	component string
	number    uint16
	tries     []*evidence.Probed

	problems []check.Problem
	open     bool // something could not be told
}

// eachProbed judges the ports of some components, or of all, that could be reached.
func eachProbed(judge func(*probedPort), components ...string) func(*check.Run) {
	return eachTried(func(p *probedPort) {
		if len(p.tries) > 0 {
			judge(p)
		} else {
			p.open = true
		}
	}, components...)
}

// eachTried judges the ports of some components, or of all, that were tried.
func eachTried(judge func(*probedPort), components ...string) func(*check.Run) {
	return func(r *check.Run) {
		for _, p := range probedPorts(r) {
			if len(components) == 0 || slices.Contains(components, p.component) {
				judge(p)
				p.done()
			}
		}
	}
}

// probedPorts are the ports that were tried, in the order of the probes.
func probedPorts(r *check.Run) (list []*probedPort) {
	type key struct {
		ref       *evidence.Ref
		component string
		number    uint16
	}
	at := map[key]*probedPort{}
	subjects := map[string]*evidence.Ref{}
	for _, m := range r.Machines() {
		subjects[m.Name] = m.Ref
	}
	for _, t := range r.Probes {
		ref := subjects[t.Node]
		if ref == nil {
			if ns := r.Namespace(kubeSystem); ns != nil { // for the cluster as a whole
				ref = ns.Ref
			}
		}
		k := key{ref, t.Component, t.Address.Port()}
		if at[k] == nil {
			at[k] = &probedPort{Run: r, ref: ref, component: t.Component, number: t.Address.Port()}
			list = append(list, at[k])
		}
		if t.Open {
			at[k].tries = append(at[k].tries, t)
		}
	}
	return list
}

// say records one problem of the port for all addresses that have it.
func (p *probedPort) say(what string, tries []*evidence.Probed, value, format string, args ...any) *check.Problem {
	message := fmt.Sprintf("%s at %s ", p.component, addresses(tries)) + fmt.Sprintf(format, args...)
	p.problems = append(p.problems, check.Problem{
		Path: evidence.NewPath(p.component, "port", fmt.Sprint(p.number), what), Value: value, Message: message,
	})
	return &p.problems[len(p.problems)-1]
}

// cannot records that something of the port could not be told.
func (p *probedPort) cannot(tries []*evidence.Probed, format string, args ...any) {
	p.open = true
	p.Unknown("", fmt.Sprintf("%s at %s: ", p.component, addresses(tries))+fmt.Sprintf(format, args...))
}

func (p *probedPort) done() {
	switch {
	case p.ref != nil && (len(p.problems) > 0 || !p.open):
		p.Judge(p.ref, p.problems)
	case p.ref == nil:
		for _, problem := range p.problems {
			p.Unknown("", problem.Message+"; no finding stands for it, as neither the Node nor the Namespace kube-system was read")
		}
	}
}

// which are the tries that something holds for.
func (p *probedPort) which(holds func(*evidence.Probed) bool) []*evidence.Probed {
	return slices.DeleteFunc(slices.Clone(p.tries), func(t *evidence.Probed) bool { return !holds(t) })
}

// answered are the tries in which a request got what only those should get who
// authenticate, with the requests.
func (p *probedPort) answered() (tries []*evidence.Probed, requests string) {
	return p.asked(func(q evidence.ProbedRequest) bool { return q.Answered })
}

// asked are the tries with a request that something holds for, and those requests.
func (p *probedPort) asked(holds func(evidence.ProbedRequest) bool) (tries []*evidence.Probed, requests string) {
	var names []string
	for _, t := range p.tries {
		found := false
		for _, q := range t.Anonymous {
			if holds(q) {
				found = true
				names = append(names, q.Request)
			}
		}
		if found {
			tries = append(tries, t)
		}
	}
	slices.Sort(names)
	return tries, strings.Join(slices.Compact(names), ", ")
}

// unheard records the tries in which a request got no answer, unless it is for want of
// the certificate that the port demands.
func (p *probedPort) unheard() {
	for _, t := range p.tries {
		why := t.Error
		for _, q := range t.Anonymous {
			if why == "" && q.Error != "" {
				why = q.Request + ": " + q.Error
			}
		}
		if why != "" && !t.ClientCertificate {
			p.cannot([]*evidence.Probed{t}, "what it answers to somebody without credentials: %s", why)
		}
	}
}

// fromElsewhere are the tries that were made from no machine of the control plane.
func (p *probedPort) fromElsewhere() []*evidence.Probed {
	var own []netip.Addr
	for _, m := range p.Machines() {
		if m.ControlPlane {
			own = slices.Concat(own, m.Addresses, m.External)
		}
	}
	return p.which(func(t *evidence.Probed) bool {
		return t.From.IsValid() && !t.From.IsLoopback() && t.From != t.Address.Addr() && !slices.Contains(own, t.From)
	})
}

// addresses names where tries went, by address.
func addresses(tries []*evidence.Probed) string {
	var names []string
	for _, t := range tries {
		names = append(names, t.Address.String())
	}
	slices.Sort(names)
	return someOf(slices.Compact(names), 3)
}

// from names where tries were made from.
func from(tries []*evidence.Probed) string {
	var names []string
	for _, t := range tries {
		names = append(names, t.From.String())
	}
	slices.Sort(names)
	return someOf(slices.Compact(names), 3)
}
