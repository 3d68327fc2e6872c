package need

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Review holds what policies allow against what is needed. It is not safe for
// concurrent use.
type Review struct {
	catalog *Catalog
	finder  *reach.Finder
	// between is what is needed from one set to another.
	between map[[2]*Set]ports.Set
	// others are, by direction, the needs of a set whose other end is no set, and open
	// those of addresses among them, as far as somebody asked.
	others    [2]map[*Set][]*Need
	open      [2]map[*Set][]rectangle
	resolvers []Resolver
}

// A rectangle is the same ports at all of some addresses.
type rectangle struct {
	addresses cidr.Set
	ports     ports.Set
}

// An Excess is what a rule allows and nothing declares to be needed, or why that cannot
// be told.
type Excess struct {
	// Path is the rule's, in its policy.
	Path evidence.Path
	// Opens is the first connection of that kind, "" where Why says what is not known.
	Opens, Why string
}

// NewReview prepares to look at the policies of the catalog's graph.
func NewReview(c *Catalog) *Review {
	r := &Review{
		catalog: c, finder: reach.NewFinder(c.Graph), resolvers: c.Resolvers(),
		between: map[[2]*Set]ports.Set{},
	}
	for d := range r.others {
		r.others[d], r.open[d] = map[*Set][]*Need{}, map[*Set][]rectangle{}
	}
	for _, n := range c.Needs.List() {
		from, to := n.From.Kind == OfSet, n.To.Kind == OfSet
		switch {
		case from && to:
			r.between[[2]*Set{n.From.Set, n.To.Set}] = n.sound()
		case from:
			r.others[netpol.Egress][n.From.Set] = append(r.others[netpol.Egress][n.From.Set], n)
		case to:
			r.others[netpol.Ingress][n.To.Set] = append(r.others[netpol.Ingress][n.To.Set], n)
		}
	}
	return r
}

// sound are the ports of a need that something good speaks for.
func (n *Need) sound() (set ports.Set) {
	for _, why := range n.Reasons {
		if why.Weak == "" {
			set = set.Union(why.Ports)
		}
	}
	return set
}

// Undeclared is what the rules of a policy allow beyond what is needed: of each rule the
// first connection.
func (r *Review) Undeclared(p *netpol.Policy) (list []Excess) {
	var subjects []*Set
	for _, e := range r.finder.Meant(p.Subject) {
		if e.Kind == netpol.OfPod {
			subjects = r.add(subjects, e)
		}
	}
	for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
		rules := p.Side(d)
		if rules == nil {
			continue
		}
		if rules.Unknown != "" {
			list = append(list, Excess{Path: evidence.NewPath("spec", d.String()), Why: rules.Unknown})
			continue
		}
		for i := range rules.List {
			q := question{Review: r, rule: &rules.List[i], direction: d}
			if x := q.ask(p, subjects); x != nil {
				x.Path = q.rule.Path
				list = append(list, *x)
			}
		}
	}
	return list
}

// add adds the sets of an endpoint's pods.
func (r *Review) add(list []*Set, e *reach.Endpoint) []*Set {
	for _, w := range e.Workloads {
		if s := r.catalog.Of[w]; s != nil && (len(list) == 0 || list[len(list)-1] != s) && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// A question is what one rule allows beyond what is needed.
type question struct {
	*Review
	rule      *netpol.Rule
	direction netpol.Direction
}

func (q *question) ask(p *netpol.Policy, subjects []*Set) *Excess {
	switch {
	case q.rule.Action != netpol.Allow:
		return nil
	case q.rule.Unknown != "":
		return &Excess{Why: q.rule.Unknown}
	case len(subjects) == 0:
		if complete, why := q.catalog.Snap.Complete(evidence.Workloads, p.Namespace); !complete {
			return &Excess{Why: "the policy is about no pod that was read: " + why}
		}
		return nil
	}
	for _, x := range alternatives(q.rule.Peers) {
		if found := q.alternative(x, subjects); found != nil {
			return found
		}
	}
	return nil
}

// alternatives are the parts of an expression any of which is enough.
func alternatives(x netpol.Expr) []netpol.Expr {
	some, ok := x.(netpol.Some)
	if !ok {
		return []netpol.Expr{x}
	}
	var list []netpol.Expr
	for _, part := range some {
		list = append(list, alternatives(part)...)
	}
	return list
}

// alternative looks at some of the peers of the rule.
func (q *question) alternative(x netpol.Expr, subjects []*Set) *Excess {
	if set, ok := within(x); ok {
		for _, s := range subjects {
			if found := q.addresses(s, set); found != nil {
				return found
			}
		}
		return nil
	}
	peers := q.finder.Meant(x)
	nameServers := q.direction == netpol.Egress && demandsNameServers(x)
	if len(peers) == 0 && !nameServers {
		return &Excess{Why: "none of its peers is among what was read"}
	}
	wide := q.unread(x, peers)
	if (wide != "" || len(peers) == 0) && q.direction == netpol.Egress && len(q.rule.Ports.Named) > 0 {
		return &Excess{Why: "what pods that were not read call their ports is not known"}
	}
	for _, s := range subjects {
		if wide != "" {
			if found := q.excess(s, wide, q.numbers(s, nil), q.ofKind(s, OfAnyPod)); found != nil {
				return found
			}
		}
		if nameServers && len(peers) == 0 {
			if found := q.excess(s, "the cluster's name servers", q.numbers(s, nil), q.resolved(s)); found != nil {
				return found
			}
		}
		for _, e := range peers {
			if found := q.peer(s, e, nameServers); found != nil {
				return found
			}
		}
	}
	return nil
}

// excess is what of some ports is not needed between a set and whom the rule names.
func (q *question) excess(s *Set, peer string, asked, needed ports.Set) *Excess {
	extra := asked.Minus(needed)
	if extra.Empty() {
		return nil
	}
	from, to := s.String(), peer
	if q.direction == netpol.Ingress {
		from, to = to, from
	}
	return &Excess{Opens: fmt.Sprintf("%s => %s : %s", from, to, extra)}
}

// peer looks at one endpoint that the rule names.
func (q *question) peer(s *Set, e *reach.Endpoint, nameServer bool) *Excess {
	switch e.Kind {
	case netpol.OfPod:
		for _, o := range q.add(nil, e) {
			needed := q.pods(s, o)
			if nameServer {
				needed = needed.Union(q.resolved(s))
			}
			if found := q.excess(s, o.String(), q.numbers(s, o), needed); found != nil {
				return found
			}
		}
		return nil
	case netpol.OfHost:
		return q.excess(s, "nodes", q.numbers(s, nil), q.ofKind(s, OfNodes).Union(q.outside(s)))
	case netpol.OfAPIServer:
		return q.excess(s, "the API server", q.numbers(s, nil), q.ofKind(s, OfAPIServer).Union(q.outside(s)))
	}
	return q.addresses(s, e.Addresses)
}

// numbers are the ports of the rule, between a set and another one, nil for what is no
// pods.
func (q *question) numbers(s, other *Set) ports.Set {
	set := q.rule.Ports.Set
	accepting := s
	if q.direction == netpol.Egress {
		accepting = other
	}
	if accepting == nil {
		return set
	}
	for _, n := range q.rule.Ports.Named {
		for _, w := range accepting.Workloads {
			set = set.Union(PortsNamed(w, n.Name).Intersect(ports.Every(n.Protocol)))
		}
	}
	return set
}

// pods are the ports that are needed between a set and another one.
func (q *question) pods(s, other *Set) ports.Set {
	from, to := s, other
	if q.direction == netpol.Ingress {
		from, to = other, s
	}
	needed := q.between[[2]*Set{from, to}]
	for _, n := range q.others[netpol.Ingress][to] {
		if n.From.means(from) {
			needed = needed.Union(n.sound())
		}
	}
	for _, n := range q.others[netpol.Egress][from] {
		if n.To.means(to) {
			needed = needed.Union(n.sound())
		}
	}
	return needed
}

// means reports whether an end that is no set means the pods of one.
func (e End) means(s *Set) bool {
	switch e.Kind {
	case OfAnyPod:
		return true
	case OfLabels:
		return s.Namespace == e.Namespace && holdsAll(s.labels, e.Labels)
	}
	return false
}

func holdsAll(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}

// ofKind are the ports that are needed between a set and an end of a kind.
func (q *question) ofKind(s *Set, k Kind) (needed ports.Set) {
	for _, n := range q.others[q.direction][s] {
		if e := n.other(q.direction); e.Kind == k {
			needed = needed.Union(n.sound())
		}
	}
	return needed
}

// outside are the ports that a set needs to have open for whoever is no pod.
func (q *question) outside(s *Set) (needed ports.Set) {
	for _, n := range q.others[q.direction][s] {
		if e := n.other(q.direction); e.Kind == OfOutside && e.Block.Empty() {
			needed = needed.Union(n.sound())
		}
	}
	return needed
}

// other is the end that is the peer of a rule of a direction.
func (n *Need) other(d netpol.Direction) End {
	if d == netpol.Ingress {
		return n.From
	}
	return n.To
}

// unread are the pods that were not read and that the peers surely mean, in words: any
// of the cluster, or of a namespace; "" for none.
func (q *question) unread(x netpol.Expr, peers []*reach.Endpoint) string {
	last := ""
	for i, e := range append([]*reach.Endpoint{{}}, peers...) {
		if i > 0 && (e.Kind != netpol.OfPod || e.Namespace == last) {
			continue
		}
		last = e.Namespace
		if complete, _ := q.catalog.Snap.Complete(evidence.Workloads, last); complete {
			continue
		}
		if sure, _ := q.catalog.Graph.Means(x, q.catalog.Graph.Unread(last)); !sure {
			continue
		}
		if last == "" {
			return "every pod"
		}
		return "every pod in " + last
	}
	return ""
}

// within is a set of addresses outside of which an expression means nobody; ok is false
// where no address is asked for.
func within(x netpol.Expr) (set cidr.Set, ok bool) {
	switch x := x.(type) {
	case netpol.Address:
		return x.In, true
	case netpol.Unknown:
		return within(x.Within)
	case netpol.Every:
		set = cidr.All()
		for _, part := range x {
			if not, is := part.(netpol.Not); is {
				if a, is := not.Of.(netpol.Address); is {
					set = set.Minus(a.In)
				}
				continue
			}
			if bound, bounded := within(part); bounded {
				set, ok = set.Intersect(bound), true
			}
		}
		return set, ok
	case netpol.Some:
		for _, part := range x {
			bound, bounded := within(part)
			if !bounded {
				return cidr.Set{}, false
			}
			set = set.Union(bound)
		}
		return set, len(x) > 0
	}
	return cidr.Set{}, false
}

// addresses looks at all who have some addresses.
func (q *question) addresses(s *Set, set cidr.Set) *Excess {
	if q.direction == netpol.Ingress {
		set = set.Minus(Metadata()) // nobody connects from there
	}
	rest := []rectangle{{set, q.numbers(s, nil)}}
	for _, have := range q.openTo(s) {
		var left []rectangle
		for _, r := range rest {
			left = append(left, r.minus(have)...)
		}
		rest = left
	}
	if len(rest) == 0 {
		return nil
	}
	return q.excess(s, short(rest[0].addresses), rest[0].ports, ports.Set{})
}

// minus is what is left of a rectangle without another one.
func (r rectangle) minus(o rectangle) (left []rectangle) {
	for _, part := range []rectangle{
		{r.addresses.Minus(o.addresses), r.ports},
		{r.addresses.Intersect(o.addresses), r.ports.Minus(o.ports)},
	} {
		if !part.addresses.Empty() && !part.ports.Empty() {
			left = append(left, part)
		}
	}
	return left
}

// openTo is what a set needs of addresses, in the direction of the rule. Needs on the
// same ports are one rectangle.
func (q *question) openTo(s *Set) []rectangle {
	list, known := q.open[q.direction][s]
	if known {
		return list
	}
	byPorts := map[string]int{}
	add := func(set cidr.Set, at ports.Set) {
		i, known := byPorts[at.Key()]
		if !known {
			i = len(list)
			byPorts[at.Key()] = i
			list = append(list, rectangle{ports: at})
		}
		list[i].addresses = list[i].addresses.Union(set)
	}
	for _, n := range q.others[q.direction][s] {
		add(q.catalog.whole(n.other(q.direction)), n.sound())
	}
	if q.direction == netpol.Egress {
		for _, r := range q.resolvers {
			add(q.catalog.whole(r.To), r.Ports)
		}
	}
	q.open[q.direction][s] = list
	return list
}

// whole is all that has an end's addresses: of the outside those of a family, too, that
// the cluster is not known to have.
func (c *Catalog) whole(e End) (set cidr.Set) {
	if e.Kind == OfOutside && e.Block.Empty() {
		return cidr.All().Minus(Metadata()).Minus(c.Pods)
	}
	for _, b := range c.Blocks(e) {
		set = set.Union(b.Set())
	}
	return set
}

// short names some addresses.
func short(set cidr.Set) string {
	const most = 2
	list := set.Prefixes()
	if len(list) <= most {
		return set.String()
	}
	return fmt.Sprintf("%s, %s and %d more ranges", list[0], list[1], len(list)-most)
}

// resolved are the ports of the name servers, and what a set needs of them besides.
func (q *question) resolved(s *Set) ports.Set {
	needed := q.resolvers[0].Ports
	for _, n := range q.others[netpol.Egress][s] {
		if dns := DNSPods(); n.To.Key() == dns.Key() {
			needed = needed.Union(n.sound())
		}
	}
	return needed
}

// demandsNameServers reports whether an expression means none but the cluster's name
// servers: it asks for their namespace and for their label.
func demandsNameServers(x netpol.Expr) bool {
	dns := DNSPods()
	namespace, label := false, false
	for _, part := range conditions(x) {
		switch part := part.(type) {
		case netpol.Named:
			namespace = namespace || part.Of == netpol.Namespace && part.Name == dns.Namespace
		case netpol.Label:
			one := part.Op == netpol.In && len(part.Values) == 1
			namespace = namespace || one && part.Of == netpol.Namespace && part.Key == corev1.LabelMetadataName && part.Values[0] == dns.Namespace
			if value, wanted := dns.Labels[part.Key]; one && wanted && part.Of == netpol.Pod {
				label = label || part.Values[0] == value
			}
		}
	}
	return namespace && label
}

// conditions are the parts of an expression all of which have to hold.
func conditions(x netpol.Expr) (list []netpol.Expr) {
	every, ok := x.(netpol.Every)
	if !ok {
		return []netpol.Expr{x}
	}
	for _, part := range every {
		list = append(list, conditions(part)...)
	}
	return list
}
