package checks

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// BootstrapToken reports tokens for joining nodes that are left over (guide:
// Authentication).
var BootstrapToken = &check.Check{
	ID:             "bootstrap-token",
	Title:          "bootstrap token is left over",
	Recommendation: "AUTHN-05",
	Severity:       guide.Medium,
	Remedy:         "delete the Secret, and make a token that expires when the next node joins",
	Needs:          []evidence.Fact{evidence.Secrets},
	Live:           "which bootstrap tokens there are",
	Doc: `A bootstrap token lets whoever holds it ask for a node's certificate, and often have
it approved unseen. It is meant for the hour in which a node joins. kubeadm makes
tokens that expire after a day, and the control plane deletes them then.

Looked at are the Secrets of type bootstrap.kubernetes.io/token in kube-system, and
when each was made: one that is older than a day was given a longer life, or none. When
it expires is written in the Secret's value, which is never read. Which other ways to
authenticate the API server has is in its command line, which authentication-methods
asks.

    kubeadm token list
    kubeadm token create --ttl 1h
`,
	Run: bootstrapToken,
}

// secretTypeBootstrapToken is the type that k8s.io/cluster-bootstrap declares.
const secretTypeBootstrapToken corev1.SecretType = "bootstrap.kubernetes.io/token"

// bootstrapTokenLife is how long kubeadm's tokens live unless told otherwise.
const bootstrapTokenLife = 24 * time.Hour

func bootstrapToken(r *check.Run) {
	for _, s := range r.Secrets {
		if s.Type != secretTypeBootstrapToken || s.Namespace != kubeSystem {
			continue
		}
		if s.Created.IsZero() {
			r.Unknown(s.Ref.String(), "when it was made is not known")
			continue
		}
		r.Judge(s.Ref, oldToken(s, r.Cluster.CollectedAt.Sub(s.Created)))
	}
	if ok, why := r.Complete(evidence.Secrets, kubeSystem); !ok {
		r.Unknown("namespace "+kubeSystem, why)
	}
	unlessSeen(r, "which ways to authenticate the API server has, and whether somebody claims each")
}

func oldToken(s *evidence.Secret, age time.Duration) []check.Problem {
	if age <= bootstrapTokenLife {
		return nil
	}
	return []check.Problem{{
		Path: evidence.NewPath("type"), Value: string(s.Type),
		Message: fmt.Sprintf("the bootstrap token of Secret %q was made on %s and is still there: it was given a long life, or none that ends", s.Name, s.Created.Format(time.DateOnly)),
	}}
}
