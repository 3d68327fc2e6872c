package admission_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/server/admission"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// request is one for an object that is written as YAML.
func request(t testing.TB, operation admissionv1.Operation, object, old string) *admissionv1.AdmissionRequest {
	t.Helper()
	r := &admissionv1.AdmissionRequest{UID: "u-1", Operation: operation}
	for _, part := range []struct {
		text string
		into *runtime.RawExtension
	}{{old, &r.OldObject}, {object, &r.Object}} {
		if part.text == "" {
			continue
		}
		text, err := yaml.YAMLToJSON([]byte(part.text))
		if err != nil {
			t.Fatal(err)
		}
		part.into.Raw = text
		var meta metav1.PartialObjectMetadata
		if err := json.Unmarshal(text, &meta); err != nil {
			t.Fatal(err)
		}
		r.Kind = metav1.GroupVersionKind(meta.GroupVersionKind())
		r.Namespace, r.Name = meta.Namespace, meta.Name
	}
	return r
}

// What a scan says of an object among all others of its file, the webhook says of the
// object alone: for every rule that it asks, and every Pod and template of the examples
// of all checks. A scan says it where a Pod belongs to a workload beside it.
func TestSameAsScan(t *testing.T) {
	files, err := filepath.Glob("../../checks/testdata/*/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatal(len(files), err)
	}
	compared, faults := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scan := checktest.Scan(t, file, string(text))
		if scan.Cluster != nil && strings.Contains(string(text), "ownerReferences") {
			continue
		}
		said := map[string][]string{}

		for _, c := range admission.Rules() {
			run := &check.Run{Scan: scan, Severity: c.Severity}
			c.Run(run)
			for _, f := range run.Failures {
				said[f.Ref.String()] = append(said[f.Ref.String()], c.ID+" "+f.Problem.Path.String())
			}
		}
		j := admission.NewJudge(admission.Options{Settings: scan.Settings})
		for _, ref := range scan.Objects {
			object, ok := written(t, string(text), ref)
			if !ok {
				continue
			}
			r := request(t, admissionv1.Create, object, "")
			r.Namespace = ref.Namespace
			v, err := j.Judge(t.Context(), r)
			if err != nil {
				t.Errorf("%s: %s: %v", file, ref, err)
				continue
			}
			got := []string{}
			for _, f := range v.Findings {
				got = append(got, f.Rule+" "+f.Path)
			}
			want := slices.DeleteFunc(said[ref.String()], func(s string) bool { return !decided(s, ref) })
			got = slices.DeleteFunc(got, func(s string) bool { return !decided(s, ref) })
			slices.Sort(want)
			slices.Sort(got)
			compared++
			faults += len(got)
			if diff := cmp.Diff(slices.Compact(want), slices.Compact(got)); len(want)+len(got) > 0 && diff != "" {
				t.Errorf("%s: %s: scan -, webhook +\n%s", file, ref, diff)
			}
		}
	}
	t.Logf("%d objects of %d files, %d findings", compared, len(files), faults)
	if compared < 1000 || faults < 5000 {
		t.Errorf("only %d objects with %d findings were compared", compared, faults)
	}
}

// decided reports whether a finding is one that an object alone and the object in
// company have to agree about.
func decided(finding string, ref *evidence.Ref) bool {
	if ref.Kind == "Secret" {
		return false
	}
	switch rule, _, _ := strings.Cut(finding, " "); rule {
	case "service-account-token", "sandbox-runtime": // ServiceAccounts and RuntimeClasses of the file
		return false
	case "default-namespace": // a file may leave the namespace open, a request never does
		return !ref.NamespaceAssumed
	case "resource-requests", "resource-limits": // LimitRanges
		return false
	}
	return true
}

// written is the document of an object, as an API server would have it: in a namespace.
func written(t *testing.T, text string, ref *evidence.Ref) (string, bool) {
	t.Helper()
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		var o map[string]any
		if yaml.Unmarshal([]byte(doc), &o) != nil || o["kind"] != ref.Kind || o["apiVersion"] != ref.APIVersion {
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		if meta["name"] != ref.Name || meta["namespace"] != nil && meta["namespace"] != ref.Namespace || meta["namespace"] == nil && ref.Namespace != "" && !ref.NamespaceAssumed {
			continue
		}
		if ref.Namespace != "" {
			meta["namespace"] = ref.Namespace
		}
		whole, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(whole), true
	}
	return "", false
}

// A rule that one object is to decide must say the same whatever is beside the object:
// those that are asked need one fact, or are known.
func TestRules(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range admission.Rules() {
		ids[c.ID] = true
	}
	for _, id := range []string{"privileged-container", "run-as-non-root", "host-path", "service-account-token", "resource-limits", "image-not-pinned", "credential-in-env", "ingress-tls"} {
		if !ids[id] {
			t.Errorf("%s is not asked", id)
		}
	}
	for _, id := range []string{"default-deny", "wildcard-rule", "pod-below-level", "dangling-service", "pod-differs", "removed-api", "secret-in-manifest", "image-user"} {
		if ids[id] {
			t.Errorf("%s is asked", id)
		}
	}
	if len(ids) < 35 || len(ids) > len(checks.All())/2 {
		t.Errorf("%d rules", len(ids))
	}
}

const plain = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, annotations: {gabion.dev/except.host-path: "reads the node's logs"}}
spec:
  automountServiceAccountToken: false
  volumes: [{name: logs, hostPath: {path: /opt/logs}}]
  containers: [{name: web, image: registry.example.com/web:1}]
`

func with(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			panic("no " + pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func TestVerdicts(t *testing.T) {
	privileged := with(plain, "web:1}", "web:1, securityContext: {privileged: true}}")
	two := with(privileged, "true}}]", "true}}, {name: side, image: i, securityContext: {privileged: true}}]")
	deny := []string{"privileged-container", "host-path"}
	for _, test := range []struct {
		name        string
		operation   admissionv1.Operation
		object, old string
		change      func(*admissionv1.AdmissionRequest, *admission.Options)
		want        []string // rules that deny
	}{
		{name: "faults", operation: "CREATE", object: privileged, want: deny},
		{name: "one fault", operation: "CREATE", object: plain, want: []string{"host-path"}},
		{name: "warn only", operation: "CREATE", object: privileged, change: func(_ *admissionv1.AdmissionRequest, o *admission.Options) { o.Deny = 0 }},
		{name: "a higher bar", operation: "CREATE", object: privileged, change: func(_ *admissionv1.AdmissionRequest, o *admission.Options) { o.Deny = guide.Critical },
			want: []string{"privileged-container"}},
		{name: "dry run", operation: "CREATE", object: privileged, want: deny, change: func(r *admissionv1.AdmissionRequest, _ *admission.Options) { r.DryRun = new(true) }},
		{name: "annotation", operation: "CREATE", object: plain, change: func(_ *admissionv1.AdmissionRequest, o *admission.Options) { o.TrustAnnotations = true }},
		{name: "exception", operation: "CREATE", object: privileged, want: deny[:1],
			change: func(_ *admissionv1.AdmissionRequest, o *admission.Options) {
				o.Exceptions = []engine.Exception{{Rule: "host-path", Namespace: "shop", Reason: "logs", Expires: "2026-11-30"}}
			}},
		{name: "expired exception", operation: "CREATE", object: privileged, want: deny,
			change: func(_ *admissionv1.AdmissionRequest, o *admission.Options) {
				o.Exceptions = []engine.Exception{{Rule: "host-path", Namespace: "shop", Reason: "logs", Expires: "2026-11-01"}}
			}},
		{name: "left alone", operation: "CREATE", object: with(privileged, "shop", "kube-system")},

		{name: "nothing worse", operation: "UPDATE", object: with(privileged, "name: web,", "name: web, labels: {a: b},"), old: privileged},
		{name: "another image that is pinned no better", operation: "UPDATE", object: with(privileged, "web:1", "web:2"), old: privileged},
		{name: "better", operation: "UPDATE", object: plain, old: privileged},
		{name: "worse", operation: "UPDATE", object: privileged, old: plain, want: deny[:1]},
		{name: "one more", operation: "UPDATE", object: two, old: privileged, want: deny[:1]},
		{name: "another folder", operation: "UPDATE", object: with(plain, "/opt/logs", "/opt/data"), old: plain, want: deny[1:]},
		{name: "a worse folder", operation: "UPDATE", object: with(plain, "/opt/logs", "/"), old: plain, want: deny[1:]},
		{name: "finalizer of what is being deleted", operation: "UPDATE", object: with(privileged, "name: web,", "name: web, deletionTimestamp: 2026-11-23T10:00:00Z,"),
			old: with(privileged, "name: web,", "name: web, deletionTimestamp: 2026-11-23T10:00:00Z, finalizers: [a.example.com/b],")},
		{name: "worse while being deleted", operation: "UPDATE", object: with(privileged, "name: web,", "name: web, deletionTimestamp: 2026-11-23T10:00:00Z,"), old: plain, want: deny[:1]},
		{name: "delete", operation: "DELETE", old: privileged},
		{name: "connect", operation: "CONNECT", object: privileged},
		{name: "status", operation: "UPDATE", object: privileged, old: plain, change: func(r *admissionv1.AdmissionRequest, _ *admission.Options) { r.SubResource = "status" }},
		{name: "ephemeral container", operation: "UPDATE", old: plain, want: deny[:1],
			object: with(plain, "web:1}]", "web:1}]\n  ephemeralContainers: [{name: debug, image: d, securityContext: {privileged: true}}]"),
			change: func(r *admissionv1.AdmissionRequest, _ *admission.Options) { r.SubResource = "ephemeralcontainers" }},

		{name: "mirror", operation: "CREATE", object: with(privileged, "annotations: {", "annotations: {kubernetes.io/config.mirror: x, "),
			change: func(r *admissionv1.AdmissionRequest, _ *admission.Options) {
				r.UserInfo.Groups = []string{"system:nodes"}
			}},
		{name: "claims to be a mirror", operation: "CREATE", object: with(privileged, "annotations: {", "annotations: {kubernetes.io/config.mirror: x, "), want: deny},
		{name: "claims to be owned", operation: "CREATE", want: deny,
			object: with(privileged, "name: web,", "name: web, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}],")},
		{name: "claims to have ended", operation: "CREATE", want: deny,
			object: with(privileged, "name: web,", "name: web, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}],") + "status: {phase: Succeeded}\n"},
		{name: "claims to be elsewhere", operation: "CREATE", object: with(privileged, "shop", "ops"), want: deny,
			change: func(r *admissionv1.AdmissionRequest, o *admission.Options) {
				r.Namespace = "shop"
				o.Exceptions = []engine.Exception{{Rule: "privileged-container", Namespace: "ops", Reason: "tools"}}
			}},
		{name: "no name yet", operation: "CREATE", object: with(privileged, "name: web,", "generateName: web-,"), want: deny},
		{name: "template", operation: "CREATE", want: deny[:1], object: `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: i, securityContext: {privileged: true}}]}}}`},
		{name: "left by a rollout", operation: "CREATE", want: deny[:1], object: `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]}
spec: {replicas: 0, template: {spec: {containers: [{name: web, image: i, securityContext: {privileged: true}}]}}}`},
		{name: "custom kind", operation: "CREATE", want: deny[:1], object: `
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: i, securityContext: {privileged: true}}]}}}`},
		{name: "scale", operation: "UPDATE", object: "{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: web, namespace: shop}, spec: {replicas: 3}}",
			change: func(r *admissionv1.AdmissionRequest, _ *admission.Options) { r.SubResource = "scale" }},
		{name: "Secret", operation: "CREATE", object: "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: default}, stringData: {password: hunter2}}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := slices.DeleteFunc(admission.Rules(), func(c *check.Check) bool { return !slices.Contains(deny, c.ID) })
			o := admission.Options{
				Rules: rules, Deny: guide.Low, Settings: check.Settings{Version: evidence.Newest()}, Namespaces: []string{"kube-system"},
				Now: func() time.Time { return time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) },
			}
			r := request(t, test.operation, test.object, test.old)
			if test.change != nil {
				test.change(r, &o)
			}
			v, err := admission.NewJudge(o).Judge(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, f := range v.Findings {
				if o.Deny != 0 && f.Severity >= o.Deny {
					got[f.Rule] = true
				}
			}
			list := slices.Sorted(maps.Keys(got))
			want := slices.Sorted(slices.Values(test.want))
			if !slices.Equal(list, want) || v.Allowed != (len(want) == 0) {
				t.Errorf("denied by %v, allowed %v; want denied by %v", list, v.Allowed, want)
			}
		})
	}
}

// Into a Pod the token has been mounted by the time that a webhook is asked; in a
// template nobody knows what the ServiceAccount says.
func TestToken(t *testing.T) {
	const mount = "web:1, volumeMounts: [{name: kube-api-access-x, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}"
	const volume = "[{name: kube-api-access-x, projected: {sources: [{serviceAccountToken: {path: token}}]}}, {name: logs"
	silent := with(plain, "  automountServiceAccountToken: false\n", "")
	template := "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {template: {spec: {%s containers: [{name: web, image: i}]}}}}"
	for object, want := range map[string]bool{
		plain:  false,
		silent: false,
		with(silent, "web:1}", mount, "[{name: logs", volume):        true,
		with(plain, "Token: false", "Token: true"):                   true,
		fmt.Sprintf(template, ""):                                    false,
		fmt.Sprintf(template, "automountServiceAccountToken: true,"): true,
	} {
		v, err := admission.NewJudge(admission.Options{Settings: check.Settings{Version: evidence.Newest()}}).Judge(t.Context(), request(t, "CREATE", object, ""))
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(v.Findings, func(f report.Finding) bool { return f.Rule == "service-account-token" })
		if got != want {
			t.Errorf("token %v, want %v:\n%s", got, want, object)
		}
	}
}

// The same object out of a file has the same findings, each with the same severity.
func TestSameAsFile(t *testing.T) {
	snap := &evidence.Snapshot{}
	object := with(plain, "web:1}", "web:1, securityContext: {privileged: true}}")
	manifest.Add(snap, &evidence.Source{Type: "manifest"}, new(manifest.Reader).Read("a.yaml", []byte(object)))
	settings := check.Settings{Version: evidence.Newest()}
	rep, err := engine.Run(t.Context(), snap, admission.Rules(), engine.Options{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	v, err := admission.NewJudge(admission.Options{Settings: settings}).Judge(t.Context(), request(t, "CREATE", object, ""))
	if err != nil {
		t.Fatal(err)
	}
	of := func(list []report.Finding) (ids []string) {
		for _, f := range list {
			ids = append(ids, fmt.Sprintln(f.ID, f.Rule, f.Severity, f.Path, f.Message))
		}
		slices.Sort(ids)
		return ids
	}
	if diff := cmp.Diff(of(rep.Findings), of(v.Findings)); diff != "" {
		t.Error(diff)
	}
}
