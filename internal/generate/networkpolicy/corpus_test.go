package networkpolicy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// corpusFolder names a folder with the manifests of public projects, which are not
// ours to keep here.
const corpusFolder = "GABION_CORPUS"

// Who calls whom in public projects, by their documentation: under what is written,
// each of these calls is open and no other between workloads.
func TestCorpus(t *testing.T) {
	root := os.Getenv(corpusFolder)
	if root == "" {
		t.Skip(corpusFolder + " is not set")
	}
	monitoring := map[string][]string{
		"k8s":                {"main", "blackbox-exporter", "grafana", "kube-state-metrics", "prometheus-adapter", "prometheus-operator", "node-exporter"},
		"grafana":            {"k8s"},
		"prometheus-adapter": {"k8s"},
	}
	for _, test := range []struct {
		path  string
		calls map[string][]string
	}{
		{"GoogleCloudPlatform__microservices-demo/release/kubernetes-manifests.yaml", boutique},
		{"stefanprodan__podinfo/deploy/webapp", map[string][]string{"frontend": {"backend"}}},
		{"stefanprodan__podinfo/deploy/secure", map[string][]string{"frontend": {"backend"}}},
		{"prometheus-operator__kube-prometheus/manifests", monitoring},
	} {
		snap := &evidence.Snapshot{}
		if err := files.Read(t.Context(), snap, files.Options{Paths: []string{filepath.Join(root, filepath.FromSlash(test.path))}, Manifest: manifest.Options{KeepJSON: true}}); err != nil {
			t.Fatal(err)
		}
		whole := newCatalog(snap, Options{}).Snap
		var want []string
		for from, list := range test.calls {
			for _, to := range list {
				want = append(want, from+" "+to)
			}
		}
		slices.Sort(want)
		for _, f := range flavours() {
			r, err := Generate(snap, known(t, f))
			if err != nil {
				t.Fatalf("%s, flavour %d: %v", test.path, f, err)
			}
			var got []string
			for pair, open := range opened(t, whole, r.Text, f) {
				if open && !toNode(whole, pair) {
					got = append(got, pair)
				}
			}
			slices.Sort(got)
			wanted := slices.DeleteFunc(slices.Clone(want), func(pair string) bool { return toNode(whole, pair) })
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("%s, flavour %d: %s", test.path, f, diff)
			}
		}
	}
}

// toNode reports whether an end of a pair is in the network of its node, which no
// policy of ours is about.
func toNode(snap *evidence.Snapshot, pair string) bool {
	return slices.ContainsFunc(snap.Workloads, func(w *evidence.Workload) bool {
		return w.Pod.HostNetwork && (len(pair) > len(w.Name) && (pair[:len(w.Name)+1] == w.Name+" " || pair[len(pair)-len(w.Name)-1:] == " "+w.Name))
	})
}

// After generation a scan finds the namespaces of these projects isolated, and no rule
// that nothing asks for. Policies that a project has itself are left out: that somebody
// once allowed a connection does not show that anybody needs it.
func TestCorpusRescan(t *testing.T) {
	root := os.Getenv(corpusFolder)
	if root == "" {
		t.Skip(corpusFolder + " is not set")
	}
	// Only files that make a namespace can show that nothing else is in it.
	for path, docs := range map[string]string{
		"GoogleCloudPlatform__microservices-demo/release/kubernetes-manifests.yaml": object("v1", "Namespace", "default", ""),
		"stefanprodan__podinfo/deploy/webapp":                                       "",
		"stefanprodan__podinfo/deploy/secure":                                       "",
		"prometheus-operator__kube-prometheus/manifests":                            "",
	} {
		t.Run(path, func(t *testing.T) {
			err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(path)), func(file string, _ os.DirEntry, err error) error {
				if err != nil || filepath.Ext(file) != ".yaml" || strings.Contains(file, "networkPolicy") {
					return err
				}
				text, err := os.ReadFile(file)
				docs += "\n---\n" + string(text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			r, err := Generate(load(t, docs), Options{})
			if err != nil {
				t.Fatal(err)
			}
			wantRows(t, path, rows(t, load(t, docs+"\n"+r.Text), Options{}.Network), report.Pass)
			wantRows(t, path+", without the policies", rows(t, load(t, docs), Options{}.Network), report.Fail)
		})
	}
}
