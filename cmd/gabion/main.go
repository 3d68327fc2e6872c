// Command gabion answers every recommendation of the NSA/CISA Kubernetes
// Hardening Guide. See the package internal/cli for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gabion-k8s/gabion/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args, cli.System())
	stop()
	os.Exit(code)
}
