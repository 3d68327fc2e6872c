package process

import (
	"context"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// files makes a tree of texts; what begins with "-> " is a link.
func files(texts map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range texts {
		f := &fstest.MapFile{Data: []byte(text), Mode: 0o444}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			f.Data, f.Mode = []byte(target), fs.ModeSymlink|0o777
		}
		m[name] = f
	}
	return m
}

func everything(*Process) bool { return true }

const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0
   1: 0100007F:094B 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 112 1 0000000000000000 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 113 1 0000000000000000 100 0 0 10 0
   3: zz:0016 00000000:0000 0A 0:0 0:0 0 0 0 114
   4: 00000000
`

const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 115 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000100000A:2802 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 116 1 0000000000000000 100 0 0 10 0
`

const udp = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  1: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 117 2 0000000000000000 0
  2: 00000000:0045 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 118 2 0000000000000000 0
`

func TestProcesses(t *testing.T) {
	texts := map[string]string{
		"proc/1/cmdline": "/sbin/init\x00splash\x00", "proc/1/comm": "systemd\n", "proc/1/ns/mnt": "-> mnt:[1]",
		"proc/1/net/tcp": tcp, "proc/1/net/tcp6": tcp6, "proc/1/net/udp": udp,
		"proc/net/tcp":   "of another network namespace",
		"proc/2/cmdline": "", "proc/2/comm": "kthreadd\n",
		"proc/30/cmdline": "kubelet\x00--a=b c\x00\x00--d\x00", "proc/30/comm": "everything\n", "proc/30/exe": "-> /srv/everything (deleted)",
		"proc/30/status": "Name:\tx\nUid:\t0\t1000\t0\t0\n", "proc/30/cgroup": "0::/kubepods.slice/x\n", "proc/30/ns/mnt": "-> mnt:[2]",
		"proc/30/fd/5": "-> socket:[115]", "proc/30/fd/6": "-> /dev/null", "proc/30/fd/7": "-> socket:[116]",
		"proc/4/cmdline": "etcd --name=a --b 2", "proc/4/comm": "etcd\n", "proc/4/fd/3": "-> socket:[111]",
		"proc/4/environ": "PATH=/bin\x00ETCD_NAME=a=b\x00ETCD_X=\x00",
		"proc/500/comm":  "gone\n",
		"proc/self/comm": "self", "proc/77": "a file",
		"proc/600/cmdline": strings.Repeat("x", maxCmdline+1), "proc/600/comm": "kube-controller\n", "proc/600/fd/1": "-> socket:[113]",
	}
	table, err := Read(context.Background(), tree.New(files(texts)), everything)
	if err != nil {
		t.Fatal(err)
	}
	want := []*Process{
		{PID: 1, UID: -1, Args: []string{"/sbin/init", "splash"}, Comm: "systemd"},
		{PID: 4, UID: -1, Args: []string{"etcd", "--name=a", "--b", "2"}, Comm: "etcd"},
		{PID: 30, UID: 1000, Args: []string{"kubelet", "--a=b c", "", "--d"}, Comm: "everything", Exe: "/srv/everything", Cgroup: "/kubepods.slice/x", OwnMounts: true},
		{PID: 600, UID: -1, Hidden: "the command line is too long to be read", Comm: "kube-controller"},
	}
	if diff := cmp.Diff(want, table.Processes); diff != "" {
		t.Error(diff)
	}
	sockets := []evidence.Socket{
		{Protocol: "tcp", Address: netip.MustParseAddrPort("0.0.0.0:22"), Process: "kube-controller"},
		{Protocol: "tcp", Address: netip.MustParseAddrPort("10.0.0.1:10242"), Process: "kubelet"},
		{Protocol: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:2379"), Process: "etcd"},
		{Protocol: "tcp", Address: netip.MustParseAddrPort("[::]:6443"), Process: "kubelet"},
		{Protocol: "udp", Address: netip.MustParseAddrPort("0.0.0.0:68")},
	}
	if diff := cmp.Diff(sockets, table.Sockets, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if len(table.Unseen) != 0 {
		t.Error(table.Unseen)
	}
	env, known := Environ(tree.New(files(texts)), 4, "ETCD_")
	if diff := cmp.Diff(map[string]string{"ETCD_NAME": "a=b", "ETCD_X": ""}, env); diff != "" || !known {
		t.Error(known, diff)
	}
	if _, known := Environ(tree.New(files(texts)), 30, "ETCD_"); known {
		t.Error("the variables of 30 are not there")
	}
}

// Without /proc nothing is said to be seen; with a part of it, that part.
func TestUnseen(t *testing.T) {
	for name, test := range map[string]struct {
		texts              map[string]string
		processes, sockets bool
	}{
		"nothing":            {map[string]string{"etc/x": ""}, false, false},
		"an empty /proc":     {map[string]string{"proc/x": ""}, false, false},
		"hidden processes":   {map[string]string{"proc/5/cmdline": "x"}, false, false},
		"a bundle's sockets": {map[string]string{"proc/net/tcp": tcp}, false, true},
		"only processes":     {map[string]string{"proc/1/cmdline": "x"}, true, false},
	} {
		table, err := Read(context.Background(), tree.New(files(test.texts)), everything)
		if err != nil {
			t.Fatal(err)
		}
		if (table.Unseen[evidence.TheProcesses] == "") != test.processes || (table.Unseen[evidence.TheSockets] == "") != test.sockets {
			t.Errorf("%s: %v", name, table.Unseen)
		}
	}
}

// A running program of this machine is found as the kernel shows it.
func TestThisMachine(t *testing.T) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("this machine has no /proc")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(sleep, "1000.25")
	cmd.Args[0] = "kube-scheduler"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	root, closer, err := tree.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	exe, _ := filepath.EvalSymlinks(sleep)
	for range 50 { // until it has become what it is to be
		table, err := Read(context.Background(), root, func(p *Process) bool { return p.PID == cmd.Process.Pid })
		if err != nil {
			t.Fatal(err)
		}
		if len(table.Processes) == 1 && table.Processes[0].Program() == "kube-scheduler" {
			p := table.Processes[0]
			if p.UID != os.Getuid() || p.Args[1] != "1000.25" || filepath.Base(p.Exe) != filepath.Base(exe) {
				t.Errorf("%+v", p)
			}
			return
		}
	}
	t.Error("it was not found")
}

func FuzzSockets(f *testing.F) {
	f.Add("tcp", tcp)
	f.Add("tcp6", tcp6)
	f.Add("udp", udp)
	f.Fuzz(func(t *testing.T, table, text string) {
		for _, l := range listeners(table, text) {
			if !l.Address.IsValid() || l.inode == "" {
				t.Errorf("%+v", l)
			}
		}
	})
}
