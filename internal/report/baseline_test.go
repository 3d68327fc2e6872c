package report

import (
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestIncomplete(t *testing.T) {
	issues := []evidence.Issue{{Reason: "a"}}
	for _, test := range []struct {
		source evidence.Source
		want   bool
	}{
		{evidence.Source{Type: "manifest"}, false},
		{evidence.Source{Type: "manifest", Errors: issues}, true},
		{evidence.Source{Type: "manifest", Warnings: issues, Skipped: issues, Opaque: issues}, false},
		{evidence.Source{Type: "policy"}, false},
		{evidence.Source{Type: "policy", Warnings: issues}, true},
	} {
		r := Report{Sources: []*evidence.Source{{Type: "helm"}, &test.source}}
		if got := r.Incomplete(); got != test.want {
			t.Errorf("%+v: %v", test.source, got)
		}
	}
}
