package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func randomMap(r *rand.Rand, areas, boxes, lines int) Map {
	m := Map{Title: "map"}
	n := 0
	for a := range areas {
		area := Area{Name: fmt.Sprintf("team-%d", a), Outside: a == 0}
		for b := range r.IntN(boxes + 1) {
			area.Boxes = append(area.Boxes, Box{Name: fmt.Sprintf("service-%d", b), Kind: "Deployment", OpenIn: r.IntN(5) == 0, OpenOut: r.IntN(5) == 0})
			n++
		}
		m.Areas = append(m.Areas, area)
	}
	if n == 0 {
		return m
	}
	for range lines {
		l := Line{From: r.IntN(n), To: r.IntN(n), Ports: []string{"all", "TCP 80"}[r.IntN(2)], Unknown: r.IntN(6) == 0}
		m.Lines = append(m.Lines, l)
	}
	// Whole areas that reach each other, so that there is something to bundle.
	for range 4 {
		from, to := r.IntN(len(m.Areas)), r.IntN(len(m.Areas))
		for _, f := range indices(m, from) {
			for _, t := range indices(m, to) {
				m.Lines = append(m.Lines, Line{From: f, To: t, Ports: "TCP 443"})
			}
		}
	}
	return m
}

func indices(m Map, area int) (list []int) {
	n := 0
	for i, a := range m.Areas {
		for range a.Boxes {
			if i == area {
				list = append(list, n)
			}
			n++
		}
	}
	return list
}

// Bundling loses nothing and adds nothing: undone, it gives the lines again.
func TestBundlesAreTheLines(t *testing.T) {
	bundled := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := randomMap(r, 1+r.IntN(6), 7, r.IntN(60))
		d := &drawing{Map: m}
		d.place()
		boxes := d.flat()
		want := map[Line]bool{}
		for _, l := range m.Lines {
			if l.From != l.To && (l.Unknown || !boxes[l.From].OpenOut || !boxes[l.To].OpenIn) {
				want[l] = true
			}
		}
		got := map[Line]bool{}
		list, _ := d.bundle()
		for _, b := range list {
			ends := func(e end) []int {
				if e.whole {
					return indices(m, e.index)
				}
				return []int{e.index}
			}
			if b.from.whole || b.to.whole {
				bundled++
			}
			for _, f := range ends(b.from) {
				for _, to := range ends(b.to) {
					if f != to {
						got[Line{From: f, To: to, Ports: b.ports, Unknown: b.unknown}] = true
					}
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: lines and what is drawn (-want +got):\n%s", seed, diff)
		}
	}
	if bundled == 0 {
		t.Error("nothing was ever bundled")
	}
}

// Nothing lies on anything else, and all of it within the drawing.
func TestRoom(t *testing.T) {
	overlap := func(a, b rect) bool {
		return a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h
	}
	within := func(a, b rect) bool {
		return a.x >= b.x && a.y >= b.y && a.x+a.w <= b.x+b.w+0.01 && a.y+a.h <= b.y+b.h+0.01
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		d := &drawing{Map: randomMap(r, 1+r.IntN(12), 20, 0)}
		d.place()
		for i, a := range d.areas {
			if !within(a, rect{0, 0, d.size.x, d.size.y}) {
				t.Fatalf("seed %d: area %d leaves the drawing", seed, i)
			}
			for n, b := range d.areas[:i] {
				if overlap(a, b) {
					t.Fatalf("seed %d: areas %d and %d overlap", seed, n, i)
				}
			}
		}
		for i, b := range d.box {
			if !within(b, d.areas[d.area[i]]) {
				t.Fatalf("seed %d: box %d leaves its area", seed, i)
			}
			for n, other := range d.box[:i] {
				if overlap(b, other) {
					t.Fatalf("seed %d: boxes %d and %d overlap", seed, n, i)
				}
			}
		}
	}
}

// A large map is folded to what can be read, and keeps every namespace's name or
// counts it.
func TestFold(t *testing.T) {
	for _, size := range []struct{ areas, boxes int }{{400, 3}, {40, 60}, {1, 600}, {900, 30}} {
		r := rand.New(rand.NewPCG(uint64(size.areas), 3))
		m := fold(randomMap(r, size.areas, size.boxes, 3000))
		n := 0
		for _, a := range m.Areas {
			n += len(a.Boxes)
		}
		if n > maxBoxes || len(m.Areas) > maxAreas {
			t.Errorf("%+v: %d boxes in %d areas", size, n, len(m.Areas))
		}
		for _, l := range m.Lines {
			if l.From >= n || l.To >= n {
				t.Fatalf("%+v: line %+v of %d boxes", size, l, n)
			}
		}
	}
}

func wellFormed(text string) error {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestHostileNames(t *testing.T) {
	hostile := []string{`</text><script>alert(1)</script>`, `"onload="x`, "a\x00b\x1b[31m\u202e", strings.Repeat("長", 300), "\xff\xfe", "", "]]>", "&#0;"}
	var m Map
	for i, name := range hostile {
		m.Title = name
		m.Areas = append(m.Areas, Area{Name: name, Boxes: []Box{{Name: name, Kind: name}, {Name: name, OpenIn: true, OpenOut: true}}})
		m.Lines = append(m.Lines, Line{From: i, To: i + 1, Ports: name}, Line{From: -1, To: 1 << 30})
	}
	var b bytes.Buffer
	if err := WriteSVG(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(b.String()); err != nil {
		t.Errorf("not well-formed: %v", err)
	}
	for _, bad := range []string{"<script", "\x1b", "\x00", "\u202e"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the drawing contains %q", bad)
		}
	}
}

func TestSameDrawing(t *testing.T) {
	m := randomMap(rand.New(rand.NewPCG(4, 4)), 8, 12, 200)
	first := Draw(m)
	if diff := cmp.Diff(first, Draw(m)); diff != "" {
		t.Error(diff)
	}
	if err := wellFormed(first.SVG); err != nil {
		t.Error(err)
	}
	if first.Drawn == 0 || first.Implied == 0 {
		t.Errorf("drawn %d, implied %d: the example shows nothing", first.Drawn, first.Implied)
	}
}

func TestEmptyMap(t *testing.T) {
	for _, m := range []Map{{}, {Areas: []Area{{Name: "shop"}}}} {
		if err := wellFormed(Draw(m).SVG); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// The outside carries no marks, and within an area lines lead from box to box.
func TestMarksAndOwnArea(t *testing.T) {
	m := Map{Areas: []Area{
		{Name: "outside", Outside: true, Boxes: []Box{{Name: "internet", OpenIn: true, OpenOut: true}}},
		{Name: "shop", Boxes: []Box{{Name: "web"}, {Name: "cart"}, {Name: "db"}}},
	}, Lines: []Line{{From: 1, To: 2, Ports: "TCP 80"}, {From: 1, To: 3, Ports: "TCP 80"}}}
	d := Draw(m)
	if strings.Contains(d.SVG, "map-mark") || strings.Contains(d.SVG, "map-open") {
		t.Error("the outside is marked as open")
	}
	if d.Drawn != 2 {
		t.Errorf("%d lines, want one for each connection", d.Drawn)
	}
	m.Areas[1].Boxes[0].OpenIn = true
	if d := Draw(m); strings.Count(d.SVG, `class="map-mark"`) != 1 {
		t.Error("a workload that is open is not marked")
	}
}

// A file explains its lines and marks; a page does that itself.
func TestLegend(t *testing.T) {
	m := Map{Areas: []Area{{Name: "shop", Boxes: []Box{{Name: "web"}}}}}
	var file strings.Builder
	if err := WriteSVG(&file, m); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !strings.Contains(file.String(), k.text) || strings.Contains(Draw(m).SVG, k.text) {
			t.Errorf("%q is missing in the file, or is in the page", k.text)
		}
	}
}
