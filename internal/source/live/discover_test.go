package live

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
)

// An older server, with an extension API server that publishes no schema and
// whose objects own pods.
var old = map[string]string{
	"/version":                      `{"gitVersion": "v1.20.0"}`,
	"/api":                          `{"kind": "APIVersions", "versions": ["v1"]}`,
	"/api/v1":                       `{"kind": "APIResourceList", "resources": [{"name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["list"]}, {"name": "pods/log", "kind": "Pod", "verbs": ["get"]}]}`,
	"/apis":                         `{"kind": "APIGroupList", "groups": [{"name": "batch", "versions": [{"version": "v1beta1"}]}, {"name": "ships.example", "versions": [{"version": "v1"}]}, {"name": "down.example", "versions": [{"version": "v1"}]}]}`,
	"/apis/batch/v1beta1":           `{"kind": "APIResourceList", "resources": [{"name": "cronjobs", "kind": "CronJob", "namespaced": true, "verbs": ["list"]}]}`,
	"/apis/ships.example/v1":        `{"kind": "APIResourceList", "resources": [{"name": "fleets", "kind": "Fleet", "namespaced": true, "verbs": ["list"]}, {"name": "flags", "kind": "Flag", "verbs": ["list"]}, {"name": "../evil", "kind": "Evil", "verbs": ["list"]}]}`,
	"/api/v1/namespaces":            `{"kind": "NamespaceList", "items": []}`,
	"/api/v1/pods":                  `{"kind": "PodList", "items": [{"metadata": {"name": "p", "ownerReferences": [{"apiVersion": "ships.example/v1", "kind": "Fleet", "name": "f", "uid": "1", "controller": true}]}}]}`,
	"/apis/batch/v1beta1/cronjobs":  `{"kind": "CronJobList", "items": [{"metadata": {"name": "nightly"}, "spec": {"schedule": "@daily"}}]}`,
	"/apis/ships.example/v1/fleets": `{"kind": "FleetList", "items": [{"metadata": {"name": "f"}}]}`,
}

func TestOldServer(t *testing.T) {
	c := fake(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		text, ok := old[r.URL.Path]
		switch {
		case strings.HasSuffix(r.URL.Path, "/cronjobs") && strings.Contains(r.Header.Get("Accept"), "protobuf"):
			t.Error("asked for protobuf of a version that has another shape")
		case r.URL.Path == "/apis/down.example/v1":
			w.WriteHeader(http.StatusServiceUnavailable)
		case !ok && !strings.HasPrefix(r.URL.Path, "/openapi/"):
			t.Errorf("asked for %s", r.URL.Path)
			fallthrough
		case !ok:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(text))
		}
	})
	sink := &keeper{}
	if err := c.Collect(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	want := []string{"batch/v1beta1 CronJob nightly", "v1 Pod p", "ships.example/v1 Fleet f"}
	if diff := cmp.Diff(want, sink.names); diff != "" {
		t.Error(diff)
	}
	if len(sink.jobs) != 1 || sink.jobs[0].Spec.Schedule != "@daily" {
		t.Errorf("got %v", sink.jobs)
	}
	if len(sink.gaps) != 1 || sink.gaps[0].Fact != evidence.Workloads || !strings.Contains(sink.gaps[0].Reason, "503") {
		t.Errorf("gaps: %v", sink.gaps)
	}
}

// Without what the server says that it serves, the built-in kinds are asked for,
// and all that custom ones could show is a gap.
func TestNoDiscovery(t *testing.T) {
	c := fake(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		switch text, ok := old[r.URL.Path]; {
		case r.URL.Path == "/api", r.URL.Path == "/apis":
			refuse(403, "no")(w, r)
		case ok:
			w.Write([]byte(text))
		default:
			http.NotFound(w, r)
		}
	})
	sink := &keeper{}
	if err := c.Collect(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"v1 Pod p"}, sink.names); diff != "" {
		t.Error(diff)
	}
	var facts []evidence.Fact
	for _, g := range sink.gaps {
		facts = append(facts, g.Fact)
	}
	slices.Sort(facts)
	want := []evidence.Fact{evidence.Admission, evidence.Mesh, evidence.NetworkPolicies, evidence.Others, evidence.Profiles, evidence.Exposure, evidence.Workloads}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Error(diff)
	}
}

type keeper struct {
	gapSink
	names []string
	jobs  []*batchv1.CronJob
}

func (k *keeper) Add(o cluster.Object) error {
	var named struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	name := ""
	if o.Typed != nil {
		name = o.Typed.GetName()
	} else if json.Unmarshal(o.JSON, &named) == nil {
		name = named.Metadata.Name
	}
	k.names = append(k.names, o.APIVersion+" "+o.Kind+" "+name)
	if job, ok := o.Typed.(*batchv1.CronJob); ok {
		k.jobs = append(k.jobs, job)
	}
	return nil
}
