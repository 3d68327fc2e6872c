package system

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/netfilter"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// node reads a tree of files; a content that begins with -> is a link.
func node(files map[string]string, components ...*evidence.Component) *evidence.Host {
	fsys := fstest.MapFS{}
	for name, content := range files {
		name = strings.TrimPrefix(name, "/")
		if target, ok := strings.CutPrefix(content, "->"); ok {
			fsys[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
			continue
		}
		fsys[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	h := &evidence.Host{Components: components}
	Read(tree.New(fsys), h)
	return h
}

func same(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestNothing(t *testing.T) {
	h := node(map[string]string{"etc/kubernetes/admin.conf": "x"})
	for _, a := range []evidence.Aspect{evidence.TheFirewall, evidence.ThePackages, evidence.TheKernel, evidence.TheLogging, evidence.TheDisks} {
		if saw, _ := h.Saw(a); saw {
			t.Errorf("%s: said to be seen in a tree without anything", a)
		}
	}
	same(t, evidence.System{}, h.System)
	same(t, evidence.Logging{}, h.Logging)
	same(t, []*evidence.Component(nil), h.Components)
}

func TestOperatingSystem(t *testing.T) {
	h := node(map[string]string{
		"usr/lib/os-release": "# x\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n", "etc/os-release": "->../usr/lib/os-release",
		"etc/hostname": "node-1\n",
		"etc/passwd":   "root:x:0:0:root:/root:/bin/bash\netcd:x:998:997::/var/lib/etcd:/sbin/nologin\nbroken\nbad:x:y:0:::\n",
		"usr/lib/modules/6.1.0-9-amd64/modules.dep": "", "usr/lib/modules/6.1.0-31-amd64/modules.dep": "", "usr/lib/modules/kernel-overrides/x": "",
	})
	same(t, evidence.System{
		Hostname: "node-1", OS: "debian", OSVersion: "12", OSName: "Debian 12", Kernel: "6.1.0-31-amd64",
		Users: []evidence.User{{Name: "root", Home: "/root"}, {Name: "etcd", UID: 998, GID: 997, Home: "/var/lib/etcd"}},
	}, h.System)
	for file, want := range map[string]string{
		"proc/sys/kernel/osrelease|6.8.0-1\n":                          "6.8.0-1",
		"proc/version|Linux version 5.15.0-91-generic (buildd@) #1 \n": "5.15.0-91-generic",
	} {
		name, content, _ := strings.Cut(file, "|")
		if got := node(map[string]string{name: content, "lib/modules/9.9.9/x": ""}).System.Kernel; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDisks(t *testing.T) {
	h := node(map[string]string{
		"proc/1/mounts": "/dev/mapper/root / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n/dev/sda1 /boot xfs ro 0 0\n" +
			"/dev/dm-2 /var/lib/et\\040cd ext4 rw 0 0\noverlay /var/lib/containerd/x overlay rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
		"sys/block/dm-0/dm/name": "luks\n", "sys/block/dm-0/dm/uuid": "CRYPT-LUKS2-aa-luks\n",
		"sys/block/dm-1/dm/name": "root\n", "sys/block/dm-1/dm/uuid": "LVM-x\n", "sys/block/dm-1/slaves/dm-0/x": "",
		"sys/block/dm-2/dm/uuid": "LVM-y\n", "sys/block/dm-2/slaves/dm-0/x": "", "sys/block/dm-2/slaves/sdb/x": "",
	})
	same(t, []evidence.FileSystem{
		{Path: "/", Type: "ext4", Device: "/dev/mapper/root", Options: []string{"rw", "relatime"}, Encrypted: true},
		{Path: "/boot", Type: "xfs", Device: "/dev/sda1", Options: []string{"ro"}},
		{Path: "/var/lib/et cd", Type: "ext4", Device: "/dev/dm-2", Options: []string{"rw"}}, // one of its disks is not encrypted
	}, h.System.FileSystems)
	if saw, why := h.Saw(evidence.TheDisks); saw || !strings.Contains(why, "sizes") {
		t.Error(why)
	}
	h = node(map[string]string{"etc/fstab": "/dev/mapper/c / ext4 defaults 0 1\nUUID=1 none swap sw 0 0\n", "etc/crypttab": "# x\nc UUID=2 none luks\n"})
	if f := h.System.FileSystems; len(f) != 1 || !f[0].Encrypted {
		t.Errorf("%+v", f)
	}
}

func setting(value, file string, line int) evidence.Setting {
	return evidence.Setting{Value: value, Place: evidence.Position{File: file, Line: line}}
}

func TestSysctls(t *testing.T) {
	h := node(map[string]string{
		"etc/sysctl.conf":              "kernel.panic = 1\n",
		"usr/lib/sysctl.d/10-a.conf":   "net.ipv4.conf.*.rp_filter = 2\nkernel.panic=5\n",
		"usr/lib/sysctl.d/50-x.conf":   "kernel.panic=7\n",
		"etc/sysctl.d/50-x.conf":       "; hides that of the vendor\n-kernel/panic_on_oops = 1\nvm.overcommit_memory=1\n",
		"run/sysctl.d/20-b.conf":       "vm.overcommit_memory=2\nkernel.unknown=1\n-net.ipv4.conf.default.rp_filter\n",
		"etc/sysctl.d/README":          "kernel.panic=99\n",
		"etc/sysctl.d/60-off.conf":     "->/dev/null",
		"usr/lib/sysctl.d/60-off.conf": "kernel.panic=66\n",
	})
	same(t, map[string]evidence.Setting{
		"kernel.panic":                setting("5", "/usr/lib/sysctl.d/10-a.conf", 2),
		"kernel.panic_on_oops":        setting("1", "/etc/sysctl.d/50-x.conf", 2),
		"vm.overcommit_memory":        setting("1", "/etc/sysctl.d/50-x.conf", 3),
		"net.ipv4.conf.all.rp_filter": setting("2", "/usr/lib/sysctl.d/10-a.conf", 1),
	}, h.System.Sysctls)
	if saw, why := h.Saw(evidence.TheKernel); saw || !strings.Contains(why, "/proc/sys") {
		t.Error(why)
	}
	h = node(map[string]string{
		"proc/sys/kernel/panic": "10\n", "proc/sys/vm/panic_on_oom": "0\n", "proc/sys/kernel/keys/root_maxkeys": "1\n", "proc/sys/net/ipv4/ip_forward": "1\n",
		"etc/sysctl.conf": "kernel.panic = 1\n",
	})
	if s := h.System.Sysctls["kernel.panic"]; s != setting("10", "/proc/sys/kernel/panic", 0) || len(h.System.Sysctls) != 4 {
		t.Errorf("%+v", h.System.Sysctls)
	}
	if saw, why := h.Saw(evidence.TheKernel); !saw {
		t.Error(why)
	}
	// In a container the network's settings are the container's.
	h = node(map[string]string{
		"proc/sys/kernel/panic": "10\n", "proc/sys/vm/panic_on_oom": "0\n", "proc/sys/kernel/keys/root_maxkeys": "1\n", "proc/sys/kernel/sysrq": "1\n",
		"proc/sys/net/ipv4/ip_forward": "1\n", "etc/sysctl.conf": "net.ipv4.ip_forward = 0\nkernel.panic = 1\n",
		"proc/1/ns/net": "->net:[1]", "proc/self": "->7", "proc/7/ns/net": "->net:[2]",
	})
	if s := h.System.Sysctls; s["net.ipv4.ip_forward"] != setting("0", "/etc/sysctl.conf", 1) || s["kernel.panic"].Value != "10" {
		t.Errorf("%+v", s)
	}
	if saw, why := h.Saw(evidence.TheKernel); saw || !strings.Contains(why, "container") {
		t.Error(why)
	}
}

func TestSecurityModules(t *testing.T) {
	for _, tt := range []struct {
		files map[string]string
		want  string
		file  string
	}{
		{map[string]string{"sys/fs/selinux/enforce": "1", "etc/selinux/config": "SELINUX=disabled\n"}, "enforcing", "/sys/fs/selinux/enforce"},
		{map[string]string{"sys/fs/selinux/enforce": "0"}, "permissive", "/sys/fs/selinux/enforce"},
		{map[string]string{"etc/selinux/config": "# c\nSELINUX=Enforcing\n"}, "enforcing", "/etc/selinux/config"},
		{map[string]string{"etc/selinux/config": "SELINUX=enforcing\n", "sys/fs/cgroup/x": "", "sys/kernel/x": ""}, "disabled", "/etc/selinux/config"},
		{map[string]string{"etc/selinux/config": "SELINUX=maybe\n"}, "", ""},
	} {
		s := node(tt.files).System
		if s.SELinux != tt.want || s.SELinuxPlace.File != tt.file {
			t.Errorf("%v: %q %v", tt.files, s.SELinux, s.SELinuxPlace)
		}
	}
	h := node(map[string]string{
		"sys/module/apparmor/parameters/enabled": "Y\n", "sys/kernel/security/apparmor/profiles": "cri-containerd.apparmor.d (enforce)\nx (complain)\n",
	})
	if a := h.System.AppArmor; a == nil || !*a || len(h.System.AppArmorProfiles) != 2 {
		t.Errorf("%v %q", a, h.System.AppArmorProfiles)
	}
	if a := node(map[string]string{"sys/module/ext4/x": ""}).System.AppArmor; a == nil || *a {
		t.Error("a kernel without AppArmor")
	}
	if a := node(nil).System.AppArmor; a != nil {
		t.Error("nothing tells of AppArmor")
	}
}

func TestSeccomp(t *testing.T) {
	h := node(map[string]string{
		"data/kubelet/seccomp/audit.json":      `{"defaultAction": "SCMP_ACT_LOG"}`,
		"data/kubelet/seccomp/profiles/b.json": `{`,
		"data/kubelet/seccomp/none":            `{"a": 1}`,
		"data/kubelet/seccomp/loop":            "->/data/kubelet/seccomp",
	}, &evidence.Component{Name: evidence.Kubelet, Flags: []evidence.Flag{{Name: "root-dir", Value: "/data/kubelet"}}})
	var got []string
	for _, p := range h.System.SeccompProfiles {
		got = append(got, p.Path+" "+p.DefaultAction+" "+p.Error)
	}
	same(t, []string{
		"/data/kubelet/seccomp/audit.json SCMP_ACT_LOG ",
		"/data/kubelet/seccomp/none  not a seccomp profile: it has no defaultAction",
		"/data/kubelet/seccomp/profiles/b.json  not a seccomp profile: unexpected end of JSON input",
	}, got)
}

func TestPackages(t *testing.T) {
	status := "Package: kubelet\nStatus: hold ok installed\nVersion: 1.30.2-1.1\n\nPackage: vim\nStatus: install ok installed\nVersion: 9\n\n" +
		"Package: runc\nStatus: deinstall ok config-files\nVersion: 1.1\n\nPackage: containerd.io\nStatus: install ok installed\nDescription: a\n Version: no\nVersion: 1.7.1"
	h := node(map[string]string{"var/lib/dpkg/status": status})
	same(t, []evidence.Package{{Name: "containerd.io", Version: "1.7.1"}, {Name: "kubelet", Version: "1.30.2-1.1"}}, h.System.Packages)
	if saw, why := h.Saw(evidence.ThePackages); !saw {
		t.Error(why)
	}
	h = node(map[string]string{"lib/apk/db/installed": "C:x\nP:containerd\nV:1.7.2-r0\n\nP:vim\nV:1\n"})
	same(t, []evidence.Package{{Name: "containerd", Version: "1.7.2-r0"}}, h.System.Packages)
	for files, want := range map[string]string{"usr/lib/sysimage/rpm/rpmdb.sqlite": "rpmdb.sqlite", "etc/x": "/var/lib/dpkg/status"} {
		if saw, why := node(map[string]string{files: ""}).Saw(evidence.ThePackages); saw || !strings.Contains(why, want) {
			t.Errorf("%s: %v %q", files, saw, why)
		}
	}
}

func optionTexts(c *evidence.Component) map[string]string {
	got := map[string]string{}
	for k, o := range c.Options {
		got[k] = string(o.Value) + " " + o.Place.File
	}
	return got
}

func TestContainerd(t *testing.T) {
	h := node(map[string]string{
		"etc/containerd/config.toml": `version = 2
root = "/var/lib/containerd"
imports = ["conf.d/*.toml", "/etc/containerd/config.toml"]
[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
    password = "SECRET"
    auth = "SECRET"
[plugins."io.containerd.internal.v1.opt"]
  path = "/opt"
`,
		"etc/containerd/conf.d/10.toml": "root = \"/data\"\n[plugins.\"io.containerd.internal.v1.opt\"]\nother = [1]\n",
	})
	c := h.Component(evidence.Containerd)
	if c == nil || c.Way != evidence.FromFile || c.UID != -1 || c.Unread != "" {
		t.Fatalf("%+v", c)
	}
	main, drop := " /etc/containerd/config.toml", " /etc/containerd/conf.d/10.toml"
	same(t, map[string]string{
		"version": "2" + main, "root": `"/data"` + drop, "imports": `["conf.d/*.toml","/etc/containerd/config.toml"]` + main,
		`plugins."io.containerd.grpc.v1.cri".disable_apparmor`:                           "true" + main,
		`plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth.password`: `"48 bit"` + main,
		`plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth.auth`:     `"48 bit"` + main,
		`plugins."io.containerd.internal.v1.opt".other`:                                  "[1]" + drop,
	}, optionTexts(c))
}

func TestRuntimesThatAreBroken(t *testing.T) {
	there := &evidence.Component{Name: evidence.Containerd, Flags: []evidence.Flag{{Name: "config", Value: "/c.toml"}}}
	h := node(map[string]string{"c.toml": "a = 1\nb = \"SECRET\n"}, there)
	if len(h.Components) != 1 || there.Unread != "/c.toml: not valid TOML (line 2)" {
		t.Errorf("%+v", there)
	}
	for _, text := range []string{strings.Repeat("[", 1000), "a = " + strings.Repeat("[", 1e5), strings.Repeat("a.", 1e5) + "a = 1", strings.Repeat("x", maxConfig+1)} {
		if c := node(map[string]string{"etc/containerd/config.toml": text}).Component(evidence.Containerd); c == nil || c.Unread == "" {
			t.Errorf("%.20s: %+v", text, c)
		}
	}
	if c := node(map[string]string{"etc/containerd/config.toml": "a = nan\nb = 1\n"}).Component(evidence.Containerd); len(c.Options) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestCRIO(t *testing.T) {
	h := node(map[string]string{
		"etc/crio/crio.conf":          "[crio.runtime]\nseccomp_profile = \"a\"\npids_limit = 1\n",
		"etc/crio/crio.conf.d/20.cfg": "[crio.runtime]\npids_limit = 3\n",
		"etc/crio/crio.conf.d/10":     "[crio.runtime]\npids_limit = 2\n[crio.network]\nnetwork_dir = \"/net\"\n",
		"net/10-x.conflist":           `{"cniVersion": "1.0.0", "name": "x", "k8s_auth_token": "SECRET", "plugins": []}`,
		"net/05-broken.conf":          "{",
		"net/readme":                  "x",
	})
	same(t, map[string]string{
		"crio.runtime.seccomp_profile": `"a" /etc/crio/crio.conf`, "crio.runtime.pids_limit": "3 /etc/crio/crio.conf.d/20.cfg",
		"crio.network.network_dir": `"/net" /etc/crio/crio.conf.d/10`,
	}, optionTexts(h.Component(evidence.CRIO)))
	var got []string
	for _, d := range h.System.CNI {
		got = append(got, d.File+" "+string(d.JSON)+" "+d.Error)
	}
	same(t, []string{
		"/net/05-broken.conf  not valid YAML (line 1)",
		`/net/10-x.conflist {"cniVersion":"1.0.0","k8s_auth_token":"48 bit","name":"x","plugins":[]} `,
	}, got)
}

func TestFirewall(t *testing.T) {
	save := "# Generated by iptables-save v1.8.9\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
	for _, tt := range []struct{ file, text, want string }{
		{"x", `{"nftables": []}`, "nft"},
		{"x", save, "iptables"},
		{"x", strings.Replace(save, "iptables-save", "ip6tables-save", 1), "ip6tables"},
		{"/etc/iptables/rules.v6", "*filter\nCOMMIT\n", "ip6tables"},
		{"/etc/iptables/rules.v6", "*filter\n-A INPUT -s 10.0.0.0/8 -j ACCEPT\nCOMMIT\n", "iptables"},
		{"x", "*filter\n-A INPUT -s fd00::/8 -j ACCEPT\nCOMMIT\n", "ip6tables"},
		{"x", `{"a": 1}`, "error"}, {"x", "{", "error"}, {"x", "", "error"}, {"x", "table inet filter {\n}\n", "error"}, {"x", "*filter\n", "error"},
	} {
		rules, err := Firewall(tt.file, []byte(tt.text))
		if got := rules.Format; err != nil && tt.want != "error" || err == nil && got != tt.want {
			t.Errorf("%q: %q, %v", tt.text, got, err)
		}
	}
	h := node(map[string]string{"gabion/nft.json": `{"nftables": []}`, "etc/iptables/rules.v4": save})
	if saw, _ := h.Saw(evidence.TheFirewall); !saw || len(h.Firewall) != 1 || h.Firewall[0].Format != "nft" {
		t.Errorf("%+v", h.Firewall)
	}
	for file, want := range map[string]string{"etc/iptables/rules.v4": "loaded at start", "gabion/nft.json": "/gabion/nft.json", "etc/nftables.conf": "/etc/nftables.conf"} {
		content := save
		if strings.HasSuffix(file, "json") {
			content = "{"
		}
		h := node(map[string]string{file: content})
		if saw, why := h.Saw(evidence.TheFirewall); saw || !strings.Contains(why, want) {
			t.Errorf("%s: %q", file, why)
		}
	}
}

// What the kernel says wins over dumps; where it does not tell all, they stand in.
func TestFirewallInForce(t *testing.T) {
	save := "# Generated by iptables-save v1.8.9\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
	legacy := fmt.Errorf("%w: iptables filter", netfilter.ErrLegacy)
	for _, test := range []struct {
		name, file string // that there is
		err        error  // of the kernel
		want       string // the text of the rules, or why they are not known
	}{
		{"kernel", IptablesDump, nil, "in force"},
		{"kernel alone", "", nil, "in force"},
		{"no privilege", "", fmt.Errorf("ask: %w", syscall.EPERM), "are in no file: run"},
		{"no privilege, a dump", IptablesDump, syscall.EPERM, save},
		{"another node", "", errElsewhere, "are in no file: run"},
		{"legacy", "", legacy, "iptables filter: run"},
		{"legacy, a dump", IptablesDump, legacy, save},
		{"legacy, rules of the start", "/etc/iptables/rules.v4", legacy, "iptables filter: run"},
	} {
		fsys := fstest.MapFS{}
		if test.file != "" {
			fsys[test.file[1:]] = &fstest.MapFile{Data: []byte(save)}
		}
		r := &reader{t: tree.New(fsys), h: &evidence.Host{}, unseen: map[evidence.Aspect]string{}}
		r.firewall(func() ([]byte, error) { return []byte("in force"), test.err })
		got, missed := r.unseen[evidence.TheFirewall]
		if !missed && len(r.h.Firewall) == 1 {
			got = r.h.Firewall[0].Text
		}
		if got != test.want && !(missed && strings.Contains(got, test.want)) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// No credential that a configuration holds may be in what was read of it.
func TestNoCredentials(t *testing.T) {
	files := map[string]string{
		"etc/containerd/config.toml":     "[plugins.x]\ntoken = \"SECRET\"\n[[plugins.x.list]]\npassword = \"SECRET\"\nauth = {x = [\"SECRET\"]}\n",
		"etc/vector/vector.yaml":         "sinks:\n  a: {type: http, uri: 'https://u:SECRET@h/SECRET?SECRET'}\n",
		"etc/filebeat/filebeat.yml":      "output.elasticsearch:\n  hosts: ['https://u:SECRET@h:9200/SECRET']\n  password: SECRET\n",
		"etc/promtail/config.yml":        "clients:\n- url: https://u:SECRET@h/loki\n",
		"etc/alloy/config.alloy":         "loki.write \"x\" {\n endpoint {\n  url = \"https://u:SECRET@h/x\"\n }\n}\n",
		"etc/fluent-bit/fluent-bit.conf": "[OUTPUT]\n Name es\n Host h\n HTTP_Passwd SECRET\n",
		"etc/fluent/fluentd.conf":        "<match **>\n@type elasticsearch\nhosts https://u:SECRET@h:9200\npassword SECRET\n</match>\n",
		"etc/syslog-ng/syslog-ng.conf":   "log { destination { http(url(\"https://u:SECRET@h/\") password(\"SECRET\")); }; };\n",
		"etc/rsyslog.conf":               "action(type=\"omhttp\" server=\"https://u:SECRET@h\" pwd=\"SECRET\")\n",
	}
	h := node(files)
	stored, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if all := string(stored) + fmt.Sprintf("%+v", h.Logging); strings.Contains(all, "SECRET") {
		t.Error(all)
	}
	if len(h.Logging.Daemons) != 8 {
		t.Errorf("%+v", h.Logging.Daemons)
	}
	for file := range files { // broken in every way
		for _, bad := range []string{"SECRET: SECRET: {", "[SECRET\nx = SECRET", "<SECRET", "action(\"SECRET", "{{ SECRET }}", "a = \"SECRET"} {
			stored, _ := json.Marshal(node(map[string]string{file: bad}))
			if strings.Contains(string(stored), "SECRET") {
				t.Errorf("%s: %q: %s", file, bad, stored)
			}
		}
	}
}
