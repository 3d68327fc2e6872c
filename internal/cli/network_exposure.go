package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/network"
	"github.com/gabion-k8s/gabion/internal/report"
)

func newNetworkExposure(env Env) *cobra.Command {
	var o networkOptions
	var port string
	cmd := &cobra.Command{
		Use:   "exposure [PATH...]",
		Short: "Say what the outside reaches, and what reaches the outside and the control plane",
		Long: `Say what the outside reaches and by which way in: load balancers, node ports, external
addresses, Ingresses and routes of Gateway API and Istio, host ports and host networks;
and which policy lets it in. Say which workloads reach the outside, the metadata
addresses of clouds, kubelets, etcd and the API server.

Whether a packet gets to a node or to a load balancer at all is a matter of firewalls
that are not looked at.

Exit codes: 0 said, 2 wrong usage, 3 something could not be read, so that more may be
exposed.`,
		Example: `  gabion network exposure deploy/
  gabion network exposure --cluster -n shop
  gabion network exposure --snapshot prod.gabion -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			outputs, err := readOutputs(o.outputs, documentNames)
			if err != nil {
				return err
			}
			if err := o.complete(cmd, "", args); err != nil {
				return err
			}
			return runNetworkExposure(cmd.Context(), env, &o, port, outputs)
		},
	}
	cmd.Flags().StringVar(&port, "port", "", "only this port: TCP/8080, UDP, 443")
	o.flags(cmd, "only workloads of this namespace; files: that of objects that name none, too", documentNames)
	return cmd
}

func runNetworkExposure(ctx context.Context, env Env, o *networkOptions, port string, outputs []output) error {
	set, err := readPort(port)
	if err != nil {
		return err
	}
	worlds, err := o.read(ctx, env)
	if err != nil {
		return err
	}
	x := network.Expose(worlds, network.Filter{Namespace: o.inQuestion, Ports: set})
	x.Warnings, x.Gaps = orNone(networkNotes(worlds)), orNone(networkGaps(worlds))
	err = writeOutputs(env, outputs, func(w io.Writer, format string) error {
		switch format {
		case "json":
			return report.WriteJSON(w, x)
		case "yaml":
			return report.WriteYAML(w, x)
		}
		return network.WriteExposure(w, x)
	})
	if err != nil {
		return err
	}
	complain(env, x.Warnings, x.Gaps)
	if len(x.Gaps) > 0 {
		return exit(ExitIncomplete)
	}
	return nil
}
