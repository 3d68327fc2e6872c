// Package firewall knows what the packet filter of a Linux host admits: it reads
// what `nft -j list ruleset`, `iptables-save` and `ip6tables-save` print, follows
// tables, chains and rules in the order of the kernel, and says for each source
// address whether a new connection to a port of the host comes through, and by
// which rule. A construct that it does not model makes the answer Unknown where,
// and only where, that construct decides.
//
// It looks at the way in alone (ingress, prerouting, input), not at what is
// forwarded, sent, or filtered by eBPF programs. It reads no file and runs nothing.
package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// A Protocol is a transport protocol, by its IANA number.
type Protocol uint8

// The protocols that have ports and that Kubernetes knows.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

func (p Protocol) modelled() bool { return p == TCP || p == UDP || p == SCTP }

// A Packet is the first packet of a new connection to the host itself. It arrives
// alone and unmarked: no rate or number of connections is used up, and its
// source address is genuine, so that a check of the reverse path lets it pass.
// (A zero field is what is not known; a rule that depends on it gives Unknown.)
type Packet struct {
	// Interface it comes in by. Empty is any other than lo. On lo, what the
	// chains of the way out do to it is not looked at.
	Interface string
	// Destination is the address of the host it is sent to. The zero value is
	// an address of the host that is neither loopback nor multicast.
	Destination netip.Addr
	Protocol    Protocol
	Port        uint16
	// SourcePort is what the client sends from, which it chooses; zero is any.
	SourcePort uint16
}

// An Outcome is what becomes of a packet.
type Outcome int

// The outcomes. Dropped includes what is rejected with an answer.
const (
	Unknown Outcome = iota
	Allowed
	Dropped
)

func (o Outcome) String() string {
	return [...]string{"unknown", "allowed", "dropped"}[min(max(o, 0), Dropped)]
}

// A Rule is the place in the filter that decides. The zero value is none: no
// base chain stands in the way.
type Rule struct {
	Table  string // with its family: "inet filter", "iptables nat", "ip6tables filter"
	Chain  string
	Handle int    // of nft; 0 for a policy and for iptables
	Line   int    // of the iptables-save text, from 1; 0 for a policy and for nft
	Text   string // as nft or iptables would write it, at most 400 bytes
}

// String names the rule on one line.
func (r Rule) String() string {
	where := r.Table + " " + r.Chain
	switch {
	case r == Rule{}:
		return "no rule"
	case r.Handle != 0:
		where += fmt.Sprintf(" handle %d", r.Handle)
	case r.Line != 0:
		where += fmt.Sprintf(" line %d", r.Line)
	}
	return where + ": " + r.Text
}

// A Verdict is the outcome with its reason.
type Verdict struct {
	Outcome Outcome
	// Rule that decides: the one that drops, the last that accepts, or the one
	// that holds what could not be followed.
	Rule Rule
	// Why it is Unknown: the construct in Rule, or what the filter's dump
	// lacks. Empty otherwise.
	Why string
}

// String says the verdict as a part of a sentence.
func (v Verdict) String() string {
	switch {
	case v.Outcome == Unknown && v.Rule == Rule{}:
		return "unknown, because " + v.Why
	case v.Outcome == Unknown:
		return "unknown, because of " + v.Why + " in " + v.Rule.String()
	}
	return v.Outcome.String() + " by " + v.Rule.String()
}

// An Answer is a verdict for all the sources that share it.
type Answer struct {
	Verdict
	Sources []netip.Prefix // in order, disjoint, as few as there can be
}

// A Family is a version of the internet protocol.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// A Ruleset is the packet filter of one host, or what was read of it. Its zero
// value has read nothing and answers Unknown.
type Ruleset struct {
	tables []*table
	seen   map[Family]bool
	gaps   []gap
}

// A gap is a part of the filter that a dump says exists and does not print.
type gap struct {
	family Family
	table  string // of nft; empty: the tables of legacy iptables
	why    string
}

// Join is the filter of which each ruleset is a part. What iptables-save printed
// of tables that nf_tables holds stands in for nft's view of the same tables,
// which prints their matches by name only.
func Join(parts ...*Ruleset) *Ruleset {
	all := &Ruleset{seen: map[Family]bool{}}
	printed := map[[2]string]bool{} // by iptables-save, of what nf_tables holds
	for _, p := range parts {
		for f := range p.seen {
			all.seen[f] = true
		}
		for _, t := range p.tables {
			if t.origin == iptablesNft {
				printed[[2]string{t.family, t.name}] = true
			}
		}
	}
	for _, p := range parts {
		for _, t := range p.tables {
			if t.origin != nftables || !printed[[2]string{t.family, t.name}] {
				all.tables = append(all.tables, t)
			}
		}
	}
	for _, p := range parts {
		for _, g := range p.gaps {
			if !all.fills(g) {
				all.gaps = append(all.gaps, g)
			}
		}
	}
	return all
}

func (rs *Ruleset) fills(g gap) bool {
	return slices.ContainsFunc(rs.tables, func(t *table) bool {
		if g.table == "" {
			return t.origin == iptablesLegacy && t.family == familyName(g.family)
		}
		return t.origin == nftables && t.family == familyName(g.family) && t.name == g.table
	})
}

func familyName(f Family) string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

// Admits says what becomes of the packet when it comes from source.
func (rs *Ruleset) Admits(p Packet, source netip.Addr) Verdict {
	source, p.Destination = source.Unmap().WithZone(""), p.Destination.Unmap()
	if !source.IsValid() {
		return Verdict{Why: "no source address was given"}
	}
	family := IPv4
	if source.Is6() {
		family = IPv6
	}
	if p.Destination.IsValid() && p.Destination.Is6() != source.Is6() {
		return Verdict{Why: "source and destination are not of one family"}
	}
	at := addrOf(source)
	for _, piece := range rs.judge(p, family, spans{{at, at}}) {
		return piece.Verdict
	}
	return Verdict{Why: "the source was not followed"}
}

// Sources says from where the packet is admitted, dropped, or neither for sure:
// every address of the family of the destination, or of both if that is not
// given, is in exactly one answer. Allowed comes first, then Dropped, then Unknown.
func (rs *Ruleset) Sources(p Packet) []Answer {
	p.Destination = p.Destination.Unmap()
	var answers []Answer
	index := map[Verdict]int{}
	for _, family := range []Family{IPv4, IPv6} {
		if p.Destination.IsValid() && p.Destination.Is6() != (family == IPv6) {
			continue
		}
		bySpan := map[Verdict]spans{}
		var order []Verdict
		for _, piece := range rs.judge(p, family, space(family)) {
			if _, ok := bySpan[piece.Verdict]; !ok {
				order = append(order, piece.Verdict)
			}
			bySpan[piece.Verdict] = append(bySpan[piece.Verdict], piece.span)
		}
		for _, v := range order {
			i, ok := index[v]
			if !ok {
				i = len(answers)
				index[v] = i
				answers = append(answers, Answer{Verdict: v})
			}
			answers[i].Sources = append(answers[i].Sources, normal(bySpan[v]).prefixes(family)...)
		}
	}
	rank := [...]int{Unknown: 2, Allowed: 0, Dropped: 1}
	slices.SortStableFunc(answers, func(a, b Answer) int {
		return cmp.Compare(rank[a.Outcome], rank[b.Outcome])
	})
	return answers
}
