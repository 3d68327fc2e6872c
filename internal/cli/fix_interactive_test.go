package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The fixes are asked for one by one, and only those that were agreed to are made.
func TestFixInteractive(t *testing.T) {
	const pod = `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  hostPID: true
  hostIPC: true
  containers:
  - name: a
    image: x:1
    securityContext: {allowPrivilegeEscalation: true}
  - name: b
    image: x:1
    securityContext: {allowPrivilegeEscalation: true}
`
	for _, test := range []struct {
		answers string
		code    int
		has     []string // of the file afterwards
	}{
		{"y\nn\nn\nn\n", ExitClean, []string{"hostIPC: false", "hostPID: true", "Escalation: true"}},
		{"n\nn\na\n", ExitClean, []string{"hostIPC: true", "hostPID: true", "Escalation: false"}},
		{"what?\nno\nYES\nn\nn\n", ExitClean, []string{"hostIPC: true", "hostPID: false", "Escalation: true"}},
		{"y\nq\n", ExitUsage, []string{pod}},
		{"y\n", ExitUsage, []string{pod}},
	} {
		file := filepath.Join(t.TempDir(), "pod.yaml")
		if err := os.WriteFile(file, []byte(pod), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		stdin := strings.NewReader(test.answers)
		env := Env{
			Stdin: stdin, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Dir: t.TempDir(), Now: time.Now,
			Terminal: func(stream any) (int, bool) { return 80, stream == any(stdin) },
		}
		args := []string{"gabion", "fix", file, "--unsafe", "--interactive", "--write", "--fail-on", "none", "--rule", "host-ipc", "--rule", "host-pid", "--rule", "privilege-escalation"}
		if code := Main(t.Context(), args, env); code != test.code {
			t.Errorf("%q: exit code %d: %s", test.answers, code, &errs)
		}
		for _, text := range test.has {
			if got := string(readText(t, file)); !strings.Contains(got, text) {
				t.Errorf("%q: not %q:\n%s%s", test.answers, text, got, &errs)
			}
		}
		if !strings.Contains(errs.String(), "It may stop ") || !strings.Contains(errs.String(), "\n+") {
			t.Errorf("%q: neither what it may stop nor what changes: %s", test.answers, &errs)
		}
	}
}
