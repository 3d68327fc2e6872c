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
	c := g.weighed(p).connection()
	c.Src, c.Dst = src, dst
	return c
}

// weighed is what both ends together make of a connection.
func (g *Graph) weighed(p pair) verdict {
	four := g.verdicts[p.egress[ipv4]].and(g.verdicts[p.ingress[ipv4]])
	six := g.verdicts[p.egress[ipv6]].and(g.verdicts[p.ingress[ipv6]])
	return p.families.either(four, six)
}

// connection is a verdict as those see it who ask.
func (v verdict) connection() Connection {
	return Connection{Ports: v.allowed, Unknown: v.unknown, Limited: !v.limited.Empty()}
}

// Connections yields every pair of endpoints with something allowed or unknown, by
// source and destination. Pairs of two endpoints outside the cluster are left out.
func (g *Graph) Connections() iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		s := g.NewSweep()
		for _, src := range g.endpoints {
			for _, part := range s.From(src) {
				c := s.Outcome(part.Outcome)
				c.Src = src
				for _, c.Dst = range g.endpoints[part.First:part.End] {
					if !yield(c) {
						return
					}
				}
			}
		}
	}
}

// nothing reports whether all ports are surely denied.
func (v verdict) nothing() bool { return v.allowed.Empty() && v.unknown.Empty() }
