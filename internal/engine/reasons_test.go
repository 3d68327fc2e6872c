package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
)

// What is to be said of many nodes or files is said once.
func TestTogether(t *testing.T) {
	for name, test := range map[string]struct {
		list []string // scope|reason
		want []string
	}{
		"one":             {[]string{"node a|no kernel"}, []string{"node a: no kernel"}},
		"the whole row":   {[]string{"node a|no kernel", "|no kernel"}, []string{"no kernel"}},
		"twice":           {[]string{"node a|x", "node a|x"}, []string{"node a: x"}},
		"nodes":           {[]string{"node b|x", "node a|x", "node a|y"}, []string{"node a: y", "nodes a, b: x"}},
		"many":            {[]string{"node d|x", "node c|x", "node b|x", "node a|x", "node e|x"}, []string{"nodes a, b, c and 2 more: x"}},
		"kinds":           {[]string{"node a|x", "namespace a|x"}, []string{"namespace a, node a: x"}},
		"objects":         {[]string{"Deployment s/a|x", "Deployment s/b|x"}, []string{"Deployment s/a, Deployment s/b: x"}},
		"files":           {[]string{"node a|/f: denied", "node a|/e: denied", "node a|/e: broken"}, []string{"node a: /e, /f: denied", "node a: /e: broken"}},
		"files of nodes":  {[]string{"node a|/e: denied", "node b|/e: denied"}, []string{"nodes a, b: /e: denied"}},
		"not of one file": {[]string{"|/ is no node: x", "|/ is a node: x"}, []string{"/ is a node: x", "/ is no node: x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var list []check.Unjudged
			for _, text := range test.list {
				scope, reason, _ := strings.Cut(text, "|")
				list = append(list, check.Unjudged{Scope: scope, Reason: reason})
			}
			if diff := cmp.Diff(test.want, together(list)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
