package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

func (r *reader) addChart(of item) *unit {
	u := newUnit("helm", of.name, of)
	r.add(u)
	r.charts = append(r.charts, u)
	return u
}

// chart renders a Helm chart, a folder or an archive, and reports whether there
// is something to show for it.
func (r *reader) chart(u *unit, s setting) bool {
	path := u.of.name
	if r.replaced(u) || r.ctx.Err() != nil {
		return false
	}
	r.say(path)
	chart, err := LoadChart(path)
	switch {
	case err != nil && isArchive(path) && !u.named && errors.Is(err, helm.ErrNoChart):
		u.add(path, skipped(path, "an archive, but not of a chart: "+inner(err).Error()))
		return false
	case err != nil:
		u.add(path, []manifest.Result{unloaded(path, inner(err))})
		return false
	}
	if r.Edited != nil {
		chart, s.Helm.Edited = chart.With(r.Edited), r.Edited
	}
	rendered, err := helm.Render(r.ctx, chart, s.Helm)
	switch {
	case errors.Is(err, helm.ErrLibrary):
		u.add(path, skipped(path, helm.ErrLibrary.Error()))
		return false
	case err != nil:
		u.add(path, []manifest.Result{manifest.Unreadable(path, inner(err).Error())})
		return false
	}
	for _, w := range rendered.Warnings {
		u.warn(path, "%s", w)
	}
	for _, f := range rendered.Files {
		u.add(f.Path, r.template(f, s))
	}
	return true
}

// inner drops what was being done from an error: the row of the chart says it.
func inner(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

// unloaded is why a chart could not be loaded: at the line where the YAML of one
// of its files is broken, if it is that.
func unloaded(path string, err error) manifest.Result {
	var decoder yamldoc.Decoder
	for _, pattern := range []string{"Chart.yaml", "values.yaml", "charts/*/Chart.yaml", "charts/*/values.yaml"} {
		files, globErr := fs.Glob(os.DirFS(path), pattern)
		if globErr != nil {
			continue
		}
		for _, name := range files {
			name = filepath.Join(path, name)
			data, readErr := readFile(name)
			if readErr != nil {
				continue
			}
			for _, broken := range decoder.Documents(name, data) {
				if broken != nil {
					return manifest.Unread(evidence.Issue{File: name, Line: broken.Line, Column: broken.Column, Reason: "the chart cannot be rendered: " + broken.Reason})
				}
			}
		}
	}
	return manifest.Unreadable(path, err.Error())
}

// template reads what one template was rendered to.
func (r *reader) template(f helm.File, s setting) []manifest.Result {
	if f.Err != nil {
		return []manifest.Result{untemplated(f)}
	}
	decoder := r.decoder(s)
	decoder.Place = func(outline *evidence.Outline) { place(outline, f) }
	decoder.Origin = func(line int) (string, int) { return origin(f, line) }
	results := decoder.Read(f.Path, f.Data)
	for i, res := range results {
		if r.Replace == nil || res.Ref == nil {
			continue
		}
		if text := r.Replace(res.Ref); text != nil {
			results[i] = r.readAgain(res, text, s)
		}
	}
	return s.finish(results)
}

// readAgain reads an object again that was changed after it was rendered. All of it
// stands where the object stood.
func (r *reader) readAgain(was manifest.Result, text []byte, s setting) manifest.Result {
	at := was.Ref.Outline.At(0)
	decoder := r.decoder(s)
	decoder.Place = func(outline *evidence.Outline) {
		for n := range outline.Len() {
			outline.Move(n, at)
		}
	}
	if results := decoder.Read(at.File, text); len(results) == 1 && results[0].Ref != nil {
		return results[0]
	}
	return was
}

// LoadChart reads a chart, a folder or an archive.
func LoadChart(path string) (*helm.Chart, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read chart %q: %w", path, reason(err))
	case info.IsDir():
		return helm.LoadDir(path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read chart %q: %w", path, notRegular(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read chart %q: %w", path, reason(err))
	}
	defer f.Close()
	return helm.LoadArchive(path, f)
}

// place moves every node of a rendered document to the template that wrote it.
func place(outline *evidence.Outline, f helm.File) {
	rendered := make([]int, outline.Len()) // the line of each node in the rendered text
	for n := range outline.Len() {
		at := outline.At(n)
		rendered[n] = at.Line
		if at.Line < 1 || at.Line > len(f.Lines) {
			continue
		}
		from := f.Lines[at.Line-1]
		outline.Move(n, evidence.Position{File: from.File, Line: from.Line, ValuesKey: from.ValuesKey()})
	}
	text := strings.Split(string(f.Data), "\n")
	for n := range outline.Len() {
		if key := valuesBlock(outline, n, rendered[n], f.Lines, text); key != "" {
			outline.SetValuesBlock(n, key)
		}
	}
}

// valuesBlock returns the key of the values that a template prints as the whole
// content of a mapping, "" when it does not: each field has a key of its own
// below it, or it is an empty block.
func valuesBlock(outline *evidence.Outline, n, line int, lines []helm.Line, text []string) string {
	block, fields := "", 0
	for c := range outline.Children(n) {
		prefix, ok := strings.CutSuffix(outline.At(c).ValuesKey, "."+outline.Name(c))
		if !ok || outline.Name(c) == "" || fields > 0 && prefix != block {
			return ""
		}
		block = prefix
		fields++
	}
	// line counts from 1: lines[line] is the next one.
	if fields == 0 && line > 0 && line < len(lines) && strings.TrimSpace(text[line]) == "{}" {
		return lines[line].ValuesKey()
	}
	return block
}

// origin says where a line of rendered text was written.
func origin(f helm.File, line int) (string, int) {
	if line < 1 || line > len(f.Lines) {
		return f.Path, 0
	}
	return f.Lines[line-1].File, f.Lines[line-1].Line
}

func untemplated(f helm.File) manifest.Result {
	issue := evidence.Issue{File: f.Path, Reason: f.Err.Error()}
	var located *helm.Error
	if errors.As(f.Err, &located) {
		issue = evidence.Issue{File: located.Path, Line: located.Line, Reason: located.Message}
	}
	return manifest.Unread(issue)
}
