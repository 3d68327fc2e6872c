package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// A Trial is a change of one object that was tried, and nothing written; or the making of
// a new one.
type Trial struct {
	// Configuration is what has to be applied: the fields of the change, and those that
	// were applied under the same manager before, which else would be taken away. It is
	// the whole of a new object.
	Configuration patch.Object
	// By names the object that a new one is made for, "" for a change.
	By string
	// Changes are the fields as they are and as they will be: by the API server's word
	// when it proved them.
	Changes []patch.Difference
	// Unproven is why the API server did not prove the change, "" when it did. What is
	// unproven is not made.
	Unproven string

	now   patch.Object
	force bool
}

// Try finds out what it takes to make the differences in an object as it was judged, and
// whether the API server would accept it and change nothing else. With force, fields
// that other managers set are taken over. A user who may not try gets a Trial that is
// not proven; anything else that is in the way is an error, a *Conflict among them.
func (c *Client) Try(ctx context.Context, judged patch.Object, wanted []patch.Difference, force bool) (*Trial, error) {
	now, err := c.get(ctx, judged)
	switch {
	case errors.Is(err, ErrForbidden):
		t, err := prepare(judged, wanted, force)
		if err == nil {
			t.Unproven = "the object may not be read by itself (needs the right get)"
		}
		return t, err
	case err != nil:
		return nil, err
	case !patch.Same(judged, now):
		return nil, errors.New("it has changed since it was judged: run the command again")
	}
	t, err := prepare(now, wanted, force)
	if err != nil {
		return nil, err
	}
	answer, err := c.apply(ctx, t, true)
	switch {
	case errors.Is(err, ErrForbidden):
		t.Unproven = "the API server may not be asked by this user (needs the right patch, for a dry run as well)"
		return t, nil
	case err != nil:
		return nil, err
	}
	got := patch.Compare(now, answer)
	if other := patch.Foretold(wanted, got); other != "" {
		return nil, errors.New(other)
	}
	t.Changes = got
	return t, nil
}

// prepare makes the configuration.
func prepare(now patch.Object, wanted []patch.Difference, force bool) (*Trial, error) {
	after, err := patch.Make(now, wanted)
	if err != nil {
		return nil, err
	}
	fields, err := patch.Settable(now, wanted)
	if err != nil {
		return nil, err
	}
	before, err := patch.Owned(now, Manager)
	if err != nil {
		return nil, err
	}
	configuration, err := patch.Configuration(after, append(before, fields...))
	if err != nil {
		return nil, err
	}
	return &Trial{Configuration: configuration, Changes: wanted, now: now, force: force}, nil
}

// apply sends the configuration of a trial, for that object in that version alone.
func (c *Client) apply(ctx context.Context, t *Trial, dryRun bool) (patch.Object, error) {
	body := maps.Clone(t.Configuration)
	metadata, _ := body["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	metadata["uid"], metadata["resourceVersion"] = t.now.Text("metadata", "uid"), t.now.Text("metadata", "resourceVersion")
	body["metadata"] = metadata
	return c.write(ctx, t.now, body, writing{contentType: serverSideApply, dryRun: dryRun, force: t.force})
}

// maxTries is how often a write is tried that finds a newer version of the object, of
// which controllers have written nothing but the status.
const maxTries = 5

// Do makes the change of a trial, or the object.
func (c *Client) Do(ctx context.Context, t *Trial) error {
	if t.Unproven != "" {
		return errors.New(t.Unproven)
	}
	if t.By != "" {
		return c.make(ctx, t.Configuration, false)
	}
	for try := 1; ; try++ {
		answer, err := c.apply(ctx, t, false)
		if err == nil {
			if other := patch.Foretold(t.Changes, patch.Compare(t.now, answer)); other != "" {
				return fmt.Errorf("it was changed, but not as the dry run said: %s", other)
			}
			return nil
		}
		if !errors.Is(err, errModified) || try == maxTries {
			return err
		}
		now, err := c.get(ctx, t.now)
		if err != nil {
			return err
		}
		if !patch.Same(t.now, now) || len(patch.Compare(t.now, now)) > 0 {
			return errors.New("it has changed since it was tried: run the command again")
		}
		t.now = now
	}
}

// Fields are the paths of changes.
func Fields(changes []patch.Difference) []patch.Path {
	var paths []patch.Path
	for _, d := range changes {
		paths = append(paths, d.Path)
	}
	return paths
}

// An Outcome is what became of taking back the changes of one object.
type Outcome struct {
	// Undone are the fields that are as before again, by this or by somebody else.
	Undone int
	// Left are those that somebody else has changed since: they were not touched.
	Left []patch.Path
	// Deleted is set of an object that was made, and is gone again.
	Deleted bool
	// Nothing is set when nothing had to be written.
	Nothing bool
}

// Undo takes back the changes of one object, as far as they still stand, and deletes one
// that was made, if it still is as it was.
func (c *Client) Undo(ctx context.Context, e Entry) (Outcome, error) {
	if e.Made != nil {
		return c.unmake(ctx, e)
	}
	object := patch.Object{"apiVersion": e.APIVersion, "kind": e.Kind, "metadata": map[string]any{"name": e.Name, "namespace": e.Namespace}}
	for try := 1; ; try++ {
		now, err := c.get(ctx, object)
		if err != nil {
			return Outcome{}, err
		}
		if now.Text("metadata", "uid") != e.UID {
			return Outcome{}, errors.New("it was made anew since")
		}
		before, left := patch.Undo(now, e.Changes)
		o := Outcome{Undone: len(e.Changes) - len(left), Left: Fields(left)}
		body := patch.Merge(now, before)
		if len(body) == 0 {
			o.Nothing = true
			return o, nil
		}
		err = c.restore(ctx, now, body, patch.Compare(now, before))
		if !errors.Is(err, errModified) || try == maxTries {
			return o, err
		}
	}
}

// restore makes an object what it was, after a dry run.
func (c *Client) restore(ctx context.Context, now patch.Object, body map[string]any, wanted []patch.Difference) error {
	metadata, _ := body["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["resourceVersion"] = now.Text("metadata", "resourceVersion")
	body["metadata"] = metadata
	for _, dryRun := range []bool{true, false} {
		answer, err := c.write(ctx, now, body, writing{contentType: mergePatch, dryRun: dryRun})
		if err != nil {
			return err
		}
		if got := patch.Compare(now, answer); !slices.EqualFunc(wanted, got, patch.Difference.Equal) {
			if other := patch.Foretold(wanted, got); other != "" {
				return errors.New(other)
			}
			return errors.New("the API server would not bring back the values of before")
		}
	}
	return nil
}
