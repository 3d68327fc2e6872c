package networkpolicy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/report"
)

// rows are what a scan answers about the separation of namespaces and of pods.
func rows(t *testing.T, snap *evidence.Snapshot, network reach.Options) map[string]report.Recommendation {
	t.Helper()
	var asked []*check.Check
	for _, c := range checks.All() {
		if c.Recommendation == "NET-02" || c.Recommendation == "NET-03" {
			asked = append(asked, c)
		}
	}
	r, err := engine.Run(t.Context(), snap, asked, engine.Options{Settings: check.Settings{Version: evidence.Newest(), Network: network}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]report.Recommendation{}
	for _, row := range r.Recommendations {
		if slices.ContainsFunc(asked, func(c *check.Check) bool { return c.Recommendation == row.ID }) {
			found[row.ID] = row
		}
	}
	return found
}

func wantRows(t *testing.T, what string, got map[string]report.Recommendation, want report.Status) {
	t.Helper()
	for _, id := range []string{"NET-02", "NET-03"} {
		if row := got[id]; row.Status != want {
			t.Errorf("%s: %s is %s, want %s: %s", what, id, row.Status, want, row.Reason)
		}
	}
}

func shop(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// Under the policies that are written a scan finds namespaces isolated, and no rule
// that nothing asks for: whether addresses are known or not.
func TestRescan(t *testing.T) {
	docs := shop(t)
	for name, o := range map[string]Options{
		"known addresses": known(t, Kubernetes), "nothing known": {},
		"Calico": {Flavour: Calico}, "Calico, known addresses": known(t, Calico),
	} {
		r, err := Generate(load(t, docs), o)
		if err != nil {
			t.Fatal(err)
		}
		wantRows(t, name, rows(t, load(t, docs+r.Text), o.Network), report.Pass)
		before := rows(t, load(t, docs), o.Network)
		wantRows(t, name+", without the policies", before, report.Fail)
	}
}

// Each rule that is changed to open another port, or to more pods, is named, and is no
// fault: somebody may need it. Without the policies that isolate there are faults.
func TestRescanNotices(t *testing.T) {
	docs := shop(t)
	r, err := Generate(load(t, docs), Options{})
	if err != nil {
		t.Fatal(err)
	}
	parts := documents(r.Text)[1:]
	changed := 0
	for i, part := range parts {
		for _, change := range []func(*networkingv1.NetworkPolicy, bool, int){
			func(p *networkingv1.NetworkPolicy, ingress bool, rule int) {
				other := intstr.FromInt32(1)
				if ingress {
					p.Spec.Ingress[rule].Ports[0].Port = &other
				} else {
					p.Spec.Egress[rule].Ports[0].Port = &other
				}
			},
			func(p *networkingv1.NetworkPolicy, ingress bool, rule int) {
				if ingress {
					p.Spec.Ingress[rule].From = nil
				} else {
					p.Spec.Egress[rule].To = nil
				}
			},
		} {
			var plain networkingv1.NetworkPolicy
			if err := yaml.UnmarshalStrict([]byte(part), &plain); err != nil {
				t.Fatal(err)
			}
			for n := range len(plain.Spec.Ingress) + len(plain.Spec.Egress) {
				p, ingress, rule, way := plain.DeepCopy(), true, n, "ingress"
				if n >= len(plain.Spec.Ingress) {
					ingress, rule, way = false, n-len(plain.Spec.Ingress), "egress"
				}
				change(p, ingress, rule)
				text, err := yaml.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				all := slices.Clone(parts)
				all[i] = string(text)
				row := rows(t, load(t, docs+"---\n"+strings.Join(all, "\n---\n")), reach.Options{})["NET-03"]
				if want := fmt.Sprintf("NetworkPolicy %s/%s, spec.%s[%d]: opens ", p.Namespace, p.Name, way, rule); row.Status != report.NotEvaluated || !strings.Contains(row.Reason, want) {
					t.Errorf("%s: %s, want not-evaluated with %q:\n%s", row.Status, row.Reason, want, text)
				}
				changed++
			}
		}
	}
	if changed < 20 {
		t.Errorf("only %d changes of %d policies", changed, len(parts))
	}
	var open []string
	for _, part := range parts {
		if !strings.Contains(part, "name: default-deny") && !strings.Contains(part, "name: name-resolution") {
			open = append(open, part)
		}
	}
	wantRows(t, "without isolation", rows(t, load(t, docs+"---\n"+strings.Join(open, "\n---\n")), reach.Options{}), report.Fail)
}
