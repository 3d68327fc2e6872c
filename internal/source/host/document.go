package host

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// documentFlags are the flags that name a configuration file, by component.
func documentFlags(component string) []string {
	switch component {
	case evidence.APIServer:
		return []string{
			"encryption-provider-config", "authentication-config", "authorization-config", "admission-control-config-file",
			"audit-policy-file", "audit-webhook-config-file", "authentication-token-webhook-config-file",
			"authorization-webhook-config-file", "egress-selector-config-file", "tracing-config-file",
		}
	case evidence.Kubelet:
		return []string{"config", "image-credential-provider-config"}
	case evidence.KubeProxy, evidence.Scheduler:
		return []string{"config"}
	}
	return nil
}

// documents reads the configuration files that a component's flags name.
func (r *reader) documents(c *evidence.Component) {
	for _, name := range documentFlags(c.Name) {
		f, ok := c.Flag(name)
		if !ok || f.Value == "" || f.Value == "true" || c.Documents[name] != nil {
			continue
		}
		doc := r.configFile(c, f.Value, name == "encryption-provider-config" || strings.HasSuffix(name, "webhook-config-file"))
		if c.Documents == nil {
			c.Documents = map[string]*evidence.Document{}
		}
		c.Documents[name] = doc
		if name == "admission-control-config-file" {
			r.admissionPlugins(c, name, doc)
		}
	}
	if c.Name == evidence.APIServer {
		r.connections(c)
	}
}

// admissionPlugins reads the files that an AdmissionConfiguration names, each as the
// flag's name, a slash and the plugin's.
func (r *reader) admissionPlugins(c *evidence.Component, flag string, doc *evidence.Document) {
	var config struct {
		Plugins []struct{ Name, Path string }
	}
	if json.Unmarshal(doc.JSON, &config) != nil {
		return
	}
	const maxPlugins = 100
	for i, p := range config.Plugins {
		if p.Path == "" || i == maxPlugins {
			continue
		}
		file := p.Path
		if !path.IsAbs(file) {
			f, _ := c.Flag(flag)
			file = path.Join(path.Dir(f.Value), file)
		}
		c.Documents[flag+"/"+p.Name] = r.configFile(c, file, true)
	}
}

// configFile reads a configuration file by the path that the component knows, without
// the credentials in it.
func (r *reader) configFile(c *evidence.Component, file string, secret bool) *evidence.Document {
	doc, host, why := r.configuration(c, file, secret)
	if why != "" {
		return &evidence.Document{File: host, APIVersion: doc.APIVersion, Kind: doc.Kind, Error: why}
	}
	return &evidence.Document{File: host, APIVersion: doc.APIVersion, Kind: doc.Kind, JSON: redact(doc.JSON), Outline: doc.Outline}
}

// redact replaces the credentials in a document by their lengths. Which fields are
// ones, their names tell: those of EncryptionConfiguration and of kubeconfigs.
func redact(text json.RawMessage) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	if !hide(value, false) {
		return text
	}
	out, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return out
}

// hide replaces the credentials below a value, or, when all is set, every text but
// names; it reports whether there were any.
func hide(value any, all bool) (found bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			_, isText := below.(string)
			secret := all && (name != "name" || !isText) || isSecret(name)
			if _, nested := below.(map[string]any); nested {
				found = hide(below, all || holdsSecrets(name)) || found
				continue
			}
			kept, hidden := hidden(below, secret || holdsSecrets(name))
			v[name], found = kept, hidden || found
		}
	case []any:
		for i, below := range v {
			kept, hidden := hidden(below, all)
			v[i], found = kept, hidden || found
		}
	}
	return found
}

// hidden is what is kept of a value that may be a credential, or holds some.
func hidden(value any, secret bool) (kept any, changed bool) {
	text, isText := value.(string)
	if number, ok := value.(json.Number); ok && secret {
		text, isText = number.String(), true
	}
	switch {
	case !isText:
		return value, hide(value, secret)
	case secret && text != "":
		return bits(text), true
	}
	kept = evidence.WithoutPassword(text)
	return kept, kept != text
}

// isSecret reports whether a field of that name holds a credential. Of names that only
// speak of one, such as that of its file, the end tells.
func isSecret(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, end := range []string{"file", "path", "strategy", "audience", "audiences", "attributes", "name", "type", "ttl", "box"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	for _, word := range []string{"secret", "token", "password", "passwd", "passphrase", "privatekey", "keydata"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// holdsSecrets reports whether all that stands in a field of that name may be a
// credential: headers of requests, what authentication plugins are given.
func holdsSecrets(name string) bool {
	return name == "staticPodURLHeader" || name == "auth-provider" || name == "env"
}

// bits is what is kept of a credential.
func bits(secret string) string {
	n := len(secret)
	if key, err := base64.StdEncoding.DecodeString(secret); err == nil {
		n = len(key)
	}
	return fmt.Sprintf("%d bit", 8*n)
}
