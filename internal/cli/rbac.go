package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/report"
)

func newRBAC(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rbac",
		Short: "Who may do what, and how a subject can become another",
		Args:  wrongArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newWhoCan(env), newCan(env), newPaths(env), newOwnRole(env))
	return cmd
}

// accessOptions are what the commands about access have in common.
type accessOptions struct {
	sources
	outputs []string
}

func (o *accessOptions) flags(cmd *cobra.Command, namespace string) {
	f := cmd.Flags()
	f.SortFlags = false
	o.pathFlags(f)
	o.clusterFlags(f)
	f.Lookup("namespace").Usage = namespace
	o.chartFlags(f)
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "FORMAT[=FILE], repeatable: table, wide, json, yaml (default table)")
	o.voiceFlags(f)
}

// complete settles the sources. The flag -A is about what is asked, not about what
// is read: by itself it does not mean a live cluster.
// The name is that of the object that is asked about, if any.
func (o *accessOptions) complete(cmd *cobra.Command, name string, paths []string) (anywhere bool, err error) {
	anywhere = o.everywhere
	if anywhere && o.namespace != "" {
		return false, usagef("--all-namespaces and --namespace %s: give one of them", o.namespace)
	}
	o.everywhere = false
	cmd.Flags().Lookup("all-namespaces").Changed = false
	err = o.sources.complete(cmd, paths)
	if err != nil && !o.cluster && len(o.paths)+len(o.snapshots) == 0 {
		taken := ""
		if name != "" {
			taken = fmt.Sprintf(" (%q is no file, and taken for the name of an object)", name)
		}
		example, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
		return anywhere, usagef("nothing to read%s: name a file or a folder, --snapshot FILE, or --cluster for a live cluster\nFor example: %s", taken, example)
	}
	return anywhere, err
}

// otherSources reports whether something is read besides the paths among the
// arguments.
func (o *accessOptions) otherSources(cmd *cobra.Command) bool {
	if len(o.filenames)+len(o.snapshots) > 0 || isPlugin(cmd) {
		return true
	}
	return slices.ContainsFunc([]string{"cluster", "context", "kubeconfig", "as", "as-group"}, func(name string) bool {
		return cmd.Flags().Changed(name)
	})
}

// A world is one cluster, or the files, with its index.
type world struct {
	snap  *evidence.Snapshot
	index *rbac.Index
	// name is that of the cluster where there are several worlds.
	name string
}

func (o *accessOptions) worlds(ctx context.Context, env Env) (list []world, err error) {
	snaps, err := o.gather(ctx, env)
	if err != nil {
		return nil, err
	}
	for _, snap := range snaps {
		w := world{snap: snap, index: rbac.NewIndex(snap)}
		if len(snaps) > 1 {
			w.name = "files"
			if snap.Cluster != nil {
				w.name = snap.Cluster.Name
			}
		}
		list = append(list, w)
	}
	return list, nil
}

// A question is what a person asks about: a request, and where.
type question struct {
	verb, resource, name string // as typed
	request              rbac.Request
	scope                rbac.Scope
	namespace            string
	anywhere             bool
	warnings             []string
}

// readQuestion takes VERB RESOURCE [NAME] from the arguments; what is left are the
// paths. A third argument is a path when nothing else is given to read and there is
// such a file; it always is with a slash in it, which names do not have.
func readQuestion(args []string, otherSources bool) (q question, paths []string, err error) {
	q.verb, q.resource = args[0], args[1]
	paths = args[2:]
	if len(paths) > 0 && paths[0] != "-" && !strings.ContainsAny(paths[0], `/\`) && (otherSources || !exists(paths[0])) {
		q.name, paths = paths[0], paths[1:]
	}
	switch {
	case q.verb == "":
		return q, nil, usagef("no verb: want one such as get, list or create")
	case q.resource == "":
		return q, nil, usagef("no resource: want one such as pods, pods/exec, deployments.apps, or a path such as /metrics")
	case strings.HasPrefix(q.resource, "/") && q.name != "":
		return q, nil, usagef("%s: a URL path has no name %q", q.resource, q.name)
	case strings.Count(q.resource, "/") > 1 && !strings.HasPrefix(q.resource, "/"):
		return q, nil, usagef("%s: want RESOURCE or RESOURCE/SUBRESOURCE", q.resource)
	case strings.HasSuffix(q.resource, "/") && !strings.HasPrefix(q.resource, "/"), strings.ContainsAny(q.resource+q.verb, " \t\n,"):
		return q, nil, usagef("%q %q: want one verb and one resource, such as get pods/log", q.verb, q.resource)
	}
	return q, paths, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// settle works out the request: by the custom resources of the worlds, and by where
// the resource lives.
func (q *question) settle(worlds []world, namespace string, anywhere bool) error {
	q.request.Verb, q.namespace, q.anywhere = q.verb, namespace, anywhere
	path := strings.HasPrefix(q.resource, "/")
	known := slices.Contains(rbac.Verbs(path), q.verb)
	if !known && !slices.ContainsFunc(worlds, func(w world) bool { return w.index.Says(q.verb, path) }) {
		return usagef("no verb %q%s; no rule says it, and Kubernetes has %s", q.verb, didYouMean(q.verb, rbac.Verbs(path)), strings.Join(rbac.Verbs(path), ", "))
	}
	if path {
		q.request.Path, q.scope = q.resource, rbac.ClusterWide
		q.nowhere("a URL path is")
		return nil
	}
	r := rbac.ParseResource(q.resource, customNames(worlds))
	q.request.Group, q.request.Resource, q.request.Name, q.scope = r.Group, r.Name, q.name, r.Scope
	parent, sub, _ := strings.Cut(r.Name, "/")
	switch {
	case !r.Known:
		q.warn("no resource %q is known here: it is taken as it stands, in the API group %q", parent, r.Group)
	case sub != "" && !rbac.IsSubresource(sub) && parent != "userextras":
		q.warn("%s is asked about as a subresource; an object is named apart: %s %s", sub, parent, sub)
	}
	switch {
	case parent == "*":
	case r.Group == "" && parent == "namespaces":
		// The API server takes a request about a Namespace for one in it.
		if q.name != "" {
			q.namespace, q.anywhere = q.name, false
		}
	case q.scope == rbac.ClusterWide:
		q.nowhere(parent + " are")
	}
	if q.verb == "create" && q.name != "" && sub == "" {
		q.warn("a create request carries no name: the rules that name %q are asked all the same", q.name)
	}
	return nil
}

// nowhere leaves out the namespace for what is in none.
func (q *question) nowhere(what string) {
	if q.namespace != "" {
		q.warn("%s in no namespace: -n %s changes nothing", what, q.namespace)
	}
	q.namespace, q.anywhere = "", false
}

func (q *question) warn(format string, args ...any) {
	q.warnings = append(q.warnings, fmt.Sprintf(format, args...))
}

// String is the question in words: get secrets db in namespace shop.
func (q *question) String() string {
	what := q.request.Verb + " " + q.request.Path
	if q.request.Path == "" {
		what = q.request.Verb + " " + resourceText(q.request.Group, q.request.Resource)
	}
	if q.request.Name != "" {
		what += " " + q.request.Name
	}
	switch {
	case q.anywhere:
		return what + " in any namespace"
	case q.namespace != "" && !(q.request.Resource == "namespaces" && q.namespace == q.name):
		return what + " in namespace " + q.namespace
	case q.scope != rbac.ClusterWide && q.namespace == "":
		return what + " in all namespaces"
	}
	return what
}

func (q *question) document() report.Request {
	return report.Request{
		Verb: q.request.Verb, APIGroup: q.request.Group, Resource: q.request.Resource, Name: q.request.Name, Path: q.request.Path,
		Namespace: q.namespace, AnyNamespace: q.anywhere,
	}
}

// resourceText writes a resource with its group: deployments.apps/scale.
func resourceText(group, resource string) string {
	if group == "" {
		return resource
	}
	parent, sub, below := strings.Cut(resource, "/")
	if below {
		sub = "/" + sub
	}
	return parent + "." + group + sub
}

// customNames are what the CustomResourceDefinitions of the worlds define.
func customNames(worlds []world) (list []rbac.Names) {
	for _, w := range worlds {
		for _, c := range w.snap.Custom {
			if c.Kind != "CustomResourceDefinition" {
				continue
			}
			var crd struct {
				Spec struct {
					Group, Scope string
					Names        struct {
						Plural, Singular, Kind string
						ShortNames             []string
					}
				}
			}
			if json.Unmarshal(c.JSON, &crd) != nil {
				continue
			}
			n := crd.Spec.Names
			list = append(list, rbac.Names{
				Group: crd.Spec.Group, Plural: n.Plural, Singular: cmp.Or(n.Singular, strings.ToLower(n.Kind)),
				Short: n.ShortNames, Cluster: crd.Spec.Scope == "Cluster",
			})
		}
	}
	return list
}

// unread is what could not be read of the roles and bindings that a question needs.
func (w world) unread(q *question) (gaps []evidence.Gap) {
	for _, g := range w.gaps() {
		if (g.Fact == "" || g.Fact == evidence.RBAC) && (q.anywhere || g.Scope == "" || g.Scope == q.namespace) {
			gaps = append(gaps, g)
		}
	}
	if c := w.snap.Cluster; c != nil && len(c.Namespaces) > 0 && (q.anywhere || q.namespace != "" && !c.Sees(q.namespace)) {
		gaps = append(gaps, evidence.Gap{Fact: evidence.RBAC, Scope: q.namespace,
			Reason: fmt.Sprintf("only namespace %s was looked at", strings.Join(c.Namespaces, ", "))})
	}
	return w.marked(gaps)
}

// gaps are those of the evidence, and what of the files could not be read: anything
// may be in it.
func (w world) gaps() []evidence.Gap {
	gaps := slices.Clone(w.snap.Gaps)
	if w.snap.Cluster != nil {
		return gaps
	}
	for _, s := range w.snap.Sources {
		for _, e := range s.Errors {
			gaps = append(gaps, evidence.Gap{Reason: e.String()})
		}
	}
	return gaps
}

// marked puts the cluster's name to gaps where there are several.
func (w world) marked(gaps []evidence.Gap) []evidence.Gap {
	gaps = slices.Clone(gaps)
	for i := range gaps {
		gaps[i].Cluster = cmp.Or(gaps[i].Cluster, w.name)
	}
	return gaps
}

// lost says of bindings that their roles are not there: in a cluster they grant
// nothing; what was not read, or what files do not show, may still be elsewhere.
func (w world) lost(bindings []*evidence.Binding) (warnings []string) {
	for _, b := range bindings {
		role := report.ObjectName{Kind: b.RoleRef.Kind, Name: b.RoleRef.Name}
		if b.RoleRef.Kind == "Role" {
			role.Namespace = b.Namespace
		}
		what := "was not read: what it grants is not counted"
		switch {
		case w.snap.Cluster == nil:
			what = "is not among the files: what it grants is not counted"
		case w.index.Lost(b):
			what = "is not there: it grants nothing, until someone makes that role"
		}
		warnings = append(warnings, fmt.Sprintf("%s leads to %s, which %s", b, role, what))
	}
	return warnings
}

const filesOnly = "as far as the files show: roles that Kubernetes makes by itself are taken as it makes them, and bindings that are not in the files are not known"

// notes are the reservations under which every answer from a world stands.
func notes(worlds []world) []string {
	if slices.ContainsFunc(worlds, func(w world) bool { return w.snap.Cluster == nil }) {
		return []string{filesOnly}
	}
	return nil
}

// grantOf is a grant as documents have it, nil for that which needs no binding.
func grantOf(g rbac.Grant) *report.Grant {
	if g.Binding == nil {
		return nil
	}
	allows := report.Rule(*g.Rule)
	return &report.Grant{
		Binding: report.ObjectName{Kind: g.Binding.Kind, Namespace: g.Binding.Namespace, Name: g.Binding.Name},
		Role:    report.ObjectName{Kind: g.Role.Kind, Namespace: g.Role.Namespace, Name: g.Role.Name},
		Rule:    g.RuleIndex(),
		Allows:  &allows,
	}
}

// ruleText is a rule in one line: get,list secrets,pods named db.
func ruleText(r report.Rule) string {
	text := strings.Join(r.Verbs, ",") + " "
	if len(r.NonResourceURLs) > 0 {
		return text + strings.Join(r.NonResourceURLs, ",")
	}
	var resources []string
	for _, resource := range r.Resources {
		for _, group := range r.APIGroups {
			if resource == "*" && group == "*" {
				resources = append(resources, "everything")
				continue
			}
			resources = append(resources, resourceText(group, resource))
		}
	}
	text += strings.Join(resources, ",")
	if len(r.ResourceNames) > 0 {
		text += " named " + strings.Join(r.ResourceNames, ",")
	}
	return text
}

// ruleColumns is the room for a rule's text but in wide tables.
const ruleColumns = 60

func cut(text string, room int) string {
	runes := []rune(text)
	if len(runes) <= room {
		return text
	}
	return string(runes[:room-1]) + "…"
}

// by says how something is granted: binding → role.
func by(g *report.Grant) string {
	return report.Printable(g.Binding.String() + " → " + g.Role.String())
}

// A documentWriter writes one result in one format.
type documentWriter func(w io.Writer, format string) error

// write writes a result to every output that was asked for.
func (o *accessOptions) write(env Env, write documentWriter) error {
	list, err := o.formats()
	if err != nil {
		return err
	}
	return writeOutputs(env, list, write)
}

func writeOutputs(env Env, list []output, write documentWriter) error {
	for _, out := range list {
		if out.file == "" {
			if err := write(env.Stdout, out.name); err != nil {
				return fmt.Errorf("write %s: %w", out.name, err)
			}
			continue
		}
		if err := replaceFile(out.file, func(w io.Writer) error { return write(w, out.name) }); err != nil {
			return usagef("write %s: %w", out.file, err)
		}
	}
	return nil
}

// formats reads the -o flags; it is called before anything is read, too.
func (o *accessOptions) formats() (list []output, err error) {
	return readOutputs(o.outputs, []string{"table", "wide", "json", "yaml"})
}

// readOutputs reads -o flags. The first name is the default.
func readOutputs(flags, names []string) (list []output, err error) {
	stdout := ""
	for _, flag := range flags {
		name, file, hasFile := strings.Cut(flag, "=")
		switch {
		case !slices.Contains(names, name):
			return nil, usagef("--output %q: want %s", name, strings.Join(names, ", "))
		case hasFile && file == "":
			return nil, usagef("--output %q: no file after =", flag)
		case !hasFile && stdout != "":
			return nil, usagef("--output: both %s and %s would go to standard output; give one of them a file: -o %s=FILE", stdout, name, name)
		case !hasFile:
			stdout = name
		}
		list = append(list, output{name: name, file: file})
	}
	if len(list) == 0 {
		list = []output{{name: names[0]}}
	}
	return list, nil
}

// complain writes reservations and gaps for people, to standard error.
func complain(env Env, warnings []string, gaps []evidence.Gap) {
	for _, w := range warnings {
		fmt.Fprintf(env.Stderr, "note: %s\n", report.Printable(w))
	}
	for _, g := range gaps {
		where := ""
		if g.Scope != "" {
			where = " in namespace " + g.Scope
		}
		if g.Cluster != "" {
			where += " of " + g.Cluster
		}
		fmt.Fprintf(env.Stderr, "not read: %s%s: %s\n", cmp.Or(string(g.Fact), "anything"), report.Printable(where), report.Printable(g.Reason))
	}
}

// orNone is a list that JSON writes as [], not as null.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
