//go:build cluster

// Command up starts a control plane of the tests' own, says how it is reached, and
// keeps it until it is interrupted: to try things by hand.
//
//	go run -tags cluster ./test/cluster/up -pods 500
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/gabion-k8s/gabion/test/cluster"
)

func main() {
	pods := flag.Int("pods", 0, "pods to fill it with, in a tenth as many namespaces")
	dir := flag.String("dir", "", "folder for its files (default: one of its own, removed at the end)")
	flag.Parse()
	if err := up(*dir, *pods); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func up(dir string, pods int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "gabion-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	c, err := cluster.Launch(ctx, dir, cluster.Options{})
	if err != nil {
		return err
	}
	defer c.Stop()
	if pods > 0 {
		if err := c.Load(ctx, cluster.Load{Namespaces: pods/10 + 1, Pods: pods, Bindings: pods / 4}); err != nil {
			return err
		}
	}
	fmt.Printf("export KUBECONFIG=%s\n", c.Kubeconfig)
	<-ctx.Done()
	return nil
}
