// Package deploy_test checks what other programs read: the krew manifest, the
// GitHub Action and the pre-commit hooks.
package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func decode(t *testing.T, file string, v any) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return string(text)
}

var placeholder = regexp.MustCompile(`@[A-Za-z0-9_]+@`)

// The manifest is one that krew takes: names, versions, a sum for each platform.
func TestKrewManifest(t *testing.T) {
	text, err := os.ReadFile("krew/gabion.yaml.in")
	if err != nil {
		t.Fatal(err)
	}
	filled := placeholder.ReplaceAllStringFunc(string(text), func(name string) string {
		switch {
		case name == "@VERSION@":
			return "1.2.3"
		case name == "@BASE_URL@":
			return "https://example.com/releases"
		}
		return strings.Repeat("ab", 32)
	})
	var m struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			Version, ShortDescription, Description string
			Platforms                              []struct {
				Selector struct{ MatchLabels map[string]string }
				URI      string
				Sha256   string
				Bin      string
			}
		}
	}
	if err := yaml.UnmarshalStrict([]byte(filled), &m); err != nil {
		t.Fatal(err)
	}
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" || m.Metadata.Name != "gabion" || m.Spec.Version != "v1.2.3" {
		t.Errorf("head: %+v", m)
	}
	if n := len(m.Spec.ShortDescription); n == 0 || n > 50 {
		t.Errorf("the short description has %d characters, want at most 50", n)
	}
	if len(m.Spec.Platforms) != 5 {
		t.Errorf("%d platforms", len(m.Spec.Platforms))
	}
	for _, p := range m.Spec.Platforms {
		os, arch := p.Selector.MatchLabels["os"], p.Selector.MatchLabels["arch"]
		if !strings.Contains(p.URI, "gabion-1.2.3-"+os+"-"+arch+".tar.gz") {
			t.Errorf("%s/%s: %s", os, arch, p.URI)
		}
		if !strings.Contains(string(text), "@SHA256_"+os+"_"+arch+"@") {
			t.Errorf("%s/%s: no sum of its own", os, arch)
		}
		if want := map[bool]string{true: "kubectl-gabion.exe", false: "kubectl-gabion"}[os == "windows"]; p.Bin != want {
			t.Errorf("%s/%s: bin %s", os, arch, p.Bin)
		}
	}
}

// The Action runs with any input without running what is in the input, and hands
// on the exit code.
func TestAction(t *testing.T) {
	var action struct {
		Name, Description string
		Branding          map[string]string
		Inputs            map[string]struct{ Description, Default string }
		Outputs           map[string]struct{ Description, Value string }
		Runs              struct {
			Using string
			Steps []struct {
				ID, Shell, Run string
				Env            map[string]string
			}
		}
	}
	decode(t, "../action.yml", &action)
	for _, step := range action.Runs.Steps {
		if strings.Contains(step.Run, "${{") {
			t.Errorf("a step puts an expression into its script: %s", step.Run)
		}
	}
	step := action.Runs.Steps[len(action.Runs.Steps)-1]
	dir := t.TempDir()
	// Stands in for the program: it writes down how it was called.
	fake := "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\n' \"$a\"; done > " + dir + "/called\necho '# summary' > " + dir + "/gabion.md\nexit 3\n"
	if err := os.WriteFile(filepath.Join(dir, "gabion"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-e", "-c", step.Run)
	cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_OUTPUT="+dir+"/output", "GITHUB_STEP_SUMMARY="+dir+"/summary",
		"INPUT_PATHS=deploy/\n$(touch "+dir+"/owned)\n", "INPUT_FAIL_ON=high", "INPUT_BASELINE=base.json", "INPUT_SARIF_FILE=out.sarif", "INPUT_ARGS=-n\nshop")
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d (%v), want the program's: %s", code, err, out)
	}
	called, err := os.ReadFile(dir + "/called")
	if err != nil {
		t.Fatal(err)
	}
	want := "scan\ndeploy/\n$(touch " + dir + "/owned)\n--fail-on\nhigh\n-o\ngithub\n-o\nmarkdown=" + dir + "/gabion.md\n-n\nshop\n--baseline\nbase.json\n-o\nsarif=out.sarif\n"
	if string(called) != want {
		t.Errorf("called with\n%s\nwant\n%s", called, want)
	}
	if _, err := os.Stat(dir + "/owned"); err == nil {
		t.Error("an input was run")
	}
	for file, want := range map[string]string{"output": "exit-code=3\n", "summary": "# summary\n"} {
		if got, _ := os.ReadFile(filepath.Join(dir, file)); string(got) != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestPreCommitHooks(t *testing.T) {
	var hooks []struct {
		ID, Name, Description, Entry, Language string
		TypesOr                                []string `json:"types_or"`
	}
	decode(t, "../.pre-commit-hooks.yaml", &hooks)
	for _, h := range hooks {
		if h.ID == "" || h.Name == "" || h.Entry != "gabion scan" || len(h.TypesOr) == 0 {
			t.Errorf("hook: %+v", h)
		}
	}
	if len(hooks) != 2 {
		t.Errorf("%d hooks", len(hooks))
	}
}
