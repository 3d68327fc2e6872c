package reach

import (
	"encoding/binary"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A task is one program that is to be run: for a chain of policies and a subject that
// stands for all that have it, in a family.
type task struct {
	chain   int32
	family  family
	subject *member
}

// runPrograms evaluates every program of a direction once, and numbers its verdicts
// together with those that are known.
func (g *Graph) runPrograms(d netpol.Direction, known map[string]int32) {
	dir := g.directions[d]
	dir.mark()
	var tasks []task
	byKey := map[string]int32{}
	for f := range dir.programOf {
		dir.programOf[f] = make([]int32, len(g.endpoints))
		for i, m := range g.universe.members {
			t := task{dir.chainOf[f][i], family(f), m}
			key := t.key(dir.chains[t.chain])
			id, there := byKey[key]
			if !there {
				id = int32(len(tasks))
				byKey[key] = id
				tasks = append(tasks, t)
			}
			dir.programOf[f][i] = id
		}
	}
	dir.programs = make([][]run, len(tasks))
	var mu sync.Mutex
	intern := func(v verdict) int32 {
		mu.Lock()
		defer mu.Unlock()
		key := v.key()
		id, there := known[key]
		if !there {
			id = int32(len(g.verdicts))
			g.verdicts = append(g.verdicts, v)
			known[key] = id
		}
		return id
	}
	share(len(tasks), func() func(int) {
		m := &machine{}
		return func(i int) {
			m.family = tasks[i].family
			m.run(g, d, g.stages(tasks[i].chain, d, tasks[i].subject), tasks[i].subject.Kind)
			dir.programs[i] = m.runs(intern)
		}
	})
}

// key is the same for tasks with the same outcome. The names of the subject's ports
// count where a rule asks for them, and the family where it makes a difference.
func (t task) key(c chain) string {
	key := append(binary.AppendUvarint(nil, uint64(t.chain)), byte(t.subject.Kind))
	if c.twofold {
		key = append(key, byte(t.family))
	}
	if c.named {
		key = append(key, t.subject.portsUnknown...)
		for _, p := range t.subject.ports {
			key = append(key, 0, byte(p.Protocol), byte(p.number>>8), byte(p.number))
			key = append(binary.AppendUvarint(key, uint64(len(p.Name))), p.Name...)
		}
	}
	return string(key)
}

// share does n pieces of work on all processors, each of which has a worker of its own.
func share(n int, worker func() func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			work := worker()
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// runs are the verdicts about all peers, by their numbers.
func (m *machine) runs(intern func(verdict) int32) []run {
	var list []run
	of := map[int32]int32{}
	for peer, now := range m.of {
		if peer > 0 && m.of[peer-1] == now {
			continue
		}
		v, known := of[now]
		if !known {
			v = intern(m.states[now].before)
			of[now] = v
		}
		if n := len(list); n == 0 || list[n-1].verdict != v {
			list = append(list, run{int32(peer), v})
		}
	}
	return slices.Clip(list)
}

// verdict is what an endpoint's policies make of a peer.
func (g *Graph) verdict(d netpol.Direction, f family, subject, peer *Endpoint) int32 {
	runs := g.directions[d].programs[g.directions[d].programOf[f][subject.ID]]
	i, found := slices.BinarySearchFunc(runs, int32(peer.ID), func(r run, id int32) int { return int(r.from - id) })
	if !found {
		i--
	}
	return runs[i].verdict
}

// A pair is the numbers of the verdicts about a connection: of the source's egress and
// of the destination's ingress, in each family.
type pair struct {
	egress, ingress [2]int32
	families        families
}

// Between says what src may open to dst: the egress rules of src and the ingress
// rules of dst, in every layer. It is open if it is so over IPv4 or over IPv6. Src and
// dst may be the same: two pods of one kind.
func (g *Graph) Between(src, dst *Endpoint) Connection {
	if src.ID == unread || dst.ID == unread {
		x := g.Explain(src, dst, ports.All())
		return Connection{Src: src, Dst: dst, Ports: x.Allowed, Unknown: x.Unknown, Limited: !x.Limited.Empty()}
	}
	g.weighAll()
	p := pair{families: g.member(src).between(g.member(dst))}
	for _, f := range []family{ipv4, ipv6} {
		p.egress[f], p.ingress[f] = g.verdict(netpol.Egress, f, src, dst), g.verdict(netpol.Ingress, f, dst, src)
	}
	c := g.connection(p)
	c.Src, c.Dst = src, dst
	return c
}

func (g *Graph) connection(p pair) Connection {
	four := g.verdicts[p.egress[ipv4]].and(g.verdicts[p.ingress[ipv4]])
	six := g.verdicts[p.egress[ipv6]].and(g.verdicts[p.ingress[ipv6]])
	v := p.families.either(four, six)
	return Connection{Ports: v.allowed, Unknown: v.unknown, Limited: !v.limited.Empty()}
}

// Connections yields every pair of endpoints with something allowed or unknown, by
// source and destination. Pairs of two endpoints outside the cluster are left out.
func (g *Graph) Connections() iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		g.weighAll()
		ingress := newColumn(g.directions[netpol.Ingress].programs)
		known := map[pair]Connection{}
		for _, src := range g.endpoints {
			ingress.advance(src.ID)
			for c := range g.from(src, ingress, known) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// from yields the connections that a source may open.
func (g *Graph) from(src *Endpoint, ingress *column, known map[pair]Connection) iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		of := g.directions[netpol.Ingress].programOf
		var last pair
		var c Connection
		for start, egress := range g.egress(src) {
			if g.closed[egress[ipv4]] && g.closed[egress[ipv6]] {
				continue
			}
			for _, dst := range g.endpoints[start.from:start.end] {
				p := pair{egress: egress}
				p.ingress[ipv4], p.ingress[ipv6] = ingress.verdicts[of[ipv4][dst.ID]], ingress.verdicts[of[ipv6][dst.ID]]
				if g.closed[p.ingress[ipv4]] && g.closed[p.ingress[ipv6]] || src.Kind == netpol.OfWorld && dst.Kind == netpol.OfWorld {
					continue
				}
				p.families = g.universe.members[src.ID].between(g.universe.members[dst.ID])
				if p != last {
					var there bool
					if c, there = known[p]; !there {
						c = g.connection(p)
						known[p] = c
					}
					last = p
				}
				if c.Ports.Empty() && c.Unknown.Empty() {
					continue
				}
				if c.Src, c.Dst = src, dst; !yield(c) {
					return
				}
			}
		}
	}
}

// A stretch is neighbouring endpoints.
type stretch struct{ from, end int }

// egress yields the stretches of endpoints about which the source has the same verdicts.
func (g *Graph) egress(src *Endpoint) iter.Seq2[stretch, [2]int32] {
	return func(yield func(stretch, [2]int32) bool) {
		out := g.directions[netpol.Egress]
		var runs [2][]run
		for f := range runs {
			runs[f] = out.programs[out.programOf[f][src.ID]]
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

// A column is the verdicts of all programs about one peer.
type column struct {
	programs [][]run
	place    []int // of the peer in the runs
	verdicts []int32
}

func newColumn(programs [][]run) *column {
	c := &column{programs, make([]int, len(programs)), make([]int32, len(programs))}
	for p, runs := range programs {
		c.verdicts[p] = runs[0].verdict
	}
	return c
}

// advance goes on to the next peer.
func (c *column) advance(to int) {
	for p, runs := range c.programs {
		if next := c.place[p] + 1; next < len(runs) && int(runs[next].from) == to {
			c.place[p], c.verdicts[p] = next, runs[next].verdict
		}
	}
}

// nothing reports whether all ports are surely denied.
func (v verdict) nothing() bool { return v.allowed.Empty() && v.unknown.Empty() }
