package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// GatewayTLS reports listeners of gateways that serve without TLS: those of
// Gateway API, and the servers of Istio's Gateway (guide, since 1.1: Network
// policies, on external Services).
var GatewayTLS = &check.Check{
	ID:             "gateway-tls",
	Title:          "gateway listener serves without TLS",
	Recommendation: "NET-05",
	Severity:       guide.Medium,
	Remedy:         "give the listener the protocol HTTPS and a certificate, and let plain HTTP only redirect",
	Needs:          []evidence.Fact{evidence.Exposure},
	Leaves:         handshake,
	Doc:            gatewayTLSDoc,
	Run: func(r *check.Run) {
		gatewayListeners(r)
		istioServers(r)
	},
}

const gatewayTLSDoc = `What comes in from outside crosses networks that nobody here controls. Without TLS
it can be read and changed on the way.

Looked at are the listeners of a Gateway of gateway.networking.k8s.io and the
servers of a Gateway of networking.istio.io.
- HTTPS and TLS that end at the gateway need a certificate (certificateRefs or the
  implementation's options; credentialName or files with Istio). Passing TLS through
  needs none.
- An HTTP listener may only redirect: every known route of it redirects to https
  (httpsRedirect with Istio). Where no route is known and the gateway has HTTPS too,
  nothing is said.
- TCP, UDP and a mesh's own protocols are not judged; nor is Istio's egress gateway.

    listeners:
      - name: https
        protocol: HTTPS
        port: 443
        tls: {certificateRefs: [{name: shop-tls}]}
`

type gateway struct {
	Spec struct {
		Listeners []listener `json:"listeners"`
	} `json:"spec"`
}

type listener struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Port     int32  `json:"port"`
	TLS      struct {
		Mode            string `json:"mode"`
		CertificateRefs []struct {
			Name string `json:"name"`
		} `json:"certificateRefs"`
		Options map[string]string `json:"options"`
	} `json:"tls"`
}

type httpRoute struct {
	Spec struct {
		ParentRefs []struct {
			Kind        string `json:"kind"`
			Namespace   string `json:"namespace"`
			Name        string `json:"name"`
			SectionName string `json:"sectionName"`
			Port        int32  `json:"port"`
		} `json:"parentRefs"`
		Rules []struct {
			Filters []struct {
				Type            string `json:"type"`
				RequestRedirect struct {
					Scheme string `json:"scheme"`
				} `json:"requestRedirect"`
			} `json:"filters"`
		} `json:"rules"`
	} `json:"spec"`
}

// redirects reports whether all that the route does is to send clients to https.
func (h *httpRoute) redirects() bool {
	for _, rule := range h.Spec.Rules {
		redirect := false
		for _, f := range rule.Filters {
			redirect = redirect || f.Type == "RequestRedirect" && f.RequestRedirect.Scheme == "https"
		}
		if !redirect {
			return false
		}
	}
	return len(h.Spec.Rules) > 0
}

// An attachment is what a route does at a listener of a gateway.
type attachment struct {
	section   string // "" for all listeners
	port      int32  // 0 for all
	redirects bool
}

func (a attachment) at(l listener) bool {
	return (a.section == "" || a.section == l.Name) && (a.port == 0 || a.port == l.Port)
}

type gatewayName struct{ namespace, name string }

func attachments(r *check.Run) map[gatewayName][]attachment {
	byGateway := map[gatewayName][]attachment{}
	for _, kind := range []string{"HTTPRoute", "GRPCRoute"} {
		for ref, route := range customs[httpRoute](r, gatewayGroup, kind) {
			for _, p := range route.Spec.ParentRefs {
				if p.Kind != "" && p.Kind != "Gateway" {
					continue
				}
				if p.Namespace == "" {
					p.Namespace = ref.Namespace
				}
				to := gatewayName{p.Namespace, p.Name}
				byGateway[to] = append(byGateway[to], attachment{p.SectionName, p.Port, route.redirects()})
			}
		}
	}
	return byGateway
}

const gatewayGroup = "gateway.networking.k8s.io"

func gatewayListeners(r *check.Run) {
	routes := attachments(r)
	for ref, g := range customs[gateway](r, gatewayGroup, "Gateway") {
		judgeListeners(r, ref, g.Spec.Listeners, routes[gatewayName{ref.Namespace, ref.Name}])
	}
}

func judgeListeners(r *check.Run, ref *evidence.Ref, listeners []listener, routes []attachment) {
	hasHTTPS := false
	for _, l := range listeners {
		hasHTTPS = hasHTTPS || l.Protocol == "HTTPS"
	}
	var problems []check.Problem
	judged := false
	for i, l := range listeners {
		path := evidence.NewPath("spec", "listeners").Index(i, l.Name)
		switch l.Protocol {
		case "HTTPS", "TLS":
			judged = true
			if l.TLS.Mode != "Passthrough" && len(l.TLS.CertificateRefs) == 0 && len(l.TLS.Options) == 0 {
				problems = append(problems, check.Problem{
					Path:    path.Field("tls", "certificateRefs"),
					Message: fmt.Sprintf("listener %q ends TLS and has no certificate", l.Name),
				})
			}
		case "HTTP":
			plain, known := plainRoutes(l, routes)
			if !known && hasHTTPS {
				r.Unknown(ref.String(), fmt.Sprintf("which routes its HTTP listener %q serves was not seen", l.Name))
				continue
			}
			judged = true
			if plain || !known {
				problems = append(problems, check.Problem{
					Path:    path.Field("protocol"),
					Value:   l.Protocol,
					Message: fmt.Sprintf("listener %q serves plain HTTP", l.Name),
				})
			}
		}
	}
	if judged {
		r.Judge(ref, problems)
	}
}

// plainRoutes reports whether a route at the listener does more than redirect, and
// whether any route is known there at all.
func plainRoutes(l listener, routes []attachment) (plain, known bool) {
	for _, a := range routes {
		if a.at(l) {
			known = true
			plain = plain || !a.redirects
		}
	}
	return plain, known
}

type istioGateway struct {
	Spec struct {
		Selector map[string]string `json:"selector"`
		Servers  []istioServer     `json:"servers"`
	} `json:"spec"`
}

type istioServer struct {
	Port struct {
		Name     string `json:"name"`
		Protocol string `json:"protocol"`
	} `json:"port"`
	TLS struct {
		HTTPSRedirect     bool     `json:"httpsRedirect"`
		Mode              string   `json:"mode"`
		CredentialName    string   `json:"credentialName"`
		CredentialNames   []string `json:"credentialNames"`
		ServerCertificate string   `json:"serverCertificate"`
		TLSCertificates   []struct {
			ServerCertificate string `json:"serverCertificate"`
		} `json:"tlsCertificates"`
	} `json:"tls"`
}

func istioServers(r *check.Run) {
	for ref, g := range customs[istioGateway](r, "networking.istio.io", "Gateway") {
		if g.Spec.Selector["istio"] == "egressgateway" {
			continue
		}
		var problems []check.Problem
		for i, s := range g.Spec.Servers {
			path := evidence.NewPath("spec", "servers").Index(i, s.Port.Name)
			switch {
			case s.plain():
				problems = append(problems, check.Problem{
					Path:    path.Field("port", "protocol"),
					Value:   s.Port.Protocol,
					Message: fmt.Sprintf("server %q serves plain %s", s.Port.Name, s.Port.Protocol),
				})
			case s.endsTLS() && !s.certified():
				problems = append(problems, check.Problem{
					Path:    path.Field("tls", "credentialName"),
					Message: fmt.Sprintf("server %q ends TLS and has no certificate", s.Port.Name),
				})
			}
		}
		r.Judge(ref, problems)
	}
}

func (s *istioServer) plain() bool {
	switch s.Port.Protocol {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		return !s.TLS.HTTPSRedirect
	}
	return false
}

// endsTLS reports whether the server itself needs a certificate. The default mode
// passes TLS through, and ISTIO_MUTUAL uses certificates of the mesh.
func (s *istioServer) endsTLS() bool {
	switch s.TLS.Mode {
	case "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL":
		return true
	}
	return false
}

func (s *istioServer) certified() bool {
	return s.TLS.CredentialName != "" || len(s.TLS.CredentialNames) > 0 || s.TLS.ServerCertificate != "" || len(s.TLS.TLSCertificates) > 0
}
