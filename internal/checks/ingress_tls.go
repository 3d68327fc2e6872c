package checks

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// IngressTLS reports Ingresses that serve hosts without TLS (guide, since 1.1:
// Network policies, on external Services).
var IngressTLS = &check.Check{
	ID:             "ingress-tls",
	Title:          "ingress serves a host without TLS",
	Recommendation: "NET-05",
	Severity:       guide.Medium,
	Remedy:         "list the host under spec.tls with a secretName that holds its certificate",
	Needs:          []evidence.Fact{evidence.Exposure},
	Leaves:         handshake,
	Doc:            ingressTLSDoc,
	Run:            check.Each(func(s *evidence.Snapshot) []*evidence.Object[networkingv1.Ingress] { return s.Ingresses }, ingressTLS),
}

const ingressTLSDoc = `What comes in from outside crosses networks that nobody here controls. Without TLS
it can be read and changed on the way.

Looked at is each Ingress. Every host of its rules has to be covered by an entry of
spec.tls: by name, by a wildcard for one label, or by an entry without hosts, which
stands for all of them. A rule without a host, or a default backend alone, needs
any entry. Annotations by which controllers of AWS, Google, Azure, OpenShift,
Traefik and nginx are given a certificate, or pass TLS through to the pods, count
for all hosts. Whether the Secret exists and the certificate is good is not asked.

    spec:
      tls:
        - hosts: [shop.example.com]
          secretName: shop-tls
      rules:
        - host: shop.example.com
`

// tlsAnnotations give an Ingress TLS in a controller's own way: an empty value
// stands for any but none.
var tlsAnnotations = []struct{ key, value string }{
	{"alb.ingress.kubernetes.io/certificate-arn", ""},
	{"networking.gke.io/managed-certificates", ""},
	{"ingress.gcp.kubernetes.io/pre-shared-cert", ""},
	{"appgw.ingress.kubernetes.io/appgw-ssl-certificate", ""},
	{"route.openshift.io/termination", ""},
	{"traefik.ingress.kubernetes.io/router.tls", "true"},
	{"nginx.ingress.kubernetes.io/ssl-passthrough", "true"},
	{"haproxy.org/ssl-passthrough", "true"},
	{"haproxy-ingress.github.io/ssl-passthrough", "true"},
}

func ingressTLS(_ *check.Scan, i *evidence.Object[networkingv1.Ingress]) (problems []check.Problem) {
	for _, a := range tlsAnnotations {
		if value := i.Annotations[a.key]; value != "" && (a.value == "" || a.value == value) {
			return nil
		}
	}
	spec := &i.Value.Spec
	if len(spec.TLS) == 0 {
		return []check.Problem{{
			Path:    evidence.NewPath("spec", "tls"),
			Message: fmt.Sprintf("Ingress %q serves without TLS", i.Name),
		}}
	}
	for n, rule := range spec.Rules {
		if rule.Host == "" || coveredByTLS(spec.TLS, rule.Host) {
			continue
		}
		problems = append(problems, check.Problem{
			Path:    evidence.NewPath("spec", "rules").Index(n, rule.Host).Field("host"),
			Value:   rule.Host,
			Message: fmt.Sprintf("Ingress %q serves host %q without TLS: no entry of spec.tls covers it", i.Name, rule.Host),
		})
	}
	return problems
}

func coveredByTLS(entries []networkingv1.IngressTLS, host string) bool {
	for _, entry := range entries {
		if len(entry.Hosts) == 0 {
			return true
		}
		for _, h := range entry.Hosts {
			if hostCovers(h, host) {
				return true
			}
		}
	}
	return false
}

// hostCovers compares names without regard to case; *.example.com covers exactly
// one more label.
func hostCovers(pattern, host string) bool {
	if strings.EqualFold(pattern, host) {
		return true
	}
	_, parent, dotted := strings.Cut(host, ".")
	wild, ok := strings.CutPrefix(pattern, "*.")
	return ok && dotted && strings.EqualFold(wild, parent)
}
