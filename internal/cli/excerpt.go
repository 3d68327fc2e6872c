package cli

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/credential"
)

// excerpts reads single lines of sources for people to see. Credentials are
// masked: a line that is shown for one fault may hold a password besides. The
// whole file is masked before it is cut into lines, since what a value is often
// stands on the line before it.
type excerpts struct {
	file  string
	lines []string
	// chosen is set when lines are shown only of what is at or below one of the roots.
	chosen bool
	roots  []string
}

const (
	// maxExcerptFile is the largest file that lines are shown of, in bytes.
	maxExcerptFile = 4 << 20
	// maxExcerptLine is how much of a line is kept, in bytes.
	maxExcerptLine = 4096
)

// excerpts are of what was read here: what a snapshot says of /etc is not written in
// this machine's.
func (s *sources) excerpts() *excerpts {
	if len(s.snapshots) == 0 {
		return &excerpts{}
	}
	return &excerpts{chosen: true, roots: slices.Concat(s.paths, s.hostRoots)}
}

// reads reports whether a file is one that lines are shown of.
func (e *excerpts) reads(file string) bool {
	return !e.chosen || slices.ContainsFunc(e.roots, func(root string) bool {
		below, err := filepath.Rel(root, file)
		return err == nil && filepath.IsLocal(below)
	})
}

// line returns a line of a file, counted from 1. Findings come object by object,
// so one file is kept at a time.
func (e *excerpts) line(file string, n int) (string, bool) {
	if !e.reads(file) {
		return "", false
	}
	if file != e.file {
		e.file, e.lines = file, readLines(file)
	}
	if n < 1 || n > len(e.lines) {
		return "", false
	}
	text := strings.TrimSuffix(e.lines[n-1], "\r")
	return text[:min(len(text), maxExcerptLine)], true
}

func readLines(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxExcerptFile {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxExcerptFile))
	if err != nil {
		return nil
	}
	return strings.Split(credential.Mask(string(data)), "\n")
}
