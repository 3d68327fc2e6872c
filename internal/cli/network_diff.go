package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/network"
	"github.com/gabion-k8s/gabion/internal/report"
)

func newNetworkDiff(env Env) *cobra.Command {
	var o networkOptions
	var port string
	names := []string{"text", "table", "json", "yaml", "markdown"}
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say which connections a change opens and closes",
		Long: `Compare two states, each a PATH or a snapshot: which connections are open in NEW and
were denied in OLD, and the reverse. Workloads are matched by namespace, kind and
name; one that is only in NEW has had no connections before. Where it is not known in
one of the two whether a connection is allowed, it is one that the change may open or
may close, with the reason.

With -o markdown the answer is a comment for a pull request.

Exit codes: 0 nothing is opened, 1 a connection is opened, 2 wrong usage, 3 nothing is
certainly opened, but something may be, or could not be read.`,
		Example: `  gabion network diff main/deploy deploy
  gabion network diff before.gabion after.gabion -n shop
  gabion network diff main/deploy deploy -o markdown=comment.md`,
		Args: wrongArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			outputs, err := readOutputs(o.outputs, names)
			if err != nil {
				return err
			}
			o.program = cmd.Root().DisplayName()
			return runNetworkDiff(cmd.Context(), env, &o, args, port, outputs)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.namespace, "namespace", "n", "", "only connections from or to this namespace; files: that of objects that name none, too")
	f.StringVar(&port, "port", "", "only this port: TCP/8080, UDP, 443")
	o.rangeFlags(f)
	o.chartFlags(f)
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "FORMAT[=FILE], repeatable: text, table, json, yaml, markdown (default text)")
	o.voiceFlags(f)
	return cmd
}

func runNetworkDiff(ctx context.Context, env Env, o *networkOptions, args []string, port string, outputs []output) error {
	set, err := readPort(port)
	if err != nil {
		return err
	}
	var worlds []*network.World
	for _, name := range args {
		one := *o
		if isSnapshot(ctx, name) {
			one.snapshots = []string{name}
		} else {
			one.paths = []string{name}
		}
		list, err := one.read(ctx, env)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return usagef("%s holds %d clusters: a state is one", name, len(list))
		}
		worlds = append(worlds, list[0])
	}
	d := network.Compare(worlds[0], worlds[1], network.Filter{Namespace: o.namespace, Ports: set})
	d.Warnings, d.Gaps = orNone(networkNotes(worlds)), orNone(networkGaps(worlds))
	err = writeOutputs(env, outputs, func(w io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(w, d)
		case "yaml":
			return report.WriteYAML(w, d)
		case "markdown":
			return network.WriteDiffMarkdown(w, d)
		}
		return network.WriteDiff(w, d)
	})
	if err != nil {
		return err
	}
	complain(env, d.Warnings, d.Gaps)
	switch {
	case len(d.Opened) > 0:
		return exit(ExitFindings)
	case len(d.MayOpen)+len(d.Gaps) > 0:
		return exit(ExitIncomplete)
	}
	return nil
}
