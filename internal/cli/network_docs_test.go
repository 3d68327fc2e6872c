package cli_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/cli"
)

// The sessions in the documentation of the network commands are what the program
// prints; "…" stands for lines left out.
func TestNetworkSessions(t *testing.T) {
	t.Chdir("../..")
	for _, file := range []string{"docs/network.md", "examples/network/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sessions := strings.Split(string(text), "```\n$ gabion ")[1:]
		if len(sessions) == 0 {
			t.Errorf("%s: no session", file)
		}
		for _, session := range sessions {
			session, _, closed := strings.Cut(session, "```")
			command, want, _ := strings.Cut(session, "\n")
			if !closed {
				t.Fatalf("%s: %s: not closed", file, command)
			}
			var out bytes.Buffer
			env := cli.System()
			env.Stdout, env.Stderr = &out, new(bytes.Buffer)
			if code := cli.Main(context.Background(), append([]string{"gabion"}, strings.Fields(command)...), env); code == cli.ExitUsage || code == cli.ExitFault {
				t.Errorf("%s: %s: exit code %d", file, command, code)
			}
			compareSession(t, file+": "+command, want, out.String())
		}
	}
}

// compareSession compares line by line; a line "…" stands for any lines.
func compareSession(t *testing.T, where, want, got string) {
	t.Helper()
	rest := got
	for i, part := range strings.Split(want, "…\n") {
		before, after, found := strings.Cut(rest, part)
		if !found || i == 0 && before != "" {
			t.Errorf("%s: not printed, or not in this order:\n%s\nprinted was:\n%s", where, part, got)
			return
		}
		rest = after
	}
	if rest != "" && !strings.HasSuffix(want, "…\n") {
		t.Errorf("%s: more is printed:\n%s", where, rest)
	}
}

// The configuration that the documentation shows is read as it stands, and its names
// mean something.
func TestConfigurationDoc(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("no example")
	}
	shop, err := os.ReadFile("../../examples/network/shop/workloads.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{".gabion.yaml": example, "exceptions.yaml": "", "workloads.yaml": string(shop)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"office", "customer-database"} {
		var out, errs bytes.Buffer
		env := cli.System()
		env.Stdout, env.Stderr = &out, &errs
		code := cli.Main(context.Background(), []string{"gabion", "network", "explain", "internet", name, "workloads.yaml"}, env)
		if code != 0 || !strings.Contains(out.String(), name) {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out.String(), errs.String())
		}
	}
}
