package reach

import (
	"iter"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A Sweep answers for whole rows of connections: all that one endpoint may open, or all
// that may be opened to it. It numbers the answers, of which there are far fewer than
// pairs, so that who asks compares numbers. It is not safe for concurrent use.
type Sweep struct {
	graph *Graph
	// columns are the verdicts of all programs of a direction about one endpoint.
	columns  [2]*column
	known    map[pair]int
	outcomes []Connection
	byKey    map[string]int
	row      []Stretch
}

// A Stretch is neighbouring endpoints, by their IDs, with the same outcome.
type Stretch struct {
	// First is in it, End is not.
	First, End int
	// Outcome is a number for Sweep.Outcome.
	Outcome int
}

// NewSweep weighs all pairs, if nobody has done so.
func (g *Graph) NewSweep() *Sweep {
	g.weighAll()
	s := &Sweep{graph: g, known: map[pair]int{}, byKey: map[string]int{}}
	for d := range s.columns {
		s.columns[d] = newColumn(g.directions[d].programs)
	}
	return s
}

// Outcome is a connection without its ends. Different numbers are different outcomes.
func (s *Sweep) Outcome(number int) Connection { return s.outcomes[number] }

// From are the endpoints to which one may open something, or perhaps, in the order of
// their IDs. Pairs of two endpoints outside the cluster are left out. The list is good
// until the next call.
func (s *Sweep) From(src *Endpoint) []Stretch { return s.around(netpol.Egress, src, 0) }

// FromOutside are the endpoints outside that may open something to one in the cluster,
// like From.
func (s *Sweep) FromOutside(dst *Endpoint) []Stretch {
	return s.around(netpol.Ingress, dst, len(s.graph.endpoints)-len(s.graph.World()))
}

// around asks the policies of one endpoint in a direction, and those of all others from
// an ID on in the other direction.
func (s *Sweep) around(d netpol.Direction, one *Endpoint, first int) []Stretch {
	s.row = s.row[:0]
	opposite := netpol.Ingress + netpol.Egress - d
	column, of := s.columns[opposite], s.graph.directions[opposite].programOf
	column.seek(int32(one.ID))
	var last pair
	outcome := nothing
	for part, own := range s.graph.stretches(d, one) {
		if s.graph.closed[own[ipv4]] && s.graph.closed[own[ipv6]] {
			continue
		}
		for _, peer := range s.graph.endpoints[min(max(part.from, first), part.end):part.end] {
			other := [2]int32{column.verdicts[of[ipv4][peer.ID]], column.verdicts[of[ipv6][peer.ID]]}
			shut := s.graph.closed[other[ipv4]] && s.graph.closed[other[ipv6]]
			if shut || one.Kind == netpol.OfWorld && peer.Kind == netpol.OfWorld {
				continue
			}
			p := pair{egress: own, ingress: other, families: s.families(d, one, peer)}
			if d == netpol.Ingress {
				p.egress, p.ingress = other, own
			}
			if p != last {
				outcome, last = s.outcome(p), p
			}
			if outcome != nothing {
				s.add(peer.ID, outcome)
			}
		}
	}
	return s.row
}

func (s *Sweep) families(d netpol.Direction, one, peer *Endpoint) families {
	a, b := s.graph.universe.members[one.ID], s.graph.universe.members[peer.ID]
	if d == netpol.Ingress {
		a, b = b, a
	}
	return a.between(b)
}

func (s *Sweep) add(id, outcome int) {
	if n := len(s.row); n > 0 && s.row[n-1].End == id && s.row[n-1].Outcome == outcome {
		s.row[n-1].End++
		return
	}
	s.row = append(s.row, Stretch{id, id + 1, outcome})
}

// nothing is the number of connections of which all ports are surely denied.
const nothing = -1

// outcome is the number of what two verdicts make of a connection.
func (s *Sweep) outcome(p pair) int {
	if number, known := s.known[p]; known {
		return number
	}
	number := nothing
	if v := s.graph.weighed(p); !v.nothing() {
		key := v.key()
		known := false
		if number, known = s.byKey[key]; !known {
			number = len(s.outcomes)
			s.outcomes = append(s.outcomes, v.connection())
			s.byKey[key] = number
		}
	}
	s.known[p] = number
	return number
}

// stretches yields the stretches of endpoints about which one has the same verdicts.
func (g *Graph) stretches(d netpol.Direction, one *Endpoint) iter.Seq2[stretch, [2]int32] {
	return func(yield func(stretch, [2]int32) bool) {
		out := g.directions[d]
		var runs [2][]run
		for f := range runs {
			runs[f] = out.programs[out.programOf[f][one.ID]]
		}
		for at := 0; at < len(g.endpoints); {
			end := len(g.endpoints)
			for f := range runs {
				if len(runs[f]) > 1 && int(runs[f][1].from) == at {
					runs[f] = runs[f][1:]
				}
				if len(runs[f]) > 1 {
					end = min(end, int(runs[f][1].from))
				}
			}
			if !yield(stretch{at, end}, [2]int32{runs[ipv4][0].verdict, runs[ipv6][0].verdict}) {
				return
			}
			at = end
		}
	}
}

// A stretch is neighbouring endpoints.
type stretch struct{ from, end int }

// A column is the verdicts of all programs about one peer.
type column struct {
	programs [][]run
	peer     int32
	place    []int // of the peer in the runs
	verdicts []int32
}

func newColumn(programs [][]run) *column {
	c := &column{programs: programs, place: make([]int, len(programs)), verdicts: make([]int32, len(programs))}
	for p, runs := range programs {
		c.verdicts[p] = runs[0].verdict
	}
	return c
}

// seek goes to a peer, which costs least where it is the next one.
func (c *column) seek(to int32) {
	for p, runs := range c.programs {
		place := c.place[p]
		if to < c.peer {
			place = 0
		}
		for place+1 < len(runs) && runs[place+1].from <= to {
			place++
		}
		c.place[p], c.verdicts[p] = place, runs[place].verdict
	}
	c.peer = to
}
