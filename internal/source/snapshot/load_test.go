package snapshot_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

const (
	head    = `{"apiVersion":"gabion.dev/v1","kind":"Snapshot","formatVersion":1,"tool":{"name":"gabion","version":"v0.1.0"},"createdAt":"2026-01-02T03:04:05Z"}` + "\n"
	begin   = `{"cluster":{"name":"c","server":"s","version":"","collectedAt":"2026-01-02T03:04:05Z","lists":[]}}` + "\n"
	end     = `{"collected":{"name":"c","server":"s","version":"v1.36.3","collectedAt":"2026-01-02T03:04:05Z","lists":[]}}` + "\n"
	inFiles = `{"files":{}}` + "\n" + `{"source":{"type":"manifest","ref":"a","files":1,"documents":1,"objects":1,"skipped":[],"errors":[]}}` + "\n"
	pod     = `{"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}}` + "\n"
	podFile = `{"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}},"written":{"source":0}}` + "\n"
)

// last is a trailer whose checksum zipped puts in.
func last(worlds, objects, gaps string) string {
	return `{"trailer":{"worlds":` + worlds + `,"objects":` + objects + `,"gaps":` + gaps + `,"sha256":"SUM"}}` + "\n"
}

// hostile are texts that are no snapshot, and what is said of them; those that are
// one say nothing.
var hostile = []struct{ name, text, want string }{
	{"sound", head + begin + pod + end + last("1", "1", "0"), ""},
	{"sound files", head + inFiles + podFile + last("1", "1", "0"), ""},
	{"empty", "", "cut short"},
	{"a report", `{"apiVersion":"gabion.dev/v1","kind":"ScanReport"}` + "\n", "line 1: not a snapshot"},
	{"text", "hello\n", "line 1: not a snapshot"},
	{"no format", strings.Replace(head, `"formatVersion":1,`, "", 1), "line 1: not a snapshot"},
	{"newer format", strings.Replace(head, `1,"tool"`, `7,"news":[1],"tool"`, 1) + `{"news":1}` + "\n",
		"line 1: the snapshot has format 7, and formats up to 2 are known here: it takes gabion v0.1.0 or a newer one"},
	{"unknown in the header", strings.Replace(head, `1,"tool"`, `1,"news":[1],"tool"`, 1), `line 1: unknown field "news"`},
	{"two headers", head + head, "line 2: unknown field"},
	{"nothing in it", head + last("0", "0", "0"), "line 2: there is nothing in the snapshot"},
	{"no trailer", head + begin + pod + end, "it has no trailer"},
	{"half a line", head + begin + pod + `{"collected"`, "line 4: the snapshot is cut short"},
	{"no end of line", strings.TrimSuffix(head+begin+pod+end+last("1", "1", "0"), "\n"), "line 5: the snapshot is cut short"},
	{"wrong count", head + begin + pod + end + last("1", "2", "0"), "line 5: the snapshot is damaged"},
	{"wrong checksum", head + begin + pod + end + strings.Replace(last("1", "1", "0"), "SUM", "0123", 1), "line 5: the snapshot is damaged"},
	{"two trailers", head + begin + pod + end + last("1", "1", "0") + last("1", "1", "0"), "damaged"},
	{"after the trailer", head + begin + pod + end + strings.Replace(last("1", "1", "0"), "SUM", sumOf(head+begin+pod+end), 1) + pod, "line 6: something follows the trailer"},
	{"trailer within a cluster", head + begin + pod + last("1", "1", "0"), "line 4: the cluster before is cut short"},
	{"cluster within a cluster", head + begin + begin, "line 3: the cluster before is cut short"},
	{"files within a cluster", head + begin + inFiles, "line 3: the cluster before is cut short"},
	{"end of no cluster", head + end, "line 2: nothing says"},
	{"end of files", head + inFiles + end, "line 4: the end of a cluster that was not begun"},
	{"end of another", head + begin + strings.Replace(end, `"c"`, `"d"`, 1), "line 3: the end of a cluster"},
	{"object of nothing", head + pod, "line 2: nothing says"},
	{"object after a cluster", head + begin + end + pod, "line 4: nothing says"},
	{"gap of nothing", head + `{"gap":{"fact":"","scope":"","reason":"r"}}` + "\n", "line 2: nothing says"},
	{"gap in nothing", head + begin + `{"gap":{"fact":"pods","scope":"","reason":"r"}}` + "\n", `line 3: a gap in the unknown fact "pods"`},
	{"source of a cluster", head + begin + `{"source":{}}` + "\n", "line 3: a cluster is no source"},
	{"cluster as a source", head + `{"files":{}}` + "\n" + `{"source":{"cluster":{}}}` + "\n", "line 3: a cluster is no source"},
	{"unknown record", head + begin + `{"node":{}}` + "\n", `line 3: unknown field "node"`},
	{"unknown field", head + `{"cluster":{"name":"c","admin":true}}` + "\n", `line 2: unknown field "cluster.admin"`},
	{"field in other letters", head + strings.Replace(begin, "cluster", "Cluster", 1), `line 2: unknown field "Cluster"`},
	{"field twice", head + `{"files":{},"files":{}}` + "\n", `line 2: duplicate field "files"`},
	{"two records", head + `{"files":{},"gap":{}}` + "\n", "line 2: not one record"},
	{"no record", head + "{}\n", "line 2: not one record"},
	{"part of no object", head + begin + `{"gap":{"reason":"r"},"partial":true}` + "\n", "line 3: not one record"},
	{"empty line", head + "\n", "line 2: "},
	{"null", head + "null\n", "line 2: not one record"},
	{"wrong type", head + `{"cluster":{"name":1}}` + "\n", "line 2: "},
	{"wrong time", head + strings.Replace(begin, "2026-", "26-", 1), "line 2: "},
	{"wrong list", head + strings.Replace(begin, "[]", `{"resource":"pods"}`, 1), "line 2: "},
	{"NUL", head + begin + "{\"object\":\x00}\n", "line 3: "},
	{"not UTF-8", head + begin + "{\"gap\":{\"reason\":\"\xff\"}}\n", "line 3: the text is not UTF-8"},
	{"deep", head + begin + `{"object":` + strings.Repeat("[", 1001) + "\n", "line 3: unreadable: it is nested"},
	{"many", head + begin + `{"object":[` + strings.Repeat("{},", 500_000) + "\n", "line 3: unreadable: it has more than"},
	{"long", head + begin + strings.Repeat(" ", 17<<20) + "\n", "line 3: the line is longer than 16 MiB"},

	{"object that is a list", head + begin + `{"object":[]}` + "\n", "line 3: "},
	{"object without name", head + begin + `{"object":{"apiVersion":"v1","kind":"Pod"}}` + "\n", "line 3: an object without"},
	{"object without kind", head + begin + `{"object":{"apiVersion":"v1","metadata":{"name":"x"}}}` + "\n", "line 3: an object without"},
	{"object of another type", head + begin + `{"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":{}}}}` + "\n", "line 3: Pod p: spec.containers: want a list"},
	{"written in a cluster", head + begin + podFile, "line 3: an object of a cluster that stands in a file"},
	{"Secret with data", head + begin + `{"object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"czNjcjN0LWNhbmFyeQ=="}}}` + "\n", `line 3: Secret s: a snapshot has the metadata and the type of Secrets alone: unknown field "data"`},
	{"Secret in part with data", head + begin + `{"object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"a":"s3cr3t-canary"}},"partial":true}` + "\n", `line 3: Secret s: a snapshot has`},
	{"Secret in a file with data", head + inFiles + `{"object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"czNjcjN0LWNhbmFyeQ=="}},"written":{"source":0}}` + "\n", `line 4: Secret s: a snapshot has`},
	{"Secret in a file with other fields", head + inFiles + `{"object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"}},"written":{"source":0,"field":{"a":"s3cr3t-canary"}}}` + "\n", `line 4: Secret s: its values stand in a field`},

	{"node without a name", head + inFiles + `{"host":{"node":"","readAt":"2026-10-01T12:00:00Z","system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 4: a node without its name"},
	{"node of no source", head + inFiles + `{"host":{"node":"n1","readAt":"2026-10-01T12:00:00Z","system":{},"logging":{}}}` + "\n", "line 4: a node of a source that there is not"},
	{"node in a cluster", head + begin + `{"host":{"node":"n1","readAt":"2026-10-01T12:00:00Z","system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 3: a node of a source that there is not"},
	{"node with nothing for a component", head + inFiles + `{"host":{"node":"n1","readAt":"2026-10-01T12:00:00Z","components":[null],"system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 4: a node without its name, or with nothing"},
	{"node with nothing for a file", head + inFiles + `{"host":{"node":"n1","readAt":"2026-10-01T12:00:00Z","files":{"/a":null},"system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 4: a node without its name, or with nothing"},
	{"node with a broken outline", head + inFiles + `{"host":{"node":"n1","readAt":"2026-10-01T12:00:00Z","components":[{"name":"etcd","documents":{"a":{"file":"/a","outline":"AAAAAQ=="}}}],"system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 4: "},
	{"node with an unknown field", head + inFiles + `{"host":{"node":"n1","key":"s3cr3t-canary","readAt":"2026-10-01T12:00:00Z","system":{},"logging":{}},"written":{"source":0}}` + "\n", "line 4: unknown field"},

	{"object in no file", head + inFiles + pod, "line 4: an object of a source that there is not"},
	{"object of no source", head + inFiles + strings.Replace(podFile, "0}", "1}", 1), "line 4: an object of a source that there is not"},
	{"object of a source before the first", head + inFiles + strings.Replace(podFile, "0}", "-1}", 1), "line 4: an object of a source that there is not"},
	{"part of an object in a file", head + inFiles + strings.Replace(podFile, "\n", "", 1)[:len(podFile)-2] + `,"partial":true}` + "\n", "line 4: Pod p: in files there is no part"},
	{"outline", head + inFiles + strings.Replace(podFile, "0}", `0,"outline":"AAAAAQ=="}`, 1), "line 4: Pod p: not an outline"},
	{"outline that is no text", head + inFiles + strings.Replace(podFile, "0}", `0,"outline":"?"}`, 1), "line 4: "},
	{"object in a file of another type", head + inFiles + strings.Replace(podFile, `"name":"p"`, `"name":"p","labels":1`, 1), "line 4: Pod p: metadata.labels: want an object"},
}

func TestHostile(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			worlds, _, err := snapshot.Load(context.Background(), bytes.NewReader(zipped(test.text)), snapshot.Options{})
			switch {
			case test.want == "" && (err != nil || len(worlds) != 1):
				t.Fatal(err)
			case test.want != "" && (err == nil || worlds != nil || !strings.Contains(err.Error(), test.want)):
				t.Fatalf("%v, want %q", err, test.want)
			}
			if err != nil && leaks(err.Error()) {
				t.Errorf("the value of a Secret: %v", err)
			}
		})
	}
}

// TestFile: what is wrong with the file, whatever its text.
func TestFile(t *testing.T) {
	sound := zipped(hostile[0].text)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":        {nil, "not a snapshot: the snapshot is cut short"},
		"not gzip":       {[]byte(hostile[0].text), "not a snapshot: it is not compressed with gzip"},
		"two members":    {append(bytes.Clone(sound), sound...), "after the end"},
		"something more": {append(bytes.Clone(sound), 0), "after the end"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := snapshot.Load(context.Background(), bytes.NewReader(test.data), snapshot.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	for n := range sound {
		if _, _, err := snapshot.Load(context.Background(), bytes.NewReader(sound[:n]), snapshot.Options{}); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a snapshot", n, len(sound))
		}
	}
	broken := errors.New("the disk is broken")
	if _, _, err := snapshot.Load(context.Background(), io.MultiReader(bytes.NewReader(sound[:40]), iotest.ErrReader(broken)), snapshot.Options{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := snapshot.Load(cancelled, bytes.NewReader(sound), snapshot.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestFlipped: a bit that flips is noticed, or means nothing: then the text is the
// same.
func TestFlipped(t *testing.T) {
	sound := zipped(hostile[0].text)
	for i := range 8 * len(sound) {
		data := bytes.Clone(sound)
		data[i/8] ^= 1 << (i % 8)
		_, _, err := snapshot.Load(context.Background(), bytes.NewReader(data), snapshot.Options{})
		if err == nil && !slices.Equal(lines(t, data), lines(t, sound)) {
			t.Errorf("bit %d of byte %d is not noticed", i%8, i/8)
		}
	}
}

// repeated is a text many times over, and then an end.
type repeated struct {
	text  []byte
	times int
	rest  []byte
}

func (r *repeated) Read(p []byte) (n int, err error) {
	if len(r.rest) == 0 {
		if r.times == 0 {
			return 0, io.EOF
		}
		r.times--
		r.rest = r.text
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// bomb compresses a snapshot of one cluster with a line many times over.
func bomb(t *testing.T, line string, times int) []byte {
	t.Helper()
	var b bytes.Buffer
	zip, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	block := max(1, min(times, 1<<20/len(line)))
	from := io.MultiReader(strings.NewReader(head+begin), &repeated{text: bytes.Repeat([]byte(line), block), times: times / block})
	if _, err := io.Copy(zip, from); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs: what grows when it is unpacked is stopped, in time and in memory.
func TestBombs(t *testing.T) {
	containers := `{"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[` + strings.Repeat("{},", 200_000) + "{}]}}}\n"
	for name, test := range map[string]struct {
		data []byte
		o    snapshot.Options
		want string
	}{
		"a line without end": {bomb(t, " ", 200<<20), snapshot.Options{}, "line 3: the line is longer than 16 MiB"},
		"lines without end":  {bomb(t, pod, 1<<20), snapshot.Options{MaxBytes: 2 << 20}, "bigger than what is read"},
		"much of little":     {bomb(t, containers, 100), snapshot.Options{MaxMemory: 200 << 20}, "takes more than 200 MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			_, _, err := snapshot.Load(context.Background(), bytes.NewReader(test.data), test.o)
			runtime.ReadMemStats(&after)
			t.Logf("%d bytes, %v, %d MiB", len(test.data), time.Since(started), (after.Sys-before.Sys)>>20)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if time.Since(started) > time.Minute || after.Sys > 3<<30 {
				t.Errorf("%v, %d MiB", time.Since(started), after.Sys>>20)
			}
		})
	}
}

// FuzzLoad: whatever the lines, Load gives an error or something that can be written
// again, to the same end. The checksum is put right, lest nothing got past it.
func FuzzLoad(f *testing.F) {
	for _, test := range hostile {
		if len(test.text) < 1<<16 {
			f.Add([]byte(test.text))
		}
	}
	seed, err := os.ReadFile("testdata/format-1.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, text []byte) {
		loadAgain(t, zipped(string(text)))
	})
}

// FuzzFile: whatever the bytes.
func FuzzFile(f *testing.F) {
	f.Add(zipped(hostile[0].text))
	f.Add(zipped(hostile[1].text))
	f.Fuzz(loadAgain)
}

func loadAgain(t *testing.T, data []byte) {
	o := snapshot.Options{KeepJSON: true, MaxBytes: 1 << 20, MaxMemory: 1 << 30}
	worlds, _, err := snapshot.Load(context.Background(), bytes.NewReader(data), o)
	if err != nil {
		return
	}
	for _, world := range worlds {
		want := judge(t, world)
		if world.Cluster != nil {
			continue
		}
		again := write(t, func(w *snapshot.Writer) {
			if err := w.Files(world); err != nil {
				t.Fatal(err)
			}
		})
		worlds, _, err := snapshot.Load(context.Background(), bytes.NewReader(again), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(t, worlds[0]); got != want {
			t.Errorf("%s\nwas %s", got, want)
		}
	}
}
