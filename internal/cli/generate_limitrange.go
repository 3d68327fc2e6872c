package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/limits"
	"github.com/gabion-k8s/gabion/internal/report"
)

// limitsOptions are those of both generators of bounds.
type limitsOptions struct {
	sources
	headroom int
}

func newLimitRange(env Env) *cobra.Command {
	var o limitsOptions
	cmd := &cobra.Command{
		Use:   "limitrange [PATH...]",
		Short: "LimitRanges: defaults and bounds for containers, which all that is there keeps to (RES-01)",
		Long: `Print a LimitRange for each namespace: default limits and requests for containers that set
none, and the most and the least that one may ask for. All that runs or is written there is
admitted by it; that is tried on every pod, with sidecars, init containers and resources of
whole pods, before anything is printed, and what would be refused all the same is named.
Comments say where each number comes from.

Numbers come from requests and limits as they are written or run, from measured use where
the cluster serves metrics (with --cluster, which takes the right to list pods in the group
metrics.k8s.io; what is measured is one moment), and from stated defaults. A LimitRange that
is there keeps its name, its defaults and what it bounds besides containers.

The namespaces of Kubernetes itself are left out. Nothing is changed.

Exit codes: 0 printed; 2 wrong usage; 3 printed, and something that was asked for could
not be read.`,
		Example: `  gabion generate limitrange --cluster > limits.yaml
  gabion generate limitrange --cluster -n shop --headroom 100
  gabion generate limitrange deploy/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			return o.run(cmd.Context(), env, (*limits.Result).LimitRanges)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *limitsOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.headroom, "headroom", limits.DefaultHeadroom, "percent that are added to what is there")
	o.pathFlags(f)
	o.clusterFlags(f)
	o.chartFlags(f)
	o.voiceFlags(f)
	f.Lookup("namespace").Usage = "write for this namespace alone; files: namespace of objects that name none, too"
}

func (o *limitsOptions) run(ctx context.Context, env Env, text func(*limits.Result) (string, error)) error {
	options := limits.Options{Headroom: o.headroom}
	if o.namespace != "" {
		options.Namespaces = []string{o.namespace}
	}
	if o.helm.KubeVersion == "" {
		o.helm.KubeVersion = "v" + evidence.Newest().String() + ".0"
	}
	o.keepJSON, o.usage = true, true
	world, err := o.one(ctx, env, "bounds")
	if err != nil {
		return err
	}
	r, err := limits.Generate(world, options)
	if err != nil {
		return usageError{err}
	}
	out, err := text(r)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(env.Stdout, out); err != nil {
		return err
	}
	sayBounds(env.Stderr, o.quiet, r)
	return wholeOf(world)
}

// sayBounds sums up on standard error.
func sayBounds(out io.Writer, quiet bool, r *limits.Result) {
	if quiet {
		return
	}
	for _, n := range r.Namespaces {
		name := report.Printable(n.Name)
		switch {
		case n.LimitRange == nil:
			fmt.Fprintf(out, "%s: nothing proposed, as nothing was seen and not all was looked at\n", name)
		case len(n.Refused) > 0:
			fmt.Fprintf(out, "%s: some of what is there would be refused: see REFUSED\n", name)
		case len(n.Doubts) > 0:
			fmt.Fprintf(out, "%s: all that was seen is admitted; not everything was\n", name)
		default:
			fmt.Fprintf(out, "%s: all that is there is admitted\n", name)
		}
	}
}
