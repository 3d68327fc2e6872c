package oracletest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// An istioAuthorization is the spec of an AuthorizationPolicy.
type istioAuthorization struct {
	Selector *istioSelector `json:"selector,omitempty"`
	Action   string         `json:"action,omitempty"`
	Rules    []istioRule    `json:"rules,omitempty"`
	Provider *istioProvider `json:"provider,omitempty" oracle:"vague"`
}

type istioProvider struct {
	Name string `json:"name,omitempty" oracle:"vague"`
}

type istioSelector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

type istioRule struct {
	From []istioFrom      `json:"from,omitempty"`
	To   []istioTo        `json:"to,omitempty"`
	When []istioCondition `json:"when,omitempty"`
}

type istioFrom struct {
	Source istioSource `json:"source"`
}

type istioSource struct {
	Principals         []string `json:"principals,omitempty"`
	NotPrincipals      []string `json:"notPrincipals,omitempty"`
	Namespaces         []string `json:"namespaces,omitempty"`
	NotNamespaces      []string `json:"notNamespaces,omitempty"`
	ServiceAccounts    []string `json:"serviceAccounts,omitempty"`
	NotServiceAccounts []string `json:"notServiceAccounts,omitempty"`
	IPBlocks           []string `json:"ipBlocks,omitempty"`
	NotIPBlocks        []string `json:"notIpBlocks,omitempty"`
	// RequestPrincipals are of a token in a request.
	RequestPrincipals []string `json:"requestPrincipals,omitempty"`
	RemoteIPBlocks    []string `json:"remoteIpBlocks,omitempty" oracle:"vague"`
}

type istioTo struct {
	Operation istioOperation `json:"operation"`
}

type istioOperation struct {
	Ports    []string `json:"ports,omitempty"`
	NotPorts []string `json:"notPorts,omitempty"`
	Methods  []string `json:"methods,omitempty"`
	Paths    []string `json:"paths,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	NotPaths []string `json:"notPaths,omitempty"`
}

type istioCondition struct {
	Key       string   `json:"key"`
	Values    []string `json:"values,omitempty"`
	NotValues []string `json:"notValues,omitempty"`
}

// An istioAuthentication is the spec of a PeerAuthentication.
type istioAuthentication struct {
	Selector      *istioSelector       `json:"selector,omitempty"`
	MTLS          *istioMode           `json:"mtls,omitempty"`
	PortLevelMTLS map[string]istioMode `json:"portLevelMtls,omitempty"`
}

type istioMode struct {
	Mode string `json:"mode,omitempty"`
}

const istioRoot = "istio-system"

// istio is the network's policies, and then the proxy's of the pod that accepts, for
// TCP alone: other protocols do not pass the proxy.
func (w *world) istio(p packet) bool {
	if !w.kubernetes(p) {
		return false
	}
	if !p.dst.own() || !p.dst.pod.proxied || p.protocol != ports.TCP {
		return true
	}
	mode := w.istioMode(p)
	encrypted := p.src.own() && p.src.pod.proxied && mode != "DISABLE"
	if mode == "STRICT" && !encrypted {
		return false
	}
	// The requests that are looked for are open ones: one that no rule about some
	// requests refuses, and then one that such a rule admits.
	matches := func(action string, requests bool) (about, matched bool) {
		for _, o := range w.policies {
			spec, ok := o.spec.(*istioAuthorization)
			if !ok || cmp.Or(spec.Action, "ALLOW") != action || o.annotations["istio.io/dry-run"] == "true" || !istioApplies(o, spec.Selector, p.dst.pod) {
				continue
			}
			about = true
			for _, r := range spec.Rules {
				if w.istioMatches(p, o, r, encrypted, requests) {
					matched = true
				}
			}
		}
		return about, matched
	}
	if _, asked := matches("CUSTOM", true); asked && p.odd {
		return false // whoever is asked says no
	}
	if _, refused := matches("DENY", false); refused {
		return false
	}
	about, admitted := matches("ALLOW", !p.plain)
	return !about || admitted
}

func istioApplies(o *object, s *istioSelector, p *pod) bool {
	return (o.namespace == istioRoot || o.namespace == p.namespace) && (s == nil || selects(&metav1.LabelSelector{MatchLabels: s.MatchLabels}, p.labels))
}

// istioMode is how the pod that accepts wants to be spoken to: what its own
// PeerAuthentication says, else its namespace's, else the mesh's.
func (w *world) istioMode(p packet) string {
	of := map[string]string{}
	for _, o := range w.policies {
		spec, ok := o.spec.(*istioAuthentication)
		if !ok || !istioApplies(o, spec.Selector, p.dst.pod) {
			continue
		}
		level := "namespace"
		switch {
		case o.namespace == istioRoot:
			level = "mesh"
		case spec.Selector != nil:
			level = "pod"
			if m := spec.PortLevelMTLS[strconv.Itoa(int(p.port))]; m.Mode != "" && m.Mode != "UNSET" {
				of["port"] = m.Mode
			}
		}
		if spec.MTLS != nil && spec.MTLS.Mode != "UNSET" {
			of[level] = spec.MTLS.Mode
		}
	}
	return cmp.Or(of["port"], of["pod"], of["namespace"], of["mesh"], "PERMISSIVE")
}

// istioMatches asks for one source, one operation and all conditions. Of what is
// about requests alone, requests says whether it holds.
func (w *world) istioMatches(p packet, o *object, r istioRule, encrypted, requests bool) bool {
	var namespace, principal, account string
	if encrypted {
		namespace = p.src.pod.namespace
		account = namespace + "/" + cmp.Or(p.src.pod.account, "default")
		principal = "cluster.local/ns/" + strings.Replace(account, "/", "/sa/", 1)
	}
	ip := p.address(p.src)
	inBlocks := func(list []string) bool { return inAny(list, ip) }
	is := func(value string) func([]string) bool {
		return func(list []string) bool {
			return slices.ContainsFunc(list, func(s string) bool { return istioText(s, value) })
		}
	}
	isAccount := func(list []string) bool {
		return account != "" && slices.ContainsFunc(list, func(s string) bool { return s == account || o.namespace+"/"+s == account })
	}
	port := is(strconv.Itoa(int(p.port)))
	fits := func(match func([]string) bool, values, not []string) bool {
		return (len(values) == 0 || match(values)) && (len(not) == 0 || !match(not))
	}
	from := len(r.From) == 0 || slices.ContainsFunc(r.From, func(f istioFrom) bool {
		s := f.Source
		return fits(is(principal), s.Principals, s.NotPrincipals) && fits(is(namespace), s.Namespaces, s.NotNamespaces) &&
			fits(isAccount, s.ServiceAccounts, s.NotServiceAccounts) && fits(inBlocks, s.IPBlocks, s.NotIPBlocks) &&
			(requests || s.RequestPrincipals == nil) && (p.odd || s.RemoteIPBlocks == nil)
	})
	to := len(r.To) == 0 || slices.ContainsFunc(r.To, func(t istioTo) bool {
		about := len(t.Operation.Methods)+len(t.Operation.Paths)+len(t.Operation.Hosts)+len(t.Operation.NotPaths) > 0
		return fits(port, t.Operation.Ports, t.Operation.NotPorts) && (!about || requests)
	})
	return from && to && !slices.ContainsFunc(r.When, func(c istioCondition) bool {
		switch c.Key {
		case "source.ip":
			return !fits(inBlocks, c.Values, c.NotValues)
		case "source.namespace":
			return !fits(is(namespace), c.Values, c.NotValues)
		case "source.principal":
			return !fits(is(principal), c.Values, c.NotValues)
		case "destination.port":
			return !fits(port, c.Values, c.NotValues)
		}
		return !requests
	})
}

// istioText is a value as it is, its beginning, its end, or "*" for any.
func istioText(pattern, value string) bool {
	if value == "" {
		return false
	}
	if begin, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(value, begin)
	}
	if end, found := strings.CutPrefix(pattern, "*"); found {
		return strings.HasSuffix(value, end)
	}
	return pattern == value
}

func rollIstio(d *dice) *world {
	w := d.cluster()
	for i, n := range w.namespaces {
		if i > 0 && d.one(3) {
			continue
		}
		n.labels = with(n.labels, "istio-injection", "enabled")
		for _, p := range w.pods {
			p.proxied = p.proxied || p.namespace == n.name && p.host == nil
		}
	}
	w.namespaces = append(w.namespaces, &namespace{name: istioRoot, labels: map[string]string{}})
	const api = "security.istio.io/"
	authentication := func(namespace, name string, spec *istioAuthentication) {
		w.policies = append(w.policies, &object{apiVersion: api + pick(d, "v1", "v1beta1"), kind: "PeerAuthentication", namespace: namespace, name: name, spec: spec})
	}
	mode := func() *istioMode {
		return &istioMode{pick(d, "UNSET", "PERMISSIVE", "PERMISSIVE", "STRICT", "DISABLE")}
	}
	if d.one(2) {
		authentication(istioRoot, "default", &istioAuthentication{MTLS: mode()})
	}
	for _, n := range w.namespaces[:len(w.namespaces)-1] {
		if d.one(3) {
			authentication(n.name, "default", &istioAuthentication{MTLS: mode()})
		}
		if d.one(3) {
			spec := &istioAuthentication{Selector: d.istioSelector(), MTLS: pick(d, nil, mode())}
			if d.one(2) {
				spec.PortLevelMTLS = map[string]istioMode{strconv.Itoa(pick(d, portNumbers()...)): *mode()}
			}
			authentication(n.name, "some", spec)
		}
	}
	for i := range 1 + d.IntN(4) {
		spec := &istioAuthorization{Action: pick(d, "", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT")}
		if d.one(2) {
			spec.Selector = d.istioSelector()
		}
		spec.Rules = some(d, 0, 3, d.istioRule)
		if spec.Action == "DENY" && spec.Rules == nil {
			spec.Rules = []istioRule{{}}
		}
		if d.vague && d.one(8) {
			spec.Action, spec.Provider = "CUSTOM", &istioProvider{"gate"}
			spec.Rules = some(d, 1, 2, func() (r istioRule) {
				r.To = []istioTo{{Operation: istioOperation{Ports: []string{d.istioPort()}}}}
				return r
			})
		}
		o := &object{apiVersion: api + pick(d, "v1", "v1beta1"), kind: "AuthorizationPolicy", namespace: pick(d, w.namespaces...).name, name: fmt.Sprintf("ap%d", i), spec: spec}
		if d.one(10) {
			o.annotations = map[string]string{"istio.io/dry-run": "true"}
		}
		w.policies = append(w.policies, o)
	}
	for i := range d.IntN(2) {
		w.policies = append(w.policies, d.networkPolicy(i))
	}
	return w
}

func (d *dice) istioSelector() *istioSelector {
	return &istioSelector{map[string]string{pick(d, "app", "tier", "env"): pick(d, "a", "b", "c")}}
}

func (d *dice) istioRule() (r istioRule) {
	r.From = some(d, 0, 2, func() (f istioFrom) {
		f.Source = d.istioSource()
		return f
	})
	r.To = some(d, 0, 2, func() (t istioTo) {
		if d.one(4) {
			t.Operation.Methods = []string{"GET"}
		}
		if d.one(6) {
			t.Operation.Paths = []string{"/public/*"}
		} else if d.one(12) {
			t.Operation.NotPaths = []string{"/private/*"}
		}
		if d.one(12) {
			t.Operation.Hosts = []string{"example.org"}
		}
		if d.one(3) {
			t.Operation.NotPorts = some(d, 1, 2, d.istioPort)
		}
		if !d.one(3) || t.Operation.NotPorts == nil && t.Operation.Methods == nil && t.Operation.Paths == nil {
			t.Operation.Ports = some(d, 1, 3, d.istioPort)
		}
		return t
	})
	if d.one(5) {
		c := istioCondition{Key: pick(d, "source.ip", "source.namespace", "source.principal", "destination.port", "request.headers[X-Token]")}
		value := map[string]func() string{
			"source.ip": d.block, "source.namespace": d.istioNamespace, "source.principal": d.istioPrincipal, "destination.port": d.istioPort,
			"request.headers[X-Token]": func() string { return "yes" },
		}[c.Key]
		if d.one(2) {
			c.NotValues = some(d, 1, 2, value)
		} else {
			c.Values = some(d, 1, 2, value)
		}
		r.When = append(r.When, c)
	}
	return r
}

func (d *dice) istioPort() string { return strconv.Itoa(pick(d, portNumbers()...)) }

func (d *dice) istioNamespace() string { return pick(d, "red", "green", "blue", "r*", "*e", "*") }

func (d *dice) istioPrincipal() string {
	return pick(d, "*", "cluster.local/ns/red/*", "*/sa/bot", "cluster.local/ns/"+pick(d, d.w.namespaces...).name+"/sa/"+pick(d, "bot", "default"))
}

func (d *dice) istioSource() (s istioSource) {
	switch d.IntN(5) {
	case 0:
		s.Principals = some(d, 1, 2, d.istioPrincipal)
	case 1:
		s.NotPrincipals = some(d, 1, 2, d.istioPrincipal)
	case 2:
		account := func() string { return pick(d, "", "red/", "green/") + pick(d, "bot", "default") }
		if d.one(3) {
			s.NotServiceAccounts = some(d, 1, 2, account)
		} else {
			s.ServiceAccounts = some(d, 1, 2, account)
		}
		return s
	}
	if d.one(3) {
		s.Namespaces = some(d, 1, 2, d.istioNamespace)
	}
	if d.one(4) {
		s.NotNamespaces = some(d, 1, 1, d.istioNamespace)
	}
	if d.one(4) {
		s.IPBlocks = some(d, 1, 2, d.block)
	}
	if d.one(4) {
		s.NotIPBlocks = some(d, 1, 1, d.block)
	}
	if d.one(12) {
		s.RequestPrincipals = []string{"*"}
	}
	if d.vague && d.one(10) {
		s.RemoteIPBlocks = d.blocks()
	}
	if s.Principals == nil && s.NotPrincipals == nil && s.Namespaces == nil && s.NotNamespaces == nil && s.IPBlocks == nil && s.NotIPBlocks == nil {
		s.Namespaces = []string{d.istioNamespace()}
	}
	return s
}
