package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
)

// errTextAfter is the parse error of a chunk that goes on after its document.
var errTextAfter = errors.New("yaml: " + textAfter)

const textAfter = "did not find expected <document start>"

// explain turns an error of the YAML library into what a person would say is
// wrong, at the line that this person would point at.
func explain(c Chunk, err error) *Error {
	return c.orTemplate(diagnose(c, err))
}

// orTemplate returns the error of a broken chunk, or a better one if the chunk is
// broken since it is a template.
func (c Chunk) orTemplate(e *Error) *Error {
	if t := template(c); t != nil {
		e = t
	}
	e.APIVersion, e.Kind = sniff(c.Text)
	return e
}

var (
	// templateLine matches a line that is a template and not YAML: an action at
	// its beginning or as a whole value. Within quotes or other text it is both.
	templateLine = regexp.MustCompile(`^(?:(?:[^#"']|"[^"]*"|'[^']*')*[:\-] +|[ \t]*)(\{\{.*|\{%.*)`)
	// blockHeader matches a line whose value is the indented text below it.
	blockHeader = regexp.MustCompile(`(?:^|[:\-] +)[|>][-+0-9]*\s*(?:#.*)?$`)
)

// template returns the error of a text that is broken since it is a template. Text
// blocks are passed over: what Prometheus or Argo replace stands in them by right.
func template(c Chunk) *Error {
	if !bytes.Contains(c.Text, []byte("{{")) && !bytes.Contains(c.Text, []byte("{%")) {
		return nil
	}
	block, at := -1, 0 // the indentation that a text block must exceed
	for line := range bytes.Lines(c.Text) {
		start := at
		at += len(line)
		line = bytes.TrimRight(line, "\r\n")
		text := bytes.TrimLeft(line, " ")
		indent := len(line) - len(text)
		if len(text) == 0 || block >= 0 && indent > block {
			continue
		}
		block = -1
		if m := templateLine.FindSubmatchIndex(line); m != nil {
			return c.templateAt(start+m[2], string(line[m[2]:]))
		}
		if blockHeader.Match(text) {
			block = indent + len(text) - len(bytes.TrimLeft(text, "- "))
		}
	}
	return nil
}

func (c Chunk) templateAt(i int, action string) *Error {
	if end := strings.Index(action, "}}"); end >= 0 {
		action = action[:end+2]
	}
	e := c.errorAt(i, "")
	e.Reason = fmt.Sprintf("a template, not YAML: %s on line %d (a Helm chart needs its Chart.yaml)", clip(action), e.Line)
	return e
}

// A complaint is what the YAML libraries say about a text, with the two lines
// (of the chunk, 1-based) that they know: where the broken thing begins, and
// where the parser gave up.
type complaint struct {
	problem     string
	begins, end int
}

func diagnose(c Chunk, err error) *Error {
	if e := controlCharacter(c); e != nil {
		return e
	}
	if name, ok := strings.CutPrefix(err.Error(), "yaml: unknown anchor '"); ok {
		return unknownAnchor(c, strings.TrimSuffix(name, "' referenced"))
	}
	p := complain(c.Text, err)
	if e := tabIndent(c, p); e != nil {
		return e
	}
	return p.inWords(c)
}

// complain parses a text that was refused with err again, twice, to learn both
// lines: version 3 of the library tells the first, version 2 the second. Neither
// tells a line that is the first of the text, so the text gets one before it.
func complain(text []byte, err error) complaint {
	text = append([]byte("\n"), text...)
	_, again := parse(text)
	if again == nil || err == errTextAfter {
		again = err
	}
	var p complaint
	p.problem, p.begins = problemLine(again)
	other, end := problemLine(parseV2(text))
	if p.end = p.begins; other == p.problem && end > 0 {
		p.end = end
	}
	p.begins = max(p.begins, 1)
	p.end = max(p.end, p.begins)
	return p
}

func parseV2(text []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the YAML library gives up: %v", r)
		}
	}()
	var nothing struct{} // aliases are not followed
	return yamlv2.Unmarshal(text, &nothing)
}

// problemLine takes the message of a library apart. Its lines count from 0 when
// the parser complains and from 1 when the scanner does.
func problemLine(err error) (problem string, line int) {
	if err == nil {
		return "", 0
	}
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(problem, "line "); ok {
		if n, after, ok := strings.Cut(rest, ": "); ok {
			line, _ = strconv.Atoi(n)
			problem = after
		}
	}
	if !parserProblem(problem) {
		line--
	}
	return problem, line
}

func parserProblem(problem string) bool {
	switch problem {
	case "did not find expected key", "did not find expected '-' indicator", "did not find expected node content",
		"did not find expected ',' or ']'", "did not find expected ',' or '}'", textAfter,
		"found undefined tag handle", "found duplicate %TAG directive",
		"found duplicate %YAML directive", "found incompatible YAML document":
		return true
	}
	return false
}

// inWords says what is wrong, and the likely cause where it is sure.
func (p complaint) inWords(c Chunk) *Error {
	begins, end := c.lineText(p.begins), c.lineText(p.end)
	switch p.problem {
	case "mapping values are not allowed in this context":
		if strings.Count(end, ": ") > 1 {
			return c.errorOn(p.end, `": " stands inside a value: put the value in quotes`)
		}
		return c.errorOn(p.end, "a key is not allowed here: the line is indented too deep, or a value before it needs quotes")
	case "could not find expected ':'":
		if key, _, ok := strings.Cut(begins, ":"); ok && !strings.ContainsAny(key, ` "'`) {
			return c.errorOn(p.begins, "a space is missing after the colon")
		}
		return c.errorOn(p.begins, "a key without a colon after it")
	case "did not find expected key":
		return c.errorOn(p.end, noKey(end))
	case "did not find expected '-' indicator":
		return c.errorOn(p.end, `a list item ("- ") should stand here, or the indentation is wrong`)
	case "block sequence entries are not allowed in this context":
		return c.errorOn(p.end, `a list item ("- ") is not allowed here: begin the list on a line of its own`)
	case "did not find expected ',' or ']'":
		return p.unclosed(c, "list", "]")
	case "did not find expected ',' or '}'":
		return p.unclosed(c, "mapping", "}")
	case "found unexpected end of stream", "found unexpected document indicator":
		return c.errorOn(p.begins, "the quote that opens here is not closed")
	case "did not find expected alphabetic or numeric character":
		return c.errorOn(p.begins, "a value that begins with * or & must be in quotes")
	case noToken:
		return c.errorOn(p.end, "a value that begins with @, ` or % must be in quotes")
	case "did not find expected comment or line break":
		return c.errorOn(p.end, "text after | or >: what belongs to the block begins on the next line")
	case "did not find expected node content":
		return c.errorOn(p.end, "a value should stand here: nothing does, or something that only quotes allow")
	case "found undefined tag handle":
		return c.errorOn(p.end, "a tag that no %TAG declares: a value that begins with ! must be in quotes")
	case "found invalid Unicode character escape code":
		return c.errorOn(p.end, `a \u escape for half a character: write the character itself`)
	case "found unknown escape character":
		return c.errorOn(p.end, `an unknown escape between double quotes: write \\ for a backslash, or use single quotes`)
	case textAfter:
		return c.errorOn(p.end, "text after the end of the document: --- is missing before it, or it does not belong here")
	}
	if strings.HasPrefix(p.problem, "exceeded max depth") {
		return c.errorOn(p.end, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	return c.errorOn(p.end, p.problem)
}

// noKey says why no key stands where a key should, given its line.
func noKey(line string) string {
	switch trimmed := strings.TrimLeft(line, " "); {
	case strings.HasPrefix(trimmed, "- "):
		return `a list item ("- ") stands where a key should: the indentation is wrong, or the key of the list is missing`
	case strings.HasPrefix(trimmed, ":"):
		return "a key is missing before the colon"
	case strings.HasPrefix(trimmed, "]"), strings.HasPrefix(trimmed, "}"):
		return fmt.Sprintf("%q closes nothing", trimmed[:1])
	case strings.ContainsAny(line, `"'`):
		return "a key should stand here: the indentation is wrong, or text follows a closing quote"
	}
	return "the indentation is that of no line above"
}

func (p complaint) unclosed(c Chunk, what, bracket string) *Error {
	reason := fmt.Sprintf("a comma or %q is missing in the %s that begins here", bracket, what)
	if p.end > p.begins {
		reason += fmt.Sprintf(": it is not closed before line %d", c.Line+p.end-1)
	}
	return c.errorOn(p.begins, reason)
}

// lineText returns the n-th line of the chunk, 1-based.
func (c Chunk) lineText(n int) string {
	for line := range bytes.Lines(c.Text) {
		if n--; n == 0 {
			return strings.TrimRight(string(line), "\r\n")
		}
	}
	return ""
}

// errorOn returns an error on the n-th line of the chunk, at its first character.
func (c Chunk) errorOn(n int, reason string) *Error {
	n = min(n, bytes.Count(bytes.TrimRight(c.Text, "\r\n"), newline)+1)
	line := c.lineText(n)
	indent := len(line) - len(strings.TrimLeft(line, " \t"))
	return &Error{Line: c.Line + n - 1, Column: indent + 1, Reason: reason}
}

// noToken is what the YAML libraries say where nothing they know begins.
const noToken = "found character that cannot start any token"

// tabIndent returns an error if a line that is complained of, or the one after
// it, is indented with a tab, or if a tab is all that is on the line.
func tabIndent(c Chunk, p complaint) *Error {
	for _, n := range []int{p.end, p.begins, p.end + 1} {
		line := c.lineText(n)
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		blank := len(indent) == len(line)
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && (!blank || p.problem == noToken && n != p.end+1) {
			return &Error{Line: c.Line + n - 1, Column: tab + 1, Reason: "a tab in the indentation: YAML wants spaces"}
		}
	}
	return nil
}

// controlCharacter returns an error at the first character that YAML forbids.
func controlCharacter(c Chunk) *Error {
	for i, r := range string(c.Text) {
		switch {
		case r == '\t', r == '\n', r == '\r', r == 0x85, r >= ' ' && r < 0x7f, r >= 0xa0 && r != 0xfffe && r != 0xffff:
		default:
			return c.errorAt(i, fmt.Sprintf("a control character (U+%04X)", r))
		}
	}
	return nil
}

// unknownAnchor returns an error at the first alias of that name.
func unknownAnchor(c Chunk, name string) *Error {
	reason := fmt.Sprintf("the alias *%s has no anchor &%s before it: put a value that begins with * in quotes", clip(name), clip(name))
	for from := 0; ; {
		i := bytes.Index(c.Text[from:], []byte("*"+name))
		if i < 0 {
			return c.errorOn(1, reason)
		}
		at := from + i
		from = at + 1 + len(name)
		if startsWord(c.Text[:at]) && !anchorRune(c.Text[from:]) {
			return c.errorAt(at, reason)
		}
	}
}

// startsWord tells whether what stands before lets an alias begin.
func startsWord(before []byte) bool {
	return len(before) == 0 || bytes.IndexByte([]byte(" \t\n[{,"), before[len(before)-1]) >= 0
}

func anchorRune(rest []byte) bool {
	r, _ := utf8.DecodeRune(rest)
	return r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}
