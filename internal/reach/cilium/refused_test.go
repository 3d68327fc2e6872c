package cilium_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cilium"
)

// What the API server or the agents refuse, and what the error has to name.
func TestRefused(t *testing.T) {
	var manyPorts strings.Builder
	for i := range 41 {
		fmt.Fprintf(&manyPorts, `{port: "%d"}, `, i+1)
	}
	for name, c := range map[string]struct{ kind, spec, want string }{
		"no rule":           {inNamespace, `endpointSelector: {}`, "no rule"},
		"empty rules":       {inNamespace, "endpointSelector: {}\ningress: []\negress: []", "no rule"},
		"no selector":       {inNamespace, `ingress: [{}]`, "exactly one of endpointSelector and nodeSelector"},
		"two selectors":     {inCluster, "endpointSelector: {}\nnodeSelector: {}\ningress: [{}]", "exactly one of endpointSelector and nodeSelector"},
		"nodes, namespaced": {inNamespace, "nodeSelector: {}\ningress: [{}]", "spec.nodeSelector"},
		"null rule":         {inNamespace, "endpointSelector: {}\ningress: [null]", "spec.ingress[0]: is null"},
		"null selector":     {inNamespace, "endpointSelector: null\ningress: [{}]", "exactly one"},
		"wrong type":        {inNamespace, "endpointSelector: {}\ningress: {a: b}", "spec"},
		"key":               {inNamespace, "endpointSelector: {matchLabels: {\"a b\": c}}\ningress: [{}]", "spec.endpointSelector.matchLabels"},
		"two sources":       {inNamespace, "endpointSelector: {matchLabels: {\"k8s:any:c\": c}}\ningress: [{}]", "k8s:any:c"},
		"source":            {inNamespace, "endpointSelector: {matchLabels: {\":c\": c}}\ningress: [{}]", "source"},
		"value":             {inNamespace, "endpointSelector: {matchLabels: {c: \"a b\"}}\ningress: [{}]", "a b"},
		"operator":          {inNamespace, "endpointSelector: {matchExpressions: [{key: a, operator: Like}]}\ningress: [{}]", "operator"},
		"no values":         {inNamespace, "endpointSelector: {matchExpressions: [{key: a, operator: In}]}\ningress: [{}]", "0 values"},
		"values of Exists":  {inNamespace, "endpointSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}\ningress: [{}]", "1 values"},
		"two sorts of peers": {inNamespace, "endpointSelector: {}\ningress: [{fromEndpoints: [{}], fromEntities: [all]}]",
			"fromEndpoints cannot stand beside fromEntities"},
		"two sorts of peers, names": {inNamespace, "endpointSelector: {}\negress: [{toCIDR: [10.0.0.0/8], toFQDNs: [{matchName: a}]}]",
			"toCIDR cannot stand beside toFQDNs"},
		"entity":             {inNamespace, "endpointSelector: {}\ningress: [{fromEntities: [moon]}]", `"moon"`},
		"entity world-ipv4":  {inNamespace, "endpointSelector: {}\ningress: [{fromEntities: [world-ipv4]}]", "world-ipv4"},
		"block":              {inNamespace, "endpointSelector: {}\ningress: [{fromCIDR: [10.0.0.0/33]}]", "spec.ingress[0].fromCIDR[0]"},
		"address in a set":   {inNamespace, "endpointSelector: {}\ningress: [{fromCIDRSet: [{cidr: 10.0.0.1}]}]", "fromCIDRSet[0]"},
		"exception":          {inNamespace, "endpointSelector: {}\ningress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [192.168.0.0/16]}]}]", "192.168.0.0/16 is no part"},
		"wider exception":    {inNamespace, "endpointSelector: {}\ningress: [{fromCIDRSet: [{cidr: 10.0.0.0/16, except: [10.0.0.0/8]}]}]", "no part"},
		"two sorts of block": {inNamespace, "endpointSelector: {}\ningress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}]", "exactly one"},
		"no block":           {inNamespace, "endpointSelector: {}\ningress: [{fromCIDRSet: [{}]}]", "exactly one"},
		"ports and icmps":    {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"1\"}]}], icmps: [{fields: [{type: 8}]}]}]", "icmps"},
		"many ports":         {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [" + manyPorts.String() + "]}]}]", "more than 40"},
		"no port":            {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{protocol: TCP}]}]}]", "port is not given"},
		"port":               {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"65536\"}]}]}]", "65536"},
		"port 08":            {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"08\"}]}]}]", "08"},
		"port as a number":   {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: 80}]}]}]", "spec.ingress[0].toPorts[0]"},
		"long name":          {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: abcdefghijklmnop}]}]}]", "abcdefghijklmnop"},
		"protocol":           {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"1\", protocol: tcp}]}]}]", `"tcp"`},
		"ICMP in ports":      {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"1\", protocol: ICMP}]}]}]", `"ICMP"`},
		"port of GRE":        {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"1\", protocol: GRE}]}]}]", "GRE has no ports"},
		"port 0 and HTTP":    {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"0\", protocol: TCP}], rules: {http: [{}]}}]}]", "port other than 0"},
		"HTTP over UDP":      {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"80\", protocol: UDP}], rules: {http: [{}]}}]}]", "protocol TCP"},
		"HTTP over any":      {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"80\"}], rules: {http: [{}]}}]}]", "protocol TCP"},
		"DNS at ingress":     {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"53\"}], rules: {dns: [{matchName: a}]}}]}]", "egress only"},
		"DNS without ports":  {inNamespace, "endpointSelector: {}\negress: [{toPorts: [{rules: {dns: [{matchName: a}]}}]}]", "need a port"},
		"DNS on a range":     {inNamespace, "endpointSelector: {}\negress: [{toPorts: [{ports: [{port: \"53\", endPort: 54}], rules: {dns: [{matchName: a}]}}]}]", "range"},
		"HTTP and DNS":       {inNamespace, "endpointSelector: {}\negress: [{toPorts: [{ports: [{port: \"53\", protocol: TCP}], rules: {http: [{}], dns: [{matchName: a}]}}]}]", "http cannot stand beside dns"},
		"HTTP path":          {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{path: \"(\"}]}}]}]", "http[0]"},
		"HTTP at hosts":      {inCluster, "nodeSelector: {}\negress: [{toPorts: [{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{}]}}]}]", "about nodes"},
		"server names":       {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"443\", protocol: TCP}], serverNames: [\"\"]}]}]", "serverNames"},
		"names and rules":    {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"443\", protocol: TCP}], serverNames: [a], rules: {http: [{}]}}]}]", "terminatingTLS"},
		"listener":           {inNamespace, "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: \"443\", protocol: TCP}], listener: {name: a}}]}]", "egress only"},
		"name and pattern":   {inNamespace, "endpointSelector: {}\negress: [{toFQDNs: [{matchName: a, matchPattern: b}]}]", "toFQDNs[0]"},
		"name":               {inNamespace, "endpointSelector: {}\negress: [{toFQDNs: [{matchName: \"*.a\"}]}]", "no DNS name"},
		"pattern":            {inNamespace, "endpointSelector: {}\negress: [{toFQDNs: [{matchPattern: \"a b\"}]}]", "no pattern"},
		"icmp family":        {inNamespace, "endpointSelector: {}\ningress: [{icmps: [{fields: [{family: IPv5, type: 8}]}]}]", "IPv5"},
		"icmp type":          {inNamespace, "endpointSelector: {}\ningress: [{icmps: [{fields: [{type: PacketTooBig}]}]}]", "PacketTooBig"},
		"no icmp type":       {inNamespace, "endpointSelector: {}\ningress: [{icmps: [{fields: [{}]}]}]", "type"},
		"authentication":     {inNamespace, "endpointSelector: {}\ningress: [{fromEndpoints: [{}], authentication: {mode: please}}]", "authentication.mode"},
	} {
		t.Run(name, func(t *testing.T) {
			policies, invalid := cilium.Read(snapshotOf(t, policyOf(c.kind, c.spec)))
			if len(policies) != 0 || len(invalid) != 1 {
				t.Fatalf("%d policies and %d refused:\n%s", len(policies), len(invalid), text(t, policies))
			}
			if !strings.Contains(invalid[0].Err.Error(), c.want) {
				t.Errorf("%q does not name %q", invalid[0].Err, c.want)
			}
		})
	}
}

// One spec that is refused takes the others of the object with it; other objects
// are read, and Cilium's own objects are no policies.
func TestObjects(t *testing.T) {
	policies, invalid := cilium.Read(snapshotOf(t, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: both, namespace: shop}
spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}
specs:
- {endpointSelector: {matchLabels: {app: db}}, egress: [{}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: half, namespace: shop}
specs:
- {endpointSelector: {}, egress: [{}]}
- {endpointSelector: {}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: empty, namespace: shop}
---
apiVersion: cilium.io/v2
kind: CiliumEndpoint
metadata: {name: e, namespace: shop}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n}
spec: {}
`))
	if got, want := text(t, policies), "about web\ningress isolates\nabout db\negress isolates\n"; got != want {
		t.Errorf("got %s", got)
	}
	for i, want := range []string{"half: specs[1]: has no rule", "empty: neither spec nor specs"} {
		if i >= len(invalid) || !strings.HasPrefix(invalid[i].Name+": "+invalid[i].Err.Error(), want) {
			t.Errorf("refused %v, want %s", invalid, want)
		}
	}
	if len(invalid) != 2 {
		t.Errorf("%d refused", len(invalid))
	}
}

func TestNeverEnforced(t *testing.T) {
	policies, invalid := cilium.Read(snapshotOf(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-policy: never}
---
`+policyOf(inNamespace, "endpointSelector: {}\ningress: [{}]")))
	if len(policies) != 0 || len(invalid) != 1 || !strings.Contains(invalid[0].Err.Error(), "enable-policy") {
		t.Errorf("got %v, %v", policies, invalid)
	}
}

// Long and deep documents take time that grows with their length, not faster: these
// are read in about a second.
func TestLarge(t *testing.T) {
	const many = 20_000
	wide := "[" + strings.Repeat(`{"fromEndpoints":[{"matchLabels":{"a":"b"}}],"moon":1},`, many) + "{}]"
	deep := strings.Repeat(`{"a":`, many/4) + "1" + strings.Repeat("}", many/4)
	start := time.Now()
	for _, text := range []string{
		`{"spec":{"endpointSelector":{},"ingress":` + wide + `}}`,
		`{"spec":{"endpointSelector":{},"ingress":[` + deep + `]}}`,
		`{"spec":` + deep + `}`,
	} {
		cilium.Read(&evidence.Snapshot{Custom: []*evidence.Custom{{
			Ref: &evidence.Ref{APIVersion: "cilium.io/v2", Kind: inNamespace, Name: "p", Namespace: "shop"}, JSON: []byte(text),
		}}})
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

// No document crashes the reader, and what it reads can be evaluated.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"spec":{"endpointSelector":{"matchLabels":{"k8s:app":"db"}},"ingress":[{"fromEndpoints":[{}],"toPorts":[{"ports":[{"port":"80","endPort":90,"protocol":"TCP"}],"rules":{"http":[{"path":"/a"}]}}]}]}}`,
		`{"specs":[{"nodeSelector":{},"egressDeny":[{"toEntities":["world"],"icmps":[{"fields":[{"type":8}]}]}]}]}`,
		`{"spec":{"endpointSelector":{},"egress":[{"toCIDRSet":[{"cidr":"10.0.0.0/8","except":["10.0.0.0/16"]},{"cidrGroupRef":"a"},{"cidrGroupSelector":{"matchLabels":{"a":"b"}}}]},{"toFQDNs":[{"matchPattern":"*"}]},{"toServices":[{"k8sService":{"serviceName":"a","namespace":"b"}}]},{"toNodes":[{}]},{"toGroups":[{}]}]}}`,
		`{"spec":{"endpointSelector":{"matchExpressions":[{"key":"reserved:host","operator":"DoesNotExist"}]},"ingress":[{"fromEndpoints":[{"matchLabels":{"reserved:world":""}}],"authentication":{"mode":"required"},"new":1}],"enableDefaultDeny":{"ingress":false}}}`,
		`{"spec":null,"specs":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			t.Skip("no JSON: no API server gives such an object")
		}
		snap := &evidence.Snapshot{}
		for _, kind := range []string{"CiliumCIDRGroup", inNamespace, inCluster} {
			snap.Custom = append(snap.Custom, &evidence.Custom{
				Ref: &evidence.Ref{APIVersion: "cilium.io/v2", Kind: kind, Name: "p", Namespace: "shop"}, JSON: data,
			})
		}
		policies, invalid := cilium.Read(snap)
		_ = text(t, policies)
		for _, i := range invalid {
			if i.Err == nil {
				t.Error("refused without a reason")
			}
		}
	})
}
