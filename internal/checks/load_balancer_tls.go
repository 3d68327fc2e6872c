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

// LoadBalancerTLS reports external load balancers that serve plain HTTP and
// nothing else (guide, since 1.1: Network policies, on external Services).
var LoadBalancerTLS = &check.Check{
	ID:             "load-balancer-tls",
	Title:          "load balancer serves plain HTTP",
	Recommendation: "NET-05",
	Severity:       guide.Low,
	Remedy:         "put an Ingress or Gateway with TLS before it, or give the load balancer a certificate",
	Needs:          []evidence.Fact{evidence.Exposure},
	Leaves:         handshake,
	Doc:            loadBalancerTLSDoc,
	Run:            loadBalancerTLS,
}

const loadBalancerTLSDoc = `What comes in from outside crosses networks that nobody here controls. Without TLS
it can be read and changed on the way.

Looked at are Services of type LoadBalancer that anyone outside may reach. One with
a plain HTTP port (80, appProtocol http, or named http) is reported when it has
neither a port 443 (port 80 then usually redirects) nor an annotation of the
provider that gives the load balancer a certificate. Whether other ports speak TLS
cannot be told from the object. The severity is low because the pods themselves may
redirect or refuse.

    metadata:
      annotations:
        service.beta.kubernetes.io/aws-load-balancer-ssl-cert: arn:aws:acm:…
    spec:
      type: LoadBalancer
      ports: [{port: 443, targetPort: 8080}]
`

// certificateAnnotations give a load balancer a certificate.
var certificateAnnotations = []string{
	"service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
	"service.beta.kubernetes.io/do-loadbalancer-certificate-id",
	"service.beta.kubernetes.io/oci-load-balancer-tls-secret",
	"service.beta.kubernetes.io/alibaba-cloud-loadbalancer-cert-id",
	"service.beta.kubernetes.io/scw-loadbalancer-certificate-ids",
	"load-balancer.hetzner.cloud/http-certificates",
}

func loadBalancerTLS(r *check.Run) {
	for _, s := range r.Services {
		if reach.External(s) != "LoadBalancer" {
			continue
		}
		plain, secure := webPorts(s)
		switch {
		case secure:
			r.Judge(s.Ref, nil)
		case plain < 0:
			r.Unknown(s.Ref.String(), "whether the ports of the load balancer speak TLS cannot be told from the Service")
		default:
			port := &s.Value.Spec.Ports[plain]
			r.Judge(s.Ref, []check.Problem{{
				Path:           evidence.NewPath("spec", "ports").Index(plain, port.Name).Field("port"),
				Value:          fmt.Sprint(port.Port),
				Message:        fmt.Sprintf("Service %q offers plain HTTP on port %d to the outside and no HTTPS", s.Name, port.Port),
				Severity:       guide.Low,
				SeverityReason: "the pods themselves may redirect or refuse",
			}})
		}
	}
}

// webPorts returns the index of the first plain HTTP port, or -1, and whether the
// load balancer has TLS.
func webPorts(s *evidence.Object[corev1.Service]) (plain int, secure bool) {
	plain = -1
	for i, p := range s.Value.Spec.Ports {
		if p.Port == 443 || strings.HasPrefix(p.Name, "https") || is(p.AppProtocol, "https") {
			secure = true
		} else if plain < 0 && (p.Port == 80 || p.Name == "http" || strings.HasPrefix(p.Name, "http-") || is(p.AppProtocol, "http")) {
			plain = i
		}
	}
	for _, key := range certificateAnnotations {
		secure = secure || s.Annotations[key] != ""
	}
	return plain, secure
}
