package podsecurity

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/pod-security-admission/api"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// alike are running pods that a level refuses for the same reasons.
type alike struct {
	name  string // of the first of them
	count int
}

// warnings foretells what the API server answers when the next level is enforced: a
// line for the namespace and one for each set of reasons, sorted. It answers so for up
// to 3000 pods and for a second; pods that have ended it counts, too, and they are not
// known here.
func (j *judge) warnings(n *Namespace) []string {
	if n.Next == "" {
		return nil
	}
	pods := n.pods()
	groups := map[string]*alike{}
	for _, b := range n.Blockers {
		count := pods[b.Workload]
		if count <= 0 {
			continue
		}
		result := j.verdict(n.Next, b.Workload)
		reason, name := result.ForbiddenReason(), podName(b.Workload)
		if g := groups[reason]; g == nil {
			groups[reason] = &alike{name, count}
		} else {
			g.name, g.count = min(g.name, name), g.count+count
		}
	}
	if len(groups) == 0 {
		return nil
	}
	var lines []string
	for reason, g := range groups {
		switch g.count {
		case 1:
			lines = append(lines, fmt.Sprintf("%s: %s", g.name, reason))
		case 2:
			lines = append(lines, fmt.Sprintf("%s (and 1 other pod): %s", g.name, reason))
		default:
			lines = append(lines, fmt.Sprintf("%s (and %d other pods): %s", g.name, g.count-1, reason))
		}
	}
	slices.Sort(lines)
	level := api.LevelVersion{Level: n.Next, Version: j.version}
	return append([]string{fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", n.Name, level.String())}, lines...)
}

// podName is the name of a workload's pod, or how it begins: of pods that are alike
// the evidence keeps no names.
func podName(w *evidence.Workload) string {
	switch {
	case w.Kind == "Pod" && w.Instance == "":
		return w.Name
	case w.Instance != "" && !strings.Contains(w.Instance, " "):
		return w.Instance
	}
	return w.Name + "-*"
}
