package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/json"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An exposure is one way in from outside, to the pods that a Service selects.
type exposure struct {
	selector map[string]string
	reason   string
}

// Exposed says by what the outside reaches the pods of a workload: Services,
// Ingresses, routes, ports and the network of the node. Empty when nothing that
// was read does; where Services or Ingresses were not seen there may be more.
func (x *Index) Exposed(w *evidence.Workload) []string {
	var reasons []string
	for _, e := range x.exposures[w.Namespace] {
		if selects(e.selector, w) && !slices.Contains(reasons, e.reason) {
			reasons = append(reasons, e.reason)
		}
	}
	if w.Pod.HostNetwork {
		return append(reasons, "hostNetwork")
	}
	for c := range w.Containers() {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				reasons = append(reasons, fmt.Sprintf("hostPort %d", p.HostPort))
			}
		}
	}
	return reasons
}

// selects reports whether the selector of a Service matches the pods, with the
// labels that the StatefulSet and Job controllers put on pods themselves.
func selects(selector map[string]string, w *evidence.Workload) bool {
	for key, value := range selector {
		if have, ok := w.PodLabels[key]; ok && have == value {
			continue
		}
		switch {
		case key == appsv1.StatefulSetPodNameLabel && w.Kind == "StatefulSet" && strings.HasPrefix(value, w.Name+"-"):
		case (key == batchv1.JobNameLabel || key == "job-name") && w.Kind == "Job" && value == w.Name:
		default:
			return false
		}
	}
	return true
}

type objectName struct{ namespace, name string }

func newExposures(snap *evidence.Snapshot) map[string][]exposure {
	selectors := make(map[objectName]map[string]string, len(snap.Services))
	exposures := map[string][]exposure{}
	add := func(service objectName, reason string) {
		// A Service without selector has its endpoints written by hand.
		if selector := selectors[service]; len(selector) > 0 {
			exposures[service.namespace] = append(exposures[service.namespace], exposure{selector, reason})
		}
	}
	for _, s := range snap.Services {
		selectors[objectName{s.Namespace, s.Name}] = s.Value.Spec.Selector
	}
	for _, s := range snap.Services {
		if how := External(s); how != "" {
			add(objectName{s.Namespace, s.Name}, fmt.Sprintf("%s (%s)", s, how))
		}
	}
	for _, i := range snap.Ingresses {
		for _, service := range backends(&i.Value.Spec) {
			add(objectName{i.Namespace, service}, i.String())
		}
	}
	for _, c := range snap.Custom {
		for _, service := range routed(c) {
			add(service, c.String())
		}
	}
	return exposures
}

// External says how a Service is reached from outside the cluster:
// "LoadBalancer", "NodePort" or "externalIPs"; "" when it is not. A load balancer
// that is internal, or open to named ranges only, is not external.
func External(s *evidence.Object[corev1.Service]) string {
	spec := &s.Value.Spec
	switch {
	case spec.Type == corev1.ServiceTypeExternalName:
		return ""
	case len(spec.ExternalIPs) > 0:
		return "externalIPs"
	case spec.Type == corev1.ServiceTypeNodePort:
		return "NodePort"
	case spec.Type == corev1.ServiceTypeLoadBalancer && !internalBalancer(s.Annotations) && !limited(spec.LoadBalancerSourceRanges):
		return "LoadBalancer"
	}
	return ""
}

// internalBalancer knows the annotations by which providers are told to give a
// load balancer an address of the private network only.
func internalBalancer(annotations map[string]string) bool {
	for _, a := range internalAnnotations {
		if value, ok := annotations[a.key]; ok && (strings.EqualFold(value, a.value) || a.value == "" && value != "" && value != "false") {
			return true
		}
	}
	// The AWS Load Balancer Controller makes internal balancers unless told
	// otherwise; the in-tree provider makes public ones.
	switch annotations["service.beta.kubernetes.io/aws-load-balancer-type"] {
	case "external", "nlb-ip":
		return annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] != "internet-facing"
	}
	return false
}

// internalAnnotations: an empty value stands for any value but false.
var internalAnnotations = []struct{ key, value string }{
	{"service.beta.kubernetes.io/aws-load-balancer-internal", ""},
	{"service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"},
	{"service.beta.kubernetes.io/azure-load-balancer-internal", "true"},
	{"networking.gke.io/load-balancer-type", "Internal"},
	{"cloud.google.com/load-balancer-type", "Internal"},
	{"service.beta.kubernetes.io/openstack-internal-load-balancer", "true"},
	{"service.beta.kubernetes.io/oci-load-balancer-internal", "true"},
	{"service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type", "intranet"},
	{"service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type", "private"},
	{"service.kubernetes.io/qcloud-loadbalancer-internal-subnetid", ""},
	{"load-balancer.hetzner.cloud/disable-public-network", "true"},
}

// limited reports whether source ranges are given and none is every address.
func limited(ranges []string) bool {
	for _, text := range ranges {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err != nil || p.Bits() == 0 {
			return false
		}
	}
	return len(ranges) > 0
}

// backends are the Services that an Ingress sends to.
func backends(spec *networkingv1.IngressSpec) (services []string) {
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			services = append(services, b.Service.Name)
		}
	}
	add(spec.DefaultBackend)
	for _, r := range spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for i := range r.HTTP.Paths {
			add(&r.HTTP.Paths[i].Backend)
		}
	}
	return services
}

// routed are the Services that a route sends to from a gateway: a Gateway API
// route with a Gateway as parent, an Istio VirtualService bound to more than the
// mesh. A document that cannot be decoded routes nothing.
func routed(c *evidence.Custom) []objectName {
	switch c.Group() {
	case "gateway.networking.k8s.io":
		if strings.HasSuffix(c.Kind, "Route") {
			return gatewayRoute(c)
		}
	case "networking.istio.io":
		if c.Kind == "VirtualService" {
			return virtualService(c)
		}
	}
	return nil
}

func gatewayRoute(c *evidence.Custom) (services []objectName) {
	var route struct {
		Spec struct {
			ParentRefs []struct {
				Kind string `json:"kind"`
			} `json:"parentRefs"`
			Rules []struct {
				BackendRefs []struct {
					Kind      string `json:"kind"`
					Namespace string `json:"namespace"`
					Name      string `json:"name"`
				} `json:"backendRefs"`
			} `json:"rules"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(c.JSON, &route) != nil {
		return nil
	}
	atGateway := false
	for _, p := range route.Spec.ParentRefs {
		atGateway = atGateway || p.Kind == "" || p.Kind == "Gateway"
	}
	if !atGateway {
		return nil
	}
	for _, r := range route.Spec.Rules {
		for _, b := range r.BackendRefs {
			if b.Kind != "" && b.Kind != "Service" {
				continue
			}
			if b.Namespace == "" {
				b.Namespace = c.Namespace
			}
			services = append(services, objectName{b.Namespace, b.Name})
		}
	}
	return services
}

func virtualService(c *evidence.Custom) (services []objectName) {
	type routes []struct {
		Route []struct {
			Destination struct {
				Host string `json:"host"`
			} `json:"destination"`
		} `json:"route"`
	}
	var vs struct {
		Spec struct {
			Gateways []string `json:"gateways"`
			HTTP     routes   `json:"http"`
			TLS      routes   `json:"tls"`
			TCP      routes   `json:"tcp"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(c.JSON, &vs) != nil {
		return nil
	}
	if !slices.ContainsFunc(vs.Spec.Gateways, func(g string) bool { return g != "mesh" }) {
		return nil
	}
	for _, r := range slices.Concat(vs.Spec.HTTP, vs.Spec.TLS, vs.Spec.TCP) {
		for _, to := range r.Route {
			services = append(services, serviceOfHost(to.Destination.Host, c.Namespace))
		}
	}
	return services
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
