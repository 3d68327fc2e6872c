package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

func newDiff(env Env) *cobra.Command {
	var format, fail string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "New, fixed and unchanged findings between two JSON reports",
		Long: `Compare two reports that scan -o json wrote. The same fault of the same object
has the same id in both, wherever it stands by now.

The exit code is 1 when there are new findings at or above --fail-on.`,
		Args: wrongArgs(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			least, err := failOn(fail, "")
			if err != nil {
				return usageError{err}
			}
			before, err := loadReport(args[0])
			if err != nil {
				return usageError{err}
			}
			after, err := loadReport(args[1])
			if err != nil {
				return usageError{err}
			}
			d := report.Compare(before, after)
			if err := printDiff(env.Stdout, format, d); err != nil {
				return err
			}
			return diffVerdict(d, least)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table, markdown or json")
	cmd.Flags().StringVar(&fail, "fail-on", "", "least severity of a new finding that makes the exit code 1 (default medium)")
	return cmd
}

func diffVerdict(d *report.Diff, least guide.Severity) error {
	for _, f := range d.New {
		if least != 0 && f.Severity >= least {
			return exit(ExitFindings)
		}
	}
	return nil
}

func printDiff(w io.Writer, format string, d *report.Diff) error {
	switch format {
	case "json":
		return report.WriteDiffJSON(w, d)
	case "table":
		return report.WriteDiffTable(w, d)
	case "markdown":
		return report.WriteDiffMarkdown(w, d)
	}
	return usagef("--output %q: want table, markdown or json", format)
}

func loadReport(file string) (*report.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := report.Load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}
