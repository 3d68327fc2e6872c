package kubernetes

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// group is the API group of the network policy API.
const group = "policy.networking.k8s.io"

// A clusterKind is in what a kind of the network policy API differs from its
// neighbours, as their CustomResourceDefinitions have it (releases 0.1.7 and 0.2.0).
type clusterKind struct {
	// version is the one that this kind is read in.
	version string
	// tier is that of every policy; "" where each policy names its own.
	tier string
	// priority is set where policies have one.
	priority bool
	// rules is how many rules a direction has at most, items how many peers and ports a rule.
	rules, items int
	// allow is what the action netpol.Allow is called.
	allow string
	// pass is set where rules may pass, names where domain names may be peers.
	pass, names bool
	// protocols is set where ports are written in the field protocols.
	protocols bool
	// both is set where pods need a namespaceSelector beside their podSelector.
	both bool
}

const (
	adminTier    = "Admin"
	baselineTier = "Baseline"
	// singleton is the name that a BaselineAdminNetworkPolicy must have.
	singleton = "default"
)

func clusterKindOf(kind string) (clusterKind, bool) {
	switch kind {
	case "AdminNetworkPolicy":
		return clusterKind{version: "v1alpha1", tier: adminTier, priority: true, rules: 100, items: 100,
			allow: "Allow", pass: true, names: true, both: true}, true
	case "BaselineAdminNetworkPolicy":
		return clusterKind{version: "v1alpha1", tier: baselineTier, rules: 100, items: 100, allow: "Allow", both: true}, true
	case "ClusterNetworkPolicy":
		return clusterKind{version: "v1alpha2", priority: true, rules: 25, items: 25,
			allow: "Accept", pass: true, names: true, protocols: true}, true
	}
	return clusterKind{}, false
}

// tierOf is where the policies of a tier are weighed. They keep their kind's name
// there, so that nobody has to know which Admin or Baseline tier is meant.
func tierOf(kind, tier string) netpol.Tier {
	if kind == "ClusterNetworkPolicy" {
		kind += " " + tier
	}
	t := netpol.Tier{Name: kind, Order: netpol.AdminOrder, Default: netpol.Pass, Unordered: true}
	if tier == baselineTier {
		t.Order = netpol.BaselineOrder
	}
	return t
}

// A clusterReader reads policies of the network policy API.
type clusterReader struct {
	clusterKind
	enforcement netpol.Enforcement
	// doubt is why it is not known whether policies of the kind are enforced, "" if they are.
	doubt string
}

// clusterPolicies reads the policies of the network policy API.
func clusterPolicies(list []*evidence.Custom, e netpol.Enforcement) (valid []*netpol.Policy, invalid []netpol.Invalid) {
	list = slices.DeleteFunc(slices.Clone(list), func(c *evidence.Custom) bool { return c.Group() != group })
	for _, c := range list {
		p, err := clusterPolicy(c, e, doubt(c.Kind, list, e))
		if err != nil {
			invalid = append(invalid, netpol.Invalid{Ref: c.Ref, Err: err})
			continue
		}
		valid = append(valid, p)
	}
	return valid, invalid
}

// doubt says why it is not known whether the cluster enforces a kind.
func doubt(kind string, all []*evidence.Custom, e netpol.Enforcement) string {
	successor := kind == "ClusterNetworkPolicy"
	other := slices.ContainsFunc(all, func(c *evidence.Custom) bool {
		_, known := clusterKindOf(c.Kind)
		return known && (c.Kind == "ClusterNetworkPolicy") != successor
	})
	switch {
	case other:
		return "it is not known whether the network plugin enforces AdminNetworkPolicies or their successor ClusterNetworkPolicy: there are both"
	case e == netpol.Cilium && successor:
		return "Cilium enforces ClusterNetworkPolicies only from version 1.20 on, and if that is switched on"
	case e == netpol.Cilium:
		return "Cilium is not known to enforce policies of kind " + kind
	}
	return ""
}

func clusterPolicy(c *evidence.Custom, e netpol.Enforcement, doubt string) (*netpol.Policy, error) {
	k, ok := clusterKindOf(c.Kind)
	if !ok || c.APIVersion != group+"/"+k.version {
		return unread(c.Ref, c.APIVersion+" "+c.Kind+" is not read by this version"), nil
	}
	var object struct {
		Spec json.RawMessage `json:"spec"`
	}
	if _, err := decode(c.JSON, &object); err != nil {
		return nil, err
	}
	if k.tier == baselineTier && c.Name != singleton {
		return nil, fmt.Errorf("metadata.name: %q is not %q, which the only one is called", c.Name, singleton)
	}
	return clusterReader{k, e, doubt}.policy(c.Ref, object.Spec)
}

// unread is a policy of which only is known that it is there.
func unread(ref *evidence.Ref, why string) *netpol.Policy {
	rules := &netpol.Rules{Unknown: why}
	return &netpol.Policy{Ref: ref, Tier: tierOf(ref.Kind, adminTier), Subject: netpol.Is{Kind: netpol.OfPod}, Ingress: rules, Egress: rules}
}

func (r clusterReader) policy(ref *evidence.Ref, raw json.RawMessage) (*netpol.Policy, error) {
	at := evidence.NewPath("spec")
	var spec struct {
		Tier     *string           `json:"tier"`
		Priority *int64            `json:"priority"`
		Subject  json.RawMessage   `json:"subject"`
		Ingress  []json.RawMessage `json:"ingress"`
		Egress   []json.RawMessage `json:"egress"`
	}
	surplus, err := decode(raw, &spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	p := &netpol.Policy{Ref: ref}
	switch {
	case spec.Tier != nil && r.tier != "":
		surplus = append(surplus, "tier")
	case spec.Tier != nil && (*spec.Tier == adminTier || *spec.Tier == baselineTier):
		r.tier = *spec.Tier
	case r.tier == "":
		return nil, fmt.Errorf("%s: neither Admin nor Baseline", at.Field("tier"))
	}
	p.Tier = tierOf(ref.Kind, r.tier)
	switch {
	case !r.priority && spec.Priority != nil:
		surplus = append(surplus, "priority")
	case r.priority && (spec.Priority == nil || *spec.Priority < 0 || *spec.Priority > 1000):
		return nil, fmt.Errorf("%s: not between 0 and 1000", at.Field("priority"))
	case r.priority:
		p.Order = float64(*spec.Priority)
	}
	if p.Subject, err = r.subject(spec.Subject, at.Field("subject")); err != nil {
		return nil, err
	}
	if p.Ingress, err = r.rules(spec.Ingress, netpol.Ingress, at.Field("ingress")); err != nil {
		return nil, err
	}
	if p.Egress, err = r.rules(spec.Egress, netpol.Egress, at.Field("egress")); err != nil {
		return nil, err
	}
	if len(surplus) > 0 {
		rules := &netpol.Rules{Unknown: surplus.String(at)}
		p.Ingress, p.Egress = rules, rules
	}
	return p, nil
}

// rules are nil where there are none: such a policy does not touch the direction.
func (r clusterReader) rules(list []json.RawMessage, d netpol.Direction, at evidence.Path) (*netpol.Rules, error) {
	switch {
	case len(list) == 0:
		return nil, nil
	case len(list) > r.clusterKind.rules:
		return nil, fmt.Errorf("%s: more than %d rules", at, r.clusterKind.rules)
	}
	rules := &netpol.Rules{}
	for i, raw := range list {
		rule, err := r.rule(raw, d, at.Index(i, ""))
		if err != nil {
			return nil, err
		}
		rule.Index = i
		rules.List = append(rules.List, rule)
	}
	return rules, nil
}

// A ruleFields is a rule as it is written. The kinds have From or To by the direction,
// and Ports or Protocols.
type ruleFields struct {
	Name      string             `json:"name"`
	Action    string             `json:"action"`
	From      []json.RawMessage  `json:"from"`
	To        []json.RawMessage  `json:"to"`
	Ports     *[]json.RawMessage `json:"ports"`
	Protocols *[]json.RawMessage `json:"protocols"`
}

func (r clusterReader) rule(raw json.RawMessage, d netpol.Direction, at evidence.Path) (netpol.Rule, error) {
	var given ruleFields
	surplus, err := decode(raw, &given)
	if err != nil {
		return netpol.Rule{}, fmt.Errorf("%s: %w", at, err)
	}
	if len([]rune(given.Name)) > 100 {
		return netpol.Rule{}, fmt.Errorf("%s: longer than 100 characters", at.Field("name"))
	}
	rule := netpol.Rule{Path: at}
	if rule.Action, err = r.action(given.Action); err != nil {
		return netpol.Rule{}, fmt.Errorf("%s: %w", at.Field("action"), err)
	}
	peers, err := r.peersOf(&given, d, at)
	if err != nil {
		return netpol.Rule{}, err
	}
	open, err := r.portsOf(&given, at)
	if err != nil {
		return netpol.Rule{}, err
	}
	if peers.unnamed && len(open.Named) > 0 {
		return netpol.Rule{}, fmt.Errorf("%s: ports by name do not go with nodes, networks or domainNames", at)
	}
	rule.Peers, rule.Ports = peers.some, open.Ports
	switch surplus = append(surplus, r.strange(&given, d)...); {
	case r.doubt != "":
		rule.Unknown = r.doubt
	case len(surplus) > 0:
		rule.Unknown = surplus.String(at)
	default:
		rule.Unknown = open.unknown
	}
	return rule, nil
}

// strange are the fields of a rule that the kind does not have in the direction.
func (r clusterReader) strange(given *ruleFields, d netpol.Direction) (list fields) {
	for _, f := range []struct {
		name    string
		set, ok bool
	}{
		{"from", given.From != nil, d == netpol.Ingress},
		{"to", given.To != nil, d == netpol.Egress},
		{"ports", given.Ports != nil, !r.protocols},
		{"protocols", given.Protocols != nil, r.protocols},
	} {
		if f.set && !f.ok {
			list = append(list, f.name)
		}
	}
	return list
}

func (r clusterReader) action(name string) (netpol.Action, error) {
	switch {
	case name == r.allow:
		return netpol.Allow, nil
	case name == "Deny":
		return netpol.Deny, nil
	case name == "Pass" && r.pass:
		return netpol.Pass, nil
	}
	return 0, fmt.Errorf("%q is no action", name)
}
