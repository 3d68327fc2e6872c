package flows

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// answers reports whether a connection between two ports runs the other way round:
// networks of providers log both directions alike, and clients use the high ports.
func answers(from, to uint16) bool { return to >= 32768 && from != 0 && from < 32768 }

// The fields of AWS's default format, version 2.
const awsFields = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"

// isAWS knows lines of VPC flow logs: a heading of field names, or the default format.
func isAWS(line []byte) bool {
	f := strings.Fields(string(line))
	return awsHeading(f) || len(f) == 14 && len(f[0]) == 1 && f[0][0] >= '2' && f[0][0] <= '9' && strings.HasPrefix(f[2], "eni-")
}

func awsHeading(f []string) bool {
	return bytes.Contains([]byte(" "+strings.Join(f, " ")+" "), []byte(" srcaddr ")) && len(f) >= 4
}

// newAWS reads lines by their heading, or in the default format without one.
func newAWS() parser {
	fields := strings.Fields(awsFields)
	return func(line []byte) ([]Flow, error) {
		have := strings.Fields(string(line))
		if awsHeading(have) {
			fields = have
			return nil, errIgnored
		}
		if len(have) != len(fields) {
			return nil, fmt.Errorf("%d fields instead of %d", len(have), len(fields))
		}
		of := map[string]string{}
		for i, name := range fields {
			of[name] = have[i]
		}
		if of["log-status"] == "NODATA" || of["log-status"] == "SKIPDATA" {
			return nil, errIgnored
		}
		protocol, err := protocolOf(of["protocol"])
		if err != nil {
			return nil, err
		}
		if !protocol.HasPorts() {
			return nil, errIgnored
		}
		from, err := parsePort(of["srcport"])
		if err != nil {
			return nil, fmt.Errorf("srcport: %w", err)
		}
		to, err := parsePort(of["dstport"])
		if err != nil {
			return nil, fmt.Errorf("dstport: %w", err)
		}
		if answers(from, to) {
			return nil, errIgnored
		}
		src, dst := parseAddr(of["srcaddr"]), parseAddr(of["dstaddr"])
		// What the interface forwards for pods has their addresses apart.
		if a := parseAddr(of["pkt-srcaddr"]); a.IsValid() {
			src = a
		}
		if a := parseAddr(of["pkt-dstaddr"]); a.IsValid() {
			dst = a
		}
		if !src.IsValid() || !dst.IsValid() {
			return nil, errors.New("an address cannot be read")
		}
		return checked(Flow{Src: Peer{Address: src}, Dst: Peer{Address: dst}, Protocol: protocol, Port: to, Dropped: of["action"] == "REJECT"})
	}
}

// gcpLine is an entry of Google Cloud's log of a VPC.
type gcpLine struct {
	JSONPayload struct {
		Connection struct {
			SrcIP    string  `json:"src_ip"`
			DestIP   string  `json:"dest_ip"`
			SrcPort  number  `json:"src_port"`
			DestPort *number `json:"dest_port"`
			Protocol any     `json:"protocol"`
		} `json:"connection"`
		Src gcpEnd `json:"src_gke_details"`
		Dst gcpEnd `json:"dest_gke_details"`
	} `json:"jsonPayload"`
}

type gcpEnd struct {
	Pod struct {
		Name      string `json:"pod_name"`
		Namespace string `json:"pod_namespace"`
		Workload  struct {
			Name string `json:"workload_name"`
			Type string `json:"workload_type"`
		} `json:"pod_workload"`
	} `json:"pod"`
}

func isGCP(line []byte) bool {
	var l gcpLine
	return decode(line, &l) == nil && l.JSONPayload.Connection.DestIP != ""
}

func parseGCP(line []byte) ([]Flow, error) {
	var l gcpLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	c := &l.JSONPayload.Connection
	protocol, err := protocolOf(c.Protocol)
	if err != nil {
		return nil, err
	}
	if !protocol.HasPorts() {
		return nil, errIgnored
	}
	if c.DestPort == nil || *c.DestPort > 65535 || c.SrcPort > 65535 {
		return nil, errors.New("no port that is connected to")
	}
	if answers(uint16(c.SrcPort), uint16(*c.DestPort)) {
		return nil, errIgnored
	}
	return checked(Flow{Src: l.JSONPayload.Src.peer(c.SrcIP), Dst: l.JSONPayload.Dst.peer(c.DestIP), Protocol: protocol, Port: uint16(*c.DestPort)})
}

func (e gcpEnd) peer(address string) Peer {
	p := Peer{Namespace: e.Pod.Namespace, Kind: "Pod", Name: e.Pod.Name, Address: parseAddr(address)}
	if w := e.Pod.Workload; w.Name != "" {
		p.Name, p.Kind = w.Name, ""
	}
	if p.Name == "" {
		p.Kind = ""
	}
	return p
}
