package checks_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
)

// account is what a hardened kubelet says of its configuration through the API, where
// defaults are filled in and what is off may be left out.
const account = `{
	"authentication": {"x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}, "webhook": {"enabled": true}, "anonymous": {"enabled": false}},
	"authorization": {"mode": "Webhook"},
	"rotateCertificates": true, "serverTLSBootstrap": true, "podPidsLimit": 2048, "seccompDefault": true,
	"systemReserved": {"pid": "500"}, "kubeReserved": {"pid": "500"}, "enforceNodeAllocatable": ["pods"],
	"evictionHard": {"memory.available": "100Mi", "pid.available": "5%"},
	"containerLogMaxSize": "20Mi", "containerLogMaxFiles": 7
}`

// What a kubelet tells through the API is judged, and what the API does not tell is not
// passed.
func TestKubeletAccount(t *testing.T) {
	for name, test := range map[string]struct {
		field, value string
		says         []string
		cannot       []string
	}{
		"hardened":  {},
		"anonymous": {field: "authentication", value: `{"x509": {"clientCAFile": "/ca.crt"}, "anonymous": {"enabled": true}}`, says: []string{"kubelet-api-access"}},
		"allows":    {field: "authorization", value: `{"mode": "AlwaysAllow"}`, says: []string{"kubelet-api-access", "kubelet-authorization"}},
		"read-only": {field: "readOnlyPort", value: `10255`, says: []string{"kubelet-read-only-port"}},
		"pids":      {field: "podPidsLimit", value: `-1`, says: []string{"pod-pids-limit"}},
		"reserved":  {field: "kubeReserved", value: `{}`, says: []string{"reserved-pids"}},
		"seccomp":   {field: "seccompDefault", value: `false`, says: []string{"kubelet-seccomp-default"}},
		"self":      {field: "serverTLSBootstrap", value: `false`, says: []string{"kubelet-serving-certificate"}},
		"limits":    {field: "containerLogMaxSize", value: `"10Mi"`, cannot: []string{"container-log-limits"}},
		"rotation":  {field: "rotateCertificates", value: `false`, cannot: []string{"kubelet-client-rotation"}},
	} {
		t.Run(name, func(t *testing.T) {
			scan := check.NewScan(kubeletCluster(t, test.field, test.value), check.Settings{Version: evidence.Newest()})
			var says, cannot []string
			for _, id := range []string{
				"kubelet-seccomp-default", "pod-pids-limit", "reserved-pids", "kubelet-api-access", "kubelet-read-only-port",
				"kubelet-client-rotation", "kubelet-serving-certificate", "kubelet-authorization", "container-log-limits",
			} {
				c, ok := checks.Find(id)
				if !ok {
					t.Fatalf("no check %s", id)
				}
				run := checktest.JudgeNode(c, scan)
				switch {
				case len(run.Failures) > 0:
					says = append(says, id)
				case len(run.Unknowns) > 0:
					cannot = append(cannot, id)
				case run.Evaluated.Len() != 1:
					t.Errorf("%s judges nothing", id)
				}
			}
			if diff := cmp.Diff(test.says, says); diff != "" {
				t.Errorf("problems: %s", diff)
			}
			if diff := cmp.Diff(test.cannot, cannot); diff != "" {
				t.Errorf("not known: %s", diff)
			}
		})
	}
}

// kubeletCluster is a live cluster of one node and one pod, whose kubelet was asked; one
// field of its answer is another than in account.
func kubeletCluster(t *testing.T, field, value string) *evidence.Snapshot {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(account), &fields); err != nil {
		t.Fatal(err)
	}
	fields["apiVersion"], fields["kind"] = json.RawMessage(fmt.Sprintf("%q", cluster.KubeletConfigVersion)), json.RawMessage(fmt.Sprintf("%q", cluster.KubeletConfigKind))
	fields["metadata"] = json.RawMessage(`{"name": "worker-1"}`)
	if field != "" {
		fields[field] = json.RawMessage(value)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	snap := &evidence.Snapshot{}
	b := cluster.NewBuilder(snap, &evidence.Cluster{Name: "test", Version: "v1.36.3", CollectedAt: checktest.LookedAt})
	for _, o := range []cluster.Object{
		{APIVersion: cluster.KubeletConfigVersion, Kind: cluster.KubeletConfigKind, JSON: text},
		{APIVersion: "v1", Kind: "Node", Typed: namedNode("worker-1")},
		{APIVersion: "v1", Kind: "Pod", Typed: plainPod()},
	} {
		if err := b.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	b.Finish()
	return snap
}

func namedNode(name string) *corev1.Node {
	n := &corev1.Node{}
	n.Name = name
	return n
}

// plainPod filters its system calls.
func plainPod() *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{
		NodeName:        "worker-1",
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers:      []corev1.Container{{Name: "web", Image: "registry.example.com/web:1"}},
	}}
	p.Name, p.Namespace = "web", "shop"
	return p
}

// A look at nodes alone answers what kubelets decide, and nothing about pods; a look at
// the pods of a cluster alone needs no kubelet where they ask for a profile themselves.
func TestKubeletRows(t *testing.T) {
	rows := func(snap *evidence.Snapshot) map[string]report.Status {
		rep, err := engine.Run(t.Context(), snap, checks.All(), engine.Options{Settings: check.Settings{Version: evidence.Newest()}, Exceptions: engine.Exceptions{Now: checktest.LookedAt.Add(time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		status := map[string]report.Status{}
		for _, r := range rep.Recommendations {
			status[r.ID] = r.Status
			if slices.Contains([]string{"RES-04", "RES-05", "ENC-02", "NLOG-02", "CP-07", "RBAC-01", "POD-13"}, r.ID) {
				t.Logf("%s %s: %s", r.ID, r.Status, r.Reason)
			}
		}
		return status
	}
	node := rows(checktest.Host(t, checktest.BaseNode(t, "kubeadm").Tree(t)))
	for _, id := range []string{"CP-07", "RES-04", "RES-05", "ENC-02", "NLOG-02", "RBAC-01"} {
		if node[id] != report.Pass {
			t.Errorf("of a hardened node %s is %s", id, node[id])
		}
	}
	for _, id := range []string{"POD-04", "POD-11", "POD-12", "POD-13", "SCMP-01", "UPG-01", "UPG-02"} {
		if node[id] != report.NotEvaluated {
			t.Errorf("of a node without pods %s is %s", id, node[id])
		}
	}
	live := rows(kubeletCluster(t, "", ""))
	for _, id := range []string{"RES-04", "RES-05", "ENC-02", "NLOG-02", "POD-13"} {
		if live[id] != report.Pass {
			t.Errorf("of a live cluster %s is %s", id, live[id])
		}
	}
}

// What pods ask for of their nodes is answered by the nodes, where all of them were seen.
func TestPodsOnNodes(t *testing.T) {
	const pod = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - name: web
    image: registry.example.com/web:1
    securityContext: {appArmorProfile: {type: Localhost, localhostProfile: web}}
`
	on := true
	host := func(name string, profiles ...string) *evidence.Host {
		return &evidence.Host{Node: name, Root: "/host", System: evidence.System{AppArmor: &on, AppArmorProfiles: profiles}}
	}
	learning := host("n1", "web (enforce)")
	learning.System.SeccompProfiles = []evidence.SeccompProfile{{Path: "/var/lib/kubelet/seccomp/a.json", DefaultAction: "SCMP_ACT_LOG"}}
	for name, test := range map[string]struct {
		check string
		hosts []*evidence.Host
		known bool
	}{
		"no node":          {"apparmor-profile", nil, false},
		"loaded":           {"apparmor-profile", []*evidence.Host{host("n1", "cri-containerd.apparmor.d (enforce)", "web (enforce)")}, true},
		"not loaded":       {"apparmor-profile", []*evidence.Host{host("n1", "cri-containerd.apparmor.d (enforce)", "webmail (enforce)")}, false},
		"complains":        {"apparmor-profile", []*evidence.Host{host("n1", "web (complain)")}, false},
		"loaded on one":    {"apparmor-profile", []*evidence.Host{host("n1", "web (enforce)"), host("n2")}, false},
		"no profile":       {"seccomp-learning", []*evidence.Host{host("n1")}, false},
		"profile on nodes": {"seccomp-learning", []*evidence.Host{host("n2"), learning}, true},
	} {
		t.Run(name, func(t *testing.T) {
			snap := checktest.Load(t, "pod.yaml", pod)
			for _, h := range test.hosts {
				snap.AddHost(h, snap.Objects[0].Source)
			}
			c, ok := checks.Find(test.check)
			if !ok {
				t.Fatal("no such check")
			}
			run := checktest.JudgeNode(c, check.NewScan(snap, check.Settings{Version: evidence.Newest()}))
			if known := len(run.Unknowns) == 0; known != test.known || len(run.Failures) > 0 {
				t.Errorf("says %v and %v", run.Unknowns, run.Failures)
			}
		})
	}
}

// Where files do not wholly tell how a kubelet is set up, what it said of itself does.
func TestKubeletTold(t *testing.T) {
	snap := kubeletCluster(t, "podPidsLimit", "-1")
	limit := evidence.Option{Value: json.RawMessage("4096"), Place: evidence.Position{File: "/etc/kubelet.yaml"}}
	for unread, problems := range map[string]int{"": 0, "a drop-in may not be read": 1} {
		c := &evidence.Component{Name: evidence.Kubelet, Way: evidence.FromFile, Options: map[string]evidence.Option{"podPidsLimit": limit}, Unread: unread}
		both := *snap
		both.Hosts = slices.Clone(snap.Hosts)
		both.AddHost(&evidence.Host{Node: "worker-1", Root: "/host", ReadAt: checktest.LookedAt, Components: []*evidence.Component{c}}, snap.Objects[0].Source)
		if run := checktest.JudgeNode(checks.PodPIDsLimit, check.NewScan(&both, check.Settings{Version: evidence.Newest()})); len(run.Failures) != problems || len(run.Unknowns) > 0 {
			t.Errorf("unread %q: %+v, %+v", unread, run.Failures, run.Unknowns)
		}
	}
}
