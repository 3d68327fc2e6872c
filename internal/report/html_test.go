package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/picture"
)

// The page holds these elements and attributes and no others: none of them can
// run or load anything. style and content are looked at by themselves.
var (
	htmlElements = strings.Fields(`html head meta title style body a p header h1 h2 h3 h4 dl div dt dd nav ul li main section
		strong svg rect table caption thead tr th tbody td span bdi code fieldset legend label input article details summary pre mark footer`)
	htmlAttributes = strings.Fields(`lang charset http-equiv content name class href id aria-label aria-labelledby aria-hidden focusable
		width height viewbox preserveaspectratio x y fill stroke scope colspan hidden type checked autocomplete open data-label`)
)

// verifyHTML checks what no report may change about the page.
func verifyHTML(t testing.TB, out string, r *Report) {
	t.Helper()
	page, err := html.Parse(strings.NewReader(out))
	if err != nil {
		t.Fatalf("html: %v", err)
	}
	for i, c := range out {
		if c != '\n' && c != utf8.RuneError && !visible(c) {
			t.Fatalf("html: raw %U in %q", c, out[max(0, i-40):min(len(out), i+20)])
		}
	}
	ids := map[string]bool{}
	var wanted []string
	var policy, style string
	level := 0
	for n := range page.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("html: comment %q", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(htmlElements, n.Data) {
			t.Errorf("html: element %s", n.Data)
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if !slices.Contains(htmlAttributes, strings.ToLower(a.Key)) {
				t.Errorf("html: attribute %s=%q of %s", a.Key, a.Val, n.Data)
			}
		}
		if id, ok := attr["id"]; ok {
			if ids[id] || id == "" {
				t.Errorf("html: id %q twice", id)
			}
			ids[id] = true
		}
		if label, ok := attr["aria-labelledby"]; ok {
			wanted = append(wanted, label)
		}
		if href, ok := attr["href"]; ok {
			anchor, found := strings.CutPrefix(href, "#")
			if !found {
				t.Errorf("html: link to %q", href)
			}
			wanted = append(wanted, anchor)
		}
		switch n.Data {
		case "meta":
			if attr["http-equiv"] == "Content-Security-Policy" {
				policy = attr["content"]
			} else if attr["http-equiv"] != "" {
				t.Errorf("html: meta %v", attr)
			}
		case "style":
			if style != "" || policy == "" {
				t.Error("html: a second style sheet, or one that stands before the policy")
			}
			style = n.FirstChild.Data
		case "th":
			if attr["scope"] == "" {
				t.Error("html: a heading cell that does not say what it heads")
			}
		case "h1", "h2", "h3", "h4":
			next := int(n.Data[1] - '0')
			if next > level+1 {
				t.Errorf("html: %s after a heading of level %d", n.Data, level)
			}
			level = next
		}
	}
	for _, id := range wanted {
		if !ids[id] {
			t.Errorf("html: nothing is called %q", id)
		}
	}
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if policy != want || len(style) < 1000 {
		t.Errorf("html: policy %q does not allow the style sheet and nothing else: want %q", policy, want)
	}
	for _, never := range []string{"@import", "url(", "@font-face"} {
		if strings.Contains(style, never) {
			t.Errorf("html: the style sheet has %s", never)
		}
	}
	if n := strings.Count(out, `<tr id="row-`); n != len(r.Recommendations) {
		t.Errorf("html: %d rows of %d recommendations", n, len(r.Recommendations))
	}
}

// The pages of the reports in testdata, without the style sheet, are what the
// golden files say.
func TestHTMLGolden(t *testing.T) {
	style := regexp.MustCompile(`(?s)<style>.*</style>|sha256-[^=]*=`)
	for _, file := range reports(t) {
		o := testOptions()
		o.Excerpt = func(_ string, line int) (string, bool) {
			return fmt.Sprintf("    line: %d <of the source>", line), line > 0
		}
		r := load(t, file)
		got := render(t, "html", r, o)
		verifyHTML(t, got, r)
		got = style.ReplaceAllString(got, "…")
		golden := strings.TrimSuffix(file, ".json") + ".html.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatalf("%v: run the test with -update and look at it", err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got), -update if it is right:\n%s", filepath.Base(golden), diff)
		}
	}
}

// Whatever stands in any field is text on the page.
func TestHTMLHostile(t *testing.T) {
	for _, evil := range []string{
		`"><script>alert(1)</script>`, `' onmouseover='alert(1)`, `" style="display:none`, "</style><style>*{display:none}</style>",
		`<img src=https://example.com/x.png>`, `javascript:alert(1)`, "--><!-- ", "]]>", "</title><script>", "{{.}}",
		"\u202egnp.exe\u2066", "\x00\x1b[2J\u0085", "\xff\xfe", "a\u200bb\ufeff", "", " ", strings.Repeat("x", 1<<16), "summary", "findings-title",
	} {
		r := load(t, "testdata/shop.json")
		fill(&feed{text: evil}, r)
		o := testOptions()
		o.Excerpt = func(string, int) (string, bool) { return evil, true }
		verifyHTML(t, render(t, "html", r, o), r)
	}
}

// A report of any size gives a page that a browser can open, with the worst of
// it, and says what it leaves out.
func TestHTMLBounds(t *testing.T) {
	for _, test := range []struct {
		name, text string
		shown      int // of the first row, at least
	}{
		{"usual", "usual", htmlFindings},
		{"hostile", strings.Repeat("\u202e", 1000), 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := load(t, "testdata/shop.json")
			example := r.Findings[0]
			r.Findings = nil
			for i := range 64_000 {
				f := example
				f.ID, f.Object.Name = strconv.Itoa(i), fmt.Sprintf("web-%d", i/3)
				f.Recommendation = r.Recommendations[i%len(r.Recommendations)].ID
				f.Message, f.Path, f.Value, f.Location.File = test.text, test.text, test.text, test.text
				f.Severity = guide.Low
				if i > 63_000 {
					f.Severity = guide.Critical
				}
				r.Findings = append(r.Findings, f)
			}
			for range 2000 {
				issue := evidence.Issue{File: test.text, Line: 1, Reason: test.text}
				s := r.Sources[0]
				s.Errors, s.Skipped, s.Warnings = append(s.Errors, issue), append(s.Skipped, issue), append(s.Warnings, issue)
				r.Exceptions = append(r.Exceptions, ExceptionUse{Source: test.text, Matches: test.text, State: "unused", Reason: test.text})
				r.Gaps = append(r.Gaps, evidence.Gap{Reason: test.text})
			}
			out := render(t, "html", r, testOptions())
			if len(out) > 20<<20 {
				t.Errorf("%d bytes", len(out))
			}
			for _, want := range []string{"findings are not shown,", fmt.Sprintf("Showing %d of ", min(htmlFindings, strings.Count(out, `class="finding `))), "more: the JSON report has all"} {
				if test.name == "usual" && !strings.Contains(out, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if n := strings.Count(out, `class="finding `); n < test.shown {
				t.Errorf("%d findings", n)
			}
			if strings.Count(out, `class="finding f-critical"`) == 0 || !strings.Contains(out, "findings are not shown,") {
				t.Error("the worst are cut, or nothing says so")
			}
		})
	}
}

// Lines of sources are shown but for credentials, and every file is read once.
func TestHTMLExcerpts(t *testing.T) {
	r := load(t, "testdata/shop.json")
	example := r.Findings[0]
	r.Findings = nil
	for i := range 40 {
		f := example
		f.ID, f.Severity = strconv.Itoa(i), guide.Severity(1+i%5)
		f.Location = Location{File: fmt.Sprintf("%d.yaml", i%4), Line: i + 1, Column: 5}
		f.Sensitive = i == 39
		r.Findings = append(r.Findings, f)
	}
	var files []string
	o := Options{Excerpt: func(file string, line int) (string, bool) {
		if len(files) == 0 || files[len(files)-1] != file {
			files = append(files, file)
		}
		return fmt.Sprintf("    a<b: %d", line), line != 38
	}}
	out := render(t, "html", r, o)
	verifyHTML(t, out, r)
	if diff := cmp.Diff([]string{"0.yaml", "1.yaml", "2.yaml", "3.yaml"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if n := strings.Count(out, "<mark>a&lt;b: "); n != 38 || strings.Contains(out, "a&lt;b: 40") || strings.Contains(out, "a&lt;b: 38") {
		t.Errorf("%d lines", n)
	}
}

func TestHTMLExcerptAt(t *testing.T) {
	long := strings.Repeat("é", 1000)
	for _, test := range []struct {
		line           string
		column         int
		before, marked string
	}{
		{"    privileged: true", 17, "privileged: ", "true"},
		{"    privileged: true", 5, "", "privileged: true"},
		{"    privileged: true  ", 3, "", "  privileged: true"},
		{"    privileged: true", 0, "privileged: true", ""},
		{"\tprivileged: true", 100, "privileged: true", ""},
		{"x\u202ey", 2, "x", `\u202ey`},
		{"  ", 1, "", ""},
		{long, 1, "", long[:2*htmlExcerpt] + "…"},
		{long, 0, long[:2*htmlExcerpt] + "…", ""},
		{long, 1000, "…" + long[:htmlExcerpt], "é"},
	} {
		before, marked := htmlExcerptAt(test.line, test.column)
		if before != test.before || marked != test.marked {
			t.Errorf("%.30q at %d: %q %q, want %q %q", test.line, test.column, before, marked, test.before, test.marked)
		}
	}
}

// What is read stands out from what it stands on as WCAG 2 asks for at level AA,
// in both schemes.
func TestHTMLContrast(t *testing.T) {
	style, err := htmlFiles.ReadFile("html/report.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(style), "@media screen and (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}")
	names := map[string][]string{}
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(text, -1) {
			rgb, err := strconv.ParseUint(m[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			colors[m[1]] = luminance(rgb)
			names[scheme] = append(names[scheme], m[1])
		}
		pairs := [][2]string{{"ink", "page"}, {"ink", "panel"}, {"ink", "mark"}, {"soft", "page"}, {"soft", "panel"}, {"soft", "mark"},
			{"link", "page"}, {"link", "panel"}, {"link", "mark"}}
		for name := range colors {
			if _, ok := colors[name+"-on"]; ok {
				pairs = append(pairs, [2]string{name, name + "-on"})
			}
		}
		if len(pairs) < 20 {
			t.Errorf("%s: only %d pairs", scheme, len(pairs))
		}
		for _, p := range pairs {
			a, b := colors[p[0]], colors[p[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want 4.5", scheme, p[0], p[1], ratio)
			}
		}
	}
	if diff := cmp.Diff(names["light"], names["dark"]); diff != "" {
		t.Errorf("the schemes differ in their colors (-light +dark):\n%s", diff)
	}
}

// luminance is the relative luminance of WCAG 2.
func luminance(rgb uint64) float64 {
	part := func(v uint64) float64 {
		c := float64(v&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(rgb>>16) + 0.7152*part(rgb>>8) + 0.0722*part(rgb)
}

// The maps of networks stand in the page with a style sheet that its policy names.
func TestHTMLMaps(t *testing.T) {
	maps := []picture.Map{
		{Title: "<b>prod</b>", Areas: []picture.Area{{Name: "shop", Boxes: []picture.Box{{Name: "web"}, {Name: "</svg><script>"}}}}, Lines: []picture.Line{{From: 0, To: 1, Ports: "TCP 80"}}},
		{Title: "stage", Areas: []picture.Area{{Name: "shop"}}},
	}
	var b bytes.Buffer
	if err := Formats()["html"](&b, &Report{}, Options{Maps: maps}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{`id="network"`, `id="map0"`, `id="map1"`, "&lt;b&gt;prod&lt;/b&gt;", "shop/web → shop/&lt;/svg&gt;&lt;script&gt;: TCP 80", `href="#network"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(page, "<script") {
		t.Error("a name became an element")
	}
	sheets := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(page, -1)
	if len(sheets) != 2 {
		t.Fatalf("%d style sheets", len(sheets))
	}
	for i, s := range sheets {
		sum := sha256.Sum256([]byte(s[1]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the policy does not allow style sheet %d", i)
		}
	}
}
