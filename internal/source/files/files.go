// Package files reads what a user names on the command line: files, folders,
// globs and standard input. It sorts a folder by what is in it: charts and
// overlays are rendered, what they are made of is not judged by itself, the rest
// is read as manifests. What Argo CD and Flux objects have rendered from the same
// folders is rendered as they ask. It follows no symbolic link out of a folder,
// opens no connection, and never stops at one bad file.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/gitops"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// Options say what to read.
type Options struct {
	// Paths are files, folders, charts, overlays, globs, or "-" for Stdin.
	Paths []string
	Stdin io.Reader
	// Manifest is how documents become objects.
	Manifest manifest.Options
	// Helm are the values and settings that charts are rendered with.
	Helm helm.Options
	// Edited are bytes that charts and overlays are rendered with in place of those of
	// their files, by the paths that a person would write; files may be new.
	Edited map[string][]byte
	// Replace, when set, returns the text of an object of a chart as something changes
	// it after it was rendered, nil when nothing does.
	Replace func(ref *evidence.Ref) []byte
	// Progress, when set, is told what is being read, by several goroutines.
	Progress func(what string)
}

// ErrNothing means that none of the paths exists: there was nothing to judge.
var ErrNothing = errors.New("nothing to read")

// Read adds what the paths hold to a snapshot. It fails only when there is
// nothing to judge at all; every other fault is recorded in the snapshot.
//
// Manifests are read first, since the Argo CD and Flux objects among them say how
// charts and overlays are to be rendered; then what those objects ask for; then
// the overlays and the charts that no object asked for.
func Read(ctx context.Context, snap *evidence.Snapshot, o Options) error {
	r := &reader{
		Options: o, ctx: ctx, snap: snap,
		seen: map[string]bool{}, claimed: map[string]bool{}, asked: map[string]bool{}, built: map[string]bool{},
		uses: map[string]uses{}, checkouts: map[string]checkout{},
	}
	var missing []string
	for _, path := range o.Paths {
		found, err := expand(path)
		switch {
		case err != nil:
			missing = append(missing, path+": "+err.Error())
			r.add(faulty("manifest", path, manifest.Unreadable(path, err.Error())))
		case found == nil:
			r.path(path)
		default:
			r.several(path, found)
		}
	}
	if len(missing) > 0 && len(missing) == len(o.Paths) {
		return fmt.Errorf("%w: %s", ErrNothing, strings.Join(missing, "; "))
	}
	var first []*text
	for _, u := range r.units {
		for i := range u.texts {
			if t := &u.texts[i]; t.results == nil && !t.waits {
				first = append(first, t)
			}
		}
	}
	r.read(first, r.setting())
	r.follow(r.units...)
	for _, f := range r.folders {
		r.overlays(f)
	}
	for _, u := range r.charts {
		r.chart(u, r.setting())
		r.follow(u)
	}
	for _, u := range slices.Concat(r.units, r.renderings) {
		r.merge(u)
	}
	return ctx.Err()
}

// reader is one run of Read.
type reader struct {
	Options
	ctx  context.Context
	snap *evidence.Snapshot

	// units are what the paths were sorted into, in the order of the report;
	// renderings are those that objects ask for, and follow after.
	units, renderings []*unit
	folders           []*folder
	charts            []*unit
	// seen are files, charts and overlays, by real path, that some path has
	// brought: each is read once.
	seen map[string]bool

	sources gitops.Sources
	// asked are the renderings that were done; claimed are the files, charts and
	// overlays, by real path, that were rendered by them and are not read a second
	// time for themselves.
	asked, claimed map[string]bool
	checkouts      map[string]checkout
	// built are the overlays, by real path, that were tried, and whether they
	// could be built; uses is what overlays are made of.
	built map[string]bool
	uses  map[string]uses
}

// A unit becomes one row of the report's sources. Nothing of it is in the
// snapshot before it is known whether something else was read in its place.
type unit struct {
	evidence.Source
	// of is the chart or the overlay; zero for plain files.
	of item
	// texts are what was read, in order.
	texts []text
	// asked is set when an object asks for the unit; depth counts the objects that
	// ask for one another.
	asked bool
	depth int
	// named is set when the user named just this.
	named bool
}

// An item is a file or a folder, as the user would name it and as the file system
// knows it.
type item struct{ name, real string }

// A text is a file, or something rendered, and what was in it.
type text struct {
	item
	found    bool // in a folder, and not named by the user
	beside   bool // in the folder of an overlay, or below it
	waits    bool // part of an overlay: read only if none can be built
	results  []manifest.Result
	followed bool // and so what its objects ask for is known
}

func newUnit(kind, ref string, of item) *unit {
	return &unit{Source: evidence.Source{Type: kind, Ref: ref, Skipped: []evidence.Issue{}, Errors: []evidence.Issue{}}, of: of}
}

// faulty is a unit of which nothing can be read.
func faulty(kind, ref string, why manifest.Result) *unit {
	u := newUnit(kind, ref, item{})
	u.add(ref, []manifest.Result{why})
	return u
}

func (u *unit) add(name string, results []manifest.Result) {
	u.texts = append(u.texts, text{item: item{name: name}, results: results})
}

func (u *unit) warn(file, format string, args ...any) {
	u.Warnings = append(u.Warnings, evidence.Issue{File: file, Reason: fmt.Sprintf(format, args...)})
}

func (r *reader) add(u *unit) { r.units = append(r.units, u) }

// replaced reports whether a chart or an overlay was rendered as an object asks,
// and so is not rendered for itself. A chart that the user names with values is
// rendered with those as well.
func (r *reader) replaced(u *unit) bool {
	h := r.Helm
	wanted := u.named && len(h.ValuesFiles)+len(h.Set)+len(h.SetString)+len(h.SetFile) > 0
	return !u.asked && !wanted && r.claimed[u.of.real]
}

// merge puts what a unit holds into the snapshot, but for what was read as an
// object asks.
func (r *reader) merge(u *unit) {
	if r.replaced(u) {
		return
	}
	names := map[string]bool{}
	s := new(u.Source) // the report keeps it, and with a pointer into u all that was read
	for _, t := range u.texts {
		if t.results != nil && (u.asked || !r.claimed[t.real]) {
			names[t.name] = true
			manifest.Add(r.snap, s, t.results)
		}
	}
	s.Files = len(names)
	_, tried := r.built[u.of.real]
	if s.Files > 0 || len(s.Warnings) > 0 || tried || u.Type == "helm" {
		r.snap.Sources = append(r.snap.Sources, s)
	}
}

// expand resolves a pattern; it returns nothing for a path that is none. A path
// that exists is never taken for a pattern.
func expand(path string) ([]string, error) {
	if path == "-" {
		return nil, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, nil
	} else if !strings.ContainsAny(path, "*?[") {
		return nil, reason(err)
	}
	found, err := filepath.Glob(path)
	switch {
	case err != nil:
		return nil, errors.New("not a path, and not a pattern: a bracket is not closed")
	case len(found) == 0:
		return nil, errors.New("the pattern matches nothing")
	}
	return found, nil
}

// several sorts what a pattern matches: the files become one row.
func (r *reader) several(pattern string, found []string) {
	u := newUnit("manifest", pattern, item{})
	r.add(u)
	for _, path := range found {
		if info, err := os.Stat(path); err != nil || info.IsDir() || isArchive(path) {
			r.path(path)
		} else if it := (item{path, real(path)}); !r.seen[it.real] {
			r.seen[it.real] = true
			u.texts = append(u.texts, text{item: it, found: true})
		}
	}
}

// path sorts what a path names.
func (r *reader) path(path string) {
	if path == "-" {
		if !r.again(item{path, path}) {
			r.stream("<stdin>", r.Stdin)
		}
		return
	}
	it := item{path, real(path)}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.add(faulty("manifest", path, manifest.Unreadable(path, linkFault(err))))
	case isStream(path):
		r.open(path)
	case info.IsDir():
		r.folder(it)
	case r.again(it):
	case isArchive(path):
		r.addChart(it).named = true
	default:
		u := newUnit("manifest", path, item{})
		u.texts = []text{{item: it}}
		r.add(u)
	}
}

// again reports whether some path has brought something already, and says so in
// the report.
func (r *reader) again(it item) bool {
	if !r.seen[it.real] {
		r.seen[it.real] = true
		return false
	}
	u := newUnit("manifest", it.name, item{})
	u.warn(it.name, "read once only: it is part of an earlier path")
	r.add(u)
	return true
}

// isStream reports whether a path is a pipe that the shell made for a command
// beside this one. Other pipes may have no writer and are not opened.
func isStream(path string) bool {
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/")
}

func (r *reader) open(path string) {
	f, err := os.Open(path)
	if err != nil {
		r.add(faulty("manifest", path, manifest.Unreadable(path, reason(err).Error())))
		return
	}
	defer f.Close()
	r.stream(path, f)
}

// stream reads a stream to its end. One that is empty is an error: the command
// that should have filled it may have failed.
func (r *reader) stream(name string, from io.Reader) {
	ref := name
	if name == "<stdin>" {
		ref = "-"
	}
	r.say(name)
	u := newUnit("manifest", ref, item{})
	r.add(u)
	data, err := readAll(from)
	if err != nil {
		u.add(name, []manifest.Result{manifest.Unreadable(name, err.Error())})
		return
	}
	results := r.decoder(r.setting()).Read(name, data)
	if len(results) == 0 {
		results = []manifest.Result{manifest.Unreadable(name, "there is nothing in it: did the command that writes it fail?")}
	}
	u.add(name, results)
}

func (r *reader) say(what string) {
	if r.Progress != nil {
		r.Progress(what)
	}
}

// A setting is how what was rendered becomes objects.
type setting struct {
	// Namespace is that of objects that name none; ForcedNamespace, unless empty,
	// that of all.
	Namespace, ForcedNamespace string
	Substitute                 *gitops.Substitution
	Helm                       helm.Options
}

// setting is that of what nothing asks for but the user.
func (r *reader) setting() setting {
	return setting{Namespace: r.Manifest.Namespace, Helm: r.Helm}
}

func (r *reader) decoder(s setting) *manifest.Reader {
	d := &manifest.Reader{Options: r.Manifest}
	d.Namespace = s.Namespace
	return d
}

// finish does to objects what is done to them after they were rendered.
func (s setting) finish(results []manifest.Result) []manifest.Result {
	if s.ForcedNamespace == "" {
		return results
	}
	for _, res := range results {
		if res.Ref != nil && res.Ref.Namespace != "" { // which only namespaced kinds have
			res.Ref.Namespace, res.Ref.NamespaceAssumed = s.ForcedNamespace, false
		}
	}
	return results
}
