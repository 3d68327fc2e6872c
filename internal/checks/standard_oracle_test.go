package checks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A difference is a known disagreement with the standard, and why it is wanted.
type difference struct {
	rule string
	why  string
	// applies says for which pods it holds.
	applies func(*corev1.Pod, evidence.Version) bool
}

// laxer are the pods that the standard refuses and we do not.
var laxer = []difference{{
	"host-ports",
	"the API server writes the ports of pods on the node's network into hostPort: host-network has them all",
	func(p *corev1.Pod, _ evidence.Version) bool {
		return p.Spec.HostNetwork && !slices.ContainsFunc(allContainers(p), func(c *corev1.Container) bool {
			return slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool {
				return port.HostPort != 0 && port.HostPort != port.ContainerPort
			})
		})
	},
}, {
	"run-as-non-root",
	"the ledger takes a runAsUser above 0 for proof as good as runAsNonRoot",
	func(p *corev1.Pod, _ evidence.Version) bool {
		for _, u := range effectiveUsers(p) {
			if u.allowsRoot || u.uid != nil && *u.uid == 0 || u.uid == nil && !u.nonRoot {
				return false
			}
		}
		return true
	},
}, {
	"volume-types",
	"the API server makes a volume without a kind an emptyDir before the standard looks at it",
	func(p *corev1.Pod, _ evidence.Version) bool {
		return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.VolumeSource == corev1.VolumeSource{} })
	},
}}

// stricter are the pods that we refuse and the standard does not.
var stricter = []difference{{
	"run-as-non-root",
	"the standard did not look at runAsUser before 1.23, the ledger does",
	func(p *corev1.Pod, v evidence.Version) bool {
		return !v.AtLeast(23) && declaresRoot(p)
	},
}}

// Whatever the pod, judged as any version: where a check of the restricted standard
// refuses the pod, a rule of its row has a finding, and where a rule has one, a
// check of the standard that it answers for refuses the pod.
func TestStandardOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pod := randomPod(t)
		for minor := range evidence.Newest().Minor + 1 {
			version := evidence.Version{Major: 1, Minor: minor}
			if why := compareWithStandard(pod, version); why != "" {
				text, _ := yaml.Marshal(pod)
				t.Fatalf("judged as %s: %s\n%s", version, why, text)
			}
		}
	})
}

// compareWithStandard says what the rules and the standard disagree about.
func compareWithStandard(pod *corev1.Pod, version evidence.Version) string {
	refused := refusedBy(pod, version)
	found := map[string]bool{}
	scanRules(pod, version, func(rule string) { found[rule] = true })
	answered := map[string]bool{} // rules with a check of theirs that refuses
	for name, detail := range refused {
		any := false
		for _, rule := range standard[name].rules {
			answered[rule] = true
			any = any || found[rule] || known(laxer, rule, pod, version)
		}
		if !any {
			return fmt.Sprintf("%s refuses it (%s) and none of %v does", name, detail, standard[name].rules)
		}
	}
	for rule := range found {
		if beyondStandard[rule] == "" && !answered[rule] && !known(stricter, rule, pod, version) {
			return fmt.Sprintf("%s has a finding and the standard none", rule)
		}
	}
	return ""
}

func known(list []difference, rule string, pod *corev1.Pod, version evidence.Version) bool {
	return slices.ContainsFunc(list, func(d difference) bool { return d.rule == rule && d.applies(pod, version) })
}

// refusedBy runs the restricted standard of a version and returns the checks
// that refuse the pod, with what they say.
func refusedBy(pod *corev1.Pod, version evidence.Version) map[string]string {
	want := api.MajorMinorVersion(version.Major, version.Minor)
	inForce := map[policy.CheckID]policy.VersionedCheck{}
	overridden := map[policy.CheckID]bool{}
	for _, c := range policy.DefaultChecks() {
		for _, v := range c.Versions {
			if !want.Older(v.MinimumVersion) {
				inForce[c.ID] = v
			}
		}
		for _, id := range inForce[c.ID].OverrideCheckIDs {
			overridden[id] = true
		}
	}
	refused := map[string]string{}
	for id, c := range inForce {
		// hostPathVolumes is overridden by a check of all volumes; the ledger has a
		// row for each.
		if overridden[id] && id != "hostPathVolumes" {
			continue
		}
		if result := c.CheckPod(&pod.ObjectMeta, &pod.Spec); !result.Allowed {
			refused[strings.ToLower(string(id))] = result.ForbiddenDetail
		}
	}
	return refused
}

// The resolution of versions and overrides above is the evaluator's own.
func TestStandardOracleIsTheEvaluator(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		pod := randomPod(t)
		version := evidence.Version{Major: 1, Minor: rapid.IntRange(0, evidence.Newest().Minor).Draw(t, "minor")}
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.MajorMinorVersion(1, version.Minor)}
		refused := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		if ours := len(refusedBy(pod, version)) == 0; ours != refused.Allowed {
			t.Fatalf("judged as %s: evaluator allows: %v, refusedBy: %v", version, refused.Allowed, refusedBy(pod, version))
		}
	})
}

// Every check of the standards has an entry in the table, so that a new one in
// a newer module is noticed.
func TestStandardChecksAreKnown(t *testing.T) {
	for _, c := range policy.DefaultChecks() {
		if _, ok := standard[strings.ToLower(string(c.ID))]; !ok {
			t.Errorf("the standards have a check %q that no row answers for", c.ID)
		}
	}
}

// A user is who a container runs as, its own settings over its pod's.
type user struct {
	uid     *int64
	nonRoot bool
	// allowsRoot is set when the container or its pod says runAsNonRoot: false.
	allowsRoot bool
}

func effectiveUsers(p *corev1.Pod) (list []user) {
	var pod user
	if s := p.Spec.SecurityContext; s != nil {
		pod = user{s.RunAsUser, s.RunAsNonRoot != nil && *s.RunAsNonRoot, s.RunAsNonRoot != nil && !*s.RunAsNonRoot}
	}
	for _, c := range allContainers(p) {
		u := pod
		if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
			u.uid = s.RunAsUser
		}
		if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
			u.nonRoot, u.allowsRoot = *s.RunAsNonRoot, u.allowsRoot || !*s.RunAsNonRoot
		}
		list = append(list, u)
	}
	return list
}

// declaresRoot reports whether user 0 is written anywhere in the pod.
func declaresRoot(p *corev1.Pod) bool {
	if s := p.Spec.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == 0 {
		return true
	}
	return slices.ContainsFunc(allContainers(p), func(c *corev1.Container) bool {
		return c.SecurityContext != nil && c.SecurityContext.RunAsUser != nil && *c.SecurityContext.RunAsUser == 0
	})
}

func allContainers(p *corev1.Pod) (list []*corev1.Container) {
	for i := range p.Spec.InitContainers {
		list = append(list, &p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		list = append(list, &p.Spec.Containers[i])
	}
	for i := range p.Spec.EphemeralContainers {
		list = append(list, (*corev1.Container)(&p.Spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
	return list
}

// randomPod draws a pod over every field that the standards look at. Most fields
// are good or missing, so that single faults are common.
func randomPod(t *rapid.T) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "random", Annotations: map[string]string{}}}
	spec := &pod.Spec
	for i, list := range []string{"init", "main", "debug"} {
		for n := range rapid.IntRange(i&1, 2).Draw(t, list) {
			c := randomContainer(t, fmt.Sprintf("%s%d", list, n))
			switch list {
			case "init":
				spec.InitContainers = append(spec.InitContainers, c)
			case "main":
				spec.Containers = append(spec.Containers, c)
			case "debug":
				spec.EphemeralContainers = append(spec.EphemeralContainers,
					corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(c)})
			}
			annotate(t, pod, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name, "runtime/default", "localhost/web", "unconfined", "")
			annotate(t, pod, "container.seccomp.security.alpha.kubernetes.io/"+c.Name, "runtime/default", "localhost/web", "unconfined", "")
		}
	}
	annotate(t, pod, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+"gone", "unconfined")
	annotate(t, pod, "seccomp.security.alpha.kubernetes.io/pod", "docker/default", "unconfined")
	spec.HostPID = rare(t, "hostPID")
	spec.HostIPC = rare(t, "hostIPC")
	spec.HostNetwork = rare(t, "hostNetwork")
	spec.HostUsers = maybe(t, "hostUsers", true, false)
	if os := maybe(t, "os", corev1.Linux, corev1.Windows); os != nil {
		spec.OS = &corev1.PodOS{Name: *os}
	}
	if rapid.Bool().Draw(t, "pod context") {
		spec.SecurityContext = randomPodContext(t)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "volumes") {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: fmt.Sprintf("v%d", i), VolumeSource: rapid.SampledFrom(volumeSources).Draw(t, "volume")})
	}
	return pod
}

var volumeSources = []corev1.VolumeSource{
	{},
	{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}},
	{ConfigMap: &corev1.ConfigMapVolumeSource{}}, {Secret: &corev1.SecretVolumeSource{}},
	{DownwardAPI: &corev1.DownwardAPIVolumeSource{}}, {Projected: &corev1.ProjectedVolumeSource{}},
	{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}, {CSI: &corev1.CSIVolumeSource{}},
	{Ephemeral: &corev1.EphemeralVolumeSource{}}, {Image: &corev1.ImageVolumeSource{}},
	{HostPath: &corev1.HostPathVolumeSource{Path: "/data"}}, {NFS: &corev1.NFSVolumeSource{}},
	{ISCSI: &corev1.ISCSIVolumeSource{}}, {GitRepo: &corev1.GitRepoVolumeSource{}}, {FC: &corev1.FCVolumeSource{}},
	{GCEPersistentDisk: &corev1.GCEPersistentDiskVolumeSource{}}, {AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{}},
	{AzureDisk: &corev1.AzureDiskVolumeSource{}}, {AzureFile: &corev1.AzureFileVolumeSource{}}, {CephFS: &corev1.CephFSVolumeSource{}},
	{RBD: &corev1.RBDVolumeSource{}}, {Glusterfs: &corev1.GlusterfsVolumeSource{}}, {Cinder: &corev1.CinderVolumeSource{}},
	{Flocker: &corev1.FlockerVolumeSource{}}, {Quobyte: &corev1.QuobyteVolumeSource{}}, {FlexVolume: &corev1.FlexVolumeSource{}},
	{VsphereVolume: &corev1.VsphereVirtualDiskVolumeSource{}}, {PhotonPersistentDisk: &corev1.PhotonPersistentDiskVolumeSource{}},
	{PortworxVolume: &corev1.PortworxVolumeSource{}}, {ScaleIO: &corev1.ScaleIOVolumeSource{}}, {StorageOS: &corev1.StorageOSVolumeSource{}},
}

func randomPodContext(t *rapid.T) *corev1.PodSecurityContext {
	s := &corev1.PodSecurityContext{
		RunAsNonRoot:    maybe(t, "pod runAsNonRoot", true, false),
		RunAsUser:       maybe[int64](t, "pod runAsUser", 1000, 0),
		SeccompProfile:  randomSeccomp(t),
		AppArmorProfile: randomAppArmor(t),
		SELinuxOptions:  randomSELinux(t),
		WindowsOptions:  randomWindows(t),
	}
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_time",
		"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
		"net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_syncookies",
		"net.ipv4.ping_group_range", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "kernel.msgmax",
	}), 0, 2).Draw(t, "sysctls") {
		s.Sysctls = append(s.Sysctls, corev1.Sysctl{Name: name, Value: "1"})
	}
	return s
}

func randomContainer(t *rapid.T, name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "registry.example.com/" + name}
	if rare(t, "hostPort") {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 81, HostPort: 81}}
	}
	if rare(t, "probe") {
		c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: randomHTTP(t)}}
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: randomTCP(t)}}
		c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: randomHTTP(t)}}
		c.Lifecycle = &corev1.Lifecycle{
			PostStart: &corev1.LifecycleHandler{HTTPGet: randomHTTP(t)},
			PreStop:   &corev1.LifecycleHandler{TCPSocket: randomTCP(t)},
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "context") == 0 {
		return c
	}
	c.SecurityContext = &corev1.SecurityContext{
		Privileged:               maybe(t, "privileged", false, true),
		AllowPrivilegeEscalation: mostly(t, "allowPrivilegeEscalation", false, true),
		RunAsNonRoot:             maybe(t, "runAsNonRoot", true, false),
		RunAsUser:                maybe[int64](t, "runAsUser", 1000, 0),
		ProcMount:                maybe(t, "procMount", corev1.DefaultProcMount, corev1.UnmaskedProcMount),
		SeccompProfile:           randomSeccomp(t),
		AppArmorProfile:          randomAppArmor(t),
		SELinuxOptions:           randomSELinux(t),
		WindowsOptions:           randomWindows(t),
	}
	if rapid.IntRange(0, 4).Draw(t, "capabilities") != 0 {
		capability := rapid.SampledFrom([]corev1.Capability{"NET_BIND_SERVICE", "CHOWN", "SYS_ADMIN", "CAP_CHOWN", "all"})
		c.SecurityContext.Capabilities = &corev1.Capabilities{
			Add:  rapid.SliceOfN(capability, 0, 1).Draw(t, "add"),
			Drop: rapid.SampledFrom([][]corev1.Capability{{"ALL"}, {"NET_RAW", "ALL"}, {"NET_RAW"}, {"all"}, nil}).Draw(t, "drop"),
		}
	}
	return c
}

func randomHTTP(t *rapid.T) *corev1.HTTPGetAction {
	return &corev1.HTTPGetAction{Host: rapid.SampledFrom([]string{"", "", "", "127.0.0.1"}).Draw(t, "http host")}
}

func randomTCP(t *rapid.T) *corev1.TCPSocketAction {
	return &corev1.TCPSocketAction{Host: rapid.SampledFrom([]string{"", "", "", "127.0.0.1"}).Draw(t, "tcp host")}
}

func randomSeccomp(t *rapid.T) *corev1.SeccompProfile {
	if kind := maybe(t, "seccomp", corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeUnconfined); kind != nil {
		return &corev1.SeccompProfile{Type: *kind}
	}
	return nil
}

func randomAppArmor(t *rapid.T) *corev1.AppArmorProfile {
	if kind := maybe(t, "apparmor", corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeUnconfined); kind != nil {
		return &corev1.AppArmorProfile{Type: *kind}
	}
	return nil
}

func randomSELinux(t *rapid.T) *corev1.SELinuxOptions {
	if !rare(t, "selinux") {
		return nil
	}
	return &corev1.SELinuxOptions{
		Type: rapid.SampledFrom([]string{"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t"}).Draw(t, "type"),
		User: rapid.SampledFrom([]string{"", "", "system_u"}).Draw(t, "user"),
		Role: rapid.SampledFrom([]string{"", "", "system_r"}).Draw(t, "role"),
	}
}

func randomWindows(t *rapid.T) *corev1.WindowsSecurityContextOptions {
	if !rare(t, "windows options") {
		return nil
	}
	return &corev1.WindowsSecurityContextOptions{HostProcess: maybe(t, "hostProcess", false, true)}
}

func annotate(t *rapid.T, pod *corev1.Pod, key string, values ...string) {
	if rare(t, key) {
		pod.Annotations[key] = rapid.SampledFrom(values).Draw(t, "annotation")
	}
}

// rare is true one time in eight.
func rare(t *rapid.T, what string) bool { return rapid.IntRange(0, 7).Draw(t, what) == 7 }

// maybe is nil or one of the values, the first ones more often.
func maybe[T any](t *rapid.T, what string, values ...T) *T {
	i := rapid.IntRange(-2, len(values)).Draw(t, what)
	switch {
	case i < 0:
		return nil
	case i == len(values):
		i = 0
	}
	return &values[i]
}

// mostly is the first of the values, sometimes nil or another.
func mostly[T any](t *rapid.T, what string, values ...T) *T {
	if rare(t, what+" missing") {
		return nil
	}
	if rare(t, what+" other") {
		return &values[len(values)-1]
	}
	return &values[0]
}
