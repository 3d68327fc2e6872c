//go:build cluster

package rbac

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// How many random questions the API server is asked.
const (
	canQuestions    = 6000
	whoCanQuestions = 300
)

// Can and WhoCan say what the API server's own SubjectAccessReview says, over RBAC
// that it took and lists, its defaults and the rules of its aggregated roles among
// it.
func TestAgainstAuthorizer(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoScheduler: true})
	client := kubernetes.NewForConfigOrDie(c.Config())
	r := rand.New(rand.NewPCG(21, 22))
	w := newWorld(r)
	apply(t, client, w)
	x := NewIndex(list(t, client))

	t.Run("can", func(t *testing.T) {
		var questions []question
		for range canQuestions {
			questions = append(questions, systemQuestion(r))
		}
		yes := 0
		for i, want := range review(t, client, questions) {
			q := questions[i]
			if want {
				yes++
			}
			if _, got := x.Can(q.who, q.request, q.namespace); got != want {
				t.Errorf("%+v: %t, the API server says %t", q, got, want)
			}
		}
		if yes < canQuestions/10 || yes > canQuestions*9/10 {
			t.Errorf("%d of %d may: the test proves little", yes, canQuestions)
		}
	})
	t.Run("who-can", func(t *testing.T) {
		everyone := worldSubjects()
		for _, name := range []string{"system:kube-controller-manager", "system:kube-scheduler", "system:serviceaccount:kube-system:job-controller"} {
			everyone = append(everyone, Subject{User: name})
		}
		for range whoCanQuestions {
			q := systemQuestion(r)
			listed := map[string]bool{}
			subjects := slices.Clone(everyone)
			for _, h := range x.WhoCan(q.request, q.namespace) {
				listed[fmt.Sprint(h.subject())] = true
				subjects = append(subjects, h.subject())
			}
			var questions []question
			for _, s := range subjects {
				questions = append(questions, question{s, q.request, q.namespace})
			}
			for i, want := range review(t, client, questions) {
				if got := listed[fmt.Sprint(subjects[i])]; got != want {
					t.Errorf("%+v: %+v is listed: %t, the API server says %t", q.request, subjects[i], got, want)
				}
			}
		}
	})
}

// systemQuestion is a random one, sometimes about what the defaults grant.
func systemQuestion(r *rand.Rand) question {
	q := randomQuestion(r)
	if r.IntN(5) > 0 {
		return q
	}
	q.who = NewSubject(pick(r, []string{"alice", Anonymous, "system:kube-scheduler", "system:serviceaccount:kube-system:job-controller", "system:serviceaccount:red:ci"}))
	if r.IntN(4) == 0 {
		q.request, q.namespace = Request{Verb: "get", Path: pick(r, []string{"/version", "/healthz", "/api/v1", "/openapi/v3", "/metrics"})}, ""
		return q
	}
	q.request.Group, q.request.Resource = pick(r, []string{"", "batch"}), pick(r, []string{"pods", "jobs", "events", "jobs/status", "pods/binding"})
	return q
}

// apply creates a world, and returns when the authorizer knows all of it.
func apply(t *testing.T, client kubernetes.Interface, w *world) {
	t.Helper()
	ctx := t.Context()
	api := client.RbacV1()
	for _, namespace := range worldNamespaces {
		_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		check(t, err)
	}
	for _, o := range w.clusterRoles {
		_, err := api.ClusterRoles().Create(ctx, o, metav1.CreateOptions{})
		check(t, err)
	}
	for _, o := range w.roles {
		_, err := api.Roles(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		check(t, err)
	}
	for _, o := range w.clusterBindings {
		_, err := api.ClusterRoleBindings().Create(ctx, o, metav1.CreateOptions{})
		check(t, err)
	}
	for _, o := range w.bindings {
		_, err := api.RoleBindings(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
		check(t, err)
	}
	await(t, func() bool { return aggregated(t, client, w) })
	sentinels(t, client)
}

// aggregated reports whether the controller has collected everything.
func aggregated(t *testing.T, client kubernetes.Interface, w *world) bool {
	for _, role := range w.clusterRoles {
		if role.AggregationRule == nil {
			continue
		}
		stored, err := client.RbacV1().ClusterRoles().Get(t.Context(), role.Name, metav1.GetOptions{})
		check(t, err)
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[0])
		check(t, err)
		parts, err := client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{LabelSelector: selector.String()})
		check(t, err)
		for _, part := range parts.Items {
			for i := range part.Rules {
				if !slices.ContainsFunc(stored.Rules, func(r rbacv1.PolicyRule) bool { return r.String() == part.Rules[i].String() }) {
					return false
				}
			}
		}
	}
	return true
}

// sentinels creates one more object of each kind and waits until each has its
// effect: the authorizer learns of the objects of a kind in their order.
func sentinels(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx, api := t.Context(), client.RbacV1()
	meta := func(namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: "last", Namespace: namespace}
	}
	rules := []rbacv1.PolicyRule{{Verbs: []string{"see"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	ref := func(kind string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: "last"}
	}
	subject := func(name string) []rbacv1.Subject {
		return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}
	}
	_, err := api.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta(""), Rules: rules}, metav1.CreateOptions{})
	check(t, err)
	_, err = api.Roles("red").Create(ctx, &rbacv1.Role{ObjectMeta: meta("red"), Rules: rules}, metav1.CreateOptions{})
	check(t, err)
	_, err = api.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta(""), RoleRef: ref("ClusterRole"), Subjects: subject("watchman")}, metav1.CreateOptions{})
	check(t, err)
	_, err = api.RoleBindings("red").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta("red"), RoleRef: ref("Role"), Subjects: subject("red-watchman")}, metav1.CreateOptions{})
	check(t, err)
	see := Request{Verb: "see", Resource: "pods"}
	await(t, func() bool {
		answers := review(t, client, []question{{Subject{User: "watchman"}, see, "green"}, {Subject{User: "red-watchman"}, see, "red"}})
		return answers[0] && answers[1]
	})
}

// list reads back what the server has, as a live cluster is read.
func list(t *testing.T, client kubernetes.Interface) *evidence.Snapshot {
	t.Helper()
	ctx, api := t.Context(), client.RbacV1()
	var objects []any
	clusterRoles, err := api.ClusterRoles().List(ctx, metav1.ListOptions{})
	check(t, err)
	for i := range clusterRoles.Items {
		objects = append(objects, &clusterRoles.Items[i])
	}
	roles, err := api.Roles("").List(ctx, metav1.ListOptions{})
	check(t, err)
	for i := range roles.Items {
		objects = append(objects, &roles.Items[i])
	}
	clusterBindings, err := api.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	check(t, err)
	for i := range clusterBindings.Items {
		objects = append(objects, &clusterBindings.Items[i])
	}
	bindings, err := api.RoleBindings("").List(ctx, metav1.ListOptions{})
	check(t, err)
	for i := range bindings.Items {
		objects = append(objects, &bindings.Items[i])
	}
	snap := snapshot(objects...)
	snap.Cluster = &evidence.Cluster{Lists: []evidence.Listing{{Resource: "clusterroles." + rbacGroup}, {Resource: "roles." + rbacGroup}}}
	return snap
}

// review asks the API server, some questions at a time.
func review(t *testing.T, client kubernetes.Interface, questions []question) []bool {
	t.Helper()
	answers, faults := make([]bool, len(questions)), make([]error, len(questions))
	var group sync.WaitGroup
	next := make(chan int)
	for range 8 {
		group.Go(func() {
			for i := range next {
				answers[i], faults[i] = ask(t.Context(), client, questions[i])
			}
		})
	}
	for i := range questions {
		next <- i
	}
	close(next)
	group.Wait()
	for _, err := range faults {
		check(t, err)
	}
	return answers
}

func ask(ctx context.Context, client kubernetes.Interface, q question) (bool, error) {
	spec := authorizationv1.SubjectAccessReviewSpec{User: q.who.User, Groups: q.who.Groups}
	if q.request.Path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: q.request.Verb, Path: q.request.Path}
	} else {
		resource, sub, _ := strings.Cut(q.request.Resource, "/")
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: q.namespace, Verb: q.request.Verb, Group: q.request.Group, Resource: resource, Subresource: sub, Name: q.request.Name,
		}
	}
	answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

func await(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ready(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for a minute")
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The API server calls its resources as the table does.
func TestResourcesAgainstDiscovery(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true})
	client := kubernetes.NewForConfigOrDie(c.Config())
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	check(t, err)
	served := 0
	for _, l := range lists {
		group, _, grouped := strings.Cut(l.GroupVersion, "/")
		if !grouped {
			group = ""
		}
		for _, api := range l.APIResources {
			if strings.Contains(api.Name, "/") {
				if _, sub, _ := strings.Cut(api.Name, "/"); !IsSubresource(sub) {
					t.Errorf("subresource %s is not known", sub)
				}
				continue
			}
			served++
			for _, word := range append([]string{api.Name, api.SingularName, api.Kind}, api.ShortNames...) {
				got := ParseResource(word+"."+group, nil)
				if !got.Known || got.Name != api.Name || got.Group != group || (got.Scope == Namespaced) != api.Namespaced {
					t.Errorf("%s of group %q is taken for %+v", word, group, got)
				}
			}
		}
	}
	if served < 40 {
		t.Errorf("only %d resources are served", served)
	}
}
