package checks_test

import (
	"cmp"
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// Weak are exactly the suites that crypto/tls lists as insecure: the components are
// programs in Go, and take their names from there.
func TestWeakSuites(t *testing.T) {
	named := func(weak []*tls.CipherSuite) (names []string) {
		for _, s := range weak {
			names = append(names, s.Name)
		}
		return names
	}
	insecure := named(tls.InsecureCipherSuites())
	for _, name := range slices.Concat(insecure, named(tls.CipherSuites())) {
		s := check.NewScan(&evidence.Snapshot{}, check.Settings{Version: evidence.Newest()})
		s.Add(&evidence.Ref{Kind: "Node", Name: "a"}, &evidence.Host{Components: []*evidence.Component{
			{Name: evidence.Scheduler, Flags: []evidence.Flag{{Name: "tls-cipher-suites", Value: name}}},
		}})
		run := checktest.JudgeNode(checks.TLSCipherSuites, s)
		if weak := len(run.Failures) > 0; weak != slices.Contains(insecure, name) {
			t.Errorf("%s: weak %t", name, weak)
		}
	}
}

// What the flags of the API server decide counts in checks of the objects.
func TestObjectsAndAPIServer(t *testing.T) {
	const cluster = `# cluster: {"version": "v1.36.3"}
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
`
	judge := func(c *check.Check, node, before, after string) []string {
		s := checktest.Scan(t, "cluster.yaml", cluster)
		if node != "" {
			h := checktest.BaseNode(t, node).Scan(t).Hosts[0]
			for _, c := range h.Components {
				for name, d := range c.Documents {
					copied := *d
					copied.JSON = []byte(strings.Replace(string(d.JSON), before, after, 1))
					c.Documents[name] = &copied
				}
			}
			s.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: h.Node}, h)
		}
		run := checktest.JudgeNode(c, s)
		said := checktest.Unknowns(run)
		for _, f := range run.Failures {
			said = append(said, f.Ref.String()+": "+f.Problem.Message)
		}
		return said
	}
	for _, test := range []struct {
		check               *check.Check
		node, before, after string
		want                []string
	}{
		{checks.PodSecurityLabels, "", "", "", []string{"Namespace shop: has no label"}},
		{checks.PodSecurityLabels, "kubeadm", "", "", nil},
		{checks.PodSecurityLabels, "kubeadm", `"enforce":"baseline"`, `"enforce":"privileged"`, []string{"Namespace shop: has no label"}},
		{checks.PodSecurityLabels, "kubeadm", `["kube-system"]`, `["kube-system","shop"]`, []string{"Namespace shop: has no label"}},
		{checks.ImageAdmission, "", "", "", []string{"whether the API server has the plugin ImagePolicyWebhook"}},
		{checks.ImageAdmission, "kubeadm", "", "", nil},
		{checks.ImagePolicyWebhook, "kubeadm", "", "", []string{"Node cp-1: nothing judges the images of pods"}},
		{checks.TokenSecret, "", "", "", []string{"only its flags show it"}},
		{checks.TokenSecret, "kubeadm", "", "", nil},
		{checks.BootstrapToken, "", "", "", []string{"which ways to authenticate the API server has"}},
		{checks.BootstrapToken, "kubeadm", "", "", nil},
	} {
		said := judge(test.check, test.node, test.before, test.after)
		matches := len(said) == len(test.want)
		for i := range min(len(said), len(test.want)) {
			for _, words := range strings.SplitN(test.want[i], ": ", 2) {
				matches = matches && strings.Contains(said[i], words)
			}
		}
		if !matches {
			t.Errorf("%s %s %s: %s", test.check.ID, test.node, test.after, gocmp.Diff(test.want, said))
		}
	}
}

// How bad a fault is depends on what stands beside it.
func TestAPIServerSeverities(t *testing.T) {
	for example, want := range map[string]guide.Severity{
		"insecure-port-open/all-addresses":                  guide.Critical,
		"insecure-port-open/default-119":                    guide.High,
		"front-proxy-ca/same-file":                          guide.Critical,
		"front-proxy-ca/names":                              guide.Low,
		"control-plane-bind-address/scheduler":              guide.Low,
		"control-plane-bind-address/open-metrics":           guide.Medium,
		"control-plane-bind-address/unauthenticated":        guide.Medium,
		"control-plane-bind-address/scheduler-122":          guide.High,
		"control-plane-bind-address/controller-manager-121": guide.Low,
		"anonymous-requests/default":                        guide.High,
		"anonymous-requests/other-path":                     guide.Medium,
		"user-authentication/plain-issuer":                  guide.High,
		"user-authentication/groups":                        guide.Low,
		"authentication-methods/lookup":                     guide.Medium,
		"authentication-methods/several":                    guide.Low,
		"authentication-methods/bootstrap":                  guide.Info,
		"authorization-mode/always-allow":                   guide.Critical,
		"authorization-mode/no-rbac":                        guide.Critical,
		"authorization-mode/webhook-decides":                guide.High,
		"authorization-mode/no-node":                        guide.Medium,
		"authorization-mode/webhook-open":                   guide.Low,
		"pod-security-admission/disabled":                   guide.High,
		"pod-security-admission/privileged":                 guide.Low,
		"pod-security-exemptions/controller":                guide.High,
		"pod-security-exemptions/user":                      guide.Medium,
		"token-lifetime/extended":                           guide.Medium,
		"token-lifetime/long":                               guide.Low,
		"tls-cipher-suites/3des":                            guide.Medium,
		"tls-cipher-suites/default-131":                     guide.Low,
	} {
		id, _, _ := strings.Cut(example, "/")
		c, ok := checks.Find(id)
		if !ok {
			t.Fatalf("no check %s", id)
		}
		run := checktest.JudgeNode(c, checktest.ReadNode(t, "testdata/"+example+".txtar").Scan(t))
		for _, f := range run.Failures {
			if got := cmp.Or(f.Problem.Severity, c.Severity); got != want {
				t.Errorf("%s: %s, not %s", example, got, want)
			}
			if (f.Problem.Severity == 0) != (f.Problem.SeverityReason == "") {
				t.Errorf("%s: its own severity and the reason for it do not come together", example)
			}
		}
		if len(run.Failures) == 0 {
			t.Errorf("%s: no fault", example)
		}
	}
}
