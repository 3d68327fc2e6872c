package evidence

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestAddHost(t *testing.T) {
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	api := func() *Host {
		return &Host{Node: "cp1", ReadAt: late, Roles: []Role{Worker}, Distribution: Kubeadm, Components: []*Component{
			{Name: APIServer, Way: FromAPI}, {Name: Kubelet, Way: FromAPI},
		}}
	}
	files := func(at time.Time, image string) *Host {
		return &Host{Node: "cp1", Root: "/", ReadAt: at, Roles: []Role{ControlPlane}, Components: []*Component{{Name: APIServer, Way: FromProcess, Image: image}}}
	}
	for name, test := range map[string]struct {
		hosts []*Host
		want  *Host
	}{
		"API then files":            {[]*Host{api(), files(early, "a")}, nil},
		"files then API":            {[]*Host{files(early, "a"), api()}, nil},
		"two looks":                 {[]*Host{files(late, "new"), files(early, "old")}, files(late, "new")},
		"two looks, the later last": {[]*Host{files(early, "old"), files(late, "new")}, files(late, "new")},
	} {
		want := test.want
		if want == nil {
			want = files(early, "a")
			want.Roles, want.Distribution = []Role{ControlPlane, Worker}, Kubeadm
			want.Components[0].Others = []*Component{{Name: APIServer, Way: FromAPI}}
			want.Components = append(want.Components, &Component{Name: Kubelet, Way: FromAPI})
		}
		s := &Snapshot{}
		s.Add(&Ref{Kind: "Node", Name: "cp0"}, &corev1.Node{})
		s.Add(&Ref{Kind: "Node", Name: "cp1"}, &corev1.Node{})
		for _, h := range test.hosts {
			s.AddHost(h, nil)
		}
		if len(s.Hosts) != 1 || len(s.Objects) != 2 || s.Hosts[0].Ref != s.Nodes[1].Ref {
			t.Fatalf("%s: %d hosts, %d objects", name, len(s.Hosts), len(s.Objects))
		}
		got := *s.Hosts[0]
		got.Ref = nil
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	s := &Snapshot{}
	s.AddHost(api(), nil)
	if len(s.Objects) != 1 || s.Hosts[0].Name != "cp1" || s.HasObjects() || !s.HasHosts() {
		t.Errorf("a node of no cluster: %+v", s)
	}
}

// Two nodes that have one name are not taken for two looks at one.
func TestTwoNodesOfOneName(t *testing.T) {
	look := func(root string, at int64, certificates ...*Certificate) *Host {
		return &Host{Node: "node", Root: root, ReadAt: time.Unix(at, 0), Certificates: certificates}
	}
	authority, own, other := &Certificate{IsCA: true, SHA256: "ca"}, &Certificate{SHA256: "own"}, &Certificate{SHA256: "other"}
	for name, test := range map[string]struct {
		a, b *Host
		want string
	}{
		"of one cluster":   {look("a/rootfs", 1, authority, own), look("b/rootfs", 2, authority, other), "at b/rootfs and not at a/rootfs"},
		"the later first":  {look("a/rootfs", 2), look("b/rootfs", 1), "at a/rootfs and not at b/rootfs"},
		"the same machine": {look("/", 1, authority, own), look("/", 2, authority, own), ""},
		"the same look":    {look("/", 1), look("/", 1), ""},
		"the API's":        {look("/", 1), look("", 2), ""},
	} {
		s := &Snapshot{}
		s.AddHost(test.a, nil)
		source := &Source{}
		s.AddHost(test.b, source)
		switch {
		case (test.want == "") != (len(source.Errors) == 0) || source.Documents != len(source.Errors):
			t.Errorf("%s: %+v", name, source)
		case test.want == "" && len(s.Gaps) > 0:
			t.Errorf("%s: %v", name, s.Gaps)
		case test.want != "" && (len(s.Gaps) != 2 || s.Gaps[0].Fact != Hosts || s.Gaps[1].Fact != ControlPlanes || !strings.Contains(s.Gaps[0].Reason, test.want)):
			t.Errorf("%s: %v", name, s.Gaps)
		}
	}
}

func TestUnseenNodes(t *testing.T) {
	s := &Snapshot{Cluster: &Cluster{}}
	for _, name := range []string{"cp1", "cp2", "w1", "w2", "w3"} {
		ref := &Ref{Kind: "Node", Name: name}
		if name[0] == 'c' {
			ref.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""}
		}
		s.Add(ref, &corev1.Node{})
	}
	if own := s.OwnControlPlane(); own != "node cp1 has the label of a control plane node" {
		t.Error(own)
	}
	if gaps := s.UnseenNodes(); gaps != nil {
		t.Error("nobody looked at nodes:", gaps)
	}
	for _, name := range []string{"cp1", "w1", "w3"} {
		h := &Host{Node: name, Root: "/"}
		if name == "cp1" {
			h.Roles = []Role{ControlPlane}
		}
		s.AddHost(h, nil)
	}
	const how = " (--host-root on each, or gabion snapshot --host-root there)"
	want := []Gap{
		{Fact: Hosts, Declined: true, Reason: "3 of 5 nodes seen, not cp2, w2" + how},
		{Fact: ControlPlanes, Declined: true, Reason: "1 of 2 control plane nodes seen, not cp2" + how},
	}
	if diff := cmp.Diff(want, s.UnseenNodes()); diff != "" {
		t.Error(diff)
	}
	s.AddHost(&Host{Node: "cp2"}, nil)
	if gaps := s.UnseenNodes(); len(gaps) != 2 || gaps[1].Fact != ControlPlanes {
		t.Error("the API told of the kubelet alone:", gaps)
	}
	s.AddHost(&Host{Node: "cp2", Roles: []Role{ControlPlane}}, nil)
	if gaps := s.UnseenNodes(); len(gaps) != 1 || gaps[0].Fact != Hosts {
		t.Error(gaps)
	}
}

func TestOwnControlPlane(t *testing.T) {
	s := &Snapshot{}
	for _, component := range []string{Kubelet, Etcd} {
		s.AddHost(&Host{Node: component, Components: []*Component{{Name: component}}}, nil)
		if own := s.OwnControlPlane(); own != "" {
			t.Error(own)
		}
	}
	s.AddHost(&Host{Node: "cp1", Components: []*Component{{Name: Scheduler}}}, nil)
	if own := s.OwnControlPlane(); own != "node cp1 runs kube-scheduler" {
		t.Error(own)
	}
}

// Where the Nodes could not be listed, those that were looked at may not be all.
func TestUnlistedNodes(t *testing.T) {
	s := &Snapshot{Cluster: &Cluster{}, Gaps: []Gap{{Fact: Nodes, Reason: "may not list nodes"}}}
	s.AddHost(&Host{Node: "cp1", Root: "/", Roles: []Role{ControlPlane}}, nil)
	gaps := s.UnseenNodes()
	if len(gaps) != 2 || gaps[0].Fact != Hosts || gaps[1].Fact != ControlPlanes {
		t.Errorf("%+v", gaps)
	}
}
