package oracletest

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

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
	// words are values that are to be rolled: of the field before the sign.
	words []string
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
		{name: "network policies", roll: rollNetworkPolicies, allows: (*world).kubernetes, isolates: (*world).isIsolated,
			specs: []any{networkingv1.NetworkPolicySpec{}}, words: []string{"LabelSelectorRequirement.Operator=In,NotIn,Exists,DoesNotExist"}},
		{name: "admin policies", roll: rollAdminPolicies, allows: (*world).kubernetes, isolates: (*world).isIsolated, specs: []any{adminSpec{}},
			words: []string{"adminRule.Action=Allow,Accept,Deny,Pass", "adminSpec.Tier=Admin,Baseline"}},
		{name: "cilium", roll: rollCilium, allows: (*world).cilium, isolates: (*world).isCiliumClosed, specs: []any{ciliumRule{}, ciliumRules{}, ciliumGroup{}}, reasons: []string{
			"no CiliumCIDRGroup that was read has the label", "Cilium does not take toServices",
		}},
		{name: "calico", roll: rollCalico, allows: (*world).calico, specs: []any{calicoPolicy{}, calicoTier{}, calicoSet{}},
			words: []string{"calicoRule.Action=Allow,Deny,Pass,Log", "calicoTier.DefaultAction=Deny,Pass"}, reasons: []string{
				"it names ports, and others that it is not about",
			}},
		{name: "istio", roll: rollIstio, allows: (*world).istio, specs: []any{istioAuthorization{}, istioAuthentication{}},
			words: []string{"istioAuthorization.Action=ALLOW,DENY,AUDIT", "istioMode.Mode=UNSET,PERMISSIVE,STRICT,DISABLE"}},
	}
}

func rollNetworkPolicies(d *dice) *world {
	w := d.cluster()
	for i := range 1 + d.IntN(6) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	return w
}

func rollAdminPolicies(d *dice) *world {
	w := d.cluster()
	for i := range d.IntN(3) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	w.policies = append(w.policies, d.adminPolicies()...)
	return w
}

var (
	rounds = flag.Int("oracle.rounds", 100, "clusters of each family")
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
func TestOracle(t *testing.T) { testFamilies(t, setting{}) }

// TestSound weighs clusters of which the snapshot does not tell all: the engine may
// not know, but never know better.
func TestSound(t *testing.T) { testFamilies(t, setting{vague: true}) }

// TestDualStack weighs clusters that speak IPv4 and IPv6: a connection is open when
// it is in either. Of some the snapshot does not tell the ranges of addresses.
func TestDualStack(t *testing.T) { testFamilies(t, setting{both: true}) }

// TestNegativeNamespaces weighs selectors of Cilium that say which namespace is not
// meant: in some versions they mean nodes and the world too.
func TestNegativeNamespaces(t *testing.T) { testFamilies(t, setting{negative: true}) }

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

// A setting is what is special of the worlds of a test.
type setting struct{ vague, both, negative bool }

func testFamilies(t *testing.T, s setting) {
	for _, f := range families() {
		if s.negative && f.name != "cilium" {
			continue
		}
		if *only != "" && f.name != *only {
			continue
		}
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			var c count
			for i := range *rounds {
				if c.differences >= *most {
					break
				}
				f.round(t, *first+uint64(i), s, &c)
			}
			if c.differences == 0 && *rounds >= 100 {
				c.check(t, f, s.vague)
			}
			t.Logf("%d clusters, %d packets: %d allowed, %d denied, %d not known", *rounds, c.packets, c.allowed, c.packets-c.allowed, c.unknown)
		})
	}
}

func (f family) world(seed uint64, s setting) (*world, *dice) {
	d := newDice(seed)
	d.vague, d.both, d.negative = s.vague, s.both, s.negative
	w := f.roll(d)
	w.seed, w.family = seed, f.name
	if s.vague {
		d.forget(w)
	}
	if s.both && d.one(3) {
		w.blind, w.told, w.vague = true, false, true
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

func (f family) round(t *testing.T, seed uint64, s setting, c *count) {
	w, d := f.world(seed, s)
	c.add(w)
	e := newEngine(t, w)
	if why := e.misread(w); why != "" {
		c.differences++
		t.Errorf("%s\n%v", why, w)
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
		if why == "" && got == allowed {
			why = f.unlimited(w, e, p)
		}
		if why == "" && d.one(10) {
			why = e.explained(p, got)
		}
		if why == "" || got == unknown && f.said(e.steps(p)) {
			continue
		}
		c.differences++
		f.report(t, w, p)
		return
	}
	why := ""
	if !w.vague && f.isolates != nil {
		why = f.covered(w, e)
	}
	if why == "" && d.one(4) {
		why = e.listed()
	}
	if why != "" {
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

// unlimited says that a connection is open for some requests only, and the engine does
// not say so; "" where it does, or where it is not so.
func (f family) unlimited(w *world, e *engine, p packet) string {
	p.plain = true
	if slices.Contains(f.answers(w, p), true) || e.limited(p) {
		return ""
	}
	return "allowed, but for some requests only"
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
	case got != allowed && got != denied && got != unknown:
		return "the engine's endpoints say " + got
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
			if p.protocol == ports.ICMP && v == 6 || p.protocol == ports.ICMPv6 && v == 4 {
				continue
			}
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
	if w.negative {
		list = vary(list, func(p *packet) { p.loose = true })
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
	if why == "" && got == allowed {
		why = f.unlimited(w, e, p)
	}
	if why == "" {
		why = e.explained(p, got)
	}
	t.Errorf("%v: %s\n%sseed %d again: go test ./internal/reach/oracletest -run %s -oracle.rounds 1 -oracle.seed %d\n%v", p, why, e.steps(p), w.seed, t.Name(), w.seed, w)
}

func (f family) wrong(t *testing.T, w *world, p packet) bool {
	e := newEngine(t, w)
	if e.misread(w) != "" {
		return false
	}
	got := e.between(p)
	why := w.differs(p, got, f.answers(w, p))
	if why == "" && got == allowed {
		why = f.unlimited(w, e, p)
	}
	return why != "" && !(got == unknown && f.said(e.steps(p))) || e.explained(p, got) != ""
}
