package credential

import (
	"math"
	"strconv"
	"strings"
)

// A context says where a value stands, and so how much of it can be believed.
type context int

const (
	standsAlone context = iota // the whole value of a setting
	inQuotes                   // a quoted value within a text
	bare                       // a value within a text, without quotes
)

// longestJudged bounds how much of a value is looked at.
const longestJudged = 512

// accepts says how sure it is that v is the credential that the name claims; 0
// means it is none.
func (c claim) accepts(v string, where context) Confidence {
	v = v[:min(len(v), longestJudged)]
	if c.isEncoded {
		if isUserAndPassword(v) {
			return High
		}
		return 0
	}
	if isPlaceholder(v) || isMode(v) || isReference(v) || isPath(v) || c.isNamedLike(v, where) {
		return 0
	}
	if strings.ContainsAny(v, " \t\n") && (where != standsAlone || !c.isPassword) {
		return 0
	}
	switch {
	case c.isVague:
		if isRandom(v) {
			return Medium
		}
	case c.isPassword:
		if len(v) >= 3 && (len(v) >= 4 || !isAll(v, digitChars)) && !(where != standsAlone && isCapitalised(v)) {
			return Medium
		}
	case isOpaque(v):
		return Medium
	case c.isQualified && isWeakSecret(v):
		return Low
	}
	return 0
}

// addClaimed records text[start:end] if it is what the claim says.
func (s *scanner) addClaimed(c claim, start, end int, where context) bool {
	v := s.text[start:end]
	sure := c.accepts(v, where)
	if s.wide && sure == 0 && c.isPassword && !c.isVague && where == inQuotes && strings.Contains(v, " ") {
		sure = c.accepts(v, standsAlone)
	}
	if sure == 0 {
		return false
	}
	k := c.kind
	if k != kindPassword && len(v) == 40 && isAll(v, base64Chars) && speaksOf(c.name, "aws") {
		k, sure = kindAWSSecret, High
	}
	s.add(k, start, end, sure)
	return true
}

// isPlaceholder reports whether v stands for a value that comes from elsewhere:
// a variable, a template, a hint to the reader, a mask.
func isPlaceholder(v string) bool {
	if v == "" || strings.Contains(v, "${") || strings.Contains(v, "$(") || strings.Contains(v, "{{") ||
		strings.Contains(v, "#{") || strings.Contains(v, "<%") || strings.Contains(v, markStart) {
		return true
	}
	first, last := v[0], v[len(v)-1]
	switch {
	case first == '<' && last == '>', first == '[' && last == ']', first == '{', first == '(' && last == ')',
		first == '%' && last == '%' && len(v) > 1, first == '@' && last == '@' && len(v) > 1,
		strings.HasPrefix(v, "__") && strings.HasSuffix(v, "__"), strings.HasPrefix(v, "%("),
		strings.HasPrefix(v, "..."), strings.HasSuffix(v, "..."), strings.Contains(v, "…"),
		strings.HasPrefix(v, "["), first == '\\':
		return true
	case first == '$' && len(v) > 1 && isAll(v[1:], wordChars) && !digitChars[v[1]]:
		return true
	}
	if repeats(v) {
		return true
	}
	low := strings.ToLower(v)
	for _, hint := range hints {
		if strings.Contains(low, hint) {
			return true
		}
	}
	if end := run(low, 0, lowerChars, len(low)); end == len(low) || strings.IndexByte("-_ .:", low[end]) >= 0 {
		return hintWords[low[:end]]
	}
	return strings.HasPrefix(low, "xxx")
}

var (
	// hints make a value a placeholder wherever they stand in it.
	hints = []string{"placeholder", "redacted", "replaceme", "replace-me", "replace_me", "-here", "_here",
		"yourpass", "yoursecret", "yourtoken", "yourkey", "yourapi"}
	// hintWords do where they are the first word of it.
	hintWords = set("your insert enter replace fill todo fixme example sample removed hidden masked xxx")
)

// repeats reports whether v is one byte over and over: ****, xxxx, 0000.
func repeats(v string) bool {
	return len(v) > 1 && strings.Count(v, v[:1]) == len(v)
}

var modes = set(`true false yes no on off none null nil undefined n/a tbd default required optional enabled
	disabled enable disable always never auto automatic prompt ask plain basic bearer md5 scram-sha-256 sha256
	scram-sha-512 vault file env environment string text secret-file oauth oauth2 jwt opaque inherit
	authorization cookie header query body in-memory memory nopasswd unset empty required! any`)

func isMode(v string) bool {
	return len(v) < 20 && modes[strings.ToLower(v)] || len(v) <= 10 && strings.HasPrefix(v, "0x") && isAll(v[2:], hexChars)
}

var referencePrefixes = []string{"vault:", "ref+", "op://", "ssm:", "arn:", "projects/", "secretref:", "file:", "env:",
	"env.", "process.env", "os.environ", "kms:", "sops:", "secret://", "enc[", "sha256:", "sha384-", "sha512-", "sha256-",
	"ssh-rsa", "ssh-ed25519", "ecdsa-sha2", "age1", "data:", "system:", "$ansible_vault", "-----begin", "ls0tls1crudjti"}

// isReference reports whether v says where the credential is, or is the public
// or encrypted part of one.
func isReference(v string) bool {
	if strings.Contains(v, "://") {
		return true
	}
	for _, p := range referencePrefixes {
		if len(v) >= len(p) && strings.EqualFold(v[:len(p)], p) {
			return true
		}
	}
	return false
}

// isPath reports whether v is the path of a file. Base64 may start with a slash
// too, so the parts have to read like words.
func isPath(v string) bool {
	rooted := false
	for _, p := range []string{"/", "./", "../", "~/", "@/", `C:\`, "%"} {
		rooted = rooted || strings.HasPrefix(v, p)
	}
	return rooted && strings.ContainsAny(v, `/\`) && !isRandom(v) && !isOpaque(strings.TrimLeft(v, "./~@"))
}

// isNamedLike reports whether v is itself the name of such a setting: the key of
// a Secret, an environment variable, a field in a program.
func (c claim) isNamedLike(v string, where context) bool {
	if len(v) > 100 || !isAll(v, dottedChars) {
		return false
	}
	words := split(v)
	if len(words) < 2 {
		return !c.isPassword && (strings.EqualFold(v, c.name) || secretKeys[strings.ToLower(v)])
	}
	if _, named := claimOf(v); !named {
		return false
	}
	if c.isPassword {
		return strings.Contains(v, ".") && where == bare || isAll(v, constantChars) && strings.Contains(v, "_")
	}
	return !isOpaque(v)
}

// secretKeys are what people call the keys of a Secret.
var secretKeys = set("password passwd token secret apikey accesskey secretkey")

var (
	constantChars = chars("A-Z0-9_")
	lowerChars    = chars("a-z")
)

// isCapitalised reports whether v is a word like "Password": a label.
func isCapitalised(v string) bool {
	return isUpper(v[0]) && isAll(v[1:], lowerChars)
}

// isWeakSecret reports whether v is a word that someone thought up as a secret.
// Words with dashes are rather the name of a Secret.
func isWeakSecret(v string) bool {
	low := strings.ToLower(v)
	if strings.HasPrefix(low, "change") || strings.HasPrefix(low, "super") && strings.Contains(low, "secret") {
		return true
	}
	return len(v) >= 6 && isAll(v, alnumChars) && !isAll(v, digitChars)
}

// isOpaque reports whether v looks made by a machine rather than written by a
// person: some part of it reads neither as a word nor as a number.
func isOpaque(v string) bool {
	if len(v) < 8 || !isPrintable(v) || isDummy(v) {
		return false
	}
	odd, oddLen, words := 0, 0, 0
	eachPart(v, func(part string, last bool) {
		switch {
		case isWord(part):
			if len(part) >= 3 && !digitChars[part[0]] {
				words++
			}
		case last && len(part) <= 10 && words > 0 && isAll(part, lowerAlnum) && odd == 0:
			// the suffix of a generated object name: app-config-5h2f8k9m2t
		default:
			odd++
			oddLen += len(part)
		}
	})
	return odd > 0 && oddLen >= 6
}

// isRandom reports whether v is long and random enough to be a credential even
// where the name is vague.
func isRandom(v string) bool {
	if !isOpaque(v) {
		return false
	}
	longest := 0
	eachPart(v, func(part string, _ bool) {
		if !isWord(part) {
			longest = max(longest, len(part))
		}
	})
	return longest >= 12 && entropy(v) >= 3
}

// eachPart calls visit for every run of letters and digits in v.
func eachPart(v string, visit func(part string, last bool)) {
	for i := 0; i < len(v); {
		if !alnumChars[v[i]] {
			i++
			continue
		}
		end := run(v, i, alnumChars, len(v))
		visit(v[i:end], end == len(v))
		i = end
	}
}

// isWord reports whether a run of letters and digits reads as words or as a
// number: "secret", "someName", "v2", "oauth2", "30s", "8080".
func isWord(part string) bool {
	if len(part) <= 3 || isAll(part, digitChars) {
		return true
	}
	letters := strings.TrimRight(part, "0123456789")
	if digits := len(part) - len(letters); digits > 4 || digits > len(letters) || len(letters) > 24 {
		return false
	}
	humps := 1
	for i := range len(letters) {
		if digitChars[letters[i]] {
			return false
		}
		if i > 0 && isUpper(letters[i]) && !isUpper(letters[i-1]) {
			humps++
		}
	}
	return len(letters) >= 3*humps
}

// isDummy reports whether the random part of a token is made up for an example.
func isDummy(v string) bool {
	var seen charset
	distinct := 0
	for i := range len(v) {
		if !seen[v[i]] {
			seen[v[i]] = true
			distinct++
		}
	}
	return distinct < 5 || strings.Contains(v, "EXAMPLE") || strings.Contains(v, "xxxxx") || strings.Contains(v, "XXXXX") ||
		strings.Contains(v, "....") || strings.Contains(v, "${") || strings.Contains(v, markStart)
}

// entropy is Shannon's, in bits per byte.
func entropy(v string) float64 {
	var count [256]int
	for i := range len(v) {
		count[v[i]]++
	}
	var bits float64
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(v))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

func isAll(v string, c *charset) bool {
	for i := range len(v) {
		if !c[v[i]] {
			return false
		}
	}
	return true
}

func hasAny(v string, c *charset) bool {
	for i := range len(v) {
		if c[v[i]] {
			return true
		}
	}
	return false
}

func isPrintable(v string) bool {
	for _, r := range v {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
