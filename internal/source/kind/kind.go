// Package kind knows the kinds of the Kubernetes API, and the custom ones that
// checks read: where their objects live, what they are evidence for, and which
// Go type they decode into. Files and live clusters are read by the same table.
// It decodes nothing, and knows no kind's fields but those of a definition.
package kind

import (
	"iter"
	"maps"
	"slices"
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

// A Kind is one built-in kind of the Kubernetes API.
type Kind struct {
	// New returns a new object to decode into, a metav1.Object; nil where no Go type
	// is linked and only the metadata is read, or the JSON.
	New func() any
	// Cluster is set for kinds that live in no namespace.
	Cluster bool
	// Fact is what objects of the kind are evidence for; "" when no check reads more
	// of them than their metadata.
	Fact evidence.Fact
}

func typed[T any]() any { return new(T) }

// A GroupKind names a kind whatever its version.
type GroupKind struct{ Group, Kind string }

func key(group, name string) string { return group + "/" + name }

// Find returns a built-in kind.
func Find(group, name string) (Kind, bool) {
	k, ok := kinds[key(group, name)]
	return k, ok
}

// All yields every built-in kind, in the order of group and name.
func All() iter.Seq2[GroupKind, Kind] {
	return func(yield func(GroupKind, Kind) bool) {
		for _, name := range slices.Sorted(maps.Keys(kinds)) {
			group, short, _ := strings.Cut(name, "/")
			if !yield(GroupKind{group, short}, kinds[name]) {
				return
			}
		}
	}
}

// ReadGroup reports whether some check reads the objects of a custom group as
// JSON, and what they are evidence for, "" for kinds that only sources follow.
func ReadGroup(group string) (f evidence.Fact, read bool) {
	f, read = customGroups[group]
	return f, read
}

// Whole reports whether the JSON of a custom object is kept whatever was asked for: who
// collects metrics of whom stands in it, also in that of objects that carry pods.
func Whole(group, name string) bool { return group == "monitoring.coreos.com" && monitoring[name] }

// ReadGroups are all groups that ReadGroup knows, sorted.
func ReadGroups() []string { return slices.Sorted(maps.Keys(customGroups)) }

// ClusterCustom reports whether a custom kind is known to live in no namespace.
func ClusterCustom(group, name string) bool {
	return clusterCustom[key(group, name)] || group == "constraints.gatekeeper.sh"
}

// ClusterCustoms are the custom kinds that are known to live in no namespace, sorted.
func ClusterCustoms() []GroupKind {
	var list []GroupKind
	for _, name := range slices.Sorted(maps.Keys(clusterCustom)) {
		group, short, _ := strings.Cut(name, "/")
		list = append(list, GroupKind{group, short})
	}
	return list
}

// Makes reports whether a controller installs, by an object of this custom kind,
// what stands elsewhere.
func Makes(group, name string) bool { return makers[key(group, name)] }

// Configuration reports whether a group is of files that programs read from
// their disk.
func Configuration(group string) bool { return slices.Contains(configuration, group) }

// kinds are the built-in kinds by group and kind. Old groups that served the
// same shape are spelled out: a manifest may still use them.
var kinds = map[string]Kind{
	"/Pod":                   {New: typed[corev1.Pod], Fact: evidence.Workloads},
	"/PodTemplate":           {New: typed[corev1.PodTemplate], Fact: evidence.Workloads},
	"/ReplicationController": {New: typed[corev1.ReplicationController], Fact: evidence.Workloads},
	"apps/Deployment":        {New: typed[appsv1.Deployment], Fact: evidence.Workloads},
	"apps/ReplicaSet":        {New: typed[appsv1.ReplicaSet], Fact: evidence.Workloads},
	"apps/StatefulSet":       {New: typed[appsv1.StatefulSet], Fact: evidence.Workloads},
	"apps/DaemonSet":         {New: typed[appsv1.DaemonSet], Fact: evidence.Workloads},
	"extensions/Deployment":  {New: typed[appsv1.Deployment], Fact: evidence.Workloads},
	"extensions/ReplicaSet":  {New: typed[appsv1.ReplicaSet], Fact: evidence.Workloads},
	"extensions/DaemonSet":   {New: typed[appsv1.DaemonSet], Fact: evidence.Workloads},
	"batch/Job":              {New: typed[batchv1.Job], Fact: evidence.Workloads},
	"batch/CronJob":          {New: typed[batchv1.CronJob], Fact: evidence.Workloads},

	"/Namespace":                     {New: typed[corev1.Namespace], Cluster: true, Fact: evidence.Namespaces},
	"/ServiceAccount":                {New: typed[corev1.ServiceAccount], Fact: evidence.ServiceAccounts},
	"/Service":                       {New: typed[corev1.Service], Fact: evidence.Exposure},
	"discovery.k8s.io/EndpointSlice": {New: typed[discoveryv1.EndpointSlice], Fact: evidence.Endpoints},
	"/ConfigMap":                     {New: typed[corev1.ConfigMap], Fact: evidence.ConfigMaps},
	"/Secret":                        {New: typed[corev1.Secret], Fact: evidence.Secrets},
	"/LimitRange":                    {New: typed[corev1.LimitRange], Fact: evidence.LimitRanges},
	"/ResourceQuota":                 {New: typed[corev1.ResourceQuota], Fact: evidence.Quotas},

	"networking.k8s.io/NetworkPolicy": {New: typed[networkingv1.NetworkPolicy], Fact: evidence.NetworkPolicies},
	"extensions/NetworkPolicy":        {New: typed[networkingv1.NetworkPolicy], Fact: evidence.NetworkPolicies},
	"networking.k8s.io/Ingress":       {New: typed[networkingv1.Ingress], Fact: evidence.Exposure},
	// Ingress before networking.k8s.io/v1 names its backends otherwise: only the
	// parts that both have are read from it.
	"extensions/Ingress":             {New: typed[networkingv1.Ingress], Fact: evidence.Exposure},
	"networking.k8s.io/IngressClass": {New: typed[networkingv1.IngressClass], Cluster: true},
	"node.k8s.io/RuntimeClass":       {New: typed[nodev1.RuntimeClass], Cluster: true, Fact: evidence.RuntimeClasses},

	"rbac.authorization.k8s.io/Role":               {New: typed[rbacv1.Role], Fact: evidence.RBAC},
	"rbac.authorization.k8s.io/ClusterRole":        {New: typed[rbacv1.ClusterRole], Cluster: true, Fact: evidence.RBAC},
	"rbac.authorization.k8s.io/RoleBinding":        {New: typed[rbacv1.RoleBinding], Fact: evidence.RBAC},
	"rbac.authorization.k8s.io/ClusterRoleBinding": {New: typed[rbacv1.ClusterRoleBinding], Cluster: true, Fact: evidence.RBAC},

	"admissionregistration.k8s.io/ValidatingWebhookConfiguration":   {New: typed[admissionregistrationv1.ValidatingWebhookConfiguration], Cluster: true, Fact: evidence.Admission},
	"admissionregistration.k8s.io/MutatingWebhookConfiguration":     {New: typed[admissionregistrationv1.MutatingWebhookConfiguration], Cluster: true, Fact: evidence.Admission},
	"admissionregistration.k8s.io/ValidatingAdmissionPolicy":        {New: typed[admissionregistrationv1.ValidatingAdmissionPolicy], Cluster: true, Fact: evidence.Admission},
	"admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": {New: typed[admissionregistrationv1.ValidatingAdmissionPolicyBinding], Cluster: true, Fact: evidence.Admission},
	"admissionregistration.k8s.io/MutatingAdmissionPolicy":          {Cluster: true, Fact: evidence.Admission},
	"admissionregistration.k8s.io/MutatingAdmissionPolicyBinding":   {Cluster: true, Fact: evidence.Admission},

	// Kinds that no check reads: decoded for their faults only.
	"/Binding":                            {New: typed[corev1.Binding]},
	"/ComponentStatus":                    {New: typed[corev1.ComponentStatus], Cluster: true},
	"/Endpoints":                          {New: typed[corev1.Endpoints]}, //nolint:staticcheck // manifests still hold them
	"/Event":                              {New: typed[corev1.Event]},
	"/Node":                               {New: typed[corev1.Node], Cluster: true, Fact: evidence.Nodes},
	"/PersistentVolume":                   {New: typed[corev1.PersistentVolume], Cluster: true, Fact: evidence.Volumes},
	"/PersistentVolumeClaim":              {New: typed[corev1.PersistentVolumeClaim]},
	"apps/ControllerRevision":             {New: typed[appsv1.ControllerRevision]},
	"autoscaling/HorizontalPodAutoscaler": {New: typed[autoscalingv2.HorizontalPodAutoscaler]},
	"autoscaling/Scale":                   {New: typed[autoscalingv1.Scale]},
	"certificates.k8s.io/CertificateSigningRequest":           {New: typed[certificatesv1.CertificateSigningRequest], Cluster: true},
	"certificates.k8s.io/ClusterTrustBundle":                  {Cluster: true},
	"coordination.k8s.io/Lease":                               {New: typed[coordinationv1.Lease]},
	"flowcontrol.apiserver.k8s.io/FlowSchema":                 {New: typed[flowcontrolv1.FlowSchema], Cluster: true},
	"flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": {New: typed[flowcontrolv1.PriorityLevelConfiguration], Cluster: true},
	"policy/PodDisruptionBudget":                              {New: typed[policyv1.PodDisruptionBudget]},
	"policy/PodSecurityPolicy":                                {Cluster: true},
	"extensions/PodSecurityPolicy":                            {Cluster: true},
	"scheduling.k8s.io/PriorityClass":                         {New: typed[schedulingv1.PriorityClass], Cluster: true},
	"storage.k8s.io/StorageClass":                             {New: typed[storagev1.StorageClass], Cluster: true},
	"storage.k8s.io/CSIDriver":                                {New: typed[storagev1.CSIDriver], Cluster: true},
	"storage.k8s.io/CSINode":                                  {New: typed[storagev1.CSINode], Cluster: true},
	"storage.k8s.io/CSIStorageCapacity":                       {New: typed[storagev1.CSIStorageCapacity]},
	"storage.k8s.io/VolumeAttachment":                         {New: typed[storagev1.VolumeAttachment], Cluster: true},
	"storage.k8s.io/VolumeAttributesClass":                    {Cluster: true},
	"apiextensions.k8s.io/CustomResourceDefinition":           {Cluster: true, Fact: evidence.Extensions},
	"apiregistration.k8s.io/APIService":                       {Cluster: true, Fact: evidence.Extensions},
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
	"crd.antrea.io":                       evidence.NetworkPolicies,
	"k8s.ovn.org":                         evidence.NetworkPolicies,
	"network.openshift.io":                evidence.NetworkPolicies,
	"kubeovn.io":                          evidence.NetworkPolicies,
	"networking.k8s.aws":                  evidence.NetworkPolicies,
	"networking.gke.io":                   evidence.NetworkPolicies,
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

// monitoring are the kinds of the Prometheus operator that say who connects to whom.
var monitoring = map[string]bool{"Prometheus": true, "PrometheusAgent": true, "Alertmanager": true, "ServiceMonitor": true, "PodMonitor": true}

// clusterCustom are custom kinds that live in no namespace; a custom object that
// names no namespace is otherwise taken to be namespaced.
var clusterCustom = map[string]bool{
	"gateway.networking.k8s.io/GatewayClass":              true,
	"cilium.io/CiliumClusterwideNetworkPolicy":            true,
	"cilium.io/CiliumCIDRGroup":                           true,
	"crd.projectcalico.org/GlobalNetworkPolicy":           true,
	"crd.projectcalico.org/StagedGlobalNetworkPolicy":     true,
	"crd.projectcalico.org/GlobalNetworkSet":              true,
	"crd.projectcalico.org/Tier":                          true,
	"crd.projectcalico.org/HostEndpoint":                  true,
	"crd.projectcalico.org/Profile":                       true,
	"crd.projectcalico.org/IPPool":                        true,
	"crd.projectcalico.org/FelixConfiguration":            true,
	"crd.projectcalico.org/KubeControllersConfiguration":  true,
	"crd.projectcalico.org/BGPConfiguration":              true,
	"crd.projectcalico.org/BGPPeer":                       true,
	"crd.projectcalico.org/BGPFilter":                     true,
	"crd.projectcalico.org/ClusterInformation":            true,
	"crd.projectcalico.org/IPReservation":                 true,
	"crd.projectcalico.org/IPAMConfig":                    true,
	"crd.projectcalico.org/IPAMBlock":                     true,
	"crd.projectcalico.org/IPAMHandle":                    true,
	"crd.projectcalico.org/BlockAffinity":                 true,
	"crd.projectcalico.org/CalicoNodeStatus":              true,
	"projectcalico.org/GlobalNetworkPolicy":               true,
	"projectcalico.org/StagedGlobalNetworkPolicy":         true,
	"projectcalico.org/GlobalNetworkSet":                  true,
	"projectcalico.org/Tier":                              true,
	"projectcalico.org/HostEndpoint":                      true,
	"projectcalico.org/Profile":                           true,
	"projectcalico.org/IPPool":                            true,
	"projectcalico.org/FelixConfiguration":                true,
	"projectcalico.org/KubeControllersConfiguration":      true,
	"projectcalico.org/BGPConfiguration":                  true,
	"projectcalico.org/BGPPeer":                           true,
	"projectcalico.org/BGPFilter":                         true,
	"projectcalico.org/ClusterInformation":                true,
	"projectcalico.org/IPReservation":                     true,
	"projectcalico.org/IPAMConfiguration":                 true,
	"projectcalico.org/BlockAffinity":                     true,
	"projectcalico.org/CalicoNodeStatus":                  true,
	"policy.networking.k8s.io/AdminNetworkPolicy":         true,
	"policy.networking.k8s.io/BaselineAdminNetworkPolicy": true,
	"policy.networking.k8s.io/ClusterNetworkPolicy":       true,
	"crd.antrea.io/ClusterNetworkPolicy":                  true,
	"kubeovn.io/SecurityGroup":                            true,
	"networking.k8s.aws/ClusterNetworkPolicy":             true,
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

// ProperCase returns how a built-in kind is really spelled, when only the case of
// the given one is wrong.
func ProperCase(group, name string) (string, bool) {
	for key := range kinds {
		g, k, _ := strings.Cut(key, "/")
		if g == group && k != name && strings.EqualFold(k, name) {
			return k, true
		}
	}
	return "", false
}

// FactOf is what objects of a kind are evidence for. An unknown kind may carry
// pods.
func FactOf(group, name string) (f evidence.Fact, known bool) {
	if k, ok := kinds[group+"/"+name]; ok {
		return k.Fact, true
	}
	f, ok := customGroups[group]
	return f, ok && f != ""
}
