package evidence

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tree is a document to outline: its fields or elements, by turns in lists and
// mappings.
type tree struct {
	key      string
	sequence bool
	children []tree
}

// outline adds a tree; the line of each node is its number.
func (b *Outliner) outline(t tree) {
	var key Key
	if t.key != "" {
		key = b.Key(t.key)
	}
	n := b.Open(key, b.Len()+1, 2*b.Len()+1, t.sequence)
	for _, c := range t.children {
		b.outline(c)
	}
	b.Close(n)
}

func pod() tree {
	container := func(name string) tree {
		return tree{children: []tree{{key: "name"}, {key: name}}}
	}
	return tree{children: []tree{
		{key: "kind"},
		{key: "spec", children: []tree{
			{key: "containers", sequence: true, children: []tree{container("image"), container("args")}},
			{key: "a.b"},
		}},
	}}
}

// places lists the nodes of an outline: PATH LINE:COLUMN FILE.
func places(o *Outline) []string {
	var all []string
	o.Walk(func(n int, p Path) {
		at := o.At(n)
		all = append(all, fmt.Sprintf("%s %d:%d %s%s", p, at.Line, at.Column, at.File, at.ValuesKey))
	})
	return all
}

func TestOutline(t *testing.T) {
	var b Outliner
	b.outline(pod())
	o := b.Outline("pod.yaml")
	want := []string{
		" 1:1 pod.yaml", "kind 2:3 pod.yaml", "spec 3:5 pod.yaml", "spec.containers 4:7 pod.yaml",
		"spec.containers[0] 5:9 pod.yaml", "spec.containers[0].name 6:11 pod.yaml", "spec.containers[0].image 7:13 pod.yaml",
		"spec.containers[1] 8:15 pod.yaml", "spec.containers[1].name 9:17 pod.yaml", "spec.containers[1].args 10:19 pod.yaml",
		`spec["a.b"] 11:21 pod.yaml`,
	}
	if diff := cmp.Diff(want, places(o)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if o.Len() != len(want) {
		t.Errorf("%d nodes", o.Len())
	}
}

func TestFind(t *testing.T) {
	var b Outliner
	b.outline(pod())
	o := b.Outline("pod.yaml")
	tests := []struct {
		path  Path
		line  int
		exact bool
	}{
		{Path{}, 1, true},
		{NewPath("spec"), 3, true},
		{NewPath("spec", "containers").Index(1, "web").Field("args"), 10, true},
		{NewPath("spec", "containers").Index(1, "web").Field("image"), 8, false},
		{NewPath("spec", "containers").Index(1, "web").Field("securityContext", "privileged"), 8, false},
		{NewPath("spec", "containers").Index(2, ""), 4, false},
		{NewPath("spec", "containers", "image"), 4, false}, // a list has no fields
		{NewPath("spec").Index(0, ""), 3, false},           // a mapping has no elements
		{NewPath("status"), 1, false},
		{NewPath("spec").Rooted("pod").Field("a.b"), 11, true},
		{NewPath(""), 1, false},
	}
	for _, test := range tests {
		n, exact := o.Find(test.path)
		if line := o.At(n).Line; line != test.line || exact != test.exact {
			t.Errorf("%s: line %d, exact %v; want %d, %v", test.path, line, exact, test.line, test.exact)
		}
	}
	var none *Outline
	if n, exact := none.Find(NewPath("spec")); n != -1 || exact || none.At(n) != (Position{}) {
		t.Errorf("found %d in no outline", n)
	}
}

// TestOutlinerKeepsNothing: outlines do not change when their maker goes on.
func TestOutlinerKeepsNothing(t *testing.T) {
	var b Outliner
	b.outline(pod())
	first := b.Outline("first.yaml")
	before := places(first)
	for i := range maxOutlinerNames + 1 { // until it forgets the names
		b.outline(tree{children: []tree{{key: fmt.Sprint("k", i)}}})
		b.Outline("other.yaml")
	}
	b.Open(b.Key("kept"), 1, 1, false)
	b.Cut(0)
	b.outline(pod())
	if diff := cmp.Diff(before, places(first)); diff != "" {
		t.Errorf("-before +after\n%s", diff)
	}
	if diff := cmp.Diff(before, places(b.Outline("first.yaml"))); diff != "" {
		t.Errorf("-first +last\n%s", diff)
	}
}

// TestMove: what is said of the origin of one part is not said of another.
func TestMove(t *testing.T) {
	var b Outliner
	b.outline(pod())
	whole := b.Outline("rendered.yaml")
	containers, _ := whole.Find(NewPath("spec", "containers"))
	whole.Move(containers, Position{File: "base.yaml", Line: 7, Column: 8})
	var parts []*Outline
	for n := range whole.Children(containers) {
		parts = append(parts, whole.Sub(n))
	}
	for i, part := range parts {
		part.Move(0, Position{File: fmt.Sprintf("patch-%d.yaml", i), Line: 1, Column: 2, ValuesKey: fmt.Sprint("v", i)})
	}
	for i, part := range parts {
		want := Position{File: fmt.Sprintf("patch-%d.yaml", i), Line: 1, Column: 2, ValuesKey: fmt.Sprint("v", i)}
		if got := part.At(0); got != want {
			t.Errorf("part %d is at %+v", i, got)
		}
		if got := part.At(1).File; got != "rendered.yaml" {
			t.Errorf("the name in part %d is in %s", i, got)
		}
	}
	if got := whole.At(containers); got != (Position{File: "base.yaml", Line: 7, Column: 8}) {
		t.Errorf("the list is at %+v", got)
	}
}

// TestWalkFind: every path that Walk tells leads Find to the same node.
func TestWalkFind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var make func(depth int) tree
		make = func(depth int) tree {
			x := tree{sequence: rapid.Bool().Draw(t, "sequence")}
			for i := range rapid.IntRange(0, 3-depth/2).Draw(t, "children") {
				c := make(depth + 1)
				if !x.sequence {
					c.key = fmt.Sprintf("k%d", i)
				}
				x.children = append(x.children, c)
			}
			return x
		}
		var b Outliner
		b.outline(make(0))
		o := b.Outline("f")
		seen := 0
		o.Walk(func(n int, p Path) {
			if n != seen {
				t.Fatalf("node %d comes after %d", n, seen-1)
			}
			seen++
			if found, exact := o.Find(p); found != n || !exact {
				t.Fatalf("%s is node %d, found %d", p, n, found)
			}
		})
		if seen != o.Len() {
			t.Fatalf("%d of %d nodes", seen, o.Len())
		}
	})
}
