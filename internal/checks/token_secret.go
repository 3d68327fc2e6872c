package checks

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// TokenSecret reports Secrets that hold a ServiceAccount token for ever.
//
// Guide: authentication. Since 1.24 Kubernetes no longer makes them by itself.
var TokenSecret = &check.Check{
	ID:             "token-secret",
	Title:          "Secret holds a standing ServiceAccount token",
	Doc:            tokenSecretDoc,
	Recommendation: "SAT-04",
	Severity:       guide.Medium,
	Remedy:         "delete the Secret once nobody uses it, and use projected or requested tokens",
	Needs:          []evidence.Fact{evidence.Secrets},
	Run:            tokenSecrets,
}

const tokenSecretDoc = `A token that the kubelet mounts is bound to its pod and expires. A Secret of the type
kubernetes.io/service-account-token makes the control plane put a token into it
that does neither: it works from anywhere until the Secret is deleted.

The type of every Secret is judged; its content is never read. That the other
tokens are short is a matter of the API server's flags, which no manifest shows,
so that files alone never prove this row: token-lifetime asks them on the node.

    volumes:
      - name: token
        projected:
          sources:
            - serviceAccountToken: {path: token, audience: vault, expirationSeconds: 3600}

Programs outside the cluster can request a token for the time they need it, with
kubectl create token or the TokenRequest API.
`

func tokenSecrets(r *check.Run) {
	for _, s := range r.Secrets {
		r.Judge(s.Ref, tokenSecret(s))
	}
	if !seesAPIServer(r.Scan) {
		r.Unknown("", "whether the API server stretches the life of other tokens: only its flags show it")
	}
}

func tokenSecret(s *evidence.Secret) []check.Problem {
	if s.Type != corev1.SecretTypeServiceAccountToken {
		return nil
	}
	return []check.Problem{{
		Path:    evidence.NewPath("type"),
		Value:   string(s.Type),
		Message: "the Secret holds a ServiceAccount token that never expires",
	}}
}
