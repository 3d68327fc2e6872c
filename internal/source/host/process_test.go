package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const (
	staticPod   = "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f3364669eda7d66418f7d9a075c8f02.slice/cri-containerd-x.scope\n"
	ordinary    = "0::/kubepods/burstable/podd517b8eb-1190-41a3-8669-dd2207484bf8/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
	ordinaryTwo = "0::/kubepods.slice/kubepods-podd517b8eb_1190_41a3_8669_dd2207484bf8.slice/cri-containerd-x.scope\n"
	onTheNode   = "0::/system.slice/kubelet.service\n"
)

// What runs wins over what is on disk, and is placed where it is written.
func TestProcessWins(t *testing.T) {
	n := node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod,
		"srv/audit/policy.yaml":                        "apiVersion: audit.k8s.io/v1\nkind: Policy\n",
		"proc/1/cmdline":                               "init",
		"proc/9/cgroup":                                staticPod,
		"proc/9/status":                                "Uid:\t0\t0\t0\t0\n",
	}
	flags := []string{"kube-apiserver", "--advertise-address=10.0.0.1", "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt", "--anonymous-auth=true",
		"--anonymous-auth=false", "-v=2", "--profiling=true", "--audit-policy-file=/etc/kubernetes/audit/policy.yaml", "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml"}

	c := component(t, n.with(node{"proc/9/cmdline": strings.Join(flags, "\x00")}), evidence.APIServer)
	if c.Way != evidence.FromProcess || !c.Pod || c.UID != 0 || c.Version != "v1.36.3" || len(c.Mounts) != 2 || len(c.Others) != 1 {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(c.Others[0].Flags, c.Flags); diff != "" || c.Place != c.Others[0].Place {
		t.Errorf("the same flags stand in the manifest: %+v %s", c.Place, diff)
	}
	if d := c.Documents["audit-policy-file"]; d == nil || d.Error != "" {
		t.Errorf("%+v", d)
	}

	flags[4] = "--anonymous-auth=maybe"
	c = component(t, n.with(node{"proc/9/cmdline": strings.Join(flags, "\x00")}), evidence.APIServer)
	if f, _ := c.Flag("anonymous-auth"); f.Value != "maybe" || f.Place.File != "/proc/9/cmdline" || c.Place.File != "/proc/9/cmdline" {
		t.Errorf("%+v %+v", f, c.Place)
	}
	if f, _ := c.Flag("profiling"); f.Place.Line != 17 {
		t.Errorf("%+v", f)
	}
	if f, _ := c.Others[0].Flag("anonymous-auth"); f.Value != "false" {
		t.Errorf("%+v", f)
	}
}

// Which paths a process uses depends on whether it is in a container.
func TestContainers(t *testing.T) {
	pod := node{"etc/kubernetes/manifests/a.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: s, command: [kube-scheduler], volumeMounts: [{name: v, mountPath: /etc}]}]\n  volumes: [{name: v, hostPath: {path: /srv}}]\n"}
	for name, test := range map[string]struct {
		node
		want string // where /etc/x is on the node
	}{
		"a static pod, and its manifest":    {pod.with(node{"proc/9/cgroup": staticPod}), "/srv/x"},
		"a static pod without one":          {node{"proc/9/cgroup": staticPod}, ""},
		"on the node":                       {node{"proc/9/cgroup": onTheNode}, "/etc/x"},
		"on the node, and a manifest":       {pod.with(node{"proc/9/cgroup": onTheNode}), "/etc/x"},
		"own mounts, and a manifest":        {pod.with(node{"proc/9/cgroup": "0::/\n", "proc/9/ns/mnt": "-> mnt:[2]", "proc/1/ns/mnt": "-> mnt:[1]"}), "/srv/x"},
		"nothing known, and a manifest":     {pod, "/srv/x"},
		"nothing known, and no manifest":    {node{}, "/etc/x"},
		"another cluster's in a pod":        {node{"proc/9/cgroup": ordinary}, "none"},
		"another cluster's, by systemd":     {node{"proc/9/cgroup": ordinaryTwo}, "none"},
		"another cluster's, and a manifest": {pod.with(node{"proc/9/cgroup": ordinary}), "/srv/x"},
	} {
		c := component(t, test.with(node{"proc/1/cmdline": "init", "proc/9/cmdline": "kube-scheduler"}), evidence.Scheduler)
		got := "none"
		if c.Name != "none" {
			got, _ = c.HostPath("/etc/x")
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// kube-proxy runs in an ordinary pod by right; etcd's variables are those it runs with.
func TestProcesses(t *testing.T) {
	n := node{
		"proc/1/cmdline": "init",
		"proc/9/cmdline": "/usr/local/bin/kube-proxy\x00--config=/var/lib/kube-proxy/config.conf", "proc/9/cgroup": ordinary,
		"proc/8/cmdline": "etcd\x00--name=a", "proc/8/cgroup": onTheNode, "proc/8/environ": "ETCD_CLIENT_CERT_AUTH=true\x00ETCD_NAME=b",
		"proc/7/cmdline": "etcd", "proc/7/cgroup": onTheNode,
	}
	h, _, _ := read(t, n.fs())
	if c := h.Component(evidence.KubeProxy); c == nil || !c.Pod || !strings.Contains(c.Unread, "mounted") {
		t.Errorf("%+v", c)
	}
	proxy := component(t, n.with(node{
		"proc/1/mountinfo": "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
		"proc/9/mountinfo": "2 1 8:1 /var/lib/kubelet/pods/1/volumes/config /var/lib/kube-proxy rw - ext4 /dev/sda1 rw\n",
		"var/lib/kubelet/pods/1/volumes/config/config.conf":     "-> ..data/config.conf",
		"var/lib/kubelet/pods/1/volumes/config/..data":          "-> ..1",
		"var/lib/kubelet/pods/1/volumes/config/..1/config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n",
	}), evidence.KubeProxy)
	if o := proxy.Options["mode"]; string(o.Value) != `"nftables"` || o.Place.File != "/var/lib/kubelet/pods/1/volumes/config/config.conf" || proxy.Unread != "" {
		t.Errorf("%+v", proxy)
	}
	c := h.Component(evidence.Etcd)
	if c == nil || c.Unread == "" || len(c.Others) != 1 || c.Others[0].Place.File != "/proc/8/cmdline" {
		t.Fatalf("%+v", c)
	}
	delete(n, "proc/7/cmdline")
	c = component(t, n, evidence.Etcd)
	compare(t, flagLines(c.Flags), "name=a cmdline:0\nclient-cert-auth=true environ:0\n")
}

// A name may be given to any program: what the system runs is believed first, and what
// a user runs under it is not the component.
func TestImpostors(t *testing.T) {
	const byHand, root = "0::/user.slice/user-1000.slice/session-2.scope\n", "0::/\n"
	process := func(pid, uid, cgroup, exe, flags string) node {
		return node{
			"proc/1/cmdline": "init", "proc/" + pid + "/cmdline": "kube-apiserver\x00--from=" + pid + flags, "proc/" + pid + "/cgroup": cgroup,
			"proc/" + pid + "/status": "Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\n", "proc/" + pid + "/exe": "-> " + exe,
		}
	}
	impostor := process("8", "1000", byHand, "/home/u/x", "")
	for name, test := range map[string]struct {
		node
		want   string // the PID that is judged
		others int
	}{
		"an impostor alone":            {impostor, "", 0},
		"beside a static pod":          {impostor.with(process("9", "0", staticPod, "/usr/local/bin/kube-apiserver", "")), "9", 0},
		"beside one of another user":   {impostor.with(process("9", "65532", staticPod, "/usr/local/bin/kube-apiserver", "")), "9", 0},
		"beside a service":             {impostor.with(process("9", "0", "0::/system.slice/kube-apiserver.service\n", "/usr/bin/kube-apiserver", "")), "9", 0},
		"beside a unit of a slice":     {impostor.with(process("9", "0", "0::/kube.slice/kube-apiserver.service\n", "/usr/bin/kube-apiserver", "")), "9", 0},
		"one program for all":          {process("9", "0", root, "/srv/bin/kube", ""), "9", 0},
		"one program for all, twice":   {process("9", "0", root, "/srv/bin/kube", "").with(process("7", "0", root, "/srv/bin/kube", "")), "7", 1},
		"root's shell and a pod":       {process("8", "0", byHand, "/root/kube", "").with(process("9", "0", staticPod, "/usr/local/bin/kube-apiserver", "")), "9", 1},
		"the program, run by a user":   {process("8", "1000", byHand, "/home/u/kube-apiserver", ""), "8", 0},
		"that beside root's":           {process("8", "1000", byHand, "/home/u/kube-apiserver", "").with(process("9", "0", root, "/srv/bin/kube", "")), "9", 0},
		"a group that a user has made": {process("8", "1000", "0::/user.slice/user-1000.slice/user@1000.service/kubepods/x.service\n", "/home/u/x", ""), "", 0},
		"hyperkube":                    {process("9", "999", "0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n", "/hyperkube", ""), "9", 0},
	} {
		h, _, gaps := read(t, test.with(node{"etc/kubernetes/admin.conf": "kind: Config\n"}).fs())
		c := h.Component(evidence.APIServer)
		if test.want == "" {
			if c != nil || !strings.HasPrefix(h.Unseen[evidence.TheProcesses], "/proc/8/cmdline: it calls itself kube-apiserver, but is /home/u/x, run by the user 1000") || len(gaps) != 1 {
				t.Errorf("%s: %+v %v %v", name, c, h.Unseen, gaps)
			}
			continue
		}
		if f, _ := c.Flag("from"); f.Value != test.want || len(c.Others) != test.others || h.Unseen[evidence.TheProcesses] != "" {
			t.Errorf("%s: %+v %v", name, c, h.Unseen)
		}
	}
	c := component(t, impostor.with(node{"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod}), evidence.APIServer)
	if c.Way != evidence.FromFile || c.Unread != "" || len(c.Others) != 0 {
		t.Errorf("%+v", c)
	}
}

// What runs with flags that may not be read is not judged by those on disk.
func TestHiddenCommandLine(t *testing.T) {
	n := node{
		"usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c\n", "c": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
		"proc/1/cmdline": "init", "proc/9/cmdline": "kubelet\x00--config=/d",
	}
	for name, test := range map[string]struct {
		node
		way evidence.Way
	}{
		"by its name":    {node{"proc/9/comm": "kubelet\n"}, evidence.FromProcess},
		"by its program": {node{"proc/9/exe": "-> /usr/bin/kubelet"}, evidence.FromProcess},
		"not at all":     {node{}, evidence.FromFile},
	} {
		h, _, _ := read(t, forbidding{n.with(test.node).fs(), []string{"proc/9/cmdline"}})
		if c := h.Component(evidence.Kubelet); c == nil || c.Way != test.way || !strings.Contains(c.Unread, "/proc/9/cmdline: permission denied") {
			t.Errorf("%s: %+v", name, c)
		}
	}
	h, _, _ := read(t, forbidding{n.with(node{"proc/9/comm": "bash\n"}).fs(), []string{"proc/9/cmdline"}})
	if c := h.Component(evidence.Kubelet); c == nil || c.Unread != "" {
		t.Errorf("another program's: %+v", c)
	}
}
