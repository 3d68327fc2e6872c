package reach_test

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// A town is the size and the kind of a generated cluster.
type town struct {
	name                            string
	namespaces, workloads, policies int
	policy                          func(t town, i int) *networkingv1.NetworkPolicySpec
}

func (t town) String() string { return fmt.Sprintf("%s/%d-%d", t.name, t.workloads, t.policies) }

func (t town) snapshot() *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	for i := range t.namespaces {
		name := fmt.Sprintf("team-%d", i)
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: name},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"stage": fmt.Sprint(i % 3)}}})
	}
	for i := range t.workloads {
		name := fmt.Sprintf("app-%d", i/t.namespaces)
		w := evidence.NewWorkload(evidence.NewPath("spec", "template", "spec"), evidence.NewPath("spec", "template", "metadata"),
			&metav1.ObjectMeta{Labels: map[string]string{"app": name, "tier": fmt.Sprint(i / t.namespaces % 4)}},
			&corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "shop/" + name,
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080 + int32(i%3)}}}}})
		snap.Add(&evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i%t.namespaces), Name: name}, []*evidence.Workload{w})
	}
	for i := range t.policies {
		ref := &evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: fmt.Sprintf("team-%d", i%t.namespaces), Name: fmt.Sprintf("policy-%d", i)}
		snap.Add(ref, &networkingv1.NetworkPolicy{Spec: *t.policy(t, i)})
	}
	return snap
}

func selectApp(i int) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}
}

func tcp(port int) []networkingv1.NetworkPolicyPort {
	p := intstr.FromInt(port)
	return []networkingv1.NetworkPolicyPort{{Port: &p}}
}

var bothTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// usual is what teams write: default deny, DNS, and one policy for each app.
func usual(t town, i int) *networkingv1.NetworkPolicySpec {
	dns := networkingv1.NetworkPolicyEgressRule{Ports: tcp(53), To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{
		MatchLabels: map[string]string{corev1.LabelMetadataName: "team-0"}}}}}
	app := i / t.namespaces
	if app == 0 {
		return &networkingv1.NetworkPolicySpec{PolicyTypes: bothTypes, Egress: []networkingv1.NetworkPolicyEgressRule{dns}}
	}
	from, to := selectApp(app-1), selectApp(app+1)
	http := intstr.FromString("http")
	other := metav1.LabelSelector{MatchLabels: map[string]string{"stage": fmt.Sprint(i % 3)}}
	return &networkingv1.NetworkPolicySpec{
		PodSelector: selectApp(app), PolicyTypes: bothTypes,
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &from}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}},
			{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &to, NamespaceSelector: &other}}, Ports: tcp(9090)},
		},
		Egress: []networkingv1.NetworkPolicyEgressRule{
			{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &to}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}},
			{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8", "169.254.169.254/32"}}}}, Ports: tcp(443)},
		},
	}
}

// everywhere is policies that are all about every pod of their namespace, each with
// another port.
func everywhere(_ town, i int) *networkingv1.NetworkPolicySpec {
	return &networkingv1.NetworkPolicySpec{PolicyTypes: bothTypes, Ingress: []networkingv1.NetworkPolicyIngressRule{{
		From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}, Ports: tcp(1000 + 2*i)}}}
}

// distinct is policies that are all about every pod of their namespace, each with
// other peers and another port.
func distinct(_ town, i int) *networkingv1.NetworkPolicySpec {
	from := selectApp(i)
	return &networkingv1.NetworkPolicySpec{PolicyTypes: bothTypes, Ingress: []networkingv1.NetworkPolicyIngressRule{{
		From: []networkingv1.NetworkPolicyPeer{{PodSelector: &from, NamespaceSelector: &metav1.LabelSelector{}}}, Ports: tcp(1000 + 2*i)}}}
}

// blocks is policies each with a block of addresses of its own.
func blocks(t town, i int) *networkingv1.NetworkPolicySpec {
	return &networkingv1.NetworkPolicySpec{PodSelector: selectApp(i / t.namespaces), PolicyTypes: bothTypes, Egress: []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("%d.%d.%d.0/24", 20+i/65536, i/256%256, i%256)}}}, Ports: tcp(1000 + 2*i)}}}
}

// open is policies that isolate nobody in effect.
func open(t town, i int) *networkingv1.NetworkPolicySpec {
	return &networkingv1.NetworkPolicySpec{PodSelector: selectApp(i / t.namespaces), PolicyTypes: bothTypes,
		Ingress: []networkingv1.NetworkPolicyIngressRule{{}}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
}

// BenchmarkGraph weighs generated clusters and asks for all connections. It reports
// how many there are, the time to weigh and the memory that a graph keeps.
func BenchmarkGraph(b *testing.B) {
	for _, t := range []town{
		{"usual", 20, 200, 200, usual},
		{"usual", 100, 1000, 1000, usual},
		{"usual", 100, 10000, 5000, usual},
		{"open", 100, 10000, 5000, open},
		{"everywhere", 1, 10000, 5000, everywhere},
		{"everywhere", 100, 10000, 5000, everywhere},
		{"distinct", 1, 10000, 5000, distinct},
		{"distinct", 100, 10000, 5000, distinct},
		{"blocks", 100, 1000, 1000, blocks},
		{"blocks", 100, 10000, 10000, blocks},
	} {
		b.Run(t.String(), func(b *testing.B) {
			snap := t.snapshot()
			b.ReportAllocs()
			for b.Loop() {
				before := heap()
				g := reach.NewGraph(snap, reach.Options{})
				b.ReportMetric(float64(heap()-before)/1e6, "MB-kept")
				n := 0
				for range g.Connections() {
					n++
				}
				b.ReportMetric(float64(n), "connections")
			}
		})
	}
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
