//go:build cluster

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gabion-k8s/gabion/internal/cli"
)

// A snapshot is its owner's alone, replaces what was there as a whole, and is not
// there at all when it could not be made.
func TestSnapshotFile(t *testing.T) {
	c := shop(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "c.snap")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	args := []string{"snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", file}

	check := func(when, want string) {
		t.Helper()
		list, err := os.ReadDir(dir)
		if err != nil || len(list) > 1 || len(list) == 1 && list[0].Name() != "c.snap" {
			t.Fatalf("%s: %v (%v)", when, list, err)
		}
		text, err := os.ReadFile(file)
		if want == "" && !os.IsNotExist(err) || want != "" && string(text) != want {
			t.Fatalf("%s: %d bytes (%v), want %d", when, len(text), err, len(want))
		}
	}
	interrupt := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		var errs bytes.Buffer
		env := cli.System()
		env.Stderr = writerFunc(func(text []byte) (int, error) {
			if bytes.Contains(text, []byte("reading pods")) {
				cancel()
			}
			return errs.Write(text)
		})
		if code := cli.Main(ctx, append(append([]string{"gabion"}, args...), "-v"), env); code == 0 || !strings.HasSuffix(errs.String(), "\ngabion: interrupted\n") {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
	}
	down := kubeconfig(t, c.Kubeconfig, func(k *clientcmdapi.Config) { k.Clusters["test"].Server = "https://127.0.0.1:1" })
	fail := func() {
		t.Helper()
		if r := try(t, "snapshot", "--kubeconfig", down, "--output-file", file); r.code != 2 {
			t.Fatalf("exit code %d: %s", r.code, r.errors)
		}
	}

	fail()
	check("a server that is down", "")
	interrupt()
	check("interrupted", "")
	if r := run(t, args...); r.code != 0 || r.out+r.errors != "" {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.errors)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Fatal(info, err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fail()
	check("a server that is down, over a snapshot", string(first))
	interrupt()
	check("interrupted, over a snapshot", string(first))
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	run(t, args...)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 || info.Size() < int64(len(first))/2 {
		t.Fatal(info, err)
	}
	scan(t, "--snapshot", file)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }

// A program that is killed leaves no snapshot, or a whole one.
func TestSnapshotKilled(t *testing.T) {
	c := shop(t)
	for range 3 {
		cmd := kubectl(t, []string{"KUBECONFIG=" + c.Kubeconfig}, "gabion", "snapshot", "-v", "--output-file", "c.snap")
		errs, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for seen, text := "", make([]byte, 100); !strings.Contains(seen, "reading d"); {
			n, err := errs.Read(text)
			if seen += string(text[:n]); err != nil {
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil { // kubectl has become the plugin
			t.Fatal(err)
		}
		io.Copy(io.Discard, errs)
		cmd.Wait()
		if _, err := os.Stat(filepath.Join(cmd.Dir, "c.snap")); err == nil {
			scan(t, "--snapshot", filepath.Join(cmd.Dir, "c.snap"))
		}
	}
}

// Where a snapshot cannot be written, one line says so, before anything is read.
func TestSnapshotNowhere(t *testing.T) {
	c := shop(t)
	regular := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"":                                    "no file to write: name one with --output-file FILE",
		filepath.Join(t.TempDir(), "no", "c"): "no such file or directory",
		filepath.Join(regular, "c"):           "not a directory",
		"/proc/c.snap":                        "/proc/c.snap: ",
		t.TempDir():                           "is a directory",
	} {
		r := try(t, "snapshot", "-v", "--kubeconfig", c.Kubeconfig, "--output-file", name)
		if line, rest, _ := strings.Cut(r.errors, "\n"); r.code != 2 || rest != "" || !strings.Contains(line, want) || !strings.Contains(line, name) || strings.Contains(line, ".gabion-") {
			t.Errorf("%q: exit code %d: %s", name, r.code, r.errors)
		}
	}
	if r := try(t, "snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", "/dev/full"); r.code == 0 || !strings.Contains(r.errors, "no space left") {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}
	if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
		t.Error("the device is gone", err)
	}
}

// A snapshot of files is judged as the files are, and says where in them.
func TestSnapshotOfFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "files.snap")
	files := scan(t, "../../examples/shop")
	run(t, "snapshot", "../../examples/shop", "--output-file", file)
	stored := scan(t, "--snapshot", file)
	if diff := cmp.Diff(files, stored, sameButTimes); diff != "" {
		t.Errorf("-files +snapshot: %s", diff)
	}
	if diff := cmp.Diff(files.Sources, stored.Sources); diff != "" {
		t.Errorf("-files +snapshot: %s", diff)
	}
	located := 0
	for _, f := range stored.Findings {
		if f.Location.Line > 0 && strings.HasPrefix(f.Location.File, "../../examples/shop/") {
			located++
		}
	}
	if located < 100 {
		t.Errorf("%d findings with their lines", located)
	}
}

// What is no snapshot, or no whole one, is one line, and nothing is judged.
func TestNoSnapshot(t *testing.T) {
	c := shop(t)
	dir := t.TempDir()
	good := filepath.Join(dir, "good.snap")
	run(t, "snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", good)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	text := unzip(t, good)
	zipped := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.Bytes()
	}
	if !bytes.Contains(text, []byte(`"formatVersion":2,`)) {
		t.Fatalf("no format in %s", text[:200])
	}
	garbage := make([]byte, 5000)
	for i := range garbage {
		garbage[i] = byte(rand.IntN(256))
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":              {nil, "not a snapshot: "},
		"one byte":           {whole[:1], "cut short"},
		"half":               {whole[:len(whole)/2], "cut short"},
		"nearly all":         {whole[:len(whole)-1], "cut short"},
		"garbage":            {garbage, "not a snapshot"},
		"YAML":               {[]byte("apiVersion: v1\nkind: Pod\n"), "not compressed with gzip"},
		"a report":           {[]byte(run(t, "scan", "--snapshot", good, "-o", "json").out), "not compressed with gzip"},
		"zipped YAML":        {zipped("apiVersion: v1\nkind: Pod\n"), "not a snapshot"},
		"zipped garbage":     {zipped(string(garbage)), "UTF-8"},
		"garbage behind":     {append(bytes.Clone(whole), garbage...), "after the end"},
		"a newer format":     {zipped(strings.Replace(string(text), `"formatVersion":2,`, `"formatVersion":3,`, 1)), "has format 3, and formats up to 2 are known here"},
		"without its end":    {zipped(strings.Join(lines[:len(lines)-2], "")), "no trailer"},
		"without an object":  {zipped(strings.Join(append(append([]string{}, lines[:20]...), lines[21:]...), "")), ""},
		"with another value": {zipped(strings.Replace(string(text), "restricted", "privileged", 1)), ""},
	} {
		file := filepath.Join(dir, "bad.snap")
		if err := os.WriteFile(file, test.data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range [][]string{{"scan"}, {"rbac", "paths"}} {
			r := try(t, append(command, "--snapshot", file)...)
			line, rest, _ := strings.Cut(r.errors, "\n")
			if command[0] == "scan" {
				t.Logf("%s: %s", name, line)
			}
			if r.code != 2 || rest != "" || r.out != "" || !strings.HasPrefix(line, "gabion: error: "+file+": ") || !strings.Contains(line, test.want) || dump.MatchString(line) {
				t.Errorf("%s: exit code %d: %s%s", name, r.code, r.errors, r.out)
			}
		}
	}
	for name, args := range map[string][]string{
		"no such file or directory": {"scan", "--snapshot", filepath.Join(dir, "none.snap")},
		"is a directory":            {"scan", "--snapshot", dir},
		"give it as --snapshot":     {"scan", good},
		"gabion snapshot -n shop":   {"scan", "--snapshot", good, "-n", "shop"},
	} {
		if r := try(t, args...); r.code != 2 || strings.Count(r.errors, "\n") != 1 || !strings.Contains(r.errors, name) {
			t.Errorf("%v: exit code %d: %s", args, r.code, r.errors)
		}
	}
}
