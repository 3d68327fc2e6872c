package cli_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/cli"
)

// The session in the README is what the program prints, in this order; "…" stands
// for lines left out.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, ok := strings.Cut(string(readme), "$ go run ./cmd/gabion scan examples/shop\nNSA/CISA")
	session, _, closed := strings.Cut(session, "```")
	if !ok || !closed {
		t.Fatal("no session in the README")
	}
	t.Chdir("../..")
	var out bytes.Buffer
	env := cli.System()
	env.Stdout = &out
	if code := cli.Main(context.Background(), []string{"gabion", "scan", "examples/shop"}, env); code != cli.ExitFindings {
		t.Fatalf("exit code %d", code)
	}
	rest := out.String()
	for line := range strings.SplitSeq("NSA/CISA"+session, "\n") {
		if line == "…" || line == "" {
			continue
		}
		_, after, found := strings.Cut(rest, line+"\n")
		if !found {
			t.Fatalf("not printed, or not in this order: %q", line)
		}
		rest = after
	}
}
