package fieldpath

import (
	"math/rand/v2"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What evidence.Path spells is read back, and spelled alike, whatever names are made of.
func TestParse(t *testing.T) {
	letters := []rune(`ab.[]"\ é/0-`)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var p evidence.Path
		n := 1 + r.IntN(4)
		for range n {
			if r.IntN(3) == 0 {
				p = p.Index(r.IntN(12), "")
				continue
			}
			name := make([]rune, 1+r.IntN(4))
			for i := range name {
				name[i] = letters[r.IntN(len(letters))]
			}
			p = p.Field(string(name))
		}
		got, err := Parse(p.String())
		if err != nil || len(got) != n || got.String() != p.String() {
			t.Fatalf("%s: %v, %v", p, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"a..b", "a[", "a[x]", "a[-1]", `["a`, `["a"x`, "a."} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, p)
		}
	}
}

func TestGet(t *testing.T) {
	tree := map[string]any{"a": []any{map[string]any{"b.c": "x"}}, "n": nil}
	for text, want := range map[string]any{`a[0]["b.c"]`: "x", "n": nil} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := Get(tree, p); !ok || v != want {
			t.Errorf("%s: %v, %t", text, v, ok)
		}
	}
	for _, text := range []string{"a[1]", "a.b", "n.x", "[0]", "b"} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := Get(tree, p); ok {
			t.Errorf("%s: %v", text, v)
		}
	}
}
