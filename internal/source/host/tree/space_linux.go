package tree

import (
	"os"
	"syscall"
)

const procMagic = 0x9fa0 // f_type of a proc file system

// Running reports whether the tree is a running node's: its /proc is the kernel's own.
func (t *Tree) Running() bool {
	r, ok := t.fsys.(rootFS)
	if !ok {
		return false
	}
	proc, ok := statfs(r.root, "proc")
	return ok && proc.Type == procMagic
}

// Space returns the size of the file system that a folder is on and what is free of
// it, in bytes. It is not ok where the tree is not a running node's: the sizes would
// be those of the disk that the copy lies on.
func (t *Tree) Space(dir string) (size, free int64, ok bool) {
	r, isRoot := t.fsys.(rootFS)
	if !isRoot || !t.Running() {
		return 0, 0, false
	}
	name, info, err := t.resolve(dir)
	if err != nil || !info.IsDir() {
		return 0, 0, false
	}
	s, ok := statfs(r.root, name)
	if !ok || s.Blocks == 0 {
		return 0, 0, false
	}
	return int64(s.Blocks) * int64(s.Bsize), int64(s.Bavail) * int64(s.Bsize), true
}

func statfs(root *os.Root, name string) (s syscall.Statfs_t, ok bool) {
	f, err := root.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return s, false
	}
	defer f.Close()
	return s, syscall.Fstatfs(int(f.Fd()), &s) == nil
}
