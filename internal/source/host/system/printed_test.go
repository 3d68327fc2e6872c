package system

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// printedOf is what a tree of texts says.
func printedOf(texts map[string]string, components ...*evidence.Component) *evidence.Host {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	h := &evidence.Host{Components: components}
	Read(tree.New(fsys), h)
	return h
}

func TestPrintedKernel(t *testing.T) {
	for text, want := range map[string]string{
		"Linux cp-1 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) x86_64 GNU/Linux\n": "6.1.0-18-amd64",
		"5.14.0-427.el9.x86_64\n": "5.14.0-427.el9.x86_64",
		"Darwin host 23.1.0\n":    "",
		"uname: not found\n":      "",
		"":                        "",
	} {
		for _, file := range []string{"gabion/uname.txt", "sos_commands/kernel/uname_-a"} {
			if got := printedOf(map[string]string{file: text}).System.Kernel; got != want {
				t.Errorf("%s: %q, want %q", file, got, want)
			}
		}
	}
	if got := printedOf(map[string]string{"gabion/uname.txt": "6.1.0", "proc/sys/kernel/osrelease": "6.2.0\n"}).System.Kernel; got != "6.2.0" {
		t.Errorf("the kernel's own word is %q", got)
	}
}

func TestPrintedSysctls(t *testing.T) {
	const text = "abi.vsyscall32 = 1\nkernel.panic = 10\nnet.ipv4.conf.all.rp_filter = 2\nkernel/panic_on_oops = 1\nvm.overcommit_memory=1\nsysctl: permission denied on key\n"
	h := printedOf(map[string]string{"gabion/sysctl.txt": text, "etc/sysctl.conf": "kernel.panic = 0\n"})
	got := map[string]string{}
	for name, s := range h.System.Sysctls {
		got[name] = s.Value
	}
	want := map[string]string{"kernel.panic": "10", "net.ipv4.conf.all.rp_filter": "2", "kernel.panic_on_oops": "1", "vm.overcommit_memory": "1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if at := h.System.Sysctls["kernel.panic"].Place; at.File != SysctlText || at.Line != 2 {
		t.Errorf("%+v", at)
	}
}

func TestPrintedMounts(t *testing.T) {
	const df = "Filesystem     1K-blocks     Used Available Use% Mounted on\n/dev/sda1       10485760  5242880   2097152  50% /\ntmpfs 100 0 100 0% /run\n/dev/mapper/vg-etcd  1024 1 1000 1% /var/lib/etcd\n"
	for name, text := range map[string]string{
		"mount":                  "proc on /proc type proc (rw,nosuid)\n/dev/sda1 on / type ext4 (rw,relatime) [root]\n/dev/mapper/vg-etcd on /var/lib/etcd type xfs (rw,noexec)\n",
		"findmnt":                "TARGET                 SOURCE              FSTYPE OPTIONS\n/                      /dev/sda1           ext4   rw,relatime\n├─/proc                proc                proc   rw,nosuid\n│ └─/proc/x            systemd-1           autofs rw\n└─/var/lib/etcd        /dev/mapper/vg-etcd xfs    rw,noexec\n",
		"a copy of /proc/mounts": "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw,relatime 0 0\n/dev/mapper/vg-etcd /var/lib/etcd xfs rw,noexec 0 0\n",
	} {
		h := printedOf(map[string]string{"gabion/mount.txt": text, "gabion/df.txt": df, "etc/crypttab": "vg-etcd UUID=1 none luks\n"})
		want := []evidence.FileSystem{
			{Path: "/", Type: "ext4", Device: "/dev/sda1", Options: []string{"rw", "relatime"}, Size: 10 << 30, Free: 2 << 30},
			{Path: "/var/lib/etcd", Type: "xfs", Device: "/dev/mapper/vg-etcd", Options: []string{"rw", "noexec"}, Encrypted: true, Size: 1 << 20, Free: 1000 << 10},
		}
		if diff := cmp.Diff(want, h.System.FileSystems); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if why := h.Unseen[evidence.TheDisks]; why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestPrintedPackages(t *testing.T) {
	want := []evidence.Package{{Name: "containerd.io", Version: "1.7.24-3.1.el9"}, {Name: "kubelet", Version: "1.36.3-150500.1.1"}, {Name: "openssh-server", Version: "8.7p1-38.el9"}}
	const rpm = "kubelet-1.36.3-150500.1.1.x86_64\ncontainerd.io-1.7.24-3.1.el9.x86_64   Mon 23 Nov 2026\nbash-completion-2.11-5.el9.noarch\nopenssh-server-8.7p1-38.el9.x86_64\nnot a package\n"
	for _, file := range []string{"gabion/rpm.txt", "installed-rpms"} {
		h := printedOf(map[string]string{file: rpm, "var/lib/rpm/rpmdb.sqlite": "x"})
		if diff := cmp.Diff(want, h.System.Packages); diff != "" || h.Unseen[evidence.ThePackages] != "" {
			t.Errorf("%s: %s: %s", file, h.Unseen[evidence.ThePackages], diff)
		}
	}
	const dpkg = "Desired=Unknown/Install/Remove\n||/ Name Version Architecture Description\n+++-====-=====-=====\nii  kubelet 1.36.3-1.1 amd64 Node Agent\nrc  kubeadm 1.35.0-1.1 amd64 gone\nii  libssl3:amd64 3.0.15-1 amd64 TLS\n"
	h := printedOf(map[string]string{"gabion/dpkg.txt": dpkg})
	want = []evidence.Package{{Name: "kubelet", Version: "1.36.3-1.1"}, {Name: "libssl3", Version: "3.0.15-1"}}
	if diff := cmp.Diff(want, h.System.Packages); diff != "" {
		t.Error(diff)
	}
	if h := printedOf(map[string]string{"var/lib/rpm/rpmdb.sqlite": "x"}); !strings.Contains(h.Unseen[evidence.ThePackages], RpmText) {
		t.Errorf("%q", h.Unseen[evidence.ThePackages])
	}
}

func TestPrintedVersions(t *testing.T) {
	kubelet, containerd, crio := &evidence.Component{Name: evidence.Kubelet}, &evidence.Component{Name: evidence.Containerd}, &evidence.Component{Name: evidence.CRIO, Version: "v1.1.1"}
	printedOf(map[string]string{"gabion/versions.txt": "Kubernetes v1.36.3\ncontainerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-1\ncrio version 1.34.1\nGitCommit: x\n"}, kubelet, containerd, crio)
	if kubelet.Version != "v1.36.3" || containerd.Version != "v1.7.24~ds1" || crio.Version != "v1.1.1" {
		t.Errorf("%q %q %q", kubelet.Version, containerd.Version, crio.Version)
	}
}

func TestNetworks(t *testing.T) {
	at := func(list ...string) (all []string) { return list }
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"the kernel": {map[string]string{
			"proc/1/net/route":    "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\neth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\neth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
			"proc/1/net/fib_trie": "Main:\n  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\nLocal:\n     |-- 10.0.0.11\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.7.0.1\n        /32 host LOCAL\n",
			"proc/1/net/if_inet6": "fd000001000000000000000000000011 02 40 00 80     eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n",
			"proc/net/if_inet6":   "fd000099000000000000000000000011 02 40 00 80     other\n",
		}, at(" 10.7.0.1/32", "eth0 10.0.0.11/24", "eth0 fd00:1::11/64")},
		"ip -j addr":     {map[string]string{"gabion/ip-addr.txt": `[{"ifname": "eth0", "addr_info": [{"family": "inet", "local": "10.0.0.11", "prefixlen": 24}, {"local": "fe80::1", "prefixlen": 64}]}]`}, at("eth0 10.0.0.11/24")},
		"a sosreport":    {map[string]string{"sos_commands/networking/ip_-o_addr": "1: lo    inet 127.0.0.1/8 scope host lo\n2: ens3    inet 10.0.0.11/24 brd 10.0.0.255 scope global ens3\n"}, at("ens3 10.0.0.11/24")},
		"ifupdown":       {map[string]string{"etc/network/interfaces": "iface eth0 inet static\n address 10.0.0.11\n netmask 255.255.255.0\n"}, at("interfaces 10.0.0.11/24")},
		"NetworkManager": {map[string]string{"etc/NetworkManager/system-connections/a.nmconnection": "[ipv4]\naddress1=10.0.0.11/24,10.0.0.1\nmethod=manual\n"}, at("a.nmconnection 10.0.0.11/24")},
		"ifcfg":          {map[string]string{"etc/sysconfig/network-scripts/ifcfg-eth0": "IPADDR=10.0.0.11\nPREFIX=24\n"}, at("ifcfg-eth0 10.0.0.11/24")},
		"a broken mask":  {map[string]string{"etc/sysconfig/network-scripts/ifcfg-eth0": "IPADDR=10.0.0.11\nNETMASK=255.0.255.0\n"}, nil},
		"IPv6 alone":     {map[string]string{"proc/1/net/if_inet6": "fd000001000000000000000000000011 02 40 00 80 eth0\n"}, nil},
		"none":           {nil, nil},
	} {
		h := printedOf(test.files)
		var got []string
		for _, n := range h.Networks {
			got = append(got, n.Interface+" "+n.Prefix.String())
		}
		if slices.Sort(got); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		set := false
		for file := range test.files {
			set = set || strings.HasPrefix(file, "etc/")
		}
		if open := h.Unseen[evidence.TheNetworks] != ""; open != (len(got) == 0 || set) { // what is set up need not be all
			t.Errorf("%s: %q", name, h.Unseen[evidence.TheNetworks])
		}
	}
}

// A mask has the length that it was made with, and nothing else is one.
func TestMaskBits(t *testing.T) {
	for bits := range 33 {
		full := ^uint32(0) << (32 - bits)
		mask := netip.AddrFrom4([4]byte{byte(full >> 24), byte(full >> 16), byte(full >> 8), byte(full)})
		if got := maskBits(mask); got != bits {
			t.Errorf("%s: %d, want %d", mask, got, bits)
		}
	}
	if got := maskBits(netip.MustParseAddr("255.0.255.0")); got != -1 {
		t.Errorf("255.0.255.0: %d", got)
	}
}

// No text of programs does harm, however broken; and no address is made up.
func TestBrokenPrints(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	texts := map[string]string{
		"gabion/uname.txt": "Linux a 6.1.0 #1", "gabion/sysctl.txt": "kernel.panic = 10\n", "gabion/mount.txt": "/dev/sda1 on / type ext4 (rw)\n├─/a /dev/b xfs rw\n",
		"gabion/df.txt": "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/sda1 1 2 3 5% /\n", "gabion/rpm.txt": "kubelet-1.36.3-1.x86_64\n",
		"gabion/dpkg.txt": "ii  kubelet 1.36.3 amd64 x\n", "gabion/versions.txt": "Kubernetes v1.36.3\n", "gabion/ip-addr.txt": "2: eth0    inet 10.0.0.11/24 scope global eth0\n",
		"proc/1/net/route": "a\neth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n", "proc/1/net/fib_trie": "|-- 10.0.0.1\n/32 host LOCAL\n",
		"proc/1/net/if_inet6": "fd000001000000000000000000000011 02 40 00 80 eth0\n", "etc/netplan/a.yaml": "network: {ethernets: {e: {addresses: [10.0.0.1/24]}}}\n",
	}
	for range 500 {
		broken := map[string]string{}
		for name, text := range texts {
			b := []byte(text)
			for range random.IntN(5) {
				b[random.IntN(len(b))] = " \n\t|-/.:\x00\xff(){}09fZ"[random.IntN(18)]
			}
			broken[name] = string(b)
		}
		for _, n := range printedOf(broken).Networks {
			if !n.Prefix.IsValid() || n.Prefix.Addr().IsLoopback() {
				t.Fatalf("%+v of %q", n, broken)
			}
		}
	}
}
