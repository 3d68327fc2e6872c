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
	_, beyond := Beyond(rules, rule)
	return !beyond
}

// Beyond returns the first request that one rule spells out and that the rules do not
// allow, and whether there is one. It asks for as many requests at once as one of the
// rules may allow: a rule with thousands of verbs, groups and resources costs no more
// than its length.
func Beyond(rules []rbacv1.PolicyRule, rule *rbacv1.PolicyRule) (Request, bool) {
	whole := rbacv1.PolicyRule{
		Verbs: distinct(rule.Verbs), APIGroups: distinct(rule.APIGroups), Resources: distinct(rule.Resources),
		ResourceNames: distinct(rule.ResourceNames), NonResourceURLs: distinct(rule.NonResourceURLs),
	}
	if len(whole.NonResourceURLs) == 0 && oneAllows(rules, whole.Verbs, whole.APIGroups, whole.Resources, whole.ResourceNames) {
		return Request{}, false
	}
	for _, verb := range whole.Verbs {
		for _, path := range whole.NonResourceURLs {
			if q := (Request{Verb: verb, Path: path}); !anyAllows(rules, q) {
				return q, true
			}
		}
		if q, beyond := beyondOn(rules, verb, &whole); beyond {
			return q, true
		}
	}
	return Request{}, false
}

// beyondOn is Beyond for one verb on resources.
func beyondOn(rules []rbacv1.PolicyRule, verb string, rule *rbacv1.PolicyRule) (Request, bool) {
	if oneAllows(rules, []string{verb}, rule.APIGroups, rule.Resources, rule.ResourceNames) {
		return Request{}, false
	}
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, group := range rule.APIGroups {
		if oneAllows(rules, []string{verb}, []string{group}, rule.Resources, rule.ResourceNames) {
			continue
		}
		for _, resource := range rule.Resources {
			for _, name := range names {
				if q := (Request{Verb: verb, Group: group, Resource: resource, Name: name}); !anyAllows(rules, q) {
					return q, true
				}
			}
		}
	}
	return Request{}, false
}

func anyAllows(rules []rbacv1.PolicyRule, q Request) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return Allows(&r, q) })
}

// oneAllows reports whether a single rule allows all of some verbs on all of some
// resources.
func oneAllows(rules []rbacv1.PolicyRule, verbs, groups, resources, names []string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return all(verbs, func(v string) bool { return anyOf(r.Verbs, v) }) &&
			all(groups, func(g string) bool { return anyOf(r.APIGroups, g) }) &&
			all(resources, func(want string) bool {
				return slices.ContainsFunc(r.Resources, func(pattern string) bool { return matchesResource(pattern, want) })
			}) &&
			(len(r.ResourceNames) == 0 || len(names) > 0 && all(names, func(n string) bool { return slices.Contains(r.ResourceNames, n) }))
	})
}

func all(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
}

// distinct are the entries of a list without repetition, in their order.
func distinct(list []string) []string {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		twice := seen[s]
		seen[s] = true
		return twice
	})
}
