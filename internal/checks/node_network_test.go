package checks_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A clusterOfNodes is a cluster whose nodes are all known: cp-1 (10.0.0.11), worker-1
// (10.0.0.21, pods in 10.244.1.0/24).
func clusterOfNodes() *evidence.Snapshot {
	snap := &evidence.Snapshot{Cluster: &evidence.Cluster{Name: "c", Server: "https://10.0.0.11:6443", Version: "v1.36.3"}}
	for name, n := range map[string]*corev1.Node{
		"cp-1":     {Status: addressed("10.0.0.11")},
		"worker-1": {Status: addressed("10.0.0.21"), Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.1.0/24"}}},
	} {
		n.ObjectMeta = metav1.ObjectMeta{Name: name}
		ref := &evidence.Ref{APIVersion: "v1", Kind: "Node", Name: name}
		if name == "cp-1" {
			ref.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""}
		}
		snap.Add(ref, n)
	}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}})
	return snap
}

func addressed(internal string) corev1.NodeStatus {
	return corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: internal}}}
}

// look adds a host with some sockets and an iptables filter that drops all but what
// rules admit; without any there is none, as IPv6 is switched off.
func look(snap *evidence.Snapshot, name string, sockets []string, components []string, rules ...string) *evidence.Host {
	h := &evidence.Host{Node: name, Root: "/host", System: evidence.System{Sysctls: map[string]evidence.Setting{"net.ipv6.conf.all.disable_ipv6": {Value: "1"}}}}
	for _, s := range sockets {
		protocol, address, _ := strings.Cut(s, " ")
		h.Sockets = append(h.Sockets, evidence.Socket{Protocol: protocol, Address: netip.MustParseAddrPort(address)})
	}
	for _, c := range components {
		h.Components = append(h.Components, &evidence.Component{Name: c})
	}
	text := "*filter\n:INPUT DROP [0:0]\n"
	for _, r := range rules {
		text += "-A INPUT " + r + "\n"
	}
	h.Firewall = []evidence.FirewallRules{{Format: "iptables", File: "/gabion/iptables-save.txt", Text: text + "COMMIT\n"}}
	snap.AddHost(h, nil)
	return h
}

// said is what a check says of a snapshot, each problem with severity and place.
func said(c *check.Check, snap *evidence.Snapshot) (list []string) {
	run := &check.Run{Scan: check.NewScan(snap, check.Settings{Version: evidence.Newest()}), Severity: c.Severity}
	if !c.Asks(snap) {
		return []string{"not asked"}
	}
	c.Run(run)
	for _, f := range run.Failures {
		severity := f.Problem.Severity
		if severity == 0 {
			severity = c.Severity
		}
		place := ""
		if f.Problem.At != nil && f.Problem.At.File != "" {
			place = fmt.Sprintf(" %s:%d", f.Problem.At.File, f.Problem.At.Line)
		}
		list = append(list, fmt.Sprintf("%s %s %s%s: %s", severity, f.Ref, f.Problem.Path, place, f.Problem.Message))
	}
	for _, u := range run.Unknowns {
		list = append(list, strings.TrimPrefix("unknown: "+u.Scope+": "+u.Reason, ": "))
	}
	for _, d := range run.Inapplicables {
		list = append(list, "duty: "+d.Reason)
	}
	if len(list) == 0 {
		list = append(list, fmt.Sprint(run.Evaluated.Len(), " passed"))
	}
	slices.Sort(list)
	return list
}

// What is expected of a filter where all nodes of the cluster are known: then whoever
// is none of them is too many, however few there are.
func TestFirewallOfKnownNodes(t *testing.T) {
	control := []string{evidence.APIServer, evidence.Etcd, evidence.Kubelet, evidence.Scheduler}
	all := []string{"tcp [::]:6443", "tcp 10.0.0.11:2379", "tcp 10.0.0.11:2380", "tcp [::]:10250", "tcp 127.0.0.1:10259"}
	accept := func(from, ports string) string {
		return strings.TrimSpace("-s "+from) + " -p tcp -m multiport --dports " + ports + " -j ACCEPT"
	}
	worker := []string{"tcp [::]:10250", "tcp 0.0.0.0:22"}
	for name, test := range map[string]struct {
		check *check.Check
		node  string
		rules []string
		want  []string
	}{
		"nobody": {checks.ControlPlaneFirewall, "cp-1", nil, []string{"1 passed"}},
		"as the guide has it": {checks.ControlPlaneFirewall, "cp-1", []string{
			accept("10.0.0.11/32", "2379:2380"), accept("10.0.0.21/32", "10250"), accept("10.244.1.0/24", "10250"), accept("10.0.0.0/16", "6443"),
		}, []string{"1 passed"}},
		"a worker reaches etcd": {checks.EtcdFirewall, "cp-1", []string{accept("10.0.0.21/32", "2379")}, []string{
			"high Node cp-1 firewall.tcp.2379 /gabion/iptables-save.txt:3: port 2379 of etcd is admitted from 10.0.0.21 by iptables filter INPUT line 3: -A INPUT -s 10.0.0.21/32 -p tcp -m multiport --dports 2379 -j ACCEPT: it is for API servers and members of etcd",
		}},
		"anybody but one reaches etcd": {checks.EtcdFirewall, "cp-1", []string{"-s 192.0.2.1/32 -j DROP", accept("0.0.0.0/0", "2379")}, []string{
			"critical Node cp-1 firewall.tcp.2379 /gabion/iptables-save.txt:4: port 2379 of etcd is admitted from anywhere by iptables filter INPUT line 4: -A INPUT -s 0.0.0.0/0 -p tcp -m multiport --dports 2379 -j ACCEPT: it is for API servers and members of etcd",
		}},
		"one rule after another": {checks.EtcdFirewall, "cp-1", []string{accept("10.0.0.21/32", "2379"), accept("10.0.0.22/32", "2379"), accept("10.0.0.23/32", "2379")}, []string{
			"high Node cp-1 firewall.tcp.2379 /gabion/iptables-save.txt:3: port 2379 of etcd is admitted from 10.0.0.21 by iptables filter INPUT line 3: -A INPUT -s 10.0.0.21/32 -p tcp -m multiport --dports 2379 -j ACCEPT, " +
				"and from 10.0.0.22 by iptables filter INPUT line 4: -A INPUT -s 10.0.0.22/32 -p tcp -m multiport --dports 2379 -j ACCEPT, and by 1 more rules: it is for API servers and members of etcd",
		}},
		"a match that cannot be followed": {checks.EtcdFirewall, "cp-1", []string{"-p tcp -m tcp --dport 2379 -m set --match-set friends src -j ACCEPT"}, []string{
			"unknown: node cp-1: from where port 2379 of etcd is reached: unknown, because of ipset \"friends\", which was not read, in iptables filter INPUT line 3: -A INPUT -p tcp -m tcp --dport 2379 -m set --match-set friends src -j ACCEPT, for anywhere",
		}},
		"the scheduler on loopback":               {checks.ControlPlaneFirewall, "cp-1", []string{accept("0.0.0.0/0", "10259")}, []string{"1 passed"}},
		"a worker's kubelet, from nodes and pods": {checks.WorkerFirewall, "worker-1", []string{accept("10.0.0.11/32", "10250"), accept("10.244.1.0/24", "10250")}, []string{"1 passed"}},
		"a worker's kubelet, from others": {checks.WorkerFirewall, "worker-1", []string{accept("10.0.0.12/32", "10250")}, []string{
			"medium Node worker-1 firewall.tcp.10250 /gabion/iptables-save.txt:3: port 10250 of kubelet is admitted from 10.0.0.12 by iptables filter INPUT line 3: -A INPUT -s 10.0.0.12/32 -p tcp -m multiport --dports 10250 -j ACCEPT: it is for the control plane and what collects metrics in the cluster",
		}},
		"a worker's SSH": {checks.WorkerFirewall, "worker-1", []string{accept("0.0.0.0/0", "22")}, []string{
			"low Node worker-1 firewall.tcp.22 /gabion/iptables-save.txt:3: port 22/tcp, on which something listens, is none of the guide's table and is admitted from anywhere by iptables filter INPUT line 3: -A INPUT -s 0.0.0.0/0 -p tcp -m multiport --dports 22 -j ACCEPT",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := clusterOfNodes()
			if test.node == "cp-1" {
				look(snap, "cp-1", all, control, test.rules...)
			} else {
				look(snap, "worker-1", worker, []string{evidence.Kubelet}, test.rules...)
			}
			if diff := cmp.Diff(test.want, said(test.check, snap)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// IPv6 counts: a filter of IPv4 alone says nothing of it.
func TestFirewallOfBothFamilies(t *testing.T) {
	snap := clusterOfNodes()
	h := look(snap, "cp-1", []string{"tcp [::]:2379"}, []string{evidence.APIServer, evidence.Etcd})
	h.System.Sysctls = nil
	want := []string{
		"unknown: node cp-1: from where port 2379 of etcd is reached: unknown, because no packet filter of IPv6 was read, for anywhere",
	}
	if diff := cmp.Diff(want, said(checks.EtcdFirewall, snap)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.Firewall = append(h.Firewall, evidence.FirewallRules{Format: "ip6tables", File: "/gabion/ip6tables-save.txt", Text: "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 2379 -j ACCEPT\nCOMMIT\n"})
	got := said(checks.EtcdFirewall, snap)
	if len(got) != 1 || !strings.HasPrefix(got[0], "critical Node cp-1 firewall.tcp.2379 /gabion/ip6tables-save.txt:3: port 2379 of etcd is admitted from anywhere by ip6tables filter INPUT line 3: ") {
		t.Errorf("%q", got)
	}
	h.Sockets[0].Address = netip.MustParseAddrPort("0.0.0.0:2379") // IPv4 alone
	if diff := cmp.Diff([]string{"1 passed"}, said(checks.EtcdFirewall, snap)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is in no dump that is in force is not known.
func TestFirewallUnread(t *testing.T) {
	snap := clusterOfNodes()
	h := look(snap, "cp-1", []string{"tcp [::]:2379"}, []string{evidence.APIServer, evidence.Etcd})
	h.Unseen = map[evidence.Aspect]string{evidence.TheFirewall: "only the rules that are loaded at start are known"}
	if diff := cmp.Diff([]string{"unknown: node cp-1: only the rules that are loaded at start are known"}, said(checks.EtcdFirewall, snap)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	h.Unseen, h.Firewall = nil, nil
	if got := said(checks.EtcdFirewall, snap); len(got) != 1 || !strings.Contains(got[0], "`nft -j list ruleset`") {
		t.Errorf("%q", got)
	}
	h.Firewall = []evidence.FirewallRules{{Format: "pf", File: "/gabion/x", Text: "pass"}}
	if got := said(checks.EtcdFirewall, snap); len(got) != 1 || !strings.Contains(got[0], "/gabion/x: ") {
		t.Errorf("%q", got)
	}
}

func TestAPIServerReach(t *testing.T) {
	eks := func(c *evidence.CloudConfig) func(*evidence.Snapshot) {
		return func(s *evidence.Snapshot) {
			s.Managed = &evidence.Managed{Provider: "EKS", Why: "v1.30.4-eks-a737599", Command: "aws eks describe-cluster", Config: c}
		}
	}
	public := func(value bool, ranges ...string) *evidence.CloudConfig {
		c := &evidence.CloudConfig{Name: "shop", Place: evidence.Position{File: "eks.json"}, PublicEndpoint: &evidence.CloudBool{Value: value, Field: "endpointPublicAccess", Place: evidence.Position{File: "eks.json", Line: 7}}}
		for i, r := range ranges {
			c.PublicRanges = append(c.PublicRanges, evidence.CloudRange{CIDR: r, Field: fmt.Sprintf("publicAccessCidrs[%d]", i), Place: evidence.Position{File: "eks.json", Line: 8 + i}})
		}
		return c
	}
	host := func(rules ...string) func(*evidence.Snapshot) {
		return func(s *evidence.Snapshot) {
			look(s, "cp-1", []string{"tcp 0.0.0.0:6443"}, []string{evidence.APIServer}, rules...)
		}
	}
	const open = "-p tcp -m tcp --dport 6443 -j ACCEPT"
	const fault = "the API server (port 6443) is admitted from anywhere by iptables filter INPUT line 3: -A INPUT -p tcp -m tcp --dport 6443 -j ACCEPT: it is for users of the cluster, not for the internet at large"
	for name, test := range map[string]struct {
		fill func(*evidence.Snapshot)
		want []string
	}{
		"no node":                     {func(*evidence.Snapshot) {}, []string{"not asked"}},
		"only workers":                {func(s *evidence.Snapshot) { look(s, "worker-1", nil, []string{evidence.Kubelet}) }, []string{"unknown: : no control plane node was looked at (--host-root on each)"}},
		"guarded":                     {host("-s 10.0.0.0/8 " + open), []string{"1 passed"}},
		"guarded, for a few networks": {host("-s 198.51.100.0/24 " + open), []string{"1 passed"}},
		"open on a private address":   {host(open), []string{"medium Node cp-1 kube-apiserver.reach /gabion/iptables-save.txt:3: " + fault}},
		"open on a public address": {func(s *evidence.Snapshot) {
			host(open)(s)
			for _, n := range s.Nodes {
				n.Value.Status.Addresses = append(n.Value.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.5"})
			}
		}, []string{"critical Node cp-1 kube-apiserver.reach /gabion/iptables-save.txt:3: " + fault + ", and the node has the address 203.0.113.5 of the internet"}},
		"behind a public address": {func(s *evidence.Snapshot) {
			host("-s 10.0.0.0/8 " + open)(s)
			s.Cluster.Server = "https://203.0.113.9:443"
		}, []string{"unknown: node cp-1: the cluster is reached at 203.0.113.9, which is no address of its nodes: what stands in front of them, and whom it lets in, is not seen"}},
		"managed, not described": {eks(nil), []string{"unknown: : from where the API server can be reached: needs what aws eks describe-cluster prints (--cloud-config FILE)"}},
		"managed, not told":      {eks(&evidence.CloudConfig{Place: evidence.Position{File: "eks.json"}}), []string{"unknown: : whether the API server has a public endpoint: eks.json does not tell"}},
		"managed, private":       {eks(public(false)), []string{"1 passed"}},
		"managed, for a few":     {eks(public(true, "198.51.100.0/24", "2001:db8::/32")), []string{"1 passed"}},
		"managed, for all":       {eks(public(true)), []string{`critical Namespace kube-system metadata.name eks.json:7: EKS cluster "shop": the API server has a public endpoint that is reached from anywhere (endpointPublicAccess)`}},
		"managed, for all, written out": {eks(public(true, "198.51.100.0/24", "0.0.0.0/0", "::/0")), []string{
			`critical Namespace kube-system metadata.name eks.json:9: EKS cluster "shop": the API server has a public endpoint that is reached from 0.0.0.0/0, ::/0 (publicAccessCidrs[1])`,
		}},
		"managed, for what is no range": {eks(public(true, "all")), []string{
			`critical Namespace kube-system metadata.name eks.json:8: EKS cluster "shop": the API server has a public endpoint that is reached from all (publicAccessCidrs[0])`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			snap := clusterOfNodes()
			test.fill(snap)
			if diff := cmp.Diff(test.want, said(checks.APIServerReach, snap)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A managed control plane's own ports are its provider's to guard.
func TestNetworkDuties(t *testing.T) {
	snap := clusterOfNodes()
	snap.Managed = &evidence.Managed{Provider: "GKE", Why: "v1.30.1-gke.1"}
	for _, c := range []*check.Check{checks.ControlPlaneFirewall, checks.EtcdFirewall} {
		if diff := cmp.Diff([]string{"duty: the provider's duty: GKE runs the control plane (v1.30.1-gke.1)"}, said(c, snap)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.ID, diff)
		}
	}
}

func TestCNIPlugin(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		change func(*evidence.Snapshot, *evidence.Host)
		want   string
	}{
		"Calico":         {`{"plugins": [{"type": "calico"}, {"type": "portmap"}]}`, nil, "1 passed"},
		"Flannel":        {`{"plugins": [{"type": "flannel"}]}`, nil, `high Node worker-1 cni.type /etc/cni/net.d/x:0: the node's network plugin is "flannel", which enforces no network policies, and nothing that does is known beside it`},
		"Flannel of K3s": {`{"plugins": [{"type": "flannel"}]}`, func(_ *evidence.Snapshot, h *evidence.Host) { h.Distribution = evidence.K3s }, "1 passed"},
		"not even of K3s": {`{"plugins": [{"type": "flannel"}]}`, func(_ *evidence.Snapshot, h *evidence.Host) {
			h.Distribution = evidence.K3s
			h.Components = []*evidence.Component{{Name: "k3s", Flags: []evidence.Flag{{Name: "disable-network-policy", Value: "true"}}}}
		}, `high Node worker-1 cni.type /etc/cni/net.d/x:0: the node's network plugin is "flannel", which enforces no network policies, and nothing that does is known beside it`},
		"an engine runs beside it": {`{"plugins": [{"type": "flannel"}]}`, func(s *evidence.Snapshot, _ *evidence.Host) {
			ref := &evidence.Ref{APIVersion: "apps/v1", Kind: "DaemonSet", Namespace: "kube-system", Name: "kube-network-policies"}
			s.Add(ref, []*evidence.Workload{{Pod: &corev1.PodSpec{}}})
		}, "1 passed"},
		"below Multus": {`{"type": "multus", "delegates": [{"type": "macvlan"}, {"type": "cilium-cni"}]}`, nil, "1 passed"},
		"unknown":      {`{"type": "bridge"}`, nil, `unknown: node worker-1: /etc/cni/net.d/x: whether network policies are enforced by bridge is not known`},
		"broken":       {`{`, nil, "unknown: node worker-1: /etc/cni/net.d/x: not read: it is no configuration of a plugin"},
		"from the API": {`{"type": "bridge"}`, func(_ *evidence.Snapshot, h *evidence.Host) { h.Root = "" }, "0 passed"},
	} {
		t.Run(name, func(t *testing.T) {
			snap := clusterOfNodes()
			h := look(snap, "worker-1", nil, nil)
			h.System.CNI = []*evidence.Document{{File: "/etc/cni/net.d/x", JSON: json.RawMessage(test.config)}}
			if test.change != nil {
				test.change(snap, h)
			}
			if diff := cmp.Diff([]string{test.want}, said(checks.CNIPlugin, snap)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Ports of a worker: a flag of the API server moves the range of node ports, and a
// node without workers leaves nothing to say.
func TestWorkerPorts(t *testing.T) {
	snap := clusterOfNodes()
	look(snap, "worker-1", []string{"tcp 0.0.0.0:31000", "tcp 0.0.0.0:40500", "udp 0.0.0.0:8472", "udp 0.0.0.0:41000", "tcp 127.0.0.1:9100", "tcp [::]:10249"}, []string{evidence.Kubelet})
	want := []string{
		"low Node worker-1 listening.tcp.10249: something listens on port 10249/tcp ([::]:10249), which is none of the guide's table of a worker",
		"low Node worker-1 listening.tcp.40500: something listens on port 40500/tcp (0.0.0.0:40500), which is none of the guide's table of a worker",
		"low Node worker-1 listening.udp.8472: something listens on port 8472/udp (0.0.0.0:8472), which is none of the guide's table of a worker",
	}
	if diff := cmp.Diff(want, said(checks.WorkerPortListening, snap)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	cp := look(snap, "cp-1", nil, []string{evidence.APIServer})
	for text, has := range map[string]string{"40000-41000": "31000", "40000+500": "31000", "x": "40500"} {
		cp.Components[0].Flags = []evidence.Flag{{Name: "service-node-port-range", Value: text}}
		got := strings.Join(said(checks.WorkerPortListening, snap), "\n")
		if !strings.Contains(got, "port "+has+"/tcp") || strings.Contains(got, "31000/tcp") == strings.Contains(got, "40500/tcp") {
			t.Errorf("%s: %s", text, got)
		}
	}
	alone := &evidence.Snapshot{Cluster: snap.Cluster}
	alone.Add(snap.Nodes[0].Ref, &corev1.Node{})
	alone.Nodes[0].Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""}
	look(alone, alone.Nodes[0].Name, nil, []string{evidence.APIServer})
	if diff := cmp.Diff([]string{"0 passed"}, said(checks.WorkerPortListening, alone)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Without probes the checks of probes are not asked.
func TestWithoutProbes(t *testing.T) {
	snap := clusterOfNodes()
	look(snap, "cp-1", nil, []string{evidence.APIServer})
	for _, c := range []*check.Check{checks.WeakTLSOffered, checks.ServedCertificate, checks.APIServerAnswers, checks.KubeletAnswers,
		checks.EtcdAnswers, checks.EtcdPlainText, checks.EtcdReached, checks.ControlPlanePortReached} {
		if diff := cmp.Diff([]string{"not asked"}, said(c, snap)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.ID, diff)
		}
	}
}
