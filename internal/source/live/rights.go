package live

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// A Right is one that Collect makes use of.
type Right struct {
	Verb string
	// Group and Resource are what it is for, "*" for every resource of the group;
	// both are "" where URL is set.
	Group, Resource string
	// Namespace is where, "" for everywhere; Name is the one object, "" for all.
	Namespace, Name string
	// URL is a path of the API server that holds no objects.
	URL string
	// Facts are what is missing without it; none for what has no part in a verdict.
	Facts []evidence.Fact
}

// String is the right in words: list pods in namespace "shop".
func (r Right) String() string {
	if r.URL != "" {
		return r.Verb + " " + r.URL
	}
	text := r.Verb + " " + resource{group: r.Group, name: r.Resource}.String()
	if r.Name != "" {
		text += fmt.Sprintf(" %q", r.Name)
	}
	if r.Namespace != "" && r.Namespace != r.Name {
		text += fmt.Sprintf(" in namespace %q", r.Namespace)
	}
	return text
}

// paths are those of the server itself that are read. Every user may, unless the
// cluster's administrator has taken the role system:discovery from them.
var paths = []string{"/api", "/api/*", "/apis", "/apis/*", "/openapi/v3/*", "/version"}

// Rights are the rights that Collect takes in a cluster of which nothing is
// known: those for every built-in kind, and for the custom ones that are known
// here, whether they are served or not, all of a group whose objects checks read.
// Resources of custom kinds are named as such names are usually made.
func Rights(o Options) []Right {
	lists, carriers := o.builtin(nil)
	lists = append(lists, carriers...)
	add := func(r resource) { lists = append(lists, o.listings(r)...) }
	for _, group := range kind.ReadGroups() {
		add(resource{group: group, name: "*", namespaced: !kind.ClusterCustom(group, ""), facts: groupFacts(group)})
	}
	for group, name := range carrier.Kinds() {
		if _, read := kind.ReadGroup(group); !read {
			add(resource{group: group, name: plural(group, name), namespaced: !kind.ClusterCustom(group, name), facts: customFacts(group, name)})
		}
	}
	for _, gk := range kind.ClusterCustoms() {
		// With all namespaces, the whole group is there already.
		if _, read := kind.ReadGroup(gk.Group); read && !o.all() {
			add(resource{group: gk.Group, name: plural(gk.Group, gk.Kind), facts: customFacts(gk.Group, gk.Kind)})
		}
	}
	return o.rights(lists)
}

// Rights are the rights that Collect takes in this cluster, as it is now: those
// for what the server has. It reads the server's resources and, if it may, the
// CustomResourceDefinitions.
func (c *Client) Rights(ctx context.Context) ([]Right, error) {
	if c.cluster == nil {
		if _, err := c.Cluster(ctx); err != nil {
			return nil, err
		}
	}
	found, err := c.discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what the API server serves: %w", c.explain(ctx, err))
	}
	co := &collection{Client: c, sink: nowhere{}, carrying: map[schema.GroupKind]bool{}}
	lists, carriers := c.options.builtin(found)
	for _, l := range lists {
		if l.group == definitions {
			if err := co.list(ctx, []listing{l}); err != nil {
				return nil, err
			}
		}
	}
	lists = append(append(lists, carriers...), co.custom(ctx, found)...)
	return c.options.rights(lists), nil
}

// nowhere is a Sink for what only the schemas of are of use.
type nowhere struct{}

func (nowhere) Add(cluster.Object) error { return nil }
func (nowhere) Gap(evidence.Gap)         {}

// rights are what lists take, sorted and each once.
func (o Options) rights(lists []listing) (rights []Right) {
	for _, path := range paths {
		rights = append(rights, Right{Verb: "get", URL: path})
	}
	if !o.all() {
		rights = append(rights, Right{Verb: "get", Resource: "namespaces", Namespace: kubeSystem, Name: kubeSystem})
	}
	if o.Configz {
		rights = append(rights, nodesProxy)
	}
	if o.Usage {
		rights = append(rights, podMetrics)
	}
	for _, l := range lists {
		r := Right{Verb: "list", Group: l.group, Resource: l.name, Namespace: l.namespace, Facts: l.facts}
		if l.only != "" {
			r.Verb, r.Name, r.Namespace = "get", l.only, l.only
		}
		if o.all() {
			r.Namespace = "" // what is asked for in one namespace is asked for everywhere
		}
		rights = append(rights, r)
	}
	slices.SortFunc(rights, compareRights)
	return slices.CompactFunc(rights, func(a, b Right) bool { return compareRights(a, b) == 0 })
}

func compareRights(a, b Right) int {
	return cmp.Or(cmp.Compare(a.URL, b.URL), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Verb, b.Verb))
}

// Roles are the least roles that give rights: one for the whole cluster, and one
// for each namespace that has some of its own.
func Roles(name string, rights []Right) (*rbacv1.ClusterRole, []*rbacv1.Role) {
	whole := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}
	namespaced := map[string]*rbacv1.Role{}
	for _, r := range rights {
		// The Namespace kube-system is read for its UID only: that is no reason for a
		// role there.
		if r.Namespace == "" || r.Name == kubeSystem {
			whole.Rules = addRule(whole.Rules, r)
			continue
		}
		role := namespaced[r.Namespace]
		if role == nil {
			role = &rbacv1.Role{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: r.Namespace},
			}
			namespaced[r.Namespace] = role
		}
		role.Rules = addRule(role.Rules, r)
	}
	var roles []*rbacv1.Role
	for _, ns := range slices.Sorted(maps.Keys(namespaced)) {
		roles = append(roles, namespaced[ns])
	}
	return whole, roles
}

// addRule gives a right by the rule before it, if that differs in nothing but the
// resource or the URL, else by one of its own.
func addRule(rules []rbacv1.PolicyRule, r Right) []rbacv1.PolicyRule {
	if r.URL != "" {
		if n := len(rules); n > 0 && len(rules[n-1].NonResourceURLs) > 0 && rules[n-1].Verbs[0] == r.Verb {
			rules[n-1].NonResourceURLs = append(rules[n-1].NonResourceURLs, r.URL)
			return rules
		}
		return append(rules, rbacv1.PolicyRule{Verbs: []string{r.Verb}, NonResourceURLs: []string{r.URL}})
	}
	if n := len(rules); n > 0 && r.Name == "" {
		last := &rules[n-1]
		if len(last.ResourceNames) == 0 && last.Verbs[0] == r.Verb && slices.Equal(last.APIGroups, []string{r.Group}) {
			last.Resources = append(last.Resources, r.Resource)
			return rules
		}
	}
	rule := rbacv1.PolicyRule{Verbs: []string{r.Verb}, APIGroups: []string{r.Group}, Resources: []string{r.Resource}}
	if r.Name != "" {
		rule.ResourceNames = []string{r.Name}
	}
	return append(rules, rule)
}

// Missing asks the server which of the rights the caller does not have. It is the
// one thing here that is a write request: it makes SelfSubjectAccessReviews, of
// which nothing is kept.
func (c *Client) Missing(ctx context.Context, rights []Right) (missing []Right, err error) {
	for _, r := range rights {
		allowed, err := c.allowed(ctx, r)
		if err != nil {
			return nil, c.explain(ctx, err)
		}
		if !allowed {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

func (c *Client) allowed(ctx context.Context, r Right) (bool, error) {
	review := authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
	}
	if r.URL != "" {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: r.Verb, Path: r.URL}
	} else {
		resource, subresource, _ := strings.Cut(r.Resource, "/")
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: subresource, Namespace: r.Namespace, Name: r.Name,
		}
	}
	text, err := json.Marshal(review)
	if err != nil {
		return false, err
	}
	var body bytes.Buffer
	path := append(groupPath(authorizationv1.GroupName, "v1"), "selfsubjectaccessreviews")
	if _, err := c.get(ctx, request{path: path, accept: jsonForm, body: text}, &body); err != nil {
		return false, err
	}
	if json.Unmarshal(body.Bytes(), &review) != nil {
		return false, errors.New("the API server sent a review that is no JSON")
	}
	return review.Status.Allowed, nil
}
