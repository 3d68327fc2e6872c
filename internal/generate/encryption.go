package generate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Encryption is what an EncryptionConfiguration is made from.
type Encryption struct {
	Version evidence.Version
	// Resources to be encrypted, as the API server names them: secrets,
	// deployments.apps, *.example.org.
	Resources []string
	// Key of secretbox, from a good source of chance. Not used with KMSSocket.
	Key [32]byte
	// Made is the time that the key is named for: a later one has another name.
	Made time.Time
	// KMSSocket is the path of a KMS plugin's socket on the control plane nodes;
	// empty: the key is in the file.
	KMSSocket string
	// Migrate lets the API server read what is not encrypted yet.
	Migrate bool
}

const encryptionHead = `
Encryption at rest: %s.
Serves SEC-03 (Secrets encrypted in etcd) and SEC-04 (by a provider that really encrypts).
%s

The first provider writes; all of them read. Keep %s,
away from the backups of etcd: without it nothing that it encrypted can be read again.`

const encryptionFresh = `
To put it in place in a cluster that is not started yet, on every control plane node:
1. Write this to /etc/kubernetes/gabion/encryption.yaml, mode 0600, root; the same file
   on every node.
2. Have it named by --encryption-provider-config, and mount the folder:
   gabion generate apiserver-flags does both.

Not for a cluster that runs: what it stored before could not be read any more. For that
one use --migrate.`

const encryptionMigrate = `
To put it in place in a cluster that runs:
1. Write this to /etc/kubernetes/gabion/encryption.yaml on every control plane node, mode
   0600, root; the same file, with the same key. With one API server go to 3.
2. With several API servers, first do step 3 with identity moved above %[1]s: each
   must be able to read what is encrypted before any of them writes it. When all have been
   restarted put identity last again, as here, and do it once more.
3. Have it named by --encryption-provider-config, mount the folder (gabion generate
   apiserver-flags does both), and restart the API servers one after the other.
   From here on everything that is written is encrypted.
4. Rewrite what was stored before (SEC-06), in batches. A patch that changes nothing makes
   the API server itself write what it finds under an old provider, so no value passes
   through a pipe or a screen, and no update of a controller is lost:
%[2]s
5. Look at what etcd holds: each value must begin with k8s:enc:%[3]s
   (the length keeps the rest off the screen; further flags as your etcd needs them):

       etcdctl get %[4]s --print-value-only | head -c %[5]d

6. Take the two lines with identity away, on every node, and restart the API servers.
   Do not generate the file anew for that: it would have another key.

If encryption is on already, put the old providers where identity is, and identity last
only if it was there before.`

const encryptionRewrite = `
       set -o pipefail
       for ns in $(kubectl get namespaces --no-headers -o custom-columns=:metadata.name); do
         kubectl get %[1]s -n "$ns" --no-headers --chunk-size=100 | awk '{print $1}' |
           xargs -r -n 50 kubectl patch %[1]s -n "$ns" --type=merge --patch='{}' -o name || echo "again: $ns"
       done
`

var encryptable = regexp.MustCompile(`^([a-z0-9*][a-z0-9.-]*|\*\.[a-z0-9*.-]*)$`)

// EncryptionConfig makes an EncryptionConfiguration. An error is a wrong option.
func EncryptionConfig(o Encryption) (string, error) {
	if len(o.Resources) == 0 {
		return "", errors.New("no resources to encrypt")
	}
	var names []string
	for _, r := range o.Resources {
		if !encryptable.MatchString(r) {
			return "", fmt.Errorf("resource %q: want one as the API server names it, such as secrets or deployments.apps", r)
		}
		if strings.Contains(r, "*") && !o.Version.AtLeast(27) {
			return "", fmt.Errorf("resource %q: Kubernetes %s knows no wildcards here (1.27 does)", r, o.Version)
		}
		names = append(names, quote(r))
	}
	kept := "a copy of this file"
	provider, prefix, row := "secretbox", "secretbox:v1:", "The key is random, of 256 bits, and in this file; a KMS plugin (--kms-socket) keeps it\nelsewhere (SEC-05)."
	if o.KMSSocket != "" {
		if err := checkPath("KMS socket", o.KMSSocket); err != nil {
			return "", err
		}
		if !o.Version.AtLeast(29) {
			return "", fmt.Errorf("Kubernetes %s: KMS v2 is stable from 1.29 on, and v1 is deprecated", o.Version)
		}
		kept = "the key of the KMS"
		provider, prefix, row = "kms", "kms:v2:", "The key stays with the KMS, and is not on the node's disk (SEC-05)."
	}
	var p page
	p.comment(fmt.Sprintf(encryptionHead, strings.Join(o.Resources, ", "), row, kept) + "\n")
	p.comment("")
	if o.Migrate {
		var rewrite strings.Builder
		for _, r := range o.Resources {
			if !strings.Contains(r, "*") {
				fmt.Fprintf(&rewrite, encryptionRewrite, r)
			}
		}
		if rewrite.Len() == 0 {
			fmt.Fprintf(&rewrite, encryptionRewrite, "secrets")
			rewrite.WriteString("\n   and so for every other resource that the wildcards take in.")
		}
		p.comment(fmt.Sprintf(encryptionMigrate, provider, strings.TrimRight(rewrite.String(), "\n")+"\n",
			prefix, "/registry/secrets/NAMESPACE/NAME", len("k8s:enc:"+prefix)))
	} else {
		p.comment(encryptionFresh)
	}
	p.line("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:")
	p.line("  - resources: [%s]\n    providers:", strings.Join(names, ", "))
	if o.KMSSocket != "" {
		p.line("      - kms:\n          apiVersion: v2\n          # Not to be changed: it is stored beside each value.\n          name: kms")
		p.line("          endpoint: unix://%s\n          timeout: 3s", o.KMSSocket)
	} else {
		p.line("      - secretbox:\n          keys:\n            - name: key-%s\n              secret: %s", o.Made.UTC().Format("20060102-150405"), base64.StdEncoding.EncodeToString(o.Key[:]))
	}
	if o.Migrate {
		p.line("      # Reads what is not encrypted yet; to go when all is rewritten.\n      - identity: {}")
	}
	return p.String(), nil
}
