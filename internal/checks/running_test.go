package checks

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// changedPods is a DaemonSet with a pod as written, one with a sidecar, one with a
// sidecar and without a label; and an operator's object that its pods complete.
const changedPods = `# cluster: {"version": "v1.36.3"}
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: shop, uid: d1}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "example.com/web:2", securityContext: {runAsNonRoot: true, privileged: true}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-a
  namespace: shop
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: web, uid: d1, controller: true}]
spec:
  containers: [{name: web, image: "example.com/web:2", securityContext: {runAsNonRoot: true, privileged: true}}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-b
  namespace: shop
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: web, uid: d1, controller: true}]
spec:
  containers:
    - {name: proxy, image: "example.com/proxy:2", securityContext: {privileged: true}}
    - {name: web, image: "example.com/web:2", securityContext: {runAsNonRoot: true, privileged: true}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-c
  namespace: shop
  labels: {app: hidden}
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: web, uid: d1, controller: true}]
spec:
  containers:
    - {name: proxy, image: "example.com/proxy:2", securityContext: {privileged: true}}
    - {name: web, image: "example.com/web:2", securityContext: {runAsNonRoot: true, privileged: true}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: main, namespace: shop, uid: p1}
spec:
  image: "quay.io/prometheus/prometheus:v3"
---
apiVersion: v1
kind: Pod
metadata:
  name: prometheus-0
  namespace: shop
  labels: {app: web}
  ownerReferences: [{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, name: main, uid: p1, controller: true}]
spec:
  containers:
    - {name: prometheus, image: "quay.io/prometheus/prometheus:v3", securityContext: {runAsNonRoot: true}}
    - {name: reloader, image: "quay.io/reloader:v1", securityContext: {privileged: true}}
`

// Of what runs only what is not written is reported, once for all pods, and said so.
// What an operator completes is known once it runs.
func TestWhatRuns(t *testing.T) {
	const inB, inC, inP = ` (so in running pod web-b, not in the template)`, ` (so in running pod web-c, not in the template)`, ` (so in running pod prometheus-0, not in the template)`
	for _, test := range []struct {
		check *check.Check
		want  []string
	}{
		{PrivilegedContainer, []string{
			`web: container "web" runs privileged`,
			`web: container "proxy" runs privileged` + inB,
			`main: container "reloader" runs privileged` + inP,
		}},
		{PodNotSelected, []string{`web: no network policy isolates the pods of DaemonSet "web" for ingress or egress` + inC}},
	} {
		run := checktest.Judge(t, "running.yaml", changedPods, test.check)
		var got []string
		for _, f := range run.Failures {
			got = append(got, f.Ref.Name+": "+f.Problem.Message)
			if f.Problem.Fix != nil && strings.Contains(f.Problem.Message, "not in the template") {
				t.Errorf("%s: a fix for what is not written: %s", test.check.ID, f.Problem.Message)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.check.ID, diff)
		}
		if len(run.Unknowns) > 0 {
			t.Errorf("%s: %v", test.check.ID, run.Unknowns)
		}
	}
}

// Of problems at the same field of pods that are reported under one name, the worst
// counts: else a harmless one could stand before it.
func TestWorstCounts(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: NAME, generateName: try-, namespace: shop}
spec:
  containers: [{name: a, image: b, volumeMounts: [{name: host, mountPath: /host, readOnly: true}]}]
  volumes: [{name: host, hostPath: {path: PATH}}]
`
	for _, names := range [][2]string{{"try-a", "try-b"}, {"try-b", "try-a"}} {
		src := "# cluster: {\"version\": \"v1.36.3\"}"
		for i, path := range []string{"/var/lib/app", "/"} {
			src += strings.NewReplacer("NAME", names[i], "PATH", path).Replace(pod) + "---"
		}
		run := checktest.Judge(t, "worst.yaml", strings.TrimSuffix(src, "---"), HostPath)
		if len(run.Failures) != 1 || run.Failures[0].Problem.Value != "/" || run.Failures[0].Problem.Severity != guide.Critical {
			t.Errorf("%v: %+v", names, run.Failures)
		}
	}
}

// No check says the same of an object twice, however many workloads it has.
func TestNothingTwice(t *testing.T) {
	scan := checktest.Scan(t, "running.yaml", changedPods)
	for _, c := range All() {
		run := &check.Run{Scan: scan}
		c.Run(run)
		said := map[string]bool{}
		for _, f := range run.Failures {
			key := f.Ref.String() + " " + f.Problem.Container + " " + f.Problem.Path.Key()
			if said[key] {
				t.Errorf("%s: twice: %s", c.ID, key)
			}
			said[key] = true
		}
	}
}

// What is found of a template is the same whether it was read from files or from a
// cluster that runs it unchanged.
func TestRunningUnchanged(t *testing.T) {
	docs := strings.Split(changedPods, "\n---\n")
	whole, unchanged := docs[1]+"\n---\n"+docs[2], strings.Join(docs[:4], "\n---\n")
	for _, c := range All() {
		files := &evidence.Snapshot{}
		manifest.Add(files, &evidence.Source{}, new(manifest.Reader).Read("a.yaml", []byte(whole)))
		scan := check.NewScan(files, check.Settings{Version: evidence.Newest()})
		live := checktest.Scan(t, "running.yaml", unchanged)
		if !c.Asks(live.Snapshot) || !c.Asks(files) {
			continue
		}
		ofWorkload := func(s *check.Scan) (said []string) {
			run := &check.Run{Scan: s}
			c.Run(run)
			for _, f := range run.Failures {
				if f.Ref.Kind == "DaemonSet" && !slices.Contains(c.Needs, evidence.NetworkPolicies) {
					said = append(said, f.Problem.Path.Key()+" "+f.Problem.Message)
				}
			}
			return said
		}
		if diff := cmp.Diff(ofWorkload(scan), ofWorkload(live)); diff != "" {
			t.Errorf("%s (-files +live):\n%s", c.ID, diff)
		}
	}
}
