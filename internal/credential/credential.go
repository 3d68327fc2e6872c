// Package credential recognises credentials in strings: passwords, tokens and
// private keys that stand in an environment variable, a ConfigMap, a command
// line or an annotation. It knows the public shapes of tokens, the names people
// give to settings that hold a credential, and the ways configuration is
// written inside a string (properties, YAML, JSON, INI, XML, shell).
//
// It never reports a value because it looks random alone: digests, identifiers
// and certificates do too. It reads nothing, decodes no archives, asks no
// service whether a token works, and what it returns never holds a value.
package credential

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// A Match is one credential found in a text. It never holds the value.
type Match struct {
	Kind       string // kebab-case: "aws-access-key-id", "private-key", "password"
	Title      string // the kind for people: "AWS access key id"
	Start, End int    // byte offsets in the text
	// Hash is the first 8 hex digits of the SHA-256 of the value: enough to see
	// that two places hold the same one. A weak password can be guessed from it.
	Hash       string
	Confidence Confidence
}

// An ArgMatch is a credential found in a command line.
type ArgMatch struct {
	Arg   int // index of the argument that Start and End refer to
	Match     // the credential
}

// Confidence says what a Match rests on.
type Confidence int

const (
	// Low: the name says it is a credential, but the value could as well be the
	// name of one, or a mode.
	Low Confidence = iota + 1
	// Medium: the name says so and the value could be one.
	Medium
	// High: the value has the shape of a known kind of credential.
	High
)

// String returns "low", "medium" or "high".
func (c Confidence) String() string {
	switch c {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	}
	return "none"
}

// Find returns the credentials in the value of a setting, ordered by Start and
// not overlapping. The name is that of an environment variable, a ConfigMap key,
// a flag or an annotation key; "" when there is none.
func Find(name, value string) []Match {
	s := scanner{text: value, name: name}
	s.scan()
	s.findNamed()
	return s.matches()
}

// findNamed judges the whole text by the name of its setting.
func (s *scanner) findNamed() {
	if !mayClaim(s.name) {
		return
	}
	if speaksOf(s.name, "pgpass") {
		s.findPgpass()
	}
	c, ok := claimOf(s.name)
	start, end := trim(s.text, 0, len(s.text))
	v := s.text[start:end]
	if !ok || v == "" || strings.Contains(v, "\n") {
		return
	}
	if q := v[0]; len(v) > 2 && (q == '"' || q == '\'') && v[len(v)-1] == q {
		start, end = start+1, end-1
	}
	s.addClaimed(c, start, end, standsAlone)
}

// findPgpass looks for the last field of host:port:database:user:password lines.
func (s *scanner) findPgpass() {
	for start := 0; start < len(s.text); {
		end := lineEnd(s.text, start)
		from, to := trim(s.text, start, end)
		fields := strings.SplitN(s.text[from:to], ":", 5)
		if len(fields) == 5 && !strings.HasPrefix(fields[0], "#") && !isPlaceholder(fields[4]) {
			s.add(kindPassword, to-len(fields[4]), to, Medium)
		}
		start = end + 1
	}
}

// Mask returns the text with every credential in it replaced by a mark that
// shows its kind and hash. The number of lines stays the same. A line that is
// nothing but base64 is masked too, since it may be the middle of a key.
//
// Context counts: give it the whole document where there is one, and cut lines
// out of the result.
func Mask(text string) string {
	for range mostRounds {
		masked, changed := maskOnce(text)
		if !changed {
			break
		}
		text = masked
	}
	return text
}

// mostRounds bounds how often Mask reads its own result again: where a
// credential was cut out, what stood beside it may come to light.
const mostRounds = 8

func maskOnce(text string) (masked string, changed bool) {
	s := scanner{text: text, wide: true}
	s.scan()
	s.findBase64Lines()
	found := s.matches()
	if len(found) == 0 {
		return text, false
	}
	var b strings.Builder
	b.Grow(len(text))
	at := 0
	for _, m := range found {
		b.WriteString(text[at:m.Start])
		b.WriteString(markStart + m.Kind + ":" + m.Hash + "]")
		for range strings.Count(text[m.Start:m.End], "\n") {
			b.WriteByte('\n')
		}
		at = m.End
	}
	b.WriteString(text[at:])
	return b.String(), true
}

// markStart begins every mark of Mask; a value that holds one is taken as masked.
const markStart = "[masked:"

// leastBase64Line is the length from which a line of base64 alone is masked:
// the lines of PEM have 64 characters, those of PGP at least 60.
const leastBase64Line = 48

func (s *scanner) findBase64Lines() {
	for start := 0; start < len(s.text); {
		end := lineEnd(s.text, start)
		from, to := trim(s.text, start, end)
		if to-from >= leastBase64Line && isAll(s.text[from:to], base64Chars) && !isAll(s.text[from:to], hexChars) {
			s.add(kindBase64, from, to, Low)
		}
		start = end + 1
	}
}

// add records text[start:end] as a credential.
func (s *scanner) add(k kind, start, end int, c Confidence) {
	s.found = append(s.found, Match{Kind: k.id, Title: k.title, Start: start, End: end, Confidence: c})
}

// matches orders what was found, makes one match of those that overlap, and adds
// the hashes. The surest names the kind, and among equals the one that was found
// last: what stands in a URL says more than that it stands there.
func (s *scanner) matches() []Match {
	if len(s.found) == 0 {
		return nil
	}
	slices.SortStableFunc(s.found, func(a, b Match) int { return a.Start - b.Start })
	out := s.found[:1]
	for _, m := range s.found[1:] {
		last := &out[len(out)-1]
		if m.Start >= last.End {
			out = append(out, m)
			continue
		}
		end := max(last.End, m.End)
		if m.Confidence >= last.Confidence {
			m.Start = last.Start
			*last = m
		}
		last.End = end
	}
	for i := range out {
		sum := sha256.Sum256([]byte(s.text[out[i].Start:out[i].End]))
		out[i].Hash = hex.EncodeToString(sum[:4])
	}
	return out
}

// trim narrows [start, end) by the white space at both ends.
func trim(text string, start, end int) (int, int) {
	for start < end && isSpace(text[start]) {
		start++
	}
	for end > start && isSpace(text[end-1]) {
		end--
	}
	return start, end
}

// lineEnd is the offset of the next line feed at or after i, or the length.
func lineEnd(text string, i int) int {
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(text)
}
