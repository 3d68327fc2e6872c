package podsecurity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/files"
)

// load reads manifests as the program does.
func load(t testing.TB, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	if err := files.Read(t.Context(), snap, files.Options{Paths: []string{"-"}, Stdin: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
	return snap
}

func namespace(name string, labels ...string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}\n", name, strings.Join(labels, ", "))
}

// pod is a Pod of namespace a, with its spec in flow style.
func pod(name, spec string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: a}\nspec: {%s}\n", name, spec)
}

const (
	plain = `containers: [{name: c, image: example.com/c}]`
	tight = `securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, image: example.com/c, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]`
	open  = `hostPID: true, containers: [{name: c, image: example.com/c}]`
)

func TestLevels(t *testing.T) {
	const enforce, version = "pod-security.kubernetes.io/enforce: ", "pod-security.kubernetes.io/enforce-version: "
	for name, c := range map[string]struct {
		text    string
		options Options
		level   api.Level
		// enforced is what the labels enforce, "" for nothing.
		enforced string
		warn     api.Level
		// audit is the level of that label, where it is not that of warn.
		audit api.Level
		// says are in the document.
		says []string
	}{
		"restricted": {text: namespace("a") + pod("p", tight), level: "restricted", enforced: "restricted:v1.37", warn: "restricted"},
		"baseline": {text: namespace("a") + pod("p", tight) + pod("q", plain), level: "baseline", enforced: "baseline:v1.37", warn: "restricted",
			says: []string{"# What blocks restricted:\n", "Pod a/q: allowPrivilegeEscalation != false", `spec.containers[0].securityContext.runAsNonRoot: not set (`, "no label enforces a level"}},
		"privileged": {text: namespace("a") + pod("p", open) + pod("q", plain), level: "privileged", enforced: "privileged:v1.37", warn: "baseline",
			says: []string{"# What blocks baseline:\n", "spec.hostPID: true (", ": host namespaces (hostPID=true)"}},
		"empty":             {text: namespace("a"), level: "restricted", enforced: "restricted:v1.37", warn: "restricted", says: []string{"as nothing is there"}},
		"version":           {text: namespace("a") + pod("p", tight), options: Options{Version: evidence.Version{Major: 1, Minor: 30}}, level: "restricted", enforced: "restricted:v1.30", warn: "restricted"},
		"warn only":         {text: namespace("a") + pod("p", plain), options: Options{WarnOnly: true}, level: "baseline", warn: "restricted", says: []string{"--warn-only: no label"}},
		"not created":       {text: pod("p", tight), level: "restricted", enforced: "restricted:v1.37", warn: "restricted", says: []string{"restricted, as far as was seen", "Doubt: the files do not create namespace"}},
		"looser today":      {text: namespace("a", enforce+"privileged") + pod("p", plain), level: "baseline", enforced: "baseline:v1.37", warn: "restricted", says: []string{"enforces privileged:latest, looser"}},
		"stricter today":    {text: namespace("a", enforce+"restricted") + pod("p", plain), level: "baseline", enforced: "restricted:", warn: "restricted", says: []string{"enforces restricted:latest, stricter than"}},
		"older version":     {text: namespace("a", enforce+"baseline", version+"v1.28") + pod("p", plain), level: "baseline", enforced: "baseline:v1.37", warn: "restricted", says: []string{"the version is v1.28, and becomes v1.37"}},
		"no level":          {text: namespace("a", enforce+"tight") + pod("p", plain), level: "baseline", enforced: "baseline:v1.37", warn: "restricted", says: []string{`is "tight", which is no level`}},
		"stricter warning":  {text: namespace("a", "pod-security.kubernetes.io/warn: restricted") + pod("p", open), level: "privileged", enforced: "privileged:v1.37", warn: "restricted", audit: "baseline", says: []string{"warn is restricted already: kept"}},
		"windows":           {text: namespace("a") + pod("p", `os: {name: windows}, securityContext: {runAsNonRoot: true}, containers: [{name: c, image: example.com/c}]`), level: "restricted", enforced: "restricted:v1.37", warn: "restricted", says: []string{"1 for Windows"}},
		"host process":      {text: namespace("a") + pod("p", `os: {name: windows}, hostNetwork: true, securityContext: {windowsOptions: {hostProcess: true}}, containers: [{name: c, image: example.com/c}]`), level: "privileged", enforced: "privileged:v1.37", warn: "baseline", says: []string{"spec.securityContext.windowsOptions.hostProcess: true"}},
		"volume of no kind": {text: namespace("a") + pod("p", `volumes: [{name: v}], `+tight), level: "restricted", enforced: "restricted:v1.37", warn: "restricted"},
		"ports of the node": {text: namespace("a") + pod("p", `hostNetwork: true, containers: [{name: c, image: example.com/c, ports: [{containerPort: 80}]}]`), level: "privileged", enforced: "privileged:v1.37", warn: "baseline", says: []string{"ports[0].hostPort: 80, which the API server sets"}},
		"said of the pod":   {text: namespace("a") + pod("p", `securityContext: {seccompProfile: {type: Unconfined}}, containers: [{name: c, image: example.com/c}]`), level: "privileged", enforced: "privileged:v1.37", warn: "baseline", says: []string{"spec.securityContext.seccompProfile.type: Unconfined"}},
		"name in a comment": {text: namespace("a") + pod("p", "volumes: [{name: \"x\\nkind: Evil\", hostPath: {path: \"/a\\n---\"}}], "+plain), level: "privileged", enforced: "privileged:v1.37", warn: "baseline", says: []string{`hostPath.path: /a?---`}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Generate(load(t, c.text), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Namespaces) != 1 {
				t.Fatalf("%d namespaces", len(r.Namespaces))
			}
			n := r.Namespaces[0]
			audit := c.audit
			if audit == "" {
				audit = c.warn
			}
			enforced := n.Labels[api.EnforceLevelLabel]
			if enforced != "" {
				enforced += ":" + n.Labels[api.EnforceVersionLabel]
			}
			if diff := cmp.Diff([]string{string(c.level), c.enforced, string(c.warn), string(audit)},
				[]string{string(n.Level), enforced, n.Labels[api.WarnLevelLabel], n.Labels[api.AuditLevelLabel]}); diff != "" {
				t.Errorf("level, enforced, warn, audit: -want +got\n%s", diff)
			}
			for _, want := range c.says {
				if !strings.Contains(r.Text, want) {
					t.Errorf("no %q in\n%s", want, r.Text)
				}
			}
			var ns corev1.Namespace
			if err := yaml.UnmarshalStrict([]byte(r.Text), &ns); err != nil || ns.Name != "a" || !cmp.Equal(ns.Labels, n.Labels) {
				t.Errorf("%v: not the labels of a:\n%s", err, r.Text)
			}
		})
	}
}

func TestSystemNamespaces(t *testing.T) {
	r, err := Generate(load(t, namespace("kube-system")+namespace("kube-public")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"restricted", "privileged"} { // kube-public, kube-system
		n := r.Namespaces[i]
		if !n.System || n.Level != api.LevelRestricted || n.Labels[api.EnforceLevelLabel] != want {
			t.Errorf("%s: system %v, level %s, enforced %q, want %s", n.Name, n.System, n.Level, n.Labels[api.EnforceLevelLabel], want)
		}
	}
}

// Where nothing was seen and not everything was looked at, nothing is enforced.
func TestUnseen(t *testing.T) {
	snap := load(t, namespace("a"))
	snap.Gaps = []evidence.Gap{{Fact: evidence.Workloads, Scope: "a", Reason: "pods may not be listed"}}
	r, err := Generate(snap, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Namespaces[0].Labels[api.EnforceLevelLabel]; ok || !strings.Contains(r.Text, "pods may not be listed") {
		t.Errorf("a level without a doubt:\n%s", r.Text)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		options Options
		says    string
	}{
		"before Pod Security": {namespace("a"), Options{Version: evidence.Version{Major: 1, Minor: 22}}, "from 1.23 on"},
		"no such namespace":   {namespace("a"), Options{Namespaces: []string{"b"}}, "no namespace b"},
	} {
		if _, err := Generate(load(t, c.text), c.options); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Warnings are grouped and counted as the API server does; what runs otherwise than it
// is written is counted apart.
func TestWarnings(t *testing.T) {
	snap := load(t, namespace("a")+pod("solo", plain)+pod("bad", open)+pod("worse", open))
	snap.Cluster = &evidence.Cluster{Version: "v1.36.2"}
	for _, w := range snap.Workloads {
		w.Running = 1
	}
	web := *snap.Workloads[1]
	ref := *web.Ref
	ref.Kind, ref.Name = "Deployment", "web"
	web.Ref, web.Running = &ref, 5
	other := web
	other.Running, other.Instance, other.Template, other.Pod = 2, "web-1-x", &web, snap.Workloads[0].Pod
	snap.Workloads = append(snap.Workloads, &web, &other)
	r, err := Generate(snap, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:v1.36"`, "bad (and 4 other pods): host namespaces"}
	if diff := cmp.Diff(want, r.Namespaces[0].Warnings); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if n := r.Namespaces[0].Running; n != 8 {
		t.Errorf("%d pods, want 8", n)
	}
}

// Whatever the pods and the release: the evaluator accepts every pod at the level that
// was chosen, refuses one at the next, and every reason that it gives has a field.
func TestChosenLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minor := rapid.IntRange(23, evidence.Newest().Minor).Draw(t, "minor")
		version := api.MajorMinorVersion(1, minor)
		snap := &evidence.Snapshot{}
		snap.Add(&evidence.Ref{Kind: "Namespace", Name: "a"}, &corev1.Namespace{})
		var pods []*corev1.Pod
		for i := range rapid.IntRange(0, 3).Draw(t, "pods") {
			p := randomPod(t)
			pods = append(pods, p)
			w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &p.ObjectMeta, &p.Spec)
			snap.Add(&evidence.Ref{Kind: "Pod", Namespace: "a", Name: fmt.Sprint("p", i)}, []*evidence.Workload{w})
		}
		r, err := Generate(snap, Options{Version: evidence.Version{Major: 1, Minor: minor}})
		if err != nil {
			t.Fatal(err)
		}
		n := r.Namespaces[0]
		evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), &version)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(level api.Level, p *corev1.Pod) []string {
			results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: version}, &p.ObjectMeta, served(&p.Spec))
			return policy.AggregateCheckResults(results).ForbiddenReasons
		}
		blocked := 0
		for i, p := range pods {
			if list := refused(n.Level, p); len(list) > 0 {
				t.Fatalf("%s refuses pod %d: %v", n.Level, i, list)
			}
			if n.Next == "" {
				continue
			}
			reasons := refused(n.Next, p)
			if len(reasons) == 0 {
				continue
			}
			k := slices.IndexFunc(n.Blockers, func(b *Blocker) bool { return b.Workload.Name == fmt.Sprint("p", i) })
			if k < 0 {
				t.Fatalf("%s refuses pod %d (%v), and it is no blocker", n.Next, i, reasons)
			}
			blocked++
			var located []string
			for _, f := range n.Blockers[k].Fields {
				for _, reason := range f.Reasons {
					located = append(located, singular(reason))
				}
			}
			for _, reason := range reasons {
				if !slices.Contains(located, singular(reason)) {
					text, _ := yaml.Marshal(p)
					t.Fatalf("no field for %q, only %v\n%s", reason, located, text)
				}
			}
			for _, reason := range located {
				if !slices.ContainsFunc(reasons, func(r string) bool { return singular(r) == reason }) {
					text, _ := yaml.Marshal(p)
					t.Fatalf("a field for %q, where it says only %v\n%s", reason, reasons, text)
				}
			}
		}
		if (n.Next != "") != (blocked > 0) || blocked != len(n.Blockers) {
			t.Fatalf("level %s, next %q, %d pods refused, %d blockers", n.Level, n.Next, blocked, len(n.Blockers))
		}
	})
}

// singular is a reason that the evaluator writes in the plural for several values.
func singular(reason string) string {
	return strings.Replace(reason, "AppArmor profiles", "AppArmor profile", 1)
}

// randomPod draws a pod over the fields that the standards look at.
func randomPod(t *rapid.T) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}}
	rare := func(name string) bool { return rapid.IntRange(0, 9).Draw(t, name) == 0 }
	s := &p.Spec
	s.HostNetwork, s.HostPID, s.HostIPC = rare("net"), rare("pid"), rare("ipc")
	s.HostUsers = maybe(t, "hostUsers", true, false)
	if rare("os") {
		s.OS = &corev1.PodOS{Name: rapid.SampledFrom([]corev1.OSName{corev1.Linux, corev1.Windows}).Draw(t, "name")}
	}
	if rare("annotation") {
		p.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+"c0"] = "unconfined"
	}
	if rare("volume") {
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: rapid.SampledFrom([]corev1.VolumeSource{{}, {HostPath: &corev1.HostPathVolumeSource{Path: "/"}}, {NFS: &corev1.NFSVolumeSource{}}, {EmptyDir: &corev1.EmptyDirVolumeSource{}}}).Draw(t, "source")}}
	}
	if rapid.Bool().Draw(t, "context") {
		s.SecurityContext = &corev1.PodSecurityContext{
			RunAsNonRoot: maybe(t, "nonroot", true, true, false), RunAsUser: maybe[int64](t, "user", 1000, 1000, 0),
			SeccompProfile: seccomp(t), AppArmorProfile: apparmor(t), SELinuxOptions: selinuxOptions(t), WindowsOptions: windowsOptions(t),
		}
		if rare("sysctl") {
			s.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax"}, {Name: "net.ipv4.tcp_syncookies"}, {Name: "net.ipv4.tcp_rmem"}}
		}
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "containers") {
		c := container(t, fmt.Sprint("c", i))
		switch {
		case i == 0:
			s.Containers = append(s.Containers, c)
		case i == 1:
			s.InitContainers = append(s.InitContainers, c)
		default:
			s.EphemeralContainers = append(s.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(c)})
		}
	}
	return p
}

func container(t *rapid.T, name string) corev1.Container {
	rare := func(name string) bool { return rapid.IntRange(0, 9).Draw(t, name) == 0 }
	c := corev1.Container{Name: name}
	if rare("ports") {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 81, HostPort: rapid.SampledFrom([]int32{0, 81}).Draw(t, "host port")}}
	}
	if rare("probes") {
		host := rapid.SampledFrom([]string{"", "10.0.0.1", "127.0.0.1"}).Draw(t, "host")
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: host}}}
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Host: host}}}
	}
	if rare("bare") {
		return c
	}
	c.SecurityContext = &corev1.SecurityContext{
		Privileged: maybe(t, "privileged", false, false, true), AllowPrivilegeEscalation: maybe(t, "escalation", false, false, true),
		RunAsNonRoot: maybe(t, "nonroot", true, true, false), RunAsUser: maybe[int64](t, "user", 1000, 1000, 0),
		ProcMount: maybe(t, "proc", corev1.DefaultProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount), SeccompProfile: seccomp(t), AppArmorProfile: apparmor(t),
		SELinuxOptions: selinuxOptions(t), WindowsOptions: windowsOptions(t),
	}
	if !rare("no capabilities") {
		c.SecurityContext.Capabilities = &corev1.Capabilities{
			Drop: rapid.SampledFrom([][]corev1.Capability{{"ALL"}, {"ALL"}, {"CHOWN"}, nil}).Draw(t, "drop"),
			Add:  rapid.SampledFrom([][]corev1.Capability{nil, nil, {"NET_BIND_SERVICE"}, {"CHOWN"}, {"SYS_ADMIN"}}).Draw(t, "add"),
		}
	}
	return c
}

// maybe draws one of some values, or none.
func maybe[T any](t *rapid.T, name string, values ...T) *T {
	i := rapid.IntRange(-1, len(values)-1).Draw(t, name)
	if i < 0 {
		return nil
	}
	return &values[i]
}

func seccomp(t *rapid.T) *corev1.SeccompProfile {
	kind := maybe(t, "seccomp", corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	if kind == nil {
		return nil
	}
	return &corev1.SeccompProfile{Type: *kind}
}

func apparmor(t *rapid.T) *corev1.AppArmorProfile {
	if rapid.IntRange(0, 9).Draw(t, "apparmor") > 0 {
		return nil
	}
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
}

func selinuxOptions(t *rapid.T) *corev1.SELinuxOptions {
	if rapid.IntRange(0, 9).Draw(t, "selinux") > 0 {
		return nil
	}
	return &corev1.SELinuxOptions{Type: rapid.SampledFrom([]string{"", "container_t", "spc_t"}).Draw(t, "type"), User: rapid.SampledFrom([]string{"", "system_u"}).Draw(t, "user")}
}

func windowsOptions(t *rapid.T) *corev1.WindowsSecurityContextOptions {
	if rapid.IntRange(0, 9).Draw(t, "windows") > 0 {
		return nil
	}
	return &corev1.WindowsSecurityContextOptions{HostProcess: maybe(t, "hostProcess", true, false)}
}
