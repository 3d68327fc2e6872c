package cilium

import (
	"encoding/json"
	"fmt"
	"net/netip"

	sigsjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A group is a CiliumCIDRGroup.
type group struct {
	ref       *evidence.Ref
	addresses cidr.Set
	// fault is why its addresses are not known, "" when they are.
	fault string
}

// addGroup reads a CiliumCIDRGroup. The agents leave out what is no block of addresses.
func (r *reader) addGroup(c *evidence.Custom) {
	var o struct {
		Spec struct {
			CIDRs []string `json:"externalCIDRs"`
		} `json:"spec"`
	}
	g := group{ref: c.Ref}
	if err := sigsjson.UnmarshalCaseSensitivePreserveInts(c.JSON, &o); err != nil {
		g.fault = fmt.Sprintf("CiliumCIDRGroup %s cannot be read: %v", c.Name, err)
	}
	var prefixes []netip.Prefix
	for _, text := range o.Spec.CIDRs {
		if p, err := netip.ParsePrefix(text); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	g.addresses = cidr.Of(prefixes...)
	r.groups = append(r.groups, g)
}

// groupNamed gives the addresses of a group, or why they are not known.
func (r *reader) groupNamed(name string) (set cidr.Set, missing string) {
	for _, g := range r.groups {
		if g.ref.Name == name {
			return g.addresses, g.fault
		}
	}
	return cidr.Set{}, fmt.Sprintf("CiliumCIDRGroup %s is not among what was read", name)
}

// groupsSelected gives the addresses that a selector of groups means: an address has
// the labels of all groups that hold it, and those in no group have none.
func (r *reader) groupsSelected(raw json.RawMessage, at evidence.Path) (set cidr.Set, missing string, err error) {
	labels, doubt, err := readSelector(raw, at)
	if err != nil || doubt != "" {
		return cidr.Set{}, doubt, err
	}
	set = cidr.All()
	for _, l := range labels {
		in, found := cidr.Set{}, false
		for _, g := range r.groups {
			if !l.has(g.ref.Labels) {
				continue
			}
			if g.fault != "" {
				return cidr.Set{}, g.fault, nil
			}
			in, found = in.Union(g.addresses), true
		}
		switch {
		case l.negative():
			set = set.Minus(in)
		case !found:
			return cidr.Set{}, fmt.Sprintf("%s: no CiliumCIDRGroup that was read has the label %s", at, l.key), nil
		default:
			set = set.Intersect(in)
		}
	}
	return set, "", nil
}

// has reports whether labels have the one that the condition asks for, or asks not
// to be there.
func (l label) has(labels map[string]string) bool {
	value, ok := labels[l.key]
	if l.op == netpol.Exists || l.op == netpol.Absent {
		return ok
	}
	for _, v := range l.values {
		if ok && v == value {
			return true
		}
	}
	return false
}
