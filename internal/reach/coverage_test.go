package reach

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

func TestCoverage(t *testing.T) {
	t.Parallel()
	deny, pass := netpol.Tier{Name: "t", Default: netpol.Deny}, netpol.Tier{Name: "t", Default: netpol.Pass}
	shop := netpol.Named{Of: netpol.Namespace, Name: "shop"}
	web := netpol.Label{Of: netpol.Pod, Key: "app", Values: []string{"web"}}
	hash := netpol.Label{Of: netpol.Pod, Key: "pod-template-hash", Values: []string{"1"}}
	isolates := &netpol.Rules{Isolates: true}
	all := func(peers netpol.Expr) *netpol.Rules {
		return &netpol.Rules{List: []netpol.Rule{{Action: netpol.Deny, Peers: peers, Ports: netpol.AllPorts()}}}
	}
	type says struct{ about, isolated, unknown, bare bool }
	for name, test := range map[string]struct {
		tier    netpol.Tier
		subject netpol.Expr
		ingress *netpol.Rules
		pod     says // of a pod that was read
		unread  says // of another one in its namespace
	}{
		"isolates":              {deny, shop, isolates, says{about: true, isolated: true}, says{about: true, isolated: true}},
		"of another namespace":  {deny, netpol.Named{Of: netpol.Namespace, Name: "bank"}, isolates, says{}, says{}},
		"of the other end":      {deny, shop, nil, says{}, says{}},
		"by label":              {deny, netpol.Every{shop, web}, isolates, says{about: true, isolated: true}, says{about: true, bare: true}},
		"by a label given late": {deny, netpol.Every{shop, hash}, isolates, says{about: true, unknown: true}, says{about: true, bare: true}},
		"does not isolate":      {deny, shop, &netpol.Rules{}, says{about: true}, says{about: true}},
		"passes":                {pass, shop, isolates, says{about: true}, says{about: true}},
		"denies everyone":       {pass, shop, all(netpol.Everyone()), says{about: true, isolated: true}, says{about: true, isolated: true}},
		"denies pods":           {pass, shop, all(netpol.Is{Kind: netpol.OfPod}), says{about: true}, says{about: true}},
		"not read":              {deny, shop, &netpol.Rules{Isolates: true, Unknown: "not read"}, says{about: true, unknown: true}, says{about: true, unknown: true}},
		"perhaps about it":      {deny, netpol.Unknown{Within: shop, Why: "not read"}, isolates, says{about: true, unknown: true}, says{about: true, unknown: true}},
		"doubt and label":       {deny, netpol.Every{web, netpol.Unknown{Within: shop, Why: "not read"}}, isolates, says{about: true, unknown: true}, says{about: true, unknown: true}},
		"of a mesh":             {netpol.Tier{Layer: netpol.Mesh, Default: netpol.Deny}, shop, isolates, says{}, says{}},
	} {
		snap := &evidence.Snapshot{}
		w := addWorkload(snap, "Deployment", "web", map[string]string{"app": "web"}, &corev1.PodSpec{})
		g := graphOf(snap, netpol.Kubernetes, []*netpol.Policy{{Ref: &evidence.Ref{Name: "p"}, Tier: test.tier, Subject: test.subject, Ingress: test.ingress}})
		for e, want := range map[*Endpoint]says{g.Of(w): test.pod, g.Unread("shop"): test.unread} {
			c := g.Coverage(e, netpol.Ingress)
			if got := (says{len(c.By) > 0, c.Isolated, c.Unknown != "", c.Bare}); got != want {
				t.Errorf("%s: %+v of %v, want %+v (%s)", name, got, e, want, c.Unknown)
			}
		}
	}
}

// Of a pod that was not read the policies of its namespace are known, and what they ask
// of its labels is not.
func TestUnread(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, &corev1.Namespace{})
	w := addWorkload(snap, "Deployment", "web", map[string]string{"app": "web"}, &corev1.PodSpec{})
	tier := netpol.Tier{Default: netpol.Deny}
	shop, app := netpol.Named{Of: netpol.Namespace, Name: "shop"}, netpol.Label{Of: netpol.Pod, Key: "app", Values: []string{"other"}}
	rule := func(peers netpol.Expr, port uint16) netpol.Rule {
		return netpol.Rule{Action: netpol.Allow, Peers: peers, Ports: netpol.Ports{Set: ports.Of(ports.TCP, port, port)}}
	}
	g := graphOf(snap, netpol.Kubernetes, []*netpol.Policy{{Ref: &evidence.Ref{Name: "p"}, Tier: tier, Subject: shop,
		Ingress: &netpol.Rules{Isolates: true, List: []netpol.Rule{rule(shop, 1), rule(app, 2), rule(netpol.Every{shop, app}, 3), rule(netpol.Everyone(), 4)}}}})
	for namespace, want := range map[string]string{
		"shop": "TCP 1,4, unknown TCP 2-3",
		"bank": "TCP 4, unknown TCP 2",
		"":     "TCP 4, unknown TCP 2", // it is in none of those that were read
	} {
		c := g.Between(g.Unread(namespace), g.Of(w))
		if got := c.Ports.String() + ", unknown " + c.Unknown.String(); got != want {
			t.Errorf("from a pod of %q: %s, want %s", namespace, got, want)
		}
	}
	if c := g.Between(g.Of(w), g.Unread("bank")); !c.Ports.Equal(ports.All()) {
		t.Errorf("to a namespace without policies: %v", c.Ports)
	}
}
