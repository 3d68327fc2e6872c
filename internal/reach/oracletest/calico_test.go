package oracletest

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A calicoPolicy is the spec of Calico's NetworkPolicy or GlobalNetworkPolicy.
type calicoPolicy struct {
	Tier                   string       `json:"tier,omitempty"`
	Order                  *float64     `json:"order,omitempty"`
	Selector               string       `json:"selector,omitempty"`
	NamespaceSelector      string       `json:"namespaceSelector,omitempty"`
	ServiceAccountSelector string       `json:"serviceAccountSelector,omitempty"`
	Types                  []string     `json:"types,omitempty"`
	DoNotTrack             bool         `json:"doNotTrack,omitempty"`
	PreDNAT                bool         `json:"preDNAT,omitempty"`
	ApplyOnForward         bool         `json:"applyOnForward,omitempty"`
	Ingress                []calicoRule `json:"ingress,omitempty"`
	Egress                 []calicoRule `json:"egress,omitempty"`
}

type calicoRule struct {
	Action      string       `json:"action"`
	IPVersion   int          `json:"ipVersion,omitempty"`
	Protocol    any          `json:"protocol,omitempty"`
	NotProtocol any          `json:"notProtocol,omitempty"`
	Source      calicoEntity `json:"source"`
	Destination calicoEntity `json:"destination"`
	ICMP        *calicoICMP  `json:"icmp,omitempty" oracle:"vague"`
	NotICMP     *calicoICMP  `json:"notICMP,omitempty" oracle:"vague"`
	HTTP        *calicoHTTP  `json:"http,omitempty" oracle:"vague"`
}

type calicoICMP struct {
	Type int `json:"type" oracle:"vague"`
}

type calicoHTTP struct {
	Methods []string `json:"methods,omitempty" oracle:"vague"`
}

type calicoEntity struct {
	Nets              []string        `json:"nets,omitempty"`
	NotNets           []string        `json:"notNets,omitempty"`
	Selector          string          `json:"selector,omitempty"`
	NotSelector       string          `json:"notSelector,omitempty"`
	NamespaceSelector string          `json:"namespaceSelector,omitempty"`
	Ports             []any           `json:"ports,omitempty"`
	NotPorts          []any           `json:"notPorts,omitempty"`
	ServiceAccounts   *calicoAccounts `json:"serviceAccounts,omitempty"`
	Services          *calicoService  `json:"services,omitempty"`
}

type calicoService struct {
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

type calicoAccounts struct {
	Names    []string `json:"names,omitempty"`
	Selector string   `json:"selector,omitempty"`
}

type calicoTier struct {
	Order         *float64 `json:"order,omitempty"`
	DefaultAction string   `json:"defaultAction,omitempty"`
}

// calicoSet is the spec of a NetworkSet or a GlobalNetworkSet.
type calicoSet struct {
	Nets []string `json:"nets,omitempty"`
}

// A tier of policies, as it is asked.
type tier struct {
	name   string
	order  float64
	passes bool
	// decide is what the tier's policies that are about the end do with a packet:
	// "Allow", "Deny", "Pass", or "" where none is about it, or "none" where no rule
	// of those that are matches.
	decide func() string
}

// calico asks one tier after the other at each end that is a pod.
func (w *world) calico(p packet) bool {
	for _, d := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
		subject, peer := p.sides(d)
		if d == netpol.Ingress && peer.host() != nil && p.local {
			continue // what comes from a pod's own node is let in
		}
		if subject.own() && !w.calicoSide(p, d) {
			return false
		}
	}
	return true
}

func (w *world) calicoSide(p packet, d netpol.Direction) bool {
	tiers := []tier{
		{"kube-admin", 1_000, true, func() string { return strings.Replace(w.admin(p, d, "Admin"), "Accept", "Allow", 1) }},
		{"default", 1_000_000, false, func() string { return w.calicoTier(p, d, "default") }},
		{"kube-baseline", 10_000_000, true, func() string { return strings.Replace(w.admin(p, d, "Baseline"), "Accept", "Allow", 1) }},
	}
	for _, o := range w.policies {
		if spec, ok := o.spec.(*calicoTier); ok {
			order := math.Inf(1)
			if spec.Order != nil {
				order = *spec.Order
			}
			tiers = append(tiers, tier{o.name, order, spec.DefaultAction == "Pass", func() string { return w.calicoTier(p, d, o.name) }})
		}
	}
	slices.SortStableFunc(tiers, func(a, b tier) int { return cmp.Compare(a.order, b.order) })
	for _, t := range tiers {
		switch t.decide() {
		case "Allow":
			return true
		case "Deny":
			return false
		case "none":
			if !t.passes {
				return false
			}
		}
	}
	return true
}

// calicoTier asks the policies of a tier by their order. NetworkPolicies of
// Kubernetes are of the tier default, all in the order 1000.
func (w *world) calicoTier(p packet, d netpol.Direction, name string) string {
	subject, _ := p.sides(d)
	var list []*object
	for _, o := range w.policies {
		spec, ok := o.spec.(*calicoPolicy)
		if ok && !strings.HasPrefix(o.kind, "Staged") && cmp.Or(spec.Tier, "default") == name && w.calicoSubject(o, spec, subject.pod) && calicoTypes(o, spec, d) {
			list = append(list, o)
		}
	}
	order := func(o *object) float64 {
		if spec := o.spec.(*calicoPolicy); spec.Order != nil {
			return *spec.Order
		}
		return math.Inf(1)
	}
	slices.SortFunc(list, func(a, b *object) int { return cmp.Compare(order(a), order(b)) })
	const kubernetes = 1000
	isolated, allowed := w.networkPolicies(p, d)
	asked := name != "default" || !isolated
	for _, o := range list {
		if !asked && order(o) > kubernetes && allowed {
			return "Allow"
		}
		asked = asked || order(o) > kubernetes
		rules := o.spec.(*calicoPolicy).Ingress
		if d == netpol.Egress {
			rules = o.spec.(*calicoPolicy).Egress
		}
		for _, r := range rules {
			if r.Action != "Log" && w.calicoMatches(p, o, r) {
				return r.Action
			}
		}
	}
	if name == "default" && isolated && allowed {
		return "Allow"
	}
	if len(list) > 0 || name == "default" && isolated {
		return "none"
	}
	return ""
}

// calicoTypes reports whether a policy is about a direction: types, and without them
// egress where there are egress rules, and ingress where there are ingress rules or
// none at all. That default is the API server's: a policy that is written past it is
// about both.
func calicoTypes(o *object, spec *calicoPolicy, d netpol.Direction) bool {
	if len(spec.Types) > 0 {
		return d == netpol.Ingress && slices.Contains(spec.Types, "Ingress") || d == netpol.Egress && slices.Contains(spec.Types, "Egress")
	}
	if strings.HasPrefix(o.apiVersion, "crd.") {
		return true
	}
	if d == netpol.Egress {
		return len(spec.Egress) > 0
	}
	return len(spec.Ingress) > 0 || len(spec.Egress) == 0
}

func (w *world) calicoSubject(o *object, spec *calicoPolicy, p *pod) bool {
	if spec.DoNotTrack || spec.PreDNAT || o.namespace != "" && o.namespace != p.namespace {
		return false // the first two are about the interfaces of nodes only
	}
	l := w.calicoLabels(p)
	return calicoSelects(spec.Selector, l.own) && calicoSelects(spec.NamespaceSelector, l.namespace) && calicoSelects(spec.ServiceAccountSelector, l.account)
}

// calicoLabels are what selectors see of a pod or a set of addresses.
type calicoLabels struct {
	own, namespace, account map[string]string
	// global is set for what is in no namespace.
	global bool
}

func (w *world) calicoLabels(p *pod) calicoLabels {
	name := cmp.Or(p.account, "default")
	l := calicoLabels{own: with(p.labels, "projectcalico.org/namespace", p.namespace), namespace: with(w.namespace(p.namespace), "projectcalico.org/name", p.namespace)}
	l.own["projectcalico.org/serviceaccount"] = name
	l.own["projectcalico.org/orchestrator"] = "k8s"
	for _, a := range w.accounts {
		if a.namespace == p.namespace && a.name == name {
			l.account = with(a.labels, "projectcalico.org/name", name)
		}
	}
	return l
}

// calicoKnows lists all that Calico knows by labels at an address.
func (w *world) calicoKnows(p packet, e end) (list []calicoLabels) {
	if e.own() {
		list = append(list, w.calicoLabels(e.pod))
	}
	for _, o := range w.policies {
		set, ok := o.spec.(*calicoSet)
		if !ok || !inAny(set.Nets, p.address(e)) {
			continue
		}
		l := calicoLabels{own: with(o.labels, "projectcalico.org/namespace", o.namespace), namespace: with(w.namespace(o.namespace), "projectcalico.org/name", o.namespace)}
		if o.namespace == "" {
			l = calicoLabels{own: o.labels, global: true}
		}
		list = append(list, l)
	}
	return list
}

func (w *world) calicoMatches(p packet, o *object, r calicoRule) bool {
	if r.IPVersion != 0 && r.IPVersion != p.version ||
		r.Protocol != nil && !isCalicoProtocol(p, r.Protocol) ||
		r.NotProtocol != nil && isCalicoProtocol(p, r.NotProtocol) {
		return false
	}
	// Of what is asked beyond peers and ports, one packet has all and another nothing.
	if !p.odd && (r.ICMP != nil || r.HTTP != nil || len(r.Source.Ports) > 0) || p.odd && (r.NotICMP != nil || len(r.Source.NotPorts) > 0) {
		return false
	}
	to := r.Destination
	return w.isCalicoEntity(p, o, r.Source, p.src, false) && w.isCalicoEntity(p, o, to, p.dst, true) &&
		(len(to.Ports) == 0 || atCalicoPort(p, to.Ports)) && (len(to.NotPorts) == 0 || !atCalicoPort(p, to.NotPorts))
}

func (w *world) isCalicoEntity(p packet, o *object, c calicoEntity, e end, destination bool) bool {
	a := p.address(e)
	if len(c.Nets) > 0 && !inAny(c.Nets, a) || inAny(c.NotNets, a) {
		return false
	}
	// A rule with blocks of the other IP version alone is not about the packet.
	if len(c.NotNets) > 0 && !slices.ContainsFunc(c.NotNets, func(n string) bool { return netip.MustParsePrefix(n).Addr().Is4() == a.Is4() }) {
		return false
	}
	if c.Services != nil {
		return w.isCalicoService(p, o, c, e, destination)
	}
	known := w.calicoKnows(p, e)
	if c.NotSelector != "" && slices.ContainsFunc(known, func(l calicoLabels) bool { return calicoSelects(c.NotSelector, l.own) }) {
		return false
	}
	if c.Selector == "" && c.NotSelector == "" && c.NamespaceSelector == "" && c.ServiceAccounts == nil {
		return true
	}
	// A global policy that says but who is not meant names nobody else.
	if o.namespace == "" && c.Selector == "" && c.NamespaceSelector == "" && c.ServiceAccounts == nil {
		return true
	}
	return slices.ContainsFunc(known, func(l calicoLabels) bool {
		switch {
		case c.NamespaceSelector == "all()":
			if l.global {
				return false
			}
		case c.NamespaceSelector == "global()":
			if !l.global {
				return false
			}
		case c.NamespaceSelector != "":
			if !calicoSelects(c.NamespaceSelector, l.namespace) {
				return false
			}
		case o.namespace != "" && l.own["projectcalico.org/namespace"] != o.namespace:
			return false
		}
		if s := c.ServiceAccounts; s != nil {
			if !calicoSelects(s.Selector, l.account) || len(s.Names) > 0 && !slices.Contains(s.Names, l.own["projectcalico.org/serviceaccount"]) {
				return false
			}
		}
		return calicoSelects(c.Selector, l.own)
	})
}

// isCalicoService reports whether an end has the address of a pod behind a service: as
// a destination only at the pod's port of the service.
func (w *world) isCalicoService(p packet, o *object, c calicoEntity, e end, destination bool) bool {
	return slices.ContainsFunc(w.services, func(s *service) bool {
		if s.name != c.Services.Name || s.namespace != cmp.Or(c.Services.Namespace, o.namespace) {
			return false
		}
		if !slices.ContainsFunc(w.pods, func(other *pod) bool { return s.holds(other) && p.address(end{pod: other}) == p.address(e) }) {
			return false
		}
		return !destination || slices.ContainsFunc(s.ports, func(port corev1.ServicePort) bool {
			return port.Protocol == p.transport() && port.TargetPort.IntValue() == int(p.port)
		})
	})
}

func isCalicoProtocol(p packet, protocol any) bool {
	switch protocol {
	case "TCP", 6, 6.0:
		return p.protocol == ports.TCP
	case "UDP", 17, 17.0:
		return p.protocol == ports.UDP
	case "SCTP", 132, 132.0:
		return p.protocol == ports.SCTP
	case "ICMP":
		return p.protocol == ports.ICMP
	case "ICMPv6":
		return p.protocol == ports.ICMPv6
	}
	return false
}

func atCalicoPort(p packet, list []any) bool {
	for _, port := range list {
		text := fmt.Sprint(port)
		if lo, hi, ranged := strings.Cut(text, ":"); ranged {
			if int(p.port) >= number(lo) && int(p.port) <= number(hi) {
				return true
			}
		} else if n, err := strconv.Atoi(text); err == nil {
			if int(p.port) == n {
				return true
			}
		} else if p.named(text, p.transport()) {
			return true
		}
	}
	return false
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// calicoSelects reads a selector, as far as the dice write them: "" means all.
func calicoSelects(selector string, labels map[string]string) bool {
	if selector == "" {
		return true
	}
	r := &calicoReader{text: selector, labels: labels}
	v := r.either()
	if r.space(); r.text != "" {
		panic("selector " + selector + " at " + r.text)
	}
	return v
}

type calicoReader struct {
	text   string
	labels map[string]string
}

func (r *calicoReader) space() { r.text = strings.TrimLeft(r.text, " ") }

func (r *calicoReader) next(token string) bool {
	r.space()
	rest, found := strings.CutPrefix(r.text, token)
	if found {
		r.text = rest
	}
	return found
}

func (r *calicoReader) either() bool {
	v := r.both()
	for r.next("||") {
		next := r.both()
		v = v || next
	}
	return v
}

func (r *calicoReader) both() bool {
	v := r.single()
	for r.next("&&") {
		next := r.single()
		v = v && next
	}
	return v
}

func (r *calicoReader) single() bool {
	switch {
	case r.next("!"):
		return !r.single()
	case r.next("("):
		v := r.either()
		r.next(")")
		return v
	case r.next("all()"):
		return true
	case r.next("has("):
		_, there := r.labels[r.key()]
		r.next(")")
		return there
	}
	got, there := r.labels[r.key()]
	switch {
	case r.next("=="):
		return r.value() == got && there
	case r.next("!="):
		return r.value() != got || !there
	case r.next("not in"):
		return !slices.Contains(r.values(), got) || !there
	case r.next("in"):
		return slices.Contains(r.values(), got) && there
	case r.next("starts with"):
		return strings.HasPrefix(got, r.value()) && there
	case r.next("ends with"):
		return strings.HasSuffix(got, r.value()) && there
	case r.next("contains"):
		return strings.Contains(got, r.value()) && there
	}
	panic("selector at " + r.text)
}

func (r *calicoReader) key() string {
	r.space()
	end := strings.IndexAny(r.text, " =!)")
	key := r.text[:end]
	r.text = r.text[end:]
	return key
}

func (r *calicoReader) value() string {
	r.space()
	value, rest, _ := strings.Cut(r.text[1:], r.text[:1])
	r.text = rest
	return value
}

func (r *calicoReader) values() (list []string) {
	r.next("{")
	for !r.next("}") {
		list = append(list, r.value())
		r.next(",")
	}
	return list
}

func rollCalico(d *dice) *world {
	w := d.cluster()
	w.enforcement = netpol.Calico
	version := pick(d, "projectcalico.org/v3", "crd.projectcalico.org/v1")
	tiers := []string{""}
	for i := range d.IntN(3) {
		spec := &calicoTier{DefaultAction: pick(d, "", "Deny", "Pass"), Order: ptr(pick(d, 10.5, 500_000, 2_000_000, 20_000_000) + float64(i))}
		if i == 0 && d.one(6) {
			spec.Order = nil
		}
		name := fmt.Sprintf("tier%d", i)
		tiers = append(tiers, name)
		w.policies = append(w.policies, &object{apiVersion: version, kind: "Tier", name: name, spec: spec})
	}
	for i := range d.IntN(3) {
		o := &object{apiVersion: version, kind: "GlobalNetworkSet", name: fmt.Sprintf("set%d", i), labels: d.labels(), spec: &calicoSet{d.blocks()}}
		if d.one(3) {
			o.kind, o.namespace = "NetworkSet", pick(d, w.namespaces...).name
		}
		w.policies = append(w.policies, o)
	}
	for i := range 1 + d.IntN(5) {
		w.policies = append(w.policies, d.calicoPolicy(i, version, tiers))
	}
	for i := range d.IntN(3) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	if d.one(4) {
		w.policies = append(w.policies, d.adminPolicies()...)
	}
	return w
}

func (d *dice) calicoPolicy(i int, version string, tiers []string) *object {
	spec := &calicoPolicy{Tier: pick(d, tiers...), Order: ptr(pick(d, -5.5, 10, 990, 1010, 3000) + float64(i))}
	o := &object{apiVersion: version, kind: "NetworkPolicy", namespace: pick(d, d.w.namespaces...).name, name: fmt.Sprintf("cp%d", i), spec: spec}
	if i == 0 && d.one(2) {
		spec.Order = nil
	}
	if spec.Tier != "" {
		o.name = spec.Tier + "." + o.name
	} else if d.one(2) {
		spec.Tier = "default"
	}
	if !d.one(4) {
		spec.Selector = d.calicoSelector()
	}
	if d.one(5) {
		spec.ServiceAccountSelector = d.calicoAccountSelector()
	}
	if d.one(2) {
		o.kind, o.namespace = "GlobalNetworkPolicy", ""
		if d.one(2) {
			spec.NamespaceSelector = d.calicoNamespaceSelector()
		}
		switch d.IntN(12) {
		case 0:
			spec.ApplyOnForward = true
		case 1:
			spec.DoNotTrack, spec.ApplyOnForward = true, true
		case 2:
			spec.PreDNAT, spec.ApplyOnForward, spec.Types = true, true, []string{"Ingress"}
		}
	}
	if i > 0 && d.one(10) {
		o.kind = "Staged" + o.kind
	}
	if spec.Types == nil {
		spec.Types = pick(d, nil, []string{"Ingress"}, []string{"Egress"}, []string{"Ingress", "Egress"})
	}
	rule := func(ingress bool) func() calicoRule {
		return func() calicoRule {
			r := d.calicoRule(ingress)
			if len(d.w.services) > 0 && d.one(12) {
				s := pick(d, d.w.services...)
				c := calicoEntity{Services: &calicoService{s.name, s.namespace}}
				if s.namespace == o.namespace && d.one(2) {
					c.Services.Namespace = ""
				}
				if ingress {
					r.Source = c
				} else {
					r.Destination = c
				}
			}
			return r
		}
	}
	spec.Ingress = some(d, 0, 3, rule(true))
	if !spec.PreDNAT {
		spec.Egress = some(d, 0, 3, rule(false))
	}
	return o
}

func (d *dice) calicoTerm() string {
	key, value := d.key(), func() string { return pick(d, "'a'", `"b"`, "'c'") }
	switch d.IntN(9) {
	case 0, 1, 2:
		return key + " == " + value()
	case 3:
		return key + " != " + value()
	case 4:
		return key + " in {" + value() + ", " + value() + "}"
	case 5:
		return key + " not in { " + value() + " }"
	case 6:
		return "has(" + key + ")"
	case 7:
		return "!has(" + key + ")"
	}
	return key + pick(d, " starts with ", " ends with ", " contains ") + value()
}

func (d *dice) calicoSelector() string {
	switch d.IntN(8) {
	case 0:
		return "all()"
	case 1:
		return d.calicoTerm() + " && " + d.calicoTerm()
	case 2:
		return d.calicoTerm() + " || " + d.calicoTerm() + " && " + d.calicoTerm()
	case 3:
		return "!(" + d.calicoTerm() + " || " + d.calicoTerm() + ")"
	case 4:
		return "projectcalico.org/namespace == '" + pick(d, d.w.namespaces...).name + "'"
	}
	return d.calicoTerm()
}

func (d *dice) calicoNamespaceSelector() string {
	if d.one(3) {
		return "projectcalico.org/name in {'" + pick(d, d.w.namespaces...).name + "'}"
	}
	if d.one(5) {
		return "all()"
	}
	return d.calicoTerm()
}

func (d *dice) calicoAccountSelector() string {
	if d.one(3) {
		return "projectcalico.org/name == 'bot'"
	}
	return d.calicoTerm()
}

func (d *dice) calicoRule(ingress bool) calicoRule {
	r := calicoRule{Action: pick(d, "Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log")}
	if d.one(8) {
		r.IPVersion = pick(d, 4, 6)
	}
	switch d.IntN(6) {
	case 0:
		r.NotProtocol = pick[any](d, "TCP", "UDP", "SCTP", 6, 17)
	case 1:
		r.Protocol = pick[any](d, "TCP", "UDP", "SCTP", 6, 132)
	case 2:
		r.Protocol = "ICMP"
		if r.IPVersion == 6 || r.IPVersion == 0 && d.one(2) {
			r.Protocol = "ICMPv6"
		}
	case 3, 4:
		r.Protocol = pick[any](d, "TCP", "TCP", "UDP", "SCTP")
		if d.one(4) {
			r.Destination.NotPorts = some(d, 1, 2, d.calicoPort)
		}
		if !d.one(4) {
			r.Destination.Ports = some(d, 1, 2, d.calicoPort)
		}
	}
	if d.vague && d.one(8) {
		switch {
		case r.Protocol == "ICMP" || r.Protocol == "ICMPv6":
			if d.one(2) {
				r.ICMP = &calicoICMP{8}
			} else {
				r.NotICMP = &calicoICMP{8}
			}
		case r.Protocol == "TCP" && r.Action == "Allow" && ingress && d.one(2):
			r.HTTP = &calicoHTTP{[]string{"GET"}}
		case r.Protocol == "TCP" && d.one(2):
			r.Source.Ports = []any{"1024:2000"}
		case r.Protocol == "TCP":
			r.Source.NotPorts = []any{"1024:2000"}
		}
	}
	// The blocks of a rule are of one IP version.
	versions := d.w.versions
	defer func() { d.w.versions = versions }()
	d.w.versions = []int{pick(d, versions...)}
	if r.IPVersion != 0 {
		d.w.versions = []int{r.IPVersion}
	}
	d.calicoEntity(&r.Source)
	d.calicoEntity(&r.Destination)
	return r
}

func (d *dice) calicoPort() any {
	switch d.IntN(4) {
	case 0:
		return pick(d, portNames()...)
	case 1:
		lo, hi := d.span()
		return fmt.Sprintf("%d:%d", lo, hi)
	}
	return pick(d, portNumbers()...)
}

func (d *dice) calicoEntity(c *calicoEntity) {
	switch d.IntN(11) {
	case 0, 1:
		c.Nets = d.blocks()
	case 2:
		for c.NotNets == nil || slices.Contains(c.NotNets, "0.0.0.0/0") || slices.Contains(c.NotNets, "::/0") {
			c.NotNets = d.blocks()
		}
	case 3:
		c.Selector = d.calicoSelector()
	case 4:
		c.NotSelector = d.calicoTerm()
	case 5:
		c.Selector, c.NamespaceSelector = d.calicoTerm(), d.calicoNamespaceSelector()
	case 6:
		c.NamespaceSelector = pick(d, "global()", "all()", d.calicoNamespaceSelector())
	case 7:
		c.ServiceAccounts = &calicoAccounts{}
		which := 1 + d.IntN(3)
		if which&1 != 0 {
			c.ServiceAccounts.Names = some(d, 1, 2, func() string { return pick(d, "default", "bot") })
		}
		if which&2 != 0 {
			c.ServiceAccounts.Selector = d.calicoAccountSelector()
		}
		if d.one(3) {
			c.NamespaceSelector = d.calicoNamespaceSelector()
		}
	}
}
