// Package tree reads a node's files below a folder as the node itself would see
// them: a symbolic link leads to a place inside the folder, as after chroot, and
// never out of it. It opens nothing but regular files, never waits for one, and
// reads no more of a file or folder than it was asked for. What files mean is not
// its business.
package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Tree is a node's file tree. It is for use by several goroutines at a time.
type Tree struct{ fsys fs.ReadLinkFS }

// An Owner is what FileInfo.Sys returns of a file in a tree that is no folder of
// this machine.
type Owner struct{ UID, GID int }

const (
	maxLinks   = 40      // links on the way to one file, as Linux has it
	maxEntries = 1 << 16 // entries of one folder
)

// Faults that a caller may want to tell apart, besides fs.ErrNotExist and
// fs.ErrPermission.
var (
	// ErrNotRegular is what reading a folder, a device or a FIFO meets.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge is what reading a file beyond the limit meets.
	ErrTooLarge = errors.New("larger than expected")
	// ErrLinks is what links that lead round in a ring meet.
	ErrLinks = errors.New("too many levels of symbolic links")
)

// Open opens the folder that holds a node's files: / on the node itself.
func Open(dir string) (*Tree, io.Closer, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	return &Tree{rootFS{root}}, root, nil
}

// New returns the tree of a file system whose root is the node's.
func New(fsys fs.ReadLinkFS) *Tree { return &Tree{fsys} }

// resolve follows the links in a path of the node and returns the name of what it
// leads to, which need not be there: its folder is, and is no link.
func (t *Tree) resolve(file string) (string, fs.FileInfo, error) {
	rest := strings.Split(strings.Trim(path.Clean("/"+file), "/"), "/")
	at, links := ".", 0
	var info fs.FileInfo
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			info = nil
			continue
		}
		next := path.Join(at, name)
		var err error
		if info, err = t.fsys.Lstat(next); err != nil {
			return next, nil, reason(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return next, nil, ErrLinks
		}
		target, err := t.fsys.ReadLink(next)
		if err != nil {
			return next, nil, reason(err)
		}
		if path.IsAbs(target) {
			at = "."
		}
		info = nil
		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}
	if info == nil {
		var err error
		if info, err = t.fsys.Lstat(at); err != nil {
			return at, nil, reason(err)
		}
	}
	return at, info, nil
}

// Stat says what is at a path of the node; the Path of the answer is the one that
// was asked for. What is not there has the type Missing; of what cannot be told
// Error says why.
func (t *Tree) Stat(file string) *evidence.File {
	f := &evidence.File{Path: path.Clean("/" + file), UID: -1, GID: -1}
	name, info, err := t.resolve(file)
	if real := path.Join("/", name); real != f.Path {
		f.Link = real
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Type = evidence.Missing
		return f
	case err != nil:
		f.Type, f.Error = evidence.OtherFile, err.Error()
		return f
	}
	f.Type, f.Mode, f.Size = fileType(info.Mode()), chmod(info.Mode()), info.Size()
	f.UID, f.GID = owner(info)
	return f
}

// ReadFile returns the content of a regular file of at most limit bytes.
func (t *Tree) ReadFile(file string, limit int64) ([]byte, error) {
	name, info, err := t.resolve(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	// It may have become something else since.
	if info, err = f.Stat(); err != nil {
		return nil, reason(err)
	} else if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return data, nil
}

// Open opens a regular file to read here and there in it.
func (t *Tree) Open(file string) (interface {
	io.ReaderAt
	io.Closer
}, error) {
	name, info, err := t.resolve(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	at, ok := f.(interface {
		io.ReaderAt
		io.Closer
	})
	if info, err = f.Stat(); err != nil || !ok || !info.Mode().IsRegular() {
		return nil, errors.Join(ErrNotRegular, f.Close())
	}
	return at, nil
}

// ReadDir returns the names in a folder, sorted.
func (t *Tree) ReadDir(dir string) ([]string, error) {
	name, info, err := t.resolve(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("not a folder")
	}
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	list, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, errors.New("not a folder")
	}
	entries, err := list.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, reason(err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	if len(entries) == maxEntries {
		return names, fmt.Errorf("more than %d entries", maxEntries-1)
	}
	return names, nil
}

// ReadLink returns the text of a symbolic link, such as /proc/1/exe, without
// following it; links on the way to it are followed.
func (t *Tree) ReadLink(file string) (string, error) {
	dir, base := path.Split(path.Clean("/" + file))
	name, _, err := t.resolve(dir)
	if err != nil {
		return "", err
	}
	target, err := t.fsys.ReadLink(path.Join(name, base))
	return target, reason(err)
}

// reason is why a file could not be read, without its name, which whoever reports
// it knows.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func fileType(m fs.FileMode) evidence.FileType {
	switch {
	case m.IsRegular():
		return evidence.Regular
	case m.IsDir():
		return evidence.Directory
	case m&fs.ModeSocket != 0:
		return evidence.SocketFile
	}
	return evidence.OtherFile
}

// chmod is a mode as chmod takes it.
func chmod(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, with := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= with
		}
	}
	return mode
}

// A rootFS is a folder of this machine. Unlike that of os.Root.FS its files are
// opened without waiting for what they might be by then.
type rootFS struct{ root *os.Root }

func (r rootFS) Open(name string) (fs.File, error) {
	return r.root.OpenFile(name, os.O_RDONLY|noWait, 0)
}

func (r rootFS) Lstat(name string) (fs.FileInfo, error) { return r.root.Lstat(name) }

func (r rootFS) ReadLink(name string) (string, error) { return r.root.Readlink(name) }
