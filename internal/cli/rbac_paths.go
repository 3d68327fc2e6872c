package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/report"
)

type pathsOptions struct {
	accessOptions
	from        []string
	to          string
	all, closed bool
}

func newPaths(env Env) *cobra.Command {
	var o pathsOptions
	cmd := &cobra.Command{
		Use:   "paths [PATH...]",
		Short: "Say which subjects can become cluster-admin, or something else, and how",
		Long: `Say how subjects can get further than their rights seem to go: from hop to hop, each
with the technique, the permission, the binding that gives it, and why it works.

Without --from the question is about the ServiceAccount of every workload, about
anonymous requests, and about everyone who has logged in. Subjects are written as
the API server writes them: jane, system:serviceaccount:NAMESPACE:NAME,
system:authenticated.

--to is cluster-admin, node (root on any node), secrets:NAMESPACE (all of its
Secrets) or serviceaccount:NAMESPACE:NAME.

A path that something refuses on its way, such as the Pod Security level of a
namespace, is closed; --closed shows those of subjects that have no other.

Exit codes: 0 no path, 1 there is a path, 2 wrong usage, 3 no path, as far as was
read, and something was not.`,
		Example: `  gabion rbac paths --cluster
  gabion rbac paths --from system:serviceaccount:shop:web --to secrets:vault --cluster
  gabion rbac paths --all --closed --snapshot prod.gabion -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := escalate.ParseTarget(o.to)
			if err != nil {
				return usagef("--to: %w", err)
			}
			for _, name := range o.from {
				if err := checkSubject(name); err != nil {
					return err
				}
			}
			if _, err := o.formats(); err != nil {
				return err
			}
			if _, err := o.complete(cmd, "", args); err != nil {
				return err
			}
			return runPaths(cmd.Context(), env, &o, to)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.from, "from", nil, "subject to start from, repeatable (default: every workload's ServiceAccount, anonymous, authenticated)")
	f.StringVar(&o.to, "to", string(escalate.ClusterAdmin), "cluster-admin, node, secrets:NAMESPACE or serviceaccount:NAMESPACE:NAME")
	f.BoolVar(&o.all, "all", false, "every minimal path of a subject, not only a shortest")
	f.BoolVar(&o.closed, "closed", false, "show paths that a guard closes, of subjects that have no other")
	o.flags(cmd, "files: namespace of objects that name none; clusters: read this namespace only")
	return cmd
}

func runPaths(ctx context.Context, env Env, o *pathsOptions, to escalate.Target) error {
	worlds, err := o.worlds(ctx, env)
	if err != nil {
		return err
	}
	d := &report.PathReport{
		APIVersion: report.APIVersion, Kind: report.PathKind, Target: string(to),
		Paths: []report.Path{}, Warnings: notes(worlds),
	}
	starts := 0
	for _, w := range worlds {
		starts += w.search(d, o, to)
	}
	d.Warnings, d.Gaps = orNone(d.Warnings), orNone(d.Gaps)
	err = o.write(env, func(out io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(out, d)
		case "yaml":
			return report.WriteYAML(out, d)
		}
		return printPaths(out, d, starts, o.closed)
	})
	if err != nil {
		return err
	}
	complain(env, d.Warnings, d.Gaps)
	switch {
	case len(d.Paths) > 0:
		return exit(ExitFindings)
	case len(d.Gaps) > 0, d.Truncated:
		return exit(ExitIncomplete)
	}
	return nil
}

// search adds the paths of one world, and returns how many subjects it started from.
func (w world) search(d *report.PathReport, o *pathsOptions, to escalate.Target) (starts int) {
	graph := escalate.New(w.snap, w.index, w.version())
	from := graph.Starts()
	if len(o.from) > 0 {
		from = nil
		for _, name := range o.from {
			from = append(from, graph.Find(name)...)
		}
		d.Warnings = append(d.Warnings, w.strangers(o.from)...)
	}
	paths, truncated := graph.Paths(from, to, escalate.Options{All: o.all})
	d.Truncated = d.Truncated || truncated
	d.Paths = append(d.Paths, w.paths(paths)...)
	if o.closed {
		closed, _ := graph.Paths(from, to, escalate.Options{Closed: true})
		d.Closed = append(d.Closed, w.paths(closed)...)
	}
	d.Gaps = append(d.Gaps, w.unseen()...)
	return len(from)
}

// version is that of the live cluster, or the newest.
func (w world) version() evidence.Version {
	if c := w.snap.Cluster; c != nil {
		if v, err := evidence.ParseVersion(c.Version); err == nil {
			return v
		}
	}
	return evidence.Newest()
}

// strangers says of which subjects nothing is known but what holds for everyone.
func (w world) strangers(names []string) (warnings []string) {
	for _, name := range names {
		if _, isGroup := w.index.Subject(name); !isGroup && name != rbac.Anonymous && !w.index.Names(name) {
			warnings = append(warnings, fmt.Sprintf("no binding names %s: it has the rights of its groups only", name))
		}
	}
	return warnings
}

// pathFacts are what paths are made of.
var pathFacts = []evidence.Fact{"", evidence.RBAC, evidence.Workloads, evidence.ServiceAccounts, evidence.Namespaces,
	evidence.Secrets, evidence.Admission, evidence.Nodes, evidence.Extensions}

// unseen is what could not be seen and may hold a path.
func (w world) unseen() (gaps []evidence.Gap) {
	for _, g := range w.gaps() {
		if slices.Contains(pathFacts, g.Fact) {
			gaps = append(gaps, g)
		}
	}
	if c := w.snap.Cluster; c != nil && len(c.Namespaces) > 0 {
		gaps = append(gaps, evidence.Gap{Fact: evidence.RBAC, Reason: fmt.Sprintf("only namespace %s was looked at", strings.Join(c.Namespaces, ", "))})
	}
	for _, role := range w.constrained() {
		gaps = append(gaps, evidence.Gap{Fact: evidence.RBAC, Reason: fmt.Sprintf("%s grants constrained impersonation, request by request: paths by it are not followed", role)})
	}
	return w.marked(gaps)
}

// constrained are the roles with verbs of constrained impersonation (KEP-5284),
// such as impersonate:user-info.
func (w world) constrained() (roles []*evidence.Ref) {
	grants := func(rules []rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
			return slices.ContainsFunc(r.Verbs, func(verb string) bool { return strings.HasPrefix(verb, "impersonate:") })
		})
	}
	for _, r := range w.snap.ClusterRoles {
		if grants(r.Value.Rules) {
			roles = append(roles, r.Ref)
		}
	}
	for _, r := range w.snap.Roles {
		if grants(r.Value.Rules) {
			roles = append(roles, r.Ref)
		}
	}
	return roles
}

func (w world) paths(list []escalate.Path) (paths []report.Path) {
	for _, p := range list {
		path := report.Path{From: p.From, To: p.To, Cluster: w.name}
		for _, h := range p.Hops {
			hop := report.Hop{From: h.From, To: h.To, Technique: h.Technique, Why: h.Why, GrantedBy: granted(h.GrantedBy), ClosedBy: h.ClosedBy}
			if permission := report.Permission(h.Permission); permission != (report.Permission{}) {
				hop.Permission = &permission
			}
			for _, also := range h.Also {
				hop.Also = append(hop.Also, report.Permitted{Permission: report.Permission(also.Permission), GrantedBy: granted(also.GrantedBy)})
			}
			path.Hops = append(path.Hops, hop)
		}
		paths = append(paths, path)
	}
	return paths
}

func granted(g escalate.GrantedBy) *report.Grant {
	if g.Binding.Name == "" {
		return nil
	}
	return &report.Grant{Binding: report.ObjectName(g.Binding), Role: report.ObjectName(g.Role), Rule: g.Rule}
}

func printPaths(out io.Writer, d *report.PathReport, starts int, closed bool) error {
	var b strings.Builder
	from := map[string]bool{}
	for _, p := range d.Paths {
		from[p.Cluster+" "+p.From] = true
	}
	if len(d.Paths) == 0 {
		fmt.Fprintf(&b, "No path to %s from %s.\n", d.Target, counted(starts, "subject"))
	} else {
		fmt.Fprintf(&b, "%d of %s can reach %s.\n", len(from), counted(starts, "subject"), d.Target)
	}
	for _, p := range d.Paths {
		printPath(&b, p)
	}
	if d.Truncated {
		b.WriteString("\nThere are more paths than these: --from asks about one subject.\n")
	}
	if closed {
		fmt.Fprintf(&b, "\nClosed, of subjects without another: %s\n", counted(len(d.Closed), "path"))
		for _, p := range d.Closed {
			printPath(&b, p)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printPath prints a path for a person to follow.
func printPath(b *strings.Builder, p report.Path) {
	head := p.From + " → " + p.To
	if p.Cluster != "" {
		head = p.Cluster + ": " + head
	}
	fmt.Fprintf(b, "\n%s\n", report.Printable(head))
	for i, h := range p.Hops {
		fmt.Fprintf(b, "  %d. %s\n", i+1, report.Printable(fmt.Sprintf("%s → %s", h.From, h.To)))
		fmt.Fprintf(b, "     %s: %s\n", h.Technique, report.Printable(h.Why))
		if h.Permission != nil {
			printPermitted(b, report.Permitted{Permission: *h.Permission, GrantedBy: h.GrantedBy})
		}
		for _, also := range h.Also {
			printPermitted(b, also)
		}
		if h.ClosedBy != "" {
			fmt.Fprintf(b, "     closed by %s\n", report.Printable(h.ClosedBy))
		}
	}
}

func printPermitted(b *strings.Builder, p report.Permitted) {
	what := p.Permission.Verb + " " + resourceText(p.Permission.APIGroup, p.Permission.Resource)
	if p.Permission.Verb == "*" && p.Permission.APIGroup == "*" && p.Permission.Resource == "*" {
		what = "do everything"
	}
	if p.Permission.Name != "" {
		what += " " + p.Permission.Name
	}
	if p.Permission.Namespace != "" {
		what += " in namespace " + p.Permission.Namespace
	}
	by := ""
	if g := p.GrantedBy; g != nil {
		by = fmt.Sprintf(", by %s → %s, rule %d", g.Binding, g.Role, g.Rule)
	}
	fmt.Fprintf(b, "     may %s\n", report.Printable(what+by))
}
