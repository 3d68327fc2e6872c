package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// sources are where a command gets its evidence from: what all commands that
// judge have in common.
type sources struct {
	paths     []string
	filenames []string
	namespace string
	helm      helm.Options

	cluster        bool
	contexts       []string
	kubeconfig     string
	everywhere     bool // -A
	as             string
	asGroups       []string
	requestTimeout timeout
	noSecrets      bool
	configz        bool

	snapshots []string

	hostRoots []string
	hostName  string
	// cloudConfig is a provider's description of the cluster.
	cloudConfig string
	probe       bool

	quiet, verbose bool
	// program is how the program was called.
	program string
	// keepJSON keeps the objects' JSON, for what reads more than checks do.
	keepJSON bool
	// usage asks a live cluster for measured use and how far autoscalers scale.
	usage bool
}

// pathFlags are how files and snapshots are named.
func (s *sources) pathFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&s.filenames, "filename", "f", nil, "file, folder or - to read; same as PATH, repeatable")
	f.StringArrayVar(&s.snapshots, "snapshot", nil, "snapshot of a cluster or of files to read, repeatable")
}

// clusterFlags are kubectl's own.
func (s *sources) clusterFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.cluster, "cluster", false, "read the live cluster of the kubeconfig, or the one this runs in")
	f.StringVarP(&s.namespace, "namespace", "n", "", "files: namespace of objects that name none, and of charts; clusters: read this namespace only")
	f.BoolVarP(&s.everywhere, "all-namespaces", "A", false, "clusters: read all namespaces (the default)")
	f.StringArrayVar(&s.contexts, "context", nil, "context of the kubeconfig to use, repeatable: several clusters in one run")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, then ~/.kube/config)")
	f.StringVar(&s.as, "as", "", "act as this user")
	f.StringArrayVar(&s.asGroups, "as-group", nil, "act as this group, repeatable")
	s.requestTimeout = timeout(live.DefaultRequestTimeout)
	f.Var(&s.requestTimeout, "request-timeout", "longest wait for one answer of the API server")
	f.BoolVar(&s.noSecrets, "no-secrets", false, "do not list the Secrets, not even without their values")
	f.BoolVar(&s.configz, "configz", false, "ask each kubelet for its configuration, through the API server; takes get on nodes/proxy, a powerful right")
}

// A timeout is a flag's value; as kubectl's, one without a unit is in seconds.
type timeout time.Duration

func (t *timeout) Set(text string) error {
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("want a time of more than 0, such as 30s")
	}
	*t = timeout(d)
	return nil
}

func (t *timeout) String() string { return time.Duration(*t).String() }

func (*timeout) Type() string { return "duration" }

// chartFlags are Helm's own.
func (s *sources) chartFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.helm.ValuesFiles, "values", nil, "charts: values file, repeatable")
	f.StringArrayVar(&s.helm.Set, "set", nil, "charts: value, as helm's --set")
	f.StringArrayVar(&s.helm.SetString, "set-string", nil, "charts: string value, as helm's --set-string")
	f.StringArrayVar(&s.helm.SetFile, "set-file", nil, "charts: value from a file, as helm's --set-file")
	f.StringVar(&s.helm.ReleaseName, "release-name", "", "charts: name of the release")
	f.StringVar(&s.helm.KubeVersion, "kube-version", "", "charts: Kubernetes version that templates see (default: that of --kubernetes-version)")
	f.StringSliceVar(&s.helm.APIVersions, "api-versions", nil, "charts: API versions that templates see")
}

// voiceFlags say how much is told on the way.
func (s *sources) voiceFlags(f *pflag.FlagSet) {
	f.BoolVarP(&s.quiet, "quiet", "q", false, "no progress on standard error")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "say on standard error what is read")
}

// complete settles what the flags leave open. A kubectl plugin that is told
// nothing else means the cluster, and so does a flag that only clusters have.
func (s *sources) complete(cmd *cobra.Command, args []string) error {
	s.paths = slices.Concat(args, s.filenames)
	s.program = cmd.Root().DisplayName()
	s.contexts = distinct(s.contexts)
	s.hostRoots = distinct(s.hostRoots)
	for _, name := range []string{"context", "kubeconfig", "all-namespaces", "as", "as-group", "no-secrets", "configz"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			s.cluster = true
		}
	}
	others := len(s.snapshots) + len(s.hostRoots)
	if len(s.paths)+others == 0 && isPlugin(cmd) {
		s.cluster = true
	}
	switch {
	case s.hostName != "" && len(s.hostRoots) != 1:
		return usagef("--host-name %s: needs one --host-root", s.hostName)
	case !s.cluster && len(s.paths)+others == 0:
		return usagef("nothing to read: name a file, a folder, a chart, - for standard input, --cluster for a live cluster, or --host-root for a node\nFor example: gabion %s deploy/", relativePath(cmd))
	case s.everywhere && s.namespace != "":
		return usagef("--all-namespaces and --namespace %s: give one of them", s.namespace)
	case len(s.asGroups) > 0 && s.as == "":
		return usagef("--as-group: needs --as, as the API server does")
	}
	return nil
}

// distinct keeps the first of equal strings.
func distinct(list []string) (kept []string) {
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

func isPlugin(cmd *cobra.Command) bool {
	return strings.HasPrefix(cmd.Root().DisplayName(), "kubectl ")
}

// relativePath is the command without the program's name.
func relativePath(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().DisplayName()+" ")
}

// gather reads all sources. Each live cluster, and each that a snapshot is of, is
// a world of its own, and so are the files.
func (s *sources) gather(ctx context.Context, env Env) ([]*evidence.Snapshot, error) {
	watch := newProgress(env, s.quiet, s.verbose)
	defer watch.stop()
	clients, err := s.connect(watch)
	if err != nil {
		return nil, err
	}
	for _, file := range s.paths {
		if isSnapshot(ctx, file) {
			return nil, usagef("%s is a snapshot: give it as --snapshot %s", file, file)
		}
	}
	var worlds []*evidence.Snapshot
	if len(s.paths) > 0 {
		world, err := s.readFiles(ctx, env, watch)
		if err != nil {
			return nil, err
		}
		worlds = append(worlds, world)
	}
	for _, c := range clients {
		world, err := s.readCluster(ctx, c, s.single())
		if err != nil {
			return nil, err
		}
		worlds = append(worlds, world)
	}
	for _, file := range s.snapshots {
		stored, err := s.readSnapshot(ctx, file, watch)
		if err != nil {
			return nil, err
		}
		worlds = append(worlds, stored...)
	}
	nodes, err := s.readHosts(ctx, env, watch)
	if err != nil {
		return nil, err
	}
	worlds = joinHosts(append(worlds, nodes...))
	if err := s.recognise(worlds); err != nil {
		return nil, err
	}
	if s.probe {
		tryAddresses(ctx, worlds, watch)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	nameApart(worlds)
	for _, w := range worlds {
		w.Sort()
	}
	return worlds, nil
}

// connect finds the clusters that were asked for, and asks nothing of them yet.
func (s *sources) connect(watch *progress) ([]*live.Client, error) {
	if !s.cluster {
		return nil, nil
	}
	contexts := s.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	var clients []*live.Client
	for _, name := range contexts {
		o := live.Options{
			Kubeconfig: s.kubeconfig, Context: name, As: s.as, AsGroups: s.asGroups,
			RequestTimeout: time.Duration(s.requestTimeout), NoSecrets: s.noSecrets, Configz: s.configz, Usage: s.usage, UserAgent: "gabion/" + tool().Version,
		}
		if s.namespace != "" {
			o.Namespaces = []string{s.namespace}
		}
		if watch != nil {
			o.Progress = watch.say
		}
		c, err := live.Connect(o)
		if err != nil {
			return nil, usageError{err}
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// readCluster reads a live cluster, which may be the only one.
func (s *sources) readCluster(ctx context.Context, c *live.Client, only bool) (*evidence.Snapshot, error) {
	world := &evidence.Snapshot{}
	var b *cluster.Builder
	err := look(ctx, c, only, func(about *evidence.Cluster) (cluster.Sink, error) {
		b = cluster.NewBuilder(world, about)
		b.KeepJSON = s.keepJSON
		return b, nil
	})
	if err != nil {
		return nil, err
	}
	b.Finish()
	return world, nil
}

// single reports whether nothing is read but one live cluster.
func (s *sources) single() bool {
	return len(s.contexts) < 2 && len(s.paths)+len(s.snapshots)+len(s.hostRoots) == 0
}

// look hands a cluster to a Sink that is opened for it. Of several clusters, one that
// does not answer, or has not the namespace that was asked for, is one with a gap
// for everything; the only one is an error.
func look(ctx context.Context, c *live.Client, only bool, open func(*evidence.Cluster) (cluster.Sink, error)) error {
	about, why := c.Cluster(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case why != nil && only:
		return usageError{why}
	}
	to, err := open(about)
	if err != nil {
		return err
	}
	if why == nil {
		why = c.Collect(ctx, to)
		switch missing := errors.Is(why, live.ErrNoNamespace); {
		case why == nil:
			return nil
		case missing && only:
			return usageError{why}
		case !missing:
			return why
		}
	}
	to.Gap(evidence.Gap{Reason: why.Error()})
	return nil
}

// isSnapshot reports whether a file begins as a snapshot does.
func isSnapshot(ctx context.Context, file string) bool {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	_, header, _ := snapshot.Load(ctx, io.LimitReader(f, 4<<10), snapshot.Options{})
	return header.Kind != ""
}

func (s *sources) readSnapshot(ctx context.Context, file string, watch *progress) ([]*evidence.Snapshot, error) {
	if watch != nil {
		watch.say(file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	worlds, _, err := snapshot.Load(ctx, f, snapshot.Options{KeepJSON: s.keepJSON})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, usagef("%s: %w", file, err)
	}
	return worlds, nil
}

// nameApart gives clusters of the same name names that tell them apart: everybody
// has a context named admin. What differs is put behind the name: the address, else
// the cluster itself, else when it was looked at.
func nameApart(worlds []*evidence.Snapshot) {
	named := map[string][]*evidence.Snapshot{}
	for _, w := range worlds {
		if w.Cluster != nil {
			named[w.Cluster.Name] = append(named[w.Cluster.Name], w)
		}
	}
	marks := []func(*evidence.Cluster) string{
		func(c *evidence.Cluster) string { return strings.TrimPrefix(c.Server, "https://") },
		func(c *evidence.Cluster) string { return c.UID },
		func(c *evidence.Cluster) string { return c.CollectedAt.UTC().Format("2006-01-02 15:04:05 MST") },
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		same := named[name]
		if len(same) == 1 {
			continue
		}
		i := slices.IndexFunc(marks, func(mark func(*evidence.Cluster) string) bool {
			seen := map[string]bool{"": true}
			return !slices.ContainsFunc(same, func(w *evidence.Snapshot) bool {
				taken := seen[mark(w.Cluster)]
				seen[mark(w.Cluster)] = true
				return taken
			})
		})
		for n, w := range same {
			mark := fmt.Sprint("#", n+1)
			if i >= 0 {
				mark = marks[i](w.Cluster)
			}
			rename(w, fmt.Sprintf("%s (%s)", name, mark))
		}
	}
}

// rename gives a cluster another name, in its source as well.
func rename(w *evidence.Snapshot, name string) {
	w.Cluster.Name = name
	for _, s := range w.Sources {
		if s.Cluster != nil {
			s.Cluster.Name, s.Ref = name, name
		}
	}
}

func (s *sources) readFiles(ctx context.Context, env Env, watch *progress) (*evidence.Snapshot, error) {
	read := files.Options{
		Paths: s.paths, Stdin: env.Stdin, Helm: s.helm,
		Manifest: manifest.Options{Namespace: s.namespace, KeepJSON: s.keepJSON},
	}
	read.Helm.Namespace = s.namespace
	if watch != nil {
		read.Progress = watch.say
	}
	world := &evidence.Snapshot{}
	err := files.Read(ctx, world, read)
	if errors.Is(err, files.ErrNothing) {
		return nil, usageError{err}
	}
	return world, err
}
