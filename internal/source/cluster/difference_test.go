package cluster

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A pod that the controller of a StatefulSet makes, and that the API server and its
// own admission complete, is not different from the template, whatever the template
// is; and one field that somebody else changes is that one difference, no more.
func TestWhatIsAddedIsNoDifference(t *testing.T) {
	changes := securityChanges()
	for seed := range uint64(600) {
		random := rand.New(rand.NewPCG(seed, 1))
		set := randomSet(random)
		pod := created(set, random)
		if got := differing(t, set, pod.DeepCopy()); len(got) > 0 {
			t.Fatalf("seed %d: %q", seed, got)
		}
		change := changes[seed%uint64(len(changes))]
		want := change.make(pod)
		if diff := cmp.Diff([]string{want}, differing(t, set, pod)); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

// differing are the fields that a Builder finds different in the pod of a set.
func differing(t *testing.T, set *appsv1.StatefulSet, pod *corev1.Pod) (fields []string) {
	t.Helper()
	snap := build(t, Object{APIVersion: "apps/v1", Kind: "StatefulSet", Typed: set.DeepCopy()}, Object{APIVersion: "v1", Kind: "Pod", Typed: pod})
	if len(snap.Workloads) == 0 || snap.Workloads[0].Running != 1 || len(snap.Workloads) > 2 {
		t.Fatalf("workloads: %q", told(snap))
	}
	for _, w := range snap.Workloads[1:] {
		if len(w.Differs) == 0 {
			fields = append(fields, "no reason")
		}
		for _, d := range w.Differs {
			fields = append(fields, strings.Trim(d.Container+" "+d.Field, " "))
		}
	}
	return fields
}

// A securityChange changes a running pod, and returns what of it is then different.
type securityChange struct {
	make func(*corev1.Pod) string
}

func securityChanges() []securityChange {
	inContainer := func(field string, change func(*corev1.Container)) securityChange {
		return securityChange{func(p *corev1.Pod) string {
			c := &p.Spec.Containers[0]
			if c.SecurityContext == nil {
				c.SecurityContext = &corev1.SecurityContext{}
			}
			change(c)
			return c.Name + " " + field
		}}
	}
	inPod := func(field string, change func(*corev1.PodSpec)) securityChange {
		return securityChange{func(p *corev1.Pod) string { change(&p.Spec); return field }}
	}
	return []securityChange{
		inContainer("image", func(c *corev1.Container) { c.Image += "-evil" }),
		inContainer("command", func(c *corev1.Container) { c.Command = append(c.Command, "sh") }),
		inContainer("args", func(c *corev1.Container) { c.Args = append(c.Args, "-x") }),
		inContainer("env", func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: "LD_PRELOAD", Value: "/x"}) }),
		inContainer("envFrom", func(c *corev1.Container) { c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{Prefix: "x"}) }),
		inContainer("ports", func(c *corev1.Container) {
			c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 9, HostPort: 10})
		}),
		inContainer("volumeMounts", func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: "/host"})
		}),
		inContainer("lifecycle", func(c *corev1.Container) {
			c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh"}}}}
		}),
		inContainer("securityContext.privileged", func(c *corev1.Container) { c.SecurityContext.Privileged = new(true) }),
		inContainer("securityContext.runAsUser", func(c *corev1.Container) { c.SecurityContext.RunAsUser = new(int64(0)) }),
		inContainer("securityContext.readOnlyRootFilesystem", func(c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = new(false) }),
		inContainer("securityContext.capabilities.add", func(c *corev1.Container) {
			capabilities := &corev1.Capabilities{Add: []corev1.Capability{"SYS_ADMIN"}}
			if c.SecurityContext.Capabilities != nil {
				capabilities.Drop = c.SecurityContext.Capabilities.Drop
			}
			c.SecurityContext.Capabilities = capabilities
		}),
		inContainer("securityContext.seccompProfile.type", func(c *corev1.Container) {
			c.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		}),
		{func(p *corev1.Pod) string {
			if p.Spec.HostNetwork {
				p.Spec.HostIPC = true
				return "hostIPC"
			}
			p.Spec.HostNetwork = true
			for c := range containers(&p.Spec) {
				for i := range c.Ports {
					c.Ports[i].HostPort = c.Ports[i].ContainerPort
				}
			}
			return "hostNetwork"
		}},
		inPod("hostPID", func(p *corev1.PodSpec) { p.HostPID = true }),
		inPod("hostIPC", func(p *corev1.PodSpec) { p.HostIPC = true }),
		inPod("hostUsers", func(p *corev1.PodSpec) { p.HostUsers = new(true) }),
		inPod("shareProcessNamespace", func(p *corev1.PodSpec) { p.ShareProcessNamespace = new(true) }),
		inPod("serviceAccountName", func(p *corev1.PodSpec) {
			dropToken(p, &corev1.PodSpec{})
			p.ServiceAccountName, p.DeprecatedServiceAccount = "admin", "admin"
		}),
		inPod("automountServiceAccountToken", func(p *corev1.PodSpec) {
			p.AutomountServiceAccountToken = new(p.AutomountServiceAccountToken == nil || !*p.AutomountServiceAccountToken)
		}),
		inPod("runtimeClassName", func(p *corev1.PodSpec) { p.RuntimeClassName = new("other") }),
		inPod("hostAliases", func(p *corev1.PodSpec) { p.HostAliases = []corev1.HostAlias{{IP: "10.0.0.1"}} }),
		inPod("dnsConfig", func(p *corev1.PodSpec) { p.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.0.0.1"}} }),
		inPod("securityContext.runAsNonRoot", func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = new(false) }),
		inPod("securityContext.sysctls", func(p *corev1.PodSpec) { p.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.msgmax"}} }),
		inPod("volumes", func(p *corev1.PodSpec) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "root", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}),
		inPod("added containers", func(p *corev1.PodSpec) {
			p.Containers = append([]corev1.Container{{Name: "added", Image: "a"}}, p.Containers...)
		}),
		inPod("added initContainers", func(p *corev1.PodSpec) {
			p.InitContainers = append(p.InitContainers, corev1.Container{Name: "added", Image: "a"})
		}),
		inPod("debugger ephemeralContainers", func(p *corev1.PodSpec) {
			p.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debugger"}}}
		}),
		{func(p *corev1.Pod) string { p.Labels["app"] = "other"; return "labels" }},
		{func(p *corev1.Pod) string {
			name := p.Spec.Containers[len(p.Spec.Containers)-1].Name
			p.Spec.Containers = slices.Delete(p.Spec.Containers, len(p.Spec.Containers)-1, len(p.Spec.Containers))
			return name + " containers"
		}},
	}
}

// randomSet is a StatefulSet as the API server serves it: with its defaults.
func randomSet(r *rand.Rand) *appsv1.StatefulSet {
	coin := func() bool { return r.IntN(2) == 0 }
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler",
		TerminationGracePeriodSeconds: new(int64(30)), SecurityContext: &corev1.PodSecurityContext{}, HostNetwork: coin(),
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	if coin() {
		pod.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), FSGroup: new(int64(1))}
	}
	if coin() {
		pod.AutomountServiceAccountToken = new(false)
	}
	if coin() {
		pod.ServiceAccountName, pod.DeprecatedServiceAccount = "web", "web"
	}
	if coin() {
		pod.NodeSelector = map[string]string{"disk": "ssd"}
		pod.Tolerations = []corev1.Toleration{{Key: "disk", Operator: corev1.TolerationOpExists}}
		pod.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "mine"}}
	}
	annotations := map[string]string{}
	for i := range 1 + r.IntN(3) {
		c := randomContainer(r, fmt.Sprintf("c%d", i), pod.HostNetwork)
		if r.IntN(4) == 0 && c.SecurityContext == nil {
			annotations["container.apparmor.security.beta.kubernetes.io/"+c.Name] = []string{"localhost/x", "runtime/default", "unconfined"}[r.IntN(3)]
		}
		pod.Containers = append(pod.Containers, c)
	}
	if coin() {
		pod.InitContainers = append(pod.InitContainers, randomContainer(r, "init", pod.HostNetwork))
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop", UID: "s1"}}
	set.Spec.ServiceName = "db"
	set.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}, Annotations: annotations}, Spec: pod}
	set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
	set.Status.UpdateRevision = "db-1"
	return set
}

func randomContainer(r *rand.Rand, name string, hostNetwork bool) corev1.Container {
	coin := func() bool { return r.IntN(2) == 0 }
	c := corev1.Container{
		Name: name, Image: "example.com/" + name, ImagePullPolicy: corev1.PullIfNotPresent,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
		Env:          []corev1.EnvVar{{Name: "PEERS", Value: "db-0.db,db-1.db"}},
	}
	if coin() {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: corev1.ProtocolTCP}}
		if hostNetwork && coin() {
			c.Ports[0].HostPort = 80
		}
	}
	if coin() {
		c.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	}
	if coin() {
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	}
	return c
}

// created is a pod of the set: what its controller, the API server's defaults and
// admission make of the template.
func created(set *appsv1.StatefulSet, r *rand.Rand) *corev1.Pod {
	coin := func() bool { return r.IntN(2) == 0 }
	template := set.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name, pod.Namespace = fmt.Sprintf("db-%d", r.IntN(3)), set.Namespace
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set.Name, UID: set.UID, Controller: new(true)}}
	pod.Labels["statefulset.kubernetes.io/pod-name"] = pod.Name
	pod.Labels["apps.kubernetes.io/pod-index"] = "0"
	pod.Labels["controller-revision-hash"] = "db-1"
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, "db"
	pod.Spec.Volumes = append([]corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + pod.Name}}}}, pod.Spec.Volumes...)

	account(pod, coin())
	pod.Spec.Priority, pod.Spec.PreemptionPolicy = new(int32(0)), new(corev1.PreemptLowerPriority)
	pod.Spec.EnableServiceLinks = new(true)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))})
	}
	if coin() {
		pod.Spec.NodeName = "node-1"
		pod.Labels[corev1.LabelTopologyZone] = "a"
		pod.Spec.NodeSelector = map[string]string{"zone": "a"}
		pod.Spec.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}
	}
	for c := range containers(&pod.Spec) {
		if c.Resources.Requests == nil {
			c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		}
		if coin() {
			c.ImagePullPolicy = corev1.PullAlways
		}
		for i := range c.Ports {
			if pod.Spec.HostNetwork {
				c.Ports[i].HostPort = c.Ports[i].ContainerPort
			}
		}
		if value := pod.Annotations["container.apparmor.security.beta.kubernetes.io/"+c.Name]; value != "" {
			c.SecurityContext = &corev1.SecurityContext{AppArmorProfile: appArmorProfile(value)}
		}
	}
	return pod
}

// account does what the admission plugin ServiceAccount does.
func account(pod *corev1.Pod, secret bool) {
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount = "default", "default"
	}
	if pod.Spec.ImagePullSecrets == nil {
		pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	}
	if a := pod.Spec.AutomountServiceAccountToken; a != nil && !*a {
		return
	}
	v := corev1.Volume{Name: "kube-api-access-x7k2p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: new(int32(420)),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
		},
	}}}
	if secret {
		v.Name = pod.Spec.ServiceAccountName + "-token-x7k2p"
		v.VolumeSource = corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: v.Name}}
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, v)
	for c := range containers(&pod.Spec) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: tokenPath, ReadOnly: true})
	}
}

// Every field of a pod is either made like the template's or compared: a field that
// the API gets later is not overlooked.
func TestEveryFieldCounts(t *testing.T) {
	ignored := map[string]bool{}
	typ := reflect.TypeFor[corev1.PodSpec]()
	for i := range typ.NumField() {
		written, running := corev1.PodSpec{}, corev1.PodSpec{}
		fill(reflect.ValueOf(&running).Elem().Field(i))
		m := &maker{ref: &evidence.Ref{}}
		w := &evidence.Workload{Pod: &written}
		m.liken(&running, &template{Workload: w})
		if len(differences(w, &written, &running)) == 0 {
			ignored[jsonName(typ.Field(i))] = true
		}
	}
	want := map[string]bool{}
	for name := range strings.FieldsSeq(`terminationGracePeriodSeconds activeDeadlineSeconds nodeSelector serviceAccount nodeName imagePullSecrets
		hostname subdomain affinity schedulerName tolerations priorityClassName priority readinessGates enableServiceLinks preemptionPolicy
		overhead topologySpreadConstraints setHostnameAsFQDN schedulingGates resources hostnameOverride schedulingGroup evictionResponders`) {
		want[name] = true
	}
	if diff := cmp.Diff(want, ignored); diff != "" {
		t.Errorf("fields that nobody looks at (-want +got):\n%s", diff)
	}
}

// fill puts something into a field.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key := reflect.New(v.Type().Key()).Elem()
		key.SetString("x")
		v.SetMapIndex(key, reflect.Zero(v.Type().Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && (f.Kind() == reflect.Struct || f.Kind() == reflect.String || f.Kind() == reflect.Pointer && f.Type().Elem().Kind() != reflect.Struct) {
				fill(f)
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(7)
	}
}
