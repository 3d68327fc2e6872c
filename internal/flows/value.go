package flows

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// decode reads an object of JSON; names are spelled as they are.
func decode(line []byte, into any) error {
	if len(line) == 0 || line[0] != '{' {
		return errors.New("no JSON object")
	}
	return json.UnmarshalCaseSensitivePreserveInts(line, into)
}

// A number is one that some write as text.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "null" || s == "" || s == "-" {
		return nil
	}
	v, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return fmt.Errorf("%q: want a number", s)
	}
	*n = number(v)
	return nil
}

// protocolOf reads a protocol by its name or its number (IANA).
func protocolOf(v any) (ports.Protocol, error) {
	text := ""
	switch v := v.(type) {
	case string:
		text = strings.ToLower(strings.TrimSpace(v))
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		if v == math.Trunc(v) && v >= 0 && v <= 255 {
			text = strconv.Itoa(int(v))
		}
	}
	switch text {
	case "tcp", "6":
		return ports.TCP, nil
	case "udp", "17":
		return ports.UDP, nil
	case "sctp", "132":
		return ports.SCTP, nil
	case "icmp", "1":
		return ports.ICMP, nil
	case "icmpv6", "ipv6-icmp", "icmp6", "58":
		return ports.ICMPv6, nil
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n > 0 {
		return ports.Other, nil
	}
	switch text {
	case "gre", "esp", "ah", "ipip", "dccp", "udplite", "unknown", "igmp":
		return ports.Other, nil
	}
	return 0, fmt.Errorf("protocol %q is not known", text)
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number to 65535", text)
	}
	return uint16(n), nil
}

// parseAddr is the address of a text, invalid for what is none.
func parseAddr(text string) netip.Addr {
	a, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
