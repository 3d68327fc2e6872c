package flows

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// isConntrack knows the lines of conntrack -L and of /proc/net/nf_conntrack.
func isConntrack(line []byte) bool {
	return bytes.Contains(line, []byte(" src=")) && bytes.Contains(line, []byte(" dst=")) || bytes.HasPrefix(line, []byte("conntrack v"))
}

// parseConntrack reads who opened the connection from the first pair of addresses, and
// who really accepted it, whatever address was asked for, from the second.
func parseConntrack(line []byte) ([]Flow, error) {
	if bytes.HasPrefix(line, []byte("conntrack v")) {
		return nil, errIgnored
	}
	fields := strings.Fields(string(line))
	if len(fields) > 2 && (fields[0] == "ipv4" || fields[0] == "ipv6") {
		fields = fields[2:]
	}
	if len(fields) < 3 {
		return nil, errors.New("too short")
	}
	protocol, err := protocolOf(fields[0])
	if err != nil {
		return nil, err
	}
	if !protocol.HasPorts() {
		return nil, errIgnored
	}
	var sources, targets []netip.Addr
	var from, to []uint16
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			continue
		}
		switch key {
		case "src", "dst":
			a, err := netip.ParseAddr(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if key == "src" {
				sources = append(sources, a.Unmap())
			} else {
				targets = append(targets, a.Unmap())
			}
		case "sport", "dport":
			port, err := parsePort(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if key == "sport" {
				from = append(from, port)
			} else {
				to = append(to, port)
			}
		}
	}
	switch {
	case len(sources) == 2 && len(from) == 2:
		return checked(Flow{Src: Peer{Address: sources[0]}, Dst: Peer{Address: sources[1]}, Protocol: protocol, Port: from[1]})
	case len(sources) == 1 && len(targets) == 1 && len(to) == 1:
		return checked(Flow{Src: Peer{Address: sources[0]}, Dst: Peer{Address: targets[0]}, Protocol: protocol, Port: to[0]})
	}
	return nil, errors.New("no pair of addresses and ports")
}
