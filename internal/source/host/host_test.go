package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// A node is the files of a node in memory, by path without the first slash. What
// begins with "-> " is a link.
type node map[string]string

func (n node) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range n {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o600, Sys: tree.Owner{}}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			f.Data, f.Mode = []byte(target), fs.ModeSymlink|0o777
		}
		m[name] = f
	}
	return m
}

// with returns the node with other files besides, or in place of, its own.
func (n node) with(more node) node {
	all := maps.Clone(n)
	maps.Copy(all, more)
	return all
}

func read(t *testing.T, fsys fs.ReadLinkFS) (*evidence.Host, *evidence.Source, []evidence.Gap) {
	t.Helper()
	h, source, gaps, err := Read(context.Background(), tree.New(fsys), Options{Root: "/mnt/cp-1", Now: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	if source.Documents != source.Objects+len(source.Skipped)+len(source.Errors) {
		t.Errorf("the source does not add up: %+v", source)
	}
	return h, source, gaps
}

// component reads a node and returns the component of that name, an empty one when it
// has none.
func component(t *testing.T, n node, name string) *evidence.Component {
	t.Helper()
	h, _, _ := read(t, n.fs())
	if c := h.Component(name); c != nil {
		return c
	}
	return &evidence.Component{Name: "none"}
}

// flagLines prints flags with their places: name=value file:line.
func flagLines(flags []evidence.Flag) string {
	var out strings.Builder
	for _, f := range flags {
		fmt.Fprintf(&out, "%s=%s %s:%d\n", f.Name, f.Value, path.Base(f.Place.File), f.Place.Line)
	}
	return out.String()
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

const apiServerPod = `apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.36.3
    env:
    - name: ADDRESS
      value: 10.0.0.1
    command:
    - kube-apiserver
    - --advertise-address=$(ADDRESS)
    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
    - --anonymous-auth=true
    args: ["--anonymous-auth", "false", "-v=2", --profiling,
      --audit-policy-file=/etc/kubernetes/audit/policy.yaml,
      --encryption-provider-config=/etc/kubernetes/enc/enc.yaml]
    volumeMounts:
    - {name: pki, mountPath: /etc/kubernetes/pki, readOnly: true}
    - {name: audit, mountPath: /etc/kubernetes/audit, subPath: audit}
  volumes:
  - {name: pki, hostPath: {path: /srv/pki}}
  - {name: audit, hostPath: {path: /srv}}
`

func TestStaticPod(t *testing.T) {
	c := component(t, node{"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod}, evidence.APIServer)
	compare(t, flagLines(c.Flags), `advertise-address=10.0.0.1 kube-apiserver.yaml:14
tls-cert-file=/etc/kubernetes/pki/apiserver.crt kube-apiserver.yaml:15
anonymous-auth=true kube-apiserver.yaml:16
anonymous-auth=false kube-apiserver.yaml:17
v=2 kube-apiserver.yaml:17
profiling=true kube-apiserver.yaml:17
audit-policy-file=/etc/kubernetes/audit/policy.yaml kube-apiserver.yaml:18
encryption-provider-config=/etc/kubernetes/enc/enc.yaml kube-apiserver.yaml:19
`)
	if f, _ := c.Flag("anonymous-auth"); f.Value != "false" {
		t.Errorf("of two the last is in force, not %q", f.Value)
	}
	want := []evidence.Mount{
		{Host: "/srv/pki", Container: "/etc/kubernetes/pki", ReadOnly: true},
		{Host: "/srv/audit", Container: "/etc/kubernetes/audit"},
	}
	if diff := cmp.Diff(want, c.Mounts); diff != "" || !c.Pod || c.Version != "v1.36.3" || c.Way != evidence.FromFile || c.UID != -1 {
		t.Errorf("%+v %s", c, diff)
	}
}

// A file that a flag names is looked for where the node has it.
func TestNamedFiles(t *testing.T) {
	h, _, _ := read(t, node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod,
		"srv/audit/policy.yaml":                        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n",
	}.fs())
	for file, want := range map[string]evidence.FileType{
		"/srv/pki/apiserver.crt":            evidence.Missing,
		"/srv/audit/policy.yaml":            evidence.Regular,
		"/etc/kubernetes/pki/apiserver.crt": "",
		"/etc/kubernetes/manifests":         evidence.Directory,
	} {
		got := evidence.FileType("")
		if f := h.Files[file]; f != nil {
			got = f.Type
		}
		if got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	c := h.Component(evidence.APIServer)
	if d := c.Documents["audit-policy-file"]; d == nil || d.File != "/srv/audit/policy.yaml" || d.Kind != "Policy" || d.Error != "" || d.Outline.Place(evidence.NewPath("rules")).Line != 3 {
		t.Errorf("%+v", d)
	}
	if d := c.Documents["encryption-provider-config"]; d == nil || !strings.Contains(d.Error, "mounted") {
		t.Errorf("%+v", d)
	}
}

// Of every document no credential is kept, only its length.
func TestRedaction(t *testing.T) {
	flags := map[string]string{
		"encryption-provider-config": `{"kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"], "providers": [
			{"aescbc": {"keys": [{"name": "a", "secret": "U0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUMTI="}]}}, {"secretbox": {"keys": [{"name": "b", "secret": "SECRET"}]}}]}]}`,
		"audit-webhook-config-file": "users:\n- name: u\n  user:\n    token: SECRET\n    password: SECRET\n    client-key-data: SECRET\n    username: shown\n    exec: {env: [{name: shown, value: SECRET}]}\n    auth-provider: {config: {id-token: SECRET, other: SECRET}}\n",
		"authentication-config":     "jwt:\n- issuer: {url: shown, audiences: [shown]}\n  claimMappings: {username: {claim: shown}}\n",
	}
	n, args := node{}, "[kube-apiserver"
	for name, text := range flags {
		n["srv/"+name] = text
		args += ", --" + name + "=/srv/" + name
	}
	n["etc/kubernetes/manifests/a.yaml"] = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    command: " + args + `, "--etcd-servers=https://u:SECRET@etcd:2379", --token=SECRET]
    volumeMounts: [{name: srv, mountPath: /srv}]
  volumes: [{name: srv, hostPath: {path: /srv}}]
`
	c := component(t, n, evidence.APIServer)
	for name := range flags {
		d := c.Documents[name]
		if d == nil || d.Error != "" || strings.Contains(string(d.JSON), "SECRET") || strings.Contains(string(d.JSON), "U0VD") {
			t.Errorf("%s: %+v %s", name, d, d.JSON)
		}
	}
	if d := string(c.Documents["encryption-provider-config"].JSON); !strings.Contains(d, `"256 bit"`) || !strings.Contains(d, `"secrets"`) {
		t.Error(d)
	}
	if d := string(c.Documents["audit-webhook-config-file"].JSON); strings.Count(d, "shown") != 2 {
		t.Error(d)
	}
	if d := string(c.Documents["authentication-config"].JSON); strings.Count(d, "shown") != 3 {
		t.Error(d)
	}
	if all := flagLines(c.Flags); strings.Contains(all, "SECRET") || !strings.Contains(all, "etcd:2379") {
		t.Error(all)
	}
}

// What is broken is told once, with its line, and what it leaves open.
func TestBroken(t *testing.T) {
	h, source, gaps := read(t, node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": "kind: Pod\nspec: [\n",
		"etc/kubernetes/manifests/kube-scheduler.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-scheduler\n    command: [kube-scheduler, --config=/srv/s.yaml]\n    volumeMounts: [{name: s, mountPath: /srv}]\n  volumes: [{name: s, hostPath: {path: /srv}}]\n",
		"srv/s.yaml":                                      "a: b\n---\nc: d\n",
		"etc/kubernetes/manifests/notes.txt":              "%PDF\x00\x01",
		"etc/kubernetes/manifests/etcd.yaml":              "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, image: 7, command: [etcd]}]}\n",
		"etc/kubernetes/manifests/.hidden.yaml":           "spec: [\n",
		"etc/kubernetes/manifests/kube-loop.yaml":         "-> kube-loop.yaml",
		"etc/kubernetes/pki/ca.crt":                       "no certificate",
		"etc/kubernetes/manifests/folder/something.yaml":  "spec: [\n",
		"etc/kubernetes/manifests/kube-proxy.yaml.backup": strings.Repeat("#", maxFile+1),
	}.fs())
	var broken []string
	for _, e := range source.Errors {
		broken = append(broken, fmt.Sprintf("%s:%d", path.Base(e.File), e.Line))
	}
	slices.Sort(broken)
	want := []string{"ca.crt:0", "etcd.yaml:1", "kube-apiserver.yaml:2", "kube-loop.yaml:0", "kube-proxy.yaml.backup:0", "notes.txt:1", "s.yaml:3"}
	if diff := cmp.Diff(want, broken); diff != "" {
		t.Error(source.Errors, diff)
	}
	if len(gaps) != 0 {
		t.Error(gaps)
	}
	for _, name := range []string{evidence.APIServer, evidence.Scheduler, evidence.Etcd, evidence.KubeProxy} {
		if c := h.Component(name); c == nil || c.Unread == "" {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A folder of certificates that is a link is looked through as any other.
func TestLinkedFolder(t *testing.T) {
	h, _, _ := read(t, node{
		"etc/kubernetes/pki":        "-> /var/lib/pki",
		"var/lib/pki/etcd/ca.crt":   "no certificate",
		"var/lib/pki/etcd/up":       "-> ..",
		"etc/kubernetes/admin.conf": "kind: Config\nclusters: []\n",
	}.fs())
	if f := h.Files["/etc/kubernetes/pki/etcd/ca.crt"]; f == nil || f.Link != "/var/lib/pki/etcd/ca.crt" {
		t.Errorf("%+v", f)
	}
	if f := h.Files["/etc/kubernetes/pki/etcd/up/etcd"]; f != nil {
		t.Errorf("%+v", f)
	}
	if len(h.Kubeconfigs) != 1 || h.Kubeconfigs[0].Path != "/etc/kubernetes/admin.conf" {
		t.Errorf("%+v", h.Kubeconfigs)
	}
}

// Not even an error quotes what stands in a file of credentials.
func TestBrokenSecrets(t *testing.T) {
	const flags = "--encryption-provider-config=/e --audit-webhook-config-file=/w"
	h, source, _ := read(t, node{
		"etc/systemd/system/kube-apiserver.service": "[Service]\nExecStart=/usr/bin/kube-apiserver " + flags + "\n",
		"e": "a: 1\n? [SECRET]\n: {{SECRET}}\n", "w": "{SECRET: [\"SECRET\"}",
	}.fs())
	c := h.Component(evidence.APIServer)
	for _, name := range []string{"encryption-provider-config", "audit-webhook-config-file"} {
		if d := c.Documents[name]; d == nil || d.Error == "" || len(d.JSON) > 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if all := fmt.Sprint(source.Errors, c.Documents["encryption-provider-config"], c.Documents["audit-webhook-config-file"]); strings.Contains(all, "SECRET") || len(source.Errors) != 2 {
		t.Error(all)
	}
}

// forbidding is a file system of which some files may not be read.
type forbidding struct {
	fstest.MapFS
	names []string
}

func (f forbidding) Open(name string) (fs.File, error) {
	if slices.Contains(f.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.Open(name)
}

func (f forbidding) Lstat(name string) (fs.FileInfo, error) {
	if slices.Contains(f.names, path.Dir(name)) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.Lstat(name)
}

// What may not be read is a gap, and what depends on it is open.
func TestForbidden(t *testing.T) {
	n := node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod,
		"etc/kubernetes/manifests/kube-scheduler.yaml": "x",
		"etc/kubernetes/pki/ca.key":                    "x",
		"etc/kubernetes/kubelet.conf":                  "apiVersion: v1\nkind: Config\nusers: []\n",
		"var/lib/kubelet/config.yaml":                  "x",
		"usr/lib/systemd/system/kubelet.service":       "[Service]\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml\n",
		"root/.kube/config":                            "x",
	}
	h, source, gaps := read(t, forbidding{n.fs(), []string{"etc/kubernetes/manifests/kube-scheduler.yaml", "etc/kubernetes/pki", "var/lib/kubelet/config.yaml", "root"}})
	var told []string
	for _, g := range gaps {
		if g.Fact != evidence.Hosts {
			t.Errorf("%+v", g)
		}
		told = append(told, g.Reason)
	}
	slices.Sort(told)
	want := []string{
		"/etc/kubernetes/manifests/kube-scheduler.yaml: permission denied",
		"/etc/kubernetes/pki: permission denied",
		"/root/.kube/config: permission denied",
		"/var/lib/kubelet/config.yaml: permission denied",
	}
	if diff := cmp.Diff(want, told); diff != "" || len(source.Errors) != 0 {
		t.Error(source.Errors, diff)
	}
	if c := h.Component(evidence.Kubelet); c == nil || c.Unread != "/var/lib/kubelet/config.yaml: permission denied" {
		t.Errorf("%+v", c)
	}
	if c := h.Component(evidence.Scheduler); c == nil || c.Unread == "" {
		t.Errorf("%+v", c)
	}
	if ok, _ := h.Saw(evidence.TheFiles); ok {
		t.Error("not all files were seen")
	}
	if f := h.Files["/var/lib/kubelet/config.yaml"]; f.Mode != 0o600 || f.Error == "" {
		t.Errorf("%+v", f)
	}
}

// A tree without Kubernetes is no node, and nothing of it was seen.
func TestNoNode(t *testing.T) {
	for name, n := range map[string]node{
		"empty":   {},
		"wrong":   {"readme.md": "x", "src/main.go": "x"},
		"linux":   {"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/hostname": "desk\n", "proc/1/cmdline": "/sbin/init"},
		"runtime": {"usr/lib/systemd/system/containerd.service": "[Service]\nExecStart=/usr/bin/containerd\n", "etc/containerd/config.toml": "version = 2\n"},
	} {
		h, source, gaps := read(t, n.fs())
		if len(h.Components) != 0 || len(h.Unseen) != len(evidence.Aspects()) || source.Objects != 1 || h.Node == "" {
			t.Errorf("%s: %+v %+v", name, h, source)
		}
		if len(gaps) != 1 || gaps[0].Fact != "" || !strings.Contains(gaps[0].Reason, "/mnt/cp-1 is no Kubernetes node") {
			t.Errorf("%s: %+v", name, gaps)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, _, err := Read(ctx, tree.New(node{"etc/kubernetes/manifests/a.yaml": apiServerPod}.fs()), Options{})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNamesAndRoles(t *testing.T) {
	kubelet := func(flags string) node {
		return node{"usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet " + flags + "\n"}
	}
	pod := func(program string) string {
		return "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, command: [" + program + "]}]}\n"
	}
	for name, test := range map[string]struct {
		node
		name, roles string
	}{
		"flag":         {kubelet("--hostname-override=W-1 --kubeconfig=/k").with(node{"etc/hostname": "other\n"}), "w-1", "[worker]"},
		"hostname":     {kubelet("--kubeconfig=/k").with(node{"etc/hostname": "# name\nWorker-2\n"}), "worker-2", "[worker]"},
		"folder":       {kubelet("--kubeconfig=/k"), "cp-1", "[worker]"},
		"standalone":   {kubelet(""), "cp-1", "[]"},
		"unregistered": {kubelet("--kubeconfig=/k --register-node=false"), "cp-1", "[]"},
		"control":      {kubelet("--kubeconfig=/k").with(node{"etc/kubernetes/manifests/a": pod("kube-apiserver"), "etc/kubernetes/manifests/b": pod("etcd")}), "cp-1", "[control-plane etcd]"},
		"etcd":         {kubelet("--kubeconfig=/k").with(node{"etc/kubernetes/manifests/b": pod("etcd")}), "cp-1", "[etcd worker]"},
	} {
		h, _, _ := read(t, test.fs())
		if h.Node != test.name || fmt.Sprint(h.Roles) != test.roles {
			t.Errorf("%s: %q %v, want %q %s", name, h.Node, h.Roles, test.name, test.roles)
		}
	}
}

// A kubeconfig that is none is one all the same, where its name or what names it says so.
func TestBrokenKubeconfigs(t *testing.T) {
	n := node{
		"etc/kubernetes/admin.conf":                 "\x9f\x00\xc3\xfe",
		"etc/kubernetes/super-admin.conf":           "",
		"etc/kubernetes/scheduler.conf/x":           "a folder",
		"etc/kubernetes/controller-manager.conf":    "-> controller-manager.conf",
		"etc/kubernetes/resolv.conf":                "nameserver 10.0.0.1\n",
		"etc/kubernetes/folder.conf/x":              "",
		"var/lib/kubelet/kubeconfig/x":              "",
		"srv/proxy":                                 "random",
		"srv/boot/x":                                "a folder",
		"usr/lib/systemd/system/kubelet.service":    "[Service]\nExecStart=/usr/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf --bootstrap-kubeconfig=/srv/boot\n",
		"usr/lib/systemd/system/kube-proxy.service": "[Service]\nExecStart=/usr/bin/kube-proxy --kubeconfig=/srv/proxy\n",
		"etc/kubernetes/kubelet.conf":               "fifo",
	}
	files := n.fs()
	files["etc/kubernetes/kubelet.conf"].Mode = fs.ModeNamedPipe | 0o600
	h, source, _ := read(t, files)
	var broken, located []string
	for _, k := range h.Kubeconfigs {
		if k.Error != "" {
			broken = append(broken, k.Path)
		}
	}
	for _, e := range source.Errors {
		located = append(located, e.File)
	}
	slices.Sort(broken)
	slices.Sort(located)
	want := []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/scheduler.conf", "/etc/kubernetes/super-admin.conf", "/srv/boot", "/srv/proxy", "/var/lib/kubelet/kubeconfig"}
	if diff := cmp.Diff(want, broken); diff != "" || len(h.Kubeconfigs) != len(want) {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, located); diff != "" {
		t.Error(diff)
	}
}

// A flag whose value is not on the node is not known, whatever the text of it says.
func TestUnknownVariables(t *testing.T) {
	for name, test := range map[string]struct{ env, command, flags, unread string }{
		"from elsewhere":          {"[{name: MODE, valueFrom: {configMapKeyRef: {name: a, key: b}}}]", `[kube-apiserver, --a=1, "--authorization-mode=$(MODE)"]`, "a=1", "$(MODE) in --authorization-mode"},
		"nowhere":                 {"[]", `[kube-apiserver, "--authorization-mode=$(MODE)"]`, "", "$(MODE) in --authorization-mode"},
		"a word of its own":       {"[]", `[kube-apiserver, --authorization-mode, "$(MODE)", --a=1]`, "a=1", "$(MODE) in --authorization-mode"},
		"a whole argument":        {"[]", `[kube-apiserver, --a=1, "$(EXTRA)"]`, "a=1", "$(EXTRA)"},
		"given twice":             {"[]", `[kube-apiserver, --b=1, "--b=$(B)"]`, "", "$(B) in --b"},
		"by way of another":       {`[{name: A, value: "x$(B)"}]`, `[kube-apiserver, "--a=$(A)"]`, "", "$(A) in --a"},
		"set, and then elsewhere": {"[{name: A, value: x}, {name: A, valueFrom: {fieldRef: {fieldPath: b}}}]", `[kube-apiserver, "--a=$(A)"]`, "", "$(A) in --a"},
		"known":                   {"[{name: A, value: x}]", `[kube-apiserver, "--a=$(A)", "--b=$$(A)"]`, "a=x b=$(A)", ""},
		"of a configuration":      {"[]", `[kube-scheduler, "--config=$(A)"]`, "", "$(A)"},
		"a shell":                 {"[]", `[sh, -c, "kube-apiserver '--a=$(A)'"]`, "", "script"},
		"variables of etcd's":     {"[{name: ETCD_NAME, valueFrom: {fieldRef: {fieldPath: b}}}, {name: ETCD_A, value: x}]", `[etcd]`, "a=x", "ETCD_NAME"},
	} {
		h, _, _ := read(t, node{"etc/kubernetes/manifests/a.yaml": "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    env: " + test.env + "\n    command: " + test.command + "\n"}.fs())
		if len(h.Components) != 1 {
			t.Fatalf("%s: %+v", name, h.Components)
		}
		var flags []string
		c := h.Components[0]
		for _, f := range c.Flags {
			flags = append(flags, f.Name+"="+f.Value)
		}
		if got := strings.Join(flags, " "); got != test.flags || (c.Unread == "") != (test.unread == "") || !strings.Contains(c.Unread, test.unread) {
			t.Errorf("%s: %q %q", name, got, c.Unread)
		}
		// Where it stands in a flag, only that flag is open.
		in := strings.Contains(test.unread, " in --") && c.Name != evidence.Etcd
		if open := c.Doubt("profiling") != ""; open != (test.unread != "" && !in) {
			t.Errorf("%s: whether another flag is set is open: %v", name, open)
		}
		if _, flag, _ := strings.Cut(test.unread, " in --"); in && c.Doubt(flag) == "" {
			t.Errorf("%s: --%s is not open", name, flag)
		}
	}
}

// Of a kubelet's configuration no credential is kept, wherever in it one stands.
func TestKubeletRedaction(t *testing.T) {
	config := `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodURL: https://u:SECRET@shown/pods
staticPodURLHeader: {Authorization: [Bearer SECRET], name: [SECRET]}
registryPassword: SECRET
apiTokens: [SECRET]
pin_token: 5417093
some: {clientSecretValue: SECRET, urls: ["http://u:SECRET@shown"]}
configMapAndSecretChangeDetectionStrategy: shown
tokenFile: shown
`
	n := node{
		"usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c --manifest-url=https://u:SECRET@shown --manifest-url-header=Authorization:SECRET\n",
		"c":                                      config,
	}
	for name, n := range map[string]node{
		"flags": n,
		"file":  n.with(node{"usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c\n"}),
		"text":  n.with(node{"c": strings.Replace(config, "{Authorization: [Bearer SECRET], name: [SECRET]}", "SECRET", 1)}),
	} {
		c := component(t, n, evidence.Kubelet)
		all := flagLines(c.Flags)
		for path, o := range c.Options {
			all += path + "=" + string(o.Value) + "\n"
		}
		all += string(c.Documents["config"].JSON)
		if strings.Contains(all, "SECRET") || strings.Contains(all, "5417093") || strings.Count(all, "shown") < 8 {
			t.Errorf("%s: %s", name, all)
		}
	}
}

// A ring of links is the fault of that file alone.
func TestLinkLoop(t *testing.T) {
	h, source, _ := read(t, node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod,
		"etc/kubernetes/pki/loop.crt":                  "-> loop.crt",
	}.fs())
	if ok, why := h.Saw(evidence.TheFiles); !ok || len(source.Errors) != 1 {
		t.Error(why, source.Errors)
	}
	if f := h.Files["/etc/kubernetes/pki/loop.crt"]; f == nil || f.Error == "" {
		t.Errorf("%+v", f)
	}
	h, _, _ = read(t, node{
		"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod,
		"etc/kubernetes/pki":                           "-> pki",
	}.fs())
	if ok, why := h.Saw(evidence.TheFiles); ok || !strings.HasPrefix(why, "/etc/kubernetes/pki: ") {
		t.Errorf("what is in a folder that is not found was not seen: %q", why)
	}
}

// The programs that the runtime starts for networks are files to look at, and not to read.
func TestNetworkPlugins(t *testing.T) {
	n := node{"etc/kubernetes/admin.conf": "kind: Config\n", "opt/cni/bin/bridge": "ELF", "opt/cni/bin/folder/x": ""}
	for i := range 3000 {
		n[fmt.Sprintf("opt/cni/bin/x%d", i)] = ""
	}
	files := n.fs()
	files["opt/cni/bin/bridge"].Mode = 0o777
	h, source, _ := read(t, files)
	if f := h.Files["/opt/cni/bin/bridge"]; f == nil || f.Mode != 0o777 || source.Files != 1 {
		t.Errorf("%+v, %d files read", f, source.Files)
	}
	if len(h.Files) > 2100 {
		t.Errorf("%d files", len(h.Files))
	}
}
