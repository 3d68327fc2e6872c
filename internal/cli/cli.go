// Package cli is the command line: one file per command, flags to options,
// results to formats, errors to exit codes. It judges nothing itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes of CONTRACT §3.
const (
	ExitClean      = 0 // judged, and nothing at or above --fail-on
	ExitFindings   = 1 // findings at or above --fail-on
	ExitUsage      = 2 // wrong usage or configuration; nothing was judged
	ExitIncomplete = 3 // no such findings, but something could not be read
	ExitFault      = 4 // a fault of Gabion itself
)

// Env is what a command has of the world, so that tests can give it another.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Dir is the working folder.
	Dir string
	Now func() time.Time
	// Terminal reports whether a stream is a terminal, and how many columns it has.
	Terminal func(stream any) (columns int, ok bool)
}

// exit is an error that only carries an exit code: everything has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a mistake in the command line or the configuration.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs the command line and returns the exit code. args[0] is the name the
// program was started under.
func Main(ctx context.Context, args []string, env Env) (code int) {
	name := programName(args[0])
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(env.Stderr, "%s: a fault of the program itself: %v\n%s", name, r, debug.Stack())
			code = ExitFault
		}
	}()
	root := newRoot(name, env)
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var status exit
	switch {
	case err == nil:
		return ExitClean
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, new(usageError)):
		fmt.Fprintf(env.Stderr, "%s: error: %v\n", name, err)
		return ExitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(env.Stderr, "%s: interrupted\n", name)
		return ExitFault
	}
	fmt.Fprintf(env.Stderr, "%s: error: %v\n", name, err)
	return ExitFault
}

// programName is how people call the program: a kubectl plugin is called
// through kubectl.
func programName(arg0 string) string {
	base := strings.TrimSuffix(filepath.Base(arg0), ".exe")
	if rest, ok := strings.CutPrefix(base, "kubectl-"); ok {
		return "kubectl " + strings.ReplaceAll(rest, "_", "-")
	}
	return "gabion"
}

func newRoot(name string, env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "gabion",
		Short: "Answer every recommendation of the NSA/CISA Kubernetes Hardening Guide",
		Long: `Gabion answers every recommendation of the NSA/CISA Kubernetes Hardening Guide
for what it is given: pass, fail, not applicable, not evaluated and why, manual,
excepted. What it could not look at is never a pass.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Args:              wrongArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(newScan(env), newSnapshot(env), newGuide(env), newExplain(env), newRules(env), newRBAC(env), newNetwork(env), newDiff(env), newFix(env), newGenerate(env), newServe(env), newVersion(env))
	return root
}

// wrongArgs turns cobra's complaints about arguments into usage errors.
func wrongArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w\nSee '%s --help'", err, cmd.CommandPath())
		}
		return nil
	}
}

// System returns the Env of the running process.
func System() Env {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Dir: dir, Now: time.Now, Terminal: terminal,
	}
}

// Command returns the whole command line, for documentation made from it.
func Command() *cobra.Command { return newRoot("gabion", System()) }
