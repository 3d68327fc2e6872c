// Package process reads which programs run on a node, and which ports they listen
// on, from the node's /proc, and where there is none from what ps, ss and netstat
// printed there. Processes come and go while it reads: what has gone is left out. What
// the programs are, and what their arguments mean, is not its business.
package process

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// A Process is one program that runs.
type Process struct {
	PID int
	// UID is the effective user, -1 when not known.
	UID int
	// Args is the command line, as the program has it by now.
	Args []string
	// Hidden is why the command line could not be read, "" when it could.
	Hidden string
	// Exe is the path of the program, "" when that may not be known. Comm is its name,
	// cut to 15 bytes by the kernel.
	Exe, Comm string
	// Cgroup is the deepest of its control groups, "" when not known.
	Cgroup string
	// OwnMounts is set when it is known to see other mounts than the first process.
	OwnMounts bool
	// At is the line of a text that tells of it, zero for one of /proc. Such a text has
	// blanks between the arguments, whatever was in them, User is the name of the user
	// there, and Cut is why the end of the arguments may be missing, "" when it is not.
	At   evidence.Position
	User string
	Cut  string
}

// Program is the name of what runs: that of the command line, or the kernel's.
func (p *Process) Program() string {
	if len(p.Args) > 0 {
		if name := path.Base(firstWord(p.Args[0])); name != "." && name != "/" {
			return name
		}
	}
	return p.Comm
}

// firstWord is a program's name without what it wrote behind it: "nginx: master".
func firstWord(arg string) string {
	name, _, _ := strings.Cut(arg, " ")
	return strings.TrimSuffix(name, ":")
}

// Cmdline is where the process's command line is read.
func (p *Process) Cmdline() evidence.Position {
	if p.At.File != "" {
		return p.At
	}
	return evidence.Position{File: file(p.PID, "cmdline")}
}

// A Table is what runs and listens.
type Table struct {
	// Processes are those that were asked for, by PID.
	Processes []*Process
	// Sockets are the ports that are listened on, by protocol and address.
	Sockets []evidence.Socket
	// Unseen says why what runs, or what listens, is not known.
	Unseen map[evidence.Aspect]string
	// Hidden says of a process that not even its name is known, "" when there is none.
	Hidden string
}

const (
	maxCmdline = 128 << 10 // bytes of a command line; the kernel allows 2 MiB
	maxSmall   = 64 << 10  // bytes of what the kernel writes about one process
	maxComm    = 15        // bytes of a name that the kernel keeps
)

// Read reads the processes that wanted asks for, and the ports. The only error is
// the context's.
func Read(ctx context.Context, t *tree.Tree, wanted func(*Process) bool) (*Table, error) {
	table := &Table{Unseen: map[evidence.Aspect]string{}}
	names, err := t.ReadDir("/proc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		table.Unseen[evidence.TheProcesses] = "/proc: " + err.Error()
	}
	var running []*Process
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(name)
		if err != nil || pid <= 0 {
			continue
		}
		p, err := read(t, pid)
		if errors.Is(err, fs.ErrPermission) {
			table.Unseen[evidence.TheProcesses] = file(pid, "cmdline") + ": " + err.Error()
		}
		if p == nil {
			continue
		}
		if p.Hidden != "" && p.Comm == "" {
			table.Hidden = file(pid, "cmdline") + ": " + p.Hidden
			continue
		}
		if wanted(p) {
			p.complete(t)
			table.Processes = append(table.Processes, p)
		}
		running = append(running, &Process{PID: pid, Comm: p.Program()})
	}
	byPID := func(a, b *Process) int { return a.PID - b.PID }
	slices.SortFunc(running, byPID)
	slices.SortFunc(table.Processes, byPID)
	if len(running) == 0 && table.Unseen[evidence.TheProcesses] == "" {
		running = table.listed(t, wanted)
	}
	switch {
	case table.Unseen[evidence.TheProcesses] != "", len(running) > 0 && running[0].At.File != "":
	case len(running) == 0:
		table.Unseen[evidence.TheProcesses] = "there is no /proc, nor " + PsText + ": what runs there was not seen"
	case t.Stat("/proc/1").Type != evidence.Directory:
		table.Unseen[evidence.TheProcesses] = "/proc does not show the processes of all users"
	}
	return table, table.listen(ctx, t, running)
}

// read returns what is asked of every process, nil for one that has gone or may not be
// looked at, and for the kernel's own.
func read(t *tree.Tree, pid int) (*Process, error) {
	data, err := t.ReadFile(file(pid, "cmdline"), maxCmdline)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil, nil
	}
	p := &Process{PID: pid, UID: -1, Args: arguments(data)}
	if comm, err := t.ReadFile(file(pid, "comm"), maxSmall); err == nil {
		p.Comm = strings.TrimSpace(string(comm))
	}
	switch {
	case err == nil && len(p.Args) == 0:
		return nil, nil
	case errors.Is(err, tree.ErrTooLarge):
		p.Hidden = "the command line is too long to be read"
	case err != nil:
		p.Hidden = err.Error()
	}
	if exe, errExe := t.ReadLink(file(pid, "exe")); errExe == nil && p.Comm == "" && err != nil {
		name := path.Base(exe)
		p.Comm = name[:min(len(name), maxComm)]
	}
	return p, err
}

// complete reads the rest.
func (p *Process) complete(t *tree.Tree) {
	if exe, err := t.ReadLink(file(p.PID, "exe")); err == nil {
		p.Exe = strings.TrimSuffix(exe, " (deleted)")
	}
	status, _ := t.ReadFile(file(p.PID, "status"), maxSmall)
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(ids); len(fields) > 1 {
				if uid, err := strconv.Atoi(fields[1]); err == nil {
					p.UID = uid
				}
			}
		}
	}
	groups, _ := t.ReadFile(file(p.PID, "cgroup"), maxSmall)
	for line := range strings.Lines(string(groups)) {
		if _, rest, ok := strings.Cut(line, ":"); ok {
			if _, group, ok := strings.Cut(rest, ":"); ok && len(group) > len(p.Cgroup) {
				p.Cgroup = strings.TrimSpace(group)
			}
		}
	}
	own, err := t.ReadLink(file(p.PID, "ns/mnt"))
	first, errFirst := t.ReadLink("/proc/1/ns/mnt")
	p.OwnMounts = err == nil && errFirst == nil && own != first
}

// arguments splits a command line. A program that wrote its own title over it left
// one text with blanks.
func arguments(data []byte) []string {
	data = bytes.TrimRight(data, "\x00")
	if len(data) == 0 {
		return nil
	}
	if bytes.IndexByte(data, 0) < 0 && bytes.Contains(data, []byte(" --")) {
		return strings.Fields(string(data))
	}
	return strings.Split(string(data), "\x00")
}

// Environ returns the variables of a process whose name begins with prefix; false
// when they may not be known.
func Environ(t *tree.Tree, pid int, prefix string) (map[string]string, bool) {
	data, err := t.ReadFile(file(pid, "environ"), maxCmdline)
	if err != nil {
		return nil, false
	}
	found := map[string]string{}
	for entry := range strings.SplitSeq(string(data), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, prefix) {
			found[name] = value
		}
	}
	return found, true
}

func file(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
