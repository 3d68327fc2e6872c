package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

func writeYAML(w io.Writer, r *Report, _ Options) error { return WriteYAML(w, r.whole()) }

// WriteYAML writes the document of WriteJSON as YAML, fields in the same order.
// Strings stay on one line, quoted as JSON spells them: no line begins with text
// of an object, as CI systems look for commands at the beginning of lines. It
// goes from token to token: a tree of YAML nodes takes 60 times the memory of
// the text.
func WriteYAML(w io.Writer, document any) error {
	text, err := marshal(document)
	if err != nil {
		return err
	}
	y := yamlWriter{w: bufio.NewWriter(w), tokens: json.NewDecoder(bytes.NewReader(text))}
	y.tokens.UseNumber()
	if err := y.value(0, ""); err != nil {
		return err
	}
	y.w.WriteByte('\n')
	return y.w.Flush()
}

type yamlWriter struct {
	w      *bufio.Writer
	tokens *json.Decoder
}

// value writes the next value. The entries of a mapping or list stand on lines
// of their own, indented, but the first stands after begin.
func (y *yamlWriter) value(indent int, begin string) error {
	token, err := y.tokens.Token()
	if err != nil {
		return err
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return y.scalar(token)
	}
	empty := !y.tokens.More()
	for y.tokens.More() {
		y.w.WriteString(begin)
		begin = margin(indent)
		if err := y.entry(indent, opening == '{'); err != nil {
			return err
		}
	}
	closing, err := y.tokens.Token()
	if empty {
		fmt.Fprintf(y.w, " %v%v", opening, closing)
	}
	return err
}

func (y *yamlWriter) entry(indent int, field bool) error {
	if !field {
		y.w.WriteByte('-')
		return y.value(indent+1, " ")
	}
	name, err := y.tokens.Token()
	if err != nil {
		return err
	}
	fmt.Fprintf(y.w, "%v:", name)
	return y.value(indent+1, margin(indent+1))
}

// scalar writes a number, a string, true, false or null: they are YAML as they are.
func (y *yamlWriter) scalar(token json.Token) error {
	text, err := marshal(token)
	if err != nil {
		return err
	}
	y.w.WriteByte(' ')
	_, err = y.w.Write(bytes.TrimSpace(text))
	return err
}

func margin(indent int) string { return "\n" + strings.Repeat("  ", indent) }
