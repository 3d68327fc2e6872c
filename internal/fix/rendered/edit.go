package rendered

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
)

// An Edit changes one file. It is one of three: fields of a YAML document are set
// (Fields), a line is replaced or others are put below it (Line), or the file is made
// (Text).
type Edit struct {
	File string
	// Object is where the document begins that Fields are of, zero for the only one.
	Object evidence.Position
	Fields []fix.Field
	// Line is a 1-based line of the file as it is. Lines take its place when Replace is
	// set, and are put below it otherwise; they have no line ends.
	Line    int
	Replace bool
	Lines   []string
	// Text is all of a file that is not there.
	Text []byte
}

// apply makes the edits of ways, all of them. It names the way that cannot be made.
func apply(before Files, ways []Way) (files Files, bad string, err error) {
	files = maps.Clone(before)
	byFile := map[string][]fix.Edit{}
	lines := map[string][]Edit{}
	for _, w := range ways {
		for _, e := range w.Edits {
			switch {
			case e.Text != nil:
				if _, exists := files[e.File]; exists {
					return nil, w.ID, fmt.Errorf("%s is there already", e.File)
				}
				files[e.File] = e.Text
			case e.Line > 0:
				lines[e.File] = append(lines[e.File], e)
			default:
				one := []fix.Edit{{Object: e.Object, Fields: e.Fields}}
				if _, outcomes := fix.Apply(before[e.File], one); outcomes[0].Err != nil {
					return nil, w.ID, outcomes[0].Err
				}
				byFile[e.File] = append(byFile[e.File], one...)
			}
		}
	}
	for name, edits := range byFile {
		after, outcomes := fix.Apply(files[name], edits)
		for _, o := range outcomes {
			if o.Err != nil {
				return nil, ways[len(ways)-1].ID, o.Err
			}
		}
		files[name] = after
	}
	for name, edits := range lines {
		if files[name], err = editLines(files[name], edits); err != nil {
			return nil, ways[len(ways)-1].ID, err
		}
	}
	return files, "", nil
}

var errTwice = errors.New("the line would be edited twice")

// editLines replaces lines and adds others, from the end to the beginning.
func editLines(text []byte, edits []Edit) ([]byte, error) {
	eol := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		eol = "\r\n"
	}
	lines := strings.SplitAfter(string(text), "\n")
	slices.SortStableFunc(edits, func(a, b Edit) int { return b.Line - a.Line })
	replaced := 0
	for _, e := range edits {
		if e.Line > len(lines) {
			return nil, fmt.Errorf("there is no line %d", e.Line)
		}
		added := make([]string, len(e.Lines))
		for i, l := range e.Lines {
			added[i] = l + eol
		}
		at := e.Line - 1
		if e.Replace {
			if replaced == e.Line {
				return nil, errTwice
			}
			replaced = e.Line
			if !strings.HasSuffix(lines[at], "\n") {
				added[len(added)-1] = strings.TrimSuffix(added[len(added)-1], eol)
			}
			lines = slices.Replace(lines, at, at+1, added...)
			continue
		}
		if !strings.HasSuffix(lines[at], "\n") {
			lines[at] += eol
			added[len(added)-1] = strings.TrimSuffix(added[len(added)-1], eol)
		}
		lines = slices.Insert(lines, at+1, added...)
	}
	return []byte(strings.Join(lines, "")), nil
}
