package cli_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The collector is run with rights on every node: what it is given beyond need, or goes
// without, is on this list, and nothing else.
func TestCollector(t *testing.T) {
	r := scan(t, "../../examples/collector")
	for _, s := range r.Sources {
		if len(s.Errors)+len(s.Warnings)+len(s.Skipped) > 0 {
			t.Errorf("%s: errors %v, warnings %v, skipped %v", s.Ref, s.Errors, s.Warnings, s.Skipped)
		}
	}
	said := map[string]bool{}
	for _, f := range r.Findings {
		said[f.Rule+" "+f.Object.Kind+" "+f.Object.Container] = true
	}
	want := []string{
		"added-capabilities DaemonSet collect", // DAC_READ_SEARCH: to read what root alone may
		"apparmor-unset DaemonSet collect",     // the runtime's is in force; naming it keeps the pod from nodes without AppArmor
		"apparmor-unset DaemonSet done",
		"host-path DaemonSet ",
		"image-not-pinned DaemonSet collect",
		"image-not-pinned DaemonSet done",
		"limit-range Namespace ", // its only pods have limits
		"namespace-bundle Namespace ",
		"pod-security-labels Namespace ", // of host-path
		"resource-quota Namespace ",
		"run-as-non-root DaemonSet collect",
		"selinux-unset DaemonSet collect",
		"selinux-unset DaemonSet done",
		"user-namespace DaemonSet ", // of another one, root is nobody to the node's files
		"volume-types DaemonSet ",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(said))); diff != "" {
		t.Errorf("findings (-want +got)\n%s", diff)
	}
}
