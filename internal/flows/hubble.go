package flows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// hubbleLine is what hubble observe -o json prints for one event. Older releases
// print the flow without the envelope.
type hubbleLine struct {
	Flow *hubbleFlow `json:"flow"`
	hubbleFlow
	LostEvents map[string]any `json:"lost_events"`
	NodeStatus map[string]any `json:"node_status"`
}

type hubbleFlow struct {
	Verdict string `json:"verdict"`
	IP      struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	} `json:"IP"`
	L4 struct {
		TCP    *hubblePorts    `json:"TCP"`
		UDP    *hubblePorts    `json:"UDP"`
		SCTP   *hubblePorts    `json:"SCTP"`
		ICMPv4 *map[string]any `json:"ICMPv4"`
		ICMPv6 *map[string]any `json:"ICMPv6"`
	} `json:"l4"`
	L7 *struct {
		Type string `json:"type"`
	} `json:"l7"`
	Source           hubbleEnd `json:"source"`
	Destination      hubbleEnd `json:"destination"`
	DestinationNames []string  `json:"destination_names"`
	IsReply          bool      `json:"is_reply"`
}

type hubblePorts struct {
	DestinationPort uint16 `json:"destination_port"`
}

type hubbleEnd struct {
	Namespace string   `json:"namespace"`
	Labels    []string `json:"labels"`
	PodName   string   `json:"pod_name"`
	Workloads []struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	} `json:"workloads"`
}

func isHubble(line []byte) bool {
	var l hubbleLine
	return decode(line, &l) == nil && (l.Flow != nil || l.LostEvents != nil || l.NodeStatus != nil || l.Verdict != "" && l.IP.Destination != "")
}

func parseHubble(line []byte) ([]Flow, error) {
	var l hubbleLine
	if err := decode(line, &l); err != nil {
		return nil, err
	}
	f := &l.hubbleFlow
	switch {
	case l.Flow != nil:
		f = l.Flow
	case l.LostEvents != nil:
		return nil, errors.New("events were lost on their way: the log is not whole")
	case l.NodeStatus != nil:
		return nil, errIgnored
	}
	if f.IsReply || f.L7 != nil && f.L7.Type == "RESPONSE" {
		return nil, errIgnored
	}
	flow := Flow{Src: f.Source.peer(f.IP.Source), Dst: f.Destination.peer(f.IP.Destination), Dropped: f.Verdict == "DROPPED" || f.Verdict == "ERROR"}
	if len(f.DestinationNames) > 0 {
		flow.Dst.Domain = strings.TrimSuffix(f.DestinationNames[0], ".")
	}
	switch l4 := f.L4; {
	case l4.TCP != nil:
		flow.Protocol, flow.Port = ports.TCP, l4.TCP.DestinationPort
	case l4.UDP != nil:
		flow.Protocol, flow.Port = ports.UDP, l4.UDP.DestinationPort
	case l4.SCTP != nil:
		flow.Protocol, flow.Port = ports.SCTP, l4.SCTP.DestinationPort
	case l4.ICMPv4 != nil, l4.ICMPv6 != nil:
		return nil, errIgnored
	default:
		if f.Verdict == "" {
			return nil, errors.New("neither a verdict nor ports: no flow")
		}
		return nil, errIgnored // an event of another kind
	}
	return checked(flow)
}

func (e hubbleEnd) peer(address string) Peer {
	p := Peer{Namespace: e.Namespace, Kind: "Pod", Name: e.PodName, Address: parseAddr(address)}
	if len(e.Workloads) > 0 && e.Workloads[0].Name != "" {
		p.Kind, p.Name = e.Workloads[0].Kind, e.Workloads[0].Name
	}
	var labels []string
	for _, l := range e.Labels {
		if own, ok := strings.CutPrefix(l, "reserved:"); ok && p.Entity == "" {
			p.Entity = own
		}
		if own, ok := strings.CutPrefix(l, "k8s:"); ok && !strings.HasPrefix(own, "io.cilium.") && !strings.HasPrefix(own, "io.kubernetes.pod.") {
			labels = append(labels, own)
		}
	}
	slices.Sort(labels)
	p.Labels = strings.Join(labels, ",")
	if p.Name == "" {
		p.Kind = ""
	}
	return p
}

// checked refuses a flow that has no port or no ends.
func checked(f Flow) ([]Flow, error) {
	switch {
	case f.Protocol.HasPorts() && f.Port == 0:
		return nil, fmt.Errorf("no port that %s is connected to", f.Dst)
	case f.Src.String() == "" || f.Dst.String() == "":
		return nil, errors.New("an end is not named")
	}
	return []Flow{f}, nil
}
