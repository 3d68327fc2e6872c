package checks

import (
	"fmt"
	"strings"

	nodev1 "k8s.io/api/node/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SandboxRuntime reports workloads that the user does not trust and that share
// the node's kernel all the same.
//
// Guide: hardening container environments. Only the user can say which
// workloads are risky; without that nothing is judged.
var SandboxRuntime = &check.Check{
	ID:             "sandbox-runtime",
	Title:          "untrusted workload without a sandbox",
	Doc:            sandboxRuntimeDoc,
	Recommendation: "ENV-01",
	Severity:       guide.Medium,
	Remedy:         "name a RuntimeClass with a sandbox or a virtual machine in runtimeClassName",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.RuntimeClasses},
	Leaves:         check.Rest{What: "whether the nodes have the runtime of the sandbox", To: []guide.Evidence{guide.Cluster, guide.Host}},
	Run:            sandboxRuntime,
}

const sandboxRuntimeDoc = `Ordinary containers share the kernel of their node, and one flaw in it is a way out.
Workloads of little trust, or of much worth, can run in a sandbox (gVisor) or in
a virtual machine of their own (Kata Containers, Firecracker, Hyper-V).

Which workloads are risky is for you to say: the setting workloads.untrusted has
labels that their pods carry. Without it the row is not evaluated. A pod that
carries them all has to name a RuntimeClass whose handler is one of the known
sandboxes. A RuntimeClass that is not among what was given cannot be judged.
Whether the nodes have the runtime is not seen.

    apiVersion: node.k8s.io/v1
    kind: RuntimeClass
    metadata: {name: sandboxed}
    handler: runsc
    ---
    spec:
      runtimeClassName: sandboxed
`

// sandboxes are words in the names of handlers that isolate more than namespaces do.
var sandboxes = []string{"gvisor", "runsc", "kata", "firecracker", "hypervisor", "urunc", "quark"}

func sandboxRuntime(r *check.Run) {
	if len(r.Settings.UntrustedSelector) == 0 {
		r.Unknown("", "which workloads are risky: none are declared (workloads.untrusted in .gabion.yaml)")
		return
	}
	handlers := map[string]*nodev1.RuntimeClass{}
	for _, rc := range r.RuntimeClasses {
		handlers[rc.Name] = rc.Value
	}
	for _, w := range r.Workloads {
		if selects(r.Settings.UntrustedSelector, w.PodLabels) {
			judgeRuntime(r, w, handlers)
		}
	}
}

func judgeRuntime(r *check.Run, w *evidence.Workload, classes map[string]*nodev1.RuntimeClass) {
	at := w.PodPath.Field("runtimeClassName")
	if w.Pod.RuntimeClassName == nil || *w.Pod.RuntimeClassName == "" {
		settle(r, w, []check.Problem{{
			Path:    at,
			Message: "the pod is declared untrusted and shares the node's kernel: it names no RuntimeClass",
		}})
		return
	}
	name := *w.Pod.RuntimeClassName
	class := classes[name]
	if class == nil {
		r.Unknown(w.Ref.String(), fmt.Sprintf("RuntimeClass %q is not among what was given", name))
		return
	}
	var problems []check.Problem
	if !sandboxed(class.Handler) {
		problems = []check.Problem{{
			Path:    at,
			Value:   name,
			Message: fmt.Sprintf("the pod is declared untrusted, and the handler %q of its RuntimeClass %q is not a known sandbox", class.Handler, name),
		}}
	}
	r.JudgeWorkload(w, problems)
}

func sandboxed(handler string) bool {
	handler = strings.ToLower(handler)
	for _, word := range sandboxes {
		if strings.Contains(handler, word) {
			return true
		}
	}
	return false
}

// selects reports whether labels carry all of a selector.
func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}
