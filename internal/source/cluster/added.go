package cluster

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What the controllers, the API server's defaults and the admission plugins that
// are built into it (ServiceAccount, LimitRanger, Priority, RuntimeClass,
// DefaultTolerationSeconds, AlwaysPullImages, PodNodeSelector, PodTopologyLabels and
// others) add to a pod is nobody's doing, and is taken away here.

// addedLabels are those that controllers and admission give to single pods.
var addedLabels = []string{
	appsv1.DefaultDeploymentUniqueLabelKey, "rollouts-pod-template-hash",
	appsv1.ControllerRevisionHashLabelKey, "pod-template-generation",
	appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel,
	"controller-uid", "job-name", batchv1.ControllerUidLabel, batchv1.JobNameLabel, batchv1.JobCompletionIndexAnnotation,
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
}

// withoutAdded takes the labels away that controllers add. It never returns nil.
func withoutAdded(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	for _, key := range addedLabels {
		delete(labels, key)
	}
	return labels
}

// liken makes a pod what its template says in all that is added to pods, and in
// what settles where it runs and not what it may do: what remains different was
// changed by somebody else.
func (m *maker) liken(pod *corev1.PodSpec, t *template) {
	written := t.Pod
	dropToken(pod, written)
	m.dropClaims(pod, written)

	pod.NodeName, pod.NodeSelector, pod.Affinity = written.NodeName, written.NodeSelector, written.Affinity
	pod.Tolerations, pod.TopologySpreadConstraints = written.Tolerations, written.TopologySpreadConstraints
	pod.SchedulerName, pod.SchedulingGates, pod.SchedulingGroup = written.SchedulerName, written.SchedulingGates, written.SchedulingGroup
	pod.Priority, pod.PriorityClassName, pod.PreemptionPolicy = written.Priority, written.PriorityClassName, written.PreemptionPolicy
	pod.Overhead, pod.Resources = written.Overhead, written.Resources
	pod.Hostname, pod.Subdomain = written.Hostname, written.Subdomain
	pod.SetHostnameAsFQDN, pod.HostnameOverride = written.SetHostnameAsFQDN, written.HostnameOverride
	pod.EnableServiceLinks, pod.ImagePullSecrets = written.EnableServiceLinks, written.ImagePullSecrets
	pod.ReadinessGates, pod.EvictionResponders = written.ReadinessGates, written.EvictionResponders
	pod.TerminationGracePeriodSeconds, pod.ActiveDeadlineSeconds = written.TerminationGracePeriodSeconds, written.ActiveDeadlineSeconds

	if accountOf(pod) == accountOf(written) {
		pod.ServiceAccountName, pod.DeprecatedServiceAccount = written.ServiceAccountName, written.DeprecatedServiceAccount
	}
	likenContainers(m.ref.Kind, pod, pod.InitContainers, t, written.InitContainers)
	likenContainers(m.ref.Kind, pod, pod.Containers, t, written.Containers)
}

func accountOf(pod *corev1.PodSpec) string {
	return (&evidence.Workload{Pod: pod}).ServiceAccountName()
}

// likenContainers puts the template's containers first, in its order, and takes away
// what was added to them.
func likenContainers(kind string, pod *corev1.PodSpec, list []corev1.Container, t *template, written []corev1.Container) {
	at := 0
	for i := range written {
		found := slices.IndexFunc(list[at:], func(c corev1.Container) bool { return c.Name == written[i].Name })
		if found < 0 {
			continue
		}
		c := list[at+found]
		copy(list[at+1:], list[at:at+found])
		list[at] = c
		likenContainer(kind, pod, &list[at], t, &written[i])
		at++
	}
}

func likenContainer(kind string, pod *corev1.PodSpec, c *corev1.Container, t *template, written *corev1.Container) {
	c.Resources, c.ResizePolicy, c.ImagePullPolicy = written.Resources, written.ResizePolicy, written.ImagePullPolicy
	for i := range min(len(c.Ports), len(written.Ports)) {
		if p := &c.Ports[i]; pod.HostNetwork && (p.HostPort == 0 || p.HostPort == p.ContainerPort) {
			p.HostPort = written.Ports[i].HostPort
		}
	}
	if kind == "Job" {
		dropIndex(c, written)
	}
	if value := t.PodAnnotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]; value != "" {
		dropAppArmor(c, written, value)
	}
}

// dropIndex takes the variable away that tells the pods of an indexed Job apart.
func dropIndex(c, written *corev1.Container) {
	const name = "JOB_COMPLETION_INDEX"
	named := func(e corev1.EnvVar) bool { return e.Name == name }
	if slices.ContainsFunc(written.Env, named) {
		return
	}
	c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool {
		return named(e) && e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && strings.Contains(e.ValueFrom.FieldRef.FieldPath, batchv1.JobCompletionIndexAnnotation)
	})
}

// dropAppArmor takes the profile away that the API server read out of the older
// annotation (KEP-24).
func dropAppArmor(c, written *corev1.Container, annotation string) {
	if c.SecurityContext == nil || written.SecurityContext != nil && written.SecurityContext.AppArmorProfile != nil {
		return
	}
	if !equality.Semantic.DeepEqual(c.SecurityContext.AppArmorProfile, appArmorProfile(annotation)) {
		return
	}
	c.SecurityContext.AppArmorProfile = nil
	if written.SecurityContext == nil && *c.SecurityContext == (corev1.SecurityContext{}) {
		c.SecurityContext = nil
	}
}

// appArmorProfile is what an AppArmor annotation means.
func appArmorProfile(annotation string) *corev1.AppArmorProfile {
	local, isLocal := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
	switch {
	case isLocal:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &local}
	case annotation == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
}

// dropClaims puts the template's own volumes back where a StatefulSet's controller
// has put claims.
func (m *maker) dropClaims(pod, written *corev1.PodSpec) {
	if len(m.claims) == 0 {
		return
	}
	isClaim := func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && slices.Contains(m.claims, v.Name)
	}
	pod.Volumes = slices.DeleteFunc(pod.Volumes, isClaim)
	for _, v := range written.Volumes {
		if slices.Contains(m.claims, v.Name) && !hasVolume(pod, v.Name) {
			pod.Volumes = append(pod.Volumes, v)
		}
	}
}

func hasVolume(pod *corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == name })
}

// tokenPath is where the ServiceAccount plugin mounts the token.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// dropToken takes away the volume with the token of the ServiceAccount and its
// mounts. A volume that only looks like it stays, and so does one that the template
// has or that is mounted elsewhere as well.
func dropToken(pod, written *corev1.PodSpec) {
	i := tokenVolume(pod)
	if i < 0 || hasVolume(written, pod.Volumes[i].Name) {
		return
	}
	name := pod.Volumes[i].Name
	for c := range containers(pod) {
		for _, mount := range c.VolumeMounts {
			if mount.Name == name && (mount.MountPath != tokenPath || mount.SubPath != "" || mount.SubPathExpr != "") {
				return
			}
		}
	}
	pod.Volumes = slices.Delete(pod.Volumes, i, i+1)
	for c := range containers(pod) {
		c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name })
	}
}

// tokenVolume is the index of the volume with the token, -1 for none.
func tokenVolume(pod *corev1.PodSpec) int {
	return slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return isToken(v, accountOf(pod)) })
}

// hasToken reports whether a pod has the token of its ServiceAccount mounted.
func hasToken(pod *corev1.PodSpec) bool { return tokenVolume(pod) >= 0 }

// isToken reports whether a volume is the one that the ServiceAccount plugin adds:
// since 1.21 a projection of a token, the cluster's certificate and the namespace,
// before that a Secret.
func isToken(v corev1.Volume, account string) bool {
	if v.Secret != nil {
		return v.Secret.SecretName == v.Name && strings.HasPrefix(v.Name, account+"-token-")
	}
	if v.Projected == nil || !strings.HasPrefix(v.Name, "kube-api-access-") {
		return false
	}
	return !slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool { return !isTokenSource(p) })
}

func isTokenSource(p corev1.VolumeProjection) bool {
	switch {
	case p.ServiceAccountToken != nil:
		return p.ServiceAccountToken.Path == "token"
	case p.ConfigMap != nil:
		return p.ConfigMap.Name == "kube-root-ca.crt" || p.ConfigMap.Name == "openshift-service-ca.crt"
	case p.DownwardAPI != nil:
		items := p.DownwardAPI.Items
		return len(items) == 1 && items[0].FieldRef != nil && items[0].FieldRef.FieldPath == "metadata.namespace"
	}
	return false
}

// containers yields the init, regular and ephemeral containers of a pod.
func containers(pod *corev1.PodSpec) func(func(*corev1.Container) bool) {
	return func(yield func(*corev1.Container) bool) {
		for c := range (&evidence.Workload{Pod: pod}).Containers() {
			if !yield(c.Container) {
				return
			}
		}
	}
}
