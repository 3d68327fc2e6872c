//go:build cluster

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/admissionpolicy"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/server/admission"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// trusted are the registries of the rule's examples.
var trusted = []string{"registry.example.com/shop", "mirror.example.com:5000", "docker.io/library", "index.docker.io/grafana"}

// podPlaces are where the API server takes the kinds with pods in them.
var podPlaces = map[string]string{
	"v1 Pod": "/api/v1/namespaces/%s/pods", "v1 ReplicationController": "/api/v1/namespaces/%s/replicationcontrollers",
	"apps/v1 Deployment": "/apis/apps/v1/namespaces/%s/deployments", "apps/v1 StatefulSet": "/apis/apps/v1/namespaces/%s/statefulsets",
	"apps/v1 DaemonSet": "/apis/apps/v1/namespaces/%s/daemonsets", "apps/v1 ReplicaSet": "/apis/apps/v1/namespaces/%s/replicasets",
	"batch/v1 Job": "/apis/batch/v1/namespaces/%s/jobs", "batch/v1 CronJob": "/apis/batch/v1/namespaces/%s/cronjobs",
}

// A policed is an API server with the generated policies in it.
type policed struct {
	*cluster.Cluster
	http *http.Client
}

// An answer is what the API server said to a request.
type answer struct {
	code     int
	body     []byte
	warnings []string
}

func (p *policed) send(t *testing.T, method, path string, body any) answer {
	t.Helper()
	text, ok := body.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{code: resp.StatusCode}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	headers, _ := utilnet.ParseWarningHeaders(resp.Header["Warning"])
	for _, h := range headers {
		a.warnings = append(a.warnings, h.Text)
	}
	return a
}

func (a answer) accepted() bool { return a.code < 300 }

// message is the API server's reason.
func (a answer) message() string {
	var status metav1.Status
	if json.Unmarshal(a.body, &status) != nil {
		return string(a.body)
	}
	return status.Message
}

var (
	warned = regexp.MustCompile(`^Validation failed for ValidatingAdmissionPolicy 'gabion-([a-z-]+)' with binding 'gabion-[a-z-]+': (.*)$`)
	denied = regexp.MustCompile(`ValidatingAdmissionPolicy 'gabion-([a-z-]+)' with binding 'gabion-[a-z-]+' denied request: (.*)$`)
)

// said are the policies' messages in the warnings of an answer, by policy.
func (a answer) said() map[string]string {
	said := map[string]string{}
	for _, w := range a.warnings {
		if m := warned.FindStringSubmatch(w); m != nil {
			said[m[1]] += m[2]
		}
	}
	return said
}

// A subject is an object to be created, of which it is known what a scan says.
type subject struct {
	name     string
	path     string
	object   []byte
	template bool // it holds one
	// base is the object without ephemeral containers, where it has some: they come by an
	// update.
	base []byte
	// failed are the rules that a scan finds broken, open those that it cannot judge.
	failed, open map[string]bool
	// completed is the object as the API server would store it.
	completed []byte
	kind      metav1.GroupVersionKind
	namespace string
}

// try asks the API server for the object, without effect.
func (p *policed) try(t *testing.T, s *subject) answer {
	t.Helper()
	if s.base != nil {
		return p.send(t, http.MethodPut, s.path+"/"+nameIn(t, s.object)+"/ephemeralcontainers?dryRun=All", s.object)
	}
	return p.send(t, http.MethodPost, s.path+"?dryRun=All", s.object)
}

func nameIn(t *testing.T, object []byte) string {
	t.Helper()
	var o metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &o); err != nil {
		t.Fatal(err)
	}
	return o.Name
}

// A world is what is judged together: an example, or a project.
type world struct {
	name     string
	settings check.Settings
	read     func() *evidence.Snapshot
}

// subjects are the workloads of a world, and the pods of those that are templates.
func (p *policed) subjects(t *testing.T, n int, w world) (list []*subject) {
	t.Helper()
	snap := w.read()
	spaces := map[string]bool{}
	space := func(namespace string) string {
		name := fmt.Sprintf("%.40s-%d", cmp.Or(namespace, "unnamed"), n)
		if !spaces[namespace] {
			spaces[namespace] = true
			p.furnish(t, name, namespace, snap)
		}
		return name
	}
	failed, open := scanned(w.settings, snap)
	for _, work := range snap.Workloads {
		place, ok := podPlaces[work.APIVersion+" "+work.Kind]
		if !ok || work.ByShape || len(work.JSON) == 0 {
			continue
		}
		ns := space(work.Namespace)
		p.send(t, http.MethodPost, "/api/v1/namespaces/"+ns+"/serviceaccounts", namedAccount(work.ServiceAccountName(), nil))
		var object map[string]any
		if err := json.Unmarshal(work.JSON, &object); err != nil {
			t.Fatal(err)
		}
		object["metadata"].(map[string]any)["namespace"] = ns
		s := &subject{
			name: w.name + ": " + work.Ref.String(), path: fmt.Sprintf(place, ns), namespace: ns, template: work.Kind != "Pod",
			failed: failed[work.ID], open: open[work.Ref.String()],
		}
		group, version, grouped := strings.Cut(work.APIVersion, "/")
		if !grouped {
			group, version = "", group
		}
		s.kind = metav1.GroupVersionKind{Group: group, Version: version, Kind: work.Kind}
		s.object = encoded(t, object)
		if !s.template && len(work.Pod.EphemeralContainers) > 0 {
			delete(object["spec"].(map[string]any), "ephemeralContainers")
			s.base = encoded(t, object)
		}
		list = append(list, s)
		if s.template && work.Partial == "" {
			list = append(list, &subject{
				name: s.name + ", its pod", path: fmt.Sprintf(podPlaces["v1 Pod"], ns), namespace: ns, failed: s.failed, open: s.open,
				kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
				object: encoded(t, &corev1.Pod{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
					ObjectMeta: metav1.ObjectMeta{GenerateName: "made-", Namespace: ns, Labels: work.PodLabels, Annotations: work.PodAnnotations},
					Spec:       *work.Pod,
				}),
			})
		}
	}
	return list
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func namedAccount(name string, automount *bool) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: metav1.ObjectMeta{Name: name}, AutomountServiceAccountToken: automount,
	}
}

// furnish makes a namespace with what of the world changes pods in it.
func (p *policed) furnish(t *testing.T, name, of string, snap *evidence.Snapshot) {
	t.Helper()
	must := func(path string, body any) {
		if a := p.send(t, http.MethodPost, path, body); !a.accepted() && a.code != http.StatusConflict {
			t.Fatalf("%s: %s", path, a.message())
		}
	}
	must("/api/v1/namespaces", &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name}})
	for _, sa := range snap.ServiceAccounts {
		if sa.Namespace == of {
			must("/api/v1/namespaces/"+name+"/serviceaccounts", namedAccount(sa.Name, sa.Value.AutomountServiceAccountToken))
		}
	}
	for _, lr := range snap.LimitRanges {
		if lr.Namespace == of {
			must("/api/v1/namespaces/"+name+"/limitranges", &corev1.LimitRange{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "LimitRange"}, ObjectMeta: metav1.ObjectMeta{Name: lr.Name}, Spec: lr.Value.Spec,
			})
		}
	}
}

// scanned is what a scan says: the rules that objects break by their numbers, and those
// that cannot be judged of them by their names.
func scanned(settings check.Settings, snap *evidence.Snapshot) (failed map[int]map[string]bool, open map[string]map[string]bool) {
	failed, open = map[int]map[string]bool{}, map[string]map[string]bool{}
	scan := check.NewScan(snap, settings)
	for _, c := range policedRules() {
		run := &check.Run{Scan: scan, Severity: c.Severity}
		c.Run(run)
		for _, f := range run.Failures {
			if failed[f.Ref.ID] == nil {
				failed[f.Ref.ID] = map[string]bool{}
			}
			failed[f.Ref.ID][c.ID] = true
		}
		for _, u := range run.Unknowns {
			if open[u.Scope] == nil {
				open[u.Scope] = map[string]bool{}
			}
			open[u.Scope][c.ID] = true
		}
	}
	return failed, open
}

func policedRules() (list []*check.Check) {
	for _, c := range checks.All() {
		if slices.Contains(admissionpolicy.Rules(), c.ID) {
			list = append(list, c)
		}
	}
	return list
}

// exampleWorlds are the examples of the rules, for files and for releases that have
// ValidatingAdmissionPolicies.
func exampleWorlds(t *testing.T) (list []world) {
	t.Helper()
	for _, id := range admissionpolicy.Rules() {
		paths, err := filepath.Glob("../../internal/checks/testdata/" + id + "/*.yaml")
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d examples, %v", id, len(paths), err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			settings := checktest.Scan(t, path, string(text)).Settings
			if bytes.HasPrefix(text, []byte("# cluster:")) || !settings.Version.AtLeast(30) {
				continue
			}
			settings.TrustedRegistries = trusted
			list = append(list, world{filepath.Join(id, filepath.Base(path)), settings, func() *evidence.Snapshot {
				snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest", Ref: path}
				reader := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
				manifest.Add(snap, source, reader.Read(path, text))
				return snap
			}})
		}
	}
	return list
}

// corpusWorlds are the projects of a folder that GABION_CORPUS names.
func corpusWorlds(t *testing.T) (list []world) {
	t.Helper()
	root := os.Getenv("GABION_CORPUS")
	if root == "" {
		return nil
	}
	projects, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, project := range projects {
		if !project.IsDir() {
			continue
		}
		list = append(list, world{project.Name(), check.Settings{Version: evidence.Newest(), TrustedRegistries: trusted}, func() *evidence.Snapshot {
			snap := &evidence.Snapshot{}
			options := files.Options{Paths: []string{filepath.Join(root, project.Name())}, Manifest: manifest.Options{KeepJSON: true}}
			if err := files.Read(t.Context(), snap, options); err != nil {
				t.Fatal(err)
			}
			return snap
		}})
	}
	return list
}

// faulty breaks every rule, as a pod and as a template.
const faulty = `{"hostUsers": true, "containers": [{"name": "faulty", "image": "quay.io/faulty"}]}`

// show is what the policies say to a pod or a Deployment that breaks every rule.
func (p *policed) show(t *testing.T, pod bool) answer {
	t.Helper()
	if pod {
		return p.send(t, http.MethodPost, "/api/v1/namespaces/faulty/pods?dryRun=All",
			[]byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "faulty"}, "spec": `+faulty+`}`))
	}
	return p.send(t, http.MethodPost, "/apis/apps/v1/namespaces/faulty/deployments?dryRun=All",
		[]byte(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "faulty"}, "spec": {"selector": {"matchLabels": {"app": "faulty"}},
			"template": {"metadata": {"labels": {"app": "faulty"}}, "spec": `+faulty+`}}}`))
}

// lay applies policies as their document says.
func (p *policed) lay(t *testing.T, version evidence.Version, args ...string) {
	t.Helper()
	args = append([]string{"generate", "admission-policy", "--kubernetes-version", version.String()}, args...)
	for _, r := range trusted {
		args = append(args, "--registry", r)
	}
	r := run(t, args...)
	cmd := p.Command(t.Context(), "apply", "--server-side", "--field-manager=gabion", "-f", "-")
	cmd.Stdin = strings.NewReader(r.out)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Warning") {
		t.Fatalf("%v: %s", err, out)
	}
}

// clear takes all policies away, as their document says.
func (p *policed) clear(t *testing.T) {
	t.Helper()
	p.Kubectl(t, "delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "-l", "app.kubernetes.io/managed-by=gabion")
	eventually(t, "silence", func() error {
		if said := p.show(t, false).said(); len(said) > 0 {
			return fmt.Errorf("%q", said)
		}
		return nil
	})
}

func newPoliced(t *testing.T) *policed {
	t.Helper()
	c := cluster.Start(t, cluster.Options{NoScheduler: true})
	client, err := rest.HTTPClientFor(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	p := &policed{c, client}
	p.furnish(t, "faulty", "", &evidence.Snapshot{})
	p.send(t, http.MethodPost, "/api/v1/namespaces/faulty/serviceaccounts", namedAccount("default", nil))
	return p
}

// The policies say of every example, and of every object of public projects, what a scan
// and the webhook say, by warnings and by refusals.
func TestAdmissionPolicies(t *testing.T) {
	p := newPoliced(t)
	byVersion := map[evidence.Version][]*subject{}
	accepted, not := 0, 0
	for n, w := range append(exampleWorlds(t), corpusWorlds(t)...) {
		for _, s := range p.subjects(t, n, w) {
			if s.base != nil {
				if a := p.send(t, http.MethodPost, s.path, s.base); !a.accepted() {
					t.Errorf("%s: %s", s.name, a.message())
					continue
				}
			}
			a := p.try(t, s)
			if !a.accepted() {
				not++
				t.Logf("%s: not accepted: %.200s", s.name, a.message())
				continue
			}
			accepted++
			s.completed = a.body
			byVersion[w.settings.Version] = append(byVersion[w.settings.Version], s)
		}
	}
	t.Logf("%d objects that the API server accepts, %d that it does not", accepted, not)
	for _, v := range slices.SortedFunc(maps.Keys(byVersion), func(a, b evidence.Version) int { return cmp.Compare(a.Minor, b.Minor) }) {
		p.judge(t, v, byVersion[v])
	}
}

// judge compares what is said to the subjects that are judged as of one release.
func (p *policed) judge(t *testing.T, v evidence.Version, list []*subject) {
	t.Helper()
	p.clear(t)
	p.lay(t, v)
	p.inForce(t)
	said := make([]map[string]string, len(list))
	for i, s := range list {
		a := p.try(t, s)
		if !a.accepted() {
			t.Errorf("%s: refused, though the policies only warn: %s", s.name, a.message())
			continue
		}
		said[i] = a.said()
		p.agree(t, v, s, said[i])
	}
	for _, rule := range admissionpolicy.Rules() {
		p.lay(t, v, "--rule", rule, "--deny")
		eventually(t, "refusal by "+rule, func() error {
			if a := p.show(t, true); !slices.Contains(denied.FindStringSubmatch(a.message()), rule) {
				return fmt.Errorf("%d %s", a.code, a.message())
			}
			return nil
		})
		for i, s := range list {
			a := p.try(t, s)
			m := denied.FindStringSubmatch(a.message())
			switch message := said[i][rule]; {
			case a.accepted() && message != "":
				t.Errorf("%s: admitted, though %s warned: %s", s.name, rule, message)
			case !a.accepted() && (m == nil || m[1] != rule || m[2] != message):
				t.Errorf("%s: %s warned %q and refuses with %q", s.name, rule, message, a.message())
			}
		}
		p.lay(t, v, "--rule", rule)
		eventually(t, "warning by "+rule, func() error {
			if a := p.show(t, true); a.said()[rule] == "" {
				return fmt.Errorf("%d %s", a.code, a.message())
			}
			return nil
		})
	}
}

// inForce waits until every policy is.
func (p *policed) inForce(t *testing.T) {
	t.Helper()
	eventually(t, "the policies", func() error {
		pod, template := p.show(t, true).said(), p.show(t, false).said()
		for _, rule := range admissionpolicy.Rules() {
			if pod[rule] == "" || template[rule] == "" && template[rule+"-templates"] == "" {
				return fmt.Errorf("%s warns of nothing: %q, %q", rule, pod, template)
			}
		}
		return nil
	})
}

// agree compares a scan and the webhook with what the policies said.
func (p *policed) agree(t *testing.T, v evidence.Version, s *subject, said map[string]string) {
	t.Helper()
	settings := check.Settings{Version: v, TrustedRegistries: trusted}
	webhook := webhookSays(t, settings, s)
	for _, c := range policedRules() {
		main, advice := said[c.ID] != "", said[c.ID+"-templates"] != ""
		if found, asked := webhook[c.ID]; asked && found != main && !s.open[c.ID] {
			t.Errorf("%s: %s: webhook %t, policy %t (%s)", s.name, c.ID, found, main, said[c.ID])
		}
		switch scan := s.failed[c.ID]; {
		case s.open[c.ID]: // a scan cannot tell
		case scan && !main && !advice, !scan && main:
			t.Errorf("%s: %s: scan %t, policy %t, said %q", s.name, c.ID, scan, main || advice, said[c.ID]+said[c.ID+"-templates"])
		}
		if !strings.HasSuffix(said[c.ID], "("+c.ID+", "+c.Recommendation+")") && main {
			t.Errorf("%s: message %q", s.name, said[c.ID])
		}
	}
}

// webhookSays is for each rule that the webhook knows whether it finds it broken.
func webhookSays(t *testing.T, settings check.Settings, s *subject) map[string]bool {
	t.Helper()
	var rules []*check.Check
	says := map[string]bool{}
	for _, c := range admission.Rules() {
		if slices.Contains(admissionpolicy.Rules(), c.ID) {
			rules, says[c.ID] = append(rules, c), false
		}
	}
	judge := admission.NewJudge(admission.Options{Rules: rules, Settings: settings, Deny: guide.Low})
	verdict, err := judge.Judge(t.Context(), &admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Kind: s.kind, Namespace: s.namespace, Object: runtime.RawExtension{Raw: s.completed},
	})
	if err != nil {
		t.Errorf("%s: webhook: %v", s.name, err)
	}
	for _, f := range verdict.Findings {
		says[f.Rule] = true
	}
	return says
}

// What the policies let through whatever it is, and what the audit log and a scan of the
// cluster say of them.
func TestAdmissionPoliciesInForce(t *testing.T) {
	p := newPoliced(t)
	client := kubernetes.NewForConfigOrDie(p.Config())
	deployments, pods := "/apis/apps/v1/namespaces/faulty/deployments", "/api/v1/namespaces/faulty/pods"
	for path, body := range map[string]string{
		deployments: `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "old"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "old"}}, "template": {"metadata": {"labels": {"app": "old"}}, "spec": ` + faulty + `}}}`,
		pods:        `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old"}, "spec": ` + faulty + `}`,
	} {
		if a := p.send(t, http.MethodPost, path, []byte(body)); !a.accepted() {
			t.Fatal(a.message())
		}
	}
	p.lay(t, evidence.Newest())
	p.inForce(t)
	eventually(t, "the type check of every policy", func() error {
		list, err := client.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, policy := range list.Items {
			if policy.Status.TypeChecking == nil || policy.Status.ObservedGeneration != policy.Generation {
				return fmt.Errorf("%s is not checked yet", policy.Name)
			}
			for _, w := range policy.Status.TypeChecking.ExpressionWarnings {
				t.Errorf("%s: %s: %s", policy.Name, w.FieldRef, w.Warning)
			}
		}
		return nil
	})
	audited := map[string]bool{}
	for _, e := range p.AuditLog(t) {
		if e.ObjectRef != nil && e.ObjectRef.Namespace == "faulty" && e.Verb == "create" {
			for key := range e.Annotations {
				if rule, ok := strings.CutSuffix(strings.TrimPrefix(key, "gabion-"), "/fault"); ok {
					audited[rule] = true
				}
			}
		}
	}
	for _, rule := range admissionpolicy.Rules() {
		if !audited[rule] {
			t.Errorf("%s: nothing in the audit log", rule)
		}
	}
	if row := rows(scan(t, "--cluster", "--kubeconfig", p.Kubeconfig))["ENF-02"]; row.Status != "fail" {
		t.Errorf("ENF-02 of policies that audit: %s (%s)", row.Status, row.Reason)
	}

	p.lay(t, evidence.Newest(), "--deny")
	eventually(t, "the refusal", func() error {
		if a := p.show(t, true); a.accepted() || len(a.said()) > 0 {
			return fmt.Errorf("%d %q", a.code, a.warnings)
		}
		return nil
	})
	if row := rows(scan(t, "--cluster", "--kubeconfig", p.Kubeconfig))["ENF-02"]; row.Status != "pass" {
		t.Errorf("ENF-02 of policies that deny: %s (%s)", row.Status, row.Reason)
	}
	for _, test := range []struct {
		what, path, patch string
		let               bool
	}{
		{"scaling", deployments + "/old", `{"spec": {"replicas": 0}}`, true},
		{"a label", deployments + "/old", `{"metadata": {"labels": {"a": "b"}}}`, true},
		{"another image", deployments + "/old", `{"spec": {"template": {"spec": {"containers": [{"name": "faulty", "image": "quay.io/faulty:2"}]}}}}`, false},
		{"a label of a pod", pods + "/old", `{"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/f"]}}`, true},
		{"another image of a pod", pods + "/old", `{"spec": {"containers": [{"name": "faulty", "image": "quay.io/faulty:2"}]}}`, false},
		{"an ephemeral container", pods + "/old/ephemeralcontainers", `{"spec": {"ephemeralContainers": [{"name": "debug", "image": "quay.io/debug"}]}}`, false},
	} {
		if a := p.send(t, http.MethodPatch, test.path+"?dryRun=All", []byte(test.patch)); a.accepted() != test.let || !test.let && !denied.MatchString(a.message()) {
			t.Errorf("%s: %d %s", test.what, a.code, a.message())
		}
	}
	if a := p.send(t, http.MethodDelete, pods+"/old?gracePeriodSeconds=0", []byte(`{}`)); !a.accepted() {
		t.Errorf("deletion: %s", a.message())
	}
	if a := p.send(t, http.MethodPost, "/api/v1/namespaces/kube-system/pods?dryRun=All",
		[]byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "faulty"}, "spec": `+faulty+`}`)); !a.accepted() || len(a.said()) > 0 {
		t.Errorf("kube-system: %d %s %q", a.code, a.message(), a.warnings)
	}
}
