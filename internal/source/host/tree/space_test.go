package tree

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestSpace(t *testing.T) {
	if _, _, ok := New(fstest.MapFS{"proc/x": {}}).Space("/"); ok {
		t.Error("a tree in memory has a disk")
	}
	copied, closer, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if _, _, ok := copied.Space("/"); ok {
		t.Error("a copy of a node has the disk that it lies on")
	}
	if runtime.GOOS != "linux" {
		return
	}
	here, closer, err := Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if _, _, ok := here.Space("/etc/hostname"); ok {
		t.Error("a file is no folder")
	}
	if size, free, ok := here.Space("/"); ok && (size <= 0 || free < 0 || free > size) {
		t.Errorf("size %d, free %d", size, free)
	}
}
