package network

import (
	"fmt"
	"io"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A city is the size and the kind of a generated cluster, of which a list of connections
// is much to write.
type city struct {
	name                            string
	namespaces, workloads, policies int
	policy                          func(c city, i int) networkingv1.NetworkPolicySpec
}

func (c city) String() string { return fmt.Sprintf("%s/%d-%d", c.name, c.workloads, c.policies) }

// snapshot has workloads of which each has labels of its own, and policies about one
// after the other.
func (c city) snapshot() *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	for i := range c.namespaces {
		name := fmt.Sprintf("team-%d", i)
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: name}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for i := range c.workloads {
		name := fmt.Sprintf("app-%d", i)
		w := evidence.NewWorkload(evidence.NewPath("spec", "template", "spec"), evidence.NewPath("spec", "template", "metadata"),
			&metav1.ObjectMeta{Labels: map[string]string{"app": name}}, &corev1.PodSpec{})
		snap.Add(&evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i%c.namespaces), Name: name}, []*evidence.Workload{w})
	}
	for i := range c.policies {
		ref := &evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: fmt.Sprintf("team-%d", i%c.namespaces), Name: fmt.Sprintf("policy-%d", i)}
		snap.Add(ref, &networkingv1.NetworkPolicy{Spec: c.policy(c, i)})
	}
	return snap
}

func app(i int) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app-%d", i)}}
}

var bothTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

// opened is policies that isolate nobody in effect.
func opened(_ city, i int) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{PodSelector: app(i), PolicyTypes: bothTypes,
		Ingress: []networkingv1.NetworkPolicyIngressRule{{}}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
}

func blockOf(i int) string { return fmt.Sprintf("%d.%d.%d.0/24", 20+i/65536, i/256%256, i%256) }

func port(n int) []networkingv1.NetworkPolicyPort {
	p := intstr.FromInt32(int32(n))
	return []networkingv1.NetworkPolicyPort{{Port: &p}}
}

// blocks is policies that each open a block of addresses of its own to one workload.
func blocks(_ city, i int) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{PodSelector: app(i), PolicyTypes: bothTypes, Egress: []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: blockOf(i)}}}, Ports: port(1000 + i%5000)}}}
}

// exceptions is policies that each leave out a block of addresses of its own.
func exceptions(_ city, i int) networkingv1.NetworkPolicySpec {
	all := []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{blockOf(i)}}}}
	return networkingv1.NetworkPolicySpec{PodSelector: app(i), PolicyTypes: bothTypes,
		Ingress: []networkingv1.NetworkPolicyIngressRule{{From: all}}, Egress: []networkingv1.NetworkPolicyEgressRule{{To: all}}}
}

// refusals is policies that each let everybody in but one app, on all ports but one.
func refusals(c city, i int) networkingv1.NetworkPolicySpec {
	but := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{fmt.Sprintf("app-%d", (i*7+1)%c.workloads)}}}}
	return networkingv1.NetworkPolicySpec{PodSelector: app(i), PolicyTypes: bothTypes[:1], Ingress: []networkingv1.NetworkPolicyIngressRule{{
		From: []networkingv1.NetworkPolicyPeer{{PodSelector: &but, NamespaceSelector: &metav1.LabelSelector{}}}}}}
}

var cities = []city{
	{"open", 100, 10000, 5000, opened},
	{"blocks", 100, 1000, 500, blocks},
	{"blocks", 100, 10000, 5000, blocks},
	{"exceptions", 100, 1000, 1000, exceptions},
	{"refusals", 100, 3000, 3000, refusals},
}

// BenchmarkWrite lists all connections of generated clusters.
func BenchmarkWrite(b *testing.B) {
	for _, c := range cities {
		for _, format := range []struct {
			name  string
			write func(io.Writer, *Connectivity) error
		}{{"text", WriteText}, {"json", WriteJSON}} {
			b.Run(c.String()+"/"+format.name, func(b *testing.B) {
				snap := c.snapshot()
				for b.Loop() {
					var n counter
					if err := format.write(&n, &Connectivity{Worlds: []*World{world(snap)}}); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(n)/1e6, "MB-written")
				}
			})
		}
	}
}

// A counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
