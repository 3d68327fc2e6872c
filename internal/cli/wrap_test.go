package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// Wrapping moves words to other lines and nothing else, and keeps code as it is.
func TestWrapMarkdown(t *testing.T) {
	var texts []string
	for _, r := range guide.All() {
		texts = append(texts, r.Help())
	}
	for _, c := range checks.All() {
		texts = append(texts, explainRule(c))
	}
	for _, text := range texts {
		for _, width := range []int{40, 80} {
			got := wrapMarkdown(text, width)
			if a, b := strings.Fields(text), strings.Fields(got); strings.Join(a, " ") != strings.Join(b, " ") {
				t.Fatalf("words changed:\n%s", got)
			}
			if codeOf(got) != codeOf(text) {
				t.Errorf("code changed:\n%s", got)
			}
			code := false
			for line := range strings.Lines(got) {
				if strings.HasPrefix(strings.TrimLeft(line, " "), "```") {
					code = !code
				}
				if !code && !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "#") && len(strings.Fields(line)) > 2 && utf8.RuneCountInString(line) > width+1 {
					t.Errorf("%d columns, want at most %d: %q", utf8.RuneCountInString(line), width, line)
				}
			}
		}
	}
}

func codeOf(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "```") {
		if i%2 == 1 {
			b.WriteString(part)
		}
	}
	return b.String()
}
