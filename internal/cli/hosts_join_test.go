package cli

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A node is put to the cluster that has it: by name, by the machine's own id, by where
// its kubeconfigs lead.
func TestJoinHosts(t *testing.T) {
	cluster := func(server, id string) *evidence.Snapshot {
		w := &evidence.Snapshot{Cluster: &evidence.Cluster{Server: server}}
		n := &corev1.Node{}
		n.Status.NodeInfo.MachineID = id
		w.Add(&evidence.Ref{Kind: "Node", Name: "cp1"}, n)
		return w
	}
	host := func(name, id, server string) *evidence.Snapshot {
		w, source := &evidence.Snapshot{}, &evidence.Source{Type: "host"}
		w.Sources = []*evidence.Source{source}
		w.AddHost(&evidence.Host{
			Node: name, Root: "/", System: evidence.System{MachineID: id},
			Kubeconfigs: []*evidence.Kubeconfig{{Clusters: []evidence.KubeconfigCluster{{Server: server}}}},
		}, source)
		return w
	}
	const a, b = "https://a:6443", "https://b:6443"
	for name, test := range map[string]struct {
		worlds []*evidence.Snapshot
		joined int // the world that has the host
	}{
		"name alone":                  {[]*evidence.Snapshot{cluster(a, ""), host("cp1", "", a)}, 0},
		"same machine":                {[]*evidence.Snapshot{cluster(a, "m1"), host("cp1", "m1", a)}, 0},
		"another machine of the name": {[]*evidence.Snapshot{cluster(a, "m1"), host("cp1", "m2", a)}, 1},
		"another name":                {[]*evidence.Snapshot{cluster(a, "m1"), host("cp2", "m1", a)}, 1},
		"two clusters, one machine":   {[]*evidence.Snapshot{cluster(a, "m1"), cluster(b, "m2"), host("cp1", "m2", a)}, 1},
		"two clusters, kubeconfig":    {[]*evidence.Snapshot{cluster(a, ""), cluster(b, ""), host("cp1", "", b)}, 1},
		"two clusters, nothing tells": {[]*evidence.Snapshot{cluster(a, ""), cluster(b, ""), host("cp1", "", "https://c:6443")}, 2},
	} {
		joined := joinHosts(test.worlds)
		if len(joined) <= test.joined || len(joined[test.joined].Hosts) != 1 {
			t.Errorf("%s: %d worlds, and the host is elsewhere", name, len(joined))
		}
	}
}
