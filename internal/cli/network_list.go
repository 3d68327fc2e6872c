package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/network"
)

type networkListOptions struct {
	networkOptions
	from, to, port string
}

// listFormats write connections; listNames are their names, the default first.
var listFormats = map[string]func(io.Writer, *network.Connectivity) error{
	"text":     network.WriteText,
	"table":    network.WriteText,
	"json":     network.WriteJSON,
	"yaml":     network.WriteYAML,
	"csv":      network.WriteCSV,
	"markdown": network.WriteMarkdown,
	"dot":      network.WriteDot,
	"mermaid":  network.WriteMermaid,
	"svg":      network.WriteSVG,
}

var listNames = []string{"text", "table", "json", "yaml", "csv", "markdown", "dot", "mermaid", "svg"}

func newNetworkList(env Env) *cobra.Command {
	var o networkListOptions
	cmd := &cobra.Command{
		Use:   "list [PATH...]",
		Short: "List which workload can reach which, on which ports",
		Long: `List every connection that policies allow: between workloads, nodes, the API server and
addresses outside. For people, destinations that are all of a namespace or all there
are stand on one line, and what is not known is counted by reason; json, yaml and csv
have each connection by itself.

` + peerHelp + `

Exit codes: 0 listed, 2 wrong usage, 3 something could not be read, so that the list
may be wrong.`,
		Example: `  gabion network list deploy/
  gabion network list --cluster -n shop
  gabion network list --snapshot prod.gabion --to shop/db --port TCP/5432
  gabion network list deploy/ -o mermaid`,
		RunE: func(cmd *cobra.Command, args []string) error {
			outputs, err := readOutputs(o.outputs, listNames)
			if err != nil {
				return err
			}
			if err := o.complete(cmd, "", args); err != nil {
				return err
			}
			return runNetworkList(cmd.Context(), env, &o, outputs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "only connections from this PEER")
	f.StringVar(&o.to, "to", "", "only connections to this PEER")
	f.StringVar(&o.port, "port", "", "only this port: TCP/8080, UDP, 443")
	o.flags(cmd, "only connections from or to this namespace; files: that of objects that name none, too", listNames)
	return cmd
}

func runNetworkList(ctx context.Context, env Env, o *networkListOptions, outputs []output) error {
	set, err := readPort(o.port)
	if err != nil {
		return err
	}
	worlds, err := o.read(ctx, env)
	if err != nil {
		return err
	}
	c := &network.Connectivity{Worlds: worlds, Filter: network.Filter{Namespace: o.inQuestion, Ports: set}, Warnings: networkNotes(worlds), Gaps: networkGaps(worlds)}
	if c.Filter.From, err = find(worlds, o.from, o.inQuestion); err != nil {
		return usagef("--from %w", err)
	}
	if c.Filter.To, err = find(worlds, o.to, o.inQuestion); err != nil {
		return usagef("--to %w", err)
	}
	if err := writeOutputs(env, outputs, func(w io.Writer, format string) error { return listFormats[format](w, c) }); err != nil {
		return err
	}
	complain(env, c.Warnings, c.Gaps)
	if len(c.Gaps) > 0 {
		return exit(ExitIncomplete)
	}
	return nil
}
