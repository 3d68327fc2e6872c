package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// RemovedAPI reports objects in API versions that the Kubernetes release to judge
// as no longer serves (guide: Upgrading and application security practices).
var RemovedAPI = &check.Check{
	ID:             "removed-api",
	Title:          "API version is no longer served",
	Recommendation: "UPG-06",
	Severity:       guide.Medium,
	Remedy:         "write the object in the version that replaced it, or delete it",
	Needs:          evidence.Facts(),
	Leaves:         check.Rest{What: "unused images, old releases and custom kinds without a controller", To: []guide.Evidence{guide.Cluster, guide.Host}},
	Written:        "which API versions the objects are written in",
	Doc: `An object in an API version that was removed cannot be created any more: what it
protected is not protected. A PodSecurityPolicy in a folder of manifests is the
commonest leftover.

Looked at is the apiVersion of every object of the built-in API groups, against the
release to judge as (` + "`--kubernetes-version`" + `). The removals are those that the
Kubernetes API itself declares. Custom resources are not judged.

` + "```yaml" + `
apiVersion: policy/v1   # policy/v1beta1 was removed in 1.25
kind: PodDisruptionBudget
` + "```",
	Run: removedAPIs,
}

// A removal says in which minor release of Kubernetes 1 a kind went away, and
// what took its place.
type removal struct {
	minor   int
	instead string
}

// removedAPI are the removals by apiVersion and kind.
var removedAPI = map[string]map[string]removal{
	"admissionregistration.k8s.io/v1alpha1": {
		"ValidatingAdmissionPolicy": {32, "admissionregistration.k8s.io/v1"}, "ValidatingAdmissionPolicyBinding": {32, "admissionregistration.k8s.io/v1"},
	},
	"admissionregistration.k8s.io/v1beta1": {
		"MutatingWebhookConfiguration": {22, "admissionregistration.k8s.io/v1"}, "ValidatingWebhookConfiguration": {22, "admissionregistration.k8s.io/v1"},
		"ValidatingAdmissionPolicy": {34, "admissionregistration.k8s.io/v1"}, "ValidatingAdmissionPolicyBinding": {34, "admissionregistration.k8s.io/v1"},
	},
	"apiextensions.k8s.io/v1beta1":   {"CustomResourceDefinition": {22, "apiextensions.k8s.io/v1"}},
	"apiregistration.k8s.io/v1beta1": {"APIService": {22, "apiregistration.k8s.io/v1"}},
	"apps/v1beta1":                   {"ControllerRevision": {16, "apps/v1"}, "Deployment": {16, "apps/v1"}, "StatefulSet": {16, "apps/v1"}},
	"apps/v1beta2": {
		"ControllerRevision": {16, "apps/v1"}, "DaemonSet": {16, "apps/v1"}, "Deployment": {16, "apps/v1"},
		"ReplicaSet": {16, "apps/v1"}, "StatefulSet": {16, "apps/v1"},
	},
	"autoscaling/v2beta1":          {"HorizontalPodAutoscaler": {25, "autoscaling/v2"}},
	"autoscaling/v2beta2":          {"HorizontalPodAutoscaler": {26, "autoscaling/v2"}},
	"batch/v1beta1":                {"CronJob": {25, "batch/v1"}},
	"batch/v2alpha1":               {"CronJob": {21, "batch/v1"}},
	"certificates.k8s.io/v1alpha1": {"ClusterTrustBundle": {37, "certificates.k8s.io/v1"}},
	"certificates.k8s.io/v1beta1":  {"CertificateSigningRequest": {22, "certificates.k8s.io/v1"}},
	"coordination.k8s.io/v1beta1":  {"Lease": {22, "coordination.k8s.io/v1"}},
	"discovery.k8s.io/v1beta1":     {"EndpointSlice": {25, "discovery.k8s.io/v1"}},
	"events.k8s.io/v1beta1":        {"Event": {25, "events.k8s.io/v1"}},
	"extensions/v1beta1": {
		"DaemonSet": {16, "apps/v1"}, "Deployment": {16, "apps/v1"}, "ReplicaSet": {16, "apps/v1"}, "Ingress": {22, "networking.k8s.io/v1"},
		"NetworkPolicy": {16, "networking.k8s.io/v1"}, "PodSecurityPolicy": {16, podSecurityPolicySuccessor},
	},
	"flowcontrol.apiserver.k8s.io/v1beta1": {"FlowSchema": {26, "flowcontrol.apiserver.k8s.io/v1"}, "PriorityLevelConfiguration": {26, "flowcontrol.apiserver.k8s.io/v1"}},
	"flowcontrol.apiserver.k8s.io/v1beta2": {"FlowSchema": {29, "flowcontrol.apiserver.k8s.io/v1"}, "PriorityLevelConfiguration": {29, "flowcontrol.apiserver.k8s.io/v1"}},
	"flowcontrol.apiserver.k8s.io/v1beta3": {"FlowSchema": {32, "flowcontrol.apiserver.k8s.io/v1"}, "PriorityLevelConfiguration": {32, "flowcontrol.apiserver.k8s.io/v1"}},
	"networking.k8s.io/v1beta1": {
		"Ingress": {22, "networking.k8s.io/v1"}, "IngressClass": {22, "networking.k8s.io/v1"},
		"IPAddress": {37, "networking.k8s.io/v1"}, "ServiceCIDR": {37, "networking.k8s.io/v1"},
	},
	"node.k8s.io/v1beta1": {"RuntimeClass": {25, "node.k8s.io/v1"}},
	"policy/v1beta1":      {"PodDisruptionBudget": {25, "policy/v1"}, "PodSecurityPolicy": {25, podSecurityPolicySuccessor}},
	"rbac.authorization.k8s.io/v1alpha1": {
		"ClusterRole": {22, "rbac.authorization.k8s.io/v1"}, "ClusterRoleBinding": {22, "rbac.authorization.k8s.io/v1"},
		"Role": {22, "rbac.authorization.k8s.io/v1"}, "RoleBinding": {22, "rbac.authorization.k8s.io/v1"},
	},
	"rbac.authorization.k8s.io/v1beta1": {
		"ClusterRole": {22, "rbac.authorization.k8s.io/v1"}, "ClusterRoleBinding": {22, "rbac.authorization.k8s.io/v1"},
		"Role": {22, "rbac.authorization.k8s.io/v1"}, "RoleBinding": {22, "rbac.authorization.k8s.io/v1"},
	},
	"scheduling.k8s.io/v1alpha1": {"PriorityClass": {22, "scheduling.k8s.io/v1"}},
	"scheduling.k8s.io/v1beta1":  {"PriorityClass": {22, "scheduling.k8s.io/v1"}},
	"settings.k8s.io/v1alpha1":   {"PodPreset": {20, "a mutating admission policy"}},
	"storage.k8s.io/v1alpha1": {
		"CSIStorageCapacity": {24, "storage.k8s.io/v1"}, "VolumeAttachment": {24, "storage.k8s.io/v1"}, "VolumeAttributesClass": {35, "storage.k8s.io/v1"},
	},
	"storage.k8s.io/v1beta1": {
		"CSIDriver": {22, "storage.k8s.io/v1"}, "CSINode": {22, "storage.k8s.io/v1"}, "CSIStorageCapacity": {27, "storage.k8s.io/v1"},
		"StorageClass": {22, "storage.k8s.io/v1"}, "VolumeAttachment": {22, "storage.k8s.io/v1"}, "VolumeAttributesClass": {37, "storage.k8s.io/v1"},
	},
}

const podSecurityPolicySuccessor = "Pod Security Admission, by labels of the namespaces"

func removedAPIs(r *check.Run) {
	for _, o := range r.Objects {
		if !builtInGroup(o.Group()) {
			continue
		}
		gone, known := removedAPI[o.APIVersion][o.Kind]
		if !known || !r.Settings.Version.AtLeast(gone.minor) {
			r.Judge(o, nil)
			continue
		}
		r.Judge(o, []check.Problem{{
			Path: evidence.NewPath("apiVersion"), Value: o.APIVersion,
			Message: fmt.Sprintf("%s %q is written in %s, which Kubernetes no longer serves since 1.%d", o.Kind, o.Name, o.APIVersion, gone.minor),
			Remedy:  "use " + gone.instead + ", or delete the object",
		}})
	}
}

// builtInGroup reports whether a group is one of the API server's own, as far as
// its name tells.
func builtInGroup(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}
