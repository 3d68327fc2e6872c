package files

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A tree is what walking a folder found.
type tree struct {
	manifests []item
	charts    []item // folders and archives
	overlays  []item // folders with a kustomization
	faults    []manifest.Result
}

// walk sorts the files of a folder. Folders and files whose name begins with a
// dot are passed over, and so are links that lead out of the folder or around.
func walk(ctx context.Context, dir item) tree {
	w := &walker{ctx: ctx, root: dir.real, seen: map[string]bool{}, files: map[string]bool{}, links: map[string]bool{}}
	w.walk(dir)
	// Of a file and a link to it, the file is named.
	w.manifests = slices.DeleteFunc(w.manifests, func(it item) bool { return w.links[it.name] && w.files[it.real] })
	return w.tree
}

type walker struct {
	tree
	ctx   context.Context
	root  string
	seen  map[string]bool // folders met, by real path
	files map[string]bool // manifests met that are no links, by real path
	links map[string]bool // manifests met that are links, by name
}

func (w *walker) walk(dir item) {
	if w.ctx.Err() != nil || w.seen[dir.real] {
		return
	}
	w.seen[dir.real] = true
	entries, err := os.ReadDir(dir.name)
	if err != nil {
		w.faults = append(w.faults, manifest.Unreadable(dir.name, reason(err).Error()))
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name && !e.IsDir() })
	}
	if has("Chart.yaml") {
		w.charts = append(w.charts, dir)
		entries = slices.DeleteFunc(entries, partOfChart(dir.name))
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { // patches of what an archive renders
		archive, ok := strings.CutSuffix(e.Name(), helm.PostRenderBeside(""))
		return ok && e.IsDir() && isArchive(archive) && has(archive)
	})
	if slices.ContainsFunc(kustomizationNames, has) && isOverlay(dir.name) {
		w.overlays = append(w.overlays, dir)
		entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return slices.Contains(kustomizationNames, e.Name()) })
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			w.entry(item{filepath.Join(dir.name, e.Name()), filepath.Join(dir.real, e.Name())}, e.Type())
		}
	}
}

const linkOut = "a link that leads out of the folder: not followed"

func (w *walker) entry(it item, mode fs.FileMode) {
	if mode&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(it.real)
		if err != nil {
			w.fault(it, linkFault(err))
			return
		}
		info, err := os.Stat(target)
		switch {
		case err != nil:
			w.fault(it, linkFault(err))
			return
		case !within(w.root, target) && isManifest(it.name):
			w.faults = append(w.faults, manifest.Unreadable(it.name, linkOut))
			return
		case !within(w.root, target):
			if info.IsDir() {
				w.faults = append(w.faults, unseen(it.name, linkOut))
			}
			return
		}
		it.real, mode = target, info.Mode().Type()
		w.links[it.name] = true
	}
	switch {
	case mode.IsDir():
		w.walk(it)
	case isManifest(it.name):
		w.manifests = append(w.manifests, it)
		w.files[it.real] = w.files[it.real] || !w.links[it.name]
	case isArchive(it.name):
		w.charts = append(w.charts, it)
	}
}

// fault records a link that cannot be followed. One without the ending of a
// manifest may have led to a folder.
func (w *walker) fault(it item, why string) {
	switch {
	case isManifest(it.name):
		w.faults = append(w.faults, manifest.Unreadable(it.name, why))
	case filepath.Ext(it.name) == "":
		w.faults = append(w.faults, unseen(it.name, why))
	}
}

// unseen is a folder that is passed over although there may be manifests in it:
// a skipped row, and nothing passes by what was not in the other folders.
func unseen(name, why string) manifest.Result {
	left := issue(name, why)
	return manifest.Result{Skipped: left, Gaps: []evidence.Gap{{Reason: left.String()}}}
}

func isArchive(path string) bool {
	return strings.HasSuffix(path, ".tgz") || strings.HasSuffix(path, ".tar.gz")
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// isOverlay reports whether a folder has a kustomization of Kustomize. Flux has
// a kind of that name, and people name files after it.
func isOverlay(dir string) bool {
	var decoder yamldoc.Decoder
	for _, name := range kustomizationNames {
		name = filepath.Join(dir, name)
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := readFile(name)
		if err != nil {
			return true // and building it says why it cannot be
		}
		for doc, err := range decoder.Documents(name, data) {
			if err == nil && strings.HasPrefix(doc.APIVersion, "kustomize.toolkit.fluxcd.io/") {
				return false
			}
		}
		return true
	}
	return false
}

// partOfChart tells which entries of a chart's folder are the chart's own. A
// chart at the top of a repository has the folders of other things beside it.
func partOfChart(dir string) func(os.DirEntry) bool {
	read := readByTemplates(dir)
	return func(e os.DirEntry) bool {
		switch name := e.Name(); name {
		case "templates", "charts", "crds", "files", "ci", "Chart.yaml", "Chart.lock", "requirements.yaml", helm.PostRender:
			return true
		default:
			return strings.Contains(name, "values") || !e.IsDir() && isArchive(name) || read(name)
		}
	}
}

// readByTemplates returns a function that reports whether the templates of a
// chart read a file or a folder of this name (.Files.Get, .Files.Glob).
func readByTemplates(dir string) func(name string) bool {
	var calls []byte
	fs.WalkDir(os.DirFS(dir), "templates", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // reading the chart says what is wrong
		}
		text, err := readFile(filepath.Join(dir, path))
		for line := range bytes.Lines(text) {
			if err == nil && bytes.Contains(line, []byte(".Files.")) {
				calls = append(calls, line...)
			}
		}
		return nil
	})
	return func(name string) bool {
		return bytes.Contains(calls, []byte(`"`+name)) || bytes.Contains(calls, []byte("`"+name))
	}
}
