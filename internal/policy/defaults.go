package policy

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// setDefaults fills in what the API server fills in before it asks a policy, as
// the API reference documents it, for the kinds that policies are mostly about.
// Without it "object.spec.replicas <= 3" would fail on a Deployment that says
// nothing of replicas, which a cluster admits.
func setDefaults(object runtime.Object) {
	switch o := object.(type) {
	case *corev1.Pod:
		podDefaults(&o.Spec)
		for i := range o.Spec.Containers {
			requestDefaults(&o.Spec.Containers[i])
		}
		for i := range o.Spec.InitContainers {
			requestDefaults(&o.Spec.InitContainers[i])
		}
	case *corev1.PodTemplate:
		podDefaults(&o.Template.Spec)
	case *corev1.ReplicationController:
		set(&o.Spec.Replicas, 1)
		if o.Spec.Template != nil {
			podDefaults(&o.Spec.Template.Spec)
		}
	case *appsv1.Deployment:
		set(&o.Spec.Replicas, 1)
		set(&o.Spec.RevisionHistoryLimit, 10)
		set(&o.Spec.ProgressDeadlineSeconds, 600)
		fill(&o.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
		if o.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
			set(&o.Spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
			set(&o.Spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
			set(&o.Spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
		}
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		set(&o.Spec.Replicas, 1)
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		set(&o.Spec.Replicas, 1)
		set(&o.Spec.RevisionHistoryLimit, 10)
		fill(&o.Spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
		fill(&o.Spec.UpdateStrategy.Type, appsv1.RollingUpdateStatefulSetStrategyType)
		podDefaults(&o.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		set(&o.Spec.RevisionHistoryLimit, 10)
		fill(&o.Spec.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType)
		podDefaults(&o.Spec.Template.Spec)
	case *batchv1.Job:
		jobDefaults(&o.Spec)
	case *batchv1.CronJob:
		fill(&o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		set(&o.Spec.Suspend, false)
		set(&o.Spec.SuccessfulJobsHistoryLimit, 3)
		set(&o.Spec.FailedJobsHistoryLimit, 1)
		podDefaults(&o.Spec.JobTemplate.Spec.Template.Spec)
	case *corev1.Service:
		serviceDefaults(&o.Spec)
	case *networkingv1.NetworkPolicy:
		networkPolicyDefaults(&o.Spec)
	case *rbacv1.RoleBinding:
		bindingDefaults(&o.RoleRef, o.Subjects)
	case *rbacv1.ClusterRoleBinding:
		bindingDefaults(&o.RoleRef, o.Subjects)
	}
}

// set gives an optional field that is missing a value.
func set[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// fill gives a field that is empty a value.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func jobDefaults(spec *batchv1.JobSpec) {
	if spec.Completions == nil && spec.Parallelism == nil {
		set(&spec.Completions, 1)
	}
	set(&spec.Parallelism, 1)
	set(&spec.BackoffLimit, 6)
	set(&spec.CompletionMode, batchv1.NonIndexedCompletion)
	set(&spec.Suspend, false)
	podDefaults(&spec.Template.Spec)
}

func podDefaults(pod *corev1.PodSpec) {
	fill(&pod.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&pod.DNSPolicy, corev1.DNSClusterFirst)
	fill(&pod.SchedulerName, corev1.DefaultSchedulerName)
	set(&pod.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	set(&pod.SecurityContext, corev1.PodSecurityContext{})
	set(&pod.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	fill(&pod.DeprecatedServiceAccount, pod.ServiceAccountName)
	fill(&pod.ServiceAccountName, pod.DeprecatedServiceAccount)
	for i := range pod.InitContainers {
		containerDefaults(&pod.InitContainers[i], pod.HostNetwork)
	}
	for i := range pod.Containers {
		containerDefaults(&pod.Containers[i], pod.HostNetwork)
	}
	for i := range pod.EphemeralContainers {
		containerDefaults((*corev1.Container)(&pod.EphemeralContainers[i].EphemeralContainerCommon), false)
	}
	for i := range pod.Volumes {
		volumeDefaults(&pod.Volumes[i].VolumeSource)
	}
}

const defaultVolumeMode int32 = 0o644

func volumeDefaults(v *corev1.VolumeSource) {
	switch {
	case *v == corev1.VolumeSource{}:
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	case v.Secret != nil:
		set(&v.Secret.DefaultMode, defaultVolumeMode)
	case v.ConfigMap != nil:
		set(&v.ConfigMap.DefaultMode, defaultVolumeMode)
	case v.Projected != nil:
		set(&v.Projected.DefaultMode, defaultVolumeMode)
	case v.DownwardAPI != nil:
		set(&v.DownwardAPI.DefaultMode, defaultVolumeMode)
	case v.HostPath != nil:
		set(&v.HostPath.Type, corev1.HostPathUnset)
	}
}

func containerDefaults(c *corev1.Container, hostNetwork bool) {
	fill(&c.ImagePullPolicy, pullPolicy(c.Image))
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
		if hostNetwork {
			fill(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
	for i := range c.Env {
		if v := c.Env[i].ValueFrom; v != nil && v.FieldRef != nil {
			fill(&v.FieldRef.APIVersion, "v1")
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p != nil {
			probeDefaults(p)
		}
	}
}

// pullPolicy is IfNotPresent but for the tag latest, written or not.
func pullPolicy(image string) corev1.PullPolicy {
	name, _, digested := strings.Cut(image, "@")
	_, tag, tagged := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ":")
	if !digested && (!tagged || tag == "latest") || tag == "latest" {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func probeDefaults(p *corev1.Probe) {
	fill(&p.TimeoutSeconds, 1)
	fill(&p.PeriodSeconds, 10)
	fill(&p.SuccessThreshold, 1)
	fill(&p.FailureThreshold, 3)
	if p.HTTPGet != nil {
		fill(&p.HTTPGet.Path, "/")
		fill(&p.HTTPGet.Scheme, corev1.URISchemeHTTP)
	}
}

// requestDefaults makes a Pod ask for what it is limited to. In templates that
// is done only when the Pod is made.
func requestDefaults(c *corev1.Container) {
	for name, limit := range c.Resources.Limits {
		if c.Resources.Requests == nil {
			c.Resources.Requests = corev1.ResourceList{}
		}
		if _, asked := c.Resources.Requests[name]; !asked {
			c.Resources.Requests[name] = limit
		}
	}
}

func serviceDefaults(s *corev1.ServiceSpec) {
	fill(&s.Type, corev1.ServiceTypeClusterIP)
	fill(&s.SessionAffinity, corev1.ServiceAffinityNone)
	if s.Type != corev1.ServiceTypeExternalName {
		set(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer {
		fill(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type == corev1.ServiceTypeLoadBalancer {
		set(&s.AllocateLoadBalancerNodePorts, true)
	}
	for i := range s.Ports {
		fill(&s.Ports[i].Protocol, corev1.ProtocolTCP)
		fill(&s.Ports[i].TargetPort, intstr.FromInt32(s.Ports[i].Port))
	}
}

func networkPolicyDefaults(s *networkingv1.NetworkPolicySpec) {
	if len(s.PolicyTypes) == 0 {
		s.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(s.Egress) > 0 {
			s.PolicyTypes = append(s.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	tcp := func(ports []networkingv1.NetworkPolicyPort) {
		for i := range ports {
			set(&ports[i].Protocol, corev1.ProtocolTCP)
		}
	}
	for i := range s.Ingress {
		tcp(s.Ingress[i].Ports)
	}
	for i := range s.Egress {
		tcp(s.Egress[i].Ports)
	}
}

func bindingDefaults(role *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	fill(&role.APIGroup, rbacv1.GroupName)
	for i := range subjects {
		if subjects[i].Kind != rbacv1.ServiceAccountKind {
			fill(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}
