package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

// origins are rendered lines of the test charts and where they come from. The
// source is a piece of the line in the template that nothing else there has.
var origins = []struct {
	chart    string
	template string // as Helm names it
	line     string // rendered; the n-th of the same when "#n" follows
	file     string // below the chart's folder
	source   string
	keys     []string
}{
	{"web", "web/templates/deployment.yaml", "replicas: 2", "templates/deployment.yaml", ".Values.replicaCount", []string{"replicaCount"}},
	{"web", "web/templates/deployment.yaml", "app.kubernetes.io/managed-by: Helm", "templates/_helpers.tpl", "managed-by", nil},
	{"web", "web/templates/deployment.yaml", "app.kubernetes.io/name: web#3", "templates/_helpers.tpl", "kubernetes.io/name", []string{"nameOverride"}},
	{"web", "web/templates/deployment.yaml", "name: release-name-web", "templates/deployment.yaml", "name: {{ include", []string{"nameOverride"}},
	{"web", "web/templates/deployment.yaml", "serviceAccountName: release-name-web", "templates/deployment.yaml", "serviceAccountName: ", []string{"serviceAccount.name", "fullnameOverride", "nameOverride"}},
	{"web", "web/templates/deployment.yaml", "hostNetwork: true", "templates/deployment.yaml", "hostNetwork: true", []string{"hostNetwork"}},
	{"web", "web/templates/deployment.yaml", "privileged: true", "templates/deployment.yaml", "toYaml .Values.securityContext", []string{"securityContext.privileged"}},
	{"web", "web/templates/deployment.yaml", "- NET_ADMIN", "templates/deployment.yaml", "toYaml .Values.securityContext", []string{"securityContext.capabilities.add[0]"}},
	{"web", "web/templates/deployment.yaml", "fsGroup: 2000", "templates/deployment.yaml", "toYaml .Values.podSecurityContext", []string{"podSecurityContext.fsGroup"}},
	{"web", "web/templates/deployment.yaml", `image: "registry.example/web:2.1.0"`, "templates/deployment.yaml", "image: ", []string{"image.repository", "image.tag"}},
	{"web", "web/templates/deployment.yaml", "path: /srv", "templates/deployment.yaml", "volumes:\n", []string{"volumes[0].hostPath.path"}},
	{"web", "web/templates/deployment.yaml", "example.com/owner: team-a", "templates/deployment.yaml", ".Values.podAnnotations }}\n", []string{`podAnnotations.example\.com/owner`}},
	{"web", "web/templates/deployment.yaml", "{}", "templates/deployment.yaml", "toYaml .Values.resources", []string{"resources"}},
	{"web", "web/templates/deployment.yaml", "containers:", "templates/deployment.yaml", "containers:", nil},
	{"web", "web/templates/ingress.yaml", "pathType: Exact", "templates/ingress.yaml", "pathType: {{ . }}", []string{"ingress.hosts[0].paths[1].pathType"}},
	{"web", "web/templates/ingress.yaml", `- host: "two.example"`, "templates/ingress.yaml", "- host:", []string{"ingress.hosts[1].host"}},
	{"web", "web/templates/ingress.yaml", "number: 80#3", "templates/ingress.yaml", "number: {{ $svcPort }}", []string{"service.port"}},
	{"web", "web/templates/serviceaccount.yaml", "automountServiceAccountToken: true", "templates/serviceaccount.yaml", "automountService", []string{"serviceAccount.automount"}},
	{"web", "web/templates/serviceaccount.yaml", "kind: ServiceAccount", "templates/serviceaccount.yaml", "kind: ServiceAccount", nil},
	{"web", "web/templates/tests/test-connection.yaml", "image: busybox", "templates/tests/test-connection.yaml", "image: busybox", nil},
	{"web", "web/crds/widget.yaml", "name: widgets.example.com", "crds/widget.yaml", "name: widgets", nil},

	// An alias, a sub-chart in a sub-chart, a global value, overrides.
	{"shop", "shop/charts/sessions/templates/statefulset.yaml", "image: registry.example/cache:5", "charts/cache/templates/statefulset.yaml", "image: ", []string{"global.registry", "sessions.image.name", "sessions.image.tag"}},
	{"shop", "shop/charts/sessions/templates/statefulset.yaml", "runAsNonRoot: false", "charts/cache/templates/statefulset.yaml", "toYaml", []string{"sessions.securityContext.runAsNonRoot"}},
	{"shop", "shop/charts/sessions/charts/exporter/templates/service.yaml", "- port: 9121", "charts/cache/charts/exporter/templates/service.yaml", "- port", []string{"sessions.exporter.port"}},
	{"shop", "shop/templates/settings.yaml", "imported: info", "templates/settings.yaml", "imported:", []string{"imported.level"}},
	// A library's helper, called with the context of the chart above it.
	{"shop", "shop/templates/deployment.yaml", "app.kubernetes.io/part-of: shop", "charts/common/templates/_labels.tpl", "part-of", nil},
	{"shop", "shop/templates/workers.yaml", "team: shop#2", "charts/common/templates/_labels.tpl", "toYaml .", []string{"commonLabels.team"}},
	// dict as context, tpl, merge, coalesce, ternary, inline if.
	{"shop", "shop/templates/deployment.yaml", "note: release release-name", "templates/_values.tpl", "tpl $value", []string{"extra.annotations.note"}},
	{"shop", "shop/templates/deployment.yaml", "image: registry.example/shop:7", "templates/deployment.yaml", "image: ", []string{"global.registry", "image.name", "image.tag"}},
	{"shop", "shop/templates/deployment.yaml", "readOnlyRootFilesystem: false", "templates/_values.tpl", "mergeOverwrite", []string{"defaults.securityContext.readOnlyRootFilesystem"}},
	{"shop", "shop/templates/deployment.yaml", "runAsUser: 1000", "templates/_values.tpl", "mergeOverwrite", []string{"web.securityContext.runAsUser", "defaults.securityContext.runAsUser"}},
	{"shop", "shop/templates/deployment.yaml", "hostIPC: true", "templates/deployment.yaml", "hostIPC", []string{"debug"}},
	{"shop", "shop/templates/deployment.yaml", "automountServiceAccountToken: true", "templates/deployment.yaml", "automount", []string{"debug"}},
	{"shop", "shop/templates/deployment.yaml", "shareProcessNamespace: true", "templates/deployment.yaml", "shareProcess", []string{"debug"}},
	{"shop", "shop/templates/deployment.yaml", "priorityClassName: high", "templates/deployment.yaml", "priorityClassName: ", []string{"priorityClassName"}},
	{"shop", "shop/templates/deployment.yaml", "privileged: true", "templates/deployment.yaml", "tpl .Values.extra.sidecar", []string{"extra.sidecar"}},
	{"shop", "shop/templates/deployment.yaml", "image: shop-side:1", "templates/deployment.yaml", "tpl .Values.extra.sidecar", []string{"extra.sidecar"}},
	// Loops: over a map, a list with an index, scalars, nothing of the values.
	{"shop", "shop/templates/deployment.yaml", `value: "north"`, "templates/deployment.yaml", "$value | quote", []string{"env.REGION"}},
	{"shop", "shop/templates/deployment.yaml", `value: "fast-1"`, "templates/deployment.yaml", "$e.value", []string{"envList[1].value"}},
	{"shop", "shop/templates/deployment.yaml", "value: fast", "templates/deployment.yaml", "toYaml .Values.envList", []string{"envList[1].value"}},
	{"shop", "shop/templates/deployment.yaml", "- containerPort: 9090", "templates/deployment.yaml", "- containerPort: {{ . }}", []string{"ports[1]"}},
	{"shop", "shop/templates/deployment.yaml", "- containerPort: 7001", "templates/deployment.yaml", "add 7000", nil},
	{"shop", "shop/templates/deployment.yaml", "path: /live", "templates/deployment.yaml", "path: {{ required", []string{"probes.liveness.path"}},
	{"shop", "shop/templates/deployment.yaml", "port: 8080", "templates/deployment.yaml", "index $root", []string{"ports[0]"}},
	{"shop", "shop/templates/workers.yaml", "privileged: true", "templates/workers.yaml", "privileged: {{ $worker", []string{"workers.mail.privileged"}},
	{"shop", "shop/templates/workers.yaml", "allowPrivilegeEscalation: false", "templates/workers.yaml", "{{ .privileged }}", []string{"workers.pay.privileged"}},
	{"shop", "shop/templates/workers.yaml", "kind: Deployment#2", "templates/workers.yaml", "kind: Deployment", nil},
	// Files, lookup, versions, line breaks of Windows, values of several lines.
	{"shop", "shop/templates/settings.yaml", "mode=plain", "templates/settings.yaml", "Files.Get", nil},
	{"shop", "shop/templates/settings.yaml", "appArmor: field", "templates/settings.yaml", "appArmor: field", nil},
	{"shop", "shop/templates/settings.yaml", `existing: "nothing"`, "templates/settings.yaml", "existing", nil},
	{"shop", "shop/templates/service.yaml", "type: NodePort", "templates/service.yaml", "type: NodePort", nil},
	{"shop", "shop/templates/service.yaml", "- port: 8080", "templates/service.yaml", "- port", []string{"ports[0]"}},
	{"shop", "shop/templates/job.yaml", "migrate --all", "templates/job.yaml", ".Values.job.command", []string{"job.command"}},
}

func TestOrigins(t *testing.T) {
	rendered := map[string]*Rendered{"web": renderDir(t, "testdata/web", Options{}), "shop": renderDir(t, "testdata/shop", Options{})}
	for _, o := range origins {
		t.Run(o.line, func(t *testing.T) {
			f := fileNamed(t, rendered[o.chart], o.template)
			got := f.Lines[renderedLine(t, f, o.line)]
			place := "testdata/" + o.chart + "/" + o.file
			want := Line{File: place, Line: sourceLine(t, place, o.source), ValuesKeys: o.keys}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("origin of %q (-want +got):\n%s", o.line, diff)
			}
		})
	}
}

// renderedLine returns the index of a line of a file, leaving indent aside.
func renderedLine(t *testing.T, f File, line string) int {
	t.Helper()
	text, nth, _ := strings.Cut(line, "#")
	left := 1
	fmt.Sscan(nth, &left)
	for i, l := range splitLines(string(f.Data)) {
		if strings.TrimSpace(l) == text {
			if left--; left == 0 {
				return i
			}
		}
	}
	t.Fatalf("no line %q in\n%s", line, f.Data)
	return 0
}

// sourceLine returns the line of a template that has source in it; a source
// that ends in a line break means the line below.
func sourceLine(t *testing.T, file, source string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), source); n != 1 {
		t.Fatalf("%s has %q %d times", file, source, n)
	}
	before, _, _ := strings.Cut(string(data), source)
	return 1 + strings.Count(before+source, "\n")
}

func fileNamed(t *testing.T, r *Rendered, name string) File {
	t.Helper()
	for _, f := range r.Files {
		if f.Template == name {
			return f
		}
	}
	t.Fatalf("no file %q", name)
	return File{}
}

func renderDir(t *testing.T, dir string, o Options) *Rendered {
	t.Helper()
	c, err := LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return renderChart(t, c, o)
}

func renderChart(t *testing.T, c *Chart, o Options) *Rendered {
	t.Helper()
	r, err := Render(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Files {
		if f.Err == nil && len(f.Lines) != len(splitLines(string(f.Data))) {
			t.Errorf("%s: %d lines of text, %d origins", f.Template, len(splitLines(string(f.Data))), len(f.Lines))
		}
		if bytes.ContainsRune(f.Data, markStart) {
			t.Errorf("%s has marks in it", f.Template)
		}
	}
	return r
}

// TestSameAsHelm renders with Helm's packages alone and compares.
func TestSameAsHelm(t *testing.T) {
	for _, name := range []string{"web", "shop"} {
		dir := "testdata/" + name
		c, err := loader.LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := chartutil.ProcessDependencies(c, common.Values{}); err != nil {
			t.Fatal(err)
		}
		caps := common.DefaultCapabilities.Copy()
		kv, err := common.ParseKubeVersion(DefaultKubeVersion)
		if err != nil {
			t.Fatal(err)
		}
		caps.KubeVersion = *kv
		vals, err := util.ToRenderValues(c, nil, common.ReleaseOptions{Name: "release-name", Namespace: "default", Revision: 1, IsInstall: true}, caps)
		if err != nil {
			t.Fatal(err)
		}
		want, err := engine.Render(c, vals)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range renderDir(t, dir, Options{}).Files {
			got[f.Template] = string(f.Data)
		}
		for file, text := range want {
			if strings.TrimSpace(text) == "" || path.Base(file) == "NOTES.txt" {
				if _, ok := got[file]; ok {
					t.Errorf("%s is given", file)
				}
				continue
			}
			if diff := cmp.Diff(withoutRandom(text), withoutRandom(got[file])); diff != "" {
				t.Errorf("%s (-helm +got):\n%s", file, diff)
			}
		}
	}
}

// withoutRandom leaves out the line with random text, and the sum of it.
func withoutRandom(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool {
		return strings.HasPrefix(l, "  pass: ") || strings.HasPrefix(l, "    checksum/settings: ")
	}), "\n")
}

// snippets are templates in which a mark in the wrong place would change what is
// printed or decided.
var snippets = []string{
	`{{ include "h" . | trim | nindent 2 }}`,
	`{{- include "h" . -}}   x`,
	`{{ template "h" . }}`,
	`{{ include "h" . | indent 3 | trim }}|`,
	`{{ include "blank" . | trim }}|{{ include "none" . }}|`,
	`{{ if include "none" . }}yes{{ else if eq (include "h" . | trim) "h: 1" }}h{{ end }}`,
	`{{ if include "blank" . | trim }}yes{{ else }}no{{ end }}`,
	`{{ with include "h" . }}[{{ . }}]{{ end }}{{ len (include "h" .) }}`,
	`{{ $x := include "h" . }}{{ $x | upper }}{{ $x = include "none" . }}{{ $x | default "none" }}`,
	`{{ include "h" . | quote }} {{ include "h" . | sha256sum }} {{ (include "h" .) | trunc 4 }}`,
	`{{ include "h" . | fromYaml | toYaml }} {{ (include "h" . | fromYaml).h }}`,
	`{{ .Values.none | default (include "h" .) | squote }}`,
	`{{ tpl "{{ include \"h\" . | trim | upper }}{{ if include \"none\" . }}x{{ end }}" . }}`,
	`{{ tpl "{{ define \"in\" }}in{{ end }}{{ include \"in\" . }}" . }}`,
	`{{ tpl (include "text" .) . }}{{ tpl "" . }}|{{ tpl "  " . }}|`,
	`{{ range $i, $e := until 4 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if eq $i 3 }}{{ break }}{{ end }}{{ $i }}{{ $e }}{{ end }}`,
	`{{ range 3 }}{{ . }}{{ end }}{{ range $n := 2 }}{{ $n }}{{ end }}{{ range .Values.none }}x{{ else }}empty{{ end }}`,
	`{{ $e := 0 }}{{ range $e = until 3 }}{{ $e }}{{ end }}{{ $e }}`,
	`{{ range $k, $v := dict "b" 2 "a" 1 }}{{ $k }}{{ $v }}{{ end }}{{ range $.Values.list }}{{ .x }}{{ end }}`,
	`{{ .Values.none }}|{{ .Values.none | quote }}|{{ .Values.number }}|{{ .Values.list }}|{{ .Values }}`,
	`{ {{- "x" -}} } {{ "}}" }} {{ "{{" }} {{ "a\nb" }} {{` + " `raw\n`" + ` }} {{- /* no */ -}} {{ -3 }} {{ 1.5e3 }} {{ 'a' }} {{ true }}`,
	`{{ if true }}{ {{- end }}{ {{- tpl "{ {{- 1 }} {{/**/ -}} {{ 2 }}{{ if true }}{ {{- end }}" . }} {`,
	`{{ block "b" . }}{{ .Release.Name }}{{ end }}{{ (index .Values.list 0).x }}{{ $.Chart.Name }}`,
	`{{ with $x := .Values.list }}{{ len $x }}{{ else with .Values.number }}{{ . }}{{ end }}`,
	`{{ include "twice" . }}`,
	`{{ $_ := set .Values "number" (add .Values.number 1) }}{{ .Values.number }}`,
	"a:\r\n{{- if true }}\r\n  b: {{ 1 }}\r\n{{- end }}\r\n",
	`{{ and (include "none" .) "x" }}|{{ or (include "none" .) "y" }}|{{ not (include "none" .) }}`,
	`{{ list (include "h" .) | join "," }}{{ dict "k" (include "h" .) | toJson }}{{ printf "%s" (include "h" .) }}`,
	`{{ . | include "h" }}{{ "h" | include | len }}`,
}

// TestMarksChangeNothing expects of each template the same text with marks, once
// they are taken out, as without.
func TestMarksChangeNothing(t *testing.T) {
	const chart = `-- values.yaml --
number: 7
list: [{x: 1}, {x: 2}]
-- templates/_h.tpl --
{{ define "h" }}
h: 1
{{ end }}
{{- define "none" }}{{ end }}
{{- define "blank" }}{{ if true }}   {{ end }}{{ end }}
{{- define "text" }}{{ "{{" }} include "h" . | trim }}{{ end }}
{{- define "twice" }}first{{ end }}
-- templates/_z.tpl --
{{ define "twice" }}  {{ end }}
-- templates/x.yaml --
`
	for _, s := range snippets {
		dir := t.TempDir()
		writeChart(t, dir, chart+s+"\n")
		c, err := LoadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		p, err := prepare(c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		texts, m, clean := map[string]string{}, newMarker(), map[string]string{}
		all, err := newTemplates(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all.parseOrder() {
			clean[name] = all.all[name].text
			if texts[name], err = m.mark(name, "", clean[name]); err != nil {
				t.Fatal(err)
			}
		}
		want, wantErr := all.run(t.Context(), clean, nil)
		got, gotErr := all.run(t.Context(), texts, m)
		if (wantErr == nil) != (gotErr == nil) {
			t.Errorf("%s\nclean %v\nmarked %v", s, wantErr, gotErr)
			continue
		}
		if text := stripMarks(got["c/templates/x.yaml"]); text != want["c/templates/x.yaml"] {
			t.Errorf("%s\nclean  %q\nmarked %q", s, want["c/templates/x.yaml"], text)
		}
	}
}

// FuzzMark expects of every template that parses that it does with marks too,
// and that no text makes reading marks fail.
func FuzzMark(f *testing.F) {
	for _, s := range snippets {
		f.Add(s)
	}
	f.Add(string(markStart) + "t-5" + string(markEnd) + string(markStart) + "i0.-1" + string(markEnd))
	f.Add(string(markStart) + "t9" + string(markEnd) + string(markStart) + "c" + string(markEnd) + string(markStart))
	f.Fuzz(func(t *testing.T, text string) {
		m := newMarker()
		marked, err := m.mark("x", "x", text)
		if err != nil {
			return
		}
		if _, err := parseTemplate("x", marked); err != nil && strings.Count(marked, "{{") <= maxActions {
			t.Errorf("%q: marked %q: %v", text, marked, err)
		}
		a := &analyst{marker: m, known: map[string]*analysis{}}
		root := a.walk(&body{name: "x"}, &ref{kind: inContext})
		for _, printed := range []string{text, marked} {
			var lines []string
			for _, l := range a.trace(printed, root, nil) {
				lines = append(lines, l.text)
			}
			if got, want := strings.Join(lines, "\n"), stripMarks(printed); got != want {
				t.Errorf("traced %q, stripped %q", got, want)
			}
		}
		if got, want := stripMarks(trimAroundMarks(text)), strings.TrimSpace(stripMarks(text)); got != want {
			t.Errorf("trimmed %q, want %q", got, want)
		}
	})
}

func TestSteady(t *testing.T) {
	a, b := renderDir(t, "testdata/shop", Options{}), renderDir(t, "testdata/shop", Options{})
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("two renderings differ:\n%s", diff)
	}
}

// TestArchive packs charts, and a sub-chart in one, and expects what the folder
// gives.
func TestArchive(t *testing.T) {
	packedSub := t.TempDir()
	if err := os.CopyFS(packedSub, os.DirFS("testdata/shop")); err != nil {
		t.Fatal(err)
	}
	sub := pack(t, filepath.Join(packedSub, "charts/cache"), "cache")
	if err := os.RemoveAll(filepath.Join(packedSub, "charts/cache")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(packedSub, "charts/cache-0.2.0.tgz"), sub, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"web": "testdata/web", "shop": "testdata/shop", "shop with packed sub-chart": packedSub} {
		t.Run(name, func(t *testing.T) {
			chart, _, _ := strings.Cut(name, " ")
			c, err := LoadArchive("a.tgz", bytes.NewReader(pack(t, dir, chart)))
			if err != nil {
				t.Fatal(err)
			}
			got, want := renderChart(t, c, Options{}), renderDir(t, "testdata/"+chart, Options{})
			for i, f := range want.Files {
				g := got.Files[i]
				place := "a.tgz:" + strings.TrimPrefix(f.Path, "testdata/"+chart+"/")
				if name != chart {
					place = strings.Replace(place, "charts/cache/", "charts/cache-0.2.0.tgz:", 1)
				}
				if g.Path != place {
					t.Errorf("path %q, want %q", g.Path, place)
				}
				if !bytes.Equal(g.Data, f.Data) {
					t.Errorf("%s: other text than from the folder", f.Template)
				}
				for j := range f.Lines {
					if g.Lines[j].Line != f.Lines[j].Line || !cmp.Equal(g.Lines[j].ValuesKeys, f.Lines[j].ValuesKeys) {
						t.Errorf("%s line %d: %v, want %v", f.Template, j+1, g.Lines[j], f.Lines[j])
					}
				}
			}
		})
	}
}

// pack packs a folder as `helm package` does, but without its .orig files,
// which .helmignore names.
func pack(t *testing.T, dir, name string) []byte {
	t.Helper()
	var headers []tarFile
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(p) == ".orig" {
			return err
		}
		data, err := os.ReadFile(p)
		below, _ := filepath.Rel(dir, p)
		headers = append(headers, tarFile{name + "/" + filepath.ToSlash(below), string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tgz(t, headers...)
}

type tarFile struct{ name, text string }

func tgz(t *testing.T, files ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for _, f := range files {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileArchive(t *testing.T) {
	chart := tarFile{"a/Chart.yaml", "apiVersion: v2\nname: a\nversion: 1.0.0\n"}
	nested := tgz(t, chart)
	for range maxDepth + 1 {
		nested = tgz(t, chart, tarFile{"a/charts/a.tgz", string(nested)})
	}
	var many []tarFile
	for i := range maxFiles + 1 {
		many = append(many, tarFile{fmt.Sprintf("a/f%d", i), ""})
	}
	whole := tgz(t, chart, tarFile{"a/templates/x.yaml", "a: b\n"})
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"parent":    {tgz(t, chart, tarFile{"a/../../x", ""}), "leads out"},
		"absolute":  {tgz(t, chart, tarFile{"/etc/x", ""}), "leads out"},
		"backslash": {tgz(t, chart, tarFile{`a\..\..\x`, ""}), "leads out"},
		"drive":     {tgz(t, chart, tarFile{"a/c:/x", ""}), "leads out"},
		"no folder": {tgz(t, tarFile{"Chart.yaml", chart.text}), "not in the chart's folder"},
		"bomb":      {tgz(t, chart, tarFile{"a/x", strings.Repeat("\x00", 8<<20)}), "times its size"},
		"large":     {tgz(t, chart, tarFile{"a/x", strings.Repeat("\x00", maxBytes+1)}), "larger than"},
		"many":      {tgz(t, many...), "more than"},
		"nested":    {nested, "charts in one another"},
		"cut short": {whole[:len(whole)/2], "unexpected EOF"},
		"no gzip":   {[]byte("kind: Deployment"), "header"},
		"no chart":  {tgz(t, tarFile{"a/x", ""}), "Chart.yaml"},
		"empty":     {tgz(t), "Chart.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadArchive("a.tgz", bytes.NewReader(test.data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestHostileFolder(t *testing.T) {
	for name, test := range map[string]struct{ target, want string }{
		"out":      {"../outside", "out of the chart's folder"},
		"absolute": {os.TempDir(), "out of the chart's folder"},
		"nowhere":  {"missing", "leads nowhere"},
		"loop":     {"..", "leads back"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "chart")
			writeChart(t, dir, "-- templates/x.yaml --\na: b\n")
			if err := os.WriteFile(filepath.Join(top, "outside"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(dir, "templates", "link")
			target := test.target
			if target == "../outside" {
				target = "../../outside"
			}
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			_, err := LoadDir(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestLinkInside(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir, "-- files/x.yaml --\nkind: Pod\n")
	if err := os.Symlink("files", filepath.Join(dir, "templates")); err != nil {
		t.Fatal(err)
	}
	if f := renderDir(t, dir, Options{}).Files[0]; string(f.Data) != "kind: Pod\n" {
		t.Errorf("got %q", f.Data)
	}
}

// writeChart writes the files of a txtar archive to dir, with a Chart.yaml if
// there is none.
func writeChart(t *testing.T, dir, archive string) {
	t.Helper()
	a := txtar.Parse([]byte(archive))
	a.Files = append([]txtar.File{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: c\nversion: 1.0.0\n")}}, a.Files...)
	for _, f := range a.Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFailures renders charts of which one template fails: it is located, and
// the others are there.
func TestFailures(t *testing.T) {
	helpers := strings.Builder{}
	for i := range 2000 {
		fmt.Fprintf(&helpers, "{{define \"h%d\"}}{{include \"h%d\" .}}{{end}}", i, (i+1)%2000)
	}
	for name, test := range map[string]struct {
		files string
		line  int // of templates/bad.yaml
		want  string
	}{
		"syntax":           {"-- templates/bad.yaml --\na: b\n{{ if }}\n", 2, "missing value for if"},
		"unclosed":         {"-- templates/bad.yaml --\na: {{ .Values\n", 2, "unclosed action"},
		"unknown function": {"-- templates/bad.yaml --\n\n\na: {{ env \"HOME\" }}\n", 3, `function "env" not defined`},
		"nil pointer":      {"-- templates/bad.yaml --\na: b\nc: {{ .Values.x.y.z }}\n", 2, "nil pointer"},
		"fail":             {"-- templates/bad.yaml --\n{{ fail \"not like this\" }}\n", 1, "not like this"},
		"required":         {"-- templates/bad.yaml --\na: b\n\nb: {{ required \"give me x\" .Values.x }}\n", 3, "give me x"},
		"in a helper":      {"-- templates/_h.tpl --\n{{ define \"h\" }}\n{{ .Values.x.y.z }}{{ end }}\n-- templates/bad.yaml --\na: b\n{{ include \"h\" . }}\n", 2, "nil pointer"},
		"missing helper":   {"-- templates/bad.yaml --\na: {{ include \"nope\" . }}\n", 1, "nope"},
		"secret in tpl":    {"-- values.yaml --\npass: hunter2 {{ fail \"x\" }}\n-- templates/bad.yaml --\n{{ tpl .Values.pass . }}\n", 1, "x"},
		// From here on the guard stops it.
		"include itself":    {"-- templates/bad.yaml --\n{{ define \"r\" }}{{ include \"r\" . }}{{ end }}{{ include \"r\" . }}\n", 0, "in one another"},
		"include in circle": {"-- templates/_h.tpl --\n" + helpers.String() + "\n-- templates/bad.yaml --\n{{ include \"h0\" . }}\n", 0, "in one another"},
		"tpl itself":        {"-- values.yaml --\nt: '{{ tpl .Values.t . }}'\n-- templates/bad.yaml --\n{{ tpl .Values.t . }}\n", 0, "in one another"},
		"until":             {"-- templates/bad.yaml --\n{{ range until 1000000000 }}x{{ end }}\n", 0, "too much"},
		"seq":               {"-- templates/bad.yaml --\n{{ seq 1 2 1000000000 }}\n", 0, "too much"},
		"range of a number": {"-- templates/bad.yaml --\n{{ range 1000000000 }}x{{ end }}\n", 0, "too large"},
		"loops":             {"-- templates/bad.yaml --\n{{ range until 99999 }}{{ range until 99999 }}{{ end }}{{ end }}\n", 0, "steps"},
		"repeat":            {"-- templates/bad.yaml --\n{{ repeat 2000000000 \"xxxx\" }}\n", 0, "too much"},
		"indent":            {"-- templates/bad.yaml --\n{{ indent 2000000000 \"x\" }}\n", 0, "too much"},
		"doubling":          {"-- templates/bad.yaml --\n{{ $s := \"xxxx\" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}\n", 0, "bytes"},
		"replace":           {"-- templates/bad.yaml --\n{{ $s := repeat 100000 \"a\" }}{{ replace \"a\" $s $s }}\n", 0, "too much"},
		"output":            {"-- templates/bad.yaml --\n{{ $s := repeat 1000000 \"a\" }}{{ range until 1000 }}{{ $s }}{{ end }}\n", 0, "bytes"},
		"holds itself":      {"-- templates/bad.yaml --\n{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ $d }}\n", 0, "too much"},
		"bushy":             {"-- templates/bad.yaml --\n{{ $d := dict }}{{ range until 60 }}{{ $d = dict \"a\" $d \"b\" $d }}{{ end }}{{ toYaml $d }}\n", 0, "too much"},
		"deep blocks":       {"-- templates/bad.yaml --\n" + strings.Repeat("{{if 1}}", maxActions+1) + strings.Repeat("{{end}}", maxActions+1) + "\n", 1, "actions"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeChart(t, dir, test.files+"-- templates/good.yaml --\nkind: Pod\nname: {{ .Release.Name }}\n")
			r := renderDir(t, dir, Options{})
			if f := fileNamed(t, r, "c/templates/good.yaml"); string(f.Data) != "kind: Pod\nname: release-name\n" || f.Lines[1].Line != 2 {
				t.Errorf("good.yaml: %+v", f)
			}
			f := fileNamed(t, r, "c/templates/bad.yaml")
			var failed *Error
			if !errors.As(f.Err, &failed) {
				t.Fatalf("error %v", f.Err)
			}
			if failed.Line != test.line || failed.Path != filepath.Join(dir, "templates/bad.yaml") || !strings.Contains(failed.Message, test.want) {
				t.Errorf("got %v, want line %d and %q", failed, test.line, test.want)
			}
			if strings.Contains(failed.Message, "hunter2") || strings.Contains(failed.Message, "\n") {
				t.Errorf("message %q", failed.Message)
			}
		})
	}
}

// TestRefused are charts of which nothing is rendered.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		files string
		o     Options
		want  string
	}{
		"library":            {"-- Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\ntype: library\n", Options{}, ErrLibrary.Error()},
		"missing dependency": {"-- Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, alias: store}]\n", Options{}, "not in the charts folder: db"},
		"schema":             {"-- values.schema.json --\n{\"properties\": {\"a\": {\"properties\": {\"b\": {\"type\": \"string\"}}}}}\n-- values.yaml --\na: {b: 5}\n", Options{}, "a.b: got number, want string"},
		"schema, set":        {"-- values.schema.json --\n{\"required\": [\"x\"], \"properties\": {\"p\": {\"pattern\": \"^[a-z]*$\"}}}\n", Options{Set: []string{"p=HUNTER2,x=1"}}, `p: does not match the pattern "^[a-z]*$"`},
		"schema of a sub":    {"-- charts/s/Chart.yaml --\napiVersion: v2\nname: s\nversion: 1.0.0\n-- charts/s/values.schema.json --\n{\"properties\": {\"n\": {\"type\": \"integer\"}}}\n", Options{Set: []string{"s.n=x"}}, "s.n: got string, want integer"},
		"kube version":       {"-- Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\nkubeVersion: '>=1.30.0'\n", Options{KubeVersion: "1.29"}, ">=1.30.0"},
		"bad kube version":   {"", Options{KubeVersion: "new"}, `"new"`},
		"bad set":            {"", Options{Set: []string{"a[x]=1"}}, "--set"},
		"no values file":     {"", Options{ValuesFiles: []string{"none.yaml"}}, "none.yaml"},
		"nothing":            {"", Options{}, "no templates"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeChart(t, dir, test.files)
			c, err := LoadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Render(t.Context(), c, test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "HUNTER2") {
				t.Errorf("the error has the value: %v", err)
			}
		})
	}
}

// TestRemoteSchema renders a chart whose schema refers to the network.
func TestRemoteSchema(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir, "-- values.schema.json --\n{\"$ref\": \"https://schemas.invalid/x.json\"}\n-- templates/x.yaml --\na: b\n")
	r := renderDir(t, dir, Options{})
	if len(r.Files) != 1 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "values.schema.json") {
		t.Errorf("got %+v", r)
	}
}

func TestTimeout(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := LoadDir("testdata/web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Render(ctx, c, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir, `-- values.yaml --
a: chart
b: chart
c: chart
d: chart
e: chart
f: chart
-- templates/x.yaml --
{{ range $k, $v := .Values }}{{ $k }}={{ $v }} {{ end }}
{{ kindOf .Values.e }} {{ .Release.Name }} {{ .Release.Namespace }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.APIVersions.Has "x.example/v1" }}
-- one.yaml --
c: one
d: one
e: one
-- text --
from a file`)
	got := renderDir(t, dir, Options{
		Values:      map[string]any{"b": "inline", "c": "inline"},
		ValuesFiles: []string{filepath.Join(dir, "one.yaml")},
		Set:         []string{"d=set,e=7"},
		SetString:   []string{"e=7"},
		SetFile:     []string{"f=" + filepath.Join(dir, "text")},
		ReleaseName: "r", Namespace: "n", KubeVersion: "v1.31.4", APIVersions: []string{"x.example/v1"},
	})
	want := "a=chart b=inline c=one d=set e=7 f=from a file\n \nstring r n 31 true\n"
	if diff := cmp.Diff(want, string(got.Files[0].Data)); diff != "" {
		t.Error(diff)
	}
}

// TestSwitches switches sub-charts on and off.
func TestSwitches(t *testing.T) {
	dir := t.TempDir()
	writeChart(t, dir, `-- Chart.yaml --
apiVersion: v2
name: c
version: 1.0.0
dependencies:
- {name: s, version: 1.0.0, alias: tagged, tags: [slow]}
- {name: s, version: 1.0.0, alias: switched, condition: switched.on}
-- charts/s/Chart.yaml --
apiVersion: v2
name: s
version: 1.0.0
-- charts/s/templates/x.yaml --
a: b
-- templates/x.yaml --
a: b
`)
	for set, want := range map[string][]string{
		"":                             {"c/charts/switched", "c/charts/tagged", "c"},
		"tags.slow=false":              {"c/charts/switched", "c"},
		"switched.on=false":            {"c/charts/tagged", "c"},
		"switched.on=0,tags.slow=true": {"c/charts/switched", "c/charts/tagged", "c"},
	} {
		var got []string
		for _, f := range renderDir(t, dir, Options{Set: []string{set}}).Files {
			got = append(got, strings.TrimSuffix(f.Template, "/templates/x.yaml"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("--set %q:\n%s", set, diff)
		}
	}
}
