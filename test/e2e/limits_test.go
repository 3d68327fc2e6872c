//go:build cluster

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/generate/limits"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// mixed has what is hard to count: sidecars and init containers, resources of the whole
// pod, overhead, a request without a limit above every default, and an autoscaler.
const mixed = `
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: kata}
handler: kata
overhead: {podFixed: {cpu: 250m, memory: 160Mi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: mixed}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 100%, maxUnavailable: 0}}
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      runtimeClassName: kata
      initContainers:
        - {name: mesh, image: registry.example.com/mesh, restartPolicy: Always, resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}}
        - {name: migrate, image: registry.example.com/migrate, resources: {requests: {memory: 2Gi}}}
      containers:
        - {name: api, image: registry.example.com/api, resources: {requests: {cpu: 5m}}}
        - {name: bare, image: registry.example.com/bare}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: api, namespace: mixed}
spec: {maxReplicas: 6, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: whole, namespace: mixed}
spec:
  selector: {matchLabels: {app: whole}}
  template:
    metadata: {labels: {app: whole}}
    spec:
      resources: {requests: {cpu: 60m, memory: 64Mi}, limits: {cpu: 3, memory: 3Gi}}
      containers:
        - {name: one, image: registry.example.com/one}
        - {name: two, image: registry.example.com/two}
`

const reckon = `
apiVersion: batch/v1
kind: Job
metadata: {name: reckon, namespace: mixed}
spec:
  parallelism: 3
  completions: 3
  template:
    spec:
      restartPolicy: Never
      containers: [{name: reckon, image: registry.example.com/reckon, resources: {limits: {cpu: 2, memory: 1Gi}}}]
`

// metrics are served as any objects of the group: what serves them is not asked about.
const metrics = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: pods.metrics.k8s.io
  annotations: {api-approved.kubernetes.io: "unapproved, of a test"}
spec:
  group: metrics.k8s.io
  scope: Namespaced
  names: {plural: pods, singular: pod, kind: PodMetrics, listKind: PodMetricsList}
  versions:
    - name: v1beta1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// All pods of the example and of what is hard to count are admitted again under the
// LimitRanges and quotas that are generated, rollouts included; one beyond them is not.
func TestGenerateLimits(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	client := kubernetes.NewForConfigOrDie(c.Config())
	fill(t, c)
	// Of the example some pods are refused for what is wrong with them: here only amounts
	// are asked about.
	for _, ns := range []string{"shop", "payments", "tools"} {
		c.Kubectl(t, "label", "--overwrite", "namespace", ns, "pod-security.kubernetes.io/enforce=privileged")
	}
	c.Kubectl(t, "delete", "limitrange,resourcequota", "--all", "-A")
	applyText(t, c, "apiVersion: v1\nkind: Namespace\nmetadata: {name: mixed}\n")
	eventually(t, "the default ServiceAccount of mixed", func() error {
		_, err := client.CoreV1().ServiceAccounts("mixed").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	applyText(t, c, mixed)
	applyText(t, c, reckon)
	applyText(t, c, metrics)
	spaces := []string{"shop", "payments", "tools", "mixed"}
	before := map[string]int{}
	eventually(t, "the pods", func() error {
		for _, ns := range spaces {
			before[ns] = len(staying(t, client, ns))
		}
		if before["shop"] < 11 || before["mixed"] != 2+1+3 {
			return fmt.Errorf("pods: %v", before)
		}
		return nil
	})
	for _, name := range staying(t, client, "mixed") {
		if strings.HasPrefix(name, "api-") {
			eventually(t, "metrics of "+name, func() error {
				cmd := c.Command(t.Context(), "apply", "-f", "-")
				cmd.Stdin = strings.NewReader(fmt.Sprintf("{apiVersion: metrics.k8s.io/v1beta1, kind: PodMetrics, metadata: {name: %s, namespace: mixed}, containers: [{name: bare, usage: {cpu: 300m, memory: 400Mi}}]}", name))
				out, err := cmd.CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		}
	}

	for _, kind := range []string{"limitrange", "resourcequota"} {
		r := run(t, "generate", kind, "--kubeconfig", c.Kubeconfig)
		if r.code != 0 || strings.Contains(r.out, "REFUSED") {
			t.Fatalf("%s: exit code %d: %s\n%s", kind, r.code, r.errors, r.out)
		}
		if kind == "limitrange" && !strings.Contains(r.out, "used at one moment") {
			t.Errorf("nothing of what was measured:\n%s", r.out)
		}
		if kind == "resourcequota" && !strings.Contains(r.out, "6 replicas, the most that HorizontalPodAutoscaler mixed/api scales to, 6 more while it rolls out") {
			t.Errorf("nothing of the autoscaler:\n%s", r.out)
		}
		cmd := c.Command(t.Context(), "apply", "--server-side", "--field-manager=gabion", "-f", "-")
		cmd.Stdin = strings.NewReader(r.out)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, r.out)
		}
	}
	eventually(t, "the quotas in force", func() error {
		list, err := client.CoreV1().ResourceQuotas("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, q := range list.Items {
			if len(q.Status.Hard) != len(q.Spec.Hard) || len(q.Status.Used) != len(q.Spec.Hard) {
				return fmt.Errorf("%s/%s has no status", q.Namespace, q.Name)
			}
		}
		return nil
	})

	// As far as the autoscaler would go, then all pods anew, then a rollout.
	c.Kubectl(t, "scale", "deployment/api", "-n", "mixed", "--replicas=6")
	before["mixed"] += 4
	for _, ns := range spaces {
		c.Kubectl(t, "delete", "pods", "--all", "-n", ns, "--grace-period=0", "--force")
	}
	// A Job makes new pods slowly: it is made anew as well.
	c.Kubectl(t, "delete", "job", "reckon", "-n", "mixed")
	applyText(t, c, reckon)
	again := func(what string, more map[string]int) {
		eventually(t, what, func() error {
			for _, ns := range spaces {
				if now := len(staying(t, client, ns)); now < before[ns]+more[ns] {
					return fmt.Errorf("%d pods in %s, were %d", now, ns, before[ns])
				}
			}
			return nil
		})
	}
	again("the pods again", nil)
	c.Kubectl(t, "rollout", "restart", "deployment/api", "-n", "mixed")
	c.Kubectl(t, "rollout", "restart", "deployment/web", "-n", "shop")
	again("the rollouts", map[string]int{"mixed": 6, "shop": 1})
	refusals(t, c)

	// What is beyond.
	for what, pod := range map[string]string{
		"maximum memory usage per Container": "resources: {limits: {memory: 64Gi}}",
		"minimum cpu usage per Container":    "resources: {limits: {cpu: 1m}}",
	} {
		if said := created(t, c, "shop", "beyond", pod); !strings.Contains(said, what) {
			t.Errorf("%s: want %q, got %s", pod, what, said)
		}
	}
	said := ""
	for i := 0; i < 200 && said == ""; i++ {
		said = created(t, c, "tools", fmt.Sprintf("more-%d", i), "resources: {limits: {cpu: 700m, memory: 700Mi}}")
	}
	if !strings.Contains(said, "exceeded quota") {
		t.Errorf("no end of pods: %q", said)
	}

	// The rows of the guide.
	report := scan(t, "--kubeconfig", c.Kubeconfig)
	for _, f := range report.Findings {
		for _, ns := range spaces {
			if (f.Rule == "limit-range" || f.Rule == "resource-quota" || f.Rule == "several-limit-ranges") && f.Object.Namespace == ns {
				t.Errorf("%s: %s", f.Rule, f.Message)
			}
		}
	}
}

// refusals fails for each pod that a controller could not create, but for reasons that
// pass: two that wrote the same quota at the same time, and pods that were deleted and
// are still counted. That all pods came in the end is asked for elsewhere.
func refusals(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	passing := []string{"violates PodSecurity", "Operation cannot be fulfilled on resourcequotas", "exceeded quota"}
	out := c.Kubectl(t, "get", "events", "-A", "--field-selector", "reason=FailedCreate", "-o", "jsonpath={range .items[*]}{.message}{'\\n'}{end}")
	for line := range strings.Lines(out) {
		if !slices.ContainsFunc(passing, func(reason string) bool { return strings.Contains(line, reason) }) {
			t.Errorf("refused: %s", line)
		}
	}
}

// staying are the pods that are not on their way out, by name.
func staying(t *testing.T, client kubernetes.Interface, namespace string) (names []string) {
	t.Helper()
	list, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// created makes a pod with one container, and returns why it was not admitted.
func created(t *testing.T, c *cluster.Cluster, namespace, name, container string) string {
	t.Helper()
	cmd := c.Command(t.Context(), "create", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {containers: [{name: c, image: registry.example.com/c, %s}]}}", name, namespace, container))
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out)
	}
	return ""
}

// What is foretold of a LimitRange is what the API server does: it admits the same pods,
// and completes them in the same way.
func TestLimitRanger(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(shop(t).Config())
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	amounts := func(cpu, memory []string) corev1.ResourceList {
		list := corev1.ResourceList{}
		for name, of := range map[corev1.ResourceName][]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
			if text := pick(of...); text != "" {
				list[name] = resource.MustParse(text)
			}
		}
		return list
	}
	some := func() corev1.ResourceRequirements {
		return corev1.ResourceRequirements{
			Requests: amounts([]string{"", "", "50m", "100m"}, []string{"", "", "32Mi", "64Mi"}),
			Limits:   amounts([]string{"", "", "100m", "200m", "400m"}, []string{"", "", "64Mi", "128Mi", "512Mi"}),
		}
	}
	ranges := []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Default: amounts([]string{"150m"}, []string{"128Mi"}), DefaultRequest: amounts([]string{"60m"}, []string{"48Mi"})},
		{Type: corev1.LimitTypeContainer, Max: amounts([]string{"200m"}, []string{"256Mi"}), Default: amounts([]string{"200m"}, []string{"100Mi"}), DefaultRequest: amounts([]string{"60m"}, []string{"48Mi"}), Min: amounts([]string{"60m"}, []string{"40Mi"})},
		{Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: amounts([]string{"2"}, []string{"4"})},
		{Type: corev1.LimitTypePod, Max: amounts([]string{"500m"}, []string{"600Mi"})},
		{Type: corev1.LimitTypePod, MaxLimitRequestRatio: amounts([]string{"2"}, []string{"4"})},
	}
	admitted, refused := 0, 0
	for i, item := range ranges {
		ns := fmt.Sprintf("ranged-%d", i)
		applyText(t, shop(t), fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", ns))
		eventually(t, "the default ServiceAccount of "+ns, func() error {
			_, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
		lr, err := client.CoreV1().LimitRanges(ns).Create(t.Context(), &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{item}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// LimitRanger learns of it from a watch.
		eventually(t, "the LimitRange in force", func() error {
			const beyond = "4"
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
			pod.Spec.Containers[0].Resources.Limits = amounts([]string{beyond}, []string{beyond + "Gi"})
			pod.Spec.Containers[0].Resources.Requests = amounts([]string{"1m"}, []string{"1Ki"})
			made, err := client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil && made.Annotations["kubernetes.io/limit-ranger"] == "" && len(item.Default) == 0 {
				return errors.New("a pod beyond is admitted")
			}
			if len(item.Default) > 0 {
				pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
				if made, err = client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil || made.Spec.Containers[0].Resources.Limits == nil {
					return fmt.Errorf("nothing is filled in: %v", err)
				}
			}
			return nil
		})
		for range 60 {
			always := corev1.ContainerRestartPolicyAlways
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
			for n := range random.IntN(3) {
				c := corev1.Container{Name: fmt.Sprintf("i%d", n), Image: "i", Resources: some()}
				if random.IntN(2) == 0 {
					c.RestartPolicy = &always
				}
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
			}
			for n := range 1 + random.IntN(2) {
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", n), Image: "c", Resources: some()})
			}
			if random.IntN(4) == 0 {
				pod.Spec.Resources = &corev1.ResourceRequirements{Requests: amounts([]string{"", "300m"}, []string{"", "200Mi"}), Limits: amounts([]string{"", "450m"}, []string{"", "550Mi"})}
			}
			full, why := limits.Admit(lr, &pod.Spec)
			made, err := client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if (err == nil) != (len(why) == 0) {
				t.Errorf("%d: %+v\nfull: %+v\nforetold %q\nsaid %v", i, pod.Spec, full.Resources, why, err)
			}
			if err != nil {
				refused++
				continue
			}
			admitted++
			for n, c := range made.Spec.Containers {
				if !equality.Semantic.DeepEqual(c.Resources, full.Containers[n].Resources) {
					t.Errorf("%d: container %s: %v, foretold %v", i, c.Name, c.Resources, full.Containers[n].Resources)
				}
			}
		}
	}
	t.Logf("%d admitted, %d refused", admitted, refused)
	if admitted < 30 || refused < 30 {
		t.Error("one-sided")
	}
}
