package yamldoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// JSON is read as JSON, since kubectl does so and YAML is not quite a superset
// of it: an emoji written as two \u escapes is an error there, a key longer than
// a thousand characters too.

// startsLikeJSON tells whether the first value of a chunk may be JSON.
func startsLikeJSON(text []byte) bool {
	text = trimSpace(text)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// meantAsJSON tells whether a value that is neither JSON nor YAML was meant to be
// the former: it is an object whose first key is quoted, or a list of such.
func meantAsJSON(text []byte) bool {
	text = trimSpace(text)
	for len(text) > 0 && text[0] == '[' {
		text = trimSpace(text[1:])
	}
	return len(text) > 0 && text[0] == '{' && bytes.HasPrefix(trimSpace(text[1:]), []byte(`"`))
}

func trimSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// decodeJSON yields the values of a stream of JSON. It has not read the chunk, and
// has yielded nothing, when that is to be read as YAML. It returns false for more
// when no more is wanted.
func (d *Decoder) decodeJSON(c Chunk, yield func(Document, *Error) bool) (read, more bool) {
	s := scanner{d: d, text: c.Text, line: c.Line, column: 1}
	s.space()
	for first := true; s.pos < len(s.text); first = false {
		d.walk = walk{fields: d.fields[:0], keys: d.keys[:0], aliases: d.aliases[:0]}
		doc, err := s.document()
		s.space()
		if err == nil && s.pos < len(s.text) && s.text[s.pos] != '{' && s.text[s.pos] != '[' {
			err = s.errorf("text after the end of a JSON value")
		}
		if err != nil {
			d.outliner.Cut(0)
			if first && (!meantAsJSON(c.Text) || isYAML(c)) {
				return false, true
			}
			if first {
				err = c.orTemplate(err)
			}
			doc = Document{}
			s.skipToNext()
		}
		if !yield(doc, err) {
			return true, false
		}
	}
	return true, true
}

// isYAML tells whether a chunk that is no JSON can be read as YAML.
func isYAML(c Chunk) bool {
	if c.tooBig() {
		return false
	}
	root, err := parse(c.Text)
	return err == nil && root != nil
}

// A scanner reads JSON values and outlines them.
type scanner struct {
	d    *Decoder
	text []byte
	pos  int

	counted      int // the place whose position is known: all calls of at go forward
	line, column int
}

type jsonKey struct {
	key          evidence.Key
	line, column int
}

func (s *scanner) document() (Document, *Error) {
	start := s.pos
	line, column := s.at(start)
	if err := s.value(line, column, 0); err != nil {
		return Document{}, err
	}
	return Document{
		JSON:       s.text[start:s.pos:s.pos],
		Outline:    s.d.outliner.Outline(s.d.file),
		Line:       line,
		APIVersion: s.d.apiVersion,
		Kind:       s.d.kind,
	}, nil
}

// skipToNext goes to the next place where a value may begin: an object at the
// beginning of a line.
func (s *scanner) skipToNext() {
	from := s.pos - 1 // a value that is wrong but whole may end right before it
	i := bytes.Index(s.text[from:], []byte("\n{"))
	if i < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos = from + i + 1
}

// at returns the position of a place that is not before the last one asked for.
func (s *scanner) at(pos int) (line, column int) {
	between := s.text[s.counted:pos]
	if n := bytes.Count(between, newline); n > 0 {
		s.line += n
		s.column = 1
		between = between[bytes.LastIndexByte(between, '\n')+1:]
	}
	s.column += utf8.RuneCount(between)
	s.counted = pos
	return s.line, s.column
}

func (s *scanner) errorf(format string, args ...any) *Error {
	line, column := s.at(max(s.pos, s.counted))
	return &Error{Line: line, Column: column, Reason: fmt.Sprintf(format, args...)}
}

// unexpected is the error that something else stands at the place, or nothing.
func (s *scanner) unexpected(wanted string) *Error {
	if s.pos >= len(s.text) {
		s.pos = len(bytes.TrimRight(s.text, " \t\r\n"))
		return s.errorf("the JSON ends where %s should be", wanted)
	}
	r, _ := utf8.DecodeRune(s.text[s.pos:])
	return s.errorf("%q stands where %s should be", r, wanted)
}

func (s *scanner) space() {
	for s.pos < len(s.text) && (s.text[s.pos] == ' ' || s.text[s.pos] == '\n' || s.text[s.pos] == '\r' || s.text[s.pos] == '\t') {
		s.pos++
	}
}

// next skips space and returns the byte after it, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.pos == len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

// value reads a value, outlined under a key; line and column are where the key
// stands, at which a list or an object is said to stand too.
func (s *scanner) value(line, column int, key evidence.Key) *Error {
	switch c := s.next(); c {
	case '{', '[':
		if s.d.depth++; s.d.depth > maxDepth {
			return s.errorf("nested deeper than %d levels", maxDepth)
		}
		node := s.d.outliner.Open(key, line, column, c == '[')
		inside := s.list
		if c == '{' {
			inside = s.object
		}
		if err := inside(); err != nil {
			return err
		}
		s.d.outliner.Close(node)
		s.d.depth--
		return nil
	}
	line, column = s.at(s.pos)
	s.d.outliner.Close(s.d.outliner.Open(key, line, column, false))
	return s.scalar()
}

func (s *scanner) scalar() *Error {
	switch c := s.next(); {
	case c == '"':
		_, err := s.string()
		return err
	case c == '-', c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.text[s.pos:], []byte(word)) {
			s.pos += len(word)
			return nil
		}
	}
	return s.unexpected("a value")
}

func (s *scanner) list() *Error {
	s.pos++
	if s.next() == ']' {
		s.pos++
		return nil
	}
	for {
		s.space()
		line, column := s.at(s.pos)
		if err := s.value(line, column, 0); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.unexpected(`"," or "]"`)
		}
	}
}

func (s *scanner) object() *Error {
	s.pos++
	if s.next() == '}' {
		s.pos++
		return nil
	}
	first := len(s.d.keys)
	for {
		if err := s.member(); err != nil {
			return err
		}
		switch s.next() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			err := s.d.twice(s.d.keys[first:])
			s.d.keys = s.d.keys[:first]
			return err
		default:
			return s.unexpected(`"," or "}"`)
		}
	}
}

func (s *scanner) member() *Error {
	if s.next() != '"' {
		return s.unexpected("a quoted key")
	}
	line, column := s.at(s.pos)
	name, err := s.string()
	if err != nil {
		return err
	}
	if s.next() != ':' {
		return s.unexpected(`":"`)
	}
	s.pos++
	k := jsonKey{s.d.outliner.Key(unquote(name)), line, column}
	s.d.keys = append(s.d.keys, k)
	s.space()
	start := s.pos
	if err := s.value(line, column, k.key); err != nil {
		return err
	}
	if s.d.depth == 1 {
		s.d.note(s.d.outliner.Name(k.key), s.text[start:s.pos])
	}
	return nil
}

// twice returns an error if a key is among the keys of an object twice.
func (d *Decoder) twice(keys []jsonKey) *Error {
	d.mappings++
	for i, k := range keys {
		seen := d.see(k.key)
		if seen.mapping == d.mappings {
			return &Error{Line: k.line, Column: k.column, Reason: alreadyThere(d.outliner.Name(k.key), keys[seen.field].line)}
		}
		*seen = seenKey{d.mappings, int32(i)}
	}
	return nil
}

// string reads a string and returns it as it is written, quotes included.
func (s *scanner) string() ([]byte, *Error) {
	start := s.pos
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[start:s.pos], nil
		case c < ' ':
			return nil, s.errorf("a line end or a control character inside a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
	s.pos = start
	return nil, s.errorf("the string that begins here does not end")
}

// escape reads an escape sequence but for its last byte.
func (s *scanner) escape() *Error {
	rest := s.text[s.pos+1:]
	if len(rest) > 0 && bytes.IndexByte([]byte(`"\/bfnrt`), rest[0]) >= 0 {
		s.pos++
		return nil
	}
	if len(rest) < 5 || rest[0] != 'u' {
		return s.errorf(`an unknown escape: a backslash is written \\`)
	}
	for _, c := range rest[1:5] {
		if bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c) < 0 {
			return s.errorf(`\u wants four hexadecimal digits`)
		}
	}
	s.pos += 5
	return nil
}

func (s *scanner) number() *Error {
	start := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	zero := s.pos < len(s.text) && s.text[s.pos] == '0'
	if n := s.digits(); n == 0 || zero && n > 1 {
		s.pos = start
		return s.errorf("not a number as JSON writes it")
	}
	if s.pos < len(s.text) && s.text[s.pos] == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.unexpected("a digit")
		}
	}
	if s.pos < len(s.text) && (s.text[s.pos] == 'e' || s.text[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.text) && (s.text[s.pos] == '+' || s.text[s.pos] == '-') {
			s.pos++
		}
		if s.digits() == 0 {
			return s.unexpected("a digit")
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// unquote returns the value of a well-formed JSON string.
func unquote(quoted []byte) string {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var v string
	if err := json.Unmarshal(quoted, &v); err != nil {
		return string(quoted)
	}
	return v
}
