package files

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n"

func pod(spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n" + spec
}

func chart(t *testing.T, extra string) {
	write(t, "chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"+extra)
	write(t, "chart/templates/good.yaml", strings.ReplaceAll(good, "good", "of-the-chart"))
}

// Whatever is wrong is told in one place, and nothing beside it is lost. What is
// told stands in testdata/bad.txt, by the name of the test.
func TestBadInput(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
	}
	var golden []txtar.File
	const name = "testdata/bad.txt"
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for _, test := range []struct {
		name string
		file string // the text of bad.yaml
		make func(t *testing.T)
	}{
		{name: "broken document of many", file: good + "---\na: [b\n---\n" + good},
		{name: "tab", file: good + "data:\n\ta: b\n"},
		{name: "duplicate key", file: good + "kind: Secret\n"},
		{name: "unknown anchor", file: good + "data: *nowhere\n"},
		{name: "alias bomb", file: good + "---\n" + bomb},
		{name: "nested too deep", file: good + "data: " + deep},
		{name: "UTF-16", file: string(append([]byte{0xff, 0xfe}, utf16le(good)...))},
		{name: "byte order mark", file: "\ufeff" + good},
		{name: "CRLF", file: strings.ReplaceAll(good, "\n", "\r\n")},
		{name: "a line of a megabyte", file: good + "data: {a: " + strings.Repeat("x", 1<<20) + "}\n"},
		{name: "binary", file: "\x7fELF\x02\x01\x00\x00\x00\x00kind"},
		{name: "not UTF-8", file: good + "data: {a: \"\xff\"}\n"},
		{name: "empty", file: ""},
		{name: "only comments", file: "# nothing\n---\n# here\n"},
		{name: "empty List", file: "apiVersion: v1\nkind: List\nitems: []\n"},
		{name: "List with a bad item", file: "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: in-a-list}}\n- {apiVersion: v1, kind: ConfigMap}\n- text\n"},
		{name: "template", file: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-x\n"},
		{name: "number as text", file: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: \"three\"\n"},
		{name: "lun as text", file: pod("  volumes:\n  - name: v\n    iscsi:\n      lun: \"0\"\n")},
		{name: "quoted port", file: pod("  containers:\n  - name: c\n    ports:\n    - containerPort: \"80\"\n")},
		{name: "kind in the wrong case", file: "apiVersion: apps/v1\nkind: deployment\nmetadata: {name: d}\n"},
		{name: "no name", file: "apiVersion: v1\nkind: Pod\nmetadata: {}\n"},
		{name: "no kind", file: "apiVersion: v1\nmetadata: {name: x}\nspec: {}\n"},
		{name: "no apiVersion", file: "kind: Pod\nmetadata: {name: x}\n"},
		{name: "generateName", file: "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: g-}\n"},
		{name: "unknown field", file: "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  contaners: []\n"},
		{name: "secret of a wrong type", file: "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  password: hunter2-is-not-base64!\n"},
		{name: "secret with a number", file: "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: 4711\n"},
		{name: "a folder of this name", make: func(t *testing.T) { write(t, "bad.yaml/in.yaml", strings.ReplaceAll(good, "good", "inside")) }},
		{name: "200 MB", make: func(t *testing.T) {
			write(t, "bad.yaml", good)
			check(t, os.Truncate("bad.yaml", 200<<20))
		}},
		{name: "named pipe", make: func(t *testing.T) { check(t, syscall.Mkfifo("bad.yaml", 0o666)) }},
		{name: "socket", make: func(t *testing.T) {
			l, err := net.Listen("unix", "bad.yaml")
			check(t, err)
			t.Cleanup(func() { l.Close() })
		}},
		{name: "link loop", make: func(t *testing.T) {
			check(t, os.Symlink("bad.yaml", "bad.yaml"))
			check(t, os.Symlink(".", "around"))
			check(t, os.Symlink("round", "round"))
		}},
		{name: "link out of the folder", make: func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "secret.yaml")
			write(t, out, strings.ReplaceAll(good, "good", "outside"))
			check(t, os.Symlink(out, "bad.yaml"))
			check(t, os.Symlink(filepath.Dir(out), "out"))
		}},
		{name: "dangling link", make: func(t *testing.T) {
			check(t, os.Symlink("nowhere", "bad.yaml"))
			check(t, os.Symlink("nowhere", "folder"))
			check(t, os.Symlink("nowhere", "README.md"))
		}},
		{name: "link to a good file", make: func(t *testing.T) { check(t, os.Symlink("good.yaml", "bad.yaml")) }},
		{name: "name with control characters", make: func(t *testing.T) { write(t, "a\nb\x1b[31m.yaml", "apiVersion: v1\nkind: Pod\n") }},
		{name: "chart that does not render", make: func(t *testing.T) {
			chart(t, "")
			write(t, "chart/templates/bad.yaml", "a: b\nc: {{ fail \"no luck\" }}\n")
		}},
		{name: "chart with broken output", make: func(t *testing.T) {
			chart(t, "")
			write(t, "chart/templates/bad.yaml", "apiVersion: v1\n{{ if true }}\nkind: {{ \"[\" }}\n{{ end }}\n")
		}},
		{name: "chart with a missing dependency", make: func(t *testing.T) {
			chart(t, "dependencies:\n- {name: redis, version: 1.0.0, repository: https://charts.example.com}\n")
		}},
		{name: "chart with broken values", make: func(t *testing.T) {
			chart(t, "")
			write(t, "chart/values.yaml", "a: [\n")
		}},
		{name: "chart without a name", make: func(t *testing.T) { write(t, "chart/Chart.yaml", "apiVersion: v2\n") }},
		{name: "archives", make: func(t *testing.T) {
			archive(t, "chart.tgz", map[string]string{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n", "c/templates/x.yaml": strings.ReplaceAll(good, "good", "packed")})
			archive(t, "other.tgz", map[string]string{"x/readme": "x"})
			write(t, "broken.tgz", "not packed")
			archive(t, "evil.tgz", map[string]string{"c/../../evil": "x"})
		}},
		{name: "overlay that refers outside", make: func(t *testing.T) {
			write(t, "o/kustomization.yaml", "resources:\n- /etc/passwd\n")
			write(t, "p/kustomization.yaml", "resources: [cm.yaml]\npatches:\n- path: ../good.yaml\n  target: {kind: Pod}\n")
			write(t, "p/cm.yaml", strings.ReplaceAll(good, "good", "in-an-overlay"))
			write(t, "q/kustomization.yaml", "resources:\n- git@github.com:x/y.git\n- cm.yaml\n")
			write(t, "q/cm.yaml", strings.ReplaceAll(good, "good", "beside-the-remote"))
		}},
		{name: "overlay of a pipe", make: func(t *testing.T) {
			write(t, "o/kustomization.yaml", "resources: [pipe.yaml]\n")
			check(t, syscall.Mkfifo("o/pipe.yaml", 0o666))
		}},
		{name: "binary that speaks of nothing", file: "\x7fELF\x02\x01\x00\x00\x00\x00"},
		{name: "deep folders", make: func(t *testing.T) {
			dir, err := os.Getwd()
			check(t, err)
			for range 1000 {
				check(t, os.Mkdir("d", 0o777))
				check(t, os.Chdir("d"))
			}
			write(t, "x.yaml", strings.ReplaceAll(good, "good", "deep-down"))
			check(t, os.Chdir(dir))
		}},
	} {
		golden = append(golden, txtar.File{Name: test.name})
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, "good.yaml", good)
			if test.make != nil {
				test.make(t)
			} else {
				write(t, "bad.yaml", test.file)
			}
			snap := read(t, ".")
			got := strings.ReplaceAll(describe(snap), strings.Repeat("d/", 1000), "d/…/")
			if !strings.Contains(got, "  ConfigMap default/good good.yaml:1\n") {
				t.Error("good.yaml is lost")
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a secret value is shown")
			}
			golden[len(golden)-1].Data = []byte(strings.ReplaceAll(got, "\x1b", "ESC"))
		})
	}
	if *update {
		check(t, os.WriteFile(name, txtar.Format(&txtar.Archive{Files: golden}), 0o666))
		return
	}
	want, err := txtar.ParseFile(name)
	check(t, err)
	if diff := cmp.Diff(string(txtar.Format(want)), string(txtar.Format(&txtar.Archive{Files: golden}))); diff != "" {
		t.Errorf("-want +got (go test -update writes it):\n%s", diff)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func archive(t *testing.T, name string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		check(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o666, Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(text))
		check(t, err)
	}
	check(t, w.Close())
	check(t, z.Close())
	write(t, name, b.String())
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Paths that the user names himself, and streams.
func TestBadPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "good.yaml", good)
	write(t, "picture.png", "\x89PNG\r\n\x1a\n\x00\x00")
	write(t, "notes.txt", "a: [b\n")
	write(t, "broken.tgz", "not packed")
	check(t, syscall.Mkfifo("pipe", 0o666))
	check(t, os.Symlink("nowhere", "dangling"))
	check(t, os.Symlink("loop", "loop"))
	check(t, os.Mkdir("empty", 0o777))
	for _, test := range []struct {
		path  string
		stdin io.Reader
		want  string
	}{
		{path: "picture.png", want: "error: picture.png:3: binary file"},
		{path: "notes.txt", want: "error: notes.txt:1: a comma or \"]\" is missing in the list that begins here: it is not closed before line 2"},
		{path: "broken.tgz", want: "error: broken.tgz: gzip: invalid header"},
		{path: "pipe", want: "error: pipe: a named pipe, not a file: give it on standard input"},
		{path: "/dev/zero", want: "error: /dev/zero: a device, not a file"},
		{path: "dangling", want: "error: dangling: a link that leads nowhere"},
		{path: "loop", want: "error: loop: a link that leads to itself"},
		{path: "absent.yaml", want: "error: absent.yaml: no such file or directory"},
		{path: "absent/*.yaml", want: "error: absent/*.yaml: the pattern matches nothing"},
		{path: "[", want: "error: [: not a path, and not a pattern: a bracket is not closed"},
		{path: "empty", want: "warning: empty: nothing to judge in it: no manifest, no chart, no kustomization"},
		{path: "good.yaml/x", want: "error: good.yaml/x: not a directory"},
		{path: "-", stdin: strings.NewReader(""), want: "error: <stdin>: there is nothing in it: did the command that writes it fail?"},
		{path: "-", stdin: strings.NewReader("Error: no such release\n"), want: "skipped: <stdin>:1: not a Kubernetes object: no apiVersion and no kind"},
		{path: "-", stdin: zeros{}, want: "error: <stdin>: longer than the 128 MiB that are read of one file"},
		{path: "-", stdin: iotest.ErrReader(errors.New("input/output error")), want: "error: <stdin>: input/output error"},
	} {
		snap := &evidence.Snapshot{}
		if err := Read(context.Background(), snap, Options{Paths: []string{test.path, "good.yaml"}, Stdin: test.stdin}); err != nil {
			t.Errorf("%s: %v", test.path, err)
		}
		sound(t, snap)
		got := describe(snap)
		if !strings.Contains(got, "  "+test.want+"\n") || !strings.Contains(got, "ConfigMap default/good good.yaml:1\n") {
			t.Errorf("%s: want %q and the good object, got\n%s", test.path, test.want, got)
		}
	}
}

func TestNothingToRead(t *testing.T) {
	t.Chdir(t.TempDir())
	err := Read(context.Background(), &evidence.Snapshot{}, Options{Paths: []string{"a", "b*"}})
	if want := "nothing to read: a: no such file or directory; b*: the pattern matches nothing"; !errors.Is(err, ErrNothing) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A stream that the shell made for a command is read; its name is not a file's.
func TestProcessSubstitution(t *testing.T) {
	from, to, err := os.Pipe()
	check(t, err)
	defer from.Close()
	go func() {
		fmt.Fprint(to, good)
		to.Close()
	}()
	path := fmt.Sprintf("/dev/fd/%d", from.Fd())
	snap := &evidence.Snapshot{}
	check(t, Read(context.Background(), snap, Options{Paths: []string{path}}))
	if len(snap.ConfigMaps) != 1 {
		t.Error(describe(snap))
	}
}

// What vanishes after it was found is told, and hides nothing.
func TestVanish(t *testing.T) {
	t.Chdir(t.TempDir())
	chart(t, "")
	write(t, "good.yaml", good)
	write(t, "folder/a.yaml", good)
	write(t, "overlay/kustomization.yaml", "resources: [a.yaml]\n")
	write(t, "overlay/a.yaml", good)
	snap := &evidence.Snapshot{}
	check(t, Read(context.Background(), snap, Options{Paths: []string{"."}, Progress: func(what string) {
		switch what {
		case "folder/a.yaml":
			os.RemoveAll("folder")
		case "overlay", "chart":
			os.RemoveAll(what)
		}
	}}))
	want := `manifest .: 3 files, 3 documents
  ConfigMap default/good good.yaml:1
  error: folder/a.yaml: no such file or directory
  error: overlay/a.yaml: no such file or directory
kustomize overlay: 1 files, 1 documents
  error: overlay: kustomization overlay cannot be built: no kustomization file here
helm chart: 1 files, 1 documents
  error: chart: no such file or directory
`
	if diff := cmp.Diff(want, describe(snap)); diff != "" {
		t.Error(diff)
	}
	if len(snap.Gaps) != 4 {
		t.Errorf("%d gaps, want 4", len(snap.Gaps))
	}
}

func TestCancel(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "good.yaml", good)
	chart(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Read(ctx, &evidence.Snapshot{}, Options{Paths: []string{"."}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestManyFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "good.yml", good)
	for i := range 10_000 {
		if i%1000 == 0 {
			check(t, os.Mkdir(fmt.Sprint(i/1000), 0o777))
		}
		check(t, os.Link("good.yml", fmt.Sprintf("%d/%d.yaml", i/1000, i)))
	}
	check(t, os.Remove("good.yml"))
	snap := &evidence.Snapshot{}
	check(t, Read(context.Background(), snap, Options{Paths: []string{".", "0/*.yaml"}}))
	if len(snap.ConfigMaps) != 10_000 || snap.Sources[0].Files != 10_000 {
		t.Errorf("%d objects of %d files", len(snap.ConfigMaps), snap.Sources[0].Files)
	}
	for i := 1; i < len(snap.Objects); i++ {
		before, after := snap.Objects[i-1].Position(evidence.Path{}).File, snap.Objects[i].Position(evidence.Path{}).File
		if before >= after {
			t.Fatalf("%s is after %s", before, after)
		}
	}
}

// A chart gives the same objects as folder, as archive and as the text that Helm
// would print.
func TestChartForms(t *testing.T) {
	t.Chdir(t.TempDir())
	chart(t, "")
	template := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\nspec:\n  containers:\n  - {name: c, image: {{ .Values.image }}}\n"
	write(t, "chart/values.yaml", "image: web\n")
	write(t, "chart/templates/pod.yaml", template)
	files := map[string]string{}
	check(t, filepath.WalkDir("chart", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	archive(t, "chart.tgz", files)
	write(t, "rendered.yaml", strings.ReplaceAll(good, "good", "of-the-chart")+"---\n"+
		strings.NewReplacer("{{ .Release.Name }}", "release-name", "{{ .Values.image }}", "web").Replace(template))
	for _, namespace := range []string{"", "shop"} {
		var want string
		for _, path := range []string{"chart", "chart.tgz", "rendered.yaml"} {
			snap := &evidence.Snapshot{}
			o := Options{Paths: []string{path}}
			o.Manifest.Namespace, o.Helm.Namespace = namespace, namespace
			check(t, Read(context.Background(), snap, o))
			var got string
			for _, ref := range snap.Objects {
				got += fmt.Sprintln(ref.APIVersion, ref, ref.NamespaceAssumed)
			}
			if want == "" {
				want = got
			}
			if got != want || len(snap.Workloads) != 1 {
				t.Errorf("%s in namespace %q: got\n%swant\n%s", path, namespace, got, want)
			}
		}
	}
}

// Charts that ask for themselves with ever new values come to an end.
func TestEndlessApplications(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n")
	write(t, "chart/values.yaml", "name: x\n")
	write(t, "chart/templates/app.yaml", `{{ range list "a" "b" "c" }}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: {{ $.Values.name }}{{ . }}}
spec: {source: {path: chart, helm: {valuesObject: {name: {{ $.Values.name }}{{ . }}}}}}
{{ end }}
`)
	snap := &evidence.Snapshot{}
	check(t, Read(context.Background(), snap, Options{Paths: []string{"."}}))
	sound(t, snap)
	got := describe(snap)
	if len(snap.Sources) > maxRenderings+1 || !strings.Contains(got, "each by the one before") || !strings.Contains(got, "is not rendered: 2000 things") {
		t.Errorf("%d sources, %d objects", len(snap.Sources), len(snap.Objects))
	}
}

// An object cannot ask for what is outside of the folders that were named.
func TestAskedOutside(t *testing.T) {
	outside := t.TempDir()
	t.Chdir(outside)
	write(t, "secret/cm.yaml", strings.ReplaceAll(good, "good", "secret"))
	write(t, "secret/values.yaml", "name: secret\n")
	t.Chdir(t.TempDir())
	chart(t, "")
	write(t, "chart/templates/name.yaml", strings.ReplaceAll(good, "good", "'{{ .Values.name }}{{ .Values.text }}'"))
	check(t, os.Symlink(filepath.Join(outside, "secret"), "link"))
	check(t, os.Symlink(filepath.Join(outside, "secret", "values.yaml"), "chart/more.yaml"))
	app := "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {source: %s}\n---\n"
	write(t, "apps/apps.yaml", fmt.Sprintf(app, "{path: link}")+fmt.Sprintf(app, "{path: '"+filepath.Join(outside, "secret")+"'}")+
		fmt.Sprintf(app, "{path: chart, helm: {valueFiles: [/link/values.yaml], fileParameters: [{name: text, path: ../link/cm.yaml}]}}"))
	snap := read(t, ".")
	if got := describe(snap); strings.Contains(got, "secret\n") || strings.Contains(got, "/secret ") || strings.Count(got, "  opaque: ") != 4 {
		t.Error(got)
	}
}

// A chart that an Application renders is rendered once, but when the user names it
// with values of his own.
func TestNamedChart(t *testing.T) {
	t.Chdir(t.TempDir())
	chart(t, "")
	write(t, "chart/apps/app.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {source: {path: ., repoURL: 'https://example.com/x'}}\n")
	write(t, "chart/.git/config", "[remote \"origin\"]\n\turl = git@example.com:x.git\n")
	for _, test := range []struct {
		set  []string
		want int
	}{{nil, 1}, {[]string{"a=b"}, 2}} {
		snap := &evidence.Snapshot{}
		o := Options{Paths: []string{"chart"}}
		o.Helm.Set = test.set
		check(t, Read(context.Background(), snap, o))
		if len(snap.ConfigMaps) != test.want {
			t.Errorf("--set %v: want the chart's object %d times, got\n%s", test.set, test.want, describe(snap))
		}
	}
}
