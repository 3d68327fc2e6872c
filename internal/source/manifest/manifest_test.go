package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// describe is a result in a line.
func describe(res Result) string {
	var b strings.Builder
	switch {
	case res.Err != nil:
		fmt.Fprintf(&b, "error %d:%d %s", res.Err.Line, res.Err.Column, res.Err.Reason)
	case res.Skipped != nil:
		fmt.Fprintf(&b, "skipped %d %s", res.Skipped.Line, res.Skipped.Reason)
	default:
		fmt.Fprintf(&b, "%s %T", res.Ref, res.Object)
		if res.Ref.NamespaceAssumed {
			b.WriteString(" (assumed)")
		}
	}
	for _, w := range res.Warnings {
		fmt.Fprintf(&b, "; warning %d %s", w.Line, w.Reason)
	}
	for _, g := range res.Gaps {
		fmt.Fprintf(&b, "; gap in %q", g.Fact)
	}
	return b.String()
}

// One document and what becomes of it.
func TestDocuments(t *testing.T) {
	for _, test := range []struct{ doc, want string }{
		{"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {}}", "Pod default/p []*evidence.Workload (assumed)"},
		{"{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns}, spec: {}}", "Pod ns/p []*evidence.Workload"},
		{"{apiVersion: v1, kind: ConfigMap, metadata: {generateName: g-}}", "ConfigMap default/g- *v1.ConfigMap (assumed)"},
		{"{apiVersion: v1, kind: Namespace, metadata: {name: ns, namespace: other}}", "Namespace ns *v1.Namespace"},
		{"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: c}}", "ClusterRole c *v1.ClusterRole"},
		{"{apiVersion: extensions/v1beta1, kind: Deployment, metadata: {name: d}, spec: {rollbackTo: {revision: 1}}}", "Deployment default/d []*evidence.Workload (assumed)"},
		{"{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {targetCPUUtilizationPercentage: 80}}", "HorizontalPodAutoscaler default/h *v2.HorizontalPodAutoscaler (assumed)"},
		{"{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: i}, spec: {backend: {serviceName: s, servicePort: 80}}}", "Ingress default/i *v1.Ingress (assumed)"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  prots: []\n", "Service default/s *v1.Service (assumed); warning 5 Service has no field spec.prots: the API server drops or refuses it"},

		{"{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}}", "Thing t <nil>"},
		{"{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}", "Thing default/t []*evidence.Workload (assumed)"},
		{"{apiVersion: example.com/v1, kind: Thing}", "skipped 1 a configuration file (example.com/v1 Thing), not an object of the API"},
		{"{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}, spec: {source: {helm: {valuesObject: {podSpec: {containers: [{name: c, image: i}]}}}}}}", "Application default/a *evidence.Custom (assumed)"},
		{"{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: p}}", "ClusterPolicy p *evidence.Custom"},

		{"{apiVersion: kubelet.config.k8s.io/v1beta1, kind: KubeletConfiguration}", "skipped 1 a configuration file (kubelet.config.k8s.io/v1beta1 KubeletConfiguration), not an object of the API"},
		{"{apiVersion: v1, kind: Config, clusters: []}", "skipped 1 a kubeconfig, not an object of the API"},
		{"{apiVersion: v2, name: chart}", "skipped 1 not a Kubernetes object: no kind"},
		{"{a: b}", "skipped 1 not a Kubernetes object: no apiVersion and no kind"},
		{"[1]", "skipped 1 not a Kubernetes object: not a mapping"},
		{"text", "skipped 1 not a Kubernetes object: not a mapping"},
		{"{apiVersion: v1, kind: PodList, items: []}", "skipped 1 an empty PodList"},

		{"{apiVersion: v1, kind: Pod}", `error 1:1 Pod has no name (metadata.name); gap in "workloads"`},
		{"{apiVersion: v1, kind: Pod, metadata: {name: ''}}", `error 1:46 Pod has no name (metadata.name); gap in "workloads"`},
		{"{apiVersion: v1, kind: Endpoints, metadata: {}}", "error 1:35 Endpoints has no name (metadata.name); gap in \"other objects\""},
		{"{apiVersion: apps/v1, kind: deployment, metadata: {name: d}}", `error 1:29 kind "deployment": the API has no such kind, "Deployment" is written with these capitals; gap in "workloads"`},
		{"{apiVersion: v1, metadata: {name: x}, spec: {}}", `error 1:1 an object without kind; gap in ""`},
		{"{kind: Pod, metadata: {name: x}}", `error 1:8 Pod has no apiVersion; gap in "workloads"`},
		{"{apiVersion: v1, kind: Pod, metadata: {name: 1}}", `error 1:46 metadata.name: want a string, got a number; gap in "workloads"`},
		{"{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: []}", `error 1:50 spec: want an object, got a list; gap in "workloads"`},
		{"{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: three}}", `error 1:79 spec.replicas: want a number, got string "three"; gap in "workloads"`},
		{"{apiVersion: example.com/v1, kind: Thing, metadata: {name: t}, spec: {template: {spec: {containers: [{name: c, image: i, ports: x}]}}}}", `error 1:129 spec.template.spec.containers[0].ports: want a list, got a string; gap in ""`},
	} {
		var r Reader
		results := r.Read("x.yaml", []byte(test.doc))
		if len(results) != 1 || describe(results[0]) != test.want {
			for _, res := range results {
				t.Errorf("%s\n got %s\nwant %s", test.doc, describe(res), test.want)
			}
			if len(results) == 0 {
				t.Errorf("%s: got nothing", test.doc)
			}
		}
	}
}

// Every kind of the table can be decoded, is counted, and stands in the snapshot
// only in the namespace that it can have.
func TestKinds(t *testing.T) {
	for key, k := range kind.All() {
		group, name := key.Group, key.Kind
		apiVersion := "v1"
		if group != "" {
			apiVersion = group + "/v1"
		}
		var r Reader
		r.Namespace = "here"
		results := r.Read("x.json", fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":"x"}}`, apiVersion, name))
		if len(results) != 1 || results[0].Ref == nil {
			t.Errorf("%s: %s", key, describe(results[0]))
			continue
		}
		want := "here"
		if k.Cluster {
			want = ""
		}
		if got := results[0].Ref.Namespace; got != want {
			t.Errorf("%s: namespace %q, want %q", key, got, want)
		}
		if right, wrong := kind.ProperCase(group, strings.ToLower(name)); !wrong || right != name {
			t.Errorf("%s: %q is its proper case", key, right)
		}
		snap, source := &evidence.Snapshot{}, &evidence.Source{}
		Add(snap, source, results)
		if source.Documents != 1 || source.Objects != 1 || len(snap.Objects) != 1 {
			t.Errorf("%s: %+v", key, source)
		}
	}
	for _, group := range kind.ReadGroups() {
		fact, _ := kind.ReadGroup(group)
		if fact != "" && !slices.Contains(evidence.Facts(), fact) {
			t.Errorf("%s: no fact %q", group, fact)
		}
	}
}

// What is written in a Secret is nowhere in what is kept of it.
func TestSecretValues(t *testing.T) {
	const value = "hunter2hunter2"
	doc := `apiVersion: v1
kind: Secret
metadata:
  name: s
  annotations:
    keep: this
    kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"a":"hunter2hunter2"}}'
type: Opaque
data:
  b: aHVudGVyMmh1bnRlcjI=
  empty: ""
stringData:
  a: hunter2hunter2
`
	r := Reader{Options: Options{KeepJSON: true}}
	results := r.Read("s.yaml", []byte(doc))
	secret, ok := results[0].Object.(*evidence.Secret)
	if !ok {
		t.Fatal(describe(results[0]))
	}
	want := &evidence.Secret{Type: "Opaque", Keys: []string{"a", "b"}, Field: map[string]string{"a": "stringData", "b": "data"}}
	if diff := cmp.Diff(want, secret); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"keep": "this"}, results[0].Ref.Annotations); diff != "" {
		t.Error(diff)
	}
	if kept := fmt.Sprintf("%+v %+v", results[0].Ref, secret); strings.Contains(kept, value) || results[0].Ref.JSON != nil {
		t.Errorf("kept: %s", kept)
	}
	for _, broken := range []string{
		strings.Replace(doc, "aHVudGVyMmh1bnRlcjI=", value+"!", 1),
		strings.Replace(doc, "  a: hunter2hunter2", "  a: [hunter2hunter2]", 1),
		strings.Replace(doc, "  a: hunter2hunter2", "  a: {hunter2hunter2: 1}", 1),
		strings.Replace(doc, "stringData:\n", "stringData:\n  hunter2hunter2\n", 1),
		strings.Replace(doc, "  a: hunter2hunter2", "  a: hunter2hunter2\n  a: hunter2hunter2", 1),
		strings.Replace(doc, "  a: hunter2hunter2", "\ta: hunter2hunter2", 1),
		strings.Replace(doc, "  a: hunter2hunter2", "  a: *hunter2", 1) + "  - hunter2hunter2",
	} {
		for _, res := range r.Read("s.yaml", []byte(broken)) {
			if text := describe(res); strings.Contains(text, value) {
				t.Errorf("the value is told: %s", text)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	doc := []byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}")
	r := Reader{Options: Options{Namespace: "n", KeepJSON: true}}
	res := r.Read("x", doc)[0]
	if res.Ref.Namespace != "n" || res.Ref.NamespaceAssumed || !bytes.Contains(res.Ref.JSON, []byte("ConfigMap")) {
		t.Errorf("got %+v", res.Ref)
	}
	r = Reader{Options: Options{
		Place: func(o *evidence.Outline) {
			for n := range o.Len() {
				o.Move(n, evidence.Position{File: "template", Line: 7})
			}
		},
		Origin: func(line int) (string, int) { return "template", line + 100 },
	}}
	results := r.Read("x", []byte("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: 1}\n---\na: [\n"))
	if len(results) != 2 || results[0].Err.File != "template" || results[0].Err.Line != 7 || results[1].Err.File != "template" || results[1].Err.Line < 100 {
		t.Errorf("got %+v", results)
	}
}

func TestFieldPath(t *testing.T) {
	for _, path := range []string{"spec", "spec.containers[0].image", "items[1][2].x"} {
		if got := fieldPath(path).String(); got != path {
			t.Errorf("%s became %s", path, got)
		}
	}
}

// Whatever is read, every document is an object, skipped or an error, with a
// reason, and positions are in the text.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c}]}}\n- 1\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: x}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: YQ==}}",
		"{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}",
		"kind: pod\napiVersion: v1\nmetadata: []\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Reader
		results := r.Read("x.yaml", bytes.Clone(data))
		snap, source := &evidence.Snapshot{}, &evidence.Source{}
		Add(snap, source, results)
		if source.Documents != source.Objects+len(source.Skipped)+len(source.Errors) || len(snap.Objects) != source.Objects {
			t.Errorf("%+v", source)
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 1
		for _, i := range slices.Concat(source.Errors, source.Skipped, source.Warnings) {
			if i.Reason == "" || i.Line > lines {
				t.Errorf("%+v of %d lines", i, lines)
			}
		}
	})
}

// Who installs what stands elsewhere leaves everything open.
func TestMakers(t *testing.T) {
	results := new(Reader).Read("a.yaml", []byte("apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {name: traefik, namespace: kube-system}\nspec: {chart: traefik}\n"))
	if len(results) != 1 || results[0].Ref == nil || len(results[0].Opaque) != 1 || len(results[0].Gaps) != 1 || results[0].Gaps[0].Fact != "" {
		t.Errorf("%+v", results)
	}
}

// What cannot be read may be anything when it names several kinds, or is of a
// version that no server has.
func TestHiddenKinds(t *testing.T) {
	for doc, want := range map[string]evidence.Fact{
		"apiVersion: v1\nkind: PersistentVolumeClaim\nspec: [\n":                      evidence.Others,
		"apiVersion: v1\nkind: PersistentVolumeClaim\napiVersion: v1\nkind: Pod\n":    "",
		"kind: PersistentVolumeClaim\napiVersion: v1\nspec: {a: [}\nkind: Pod\n":      "",
		"apiVersion: v2\nkind: LimitRange\nmetadata: {name: a}\nspec: {limits: []}\n": evidence.LimitRanges,
		"apiVersion: v1beta1\nkind: Namespace\nmetadata: {name: a}\n":                 evidence.Namespaces,
	} {
		results := new(Reader).Read("a.yaml", []byte(doc))
		if len(results) != 1 || results[0].Err == nil || len(results[0].Gaps) != 1 || results[0].Gaps[0].Fact != want {
			t.Errorf("%s: %+v, want one gap in %q", doc, results, want)
		}
	}
}
