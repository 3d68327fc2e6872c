package generate_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	apiserverv1beta1 "k8s.io/apiserver/pkg/apis/apiserver/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
)

func release(minor int) evidence.Version { return evidence.Version{Major: 1, Minor: minor} }

func TestEncryptionConfig(t *testing.T) {
	day := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	key := [32]byte(bytes.Repeat([]byte{0xfe}, 32))
	secretbox := apiserverv1.ProviderConfiguration{Secretbox: &apiserverv1.SecretboxConfiguration{
		Keys: []apiserverv1.Key{{Name: "key-20260304-050607", Secret: base64.StdEncoding.EncodeToString(key[:])}}}}
	identity := apiserverv1.ProviderConfiguration{Identity: &apiserverv1.IdentityConfiguration{}}
	kms := apiserverv1.ProviderConfiguration{KMS: &apiserverv1.KMSConfiguration{
		APIVersion: "v2", Name: "kms", Endpoint: "unix:///run/kms.sock", Timeout: &metav1.Duration{Duration: 3 * time.Second}}}
	for name, test := range map[string]struct {
		o         generate.Encryption
		resources []string
		providers []apiserverv1.ProviderConfiguration
		says      []string
	}{
		"new cluster":  {generate.Encryption{Resources: []string{"secrets"}}, []string{"secrets"}, []apiserverv1.ProviderConfiguration{secretbox}, []string{"SEC-03", "not started yet"}},
		"that runs":    {generate.Encryption{Resources: []string{"secrets", "configmaps"}, Migrate: true}, []string{"secrets", "configmaps"}, []apiserverv1.ProviderConfiguration{secretbox, identity}, []string{"SEC-06", "kubectl patch configmaps -n", "kubectl patch secrets -n"}},
		"kms":          {generate.Encryption{Resources: []string{"secrets"}, KMSSocket: "/run/kms.sock"}, []string{"secrets"}, []apiserverv1.ProviderConfiguration{kms}, []string{"SEC-05"}},
		"kms migrate":  {generate.Encryption{Resources: []string{"*.*"}, KMSSocket: "/run/kms.sock", Migrate: true}, []string{"*.*"}, []apiserverv1.ProviderConfiguration{kms, identity}, []string{"head -c 15", "kubectl patch secrets -n"}},
		"custom group": {generate.Encryption{Resources: []string{"things.example.org", "*.apps"}}, []string{"things.example.org", "*.apps"}, []apiserverv1.ProviderConfiguration{secretbox}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.Version, test.o.Key, test.o.Made = evidence.Newest(), key, day
			text, err := generate.EncryptionConfig(test.o)
			if err != nil {
				t.Fatal(err)
			}
			var got apiserverv1.EncryptionConfiguration
			if err := yaml.UnmarshalStrict([]byte(text), &got); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			want := apiserverv1.EncryptionConfiguration{
				TypeMeta:  metav1.TypeMeta{APIVersion: "apiserver.config.k8s.io/v1", Kind: "EncryptionConfiguration"},
				Resources: []apiserverv1.ResourceConfiguration{{Resources: test.resources, Providers: test.providers}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			commented(t, text, test.says...)
			if strings.Contains(text, "%!") {
				t.Error(text)
			}
		})
	}
	for _, o := range []generate.Encryption{
		{Version: release(37)},
		{Version: release(37), Resources: []string{"Secrets"}},
		{Version: release(37), Resources: []string{"secrets\n# x"}},
		{Version: release(37), Resources: []string{""}},
		{Version: release(26), Resources: []string{"*.*"}},
		{Version: release(37), Resources: []string{"secrets"}, KMSSocket: "run/kms.sock"},
		{Version: release(37), Resources: []string{"secrets"}, KMSSocket: "/run/kms.sock\n"},
		{Version: release(28), Resources: []string{"secrets"}, KMSSocket: "/run/kms.sock"},
	} {
		if text, err := generate.EncryptionConfig(o); err == nil {
			t.Errorf("%+v is taken:\n%s", o, text)
		}
	}
}

// commented fails unless the text begins with comments that say these things.
func commented(t *testing.T, text string, says ...string) {
	t.Helper()
	head, _, _ := strings.Cut(text, "\napiVersion:")
	for line := range strings.SplitSeq(head, "\n") {
		if line != strings.TrimRight(line, " ") || line != "#" && !strings.HasPrefix(line, "# ") || len(line) > 120 {
			t.Errorf("not a comment line: %q", line)
		}
	}
	for _, s := range append(says, "To put it in place") {
		if !strings.Contains(head, s) {
			t.Errorf("the head does not say %q:\n%s", s, head)
		}
	}
}

func TestAuthenticationConfig(t *testing.T) {
	text, err := generate.AuthenticationConfig(generate.Authentication{Version: release(34)})
	if err != nil {
		t.Fatal(err)
	}
	commented(t, text, "AUTHN-01", "AUTHN-03", "--anonymous-auth", "--oidc-", "kubeadm join")
	var got apiserverv1.AuthenticationConfiguration
	if err := yaml.UnmarshalStrict([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := apiserverv1.AuthenticationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "apiserver.config.k8s.io/v1", Kind: "AuthenticationConfiguration"},
		Anonymous: &apiserverv1.AnonymousAuthConfig{Enabled: true, Conditions: []apiserverv1.AnonymousAuthCondition{
			{Path: "/livez"}, {Path: "/readyz"}, {Path: "/healthz"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	const hostile = "id\", \"\nanonymous: {enabled: true} # "
	text, err = generate.AuthenticationConfig(generate.Authentication{Version: release(32), Issuer: "https://login.example.org/a", ClientID: hostile})
	if err != nil {
		t.Fatal(err)
	}
	var beta apiserverv1beta1.AuthenticationConfiguration
	if err := yaml.UnmarshalStrict([]byte(text), &beta); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if j := beta.JWT; beta.APIVersion != "apiserver.config.k8s.io/v1beta1" || len(j) != 1 || j[0].Issuer.URL != "https://login.example.org/a" ||
		len(j[0].Issuer.Audiences) != 1 || j[0].Issuer.Audiences[0] != hostile || *j[0].ClaimMappings.Groups.Prefix != "oidc:" || len(beta.Anonymous.Conditions) != 3 {
		t.Errorf("%+v", beta)
	}
	for _, o := range []generate.Authentication{
		{Version: release(31)},
		{Version: release(34), Issuer: "https://a.example.org"},
		{Version: release(34), ClientID: "a"},
		{Version: release(34), ClientID: "a", Issuer: "http://a.example.org"},
		{Version: release(34), ClientID: "a", Issuer: "https://u:p@a.example.org"},
		{Version: release(34), ClientID: "a", Issuer: "https://a.example.org?x"},
		{Version: release(34), ClientID: "a", Issuer: "://"},
	} {
		if text, err := generate.AuthenticationConfig(o); err == nil {
			t.Errorf("%+v is taken:\n%s", o, text)
		}
	}
}

// That the kubelet takes it and has of it what is meant is shown with the kubelet
// itself; here are only the differences.
func TestKubeletConfig(t *testing.T) {
	for minor, says := range map[int]string{29: "Merge it into", 30: "--config-dir=", 37: "--config-dir="} {
		text, err := generate.KubeletConfig(generate.Kubelet{Version: release(minor)})
		if err != nil {
			t.Fatal(err)
		}
		commented(t, text, says, "CP-07", "ENC-02", "RES-04", "NLOG-02", "kernel.panic = 10", "kubectl certificate approve", "+merge.yaml")
		if strings.Contains(text, "\n  x509:") {
			t.Errorf("1.%d: a client CA that nobody gave", minor)
		}
	}
	text, err := generate.KubeletConfig(generate.Kubelet{Version: evidence.Newest(), ClientCA: "/pki/ca.crt"})
	var config struct {
		Authentication struct {
			X509 struct{ ClientCAFile string }
		}
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	if err != nil || config.Authentication.X509.ClientCAFile != "/pki/ca.crt" {
		t.Errorf("client CA %+v, %v", config, err)
	}
	for _, o := range []generate.Kubelet{{Version: release(26)}, {Version: release(30), ClientCA: "ca.crt"}, {Version: release(30), ClientCA: "/a b"}, {Version: release(30), ClientCA: "/a/../b"}} {
		if text, err := generate.KubeletConfig(o); err == nil {
			t.Errorf("%+v is taken:\n%s", o, text)
		}
	}
}
