//go:build cluster

// Package e2e runs the whole program against a real Kubernetes control plane:
// what a user is promised, from the command line to the exit code.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/report"
)

// result is what a run of the program printed and how it ended.
type result struct {
	code        int
	out, errors string
}

// try runs the program, whatever it says.
func try(t *testing.T, args ...string) result {
	t.Helper()
	return tryAs(t, "gabion", args...)
}

// tryAs runs the program under another name.
func tryAs(t *testing.T, program string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	env := cli.System()
	env.Stdout, env.Stderr, env.Dir = &out, &errs, t.TempDir()
	code := cli.Main(context.Background(), append([]string{program}, args...), env)
	return result{code, out.String(), errs.String()}
}

// run runs the program, which must not fail.
func run(t *testing.T, args ...string) result {
	t.Helper()
	r := try(t, args...)
	if r.code == cli.ExitUsage || r.code == cli.ExitFault {
		t.Fatalf("gabion %v: exit code %d: %s", args, r.code, r.errors)
	}
	return r
}

// scan returns the report of a scan.
func scan(t *testing.T, args ...string) *report.Report {
	t.Helper()
	var r report.Report
	if err := json.Unmarshal([]byte(run(t, append([]string{"scan", "-o", "json"}, args...)...).out), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}
