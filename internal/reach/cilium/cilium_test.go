package cilium_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cilium"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// An end is one endpoint of the small world that the tests ask about.
type end struct {
	name                      string
	kind                      netpol.Kind
	namespace, serviceAccount string
	labels, namespaceLabels   map[string]string
	address                   string
}

// What cilium-config says of selectors that name no cluster: they mean the own one, or any.
const (
	localOnly = `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {policy-default-local-cluster: "true"}`
	anyCluster = `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {policy-default-local-cluster: "false"}`
)

var world = []end{
	{name: "web", kind: netpol.OfPod, namespace: "shop", serviceAccount: "default", labels: map[string]string{"app": "web"}, namespaceLabels: map[string]string{"team": "a"}, address: "10.0.0.1"},
	{name: "db", kind: netpol.OfPod, namespace: "shop", serviceAccount: "db", labels: map[string]string{"app": "db"}, namespaceLabels: map[string]string{"team": "a"}, address: "10.0.0.2"},
	{name: "job", kind: netpol.OfPod, namespace: "batch", serviceAccount: "default", labels: map[string]string{"app": "job"}, namespaceLabels: map[string]string{"team": "b"}, address: "10.0.0.3"},
	{name: "node", kind: netpol.OfHost, labels: map[string]string{"disk": "ssd"}, address: "192.168.0.1"},
	{name: "api", kind: netpol.OfAPIServer, address: "192.168.0.2"},
	{name: "v4", kind: netpol.OfWorld, address: "203.0.113.5"},
	{name: "v6", kind: netpol.OfWorld, address: "2001:db8::5"},
}

// A truth is no, unknown or yes.
type truth int

const (
	no truth = iota
	unknown
	yes
)

func of(b bool) truth {
	if b {
		return yes
	}
	return no
}

func means(t *testing.T, x netpol.Expr, e end) truth {
	t.Helper()
	switch x := x.(type) {
	case netpol.Every:
		all := yes
		for _, part := range x {
			all = min(all, means(t, part, e))
		}
		return all
	case netpol.Some:
		some := no
		for _, part := range x {
			some = max(some, means(t, part, e))
		}
		return some
	case netpol.Not:
		return yes - means(t, x.Of, e)
	case netpol.Is:
		return of(e.kind == x.Kind)
	case netpol.Unknown:
		if x.Why == "" {
			t.Error("an Unknown without a reason")
		}
		return min(unknown, means(t, x.Within, e))
	case netpol.Address:
		return of(x.In.Contains(netip.MustParseAddr(e.address)))
	case netpol.Named:
		return of(e.kind == netpol.OfPod && (x.Of == netpol.Namespace && x.Name == e.namespace || x.Of == netpol.ServiceAccount && x.Name == e.serviceAccount))
	case netpol.Label:
		labels := e.labels
		if x.Of == netpol.Namespace {
			labels = e.namespaceLabels
		}
		if (x.Of == netpol.Node) != (e.kind == netpol.OfHost) {
			labels = nil
		}
		value, ok := labels[x.Key]
		switch x.Op {
		case netpol.In:
			return of(ok && slices.Contains(x.Values, value))
		case netpol.NotIn:
			return of(!ok || !slices.Contains(x.Values, value))
		case netpol.Exists:
			return of(ok)
		case netpol.Absent:
			return of(!ok)
		}
	}
	t.Fatalf("%T is not expected of this reader", x)
	return no
}

// whom lists the endpoints that an expression means, those that it may mean with "?".
func whom(t *testing.T, x netpol.Expr) string {
	var names []string
	for _, e := range world {
		switch means(t, x, e) {
		case yes:
			names = append(names, e.name)
		case unknown:
			names = append(names, e.name+"?")
		}
	}
	if len(names) == len(world) && !strings.Contains(fmt.Sprint(names), "?") {
		return "everyone"
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, " ")
}

// text is what a policy says, one line for its subject, each direction and each rule.
func text(t *testing.T, policies []*netpol.Policy) string {
	var b strings.Builder
	for _, p := range policies {
		fmt.Fprintf(&b, "about %s\n", whom(t, p.Subject))
		for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
			rules := p.Side(d)
			if rules == nil {
				continue
			}
			b.WriteString(d.String())
			if rules.Isolates {
				b.WriteString(" isolates")
			}
			if rules.Unknown != "" {
				b.WriteString(" unknown: " + rules.Unknown)
			}
			b.WriteString("\n")
			for _, r := range rules.List {
				fmt.Fprintf(&b, "  %s %s: %s", r.Action, whom(t, r.Peers), r.Ports.Set)
				for _, n := range r.Ports.Named {
					fmt.Fprintf(&b, " %s %s", n.Protocol, n.Name)
				}
				if r.Limits != "" {
					b.WriteString(" only " + r.Limits)
				}
				if r.Unknown != "" {
					b.WriteString(" unknown: " + r.Unknown)
				}
				fmt.Fprintf(&b, " (%s)\n", r.Path)
			}
		}
	}
	return b.String()
}

// snapshotOf makes a snapshot of custom objects, Services and ConfigMaps in YAML.
func snapshotOf(t testing.TB, documents string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	for doc := range strings.SplitSeq(documents, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var o struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		ref := &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Labels: o.Labels}
		var object any = &evidence.Custom{Ref: ref, JSON: raw}
		switch o.Kind {
		case "Service":
			object = new(corev1.Service)
		case "ConfigMap":
			object = new(corev1.ConfigMap)
		case "EndpointSlice":
			object = new(discoveryv1.EndpointSlice)
		}
		if _, custom := object.(*evidence.Custom); !custom {
			if err := yaml.Unmarshal([]byte(doc), object); err != nil {
				t.Fatal(err)
			}
		}
		snap.Add(ref, object)
	}
	return snap
}

// policyOf wraps a spec in a CiliumNetworkPolicy shop/p, or in one for the cluster.
func policyOf(kind, spec string) string {
	meta := "metadata: {name: p, namespace: shop}"
	if kind == "CiliumClusterwideNetworkPolicy" {
		meta = "metadata: {name: p}"
	}
	return "apiVersion: cilium.io/v2\nkind: " + kind + "\n" + meta + "\nspec:\n  " +
		strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"
}

const (
	inNamespace = "CiliumNetworkPolicy"
	inCluster   = "CiliumClusterwideNetworkPolicy"
)

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		spec   string
		beside string
		want   string
	}{
		"pods of the namespace": {inNamespace, `
endpointSelector: {matchLabels: {app: db}}
ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: "5432", protocol: TCP}]}]}]`, "", `
about db
ingress isolates
  allow web: TCP 5432 (spec.ingress[0].toPorts[0])
`},
		"every pod of the namespace, and no rule": {inNamespace, `
endpointSelector: {}
ingress: [{}]
egress: [{}]`, "", `
about web db
ingress isolates
egress isolates
`},
		"an empty selector means the namespace": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{}]}]`, "", `
about web db
ingress isolates
  allow web db: all (spec.ingress[0])
`},
		"an empty list means nobody, whatever the ports": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: "80"}]}]}]`, "", `
about web db
ingress isolates
`},
		"ports without peers mean everyone": {inNamespace, `
endpointSelector: {}
egress: [{toPorts: [{ports: [{port: "80"}]}]}]`, "", `
about web db
egress isolates
  allow everyone: TCP 80, UDP 80, SCTP 80 (spec.egress[0].toPorts[0])
`},
		"an entry without ports matches nothing": {inNamespace, `
endpointSelector: {}
egress: [{toEntities: [all], toPorts: [{}]}]`, "", `
about web db
egress isolates
`},
		"empty lists of other sorts have no effect": {inNamespace, `
endpointSelector: {}
egress: [{toServices: [], toFQDNs: [], toGroups: [], toPorts: [], toEntities: [all]}]`, "", `
about web db
egress isolates
  allow everyone: all (spec.egress[0])
`},
		"another namespace by name": {inNamespace, `
endpointSelector: {matchLabels: {"k8s:app": db}}
ingress:
- fromEndpoints:
  - matchLabels: {"k8s:io.kubernetes.pod.namespace": batch}
  - matchLabels: {io.kubernetes.pod.namespace: batch, app: nothing}
  - matchExpressions: [{key: "any:io.kubernetes.pod.namespace", operator: NotIn, values: [shop, batch]}]`, localOnly, `
about db
ingress isolates
  allow job: all (spec.ingress[0])
`},
		"types of ICMP that are allowed and denied": {inNamespace, `
endpointSelector: {}
ingress:
- {fromEndpoints: [{}], icmps: [{fields: [{type: 8}]}]}
- {fromEndpoints: [{}], icmps: [{fields: [{type: EchoReply}, {type: 8, family: IPv6}]}]}
ingressDeny:
- {fromEndpoints: [{matchLabels: {app: web}}], icmps: [{fields: [{type: EchoRequest}]}]}
egress: [{icmps: [{fields: [{type: 8}]}]}]`, "", `
about web db
ingress isolates
  allow web? db: ICMP only ICMP of type 8 (spec.ingress[0].icmps[0])
  allow web db: ICMP only ICMP of type EchoReply (spec.ingress[1].icmps[0])
  allow web db: ICMPv6 only ICMPv6 of type 8 (spec.ingress[1].icmps[0])
egress isolates
  allow everyone: ICMP only ICMP of type 8 (spec.egress[0].icmps[0])
`},
		"a selector without a namespace": {inNamespace, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [batch]}]}]
- fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: DoesNotExist}]}]
- fromEndpoints: [{matchLabels: {app: web}, matchExpressions: [{key: io.kubernetes.pod.namespace, operator: DoesNotExist}]}]
- fromEndpoints: [{matchExpressions: [{key: app, operator: NotIn, values: [web]}, {key: io.kubernetes.pod.namespace, operator: NotIn, values: [batch]}]}]`, anyCluster, `
about web db
ingress isolates
  allow web db node? api? v4 v6: all (spec.ingress[0])
  allow node? api? v4 v6: all (spec.ingress[1])
  allow node?: all (spec.ingress[2])
  allow db node? api? v4 v6: all (spec.ingress[3])
`},
		"a selector without a namespace, of the own cluster": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [batch]}]}]}]`, localOnly, `
about web db
ingress isolates
  allow web db: all (spec.ingress[0])
`},
		"a selector without a namespace, of nobody knows which cluster": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [batch]}]}]}]
ingressDeny: [{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: DoesNotExist}]}]}]`, "", `
about web db
ingress isolates
  deny node? api? v4? v6?: all (spec.ingressDeny[0])
  allow web db node? api? v4? v6?: all (spec.ingress[0])
`},
		"a selector without a namespace, for the whole cluster": {inCluster, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: NotIn, values: [batch]}]}]
- fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: NotIn, values: [b]}]}]`, anyCluster, `
about web db job
ingress isolates
  allow web db node? api? v4 v6: all (spec.ingress[0])
  allow web db: all (spec.ingress[1])
`},
		"all namespaces": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: Exists}]}]}]`, "", `
about web db
ingress isolates
  allow web db job: all (spec.ingress[0])
`},
		"namespaces by label": {inNamespace, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": b}}]
- fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: NotIn, values: [b]}]}]`, localOnly, `
about web db
ingress isolates
  allow job: all (spec.ingress[0])
  allow web db: all (spec.ingress[1])
`},
		"service accounts": {inCluster, `
endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: db}}
ingress: [{fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.policy.serviceaccount": default}}]}]`, "", `
about db
ingress isolates
  allow web job: all (spec.ingress[0])
`},
		"the cluster's name": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: one}}]}]`, "", `
about web db
ingress isolates
  allow web? db?: all (spec.ingress[0])
`},
		"the cluster's name, known": {inNamespace, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: one}}]
- fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: two}}]`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {cluster-name: one}`, `
about web db
ingress isolates
  allow web db: all (spec.ingress[0])
  allow nobody: all (spec.ingress[1])
`},
		"the subject's namespace cannot be another": {inNamespace, `
endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": batch}}
ingress: [{}]`, "", `
about web db
ingress isolates
`},
		"the subject's namespace in an expression": {inNamespace, `
endpointSelector: {matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: In, values: [batch]}]}
ingress: [{}]`, "", `
about nobody
ingress isolates
`},
		"the whole cluster": {inCluster, `
endpointSelector: {}
ingress: [{fromEndpoints: [{}]}]`, "", `
about web db job
ingress isolates
  allow web db job: all (spec.ingress[0])
`},
		"labels that Cilium leaves out": {inNamespace, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchLabels: {pod-template-hash: x}}, {matchLabels: {app.kubernetes.io/name: x}}]
- fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.name: x}}]
- fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.policy.name, operator: DoesNotExist}]}]`, "", `
about web db
ingress isolates
  allow web? db?: all (spec.ingress[0])
  allow nobody: all (spec.ingress[1])
  allow web db: all (spec.ingress[2])
`},
		"reserved labels": {inNamespace, `
endpointSelector: {}
ingress:
- fromEndpoints: [{matchLabels: {"reserved:host": ""}}]
- fromEndpoints: [{matchLabels: {"reserved:kube-apiserver": ""}}]
- fromEndpoints: [{matchLabels: {"reserved:world": ""}}]
- fromEndpoints: [{matchLabels: {"reserved:host": "x"}}]
- fromEndpoints: [{matchExpressions: [{key: "reserved:kube-apiserver", operator: DoesNotExist}]}]
- fromEndpoints: [{matchLabels: {"reserved:health": ""}}]
- fromEndpoints: [{matchLabels: {"reserved:world-ipv6": ""}}]`, "", `
about web db
ingress isolates
  allow node? api?: all (spec.ingress[0])
  allow node? api: all (spec.ingress[1])
  allow api? v4? v6?: all (spec.ingress[2])
  allow nobody: all (spec.ingress[3])
  allow web db job node? v4 v6: all (spec.ingress[4])
  allow nobody: all (spec.ingress[5])
  allow v6?: all (spec.ingress[6])
`},
		"entities": {inNamespace, `
endpointSelector: {}
egress:
- toEntities: [all]
- toEntities: [world]
- toEntities: [cluster]
- toEntities: [host]
- toEntities: [host, remote-node]
- toEntities: [kube-apiserver]
- toEntities: [unmanaged]
- toEntities: [none, init, health, ingress]
- toEntities: []
- toEntities: [cluster-mesh]`, "", `
about web db
egress isolates
  allow everyone: all (spec.egress[0])
  allow api? v4 v6: all (spec.egress[1])
  allow web db job node api: all (spec.egress[2])
  allow node? api?: all (spec.egress[3])
  allow node api?: all (spec.egress[4])
  allow node? api: all (spec.egress[5])
  allow web? db? job?: all (spec.egress[6])
  allow nobody: all (spec.egress[7])
  allow web db job node api: all (spec.egress[9])
`},
		"blocks of addresses match neither pods nor nodes": {inNamespace, `
endpointSelector: {}
egress:
- toCIDR: [0.0.0.0/0]
- toCIDR: [203.0.113.5, "2001:db8::/32"]
- toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.4/30]}]
- toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.8/30]}]
- toCIDRSet: []
  toPorts: [{ports: [{port: "80"}]}]`, "", `
about web db
egress isolates
  allow api? v4: all (spec.egress[0])
  allow v4 v6: all (spec.egress[1])
  allow nobody: all (spec.egress[2])
  allow v4: all (spec.egress[3])
`},
		"blocks of addresses match nodes when told to": {inNamespace, `
endpointSelector: {}
egress: [{toCIDR: [0.0.0.0/0]}]`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {policy-cidr-match-mode: nodes}`, `
about web db
egress isolates
  allow node api v4: all (spec.egress[0])
`},
		"groups of addresses": {inNamespace, `
endpointSelector: {}
egress:
- toCIDRSet: [{cidrGroupRef: partners}]
- toCIDRSet: [{cidrGroupRef: partners, except: [203.0.113.5/32]}]
- toCIDRSet: [{cidrGroupRef: missing}]
- toCIDRSet: [{cidrGroupSelector: {matchLabels: {of: partners}}}]
- toCIDRSet: [{cidrGroupSelector: {matchExpressions: [{key: of, operator: DoesNotExist}]}}]
- toCIDRSet: [{cidrGroupSelector: {matchLabels: {of: nobody}}}]`, `
apiVersion: cilium.io/v2alpha1
kind: CiliumCIDRGroup
metadata: {name: partners, labels: {of: partners}}
spec: {externalCIDRs: [203.0.113.0/24, nonsense]}`, `
about web db
egress isolates
  allow v4: all (spec.egress[0])
  allow nobody: all (spec.egress[1])
  allow api? v4? v6?: all (spec.egress[2])
  allow v4: all (spec.egress[3])
  allow api? v6: all (spec.egress[4])
  allow api? v4? v6?: all (spec.egress[5])
`},
		"names": {inNamespace, `
endpointSelector: {}
egress:
- toFQDNs: [{matchName: api.example.com}, {matchPattern: "*.example.org"}]
  toPorts: [{ports: [{port: "443", protocol: TCP}]}]
- toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system}}]
  toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]`, "", `
about web db
egress isolates
  allow api? v4? v6?: TCP 443 only the DNS names api.example.com, *.example.org (spec.egress[0].toPorts[0])
  allow nobody: TCP 53, UDP 53, SCTP 53 only DNS questions for * (spec.egress[1].toPorts[0])
`},
		"services": {inNamespace, `
endpointSelector: {}
egress:
- toServices: [{k8sService: {serviceName: db, namespace: shop}}]
- toServices: [{k8sService: {serviceName: outside, namespace: shop}}]
- toServices: [{k8sService: {serviceName: missing, namespace: shop}}]
- toServices: [{k8sServiceSelector: {selector: {matchLabels: {tier: data}}, namespace: shop}}]
- toServices: [{k8sService: {serviceName: sliced, namespace: shop}}]`, `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop, labels: {tier: data}}
spec: {selector: {app: db}}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: ExternalName}
---
apiVersion: v1
kind: Service
metadata: {name: sliced, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sliced-1, namespace: shop, labels: {kubernetes.io/service-name: sliced}}
endpoints: [{addresses: [203.0.113.5, 10.0.0.1]}]`, `
about web db
egress isolates
  allow db: all (spec.egress[0])
  allow api? v4? v6?: all (spec.egress[1])
  allow web? db? job? node? api? v4? v6?: all (spec.egress[2])
  allow web? db job? node? api? v4? v6?: all (spec.egress[3])
  allow v4: all (spec.egress[4])
`},
		"more than ports in a rule that denies": {inNamespace, `
endpointSelector: {}
egressDeny: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: /a}]}}]}]`, "", `
about web db
egress isolates
  deny everyone: TCP 80 unknown: spec.egressDeny[0].toPorts[0]: Cilium takes only ports in a rule that denies (spec.egressDeny[0].toPorts[0])
`},
		"groups of a cloud": {inNamespace, `
endpointSelector: {}
egress: [{toGroups: [{aws: {securityGroupsIds: [sg-1]}}]}]`, "", `
about web db
egress isolates
  allow api? v4? v6?: all (spec.egress[0])
`},
		"deny isolates": {inNamespace, `
endpointSelector: {}
ingressDeny: [{fromEntities: [world], toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]
egressDeny: [{}]`, "", `
about web db
ingress isolates
  deny api? v4 v6: TCP 22 (spec.ingressDeny[0].toPorts[0])
egress isolates
`},
		"deny is read before allow": {inNamespace, `
endpointSelector: {}
ingress: [{fromEntities: [all]}]
ingressDeny: [{fromEntities: [world]}]`, "", `
about web db
ingress isolates
  deny api? v4 v6: all (spec.ingressDeny[0])
  allow everyone: all (spec.ingress[0])
`},
		"default deny switched off": {inNamespace, `
endpointSelector: {}
enableDefaultDeny: {egress: false}
ingress: [{fromEntities: [cluster]}]
egressDeny: [{toCIDR: [203.0.113.0/24]}]`, "", `
about web db
ingress isolates
  allow web db job node api: all (spec.ingress[0])
egress
  deny v4: all (spec.egressDeny[0])
`},
		"default deny needs a rule": {inNamespace, `
endpointSelector: {}
enableDefaultDeny: {egress: true, ingress: true}
ingress: [{}]`, "", `
about web db
ingress isolates
`},
		"ports": {inNamespace, `
endpointSelector: {}
ingress:
- toPorts:
  - ports: [{port: "80", endPort: 90, protocol: TCP}, {port: "53", endPort: 20, protocol: UDP}]
  - ports: [{port: "0", protocol: UDP}]
  - ports: [{port: Metrics, protocol: TCP}, {port: web}]
  - ports: [{port: "0x50", protocol: SCTP}]
  - ports: [{port: "010", protocol: TCP}]`, "", `
about web db
ingress isolates
  allow everyone: TCP 80-90, UDP 53 (spec.ingress[0].toPorts[0])
  allow everyone: UDP (spec.ingress[0].toPorts[1])
  allow everyone: none TCP metrics TCP web UDP web SCTP web (spec.ingress[0].toPorts[2])
  allow everyone: none SCTP 0x50 (spec.ingress[0].toPorts[3])
  allow everyone: TCP 8 (spec.ingress[0].toPorts[4])
`},
		"a range from a port by name": {inNamespace, `
endpointSelector: {}
ingress: [{toPorts: [{ports: [{port: web, endPort: 90, protocol: TCP}]}]}]
egress: [{toPorts: [{ports: [{port: web, endPort: 90, protocol: TCP}, {port: "0", endPort: 9, protocol: UDP}]}]}]`, "", `
about web db
ingress isolates
  allow everyone: TCP 1-90 TCP web unknown: at which port the range from "web" to 90 begins is not known (spec.ingress[0].toPorts[0])
egress isolates
  allow everyone: UDP TCP web (spec.egress[0].toPorts[0])
`},
		"protocols without ports": {inNamespace, `
endpointSelector: {}
ingress: [{toPorts: [{ports: [{port: "0", protocol: GRE}]}]}]`, "", `
about web db
ingress isolates
  allow everyone: other protocols unknown: protocol GRE is not told apart from others (spec.ingress[0].toPorts[0])
`},
		"icmp": {inNamespace, `
endpointSelector: {}
ingress: [{fromEntities: [cluster], icmps: [{fields: [{type: 8}, {type: EchoReply}, {family: IPv6, type: EchoRequest}]}]}]
ingressDeny: [{icmps: [{fields: [{type: 5}]}]}]`, "", `
about web db
ingress isolates
  allow web db job node api: ICMP only ICMP of type 8, EchoReply (spec.ingress[0].icmps[0])
  allow web db job node api: ICMPv6 only ICMPv6 of type EchoRequest (spec.ingress[0].icmps[0])
`},
		"requests": {inNamespace, `
endpointSelector: {}
ingress:
- toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: /public}, {host: a.example.com, headers: [X]}, {}]}}]
- toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [a.example.com], terminatingTLS: {secret: {name: s}}}]
- toPorts: [{ports: [{port: "9092", protocol: TCP}], rules: {kafka: [{role: produce}]}}]
- fromEntities: [cluster]
  authentication: {mode: required}
- fromEntities: [all]
  authentication: {mode: disabled}
egress:
- toPorts: [{ports: [{port: "80", protocol: TCP}], listener: {name: l, envoyConfig: {name: e}}}]`, "", `
about web db
ingress isolates
  allow everyone: TCP 80 only HTTP GET /public, at host a.example.com with certain headers, any request (spec.ingress[0].toPorts[0])
  allow everyone: TCP 443 only TLS with the server name a.example.com; TLS that a proxy terminates or originates (spec.ingress[1].toPorts[0])
  allow everyone: TCP 9092 only rules of Kafka or another protocol, which newer versions of Cilium do not know (spec.ingress[2].toPorts[0])
  allow web db job node api: all only with mutual authentication (spec.ingress[3])
  allow everyone: all (spec.ingress[4])
egress isolates
  allow everyone: TCP 80 only what an Envoy listener lets through (spec.egress[0].toPorts[0])
`},
		"nodes, when it is not known whether there is a host firewall": {inCluster, `
nodeSelector: {matchLabels: {disk: ssd}}
ingress: [{fromEntities: [cluster]}]`, "", `
about node
ingress isolates unknown: spec.nodeSelector: policies about nodes are in force only where Cilium runs with enable-host-firewall
  allow web db job node api: all (spec.ingress[0])
`},
		"nodes, with a host firewall": {inCluster, `
nodeSelector: {matchLabels: {disk: ssd}}
ingress: [{fromEntities: [cluster]}]`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-host-firewall: "true"}`, `
about node
ingress isolates
  allow web db job node api: all (spec.ingress[0])
`},
		"nodes, without a host firewall": {inCluster, `
nodeSelector: {}
ingress: [{fromEntities: [cluster]}]`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {}`, ""},
		"nodes as peers": {inNamespace, `
endpointSelector: {}
egress: [{toNodes: [{matchLabels: {disk: ssd}}]}]`, "", `
about web db
egress isolates unknown: spec.egress[0].toNodes: Cilium refuses the policy unless its agents run with enable-node-selector-labels
  allow node?: all (spec.egress[0])
`},
		"policies enforced on every pod": {inNamespace, `
endpointSelector: {}
ingress: [{}]`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-policy: always}`, `
about web db job
ingress isolates
egress isolates
about web db
ingress isolates
`},
		"fromRequires": {inNamespace, `
endpointSelector: {}
ingress: [{fromRequires: [{matchLabels: {app: web}}], fromEndpoints: [{}]}]`, "", `
about web db
ingress isolates unknown: spec.ingress[0].fromRequires: newer versions of Cilium refuse a policy with this field
  allow web db: all (spec.ingress[0])
`},
		"a field of a spec that is not known": {inNamespace, `
endpointSelector: {}
order: 5
ingress: [{}]`, "", `
about web db
ingress isolates unknown: spec: unknown field "order"
egress unknown: spec: unknown field "order"
`},
		"a field of a rule that is not known": {inNamespace, `
endpointSelector: {}
ingress:
- {fromMoon: [x]}
- {fromEntities: [all]}`, "", `
about web db
ingress isolates
  allow everyone: all unknown: spec.ingress[0]: unknown field "fromMoon" (spec.ingress[0])
  allow everyone: all (spec.ingress[1])
`},
		"a field of ports that is not known": {inNamespace, `
endpointSelector: {}
ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: "80", protocol: TCP}], colour: red}]}]`, "", `
about web db
ingress isolates
  allow web db: TCP 80 unknown: spec.ingress[0].toPorts[0]: unknown field "colour" (spec.ingress[0].toPorts[0])
`},
		"a field of a selector that is not known": {inNamespace, `
endpointSelector: {matchColour: red}
ingress: [{fromEndpoints: [{matchColour: red}]}]`, "", `
about web? db?
ingress isolates
  allow web? db? job? node? api? v4? v6?: all (spec.ingress[0])
`},
		"names in a rule that denies": {inNamespace, `
endpointSelector: {}
egressDeny: [{toFQDNs: [{matchName: a.example.com}]}]`, "", `
about web db
egress isolates
  deny everyone: all unknown: spec.egressDeny[0]: Cilium does not take toServices, toFQDNs and authentication in a rule that denies (spec.egressDeny[0])
`},
	} {
		t.Run(name, func(t *testing.T) {
			snap := snapshotOf(t, strings.TrimPrefix(c.beside, "\n")+"\n---\n"+policyOf(c.kind, c.spec))
			policies, invalid := cilium.Read(snap)
			for _, i := range invalid {
				t.Errorf("refused: %v", i.Err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), text(t, policies)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
