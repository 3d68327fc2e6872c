// Package cilium reads CiliumNetworkPolicies and CiliumClusterwideNetworkPolicies
// into the form of package netpol, with the CiliumCIDRGroups and Services that they
// refer to. It follows what Cilium 1.20 does: which of its labels, entities and
// addresses a peer has, which rules isolate, and which policies its agents refuse.
// Settings of the agents are known from the ConfigMap cilium-config where that was
// read; what hangs on one that is not known is unknown. It evaluates nothing.
package cilium

import (
	"encoding/json"
	"errors"
	"fmt"

	sigsjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// tier is where Cilium's policies are weighed, together with NetworkPolicies: a
// rule that denies stands above all that allow.
var tier = netpol.Tier{Name: "Cilium", Order: netpol.DefaultOrder, Default: netpol.Deny, DenyFirst: true}

// Read gives the policies of Cilium's own kinds in a snapshot. An object with
// several specs is as many policies. An object of which one spec is refused is
// not in force at all.
func Read(snap *evidence.Snapshot) ([]*netpol.Policy, []netpol.Invalid) {
	r := &reader{snap: snap, settings: readSettings(snap)}
	for _, c := range snap.Custom {
		if c.Group() == "cilium.io" && c.Kind == "CiliumCIDRGroup" {
			r.addGroup(c)
		}
	}
	policies, invalid := r.objects()
	if len(r.denials) > 0 {
		r.denied = r.denials
		policies, invalid = r.objects()
	}
	return append(r.always(), policies...), invalid
}

// objects reads all policies, and finds what they deny of ICMP.
func (r *reader) objects() (policies []*netpol.Policy, invalid []netpol.Invalid) {
	r.denials = map[scope][]denial{}
	for _, c := range r.snap.Custom {
		if c.Group() != "cilium.io" {
			continue
		}
		if c.Kind != "CiliumNetworkPolicy" && c.Kind != "CiliumClusterwideNetworkPolicy" {
			continue
		}
		read, err := r.object(c)
		if err != nil {
			invalid = append(invalid, netpol.Invalid{Ref: c.Ref, Err: err})
			continue
		}
		policies = append(policies, read...)
	}
	return policies, invalid
}

// A reader reads policies that refer to other objects of the snapshot.
type reader struct {
	snap     *evidence.Snapshot
	settings settings
	groups   []group
	// denials are what the policies deny of ICMP, as far as they are read; denied is all
	// of it, nil until they have been read once.
	denials, denied map[scope][]denial
}

func (r *reader) object(c *evidence.Custom) ([]*netpol.Policy, error) {
	if r.settings.value("enable-policy") == "never" {
		return nil, fmt.Errorf("Cilium enforces no policies: enable-policy is never in %s", r.settings.from)
	}
	var o struct {
		Spec  json.RawMessage   `json:"spec"`
		Specs []json.RawMessage `json:"specs"`
	}
	if err := sigsjson.UnmarshalCaseSensitivePreserveInts(c.JSON, &o); err != nil {
		return nil, err
	}
	s := &specReader{reader: r, ref: c.Ref, denials: map[scope][]denial{}}
	if c.Kind == "CiliumNetworkPolicy" {
		s.namespace = c.Namespace
	}
	var policies []*netpol.Policy
	add := func(raw json.RawMessage, at evidence.Path) error {
		p, err := s.spec(raw, at)
		if p != nil {
			policies = append(policies, p)
		}
		return err
	}
	if given(o.Spec) {
		if err := add(o.Spec, evidence.NewPath("spec")); err != nil {
			return nil, err
		}
	}
	for i, raw := range o.Specs {
		if err := add(raw, evidence.NewPath("specs").Index(i, "")); err != nil {
			return nil, err
		}
	}
	if !given(o.Spec) && o.Specs == nil {
		return nil, errors.New("neither spec nor specs is given")
	}
	for at, list := range s.denials {
		r.denials[at] = append(r.denials[at], list...)
	}
	return policies, nil
}

// settings are those of the agents, as the ConfigMap cilium-config gives them.
type settings struct {
	// from is the ConfigMap, nil where it was not read: no setting is then known.
	from *evidence.Ref
	data map[string]string
}

func readSettings(snap *evidence.Snapshot) settings {
	for _, c := range snap.ConfigMaps {
		if c.Name == "cilium-config" {
			return settings{c.Ref, c.Value.Data}
		}
	}
	return settings{}
}

// value is a setting, "" for one that is not known or not set.
func (s settings) value(key string) string { return s.data[key] }

// always is what isolates every pod where the agents are told to enforce policies
// on pods that none is about.
func (r *reader) always() []*netpol.Policy {
	if r.settings.value("enable-policy") != "always" {
		return nil
	}
	return []*netpol.Policy{{
		Ref: r.settings.from, Tier: tier, Subject: netpol.Is{Kind: netpol.OfPod},
		Ingress: &netpol.Rules{Isolates: true}, Egress: &netpol.Rules{Isolates: true},
	}}
}
