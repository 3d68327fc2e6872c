// Command gabion answers every recommendation of the NSA/CISA Kubernetes
// Hardening Guide. See the package internal/cli for its commands.
package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/gabion-k8s/gabion/internal/cli"
)

func main() {
	// Libraries log of their own accord; what there is to say is in the report.
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args, cli.System())
	stop()
	os.Exit(code)
}
