package namespace

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/limits"
)

// object is what tells the documents apart.
type object struct {
	Kind     string
	Metadata metav1.ObjectMeta
	text     string
}

func (o object) String() string { return o.Kind + " " + o.Metadata.Namespace + "/" + o.Metadata.Name }

// objects are the documents with something in them.
func objects(t *testing.T, text string) (list []object) {
	t.Helper()
	for _, part := range strings.Split(text, "\n---\n") {
		o := object{text: part}
		if err := yaml.Unmarshal([]byte(part), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, part)
		}
		if o.Kind != "" {
			list = append(list, o)
		}
	}
	return list
}

func kinds(list []object) (names []string) {
	for _, o := range list {
		names = append(names, o.String())
	}
	return names
}

var modest = corev1.PodSpec{
	SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	Containers: []corev1.Container{{Name: "web", Image: "registry.example.com/web", SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}},
}

func workload(namespace, name string, pod corev1.PodSpec) (*evidence.Ref, []*evidence.Workload) {
	w := evidence.NewWorkload(evidence.NewPath("spec", "template", "spec"), evidence.NewPath("spec", "template", "metadata"),
		&metav1.ObjectMeta{Labels: map[string]string{"app": name}}, &pod)
	return &evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: name, JSON: []byte(`{"spec":{"replicas":2}}`)}, []*evidence.Workload{w}
}

// A new namespace has every part, and lets a modest pod in: by its level and its bounds.
func TestNew(t *testing.T) {
	r, err := Generate(nil, Options{Names: []string{"shop"}, Group: "shop-team"})
	if err != nil {
		t.Fatal(err)
	}
	list := objects(t, r.Text)
	want := []string{"Namespace /shop", "NetworkPolicy shop/default-deny", "NetworkPolicy shop/name-resolution", "LimitRange shop/bounds",
		"ResourceQuota shop/total", "ServiceAccount shop/default", "Role shop/reader", "RoleBinding shop/reader"}
	if diff := cmp.Diff(want, kinds(list)); diff != "" {
		t.Fatal(diff)
	}
	level, errs := api.PolicyToEvaluate(list[0].Metadata.Labels, api.Policy{})
	if len(errs) > 0 || level.Enforce.Level != api.LevelRestricted || level.Enforce.Version.Latest() {
		t.Errorf("enforces %v, %v", level.Enforce, errs)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range evaluator.EvaluatePod(level.Enforce, &metav1.ObjectMeta{}, &modest) {
		if !result.Allowed {
			t.Errorf("refused: %s", result.ForbiddenReason)
		}
	}
	var bounds corev1.LimitRange
	if err := yaml.UnmarshalStrict([]byte(list[3].text), &bounds); err != nil {
		t.Fatal(err)
	}
	if pod, refused := limits.Admit(&bounds, &modest); len(refused) > 0 || pod.Containers[0].Resources.Limits.Memory().String() != "512Mi" {
		t.Errorf("refused %v, limits %v", refused, pod.Containers[0].Resources)
	}
	if strings.Contains(list[6].text, "secrets") || strings.Contains(list[6].text, "*") {
		t.Errorf("the role sees too much: %s", list[6].text)
	}
}

// Of a namespace with workloads each part is derived from them; what loses a token is said.
func TestKnown(t *testing.T) {
	snap := &evidence.Snapshot{}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	snap.Add(workload("shop", "web", modest))
	root := *modest.DeepCopy()
	root.SecurityContext.RunAsNonRoot = nil
	root.AutomountServiceAccountToken = new(false)
	snap.Add(workload("shop", "job", root))
	r, err := Generate(snap, Options{Names: []string{"shop", "new"}, Headroom: 50})
	if err != nil {
		t.Fatal(err)
	}
	list := objects(t, r.Text)
	if got := list[0].Metadata.Labels["pod-security.kubernetes.io/enforce"]; got != "baseline" {
		t.Errorf("enforces %q", got)
	}
	for _, want := range []string{"LimitRange shop/", "ResourceQuota shop/", "NetworkPolicy shop/default-deny", "ServiceAccount shop/default", "Namespace /new", "ResourceQuota new/total"} {
		if !slices.ContainsFunc(kinds(list), func(have string) bool { return strings.HasPrefix(have, want) }) {
			t.Errorf("no %s in %q", want, kinds(list))
		}
	}
	notes := strings.Join(r.Bundles[0].Notes, "\n")
	if !strings.Contains(notes, "Deployment web loses its token") || strings.Contains(notes, "Deployment job loses") {
		t.Errorf("notes: %s", notes)
	}
	if r.Bundles[0].New || !r.Bundles[1].New {
		t.Error("which is new is mixed up")
	}
}

func TestRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"no namespace":            {},
		"a lowercase RFC 1123":    {Names: []string{"Shop"}},
		"prefix kube-":            {Names: []string{"kube-system"}},
		"named twice":             {Names: []string{"a", "a"}},
		"Kubernetes' own":         {Names: []string{"a"}, Group: "system:authenticated"},
		"without spaces":          {Names: []string{"a"}, Group: "team\n"},
		"is on from 1.23 on":      {Names: []string{"a"}, Version: evidence.Version{Major: 1, Minor: 20}},
		"a lowercase RFC 1123 la": {Names: []string{"a\n---\nkind: Pod"}},
	} {
		if _, err := Generate(nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}
