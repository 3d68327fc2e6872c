package firewall

import "strings"

// An origin is which program printed a table, and who holds it in the kernel.
type origin int

const (
	nftables origin = iota
	iptablesNft
	iptablesLegacy
)

type table struct {
	origin origin
	family string // as nft names it: ip, ip6, inet, netdev, bridge
	name   string
	off    bool // declared dormant
	chains map[string]*chain
	order  []*chain
	writes [registers]uint32 // the bits that any of its rules writes
}

// add puts a rule at the end of a chain of the table.
func (t *table) add(c *chain, r rule) {
	c.rules = append(c.rules, r)
	for _, s := range r.steps {
		switch {
		case s.write != nil && s.write.from != s.write.to:
			t.writes[s.write.to] = 1<<32 - 1
		case s.write != nil:
			t.writes[s.write.to] |= ^s.write.keep | s.write.flip | s.write.unknown
		case s.untrack:
			t.writes[connectionState] |= stateInvalid | stateUntracked
		}
	}
}

// applies reports whether packets of the family come by the table.
func (t *table) applies(f Family) bool {
	return !t.off && (t.family == familyName(f) || t.family == "inet" || t.family == "netdev" || t.family == "bridge")
}

type chain struct {
	name  string
	base  *base
	rules []rule
}

// A hook is a place on the way in at which the kernel calls base chains.
type hook int

const (
	elsewhere hook = iota // of the ways out and through
	ingress
	bridged // prerouting and input of the bridge family
	prerouting
	input
)

// Priorities between which the kernel does its own work.
const (
	conntrackPriority       = -200
	destinationNATPriority  = -100
	sourceNATPriority       = 100
	iptablesRawPriority     = -300
	iptablesManglePriority  = -150
	iptablesSecurePriority  = 50
	iptablesFilterPriority  = 0
	longestText, longestWhy = 400, 200
)

// A base is how a chain hangs on a hook.
type base struct {
	hook     hook
	priority int
	nat      bool
	devices  []string // of ingress
	policy   Rule
	drop     bool // the policy
}

type rule struct {
	ref   *Rule
	steps []step
}

// A step is one expression of a rule: a match that packets must pass to get to
// the next step, a write, or a verdict. Exactly one of its fields is set.
type step struct {
	match   *condition
	write   *write
	verdict *verdict
	lookup  *lookup
	untrack bool
}

type verdictKind int

const (
	accept verdictKind = iota
	drop
	next // go on with the rule
	back // return to the calling chain
	jump
	goTo
	away    // sent to another destination than this port of the host
	unclear // may be any of these
)

type verdict struct {
	kind   verdictKind
	target string // of jump and goTo
	why    string // it is unclear
}

// A lookup is a verdict map. Its keys do not overlap; none matching, the rule
// does not match.
type lookup struct {
	has      *condition // the packet has the fields of the key
	branches []branch
	other    *verdict // of every other key, where the map has a wildcard
}

// A branch is the verdict of the keys that meet the condition.
type branch struct {
	keys    *condition
	verdict verdict
}

// A write sets a register to (its own value & keep) ^ flip, or to something unknown.
type write struct {
	to      register
	from    register // whose value is taken before keep and flip
	keep    uint32
	flip    uint32
	unknown uint32 // bits of which nothing is known afterwards
}

func (w write) apply(s state) state {
	v := s.words[w.from]
	known := (v.known | ^w.keep) &^ w.unknown
	s.words[w.to] = word{(v.value&w.keep ^ w.flip) & known, known}
	return s
}

// A fieldKind is what of a packet a match looks at.
type fieldKind int

const (
	sourceAddress fieldKind = iota
	destinationAddress
	transport
	network
	sourcePort
	destinationPort
	inInterface
	outInterface
	wordField // a register
	statusField
	flagsField
	fragmentField
	fixedField    // the same for all packets that are asked about
	otherProtocol // of a protocol that nobody can ask about
)

type field struct {
	kind     fieldKind
	family   Family   // whose packets have it; 0: both
	protocol Protocol // likewise
	register register
	fixed    uint64
	mask     uint32 // applied before comparing, if not 0
	flags    bool   // a value is bits, and several of them are one value
	names    map[string]uint64
}

// A value is a set of what a field may be.
type value struct {
	anything bool
	numbers  spans
	names    []string // of interfaces; a trailing * stands for any rest
	bits     uint32   // or any of these bits is set
}

// An element matches when each field has its value.
type element []value

// A condition holds when one of the elements matches, or, with not, none does.
// Without the family or protocol of its fields a packet does not match at all.
type condition struct {
	fields   []field
	elements []element
	not      bool
	why      string // not modelled, if set
}

func unmodelledMatch(why string) *condition {
	return &condition{why: clip(why, longestWhy)}
}

// never is a match that no packet passes.
func never() *condition { return &condition{} }

// single is the match of one field against one value.
func single(f field, v value, not bool) *condition {
	return &condition{fields: []field{f}, elements: []element{{v}}, not: not}
}

type truth int

const (
	no truth = iota
	maybe
	yes
)

// A reading is what is known of a field of the packets that are asked about.
type reading struct {
	absent, source bool
	numbers        spans
	isWord         bool
	word           word
	named          bool
	name           string // of an interface
	nameless       bool   // the interface is not known
	why            string // for want of what the answer is not known
}

func (v value) compare(r reading) truth {
	switch {
	case v.anything:
		return yes
	case r.named:
		return compareNames(v.names, r)
	case r.isWord:
		if t := compareBits(v.bits, r.word); t != no || len(v.numbers) == 0 {
			return t
		}
	}
	return v.numbers.compare(r.numbers)
}

func compareBits(bits uint32, w word) truth {
	switch {
	case w.value&w.known&bits != 0:
		return yes
	case bits&^w.known == 0:
		return no
	}
	return maybe
}

func compareNames(patterns []string, r reading) truth {
	result := no
	for _, p := range patterns {
		prefix, wild := strings.CutSuffix(p, "*")
		switch {
		case !r.nameless && (p == r.name || wild && strings.HasPrefix(r.name, prefix)), wild && prefix == "":
			return yes
		case r.nameless && p != "lo":
			result = maybe
		}
	}
	return result
}

func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
