package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// snapshotOf reads manifests as the program does.
func snapshotOf(t testing.TB, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	o := files.Options{Paths: []string{"-"}, Stdin: strings.NewReader(text), Manifest: manifest.Options{KeepJSON: true}}
	if err := files.Read(t.Context(), snap, o); err != nil {
		t.Fatal(err)
	}
	for _, s := range snap.Sources {
		if len(s.Errors) > 0 {
			t.Fatal(s.Errors)
		}
	}
	return snap
}

// one is what is generated for the one namespace of some manifests.
func one(t testing.TB, text string, headroom int) *Namespace {
	t.Helper()
	r, err := Generate(snapshotOf(t, text), Options{Headroom: headroom})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Namespaces) != 1 {
		t.Fatalf("%d namespaces", len(r.Namespaces))
	}
	return r.Namespaces[0]
}

// deployment is one with a pod and whatever else its spec has.
func deployment(spec, pod string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {%s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {%s}}}}\n", spec, pod)
}

// How many pods there may be at once, and what each counts, by hand.
func TestQuota(t *testing.T) {
	const sized = "containers: [{name: web, image: web, resources: {requests: {cpu: 100m, memory: 100Mi}, limits: {cpu: 200m, memory: 200Mi}}}]"
	job := func(kind, spec string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n{apiVersion: batch/v1, kind: %s, metadata: {name: job, namespace: shop}, spec: {%s}}\n", kind, spec)
	}
	template := "template: {spec: {restartPolicy: Never, " + sized + "}}"
	scaler := "---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: shop}, spec: {maxReplicas: 10, scaleTargetRef: {kind: Deployment, name: web}}}\n"
	for name, tt := range map[string]struct {
		text        string
		pods        int64
		cpu, limits string
	}{
		"one":              {deployment("strategy: {type: Recreate}", sized), 3, "100m", "200m"},
		"rolling":          {deployment("replicas: 4", sized), 5, "500m", "1"},
		"surge is rounded": {deployment("replicas: 5", sized), 7, "700m", "1400m"},
		"surge":            {deployment("replicas: 4, strategy: {rollingUpdate: {maxSurge: 3}}", sized), 7, "700m", "1400m"},
		"scaled":           {deployment("replicas: 4, strategy: {type: Recreate}", sized) + scaler, 10, "1", "2"},
		"keda":             {deployment("replicas: 1, strategy: {type: Recreate}", sized) + "---\n{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: web, namespace: shop}, spec: {maxReplicaCount: 4, scaleTargetRef: {name: web}}}\n", 4, "400m", "800m"},
		"parallel":         {job("Job", "parallelism: 5, completions: 3, "+template), 3, "300m", "600m"},
		"forbid":           {job("CronJob", "schedule: '@daily', concurrencyPolicy: Forbid, jobTemplate: {spec: {parallelism: 3, "+template+"}}"), 3, "300m", "600m"},
		"allow":            {job("CronJob", "schedule: '@daily', jobTemplate: {spec: {parallelism: 3, "+template+"}}"), 6, "600m", "1200m"},
		"init":             {deployment("strategy: {type: Recreate}", "initContainers: [{name: i, image: i, resources: {limits: {cpu: 1}}}], "+sized), 3, "1", "1"},
		"sidecar": {deployment("strategy: {type: Recreate}", "initContainers: [{name: s, image: s, restartPolicy: Always, resources: {limits: {cpu: 50m}}}, {name: i, image: i, resources: {limits: {cpu: 120m}}}], "+sized),
			3, "170m", "250m"},
		"whole limits": {deployment("strategy: {type: Recreate}", "resources: {limits: {cpu: 300m}}, containers: [{name: web, image: web}]"), 3, "300m", "300m"},
		"whole pod":    {deployment("strategy: {type: Recreate}", "resources: {requests: {cpu: 150m}, limits: {cpu: 300m}}, "+sized), 3, "150m", "300m"},
		"overhead":     {deployment("strategy: {type: Recreate}", "overhead: {cpu: 250m}, "+sized), 3, "350m", "450m"},
		"nothing":      {"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", 7, "500m", "2500m"},
		"endless":      {deployment("replicas: 2147483647, strategy: {type: Recreate}", "containers: [{name: web, image: web, resources: {limits: {cpu: 9E, memory: 9E}}}]"), 2147483649, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := one(t, tt.text, 0)
			hard := n.Quota.Spec.Hard
			pods := hard[corev1.ResourcePods]
			if want := max(tt.pods, 0); pods.Value() != want && pods.Value() != want+spare {
				t.Errorf("%s pods, want %d: %q", pods.String(), want, n.quotaNotes)
			}
			for key, want := range map[corev1.ResourceName]string{corev1.ResourceRequestsCPU: tt.cpu, corev1.ResourceLimitsCPU: tt.limits} {
				if got := hard[key]; want != "" && got.Cmp(resource.MustParse(want)) != 0 {
					t.Errorf("%s is %s, want %s: %q", key, got.String(), want, n.quotaNotes)
				}
			}
			if len(n.Refused) > 0 && name != "endless" {
				t.Error(n.Refused)
			}
		})
	}
}

// What LimitRanger says, by its source: bounds of containers and of pods, and ratios.
func TestAdmit(t *testing.T) {
	for _, tt := range []struct{ item, pod, refused string }{
		{"type: Container, max: {cpu: 1}", "containers: [{name: a, resources: {limits: {cpu: 1}}}]", ""},
		{"type: Container, max: {cpu: 1}", "containers: [{name: a, resources: {limits: {cpu: 1001m}}}]", "max cpu is 1"},
		{"type: Container, max: {cpu: 1}", "containers: [{name: a}]", "max cpu is 1"},
		{"type: Container, max: {cpu: 1}, default: {cpu: 500m}", "containers: [{name: a}]", ""},
		{"type: Container, default: {cpu: 500m}", "containers: [{name: a, resources: {requests: {cpu: 600m}}}]", "more than its limit"},
		{"type: Container, max: {cpu: 1}", "initContainers: [{name: i, resources: {limits: {cpu: 2}}}], containers: [{name: a, resources: {limits: {cpu: 1}}}]", `container "i"`},
		{"type: Container, min: {cpu: 10m}", "containers: [{name: a, resources: {limits: {cpu: 5m}}}]", "min cpu is 10m"},
		{"type: Container, min: {cpu: 10m}", "containers: [{name: a}]", "min cpu is 10m"},
		{"type: Container, min: {cpu: 10m}, defaultRequest: {cpu: 10m}", "containers: [{name: a}]", ""},
		{"type: Container, maxLimitRequestRatio: {cpu: 2}", "containers: [{name: a, resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}}]", ""},
		{"type: Container, maxLimitRequestRatio: {cpu: 2}", "containers: [{name: a, resources: {requests: {cpu: 100m}, limits: {cpu: 201m}}}]", "2 times"},
		{"type: Container, maxLimitRequestRatio: {cpu: 2}", "containers: [{name: a, resources: {limits: {cpu: 201m}}}]", ""},
		{"type: Pod, max: {cpu: 1}", "containers: [{name: a, resources: {limits: {cpu: 600m}}}, {name: b, resources: {limits: {cpu: 600m}}}]", "the pod"},
		{"type: Pod, max: {cpu: 1}", "initContainers: [{name: i, resources: {limits: {cpu: 600m}}}], containers: [{name: a, resources: {limits: {cpu: 600m}}}]", ""},
		{"type: Pod, max: {cpu: 1}", "initContainers: [{name: i, restartPolicy: Always, resources: {limits: {cpu: 600m}}}], containers: [{name: a, resources: {limits: {cpu: 600m}}}]", "the pod"},
		{"type: Pod, max: {cpu: 1}", "resources: {limits: {cpu: 900m}}, containers: [{name: a, resources: {requests: {cpu: 100m}, limits: {cpu: 600m}}}, {name: b, resources: {requests: {cpu: 100m}, limits: {cpu: 600m}}}]", ""},
		{"type: Pod, max: {cpu: 1}", "resources: {limits: {cpu: 1200m}}, containers: [{name: a}]", "the pod requests 1200m"},
		{"type: Container, default: {cpu: 1}", "resources: {limits: {cpu: 900m}}, containers: [{name: a}]", "above that of the pod"},
		{"type: Container, defaultRequest: {cpu: 600m}", "resources: {requests: {cpu: 1}}, containers: [{name: a}, {name: b}]", "request 1200m of cpu together"},
	} {
		lr, pod := &corev1.LimitRange{}, &corev1.PodSpec{}
		for text, into := range map[string]any{"{spec: {limits: [{" + tt.item + "}]}}": lr, "{" + tt.pod + "}": pod} {
			if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		_, why := Admit(lr, pod)
		if got := strings.Join(why, "; "); (tt.refused == "") != (got == "") || !strings.Contains(got, tt.refused) {
			t.Errorf("%s\n%s:\n got %q, want %q", tt.item, tt.pod, got, tt.refused)
		}
	}
}

// drawnPod is a pod that is valid by itself, of whatever shape.
func drawnPod(t *rapid.T) string {
	amounts := map[string][]string{"cpu": {"1m", "5m", "100m", "750m", "4"}, "memory": {"1Mi", "64Mi", "600Mi", "5Gi"}}
	resources := func() string {
		requests, limits := []string{}, []string{}
		for _, name := range []string{"cpu", "memory"} {
			list := amounts[name]
			r := rapid.IntRange(-1, len(list)-1).Draw(t, "request")
			l := rapid.IntRange(max(r, 0)-1, len(list)-1).Draw(t, "limit")
			if r >= 0 {
				requests = append(requests, name+": "+list[r])
			}
			if l >= max(r, 0) {
				limits = append(limits, name+": "+list[l])
			}
		}
		return fmt.Sprintf("resources: {requests: {%s}, limits: {%s}}", strings.Join(requests, ", "), strings.Join(limits, ", "))
	}
	container := func(prefix string, i int) string {
		restart := ""
		if prefix == "i" && rapid.Bool().Draw(t, "sidecar") {
			restart = "restartPolicy: Always, "
		}
		return fmt.Sprintf("{name: %s%d, image: x, %s%s}", prefix, i, restart, resources())
	}
	var init, regular []string
	for i := range rapid.IntRange(0, 2).Draw(t, "init") {
		init = append(init, container("i", i))
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "containers") {
		regular = append(regular, container("c", i))
	}
	return fmt.Sprintf("initContainers: [%s], containers: [%s]", strings.Join(init, ", "), strings.Join(regular, ", "))
}

// Whatever is there is admitted, and the quota holds it: also at no headroom at all.
func TestAllAdmitted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := deployment(fmt.Sprintf("replicas: %d", rapid.IntRange(0, 9).Draw(rt, "replicas")), drawnPod(rt))
		headroom := rapid.IntRange(0, 200).Draw(rt, "headroom")
		n := one(t, text, headroom)
		if len(n.Refused) > 0 {
			rt.Fatalf("%s\nrefused: %q", text, n.Refused)
		}
		item := n.LimitRange.Spec.Limits[0]
		for _, name := range judged {
			order := []resource.Quantity{item.Min[name], item.DefaultRequest[name], item.Default[name], item.Max[name]}
			if !slices.IsSortedFunc(order, func(a, b resource.Quantity) int { return a.Cmp(b) }) {
				rt.Fatalf("%s\n%s: min, default request, default and max are %v", text, name, order)
			}
		}
		w := n.workloads[0]
		full, _ := Admit(n.LimitRange, w.Pod)
		for _, c := range computed {
			sum, q := total(full, c.limits, true)[c.of], n.Quota.Spec.Hard[c.hard]
			if number(q, c.of) < times(number(sum, c.of), w.pods) {
				rt.Fatalf("%s\n%s %s does not hold %d times %s", text, c.hard, q.String(), w.pods, sum.String())
			}
		}
	})
}

// What is not known is said, and what would be refused all the same is named.
func TestSaid(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nodes":     {"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a, namespace: shop}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}}}\n", "how many nodes there are was not seen"},
		"elsewhere": {"{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {containers: [{name: a, image: a}]}}\n", "do not create namespace"},
		"bare":      {deployment("replicas: 1", "containers: [{name: web, image: web, resources: {limits: {cpu: 1}}}]"), `Deployment shop/web, container "web": no memory request, memory limit`},
		"refused":   {deployment("replicas: 1", "resources: {limits: {cpu: 100m}}, containers: [{name: web, image: web, resources: {requests: {cpu: 200m}}}]"), "REFUSED"},
		"several":   {deployment("replicas: 1", "containers: [{name: web, image: web}]") + "---\n{apiVersion: v1, kind: LimitRange, metadata: {name: a, namespace: shop}}\n---\n{apiVersion: v1, kind: LimitRange, metadata: {name: b, namespace: shop}}\n", "There are 2 LimitRanges already"},
		"kept":      {deployment("replicas: 1", "containers: [{name: web, image: web}]") + "---\n{apiVersion: v1, kind: LimitRange, metadata: {name: a, namespace: shop}, spec: {limits: [{type: Container, default: {cpu: 300m}}, {type: PersistentVolumeClaim, max: {storage: 5Gi}}]}}\n", "cpu default 300m: as today."},
		"unread":    {deployment("replicas: 1", "containers: [{name: web, image: web}]") + "---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: shop}}\n", "HorizontalPodAutoscaler shop/web was not read whole"},
		"hostile":   {deployment("replicas: 1", "containers: [{name: \"a\\n- b\", image: web}]"), `container "a\n- b"`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Generate(snapshotOf(t, tt.text), Options{Headroom: 50})
			if err != nil {
				t.Fatal(err)
			}
			ranges, err := r.LimitRanges()
			if err != nil {
				t.Fatal(err)
			}
			quotas, err := r.ResourceQuotas()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(ranges+quotas, tt.want) {
				t.Errorf("nothing of %q:\n%s%s", tt.want, ranges, quotas)
			}
			// What was made is read again, and is the same.
			snap := snapshotOf(t, ranges+"---\n"+quotas)
			if len(snap.LimitRanges) != 1 || len(snap.ResourceQuotas) != 1 || snap.LimitRanges[0].Name != r.Namespaces[0].LimitRange.Name {
				t.Errorf("%d LimitRanges and %d quotas are read again", len(snap.LimitRanges), len(snap.ResourceQuotas))
			}
		})
	}
}

// What containers without numbers were measured to use sets the defaults; one that is not
// among what is written, but runs, counts as well.
func TestMeasured(t *testing.T) {
	snap := snapshotOf(t, deployment("replicas: 2, strategy: {type: Recreate}", "containers: [{name: web, image: web, resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}}]"))
	w := snap.Workloads[0]
	w.Usage = map[string]evidence.Use{
		"web":   {CPU: resource.MustParse("1200m"), Memory: resource.MustParse("1Gi"), Pods: 2},
		"proxy": {CPU: resource.MustParse("1m"), Memory: resource.MustParse("1000Mi"), Pods: 2},
	}
	runs := &evidence.Workload{Ref: w.Ref, Template: w, Instance: "web-1", Running: 2, Pod: w.Pod.DeepCopy()}
	runs.Pod.Containers = append(runs.Pod.Containers, corev1.Container{Name: "proxy"})
	snap.Workloads = append(snap.Workloads, runs)
	r, err := Generate(snap, Options{Headroom: 50})
	if err != nil {
		t.Fatal(err)
	}
	n := r.Namespaces[0]
	item := n.LimitRange.Spec.Limits[0]
	for what, q := range map[string][2]resource.Quantity{
		"cpu defaultRequest":    {item.DefaultRequest[corev1.ResourceCPU], resource.MustParse("1800m")},
		"cpu default":           {item.Default[corev1.ResourceCPU], resource.MustParse("3600m")},
		"memory defaultRequest": {item.DefaultRequest[corev1.ResourceMemory], resource.MustParse("1500Mi")},
		"memory default":        {item.Default[corev1.ResourceMemory], resource.MustParse("3000Mi")},
		// Two pods of two containers each, as they run.
		"requests.cpu":    {n.Quota.Spec.Hard[corev1.ResourceRequestsCPU], resource.MustParse("10800m")},
		"requests.memory": {n.Quota.Spec.Hard[corev1.ResourceRequestsMemory], resource.MustParse("7572Mi")},
	} {
		if q[0].Cmp(q[1]) != 0 {
			t.Errorf("%s is %s, want %s", what, q[0].String(), q[1].String())
		}
	}
	if len(n.Refused) > 0 {
		t.Error(n.Refused)
	}
}

func TestWrong(t *testing.T) {
	for _, o := range []Options{{Namespaces: []string{"kube-system"}}, {Headroom: -1}, {Namespaces: []string{"nowhere"}}} {
		if r, err := Generate(snapshotOf(t, deployment("replicas: 1", "containers: [{name: web, image: web}]")), o); err == nil {
			t.Errorf("%v: %v", o, r)
		}
	}
}

// Every folder of a corpus is bounded such that what is in it is admitted.
func TestCorpus(t *testing.T) {
	corpus := os.Getenv("GABION_CORPUS")
	if corpus == "" {
		t.Skip("GABION_CORPUS names no folder of manifests")
	}
	folders, err := filepath.Glob(filepath.Join(corpus, "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen, refused := 0, 0
	for _, folder := range folders {
		snap := &evidence.Snapshot{}
		if err := files.Read(t.Context(), snap, files.Options{Paths: []string{folder}, Manifest: manifest.Options{KeepJSON: true}}); err != nil {
			continue
		}
		r, err := Generate(snap, Options{Headroom: 50})
		if err != nil {
			continue
		}
		for _, n := range r.Namespaces {
			seen += len(n.workloads)
			refused += len(n.Refused)
			for _, why := range n.Refused {
				t.Logf("%s: %s", folder, why)
			}
		}
	}
	t.Logf("%d workloads, %d reasons", seen, refused)
	if seen == 0 || refused*100 > seen {
		t.Errorf("%d of %d workloads are refused", refused, seen)
	}
}
