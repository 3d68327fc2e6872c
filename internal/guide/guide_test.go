package guide

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// sections are the ids of the ledger in order, one list for each section.
var sections = [][]string{
	join(ids("POD", 14), ids("FS", 2), ids("IMG", 7)),
	ids("ENF", 3),
	join(ids("SAT", 4), ids("ENV", 1)),
	join(ids("NS", 3), ids("NET", 6), ids("RES", 5)),
	ids("CP", 8),
	join(ids("ETCD", 7), ids("KCF", 2), ids("WRK", 3)),
	join(ids("ENC", 4), ids("SEC", 6), ids("CLD", 1)),
	join(ids("AUTHN", 5), ids("RBAC", 8)),
	join(ids("LOG", 7), ids("AUD", 6)),
	join(ids("NLOG", 2), ids("SCMP", 2), ids("SYS", 1), ids("FT", 2)),
	join(ids("DET", 8), ids("ALR", 8), ids("TOOL", 1)),
	ids("UPG", 6),
}

// ids returns prefix-01 to prefix-n.
func ids(prefix string, n int) []string {
	var out []string
	for i := 1; i <= n; i++ {
		out = append(out, fmt.Sprintf("%s-%02d", prefix, i))
	}
	return out
}

func join(lists ...[]string) []string { return slices.Concat(lists...) }

func TestOrder(t *testing.T) {
	var got [][]string
	var headings []string
	for _, r := range All() {
		if len(headings) == 0 || headings[len(headings)-1] != r.Section {
			if slices.Contains(headings, r.Section) {
				t.Errorf("%s: section %q is in two places", r.ID, r.Section)
			}
			headings = append(headings, r.Section)
			got = append(got, nil)
		}
		got[len(got)-1] = append(got[len(got)-1], r.ID)
	}
	if diff := cmp.Diff(sections, got); diff != "" {
		t.Errorf("ids by section (-want +got):\n%s", diff)
	}
	if n := len(All()); n != 132 {
		t.Errorf("%d rows, want 132", n)
	}
}

var (
	sentenceEnd = regexp.MustCompile(`[.!?](\s|$)`)
	pages       = regexp.MustCompile(`^\d+(-\d+)?(, \d+(-\d+)?)*$`)
	// otherTools are products that do a similar job; the ledger is about the
	// guide.
	otherTools = regexp.MustCompile(`(?i)\b(kubescape|trivy|checkov|kube-linter|kube-score|polaris|kubeaudit|kube-bench|falco|kyverno|gatekeeper|steampipe|grype|osv-scanner|audit2rbac|starboard|sysdig|fairwinds|armo|snyk|prowler|popeye|kubesec|datree)\b`)
	// markup is what a pasted table cell would bring along.
	markup = regexp.MustCompile("[`|*★●◐§·]|\\s\\s")
)

func TestRows(t *testing.T) {
	for _, r := range All() {
		t.Run(r.ID, func(t *testing.T) {
			texts := map[string]string{
				"title": r.Title, "section": r.Section, "severityReason": r.SeverityReason,
				"where": r.Place.Where, "text": r.Text, "proof": r.Proof, "fix": r.Fix,
				"trap": r.Trap, "noRule": r.NoRule,
			}
			for field, s := range texts {
				checkText(t, field, s)
			}
			if r.Severity < Info || r.Severity > Critical {
				t.Errorf("severity %v", r.Severity)
			}
			if n := len(sentenceEnd.FindAllString(r.SeverityReason, -1)); n != 1 {
				t.Errorf("the reason of the severity has %d sentences, want 1", n)
			}
			if n := len(sentenceEnd.FindAllString(r.Text, -1)); n < 2 || n > 4 {
				t.Errorf("text has %d sentences, want 2 to 4", n)
			}
			if n := len(r.Text); n < 80 || n > 900 {
				t.Errorf("text has %d characters, want 80 to 900", n)
			}
			if len(r.Title) > 100 {
				t.Errorf("title has %d characters, want at most 100", len(r.Title))
			}
			if !strings.Contains(r.Proof, "isprove") && !r.Manual {
				t.Error("proof does not say what disproves it")
			}
			if r.Manual && r.NoRule == "" {
				t.Error("manual, but does not say why")
			}
			checkEvidence(t, r)
			checkPlace(t, r.Place)
		})
	}
}

func checkText(t *testing.T, field, s string) {
	t.Helper()
	optional := field == "trap" || field == "noRule"
	heading := field == "title" || field == "section" || field == "where"
	switch {
	case s == "" && optional:
	case s == "":
		t.Errorf("%s is missing", field)
	case strings.TrimSpace(s) != s || strings.Contains(s, "\n"):
		t.Errorf("%s is not one clean paragraph: %q", field, s)
	case heading == strings.HasSuffix(s, "."):
		t.Errorf("%s ends wrongly: titles have no full stop, sentences have one: %q", field, s)
	}
	if m := otherTools.FindString(s); m != "" {
		t.Errorf("%s names the product %s", field, m)
	}
	if m := markup.FindString(s); m != "" {
		t.Errorf("%s holds markup %q", field, m)
	}
}

func checkEvidence(t *testing.T, r Recommendation) {
	t.Helper()
	if len(r.Evidence) == 0 {
		t.Error("no evidence")
	}
	for i, e := range r.Evidence {
		if e.Describe() == "" {
			t.Errorf("evidence %q is unknown", e)
		}
		if slices.Contains(r.Evidence[:i], e) {
			t.Errorf("evidence %q is there twice", e)
		}
	}
	if r.Manual && !slices.Contains(r.Evidence, Attestation) {
		t.Error("manual, but an attestation is no evidence for it")
	}
	if r.NoRule != "" && slices.Contains(r.Evidence, Manifest) {
		t.Error("manifests are evidence for it, so there has to be a rule")
	}
}

func checkPlace(t *testing.T, p Place) {
	t.Helper()
	switch p.Since {
	case "1.0":
		if !pages.MatchString(p.Page) {
			t.Errorf("pages of version 1.0: %q", p.Page)
		}
	case "1.1":
		if p.Page != "" {
			t.Errorf("page %q of version 1.0 for what came in 1.1", p.Page)
		}
	default:
		t.Errorf("since version %q, want 1.0 or 1.1", p.Since)
	}
}

func TestEvidence(t *testing.T) {
	// How many rows each kind of evidence speaks to, counted in the table that the
	// ledger was made from.
	want := map[Evidence]int{Manifest: 45, Cluster: 103, Host: 63, Image: 8, AuditLog: 26, Probe: 15, Vulnerabilities: 8, Attestation: 19}
	got := map[Evidence]int{}
	for _, r := range All() {
		for _, e := range r.Evidence {
			got[e]++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows by evidence (-want +got):\n%s", diff)
	}
}

func TestSinceAndConfirmed(t *testing.T) {
	var later, provisional, manual []string
	for _, r := range All() {
		if r.Place.Since != "1.0" {
			later = append(later, r.ID)
		}
		if !r.Place.Confirmed {
			provisional = append(provisional, r.ID)
		}
		if r.Manual {
			manual = append(manual, r.ID)
		}
	}
	want := strings.Fields("IMG-06 IMG-07 SAT-02 NET-05 RES-04 RES-05 CP-05 ETCD-05 RBAC-06 DET-01 DET-02 DET-05 DET-07 DET-08 ALR-05 ALR-06 ALR-07")
	if diff := cmp.Diff(want, later); diff != "" {
		t.Errorf("rows later than 1.0 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"CP-05", "RBAC-06"}, provisional); diff != "" {
		t.Errorf("rows with provisional wording (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"IMG-06", "ALR-08", "UPG-05"}, manual); diff != "" {
		t.Errorf("rows that a person decides (-want +got):\n%s", diff)
	}
}

// TestTraps has one line for each place where the guide's own text does harm,
// with a word that the trap has to name; nothing else is a trap.
func TestTraps(t *testing.T) {
	traps := []struct{ what, ids, word string }{
		{"field name in the default-deny examples", "NET-02", "policyTypes"},
		{"LimitRange example is not YAML", "RES-01", "not valid YAML"},
		{"only one LimitRange", "RES-01", "only one LimitRange"},
		{"audit policy path and mount differ", "AUD-01 AUD-04", "mount"},
		{"audit policy logs credentials", "AUD-03", "serviceaccounts/token"},
		{"RBAC as the only mode", "RBAC-01", "Node,RBAC"},
		{"anonymous-auth off", "AUTHN-01", "probes"},
		{"immutable roles", "RBAC-04", "edited"},
		{"weak encryption examples", "SEC-03 SEC-04", "aescbc"},
		{"weak encryption examples", "SEC-05", "KMS v1"},
		{"webhook in plain text", "AUD-06 LOG-05", "https"},
		{"outdated ports", "CP-02", "8080"},
		{"outdated ports", "CP-03 CP-04", "10257"},
		{"kubelet's port misprinted", "CP-07", "10251"},
		{"removed PodSecurityPolicy", "ENF-01", "PodSecurityPolicy"},
		{"removed annotations", "POD-12", "appArmorProfile"},
		{"removed annotations", "POD-13", "seccompProfile"},
		{"three namespaces", "NS-02", "kube-node-lease"},
		{"rewriting Secrets through a pipe", "SEC-06", "pipe"},
		{"audit log without limits", "AUD-05", "1825"},
		{"what the restricted level leaves out", "ENF-02", "POD-03"},
	}
	known := map[string]bool{}
	for _, trap := range traps {
		for _, id := range strings.Fields(trap.ids) {
			known[id] = true
			r, ok := Find(id)
			if !ok || !strings.Contains(r.Trap, trap.word) {
				t.Errorf("%s: the trap of %q does not name %q: %q", id, trap.what, trap.word, r.Trap)
			}
		}
	}
	for _, r := range All() {
		if r.Trap != "" && !known[r.ID] {
			t.Errorf("%s: a trap that this test does not know", r.ID)
		}
	}
}

func TestReferences(t *testing.T) {
	id := regexp.MustCompile(`\b[A-Z]+-[0-9]{2}\b`)
	for _, r := range All() {
		for _, text := range []string{r.SeverityReason, r.Text, r.Proof, r.Fix, r.Trap, r.NoRule} {
			for _, ref := range id.FindAllString(text, -1) {
				if _, ok := Find(ref); !ok || ref == r.ID {
					t.Errorf("%s refers to %s", r.ID, ref)
				}
			}
		}
	}
}

func TestHelp(t *testing.T) {
	for _, r := range All() {
		help := r.Help()
		for _, part := range []string{
			r.ID, r.Title, r.Section, r.Severity.String(), r.SeverityReason, r.Text, r.Proof, r.Fix,
			r.Trap, r.NoRule, r.Place.Where, r.Place.Page,
		} {
			if !strings.Contains(help, part) {
				t.Errorf("%s: help does not hold %q", r.ID, part)
			}
		}
		for _, e := range r.Evidence {
			if !strings.Contains(help, "- "+string(e)+": "+e.Describe()) {
				t.Errorf("%s: help does not name the evidence %q", r.ID, e)
			}
		}
		for _, optional := range []struct {
			heading string
			want    bool
		}{
			{"to the letter", r.Trap != ""},
			{"Why no rule", r.NoRule != "" && !r.Manual},
			{"Why a person", r.Manual},
			{"provisional", !r.Place.Confirmed},
		} {
			if strings.Contains(help, optional.heading) != optional.want {
				t.Errorf("%s: help with %q is %v, want %v", r.ID, optional.heading, !optional.want, optional.want)
			}
		}
	}
}

func TestFind(t *testing.T) {
	for _, want := range All() {
		for _, id := range []string{want.ID, strings.ToLower(want.ID)} {
			if got, ok := Find(id); !ok || got.ID != want.ID {
				t.Errorf("Find(%q) = %q, %v", id, got.ID, ok)
			}
		}
	}
	for _, id := range []string{"", "POD", "POD-1", "POD-99", " POD-01", "POD-01\x00"} {
		if got, ok := Find(id); ok {
			t.Errorf("Find(%q) = %q", id, got.ID)
		}
	}
}

func TestAllIsTheCallersOwn(t *testing.T) {
	All()[0].ID = "changed"
	if got := All()[0].ID; got != "POD-01" {
		t.Errorf("first row is %q after a caller changed its copy", got)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"an unknown field":    "section: x\nrecommendations: [{id: A-01, titel: y}]",
		"an unknown severity": "section: x\nrecommendations: [{id: A-01, severity: terrible}]",
		"unknown evidence":    "section: x\nrecommendations: [{id: A-01, evidence: [rumour]}]",
		"a second document":   "section: x\n---\nsection: y",
		"no document":         "",
	} {
		_, err := read(fstest.MapFS{"ledger/01-x.yaml": {Data: []byte(data)}})
		if err == nil || !strings.Contains(err.Error(), "ledger/01-x.yaml") {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
}
