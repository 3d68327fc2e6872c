package live

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// A form is how much of its objects a resource is asked for.
type form int

const (
	inMetadata form = iota // metadata only
	inNames                // names only
	inFull                 // everything, into a Go type
	inJSON                 // everything, as text
)

// A resource is one that is listed.
type resource struct {
	group, version, kind, name string
	namespaced                 bool
	form                       form
	// facts are what its objects are evidence for, and so what is missing without
	// them.
	facts []evidence.Fact
	// text is set where the server has no protobuf for what is wanted.
	text bool
	// selector narrows the list by labels, in the API's own syntax.
	selector string
	// served is set where the server says that it has the resource.
	served bool
}

// String is the resource and its group: deployments.apps.
func (r resource) String() string {
	if r.group == "" {
		return r.name
	}
	return r.name + "." + r.group
}

func (r resource) apiVersion() string {
	if r.group == "" {
		return r.version
	}
	return r.group + "/" + r.version
}

// unread are the built-in kinds that nobody asks for, besides those of the group
// extensions, which are served elsewhere as well. Controllers make them by the
// thousand or for minutes, or they are no objects; none is written by a person or
// tells what the objects that are listed do not. In what is listed without need
// of more, only the metadata are asked for.
var unread = []schema.GroupKind{
	{Kind: "Binding"},
	{Kind: "ComponentStatus"},
	{Kind: "Endpoints"},
	{Kind: "Event"},
	{Group: "apps", Kind: "ControllerRevision"},
	{Group: "autoscaling", Kind: "Scale"},
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"},
	{Group: "coordination.k8s.io", Kind: "Lease"},
	{Group: "policy", Kind: "PodSecurityPolicy"},
	{Group: "storage.k8s.io", Kind: "CSINode"},
	{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"},
	{Group: "storage.k8s.io", Kind: "VolumeAttachment"},
}

// builtins are the built-in kinds that are listed, in the version of their Go
// types.
func builtins() iter.Seq[resource] {
	return func(yield func(resource) bool) {
		for gk, k := range kind.All() {
			if gk.Group == "extensions" || slices.Contains(unread, schema.GroupKind(gk)) {
				continue
			}
			r := resource{group: gk.Group, version: "v1", kind: gk.Kind, name: plural(gk.Group, gk.Kind), namespaced: !k.Cluster}
			switch {
			case k.Fact == "":
				r.facts = []evidence.Fact{evidence.Others}
			case k.New == nil:
				r.form, r.facts = inJSON, []evidence.Fact{k.Fact}
			default:
				r.form, r.facts = inFull, []evidence.Fact{k.Fact}
			}
			switch gk {
			case kind.GroupKind{Kind: "Secret"}:
				r.form = inMetadata
			case kind.GroupKind{Group: discoveryv1.GroupName, Kind: "EndpointSlice"}:
				// What the controller makes of a Service's selector, pods tell as well.
				r.selector = discoveryv1.LabelManagedBy + "!=endpointslice-controller.k8s.io"
			}
			if !yield(r) {
				return
			}
		}
	}
}

// plural is how a resource is called, by the rules of English that most names
// follow; a connected server says how it really is.
func plural(group, kind string) string {
	for _, hiss := range []string{"x", "ch", "sh"} {
		if strings.HasSuffix(kind, hiss) {
			return strings.ToLower(kind) + "es"
		}
	}
	name, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	return name.Resource
}

// among is the resource as a server has it; false when it has none.
func (r resource) among(found *catalogue) (resource, bool) {
	versions := found.versions(r.group, r.kind)
	if len(versions) == 0 {
		return r, false
	}
	best := versions[0]
	for _, s := range versions {
		if s.version == r.version {
			best = s
		}
	}
	// Where the Go type's version is not served, another one has nearly the same
	// fields, but not the same numbers for them.
	r.text = r.form == inFull && best.version != r.version
	r.version, r.name, r.namespaced, r.served = best.version, best.resource, best.namespaced, true
	return r, true
}

// builtinGroups are groups of the API server itself, besides those of the kinds
// that are known here.
var builtinGroups = []string{
	"authentication.k8s.io", "authorization.k8s.io", "events.k8s.io", "internal.apiserver.k8s.io",
	"resource.k8s.io", "storagemigration.k8s.io",
}

// podless are groups of extension API servers that serve figures and no objects:
// nothing is missing without them.
var podless = []string{"metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"}

// customs are the custom resources that are listed: those that checks read, those
// that are known to carry pods, and those whose schema says that they may. It
// returns as well those of which no schema could be seen, which are listed when
// they turn out to own pods.
func (c *Client) customs(ctx context.Context, found *catalogue, carrying map[schema.GroupKind]bool) (listed, unseen []resource) {
	builtin := slices.Concat(builtinGroups, podless)
	for gk := range kind.All() {
		builtin = append(builtin, gk.Group)
	}
	schemas := openAPI{client: c, documents: map[string]map[string]bool{}}
	seen := map[schema.GroupResource]bool{}
	for _, s := range found.resources {
		name := schema.GroupResource{Group: s.group, Resource: s.resource}
		if slices.Contains(builtin, s.group) || seen[name] {
			continue
		}
		seen[name] = true // in the version that the server prefers
		r := resource{group: s.group, version: s.version, kind: s.kind, name: s.resource, namespaced: s.namespaced, form: inJSON, served: true}
		r.facts = customFacts(s.group, s.kind)
		if len(r.facts) == 0 {
			carries, known := carrying[schema.GroupKind{Group: s.group, Kind: s.kind}]
			if !known {
				carries, known = schemas.carries(ctx, s)
			}
			r.facts = []evidence.Fact{evidence.Workloads}
			if !known {
				unseen = append(unseen, r)
			}
			if !carries {
				continue
			}
		}
		listed = append(listed, r)
	}
	return listed, unseen
}

// customFacts are what a custom kind is known to be evidence for, none if it is
// not known.
func customFacts(group, name string) (facts []evidence.Fact) {
	if carrier.Known(group, name) {
		facts = append(facts, evidence.Workloads)
	}
	if fact, read := kind.ReadGroup(group); read {
		facts = append(facts, cmp.Or(fact, evidence.Others))
	}
	return facts
}

// openAPI asks for the schemas of resources whose CustomResourceDefinition could
// not be seen, or that have none. Every user may.
type openAPI struct {
	client    *Client
	documents map[string]map[string]bool // by path: the kinds, nil for none
}

func (o *openAPI) carries(ctx context.Context, s served) (carries, known bool) {
	path := append([]string{"openapi", "v3"}, groupPath(s.group, s.version)...)
	key := strings.Join(path, "/")
	kinds, asked := o.documents[key]
	if !asked {
		var body bytes.Buffer
		if _, err := o.client.get(ctx, request{path: path, accept: jsonForm}, &body); err == nil {
			kinds, _ = carryingKinds(body.Bytes())
		}
		o.documents[key] = kinds
	}
	carries, known = kinds[s.kind]
	return carries, known
}

// A listing is one list to ask for, or one object.
type listing struct {
	resource
	// namespace is where; "" for everywhere.
	namespace string
	// only is the name of the one object that is asked for, by get.
	only string
	// secretType is the type of the Secrets that are asked for.
	secretType corev1.SecretType
}

// listings are the lists to ask for of a resource.
func (o Options) listings(r resource) (list []listing) {
	switch {
	case r.group == "" && r.kind == "Secret":
		return o.secretListings(r)
	case o.all():
		return []listing{{resource: r}}
	case r.group == "" && r.kind == "Namespace":
		for _, ns := range o.Namespaces {
			list = append(list, listing{resource: r, only: ns})
		}
	case !r.namespaced:
		return []listing{{resource: r}}
	default:
		for _, ns := range o.Namespaces {
			list = append(list, listing{resource: r, namespace: ns})
		}
	}
	return list
}

// secretListings are for the types of Secrets that let in whoever holds them. Of
// tokens for joining nodes, which count in kube-system only, only the names are
// asked for: they are often made by kubectl apply, which puts their values into an
// annotation. That of the others is dropped when it is read.
func (o Options) secretListings(r resource) (list []listing) {
	if o.NoSecrets {
		return nil
	}
	tokens := listing{resource: r, secretType: corev1.SecretTypeServiceAccountToken}
	for _, ns := range o.Namespaces {
		tokens.namespace = ns
		list = append(list, tokens)
	}
	if o.all() {
		list = append(list, tokens)
	}
	if o.sees(kubeSystem) {
		r.form = inNames
		list = append(list, listing{resource: r, namespace: kubeSystem, secretType: corev1.SecretTypeBootstrapToken})
	}
	return list
}

// scope is the namespace that a list is of, "" for all.
func (l listing) scope() string { return cmp.Or(l.namespace, l.only) }

// inOrder sorts lists so that what makes pods comes before them, and custom
// resources, which may make anything, before that.
func inOrder(lists []listing) {
	slices.SortStableFunc(lists, func(a, b listing) int { return cmp.Compare(a.rank(), b.rank()) })
}

func (l listing) rank() int {
	switch {
	case !slices.Contains(l.facts, evidence.Workloads):
		return 0
	case l.form == inJSON:
		return 1
	case l.kind == "ReplicaSet" || l.kind == "Job":
		return 3
	case l.kind == "Pod":
		return 4
	}
	return 2
}
