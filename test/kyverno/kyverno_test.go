// Package kyverno asks Kyverno's own engine what the policies that Gabion writes for it say
// to the examples of Gabion's rules. It is a module of its own, since Kyverno's packages
// are many.
package kyverno_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	policiesv1 "github.com/kyverno/api/api/policies.kyverno.io/v1"
	policiesv1beta1 "github.com/kyverno/api/api/policies.kyverno.io/v1beta1"
	celengine "github.com/kyverno/kyverno/pkg/cel/engine"
	"github.com/kyverno/kyverno/pkg/cel/libs"
	"github.com/kyverno/kyverno/pkg/cel/matching"
	"github.com/kyverno/kyverno/pkg/cel/policies/vpol/compiler"
	"github.com/kyverno/kyverno/pkg/cel/policies/vpol/engine"
	engineapi "github.com/kyverno/kyverno/pkg/engine/api"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/admissionpolicy"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// trusted are the registries of the rule's examples.
var trusted = []string{"registry.example.com/shop", "mirror.example.com:5000", "docker.io/library", "index.docker.io/grafana"}

// kyverno is an engine with the generated policies in it.
func kyverno(t *testing.T, o admissionpolicy.Options) engine.Engine {
	t.Helper()
	o.Kyverno, o.Registries, o.Version = true, trusted, evidence.Newest()
	r, err := admissionpolicy.Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	var list []policiesv1beta1.ValidatingPolicyLike
	for _, doc := range strings.Split(r.Text, "---\n")[1:] {
		var p policiesv1.ValidatingPolicy
		if err := yaml.UnmarshalStrict([]byte(doc), &p); err != nil {
			t.Fatal(err)
		}
		if p.APIVersion != policiesv1.SchemeGroupVersion.String() || p.Kind != "ValidatingPolicy" {
			t.Errorf("%s %s", p.APIVersion, p.Kind)
		}
		list = append(list, &policiesv1beta1.ValidatingPolicy{TypeMeta: p.TypeMeta, ObjectMeta: p.ObjectMeta, Spec: p.Spec})
	}
	provider, err := engine.NewProvider(compiler.NewCompiler(), list, nil)
	if err != nil {
		t.Fatal(err)
	}
	labelled := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}}}
	}
	return engine.NewEngine(provider, labelled, matching.NewMatcher())
}

// faults are what the policies find, by policy.
func faults(t *testing.T, e engine.Engine, r admissionv1.AdmissionRequest) map[string]string {
	t.Helper()
	response, err := e.Handle(t.Context(), celengine.RequestFromAdmission(libs.GetLibsCtx(), r), nil)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, p := range response.Policies {
		for _, rule := range p.Rules {
			switch rule.Status() {
			case engineapi.RuleStatusPass:
			case engineapi.RuleStatusFail:
				said[p.Policy.GetName()] = rule.Message()
			default:
				t.Errorf("%s %s: %s: %s %s", r.Kind.Kind, r.Name, p.Policy.GetName(), rule.Status(), rule.Message())
			}
		}
	}
	return said
}

var resources = map[string]string{
	"Pod": "pods", "ReplicationController": "replicationcontrollers", "Deployment": "deployments", "StatefulSet": "statefulsets",
	"DaemonSet": "daemonsets", "ReplicaSet": "replicasets", "Job": "jobs", "CronJob": "cronjobs",
}

// request is that by which somebody creates an object.
func request(w *evidence.Workload) admissionv1.AdmissionRequest {
	group, version, grouped := strings.Cut(w.APIVersion, "/")
	if !grouped {
		group, version = "", group
	}
	return admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Name: w.Name, Namespace: w.Namespace,
		Kind:     metav1.GroupVersionKind{Group: group, Version: version, Kind: w.Kind},
		Resource: metav1.GroupVersionResource{Group: group, Version: version, Resource: resources[w.Kind]},
		Object:   runtime.RawExtension{Raw: w.JSON},
	}
}

// completed are the examples whose pods the API server's plugins ServiceAccount and
// LimitRanger would change first, which no engine does.
var completed = []string{"service-account-token/automount.yaml", "service-account-token/needed.yaml", "resource-limits/limit-range.yaml", "resource-requests/limit-range.yaml"}

// Kyverno says of every example for the newest release what the rule says.
func TestAgreesWithRule(t *testing.T) {
	e := kyverno(t, admissionpolicy.Options{Deny: true})
	for _, c := range checks.All() {
		if !slices.Contains(admissionpolicy.Rules(), c.ID) {
			continue
		}
		files, err := filepath.Glob("../../internal/checks/testdata/" + c.ID + "/*.yaml")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d examples, %v", c.ID, len(files), err)
		}
		failing, passing := 0, 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(text), "# cluster:") || strings.HasPrefix(string(text), `# settings: {"version"`) ||
				slices.Contains(completed, c.ID+"/"+filepath.Base(file)) {
				continue
			}
			snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest", Ref: file}
			reader := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
			manifest.Add(snap, source, reader.Read(file, text))
			run := &check.Run{Scan: check.NewScan(snap, check.Settings{Version: evidence.Newest(), TrustedRegistries: trusted}), Severity: c.Severity}
			c.Run(run)
			for _, w := range snap.Workloads {
				if slices.ContainsFunc(run.Unknowns, func(u check.Unjudged) bool { return u.Scope == w.Ref.String() }) {
					continue
				}
				fails := slices.ContainsFunc(run.Failures, func(f check.Failure) bool { return f.Ref == w.Ref })
				said := faults(t, e, request(w))["gabion-"+c.ID]
				if fails != (said != "") {
					t.Errorf("%s: %s: rule %t, Kyverno %q", file, w.Ref, fails, said)
				}
				if fails {
					failing++
				} else {
					passing++
				}
			}
		}
		if failing == 0 || passing == 0 && c != checks.ServiceAccountToken {
			t.Errorf("%s: %d failing and %d passing examples", c.ID, failing, passing)
		}
	}
}

// Updates that leave the pod alone pass, ephemeral containers are judged, and namespaces
// that are left alone are.
func TestRequests(t *testing.T) {
	e := kyverno(t, admissionpolicy.Options{Deny: true, Rules: []string{"read-only-root-filesystem"}, Exclude: []string{"monitoring"}})
	object := func(labels map[string]string, more ...corev1.EphemeralContainer) runtime.RawExtension {
		pod := corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "registry.example.com/web:1"}}, EphemeralContainers: more},
		}
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: text}
	}
	for _, test := range []struct {
		what, namespace, subresource string
		operation                    admissionv1.Operation
		before, after                runtime.RawExtension
		refused                      bool
	}{
		{"a pod", "shop", "", admissionv1.Create, runtime.RawExtension{}, object(nil), true},
		{"a pod in kube-system", "kube-system", "", admissionv1.Create, runtime.RawExtension{}, object(nil), false},
		{"a pod of Kyverno", "kyverno", "", admissionv1.Create, runtime.RawExtension{}, object(nil), false},
		{"a pod that is left alone", "monitoring", "", admissionv1.Create, runtime.RawExtension{}, object(nil), false},
		{"a label", "shop", "", admissionv1.Update, object(nil), object(map[string]string{"a": "b"}), false},
		{"an ephemeral container", "shop", "ephemeralcontainers", admissionv1.Update, object(nil),
			object(nil, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}}), true},
	} {
		said := faults(t, e, admissionv1.AdmissionRequest{
			Operation: test.operation, Name: "web", Namespace: test.namespace, SubResource: test.subresource,
			Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   test.after, OldObject: test.before,
		})
		if (len(said) > 0) != test.refused {
			t.Errorf("%s: %q", test.what, said)
		}
	}
}
