package oracletest

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A family is policies that occur together in one cluster, and how their own
// documentation says that they are weighed.
type family struct {
	name string
	roll func(*dice) *world
	// allows is the slow and obvious way.
	allows func(*world, packet) bool
	// isolates reports whether a pod is closed in a direction unless something opens it;
	// nil where the oracle does not say.
	isolates func(*world, *pod, netpol.Direction) bool
	// specs are what the family's specs are made of: each field is to be rolled.
	specs []any
	// reasons are parts of the reasons for which an answer may be unknown though the
	// world knows it: what the readers say that they do not model.
	reasons []string
}

func families() []family {
	return []family{
		{name: "network policies", roll: rollNetworkPolicies, allows: (*world).kubernetes, isolates: (*world).isIsolated},
		{name: "admin policies", roll: rollAdminPolicies, allows: (*world).kubernetes, isolates: (*world).isIsolated, specs: []any{adminSpec{}}},
		{name: "cilium", roll: rollCilium, allows: (*world).cilium, isolates: (*world).isCiliumClosed, specs: []any{ciliumRule{}, ciliumRules{}, ciliumGroup{}}, reasons: []string{
			"no CiliumCIDRGroup that was read has the label", "Cilium does not take toServices",
		}},
		{name: "calico", roll: rollCalico, allows: (*world).calico, specs: []any{calicoPolicy{}, calicoTier{}, calicoSet{}}, reasons: []string{
			"it names ports, and others that it is not about",
		}},
		{name: "istio", roll: rollIstio, allows: (*world).istio, specs: []any{istioAuthorization{}, istioAuthentication{}}, reasons: []string{
			"on ports without mutual TLS nobody has an identity",
		}},
	}
}

func rollNetworkPolicies(d *dice) *world {
	w := d.cluster(0, "")
	for i := range 1 + d.IntN(6) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	return w
}

func rollAdminPolicies(d *dice) *world {
	w := d.cluster(0, "")
	for i := range d.IntN(3) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	w.policies = append(w.policies, d.adminPolicies()...)
	return w
}

var (
	rounds = flag.Int("oracle.rounds", 150, "clusters of each family")
	first  = flag.Uint64("oracle.seed", 1, "seed of the first cluster")
	only   = flag.String("oracle.family", "", "the only family to look at")
	skip   = flag.String("oracle.skip", "", "pass over answers that are not known for a reason with this text")
	most   = flag.Int("oracle.differences", 3, "differences to print of each family")
)

// verdicts of the engine.
const (
	allowed = "allowed"
	denied  = "denied"
	unknown = "unknown"
)

// TestOracle weighs random clusters of which all is known: the engine must know all
// answers, and the same.
func TestOracle(t *testing.T) { testFamilies(t, false, false) }

// TestSound weighs clusters of which the snapshot does not tell all: the engine may
// not know, but never know better.
func TestSound(t *testing.T) { testFamilies(t, true, false) }

// TestDualStack weighs clusters that speak IPv4 and IPv6: a connection is open when
// it is in either. Of some the snapshot does not tell the ranges of addresses.
func TestDualStack(t *testing.T) { testFamilies(t, false, true) }

// TestBothPlugins weighs clusters with policies of Cilium and of Calico: which of them
// is in force nobody knows, so an answer has to be right under both.
func TestBothPlugins(t *testing.T) {
	plugins := []family{{name: "both plugins", allows: (*world).cilium}, {allows: (*world).calico}}
	for i := range *rounds {
		seed := *first + uint64(i)
		d := newDice(seed)
		w := rollCilium(d)
		w.policies = append(w.policies, d.calicoPolicy(0, "projectcalico.org/v3", []string{""}))
		w.seed, w.family, w.vague = seed, plugins[0].name, true
		e := newEngine(t, w)
		for _, p := range d.packets(w) {
			got := e.between(p)
			for _, f := range plugins {
				if why := w.differs(p, got, f.answers(w, p)); why != "" {
					t.Fatalf("%v: %s\n%s%v", p, why, e.steps(p), w)
				}
			}
		}
	}
}

func testFamilies(t *testing.T, vague, both bool) {
	for _, f := range families() {
		if *only != "" && f.name != *only {
			continue
		}
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			var c count
			for i := range *rounds {
				if c.differences >= *most {
					break
				}
				f.round(t, *first+uint64(i), vague, both, &c)
			}
			if c.differences == 0 && *rounds >= 150 {
				c.check(t, f, vague)
			}
			t.Logf("%d clusters, %d packets: %d allowed, %d denied, %d not known", *rounds, c.packets, c.allowed, c.packets-c.allowed, c.unknown)
		})
	}
}

// count is what was rolled, and what came of it.
type count struct {
	differences, packets, allowed, unknown int
	constructs                             map[string]int
}

func (f family) world(seed uint64, vague, both bool) (*world, *dice) {
	d := newDice(seed)
	d.vague, d.both = vague, both
	w := f.roll(d)
	w.seed, w.family = seed, f.name
	if vague {
		d.forget(w)
	}
	if both && d.one(3) {
		w.blind, w.vague = true, true
	}
	return w, d
}

// forget takes out of the snapshot what the world still holds.
func (d *dice) forget(w *world) {
	for _, n := range w.namespaces {
		n.hidden = d.one(3)
	}
	for _, a := range w.accounts {
		a.hidden = d.one(3)
	}
	bySelector := false
	for _, o := range w.policies {
		text, err := json.Marshal(o.spec)
		if err != nil {
			panic(err)
		}
		bySelector = bySelector || strings.Contains(string(text), "cidrGroupSelector")
	}
	for _, o := range w.policies {
		if _, group := o.spec.(*ciliumGroup); group && !bySelector {
			o.hidden = d.one(3)
		}
	}
}

func (f family) round(t *testing.T, seed uint64, vague, both bool, c *count) {
	w, d := f.world(seed, vague, both)
	c.add(w)
	e := newEngine(t, w)
	for _, i := range e.graph.Invalid() {
		t.Errorf("%v is not valid: %v\n%v", i.Ref, i.Err, w)
		c.differences++
		return
	}
	if e.graph.Enforcement() != w.enforcement {
		t.Errorf("enforcement %v, want %v\n%v", e.graph.Enforcement(), w.enforcement, w)
		c.differences++
		return
	}
	for _, p := range d.packets(w) {
		c.packets++
		got, want := e.between(p), f.answers(w, p)
		if slices.Contains(want, true) {
			c.allowed++
		}
		if got == unknown {
			c.unknown++
		}
		why := w.differs(p, got, want)
		if why == "" && d.one(10) {
			why = e.explained(p, got)
		}
		if why == "" {
			continue
		}
		if got == unknown && f.said(e.steps(p)) {
			continue
		}
		c.differences++
		f.report(t, w, p)
		return
	}
	if !vague && f.isolates != nil {
		if why := f.covered(w, e); why != "" {
			c.differences++
			t.Errorf("%s\n%v", why, w)
			return
		}
	}
	if !d.one(4) {
		return
	}
	if why := e.listed(); why != "" {
		c.differences++
		t.Errorf("%s\n%v", why, w)
	}
}

// said reports whether a reason among an explanation's is one of the family's.
func (f family) said(steps string) bool {
	reasons := f.reasons
	if *skip != "" {
		reasons = append(slices.Clone(reasons), *skip)
	}
	return slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(steps, r) })
}

// answers are the oracle's, for each variant of a packet.
func (f family) answers(w *world, p packet) (list []bool) {
	for _, v := range w.variants(p) {
		list = append(list, f.allows(w, v))
	}
	return list
}

// differs says what is wrong with the engine's answer, "" for nothing.
func (w *world) differs(p packet, got string, want []bool) string {
	open := slices.Contains(want, true)
	switch {
	case got == unknown:
		if w.vague || open && slices.Contains(want, false) {
			return ""
		}
		if p.dst.host() != nil || p.src.host() != nil {
			return "" // on which node pods run is not known
		}
		return fmt.Sprintf("not known, but it is %v", open)
	case got == allowed && !open:
		return "allowed, but it is denied"
	case got == denied && open:
		return "denied, but it is allowed"
	}
	return ""
}

// variants are the packets that the answer for endpoints is about: of any IP version
// that both ends have, with pods on any node, and so on. It is enough that one is let
// through.
func (w *world) variants(p packet) (list []packet) {
	for _, v := range w.versions {
		if !p.src.external.IsValid() && !p.dst.external.IsValid() || v == p.version {
			q := p
			q.version, q.local, q.final = v, true, true
			list = append(list, q)
		}
	}
	if p.src.host() != nil || p.dst.host() != nil {
		list = vary(list, func(p *packet) { p.local = false })
	}
	if slices.ContainsFunc(w.policies, func(o *object) bool { _, admin := o.spec.(*adminSpec); return admin }) {
		list = vary(list, func(p *packet) { p.final = false })
	}
	if w.vague {
		list = vary(list, func(p *packet) { p.odd = true })
	}
	return list
}

// vary adds to packets what they are after a change.
func vary(list []packet, change func(*packet)) []packet {
	for _, p := range list {
		change(&p)
		list = append(list, p)
	}
	return list
}

// report prints a difference in the smallest world that still has it.
func (f family) report(t *testing.T, w *world, p packet) {
	w = f.shrink(t, w, p)
	e := newEngine(t, w)
	got := e.between(p)
	why := w.differs(p, got, f.answers(w, p))
	if why == "" {
		why = e.explained(p, got)
	}
	t.Errorf("%v: %s\n%sseed %d again: go test ./internal/reach/oracletest -run %s -oracle.rounds 1 -oracle.seed %d\n%v", p, why, e.steps(p), w.seed, t.Name(), w.seed, w)
}

func (f family) wrong(t *testing.T, w *world, p packet) bool {
	e := newEngine(t, w)
	if len(e.graph.Invalid()) > 0 || e.graph.Enforcement() != w.enforcement {
		return false
	}
	got := e.between(p)
	return w.differs(p, got, f.answers(w, p)) != "" && !(got == unknown && f.said(e.steps(p))) || e.explained(p, got) != ""
}

// shrink takes away pods, policies and parts of policies while the packet's answer
// stays wrong.
func (f family) shrink(t *testing.T, w *world, p packet) *world {
	try := func(smaller *world) bool {
		if !f.wrong(t, smaller, p) {
			return false
		}
		w = smaller
		return true
	}
	for again := true; again; {
		again = false
		for i := 0; i < len(w.policies); i++ {
			if w.policies[i].referred() {
				continue
			}
			s := *w
			s.policies = slices.Delete(slices.Clone(w.policies), i, i+1)
			if try(&s) {
				again = true
				i--
			}
		}
		for i := 0; i < len(w.pods); i++ {
			if w.pods[i] == p.src.pod || w.pods[i] == p.dst.pod {
				continue
			}
			s := *w
			s.pods = slices.Delete(slices.Clone(w.pods), i, i+1)
			if try(&s) {
				again = true
				i--
			}
		}
		for i := 0; i < len(w.policies); i++ {
			for part := 0; ; part++ {
				o, more := w.policies[i].without(part)
				if !more {
					break
				}
				s := *w
				s.policies = slices.Clone(w.policies)
				s.policies[i] = o
				if try(&s) {
					again = true
					part--
				}
			}
		}
	}
	return w
}

// referred reports whether policies refer to the object: they need it.
func (o *object) referred() bool {
	switch o.spec.(type) {
	case *ciliumGroup, *calicoTier:
		return true
	}
	return false
}

// without returns a copy of the object that lacks one element of one of its lists;
// false when there are no more. The last element of a list stays: an empty list
// often means something else.
func (o *object) without(part int) (*object, bool) {
	text, err := json.Marshal(o.spec)
	if err != nil {
		panic(err)
	}
	spec := reflect.New(reflect.TypeOf(o.spec).Elem())
	if err := json.Unmarshal(text, spec.Interface()); err != nil {
		panic(err)
	}
	smaller := *o
	smaller.spec = spec.Interface()
	return &smaller, drop(spec, &part)
}

func drop(v reflect.Value, part *int) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && drop(v.Elem(), part)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && drop(v.Field(i), part) {
				return true
			}
		}
	case reflect.Slice:
		if v.Len() > 1 {
			if *part < v.Len() {
				v.Set(reflect.AppendSlice(v.Slice(0, *part), v.Slice(*part+1, v.Len())))
				return true
			}
			*part -= v.Len()
		}
		for i := range v.Len() {
			if drop(v.Index(i), part) {
				return true
			}
		}
	}
	return false
}

// packets are those that are looked at: between all ends, at some of the ports.
func (d *dice) packets(w *world) (list []packet) {
	var inside, outside []end
	for _, p := range w.pods {
		inside = append(inside, end{pod: p})
	}
	for _, n := range w.nodes {
		inside = append(inside, end{node: n})
	}
	for _, a := range w.outside() {
		outside = append(outside, end{external: a})
	}
	roll := func(src, dst end, version int) {
		for range 8 {
			p := packet{src: src, dst: dst, version: version}
			p.protocol = pick(d, ports.TCP, ports.TCP, ports.TCP, ports.UDP, ports.UDP, ports.SCTP, ports.ICMP)
			if p.protocol == ports.ICMP && len(w.versions) > 1 {
				p.protocol = ports.TCP // the engine does not ask which version ICMP is of
			} else if p.protocol == ports.ICMP && version == 6 {
				p.protocol = ports.ICMPv6
			}
			p.port = d.port(w, dst)
			list = append(list, p)
		}
	}
	for _, src := range inside {
		for _, dst := range inside {
			if src != dst && (src.own() || dst.own()) {
				roll(src, dst, w.versions[0])
			}
		}
		for range min(6, len(outside)) {
			o := pick(d, outside...)
			version := 6
			if o.external.Is4() {
				version = 4
			}
			if src.own() {
				roll(src, o, version)
				roll(o, src, version)
			}
		}
	}
	return list
}

// port is one that policies name, or one beside it, or one that the pod calls by name.
func (d *dice) port(w *world, dst end) uint16 {
	if dst.pod != nil && len(dst.pod.ports) > 0 && d.one(2) {
		return uint16(pick(d, dst.pod.ports...).ContainerPort)
	}
	if d.one(10) {
		return uint16(1 + d.IntN(65535))
	}
	return uint16(min(65535, max(1, pick(d, portNumbers()...)+pick(d, -1, 0, 0, 1))))
}

// outside are the addresses at and beside the edges of the blocks that the policies
// name, as far as they do not belong to the cluster.
func (w *world) outside() (list []netip.Addr) {
	add := func(a netip.Addr) {
		version := 6
		if a.Is4() {
			version = 4
		}
		if a.IsValid() && slices.Contains(w.versions, version) && !within(podRange(version), a) && !within(nodeRange(version), a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	add(netip.MustParseAddr("8.8.8.8"))
	add(netip.MustParseAddr("169.254.169.254"))
	add(netip.MustParseAddr("203.0.113.128"))
	add(netip.MustParseAddr("2600::1"))
	for _, o := range w.policies {
		text, err := json.Marshal(o.spec)
		if err != nil {
			panic(err)
		}
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '"' || r == '\'' }) {
			p, err := netip.ParsePrefix(word)
			if err != nil {
				continue
			}
			low := p.Masked().Addr()
			high := low.AsSlice()
			for bit := p.Bits(); bit < len(high)*8; bit++ {
				high[bit/8] |= 0x80 >> (bit % 8)
			}
			last, _ := netip.AddrFromSlice(high)
			for _, a := range []netip.Addr{low, last, low.Prev(), last.Next()} {
				add(a)
			}
		}
	}
	return list
}

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

// covered says how Coverage differs from the oracle, "" if it does not.
func (f family) covered(w *world, e *engine) string {
	for _, p := range w.pods {
		for _, d := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
			want := p.host == nil && f.isolates(w, p, d)
			got := e.graph.Coverage(e.ends(end{pod: p})[0], d)
			if got.Isolated != want || got.Unknown != "" {
				return fmt.Sprintf("%v, %v: isolated is %v (%s), want %v", p, d, got.Isolated, got.Unknown, want)
			}
		}
	}
	return ""
}

// add counts the fields and the words of a world's policies.
func (c *count) add(w *world) {
	if c.constructs == nil {
		c.constructs = map[string]int{}
	}
	for _, o := range w.policies {
		c.constructs["kind "+o.kind]++
		c.fields(reflect.ValueOf(o.spec))
	}
}

// fields counts the fields of specs that are not empty.
func (c *count) fields(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.fields(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				c.constructs[v.Type().Name()+"."+v.Type().Field(i).Name]++
			}
			c.fields(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.fields(v.Index(i))
		}
	}
}

// check fails if something was never rolled, or the answers are nearly always the same.
func (c *count) check(t *testing.T, f family, vague bool) {
	for _, s := range f.specs {
		for _, name := range fieldsOf(reflect.TypeOf(s), vague, nil) {
			if c.constructs[name] == 0 {
				t.Errorf("%s was never rolled", name)
			}
		}
	}
	if share := float64(c.allowed) / float64(c.packets); share < 0.1 || share > 0.9 {
		t.Errorf("of %d packets %d are allowed: that shows little", c.packets, c.allowed)
	}
	if !vague && c.unknown*10 > c.packets {
		t.Errorf("of %d packets %d are not known", c.packets, c.unknown)
	}
}

// fieldsOf are the fields of the oracle's own types, those that only vague worlds have
// among them or not.
func fieldsOf(t reflect.Type, vague bool, list []string) []string {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		return fieldsOf(t.Elem(), vague, list)
	case t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeOf(world{}).PkgPath():
		return list
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := t.Name() + "." + f.Name
		if slices.Contains(list, name) {
			return list
		}
		if vague || f.Tag.Get("oracle") != "vague" {
			list = fieldsOf(f.Type, vague, append(list, name))
		}
	}
	return list
}
