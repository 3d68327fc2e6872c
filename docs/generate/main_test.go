package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is generated stands in docs/, and nothing else of its kind.
func TestDocsAreCurrent(t *testing.T) {
	files, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d pages", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the code makes: run make docs", name)
		}
	}
	for _, dir := range []string{"cli", "man"} {
		entries, err := os.ReadDir(filepath.Join("..", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, ok := files[dir+"/"+e.Name()]; !ok {
				t.Errorf("docs/%s/%s: no command makes it", dir, e.Name())
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links inside the documentation lead somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	root, _ := filepath.Glob("../../*.md")
	anchors := map[string]map[string]bool{}
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		anchors[file] = map[string]bool{}
		for _, l := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(l, "#") {
				anchors[file][slug(strings.TrimLeft(l, "# "))] = true
			}
		}
		return string(data)
	}
	texts := map[string]string{}
	for _, p := range append(pages, root...) {
		texts[p] = read(p)
	}
	for page, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
				if _, err := os.Stat(file); err != nil {
					t.Errorf("%s: link to %s, which does not exist", page, m[1])
					continue
				}
			}
			if known, ok := anchors[file]; ok && fragment != "" && !known[fragment] {
				t.Errorf("%s: link to %s: no such heading", page, m[1])
			}
		}
	}
}
