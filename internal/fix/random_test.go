package fix

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// An author writes random documents as people do: in every style, with comments and
// blank lines where they like.
type author struct {
	*rand.Rand
	dash, step int
	anchors    []string
	share      bool // write anchors, aliases and merge keys
	names      int
}

func newAuthor(seed uint64) *author {
	r := rand.New(rand.NewPCG(seed, 1))
	return &author{Rand: r, dash: r.IntN(3), step: 1 + r.IntN(4), share: r.IntN(3) == 0}
}

func (a *author) one(of ...string) string { return of[a.IntN(len(of))] }

func (a *author) chance(percent int) bool { return a.IntN(100) < percent }

// file writes a file with some documents.
func (a *author) file() string {
	if a.chance(15) {
		return a.json("", a.one("  ", "\t", "    ", ""), 3) + a.one("", "\n")
	}
	var b strings.Builder
	n := 1 + a.IntN(3)
	for i := range n {
		a.anchors = nil
		if i > 0 || a.chance(30) {
			b.WriteString(a.one("---\n", "--- # next\n", "---\n# before\n\n"))
		}
		if a.chance(10) {
			b.WriteString(a.flow(3) + a.one("\n", " # flow\n"))
		} else {
			b.WriteString(a.mapping(0, 4))
		}
		if i < n-1 && a.chance(10) {
			b.WriteString("...\n")
		}
	}
	text := b.String()
	if a.chance(15) {
		text = strings.TrimSuffix(text, "\n")
	}
	if a.chance(20) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if a.chance(10) {
		text = "\ufeff" + text
	}
	return text
}

func (a *author) key() string {
	a.names++
	name := fmt.Sprintf("%s%d", a.one("spec", "name", "a.b/c", "x-y", "é", "on"), a.names)
	switch a.IntN(8) {
	case 0:
		return `"` + name + `"`
	case 1:
		return "'" + name + "'"
	}
	return name
}

func (a *author) scalar() string {
	return a.one("1", "true", "no", "web", "10m", "0x1F", `"a # b"`, `'it''s'`, `"say \"x\" \u00e9"`, "a b c", "x:y", "1.50", "ünï", `"{}"`, "http://x/y#z", "''", "-1", "!!str 12", "2001-01-01", "~", "null", `"\\"`)
}

func (a *author) remark() string {
	return a.one("", "", "", " # note", "  # key: value", " #")
}

func (a *author) between(indent int) string {
	if !a.chance(15) {
		return ""
	}
	return a.one("\n", strings.Repeat(" ", indent)+"# between\n", "# at the margin\n", "   \n", "\n\n")
}

// mapping writes a block mapping, with its line end.
func (a *author) mapping(indent, depth int) string {
	var b strings.Builder
	space := strings.Repeat(" ", indent)
	for i := range 1 + a.IntN(4) {
		if i > 0 {
			b.WriteString(a.between(indent))
		}
		b.WriteString(space)
		if a.share && len(a.anchors) > 0 && i == 0 && a.chance(30) {
			b.WriteString("<<: *" + a.anchors[a.IntN(len(a.anchors))] + "\n")
			continue
		}
		b.WriteString(a.key() + a.one(":", ":", ":", " :"))
		b.WriteString(a.blockValue(indent, depth))
	}
	return b.String()
}

func (a *author) blockValue(indent, depth int) string {
	anchor := ""
	if a.share && a.chance(30) {
		if len(a.anchors) > 0 && a.chance(40) {
			return " *" + a.anchors[a.IntN(len(a.anchors))] + " " + a.remark() + "\n"
		}
		a.names++
		anchor = fmt.Sprintf(" &m%d", a.names)
	}
	name := strings.TrimPrefix(anchor, " &")
	space := strings.Repeat(" ", indent)
	switch k := a.IntN(12); {
	case depth > 0 && k < 4:
		text := a.mapping(indent+a.step, depth-1)
		if name != "" {
			a.anchors = append(a.anchors, name)
		}
		return anchor + a.remark() + "\n" + a.between(indent) + text
	case depth > 0 && k < 6:
		return anchor + a.remark() + "\n" + a.sequence(indent+a.dash, depth-1)
	case depth > 0 && k == 6:
		text := a.flow(depth - 1)
		if name != "" && strings.HasPrefix(text, "{") {
			a.anchors = append(a.anchors, name)
		}
		return anchor + " " + text + a.remark() + "\n"
	case depth > 0 && k == 7:
		return " " + a.flowLines(space+"  ", space, depth-1) + a.remark() + "\n"
	case k == 8:
		return a.remark() + "\n"
	case k == 9:
		deep := space + "  "
		return " " + a.one("|", ">", "|-", ">-", "|+", "|2") + a.one("", " # head") + "\n" + deep + "one # no comment\n" + a.one("", "\n", deep+" more\n\n") + deep + "two: x\n" + a.one("", "\n")
	case k == 10:
		return " " + a.one("plain\n"+space+"  going on", "\"quoted\n\n"+space+"  too\"", "'a\n"+space+" b'") + a.remark() + "\n"
	}
	return anchor + a.one(" ", "  ") + a.scalar() + a.remark() + "\n"
}

// sequence writes a block list, with its line end.
func (a *author) sequence(indent, depth int) string {
	var b strings.Builder
	space := strings.Repeat(" ", indent)
	for range 1 + a.IntN(3) {
		switch {
		case depth > 0 && a.chance(60):
			gap := a.one(" ", " ", "   ")
			text := a.mapping(indent+1+len(gap), depth-1)
			b.WriteString(space + "-" + gap + strings.TrimLeft(text, " "))
		default:
			b.WriteString(space + "-" + a.blockItem(depth) + a.remark() + "\n")
		}
	}
	return b.String()
}

func (a *author) blockItem(depth int) string {
	if depth > 0 && a.chance(30) {
		return " " + a.flow(depth-1)
	}
	return " " + a.scalar()
}

func (a *author) flowScalar() string {
	return a.one("1", "true", "web", `"a, b"`, `'it''s'`, "a b", "x#y", `"]"`, "null")
}

// flow writes a value in braces or brackets on one line.
func (a *author) flow(depth int) string {
	var parts []string
	list := a.chance(40)
	for range a.IntN(4) {
		v := a.flowScalar()
		if depth > 0 && a.chance(40) {
			v = a.flow(depth - 1)
		}
		if !list {
			v = a.key() + ": " + v
		}
		parts = append(parts, v)
	}
	text := strings.Join(parts, a.one(", ", ",  ", " , "))
	if text != "" && a.chance(15) {
		text += ","
	}
	if a.chance(30) {
		text = " " + text + " "
	}
	if list {
		return "[" + text + "]"
	}
	return "{" + text + "}"
}

// flowLines writes a mapping in braces over several lines.
func (a *author) flowLines(indent, closing string, depth int) string {
	var b strings.Builder
	b.WriteString("{" + a.one("", " # open") + "\n")
	n := 1 + a.IntN(3)
	for i := range n {
		comma := ","
		if i == n-1 {
			comma = a.one("", ",")
		}
		b.WriteString(indent + a.key() + ": " + a.flow(depth) + comma + a.remark() + "\n")
	}
	return b.String() + closing + " }"
}

// json writes JSON, on one line when the unit is empty.
func (a *author) json(indent, unit string, depth int) string {
	eol, colon := "\n", ": "
	if unit == "" {
		eol, colon = "", ":"
	}
	var parts []string
	for range 1 + a.IntN(3) {
		a.names++
		v := a.one("1", "true", `"x"`, `"a\"b"`, "null", "{}", "[]", "1.5e3")
		if depth > 0 && a.chance(50) {
			v = a.json(indent+unit, unit, depth-1)
		}
		if depth > 0 && a.chance(20) {
			v = "[" + v + "," + a.json(indent+unit, unit, depth-1) + "]"
		}
		parts = append(parts, fmt.Sprintf("%s%s\"k%d\"%s%s", indent, unit, a.names, colon, v))
	}
	return "{" + eol + strings.Join(parts, ","+eol) + eol + indent + "}"
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
