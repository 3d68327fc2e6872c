package cilium

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Why answers about single endpoints are unknown.
const (
	onNode  = "it is not known whether the API server runs on a node or outside the cluster"
	ownNode = "it is not known on which node the pod runs: it is the host, and all others are remote nodes"
)

// peers are the other ends that a rule names. In an ingress rule the fields begin
// with "from", in an egress rule with "to". Lists that are nil were not given.
type peers struct {
	prefix                                                       string
	at                                                           evidence.Path
	endpoints, requires, cidrSet, groups, nodes, services, fqdns []json.RawMessage
	cidr, entities                                               []string
}

func (p *peers) path(field string) evidence.Path { return p.at.Field(p.prefix + field) }

// exclusive fails for a rule with peers of more than one sort.
func (p *peers) exclusive() error {
	first := ""
	for _, list := range []struct {
		field string
		size  int
	}{
		{"Endpoints", len(p.endpoints)}, {"CIDR", len(p.cidr)}, {"CIDRSet", len(p.cidrSet)}, {"Entities", len(p.entities)},
		{"Services", len(p.services)}, {"Groups", len(p.groups)}, {"Nodes", len(p.nodes)}, {"FQDNs", len(p.fqdns)},
	} {
		switch {
		case list.size == 0:
		case first != "":
			return fmt.Errorf("%s: %s%s cannot stand beside %s%s", p.at, p.prefix, first, p.prefix, list.field)
		default:
			first = list.field
		}
	}
	return nil
}

// nobody reports whether a list is given and empty: the rule then matches nothing.
// Lists of other sorts have no effect when they are empty.
func (p *peers) nobody() bool {
	return p.endpoints != nil && len(p.endpoints) == 0 || p.nodes != nil && len(p.nodes) == 0 ||
		p.entities != nil && len(p.entities) == 0 || p.cidr != nil && len(p.cidr) == 0 ||
		p.cidrSet != nil && len(p.cidrSet) == 0
}

// peers gives the endpoints that a rule's peers mean, nil where it names none. limits
// are the DNS names to which they are restricted.
func (s *specReader) peers(p *peers) (some netpol.Some, limits string, err error) {
	if err := p.exclusive(); err != nil {
		return nil, "", err
	}
	if len(p.requires) > 0 {
		s.doubt(fmt.Sprintf("%s: newer versions of Cilium refuse a policy with this field", p.path("Requires")))
	}
	if len(p.nodes) > 0 && !s.takesNodes(p.path("Nodes")) {
		return nil, "", fmt.Errorf("%s: the agents do not take peers by the labels of nodes: enable-node-selector-labels in %s", p.path("Nodes"), s.settings.from)
	}
	for _, list := range []struct {
		field string
		raws  []json.RawMessage
		read  func(json.RawMessage, evidence.Path) (netpol.Expr, error)
	}{
		{"Endpoints", p.endpoints, s.endpoints},
		{"Nodes", p.nodes, s.nodes},
		{"CIDRSet", p.cidrSet, s.cidrRule},
		{"Services", p.services, s.service},
	} {
		for i, raw := range list.raws {
			e, err := list.read(raw, p.path(list.field).Index(i, ""))
			if err != nil {
				return nil, "", err
			}
			some = append(some, e)
		}
	}
	for i, text := range p.cidr {
		set, err := cidr.Parse(text)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", p.path("CIDR").Index(i, ""), err)
		}
		some = append(some, s.addresses(set))
	}
	entities, err := entities(p.entities, p.path("Entities"))
	if err != nil {
		return nil, "", err
	}
	some = append(some, entities...)
	if len(p.groups) > 0 {
		some = append(some, unknownOutside(fmt.Sprintf("%s: the addresses of a cloud provider's groups are not known", p.path("Groups"))))
	}
	names, err := fqdns(p.fqdns, p.path("FQDNs"))
	if err != nil {
		return nil, "", err
	}
	if len(names) > 0 {
		limits = "the DNS names " + few(names)
		some = append(some, unknownOutside(fmt.Sprintf("the addresses of %s are known only when they are asked for", few(names))))
	}
	return some, limits, nil
}

// takesNodes reports whether the agents take peers by the labels of nodes; they
// do not unless they are told to, and then refuse the whole policy.
func (s *specReader) takesNodes(at evidence.Path) bool {
	if s.settings.from == nil {
		s.doubt(fmt.Sprintf("%s: Cilium refuses the policy unless its agents run with enable-node-selector-labels", at))
		return true
	}
	return s.settings.value("enable-node-selector-labels") == "true"
}

// endpoints reads a selector of peers. In a CiliumNetworkPolicy one that does not
// speak of namespaces means the policy's own; in one for the whole cluster, the
// pods of all namespaces. A selector with a reserved label may mean others than pods,
// and so may one that speaks of namespaces without asking for one.
func (s *specReader) endpoints(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	labels, doubt, err := readSelector(raw, at)
	if err != nil {
		return nil, err
	}
	every := netpol.Every{}
	if slices.ContainsFunc(labels, func(l label) bool { return l.source == "reserved" }) {
		for _, l := range labels {
			every = append(every, s.anyone(l))
		}
		return doubtful(every, doubt), nil
	}
	every = append(every, netpol.Is{Kind: netpol.OfPod})
	if s.namespace != "" && !slices.ContainsFunc(labels, label.aboutNamespace) {
		every = append(every, netpol.Named{Of: netpol.Namespace, Name: s.namespace})
	}
	for _, l := range labels {
		every = append(every, s.pod(l))
	}
	if s.namespaced(labels) {
		return doubtful(every, doubt), nil
	}
	return doubtful(netpol.Some{every, s.others(labels)}, doubt), nil
}

// namespaced reports whether a selector of peers asks for a namespace, which only pods
// have. The agents add that to one that does not speak of namespaces.
func (s *specReader) namespaced(labels []label) bool {
	added := s.namespace != "" || !s.initial
	for _, l := range labels {
		switch {
		case !l.aboutNamespace():
		case !l.negative():
			return true
		case s.namespace != "" || l.key == namespaceKey:
			added = false
		}
	}
	return added
}

// others are who is no pod, and meant by a selector that asks for no namespace: the
// agents may add to it that all is of their own cluster, which has only labels of pods,
// and those of nodes if they keep these.
func (s *specReader) others(labels []label) netpol.Expr {
	every := netpol.Every{netpol.Not{Of: netpol.Is{Kind: netpol.OfPod}}}
	for _, l := range labels {
		every = append(every, s.anyone(l))
	}
	if slices.ContainsFunc(labels, func(l label) bool { return l.kubernetes() && l.key == clusterKey }) {
		return every
	}
	switch s.settings.value("policy-default-local-cluster") {
	case "false":
		return every
	case "true":
		if s.settings.value("enable-node-selector-labels") != "true" {
			return netpol.Nobody()
		}
		inside := netpol.Some{netpol.Is{Kind: netpol.OfHost}, netpol.Is{Kind: netpol.OfAPIServer}}
		return netpol.Unknown{Within: netpol.Every{inside, every}, Why: "which labels of nodes Cilium knows is not known"}
	}
	return netpol.Unknown{Within: every, Why: "a selector that asks for no namespace means also who is no pod, unless Cilium runs with policy-default-local-cluster"}
}

func (l label) aboutNamespace() bool {
	return l.kubernetes() && (l.key == namespaceKey || strings.HasPrefix(l.key, namespaceLabelKey))
}

// doubtful is an expression of which a part was not understood: nobody can say
// whom it means.
func doubtful(e netpol.Expr, doubt string) netpol.Expr {
	if doubt == "" {
		return e
	}
	return netpol.Unknown{Within: netpol.Everyone(), Why: doubt}
}

// nodes reads a selector of nodes as peers, by the labels of their Node objects. It
// never means the node on which the pod runs.
func (s *specReader) nodes(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	labels, doubt, err := readSelector(raw, at)
	if err != nil {
		return nil, err
	}
	return netpol.Unknown{Within: doubtful(nodeLabels(labels), doubt), Why: ownNode}, nil
}

// nodeLabels means nodes by the labels of their Node objects.
func nodeLabels(labels []label) netpol.Expr {
	every := netpol.Every{netpol.Is{Kind: netpol.OfHost}}
	for _, l := range labels {
		if !l.kubernetes() && l.source != "node" {
			every = append(every, netpol.Unknown{Within: netpol.Everyone(), Why: fmt.Sprintf("which nodes have labels of the source %q is not known", l.source)})
			continue
		}
		every = append(every, netpol.Label{Of: netpol.Node, Key: l.key, Op: l.op, Values: l.values})
	}
	return every
}

// entities reads a list of entities' names.
func entities(names []string, at evidence.Path) (some netpol.Some, err error) {
	for i, name := range names {
		e, ok := entity(name)
		if !ok {
			return nil, fmt.Errorf("%s: %q is no entity", at.Index(i, ""), name)
		}
		some = append(some, e)
	}
	if slices.Contains(names, "host") && slices.Contains(names, "remote-node") {
		some = append(some, netpol.Is{Kind: netpol.OfHost})
	}
	return some, nil
}

// entity is the meaning of an entity's name, false for what is none. Init, health,
// ingress and none are Cilium's own endpoints, or nothing: nobody that is known here.
// The names that the API server does not accept (world-ipv4) are none.
func entity(name string) (netpol.Expr, bool) {
	host, server := netpol.Is{Kind: netpol.OfHost}, netpol.Is{Kind: netpol.OfAPIServer}
	switch name {
	case "all":
		return netpol.Everyone(), true
	case "cluster", "cluster-mesh":
		return netpol.Some{netpol.Is{Kind: netpol.OfPod}, host, server}, true
	case "world":
		return outside(netpol.Everyone()), true
	case "host", "remote-node":
		return netpol.Some{
			netpol.Unknown{Within: host, Why: ownNode},
			netpol.Unknown{Within: server, Why: onNode},
		}, true
	case "kube-apiserver":
		return netpol.Some{server, netpol.Unknown{Within: host, Why: "it is not known which nodes run an API server"}}, true
	case "unmanaged":
		return netpol.Unknown{Within: netpol.Is{Kind: netpol.OfPod}, Why: "it is not known which pods Cilium does not manage"}, true
	case "init", "health", "ingress", "none":
		return netpol.Nobody(), true
	}
	return nil, false
}

// outside means what part means of the addresses outside the cluster.
func outside(part netpol.Expr) netpol.Expr {
	return netpol.Some{
		netpol.Every{netpol.Is{Kind: netpol.OfWorld}, part},
		netpol.Unknown{Within: netpol.Every{netpol.Is{Kind: netpol.OfAPIServer}, part}, Why: onNode},
	}
}

// outer means what part means of what is, or may be, outside the cluster.
func outer(part netpol.Expr) netpol.Expr {
	return netpol.Every{netpol.Some{netpol.Is{Kind: netpol.OfWorld}, netpol.Is{Kind: netpol.OfAPIServer}}, part}
}

func unknownOutside(why string) netpol.Expr {
	return netpol.Unknown{Within: outer(netpol.Everyone()), Why: why}
}

// addresses means peers by their address. Cilium matches neither pods nor nodes by
// it, unless the agents are told to.
func (r *reader) addresses(set cidr.Set) netpol.Expr {
	if set.Empty() {
		return netpol.Nobody()
	}
	in := netpol.Address{In: set}
	some := outside(in)
	mode := r.settings.value("policy-cidr-match-mode")
	if strings.Contains(mode, "nodes") {
		some = netpol.Every{netpol.Not{Of: netpol.Is{Kind: netpol.OfPod}}, in}
	}
	if strings.Contains(mode, "pods") {
		some = netpol.Some{some, netpol.Every{netpol.Is{Kind: netpol.OfPod}, in}}
	}
	return some
}

func (s *specReader) cidrRule(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	c, doubt, err := decode[cidrRule](raw, at)
	if err != nil {
		return nil, err
	}
	ways := 0
	for _, is := range []bool{c.CIDR != "", c.GroupRef != "", given(c.GroupSelector)} {
		if is {
			ways++
		}
	}
	if ways != 1 {
		return nil, fmt.Errorf("%s: exactly one of cidr, cidrGroupRef and cidrGroupSelector must be given", at)
	}
	var set cidr.Set
	var missing string
	switch {
	case c.GroupRef != "":
		set, missing = s.groupNamed(c.GroupRef)
	case c.CIDR != "":
		set, err = block(c.CIDR, c.Except)
	default:
		set, missing, err = s.groupsSelected(c.GroupSelector, at.Field("cidrGroupSelector"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	except, err := cidr.Parse(c.Except...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.Field("except"), err)
	}
	if missing != "" {
		return doubtful(unknownOutside(missing), doubt), nil
	}
	return doubtful(s.addresses(set.Minus(except)), doubt), nil
}

// block reads a block of addresses, of which the exceptions must be parts.
func block(text string, except []string) (cidr.Set, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return cidr.Set{}, err
	}
	for _, e := range except {
		part, err := netip.ParsePrefix(e)
		if err != nil {
			return cidr.Set{}, err
		}
		if p.Bits() > part.Bits() || !p.Contains(part.Addr()) {
			return cidr.Set{}, fmt.Errorf("%s is no part of %s", e, text)
		}
	}
	return cidr.Of(p), nil
}

var (
	isName    = regexp.MustCompile(`^[-a-zA-Z0-9_.]+$`).MatchString
	isPattern = regexp.MustCompile(`^[-a-zA-Z0-9_.*]+$`).MatchString
)

// check gives the name or the pattern of a rule of DNS names.
func (n nameRule) check() (string, error) {
	switch {
	case (n.MatchName == "") == (n.MatchPattern == ""):
		return "", errors.New("exactly one of matchName and matchPattern must be given")
	case len(n.MatchName) > 255 || len(n.MatchPattern) > 255:
		return "", errors.New("longer than 255 characters")
	case n.MatchName != "" && !isName(n.MatchName):
		return "", fmt.Errorf("%q is no DNS name", n.MatchName)
	case n.MatchPattern != "" && !isPattern(n.MatchPattern):
		return "", fmt.Errorf("%q is no pattern of DNS names", n.MatchPattern)
	}
	return n.MatchName + n.MatchPattern, nil
}

func fqdns(list []json.RawMessage, at evidence.Path) (names []string, err error) {
	for i, raw := range list {
		n, _, err := decode[nameRule](raw, at.Index(i, ""))
		if err != nil {
			return nil, err
		}
		name, err := n.check()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.Index(i, ""), err)
		}
		names = append(names, name)
	}
	return names, nil
}

// few joins the first of many words.
func few(words []string) string {
	const shown = 5
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
}
