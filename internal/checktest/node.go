package checktest

import (
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// LookedAt is when the nodes of examples are looked at.
var LookedAt = time.Date(2026, time.October, 1, 12, 0, 0, 0, time.UTC)

//go:embed nodes
var nodes embed.FS

// A Node is an example of a node: a txtar archive of its files, below a comment of
// lines that say what else there is, and what is expected:
//
//	# base: kubeadm                  the files of nodes/kubeadm.txtar come first
//	# settings: {"version": "1.29"}  as in manifests
//	# replace: PATH "old" "new"      in the text of a file, where it stands once
//	# remove: PATH                   a file, or a folder with what is in it
//	# mode: 0644 1000:1000 PATH      of a file or folder; else 0600 and 0755, of root
//	# link: PATH TARGET              a symbolic link
//	# copy: FROM TO                  a file like another
//	# certificate: PATH.crt cn=kubernetes signer=etc/kubernetes/pki/ca days=10
//	# want PATH "regexp"             a problem in that file, "-" for none
//	# unknown "regexp"
//	# also: id, id                   other checks that find fault too
//	# beside: kubeadm-worker         a base that is another node of the cluster
//
// In a file a line that ends in # want "regexp" expects a problem at that line. A
// file whose name ends in / is an empty folder. The text {{base64 PATH}} or {{text
// PATH}} stands for a certificate or key, {{public PATH}} for what belongs to a key; a
// line of proc/PID/cmdline for an argument. What is below the folder "-" is not on
// the node; below "-/beside/" are files of the node beside it.
//
// For what a certificate may have see certificate; its file has the mode 0644. A
// certificate of the base gets only those attributes anew that are named.
type Node struct {
	// File is the archive.
	File string
	// Base is the name of the base, "" for none.
	Base string
	// Also are checks besides that of the example that find fault.
	Also []string
	// Faults are the paths that make the difference from the base.
	Faults []string
	// Beside is the other node of the cluster, nil for none.
	Beside *Node

	src          string
	sections     map[string]string // text of the example's own files
	files        map[string]string
	links        map[string]string
	modes        map[string]mode
	copies       [][2]string
	certificates []*certificate
	built        fstest.MapFS // once it was asked for
}

type mode struct {
	perm  fs.FileMode
	owner tree.Owner
}

// ReadNode reads an example of a node.
func ReadNode(t *testing.T, file string) *Node {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := parseNode(file, data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return n
}

// Bases are the names of the nodes that examples begin with.
func Bases(t *testing.T) (names []string) {
	t.Helper()
	files, err := fs.Glob(nodes, "nodes/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".txtar"))
	}
	return names
}

// ParseNode returns an example of a node that stands in a test.
func ParseNode(t *testing.T, name, text string) *Node {
	t.Helper()
	n, err := parseNode(name, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Distributions are the names of the nodes that are as a distribution leaves them, to be
// found fault with: an example may begin with them, by "distributions/" and the name.
func Distributions(t *testing.T) (names []string) {
	t.Helper()
	files, err := fs.Glob(nodes, "nodes/distributions/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".txtar"))
	}
	return names
}

// BaseNode returns a node that examples begin with.
func BaseNode(t *testing.T, name string) *Node {
	t.Helper()
	n, err := base(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func base(name string) (*Node, error) {
	file := "nodes/" + name + ".txtar"
	data, err := nodes.ReadFile(file)
	if err != nil {
		return nil, err
	}
	n, err := parseNode(file, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

func parseNode(file string, data []byte) (*Node, error) {
	a := txtar.Parse(data)
	n := &Node{files: map[string]string{}, links: map[string]string{}, modes: map[string]mode{}}
	comment := remarks(string(a.Comment))
	if name, ok := header(comment, "# base: "); ok {
		b, err := base(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		n = b
		n.Base, n.Also, n.Faults = strings.TrimSpace(name), nil, nil
	}
	n.File, n.src, n.sections = file, comment, map[string]string{}
	for _, f := range a.Files {
		if _, twice := n.sections[f.Name]; twice {
			return nil, fmt.Errorf("%s is there twice", f.Name)
		}
		n.drop(f.Name)
		n.sections[f.Name], n.files[f.Name] = string(f.Data), string(f.Data)
		n.Faults = append(n.Faults, f.Name)
	}
	for line := range strings.Lines(comment) {
		if err := n.apply(strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
		}
	}
	return n, nil
}

// remarks is a text without the lines that are prose.
func remarks(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

var directive = regexp.MustCompile(`^# ([a-z]+): (.*)$`)

// apply does what one line of the comment says.
func (n *Node) apply(line string) error {
	m := directive.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	words := strings.Fields(m[2])
	wants := map[string]int{"remove": 1, "mode": 3, "link": 2, "copy": 2, "beside": 1}[m[1]]
	if wants != 0 && len(words) != wants {
		return fmt.Errorf("wants %d words", wants)
	}
	switch m[1] {
	case "replace":
		return n.replace(m[2])
	case "remove":
		n.Faults = append(n.Faults, words[0])
		if !n.drop(words[0]) {
			return fmt.Errorf("there is no such file")
		}
	case "mode":
		n.Faults = append(n.Faults, words[2])
		var md mode
		perm, err := strconv.ParseUint(words[0], 8, 12)
		if _, bad := fmt.Sscanf(words[1], "%d:%d", &md.owner.UID, &md.owner.GID); err != nil || bad != nil {
			return fmt.Errorf("wants mode, user:group and path")
		}
		md.perm = fs.FileMode(perm & 0o777)
		for bit, is := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
			if perm&bit != 0 {
				md.perm |= is
			}
		}
		n.modes[words[2]] = md
	case "link":
		n.Faults = append(n.Faults, words[0])
		n.drop(words[0])
		n.links[words[0]] = words[1]
	case "copy":
		n.Faults = append(n.Faults, words[1])
		n.drop(words[1])
		n.copies = append(n.copies, [2]string{words[0], words[1]})
	case "certificate":
		n.Faults = append(n.Faults, words[0])
		return n.certify(words)
	case "beside":
		b, err := base(words[0])
		if err != nil {
			return err
		}
		for name, text := range n.files {
			if own, ok := strings.CutPrefix(name, "-/beside/"); ok {
				b.files[own] = text
			}
		}
		n.Beside = b
	case "also":
		for _, id := range strings.Split(m[2], ",") {
			n.Also = append(n.Also, strings.TrimSpace(id))
		}
	}
	return nil
}

func (n *Node) replace(rest string) error {
	file, args, _ := strings.Cut(rest, " ")
	n.Faults = append(n.Faults, file)
	text, ok := n.files[file]
	if !ok {
		return fmt.Errorf("there is no such file")
	}
	q := quoted.FindAllString(args, -1)
	if len(q) != 2 {
		return fmt.Errorf("wants an old and a new text, quoted as in Go")
	}
	before, err := strconv.Unquote(q[0])
	if err != nil {
		return err
	}
	after, err := strconv.Unquote(q[1])
	if err != nil {
		return err
	}
	if k := strings.Count(text, before); k != 1 {
		return fmt.Errorf("the text stands there %d times", k)
	}
	n.files[file] = strings.Replace(text, before, after, 1)
	return nil
}

// drop removes what is at a path or below it, and reports whether there was anything.
func (n *Node) drop(at string) bool {
	had := false
	gone := func(p string) bool {
		is := p == at || strings.HasPrefix(p, at+"/")
		had = had || is
		return is
	}
	maps.DeleteFunc(n.files, func(p, _ string) bool { return gone(p) })
	maps.DeleteFunc(n.links, func(p, _ string) bool { return gone(p) })
	n.copies = slices.DeleteFunc(n.copies, func(c [2]string) bool { return gone(c[1]) })
	for _, c := range n.certificates {
		if !c.hidden && gone(c.path) {
			c.hidden = true
		}
		if !c.keyHidden && c.key != "" && gone(c.key) {
			c.keyHidden = true
		}
	}
	if had {
		maps.DeleteFunc(n.modes, func(p string, _ mode) bool { return gone(p) })
	}
	return had
}

var (
	insertion = regexp.MustCompile(`\{\{(base64|text|public) ([^ {}]+)\}\}`)
	cmdline   = regexp.MustCompile(`^proc/[0-9]+/(cmdline|environ)$`)
)

// Tree returns the files of the node as they stand.
func (n *Node) Tree(t *testing.T) *tree.Tree {
	t.Helper()
	fsys, err := n.build()
	if err != nil {
		t.Fatalf("%s: %v", n.File, err)
	}
	return tree.New(fsys)
}

func (n *Node) build() (fstest.MapFS, error) {
	if n.built != nil {
		return n.built, nil
	}
	made, err := n.issue()
	if err != nil {
		return nil, err
	}
	content, err := n.contents(made)
	if err != nil {
		return nil, err
	}
	fsys := fstest.MapFS{}
	add := func(name string, data []byte, perm fs.FileMode) {
		if strings.HasPrefix(name, "-/") {
			return
		}
		fsys[name] = &fstest.MapFile{Data: data, Mode: perm, ModTime: LookedAt, Sys: tree.Owner{}}
		for dir := path.Dir(name); dir != "." && fsys[dir] == nil; dir = path.Dir(dir) {
			fsys[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: LookedAt, Sys: tree.Owner{}}
		}
	}
	for name, data := range content {
		perm := fs.FileMode(0o600)
		if _, written := n.files[name]; made[name] != nil && !written && !strings.Contains(string(data), "PRIVATE KEY") {
			perm = 0o644
		}
		if folder, ok := strings.CutSuffix(name, "/"); ok {
			name, data, perm = folder, nil, fs.ModeDir|0o755
		}
		add(name, data, perm)
	}
	for name, target := range n.links {
		add(name, []byte(target), fs.ModeSymlink|0o777)
	}
	for name, m := range n.modes {
		f := fsys[name]
		if f == nil {
			return nil, fmt.Errorf("a mode for %s, which is not there", name)
		}
		f.Mode, f.Sys = f.Mode.Type()|m.perm, m.owner
	}
	n.built = fsys
	return fsys, nil
}

// contents is the text of every file, with that of others put in where it is asked for.
func (n *Node) contents(made map[string][]byte) (map[string][]byte, error) {
	all := maps.Clone(made)
	var missing error
	for name, text := range n.files {
		text = insertion.ReplaceAllStringFunc(text, func(s string) string {
			m := insertion.FindStringSubmatch(s)
			from := m[2]
			if m[1] == "public" {
				from = publicOf(from)
			}
			data, ok := made[from]
			if !ok {
				missing = fmt.Errorf("%s: %s is no certificate or key", name, s)
			}
			if m[1] == "base64" {
				return base64.StdEncoding.EncodeToString(data)
			}
			return string(data)
		})
		if cmdline.MatchString(name) {
			text = strings.ReplaceAll(text, "\n", "\x00")
		}
		all[name] = []byte(text)
	}
	for _, c := range n.certificates {
		if c.hidden {
			delete(all, c.path)
		}
		if c.keyHidden {
			delete(all, c.key)
		}
		// What a file says goes before what a certificate would.
		for _, p := range []string{c.path, c.key} {
			if text, given := n.files[p]; given {
				all[p] = []byte(text)
			}
		}
	}
	for _, c := range n.copies {
		data, ok := all[c[0]]
		if !ok {
			return nil, fmt.Errorf("%s, which is to be copied, is not there", c[0])
		}
		all[c[1]] = data
	}
	return all, missing
}
