package checks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NetworkPlugin reports clusters whose network plugin is known to ignore network
// policies (guide: Network policies).
var NetworkPlugin = &check.Check{
	ID:             "network-plugin",
	Title:          "network plugin enforces no network policies",
	Recommendation: "NET-01",
	Severity:       guide.High,
	Remedy:         "use a network plugin that enforces policies, or add an engine that does",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.ConfigMaps},
	Leaves:         attempt,
	Live:           "which network plugin runs",
	Alone:          true,
	Doc: `The API server stores NetworkPolicies whether or not anything enforces them. With a
plugin that does not, every policy is a comfort without effect.

Looked at are the DaemonSets of the cluster. Calico, Canal, Cilium, Antrea, Kube-OVN,
OVN-Kubernetes, kube-router, Weave Net, Azure's and Google's, and the engine
kube-network-policies are known to enforce policies; Amazon's plugin does when its
agent is told to, and Cilium does not when its policies are set to never. Flannel alone
does not. With any other plugin, and with one that is no DaemonSet, as in K3s, nothing
is said. That policies hold is proved only by a connection that one forbids.

    kubectl get daemonsets -A
`,
	Run: networkPlugin,
}

// policyEnforcers are what is known to enforce NetworkPolicies: names of
// DaemonSets, and of images by the last part or the last two of the repository.
var policyEnforcers = map[string]bool{
	"calico-node": true, "calico/node": true, "mirrored-calico-node": true, "hardened-calico": true, "canal": true,
	"cilium": true, "cilium/cilium": true, "mirrored-cilium-cilium": true, "anetd": true,
	"antrea-agent": true, "antrea-agent-ubuntu": true, "antrea-agent-ubi": true,
	"kube-ovn-cni": true, "kube-ovn": true, "ovnkube-node": true, "kube-router": true, "weave-npc": true,
	"azure-npm": true, "kube-network-policies": true,
}

const awsPolicyAgent = "aws-network-policy-agent"

func networkPlugin(r *check.Run) {
	var without []*evidence.Workload
	enforced := false
	for _, w := range r.Workloads {
		if w.Kind != "DaemonSet" || w.Template != nil {
			continue
		}
		switch enforces, known := enforcesPolicies(w); {
		case known && enforces:
			enforced = true
			r.Judge(w.Ref, nil)
		case known:
			without = append(without, w)
		}
	}
	if never := neverEnforced(r); never || enforced {
		return
	}
	complete, why := r.Complete(evidence.Workloads, "")
	switch {
	case strings.Contains(r.Cluster.Version, "+k3s"):
		r.Unknown("", "K3s enforces network policies itself unless a flag of the server switches that off")
	case !complete:
		r.Unknown("", why)
	case len(without) == 0:
		r.Unknown("", "no network plugin was recognised among the DaemonSets")
	default:
		for _, w := range without {
			r.Judge(w.Ref, []check.Problem{{
				Path:    evidence.NewPath("metadata", "name"),
				Value:   w.Name,
				Message: fmt.Sprintf("%s %q provides the pod network and enforces no network policies, and nothing else that is known to does", w.Kind, w.Name),
			}})
		}
	}
}

// enforcesPolicies says of a network plugin whether it enforces policies; known is
// false for any other DaemonSet, and for plugins of which that cannot be told.
func enforcesPolicies(w *evidence.Workload) (enforces, known bool) {
	if policyEnforcers[w.Name] || runsImage(w, policyEnforcers) {
		return true, true
	}
	if w.Name == "aws-node" || runsImage(w, map[string]bool{awsPolicyAgent: true}) {
		for c := range w.Containers() {
			if last, _ := imageNames(c.Image); last == awsPolicyAgent {
				return slices.Contains(c.Args, "--enable-network-policy=true"), true
			}
		}
		return false, true
	}
	if strings.HasPrefix(w.Name, "kube-flannel") || runsImage(w, map[string]bool{"flannel": true, "mirrored-flannel": true}) {
		return false, true
	}
	return false, false
}

// neverEnforced judges Cilium's setting that switches policies off, and reports
// whether it does.
func neverEnforced(r *check.Run) (off bool) {
	for _, c := range r.ConfigMaps {
		if c.Name == "cilium-config" && c.Value.Data["enable-policy"] == "never" {
			off = true
			r.Judge(c.Ref, []check.Problem{{
				Path: evidence.NewPath("data", "enable-policy"), Value: "never",
				Message: "Cilium is set to enforce no network policies (enable-policy: never)",
				Remedy:  "set enable-policy to default or always",
			}})
		}
	}
	return off
}
