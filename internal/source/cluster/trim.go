package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// TrimJSON returns an object that has no Go type without what Trim takes from those
// that have, and without the values of Secrets that are inside it; it fills in the
// reference. Items of lists do not always say what they are: the object returned
// does.
func TrimJSON(ref *evidence.Ref, text []byte) (json.RawMessage, error) {
	var named struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return nil, err
	}
	ref.Namespace, ref.Name = named.Metadata.Namespace, named.Metadata.Name
	value, err := parse(text)
	if err != nil {
		return nil, err
	}
	object, _ := value.(map[string]any)
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return nil, errors.New("an object without metadata")
	}
	delete(metadata, "managedFields")
	takeLastApplied(metadata)
	takeValues(object)
	object["apiVersion"], object["kind"] = ref.APIVersion, ref.Kind
	return encode(object)
}

// WithoutSecrets returns an object without the values of the Secrets that are
// inside it: some kinds hold objects that their controllers make.
func WithoutSecrets(text []byte) (json.RawMessage, error) {
	if !bytes.Contains(text, []byte(`"Secret"`)) {
		return bytes.ToValidUTF8(text, []byte("\ufffd")), nil
	}
	object, err := parse(text)
	if err != nil {
		return nil, err
	}
	takeValues(object)
	return encode(object)
}

// parse reads JSON, with numbers as they are written.
func parse(text []byte) (value any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return value, nil
}

// takeValues takes the values from what looks like a Secret, however deep.
func takeValues(value any) {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			takeValues(element)
		}
	case map[string]any:
		if v["kind"] == "Secret" {
			delete(v, "data")
			delete(v, "stringData")
			metadata, _ := v["metadata"].(map[string]any)
			takeLastApplied(metadata)
		}
		for _, field := range v {
			takeValues(field)
		}
	}
}

func takeLastApplied(metadata map[string]any) {
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
}

// encode returns a value as JSON.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}
