package process

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// A told socket is one that a text tells of, with the number of its process, 0 when not
// told.
type told struct {
	evidence.Socket
	pid int
}

// printed takes the sockets from what ss or netstat printed, where /proc does not tell
// them, and else the programs that listen, where none is known. It returns the file and
// whether UDP was asked for; "" where there is no such text.
func (table *Table) printed(t *tree.Tree, running []*Process) (file string, udp bool) {
	for _, found := range gathered(t, []string{SsText, NetstatText}, sosSockets, "ss_", "netstat_") {
		list, both, ok := parseSockets(found.content)
		if !ok {
			continue
		}
		for i, s := range list {
			if n := slices.IndexFunc(running, func(p *Process) bool { return s.pid != 0 && p.PID == s.pid }); n >= 0 {
				list[i].Process = running[n].Program()
			}
		}
		if len(table.Sockets) == 0 {
			for _, s := range list {
				table.Sockets = append(table.Sockets, s.Socket)
			}
			return found.file, both
		}
		for i := range table.Sockets {
			known := &table.Sockets[i]
			n := slices.IndexFunc(list, func(s told) bool { return s.Protocol == known.Protocol && s.Address == known.Address })
			if known.Process == "" && n >= 0 {
				known.Process = list[n].Process
			}
		}
		return found.file, true
	}
	return "", false
}

var (
	ssProcess      = regexp.MustCompile(`users:\(\("([^"]*)",pid=(\d+)`)
	netstatProcess = regexp.MustCompile(`^(\d+)/(.+)$`)
)

// parseSockets reads what ss and netstat print with -n and -l or -a. udp is whether the
// text would tell of UDP; ok is false for what is neither of them, and for one that has
// names in place of numbers.
func parseSockets(content string) (list []told, udp, ok bool) {
	lines := strings.Split(content, "\n")
	for _, line := range lines[:min(len(lines), maxListed)] {
		if strings.Contains(line, "Local Address") {
			ok = true
			udp = udp || strings.Contains(line, "Netid") // the column is there where several protocols are asked for
			continue
		}
		f := strings.Fields(line)
		protocol, local, process, is := socketLine(f)
		if !is {
			continue
		}
		udp = udp || protocol == "udp"
		at, valid := printedAddress(local)
		if !valid {
			return nil, false, false
		}
		s := told{Socket: evidence.Socket{Protocol: protocol, Address: at}}
		if m := ssProcess.FindStringSubmatch(line); m != nil {
			s.Process = m[1]
			s.pid, _ = strconv.Atoi(m[2])
		} else if m := netstatProcess.FindStringSubmatch(process); m != nil {
			s.Process = strings.TrimSuffix(m[2], ":")
			s.pid, _ = strconv.Atoi(m[1])
		}
		ok = true
		list = append(list, s)
	}
	return list, udp, ok
}

// socketLine tells the protocol and the address of a line, and netstat's last column.
func socketLine(f []string) (protocol, local, process string, ok bool) {
	if len(f) < 5 {
		return "", "", "", false
	}
	switch f[0] {
	case "LISTEN": // ss of one protocol
		return "tcp", f[3], "", true
	case "UNCONN":
		return "udp", f[3], "", true
	case "tcp", "tcp6", "udp", "udp6":
	default:
		return "", "", "", false
	}
	protocol = strings.TrimSuffix(f[0], "6")
	switch n := slices.IndexFunc(f, netstatProcess.MatchString); {
	case f[1] == "LISTEN" && protocol == "tcp", f[1] == "UNCONN" && protocol == "udp":
		return protocol, f[4], "", true
	case len(f) > 5 && f[5] == "LISTEN", protocol == "udp" && strings.HasSuffix(f[4], ":*") && isNumber(f[1]):
		if n >= 0 {
			process = f[n]
		}
		return protocol, f[3], process, true
	}
	return "", "", "", false
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// printedAddress parses 127.0.0.53%lo:53, [::]:22, :::22 and *:22. What is for all
// addresses is for those of IPv6, too.
func printedAddress(local string) (netip.AddrPort, bool) {
	n := strings.LastIndexByte(local, ':')
	if n < 0 {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(local[n+1:], 10, 16)
	host, _, _ := strings.Cut(local[:n], "%")
	host = strings.Trim(host, "[]")
	if host == "*" {
		host = "::"
	}
	addr, errAddr := netip.ParseAddr(host)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), err == nil && errAddr == nil
}
