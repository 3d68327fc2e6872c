package admissionpolicy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A generator makes pods at random, of the values that rules and policies tell apart.
type generator struct{ *rand.Rand }

// maybe is nothing, or one of a list.
func maybe[T any](g generator, list ...T) *T {
	if i := g.IntN(len(list) + 2); i < len(list) {
		return &list[i]
	}
	return nil
}

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// parts of names of images: those of registries and paths that are nearly trusted, too.
var (
	hosts = []string{"", "docker.io/", "index.docker.io/", "localhost/", "localhost:5000/", "registry.example.com/", "registry.example.com:5000/", "mirror.example.com/", "mirror.example.com:5000/", "Upper/", "quay.io/"}
	paths = []string{"web", "library/web", "shop/web", "shops/web", "shop", "library/nginx", "nginx", "nginx/web", "grafana/grafana", "a/b/c/d"}
	tags  = []string{"", ":1.4.2", ":latest", "@sha256:" + digest, ":1@sha256:" + digest, "@sha512:" + digest + digest, ":" + digest}
	lists = [][]string{
		{"registry.example.com/shop", "mirror.example.com:5000", "docker.io/library", "index.docker.io/grafana"},
		{"nginx", "registry.example.com", "localhost"}, {"docker.io"}, {"https://quay.io/shop/web/", "docker.io/library/nginx"}, {"index.docker.io", "registry.example.com:5000/shop/web"},
	}
)

func (g generator) image() string {
	return hosts[g.IntN(len(hosts))] + paths[g.IntN(len(paths))] + tags[g.IntN(len(tags))]
}

func (g generator) appArmor() *corev1.AppArmorProfile {
	return maybe(g, corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}, corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}, corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost})
}

func (g generator) quantities() corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q := maybe(g, "100m", "1", "0", "64Mi"); q != nil {
			list[name] = resource.MustParse(*q)
		}
	}
	return list
}

func (g generator) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: g.image()}
	if g.IntN(6) > 0 {
		c.SecurityContext = &corev1.SecurityContext{
			ReadOnlyRootFilesystem: maybe(g, true, true, false), RunAsGroup: maybe[int64](g, 0, 1, 10001),
			AppArmorProfile: g.appArmor(), SELinuxOptions: maybe(g, corev1.SELinuxOptions{}),
		}
	}
	c.Resources = corev1.ResourceRequirements{Requests: g.quantities(), Limits: g.quantities()}
	if volume := maybe(g, "own", "kube-api-access-own", "default-token-own", "default-tokens"); volume != nil {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: *volume, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
	}
	return c
}

func (g generator) template() corev1.PodTemplateSpec {
	pod := corev1.PodSpec{
		HostUsers: maybe(g, true, false), AutomountServiceAccountToken: maybe(g, true, false), OS: maybe(g, corev1.PodOS{Name: corev1.Windows}, corev1.PodOS{Name: corev1.Linux}),
		Containers: []corev1.Container{g.container("web")},
	}
	if g.IntN(2) == 0 {
		pod.SecurityContext = &corev1.PodSecurityContext{
			RunAsGroup: maybe[int64](g, 0, 1, 10001), FSGroup: maybe[int64](g, 0, 10001), SupplementalGroups: [][]int64{nil, {10001}, {10001, 0}}[g.IntN(3)],
			AppArmorProfile: g.appArmor(), SELinuxOptions: maybe(g, corev1.SELinuxOptions{Level: "s0:c1,c2"}),
		}
	}
	if g.IntN(3) == 0 {
		pod.InitContainers = append(pod.InitContainers, g.container("init"))
	}
	if g.IntN(3) == 0 {
		c := g.container("debug")
		pod.EphemeralContainers = append(pod.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: c.Name, Image: c.Image, SecurityContext: c.SecurityContext,
		}})
	}
	if g.IntN(3) == 0 {
		pod.Resources = &corev1.ResourceRequirements{Requests: g.quantities(), Limits: g.quantities()}
	}
	if g.IntN(3) == 0 {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "models", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: g.image()}}})
	}
	meta := metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Annotations: map[string]string{}}
	for _, c := range []string{"web", "init", "debug"} {
		if profile := maybe(g, "runtime/default", "localhost/web", "unconfined", "runtime/default-not"); profile != nil && g.IntN(2) == 0 {
			meta.Annotations[appArmorAnnotation+c] = *profile
		}
	}
	return corev1.PodTemplateSpec{ObjectMeta: meta, Spec: pod}
}

// manifest is a pod, or a Deployment with it.
func (g generator) manifest(t *testing.T, n int) string {
	t.Helper()
	template := g.template()
	meta := metav1.ObjectMeta{Name: fmt.Sprintf("object-%d", n), Namespace: "shop"}
	var object any = &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}
	if g.IntN(2) == 0 {
		meta.Annotations = template.Annotations
		object = &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: template.Spec}
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// For pods at random, and any list of registries, a policy says what its rule says.
func TestAgreesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	for round := range 3 {
		var docs []string
		for n := range 60 {
			docs = append(docs, g.manifest(t, n))
		}
		src := strings.Join(docs, "\n---\n")
		settings := check.Settings{Version: minor(30 + g.IntN(8)), TrustedRegistries: lists[g.IntN(len(lists))]}
		scan := check.NewScan(load(t, "random", src), settings)
		for _, c := range checks.All() {
			if !slices.Contains(Rules(), c.ID) || c == checks.UserNamespace && !settings.Version.AtLeast(33) {
				continue
			}
			r, err := Generate(Options{Rules: []string{c.ID}, Registries: settings.TrustedRegistries, Version: settings.Version})
			if err != nil {
				t.Fatal(err)
			}
			run := &check.Run{Scan: scan, Severity: c.Severity}
			c.Run(run)
			want := map[string]string{}
			for _, f := range run.Failures {
				want[f.Ref.String()] += f.Problem.Message + "\n"
			}
			open := map[string]bool{}
			for _, u := range run.Unknowns {
				open[u.Scope] = true
			}
			got := saidOf(t, r.Text, load(t, "random", src))
			for _, w := range scan.Workloads {
				name := w.Ref.String()
				if (got[name] != "") != (want[name] != "") && !open[name] {
					t.Fatalf("seed %d, round %d, %s, %s, registries %q: the rule says %q, the policy %q of\n%s", seed, round, settings.Version, c.ID, settings.TrustedRegistries, want[name], got[name], documentOf(docs, w))
				}
			}
		}
	}
}

func documentOf(docs []string, w *evidence.Workload) string {
	for _, d := range docs {
		if strings.Contains(d, `"name":"`+w.Name+`"`) {
			return d
		}
	}
	return ""
}

// For every image and every list of registries the two rules about images and their
// policies agree; what is no name of an image has no digest.
func TestAgreesOnImages(t *testing.T) {
	var docs []string
	add := func(image string) {
		docs = append(docs, fmt.Sprintf(`{"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "object-%d", "namespace": "shop"},
			"spec": {"template": {"spec": {"containers": [{"name": "web", "image": %q}]}}}}`, len(docs), image))
	}
	for _, host := range hosts {
		for _, path := range paths {
			for _, tag := range tags[:5] {
				add(host + path + tag)
			}
		}
	}
	real := len(docs)
	for _, image := range []string{"nginx@sha256:9f86d081", "$(IMAGE)", "ko://github.com/example/shop", "auto"} {
		add(image)
	}
	src := strings.Join(docs, "\n---\n")
	for _, list := range lists {
		scan := check.NewScan(load(t, "images", src), check.Settings{Version: evidence.Newest(), TrustedRegistries: list})
		for _, c := range []*check.Check{checks.TrustedRegistry, checks.ImageNotPinned} {
			r, err := Generate(Options{Rules: []string{c.ID}, Registries: list, Version: evidence.Newest()})
			if err != nil {
				t.Fatal(err)
			}
			run := &check.Run{Scan: scan, Severity: c.Severity}
			c.Run(run)
			fails := map[string]bool{}
			for _, f := range run.Failures {
				fails[f.Ref.String()] = true
			}
			// The pods of a template are judged as well: auto is no name in them.
			said := saidOf(t, r.Text, load(t, "images", src))
			for i, w := range scan.Workloads {
				refused := said[w.Ref.String()] != ""
				if i < real && refused != fails[w.Ref.String()] {
					t.Errorf("%s, %q: rule %t, policy %t of %s", c.ID, list, fails[w.Ref.String()], refused, docs[i])
				}
				if i >= real && !refused && c == checks.ImageNotPinned {
					t.Errorf("%s, %q: admitted: %s", c.ID, list, docs[i])
				}
			}
		}
	}
}

// What cannot be meant is an error that names it.
func TestErrors(t *testing.T) {
	for want, o := range map[string]Options{
		`ValidatingAdmissionPolicies are on from 1.30 on`: {Version: minor(29)},
		`registry "": want a registry`:                    {Version: minor(36), Registries: []string{""}},
		`registry "a b": want a registry`:                 {Version: minor(36), Registries: []string{"a b"}},
		`registry "http://x/*": want a registry`:          {Version: minor(36), Registries: []string{"http://x/*"}},
		`no policy for a rule "host-path"`:                {Version: minor(36), Rules: []string{"host-path"}},
		`which registries are trusted is not said`:        {Version: minor(36), Rules: []string{"trusted-registry"}},
		`namespace "a*": `:                                {Version: minor(36), Exclude: []string{"a*"}},
	} {
		if _, err := Generate(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A pod with far more in it than any real one costs less than the API server allows.
func TestCost(t *testing.T) {
	var containers []string
	for i := range 100 {
		containers = append(containers, fmt.Sprintf(`{"name": "c%d", "image": "registry.example.com/shop/c@sha256:%s", "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}],
			"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "securityContext": {"readOnlyRootFilesystem": true, "runAsGroup": 1, "appArmorProfile": {"type": "RuntimeDefault"}}}`, i, digest))
	}
	src := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big", "namespace": "shop"}, "spec": {"hostUsers": false, "automountServiceAccountToken": false,
		"containers": [` + strings.Join(containers, ",") + `]}}`
	var registries []string
	for i := range 100 {
		registries = append(registries, fmt.Sprintf("registry-%d.example.com/team", i))
	}
	r, err := Generate(Options{Version: evidence.Newest(), Registries: append(registries, "registry.example.com/shop")})
	if err != nil {
		t.Fatal(err)
	}
	if said := saidOf(t, r.Text, load(t, "big", src)); len(said) > 0 {
		t.Error(said)
	}
}
