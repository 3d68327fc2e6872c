// Package kustomize builds the overlay in a Kustomize folder, in process, and
// says for every field of the result where a person would edit it: in the base,
// in the patch or in the kustomization file.
//
// It never connects to anything and never starts a program: remote bases and
// files, Helm inflation and plugins other than Kustomize's own are refused with
// the line that asks for them. It knows nothing about what the objects mean,
// and does not decide which folders of a tree are worth building: References
// gives the caller what that takes.
package kustomize

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// An Error says why a folder was not built, and where the reason stands.
type Error struct {
	File   string // "" when no one file is to blame
	Line   int    // 1-based; 0 when the file as a whole is to blame
	Reason string
}

// Error spells the error as FILE:LINE: REASON.
func (e *Error) Error() string {
	switch {
	case e.File == "":
		return e.Reason
	case e.Line == 0:
		return e.File + ": " + e.Reason
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Reason
}

// Refs is what a kustomization file uses. Folders and files are joined to the
// kustomization's own folder; they need not exist.
type Refs struct {
	File       string   // the kustomization file itself
	Kind       string   // "Kustomization" or "Component"
	Folders    []string // bases, components, folders of plugin configuration
	Files      []string // resources, patches, generators' sources and the like
	Remote     []string // as written
	HelmCharts bool     // asks for Helm inflation, which Build refuses
}

// References reads the kustomization file in dir and lists what it uses, without
// building anything. Errors are *Error.
func References(dir string) (Refs, error) {
	k, err := load(nil, dir)
	if err != nil {
		return Refs{}, err
	}
	refs := Refs{File: k.file, Kind: k.spec.Kind, HelmCharts: len(k.spec.HelmCharts) > 0}
	for _, r := range k.references() {
		at := filepath.Join(k.dir, r.path)
		switch {
		case k.isRemote(r):
			refs.Remote = append(refs.Remote, r.path)
		case r.role == asComponent, (r.role == asResource || r.role == asPlugin) && k.view.isFolder(at):
			refs.Folders = append(refs.Folders, at)
		default:
			refs.Files = append(refs.Files, at)
		}
	}
	for _, chart := range k.spec.HelmCharts {
		for _, f := range slices.Concat(chart.AdditionalValuesFiles, []string{chart.ValuesFile}) {
			if f != "" {
				refs.Files = append(refs.Files, filepath.Join(k.dir, f))
			}
		}
	}
	return refs, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// A kustomization is one kustomization file, read twice: spec is what Kustomize
// itself understands of it and is what decides; node is for positions.
type kustomization struct {
	view view
	dir  string // as the caller spells it
	file string
	text []byte
	node *yaml.Node
	spec types.Kustomization

	// Filled in by the tree, which reads the files that these stand in.
	patches      []*patch
	replacements []replacement
}

func load(files view, dir string) (*kustomization, error) {
	found := files.kustomizationFiles(dir)
	switch len(found) {
	case 0:
		return nil, &Error{File: dir, Reason: "no kustomization file here"}
	case 1:
	default:
		return nil, &Error{File: found[1], Reason: fmt.Sprintf("a second kustomization file beside %s", filepath.Base(found[0]))}
	}
	k := &kustomization{view: files, dir: filepath.Clean(dir), file: found[0]}
	var err error
	if k.text, err = k.view.read(k.file); err != nil {
		return nil, &Error{File: k.file, Reason: reason(err)}
	}
	docs, err := parse(k.text)
	if err != nil {
		return nil, notYAML(k.file, k.text, err)
	}
	k.node = &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	if len(docs) > 0 {
		k.node = docs[0]
	}
	if err := k.decode(); err != nil {
		return nil, &Error{File: k.file, Line: k.blame(err), Reason: reason(err)}
	}
	return k, nil
}

// decode reads spec. Kustomize's decoder walks the tree behind the aliases, so
// it is only let at text whose aliases are bounded.
func (k *kustomization) decode() error {
	if err := checkAliases(k.text); err != nil {
		return err
	}
	if err := k.spec.Unmarshal(k.text); err != nil {
		return err
	}
	k.spec.FixKustomization()
	return errors.Join(k.spec.CheckEmpty(), enforced(&k.spec))
}

func enforced(spec *types.Kustomization) error {
	if errs := spec.EnforceFields(); len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

var unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)

// blame finds the line that an error of the decoder is about.
func (k *kustomization) blame(err error) int {
	if line := yamlLine(err); line > 0 {
		return line
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		if key := findKey(k.node, m[1]); key != nil {
			return key.Line
		}
	}
	return 0
}

func findKey(n *yaml.Node, name string) *yaml.Node {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Value == name {
			return c
		}
	}
	for _, c := range n.Content {
		if found := findKey(c, name); found != nil {
			return found
		}
	}
	return nil
}

// A role says how Kustomize reads what a field names.
type role int

const (
	asResource  role = iota // a manifest, or a folder with a kustomization
	asComponent             // a folder with a component
	asPlugin                // configuration of a transformer or generator: file or folder
	asPatch                 // a patch: a YAML file
	asSettings              // some other YAML file
	asData                  // a file whose bytes, or KEY=VALUE lines, become values
)

type reference struct {
	path string
	role role
	line int
}

// references lists everything that the file names, in the order in which
// Kustomize would read resources.
func (k *kustomization) references() []reference {
	var refs []reference
	add := func(r role, field string, paths ...string) {
		for _, p := range paths {
			if p != "" {
				refs = append(refs, reference{path: p, role: r, line: k.lineOf(field, p)})
			}
		}
	}
	s := &k.spec
	add(asResource, "resources", s.Resources...)
	add(asSettings, "configurations", s.Configurations...)
	add(asSettings, "crds", s.Crds...)
	add(asSettings, "openapi", s.OpenAPI["path"])
	for _, g := range k.generators() {
		for _, f := range g.FileSources {
			add(asData, g.field, fileSource(f))
		}
		add(asData, g.field, g.EnvSources...)
	}
	add(asPlugin, "generators", notInline(s.Generators)...)
	add(asComponent, "components", s.Components...)
	for _, p := range s.PatchesStrategicMerge {
		if !isInline(string(p)) {
			add(asPatch, "patchesStrategicMerge", string(p))
		}
	}
	for _, p := range s.Patches {
		add(asPatch, "patches", p.Path)
	}
	for _, p := range s.PatchesJson6902 {
		add(asPatch, "patchesJson6902", p.Path)
	}
	for _, r := range s.Replacements {
		add(asSettings, "replacements", r.Path)
	}
	add(asPlugin, "transformers", notInline(s.Transformers)...)
	add(asPlugin, "validators", notInline(s.Validators)...)
	return refs
}

// fileSource is the path in a source of a generator, written [KEY=]PATH.
func fileSource(s string) string {
	if _, path, ok := strings.Cut(s, "="); ok {
		return path
	}
	return s
}

// isInline tells whether a value that may be a path or a document is a document.
func isInline(s string) bool {
	var m map[string]any
	return strings.ContainsAny(s, ":{\n") && yaml.Unmarshal([]byte(s), &m) == nil && len(m) > 0
}

func notInline(list []string) []string {
	var paths []string
	for _, s := range list {
		if !isInline(s) {
			paths = append(paths, s)
		}
	}
	return paths
}

// inline lists the documents that stand in the kustomization file itself and
// are read as manifests are.
func (k *kustomization) inline() []string {
	var texts []string
	for _, p := range k.spec.PatchesStrategicMerge {
		texts = append(texts, string(p))
	}
	for _, p := range slices.Concat(k.spec.Patches, k.spec.PatchesJson6902) {
		texts = append(texts, p.Patch)
	}
	return append(texts, k.plugins()...)
}

// plugins are the configurations of plugins, each a path or a document.
func (k *kustomization) plugins() []string {
	return slices.Concat(k.spec.Generators, k.spec.Transformers, k.spec.Validators)
}

// lineOf finds the line where value is written under a field of the file, else
// the field's line, else any line where it is written, else 0. A value written
// KEY=value is found too.
func (k *kustomization) lineOf(name, value string) int {
	names := map[string][]string{"resources": {"resources", "bases"}}[name]
	if names == nil {
		names = []string{name}
	}
	line := 0
	for _, name := range names {
		key, node := field(k.node, name)
		if node == nil {
			continue
		}
		if found := findScalar(node, value); found != nil {
			return found.Line
		}
		line = key.Line
	}
	if line == 0 {
		return k.lineAnywhere(value)
	}
	return line
}

func findScalar(n *yaml.Node, value string) *yaml.Node {
	if n.Kind == yaml.ScalarNode && (n.Value == value || strings.HasSuffix(n.Value, "="+value)) {
		return n
	}
	for _, c := range n.Content {
		if found := findScalar(c, value); found != nil {
			return found
		}
	}
	return nil
}

// isRemote tells whether Kustomize would fetch what r names. A git address
// counts only where a folder may stand and no file of that name is here.
func (k *kustomization) isRemote(r reference) bool {
	if isURL(r.path) {
		return true
	}
	mayBeFolder := r.role == asResource || r.role == asComponent || r.role == asPlugin
	return mayBeFolder && isGit(r.path) && (r.role == asComponent || !k.view.isFile(filepath.Join(k.dir, r.path)))
}

// isURL is Kustomize's rule for files that it would load over HTTP.
func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// isGit asks Kustomize whether it would clone s. Its own parser is internal,
// but tells through the origin that it records.
func isGit(s string) bool {
	return (&resource.Origin{}).Append(s).Repo != ""
}

// urlIn finds an address to load in the values of a decoded document, outside
// the fields whose values are only ever copied.
func urlIn(v any) string {
	switch v := v.(type) {
	case string:
		if source := fileSource(v); isURL(source) {
			return source
		} else if isURL(v) {
			return v
		}
	case []any:
		for _, e := range v {
			if s := urlIn(e); s != "" {
				return s
			}
		}
	case map[string]any:
		for name, e := range v {
			switch strings.ToLower(name) {
			case "annotations", "commonannotations", "labels", "commonlabels", "literals", "metadata", "sourcevalue", "value":
				continue
			}
			if s := urlIn(e); s != "" {
				return s
			}
		}
	}
	return ""
}

func (k *kustomization) values() any {
	text, err := json.Marshal(&k.spec)
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(text, &v) != nil {
		return nil
	}
	return v
}

// A generator is one entry of configMapGenerator or secretGenerator.
type generator struct {
	types.GeneratorArgs
	kind  string // of the object made
	field string
	node  *yaml.Node // nil when it is not written where it is looked for
}

func (k *kustomization) generators() []generator {
	var list []generator
	for i, g := range k.spec.ConfigMapGenerator {
		list = append(list, generator{g.GeneratorArgs, "ConfigMap", "configMapGenerator", item(k.node, "configMapGenerator", i)})
	}
	for i, g := range k.spec.SecretGenerator {
		list = append(list, generator{g.GeneratorArgs, "Secret", "secretGenerator", item(k.node, "secretGenerator", i)})
	}
	return list
}

// Limits of what one build may read. Real overlays are far below.
const (
	maxFile  = 16 << 20 // bytes of one file
	maxTotal = 64 << 20 // bytes of all reads of a build
	maxVisit = 1000     // kustomizations built, counting one as often as it is used
)

// readBounded reads a regular file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return text, nil
}

// parse reads all documents of a YAML file; empty ones are nil.
func parse(text []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, err
		}
		if len(n.Content) == 1 {
			docs = append(docs, n.Content[0])
		}
	}
}

var lineInError = regexp.MustCompile(`\bline (\d+):?\s*`)

func yamlLine(err error) int {
	m := lineInError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// notYAML says what is wrong with the text of a file that err says is not YAML, in
// the words used for manifests.
func notYAML(file string, text []byte, err error) *Error {
	var d yamldoc.Decoder
	for _, problem := range d.Documents(file, text) {
		if problem != nil {
			return &Error{File: file, Line: problem.Line, Reason: problem.Reason}
		}
	}
	return &Error{File: file, Line: yamlLine(err), Reason: reason(err)}
}

// reason is an error's text on one line, without the path that an error of the
// file system repeats.
func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
