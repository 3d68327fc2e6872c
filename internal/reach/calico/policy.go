package calico

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Tiers that Calico does not call so: what is decided before any tier, and what is
// decided for host endpoints after all of them.
const (
	beforeTiers = -math.MaxFloat64
	failsafes   = "failsafe ports"
	forwarding  = "before tiers"
	profiles    = "profiles"
)

// policy reads a NetworkPolicy or GlobalNetworkPolicy.
func (r *reader) policy(c *evidence.Custom) error {
	at := evidence.NewPath("spec")
	data, err := specOf(c)
	if err != nil {
		return err
	}
	var spec policySpec
	unknown, err := decode(data, at, &spec)
	if err != nil {
		return err
	}
	namespace := ""
	if c.Kind == "NetworkPolicy" {
		namespace = c.Namespace
		if spec.DoNotTrack || spec.PreDNAT || spec.ApplyOnForward || spec.NamespaceSelector != "" {
			unknown = cmp.Or(unknown, fmt.Sprintf("%s: a field of GlobalNetworkPolicies in a NetworkPolicy", at))
		}
	}
	if err := spec.check(); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	types, err := spec.types(c.Group() == storedGroup)
	if err != nil {
		return fmt.Errorf("%s: %w", at.Field("types"), err)
	}
	meant, err := spec.subject(namespace)
	if err != nil {
		return err
	}
	ingress, err := r.rules(spec.Ingress, false, namespace, at.Field("ingress"))
	if err != nil {
		return err
	}
	egress, err := r.rules(spec.Egress, true, namespace, at.Field("egress"))
	if err != nil {
		return err
	}
	p := &netpol.Policy{Ref: c.Ref, Order: math.Inf(1)}
	if spec.Order != nil {
		p.Order = *spec.Order
	}
	var missing string
	p.Tier, missing = r.tierOf(&spec)
	unknown = cmp.Or(unknown, missing)
	in := directed{slices.Contains(types, "Ingress"), ingress, unknown}
	out := directed{slices.Contains(types, "Egress"), egress, unknown}
	pods, hosts := r.shadow.pods(meant), r.hostsMeant(meant)
	if spec.PreDNAT || spec.DoNotTrack || spec.ApplyOnForward {
		r.ahead(c.Ref, &spec, in, out, hosts)
	}
	if spec.PreDNAT || spec.DoNotTrack {
		return nil
	}
	p.Subject = pods
	if hosts.governed != nil {
		p.Subject = netpol.Some{pods, hosts.governed}
	}
	r.policies = append(r.policies, split(p, in, out)...)
	return nil
}

func (spec *policySpec) check() error {
	for _, s := range []string{spec.Selector, spec.NamespaceSelector, spec.ServiceAccountSelector} {
		if strings.Contains(s, "global(") {
			return errors.New("global() stands only in the namespaceSelector of a rule")
		}
	}
	switch {
	case spec.PreDNAT && spec.DoNotTrack:
		return errors.New("preDNAT and doNotTrack exclude each other")
	case spec.PreDNAT && (len(spec.Egress) > 0 || slices.Contains(spec.Types, "Egress")):
		return errors.New("preDNAT with egress")
	case (spec.PreDNAT || spec.DoNotTrack) && !spec.ApplyOnForward:
		return errors.New("preDNAT or doNotTrack without applyOnForward")
	}
	return nil
}

// types are the directions that a policy is about. Where they are not given, the API
// sets them by the rules that there are; in an object that was stored past the API
// they are both.
func (spec *policySpec) types(stored bool) ([]string, error) {
	seen := map[string]bool{}
	for _, t := range spec.Types {
		if t != "Ingress" && t != "Egress" {
			return nil, fmt.Errorf("%q is neither Ingress nor Egress", t)
		}
		if seen[t] {
			return nil, fmt.Errorf("%q stands there twice", t)
		}
		seen[t] = true
	}
	switch {
	case len(spec.Types) > 0:
		return spec.Types, nil
	case stored, len(spec.Ingress) > 0 && len(spec.Egress) > 0:
		return []string{"Ingress", "Egress"}, nil
	case len(spec.Egress) > 0:
		return []string{"Egress"}, nil
	}
	return []string{"Ingress"}, nil
}

// subject is the selector of the endpoints that a policy is about. Beside a selector
// of namespaces or ServiceAccounts, all() means only endpoints that have one.
func (spec *policySpec) subject(namespace string) (netpol.Expr, error) {
	meant, err := parseSelector(spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("spec.selector: %w", err)
	}
	if spec.Selector != "" && spec.NamespaceSelector != "" {
		meant = allMeans(meant, has(namespaceKey))
	}
	parts := netpol.Every{meant}
	if namespace != "" {
		parts = append(parts, inNamespace(namespace))
	}
	if spec.NamespaceSelector != "" {
		namespaces, err := parseSelector(spec.NamespaceSelector)
		if err != nil {
			return nil, fmt.Errorf("spec.namespaceSelector: %w", err)
		}
		parts = append(parts, prefixed(namespaces, namespacePrefix, has(namespaceKey)))
	}
	if spec.ServiceAccountSelector != "" {
		accounts, err := parseSelector(spec.ServiceAccountSelector)
		if err != nil {
			return nil, fmt.Errorf("spec.serviceAccountSelector: %w", err)
		}
		parts = append(parts, prefixed(accounts, accountPrefix, has(accountKey)))
	}
	return simplest(parts), nil
}

// tierOf finds a policy's tier. Of one that was not read it is not known when it is
// asked: it is put first, so that nothing is decided before.
func (r *reader) tierOf(spec *policySpec) (t netpol.Tier, missing string) {
	name := cmp.Or(spec.Tier, defaultTier)
	if t, ok := r.tiers[name]; ok {
		return t, ""
	}
	return netpol.Tier{Name: name, Order: beforeTiers, Default: netpol.Pass}, fmt.Sprintf("when tier %q is asked is not known: it is not among what was read", name)
}

// directed is what a policy says of one direction, if anything.
type directed struct {
	about   bool
	rules   []rule
	unknown string
}

// head takes the rules up to the first that is about some endpoints only.
func (d *directed) head() *netpol.Rules {
	if !d.about {
		return nil
	}
	n := slices.IndexFunc(d.rules, func(r rule) bool { return r.near != nil })
	if n < 0 {
		n = len(d.rules)
	}
	list := bare(d.rules[:n])
	d.rules = d.rules[n:]
	return &netpol.Rules{Isolates: true, Unknown: d.unknown, List: list}
}

func bare(rules []rule) (list []netpol.Rule) {
	for _, r := range rules {
		list = append(list, r.Rule)
	}
	return list
}

// split gives a policy in parts, of which each is about all endpoints that its rules
// are about. Asked one after the other, the first rule that matches is the one of the
// whole policy.
func split(p *netpol.Policy, in, out directed) []*netpol.Policy {
	p.Ingress, p.Egress = in.head(), out.head()
	parts := []*netpol.Policy{p}
	for i, d := range []*directed{&in, &out} {
		for d.about && len(d.rules) > 0 {
			part := *p
			part.Ingress, part.Egress = nil, nil
			side := &part.Ingress
			if i == 1 {
				side = &part.Egress
			}
			if near := d.rules[0].near; near != nil {
				part.Subject = netpol.Every{p.Subject, near}
				*side = &netpol.Rules{Isolates: true, Unknown: d.unknown, List: bare(d.rules[:1])}
				d.rules = d.rules[1:]
			} else {
				*side = d.head()
			}
			parts = append(parts, &part)
		}
	}
	return parts
}

// ahead notes a policy that host endpoints apply to connections before they know whom
// these are for, or to those that they forward to pods: it may deny what all tiers
// allow, and for the host also allow what they deny.
func (r *reader) ahead(ref *evidence.Ref, spec *policySpec, in, out directed, hosts hostsMeant) {
	if !hosts.any {
		return
	}
	how := "to what it forwards"
	switch {
	case spec.PreDNAT:
		how = "before the destination is known"
	case spec.DoNotTrack:
		how = "without tracking connections"
	}
	why := "a HostEndpoint applies it " + how
	tier := netpol.Tier{Name: forwarding, Order: beforeTiers, Default: netpol.Pass}
	side := func(d directed, rules netpol.Rules) *netpol.Rules {
		if !d.about {
			return nil
		}
		return &rules
	}
	denies := netpol.Rules{List: []netpol.Rule{{
		Action: netpol.Deny, Peers: netpol.Everyone(), Ports: netpol.AllPorts(), Unknown: why, Path: evidence.NewPath("spec"),
	}}}
	r.policies = append(r.policies, &netpol.Policy{
		Ref: ref, Tier: tier, Subject: netpol.Is{Kind: netpol.OfPod}, Ingress: side(in, denies), Egress: side(out, denies),
	})
	if hosts.governed != nil && (spec.PreDNAT || spec.DoNotTrack) {
		unknown := netpol.Rules{Unknown: why}
		r.policies = append(r.policies, &netpol.Policy{
			Ref: ref, Tier: tier, Subject: hosts.governed, Ingress: side(in, unknown), Egress: side(out, unknown),
		})
	}
}
