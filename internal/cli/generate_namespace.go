package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/limits"
	"github.com/gabion-k8s/gabion/internal/generate/namespace"
	"github.com/gabion-k8s/gabion/internal/generate/networkpolicy"
	"github.com/gabion-k8s/gabion/internal/report"
)

type namespaceOptions struct {
	sources
	version, group string
	headroom       int
	ingress        []string
}

func newNamespace(env Env) *cobra.Command {
	var o namespaceOptions
	cmd := &cobra.Command{
		Use:   "namespace NAME...",
		Short: "All for one namespace: level, network policies, bounds, accounts (NS-01, ENF-01, NET-02, RES-01, RES-02, SAT-01)",
		Long: `Print all that brings a namespace under enforcement, in one document: the Namespace with
Pod Security labels and a pinned version, a default deny for its network with name
resolution and what its workloads need, a LimitRange, a ResourceQuota, and the default
ServiceAccount without a token for the API server. With --group also a Role that sees what
is there, without Secrets, and its binding.

With -f, --cluster or --snapshot each part is what generate pod-security, networkpolicy,
limitrange and resourcequota write for the namespace: what is there goes on. Without them,
or where nothing of the namespace is among what is read, it is new: the level is
restricted, nothing but name resolution is open, and the numbers are stated defaults.

Comments say what each object is for and in which order to proceed. On standard error is
what has to be known before. Nothing is changed.

Exit codes: 0 printed; 1 not printed, for the network policies would not do what they
should; 2 wrong usage; 3 printed, and something that was asked for could not be read.`,
		Example: `  gabion generate namespace shop > shop-namespace.yaml
  gabion generate namespace shop -f deploy/ --group shop-team
  gabion generate namespace shop payments --cluster`,
		Args: wrongArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runNamespace(cmd, env, &o, args)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.group, "group", "", "group of users who may see what is in the namespaces, but for Secrets")
	f.IntVar(&o.headroom, "headroom", limits.DefaultHeadroom, "percent that quotas add to what is there")
	f.StringArrayVar(&o.ingress, "ingress-namespace", nil, "where the controllers of Ingresses and routes run, if they are not among what is read; repeatable")
	versionFlag(f, &o.version)
	f.Lookup("kubernetes-version").Usage = "release whose Pod Security Standards are pinned, X.Y (default the cluster's, else the newest known)"
	o.pathFlags(f)
	o.clusterFlags(f)
	o.chartFlags(f)
	o.voiceFlags(f)
	f.Lookup("namespace").Usage = "files: namespace of objects that name none"
	return cmd
}

func runNamespace(cmd *cobra.Command, env Env, o *namespaceOptions, names []string) error {
	options := namespace.Options{Names: names, Group: o.group, Headroom: o.headroom, Network: networkpolicy.Options{IngressNamespaces: o.ingress}}
	if err := o.pin(o.version, &options.Version); err != nil {
		return err
	}
	world, err := o.world(cmd, env)
	if err != nil {
		return err
	}
	r, err := namespace.Generate(world, options)
	var refusal *networkpolicy.Refusal
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintf(env.Stderr, "gabion: %s\n", printableLines(err.Error()))
		return exit(ExitFindings)
	case err != nil:
		return usageError{err}
	}
	if _, err := io.WriteString(env.Stdout, r.Text); err != nil {
		return err
	}
	sayBundles(env.Stderr, o.quiet, r)
	if world == nil {
		return nil
	}
	return wholeOf(world)
}

// world reads the one cluster, or the files, that the namespaces are in; nil where none
// are named. A cluster is read whole: who connects to a namespace is elsewhere.
func (o *namespaceOptions) world(cmd *cobra.Command, env Env) (*evidence.Snapshot, error) {
	if len(o.filenames)+len(o.snapshots) == 0 && !o.cluster && !o.askedCluster(cmd) {
		return nil, nil
	}
	if err := o.complete(cmd, nil); err != nil {
		return nil, err
	}
	if o.cluster && o.namespace != "" {
		return nil, usagef("--namespace %s: name the namespaces as arguments", o.namespace)
	}
	o.keepJSON, o.usage = true, true
	return o.one(cmd.Context(), env, "namespaces")
}

// askedCluster reports whether a flag that is about a cluster was given.
func (o *namespaceOptions) askedCluster(cmd *cobra.Command) bool {
	for _, name := range []string{"context", "kubeconfig", "as"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return true
		}
	}
	return false
}

// sayBundles says what has to be known before a bundle is laid down.
func sayBundles(out io.Writer, quiet bool, r *namespace.Result) {
	for _, b := range r.Bundles {
		if b.New && !quiet {
			fmt.Fprintf(out, "%s: new; the level is restricted, and nothing is open but name resolution\n", report.Printable(b.Name))
		}
		for _, note := range b.Notes {
			fmt.Fprintf(out, "%s: %s\n", report.Printable(b.Name), report.Printable(note))
		}
	}
}
