package oracletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A ciliumRule is the spec of a CiliumNetworkPolicy or a
// CiliumClusterwideNetworkPolicy, or one of its specs.
type ciliumRule struct {
	EndpointSelector  *metav1.LabelSelector `json:"endpointSelector,omitempty"`
	EnableDefaultDeny *ciliumDefaultDeny    `json:"enableDefaultDeny,omitempty"`
	Ingress           []ciliumPeers         `json:"ingress,omitempty"`
	IngressDeny       []ciliumPeers         `json:"ingressDeny,omitempty"`
	Egress            []ciliumPeers         `json:"egress,omitempty"`
	EgressDeny        []ciliumPeers         `json:"egressDeny,omitempty"`
}

// ciliumRules are written in the field specs.
type ciliumRules struct{ Specs []ciliumRule }

type ciliumDefaultDeny struct {
	Ingress *bool `json:"ingress,omitempty"`
	Egress  *bool `json:"egress,omitempty"`
}

// ciliumPeers are a rule of one direction.
type ciliumPeers struct {
	FromEndpoints []metav1.LabelSelector `json:"fromEndpoints,omitempty"`
	FromEntities  []string               `json:"fromEntities,omitempty"`
	FromCIDR      []string               `json:"fromCIDR,omitempty"`
	FromCIDRSet   []ciliumBlock          `json:"fromCIDRSet,omitempty"`
	ToEndpoints   []metav1.LabelSelector `json:"toEndpoints,omitempty"`
	ToEntities    []string               `json:"toEntities,omitempty"`
	ToCIDR        []string               `json:"toCIDR,omitempty"`
	ToCIDRSet     []ciliumBlock          `json:"toCIDRSet,omitempty"`
	ToServices    []ciliumService        `json:"toServices,omitempty"`
	ToFQDNs       []ciliumName           `json:"toFQDNs,omitempty" oracle:"vague"`
	FromNodes     []metav1.LabelSelector `json:"fromNodes,omitempty" oracle:"vague"`
	ToNodes       []metav1.LabelSelector `json:"toNodes,omitempty" oracle:"vague"`
	ToPorts       []ciliumPorts          `json:"toPorts,omitempty"`
	ICMPs         []ciliumICMP           `json:"icmps,omitempty" oracle:"vague"`
}

type ciliumService struct {
	K8sService         *ciliumServiceName     `json:"k8sService,omitempty"`
	K8sServiceSelector *ciliumServiceSelector `json:"k8sServiceSelector,omitempty"`
}

type ciliumServiceName struct {
	ServiceName string `json:"serviceName,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

type ciliumServiceSelector struct {
	Selector  metav1.LabelSelector `json:"selector"`
	Namespace string               `json:"namespace,omitempty"`
}

type ciliumName struct {
	MatchName    string `json:"matchName,omitempty" oracle:"vague"`
	MatchPattern string `json:"matchPattern,omitempty" oracle:"vague"`
}

type ciliumICMP struct {
	Fields []ciliumICMPType `json:"fields,omitempty" oracle:"vague"`
}

type ciliumICMPType struct {
	Family string `json:"family,omitempty" oracle:"vague"`
	Type   any    `json:"type" oracle:"vague"`
}

type ciliumBlock struct {
	CIDR              string                `json:"cidr,omitempty"`
	CIDRGroupRef      string                `json:"cidrGroupRef,omitempty"`
	CIDRGroupSelector *metav1.LabelSelector `json:"cidrGroupSelector,omitempty"`
	Except            []string              `json:"except,omitempty"`
}

type ciliumPorts struct {
	Ports []ciliumPort    `json:"ports,omitempty"`
	Rules *ciliumRequests `json:"rules,omitempty"`
}

type ciliumPort struct {
	Port     string `json:"port"`
	EndPort  int    `json:"endPort,omitempty"`
	Protocol string `json:"protocol,omitempty"`
}

type ciliumRequests struct {
	HTTP []ciliumHTTP `json:"http,omitempty"`
}

type ciliumHTTP struct {
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
}

// ciliumGroup is the spec of a CiliumCIDRGroup.
type ciliumGroup struct {
	ExternalCIDRs []string `json:"externalCIDRs"`
}

// cilium weighs NetworkPolicies and Cilium's own policies together: what any of them
// denies is denied, what any allows is allowed, the rest is denied where one of
// them makes that the default.
func (w *world) cilium(p packet) bool {
	for _, d := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
		subject, _ := p.sides(d)
		if subject.own() && !w.ciliumSide(p, d) {
			return false
		}
	}
	return true
}

func (w *world) ciliumSide(p packet, d netpol.Direction) bool {
	subject, peer := p.sides(d)
	opened := false
	for _, o := range w.policies {
		for _, r := range ciliumSpecs(o) {
			if !w.isCiliumSubject(o, r, subject.pod) {
				continue
			}
			allow, deny := r.Ingress, r.IngressDeny
			if d == netpol.Egress {
				allow, deny = r.Egress, r.EgressDeny
			}
			for _, rule := range deny {
				if w.ciliumMatches(p, o, rule, peer) {
					return false
				}
			}
			for _, rule := range allow {
				if w.ciliumMatches(p, o, rule, peer) {
					opened = true
				}
			}
		}
	}
	if w.ciliumNetworkPolicies(p, d) {
		opened = true
	}
	if d == netpol.Ingress && peer.host() != nil && p.local {
		opened = true // what comes from a pod's own node is let in, unless a rule denies it
	}
	return opened || !w.isCiliumClosed(subject.pod, d)
}

func (w *world) isCiliumSubject(o *object, r ciliumRule, p *pod) bool {
	return (o.namespace == "" || o.namespace == p.namespace) && selects(plainKeys(r.EndpointSelector), w.ciliumLabels(p))
}

// isCiliumClosed reports whether a policy makes it the default of a pod that what
// nothing allows is denied: each does in a direction that it has rules for, unless
// it says otherwise.
func (w *world) isCiliumClosed(p *pod, d netpol.Direction) bool {
	for _, o := range w.policies {
		for _, r := range ciliumSpecs(o) {
			closes, rules := (*bool)(nil), len(r.Ingress)+len(r.IngressDeny)
			if d == netpol.Egress {
				rules = len(r.Egress) + len(r.EgressDeny)
			}
			if r.EnableDefaultDeny != nil {
				closes = r.EnableDefaultDeny.Ingress
				if d == netpol.Egress {
					closes = r.EnableDefaultDeny.Egress
				}
			}
			if rules > 0 && (closes == nil || *closes) && w.isCiliumSubject(o, r, p) {
				return true
			}
		}
	}
	return w.isIsolated(p, d)
}

// ciliumNetworkPolicies is NetworkPolicies as Cilium reads them: a block means no pod
// and no node, and no other peer means a node.
func (w *world) ciliumNetworkPolicies(p packet, d netpol.Direction) (allowed bool) {
	subject, peer := p.sides(d)
	for _, o := range w.policies {
		spec, ok := o.spec.(*networkingv1.NetworkPolicySpec)
		if !ok || o.namespace != subject.pod.namespace || !selects(&spec.PodSelector, subject.pod.labels) || !speaks(spec, d) {
			continue
		}
		match := func(peers []networkingv1.NetworkPolicyPeer, list []networkingv1.NetworkPolicyPort) {
			if !atPort(p, list) {
				return
			}
			if len(peers) == 0 {
				allowed = true
			}
			for _, one := range peers {
				if one.IPBlock != nil && !peer.external.IsValid() {
					continue
				}
				if w.isPeer(p, o, []networkingv1.NetworkPolicyPeer{one}, peer) {
					allowed = true
				}
			}
		}
		for _, r := range spec.Ingress {
			if d == netpol.Ingress {
				match(r.From, r.Ports)
			}
		}
		for _, r := range spec.Egress {
			if d == netpol.Egress {
				match(r.To, r.Ports)
			}
		}
	}
	return allowed
}

func ciliumSpecs(o *object) []ciliumRule {
	switch spec := o.spec.(type) {
	case *ciliumRule:
		return []ciliumRule{*spec}
	case *ciliumRules:
		return spec.Specs
	}
	return nil
}

// ciliumMatches asks for the peer, if the rule names any, and for the port, if it
// names any. A rule that names neither means nothing.
func (w *world) ciliumMatches(p packet, o *object, r ciliumPeers, e end) bool {
	endpoints := append(slices.Clone(r.FromEndpoints), r.ToEndpoints...)
	entities := append(slices.Clone(r.FromEntities), r.ToEntities...)
	blocks := append(slices.Clone(r.FromCIDRSet), r.ToCIDRSet...)
	for _, c := range append(slices.Clone(r.FromCIDR), r.ToCIDR...) {
		blocks = append(blocks, ciliumBlock{CIDR: c})
	}
	nodes := append(slices.Clone(r.FromNodes), r.ToNodes...)
	anyone := len(endpoints)+len(entities)+len(blocks)+len(nodes)+len(r.ToServices)+len(r.ToFQDNs) == 0
	if anyone && len(r.ToPorts)+len(r.ICMPs) == 0 {
		return false
	}
	peer := anyone ||
		slices.ContainsFunc(endpoints, func(s metav1.LabelSelector) bool { return w.ciliumSelects(p, o, &s, e) }) ||
		slices.ContainsFunc(entities, func(name string) bool { return p.isEntity(name, e) }) ||
		e.external.IsValid() && slices.ContainsFunc(blocks, func(b ciliumBlock) bool { return w.inCiliumBlock(b, e) }) ||
		e.own() && slices.ContainsFunc(r.ToServices, func(s ciliumService) bool { return w.isCiliumService(s, o, e.pod) }) ||
		e.external.IsValid() && p.odd && len(r.ToFQDNs) > 0 ||
		e.host() != nil && p.odd && slices.ContainsFunc(nodes, func(s metav1.LabelSelector) bool { return selects(&s, e.host().labels) })
	if len(r.ICMPs) > 0 {
		return peer && slices.ContainsFunc(r.ICMPs, func(i ciliumICMP) bool {
			return slices.ContainsFunc(i.Fields, func(f ciliumICMPType) bool {
				echo := f.Type == 8 || f.Type == 8.0 || f.Type == "EchoRequest" // the others that are rolled mean what an odd packet is not
				return echo == p.odd && f.Family == "IPv6" && p.protocol == ports.ICMPv6 || echo == p.odd && f.Family != "IPv6" && p.protocol == ports.ICMP
			})
		})
	}
	return peer && (len(r.ToPorts) == 0 || slices.ContainsFunc(r.ToPorts, func(list ciliumPorts) bool {
		return (list.Rules == nil || !p.plain) && slices.ContainsFunc(list.Ports, func(port ciliumPort) bool { return atCiliumPort(p, port) })
	}))
}

// isCiliumService reports whether a pod is behind a service that is meant, by name or by
// labels; without a namespace it is the policy's own, or for labels any.
func (w *world) isCiliumService(c ciliumService, o *object, p *pod) bool {
	return slices.ContainsFunc(w.services, func(s *service) bool {
		if !s.holds(p) {
			return false
		}
		if c.K8sService != nil {
			return c.K8sService.ServiceName == s.name && c.K8sService.Namespace == s.namespace
		}
		return c.K8sServiceSelector.Namespace == s.namespace && selects(plainKeys(&c.K8sServiceSelector.Selector), s.labels)
	})
}

// ciliumSelects reads a selector of a rule: of a policy in a namespace it means pods
// there, unless it says something of namespaces itself.
func (w *world) ciliumSelects(p packet, o *object, s *metav1.LabelSelector, e end) bool {
	s = plainKeys(s)
	keys := slices.Collect(maps.Keys(s.MatchLabels))
	for _, m := range s.MatchExpressions {
		keys = append(keys, m.Key)
	}
	elsewhere := slices.ContainsFunc(keys, func(k string) bool {
		return k == ciliumNamespace || strings.HasPrefix(k, ciliumNamespaceLabels)
	})
	if !e.own() {
		// Nodes and the world have none of the labels.
		given := o.namespace != "" && !elsewhere || o.namespace == "" && !slices.Contains(keys, ciliumNamespace)
		return p.loose && !given && selects(s, nil)
	}
	if o.namespace != "" && !elsewhere && e.pod.namespace != o.namespace {
		return false
	}
	return selects(s, w.ciliumLabels(e.pod))
}

// Labels that Cilium gives to pods itself.
const (
	ciliumNamespace       = "io.kubernetes.pod.namespace"
	ciliumNamespaceLabels = "io.cilium.k8s.namespace.labels."
	ciliumAccount         = "io.cilium.k8s.policy.serviceaccount"
)

func (w *world) ciliumLabels(p *pod) map[string]string {
	labels := with(p.labels, ciliumNamespace, p.namespace)
	for k, v := range w.namespace(p.namespace) {
		labels[ciliumNamespaceLabels+k] = v
	}
	labels[ciliumAccount] = "default"
	if p.account != "" {
		labels[ciliumAccount] = p.account
	}
	return labels
}

// plainKeys takes the source of labels from the keys of a selector: all labels of
// pods are of the source k8s.
func plainKeys(s *metav1.LabelSelector) *metav1.LabelSelector {
	plain := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	cut := func(key string) string { return strings.TrimPrefix(strings.TrimPrefix(key, "k8s:"), "any:") }
	for k, v := range s.MatchLabels {
		plain.MatchLabels[cut(k)] = v
	}
	for _, m := range s.MatchExpressions {
		m.Key = cut(m.Key)
		plain.MatchExpressions = append(plain.MatchExpressions, m)
	}
	return plain
}

func (p packet) isEntity(name string, e end) bool {
	switch name {
	case "all":
		return true
	case "world":
		return e.external.IsValid()
	case "cluster":
		return !e.external.IsValid()
	case "host":
		return e.host() != nil && p.local
	case "remote-node":
		return e.host() != nil && !p.local
	}
	return false
}

func (w *world) inCiliumBlock(b ciliumBlock, e end) bool {
	if slices.ContainsFunc(b.Except, func(x string) bool { return within(x, e.external) }) {
		return false
	}
	if b.CIDR != "" {
		return within(b.CIDR, e.external)
	}
	for _, o := range w.policies {
		group, ok := o.spec.(*ciliumGroup)
		if !ok || !inAny(group.ExternalCIDRs, e.external) {
			continue
		}
		if b.CIDRGroupRef == o.name || b.CIDRGroupSelector != nil && selects(b.CIDRGroupSelector, o.labels) {
			return true
		}
	}
	return false
}

func atCiliumPort(p packet, c ciliumPort) bool {
	if p.transport() == "" {
		return false
	}
	protocol := corev1.Protocol(c.Protocol)
	if c.Protocol == "ANY" {
		protocol = ""
	}
	number, err := strconv.Atoi(c.Port)
	if err != nil {
		return p.named(c.Port, protocol)
	}
	if protocol != "" && protocol != p.transport() {
		return false
	}
	return int(p.port) == number || c.EndPort != 0 && int(p.port) >= number && int(p.port) <= c.EndPort
}

func rollCilium(d *dice) *world {
	w := d.cluster()
	w.enforcement = netpol.Cilium
	for i := range 2 {
		labels := map[string]string{"app": pick(d, "a", "b"), "tier": pick(d, "b", "c"), "env": pick(d, "a", "c")}
		w.policies = append(w.policies, &object{
			apiVersion: "cilium.io/" + pick(d, "v2", "v2alpha1"), kind: "CiliumCIDRGroup", name: fmt.Sprintf("group%d", i), labels: labels,
			spec: &ciliumGroup{d.blocks()},
		})
	}
	for i := range 1 + d.IntN(4) {
		o := &object{apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy", namespace: pick(d, w.namespaces...).name, name: fmt.Sprintf("cnp%d", i)}
		if d.one(3) {
			o.kind, o.namespace = "CiliumClusterwideNetworkPolicy", ""
		}
		if d.one(5) {
			o.spec = &ciliumRules{some(d, 1, 2, func() ciliumRule { return d.ciliumRule(o) })}
		} else {
			o.spec = ptr(d.ciliumRule(o))
		}
		w.policies = append(w.policies, o)
	}
	for i := range d.IntN(3) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	return w
}

func (d *dice) ciliumRule(o *object) (r ciliumRule) {
	r.EndpointSelector = d.selector()
	if o.namespace == "" && d.one(2) {
		r.EndpointSelector = d.ciliumSelector()
	}
	for r.Ingress == nil && r.Egress == nil && r.IngressDeny == nil && r.EgressDeny == nil {
		r.Ingress = some(d, 0, 2, func() ciliumPeers { return d.ciliumPeers(true, false) })
		r.Egress = some(d, 0, 2, func() ciliumPeers { return d.ciliumPeers(false, false) })
		r.IngressDeny = some(d, 0, d.IntN(2), func() ciliumPeers { return d.ciliumPeers(true, true) })
		r.EgressDeny = some(d, 0, d.IntN(2), func() ciliumPeers { return d.ciliumPeers(false, true) })
	}
	if d.one(3) {
		r.EnableDefaultDeny = &ciliumDefaultDeny{}
		if d.one(2) {
			r.EnableDefaultDeny.Ingress = ptr(len(r.Ingress)+len(r.IngressDeny) > 0 && d.one(3))
		}
		if d.one(2) {
			r.EnableDefaultDeny.Egress = ptr(len(r.Egress)+len(r.EgressDeny) > 0 && d.one(3))
		}
	}
	return r
}

func (d *dice) ciliumSelector() *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	source := func() string { return pick(d, "", "k8s:", "any:") }
	plain := d.selector()
	for k, v := range plain.MatchLabels {
		s.MatchLabels = map[string]string{source() + k: v}
	}
	for _, m := range plain.MatchExpressions {
		m.Key = source() + m.Key
		s.MatchExpressions = append(s.MatchExpressions, m)
	}
	if s.MatchLabels == nil {
		s.MatchLabels = map[string]string{}
	}
	if d.negative && d.one(3) {
		s.MatchExpressions = append(s.MatchExpressions, pick(d, metav1.LabelSelectorRequirement{
			Key: "k8s:" + ciliumNamespace, Operator: metav1.LabelSelectorOpNotIn, Values: []string{pick(d, d.w.namespaces...).name},
		}, metav1.LabelSelectorRequirement{
			Key: "k8s:" + ciliumNamespaceLabels + pick(d, "app", "tier", "env"), Operator: metav1.LabelSelectorOpDoesNotExist,
		}))
		return s
	}
	switch d.IntN(6) {
	case 0:
		s.MatchLabels[pick(d, "k8s:", "")+ciliumNamespace] = pick(d, d.w.namespaces...).name
	case 1:
		s.MatchLabels["k8s:"+ciliumNamespaceLabels+pick(d, "app", "tier", "env")] = pick(d, "a", "b", "c")
	case 2:
		s.MatchLabels["k8s:"+ciliumNamespaceLabels+corev1.LabelMetadataName] = pick(d, d.w.namespaces...).name
	case 3:
		s.MatchLabels[source()+ciliumAccount] = pick(d, "default", "bot")
	case 4:
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: "k8s:" + ciliumNamespace, Operator: metav1.LabelSelectorOpExists})
	}
	return s
}

// ciliumPeers rolls a rule with peers of one sort, or of none.
func (d *dice) ciliumPeers(ingress, deny bool) (r ciliumPeers) {
	endpoints, entities, blocks, sets := &r.ToEndpoints, &r.ToEntities, &r.ToCIDR, &r.ToCIDRSet
	if ingress {
		endpoints, entities, blocks, sets = &r.FromEndpoints, &r.FromEntities, &r.FromCIDR, &r.FromCIDRSet
	}
	switch d.IntN(6) {
	case 0, 1:
		*endpoints = some(d, 1, 2, func() metav1.LabelSelector { return *d.ciliumSelector() })
	case 2:
		*entities = some(d, 1, 2, func() string { return pick(d, "all", "world", "cluster", "host", "remote-node") })
	case 3:
		*blocks = d.blocks()
	case 4:
		*sets = some(d, 1, 2, d.ciliumBlock)
	case 5:
		if !ingress && len(d.w.services) > 0 {
			r.ToServices = some(d, 1, 1, d.ciliumService)
		}
	}
	if d.vague && d.one(8) {
		r = ciliumPeers{}
		switch selectors := some(d, 1, 1, func() metav1.LabelSelector { return *d.selector() }); {
		case ingress:
			r.FromNodes = selectors
		case deny || d.one(2):
			r.ToNodes = selectors
		default:
			r.ToFQDNs = []ciliumName{pick(d, ciliumName{MatchName: "example.org"}, ciliumName{MatchPattern: "*.example.org"})}
		}
	}
	if d.vague && d.one(8) {
		r.ICMPs = []ciliumICMP{{Fields: some(d, 1, 2, func() ciliumICMPType {
			f := ciliumICMPType{Family: pick(d, "", "IPv4", "IPv6"), Type: pick[any](d, 8, "EchoRequest")}
			if deny {
				f.Type = pick[any](d, 3, "DestinationUnreachable")
			}
			return f
		})}}
		return r
	}
	r.ToPorts = some(d, 0, 2, func() ciliumPorts {
		list := ciliumPorts{Ports: some(d, 1, 2, d.ciliumPort)}
		if !deny && d.one(6) {
			list.Ports = []ciliumPort{{Port: "80", Protocol: "TCP"}}
			list.Rules = &ciliumRequests{HTTP: []ciliumHTTP{{Method: "GET", Path: "/public"}}}
		}
		return list
	})
	return r
}

func (d *dice) ciliumService() (c ciliumService) {
	s := pick(d, d.w.services...)
	if d.one(2) {
		c.K8sService = &ciliumServiceName{s.name, s.namespace}
	} else {
		c.K8sServiceSelector = &ciliumServiceSelector{Selector: metav1.LabelSelector{MatchLabels: s.labels}, Namespace: s.namespace}
	}
	return c
}

func (d *dice) ciliumBlock() (b ciliumBlock) {
	switch d.IntN(4) {
	case 0:
		b.CIDRGroupRef = pick(d, "group0", "group0", "group1")
	case 1:
		// What a selector means that only says what a group is not, Cilium does not
		// document; of addresses in several groups it joins the labels.
		b.CIDRGroupSelector = &metav1.LabelSelector{}
		key, value := pick(d, "app", "tier", "env"), pick(d, "a", "b", "c")
		switch d.IntN(3) {
		case 0:
			b.CIDRGroupSelector.MatchLabels = map[string]string{key: value}
		case 1:
			b.CIDRGroupSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpExists}}
		default:
			b.CIDRGroupSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{value}}}
		}
	default:
		b.CIDR = d.block()
		b.Except = d.excepts(b.CIDR)
	}
	return b
}

func (d *dice) ciliumPort() ciliumPort {
	c := ciliumPort{Protocol: pick(d, "", "ANY", "TCP", "TCP", "UDP", "SCTP")}
	switch d.IntN(4) {
	case 0:
		c.Port = pick(d, portNames()...)
	case 1:
		lo, hi := d.span()
		c.Port, c.EndPort = strconv.Itoa(lo), hi
	default:
		c.Port = strconv.Itoa(pick(d, portNumbers()...))
	}
	return c
}
