package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Target is what a person means by one end of a connection.
type Target struct {
	// Text is as it was typed.
	Text string
	// Endpoints are those that are meant, each once.
	Endpoints []*reach.Endpoint
	// Only are the peers that are meant of endpoints that stand for several; nil for all.
	Only []Peer
	// Within are the addresses that were named; empty where none were.
	Within cidr.Set
	// Service is set where a Service was named; Endpoints are who it sends to.
	Service *evidence.Object[corev1.Service]
	// Unknown is why it is not certain that these are all, "" when it is.
	Unknown string

	backends []reach.Backend
}

// names reports whether a peer of the target's endpoints is meant. Which addresses are
// is said by Within.
func (t *Target) names(p Peer) bool {
	return t == nil || t.Only == nil || p.CIDR != "" || slices.Contains(t.Only, p)
}

func (t *Target) add(e *reach.Endpoint) {
	if !slices.Contains(t.Endpoints, e) {
		t.Endpoints = append(t.Endpoints, e)
	}
}

// The names of peers that are no objects.
const (
	Internet  = "internet"
	APIServer = "api-server"
	Metadata  = "metadata"
)

// metadataName is what package reach calls the addresses of clouds' metadata.
const metadataName = "cloud metadata"

// A NameError is a name that means nothing, or not one thing.
type NameError struct {
	Text string
	Why  string
	// Candidates are what it could mean, bounded.
	Candidates []string
}

func (e *NameError) Error() string {
	text := fmt.Sprintf("%q: %s", e.Text, e.Why)
	if len(e.Candidates) > 0 {
		text += ": " + strings.Join(e.Candidates, ", ")
	}
	return text
}

// Find says what a person means: NAMESPACE/NAME, NAMESPACE/KIND/NAME, an address or a
// range of addresses, internet, api-server, metadata, the name of a node or of a
// configured range. A name without a namespace is one in namespace, if that is given.
func (w *World) Find(text, namespace string) (*Target, error) {
	t := &Target{Text: text}
	switch text {
	case Internet:
		return t, w.findOutside(t, func(e *reach.Endpoint) bool { return unnamed(e) && e.Addresses.Overlaps(public()) })
	case APIServer:
		return t, w.findOther(t, func(e *reach.Endpoint) bool { return e.Kind == netpol.OfAPIServer })
	case Metadata:
		return t, w.findOutside(t, func(e *reach.Endpoint) bool { return e.Name == metadataName })
	}
	if set, err := cidr.Parse(text); err == nil {
		return t, w.findAddress(t, set)
	}
	parts := strings.Split(text, "/")
	if slices.Contains(parts, "") {
		return nil, &NameError{Text: text, Why: "want NAMESPACE/NAME, NAMESPACE/KIND/NAME, an address, internet, api-server, metadata or the name of a node"}
	}
	switch len(parts) {
	case 1:
		if named, err := w.findNamed(t); named {
			return t, err
		}
		if namespace != "" {
			return t, w.findObject(t, namespace, "", text)
		}
		return nil, &NameError{Text: text, Why: "no node and no range of addresses has this name; objects are written NAMESPACE/NAME", Candidates: w.called("", text)}
	case 2:
		if strings.EqualFold(parts[0], NodeKind) {
			t.Text = parts[1]
			if named, err := w.findNamed(t); named {
				return t, err
			}
		}
		return t, w.findObject(t, parts[0], "", parts[1])
	case 3:
		return t, w.findObject(t, parts[0], parts[1], parts[2])
	}
	return nil, &NameError{Text: text, Why: "want NAMESPACE/NAME or NAMESPACE/KIND/NAME"}
}

// public are the addresses that the internet has.
func public() cidr.Set {
	special := cidr.Of(
		netip.PrefixFrom(netip.AddrFrom4([4]byte{}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 3), // multicast and reserved
	)
	// All that has been given out of IPv6 is in 2000::/3.
	v6 := cidr.Of(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3))
	return cidr.IPv4().Minus(special).Minus(reach.Private()).Union(v6)
}

func (w *World) findOutside(t *Target, meant func(*reach.Endpoint) bool) error {
	return w.findOther(t, func(e *reach.Endpoint) bool { return e.Kind == netpol.OfWorld && meant(e) })
}

func (w *World) findOther(t *Target, meant func(*reach.Endpoint) bool) error {
	for _, e := range w.Graph.Endpoints() {
		if meant(e) {
			t.add(e)
		}
	}
	if len(t.Endpoints) == 0 {
		return &NameError{Text: t.Text, Why: "there is none"}
	}
	return nil
}

// findNamed finds a node or a configured range.
func (w *World) findNamed(t *Target) (found bool, err error) {
	for _, e := range w.Graph.Endpoints() {
		if len(e.Workloads) == 0 && e.Name == t.Text && (e.Kind == netpol.OfHost || e.Kind == netpol.OfWorld) {
			t.add(e)
		}
	}
	return len(t.Endpoints) > 0, nil
}

// findAddress finds who surely has the addresses: nodes, and what is outside.
func (w *World) findAddress(t *Target, set cidr.Set) error {
	t.Within = set
	for _, e := range w.Graph.Endpoints() {
		switch {
		case e.Kind == netpol.OfPod && e.Addresses.Overlaps(set):
			t.Unknown = t.Text + " may be the address of a pod: which addresses pods have is not known that exactly (--pod-cidr, or name the pod)"
		case e.Kind == netpol.OfHost && len(e.Workloads) == 0 && len(e.Addresses.Prefixes()) > 0 && set.Covers(e.Addresses):
			t.Endpoints, t.Within = append(t.Endpoints, e), cidr.Set{}
		case e.Kind == netpol.OfWorld && e.Addresses.Overlaps(set):
			t.add(e)
		}
	}
	if !t.Within.Empty() && slices.ContainsFunc(t.Endpoints, func(e *reach.Endpoint) bool { return e.Name == "" }) {
		// What the addresses are called does not matter beside what they are.
		t.Endpoints = slices.DeleteFunc(t.Endpoints, func(e *reach.Endpoint) bool { return e.Name != "" && e.Name != metadataName })
	}
	if len(t.Endpoints) == 0 {
		return &NameError{Text: t.Text, Why: "the address is one of the cluster's pods or nodes, and whose is not known: name the object"}
	}
	return nil
}

// findObject finds the pods of an object, or those that a Service sends to.
func (w *World) findObject(t *Target, namespace, kind, name string) error {
	var kinds []string
	for _, e := range w.Graph.Endpoints() {
		if e.Namespace != namespace || len(e.Workloads) == 0 {
			continue
		}
		for _, p := range w.workloadPeers(e) {
			if p.Name != name || kind != "" && !strings.EqualFold(p.Kind, kind) {
				continue
			}
			t.add(e)
			if !slices.Contains(t.Only, p) {
				t.Only = append(t.Only, p)
			}
			if !slices.Contains(kinds, p.Kind) {
				kinds = append(kinds, p.Kind)
			}
		}
	}
	switch {
	case len(kinds) == 1:
		return nil
	case len(kinds) > 1:
		var candidates []string
		for _, k := range kinds {
			candidates = append(candidates, namespace+"/"+k+"/"+name)
		}
		return &NameError{Text: t.Text, Why: "several objects have this name; name the kind", Candidates: candidates}
	}
	if kind == "" || strings.EqualFold(kind, "Service") {
		for _, s := range w.Snap.Services {
			if s.Namespace == namespace && s.Name == name {
				return w.findService(t, s)
			}
		}
	}
	return &NameError{Text: t.Text, Why: "no such workload or Service among what was read" + similar(w.called(namespace, name))}
}

func similar(candidates []string) string {
	if len(candidates) == 0 {
		return ""
	}
	return "; there is " + strings.Join(candidates, ", ")
}

func (w *World) findService(t *Target, s *evidence.Object[corev1.Service]) error {
	t.Service = s
	doubt := func(why string) {
		if t.Unknown == "" {
			t.Unknown = why
		}
	}
	for _, b := range w.Graph.Backends(s) {
		doubt(b.Unknown)
		switch {
		case b.Endpoint == nil:
		case b.Endpoint.Kind == netpol.OfWorld:
			if err := w.findOutward(t, b); err != nil {
				doubt(err.Error())
			}
		default:
			t.add(b.Endpoint)
			t.backends = append(t.backends, b)
			if b.Workload != nil {
				t.Only = append(t.Only, w.workloadPeer(b.Workload))
			} else {
				t.Only = slices.AppendSeq(t.Only, w.peers(side{endpoint: b.Endpoint}))
			}
		}
	}
	switch {
	case len(t.Endpoints) > 0:
		return nil
	case t.Unknown != "":
		return &NameError{Text: t.Text, Why: t.Unknown}
	case len(s.Value.Spec.Selector) == 0:
		return &NameError{Text: t.Text, Why: "the Service has no selector and no endpoints: it leads nowhere"}
	}
	return &NameError{Text: t.Text, Why: "no workload that was read has the labels that the Service selects"}
}

// findOutward finds the addresses outside that a Service sends to.
func (w *World) findOutward(t *Target, b reach.Backend) error {
	there := &Target{Text: t.Text}
	if err := w.findAddress(there, b.Endpoint.Addresses); err != nil {
		return err
	}
	t.Within = t.Within.Union(there.Within)
	for _, e := range there.Endpoints {
		t.add(e)
		one := b
		one.Endpoint = e
		t.backends = append(t.backends, one)
	}
	return nil
}

// asked are the ports of an endpoint that a question about ports of the target is
// about: those of a Service lead to others.
func (t *Target) asked(e *reach.Endpoint, p *PortQuestion) ports.Set {
	if t.Service == nil {
		return p.set()
	}
	var set ports.Set
	for _, b := range t.backends {
		if b.Endpoint != e {
			continue
		}
		for i, own := range t.Service.Value.Spec.Ports {
			if p == nil || p.Protocol == protocolName(own.Protocol) && p.Port == uint16(own.Port) {
				set = set.Union(b.Ports[i])
			}
		}
	}
	return set
}

func protocolName(p corev1.Protocol) string {
	if p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p)
}

// maxCandidates is how many names an error tells.
const maxCandidates = 8

// called are the objects of any namespace that have a name or, of one namespace, all
// that have one like it.
func (w *World) called(namespace, name string) (list []string) {
	for _, e := range w.Graph.Endpoints() {
		for _, one := range e.Workloads {
			alike := one.Name == name || namespace == one.Namespace && strings.Contains(one.Name, name)
			text := one.Namespace + "/" + one.Kind + "/" + one.Name
			if alike && !slices.Contains(list, text) {
				list = append(list, text)
			}
			if len(list) == maxCandidates {
				return append(list, "…")
			}
		}
	}
	return list
}

// A PortQuestion is one port, or one protocol, that is asked about.
type PortQuestion struct {
	Protocol string
	// Port is 0 for all of the protocol.
	Port uint16
}

// ParsePort reads PROTOCOL/PORT, PROTOCOL, or PORT, which is one of TCP.
func ParsePort(text string) (*PortQuestion, error) {
	name, number, both := strings.Cut(text, "/")
	if _, err := strconv.Atoi(text); err == nil {
		name, number, both = "TCP", text, true
	}
	q := &PortQuestion{}
	for _, p := range ports.Protocols() {
		if strings.EqualFold(p.String(), name) && p != ports.Other {
			q.Protocol = p.String()
			if both && !p.HasPorts() {
				return nil, fmt.Errorf("%q: %s has no ports", text, p)
			}
		}
	}
	if q.Protocol == "" {
		return nil, fmt.Errorf("%q: want PROTOCOL/PORT such as TCP/8080; the protocols are TCP, UDP, SCTP, ICMP and ICMPv6", text)
	}
	if !both {
		return q, nil
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q: want a port from 1 to 65535", text)
	}
	q.Port = uint16(port)
	return q, nil
}

// Set is what is asked about.
func (q *PortQuestion) Set() ports.Set { return q.set() }

// set is what is asked about, everything for no question.
func (q *PortQuestion) set() ports.Set {
	if q == nil {
		return ports.All()
	}
	for _, p := range ports.Protocols() {
		switch {
		case p.String() != q.Protocol:
		case q.Port == 0:
			return ports.Every(p)
		default:
			return ports.Of(p, q.Port, q.Port)
		}
	}
	return ports.Set{}
}

// String writes the question as it is asked: TCP/8080.
func (q *PortQuestion) String() string {
	switch {
	case q == nil:
		return ""
	case q.Port == 0:
		return q.Protocol
	}
	return fmt.Sprintf("%s/%d", q.Protocol, q.Port)
}
