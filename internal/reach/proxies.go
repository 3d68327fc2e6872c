package reach

import (
	"slices"
	"strings"
)

// A proxy is what an Ingress or a route wants: the pods that take the outside's
// connections and open their own to the backends.
type proxy struct {
	// class is the class of the Ingress or of the Gateway, "" for the default one.
	class string
	// gateway is the Gateway, for which some controllers run pods of its own.
	gateway objectName
	// labels are those of the pods, where they are chosen by labels.
	labels map[string]string
}

// proxySoftware are the proxies that are known by the path of their image, and the
// classes that they serve as they are installed by default.
var proxySoftware = []struct {
	image   string
	classes []string
}{
	{"ingress-nginx/controller", []string{"nginx"}},
	{"nginx-ingress-controller", []string{"nginx"}},
	{"nginx/nginx-ingress", []string{"nginx"}},
	{"nginx-gateway-fabric", []string{"nginx"}},
	{"traefik", []string{"traefik"}},
	{"haproxytech/kubernetes-ingress", []string{"haproxy"}},
	{"haproxy-ingress", []string{"haproxy"}},
	{"kong", []string{"kong"}},
	{"kong/kong-gateway", []string{"kong"}},
	{"apisix", []string{"apisix"}},
	{"emissary", []string{"ambassador"}},
	{"pomerium/ingress-controller", []string{"pomerium"}},
	{"caddy/ingress", []string{"caddy"}},
	{"skipper", []string{"skipper"}},
}

// gatewayLabels are labels by which controllers mark the pods that they run for one
// Gateway: its name, and its namespace where that need not be the pods' own.
var gatewayLabels = []struct{ name, namespace string }{
	{"gateway.networking.k8s.io/gateway-name", ""},
	{"gateway.envoyproxy.io/owning-gateway-name", "gateway.envoyproxy.io/owning-gateway-namespace"},
	{"projectcontour.io/owning-gateway-name", ""},
}

// proxies are the endpoints that may be proxies.
type proxies struct {
	pods []*Endpoint
	// known are those whose software is known, with the classes that it serves.
	known []knownProxy
}

type knownProxy struct {
	endpoint *Endpoint
	classes  []string
}

func findProxies(endpoints []*Endpoint) (p proxies) {
	for _, e := range endpoints {
		if len(e.Workloads) == 0 {
			continue
		}
		p.pods = append(p.pods, e)
		if classes := classesOf(e); classes != nil {
			p.known = append(p.known, knownProxy{e, classes})
		}
	}
	return p
}

// classesOf are the classes that an endpoint's pods serve if they are a known proxy:
// those of its software, and those that its command line names.
func classesOf(e *Endpoint) (classes []string) {
	for _, w := range e.Workloads {
		for c := range w.Containers() {
			for _, s := range proxySoftware {
				if !imageIs(c.Image, s.image) {
					continue
				}
				classes = append(classes, s.classes...)
				for _, arg := range slices.Concat(c.Command, c.Args) {
					if flag, value, ok := strings.Cut(arg, "="); ok && strings.HasSuffix(flag, "class") {
						classes = append(classes, value)
					}
				}
			}
		}
		switch {
		case w.PodLabels["istio"] == "ingressgateway":
			classes = append(classes, "istio")
		case w.PodLabels["app.kubernetes.io/name"] == "contour" && w.PodLabels["app.kubernetes.io/component"] == "envoy", w.PodLabels["app"] == "envoy" && w.Namespace == "projectcontour":
			classes = append(classes, "contour")
		}
	}
	return classes
}

// imageIs reports whether the repository of an image is a path, or ends in it.
func imageIs(image, path string) bool {
	image, _, _ = strings.Cut(image, "@")
	if tag := strings.LastIndexByte(image, ':'); tag > strings.LastIndexByte(image, '/') {
		image = image[:tag]
	}
	return image == path || strings.HasSuffix(image, "/"+path)
}

// of are the pods of a proxy; none where they were not found. With a class that no
// known software names, or none, it is the one that is there, if there is just one.
func (p proxies) of(want *proxy) (found []*Endpoint) {
	if len(want.labels) > 0 {
		return p.labelled(want.labels)
	}
	if want.gateway.name != "" {
		if own := p.ofGateway(want.gateway); len(own) > 0 {
			return own
		}
	}
	var all []*Endpoint
	kinds := map[string]bool{}
	for _, k := range p.known {
		all = append(all, k.endpoint)
		kinds[k.classes[0]] = true
		if slices.Contains(k.classes, want.class) {
			found = append(found, k.endpoint)
		}
	}
	if len(found) == 0 && len(kinds) == 1 && want.class == "" && want.gateway.name == "" {
		return all
	}
	return found
}

func (p proxies) labelled(labels map[string]string) (found []*Endpoint) {
	for _, e := range p.pods {
		for _, w := range e.Workloads {
			if chosen, why := selects(labels, w); chosen && why == "" {
				found = append(found, e)
				break
			}
		}
	}
	return found
}

func (p proxies) ofGateway(gateway objectName) (found []*Endpoint) {
	for _, e := range p.pods {
		for _, w := range e.Workloads {
			for _, l := range gatewayLabels {
				namespace := w.Namespace
				if l.namespace != "" {
					namespace = w.PodLabels[l.namespace]
				}
				if w.PodLabels[l.name] == gateway.name && namespace == gateway.namespace && !slices.Contains(found, e) {
					found = append(found, e)
				}
			}
		}
	}
	return found
}
