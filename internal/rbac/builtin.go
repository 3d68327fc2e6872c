package rbac

import (
	_ "embed"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// builtinText holds the rules of the roles that the API server makes and repairs
// at every start, as of Kubernetes 1.34; versions since 1.22 differ in rights
// that no check asks about.
//
//go:embed builtin.txt
var builtinText string

// aggregationPrefix begins the labels by which the built-in roles collect rules.
const aggregationPrefix = "rbac.authorization.k8s.io/"

// builtinRoles reads the table above.
func builtinRoles() []*Role {
	var roles []*Role
	for line := range strings.Lines(builtinText) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case len(fields) == 1 || strings.Contains(fields[1], "="):
			roles = append(roles, builtinRole(fields))
		default:
			last := roles[len(roles)-1]
			last.Rules = append(last.Rules, builtinRule(fields))
		}
	}
	return roles
}

func builtinRole(fields []string) *Role {
	role := &Role{Kind: "ClusterRole", Name: fields[0], BuiltIn: true}
	if namespace, name, ok := strings.Cut(fields[0], "/"); ok {
		role.Kind, role.Namespace, role.Name = "Role", namespace, name
	}
	for _, f := range fields[1:] {
		if label, ok := strings.CutPrefix(f, "into="); ok {
			role.labels = labels.Set{aggregationPrefix + label: "true"}
		}
		if label, ok := strings.CutPrefix(f, "from="); ok {
			role.selectors = []metav1.LabelSelector{{MatchLabels: map[string]string{aggregationPrefix + label: "true"}}}
		}
	}
	return role
}

func builtinRule(fields []string) rbacv1.PolicyRule {
	rule := rbacv1.PolicyRule{Verbs: strings.Split(fields[0], ",")}
	if fields[1] == "url" {
		rule.NonResourceURLs = strings.Split(fields[2], ",")
		return rule
	}
	for _, group := range strings.Split(fields[1], ",") {
		if group == "core" {
			group = ""
		}
		rule.APIGroups = append(rule.APIGroups, group)
	}
	rule.Resources = strings.Split(fields[2], ",")
	if len(fields) > 3 {
		rule.ResourceNames = strings.Split(fields[3], ",")
	}
	return rule
}
