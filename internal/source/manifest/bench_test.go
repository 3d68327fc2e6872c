package manifest

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRead turns the example's manifests into objects.
func BenchmarkRead(b *testing.B) {
	names, err := filepath.Glob("../../../examples/shop/*.yaml")
	if err != nil || len(names) == 0 {
		b.Fatal(names, err)
	}
	var texts [][]byte
	size := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, text)
		size += len(text)
	}
	var r Reader
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for i, text := range texts {
			r.Read(names[i], text)
		}
	}
}
