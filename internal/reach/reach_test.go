package reach

import (
	"fmt"
	"math/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// load makes a snapshot of documents, with Deployments and StatefulSets as the
// only carriers of pods.
func load(t *testing.T, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	for _, doc := range strings.Split(text, "\n---\n") {
		var head metav1.PartialObjectMetadata
		decode(t, doc, &head)
		ref := &evidence.Ref{
			APIVersion: head.APIVersion, Kind: head.Kind, Namespace: head.Namespace, Name: head.Name,
			Labels: head.Labels, Annotations: head.Annotations,
		}
		switch head.Kind {
		case "Deployment", "StatefulSet":
			var d appsv1.Deployment
			decode(t, doc, &d)
			path := evidence.NewPath("spec", "template", "spec")
			w := evidence.NewWorkload(path, path, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec)
			snap.Add(ref, []*evidence.Workload{w})
		case "Service":
			snap.Add(ref, decode(t, doc, &corev1.Service{}))
		case "Ingress":
			snap.Add(ref, decode(t, doc, &networkingv1.Ingress{}))
		case "NetworkPolicy":
			if ref.Group() == "networking.k8s.io" {
				snap.Add(ref, decode(t, doc, &networkingv1.NetworkPolicy{}))
				continue
			}
			fallthrough
		default:
			raw, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			snap.Add(ref, &evidence.Custom{JSON: raw})
		}
	}
	return snap
}

func decode[T any](t *testing.T, doc string, into *T) *T {
	t.Helper()
	if err := yaml.Unmarshal([]byte(doc), into); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	return into
}

const web = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web, tier: front}}, spec: {containers: [{name: web}]}}}
`

func policy(spec string) string {
	return "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\nspec: " + spec
}

func TestIsolation(t *testing.T) {
	tests := []struct {
		name, docs, ingress, egress string
	}{
		{"no policy", "", "open", "open"},
		{"empty selector, no types", policy(`{podSelector: {}}`), "denied", "open"},
		{"no types, egress rules", policy(`{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}`), "denied", "denied"},
		{"egress type only, ingress rules without effect", policy(`{podSelector: {}, policyTypes: [Egress], ingress: [{}]}`), "open", "denied"},
		{"both types", policy(`{podSelector: {}, policyTypes: [Ingress, Egress]}`), "denied", "denied"},
		{"egress type without rules, type list says so", policy(`{podSelector: {}, policyTypes: [Ingress]}`), "denied", "open"},
		{"selected by labels", policy(`{podSelector: {matchLabels: {app: web}}}`), "denied", "open"},
		{"other labels", policy(`{podSelector: {matchLabels: {app: db}}}`), "open", "open"},
		{"In", policy(`{podSelector: {matchExpressions: [{key: app, operator: In, values: [db, web]}]}}`), "denied", "open"},
		{"NotIn", policy(`{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}`), "open", "open"},
		{"NotIn matches where the key is missing", policy(`{podSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}}`), "denied", "open"},
		{"Exists", policy(`{podSelector: {matchExpressions: [{key: tier, operator: Exists}]}}`), "denied", "open"},
		{"DoesNotExist", policy(`{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}`), "open", "open"},
		{"labels and expressions must both match", policy(`{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [back]}]}}`), "open", "open"},
		{"other namespace", strings.Replace(policy(`{podSelector: {}}`), "namespace: shop", "namespace: pay", 1), "open", "open"},
		{"allow-all rule", policy(`{podSelector: {}, ingress: [{}]}`), "reopened spec.ingress[0]", "open"},
		{"allow-all in one of two policies", policy(`{podSelector: {}, ingress: [{}]}`) + policy(`{podSelector: {}}`), "reopened spec.ingress[0]", "open"},
		{"from an empty list is everyone", policy(`{podSelector: {}, ingress: [{from: []}]}`), "reopened spec.ingress[0]", "open"},
		{"everyone on one port", policy(`{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`), "denied", "open"},
		{"every address", policy(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}, {to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`), "open", "reopened spec.egress[1]"},
		{"every address but one", policy(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}]}`), "open", "denied"},
		{"every pod is not everything", policy(`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`), "denied", "open"},
		{"invalid selector", policy(`{podSelector: {matchExpressions: [{key: app, operator: Like}]}}`), "unknown", "unknown"},
		{"invalid address", policy(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0}}]}]}`), "unknown", "unknown"},
		{"Cilium", "\n---\n{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: c, namespace: shop}}", "unknown", "unknown"},
		{"Cilium elsewhere", "\n---\n{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: c, namespace: pay}}", "open", "open"},
		{"Cilium everywhere", "\n---\n{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: c}}", "unknown", "unknown"},
		{"Calico", "\n---\n{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: c, namespace: shop}}", "unknown", "unknown"},
		{"Calico staged", "\n---\n{apiVersion: projectcalico.org/v3, kind: StagedNetworkPolicy, metadata: {name: c, namespace: shop}}", "open", "open"},
		{"admin policy", "\n---\n{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: c}}", "unknown", "unknown"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			snap := load(t, web+test.docs)
			x := NewIndex(snap)
			ingress, egress := x.Isolation(snap.Workloads[0])
			got := []string{inWords(ingress), inWords(egress)}
			if diff := cmp.Diff([]string{test.ingress, test.egress}, got); diff != "" {
				t.Error(diff)
			}
			if ingress.Isolated != (len(ingress.By) > 0) || egress.Isolated != (len(egress.By) > 0) {
				t.Error("isolated must mean that there are policies to name")
			}
		})
	}
}

func inWords(i Isolation) string {
	switch {
	case i.Unknown != "":
		return "unknown"
	case i.Open != nil:
		return "reopened " + i.Open.Path().String()
	case i.Isolated:
		return "denied"
	}
	return "open"
}

func TestHostNetworkIsNeverIsolated(t *testing.T) {
	snap := load(t, strings.Replace(web, "containers:", "hostNetwork: true, containers:", 1)+policy(`{podSelector: {}, policyTypes: [Ingress, Egress]}`))
	x := NewIndex(snap)
	ingress, egress := x.Isolation(snap.Workloads[0])
	if ingress.Isolated || egress.Isolated {
		t.Error("a pod on the node's network was taken for isolated")
	}
	if got := x.Egress(snap.Workloads[0], netip.MustParsePrefix("169.254.169.254/32"), 80); !got.Allowed || got.By != nil {
		t.Errorf("egress of a pod on the node's network: %+v", got)
	}
}

func TestEgress(t *testing.T) {
	const metadata = "169.254.169.254/32"
	rules := func(rules string) string {
		return policy(`{podSelector: {}, policyTypes: [Egress], egress: [` + rules + `]}`)
	}
	tests := []struct {
		name, docs, to string
		port           int32
		want           bool
	}{
		{"no policy", "", metadata, 80, true},
		{"denied", rules(``), metadata, 80, false},
		{"ingress policy only", policy(`{podSelector: {}}`), metadata, 80, true},
		{"allow-all", rules(`{}`), metadata, 80, true},
		{"name resolution for everyone", rules(`{ports: [{port: 53, protocol: UDP}, {port: 53}]}`), metadata, 80, false},
		{"any port of it", rules(`{ports: [{port: 53, protocol: UDP}]}`), metadata, 0, true},
		{"pods only", rules(`{to: [{namespaceSelector: {}}]}`), metadata, 80, false},
		{"every address", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}`), metadata, 80, true},
		{"but this one", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}`), metadata, 80, false},
		{"but link-local", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}]}`), metadata, 80, false},
		{"but another", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.253/32]}}]}`), metadata, 80, true},
		{"second rule", rules(`{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}, {to: [{ipBlock: {cidr: 169.254.169.254/32}}]}`), metadata, 80, true},
		{"excepted in one rule, allowed in the next", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}, {to: [{ipBlock: {cidr: 169.254.0.0/16}}]}`), metadata, 80, true},
		{"https only", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}`), metadata, 80, false},
		{"port range", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 1, endPort: 1024}]}`), metadata, 80, true},
		{"port range above", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 81, endPort: 1024}]}`), metadata, 80, false},
		{"UDP", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{protocol: UDP}]}`), metadata, 80, false},
		{"all of TCP", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{protocol: TCP}]}`), metadata, 80, true},
		{"a port of a pod", rules(`{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}`), metadata, 80, false},
		{"IPv6 block, IPv4 address", rules(`{to: [{ipBlock: {cidr: "::/0"}}]}`), metadata, 80, false},
		{"IPv6", rules(`{to: [{ipBlock: {cidr: "::/0"}}]}`), "fd00:ec2::254/128", 80, true},
		{"part of a range", rules(`{to: [{ipBlock: {cidr: 10.1.2.0/24}}]}`), "10.1.0.0/16", 0, true},
		{"range excepted in two halves", rules(`{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/17, 10.1.128.0/17]}}]}`), "10.1.0.0/16", 0, false},
		{"range excepted but for one address", rules(`{to: [{ipBlock: {cidr: 10.1.0.0/30, except: [10.1.0.0/32, 10.1.0.1/32, 10.1.0.3/32]}}]}`), "10.1.0.0/16", 0, true},
		{"host bits set", rules(`{to: [{ipBlock: {cidr: 169.254.1.1/16}}]}`), metadata, 80, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			snap := load(t, web+test.docs)
			got := NewIndex(snap).Egress(snap.Workloads[0], netip.MustParsePrefix(test.to), test.port)
			if got.Allowed != test.want || got.Unknown != "" {
				t.Errorf("got %+v, want %v", got, test.want)
			}
		})
	}
}

// A block is compared with an oracle that asks for every single address.
func TestOverlapsOracle(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	prefix := func(min int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.Intn(32))}), min+random.Intn(33-min)).Masked()
	}
	for range 20000 {
		b := Block{CIDR: prefix(26)}
		for range random.Intn(6) {
			b.Except = append(b.Except, prefix(27))
		}
		to := prefix(26)
		want := false
		for a := to.Addr(); to.Contains(a); a = a.Next() {
			excepted := slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Contains(a) })
			want = want || b.CIDR.Contains(a) && !excepted
		}
		if got := b.Overlaps(to); got != want {
			t.Fatalf("%v without %v overlaps %v: got %v, want %v", b.CIDR, b.Except, to, got, want)
		}
	}
}

// Thousands of exceptions that cover a range piece by piece take no long time.
func TestOverlapsManyExceptions(t *testing.T) {
	b := Block{CIDR: netip.MustParsePrefix("10.0.0.0/16")}
	for i := range 1 << 16 {
		b.Except = append(b.Except, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	if b.Overlaps(netip.MustParsePrefix("0.0.0.0/0")) {
		t.Error("nothing is left of the block")
	}
}

// Isolation of random pods by random policies, against a reading of the API's
// words that shares no code with the index.
func TestIsolationOracle(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	pick := func(of ...string) string { return of[random.Intn(len(of))] }
	for range 5000 {
		w := &evidence.Workload{Ref: &evidence.Ref{Namespace: pick("a", "b")}, Pod: &corev1.PodSpec{}, PodLabels: map[string]string{}}
		for range random.Intn(3) {
			w.PodLabels[pick("x", "y")] = pick("1", "2", "3")
		}
		snap := &evidence.Snapshot{Workloads: []*evidence.Workload{w}}
		for i := range random.Intn(4) {
			np := &networkingv1.NetworkPolicy{}
			if random.Intn(2) == 0 {
				np.Spec.PodSelector.MatchLabels = map[string]string{pick("x", "y"): pick("1", "2", "3")}
			}
			for range random.Intn(3) {
				e := metav1.LabelSelectorRequirement{Key: pick("x", "y"), Operator: metav1.LabelSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist"))}
				if e.Operator == "In" || e.Operator == "NotIn" {
					e.Values = []string{pick("1", "2"), pick("2", "3")}
				}
				np.Spec.PodSelector.MatchExpressions = append(np.Spec.PodSelector.MatchExpressions, e)
			}
			for _, d := range []networkingv1.PolicyType{"Ingress", "Egress"} {
				if random.Intn(3) == 0 {
					np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, d)
				}
			}
			np.Spec.Egress = make([]networkingv1.NetworkPolicyEgressRule, random.Intn(2))
			snap.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Namespace: pick("a", "b"), Name: fmt.Sprint(i)}, np)
		}
		ingress, egress := NewIndex(snap).Isolation(w)
		for _, c := range []struct {
			direction networkingv1.PolicyType
			got       Isolation
		}{{"Ingress", ingress}, {"Egress", egress}} {
			var want, got []string
			for _, np := range snap.NetworkPolicies {
				if np.Namespace == w.Namespace && oracleSelects(np.Value.Spec.PodSelector, w.PodLabels) && oracleIsolates(np.Value.Spec, c.direction) {
					want = append(want, np.Name)
				}
			}
			for _, p := range c.got.By {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s of %v: %s", c.direction, w.PodLabels, diff)
			}
		}
	}
}

func oracleIsolates(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) bool {
	if len(spec.PolicyTypes) == 0 {
		return d == "Ingress" || len(spec.Egress) > 0
	}
	for _, have := range spec.PolicyTypes {
		if have == d {
			return true
		}
	}
	return false
}

func oracleSelects(s metav1.LabelSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		have, ok := labels[e.Key]
		in := false
		for _, v := range e.Values {
			in = in || ok && have == v
		}
		if e.Operator == "In" && !in || e.Operator == "NotIn" && in || e.Operator == "Exists" && !ok || e.Operator == "DoesNotExist" && ok {
			return false
		}
	}
	return true
}

func TestExposed(t *testing.T) {
	service := func(name, annotations, spec string) string {
		return fmt.Sprintf("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop, annotations: {%s}}\nspec: {selector: {app: web}, %s}", name, annotations, spec)
	}
	route := func(kind, spec string) string {
		group := "gateway.networking.k8s.io/v1"
		if kind == "VirtualService" {
			group = "networking.istio.io/v1"
		}
		return fmt.Sprintf("\n---\napiVersion: %s\nkind: %s\nmetadata: {name: r, namespace: shop}\nspec: %s", group, kind, spec)
	}
	inside := service("web", "", "type: ClusterIP")
	tests := []struct {
		name, docs string
		want       []string
	}{
		{"cluster IP", inside, nil},
		{"load balancer", service("web", "", "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"internal load balancer", service("web", `networking.gke.io/load-balancer-type: Internal`, "type: LoadBalancer"), nil},
		{"internal by any value", service("web", `service.beta.kubernetes.io/aws-load-balancer-internal: 0.0.0.0/0`, "type: LoadBalancer"), nil},
		{"internal said to be false", service("web", `service.beta.kubernetes.io/aws-load-balancer-internal: "false"`, "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"AWS controller's default", service("web", `service.beta.kubernetes.io/aws-load-balancer-type: external`, "type: LoadBalancer"), nil},
		{"AWS controller, public", service("web", `service.beta.kubernetes.io/aws-load-balancer-type: external, service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing`, "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"source ranges", service("web", "", "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24]"), nil},
		{"source ranges of everyone", service("web", "", "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24, 0.0.0.0/0]"), []string{"Service shop/web (LoadBalancer)"}},
		{"node port", service("web", "", "type: NodePort"), []string{"Service shop/web (NodePort)"}},
		{"external IPs", service("web", "", "externalIPs: [192.0.2.7]"), []string{"Service shop/web (externalIPs)"}},
		{"two ways", service("a", "", "type: NodePort") + service("b", "", "type: LoadBalancer"), []string{"Service shop/a (NodePort)", "Service shop/b (LoadBalancer)"}},
		{"other pods", strings.Replace(service("web", "", "type: NodePort"), "app: web", "app: db", 1), nil},
		{"no selector", strings.Replace(service("web", "", "type: NodePort"), "app: web", "", 1), nil},
		{"other namespace", strings.Replace(service("web", "", "type: NodePort"), "namespace: shop", "namespace: pay", 1), nil},
		{"one pod of a StatefulSet", strings.Replace(service("web", "", "type: NodePort"), "app: web", "statefulset.kubernetes.io/pod-name: web-0", 1), nil},
		{"ingress", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: shop}\nspec: {rules: [{http: {paths: [{backend: {service: {name: web}}}, {backend: {service: {name: web}}}]}}]}", []string{"Ingress shop/front"}},
		{"default backend", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: shop}\nspec: {defaultBackend: {service: {name: web}}}", []string{"Ingress shop/front"}},
		{"ingress of another namespace", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: pay}\nspec: {defaultBackend: {service: {name: web}}}", nil},
		{"gateway route", inside + route("HTTPRoute", "{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web}]}]}"), []string{"HTTPRoute shop/r"}},
		{"route of a mesh", inside + route("HTTPRoute", "{parentRefs: [{kind: Service, group: '', name: web}], rules: [{backendRefs: [{name: web}]}]}"), nil},
		{"virtual service", inside + route("VirtualService", "{gateways: [edge], http: [{route: [{destination: {host: web}}]}]}"), []string{"VirtualService shop/r"}},
		{"virtual service, full name", inside + route("VirtualService", "{gateways: [mesh, edge], tcp: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}"), []string{"VirtualService shop/r"}},
		{"virtual service of the mesh", inside + route("VirtualService", "{http: [{route: [{destination: {host: web}}]}]}"), nil},
		{"route that cannot be read", inside + route("HTTPRoute", "{parentRefs: 7}"), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			snap := load(t, web+test.docs)
			if diff := cmp.Diff(test.want, NewIndex(snap).Exposed(snap.Workloads[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("one pod of this StatefulSet", func(t *testing.T) {
		docs := strings.Replace(web, "kind: Deployment", "kind: StatefulSet", 1) + strings.Replace(service("web", "", "type: NodePort"), "app: web", "statefulset.kubernetes.io/pod-name: web-0", 1)
		snap := load(t, docs)
		if diff := cmp.Diff([]string{"Service shop/web (NodePort)"}, NewIndex(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("host ports and network", func(t *testing.T) {
		snap := load(t, strings.Replace(web, "{name: web}", "{name: web, ports: [{containerPort: 80, hostPort: 8080}]}", 1))
		if diff := cmp.Diff([]string{"hostPort 8080"}, NewIndex(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
		snap.Workloads[0].Pod.HostNetwork = true
		if diff := cmp.Diff([]string{"hostNetwork"}, NewIndex(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOpen(t *testing.T) {
	for rule, want := range map[string]bool{
		"{}":                         true,
		"{ports: [{port: 53}]}":      false,
		"{ports: [{protocol: UDP}]}": false,
		"{ports: [{protocol: TCP}]}": true,
		"{ports: [{port: 53}, {port: 1, endPort: 65535}]}":                     true,
		"{ports: [{port: 1024, endPort: 65535}]}":                              false,
		"{to: [{podSelector: {}}]}":                                            false,
		"{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}":                                 true,
		"{to: [{ipBlock: {cidr: '::/0'}}]}":                                    true,
		"{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}":           false,
		"{to: [{ipBlock: {cidr: 0.0.0.0/1}}]}":                                 false,
		"{to: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]}": true,
	} {
		snap := load(t, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec: {podSelector: {}, policyTypes: [Egress], egress: ["+rule+"]}\n")
		if got := NewIndex(snap).Policies("b")[0].Open(networkingv1.PolicyTypeEgress) != nil; got != want {
			t.Errorf("%s: open %v, want %v", rule, got, want)
		}
	}
}

// What the API server refuses protects nobody: what holds instead is not known.
func TestRefused(t *testing.T) {
	for _, policy := range []string{
		"apiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress, Both]}\n",
	} {
		x := NewIndex(load(t, policy))
		if len(x.Policies("b")) != 0 || x.Unread("b") == "" {
			t.Errorf("taken for a policy:\n%s", policy)
		}
	}
}
