package process

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

func TestMounts(t *testing.T) {
	got := Mounts(tree.New(files(map[string]string{
		"proc/1/mountinfo": `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 8:2 / /var rw,relatime shared:2 - ext4 /dev/sda2 rw
23 21 8:2 /lib/kubelet /mnt\040kubelet rw,relatime shared:3 - ext4 /dev/sda2 rw
24 22 0:50 / /var/lib/kubelet/pods/1/volumes/token rw - tmpfs tmpfs rw
25 22 0:60 / /run/containerd/task/9/rootfs rw - overlay overlay rw
broken line
`,
		"proc/9/mountinfo": `100 99 0:60 / / rw - overlay overlay rw
101 100 8:1 /etc/kubernetes/pki /etc/kubernetes/pki ro,relatime - ext4 /dev/sda1 rw
102 100 8:2 /lib/kubelet/pods/1/volumes/config /var/lib/kube-proxy rw,relatime - ext4 /dev/sda2 rw
103 100 0:50 / /var/run/secrets ro - tmpfs tmpfs rw
104 100 0:70 / /proc rw - proc proc rw
105 100 8:2 /log /var/log rw - ext4 /dev/sda2 rw
`,
	})), 9)
	want := []evidence.Mount{
		{Host: "/etc/kubernetes/pki", Container: "/etc/kubernetes/pki", ReadOnly: true},
		{Host: "/mnt kubelet/pods/1/volumes/config", Container: "/var/lib/kube-proxy"},
		{Host: "/var/lib/kubelet/pods/1/volumes/token", Container: "/var/run/secrets", ReadOnly: true},
		{Host: "/var/log", Container: "/var/log"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Mounts(tree.New(files(map[string]string{"proc/9/mountinfo": "x"})), 9); got != nil {
		t.Error(got)
	}
}
