package kustomize

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/kio"
)

// A visit is one use of a kustomization in a build: a base that two overlays
// share is visited twice.
type visit struct {
	*kustomization
	real       string // the folder without symbolic links
	parent     *visit // nil for the folder being built
	components []*visit
	isPlugin   bool // makes configuration of plugins, not objects
}

// A tree is everything that one build reaches, read and checked before
// Kustomize is let at it.
type tree struct {
	view    view
	root    string // the scanned folder without symbolic links
	visits  []*visit
	loaded  map[string]*kustomization // by folder
	texts   map[string][]byte         // of kustomization files, by real path
	total   int                       // bytes read
	files   map[string][]*yaml.Node   // documents, by path as spelled
	broken  []*Error                  // files that are not YAML, in the order they were met
	uses    map[string][]use          // of a manifest, by real path, in Kustomize's order
	copies  int                       // JSON patch operations that copy
	openAPI bool                      // some kustomization replaces the schema
}

// A use is one place of a manifest in the build.
type use struct {
	file string // as spelled
	by   *visit
}

// newTree follows all references from dir. Whatever Kustomize would fetch, run
// or read outside is an *Error here, so that it never gets to it.
func newTree(ctx context.Context, dir, root string, files view) (*tree, error) {
	if root == "" {
		root = dir
	}
	realRoot, err := files.real(root)
	if err != nil {
		return nil, &Error{File: root, Reason: reason(err)}
	}
	t := &tree{
		view:   files,
		root:   realRoot,
		loaded: map[string]*kustomization{},
		texts:  map[string][]byte{},
		files:  map[string][]*yaml.Node{},
		uses:   map[string][]use{},
	}
	_, err = t.visit(ctx, filepath.Clean(dir), nil, false)
	return t, err
}

// realPath is an absolute path without symbolic links.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

func isWithin(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func (t *tree) visit(ctx context.Context, dir string, parent *visit, isPlugin bool) (*visit, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{File: dir, Reason: reason(err)}
	}
	if len(t.visits) >= maxVisit {
		return nil, &Error{File: dir, Reason: fmt.Sprintf("more than %d kustomizations in one build", maxVisit)}
	}
	k := t.loaded[dir]
	if k == nil {
		var err error
		if k, err = load(t.view, dir); err != nil {
			return nil, err
		}
		if err := t.checkFile(k); err != nil {
			return nil, err
		}
		t.loaded[dir] = k
	}
	real, err := t.view.real(dir)
	if err != nil {
		return nil, &Error{File: dir, Reason: reason(err)}
	}
	if t.texts[filepath.Join(real, filepath.Base(k.file))] = k.text; !t.mayRead(len(k.text)) {
		return nil, tooMuch(k.file)
	}
	v := &visit{kustomization: k, real: real, parent: parent, isPlugin: isPlugin}
	t.visits = append(t.visits, v)
	for _, text := range k.inline() {
		t.copies += copiesIn([]byte(text))
	}
	for _, r := range k.references() {
		if err := t.follow(ctx, v, r); err != nil {
			return nil, err
		}
	}
	if k.patches == nil {
		k.patches = t.patchesOf(k)
		k.replacements = t.replacementsOf(k)
	}
	return v, nil
}

// checkFile refuses what stands in the kustomization file itself.
func (t *tree) checkFile(k *kustomization) error {
	if len(k.spec.HelmCharts) > 0 || k.spec.HelmGlobals != nil {
		return k.refuse("Helm charts are not rendered from a kustomization: helm is never run", "helmCharts", "helmChartInflationGenerator", "helmGlobals")
	}
	if s := urlIn(k.values()); s != "" {
		return &Error{File: k.file, Line: k.lineAnywhere(s), Reason: fmt.Sprintf("remote file %q is not fetched", s)}
	}
	for _, text := range k.inline() {
		if err := checkAliases([]byte(text)); err != nil {
			return &Error{File: k.file, Line: k.lineAnywhere(text), Reason: reason(err)}
		}
	}
	for _, p := range k.plugins() {
		if isGit(p) && !k.view.isFile(filepath.Join(k.dir, p)) {
			return &Error{File: k.file, Line: k.lineAnywhere(p), Reason: fmt.Sprintf("remote configuration %q is not fetched", p)}
		}
		if !isInline(p) {
			continue
		}
		if why := t.refusedPlugin([]byte(p)); why != "" {
			return &Error{File: k.file, Line: k.lineAnywhere(p), Reason: why}
		}
	}
	t.openAPI = t.openAPI || len(k.spec.OpenAPI) > 0
	return nil
}

// refuse blames the first of the fields that is written.
func (k *kustomization) refuse(why string, fields ...string) error {
	for _, name := range fields {
		if key, _ := field(k.node, name); key != nil {
			return &Error{File: k.file, Line: key.Line, Reason: name + ": " + why}
		}
	}
	return &Error{File: k.file, Reason: why}
}

// lineAnywhere is the line of the first scalar with this value, or 0.
func (k *kustomization) lineAnywhere(value string) int {
	if n := findScalar(k.node, value); n != nil {
		return n.Line
	}
	return 0
}

func (t *tree) follow(ctx context.Context, v *visit, r reference) error {
	blame := func(format string, args ...any) error {
		return &Error{File: v.file, Line: r.line, Reason: fmt.Sprintf(format, args...)}
	}
	if v.isRemote(r) {
		return blame("remote base %q is not fetched", r.path)
	}
	if filepath.IsAbs(r.path) {
		return blame("absolute path %q", r.path)
	}
	path := filepath.Join(v.dir, r.path)
	real, err := t.view.real(path)
	if err != nil {
		return blame("%q: %s", r.path, reason(err))
	}
	if t.view.isFolder(path) {
		if r.role != asResource && r.role != asComponent && r.role != asPlugin {
			return blame("%q is a folder, not a file", r.path)
		}
		if err := t.checkFolder(v, r, real, blame); err != nil {
			return err
		}
		child, err := t.visit(ctx, path, v, v.isPlugin || r.role == asPlugin)
		if err != nil {
			return err
		}
		if r.role == asComponent {
			v.components = append(v.components, child)
		}
		return nil
	}
	if r.role == asComponent {
		return blame("%q is a file, not a folder with a component", r.path)
	}
	if !isWithin(real, v.real) {
		return blame("file %q is outside the folder of the kustomization", r.path)
	}
	return t.followFile(v, r, path, real)
}

// checkFolder keeps a base from leading back to what uses it, and a symbolic
// link from leading out of the scanned folder. A base beside the scanned folder
// that is named in plain is fine: people scan one overlay.
func (t *tree) checkFolder(v *visit, r reference, real string, blame func(string, ...any) error) error {
	for up := v; up != nil; up = up.parent {
		if isWithin(up.real, real) {
			return blame("cycle: %q leads back to %s", r.path, up.dir)
		}
	}
	if real != filepath.Join(v.real, r.path) && !isWithin(real, t.root) {
		return blame("%q is a symbolic link that leads outside", r.path)
	}
	if len(t.view.kustomizationFiles(filepath.Join(v.dir, r.path))) == 0 {
		return blame("no kustomization file in folder %q", r.path)
	}
	return nil
}

func (t *tree) followFile(v *visit, r reference, path, real string) error {
	if r.role == asResource && !v.isPlugin {
		t.uses[real] = append(t.uses[real], use{file: path, by: v})
	}
	if r.role == asData {
		return nil
	}
	text, err := t.view.read(path)
	if err != nil {
		return &Error{File: path, Reason: reason(err)}
	}
	if !t.mayRead(len(text)) {
		return tooMuch(path)
	}
	if r.role == asPlugin || v.isPlugin {
		if why := t.refusedPlugin(text); why != "" {
			return &Error{File: path, Line: 1, Reason: why}
		}
	}
	if r.role == asPatch {
		t.copies += copiesIn(text)
	}
	t.parse(path, text)
	return nil
}

// mayRead counts bytes that were read, and tells whether that is enough.
func (t *tree) mayRead(n int) bool {
	t.total += n
	return t.total <= maxTotal
}

func tooMuch(file string) error {
	return &Error{File: file, Reason: fmt.Sprintf("the build reads more than %d MiB", maxTotal>>20)}
}

// parse reads the documents of a file once. What is not YAML is remembered, for
// only Kustomize knows whether it minds.
func (t *tree) parse(path string, text []byte) {
	if _, ok := t.files[path]; ok {
		return
	}
	docs, err := parse(text)
	if err != nil {
		t.broken = append(t.broken, notYAML(path, text, err))
	}
	t.files[path] = docs
}

// refusedPlugin says why a plugin with this configuration is not run, or "".
// All but Kustomize's own are programs. The text is split as Kustomize splits it;
// what it cannot read is left to it to refuse.
func (t *tree) refusedPlugin(text []byte) string {
	if err := checkAliases(text); err != nil {
		return reason(err)
	}
	docs, err := kio.FromBytes(text)
	if err != nil {
		return ""
	}
	for _, d := range docs {
		n := d.YNode()
		if kind := scalar(n, "kind"); scalar(n, "apiVersion") != "builtin" {
			return fmt.Sprintf("plugin %q is not run: only the built-in ones are", kind)
		} else if kind == "HelmChartInflationGenerator" {
			return kind + ": helm is never run"
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return reason(err)
		}
		if s := urlIn(v); s != "" {
			return fmt.Sprintf("remote file %q is not fetched", s)
		}
		for _, name := range []string{"patch", "jsonOp"} {
			t.copies += copiesIn([]byte(scalar(n, name)))
		}
	}
	return ""
}

// copiesIn counts the operations of a JSON patch that copy, whichever of two
// fields of one name Kustomize would believe.
func copiesIn(text []byte) int {
	docs, err := parse(text)
	if err != nil {
		return 0
	}
	count := 0
	for _, d := range docs {
		for _, op := range d.Content {
			for i := 0; i+1 < len(op.Content); i += 2 {
				if op.Content[i].Value == "op" && op.Content[i+1].Value == "copy" {
					count++
				}
			}
		}
	}
	return count
}
