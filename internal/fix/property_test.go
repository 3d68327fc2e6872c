package fix

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
)

var values = []string{"true", "false", "7", "RuntimeDefault", `"quoted: yes"`, "v1.36", "[ALL]", "{type: RuntimeDefault}", "{a: {b: [c, {d: 1}]}}", "{}", "'10'"}

// paths are those of all values of a tree, by their spelling.
func paths(tree any, at evidence.Path, into *[]evidence.Path) {
	if at.Len() > 0 {
		*into = append(*into, at)
	}
	switch t := tree.(type) {
	case map[string]any:
		for _, name := range sortedKeys(t) {
			paths(t[name], at.Field(name), into)
		}
		*into = append(*into, at.Field("added"), at.Field("new", "parent", "added"))
	case []any:
		for i, v := range t {
			paths(v, at.Index(i, ""), into)
		}
	}
}

// setsOne applies one edit and checks everything that is promised of it. It reports
// whether the edit was made.
func setsOne(t *testing.T, text []byte, doc int, at, newValue string) bool {
	t.Helper()
	before, err := open(text)
	if err != nil {
		t.Fatal(err)
	}
	d := before.docs[doc]
	e := Edit{top(before, d), []Field{{at, newValue}}}
	out, outcomes := Apply(text, []Edit{e})
	o := outcomes[0]
	if o.Err != nil {
		if !bytes.Equal(out, text) {
			t.Errorf("%s = %s is refused (%v), and yet something changed", at, newValue, o.Err)
		}
		return false
	}
	steps, _ := parsePath(at)
	v, _ := parseValue(newValue)
	want, err := with(d.tree, steps, v.tree)
	if err != nil {
		t.Fatalf("%s = %s was made: %v", at, newValue, err)
	}
	after, err := open(out)
	if err != nil || len(after.docs) != len(before.docs) {
		t.Fatalf("%s = %s: %v; now there are %d documents\n%s\n=====\n%s", at, newValue, err, len(after.docs), text, out)
	}
	for i, now := range after.docs {
		expect := before.docs[i].tree
		if i == doc {
			expect = want
		}
		if !reflect.DeepEqual(now.tree, expect) {
			t.Errorf("%s = %s, document %d: %s\n%s", at, newValue, i, cmp.Diff(expect, now.tree), out)
		}
	}
	old, had := fieldpath.Get(d.tree, steps)
	if _, collection := old.(map[string]any); !collection && len(at) > 0 {
		sameLines(t, text, out, at+" = "+newValue, spanOf(t, d, steps, had))
	}
	again, second := Apply(out, []Edit{{top(after, after.docs[doc]), []Field{{at, newValue}}}})
	if !bytes.Equal(again, out) || second[0].Changed || second[0].Err != nil {
		t.Errorf("%s = %s: applied twice: %+v\n%s", at, newValue, second[0], again)
	}
	return true
}

// sameLines checks that lines that have nothing to do with an edit are as they were:
// of a field that was not there, at most the line changes that it is added to, or
// the line before it that needs a comma; of one that was, those that it stands on.
func sameLines(t *testing.T, old, now []byte, what string, may int) {
	t.Helper()
	a, b := bytes.SplitAfter(old, []byte("\n")), bytes.SplitAfter(now, []byte("\n"))
	from := 0
	for from < min(len(a), len(b)) && bytes.Equal(a[from], b[from]) {
		from++
	}
	end := 0
	for end < min(len(a), len(b))-from && bytes.Equal(a[len(a)-1-end], b[len(b)-1-end]) {
		end++
	}
	if len(a)-end-from > may {
		t.Errorf("%s: %d lines were changed:\n%s\n=====\n%s", what, len(a)-end-from, bytes.Join(a[from:len(a)-end], nil), bytes.Join(b[from:len(b)-end], nil))
	}
}

// spanOf is how many lines the value at a path stands on, 1 when it is missing. What is
// merged or repeated is written elsewhere.
func spanOf(t *testing.T, d *document, at fieldpath.Path, had bool) int {
	t.Helper()
	if !had {
		return 1
	}
	w, err := newWriter(d.text)
	if err != nil {
		t.Fatal(err)
	}
	n, column := w.root, 1
	for _, s := range at {
		n = resolved(n)
		switch {
		case s.Name == "":
			n, column = n.Content[s.Index], n.Column
		default:
			key, child := field(n, s.Name)
			if key == nil {
				return 1 // merged
			}
			n, column = child, key.Column
		}
	}
	if n.Alias != nil || isEmpty(n) {
		return 1
	}
	end, err := w.end(n, column)
	if err != nil {
		t.Fatal(err)
	}
	return 1 + bytes.Count(w.text[w.start(n):end], []byte("\n"))
}

// top is where a document's object stands.
func top(f *file, d *document) evidence.Position {
	for at, o := range f.objects {
		if o != nil && o.doc == d && len(o.below) == 0 {
			return at
		}
	}
	return evidence.Position{}
}

func TestRandomFixOfRandomText(t *testing.T) {
	const rounds = 2000
	tried, made, unreadable := 0, 0, 0
	for seed := range uint64(rounds) {
		a := newAuthor(seed)
		text := []byte(a.file())
		f, err := open(text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		r := rand.New(rand.NewPCG(seed, 2))
		doc := r.IntN(len(f.docs))
		if !f.docs[doc].read {
			unreadable++
			continue
		}
		var all []evidence.Path
		paths(f.docs[doc].tree, evidence.Path{}, &all)
		if len(all) == 0 {
			continue
		}
		at, v := all[r.IntN(len(all))].String(), values[r.IntN(len(values))]
		ok := setsOne(t, text, doc, at, v)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, text)
		}
		// What is shared, or is itself a list or a mapping, may be refused with reason.
		if a.share || isCollection(f.docs[doc].tree, at) {
			continue
		}
		tried++
		if ok {
			made++
		} else if testing.Verbose() {
			_, o := Apply(text, []Edit{{top(f, f.docs[doc]), []Field{{at, v}}}})
			t.Logf("seed %d: %s = %s: %v\n%s", seed, at, v, o[0].Err, text)
		}
	}
	t.Logf("%d texts could not be read; of %d edits %d were made", unreadable, tried, made)
	if unreadable*20 > rounds || made*100 < tried*97 {
		t.Errorf("%d texts could not be read; of %d edits only %d were made", unreadable, tried, made)
	}
}

// Several fixes at once, with elements that are added to lists: what was not refused is
// set, nothing else is, and no line changes that has nothing to do with them.
func TestRandomFixesOfRandomText(t *testing.T) {
	made, refused := 0, 0
	for seed := range uint64(600) {
		m, r := severalFixes(t, []byte(newAuthor(seed).file()), seed)
		made, refused = made+m, refused+r
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d edits were made, %d refused", made, refused)
	if made < 2*refused { // collections, what is shared and what conflicts are refused with reason
		t.Errorf("%d edits were made, %d refused", made, refused)
	}
}

// severalFixes makes some random edits of a document at once, and checks them.
func severalFixes(t *testing.T, text []byte, seed uint64) (made, refused int) {
	t.Helper()
	before, err := open(text)
	if err != nil || len(before.docs) == 0 {
		return 0, 0
	}
	r := rand.New(rand.NewPCG(seed, 3))
	doc := r.IntN(len(before.docs))
	d := before.docs[doc]
	var all []evidence.Path
	paths(d.tree, evidence.Path{}, &all)
	lists(d.tree, evidence.Path{}, &all)
	if len(all) == 0 || !d.read {
		return 0, 0
	}
	var edits []Edit
	for range 1 + r.IntN(4) {
		e := Edit{Object: top(before, d)}
		for range 1 + r.IntN(2) {
			at := all[r.IntN(len(all))].String()
			if _, err := parsePath(at); err != nil {
				return 0, 0
			}
			e.Fields = append(e.Fields, Field{at, values[r.IntN(len(values))]})
		}
		edits = append(edits, e)
	}
	out, outcomes := Apply(text, edits)
	expected := document{was: d.tree, tree: d.tree}
	for i, o := range outcomes {
		if o.Err != nil {
			refused++
			continue
		}
		made++
		list, err := settings(nil, edits[i].Fields)
		if err != nil {
			t.Fatal(err)
		}
		added := map[string][]int{}
		for n := range list {
			if err := expected.settle(&list[n], added); err != nil {
				t.Fatalf("%+v was made: %v", edits[i], err)
			}
			if expected.tree, err = with(expected.tree, list[n].path, list[n].value.tree); err != nil {
				t.Fatalf("%+v was made: %v", edits[i], err)
			}
		}
	}
	after, err := open(out)
	if err != nil || len(after.docs) != len(before.docs) {
		t.Fatalf("%+v: %v\n%s\n=====\n%s", edits, err, text, out)
	}
	for i, now := range after.docs {
		want := before.docs[i].tree
		if i == doc {
			want = expected.tree
		}
		if !reflect.DeepEqual(now.tree, want) {
			t.Errorf("%+v, document %d: %s\n%s\n=====\n%s", edits, i, cmp.Diff(want, now.tree), text, out)
		}
	}
	if !bytes.Equal(text[:d.start], out[:d.start]) || !bytes.HasSuffix(out, before.data[d.end:]) {
		t.Errorf("%+v: bytes outside the document changed\n%s\n=====\n%s", edits, text, out)
	}
	return made, refused
}

// lists are the places behind the last element of each list of a tree.
func lists(tree any, at evidence.Path, into *[]evidence.Path) {
	switch t := tree.(type) {
	case map[string]any:
		for _, name := range sortedKeys(t) {
			lists(t[name], at.Field(name), into)
		}
		*into = append(*into, at.Field("list").Index(0, ""))
	case []any:
		for i, v := range t {
			lists(v, at.Index(i, ""), into)
		}
		*into = append(*into, at.Index(len(t), ""), at.Index(len(t), "").Field("name"))
	}
}

// FuzzSeveral is FuzzApply with several edits and added elements.
func FuzzSeveral(f *testing.F) {
	for seed := range uint64(40) {
		f.Add([]byte(newAuthor(seed).file()), uint64(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		if len(text) <= 4<<10 {
			severalFixes(t, text, seed)
		}
	})
}

func isCollection(tree any, at string) bool {
	steps, _ := parsePath(at)
	v, _ := fieldpath.Get(tree, steps)
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// FuzzApply edits whatever it is given: it never panics, and what it makes differs
// in the one field.
func FuzzApply(f *testing.F) {
	for seed := range uint64(40) {
		f.Add([]byte(newAuthor(seed).file()), uint64(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		file, err := open(text)
		if err != nil || len(file.docs) == 0 || len(text) > 4<<10 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 2))
		doc := r.IntN(len(file.docs))
		var all []evidence.Path
		paths(file.docs[doc].tree, evidence.Path{}, &all)
		if len(all) == 0 || !file.docs[doc].read {
			return
		}
		at := all[r.IntN(len(all))].String()
		if _, err := parsePath(at); err == nil {
			setsOne(t, text, doc, at, values[r.IntN(len(values))])
		}
	})
}
