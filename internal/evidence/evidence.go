// Package evidence is what one run knows about a cluster: its objects, where
// each was written, and what could not be seen. It is plain data over the
// Kubernetes API types and does no I/O. Sources fill a Snapshot, checks read it,
// nothing changes it in between. It never holds the value of a Secret.
package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// A Snapshot is everything one run knows.
type Snapshot struct {
	// Cluster is the cluster that the objects were listed from, nil for files: what
	// is not among them is then not there, but for the gaps.
	Cluster *Cluster
	Sources []*Source
	// Gaps are the things that were asked for, or that the objects refer to, and
	// could not be seen.
	Gaps []Gap

	Workloads       []*Workload
	Namespaces      []*Object[corev1.Namespace]
	ServiceAccounts []*Object[corev1.ServiceAccount]
	Services        []*Object[corev1.Service]
	// EndpointSlices are those of a live cluster that no controller made from the
	// selector of a Service, and all that stand in files.
	EndpointSlices  []*Object[discoveryv1.EndpointSlice]
	ConfigMaps      []*Object[corev1.ConfigMap]
	Secrets         []*Secret
	LimitRanges     []*Object[corev1.LimitRange]
	ResourceQuotas  []*Object[corev1.ResourceQuota]
	NetworkPolicies []*Object[networkingv1.NetworkPolicy]
	Ingresses       []*Object[networkingv1.Ingress]
	RuntimeClasses  []*Object[nodev1.RuntimeClass]
	Nodes           []*Object[corev1.Node]
	Volumes         []*Object[corev1.PersistentVolume]
	// Hosts are the nodes that were looked at, or whose configuration the API told.
	Hosts []*Host
	// Managed is set when a provider runs the control plane.
	Managed *Managed
	// Probes are what attempts to connect showed.
	Probes []*Probed

	// Roles and ClusterRoles, RoleBindings and ClusterRoleBindings: the
	// cluster-wide kinds have no Namespace in their Ref.
	Roles        []*Object[rbacv1.Role]
	ClusterRoles []*Object[rbacv1.ClusterRole]
	Bindings     []*Binding

	ValidatingWebhooks      []*Object[admissionregistrationv1.ValidatingWebhookConfiguration]
	MutatingWebhooks        []*Object[admissionregistrationv1.MutatingWebhookConfiguration]
	AdmissionPolicies       []*Object[admissionregistrationv1.ValidatingAdmissionPolicy]
	AdmissionPolicyBindings []*Object[admissionregistrationv1.ValidatingAdmissionPolicyBinding]
	// Custom holds objects of kinds that have no Go type here and that checks
	// read all the same, such as Istio's PeerAuthentication, and the definitions of
	// such kinds: CustomResourceDefinitions, without their schemas, and APIServices.
	Custom []*Custom

	// Objects is every object, those of the lists above included, in the order
	// in which they were read. An object's Ref.ID is its index here.
	Objects []*Ref
}

// An Object is one object of a kind that checks look at.
type Object[T any] struct {
	*Ref
	Value *T
}

// A Binding is a RoleBinding or a ClusterRoleBinding; Ref.Kind says which.
type Binding struct {
	*Ref
	Subjects []rbacv1.Subject
	RoleRef  rbacv1.RoleRef
}

// A Secret is what may be known about a Secret: never its values.
type Secret struct {
	*Ref
	Type corev1.SecretType
	// Keys are the entries that carried a non-empty literal value, sorted.
	Keys []string
	// Field is where they stand: "data" or "stringData", by key.
	Field map[string]string
}

// A Custom is an object as its JSON text.
type Custom struct {
	*Ref
	JSON []byte
}

// A Ref names an object and knows where it was written, if anywhere.
type Ref struct {
	// ID is the object's index in Snapshot.Objects.
	ID                                int
	APIVersion, Kind, Namespace, Name string
	// NamespaceAssumed is set when the object names no namespace and got the one
	// that it would be created in by default.
	NamespaceAssumed bool
	// Surplus is the first field that the kind does not have, "" for none: an API server
	// drops it, or refuses the object. Of what a server gave there is none.
	Surplus     string
	Labels      map[string]string
	Annotations map[string]string
	// Source is where the object was read; Outline where its fields are
	// written, nil for a live object.
	Source  *Source
	Outline *Outline
	// JSON is the whole object, kept only when Snapshot readers are asked to.
	JSON []byte
	// Created is when the API server made the object, zero for one in a file.
	Created time.Time
	// Owner is the kind and name of the object that made this one, as far as that one
	// is not among the objects itself: Node cp-1.
	Owner string
}

// Group is the API group: "" for the core group.
func (r *Ref) Group() string {
	if g, _, ok := strings.Cut(r.APIVersion, "/"); ok {
		return g
	}
	return ""
}

// String names the object as people do: Deployment shop/web.
func (r *Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Subject returns r: whatever holds a Ref can be the subject of a check.
func (r *Ref) Subject() *Ref { return r }

// Position returns where the field at p is written, or, when it is not, where
// the deepest ancestor that is written down stands.
func (r *Ref) Position(p Path) Position { return r.Outline.Place(p) }

// A Source is one thing that was read, with what of it could not be.
// Documents = Objects + len(Skipped) + len(Errors), always.
type Source struct {
	Type      string  `json:"type"` // manifest, helm, kustomize, cluster, host
	Ref       string  `json:"ref"`  // as the user gave or would give it
	Files     int     `json:"files"`
	Documents int     `json:"documents"`
	Objects   int     `json:"objects"`
	Skipped   []Issue `json:"skipped"`
	Errors    []Issue `json:"errors"`
	// Warnings are faults that stop nothing: a field the API does not have.
	Warnings []Issue `json:"warnings,omitempty"`
	// Opaque are objects that make other objects from something that was not
	// given, such as an Argo CD Application of another repository.
	Opaque []Issue `json:"opaque,omitempty"`
	// Cluster says of a live cluster which it was, who looked, and what at.
	Cluster *Cluster `json:"cluster,omitempty"`
	// Node, Roles and Distribution say of a node that was looked at which it is, what it
	// is for, and what set it up, as the host does.
	Node         string       `json:"node,omitempty"`
	Roles        []Role       `json:"roles,omitempty"`
	Distribution Distribution `json:"distribution,omitempty"`
}

// An Issue is something to say about a place in a source.
type Issue struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Reason string `json:"reason"`
}

// String is file:line: reason.
func (i Issue) String() string {
	switch {
	case i.File == "":
		return i.Reason
	case i.Line == 0:
		return i.File + ": " + i.Reason
	}
	return fmt.Sprintf("%s:%d: %s", i.File, i.Line, i.Reason)
}

// A Fact is one kind of knowledge. Several sources may supply the same one.
type Fact string

// The facts that objects can supply.
const (
	Workloads       Fact = "workloads"
	Namespaces      Fact = "namespaces"
	ServiceAccounts Fact = "service accounts"
	NetworkPolicies Fact = "network policies"
	Exposure        Fact = "services, ingresses and gateways"
	Endpoints       Fact = "endpoint slices"
	RBAC            Fact = "roles and bindings"
	ConfigMaps      Fact = "config maps"
	Secrets         Fact = "secrets"
	Quotas          Fact = "resource quotas"
	LimitRanges     Fact = "limit ranges"
	Admission       Fact = "admission policies and webhooks"
	RuntimeClasses  Fact = "runtime classes"
	Mesh            Fact = "mesh policies"
	Profiles        Fact = "seccomp profiles"
	Nodes           Fact = "nodes"
	Volumes         Fact = "persistent volumes"
	Extensions      Fact = "custom resource definitions and API services"
	// Hosts and ControlPlanes are what nodes are made of: all of them, and those that
	// run the control plane.
	Hosts         Fact = "files and processes of the nodes"
	ControlPlanes Fact = "flags and files of the control plane"
	// Others are the kinds that only those checks read that read every object.
	Others Fact = "other objects"
)

// Facts lists every fact, for gaps that concern them all.
var facts = []Fact{Workloads, Namespaces, ServiceAccounts, NetworkPolicies, Exposure, Endpoints, RBAC, ConfigMaps, Secrets,
	Quotas, LimitRanges, Admission, RuntimeClasses, Mesh, Profiles, Nodes, Volumes, Extensions, Hosts, ControlPlanes, Others}

// Facts returns every fact.
func Facts() []Fact { return slices.Clone(facts) }

// A Gap is something that could not be seen.
type Gap struct {
	// Fact is what is missing; "" means any fact could be.
	Fact Fact `json:"fact"`
	// Scope is the namespace concerned; "" means everywhere.
	Scope  string `json:"scope"`
	Reason string `json:"reason"`
	// Cluster is set where several clusters are spoken of together.
	Cluster string `json:"cluster,omitempty"`
	// Declined is set when the user did not want it seen: the answer is not whole,
	// but nothing that was asked for is missing.
	Declined bool `json:"declined,omitempty"`
}

// Touches reports whether the gap concerns a fact in a namespace; "" asks for
// any namespace.
func (g Gap) Touches(f Fact, namespace string) bool {
	return (g.Fact == "" || g.Fact == f) && (g.Scope == "" || namespace == "" || g.Scope == namespace)
}

// Complete reports whether what the snapshot holds of a fact in a namespace is
// all that there is, and if not, why. Only then does "none found" mean "there is
// none". Files are complete for a namespace when they create it: whoever writes
// the Namespace writes what belongs into it. Nothing in files is complete for
// the whole cluster, which is asked for with "". A live cluster is complete where
// it was listed.
func (s *Snapshot) Complete(f Fact, namespace string) (bool, string) {
	for _, g := range s.Gaps {
		if g.Touches(f, namespace) {
			return false, g.Reason
		}
	}
	if s.Cluster != nil {
		return s.Cluster.covers(f, namespace)
	}
	if namespace == "" {
		return false, "files cannot show all " + string(f) + " of a cluster"
	}
	for _, ns := range s.Namespaces {
		if ns.Name == namespace {
			return true, ""
		}
	}
	return false, fmt.Sprintf("the files do not create namespace %q, so there may be %s elsewhere", namespace, f)
}

// HasObjects reports whether objects of the API were read, from files or from a
// cluster: a look at a node alone says nothing about them.
func (s *Snapshot) HasObjects() bool {
	return s.Cluster != nil || len(s.Hosts) == 0 || len(s.Objects) > len(s.Hosts)
}

// HasHosts reports whether anything is known of nodes or of who runs the control plane.
func (s *Snapshot) HasHosts() bool { return len(s.Hosts) > 0 || s.Managed != nil }

// Sort puts the snapshot into an order that does not depend on how fast its
// parts were read.
func (s *Snapshot) Sort() {
	slices.SortStableFunc(s.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Fact, b.Fact), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Reason, b.Reason))
	})
}

// Add puts an object into the list of its kind and into Objects. The object is
// a pointer to an API type, a *Workload, *Binding, *Host, *Secret or *Custom, or nil for
// a kind that no check reads.
func (s *Snapshot) Add(ref *Ref, object any) {
	ref.ID = len(s.Objects)
	s.Objects = append(s.Objects, ref)
	switch o := object.(type) {
	case *corev1.Namespace:
		s.Namespaces = append(s.Namespaces, &Object[corev1.Namespace]{ref, o})
	case *corev1.ServiceAccount:
		s.ServiceAccounts = append(s.ServiceAccounts, &Object[corev1.ServiceAccount]{ref, o})
	case *corev1.Service:
		s.Services = append(s.Services, &Object[corev1.Service]{ref, o})
	case *discoveryv1.EndpointSlice:
		s.EndpointSlices = append(s.EndpointSlices, &Object[discoveryv1.EndpointSlice]{ref, o})
	case *corev1.ConfigMap:
		s.ConfigMaps = append(s.ConfigMaps, &Object[corev1.ConfigMap]{ref, o})
	case *corev1.LimitRange:
		s.LimitRanges = append(s.LimitRanges, &Object[corev1.LimitRange]{ref, o})
	case *corev1.ResourceQuota:
		s.ResourceQuotas = append(s.ResourceQuotas, &Object[corev1.ResourceQuota]{ref, o})
	case *networkingv1.NetworkPolicy:
		s.NetworkPolicies = append(s.NetworkPolicies, &Object[networkingv1.NetworkPolicy]{ref, o})
	case *networkingv1.Ingress:
		s.Ingresses = append(s.Ingresses, &Object[networkingv1.Ingress]{ref, o})
	case *corev1.Node:
		s.Nodes = append(s.Nodes, &Object[corev1.Node]{ref, o})
	case *corev1.PersistentVolume:
		s.Volumes = append(s.Volumes, &Object[corev1.PersistentVolume]{ref, o})
	case *nodev1.RuntimeClass:
		s.RuntimeClasses = append(s.RuntimeClasses, &Object[nodev1.RuntimeClass]{ref, o})
	case *rbacv1.Role:
		s.Roles = append(s.Roles, &Object[rbacv1.Role]{ref, o})
	case *rbacv1.ClusterRole:
		s.ClusterRoles = append(s.ClusterRoles, &Object[rbacv1.ClusterRole]{ref, o})
	case *rbacv1.RoleBinding:
		s.Bindings = append(s.Bindings, &Binding{Ref: ref, Subjects: o.Subjects, RoleRef: o.RoleRef})
	case *rbacv1.ClusterRoleBinding:
		s.Bindings = append(s.Bindings, &Binding{Ref: ref, Subjects: o.Subjects, RoleRef: o.RoleRef})
	case *admissionregistrationv1.ValidatingWebhookConfiguration:
		s.ValidatingWebhooks = append(s.ValidatingWebhooks, &Object[admissionregistrationv1.ValidatingWebhookConfiguration]{ref, o})
	case *admissionregistrationv1.MutatingWebhookConfiguration:
		s.MutatingWebhooks = append(s.MutatingWebhooks, &Object[admissionregistrationv1.MutatingWebhookConfiguration]{ref, o})
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		s.AdmissionPolicies = append(s.AdmissionPolicies, &Object[admissionregistrationv1.ValidatingAdmissionPolicy]{ref, o})
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		s.AdmissionPolicyBindings = append(s.AdmissionPolicyBindings, &Object[admissionregistrationv1.ValidatingAdmissionPolicyBinding]{ref, o})
	case *Host:
		o.Ref = ref
		s.Hosts = append(s.Hosts, o)
	case *Secret:
		o.Ref = ref
		s.Secrets = append(s.Secrets, o)
	case *Custom:
		o.Ref = ref
		s.Custom = append(s.Custom, o)
	case []*Workload:
		for _, w := range o {
			w.Ref = ref
			s.Workloads = append(s.Workloads, w)
		}
	}
}
