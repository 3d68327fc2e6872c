package checks

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A row about the control plane does not pass by one node where another may run the
// control plane as well, and it was not seen there.
func TestOneControlPlaneNodeIsNotAll(t *testing.T) {
	flags := []evidence.Flag{{Name: "authorization-mode", Value: "Node,RBAC"}, {Name: "etcd-servers", Value: "https://127.0.0.1:2379"}}
	apiServer := &evidence.Component{Name: evidence.APIServer, Flags: flags}
	controls := []evidence.Role{evidence.ControlPlane}
	works := []evidence.Role{evidence.Worker}
	kubelet := &evidence.Component{Name: evidence.Kubelet}
	for name, test := range map[string]struct {
		host *evidence.Host
		want []string
	}{
		"a worker":                     {&evidence.Host{Root: "/", Roles: works, Components: []*evidence.Component{kubelet}}, nil},
		"the API told of its kubelet":  {&evidence.Host{Components: []*evidence.Component{kubelet}}, nil},
		"nothing tells what it is for": {&evidence.Host{Root: "/b"}, []string{"node b: its kube-apiserver was not seen"}},
		"others of the control plane":  {&evidence.Host{Roles: controls}, []string{"node b: its kube-apiserver was not seen"}},
		"static pods that were not read": {&evidence.Host{Root: "/", Roles: works, Files: map[string]*evidence.File{
			"/etc/kubernetes/manifests": {Error: "permission denied"},
		}}, []string{"node b: its kube-apiserver was not seen"}},
		"kubeconfigs of the control plane": {&evidence.Host{Root: "/", Roles: works, Kubeconfigs: []*evidence.Kubeconfig{
			{Path: "/etc/kubernetes/scheduler.conf"},
		}}, []string{"node b: its kube-apiserver was not seen"}},
	} {
		snap := &evidence.Snapshot{}
		snap.AddHost(&evidence.Host{Node: "a", Root: "/", Roles: controls, Components: []*evidence.Component{apiServer}}, nil)
		test.host.Node = "b"
		snap.AddHost(test.host, nil)
		run := checktest.JudgeNode(AuthorizationMode, check.NewScan(snap, check.Settings{}))
		if diff := cmp.Diff(test.want, checktest.Unknowns(run)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	for _, h := range []*evidence.Host{
		{Components: []*evidence.Component{apiServer}},
		{Root: "/", Roles: works, Kubeconfigs: []*evidence.Kubeconfig{{Path: "/etc/kubernetes/controller-manager.conf"}}},
	} {
		if !mayRun(h, evidence.Etcd) {
			t.Errorf("etcd may be on the node itself: %+v", h)
		}
	}
}

// A second process of the same name, whoever runs it, leaves open which one it is about.
func TestSeveralProcesses(t *testing.T) {
	runs := func(mode, at string) *evidence.Component {
		return &evidence.Component{
			Name: evidence.APIServer, Way: evidence.FromProcess, Place: evidence.Position{File: at},
			Flags: []evidence.Flag{{Name: "authorization-mode", Value: mode}},
		}
	}
	for mode, want := range map[string][]string{
		"Node,RBAC":   nil,
		"AlwaysAllow": {"node a: kube-apiserver runs several times, with different flags: what /proc/9/cmdline has was not judged"},
	} {
		c := runs("Node,RBAC", "/etc/kubernetes/manifests/kube-apiserver.yaml")
		c.Others = []*evidence.Component{runs(mode, "/proc/9/cmdline"), {Name: evidence.APIServer, Way: evidence.FromFile}}
		snap := &evidence.Snapshot{}
		snap.AddHost(&evidence.Host{Node: "a", Root: "/", Roles: []evidence.Role{evidence.ControlPlane}, Components: []*evidence.Component{c}}, nil)
		run := checktest.JudgeNode(AuthorizationMode, check.NewScan(snap, check.Settings{}))
		if diff := cmp.Diff(want, checktest.Unknowns(run)); diff != "" {
			t.Errorf("%s: -want +got\n%s", mode, diff)
		}
	}
	// Two static pods, when nothing tells what runs.
	n := &node{Run: &check.Run{}, Host: &evidence.Host{Node: "a"}}
	c := runs("Node,RBAC", "/etc/kubernetes/manifests/kube-apiserver.yaml")
	backup := runs("AlwaysAllow", "/etc/kubernetes/manifests/kube-apiserver.yaml.bak")
	c.Way, c.Pod, c.Others = evidence.FromFile, true, []*evidence.Component{backup}
	backup.Way, backup.Pod = evidence.FromFile, true
	if n.onlyOne(c); !n.open {
		t.Error("the backup runs as well")
	}
}

// Of two processes neither is what the other should be.
func TestProcessesAreNotCompared(t *testing.T) {
	process := func(flag string) *evidence.Component {
		return &evidence.Component{Name: evidence.Etcd, Way: evidence.FromProcess, Flags: []evidence.Flag{{Name: flag}}}
	}
	c := process("name")
	c.Others = []*evidence.Component{process("data-dir")}
	snap := &evidence.Snapshot{}
	snap.AddHost(&evidence.Host{Node: "a", Root: "/", Components: []*evidence.Component{c}}, nil)
	run := checktest.JudgeNode(RunningDiffers, check.NewScan(snap, check.Settings{}))
	if len(run.Failures) > 0 || len(run.Unknowns) != 1 {
		t.Errorf("%+v %+v", run.Failures, run.Unknowns)
	}
}
