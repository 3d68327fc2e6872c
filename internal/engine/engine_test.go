package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// bad finds a problem in every workload whose image is "bad".
var bad = &check.Check{
	ID: "bad-image", Title: "image is bad", Doc: "A test.", Recommendation: "POD-05", Severity: guide.Medium,
	Remedy: "use another image", Needs: []evidence.Fact{evidence.Workloads},
	Run: check.Containers(func(_ *check.Scan, _ *evidence.Workload, c evidence.Container) []check.Problem {
		if c.Image != "bad" {
			return nil
		}
		return []check.Problem{{Path: c.Path().Field("image"), Message: "the image is bad", Value: c.Image}}
	}),
}

func workload(snap *evidence.Snapshot, name, image string, annotations map[string]string) *evidence.Workload {
	w := evidence.NewWorkload(evidence.NewPath("spec").Rooted(""), evidence.NewPath("metadata"), nil,
		&corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}})
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: name, Annotations: annotations}, []*evidence.Workload{w})
	return w
}

var today = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func run(t *testing.T, snap *evidence.Snapshot, o engine.Options, checks ...*check.Check) *report.Report {
	t.Helper()
	o.Settings.Version = evidence.Newest()
	if o.Exceptions.Now.IsZero() {
		o.Exceptions.Now = today
	}
	r, err := engine.Run(context.Background(), snap, checks, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func row(t *testing.T, r *report.Report, id string) report.Recommendation {
	t.Helper()
	for _, rec := range r.Recommendations {
		if rec.ID == id {
			return rec
		}
	}
	t.Fatalf("no row %s", id)
	return report.Recommendation{}
}

// Every report answers every recommendation, in the ledger's order, whatever was
// scanned.
func TestEveryRow(t *testing.T) {
	r := run(t, &evidence.Snapshot{}, engine.Options{}, bad)
	if len(r.Recommendations) != 132 {
		t.Fatalf("%d rows", len(r.Recommendations))
	}
	s := r.Summary
	if n := s.Pass + s.Fail + s.NotApplicable + s.NotEvaluated + s.Manual + s.Excepted; n != 132 {
		t.Errorf("the summary counts %d rows", n)
	}
	for i, rec := range guide.All() {
		got := r.Recommendations[i]
		if got.ID != rec.ID {
			t.Errorf("row %d is %s, want %s", i, got.ID, rec.ID)
		}
		if got.Status == report.Pass {
			t.Errorf("%s passes although nothing was scanned", got.ID)
		}
		if got.Reason == "" {
			t.Errorf("%s is %s without a reason", got.ID, got.Status)
		}
	}
}

func TestStatus(t *testing.T) {
	gap := evidence.Gap{Fact: evidence.Workloads, Reason: "deploy/x.yaml:3: broken"}
	elsewhere := evidence.Gap{Fact: evidence.RBAC, Reason: "roles.yaml:1: broken"}
	anything := evidence.Gap{Reason: "z.yaml: permission denied"}
	for _, test := range []struct {
		name   string
		images []string
		gaps   []evidence.Gap
		want   report.Status
		reason string
	}{
		{"good", []string{"good"}, nil, report.Pass, ""},
		{"bad", []string{"good", "bad"}, nil, report.Fail, ""},
		{"nothing to judge", nil, nil, report.NotApplicable, "nothing"},
		{"good, and something unread", []string{"good"}, []evidence.Gap{gap}, report.NotEvaluated, "deploy/x.yaml:3"},
		{"nothing, and something unread", nil, []evidence.Gap{gap}, report.NotEvaluated, "deploy/x.yaml:3"},
		{"a failure stands whatever is unread", []string{"bad"}, []evidence.Gap{gap}, report.Fail, "deploy/x.yaml:3"},
		{"a gap in a fact that is not needed", []string{"good"}, []evidence.Gap{elsewhere}, report.Pass, ""},
		{"a file that may have held anything", []string{"good"}, []evidence.Gap{anything}, report.NotEvaluated, "permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			snap := &evidence.Snapshot{Gaps: test.gaps}
			for _, image := range test.images {
				workload(snap, "p-"+image, image, nil)
			}
			got := row(t, run(t, snap, engine.Options{}, bad), "POD-05")
			if got.Status != test.want || !strings.Contains(got.Reason, test.reason) || test.reason == "" && got.Reason != "" {
				t.Errorf("got %s (%q), want %s (%q)", got.Status, got.Reason, test.want, test.reason)
			}
			if got.Evaluated != len(test.images) {
				t.Errorf("%d evaluated, want %d", got.Evaluated, len(test.images))
			}
		})
	}
}

// "None found" is a failure only where all there is was seen.
func TestAbsence(t *testing.T) {
	needsPolicy := &check.Check{
		ID: "no-policy", Title: "no policy", Doc: "A test.", Recommendation: "NET-02", Severity: guide.High, Remedy: "add one",
		Needs: []evidence.Fact{evidence.NetworkPolicies},
		Run: func(r *check.Run) {
			for _, w := range r.Workloads {
				if ok, why := r.Complete(evidence.NetworkPolicies, w.Namespace); !ok {
					r.Unknown(w.Namespace, why)
					continue
				}
				r.Judge(w.Ref, []check.Problem{{Message: "no policy"}})
			}
		},
	}
	snap := &evidence.Snapshot{}
	workload(snap, "web", "good", nil)
	if got := row(t, run(t, snap, engine.Options{}, needsPolicy), "NET-02"); got.Status != report.NotEvaluated || !strings.Contains(got.Reason, "shop") {
		t.Errorf("a folder without the Namespace: %s (%s), want not-evaluated", got.Status, got.Reason)
	}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, &corev1.Namespace{})
	if got := row(t, run(t, snap, engine.Options{}, needsPolicy), "NET-02"); got.Status != report.Fail {
		t.Errorf("with the Namespace: %s (%s), want fail", got.Status, got.Reason)
	}
	snap.Gaps = []evidence.Gap{{Fact: evidence.NetworkPolicies, Scope: "shop", Reason: "policy.yaml:1: broken"}}
	if got := row(t, run(t, snap, engine.Options{}, needsPolicy), "NET-02"); got.Status != report.NotEvaluated {
		t.Errorf("with a policy that could not be read: %s, want not-evaluated", got.Status)
	}
}

func TestExceptions(t *testing.T) {
	exception := func(change func(*engine.Exception)) engine.Exception {
		e := engine.Exception{Rule: "bad-image", Namespace: "sh*", Name: "web", Reason: "agreed", Source: "ex.yaml:1"}
		change(&e)
		return e
	}
	for _, test := range []struct {
		name   string
		change func(*engine.Exception)
		status report.Status
		state  string
	}{
		{"in force", func(*engine.Exception) {}, report.Excepted, "in-force"},
		{"by recommendation", func(e *engine.Exception) { e.Rule, e.Recommendation = "", "pod-05" }, report.Excepted, "in-force"},
		{"last day", func(e *engine.Exception) { e.Expires = "2026-05-01" }, report.Excepted, "in-force"},
		{"expired", func(e *engine.Exception) { e.Expires = "2026-04-30" }, report.Fail, "expired"},
		{"another rule", func(e *engine.Exception) { e.Rule = "other" }, report.Fail, "unused"},
		{"another namespace", func(e *engine.Exception) { e.Namespace = "x*" }, report.Fail, "unused"},
		{"another container", func(e *engine.Exception) { e.Container = "side" }, report.Fail, "unused"},
		{"another kind", func(e *engine.Exception) { e.Kind = "Deployment" }, report.Fail, "unused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			snap := &evidence.Snapshot{}
			workload(snap, "web", "bad", nil)
			r := run(t, snap, engine.Options{Exceptions: engine.Exceptions{List: []engine.Exception{exception(test.change)}, Now: today}}, bad)
			if got := row(t, r, "POD-05"); got.Status != test.status || got.Failed != 1 {
				t.Errorf("the row is %s with %d failed, want %s", got.Status, got.Failed, test.status)
			}
			if len(r.Findings) != 1 {
				t.Fatalf("%d findings: an excepted one must stay", len(r.Findings))
			}
			if len(r.Exceptions) != 1 || r.Exceptions[0].State != test.state {
				t.Errorf("exceptions: %+v, want %s", r.Exceptions, test.state)
			}
			if counted := r.Summary.Findings.Medium == 1; counted != (test.status == report.Fail) {
				t.Errorf("counted: %v", counted)
			}
		})
	}
}

func TestAnnotations(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		trust        bool
		want         report.Status
	}{
		{"with a reason", "agreed", true, report.Excepted},
		{"without a reason", " ", true, report.Fail},
		{"not trusted", "agreed", false, report.Fail},
	} {
		t.Run(test.name, func(t *testing.T) {
			snap := &evidence.Snapshot{}
			workload(snap, "web", "bad", map[string]string{engine.AnnotationPrefix + "bad-image": test.reason})
			r := run(t, snap, engine.Options{Exceptions: engine.Exceptions{Annotations: test.trust, Now: today}}, bad)
			if got := row(t, r, "POD-05"); got.Status != test.want {
				t.Errorf("%s, want %s", got.Status, test.want)
			}
		})
	}
}

// A person's statement answers rows that are left to people, and no others.
func TestAttestations(t *testing.T) {
	statement := engine.Attestation{Status: "pass", Statement: "tested by an outside team", By: "ana", Date: "2026-01-02"}
	for _, test := range []struct {
		name   string
		change func(*engine.Attestation)
		want   report.Status
	}{
		{"pass", func(a *engine.Attestation) { a.Recommendation = "UPG-05" }, report.Pass},
		{"fail", func(a *engine.Attestation) { a.Recommendation, a.Status = "UPG-05", "fail" }, report.Fail},
		{"expired", func(a *engine.Attestation) { a.Recommendation, a.Expires = "UPG-05", "2026-04-30" }, report.Manual},
		{"not yet", func(a *engine.Attestation) { a.Recommendation, a.Date = "UPG-05", "2026-05-02" }, report.Manual},
		{"evidence decides the row", func(a *engine.Attestation) { a.Recommendation = "POD-05" }, report.Fail},
		{"evidence could decide the row", func(a *engine.Attestation) { a.Recommendation = "CP-02" }, report.NotEvaluated},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := statement
			test.change(&a)
			if err := a.Validate(); err != nil {
				t.Fatal(err)
			}
			snap := &evidence.Snapshot{}
			workload(snap, "web", "bad", nil)
			if got := row(t, run(t, snap, engine.Options{Attestations: []engine.Attestation{a}}, bad), a.Recommendation); got.Status != test.want {
				t.Errorf("%s (%s), want %s", got.Status, got.Reason, test.want)
			}
		})
	}
}

// A finding on a workload that is exposed and whose ServiceAccount has a strong
// role ranks one step higher and says why; each alone changes nothing.
func TestSeverityInContext(t *testing.T) {
	for _, test := range []struct {
		name            string
		exposed, strong bool
		want            guide.Severity
	}{
		{"sealed", false, false, guide.Medium},
		{"exposed", true, false, guide.Medium},
		{"strong", false, true, guide.Medium},
		{"exposed and strong", true, true, guide.High},
	} {
		t.Run(test.name, func(t *testing.T) {
			snap := &evidence.Snapshot{}
			workload(snap, "web", "bad", nil).PodLabels = map[string]string{"app": "web"}
			if test.exposed {
				snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "web"},
					&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
						Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"}}})
			}
			if test.strong {
				snap.Add(&evidence.Ref{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding", Name: "all"},
					&rbacv1.ClusterRoleBinding{
						Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "default"}},
						RoleRef:  rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin", APIGroup: "rbac.authorization.k8s.io"}})
			}
			f := run(t, snap, engine.Options{}, bad).Findings[0]
			if f.Severity != test.want {
				t.Fatalf("%s, want %s", f.Severity, test.want)
			}
			if test.want != guide.High {
				return
			}
			for _, part := range []string{"from medium to high", "web", "cluster-admin"} {
				if !strings.Contains(f.SeverityReason, part) {
					t.Errorf("the reason %q does not name %q", f.SeverityReason, part)
				}
			}
		})
	}
}

// What no object shows keeps a row from passing once there is something to ask
// it of, and a person may answer it; but not for what could not be read.
func TestLeaves(t *testing.T) {
	exposed := &check.Check{
		ID: "exposed", Title: "exposed", Doc: "A test.", Recommendation: "WRK-01", Severity: guide.Low, Remedy: "hide it",
		Needs:  []evidence.Fact{evidence.Workloads},
		Leaves: check.Rest{What: "how the networks are filtered", To: []guide.Evidence{guide.Cluster, guide.Attestation}},
		Run: check.Workloads(func(_ *check.Scan, w *evidence.Workload) []check.Problem {
			if w.Name == "bad" {
				return []check.Problem{{Message: "exposed"}}
			}
			return nil
		}),
	}
	gap := []evidence.Gap{{Fact: evidence.Workloads, Reason: "x.yaml:3: broken"}}
	attested := []engine.Attestation{{Recommendation: "WRK-01", Status: "pass", Statement: "filtered", By: "ana", Date: "2026-01-02"}}
	for _, test := range []struct {
		name         string
		workload     string
		gaps         []evidence.Gap
		attestations []engine.Attestation
		want         report.Status
		reason       string
	}{
		{"good", "good", nil, nil, report.NotEvaluated, "how the networks are filtered: needs the live cluster's API (--cluster) and a dated statement"},
		{"bad", "bad", nil, attested, report.Fail, "how the networks are filtered"},
		{"nothing to ask it of", "", nil, nil, report.NotApplicable, ""},
		{"attested", "good", nil, attested, report.Pass, "attested by ana"},
		{"attested, and a file was not read", "good", gap, attested, report.NotEvaluated, "x.yaml:3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			snap := &evidence.Snapshot{Gaps: test.gaps}
			if test.workload != "" {
				workload(snap, test.workload, "image", nil)
			}
			got := row(t, run(t, snap, engine.Options{Attestations: test.attestations}, exposed), "WRK-01")
			if got.Status != test.want || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("got %s (%s), want %s (%s)", got.Status, got.Reason, test.want, test.reason)
			}
		})
	}
}

// A row passes by objects that are reported about, not by those left out.
func TestSelector(t *testing.T) {
	for name, want := range map[string]report.Status{"web": report.Pass, "db": report.Fail, "typo": report.NotApplicable} {
		snap := &evidence.Snapshot{}
		workload(snap, "web", "good", nil)
		workload(snap, "db", "bad", nil)
		selector := func(ref *evidence.Ref) bool { return ref.Name == name }
		if got := row(t, run(t, snap, engine.Options{Selector: selector}, bad), "POD-05"); got.Status != want {
			t.Errorf("only %q: %s (%s), want %s", name, got.Status, got.Reason, want)
		}
	}
}

// A question that only a live cluster answers keeps a row of files from passing,
// and is asked of a cluster; one that only files answer likewise.
func TestLiveAndWritten(t *testing.T) {
	live, written := *bad, *bad
	live.ID, live.Live = "live", "whether pods run"
	written.ID, written.Written = "written", "which version it is written in"
	files := &evidence.Snapshot{}
	workload(files, "a", "good", nil)
	cluster := &evidence.Snapshot{Cluster: &evidence.Cluster{Name: "prod"}}
	workload(cluster, "a", "good", nil)
	for _, test := range []struct {
		what   string
		snap   *evidence.Snapshot
		checks []*check.Check
		status report.Status
		reason string
	}{
		{"files, both kinds of question", files, []*check.Check{bad, &live}, report.NotEvaluated, "whether pods run: needs the live cluster's API (--cluster)"},
		{"files, only a live question", files, []*check.Check{&live}, report.NotEvaluated, "needs the live cluster's API (--cluster)"},
		{"a cluster, both", cluster, []*check.Check{bad, &live}, report.Pass, ""},
		{"a cluster, a question for files", cluster, []*check.Check{bad, &written}, report.NotEvaluated, "which version it is written in: needs objects in files"},
		{"files, a question for files", files, []*check.Check{bad, &written}, report.Pass, ""},
	} {
		got := row(t, run(t, test.snap, engine.Options{}, test.checks...), "POD-05")
		if got.Status != test.status || !strings.HasPrefix(got.Reason, test.reason) || (test.reason == "") != (got.Reason == "") {
			t.Errorf("%s: %s (%s), want %s (%s)", test.what, got.Status, got.Reason, test.status, test.reason)
		}
	}
}

// What a check leaves to the cluster is answered where a rule of the row asks the
// cluster, and is open where none does.
func TestLeavesToTheCluster(t *testing.T) {
	leaves, live := *bad, *bad
	leaves.Leaves = check.Rest{What: "whether it is ready", To: []guide.Evidence{guide.Cluster}}
	live.ID, live.Live = "live", "whether it is ready"
	files := &evidence.Snapshot{}
	workload(files, "a", "good", nil)
	cluster := &evidence.Snapshot{Cluster: &evidence.Cluster{Name: "prod"}}
	workload(cluster, "a", "good", nil)
	for _, test := range []struct {
		snap   *evidence.Snapshot
		checks []*check.Check
		status report.Status
		reason string
	}{
		{files, []*check.Check{&leaves}, report.NotEvaluated, "whether it is ready: needs the live cluster's API (--cluster)"},
		{cluster, []*check.Check{&leaves}, report.NotEvaluated, "whether it is ready: no rule tells yet"},
		{cluster, []*check.Check{&leaves, &live}, report.Pass, ""},
	} {
		got := row(t, run(t, test.snap, engine.Options{}, test.checks...), "POD-05")
		if got.Status != test.status || got.Reason != test.reason {
			t.Errorf("%s (%s), want %s (%s)", got.Status, got.Reason, test.status, test.reason)
		}
	}
}

// The static pods of a control plane are as they are installed: what every cluster
// has ranks low, what none has does not, and a look-alike elsewhere neither.
func TestControlPlanePods(t *testing.T) {
	mirror := map[string]string{corev1.MirrorPodAnnotationKey: "1"}
	labels := map[string]string{"tier": "control-plane", "component": "etcd"}
	rule := func(id string) *check.Check {
		c := *bad
		c.ID = id
		return &c
	}
	for _, test := range []struct {
		what        string
		namespace   string
		annotations map[string]string
		rule        string
		want        guide.Severity
	}{
		{"as installed", "kube-system", mirror, "read-only-root-filesystem", guide.Info},
		{"privileged", "kube-system", mirror, "privileged-container", guide.Medium},
		{"a path of the node that none has", "kube-system", mirror, "host-path", guide.Medium},
		{"no mirror", "kube-system", nil, "read-only-root-filesystem", guide.Medium},
		{"elsewhere", "shop", mirror, "read-only-root-filesystem", guide.Medium},
	} {
		snap := &evidence.Snapshot{Cluster: &evidence.Cluster{Name: "prod"}}
		w := evidence.NewWorkload(evidence.NewPath("spec").Rooted(""), evidence.NewPath("metadata"), nil,
			&corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "bad"}}})
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: test.namespace, Name: "etcd-a", Labels: labels, Annotations: test.annotations}, []*evidence.Workload{w})
		if got := run(t, snap, engine.Options{}, rule(test.rule)).Findings[0]; got.Severity != test.want || (test.want == guide.Info) != strings.HasPrefix(got.SeverityReason, "lowered") {
			t.Errorf("%s: %s (%s), want %s", test.what, got.Severity, got.SeverityReason, test.want)
		}
	}
}
