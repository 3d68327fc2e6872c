package checks_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A row about what is not in use says so: that nothing was found wrong with the audit log
// of an API server that keeps none is no pass.
func TestInapplicable(t *testing.T) {
	const (
		noLog     = "kube-apiserver keeps no audit log (AUD-01)"
		noFile    = "kube-apiserver writes its audit log to the standard output, not to a file"
		noWebhook = "kube-apiserver sends audit events to no webhook"
		noConfig  = "kube-apiserver has no encryption configuration (SEC-03)"
	)
	for _, test := range []struct {
		check *check.Check
		flags map[string]string
		want  string
	}{
		{checks.AuditLogFile, nil, noLog},
		{checks.AuditLogMounts, nil, noLog},
		{checks.AuditLogRetention, nil, noLog},
		{checks.AuditLogFile, map[string]string{"audit-log-path": "/log"}, noLog},
		{checks.AuditLogRetention, map[string]string{"audit-policy-file": "/p", "audit-log-path": "-"}, noFile},
		{checks.AuditLogFile, map[string]string{"audit-policy-file": "/p"}, "kube-apiserver writes its audit log to no file"},
		{checks.AuditWebhook, nil, noWebhook},
		{checks.EncryptionConfigFile, nil, noConfig},
		{checks.EncryptionProvider, nil, noConfig},
		{checks.EncryptionKeyService, nil, noConfig},
		{checks.SecretsRewritten, nil, noConfig},
		{checks.LogTransport, nil, "nothing on it sends logs away (SYS-01)"},
		{checks.LogBuffer, nil, "nothing on it sends logs away (SYS-01)"},
		{checks.LogSpace, nil, "neither an audit log nor a journal is kept on it"},
	} {
		c := &evidence.Component{Name: evidence.APIServer, Way: evidence.FromProcess}
		for name, value := range test.flags {
			c.Flags = append(c.Flags, evidence.Flag{Name: name, Value: value})
		}
		look := func(unread string) *check.Run {
			c.Unread = unread
			snap := &evidence.Snapshot{}
			snap.AddHost(&evidence.Host{Node: "cp-1", Root: "/", ReadAt: time.Now(), Components: []*evidence.Component{c}}, nil)
			run := &check.Run{Scan: check.NewScan(snap, check.Settings{Version: evidence.Newest()}), Severity: test.check.Severity}
			test.check.Run(run)
			return run
		}
		run := look("")
		if diff := cmp.Diff([]check.Unjudged{{Scope: "node cp-1", Reason: test.want}}, run.Inapplicables); diff != "" {
			t.Errorf("%s %v (-want +got)\n%s", test.check.ID, test.flags, diff)
		}
		if run.Evaluated.Len() != 0 || len(run.Unknowns) != 0 {
			t.Errorf("%s %v: %d judged, unknown %v", test.check.ID, test.flags, run.Evaluated.Len(), run.Unknowns)
		}
		if test.check == checks.LogSpace || len(test.flags) > 0 {
			continue
		}
		run = look("the command line is cut off")
		if len(run.Inapplicables) > 0 || !slices.ContainsFunc(run.Unknowns, func(u check.Unjudged) bool { return u.Scope == "node cp-1" }) {
			t.Errorf("%s, with flags that were not read: %v, unknown %v", test.check.ID, run.Inapplicables, run.Unknowns)
		}
	}
}
