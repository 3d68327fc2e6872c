package rendered

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
)

// A program makes two objects, web and mail, of lines NAME.FIELD=VALUE; the name "all"
// means both.
type program struct{ renderings int }

func (p *program) Render(files Files) (*World, struct{}, error) {
	p.renderings++
	web, mail := map[string]any{}, map[string]any{}
	for line := range strings.Lines(string(files["settings"])) {
		at, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		name, field, ok := strings.Cut(at, ".")
		if !ok {
			return nil, struct{}{}, fmt.Errorf("%q is no setting", line)
		}
		if name != "mail" {
			web[field] = value
		}
		if name != "web" {
			mail[field] = value
		}
	}
	return &World{Objects: []Object{{"web", any(web)}, {"mail", any(mail)}}}, struct{}{}, nil
}

// Ways offers what does nothing, what breaks the program and what sets the field of
// both, before what is right.
func (*program) Ways(_ Files, _ *World, _ struct{}, want Want) []Way {
	line := func(text string) Way {
		return Way{ID: text, Edits: []Edit{{File: "settings", Line: 1, Lines: []string{text}}}}
	}
	set := want.Path.String() + "=" + want.Text
	ways := []Way{line(want.Object + ".useless=" + want.Text), line("broken"), line("all." + set)}
	if want.Text != "never" {
		ways = append(ways, line(want.Object+"."+set))
	}
	return ways
}

func TestMakeTakesOnlyWhatDoesNoHarm(t *testing.T) {
	want := func(object, path, value string) Want {
		w, err := NewWant(object, path, value)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, c := range []struct {
		name  string
		wants []Want
		of    []int
		files string
		done  []bool
	}{
		{"one object", []Want{want("web", "a", "x")}, []int{0}, "all.size=1\nweb.a=x\n", []bool{true}},
		{"both by one edit", []Want{want("web", "a", "x"), want("mail", "a", "x")}, []int{0, 1}, "all.size=1\nall.a=x\n", []bool{true, true}},
		{"there already", []Want{want("web", "size", `"1"`)}, []int{0}, "all.size=1\n", []bool{true}},
		{"no way", []Want{want("web", "a", "never")}, []int{0}, "all.size=1\n", []bool{false}},
		{"all of a group or nothing", []Want{want("web", "a", "x"), want("web", "b", "never"), want("web", "c", "z")}, []int{0, 0, 1}, "all.size=1\nweb.c=z\n", []bool{false, false, true}},
	} {
		p := &program{}
		make := func(files Files, wants []Want) (Result, error) { return Make(p, files, wants) }
		got, err := MakeWhole(make, Files{"settings": []byte("all.size=1\n")}, c.wants, c.of)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.files, string(got.Files["settings"])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.done, got.Done); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		for i, done := range got.Done {
			if done == (got.Reason[i] != "") {
				t.Errorf("%s: done %v, reason %q", c.name, done, got.Reason[i])
			}
		}
	}
}

// TestUndone: what was wanted is taken back, and everything else is seen.
func TestUndone(t *testing.T) {
	for _, c := range []struct {
		old, now, path, value string
		harmless              bool
	}{
		{`{"a":{}}`, `{"a":{"b":{"c":1}}}`, "a.b.c", "1", true},
		{`{"a":{}}`, `{"a":{"b":{"c":1,"d":2}}}`, "a.b.c", "1", false},
		{`{"a":null}`, `{"a":{"b":1}}`, "a.b", "1", true},
		{`{"a":1}`, `{"a":2}`, "a", "2", true},
		{`{"a":1}`, `{"a":3}`, "a", "2", false},
		{`{}`, `{"a":[{"k":"x"}]}`, "a[0]", "{k: x}", true},
		{`{"a":[1]}`, `{"a":[1,2]}`, "a[1]", "2", true},
		{`{"a":[1]}`, `{"a":[2,1]}`, "a[1]", "2", false},
		{`{"a":[1]}`, `{"a":[1,2,2]}`, "a[1]", "2", false},
		{`{"a":1,"b":1}`, `{"a":2}`, "a", "2", false},
	} {
		tree := func(text string) (v any) {
			d := json.NewDecoder(bytes.NewReader([]byte(text)))
			d.UseNumber()
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		w, err := NewWant("o", c.path, c.value)
		if err != nil {
			t.Fatal(err)
		}
		was := &World{Objects: []Object{{"o", tree(c.old)}}}
		r := &run[struct{}]{wants: []Want{w}, first: was, result: Result{World: was}}
		if why := r.harm(&World{Objects: []Object{{"o", tree(c.now)}}}); (why == "") != c.harmless {
			t.Errorf("%s to %s for %s=%s: %q", c.old, c.now, c.path, c.value, why)
		}
	}
}

func TestPath(t *testing.T) {
	for _, text := range []string{"spec.containers[0].image", `metadata.labels["a.b/c"]`, "[2].a"} {
		p, err := fieldpath.Parse(text)
		if err != nil || p.String() != text {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"a..b", "a[x]", "a[1", `["a`} {
		if p, err := fieldpath.Parse(text); err == nil {
			t.Errorf("%s: %v", text, p)
		}
	}
}
