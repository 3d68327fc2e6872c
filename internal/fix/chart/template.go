package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/helm"
)

// line is where the line of a node was written.
func (r *Rendering) line(o object, n *yaml.Node) (helm.Line, bool) {
	at := n.Line + o.before
	lines := r.files[o.file].Lines
	if at < 1 || at > len(lines) {
		return helm.Line{}, false
	}
	return lines[at-1], true
}

// A site is a line of a template that writes a field: "  - name: web" or "  spec:".
type site struct {
	file   string
	line   int // 1-based
	text   string
	indent int    // of the key
	rest   string // after the colon, without blanks around it
}

// site finds the line of a template that writes a key, and nothing that an action
// may write between.
func (r *Rendering) site(files rendered.Files, o object, key *yaml.Node) (site, bool) {
	if key == nil {
		return site{}, false
	}
	at, ok := r.line(o, key)
	if !ok {
		return site{}, false
	}
	text, ok := lineOf(files[at.File], at.Line)
	if !ok {
		return site{}, false
	}
	field := strings.TrimLeft(text, " ")
	for strings.HasPrefix(field, "- ") {
		field = strings.TrimLeft(field[1:], " ")
	}
	for _, spelled := range []string{key.Value, `"` + key.Value + `"`, "'" + key.Value + "'"} {
		if rest, ok := strings.CutPrefix(field, spelled+":"); ok && (rest == "" || rest[0] == ' ') {
			return site{at.File, at.Line, text, len(text) - len(field), strings.TrimSpace(rest)}, true
		}
	}
	return site{}, false
}

func lineOf(text []byte, n int) (string, bool) {
	lines := strings.Split(string(text), "\n")
	if n < 1 || n > len(lines) {
		return "", false
	}
	return strings.TrimSuffix(lines[n-1], "\r"), true
}

// isOpen tells whether what a key leads to is on the lines below it.
func (s site) isOpen() bool { return s.rest == "" || strings.HasPrefix(s.rest, "#") }

// byTemplate are the ways to set a field in the templates.
func byTemplate(files rendered.Files, r *Rendering, o object, want rendered.Want) []rendered.Way {
	if strings.Contains(want.Text, "{{") {
		return nil
	}
	way := follow(o.node, want.Path)
	last := way[len(way)-1]
	rest := want.Path[len(way)-1:]
	var ways []rendered.Way
	add := func(w rendered.Way, ok bool) {
		if ok && !slices.ContainsFunc(ways, func(other rendered.Way) bool { return other.ID == w.ID }) {
			ways = append(ways, w)
		}
	}
	if s, ok := r.site(files, o, last.key); ok {
		add(s.replaced(files, last.key.Value, rest, want.Text))
	}
	if len(rest) == 0 {
		return ways
	}
	if rest[0].Name == "" {
		add(r.element(files, o, last, rest, want))
		return ways
	}
	if s, ok := r.site(files, o, last.key); ok && s.isOpen() && last.node.Kind == yaml.MappingNode {
		deeper := 2
		if len(last.node.Content) > 0 && last.node.Style&yaml.FlowStyle == 0 {
			deeper = last.node.Content[0].Column - last.key.Column
		}
		add(s.below(files, s.indent+deeper, rest, want.Text))
	}
	for _, s := range r.siblings(files, o, last.node) {
		add(s.below(files, s.indent, rest, want.Text))
	}
	return ways
}

// replaced sets a field on the line that has it, or has the mapping around it in flow
// style.
func (s site) replaced(files rendered.Files, key string, rest fieldpath.Path, value string) (rendered.Way, bool) {
	if s.rest == "" || strings.Contains(s.text, "{{") {
		return rendered.Way{}, false
	}
	at := append(fieldpath.Path{{Name: key}}, rest...)
	after, outcomes := fix.Apply([]byte(s.text[s.indent:]), []fix.Edit{{Fields: []fix.Field{{Path: at.String(), Value: value}}}})
	if outcomes[0].Err != nil || !outcomes[0].Changed {
		return rendered.Way{}, false
	}
	lines := strings.Split(strings.TrimSuffix(string(after), "\n"), "\n")
	for i := range lines {
		if i == 0 {
			lines[i] = s.text[:s.indent] + lines[i]
		} else if lines[i] != "" {
			lines[i] = strings.Repeat(" ", s.indent) + lines[i]
		}
	}
	return s.way(files, lines, true), true
}

// below puts a field on the line below.
func (s site) below(files rendered.Files, indent int, at fieldpath.Path, value string) (rendered.Way, bool) {
	lines := block(at, value, max(indent, 0))
	if lines == nil {
		return rendered.Way{}, false
	}
	w := s.way(files, lines, false)
	if len(at) > 1 {
		w.Claim = fmt.Sprintf("%s:%d %s", s.file, s.line, at[0].Name)
	}
	return w, true
}

// element adds an element to a list, below the last line of the last one, or below the
// key of a list that has none.
func (r *Rendering) element(files rendered.Files, o object, list crumb, rest fieldpath.Path, want rendered.Want) (rendered.Way, bool) {
	if len(rest) != 1 || list.node.Kind != yaml.SequenceNode || list.node.Style&yaml.FlowStyle != 0 || len(list.node.Content) == 0 {
		return rendered.Way{}, false
	}
	s, ok := r.site(files, o, list.key)
	if !ok || !s.isOpen() {
		return rendered.Way{}, false
	}
	dash := s.indent + list.node.Column - list.key.Column
	last := list.node.Content[len(list.node.Content)-1]
	key := (*yaml.Node)(nil)
	for last.Kind != yaml.ScalarNode && len(last.Content) > 0 && last.Style&yaml.FlowStyle == 0 {
		if last.Kind == yaml.MappingNode {
			key = last.Content[len(last.Content)-2]
		}
		last = last.Content[len(last.Content)-1]
	}
	end, ok := r.line(o, last)
	text, found := lineOf(files[end.File], end.Line)
	if !ok || !found || key == nil && last.Kind != yaml.ScalarNode || last.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || end.File != s.file {
		return rendered.Way{}, false
	}
	after := site{file: end.File, line: end.Line, text: text}
	return after.below(files, dash, fieldpath.Path{{}}, want.Text)
}

// siblings are the lines of a mapping's fields that are on one line each: another
// field can stand below. Those that no more conditions decide than the mapping itself
// come first.
func (r *Rendering) siblings(files rendered.Files, o object, n *yaml.Node) []site {
	if n.Kind != yaml.MappingNode || n.Style&yaml.FlowStyle != 0 {
		return nil
	}
	type ranked struct {
		site
		depth, rank int
	}
	var found []ranked
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		const folded = yaml.LiteralStyle | yaml.FoldedStyle
		if s, ok := r.site(files, o, key); ok && !s.isOpen() && value.Line == key.Line && value.Style&folded == 0 {
			rank := slices.Index(goodSiblings, key.Value)
			if rank < 0 {
				rank = len(goodSiblings)
			}
			found = append(found, ranked{s, depth(files[s.file], s.line), rank})
		}
	}
	slices.SortStableFunc(found, func(a, b ranked) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		return a.rank - b.rank
	})
	sites := make([]site, len(found))
	for i, f := range found {
		sites[i] = f.site
	}
	return sites
}

// goodSiblings are fields below which people put others.
var goodSiblings = []string{"imagePullPolicy", "image", "serviceAccountName", "name"}

var blockWord = regexp.MustCompile(`\{\{-?\s*(if|with|range|define|block|end)\b`)

// depth is how many blocks of a template are open on a line.
func depth(text []byte, line int) int {
	n := 0
	for i, l := range strings.SplitAfter(string(text), "\n") {
		if i+1 >= line {
			break
		}
		for _, word := range blockWord.FindAllStringSubmatch(l, -1) {
			if word[1] == "end" {
				n--
			} else {
				n++
			}
		}
	}
	return n
}

// way edits the line. Its ID has, in place of the number, the line's text and which of
// the lines with this text it is.
func (s site) way(files rendered.Files, lines []string, replace bool) rendered.Way {
	before := 0
	for i, l := range strings.Split(string(files[s.file]), "\n") {
		if i+1 < s.line && strings.TrimSuffix(l, "\r") == s.text {
			before++
		}
	}
	return rendered.Way{
		ID:    fmt.Sprintf("template\x00%s\x00%s\x00%d\x00%s", s.file, s.text, before, strings.Join(lines, "\n")),
		Edits: []rendered.Edit{{File: s.file, Line: s.line, Lines: lines, Replace: replace}},
	}
}
