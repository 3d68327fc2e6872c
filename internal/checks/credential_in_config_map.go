package checks

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/credential"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CredentialInConfigMap reports passwords, tokens and keys in ConfigMaps.
//
// Guide: Secrets. Credentials belong into Secrets, not into ConfigMaps.
var CredentialInConfigMap = &check.Check{
	ID:             "credential-in-config-map",
	Title:          "ConfigMap holds a credential",
	Doc:            credentialInConfigMapDoc,
	Recommendation: "SEC-01",
	Severity:       guide.Critical,
	Remedy:         credentialRemedy,
	Needs:          []evidence.Fact{evidence.ConfigMaps},
	Run: check.Each(
		func(s *evidence.Snapshot) []*evidence.Object[corev1.ConfigMap] { return s.ConfigMaps },
		credentialInConfigMap),
}

const credentialInConfigMapDoc = `A ConfigMap is neither encrypted at rest nor kept from those who may read the rest of
the namespace, and its text stands in the file.

Every value is judged, and whole configuration files in it are read through:
properties, YAML, JSON, INI, XML and shell. A form that only credentials have is
critical, a value that only its name tells is medium or low. Certificates, digests
and references such as ${DB_PASSWORD} pass. The finding stands at the key, and names
the kind and the first digits of the SHA-256, never the value.

    volumes:
      - name: config
        projected:
          sources:
            - configMap: {name: shop}
            - secret: {name: shop-credentials}

A projected volume puts both into one folder, so that the program need not know.
`

func credentialInConfigMap(_ *check.Scan, cm *evidence.Object[corev1.ConfigMap]) (problems []check.Problem) {
	judge := func(field, key, text string) {
		found := credential.Find(key, text)
		path := evidence.NewPath(field, key)
		if p, bad := credentialProblem(path, fmt.Sprintf("key %q", key), found); bad {
			problems = append(problems, p)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(cm.Value.Data)) {
		judge("data", key, cm.Value.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(cm.Value.BinaryData)) {
		if b := cm.Value.BinaryData[key]; utf8.Valid(b) {
			judge("binaryData", key, string(b))
		}
	}
	return problems
}
