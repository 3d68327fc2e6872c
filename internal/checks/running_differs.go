package checks

import (
	"maps"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// RunningDiffers reports components that run with other flags than are written for
// them (guide: Control plane hardening).
var RunningDiffers = &check.Check{
	ID:             "running-differs",
	Title:          "component runs with other flags than its manifest or unit gives",
	Recommendation: "CP-08",
	Severity:       guide.Medium,
	Remedy:         "find out who changed the one or the other, and restart the component with what is meant to be",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether what runs is what is configured",
	Doc: `What is written in a static pod's manifest or a unit takes effect when the component is
started. If something else runs, either the change has not arrived, or the file was changed
back behind what runs, or the component was started by hand.

Looked at are components of which both are known: the command line of the process on the one
side, the manifest or unit on the node's disk, or the pod as the API shows it, on the other.
Each flag that has another value, or stands on one side only, is a finding. All other checks
judge what runs.

    systemctl restart kubelet
`,
	Run: eachHost(runningDiffers),
}

func runningDiffers(n *node) {
	compared := false
	if all, why := n.Saw(evidence.TheProcesses); !all && !n.allRun() {
		n.cannot("%s", why)
	}
	for _, c := range n.Components {
		n.onlyOne(c)
		for _, other := range c.Others {
			switch {
			case other.Way == c.Way: // neither is what the other is started by
			case len(c.Flags) == 0 || len(other.Flags) == 0: // one of the ways tells no flags
			case c.Unread != "" || other.Unread != "":
				n.cannot("%s: whether it runs as configured is not known: %s%s", c.Name, c.Unread, other.Unread)
			default:
				compared = true
				n.differences(c, other)
			}
		}
	}
	if !compared {
		n.leaveOut()
	}
}

// allRun reports whether the process of every component was seen.
func (n *node) allRun() bool {
	return len(n.Components) > 0 && !slices.ContainsFunc(n.Components, func(c *evidence.Component) bool {
		return c.Way != evidence.FromProcess || c.Unread != ""
	})
}

func (n *node) differences(c, other *evidence.Component) {
	names := map[string]bool{}
	for _, f := range other.Flags {
		names[f.Name] = true
	}
	// What etcd reads from variables and its own file is among the flags of what runs.
	if c.Name != evidence.Etcd || other.Pod {
		for _, f := range c.Flags {
			names[f.Name] = true
		}
	}
	said := wayWords(other.Way)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		runs, isRunning := c.Flag(name)
		written, isWritten := other.Flag(name)
		switch {
		case isRunning && !isWritten:
			n.say(other.Place, flagPath(c, name), "", "%s runs with --%s=%s, which %s does not have", c.Name, name, runs.Value, said)
		case !isRunning:
			n.say(written.Place, flagPath(c, name), written.Value, "%s runs without --%s, which %s sets to %s", c.Name, name, said, written.Value)
		case runs.Value != written.Value:
			n.say(written.Place, flagPath(c, name), written.Value, "%s runs with --%s=%s, where %s has %s", c.Name, name, runs.Value, said, written.Value)
		}
	}
}

// wayWords say what tells of a component.
func wayWords(w evidence.Way) string {
	switch w {
	case evidence.FromAPI:
		return "the pod that the API shows"
	case evidence.FromFile:
		return "its configuration on disk"
	}
	return "the process"
}
