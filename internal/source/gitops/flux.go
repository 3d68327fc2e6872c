package gitops

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

var errNotValues = errors.New("its values are not a mapping in YAML")

// A reference names an object as Flux does.
type reference struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

func (r reference) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// Sources are the Flux sources that a run has met: where the repositories are
// that HelmReleases and Kustomizations name. The zero value is ready.
type Sources struct {
	urls map[reference]string
}

// Add takes note of an object if it is a source.
func (s *Sources) Add(c *evidence.Custom) {
	var source struct {
		Spec struct {
			URL string `json:"url"`
		} `json:"spec"`
	}
	if c.Group() != "source.toolkit.fluxcd.io" || decode(c, &source) != nil {
		return
	}
	if s.urls == nil {
		s.urls = map[reference]string{}
	}
	s.urls[reference{c.Kind, c.Name, c.Namespace}] = source.Spec.URL
}

// from says where a source is, for people.
func (s *Sources) from(r reference) string {
	if url := s.urls[r]; url != "" {
		return fmt.Sprintf("%s (%s)", r, RepositoryName(url))
	}
	return r.String()
}

// repository returns the URL of a Git repository, "" when nothing tells it.
func (s *Sources) repository(r reference) string { return s.urls[r] }

func (o *outcome) kustomization(c *evidence.Custom, sources *Sources) {
	var object struct {
		Spec struct {
			Path            string    `json:"path"`
			SourceRef       reference `json:"sourceRef"`
			TargetNamespace string    `json:"targetNamespace"`
			PostBuild       *struct {
				Substitute     map[string]string `json:"substitute"`
				SubstituteFrom []reference       `json:"substituteFrom"`
			} `json:"postBuild"`
		} `json:"spec"`
	}
	var all struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	spec := evidence.NewPath("spec")
	if err := cmp.Or(decode(c, &object), decode(c, &all)); err != nil {
		o.cannot(spec, "", "cannot be read: %v", err)
		return
	}
	s := object.Spec
	s.SourceRef.Namespace = cmp.Or(s.SourceRef.Namespace, c.Namespace)
	folder, ok := inside(s.Path)
	switch {
	case s.SourceRef.Kind != "GitRepository":
		o.cannot(spec.Field("sourceRef"), s.TargetNamespace, "comes from %s", sources.from(s.SourceRef))
		return
	case !ok:
		o.cannot(spec.Field("path"), s.TargetNamespace, "path %q leads out of the repository", s.Path)
		return
	}
	r := Rendering{
		Folder:          File{Repository: sources.repository(s.SourceRef), Path: folder, At: spec.Field("path")},
		Namespace:       s.TargetNamespace,
		ForcedNamespace: s.TargetNamespace,
		// Flux makes a kustomization of all manifests when there is none.
		Listing: Listing{Recurse: true, Overlays: true},
	}
	for _, key := range []string{"namePrefix", "nameSuffix", "commonMetadata", "components", "images", "patches", "patchesStrategicMerge", "patchesJson6902"} {
		if isSet(all.Spec[key]) {
			r.unseen(spec.Field(key), "is judged without its %s", key)
		}
	}
	if s.PostBuild != nil {
		r.Substitute = &Substitution{Variables: s.PostBuild.Substitute, KeepUnknown: len(s.PostBuild.SubstituteFrom) > 0}
		for _, name := range slices.Sorted(maps.Keys(s.PostBuild.Substitute)) {
			if strings.Contains(s.PostBuild.Substitute[name], "\n") { // it would move every line below it
				delete(s.PostBuild.Substitute, name)
				r.unseen(spec.Field("postBuild", "substitute", name), "is judged without the variable %s, which has several lines", name)
			}
		}
		for i, from := range s.PostBuild.SubstituteFrom {
			r.unseen(spec.Field("postBuild", "substituteFrom").Index(i, from.Name), "is judged without the variables in %s %s of the cluster", from.Kind, from.Name)
		}
	}
	o.renderings = append(o.renderings, r)
}

func (o *outcome) helmRelease(c *evidence.Custom, sources *Sources) {
	var object struct {
		Spec struct {
			Chart *struct {
				Spec struct {
					Chart       string    `json:"chart"`
					SourceRef   reference `json:"sourceRef"`
					ValuesFile  string    `json:"valuesFile"`
					ValuesFiles []string  `json:"valuesFiles"`
					Ignore      bool      `json:"ignoreMissingValuesFiles"`
				} `json:"spec"`
			} `json:"chart"`
			ChartRef        *reference        `json:"chartRef"`
			ReleaseName     string            `json:"releaseName"`
			TargetNamespace string            `json:"targetNamespace"`
			Values          json.RawMessage   `json:"values"`
			ValuesFrom      []reference       `json:"valuesFrom"`
			PostRenderers   []json.RawMessage `json:"postRenderers"`
		} `json:"spec"`
	}
	spec := evidence.NewPath("spec")
	if err := decode(c, &object); err != nil {
		o.cannot(spec, "", "cannot be read: %v", err)
		return
	}
	s := object.Spec
	namespace := cmp.Or(s.TargetNamespace, c.Namespace)
	switch {
	case s.ChartRef != nil:
		s.ChartRef.Namespace = cmp.Or(s.ChartRef.Namespace, c.Namespace)
		o.cannot(spec.Field("chartRef"), namespace, "its chart comes from %s", sources.from(*s.ChartRef))
		return
	case s.Chart == nil:
		o.cannot(spec, namespace, "names no chart")
		return
	}
	chart, at := s.Chart.Spec, spec.Field("chart", "spec")
	chart.SourceRef.Namespace = cmp.Or(chart.SourceRef.Namespace, c.Namespace)
	folder, ok := inside(chart.Chart)
	switch {
	case chart.SourceRef.Kind != "GitRepository":
		o.cannot(at.Field("chart"), namespace, "chart %q comes from %s", chart.Chart, sources.from(chart.SourceRef))
		return
	case !ok:
		o.cannot(at.Field("chart"), namespace, "path %q leads out of the repository", chart.Chart)
		return
	}
	repository := sources.repository(chart.SourceRef)
	r := Rendering{
		Folder:    File{Repository: repository, Path: folder, At: at.Field("chart")},
		Tool:      Helm,
		Namespace: namespace,
		Release:   Release{Name: releaseName(s.ReleaseName, s.TargetNamespace, c.Name), IgnoreMissing: chart.Ignore},
	}
	// These files take the place of the chart's own values.yaml.
	files := chart.ValuesFiles
	if chart.ValuesFile != "" {
		files = append(slices.Clone(files), chart.ValuesFile)
	}
	r.Release.OwnDefaults = len(files) > 0 && !slices.ContainsFunc(files, func(f string) bool { return path.Clean(f) == path.Join(folder, "values.yaml") })
	for i, name := range files {
		f := File{Repository: repository, At: at.Field("valuesFiles").Index(i, "")}
		if f.Path, ok = inside(name); !ok {
			r.unseen(f.At, "file %q leads out of the repository", name)
			continue
		}
		r.Release.Files = append(r.Release.Files, f)
	}
	if r.Release.OwnDefaults {
		r.unseen(at.Field("valuesFiles"), "is judged with the chart's own values.yaml below the files that take its place")
	}
	for i, from := range s.ValuesFrom {
		r.unseen(spec.Field("valuesFrom").Index(i, from.Name), "is judged without the values in %s %s of the cluster", from.Kind, from.Name)
	}
	if len(s.PostRenderers) > 0 {
		r.unseen(spec.Field("postRenderers"), "is judged without its postRenderers")
	}
	var err error
	if isSet(s.Values) {
		if r.Release.Values, err = values(s.Values); err != nil {
			o.cannot(spec.Field("values"), namespace, "%v", errNotValues)
			return
		}
	}
	o.renderings = append(o.renderings, r)
}

// maxReleaseName is Helm's limit on the names of releases.
const maxReleaseName = 53

// releaseName is the name that Flux gives a release.
func releaseName(own, targetNamespace, object string) string {
	name := own
	if name == "" {
		name = object
		if targetNamespace != "" {
			name = targetNamespace + "-" + object
		}
	}
	if len(name) <= maxReleaseName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:40] + "-" + hex.EncodeToString(sum[:])[:12]
}
