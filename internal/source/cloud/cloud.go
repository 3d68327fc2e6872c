// Package cloud knows the control planes that providers run: how they are
// recognised, which command prints what their users may set of them, and what that
// JSON says, in words that are the same for all. It calls no provider.
package cloud

import (
	"cmp"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A provider is one that runs control planes.
type provider struct {
	name string
	// version is what its API servers put behind their release.
	version *regexp.Regexp
	// labels begin labels of its nodes.
	labels  []string
	command string
}

// providers are told by what the API server says of its version, which nobody who
// runs it can set, or by labels that the provider puts onto every node it makes. A
// provider id alone tells only whose machines they are.
var providers = []provider{
	{
		name: "EKS", version: regexp.MustCompile(`-eks-`), labels: []string{"eks.amazonaws.com/nodegroup", "eks.amazonaws.com/compute-type"},
		command: "aws eks describe-cluster --name CLUSTER",
	},
	{
		name: "GKE", version: regexp.MustCompile(`-gke\.`), labels: []string{"cloud.google.com/gke-nodepool"},
		command: "gcloud container clusters describe CLUSTER --location LOCATION --format json",
	},
	{
		name: "AKS", labels: []string{"kubernetes.azure.com/cluster", "kubernetes.azure.com/nodepool-type"},
		command: "az aks show --resource-group GROUP --name CLUSTER --output json",
	},
	{name: "OKE", labels: []string{"oke.oraclecloud.com/"}, command: "oci ce cluster get --cluster-id ID"},
	{name: "DOKS", labels: []string{"doks.digitalocean.com/"}, command: "doctl kubernetes cluster get CLUSTER --output json"},
	{name: "IKS", version: regexp.MustCompile(`\+IKS`), labels: []string{"ibm-cloud.kubernetes.io/worker-pool-id"}, command: "ibmcloud ks cluster get --cluster CLUSTER --output json"},
	{name: "ACK", version: regexp.MustCompile(`-aliyun\.`), labels: []string{"alibabacloud.com/nodepool-id"}, command: "aliyun cs GET /clusters/CLUSTER"},
	{name: "LKE", labels: []string{"lke.linode.com/"}, command: "linode-cli lke cluster-view CLUSTER --json"},
	{name: "Kapsule", labels: []string{"k8s.scaleway.com/"}, command: "scw k8s cluster get CLUSTER -o json"},
	{name: "CCE", version: regexp.MustCompile(`^v[0-9.]+-r[0-9]+-`), labels: []string{"cce.cloud.com/"}, command: "hcloud CCE ShowCluster --cluster_id CLUSTER"},
}

// Recognise tells who runs the control plane of a cluster, nil when nothing says
// that a provider does.
func Recognise(version string, nodes []*evidence.Object[corev1.Node]) *evidence.Managed {
	for _, p := range providers {
		if p.version != nil && p.version.MatchString(version) {
			return p.managed("the API server's version is " + version)
		}
	}
	labelled, first := map[string]int{}, map[string]*evidence.Managed{}
	for _, n := range nodes {
		if m := ofNode(n.Name, n.Labels); m != nil {
			labelled[m.Provider]++
			first[m.Provider] = cmp.Or(first[m.Provider], m)
		}
	}
	for _, p := range providers {
		if 2*labelled[p.name] > len(nodes) { // a kubelet may give its own Node labels
			return first[p.name]
		}
	}
	return nil
}

func ofNode(name string, labels map[string]string) *evidence.Managed {
	for _, p := range providers {
		for _, l := range p.labels {
			for key := range labels {
				if key == l || strings.HasSuffix(l, "/") && strings.HasPrefix(key, l) {
					return p.managed("node " + name + " has the label " + l)
				}
			}
		}
	}
	return nil
}

// OfHosts tells the same by how the provider's nodes are set up.
func OfHosts(hosts []*evidence.Host) *evidence.Managed {
	for _, h := range hosts {
		if h.Component(evidence.APIServer) != nil {
			continue
		}
		for _, p := range providers {
			if string(h.Distribution) != "" && string(h.Distribution) == strings.ToLower(p.name) {
				return p.managed("node " + h.Node + " is set up as " + p.name + " does")
			}
		}
	}
	return nil
}

func (p provider) managed(why string) *evidence.Managed {
	return &evidence.Managed{Provider: p.name, Why: why, Command: p.command}
}

// named returns the provider of that name.
func named(name string) provider {
	for _, p := range providers {
		if p.name == name {
			return p
		}
	}
	return provider{name: name}
}

// Given is who runs the control plane when nothing but the provider's JSON tells.
func Given(provider string, c *evidence.CloudConfig) *evidence.Managed {
	m := named(provider).managed("--cloud-config is " + provider + "'s description of cluster " + cmp.Or(c.Name, "without a name"))
	m.Config = c
	return m
}
