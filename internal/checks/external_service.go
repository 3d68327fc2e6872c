package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// ExternalService reports Services that are reached from outside the cluster
// (guide: Network policies, on NodePort, LoadBalancer and external addresses).
var ExternalService = &check.Check{
	ID:             "external-service",
	Title:          "service is reachable from outside",
	Recommendation: "NET-06",
	Severity:       guide.Medium,
	Remedy:         "make it a ClusterIP Service behind an Ingress or Gateway, or limit who reaches it by loadBalancerSourceRanges or an internal load balancer",
	Needs:          []evidence.Fact{evidence.Exposure},
	Doc:            externalServiceDoc,
	Run:            externalServices,
}

const externalServiceDoc = `Each Service that is open to the outside is a door. The guide asks to expose only
what has to be: best one entry (an Ingress or Gateway) with the rest behind it.

Looked at is each Service. Reported are the type NodePort, which opens a port on
every node and goes around the load balancer; the type LoadBalancer, unless an
annotation of the provider makes it internal or loadBalancerSourceRanges limits
the sources; and externalIPs, with which a Service claims any address for itself
(CVE-2020-8554). An Ingress or a Gateway is the entry that the guide prefers: it is
no fault, but keeps the row from passing, as nobody has said what it may open. Whether a Service has to be external only a person can say: give
those an exception with the reason.

    spec:
      type: LoadBalancer
      loadBalancerSourceRanges: [203.0.113.0/24]
`

func allServices(s *evidence.Snapshot) []*evidence.Object[corev1.Service] { return s.Services }

func externalServices(r *check.Run) {
	check.Each(allServices, externalService)(r)
	var entries []string
	for _, o := range r.Ingresses {
		entries = append(entries, o.String())
	}
	for _, o := range r.Custom {
		if o.Kind == "Gateway" && (o.Group() == gatewayGroup || o.Group() == "networking.istio.io") {
			entries = append(entries, o.String())
		}
	}
	if len(entries) > 0 {
		r.Unknown("", fmt.Sprintf("whether what %s opens to the outside is meant to be, %d in all: only a person can say", entries[0], len(entries)))
	}
}

func externalService(_ *check.Scan, s *evidence.Object[corev1.Service]) []check.Problem {
	switch reach.External(s) {
	case "":
		return nil
	case "externalIPs":
		return []check.Problem{{
			Path:    evidence.NewPath("spec", "externalIPs"),
			Value:   "[" + strings.Join(s.Value.Spec.ExternalIPs, ", ") + "]",
			Message: fmt.Sprintf("Service %q takes traffic for external addresses", s.Name),
			Remedy:  "remove externalIPs; use a load balancer for traffic from outside",
		}}
	case "NodePort":
		return []check.Problem{{
			Path:    evidence.NewPath("spec", "type"),
			Value:   string(s.Value.Spec.Type),
			Message: fmt.Sprintf("Service %q opens a port on every node", s.Name),
		}}
	}
	return []check.Problem{{
		Path:    evidence.NewPath("spec", "type"),
		Value:   string(s.Value.Spec.Type),
		Message: fmt.Sprintf("Service %q has a load balancer that anyone outside may reach", s.Name),
	}}
}
