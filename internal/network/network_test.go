package network

import (
	"bytes"
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// random makes a small cluster: two namespaces, a few workloads and policies.
func random(r *rand.Rand, policies int) *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	for _, ns := range []string{"a", "b"} {
		snap.Add(&evidence.Ref{Kind: "Namespace", Name: ns}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
		for i := range 3 {
			ref := &evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: ns, Name: fmt.Sprintf("w%d", i)}
			meta := metav1.ObjectMeta{Labels: map[string]string{"app": fmt.Sprint(i)}}
			if i == 2 && ns == "b" {
				meta.Labels["app"] = "1" // two that no policy tells apart
			}
			w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &meta, &corev1.PodSpec{HostNetwork: i == 0 && ns == "b"})
			snap.Add(ref, []*evidence.Workload{w})
		}
	}
	for i := range policies {
		ns := []string{"a", "b"}[r.Intn(2)]
		snap.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: ns, Name: fmt.Sprintf("p%d", i)},
			&networkingv1.NetworkPolicy{Spec: randomPolicy(r)})
	}
	return snap
}

func randomPolicy(r *rand.Rand) (spec networkingv1.NetworkPolicySpec) {
	selector := func() *metav1.LabelSelector {
		if r.Intn(3) == 0 {
			return &metav1.LabelSelector{}
		}
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(r.Intn(3))}}
	}
	peers := func() []networkingv1.NetworkPolicyPeer {
		switch r.Intn(4) {
		case 0:
			return nil
		case 1:
			return []networkingv1.NetworkPolicyPeer{{PodSelector: selector()}}
		case 2:
			return []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: selector()}}
		}
		block := &networkingv1.IPBlock{CIDR: []string{"0.0.0.0/0", "::/0", "203.0.113.0/24", "203.0.0.0/8"}[r.Intn(4)]}
		if block.CIDR == "0.0.0.0/0" && r.Intn(2) == 0 {
			block.Except = []string{"169.254.169.254/32"}
		}
		return []networkingv1.NetworkPolicyPeer{{IPBlock: block}}
	}
	spec.PodSelector = *selector()
	for range 1 + r.Intn(2) {
		port := []networkingv1.NetworkPolicyPort(nil)
		if r.Intn(2) == 0 {
			port = []networkingv1.NetworkPolicyPort{{}}
		}
		if r.Intn(2) == 0 {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeIngress)
			spec.Ingress = append(spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers(), Ports: port})
		} else {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
			spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers(), Ports: port})
		}
	}
	return spec
}

func world(snap *evidence.Snapshot) *World { return NewWorld(snap, reach.Options{}, "") }

// Every row is what Explain says of its ends, and every pair that is allowed has one.
func TestRowsAreExplained(t *testing.T) {
	for seed := range int64(150) {
		w := world(random(rand.New(rand.NewSource(seed)), 4))
		c := &Connectivity{Worlds: []*World{w}}
		listed := map[string]bool{}
		for row := range c.Connections() {
			listed[row.Src.String()+row.Dst.String()] = true
			x := w.Explain(target(t, w, row.Src), target(t, w, row.Dst), nil)
			for _, a := range answersOf(x) {
				if !a.ports[0].Covers(row.set) {
					t.Fatalf("seed %d: %s => %s : %s is listed, and explained as %s", seed, row.Src, row.Dst, row.set, a.ports[0])
				}
			}
		}
		for row := range c.Unknown() {
			x := w.Explain(target(t, w, row.Src), target(t, w, row.Dst), nil)
			if row.Reason == "" || !slices.ContainsFunc(answersOf(x), func(a Answer) bool { return a.ports[2].Covers(row.set) }) {
				t.Fatalf("seed %d: %s => %s : %s is not known, %q, and explained otherwise", seed, row.Src, row.Dst, row.set, row.Reason)
			}
		}
		for _, src := range w.Graph.Endpoints() {
			for _, dst := range w.Graph.Endpoints() {
				if len(src.Workloads) == 0 || len(dst.Workloads) == 0 || w.Graph.Between(src, dst).Ports.Empty() {
					continue
				}
				for _, one := range w.workloadPeers(src) {
					for _, other := range w.workloadPeers(dst) {
						if !listed[one.String()+other.String()] {
							t.Fatalf("seed %d: %s => %s is not listed", seed, one, other)
						}
					}
				}
			}
		}
	}
}

func answersOf(x *Explanation) []Answer {
	if len(x.Answers) > 0 {
		return x.Answers
	}
	return []Answer{x.Answer}
}

func target(t *testing.T, w *World, p Peer) *Target {
	t.Helper()
	text := p.CIDR
	switch {
	case p.CIDR != "":
	case p.Kind == APIServerKind:
		text = APIServer
	case p.Namespace == "":
		text = p.Name
	default:
		text = p.Namespace + "/" + p.Kind + "/" + p.Name
	}
	found, err := w.Find(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What stands together on a line is each of the rows, and nothing else.
func TestLinesAreRows(t *testing.T) {
	for seed := range int64(300) {
		w := world(random(rand.New(rand.NewSource(seed)), int(seed)%6))
		c := &Connectivity{Worlds: []*World{w}}
		all := newWhole(w)
		rows, lines := map[string]string{}, map[string]string{}
		for row := range c.Connections() {
			for _, src := range spellings(row.Src) {
				for _, dst := range spellings(row.Dst) {
					rows[src+" => "+dst] = row.set.String()
				}
			}
		}
		for l := range c.lines() {
			for _, src := range expand(all, l.src) {
				for _, dst := range expand(all, l.dst) {
					if len(w.Snap.Workloads) == 0 || isOther(src) && isOther(dst) {
						continue
					}
					lines[src+" => "+dst] = l.ports.String()
				}
			}
		}
		for pair, set := range rows {
			if lines[pair] != set {
				t.Fatalf("seed %d: %s : %s is on no line: %q", seed, pair, set, lines[pair])
			}
		}
		for pair, set := range lines {
			if rows[pair] != set {
				t.Fatalf("seed %d: %s : %s is no row: %q", seed, pair, set, rows[pair])
			}
		}
	}
}

// probes are addresses by which ranges are told apart.
var probes = []string{"203.0.113.1", "203.1.1.1", "8.8.8.8", "2001:db8::1"}

// spellings are a peer as lines are expanded to: a range is the probes in it.
func spellings(p Peer) (list []string) {
	if p.Range == metadataName {
		if p.CIDR == "169.254.169.254/32" {
			return []string{metadataName}
		}
		return nil
	}
	if p.CIDR == "" {
		return []string{p.String()}
	}
	for _, probe := range probes {
		if netip.MustParsePrefix(p.CIDR).Contains(netip.MustParseAddr(probe)) {
			list = append(list, probe)
		}
	}
	return list
}

func isOther(text string) bool { return !strings.Contains(text, "/Deployment/") }

// expand spells out what a place stands for.
func expand(all *whole, p place) (list []string) {
	workloads := func(ns string) {
		for _, e := range all.Graph.Endpoints() {
			for _, one := range all.workloadPeers(e) {
				if ns == "" || one.Namespace == ns {
					list = append(list, one.String())
				}
			}
		}
	}
	others := func() { list = append(append(list, everyNode, "API server", metadataName), probes...) }
	switch {
	case p.text == everything:
		workloads("")
		others()
	case p.text == butPods:
		others()
	case p.text == everyPod:
		workloads("")
	case strings.HasSuffix(p.text, "/*"):
		workloads(strings.TrimSuffix(p.text, "/*"))
	case strings.HasPrefix(p.text, metadataName):
		if p.text == metadataName || strings.Contains(p.text, "169.254.169.254") {
			list = append(list, metadataName)
		}
	case strings.HasPrefix(p.text, anyOutside):
		_, except, _ := strings.Cut(p.text, " except ")
		out, _ := cidr.Parse(strings.FieldsFunc(except, func(r rune) bool { return r == ',' })...)
		for _, probe := range probes {
			if !out.Contains(netip.MustParseAddr(probe)) {
				list = append(list, probe)
			}
		}
	case isOther(p.text) && strings.ContainsAny(p.text, ".:"):
		in := cidr.Set{}
		for _, part := range strings.Split(p.text, ", ") {
			base, except, _ := strings.Cut(part, " except ")
			set, _ := cidr.Parse(base)
			out, _ := cidr.Parse(except)
			in = in.Union(set).Minus(out)
		}
		for _, probe := range probes {
			if in.Contains(netip.MustParseAddr(probe)) {
				list = append(list, probe)
			}
		}
	default:
		list = append(list, p.text)
	}
	return list
}

// A change is what both graphs say of each pair.
func TestCompareAgainstBothGraphs(t *testing.T) {
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		old, now := world(random(r, 3)), world(random(r, 3))
		if d := Compare(old, old, Filter{}); len(d.Opened)+len(d.Closed)+len(d.MayOpen)+len(d.MayClose) > 0 {
			t.Fatalf("seed %d: no change opens or closes something", seed)
		}
		d := Compare(old, now, Filter{})
		sum := func(rows []Connection, src, dst Peer) (set ports.Set) {
			for _, row := range rows {
				if row.Src == src && row.Dst == dst {
					set = set.Union(row.set)
				}
			}
			return set
		}
		for i, from := range now.Snap.Workloads {
			for j, to := range now.Snap.Workloads {
				was := old.Graph.Between(old.Graph.Of(old.Snap.Workloads[i]), old.Graph.Of(old.Snap.Workloads[j]))
				is := now.Graph.Between(now.Graph.Of(from), now.Graph.Of(to))
				src, dst := now.workloadPeer(from), now.workloadPeer(to)
				possible, still := was.Ports.Union(was.Unknown), is.Ports.Union(is.Unknown)
				for _, check := range []struct {
					name      string
					got, want ports.Set
				}{
					{"opened", sum(d.Opened, src, dst), is.Ports.Minus(possible)},
					{"closed", sum(d.Closed, src, dst), was.Ports.Minus(still)},
					{"may open", sum(d.MayOpen, src, dst), is.Ports.Union(is.Unknown).Minus(was.Ports).Minus(is.Ports.Minus(possible)).Minus(is.Unknown.Intersect(was.Unknown))},
				} {
					if !check.got.Equal(check.want) {
						t.Fatalf("seed %d: %s => %s %s %s, want %s", seed, src, dst, check.name, check.got, check.want)
					}
				}
			}
		}
		for _, format := range []func() error{
			func() error { return WriteDiff(new(bytes.Buffer), d) },
			func() error { return WriteDiffMarkdown(new(bytes.Buffer), d) },
		} {
			if err := format(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What is only in the new state had no connections; the outside is compared by address.
func TestCompareNewAndOutside(t *testing.T) {
	old := random(rand.New(rand.NewSource(1)), 0)
	now := random(rand.New(rand.NewSource(1)), 0)
	now.Add(&evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "a", Name: "new"},
		[]*evidence.Workload{evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &metav1.ObjectMeta{}, &corev1.PodSpec{})})
	now.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: "a", Name: "p"}, &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "1"}}, PolicyTypes: []networkingv1.PolicyType{"Egress"},
		Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"203.0.113.0/24"}}}}}}}})
	var out bytes.Buffer
	if err := WriteDiff(&out, Compare(world(old), world(now), Filter{Ports: ports.Of(ports.TCP, 443, 443)})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a/Deployment/new", "- a/Deployment/w1\n", "203.0.113.0/24, ::/0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// A merged set holds all of the part and of the rest only what belongs to nobody.
func TestMerged(t *testing.T) {
	parse := func(list ...string) cidr.Set {
		set, err := cidr.Parse(list...)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	rest := cidr.All().Minus(parse("10.0.0.0/8", "203.0.113.0/24", "169.254.169.254"))
	endpoints := []*reach.Endpoint{
		{Kind: netpol.OfWorld, Addresses: rest}, {Kind: netpol.OfWorld, Addresses: parse("203.0.113.0/24")},
		{Kind: netpol.OfWorld, Name: metadataName, Addresses: parse("169.254.169.254")},
	}
	o := newOutside(endpoints)
	for _, test := range []struct {
		part cidr.Set
		same bool
		want string
	}{
		{rest, true, anyOutside + " except 203.0.113.0/24"},
		{rest, false, anyOutside + " except 169.254.169.254, 203.0.113.0/24"},
		{rest.Union(parse("203.0.113.0/24")), true, anyOutside},
		{rest.Union(parse("203.0.113.0/24")), false, anyOutside + " except 169.254.169.254"},
		{parse("203.0.113.0/24"), true, "203.0.113.0/24"},
	} {
		got := o.merged(test.part, func(*reach.Endpoint) bool { return test.same })
		text := outsideText(got)
		if text != test.want {
			t.Errorf("got %s, want %s", text, test.want)
		}
		if !got.Covers(test.part) {
			t.Errorf("%s lacks some of its part", text)
		}
	}
}

func FuzzParsePort(f *testing.F) {
	for _, seed := range []string{"TCP/80", "udp", "443", "SCTP/65536", "ICMP/1", "ICMPv6", "/", "TCP/-1", "tcp/0080"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParsePort(text)
		if err != nil {
			return
		}
		again, err := ParsePort(q.String())
		if err != nil || *again != *q || q.Set().Empty() {
			t.Errorf("%q: %v is read again as %v, %v", text, q, again, err)
		}
	})
}

// Whatever is asked about, and whatever the objects are called, nothing panics, and no
// format hands on a control character.
func FuzzFind(f *testing.F) {
	for _, seed := range []string{"a/w1", "a/Deployment/w1", "internet", "metadata", "api-server", "nodes", "Node/nodes", "10.0.0.1", "::/0", "a//b", "a/b/c/d", "\x1b[31m", "é"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		snap := random(rand.New(rand.NewSource(int64(len(text)))), 3)
		for _, w := range snap.Workloads[:2] {
			w.Name, w.Namespace = name, name
		}
		w := world(snap)
		found, err := w.Find(text, "a")
		if err == nil && len(found.Endpoints) == 0 {
			t.Errorf("%q means nothing and is no error", text)
		}
		var out bytes.Buffer
		c := &Connectivity{Worlds: []*World{w}}
		if err == nil {
			c.Filter.From = []*Target{found}
			if err := WriteExplanation(&out, w.Explain(found, found, nil)); err != nil {
				t.Fatal(err)
			}
		}
		for _, write := range []func() error{
			func() error { return WriteText(&out, c) }, func() error { return WriteJSON(&out, c) }, func() error { return WriteYAML(&out, c) },
			func() error { return WriteMarkdown(&out, c) }, func() error { return WriteDot(&out, c) }, func() error { return WriteMermaid(&out, c) },
			func() error { return WriteExposure(&out, Expose(c.Worlds, Filter{})) },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }); i >= 0 {
			t.Errorf("a control character in %q", out.Bytes()[max(0, i-20):i+1])
		}
	})
}

// linesOf are the lines from a/w0 under a Cilium policy about it, with a range that is
// called lab.
func linesOf(t *testing.T, spec string) (list []string) {
	t.Helper()
	snap := random(rand.New(rand.NewSource(1)), 0)
	snap.Add(&evidence.Ref{APIVersion: "cilium.io/v2", Kind: "CiliumNetworkPolicy", Namespace: "a", Name: "p"},
		&evidence.Custom{JSON: []byte(`{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p", "namespace": "a"}, "spec": {"endpointSelector": {"matchLabels": {"app": "0"}}, ` + spec + `}}`)})
	lab, err := cidr.Parse("203.0.113.0/24")
	if err != nil {
		t.Fatal(err)
	}
	w := NewWorld(snap, reach.Options{Ranges: map[string]cidr.Set{"lab": lab}}, "")
	for l := range (&Connectivity{Worlds: []*World{w}}).lines() {
		if l.src.text == "a/Deployment/w0" {
			list = append(list, l.dst.text+" : "+l.portText)
		}
	}
	return list
}

// Everything is all that there is: not all but the API server, nor all but a part of a
// range with a name. Addresses that differ only in what is not known are one.
func TestLinesOfWholes(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"all":           {`"egress": [{"toEntities": ["world", "host", "remote-node", "kube-apiserver"]}]`, []string{"b/Deployment/w0 : all", "everything but pods : all"}},
		"no API server": {`"egress": [{"toEntities": ["world", "host", "remote-node"]}]`, []string{"b/Deployment/w0 : all", "every node : all", "cloud metadata : all", "lab (203.0.113.0/24) : all", "any address outside : all"}},
		"part of a range": {`"egress": [{"toEntities": ["world", "host", "remote-node", "kube-apiserver"]}], "egressDeny": [{"toCIDR": ["203.0.113.0/25"]}]`,
			[]string{"b/Deployment/w0 : all", "every node : all", "cloud metadata : all", "lab (203.0.113.128/25) : all", "any address outside except 203.0.113.0/25 : all", "API server : ICMPv6"}},
		"not known of a part": {`"egress": [{"toCIDR": ["0.0.0.0/0"], "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}, {"toCIDRSet": [{"cidrGroupRef": "unread"}], "toPorts": [{"ports": [{"port": "53", "protocol": "UDP"}]}]}], "egressDeny": [{"toCIDR": ["203.0.113.0/25"], "toPorts": [{"ports": [{"port": "53", "protocol": "UDP"}]}]}]`,
			[]string{"cloud metadata (100.100.100.200, 168.63.129.16, 169.254.169.254 and 3 more ranges) : TCP 80", "lab (203.0.113.0/24) : TCP 80", "0.0.0.0/0 : TCP 80"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, linesOf(t, test.spec)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
