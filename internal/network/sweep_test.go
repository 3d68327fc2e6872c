package network

import (
	"math/rand"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Whole rows say of each pair what is said when it is asked about alone.
func TestSweepAgainstPairs(t *testing.T) {
	for seed := range int64(150) {
		r := rand.New(rand.NewSource(seed))
		g := world(random(r, int(seed)%7)).Graph
		s, all := g.NewSweep(), g.Endpoints()
		expand := func(row []reach.Stretch) map[int]reach.Connection {
			found := map[int]reach.Connection{}
			for _, part := range row {
				for id := part.First; id < part.End; id++ {
					found[id] = s.Outcome(part.Outcome)
				}
			}
			return found
		}
		same := func(row map[int]reach.Connection, id int, src, dst *reach.Endpoint) {
			want, got := g.Between(src, dst), row[id]
			if !got.Ports.Equal(want.Ports) || !got.Unknown.Equal(want.Unknown) || got.Limited != want.Limited {
				t.Fatalf("seed %d: %d => %d: %s and %s, want %s and %s", seed, src.ID, dst.ID, got.Ports, got.Unknown, want.Ports, want.Unknown)
			}
		}
		for _, i := range r.Perm(len(all)) {
			one := all[i]
			if one.Kind == netpol.OfWorld {
				continue
			}
			to := expand(s.From(one))
			for _, dst := range all {
				same(to, dst.ID, one, dst)
			}
			from := expand(s.FromOutside(one))
			for _, src := range g.World() {
				same(from, src.ID, src, one)
			}
		}
	}
}
