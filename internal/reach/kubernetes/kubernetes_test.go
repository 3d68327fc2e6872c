package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// add puts a policy of a kind with a spec, written as YAML, into a snapshot.
func add(t testing.TB, snap *evidence.Snapshot, apiVersion, kind, name, spec string) {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte("spec: " + spec))
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	ref := &evidence.Ref{APIVersion: apiVersion, Kind: kind, Name: name}
	if kind != "NetworkPolicy" {
		snap.Add(ref, &evidence.Custom{JSON: text})
		return
	}
	ref.Namespace = "shop"
	var p networkingv1.NetworkPolicy
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	snap.Add(ref, &p)
}

const (
	v1     = "networking.k8s.io/v1"
	alpha1 = group + "/v1alpha1"
	alpha2 = group + "/v1alpha2"

	network  = "NetworkPolicy"
	admin    = "AdminNetworkPolicy"
	base     = "BaselineAdminNetworkPolicy"
	cluster  = "ClusterNetworkPolicy"
	allShop  = "{namespaces: {matchLabels: {trade: shop}}}"
	fromShop = "from: [" + allShop + "]"
	toShop   = "to: [" + allShop + "]"
)

func versionOf(kind string) string {
	switch kind {
	case network:
		return v1
	case cluster:
		return alpha2
	}
	return alpha1
}

func nameOf(kind string) string {
	if kind == base {
		return singleton
	}
	return "p"
}

// read reads one policy.
func read(t testing.TB, kind, spec string) (*netpol.Policy, error) {
	t.Helper()
	snap := &evidence.Snapshot{}
	add(t, snap, versionOf(kind), kind, nameOf(kind), spec)
	valid, invalid := Read(snap, netpol.Kubernetes)
	if len(valid)+len(invalid) != 1 {
		t.Fatalf("%s: %d policies and %d that are not valid", spec, len(valid), len(invalid))
	}
	if len(invalid) > 0 {
		return nil, invalid[0].Err
	}
	return valid[0], nil
}

// TestInvalid gives every fault that the API server or the definition of the kind
// refuses, each beside a policy that differs in just that and is valid.
func TestInvalid(t *testing.T) {
	t.Parallel()
	egress := func(rule string) string { return "{podSelector: {}, egress: [{" + rule + "}]}" }
	ingress := func(rule string) string { return "{podSelector: {}, ingress: [{" + rule + "}]}" }
	anp := func(rest string) string { return "{priority: 5, subject: " + allShop + ", " + rest + "}" }
	banp := func(rest string) string { return "{subject: " + allShop + ", " + rest + "}" }
	cnp := func(rest string) string { return "{tier: Admin, priority: 5, subject: " + allShop + ", " + rest + "}" }
	many := func(n int, s string) string { return strings.Repeat(s+", ", n-1) + s }
	for _, c := range []struct{ kind, good, bad, want string }{
		{network, "{podSelector: {}}", "{podSelector: {matchLabels: {'a b': c}}}", `spec.podSelector.matchLabels.a b: key`},
		{network, "{podSelector: {matchLabels: {a: b}}}", "{podSelector: {matchLabels: {a: 'b c'}}}", "spec.podSelector.matchLabels.a: value"},
		{network, "{podSelector: {matchExpressions: [{key: a, operator: Exists}]}}", "{podSelector: {matchExpressions: [{key: a, operator: Has}]}}", `spec.podSelector.matchExpressions[0]: "Has"`},
		{network, "{podSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}", "{podSelector: {matchExpressions: [{key: a, operator: In}]}}", "with 0 values"},
		{network, "{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}}", "{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]}}", "with 1 values"},
		{network, "{policyTypes: [Ingress, Egress]}", "{policyTypes: [Ingress, Egress, Ingress]}", "spec.policyTypes: more"},
		{network, "{policyTypes: [Egress]}", "{policyTypes: [egress]}", `spec.policyTypes[0]: "egress"`},
		{network, ingress("from: [{podSelector: {}}]"), ingress("from: [{}]"), "spec.ingress[0].from[0]: names no peer"},
		{network, ingress("from: [{ipBlock: {cidr: 10.0.0.0/8}}]"), ingress("from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]"), "beside a selector"},
		{network, ingress("from: [{ipBlock: {cidr: '::/0'}}]"), ingress("from: [{ipBlock: {cidr: 10.0.0.1}}]"), "spec.ingress[0].from[0].ipBlock.cidr"},
		{network, ingress("from: [{ipBlock: {cidr: 10.0.0.1/8}}]"), ingress("from: [{ipBlock: {cidr: 10.0.0.1/33}}]"), "cidr"},
		{network, ingress("from: [{ipBlock: {cidr: 10.0.0.0/8}}]"), ingress("from: [{ipBlock: {cidr: ''}}]"), "cidr"},
		{network, egress("to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9]}}]"), egress("to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]"), "spec.egress[0].to[0].ipBlock.except[0]"},
		{network, egress("to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 11.0.0.0/8]}}]"), egress("to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, '2001:db8::/32']}}]"), "except[1]"},
		{network, egress("ports: [{port: 80, protocol: SCTP}]"), egress("ports: [{port: 80, protocol: ICMP}]"), `spec.egress[0].ports[0]: protocol "ICMP"`},
		{network, egress("ports: [{port: 65535}]"), egress("ports: [{port: 65536}]"), "port 65536"},
		{network, egress("ports: [{port: 1}]"), egress("ports: [{port: 0}]"), "port 0"},
		{network, egress("ports: [{port: 80, endPort: 80}]"), egress("ports: [{port: 80, endPort: 79}]"), "endPort 79"},
		{network, egress("ports: [{port: 80, endPort: 65535}]"), egress("ports: [{port: 80, endPort: 65536}]"), "endPort 65536"},
		{network, egress("ports: [{protocol: UDP}]"), egress("ports: [{protocol: UDP, endPort: 80}]"), "endPort without port"},
		{network, egress("ports: [{port: http}]"), egress("ports: [{port: http, endPort: 80}]"), "that is a name"},
		{network, egress("ports: [{port: a-name}]"), egress("ports: [{port: a--name}]"), `port "a--name"`},
		{network, egress("ports: [{port: fifteen-letters}]"), egress("ports: [{port: sixteen--letters}]"), "port"},

		{admin, anp("ingress: []"), "{subject: " + allShop + "}", "spec.priority"},
		{admin, "{priority: 1000, subject: " + allShop + "}", "{priority: 1001, subject: " + allShop + "}", "spec.priority"},
		{admin, "{priority: 0, subject: " + allShop + "}", "{priority: -1, subject: " + allShop + "}", "spec.priority"},
		{admin, anp("ingress: []"), "{priority: 5}", "spec.subject: is missing"},
		{admin, anp("ingress: []"), "{priority: 5, subject: {}}", "spec.subject: not exactly one"},
		{admin, "{priority: 5, subject: {pods: {namespaceSelector: {}, podSelector: {}}}}", "{priority: 5, subject: {namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}}", "not exactly one"},
		{admin, "{priority: 5, subject: {pods: {namespaceSelector: {}, podSelector: {}}}}", "{priority: 5, subject: {pods: {podSelector: {}}}}", "spec.subject.pods.namespaceSelector"},
		{admin, "{priority: 5, subject: {pods: {namespaceSelector: {}, podSelector: {}}}}", "{priority: 5, subject: {pods: {namespaceSelector: {}}}}", "spec.subject.pods.podSelector"},
		{admin, anp("ingress: [{action: Allow, " + fromShop + "}]"), anp("ingress: [{action: Accept, " + fromShop + "}]"), `spec.ingress[0].action: "Accept"`},
		{admin, anp("ingress: [{action: Pass, " + fromShop + "}]"), anp("ingress: [{action: Pass}]"), "spec.ingress[0].from"},
		{admin, anp("egress: [{action: Deny, " + toShop + "}]"), anp("egress: [{action: Deny, to: []}]"), "spec.egress[0].to"},
		{admin, anp("egress: [{action: Deny, to: [{nodes: {}}]}]"), anp("egress: [{action: Deny, to: [{}]}]"), "spec.egress[0].to[0]: not exactly one"},
		{admin, anp("egress: [{action: Deny, to: [{nodes: {}}]}]"), anp("egress: [{action: Deny, to: [{nodes: {}, namespaces: {}}]}]"), "not exactly one"},
		{admin, anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), anp("egress: [{action: Deny, to: [{networks: [10.0.0.0]}]}]"), "spec.egress[0].to[0].networks[0]"},
		{admin, anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), anp("egress: [{action: Deny, to: [{networks: ['::ffff:10.0.0.0/104']}]}]"), "networks[0]"},
		{admin, anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), anp("egress: [{action: Deny, to: [{networks: []}]}]"), "networks"},
		{admin, anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), anp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]}]"), "twice"},
		{admin, anp("egress: [{action: Allow, to: [{domainNames: ['*.example.com']}]}]"), anp("egress: [{action: Allow, to: [{domainNames: ['*example.com']}]}]"), "domainNames[0]"},
		{admin, anp("egress: [{action: Allow, to: [{domainNames: ['a.example.com.']}]}]"), anp("egress: [{action: Allow, to: [{domainNames: ['com']}]}]"), "domainNames[0]"},
		{admin, anp("egress: [{action: Allow, " + toShop + ", ports: [{namedPort: http}]}]"), anp("egress: [{action: Allow, to: [{nodes: {}}], ports: [{namedPort: http}]}]"), "by name"},
		{admin, anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: 80}}]}]"), anp("ingress: [{action: Allow, " + fromShop + ", ports: []}]"), "spec.ingress[0].ports"},
		{admin, anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: 80}}]}]"), anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {protocol: TCP}}]}]"), "from 1 to 65535"},
		{admin, anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: 80}}]}]"), anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: 80}, namedPort: http}]}]"), "exactly one of portNumber"},
		{admin, anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: 80}}]}]"), anp("ingress: [{action: Allow, " + fromShop + ", ports: [{portNumber: {port: '80'}}]}]"), "spec.ingress[0].ports[0]: portNumber.port cannot be a string"},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", name: " + strings.Repeat("n", 100) + "}]"), anp("ingress: [{action: Deny, " + fromShop + ", name: " + strings.Repeat("n", 101) + "}]"), "name: longer"},
		{admin, anp("ingress: [" + many(100, "{action: Deny, "+fromShop+"}") + "]"), anp("ingress: [" + many(101, "{action: Deny, "+fromShop+"}") + "]"), "spec.ingress: more than 100"},
		{admin, anp("ingress: [{action: Deny, from: [" + many(100, allShop) + "]}]"), anp("ingress: [{action: Deny, from: [" + many(101, allShop) + "]}]"), "not 1 to 100"},

		{base, banp("ingress: [{action: Deny, " + fromShop + "}]"), banp("ingress: [{action: Pass, " + fromShop + "}]"), `"Pass" is no action`},
		{base, banp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]"), banp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8], nodes: {}}]}]"), "not exactly one"},

		{cluster, cnp("ingress: []"), "{tier: Default, priority: 5, subject: " + allShop + "}", "spec.tier"},
		{cluster, cnp("ingress: []"), "{priority: 5, subject: " + allShop + "}", "spec.tier"},
		{cluster, cnp("ingress: [{action: Accept, " + fromShop + "}]"), cnp("ingress: [{action: Allow, " + fromShop + "}]"), `"Allow" is no action`},
		{cluster, cnp("ingress: [" + many(25, "{action: Deny, "+fromShop+"}") + "]"), cnp("ingress: [" + many(26, "{action: Deny, "+fromShop+"}") + "]"), "more than 25"},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{tcp: {destinationPort: {number: 80}}}]}]"), cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{tcp: {}}]}]"), "destinationPort is missing"},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{tcp: {destinationPort: {number: 80}}}]}]"), cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{tcp: {destinationPort: {}}}]}]"), "exactly one of number"},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{udp: {destinationPort: {range: {start: 80, end: 81}}}}]}]"), cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{udp: {destinationPort: {range: {start: 80, end: 80}}}}]}]"), "before it ends"},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{sctp: {destinationPort: {number: 65535}}}]}]"), cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{sctp: {destinationPort: {number: 65536}}}]}]"), "from 1 to 65535"},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{destinationNamedPort: http}]}]"), cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{}]}]"), "exactly one of tcp"},
	} {
		if _, err := read(t, c.kind, c.good); err != nil {
			t.Errorf("%s %s is valid: %v", c.kind, c.good, err)
		}
		switch _, err := read(t, c.kind, c.bad); {
		case err == nil:
			t.Errorf("%s %s is taken to be valid", c.kind, c.bad)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s %s: %v, not %q", c.kind, c.bad, err, c.want)
		}
	}
}

func TestNotServed(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{}
	add(t, snap, "extensions/v1beta1", network, "old", "{podSelector: {}}")
	add(t, snap, alpha1, base, "other", "{subject: "+allShop+"}")
	valid, invalid := Read(snap, netpol.Kubernetes)
	if len(valid) != 0 || len(invalid) != 2 {
		t.Fatalf("%d valid, %d not", len(valid), len(invalid))
	}
	for i, want := range []string{"extensions/v1beta1 is not served", "metadata.name"} {
		if got := invalid[i].Err.Error(); !strings.Contains(got, want) {
			t.Errorf("%s: %s, not %q", invalid[i].Ref, got, want)
		}
	}
}

// unknowns collects every reason for which something of a policy is not known, and
// where: of the rules of a direction, of a rule, of the peers of one.
func unknowns(p *netpol.Policy) (list []string) {
	of := func(at string, e netpol.Expr) { list = append(list, inside(at, e)...) }
	of("subject", p.Subject)
	for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
		r := p.Side(d)
		if r == nil {
			continue
		}
		if r.Unknown != "" {
			list = append(list, d.String()+": "+r.Unknown)
		}
		for _, rule := range r.List {
			if rule.Unknown != "" {
				list = append(list, fmt.Sprintf("%s %d: %s", d, rule.Index, rule.Unknown))
			}
			of(fmt.Sprintf("peers %d", rule.Index), rule.Peers)
		}
	}
	return list
}

func inside(at string, e netpol.Expr) (list []string) {
	switch e := e.(type) {
	case netpol.Every:
		for _, part := range e {
			list = append(list, inside(at, part)...)
		}
	case netpol.Some:
		for _, part := range e {
			list = append(list, inside(at, part)...)
		}
	case netpol.Not:
		return inside(at, e.Of)
	case netpol.Unknown:
		return []string{at + ": " + e.Why}
	}
	return list
}

// TestUnknown gives what is valid, or may be in another release of the definitions, and
// says the smallest part that is then not known.
func TestUnknown(t *testing.T) {
	t.Parallel()
	anp := func(rest string) string { return "{priority: 5, subject: " + allShop + ", " + rest + "}" }
	cnp := func(rest string) string { return "{tier: Admin, priority: 5, subject: " + allShop + ", " + rest + "}" }
	for _, c := range []struct {
		kind, spec string
		want       []string
	}{
		{admin, anp("ingress: [{action: Deny, " + fromShop + "}]"), nil},
		{admin, anp("ingress: [{action: Deny, " + fromShop + "}], mode: audit"), []string{"ingress: field spec.mode", "egress: field spec.mode"}},
		{admin, anp("tier: Admin, ingress: [{action: Deny, " + fromShop + "}]"), []string{"ingress: field spec.tier", "egress: field spec.tier"}},
		{admin, "{priority: 5, subject: {namespaces: {}, serviceAccounts: {}}}", []string{"subject: field spec.subject.serviceAccounts"}},
		{admin, "{priority: 5, subject: {namespaces: {matchExpressions: [{key: a, operator: Like}]}}}", []string{"subject: spec.subject.namespaces.matchExpressions[0]"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", log: true}]"), []string{"ingress 0: field spec.ingress[0].log"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", " + toShop + "}]"), []string{"ingress 0: field spec.ingress[0].to"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", protocols: []}]"), []string{"ingress 0: field spec.ingress[0].protocols"}},
		{admin, anp("ingress: [{action: Deny, from: [" + allShop + ", {serviceAccounts: {}}]}]"), []string{"peers 0: field spec.ingress[0].from[1].serviceAccounts"}},
		{admin, anp("ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]"), []string{"peers 0: field spec.ingress[0].from[0].networks"}},
		{admin, anp("ingress: [{action: Deny, from: [{Namespaces: {}}]}]"), []string{"peers 0: field spec.ingress[0].from[0].Namespaces"}},
		{admin, anp("ingress: [{action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: 'b c'}}}}]}]"), []string{"peers 0: spec.ingress[0].from[0].pods.podSelector.matchLabels.a: value"}},
		{admin, anp("egress: [{action: Deny, to: [{nodes: {}}]}]"), []string{"peers 0: it is not known whether the API server runs on a node"}},
		{admin, anp("egress: [{action: Allow, to: [{domainNames: [a.example.com, b.example.com]}]}]"), []string{"peers 0: the addresses of a.example.com, b.example.com are"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", ports: [{portNumber: {port: 80, protocol: DCCP}}]}]"), []string{"ingress 0: spec.ingress[0].ports[0].portNumber: protocol"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", ports: [{portRange: {start: 90, end: 80}}]}]"), []string{"ingress 0: spec.ingress[0].ports[0].portRange: ends"}},
		{admin, anp("ingress: [{action: Deny, " + fromShop + ", ports: [{icmpType: 8}]}]"), []string{"ingress 0: field spec.ingress[0].ports[0].icmpType"}},
		{base, "{priority: 5, subject: " + allShop + "}", []string{"ingress: field spec.priority", "egress: field spec.priority"}},
		{base, "{subject: " + allShop + ", egress: [{action: Allow, to: [{domainNames: [a.example.com]}]}]}", []string{"peers 0: field spec.egress[0].to[0].domainNames"}},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", ports: [{namedPort: http}]}]"), []string{"ingress 0: field spec.ingress[0].ports"}},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{icmp: {}}]}]"), []string{"ingress 0: field spec.ingress[0].protocols[0].icmp"}},
		{cluster, cnp("ingress: [{action: Deny, " + fromShop + ", protocols: [{destinationNamedPort: ''}]}]"), []string{"ingress 0: spec.ingress[0].protocols[0].destinationNamedPort: no name"}},
		{cluster, "{tier: Baseline, priority: 5, subject: {pods: {podSelector: {}}}}", nil},
	} {
		p, err := read(t, c.kind, c.spec)
		if err != nil {
			t.Errorf("%s %s: %v", c.kind, c.spec, err)
			continue
		}
		got := unknowns(p)
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s %s\n got %q\nwant %q", c.kind, c.spec, got, c.want)
		}
	}
}

// TestOtherVersions holds that what a later release may say is not passed over.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ apiVersion, kind string }{
		{group + "/v1beta1", cluster}, {alpha2, admin}, {alpha1, "NamespaceNetworkPolicy"},
	} {
		snap := &evidence.Snapshot{}
		add(t, snap, c.apiVersion, c.kind, "p", "{tier: Admin}")
		valid, invalid := Read(snap, netpol.Kubernetes)
		if len(valid) != 1 || len(invalid) != 0 || len(unknowns(valid[0])) != 2 {
			t.Errorf("%v: %v, %v", c, valid, invalid)
		}
	}
}

// TestDoubt holds that no rule is certain of a kind that the plugin may not enforce.
func TestDoubt(t *testing.T) {
	t.Parallel()
	rules := "subject: " + allShop + ", ingress: [{action: Deny, " + fromShop + "}]}"
	for _, c := range []struct {
		e     netpol.Enforcement
		kinds []string
		want  string
	}{
		{netpol.Kubernetes, []string{admin}, ""},
		{netpol.Calico, []string{cluster}, ""},
		{netpol.Cilium, []string{admin}, "not known to enforce"},
		{netpol.Cilium, []string{cluster}, "1.20"},
		{netpol.Kubernetes, []string{admin, cluster}, "there are both"},
	} {
		snap := &evidence.Snapshot{}
		for _, kind := range c.kinds {
			tier := ""
			if kind == cluster {
				tier = "tier: Admin, "
			}
			add(t, snap, versionOf(kind), kind, "p", "{"+tier+"priority: 5, "+rules)
		}
		valid, _ := Read(snap, c.e)
		if len(valid) != len(c.kinds) {
			t.Fatalf("%v: %d policies", c, len(valid))
		}
		for _, p := range valid {
			if got := p.Ingress.List[0].Unknown; (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s %s: %q, not %q", c.e, p, got, c.want)
			}
		}
	}
}

// TestEnforcement holds where the rules of evaluation differ.
func TestEnforcement(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{}
	add(t, snap, v1, network, "p", "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}")
	for _, c := range []struct {
		e     netpol.Enforcement
		tier  string
		order float64
		plain bool
	}{
		{netpol.Kubernetes, network, 0, true}, {netpol.Calico, "default", 1000, true}, {netpol.Cilium, "Cilium", 0, false},
	} {
		valid, _ := Read(snap, c.e)
		p := valid[0]
		if p.Tier.Name != c.tier || p.Order != c.order || p.Tier.Default != netpol.Deny || !p.Egress.Isolates || !p.Ingress.Isolates {
			t.Errorf("%s: %+v, order %v", c.e, p.Tier, p.Order)
		}
		_, plain := p.Egress.List[0].Peers.(netpol.Some)[0].(netpol.Address)
		if plain != c.plain {
			t.Errorf("%s: the block matches %+v", c.e, p.Egress.List[0].Peers)
		}
	}
}

// TestNames holds who may be meant by the name of a domain.
func TestNames(t *testing.T) {
	t.Parallel()
	world, pods := netpol.Is{Kind: netpol.OfWorld}, netpol.Is{Kind: netpol.OfPod}
	for name, want := range map[string]netpol.Some{"a.example.com": {world}, "*.svc.cluster.local.": {world, pods}} {
		p, err := read(t, cluster, "{tier: Admin, priority: 5, subject: "+allShop+", egress: [{action: Accept, to: ["+allShop+", {domainNames: ['"+name+"']}]}]}")
		if err != nil {
			t.Fatal(err)
		}
		got := p.Egress.List[0].Peers.(netpol.Some)[1].(netpol.Unknown)
		if diff := cmp.Diff(netpol.Expr(want), got.Within); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// FuzzRead holds that no document makes the reader fail, or say nothing of a policy.
func FuzzRead(f *testing.F) {
	for _, spec := range []string{
		`{"priority":5,"subject":{"namespaces":{}},"egress":[{"action":"Deny","to":[{"nodes":{}},{"networks":["::/0"]}],"ports":[{"portRange":{"start":1,"end":2}}]}]}`,
		`{"tier":"Admin","priority":5,"subject":{"pods":{"podSelector":{}}},"ingress":[{"action":"Pass","from":[{"pods":{"podSelector":{}}}],"protocols":[{"tcp":{"destinationPort":{"number":1}}}]}]}`,
		`null`, `[]`, `{"subject":null,"egress":[null]}`, `{"priority":1e99}`,
	} {
		f.Add([]byte(`{"spec":` + spec + `}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		snap := &evidence.Snapshot{}
		for _, kind := range []string{admin, base, cluster} {
			snap.Add(&evidence.Ref{APIVersion: versionOf(kind), Kind: kind, Name: nameOf(kind)}, &evidence.Custom{JSON: text})
		}
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
		if yaml.Unmarshal(text, p) == nil {
			snap.Add(&evidence.Ref{APIVersion: v1, Kind: network, Namespace: "shop", Name: "p"}, p)
		}
		valid, invalid := Read(snap, netpol.Kubernetes)
		if len(valid)+len(invalid) != len(snap.Objects) {
			t.Errorf("%d policies, but %d read and %d not valid", len(snap.Objects), len(valid), len(invalid))
		}
		for _, p := range valid {
			if p.Subject == nil {
				t.Errorf("%s is about nothing", p)
			}
		}
	})
}
