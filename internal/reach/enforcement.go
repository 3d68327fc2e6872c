package reach

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/calico"
	"github.com/gabion-k8s/gabion/internal/reach/cilium"
	"github.com/gabion-k8s/gabion/internal/reach/istio"
	"github.com/gabion-k8s/gabion/internal/reach/kubernetes"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// readPolicies reads the policies of every kind, in the order in which they are asked.
func (g *Graph) readPolicies(snap *evidence.Snapshot) {
	e, twofold := enforcement(snap)
	g.enforcement, g.standIn = e, map[*netpol.Policy]bool{}
	switch {
	case twofold:
		g.blind = mayBe
	case e == netpol.Cilium:
		g.blind = isSo
	}
	g.take(kubernetes.Read(snap, e))
	ofKubernetes := len(g.inForce)
	g.take(cilium.Read(snap))
	g.take(calico.Read(snap))
	if twofold {
		for i, p := range g.inForce[ofKubernetes:] {
			o := obscured(p, "policies of Cilium and of Calico: which of them is enforced is not known")
			o.Tier, o.Order = ofEither, 0
			g.inForce[ofKubernetes+i] = o
		}
	}
	g.take(istio.Read(snap))
	g.take(foreign(snap), nil)
	g.contradict()
	slices.SortStableFunc(g.inForce, compareOrder)
	g.policies = slices.Clone(g.inForce)
	if snap.Cluster == nil {
		for _, i := range g.invalid {
			p := g.unread(i)
			g.policies, g.standIn[p] = append(g.policies, p), true
		}
		slices.SortStableFunc(g.policies, compareOrder)
	}
}

// ofEither is where the policies of two plugins are asked: before those of Kubernetes,
// for either plugin may let through, or leave to what it asks later, what these deny.
var ofEither = netpol.Tier{Name: "Cilium or Calico", Order: math.Inf(-1), Default: netpol.Deny}

func (g *Graph) take(valid []*netpol.Policy, invalid []netpol.Invalid) {
	g.inForce, g.invalid = append(g.inForce, valid...), append(g.invalid, invalid...)
}

// contradict obscures policies that are written several times under one name and not
// alike: nobody knows which of them is in force.
func (g *Graph) contradict() {
	type name struct{ group, kind, namespace, name string }
	nameOf := func(p *netpol.Policy) name { return name{p.Group(), p.Kind, p.Namespace, p.Name} }
	parts := map[*evidence.Ref][]*netpol.Policy{}
	for _, p := range g.inForce {
		parts[p.Ref] = append(parts[p.Ref], p)
	}
	first, differ := map[name]*evidence.Ref{}, map[name]bool{}
	for _, p := range g.inForce {
		switch n := nameOf(p); {
		case strings.HasSuffix(p.Name, "-"): // a generateName: each gets a name of its own
		case first[n] == nil:
			first[n] = p.Ref
		case first[n] != p.Ref && !differ[n]:
			differ[n] = !alike(parts[first[n]], parts[p.Ref])
		}
	}
	for i, p := range g.inForce {
		if differ[nameOf(p)] {
			g.inForce[i] = obscured(p, p.String()+" is written several times, and not alike: which of them is in force is not known")
		}
	}
}

// alike reports whether two writings of a policy say the same.
func alike(a, b []*netpol.Policy) bool {
	return slices.EqualFunc(a, b, func(a, b *netpol.Policy) bool {
		return a.Tier == b.Tier && a.Order == b.Order && reflect.DeepEqual(a.Subject, b.Subject) &&
			reflect.DeepEqual(a.Ingress, b.Ingress) && reflect.DeepEqual(a.Egress, b.Egress)
	})
}

// obscured is a policy of which it is not known whether anything enforces it.
func obscured(p *netpol.Policy, why string) *netpol.Policy {
	unknown := func(r *netpol.Rules) *netpol.Rules {
		if r == nil {
			return nil
		}
		return &netpol.Rules{Isolates: r.Isolates, Unknown: why}
	}
	o := *p
	o.Ingress, o.Egress = unknown(p.Ingress), unknown(p.Egress)
	return &o
}

// plugins are the CNI plugins with policies of their own.
var plugins = []struct {
	netpol.Enforcement
	groups, kinds []string
	// image is how the agent's image is called, without its registry.
	image string
}{
	{netpol.Cilium, []string{"cilium.io"}, []string{"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"}, "cilium/cilium"},
	{netpol.Calico, []string{"projectcalico.org", "crd.projectcalico.org"}, []string{"NetworkPolicy", "GlobalNetworkPolicy", "Tier", "HostEndpoint"}, "calico/node"},
}

// enforcement is whose rules of evaluation hold: those of the plugin that has policies
// here or else runs here. Twofold is set where two plugins have policies.
func enforcement(snap *evidence.Snapshot) (e netpol.Enforcement, twofold bool) {
	var written, running []netpol.Enforcement
	for _, p := range plugins {
		if slices.ContainsFunc(snap.Custom, func(c *evidence.Custom) bool {
			return slices.Contains(p.groups, c.Group()) && slices.Contains(p.kinds, c.Kind)
		}) {
			written = append(written, p.Enforcement)
		}
		if slices.ContainsFunc(snap.Workloads, func(w *evidence.Workload) bool { return w.Kind == "DaemonSet" && runs(w, p.image) }) {
			running = append(running, p.Enforcement)
		}
	}
	switch {
	case len(written) > 1:
		return netpol.Kubernetes, true
	case len(written) == 1:
		return written[0], false
	case len(running) == 1:
		return running[0], false
	}
	return netpol.Kubernetes, false
}

// runs reports whether a workload has a container of an image, whatever its registry,
// tag and digest.
func runs(w *evidence.Workload, image string) bool {
	for c := range w.Containers() {
		name, _, _ := strings.Cut(c.Image, "@")
		if slash := strings.LastIndexByte(name, '/'); strings.LastIndexByte(name, ':') > slash {
			name = name[:strings.LastIndexByte(name, ':')]
		}
		if name == image || strings.HasSuffix(name, "/"+image) {
			return true
		}
	}
	return false
}

// unread stands for a policy that is not valid as it was read: what its author
// puts right, or somebody already has, may isolate the pods and allow anything.
func (g *Graph) unread(i netpol.Invalid) *netpol.Policy {
	why := i.String() + " is not valid: " + i.Err.Error()
	within := netpol.Every{netpol.Is{Kind: netpol.OfPod}}
	if i.Namespace != "" {
		within = append(within, netpol.Named{Of: netpol.Namespace, Name: i.Namespace})
	}
	p := &netpol.Policy{Ref: i.Ref, Subject: netpol.Unknown{Within: within, Why: why}}
	rules := &netpol.Rules{Isolates: true, Unknown: why}
	switch i.Group() {
	case "networking.k8s.io":
		p.Tier, p.Order = kubernetes.NetworkPolicyTier(g.enforcement)
		rules = &netpol.Rules{Isolates: true, List: []netpol.Rule{{Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.AllPorts(), Unknown: why}}}
	case "security.istio.io":
		p.Tier = netpol.Tier{Name: "not valid", Layer: netpol.Mesh, Order: math.Inf(-1), Default: netpol.Deny}
	default:
		p.Tier = netpol.Tier{Name: "not valid", Layer: netpol.Network, Order: math.Inf(-1), Default: netpol.Deny}
	}
	p.Ingress, p.Egress = rules, rules
	return p
}
