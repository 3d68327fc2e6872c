package reach

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// shopPods are two workloads with ports of their own.
const shopPods = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 5353, protocol: UDP}]}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, ports: [{name: http, containerPort: 9090}]}]}}}
`

func service(spec string) string {
	return "\n---\n{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: " + spec + "}"
}

func TestBackends(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want []string
	}{
		"number":                 {`{selector: {app: web}, ports: [{port: 80, targetPort: 8081}]}`, []string{"web TCP 8081"}},
		"the port itself":        {`{selector: {app: web}, ports: [{port: 80}]}`, []string{"web TCP 80"}},
		"a name":                 {`{selector: {app: web}, ports: [{port: 80, targetPort: http}]}`, []string{"web TCP 8080"}},
		"a name of UDP":          {`{selector: {app: web}, ports: [{port: 53, targetPort: dns, protocol: UDP}, {port: 53, targetPort: dns}]}`, []string{"web UDP 5353 | none"}},
		"no such name":           {`{selector: {app: db}, ports: [{port: 80, targetPort: dns}]}`, []string{"db none"}},
		"a name of digits":       {`{selector: {app: db}, ports: [{port: 80, targetPort: "81"}]}`, []string{"db TCP 81"}},
		"SCTP":                   {`{selector: {app: db}, ports: [{port: 80, protocol: SCTP}]}`, []string{"db SCTP 80"}},
		"nobody":                 {`{selector: {app: other}, ports: [{port: 80}]}`, nil},
		"one pod of a set":       {`{selector: {app: db, statefulset.kubernetes.io/pod-name: db-0}, ports: [{port: 80}]}`, []string{"db TCP 80"}},
		"one pod of no set":      {`{selector: {app: web, statefulset.kubernetes.io/pod-name: db-0}, ports: [{port: 80}]}`, nil},
		"index":                  {`{selector: {app: db, apps.kubernetes.io/pod-index: "0"}, ports: [{port: 80}]}`, []string{"db TCP 80"}},
		"label of a controller":  {`{selector: {app: web, pod-template-hash: abc}, ports: [{port: 80}]}`, []string{"web TCP 80 ? the label pod-template-hash is put on the pods by their controller"}},
		"label of another":       {`{selector: {app: db, pod-template-hash: abc}, ports: [{port: 80}]}`, nil},
		"revision":               {`{selector: {app: db, controller-revision-hash: abc}, ports: [{port: 80}]}`, []string{"db TCP 80 ? the label controller-revision-hash is put on the pods by their controller"}},
		"no selector":            {`{ports: [{port: 80}]}`, []string{"? Service shop/s has no selector, and no EndpointSlice of it is among what was read"}},
		"a name for elsewhere":   {`{type: ExternalName, externalName: db.example.com}`, []string{"? Service shop/s stands for the name db.example.com: where that leads is not known"}},
		"everyone":               {`{selector: {app: db}, ports: [{port: 80, targetPort: 90}, {port: 81, targetPort: http}]}`, []string{"db TCP 90 | TCP 9090"}},
		"a protocol that is not": {`{selector: {app: db}, ports: [{port: 80, protocol: ICMP}]}`, []string{"db none"}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := load(t, shopPods+service(test.spec))
			g := NewGraph(snap, Options{})
			var got []string
			for _, b := range g.Backends(snap.Services[0]) {
				text := ""
				if b.Workload != nil {
					if b.Endpoint != g.Of(b.Workload) {
						t.Error("not the workload's endpoint")
					}
					var sets []string
					for _, p := range b.Ports {
						sets = append(sets, p.String())
					}
					text = b.Workload.Name + " " + strings.Join(sets, " | ")
				}
				if b.Unknown != "" {
					text += " ? " + b.Unknown
				}
				got = append(got, strings.TrimSpace(text))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An operator may give the pods of its objects labels that nobody sees.
func TestBackendsOfOperators(t *testing.T) {
	snap := load(t, shopPods+service(`{selector: {app: web, operated: "yes"}, ports: [{port: 80}]}`))
	w := snap.Workloads[0]
	w.Partial = "containers"
	g := NewGraph(snap, Options{})
	if b := g.Backends(snap.Services[0]); len(b) != 1 || b[0].Workload != w || b[0].Unknown == "" {
		t.Errorf("%+v", b)
	}
	w.PodLabels["operated"] = "no"
	if b := NewGraph(snap, Options{}).Backends(snap.Services[0]); len(b) != 0 {
		t.Errorf("another value: %+v", b)
	}
}

// proxyPods are an ingress controller with a load balancer.
const proxyPods = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nginx, namespace: edge}
spec: {template: {metadata: {labels: {app: nginx, istio: ingressgateway}}, spec: {containers: [{name: c, image: "registry.k8s.io/ingress-nginx/controller:v1@sha256:1"}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: nginx, namespace: edge}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: nginx}, ports: [{port: 443}]}}`

func ingress(class string) string {
	return "\n---\n{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop}, spec: {" + class + "rules: [{http: {paths: [{backend: {service: {name: s, port: {name: web}}}}]}}]}}"
}

const clusterIP = `{selector: {app: web}, ports: [{name: web, port: 80, targetPort: http}, {name: other, port: 81, targetPort: 1}]}`

// TestAdmit: each way to shop/web, with what policies let in, by whom.
func TestAdmit(t *testing.T) {
	policy := func(spec string) string {
		return "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: " + spec
	}
	deny := policy(`{podSelector: {}}`)
	from := func(block string) string {
		return policy(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: ` + block + `}}]}]}`)
	}
	fromEdge := policy(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}}]}]}`)
	gateway := func(spec string) string {
		return "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw, namespace: edge}, spec: " + spec + "}"
	}
	route := func(kind, spec string) string {
		return "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: " + kind + ", metadata: {name: r, namespace: shop}, spec: " + spec + "}"
	}
	const all = `{gatewayClassName: nginx, listeners: [{name: l, port: 443, protocol: HTTPS, allowedRoutes: {namespaces: {from: All}}}]}`
	const toWeb = `{parentRefs: [{name: gw, namespace: edge}], rules: [{backendRefs: [{name: s, port: 80}]}]}`
	const selected = `{gatewayClassName: nginx, listeners: [{name: l, port: 443, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: front}}}}}]}`
	const hosted = `{gatewayClassName: nginx, listeners: [{name: l, port: 443, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}]}`
	hosts := func(host string) string {
		return strings.Replace(toWeb, "{parentRefs", "{hostnames: [other.example.org, "+host+"], parentRefs", 1)
	}
	team := func(name string) string {
		return "\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: " + name + "}}}"
	}
	nginx := "LoadBalancer nginx ALL TCP 443"
	for name, test := range map[string]struct {
		docs string
		want []string
	}{
		"cluster only":        {service(clusterIP), nil},
		"node port":           {service(`{type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080, targetPort: http}]}`), []string{"NodePort web ALL TCP 8080"}},
		"denied":              {service(`{type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080, targetPort: http}]}`) + deny, nil},
		"an address, by node": {service(`{type: NodePort, selector: {app: web}, ports: [{port: 80}]}`) + from("203.0.113.0/24"), []string{"NodePort web ? ALL TCP 80: " + otherAddress}},
		"an address, local": {service(`{type: NodePort, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]}`) + from("203.0.113.0/24"),
			[]string{"NodePort web 203.0.113.0/24 TCP 80"}},
		"every IPv4 address": {service(`{type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]}`) + from("0.0.0.0/0"),
			[]string{"LoadBalancer web 0.0.0.0/0 TCP 80"}},
		"private addresses, by balancer": {service(`{type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]}`) + from("10.0.0.0/8"),
			[]string{"LoadBalancer web ? ALL TCP 80: " + otherAddress}},
		"source ranges": {service(`{type: LoadBalancer, allocateLoadBalancerNodePorts: false, loadBalancerSourceRanges: [198.51.100.0/24], selector: {app: web}, ports: [{port: 80}]}`),
			[]string{"LoadBalancer web 198.51.100.0/24 TCP 80"}},
		"source ranges and node ports": {service(`{type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24], selector: {app: web}, ports: [{port: 80}]}`),
			[]string{"LoadBalancer web 198.51.100.0/24 TCP 80", "NodePort web ALL TCP 80"}},
		"external addresses":       {service(`{externalIPs: [192.0.2.1], selector: {app: db}, ports: [{port: 80}]}`), []string{"externalIPs db ALL TCP 80"}},
		"no selector":              {service(`{type: NodePort, ports: [{port: 80}]}`), []string{"NodePort - ? ALL all: Service shop/s has no selector, and no EndpointSlice of it is among what was read"}},
		"ingress":                  {proxyPods + service(clusterIP) + ingress(""), []string{"Ingress web ALL TCP 8080", nginx}},
		"ingress of a class":       {proxyPods + service(clusterIP) + ingress("ingressClassName: nginx, "), []string{"Ingress web ALL TCP 8080", nginx}},
		"ingress, denied":          {proxyPods + service(clusterIP) + ingress("") + deny, []string{nginx}},
		"ingress, let in":          {proxyPods + service(clusterIP) + ingress("") + fromEdge, []string{"Ingress web ALL TCP 8080", nginx}},
		"ingress of another":       {proxyPods + service(clusterIP) + ingress("ingressClassName: alb, ") + fromEdge, []string{"Ingress web ? ALL TCP 8080: " + otherProxy, nginx}},
		"ingress of another, open": {proxyPods + service(clusterIP) + ingress("ingressClassName: alb, "), []string{"Ingress web ALL TCP 8080", nginx}},
		"ingress, nobody there":    {service(clusterIP) + ingress("") + fromEdge, []string{"Ingress web ? ALL TCP 8080: " + otherProxy}},
		"proxy without a way": {strings.Split(proxyPods, "\n---\n{apiVersion: v1")[0] + service(clusterIP) + ingress(""),
			[]string{"Ingress web ? ALL TCP 8080: nothing that was read opens the pods of Deployment edge/nginx to the outside"}},
		"proxy that is closed":   {proxyPods + service(clusterIP) + ingress("") + strings.Replace(deny, "shop", "edge", 1), nil},
		"proxy with few clients": {strings.Replace(proxyPods, "type: LoadBalancer", "type: LoadBalancer, allocateLoadBalancerNodePorts: false, loadBalancerSourceRanges: [198.51.100.0/24]", 1) + service(clusterIP) + ingress(""), []string{"Ingress web 198.51.100.0/24 TCP 8080", "LoadBalancer nginx 198.51.100.0/24 TCP 443"}},
		"ingress to nowhere":     {ingress(""), []string{"Ingress - ? ALL all: Service shop/s is not among what was read"}},
		"HTTPRoute":              {proxyPods + service(clusterIP) + gateway(all) + route("HTTPRoute", toWeb), []string{"HTTPRoute web ALL TCP 8080", nginx}},
		"UDPRoute":               {proxyPods + service(clusterIP) + gateway(all) + route("UDPRoute", toWeb), []string{"UDPRoute web ALL TCP 8080", nginx}},
		"route not taken":        {proxyPods + service(clusterIP) + gateway(`{gatewayClassName: nginx, listeners: [{name: l, port: 443}]}`) + route("HTTPRoute", toWeb), []string{nginx}},
		"route perhaps taken": {proxyPods + service(clusterIP) + gateway(`{gatewayClassName: nginx, listeners: [{name: l, port: 443, allowedRoutes: {namespaces: {from: Selector}}}]}`) + route("TLSRoute", toWeb),
			[]string{"TLSRoute web ? ALL TCP 8080: whether Gateway edge/gw takes routes of namespace shop hangs on the namespace's labels", nginx}},
		"route of a namespace that is selected": {proxyPods + service(clusterIP) + gateway(selected) + team("front") + route("HTTPRoute", toWeb), []string{"HTTPRoute web ALL TCP 8080", nginx}},
		"route of one that is not":              {proxyPods + service(clusterIP) + gateway(selected) + team("back") + route("HTTPRoute", toWeb), []string{nginx}},
		"route of one that is written twice": {proxyPods + service(clusterIP) + gateway(selected) + team("front") + team("back") + route("HTTPRoute", toWeb),
			[]string{"HTTPRoute web ? ALL TCP 8080: whether Gateway edge/gw takes routes of namespace shop hangs on the namespace's labels", nginx}},
		"route of one that was not read": {proxyPods + service(clusterIP) + gateway(selected) + route("HTTPRoute", toWeb),
			[]string{"HTTPRoute web ? ALL TCP 8080: whether Gateway edge/gw takes routes of namespace shop hangs on the namespace's labels", nginx}},
		"route of one selected by name":     {proxyPods + service(clusterIP) + gateway(strings.Replace(selected, "team: front", "kubernetes.io/metadata.name: shop", 1)) + route("HTTPRoute", toWeb), []string{"HTTPRoute web ALL TCP 8080", nginx}},
		"route of one not selected by name": {proxyPods + service(clusterIP) + gateway(strings.Replace(selected, "team: front", "kubernetes.io/metadata.name: edge", 1)) + route("HTTPRoute", toWeb), []string{nginx}},
		"host of the listener":              {proxyPods + service(clusterIP) + gateway(hosted) + route("HTTPRoute", hosts("web.example.com")), []string{"HTTPRoute web ALL TCP 8080", nginx}},
		"host of no listener":               {proxyPods + service(clusterIP) + gateway(hosted) + route("HTTPRoute", hosts("example.com")), []string{nginx}},
		"any host":                          {proxyPods + service(clusterIP) + gateway(hosted) + route("HTTPRoute", toWeb), []string{"HTTPRoute web ALL TCP 8080", nginx}},
		"route to another section":          {proxyPods + service(clusterIP) + gateway(all) + route("HTTPRoute", `{parentRefs: [{name: gw, namespace: edge, sectionName: other}], rules: [{backendRefs: [{name: s}]}]}`), []string{nginx}},
		"route into another namespace": {proxyPods + service(clusterIP) + "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: r, namespace: edge}, spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: s, namespace: shop, port: 80}]}]}}",
			[]string{"TCPRoute web ? ALL TCP 8080: no ReferenceGrant that was read lets TCPRoute edge/r send to namespace shop", nginx}},
		"route of the mesh": {service(clusterIP) + route("HTTPRoute", `{parentRefs: [{kind: Service, name: s}], rules: [{backendRefs: [{name: s}]}]}`), nil},
		"route to another kind": {route("HTTPRoute", `{parentRefs: [{name: gw}], rules: [{backendRefs: [{kind: InferencePool, name: p}]}]}`),
			[]string{"HTTPRoute - ? ALL all: it sends to InferencePool shop/p, which is not read"}},
		"VirtualService": {proxyPods + service(clusterIP) + "\n---\n{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: gw, namespace: edge}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443}}]}}" +
			"\n---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: shop}, spec: {gateways: [edge/gw, mesh], http: [{route: [{destination: {host: s.shop.svc.cluster.local, port: {number: 80}}}]}]}}",
			[]string{"VirtualService web ALL TCP 8080", nginx}},
		"delegated": {service(clusterIP) + "\n---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: edge}, spec: {gateways: [gw], http: [{delegate: {name: d, namespace: shop}}]}}" +
			"\n---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: d, namespace: shop}, spec: {http: [{route: [{destination: {host: s}}]}]}}",
			[]string{"VirtualService web ALL TCP 1,8080"}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := load(t, shopPods+test.docs)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, admissions(NewGraph(snap, Options{}), snap)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// admissions are all ways in with what is let in, sorted.
func admissions(g *Graph, snap *evidence.Snapshot) (list []string) {
	for _, w := range g.Ways(snap) {
		name := "-"
		if w.Workload != nil {
			name = w.Workload.Name
		}
		for _, a := range g.Admit(w) {
			var from []string
			for _, e := range a.From {
				from = append(from, e.Addresses.Intersect(w.From).String())
			}
			who := strings.ReplaceAll(strings.Join(from, ", "), "0.0.0.0/0, ::/0", "ALL")
			if len(a.From) > 1 {
				who = "ALL" // the tests cut addresses in two parts at most
			}
			if !a.Ports.Empty() {
				list = append(list, fmt.Sprintf("%s %s %s %s", w.How, name, who, a.Ports))
			}
			if !a.Unknown.Empty() {
				list = append(list, fmt.Sprintf("%s %s ? %s %s: %s", w.How, name, who, a.Unknown, a.Reason))
			}
		}
	}
	slices.Sort(list)
	return list
}

func TestHostsOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a.example.com", "a.example.com", true},
		{"a.example.com", "A.example.com", true},
		{"a.example.com", "b.example.com", false},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "*.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "badexample.com", false},
		{"*.example.com", "*.example.org", false},
	} {
		if hostsOverlap(test.a, test.b) != test.want || hostsOverlap(test.b, test.a) != test.want {
			t.Errorf("%s and %s: want %t", test.a, test.b, test.want)
		}
	}
}
