package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

const maxNesting = 100 // of tables and lists of a TOML file

// decodeTOML reads a TOML file. What would make the parser recurse without end is
// refused first.
func decodeTOML(data []byte) (map[string]any, error) {
	depth := 0
	for text := range bytes.Lines(data) {
		if bytes.Count(text, []byte(".")) > 1000 && bytes.IndexByte(text, '"') < 0 {
			return nil, errors.New("not TOML that can be read: a name of too many parts")
		}
		for _, c := range text {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
		}
		if depth > maxNesting {
			return nil, fmt.Errorf("not TOML that can be read: nested deeper than %d levels", maxNesting)
		}
	}
	var config map[string]any
	if _, err := toml.Decode(string(data), &config); err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) { // its text may quote a credential
			return nil, fmt.Errorf("not valid TOML (line %d)", parse.Position.Line)
		}
		return nil, errors.New("not valid TOML")
	}
	return config, nil
}

// decodeYAML reads the first document of a YAML or JSON file.
func decodeYAML(file string, data []byte) (map[string]any, *evidence.Outline, error) {
	var decoder yamldoc.Decoder
	for doc, err := range decoder.Documents(file, data) {
		if err != nil { // its text may quote a credential
			return nil, nil, fmt.Errorf("not valid YAML (line %d)", err.Line)
		}
		var config map[string]any
		if json.Unmarshal(doc.JSON, &config) != nil {
			return nil, nil, errors.New("not a mapping")
		}
		return config, doc.Outline, nil
	}
	return map[string]any{}, nil, nil
}

// isCredential reports whether a field of a configuration holds a secret, by its name.
// Names of files are none.
func isCredential(key string) bool {
	key = strings.ToLower(key)
	for _, end := range []string{"password", "passwd", "token", "secret", "auth_token", "apikey", "api_key", "secret_key", "authorization", "cookie"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return key == "auth"
}

// redact replaces the credentials in a decoded value by their length, and takes those
// out of URLs.
func redact(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			as := k
			if isCredential(key) {
				as = key
			}
			v[k] = redact(as, below)
		}
	case []any:
		for i, below := range v {
			v[i] = redact(key, below)
		}
	case []map[string]any:
		for _, below := range v {
			redact(key, below)
		}
	case string:
		if v != "" && isCredential(key) {
			return fmt.Sprintf("%d bit", 8*len(v))
		}
		return evidence.WithoutPassword(v)
	}
	return v
}

// flatten adds the leaves of a table, by their dotted names as TOML writes them:
// plugins."io.containerd.grpc.v1.cri".sandbox_image.
func flatten(options map[string]evidence.Option, prefix toml.Key, table map[string]any, place evidence.Position) {
	for k, v := range table {
		key := append(prefix[:len(prefix):len(prefix)], k)
		if below, ok := v.(map[string]any); ok {
			if len(key) < maxNesting {
				flatten(options, key, below, place)
			}
			continue
		}
		if value, err := json.Marshal(redact(k, v)); err == nil {
			options[key.String()] = evidence.Option{Value: value, Place: place}
		}
	}
}
