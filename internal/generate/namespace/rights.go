package namespace

import (
	"fmt"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// account writes the default ServiceAccount, with a word on who has its token today.
func (b *Bundle) account(snap *evidence.Snapshot) error {
	b.comment("Pods that name no ServiceAccount get no token for the API server (SAT-01). Who needs one")
	b.comment("gets a ServiceAccount of its own, with the rights that it needs.")
	for _, w := range tokenUsers(snap, b.Name) {
		b.comment("  Loses its token with its next pods: %s", w)
		b.Notes = append(b.Notes, w+" loses its token for the API server with its next pods")
	}
	return b.write(map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": b.meta("default"), "automountServiceAccountToken": false})
}

// tokenUsers are the workloads that have the token of the default ServiceAccount
// because neither they nor it say otherwise.
func tokenUsers(snap *evidence.Snapshot, namespace string) (list []string) {
	if snap == nil {
		return nil
	}
	for _, a := range snap.ServiceAccounts {
		if set := a.Value.AutomountServiceAccountToken; a.Namespace == namespace && a.Name == "default" && set != nil && !*set {
			return nil
		}
	}
	for _, w := range snap.Workloads {
		if w.Namespace == namespace && w.Template == nil && w.Pod != nil && w.ServiceAccountName() == "default" && w.Pod.AutomountServiceAccountToken == nil {
			list = append(list, w.Kind+" "+w.Name)
		}
	}
	return list
}

// readable is what those see who look after a namespace: what runs and why it does not,
// but no Secrets.
var readable = []struct {
	group     string
	resources []string
}{
	{"", []string{"configmaps", "endpoints", "events", "limitranges", "persistentvolumeclaims", "pods", "pods/log", "resourcequotas", "serviceaccounts", "services"}},
	{"apps", []string{"daemonsets", "deployments", "replicasets", "statefulsets"}},
	{"autoscaling", []string{"horizontalpodautoscalers"}},
	{"batch", []string{"cronjobs", "jobs"}},
	{"discovery.k8s.io", []string{"endpointslices"}},
	{"networking.k8s.io", []string{"ingresses", "networkpolicies"}},
	{"policy", []string{"poddisruptionbudgets"}},
}

// readers writes a Role and its binding to a group, if there is one.
func (b *Bundle) readers(group string) error {
	if group == "" {
		return nil
	}
	b.comment("What the group may do: see what is here, but no Secrets, and change nothing (RBAC-02,")
	b.comment("RBAC-05). Who may create pods has every Secret and ServiceAccount of a namespace, and")
	b.comment("pods/exec is a shell in all of them (RBAC-08): leave both to what deploys.")
	var rules []any
	for _, r := range readable {
		rules = append(rules, map[string]any{"apiGroups": []string{r.group}, "resources": r.resources, "verbs": []string{"get", "list", "watch"}})
	}
	if err := b.write(map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": b.meta("reader"), "rules": rules}); err != nil {
		return err
	}
	return b.write(map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": b.meta("reader"),
		"roleRef":  map[string]string{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
		"subjects": []any{map[string]string{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}}})
}

func (b *Bundle) meta(name string) map[string]any {
	return map[string]any{"name": name, "namespace": b.Name}
}

// object writes an object with a spec, or without one.
func (b *Bundle) object(version, kind string, meta, spec map[string]any) error {
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": meta}
	if spec != nil {
		o["spec"] = spec
	}
	return b.write(o)
}

func (b *Bundle) write(o map[string]any) error {
	text, err := yaml.Marshal(o)
	if err != nil {
		return fmt.Errorf("write %v: %w", o["kind"], err)
	}
	b.text.WriteString("---\n")
	for _, line := range b.above {
		b.text.WriteString(line + "\n")
	}
	b.above = nil
	b.text.Write(text)
	return nil
}

// comment adds a line of comment above the object that is written next.
func (b *Bundle) comment(format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	b.above = append(b.above, strings.TrimRight("# "+text, " "))
}
