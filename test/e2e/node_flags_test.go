//go:build cluster

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// A flag of the running API server is changed, and what is found follows: that rule's
// finding comes or goes, and no other.
func TestFlagsFollow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster") // one folder for all: paths are part of a finding's ID
	before := startedWith(t, dir)
	const strong = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	for _, test := range []struct {
		flags      []string
		come, went []string // rule and path
		files      map[string]string
	}{
		{flags: []string{"--anonymous-auth=false"}, went: []string{"anonymous-requests kube-apiserver.anonymous-auth"}},
		{
			flags: []string{"--authentication-config=" + filepath.Join(dir, "authentication.yaml")},
			files: map[string]string{"authentication.yaml": `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
`},
			went: []string{"anonymous-requests kube-apiserver.anonymous-auth"},
		},
		{flags: []string{"--authorization-mode=AlwaysAllow"}, come: []string{"authorization-mode kube-apiserver.authorization-mode.AlwaysAllow"}}, // a further one of the list
		{flags: []string{"--tls-min-version=VersionTLS11"}, come: []string{"tls-version kube-apiserver.tls-min-version"}},
		{flags: []string{"--tls-min-version=VersionTLS13"}},
		{flags: []string{"--tls-cipher-suites=" + strong}},
		{flags: []string{"--tls-cipher-suites=" + strong + ",TLS_RSA_WITH_AES_128_CBC_SHA"}, come: []string{"tls-cipher-suites kube-apiserver.tls-cipher-suites.TLS_RSA_WITH_AES_128_CBC_SHA"}},
		{flags: []string{"--audit-log-maxage=1"}, come: []string{"audit-log-retention kube-apiserver.audit-log-maxage"}},
		{
			flags: []string{"--encryption-provider-config="},
			come:  []string{"encryption-at-rest kube-apiserver.encryption-provider-config"},
			went: []string{
				"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]",
				"secrets-rewritten kube-apiserver.encryption-provider-config.resources[0].providers[1]",
			},
		},
		{flags: []string{"--service-account-extend-token-expiration=false"}, went: []string{"token-lifetime kube-apiserver.service-account-extend-token-expiration"}},
		{flags: []string{"--service-account-max-token-expiration=24h"}, went: []string{"token-lifetime kube-apiserver.service-account-max-token-expiration"}},
		{flags: []string{"--enable-bootstrap-token-auth=false"}, went: []string{"authentication-methods kube-apiserver.enable-bootstrap-token-auth"}},
		{flags: []string{"--kubelet-certificate-authority="}, come: []string{"api-server-certificates kube-apiserver.kubelet-certificate-authority"}},
		{
			flags: []string{"--token-auth-file=" + filepath.Join(dir, "tokens.csv")},
			files: map[string]string{"tokens.csv": "secret,robot,1\n"},
			come:  []string{"static-credentials kube-apiserver.token-auth-file"},
		},
	} {
		after := startedWithFiles(t, dir, test.files, test.flags...)
		if got := places(notIn(after, before)); !slices.Equal(got, test.come) {
			t.Errorf("%v: came %q, want %q", test.flags, got, test.come)
		}
		if got := places(notIn(before, after)); !slices.Equal(got, test.went) {
			t.Errorf("%v: went %q, want %q", test.flags, got, test.went)
		}
	}
}

// places are the rules and paths of findings.
func places(list []report.Finding) (names []string) {
	for _, f := range list {
		names = append(names, f.Rule+" "+f.Path)
	}
	slices.Sort(names)
	return names
}

// startedWith are the findings about a control plane whose API server has got further
// flags.
func startedWith(t *testing.T, dir string, flags ...string) map[string]report.Finding {
	t.Helper()
	return startedWithFiles(t, dir, nil, flags...)
}

// startedWithFiles puts files into the cluster's folder first.
func startedWithFiles(t *testing.T, dir string, files map[string]string, flags ...string) map[string]report.Finding {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := cluster.Launch(t.Context(), dir, cluster.Options{APIServer: flags, NoControllers: true, NoScheduler: true})
	if err != nil {
		t.Fatalf("%v: %v", flags, err)
	}
	defer c.Stop()
	return ofNode(t, scan(t, "--host-root", nodeTree(t, c)))
}
