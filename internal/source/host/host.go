// Package host reads a node from its files: which components of Kubernetes run
// there, with which flags and configuration in force, the files, certificates and
// kubeconfigs that they name, what listens, and what is known of the system below.
// It follows each component's own rules of precedence and keeps for everything the
// place that decided it, or the reason why it is not known.
//
// It runs nothing, writes nothing, and judges nothing. What is a credential does not
// leave it.
package host

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/process"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// Options say what is read, and how to speak of it.
type Options struct {
	// Root is the folder as the user named it.
	Root string
	// Name is the Node's name, "" to find it out.
	Name string
	// Now is when the node is looked at.
	Now time.Time
	// Progress, when set, is told what is being read.
	Progress func(string)
}

// A reader is one look at one node.
type reader struct {
	Options
	ctx     context.Context
	tree    *tree.Tree
	host    *evidence.Host
	source  *evidence.Source
	gaps    []evidence.Gap
	decoder yamldoc.Decoder
	layout  layout
	opened  map[string]bool
	told    map[string]bool // files that something was already said about
	parsed  map[string]bool // files that certificates, keys or a kubeconfig were looked for in
	// hidden says of a process that it may be any component, "" when there is none.
	hidden string
	// impostors are the processes that bear a component's name and are none, by it.
	impostors map[string]*process.Process
}

// Read reads a node. The only error is the context's: what cannot be read is told by
// the source, the gaps and the host itself.
func Read(ctx context.Context, t *tree.Tree, o Options) (*evidence.Host, *evidence.Source, []evidence.Gap, error) {
	r := &reader{
		Options: o, ctx: ctx, tree: t,
		host: &evidence.Host{
			Root: o.Root, ReadAt: o.Now,
			Files: map[string]*evidence.File{}, Unseen: map[evidence.Aspect]string{},
		},
		source: &evidence.Source{Type: "host", Ref: o.Root, Objects: 1, Skipped: []evidence.Issue{}, Errors: []evidence.Issue{}},
		opened: map[string]bool{}, told: map[string]bool{}, parsed: map[string]bool{},
		impostors: map[string]*process.Process{},
	}
	if err := r.readAll(); err != nil {
		return nil, nil, nil, err
	}
	r.source.Files = len(r.opened)
	r.source.Node, r.source.Roles, r.source.Distribution = r.host.Node, r.host.Roles, r.host.Distribution
	r.source.Documents = r.source.Objects + len(r.source.Errors)
	return r.host, r.source, r.gaps, nil
}

func (r *reader) readAll() error {
	r.layout = r.recognise()
	r.host.Distribution = r.layout.distribution
	r.progress("processes")
	table, err := process.Read(r.ctx, r.tree, runsComponent)
	if err != nil {
		return err
	}
	r.host.Sockets = table.Sockets
	for aspect, why := range table.Unseen {
		r.host.Unseen[aspect] = why
	}
	r.progress("components")
	r.components(table)
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.progress("files")
	r.files()
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.progress("the system")
	r.system()
	slices.SortStableFunc(r.host.Components, func(a, b *evidence.Component) int { return strings.Compare(a.Name, b.Name) })
	r.roles()
	r.host.Node = r.name()
	switch {
	case !r.isNode():
		r.noNode()
	case !r.hasComponent() && len(r.impostors) == 0:
		r.gaps = append(r.gaps, evidence.Gap{Fact: evidence.Hosts, Reason: fmt.Sprintf("%s has files of Kubernetes, but no component: neither a process nor a manifest, a unit or a configuration tells what runs there", cmp.Or(r.Root, "this"))})
	}
	return r.ctx.Err()
}

func (r *reader) progress(what string) {
	if r.Progress != nil {
		r.Progress(what)
	}
}

// isNode reports whether anything of Kubernetes is there. A container runtime alone
// is none of it.
func (r *reader) isNode() bool {
	if r.hasComponent() {
		return true
	}
	for file, f := range r.host.Files {
		for _, folder := range r.layout.signs {
			if f.Type != evidence.Missing && strings.HasPrefix(file, folder+"/") {
				return true
			}
		}
	}
	return false
}

// hasComponent reports whether a component of Kubernetes is there.
func (r *reader) hasComponent() bool {
	return slices.ContainsFunc(r.host.Components, func(c *evidence.Component) bool {
		return c.Name != evidence.Containerd && c.Name != evidence.CRIO
	})
}

// noNode says that there is nothing to say.
func (r *reader) noNode() {
	reason := fmt.Sprintf("%s is no Kubernetes node: neither a component nor a file of Kubernetes is there", cmp.Or(r.Root, "this"))
	h := r.host
	r.host = &evidence.Host{Node: h.Node, Root: h.Root, ReadAt: h.ReadAt, Unseen: map[evidence.Aspect]string{}}
	for _, a := range evidence.Aspects() {
		r.host.Unseen[a] = reason
	}
	r.gaps = append(r.gaps, evidence.Gap{Reason: reason})
}

// maxFile is the largest file that is opened: configuration is small.
const maxFile = 4 << 20

// maxFiles bounds the files that are spoken of.
const maxFiles = 20_000

// note records what is at a path. What is not there is recorded when something names
// it.
func (r *reader) note(file string, named bool) *evidence.File {
	file = path.Clean("/" + file)
	if f := r.host.Files[file]; f != nil {
		return f
	}
	f := r.tree.Stat(file)
	if f.Type == evidence.Missing && !r.isLink(file) {
		f.Link = "" // it leads nowhere: what is on the way there does not matter
	}
	if f.Type == evidence.Missing && !named || len(r.host.Files) >= maxFiles {
		return f
	}
	r.host.Files[file] = f
	if f.Error != "" {
		r.unlisted(f)
	}
	return f
}

// unlisted tells that not even what is there is known. A ring of links is a fault of its
// own, which hides nothing else.
func (r *reader) unlisted(f *evidence.File) {
	if f.Error != tree.ErrLinks.Error() && r.host.Unseen[evidence.TheFiles] == "" {
		r.host.Unseen[evidence.TheFiles] = f.Path + ": " + f.Error
	}
	r.unread(f.Path, f.Error)
}

// unread tells once that something of a file could not be read. What is forbidden is
// a gap, and no fault of the file.
func (r *reader) unread(file, reason string) {
	if r.told[file] {
		return
	}
	r.told[file] = true
	if reason == fs.ErrPermission.Error() {
		r.gap(file, reason)
		return
	}
	r.broken(evidence.Issue{File: file, Reason: reason})
}

// maxGaps bounds the files that are named for not being readable.
const maxGaps = 50

func (r *reader) gap(file, reason string) {
	g := evidence.Gap{Fact: evidence.Hosts, Reason: file + ": " + reason}
	if len(r.gaps) == maxGaps {
		g.Reason = "and more files that could not be read"
	}
	if len(r.gaps) <= maxGaps {
		r.gaps = append(r.gaps, g)
	}
}

// maxBroken bounds the files that are named for being broken.
const maxBroken = 1000

func (r *reader) broken(i evidence.Issue) {
	if len(r.source.Errors) < maxBroken && !slices.Contains(r.source.Errors, i) {
		r.source.Errors = append(r.source.Errors, i)
	}
}

// read returns the content of a file, and records it. A fault other than that it is
// not there is told.
func (r *reader) read(file string) ([]byte, error) {
	f := r.note(file, false)
	data, err := r.open(file)
	if err != nil && f.Type != evidence.Missing && f.Type != evidence.Directory {
		f.Error = err.Error()
		r.unread(f.Path, f.Error)
	}
	return data, err
}

// open returns the content of a file that is nobody's matter by itself.
func (r *reader) open(file string) ([]byte, error) {
	data, err := r.tree.ReadFile(file, maxFile)
	if err == nil {
		r.opened[path.Clean("/"+file)] = true
	}
	return data, err
}

// list returns the names in a folder, and records it; none when it is not there.
func (r *reader) list(dir string) []string {
	names, _ := r.listing(dir)
	return names
}

// listing is list, and says why not all names are known.
func (r *reader) listing(dir string) (names []string, why string) {
	f := r.note(dir, false)
	if f.Type != evidence.Directory {
		if f.Error != "" && r.host.Unseen[evidence.TheFiles] == "" {
			r.host.Unseen[evidence.TheFiles] = f.Path + ": " + f.Error
		}
		return nil, f.Error
	}
	names, err := r.tree.ReadDir(dir)
	if err != nil {
		f.Error = err.Error()
		r.unlisted(f)
	}
	return names, f.Error
}

// isLink reports whether a path is a link itself, whatever is above it.
func (r *reader) isLink(file string) bool {
	_, err := r.tree.ReadLink(file)
	return err == nil
}

// document returns the one document of a YAML or JSON file.
func (r *reader) document(file string, data []byte) (yamldoc.Document, *yamldoc.Error) {
	var found yamldoc.Document
	n := 0
	for doc, err := range r.decoder.Documents(file, data) {
		if err != nil {
			return found, err
		}
		if n++; n > 1 {
			return found, &yamldoc.Error{Line: doc.Line, Reason: "a second document, where one is expected"}
		}
		found = doc
	}
	if n == 0 {
		return found, &yamldoc.Error{Reason: "it is empty"}
	}
	if found.JSON[0] != '{' {
		return found, &yamldoc.Error{Line: found.Line, Reason: "it holds no fields"}
	}
	return found, nil
}
