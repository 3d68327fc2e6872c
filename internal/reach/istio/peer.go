package istio

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Mode is whether pods take connections with mutual TLS, in plain text, or both.
type Mode uint8

// The modes. Unset is what the next wider policy says.
const (
	Unset Mode = iota
	Disable
	Permissive
	Strict
)

func (m Mode) String() string { return []string{"UNSET", "DISABLE", "PERMISSIVE", "STRICT"}[m] }

func modeOf(name string) (Mode, error) {
	switch name {
	case "", "UNSET":
		return Unset, nil
	case "DISABLE":
		return Disable, nil
	case "PERMISSIVE":
		return Permissive, nil
	case "STRICT":
		return Strict, nil
	}
	return Unset, fmt.Errorf("mode %q is none", name)
}

// A PeerAuthentication is a policy of that kind, as far as it is in force.
type PeerAuthentication struct {
	*evidence.Ref
	// Labels are those of the pods that it is about; none for all of its namespace.
	Labels map[string]string
	Mode   Mode
	// Ports are the ports of pods that have a mode of their own.
	Ports map[uint16]Mode
	// Unknown is why it is not known what it says, "" when it is.
	Unknown string
}

// PeerAuthentications are the valid ones, in the order in which they were read, and
// apart those that Istio refuses.
func (m *Mesh) PeerAuthentications() ([]*PeerAuthentication, []netpol.Invalid) {
	return m.peers, m.invalid
}

func (m *Mesh) readPeers() {
	for _, c := range m.snap.Custom {
		if c.Group() != group || c.Kind != "PeerAuthentication" {
			continue
		}
		p, err := readPeer(c)
		if err != nil {
			m.invalid = append(m.invalid, netpol.Invalid{Ref: c.Ref, Err: err})
			continue
		}
		m.peers = append(m.peers, p)
		m.peersIn[p.Namespace] = append(m.peersIn[p.Namespace], p)
	}
}

type (
	tlsSpec struct {
		Mode string `json:"mode"`
	}
	peerSpec struct {
		Selector *selectorSpec       `json:"selector"`
		MTLS     *tlsSpec            `json:"mtls"`
		Ports    map[string]*tlsSpec `json:"portLevelMtls"`
	}
	selectorSpec struct {
		MatchLabels map[string]string `json:"matchLabels"`
	}
)

func readPeer(c *evidence.Custom) (*PeerAuthentication, error) {
	data, err := specOf(c)
	if err != nil {
		return nil, err
	}
	var spec peerSpec
	p := &PeerAuthentication{Ref: c.Ref, Ports: map[uint16]Mode{}}
	if p.Unknown, err = decode(data, evidence.NewPath("spec"), &spec); err != nil {
		return nil, err
	}
	if spec.Selector != nil {
		p.Labels = spec.Selector.MatchLabels
	}
	if spec.MTLS != nil {
		if p.Mode, err = modeOf(spec.MTLS.Mode); err != nil {
			return nil, fmt.Errorf("spec.mtls.mode: %w", err)
		}
	}
	if spec.Ports != nil && (len(p.Labels) == 0 || len(spec.Ports) == 0) {
		return nil, errors.New("spec.portLevelMtls: it needs a selector, and at least one port")
	}
	for text, tls := range spec.Ports {
		number, err := strconv.ParseUint(text, 10, 16)
		if err != nil || number == 0 {
			return nil, fmt.Errorf("spec.portLevelMtls: port %q is none", text)
		}
		mode := Unset
		if tls != nil {
			if mode, err = modeOf(tls.Mode); err != nil {
				return nil, fmt.Errorf("spec.portLevelMtls[%s]: %w", text, err)
			}
		}
		p.Ports[uint16(number)] = mode
	}
	return p, nil
}

// An MTLS is what the mesh's policies demand of connections to pods. It says nothing of
// whether the pods are in the mesh at all.
type MTLS struct {
	// Mode is Permissive where no policy sets one.
	Mode Mode
	// By is the policy that sets Mode, nil for none.
	By *PeerAuthentication
	// Ports are the ports that have a mode of their own, by which policy.
	Ports   map[uint16]Mode
	PortsBy *PeerAuthentication
	// Unknown is why it is not certain which of the policies that were read decides, "" when it is.
	Unknown string
	// Missing is why, where none of them sets Mode, one that was not read may do so.
	Missing string
	// doubted is one of the policies that Unknown is about.
	doubted *PeerAuthentication
}

// MTLS says which mode holds for the pods of a workload: the narrowest policy that sets
// one decides, and of several equally narrow ones the oldest.
func (m *Mesh) MTLS(w *evidence.Workload) MTLS {
	own := m.oldest(w.Namespace, func(p *PeerAuthentication) bool {
		return p.Namespace != m.Root && len(p.Labels) > 0 && within(p.Labels, w.PodLabels)
	})
	result := m.NamespaceMTLS(w.Namespace)
	if own.chosen == nil {
		return result
	}
	if own.doubt != "" {
		result.Unknown, result.doubted = own.doubt, own.chosen
	}
	if own.chosen.Mode != Unset {
		result.Mode, result.By, result.Unknown, result.Missing = own.chosen.Mode, own.chosen, own.doubt, ""
	}
	if len(own.chosen.Ports) > 0 {
		result.Ports, result.PortsBy = maps.Clone(own.chosen.Ports), own.chosen
		for port, mode := range result.Ports {
			if mode == Unset {
				result.Ports[port] = result.Mode
			}
		}
	}
	return result
}

// NamespaceMTLS is what holds for the pods of a namespace that no policy selects.
func (m *Mesh) NamespaceMTLS(namespace string) MTLS {
	result := MTLS{Mode: Permissive}
	for _, where := range slices.Compact([]string{namespace, m.Root}) {
		found := m.oldest(where, func(p *PeerAuthentication) bool { return len(p.Labels) == 0 })
		if found.doubt != "" {
			result.Unknown, result.doubted = found.doubt, found.chosen
		}
		if found.chosen != nil && found.chosen.Mode != Unset {
			result.Mode, result.By = found.chosen.Mode, found.chosen
			return result
		}
	}
	for _, where := range slices.Compact([]string{namespace, m.Root}) {
		if ok, why := m.snap.Complete(evidence.Mesh, where); !ok && result.Missing == "" {
			result.Missing = why
		}
	}
	return result
}

// A choice is one policy of several, and why another one may be meant.
type choice struct {
	chosen *PeerAuthentication
	doubt  string
}

// oldest chooses among policies that are equally narrow. Files do not tell the age of
// what they make.
func (m *Mesh) oldest(namespace string, about func(*PeerAuthentication) bool) (c choice) {
	for _, p := range m.peersIn[namespace] {
		if !about(p) {
			continue
		}
		if p.Unknown != "" {
			c.doubt = p.Unknown
		}
		switch {
		case c.chosen == nil:
			c.chosen = p
		case p.Created.IsZero() || c.chosen.Created.IsZero() || p.Created.Equal(c.chosen.Created):
			c.doubt = fmt.Sprintf("%s and %s are about the same pods, and the older one decides", c.chosen.Ref, p.Ref)
		case p.Created.Before(c.chosen.Created):
			c.chosen = p
		}
	}
	return c
}

// within reports whether all wanted labels are among those that there are.
func within(wanted, labels map[string]string) bool {
	for key, value := range wanted {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// peerPolicies are the PeerAuthentications as policies: where one demands mutual TLS,
// connections from outside of the mesh are denied.
func (m *Mesh) peerPolicies() (policies []*netpol.Policy) {
	type demand struct {
		by      *PeerAuthentication
		ports   string
		unknown string
	}
	about, sets := map[demand][]*evidence.Workload{}, map[string]ports.Set{}
	var order []demand
	note := func(w *evidence.Workload, by *PeerAuthentication, set ports.Set, unknown string) {
		d := demand{by, set.Key(), unknown}
		if set.Empty() || by == nil {
			return
		}
		if about[d] == nil {
			order = append(order, d)
		}
		about[d], sets[d.ports] = append(about[d], w), set
	}
	for _, w := range m.snap.Workloads {
		if p, doubt := m.PartOf(w); doubt == "" && (p == Outside || p == Gateway) {
			continue
		}
		tls := m.MTLS(w)
		base, strict := ports.Every(ports.TCP), ports.Set{}
		for port, mode := range tls.Ports {
			one := ports.Of(ports.TCP, port, port)
			base = base.Minus(one)
			if mode == Strict {
				strict = strict.Union(one)
			}
		}
		switch {
		case tls.Unknown != "":
			note(w, tls.doubted, ports.Every(ports.TCP), tls.Unknown)
			continue
		case tls.Mode == Strict:
			note(w, tls.By, base, "")
		}
		note(w, tls.PortsBy, strict, "")
	}
	plain := netpol.Not{Of: m.meshed}
	for _, d := range order {
		meant := map[*evidence.Workload]bool{}
		for _, w := range about[d] {
			meant[w] = true
		}
		policies = append(policies, &netpol.Policy{
			Ref:     d.by.Ref,
			Tier:    netpol.Tier{Name: "PeerAuthentication", Layer: netpol.Mesh, Order: orderTLS, Default: netpol.Pass},
			Subject: netpol.Every{netpol.Is{Kind: netpol.OfPod}, m.pods(func(w *evidence.Workload) bool { return meant[w] }, Sidecar, Ambient)},
			Ingress: &netpol.Rules{List: []netpol.Rule{{
				Action: netpol.Deny, Peers: plain, Ports: netpol.Ports{Set: sets[d.ports]}, Unknown: d.unknown, Path: evidence.NewPath("spec", "mtls", "mode"),
			}}},
		})
	}
	return policies
}
