package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/report"
)

type canOptions struct {
	accessOptions
	groups []string
}

func newCan(env Env) *cobra.Command {
	var o canOptions
	cmd := &cobra.Command{
		Use:   "can SUBJECT VERB RESOURCE[/SUBRESOURCE] [NAME] [PATH...]",
		Short: "Say whether a subject may do something, and by which binding and rule",
		Long: `Say whether a subject may do something, as the API server's RBAC authorizer decides
it, and by which binding and rule.

SUBJECT is written as the API server writes it: a user's name, for a ServiceAccount
system:serviceaccount:NAMESPACE:NAME. The groups that the API server puts a subject
into by itself are known: those of ServiceAccounts, and system:authenticated;
others are given with --group. A name that bindings have for a group, and none for
a user, is taken for that: system:authenticated.

` + questionHelp + `

Exit codes: 0 yes, 1 no, 2 wrong usage, 3 unknown: no, as far as was read, and
something was not.`,
		Example: `  gabion rbac can system:serviceaccount:shop:web get secrets -n shop --cluster
  gabion rbac can jane create pods/exec --group devs -f manifests/
  gabion rbac can system:anonymous get /metrics --snapshot prod.gabion`,
		Args: wrongArgs(cobra.MinimumNArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSubject(args[0]); err != nil {
				return err
			}
			q, paths, err := readQuestion(args[1:], o.otherSources(cmd))
			if err != nil {
				return err
			}
			if _, err := o.formats(); err != nil {
				return err
			}
			anywhere, err := o.complete(cmd, q.name, paths)
			switch {
			case err != nil:
				return err
			case anywhere:
				return usagef("--all-namespaces: without -n the question is about all namespaces; who-can -A asks about each")
			}
			return runCan(cmd.Context(), env, &o, args[0], &q)
		},
	}
	o.flags(cmd, "namespace to ask about; files: that of objects that name none")
	cmd.Flags().StringArrayVar(&o.groups, "group", nil, "group that the subject is in, repeatable")
	return cmd
}

// checkSubject refuses what looks like a ServiceAccount and is none.
func checkSubject(name string) error {
	_, _, account := rbac.SplitAccount(name)
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case name == "":
		return usagef("no subject: want a user such as jane, or system:serviceaccount:NAMESPACE:NAME")
	case slices.Contains([]string{"sa", "serviceaccount", "serviceaccounts"}, strings.ToLower(kind)) && rest != "",
		!account && (name == "system:serviceaccount" || strings.HasPrefix(name, "system:serviceaccount:")):
		return usagef("subject %q: a ServiceAccount is written system:serviceaccount:NAMESPACE:NAME", name)
	}
	return nil
}

func runCan(ctx context.Context, env Env, o *canOptions, name string, q *question) error {
	worlds, err := o.worlds(ctx, env)
	if err != nil {
		return err
	}
	if len(worlds) != 1 {
		return usagef("%d clusters were given, files counted as one: ask about one at a time", len(worlds))
	}
	if err := q.settle(worlds, o.namespace, false); err != nil {
		return err
	}
	d := judgeCan(worlds[0], name, o.groups, q)
	err = o.write(env, func(out io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(out, d)
		case "yaml":
			return report.WriteYAML(out, d)
		}
		return printCan(out, d)
	})
	if err != nil {
		return err
	}
	complain(env, d.Warnings, d.Gaps)
	switch d.Answer {
	case report.No:
		return exit(ExitFindings)
	case report.Unknown:
		return exit(ExitIncomplete)
	}
	return nil
}

func judgeCan(w world, name string, groups []string, q *question) *report.Can {
	who, isGroup := w.index.Subject(name, groups...)
	d := &report.Can{
		APIVersion: report.APIVersion, Kind: report.CanKind, Request: q.document(),
		Subject:  report.Subject{User: who.User, Groups: orNone(who.Groups)},
		Warnings: append(notes([]world{w}), q.warnings...),
	}
	if isGroup {
		d.Warnings = append(d.Warnings, name+" is taken for a group: the answer is that of a member")
	}
	grant, may := w.index.Can(who, q.request, q.namespace)
	d.GrantedBy = grantOf(grant)
	if !may {
		d.Gaps = w.unread(q)
		d.Warnings = append(d.Warnings, w.lost(w.index.Unknown(who, q.namespace))...)
		if slices.Contains(who.Groups, "system:nodes") || strings.HasPrefix(who.User, "system:node:") {
			d.Warnings = append(d.Warnings, "nodes have rights that the Node authorizer gives them, which are not in roles and not counted here")
		}
	}
	if groups := w.groupsThatMay(who, q); !may && !isGroup && len(groups) > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("members of the group %s may; no object says who is in it: --group asks as one", strings.Join(groups, ", ")))
	}
	d.Warnings, d.Gaps = orNone(d.Warnings), orNone(d.Gaps)
	switch {
	case may && d.GrantedBy == nil:
		d.Answer, d.Why = report.Yes, "members of "+rbac.Masters+" may do everything, whatever the bindings say"
	case may:
		d.Answer, d.Why = report.Yes, fmt.Sprintf("%s to %s, rule %d: %s", d.GrantedBy.Binding, d.GrantedBy.Role, d.GrantedBy.Rule, ruleText(*d.GrantedBy.Allows))
	case len(d.Gaps) > 0:
		d.Answer, d.Why = report.Unknown, "nothing that was read allows it, and not everything was read"
	default:
		d.Answer, d.Why = report.No, "no binding allows it"
	}
	if !may && q.namespace == "" && q.scope != rbac.ClusterWide {
		if d.Namespaces = w.index.Namespaces(who, q.request); len(d.Namespaces) > 0 {
			d.Why += " everywhere"
		}
	}
	return d
}

// groupsThatMay are the groups that are allowed what a person was not, and that the
// person may be in: those that the API server fills by itself are known.
func (w world) groupsThatMay(who rbac.Subject, q *question) (names []string) {
	if _, _, account := rbac.SplitAccount(who.User); account || who.User == rbac.Anonymous {
		return nil
	}
	for _, h := range w.index.WhoCan(q.request, q.namespace) {
		if h.Kind == rbacv1.GroupKind && !strings.HasPrefix(h.Name, "system:") && !slices.Contains(who.Groups, h.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

// printCan prints the answer in one word, then why.
func printCan(out io.Writer, d *report.Can) error {
	_, err := fmt.Fprintf(out, "%s\n  %s\n", d.Answer, report.Printable(d.Why))
	if err == nil && len(d.Namespaces) > 0 {
		_, err = fmt.Fprintf(out, "  allowed in namespace %s\n", report.Printable(strings.Join(d.Namespaces, ", ")))
	}
	return err
}
