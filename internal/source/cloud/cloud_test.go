package cloud

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const eksText = `{
  "cluster": {
    "name": "shop", "version": "1.27",
    "resourcesVpcConfig": {
      "endpointPublicAccess": true,
      "publicAccessCidrs": ["192.0.2.0/24", "0.0.0.0/0"]
    },
    "logging": {"clusterLogging": [
      {"types": ["api"], "enabled": true},
      {"types": ["audit"], "enabled": false}
    ]}
  }
}`

const gkeText = `{
  "name": "shop",
  "currentMasterVersion": "1.33.1-gke.100",
  "masterAuthorizedNetworksConfig": {"enabled": true, "cidrBlocks": [{"cidrBlock": "198.51.100.0/24"}]},
  "databaseEncryption": {"state": "CURRENT_STATE_ENCRYPTED"},
  "legacyAbac": {},
  "masterAuth": {"clientCertificateConfig": {}},
  "networkConfig": {"datapathProvider": "ADVANCED_DATAPATH"},
  "nodePools": [{"config": {"workloadMetadataConfig": {"mode": "GKE_METADATA"}}}, {"config": {}}]
}`

const aksText = `{
  "id": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ContainerService/managedClusters/shop",
  "name": "shop",
  "currentKubernetesVersion": "1.33.2",
  "apiServerAccessProfile": {"enablePrivateCluster": true},
  "disableLocalAccounts": true,
  "enableRbac": true,
  "networkProfile": {"networkPolicy": "none", "networkDataplane": "azure"}
}`

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{eksText, `EKS shop 1.27: public true resourcesVpcConfig.endpointPublicAccess:5, from 192.0.2.0/24:6 0.0.0.0/0:6, secrets false encryptionConfig:2, audit false logging.clusterLogging:8`},
		{strings.Replace(eksText, "1.27", "1.28", 1), `EKS shop 1.28: public true resourcesVpcConfig.endpointPublicAccess:5, from 192.0.2.0/24:6 0.0.0.0/0:6, secrets true version:3, audit false logging.clusterLogging:8`},
		{strings.Replace(eksText, `"enabled": false`, `"enabled": true`, 1), `EKS shop 1.27: public true resourcesVpcConfig.endpointPublicAccess:5, from 192.0.2.0/24:6 0.0.0.0/0:6, secrets false encryptionConfig:2, audit true logging.clusterLogging:8`},
		{gkeText, `GKE shop 1.33.1-gke.100: public true privateClusterConfig.enablePrivateEndpoint:1, from 198.51.100.0/24:4, secrets true databaseEncryption.state:5, policy true networkConfig.datapathProvider:8, accounts false masterAuth:7, legacy false legacyAbac.enabled:6, concealed false nodePools:9`},
		{strings.Replace(gkeText, "CURRENT_STATE_ENCRYPTED", "DECRYPTED", 1), `GKE shop 1.33.1-gke.100: public true privateClusterConfig.enablePrivateEndpoint:1, from 198.51.100.0/24:4, secrets false databaseEncryption.state:5, policy true networkConfig.datapathProvider:8, accounts false masterAuth:7, legacy false legacyAbac.enabled:6, concealed false nodePools:9`},
		{aksText, `AKS shop 1.33.2: public false apiServerAccessProfile.enablePrivateCluster:5, secrets false securityProfile.azureKeyVaultKms.enabled:1, policy false networkProfile.networkPolicy:8, accounts false disableLocalAccounts:6, legacy false enableRbac:7`},
	} {
		provider, c, err := Parse("c.json", []byte(test.text))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if diff := cmp.Diff(test.want, provider+" "+summary(c)); diff != "" {
			t.Error(diff)
		}
	}
}

func summary(c *evidence.CloudConfig) string {
	text := []string{}
	add := func(what string, b *evidence.CloudBool) {
		if b != nil {
			text = append(text, fmt.Sprintf("%s %v %s:%d", what, b.Value, b.Field, b.Place.Line))
		}
	}
	add("public", c.PublicEndpoint)
	var from []string
	for _, r := range c.PublicRanges {
		from = append(from, fmt.Sprintf("%s:%d", r.CIDR, r.Place.Line))
	}
	if from != nil {
		text = append(text, "from "+strings.Join(from, " "))
	}
	add("secrets", c.SecretsEncryption)
	add("audit", c.AuditLog)
	add("policy", c.NetworkPolicy)
	add("accounts", c.LocalAccounts)
	add("legacy", c.LegacyAuthorization)
	add("concealed", c.MetadataConcealed)
	return c.Name + " " + c.Version + ": " + strings.Join(text, ", ")
}

func TestParseBad(t *testing.T) {
	for _, text := range []string{"", "[]", "{}", "null", "a: [", `{"cluster": 3}`, `{"cluster": {"name": "x"}}`, "a: 1\n---\na: 2\n", `{"id": "x"}`} {
		if provider, c, err := Parse("c.json", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), "c.json: ") {
			t.Errorf("%q: %s %+v %v", text, provider, c, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{eksText, gkeText, aksText} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, c, err := Parse("c.json", text); err == nil && c == nil {
			t.Error("neither a description nor an error")
		}
	})
}

func TestRecognise(t *testing.T) {
	node := func(labels ...string) *evidence.Object[corev1.Node] {
		n := &evidence.Object[corev1.Node]{Ref: &evidence.Ref{Name: "n1", Labels: map[string]string{}}}
		for _, l := range labels {
			n.Labels[l] = "x"
		}
		return n
	}
	for _, test := range []struct {
		version string
		node    *evidence.Object[corev1.Node]
		want    string
	}{
		{"v1.30.4-eks-a737599", node(), "EKS"},
		{"v1.30.5-gke.1014001", node(), "GKE"},
		{"v1.30.5", node("kubernetes.azure.com/cluster"), "AKS"},
		{"v1.30.5", node("eks.amazonaws.com/nodegroup"), "EKS"},
		{"v1.30.5", node("doks.digitalocean.com/node-pool"), "DOKS"},
		{"v1.30.5+IKS", node(), "IKS"},
		{"v1.30.5", node("kubernetes.io/hostname", "topology.kubernetes.io/zone"), ""},
		{"v1.36.3", node("node-role.kubernetes.io/control-plane"), ""},
		{"v1.30.5+k3s1", node(), ""},
	} {
		got := ""
		if Recognise("v1.36.3", []*evidence.Object[corev1.Node]{test.node, node(), node()}) != nil {
			t.Errorf("%v on one of three nodes, which its kubelet may have put there", test.node.Labels)
		}
		if m := Recognise(test.version, []*evidence.Object[corev1.Node]{test.node}); m != nil {
			got = m.Provider
			if m.Command == "" || m.Why == "" {
				t.Errorf("%+v", m)
			}
		}
		if got != test.want {
			t.Errorf("%s %v: %q, want %q", test.version, test.node.Labels, got, test.want)
		}
	}
}
