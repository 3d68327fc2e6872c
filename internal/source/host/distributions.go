package host

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// below puts a folder before names.
func below(folder string, names ...string) (paths []string) {
	for _, name := range names {
		paths = append(paths, folder+"/"+name)
	}
	return paths
}

// logs are where every kubelet has its containers' logs.
func logs() []string { return []string{"/var/log/pods", "/var/log/containers"} }

// rancherLayout is that of K3s and RKE2 (docs.k3s.io, docs.rke2.io: their CIS guides name
// the files).
func rancherLayout(d rancher, distribution evidence.Distribution) layout {
	data, etc := d.data(), "/etc/rancher/"+d.program
	keys := []string{"server-ca.crt", "client-ca.crt"}
	for _, name := range []string{"client-kubelet", "serving-kubelet", "client-kube-proxy", "client-" + d.program + "-controller"} {
		keys = append(keys, name+".crt", name+".key")
	}
	return layout{
		distribution:       distribution,
		marks:              [][]string{{data, etc + "/config.yaml"}},
		signs:              []string{data, etc},
		parts:              d.parts,
		manifests:          data + "/agent/pod-manifests",
		kubeconfigs:        []string{etc + "/" + d.program + ".yaml", data + "/server/cred", data + "/agent"},
		kubeletKubeconfigs: []string{data + "/agent/kubelet.kubeconfig"},
		pki:                append(below(data+"/agent", keys...), data+"/server/tls"),
		etcd:               data + "/server/db/etcd",
		files: slices.Concat(logs(), []string{
			etc, etc + "/config.yaml", data, data + "/server", data + "/server/manifests", data + "/server/tls", data + "/server/cred", data + "/server/cred/encryption-config.json",
			data + "/server/token", data + "/server/db", data + "/server/db/state.db",
			data + "/agent", data + "/agent/pod-manifests", data + "/agent/etc/kubelet.conf.d", data + "/agent/etc/containerd/config.toml", data + "/agent/etc/cni/net.d", "/etc/cni/net.d",
			"/var/lib/kubelet", "/usr/local/bin/" + d.program, "/usr/bin/" + d.program,
		}),
		sockets: []string{"/run/k3s/containerd/containerd.sock"},
	}
}

// microk8sLayout is that of MicroK8s (microk8s.io/docs: configuring services).
func microk8sLayout() layout {
	args, credentials := microk8sData+"/args", microk8sData+"/credentials"
	return layout{
		distribution:       evidence.MicroK8s,
		marks:              [][]string{{args}},
		signs:              []string{microk8sData},
		parts:              microk8sParts,
		kubeconfigs:        below(credentials, "client.config", "kubelet.config", "proxy.config", "controller.config", "scheduler.config"),
		kubeletKubeconfigs: []string{credentials + "/kubelet.config"},
		pki:                []string{microk8sData + "/certs"},
		files: slices.Concat(logs(), []string{
			args, args + "/containerd.toml", args + "/cni-network", credentials, microk8sData + "/certs", microk8sData + "/var/kubernetes/backend",
			credentials + "/known_tokens.csv", "/var/snap/microk8s/common/var/lib/kubelet",
		}),
		sockets: []string{"/var/snap/microk8s/common/run/containerd.sock"},
	}
}

// k0sLayout is that of k0s (docs.k0sproject.io: configuration, CIS benchmark).
func k0sLayout() layout {
	const data = "/var/lib/k0s"
	return layout{
		distribution:       evidence.K0s,
		marks:              [][]string{{data, "/etc/k0s"}},
		signs:              []string{data, "/etc/k0s"},
		parts:              k0sParts,
		manifests:          data + "/static-pods",
		kubeletConfigs:     []string{data + "/kubelet-config.yaml", data + "/kubelet/config.yaml"},
		kubeconfigs:        []string{data + "/pki", data + "/kubelet.conf"},
		kubeletKubeconfigs: []string{data + "/kubelet.conf"},
		pki:                []string{data + "/pki", data + "/kubelet/pki"},
		etcd:               data + "/etcd",
		files: slices.Concat(logs(), []string{
			"/etc/k0s", "/etc/k0s/k0s.yaml", "/etc/k0s/containerd.toml", data, data + "/pki", data + "/manifests", data + "/konnectivity.conf", data + "/db", "/etc/cni/net.d", "/usr/local/bin/k0s",
		}),
		sockets: []string{"/run/k0s/containerd.sock"},
	}
}

// talosLayout is that of Talos Linux (talos.dev: machine configuration).
func talosLayout() layout {
	return layout{
		distribution: evidence.Talos,
		marks:        [][]string{talosConfigs()},
		is:           (*reader).isTalos,
		signs:        []string{"/system/state", "/etc/kubernetes"},
		parts:        talosParts,
		manifests:    "/etc/kubernetes/manifests",
		kubeconfigs:  []string{"/etc/kubernetes/kubeconfig-kubelet", "/etc/kubernetes/bootstrap-kubeconfig", "/system/secrets/kubernetes/kube-scheduler/kubeconfig", "/system/secrets/kubernetes/kube-controller-manager/kubeconfig"},
		pki:          []string{"/etc/kubernetes/pki", "/var/lib/kubelet/pki", "/system/secrets/etcd", "/system/secrets/kubernetes"},
		etcd:         "/var/lib/etcd",
		files:        slices.Concat(logs(), talosConfigs(), []string{"/etc/kubernetes", "/var/lib/kubelet", "/etc/cni/net.d", "/opt/cni/bin"}),
		sockets:      []string{"/run/containerd/containerd.sock"},
	}
}

// kopsLayout is that of kOps, whose nodeup writes manifests and keys (kops.sigs.k8s.io).
func kopsLayout() layout {
	l := plain
	l.distribution = evidence.KOps
	l.marks = [][]string{{"/opt/kops", "/etc/systemd/system/kops-configuration.service", "/lib/systemd/system/kops-configuration.service"}}
	l.signs = append(slices.Clone(plain.signs), "/srv/kubernetes")
	l.pki = append(slices.Clone(plain.pki), "/srv/kubernetes", "/etc/kubernetes/pki/kops-controller", "/etc/kubernetes/kops-controller")
	l.kubeconfigs = append(slices.Clone(plain.kubeconfigs), below("/var/lib", "kube-scheduler/kubeconfig", "kube-controller-manager/kubeconfig", "kubectl/kubeconfig")...)
	l.files = append(slices.Clone(plain.files), "/srv/kubernetes", "/opt/kops/conf", "/opt/kops/conf/kube_env.yaml", "/mnt/master-vol")
	return l
}

// eksLayout is that of a node of EKS (awslabs.github.io/amazon-eks-ami: nodeadm).
func eksLayout() layout {
	l := plain
	l.distribution = evidence.EKS
	l.marks = [][]string{{"/etc/eks"}}
	l.files = append(slices.Clone(plain.files), "/etc/eks", "/etc/eks/kubelet/environment", "/etc/eks/image-credential-provider/config.json", "/etc/kubernetes/kubelet", "/etc/kubernetes/kubelet/config.json")
	return l
}

// gkeLayout is that of a node of GKE (cloud.google.com: CIS benchmarks for GKE).
func gkeLayout() layout {
	l := plain
	l.distribution = evidence.GKE
	l.marks = [][]string{{"/home/kubernetes"}, {"/etc/srv/kubernetes", "/home/kubernetes/kubelet-config.yaml"}}
	l.signs = append(slices.Clone(plain.signs), "/home/kubernetes", "/etc/srv/kubernetes")
	l.kubeletConfigs = append([]string{"/home/kubernetes/kubelet-config.yaml"}, plain.kubeletConfigs...)
	l.kubeconfigs = append(slices.Clone(plain.kubeconfigs), below("/var/lib", "kubelet/bootstrap-kubeconfig", "node-problem-detector/kubeconfig")...)
	l.pki = append(slices.Clone(plain.pki), "/etc/srv/kubernetes/pki")
	l.files = append(slices.Clone(plain.files), "/home/kubernetes", "/home/kubernetes/kubelet-config.yaml", "/etc/srv/kubernetes", "/home/kubernetes/bin")
	return l
}

// aksLayout is that of a node of AKS (learn.microsoft.com: CIS benchmark for AKS).
func aksLayout() layout {
	l := plain
	l.distribution = evidence.AKS
	l.marks = [][]string{{"/etc/kubernetes/azure.json", "/opt/azure"}, {"/etc/kubernetes/certs"}}
	l.kubeletConfigs = append([]string{"/etc/default/kubeletconfig.json"}, plain.kubeletConfigs...)
	l.kubeconfigs = append(slices.Clone(plain.kubeconfigs), "/var/lib/kubelet/bootstrap-kubeconfig")
	l.pki = append(slices.Clone(plain.pki), "/etc/kubernetes/certs")
	l.files = append(slices.Clone(plain.files), "/etc/kubernetes/azure.json", "/etc/kubernetes/certs", "/etc/default/kubeletconfig.json")
	return l
}
