package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// Version is the release. It is set here and nowhere else; the commit comes from
// the build information.
const Version = "0.1.0-dev"

// versionInfo is what `version -o json` prints.
type versionInfo struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Commit     string `json:"commit,omitempty"`
	Modified   bool   `json:"modified,omitempty"`
	Guide      string `json:"guide"`
	Kubernetes string `json:"kubernetes"` // the newest release whose rules are known
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

func currentVersion() versionInfo {
	v := versionInfo{
		Name: "gabion", Version: Version, Guide: guide.Title, Kubernetes: evidence.Newest().String(),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return v
}

func tool() report.Tool {
	return report.Tool{Name: "gabion", Version: "v" + Version, Guide: guide.Title}
}

func newVersion(env Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := currentVersion()
			switch format {
			case "":
				fmt.Fprintf(env.Stdout, "gabion v%s (%s; rules up to Kubernetes %s)\n", v.Version, v.Guide, v.Kubernetes)
				return nil
			case "json":
				enc := json.NewEncoder(env.Stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(v)
			}
			return usagef("--output %q: want json", format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "", "json")
	return cmd
}
