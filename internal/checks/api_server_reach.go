package checks

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// APIServerReach reports API servers that the internet reaches (guide: Control plane
// hardening, Table II).
var APIServerReach = &check.Check{
	ID:             "api-server-reach",
	Title:          "the API server can be reached from anywhere",
	Recommendation: "CP-01",
	Severity:       guide.Critical,
	Remedy:         "give the API server a private address, or admit only the networks of its users to it",
	Needs:          []evidence.Fact{evidence.ControlPlanes, evidence.Nodes},
	Node:           "from where the API server can be reached",
	Doc: firewallDoc(`Whoever reaches the API server can try stolen credentials and every fault that it will ever
have. It should be reached from the networks of its users, and of the cluster, only.

An API server on a node that was looked at is judged by the node's addresses, those that
the Node object and the flag advertise-address tell, and by its packet filter. When the
filter admits the internet at large, that is critical on an address of the internet and
medium on a private one, which only what is routed there reaches. A load balancer in front
is not seen: where the cluster's server has another address of the internet, the answer
stays open.

Of a managed cluster the provider's own settings are judged (--cloud-config): whether the
API server has a public endpoint, and which ranges may use it.`, `
    ip saddr { 10.0.0.0/16, 198.51.100.0/24 } tcp dport 6443 accept
`),
	Run: func(r *check.Run) {
		if r.Managed != nil {
			managedEndpoint(r)
			return
		}
		eachNetNode(hasAPIServer, apiServerReach, noControlPlane)(r)
	},
}

func hasAPIServer(m *evidence.Machine) bool {
	return m.Host != nil && (m.Host.Component(evidence.APIServer) != nil || m.Host.Has(evidence.ControlPlane))
}

func apiServerReach(n *netNode) {
	public := publicOf(slices.Concat(n.machine.Addresses, n.machine.External))
	if at, elsewhere := n.serverElsewhere(); elsewhere {
		n.cannot("the cluster is reached at %s, which is no address of its nodes: what stands in front of them, and whom it lets in, is not seen", at)
	}
	f := n.packetFilter()
	if f == nil {
		if len(public) > 0 {
			n.cannot("the API server has the address %s of the internet: whether a firewall guards it is not known", public[0])
		}
		return
	}
	for _, p := range n.machine.Ports() {
		if p.Component != evidence.APIServer {
			continue
		}
		before := len(n.problems)
		f.judge(guardedPort{
			protocol: "tcp", number: p.Number, name: fmt.Sprintf("the API server (port %d)", p.Number),
			path: evidence.NewPath(evidence.APIServer, "reach"), who: "users of the cluster, not for the internet at large", open: true, whole: true,
		})
		for i := before; i < len(n.problems); i++ {
			problem := &n.problems[i]
			if len(public) > 0 {
				problem.Message += fmt.Sprintf(", and the node has the address %s of the internet", public[0])
			} else {
				problem.Severity, problem.SeverityReason = guide.Medium, "no address of the internet is known of the node"
			}
		}
	}
}

// serverElsewhere is the address of the internet that the cluster is reached at, where
// it is none of its nodes'.
func (n *netNode) serverElsewhere() (netip.Addr, bool) {
	if n.Cluster == nil {
		return netip.Addr{}, false
	}
	u, err := url.Parse(n.Cluster.Server)
	if err != nil {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil || !isPublic(a) {
		return netip.Addr{}, false
	}
	return a, !slices.ContainsFunc(n.all, func(m *evidence.Machine) bool {
		return slices.Contains(m.Addresses, a) || slices.Contains(m.External, a)
	})
}

// isPublic reports whether an address is one of the internet: neither private nor one
// that providers share among their customers.
func isPublic(a netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10")
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

func publicOf(list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !isPublic(a) })
}

// managedEndpoint judges what the user has set of the provider's API server.
func managedEndpoint(r *check.Run) {
	m := r.Managed
	switch {
	case m.Config == nil:
		r.Unknown("", fmt.Sprintf("from where the API server can be reached: needs what %s prints (--cloud-config FILE)", m.Command))
		return
	case m.Config.PublicEndpoint == nil:
		r.Unknown("", "whether the API server has a public endpoint: "+m.Config.Place.File+" does not tell")
		return
	case !m.Config.PublicEndpoint.Value:
		judgeManaged(r)
		return
	case len(m.Config.PublicRanges) == 0:
		end := m.Config.PublicEndpoint
		judgeManaged(r, publicEndpoint(m, "anywhere", "true", end.Field, &end.Place))
		return
	}
	var open []string
	var first *evidence.CloudRange
	for i, c := range m.Config.PublicRanges {
		if p, err := netip.ParsePrefix(c.CIDR); err == nil && !wide([]netip.Prefix{p.Masked()}) {
			continue
		}
		open = append(open, c.CIDR)
		if first == nil {
			first = &m.Config.PublicRanges[i]
		}
	}
	if first == nil {
		judgeManaged(r)
		return
	}
	judgeManaged(r, publicEndpoint(m, strings.Join(open, ", "), first.CIDR, first.Field, &first.Place))
}

// publicEndpoint says from where a provider's API server is reached.
func publicEndpoint(m *evidence.Managed, from, value, field string, at *evidence.Position) check.Problem {
	return check.Problem{
		Path: evidence.NewPath("cloud").Field(field), Value: value, At: at,
		Message: fmt.Sprintf("%s cluster %q: the API server has a public endpoint that is reached from %s (%s)", m.Provider, m.Config.Name, from, field),
	}
}
