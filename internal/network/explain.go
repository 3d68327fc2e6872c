package network

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
	"github.com/gabion-k8s/gabion/internal/report"
)

// An Explanation says how one question is decided. It has the answer about the ends
// that decide the question first; where the question is about several, such as all
// addresses of the internet, Answers has those that differ.
type Explanation struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Question is what was asked, as it was typed.
	Question Question `json:"question"`
	Answer
	Answers  []Answer       `json:"answers,omitempty"`
	Warnings []string       `json:"warnings"`
	Gaps     []evidence.Gap `json:"gaps"`
}

// A Question is what was asked.
type Question struct {
	Src  string `json:"src"`
	Dst  string `json:"dst"`
	Port string `json:"port,omitempty"`
}

// An Answer is how one connection is decided.
type Answer struct {
	Src Peer `json:"src"`
	Dst Peer `json:"dst"`
	// Allowed is set when all that was asked about is allowed or, in a question without
	// a port, something is.
	Allowed bool `json:"allowed"`
	// Unknown is why the answer is not certain, "" when it is. Allowed is then unset, but
	// where other ports are certainly allowed.
	Unknown string `json:"unknown"`
	// AllowedPorts, DeniedPorts and UnknownPorts are what became of the ports that were
	// asked about. All ports of a protocol are one entry without a port; no list stands
	// for all ports here.
	AllowedPorts []Port `json:"allowedPorts"`
	DeniedPorts  []Port `json:"deniedPorts"`
	UnknownPorts []Port `json:"unknownPorts"`
	// Limited is set when some of the allowed ports are open for certain requests only.
	Limited bool   `json:"limited,omitempty"`
	Steps   []Step `json:"steps"`
	// Others are further ends with this very answer.
	OtherSrc []Peer `json:"otherSrc,omitempty"`
	OtherDst []Peer `json:"otherDst,omitempty"`

	src, dst string // as people read them
	ports    [3]ports.Set
}

// A Step is one rule, or one default, that had a say.
type Step struct {
	// Direction is egress, about who opens the connection, or ingress, about who accepts it.
	Direction string `json:"direction"`
	Allowed   bool   `json:"allowed"`
	// DecidedBy is nil where no policy decides.
	DecidedBy *PolicyRule `json:"decidedBy"`
	// Action is allow, deny or pass; Tier is where the policy is asked, Layer the
	// network or the mesh.
	Action string `json:"action"`
	Tier   string `json:"tier,omitempty"`
	Layer  string `json:"layer,omitempty"`
	// Ports are those that the step decides; none for a policy that is about the peer and
	// has no rule that matches.
	Ports []Port `json:"ports"`
	// Unknown is why the step may or may not apply.
	Unknown string `json:"unknown,omitempty"`
	// Limits is what an allowed connection is restricted to.
	Limits string `json:"limits,omitempty"`
	// Why says what decides where no policy does.
	Why string `json:"why,omitempty"`

	set ports.Set
}

// explicit writes a set with an entry for each protocol.
func explicit(set ports.Set) []Port {
	list := []Port{}
	for _, r := range set.Ranges() {
		one := portList(ports.Of(r.Protocol, r.First, r.Last))
		list = append(list, one...)
	}
	return list
}

// Explain answers a question about two targets.
func (w *World) Explain(src, dst *Target, port *PortQuestion) *Explanation {
	x := &Explanation{APIVersion: APIVersion, Kind: ExplanationKind, Question: Question{src.Text, dst.Text, port.String()},
		Warnings: []string{}, Gaps: []evidence.Gap{}}
	var answers []*answer
	for _, from := range src.Endpoints {
		for _, to := range dst.Endpoints {
			asked := dst.asked(to, port)
			if asked.Empty() {
				x.Warnings = append(x.Warnings, fmt.Sprintf("%s has no port %s", dst.Text, port))
				continue
			}
			answers = collect(answers, from, to, w.Graph.Explain(from, to, asked), asked)
		}
	}
	outside := newOutside(w.Graph.Endpoints())
	for _, a := range answers {
		x.Answers = append(x.Answers, a.document(w, outside, src, dst, port))
	}
	for i := range x.Answers {
		if better(&x.Answers[i], &x.Answers[0]) {
			x.Answers[0], x.Answers[i] = x.Answers[i], x.Answers[0]
		}
	}
	if len(x.Answers) > 0 {
		x.Answer = x.Answers[0]
	}
	if len(x.Answers) == 1 {
		x.Answers = nil
	}
	for _, t := range []*Target{src, dst} {
		if t.Unknown != "" && x.Unknown == "" {
			x.Unknown = t.Unknown
		}
	}
	return x
}

// better reports whether an answer says more of what is open: what is allowed, then
// what may be.
func better(a, b *Answer) bool {
	if a.Allowed != b.Allowed {
		return a.Allowed
	}
	return a.Unknown != "" && b.Unknown == "" && !b.Allowed
}

// An answer is one explanation that holds for several pairs of ends.
type answer struct {
	reach.Explanation
	asked    ports.Set
	from, to []*reach.Endpoint
}

// collect puts an explanation to those that say the same in the same way.
func collect(list []*answer, from, to *reach.Endpoint, x reach.Explanation, asked ports.Set) []*answer {
	for _, a := range list {
		if a.asked.Equal(asked) && sameAnswer(&a.Explanation, &x) {
			a.from, a.to = appendNew(a.from, from), appendNew(a.to, to)
			return list
		}
	}
	return append(list, &answer{x, asked, []*reach.Endpoint{from}, []*reach.Endpoint{to}})
}

func appendNew(list []*reach.Endpoint, e *reach.Endpoint) []*reach.Endpoint {
	for _, have := range list {
		if have == e {
			return list
		}
	}
	return append(list, e)
}

func sameAnswer(a, b *reach.Explanation) bool {
	if !a.Allowed.Equal(b.Allowed) || !a.Denied.Equal(b.Denied) || len(a.Steps) != len(b.Steps) {
		return false
	}
	for i := range a.Steps {
		s, t := &a.Steps[i], &b.Steps[i]
		if s.Policy != t.Policy || s.Rule != t.Rule || s.Unknown != t.Unknown || !s.Ports.Equal(t.Ports) {
			return false
		}
	}
	return true
}

func (a *answer) document(w *World, o outside, src, dst *Target, port *PortQuestion) Answer {
	out := Answer{
		AllowedPorts: explicit(a.Allowed), DeniedPorts: explicit(a.Denied), UnknownPorts: explicit(a.Unknown),
		Limited: !a.Limited.Empty(), ports: [3]ports.Set{a.Allowed, a.Denied, a.Unknown}, Steps: []Step{},
	}
	out.Allowed = !a.Allowed.Empty() && (port == nil || a.Allowed.Covers(a.asked))
	if !a.Unknown.Empty() {
		out.Unknown = reasonOf(a.Explanation)
	}
	for i := range a.Steps {
		out.Steps = append(out.Steps, stepDocument(&a.Steps[i]))
	}
	out.Src, out.OtherSrc, out.src = w.ends(o, a.from, src)
	out.Dst, out.OtherDst, out.dst = w.ends(o, a.to, dst)
	return out
}

// ends are the peers of an answer at one end, and what they are called.
func (w *World) ends(o outside, list []*reach.Endpoint, t *Target) (first Peer, others []Peer, text string) {
	var set cidr.Set
	var sides []side
	for _, e := range list {
		if unnamed(e) {
			set = set.Union(e.Addresses)
		} else {
			sides = append(sides, side{endpoint: e})
		}
	}
	if !set.Empty() {
		set = o.merged(set, func(*reach.Endpoint) bool { return false })
		if !t.Within.Empty() {
			set = set.Intersect(t.Within)
		}
		sides = append(sides, side{outside: set})
	}
	var peers []Peer
	var texts []string
	all := &whole{World: w}
	for _, s := range sides {
		for p := range w.peers(s) {
			if t.names(p) {
				peers = append(peers, p)
			}
		}
		for _, p := range all.places(s, t) {
			texts = append(texts, p.text)
		}
	}
	if len(peers) == 0 {
		return first, nil, t.Text
	}
	return peers[0], peers[1:], strings.Join(texts, ", ")
}

func stepDocument(s *reach.Step) Step {
	out := Step{Direction: s.Direction.String(), Allowed: s.Action == netpol.Allow && s.Unknown == "", Action: s.Action.String(),
		DecidedBy: policyRule(s.Policy, s.Rule), Ports: explicit(s.Ports), Unknown: s.Unknown, Limits: s.Limits, Why: s.Why, set: s.Ports}
	if s.Policy != nil {
		out.Tier, out.Layer = s.Policy.Tier.Name, "network"
		if s.Policy.Tier.Layer == netpol.Mesh {
			out.Layer = "mesh"
		}
	}
	return out
}

// WriteExplanation writes an explanation for people.
func WriteExplanation(w io.Writer, x *Explanation) error {
	b := bufio.NewWriter(w)
	answers := x.Answers
	if len(answers) == 0 && x.src != "" {
		answers = []Answer{x.Answer}
	}
	for i := range answers {
		if i > 0 {
			b.WriteByte('\n')
		}
		answers[i].write(b, x.Question.Port)
	}
	return b.Flush()
}

func (a *Answer) write(b *bufio.Writer, port string) {
	head := fmt.Sprintf("%s => %s", report.Printable(a.src), report.Printable(a.dst))
	fmt.Fprintf(b, "%s\n", head)
	for i, what := range []string{"allowed", "denied", "not known"} {
		if set := a.ports[i]; !set.Empty() {
			fmt.Fprintf(b, "  %s: %s\n", what, setText(set))
		}
	}
	if a.Unknown != "" {
		writeWords(b, "      because ", a.Unknown)
	}
	direction := ""
	for i := range a.Steps {
		s := &a.Steps[i]
		if s.DecidedBy == nil && s.Unknown == "" && !a.isPod(s.Direction) {
			continue // nobody expects policies there
		}
		if s.Direction != direction {
			direction = s.Direction
			whose := a.src
			if direction == netpol.Ingress.String() {
				whose = a.dst
			}
			fmt.Fprintf(b, "\n  %s of %s\n", direction, report.Printable(whose))
		}
		s.write(b)
	}
}

// isPod reports whether a direction is about pods.
func (a *Answer) isPod(direction string) bool {
	if direction == netpol.Ingress.String() {
		return a.Dst.Namespace != ""
	}
	return a.Src.Namespace != ""
}

// setText is a set of ports, in words where it is everything.
func setText(set ports.Set) string {
	if set.Equal(ports.All()) {
		return "all ports"
	}
	return portWords(set)
}

func (s *Step) write(b *bufio.Writer) {
	if s.DecidedBy == nil {
		what := s.Action + " " + setText(s.set)
		if s.Unknown != "" {
			what = "may " + what
		}
		writeWords(b, "    "+what+": ", s.Why+s.Unknown)
		return
	}
	by := s.DecidedBy
	what := ""
	switch {
	case s.set.Empty() && by.Rule == nil:
		what = "has no rule that matches"
	case by.Rule == nil:
		what = fmt.Sprintf("%s %s, since it isolates and no rule matches", s.Action, setText(s.set))
	default:
		what = fmt.Sprintf("%s %s, by rule %d", s.Action, setText(s.set), *by.Rule)
	}
	if s.Unknown != "" {
		what = "perhaps: " + what
	}
	place := ""
	if by.File != "" {
		place = fmt.Sprintf("  %s:%d", by.File, by.Line)
	}
	fmt.Fprintf(b, "    %s%s\n", report.Printable(by.object()), report.Printable(place))
	fmt.Fprintf(b, "        %s\n", what)
	for _, more := range []struct{ lead, text string }{{"only ", s.Limits}, {"not known: ", s.Unknown}} {
		if more.text != "" {
			writeWords(b, "        "+more.lead, more.text)
		}
	}
}

// Doubt makes all answers uncertain, for a reason that none of them knows.
func (x *Explanation) Doubt(why string) {
	doubt := func(a *Answer) {
		if a.Unknown == "" {
			a.Unknown = why
		}
		set := a.ports[0].Union(a.ports[1]).Union(a.ports[2])
		a.ports = [3]ports.Set{2: set}
		a.Allowed, a.AllowedPorts, a.DeniedPorts, a.UnknownPorts = false, []Port{}, []Port{}, explicit(set)
	}
	doubt(&x.Answer)
	for i := range x.Answers {
		doubt(&x.Answers[i])
	}
}

// Uncertain reports whether some answer is not known.
func (x *Explanation) Uncertain() bool {
	if x.Unknown != "" {
		return true
	}
	for i := range x.Answers {
		if x.Answers[i].Unknown != "" {
			return true
		}
	}
	return false
}
