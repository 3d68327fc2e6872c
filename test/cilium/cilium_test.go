// Package cilium compares what Gabion makes of Cilium's policies with what Cilium
// itself makes of them: its validation, and the tables that its agents would load
// into the kernel. It is a module of its own, since Cilium's packages are many.
package cilium_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/crypto/certificatemanager"
	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/utils"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

var rounds = flag.Int("rounds", 2000, "how many clusters to compare")

const clusterName = "default"

// A peer is who may be at an end of a connection: for Gabion an endpoint, for
// Cilium one or, where a node may be the pod's own or another, two identities.
type peer struct {
	name       string
	identities []*identity.Identity
	find       func(*reach.Endpoint) bool
	// subject is set for a pod or node, which policies can be about: as its first identity.
	subject bool
}

var (
	namespaces       = map[string]string{"shop": "a", "bank": "b"}
	apps             = []string{"web", "api", "db"}
	outsideAddresses = []string{"203.0.113.5", "203.0.113.200", "198.51.100.7", "2001:db8::5"}
	// groups are CiliumCIDRGroups, with the label that selectors of groups ask for.
	groups = []struct {
		name, role string
		blocks     []netip.Prefix
	}{
		{"near", "partner", prefixes("203.0.113.0/25", "2001:db8::/64")},
		{"far", "customer", prefixes("198.51.100.0/24", "203.0.113.0/24")},
		{"none", "partner", nil},
	}
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, text := range list {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// town is the cluster without policies: pods, their namespaces, and a node.
func town(t *testing.T) *evidence.Snapshot {
	var b strings.Builder
	for _, ns := range []string{"bank", "shop"} {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {kubernetes.io/metadata.name: %s, team: %s}}\n---\n", ns, ns, namespaces[ns])
		for _, app := range apps {
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: %s, labels: {app: %s}}\n"+
				"spec:\n  serviceAccountName: %s\n  containers:\n  - {name: c, image: i, ports: [{name: http, containerPort: 80, protocol: TCP}]}\n---\n", app, ns, app, app)
		}
	}
	for _, g := range groups {
		blocks := []string{}
		for _, p := range g.blocks {
			blocks = append(blocks, fmt.Sprintf("%q", p))
		}
		fmt.Fprintf(&b, "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: %s, labels: {role: %s}}\nspec: {externalCIDRs: [%s]}\n---\n",
			g.name, g.role, strings.Join(blocks, ", "))
	}
	b.WriteString("apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {role: edge}}\nstatus: {addresses: [{type: InternalIP, address: 192.168.7.1}]}\n")
	snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest", Ref: "town"}
	manifest.Add(snap, source, new(manifest.Reader).Read("town.yaml", []byte(b.String())))
	if len(source.Errors)+len(source.Skipped) > 0 {
		t.Fatal(source.Errors, source.Skipped)
	}
	return snap
}

func peers() (list []peer) {
	id := identity.NumericIdentity(1000)
	for _, ns := range []string{"bank", "shop"} {
		for _, app := range apps {
			id++
			l := labels.Map2Labels(map[string]string{
				"app": app, "io.kubernetes.pod.namespace": ns, "io.cilium.k8s.policy.cluster": clusterName,
				"io.cilium.k8s.policy.serviceaccount":                        app,
				"io.cilium.k8s.namespace.labels.team":                        namespaces[ns],
				"io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": ns,
			}, labels.LabelSourceK8s)
			list = append(list, peer{
				name: ns + "/" + app, subject: true, identities: []*identity.Identity{identity.NewIdentity(id, l)},
				find: func(e *reach.Endpoint) bool {
					return e.Kind == netpol.OfPod && len(e.Workloads) == 1 && e.Workloads[0].Namespace == ns && e.Workloads[0].Name == app
				},
			})
		}
	}
	server := labels.LabelKubeAPIServer
	list = append(list, peer{
		name: "node", subject: true, find: func(e *reach.Endpoint) bool { return e.Kind == netpol.OfHost && e.Name == "n1" },
		identities: []*identity.Identity{
			identity.NewIdentity(identity.ReservedIdentityHost, join(labels.LabelHost, labels.Map2Labels(map[string]string{"role": "edge"}, labels.LabelSourceK8s))),
			identity.NewIdentity(identity.ReservedIdentityRemoteNode, labels.LabelRemoteNode),
			identity.NewIdentity(50, join(labels.LabelHost, server)),
			identity.NewIdentity(51, join(labels.LabelRemoteNode, server)),
		},
	}, peer{
		name: "API server", find: func(e *reach.Endpoint) bool { return e.Kind == netpol.OfAPIServer },
		identities: []*identity.Identity{
			identity.NewIdentity(52, join(labels.LabelHost, server)),
			identity.NewIdentity(53, join(labels.LabelRemoteNode, server)),
			identity.NewIdentity(identity.IdentityScopeLocal+100, join(outside(netip.MustParseAddr("203.0.113.77")), server)),
			identity.NewIdentity(identity.IdentityScopeLocal+101, join(outside(netip.MustParseAddr("192.0.2.77")), server)),
		},
	})
	for i, text := range outsideAddresses {
		address := netip.MustParseAddr(text)
		list = append(list, peer{
			name:       text,
			identities: []*identity.Identity{identity.NewIdentity(identity.IdentityScopeLocal+identity.NumericIdentity(i)+1, outside(address))},
			find:       func(e *reach.Endpoint) bool { return e.Kind == netpol.OfWorld && e.Addresses.Contains(address) },
		})
	}
	return list
}

// outside are the labels of an address outside the cluster: its block and the labels
// of the groups that hold it.
func outside(address netip.Addr) labels.Labels {
	all := labels.GetCIDRLabels(netip.PrefixFrom(address, address.BitLen()))
	for _, g := range groups {
		for _, p := range g.blocks {
			if !p.Contains(address) {
				continue
			}
			for _, l := range []labels.Label{
				api.LabelForCIDRGroupRef(g.name),
				labels.NewLabel("role", g.role, labels.LabelSourceCIDRGroup),
				labels.EncodedCIDRGroupLabel("role", g.role, labels.LabelSourceCIDRGroup),
			} {
				all[l.Key] = l
			}
		}
	}
	return all
}

func join(sets ...labels.Labels) labels.Labels {
	all := labels.Labels{}
	for _, s := range sets {
		all.MergeLabels(s)
	}
	return all
}

// An owner is a pod or node in Cilium's books.
type owner struct{ id uint64 }

func (o owner) GetID() uint64 { return o.id }
func (o owner) GetIngressNamedPort(name string, proto u8proto.U8proto) uint16 {
	if name == "http" && proto == u8proto.TCP && !o.IsHost() {
		return 80
	}
	return 0
}
func (owner) PolicyDebug(string, ...any) {}
func (o owner) IsHost() bool             { return o.id == uint64(identity.ReservedIdentityHost) }
func (owner) PreviousMapStateSizes() policy.MapStateSizes {
	return policy.MapStateSizes{}
}
func (owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}

// tables are the policies of each pod as Cilium distils them.
func tables(t *testing.T, rules api.Rules, all []peer) map[string]*policy.EndpointPolicy {
	logger := slog.New(slog.DiscardHandler)
	ids := identity.IdentityMap{}
	for _, p := range all {
		for _, id := range p.identities {
			ids[id.ID] = id.LabelArray
		}
	}
	repo := policy.NewPolicyRepository(logger, ids, nil,
		envoypolicy.NewEnvoyL7RulesTranslator(logger, certificatemanager.NewMockSecretManagerInline()),
		identitymanager.NewIDManager(logger), testpolicy.NewPolicyMetricsNoop())
	repo.UpdateIdentities(ids, nil)
	repo.MustAddPolicyEntries(utils.RulesToPolicyEntries(rules))
	m := map[string]*policy.EndpointPolicy{}
	for _, p := range all {
		if !p.subject {
			continue
		}
		selected, _, err := repo.ComputeSelectorPolicy(p.identities[0])
		if err != nil {
			t.Fatal(err)
		}
		distilled := selected.DistillPolicy(logger, owner{uint64(p.identities[0].ID)}, map[string]uint16{policy.FallbackRedirectID: math.MaxUint16})
		distilled.Ready()
		distilled.Detach(logger)
		selected.Supersede()
		m[p.name] = distilled
	}
	return m
}

var asked = []struct {
	protocol ports.Protocol
	number   uint16
	theirs   u8proto.U8proto
}{
	{ports.TCP, 80, u8proto.TCP}, {ports.TCP, 81, u8proto.TCP}, {ports.TCP, 90, u8proto.TCP},
	{ports.UDP, 53, u8proto.UDP}, {ports.SCTP, 80, u8proto.SCTP},
}

// verdict says whether Cilium lets a connection through: yes and no for certain
// identities of the other end, both where they differ.
func verdict(of map[string]*policy.EndpointPolicy, src, dst peer, proto u8proto.U8proto, port uint16) (yes, no bool) {
	for _, from := range src.identities {
		if src.name == "API server" && from.LabelArray.Has("reserved:host") {
			continue // One on the pod's own node is that node, which may always connect.
		}
		for _, to := range dst.identities {
			open := true
			if p := of[src.name]; p != nil {
				entry, _, _ := p.Lookup(policy.EgressKey().WithIdentity(to.ID).WithPortProto(proto, port))
				open = open && !entry.IsDeny()
			}
			if p := of[dst.name]; p != nil {
				entry, _, _ := p.Lookup(policy.IngressKey().WithIdentity(from.ID).WithPortProto(proto, port))
				open = open && !entry.IsDeny()
			}
			yes, no = yes || open, no || !open
		}
	}
	return yes, no
}

// configure sets what the agents are started with: the defaults, for two address families.
func configure() {
	option.Config.EnableIPv4, option.Config.EnableIPv6 = true, true
	option.Config.UnsafeDaemonConfigOption.AllowLocalhost = option.AllowLocalhostAlways
	option.Config.EnableL7Proxy, option.Config.EnableICMPRules, option.Config.EnableNonDefaultDenyPolicies = true, true, true
	option.Config.EnableNodeSelectorLabels, option.Config.EnableHostFirewall = true, true
	api.InitEntities(clusterName)
}

// TestAgainstCilium compares random policies: which of them are valid, and, for those
// that are, every pair of ends and several ports. Where Gabion says "unknown" Cilium
// may say anything; that must not be often.
func TestAgainstCilium(t *testing.T) {
	configure()
	all := peers()
	counts := map[string]int{}
	for seed := range *rounds {
		compare(t, rand.New(rand.NewPCG(uint64(seed), 5)), seed, all, counts)
		if t.Failed() {
			return
		}
	}
	t.Log(counts)
	if counts["allowed"] < 1000 || counts["denied"] < 1000 || counts["refused"] < 10 || counts["unknown"]*5 > counts["allowed"]+counts["denied"] {
		t.Errorf("the comparison says little: %v", counts)
	}
}

// TestLostService shows why a rule with a Service that is not there is unknown:
// without an end that the Service names, Cilium takes the rule to be about all.
func TestLostService(t *testing.T) {
	configure()
	all := peers()
	text := `{"metadata": {"name": "p", "namespace": "shop"}, "spec": {"endpointSelector": {},
		"egress": [{"toServices": [{"k8sService": {"serviceName": "lost", "namespace": "shop"}}], "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}]}}`
	var object ciliumv2.CiliumNetworkPolicy
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	rules, err := object.Parse(slog.New(slog.DiscardHandler), clusterName)
	if err != nil {
		t.Fatal(err)
	}
	theirs := tables(t, rules, all)
	web, outside := all[3], all[len(all)-1]
	if yes, _ := verdict(theirs, web, outside, u8proto.TCP, 80); !yes {
		t.Errorf("%s -> %s is closed: the reader can say so", web.name, outside.name)
	}
	if yes, _ := verdict(theirs, web, outside, u8proto.TCP, 81); yes {
		t.Errorf("%s -> %s is open", web.name, outside.name)
	}
}

func compare(t *testing.T, r *rand.Rand, seed int, all []peer, counts map[string]int) {
	snap := town(t)
	local, config := clusterName, map[string]string{"cluster-name": clusterName, "enable-host-firewall": "true"}
	switch r.IntN(4) {
	case 0:
		local, config["policy-default-local-cluster"] = types.PolicyAnyCluster, "false"
	case 1: // Not known.
		local = pick(r, types.PolicyAnyCluster, clusterName)
	default:
		config["policy-default-local-cluster"] = "true"
	}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: "cilium-config"},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cilium-config"}, Data: config})
	var rules api.Rules
	var written []string
	refused := map[string]error{}
	for i := range 1 + r.IntN(4) {
		g := generator{r}
		kind, namespace := "CiliumNetworkPolicy", pick(r, "shop", "bank")
		spec := g.spec()
		if r.IntN(3) == 0 {
			kind, namespace = "CiliumClusterwideNetworkPolicy", ""
			if r.IntN(3) == 0 {
				delete(spec, "endpointSelector")
				spec["nodeSelector"] = pick(r, object{}, object{"matchLabels": object{"role": pick(r, "edge", "core")}})
			}
		}
		name := fmt.Sprint("p", i)
		text, err := json.Marshal(map[string]any{
			"apiVersion": "cilium.io/v2", "kind": kind,
			"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, string(text))
		snap.Add(&evidence.Ref{APIVersion: "cilium.io/v2", Kind: kind, Namespace: namespace, Name: name}, &evidence.Custom{JSON: text})
		var object ciliumv2.CiliumNetworkPolicy
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		parsed, err := object.Parse(slog.New(slog.DiscardHandler), local)
		if err != nil {
			refused[name] = err
			continue
		}
		rules = append(rules, parsed...)
	}
	graph := reach.NewGraph(valid(snap, refused), reach.Options{})
	checked := reach.NewGraph(snap, reach.Options{})
	for _, i := range checked.Invalid() {
		if refused[i.Name] == nil {
			t.Errorf("seed %d: Cilium takes %s, Gabion does not: %v\n%s", seed, i.Name, i.Err, strings.Join(written, "\n"))
		}
		delete(refused, i.Name)
		counts["refused"]++
	}
	for name, err := range refused {
		t.Errorf("seed %d: Gabion takes %s, Cilium does not: %v\n%s", seed, name, err, strings.Join(written, "\n"))
	}
	theirs := tables(t, rules, all)
	for _, src := range all {
		for _, dst := range all {
			if src.name == dst.name || !src.subject && !dst.subject {
				continue
			}
			conn := graph.Between(endpoint(t, graph, src), endpoint(t, graph, dst))
			for _, p := range asked {
				yes, no := verdict(theirs, src, dst, p.theirs, p.number)
				if src.name == "node" && yes {
					no = false // A pod is always reached from its own node, unless a rule denies it.
				}
				allowed, unknown := conn.Ports.Contains(p.protocol, p.number), conn.Unknown.Contains(p.protocol, p.number)
				switch {
				case unknown:
					counts["unknown"]++
					continue
				case allowed && no || !allowed && yes:
					t.Errorf("seed %d: %s -> %s %s %d: Gabion allows: %t, Cilium allows: %t, denies: %t\n%s",
						seed, src.name, dst.name, p.protocol, p.number, allowed, yes, no, strings.Join(written, "\n"))
					return
				case allowed:
					counts["allowed"]++
				default:
					counts["denied"]++
				}
			}
		}
	}
}

// valid is a snapshot without the policies that Cilium refuses: of those Gabion says
// that their authors may mean anything.
func valid(snap *evidence.Snapshot, refused map[string]error) *evidence.Snapshot {
	other := *snap
	other.Custom = nil
	for _, c := range snap.Custom {
		if refused[c.Name] == nil {
			other.Custom = append(other.Custom, c)
		}
	}
	return &other
}

func endpoint(t *testing.T, g *reach.Graph, p peer) *reach.Endpoint {
	for _, e := range g.Endpoints() {
		if p.find(e) {
			return e
		}
	}
	t.Fatalf("no endpoint is %s", p.name)
	return nil
}
