package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/network"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

func newNetwork(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Who can reach whom on which port, and which policy decides it",
		Long: `Who can reach whom on which port, which policy decides it, what is reachable from
outside, and what a change opens and closes. Policies of all kinds are weighed
together: NetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy and
ClusterNetworkPolicy, those of Cilium and of Calico, and Istio's AuthorizationPolicy.
What an answer hangs on and is not known is said: the answer is then "not known",
with the reason.`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNetworkList(env), newNetworkExplain(env), newNetworkExposure(env), newNetworkDiff(env))
	return cmd
}

// peerHelp says how the ends of connections are written.
const peerHelp = `PEER is NAMESPACE/NAME or NAMESPACE/KIND/NAME of a workload, or of a Service for the
pods behind it; an address or a range of addresses; internet; api-server; metadata,
the metadata addresses of clouds; the name of a node; or the name of a range in the
configuration (network.ranges).`

// networkOptions are what the commands about the network have in common.
type networkOptions struct {
	accessOptions
	config     string
	pods       []string
	nodes      []string
	inQuestion string // the namespace that is asked about
}

func (o *networkOptions) flags(cmd *cobra.Command, namespace string, formats []string) {
	f := cmd.Flags()
	f.SortFlags = false
	o.rangeFlags(f)
	o.accessOptions.flags(cmd, namespace)
	f.Lookup("output").Usage = fmt.Sprintf("FORMAT[=FILE], repeatable: %s (default %s)", strings.Join(formats, ", "), formats[0])
}

func (o *networkOptions) rangeFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.pods, "pod-cidr", nil, "range that the addresses of pods come from, where nodes do not tell")
	f.StringSliceVar(&o.nodes, "node-cidr", nil, "range that the addresses of nodes come from")
	f.StringVar(&o.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
}

// reach are the ranges of the configuration; flags win over it.
func (c *config) reach(pods, nodes []string) (o reach.Options, err error) {
	if len(pods) == 0 {
		pods = c.Network.Pods
	}
	if len(nodes) == 0 {
		nodes = c.Network.Nodes
	}
	if o.Pods, err = cidr.Parse(pods...); err != nil {
		return o, fmt.Errorf("network: addresses of pods: %w", err)
	}
	if o.Nodes, err = cidr.Parse(nodes...); err != nil {
		return o, fmt.Errorf("network: addresses of nodes: %w", err)
	}
	o.Ranges = map[string]cidr.Set{}
	for _, name := range slices.Sorted(maps.Keys(c.Network.Ranges)) {
		if why := wrongRangeName(name); why != "" {
			return o, fmt.Errorf("network.ranges: %q: %s", name, why)
		}
		if o.Ranges[name], err = cidr.Parse(c.Network.Ranges[name]...); err != nil {
			return o, fmt.Errorf("network.ranges: %q: %w", name, err)
		}
	}
	for name, text := range c.Network.Sensitive {
		// What cannot be read here is told of by the check that it is for.
		if set, err := cidr.Parse(text); err == nil && wrongRangeName(name) == "" {
			o.Ranges[name] = o.Ranges[name].Union(set)
		}
	}
	return o, nil
}

// wrongRangeName is why a range cannot have a name, "" where it can.
func wrongRangeName(name string) string {
	switch {
	case name == "" || strings.ContainsAny(name, "/ \t\n"):
		return "want a name without slashes and spaces"
	case slices.Contains([]string{network.Internet, network.APIServer, network.Metadata, "nodes"}, name):
		return "the name means something else"
	}
	if _, err := cidr.Parse(name); err == nil {
		return "the name is an address"
	}
	return ""
}

// complete settles the sources. A namespace is what is asked about, and not what is
// read: what is outside of it decides, too.
func (o *networkOptions) complete(cmd *cobra.Command, name string, paths []string) error {
	o.inQuestion = o.namespace
	if _, err := o.accessOptions.complete(cmd, name, paths); err != nil {
		return err
	}
	if len(o.paths) == 0 {
		o.namespace = ""
	}
	return nil
}

// read gathers the sources and weighs their policies.
func (o *networkOptions) read(ctx context.Context, env Env) ([]*network.World, error) {
	c, err := loadConfig(o.config, env.Dir)
	if err != nil {
		return nil, usagef("configuration: %w", err)
	}
	options, err := c.reach(o.pods, o.nodes)
	if err != nil {
		return nil, usageError{err}
	}
	snaps, err := o.gather(ctx, env)
	if err != nil {
		return nil, err
	}
	var worlds []*network.World
	for _, snap := range snaps {
		name := ""
		if len(snaps) > 1 {
			name = "files"
			if snap.Cluster != nil {
				name = snap.Cluster.Name
			}
		}
		worlds = append(worlds, network.NewWorld(snap, options, name))
	}
	return worlds, nil
}

// networkFacts are what the answers hang on.
var networkFacts = []evidence.Fact{"", evidence.Workloads, evidence.Namespaces, evidence.ServiceAccounts, evidence.NetworkPolicies,
	evidence.Exposure, evidence.Endpoints, evidence.Mesh, evidence.Nodes}

// networkGaps is what could not be read of what the answers hang on.
func networkGaps(worlds []*network.World) (gaps []evidence.Gap) {
	for _, w := range worlds {
		own := world{snap: w.Snap, name: w.Name}
		var list []evidence.Gap
		for _, g := range append(own.gaps(), w.Snap.Contradictions()...) {
			if slices.Contains(networkFacts, g.Fact) && !g.Declined {
				list = append(list, g)
			}
		}
		if c := w.Snap.Cluster; c != nil && len(c.Namespaces) > 0 {
			list = append(list, evidence.Gap{Fact: evidence.NetworkPolicies, Reason: fmt.Sprintf("only namespace %s was looked at", strings.Join(c.Namespaces, ", "))})
		}
		if len(w.Snap.Workloads) == 0 {
			list = append(list, evidence.Gap{Fact: evidence.Workloads, Reason: "no workload is among what was read"})
		}
		gaps = append(gaps, own.marked(list)...)
	}
	return gaps
}

const filesOnlyNetwork = "as far as the files show: policies, pods and Services that are not in them are not known"

// networkNotes are the reservations under which every answer stands.
func networkNotes(worlds []*network.World) (notes []string) {
	for _, w := range worlds {
		if w.Snap.Cluster == nil && !slices.Contains(notes, filesOnlyNetwork) {
			notes = append(notes, filesOnlyNetwork)
		}
		for _, i := range w.Graph.Invalid() {
			notes = append(notes, fmt.Sprintf("%s is not valid, and not in force as it is written: %v", i.Ref, i.Err))
		}
	}
	return notes
}

// readPort reads a --port flag; empty asks for all.
func readPort(text string) (ports.Set, error) {
	if text == "" {
		return ports.Set{}, nil
	}
	q, err := network.ParsePort(text)
	if err != nil {
		return ports.Set{}, usagef("--port: %w", err)
	}
	return q.Set(), nil
}

// find finds a peer in each world; it has to be in one of them.
func find(worlds []*network.World, text, namespace string) ([]*network.Target, error) {
	if text == "" {
		return nil, nil
	}
	list := make([]*network.Target, len(worlds))
	var wrong error
	found := false
	for i, w := range worlds {
		t, err := w.Find(text, namespace)
		if err != nil {
			list[i] = &network.Target{Text: text}
			if wrong == nil {
				wrong = err
			}
			continue
		}
		list[i], found = t, true
	}
	if !found {
		return nil, wrong
	}
	return list, nil
}
