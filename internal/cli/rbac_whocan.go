package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/report"
)

const questionHelp = `RESOURCE is written as for kubectl: pods, po, deployments.apps, deployments.v1.apps,
with a subresource pods/exec, * for all resources of all groups, *.apps for all of
one, or the path of a URL: /metrics. Without NAME the question is about all objects,
which a rule that names objects does not allow.

Without -n the question is about all namespaces at once, which the binding of one
namespace does not allow.`

func newWhoCan(env Env) *cobra.Command {
	var o accessOptions
	cmd := &cobra.Command{
		Use:   "who-can VERB RESOURCE[/SUBRESOURCE] [NAME] [PATH...]",
		Short: "List who may do something, with the binding and the rule that decide",
		Long: `List every user, group and ServiceAccount that bindings let do something, as the
API server's RBAC authorizer decides it, each with the binding and the rule.

` + questionHelp + ` With -A each namespace is asked about by itself.

A group stands for its members: system:authenticated for everyone who has logged
in, system:serviceaccounts:NAMESPACE for the pods of a namespace. Members of
system:masters may do everything, whatever the bindings say.

Exit codes: 0 listed, 2 wrong usage, 3 roles or bindings could not all be read, so
that the list may lack some.`,
		Example: `  gabion rbac who-can get secrets -n shop --cluster
  gabion rbac who-can create pods/exec -A -f manifests/
  gabion rbac who-can get /metrics --snapshot prod.gabion -o json`,
		Args: wrongArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, paths, err := readQuestion(args, o.otherSources(cmd))
			if err != nil {
				return err
			}
			if _, err := o.formats(); err != nil {
				return err
			}
			anywhere, err := o.complete(cmd, q.name, paths)
			if err != nil {
				return err
			}
			return runWhoCan(cmd.Context(), env, &o, &q, anywhere)
		},
	}
	o.flags(cmd, "namespace to ask about; files: that of objects that name none")
	cmd.Flags().Lookup("all-namespaces").Usage = "ask about each namespace by itself"
	return cmd
}

func runWhoCan(ctx context.Context, env Env, o *accessOptions, q *question, anywhere bool) error {
	worlds, err := o.worlds(ctx, env)
	if err != nil {
		return err
	}
	if err := q.settle(worlds, o.namespace, anywhere); err != nil {
		return err
	}
	d := &report.WhoCan{APIVersion: report.APIVersion, Kind: report.WhoCanKind, Request: q.document(), Subjects: []report.Holder{}}
	d.Warnings = append(notes(worlds), q.warnings...)
	elsewhere := 0
	for _, w := range worlds {
		holders := w.index.WhoCan(q.request, q.namespace)
		if q.anywhere {
			holders = w.index.WhoCanAnywhere(q.request)
		}
		for _, h := range holders {
			d.Subjects = append(d.Subjects, report.Holder{Kind: h.Kind, Namespace: h.Namespace, Name: h.Name, Cluster: w.name, GrantedBy: grantOf(h.Grant)})
		}
		d.Warnings = append(d.Warnings, w.lost(w.dangling(q))...)
		d.Gaps = append(d.Gaps, w.unread(q)...)
		if !q.anywhere && q.namespace == "" && q.scope != rbac.ClusterWide {
			elsewhere += len(w.index.WhoCanAnywhere(q.request)) - len(holders)
		}
	}
	if elsewhere > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d more may in single namespaces: -A lists them, -n NAMESPACE those of one", elsewhere))
	}
	d.Warnings, d.Gaps = orNone(d.Warnings), orNone(d.Gaps)
	err = o.write(env, func(out io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(out, d)
		case "yaml":
			return report.WriteYAML(out, d)
		}
		return printWhoCan(out, q, d, format == "wide")
	})
	if err != nil {
		return err
	}
	complain(env, d.Warnings, d.Gaps)
	if len(d.Gaps) > 0 {
		return exit(ExitIncomplete)
	}
	return nil
}

// dangling are the bindings that would count for a question and whose roles are not
// known.
func (w world) dangling(q *question) (list []*evidence.Binding) {
	for _, b := range w.snap.Bindings {
		if w.index.Role(b) == nil && (q.anywhere || b.Namespace == "" || b.Namespace == q.namespace) {
			list = append(list, b)
		}
	}
	return list
}

func printWhoCan(out io.Writer, q *question, d *report.WhoCan, wide bool) error {
	fmt.Fprintf(out, "Who can %s:\n\n", report.Printable(q.String()))
	for _, s := range d.Subjects {
		who := holderText(s)
		if s.Cluster != "" {
			who += " (cluster " + report.Printable(s.Cluster) + ")"
		}
		how := "everywhere: the API server lets members do everything"
		if g := s.GrantedBy; g != nil {
			where := "everywhere"
			if g.Binding.Namespace != "" {
				where = "in namespace " + report.Printable(g.Binding.Namespace)
			}
			rule := ruleText(*g.Allows)
			if !wide {
				rule = cut(rule, ruleColumns)
			}
			how = fmt.Sprintf("%s, by %s, rule %d: %s", where, by(g), g.Rule, report.Printable(rule))
		}
		if _, err := fmt.Fprintf(out, "  %s\n      %s\n", who, how); err != nil {
			return err
		}
	}
	return nil
}

// holderText names a subject for people: ServiceAccount shop/web, User jane.
func holderText(s report.Holder) string {
	return report.Printable(report.ObjectName{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}.String())
}
