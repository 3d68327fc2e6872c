package istio

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A sourceSpec is who sends requests, as the API has it; a "when" is turned into one.
type sourceSpec struct {
	Principals           []string `json:"principals"`
	NotPrincipals        []string `json:"notPrincipals"`
	RequestPrincipals    []string `json:"requestPrincipals"`
	NotRequestPrincipals []string `json:"notRequestPrincipals"`
	Namespaces           []string `json:"namespaces"`
	NotNamespaces        []string `json:"notNamespaces"`
	ServiceAccounts      []string `json:"serviceAccounts"`
	NotServiceAccounts   []string `json:"notServiceAccounts"`
	TrustDomains         []string `json:"trustDomains"`
	NotTrustDomains      []string `json:"notTrustDomains"`
	IPBlocks             []string `json:"ipBlocks"`
	NotIPBlocks          []string `json:"notIpBlocks"`
	RemoteIPBlocks       []string `json:"remoteIpBlocks"`
	NotRemoteIPBlocks    []string `json:"notRemoteIpBlocks"`
}

// check returns what Istio refuses a source for.
func (s *sourceSpec) check() error {
	identities := len(s.Principals) + len(s.NotPrincipals) + len(s.Namespaces) + len(s.NotNamespaces)
	if identities > 0 && len(s.ServiceAccounts)+len(s.NotServiceAccounts) > 0 {
		return fmt.Errorf("serviceAccounts beside namespaces or principals")
	}
	count := 0
	for _, list := range [][]string{
		s.Principals, s.NotPrincipals, s.RequestPrincipals, s.NotRequestPrincipals, s.Namespaces, s.NotNamespaces, s.ServiceAccounts,
		s.NotServiceAccounts, s.TrustDomains, s.NotTrustDomains, s.IPBlocks, s.NotIPBlocks, s.RemoteIPBlocks, s.NotRemoteIPBlocks,
	} {
		count += len(list)
		if slices.Contains(list, "") {
			return fmt.Errorf("an empty value")
		}
	}
	if count == 0 {
		return fmt.Errorf("source is empty")
	}
	for _, list := range [][]string{s.IPBlocks, s.NotIPBlocks, s.RemoteIPBlocks, s.NotRemoteIPBlocks} {
		if _, err := blocks(list); err != nil {
			return err
		}
	}
	for _, a := range slices.Concat(s.ServiceAccounts, s.NotServiceAccounts) {
		if strings.Contains(a, "*") || strings.Count(a, "/") > 1 || strings.HasPrefix(a, "/") || strings.HasSuffix(a, "/") {
			return fmt.Errorf("ServiceAccount %q is none", a)
		}
	}
	for _, d := range slices.Concat(s.TrustDomains, s.NotTrustDomains) {
		if strings.Contains(d, "/") || strings.Count(d, "*") > 1 || strings.Contains(strings.Trim(d, "*"), "*") {
			return fmt.Errorf("trust domain %q is none", d)
		}
	}
	return nil
}

// blocks parses addresses and prefixes.
func blocks(list []string) (cidr.Set, error) {
	prefixes := make([]netip.Prefix, len(list))
	for i, text := range list {
		if strings.Contains(text, "/") {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return cidr.Set{}, err
			}
			prefixes[i] = p
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return cidr.Set{}, err
		}
		prefixes[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return cidr.Of(prefixes...), nil
}

// byConnection reports whether the source says something of the connection itself.
func (s *sourceSpec) byConnection() bool {
	return s.byIdentity() || len(s.IPBlocks)+len(s.NotIPBlocks) > 0
}

// byIdentity reports whether it takes an identity, proven by mutual TLS, to know.
func (s *sourceSpec) byIdentity() bool {
	return len(s.Principals)+len(s.NotPrincipals)+len(s.Namespaces)+len(s.NotNamespaces)+
		len(s.ServiceAccounts)+len(s.NotServiceAccounts)+len(s.TrustDomains)+len(s.NotTrustDomains) > 0
}

// limits says in words what the source asks of requests, and not of connections.
func (s *sourceSpec) limits() (words []string) {
	words = appendLimit(words, "requests with a token of %s", s.RequestPrincipals)
	words = appendLimit(words, "requests without a token of %s", s.NotRequestPrincipals)
	words = appendLimit(words, "clients that a proxy names as %s", s.RemoteIPBlocks)
	return appendLimit(words, "clients that a proxy does not name as %s", s.NotRemoteIPBlocks)
}

// asks is the same, attribute by attribute.
func (s *sourceSpec) asks() (list []asked) {
	list = appendAsked(list, "requestPrincipals", s.RequestPrincipals, s.NotRequestPrincipals)
	return appendAsked(list, remoteIP, s.RemoteIPBlocks, s.NotRemoteIPBlocks)
}

func appendLimit(words []string, form string, values []string) []string {
	if len(values) == 0 {
		return words
	}
	return append(words, fmt.Sprintf(form, strings.Join(values, ",")))
}

// peers are whom the source means, whatever it asks of requests. Plain text has no
// identity: no positive name means it, and every negative one does.
func (m *Mesh) sources(s *sourceSpec, namespace string, n naming) netpol.Expr {
	var parts netpol.Every
	for _, part := range []struct {
		values []string
		not    bool
		match  func(w *evidence.Workload, value string) bool
		about  string
	}{
		{s.Principals, false, m.isPrincipal, "principal"},
		{s.NotPrincipals, true, m.isPrincipal, "principal"},
		{s.Namespaces, false, inNamespace, "namespace"},
		{s.NotNamespaces, true, inNamespace, "namespace"},
		{s.ServiceAccounts, false, isAccount(namespace), "account " + namespace},
		{s.NotServiceAccounts, true, isAccount(namespace), "account " + namespace},
		{s.TrustDomains, false, m.isTrusted, "domain"},
		{s.NotTrustDomains, true, m.isTrusted, "domain"},
	} {
		if len(part.values) == 0 {
			continue
		}
		meant := n.of(func() netpol.Expr { return m.identified(part.about, part.values, part.match) })
		if part.not {
			meant = netpol.Not{Of: meant}
		}
		parts = append(parts, meant)
	}
	// Blocks are checked when the policy is read.
	if set, _ := blocks(s.IPBlocks); len(s.IPBlocks) > 0 {
		parts = append(parts, netpol.Address{In: set})
	}
	if set, _ := blocks(s.NotIPBlocks); len(s.NotIPBlocks) > 0 {
		parts = append(parts, netpol.Not{Of: netpol.Address{In: set}})
	}
	return parts
}

// A naming is what can be known of the peers' identities: who is who, or that nobody
// has one, or neither.
type naming struct {
	nobody bool
	doubt  string
}

func (n naming) of(known func() netpol.Expr) netpol.Expr {
	switch {
	case n.doubt != "":
		return netpol.Unknown{Within: netpol.Everyone(), Why: n.doubt}
	case n.nobody:
		return netpol.Nobody()
	}
	return known()
}

// identified are the pods in the mesh whose identity is one of those that are named.
func (m *Mesh) identified(about string, values []string, match func(*evidence.Workload, string) bool) netpol.Expr {
	key := about + "\x00" + strings.Join(values, "\x00")
	if found, ok := m.known[key]; ok {
		return found
	}
	found := m.pods(func(w *evidence.Workload) bool {
		return slices.ContainsFunc(values, func(v string) bool { return match(w, v) })
	}, Sidecar, Gateway, Ambient)
	m.known[key] = found
	return found
}

// isPrincipal compares with an identity. cluster.local is every mesh's own trust domain.
func (m *Mesh) isPrincipal(w *evidence.Workload, value string) bool {
	if like(m.identity(w), value) {
		return true
	}
	rest, ok := strings.CutPrefix(value, "cluster.local/")
	return ok && like(m.identity(w), m.trust+"/"+rest)
}

func (m *Mesh) isTrusted(_ *evidence.Workload, value string) bool { return like(m.trust, value) }

// inNamespace compares with a namespace, in which * may stand anywhere.
func inNamespace(w *evidence.Workload, value string) bool {
	parts := strings.Split(value, "*")
	rest, ok := strings.CutPrefix(w.Namespace, parts[0])
	if len(parts) == 1 {
		return ok && rest == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if !ok || i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return ok && strings.HasSuffix(rest, parts[len(parts)-1])
}

func isAccount(policyNamespace string) func(*evidence.Workload, string) bool {
	return func(w *evidence.Workload, value string) bool {
		namespace, name, ok := strings.Cut(value, "/")
		if !ok {
			namespace, name = policyNamespace, value
		}
		return w.Namespace == namespace && w.ServiceAccountName() == name
	}
}

// like compares text with a value that may begin or end with *.
func like(text, value string) bool {
	switch {
	case value == "*":
		return text != ""
	case strings.HasPrefix(value, "*"):
		return strings.HasSuffix(text, value[1:])
	case strings.HasSuffix(value, "*"):
		return strings.HasPrefix(text, value[:len(value)-1])
	}
	return text == value
}
