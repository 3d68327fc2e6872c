package generate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

// Firewall says who may reach the ports of a node.
type Firewall struct {
	Role Role
	// ControlPlane and Nodes are the addresses of the cluster's own hosts: those
	// that run the control plane, and all others.
	ControlPlane, Nodes []netip.Prefix
	// Etcd are the members of an etcd that runs on hosts of its own.
	Etcd []netip.Prefix
	// Pods are the addresses of Pods, which reach the API server.
	Pods []netip.Prefix
	// Admin may reach the API server, and SSH where all else is dropped.
	Admin []netip.Prefix
	// APIClients may reach the API server besides.
	APIClients []netip.Prefix
	// KubeletClients may reach the kubelet besides the API servers: what reads
	// its metrics.
	KubeletClients []netip.Prefix
	// NodePortSources are the clients of Services of type NodePort.
	NodePortSources []netip.Prefix
	// DefaultDrop drops what the guide does not name, too.
	DefaultDrop bool
}

// A Role is what a node does.
type Role string

// The roles. A control plane node may hold etcd.
const (
	ControlPlane Role = "control-plane"
	Worker       Role = "worker"
	Etcd         Role = "etcd"
)

// Roles are all of them.
func Roles() []Role { return []Role{ControlPlane, Worker, Etcd} }

// A service is what listens on ports of a node, and who may reach it.
type service struct {
	name      string
	protocols []firewall.Protocol
	from, to  uint16
	clients   []netip.Prefix // in canonical order
}

const firewallHead = `
What may reach the guide's ports of a node (%s), over IPv4 and IPv6.
Serves %s.

The table is Gabion's own: it stands beside those of kube-proxy and the network plugin,
and takes away from what they let through; it opens nothing that another table drops.
Connections that stand go on. What runs before netfilter (eBPF at the device) is not seen.

To put it in place, one node first:
1. Write this to /etc/gabion/firewall.nft and check it: nft --check --file /etc/gabion/firewall.nft
2. Load it with a way back, so that a wrong address shuts nobody out for long:

       systemd-run --unit=gabion-undo --on-active=120 nft delete table inet gabion
       nft --file /etc/gabion/firewall.nft

   Within two minutes open a new SSH session, run kubectl get nodes and kubectl logs. If
   all is well: systemctl stop gabion-undo.timer.
3. Have it loaded at boot by a unit of its own, ordered before kubelet.service. Not by
   /etc/nftables.conf, which on many systems begins with flush ruleset: reloading that
   takes away the rules of kube-proxy.
Loading it again replaces it as a whole. nft delete table inet gabion takes it away.`

// Ruleset makes the nftables rules of one node, as a file for nft. An error is a
// wrong option. The rules are proven before they are given back: every port of the
// guide's tables is asked about over IPv4 and IPv6, and admits whom it should.
func (o Firewall) Ruleset() (string, error) {
	if err := o.valid(); err != nil {
		return "", err
	}
	t := o.table()
	if err := o.prove(t); err != nil {
		return "", err
	}
	var p page
	rows := map[Role]string{
		ControlPlane: "CP-01, CP-03, CP-04, CP-07, ETCD-01 and WRK-02",
		Worker:       "CP-07 and WRK-02",
		Etcd:         "ETCD-01 and CP-07",
	}
	p.comment(fmt.Sprintf(firewallHead, o.Role, rows[o.Role]) + "\n")
	p.WriteString(t.text())
	return p.String(), nil
}

func (o Firewall) valid() error {
	switch {
	case !slices.Contains(Roles(), o.Role):
		return fmt.Errorf("role %q: want control-plane, worker or etcd", o.Role)
	case len(o.ControlPlane) == 0:
		return errors.New("no addresses of the control plane: they reach every kubelet and etcd")
	case o.Role == ControlPlane && len(o.Nodes) == 0:
		return errors.New("no addresses of nodes: none could reach the API server")
	case o.DefaultDrop && len(o.Admin) == 0:
		return errors.New("dropping all else without an administrator's address would shut SSH for everybody")
	}
	for _, list := range [][]netip.Prefix{o.ControlPlane, o.Nodes, o.Etcd, o.Pods, o.Admin, o.APIClients, o.KubeletClients, o.NodePortSources} {
		for _, p := range list {
			if !p.IsValid() || p.Addr().Is4In6() || p.Masked() != p {
				return fmt.Errorf("range of addresses %s: want the first address of it, such as 10.0.0.0/16", p)
			}
		}
	}
	return nil
}

// services are the guide's tables for the role.
func (o Firewall) services() []service {
	tcp := []firewall.Protocol{firewall.TCP}
	list := func(parts ...[]netip.Prefix) []netip.Prefix { return canonical(slices.Concat(parts...)) }
	kubelet := service{"kubelet", tcp, 10250, 10250, list(o.ControlPlane, o.KubeletClients)}
	nodePorts := service{"Services of type NodePort", []firewall.Protocol{firewall.TCP, firewall.UDP}, 30000, 32767, list(o.NodePortSources)}
	switch o.Role {
	case ControlPlane:
		return []service{
			{"API server", tcp, 6443, 6443, list(o.ControlPlane, o.Nodes, o.Pods, o.Admin, o.APIClients)},
			{"etcd", tcp, 2379, 2380, list(o.ControlPlane, o.Etcd)},
			kubelet,
			{"controller manager", tcp, 10257, 10257, list(o.ControlPlane)},
			{"scheduler", tcp, 10259, 10259, list(o.ControlPlane)},
			nodePorts,
		}
	case Etcd:
		return []service{{"etcd", tcp, 2379, 2380, list(o.ControlPlane, o.Etcd)}, kubelet, nodePorts}
	}
	return []service{kubelet, nodePorts}
}

// canonical is the fewest ranges that hold the same addresses, in order: without
// those inside another, which nft refuses, and with halves joined.
func canonical(list []netip.Prefix) []netip.Prefix {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []netip.Prefix
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].Overlaps(p) {
			continue // the wider one came first
		}
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			whole, ok := joined(out[n-2], out[n-1])
			if !ok {
				break
			}
			out = append(out[:n-2], whole)
		}
	}
	return out
}

// joined is the range whose halves are a and b.
func joined(a, b netip.Prefix) (netip.Prefix, bool) {
	if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().Is4() != b.Addr().Is4() {
		return netip.Prefix{}, false
	}
	whole := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
	return whole, whole.Contains(b.Addr()) && a != b
}

// An nftTable is the table inet gabion.
type nftTable struct{ chains []nftChain }

type nftChain struct {
	name, hook, priorityName string
	priority                 int
	policy                   string
	rules                    []nftRule
}

// An nftRule is a list of expressions with a verdict, or a heading above others.
type nftRule struct {
	heading string
	expr    []nftExpr
	verdict string
}

// An nftExpr is an expression as nft writes it in text and in JSON.
type nftExpr struct{ text, json string }

func nftMatch(text, left, right string) nftExpr {
	return nftExpr{text, fmt.Sprintf(`{"match":{"op":"in","left":%s,"right":%s}}`, left, right)}
}

func equals(e nftExpr) nftExpr {
	e.json = strings.Replace(e.json, `"op":"in"`, `"op":"=="`, 1)
	return e
}

// from is an expression for each family among the ranges.
func from(list []netip.Prefix) (each []nftExpr) {
	for _, family := range []struct {
		name string
		is6  bool
	}{{"ip", false}, {"ip6", true}} {
		var texts, objects []string
		for _, p := range list {
			if p.Addr().Is6() != family.is6 {
				continue
			}
			if p.Bits() == 0 {
				name := map[bool]string{false: "ipv4", true: "ipv6"}[family.is6]
				each = append(each, equals(nftMatch("meta nfproto "+name, `{"meta":{"key":"nfproto"}}`, quote(name))))
				continue
			}
			texts = append(texts, strings.TrimSuffix(p.String(), oneAddress(p)))
			objects = append(objects, fmt.Sprintf(`{"prefix":{"addr":%q,"len":%d}}`, p.Addr(), p.Bits()))
		}
		if len(texts) > 0 {
			each = append(each, equals(nftMatch(family.name+" saddr { "+strings.Join(texts, ", ")+" }",
				fmt.Sprintf(`{"payload":{"protocol":%q,"field":"saddr"}}`, family.name), `{"set":[`+strings.Join(objects, ",")+`]}`)))
		}
	}
	return each
}

// oneAddress is what a range of one address ends with.
func oneAddress(p netip.Prefix) string {
	if p.Addr().Is6() {
		return "/128"
	}
	return "/32"
}

func ports(protocol firewall.Protocol, from, to uint16) nftExpr {
	name := map[firewall.Protocol]string{firewall.TCP: "tcp", firewall.UDP: "udp"}[protocol]
	text, object := fmt.Sprint(from), fmt.Sprint(from)
	if from != to {
		text, object = fmt.Sprintf("%d-%d", from, to), fmt.Sprintf(`{"range":[%d,%d]}`, from, to)
	}
	return equals(nftMatch(name+" dport "+text, fmt.Sprintf(`{"payload":{"protocol":%q,"field":"dport"}}`, name), object))
}

func icmp(protocol string, types ...string) nftExpr {
	return equals(nftMatch(protocol+" type { "+strings.Join(types, ", ")+" }",
		fmt.Sprintf(`{"payload":{"protocol":%q,"field":"type"}}`, protocol), `{"set":["`+strings.Join(types, `","`)+`"]}`))
}

// table makes the rules.
func (o Firewall) table() nftTable {
	standing := []nftRule{
		{expr: []nftExpr{nftMatch("ct state established,related", `{"ct":{"key":"state"}}`, `["established","related"]`)}, verdict: "accept"},
		{expr: []nftExpr{equals(nftMatch(`iifname "lo"`, `{"meta":{"key":"iifname"}}`, `"lo"`))}, verdict: "accept"},
	}
	input := nftChain{name: "input", hook: "input", priorityName: "filter", policy: "accept", rules: slices.Clone(standing)}
	// Where kube-proxy sends a connection to a NodePort elsewhere, the chain above
	// never sees it: it must be met before its destination is changed, at -100.
	nodePorts := nftChain{name: "node-ports", hook: "prerouting", priorityName: "mangle", priority: -150, policy: "accept", rules: standing}
	local := equals(nftMatch("fib daddr type local", `{"fib":{"result":"type","flags":["daddr"]}}`, `"local"`))
	for _, s := range o.services() {
		input.rules = append(input.rules, s.rules()...)
		if s.from == 30000 {
			nodePorts.rules = append(nodePorts.rules, s.rules(local)...)
		}
	}
	if o.DefaultDrop {
		input.policy = "drop"
		input.rules = append(input.rules, o.rest()...)
	}
	return nftTable{[]nftChain{input, nodePorts}}
}

// rules admit the clients of a service and drop all others.
func (s service) rules(also ...nftExpr) []nftRule {
	rules := []nftRule{{heading: s.name}}
	for _, protocol := range s.protocols {
		port := ports(protocol, s.from, s.to)
		for _, source := range from(s.clients) {
			rules = append(rules, nftRule{expr: append(slices.Clone(also), source, port), verdict: "accept"})
		}
		rules = append(rules, nftRule{expr: append(slices.Clone(also), port), verdict: "drop"})
	}
	return rules
}

// rest are the rules for what the guide does not name, before all else is dropped.
func (o Firewall) rest() []nftRule {
	rules := []nftRule{
		{heading: "without these IPv6 finds no neighbour, and neither finds the size of a path"},
		{expr: []nftExpr{icmp("icmpv6", "destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem", "echo-request",
			"mld-listener-query", "mld-listener-report", "mld-listener-done", "mld2-listener-report",
			"nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert")}, verdict: "accept"},
		{expr: []nftExpr{icmp("icmp", "destination-unreachable", "time-exceeded", "parameter-problem", "echo-request")}, verdict: "accept"},
		{heading: "answers to DHCPv6: the question went to a group, and does not vouch for them"},
		{expr: []nftExpr{from([]netip.Prefix{linkLocal()})[0], ports(firewall.UDP, 546, 546)}, verdict: "accept"},
		{heading: "SSH"},
	}
	for _, source := range from(canonical(o.Admin)) {
		rules = append(rules, nftRule{expr: []nftExpr{source, ports(firewall.TCP, 22, 22)}, verdict: "accept"})
	}
	rules = append(rules, nftRule{heading: "tunnels and health checks between the cluster's hosts; name resolution and the like of Pods"})
	for _, source := range from(canonical(slices.Concat(o.ControlPlane, o.Nodes, o.Etcd, o.Pods))) {
		rules = append(rules, nftRule{expr: []nftExpr{source}, verdict: "accept"})
	}
	return rules
}

// linkLocal is where neighbours speak from (RFC 4291).
func linkLocal() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10)
}

// text is the table for nft --file, which loads it as one.
func (t nftTable) text() string {
	var b strings.Builder
	b.WriteString("table inet gabion\ndelete table inet gabion\ntable inet gabion {\n")
	for _, c := range t.chains {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority %s; policy %s;\n", c.name, c.hook, c.priorityName, c.policy)
		for _, r := range c.rules {
			if r.heading != "" {
				fmt.Fprintf(&b, "\n\t\t# %s\n", r.heading)
				continue
			}
			b.WriteString("\t\t")
			for _, e := range r.expr {
				b.WriteString(e.text + " ")
			}
			b.WriteString(r.verdict + "\n")
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// json is the table as nft --json list ruleset prints it once it is loaded.
func (t nftTable) json() []byte {
	var b bytes.Buffer
	b.WriteString(`{"nftables":[{"table":{"family":"inet","name":"gabion"}}`)
	handle := 0
	for _, c := range t.chains {
		fmt.Fprintf(&b, `,{"chain":{"family":"inet","table":"gabion","name":%q,"type":"filter","hook":%q,"prio":%d,"policy":%q}}`, c.name, c.hook, c.priority, c.policy)
		for _, r := range c.rules {
			if r.heading != "" {
				continue
			}
			handle++
			fmt.Fprintf(&b, `,{"rule":{"family":"inet","table":"gabion","chain":%q,"handle":%d,"expr":[`, c.name, handle)
			for _, e := range r.expr {
				b.WriteString(e.json + ",")
			}
			fmt.Fprintf(&b, `{%q:null}]}}`, r.verdict)
		}
	}
	b.WriteString("]}")
	return b.Bytes()
}

// prove asks what the rules admit, and compares.
func (o Firewall) prove(t nftTable) error {
	rules, err := firewall.ParseNft(t.json())
	if err != nil {
		return fmt.Errorf("prove the rules: %w", err)
	}
	for _, s := range o.services() {
		for _, protocol := range s.protocols {
			for _, port := range []uint16{s.from, s.to} {
				if err := admits(rules, firewall.Packet{Protocol: protocol, Port: port}, s.clients); err != nil {
					return fmt.Errorf("prove the rules of %s: %w", s.name, err)
				}
			}
		}
	}
	if !o.DefaultDrop {
		return nil
	}
	inside := canonical(slices.Concat(o.ControlPlane, o.Nodes, o.Etcd, o.Pods))
	if err := admits(rules, firewall.Packet{Protocol: firewall.TCP, Port: 22}, canonical(slices.Concat(inside, o.Admin))); err != nil {
		return fmt.Errorf("prove the rules of SSH: %w", err)
	}
	return admits(rules, firewall.Packet{Protocol: firewall.UDP, Port: 9}, inside)
}

// admits fails unless exactly these sources get through.
func admits(rules *firewall.Ruleset, p firewall.Packet, wanted []netip.Prefix) error {
	var got []netip.Prefix
	for _, answer := range rules.Sources(p) {
		switch answer.Outcome {
		case firewall.Unknown:
			return fmt.Errorf("port %d: %v", p.Port, answer.Verdict)
		case firewall.Allowed:
			got = append(got, answer.Sources...)
		}
	}
	if got = canonical(got); !slices.Equal(got, wanted) {
		return fmt.Errorf("port %d is open to %v, and is to be to %v", p.Port, got, wanted)
	}
	return nil
}
