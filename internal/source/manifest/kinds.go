package manifest

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A kind is one kind of the Kubernetes API.
type kind struct {
	// decode returns a new object to decode into; nil where no Go type is linked
	// and only the metadata is read.
	decode func() any
	// cluster is set for kinds that live in no namespace.
	cluster bool
	// fact is what objects of the kind are evidence for; "" when no check reads them.
	fact evidence.Fact
}

func typed[T any]() any { return new(T) }

// kinds are the built-in kinds by group and kind. Old groups that served the
// same shape are spelled out: a manifest may still use them.
var kinds = map[string]kind{
	"/Pod":                   {decode: typed[corev1.Pod], fact: evidence.Workloads},
	"/PodTemplate":           {decode: typed[corev1.PodTemplate], fact: evidence.Workloads},
	"/ReplicationController": {decode: typed[corev1.ReplicationController], fact: evidence.Workloads},
	"apps/Deployment":        {decode: typed[appsv1.Deployment], fact: evidence.Workloads},
	"apps/ReplicaSet":        {decode: typed[appsv1.ReplicaSet], fact: evidence.Workloads},
	"apps/StatefulSet":       {decode: typed[appsv1.StatefulSet], fact: evidence.Workloads},
	"apps/DaemonSet":         {decode: typed[appsv1.DaemonSet], fact: evidence.Workloads},
	"extensions/Deployment":  {decode: typed[appsv1.Deployment], fact: evidence.Workloads},
	"extensions/ReplicaSet":  {decode: typed[appsv1.ReplicaSet], fact: evidence.Workloads},
	"extensions/DaemonSet":   {decode: typed[appsv1.DaemonSet], fact: evidence.Workloads},
	"batch/Job":              {decode: typed[batchv1.Job], fact: evidence.Workloads},
	"batch/CronJob":          {decode: typed[batchv1.CronJob], fact: evidence.Workloads},

	"/Namespace":      {decode: typed[corev1.Namespace], cluster: true, fact: evidence.Namespaces},
	"/ServiceAccount": {decode: typed[corev1.ServiceAccount], fact: evidence.ServiceAccounts},
	"/Service":        {decode: typed[corev1.Service], fact: evidence.Exposure},
	"/ConfigMap":      {decode: typed[corev1.ConfigMap], fact: evidence.ConfigMaps},
	"/Secret":         {decode: typed[corev1.Secret], fact: evidence.Secrets},
	"/LimitRange":     {decode: typed[corev1.LimitRange], fact: evidence.LimitRanges},
	"/ResourceQuota":  {decode: typed[corev1.ResourceQuota], fact: evidence.Quotas},

	"networking.k8s.io/NetworkPolicy": {decode: typed[networkingv1.NetworkPolicy], fact: evidence.NetworkPolicies},
	"extensions/NetworkPolicy":        {decode: typed[networkingv1.NetworkPolicy], fact: evidence.NetworkPolicies},
	"networking.k8s.io/Ingress":       {decode: typed[networkingv1.Ingress], fact: evidence.Exposure},
	// Ingress before networking.k8s.io/v1 names its backends otherwise: only the
	// parts that both have are read from it.
	"extensions/Ingress":             {decode: typed[networkingv1.Ingress], fact: evidence.Exposure},
	"networking.k8s.io/IngressClass": {decode: typed[networkingv1.IngressClass], cluster: true},
	"node.k8s.io/RuntimeClass":       {decode: typed[nodev1.RuntimeClass], cluster: true, fact: evidence.RuntimeClasses},

	"rbac.authorization.k8s.io/Role":               {decode: typed[rbacv1.Role], fact: evidence.RBAC},
	"rbac.authorization.k8s.io/ClusterRole":        {decode: typed[rbacv1.ClusterRole], cluster: true, fact: evidence.RBAC},
	"rbac.authorization.k8s.io/RoleBinding":        {decode: typed[rbacv1.RoleBinding], fact: evidence.RBAC},
	"rbac.authorization.k8s.io/ClusterRoleBinding": {decode: typed[rbacv1.ClusterRoleBinding], cluster: true, fact: evidence.RBAC},

	"admissionregistration.k8s.io/ValidatingWebhookConfiguration":   {decode: typed[admissionregistrationv1.ValidatingWebhookConfiguration], cluster: true, fact: evidence.Admission},
	"admissionregistration.k8s.io/MutatingWebhookConfiguration":     {decode: typed[admissionregistrationv1.MutatingWebhookConfiguration], cluster: true, fact: evidence.Admission},
	"admissionregistration.k8s.io/ValidatingAdmissionPolicy":        {decode: typed[admissionregistrationv1.ValidatingAdmissionPolicy], cluster: true, fact: evidence.Admission},
	"admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": {decode: typed[admissionregistrationv1.ValidatingAdmissionPolicyBinding], cluster: true, fact: evidence.Admission},
	"admissionregistration.k8s.io/MutatingAdmissionPolicy":          {cluster: true},
	"admissionregistration.k8s.io/MutatingAdmissionPolicyBinding":   {cluster: true},

	// Kinds that no check reads: decoded for their faults only.
	"/Binding":                            {decode: typed[corev1.Binding]},
	"/ComponentStatus":                    {decode: typed[corev1.ComponentStatus], cluster: true},
	"/Endpoints":                          {decode: typed[corev1.Endpoints]}, //nolint:staticcheck // manifests still hold them
	"/Event":                              {decode: typed[corev1.Event]},
	"/Node":                               {decode: typed[corev1.Node], cluster: true},
	"/PersistentVolume":                   {decode: typed[corev1.PersistentVolume], cluster: true},
	"/PersistentVolumeClaim":              {decode: typed[corev1.PersistentVolumeClaim]},
	"apps/ControllerRevision":             {decode: typed[appsv1.ControllerRevision]},
	"autoscaling/HorizontalPodAutoscaler": {decode: typed[autoscalingv2.HorizontalPodAutoscaler]},
	"autoscaling/Scale":                   {decode: typed[autoscalingv1.Scale]},
	"certificates.k8s.io/CertificateSigningRequest":           {decode: typed[certificatesv1.CertificateSigningRequest], cluster: true},
	"certificates.k8s.io/ClusterTrustBundle":                  {cluster: true},
	"coordination.k8s.io/Lease":                               {decode: typed[coordinationv1.Lease]},
	"discovery.k8s.io/EndpointSlice":                          {decode: typed[discoveryv1.EndpointSlice]},
	"flowcontrol.apiserver.k8s.io/FlowSchema":                 {decode: typed[flowcontrolv1.FlowSchema], cluster: true},
	"flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": {decode: typed[flowcontrolv1.PriorityLevelConfiguration], cluster: true},
	"policy/PodDisruptionBudget":                              {decode: typed[policyv1.PodDisruptionBudget]},
	"policy/PodSecurityPolicy":                                {cluster: true},
	"extensions/PodSecurityPolicy":                            {cluster: true},
	"scheduling.k8s.io/PriorityClass":                         {decode: typed[schedulingv1.PriorityClass], cluster: true},
	"storage.k8s.io/StorageClass":                             {decode: typed[storagev1.StorageClass], cluster: true},
	"storage.k8s.io/CSIDriver":                                {decode: typed[storagev1.CSIDriver], cluster: true},
	"storage.k8s.io/CSINode":                                  {decode: typed[storagev1.CSINode], cluster: true},
	"storage.k8s.io/CSIStorageCapacity":                       {decode: typed[storagev1.CSIStorageCapacity]},
	"storage.k8s.io/VolumeAttachment":                         {decode: typed[storagev1.VolumeAttachment], cluster: true},
	"storage.k8s.io/VolumeAttributesClass":                    {cluster: true},
	"apiextensions.k8s.io/CustomResourceDefinition":           {cluster: true},
	"apiregistration.k8s.io/APIService":                       {cluster: true},
}

// customGroups are the groups whose objects some check reads as JSON, and what
// they are evidence for.
var customGroups = map[string]evidence.Fact{
	"gateway.networking.k8s.io":           evidence.Exposure,
	"networking.istio.io":                 evidence.Exposure,
	"security.istio.io":                   evidence.Mesh,
	"linkerd.io":                          evidence.Mesh,
	"policy.linkerd.io":                   evidence.Mesh,
	"cilium.io":                           evidence.NetworkPolicies,
	"crd.projectcalico.org":               evidence.NetworkPolicies,
	"projectcalico.org":                   evidence.NetworkPolicies,
	"policy.networking.k8s.io":            evidence.NetworkPolicies,
	"security-profiles-operator.x-k8s.io": evidence.Profiles,
	"kyverno.io":                          evidence.Admission,
	"policies.kyverno.io":                 evidence.Admission,
	"constraints.gatekeeper.sh":           evidence.Admission,
	"templates.gatekeeper.sh":             evidence.Admission,
	"config.gatekeeper.sh":                evidence.Admission,
	"argoproj.io":                         "",
	"source.toolkit.fluxcd.io":            "",
	"kustomize.toolkit.fluxcd.io":         "",
	"helm.toolkit.fluxcd.io":              "",
}

// clusterCustom are custom kinds that live in no namespace; a custom object that
// names no namespace is otherwise taken to be namespaced.
var clusterCustom = map[string]bool{
	"gateway.networking.k8s.io/GatewayClass":              true,
	"cilium.io/CiliumClusterwideNetworkPolicy":            true,
	"crd.projectcalico.org/GlobalNetworkPolicy":           true,
	"projectcalico.org/GlobalNetworkPolicy":               true,
	"policy.networking.k8s.io/AdminNetworkPolicy":         true,
	"policy.networking.k8s.io/BaselineAdminNetworkPolicy": true,
	"policy.networking.k8s.io/ClusterNetworkPolicy":       true,
	"kyverno.io/ClusterPolicy":                            true,
	"kyverno.io/ClusterCleanupPolicy":                     true,
	"policies.kyverno.io/ValidatingPolicy":                true,
	"policies.kyverno.io/ImageValidatingPolicy":           true,
	"policies.kyverno.io/MutatingPolicy":                  true,
	"policies.kyverno.io/GeneratingPolicy":                true,
	"policies.kyverno.io/DeletingPolicy":                  true,
	"templates.gatekeeper.sh/ConstraintTemplate":          true,
	"argoproj.io/ClusterWorkflowTemplate":                 true,
	"tekton.dev/ClusterTask":                              true,
	"cert-manager.io/ClusterIssuer":                       true,
}

// makers are custom kinds by which a controller installs what stands elsewhere, in
// a chart or a repository. Those of Argo CD and Flux are followed instead.
var makers = map[string]bool{
	"helm.cattle.io/HelmChart":                   true,
	"fleet.cattle.io/GitRepo":                    true,
	"fleet.cattle.io/HelmOp":                     true,
	"helm.crossplane.io/Release":                 true,
	"addons.cluster.x-k8s.io/HelmChartProxy":     true,
	"addons.cluster.x-k8s.io/ClusterResourceSet": true,
	"kappctrl.k14s.io/App":                       true,
	"packaging.carvel.dev/PackageInstall":        true,
	"operators.coreos.com/Subscription":          true,
	"olm.operatorframework.io/ClusterExtension":  true,
	"helm.fluxcd.io/HelmRelease":                 true,
}

// configuration are the groups of files that have an apiVersion and a kind and
// are read by a program from its disk: the API serves no such objects.
var configuration = []string{
	"kubeadm.k8s.io", "kubelet.config.k8s.io", "kubeproxy.config.k8s.io", "kubescheduler.config.k8s.io",
	"kubecontrollermanager.config.k8s.io", "apiserver.config.k8s.io", "apiserver.k8s.io", "audit.k8s.io",
	"client.authentication.k8s.io", "credentialprovider.kubelet.k8s.io", "pod-security.admission.config.k8s.io",
	"eventratelimit.admission.k8s.io", "resourcequota.admission.k8s.io", "kustomize.config.k8s.io",
	"config.kubernetes.io", "kind.x-k8s.io", "skaffold", "k3d.io", "ctlptl.dev", "eksctl.io", "config.k8s.io",
	"controller-runtime.sigs.k8s.io",
}

// properCase returns how a built-in kind is really spelled, when only the case of
// the given one is wrong.
func properCase(group, name string) (string, bool) {
	for key := range kinds {
		g, k, _ := strings.Cut(key, "/")
		if g == group && k != name && strings.EqualFold(k, name) {
			return k, true
		}
	}
	return "", false
}

// factOf is what objects of a kind are evidence for. An unknown kind may carry
// pods.
func factOf(group, name string) (f evidence.Fact, known bool) {
	if k, ok := kinds[group+"/"+name]; ok {
		return k.fact, true
	}
	f, ok := customGroups[group]
	return f, ok && f != ""
}
