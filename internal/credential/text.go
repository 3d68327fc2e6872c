package credential

import "strings"

// A scanner goes through one text once, from left to right, and collects what it
// finds. Every step looks at a bounded number of bytes or moves past what it
// looked at, so that the time is linear in the text.
type scanner struct {
	text  string
	name  string // of the setting, "" when there is none
	found []Match
	wide  bool // for Mask: rather too much than too little

	runStart, runEnd int // the last run of bytes without white space that was measured
}

// scan looks for known shapes, and for key=value in all its spellings.
func (s *scanner) scan() {
	pairsFrom := 0 // no pair is looked for before it
	for i := 0; i < len(s.text); i++ {
		role := byteRoles[s.text[i]]
		if role == 0 {
			continue
		}
		if role&anchors != 0 {
			i = max(i, s.findAnchored(i)-1)
			continue
		}
		if role&startsShape != 0 && s.atBoundary(i) {
			if end := s.findShape(i); end > i {
				i = end - 1
				continue
			}
		}
		if role&startsStem != 0 && i >= pairsFrom && stemAt(s.text, i) {
			pairsFrom = s.findPair(i)
		}
	}
}

type role uint8

const (
	startsShape role = 1 << iota
	startsStem
	anchors
)

// byteRoles says for every byte what may start there; 0 for most.
var byteRoles = indexRoles()

func indexRoles() *[256]role {
	var roles [256]role
	for b := range roles {
		if len(shapesByFirst[b]) > 0 {
			roles[b] |= startsShape
		}
		if stemStarts[b] {
			roles[b] |= startsStem
		}
	}
	for _, b := range "eLB" {
		roles[b] |= startsShape
	}
	for _, b := range "-:@$.~" {
		roles[b] = anchors
	}
	return &roles
}

// atBoundary reports whether a token may start at i: not within a word, unless
// the letter before belongs to an escape such as \n.
func (s *scanner) atBoundary(i int) bool {
	if i == 0 || !base64URLChars[s.text[i-1]] {
		return true
	}
	return i > 1 && s.text[i-2] == '\\' && strings.IndexByte("nrt", s.text[i-1]) >= 0
}

// A key is an identifier in a text that may be the name of a setting.
type key struct{ start, end int }

const longestKey = 128

// keyAround returns the identifier that the byte at i is part of.
func (s *scanner) keyAround(i int) key {
	start := i
	for start > 0 && i-start < longestKey && dottedChars[s.text[start-1]] {
		start--
	}
	if start > 1 && start < i && s.text[start-1] == '\\' && strings.IndexByte("nrt", s.text[start]) >= 0 {
		start++
	}
	end := run(s.text, i, dottedChars, longestKey)
	for end > i && (s.text[end-1] == '.' || s.text[end-1] == '-') {
		end--
	}
	return key{start, end}
}

// findPair judges the key around the stem at i and the value that belongs to it.
// It returns where to look for the next key.
func (s *scanner) findPair(i int) int {
	k := s.keyAround(i)
	c, ok := claimOf(s.text[k.start:k.end])
	if !ok {
		return k.end
	}
	v, ok := s.valueOf(k, c)
	if ok && v.end > v.start && s.addClaimed(c, v.start, v.end, v.context) {
		return v.end
	}
	return k.end
}

// A span is where a value stands.
type span struct {
	start, end int
	context
}

// byteAt is the byte at i, 0 outside the text.
func (s *scanner) byteAt(i int) byte {
	if i < 0 || i >= len(s.text) {
		return 0
	}
	return s.text[i]
}

// valueOf finds the value that is written behind a key.
func (s *scanner) valueOf(k key, c claim) (span, bool) {
	before, p := s.byteAt(k.start-1), k.end
	if before == '{' && s.byteAt(k.start-2) == '$' {
		return s.defaultOf(p)
	}
	quoted := isQuote(before)
	if quoted {
		p = s.skipQuote(p)
	}
	if s.byteAt(p) == '>' && (quoted || before == '<') {
		return s.elementText(p + 1)
	}
	if v, ok := s.valueOfNamed(k, p); ok {
		return v, true
	}
	if s.byteAt(p) == ']' {
		p++
	}
	sepStart := s.skipBlank(p)
	sep, p, ok := s.separator(sepStart)
	if !ok {
		return s.wordAfter(k, c)
	}
	valueStart := s.skipBlank(p)
	v, ok := s.valueAt(valueStart, sep)
	if !ok {
		return span{}, false
	}
	switch {
	case v.context == bare && (before == '$' || sep == 'a'): // the code of a program
		return span{}, false
	case sep == ':' && valueStart == p && v.context == bare && !quoted:
		return v, c.isPassword && !c.isVague && s.startsLine(k.start) // else it may be a:b:c
	case sep == ':' && v.context == bare && !quoted && s.isProse(v.end):
		_, v.end = trim(s.text, v.start, lineEnd(s.text, v.end))
		v.context = inQuotes
		return v, s.wide && c.isPassword
	}
	return v, true
}

// defaultOf is the value of ${NAME:-value} or ${NAME:value}.
func (s *scanner) defaultOf(p int) (span, bool) {
	switch s.byteAt(p) {
	case ':':
		p++
		if b := s.byteAt(p); b == '-' || b == '=' {
			p++
		} else if b == '?' || b == '+' {
			return span{}, false
		}
	case '-', '=':
		p++
	default:
		return span{}, false
	}
	for end := p; end < min(len(s.text), p+longestJudged); end++ {
		switch s.text[end] {
		case '}':
			return span{p, end, bare}, true
		case '\n', '{', '$':
			return span{}, false
		}
	}
	return span{}, false
}

// elementText is the text of an XML element from p on.
func (s *scanner) elementText(p int) (span, bool) {
	for end := p; end < min(len(s.text), p+longestJudged); end++ {
		if s.text[end] == '<' {
			start, end := trim(s.text, p, end)
			return span{start, end, inQuotes}, end > start
		}
	}
	return span{}, false
}

// valueOfNamed is the value of a pair that is written as two: name: KEY and
// value: …, or <name>KEY</name><value>…. The key ends at p, its quotes included.
func (s *scanner) valueOfNamed(k key, p int) (span, bool) {
	const near = 160
	back := k.start
	for back > 0 && k.start-back < 8 && strings.IndexByte(" \t\"'\\:=>", s.text[back-1]) >= 0 {
		back--
	}
	if back == k.start {
		return span{}, false
	}
	label := s.text[max(0, back-4):back]
	if !strings.EqualFold(label, "name") && !strings.EqualFold(strings.TrimLeft(label, "<\" \t{-"), "key") {
		return span{}, false
	}
	for q, end := p, min(len(s.text), p+near); q < end; q++ {
		b := s.text[q]
		if !alnumChars[b] {
			continue
		}
		word := run(s.text, q, wordChars, 16)
		switch strings.ToLower(s.text[q:word]) {
		case "value":
			return s.valueAfterLabel(word)
		case "name", "n", "r", "property", "string": // the rest of </name>, or of \n
			q = word
		default:
			return span{}, false
		}
	}
	return span{}, false
}

// valueAfterLabel is the value behind the word "value" that ends at p.
func (s *scanner) valueAfterLabel(p int) (span, bool) {
	if s.byteAt(p) == '>' {
		return s.elementText(p + 1)
	}
	sep, p, ok := s.separator(s.skipBlank(s.skipQuote(p)))
	if !ok {
		return span{}, false
	}
	return s.valueAt(s.skipBlank(p), sep)
}

// separator reads what stands between a key and its value at p: '=', ':', or 'a'
// for the := of programs.
func (s *scanner) separator(p int) (sep byte, end int, ok bool) {
	b, next := s.byteAt(p), s.byteAt(p+1)
	switch {
	case b == '=' && next == '>':
		return '=', p + 2, true
	case b == '=' && next != '=' && next != '~':
		return '=', p + 1, true
	case b == ':' && next == '=':
		return 'a', p + 2, true
	case b == ':' && next != ':':
		return ':', p + 1, true
	}
	return 0, p, false
}

// wordAfter is the value of directives and flags that have none but white space
// between key and value: requirepass x, --password x, PASSWORD 'x'.
func (s *scanner) wordAfter(k key, c claim) (span, bool) {
	p := s.skipBlank(k.end)
	if p == k.end || p == len(s.text) {
		return span{}, false
	}
	v, ok := s.valueAt(p, '=')
	if !ok {
		return span{}, false
	}
	word := strings.ToLower(s.text[k.start:k.end])
	switch {
	case word == "requirepass" || word == "masterauth":
		return v, s.startsLine(k.start)
	case word == "password" && isNetrc(s.text[max(0, k.start-160):k.start]):
		return v, true
	case word == "password" && s.text[p] == '\'': // SQL
		return v, true
	case strings.HasPrefix(word, "--"):
		return v, v.context == inQuotes || isOpaque(s.text[v.start:min(v.end, v.start+longestJudged)])
	}
	return span{}, false
}

// isNetrc reports whether text ends like a line of .netrc before its password.
func isNetrc(text string) bool {
	return strings.Contains(text, "login ") && strings.Contains(text, "machine ")
}

// valueAt reads the value that starts at p.
func (s *scanner) valueAt(p int, sep byte) (span, bool) {
	if q := s.skipQuote(p); q > p {
		return s.quotedValue(p, q)
	}
	if sep == ':' && (s.byteAt(p) == '|' || s.byteAt(p) == '>') {
		return s.blockValue(p)
	}
	switch s.byteAt(p) {
	case 0, '\n', '\r', '#', '{', '[', ',', ';', ')', '}', '&', '`':
		return span{}, false
	case '*', '!':
		if sep == ':' { // an alias or a tag of YAML
			return span{}, false
		}
	}
	end := s.bareEnd(p)
	if v := s.text[p:min(end, p+longestJudged)]; isCall(v) {
		return span{}, false
	}
	return span{p, end, bare}, end > p
}

// quotedValue reads what stands between the quote at p and its like, on one
// line; the text starts at q.
func (s *scanner) quotedValue(p, q int) (span, bool) {
	quote, escaped := s.text[q-1], q-p == 2
	for end := q; end < len(s.text) && s.text[end] != '\n'; end++ {
		switch {
		case s.text[end] == '\\' && !escaped:
			end++
		case s.text[end] == '\\' && s.byteAt(end+1) == quote:
			return span{q, end, inQuotes}, true
		case s.text[end] == quote && !escaped:
			return span{q, end, inQuotes}, true
		}
	}
	return span{}, false
}

// blockValue reads the first line of a YAML block scalar whose head is at p.
func (s *scanner) blockValue(p int) (span, bool) {
	head := lineEnd(s.text, p)
	if head == len(s.text) || strings.Trim(s.text[p:head], "|>+- \t\r0123456789") != "" {
		return span{}, false
	}
	start, end := trim(s.text, head+1, lineEnd(s.text, head+1))
	return span{start, end, bare}, end > start
}

// bareEnd is where a value without quotes ends that starts at p: at white space,
// at a quote, or where the next pair begins.
func (s *scanner) bareEnd(p int) int {
	if p < s.runStart || p >= s.runEnd {
		s.runStart, s.runEnd = p, p
		for s.runEnd < len(s.text) && !endsBare(s.text[s.runEnd]) {
			s.runEnd++
		}
	}
	end := s.runEnd
	for q := p; q < min(end, p+longestJudged); q++ {
		switch s.text[q] {
		case ';', ',', '&':
			if q+1 == end && q+1-p > 1 || s.pairFollows(q+1) {
				return q
			}
		case '\\':
			if b := s.byteAt(q + 1); b == 'n' || b == 'r' || b == '"' {
				return q
			}
		}
	}
	if open := strings.IndexByte(s.text[p:min(end, p+longestJudged)], '('); open < 0 {
		for end > p+1 && strings.IndexByte(")}],;", s.text[end-1]) >= 0 {
			end--
		}
	}
	return end
}

func endsBare(b byte) bool {
	return b <= ' ' || b == '"' || b == '\'' || b == '<' || b == '`'
}

// pairFollows reports whether key= or key: stands at p.
func (s *scanner) pairFollows(p int) bool {
	p = s.skipBlank(p)
	p = s.skipQuote(p)
	end := run(s.text, p, keyChars, 48)
	b := s.byteAt(end)
	return end > p && (b == '=' || b == ':')
}

var keyChars = chars("-0-9A-Za-z_. ")

// isCall reports whether v begins like an expression of a program: os.getenv(…,
// options[…, Settings{….
func isCall(v string) bool {
	n := strings.IndexAny(v, "([{")
	return n > 0 && isAll(v[:n], dottedChars) && !digitChars[v[0]]
}

// isProse reports whether more words follow on the line from p on.
func (s *scanner) isProse(p int) bool {
	p = s.skipBlank(p)
	b := s.byteAt(p)
	return alnumChars[b] || b == '(' || b >= 0x80
}

// startsLine reports whether nothing but indentation and a dash is before p.
func (s *scanner) startsLine(p int) bool {
	for n := 0; p > 0 && n < 64; n++ {
		p--
		switch s.text[p] {
		case '\n':
			return true
		case ' ', '\t', '-', '"', '\'':
		default:
			return false
		}
	}
	return p == 0
}

// skipBlank moves over at most 64 spaces and tabs.
func (s *scanner) skipBlank(p int) int {
	for n := 0; n < 64 && (s.byteAt(p) == ' ' || s.byteAt(p) == '\t'); n++ {
		p++
	}
	return p
}

// skipQuote moves over a quote, or an escaped one.
func (s *scanner) skipQuote(p int) int {
	switch {
	case isQuote(s.byteAt(p)):
		return p + 1
	case s.byteAt(p) == '\\' && isQuote(s.byteAt(p+1)):
		return p + 2
	}
	return p
}

func isQuote(b byte) bool { return b == '"' || b == '\'' }
