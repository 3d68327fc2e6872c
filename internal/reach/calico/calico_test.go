package calico

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// object is an object of Calico with a spec in JSON.
func object(version, kind, namespace, name, spec string) *evidence.Custom {
	return &evidence.Custom{
		Ref:  &evidence.Ref{APIVersion: version, Kind: kind, Namespace: namespace, Name: name},
		JSON: fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":%q},"spec":%s}`, version, kind, name, spec),
	}
}

func snapshot(list ...*evidence.Custom) *evidence.Snapshot {
	return &evidence.Snapshot{Custom: list}
}

// TestLimits looks at the words for what a rule restricts beyond ports.
func TestLimits(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		`{"action":"Allow","http":{"methods":["GET","HEAD"],"paths":[{"exact":"/a"},{"prefix":"/b"}]}}`: "HTTP GET,HEAD /a,/b*",
		`{"action":"Allow","protocol":"TCP","source":{"ports":[53]}}`:                                   "certain ports of the client",
		`{"action":"Allow","protocol":"TCP","destination":{"ports":[53]}}`:                              "",
	} {
		valid, invalid := Read(snapshot(object("projectcalico.org/v3", "NetworkPolicy", "shop", "p", `{"ingress":[`+rule+`]}`)))
		if len(invalid) > 0 || len(valid) != 1 {
			t.Fatalf("%s: %v", rule, invalid)
		}
		if got := valid[0].Ingress.List[0].Limits; got != want {
			t.Errorf("%s: limits %q, want %q", rule, got, want)
		}
	}
}

// TestTypes holds every way to say, or not to say, which directions a policy is about.
func TestTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, spec string
		in, out       bool
	}{
		{"projectcalico.org/v3", `{}`, true, false},
		{"projectcalico.org/v3", `{"ingress":[{"action":"Allow"}]}`, true, false},
		{"projectcalico.org/v3", `{"egress":[{"action":"Allow"}]}`, false, true},
		{"projectcalico.org/v3", `{"egress":[{"action":"Allow"}],"ingress":[{"action":"Allow"}]}`, true, true},
		{"projectcalico.org/v3", `{"egress":[{"action":"Allow"}],"types":["Ingress"]}`, true, false},
		{"projectcalico.org/v3", `{"types":["Egress"]}`, false, true},
		{"crd.projectcalico.org/v1", `{"egress":[{"action":"Allow"}]}`, true, true},
		{"crd.projectcalico.org/v1", `{"egress":[{"action":"Allow"}],"types":["Egress"]}`, false, true},
	} {
		valid, invalid := Read(snapshot(object(test.version, "GlobalNetworkPolicy", "", "p", test.spec)))
		if len(valid) != 1 {
			t.Fatalf("%+v: %v", test, invalid)
		}
		if in, out := valid[0].Ingress != nil, valid[0].Egress != nil; in != test.in || out != test.out {
			t.Errorf("%+v: in %t, out %t", test, in, out)
		}
	}
}

// TestTwins proves that what a cluster shows in both groups is read once.
func TestTwins(t *testing.T) {
	t.Parallel()
	valid, _ := Read(snapshot(
		object("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "", "default.a", `{"tier":"default"}`),
		object("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "", "default.b", `{"tier":"default"}`),
		object("projectcalico.org/v3", "GlobalNetworkPolicy", "", "a", `{}`),
		object("projectcalico.org/v3", "GlobalNetworkPolicy", "", "default.b", `{}`),
		object("projectcalico.org/v3", "NetworkPolicy", "shop", "knp.default.web", `{}`),
	))
	var names []string
	for _, p := range valid {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "a default.b" {
		t.Errorf("read %s", got)
	}
}

// TestManyObjects reads what grows in one place, which must not cost its square.
func TestManyObjects(t *testing.T) {
	t.Parallel()
	var list []*evidence.Custom
	for i := range 2000 {
		list = append(list,
			object("projectcalico.org/v3", "GlobalNetworkSet", "", fmt.Sprint("set", i), fmt.Sprintf(`{"nets":["198.18.%d.%d/32"]}`, i/256, i%256)),
			object("projectcalico.org/v3", "NetworkPolicy", "shop", fmt.Sprint("policy", i), `{"ingress":[{"action":"Allow","source":{"namespaceSelector":"global()"}}]}`))
	}
	rules := strings.Repeat(`{"action":"Allow","destination":{"selector":"has(a)"}},{"action":"Deny"},`, 1000)
	list = append(list, object("projectcalico.org/v3", "GlobalNetworkPolicy", "", "long", `{"ingress":[`+strings.TrimSuffix(rules, ",")+`]}`))
	start := time.Now()
	valid, invalid := Read(snapshot(list...))
	if len(invalid) > 0 || len(valid) != 2000+1+2000 {
		t.Errorf("%d policies, %v", len(valid), invalid)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

// check fails on a policy that the engine could not work with.
func check(t *testing.T, p *netpol.Policy) {
	t.Helper()
	if p.Ref == nil || p.Subject == nil || p.Tier.Name == "" || p.Tier.Default != netpol.Deny && p.Tier.Default != netpol.Pass {
		t.Errorf("incomplete: %+v", p)
	}
	for _, side := range []*netpol.Rules{p.Ingress, p.Egress} {
		if side == nil {
			continue
		}
		for _, r := range side.List {
			if r.Peers == nil || r.Action < netpol.Allow || r.Action > netpol.Pass || r.Limits != "" && r.Action != netpol.Allow {
				t.Errorf("incomplete rule: %+v", r)
			}
			if r.Ports.Set.Empty() && len(r.Ports.Named) == 0 {
				t.Errorf("rule without ports: %+v", r)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for kind, specs := range map[string][]string{
		"NetworkPolicy": {
			`{"selector":"a == 'b'","ingress":[{"action":"Allow","protocol":"TCP","source":{"selector":"has(c)","nets":["10.0.0.0/8"]},"destination":{"ports":[80,"http","1:5"]}}]}`,
			`{"egress":[{"action":"Deny","notProtocol":17,"source":{"serviceAccounts":{"names":["a"],"selector":"x != 'y'"}},"destination":{"notPorts":[1],"services":{"name":"s"}}}],"order":3.5}`,
			`{"ingress":[{"action":"Pass","protocol":"ICMP","icmp":{"type":8},"notICMP":{"type":3,"code":1}}],"types":["Ingress","Egress"]}`,
		},
		"GlobalNetworkPolicy": {`{"doNotTrack":true,"applyOnForward":true,"namespaceSelector":"all()","serviceAccountSelector":"!has(x)"}`},
		"Tier":                {`{"order":1,"defaultAction":"Pass"}`},
		"NetworkSet":          {`{"nets":["10.0.0.0/8","::1"]}`},
		"HostEndpoint":        {`{"node":"n","interfaceName":"*","expectedIPs":["10.0.0.1"],"profiles":["projectcalico-default-allow","p"],"ports":[{"name":"http","protocol":"TCP","port":80}]}`},
		"Profile":             {`{"ingress":[{"action":"Allow"}],"labelsToApply":{"a":"b"}}`},
		"FelixConfiguration":  {`{"failsafeInboundHostPorts":[{"port":22,"net":"10.0.0.0/8"}]}`},
	} {
		for _, spec := range specs {
			f.Add(kind, spec, false)
			f.Add(kind, spec, true)
		}
	}
	f.Fuzz(func(t *testing.T, kind, spec string, stored bool) {
		version, namespace := "projectcalico.org/v3", ""
		if stored {
			version = "crd.projectcalico.org/v1"
		}
		if kind == "NetworkPolicy" || kind == "NetworkSet" {
			namespace = "shop"
		}
		given := object(version, kind, namespace, "given", spec)
		valid, invalid := Read(snapshot(given,
			object("projectcalico.org/v3", "GlobalNetworkPolicy", "", "all", `{"ingress":[{"action":"Allow","source":{"selector":"a == 'b'"}}]}`),
			object("projectcalico.org/v3", "HostEndpoint", "", "host", `{"node":"other","interfaceName":"*"}`)))
		for _, p := range valid {
			check(t, p)
		}
		for _, i := range invalid {
			if i.Ref != given.Ref || i.Err == nil {
				t.Errorf("%s: %v", i.Ref, i.Err)
			}
		}
	})
}
