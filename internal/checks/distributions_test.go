package checks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// defaultFaults say why a finding is true of what a distribution installs, by the check
// and the field it names, which may end in *.
var defaultFaults = map[string]string{
	"kubelet-seccomp-default kubelet.seccompDefault":                            "Kubernetes leaves it off, and so do all but Talos",
	"pod-pids-limit kubelet.podPidsLimit":                                       "Kubernetes sets no limit, and neither does the distribution",
	"reserved-pids kubelet.*":                                                   "Kubernetes reserves no process ids",
	"container-log-limits kubelet.*":                                            "the defaults of Kubernetes are in force",
	"pod-security-admission kube-apiserver.admission-control-config-file":       "there is no AdmissionConfiguration with PodSecurity",
	"token-lifetime kube-apiserver.service-account-*":                           "the defaults of Kubernetes are in force",
	"encryption-at-rest kube-apiserver.encryption-provider-config":              "encryption is off unless it is asked for",
	"authentication-methods kube-apiserver.enable-bootstrap-token-auth":         "nodes join with bootstrap tokens, which stays switched on",
	"log-layers kube-apiserver.audit-policy-file":                               "there is no audit policy",
	"audit-log-off kube-apiserver.audit-policy-file":                            "there is no audit policy",
	"kubeconfig-content files[*client-certificate-data":                         "the administrator's kubeconfig is of system:masters",
	"kubelet-client-rotation kubelet.rotateCertificates":                        "the kubelet's certificate is issued once and not rotated (MicroK8s, kOps' control plane)",
	"kubelet-read-only-port kubelet.readOnlyPort":                               "GKE serves it to its own agents unless it is switched off",
	"tls-cipher-suites kubelet.tlsCipherSuites.TLS_RSA_*":                       "AKS allows suites without forward secrecy",
	"tls-cipher-suites kube-apiserver.tls-cipher-suites.TLS_RSA_*":              "MicroK8s allows suites without forward secrecy, and 3DES",
	"kubelet-api-access kubelet.authorization.mode":                             "MicroK8s gives its kubelet no mode: flags alone mean AlwaysAllow",
	"kubelet-authorization kubelet.authorization.mode":                          "MicroK8s gives its kubelet no mode: flags alone mean AlwaysAllow",
	"anonymous-requests kube-apiserver.anonymous-auth":                          "MicroK8s leaves Kubernetes' default, which lets them in",
	"authorization-mode kube-apiserver.authorization-mode.AlwaysAllow":          "RBAC is an add-on of MicroK8s",
	"private-key-file files[\"/var/lib/k0s/pki/*].mode":                         "k0s gives keys the mode 0640",
	"etcd-client-certificates files[\"/var/lib/k0s/pki/*].mode":                 "k0s gives keys the mode 0640",
	"log-layers logging.audit":                                                  "the tree has no auditd, and its processes are seen",
	"system-log-forwarded logging.outputs":                                      "the tree has nothing that sends logs away, and its processes are seen",
	"control-plane-bind-address *.bind-address":                                 "kOps leaves Kubernetes' default, all addresses",
	"api-server-certificates kube-apiserver.kubelet-certificate-authority":      "kOps and Talos name none",
	"pod-security-admission kube-apiserver.*.defaults.enforce":                  "RKE2 enforces privileged unless a CIS profile is set",
	"encryption-provider kube-apiserver.encryption-provider-config.*":           "RKE2 encrypts by AES-CBC",
	"encryption-key-service kube-apiserver.encryption-provider-config.*":        "the key is in a file",
	"secrets-rewritten kube-apiserver.encryption-provider-config.*providers[1]": "identity stays behind the first provider",
	"log-layers kube-apiserver.audit-policy-file.rules":                         "RKE2's policy has the one rule None",
	"audit-log-off kube-apiserver.audit-policy-file.rules":                      "RKE2's policy has the one rule None",
}

var (
	kubeletDefaults = []string{
		"container-log-limits kubelet.containerLogMaxFiles", "container-log-limits kubelet.containerLogMaxSize",
		"kubelet-seccomp-default kubelet.seccompDefault", "pod-pids-limit kubelet.podPidsLimit",
		"reserved-pids kubelet.evictionHard.pid.available", "reserved-pids kubelet.kubeReserved.pid", "reserved-pids kubelet.systemReserved.pid",
	}
	serverDefaults = []string{
		"audit-log-off kube-apiserver.audit-policy-file", "encryption-at-rest kube-apiserver.encryption-provider-config", "log-layers kube-apiserver.audit-policy-file",
		"pod-security-admission kube-apiserver.admission-control-config-file",
		"token-lifetime kube-apiserver.service-account-extend-token-expiration", "token-lifetime kube-apiserver.service-account-max-token-expiration",
	}
)

// An installed is what a distribution installs, and what is found fault with there.
type installed struct {
	distribution evidence.Distribution
	roles        []evidence.Role
	components   string
	faults       [][]string
}

func installations() map[string]installed {
	const bootstrap = "authentication-methods kube-apiserver.enable-bootstrap-token-auth"
	whole := "kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet"
	server, both, worker := []evidence.Role{evidence.ControlPlane}, []evidence.Role{evidence.ControlPlane, evidence.EtcdMember}, []evidence.Role{evidence.Worker}
	return map[string]installed{
		"k3s-server": {evidence.K3s, server, "cloud-controller-manager containerd k3s " + whole, [][]string{kubeletDefaults, serverDefaults, {
			bootstrap, `kubeconfig-content files["/etc/rancher/k3s/k3s.yaml"].users.default.client-certificate-data`,
		}}},
		"k3s-agent": {evidence.K3s, worker, "containerd k3s-agent kube-proxy kubelet", [][]string{kubeletDefaults}},
		"rke2-server": {evidence.RKE2, both, "cloud-controller-manager containerd etcd " + whole + " rke2-server", [][]string{kubeletDefaults, {
			bootstrap, `kubeconfig-content files["/etc/rancher/rke2/rke2.yaml"].users.default.client-certificate-data`,
			"audit-log-off kube-apiserver.audit-policy-file.rules", "log-layers kube-apiserver.audit-policy-file.rules",
			"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]", "encryption-provider kube-apiserver.encryption-provider-config.resources[0].providers[0]",
			"secrets-rewritten kube-apiserver.encryption-provider-config.resources[0].providers[1]",
			"pod-security-admission kube-apiserver.admission-control-config-file.plugins[0].configuration.defaults.enforce",
			"token-lifetime kube-apiserver.service-account-extend-token-expiration", "token-lifetime kube-apiserver.service-account-max-token-expiration",
		}}},
		"microk8s": {evidence.MicroK8s, server, "containerd " + whole, [][]string{kubeletDefaults, serverDefaults, {
			"anonymous-requests kube-apiserver.anonymous-auth", "authorization-mode kube-apiserver.authorization-mode.AlwaysAllow",
			`kubeconfig-content files["/var/snap/microk8s/current/credentials/client.config"].users.user.client-certificate-data`,
			"kubelet-api-access kubelet.authorization.mode", "kubelet-authorization kubelet.authorization.mode", "kubelet-client-rotation kubelet.rotateCertificates",
			"tls-cipher-suites kube-apiserver.tls-cipher-suites.TLS_RSA_WITH_3DES_EDE_CBC_SHA", "tls-cipher-suites kube-apiserver.tls-cipher-suites.TLS_RSA_WITH_AES_128_CBC_SHA",
		}}},
		"k0s-controller": {evidence.K0s, both, "etcd k0scontroller kube-apiserver kube-controller-manager kube-scheduler", [][]string{serverDefaults, {
			bootstrap, `kubeconfig-content files["/var/lib/k0s/pki/admin.conf"].users.user.client-certificate-data`,
			`etcd-client-certificates files["/var/lib/k0s/pki/apiserver-etcd-client.key"].mode`, `etcd-client-certificates files["/var/lib/k0s/pki/etcd/peer.key"].mode`, `etcd-client-certificates files["/var/lib/k0s/pki/etcd/server.key"].mode`,
			`private-key-file files["/var/lib/k0s/pki/apiserver-kubelet-client.key"].mode`, `private-key-file files["/var/lib/k0s/pki/front-proxy-client.key"].mode`,
			`private-key-file files["/var/lib/k0s/pki/sa.key"].mode`, `private-key-file files["/var/lib/k0s/pki/server.key"].mode`,
			"log-layers logging.audit", "system-log-forwarded logging.outputs",
		}}},
		"talos": {evidence.Talos, both, "etcd kube-apiserver kube-controller-manager kube-scheduler kubelet", [][]string{{
			bootstrap, "encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]", "secrets-rewritten kube-apiserver.encryption-provider-config.resources[0].providers[1]",
			"api-server-certificates kube-apiserver.kubelet-certificate-authority",
			"token-lifetime kube-apiserver.service-account-extend-token-expiration", "token-lifetime kube-apiserver.service-account-max-token-expiration",
		}}},
		"kops": {evidence.KOps, server, whole, [][]string{kubeletDefaults, serverDefaults, {
			"api-server-certificates kube-apiserver.kubelet-certificate-authority", "kubelet-client-rotation kubelet.rotateCertificates",
			"control-plane-bind-address kube-controller-manager.bind-address", "control-plane-bind-address kube-scheduler.bind-address",
		}}},
		"eks-node": {evidence.EKS, worker, "containerd kubelet", [][]string{kubeletDefaults}},
		"gke-node": {evidence.GKE, worker, "containerd kube-proxy kubelet", [][]string{
			slices.DeleteFunc(slices.Clone(kubeletDefaults), func(s string) bool { return strings.Contains(s, "evictionHard") }),
			{"kubelet-read-only-port kubelet.readOnlyPort"},
		}},
		"aks-node": {evidence.AKS, worker, "containerd kubelet", [][]string{
			slices.DeleteFunc(slices.Clone(kubeletDefaults), func(s string) bool {
				return strings.Contains(s, "evictionHard") || strings.Contains(s, "kubeReserved")
			}),
			{"tls-cipher-suites kubelet.tlsCipherSuites.TLS_RSA_WITH_AES_128_GCM_SHA256", "tls-cipher-suites kubelet.tlsCipherSuites.TLS_RSA_WITH_AES_256_GCM_SHA384"},
		}},
	}
}

// What a distribution installs is recognised, and found fault with where it deserves it.
func TestDistributions(t *testing.T) {
	all := installations()
	for _, name := range checktest.Distributions(t) {
		want, ok := all[name]
		if !ok {
			t.Errorf("nothing is expected of %s", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := checktest.BaseNode(t, "distributions/"+name).Scan(t)
			h := s.Hosts[0]
			if h.Distribution != want.distribution || !slices.Equal(h.Roles, want.roles) {
				t.Errorf("%q with the roles %q", h.Distribution, h.Roles)
			}
			var components []string
			for _, c := range h.Components {
				components = append(components, c.Name)
			}
			if got := strings.Join(components, " "); got != want.components {
				t.Errorf("components %s", cmp.Diff(want.components, got))
			}
			for _, source := range s.Sources {
				if len(source.Errors) > 0 {
					t.Errorf("%v", source.Errors)
				}
			}
			faults := slices.Sorted(slices.Values(slices.Concat(want.faults...)))
			if diff := cmp.Diff(faults, foundIn(s)); diff != "" {
				t.Error(diff)
			}
			for _, f := range faults {
				if !isExplained(f) {
					t.Errorf("%s: nothing says why it is true", f)
				}
			}
		})
	}
}

// foundIn are the findings of all checks of nodes: check and field.
func foundIn(s *check.Scan) (found []string) {
	for _, c := range nodeChecks() {
		for _, f := range checktest.JudgeNode(c, s).Failures {
			found = append(found, c.ID+" "+f.Problem.Path.String())
		}
	}
	slices.Sort(found)
	return found
}

func isExplained(fault string) bool {
	for pattern := range defaultFaults {
		rest, ok := fault, true
		for i, part := range strings.Split(pattern, "*") {
			at := strings.Index(rest, part)
			if ok = at == 0 || at > 0 && i > 0; !ok {
				break
			}
			rest = rest[at+len(part):]
		}
		if ok && (rest == "" || strings.HasSuffix(pattern, "*")) {
			return true
		}
	}
	return false
}

// One change of what a distribution installs makes one difference.
func TestDistributionMutations(t *testing.T) {
	const anonymous = "anonymous-requests kube-apiserver.anonymous-auth"
	for name, m := range map[string]struct {
		base, change string
		more, less   []string
	}{
		"k3s: a flag in the configuration": {"k3s-server", "-- etc/rancher/k3s/config.yaml --\nkube-apiserver-arg:\n- anonymous-auth=true\n", []string{anonymous}, nil},
		"k3s: a flag added by a drop-in": {"k3s-server", "-- etc/rancher/k3s/config.yaml --\nkubelet-arg: [v=2]\n-- etc/rancher/k3s/config.yaml.d/10-more.yaml --\nkubelet-arg+: read-only-port=10255\n",
			[]string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
		"k3s: a drop-in in place of the configuration":     {"k3s-server", "-- etc/rancher/k3s/config.yaml --\nkube-apiserver-arg: anonymous-auth=true\n-- etc/rancher/k3s/config.yaml.d/10-more.yaml --\nkube-apiserver-arg: [v=2]\n", nil, nil},
		"k3s: the unit's flag wins over the configuration": {"k3s-server", "# replace: etc/systemd/system/k3s.service \"    server \\\\\\n\" \"    server --kube-apiserver-arg=anonymous-auth=false \\\\\\n\"\n-- etc/rancher/k3s/config.yaml --\nkube-apiserver-arg: anonymous-auth=true\n", nil, nil},
		"k3s: secrets-encryption": {"k3s-server", "-- etc/rancher/k3s/config.yaml --\nsecrets-encryption: true\n-- var/lib/rancher/k3s/server/cred/encryption-config.json --\n{\"kind\": \"EncryptionConfiguration\", \"apiVersion\": \"apiserver.config.k8s.io/v1\", \"resources\": [{\"resources\": [\"secrets\"], \"providers\": [{\"secretbox\": {\"keys\": [{\"name\": \"key\", \"secret\": \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"}]}}]}]}\n",
			[]string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}, []string{"encryption-at-rest kube-apiserver.encryption-provider-config"}},
		"k3s: an agent's drop-in":           {"k3s-agent", "-- var/lib/rancher/k3s/agent/etc/kubelet.conf.d/99-own.conf --\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication: {anonymous: {enabled: true}}\n", []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
		"k3s: an agent's flag":              {"k3s-agent", "# replace: etc/systemd/system/k3s-agent.service \"    agent \\\\\\n\" \"    agent --kubelet-arg authorization-mode=AlwaysAllow \\\\\\n\"\n", []string{"kubelet-api-access kubelet.authorization.mode", "kubelet-authorization kubelet.authorization.mode"}, nil},
		"rke2: the manifest":                {"rke2-server", "# replace: var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml \"--anonymous-auth=false\" \"--anonymous-auth=true\"\n", []string{anonymous}, nil},
		"rke2: the kubelet's flags":         {"rke2-server", "-- etc/rancher/rke2/config.yaml --\nkubelet-arg:\n- --read-only-port=10255\n", []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
		"rke2: etcd's configuration":        {"rke2-server", "# replace: var/lib/rancher/rke2/server/db/etcd/config \"  client-cert-auth: true\\n  key-file: /var/lib/rancher/rke2/server/tls/etcd/server-client.key\" \"  client-cert-auth: false\\n  key-file: /var/lib/rancher/rke2/server/tls/etcd/server-client.key\"\n", []string{"etcd-client-auth etcd.client-cert-auth"}, nil},
		"microk8s: the kubelet's arguments": {"microk8s", "# replace: var/snap/microk8s/current/args/kubelet \"--anonymous-auth=false\" \"--anonymous-auth=true\"\n", []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
		"microk8s: RBAC":                    {"microk8s", "# replace: var/snap/microk8s/current/args/kube-apiserver \"--authorization-mode=AlwaysAllow\" \"--authorization-mode=RBAC,Node\"\n", []string{"node-restriction kube-apiserver.enable-admission-plugins.NodeRestriction"}, []string{"authorization-mode kube-apiserver.authorization-mode.AlwaysAllow"}},
		"microk8s: passwords":               {"microk8s", "# replace: var/snap/microk8s/current/args/kube-apiserver \"--profiling=false\" \"--token-auth-file=${SNAP_DATA}/credentials/known_tokens.csv\"\n-- var/snap/microk8s/current/credentials/known_tokens.csv --\n", []string{"static-credentials kube-apiserver.token-auth-file"}, nil},
		"k0s: a flag that runs":             {"k0s-controller", "# replace: proc/920/cmdline \"--anonymous-auth=false\" \"--anonymous-auth=true\"\n", []string{anonymous}, nil},
		"k0s: etcd":                         {"k0s-controller", "# replace: proc/910/cmdline \"--client-cert-auth=true\" \"--client-cert-auth=false\"\n", []string{"etcd-client-auth etcd.client-cert-auth"}, nil},
		// What k0s passes by itself is not known then, so that what depends on it is not judged.
		"k0s: the configuration, where nothing runs": {"k0s-controller", "# remove: proc\n# replace: etc/k0s/k0s.yaml \"    port: 6443\" \"    port: 6443\\n    extraArgs:\\n      anonymous-auth: \\\"true\\\"\"\n", []string{anonymous}, slices.Sorted(slices.Values(append(slices.Clone(serverDefaults), "log-layers logging.audit", "system-log-forwarded logging.outputs")))},
		"talos: the API server's arguments":          {"talos", "# replace: controlplane.yaml \"    certSANs: [10.0.0.10]\" \"    certSANs: [10.0.0.10]\\n    extraArgs:\\n      anonymous-auth: true\"\n", []string{anonymous}, nil},
		"talos: the kubelet's configuration":         {"talos", "# replace: controlplane.yaml \"    disableManifestsDirectory: true\" \"    extraConfig:\\n      readOnlyPort: 10255\"\n", []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
		"talos: pods may be privileged":              {"talos", "# replace: controlplane.yaml \"enforce: baseline\" \"enforce: privileged\"\n", []string{"pod-security-admission kube-apiserver.admission-control-config-file.plugins[0].configuration.defaults.enforce"}, nil},
		"kops: the manifest":                         {"kops", "# replace: etc/kubernetes/manifests/kube-apiserver.manifest \"--anonymous-auth=false\" \"--anonymous-auth=true\"\n", []string{anonymous}, nil},
		"kops: the kubelet's configuration":          {"kops", "# replace: var/lib/kubelet/kubelet.conf \"mode: Webhook\" \"mode: AlwaysAllow\"\n", []string{"kubelet-api-access kubelet.authorization.mode", "kubelet-authorization kubelet.authorization.mode"}, nil},
		"eks: a drop-in":                             {"eks-node", "-- etc/kubernetes/kubelet/config.json.d/50-own.conf --\n{\"apiVersion\": \"kubelet.config.k8s.io/v1beta1\", \"kind\": \"KubeletConfiguration\", \"readOnlyPort\": 10255}\n", []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
		"eks: a flag":                                {"eks-node", "# replace: etc/eks/kubelet/environment \"--node-ip\" \"--anonymous-auth=true --node-ip\"\n", []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
		"gke: the configuration":                     {"gke-node", "# replace: home/kubernetes/kubelet-config.yaml \"  anonymous:\\n    enabled: false\" \"  anonymous:\\n    enabled: true\"\n", []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
		"gke: without the read-only port":            {"gke-node", "# replace: home/kubernetes/kubelet-config.yaml \"readOnlyPort: 10255\" \"readOnlyPort: 0\"\n", nil, []string{"kubelet-read-only-port kubelet.readOnlyPort"}},
		"aks: a flag":                                {"aks-node", "# replace: etc/default/kubelet \"--read-only-port=0\" \"--read-only-port=10255\"\n", []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
		"aks: azure.json":                            {"aks-node", "# mode: 0666 0:0 etc/kubernetes/azure.json\n", []string{`node-file-permissions files["/etc/kubernetes/azure.json"].mode`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := foundIn(checktest.BaseNode(t, "distributions/"+m.base).Scan(t))
			after := foundIn(checktest.ParseNode(t, name, "# base: distributions/"+m.base+"\n"+m.change).Scan(t))
			if diff := cmp.Diff(m.more, without(after, before)); diff != "" {
				t.Errorf("more: %s", diff)
			}
			if diff := cmp.Diff(m.less, without(before, after)); diff != "" {
				t.Errorf("less: %s", diff)
			}
		})
	}
}

// without are the texts that the others do not have.
func without(list, others []string) (left []string) {
	for _, s := range list {
		if !slices.Contains(others, s) {
			left = append(left, s)
		}
	}
	return left
}

// Where the configuration that could switch anything on cannot be read, nothing passes
// that it decides.
func TestBrokenDistributionPassesNothing(t *testing.T) {
	kubelet := []string{"kubelet-api-access", "kubelet-authorization", "kubelet-read-only-port"}
	server := append([]string{"anonymous-requests", "authorization-mode", "static-credentials", "audit-log-off", "encryption-at-rest", "pod-security-admission", "node-restriction", "token-lifetime", "tls-version"}, kubelet...)
	for name, m := range map[string]struct {
		base, change string
		checks       []string
	}{
		"k3s":          {"k3s-server", "-- etc/rancher/k3s/config.yaml --\nkube-apiserver-arg: [\n", server},
		"k3s, drop-in": {"k3s-server", "-- etc/rancher/k3s/config.yaml.d/a.yaml --\na: *b\n", append([]string{"cni-plugin"}, server...)},
		"k3s agent":    {"k3s-agent", "-- etc/rancher/k3s/config.yaml --\n- a list\n", kubelet},
		"rke2":         {"rke2-server", "-- etc/rancher/rke2/config.yaml --\na: &a [*a]\n", kubelet},
		"microk8s":     {"microk8s", "# replace: var/snap/microk8s/current/args/kubelet \"--read-only-port=0\" \"--read-only-port=$(cat /port)\"\n", kubelet},
		"talos":        {"talos", "-- controlplane.yaml --\nmachine:\n  type: [\n", kubelet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := checktest.ParseNode(t, name, "# base: distributions/"+m.base+"\n"+m.change).Scan(t)
			if len(s.Sources[0].Errors) != 1 || s.Sources[0].Errors[0].File == "" {
				t.Errorf("%+v", s.Sources[0].Errors)
			}
			for _, c := range nodeChecks() {
				if !slices.Contains(m.checks, c.ID) {
					continue
				}
				if run := checktest.JudgeNode(c, s); len(run.Failures) > 0 || len(run.Unknowns) == 0 {
					t.Errorf("%s: %d failures, and nothing said of what is not known", c.ID, len(run.Failures))
				}
			}
		})
	}
}
