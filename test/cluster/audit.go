//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
)

// What fills clusters, and what plays their nodes: what these users do is not in
// the audit log, which it would only make long.
const (
	loader    = "gabion-test-load"
	simulator = "gabion-test-kwok"
)

func auditRules(further []auditv1.PolicyRule) []auditv1.PolicyRule {
	return slices.Concat(
		[]auditv1.PolicyRule{
			{Level: auditv1.LevelNone, Users: []string{loader, simulator}},
			{Level: auditv1.LevelMetadata, NonResourceURLs: []string{"/version"}}, // what AuditLog marks with
		},
		further,
		[]auditv1.PolicyRule{
			{
				Level: auditv1.LevelRequestResponse, Verbs: []string{"get", "list", "watch"},
				Resources: []auditv1.GroupResources{{Resources: []string{"secrets"}}},
			},
			{Level: auditv1.LevelMetadata},
		})
}

// AuditLog has the events of all requests that were begun before the call, of
// whatever user, in the order in which they ended: a watch, or what else goes
// on, when it has begun to answer. Where a rule of Options leaves out the stage
// RequestReceived, an event of that rule may come too late.
func (c *Cluster) AuditLog(t testing.TB) []auditv1.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, err := c.auditLog(ctx)
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	return events
}

// auditLog makes a request to be found in the log. The server writes that it has
// received a request before it answers, and that it has answered some time
// after: so what came before the mark and has not ended is waited for.
func (c *Cluster) auditLog(ctx context.Context) ([]auditv1.Event, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return nil, err
	}
	mark := "/version?mark=" + rand.Text()
	if err := client.RESTClient().Get().RequestURI(mark).Do(ctx).Error(); err != nil {
		return nil, err
	}
	for {
		events, err := readAudit(c.AuditFile)
		if err != nil {
			return nil, err
		}
		open := unfinished(events, mark)
		if len(open) == 0 {
			return slices.DeleteFunc(events, func(e auditv1.Event) bool {
				return e.Stage == auditv1.StageRequestReceived || e.RequestURI == mark
			}), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the end of %q: %w", open, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// unfinished are the requests, the mark with them, that were received no later
// than the mark and have no further stage.
func unfinished(events []auditv1.Event, mark string) []string {
	last := slices.IndexFunc(events, func(e auditv1.Event) bool { return e.RequestURI == mark })
	if last < 0 {
		return []string{mark}
	}
	further := map[types.UID]bool{}
	for _, e := range events {
		if e.Stage != auditv1.StageRequestReceived {
			further[e.AuditID] = true
		}
	}
	var open []string
	for _, e := range events[:last+1] {
		if !further[e.AuditID] {
			open = append(open, e.RequestURI)
		}
	}
	return open
}

// readAudit decodes the whole lines of an audit log.
func readAudit(file string) ([]auditv1.Event, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var events []auditv1.Event
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		events, data = append(events, e), rest
	}
	return events, nil
}
