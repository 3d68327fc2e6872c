package live

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// protobufMagic is how the API server begins what it sends as protobuf.
var protobufMagic = []byte("k8s\x00")

// A page is a part of a list, with its objects not yet decoded: so one that is
// broken does not hide the others, and none keeps the memory of all.
type page struct {
	items    [][]byte
	protobuf bool
	next     string
}

// parsePage takes a list apart, of a kind if that is known. Its items share the
// memory of the body if they are protobuf.
func parsePage(body []byte, listKind string) (page, error) {
	raw, ok := bytes.CutPrefix(body, protobufMagic)
	if !ok {
		return parseJSON(body, listKind)
	}
	envelope, err := unwrap(raw)
	if err != nil {
		return page{}, err
	}
	if envelope.kind != listKind {
		return page{}, wrongKind(envelope.kind, listKind)
	}
	p := page{protobuf: true}
	var meta metav1.ListMeta
	err = eachField(envelope.raw, func(f field) error {
		switch f.number {
		case 1:
			return meta.Unmarshal(f.value)
		case 2:
			p.items = append(p.items, f.value)
		}
		return nil
	})
	p.next = meta.Continue
	return p, err
}

func parseJSON(body []byte, listKind string) (page, error) {
	var list struct {
		Kind     string             `json:"kind"`
		Metadata metav1.ListMeta    `json:"metadata"`
		Items    *[]json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return page{}, errors.New("neither protobuf nor JSON")
	}
	if list.Items == nil {
		return page{}, errors.New("no list")
	}
	if listKind != "" && list.Kind != listKind {
		return page{}, wrongKind(list.Kind, listKind)
	}
	p := page{next: list.Metadata.Continue, items: make([][]byte, len(*list.Items))}
	for i, item := range *list.Items {
		p.items[i] = item
	}
	return p, nil
}

func wrongKind(got, want string) error {
	return fmt.Errorf("%q instead of a %s", oneLine(got, maxName), want)
}

// parseSingle is a page with one object that did not come in a list.
func parseSingle(body []byte) (page, error) {
	raw, ok := bytes.CutPrefix(body, protobufMagic)
	if !ok {
		return page{items: [][]byte{body}}, nil
	}
	envelope, err := unwrap(raw)
	return page{items: [][]byte{envelope.raw}, protobuf: true}, err
}

// An envelope is the runtime.Unknown that every protobuf answer is in, without
// copies.
type envelope struct {
	kind string
	raw  []byte
}

func unwrap(text []byte) (envelope, error) {
	var e envelope
	err := eachField(text, func(f field) error {
		switch f.number {
		case 1:
			var meta runtime.TypeMeta
			if err := meta.Unmarshal(f.value); err != nil {
				return err
			}
			e.kind = meta.Kind
		case 2:
			e.raw = f.value
		}
		return nil
	})
	return e, err
}

var errProtobuf = errors.New("broken protobuf")

// A field is one of a protobuf message.
type field struct {
	number uint64
	tag    []byte // as it is written
	value  []byte
}

// eachField visits the fields of a protobuf message that have a length.
func eachField(message []byte, visit func(field) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errProtobuf
		}
		f := field{number: tag >> 3, tag: message[:n]}
		message = message[n:]
		size := uint64(0)
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(message); n <= 0 {
				return errProtobuf
			}
			size = uint64(n)
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			if size, n = binary.Uvarint(message); n <= 0 {
				return errProtobuf
			}
			message = message[n:]
		default:
			return errProtobuf
		}
		if size > uint64(len(message)) {
			return errProtobuf
		}
		if tag&7 == 2 {
			f.value = message[:size]
			if err := visit(f); err != nil {
				return err
			}
		}
		message = message[size:]
	}
	return nil
}

// unmanaged hides from a decoder who manages which field of an object, in its
// protobuf: it is as much as the rest of many objects, and nobody reads it. The entries
// get the number of a field that there is not.
func unmanaged(item []byte) {
	const metadata, managedFields = 1, 17
	none := binary.AppendUvarint(nil, 1023<<3|2) // as long as the tag of managedFields
	_ = eachField(item, func(f field) error {
		if f.number != metadata {
			return nil
		}
		return eachField(f.value, func(f field) error {
			if f.number == managedFields && len(f.tag) == len(none) {
				copy(f.tag, none)
			}
			return nil
		})
	})
}

// decode turns one object of a list into what a Sink takes.
func (l listing) decode(item []byte, protobuf bool) (cluster.Object, error) {
	o := cluster.Object{APIVersion: l.apiVersion(), Kind: l.kind}
	switch l.form {
	case inMetadata:
		meta := &metav1.PartialObjectMetadata{}
		if err := unmarshal(item, protobuf, meta); err != nil {
			return o, err
		}
		o.Typed = meta
		if l.secretType != "" {
			o.Typed = secret(meta, l.secretType)
		}
	case inNames:
		var r row
		if err := json.Unmarshal(item, &r); err != nil {
			return o, errors.New("broken row")
		}
		o.Typed = r.secret(l.namespace, l.secretType, time.Now())
	case inFull:
		k, _ := kind.Find(l.group, l.kind)
		typed, ok := k.New().(metav1.Object)
		if !ok {
			return o, fmt.Errorf("%s is no object", l.kind)
		}
		if err := unmarshal(item, protobuf, typed); err != nil {
			return o, err
		}
		o.Typed = typed
	case inJSON:
		var named struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
		}
		if err := unmarshal(item, protobuf, &named); err != nil {
			return o, err
		}
		o.JSON = item
		if l.group == definitions {
			o.JSON = kind.WithoutSchemas(l.group, l.kind, item)
		}
	}
	return o, nil
}

// unmarshal decodes an object. Errors hold nothing of it: it may be a Secret.
func unmarshal(item []byte, protobuf bool, into any) error {
	if !protobuf {
		if json.Unmarshal(item, into) != nil {
			return errors.New("broken JSON")
		}
		return nil
	}
	unmanaged(item)
	message, ok := into.(interface{ Unmarshal([]byte) error })
	if !ok || message.Unmarshal(item) != nil {
		return errProtobuf
	}
	return nil
}

// secret is what is kept of a Secret. Of its annotations, in which kubectl keeps
// the values once more, only the name of the account whose token it holds.
func secret(meta *metav1.PartialObjectMetadata, secretType corev1.SecretType) *corev1.Secret {
	s := &corev1.Secret{Type: secretType, ObjectMeta: metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID,
		CreationTimestamp: meta.CreationTimestamp, Labels: meta.Labels,
	}}
	if account, ok := meta.Annotations[corev1.ServiceAccountNameKey]; ok {
		s.Annotations = map[string]string{corev1.ServiceAccountNameKey: account}
	}
	return s
}
