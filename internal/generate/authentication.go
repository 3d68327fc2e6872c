package generate

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Authentication is what an AuthenticationConfiguration is made from.
type Authentication struct {
	Version evidence.Version
	// Issuer and ClientID of an OpenID Connect provider; both or none.
	Issuer, ClientID string
}

const authenticationHead = `
Who may talk to the API server without saying who they are: the health paths alone.
Serves AUTHN-01 (anonymous requests off) and AUTHN-03 (strong user authentication).

--anonymous-auth=false says the same more bluntly, and breaks a kubeadm cluster: the
kubelet's own probes of the API server are anonymous, and it would be restarted for ever.

To put it in place, on every control plane node:
1. Write this to /etc/kubernetes/gabion/authentication.yaml, mode 0600, root.
2. Of the API server's flags take away --anonymous-auth and every --oidc-*: they and
   this file exclude each other. What --oidc-* said belongs under jwt below.
3. Add --authentication-config=/etc/kubernetes/gabion/authentication.yaml and mount the
   folder: gabion generate apiserver-flags does both.
4. Watch for whom it was not meant: a load balancer that probes another path, and
   kubeadm join with a token, which reads the ConfigMap cluster-info anonymously.
   Join with --discovery-file instead, or name the path
   /api/v1/namespaces/kube-public/configmaps/cluster-info below while nodes join.`

// AuthenticationConfig makes an AuthenticationConfiguration. An error is a wrong
// option, or a version in which anonymous requests cannot be limited (KEP-4633:
// on by default since 1.32).
func AuthenticationConfig(o Authentication) (string, error) {
	switch {
	case !o.Version.AtLeast(32):
		return "", fmt.Errorf("Kubernetes %s: anonymous requests can be limited to paths from 1.32 on; before, give the API server's probes credentials, then set --anonymous-auth=false", o.Version)
	case (o.Issuer == "") != (o.ClientID == ""):
		return "", errors.New("an OIDC issuer and a client ID go together")
	}
	if o.Issuer != "" {
		u, err := url.Parse(o.Issuer)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return "", fmt.Errorf("OIDC issuer %q: want an https URL without user, query or fragment", o.Issuer)
		}
	}
	var p page
	p.comment(authenticationHead)
	version := "v1beta1"
	if o.Version.AtLeast(34) {
		version = "v1"
	}
	p.line("apiVersion: apiserver.config.k8s.io/%s\nkind: AuthenticationConfiguration", version)
	p.line("anonymous:\n  enabled: true\n  conditions:\n    - path: /livez\n    - path: /readyz\n    - path: /healthz")
	if o.Issuer == "" {
		return p.String(), nil
	}
	p.line("jwt:\n  - issuer:\n      url: %s\n      audiences: [%s]", quote(o.Issuer), quote(o.ClientID))
	p.comment("      certificateAuthority: |   # the PEM of the issuer's CA, when the host does not know it")
	p.line("    claimMappings:\n      # The prefixes keep a provider from naming system:masters or another's users.")
	p.line("      username: {claim: sub, prefix: \"oidc:\"}\n      groups: {claim: groups, prefix: \"oidc:\"}")
	return p.String(), nil
}
