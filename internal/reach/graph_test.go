package reach

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A dice makes small clusters and policies out of all that the form of policies has,
// with so few names that they meet.
type dice struct {
	*rand.Rand
	snap *evidence.Snapshot
}

func newDice(seed uint64) *dice { return &dice{Rand: rand.New(rand.NewPCG(seed, 1))} }

// once is true once in n times.
func (d *dice) once(n int) bool { return d.IntN(n) == 0 }

func oneOf[T any](d *dice, list ...T) T { return list[d.IntN(len(list))] }

func (d *dice) labels() map[string]string {
	labels := map[string]string{}
	for _, key := range []string{"app", "tier", "pod-template-hash"} {
		if d.once(2) {
			labels[key] = oneOf(d, "a", "ab", "b")
		}
	}
	return labels
}

// cluster makes a snapshot: some namespaces, accounts and nodes are not among it.
func (d *dice) cluster() *evidence.Snapshot {
	d.snap = &evidence.Snapshot{}
	for _, name := range []string{"red", "green", "blue"} {
		if !d.once(4) {
			d.snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: name},
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: d.labels()}})
		}
		if d.once(2) {
			d.snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: name, Name: "default"},
				&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name, Labels: d.labels()}})
		}
	}
	for i := range d.IntN(3) {
		name := fmt.Sprint("node-", i)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: d.labels()}}
		if d.once(2) {
			node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprint(oneOf(d, "192.0.2.", "2001:db8::"), i)}}
		}
		if d.once(2) {
			node.Spec.PodCIDRs = []string{fmt.Sprintf("10.1.%d.0/24", i), fmt.Sprintf("fd00:%d::/64", i)}[d.IntN(2):]
		}
		d.snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: name}, node)
	}
	if d.once(2) {
		d.snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Service", Namespace: "default", Name: "kubernetes"},
			&corev1.Service{Spec: corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.1", "fd01::1"}[d.IntN(2):]}})
	}
	for i := range 2 + d.IntN(6) {
		d.workload(fmt.Sprint("w", i))
	}
	return d.snap
}

func (d *dice) workload(name string) {
	pod := &corev1.PodSpec{ServiceAccountName: oneOf(d, "", "", "default", "bot"), HostNetwork: d.once(6)}
	if pod.HostNetwork && d.once(2) {
		pod.NodeName = "node-0"
	}
	var list []corev1.ContainerPort
	for range d.IntN(4) {
		list = append(list, corev1.ContainerPort{Name: oneOf(d, "http", "dns"), ContainerPort: oneOf[int32](d, 53, 80, 8080),
			Protocol: oneOf(d, corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP)})
	}
	pod.Containers = []corev1.Container{{Name: "main", Ports: list}}
	w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &metav1.ObjectMeta{Labels: d.labels()}, pod)
	if d.once(6) {
		w.Partial = "labels"
	}
	ref := &evidence.Ref{Kind: oneOf(d, "Deployment", "Pod", "Widget"), Namespace: oneOf(d, "red", "green", "blue"), Name: name}
	if n := len(d.snap.Workloads); n > 0 && d.once(4) { // alike in all that policies can ask
		like := *d.snap.Workloads[n-1]
		like.PodLabels = maps.Clone(like.PodLabels)
		ref.Kind, ref.Namespace, w = like.Kind, like.Namespace, &like
	}
	d.snap.Add(ref, []*evidence.Workload{w})
}

func (d *dice) expr(depth int) netpol.Expr {
	parts := func() (list []netpol.Expr) {
		for range d.IntN(4) {
			list = append(list, d.expr(depth-1))
		}
		return list
	}
	switch n := d.IntN(12); {
	case depth > 0 && n < 3:
		return netpol.Every(parts())
	case depth > 0 && n < 6:
		return netpol.Some(parts())
	case depth > 0 && n == 6:
		return netpol.Not{Of: d.expr(depth - 1)}
	case depth > 0 && n == 7:
		return netpol.Unknown{Within: d.expr(depth - 1), Why: "nobody knows"}
	case n == 8:
		return netpol.Is{Kind: netpol.Kind(d.IntN(4))}
	case n == 9:
		return netpol.Named{Of: oneOf(d, netpol.Namespace, netpol.ServiceAccount, netpol.Node, netpol.Pod), Name: oneOf(d, "red", "green", "default", "bot", "node-0")}
	case n == 10:
		return netpol.Address{In: d.addresses()}
	case n == 11 && d.once(2):
		return netpol.Pods{Of: d.snap.Workloads[:d.IntN(len(d.snap.Workloads)+1)]}
	}
	return netpol.Label{Of: netpol.Owner(d.IntN(4)), Key: oneOf(d, "app", "tier", "pod-template-hash", corev1.LabelMetadataName),
		Op: netpol.Op(d.IntN(7)), Values: []string{oneOf(d, "a", "b", "red")}}
}

func (d *dice) addresses() cidr.Set {
	set, err := cidr.Parse(oneOf(d, "0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/24", "192.0.2.0/31", "192.0.2.1", "fd00::/16", "2001:db8::1", "169.254.169.254", "2001:db8::/32", "203.0.113.0/24"))
	if err != nil {
		panic(err)
	}
	if d.once(3) {
		return set.Union(d.addresses())
	}
	if d.once(4) {
		return set.Minus(d.addresses())
	}
	return set
}

func (d *dice) ports() netpol.Ports {
	if d.once(3) {
		return netpol.AllPorts()
	}
	var p netpol.Ports
	for range 1 + d.IntN(2) {
		protocol := oneOf(d, ports.TCP, ports.TCP, ports.UDP, ports.ICMP)
		if d.once(2) {
			p.Named = append(p.Named, netpol.NamedPort{Protocol: protocol, Name: oneOf(d, "http", "dns")})
			continue
		}
		lo := oneOf[uint16](d, 1, 53, 80, 8080)
		p.Set = p.Set.Union(ports.Of(protocol, lo, oneOf(d, lo, 80, 8080, 65535)))
	}
	return p
}

// rules are of any action, or all of one.
func (d *dice) rules(only netpol.Action) *netpol.Rules {
	if d.once(4) {
		return nil
	}
	r := &netpol.Rules{Isolates: !d.once(4)}
	if only == 0 && d.once(10) {
		r.Unknown = "not read"
	}
	for i := range d.IntN(4) {
		rule := netpol.Rule{Action: netpol.Action(1 + d.IntN(3)), Peers: d.expr(2), Ports: d.ports(), Index: i}
		if only != 0 {
			rule.Action = only
		}
		if d.once(3) {
			rule.Action, rule.Limits = netpol.Allow, "GET"
		}
		if d.once(5) {
			rule.Unknown = "not read"
		}
		r.List = append(r.List, rule)
	}
	return r
}

func (d *dice) tiers() (list []netpol.Tier) {
	for i := range 1 + d.IntN(4) {
		t := netpol.Tier{Name: fmt.Sprint("tier", i), Order: float64(d.IntN(2)), Default: oneOf(d, netpol.Deny, netpol.Deny, netpol.Pass)}
		if d.once(5) {
			t.Layer = netpol.Mesh
		}
		switch d.IntN(4) {
		case 0:
			t.DenyFirst = true
		case 1:
			t.Unordered = true
		}
		list = append(list, t)
	}
	return list
}

func (d *dice) policies() (list []*netpol.Policy) {
	tiers := d.tiers()
	for i := range 1 + d.IntN(6) {
		list = append(list, &netpol.Policy{Ref: &evidence.Ref{Kind: "Policy", Name: fmt.Sprint("p", i)}, Tier: oneOf(d, tiers...),
			Order: float64(d.IntN(2)), Subject: d.expr(1), Ingress: d.rules(0), Egress: d.rules(0)})
	}
	return list
}

// graphOf weighs policies of no reader.
func graphOf(snap *evidence.Snapshot, e netpol.Enforcement, policies []*netpol.Policy) *Graph {
	g := &Graph{enforcement: e, blind: truthOf(e == netpol.Cilium), policies: slices.Clone(policies)}
	slices.SortStableFunc(g.policies, compareOrder)
	g.survey(snap, Options{})
	return g
}

func (d *dice) enforcement() netpol.Enforcement {
	return oneOf(d, netpol.Kubernetes, netpol.Cilium, netpol.Calico)
}

const rounds = 400

// Whatever is asked of all pairs at once and of one pair alone has one answer.
func TestExplainIsBetween(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		d := newDice(seed)
		g := graphOf(d.cluster(), d.enforcement(), d.policies())
		for _, src := range g.Endpoints() {
			for _, dst := range g.Endpoints() {
				c, x := g.Between(src, dst), g.Explain(src, dst, ports.All())
				if !c.Ports.Equal(x.Allowed) || !c.Unknown.Equal(x.Unknown) || c.Limited == x.Limited.Empty() {
					t.Fatalf("seed %d: %v %s to %v %s: all at once %v, unknown %v, limited %v; alone %v, unknown %v, limited %v", seed,
						src.Kind, src.Name, dst.Kind, dst.Name, c.Ports, c.Unknown, c.Limited, x.Allowed, x.Unknown, x.Limited)
				}
				if !x.Allowed.Union(x.Denied).Union(x.Unknown).Equal(ports.All()) || !x.Allowed.Intersect(x.Denied).Empty() {
					t.Fatalf("seed %d: allowed %v, denied %v, unknown %v", seed, x.Allowed, x.Denied, x.Unknown)
				}
			}
		}
	}
}

// A policy is asked about an endpoint if and only if its subject means the endpoint.
func TestChains(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		d := newDice(seed)
		g := graphOf(d.cluster(), d.enforcement(), d.policies())
		for _, m := range g.universe.members {
			for d, dir := range g.directions {
				for f, chainOf := range dir.chainOf {
					asked := map[int32]truth{}
					for _, link := range dir.links(chainOf[m.ID]) {
						asked[link.policy] = mayBe + truthOf(link.sure)/isSo
					}
					for i, p := range g.policies {
						want, why := g.means(p.Subject, m, family(f))
						if p.Side(netpol.Direction(d)) == nil {
							want = isNot
						}
						if asked[int32(i)] != want {
							t.Fatalf("seed %d: %v is asked about %v over %v: %v, want %v (%s)", seed, p.Ref, m.Endpoint, family(f), asked[int32(i)], want, why)
						}
					}
				}
			}
		}
	}
}

// Connections are the pairs with something between them, in order.
func TestConnections(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds / 4) {
		d := newDice(seed)
		g := graphOf(d.cluster(), d.enforcement(), d.policies())
		var want []Connection
		for _, src := range g.Endpoints() {
			for _, dst := range g.Endpoints() {
				c := g.Between(src, dst)
				if (src.Kind != netpol.OfWorld || dst.Kind != netpol.OfWorld) && !(c.Ports.Empty() && c.Unknown.Empty()) {
					want = append(want, c)
				}
			}
		}
		got := slices.Collect(g.Connections())
		if !slices.EqualFunc(got, want, func(a, b Connection) bool {
			return a.Src == b.Src && a.Dst == b.Dst && a.Ports.Equal(b.Ports) && a.Unknown.Equal(b.Unknown) && a.Limited == b.Limited
		}) {
			t.Fatalf("seed %d: %d connections, want %d", seed, len(got), len(want))
		}
	}
}

// One more rule that allows something closes nothing, and makes nothing that is open
// less certain.
func TestAllowOpens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		d := newDice(seed)
		snap, policies, e := d.cluster(), d.policies(), d.enforcement()
		rule := netpol.Rule{Action: netpol.Allow, Peers: d.expr(1), Ports: d.ports()}
		// An edge of a new block would cut endpoints: it is there before, in a rule that does nothing.
		idle := &netpol.Policy{Ref: &evidence.Ref{Kind: "Policy", Name: "idle"}, Subject: netpol.Every{netpol.Nobody(), rule.Peers}}
		policies = append(policies, idle)
		before := graphOf(snap, e, policies)
		p := policies[d.IntN(len(policies)-1)]
		for _, rules := range []*netpol.Rules{p.Ingress, p.Egress} {
			if rules != nil {
				rules.List = slices.Insert(rules.List, d.IntN(len(rules.List)+1), rule)
			}
		}
		after := graphOf(snap, e, policies)
		for i, src := range before.Endpoints() {
			for j, dst := range before.Endpoints() {
				b, a := before.Between(src, dst), after.Between(after.Endpoints()[i], after.Endpoints()[j])
				if !a.Ports.Covers(b.Ports) || !a.Ports.Union(a.Unknown).Covers(b.Ports.Union(b.Unknown)) {
					t.Fatalf("seed %d: %v (unknown %v) became %v (unknown %v)", seed, b.Ports, b.Unknown, a.Ports, a.Unknown)
				}
			}
		}
	}
}

// The order of policies that can only allow does not matter.
func TestOrderOfAllowing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds) {
		d := newDice(seed)
		snap, e := d.cluster(), d.enforcement()
		var policies []*netpol.Policy
		for i := range 2 + d.IntN(4) {
			policies = append(policies, &netpol.Policy{Ref: &evidence.Ref{Kind: "Policy", Name: fmt.Sprint("p", i)}, Order: float64(i),
				Tier: netpol.Tier{Name: "NetworkPolicy", Default: netpol.Deny}, Subject: d.expr(1), Ingress: d.rules(netpol.Allow), Egress: d.rules(netpol.Allow)})
		}
		first := graphOf(snap, e, policies)
		for i, order := range d.Perm(len(policies)) {
			policies[i].Order = float64(order)
		}
		other := graphOf(snap, e, policies)
		for i, src := range first.Endpoints() {
			for j, dst := range first.Endpoints() {
				a, b := first.Between(src, dst), other.Between(other.Endpoints()[i], other.Endpoints()[j])
				if !a.Ports.Equal(b.Ports) || !a.Unknown.Equal(b.Unknown) || a.Limited != b.Limited {
					t.Fatalf("seed %d: %v (unknown %v, limited %v), or %v (unknown %v, limited %v)", seed, a.Ports, a.Unknown, a.Limited, b.Ports, b.Unknown, b.Limited)
				}
			}
		}
	}
}

// That pods are taken together, whom no policy tells apart, changes no answer.
func TestClasses(t *testing.T) {
	t.Parallel()
	joined := 0
	for seed := range uint64(rounds) {
		d := newDice(seed)
		snap, policies, e := d.cluster(), d.policies(), d.enforcement()
		classes := graphOf(snap, e, policies)
		for i, w := range snap.Workloads {
			w.PodLabels["unasked"] = fmt.Sprint(i)
		}
		single := graphOf(snap, e, policies)
		joined += len(single.Endpoints()) - len(classes.Endpoints())
		for _, src := range snap.Workloads {
			for _, dst := range snap.Workloads {
				a, b := classes.Between(classes.Of(src), classes.Of(dst)), single.Between(single.Of(src), single.Of(dst))
				if !a.Ports.Equal(b.Ports) || !a.Unknown.Equal(b.Unknown) {
					t.Fatalf("seed %d: %v to %v: %v (unknown %v) in classes, %v (unknown %v) alone", seed, src, dst, a.Ports, a.Unknown, b.Ports, b.Unknown)
				}
			}
		}
	}
	if joined == 0 {
		t.Error("no two workloads were ever taken together")
	}
}

// Over two families more is open than over one, and only what is so over all that
// there may be is certain.
func TestEither(t *testing.T) {
	t.Parallel()
	at := func(list ...uint16) (s ports.Set) {
		for _, p := range list {
			s = s.Union(ports.Of(ports.TCP, p, p))
		}
		return s
	}
	four := verdict{allowed: at(1, 2, 3), unknown: at(4, 5), limited: at(2, 3)}
	six := verdict{allowed: at(1, 3, 4, 6), unknown: at(2), limited: at(3, 4)}
	for in, want := range map[families]verdict{
		{isSo, isNot}:  four,
		{isNot, isSo}:  six,
		{mayBe, isNot}: four,
		{isSo, isSo}:   {allowed: at(1, 2, 3, 4, 6), unknown: at(5), limited: at(2, 3, 4)},
		{isSo, mayBe}:  {allowed: at(1, 2, 3), unknown: at(4, 5, 6), limited: at(2, 3)},
		{mayBe, isSo}:  {allowed: at(1, 3, 4, 6), unknown: at(2, 5), limited: at(3, 4)},
		{mayBe, mayBe}: {allowed: at(1, 3), unknown: at(2, 4, 5, 6), limited: at(3)},
	} {
		if got := in.either(four, six); got.key() != want.key() {
			t.Errorf("%v: %v, unknown %v, limited %v", in, got.allowed, got.unknown, got.limited)
		}
	}
	icmp := verdict{allowed: ports.Every(ports.ICMP).Union(ports.Every(ports.ICMPv6))}
	if got := (families{isSo, isSo}).either(icmp, verdict{}); !got.allowed.Equal(ports.Every(ports.ICMP)) || !got.unknown.Empty() {
		t.Errorf("what IPv4 alone lets through is %v, unknown %v", got.allowed, got.unknown)
	}
}
