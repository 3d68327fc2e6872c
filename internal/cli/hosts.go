package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cloud"
	"github.com/gabion-k8s/gabion/internal/source/host"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
	"github.com/gabion-k8s/gabion/internal/source/probe"
)

// hostFlags are how nodes are named.
func (s *sources) hostFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.hostRoots, "host-root", nil, "folder that holds a node's files (/ on the node itself), repeatable")
	f.StringVar(&s.hostName, "host-name", "", "name of the node that --host-root is, where its files do not tell")
}

// cloudFlags are how a provider is heard.
func (s *sources) cloudFlags(f *pflag.FlagSet) {
	f.StringVar(&s.cloudConfig, "cloud-config", "", "what the provider of a managed control plane says of the cluster: the JSON that its describe command prints")
}

// probeFlags are what is tried.
func (s *sources) probeFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.probe, "probe", false, "connect to the addresses of the API server, the nodes and etcd, without credentials: which TLS they accept, and what they answer")
}

// recognise finds out for each world whether a provider runs the control plane, and
// adds what the provider says of the cluster to the one that is meant.
func (s *sources) recognise(worlds []*evidence.Snapshot) error {
	var managed []*evidence.Snapshot
	for _, w := range worlds {
		switch {
		case w.Managed != nil:
		case w.OwnControlPlane() != "": // whatever its version and labels are
		case w.Cluster != nil:
			w.Managed = cloud.Recognise(w.Cluster.Version, w.Nodes)
		default:
			w.Managed = cloud.OfHosts(w.Hosts)
		}
		if w.Managed != nil || w.HasHosts() || w.Cluster != nil {
			managed = append(managed, w)
		}
	}
	if s.cloudConfig == "" {
		return nil
	}
	provider, config, err := s.described()
	switch {
	case err != nil:
		return err
	case len(managed) != 1:
		return usagef("--cloud-config %s: describes one cluster, and %d are read", s.cloudConfig, len(managed))
	}
	w := managed[0]
	own := w.OwnControlPlane()
	switch {
	case w.Managed == nil && own != "":
		return usagef("--cloud-config %s: describes a control plane that %s runs, and here %s", s.cloudConfig, provider, own)
	case w.Managed == nil:
		w.Managed = cloud.Given(provider, config)
	case w.Managed.Provider != provider:
		return usagef("--cloud-config %s: describes a cluster of %s, and this one is of %s (%s)", s.cloudConfig, provider, w.Managed.Provider, w.Managed.Why)
	default:
		w.Managed.Config = config
	}
	return nil
}

// described reads the provider's description of the cluster.
func (s *sources) described() (provider string, c *evidence.CloudConfig, err error) {
	const most = 16 << 20
	f, err := os.Open(s.cloudConfig)
	if err != nil {
		return "", nil, usagef("--cloud-config %s: %w", s.cloudConfig, reason(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return "", nil, usagef("--cloud-config %s: %w", s.cloudConfig, reason(err))
	case len(text) > most:
		return "", nil, usagef("--cloud-config %s: it is larger than 16 MiB", s.cloudConfig)
	}
	if provider, c, err = cloud.Parse(s.cloudConfig, text); err != nil {
		return "", nil, usagef("--cloud-config %w", err)
	}
	return provider, c, nil
}

// tryAddresses connects to what the evidence names.
func tryAddresses(ctx context.Context, worlds []*evidence.Snapshot, watch *progress) {
	for _, w := range worlds {
		targets := probe.Targets(w)
		if watch != nil && len(targets) > 0 {
			watch.say(fmt.Sprintf("probing %d addresses", len(targets)))
		}
		w.Probes = append(w.Probes, probe.Probe(ctx, targets, probe.Options{})...)
	}
}

// readHosts reads the nodes below the folders, each a world of its own. Of two folders
// that hold the same node one would be left out: that is an error.
func (s *sources) readHosts(ctx context.Context, env Env, watch *progress) ([]*evidence.Snapshot, error) {
	var worlds []*evidence.Snapshot
	from := map[string]string{}
	for _, dir := range s.hostRoots {
		world, err := s.readHost(ctx, env, dir, watch)
		if err != nil {
			return nil, err
		}
		for _, h := range world.Hosts {
			if first, again := from[h.Node]; again {
				return nil, usagef("--host-root %s: it is node %s, as %s is\nWhere they are two, give one another name: gabion snapshot --host-root %s --host-name NAME",
					dir, h.Node, first, dir)
			}
			from[h.Node] = dir
		}
		worlds = append(worlds, world)
	}
	return worlds, nil
}

// readHost reads a node below a folder.
func (s *sources) readHost(ctx context.Context, env Env, dir string, watch *progress) (*evidence.Snapshot, error) {
	if watch != nil {
		watch.say(dir)
	}
	t, closer, err := tree.Open(dir)
	if err != nil {
		return nil, usagef("--host-root %s: %w", dir, reason(err))
	}
	defer closer.Close()
	h, source, gaps, err := host.Read(ctx, t, host.Options{Root: dir, Name: s.hostName, Now: env.Now()})
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		source.Errors = append(source.Errors, evidence.Issue{Reason: g.Reason})
		source.Documents++
	}
	world := &evidence.Snapshot{Sources: []*evidence.Source{source}, Gaps: gaps}
	world.AddHost(h, source)
	return world, nil
}

// joinHosts puts nodes that were looked at to the cluster that they belong to. What
// is of no cluster that was read is a world of its own, of all such nodes.
func joinHosts(worlds []*evidence.Snapshot) []*evidence.Snapshot {
	var joined, looks []*evidence.Snapshot
	for _, w := range worlds {
		if w.HasObjects() {
			joined = append(joined, w)
		} else {
			looks = append(looks, w)
		}
	}
	clusters := slices.DeleteFunc(slices.Clone(joined), func(w *evidence.Snapshot) bool { return w.Cluster == nil })
	var apart *evidence.Snapshot
	for _, look := range looks {
		to := clusterOf(look.Hosts, clusters)
		if to == nil {
			if apart == nil {
				apart = &evidence.Snapshot{}
				joined = append(joined, apart)
			}
			to = apart
			warnApart(look, clusters)
		}
		to.Sources = append(to.Sources, look.Sources...)
		to.Gaps = append(to.Gaps, look.Gaps...)
		to.Probes = append(to.Probes, look.Probes...)
		if to.Managed == nil {
			to.Managed = look.Managed
		}
		for _, h := range look.Hosts {
			warnAgain(h, to.Hosts)
			to.AddHost(h, h.Source)
		}
	}
	return joined
}

// warnAgain says that of several looks at a node only one is judged.
func warnAgain(h *evidence.Host, known []*evidence.Host) {
	again := slices.ContainsFunc(known, func(k *evidence.Host) bool { return k.Node == h.Node && k.Root != "" })
	if again && h.Root != "" && h.Source != nil {
		h.Source.Warnings = append(h.Source.Warnings, evidence.Issue{
			Reason: fmt.Sprintf("node %s was looked at more than once: only the last look is judged", h.Node),
		})
	}
}

// clusterOf is the cluster that nodes belong to: the only one that has a Node of such
// a name, of several the one that the node's own kubeconfigs lead to, or the only one
// at all where its Nodes could not be listed. nil when none is.
func clusterOf(hosts []*evidence.Host, clusters []*evidence.Snapshot) *evidence.Snapshot {
	var having []*evidence.Snapshot
	for _, w := range clusters {
		if slices.ContainsFunc(hosts, func(h *evidence.Host) bool { return hasNode(w, h) }) {
			having = append(having, w)
		}
	}
	switch {
	case len(having) == 1:
		return having[0]
	case len(having) > 1:
		for _, w := range having {
			if slices.ContainsFunc(hosts, func(h *evidence.Host) bool { return leadsTo(h, w.Cluster.Server) }) {
				return w
			}
		}
	case len(clusters) == 1:
		if listed, _ := clusters[0].Complete(evidence.Nodes, ""); !listed {
			return clusters[0]
		}
	}
	return nil
}

// hasNode reports whether a cluster has the Node that a host is: many have one of the
// name, and the machine's own id tells them apart where both ways know it.
func hasNode(w *evidence.Snapshot, h *evidence.Host) bool {
	return slices.ContainsFunc(w.Nodes, func(n *evidence.Object[corev1.Node]) bool {
		id := n.Value.Status.NodeInfo.MachineID
		return n.Name == h.Node && (id == "" || h.System.MachineID == "" || id == h.System.MachineID)
	})
}

// leadsTo reports whether one of a node's kubeconfigs names a server.
func leadsTo(h *evidence.Host, server string) bool {
	want, err := url.Parse(server)
	if err != nil {
		return false
	}
	for _, k := range h.Kubeconfigs {
		for _, c := range k.Clusters {
			if u, err := url.Parse(c.Server); err == nil && u.Host == want.Host {
				return true
			}
		}
	}
	return false
}

// warnApart says that nodes are judged without the cluster that was read beside them.
func warnApart(look *evidence.Snapshot, clusters []*evidence.Snapshot) {
	if len(clusters) == 0 {
		return
	}
	for _, h := range look.Hosts {
		if h.Source == nil {
			continue
		}
		h.Source.Warnings = append(h.Source.Warnings, evidence.Issue{
			Reason: fmt.Sprintf("no cluster that was read has a node %s, or more than one has: it is judged by itself (--host-name gives it another name)", h.Node),
		})
	}
}
