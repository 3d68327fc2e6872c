package checks

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

func TestHostPathSeverity(t *testing.T) {
	const unchanged = guide.Severity(0)
	for _, test := range []struct {
		path              string
		written, readOnly guide.Severity
	}{
		{"/", guide.Critical, guide.Critical},
		{"", guide.Critical, guide.Critical},
		{"/../..", guide.Critical, guide.Critical},
		{"/etc", guide.Critical, guide.Critical},
		{"/etc/kubernetes", guide.Critical, guide.Critical},
		{"/etc/kubernetes/pki/", guide.Critical, guide.Critical},
		{"/etc/kubernetes-extra", unchanged, guide.Medium},
		{"/var/lib", guide.Critical, guide.Critical},
		{"/var/lib/kubelet", guide.Critical, guide.Critical},
		{"/var/lib/kubelet/plugins", unchanged, guide.Medium},
		{"/var/lib/etcd/member", guide.Critical, guide.Critical},
		{"/run", guide.Critical, guide.Critical},
		{"/var/run", guide.Critical, guide.Critical},
		{"/var/run/docker.sock", guide.Critical, guide.Critical},
		{"/run//containerd/./containerd.sock", guide.Critical, guide.Critical},
		{`\\.\pipe\docker_engine`, guide.Critical, guide.Critical},
		{`C:\`, guide.Critical, guide.Critical},
		{`C:\logs`, unchanged, guide.Medium},
		{"/var/log", unchanged, guide.Medium},
		{"/data", unchanged, guide.Medium},
		{"/etc/localtime", unchanged, guide.Low},
		{"/etc/ssl/certs/ca.crt", unchanged, guide.Low},
	} {
		for readOnly, want := range map[bool]guide.Severity{false: test.written, true: test.readOnly} {
			got, why := hostPathSeverity(nodePath(test.path), readOnly)
			if got != want || (got != unchanged) != (why != "") {
				t.Errorf("%q, read-only %v: %d (%s), want %d", test.path, readOnly, got, why, want)
			}
		}
	}
}

// Problems that rank other than their check, by the example they are in.
func TestSeverities(t *testing.T) {
	for _, test := range []struct {
		check   *check.Check
		example string
		object  string
		at      string
		want    guide.Severity
	}{
		{RunAsNonRoot, "inheritance", "pod-is-root", "securityContext.runAsUser", 0},
		{RunAsNonRoot, "inheritance", "pod-is-root", "securityContext.runAsNonRoot", guide.Low},
		{RunAsNonRoot, "inheritance", "overridden", "securityContext.runAsUser", guide.Low},
		{RunAsNonRoot, "inheritance", "pod-names-a-user", "containers[proxy].securityContext.runAsNonRoot", guide.Low},
		{RunAsNonRoot, "inheritance", "pod-is-good", "containers[proxy].securityContext.runAsNonRoot", 0},
		{RootGroup, "inheritance", "root-groups", "securityContext.runAsGroup", 0},
		{RootGroup, "inheritance", "overridden", "securityContext.runAsGroup", guide.Low},
		{UserNamespace, "pods", "host-users", "hostUsers", 0},
		{UserNamespace, "pods", "by-default", "hostUsers", guide.Low},
		{HostPath, "volumes", "agent", "volumes[socket].hostPath.path", guide.Critical},
		{HostPath, "volumes", "agent", "volumes[logs].hostPath.path", 0},
		{HostPath, "volumes", "agent", "volumes[zone].hostPath.path", guide.Low},
		{AddedCapabilities, "versions", "web", "containers[web].securityContext.capabilities.add[CHOWN]", 0},
		{AddedCapabilities, "versions", "web", "containers[web].securityContext.capabilities.add[CAP_SYS_ADMIN]", guide.High},
		{SELinuxOptions, "containers", "faulty-init", "initContainers[migrate].securityContext.seLinuxOptions.type", guide.High},
		{SELinuxOptions, "fields", "web", "securityContext.seLinuxOptions.type", 0},
		{SeccompProfile, "inheritance", "pod-is-bad", "securityContext.seccompProfile.type", 0},
		{SeccompProfile, "inheritance", "overridden", "securityContext.seccompProfile.type", guide.Low},
		{VolumeTypes, "volumes", "reaching-out", "volumes[share].nfs", 0},
		{VolumeTypes, "volumes", "reaching-out", "volumes[source].gitRepo", guide.High},
		{VolumeTypes, "volumes", "reaching-out", "volumes[logs].hostPath", guide.Low},
		{ImageNotPinned, "tags", "web", "containers[latest].image", guide.Medium},
		{ImageNotPinned, "tags", "web", "containers[untagged].image", guide.Medium},
		{ImageNotPinned, "tags", "web", "containers[tagged].image", guide.Low},
		{ResourceLimits, "containers", "faulty", "initContainers[migrate].resources.limits.memory", 0},
		{ResourceLimits, "containers", "faulty", "initContainers[migrate].resources.limits.cpu", guide.Low},
		{DefaultServiceAccount, "pods", "unnamed", "serviceAccountName", 0},
		{DefaultServiceAccount, "pods", "without-token", "serviceAccountName", guide.Low},
		{ProcMount, "containers", "faulty-init", "initContainers[migrate].securityContext.procMount", 0},
		{ProcMount, "user-namespace", "builder", "containers[builder].securityContext.procMount", guide.Low},
		{PodDiffers, "changed", "web", "hostPID", guide.High},
		{PodDiffers, "changed", "web", "volumes[root]", guide.High},
		{PodDiffers, "changed", "web", "containers[web].securityContext.privileged", guide.High},
		{PodDiffers, "changed", "web", "containers[web].image", 0},
		{PodDiffers, "changed", "web", "serviceAccountName", 0},
		{PodDiffers, "changed", "web", "containers[istio-proxy]", guide.Low},
		{PodDiffers, "changed", "web", "containers[web].env", guide.Low},
		{PodDiffers, "changed", "web", "containers[web].securityContext.runAsNonRoot", guide.Info},
		{DebugContainer, "pods", "debugged", "ephemeralContainers[node-debugger]", guide.High},
		{DebugContainer, "pods", "agent", "ephemeralContainers[debugger]", 0},
	} {
		found := false
		for _, f := range runFile(t, test.check, filepath.Join("testdata", test.check.ID, test.example+".yaml")).Failures {
			if f.Ref.Name != test.object || f.Problem.Path.Key() != test.at {
				continue
			}
			found = true
			if f.Problem.Severity != test.want {
				t.Errorf("%s: %s, %s: severity %d, want %d", test.check.ID, test.object, test.at, f.Problem.Severity, test.want)
			}
		}
		if !found {
			t.Errorf("%s: no problem of %s at %s", test.check.ID, test.object, test.at)
		}
	}
}

// A finding that ranks above or below its recommendation says why.
func TestSeverityReasons(t *testing.T) {
	for _, c := range All() {
		rec, _ := guide.Find(c.Recommendation)
		files, err := filepath.Glob(filepath.Join("testdata", c.ID, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, f := range runFile(t, c, file).Failures {
				p := f.Problem
				if p.Severity != 0 && p.Severity != rec.Severity && p.SeverityReason == "" || p.Severity == 0 && p.SeverityReason != "" {
					t.Errorf("%s: severity %d of %s, reason %q: %s", file, p.Severity, c.Recommendation, p.SeverityReason, p.Message)
				}
			}
		}
	}
}

// A pod that an operator completes fails by what is written in it, not by what is
// left out, and never passes.
func TestPartialPods(t *testing.T) {
	root, yes := int64(0), true
	for _, test := range []struct {
		name                        string
		pod                         corev1.PodSecurityContext
		evaluated, failed, unknowns int
	}{
		{"missing", corev1.PodSecurityContext{}, 0, 0, 1},
		{"good", corev1.PodSecurityContext{RunAsNonRoot: &yes}, 0, 0, 1},
		{"written", corev1.PodSecurityContext{RunAsUser: &root}, 1, 1, 1},
	} {
		pod := &corev1.PodSpec{SecurityContext: &test.pod, Containers: []corev1.Container{{Name: "web"}}}
		w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), nil, pod)
		w.Partial = "the operator adds the rest"
		snap := &evidence.Snapshot{}
		snap.Add(&evidence.Ref{Kind: "Web", Name: "web"}, []*evidence.Workload{w})
		run := &check.Run{Scan: check.NewScan(snap, check.Settings{Version: evidence.Newest()})}
		RunAsNonRoot.Run(run)
		if run.Evaluated.Len() != test.evaluated || len(run.Failures) != test.failed || len(run.Unknowns) != test.unknowns {
			t.Errorf("%s: %d evaluated, %d failed, %d unknown; want %d, %d, %d", test.name,
				run.Evaluated.Len(), len(run.Failures), len(run.Unknowns), test.evaluated, test.failed, test.unknowns)
		}
	}
}

func runFile(t *testing.T, c *check.Check, file string) *check.Run {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return checktest.Judge(t, file, string(src), c)
}

// A pod without a fault costs no memory but what remembers that it was judged:
// checks run over many thousands of them.
func TestPassesAllocateNothing(t *testing.T) {
	yes, no, id := true, false, int64(10001)
	secure := func(name string) corev1.Container {
		return corev1.Container{
			Name:  name,
			Image: "registry.example.com/shop/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/"}}},
			Lifecycle:     &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/"}}},
		}
	}
	pod := &corev1.PodSpec{
		InitContainers:               []corev1.Container{secure("migrate")},
		Containers:                   []corev1.Container{secure("web"), secure("proxy")},
		ServiceAccountName:           "web",
		AutomountServiceAccountToken: &no,
		HostUsers:                    &no,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &id, RunAsGroup: &id,
			SeccompProfile:  &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault},
		},
	}
	w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), nil, pod)
	snap := &evidence.Snapshot{}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: "web"}, []*evidence.Workload{w})
	scan := check.NewScan(snap, check.Settings{Version: evidence.Newest()})
	for _, c := range append(podSecurity(), HostPorts, ProcMount, UnsafeSysctls, HostProbes, DefaultServiceAccount) {
		run := &check.Run{Scan: scan}
		c.Run(run)
		if len(run.Failures) > 0 {
			t.Errorf("%s: %s", c.ID, run.Failures[0].Problem.Message)
		}
		if len(run.Unknowns) > 0 {
			continue
		}
		if n := testing.AllocsPerRun(10, func() { c.Run(run) }); n > 0 {
			t.Errorf("%s: a pass costs %v allocations", c.ID, n)
		}
	}
}
