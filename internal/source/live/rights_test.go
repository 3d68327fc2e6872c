package live

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Roles give the rights that they are made from, no more, and where they are for.
func TestRoles(t *testing.T) {
	for _, namespaces := range [][]string{nil, {"attic", "shop"}, {kubeSystem}} {
		rights := Rights(Options{Namespaces: namespaces})
		var want []string
		for _, r := range rights {
			want = append(want, r.String())
		}
		whole, roles := Roles("gabion", rights)
		got := given(whole.Rules, "")
		var where []string
		for _, role := range roles {
			where = append(where, role.Namespace)
			got = append(got, given(role.Rules, role.Namespace)...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", namespaces, diff)
		}
		if diff := cmp.Diff(namespaces, where); diff != "" {
			t.Errorf("roles in %q", where)
		}
		for _, rule := range append(whole.Rules, all(roles)...) {
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") || len(rule.Verbs) != 1 ||
				slices.Contains(rule.Resources, "*") && slices.Contains(rule.APIGroups, "") {
				t.Errorf("%v is not the least", rule)
			}
		}
	}
}

func all(roles []*rbacv1.Role) (rules []rbacv1.PolicyRule) {
	for _, role := range roles {
		rules = append(rules, role.Rules...)
	}
	return rules
}

// given are the rights that rules give, in words.
func given(rules []rbacv1.PolicyRule, namespace string) (rights []string) {
	for _, rule := range rules {
		for _, url := range rule.NonResourceURLs {
			rights = append(rights, Right{Verb: rule.Verbs[0], URL: url}.String())
		}
		for _, resource := range rule.Resources {
			r := Right{Verb: rule.Verbs[0], Group: strings.Join(rule.APIGroups, ","), Resource: resource, Namespace: namespace}
			if len(rule.ResourceNames) > 0 {
				r.Name = strings.Join(rule.ResourceNames, ",")
			}
			rights = append(rights, r.String())
		}
	}
	return rights
}

// What is known beforehand to be asked for, and what not.
func TestRightsBeforehand(t *testing.T) {
	everywhere, here := Rights(Options{}), Rights(Options{Namespaces: []string{"shop"}, NoSecrets: true})
	has := func(rights []Right, text string) bool {
		return slices.ContainsFunc(rights, func(r Right) bool { return r.String() == text })
	}
	for _, want := range []string{
		"list secrets", "list pods", "list namespaces", "list ingresses.networking.k8s.io", "list mutatingadmissionpolicies.admissionregistration.k8s.io",
		"list rollouts.argoproj.io", "list *.kyverno.io", "list *.constraints.gatekeeper.sh", "list deploymentconfigs.apps.openshift.io", "get /apis",
	} {
		if want == "list rollouts.argoproj.io" {
			want = "list *.argoproj.io" // a group that is read as a whole
		}
		if !has(everywhere, want) {
			t.Errorf("no right to %s", want)
		}
	}
	for _, want := range []string{
		`list pods in namespace "shop"`, `get namespaces "shop"`, `get namespaces "kube-system"`, "list nodes", "list clusterpolicies.kyverno.io",
		`list *.kyverno.io in namespace "shop"`, "list *.constraints.gatekeeper.sh", "list clusterroles.rbac.authorization.k8s.io",
	} {
		if !has(here, want) {
			t.Errorf("no right to %s in one namespace", want)
		}
	}
	for _, r := range append(everywhere, here...) {
		if r.Verb != "list" && r.Verb != "get" || r.Resource == "secrets" && r.Verb != "list" {
			t.Errorf("asks to %s", r)
		}
	}
	for _, unwanted := range []string{"secrets", "namespaces", "pods", "events", "leases"} {
		if has(here, "list "+unwanted) || has(here, fmt.Sprintf("list %s in namespace %q", unwanted, "shop")) && unwanted != "pods" {
			t.Errorf("asks to list %s", unwanted)
		}
	}
}
