package checks_test

import (
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// onNode runs a check over one node, and what objects there are besides.
func onNode(c *check.Check, snap *evidence.Snapshot, h *evidence.Host) *check.Run {
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: h.Node, Source: &evidence.Source{}}, h)
	return checktest.JudgeNode(c, check.NewScan(snap, check.Settings{Version: evidence.Newest()}))
}

// The files of a tree do not tell how large its file systems are.
func TestLogSpace(t *testing.T) {
	const gigabyte = 1 << 30
	root := evidence.FileSystem{Path: "/", Size: 20 * gigabyte, Free: 8 * gigabyte}
	logs := evidence.FileSystem{Path: "/var/log", Size: 4 * gigabyte, Free: gigabyte}
	for _, test := range []struct {
		name             string
		disks            []evidence.FileSystem
		backups, journal string
		written          int64
		problems         int
	}{
		{"fits", []evidence.FileSystem{root}, "50", "2G", 0, 0},
		{"one file too many", []evidence.FileSystem{root}, "81", "2G", 0, 1},
		{"but for what is there", []evidence.FileSystem{root}, "81", "2G", 100 << 20, 0},
		{"the disk of the folder", []evidence.FileSystem{root, logs}, "20", "2G", 0, 1},
		{"whatever the order", []evidence.FileSystem{logs, root}, "20", "2G", 0, 1},
		{"another disk of a like name", []evidence.FileSystem{root, {Path: "/var/lo", Size: 1, Free: 1}}, "20", "", 0, 0},
		{"journal", []evidence.FileSystem{root}, "20", "20G", 0, 0},
		{"journal larger than the disk", []evidence.FileSystem{root}, "20", "20481M", 0, 1},
		{"both", []evidence.FileSystem{root, logs}, "20", "5G", 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &evidence.Host{
				Node: "cp-1",
				Components: []*evidence.Component{{Name: evidence.APIServer, Flags: []evidence.Flag{
					{Name: "audit-policy-file", Value: "/etc/kubernetes/policy.yaml"},
					{Name: "audit-log-path", Value: "/var/log/audit.log"},
					{Name: "audit-log-maxbackup", Value: test.backups},
				}}},
				Files:  map[string]*evidence.File{"/var/log/audit-2026-09-01.log": {Path: "/var/log/audit-2026-09-01.log", Size: test.written}},
				System: evidence.System{FileSystems: test.disks},
				Logging: evidence.Logging{Journald: map[string]evidence.Setting{
					"SystemMaxUse": {Value: test.journal},
				}},
			}
			run := onNode(checks.LogSpace, &evidence.Snapshot{}, h)
			if len(run.Failures) != test.problems || len(run.Unknowns) > 0 {
				t.Errorf("%d problems, want %d: %+v; unknown: %v", len(run.Failures), test.problems, run.Failures, run.Unknowns)
			}
		})
	}
}

// An agent in a DaemonSet that sees the node's journal sends its system log; whether it
// runs on the node is for the Node and the DaemonSet to say.
func TestSystemLogByDaemonSet(t *testing.T) {
	const cluster = `# cluster: {"version": "v1.36.3"}
apiVersion: v1
kind: Node
metadata: {name: cp-1}
spec:
  taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: logs, namespace: logging}
spec:
  selector: {matchLabels: {app: logs}}
  template:
    metadata: {labels: {app: logs}}
    spec:
      containers:
        - {name: agent, image: IMAGE}
      TOLERATIONS
      volumes:
        - {name: log, hostPath: {path: /var/log}}
`
	const tolerations = "tolerations: [{operator: Exists}]"
	for _, test := range []struct {
		name, image, tolerations string
		problems, unknowns       int
	}{
		{"runs on the node", "fluent/fluent-bit:4.0", tolerations, 0, 0},
		{"is kept off by the taint", "fluent/fluent-bit:4.0", "", 1, 0},
		{"is not known", "registry.example.com/shipper:1", tolerations, 0, 1},
		{"is not known and not there", "registry.example.com/shipper:1", "", 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := cluster
			for _, r := range [][2]string{{"IMAGE", test.image}, {"TOLERATIONS", test.tolerations}} {
				text = replaceOnce(t, text, r[0], r[1])
			}
			h := &evidence.Host{Node: "cp-1", Roles: []evidence.Role{evidence.ControlPlane}}
			run := onNode(checks.SystemLogForwarded, checktest.Load(t, "logs.yaml", text), h)
			if len(run.Failures) != test.problems || len(run.Unknowns) != test.unknowns {
				t.Errorf("%d problems, %d unknown, want %d and %d: %+v %v", len(run.Failures), len(run.Unknowns), test.problems, test.unknowns, run.Failures, run.Unknowns)
			}
		})
	}
}

// A node that runs a log agent as a service needs no DaemonSet.
func TestLogAgentOfTheNode(t *testing.T) {
	const cluster = `# cluster: {"version": "v1.36.3"}
apiVersion: v1
kind: Node
metadata: {name: cp-1}
---
apiVersion: v1
kind: Node
metadata: {name: worker-1}
`
	for name, want := range map[string][2]int{"vector": {1, 0}, "rsyslog": {0, 1}} { // worker-1 has none; rsyslog reads no containers' logs
		h := &evidence.Host{Node: "cp-1", Logging: evidence.Logging{Daemons: []evidence.LogDaemon{
			{Name: name, Running: true, Outputs: []evidence.LogOutput{{Target: "logs.example.com:6000"}}},
		}}}
		run := onNode(checks.LogAgentNodes, checktest.Load(t, "nodes.yaml", cluster), h)
		if len(run.Failures) != want[0] || len(run.Unknowns) != want[1] {
			t.Errorf("%s: %d problems, %d unknown, want %v: %+v %v", name, len(run.Failures), len(run.Unknowns), want, run.Failures, run.Unknowns)
		}
	}
}

func replaceOnce(t *testing.T, text, old, with string) string {
	t.Helper()
	before, after, ok := strings.Cut(text, old)
	if !ok || strings.Contains(after, old) {
		t.Fatalf("%q is not there once", old)
	}
	return before + with + after
}
