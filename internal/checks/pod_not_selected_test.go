package checks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/checks"
)

// A policy with a field that the API does not have may be refused, or taken without it:
// what it would isolate nobody knows, and what it would not isolate is certain.
func TestMisspeltPolicy(t *testing.T) {
	const (
		namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
		pod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\nspec: {containers: [{name: c, image: i}]}\n"
		policy    = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: "
	)
	for _, test := range []struct{ spec, want string }{
		{"{podSelector: {}, policyTypes: [Ingress, Egress]}", "1 judged"},
		{"{podSelector: {}, policyType: [Ingress, Egress]}", `no network policy isolates the pods of Pod "web" for egress`},
		{"{podSelector: {}, podselector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress]}", "Pod shop/web not judged: NetworkPolicy has no field spec.podselector"},
		{"{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{form: []}]}", "Pod shop/web not judged: NetworkPolicy has no field spec.ingress[0].form"},
	} {
		said := verdict(checks.PodNotSelected, scanOf([]string{namespace, policy + test.spec + "\n", pod}))
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, test.want) }) {
			t.Errorf("%s: got %q, want %q", test.spec, said, test.want)
		}
	}
}
