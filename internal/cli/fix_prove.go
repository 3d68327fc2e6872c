package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/report"
)

// mostRounds is how often fixes are taken back, and what is left tried once more.
const mostRounds = 64

// mend makes the fixes, judges what came of it, and takes back what did not help or
// harmed, until nothing is to be taken back. Of several fixes of one object that
// brought a new finding together, each is tried again by itself.
func (m *mender) mend(ctx context.Context) error {
	for _, medium := range m.media {
		files, err := medium.load()
		if err != nil {
			return err
		}
		maps.Copy(m.before, files)
	}
	was, found, err := m.judge(ctx, m.before)
	if err != nil {
		return err
	}
	for range mostRounds {
		m.apply()
		now, left, err := m.judge(ctx, m.edited())
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

// edited are all files as they are with the fixes.
func (m *mender) edited() texts {
	all := maps.Clone(m.before)
	maps.Copy(all, m.after)
	return all
}

// apply makes the fixes that are not refused, on the files as they were.
func (m *mender) apply() {
	m.after = texts{}
	for _, medium := range m.media {
		var mends []*mend
		var list []wanted
		for _, d := range m.mends {
			if shut, is := medium.(closed); is && d.made() && d.home == medium && d.fix.Adds != nil {
				if err := shut.closed(m.before, d.fix.Adds); err != nil {
					d.refused = err.Error()
				}
			}
			if d.made() && d.home == medium {
				mends, list = append(mends, d), append(list, d.wanted())
			}
		}
		if len(list) == 0 {
			continue
		}
		changed, outcomes := medium.apply(m.before, list)
		if name := m.clash(changed); name != "" {
			refuse(mends, name+" is part of something else as well that is edited in the same run: fix them one at a time")
			continue
		}
		maps.Copy(m.after, changed)
		for i, d := range mends {
			if d.outcome = outcomes[i]; d.outcome.err != nil {
				d.refused = d.outcome.err.Error()
			}
		}
	}
}

// clash names a file that was changed in two ways.
func (m *mender) clash(changed texts) string {
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if other, both := m.after[name]; both && !bytes.Equal(other, changed[name]) {
			return name
		}
	}
	return ""
}

// judge judges what files give.
func (m *mender) judge(ctx context.Context, files texts) (*evidence.Snapshot, map[foundAt]*report.Finding, error) {
	world := &evidence.Snapshot{}
	m.owners = m.owners[:0]
	for _, medium := range m.media {
		if err := medium.read(ctx, world, files); err != nil {
			return nil, nil, err
		}
		for len(m.owners) < len(world.Objects) {
			m.owners = append(m.owners, medium)
		}
	}
	for _, gap := range m.gaps { // what was not seen is not seen now either
		if !slices.Contains(world.Gaps, gap) {
			world.Gaps = append(world.Gaps, gap)
		}
	}
	rep, err := m.plan.judge(ctx, world)
	if err != nil {
		return nil, nil, err
	}
	found := map[foundAt]*report.Finding{}
	for i := range rep.Findings {
		found[m.placeOf(&rep.Findings[i])] = &rep.Findings[i]
	}
	return world, found, nil
}

// takeBack refuses the fixes that did not help, that brought new findings, or that
// changed an object that they are not about, or holds them back when it is not clear
// which of them it was. It reports whether there were any.
func (m *mender) takeBack(was, now *evidence.Snapshot, before, after map[foundAt]*report.Finding) bool {
	if m.disturbed(was, now) {
		return true
	}
	why := map[*mend]string{}
	for _, d := range m.mends {
		if d.made() && after[m.placeOf(d.finding)] != nil {
			why[d] = "the finding would still be there afterwards"
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(after), func(a, b foundAt) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.file, b.file)) }) {
		f := after[at]
		if before[at] != nil {
			continue
		}
		reason := fmt.Sprintf("a new finding would come: %s (%s)", f.Message, f.Rule)
		suspects := m.suspects(func(d *mend) bool { return d.fresh && d.isAbout(f.Object) })
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

// isAbout reports whether a fix changes an object, or adds it.
func (d *mend) isAbout(o report.Object) bool {
	return d.finding.Object.String() == o.String() || d.fix != nil && d.fix.Adds != nil && d.fix.Adds.String() == o.String()
}

// disturbed takes back the fixes of what holds an object that is not what it was but for
// the fixes that are about it, and those that add an object which is not as it should be.
func (m *mender) disturbed(was, now *evidence.Snapshot) (some bool) {
	stayed, added := m.apart(now)
	for _, d := range m.mends {
		if d.made() && d.fix.Adds != nil && !m.isThere(d, added) {
			d.refused, some = newObject(d.fix.Adds)+" would not be there as it should: something gives it another name, or more", true
		}
	}
	if some {
		return true
	}
	if len(was.Objects) != len(stayed) {
		m.refuseAll("there would be more objects or fewer afterwards")
		return true
	}
	edits := map[writtenAt][][]fix.Field{}
	for _, d := range m.mends {
		if d.made() {
			edits[writtenOf(d.ref)] = append(edits[writtenOf(d.ref)], fieldsOf(d.wanted().changes))
		}
	}
	for i, ref := range was.Objects {
		after := stayed[i].JSON
		fields := edits[writtenOf(ref)]
		if bytes.Equal(ref.JSON, after) && len(fields) == 0 || fix.Proves(ref.JSON, after, fields) {
			continue
		}
		some = true
		refuse(m.suspects(func(d *mend) bool { return d.made() && d.home == m.owners[stayed[i].ID] }), "something else of "+ref.String()+" would change as well")
	}
	return some
}

// apart takes the objects of a world apart: those that no fix adds, and those that one
// does, by their identity.
func (m *mender) apart(now *evidence.Snapshot) (stayed []*evidence.Ref, added map[identity][]*evidence.Ref) {
	added = map[identity][]*evidence.Ref{}
	for _, d := range m.mends {
		if d.made() && d.fix.Adds != nil {
			added[identityOf(d.fix.Adds)] = nil
		}
	}
	for _, ref := range now.Objects {
		id := identity{ref.APIVersion, ref.Kind, ref.Namespace, ref.Name}
		if _, meant := added[id]; meant {
			added[id] = append(added[id], ref)
		} else {
			stayed = append(stayed, ref)
		}
	}
	return stayed, added
}

// newObject is what reasons call an object that a fix adds: the same for all, so that they
// are counted together.
func newObject(a *check.Addition) string { return "the new " + a.Kind + " that goes with it" }

// An identity is what no two objects of a cluster share.
type identity struct{ apiVersion, kind, namespace, name string }

func identityOf(a *check.Addition) identity {
	return identity{a.APIVersion, a.Kind, a.Namespace, a.Name}
}

// isThere reports whether the object that a fix adds is there once, where the fix is
// made, and is what was asked for.
func (m *mender) isThere(d *mend, added map[identity][]*evidence.Ref) bool {
	same := added[identityOf(d.fix.Adds)]
	if len(same) != 1 || m.owners[same[0].ID] != d.home {
		return false
	}
	want, err := yaml.YAMLToJSON([]byte(d.fix.Adds.Text))
	return err == nil && fix.Proves(want, same[0].JSON, nil)
}

// writtenAt tells objects apart that have the same name.
type writtenAt struct {
	object string
	at     evidence.Position
}

func writtenOf(ref *evidence.Ref) writtenAt {
	w := writtenAt{object: ref.String()}
	if ref.Outline != nil {
		w.at = ref.Outline.At(0)
	}
	return w
}

func (m *mender) refuseAll(why string) { refuse(m.mends, why) }

func refuse(mends []*mend, why string) {
	for _, d := range mends {
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
	for _, name := range slices.Sorted(maps.Keys(m.after)) {
		_, existed := m.before[name]
		if err := stands(name, m.before[name], existed); err != nil {
			return usageError{err}
		}
		to, err := m.target(name, existed)
		if err != nil {
			return usageError{err}
		}
		if other, taken := targets[to]; taken {
			return usagef("%s and %s would both be written to %s", other, name, to)
		}
		targets[to] = name
	}
	for to, name := range targets {
		if err := putFile(to, name, m.after[name]); err != nil {
			return usagef("write %s: %w", to, err)
		}
	}
	return nil
}

// target is where a file is written: through links, what stands there stays a link.
func (m *mender) target(name string, exists bool) (string, error) {
	switch local := filepath.Clean(name); {
	case m.outputDir == "" && exists:
		return filepath.EvalSymlinks(name)
	case m.outputDir == "":
		return name, nil
	case filepath.IsLocal(local):
		return filepath.Join(m.outputDir, local), nil
	}
	for _, root := range m.scan.paths {
		if below, err := filepath.Rel(root, name); err == nil && filepath.IsLocal(below) {
			return filepath.Join(m.outputDir, filepath.Base(root), below), nil
		}
	}
	return filepath.Join(m.outputDir, filepath.Base(name)), nil
}

// newFileMode are the permissions of files that were not there.
const newFileMode = 0o644

// putFile writes a file in one step, with the permissions of the one it is made of, if
// there is one.
func putFile(to, from string, text []byte) error {
	mode := os.FileMode(newFileMode)
	switch info, err := os.Stat(from); {
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
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
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
