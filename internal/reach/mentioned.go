package reach

import (
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A mention is what policies name by itself, and not by what it has in common with
// others: endpoints must not mix what policies tell apart.
type mention struct {
	sets      []cidr.Set
	workloads [][]*evidence.Workload
	seen      map[string]bool
	// lists are the lists of workloads that were seen: readers share them.
	lists map[placed]bool
}

// placed is where a list of workloads is kept, and its length.
type placed struct {
	first  **evidence.Workload
	length int
}

// mentioned are the addresses and workloads that policies name.
func mentioned(policies []*netpol.Policy) *mention {
	m := &mention{seen: map[string]bool{}, lists: map[placed]bool{}}
	for _, p := range policies {
		m.visit(p.Subject)
		for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
			if rules := p.Side(d); rules != nil {
				for i := range rules.List {
					m.visit(rules.List[i].Peers)
				}
			}
		}
	}
	return m
}

func (m *mention) visit(all ...netpol.Expr) {
	for _, x := range all {
		switch x := x.(type) {
		case netpol.Every:
			m.visit(x...)
		case netpol.Some:
			m.visit(x...)
		case netpol.Not:
			m.visit(x.Of)
		case netpol.Unknown:
			m.visit(x.Within)
		case netpol.Pods:
			if len(x.Of) == 0 {
				continue
			}
			if at := (placed{&x.Of[0], len(x.Of)}); !m.lists[at] {
				m.lists[at] = true
				m.workloads = append(m.workloads, x.Of)
			}
		case netpol.Address:
			if key := x.In.Key(); !m.seen[key] {
				m.seen[key] = true
				m.sets = append(m.sets, x.In)
			}
		}
	}
}
