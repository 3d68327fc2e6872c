package reach

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// ingressClassAnnotation is the older form of spec.ingressClassName.
const ingressClassAnnotation = "kubernetes.io/ingress.class"

// ingressOpenings are the Services that an Ingress sends to, each port once.
func ingressOpenings(i *evidence.Object[networkingv1.Ingress]) []opening {
	class := i.Annotations[ingressClassAnnotation]
	if i.Value.Spec.IngressClassName != nil {
		class = *i.Value.Spec.IngressClassName
	}
	base := opening{by: i.Ref, how: i.Kind, from: cidr.All(), through: &proxy{class: class},
		front: single(ports.TCP, 80)}
	if len(i.Value.Spec.TLS) > 0 {
		base.front = base.front.Union(single(ports.TCP, 443))
	}
	if i.Annotations["alb.ingress.kubernetes.io/scheme"] == "internal" || class == "gce-internal" {
		base.from = Private()
	}
	if !strings.HasSuffix(i.APIVersion, "/v1") {
		base.unknown = fmt.Sprintf("where %s leads is not known: %s is no longer served, and is not read", i, i.APIVersion)
		return []opening{base}
	}
	var list []opening
	add := func(b *networkingv1.IngressBackend) {
		if b == nil {
			return
		}
		o := base
		if b.Service != nil {
			o.service = objectName{i.Namespace, b.Service.Name}
			o.port = servicePort{b.Service.Port.Number, b.Service.Port.Name}
		} else if b.Resource != nil {
			o.unknown = fmt.Sprintf("it sends to %s %s, which is not read", b.Resource.Kind, b.Resource.Name)
		}
		list = addOpening(list, o)
	}
	add(i.Value.Spec.DefaultBackend)
	for _, r := range i.Value.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for n := range r.HTTP.Paths {
			add(&r.HTTP.Paths[n].Backend)
		}
	}
	return list
}

// addOpening adds what one object opens, if it is not among the list, which is all
// of that object's.
func addOpening(list []opening, o opening) []opening {
	same := func(have opening) bool {
		return have.service == o.service && have.port == o.port && have.unknown == o.unknown && have.front.Equal(o.front)
	}
	if slices.ContainsFunc(list, same) {
		return list
	}
	return append(list, o)
}

const (
	gatewayGroup = "gateway.networking.k8s.io"
	istioGroup   = "networking.istio.io"
)

// routeOpenings are the Services that routes send to from a gateway: those of
// Gateway API with a Gateway as parent, and Istio's VirtualServices that are bound
// to more than the mesh. A document that cannot be decoded leads nobody knows where.
func routeOpenings(snap *evidence.Snapshot) (list []opening) {
	g := gateways{namespaces: map[string][]labels.Set{}}
	for _, ns := range snap.Namespaces {
		g.namespaces[ns.Name] = append(g.namespaces[ns.Name], ns.Value.Labels)
	}
	for _, c := range snap.Custom {
		g.add(c)
	}
	for _, c := range snap.Custom {
		switch {
		case c.Group() == gatewayGroup && strings.HasSuffix(c.Kind, "Route"):
			list = append(list, g.route(c)...)
		case c.Group() == istioGroup && c.Kind == "VirtualService":
			list = append(list, g.virtualService(c)...)
		}
	}
	return list
}

// gateways are what routes are bound to.
type gateways struct {
	// kubernetes and istio are the Gateways of the two groups.
	kubernetes map[objectName]*gatewaySpec
	istio      map[objectName]*istioGateway
	// services are VirtualServices, to which others may delegate.
	services map[objectName]*virtualServiceSpec
	grants   []grant
	// namespaces are the labels of each, in every way in which it is written.
	namespaces map[string][]labels.Set
}

type gatewaySpec struct {
	GatewayClassName string            `json:"gatewayClassName"`
	Listeners        []gatewayListener `json:"listeners"`
}

type gatewayListener struct {
	Name          string `json:"name"`
	Hostname      string `json:"hostname"`
	Port          int32  `json:"port"`
	Protocol      string `json:"protocol"`
	AllowedRoutes struct {
		Namespaces struct {
			From     string                `json:"from"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"namespaces"`
	} `json:"allowedRoutes"`
}

type istioGateway struct {
	Selector map[string]string `json:"selector"`
	Servers  []struct {
		Port struct {
			Number   int32  `json:"number"`
			Protocol string `json:"protocol"`
		} `json:"port"`
	} `json:"servers"`
}

// A grant is what a ReferenceGrant lets routes of one namespace do in another.
type grant struct {
	namespace string
	From      []struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
	} `json:"from"`
	To []struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"to"`
}

// spec decodes the spec of a custom object.
func spec[T any](c *evidence.Custom) (*T, error) {
	var object struct {
		Spec T `json:"spec"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(c.JSON, &object); err != nil {
		return nil, err
	}
	return &object.Spec, nil
}

func (g *gateways) add(c *evidence.Custom) {
	name := objectName{c.Namespace, c.Name}
	switch {
	case c.Group() == gatewayGroup && c.Kind == "Gateway":
		keep(&g.kubernetes, name, c)
	case c.Group() == istioGroup && c.Kind == "Gateway":
		keep(&g.istio, name, c)
	case c.Group() == istioGroup && c.Kind == "VirtualService":
		keep(&g.services, name, c)
	case c.Group() == gatewayGroup && c.Kind == "ReferenceGrant":
		if one, err := spec[grant](c); err == nil {
			one.namespace = c.Namespace
			g.grants = append(g.grants, *one)
		}
	}
}

func keep[T any](into *map[objectName]*T, name objectName, c *evidence.Custom) {
	if one, err := spec[T](c); err == nil {
		if *into == nil {
			*into = map[objectName]*T{}
		}
		(*into)[name] = one
	}
}

type backendRef struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      int32  `json:"port"`
}

type parentRef struct {
	Kind        string `json:"kind"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
	Port        int32  `json:"port"`
}

type routeSpec struct {
	ParentRefs []parentRef `json:"parentRefs"`
	Hostnames  []string    `json:"hostnames"`
	Rules      []struct {
		BackendRefs []backendRef `json:"backendRefs"`
		Filters     []struct {
			RequestMirror struct {
				BackendRef backendRef `json:"backendRef"`
			} `json:"requestMirror"`
		} `json:"filters"`
	} `json:"rules"`
}

// route is what a route of Gateway API opens: for each of its Gateways, each Service
// that it sends to.
func (g *gateways) route(c *evidence.Custom) (list []opening) {
	route, err := spec[routeSpec](c)
	if err != nil {
		return []opening{undecoded(c, err)}
	}
	for _, p := range route.ParentRefs {
		if p.Kind != "" && p.Kind != "Gateway" {
			continue
		}
		base, attached := g.parent(c, p, route.Hostnames)
		if !attached {
			continue
		}
		for _, r := range route.Rules {
			for _, b := range r.BackendRefs {
				list = addOpening(list, g.backend(c, base, b))
			}
			for _, f := range r.Filters {
				if b := f.RequestMirror.BackendRef; b.Name != "" {
					list = addOpening(list, g.backend(c, base, b))
				}
			}
		}
	}
	return list
}

func undecoded(c *evidence.Custom, err error) opening {
	return opening{by: c.Ref, how: c.Kind, from: cidr.All(), through: &proxy{}, unknown: fmt.Sprintf("where %s leads cannot be read: %v", c, err)}
}

// parent is the part of an opening that a Gateway decides, and whether it takes a
// route of some hosts at all.
func (g *gateways) parent(c *evidence.Custom, p parentRef, hosts []string) (o opening, attached bool) {
	if p.Namespace == "" {
		p.Namespace = c.Namespace
	}
	name := objectName{p.Namespace, p.Name}
	o = opening{by: c.Ref, how: c.Kind, from: cidr.All(), through: &proxy{gateway: name}}
	gateway := g.kubernetes[name]
	if gateway == nil {
		return o, true // whatever it listens on
	}
	o.through.class = gateway.GatewayClassName
	for i := range gateway.Listeners {
		l := &gateway.Listeners[i]
		if p.SectionName != "" && p.SectionName != l.Name || p.Port != 0 && p.Port != l.Port || !l.hears(hosts) {
			continue
		}
		switch yes, known := g.takes(l, p.Namespace, c.Namespace); {
		case known && !yes:
			continue
		case known:
			o.unknown = ""
		case !attached:
			o.unknown = fmt.Sprintf("whether Gateway %s/%s takes routes of namespace %s hangs on the namespace's labels", p.Namespace, p.Name, c.Namespace)
		}
		attached = true
		protocol := ports.TCP
		if l.Protocol == "UDP" {
			protocol = ports.UDP
		}
		o.front = o.front.Union(single(protocol, portNumber(l.Port)))
	}
	return o, attached
}

func (g *gateways) backend(c *evidence.Custom, o opening, b backendRef) opening {
	if b.Namespace == "" {
		b.Namespace = c.Namespace
	}
	if b.Kind != "" && b.Kind != "Service" {
		o.unknown = fmt.Sprintf("it sends to %s %s/%s, which is not read", b.Kind, b.Namespace, b.Name)
		return o
	}
	o.service, o.port = objectName{b.Namespace, b.Name}, servicePort{number: b.Port}
	if b.Namespace != c.Namespace && !g.granted(c, b) && o.unknown == "" {
		o.unknown = fmt.Sprintf("no ReferenceGrant that was read lets %s send to namespace %s", c, b.Namespace)
	}
	return o
}

func (g *gateways) granted(c *evidence.Custom, b backendRef) bool {
	for _, one := range g.grants {
		if one.namespace != b.Namespace {
			continue
		}
		from, to := false, false
		for _, f := range one.From {
			from = from || f.Kind == c.Kind && f.Namespace == c.Namespace
		}
		for _, t := range one.To {
			to = to || t.Kind == "Service" && (t.Name == "" || t.Name == b.Name)
		}
		if from && to {
			return true
		}
	}
	return false
}

type istioDestination struct {
	Host string `json:"host"`
	Port struct {
		Number int32 `json:"number"`
	} `json:"port"`
}

type istioRoutes []struct {
	Route []struct {
		Destination istioDestination `json:"destination"`
	} `json:"route"`
	Mirror  istioDestination `json:"mirror"`
	Mirrors []struct {
		Destination istioDestination `json:"destination"`
	} `json:"mirrors"`
	Delegate struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"delegate"`
}

type virtualServiceSpec struct {
	Gateways []string    `json:"gateways"`
	HTTP     istioRoutes `json:"http"`
	TLS      istioRoutes `json:"tls"`
	TCP      istioRoutes `json:"tcp"`
}

// virtualService is what a VirtualService opens at gateways; the mesh is none.
func (g *gateways) virtualService(c *evidence.Custom) (list []opening) {
	vs, err := spec[virtualServiceSpec](c)
	if err != nil {
		return []opening{undecoded(c, err)}
	}
	for _, name := range vs.Gateways {
		if name == "mesh" {
			continue
		}
		base := opening{by: c.Ref, how: c.Kind, from: cidr.All(), through: &proxy{}}
		at := objectName{c.Namespace, name}
		if ns, short, qualified := strings.Cut(name, "/"); qualified {
			at = objectName{ns, short}
		}
		if gateway := g.istio[at]; gateway != nil {
			base.through.labels = gateway.Selector
			for _, s := range gateway.Servers {
				base.front = base.front.Union(single(ports.TCP, portNumber(s.Port.Number)))
			}
		}
		for _, d := range g.destinations(c.Namespace, vs) {
			o := base
			o.service, o.port = serviceOfHost(d.Host, d.namespace), servicePort{number: d.Port.Number}
			list = addOpening(list, o)
		}
	}
	return list
}

// A destination is where a VirtualService of a namespace sends to.
type destination struct {
	istioDestination
	namespace string
}

// destinations are where a VirtualService sends to, with those that it delegates to,
// which delegate no further.
func (g *gateways) destinations(namespace string, vs *virtualServiceSpec) (list []destination) {
	list = ownDestinations(namespace, vs)
	for _, r := range vs.HTTP {
		name := objectName{r.Delegate.Namespace, r.Delegate.Name}
		if name.namespace == "" {
			name.namespace = namespace
		}
		if to := g.services[name]; name.name != "" && to != nil {
			list = append(list, ownDestinations(name.namespace, to)...)
		}
	}
	return list
}

func ownDestinations(namespace string, vs *virtualServiceSpec) (list []destination) {
	add := func(d istioDestination) {
		if d.Host != "" {
			list = append(list, destination{d, namespace})
		}
	}
	for _, r := range slices.Concat(vs.HTTP, vs.TLS, vs.TCP) {
		for _, to := range r.Route {
			add(to.Destination)
		}
		add(r.Mirror)
		for _, m := range r.Mirrors {
			add(m.Destination)
		}
	}
	return list
}

// serviceOfHost reads a host as Istio does: a short name is a Service of the
// namespace at hand, otherwise name.namespace.svc…
func serviceOfHost(host, namespace string) objectName {
	name, rest, dotted := strings.Cut(host, ".")
	if dotted {
		namespace, _, _ = strings.Cut(rest, ".")
	}
	return objectName{namespace, name}
}

// hostsOverlap reports whether two names of hosts, of which the first part may be *,
// mean a host in common.
func hostsOverlap(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	under := func(name, wild string) bool {
		suffix, any := strings.CutPrefix(wild, "*")
		return any && strings.HasSuffix(strings.TrimPrefix(name, "*"), suffix)
	}
	return a == b || under(a, b) || under(b, a)
}

// hears reports whether a listener takes requests for some of a route's hosts. Without
// names either means all.
func (l *gatewayListener) hears(hosts []string) bool {
	return l.Hostname == "" || len(hosts) == 0 ||
		slices.ContainsFunc(hosts, func(host string) bool { return hostsOverlap(l.Hostname, host) })
}

// takes reports whether a listener of a Gateway in namespace at takes routes of a
// namespace, as far as that is known.
func (g *gateways) takes(l *gatewayListener, at, namespace string) (yes, known bool) {
	switch allowed := &l.AllowedRoutes.Namespaces; allowed.From {
	case "All":
		return true, true
	case "None":
		return false, true
	case "Selector":
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		if err != nil || allowed.Selector == nil {
			return false, false
		}
		return g.selected(selector, namespace)
	}
	return at == namespace, true
}

// selected reports whether a selector means a namespace. Of one that was not read, or
// is written in several ways, it is known where all that may be says the same.
func (g *gateways) selected(selector labels.Selector, namespace string) (yes, known bool) {
	name := labels.Set{corev1.LabelMetadataName: namespace}
	written := g.namespaces[namespace]
	if len(written) == 0 {
		requirements, _ := selector.Requirements()
		onName := func(r labels.Requirement) bool { return r.Key() == corev1.LabelMetadataName }
		switch {
		case !slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return !onName(r) }):
			return selector.Matches(name), true
		case slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return onName(r) && !r.Matches(name) }):
			return false, true
		}
		return false, false
	}
	for i, own := range written {
		is := selector.Matches(labels.Merge(own, name))
		if i > 0 && is != yes {
			return false, false
		}
		yes = is
	}
	return yes, true
}
