//go:build browser

package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// strange has names that are as long as they may be and texts that want to be markup.
const strange = `apiVersion: v1
kind: Namespace
metadata:
  name: %[1]s
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: %[1]s
  annotations:
    gabion.dev/except.privileged-container: "<script>alert(1)</script><img src=https://example.invalid/a.png>%[1]s"
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
        - name: '"><img src=x onerror=alert(1)>'
          image: https://example.invalid/%[1]s/%[1]s/%[1]s:<b>%[1]s</b>
          securityContext: {privileged: true}
          env: [{name: PASSWORD, value: "<style>*{display:none}</style>"}]
---
apiVersion: v1
kind: Service
metadata: {name: "<svg onload=alert(1)>", namespace: %[1]s}
spec: {type: LoadBalancer, ports: [{port: "</td></table>"}]}
`

// scan makes the report of a folder of the module by the real command.
func scan(t *testing.T, path string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	cmd := exec.Command("go", "run", "./cmd/gabion", "scan", path, "-o", "html="+file)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("scan %s: %v\n%s", path, err, out)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// The report is readable on a phone and on a wide screen, light and dark, says
// nothing on the console and asks the network for nothing. With -artifacts, what
// it looks like is kept.
func TestReport(t *testing.T) {
	b := start(t)
	reports := map[string]string{
		"shop":    scan(t, "examples/shop"),
		"strange": scan(t, write(t, "strange.yaml", fmt.Sprintf(strange, strings.Repeat("w", 63)))),
	}
	for name, file := range reports {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int{400, 1600} {
				p := b.open(t, file, width, scheme)
				p.quiet(t)
				p.fits(t, width)
				p.screenshot(t, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
			}
		}
	}
}

// The two schemes are two.
func TestSchemes(t *testing.T) {
	b := start(t)
	file := scan(t, "examples/shop")
	colors := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p := b.open(t, file, 1600, scheme)
		colors[scheme] = eval[string](t, p, "getComputedStyle(document.body).backgroundColor")
	}
	if colors["light"] != "rgb(255, 255, 255)" || colors["dark"] == colors["light"] {
		t.Errorf("backgrounds %v", colors)
	}
}

// The choice above the table hides rows from a screen, never from paper; what a
// reader folded is printed all the same, and in light colors.
func TestFilterAndPrint(t *testing.T) {
	b := start(t)
	p := b.open(t, scan(t, "examples/shop"), 1600, "dark")
	const shown = "[...document.querySelectorAll('.rows tr[id]')].filter(r => r.checkVisibility()).length"
	all := eval[int](t, p, shown)
	if all < 100 {
		t.Fatalf("%d rows", all)
	}
	sum := 0
	for choice, class := range map[string]string{"show-fail": ".is-fail, .is-excepted", "show-pass": ".is-pass", "show-open": ".is-not-evaluated, .is-manual"} {
		eval[any](t, p, fmt.Sprintf("document.getElementById(%q).click()", choice))
		got, want := eval[int](t, p, shown), eval[int](t, p, fmt.Sprintf("document.querySelectorAll(%q).length", class))
		if got != want || got == 0 {
			t.Errorf("%s: %d rows, want %d", choice, got, want)
		}
		sum += got
	}
	if sum > all {
		t.Errorf("%d of %d rows", sum, all)
	}
	eval[any](t, p, "document.querySelectorAll('details').forEach(d => d.open = false)")
	const findings = "[...document.querySelectorAll('.finding')].filter(f => f.checkVisibility()).length"
	if n := eval[int](t, p, findings); n != 0 {
		t.Errorf("%d findings are seen when all is folded", n)
	}
	p.call(t, "Emulation.setEmulatedMedia", map[string]any{"media": "print", "features": []map[string]string{{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	if n := eval[int](t, p, shown); n != all {
		t.Errorf("%d of %d rows would be printed", n, all)
	}
	if n, want := eval[int](t, p, findings), eval[int](t, p, "document.querySelectorAll('.finding').length"); n != want {
		t.Errorf("%d of %d findings would be printed", n, want)
	}
	if c := eval[string](t, p, "getComputedStyle(document.body).color"); c != "rgb(28, 36, 48)" {
		t.Errorf("printed in %s", c)
	}
	var pdf struct{ Data []byte }
	p.call(t, "Page.printToPDF", map[string]any{"printBackground": true}, &pdf)
	if !strings.HasPrefix(string(pdf.Data), "%PDF-") {
		t.Errorf("%.20q is no PDF", pdf.Data)
	}
	keep(t, "shop.pdf", pdf.Data)
	p.quiet(t)
}

// Where a server's policy forbids even the style sheet, all is still there to read.
func TestWithoutStyle(t *testing.T) {
	b := start(t)
	file := scan(t, "examples/shop")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "<style>")
	_, rest, found := strings.Cut(rest, "</style>")
	if !found {
		t.Fatal("no style sheet")
	}
	// The choice above the table does nothing without it, and is not shown.
	const visible = "document.querySelector('.filter').remove(); document.body.innerText.split(/[\\s:]+/).filter(w => w).sort().join(' ').toLowerCase()"
	plain := eval[string](t, b.open(t, write(t, "plain.html", head+rest), 1600, "light"), visible)
	styled := eval[string](t, b.open(t, file, 1600, "light"), visible)
	words := map[string]int{}
	for word := range strings.FieldsSeq(plain) {
		words[word]++
	}
	for word := range strings.FieldsSeq(styled) {
		words[word]--
	}
	for word, n := range words {
		if n < 0 {
			t.Errorf("%q is read %d times less without the style sheet", word, -n)
		}
	}
}

// The tests above can fail: a page that does what it must not is found out.
func TestInstrument(t *testing.T) {
	b := start(t)
	text, err := os.ReadFile(scan(t, "examples/shop"))
	if err != nil {
		t.Fatal(err)
	}
	broken := func(old, new string) string {
		if !strings.Contains(string(text), old) {
			t.Fatalf("nothing to break: no %q", old)
		}
		return strings.Replace(string(text), old, new, 1)
	}
	const policy = `http-equiv="Content-Security-Policy"`
	for name, test := range map[string]struct {
		page             string
		talks, asks, big bool
	}{
		"as it is":         {page: string(text)},
		"remote image":     {page: strings.Replace(broken("</footer>", `<img src="https://example.invalid/a.png"></footer>`), policy, "", 1), talks: true, asks: true},
		"forbidden image":  {page: broken("</footer>", `<img src="https://example.invalid/a.png"></footer>`), talks: true, asks: true},
		"forbidden script": {page: broken("</footer>", `<script>document.title = "x"</script></footer>`), talks: true},
		"script":           {page: strings.Replace(broken("</footer>", `<script>console.log("x")</script></footer>`), policy, "", 1), talks: true},
		"other style":      {page: broken("<style>", "<style> "), talks: true, big: true},
		"style attribute":  {page: broken("<footer>", `<footer style="color: red">`), talks: true},
		"wide":             {page: broken("<footer>", "<footer><pre>"+strings.Repeat("w", 500)+"</pre>"), big: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.open(t, write(t, "broken.html", test.page), 400, "light")
			if got := len(p.said) > 0; got != test.talks {
				t.Errorf("the console says %q", p.said)
			}
			if got := len(p.asked) > 0; got != test.asks {
				t.Errorf("the page asks for %q", p.asked)
			}
			if got := p.width(t) > 400; got != test.big {
				t.Errorf("the page is %d pixels wide", p.width(t))
			}
		})
	}
}

// quiet fails when the page said or asked for anything.
func (p *page) quiet(t *testing.T) {
	t.Helper()
	for _, s := range p.said {
		t.Errorf("%s: console: %s", p.url, s)
	}
	for _, s := range p.asked {
		t.Errorf("%s: asks for %s", p.url, s)
	}
}

// width is how wide the page is, in CSS pixels.
func (p *page) width(t *testing.T) int {
	t.Helper()
	return eval[int](t, p, "document.documentElement.scrollWidth")
}

// fits fails when one has to scroll the page sideways, or text is too small to read. The
// frames of maps scroll by themselves.
func (p *page) fits(t *testing.T, width int) {
	t.Helper()
	if got := p.width(t); got > width {
		t.Errorf("%s: %d pixels wide in a window of %d", p.url, got, width)
	}
	const inner = `[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && getComputedStyle(e).display != 'inline' && !e.matches('.scroll, .scroll *')).map(e => e.outerHTML.slice(0, 120))`
	for _, e := range eval[[]string](t, p, inner) {
		t.Errorf("%s at %d: text runs out of %s", p.url, width, e)
	}
	const size = `Math.min(...[...document.querySelectorAll('body *')].filter(e => e.innerText && e.checkVisibility()).map(e => parseFloat(getComputedStyle(e).fontSize)))`
	if px := eval[float64](t, p, size); px < 11.5 {
		t.Errorf("%s: text of %v pixels", p.url, px)
	}
}

func (p *page) screenshot(t *testing.T, name string) {
	t.Helper()
	var shot struct{ Data []byte }
	p.call(t, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	keep(t, name, shot.Data)
}

// keep writes a file that -artifacts keeps.
func keep(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// eval returns the value of an expression in a page.
func eval[T any](t *testing.T, p *page, expression string) T {
	t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	var v T
	if len(answer.ExceptionDetails) > 0 {
		t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if len(answer.Result.Value) > 0 {
		if err := json.Unmarshal(answer.Result.Value, &v); err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
	}
	return v
}
