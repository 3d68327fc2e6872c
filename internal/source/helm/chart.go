// Package helm renders Helm charts in process and knows, for every rendered
// line, which line of which template wrote it and which keys of the chart's
// values decide it.
//
// Rendering is done by Helm's own engine, so the text is what `helm template`
// prints. A second rendering of the same templates, with marks in them, tells
// where the text came from (see mark.go) and keeps hostile templates within
// bounds (see guard.go). The package never asks a cluster or the network, reads
// nothing but the chart and the files that the options name, and does not parse
// what it rendered: that is for its caller.
package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"
)

// Bounds on what is read of one chart, its packed sub-charts unpacked.
const (
	maxBytes = 64 << 20
	maxFiles = 10_000
	maxDepth = 16 // folders in folders, and charts in charts
	// maxRatio is how much larger than its packed form an archive may be once
	// it is over 1 MiB. Text packs at most about thirty times smaller.
	maxRatio = 200
)

// A Chart is a chart read into memory with its sub-charts. It can be rendered
// any number of times.
type Chart struct {
	Name    string // as Chart.yaml says
	Version string // as Chart.yaml says
	// Library says that the chart has only helpers for other charts and that
	// there is nothing to render.
	Library bool

	root *source
}

// A source is the files of one chart, those of its sub-charts apart.
type source struct {
	place string // what to put before a file's name to get a path for people
	files []*archive.BufferedFile
	subs  []*source
}

// An entry is one file of a chart before it is known which sub-chart it is of.
type entry struct {
	name string // slash-separated, below the chart's folder
	data []byte
}

// budget is what may still be read of one chart.
type budget struct {
	bytes int64
	files int
}

func newBudget() *budget { return &budget{bytes: maxBytes, files: maxFiles} }

// read reads one file of the chart.
func (b *budget) read(r io.Reader) ([]byte, error) {
	b.files--
	if b.files < 0 {
		return nil, fmt.Errorf("chart has more than %d files", maxFiles)
	}
	data, err := io.ReadAll(io.LimitReader(r, b.bytes+1))
	if err != nil {
		return nil, err
	}
	b.bytes -= int64(len(data))
	if b.bytes < 0 {
		return nil, fmt.Errorf("chart is larger than %d bytes", maxBytes)
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// LoadDir reads the chart in the folder dir, obeying its .helmignore. It
// refuses links that lead out of the folder, and what is neither a file nor a
// folder, as Helm does.
func LoadDir(dir string) (*Chart, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", dir, err)
	}
	defer root.Close()
	w := &dirReader{root: root, budget: newBudget()}
	if err := w.readRules(); err != nil {
		return nil, fmt.Errorf("read chart %q: %w", dir, err)
	}
	if err := w.folder(".", nil); err != nil {
		return nil, fmt.Errorf("read chart %q: %w", dir, err)
	}
	place := strings.TrimSuffix(filepath.Join(dir, "x"), "x")
	return newChart(dir, place, w.entries, w.budget)
}

// LoadArchive reads a packed chart (.tgz). The name is only for messages and
// for the places of templates, which read "NAME:templates/x.yaml".
func LoadArchive(name string, r io.Reader) (*Chart, error) {
	b := newBudget()
	entries, err := unpack(r, b)
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", name, err)
	}
	return newChart(name, name+":", entries, b)
}

// ErrNoChart is the error of what was read whole and has no Chart.yaml.
var ErrNoChart = errors.New("Chart.yaml file is missing")

func newChart(name, place string, entries []entry, b *budget) (*Chart, error) {
	if !slices.ContainsFunc(entries, func(e entry) bool { return e.name == "Chart.yaml" }) {
		return nil, fmt.Errorf("read chart %q: %w", name, ErrNoChart)
	}
	root, err := newSource(place, entries, b, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", name, err)
	}
	built, _, err := root.build()
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", name, err)
	}
	md := built.Metadata
	return &Chart{Name: md.Name, Version: md.Version, Library: md.Type == "library", root: root}, nil
}

// A dirReader reads the files of a chart's folder.
type dirReader struct {
	root    *os.Root
	rules   *ignore.Rules
	budget  *budget
	entries []entry
}

func (w *dirReader) readRules() error {
	w.rules = ignore.Empty()
	if f, err := w.root.Open(ignore.HelmIgnore); err == nil {
		data, err := io.ReadAll(io.LimitReader(f, 1<<20))
		f.Close()
		if err != nil {
			return fmt.Errorf("read %s: %w", ignore.HelmIgnore, err)
		}
		if w.rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return fmt.Errorf("read %s: %w", ignore.HelmIgnore, err)
		}
	}
	w.rules.AddDefaults()
	return nil
}

// folder reads the folder name; above are the folders that it is in.
func (w *dirReader) folder(name string, above []fs.FileInfo) error {
	if len(above) > maxDepth {
		return fmt.Errorf("folder %q: deeper than %d folders", name, maxDepth)
	}
	f, err := w.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	self, err := f.Stat()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(above, func(fi fs.FileInfo) bool { return os.SameFile(fi, self) }) {
		return fmt.Errorf("folder %q: a link leads back to a folder above it", name)
	}
	above = append(slices.Clone(above), self)
	items, err := f.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(items) > maxFiles {
		return fmt.Errorf("folder %q: more than %d files", name, maxFiles)
	}
	slices.SortFunc(items, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, item := range items {
		if err := w.item(path.Join(name, item.Name()), item, above); err != nil {
			return err
		}
	}
	return nil
}

func (w *dirReader) item(name string, item fs.DirEntry, above []fs.FileInfo) error {
	if fi, err := item.Info(); err == nil && w.rules.Ignore(name, fi) {
		return nil
	}
	fi, err := w.root.Stat(name)
	if err != nil {
		if item.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("link %q: leads nowhere or out of the chart's folder: %w", name, err)
		}
		return err
	}
	switch {
	case w.rules.Ignore(name, fi):
		return nil
	case fi.IsDir():
		if item.Name() == ".git" { // never part of a chart, and huge
			return nil
		}
		return w.folder(name, above)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("file %q: neither a file nor a folder", name)
	}
	f, err := w.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := w.budget.read(f)
	if err != nil {
		return fmt.Errorf("file %q: %w", name, err)
	}
	w.entries = append(w.entries, entry{name, data})
	return nil
}

// A countingReader counts the bytes that went through it.
type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// unpack reads a packed chart. Every name in it begins with the name of the
// chart's folder, which is dropped. Links are passed over: Helm reads them as
// empty files.
func unpack(r io.Reader, b *budget) ([]entry, error) {
	packed := &countingReader{Reader: r}
	zr, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	tr := tar.NewReader(zr)
	before := b.bytes
	var entries []entry
	for headers := 0; ; headers++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		if headers > 2*maxFiles {
			return nil, fmt.Errorf("archive has more than %d entries", 2*maxFiles)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name, err := insideName(h.Name)
		if err != nil {
			return nil, err
		}
		data, err := b.read(tr)
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", h.Name, err)
		}
		if n := before - b.bytes; n > 1<<20 && n > maxRatio*packed.n {
			return nil, fmt.Errorf("file %q: archive unpacks to more than %d times its size", h.Name, maxRatio)
		}
		entries = append(entries, entry{name, data})
	}
}

// insideName returns the name below the chart's folder of a file in an archive,
// or an error if it is not below it.
func insideName(name string) (string, error) {
	slashed := strings.ReplaceAll(name, `\`, "/")
	_, below, _ := strings.Cut(slashed, "/")
	if below == "" {
		return "", fmt.Errorf("file %q: not in the chart's folder", name)
	}
	if strings.HasPrefix(slashed, "/") || slices.Contains(strings.Split(slashed, "/"), "..") || strings.Contains(below, ":") {
		return "", fmt.Errorf("file %q: leads out of the chart's folder", name)
	}
	return path.Clean(below), nil
}

// newSource sorts the files of a chart into its own and those of its
// sub-charts, unpacking those that are packed, by Helm's rules: a sub-chart is
// a folder or a .tgz in charts/, unless its name begins with "_" or ".".
func newSource(place string, entries []entry, b *budget, depth int) (*source, error) {
	if depth == 0 {
		return nil, fmt.Errorf("more than %d charts in one another", maxDepth)
	}
	s := &source{place: place}
	below := map[string][]entry{}
	var names []string
	for _, e := range entries {
		inCharts, ok := strings.CutPrefix(e.name, "charts/")
		if !ok || path.Ext(e.name) == ".prov" {
			s.files = append(s.files, &archive.BufferedFile{Name: e.name, Data: e.data})
			continue
		}
		name, rest, isFolder := strings.Cut(inCharts, "/")
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || !isFolder && path.Ext(name) != ".tgz" {
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		below[name] = append(below[name], entry{rest, e.data})
	}
	slices.Sort(names)
	for _, name := range names {
		sub, subPlace := below[name], place+"charts/"+name+"/"
		if path.Ext(name) == ".tgz" {
			var err error
			if sub, err = unpack(bytes.NewReader(sub[0].data), b); err != nil {
				return nil, fmt.Errorf("sub-chart %q: %w", name, err)
			}
			subPlace = place + "charts/" + name + ":"
		}
		child, err := newSource(subPlace, sub, b, depth-1)
		if err != nil {
			return nil, fmt.Errorf("sub-chart %q: %w", name, err)
		}
		s.subs = append(s.subs, child)
	}
	return s, nil
}

// build makes the chart that Helm's packages work on, and says where each of
// its files is for people. Rendering changes a chart, so each one gets its own.
func (s *source) build() (*chartv2.Chart, map[*common.File]string, error) {
	places := map[*common.File]string{}
	c, err := s.buildInto(places)
	return c, places, err
}

func (s *source) buildInto(places map[*common.File]string) (*chartv2.Chart, error) {
	c, err := loader.LoadFiles(s.files)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Concat(c.Templates, c.Files) {
		places[f] = s.place + f.Name
	}
	for _, sub := range s.subs {
		dep, err := sub.buildInto(places)
		if err != nil {
			return nil, fmt.Errorf("sub-chart %q: %w", sub.place, err)
		}
		c.AddDependency(dep)
	}
	return c, nil
}
