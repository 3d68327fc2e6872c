package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cloud"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

type snapshotOptions struct {
	sources
	file string
}

func newSnapshot(env Env) *cobra.Command {
	var o snapshotOptions
	cmd := &cobra.Command{
		Use:   "snapshot [PATH...] [--cluster] [--host-root DIR] --output-file FILE",
		Short: "Collect evidence into one file that can be judged later, elsewhere",
		Long: `Collect what a scan would read, judge nothing, and put it into one file. Judged
later and elsewhere by gabion scan --snapshot, it gives the same findings and the
same answers, gaps and all.

The file is gzip over lines of JSON. It holds who collected it, when, from where,
and what could not be seen; no value of a Secret is in it, and none was asked for.
ConfigMaps and the environment of containers are in it as they stand: keep it as
you would keep them. It is written with mode 0600.

Exit codes: 0 when all was read, 2 for wrong usage, 3 when something could not be
read: the file says what, and so does a scan of it.`,
		Example: `  gabion snapshot --cluster --output-file prod.snap
  gabion snapshot --context east --context west --output-file fleet.snap
  gabion snapshot --host-root / --output-file node1.snap
  gabion snapshot deploy/ --output-file deploy.snap
  gabion scan --snapshot prod.snap --snapshot node1.snap`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			return runSnapshot(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.file, "output-file", "", "file to write; required")
	f.StringArrayVarP(&o.filenames, "filename", "f", nil, "file, folder or - to read; same as PATH, repeatable")
	o.clusterFlags(f)
	f.BoolVar(&o.usage, "usage", false, "collect what containers use, where the cluster serves metrics, and how far autoscalers scale: what gabion generate limitrange and resourcequota go by; takes list on pods in the group metrics.k8s.io")
	o.hostFlags(f)
	o.cloudFlags(f)
	o.chartFlags(f)
	o.voiceFlags(f)
	return cmd
}

func runSnapshot(ctx context.Context, env Env, o snapshotOptions) error {
	if o.file == "" {
		return usagef("no file to write: name one with --output-file FILE")
	}
	watch := newProgress(env, o.quiet, o.verbose)
	defer watch.stop()
	clients, err := o.connect(watch)
	if err != nil {
		return err
	}
	var managed *evidence.Managed
	if o.cloudConfig != "" {
		provider, config, err := o.described()
		switch {
		case err != nil:
			return err
		case len(clients) != 1:
			return usagef("--cloud-config %s: describes one cluster, and %d are read", o.cloudConfig, len(clients))
		}
		managed = cloud.Given(provider, config)
	}
	complete := true
	err = writePrivate(o.file, func(to io.Writer) error {
		w := snapshot.NewWriter(to, tool().Version, env.Now())
		if len(o.paths) > 0 {
			o.keepJSON = true
			world, err := o.readFiles(ctx, env, watch)
			if err != nil {
				return err
			}
			world.Sort()
			complete = complete && len(world.Gaps) == 0
			if err := w.Files(world); err != nil {
				return err
			}
		}
		nodes, err := o.readHosts(ctx, env, watch)
		if err != nil {
			return err
		}
		for _, world := range nodes {
			world.Sort()
			complete = complete && len(world.Gaps) == 0
			if err := w.Files(world); err != nil {
				return err
			}
		}
		for _, c := range clients {
			whole, err := collect(ctx, c, o.single(), w, managed)
			if err != nil {
				return err
			}
			complete = complete && whole
		}
		return w.Close()
	})
	switch {
	case err != nil:
		return err
	case !complete:
		return exit(ExitIncomplete)
	}
	return nil
}

// collect writes what a cluster has, as it comes, and reports whether all of it
// could be read.
func collect(ctx context.Context, c *live.Client, only bool, w *snapshot.Writer, managed *evidence.Managed) (whole bool, err error) {
	var to *snapshot.Cluster
	var gaps gapCounter
	err = look(ctx, c, only, func(about *evidence.Cluster) (_ cluster.Sink, err error) {
		to, err = w.Cluster(about)
		gaps.Sink = to
		return &gaps, err
	})
	if err != nil {
		return false, err
	}
	if err := to.Around(managed, nil); err != nil {
		return false, err
	}
	return gaps.n == 0, to.Finish()
}

// A gapCounter counts what could not be seen.
type gapCounter struct {
	cluster.Sink
	n int
}

// Gap counts a gap that nobody wanted, and hands it on.
func (c *gapCounter) Gap(g evidence.Gap) {
	if !g.Declined {
		c.n++
	}
	c.Sink.Gap(g)
}

// writePrivate writes a file for its owner alone, whole or not at all. What is no
// regular file, such as a pipe, is written to directly.
func writePrivate(name string, write func(io.Writer) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		to, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return usageError{err}
		}
		return errors.Join(write(to), to.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".gabion-*") // mode 0600
	if err != nil {
		return usagef("write %s: %w", name, reason(err))
	}
	defer os.Remove(tmp.Name())
	err = write(tmp)
	if err := errors.Join(err, tmp.Close()); err != nil {
		if e, ok := errors.AsType[*os.PathError](err); ok && e.Path == tmp.Name() {
			return usagef("write %s: %w", name, e.Err) // no space, mostly
		}
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return usagef("write %s: %w", name, err)
	}
	return nil
}
