package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/generate/podsecurity"
	"github.com/gabion-k8s/gabion/internal/report"
)

type podSecurityOptions struct {
	sources
	version  string
	warnOnly bool
}

func newPodSecurity(env Env) *cobra.Command {
	var o podSecurityOptions
	cmd := &cobra.Command{
		Use:   "pod-security [PATH...]",
		Short: "Pod Security labels: the strictest level that each namespace satisfies (ENF-01, ENF-03)",
		Long: `Print for each namespace the labels of Pod Security Admission: enforce at the strictest
level that all that runs or is written there satisfies today, warn and audit at the next
one, all with a pinned version. Comments say what blocks the next level (object, field,
value, and what the API server would say), how the labels of today compare, and in which
order to proceed: warn and audit first (--warn-only), look, then enforce.

Levels are judged by the API server's own code. A namespace of which not everything was
seen gets its level with the doubt beside it. A label that is stricter today is kept;
kube-system is left at privileged. Nothing is changed.

Exit codes: 0 printed; 2 wrong usage; 3 printed, and something that was asked for could
not be read.`,
		Example: `  gabion generate pod-security --cluster > levels.yaml
  gabion generate pod-security --cluster -n shop --warn-only
  gabion generate pod-security --kubernetes-version 1.34 deploy/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			return runPodSecurity(cmd.Context(), env, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.warnOnly, "warn-only", false, "leave out the labels that enforce: the first step")
	versionFlag(f, &o.version)
	f.Lookup("kubernetes-version").Usage = "release to judge by and to pin, X.Y (default the cluster's, for files the newest known)"
	o.pathFlags(f)
	o.clusterFlags(f)
	o.chartFlags(f)
	o.voiceFlags(f)
	f.Lookup("namespace").Usage = "write labels for this namespace alone; files: namespace of objects that name none, too"
	return cmd
}

func runPodSecurity(ctx context.Context, env Env, o *podSecurityOptions) error {
	options := podsecurity.Options{WarnOnly: o.warnOnly}
	if err := o.pin(o.version, &options.Version); err != nil {
		return err
	}
	if o.namespace != "" {
		options.Namespaces = []string{o.namespace}
	}
	world, err := o.one(ctx, env, "labels")
	if err != nil {
		return err
	}
	r, err := podsecurity.Generate(world, options)
	if err != nil {
		return usageError{err}
	}
	if _, err := io.WriteString(env.Stdout, r.Text); err != nil {
		return err
	}
	sayLevels(env.Stderr, o.quiet, r)
	return wholeOf(world)
}

// sayLevels sums up on standard error.
func sayLevels(out io.Writer, quiet bool, r *podsecurity.Result) {
	if quiet {
		return
	}
	for _, n := range r.Namespaces {
		doubt := ""
		switch {
		case n.Unseen():
			fmt.Fprintf(out, "%s: no level, as nothing was seen and not all was looked at\n", report.Printable(n.Name))
			continue
		case len(n.Doubts) > 0:
			doubt = ", as far as was seen"
		}
		fmt.Fprintf(out, "%s: %s%s\n", report.Printable(n.Name), n.Level, doubt)
	}
}
