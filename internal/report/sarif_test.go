package report

import (
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sarifSchema names a copy of the official schema of SARIF 2.1.0 to check
// against, for those who have one.
const sarifSchema = "SARIF_SCHEMA"

// verifySARIF checks what the standard and GitHub's code scanning demand.
func verifySARIF(t testing.TB, out string, r *Report) {
	t.Helper()
	var log sarifLog
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&log); err != nil {
		t.Fatalf("sarif: %v", err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 {
		t.Fatalf("sarif: version %q, %d runs", log.Version, len(log.Runs))
	}
	run := log.Runs[0]
	if run.Results == nil || run.Tool.Driver.Rules == nil || run.Tool.Driver.Name == "" {
		t.Error("sarif: no results, no rules or no name")
	}
	if len(run.Results) != min(len(r.Findings), sarifResults) {
		t.Errorf("sarif: %d results for %d findings", len(run.Results), len(r.Findings))
	}
	verifySARIFRules(t, run.Tool.Driver.Rules)
	states := map[string]bool{}
	for _, result := range run.Results {
		verifySARIFResult(t, result, run.Tool.Driver.Rules)
		states[result.BaselineState] = true
	}
	if states[""] && len(states) > 1 {
		t.Errorf("sarif: a baseline state on some results only: %v", states)
	}
	if n := run.Invocations[0].Notifications; n == nil || len(n) > sarifNotifications+1 {
		t.Errorf("sarif: %d notifications", len(n))
	}
	for _, n := range run.Invocations[0].Notifications {
		if n.Message.Text == "" || !slices.Contains([]string{"error", "warning", "note"}, n.Level) {
			t.Errorf("sarif: notification %+v", n)
		}
		verifySARIFLocations(t, n.Locations)
	}
	if run.Invocations[0].ExecutionSuccessful == r.Incomplete() {
		t.Error("sarif: executionSuccessful does not tell whether all was read")
	}
	if file := os.Getenv(sarifSchema); file != "" {
		schema, err := jsonschema.NewCompiler().Compile(file)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, out)
	}
}

func verifySARIFRules(t testing.TB, rules []sarifRule) {
	t.Helper()
	seen := map[string]bool{}
	for _, rule := range rules {
		if seen[rule.ID] {
			t.Errorf("sarif: two rules %q", rule.ID)
		}
		seen[rule.ID] = true
		if n, err := strconv.ParseFloat(rule.Properties.SecuritySeverity, 64); err != nil || n < 0 || n > 10 {
			t.Errorf("sarif: security-severity %q", rule.Properties.SecuritySeverity)
		}
		if tags := rule.Properties.Tags; len(tags) > 10 || !slices.Contains(tags, "security") {
			t.Errorf("sarif: tags %q", tags)
		}
	}
}

func verifySARIFResult(t testing.TB, result sarifResult, rules []sarifRule) {
	t.Helper()
	if result.RuleIndex >= len(rules) || rules[result.RuleIndex].ID != result.RuleID {
		t.Errorf("sarif: rule %q is not number %d", result.RuleID, result.RuleIndex)
	}
	if !slices.Contains([]string{"error", "warning", "note"}, result.Level) || result.Message.Text == "" || strings.Contains(result.Message.Text, "](") {
		t.Errorf("sarif: level %q, message %q", result.Level, result.Message.Text)
	}
	if plain := strings.NewReplacer("{{", "", "}}", "").Replace(result.Message.Text); strings.ContainsAny(plain, "{}") {
		t.Errorf("sarif: a place holder in %q", result.Message.Text)
	}
	if len(result.Locations) != 1 {
		t.Errorf("sarif: %d locations", len(result.Locations))
	}
	verifySARIFLocations(t, result.Locations)
	for _, s := range result.Suppressions {
		if !slices.Contains([]string{"inSource", "external"}, s.Kind) || s.Status != "accepted" {
			t.Errorf("sarif: suppression %+v", s)
		}
	}
}

func verifySARIFLocations(t testing.TB, locations []sarifLocation) {
	t.Helper()
	for _, l := range locations {
		artifact := l.Physical.Artifact
		u, err := url.Parse(artifact.URI)
		if err != nil || artifact.URI == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "" && u.Scheme != "file" {
			t.Errorf("sarif: location %q: %v", artifact.URI, err)
			continue
		}
		if below := u.Scheme == "" && u.Host == "" && !strings.HasPrefix(u.Path, "/") && !strings.HasPrefix(u.Path+"/", "../"); below != (artifact.URIBaseID != "") {
			t.Errorf("sarif: location %q with base %q", artifact.URI, artifact.URIBaseID)
		}
		if region := l.Physical.Region; region != nil && region.StartLine < 1 {
			t.Errorf("sarif: region %+v", region)
		}
	}
}

// An alert keeps its identity when lines move, and two findings never share one.
func TestSARIFFingerprints(t *testing.T) {
	prints := func(move int) (own, github []string) {
		r := load(t, "testdata/baseline.json")
		for i := range r.Findings {
			r.Findings[i].Location.Line += move
		}
		var log sarifLog
		if err := json.Unmarshal([]byte(render(t, "sarif", r, Options{})), &log); err != nil {
			t.Fatal(err)
		}
		for _, result := range log.Runs[0].Results {
			own = append(own, result.PartialFingerprints["gabionFindingId/v1"])
			github = append(github, result.PartialFingerprints["primaryLocationLineHash"])
		}
		return own, github
	}
	own, github := prints(0)
	moved, movedGitHub := prints(7)
	if !slices.Equal(own, moved) || !slices.Equal(github, movedGitHub) {
		t.Errorf("fingerprints depend on the line: %v %v", own, moved)
	}
	// The first two stand on one line: GitHub's own hash would merge them.
	if github[0] == "" || github[0] == github[1] || github[2] != "" {
		t.Errorf("fingerprints for GitHub: %q", github)
	}
}
