package netpol

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// TestUpstream weighs random policies in random clusters and compares, for every two
// pods, nodes and addresses outside, and for every port that matters, with what
// kube-network-policies makes of the packet. In an exact world every answer has to
// be known, in a vague one what is known has to be right.
//
// Not compared, since upstream does something else than the API says: AdminNetworkPolicies
// with nodes or ports by name (see adminTo and adminPort); packets of nodes and of
// a pod to itself, which it leaves to the packet filter that calls it. It resolves
// no names here.
//
// Not known to us where upstream has an answer: which pods a block holds that holds a
// part of their range; whether a pod may open what no policy allows to the node it
// runs on; which of two policies of one priority decides; whether a baseline is about
// pods that a NetworkPolicy selects for the other direction only.
func TestUpstream(t *testing.T) {
	for _, f := range []family{networkPolicies, adminPolicies, clusterPolicies} {
		for _, vague := range []bool{false, true} {
			name := map[bool]string{false: "exact", true: "vague"}[vague]
			t.Run(string(f)+"/"+name, func(t *testing.T) {
				t.Parallel()
				var sum tally
				u := newUpstream()
				for seed := range uint64(worlds) {
					d := dice{rand.New(rand.NewPCG(seed, 0x6e7)), vague}
					sum.add(compare(t, u, d.world(f), vague, seed))
					if t.Failed() {
						return
					}
				}
				t.Logf("%d packets: %d allowed, %d denied, %d unknown", sum.allowed+sum.denied+sum.unknown, sum.allowed, sum.denied, sum.unknown)
				if sum.allowed < 10*worlds || sum.denied < 10*worlds || sum.unknown > (sum.allowed+sum.denied)/2 {
					t.Error("the worlds ask too little")
				}
			})
		}
	}
}

// worlds is how many clusters of each family are compared.
const worlds = 350

type tally struct{ allowed, denied, unknown int }

func (s *tally) add(o tally) {
	s.allowed, s.denied, s.unknown = s.allowed+o.allowed, s.denied+o.denied, s.unknown+o.unknown
}

// An end is one end of a packet.
type end struct {
	name, address string
	endpoint      *reach.Endpoint
	node          bool
}

func compare(t *testing.T, u *upstream, w *world, vague bool, seed uint64) (sum tally) {
	t.Helper()
	if err := u.load(w); err != nil {
		t.Fatal(err)
	}
	g, ends := ours(t, w)
	if list := g.Invalid(); len(list) > 0 {
		t.Errorf("seed %d: %s is not valid: %v", seed, list[0].Ref, list[0].Err)
	}
	for _, src := range ends {
		for _, dst := range ends {
			if src.node || src.address == dst.address || src.endpoint.Kind == netpol.OfWorld && dst.endpoint.Kind == netpol.OfWorld {
				continue
			}
			conn := g.Between(src.endpoint, dst.endpoint)
			for _, protocol := range protocols() {
				for _, port := range numbers() {
					p := packet{src, dst, protocol, port}
					want, err := u.allows(w.family, src.address, dst.address, protocol, int(port))
					if err != nil {
						t.Fatal(err)
					}
					got := p.of(conn.Ports)
					switch known := !p.of(conn.Unknown); {
					case !known && (vague || dst.node && !want):
						sum.unknown++
					case !known || got != want:
						t.Errorf("seed %d: %s: upstream says %v, we %v (known: %v)\n%s%s", seed, p, want, got, known, w, explain(g, p))
						return sum
					case got:
						sum.allowed++
					default:
						sum.denied++
					}
				}
			}
		}
	}
	return sum
}

// A packet is what opens a connection.
type packet struct {
	src, dst end
	protocol corev1.Protocol
	port     int32
}

func (p packet) String() string {
	return fmt.Sprintf("%s -> %s %s %d", p.src.name, p.dst.name, p.protocol, p.port)
}

// set is the packet's port.
func (p packet) set() ports.Set {
	for _, protocol := range ports.Protocols() {
		if protocol.String() == string(p.protocol) {
			return ports.Of(protocol, uint16(p.port), uint16(p.port))
		}
	}
	return ports.Set{}
}

// of reports whether the packet's port is in a set.
func (p packet) of(s ports.Set) bool { return s.Covers(p.set()) }

func explain(g *reach.Graph, p packet) string {
	var b strings.Builder
	for _, s := range g.Explain(p.src.endpoint, p.dst.endpoint, p.set()).Steps {
		fmt.Fprintf(&b, "%s %s", s.Direction, s.Action)
		if s.Policy != nil {
			fmt.Fprintf(&b, " by %s", s.Policy.Ref)
		}
		if s.Rule != nil {
			fmt.Fprintf(&b, " %s", s.Rule.Path)
		}
		fmt.Fprintf(&b, " %s\n", s.Unknown)
	}
	return b.String()
}

// String is the world as YAML.
func (w *world) String() string {
	var b strings.Builder
	for _, p := range w.pods {
		fmt.Fprintf(&b, "pod %s %v\n", describe(p), p.Spec.Containers[0].Ports)
	}
	for _, n := range w.namespaces {
		fmt.Fprintf(&b, "namespace %s %v\n", n.Name, n.Labels)
	}
	for _, list := range []any{w.network, w.admin, w.baseline, w.cluster} {
		text, _ := yaml.Marshal(list)
		b.Write(text)
	}
	return b.String()
}

// ours is what Gabion makes of a world, and all that a packet can come from or go to.
func ours(t *testing.T, w *world) (*reach.Graph, []end) {
	t.Helper()
	snap := &evidence.Snapshot{}
	for _, n := range w.namespaces {
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: n.Name, Labels: n.Labels}, n)
	}
	for _, n := range w.nodes {
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: n.Name, Labels: n.Labels}, n)
	}
	var list []*evidence.Workload
	for _, p := range w.pods {
		pod := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &p.ObjectMeta, &p.Spec)
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name}, []*evidence.Workload{pod})
		list = append(list, pod)
	}
	for _, p := range w.network {
		snap.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}, p)
	}
	for _, p := range w.admin {
		custom(t, snap, p.TypeMeta, p.Name, p)
	}
	for _, p := range w.baseline {
		custom(t, snap, p.TypeMeta, p.Name, p)
	}
	for _, p := range w.cluster {
		custom(t, snap, p.TypeMeta, p.Name, p)
	}
	g := reach.NewGraph(snap, reach.Options{Pods: cidr.Of(netip.MustParsePrefix(podRange))})
	var ends []end
	for i, p := range w.pods {
		ends = append(ends, end{describe(p), p.Status.PodIP, g.Of(list[i]), false})
	}
	for i, n := range g.Nodes() {
		ends = append(ends, end{n.Name, w.nodes[i].Status.Addresses[0].Address, n, true})
	}
	for _, a := range outside() {
		for _, e := range g.World() {
			if e.Addresses.Contains(netip.MustParseAddr(a)) {
				ends = append(ends, end{a, a, e, false})
			}
		}
	}
	if want := len(w.pods) + len(w.nodes) + len(outside()); len(ends) != want {
		t.Fatalf("%d ends of packets, want %d", len(ends), want)
	}
	return g, ends
}

func custom(t *testing.T, snap *evidence.Snapshot, m metav1.TypeMeta, name string, object any) {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	snap.Add(&evidence.Ref{APIVersion: m.APIVersion, Kind: m.Kind, Name: name}, &evidence.Custom{JSON: text})
}
