package host

import (
	"maps"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestUnits(t *testing.T) {
	const kubelet = "usr/lib/systemd/system/kubelet.service"
	kubeadm := node{
		kubelet: "[Unit]\nDescription=kubelet\n[Service]\nExecStart=/usr/bin/kubelet --never\n[Install]\nWantedBy=multi-user.target\n",
		"usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": `# drop-in
[Service]
Environment="KUBECONFIG_ARGS=--kubeconfig=/k --v=2"
Environment="CONFIG_ARGS=--config=/c"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBECONFIG_ARGS $CONFIG_ARGS $KUBEADM_ARGS $EXTRA_ARGS
`,
		"c":                                 "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
		"var/lib/kubelet/kubeadm-flags.env": "KUBEADM_ARGS=\"--node-ip=10.0.0.1 --hostname-override=cp1\"\n",
	}
	for name, test := range map[string]struct {
		node
		want string
	}{
		"kubeadm": {kubeadm, `kubeconfig=/k 10-kubeadm.conf:3
v=2 10-kubeadm.conf:3
config=/c 10-kubeadm.conf:4
node-ip=10.0.0.1 kubeadm-flags.env:1
hostname-override=cp1 kubeadm-flags.env:1
`},
		"a drop-in of the same name in /etc replaces the other": {kubeadm.with(node{
			"etc/systemd/system/kubelet.service.d/10-kubeadm.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --a\n",
		}), "a=true 10-kubeadm.conf:3\n"},
		"drop-ins go by name, not by folder": {kubeadm.with(node{
			"etc/systemd/system/kubelet.service.d/05-early.conf": "[Service]\nEnvironment=EXTRA_ARGS=--early CONFIG_ARGS=--lost\n",
			"run/systemd/system/service.d/90-late.conf":          "[Service]\nEnvironment='EXTRA_ARGS=--late=\"x y\"'\n",
			"var/lib/kubelet/kubeadm-flags.env":                  "",
		}), "kubeconfig=/k 10-kubeadm.conf:3\nv=2 10-kubeadm.conf:3\nconfig=/c 10-kubeadm.conf:4\nlate=x y 90-late.conf:2\n"},
		"a masked drop-in": {kubeadm.with(node{
			"etc/systemd/system/kubelet.service.d/10-kubeadm.conf": "-> /dev/null",
		}), "never=true kubelet.service:4\n"},
		"a masked unit": {kubeadm.with(node{"etc/systemd/system/kubelet.service": "-> /dev/null"}), ""},
		"an own unit in /etc": {kubeadm.with(node{
			"etc/systemd/system/kubelet.service":                   "-> ../../../srv/kubelet.service",
			"srv/kubelet.service":                                  "[Service]\nExecStart=/k/kubelet --own\n",
			"etc/systemd/system/kubelet.service.d/10-kubeadm.conf": "-> /dev/null",
		}), "own=true kubelet.service:2\n"},
		"continued lines": {node{kubelet: `[Service]
Environment=A=1 \
  # a comment in between
  "B=2 3"
ExecStart=-/usr/bin/kubelet \
  --a=${A} \
; another
  --b=${B} "--c=x y" \
  --d=$$A --e=%n --f=100%% --g=a\x20b $B
WorkingDirectory=/
`}, "a=1 kubelet.service:6\nb=2 3 kubelet.service:8\nc=x y kubelet.service:8\nd=$A kubelet.service:9\ne=kubelet.service kubelet.service:9\nf=100% kubelet.service:9\ng=a b kubelet.service:9\n"},
		"no variables after a colon":     {node{kubelet: "[Service]\nEnvironment=A=1\nExecStart=:/usr/bin/kubelet --a=${A}\n"}, "a=${A} kubelet.service:3\n"},
		"an unknown variable is nothing": {node{kubelet: "[Service]\nExecStart=/usr/bin/kubelet $NONE --a=${NONE}\n"}, "a= kubelet.service:2\n"},
		"a shell":                        {node{kubelet: "[Service]\nEnvironment=A=--a=1\nExecStart=/bin/bash -c 'exec /usr/bin/kubelet $A --b=2'\n"}, "a=1 kubelet.service:3\nb=2 kubelet.service:3\n"},
		"files win, the later one": {node{
			kubelet: "[Service]\nEnvironmentFile=/etc/a\nEnvironmentFile=/etc/b.d/*.env\nEnvironment=A=--unit\nExecStart=/usr/bin/kubelet $A\n",
			"etc/a": "A=--first\n", "etc/b.d/1.env": "# x\n\nA='--sec'ond\n", "etc/b.d/2.conf": "A=--third\n",
		}, "second=true 1.env:3\n"},
		"only [Service] counts": {node{kubelet: "[Unit]\nExecStart=/usr/bin/kubelet --a\n[Service]\nExecStart=/usr/bin/kubelet --b\n[X-Other]\nExecStart=/usr/bin/kubelet --c\n"}, "b=true kubelet.service:4\n"},
		"the host's name":       {node{kubelet: "[Service]\nExecStart=/usr/bin/kubelet --hostname-override=%H\n", "etc/hostname": "cp7\n"}, "hostname-override=cp7 kubelet.service:2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := component(t, test.node, evidence.Kubelet)
			if name == "a masked unit" {
				if c.Name == evidence.Kubelet {
					t.Errorf("%+v", c)
				}
				return
			}
			compare(t, flagLines(c.Flags), test.want)
			if c.Unread != "" && !strings.Contains(c.Unread, "without --config, though") {
				t.Error(c.Unread)
			}
		})
	}
}

// Where a drop-in seems to be lost, the defaults of what is left are not known to apply.
func TestLostDropIns(t *testing.T) {
	const kubelet, dropIn, variables = "usr/lib/systemd/system/kubelet.service", "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "var/lib/kubelet/kubeadm-flags.env"
	const random = "\x9f\x00\xc3=\xfe\n\x01[\xe0"
	kubeadm := node{
		kubelet:                       "[Service]\nExecStart=/usr/bin/kubelet\n",
		dropIn:                        "[Service]\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nExecStart=\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS\n",
		variables:                     "# kubeadm\n\nKUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.1\"\n",
		"var/lib/kubelet/config.yaml": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
	}
	without := func(names ...string) node {
		n := maps.Clone(kubeadm)
		for _, name := range names {
			delete(n, name)
		}
		return n
	}
	for name, test := range map[string]struct {
		node
		forbidden []string
		want      string // what Unread names
	}{
		"all is there":         {kubeadm, nil, ""},
		"no folder":            {without(dropIn), nil, "config.yaml is there"},
		"only variables":       {without(dropIn, "var/lib/kubelet/config.yaml"), nil, "kubeadm-flags.env is there"},
		"nothing of kubeadm's": {without(dropIn, variables, "var/lib/kubelet/config.yaml"), nil, ""},
		"an empty drop-in":     {kubeadm.with(node{dropIn: ""}), nil, "config.yaml is there"},
		"a cut drop-in":        {kubeadm.with(node{dropIn: kubeadm[dropIn][:90]}), nil, "neither a process nor a unit"},
		"a random drop-in":     {kubeadm.with(node{dropIn: random}), nil, dropIn},
		"a forbidden drop-in":  {kubeadm, []string{dropIn}, dropIn},
		"a forbidden folder":   {without("var/lib/kubelet/config.yaml", variables), []string{path.Dir(dropIn)}, path.Dir(dropIn)},
		"random variables":     {kubeadm.with(node{variables: random}), nil, variables},
		"a word of variables":  {kubeadm.with(node{variables: "A=1\nfGRjmz1Wv0\n"}), nil, variables + ": line 2"},
	} {
		h, _, _ := read(t, forbidding{test.fs(), test.forbidden})
		c := h.Component(evidence.Kubelet)
		if c == nil || (c.Unread == "") != (test.want == "") || !strings.Contains(c.Unread, test.want) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	configDir := kubeadm.with(node{dropIn: "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --config-dir=/d\n", "d/1.conf": kubeadm["var/lib/kubelet/config.yaml"]})
	for forbidden, want := range map[string]string{"": "", "d": "/d: permission denied", "d/1.conf": "/d/1.conf: permission denied"} {
		h, _, _ := read(t, forbidding{configDir.fs(), []string{forbidden}})
		if c := h.Component(evidence.Kubelet); c == nil || c.Unread != want {
			t.Errorf("--config-dir without %q: %+v", forbidden, c)
		}
	}
	running := component(t, without(dropIn).with(node{"proc/1/cmdline": "init", "proc/9/cmdline": "/usr/bin/kubelet", "proc/9/cgroup": onTheNode}), evidence.Kubelet)
	if running.Unread != "" {
		t.Errorf("it does run without --config: %s", running.Unread)
	}
}

// What a unit leaves open is said.
func TestUnitsUnread(t *testing.T) {
	const kubelet = "usr/lib/systemd/system/kubelet.service"
	for text, want := range map[string]string{
		"EnvironmentFile=/etc/none\nExecStart=/usr/bin/kubelet": "/etc/none",
		"ExecStart=/usr/bin/kubelet --a=%b":                     "%b",
		"ExecStart=/bin/sh -c 'a; kubelet --b'":                 "shell script",
		"PassEnvironment=A\nExecStart=/usr/bin/kubelet $A":      "PassEnvironment",
	} {
		if c := component(t, node{kubelet: "[Service]\n" + text + "\n"}, evidence.Kubelet); !strings.Contains(c.Unread, want) {
			t.Errorf("%s: %+v", text, c)
		}
	}
}

// What is installed and not enabled is nothing that the node has, where there is
// something that tells.
func TestEnabled(t *testing.T) {
	const wanted = "etc/systemd/system/multi-user.target.wants/x.service"
	etcd := node{
		"usr/lib/systemd/system/etcd.service": "[Service]\nUser=etcd\nExecStart=/usr/bin/etcd --data-dir=/d\n",
		"etc/passwd":                          "root:x:0:0::/root:/bin/sh\netcd:x:105:106::/d:/bin/false\n",
		wanted:                                "-> /usr/lib/systemd/system/x.service",
		"var/lib/kubelet/config.yaml":         "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n",
	}
	enabled := node{"etc/systemd/system/multi-user.target.wants/etcd.service": "-> /usr/lib/systemd/system/etcd.service"}
	pod := node{"etc/kubernetes/manifests/etcd.yaml": "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, command: [etcd, --name=pod]}]}\n"}
	running := node{"proc/1/cmdline": "init", "proc/7/cmdline": "etcd\x00--name=running"}
	seen := node{"proc/1/cmdline": "init"}
	for name, test := range map[string]struct {
		node
		want string
	}{
		"nothing tells whether it is enabled": {without(etcd, wanted), "file data-dir=/d 105"},
		"others are enabled":                  {etcd, "none"},
		"it does not run":                     {etcd.with(seen), "none"},
		"enabled":                             {etcd.with(enabled).with(seen), "file data-dir=/d 105"},
		"a pod is there":                      {etcd.with(pod), "file name=pod -1"},
		"it runs":                             {etcd.with(running), "process name=running -1"},
		"a pod, and it runs":                  {etcd.with(running).with(pod), "process name=running -1 (file name=pod -1)"},
	} {
		c := component(t, test.node, evidence.Etcd)
		if got := brief(c); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func without(n node, file string) node {
	n = n.with(nil)
	delete(n, file)
	return n
}

// brief prints a component with its others: way flags uid (others).
func brief(c *evidence.Component) string {
	if c.Name == "none" {
		return "none"
	}
	out := string(c.Way)
	for _, f := range c.Flags {
		out += " " + f.Name + "=" + f.Value
	}
	out += " " + strconv.Itoa(c.UID)
	for _, o := range c.Others {
		out += " (" + brief(o) + ")"
	}
	return out
}

// Whatever a unit holds, every word stands on a line of its file.
func FuzzUnit(f *testing.F) {
	f.Add("[Service]\nEnvironment=\"A=b c\" \\\n D=e\nExecStart=/usr/bin/kubelet $A \\\n --x=${D} %n\n")
	f.Add("[Service]\nExecStart=\\\n")
	f.Add("[Service]\nExecStart=@!! \"\\x41\\\n;\n")
	f.Fuzz(func(t *testing.T, text string) {
		const file = "/usr/lib/systemd/system/kubelet.service"
		lines := strings.Count(text, "\n") + 1
		for _, s := range parseUnit(file, text) {
			for _, w := range expand(splitUnit(executable(s)), map[string]word{"A": {text: "b c", at: s.at}}, false) {
				if w.at.Line < 1 || w.at.Line > lines || w.at.File != file {
					t.Errorf("%q at %+v of %d lines", w.text, w.at, lines)
				}
			}
		}
		h, _, _ := read(t, node{strings.TrimPrefix(file, "/"): text, "etc/default/kubelet": text}.fs())
		for _, c := range h.Components {
			for _, flag := range c.Flags {
				if path.Base(flag.Place.File) != "kubelet.service" || flag.Place.Line > lines {
					t.Errorf("%+v", flag)
				}
			}
		}
	})
}
