//go:build browser

package browser

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/picture"
	"github.com/gabion-k8s/gabion/internal/report"
)

// town is a map as clusters have them: teams of services that call one another, a
// few that everyone calls, and the outside.
func town(workloads int) picture.Map {
	r := rand.New(rand.NewPCG(7, uint64(workloads)))
	m := picture.Map{Title: "who can reach whom", Areas: []picture.Area{{Name: "outside of pods", Outside: true, Boxes: []picture.Box{
		{Name: "any address outside", Kind: "addresses", OpenIn: true, OpenOut: true}, {Name: "cloud metadata", Kind: "addresses", OpenIn: true}, {Name: "API server", OpenIn: true, OpenOut: true}, {Name: "every node", OpenIn: true, OpenOut: true}}}}}
	first := 4
	for left, n := workloads, 0; left > 0; n++ {
		size := min(left, 3+r.IntN(9))
		a := picture.Area{Name: fmt.Sprintf("team-%02d", n)}
		for i := range size {
			open := n%7 == 6
			a.Boxes = append(a.Boxes, picture.Box{Name: fmt.Sprintf("%s-%d", []string{"web", "orders", "payment-gateway", "cache", "worker"}[i%5], i), Kind: "Deployment", OpenIn: open, OpenOut: open})
			if i > 0 {
				m.Lines = append(m.Lines, picture.Line{From: first, To: first + i, Ports: "TCP 8080"})
			}
		}
		m.Lines = append(m.Lines, picture.Line{From: 0, To: first, Ports: "TCP 443"})
		if n > 0 {
			m.Lines = append(m.Lines, picture.Line{From: first + size - 1, To: 4, Ports: "TCP 5432"}, picture.Line{From: first, To: 4 + r.IntN(first-4), Ports: "TCP 9090", Unknown: n%3 == 0})
		}
		m.Areas = append(m.Areas, a)
		first, left = first+size, left-size
	}
	return m
}

// mapPage is the HTML report with a map.
func mapPage(t *testing.T, m picture.Map) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Formats()["html"](&b, &report.Report{}, report.Options{Maps: []picture.Map{m}}); err != nil {
		t.Fatal(err)
	}
	return write(t, "report.html", b.String())
}

// The map is seen at every width without a page that scrolls sideways, with texts
// within their boxes, and the page says nothing on the console.
func TestMap(t *testing.T) {
	b := start(t)
	files := map[string]string{"example": scan(t, "examples/network/shop"), "town": mapPage(t, town(200)), "village": mapPage(t, town(24))}
	for name, file := range files {
		for _, width := range []int{400, 800, 1600} {
			p := b.open(t, file, width, "light")
			p.quiet(t)
			if got := p.width(t); got > width {
				t.Errorf("%s: %d pixels wide in a window of %d", name, got, width)
			}
			drawn := eval[[]float64](t, p, `(r => [r.width, r.height])(document.querySelector('svg.map').getBoundingClientRect())`)
			if drawn[0] < 200 || drawn[1] < 100 {
				t.Errorf("%s at %d: the map is %v", name, width, drawn)
			}
			if px := eval[float64](t, p, `(t => t.getBoundingClientRect().height)(document.querySelector('.map-box text'))`); px < 9 {
				t.Errorf("%s at %d: texts of the map are %v pixels high", name, width, px)
			}
			const out = `[...document.querySelectorAll('.map-box')].filter(g => { const t = g.querySelector('text').getBoundingClientRect(), r = g.querySelector('rect').getBoundingClientRect(); return t.left < r.left || t.right > r.right }).map(g => g.textContent)`
			for _, text := range eval[[]string](t, p, out) {
				t.Errorf("%s at %d: runs out of its box: %s", name, width, text)
			}
			p.screenshot(t, fmt.Sprintf("map-%s-%d.png", name, width))
			p.shotOf(t, "svg.map", fmt.Sprintf("map-%s-%d-whole.png", name, width))
		}
	}
}

// shotOf keeps a picture of one element, all of it.
func (p *page) shotOf(t *testing.T, selector, name string) {
	t.Helper()
	box := eval[[]float64](t, p, fmt.Sprintf(`(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])(document.querySelector(%q).getBoundingClientRect())`, selector))
	var shot struct{ Data []byte }
	p.call(t, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": map[string]any{"x": box[0], "y": box[1], "width": box[2], "height": box[3], "scale": 1}}, &shot)
	keep(t, name, shot.Data)
}

// opacities are those of the boxes and of the lines, each value once.
const opacities = `[...new Set([...document.querySelectorAll(%q)].map(e => getComputedStyle(e).opacity))].sort()`

// What is pointed at or focused shows its neighbours, and the rest fades; every box
// can be reached by keyboard and says what it is.
func TestMapNeighbours(t *testing.T) {
	b := start(t)
	p := b.open(t, mapPage(t, town(60)), 1600, "light")
	if got := eval[[]string](t, p, fmt.Sprintf(opacities, ".map-box")); len(got) != 1 || got[0] != "1" {
		t.Fatalf("at rest boxes have opacities %v", got)
	}
	const one = ".map-box:not([id$=b0])"
	for _, how := range []string{"focused", "pointed at"} {
		if how == "focused" {
			eval[any](t, p, fmt.Sprintf(`document.querySelectorAll(%q)[5].focus()`, one))
		} else {
			eval[any](t, p, `document.activeElement.blur()`)
			at := eval[[]float64](t, p, fmt.Sprintf(`(e => { e.scrollIntoView({block: 'center', inline: 'center'}); const r = e.getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2] })(document.querySelectorAll(%q)[5])`, one))
			p.call(t, "Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": at[0], "y": at[1]}, nil)
		}
		boxes, lines := eval[[]string](t, p, fmt.Sprintf(opacities, ".map-box")), eval[[]string](t, p, fmt.Sprintf(opacities, ".map-line"))
		if len(boxes) != 2 || boxes[0] >= "0.5" || boxes[1] != "1" || len(lines) != 2 || lines[0] >= "0.5" || lines[1] != "1" {
			t.Errorf("%s: boxes have opacities %v, lines %v", how, boxes, lines)
		}
		// The boxes that stay are exactly those at the ends of the lines that stay.
		p.shotOf(t, "svg.map", "map-"+strings.ReplaceAll(how, " ", "-")+".png")
	}
	eval[any](t, p, `document.activeElement.blur()`)
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value string }
			Properties []struct {
				Name  string
				Value struct{ Value any }
			}
		}
	}
	p.call(t, "Accessibility.enable", struct{}{}, nil)
	p.call(t, "Accessibility.getFullAXTree", struct{}{}, &tree)
	named := 0
	for _, n := range tree.Nodes {
		focusable := false
		for _, own := range n.Properties {
			focusable = focusable || own.Name == "focusable" && own.Value.Value == true
		}
		if focusable && !n.Ignored && n.Name.Value == "" {
			t.Errorf("a %s can be focused and has no name", n.Role.Value)
		}
		if focusable && strings.HasPrefix(n.Name.Value, "Deployment team-") {
			named++
		}
	}
	if named != 60 {
		t.Errorf("%d of 60 workloads can be focused and say what they are", named)
	}
	p.quiet(t)
}

// A drawing in a file of its own is one that a browser takes.
func TestMapFile(t *testing.T) {
	b := start(t)
	file := filepath.Join(t.TempDir(), "map.svg")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := picture.WriteSVG(f, town(200)); err != nil {
		t.Fatal(err)
	}
	p := b.open(t, file, 1600, "dark")
	if n := eval[int](t, p, "document.querySelectorAll('.map-box:not(.map-legend *)').length"); n != 204 {
		t.Errorf("%d boxes", n)
	}
	if low := eval[bool](t, p, "document.querySelector('.map-legend').getBBox().y > Math.max(...[...document.querySelectorAll('.map-box:not(.map-legend *)')].map(b => b.getBBox().y + b.getBBox().height))"); !low {
		t.Error("the legend is not below the map")
	}
	p.quiet(t)
	p.screenshot(t, "map-file.png")
}
