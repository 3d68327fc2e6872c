package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A Request is what the API server asks its authorizer: may someone do this?
type Request struct {
	Verb string
	// Group and Resource name what is acted upon, a subresource with its parent
	// ("pods/exec"). Both are unused when Path is set.
	Group, Resource string
	// Name is the object acted upon, "" for all of them and for create: a rule
	// that names objects does not allow that.
	Name string
	// Path is the URL path of a request that is about no resource, such as /metrics.
	Path string
}

// Allows reports whether a rule allows a request, as the API server's authorizer
// decides it (k8s.io/component-helpers/auth/rbac/validation): "*" stands for
// every verb, group, resource and subresource, "*/scale" for that subresource of
// every resource; "pods/*" has no meaning and matches nothing; a path ending in
// "*" stands for all that begin like it.
func Allows(rule *rbacv1.PolicyRule, q Request) bool {
	if !anyOf(rule.Verbs, q.Verb) {
		return false
	}
	if q.Path != "" {
		return slices.ContainsFunc(rule.NonResourceURLs, func(pattern string) bool { return matchesPath(pattern, q.Path) })
	}
	return anyOf(rule.APIGroups, q.Group) &&
		slices.ContainsFunc(rule.Resources, func(pattern string) bool { return matchesResource(pattern, q.Resource) }) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, q.Name))
}

func anyOf(patterns []string, want string) bool {
	for _, p := range patterns {
		if p == want || p == rbacv1.VerbAll {
			return true
		}
	}
	return false
}

func matchesResource(pattern, resource string) bool {
	if pattern == resource || pattern == rbacv1.ResourceAll {
		return true
	}
	below, ok := strings.CutPrefix(pattern, "*/")
	if !ok {
		return false
	}
	_, sub, ok := strings.Cut(resource, "/")
	return ok && sub == below
}

func matchesPath(pattern, path string) bool {
	if pattern == path || pattern == rbacv1.NonResourceAll {
		return true
	}
	return strings.HasSuffix(pattern, "*") && strings.HasPrefix(path, strings.TrimRight(pattern, "*"))
}

// Covers reports whether the rules allow everything that one rule does. A
// wildcard in the rule is covered by the same wildcard only.
func Covers(rules []rbacv1.PolicyRule, rule *rbacv1.PolicyRule) bool {
	for q := range requests(rule) {
		if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return Allows(&r, q) }) {
			return false
		}
	}
	return true
}

// requests yields every request that a rule spells out.
func requests(rule *rbacv1.PolicyRule) func(yield func(Request) bool) {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	return func(yield func(Request) bool) {
		for _, verb := range rule.Verbs {
			for _, path := range rule.NonResourceURLs {
				if !yield(Request{Verb: verb, Path: path}) {
					return
				}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						if !yield(Request{Verb: verb, Group: group, Resource: resource, Name: name}) {
							return
						}
					}
				}
			}
		}
	}
}
