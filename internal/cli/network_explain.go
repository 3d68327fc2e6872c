package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/network"
	"github.com/gabion-k8s/gabion/internal/report"
)

// documentNames are the formats of results that are one document.
var documentNames = []string{"text", "table", "json", "yaml"}

func newNetworkExplain(env Env) *cobra.Command {
	var o networkOptions
	cmd := &cobra.Command{
		Use:   "explain SRC DST [PROTOCOL/PORT] [PATH...]",
		Short: "Say how a connection is decided: every policy that has a say, and the one that decides",
		Long: `Say whether SRC may connect to DST: every policy that has a say, in the order of
evaluation, which rule decides, and where that is written. Without a port the answer
is about all of them.

SRC and DST are each a PEER.
` + peerHelp + `
The port of a Service is the one that its clients use.

Exit codes: 0 the answer is certain, allowed or denied; 2 wrong usage; 3 the answer is
not known: it says why.`,
		Example: `  gabion network explain shop/web shop/db TCP/5432 deploy/
  gabion network explain internet shop/web --cluster
  gabion network explain shop/Deployment/web metadata --snapshot prod.gabion -o json`,
		Args: wrongArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			outputs, err := readOutputs(o.outputs, documentNames)
			if err != nil {
				return err
			}
			var port *network.PortQuestion
			paths := args[2:]
			if len(paths) > 0 && !exists(paths[0]) {
				if q, err := network.ParsePort(paths[0]); err == nil {
					port, paths = q, paths[1:]
				} else if o.otherSources(cmd) || len(paths) > 1 {
					return usageError{err}
				}
			}
			if err := o.complete(cmd, "", paths); err != nil {
				return err
			}
			return runNetworkExplain(cmd.Context(), env, &o, [2]string{args[0], args[1]}, port, outputs)
		},
	}
	o.flags(cmd, "namespace of names without one; files: that of objects that name none, too", documentNames)
	return cmd
}

func runNetworkExplain(ctx context.Context, env Env, o *networkOptions, ends [2]string, port *network.PortQuestion, outputs []output) error {
	worlds, err := o.read(ctx, env)
	if err != nil {
		return err
	}
	w, src, dst, err := o.ends(worlds, ends)
	if err != nil {
		return err
	}
	x := w.Explain(src, dst, port)
	x.Warnings = append(networkNotes([]*network.World{w}), x.Warnings...)
	x.Gaps = orNone(networkGaps([]*network.World{w}))
	x.Warnings = orNone(x.Warnings)
	if len(x.Gaps) > 0 {
		x.Doubt("not all that decides could be read: " + x.Gaps[0].Reason)
	}
	err = writeOutputs(env, outputs, func(w io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(w, x)
		case "yaml":
			return report.WriteYAML(w, x)
		}
		return network.WriteExplanation(w, x)
	})
	if err != nil {
		return err
	}
	complain(env, x.Warnings, x.Gaps)
	if x.Uncertain() {
		return exit(ExitIncomplete)
	}
	return nil
}

// ends finds both ends in one world.
func (o *networkOptions) ends(worlds []*network.World, names [2]string) (in *network.World, src, dst *network.Target, err error) {
	var wrong error
	for _, w := range worlds {
		from, err := w.Find(names[0], o.inQuestion)
		var to *network.Target
		if err == nil {
			to, err = w.Find(names[1], o.inQuestion)
		}
		switch {
		case err != nil:
			if wrong == nil {
				wrong = err
			}
		case in != nil:
			return nil, nil, nil, usagef("%s and %s are in %s and in %s: give one of them", names[0], names[1], in.Name, w.Name)
		default:
			in, src, dst = w, from, to
		}
	}
	if in == nil {
		return nil, nil, nil, usageError{wrong}
	}
	return in, src, dst, nil
}
