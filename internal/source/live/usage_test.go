package live

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
)

const (
	coreResources = `{"kind":"APIResourceList","resources":[{"name":"pods","kind":"Pod","namespaced":true,"verbs":["list"]}]}`
	metricGroup   = `{"kind":"APIGroupList","groups":[{"name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}}]}`
	metricList    = `{"kind":"APIResourceList","resources":[{"name":"nodes","kind":"NodeMetrics","verbs":["list"]},{"name":"pods","kind":"PodMetrics","namespaced":true,"verbs":["list"]}]}`
	measured      = `{"kind":"PodMetricsList","items":[{"metadata":{"name":"web","namespace":"shop"},"window":"15s","containers":[{"name":"app","usage":{"cpu":"123456789n","memory":"70000Ki"}}]}]}`
	onePod        = `{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"web","namespace":"shop"},"spec":{"containers":[{"name":"app","image":"app"}]},"status":{"phase":"Running"}}]}`
)

// Metrics are asked for only where that is wanted and they are served, and nothing is
// missing without them.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		name        string
		wanted      bool
		groups      string
		code        int
		cpu, memory string
		asked       bool
	}{
		{"measured", true, metricGroup, 200, "123456789n", "70000Ki", true},
		{"not wanted", false, metricGroup, 200, "0", "0", false},
		{"not served", true, `{"kind":"APIGroupList","groups":[]}`, 200, "0", "0", false},
		{"may not", true, metricGroup, 403, "0", "0", true},
		{"down", true, metricGroup, 503, "0", "0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := false
			c := fake(t, Options{Usage: tt.wanted}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch r.URL.Path {
				case "/version":
					fmt.Fprint(w, `{"gitVersion":"v1.36.0"}`)
				case "/api":
					fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
				case "/apis":
					fmt.Fprint(w, tt.groups)
				case "/api/v1/namespaces":
					fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","items":[]}`)
				case "/api/v1":
					fmt.Fprint(w, coreResources)
				case "/apis/metrics.k8s.io/v1beta1":
					fmt.Fprint(w, metricList)
				case "/apis/metrics.k8s.io/v1beta1/pods":
					if asked = true; tt.code != 200 {
						refuse(tt.code, "no")(w, r)
						return
					}
					fmt.Fprint(w, measured)
				case "/api/v1/pods":
					fmt.Fprint(w, onePod)
				default:
					refuse(404, "not here")(w, r)
				}
			})
			about, err := c.Cluster(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			snap := &evidence.Snapshot{}
			b := cluster.NewBuilder(snap, about)
			if err := c.Collect(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b.Finish()
			if asked != tt.asked {
				t.Errorf("asked: %v", asked)
			}
			if len(snap.Workloads) != 1 {
				t.Fatalf("%d workloads, gaps %v", len(snap.Workloads), snap.Gaps)
			}
			use := snap.Workloads[0].Usage["app"]
			if use.CPU.String() != tt.cpu || use.Memory.String() != tt.memory {
				t.Errorf("%s and %s", use.CPU.String(), use.Memory.String())
			}
			for _, g := range snap.Gaps {
				if g.Touches(evidence.Workloads, "") && strings.Contains(g.Reason, "metrics") {
					t.Errorf("a gap: %v", g)
				}
			}
			told := slices.ContainsFunc(about.Lists, func(l evidence.Listing) bool {
				return l.Resource == "pods.metrics.k8s.io" && (l.Error == "") == (tt.code == 200)
			})
			if told != tt.asked {
				t.Errorf("the lists: %v", about.Lists)
			}
		})
	}
}
