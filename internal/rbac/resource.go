package rbac

import (
	"regexp"
	"slices"
	"strings"
)

// Names are what people call a resource.
type Names struct {
	Group string
	// Plural is what rules and requests say.
	Plural   string
	Singular string
	Short    []string
	// Cluster is set when its objects live in no namespace.
	Cluster bool
}

// A Resource is what a person's word for one stands for.
type Resource struct {
	Group string
	// Name is the plural, a subresource with its parent: pods/exec.
	Name  string
	Scope Scope
	// Known is false for a word that was taken as it stands.
	Known bool
}

// ParseResource reads a resource as kubectl's users write it, with a subresource:
// pods, po, pod/exec, deployments.apps, deployments.v1.apps/scale, secrets.v1., *
// for every resource of every group, *.apps, pods.*. A name that several groups
// have is that of the older group unless a group is given. What is not known is
// taken as it stands, in the core group when it names none. The custom resources
// are those that the cluster defines besides its own.
func ParseResource(text string, custom []Names) Resource {
	parent, sub, _ := strings.Cut(text, "/")
	r := parseParent(parent, custom)
	if sub != "" {
		r.Name += "/" + sub
	}
	return r
}

var version = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?$`)

func parseParent(text string, custom []Names) Resource {
	if text == "*" {
		return Resource{Group: "*", Name: "*", Scope: ClusterWide, Known: true}
	}
	name, group, grouped := strings.Cut(text, ".")
	if first, rest, ok := strings.Cut(group, "."); ok && version.MatchString(first) {
		group = rest
	}
	if name == "*" || group == "*" {
		return Resource{Group: group, Name: name, Scope: ScopeOf(group, name), Known: true}
	}
	for _, n := range slices.Concat(ownResources(), custom) {
		if (!grouped || n.Group == group) && n.called(strings.ToLower(name)) {
			scope := ScopeOf(n.Group, n.Plural)
			if scope == UnknownScope {
				scope = map[bool]Scope{true: ClusterWide, false: Namespaced}[n.Cluster]
			}
			return Resource{Group: n.Group, Name: n.Plural, Scope: scope, Known: true}
		}
	}
	return Resource{Group: group, Name: name, Scope: ScopeOf(group, name)}
}

func (n Names) called(word string) bool {
	return word == n.Plural || word == n.Singular || slices.Contains(n.Short, word)
}

// ownTable has the resources of the built-in groups and of the metrics API, those
// that only exist for the authorizer among them. A line is a group, "core" for
// that without a name, and its resources: plural, singular unless the plural
// without its s is that, short names.
const ownTable = `
core bindings componentstatuses/componentstatus/cs configmaps//cm endpoints/endpoints/ep events//ev limitranges//limits
core namespaces//ns nodes//no persistentvolumeclaims//pvc persistentvolumes//pv pods//po podtemplates
core replicationcontrollers//rc resourcequotas//quota secrets serviceaccounts//sa services//svc users groups
apps controllerrevisions daemonsets//ds deployments//deploy replicasets//rs statefulsets//sts
batch cronjobs//cj jobs
autoscaling horizontalpodautoscalers//hpa
networking.k8s.io ingressclasses/ingressclass ingresses/ingress/ing ipaddresses/ipaddress/ip networkpolicies/networkpolicy/netpol servicecidrs
policy poddisruptionbudgets//pdb podsecuritypolicies/podsecuritypolicy/psp
rbac.authorization.k8s.io clusterrolebindings clusterroles rolebindings roles
storage.k8s.io csidrivers csinodes csistoragecapacities/csistoragecapacity storageclasses/storageclass/sc volumeattachments volumeattributesclasses/volumeattributesclass/vac
admissionregistration.k8s.io mutatingadmissionpolicies/mutatingadmissionpolicy mutatingadmissionpolicybindings mutatingwebhookconfigurations
admissionregistration.k8s.io validatingadmissionpolicies/validatingadmissionpolicy validatingadmissionpolicybindings validatingwebhookconfigurations
apiextensions.k8s.io customresourcedefinitions//crd/crds
apiregistration.k8s.io apiservices
authentication.k8s.io selfsubjectreviews tokenreviews uids userextras
authorization.k8s.io localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews
certificates.k8s.io certificatesigningrequests//csr clustertrustbundles podcertificaterequests signers
coordination.k8s.io leases leasecandidates
discovery.k8s.io endpointslices
events.k8s.io events//ev
flowcontrol.apiserver.k8s.io flowschemas prioritylevelconfigurations
internal.apiserver.k8s.io storageversions
node.k8s.io runtimeclasses/runtimeclass
resource.k8s.io deviceclasses/deviceclass devicetaintrules resourceclaims resourceclaimtemplates resourceslices
scheduling.k8s.io priorityclasses/priorityclass/pc workloads podgroups
storagemigration.k8s.io storageversionmigrations
metrics.k8s.io nodes pods
extensions daemonsets deployments ingresses/ingress networkpolicies/networkpolicy podsecuritypolicies/podsecuritypolicy replicasets
`

// ownResources reads the table.
func ownResources() (list []Names) {
	for line := range strings.Lines(ownTable) {
		fields := strings.Fields(line)
		for i, f := range fields {
			if i == 0 {
				continue
			}
			names := strings.Split(f, "/")
			n := Names{Group: fields[0], Plural: names[0], Singular: strings.TrimSuffix(names[0], "s")}
			if n.Group == "core" {
				n.Group = ""
			}
			if len(names) > 1 && names[1] != "" {
				n.Singular = names[1]
			}
			n.Short = names[min(2, len(names)):]
			list = append(list, n)
		}
	}
	return list
}

// subresources are those of the built-in groups.
var subresources = []string{
	"approval", "attach", "binding", "ephemeralcontainers", "eviction", "exec", "finalize", "log", "nodeclient",
	"portforward", "proxy", "resize", "rollback", "scale", "selfnodeclient", "status", "token",
}

// IsSubresource reports whether some built-in resource has a subresource of a name.
func IsSubresource(name string) bool { return slices.Contains(subresources, name) }

// verbs are those that the API server asks its authorizer about for resources,
// and the special ones of its own and of common admission plugins.
var verbs = []string{
	"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
	"approve", "attest", "bind", "escalate", "impersonate", "sign", "use", "mount", "*",
}

var pathVerbs = []string{"get", "put", "post", "head", "options", "delete", "patch", "*"}

// Verbs are the verbs of requests about resources, or about URL paths.
func Verbs(path bool) []string {
	if path {
		return slices.Clone(pathVerbs)
	}
	return slices.Clone(verbs)
}

// Says reports whether some rule of some role spells a verb, of URL paths or of
// resources: extensions have verbs of their own.
func (x *Index) Says(verb string, path bool) bool {
	for _, r := range x.roles {
		for _, rule := range r.Rules {
			if len(rule.NonResourceURLs) > 0 == path && slices.Contains(rule.Verbs, verb) {
				return true
			}
		}
	}
	return false
}
