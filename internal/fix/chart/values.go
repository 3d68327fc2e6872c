package chart

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
)

// byValues are the ways to set a field by the keys of the values that decide it.
func (m *Maker) byValues(files rendered.Files, r *Rendering, o object, want rendered.Want) []rendered.Way {
	var keys []fieldpath.Path
	if way := follow(o.node, want.Path); len(way) == len(want.Path)+1 {
		for _, key := range r.keys(o, way[len(way)-1]) {
			keys = append(keys, key)
		}
	}
	keys = append(keys, m.probedKeys(want)...)
	var ways []rendered.Way
	for _, key := range keys {
		for _, name := range m.filesOf(files, key) {
			ways = append(ways, m.valuesWay(files, name, key, want))
		}
	}
	return ways
}

// keys are the keys of the values that decide the line of a node.
func (r *Rendering) keys(o object, c crumb) []fieldpath.Path {
	line, ok := r.line(o, c.node)
	if !ok {
		return nil
	}
	var keys []fieldpath.Path
	for _, text := range line.ValuesKeys {
		if key := parseKey(text); key != nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// parseKey reads a key as Helm's --set has it: image.tag, hosts[0].name, a\.b.
func parseKey(text string) fieldpath.Path {
	var p fieldpath.Path
	var name strings.Builder
	flush := func() {
		if name.Len() > 0 {
			p = append(p, fieldpath.Step{Name: name.String()})
			name.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			name.WriteByte(text[i])
		case c == '.':
			flush()
		case c == '[':
			flush()
			end := strings.IndexByte(text[i:], ']')
			if end < 0 {
				return nil
			}
			n, err := strconv.Atoi(text[i+1 : i+end])
			if err != nil {
				return nil
			}
			p = append(p, fieldpath.Step{Index: n})
			i += end
		default:
			name.WriteByte(c)
		}
	}
	flush()
	return p
}

// filesOf are the files in which a key may be set: the last that has it, or most of
// the way to it, first.
func (m *Maker) filesOf(files rendered.Files, key fieldpath.Path) []string {
	type place struct {
		name string
		deep int
	}
	var places []place
	for _, name := range slices.Backward(m.values) {
		deep := 0
		var tree any
		if yaml.Unmarshal(files[name], &tree) == nil {
			for deep < len(key) {
				if _, ok := fieldpath.Get(tree, key[:deep+1]); !ok {
					break
				}
				deep++
			}
		}
		places = append(places, place{name, deep})
	}
	slices.SortStableFunc(places, func(a, b place) int { return b.deep - a.deep })
	// The chart's own values are where a new key belongs, not the last file.
	if own := len(places); own > 1 && places[0].deep == 0 {
		slices.Reverse(places)
	}
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = p.name
	}
	return names
}

func (m *Maker) valuesWay(files rendered.Files, name string, key fieldpath.Path, want rendered.Want) rendered.Way {
	if n := len(key) - 1; n > 0 && key[n].Name == "" && want.Path[len(want.Path)-1].Name == "" {
		// The list may have got elements since it was found.
		var tree any
		if err := yaml.Unmarshal(files[name], &tree); err == nil {
			now, _ := fieldpath.Get(tree, key[:n])
			list, _ := now.([]any)
			key = key[:n].Below(fieldpath.Step{Index: len(list)})
		}
	}
	w := rendered.Way{ID: strings.Join([]string{"values", name, key.String(), want.Text}, "\x00")}
	e := rendered.Edit{File: name}
	if text, exists := files[name]; !exists || isBlank(text) {
		w.Claim = name
		lines := block(key, want.Text, 0)
		if lines == nil {
			return w
		}
		if exists && len(text) > 0 {
			e.Line, e.Lines = strings.Count(strings.TrimSuffix(string(text), "\n"), "\n")+1, lines
		} else {
			e.Text = []byte(strings.Join(lines, "\n") + "\n")
		}
		w.Edits = []rendered.Edit{e}
		return w
	}
	e.Fields = []fix.Field{{Path: key.String(), Value: want.Text}}
	w.Edits = []rendered.Edit{e}
	return w
}

// isBlank tells whether a file has nothing but comments.
func isBlank(text []byte) bool {
	var tree any
	err := yaml.Unmarshal(text, &tree)
	return err == nil && tree == nil
}

// block writes a value below the fields that lead to it, as YAML in block style and
// indented; nil when that cannot be written.
func block(at fieldpath.Path, value string, indent int) []string {
	node := rootOf([]byte(value))
	if node == nil {
		return nil
	}
	for _, s := range slices.Backward(at) {
		if s.Name == "" {
			if s.Index != 0 {
				return nil
			}
			node = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}}
			continue
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s.Name}
		node = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, node}}
	}
	return blockLines(node, indent)
}

// blockLines writes a node in block style; what is empty stays {} or [].
func blockLines(n *yaml.Node, indent int) []string {
	pad := strings.Repeat(" ", indent)
	var lines []string
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, child := scalar(n.Content[i]), n.Content[i+1]
			if isInline(child) {
				lines = append(lines, pad+key+": "+scalar(child))
				continue
			}
			lines = append(lines, pad+key+":")
			lines = append(lines, blockLines(child, indent+2)...)
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for _, child := range n.Content {
			if isInline(child) {
				lines = append(lines, pad+"- "+scalar(child))
				continue
			}
			below := blockLines(child, indent+2)
			below[0] = pad + "- " + strings.TrimLeft(below[0], " ")
			lines = append(lines, below...)
		}
	default:
		lines = []string{pad + scalar(n)}
	}
	return lines
}

func isInline(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode || len(n.Content) == 0 }

// scalar writes a scalar, or what is empty, on one line.
func scalar(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "{}"
	case yaml.SequenceNode:
		return "[]"
	}
	if n.Tag == "!!str" {
		one := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.Value}
		if text, err := yaml.Marshal(&one); err == nil && strings.Count(string(text), "\n") == 1 && n.Style == 0 {
			return strings.TrimSuffix(string(text), "\n")
		}
		quoted, err := json.Marshal(n.Value)
		if err == nil {
			return string(quoted)
		}
	}
	return n.Value
}
