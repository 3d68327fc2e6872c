package gitops

import (
	"fmt"
	"regexp"
	"strings"
)

// A Listing says which files of a folder of manifests are read.
type Listing struct {
	// Recurse takes in the folders below.
	Recurse bool
	// Overlays has folders with a kustomization built where they are met, instead
	// of reading their files.
	Overlays bool
	// Include and Exclude are regular expressions over the path below the folder;
	// "" for none.
	Include, Exclude string
}

// Matcher returns a function that reports whether a file is read, by its
// slash-separated path below the folder.
func (l Listing) Matcher() func(rel string) bool {
	include, exclude := compiled(l.Include), compiled(l.Exclude)
	return func(rel string) bool {
		switch {
		case !l.Recurse && strings.Contains(rel, "/"):
			return false
		case exclude != nil && exclude.MatchString(rel):
			return false
		}
		return include == nil || include.MatchString(rel)
	}
}

func compiled(expr string) *regexp.Regexp {
	if expr == "" {
		return nil
	}
	return regexp.MustCompile(expr) // glob tried it
}

// glob turns a pattern of Argo CD into a regular expression: * and ** are any
// text, folders included, ? is one character, [abc] and [!abc] are sets, {a,b}
// are alternatives.
func glob(pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	open := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			b.WriteString(`.*`)
		case c == '?':
			b.WriteByte('.')
		case c == '{':
			open++
			b.WriteString(`(?:`)
		case c == '}' && open > 0:
			open--
			b.WriteByte(')')
		case c == ',' && open > 0:
			b.WriteByte('|')
		case c == '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 2 {
				return "", fmt.Errorf("pattern %q cannot be read", pattern)
			}
			set := strings.ReplaceAll(pattern[i+1:i+end], `\`, `\\`)
			if rest, not := strings.CutPrefix(set, "!"); not {
				set = "^" + rest
			}
			b.WriteString("[" + strings.ReplaceAll(set, "[", `\[`) + "]")
			i += end
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	b.WriteString(`\z`)
	if _, err := regexp.Compile(b.String()); err != nil {
		return "", fmt.Errorf("pattern %q cannot be read", pattern)
	}
	return b.String(), nil
}
