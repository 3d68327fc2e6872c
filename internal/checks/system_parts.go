package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// isSystemPart reports whether a workload is one that belongs into kube-system: a
// component of Kubernetes, or an add-on that its makers install there. It goes by
// the labels of the addon manager and of static pods, by the workload's name and
// by its images' names, so that mirrors are recognised.
func isSystemPart(w *evidence.Workload) bool {
	for _, labels := range []map[string]string{w.Labels, w.PodLabels} {
		if labels["kubernetes.io/cluster-service"] == "true" || labels["addonmanager.kubernetes.io/mode"] != "" || labels["tier"] == "control-plane" {
			return true
		}
	}
	if systemPartName(w.Name) {
		return true
	}
	for c := range w.Containers() {
		last, lastTwo := imageNames(c.Image)
		if systemPartName(last) || systemParts[lastTwo] || logAgents[last] || logAgents[lastTwo] {
			return true
		}
	}
	return false
}

// imageNames returns the last part of an image's repository, and the last two:
// "node" and "calico/node" of quay.io/calico/node:v3.30. Mirrors keep these. Both
// are empty when the image is no reference.
func imageNames(image string) (last, lastTwo string) {
	ref, ok := parseImage(image)
	if !ok {
		return "", ""
	}
	slash := strings.LastIndexByte(ref.repository, '/')
	if slash < 0 {
		return ref.repository, ref.repository
	}
	return ref.repository[slash+1:], ref.repository[strings.LastIndexByte(ref.repository[:slash], '/')+1:]
}

func systemPartName(name string) bool {
	if systemParts[name] {
		return true
	}
	for _, prefix := range systemPartPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, suffix := range systemPartSuffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// systemParts are names of workloads and of images.
var systemParts = map[string]bool{
	// Kubernetes
	"kube-apiserver": true, "kube-controller-manager": true, "kube-scheduler": true, "etcd": true,
	"kube-proxy": true, "kube-proxy-windows": true, "coredns": true, "kube-dns": true, "node-local-dns": true,
	"konnectivity-agent": true, "konnectivity-server": true, "proxy-agent": true, "proxy-server": true,
	"cloud-controller-manager": true, "cloud-node-manager": true, "storage-provisioner": true,
	// projects of Kubernetes that install into kube-system
	"metrics-server": true, "addon-resizer": true, "cluster-autoscaler": true, "descheduler": true,
	"kube-state-metrics": true, "node-problem-detector": true, "node-feature-discovery": true,
	"cluster-proportional-autoscaler": true, "dns-autoscaler": true, "kube-dns-autoscaler": true, "coredns-autoscaler": true,
	"vpa-recommender": true, "vpa-updater": true, "vpa-admission-controller": true, "snapshot-controller": true,
	"snapshot-validation-webhook": true, "livenessprobe": true, "local-path-provisioner": true, "nfs-subdir-external-provisioner": true,
	"node-exporter": true, "kube-vip": true,
	// network plugins
	"kindnetd": true, "kindnet": true, "flannel": true, "kube-flannel-ds": true, "flannel-cni-plugin": true, "canal": true,
	"calico/node": true, "calico/cni": true, "calico/typha": true, "calico/kube-controllers": true, "calico/apiserver": true,
	"weave-net": true, "weave-kube": true, "weave-npc": true, "kube-router": true, "multus-cni": true, "kube-multus-ds": true,
	"aws-node": true, "amazon-k8s-cni": true, "aws-network-policy-agent": true, "netd": true, "ip-masq-agent": true,
	"hubble-relay": true, "hubble-ui": true, "hubble-ui-backend": true, "tigera-operator": true,
	// distributions and providers
	"aws-load-balancer-controller": true, "eks-pod-identity-agent": true, "klipper-lb": true, "klipper-helm": true,
	"mirrored-library-traefik": true, "konnectivity": true, "fluentbit-gke": true, "gke-metrics-agent": true,
	"gke-metadata-server": true, "event-exporter-gke": true, "l7-default-backend": true, "pdcsi-node": true,
	"nvidia-gpu-device-plugin": true, "k8s-device-plugin": true,
}

var systemPartPrefixes = []string{"k8s-dns-", "calico-", "cilium", "antrea", "kube-ovn", "csi-", "azure-cns", "azure-npm", "metrics-server-"}

var systemPartSuffixes = []string{
	"-cloud-controller-manager", "-csi-driver", "-csi-plugin", "-csi-controller", "-csi-node", "-device-plugin", "-device-plugin-daemonset",
}
