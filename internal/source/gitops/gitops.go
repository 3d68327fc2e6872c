// Package gitops reads the objects that tell Argo CD and Flux what to render:
// Application, HelmRelease, Kustomization and the sources that they name. It says
// in plain data what they ask for: which path of which repository, rendered how,
// with which values, into which namespace. It opens no file, renders nothing and
// does not know what there is to render. Of what it cannot say, such as values
// that stand in a Secret of a cluster, it says that and why. The revision of a
// repository is not compared: what was scanned is taken for it.
package gitops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Tool is what makes objects of a folder.
type Tool string

// The tools. Auto is decided by what the folder holds: a chart, a kustomization,
// or else manifests.
const (
	Auto      Tool = ""
	Helm      Tool = "helm"
	Kustomize Tool = "kustomize"
	Directory Tool = "directory"
)

// A Rendering is one folder that an object has rendered, and how.
type Rendering struct {
	// Folder is what is rendered: a folder, or a packed chart.
	Folder File
	Tool   Tool
	// Namespace is that of objects that name none.
	Namespace string
	// ForcedNamespace, unless empty, is that of all objects, whatever they name.
	ForcedNamespace string
	Release         Release // when rendered by Helm
	Listing         Listing // when a folder of manifests
	// Substitute are the variables that are replaced in what was rendered; nil
	// when nothing is. See Replace.
	Substitute *Substitution
	// Unseen is what else is done to the objects and not said here: what is
	// rendered without it is near to what the cluster gets, and not the same.
	Unseen []Opaque
}

// A File is a path in a repository.
type File struct {
	Repository string // its URL, as written; "" when it is not known
	Path       string // slash-separated, clean, "." for the top
	// At is the field that names it.
	At evidence.Path `json:"-"`
}

// A Release is what Helm is told.
type Release struct {
	Name      string
	Namespace string // "" for that of the rendering
	// Files are values files, each over those before it; IgnoreMissing lets them
	// be absent. Values come over them all.
	Files         []File
	IgnoreMissing bool
	Values        map[string]any
	// OwnDefaults is set when Files replace the chart's own values.yaml and do not
	// only come over it.
	OwnDefaults bool
	// Set and SetString are as Helm's flags take them, and come over the values.
	Set, SetString []string
	// SetFile are values that are the text of a file.
	SetFile     []FileValue
	KubeVersion string
	APIVersions []string
}

// A FileValue is a value whose text stands in a file.
type FileValue struct {
	Key  string
	File File
}

// An Opaque is something that an object makes or changes and that cannot be seen.
type Opaque struct {
	At     evidence.Path // the field that asks for it
	Reason string
	// Namespace is where the things are that are not seen; "" when it may be any.
	Namespace string
}

// Reads reports whether objects of a kind are read by Decode or by Sources.Add.
func Reads(group, kind string) bool {
	switch group {
	case "argoproj.io":
		return kind == "Application" || kind == "ApplicationSet"
	case "helm.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "source.toolkit.fluxcd.io":
		return true
	}
	return false
}

// Decode says what an object has rendered, and what of it cannot be said. Sources
// are those that Flux objects may name. Objects of other kinds have nothing
// rendered.
func Decode(c *evidence.Custom, sources *Sources) ([]Rendering, []Opaque) {
	var out outcome
	switch c.Group() + "/" + c.Kind {
	case "argoproj.io/Application":
		out.application(c)
	case "argoproj.io/ApplicationSet":
		out.applicationSet(c)
	case "helm.toolkit.fluxcd.io/HelmRelease":
		out.helmRelease(c, sources)
	case "kustomize.toolkit.fluxcd.io/Kustomization":
		out.kustomization(c, sources)
	}
	return out.renderings, out.opaque
}

// An outcome is what Decode returns.
type outcome struct {
	renderings []Rendering
	opaque     []Opaque
}

func (o *outcome) cannot(at evidence.Path, namespace, format string, args ...any) {
	o.opaque = append(o.opaque, Opaque{At: at, Namespace: namespace, Reason: fmt.Sprintf(format, args...)})
}

func (r *Rendering) unseen(at evidence.Path, format string, args ...any) {
	r.Unseen = append(r.Unseen, Opaque{At: at, Reason: fmt.Sprintf(format, args...), Namespace: r.scope()})
}

// scope is the namespace that most of the objects are in.
func (r *Rendering) scope() string {
	if r.ForcedNamespace != "" {
		return r.ForcedNamespace
	}
	return r.Namespace
}

// decode reads an object's JSON. The message of its error names the field and
// never the value.
func decode(c *evidence.Custom, into any) error {
	err := kjson.UnmarshalCaseSensitivePreserveInts(c.JSON, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: want a %s, got %s", wrong.Field, typeName(wrong.Type.String()), typeName(wrong.Value))
	}
	return err
}

// typeName says a type of Go or of JSON as people do who write YAML.
func typeName(name string) string {
	switch {
	case name == "string", name == "bool", name == "number":
		return name
	case name == "array", strings.HasPrefix(name, "[]"):
		return "list"
	}
	return "mapping"
}

// values reads values that are given as YAML or JSON text, numbers as they are
// written.
func values(text []byte) (map[string]any, error) {
	var v map[string]any
	err := yaml.Unmarshal(text, &v, func(d *json.Decoder) *json.Decoder {
		d.UseNumber()
		return d
	})
	return v, err
}

// ReadValues reads the text of a values file.
func ReadValues(text []byte) (map[string]any, error) {
	return values(bytes.TrimPrefix(text, []byte("\ufeff")))
}

// MergeValues lays values over others, as Helm does: mappings are merged, all
// else is replaced. It changes neither.
func MergeValues(under, over map[string]any) map[string]any {
	merged := make(map[string]any, len(under)+len(over))
	for k, v := range under {
		merged[k] = v
	}
	for k, v := range over {
		below, isMap := merged[k].(map[string]any)
		if m, ok := v.(map[string]any); ok && isMap {
			v = MergeValues(below, m)
		}
		merged[k] = v
	}
	return merged
}

// isSet reports whether a field has a value that says something.
func isSet(raw json.RawMessage) bool {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", `""`, "[]", "{}", "false":
		return false
	}
	return true
}

// inside cleans a path in a repository; ok is false when it leads out of it.
func inside(p string) (clean string, ok bool) {
	clean = path.Clean(strings.TrimLeft(p, "/"))
	return clean, clean != ".." && !strings.HasPrefix(clean, "../")
}
