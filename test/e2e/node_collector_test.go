//go:build cluster

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
)

// inContainer is the program as the example's collector runs it: it sees the node below
// /mnt/host, read-only, may write to /mnt/out, and has no other rights than these
// capabilities of root's.
func inContainer(t *testing.T, root, out, capabilities string, args ...string) *exec.Cmd {
	t.Helper()
	asRoot(t)
	const enter = `set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/host /mnt/out /mnt/bin
mount --bind "$1" /mnt/host
mount -o remount,bind,ro /mnt/host
mount --bind "$2" /mnt/out
mount --bind "$3" /mnt/bin
shift 3
exec setpriv --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set="$@"`
	cmd := exec.CommandContext(t.Context(), "sh", slices.Concat(
		[]string{"-c", enter, "sh", root, out, plugin(t), capabilities, "/mnt/bin/kubectl-gabion"}, args,
	)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

const mayRead = "-all,+dac_read_search"

// The collector reads a node without privileges and without writing to it, and what it
// brings home says what the node itself says.
func TestCollector(t *testing.T) {
	root := kubeadmNode(t)
	if err := os.Chmod(filepath.Join(root, "etc/kubernetes"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"etc/kubernetes/pki/ca.key", "etc/kubernetes/admin.conf"} {
		if err := os.Chown(filepath.Join(root, file), 4711, 4711); err != nil { // root reads it as any other user
			t.Fatal(err)
		}
	}
	before, out := listing(t, root), t.TempDir()
	direct := scan(t, "--host-root", root)

	collect := []string{"snapshot", "--host-root=/mnt/host", "--host-name=cp1", "--output-file=/mnt/out/cp1.snap"}
	got := runCommand(t, inContainer(t, root, out, mayRead, collect...))
	if got.code != cli.ExitClean || got.out != "" || got.errors != "" {
		t.Fatalf("exit code %d: %s%s", got.code, got.out, got.errors)
	}
	if diff := cmp.Diff(before, listing(t, root)); diff != "" {
		t.Errorf("the node was written to: %s", diff)
	}
	brought := scan(t, "--snapshot", filepath.Join(out, "cp1.snap"))
	if diff := cmp.Diff(answers(direct), answers(brought)); diff != "" {
		t.Errorf("the collector says something else: -node +snapshot\n%s", diff)
	}
	data, err := os.ReadFile(filepath.Join(out, "cp1.snap"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "PRIVATE KEY") {
		t.Error("a private key is in the snapshot")
	}

	// Without even the right to read, every row that was answered is so no more, or
	// fails by what may be seen.
	got = runCommand(t, inContainer(t, root, out, "-all", "scan", "--host-root=/mnt/host", "--host-name=cp1", "-o", "json"))
	if got.code != cli.ExitFindings && got.code != cli.ExitIncomplete {
		t.Fatalf("exit code %d: %s", got.code, got.errors)
	}
	var blind report.Report
	if err := json.Unmarshal([]byte(got.out), &blind); err != nil {
		t.Fatal(err)
	}
	for id, row := range rows(&blind) {
		if was := rows(direct)[id]; row.Status == report.Pass && was.Status != report.Pass {
			t.Errorf("%s passes when nothing may be read: %s", id, row.Reason)
		}
	}
	named := func(g string) bool { return strings.Contains(g, "ca.key") || strings.Contains(g, "admin.conf") }
	if len(blind.Gaps) == 0 || !slices.ContainsFunc(blind.Gaps, func(g evidence.Gap) bool { return named(g.Reason) }) {
		t.Errorf("what may not be read is not named: %v", blind.Gaps)
	}
}

// A node with many files is read as fast as one with few, for none of them is opened
// that need not be, and in little memory.
func TestManyFiles(t *testing.T) {
	root := quickFolder(t)
	if out, err := exec.Command("cp", "-a", kubeadmNode(t)+"/.", root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := []string{"scan", "--host-root=/mnt/host", "--host-name=cp1", "-o", "json"}
	measure := func() (*report.Report, time.Duration, int64) {
		cmd := inContainer(t, root, t.TempDir(), mayRead, args...)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		peak := watchMemory(cmd.Process.Pid)
		out := bufio.NewReaderSize(pipe, 16)
		_, _ = out.Peek(1) // from now on it waits until somebody reads its report
		took := time.Since(began)
		time.Sleep(50 * time.Millisecond) // the memory is looked at every 20
		memory := peak()
		var r report.Report
		if err := json.NewDecoder(out).Decode(&r); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != cli.ExitFindings {
			t.Fatal(err)
		}
		return &r, took, memory >> 20
	}
	few, quick, _ := measure()
	const each, folders = 20_000, 10
	for _, dir := range [folders]string{
		"var/lib/containerd/io.containerd.content.v1.content/blobs/sha256", "var/lib/kubelet/pods/0/volumes", "usr/lib/x86_64-linux-gnu",
		"usr/share/doc", "var/log/pods/kube-system_x_0/x", "home/user/src", "root/go/pkg", "var/lib/etcd/member/snap", "opt/x", "srv",
	} {
		put(t, root, filepath.Join(dir, "first.conf"), "")
		for i := range each {
			file := filepath.Join(root, dir, fmt.Sprint(i/1000), fmt.Sprint(i, ".conf"))
			if i%1000 == 0 {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Link(filepath.Join(root, dir, "first.conf"), file); err != nil { // quicker made
				t.Fatal(err)
			}
		}
	}
	many, slow, memory := measure()
	t.Logf("%s and %d files opened, with %d files more %s, %d MiB and %d", quick, few.Sources[0].Files, each*folders, slow, memory, many.Sources[0].Files)
	if few.Sources[0].Files != many.Sources[0].Files || few.Sources[0].Files > 100 {
		t.Errorf("%d files opened, and with %d more %d", few.Sources[0].Files, each*folders, many.Sources[0].Files)
	}
	if memory == 0 || memory > 150 {
		t.Errorf("%d MiB", memory)
	}
	if slow > 3*time.Second && slow > 10*quick {
		t.Errorf("%s instead of %s", slow, quick)
	}
	if got, want := places(many.Findings), places(few.Findings); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// quickFolder is one in memory, where the machine has a gigabyte for that.
func quickFolder(t *testing.T) string {
	t.Helper()
	var space syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &space); err != nil || space.Bavail*uint64(space.Bsize) < 1<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "gabion-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// listing is what stands in a tree: names, modes, owners, sizes and times of change.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		all[name] = fmt.Sprint(info.Mode(), s.Uid, s.Gid, info.Size(), s.Mtim, s.Ctim)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
