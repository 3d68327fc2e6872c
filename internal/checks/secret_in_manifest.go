package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SecretInManifest reports Secrets whose values stand in a file.
//
// Guide: Secrets. base64 is a way of writing, not of encrypting.
var SecretInManifest = &check.Check{
	ID:             "secret-in-manifest",
	Title:          "values of a Secret stand in a file",
	Doc:            secretInManifestDoc,
	Recommendation: "SEC-01",
	Severity:       guide.Medium,
	Remedy:         "keep the values in an external store, or encrypt the file (SealedSecret, ExternalSecret, SOPS), and replace what was in it",
	Needs:          []evidence.Fact{evidence.Secrets},
	Written:        "whether values of Secrets stand in files",
	Run:            secretsInManifests,
}

const secretInManifestDoc = `The values of a Secret are written in base64, which anyone can read. In a file under
version control they stay in its history even after they are taken out.

Every Secret is judged that gives a value to a key, in data or in stringData;
certificates are public and pass, and so does a file that SOPS encrypted. A Secret
that a chart made ranks low: the values may be given when it is installed. The kinds
SealedSecret and ExternalSecret hold nothing that can be read. Tokens of
ServiceAccounts are the matter of token-secret, and releases are kept by Helm. What
the values are is not looked at, and they are never shown.

    apiVersion: external-secrets.io/v1
    kind: ExternalSecret
    metadata: {name: database}
    spec:
      secretStoreRef: {kind: ClusterSecretStore, name: vault}
      data:
        - secretKey: password
          remoteRef: {key: shop/database, property: password}
`

func secretsInManifests(r *check.Run) {
	for _, s := range r.Secrets {
		if s.Type != corev1.SecretTypeServiceAccountToken && s.Type != helmRelease {
			r.Judge(s.Ref, secretInManifest(s))
		}
	}
}

// helmRelease is the type of the Secrets in which Helm keeps what it installed.
const helmRelease = "helm.sh/release.v1"

// publicKeys are keys of Secrets that hold certificates, by convention.
var publicKeys = map[string]bool{corev1.TLSCertKey: true, "ca.crt": true, "service-ca.crt": true, "ca-bundle.crt": true}

func secretInManifest(s *evidence.Secret) []check.Problem {
	if _, sops := s.Outline.Find(evidence.NewPath("sops")); sops {
		return nil
	}
	var names []string
	for _, key := range s.Keys {
		if !publicKeys[key] {
			names = append(names, key)
		}
	}
	if len(names) == 0 {
		return nil
	}
	first := names[0]
	p := check.Problem{
		Path:           evidence.NewPath(s.Field[first], first),
		Message:        fmt.Sprintf("the values of %s stand in the file: base64 is no encryption", keysOf(names)),
		Severity:       guide.Medium,
		SeverityReason: "a Secret is the right place in the cluster; it is the file that reveals the values",
		Sensitive:      true,
	}
	if s.Source != nil && s.Source.Type == "helm" {
		p.Severity, p.SeverityReason = guide.Low, "the chart's default values fill it; other values may be given when it is installed"
	}
	return []check.Problem{p}
}

// keysOf names keys, the first few of them.
func keysOf(keys []string) string {
	const shown = 5
	var names []string
	for _, k := range keys[:min(shown, len(keys))] {
		names = append(names, fmt.Sprintf("%q", k))
	}
	if more := len(keys) - shown; more > 0 {
		names = append(names, fmt.Sprintf("%d more keys", more))
	}
	return listed(names)
}
