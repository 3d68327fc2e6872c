package flows

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func isCSV(line []byte) bool {
	heading, err := columns(line)
	return err == nil && heading != nil
}

// columns are the names of a heading, nil for a line that is none.
func columns(line []byte) ([]string, error) {
	list, err := row(line)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i] = strings.ToLower(strings.TrimSpace(list[i]))
	}
	for _, wanted := range []string{"src", "dst", "protocol", "port"} {
		if !slices.Contains(list, wanted) {
			return nil, nil
		}
	}
	return list, nil
}

// row is the columns of a line.
func row(line []byte) ([]string, error) {
	if !bytes.ContainsRune(line, '"') {
		return strings.Split(string(line), ","), nil
	}
	return csv.NewReader(bytes.NewReader(line)).Read()
}

// newCSV reads tables whose heading names at least src, dst, protocol and port. An
// end is namespace/name, namespace/kind/name, an address, or a name outside.
func newCSV() parser {
	var heading []string
	return func(line []byte) ([]Flow, error) {
		if heading == nil {
			var err error
			heading, err = columns(line)
			if err != nil {
				return nil, err
			}
			return nil, errIgnored
		}
		list, err := row(line)
		if err != nil {
			return nil, err
		}
		if len(list) != len(heading) {
			return nil, fmt.Errorf("%d columns instead of %d", len(list), len(heading))
		}
		of := map[string]string{}
		for i, name := range heading {
			of[name] = strings.TrimSpace(list[i])
		}
		protocol, err := protocolOf(of["protocol"])
		if err != nil {
			return nil, err
		}
		if !protocol.HasPorts() {
			return nil, errIgnored
		}
		f := Flow{Src: csvPeer(of["src"]), Dst: csvPeer(of["dst"]), Protocol: protocol}
		if f.Port, err = parsePort(of["port"]); err != nil {
			return nil, fmt.Errorf("port: %w", err)
		}
		if text := of["count"]; text != "" {
			if f.Count, err = strconv.ParseUint(text, 10, 63); err != nil {
				return nil, fmt.Errorf("count %q: want a number", text)
			}
		}
		return checked(f)
	}
}

func csvPeer(text string) Peer {
	if a := parseAddr(text); a.IsValid() {
		return Peer{Address: a}
	}
	switch parts := strings.Split(text, "/"); len(parts) {
	case 2:
		return Peer{Namespace: parts[0], Name: parts[1]}
	case 3:
		return Peer{Namespace: parts[0], Kind: parts[1], Name: parts[2]}
	}
	if text == "world" || text == "internet" {
		return Peer{Entity: "world"}
	}
	return Peer{Domain: text}
}
