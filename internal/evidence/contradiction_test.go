package evidence_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestContradictions(t *testing.T) {
	snap := &evidence.Snapshot{}
	policy := func(namespace, name string, types ...networkingv1.PolicyType) {
		snap.Add(&evidence.Ref{Kind: "NetworkPolicy", Namespace: namespace, Name: name},
			&networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PolicyTypes: types}})
	}
	policy("shop", "deny", "Ingress", "Egress")
	policy("shop", "deny", "Ingress", "Egress") // the same again
	policy("shop", "deny", "Ingress")
	policy("other", "deny", "Ingress") // another object
	policy("shop", "some-", "Ingress")
	policy("shop", "some-", "Egress") // names are generated
	namespace := func(level string) {
		snap.Add(&evidence.Ref{Kind: "Namespace", Name: "shop"}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"enforce": level}}})
	}
	namespace("restricted")
	namespace("privileged")
	want := []evidence.Gap{
		{Fact: evidence.Namespaces, Scope: "shop", Reason: "Namespace shop is written at :0 and otherwise at :0: which of them is in force is not known"},
		{Fact: evidence.NetworkPolicies, Scope: "shop", Reason: "NetworkPolicy shop/deny is written at :0 and otherwise at :0: which of them is in force is not known"},
	}
	if diff := cmp.Diff(want, snap.Contradictions()); diff != "" {
		t.Error(diff)
	}
}
