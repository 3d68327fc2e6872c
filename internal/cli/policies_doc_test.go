package cli_test

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/cli"
)

var (
	exampleFile    = regexp.MustCompile("(?s), in `([^`]+)`:\n\n```yaml\n(.*?)```")
	exampleSession = regexp.MustCompile("(?s)```console\n\\$ gabion ([^\n]*)\n(.*?)```")
)

// The example of the page about policies says what the program prints, in this
// order; "…" stands for lines left out.
func TestPoliciesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	session := exampleSession.FindSubmatch(page)
	examples := exampleFile.FindAllSubmatch(page, -1)
	if session == nil || len(examples) != 2 {
		t.Fatalf("%d files, session %q", len(examples), session)
	}
	t.Chdir(t.TempDir())
	for _, f := range examples {
		if err := os.WriteFile(string(f[1]), f[2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	env := cli.System()
	env.Stdout, env.Stderr = &out, &errs
	args := append([]string{"gabion"}, strings.Fields(string(session[1]))...)
	if code := cli.Main(context.Background(), args, env); code != cli.ExitFindings {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	rest := out.String()
	for line := range strings.Lines(string(session[2])) {
		if line == "…\n" {
			continue
		}
		_, after, found := strings.Cut(rest, line)
		if !found {
			t.Fatalf("not printed, or not in this order: %q in\n%s", line, &out)
		}
		rest = after
	}
}
