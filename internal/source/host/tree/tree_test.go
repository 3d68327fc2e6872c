package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A link leads to a place inside the tree, wherever it points.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	must(t, os.MkdirAll(filepath.Join(root, "etc/kubernetes"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "var/lib/pki"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("outside"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "secret"), []byte("inside"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "var/lib/pki/ca.crt"), []byte("ca"), 0o644))
	for link, target := range map[string]string{
		"etc/kubernetes/pki":    "/var/lib/pki",
		"etc/kubernetes/up":     "../../../secret",
		"etc/kubernetes/abs":    "/secret",
		"etc/kubernetes/loop":   "loop",
		"etc/kubernetes/broken": "/nowhere/at/all",
		"var/lib/pki/dots":      "../../../../../../secret",
		"etc/kubernetes/dot":    "./../kubernetes/abs",
		"everything":            "/",
	} {
		must(t, os.Symlink(target, filepath.Join(root, link)))
	}
	tree, closer, err := Open(root)
	must(t, err)
	defer closer.Close()
	for file, want := range map[string]string{
		"/etc/kubernetes/pki/ca.crt":              "ca",
		"/etc/kubernetes/up":                      "inside",
		"/etc/kubernetes/abs":                     "inside",
		"/etc/kubernetes/pki/dots":                "inside",
		"/etc/kubernetes/dot":                     "inside",
		"/everything/everything/secret":           "inside",
		"../../secret":                            "inside",
		"/etc/../../secret":                       "inside",
		"/etc/kubernetes/loop":                    "error: too many levels of symbolic links",
		"/etc/kubernetes/broken":                  "error: no such file or directory",
		"/etc/kubernetes/pki/ca.crt/x":            "error: not a directory",
		"/etc/kubernetes":                         "error: not a regular file",
		"/etc/kubernetes/pki":                     "error: not a regular file",
		"/":                                       "error: not a regular file",
		"":                                        "error: not a regular file",
		"/secret/../../../../../../../etc/passwd": "error: no such file or directory",
	} {
		data, err := tree.ReadFile(file, 100)
		got := string(data)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	f := tree.Stat("/etc/kubernetes/pki/ca.crt")
	if f.Type != evidence.Regular || f.Mode != 0o644 || f.Link != "/var/lib/pki/ca.crt" || f.UID != os.Getuid() {
		t.Errorf("%+v", f)
	}
	if f := tree.Stat("/etc/kubernetes/broken"); f.Type != evidence.Missing {
		t.Errorf("%+v", f)
	}
	if f := tree.Stat("/etc/kubernetes/loop"); f.Error == "" {
		t.Errorf("%+v", f)
	}
	names, err := tree.ReadDir("/etc/kubernetes/pki")
	if diff := cmp.Diff([]string{"ca.crt", "dots"}, names); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// What is no regular file is not opened, however long one would wait for it.
func TestIrregular(t *testing.T) {
	root := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(root, "fifo"), 0o666))
	must(t, os.WriteFile(filepath.Join(root, "big"), []byte(strings.Repeat("x", 101)), 0o600))
	tree, closer, err := Open(root)
	must(t, err)
	defer closer.Close()
	done := make(chan error)
	go func() { _, err := tree.ReadFile("fifo", 100); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, ErrNotRegular) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for the FIFO")
	}
	if f, err := tree.fsys.Open("fifo"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	if _, err := tree.ReadFile("big", 100); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if data, err := tree.ReadFile("big", 101); err != nil || len(data) != 101 {
		t.Error(len(data), err)
	}
	if f := tree.Stat("fifo"); f.Type != evidence.OtherFile {
		t.Errorf("%+v", f)
	}
}

// A tree in memory tells the owners that it was given.
func TestInMemory(t *testing.T) {
	tree := New(fstest.MapFS{
		"etc/shadow": {Data: []byte("x"), Mode: 0o640 | fs.ModeSetuid, Sys: Owner{0, 42}},
		"etc/link":   {Data: []byte("/etc/shadow"), Mode: fs.ModeSymlink | 0o777},
	})
	got := tree.Stat("/etc/link")
	want := &evidence.File{Path: "/etc/link", Type: evidence.Regular, Mode: 0o4640, UID: 0, GID: 42, Size: 1, Link: "/etc/shadow"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
