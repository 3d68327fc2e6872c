package helm

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
)

// Files are the files of a chart's folder by the path that a person can open: those
// of its sub-charts too, but for what is packed in an archive. The bytes are to be
// kept as they are.
func (c *Chart) Files() map[string][]byte {
	files := map[string][]byte{}
	c.root.each(false, func(name string, data []byte, packed bool) {
		if !packed {
			files[name] = data
		}
	})
	return files
}

// Schemas are the names, for With, of the schemas of values: those in archives too.
func (c *Chart) Schemas() []string {
	var names []string
	c.root.each(false, func(name string, _ []byte, _ bool) {
		if strings.HasSuffix(name, "values.schema.json") {
			names = append(names, name)
		}
	})
	return names
}

// each calls do for every file; packed says that it is in an archive.
func (s *source) each(packed bool, do func(name string, data []byte, packed bool)) {
	packed = packed || strings.HasSuffix(s.place, ":")
	for _, f := range s.files {
		do(s.place+f.Name, f.Data, packed)
	}
	for _, sub := range s.subs {
		sub.each(packed, do)
	}
}

// With returns the chart as it would be with other bytes in some of its files, by the
// paths that Files has; nil for a file that is gone. A file that is new is one of
// the chart itself. Chart.yaml stays as it is: nothing is read again from the disk.
func (c *Chart) With(files map[string][]byte) *Chart {
	known := map[string]bool{}
	out := *c
	out.root = c.root.with(files, known)
	for name, data := range files {
		if below, ok := strings.CutPrefix(name, c.root.place); ok && data != nil && !known[name] {
			out.root.files = append(out.root.files, &archive.BufferedFile{Name: filepath.ToSlash(below), Data: data})
		}
	}
	return &out
}

func (s *source) with(files map[string][]byte, known map[string]bool) *source {
	out := &source{place: s.place}
	for _, f := range s.files {
		name := s.place + f.Name
		data, edited := files[name]
		known[name] = true
		switch {
		case edited && data == nil:
		case edited:
			out.files = append(out.files, &archive.BufferedFile{Name: f.Name, Data: bytes.TrimPrefix(data, []byte("\ufeff"))})
		default:
			out.files = append(out.files, f)
		}
	}
	for _, sub := range s.subs {
		out.subs = append(out.subs, sub.with(files, known))
	}
	return out
}

// Values are the values that the templates of a chart are given with these options:
// those of sub-charts stand under the sub-charts' names. The caller may change them.
func (c *Chart) Values(o Options) (map[string]any, error) {
	p, err := prepare(c, o)
	if err != nil {
		return nil, fmt.Errorf("values of chart %q: %w", c.Name, err)
	}
	values, err := p.values.Table("Values")
	if err != nil {
		return nil, fmt.Errorf("values of chart %q: %w", c.Name, err)
	}
	return plainMap(values), nil
}

// plainMap copies values into maps of one type.
func plainMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = plain(v)
	}
	return out
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return plainMap(v)
	case common.Values:
		return plainMap(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	}
	return v
}

// PostRender is the name of the folder in a chart's folder that holds patches of what
// the chart renders, to be made by a post-renderer. It has a kustomization of its own,
// which lacks what the chart renders and is never built by itself. A chart in an archive
// has it beside the archive: NAME-gabion-post-render.
const PostRender = "gabion-post-render"

// PostRenderBeside is the folder of such patches for a chart in an archive.
func PostRenderBeside(archive string) string { return archive + "-" + PostRender }

// Fetched are the names of the sub-charts that Chart.yaml says come from a repository.
func (c *Chart) Fetched() []string {
	built, _, err := c.root.build()
	if err != nil {
		return nil
	}
	var names []string
	for _, d := range built.Metadata.Dependencies {
		if d.Repository != "" && !strings.HasPrefix(d.Repository, "file:") {
			names = append(names, d.Name)
		}
	}
	return names
}
