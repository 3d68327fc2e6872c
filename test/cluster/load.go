//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Load is how much a cluster is filled with. The same numbers give the same
// objects: names, specs, and who is bound to what.
type Load struct {
	Namespaces int // at least 1; each has three ServiceAccounts and a Role
	Pods       int // without owners, spread over the namespaces and nodes
	Bindings   int // of Roles and ClusterRoles, of each kind of subject
}

// podsOnNode is how many Pods of a load share a node.
const podsOnNode = 100

// Load creates the objects of a load, once in a cluster. Its Pods name their
// nodes, which are made too, so neither a scheduler nor controllers are needed;
// it is faster without them. Controllers that find the nodes dead delete the Pods
// after some minutes: with Options.FakeNodes they live.
func (c *Cluster) Load(ctx context.Context, l Load) error {
	if l.Namespaces < 1 {
		return fmt.Errorf("load of %d namespaces: there has to be one", l.Namespaces)
	}
	k, err := c.loader()
	if err != nil {
		return err
	}
	nodes := (l.Pods + podsOnNode - 1) / podsOnNode
	if err := addNodes(ctx, k, nodes); err != nil {
		return err
	}
	// What a Pod or a binding needs comes before it.
	for _, step := range []struct {
		n      int
		create func(context.Context, int) error
	}{
		{l.Namespaces, func(ctx context.Context, i int) error {
			_, err := k.CoreV1().Namespaces().Create(ctx, loadNamespace(i), metav1.CreateOptions{})
			return err
		}},
		{l.Namespaces * len(accounts), func(ctx context.Context, i int) error {
			a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: accounts[i%len(accounts)]}}
			_, err := k.CoreV1().ServiceAccounts(namespaceName(i/len(accounts))).Create(ctx, a, metav1.CreateOptions{})
			if a.Name == "default" && apierrors.IsAlreadyExists(err) { // the controllers were faster
				return nil
			}
			return err
		}},
		{l.Namespaces, func(ctx context.Context, i int) error {
			_, err := k.RbacV1().Roles(namespaceName(i)).Create(ctx, &rbacv1.Role{
				ObjectMeta: metav1.ObjectMeta{Name: "team"}, Rules: chanceOf(aRole, i).rules(),
			}, metav1.CreateOptions{})
			return err
		}},
		{clusterRoles, func(ctx context.Context, i int) error {
			_, err := k.RbacV1().ClusterRoles().Create(ctx, loadClusterRole(i), metav1.CreateOptions{})
			return err
		}},
		{l.Bindings, func(ctx context.Context, i int) error { return l.bind(ctx, k, i) }},
		{l.Pods, func(ctx context.Context, i int) error {
			p := l.pod(i)
			_, err := k.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
			return err
		}},
	} {
		if err := each(ctx, step.n, step.create); err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	return nil
}

// loader is a client made for many writes: protobuf, no throttling, a group that
// the API server does not queue, no warnings of Pod Security on the screen.
func (c *Cluster) loader() (*kubernetes.Clientset, error) {
	a, err := c.certified("load", time.Now().Add(validity), loader, "system:masters")
	if err != nil {
		return nil, err
	}
	config := a.Config()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.WarningHandler = rest.NoWarnings{}
	return kubernetes.NewForConfig(config)
}

// each calls f for 0 to n-1, many at once, until one fails.
func each(ctx context.Context, n int, f func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// accounts are the ServiceAccounts of each namespace.
var accounts = []string{"default", "app", "operator"}

// teams own the namespaces, and are the groups of people.
const teams = 40

func teamName(i int) string { return fmt.Sprintf("team-%02d", i%teams) }

func namespaceName(i int) string { return fmt.Sprintf("load-%04d", i) }

// The namespaces differ in the Pod Security level they enforce, and their Pods
// keep to it.
const (
	restricted = iota
	baseline
	warned
	unlabelled
	levels
)

func loadNamespace(i int) *corev1.Namespace {
	labels := map[string]string{"team": teamName(i)}
	switch i % levels {
	case restricted:
		labels["pod-security.kubernetes.io/enforce"] = "restricted"
	case baseline:
		labels["pod-security.kubernetes.io/enforce"] = "baseline"
		labels["pod-security.kubernetes.io/warn"] = "restricted"
	case warned:
		labels["pod-security.kubernetes.io/warn"] = "baseline"
		labels["pod-security.kubernetes.io/audit"] = "baseline"
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i), Labels: labels}}
}

// chance is drawn by what an object is and its number, so it falls the same way
// every time.
type chance struct{ *rand.Rand }

const (
	aPod = iota
	aRole
	aBinding
)

func chanceOf(kind, i int) chance { return chance{rand.New(rand.NewPCG(uint64(kind), uint64(i)))} }

// in says yes once in so many times.
func (c chance) in(n int) bool { return c.IntN(n) == 0 }

// of picks one.
func (c chance) of(names ...string) string { return names[c.IntN(len(names))] }

func (l Load) pod(i int) *corev1.Pod {
	c, in := chanceOf(aPod, i), i%l.Namespaces
	app := c.of("api", "billing", "cart", "cron", "ingest", "mail", "search", "web", "worker")
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespaceName(in), Name: fmt.Sprintf("%s-%05d", app, i),
			Labels: map[string]string{
				"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "load",
				"tier": c.of("front", "middle", "back"), "track": c.of("stable", "stable", "canary"),
			},
		},
		Spec: corev1.PodSpec{
			NodeName:           nodeName(i / podsOnNode),
			ServiceAccountName: c.of(accounts...),
			Containers:         []corev1.Container{c.container(app)},
		},
	}
	s := &p.Spec
	s.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	if c.in(3) {
		s.Containers = append(s.Containers, c.container("proxy"))
	}
	if c.in(7) {
		s.InitContainers = []corev1.Container{c.container("migrate")}
	}
	if c.in(2) {
		s.AutomountServiceAccountToken = new(bool)
	}
	switch in % levels {
	case restricted:
		restrict(s)
	case warned, unlabelled:
		c.endanger(s)
	}
	return p
}

func (c chance) container(name string) corev1.Container {
	made := corev1.Container{Name: name, Image: fmt.Sprintf("registry.example/%s:1.%d", name, c.IntN(20))}
	if c.in(5) {
		made.Image = "registry.example/" + name + ":latest"
	}
	if !c.in(4) {
		made.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("128Mi")}
	}
	if c.in(6) {
		made.Env = []corev1.EnvVar{{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "database"}, Key: "password"}}}}
	}
	return made
}

// restrict makes a Pod one that the restricted level lets in.
func restrict(s *corev1.PodSpec) {
	yes, no := true, false
	s.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			list[i].SecurityContext = &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}
		}
	}
}

// endanger gives some Pods what the baseline level refuses.
func (c chance) endanger(s *corev1.PodSpec) {
	yes := true
	s.HostNetwork, s.HostPID = c.in(11), c.in(13)
	if c.in(5) {
		s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	} else if c.in(17) {
		s.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}}
	}
	if c.in(7) {
		s.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/log"}}}}
		s.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "host", MountPath: "/host", ReadOnly: c.in(2)}}
	}
}

// clusterRoles is how many a load has: few, as in clusters that people run.
const clusterRoles = 60

func clusterRoleName(i int) string { return fmt.Sprintf("load-%02d", i) }

func loadClusterRole(i int) *rbacv1.ClusterRole {
	// Other numbers than the Roles have, which would have the same rules.
	c := chanceOf(aRole, -1-i)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: clusterRoleName(i)}, Rules: c.rules()}
	if c.in(10) {
		role.Labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
	}
	return role
}

// rules are two or three of those below; most of them are harmless.
func (c chance) rules() []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{plain[c.IntN(len(plain))], plain[c.IntN(len(plain))]}
	if c.in(8) {
		rules = append(rules, strong[c.IntN(len(strong))])
	}
	return rules
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

var (
	plain = []rbacv1.PolicyRule{
		rule("", "pods", "get", "list", "watch"),
		rule("", "configmaps", "get", "list"),
		rule("", "services", "get", "list", "watch"),
		rule("", "events", "create", "patch"),
		rule("apps", "deployments", "get", "list"),
		rule("batch", "jobs", "get", "list", "watch"),
		rule("coordination.k8s.io", "leases", "get", "update"),
		rule("networking.k8s.io", "ingresses", "get"),
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"settings"}, Verbs: []string{"get", "update"}},
	}
	strong = []rbacv1.PolicyRule{
		rule("", "secrets", "get", "list"),
		rule("", "pods", "create"),
		rule("", "pods/exec", "create"),
		rule("apps", "*", "*"),
		rule("", "serviceaccounts/token", "create"),
		rule("rbac.authorization.k8s.io", "rolebindings", "create"),
		rule("rbac.authorization.k8s.io", "roles", "escalate", "update"),
	}
)

// bind creates one binding, one in five of them a ClusterRoleBinding. Some name a
// role that does not exist, and very few the strongest one.
func (l Load) bind(ctx context.Context, k kubernetes.Interface, i int) error {
	c, namespace := chanceOf(aBinding, i), namespaceName(i%l.Namespaces)
	meta := metav1.ObjectMeta{Name: fmt.Sprintf("load-%05d", i)}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRoleName(c.IntN(clusterRoles))}
	switch {
	case c.in(1000):
		ref.Name = "cluster-admin"
	case c.in(100):
		ref.Name = "deleted"
	case c.in(4):
		ref.Name = "view"
	}
	if c.in(5) {
		_, err := k.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: c.subjects(namespace)}, metav1.CreateOptions{})
		return err
	}
	if c.in(2) {
		ref.Kind, ref.Name = "Role", "team"
	}
	_, err := k.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: c.subjects(namespace)}, metav1.CreateOptions{})
	return err
}

// subjects are one or two, most of them ServiceAccounts of a namespace.
func (c chance) subjects(namespace string) []rbacv1.Subject {
	account := rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: c.of(accounts...)}
	user := rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: fmt.Sprintf("user-%03d", c.IntN(500))}
	group := rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: teamName(c.IntN(teams))}
	switch c.IntN(6) {
	case 0:
		return []rbacv1.Subject{user}
	case 1:
		return []rbacv1.Subject{group}
	case 2:
		return []rbacv1.Subject{account, user}
	}
	return []rbacv1.Subject{account}
}
