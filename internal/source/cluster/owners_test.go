package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// Each file holds what an API server serves, and in comments what is to be judged of
// it: each workload, how many pods run of it, and what of them is not as written. The
// order in which the objects come does not matter.
func TestOwners(t *testing.T) {
	files, err := filepath.Glob("testdata/owners/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(src)) {
				if text, ok := strings.CutPrefix(line, "# want "); ok {
					want = append(want, strings.TrimSpace(text))
				}
			}
			docs := strings.Split(string(src), "\n---\n")
			slices.Sort(want)
			for seed := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, 0))
				if seed > 0 {
					random.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
				}
				var objects []Object
				for _, doc := range docs {
					objects = append(objects, served(t, doc))
				}
				if diff := cmp.Diff(want, told(build(t, objects...))); diff != "" {
					t.Fatalf("order %d (-want +got):\n%s", seed, diff)
				}
			}
		})
	}
}

// served is the object of a document as the API server would serve it.
func served(t *testing.T, doc string) Object {
	t.Helper()
	var m metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	o := Object{APIVersion: m.APIVersion, Kind: m.Kind}
	group, _, ok := strings.Cut(m.APIVersion, "/")
	if !ok {
		group = ""
	}
	k, ok := kind.Find(group, m.Kind)
	if !ok {
		text, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		o.JSON = text
		return o
	}
	o.Typed = k.New().(metav1.Object)
	if err := yaml.UnmarshalStrict([]byte(doc), o.Typed); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return o
}

func fresh() *Builder { return NewBuilder(&evidence.Snapshot{}, &evidence.Cluster{Name: "test"}) }

func build(t *testing.T, objects ...Object) *evidence.Snapshot {
	t.Helper()
	b := fresh()
	snap := b.snap
	for _, o := range objects {
		if err := b.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	b.Finish()
	if s := snap.Sources[0]; s.Objects != len(objects) || s.Documents != len(objects) {
		t.Errorf("%d objects of %d documents, want %d", s.Objects, s.Documents, len(objects))
	}
	return snap
}

// told are the workloads in words, sorted. What is written comes before what runs.
func told(snap *evidence.Snapshot) (lines []string) {
	var last *evidence.Workload
	for _, w := range snap.Workloads {
		text := w.Ref.String()
		if key := w.PodPath.Key(); key != "" {
			text += " (" + key + ")"
		}
		if w.Instance != "" {
			text += " as " + w.Instance
		}
		text += fmt.Sprintf(": %d running", w.Running)
		if w.Template == nil && w.Owner != "" {
			text += " (of " + w.Owner + ")"
		}
		var differs []string
		for _, d := range w.Differs {
			differs = append(differs, d.Text)
		}
		if len(differs) > 0 {
			text += ": " + strings.Join(differs, "; ")
		}
		if w.Template != nil && w.Template != last {
			text += " OUT OF PLACE"
		}
		if w.Template == nil {
			last = w
		}
		lines = append(lines, text)
	}
	slices.Sort(lines)
	return lines
}

// Whatever owner references say, circles and lies, every pod that runs is counted
// once, the variants of a workload hold no more than it does, and no object is
// reported under the name of two.
func TestEveryPodCountsOnce(t *testing.T) {
	for seed := range uint64(800) {
		random := rand.New(rand.NewPCG(seed, 3))
		objects, want := tangle(t, random)
		snap := build(t, objects...)
		running := map[*evidence.Workload]int{}
		total, names := 0, map[string]*evidence.Ref{}
		for _, w := range snap.Workloads {
			if w.Template != nil {
				running[w.Template] += w.Running
			} else {
				total += w.Running
			}
			if other := names[w.Ref.String()]; other != nil && other != w.Ref {
				t.Fatalf("seed %d: two objects are %s", seed, w.Ref)
			}
			names[w.Ref.String()] = w.Ref
		}
		for w, n := range running {
			if n > w.Running {
				t.Fatalf("seed %d: %s runs %d times, of which %d otherwise", seed, w.Ref, w.Running, n)
			}
		}
		if total != want {
			t.Fatalf("seed %d: %d pods run, want %d: %q", seed, total, want, told(snap))
		}
	}
}

// tangle are objects that own each other at random, and how many pods run.
func tangle(t *testing.T, r *rand.Rand) (objects []Object, running int) {
	t.Helper()
	uid := func() string { return fmt.Sprintf("u%d", r.IntN(8)) }
	for i := range 8 {
		kind := []string{"ReplicaSet", "Job", "Deployment", "StatefulSet", "Pod", "Pod", "Rollout", "Between"}[r.IntN(8)]
		apiVersion := map[string]string{"Job": "batch/v1", "Pod": "v1", "Rollout": "argoproj.io/v1alpha1", "Between": "example.com/v1"}[kind]
		if apiVersion == "" {
			apiVersion = "apps/v1"
		}
		spec := fmt.Sprintf("containers: [{name: a%d, image: b}]", r.IntN(2))
		doc := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: o%d\n  namespace: n%d\n  uid: u%d\n", apiVersion, kind, i, r.IntN(2), i)
		if r.IntN(3) > 0 {
			doc += fmt.Sprintf("  ownerReferences: [{kind: X, name: x, uid: %s, controller: true}]\n", uid())
		}
		if kind == "Job" && r.IntN(2) == 0 {
			doc += "  generateName: o-\n"
		}
		switch kind {
		case "Pod":
			doc += "spec: {" + spec + "}\n"
			running++
		case "Between":
			doc += "spec: {}\n"
		default:
			doc += "spec: {template: {spec: {" + spec + "}}}\n"
		}
		objects = append(objects, served(t, doc))
	}
	return objects, running
}
