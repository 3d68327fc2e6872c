package podsecurity

import (
	"fmt"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const headText = `# Pod Security labels: for each namespace the strictest level that %s satisfies, by the
# Pod Security Standards v%s, and what blocks the next one. Serves ENF-01 and ENF-03.
#
# In this order:
# 1. Warn and audit first, which refuse nothing: the same command with --warn-only, then
#      kubectl apply --server-side --field-manager=gabion -f FILE
# 2. Look for a while: kubectl prints the warnings, and the audit log has them as
#    pod-security.kubernetes.io/audit-violations. Then ask what enforcing would refuse of
#    the pods that run; it should print no warning:
#      kubectl apply --server-side --field-manager=gabion --dry-run=server -f FILE
# 3. Enforce: the same without --dry-run. Where it names a conflict, another label stands
#    there: read below what, and add --force-conflicts.
# 4. Mend what blocks the next level, and begin again with it.
# Pods that run are never stopped by a label; it refuses new ones, also those that a
# controller makes in place of old ones.
#
# Not seen in objects: what the API server's admission configuration exempts (users,
# namespaces, runtime classes) and its defaults. In an exempt namespace labels do nothing.
%s`

// write makes the document.
func write(snap *evidence.Snapshot, r *Result, o Options) (string, error) {
	what, more := "what is written", "# Judged was what files say: webhooks that change pods, and what runs without a file, were\n# not seen. With --cluster pods are judged as they run.\n"
	if snap.Cluster != nil {
		what = "all that runs or is written there"
		more = "# A workload of which no pod runs is judged as it is written: what webhooks would add to its\n# pods was not seen.\n"
	}
	if snap.Cluster != nil {
		if v, err := evidence.ParseVersion(snap.Cluster.Version); err == nil && v != r.Version {
			more += fmt.Sprintf("# The cluster is %s, and the labels pin %s: a server judges by its own newest version where\n# it does not know the pinned one.\n", v, r.Version)
		} else if err != nil {
			more += "# The version of the cluster is not known: the newest that is known here is pinned.\n"
		}
	}
	if o.WarnOnly {
		more += "# --warn-only: no label here refuses a pod that was let in before.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, headText, what, r.Version, more)
	for _, n := range r.Namespaces {
		if err := n.write(&b, r.Version); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (n *Namespace) write(b *strings.Builder, v evidence.Version) error {
	line := func(format string, args ...any) {
		b.WriteString(strings.TrimRight("# "+printable(fmt.Sprintf(format, args...)), " ") + "\n")
	}
	b.WriteString("---\n")
	switch {
	case n.Unseen():
		line("Namespace %s: nothing was seen, and not all of it was looked at. No level is proposed.", n.Name)
	case len(n.Doubts) > 0:
		line("Namespace %s: %s, as far as was seen. Not everything was:", n.Name, n.Level)
	case n.Workloads == 0:
		line("Namespace %s: %s, as nothing is there", n.Name, n.Level)
	default:
		line("Namespace %s: %s", n.Name, n.Level)
	}
	for _, d := range n.Doubts {
		line("  Doubt: %s", d)
	}
	if n.Workloads > 0 {
		line("Judged: %s, %s running%s.", count(n.Workloads, "workload"), count(n.Running, "pod"), windows(n.Windows))
	}
	for _, s := range n.Said {
		line("Today: %s.", s)
	}
	n.system(line)
	if n.Next != "" {
		line("What blocks %s:", n.Next)
	}
	for _, blocker := range n.Blockers {
		blocker.write(line)
	}
	if len(n.Warnings) > 0 {
		line("To enforce=%s, enforce-version=v%s the API server would say:", n.Next, v)
	}
	for _, w := range n.Warnings {
		line("  Warning: %s", w)
	}
	text, err := yaml.Marshal(struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
	}{"v1", "Namespace", map[string]any{"name": n.Name, "labels": n.Labels}})
	if err != nil {
		return fmt.Errorf("write Namespace %q: %w", n.Name, err)
	}
	b.Write(text)
	return nil
}

// system says what the namespaces of Kubernetes itself need.
func (n *Namespace) system(line func(string, ...any)) {
	switch {
	case n.Name == metav1.NamespaceSystem:
		line("System namespace: network plugins, kube-proxy, storage drivers and static pods of the")
		line("control plane need the node, and upgrades bring new ones. Enforced is privileged, whatever")
		line("runs today; what is not such a part belongs elsewhere.")
	case n.System:
		line("System namespace: Kubernetes runs no pod in it.")
	}
}

func (b *Blocker) write(line func(string, ...any)) {
	w := b.Workload
	line("  %s%s: %s", w.Ref, running(w), b.Message)
	for _, f := range b.Fields {
		value := f.Value
		if value == "" {
			value = "not set"
		}
		line("    %s: %s%s: %s", f.Path, value, place(w, f.Path), f.Message)
	}
	if len(b.Fields) == 0 {
		line("    in which field is not known")
	}
}

// running tells what really runs from what is written.
func running(w *evidence.Workload) string {
	switch {
	case w.Template != nil && w.Running > 0:
		return " (as it runs, pod " + w.Instance + ")"
	case w.Template != nil:
		return " (as it will run: " + w.Instance + ")"
	case w.Instance != "":
		return " (pod " + w.Instance + ")"
	}
	return ""
}

func place(w *evidence.Workload, p evidence.Path) string {
	at := w.Position(p)
	if at.File == "" {
		return ""
	}
	where := at.File
	if at.Line > 0 {
		where = fmt.Sprintf("%s:%d", at.File, at.Line)
	}
	if at.ValuesKey != "" {
		where += ", values " + at.ValuesKey
	}
	return " (" + where + ")"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func windows(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d for Windows (spec.os), of which fields of Linux are not asked", n)
}

// printable keeps a text within the comment that it stands in.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
