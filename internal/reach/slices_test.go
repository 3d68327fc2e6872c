package reach

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

// slice is an EndpointSlice of the Service shop/s.
func slice(body string) string {
	return "\n---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, namespace: shop, labels: {kubernetes.io/service-name: s}}, addressType: IPv4, " + body + "}"
}

const (
	bySlice = "\n---\n{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]}}"
	barePod = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 10.0.0.7}]}}"
)

// What a Service without a selector leads to stands in its EndpointSlices.
func TestBackendsByHand(t *testing.T) {
	const onPort = "ports: [{name: a, port: 8080}], "
	to := func(address, ref string) string {
		return slice(onPort + "endpoints: [{addresses: [" + address + "]" + ref + "}]")
	}
	known := Options{Pods: cidr.Of(netip.MustParsePrefix("10.244.0.0/16"))}
	nodes := Options{Pods: known.Pods, Nodes: cidr.Of(netip.MustParsePrefix("10.0.0.0/24"))}
	for name, test := range map[string]struct {
		docs string
		o    Options
		want []string
	}{
		"pod of a set":                {to("10.244.0.9", ", targetRef: {kind: Pod, name: db-2}"), known, []string{"StatefulSet db TCP 8080 | none"}},
		"pod of no set":               {to("10.244.0.9", ", targetRef: {kind: Pod, name: db-02}"), known, []string{"? 10.244.0.9 is the address of Pod shop/db-02, which is not among what was read"}},
		"pod of another":              {to("10.244.0.9", ", targetRef: {kind: Pod, name: web-2}"), known, []string{"? 10.244.0.9 is the address of Pod shop/web-2, which is not among what was read"}},
		"pod elsewhere":               {to("10.244.0.9", ", targetRef: {kind: Pod, name: db-2, namespace: other}"), known, []string{"? 10.244.0.9 is the address of Pod other/db-2, which is not among what was read"}},
		"address of no pod":           {to("203.0.113.9", ", targetRef: {kind: Pod, name: db-2}"), known, []string{"? Pod shop/db-2 cannot have the address 203.0.113.9, which EndpointSlice shop/s-1 gives it"}},
		"some pod":                    {to("10.244.0.9", ""), known, []string{"? 10.244.0.9 is the address of a pod, and of which is not known"}},
		"perhaps a pod":               {to("10.1.0.9", ""), Options{}, []string{"? 10.1.0.9 may be the address of a pod: which addresses pods have is not known"}},
		"a node":                      {to("10.0.0.7", "") + barePod, known, []string{"n1 TCP 8080 | none"}},
		"some node":                   {to("10.0.0.8", ""), nodes, []string{"nodes TCP 8080 | none"}},
		"some other node":             {to("10.0.0.8", "") + barePod, nodes, []string{"? 10.0.0.8 is the address of a node, and of which is not known"}},
		"outside":                     {to("203.0.113.9, 203.0.113.8", ""), Options{}, []string{"203.0.113.8/31 TCP 8080 | none"}},
		"outside, private":            {to("10.1.0.9", ""), known, []string{"10.1.0.9 TCP 8080 | none"}},
		"metadata":                    {to("100.100.100.200", ""), Options{}, []string{"100.100.100.200 TCP 8080 | none"}},
		"no address":                  {to("nowhere", ""), known, []string{`? the address "nowhere" of EndpointSlice shop/s-1 cannot be read`}},
		"a name":                      {strings.Replace(to("db.example.com", ""), "IPv4", "FQDN", 1), known, []string{"? EndpointSlice shop/s-1 has names in place of addresses: where these lead is not known"}},
		"other names of ports":        {slice("ports: [{name: b, port: 1}, {port: 2}, {name: a, port: 3, protocol: UDP}], endpoints: [{addresses: [203.0.113.9]}]"), known, []string{"203.0.113.9 none | TCP 1"}},
		"any port":                    {slice("ports: [{name: a}], endpoints: [{addresses: [203.0.113.9]}]"), known, []string{"203.0.113.9 TCP | none ? EndpointSlice shop/s-1 does not say which port it is about"}},
		"two slices":                  {to("203.0.113.9", "") + strings.Replace(to("10.244.0.9", ", targetRef: {kind: Pod, name: db-0}"), "s-1", "s-2", 1), known, []string{"203.0.113.9 TCP 8080 | none", "StatefulSet db TCP 8080 | none"}},
		"slice of another":            {strings.Replace(to("203.0.113.9", ""), "service-name: s", "service-name: other", 1), known, []string{"? Service shop/s has no selector, and no EndpointSlice of it is among what was read"}},
		"nobody":                      {slice(onPort + "endpoints: []"), known, nil},
		"of the selector":             {strings.Replace(bySlice, "ports:", "selector: {app: web}, ports:", 1) + strings.Replace(to("10.244.0.9", ""), "labels: {", "labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io, ", 1), known, []string{"Deployment web TCP 80 | TCP 81"}},
		"besides those of a selector": {strings.Replace(bySlice, "ports:", "selector: {app: web}, ports:", 1) + to("203.0.113.9", ""), known, []string{"Deployment web TCP 80 | TCP 81", "203.0.113.9 TCP 8080 | none"}},
	} {
		t.Run(name, func(t *testing.T) {
			docs := shopPods + test.docs
			if !strings.Contains(docs, "kind: Service,") {
				docs += bySlice
			}
			snap := load(t, docs)
			if diff := cmp.Diff(test.want, backendTexts(NewGraph(snap, test.o), snap)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func backendTexts(g *Graph, snap *evidence.Snapshot) (list []string) {
	for _, b := range g.Backends(snap.Services[0]) {
		text := ""
		switch {
		case b.Workload != nil:
			text = b.Workload.Kind + " " + b.Workload.Name
		case b.Endpoint != nil && b.Endpoint.Name != "":
			text = b.Endpoint.Name
		case b.Endpoint != nil:
			text = b.Endpoint.Addresses.String()
		}
		var sets []string
		for _, p := range b.Ports {
			sets = append(sets, p.String())
		}
		if b.Endpoint != nil {
			text += " " + strings.Join(sets, " | ")
		}
		if b.Unknown != "" {
			text += " ? " + b.Unknown
		}
		list = append(list, strings.TrimSpace(text))
	}
	return list
}

// A live cluster shows all slices that no selector made, or says why it does not.
func TestBackendsOfCluster(t *testing.T) {
	snap := load(t, shopPods+bySlice)
	snap.Cluster = &evidence.Cluster{}
	if b := NewGraph(snap, Options{}).Backends(snap.Services[0]); len(b) != 0 {
		t.Errorf("without slices: %+v", b)
	}
	snap = load(t, shopPods+bySlice+slice("ports: [{name: a, port: 1}], endpoints: [{addresses: [203.0.113.9]}]"))
	snap.Gaps = []evidence.Gap{{Fact: evidence.Endpoints, Reason: "may not list them"}, {Fact: evidence.Endpoints, Scope: "other", Reason: "not here"}}
	want := []string{"203.0.113.9 TCP 1 | none", "? where Service shop/s leads is not known: may not list them"}
	if diff := cmp.Diff(want, backendTexts(NewGraph(snap, Options{}), snap)); diff != "" {
		t.Error(diff)
	}
}

// The Service kubernetes leads to the API server.
func TestBackendsOfAPIServer(t *testing.T) {
	inDefault := strings.NewReplacer("name: s,", "name: kubernetes,", "service-name: s}", "service-name: kubernetes}", "namespace: shop", "namespace: default")
	snap := load(t, shopPods+inDefault.Replace(bySlice+slice("ports: [{name: a, port: 6443}], endpoints: [{addresses: [10.0.0.7]}]"))+barePod)
	if diff := cmp.Diff([]string{"API server TCP 6443 | none"}, backendTexts(NewGraph(snap, Options{}), snap)); diff != "" {
		t.Error(diff)
	}
}

// Ways in lead where slices say; what lies outside is no way in.
func TestWaysByHand(t *testing.T) {
	for name, test := range map[string]struct {
		endpoint string
		want     []string
	}{
		"pod":     {"addresses: [10.244.0.9], targetRef: {kind: Pod, name: db-0}", []string{"NodePort db ALL TCP 8080"}},
		"node":    {"addresses: [10.0.0.7]", []string{"NodePort - ALL TCP 8080"}},
		"outside": {"addresses: [203.0.113.9]", nil},
		"unknown": {"addresses: [10.244.0.9]", []string{"NodePort - ? ALL all: 10.244.0.9 is the address of a pod, and of which is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := load(t, shopPods+bySlice+slice("ports: [{name: a, port: 8080}], endpoints: [{"+test.endpoint+"}]")+barePod)
			g := NewGraph(snap, Options{Pods: cidr.Of(netip.MustParsePrefix("10.244.0.0/16"))})
			if diff := cmp.Diff(test.want, admissions(g, snap)); diff != "" {
				t.Error(diff)
			}
		})
	}
	snap := load(t, shopPods+bySlice+slice("ports: [{name: a, port: 8080}], endpoints: [{addresses: [10.244.0.9], targetRef: {kind: Pod, name: db-0}}]"))
	x := NewExposures(snap)
	if diff := cmp.Diff([]string{"Service shop/s (NodePort)"}, x.Exposed(snap.Workloads[1])); diff != "" {
		t.Error(diff)
	}
	if got := x.Exposed(snap.Workloads[0]); got != nil {
		t.Errorf("another workload: %v", got)
	}
}
