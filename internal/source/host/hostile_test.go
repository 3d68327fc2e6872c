package host

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// FIFOs, loops, links that lead out, folders in place of files: none of them stops
// the rest.
func TestIrregular(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, command: [etcd, --outside]}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("etc/kubernetes/manifests/kube-apiserver.yaml", apiServerPod)
	write("etc/kubernetes/pki/x", "")
	write("usr/lib/systemd/system/kubelet.service/file", "a folder in place of a file")
	write("var/lib/kubelet/config.yaml/file", "")
	for name, make := range map[string]func(string) error{
		"etc/kubernetes/manifests/a.yaml":   func(p string) error { return syscall.Mkfifo(p, 0o666) },
		"etc/kubernetes/manifests/etcd.yml": func(p string) error { return os.Symlink(secret, p) },
		"etc/kubernetes/manifests/z.yaml":   func(p string) error { return os.Symlink("z.yaml", p) },
		"etc/kubernetes/pki/ca.crt":         func(p string) error { return syscall.Mkfifo(p, 0o666) },
		"etc/kubernetes/pki/up":             func(p string) error { return os.Symlink("..", p) },
		"etc/kubernetes/pki/round":          func(p string) error { return os.Symlink(".", p) },
		"etc/kubernetes/admin.conf":         func(p string) error { return syscall.Mkfifo(p, 0o666) },
		"etc/passwd":                        func(p string) error { return syscall.Mkfifo(p, 0o666) },
		"etc/hostname":                      func(p string) error { return os.Symlink("/dev/zero", p) },
		"proc":                              func(p string) error { return os.Symlink("/", p) },
	} {
		if err := make(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := readFolder(t, root)
	if c := h.Component(evidence.APIServer); c == nil || len(c.Flags) != 8 {
		t.Errorf("%+v", c)
	}
	if c := h.Component(evidence.Etcd); c != nil {
		t.Errorf("read from outside: %+v", c)
	}
}

// readFolder reads a folder, within a time that nothing should need.
func readFolder(t *testing.T, root string) *evidence.Host {
	t.Helper()
	files, closer, err := tree.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	done := make(chan *evidence.Host)
	go func() {
		h, _, _, err := Read(context.Background(), files, Options{Root: root})
		if err != nil {
			t.Error(err)
		}
		done <- h
	}()
	select {
	case h := <-done:
		return h
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for something")
		return nil
	}
}

// Whatever a file holds, everything is read to the end, and the other component is.
func FuzzRead(f *testing.F) {
	f.Add("etc/kubernetes/manifests/kube-apiserver.yaml", apiServerPod)
	f.Add("etc/kubernetes/manifests/kube-apiserver.yaml", "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: kube-apiserver, command: [sh, -c, 'kube-apiserver $(X)']}]}")
	f.Add("c.yaml", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard: {a.b: 1}\nevictionHard.a: null\n")
	f.Add("etc/etcd.yaml", "client-transport-security: [1]\npeer-transport-security: {cert-file: {}}\n")
	f.Add("proc/net/tcp", "0: 0100007F:094B 00000000:0000 0A 0:0 0:0 0 0 0 111\n")
	f.Add("proc/5/cmdline", "kube-apiserver\x00--a")
	f.Add("etc/passwd", "a:b:0:0:c:/root:\n")
	f.Add("etc/kubernetes/pki/ca.crt", "-----BEGIN CERTIFICATE-----\n")
	f.Add("etc/kubernetes/admin.conf", "kind: Config\nusers: [{user: {client-certificate: /x}}]\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		if !fs.ValidPath(name) || name == "." || strings.HasPrefix(text, "-> ") {
			return
		}
		n := node{
			"usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --config=/c.yaml\n",
			"usr/lib/systemd/system/etcd.service":    "[Service]\nExecStart=/usr/bin/etcd --config-file=/etc/etcd.yaml\n",
			"c.yaml":                                 "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
		}
		for have := range n {
			if strings.HasPrefix(have, name+"/") || strings.HasPrefix(name, have+"/") {
				return
			}
		}
		h, _, _ := read(t, n.with(node{name: text}).fs())
		if !strings.Contains(name, "systemd") && (h.Component(evidence.Kubelet) == nil || h.Component(evidence.Etcd) == nil) {
			t.Error("what has nothing to do with it is lost")
		}
		for _, c := range h.Components {
			for path, o := range c.Options {
				if path == "" || len(o.Value) == 0 {
					t.Errorf("%q: %+v", path, o)
				}
			}
		}
	})
}

// counting counts what is opened of a file system.
type counting struct {
	forbidding
	opened *atomic.Int64
}

func (c counting) Open(name string) (fs.File, error) {
	c.opened.Add(1)
	return c.forbidding.Open(name)
}

// Files that are nobody's matter are not opened.
func TestOpensLittle(t *testing.T) {
	n := node{"etc/kubernetes/manifests/kube-apiserver.yaml": apiServerPod}
	count := func(n node) int64 {
		var opened atomic.Int64
		read(t, counting{forbidding{MapFS: n.fs()}, &opened})
		return opened.Load()
	}
	few := count(n)
	for i := range 2000 {
		n[fmt.Sprintf("var/lib/kubelet/pods/%d/volumes/%d/file", i%50, i)] = "x"
		n[fmt.Sprintf("home/user/.kube/cache/%d", i)] = "x"
	}
	if many := count(n); many > few+3 { // the folders that are new
		t.Errorf("%d files are opened for 4,000 that do not matter, %d without them", many, few)
	}
}

// A node of 200,000 files is read in less than three seconds and 150 MB.
func TestLargeNode(t *testing.T) {
	if os.Getenv("GABION_LARGE_NODE") == "" {
		t.Skip("writes 200,000 files: only with GABION_LARGE_NODE=1")
	}
	root := t.TempDir()
	make := func(dir string, n int) {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			f, err := os.Create(filepath.Join(root, dir, fmt.Sprintf("%d.crt", i)))
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	for i := range 90 {
		make(fmt.Sprintf("var/lib/kubelet/pods/%d/volumes", i), 1000)
		make(fmt.Sprintf("home/user%d/.kube/cache", i), 1000)
	}
	for _, dir := range []string{"etc/kubernetes/pki", "etc/kubernetes/manifests", "etc/cni/net.d", "usr/lib/systemd/system/kubelet.service.d"} {
		make(dir, 5000)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	readFolder(t, root)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > 3*time.Second || after.TotalAlloc-before.TotalAlloc > 150<<20 {
		t.Errorf("%s, %d MB allocated", took, (after.TotalAlloc-before.TotalAlloc)>>20)
	}
	t.Log(took, (after.TotalAlloc-before.TotalAlloc)>>20, "MB allocated in all")
}
