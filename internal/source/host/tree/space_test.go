package tree

import (
	"runtime"
	"testing"
	"testing/fstest"
)

func TestSpace(t *testing.T) {
	inMemory := New(fstest.MapFS{"proc/x": {}})
	if _, _, ok := inMemory.Space("/"); ok || inMemory.Running() {
		t.Error("a tree in memory has a disk, or runs")
	}
	copied, closer, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if _, _, ok := copied.Space("/"); ok || copied.Running() {
		t.Error("a copy of a node has the disk that it lies on, or runs")
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
