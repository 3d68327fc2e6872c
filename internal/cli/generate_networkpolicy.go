package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/generate/networkpolicy"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/report"
)

type networkPolicyOptions struct {
	sources
	flows, ingress []string
	cilium, calico bool
	ranges         map[string]*[]string
}

func newNetworkPolicy(env Env) *cobra.Command {
	o := networkPolicyOptions{ranges: map[string]*[]string{}}
	cmd := &cobra.Command{
		Use:   "networkpolicy [PATH...]",
		Short: "Network policies: default deny, and what each workload needs (NET-01 to NET-04, CLD-01)",
		Long: `Print a default deny for each namespace, name resolution, and for each workload a policy
that opens just the connections that it needs. Needed is what its objects say: Services
that are named in variables, command lines, ConfigMaps and annotations, backends of
Ingresses and routes, webhooks, monitors, load balancers, rights at the API server. With
--flows it is also what was seen between workloads: logs of Hubble, of Calico, of
conntrack, of the VPCs of AWS and Google Cloud, or a table src,dst,protocol,port.

Above each rule stands what says that it is needed. What a program connects to without
its objects saying so cannot be known. On standard error is what was not opened, and
which of the connections that were seen would be dropped.

Before they are printed the policies are weighed, together with those that are there:
every needed connection is open, and no other one between workloads, nodes, the API
server and the outside; else nothing is printed, and the pair is named.

For kube-system, name it with -n: what its common parts need is known.

Exit codes: 0 printed; 1 not printed, for they would not do what they should; 2 wrong
usage; 3 printed, and something that was asked for could not be read.`,
		Example: `  gabion generate networkpolicy deploy/ > policies.yaml
  gabion generate networkpolicy -n shop --cluster --flows hubble.json
  gabion generate networkpolicy --cilium --snapshot prod.gabion`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.cilium && o.calico {
				return usagef("--cilium and --calico: give one of them")
			}
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			return runNetworkPolicy(cmd.Context(), env, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVar(&o.ingress, "ingress-namespace", nil, "where the controllers of Ingresses and routes run, if they are not among what is read; repeatable")
	f.StringArrayVar(&o.flows, "flows", nil, "log of connections that were seen, repeatable; what was seen between workloads is needed")
	f.BoolVar(&o.cilium, "cilium", false, "write CiliumNetworkPolicies, which know names outside the cluster")
	f.BoolVar(&o.calico, "calico", false, "write Calico's NetworkPolicies (projectcalico.org/v3)")
	for _, r := range []struct{ flag, usage string }{
		{"pod-cidr", "addresses of pods, where nodes do not tell them: makes rules for the outside narrower"},
		{"node-cidr", "addresses of nodes"},
		{"api-server", "addresses of the API server, as its Service resolves to them"},
	} {
		o.ranges[r.flag] = f.StringSlice(r.flag, nil, r.usage)
	}
	o.pathFlags(f)
	o.clusterFlags(f)
	o.chartFlags(f)
	o.voiceFlags(f)
	f.Lookup("namespace").Usage = "write policies for this namespace alone; files: namespace of objects that name none, too"
	return cmd
}

func runNetworkPolicy(ctx context.Context, env Env, o *networkPolicyOptions) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	world, err := o.world(ctx, env)
	if err != nil {
		return err
	}
	for _, file := range o.flows {
		l, err := readFlows(env, file)
		if err != nil {
			return usageError{err}
		}
		options.Observed = append(options.Observed, l)
	}
	r, err := networkpolicy.Generate(world, options)
	var refusal *networkpolicy.Refusal
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintf(env.Stderr, "gabion: %s\n", printableLines(refusal.Error()))
		return exit(ExitFindings)
	case err != nil:
		return usageError{err}
	}
	if _, err := io.WriteString(env.Stdout, r.Text); err != nil {
		return err
	}
	sayGenerated(env.Stderr, o, options, r)
	return wholeOf(world)
}

func (o *networkPolicyOptions) options() (networkpolicy.Options, error) {
	var options networkpolicy.Options
	switch {
	case o.cilium:
		options.Flavour = networkpolicy.Cilium
	case o.calico:
		options.Flavour = networkpolicy.Calico
	}
	options.IngressNamespaces = o.ingress
	if o.namespace != "" {
		options.Namespaces = []string{o.namespace}
	}
	for flag, to := range map[string]*cidr.Set{"pod-cidr": &options.Network.Pods, "node-cidr": &options.Network.Nodes, "api-server": &options.APIServer} {
		list, err := ranges(flag, *o.ranges[flag])
		if err != nil {
			return options, err
		}
		*to = cidr.Of(list...)
	}
	if options.APIServer.Contains(netip.AddrFrom4([4]byte{169, 254, 169, 254})) {
		return options, usagef("--api-server: the address of a metadata service is among these")
	}
	return options, nil
}

// world reads the one cluster, or the files, that policies are to be written for. A
// cluster is read whole: who connects to a namespace is elsewhere.
func (o *networkPolicyOptions) world(ctx context.Context, env Env) (*evidence.Snapshot, error) {
	s := o.sources
	s.keepJSON = true
	if s.cluster {
		s.namespace = ""
	}
	return s.one(ctx, env, "policies")
}

// readFlows reads a log of connections; - is standard input.
func readFlows(env Env, file string) (*flows.Log, error) {
	if file == "-" {
		return flows.Read("standard input", env.Stdin)
	}
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return flows.Read(filepath.ToSlash(file), f)
}

// printableLines is a text of several lines, each of which is safe to print.
func printableLines(text string) string {
	var list []byte
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			list = append(list, '\n')
		}
		list = append(list, report.Printable(line)...)
	}
	return string(list)
}

// sayGenerated tells what the policies do not say.
func sayGenerated(out io.Writer, o *networkPolicyOptions, options networkpolicy.Options, r *networkpolicy.Result) {
	if !o.quiet {
		fmt.Fprintf(out, "%d policies, %d needed connections: proven.\n", r.Policies, r.Flows)
	}
	var read []string
	for _, l := range options.Observed {
		read = append(read, fmt.Sprintf("%s: %s, %d entries, %d different flows, %d no connection, %d bad", l.Name, l.Format, l.Records, len(l.Flows), l.Ignored, l.BadCount))
		for _, b := range l.Bad {
			read = append(read, fmt.Sprintf("%s:%d: %s", l.Name, b.Line, b.Reason))
		}
		if more := l.BadCount - len(l.Bad); more > 0 {
			read = append(read, fmt.Sprintf("%s: and %d more bad entries", l.Name, more))
		}
	}
	for _, part := range []struct {
		heading string
		list    []string
	}{
		{"Logs of connections", read},
		{"Not opened, or wider than needed", r.Notes},
		{"Existing policies open more than is needed", r.Reopened},
		{"Seen, and would be dropped", r.Dropped},
		{"Seen, and dropped by the policies that are there already", r.DroppedNow},
		{"Seen, and not judged", r.Unplaced},
	} {
		if len(part.list) > 0 {
			fmt.Fprintf(out, "%s:\n", part.heading)
		}
		for _, line := range part.list {
			fmt.Fprintf(out, "  %s\n", report.Printable(line))
		}
	}
}
