// Package snapshot knows the one file that carries evidence to another desk:
// gzip over lines of JSON, so that whoever audits it needs no more than zcat and
// jq. A Writer takes the objects of live clusters as they come, and what was read
// of files; Load gives back one evidence.Snapshot for each, and the verdicts are
// the same. The values of Secrets have no place in the format.
//
// It opens no file, and merges nothing: several snapshots of one cluster are
// several. The checksum tells damage from soundness, not an author from a forger.
package snapshot

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// APIVersion and Kind head every snapshot.
const (
	APIVersion = "gabion.dev/v1"
	Kind       = "Snapshot"
)

// FormatVersion is the format that is written, and the newest that is read. Every
// new record and every new field of one makes a new format: a program that does not
// know the field could judge otherwise than the one that wrote it.
const FormatVersion = 2

// A Header is the first line of a snapshot.
type Header struct {
	APIVersion    string `json:"apiVersion"`
	Kind          string `json:"kind"`
	FormatVersion int    `json:"formatVersion"`
	// Tool is the program that wrote the snapshot.
	Tool      Tool      `json:"tool"`
	CreatedAt time.Time `json:"createdAt"`
}

// A Tool is a program and its release.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A record is a line after the header. One of Cluster, Object, Host, Gap,
// Collected, Files, Source, Managed, Probed and Trailer is set and says what the line is. What follows Cluster
// is of that cluster, up to and with Collected; what follows Files is of files.
type record struct {
	// Cluster begins what was collected of a cluster, with what is known of it then.
	Cluster *evidence.Cluster `json:"cluster,omitempty"`
	// Collected ends it, with all that is known of the cluster and what was listed.
	Collected *evidence.Cluster `json:"collected,omitempty"`
	// Files begins what was read of files. Its sources come first.
	Files  *struct{}        `json:"files,omitempty"`
	Source *evidence.Source `json:"source,omitempty"`
	Gap    *evidence.Gap    `json:"gap,omitempty"`
	// Object is an object, of a Secret what a secret has.
	Object json.RawMessage `json:"object,omitempty"`
	// Partial is set of an object of which only the metadata were read.
	Partial bool `json:"partial,omitempty"`
	// Host is a node that was looked at, with the Written of its source.
	Host *evidence.Host `json:"host,omitempty"`
	// Managed says that a provider runs the control plane, Probed what an attempt to
	// connect showed.
	Managed *evidence.Managed `json:"managed,omitempty"`
	Probed  *evidence.Probed  `json:"probed,omitempty"`
	// Written is set of objects of files and of nodes.
	Written *written `json:"written,omitempty"`
	Trailer *trailer `json:"trailer,omitempty"`
}

// written is what is known of an object in a file besides the object.
type written struct {
	// Source is the number of its source, counted from 0.
	Source int `json:"source"`
	// Namespace is where it is created, whatever it says itself.
	Namespace        string `json:"namespace,omitempty"`
	NamespaceAssumed bool   `json:"namespaceAssumed,omitempty"`
	// Outline is where its fields are written: what evidence.Outline encodes to.
	Outline []byte `json:"outline,omitempty"`
	// Field is evidence.Secret's.
	Field map[string]string `json:"field,omitempty"`
}

// A secret is all that a snapshot has of a Secret.
type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   secretMetadata    `json:"metadata"`
	Type       corev1.SecretType `json:"type,omitempty"`
}

type secretMetadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               types.UID         `json:"uid,omitempty"`
	CreationTimestamp *metav1.Time      `json:"creationTimestamp,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
}

// A trailer is the last line: what there must be before it.
type trailer struct {
	// Worlds are the clusters, and the files if there are any.
	Worlds  int `json:"worlds"`
	Objects int `json:"objects"`
	Gaps    int `json:"gaps"`
	// SHA256 is that of all lines before, their ends included, as hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Limits of one line, for those who write as for those who read.
const (
	// maxLine is the longest line, in bytes. An API server takes objects of at most
	// 3 MiB.
	maxLine = 16 << 20
	// maxNodes is the most lists and objects in a line. The largest that an empty one,
	// two bytes, can become in memory is a container, of some 700.
	maxNodes = 500_000
	// maxDepth is the deepest nesting of lists and objects in a line.
	maxDepth = 1000
)

// excess says what of a line is beyond the limits, "" when nothing is.
func excess(line []byte) string {
	if len(line) > maxLine {
		return "it is longer than 16 MiB"
	}
	nodes, depth := 0, 0
	quoted := false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++ // only strings hold it
		case '"':
			quoted = !quoted
		case '{', '[':
			if quoted {
				continue
			}
			nodes++
			if depth++; depth > maxDepth {
				return "it is nested more than 1,000 levels deep"
			}
		case '}', ']':
			if !quoted {
				depth--
			}
		}
	}
	if nodes > maxNodes {
		return "it has more than 500,000 lists and objects"
	}
	return ""
}
