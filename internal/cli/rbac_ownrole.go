package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/live"
)

type ownRoleOptions struct {
	sources
	name, subject string
	check         bool
}

func newOwnRole(env Env) *cobra.Command {
	var o ownRoleOptions
	cmd := &cobra.Command{
		Use:   "own-role",
		Short: "Print the least role that Gabion itself needs to look at a cluster",
		Long: `Print, as manifests, the least role under which everything that scan --cluster asks
for is allowed: get and list only, and of Secrets never their values.

By itself it prints a role for any cluster. With --cluster, or another flag that
names one, it asks the cluster what there is to look at: the role then names the
custom resources that may hold pods, and leaves out what is not served. With -n the
role of the namespace is apart from what lives in none. With --subject the bindings
are printed too.

Secrets cannot be listed without the right to read them: where that is too much,
--no-secrets leaves them out, here and in a scan.

--check prints no role: it asks the API server, as the user of the kubeconfig or as
--as, which of these rights are missing.

Exit codes: 0 printed, or nothing is missing; 2 wrong usage, or the cluster cannot
be reached; 3 something is missing.`,
		Example: `  gabion rbac own-role | kubectl apply -f -
  gabion rbac own-role -n shop --no-secrets --subject system:serviceaccount:gabion:gabion
  gabion rbac own-role --check --as system:serviceaccount:gabion:gabion`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			named := o.check || slices.ContainsFunc([]string{"cluster", "context", "kubeconfig", "as", "as-group"}, func(name string) bool {
				return cmd.Flags().Changed(name)
			})
			if err := o.valid(); err != nil {
				return err
			}
			if !named {
				return o.print(env.Stdout, o.rights())
			}
			return o.ask(cmd.Context(), env)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.check, "check", false, "ask the API server which rights are missing")
	f.StringVar(&o.name, "name", "gabion", "name of the roles and bindings")
	f.StringVar(&o.subject, "subject", "", "print bindings to this user or ServiceAccount, too")
	o.clusterFlags(f)
	f.Lookup("namespace").Usage = "only this namespace is to be looked at"
	f.Lookup("all-namespaces").Usage = "all namespaces are to be looked at (the default)"
	f.Lookup("cluster").Usage = "print the role for the cluster of the kubeconfig as it is now"
	return cmd
}

func (o *ownRoleOptions) valid() error {
	switch {
	case len(o.contexts) > 1:
		return usagef("--context: %d contexts; ask about one cluster at a time", len(o.contexts))
	case o.everywhere && o.namespace != "":
		return usagef("--all-namespaces and --namespace %s: give one of them", o.namespace)
	case len(o.asGroups) > 0 && o.as == "":
		return usagef("--as-group: needs --as, as the API server does")
	case o.name == "" || strings.ContainsAny(o.name, "/% \t\n"):
		return usagef("--name %q: not a name", o.name)
	case o.subject == "":
		return nil
	}
	return checkSubject(o.subject)
}

// rights are those that it takes to look at any cluster.
func (o *ownRoleOptions) rights() []live.Right {
	l := live.Options{NoSecrets: o.noSecrets, Configz: o.configz}
	if o.namespace != "" {
		l.Namespaces = []string{o.namespace}
	}
	return live.Rights(l)
}

// ask prints the role for one cluster, or what the caller lacks of it.
func (o *ownRoleOptions) ask(ctx context.Context, env Env) error {
	o.cluster = true
	clients, err := o.connect(nil)
	if err != nil {
		return err
	}
	client := clients[0]
	cluster, err := client.Cluster(ctx)
	if err != nil {
		return unreachable(err)
	}
	rights, err := client.Rights(ctx)
	if err != nil {
		return unreachable(err)
	}
	if !o.check {
		return o.print(env.Stdout, rights)
	}
	missing, err := client.Missing(ctx, rights)
	if err != nil {
		return unreachable(err)
	}
	if len(missing) == 0 {
		fmt.Fprintf(env.Stdout, "%s has all %d rights that a scan of %s uses.\n", report.Printable(cluster.User), len(rights), report.Printable(cluster.Name))
		return nil
	}
	fmt.Fprintf(env.Stdout, "%s lacks %d of the %d rights that a scan of %s uses:\n\n", report.Printable(cluster.User), len(missing), len(rights), report.Printable(cluster.Name))
	w := tabwriter.NewWriter(env.Stdout, 0, 4, 2, ' ', 0)
	for _, r := range missing {
		fmt.Fprintf(w, "  %s\t%s\n", report.Printable(r.String()), missed(r))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return exit(ExitIncomplete)
}

// unreachable is a usage error: nothing was looked at.
func unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return usageError{err}
}

// missed says what a right is for.
func missed(r live.Right) string {
	switch {
	case len(r.Facts) > 0:
		var facts []string
		for _, f := range r.Facts {
			facts = append(facts, string(f))
		}
		return strings.Join(facts, "; ")
	case r.URL != "":
		return "what the API server serves"
	case r.Resource == "namespaces" && r.Name == "kube-system":
		return "telling clusters apart"
	}
	return "nothing that is judged"
}

// print writes the roles as manifests, each resource with what it is for.
func (o *ownRoleOptions) print(out io.Writer, rights []live.Right) error {
	m := &roleWriter{rights: rights}
	where := "a cluster"
	if o.namespace != "" {
		where = "namespace " + o.namespace
	}
	m.line("# The least that Gabion needs to look at %s: it gets and lists, and changes nothing.", where)
	if !o.noSecrets {
		m.line("# Of Secrets it asks only for the metadata of those that hold tokens, but there is no")
		m.line("# right for that alone. --no-secrets leaves them out.")
	}
	if o.configz {
		m.line("# To ask kubelets for their configuration takes get on nodes/proxy, and with that one")
		m.line("# may run commands in any container. Without --configz it is left out.")
	}
	whole, roles := live.Roles(o.name, rights)
	var rules []report.Rule
	for _, r := range whole.Rules {
		rules = append(rules, report.Rule(r))
	}
	m.role(report.ObjectName{Kind: "ClusterRole", Name: o.name}, rules, o.subject)
	for _, role := range roles {
		rules = nil
		for _, r := range role.Rules {
			rules = append(rules, report.Rule(r))
		}
		m.line("---")
		m.role(report.ObjectName{Kind: "Role", Namespace: role.Namespace, Name: o.name}, rules, o.subject)
	}
	_, err := io.WriteString(out, m.text.String())
	return err
}

// A roleWriter writes roles as YAML with a comment to each resource.
type roleWriter struct {
	text   strings.Builder
	rights []live.Right
}

func (m *roleWriter) line(format string, args ...any) {
	fmt.Fprintf(&m.text, format+"\n", args...)
}

// role writes one role and, when there is a subject, its binding.
func (m *roleWriter) role(role report.ObjectName, rules []report.Rule, subject string) {
	m.head(role.Kind, role)
	m.line("rules:")
	for _, r := range rules {
		m.rule(role.Namespace, r)
	}
	if subject == "" {
		return
	}
	m.line("---")
	m.head(role.Kind+"Binding", role)
	m.line("roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: %s\n  name: %s\nsubjects:", role.Kind, word(role.Name))
	if namespace, name, ok := rbac.SplitAccount(subject); ok {
		m.line("  - kind: ServiceAccount\n    namespace: %s\n    name: %s", word(namespace), word(name))
		return
	}
	m.line("  - apiGroup: rbac.authorization.k8s.io\n    kind: User\n    name: %s", word(subject))
}

// rule writes one rule; resources that serve different ends stand on lines of their
// own.
func (m *roleWriter) rule(namespace string, r report.Rule) {
	if len(r.NonResourceURLs) > 0 {
		m.line("  # %s", missed(live.Right{URL: r.NonResourceURLs[0]}))
		m.line("  - verbs: %s\n    nonResourceURLs: %s", words(r.Verbs), words(r.NonResourceURLs))
		return
	}
	var purposes []string
	for _, resource := range r.Resources {
		purposes = append(purposes, m.purpose(namespace, r, resource))
	}
	alike := len(slices.Compact(slices.Clone(purposes))) == 1
	if alike {
		m.line("  # %s", purposes[0])
	}
	m.line("  - verbs: %s\n    apiGroups: %s", words(r.Verbs), words(r.APIGroups))
	if len(r.ResourceNames) > 0 {
		m.line("    resourceNames: %s", words(r.ResourceNames))
	}
	if alike {
		m.line("    resources: %s", words(r.Resources))
		return
	}
	m.line("    resources:")
	for i, resource := range r.Resources {
		m.line("      - %s # %s", word(resource), purposes[i])
	}
}

func (m *roleWriter) head(kind string, o report.ObjectName) {
	m.line("apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: %s", kind, word(o.Name))
	if o.Namespace != "" {
		m.line("  namespace: %s", word(o.Namespace))
	}
}

// purpose says what a resource of a rule is for.
func (m *roleWriter) purpose(namespace string, rule report.Rule, resource string) string {
	for _, r := range m.rights {
		named := r.Name == "" && len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, r.Name)
		if r.Resource == resource && slices.Contains(rule.APIGroups, r.Group) && named && (namespace == "" || r.Namespace == namespace) {
			return missed(r)
		}
	}
	return ""
}

// word writes a string so that YAML reads it as one.
func word(s string) string {
	text, err := yaml.Marshal(s)
	if err != nil || strings.Contains(strings.TrimSpace(string(text)), "\n") {
		return strconv.Quote(s)
	}
	return strings.TrimSpace(string(text))
}

func words(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, word(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
