package host

import "github.com/gabion-k8s/gabion/internal/evidence"

// A layout is where a distribution has its files. Folders are looked through, files
// looked at; what is not there is no fault.
type layout struct {
	distribution evidence.Distribution
	// marks are files that only this distribution has: one of them of each list is
	// there.
	marks [][]string
	// is, where it is set, reports whether the files that are there are this
	// distribution's.
	is func(*reader) bool
	// parts, where it is set, finds the components that no process, unit or static pod
	// tells of, knowing those that are told of.
	parts func(*reader, []*candidate) []*candidate
	// signs are the folders that tell that Kubernetes is there.
	signs []string
	// manifests is the folder of static pods where the kubelet does not name one.
	manifests string
	// kubeletConfigs and kubeProxyConfigs are the configuration files to be expected
	// where the command lines are not known.
	kubeletConfigs, kubeProxyConfigs []string
	// kubeconfigs are kubeconfig files, and folders of them (files that end in .conf or
	// .kubeconfig).
	kubeconfigs []string
	// kubeletKubeconfigs are those by which a kubelet is known to be set up.
	kubeletKubeconfigs []string
	// pki are folders of certificates and keys, and single files of them.
	pki []string
	// etcd is etcd's folder where no flag names it.
	etcd string
	// files are others that recommendations are about.
	files []string
	// sockets are those of the container runtime.
	sockets []string
}

// plain is the layout of a node that no distribution is recognised on: the usual
// places.
var plain = layout{
	signs:              []string{"/etc/kubernetes", "/var/lib/kubelet", "/var/lib/kube-proxy"},
	manifests:          "/etc/kubernetes/manifests",
	kubeletConfigs:     []string{"/var/lib/kubelet/config.yaml", "/etc/kubernetes/kubelet/config.json", "/etc/kubernetes/kubelet/kubelet-config.json", "/etc/kubernetes/kubelet-config.yaml", "/var/lib/kubelet/kubelet-config.yaml"},
	kubeProxyConfigs:   []string{"/var/lib/kube-proxy/config.conf", "/var/lib/kube-proxy/kube-proxy-config.yaml", "/var/lib/kube-proxy-config/config"},
	kubeconfigs:        []string{"/etc/kubernetes", "/var/lib/kubelet/kubeconfig", "/var/lib/kube-proxy/kubeconfig", "/var/lib/kube-proxy/kubeconfig.conf"},
	kubeletKubeconfigs: []string{"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/kubeconfig"},
	pki:                []string{"/etc/kubernetes/pki", "/etc/kubernetes/ssl", "/var/lib/kubelet/pki", "/etc/etcd/pki", "/etc/ssl/etcd/ssl"},
	etcd:               "/var/lib/etcd",
	files: []string{
		"/etc/kubernetes", "/etc/kubernetes/enc", "/var/lib/kubelet", "/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet",
		"/etc/containerd/config.toml", "/etc/crio/crio.conf", "/etc/cni/net.d", "/opt/cni/bin", "/var/log/pods", "/var/log/containers",
	},
	sockets: []string{"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/var/run/crio/crio.sock", "/var/run/docker.sock", "/run/docker.sock", "/run/cri-dockerd.sock"},
}

// layouts are those of the distributions that are recognised, the more particular
// first.
func layouts() []layout {
	kubeadm := plain
	kubeadm.distribution = evidence.Kubeadm
	kubeadm.marks = [][]string{{
		"/var/lib/kubelet/kubeadm-flags.env",
		"/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
		"/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
		"/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
	}, {"/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/kubelet.conf"}}
	return []layout{
		kubeadm, rancherLayout(rke2, evidence.RKE2), rancherLayout(k3s, evidence.K3s), microk8sLayout(), k0sLayout(),
		kopsLayout(), eksLayout(), gkeLayout(), aksLayout(), talosLayout(),
	}
}

// recognise returns the layout of the distribution that set the node up.
func (r *reader) recognise() layout {
	for _, l := range layouts() {
		if r.hasAll(l.marks) && (l.is == nil || l.is(r)) {
			return l
		}
	}
	return plain
}

func (r *reader) hasAll(marks [][]string) bool {
	for _, any := range marks {
		found := false
		for _, file := range any {
			found = found || r.tree.Stat(file).Type != evidence.Missing
		}
		if !found {
			return false
		}
	}
	return true
}
