package host

import (
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const k3sUnit = `[Service]
Environment="K3S_DATASTORE_ENDPOINT=mysql://user:SECRET/@x@tcp(db:3306)/kube"
ExecStart=/usr/local/bin/k3s server --token SECRET --kubelet-arg=v=4 \
  --node-name cp-7
`

func k3sNode(more node) node {
	return node{
		"etc/systemd/system/k3s.service":                  k3sUnit,
		"var/lib/rancher/k3s/server/tls/request-header-x": "",
	}.with(more)
}

// settingLines are the flags of those names.
func settingLines(c *evidence.Component, names ...string) string {
	var kept []evidence.Flag
	for _, f := range c.Flags {
		if contains(names, f.Name) {
			kept = append(kept, f)
		}
	}
	return flagLines(kept)
}

// The configuration, its drop-ins and the unit make up what K3s passes.
func TestK3sSettings(t *testing.T) {
	n := k3sNode(node{
		"etc/rancher/k3s/config.yaml":             "kube-apiserver-arg:\n- anonymous-auth=true\n- v=1\nkubelet-arg: max-pods=50\nnode-name: other\nprotect-kernel-defaults: true\n",
		"etc/rancher/k3s/config.yaml.d/20-b.yml":  "kubelet-arg+:\n- --read-only-port=10255\n",
		"etc/rancher/k3s/config.yaml.d/10-a.yaml": "kube-apiserver-arg: [profiling=true]\nkubelet-arg+: anonymous-auth=true\n",
		"etc/rancher/k3s/config.yaml.d/README":    "kube-apiserver-arg: [v=9]\n",
	})
	compare(t, settingLines(component(t, n, evidence.APIServer), "anonymous-auth", "v", "profiling", "etcd-servers"), `anonymous-auth=false k3s.service:3
etcd-servers=unix://kine.sock k3s.service:3
profiling=true 10-a.yaml:1
`)
	kubelet := component(t, n, evidence.Kubelet)
	compare(t, settingLines(kubelet, "max-pods", "read-only-port", "anonymous-auth", "v", "protect-kernel-defaults", "hostname-override"), `protect-kernel-defaults=true k3s.service:3
hostname-override=cp-7 k3s.service:3
max-pods=50 config.yaml:4
anonymous-auth=true 10-a.yaml:2
read-only-port=10255 20-b.yml:2
v=4 k3s.service:3
`)
	if string(kubelet.Options["authentication.anonymous.enabled"].Value) != "true" || kubelet.Unread != "" {
		t.Errorf("%+v", kubelet)
	}
	for _, name := range []string{"k3s", evidence.APIServer} {
		if all := flagLines(component(t, n, name).Flags); strings.Contains(all, "SECRET") {
			t.Error(all)
		}
	}
}

// A configuration may be JSON as well.
func TestK3sJSON(t *testing.T) {
	n := k3sNode(node{"etc/rancher/k3s/config.yaml": `{"kube-apiserver-arg": ["anonymous-auth=true", "audit-log-maxage=7"], "secrets-encryption": true}`})
	compare(t, settingLines(component(t, n, evidence.APIServer), "anonymous-auth", "audit-log-maxage", "encryption-provider-config"),
		`encryption-provider-config=/var/lib/rancher/k3s/server/cred/encryption-config.json k3s.service:3
anonymous-auth=true config.yaml:1
audit-log-maxage=7 config.yaml:1
`)
}

// Of what runs K3s shows no arguments: the unit tells them. Without one they are not
// known.
func TestK3sProcess(t *testing.T) {
	title := node{"proc/42/cmdline": "/usr/local/bin/k3s server\x00\x00\x00", "proc/42/comm": "k3s-server\n", "proc/42/environ": "A=B\x00"}
	if c := component(t, k3sNode(title), evidence.APIServer); c.Unread != "" || len(c.Flags) < 30 {
		t.Errorf("%+v", c)
	}
	shown := node{"proc/42/cmdline": "k3s\x00server\x00--kube-apiserver-arg\x00v=7\x00", "proc/42/comm": "k3s-server\n", "proc/42/environ": "A=B\x00", "etc/rancher/k3s/config.yaml": "debug: true\n"}
	if c := component(t, k3sNode(shown), "k3s"); len(c.Others) > 0 || flagLines(c.Flags) != "debug=true config.yaml:1\nkube-apiserver-arg=v=7 cmdline:0\n" {
		t.Errorf("%+v", c)
	}
	h, _, _ := read(t, title.with(node{"var/lib/rancher/k3s/server/token": ""}).fs())
	if c := h.Component(evidence.APIServer); c == nil || !strings.Contains(c.Unread, "hides") || h.Distribution != evidence.K3s {
		t.Errorf("%+v", c)
	}
	if c := component(t, node{"etc/rancher/k3s/config.yaml": "a: b\n"}, "k3s-agent"); !strings.Contains(c.Unread, "how k3s is started") {
		t.Errorf("%+v", c)
	}
}

// A folder for the data of one's own is where everything is looked for.
func TestK3sDataDir(t *testing.T) {
	h, _, _ := read(t, k3sNode(node{
		"etc/rancher/k3s/config.yaml":         "data-dir: /srv/k3s\ncluster-init: true\ndatastore-endpoint: \"\"\n",
		"etc/systemd/system/k3s.service":      "[Service]\nExecStart=/usr/local/bin/k3s server\n",
		"srv/k3s/server/db/etcd/config":       "client-transport-security: {client-cert-auth: true}\ndata-dir: /srv/k3s/server/db/etcd\n",
		"srv/k3s/agent/pod-manifests/a.yaml":  strings.ReplaceAll(apiServerPod, "kube-apiserver", "kube-proxy"),
		"srv/k3s/server/cred/x.kubeconfig":    "kind: Config\nclusters: []\n",
		"srv/k3s/server/tls/client-admin.key": "",
	}).fs())
	if c := h.Component(evidence.Etcd); c == nil || flagLines(c.Flags) != "config-file=/srv/k3s/server/db/etcd/config k3s.service:2\nclient-cert-auth=true config:1\ndata-dir=/srv/k3s/server/db/etcd config:2\n" {
		t.Errorf("%+v", c)
	}
	if h.Files["/srv/k3s/server/tls/client-admin.key"] == nil || len(h.Kubeconfigs) != 1 || !h.Has(evidence.EtcdMember) {
		t.Errorf("%+v", h.Kubeconfigs)
	}
	if f, ok := h.Component(evidence.APIServer).Flag("etcd-cafile"); !ok || f.Value != "/srv/k3s/server/tls/etcd/server-ca.crt" {
		t.Errorf("%+v", f)
	}
}

// What cannot be read of a distribution's configuration is told, and never taken for
// being empty; nothing of it is repeated.
func TestBrokenDistributions(t *testing.T) {
	deep := strings.Repeat("[", 5000)
	for name, text := range map[string]string{
		"broken":    "kube-apiserver-arg: [\nSECRET: \x00",
		"a list":    "- SECRET\n",
		"deep":      "a: " + deep,
		"a circle":  "a: &a\n  SECRET: *a\n",
		"merged":    "a: &a {<<: *a, SECRET: 1}\n",
		"aliases":   "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
		"an anchor": "a: *SECRET\n",
		"large":     "a: " + strings.Repeat("x", maxFile),
	} {
		for where, n := range map[string]node{
			"k3s":   k3sNode(node{"etc/rancher/k3s/config.yaml": text}),
			"rke2":  {"var/lib/rancher/rke2/agent/etc/x": "", "etc/rancher/rke2/config.yaml.d/a.yaml": text},
			"k0s":   {"etc/k0s/k0s.yaml": text, "etc/systemd/system/k0scontroller.service": "[Service]\nExecStart=/usr/local/bin/k0s controller\n"},
			"talos": {"controlplane.yaml": "machine: {type: controlplane}\n" + text},
		} {
			h, source, gaps := read(t, n.fs())
			if len(source.Errors) == 0 {
				t.Errorf("%s, %s: no error", where, name)
			}
			for _, e := range source.Errors {
				if e.File == "" || strings.Contains(e.Reason, "SECRET") {
					t.Errorf("%s, %s: %+v", where, name, e)
				}
			}
			if len(h.Components) == 0 || len(gaps) > 0 {
				t.Errorf("%s, %s: %v %v", where, name, h.Components, gaps)
			}
			for _, c := range h.Components {
				if c.Unread == "" && c.Name != evidence.Containerd {
					t.Errorf("%s, %s: %s counts as known", where, name, c.Name)
				}
				if !contains([]string{evidence.Etcd, evidence.Containerd, "k3s", "k0scontroller"}, c.Name) && len(c.Flags)+len(c.Options) > 0 {
					t.Errorf("%s, %s: %s is taken to have %v %v", where, name, c.Name, c.Flags, c.Options)
				}
				if strings.Contains(c.Unread, "SECRET") {
					t.Errorf("%s, %s: %s", where, name, c.Unread)
				}
			}
		}
	}
}

// A line of MicroK8s' arguments that is more than flags is told.
func TestMicroK8sArguments(t *testing.T) {
	n := node{
		"var/snap/microk8s/current/args/kube-apiserver": "# a comment\n--anonymous-auth=false --v 2\n\n--tls-cert-file=\"${SNAP_DATA}/certs/server.crt\"\n--cert-dir=$SNAP_COMMON/x\n",
		"var/snap/microk8s/current/args/kubelet":        "--v=1\n--root-dir=$(cat /etc/x)\n--read-only-port=0\n",
	}
	compare(t, flagLines(component(t, n, evidence.APIServer).Flags), `anonymous-auth=false kube-apiserver:2
v=2 kube-apiserver:2
tls-cert-file=/var/snap/microk8s/current/certs/server.crt kube-apiserver:4
cert-dir=/var/snap/microk8s/common/x kube-apiserver:5
`)
	h, source, _ := read(t, n.fs())
	c := h.Component(evidence.Kubelet)
	if c.Unread == "" || len(c.Flags) != 0 || len(source.Errors) != 1 || source.Errors[0].Line != 2 {
		t.Errorf("%+v %+v", c, source.Errors)
	}
	worker, _, _ := read(t, n.with(node{"var/snap/microk8s/current/var/lock/clustered.lock": ""}).fs())
	if worker.Component(evidence.APIServer) != nil || worker.Component(evidence.Kubelet) == nil {
		t.Error("a worker runs no API server")
	}
}

// Of Talos' machine configuration no secret is kept, and what users set is added to, or
// stands in place of, what Talos sets.
func TestTalosConfiguration(t *testing.T) {
	h, _, _ := read(t, node{"controlplane.yaml": `machine:
  type: controlplane
  token: SECRET
  network: {hostname: talos-1}
  kubelet:
    extraArgs: {node-labels: [a=b, c=d]}
    extraConfig: {authorization: {mode: AlwaysAllow}}
cluster:
  secret: SECRET
  secretboxEncryptionSecret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
  apiServer:
    extraArgs: {authorization-mode: Webhook, audit-log-maxage: 9}
---
apiVersion: v1alpha1
kind: EthernetConfig
`}.fs())
	c := h.Component(evidence.APIServer)
	compare(t, settingLines(c, "authorization-mode", "audit-log-maxage"), "audit-log-maxage=9 controlplane.yaml:12\nauthorization-mode=Node,RBAC,Webhook controlplane.yaml:12\n")
	d := c.Documents["encryption-provider-config"]
	if d == nil || !strings.Contains(string(d.JSON), "256 bit") || strings.Contains(string(d.JSON), "MDEy") || !strings.Contains(string(d.JSON), "secretbox") {
		t.Errorf("%+v", d)
	}
	kubelet := h.Component(evidence.Kubelet)
	if o := kubelet.Options["authorization.mode"]; string(o.Value) != `"AlwaysAllow"` || o.Place.Line != 7 || h.Node != "talos-1" {
		t.Errorf("%+v", o)
	}
	if f, _ := kubelet.Flag("node-labels"); f.Value != "c=d" {
		t.Errorf("%+v", f)
	}
}

// What is installed and was never started is no component; what something else starts
// is one.
func TestIdleDistribution(t *testing.T) {
	idle := node{
		"usr/lib/systemd/system/k3s.service":                   "[Service]\nExecStart=/usr/local/bin/k3s server --https-listen-port=7443\n",
		"etc/systemd/system/multi-user.target.wants/x.service": "",
		"var/lib/rancher/k3s/data/current":                     "",
	}
	h, _, _ := read(t, idle.fs())
	if h.Component(evidence.APIServer) != nil || h.Component("k3s") != nil {
		t.Errorf("%+v", h.Components)
	}
	started := idle.with(node{"var/lib/rancher/k3s/agent/kubelet.kubeconfig": "kind: Config\n"})
	h, _, _ = read(t, started.fs())
	c := h.Component(evidence.APIServer)
	if c == nil || h.Component("k3s") == nil {
		t.Fatalf("%+v", h.Components)
	}
	if f, _ := c.Flag("secure-port"); f.Value != "7444" {
		t.Error(f)
	}
	machine := evidence.Machine{Host: h}
	if p := machine.Ports(); p[0].Component != evidence.APIServer || p[0].Number != 7443 {
		t.Errorf("%+v", p)
	}
}
