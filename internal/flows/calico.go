package flows

import (
	"slices"
	"strings"
)

// calicoLine is one aggregated flow of Calico's flow logs.
type calicoLine struct {
	SourceType      string       `json:"source_type"`
	SourceIP        string       `json:"source_ip"`
	SourceName      string       `json:"source_name"`
	SourceNameAggr  string       `json:"source_name_aggr"`
	SourceNamespace string       `json:"source_namespace"`
	SourceLabels    calicoLabels `json:"source_labels"`
	DestType        string       `json:"dest_type"`
	DestIP          string       `json:"dest_ip"`
	DestName        string       `json:"dest_name"`
	DestNameAggr    string       `json:"dest_name_aggr"`
	DestNamespace   string       `json:"dest_namespace"`
	DestLabels      calicoLabels `json:"dest_labels"`
	DestDomains     []string     `json:"dest_domains"`
	DestPort        *number      `json:"dest_port"`
	Proto           any          `json:"proto"`
	Action          string       `json:"action"`
	NumFlows        number       `json:"num_flows"`
}

type calicoLabels struct {
	Labels []string `json:"labels"`
}

func isCalico(line []byte) bool {
	var l calicoLine
	return decode(line, &l) == nil && l.DestType != "" && l.SourceType != ""
}

func parseCalico(line []byte) ([]Flow, error) {
	var l calicoLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	protocol, err := protocolOf(l.Proto)
	if err != nil {
		return nil, err
	}
	if !protocol.HasPorts() {
		return nil, errIgnored
	}
	f := Flow{Protocol: protocol, Dropped: l.Action == "deny", Count: uint64(l.NumFlows),
		Src: calicoPeer(l.SourceType, l.SourceNamespace, l.SourceName, l.SourceNameAggr, l.SourceIP, l.SourceLabels),
		Dst: calicoPeer(l.DestType, l.DestNamespace, l.DestName, l.DestNameAggr, l.DestIP, l.DestLabels)}
	if l.DestPort != nil && *l.DestPort <= 65535 {
		f.Port = uint16(*l.DestPort)
	}
	if len(l.DestDomains) > 0 {
		f.Dst.Domain = strings.TrimSuffix(l.DestDomains[0], ".")
	}
	return checked(f)
}

// calicoPeer reads an end: wep is a pod, hep a node, ns a set of addresses, net
// addresses. A - stands for what was summed up.
func calicoPeer(kind, namespace, name, summed, address string, labels calicoLabels) Peer {
	p := Peer{Address: parseAddr(address)}
	if name == "" || name == "-" {
		name = strings.TrimSuffix(strings.TrimSuffix(summed, "*"), "-")
	}
	switch kind {
	case "wep":
		p.Namespace, p.Kind, p.Name = namespace, "Pod", name
		list := slices.Clone(labels.Labels)
		slices.Sort(list)
		p.Labels = strings.Join(list, ",")
	case "hep":
		p.Entity = "host"
	default:
		switch summed {
		case "pub", "pvt", "-", "":
			p.Entity = "world"
		default:
			p.Entity = summed
		}
	}
	return p
}
