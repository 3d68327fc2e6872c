package need

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Metadata are the addresses at which providers answer a machine with what it is and
// often with credentials (CLD-01). No policy here ever opens them.
func Metadata() cidr.Set { return prefixes(MetadataList()) }

// MetadataList is Metadata as blocks of addresses.
func MetadataList() []string {
	return []string{"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
		"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"}
}

// inwardList are the addresses that are no public ones: private, shared, of the machine,
// of the link, and for documents and groups (RFC 6890).
func inwardList() []string {
	return []string{"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "224.0.0.0/4",
		"::1/128", "fc00::/7", "fe80::/10", "ff00::/8"}
}

func prefixes(list []string) cidr.Set {
	set, _ := cidr.Parse(list...) // constants, and a test reads them
	return set
}

// A Block is an ipBlock: a range without some that lie in it.
type Block struct {
	// CIDR is the range, Except are those in it that are left out.
	CIDR   string   `json:"cidr"`
	Except []string `json:"except,omitempty"`
}

// Set is the addresses of the block.
func (b Block) Set() cidr.Set { return prefixes([]string{b.CIDR}).Minus(prefixes(b.Except)) }

// except is a range without what of a list lies in it.
func except(whole string, list ...string) Block {
	b := Block{CIDR: whole}
	of := netip.MustParsePrefix(whole)
	for _, text := range list {
		if p := netip.MustParsePrefix(text); of.Overlaps(p) && p.Bits() > of.Bits() && !slices.Contains(b.Except, text) {
			b.Except = append(b.Except, text)
		}
	}
	return b
}

// everywhere are all addresses of the families that the cluster has, without some.
func (c *Catalog) everywhere(without ...string) []Block {
	list := []Block{except("0.0.0.0/0", without...)}
	if c.ipv6 {
		list = append(list, except("::/0", without...))
	}
	return list
}

func texts(set cidr.Set) (list []string) {
	for _, p := range set.Prefixes() {
		list = append(list, p.String())
	}
	return list
}

// BlocksOf are the blocks of a set, but for metadata addresses.
func BlocksOf(set cidr.Set) (list []Block) {
	for _, p := range set.Minus(Metadata()).Prefixes() {
		list = append(list, Block{CIDR: p.String()})
	}
	return list
}

// Blocks are the addresses of an end, as a policy can name them; nil for ends that
// have selectors. Where the true addresses are not known they are wider.
func (c *Catalog) Blocks(e End) []Block {
	switch e.Kind {
	case OfAPIServer:
		if !c.APIServer.Empty() {
			return BlocksOf(c.APIServer)
		}
		return c.everywhere(append(MetadataList(), texts(c.Pods)...)...)
	case OfNodes:
		if !c.Nodes.Empty() {
			return BlocksOf(c.Nodes)
		}
		return BlocksOf(reach.Private().Intersect(cidr.IPv4()).Minus(c.Pods))
	case OfOutside:
		if e.Block.Empty() {
			return c.everywhere(append(MetadataList(), texts(c.Pods)...)...)
		}
		list := BlocksOf(e.Block)
		if !e.Local {
			list = append(list, c.Blocks(End{Kind: OfNodes})...)
		}
		return list
	case OfWorld:
		return c.everywhere(inwardList()...)
	case OfUpstream:
		return c.everywhere(append(MetadataList(), texts(c.Pods)...)...)
	case OfBlock:
		return BlocksOf(e.Block)
	}
	return nil
}

// DNSPods are the cluster's name servers, by the label that every installation keeps.
func DNSPods() End {
	return End{Kind: OfLabels, Namespace: "kube-system", Labels: map[string]string{"k8s-app": "kube-dns"}}
}

func dnsPorts() ports.Set {
	return ports.Of(ports.UDP, 53, 53).Union(ports.Of(ports.TCP, 53, 53))
}

// A Resolver is where pods ask for names.
type Resolver struct {
	To End
	// Ports are those of the accepting end.
	Ports ports.Set
}

// Resolvers are the name servers: those that were read, else those that every
// installation of kubeadm's kind has, and the cache of the node where there is one.
func (c *Catalog) Resolvers() []Resolver { return c.resolvers }

func (c *Catalog) findResolvers() []Resolver {
	ports := dnsPorts()
	if s := c.Services[Name{"kube-system", "kube-dns"}]; s != nil {
		for _, b := range c.Backends(s) {
			if b.Workload == nil {
				continue
			}
			for i, p := range s.Value.Spec.Ports {
				if p.Port == 53 {
					ports = ports.Union(b.Ports[i])
				}
			}
		}
	}
	list := []Resolver{{DNSPods(), ports}}
	for _, w := range c.Snap.Workloads {
		if w.Namespace != "kube-system" || w.PodLabels["k8s-app"] != "node-local-dns" {
			continue
		}
		if address := localDNS(w); !address.Empty() {
			list = append(list, Resolver{End{Kind: OfBlock, Block: address}, dnsPorts()})
		}
		break
	}
	return list
}

// localDNS are the addresses on the link that the node's cache of names listens on.
func localDNS(w *evidence.Workload) (set cidr.Set) {
	for c := range w.Containers() {
		for i, word := range c.Args {
			if word != "-localip" || i+1 >= len(c.Args) {
				continue
			}
			for _, text := range strings.Split(c.Args[i+1], ",") {
				if a, err := netip.ParseAddr(text); err == nil && !Metadata().Contains(a) {
					set = set.Union(cidr.Address(a))
				}
			}
		}
	}
	return set
}

// system is what the cluster's own parts need, which their objects do not say
// (NET-04).
func (c *Catalog) system() {
	for _, s := range c.Sets {
		if s.Namespace != "kube-system" {
			continue
		}
		w := s.Workloads[0]
		me := End{Kind: OfSet, Set: s}
		why := func(says string) Reason { return Reason{At: Field(w.Ref, evidence.Path{}), Says: says} }
		switch part := systemPart(w); part {
		case "dns":
			dns := c.resolvers[0].Ports
			c.Needs.Add(End{Kind: OfAnyPod}, me, dns, why("the name server of the cluster: every pod asks it"))
			c.Needs.Add(me, End{Kind: OfUpstream}, dnsPorts(), why("asks name servers further up for names that are not the cluster's"))
			c.apiNeed(me, why("watches Services and EndpointSlices"))
			c.Notes.Addf("%s asks further up at any address but those of metadata; where a provider's name server is at one of these (Google Cloud: 169.254.169.254), open port 53 of it to these pods", s)
		case "metrics-server":
			c.Needs.Add(me, End{Kind: OfNodes}, ports.Of(ports.TCP, 10250, 10250), why("asks each kubelet for what its pods use"))
			c.apiNeed(me, why("watches nodes and pods"))
		case "konnectivity":
			c.Needs.Add(me, End{Kind: OfNodes}, ports.Of(ports.TCP, 10250, 10250), why("carries the API server's connections to kubelets"))
			c.Needs.Add(me, End{Kind: OfAPIServer}, ports.Of(ports.TCP, 8132, 8132).Union(ports.Of(ports.TCP, 443, 443)), why("opens the tunnel to its server beside the API server"))
			c.tunnel(me, why)
		case "":
			c.Notes.Addf("%s in kube-system: it is not one of those whose connections are known by heart; it gets what its objects say", s)
		}
	}
}

// systemPart knows the common parts of kube-system that have a network of their own.
func systemPart(w *evidence.Workload) string {
	switch app := w.PodLabels["k8s-app"]; {
	case app == "kube-dns":
		return "dns"
	case app == "metrics-server":
		return "metrics-server"
	case app == "konnectivity-agent":
		return "konnectivity"
	}
	return ""
}

// tunnel gives the konnectivity agent what the API server would connect to itself:
// webhooks and aggregated APIs.
func (c *Catalog) tunnel(agent End, why func(string) Reason) {
	for _, n := range c.Needs.List() {
		if n.From.Kind == OfAPIServer {
			c.Needs.Add(agent, n.To, n.Ports, why(fmt.Sprintf("carries the API server's connections to %s", n.To)))
		}
	}
}
