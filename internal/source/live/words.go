package live

import (
	"strconv"
	"strings"
	"unicode"
)

// How long what a server or a file says may be in what a person reads.
const (
	maxName   = 253
	maxReason = 400
)

// oneLine makes text of elsewhere fit to be shown: one line, nothing that a
// terminal would obey, and not too long.
func oneLine(text string, limit int) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(text) {
		switch {
		case b.Len() >= limit:
			b.WriteString("…")
			return b.String()
		case unicode.IsSpace(r):
			if !strings.HasSuffix(b.String(), " ") {
				b.WriteByte(' ')
			}
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
