package rbac

import (
	"slices"
	"strings"
)

// clusterResources are the resources of the built-in API groups that live in no
// namespace; every other one of these groups does.
var clusterResources = map[string][]string{
	"":                             {"componentstatuses", "namespaces", "nodes", "persistentvolumes", "users", "groups"},
	"admissionregistration.k8s.io": {"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations"},
	"apiextensions.k8s.io":         {"customresourcedefinitions"},
	"apiregistration.k8s.io":       {"apiservices"},
	"apps":                         nil,
	"authentication.k8s.io":        {"groups", "nodes", "selfsubjectreviews", "tokenreviews", "uids", "userextras", "users"},
	"authorization.k8s.io":         {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"},
	"autoscaling":                  nil,
	"batch":                        nil,
	"certificates.k8s.io":          {"certificatesigningrequests", "clustertrustbundles", "signers"},
	"coordination.k8s.io":          nil,
	"discovery.k8s.io":             nil,
	"events.k8s.io":                nil,
	"extensions":                   {"podsecuritypolicies"},
	"flowcontrol.apiserver.k8s.io": {"flowschemas", "prioritylevelconfigurations"},
	"internal.apiserver.k8s.io":    {"storageversions"},
	"lifecycle.k8s.io":             nil,
	"metrics.k8s.io":               {"nodes"},
	"networking.k8s.io":            {"ingressclasses", "ipaddresses", "servicecidrs"},
	"node.k8s.io":                  {"runtimeclasses"},
	"policy":                       {"podsecuritypolicies"},
	"rbac.authorization.k8s.io":    {"clusterrolebindings", "clusterroles"},
	"resource.k8s.io":              {"deviceclasses", "devicetaintrules", "resourceslices"},
	"scheduling.k8s.io":            {"priorityclasses"},
	"storage.k8s.io":               {"csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses"},
	"storagemigration.k8s.io":      {"storageversionmigrations"},
}

// Scope is where the objects of a resource live.
type Scope int

// The scopes. That of a custom resource is not known here.
const (
	UnknownScope Scope = iota
	Namespaced
	ClusterWide
)

// ScopeOf says where the objects of a resource live, or those of a subresource's
// parent. A wildcard holds resources of the whole cluster, unless its group has
// none.
func ScopeOf(group, resource string) Scope {
	if group == "*" {
		return ClusterWide
	}
	wide, known := clusterResources[group]
	if !known {
		return UnknownScope
	}
	parent, _, _ := strings.Cut(resource, "/")
	if slices.Contains(wide, parent) || parent == "*" && len(wide) > 0 {
		return ClusterWide
	}
	return Namespaced
}
