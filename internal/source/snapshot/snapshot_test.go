package snapshot_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/kind"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// write writes a snapshot.
func write(t testing.TB, fill func(*snapshot.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := snapshot.NewWriter(&b, "v0.1.0", created)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func load(t testing.TB, data []byte) []*evidence.Snapshot {
	t.Helper()
	worlds, _, err := snapshot.Load(context.Background(), bytes.NewReader(data), snapshot.Options{KeepJSON: true})
	if err != nil {
		t.Fatal(err)
	}
	return worlds
}

// lines is what zcat shows.
func lines(t testing.TB, data []byte) []string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

// judge is the report of everything that is asked.
func judge(t testing.TB, snap *evidence.Snapshot) string {
	t.Helper()
	o := engine.Options{}
	o.Settings.Version = evidence.Newest()
	o.Exceptions = engine.Exceptions{Annotations: true, Now: created}
	rep, err := engine.Run(context.Background(), snap, checks.All(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readFiles(t testing.TB, paths ...string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	o := files.Options{Paths: paths, Manifest: manifest.Options{KeepJSON: true}, Helm: helm.Options{KubeVersion: "v1.36.0"}}
	if err := files.Read(context.Background(), snap, o); err != nil {
		t.Fatal(err)
	}
	snap.Sort()
	return snap
}

// same compares snapshots in everything that they hold. What a document has of
// fields without elements, and what it does not have, is the same.
var same = cmp.Options{
	cmp.Comparer(func(a, b *evidence.Outline) bool { return bytes.Equal(a.Encode(), b.Encode()) }),
	cmp.Comparer(func(a, b evidence.Path) bool { return a.String() == b.String() && a.Key() == b.Key() }),
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(evidence.Ref{}, "JSON"), // compared for itself: of Secrets within, none is kept
}

// TestFiles: what was read of files and came out of a snapshot again is the same,
// and is judged the same, to the line.
func TestFiles(t *testing.T) {
	paths := []string{"../../../examples/shop", "../helm/testdata", "../kustomize/testdata", "../carrier/testdata", "../files/testdata"}
	checked, _ := filepath.Glob("../../checks/testdata/*")
	paths = append(paths, checked...)
	if len(paths) < 50 {
		t.Fatalf("only %d paths", len(paths))
	}
	findings := 0
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			snap := readFiles(t, path)
			worlds := load(t, write(t, func(w *snapshot.Writer) {
				if err := w.Files(snap); err != nil {
					t.Fatal(err)
				}
			}))
			if len(worlds) != 1 {
				t.Fatalf("%d worlds", len(worlds))
			}
			if diff := cmp.Diff(snap, worlds[0], same); diff != "" {
				t.Errorf("-read +loaded\n%s", diff)
			}
			for i, ref := range snap.Objects {
				if got := worlds[0].Objects[i].JSON; string(got) != string(ref.JSON) {
					t.Errorf("%s: %s\nwas %s", ref, got, ref.JSON)
				}
			}
			want := judge(t, snap)
			if diff := cmp.Diff(want, judge(t, worlds[0])); diff != "" {
				t.Errorf("-read +loaded\n%s", diff)
			}
			findings += strings.Count(want, `"rule":`)
		})
	}
	if findings < 1000 {
		t.Errorf("only %d findings", findings)
	}
}

// served are the objects of files, as an API server would serve them: each name
// once.
func served(t testing.TB, snap *evidence.Snapshot) []cluster.Object {
	t.Helper()
	secrets := map[*evidence.Ref]*evidence.Secret{}
	for _, s := range snap.Secrets {
		secrets[s.Ref] = s
	}
	seen := map[string]bool{}
	var objects []cluster.Object
	for i, ref := range snap.Objects {
		name := ref.Group() + ref.String()
		if seen[name] {
			continue
		}
		seen[name] = true
		o := cluster.Object{APIVersion: ref.APIVersion, Kind: ref.Kind, JSON: bytes.Clone(ref.JSON)}
		k, _ := kind.Find(ref.Group(), ref.Kind)
		switch {
		case secrets[ref] != nil:
			o.Typed, o.JSON = &corev1.Secret{Type: secrets[ref].Type}, nil
		case k.New != nil && k.Fact == "":
			o.Typed, o.JSON = &metav1.PartialObjectMetadata{}, nil
		case k.New != nil:
			o.Typed, o.JSON = k.New().(metav1.Object), nil
			if err := json.Unmarshal(ref.JSON, o.Typed); err != nil {
				t.Fatal(err)
			}
		}
		if o.Typed != nil {
			o.Typed.SetName(ref.Name)
			o.Typed.SetNamespace(ref.Namespace)
			if o.Typed.GetUID() == "" {
				o.Typed.SetUID(types.UID(fmt.Sprint("uid-", i)))
			}
			o.Typed.SetCreationTimestamp(metav1.NewTime(created.Add(time.Duration(i) * time.Second)))
			o.Typed.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody"}})
		}
		objects = append(objects, o)
	}
	return objects
}

func aCluster() *evidence.Cluster {
	return &evidence.Cluster{Name: "prod", Server: "https://api.example.com", User: "auditor", Namespaces: []string{"shop"}, CollectedAt: created}
}

// fill feeds a sink as a live cluster does.
func fill(t testing.TB, sink cluster.Sink, c *evidence.Cluster, objects []cluster.Object) {
	t.Helper()
	for i, o := range objects {
		if err := sink.Add(o); err != nil {
			t.Fatal(err)
		}
		if i == len(objects)/2 {
			sink.Gap(evidence.Gap{Fact: evidence.LimitRanges, Scope: "shop", Reason: "limitranges is forbidden"})
		}
	}
	c.UID, c.Version = "u-1", "v1.36.3"
	c.Lists = []evidence.Listing{{Resource: "pods", Objects: 3}, {Resource: "limitranges", Namespace: "shop", Error: "forbidden"}}
}

// TestCluster: what goes through a snapshot is judged as what does not.
func TestCluster(t *testing.T) {
	for _, path := range []string{"../../../examples/shop", "../../checks/testdata", "../carrier/testdata", "testdata/served.yaml"} {
		t.Run(path, func(t *testing.T) {
			direct := &evidence.Snapshot{}
			c := aCluster()
			b := cluster.NewBuilder(direct, c)
			b.KeepJSON = true
			fill(t, b, c, served(t, readFiles(t, path)))
			b.Finish()

			through := load(t, write(t, func(w *snapshot.Writer) { addCluster(t, w, served(t, readFiles(t, path))) }))
			if diff := cmp.Diff(judge(t, direct), judge(t, through[0])); diff != "" {
				t.Errorf("-direct +through\n%s", diff)
			}
			if diff := cmp.Diff(direct.Objects, through[0].Objects, same, cmpopts.IgnoreFields(evidence.Ref{}, "Source")); diff != "" {
				t.Errorf("-direct +through\n%s", diff)
			}
			for i, ref := range direct.Objects {
				if diff := cmp.Diff(parsed(t, ref.JSON), parsed(t, through[0].Objects[i].JSON)); diff != "" {
					t.Errorf("%s: -direct +through\n%s", ref, diff)
				}
			}
		})
	}
}

func parsed(t testing.TB, text []byte) (object map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func addCluster(t testing.TB, w *snapshot.Writer, objects []cluster.Object) {
	t.Helper()
	c := aCluster()
	sink, err := w.Cluster(c)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, sink, c, objects)
	if err := sink.Finish(); err != nil {
		t.Fatal(err)
	}
}

// TestWorlds: several clusters and files are kept apart, in order.
func TestWorlds(t *testing.T) {
	snap := readFiles(t, "../../../examples/shop")
	data := write(t, func(w *snapshot.Writer) {
		addCluster(t, w, served(t, snap)[:3])
		if err := w.Files(snap); err != nil {
			t.Fatal(err)
		}
		addCluster(t, w, nil)
	})
	worlds, header, err := snapshot.Load(context.Background(), bytes.NewReader(data), snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if header.Tool != (snapshot.Tool{Name: "gabion", Version: "v0.1.0"}) || !header.CreatedAt.Equal(created) || header.FormatVersion != snapshot.FormatVersion {
		t.Errorf("header %+v", header)
	}
	var got []string
	for _, w := range worlds {
		got = append(got, fmt.Sprint(w.Cluster != nil, len(w.Objects), len(w.Gaps)))
		for _, ref := range w.Objects {
			if ref.JSON != nil {
				t.Fatalf("%s has JSON, which nobody asked for", ref)
			}
		}
	}
	if want := []string{"true 3 1", fmt.Sprint(false, len(snap.Objects), len(snap.Gaps)), "true 0 0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if c := worlds[0].Cluster; c.UID != "u-1" || len(c.Lists) != 2 || worlds[0].Sources[0].Cluster != c {
		t.Errorf("%+v", c)
	}
}

// canary is the value of every Secret; none of what stands for it may be anywhere.
const canary = "s3cr3t-canary"

func leaks(text string) bool {
	return strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary)))
}

func TestNoSecretValues(t *testing.T) {
	applied := map[string]string{
		corev1.LastAppliedConfigAnnotation: `{"data":{"password":"` + canary + `"}}`,
		"example.com/copy":                 canary,
		corev1.ServiceAccountNameKey:       "builder",
	}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "shop", Annotations: applied,
			ManagedFields: []metav1.ManagedFieldsEntry{{FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"` + canary + `":{}}`)}}}}
	}
	nested := `{"metadata":{"name":"t","managedFields":[{"manager":"` + canary + `"}],"annotations":{"` + corev1.LastAppliedConfigAnnotation + `":"` + canary + `","kept":"kept"}},
		"objects":[{"kind":"Secret","metadata":{"annotations":{"` + corev1.LastAppliedConfigAnnotation + `":"` + canary + `"}},"data":{"a":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"},"stringData":{"b":"` + canary + `"}}],"big":12345678901234567890}`
	file := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(file, []byte(`
apiVersion: v1
kind: Secret
metadata: {name: plain, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"a":"`+canary+`"}}'}}
data: {a: `+base64.StdEncoding.EncodeToString([]byte(canary))+`}
stringData: {b: `+canary+`}
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: Secret, metadata: {name: listed}, stringData: {b: `+canary+`}}]
---
apiVersion: template.openshift.io/v1
kind: Template
metadata: {name: template}
objects: [{apiVersion: v1, kind: Secret, metadata: {name: inside}, stringData: {b: `+canary+`}}]
---
apiVersion: example.com/v1
kind: Secret
metadata: {name: custom}
data: {b: `+canary+`}
---
apiVersion: v1
kind: Secret
metadata: {name: broken}
stringData: {b: [`+canary+`]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, fill := range map[string]func(*testing.T, *snapshot.Writer){
		"typed": func(t *testing.T, w *snapshot.Writer) {
			addCluster(t, w, []cluster.Object{{APIVersion: "v1", Kind: "Secret", Typed: &corev1.Secret{
				ObjectMeta: meta("s"), Type: corev1.SecretTypeServiceAccountToken, StringData: map[string]string{"a": canary}, Data: map[string][]byte{"a": []byte(canary)}}}})
		},
		"partial": func(t *testing.T, w *snapshot.Writer) {
			addCluster(t, w, []cluster.Object{{APIVersion: "v1", Kind: "Secret", Typed: &metav1.PartialObjectMetadata{ObjectMeta: meta("s")}}})
		},
		"not a Secret": func(t *testing.T, w *snapshot.Writer) {
			m := meta("c")
			m.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: canary}
			addCluster(t, w, []cluster.Object{{APIVersion: "v1", Kind: "ServiceAccount", Typed: &corev1.ServiceAccount{ObjectMeta: m}}})
		},
		"a file's Secret as nobody reads it": func(t *testing.T, w *snapshot.Writer) {
			snap := &evidence.Snapshot{Sources: []*evidence.Source{{}}}
			ref := &evidence.Ref{APIVersion: "v1", Kind: "Secret", Name: "s", Source: snap.Sources[0], JSON: []byte(`{"data":"` + canary + `"}`)}
			ref.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: canary}
			snap.Add(ref, &evidence.Secret{})
			if err := w.Files(snap); err != nil {
				t.Fatal(err)
			}
		},
		"nested": func(t *testing.T, w *snapshot.Writer) {
			addCluster(t, w, []cluster.Object{{APIVersion: "template.openshift.io/v1", Kind: "Template", JSON: []byte(nested)}})
		},
		"files": func(t *testing.T, w *snapshot.Writer) {
			if err := w.Files(readFiles(t, file)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := write(t, func(w *snapshot.Writer) { fill(t, w) })
			text := strings.Join(lines(t, data), "")
			if leaks(text) {
				t.Errorf("a value in the snapshot:\n%s", text)
			}
			if name == "nested" && (!strings.Contains(text, `"kept":"kept"`) || !strings.Contains(text, "12345678901234567890")) {
				t.Errorf("more is gone than the value:\n%s", text)
			}
			for _, world := range load(t, data) {
				for _, s := range world.Secrets {
					if name == "typed" && (s.Type != corev1.SecretTypeServiceAccountToken || s.Annotations[corev1.ServiceAccountNameKey] != "builder") {
						t.Errorf("%+v", s)
					}
				}
			}
		})
	}
	w := snapshot.NewWriter(io.Discard, "v0.1.0", created)
	sink, err := w.Cluster(aCluster())
	if err != nil {
		t.Fatal(err)
	}
	err = sink.Add(cluster.Object{APIVersion: "v1", Kind: "Secret", JSON: []byte(`{"metadata":{"name":"s"},"data":{"a":"` + canary + `"}}`)})
	if err == nil || leaks(err.Error()) {
		t.Errorf("a Secret as JSON: %v", err)
	}
}

// TestWriterRefuses: what would come out as something else does not go in.
func TestWriterRefuses(t *testing.T) {
	pod := func() *corev1.Pod { return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}} }
	for name, o := range map[string]cluster.Object{
		"no kind":               {APIVersion: "v1", Typed: pod()},
		"no name":               {APIVersion: "v1", Kind: "Pod", Typed: &corev1.Pod{}},
		"the wrong type":        {APIVersion: "v1", Kind: "Service", Typed: pod()},
		"a type for a custom":   {APIVersion: "example.com/v1", Kind: "Thing", Typed: pod()},
		"a Secret as another":   {APIVersion: "v1", Kind: "ConfigMap", Typed: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}},
		"JSON of a typed kind":  {APIVersion: "v1", Kind: "Pod", JSON: []byte(`{"metadata":{"name":"p"}}`)},
		"broken JSON":           {APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`{"metadata":{"name":"p"}`)},
		"JSON that is a list":   {APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`[]`)},
		"JSON without name":     {APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`{"metadata":{}}`)},
		"JSON without metadata": {APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`{}`)},
		"nothing":               {APIVersion: "example.com/v1", Kind: "Thing"},
	} {
		t.Run(name, func(t *testing.T) {
			data := write(t, func(w *snapshot.Writer) {
				c := aCluster()
				sink, err := w.Cluster(c)
				if err != nil {
					t.Fatal(err)
				}
				if err := sink.Add(o); err == nil {
					t.Error("no error")
				}
				if _, err := w.Cluster(c); err == nil {
					t.Error("a second cluster before the first is finished")
				}
				if err := w.Files(&evidence.Snapshot{}); err == nil {
					t.Error("files before the cluster is finished")
				}
				if err := w.Close(); err == nil {
					t.Error("closed before the cluster is finished")
				}
				fill(t, sink, c, nil)
				if err := sink.Finish(); err != nil {
					t.Error(err)
				}
				if err := sink.Add(cluster.Object{APIVersion: "v1", Kind: "Pod", Typed: pod()}); err == nil {
					t.Error("an object after the end")
				}
				if err := sink.Finish(); err == nil {
					t.Error("finished twice")
				}
			})
			if worlds := load(t, data); len(worlds) != 1 || len(worlds[0].Objects) != 0 {
				t.Error("the writer did not go on as if nothing had been")
			}
		})
	}
	if err := snapshot.NewWriter(io.Discard, "v0.1.0", created).Close(); err == nil {
		t.Error("a snapshot of nothing")
	}
	snap := &evidence.Snapshot{}
	if err := files.Read(context.Background(), snap, files.Options{Paths: []string{"../../../examples/shop"}}); err != nil {
		t.Fatal(err)
	}
	w := snapshot.NewWriter(io.Discard, "v0.1.0", created)
	if err := w.Files(snap); err == nil || !strings.Contains(err.Error(), "JSON") {
		t.Errorf("objects without JSON: %v", err)
	}
	if err := w.Close(); err == nil {
		t.Error("half of the files are closed as a snapshot")
	}
	w = snapshot.NewWriter(io.Discard, "v0.1.0", created)
	if sink, err := w.Cluster(aCluster()); err != nil || sink.Finish() != nil {
		t.Error(err)
	} else if sink.Gap(evidence.Gap{}); w.Close() == nil {
		t.Error("a gap after the end is lost")
	}
	w = snapshot.NewWriter(io.Discard, "v0.1.0", created)
	huge := &evidence.Snapshot{Gaps: []evidence.Gap{{Reason: strings.Repeat("x", 17<<20)}}}
	if w.Files(huge) == nil {
		t.Error("a line that cannot be read is written")
	}
}

// TestTooBig: one object that a line cannot hold is a gap, and the others are there.
func TestTooBig(t *testing.T) {
	for name, text := range map[string]string{
		"16 MiB":         `"` + strings.Repeat("x", 16<<20) + `"`,
		"500,000 lists":  `[` + strings.Repeat("[],", 500_000) + `[]]`,
		"1,000 levels":   strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		"quoted, so not": `"` + strings.Repeat(`\"[[`, 300_000) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			o := cluster.Object{APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`{"metadata":{"name":"big","namespace":"shop"},"spec":` + text + `}`)}
			small := cluster.Object{APIVersion: "example.com/v1", Kind: "Thing", JSON: []byte(`{"metadata":{"name":"small"}}`)}
			worlds := load(t, write(t, func(w *snapshot.Writer) { addCluster(t, w, []cluster.Object{o, small, small}) }))
			var gaps []string
			for _, g := range worlds[0].Gaps {
				if g.Fact == evidence.Workloads && g.Scope == "shop" {
					gaps = append(gaps, g.Reason)
				}
			}
			want := []string{"Thing shop/big is not in the snapshot"}
			if name == "quoted, so not" {
				want = nil
			}
			if len(gaps) != len(want) || len(gaps)+len(worlds[0].Objects) != 3 {
				t.Fatalf("%q, %d objects", gaps, len(worlds[0].Objects))
			}
			if len(gaps) > 0 && (!strings.HasPrefix(gaps[0], want[0]) || !strings.Contains(gaps[0], name[:5])) {
				t.Errorf("%q", gaps)
			}
		})
	}
}

// TestConcurrently: objects may come from several goroutines, and none is lost.
func TestConcurrently(t *testing.T) {
	const goroutines, each = 8, 50
	data := write(t, func(w *snapshot.Writer) {
		sink, err := w.Cluster(aCluster())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for i := range each {
					pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(g, "-", i)}}
					if err := sink.Add(cluster.Object{APIVersion: "v1", Kind: "Pod", Typed: pod}); err != nil {
						t.Error(err)
					}
				}
				sink.Gap(evidence.Gap{Fact: evidence.Nodes})
			})
		}
		all.Wait()
		if err := sink.Finish(); err != nil {
			t.Fatal(err)
		}
	})
	snap := load(t, data)[0]
	if len(snap.Gaps) != goroutines || len(snap.Objects) != goroutines*each {
		t.Errorf("%d gaps, %d objects", len(snap.Gaps), len(snap.Objects))
	}
}

// full is a disk that is full.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestFull: a fault of the disk is told, wherever it comes.
func TestFull(t *testing.T) {
	snap := readFiles(t, "../../../examples/shop")
	whole := len(write(t, func(w *snapshot.Writer) { _ = w.Files(snap) }))
	for left := 0; left < whole; left += whole/20 + 1 {
		w := snapshot.NewWriter(&full{left}, "v0.1.0", created)
		_ = w.Files(snap)
		if err := w.Close(); err == nil {
			t.Fatalf("no error after %d of %d bytes", left, whole)
		}
	}
}

// TestFormat1: what once was written in format 1 is read for ever.
func TestFormat1(t *testing.T) {
	text, err := os.ReadFile("testdata/format-1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range load(t, zipped(string(text))) {
		for _, ref := range w.Objects {
			at := ref.Position(evidence.NewPath("metadata", "name"))
			got = append(got, fmt.Sprintf("%s %s:%d:%d %s", ref, at.File, at.Line, at.Column, at.ValuesKey))
		}
		for _, s := range w.Secrets {
			got = append(got, fmt.Sprint(s.Type, s.Keys, s.Field, s.Annotations))
		}
		for _, g := range w.Gaps {
			got = append(got, fmt.Sprintf("%+v", g))
		}
		for _, s := range w.Sources {
			got = append(got, fmt.Sprintf("%s %s %d %s", s.Type, s.Ref, s.Objects, s.Errors))
		}
	}
	want, err := os.ReadFile("testdata/format-1.want")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// zipped is text as a file, with the trailer put right if there is one to be.
func zipped(text string) []byte {
	text = strings.ReplaceAll(text, "SUM", sumOf(text[:max(0, strings.LastIndex(text, `{"trailer"`))]))
	var b bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = zip.Write([]byte(text))
	_ = zip.Close()
	return b.Bytes()
}

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
