package calico

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A rule is a rule as it is evaluated, for some of the policy's own endpoints only.
type rule struct {
	netpol.Rule
	// near are the policy's own endpoints that the rule is about; nil for all.
	near netpol.Expr
}

// rules reads a list of rules of a policy in a namespace, "" for a global one. A rule
// that logs decides nothing and is left out.
func (r *reader) rules(list []raw, egress bool, namespace string, at evidence.Path) ([]rule, error) {
	var rules []rule
	for i, data := range list {
		at := at.Index(i, "")
		var spec ruleSpec
		unknown, err := decode(data, at, &spec)
		if err != nil {
			return nil, err
		}
		read, err := r.rule(&spec, egress, namespace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		for _, one := range read {
			one.Index, one.Path = i, at
			if unknown != "" {
				one.Unknown = unknown
			}
			rules = append(rules, one)
		}
	}
	return rules, nil
}

func actionOf(name string) netpol.Action {
	switch name {
	case "Deny":
		return netpol.Deny
	case "Pass":
		return netpol.Pass
	}
	return netpol.Allow
}

// rule reads one rule. It gives two where it is known of some ports that they match,
// and of others that they may.
func (r *reader) rule(spec *ruleSpec, egress bool, namespace string) ([]rule, error) {
	if err := spec.check(egress); err != nil {
		return nil, err
	}
	far, near := &spec.Source, &spec.Destination
	if egress {
		far, near = near, far
	}
	family, err := spec.family()
	if err != nil {
		return nil, err
	}
	peers, err := r.entity(far, namespace)
	if err != nil {
		return nil, err
	}
	own, err := r.entity(near, namespace)
	if err != nil {
		return nil, err
	}
	if spec.Action == "Log" {
		return nil, nil
	}
	if family != nil && len(far.Nets) == 0 {
		peers = append(peers, netpol.Address{In: *family})
	}
	one := rule{Rule: netpol.Rule{Action: actionOf(spec.Action), Peers: simplest(peers)}}
	if len(own) > 0 {
		one.near = simplest(own)
	}
	spec.restrict(&one.Rule)
	matched, why := spec.ports()
	var rules []rule
	if far.Services != nil {
		rules = r.serviceHosts(one, matched, far.Services, egress, namespace)
		r.serviceRule(&one.Rule, &matched, far.Services, egress, namespace)
	}
	for _, part := range r.byNotPorts(one, matched, egress) {
		rules = append(rules, r.byPorts(part.rule, part.matched, why)...)
	}
	return rules, nil
}

// simplest is an Every without the frame that it does not need.
func simplest(e netpol.Every) netpol.Expr {
	if len(e) == 1 {
		return e[0]
	}
	return e
}

// restrict notes what a rule asks for besides endpoints, protocols and ports.
func (spec *ruleSpec) restrict(to *netpol.Rule) {
	var limits []string
	if spec.HTTP != nil {
		limits = append(limits, spec.HTTP.words())
	}
	if len(spec.Source.Ports)+len(spec.Source.NotPorts) > 0 {
		if to.Action != netpol.Allow {
			to.Unknown = "whether it matches depends on the port that the client connects from"
		}
		limits = append(limits, "certain ports of the client")
	}
	if to.Action == netpol.Allow {
		to.Limits = strings.Join(limits, ", ")
	}
}

// family returns the addresses of the IP version to which a rule is limited, nil
// where it is not, or is by its nets in any case.
func (spec *ruleSpec) family() (*cidr.Set, error) {
	var v4, v6 bool
	for _, list := range [][]string{spec.Source.Nets, spec.Source.NotNets, spec.Destination.Nets, spec.Destination.NotNets} {
		for _, text := range list {
			p, err := network(text)
			if err != nil {
				return nil, err
			}
			v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
		}
	}
	if v := spec.IPVersion; v != nil {
		v4, v6 = v4 || *v == 4, v6 || *v == 6
	}
	set := cidr.IPv6()
	switch {
	case v4 && v6:
		return nil, errors.New("it is about IPv4 and IPv6 at once")
	case !v4 && !v6:
		return nil, nil
	case v4:
		set = cidr.IPv4()
	}
	return &set, nil
}

// network parses a net: a prefix, or a single address. Host bits are cleared.
func network(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func networks(list []string) (cidr.Set, error) {
	prefixes := make([]netip.Prefix, len(list))
	for i, text := range list {
		p, err := network(text)
		if err != nil {
			return cidr.Set{}, err
		}
		prefixes[i] = p
	}
	return cidr.Of(prefixes...), nil
}

// entity reads one side of a rule, without its ports and services: all of the parts
// must hold.
func (r *reader) entity(e *entitySpec, namespace string) (netpol.Every, error) {
	var parts netpol.Every
	meant, err := e.endpoints(namespace)
	if err != nil {
		return nil, err
	}
	if meant != nil {
		parts = append(parts, r.endpoints(meant))
	}
	if e.NotSelector != "" {
		not, err := parseSelector(e.NotSelector)
		if err != nil {
			return nil, err
		}
		parts = append(parts, netpol.Not{Of: r.endpoints(not)})
	}
	nets, err := networks(e.Nets)
	if err != nil {
		return nil, err
	}
	if len(e.Nets) > 0 {
		parts = append(parts, netpol.Address{In: nets})
	}
	notNets, err := networks(e.NotNets)
	if err != nil {
		return nil, err
	}
	if len(e.NotNets) > 0 {
		parts = append(parts, netpol.Not{Of: netpol.Address{In: notNets}})
	}
	return parts, nil
}

// endpoints joins the selectors of one side of a rule into one of endpoints, nil where
// there is none. A policy of a namespace means, as soon as it selects at all, its own
// namespace, unless it says which.
func (e *entitySpec) endpoints(namespace string) (netpol.Expr, error) {
	var parts netpol.Every
	if a := e.ServiceAccounts; a != nil {
		accounts, err := a.endpoints()
		if err != nil {
			return nil, err
		}
		parts = append(parts, accounts...)
	}
	if e.Selector != "" {
		own, err := parseSelector(e.Selector)
		if err != nil {
			return nil, err
		}
		parts = append(parts, own)
	}
	switch {
	case isGlobal(e.NamespaceSelector):
		parts = append(parts, netpol.Not{Of: has(namespaceKey)})
	case e.NamespaceSelector != "":
		namespaces, err := parseSelector(e.NamespaceSelector)
		if err != nil {
			return nil, err
		}
		parts = append(parts, prefixed(namespaces, namespacePrefix, has(namespaceKey)))
	case namespace != "" && (len(parts) > 0 || e.NotSelector != ""):
		parts = append(parts, inNamespace(namespace))
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return parts, nil
}

func inNamespace(name string) netpol.Expr {
	return netpol.Label{Key: namespaceKey, Op: netpol.In, Values: []string{name}}
}

func (a *accountSpec) endpoints() (netpol.Every, error) {
	var parts netpol.Every
	if a.Selector != "" {
		accounts, err := parseSelector(a.Selector)
		if err != nil {
			return nil, err
		}
		parts = append(parts, prefixed(accounts, accountPrefix, netpol.Everyone()))
	}
	if len(a.Names) > 0 {
		parts = append(parts, netpol.Label{Key: accountKey, Op: netpol.In, Values: a.Names})
	}
	return parts, nil
}

// matched are the ports that a rule matches, and those that it may match.
type matched struct {
	certain netpol.Ports
	maybe   ports.Set
	// not are ports by name that the rule does not match, whichever these are.
	not []netpol.NamedPort
}

// ports reads protocols and ports. Why says what it hangs on whether some match.
func (spec *ruleSpec) ports() (m matched, why string) {
	base, maybe := ports.All(), ports.Set{}
	if p := spec.Protocol; p != nil {
		base = ports.Every(p.of)
		if !p.whole {
			base, maybe = ports.Set{}, base
			why = "it is about one of the protocols that are taken together here"
		}
	}
	if p := spec.NotProtocol; p != nil {
		without := ports.Every(p.of)
		if !p.whole {
			maybe = maybe.Union(base.Intersect(without))
			why = "it is not about one of the protocols that are taken together here"
		} else {
			maybe = maybe.Minus(without)
		}
		base = base.Minus(without)
	}
	if i := spec.ICMP; i != nil && i.Type != nil {
		maybe, base = maybe.Union(base), ports.Set{}
		why = fmt.Sprintf("it is about ICMP type %d only", *i.Type)
	}
	if i := spec.NotICMP; i != nil && i.Type != nil {
		icmp := base.Intersect(ports.Every(ports.ICMP).Union(ports.Every(ports.ICMPv6)))
		maybe, base = maybe.Union(icmp), base.Minus(icmp)
		why = fmt.Sprintf("it is not about ICMP type %d", *i.Type)
	}
	m = matched{certain: netpol.Ports{Set: base}, maybe: maybe}
	return m.narrow(spec, why)
}

// narrow applies the ports of the accepting end.
func (m matched) narrow(spec *ruleSpec, why string) (matched, string) {
	given, not := spec.Destination.Ports, spec.Destination.NotPorts
	protocols := []ports.Protocol{ports.TCP, ports.UDP, ports.SCTP}
	if spec.Protocol != nil {
		protocols = []ports.Protocol{spec.Protocol.of}
	}
	if len(given) > 0 {
		base := m.certain.Set
		m.certain, m.maybe = netpol.Ports{Set: base.Intersect(numbers(given, protocols))}, ports.Set{}
		for _, n := range namedPorts(names(given), protocols) {
			if !base.Intersect(ports.Every(n.Protocol)).Empty() {
				m.certain.Named = append(m.certain.Named, n)
			}
		}
	}
	if len(not) > 0 {
		// Ports may be asked for, and denied, by protocols that have them only.
		var have ports.Set
		for _, p := range protocols {
			have = have.Union(ports.Every(p))
		}
		m.certain.Set = m.certain.Set.Intersect(have).Minus(numbers(not, protocols))
		switch {
		case len(m.certain.Named) > 0:
			m.maybe = m.certain.Set.Union(m.namedAnywhere())
			m.certain = netpol.Ports{}
			why = "it names ports, and others that it is not about"
		default:
			m.not = namedPorts(names(not), protocols)
		}
	}
	return m, why
}

// namedAnywhere is every port that one of the named ports may be.
func (m matched) namedAnywhere() (set ports.Set) {
	for _, n := range m.certain.Named {
		set = set.Union(ports.Every(n.Protocol))
	}
	return set
}

func numbers(list []portRange, protocols []ports.Protocol) (set ports.Set) {
	for _, r := range list {
		for _, p := range protocols {
			if r.name == "" {
				set = set.Union(ports.Of(p, r.first, r.last))
			}
		}
	}
	return set
}

func names(list []portRange) (found []string) {
	for _, r := range list {
		if r.name != "" {
			found = append(found, r.name)
		}
	}
	return found
}

func namedPorts(names []string, protocols []ports.Protocol) (list []netpol.NamedPort) {
	for _, n := range names {
		for _, p := range protocols {
			list = append(list, netpol.NamedPort{Protocol: p, Name: n})
		}
	}
	return list
}

// A byPod is a rule for those pods of the accepting end that give the same numbers to
// the ports that it names.
type byPod struct {
	rule
	matched
}

// byNotPorts cuts a rule that is not about some ports by name: pods call other ports
// so, and whoever has no such port is meant with all.
func (r *reader) byNotPorts(one rule, m matched, egress bool) []byPod {
	if len(m.not) == 0 {
		return []byPod{{one, m}}
	}
	var order []string
	groups, sets := map[string][]*evidence.Workload{}, map[string]ports.Set{}
	var having []*evidence.Workload
	for _, w := range r.workloads {
		if w.Pod.HostNetwork {
			continue
		}
		set := called(w, m.not)
		if set.Empty() {
			continue
		}
		key := set.Key()
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key], sets[key], having = append(groups[key], w), set, append(having, w)
	}
	list := []byPod{{one.accepting(netpol.Not{Of: netpol.Pods{Of: having}}, egress), m}}
	for _, key := range order {
		less := m
		less.certain.Set = m.certain.Set.Minus(sets[key])
		list = append(list, byPod{one.accepting(netpol.Pods{Of: groups[key]}, egress), less})
	}
	return list
}

// accepting narrows the end that accepts connections.
func (one rule) accepting(to netpol.Expr, egress bool) rule {
	switch {
	case egress:
		one.Peers = netpol.Every{one.Peers, to}
	case one.near != nil:
		one.near = netpol.Every{one.near, to}
	default:
		one.near = to
	}
	return one
}

// called are the ports that a workload's pods call by one of the names.
func called(w *evidence.Workload, names []netpol.NamedPort) (set ports.Set) {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			n := netpol.NamedPort{Protocol: transport(string(p.Protocol)), Name: p.Name}
			if number := p.ContainerPort; slices.Contains(names, n) && number > 0 && number < 1<<16 {
				set = set.Union(ports.Of(n.Protocol, uint16(number), uint16(number)))
			}
		}
	}
	return set
}

// byPorts gives a rule for the ports that match and one for those that may.
func (r *reader) byPorts(one rule, m matched, why string) (list []rule) {
	if !m.certain.Set.Empty() || len(m.certain.Named) > 0 {
		certain := one
		certain.Ports = m.certain
		for _, n := range m.certain.Named {
			if r.hostPorts[n.Name] && certain.Unknown == "" {
				certain.Unknown = fmt.Sprintf("port %q is also one of a HostEndpoint's, which are not looked up", n.Name)
			}
		}
		list = append(list, certain)
	}
	if !m.maybe.Empty() {
		maybe := one
		maybe.Ports = netpol.Ports{Set: m.maybe}
		if maybe.Unknown == "" {
			maybe.Unknown = why
		}
		list = append(list, maybe)
	}
	return list
}
