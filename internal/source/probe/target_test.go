package probe_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/probe"
)

func addNode(snap *evidence.Snapshot, name, label string, addresses ...string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.200"})
	ref := &evidence.Ref{Kind: "Node", Name: name}
	if label != "" {
		ref.Labels = map[string]string{label: ""}
	}
	snap.Add(ref, n)
}

func addHost(snap *evidence.Snapshot, name string, components ...*evidence.Component) {
	snap.Add(&evidence.Ref{Kind: "Node", Name: name}, &evidence.Host{Node: name, Roles: []evidence.Role{evidence.ControlPlane}, Components: components})
}

func component(name string, flags ...string) *evidence.Component {
	c := &evidence.Component{Name: name}
	for i := 0; i < len(flags); i += 2 {
		c.Flags = append(c.Flags, evidence.Flag{Name: flags[i], Value: flags[i+1]})
	}
	return c
}

func TestTargets(t *testing.T) {
	kubelet := component(evidence.Kubelet)
	kubelet.Options = map[string]evidence.Option{"port": {Value: json.RawMessage("11250")}, "readOnlyPort": {Value: json.RawMessage("0")}}
	for name, test := range map[string]struct {
		fill func(*evidence.Snapshot)
		want []string
	}{
		"nothing": {func(*evidence.Snapshot) {}, nil},
		"nodes of a cluster": {func(s *evidence.Snapshot) {
			s.Cluster = &evidence.Cluster{Server: "https://10.0.0.1:6443/x"}
			addNode(s, "cp", "node-role.kubernetes.io/control-plane", "10.0.0.1")
			addNode(s, "w", "", "10.0.0.2", "fd00::2")
		}, []string{
			"cp etcd 10.0.0.1:2379", "cp etcd 10.0.0.1:2380", "cp kube-apiserver 10.0.0.1:6443", "cp kubelet 10.0.0.1:10250",
			"cp kubelet 10.0.0.1:10255", "cp kube-controller-manager 10.0.0.1:10257", "cp kube-scheduler 10.0.0.1:10259",
			"w kubelet 10.0.0.2:10250", "w kubelet 10.0.0.2:10255", "w kubelet [fd00::2]:10250", "w kubelet [fd00::2]:10255",
		}},
		"a host": {func(s *evidence.Snapshot) {
			addHost(s, "cp", component(evidence.APIServer, "advertise-address", "10.0.0.1", "secure-port", "8443"), kubelet,
				component(evidence.Etcd, "listen-client-urls", "https://127.0.0.1:2379,https://10.0.0.1:4001", "listen-peer-urls", "https://10.0.0.1:2380", "initial-advertise-peer-urls", "https://10.0.0.1:2380"))
		}, []string{
			"cp etcd 10.0.0.1:2379", "cp etcd 10.0.0.1:2380", "cp etcd 10.0.0.1:4001", "cp kube-apiserver 10.0.0.1:8443",
			"cp kubelet 10.0.0.1:10255", "cp kubelet 10.0.0.1:11250",
		}},
		"a server known by name": {func(s *evidence.Snapshot) {
			s.Cluster = &evidence.Cluster{Server: "https://abc.example.com"}
		}, []string{" kube-apiserver invalid AddrPort abc.example.com:443"}},
		"a server on loopback": {func(s *evidence.Snapshot) {
			s.Cluster = &evidence.Cluster{Server: "https://[::1]:38491"}
		}, []string{" kube-apiserver [::1]:38491"}},
		"no server": {func(s *evidence.Snapshot) { s.Cluster = &evidence.Cluster{Server: "https://0.0.0.0:6443"} }, nil},
		"what no machine has for an address": {func(s *evidence.Snapshot) {
			s.Cluster = &evidence.Cluster{Server: "::"}
			addNode(s, "n", "", "169.254.169.254", "127.0.0.1", "::1", "224.0.0.1", "0.0.0.0", "fe80::1%eth0", "example.com", "")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			snap := &evidence.Snapshot{}
			test.fill(snap)
			var got []string
			for _, target := range probe.Targets(snap) {
				text := target.Node + " " + target.Component + " " + target.Address.String()
				if target.Name != "" {
					text += " " + target.Name + ":" + netip.AddrPortFrom(netip.IPv4Unspecified(), target.Address.Port()).String()[len("0.0.0.0:"):]
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
