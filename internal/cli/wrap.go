package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// writeHelp writes Markdown, its paragraphs broken to the width of a terminal;
// what is no terminal gets the lines as they are.
func (env Env) writeHelp(text string) error {
	if columns, ok := env.Terminal(env.Stdout); ok {
		text = wrapMarkdown(text, min(max(columns, 40), 100))
	}
	_, err := io.WriteString(env.Stdout, text)
	return err
}

// wrapMarkdown breaks paragraphs and list items; code, tables and headings stay.
func wrapMarkdown(text string, width int) string {
	var b strings.Builder
	code := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		trimmed := strings.TrimLeft(line, " ")
		if strings.HasPrefix(trimmed, "```") {
			code = !code
		}
		if code || strings.HasPrefix(line, "    ") || strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "#") || utf8.RuneCountInString(line) <= width {
			b.WriteString(line + "\n")
			continue
		}
		lead := line[:len(line)-len(trimmed)]
		hang := lead
		if strings.HasPrefix(trimmed, "- ") {
			hang += "  "
		}
		used := 0
		for word := range strings.FieldsSeq(trimmed) {
			n := utf8.RuneCountInString(word)
			switch {
			case used == 0:
				b.WriteString(lead + word)
				used = len(lead) + n
			case used+1+n > width:
				b.WriteString("\n" + hang + word)
				used = len(hang) + n
			default:
				b.WriteString(" " + word)
				used += 1 + n
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
