//go:build cluster

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// sameButTimes leaves out of reports who collected what and when.
var sameButTimes = cmpopts.IgnoreFields(report.Report{}, "StartedAt", "FinishedAt", "Sources")

// Two clusters are judged apart and told together: live, from a snapshot each, and
// from one snapshot of both.
func TestFleet(t *testing.T) {
	east, west := shop(t), cluster.Start(t, cluster.Options{NoScheduler: true})
	fill(t, west)
	applyText(t, west, "apiVersion: v1\nkind: Namespace\nmetadata: {name: only-west}\n")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	gone := func(k *clientcmdapi.Config) {
		renamed("gone")(k)
		k.Clusters["gone"].Server = "https://127.0.0.1:1"
	}
	t.Setenv("KUBECONFIG", strings.Join([]string{kubeconfig(t, east.Kubeconfig, renamed("east")),
		kubeconfig(t, west.Kubeconfig, renamed("west")), kubeconfig(t, east.Kubeconfig, gone)}, ":"))

	one := map[string]*report.Report{"east": scan(t, "--context", "east"), "west": scan(t, "--context", "west")}
	both := scan(t, "--context", "east", "--context", "west")
	t.Run("apart", func(t *testing.T) {
		for i, row := range both.Recommendations {
			for j, name := range []string{"east", "west"} {
				alone := one[name].Recommendations[i]
				want := report.ClusterAnswer{Cluster: name, Status: alone.Status, Reason: alone.Reason, Evaluated: alone.Evaluated, Failed: alone.Failed}
				if diff := cmp.Diff(want, row.Clusters[j]); diff != "" {
					t.Errorf("%s -alone +together: %s", row.ID, diff)
				}
			}
		}
		if len(both.Findings) != len(one["east"].Findings)+len(one["west"].Findings) {
			t.Errorf("%d findings of %d and %d", len(both.Findings), len(one["east"].Findings), len(one["west"].Findings))
		}
		table := run(t, "scan", "--context", "east", "--context", "west", "-o", "wide").out
		for _, want := range []string{"cluster east: ", "cluster west: ", "✗ east: Deployment tools/ci-runner: ", "✗ west: Deployment tools/ci-runner: ", "east: fail, "} {
			if !strings.Contains(table, want) {
				t.Errorf("%q is not in the table", want)
			}
		}
	})
	t.Run("snapshots", func(t *testing.T) {
		for _, name := range []string{"east", "west"} {
			run(t, "snapshot", "--context", name, "--output-file", file(name))
		}
		run(t, "snapshot", "--context", "east", "--context", "west", "--output-file", file("both"))
		for _, args := range [][]string{{"--snapshot", file("east"), "--snapshot", file("west")}, {"--snapshot", file("both")}, {"--snapshot", file("east"), "--context", "west"}} {
			stored := scan(t, args...)
			if args[2:] != nil && len(args) == 4 && args[2] == "--context" { // live clusters come first
				stored.Sources[0], stored.Sources[1] = stored.Sources[1], stored.Sources[0]
				if got := []string{stored.Sources[0].Ref, stored.Sources[1].Ref}; !slices.Equal(got, []string{"east", "west"}) {
					t.Error(got)
				}
				continue
			}
			if diff := cmp.Diff(both, stored, sameButTimes); diff != "" {
				t.Errorf("%v: -live +stored: %s", args, diff)
			}
			for i, s := range stored.Sources {
				if s.Ref != both.Sources[i].Ref || s.Objects != both.Sources[i].Objects || s.Cluster.UID != both.Sources[i].Cluster.UID || s.Cluster.User != both.Sources[i].Cluster.User {
					t.Errorf("source %+v, live %+v", s, both.Sources[i])
				}
			}
		}
	})
	t.Run("one is down", func(t *testing.T) {
		oneIsDown(t, one["east"], file("down"), "the API server https://127.0.0.1:1 refused the connection", "--context", "east", "--context", "gone")
	})
	t.Run("one lacks the namespace", func(t *testing.T) {
		oneIsDown(t, scan(t, "--context", "west", "-n", "only-west"), file("lacks"), `namespace "only-west" does not exist in cluster "east"`,
			"--context", "west", "--context", "east", "-n", "only-west")
	})
	t.Run("all are down", func(t *testing.T) {
		r, code := judged(t, "--context", "gone", "--snapshot", file("down"))
		if s := r.Summary; code != 3 || s.Pass+s.Excepted > 0 {
			t.Errorf("exit code %d, %+v", code, s)
		}
	})
	t.Run("same names", func(t *testing.T) { sameNames(t, east, west, file) })
	t.Run("what is new", func(t *testing.T) { whatIsNew(t, west, both, file) })
}

// oneIsDown looks at two clusters, the second of which cannot be looked at: the
// answers of the first are all there, and those of the second are open.
func oneIsDown(t *testing.T, alone *report.Report, file, why string, args ...string) {
	t.Helper()
	r, code := judged(t, args...)
	if code != 3 {
		t.Errorf("exit code %d, nothing fails", code)
	}
	if got := try(t, append([]string{"scan", "--fail-on", "low"}, args...)...); got.code != 1 || got.errors != "" {
		t.Errorf("exit code %d, something fails: %s", got.code, got.errors)
	}
	if len(r.Findings) != len(alone.Findings) {
		t.Errorf("%d findings, alone %d", len(r.Findings), len(alone.Findings))
	}
	for i, row := range r.Recommendations {
		first, second := row.Clusters[0], row.Clusters[1]
		if was := alone.Recommendations[i]; first.Status != was.Status || first.Reason != was.Reason || first.Failed != was.Failed {
			t.Errorf("%s: %+v, alone %+v", row.ID, first, was)
		}
		if second.Status != report.NotEvaluated && second.Status != report.Manual || row.Status == report.Pass || row.Status == report.NotApplicable {
			t.Errorf("%s is %s, and in the other cluster %s", row.ID, row.Status, second.Status)
		}
	}
	if errs := r.Sources[1].Errors; len(errs) == 0 || !strings.Contains(errs[len(errs)-1].Reason, why) {
		t.Errorf("the report does not say %q: %v", why, errs)
	}
	if got := try(t, append([]string{"snapshot", "--output-file", file}, args...)...); got.code != 3 || got.errors != "" {
		t.Errorf("snapshot: exit code %d: %s", got.code, got.errors)
	}
	stored, code := judged(t, "--snapshot", file)
	if diff := cmp.Diff(r, stored, sameButTimes); diff != "" || code != 3 {
		t.Errorf("exit code %d, -live +stored: %s", code, diff)
	}
}

// Everybody's context has the same name: clusters are told apart by more.
func sameNames(t *testing.T, east, west *cluster.Cluster, file func(string) string) {
	for name, c := range map[string]*cluster.Cluster{"test-1": east, "test-2": west} {
		run(t, "snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", file(name))
	}
	r := scan(t, "--snapshot", file("test-1"), "--snapshot", file("test-2"))
	want := []string{"test (" + strings.TrimPrefix(east.URL, "https://") + ")", "test (" + strings.TrimPrefix(west.URL, "https://") + ")"}
	found := map[string]bool{}
	for _, f := range r.Findings {
		found[f.Object.Cluster] = true
	}
	for i, name := range want {
		if s := r.Sources[i]; s.Ref != name || s.Cluster.Name != name || !found[name] || r.Recommendations[0].Clusters[i].Cluster != name {
			t.Errorf("not told apart as %q: %q, %q", name, s.Ref, s.Cluster.Name)
		}
	}
	again := scan(t, "--snapshot", file("east"), "--context", "east")
	if a, b := again.Sources[0].Ref, again.Sources[1].Ref; a == b || !strings.HasPrefix(a, "east (") || !strings.HasPrefix(b, "east (") {
		t.Errorf("the same cluster at two times is called %q and %q", a, b)
	}
}

// whatIsNew adds an object to one of two clusters: it is new there, and only there.
func whatIsNew(t *testing.T, west *cluster.Cluster, before *report.Report, file func(string) string) {
	write := func(name string, r *report.Report) string {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file(name)
	}
	applyText(t, west, `
apiVersion: batch/v1
kind: CronJob
metadata: {name: late, namespace: only-west}
spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: late, image: registry.example.com/late, securityContext: {privileged: true}}]}}}}}
`)
	baseline := write("before.json", before)
	args := []string{"--context", "east", "--context", "west", "--baseline", baseline}
	after := scan(t, args...)
	if got := try(t, append([]string{"scan"}, args...)...); got.code != 1 {
		t.Errorf("exit code %d", got.code)
	}
	fresh := 0
	for _, f := range after.Findings {
		if f.Baseline {
			continue
		}
		if fresh++; f.Object.Cluster != "west" || f.Object.Namespace != "only-west" && f.Object.Name != "only-west" {
			t.Errorf("new: %s in %s: %s", f.Object, f.Object.Cluster, f.Message)
		}
	}
	if fresh < 5 {
		t.Errorf("%d new findings", fresh)
	}
	if r := try(t, "scan", "--context", "east", "--baseline", write("east.json", scan(t, "--context", "east"))); r.code != 0 {
		t.Errorf("exit code %d against a baseline of the same", r.code)
	}
	diff := try(t, "diff", baseline, write("after.json", after))
	if diff.code != 1 || !strings.Contains(diff.out, ": CronJob only-west/late: container \"late\" runs privileged") || strings.Contains(diff.out, "Fixed") {
		t.Errorf("exit code %d: %s", diff.code, diff.out)
	}
	for line := range strings.Lines(diff.out) {
		if strings.HasPrefix(line, "  + ") && !strings.Contains(line, " west: ") {
			t.Errorf("whose is this? %s", line)
		}
	}
	if back := try(t, "diff", file("after.json"), baseline); back.code != 0 || !strings.Contains(back.out, "west: CronJob only-west/late") {
		t.Errorf("exit code %d: %s", back.code, back.out)
	}
}
