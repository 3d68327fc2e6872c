package gitops

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An argoSource is a source of an Application, as far as it is read here.
type argoSource struct {
	RepoURL   string                     `json:"repoURL"`
	Path      string                     `json:"path"`
	Chart     string                     `json:"chart"`
	Ref       string                     `json:"ref"`
	Helm      *argoHelm                  `json:"helm"`
	Kustomize map[string]json.RawMessage `json:"kustomize"`
	Directory *argoDirectory             `json:"directory"`
	Plugin    *json.RawMessage           `json:"plugin"`

	at evidence.Path
}

type argoHelm struct {
	ReleaseName   string          `json:"releaseName"`
	Namespace     string          `json:"namespace"`
	ValueFiles    []string        `json:"valueFiles"`
	IgnoreMissing bool            `json:"ignoreMissingValueFiles"`
	Values        string          `json:"values"`
	ValuesObject  json.RawMessage `json:"valuesObject"`
	Parameters    []struct {
		Name        string `json:"name"`
		Value       string `json:"value"`
		ForceString bool   `json:"forceString"`
	} `json:"parameters"`
	FileParameters []struct {
		Name string `json:"name"`
		Path string `json:"path"`
	} `json:"fileParameters"`
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
}

type argoDirectory struct {
	Recurse bool            `json:"recurse"`
	Include string          `json:"include"`
	Exclude string          `json:"exclude"`
	Jsonnet json.RawMessage `json:"jsonnet"`
}

func (o *outcome) application(c *evidence.Custom) {
	var app struct {
		Spec struct {
			Destination struct {
				Namespace string `json:"namespace"`
			} `json:"destination"`
			Source         *argoSource  `json:"source"`
			Sources        []argoSource `json:"sources"`
			SourceHydrator *struct {
				DrySource *argoSource `json:"drySource"`
			} `json:"sourceHydrator"`
		} `json:"spec"`
	}
	spec := evidence.NewPath("spec")
	if err := decode(c, &app); err != nil {
		o.cannot(spec, "", "cannot be read: %v", err)
		return
	}
	sources := app.Spec.Sources // when there are any, Argo CD ignores source
	for i := range sources {
		sources[i].at = spec.Field("sources").Index(i, sources[i].Ref)
	}
	switch hydrator := app.Spec.SourceHydrator; {
	case len(sources) > 0:
	case hydrator != nil && hydrator.DrySource != nil:
		hydrator.DrySource.at = spec.Field("sourceHydrator", "drySource")
		sources = []argoSource{*hydrator.DrySource}
	case app.Spec.Source != nil:
		app.Spec.Source.at = spec.Field("source")
		sources = []argoSource{*app.Spec.Source}
	default:
		o.cannot(spec, app.Spec.Destination.Namespace, "names no source")
	}
	refs := map[string]string{}
	for _, s := range sources {
		if s.Ref != "" {
			refs["$"+s.Ref] = s.RepoURL
		}
	}
	for _, s := range sources {
		o.argoSource(c, s, refs, app.Spec.Destination.Namespace)
	}
}

func (o *outcome) argoSource(c *evidence.Custom, s argoSource, refs map[string]string, namespace string) {
	repository := cmp.Or(RepositoryName(s.RepoURL), "its repository")
	folder, ok := inside(s.Path)
	switch {
	case s.Chart != "":
		o.cannot(s.at.Field("chart"), namespace, "chart %q comes from the Helm repository %s", s.Chart, repository)
		return
	case s.Path == "" && s.Ref != "": // only lends its files to the others
		return
	case s.Path == "":
		o.cannot(s.at, namespace, "names neither a path nor a chart of %s", repository)
		return
	case strings.HasPrefix(s.RepoURL, "oci://"):
		o.cannot(s.at.Field("repoURL"), namespace, "comes from the registry %s", repository)
		return
	case !ok:
		o.cannot(s.at.Field("path"), namespace, "path %q leads out of the repository", s.Path)
		return
	case s.Plugin != nil:
		o.cannot(s.at.Field("plugin"), namespace, "is rendered by a plugin of Argo CD")
		return
	}
	r := Rendering{
		Folder:    File{Repository: s.RepoURL, Path: folder, At: s.at.Field("path")},
		Namespace: namespace,
		Release:   Release{Name: c.Name},
	}
	if s.Kustomize != nil {
		r.Tool = Kustomize
		s.kustomize(&r)
	}
	if s.Directory != nil {
		r.Tool = Directory
		if err := s.directory(&r); err != nil {
			o.cannot(s.at.Field("directory"), namespace, "%v", err)
			return
		}
	}
	if s.Helm != nil {
		r.Tool = Helm
		if err := s.helm(&r, refs); err != nil {
			o.cannot(s.at.Field("helm"), namespace, "%v", err)
			return
		}
	}
	o.renderings = append(o.renderings, r)
}

// harmless are options that change no object by themselves.
var harmless = []string{
	"version", "namespace", "forceCommonLabels", "forceCommonAnnotations", "commonAnnotationsEnvsubst",
	"labelWithoutSelector", "labelIncludeTemplates", "ignoreMissingComponents", "kubeVersion", "apiVersions",
}

func (s argoSource) kustomize(r *Rendering) {
	at := s.at.Field("kustomize")
	if isSet(s.Kustomize["namespace"]) {
		if json.Unmarshal(s.Kustomize["namespace"], &r.ForcedNamespace) != nil {
			r.unseen(at.Field("namespace"), "kustomize.namespace is not a string")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Kustomize)) {
		if isSet(s.Kustomize[key]) && !slices.Contains(harmless, key) {
			r.unseen(at.Field(key), "is judged without its kustomize.%s", key)
		}
	}
}

func (s argoSource) directory(r *Rendering) error {
	d := s.Directory
	r.Listing.Recurse = d.Recurse
	var err error
	if r.Listing.Include, err = glob(d.Include); err != nil {
		return err
	}
	if r.Listing.Exclude, err = glob(d.Exclude); err != nil {
		return err
	}
	if isSet(d.Jsonnet) {
		r.unseen(s.at.Field("directory", "jsonnet"), "is judged without its Jsonnet files")
	}
	return nil
}

func (s argoSource) helm(r *Rendering, refs map[string]string) error {
	h, at := s.Helm, s.at.Field("helm")
	rel := &r.Release
	if h.ReleaseName != "" {
		rel.Name = h.ReleaseName
	}
	rel.Namespace, rel.IgnoreMissing = h.Namespace, h.IgnoreMissing
	rel.KubeVersion, rel.APIVersions = h.KubeVersion, h.APIVersions
	text := []byte(h.Values)
	if isSet(h.ValuesObject) { // Argo CD prefers it
		text = h.ValuesObject
	}
	var err error
	if rel.Values, err = values(text); err != nil {
		return errNotValues
	}
	for i, name := range h.ValueFiles {
		if f, ok := s.file(r, refs, name, at.Field("valueFiles").Index(i, "")); ok {
			rel.Files = append(rel.Files, f)
		}
	}
	for i, p := range h.FileParameters {
		if f, ok := s.file(r, refs, p.Path, at.Field("fileParameters").Index(i, p.Name).Field("path")); ok {
			rel.SetFile = append(rel.SetFile, FileValue{p.Name, f})
		}
	}
	for i, p := range h.Parameters {
		if usesBuildEnvironment(p.Value) {
			r.unseen(at.Field("parameters").Index(i, p.Name), "is judged without what Argo CD puts into the parameter %s", p.Name)
		}
		setting := p.Name + "=" + escapeCommas(p.Value)
		if p.ForceString {
			rel.SetString = append(rel.SetString, setting)
		} else {
			rel.Set = append(rel.Set, setting)
		}
	}
	return nil
}

// file finds the repository and the path that a file of a chart's options stands
// at. A name that begins with $REF/ is one of another source's repository, one
// that begins with / is seen from the top of the own.
func (s argoSource) file(r *Rendering, refs map[string]string, name string, at evidence.Path) (File, bool) {
	repository, full := s.RepoURL, s.Path+"/"+name
	switch first, rest, _ := strings.Cut(name, "/"); {
	case strings.Contains(name, "://"):
		r.unseen(at, "is judged without the file that %s has", RepositoryName(name))
		return File{}, false
	case usesBuildEnvironment(name):
		r.unseen(at, "is judged without the file %q, whose name Argo CD completes", name)
		return File{}, false
	case strings.HasPrefix(name, "$"):
		url, known := refs[first]
		if !known {
			r.unseen(at, "no source has the ref %q that the file %q is seen from", strings.TrimPrefix(first, "$"), name)
			return File{}, false
		}
		repository, full = url, rest
	case strings.HasPrefix(name, "/"):
		full = name
	}
	clean, ok := inside(full)
	if !ok {
		r.unseen(at, "file %q leads out of the repository", name)
		return File{}, false
	}
	return File{Repository: repository, Path: clean, At: at}, true
}

// usesBuildEnvironment reports whether Argo CD puts something of its own into a
// text.
func usesBuildEnvironment(text string) bool {
	return strings.Contains(text, "$ARGOCD_") || strings.Contains(text, "${ARGOCD_")
}

// escapeCommas keeps Helm from reading a parameter with a comma as two, as Argo
// CD does; a list in braces stays one.
func escapeCommas(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	var b strings.Builder
	for i := range len(value) {
		if value[i] == ',' && (i == 0 || value[i-1] != '\\') {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

func (o *outcome) applicationSet(c *evidence.Custom) {
	var set struct {
		Spec struct {
			Generators []map[string]json.RawMessage `json:"generators"`
		} `json:"spec"`
	}
	spec := evidence.NewPath("spec")
	if err := decode(c, &set); err != nil {
		o.cannot(spec, "", "cannot be read: %v", err)
		return
	}
	names := map[string]bool{}
	for _, g := range set.Spec.Generators {
		for name := range g {
			if name != "selector" {
				names[name] = true
			}
		}
	}
	how := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	if how == "" {
		o.cannot(spec, "", "has no generator")
		return
	}
	o.cannot(spec.Field("generators"), "", "its Applications come from a generator (%s)", how)
}
