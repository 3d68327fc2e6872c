package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

const encryptionFlag = "encryption-provider-config"

// An encryptionConfig is what of an EncryptionConfiguration decides about Secrets.
type encryptionConfig struct {
	Resources []struct {
		Resources []string             `json:"resources"`
		Providers []encryptionProvider `json:"providers"`
	} `json:"resources"`
}

// An encryptionProvider has one of its fields set.
type encryptionProvider struct {
	AESGCM    *encryptionKeys `json:"aesgcm"`
	AESCBC    *encryptionKeys `json:"aescbc"`
	Secretbox *encryptionKeys `json:"secretbox"`
	Identity  *struct{}       `json:"identity"`
	KMS       *struct {
		APIVersion string `json:"apiVersion"`
		Name       string `json:"name"`
		Endpoint   string `json:"endpoint"`
	} `json:"kms"`
}

type encryptionKeys struct {
	Keys []struct {
		Name string `json:"name"`
		// Secret is the length of the key: 256 bit.
		Secret string `json:"secret"`
	} `json:"keys"`
}

// A secretsProvider is a provider for Secrets, in a form that all kinds share.
type secretsProvider struct {
	// kind is identity, aescbc, aesgcm, secretbox or kms; "" for one that is not known.
	kind string
	// version and endpoint are those of a KMS plugin: v1, v2.
	version, endpoint string
	// keys are the names of the keys, or of the plugin; lengths are those of the keys.
	keys, lengths []string
	where         below
}

// An atRest is what decides how an API server stores Secrets.
type atRest struct {
	flag evidence.Flag
	doc  *evidence.Document
	// providers are those for Secrets: the first one writes, all of them read. None
	// when the file has no entry for Secrets, which are then stored as they are.
	providers []secretsProvider
}

// atRest tells how an API server stores Secrets. It returns nil where no file is
// given; known is false, and that is recorded, where nobody knows.
func (n *node) atRest(c *evidence.Component) (e *atRest, known bool) {
	file, _, known := n.flag(c, encryptionFlag, "")
	if !known || file == "" {
		return nil, known
	}
	f, _ := c.Flag(encryptionFlag)
	var config encryptionConfig
	doc, known := n.decode(c, f, &config)
	if !known {
		return nil, false
	}
	if doc.Kind != "EncryptionConfiguration" {
		n.cannot("%s: %s is no EncryptionConfiguration but %q", c.Name, f.Value, doc.Kind)
		return nil, false
	}
	return &atRest{f, doc, config.forSecrets(n.runs(c))}, true
}

// forSecrets are the providers for Secrets, as the API server picks them: the first
// entry that names secrets, be it by a wildcard, and the further entries of that very
// name, which it reads with. It refuses a file in which a wildcard hides a later name.
func (config *encryptionConfig) forSecrets(v evidence.Version) (list []secretsProvider) {
	by := ""
	for i, entry := range config.Resources {
		name := ""
		for _, r := range entry.Resources {
			if r == "secrets" || v.AtLeast(27) && (r == "*." || r == "*.*") {
				name = r
				break
			}
		}
		if name == "" || by != "" && name != by {
			continue
		}
		by = name
		for j, p := range entry.Providers {
			list = append(list, p.plain(func(top evidence.Path) evidence.Path {
				return top.Field("resources").Index(i, "").Field("providers").Index(j, "")
			}))
		}
	}
	return list
}

func (p *encryptionProvider) plain(where below) secretsProvider {
	s := secretsProvider{where: where}
	var keys *encryptionKeys
	switch {
	case p.Identity != nil:
		s.kind = "identity"
	case p.AESCBC != nil:
		s.kind, keys = "aescbc", p.AESCBC
	case p.AESGCM != nil:
		s.kind, keys = "aesgcm", p.AESGCM
	case p.Secretbox != nil:
		s.kind, keys = "secretbox", p.Secretbox
	case p.KMS != nil:
		s.kind, s.keys = "kms", []string{p.KMS.Name}
		s.version, s.endpoint = p.KMS.APIVersion, p.KMS.Endpoint
		if s.version == "" {
			s.version = "v1" // the API server's default
		}
	}
	if keys != nil {
		for _, k := range keys.Keys {
			s.keys, s.lengths = append(s.keys, k.Name), append(s.lengths, k.Secret)
		}
	}
	return s
}

// prefix is what the values begin with in etcd that the provider's first key wrote.
func (s *secretsProvider) prefix() string {
	version, key := "v1", ""
	if s.kind == "kms" {
		version = s.version
	}
	if len(s.keys) > 0 {
		key = s.keys[0]
	}
	return "k8s:enc:" + s.kind + ":" + version + ":" + key + ":"
}

// encryptsNothing is why there is nothing to ask of encryption at rest.
const encryptsNothing = "kube-apiserver has no encryption configuration (SEC-03)"

// encryptsSecrets judges API servers by the providers that they have for Secrets. Those
// that have none are left out: encryption-at-rest says so.
func encryptsSecrets(judge func(*node, *evidence.Component, *atRest)) func(*check.Run) {
	return eachComponent(func(n *node, c *evidence.Component) {
		e, known := n.atRest(c)
		switch {
		case !known:
		case e == nil:
			n.inapplicable(encryptsNothing)
		case len(e.providers) == 0:
			n.inapplicable("the encryption configuration of kube-apiserver has nothing for Secrets (SEC-03)")
		case e.providers[0].kind == "":
			n.cannot("%s: the first provider for Secrets in %s is of a kind that is not known here", c.Name, e.doc.File)
		default:
			judge(n, c, e)
		}
	}, evidence.APIServer)
}
