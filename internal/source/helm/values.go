package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/strvals"
)

// DefaultKubeVersion is the version of Kubernetes that charts are rendered for
// when none is asked for: that of the client library that Gabion is built with.
const DefaultKubeVersion = "v1.37.0"

// maxValuesFile bounds, in bytes, each file that the options name.
const maxValuesFile = 16 << 20

// Options are Helm's own flags for a chart.
type Options struct {
	// Values come after the chart's own values and before those of ValuesFiles:
	// those that a GitOps object has inline.
	Values map[string]any
	// ValuesFiles, Set, SetString and SetFile mean what Helm's flags --values,
	// --set, --set-string and --set-file mean, and are applied in this order.
	// Files are local; a path is relative to the working directory.
	ValuesFiles, Set, SetString, SetFile []string
	// Edited are bytes to read in place of those of files that the options name.
	Edited map[string][]byte `json:"-"`
	// Overrides come after all other values.
	Overrides   map[string]any
	ReleaseName string   // "release-name" if empty
	Namespace   string   // "default" if empty
	KubeVersion string   // DefaultKubeVersion if empty
	APIVersions []string // added to those that Helm knows
}

// merge returns the values that the options ask for.
func (o Options) merge() (map[string]any, error) {
	vals := copyMap(o.Values)
	for _, name := range o.ValuesFiles {
		data, err := o.read(name)
		if err != nil {
			return nil, fmt.Errorf("read values file: %w", err)
		}
		more, err := loader.LoadValues(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read values file %q: %w", name, err)
		}
		vals = loader.MergeMaps(vals, more)
	}
	for _, s := range o.Set {
		if err := strvals.ParseInto(s, vals); err != nil {
			return nil, fmt.Errorf("value %q (--set): %w", keyOnly(s), err)
		}
	}
	for _, s := range o.SetString {
		if err := strvals.ParseIntoString(s, vals); err != nil {
			return nil, fmt.Errorf("value %q (--set-string): %w", keyOnly(s), err)
		}
	}
	read := func(name []rune) (any, error) {
		data, err := o.read(string(name))
		return string(data), err
	}
	for _, s := range o.SetFile {
		if err := strvals.ParseIntoFile(s, vals, read); err != nil {
			return nil, fmt.Errorf("value %q (--set-file): %w", s, err)
		}
	}
	return loader.MergeMaps(vals, copyMap(o.Overrides)), nil
}

// read reads a file that the options name, as it is or as it was edited.
func (o Options) read(name string) ([]byte, error) {
	if data, edited := o.Edited[name]; edited {
		return data, nil
	}
	return readBounded(name)
}

// keyOnly leaves out the value of key=value: it may be a secret.
func keyOnly(s string) string {
	key, _, _ := strings.Cut(s, "=")
	return key
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxValuesFile+1))
	if err == nil && len(data) > maxValuesFile {
		err = fmt.Errorf("file %q is larger than %d bytes", name, maxValuesFile)
	}
	return data, err
}

func (o Options) capabilities() (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	version := o.KubeVersion
	if version == "" {
		version = DefaultKubeVersion
	}
	kv, err := common.ParseKubeVersion(version)
	if err != nil {
		return nil, fmt.Errorf("kubernetes version %q (--kube-version): %w", version, err)
	}
	caps.KubeVersion = *kv
	caps.APIVersions = slices.Concat(caps.APIVersions, o.APIVersions)
	return caps, nil
}

// prepared is a chart ready for Helm's engine.
type prepared struct {
	chart    *chartv2.Chart
	places   map[*common.File]string
	values   common.Values // as the engine wants them
	warnings []string
}

// prepare makes the chart and its values ready: sub-charts that are switched
// off are gone, aliases are given, values are merged and obey their schemas.
func prepare(c *Chart, o Options) (*prepared, error) {
	vals, err := o.merge()
	if err != nil {
		return nil, err
	}
	caps, err := o.capabilities()
	if err != nil {
		return nil, err
	}
	built, places, err := c.root.build()
	if err != nil {
		return nil, err
	}
	if want := built.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, caps.KubeVersion.String()) {
		return nil, fmt.Errorf("chart wants kubernetes %q and is rendered for %s: choose another version with --kube-version", want, caps.KubeVersion.Version)
	}
	p := &prepared{chart: built, places: places}
	missing := undelivered(built)
	if err := chartutil.ProcessDependencies(built, vals); err != nil {
		return nil, err
	}
	if err := p.checkMissing(missing); err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: o.ReleaseName, Namespace: o.Namespace, Revision: 1, IsInstall: true}
	if release.Name == "" {
		release.Name = "release-name"
	}
	if release.Namespace == "" {
		release.Namespace = "default"
	}
	p.values, err = util.ToRenderValuesWithSchemaValidation(built, vals, release, caps, true)
	if err != nil {
		return nil, err
	}
	merged, err := p.values.Table("Values")
	if err != nil {
		return nil, err
	}
	return p, p.checkSchemas(built, merged, "")
}

// undelivered returns the dependencies, by the name they are asked for, of
// which a chart has no copy in its charts folder.
func undelivered(c *chartv2.Chart) map[*chartv2.Dependency]string {
	missing := map[*chartv2.Dependency]string{}
	for _, d := range c.Metadata.Dependencies {
		isIt := func(sub *chartv2.Chart) bool { return sub.Name() == d.Name }
		if !slices.ContainsFunc(c.Dependencies(), isIt) {
			missing[d] = d.Name
		}
	}
	return missing
}

// checkMissing returns an error for missing dependencies that are in use. Those
// that conditions or tags switch off change nothing: Helm refuses them too, but
// a chart fresh from a repository often lacks them.
func (p *prepared) checkMissing(missing map[*chartv2.Dependency]string) error {
	var used []string
	for _, d := range p.chart.Metadata.Dependencies {
		if name, ok := missing[d]; ok {
			used = append(used, name)
			delete(missing, d)
		}
	}
	if len(used) > 0 {
		return fmt.Errorf("dependencies in Chart.yaml that are not in the charts folder: %s (fetch them with `helm dependency build`)", strings.Join(used, ", "))
	}
	for _, name := range missing {
		p.warnings = append(p.warnings, fmt.Sprintf("dependency %q is switched off and not in the charts folder", name))
	}
	slices.Sort(p.warnings)
	return nil
}

// checkSchemas checks a chart's values, and those of its sub-charts, against
// their schemas. A schema that refers to another file or to the network is not
// followed, with a warning.
func (p *prepared) checkSchemas(c *chartv2.Chart, vals map[string]any, prefix string) error {
	if c.Schema != nil {
		err := checkSchema(c.Schema, vals, prefix)
		if _, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
			p.warnings = append(p.warnings, fmt.Sprintf("values.schema.json of chart %q refers to another file, which is not read; values were not checked against it", c.Name()))
		} else if err != nil {
			return fmt.Errorf("values of chart %q do not obey its values.schema.json: %w", c.Name(), err)
		}
	}
	for _, sub := range c.Dependencies() {
		subVals, ok := vals[sub.Name()].(map[string]any)
		if !ok {
			continue
		}
		if err := p.checkSchemas(sub, subVals, prefix+sub.Name()+"."); err != nil {
			return err
		}
	}
	return nil
}

// noLoader refuses every reference out of a schema.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errors.New("not read") }

func checkSchema(schema []byte, vals map[string]any, prefix string) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	const url = "file:///values.schema.json"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(url, doc); err != nil {
		return err
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		return err
	}
	err = compiled.Validate(vals)
	if failed, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return errors.New(strings.Join(violations(failed, prefix), "; "))
	}
	return err
}

// violations lists each key that breaks a schema and what is wrong with it.
func violations(e *jsonschema.ValidationError, prefix string) []string {
	if len(e.Causes) == 0 {
		where := prefix + strings.Join(e.InstanceLocation, ".")
		if where == "" {
			where = "the values"
		}
		return []string{where + ": " + violation(e.ErrorKind)}
	}
	var all []string
	for _, cause := range e.Causes {
		all = append(all, violations(cause, prefix)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// violation says what is wrong, without the value: it may be a secret.
func violation(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Pattern:
		return fmt.Sprintf("does not match the pattern %q", k.Want)
	case *kind.Format:
		return fmt.Sprintf("is not a valid %s", k.Want)
	}
	return k.LocalizedString(message.NewPrinter(language.English))
}

// copyMap copies a tree of values down to its leaves: templates may write into
// the values they are given.
func copyMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = copyValue(v)
	}
	return out
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copyMap(v)
	case common.Values:
		return common.Values(copyMap(v))
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = copyValue(item)
		}
		return out
	}
	return v
}
