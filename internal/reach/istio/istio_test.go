package istio

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

func object(kind, namespace, name, spec string) *evidence.Custom {
	return &evidence.Custom{
		Ref:  &evidence.Ref{APIVersion: "security.istio.io/v1", Kind: kind, Namespace: namespace, Name: name},
		JSON: fmt.Appendf(nil, `{"spec":%s}`, spec),
	}
}

func aged(c *evidence.Custom, day int) *evidence.Custom {
	c.Created = time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
	return c
}

func namespace(name string, labels map[string]string) *evidence.Object[corev1.Namespace] {
	return &evidence.Object[corev1.Namespace]{
		Ref:   &evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: name, Labels: labels},
		Value: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}},
	}
}

func workload(namespace, name string, labels map[string]string, containers ...string) *evidence.Workload {
	pod := &corev1.PodSpec{}
	for _, c := range containers {
		pod.Containers = append(pod.Containers, corev1.Container{Name: c})
	}
	return &evidence.Workload{
		Ref: &evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: name}, Pod: pod, PodLabels: labels,
	}
}

// TestMTLS holds who decides the mode of a pod with the label app=web in namespace shop.
func TestMTLS(t *testing.T) {
	t.Parallel()
	const (
		web   = `"selector":{"matchLabels":{"app":"web"}}`
		other = `"selector":{"matchLabels":{"app":"db"}}`
	)
	mtls := func(mode string) string { return `"mtls":{"mode":"` + mode + `"}` }
	peer := func(namespace, name string, parts ...string) *evidence.Custom {
		return object("PeerAuthentication", namespace, name, "{"+strings.Join(parts, ",")+"}")
	}
	for name, test := range map[string]struct {
		policies []*evidence.Custom
		want     string
	}{
		"none":                {nil, "PERMISSIVE by nobody"},
		"mesh":                {[]*evidence.Custom{peer("istio-system", "m", mtls("STRICT"))}, "STRICT by m"},
		"namespace over mesh": {[]*evidence.Custom{peer("istio-system", "m", mtls("STRICT")), peer("shop", "n", mtls("DISABLE"))}, "DISABLE by n"},
		"unset":               {[]*evidence.Custom{peer("istio-system", "m", mtls("STRICT")), peer("shop", "n", mtls("UNSET"))}, "STRICT by m"},
		"no mtls at all":      {[]*evidence.Custom{peer("istio-system", "m", mtls("STRICT")), peer("shop", "n")}, "STRICT by m"},
		"workload":            {[]*evidence.Custom{peer("shop", "n", mtls("STRICT")), peer("shop", "w", web, mtls("PERMISSIVE"))}, "PERMISSIVE by w"},
		"workload unset":      {[]*evidence.Custom{peer("shop", "n", mtls("STRICT")), peer("shop", "w", web)}, "STRICT by n"},
		"another workload":    {[]*evidence.Custom{peer("shop", "w", other, mtls("STRICT"))}, "PERMISSIVE by nobody"},
		"another namespace":   {[]*evidence.Custom{peer("bank", "n", mtls("STRICT"))}, "PERMISSIVE by nobody"},
		"selector in root":    {[]*evidence.Custom{peer("istio-system", "m", web, mtls("STRICT"))}, "PERMISSIVE by nobody"},
		"empty selector":      {[]*evidence.Custom{peer("shop", "n", `"selector":{}`, mtls("STRICT"))}, "STRICT by n"},
		"ports": {
			[]*evidence.Custom{peer("shop", "n", mtls("STRICT")), peer("shop", "w", web, `"portLevelMtls":{"80":{"mode":"DISABLE"},"81":{}}`)},
			"STRICT by n, 80 DISABLE 81 STRICT by w",
		},
		"refused":  {[]*evidence.Custom{peer("shop", "n", mtls("STRICT"), `"portLevelMtls":{"80":{"mode":"DISABLE"}}`)}, "PERMISSIVE by nobody"},
		"two":      {[]*evidence.Custom{peer("shop", "a", mtls("STRICT")), peer("shop", "b", mtls("DISABLE"))}, "STRICT by a, perhaps"},
		"two aged": {[]*evidence.Custom{aged(peer("shop", "a", mtls("STRICT")), 2), aged(peer("shop", "b", mtls("DISABLE")), 1)}, "DISABLE by b"},
		"new field": {
			[]*evidence.Custom{peer("shop", "a", mtls("STRICT"), `"more":{}`)}, "STRICT by a, perhaps",
		},
	} {
		m := New(&evidence.Snapshot{
			Custom:     test.policies,
			Namespaces: []*evidence.Object[corev1.Namespace]{namespace("shop", nil), namespace("istio-system", nil)},
		})
		if got := describe(m.MTLS(workload("shop", "web", map[string]string{"app": "web"}))); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func describe(tls MTLS) string {
	by := func(p *PeerAuthentication) string {
		if p == nil {
			return "by nobody"
		}
		return "by " + p.Name
	}
	text := tls.Mode.String() + " " + by(tls.By)
	if len(tls.Ports) > 0 {
		text += fmt.Sprintf(", 80 %s 81 %s %s", tls.Ports[80], tls.Ports[81], by(tls.PortsBy))
	}
	if tls.Unknown != "" {
		text += ", perhaps"
	}
	return text
}

// TestMTLSIncomplete proves that the default is not claimed where more may exist.
func TestMTLSIncomplete(t *testing.T) {
	t.Parallel()
	m := New(&evidence.Snapshot{Namespaces: []*evidence.Object[corev1.Namespace]{namespace("shop", nil)}})
	if tls := m.NamespaceMTLS("shop"); tls.Mode != Permissive || !strings.Contains(tls.Missing, `"istio-system"`) {
		t.Errorf("%+v", tls)
	}
}

// TestMTLSInRoot proves that no policy selects pods of the root namespace, either.
func TestMTLSInRoot(t *testing.T) {
	t.Parallel()
	m := New(&evidence.Snapshot{Custom: []*evidence.Custom{
		object("PeerAuthentication", "istio-system", "m", `{"selector":{"matchLabels":{"app":"web"}},"mtls":{"mode":"STRICT"}}`),
	}})
	if got := describe(m.MTLS(workload("istio-system", "web", map[string]string{"app": "web"}))); got != "PERMISSIVE by nobody" {
		t.Error(got)
	}
}

// TestMember holds which pods are in the mesh, in the way of a namespace and of a pod.
func TestMember(t *testing.T) {
	t.Parallel()
	labels := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	enabled, air := labels("istio-injection", "enabled"), labels("istio.io/dataplane-mode", "ambient")
	for _, test := range []struct {
		namespace, pod map[string]string
		containers     []string
		running        int
		want           Part
		doubt          bool
	}{
		{namespace: labels(), want: Outside},
		{namespace: enabled, want: Sidecar},
		{namespace: labels("istio.io/rev", "stable"), want: Sidecar},
		{namespace: labels("istio.io/rev", "stable", "istio-injection", "disabled"), want: Outside},
		{namespace: enabled, pod: labels(InjectKey, "false"), want: Outside},
		{namespace: labels(), pod: labels(InjectKey, "true"), want: Sidecar},
		{namespace: labels("istio-injection", "disabled"), pod: labels(InjectKey, "true"), want: Outside},
		{namespace: labels(), pod: labels("istio.io/rev", "stable"), want: Sidecar},
		{namespace: air, want: Ambient},
		{namespace: air, pod: labels("istio.io/dataplane-mode", "none"), want: Outside},
		{namespace: labels(), pod: labels("istio.io/dataplane-mode", "ambient"), want: Ambient},
		{namespace: air, containers: []string{"main", "istio-proxy"}, want: Sidecar},
		{namespace: labels(), containers: []string{"main", "istio-proxy"}, want: Sidecar},
		{namespace: labels(), containers: []string{"istio-proxy"}, want: Gateway},
		{namespace: nil, doubt: true},
		{namespace: nil, pod: labels(InjectKey, "true"), want: Sidecar},
		{namespace: nil, containers: []string{"main", "istio-proxy"}, want: Sidecar},
		// What runs is as it runs.
		{namespace: enabled, running: 2, want: Outside},
		{namespace: enabled, running: 2, containers: []string{"main", "istio-proxy"}, want: Sidecar},
	} {
		snap := &evidence.Snapshot{}
		if test.namespace != nil {
			snap.Namespaces = append(snap.Namespaces, namespace("shop", test.namespace))
		}
		if test.containers == nil {
			test.containers = []string{"main"}
		}
		w := workload("shop", "web", test.pod, test.containers...)
		w.Running = test.running
		snap.Workloads = append(snap.Workloads, w)
		if got, doubt := New(snap).PartOf(w); got != test.want || (doubt != "") != test.doubt {
			t.Errorf("%+v: %d, %q", test, got, doubt)
		}
	}
}

// TestRunningDiffers proves that a template whose pods run with a proxy is one whose
// pods get one, and that those pods are in the mesh.
func TestRunningDiffers(t *testing.T) {
	t.Parallel()
	template := workload("shop", "web", nil, "main")
	runs := workload("shop", "web", nil, "main", "istio-proxy")
	template.Running, runs.Running, runs.Template = 2, 2, template
	m := New(&evidence.Snapshot{
		Workloads:  []*evidence.Workload{template, runs},
		Namespaces: []*evidence.Object[corev1.Namespace]{namespace("shop", map[string]string{"istio-injection": "enabled"})},
	})
	for _, w := range []*evidence.Workload{template, runs} {
		if got, doubt := m.PartOf(w); got != Sidecar || doubt != "" {
			t.Errorf("%d, %q", got, doubt)
		}
	}
}

// TestPatterns compares what is matched by hand with regular expressions.
func TestPatterns(t *testing.T) {
	t.Parallel()
	texts := []string{"", "a", "b", "ab", "ba", "aba", "abab", "cluster.local/ns/a/sa/b"}
	patterns := []string{"*", "a", "a*", "*a", "ab", "*b", "cluster.local/ns/a/sa/b", "cluster.local/*", "*/sa/b"}
	for _, p := range patterns {
		anything := ".*"
		if p == "*" {
			anything = ".+"
		}
		re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, anything) + "$")
		for _, text := range texts {
			if got, want := like(text, p), re.MatchString(text); got != want {
				t.Errorf("%q like %q: %t", text, p, got)
			}
		}
	}
	for _, p := range append(patterns, "a*a", "a*b*a", "**", "*b*", "a**b") {
		re := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$")
		for _, text := range texts {
			if got, want := inNamespace(workload(text, "w", nil), p), re.MatchString(text); got != want {
				t.Errorf("namespace %q like %q: %t", text, p, got)
			}
		}
	}
}

// TestTrustDomain proves that names of a mesh with its own trust domain are still meant
// by cluster.local.
func TestTrustDomain(t *testing.T) {
	t.Parallel()
	m := New(&evidence.Snapshot{ConfigMaps: []*evidence.Object[corev1.ConfigMap]{{
		Ref:   &evidence.Ref{Kind: "ConfigMap", Namespace: "istio-system", Name: "istio-stable"},
		Value: &corev1.ConfigMap{Data: map[string]string{"mesh": "accessLogFile: /dev/stdout\r\ntrustDomain: 'td' # x\nrootNamespace:\n"}},
	}}})
	if m.trust != "td" || m.Root != "istio-system" {
		t.Errorf("trust %q, root %q", m.trust, m.Root)
	}
	for name, want := range map[string]bool{
		"td/ns/shop/sa/default": true, "cluster.local/ns/shop/sa/default": true, "cluster.local/ns/shop/*": true, "*": true,
		"other/ns/shop/sa/default": false, "td/ns/shop/sa/web": false, "td/ns/bank/*": false, "": false,
	} {
		if got := m.isPrincipal(workload("shop", "web", nil), name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

// TestLimits looks at the words for what a rule restricts beyond ports.
func TestLimits(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string][]string{
		`{}`: {""},
		`{"to":[{"operation":{"methods":["GET"],"paths":["/a*"],"notHosts":["x"]}}]}`:                              {"method GET, path /a*, any host but x"},
		`{"to":[{"operation":{"ports":["80"]}},{"operation":{"methods":["GET"]}},{"operation":{"paths":["/b"]}}]}`: {"", "method GET, or path /b"},
		`{"from":[{"source":{"requestPrincipals":["*"]}}],"when":[{"key":"request.headers[a]","notValues":["b"]}]}`: {
			"requests with a token of *; request.headers[a] other than b",
		},
		`{"from":[{"source":{"remoteIpBlocks":["10.0.0.0/8"]}}]}`: {"clients that a proxy names as 10.0.0.0/8"},
	} {
		valid, invalid := Read(&evidence.Snapshot{Custom: []*evidence.Custom{object("AuthorizationPolicy", "shop", "p", `{"rules":[`+rule+`]}`)}})
		if len(valid) != 1 {
			t.Fatalf("%s: %v", rule, invalid)
		}
		var got []string
		for _, r := range valid[0].Ingress.List[:len(valid[0].Ingress.List)-1] {
			got = append(got, r.Limits)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
}

// TestManyWorkloads reads what grows in one place, which must not cost its square.
func TestManyWorkloads(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{Namespaces: []*evidence.Object[corev1.Namespace]{namespace("shop", map[string]string{"istio-injection": "enabled"})}}
	for i := range 5000 {
		snap.Workloads = append(snap.Workloads, workload("shop", fmt.Sprint("w", i), map[string]string{"app": fmt.Sprint(i)}, "main"))
	}
	for i := range 1000 {
		snap.Custom = append(snap.Custom, object("AuthorizationPolicy", "shop", fmt.Sprint("p", i), `{"rules":[{"from":[{"source":{"namespaces":["shop"]}}]}]}`))
	}
	snap.Custom = append(snap.Custom, object("PeerAuthentication", "shop", "p", `{"mtls":{"mode":"STRICT"}}`))
	start := time.Now()
	valid, invalid := Read(snap)
	if len(valid) != 1001 || len(invalid) > 0 {
		t.Errorf("%d, %v", len(valid), invalid)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func FuzzRead(f *testing.F) {
	for kind, specs := range map[string][]string{
		"PeerAuthentication": {
			`{"mtls":{"mode":"STRICT"}}`, `{"selector":{"matchLabels":{"app":"web"}},"portLevelMtls":{"80":{"mode":"DISABLE"}}}`,
		},
		"AuthorizationPolicy": {
			`{}`, `{"action":"DENY","rules":[{}]}`, `{"action":"CUSTOM","provider":{"name":"x"},"rules":[{"to":[{"operation":{"ports":["80"]}}]}]}`,
			`{"selector":{"matchLabels":{"app":"web"}},"rules":[{"from":[{"source":{"principals":["*"],"notNamespaces":["a"],"ipBlocks":["10.0.0.0/8"]}}],` +
				`"to":[{"operation":{"hosts":["a"],"notPorts":["1"],"methods":["GET"]}}],"when":[{"key":"source.ip","notValues":["::1"]},{"key":"request.headers[a]","values":["b"]}]}]}`,
			`{"targetRefs":[{"kind":"Service","name":"web"}],"rules":[{"from":[{"source":{"serviceAccounts":["a/b"],"trustDomains":["*x"]}}]}]}`,
		},
	} {
		for _, spec := range specs {
			f.Add(kind, spec)
		}
	}
	f.Fuzz(func(t *testing.T, kind, spec string) {
		valid, invalid := Read(&evidence.Snapshot{
			Custom:     []*evidence.Custom{object(kind, "shop", "given", spec)},
			Workloads:  []*evidence.Workload{workload("shop", "web", map[string]string{"app": "web"}, "main"), workload("air", "web", nil, "main"), workload("far", "web", nil, "main")},
			Namespaces: []*evidence.Object[corev1.Namespace]{namespace("shop", map[string]string{"istio-injection": "enabled"}), namespace("air", map[string]string{dataplaneKey: "ambient"})},
		})
		if len(valid) > 0 && len(invalid) > 0 {
			t.Errorf("both valid and not: %v", invalid[0].Err)
		}
		for _, p := range valid {
			if p.Egress != nil || p.Ingress == nil || p.Tier.Layer != netpol.Mesh || p.Tier.Name == "" || p.Tier.Default == 0 || p.Subject == nil {
				t.Errorf("incomplete: %+v", p)
			}
			for _, r := range p.Ingress.List {
				if r.Peers == nil || r.Action != netpol.Allow && r.Action != netpol.Deny || r.Limits != "" && r.Action == netpol.Deny {
					t.Errorf("incomplete rule: %+v", r)
				}
			}
		}
	})
}
