//go:build cluster

package kubernetes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	controlplane "github.com/gabion-k8s/gabion/test/cluster"
)

// TestAPIServer holds that a NetworkPolicy is refused here where the API server refuses
// it, for random policies with few faults each. Blocks with bits beyond their
// prefix are not among them: new API servers refuse them, but keep policies that
// have them.
func TestAPIServer(t *testing.T) {
	c := controlplane.Start(t, controlplane.Options{NoControllers: true, NoScheduler: true})
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for seed := range uint64(1500) {
		d := dice{rand.New(rand.NewPCG(seed, 0xa51))}
		spec := d.spec()
		text, err := yaml.YAMLToJSON([]byte("{apiVersion: " + v1 + ", kind: NetworkPolicy, metadata: {name: p}, spec: " + spec + "}"))
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		theirs := client.NetworkingV1().RESTClient().Post().Namespace("default").Resource("networkpolicies").
			Param("dryRun", "All").Body(text).Do(context.Background()).Error()
		if theirs != nil && !apierrors.IsInvalid(theirs) {
			t.Fatalf("%s: %v", spec, theirs)
		}
		_, ours := read(t, network, spec)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("seed %d: %s\nAPI server: %v\n      here: %v", seed, spec, theirs, ours)
		}
		if ours != nil {
			refused++
		}
	}
	if refused < 300 || refused > 1200 {
		t.Errorf("%d are refused: the policies try too little", refused)
	}
}

// dice write NetworkPolicies as YAML.
type dice struct{ *rand.Rand }

// of is one of a list, mostly of its good part.
func (d dice) of(good, bad []string) string {
	if d.IntN(16) == 0 {
		return bad[d.IntN(len(bad))]
	}
	return good[d.IntN(len(good))]
}

// list is none to two things.
func (d dice) list(thing func() string) string {
	var all []string
	for range d.IntN(3) {
		all = append(all, thing())
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func (d dice) spec() string {
	return fmt.Sprintf("{podSelector: %s, policyTypes: %s, ingress: %s, egress: %s}", d.selector(),
		d.of([]string{"[]", "[Ingress]", "[Egress, Ingress]", "[Egress, Egress]"}, []string{"[Ingress, Egress, Egress]", "[ingress]", "['']", "[Both]"}),
		d.list(func() string { return fmt.Sprintf("{from: %s, ports: %s}", d.list(d.peer), d.list(d.port)) }),
		d.list(func() string { return fmt.Sprintf("{to: %s, ports: %s}", d.list(d.peer), d.list(d.port)) }))
}

func (d dice) selector() string {
	return d.of([]string{
		"{}", "{matchLabels: {a: b}}", "{matchLabels: {example.com/a: ''}}", "{matchExpressions: [{key: a, operator: In, values: [b, c]}]}",
		"{matchExpressions: [{key: a, operator: Exists}, {key: b, operator: DoesNotExist}]}", "{matchExpressions: [{key: a, operator: NotIn, values: ['']}]}",
	}, []string{
		"{matchLabels: {'a b': c}}", "{matchLabels: {'': c}}", "{matchLabels: {a: 'b c'}}", "{matchLabels: {Example.com/a: b}}", "{matchLabels: {a/b/c: d}}",
		"{matchLabels: {a: " + strings.Repeat("b", 64) + "}}", "{matchExpressions: [{key: a, operator: In}]}", "{matchExpressions: [{key: a, operator: NotIn, values: []}]}",
		"{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", "{matchExpressions: [{key: a, operator: in, values: [b]}]}",
		"{matchExpressions: [{key: a, operator: In, values: ['-b']}]}", "{matchExpressions: [{operator: Exists}]}", "{matchExpressions: [{key: a}]}",
	})
}

func (d dice) peer() string {
	switch d.IntN(4) {
	case 0:
		return "{podSelector: " + d.selector() + "}"
	case 1:
		return "{namespaceSelector: " + d.selector() + ", podSelector: " + d.selector() + "}"
	case 2:
		return d.of([]string{
			"{ipBlock: {cidr: 10.0.0.0/8}}", "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 10.0.0.0/8]}}", "{ipBlock: {cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}}",
			"{ipBlock: {cidr: '::/0'}}", "{ipBlock: {cidr: 192.0.2.1/32}}",
		}, []string{
			"{ipBlock: {cidr: 10.0.0.0}}", "{ipBlock: {cidr: ''}}", "{ipBlock: {}}", "{ipBlock: {cidr: 10.0.0.0/33}}", "{ipBlock: {cidr: 010.0.0.0/8}}", "{ipBlock: {cidr: 10.0.0.0/08}}",
			"{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}", "{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", "{ipBlock: {cidr: 10.0.0.0/8, except: [0.0.0.0/0]}}",
			"{ipBlock: {cidr: 0.0.0.0/0, except: ['::/64']}}", "{ipBlock: {cidr: '::/0', except: [10.0.0.0/8]}}", "{ipBlock: {cidr: 10.0.0.0/8, except: ['']}}",
			"{ipBlock: {cidr: 'fe80::%eth0/64'}}", "{ipBlock: {cidr: ' 10.0.0.0/8'}}",
		})
	}
	return d.of([]string{"{namespaceSelector: " + d.selector() + "}"},
		[]string{"{}", "{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", "{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}"})
}

func (d dice) port() string {
	return d.of([]string{
		"{port: 80}", "{port: 1, endPort: 65535}", "{port: 80, endPort: 80, protocol: UDP}", "{protocol: SCTP}", "{}", "{port: http}", "{port: fifteen-letters, protocol: TCP}", "{port: 9-a}", "{port: '80a'}",
	}, []string{
		"{port: 0}", "{port: 65536}", "{port: -1}", "{port: 80, endPort: 79}", "{port: 80, endPort: 65536}", "{port: 80, endPort: 0}", "{endPort: 80}", "{port: http, endPort: 80}", "{port: ''}",
		"{port: sixteen--letters}", "{port: a--b}", "{port: -a}", "{port: a-}", "{port: '80'}", "{port: HTTP}", "{port: a_b}", "{protocol: tcp}", "{protocol: ICMP}", "{protocol: ''}",
	})
}
