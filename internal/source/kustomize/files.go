package kustomize

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// disk is the file system as one build sees it: for reading only, bounded, and
// with a mark in every manifest that says where the object came from. The mark
// is a field of its own at the top of the object, so that it goes through
// renaming and patching and does not change what a patch finds.
type disk struct {
	ctx   context.Context
	tree  *tree
	mark  string         // the marking field, unknown to the files
	reads map[string]int // of each manifest so far
	total int            // bytes read
	marks []origin
}

// An origin is where an object of the result was written.
type origin struct {
	use
	node *yaml.Node
}

func newDisk(ctx context.Context, t *tree) *disk {
	return &disk{ctx: ctx, tree: t, mark: "gabion.dev/origin-" + rand.Text(), reads: map[string]int{}}
}

// ReadFile reads a file and marks the objects in it when it is a manifest. Of
// kustomization files it gives those that were checked, as they were then.
func (d *disk) ReadFile(path string) ([]byte, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, err
	}
	if slices.Contains(konfig.RecognizedKustomizationFileNames(), filepath.Base(path)) {
		if text, ok := d.tree.texts[path]; ok {
			return text, nil
		}
		return nil, errNotOffered
	}
	text, err := d.tree.view.read(path)
	if err != nil {
		return nil, err
	}
	if d.total += len(text); d.total > maxTotal {
		return nil, tooMuch(path)
	}
	if err := checkAliases(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d.marked(path, text), nil
}

func (d *disk) marked(path string, text []byte) []byte {
	uses := d.tree.uses[path]
	if len(uses) == 0 {
		return text
	}
	n := d.reads[path]
	d.reads[path]++
	use := uses[min(n, len(uses)-1)]
	var objects []*yaml.Node
	for _, doc := range d.tree.files[use.file] {
		objects = append(objects, objectsIn(doc)...)
	}
	lines := lineStarts(text)
	var out bytes.Buffer
	done := 0
	for _, object := range objects {
		at := markAt(text, lines, object)
		if at < done {
			continue
		}
		out.Write(text[done:at])
		out.WriteString(d.markText(len(d.marks), object))
		d.marks = append(d.marks, origin{use: use, node: object})
		done = at
	}
	out.Write(text[done:])
	return out.Bytes()
}

// objectsIn are the objects of a document, several when it is a list.
func objectsIn(doc *yaml.Node) []*yaml.Node {
	list := items(doc, "items")
	if !strings.HasSuffix(scalar(doc, "kind"), "List") || list == nil {
		return []*yaml.Node{doc}
	}
	return list
}

func lineStarts(text []byte) []int {
	starts := []int{0}
	for i, b := range text {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// markAt is the offset of an object's first key, or -1 when a field cannot be
// put before it.
func markAt(text []byte, lines []int, object *yaml.Node) int {
	if object.Kind != yaml.MappingNode || len(object.Content) == 0 {
		return -1
	}
	key := object.Content[0]
	if key.Line > len(lines) {
		return -1
	}
	at := lines[key.Line-1]
	if at == 0 && bytes.HasPrefix(text, []byte("\ufeff")) {
		at = len("\ufeff")
	}
	for range key.Column - 1 {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	written := bytes.TrimLeft(text[at:], `"'`)
	if !bytes.HasPrefix(written, []byte(key.Value)) {
		return -1
	}
	if object.Style&yaml.FlowStyle == 0 && len(bytes.Trim(text[lines[key.Line-1]:at], "\ufeff -")) > 0 {
		return -1
	}
	return at
}

// markText is the marking field, to be put before the first key of an object.
func (d *disk) markText(n int, object *yaml.Node) string {
	mark := strconv.Quote(d.mark) + ": " + strconv.Quote(strconv.Itoa(n))
	if object.Style&yaml.FlowStyle != 0 {
		return mark + ", "
	}
	return mark + "\n" + strings.Repeat(" ", object.Content[0].Column-1)
}

// CleanedAbs splits an existing path, free of symbolic links, in folder and file.
func (d *disk) CleanedAbs(path string) (filesys.ConfirmedDir, string, error) {
	real, err := d.tree.view.real(path)
	if err != nil {
		return "", "", err
	}
	if d.tree.view.isFolder(real) {
		return filesys.ConfirmedDir(real), "", nil
	}
	return filesys.ConfirmedDir(filepath.Dir(real)), filepath.Base(real), nil
}

// IsDir tells whether path is a folder.
func (d *disk) IsDir(path string) bool { return d.tree.view.isFolder(path) }

// Exists tells whether there is something at path.
func (d *disk) Exists(path string) bool { return d.tree.view.exists(path) }

var errNotOffered = errors.New("not offered while scanning")

// Create is refused, as is everything below: a build only reads files it names.
func (d *disk) Create(string) (filesys.File, error) { return nil, errNotOffered }

// Mkdir is refused.
func (d *disk) Mkdir(string) error { return errNotOffered }

// MkdirAll is refused.
func (d *disk) MkdirAll(string) error { return errNotOffered }

// RemoveAll is refused.
func (d *disk) RemoveAll(string) error { return errNotOffered }

// Open is refused.
func (d *disk) Open(string) (filesys.File, error) { return nil, errNotOffered }

// ReadDir is refused.
func (d *disk) ReadDir(string) ([]string, error) { return nil, errNotOffered }

// Glob is refused.
func (d *disk) Glob(string) ([]string, error) { return nil, errNotOffered }

// WriteFile is refused.
func (d *disk) WriteFile(string, []byte) error { return errNotOffered }

// Walk is refused.
func (d *disk) Walk(string, filepath.WalkFunc) error { return errNotOffered }
