package checks

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/firewall"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// dumps is how the rules of a packet filter get into what is read, where the source
// does not say itself what it lacks.
const dumps = "write what `nft -j list ruleset`, `iptables-save` and `ip6tables-save` print on the node to " +
	"/gabion/nft.json, /gabion/iptables-save.txt and /gabion/ip6tables-save.txt of what --host-root reads"

// A packetFilter is that of one node.
type packetFilter struct {
	*netNode
	rules *firewall.Ruleset
}

// packetFilter reads the rules of the node's packet filter; nil, and that is recorded,
// where they are not known.
func (n *netNode) packetFilter() *packetFilter {
	switch {
	case !n.sees(evidence.TheFirewall):
		return nil
	case len(n.Firewall) == 0:
		n.cannot("its packet filter's rules were not read: %s", dumps)
		return nil
	}
	var parts []*firewall.Ruleset
	for _, d := range n.Firewall {
		rules, err := parseDump(d)
		if err != nil {
			n.cannot("%s: %v", cmp.Or(d.File, "the kernel's packet filter"), err)
			return nil
		}
		parts = append(parts, rules)
	}
	return &packetFilter{n, firewall.Join(parts...)}
}

func parseDump(d evidence.FirewallRules) (*firewall.Ruleset, error) {
	switch d.Format {
	case "nft":
		return firewall.ParseNft([]byte(d.Text))
	case "iptables":
		return firewall.ParseIptables([]byte(d.Text), firewall.IPv4)
	case "ip6tables":
		return firewall.ParseIptables([]byte(d.Text), firewall.IPv6)
	}
	return nil, fmt.Errorf("rules in a format %q that is not known", d.Format)
}

// place is where a rule is written, as far as its dump tells.
func (f *packetFilter) place(r firewall.Rule) evidence.Position {
	format := "nft"
	if family, _, _ := strings.Cut(r.Table, " "); family == "iptables" || family == "ip6tables" {
		format = family
	}
	for _, d := range f.Firewall {
		if d.Format == format || r == (firewall.Rule{}) {
			return evidence.Position{File: d.File, Line: r.Line}
		}
	}
	return evidence.Position{}
}

// answers say from where a port is reached. Where sockets are known only those that
// listen beyond loopback count: none is no answer.
func (f *packetFilter) answers(protocol string, port uint16) []firewall.Answer {
	p := firewall.Packet{Protocol: firewall.TCP, Port: port}
	if protocol == "udp" {
		p.Protocol = firewall.UDP
	}
	seen, _ := f.Saw(evidence.TheSockets)
	datagrams, _ := f.Saw(evidence.TheDatagrams)
	if !seen || protocol == "udp" && !datagrams {
		return f.ask(p, true, true)
	}
	var list []firewall.Answer
	for _, s := range f.listeners(protocol, port) {
		a := s.Address.Addr().Unmap()
		p.Destination = netip.Addr{}
		if !a.IsUnspecified() {
			p.Destination = a.WithZone("")
		}
		for _, answer := range f.ask(p, true, a.Is6()) {
			list = merge(list, answer)
		}
	}
	return list
}

// ask asks for the sources of one or both families. IPv6 that is switched off brings
// no packets.
func (f *packetFilter) ask(p firewall.Packet, four, six bool) []firewall.Answer {
	if f.System.Sysctls["net.ipv6.conf.all.disable_ipv6"].Value == "1" {
		six = false
	}
	list := f.rules.Sources(p)
	// What is known for the node's addresses says more than what holds for any.
	if slices.ContainsFunc(list, func(a firewall.Answer) bool { return a.Outcome == firewall.Unknown }) && !p.Destination.IsValid() {
		var precise []firewall.Answer
		for _, p.Destination = range slices.Concat(f.machine.Addresses, f.machine.External) {
			for _, a := range f.rules.Sources(p) {
				precise = merge(precise, a)
			}
		}
		if families(precise) == families(list) {
			list = precise
		}
	}
	var kept []firewall.Answer
	for _, a := range list {
		a.Sources = slices.DeleteFunc(slices.Clone(a.Sources), func(s netip.Prefix) bool {
			return s.Addr().Is4() && !four || s.Addr().Is6() && !six
		})
		if len(a.Sources) > 0 {
			kept = append(kept, a)
		}
	}
	return kept
}

// families says which families answers are about.
func families(list []firewall.Answer) (has [2]bool) {
	for _, a := range list {
		for _, s := range a.Sources {
			if s.Addr().Is4() {
				has[0] = true
			} else {
				has[1] = true
			}
		}
	}
	return has
}

// merge adds an answer to a list that has one for each verdict.
func merge(list []firewall.Answer, a firewall.Answer) []firewall.Answer {
	for i := range list {
		if list[i].Verdict == a.Verdict {
			for _, s := range a.Sources {
				if !slices.Contains(list[i].Sources, s) {
					list[i].Sources = append(slices.Clip(list[i].Sources), s)
				}
			}
			return list
		}
	}
	return append(list, a)
}

// A guarded port is one that only some should reach.
type guardedPort struct {
	protocol string
	number   uint16
	// name says whose it is: the API server's.
	name string
	path evidence.Path
	// expected are from where it may be reached, who says who they are; whole is whether
	// all of them are known.
	expected []netip.Prefix
	who      string
	whole    bool
	// open is set for a port that may be reached from anywhere but the internet at large.
	open bool
}

// judge says from where a port is reached and should not be.
func (f *packetFilter) judge(p guardedPort) {
	var over, maybe, unclear []firewall.Answer
	for _, a := range f.answers(p.protocol, p.number) {
		beyond := outside(a.Sources, p.expected)
		switch {
		case a.Outcome == firewall.Dropped, len(beyond) == 0, p.open && !wide(beyond):
		case a.Outcome == firewall.Unknown:
			unclear = append(unclear, a)
		case p.whole, broad(beyond):
			over = append(over, a)
		default:
			maybe = append(maybe, a)
		}
	}
	if len(over) > 0 {
		problem := f.say(f.place(over[0].Rule), p.path, "", "%s is admitted %s: it is for %s", p.name, ways(over), p.who)
		if !slices.ContainsFunc(over, func(a firewall.Answer) bool { return wide(a.Sources) }) {
			problem.Severity, problem.SeverityReason = lower(f.Severity), "not from the internet at large"
		}
		return
	}
	for _, a := range unclear {
		f.cannot("from where %s is reached: %s, for %s", p.name, a.Verdict, sources(a.Sources))
	}
	if len(maybe) > 0 {
		f.cannot("%s is admitted %s: whether these are %s is not known (--cluster, or --host-root on the others)", p.name, ways(maybe), p.who)
	}
}

// judgeOther says of a port that the guide's tables do not have that it is reached
// from the internet at large.
func (f *packetFilter) judgeOther(p listenedPort) {
	var over, unclear []firewall.Answer
	for _, a := range f.answers(p.protocol, p.number) {
		switch {
		case a.Outcome == firewall.Dropped || !wide(a.Sources):
		case a.Outcome == firewall.Unknown:
			unclear = append(unclear, a)
		default:
			over = append(over, a)
		}
	}
	if len(over) > 0 {
		problem := f.say(f.place(over[0].Rule), filterPath(p.protocol, p.number), "", "port %s, on which %s listens, is none of the guide's table and is admitted %s", p, p.by(), ways(over))
		problem.Severity, problem.SeverityReason = guide.Low, "a port of something else than Kubernetes"
		return
	}
	for _, a := range unclear {
		f.cannot("from where port %s is reached: %s, for %s", p, a.Verdict, sources(a.Sources))
	}
}

// filterPath is the path of a port in the packet filter.
func filterPath(protocol string, port uint16) evidence.Path {
	return evidence.NewPath("firewall", protocol, fmt.Sprint(port))
}

// lower is the severity below one.
func lower(s guide.Severity) guide.Severity { return max(s-1, guide.Low) }

// ways says from where and by which rules.
func ways(list []firewall.Answer) string {
	var parts []string
	for _, a := range list {
		by := a.Rule.String()
		if (a.Rule == firewall.Rule{}) {
			by = "the lack of a rule"
		}
		parts = append(parts, fmt.Sprintf("from %s by %s", sources(a.Sources), by))
	}
	const shown = 2
	text := strings.Join(parts[:min(shown, len(parts))], ", and ")
	if more := len(parts) - shown; more > 0 {
		text += fmt.Sprintf(", and by %d more rules", more)
	}
	return text
}

// sources names addresses that packets come from.
func sources(list []netip.Prefix) string {
	if wide(list) {
		return "anywhere"
	}
	var names []string
	for _, s := range list {
		if s.IsSingleIP() {
			names = append(names, s.Addr().String())
		} else {
			names = append(names, s.String())
		}
	}
	return someOf(names, 4)
}

// wide reports whether a large part of the internet is among addresses: at least what
// the first eight bits of an IPv4 address, or the first sixteen of an IPv6 address, tell
// apart.
func wide(list []netip.Prefix) bool {
	special := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
	}
	unicast := netip.MustParsePrefix("2000::/3")
	return slices.ContainsFunc(list, func(s netip.Prefix) bool {
		if s.Addr().Is6() {
			return s.Bits() <= 16 && s.Overlaps(unicast)
		}
		return s.Bits() <= 8 && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Bits() <= s.Bits() && p.Contains(s.Addr()) })
	})
}

// broad reports whether among addresses are more than one network of machines has,
// so that they cannot all be what is expected.
func broad(list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(s netip.Prefix) bool {
		return s.Addr().Is4() && s.Bits() < 24 || s.Addr().Is6() && s.Bits() < 64
	})
}

// outside is what of addresses is not among the expected. Loopback and multicast
// addresses, of which no packet comes from another machine, are left out.
func outside(list, expected []netip.Prefix) (left []netip.Prefix) {
	never := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
		netip.MustParsePrefix("::/127"), netip.MustParsePrefix("ff00::/8"),
	}
	expected = slices.Concat(never, expected)
	for _, s := range list {
		left = append(left, without(s, expected)...)
	}
	return left
}

func without(s netip.Prefix, expected []netip.Prefix) []netip.Prefix {
	var within []netip.Prefix
	for _, e := range expected {
		switch {
		case !e.Overlaps(s):
		case e.Bits() <= s.Bits():
			return nil
		default:
			within = append(within, e)
		}
	}
	if len(within) == 0 {
		return []netip.Prefix{s}
	}
	low, high := halves(s)
	return append(without(low, within), without(high, within)...)
}

// halves are the two prefixes of which one is made.
func halves(s netip.Prefix) (low, high netip.Prefix) {
	bits := s.Bits() + 1
	bytes := s.Masked().Addr().AsSlice()
	low = netip.PrefixFrom(s.Masked().Addr(), bits)
	bytes[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	a, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(a, bits)
}
