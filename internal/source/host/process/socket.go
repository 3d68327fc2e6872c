package process

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

const (
	maxSockets = 16 << 20 // bytes of one table of sockets
	maxLinks   = 20_000   // descriptors that are looked at for the sockets' owners
)

// States of sockets as the kernel numbers them: a TCP socket that listens, and a
// UDP socket that is connected to nobody.
const (
	stateListen = "0A"
	stateClosed = "07"
)

// A listener is a socket and the number that tells whose it is.
type listener struct {
	evidence.Socket
	inode string
}

// listen reads the ports of the node's own network namespace.
func (table *Table) listen(ctx context.Context, t *tree.Tree, running []*Process) error {
	var all []*listener
	seen, why := false, ""
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		data, err := t.ReadFile("/proc/1/net/"+protocol, maxSockets)
		denied := errors.Is(err, fs.ErrPermission)
		if err != nil {
			data, err = t.ReadFile("/proc/net/"+protocol, maxSockets)
		}
		switch {
		case err != nil && denied:
			table.Unseen[evidence.TheSockets] = "/proc/1/net/" + protocol + ": " + fs.ErrPermission.Error()
		case err == nil:
			seen = true
			all = append(all, listeners(protocol, string(data))...)
		case why == "":
			why = "/proc/net/" + protocol + ": " + err.Error()
		}
	}
	if !seen && table.Unseen[evidence.TheSockets] == "" {
		if file, udp := table.printed(t, running); file != "" {
			table.sortSockets()
			if !udp {
				table.Unseen[evidence.TheDatagrams] = file + ": only what listens by TCP is told (ss -tulnp)"
			}
			return nil
		}
		table.Unseen[evidence.TheSockets] = "there is no /proc/net, nor " + SsText + ": what listens there was not seen"
		if table.Unseen[evidence.TheProcesses] == "" {
			table.Unseen[evidence.TheSockets] = why
		}
		return nil
	}
	if err := own(ctx, t, all, table.Processes, running); err != nil {
		return err
	}
	for _, l := range all {
		table.Sockets = append(table.Sockets, l.Socket)
	}
	if len(table.Sockets) > 0 && (len(running) == 0 || running[0].At.File != "") { // a copy without the descriptors of processes
		table.printed(t, running)
	}
	table.sortSockets()
	return nil
}

func (table *Table) sortSockets() {
	slices.SortFunc(table.Sockets, func(a, b evidence.Socket) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.Address.Compare(b.Address), cmp.Compare(a.Process, b.Process))
	})
	table.Sockets = slices.Compact(table.Sockets)
}

// listeners parses a table of sockets as the kernel prints it.
func listeners(table, text string) (list []*listener) {
	protocol := strings.TrimSuffix(table, "6")
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		state := stateListen
		if protocol == "udp" {
			state = stateClosed
		}
		if fields[3] != state {
			continue
		}
		if at, ok := address(fields[1]); ok {
			list = append(list, &listener{evidence.Socket{Protocol: protocol, Address: at}, fields[9]})
		}
	}
	return list
}

// address parses 0100007F:1F90: words of 32 bits, in hexadecimal as a machine of the
// usual, little-endian kind holds them.
func address(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	bytes, errHex := hex.DecodeString(host)
	if !ok || err != nil || errHex != nil || len(bytes) != 4 && len(bytes) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(bytes); i += 4 {
		binary.BigEndian.PutUint32(bytes[i:], binary.LittleEndian.Uint32(bytes[i:]))
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}

// own finds out which programs hold the sockets, as far as this may be known: those
// that were asked for first, then the others.
func own(ctx context.Context, t *tree.Tree, all []*listener, wanted, running []*Process) error {
	waiting := map[string][]*listener{}
	for _, l := range all {
		waiting["socket:["+l.inode+"]"] = append(waiting["socket:["+l.inode+"]"], l)
	}
	links := 0
	for _, p := range slices.Concat(wanted, running) {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, _ := t.ReadDir(file(p.PID, "fd"))
		for _, fd := range names {
			if links++; len(waiting) == 0 || links > maxLinks {
				return nil
			}
			target, err := t.ReadLink(file(p.PID, "fd/"+fd))
			if err != nil {
				continue
			}
			for _, l := range waiting[target] {
				l.Process = p.Program()
			}
			delete(waiting, target)
		}
	}
	return nil
}
