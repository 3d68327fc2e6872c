package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// mostRounds is how often fixes are taken back, and what is left tried once more.
const mostRounds = 64

// mend makes the fixes, judges what came of it, and takes back what did not help or
// harmed, until nothing is to be taken back. Of several fixes of one object that
// brought a new finding together, each is tried again by itself.
func (m *mender) mend(ctx context.Context) error {
	for _, name := range m.names {
		text, err := readBounded(name)
		if err != nil {
			return usagef("read %s: %w", name, err)
		}
		m.files[name] = &mended{before: text, after: text}
	}
	was, found, err := m.judge(ctx, func(f *mended) []byte { return f.before })
	if err != nil {
		return err
	}
	for range mostRounds {
		m.apply()
		now, left, err := m.judge(ctx, func(f *mended) []byte { return f.after })
		if err != nil {
			return err
		}
		if !m.takeBack(was, now, found, left) && !m.release() && !m.follow(now) {
			return nil
		}
	}
	m.refuseAll("fixes and new findings follow one another without end")
	m.apply()
	return nil
}

// release lets one of the fixes that are held back of each object be tried again.
func (m *mender) release() (some bool) {
	seen := map[string]bool{}
	for _, d := range m.mends {
		d.fresh = false
		if object := d.finding.Object.String(); d.held && d.refused == "" && !seen[object] {
			seen[object] = true
			d.held, d.fresh, some = false, true, true
		}
	}
	return some
}

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, reason(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > files.MaxFileSize:
		return nil, errors.New("too big")
	}
	text, err := os.ReadFile(name)
	return text, reason(err)
}

// apply makes the fixes that are not refused, on the files as they were.
func (m *mender) apply() {
	for name, f := range m.files {
		var list []*mend
		var edits []fix.Edit
		for _, d := range m.mends {
			if d.made() && d.file == name {
				list, edits = append(list, d), append(edits, d.edit)
			}
		}
		after, outcomes := fix.Apply(f.before, edits)
		f.after = after
		for i, d := range list {
			if d.outcome = outcomes[i]; d.outcome.Err != nil {
				d.refused = d.outcome.Err.Error()
			}
		}
	}
}

// judge judges the files, in one of their two states.
func (m *mender) judge(ctx context.Context, state func(*mended) []byte) (*evidence.Snapshot, map[foundAt]*report.Finding, error) {
	world := &evidence.Snapshot{}
	reader := manifest.Reader{Options: manifest.Options{Namespace: m.scan.namespace, KeepJSON: true}}
	source := &evidence.Source{Type: "manifest"}
	world.Sources = append(world.Sources, source)
	for _, name := range m.names {
		manifest.Add(world, source, reader.Read(name, state(m.files[name])))
	}
	rep, err := m.plan.judge(ctx, world)
	if err != nil {
		return nil, nil, err
	}
	found := map[foundAt]*report.Finding{}
	for i := range rep.Findings {
		found[placeOf(&rep.Findings[i])] = &rep.Findings[i]
	}
	return world, found, nil
}

// takeBack refuses the fixes that did not help, that brought new findings, or that
// changed an object that they are not about, or holds them back when it is not clear
// which of them it was. It reports whether there were any.
func (m *mender) takeBack(was, now *evidence.Snapshot, before, after map[foundAt]*report.Finding) bool {
	if what := m.disturbed(was, now); what != "" {
		m.refuseAll(what + " would change as well")
		return true
	}
	why := map[*mend]string{}
	for _, d := range m.mends {
		if d.made() && after[placeOf(d.finding)] != nil {
			why[d] = "the finding would still be there afterwards"
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(after), func(a, b foundAt) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.file, b.file)) }) {
		f := after[at]
		if before[at] != nil {
			continue
		}
		reason := fmt.Sprintf("a new finding would come: %s (%s)", f.Message, f.Rule)
		suspects := m.suspects(func(d *mend) bool { return d.fresh && d.finding.Object.String() == f.Object.String() })
		if len(suspects) > 1 {
			for _, d := range suspects {
				d.held = true
			}
			continue
		}
		if len(suspects) == 0 {
			suspects = m.suspects(func(d *mend) bool { return d.fresh })
		}
		for _, d := range suspects {
			why[d] = reason
		}
		if len(suspects) == 0 {
			m.refuseAll(reason)
		}
	}
	some := false
	for _, d := range m.mends {
		if reason, bad := why[d]; bad && d.refused == "" {
			d.refused, some = reason, true
		}
		if d.held && d.fresh {
			d.fresh, some = false, true
		}
	}
	return some
}

// suspects are the fixes that were made just now and are meant.
func (m *mender) suspects(meant func(*mend) bool) (list []*mend) {
	for _, d := range m.mends {
		if d.refused == "" && meant(d) {
			list = append(list, d)
		}
	}
	return list
}

// disturbed names an object that no fix is about, and that is not as it was.
func (m *mender) disturbed(was, now *evidence.Snapshot) string {
	if len(was.Objects) != len(now.Objects) {
		return "the number of objects"
	}
	touched := map[string]bool{}
	for _, d := range m.mends {
		if d.made() {
			touched[d.file+"\x00"+d.ref.String()] = true
		}
	}
	for i, ref := range was.Objects {
		if !touched[fileOf(ref)+"\x00"+ref.String()] && !bytes.Equal(ref.JSON, now.Objects[i].JSON) {
			return ref.String()
		}
	}
	return ""
}

func (m *mender) refuseAll(why string) {
	for _, d := range m.mends {
		if d.refused == "" {
			d.refused = why
		}
	}
}

// write writes the files that were changed, if that was asked for: in place, or into
// a folder.
func (m *mender) write(env Env) error {
	if !m.writes() {
		return nil
	}
	targets := map[string]string{}
	for _, name := range m.names {
		f := m.files[name]
		if bytes.Equal(f.before, f.after) {
			continue
		}
		if err := stands(name, f.before); err != nil {
			return usageError{err}
		}
		to, err := m.target(name)
		if err != nil {
			return usageError{err}
		}
		if other, taken := targets[to]; taken {
			return usagef("%s and %s would both be written to %s", other, name, to)
		}
		targets[to] = name
	}
	for to, name := range targets {
		if err := putFile(to, name, m.files[name].after); err != nil {
			return usagef("write %s: %w", to, err)
		}
	}
	return nil
}

// target is where a file is written: through links, what stands there stays a link.
func (m *mender) target(name string) (string, error) {
	if m.outputDir == "" {
		return filepath.EvalSymlinks(name)
	}
	if local := filepath.Clean(name); filepath.IsLocal(local) {
		return filepath.Join(m.outputDir, local), nil
	}
	for _, root := range m.scan.paths {
		if below, err := filepath.Rel(root, name); err == nil && filepath.IsLocal(below) {
			return filepath.Join(m.outputDir, filepath.Base(root), below), nil
		}
	}
	return filepath.Join(m.outputDir, filepath.Base(name)), nil
}

// putFile writes a file in one step, with the permissions of the one it is made of.
func putFile(to, from string, text []byte) error {
	info, err := os.Stat(from)
	if err != nil {
		return reason(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), ".gabion-*")
	if err != nil {
		return reason(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
