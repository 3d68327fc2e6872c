package reach

import (
	"cmp"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Here one question is answered in the obvious way, policy by policy and rule by rule.
// It shares the endpoints, the order of policies and which of them may be about an
// endpoint with the evaluation for all pairs, and nothing else: tests hold them against
// each other.

// means reports whether an expression means an endpoint in connections of a family, and
// if that is not known, why.
func (g *Graph) means(x netpol.Expr, e *member, f family) (t truth, why string) {
	switch x := x.(type) {
	case netpol.Every:
		return g.all(x, e, f)
	case netpol.Some:
		return g.any(x, e, f)
	case netpol.Not:
		t, why = g.means(x.Of, e, f)
		return isSo - t, why
	case netpol.Is:
		return truthOf(e.Kind == x.Kind), ""
	case netpol.Label:
		return labelled(x, e.owners[min(x.Of, netpol.Node)])
	case netpol.Named:
		return g.belongs(x, e)
	case netpol.Pods:
		return e.among(x.Of)
	case netpol.Address:
		if t := addressed(e.Kind, f.part(e.Addresses), x.In, g.blind); t != mayBe {
			return t, ""
		}
		return mayBe, "which address it has is not known"
	case netpol.Unknown:
		if t, why := g.means(x.Within, e, f); t != isSo {
			return t, why
		}
		return mayBe, x.Why
	}
	return mayBe, "the rule is not understood"
}

// belongs reports whether an endpoint belongs to what has a name.
func (g *Graph) belongs(x netpol.Named, e *member) (t truth, why string) {
	if x.Of == netpol.Pod {
		if e.Kind > netpol.OfHost {
			return isNot, ""
		}
		return mayBe, "the names of pods are not known"
	}
	name, why := e.ownerName(x.Of)
	switch {
	case why == "":
		return truthOf(name != "" && name == x.Name), ""
	case x.Of == netpol.Namespace && g.universe.seen[x.Name]:
		return isNot, ""
	}
	return mayBe, why
}

// among reports whether the endpoint is pods of one of the workloads.
func (e *member) among(list []*evidence.Workload) (t truth, why string) {
	if e.unread {
		return mayBe, onlyNamespace
	}
	return truthOf(slices.ContainsFunc(e.Workloads, func(w *evidence.Workload) bool { return slices.Contains(list, w) })), ""
}

func (g *Graph) all(parts []netpol.Expr, e *member, f family) (t truth, why string) {
	t = isSo
	for _, part := range parts {
		switch is, because := g.means(part, e, f); {
		case is == isNot:
			return isNot, ""
		case is == mayBe && (t == isSo || bare(why)):
			t, why = mayBe, because
		}
	}
	return t, why
}

func (g *Graph) any(parts []netpol.Expr, e *member, f family) (t truth, why string) {
	for _, part := range parts {
		switch is, because := g.means(part, e, f); {
		case is == isSo:
			return isSo, ""
		case is == mayBe && (t == isNot || bare(why)):
			t, why = mayBe, because
		}
	}
	return t, why
}

func labelled(l netpol.Label, h *holder) (t truth, why string) {
	value, present, why := h.value(l.Key)
	if why != "" {
		return mayBe, why
	}
	positive := present && holds(l, value)
	return truthOf(positive != negative(l.Op)), ""
}

// A walk is one question on its way through the policies of one end.
type walk struct {
	g             *Graph
	direction     netpol.Direction
	family        family
	subject, peer *member
	steps         []Step

	live, passed, allow, deny, opened ports.Set
}

// meansIn is what means says of the families that an endpoint may have.
func (g *Graph) meansIn(x netpol.Expr, e *member) (t truth, why string) {
	if e.has[ipv4] == isNot {
		return g.means(x, e, ipv6)
	}
	t, why = g.means(x, e, ipv4)
	if e.has[ipv6] == isNot {
		return t, why
	}
	switch six, because := g.means(x, e, ipv6); {
	case six == t:
		return t, why
	case six == mayBe:
		return mayBe, because
	}
	return mayBe, cmp.Or(why, "it is not the same for IPv4 and for IPv6")
}

// Explain says for each of the asked ports how it is decided between two
// endpoints, and by which rule.
func (g *Graph) Explain(src, dst *Endpoint, asked ports.Set) Explanation {
	x := Explanation{Src: src, Dst: dst}
	s, d := g.member(src), g.member(dst)
	x.settle(s.between(d), asked, func(f family) (verdict, []Step) {
		out, steps := g.weighEnd(s, netpol.Egress, d, asked, f)
		in, more := g.weighEnd(d, netpol.Ingress, s, asked, f)
		return out.and(in), append(steps, more...)
	})
	return x
}

// Weigh says how the policies of one endpoint alone decide, in one direction, about
// connections with a peer.
func (g *Graph) Weigh(e *Endpoint, d netpol.Direction, peer *Endpoint, asked ports.Set) Explanation {
	x := Explanation{Src: e, Dst: peer}
	if d == netpol.Ingress {
		x.Src, x.Dst = peer, e
	}
	s, p := g.member(e), g.member(peer)
	x.settle(s.between(p), asked, func(f family) (verdict, []Step) { return g.weighEnd(s, d, p, asked, f) })
	return x
}

// settle puts the answers for both families together.
func (x *Explanation) settle(in families, asked ports.Set, ask func(family) (verdict, []Step)) {
	var v [2]verdict
	var steps [2][]Step
	for f := range v {
		if in[f] != isNot {
			v[f], steps[f] = ask(family(f))
		}
	}
	both := in.either(v[ipv4], v[ipv6])
	x.Allowed, x.Unknown, x.Limited = both.allowed, both.unknown, both.limited
	x.Denied = asked.Minus(x.Allowed).Minus(x.Unknown)
	x.Steps = steps[ipv4]
	switch {
	case in[ipv4] == isNot:
		x.Steps = steps[ipv6]
	case in[ipv6] != isNot && !slices.EqualFunc(steps[ipv4], steps[ipv6], sameStep):
		for f, list := range steps {
			for i := range list {
				list[i].Family = family(f).String()
			}
		}
		x.Steps = append(steps[ipv4], steps[ipv6]...)
	}
}

func sameStep(a, b Step) bool {
	return a.Policy == b.Policy && a.Rule == b.Rule && a.Action == b.Action && a.Direction == b.Direction &&
		a.Ports.Equal(b.Ports) && a.Unknown == b.Unknown && a.Limits == b.Limits && a.Why == b.Why
}

// weighEnd asks the policies of one end in every layer.
func (g *Graph) weighEnd(subject *member, d netpol.Direction, peer *member, asked ports.Set, f family) (verdict, []Step) {
	v := verdict{allowed: asked}
	var denied ports.Set
	var steps []Step
	for layer, tiers := range byTier(g.about(subject, d)) {
		w := &walk{g: g, direction: d, family: f, subject: subject, peer: peer, live: asked}
		allowed, shut := w.layer(netpol.Layer(layer), tiers, asked)
		v.allowed, denied = v.allowed.Intersect(allowed), denied.Union(shut)
		v.limited = v.limited.Union(w.opened.Intersect(w.deny))
		steps = append(steps, w.steps...)
	}
	v.unknown = asked.Minus(v.allowed).Minus(denied)
	v.limited = v.limited.Intersect(v.allowed)
	return v, steps
}

// about are the policies with rules of a direction that are about an endpoint, or may be.
func (g *Graph) about(e *member, d netpol.Direction) []*netpol.Policy {
	dir := g.directions[d]
	switch {
	case e.ID != unread:
		four, six := dir.chainOf[ipv4][e.ID], dir.chainOf[ipv6][e.ID]
		places := dir.places(nil, four)
		if six != four {
			places = dir.places(places, six)
		}
		return g.at(places)
	case e.Kind == netpol.OfPod && e.Namespace != "":
		return g.at(slices.Concat(dir.bare[e.Namespace], dir.bare[""]))
	}
	return slices.DeleteFunc(slices.Clone(g.policies), func(p *netpol.Policy) bool { return p.Side(d) == nil })
}

// at are the policies at some places, in the order in which they are asked.
func (g *Graph) at(places []int32) []*netpol.Policy {
	slices.Sort(places)
	places = slices.Compact(places)
	list := make([]*netpol.Policy, len(places))
	for i, place := range places {
		list[i] = g.policies[place]
	}
	return list
}

// byTier are policies by layer and tier.
func byTier(policies []*netpol.Policy) (layers [2][][]*netpol.Policy) {
	for _, p := range policies {
		tiers := &layers[p.Tier.Layer]
		if n := len(*tiers); n == 0 || compareTiers((*tiers)[n-1][0].Tier, p.Tier) != 0 {
			*tiers = append(*tiers, nil)
		}
		(*tiers)[len(*tiers)-1] = append((*tiers)[len(*tiers)-1], p)
	}
	return layers
}

// An opinion is a policy that is about the subject, or may be.
type opinion struct {
	*netpol.Policy
	*netpol.Rules
	why   string // why it is not known that it is about the subject, "" where it is
	spoke bool   // a rule of it matched
}

func (w *walk) layer(l netpol.Layer, tiers [][]*netpol.Policy, asked ports.Set) (allowed, denied ports.Set) {
	if l == netpol.Network && w.node() && w.direction == netpol.Ingress && w.g.enforcement == netpol.Calico {
		w.steps = []Step{{Direction: w.direction, Action: netpol.Allow, Ports: asked, Why: fromOwnNode}}
		return asked, ports.Set{}
	}
	for _, tier := range tiers {
		w.tier(tier)
	}
	if l == netpol.Network || len(w.steps) > 0 {
		w.rest()
	}
	w.allow = w.allow.Union(w.live)
	return w.allow.Minus(w.deny).Union(w.opened), w.deny.Minus(w.allow).Minus(w.opened)
}

// node reports whether the connection is between a pod and a node, which may be the
// one that it runs on.
func (w *walk) node() bool { return w.subject.Kind == netpol.OfPod && w.peer.Kind == netpol.OfHost }

const (
	fromOwnNode = "pods are always reached from the node that they run on"
	toOwnNode   = "whether pods reach the node that they run on, where no policy allows it, depends on the plugin"
)

// rest is the step of what no tier has decided.
func (w *walk) rest() {
	switch {
	case w.live.Empty():
	case len(w.steps) == 0:
		w.steps = []Step{{Direction: w.direction, Action: netpol.Allow, Ports: w.live, Why: "no policy is about it"}}
	default:
		w.steps = append(w.steps, Step{Direction: w.direction, Action: netpol.Allow, Ports: w.live, Why: "no policy decides"})
	}
}

// tier asks the policies of a tier.
func (w *walk) tier(policies []*netpol.Policy) {
	var about []*opinion
	for _, p := range policies {
		if t, why := w.g.means(p.Subject, w.subject, w.family); t != isNot {
			about = append(about, &opinion{Policy: p, Rules: p.Side(w.direction), why: why})
		}
	}
	if len(about) == 0 {
		return
	}
	tier := about[0].Tier
	switch {
	case tier.Unordered:
		w.unordered(about)
	case tier.DenyFirst:
		w.ask(about, func(a netpol.Action) bool { return a == netpol.Deny })
		w.ask(about, func(a netpol.Action) bool { return a != netpol.Deny })
	default:
		w.ask(about, func(netpol.Action) bool { return true })
	}
	w.endTier(tier, about)
	w.live, w.passed = w.live.Union(w.passed), ports.Set{}
}

// unordered asks policies of equal order each by itself.
func (w *walk) unordered(about []*opinion) {
	for len(about) > 0 {
		n := slices.IndexFunc(about, func(o *opinion) bool { return o.Order != about[0].Order })
		if n < 0 {
			n = len(about)
		}
		live, left, opened := w.live, w.live, w.opened
		for i := range about[:n] {
			w.live = live
			w.ask(about[i:i+1], func(netpol.Action) bool { return true })
			left = left.Intersect(w.live)
		}
		w.live = left
		if n > 1 {
			w.opened = opened.Union(w.opened.Minus(w.deny).Minus(w.passed))
		}
		about = about[n:]
	}
}

// ask asks the rules of policies that have certain actions, in order.
func (w *walk) ask(about []*opinion, of func(netpol.Action) bool) {
	for _, o := range about {
		if o.Rules.Unknown != "" {
			w.anything(o, of)
		}
		for i := range o.List {
			if of(o.List[i].Action) {
				w.rule(o, &o.List[i])
			}
		}
	}
}

// anything is the step of a policy of which it is not known what it does.
func (w *walk) anything(o *opinion, of func(netpol.Action) bool) {
	for _, a := range []netpol.Action{netpol.Allow, netpol.Deny} {
		if of(a) {
			w.decide(a, w.live)
			w.step(o, Step{Action: a, Ports: w.live, Unknown: o.Rules.Unknown})
		}
	}
}

func (w *walk) rule(o *opinion, r *netpol.Rule) {
	t, why := w.g.means(r.Peers, w.peer, w.family)
	if t == isNot {
		return
	}
	if why == "" {
		why = r.Unknown
	}
	if why == "" {
		why = o.why
	}
	accepting := w.peer
	if w.direction == netpol.Ingress {
		accepting = w.subject
	}
	sure, maybe, whyPorts := r.Ports.Set, ports.Set{}, ""
	for _, n := range r.Ports.Named {
		is, may, because := accepting.named(n)
		sure, maybe = sure.Union(is), maybe.Union(may)
		if because != "" {
			whyPorts = because
		}
	}
	w.match(o, r, sure.Intersect(w.live), why)
	if why == "" {
		why = whyPorts
	}
	w.match(o, r, maybe.Intersect(w.live), why)
}

// match notes that a rule matches ports, perhaps only if there is a reason why it may not.
func (w *walk) match(o *opinion, r *netpol.Rule, hit ports.Set, why string) {
	if hit.Empty() {
		return
	}
	w.step(o, Step{Rule: r, Action: r.Action, Ports: hit, Unknown: why, Limits: r.Limits})
	switch {
	case why != "":
		w.decide(r.Action, hit)
	case r.Limits != "":
		w.opened = w.opened.Union(hit.Minus(w.deny).Minus(w.passed))
		w.decide(netpol.Allow, hit)
	default:
		w.decide(r.Action, hit)
		w.live = w.live.Minus(hit)
	}
}

func (w *walk) decide(a netpol.Action, hit ports.Set) {
	switch a {
	case netpol.Allow:
		w.allow = w.allow.Union(hit)
	case netpol.Deny:
		w.deny = w.deny.Union(hit)
	case netpol.Pass:
		w.passed = w.passed.Union(hit)
	}
}

func (w *walk) step(o *opinion, s Step) {
	o.spoke = true
	s.Direction, s.Policy = w.direction, o.Policy
	w.steps = append(w.steps, s)
}

// endTier decides by the tier's default what is left, if a policy isolates the
// subject, and notes the policies that had nothing to say.
func (w *walk) endTier(t netpol.Tier, about []*opinion) {
	isolating := slices.IndexFunc(about, func(o *opinion) bool { return o.Isolates && o.why == "" })
	if isolating < 0 {
		isolating = slices.IndexFunc(about, func(o *opinion) bool { return o.Isolates })
	}
	for i, o := range about {
		switch {
		case i == isolating && t.Default == netpol.Deny && !w.live.Empty():
			w.isolated(t, o)
		case !o.spoke && o.Isolates:
			w.step(o, Step{Action: t.Default, Unknown: o.why})
		case !o.spoke:
			w.step(o, Step{Action: netpol.Pass, Unknown: o.why})
		}
	}
}

// isolated decides what is left by the default of a tier with a policy that isolates.
func (w *walk) isolated(t netpol.Tier, by *opinion) {
	s := Step{Action: netpol.Deny, Ports: w.live, Unknown: by.why}
	switch {
	case !w.node() || t.Layer != netpol.Network:
	case w.direction == netpol.Ingress:
		s.Action, s.Why = netpol.Allow, fromOwnNode
	case w.g.enforcement == netpol.Kubernetes:
		s.Unknown = toOwnNode
		w.decide(netpol.Allow, w.live)
	}
	w.step(by, s)
	w.decide(s.Action, w.live)
	if by.why == "" {
		w.live = ports.Set{}
	}
}
