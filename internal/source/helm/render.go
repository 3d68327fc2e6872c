package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/engine"
)

// ErrLibrary is the error of rendering a library chart: it has only helpers for
// other charts.
var ErrLibrary = errors.New("library chart: nothing to render")

// renderTime bounds the rendering of one chart.
const renderTime = 30 * time.Second

// maxFailures bounds how many templates of a chart may fail before the rest is
// given up: the chart is rendered anew after each.
const maxFailures = 30

// Rendered is what a chart renders to.
type Rendered struct {
	Files    []File   // by Template; without those that are blank
	Warnings []string // what was not done, or done otherwise than Helm does it
}

// A File is what one template renders to, or a file of a crds folder as it is.
// NOTES.txt is never one. Hooks and tests are.
type File struct {
	Template string // as Helm names it: "web/charts/redis/templates/x.yaml"
	Path     string // of the template, as a path that a person can open
	Data     []byte // the text that Helm renders
	// Lines says where each line of Data comes from; index 0 is line 1.
	Lines []Line
	Err   error // an *Error: the template failed and there is no Data
}

// An Error is why a template failed.
type Error struct {
	Path    string // of the template, as a path that a person can open
	Line    int    // 1-based, in the template; 0 if not known
	Message string // Helm's reason, in one line
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("template %s: %s", e.Path, e.Message)
	}
	return fmt.Sprintf("template %s:%d: %s", e.Path, e.Line, e.Message)
}

// Render renders a chart as `helm template` does with these options. A template
// that fails is reported in its File, and the others are rendered as if it
// printed nothing, where Helm would stop. An error means that nothing could be
// rendered: ErrLibrary, a missing dependency, values that break a schema, or
// templates that were still running when ctx or half a minute ended.
func Render(ctx context.Context, c *Chart, o Options) (*Rendered, error) {
	if c.Library {
		return nil, fmt.Errorf("render chart %q: %w", c.Name, ErrLibrary)
	}
	ctx, cancel := context.WithTimeout(ctx, renderTime)
	defer cancel()
	type outcome struct {
		rendered *Rendered
		err      error
	}
	// A template function cannot be interrupted. If one does not end in time it
	// is left behind.
	done := make(chan outcome, 1)
	go func() {
		r, err := render(ctx, c, o)
		done <- outcome{r, err}
	}()
	var out outcome
	select {
	case out = <-done:
	case <-ctx.Done():
		out.err = ctx.Err()
	}
	if out.err != nil {
		return nil, fmt.Errorf("render chart %q: %w", c.Name, out.err)
	}
	return out.rendered, nil
}

func render(ctx context.Context, c *Chart, o Options) (out *Rendered, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("chart made Helm fail: %v", r)
		}
	}()
	p, err := prepare(c, o)
	if err != nil {
		return nil, err
	}
	t, err := newTemplates(p)
	if err != nil {
		return nil, err
	}
	var failed []File
	for {
		files, err := t.render(ctx)
		if err == nil {
			out = &Rendered{Files: slices.Concat(files, failed, p.crds()), Warnings: p.warnings}
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		name, reason := t.blame(err)
		if name == "" || len(failed) >= maxFailures {
			return nil, err
		}
		if stopped, ok := errors.AsType[*boundsError](err); ok {
			reason.Line = 0 // that of the marked text
			reason.Message = stopped.why.Error()
		}
		failed = append(failed, File{Template: name, Path: t.all[name].place, Err: reason})
		t.exclude(name)
	}
	slices.SortStableFunc(out.Files, func(a, b File) int { return cmp.Compare(a.Template, b.Template) })
	return out, nil
}

// crds returns the files of the chart's crds folders, which Helm does not
// render.
func (p *prepared) crds() []File {
	var files []File
	for _, crd := range p.chart.CRDObjects() {
		f := File{Template: crd.Filename, Path: p.places[crd.File], Data: crd.File.Data}
		for i := range splitLines(string(f.Data)) {
			f.Lines = append(f.Lines, Line{File: f.Path, Line: i + 1})
		}
		files = append(files, f)
	}
	return files
}

// templates are the template files of a chart and its sub-charts.
type templates struct {
	prepared *prepared
	all      map[string]*templateFile // by Helm's name
}

type templateFile struct {
	place  string
	values []string // the path of its chart's values in those of the top chart
	text   string
	failed bool // it is to print nothing
}

func newTemplates(p *prepared) (*templates, error) {
	t := &templates{prepared: p, all: map[string]*templateFile{}}
	var add func(c *chartv2.Chart, values []string)
	add = func(c *chartv2.Chart, values []string) {
		for _, sub := range c.Dependencies() {
			add(sub, append(slices.Clone(values), sub.Name()))
		}
		for _, f := range c.Templates {
			t.all[path.Join(c.ChartFullPath(), f.Name)] = &templateFile{place: p.places[f], values: values, text: string(f.Data)}
		}
	}
	add(p.chart, nil)
	if len(t.all) == 0 && len(p.crds()) == 0 {
		return nil, errors.New("chart has no templates")
	}
	return t, nil
}

func (t *templates) exclude(name string) {
	f := t.all[name]
	f.text = withoutBody(name, f.text)
	f.failed = true
}

// render renders all templates twice: with marks and guarded, then as they are.
func (t *templates) render(ctx context.Context) ([]File, error) {
	marker := newMarker()
	marked := map[string]string{}
	for _, name := range t.parseOrder() {
		f := t.all[name]
		text, err := marker.mark(name, f.place, f.text)
		if err != nil {
			text = f.text // Helm's engine will say what is wrong
			if strings.Count(f.text, "{{") > maxActions {
				return nil, fmt.Errorf("parse error at (%s:1): %w", name, err)
			}
		}
		marked[name] = text
	}
	clean := map[string]string{}
	for name, f := range t.all {
		clean[name] = f.text
	}
	withMarks, markedErr := t.run(ctx, marked, marker)
	if _, ok := errors.AsType[*boundsError](markedErr); ok {
		return nil, markedErr
	}
	texts, err := t.run(ctx, clean, nil)
	if err != nil {
		return nil, err
	}
	if markedErr != nil {
		t.prepared.warnings = append(t.prepared.warnings, "lines of templates are not known: "+oneLine(markedErr.Error()))
	}
	return t.files(texts, withMarks, marker), nil
}

// parseOrder returns the names of the templates in the order in which Helm
// parses them, so that of two defines of one name the same one counts.
func (t *templates) parseOrder() []string {
	names := slices.Collect(maps.Keys(t.all))
	slices.SortFunc(names, func(a, b string) int {
		deeper := cmp.Compare(strings.Count(b, "/"), strings.Count(a, "/"))
		return cmp.Or(deeper, cmp.Compare(b, a))
	})
	return names
}

// A boundsError is the error of a rendering that the guard stopped.
type boundsError struct {
	why error
	err error // as Helm gives it, with the template's name
}

func (e *boundsError) Error() string { return e.err.Error() }

// run lets Helm's engine render these texts in place of the chart's templates.
func (t *templates) run(ctx context.Context, texts map[string]string, m *marker) (map[string]string, error) {
	g := newGuard(ctx)
	funcs := g.funcs()
	if m != nil {
		maps.Copy(funcs, m.funcs(g))
	}
	values := maps.Clone(map[string]any(t.prepared.values))
	values["Values"] = copyValue(values["Values"])
	e := engine.Engine{CustomTemplateFuncs: funcs}
	out, err := e.RenderWithContext(ctx, withTexts(t.prepared.chart, texts), values)
	if err != nil && g.stopped != nil {
		return nil, &boundsError{g.stopped, err}
	}
	return out, err
}

// withTexts returns a copy of a chart with other texts for its templates.
func withTexts(c *chartv2.Chart, texts map[string]string) *chartv2.Chart {
	out := *c
	out.Templates = make([]*common.File, len(c.Templates))
	for i, f := range c.Templates {
		out.Templates[i] = &common.File{Name: f.Name, Data: []byte(texts[path.Join(c.ChartFullPath(), f.Name)])}
	}
	out.SetDependencies()
	for _, sub := range c.Dependencies() {
		out.AddDependency(withTexts(sub, texts))
	}
	return &out
}

// files returns what was rendered, line by line.
func (t *templates) files(texts, marked map[string]string, m *marker) []File {
	a := &analyst{marker: m, known: map[string]*analysis{}}
	values, _ := t.prepared.values.Table("Values")
	var files []File
	for _, name := range sortedKeys(texts) {
		text, f := texts[name], t.all[name]
		if f == nil || f.failed || strings.TrimSpace(text) == "" || strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		b := m.bodies[name]
		if b == nil {
			b = &body{name: name, place: f.place}
		}
		var traced []tracedLine
		if with, ok := marked[name]; ok {
			dot := &ref{kind: inContext, path: f.values}
			traced = a.trace(with, a.walk(b, dot), values)
		}
		lines := align(splitLines(text), traced, site{body: b, line: 1})
		files = append(files, File{Template: name, Path: f.place, Data: []byte(text), Lines: lines})
	}
	return files
}

// splitLines splits text into lines, without an empty one after the last line
// break.
func splitLines(text string) []string {
	lines := strings.Split(text, "\n")
	if n := len(lines); lines[n-1] == "" {
		lines = lines[:n-1]
	}
	return lines
}

// blame finds the template that an error of Helm's engine is about: the first
// that it names with a line.
func (t *templates) blame(err error) (string, *Error) {
	text := err.Error()
	best, bestAt := "", len(text)
	for name := range t.all {
		at := strings.Index(text, name+":")
		if at >= 0 && (at < bestAt || at == bestAt && len(name) > len(best)) && !t.all[name].failed {
			best, bestAt = name, at
		}
	}
	if best == "" {
		return "", nil
	}
	rest := text[bestAt+len(best)+1:]
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	line, _ := strconv.Atoi(rest[:digits])
	reason := strings.TrimLeft(rest[digits:], ":)0123456789 \n")
	return best, &Error{Path: t.all[best].place, Line: line, Message: oneLine(reason)}
}

// maxMessage bounds, in bytes, a reason that Helm gives.
const maxMessage = 600

var quotedText = regexp.MustCompile(`(tpl function execution|cannot parse template)(?: for)? "(?:[^"\\]|\\.)*"`)

// oneLine makes a message of Helm's one line. Texts given to tpl are left out:
// they are values, and may be secrets.
func oneLine(message string) string {
	message = quotedText.ReplaceAllString(message, "$1")
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}
