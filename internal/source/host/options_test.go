package host

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// optionLines prints options with their places: path=value file:line.
func optionLines(options map[string]evidence.Option) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o := options[name]
		fmt.Fprintf(&out, "%s=%s %s:%d\n", name, o.Value, o.Place.File, o.Place.Line)
	}
	return out.String()
}

// The kubelet lays drop-ins over its file, in the order of their names through all
// folders, and its flags over both.
func TestKubeletOptions(t *testing.T) {
	const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	c := component(t, node{
		"etc/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c.yaml --config-dir /c.d --read-only-port=0 --feature-gates=B=false,C=true --tls-cipher-suites=A,B --tls-cipher-suites=C --system-reserved=cpu=1 --eviction-hard=memory.available<5% --anonymous-auth --seccomp-default --register-with-taints=a=b:NoSchedule,c:NoExecute --max-pods=many --kube-api-qps=1.5\n",
		"c.yaml": head + `authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
readOnlyPort: 10255
featureGates: {A: true, B: true}
clusterDNS: [10.0.0.1]
maxPods: {not: a number}
systemReserved: {memory: 1Gi}
evictionHard: {nodefs.available: 10%}
rotateCertificates: true
unknownField: {of: a newer version}
`,
		"c.d/10-a.conf":      head + "clusterDNS: [10.0.0.2, 10.0.0.3]\nauthentication:\n  webhook:\n    enabled: false\n",
		"c.d/20-b/30-c.conf": head + "authentication: {webhook: {cacheTTL: 1m}}\nrotateCertificates: null\n",
		"c.d/25-d.conf":      head + "authentication: {webhook: {cacheTTL: 2m}}\n",
		"c.d/99-other.yaml":  head + "clusterDNS: []\n",
	}, evidence.Kubelet)
	const unit = "/etc/systemd/system/kubelet.service:2"
	compare(t, optionLines(c.Options), `authentication.anonymous.enabled=true `+unit+`
authentication.webhook.cacheTTL="2m" /c.d/25-d.conf:3
authentication.webhook.enabled=false /c.d/10-a.conf:6
clusterDNS=["10.0.0.2","10.0.0.3"] /c.d/10-a.conf:3
evictionHard.memory.available="5%" `+unit+`
featureGates.A=true /c.yaml:7
featureGates.B=false `+unit+`
featureGates.C=true `+unit+`
kubeAPIQPS=1.5 `+unit+`
maxPods="many" `+unit+`
readOnlyPort=0 `+unit+`
registerWithTaints=[{"effect":"NoSchedule","key":"a","value":"b"},{"effect":"NoExecute","key":"c"}] `+unit+`
seccompDefault=true `+unit+`
systemReserved.cpu="1" `+unit+`
tlsCipherSuites=["A","B","C"] `+unit+`
unknownField.of="a newer version" /c.yaml:13
`)
	if c.Unread != "" {
		t.Error(c.Unread)
	}
	if d := c.Documents["config"]; d == nil || d.Kind != "KubeletConfiguration" {
		t.Errorf("%+v", d)
	}
}

// Laying documents over each other is what the kubelet's own library does.
func TestMergePatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(jsonObject(3), 1, 4).Draw(t, "documents")
		want, m := []byte("{}"), merging{}
		var decoder yamldoc.Decoder
		for _, text := range texts {
			var err error
			if want, err = jsonpatch.MergePatch(want, []byte(text)); err != nil {
				t.Fatal(err)
			}
			for doc, problem := range decoder.Documents("f", []byte(text)) {
				if problem != nil {
					t.Fatal(problem)
				}
				m.patch(doc.JSON, doc.Outline, evidence.Path{}, "")
			}
		}
		var tree any
		if err := json.Unmarshal(want, &tree); err != nil {
			t.Fatal(err)
		}
		leaves := map[string]string{}
		flatten(tree, "", leaves)
		got := map[string]string{}
		for name, o := range m {
			got[name] = string(o.Value)
		}
		if diff := cmp.Diff(leaves, got); diff != "" {
			t.Fatalf("%s\n%s", texts, diff)
		}
	})
}

func flatten(value any, name string, leaves map[string]string) {
	fields, ok := value.(map[string]any)
	if !ok {
		text, _ := json.Marshal(value)
		leaves[name] = string(text)
		return
	}
	for field, below := range fields {
		flatten(below, strings.TrimPrefix(name+"."+field, "."), leaves)
	}
}

// jsonObject generates objects of few names, so that they meet.
func jsonObject(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var fields []string
		for _, name := range []string{"a", "b", "c"} {
			switch rapid.IntRange(0, 6).Draw(t, name) {
			case 0:
				fields = append(fields, fmt.Sprintf("%q:null", name))
			case 1:
				fields = append(fields, fmt.Sprintf("%q:%d", name, rapid.IntRange(0, 9).Draw(t, "n")))
			case 2:
				fields = append(fields, fmt.Sprintf("%q:[%d]", name, rapid.IntRange(0, 9).Draw(t, "n")))
			case 3, 4:
				if depth > 0 {
					fields = append(fields, fmt.Sprintf("%q:%s", name, jsonObject(depth-1).Draw(t, "below")))
				}
			}
		}
		return "{" + strings.Join(fields, ",") + "}"
	})
}

// A configuration of another version is understood as far as it can be.
func TestForeignConfig(t *testing.T) {
	unit := node{"etc/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c.yaml\n"}
	for text, unread := range map[string]string{
		"apiVersion: kubelet.config.k8s.io/v1\nkind: KubeletConfiguration\nport: 1\n": "kubelet.config.k8s.io/v1 KubeletConfiguration",
		"apiVersion: v1\nkind: ConfigMap\nport: 1\n":                                  "v1 ConfigMap",
		"port: 1\n": "not known here",
		"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nport: 1\n": "",
	} {
		c := component(t, unit.with(node{"c.yaml": text}), evidence.Kubelet)
		if (unread == "") != (c.Unread == "") || !strings.Contains(c.Unread, unread) || string(c.Options["port"].Value) != "1" {
			t.Errorf("%s: %q %v", text, c.Unread, c.Options)
		}
	}
	for text, unread := range map[string]string{"": "empty", "[]": "no fields", "a: b: c": "mapping", "port: 1\n---\nport: 2\n": "second document"} {
		c := component(t, unit.with(node{"c.yaml": text}), evidence.Kubelet)
		if !strings.HasPrefix(c.Unread, "/c.yaml: ") || len(c.Options) != 0 {
			t.Errorf("%q: %q, want %q", text, c.Unread, unread)
		}
	}
	for flag, unread := range map[string]string{"--config=/none": "/none", "--config=c.yaml": "relative"} {
		c := component(t, node{"etc/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet " + flag + "\n"}, evidence.Kubelet)
		if !strings.Contains(c.Unread, unread) {
			t.Errorf("%s: %q", flag, c.Unread)
		}
	}
}

// kube-proxy and the scheduler take their flags only where there is no file.
func TestConfigByFileOrFlags(t *testing.T) {
	unit := func(program, flags string) node {
		return node{"etc/systemd/system/" + program + ".service": "[Service]\nExecStart=/usr/bin/" + program + " " + flags + "\n"}
	}
	files := node{
		"p.yaml": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmetricsBindAddress: 127.0.0.1\n",
		"s.yaml": "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nenableProfiling: false\n",
	}
	for _, test := range []struct{ program, flags, option, want string }{
		{evidence.KubeProxy, "--config=/p.yaml --metrics-bind-address=0.0.0.0", "metricsBindAddress", `"127.0.0.1"`},
		{evidence.KubeProxy, "--metrics-bind-address=0.0.0.0", "metricsBindAddress", `"0.0.0.0"`},
		{evidence.Scheduler, "--config=/s.yaml --profiling", "enableProfiling", "false"},
		{evidence.Scheduler, "--profiling", "enableProfiling", "true"},
	} {
		c := component(t, unit(test.program, test.flags).with(files), test.program)
		if got := string(c.Options[test.option].Value); got != test.want || c.Unread != "" {
			t.Errorf("%s %s: %s, want %s %s", test.program, test.flags, got, test.want, c.Unread)
		}
	}
}

// etcd is set up by flags, by variables, or by a file that makes it ignore both.
func TestEtcd(t *testing.T) {
	c := component(t, node{"etc/systemd/system/etcd.service": "[Service]\nEnvironment=ETCD_NAME=a ETCD_DATA_DIR=/d ETCD_CLIENT_CERT_AUTH=true ETCDCTL_API=3\nExecStart=/usr/bin/etcd --name b\n"}, evidence.Etcd)
	compare(t, flagLines(c.Flags), "name=b etcd.service:3\nclient-cert-auth=true etcd.service:2\ndata-dir=/d etcd.service:2\n")
	file := `name: c
snapshot-count: 10000
cipher-suites: [A, B]
client-transport-security:
  cert-file: /server.crt
  client-cert-auth: true
peer-transport-security:
  auto-tls: false
  trusted-ca-file: /ca.crt
`
	c = component(t, node{
		"etc/systemd/system/etcd.service": "[Service]\nEnvironmentFile=/etc/etcd.env\nExecStart=/usr/bin/etcd --name b\n",
		"etc/etcd.env":                    "ETCD_CONFIG_FILE=/etc/etcd.yaml\nETCD_DATA_DIR=/d\n",
		"etc/etcd.yaml":                   file,
	}, evidence.Etcd)
	compare(t, flagLines(c.Flags), `config-file=/etc/etcd.yaml etcd.env:1
cipher-suites=A,B etcd.yaml:3
cert-file=/server.crt etcd.yaml:5
client-cert-auth=true etcd.yaml:6
name=c etcd.yaml:1
peer-auto-tls=false etcd.yaml:8
peer-trusted-ca-file=/ca.crt etcd.yaml:9
snapshot-count=10000 etcd.yaml:2
`)
	c = component(t, node{"etc/systemd/system/etcd.service": "[Service]\nExecStart=/usr/bin/etcd --config-file=/none\n"}, evidence.Etcd)
	if !strings.Contains(c.Unread, "/none") {
		t.Error(c.Unread)
	}
}
