package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

const (
	maxWork  = 10_000_000 // steps, elements and moves of segments for one question
	maxDepth = 256        // chains within chains; nf_tables itself allows 16
	maxBases = 4096       // base chains; the kernel allows 1024 on a hook
)

// A piece is the verdict for a run of sources.
type piece struct {
	span
	Verdict
}

// A question is a packet with all its sources of one family.
type question struct {
	Packet
	family   Family
	dest     spans
	viaPorts bool // of a bridge: its interface is another one
}

// A walk sends packets of one question through the filter. Where it cannot
// tell whether a rule matches it goes both ways, so that a source may end up in
// more than one of the lists.
type walk struct {
	q        *question
	table    *table
	active   map[*chain]bool
	depth    int
	work     int
	causes   int
	accepted [][]segment // by the base chain at hand
	dropped  [][]segment
	away     [][]segment
}

// judge answers for the sources, in order, without a hole.
func (rs *Ruleset) judge(p Packet, f Family, sources spans) []piece {
	if !p.Protocol.modelled() {
		return pieces(sources, Verdict{Why: fmt.Sprintf("protocol %d is not TCP, UDP or SCTP", p.Protocol)})
	}
	if !rs.seen[f] {
		return pieces(sources, Verdict{Why: fmt.Sprintf("no packet filter of IPv%d was read", f)})
	}
	w := &walk{q: &question{Packet: p, family: f, dest: destinations(p, f)}, active: map[*chain]bool{}}
	start := &state{}
	start.words[packetMark], start.words[connectionMark] = knownWord(0), knownWord(0)
	start.words[connectionState] = knownWord(stateInvalid)
	if p.Interface == "lo" { // it was tracked when it was sent
		start.words[connectionState] = knownWord(stateNew)
	}
	var live []segment
	for _, s := range sources {
		live = append(live, segment{s, start})
	}
	tracked := p.Interface == "lo"
	entries := rs.entries(f)
	if len(entries) > maxBases {
		return pieces(sources, Verdict{Why: fmt.Sprintf("there are more than %d base chains", maxBases)})
	}
	for _, e := range entries {
		if !tracked && (e.hook == prerouting && e.order() > conntrackPriority || e.hook == input) {
			live, tracked = with(live, track), true
		}
		live = w.entry(e, blur(live, e, entries))
	}
	answer := w.settle(sources, live)
	for _, g := range rs.gaps {
		if g.family != f {
			continue
		}
		for i, a := range answer {
			if a.Outcome == Allowed {
				answer[i].Verdict = Verdict{Why: g.why}
			}
		}
	}
	return answer
}

func pieces(set spans, v Verdict) []piece {
	var out []piece
	for _, s := range set {
		out = append(out, piece{s, v})
	}
	return out
}

// destinations are the addresses that the packet may be sent to.
func destinations(p Packet, f Family) spans {
	if p.Destination.IsValid() {
		a := addrOf(p.Destination)
		return spans{{a, a}}
	}
	not := []string{"0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "127.0.0.0/8"}
	if f == IPv6 {
		not = []string{"::/128", "ff00::/8", "::1/128"}
	}
	if p.Interface == "lo" {
		not = not[:len(not)-1]
	}
	var list []span
	for _, text := range not {
		list = append(list, spanOf(netip.MustParsePrefix(text)))
	}
	return space(f).subtract(normal(list))
}

// track is what the kernel's connection tracking does to a new connection.
func track(s state) state {
	w := &s.words[connectionState]
	switch *w {
	case knownWord(stateInvalid):
		*w = knownWord(stateNew)
	case knownWord(stateUntracked):
	default:
		*w = word{0, ^uint32(stateNew | stateUntracked)}
	}
	return s
}

// An entry is a base chain on the way in.
type entry struct {
	*base
	chain *chain
	table *table
}

// order is where on its hook the kernel calls the chain: those that translate
// addresses are called together, whatever priority they ask for.
func (e entry) order() int {
	switch {
	case e.nat && e.hook == prerouting:
		return destinationNATPriority
	case e.nat:
		return sourceNATPriority
	}
	return e.priority
}

func (rs *Ruleset) entries(f Family) []entry {
	var list []entry
	for _, t := range rs.tables {
		for _, c := range t.order {
			if c.base != nil && c.base.hook != elsewhere && t.applies(f) {
				list = append(list, entry{c.base, c, t})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.hook, b.hook), cmp.Compare(a.order(), b.order()), cmp.Compare(a.priority, b.priority))
	})
	return list
}

// ties reports whether the kernel calls the two in the order in which they were
// made, which no dump tells.
func (e entry) ties(other entry) bool {
	return e.hook == other.hook && e.order() == other.order() && (!e.nat || !other.nat || e.priority == other.priority)
}

// blur makes unknown what tables write of which a chain may come before or after e.
func blur(live []segment, e entry, entries []entry) []segment {
	var written, none [registers]uint32
	for _, other := range entries {
		if e.chain == other.chain || !e.ties(other) {
			continue
		}
		for r, bits := range other.table.writes {
			written[r] |= bits
		}
	}
	if written == none {
		return live
	}
	return with(live, func(s state) state {
		for r, bits := range written {
			s.words[r] = word{s.words[r].value &^ bits, s.words[r].known &^ bits}
		}
		return s
	})
}

// comesBy says whether packets meet the base chain at all.
func (e entry) comesBy(p Packet) (truth, string) {
	switch {
	case e.hook == bridged && p.Interface == "lo":
		return no, ""
	case e.hook == bridged:
		return maybe, "not knowing whether the packet comes through a bridge"
	case e.hook == ingress && p.Interface == "" && !slices.Contains(e.devices, "*"):
		if slices.ContainsFunc(e.devices, func(d string) bool { return d != "lo" }) {
			return maybe, "the interface not being given"
		}
		return no, ""
	case e.hook == ingress:
		return value{names: e.devices}.compare(reading{named: true, name: p.Interface}), ""
	case e.nat && e.hook == prerouting && p.Interface == "lo":
		return no, "" // it was translated when it was sent, or never
	}
	return yes, ""
}

// entry sends packets through a base chain; those that it accepts come out.
func (w *walk) entry(e entry, live []segment) []segment {
	comes, why := e.comesBy(w.q.Packet)
	if comes == no {
		return live
	}
	var around []segment
	if e.nat {
		passed, not, again := untracked(live)
		again = w.fork(again, &e.policy, "not knowing whether the connection is tracked")
		around, live = overlay(passed, again), overlay(not, again)
	}
	if comes == maybe {
		live = w.fork(live, &e.policy, why)
		around = overlay(around, live)
	}
	w.table, w.accepted = e.table, nil
	w.q.viaPorts = e.hook == bridged
	rest := w.chain(e.chain, live)
	if e.drop {
		w.dropped = append(w.dropped, decided(rest, &e.policy))
	} else {
		w.accepted = append(w.accepted, with(rest, func(s state) state {
			if s.by == nil || s.by.Handle == 0 && s.by.Line == 0 {
				s.by = &e.policy
			}
			return s
		}))
	}
	return overlay(around, gather(w.accepted))
}

// untracked divides packets by whether connection tracking passes them over.
func untracked(live []segment) (sure, not, unsure []segment) {
	for _, s := range live {
		switch word := s.words[connectionState]; {
		case word == knownWord(stateUntracked):
			sure = append(sure, s)
		case word.known&stateUntracked != 0:
			not = append(not, s)
		default:
			unsure = append(unsure, s)
		}
	}
	return sure, not, unsure
}

func decided(list []segment, by *Rule) []segment {
	return with(list, func(s state) state { s.by = by; return s })
}

// fork notes that packets go both ways at the rule.
func (w *walk) fork(list []segment, at *Rule, why string) []segment {
	if len(list) == 0 {
		return nil
	}
	w.causes++
	c := &cause{at, why, w.causes}
	return with(list, func(s state) state { s.cause = c; return s })
}

// giveUp notes that anything may become of packets.
func (w *walk) giveUp(list []segment, at *Rule, why string) {
	list = w.fork(list, at, why)
	w.accepted = append(w.accepted, list)
	w.dropped = append(w.dropped, decided(list, at))
}

// chain sends packets through the chain and gives back those that return from it.
func (w *walk) chain(c *chain, live []segment) (returned []segment) {
	w.active[c] = true
	w.depth++
	defer func() {
		w.depth--
		w.active[c] = false
	}()
	for i := range c.rules {
		if len(live) == 0 {
			break
		}
		r := &c.rules[i]
		w.work += 1 + len(r.steps)
		if w.work > maxWork {
			w.giveUp(live, r.ref, "there being too much to follow")
			return returned
		}
		var back []segment
		live, back = w.rule(r, live)
		returned = overlay(returned, back)
	}
	return overlay(returned, live)
}

// rule gives back the packets that go on to the next rule, and those that
// leave the chain.
func (w *walk) rule(r *rule, in []segment) (out, returned []segment) {
	for _, s := range r.steps {
		if len(in) == 0 {
			return out, returned
		}
		switch {
		case s.match != nil:
			var not []segment
			in, not = w.match(s.match, r.ref, in)
			out = overlay(out, not)
		case s.write != nil:
			in = with(in, s.write.apply)
		case s.untrack:
			in = with(in, untrack)
		case s.lookup != nil:
			on, not, back := w.lookup(s.lookup, r.ref, in)
			in, out, returned = on, overlay(out, not), overlay(returned, back)
		case s.verdict != nil:
			on, not, back := w.verdict(s.verdict, r.ref, in)
			in, out, returned = on, overlay(out, not), overlay(returned, back)
		}
	}
	return overlay(out, in), returned
}

// untrack has an effect only on a connection that is not yet looked at.
func untrack(s state) state {
	w := &s.words[connectionState]
	switch {
	case *w == knownWord(stateInvalid):
		*w = knownWord(stateUntracked)
	case w.known != 1<<32-1 && w.value&stateNew == 0:
		*w = word{0, ^uint32(stateInvalid | stateUntracked)}
	}
	return s
}

// verdict gives back packets that go on in the rule, those that go on to the
// next rule, and those that leave the chain.
func (w *walk) verdict(v *verdict, at *Rule, in []segment) (on, out, returned []segment) {
	if len(in) == 0 {
		return nil, nil, nil
	}
	switch v.kind {
	case next:
		return in, nil, nil
	case accept:
		w.accepted = append(w.accepted, decided(in, at))
	case drop:
		w.dropped = append(w.dropped, decided(in, at))
	case away:
		w.away = append(w.away, decided(in, at))
	case back:
		return nil, nil, in
	case jump:
		return nil, w.call(v.target, at, in), nil
	case goTo:
		return nil, nil, w.call(v.target, at, in)
	default:
		w.giveUp(in, at, v.why)
	}
	return nil, nil, nil
}

func (w *walk) call(target string, at *Rule, in []segment) []segment {
	c := w.table.chains[target]
	switch {
	case c == nil:
		w.giveUp(in, at, fmt.Sprintf("chain %q, which is not there,", target))
	case w.active[c]:
		w.giveUp(in, at, fmt.Sprintf("chain %q, which calls itself,", target))
	case w.depth >= maxDepth:
		w.giveUp(in, at, "chains too deep to follow")
	default:
		return w.chain(c, in)
	}
	return nil
}

func (w *walk) lookup(l *lookup, at *Rule, in []segment) (on, out, returned []segment) {
	rest, out := w.match(l.has, at, in)
	send := func(v *verdict, packets []segment) {
		o, n, b := w.verdict(v, at, packets)
		on, out, returned = overlay(on, o), overlay(out, n), overlay(returned, b)
	}
	for i := range l.branches {
		if len(rest) == 0 {
			break
		}
		var matched []segment
		matched, rest = w.match(l.branches[i].keys, at, rest)
		send(&l.branches[i].verdict, matched)
	}
	if l.other == nil {
		return on, overlay(out, rest), returned
	}
	send(l.other, rest)
	return on, out, returned
}

// match divides packets in those that pass and those that do not.
func (w *walk) match(c *condition, at *Rule, in []segment) (pass, not []segment) {
	if !c.reads() {
		return w.divide(c, at, in)
	}
	// One division for each thing that is known of the registers.
	byWords := map[[registers]word][]segment{}
	var order [][registers]word
	for _, s := range in {
		if byWords[s.words] == nil {
			order = append(order, s.words)
		}
		byWords[s.words] = append(byWords[s.words], s)
	}
	for _, words := range order {
		p, n := w.divide(c, at, byWords[words])
		pass, not = overlay(pass, p), overlay(not, n)
	}
	return pass, not
}

func (c *condition) reads() bool {
	return slices.ContainsFunc(c.fields, func(f field) bool { return f.kind == wordField })
}

func (w *walk) divide(c *condition, at *Rule, in []segment) (pass, not []segment) {
	sure, unsure, why := w.sources(c, in[0].words)
	switch {
	case len(sure) == 0 && len(unsure) == 0:
		return nil, in
	case covers(sure, in):
		return in, nil
	}
	w.work += 1 + len(in)/16
	pass, not = cut(in, sure)
	if len(unsure) > 0 {
		var both []segment
		both, not = cut(not, unsure)
		both = w.fork(both, at, why)
		pass, not = overlay(pass, both), overlay(not, both)
	}
	return pass, not
}

func covers(set spans, list []segment) bool {
	return len(set) == 1 && !list[0].lo.less(set[0].lo) && !set[0].hi.less(list[len(list)-1].hi)
}

// sources are those from which packets pass for sure, and those from which they may.
func (w *walk) sources(c *condition, words [registers]word) (sure, unsure spans, why string) {
	all := space(w.q.family)
	readings := make([]reading, len(c.fields))
	for i, f := range c.fields {
		readings[i] = w.q.read(f, words)
		if readings[i].absent {
			return nil, nil, ""
		}
	}
	if c.why != "" {
		return nil, all, c.why
	}
	if len(c.fields) == 1 && readings[0].source && len(c.elements) == 1 && !c.elements[0][0].anything {
		sure = c.elements[0][0].numbers // the same set for every question
	} else {
		w.work += len(c.elements)
		sure, unsure, why = elementSources(c.elements, readings, all)
	}
	if c.not {
		sure = all.subtract(sure.union(unsure))
	}
	return sure, unsure, why
}

func elementSources(elements []element, readings []reading, all spans) (sure, unsure spans, why string) {
	var yesList, maybeList []span
	for _, e := range elements {
		from, how := all, yes
		for i, v := range e {
			r := readings[i]
			switch {
			case r.source && v.anything:
			case r.source && len(from) == 1 && from[0] == all[0]:
				from = v.numbers
			case r.source:
				from = from.intersect(v.numbers)
			default:
				t := v.compare(r)
				if t == maybe && how == yes {
					why = cmp.Or(why, r.why)
				}
				how = min(how, t)
			}
		}
		switch how {
		case yes:
			yesList = append(yesList, from...)
		case maybe:
			maybeList = append(maybeList, from...)
		}
	}
	sure = normal(yesList)
	return sure, normal(maybeList).subtract(sure), why
}

// read says what is known of the field.
func (q *question) read(f field, words [registers]word) reading {
	r := reading{
		absent: f.family != 0 && f.family != q.family || f.protocol != 0 && f.protocol != q.Protocol,
	}
	switch f.kind {
	case sourceAddress:
		r.source = true
	case destinationAddress:
		r.numbers, r.why = q.dest, "the destination address, which is not given,"
	case transport:
		r.numbers = one(uint64(q.Protocol))
	case network:
		r.numbers = one(uint64(q.family))
	case destinationPort:
		r.numbers = one(uint64(q.Port))
	case sourcePort:
		r.numbers, r.why = spans{{number(1), number(1<<16 - 1)}}, "the source port, which the client chooses,"
		if q.SourcePort != 0 {
			r.numbers = one(uint64(q.SourcePort))
		}
	case inInterface:
		r.named, r.name, r.nameless = true, q.Interface, q.Interface == "" || q.viaPorts
		r.why = "the interface, which is not given,"
	case outInterface:
		r.named = true // it has none
	case wordField:
		r.isWord, r.word, r.why = true, words[f.register], "a mark or state, which is not known here,"
		if q.viaPorts {
			r.word = word{}
		}
	case statusField: // of address translation and age: new, and neither translated
		r.isWord, r.word, r.why = true, word{0, knownStatus}, "a connection's status, which is not known here,"
	case flagsField: // SYN alone; what it says of congestion is not known
		r.isWord, r.word, r.why = true, word{flagSyn, knownFlags}, "flags that the client chooses"
	case fragmentField: // a whole packet; whether it may be divided is the client's choice
		r.isWord, r.word, r.why = true, word{0, ^uint32(0x4000)}, "flags that the client chooses"
	case fixedField:
		r.numbers = one(f.fixed)
	}
	return r.masked(f.mask)
}

// masked has of the reading only the bits of the mask, if there is one.
func (r reading) masked(mask uint32) reading {
	full := spans{{first, last6}}
	switch {
	case r.isWord:
		if mask != 0 {
			r.word = word{r.word.value & mask, r.word.known | ^mask}
		}
		r.numbers = full
		if r.word.known == 1<<32-1 {
			r.numbers = one(uint64(r.word.value))
		}
	case mask == 0 || r.source:
	case len(r.numbers) == 1 && r.numbers[0].lo == r.numbers[0].hi:
		r.numbers = one(r.numbers[0].lo.lo & uint64(mask))
	default:
		r.numbers = full
	}
	return r
}

// settle says for every source what became of its packets.
func (w *walk) settle(sources spans, live []segment) []piece {
	dropped, away := gather(w.dropped), gather(w.away)
	var out []piece
	for _, s := range sources {
		for lo := s.lo; ; {
			hi := s.hi
			a, d, t := at(&live, lo, &hi), at(&dropped, lo, &hi), at(&away, lo, &hi)
			v := verdictOf(a, d, t)
			if n := len(out) - 1; n >= 0 && out[n].hi.next() == lo && out[n].Verdict == v {
				out[n].hi = hi
			} else {
				out = append(out, piece{span{lo, hi}, v})
			}
			if !hi.less(s.hi) {
				break
			}
			lo = hi.next()
		}
	}
	return out
}

// at gives the state of packets from an address, and lowers hi to the last
// address in the same state. Segments before the address are dropped from the list.
func at(list *[]segment, a addr, hi *addr) *state {
	for len(*list) > 0 && (*list)[0].hi.less(a) {
		*list = (*list)[1:]
	}
	if len(*list) == 0 {
		return nil
	}
	s := (*list)[0]
	if a.less(s.lo) {
		*hi = minAddr(*hi, s.lo.prev())
		return nil
	}
	*hi = minAddr(*hi, s.hi)
	return s.state
}

func verdictOf(allowed, dropped, away *state) Verdict {
	switch {
	case allowed != nil && dropped == nil && away == nil:
		v := Verdict{Outcome: Allowed}
		if allowed.by != nil {
			v.Rule = *allowed.by
		}
		return v
	case dropped != nil && allowed == nil && away == nil:
		return Verdict{Outcome: Dropped, Rule: *dropped.by}
	case away != nil && allowed == nil && dropped == nil:
		return Verdict{Rule: *away.by, Why: "a change of destination, which leads past this host's own ports,"}
	}
	var why *cause
	for _, s := range []*state{allowed, dropped, away} {
		if s != nil && s.cause != nil && (why == nil || s.cause.nth < why.nth) {
			why = s.cause
		}
	}
	if why == nil {
		return Verdict{Why: "the packet was lost from sight"}
	}
	return Verdict{Rule: *why.rule, Why: why.why}
}
