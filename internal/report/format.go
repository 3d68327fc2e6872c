package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/picture"
)

// Options are what a format may know besides the report.
type Options struct {
	// Program is how the program is called, "" for gabion.
	Program string
	// Color allows escape sequences.
	Color bool
	// Width is how many columns the terminal has; 0 when there is none.
	Width int
	// FailOn is the least severity that makes the exit code 1; 0 for none.
	FailOn guide.Severity
	// Excerpt returns a line of a source with credentials masked, and whether it
	// can be had; nil when sources are not at hand.
	Excerpt func(file string, line int) (string, bool)
	// Rules returns the title and the help (Markdown) of a rule, and whether it
	// is known: those of a user's own policies are not. It may be nil.
	Rules func(id string) (title, doc string, ok bool)
	// Maps are the networks of the clusters that were scanned, for formats with pictures.
	Maps []picture.Map
}

// A Format writes a report.
type Format func(w io.Writer, r *Report, o Options) error

// Formats returns every format by the name that -o knows it by.
func Formats() map[string]Format {
	return map[string]Format{
		"table":    writeTable,
		"wide":     writeWide,
		"json":     writeJSON,
		"yaml":     writeYAML,
		"sarif":    writeSARIF,
		"junit":    writeJUnit,
		"markdown": writeMarkdown,
		"csv":      writeCSV,
		"html":     writeHTML,
		"github":   writeGitHub,
		"gitlab":   writeGitLab,
	}
}

// Most is how many findings of one row a format shows, the first ones, whatever
// there are; 0 for all.
func Most(format string) int {
	if format == "table" {
		return findingsShown
	}
	return 0
}

// Names are the names of the formats, sorted.
func Names() []string { return slices.Sorted(maps.Keys(Formats())) }

// writeJSON writes the report indented, but for the findings, which stand on one
// line each and are written one by one: they are nearly all of the text, and
// there may be hundreds of thousands.
func writeJSON(w io.Writer, r *Report, _ Options) error {
	frame := r.whole()
	findings := frame.Findings
	frame.Findings = []Finding{}
	text, err := marshal(frame)
	if err != nil {
		return err
	}
	const list = `"findings": []`
	head, tail, ok := bytes.Cut(text, []byte("\n  "+list))
	if !ok || len(findings) == 0 {
		_, err := w.Write(text)
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	b.Write(head)
	b.WriteString("\n  \"findings\": [")
	if err := writeLines(b, findings); err != nil {
		return err
	}
	b.WriteString("\n  ]")
	b.Write(tail)
	return b.Flush()
}

func writeLines(b *bufio.Writer, findings []Finding) (err error) {
	var line []byte
	for i := range findings {
		if line, err = appendFinding(line[:0], &findings[i]); err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.Write(line)
	}
	return nil
}

// whole returns the report as it is written: empty lists instead of none.
func (r *Report) whole() *Report {
	c := *r
	c.Sources = make([]*evidence.Source, len(r.Sources))
	for i, s := range r.Sources {
		source := *s
		source.Skipped, source.Errors = list(s.Skipped), list(s.Errors)
		c.Sources[i] = &source
	}
	c.Recommendations = list(r.Recommendations)
	c.Findings = list(r.Findings)
	c.Gaps = list(r.Gaps)
	c.Exceptions = list(r.Exceptions)
	return &c
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// encodeJSON writes a document. What no one could see in it is written as an
// escape, so that it does nothing to a terminal and reads the same.
func encodeJSON(w io.Writer, v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return escapeInvisible(b.Bytes()), nil
}

// escapeInvisible escapes characters that can only stand in strings: a JSON text
// has no others outside of them but line breaks. Those beyond 16 bits stay, since
// YAML, which this text is also read as, cannot spell them as JSON does.
func escapeInvisible(text []byte) []byte {
	var out []byte
	for {
		n := indexInvisible(text)
		switch {
		case n < 0 && out == nil:
			return text
		case n < 0:
			return append(out, text...)
		}
		r, size := utf8.DecodeRune(text[n:])
		out = fmt.Appendf(append(out, text[:n]...), "\\u%04x", r)
		text = text[n+size:]
	}
}

// indexInvisible is the place of the first character that escapeInvisible
// escapes, -1 if there is none. Nearly all text is ASCII, and passed over quickly.
func indexInvisible(text []byte) int {
	for i := 0; i < len(text); {
		if c := text[i]; c == '\n' || c >= ' ' && c < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r <= 0xffff && (!visible(r) || r == 0xfffe || r == 0xffff) {
			return i
		}
		i += size
	}
	return -1
}
