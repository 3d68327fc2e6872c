//go:build cluster

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// binaries gives the folder that holds the Kubernetes components: that of
// GABION_KUBE, else the one that test/kube/build says, which builds them the
// first time (minutes).
var binaries = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("GABION_KUBE"); dir != "" {
		return dir, nil
	}
	root, err := output("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gabion-k8s/gabion")
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	dir, err := output(filepath.Join(root, "test", "kube", "build"))
	if err != nil {
		return "", fmt.Errorf("build Kubernetes: %w", err)
	}
	return dir, nil
})

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// process is one component. It dies with the process that started it, whatever
// ends that.
type process struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

func startProcess(binary, log string, args []string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &process{name: filepath.Base(binary), log: log, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Dir = filepath.Dir(log)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		defer close(p.done)
		defer out.Close()
		// The signal comes when the thread that started the process ends, not when
		// its process does: so this thread has to stay as long.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its log
		}
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	if !p.ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// tail has the last lines of the log.
func (p *process) tail() string {
	const lines = 15
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// ports are numbers that nothing else on this machine listens on. The components
// take no listener from their parent and some no port 0, so a number has to be
// chosen before they start.
type ports struct {
	numbers []int
	locks   []net.Listener
}

// reservePorts takes numbers below those that Linux gives out by itself (from
// 32768), and keeps other clusters off each by an abstract Unix socket of that
// name, which the kernel deletes with this process.
func reservePorts(n int) (ports, error) {
	const low, high, tries = 20000, 32000, 1000
	var p ports
	for range tries {
		if len(p.numbers) == n {
			return p, nil
		}
		port := low + rand.IntN(high-low)
		lock, err := net.Listen("unix", fmt.Sprintf("@gabion-test-port-%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			lock.Close()
			continue
		}
		l.Close()
		p.numbers, p.locks = append(p.numbers, port), append(p.locks, lock)
	}
	p.release()
	return ports{}, errors.New("no free ports on loopback")
}

// release ends the reservation.
func (p ports) release() {
	for _, l := range p.locks {
		l.Close()
	}
}
