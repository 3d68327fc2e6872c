package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// TryNew finds out whether the API server would make an object that is not there, and
// just as it is written. It is for another one, which is named as people do and cannot
// be without it. A user who may not try gets a Trial that is not proven.
func (c *Client) TryNew(ctx context.Context, object patch.Object, by string) (*Trial, error) {
	t := &Trial{Configuration: object, By: by, now: object}
	switch err := c.make(ctx, object, true); {
	case errors.Is(err, ErrForbidden):
		t.Unproven = "the API server may not be asked by this user (needs the right create, for a dry run as well)"
		return t, nil
	case err != nil:
		return nil, err
	}
	return t, nil
}

// make makes an object that is not there. It is a creation, not an apply: what somebody
// else has made meanwhile is not taken over.
func (c *Client) make(ctx context.Context, object patch.Object, dryRun bool) error {
	at, err := c.path(ctx, object)
	if err != nil {
		return err
	}
	query := url.Values{"fieldManager": {Manager}, "fieldValidation": {"Strict"}}
	if dryRun {
		query.Set("dryRun", "All")
	}
	answer, err := c.do(ctx, request{method: http.MethodPost, contentType: "application/json", path: at[:len(at)-1], query: query, body: object})
	switch {
	case errors.Is(err, errModified):
		return errors.New("somebody else has made it since: run the command again")
	case err != nil:
		return err
	}
	if other := patch.Foretold(nil, patch.Compare(object, asMade(answer))); other != "" {
		return errors.New(other)
	}
	return nil
}

// asMade is an object without what the API server gives to each: who it is, and since when.
func asMade(o patch.Object) patch.Object {
	o = maps.Clone(o)
	metadata, _ := o["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	delete(metadata, "uid")
	delete(metadata, "creationTimestamp")
	o["metadata"] = metadata
	return o
}

// unmake deletes an object that was made, if it still is as it was.
func (c *Client) unmake(ctx context.Context, e Entry) (Outcome, error) {
	for try := 1; ; try++ {
		now, err := c.get(ctx, e.Made)
		switch {
		case errors.Is(err, ErrGone):
			return Outcome{Nothing: true}, nil
		case err != nil:
			return Outcome{}, err
		}
		if left := patch.Compare(e.Made, asMade(now)); len(left) > 0 {
			return Outcome{Left: Fields(left), Nothing: true}, nil
		}
		if others := patch.Managers(now, nil, Manager); len(others) > 0 {
			return Outcome{}, fmt.Errorf("%s has applied it as well since: it is left", strings.Join(others, ", "))
		}
		err = c.delete(ctx, now)
		switch {
		case errors.Is(err, ErrGone), err == nil:
			return Outcome{Deleted: true}, nil
		case !errors.Is(err, errModified) || try == maxTries:
			return Outcome{}, err
		}
	}
}

// delete deletes an object in just this version, after a dry run.
func (c *Client) delete(ctx context.Context, now patch.Object) error {
	at, err := c.path(ctx, now)
	if err != nil {
		return err
	}
	options := map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions",
		"preconditions": map[string]any{"uid": now.Text("metadata", "uid"), "resourceVersion": now.Text("metadata", "resourceVersion")},
	}
	for _, query := range []url.Values{{"dryRun": {"All"}}, {}} {
		if _, err := c.do(ctx, request{method: http.MethodDelete, contentType: "application/json", path: at, query: query, body: options}); err != nil {
			return err
		}
	}
	return nil
}
