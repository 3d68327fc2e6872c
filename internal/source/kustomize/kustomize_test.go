package kustomize

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A placed is one rendered object with its outline moved.
type placed struct {
	*Object
	outline *evidence.Outline
}

// build renders a folder and places everything, by KIND/NAME.
func build(t *testing.T, dir string) map[string]placed {
	t.Helper()
	built, err := Build(context.Background(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]placed{}
	var decoder yamldoc.Decoder
	for _, o := range built.Objects {
		for doc, err := range decoder.Documents("rendered", o.Data) {
			if err != nil {
				t.Fatal(err)
			}
			o.Place(doc.Outline)
			root, _ := parse(o.Data)
			objects[doc.Kind+"/"+trimHash(scalar(root[0], "metadata", "name"))] = placed{o, doc.Outline}
		}
	}
	return objects
}

// line is the text that an outline says a path is written at, as FILE: TEXT.
func line(t *testing.T, at evidence.Position) string {
	t.Helper()
	text, err := os.ReadFile(at.File)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > len(lines[at.Line-1]) {
		t.Fatalf("no such place: %+v", at)
	}
	return at.File + ": " + strings.TrimSpace(lines[at.Line-1])
}

func containers(list string, i int) evidence.Path {
	return evidence.NewPath("spec", "template", "spec", list).Index(i, "")
}

func TestPlaces(t *testing.T) {
	built := map[string]map[string]placed{}
	pod := evidence.NewPath("spec", "template", "spec")
	for _, test := range []struct {
		dir, object string
		path        evidence.Path
		want        string
	}{
		// as in the base
		{"overlays/dev", "Deployment/web-dev", pod.Field("hostNetwork"), "base/web.yaml: hostNetwork: true"},
		{"overlays/dev", "Deployment/web-dev", containers("containers", 0).Field("image"), "base/web.yaml: image: nginx:1.25"},
		{"overlays/dev", "Deployment/web-dev", evidence.NewPath("spec", "replicas"), "base/web.yaml: replicas: 1"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 2), "base/web.yaml: - name: sidecar"},
		// a base of the base, a file of several documents
		{"overlays/prod", "ServiceAccount/prod-web", evidence.NewPath("automountServiceAccountToken"), "core/accounts.yaml: automountServiceAccountToken: false"},
		{"overlays/prod", "ServiceAccount/prod-web-jobs", evidence.NewPath("metadata"), "core/accounts.yaml: metadata:"},
		// CRLF, JSON, a List
		{"overlays/dev", "Pod/legacy-dev", evidence.NewPath("spec", "hostPID"), "base/windows.yaml: hostPID: true"},
		{"overlays/dev", "Pod/newer-dev", evidence.NewPath("spec", "hostIPC"), "base/windows.yaml: hostIPC: true"},
		{"overlays/prod", "CronJob/prod-tidy", evidence.NewPath("spec", "schedule"), `base/cron.json: "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {`},
		{"overlays/prod", "Service/prod-web-admin", evidence.NewPath("spec", "type"), "base/list.yaml: type: NodePort"},
		{"overlays/prod", "Service/prod-web", evidence.NewPath("spec", "ports").Index(1, "").Field("port"), "base/list.yaml: - port: 443"},
		// strategic merge patches: from a file, inline, with a target; a list that one reorders
		{"overlays/prod", "Deployment/prod-web", pod.Field("hostNetwork"), "overlays/prod/patches/web.yaml: hostNetwork: false"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 0), "overlays/prod/patches/web.yaml: - name: metrics"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("name"), "base/web.yaml: - name: web"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("resources", "limits", "memory"), "overlays/prod/patches/web.yaml: memory: 128Mi"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("args").Index(0, ""), `overlays/prod/patches/web.yaml: args: ["--port", "9090"]`},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("env").Index(1, "").Field("value"), "base/web.yaml: value: blue"},
		{"overlays/dev", "Deployment/web-dev", containers("containers", 0).Field("securityContext", "privileged"), "overlays/dev/kustomization.yml: privileged: true"},
		{"overlays/dev", "Deployment/web-dev", containers("containers", 1).Field("securityContext", "privileged"), "base/web.yaml: privileged: false"},
		{"overlays/dev", "Deployment/web-dev", containers("containers", 1).Field("securityContext", "runAsUser"), "base/web.yaml: runAsUser: 2000"},
		{"overlays/prod", "CronJob/prod-tidy", evidence.NewPath("spec", "suspend"), "overlays/prod/Kustomization: suspend: true"},
		// JSON patches: in a component, in a file, on one line
		{"overlays/prod", "Deployment/prod-web", pod.Field("securityContext", "runAsNonRoot"), "components/hardened/kustomization.yaml: runAsNonRoot: true"},
		{"overlays/prod", "Deployment/prod-web", pod.Field("securityContext"), "components/hardened/kustomization.yaml: path: /spec/template/spec/securityContext"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("securityContext", "runAsUser"), "components/hardened/kustomization.yaml: value: 1234"},
		{"overlays/prod", "Service/prod-web", evidence.NewPath("spec", "ports").Index(2, "").Field("port"), "overlays/prod/patches/ports.yaml: port: 8443"},
		{"overlays/prod", "Service/prod-web", evidence.NewPath("metadata", "annotations", "exposed"), `overlays/prod/patches/ports.yaml: value: {exposed: "yes"}`},
		{"overlays/prod", "Pod/prod-legacy", evidence.NewPath("spec", "hostPID"), `overlays/prod/Kustomization: patch: '[{"op": "replace", "path": "/spec/hostPID", "value": false}]'`},
		// fields of the kustomization
		{"overlays/prod", "Deployment/prod-web", evidence.NewPath("metadata", "name"), "overlays/prod/Kustomization: namePrefix: prod-"},
		{"overlays/prod", "Deployment/prod-web", evidence.NewPath("metadata", "namespace"), "overlays/prod/Kustomization: namespace: shop-prod"},
		{"overlays/prod", "Deployment/prod-web", evidence.NewPath("spec", "replicas"), "overlays/prod/Kustomization: count: 3"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("image"), `overlays/prod/Kustomization: newTag: "1.27"`},
		{"overlays/prod", "Pod/prod-legacy", evidence.NewPath("spec", "containers").Index(0, "").Field("image"), "overlays/prod/Kustomization: digest: sha256:" + strings.Repeat("1", 64)},
		{"overlays/prod", "Deployment/prod-web", evidence.NewPath("spec", "selector", "matchLabels", "env"), "overlays/prod/Kustomization: env: production"},
		{"overlays/prod", "Deployment/prod-web", evidence.NewPath("metadata", "labels", "app.kubernetes.io/part-of"), "base/kustomization.yaml: app.kubernetes.io/part-of: shop"},
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("env").Index(2, "").Field("value"), "overlays/prod/Kustomization: - spec.template.spec.containers.[name=web].env.[name=TARGET].value"},
		{"overlays/dev", "Deployment/web-dev", evidence.NewPath("metadata", "name"), "overlays/dev/kustomization.yml: nameSuffix: -dev"},
		{"overlays/dev", "Deployment/web-dev", evidence.NewPath("metadata", "annotations", "owner"), "overlays/dev/kustomization.yml: owner: team-dev"},
		{"overlays/dev", "Namespace/shop-dev", evidence.NewPath("metadata", "name"), "overlays/dev/kustomization.yml: namespace: shop-dev"},
		// a reference that follows the hashed name
		{"overlays/prod", "Deployment/prod-web", containers("containers", 1).Field("envFrom").Index(0, "").Field("configMapRef", "name"), "base/web.yaml: name: web-settings"},
		// generated objects
		{"overlays/prod", "ConfigMap/prod-web-settings", evidence.NewPath("data", "THEME"), "overlays/prod/Kustomization: - THEME=dark"},
		{"overlays/prod", "ConfigMap/prod-web-settings", evidence.NewPath("data", "LOG_LEVEL"), "base/kustomization.yaml: - LOG_LEVEL=info"},
		{"overlays/prod", "ConfigMap/prod-web-settings", evidence.NewPath("data", "REGION"), "base/web.env: REGION=eu"},
		{"overlays/prod", "ConfigMap/prod-web-settings", evidence.NewPath("data", "nginx.conf"), "base/nginx.conf: server { listen 8080; }"},
		{"overlays/prod", "ConfigMap/prod-fixed", evidence.NewPath("metadata", "labels", "kind-of"), "base/kustomization.yaml: kind-of: settings"},
		{"base", "ConfigMap/fixed", evidence.NewPath("metadata", "name"), "base/kustomization.yaml: - name: fixed"},
		// one base under two overlays
		{"hub", "Deployment/web-dev", containers("containers", 0).Field("args").Index(2, ""), `base/web.yaml: args: ["--port", "8080", "--verbose"]`},
		{"hub", "Deployment/prod-web", evidence.NewPath("spec", "replicas"), "overlays/prod/Kustomization: count: 3"},
		{"hub", "ConfigMap/web-settings-dev", evidence.NewPath("data", "THEME"), "base/kustomization.yaml: - THEME=plain"},
		{"hub", "ConfigMap/prod-web-settings", evidence.NewPath("data", "THEME"), "overlays/prod/Kustomization: - THEME=dark"},
	} {
		t.Run(test.dir+" "+test.object+" "+test.path.String(), func(t *testing.T) {
			if built[test.dir] == nil {
				built[test.dir] = build(t, "testdata/shop/"+test.dir)
			}
			o, ok := built[test.dir][test.object]
			if !ok {
				t.Fatal("no such object")
			}
			n, exact := o.outline.Find(test.path)
			if !exact {
				t.Fatal("no such field")
			}
			if diff := cmp.Diff("testdata/shop/"+test.want, line(t, o.outline.At(n))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every place is true: its line holds the field's name or value, or a part of the
// value that a kustomization field made, or it is the place of the parent.
func TestEveryPlaceHolds(t *testing.T) {
	for _, dir := range []string{"core", "base", "overlays/dev", "overlays/prod", "hub"} {
		for name, o := range build(t, "testdata/shop/"+dir) {
			root, err := parse(o.Data)
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			var walk func(n *yaml.Node, key string, p evidence.Path, parent evidence.Position)
			walk = func(n *yaml.Node, key string, p evidence.Path, parent evidence.Position) {
				count++
				number, exact := o.outline.Find(p)
				at := o.outline.At(number)
				if !exact || !(count > 1 && at == parent) && !isHeld(line(t, at), key, n) {
					t.Errorf("%s %s: %s is not at %+v: %s", dir, name, p, at, line(t, at))
				}
				for i, c := range n.Content {
					switch {
					case n.Kind == yaml.SequenceNode:
						walk(c, "", p.Index(i, ""), at)
					case i%2 == 1:
						walk(c, n.Content[i-1].Value, p.Field(n.Content[i-1].Value), at)
					}
				}
			}
			walk(root[0], "", evidence.Path{}, evidence.Position{})
			if count != o.outline.Len() {
				t.Errorf("%s %s: saw %d of %d nodes", dir, name, count, o.outline.Len())
			}
		}
	}
}

// isHeld tells whether a line of a file, as line gives it, can be where n is written.
func isHeld(line, key string, n *yaml.Node) bool {
	_, text, _ := strings.Cut(line, ": ")
	if key != "" && strings.Contains(text, key) {
		return true
	}
	if n.Kind == yaml.ScalarNode {
		_, part, ok := strings.Cut(text, ": ")
		part = strings.Trim(part, `"'`)
		return strings.Contains(text, strings.TrimSpace(n.Value)) || ok && strings.Contains(n.Value, part)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && strings.Contains(text, c.Value) {
			return true
		}
	}
	return strings.Contains(text, "path: ") || strings.HasPrefix(text, "- name: ")
}

func TestOrigins(t *testing.T) {
	want := map[string]string{
		"ConfigMap/fixed":        "base/kustomization.yaml",
		"Secret/web-token":       "base/kustomization.yaml",
		"Deployment/web":         "base/web.yaml",
		"ServiceAccount/web":     "core/accounts.yaml",
		"Service/web-admin":      "base/list.yaml",
		"CronJob/tidy":           "base/cron.json",
		"Pod/legacy":             "base/windows.yaml",
		"ConfigMap/web-settings": "base/kustomization.yaml",
	}
	objects := build(t, "testdata/shop/base")
	for name, file := range want {
		if got := objects[name].Object; got == nil || got.Origin != "testdata/shop/"+file {
			t.Errorf("%s: %+v, want %s", name, got, file)
		}
	}
	for name, o := range objects {
		if strings.Contains(string(o.Data), "gabion.dev") {
			t.Errorf("%s still carries its mark:\n%s", name, o.Data)
		}
	}
}

// The marks must not show: what is built is what Kustomize itself builds.
func TestSameAsKustomize(t *testing.T) {
	for _, dir := range []string{"core", "base", "overlays/dev", "overlays/prod", "hub"} {
		m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "testdata/shop/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		built, err := Build(context.Background(), "testdata/shop/"+dir, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range built.Objects {
			got = append(got, string(o.Data))
		}
		if diff := cmp.Diff(string(want), strings.Join(got, "---\n")); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
	}
}

// A generator that is merged into a written ConfigMap takes its mark away.
func TestMergedIntoWritten(t *testing.T) {
	dir := extract(t, `
-- kustomization.yaml --
namePrefix: x-
resources: [cm.yaml]
configMapGenerator:
- name: cfg
  behavior: merge
  literals:
  - b=2
-- cm.yaml --
# written
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg}
data:
  a: "1"
`)
	o := build(t, dir)["ConfigMap/x-cfg"]
	for field, want := range map[string]string{"a": `cm.yaml: a: "1"`, "b": "kustomization.yaml: - b=2"} {
		n, _ := o.outline.Find(evidence.NewPath("data", field))
		if got := line(t, o.outline.At(n)); got != filepath.Join(dir, want) {
			t.Errorf("%s: %s", field, got)
		}
	}
}

// What Kustomize's own annotations say is kept when the user asked for them.
func TestAnnotationsAskedFor(t *testing.T) {
	dir := extract(t, `
-- kustomization.yaml --
resources: [pod.yaml]
buildMetadata: [originAnnotations]
-- pod.yaml --
apiVersion: v1
kind: Pod
metadata: {name: a}
`)
	built, err := Build(context.Background(), dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: v1
kind: Pod
metadata:
  annotations:
    config.kubernetes.io/origin: |
      path: pod.yaml
  name: a
`
	if diff := cmp.Diff(want, string(built.Objects[0].Data)); diff != "" {
		t.Error(diff)
	}
}

func extract(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	if err := txtar.Write(txtar.Parse([]byte(archive)), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// offline fails the test when anything is fetched or git is started.
func offline(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	started := filepath.Join(bin, "started")
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\n: > "+started+"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	transport := http.DefaultTransport
	http.DefaultTransport = refusing{t}
	t.Cleanup(func() {
		http.DefaultTransport = transport
		if _, err := os.Stat(started); err == nil {
			t.Error("git was started")
		}
	})
}

type refusing struct{ t *testing.T }

func (r refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("connects to %s", req.URL)
	return nil, errors.New("no network")
}

func TestRefused(t *testing.T) {
	offline(t)
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, ok := strings.CutPrefix(strings.TrimSpace(string(archive.Comment)), "want: ")
			if !ok {
				t.Fatal("no want")
			}
			dir := t.TempDir()
			if err := txtar.Write(archive, dir); err != nil {
				t.Fatal(err)
			}
			_, err = Build(context.Background(), filepath.Join(dir, "app"), dir)
			var located *Error
			if !errors.As(err, &located) {
				t.Fatalf("error %v, want %s", err, want)
			}
			got := strings.ReplaceAll(err.Error(), dir+"/", "")
			place, why, _ := strings.Cut(want, ": ")
			if !strings.HasPrefix(want, "app/") && !strings.HasPrefix(want, "b") {
				place, why = "", want
			}
			if !strings.HasPrefix(got, place) || !strings.Contains(got, why) || strings.Contains(got, "hunter2hunter2") {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestSymbolicLinkOutside(t *testing.T) {
	dir := extract(t, `
-- scanned/app/kustomization.yaml --
resources: [../link]
-- scanned/file/kustomization.yaml --
configMapGenerator: [{name: a, files: [link.txt]}]
-- elsewhere/kustomization.yaml --
namespace: a
`)
	for from, to := range map[string]string{"scanned/link": "elsewhere", "scanned/file/link.txt": "elsewhere/kustomization.yaml"} {
		if err := os.Symlink(filepath.Join(dir, to), filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"app":  "kustomization.yaml:1: \"../link\" is a symbolic link that leads outside",
		"file": "kustomization.yaml:1: file \"link.txt\" is outside the folder of the kustomization",
	} {
		_, err := Build(context.Background(), filepath.Join(dir, "scanned", name), filepath.Join(dir, "scanned"))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// A base beside the scanned folder is what scanning one overlay means.
func TestBaseBesideTheScannedFolder(t *testing.T) {
	if _, err := Build(context.Background(), "testdata/shop/overlays/prod", "testdata/shop/overlays/prod"); err != nil {
		t.Error(err)
	}
}

// Each level uses the next one twice: two to the power of thirty builds.
func TestTooManyVisits(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		name := func(i int) string { return strings.Repeat("x", i+1) }
		at := filepath.Join(dir, name(i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		text := "namespace: a\n"
		if i < 29 {
			text = "resources: [../" + name(i+1) + ", ../" + name(i+1) + "]\n"
		}
		if err := os.WriteFile(filepath.Join(at, "kustomization.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Build(context.Background(), filepath.Join(dir, "x"), dir); err == nil || !strings.Contains(err.Error(), "more than 1000") {
		t.Error(err)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	if _, err := Build(ctx, "testdata/shop/base", ""); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Error(err)
	}
}

// A schema that one build brings along must not stay for the next.
func TestSchemaDoesNotStay(t *testing.T) {
	before := build(t, "testdata/shop/overlays/prod")["Deployment/prod-web"].Data
	dir := extract(t, `
-- kustomization.yaml --
resources: [d.yaml]
openapi: {path: schema.json}
patches: [{path: d.yaml}]
-- schema.json --
{"definitions": {}}
-- d.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
`)
	openapi.ResetOpenAPI() // as in a new process
	if _, err := Build(context.Background(), dir, dir); err != nil {
		t.Fatal(err)
	}
	after := build(t, "testdata/shop/overlays/prod")["Deployment/prod-web"].Data
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Error(diff)
	}
}

func TestWarnings(t *testing.T) {
	dir := extract(t, `
-- kustomization.yaml --
resources: [pod.yaml]
patches:
- target: {kind: Pod}
  patch: '[{"op": "add", "path": "/spec", "value": {}}]'
- target: {kind: Deployment}
  patch: '[{"op": "add", "path": "/spec", "value": {}}]'
-- pod.yaml --
apiVersion: v1
kind: Pod
metadata: {name: a}
`)
	built, err := Build(context.Background(), dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "kustomization.yaml") + ":5: the patch matches no object"}
	if diff := cmp.Diff(want, built.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestReferences(t *testing.T) {
	dir := extract(t, `
-- kustomization.yaml --
resources: [pod.yaml, base, https://example.com/x.yaml, github.com/org/repo]
components: [../part]
patches: [{path: patch.yaml}, {patch: "[]", target: {kind: Pod}}]
patchesStrategicMerge:
- old.yaml
- |-
  apiVersion: v1
  kind: Pod
  metadata: {name: a}
configMapGenerator: [{name: a, files: [key=data.txt], envs: [a.env]}]
crds: [crd.json]
helmCharts: [{name: redis, valuesFile: values.yaml}]
-- base/kustomization.yaml --
namespace: a
`)
	got, err := References(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		for i := range names {
			names[i] = filepath.Join(dir, names[i])
		}
		return names
	}
	want := Refs{
		File:       filepath.Join(dir, "kustomization.yaml"),
		Kind:       "Kustomization",
		Folders:    in("base", "../part"),
		Files:      in("pod.yaml", "crd.json", "data.txt", "a.env", "old.yaml", "patch.yaml", "values.yaml"),
		Remote:     []string{"https://example.com/x.yaml", "github.com/org/repo"},
		HelmCharts: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
