package istio

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

type (
	authorizationSpec struct {
		Selector   *selectorSpec `json:"selector"`
		TargetRef  *targetSpec   `json:"targetRef"`
		TargetRefs []targetSpec  `json:"targetRefs"`
		Rules      []raw         `json:"rules"`
		Action     string        `json:"action"`
		Provider   *struct {
			Name string `json:"name"`
		} `json:"provider"`
	}

	targetSpec struct {
		Group     string `json:"group"`
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}

	ruleSpec struct {
		From []struct {
			Source *sourceSpec `json:"source"`
		} `json:"from"`
		To []struct {
			Operation *operationSpec `json:"operation"`
		} `json:"to"`
		When []whenSpec `json:"when"`
	}

	operationSpec struct {
		Hosts      []string `json:"hosts"`
		NotHosts   []string `json:"notHosts"`
		Ports      []string `json:"ports"`
		NotPorts   []string `json:"notPorts"`
		Methods    []string `json:"methods"`
		NotMethods []string `json:"notMethods"`
		Paths      []string `json:"paths"`
		NotPaths   []string `json:"notPaths"`
	}

	whenSpec struct {
		Key       string   `json:"key"`
		Values    []string `json:"values"`
		NotValues []string `json:"notValues"`
	}
)

// authorization reads an AuthorizationPolicy. It gives nil for one that only watches.
func (m *Mesh) authorization(c *evidence.Custom) (*authorization, error) {
	data, err := specOf(c)
	if err != nil {
		return nil, err
	}
	var spec authorizationSpec
	unknown, err := decode(data, evidence.NewPath("spec"), &spec)
	if err != nil {
		return nil, err
	}
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	rules, err := readRules(spec.Rules, spec.Action == "CUSTOM")
	if err != nil {
		return nil, err
	}
	if dry, _ := strconv.ParseBool(c.Annotations["istio.io/dry-run"]); dry || spec.Action == "AUDIT" {
		return nil, nil
	}
	return &authorization{mesh: m, ref: c.Ref, spec: &spec, rules: rules, unknown: unknown}, nil
}

func (spec *authorizationSpec) check() error {
	targets := len(spec.TargetRefs) > 0
	provider := spec.Provider != nil && spec.Provider.Name != ""
	switch spec.Action {
	case "", "ALLOW", "AUDIT":
	case "DENY":
		if spec.Rules == nil {
			return errors.New("DENY without rules denies nothing")
		}
	case "CUSTOM":
		if spec.Rules == nil || !provider {
			return errors.New("CUSTOM without rules or without a provider")
		}
	default:
		return fmt.Errorf("action %q is none", spec.Action)
	}
	switch {
	case spec.Provider != nil && spec.Action != "CUSTOM":
		return errors.New("a provider with an action other than CUSTOM")
	case spec.Selector != nil && (targets || spec.TargetRef != nil), targets && spec.TargetRef != nil:
		return errors.New("more than one of selector, targetRef and targetRefs")
	}
	return nil
}

// A rule is one rule of an AuthorizationPolicy: every clause must hold, and of each any
// alternative.
type rule struct {
	clauses []clause
	at      evidence.Path
	index   int
	unknown string
}

// A clause is alternatives of a rule: its sources, its operations, or one condition.
type clause []alternative

// An alternative is what must hold of the peer, the port and the request together.
type alternative struct {
	source sourceSpec
	ports  ports.Set
	// connection is set when something is asked of the connection itself.
	connection bool
	// limits is what is asked of requests, in words.
	limits []string
	// asks is the same, attribute by attribute.
	asks []asked
	// unknown is why it is not known whether it holds of connections at all.
	unknown string
}

func readRules(list []raw, custom bool) (rules []rule, err error) {
	for i, data := range list {
		r := rule{at: evidence.NewPath("spec", "rules").Index(i, ""), index: i}
		var spec ruleSpec
		if r.unknown, err = decode(data, r.at, &spec); err != nil {
			return nil, err
		}
		if err := r.read(&spec, custom); err != nil {
			return nil, fmt.Errorf("%s: %w", r.at, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (r *rule) read(spec *ruleSpec, custom bool) error {
	var from, to clause
	for _, f := range spec.From {
		if f.Source == nil {
			return errors.New("from without a source")
		}
		if err := f.Source.check(); err != nil {
			return err
		}
		if custom && f.Source.byIdentity() {
			return errors.New("CUSTOM with identities")
		}
		from = append(from, alternative{source: *f.Source, ports: ports.Every(ports.TCP), connection: f.Source.byConnection(), limits: f.Source.limits(), asks: f.Source.asks()})
	}
	for _, t := range spec.To {
		if t.Operation == nil {
			return errors.New("to without an operation")
		}
		one, err := t.Operation.read()
		if err != nil {
			return err
		}
		to = append(to, one)
	}
	for _, c := range []clause{from, to} {
		if len(c) > 0 {
			r.clauses = append(r.clauses, c)
		}
	}
	if spec.From != nil && len(from) == 0 || spec.To != nil && len(to) == 0 {
		return errors.New("from or to is empty")
	}
	for _, w := range spec.When {
		one, err := w.read()
		if err != nil {
			return err
		}
		r.clauses = append(r.clauses, clause{one})
	}
	return nil
}

func (o *operationSpec) read() (alternative, error) {
	count := 0
	for _, list := range [][]string{o.Hosts, o.NotHosts, o.Ports, o.NotPorts, o.Methods, o.NotMethods, o.Paths, o.NotPaths} {
		count += len(list)
		if slices.Contains(list, "") {
			return alternative{}, errors.New("an empty value")
		}
	}
	if count == 0 {
		return alternative{}, errors.New("operation is empty")
	}
	set, err := portsOf(o.Ports, o.NotPorts)
	if err != nil {
		return alternative{}, err
	}
	one := alternative{ports: set, connection: len(o.Ports)+len(o.NotPorts) > 0}
	for _, l := range []struct {
		form   string
		values []string
	}{
		{"method %s", o.Methods}, {"any method but %s", o.NotMethods}, {"path %s", o.Paths}, {"any path but %s", o.NotPaths},
		{"host %s", o.Hosts}, {"any host but %s", o.NotHosts},
	} {
		one.limits = appendLimit(one.limits, l.form, l.values)
	}
	one.asks = appendAsked(one.asks, "methods", o.Methods, o.NotMethods)
	one.asks = appendAsked(one.asks, "paths", o.Paths, o.NotPaths)
	one.asks = appendAsked(one.asks, "hosts", o.Hosts, o.NotHosts)
	return one, nil
}

func portsOf(wanted, not []string) (ports.Set, error) {
	set := ports.Every(ports.TCP)
	if len(wanted) > 0 {
		set = ports.Set{}
	}
	for i, text := range slices.Concat(wanted, not) {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return ports.Set{}, fmt.Errorf("port %q is none", text)
		}
		if one := ports.Of(ports.TCP, uint16(n), uint16(n)); n == 0 {
			continue
		} else if i < len(wanted) {
			set = set.Union(one)
		} else {
			set = set.Minus(one)
		}
	}
	return set, nil
}

// read turns a condition into an alternative.
func (w *whenSpec) read() (one alternative, err error) {
	if len(w.Values)+len(w.NotValues) == 0 || slices.Contains(w.Values, "") || slices.Contains(w.NotValues, "") {
		return one, fmt.Errorf("when %q has no values", w.Key)
	}
	one.ports, one.connection = ports.Every(ports.TCP), true
	s := &one.source
	switch w.Key {
	case "source.ip":
		s.IPBlocks, s.NotIPBlocks = w.Values, w.NotValues
	case "source.namespace":
		s.Namespaces, s.NotNamespaces = w.Values, w.NotValues
	case "source.principal":
		s.Principals, s.NotPrincipals = w.Values, w.NotValues
	case "source.serviceAccount":
		s.ServiceAccounts, s.NotServiceAccounts = w.Values, w.NotValues
	case "source.trustDomain":
		s.TrustDomains, s.NotTrustDomains = w.Values, w.NotValues
	case "destination.port":
		one.ports, err = portsOf(w.Values, w.NotValues)
		return one, err
	case "destination.ip":
		one.unknown = "the condition destination.ip is not evaluated"
		_, err = blocks(slices.Concat(w.Values, w.NotValues))
		return one, err
	default:
		if !requestKey(w.Key) {
			return one, fmt.Errorf("when %q is none", w.Key)
		}
		one.connection, one.asks = false, appendAsked(nil, w.Key, w.Values, w.NotValues)
		one.limits = appendLimit(one.limits, w.Key+" %s", w.Values)
		one.limits = appendLimit(one.limits, w.Key+" other than %s", w.NotValues)
		return one, nil
	}
	return one, s.check()
}

// requestKey reports whether a condition is one on requests.
func requestKey(key string) bool {
	switch key {
	case "remote.ip", "connection.sni", "request.auth.principal", "request.auth.audiences", "request.auth.presenter":
		return true
	}
	for _, prefix := range []string{"request.headers[", "request.auth.claims[", "experimental.envoy.filters."} {
		if strings.HasPrefix(key, prefix) {
			return strings.HasSuffix(key, "]")
		}
	}
	return false
}

// An authorization is an AuthorizationPolicy that is put into the form of netpol.
type authorization struct {
	mesh    *Mesh
	ref     *evidence.Ref
	spec    *authorizationSpec
	rules   []rule
	unknown string
}

func (a *authorization) hasTarget() bool {
	return a.spec.TargetRef != nil || len(a.spec.TargetRefs) > 0
}

// about are the pods that the policy selects, of those that are given.
func (a *authorization) about(pods netpol.Expr) netpol.Expr {
	all := netpol.Every{netpol.Is{Kind: netpol.OfPod}}
	if a.ref.Namespace != a.mesh.Root {
		all = append(all, netpol.Named{Of: netpol.Namespace, Name: a.ref.Namespace})
	}
	if s := a.spec.Selector; s != nil {
		for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
			all = append(all, netpol.Label{Of: netpol.Pod, Key: key, Op: netpol.In, Values: []string{s.MatchLabels[key]}})
		}
	}
	return append(all, pods)
}

// parts are the policy for proxies that see requests, by what they know of identities,
// and for those of nodes, which know connections only. One with targets is one part.
func (a *authorization) parts() (list []*netpol.Policy) {
	if a.hasTarget() {
		return []*netpol.Policy{a.targeted()}
	}
	for _, c := range a.mesh.proxied {
		list = append(list, a.beside(c, a.denying())...)
	}
	if pods := a.mesh.members[Ambient]; len(pods) > 0 && a.spec.Action != "CUSTOM" {
		list = append(list, a.policy(class{pods: netpol.Pods{Of: pods}}, false, nil))
	}
	return list
}

// beside is the policy for a class of pods whose proxies see requests, in two parts
// where others may deny to some of them what it allows.
func (a *authorization) beside(c class, denying []deniedBy) []*netpol.Policy {
	if len(denying) > mostDenied {
		return []*netpol.Policy{a.policy(c, true, denying)}
	}
	p := a.policy(c, true, nil)
	if a.action() != netpol.Allow || len(denying) == 0 {
		return []*netpol.Policy{p}
	}
	var others netpol.Some
	for _, d := range denying {
		others = append(others, d.about(c.pods))
	}
	met := a.policy(c, true, denying)
	met.Subject, p.Subject = netpol.Every{p.Subject, others}, netpol.Every{p.Subject, netpol.Not{Of: others}}
	return []*netpol.Policy{p, met}
}

// policy is the policy for a class of pods, whose proxies see requests or do not; some
// rules deny requests of the same pods.
func (a *authorization) policy(c class, requests bool, denying []deniedBy) *netpol.Policy {
	p := &netpol.Policy{Ref: a.ref, Subject: a.about(c.pods), Ingress: &netpol.Rules{Unknown: a.unknown}}
	p.Tier = netpol.Tier{Name: cmp.Or(a.spec.Action, "ALLOW"), Layer: netpol.Mesh, Order: orderAllow, Default: netpol.Deny}
	switch a.spec.Action {
	case "DENY":
		p.Tier.Order, p.Tier.Default = orderDeny, netpol.Pass
	case "CUSTOM":
		p.Tier.Order, p.Tier.Default = orderCustom, netpol.Pass
	default:
		p.Ingress.Isolates = true
	}
	for _, r := range a.rules {
		p.Ingress.List = append(p.Ingress.List, a.rule(r, c, requests, denying)...)
	}
	if p.Ingress.Isolates {
		// Proxies take TCP only: the rest goes past them.
		p.Ingress.List = append(p.Ingress.List, netpol.Rule{
			Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.All().Minus(ports.Every(ports.TCP))},
			Path: evidence.NewPath("spec"), Index: len(a.rules),
		})
	}
	return p
}

// rule gives a rule of the policy: of what it asks of requests only the words are kept.
// What denies some requests closes no connection, unless it may be all of them.
func (a *authorization) rule(r rule, c class, requests bool, denying []deniedBy) (list []netpol.Rule) {
	clauses := r.clauses
	if !requests {
		var empty bool
		if clauses, empty = connectionOnly(clauses, a.spec.Action == "DENY"); empty {
			return nil
		}
	}
	for _, limited := range []bool{false, true} {
		on := ports.Every(ports.TCP)
		if limited && a.action() == netpol.Deny {
			on = closed(nil, clauses, on)
		}
		if c.doubt != "" {
			list = append(list, a.joined(r, clauses, limited, denying, naming{doubt: c.doubt}, on)...)
			continue
		}
		list = append(list, a.joined(r, clauses, limited, denying, naming{}, on.Minus(c.plain))...)
		list = append(list, a.joined(r, clauses, limited, denying, naming{nobody: true}, on.Intersect(c.plain))...)
	}
	return list
}

// joined is a rule for some ports, or nothing where it matches none of them.
func (a *authorization) joined(r rule, clauses []clause, limited bool, denying []deniedBy, n naming, on ports.Set) []netpol.Rule {
	j, ok := a.join(clauses, limited, n)
	if j.ports = j.ports.Intersect(on); !ok || j.ports.Empty() {
		return nil
	}
	one := netpol.Rule{
		Action: a.action(), Peers: j.peers, Ports: netpol.Ports{Set: j.ports}, Limits: j.limits,
		Path: r.at, Index: r.index, Unknown: cmp.Or(r.unknown, j.unknown),
	}
	if limited && one.Action == netpol.Deny {
		one.Limits, one.Unknown = "", cmp.Or(one.Unknown, "it may deny every request")
	}
	if a.spec.Action == "CUSTOM" {
		one.Unknown = cmp.Or(one.Unknown, fmt.Sprintf("the provider %q decides", a.spec.Provider.Name))
	}
	if limited && one.Action == netpol.Allow {
		return undenied(one, clauses, n, denying)
	}
	return []netpol.Rule{one}
}

func (a *authorization) action() netpol.Action {
	if a.spec.Action == "DENY" || a.spec.Action == "CUSTOM" {
		return netpol.Deny
	}
	return netpol.Allow
}

// connectionOnly is what a proxy that sees no requests makes of a rule. It leaves out
// a rule that allows by requests. Of one that denies it forgets the requests, and if
// then nothing is left of a clause, the rule denies nothing.
func connectionOnly(clauses []clause, denies bool) (left []clause, empty bool) {
	for _, c := range clauses {
		var rest clause
		for _, alt := range c {
			if len(alt.limits) > 0 && !denies {
				return nil, true
			}
			if alt.limits = nil; alt.connection {
				rest = append(rest, alt)
			}
		}
		if len(rest) == 0 {
			return nil, true
		}
		left = append(left, rest)
	}
	return left, false
}

// A joined is what the clauses of a rule ask together.
type joined struct {
	peers           netpol.Every
	ports           ports.Set
	limits, unknown string
}

// join takes of each clause the alternatives that ask nothing of requests, or, if
// limited, all of them. It fails where none is left, or where the limits would be none.
func (a *authorization) join(clauses []clause, limited bool, n naming) (j joined, ok bool) {
	j.ports = ports.Every(ports.TCP)
	var limits []string
	for _, c := range clauses {
		var some netpol.Some
		var set ports.Set
		var asked []string
		for _, alt := range c {
			if len(alt.limits) > 0 && !limited {
				continue
			}
			some = append(some, a.mesh.sources(&alt.source, a.ref.Namespace, n))
			set = set.Union(alt.ports)
			j.unknown = cmp.Or(j.unknown, alt.unknown)
			if len(alt.limits) > 0 {
				asked = append(asked, strings.Join(alt.limits, ", "))
			}
		}
		if len(some) == 0 {
			return joined{}, false
		}
		j.peers, j.ports = append(j.peers, some), j.ports.Intersect(set)
		if len(asked) > 0 {
			limits = append(limits, strings.Join(asked, ", or "))
		}
	}
	j.limits = strings.Join(limits, "; ")
	return j, !limited || len(limits) > 0
}

// targeted is a policy that a gateway or a waypoint applies. Which pods are behind one
// is not looked up: it may deny to all of them.
func (a *authorization) targeted() *netpol.Policy {
	gateways := netpol.Label{Of: netpol.Pod, Key: "gateway.networking.k8s.io/gateway-name", Op: netpol.Exists}
	return &netpol.Policy{
		Ref: a.ref, Subject: a.about(netpol.Some{netpol.Pods{Of: a.mesh.members[Ambient]}, gateways}),
		Tier: netpol.Tier{Name: "targetRefs", Layer: netpol.Mesh, Order: orderCustom, Default: netpol.Pass},
		Ingress: &netpol.Rules{List: []netpol.Rule{{
			Action: netpol.Deny, Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.Every(ports.TCP)}, Path: evidence.NewPath("spec", "targetRefs"),
			Unknown: "what a gateway or waypoint applies it to is not looked up",
		}}},
	}
}
