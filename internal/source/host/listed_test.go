package host

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// podOf is a static pod that runs a program with arguments.
func podOf(command ...string) string {
	list, _ := json.Marshal(command)
	return `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "registry.k8s.io/x:v1.36.3", "command": ` + string(list) + `}]}}`
}

// What a text tells of a process wins over the manifest as /proc does, and what it may
// have lost is open.
func TestListedProcess(t *testing.T) {
	long := "--tls-cipher-suites=" + strings.Repeat("A", 600)
	manifest := podOf("kube-apiserver", "--anonymous-auth=false", "--profiling=false", long)
	const ps = "    1 root init --x\n"
	for name, test := range map[string]struct {
		ps, manifest string
		way          evidence.Way
		flags        []string // name=value, or -name for one that is not there
		unread       string
	}{
		"the same":             {"391 root kube-apiserver --anonymous-auth=false --profiling=false " + long, manifest, evidence.FromProcess, []string{"anonymous-auth=false", "profiling=false"}, ""},
		"another value":        {"391 root kube-apiserver --anonymous-auth=true --profiling=false " + long, manifest, evidence.FromProcess, []string{"anonymous-auth=true"}, ""},
		"without a manifest":   {"391 root kube-apiserver --profiling=false " + long, "", evidence.FromProcess, []string{"profiling=false", "-anonymous-auth"}, ""},
		"cut":                  {"391 root kube-apiserver --anonymous-auth=fal", manifest, evidence.FromFile, []string{"anonymous-auth=false", "profiling=false"}, ""},
		"cut within a name":    {"391 root kube-apiserver --anonymous-auth=false --prof", manifest, evidence.FromFile, []string{"profiling=false"}, ""},
		"cut, and other":       {"391 root kube-apiserver --anonymous-auth=true --prof", manifest, evidence.FromProcess, []string{"anonymous-auth=true", "-prof", "-profiling"}, "may be cut"},
		"cut, and no manifest": {"391 root kube-apiserver --anonymous-auth=true --profiling=fal", "", evidence.FromProcess, []string{"anonymous-auth=true", "-profiling"}, "may be cut"},
		"short, but the same":  {"391 root kube-apiserver --profiling=false", podOf("kube-apiserver", "--profiling=false"), evidence.FromProcess, []string{"profiling=false"}, ""},
		"cut in the last":      {"391 root kube-apiserver --profiling=f", podOf("kube-apiserver", "--profiling=false"), evidence.FromFile, []string{"profiling=false"}, ""},
		"a blank in a value":   {"391 root kube-apiserver --runtime-config=a, b --profiling=false " + long, "", evidence.FromProcess, []string{"-runtime-config", "profiling=false"}, "a word without a flag"},
		"two words of a flag":  {"391 root kube-apiserver --runtime-config a --profiling=false " + long, "", evidence.FromProcess, []string{"runtime-config=a", "profiling=false"}, ""},
	} {
		files := node{"gabion/ps.txt": ps + test.ps + "\n", "etc/kubernetes/manifests/.keep": ""}
		if test.manifest != "" {
			files["etc/kubernetes/manifests/kube-apiserver.yaml"] = test.manifest
		}
		c := component(t, files, evidence.APIServer)
		if c.Way != test.way || (test.unread == "") != (c.Unread == "") || !strings.Contains(c.Unread, test.unread) {
			t.Errorf("%s: by %s, %q", name, c.Way, c.Unread)
		}
		for _, want := range test.flags {
			key, value, given := strings.Cut(want, "=")
			f, got := c.Flag(strings.TrimPrefix(key, "-"))
			if got != given || f.Value != value {
				t.Errorf("%s: --%s is %q, %v", name, key, f.Value, got)
			}
		}
	}
}

// Only the names of what runs say nothing against the manifest, and that they are all.
func TestListedNames(t *testing.T) {
	h, _, _ := read(t, node{
		"gabion/ps.txt": "  PID COMMAND\n    1 systemd\n  391 kube-apiserver\n",
		"etc/kubernetes/manifests/kube-apiserver.yaml": podOf("kube-apiserver", "--profiling=false"),
	}.fs())
	c := h.Component(evidence.APIServer)
	if c == nil || c.Way != evidence.FromFile || c.Unread != "" || len(c.Flags) != 1 {
		t.Errorf("%+v", c)
	}
	if ok, why := h.Saw(evidence.TheProcesses); ok || !strings.Contains(why, "only the names") {
		t.Errorf("%v, %q", ok, why)
	}
}

// etcd reads variables, which no text has: where it runs as its pod is written, they are
// the pod's.
func TestListedEtcd(t *testing.T) {
	const run = "etcd --client-cert-auth=true --data-dir=/var/lib/etcd"
	for manifest, want := range map[string]string{
		podOf(strings.Fields(run)...): "",
		podOf("etcd"):                 hiddenVariables,
	} {
		c := component(t, node{"gabion/cmdlines.txt": run + " \ninit \n", "etc/kubernetes/manifests/etcd.yaml": manifest}, evidence.Etcd)
		if c.Unread != want || c.Way != evidence.FromProcess {
			t.Errorf("%q, want %q", c.Unread, want)
		}
	}
}

// The kubelet's own account is judged where nothing else tells all, and is otherwise
// put beside the rest.
func TestConfigz(t *testing.T) {
	const account = `{"kubeletconfig": {"authentication": {"anonymous": {"enabled": false}}, "readOnlyPort": 10255, "podPidsLimit": -1,
		"staticPodURLHeader": {"Authorization": ["Bearer abcdefghijkl"]}}}`
	const config = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nreadOnlyPort: 0\n"
	files := node{"gabion/configz.json": account, "var/lib/kubelet/config.yaml": config, "etc/kubernetes/kubelet.conf": ""}
	c := component(t, files, evidence.Kubelet)
	o := c.Options["readOnlyPort"]
	if c.Way != evidence.FromAPI || c.Unread != "" || string(o.Value) != "10255" || o.Place.File != ConfigzText || o.Place.Line != 1 || len(c.Others) != 1 {
		t.Errorf("%+v", c)
	}
	if text, _ := json.Marshal(c.Options); strings.Contains(string(text), "abcdef") {
		t.Errorf("%s", text)
	}
	c = component(t, files.with(node{"gabion/cmdlines.txt": "kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf \n"}), evidence.Kubelet)
	if c.Way != evidence.FromProcess || string(c.Options["readOnlyPort"].Value) != "0" || len(c.Others) != 1 || c.Others[0].Way != evidence.FromAPI {
		t.Errorf("%+v", c)
	}
	for _, broken := range []string{"", "{}", "[]", `{"kubeletconfig": 5}`, "{", `{"kubeletconfig": {}}`} {
		if c := component(t, files.with(node{"gabion/configz.json": broken}), evidence.Kubelet); c.Way != evidence.FromFile || c.Unread == "" {
			t.Errorf("%q: %+v", broken, c)
		}
	}
}
