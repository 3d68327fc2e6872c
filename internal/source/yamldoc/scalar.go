package yamldoc

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

type scalarKind uint8

const (
	nullScalar scalarKind = iota
	boolScalar
	intScalar      // number is the value
	unsignedScalar // number is the value, too big for an intScalar
	floatScalar
	stringScalar
)

// A scalar is what kubectl takes a YAML scalar for.
type scalar struct {
	kind   scalarKind
	truth  bool
	number uint64 // of an intScalar: the bits of an int64
	float  float64
	text   string // of a stringScalar; also of an intScalar that is written as JSON writes it
}

// resolve returns the value of a scalar node, or what is wrong with it. kubectl's
// parser follows YAML 1.1, with a few liberties: the tables below are its own.
func resolve(n *yaml.Node) (s scalar, problem string) {
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.Tag
	} else if n.Style != 0 { // quoted, or a block
		return scalar{kind: stringScalar, text: n.Value}, ""
	}
	switch tag {
	case "":
		return plain(n.Value), ""
	case "!!null", "!!bool", "!!int", "!!float", "!!timestamp":
		s, ok := tagged(tag, n.Value)
		if !ok {
			return scalar{}, fmt.Sprintf("%q is no %s", clip(n.Value), tag)
		}
		return s, ""
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			return scalar{}, "the value of !!binary is not base64"
		}
		return scalar{kind: stringScalar, text: string(data)}, ""
	}
	return scalar{kind: stringScalar, text: n.Value}, ""
}

// tagged returns the value of a text that is marked with its type.
func tagged(tag, text string) (s scalar, ok bool) {
	if tag == "!!timestamp" {
		return scalar{kind: stringScalar, text: text}, isTimestamp(text)
	}
	s = plain(text)
	switch tag {
	case "!!null":
		return s, s.kind == nullScalar
	case "!!bool":
		return s, s.kind == boolScalar
	case "!!int":
		return s, s.kind == intScalar || s.kind == unsignedScalar
	}
	if s.kind == intScalar {
		return scalar{kind: floatScalar, float: float64(int64(s.number))}, true
	}
	return s, s.kind == floatScalar
}

func isTimestamp(s string) bool {
	for _, layout := range []string{
		"2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00", "2006-1-2 15:4:5.999999999", "2006-1-2",
	} {
		if _, err := time.Parse(layout, s); err == nil {
			return len(s) > 4 && s[4] == '-'
		}
	}
	return false
}

// plain returns the value of a text without quotes and without a tag.
func plain(text string) scalar {
	str := scalar{kind: stringScalar, text: text}
	if text == "" {
		return scalar{}
	}
	switch c := text[0]; {
	case c >= '0' && c <= '9', c == '+', c == '-':
		if n, ok := number(text); ok {
			return n
		}
		return special(text, str)
	case c == '.':
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return scalar{kind: floatScalar, float: f}
		}
		return special(text, str)
	case strings.IndexByte("yYnNtTfFoO~", c) >= 0:
		return special(text, str)
	}
	return str
}

// special returns the value of the words that are no strings.
func special(text string, otherwise scalar) scalar {
	if len(text) > 5 {
		return otherwise
	}
	switch text {
	case "~", "null", "Null", "NULL":
		return scalar{}
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return scalar{kind: boolScalar, truth: true}
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return scalar{kind: boolScalar}
	case ".nan", ".NaN", ".NAN":
		return scalar{kind: floatScalar, float: math.NaN()}
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return scalar{kind: floatScalar, float: math.Inf(1)}
	case "-.inf", "-.Inf", "-.INF":
		return scalar{kind: floatScalar, float: math.Inf(-1)}
	}
	return otherwise
}

// number returns the value of a text that begins with a digit or a sign, if it is
// a number: with underscores anywhere, in base 2, 8 (0o17, or 017) or 16, too.
func number(text string) (s scalar, ok bool) {
	if isJSONInt(text) {
		return scalar{kind: intScalar, text: text, number: uint64(parseJSONInt(text))}, true
	}
	for i := range len(text) {
		if strings.IndexByte("0123456789abcdefABCDEFxXoO_+-.", text[i]) < 0 {
			return scalar{}, false // 10m, 128Mi, 8080/tcp
		}
	}
	digits := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return scalar{kind: intScalar, number: uint64(i)}, true
	}
	if u, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return scalar{kind: unsignedScalar, number: u}, true
	}
	if isFloat(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return scalar{kind: floatScalar, float: f}, true
		}
	}
	if bits, found := strings.CutPrefix(digits, "0b"); found { // 0b-1: one of the liberties
		i, err := strconv.ParseInt(bits, 2, 64)
		return scalar{kind: intScalar, number: uint64(i)}, err == nil
	}
	return scalar{}, false
}

// isJSONInt tells whether a text is an integer as JSON writes it, and not a long one.
func isJSONInt(s string) bool {
	if s == "0" {
		return true
	}
	if s[0] == '-' {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func parseJSONInt(s string) int64 {
	i, _ := strconv.ParseInt(s, 10, 64)
	return i
}

// isFloat tells whether a text is a decimal number as YAML 1.1 writes it:
// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
func isFloat(s string) bool {
	s = trimSign(s)
	whole, s := trimDigits(s)
	fraction := 0
	if dot, found := strings.CutPrefix(s, "."); found {
		fraction, s = trimDigits(dot)
	}
	if whole == 0 && fraction == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	exponent, s := trimDigits(trimSign(s[1:]))
	return exponent > 0 && s == ""
}

func trimSign(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[1:]
	}
	return s
}

func trimDigits(s string) (n int, rest string) {
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n, s[n:]
}

func (s scalar) finite() bool {
	return s.kind != floatScalar || !math.IsNaN(s.float) && !math.IsInf(s.float, 0)
}

func (s scalar) appendJSON(b []byte) []byte {
	switch s.kind {
	case boolScalar:
		return strconv.AppendBool(b, s.truth)
	case intScalar:
		if s.text != "" {
			return append(b, s.text...)
		}
		return strconv.AppendInt(b, int64(s.number), 10)
	case unsignedScalar:
		return strconv.AppendUint(b, s.number, 10)
	case floatScalar:
		return appendFloat(b, s.float)
	case stringScalar:
		return appendString(b, s.text)
	}
	return append(b, "null"...)
}

// appendFloat writes a number without an exponent where JSON writers do.
func appendFloat(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// keyText returns the field name that kubectl makes of a key; false for those
// that it refuses.
func (s scalar) keyText() (string, bool) {
	switch s.kind {
	case boolScalar:
		return strconv.FormatBool(s.truth), true
	case intScalar:
		return strconv.FormatInt(int64(s.number), 10), true
	case floatScalar:
		switch text := strconv.FormatFloat(s.float, 'g', -1, 32); text {
		case "+Inf":
			return ".inf", true
		case "-Inf":
			return "-.inf", true
		case "NaN":
			return ".nan", true
		default:
			return text, true
		}
	case stringScalar:
		return s.text, true
	}
	return "", false
}

// appendString writes a string as JSON. Bytes that are no UTF-8, which only
// !!binary can make, become the replacement character.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[done:i]...), "\ufffd"...)
				done = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = appendEscape(append(b, s[done:i]...), c)
			done = i + 1
		}
		i++
	}
	return append(append(b, s[done:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// clip makes a text of the file fit for a message: short, and printable.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, s)
}
