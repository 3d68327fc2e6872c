package checks_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What etcd's data shows decides the row; without it nothing passes.
func TestSecretsRewrittenByData(t *testing.T) {
	const present = "k8s:enc:kms:v2:vault:"
	for name, test := range map[string]struct {
		data   *evidence.EtcdData
		want   []string // of the findings
		passes bool
	}{
		"not read":   {nil, nil, false},
		"unreadable": {&evidence.EtcdData{Error: "permission denied"}, nil, false},
		"all":        {&evidence.EtcdData{Secrets: 3, Marks: map[string]int{present: 3}}, nil, true},
		"none":       {&evidence.EtcdData{}, nil, true},
		"plain": {
			&evidence.EtcdData{Secrets: 5, Marks: map[string]int{present: 1, "": 4}, Plain: []string{"a/b", "a/c", "d/e", "f/g"}},
			[]string{`^4 of 5 Secrets are stored in plain text: a/b, a/c, d/e, …$`}, false,
		},
		"other": {
			&evidence.EtcdData{Secrets: 2, Marks: map[string]int{"k8s:enc:aescbc:v1:old:": 2}},
			[]string{`^2 of 2 Secrets are stored behind "k8s:enc:aescbc:v1:old:", not behind the present "` + present + `"$`}, false,
		},
	} {
		scan := checktest.BaseNode(t, "kubeadm").Scan(t)
		scan.Hosts[0].Etcd = test.data
		run := checktest.JudgeNode(checks.SecretsRewritten, scan)
		if passes := run.Evaluated.Len() == 1 && len(run.Failures) == 0 && len(run.Unknowns) == 0; passes != test.passes {
			t.Errorf("%s: passes %v: %+v %v", name, passes, run.Failures, checktest.Unknowns(run))
		}
		if !slices.EqualFunc(run.Failures, test.want, func(f check.Failure, want string) bool {
			return regexp.MustCompile(want).MatchString(f.Problem.Message)
		}) {
			t.Errorf("%s: %s", name, fmt.Sprint(run.Failures))
		}
	}
}
