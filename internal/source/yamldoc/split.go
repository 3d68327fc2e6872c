package yamldoc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A Chunk is the text of one document, or of one stream of JSON values.
type Chunk struct {
	Text []byte
	Line int // of the file, where Text begins
}

// Split cuts the bytes of a file into chunks that can be decoded one by one, in
// any order and by several decoders. It cuts where YAML says a document ends,
// whatever stands around the place, so that the damage in one document stays in
// it. Chunks without content are left out. An error is about the whole file.
func Split(data []byte) ([]Chunk, *Error) {
	data, err := normalise(data)
	if err != nil {
		return nil, err
	}
	var chunks []Chunk
	start, line := 0, 1 // of the chunk
	cut := func(end, next, nextLine int) {
		if c := (Chunk{data[start:end], line}).withoutMarker(); !c.blank() {
			chunks = append(chunks, c)
		}
		start, line = next, nextLine
	}
	for at, n := 0, 1; at < len(data); n++ {
		switch text := data[at:]; {
		case isMarker(text, "..."):
			cut(at, at+len("..."), n)
		case isMarker(text, "---") && !onlyDirectives(data[start:at]):
			cut(at, at, n)
		}
		length := bytes.IndexByte(data[at:], '\n') + 1
		if length == 0 {
			break
		}
		at += length
	}
	cut(len(data), 0, 0)
	return chunks, nil
}

var newline = []byte("\n")

// isMarker tells whether a line begins with a marker that ends a document.
func isMarker(line []byte, marker string) bool {
	return line[0] == marker[0] && bytes.HasPrefix(line, []byte(marker)) && separated(line[len(marker):])
}

// separated tells whether a marker that is followed by rest stands alone.
func separated(rest []byte) bool {
	return len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0
}

// onlyDirectives tells whether a text has directives (%YAML, %TAG) and nothing
// else: they belong to the document that begins after it.
func onlyDirectives(text []byte) bool {
	found := false
	for line := range bytes.Lines(text) {
		switch line = bytes.TrimLeft(line, " \t"); {
		case insignificant(line):
		case line[0] == '%':
			found = true
		default:
			return false
		}
	}
	return found
}

func insignificant(trimmedLine []byte) bool {
	return len(trimmedLine) == 0 || bytes.IndexByte([]byte("#\r\n"), trimmedLine[0]) >= 0
}

// withoutMarker returns the chunk without the line that begins it, if that is ---
// and nothing else but a comment.
func (c Chunk) withoutMarker() Chunk {
	line, rest, ended := bytes.Cut(c.Text, newline)
	afterMarker, ok := bytes.CutPrefix(line, []byte("---"))
	if !ok || !ended || !separated(afterMarker) || !insignificant(bytes.TrimLeft(afterMarker, " \t")) {
		return c
	}
	return Chunk{rest, c.Line + 1}
}

// blank tells whether the chunk holds nothing but space and comments, perhaps
// after a marker.
func (c Chunk) blank() bool {
	text := c.Text
	if rest, ok := bytes.CutPrefix(text, []byte("---")); ok && separated(rest) {
		text = rest
	}
	for line := range bytes.Lines(text) {
		if !insignificant(bytes.TrimLeft(line, " \t")) {
			return false
		}
	}
	return true
}

// content returns the text of the chunk from the first line that is neither blank
// nor a comment, without its indentation, and the number of that line.
func (c Chunk) content() (text []byte, line int) {
	at, line := 0, c.Line
	for l := range bytes.Lines(c.Text) {
		if trimmed := bytes.TrimLeft(l, " \t"); !insignificant(trimmed) {
			return c.Text[at+len(l)-len(trimmed):], line
		}
		at += len(l)
		line++
	}
	return nil, line
}

// A file with a NUL in its first binaryPrefix bytes is no text.
const binaryPrefix = 8000

const mark = "\xef\xbb\xbf" // the byte order mark in UTF-8

// normalise returns the text in UTF-8, without byte order marks, each line ended
// by a line feed (with a carriage return before it, if there was one). YAML sees
// no difference.
func normalise(data []byte) ([]byte, *Error) {
	data, err := toUTF8(data)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte(mark))
	if bytes.Contains(data, []byte(mark)) { // files put together
		data = bytes.ReplaceAll(data, []byte("\n"+mark), newline)
	}
	if i := loneReturn(data, 0); i >= 0 { // lines ended as on old Macintoshes
		data = bytes.Clone(data)
		for ; i >= 0; i = loneReturn(data, i+1) {
			data[i] = '\n'
		}
	}
	return data, nil
}

// loneReturn returns the place of the first carriage return, at or after i, that
// no line feed follows; -1 if there is none.
func loneReturn(data []byte, i int) int {
	for {
		n := bytes.IndexByte(data[i:], '\r')
		if n < 0 {
			return -1
		}
		if i += n; i+1 == len(data) || data[i+1] != '\n' {
			return i
		}
		i++
	}
}

func toUTF8(data []byte) ([]byte, *Error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(data, []byte("\x00\x00\xfe\xff")):
		return nil, &Error{Line: 1, Column: 1, Reason: "the file is UTF-32: save it as UTF-8"}
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return data, binaryError(data)
	}
	if len(data)%2 != 0 {
		return nil, &Error{Line: 1, Column: 1, Reason: "the file is UTF-16 with half a character at its end"}
	}
	out := make([]byte, 0, len(data)*3/4)
	for i := 2; i < len(data); i += 2 {
		r := rune(order.Uint16(data[i:]))
		if utf16.IsSurrogate(r) && i+3 < len(data) {
			if r2 := utf16.DecodeRune(r, rune(order.Uint16(data[i+2:]))); r2 != utf8.RuneError {
				r, i = r2, i+2
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out, binaryError(out)
}

func binaryError(data []byte) *Error {
	head := data[:min(len(data), binaryPrefix)]
	i := bytes.IndexByte(head, 0)
	if i < 0 {
		return nil
	}
	even := head[:len(head)&^1]
	if n := bytes.Count(even, []byte{0}); n*5 >= len(even)*2 && n*2 <= len(even)+2 {
		return &Error{Line: 1, Column: 1, Reason: "the file looks like UTF-16 without a byte order mark: save it as UTF-8"}
	}
	return &Error{Line: 1 + bytes.Count(data[:i], newline), Reason: "binary file"}
}

// unreadable returns an error when the chunk is not text.
func (c Chunk) unreadable() *Error {
	if i := bytes.IndexByte(c.Text, 0); i >= 0 {
		return c.errorAt(i, "a NUL byte: the file is damaged or binary")
	}
	if utf8.Valid(c.Text) {
		return nil
	}
	for i := 0; ; {
		r, size := utf8.DecodeRune(c.Text[i:])
		if r == utf8.RuneError && size == 1 {
			return c.errorAt(i, fmt.Sprintf("not UTF-8: byte 0x%02x", c.Text[i]))
		}
		i += size
	}
}

// tooBig tells whether the chunk would take too much memory as YAML.
func (c Chunk) tooBig() bool {
	separators := 0
	if len(c.Text) > maxSeparators {
		for _, b := range []byte("\n,:") {
			separators += bytes.Count(c.Text, []byte{b})
		}
	}
	return separators > maxSeparators
}

// errorAt returns an error at a byte of the chunk.
func (c Chunk) errorAt(i int, reason string) *Error {
	before := c.Text[:i]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	e := &Error{
		Line:   c.Line + bytes.Count(before, newline),
		Column: utf8.RuneCount(before[lineStart:]) + 1,
		Reason: reason,
	}
	e.APIVersion, e.Kind = sniff(c.Text)
	return e
}

// hasExoticLines tells whether the chunk has a character at which YAML, and no
// editor, ends a line.
func (c Chunk) hasExoticLines() bool {
	return bytes.Contains(c.Text, []byte("\u0085")) || bytes.Contains(c.Text, []byte("\u2028")) || bytes.Contains(c.Text, []byte("\u2029"))
}

// lines turns the positions of the YAML library into those of the file.
type lines struct {
	before int        // what is to be added to a line
	starts []lineFrom // where the library's lines begin; nil when it counts as editors do
}

type lineFrom struct{ line, column int }

func linesOf(c Chunk) lines {
	l := lines{before: c.Line - 1}
	if !c.hasExoticLines() {
		return l
	}
	at := lineFrom{line: c.Line}
	l.starts = append(l.starts, at)
	for _, r := range string(c.Text) {
		at.column++
		switch r {
		case '\n':
			at = lineFrom{line: at.line + 1}
			l.starts = append(l.starts, at)
		case '\u0085', '\u2028', '\u2029':
			l.starts = append(l.starts, at)
		}
	}
	return l
}

func (l lines) at(n *yaml.Node) (line, column int) {
	if i := n.Line - 1; i >= 0 && i < len(l.starts) {
		return l.starts[i].line, l.starts[i].column + n.Column
	}
	return l.before + n.Line, n.Column
}
