package checks

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

var credentialChecks = []*check.Check{CredentialInEnv, CredentialInArgs, CredentialInConfigMap, CredentialInAnnotation, SecretInManifest}

// text is everything of a problem that can reach a reader.
func text(p check.Problem) string {
	return fmt.Sprintln(p.Path.String(), p.Path.Key(), p.Value, p.Message, p.Container, p.SeverityReason, p.Remedy, p.Fix)
}

// The values that the examples hold.
var planted = []string{"tr0ub4dor", "hunter2", "Wint3rTr33", "geheim77", "change-me", "aHVudGVyMg"}

func TestCredentialExamplesRevealNothing(t *testing.T) {
	for _, c := range credentialChecks {
		files, err := filepath.Glob(filepath.Join("testdata", c.ID, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range checktest.Judge(t, file, string(src), c).Failures {
				n++
				reveals(t, f.Problem, planted...)
			}
		}
		if n == 0 {
			t.Errorf("%s: no example was judged", c.ID)
		}
	}
}

func reveals(t *testing.T, p check.Problem, values ...string) {
	t.Helper()
	if !p.Sensitive {
		t.Errorf("the line would be shown: %s", p.Message)
	}
	for _, v := range values {
		if strings.Contains(text(p), v) {
			t.Errorf("a value is shown: %s", text(p))
		}
	}
}

// Tokens of known forms, in every place. They are put together here so that no
// file holds anything that a scanner of this repository would take for one.
func TestCredentialKinds(t *testing.T) {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	key := "-----BEGIN " + "PRIVATE KEY-----\n" + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n", 3) + "-----END " + "PRIVATE KEY-----"
	jwt := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + strings.Repeat("eyJz", 10) + "." + strings.Repeat("aB3-", 16)
	for _, test := range []struct {
		name, value string
		kind        string
		severity    guide.Severity // 0 is the check's own
	}{
		{"CI_TOKEN", "gh" + "p_" + digits, "github-token", 0},
		{"ACCESS_KEY", "AK" + "IA" + "QWERTYUIOP234567", "aws-access-key-id", 0},
		{"TLS", key, "private-key", 0},
		{"SESSION", jwt, "jwt", 0},
		{"DATABASE_URL", "postgres://shop:" + "tr0ub4dor@db/shop", "url-password", 0},
		{"DB_PASSWORD", "hunter2", "password", guide.High},
		{"SESSION_SECRET", "change-me", "secret", guide.Low},
	} {
		doc := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
		const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b%s}\nspec: {containers: [{name: c, image: d%s}]}\n"
		for c, src := range map[*check.Check]string{
			CredentialInEnv:        doc(pod, "", doc(", env: [{name: %s, value: %q}]", test.name, test.value)),
			CredentialInArgs:       doc(pod, "", doc(", args: [%q]", test.name+"="+test.value)),
			CredentialInConfigMap:  doc("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\ndata: {%s: %q}\n", test.name, test.value),
			CredentialInAnnotation: doc(pod, doc(", annotations: {%s: %q}", test.name, test.value), ""),
		} {
			failures := checktest.Judge(t, test.name, src, c).Failures
			if len(failures) != 1 {
				t.Errorf("%s %s: %d problems", c.ID, test.name, len(failures))
				continue
			}
			p := failures[0].Problem
			if p.Severity != test.severity || (p.Severity != 0) != (p.SeverityReason != "") {
				t.Errorf("%s %s: severity %d (%s), want %d", c.ID, test.name, p.Severity, p.SeverityReason, test.severity)
			}
			if !strings.HasPrefix(p.Value, test.kind+" (sha256:") {
				t.Errorf("%s %s: value %q, want the kind %s", c.ID, test.name, p.Value, test.kind)
			}
			reveals(t, p, test.value, "tr0ub4dor", "MIIE", "eyJz")
		}
	}
}

// A file that SOPS encrypted keeps no secrets from those who have no key.
func TestEncryptedSecretFile(t *testing.T) {
	const plain = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\ndata: {password: aHVudGVyMg==}\n"
	for src, want := range map[string]int{plain: 1, plain + "sops: {version: 3.9.0}\n": 0} {
		snap := &evidence.Snapshot{}
		manifest.Add(snap, &evidence.Source{Type: "manifest"}, new(manifest.Reader).Read("a.yaml", []byte(src)))
		run := &check.Run{Scan: check.NewScan(snap, check.Settings{})}
		SecretInManifest.Run(run)
		if len(run.Failures) != want || run.Evaluated.Len() != 1 {
			t.Errorf("%d problems of %d objects, want %d of 1:\n%s", len(run.Failures), run.Evaluated.Len(), want, src)
		}
	}
}

// What a chart makes may get other values when it is installed.
func TestSecretOfChart(t *testing.T) {
	for source, want := range map[string]guide.Severity{"manifest": guide.Medium, "kustomize": guide.Medium, "helm": guide.Low} {
		s := &evidence.Secret{Ref: &evidence.Ref{Source: &evidence.Source{Type: source}}, Keys: []string{"a"}, Field: map[string]string{"a": "data"}}
		got := secretInManifest(s)
		if len(got) != 1 || got[0].Severity != want {
			t.Errorf("%s: %+v, want severity %s", source, got, want)
		}
	}
}
