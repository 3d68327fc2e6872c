package networkpolicy

import (
	"maps"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/reach/need"
)

// A catalog is what a snapshot needs, and for whom policies are written.
type catalog struct {
	*need.Catalog
	options Options
	// governed are the namespaces that policies are written for.
	governed map[string]bool
	// peers are the workloads that logs of connections named.
	peers map[flows.Peer]*evidence.Workload
}

func newCatalog(snap *evidence.Snapshot, o Options) *catalog {
	c := &catalog{
		Catalog: need.Find(snap, nil, need.Facts{
			Network: o.Network, APIServer: o.APIServer, IngressNamespaces: o.IngressNamespaces, Names: o.Flavour == Cilium,
		}),
		options: o, governed: map[string]bool{}, peers: map[flows.Peer]*evidence.Workload{},
	}
	c.ChooseSelectors()
	for _, s := range c.Sets {
		wanted := slices.Contains(o.Namespaces, s.Namespace)
		if len(o.Namespaces) == 0 {
			wanted = !slices.Contains(systemNamespaces(), s.Namespace)
		}
		if wanted {
			c.governed[s.Namespace] = true
		}
	}
	return c
}

// systemNamespaces are those of Kubernetes itself: policies for them are only
// written when they are named.
func systemNamespaces() []string { return []string{"kube-system", "kube-public", "kube-node-lease"} }

// isGoverned reports whether policies are written for the pods at an end.
func (c *catalog) isGoverned(e need.End) bool {
	return e.Kind == need.OfSet && c.governed[e.Set.Namespace]
}

// unselectable refuses where a policy would have to be about pods that no selector
// means. Pods that need nothing but name resolution need no policy of their own.
func (c *catalog) unselectable(list []*need.Need) error {
	bad := map[string]bool{}
	for _, n := range list {
		for _, e := range []need.End{n.From, n.To} {
			if e.Kind == need.OfSet && e.Set.Selector == nil {
				bad[e.String()+": "+e.Set.Why] = true
			}
		}
	}
	for _, s := range c.Sets {
		if c.governed[s.Namespace] && several(s) {
			c.Notes.Addf("%s have the same labels: no policy tells them apart, and what one of them needs is open to all of them", s)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &Refusal{"labels do not tell workloads apart", slices.Sorted(maps.Keys(bad))}
}

func several(s *need.Set) bool {
	for _, w := range s.Workloads {
		if w.Ref.String() != s.Workloads[0].Ref.String() {
			return true
		}
	}
	return false
}
