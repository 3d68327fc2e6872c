package checktest

import (
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// Denied returns the files of the node for somebody who may not open one of them.
func (n *Node) Denied(t *testing.T, file string) *tree.Tree {
	t.Helper()
	return n.deny(t, func(name string) bool { return false }, func(name string) bool { return name == file })
}

// Shut returns the files of the node for somebody who may not look into the folder of
// one of them.
func (n *Node) Shut(t *testing.T, file string) *tree.Tree {
	t.Helper()
	folder := path.Dir(file)
	inside := func(name string) bool { return strings.HasPrefix(name, folder+"/") || folder == "." && name != "." }
	return n.deny(t, inside, func(name string) bool { return name == folder || inside(name) })
}

func (n *Node) deny(t *testing.T, seeing, opening func(name string) bool) *tree.Tree {
	t.Helper()
	fsys, err := n.build()
	if err != nil {
		t.Fatalf("%s: %v", n.File, err)
	}
	return tree.New(deniedFS{fsys, seeing, opening})
}

// A deniedFS refuses what the owner of the files would be allowed.
type deniedFS struct {
	fstest.MapFS
	seeing, opening func(name string) bool
}

func (d deniedFS) Open(name string) (fs.File, error) {
	if d.opening(name) {
		return nil, refused("open", name)
	}
	return d.MapFS.Open(name)
}

func (d deniedFS) Lstat(name string) (fs.FileInfo, error) {
	if d.seeing(name) {
		return nil, refused("lstat", name)
	}
	return d.MapFS.Lstat(name)
}

func (d deniedFS) ReadLink(name string) (string, error) {
	if d.seeing(name) {
		return "", refused("readlink", name)
	}
	return d.MapFS.ReadLink(name)
}

func refused(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission} }
