package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

const onPods = `{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}`

// A template is the text of a pod's metadata and of its spec.
type template struct{ meta, spec string }

// under is the template below fields of an object, the last of which holds
// metadata and spec.
func (t template) under(apiVersion, kind, more string, fields ...string) string {
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: web\n  namespace: shop\n", apiVersion, kind)
	if len(fields) == 0 {
		return text + indent(t.meta, 2) + "spec:\n" + indent(t.spec, 2)
	}
	depth := 0
	for _, f := range fields {
		text += indent(f+":\n", depth)
		depth += 2
		if f == "spec" && more != "" {
			text += indent(more+"\n", depth)
			more = ""
		}
	}
	return text + indent("metadata:\n"+indent(t.meta, 2)+"spec:\n"+indent(t.spec, 2), depth)
}

func indent(text string, by int) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString(strings.Repeat(" ", by) + l)
	}
	return b.String()
}

// What a policy says of the pods of a workload is what it says of a Pod with the
// same metadata and spec, in the field that has the same text.
func TestPodsLikeAPod(t *testing.T) {
	policies := ""
	for name, spec := range map[string]string{
		"host-network": "  validations: [{expression: '!has(object.spec.hostNetwork) || !object.spec.hostNetwork', message: no host network}]",
		"read-only":    "  validations: [{expression: 'object.spec.containers.all(c, has(c.securityContext))', message: no security context}]",
		"team":         "  validations: [{expression: \"has(object.metadata.labels) && 'team' in object.metadata.labels\", message: no team}]",
		"note":         "  validations: [{expression: \"object.metadata.annotations['note'] == ''\"}]",
		"grace":        "  validations: [{expression: 'object.spec.terminationGracePeriodSeconds < 9', messageExpression: \"'grace ' + string(object.spec.terminationGracePeriodSeconds)\"}]",
		"defaults": "  validations: [{expression: 'false', messageExpression: \"object.spec.containers.map(c, c.name + c.imagePullPolicy + c.terminationMessagePath).join(',') + object.spec.restartPolicy + object.spec.dnsPolicy" +
			" + (has(object.spec.containers[0].resources.requests) ? string(object.spec.containers[0].resources.requests.cpu) : '-') + (has(object.spec.containers[0].ports) ? (has(object.spec.containers[0].ports[0].hostPort) ? string(object.spec.containers[0].ports[0].hostPort) : '0') : '-')\"}]",
		"seen":      "  validations: [{expression: 'false', messageExpression: \"object.apiVersion + ' ' + object.kind + ' ' + object.metadata.namespace + ' ' + request.namespace + ' ' + request.kind.kind + ' ' + request.resource.resource + ' ' + request.operation\"}]",
		"condition": "  matchConditions: [{name: a, expression: \"has(object.metadata.annotations) && 'note' in object.metadata.annotations\"}]\n" + deny,
		"error":     "  validations: [{expression: \"object.spec.nodeName == 'a'\"}]",
		"namespace": "  validations: [{expression: \"namespaceObject.metadata.labels.stage == 'dev'\", messageExpression: \"'stage ' + namespaceObject.metadata.labels.stage\"}]",
	} {
		policies += onResource(name, onPods, spec)
	}
	selecting := func(name, selector string) string {
		return strings.Replace(onResource(name, onPods, deny), "matchConstraints: {", "matchConstraints: {"+selector+", ", 1)
	}
	policies += selecting("object-selector", "objectSelector: {matchLabels: {app: web}}") +
		selecting("namespace-selector", "namespaceSelector: {matchLabels: {stage: prod}}") +
		selecting("other-namespace", "namespaceSelector: {matchLabels: {stage: dev}}")
	set := load(t, policies)
	const namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {stage: prod}}\n"

	for name, template := range map[string]template{
		"bare":     {"labels: {}\n", "containers: [{name: c, image: c}]\n"},
		"labelled": {"labels:\n  app: web\n", "containers:\n  - {name: c, image: \"c:1\", securityContext: {}}\n"},
		"noted":    {"labels: {team: a}\nannotations:\n  note: x\n", "restartPolicy: Never\ncontainers: [{name: c, image: c}, {name: d, image: \"d:1\"}]\n"},
		"host":     {"labels: {app: db}\n", "hostNetwork: true\ncontainers: [{name: c, image: c, ports: [{containerPort: 80}]}]\n"},
		"limited":  {"annotations: {}\n", "terminationGracePeriodSeconds: 4\nnodeName: a\ncontainers: [{name: c, image: c, resources: {limits: {cpu: 2}}}]\nvolumes: [{name: v}]\n"},
	} {
		of := func(object string) map[string]string {
			snap := snapshot(t, object+namespace)
			before := snap.Workloads[0].Pod.DeepCopy()
			found, rows := judge(t, set, snap)
			if w := warnings(rows); w != "" {
				t.Errorf("%s: warnings:\n%s", name, w)
			}
			if diff := cmp.Diff(before, snap.Workloads[0].Pod); diff != "" {
				t.Errorf("%s: the snapshot was changed:\n%s", name, diff)
			}
			return said(t, found, snap.Workloads[0], object)
		}
		want := of(template.under("v1", "Pod", ""))
		if len(want) < 5 {
			t.Fatalf("%s: a Pod has the findings %q", name, want)
		}
		for kind, object := range map[string]string{
			"Deployment":  template.under("apps/v1", "Deployment", "selector: {}", "spec", "template"),
			"StatefulSet": template.under("apps/v1", "StatefulSet", "serviceName: web", "spec", "template"),
			"CronJob":     template.under("batch/v1", "CronJob", "schedule: '* * * * *'", "spec", "jobTemplate", "spec", "template"),
			"Rollout":     template.under("argoproj.io/v1alpha1", "Rollout", "", "spec", "template"),
			"by shape":    template.under("example.com/v1", "Machine", "size: 1", "spec", "parts", "main"),
		} {
			if diff := cmp.Diff(want, of(object)); diff != "" {
				t.Errorf("%s: a Pod gets -, a %s +:\n%s", name, kind, diff)
			}
		}
	}
}

// said are the messages by policy, each with the text of the line that it is
// about unless that is all of the pod.
func said(t *testing.T, found []engine.Extra, w *evidence.Workload, object string) map[string]string {
	t.Helper()
	written := strings.Split(object, "\n")
	out := map[string]string{}
	for _, f := range found {
		message, all := f.Problem.Message, ""
		if !isPod(w) {
			var ok bool
			if message, ok = strings.CutPrefix(message, (&request{pods: w}).tell("")); !ok {
				t.Errorf("%s: %q", f.Ref, f.Problem.Message)
			}
			all = w.PodPath.String()
		}
		line := ""
		if f.Problem.Path.String() != all {
			line = strings.TrimSpace(written[f.Ref.Position(f.Problem.Path).Line-1])
		}
		out[f.Rule] = fmt.Sprintf("%s [%s]", message, line)
	}
	return out
}

func TestPods(t *testing.T) {
	const both = `{apiGroups: ["", apps], apiVersions: [v1], operations: [CREATE], resources: [pods, deployments]}`
	web := template{"labels: {app: web}\n", "containers: [{name: c, image: c}]\n"}
	deployment := web.under("apps/v1", "Deployment", "selector: {}", "spec", "template")
	sayKind := "  validations: [{expression: 'false', messageExpression: \"'a ' + object.kind\"}]"
	owner := "  validations: [{expression: 'false', messageExpression: \"object.metadata.name + ' of ' + object.metadata.ownerReferences[0].kind\"}]"
	for name, test := range map[string]struct {
		policy, objects string
		want            []string
		warning         string
	}{
		"a Pod once":       {onResource("a", onPods, "  validations: [{expression: 'false', messageExpression: \"has(object.metadata.ownerReferences) ? 'owned' : 'bare'\"}]"), web.under("v1", "Pod", ""), []string{"a: Pod shop/web: bare"}, ""},
		"said twice":       {onResource("a", both, deny), deployment, []string{"a: Deployment shop/web: denied"}, ""},
		"two sayings":      {onResource("a", both, sayKind), deployment, []string{"a: Deployment shop/web: a Deployment", "a: Deployment shop/web: the pods it creates: a Pod"}, ""},
		"not of pods":      {onResource("a", strings.Replace(both, "pods, ", "", 1), sayKind), deployment, []string{"a: Deployment shop/web: a Deployment"}, ""},
		"owner":            {onResource("a", onPods, owner), deployment, []string{"a: Deployment shop/web: the pods it creates: web-xxxxx of ReplicaSet"}, ""},
		"owner, CronJob":   {onResource("a", onPods, owner), web.under("batch/v1", "CronJob", "", "spec", "jobTemplate", "spec", "template"), []string{"a: CronJob shop/web: the pods it creates: web-xxxxx of Job"}, ""},
		"owner, a set":     {onResource("a", onPods, owner), web.under("apps/v1", "StatefulSet", "", "spec", "template"), []string{"a: StatefulSet shop/web: the pods it creates: web-0 of StatefulSet"}, ""},
		"generated name":   {onResource("a", onPods, "  validations: [{expression: 'object.metadata.name != \"web-xxxxx\"'}]"), strings.Replace(web.under("v1", "Pod", ""), "name: web", "generateName: web-", 1), []string{`a: Pod shop/web-: failed expression: object.metadata.name != "web-xxxxx"`}, ""},
		"labels of object": {strings.Replace(onResource("a", onPods, deny), "matchConstraints: {", "matchConstraints: {objectSelector: {matchLabels: {app: db}}, ", 1), strings.Replace(deployment, "  name: web\n", "  name: web\n  labels: {app: db}\n", 1), nil, ""},
		"several templates": {onResource("a", onPods, deny),
			"apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: r, namespace: shop}\nspec:\n" +
				"  headGroupSpec: {template: {spec: {containers: [{name: c, image: c}]}}}\n  workerGroupSpecs: [{groupName: gpu, template: {spec: {containers: [{name: c, image: c}]}}}]\n",
			[]string{"a: RayCluster shop/r: the pods it creates (head): denied", "a: RayCluster shop/r: the pods it creates (workerGroupSpecs[gpu]): denied"}, ""},
		"completed": {onResource("a", onPods, deny),
			"apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: r, namespace: shop}\nspec: {containers: [{name: c, image: c}]}\n",
			nil, `policy "a" was not judged on the pods of ServingRuntime shop/r: what is written is not the whole pod: an InferenceService`},
		"completed, not asked": {onResource("a", strings.Replace(both, "pods, ", "", 1), deny),
			"apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: r, namespace: shop}\nspec: {containers: [{name: c, image: c}]}\n", nil, ""},
		"in no namespace": {onResource("a", onPods, deny),
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: machines.example.com}\nspec: {group: example.com, scope: Cluster, names: {kind: Machine, plural: machines}, versions: [{name: v1}]}\n---\n" +
				web.under("example.com/v1", "Machine", "", "spec", "template"),
			nil, "the namespace of its pods is not written"},
	} {
		t.Run(name, func(t *testing.T) {
			found, rows := judge(t, load(t, test.policy), snapshot(t, test.objects))
			if diff := cmp.Diff(test.want, lines(found)); diff != "" {
				t.Error(diff)
			}
			if w := warnings(rows); !strings.Contains(w, test.warning) || (test.warning == "") != (w == "") {
				t.Errorf("warnings:\n%s\nwant %q", w, test.warning)
			}
			ids := map[string]bool{}
			for _, f := range found {
				ids[engine.Fingerprint(f.Rule, f.Ref, f.Problem.Container, f.Problem.Path)] = true
			}
			if len(ids) != len(found) {
				t.Errorf("%d fingerprints of %d findings", len(ids), len(found))
			}
		})
	}
}

// A field of a pod is found where its object keeps it.
func TestPlace(t *testing.T) {
	w := &evidence.Workload{
		PodPath: evidence.NewPath("spec", "pod").Rooted(""), MetaPath: evidence.NewPath("spec", "podMetadata").Rooted(""),
		Moved: map[string]evidence.Path{"securityContext": evidence.NewPath("spec", "podSecurityContext")},
	}
	for field, want := range map[string]string{
		"":                             "spec.pod",
		"spec":                         "spec.pod",
		"spec.hostPID":                 "spec.pod.hostPID",
		"spec.securityContext.fsGroup": "spec.podSecurityContext.fsGroup",
		"metadata":                     "spec.pod",
		"metadata.labels":              "spec.podMetadata.labels",
		"metadata.annotations":         "spec.podMetadata.annotations",
		"metadata.ownerReferences":     "spec.pod",
		"status.phase":                 "spec.pod",
	} {
		r := &request{pods: w}
		names := strings.FieldsFunc(field, func(c rune) bool { return c == '.' })
		if got := r.place(names).String(); got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
	}
	without := &request{pods: &evidence.Workload{PodPath: w.PodPath}}
	if got := without.place([]string{"metadata", "labels"}).String(); got != "spec.pod" {
		t.Errorf("labels, where a kind has no place for them: %s", got)
	}
}
