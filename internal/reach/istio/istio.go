// Package istio reads what Istio's mesh decides about connections: its
// AuthorizationPolicies, and the PeerAuthentications that demand mutual TLS. Both are
// of the layer Mesh: they are asked at the end that accepts, beside the network's
// policies. It says which pods are part of the mesh as far as that can be seen, and
// refuses what Istio refuses. It evaluates nothing.
//
// What is outside of the cluster is taken not to be in the mesh. Routing,
// DestinationRules that turn off TLS, and the proxy's own ports are not looked at.
package istio

import (
	"slices"

	"fmt"
	"strings"

	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

const group = "security.istio.io"

// Orders of the tiers: a connection is asked for its identity first, then what an
// extension says, then what denies and at last what allows.
const (
	orderTLS = iota
	orderCustom
	orderDeny
	orderAllow
)

// Read returns the policies of the mesh and, apart, those that are not valid. A policy
// is given in several parts where proxies of different kinds make different things of
// it, each about other pods.
func Read(snap *evidence.Snapshot) ([]*netpol.Policy, []netpol.Invalid) {
	if !slices.ContainsFunc(snap.Custom, func(c *evidence.Custom) bool { return c.Group() == group }) {
		return nil, nil // nobody demands or forbids anything: who is in the mesh does not matter
	}
	m := New(snap)
	policies := m.peerPolicies()
	invalid := m.invalid
	var read []*authorization
	for _, c := range snap.Custom {
		if c.Group() != group || c.Kind != "AuthorizationPolicy" {
			continue
		}
		a, err := m.authorization(c)
		if err != nil {
			invalid = append(invalid, netpol.Invalid{Ref: c.Ref, Err: err})
			continue
		}
		if a == nil {
			continue
		}
		if read = append(read, a); a.deniesRequests() && !a.hasTarget() {
			m.denying[c.Namespace] = append(m.denying[c.Namespace], a)
			m.denyingAll = append(m.denyingAll, a)
		}
	}
	for _, a := range read {
		policies = append(policies, a.parts()...)
	}
	return policies, invalid
}

// A Mesh is what a snapshot tells of Istio: who is in the mesh, and who demands mutual TLS.
type Mesh struct {
	// Root is the namespace whose policies hold for the whole mesh.
	Root string
	// trust is the mesh's trust domain, which names begin with.
	trust string

	snap       *evidence.Snapshot
	namespaces map[string]map[string]string
	peers      []*PeerAuthentication
	peersIn    map[string][]*PeerAuthentication
	invalid    []netpol.Invalid

	// changed is how many pods of a workload run otherwise than it says.
	changed map[*evidence.Workload]int
	// members are the workloads by the part that they have in the mesh.
	members map[Part][]*evidence.Workload
	// doubts are the workloads of which it is not known, by the reason.
	doubts map[string][]*evidence.Workload
	// meshed are all pods whose connections come with an identity, and proxied those whose
	// proxies see requests, by what they can know of identities.
	meshed  netpol.Expr
	proxied []class
	// denying are the policies that deny requests, by their namespace and together.
	denying    map[string][]*authorization
	denyingAll []*authorization
	// known are the workloads that sources mean, by the text of the source.
	known map[string]netpol.Expr
}

// New reads a snapshot.
func New(snap *evidence.Snapshot) *Mesh {
	m := &Mesh{
		Root: "istio-system", trust: "cluster.local", snap: snap, namespaces: map[string]map[string]string{},
		changed: map[*evidence.Workload]int{}, peersIn: map[string][]*PeerAuthentication{}, members: map[Part][]*evidence.Workload{}, doubts: map[string][]*evidence.Workload{}, known: map[string]netpol.Expr{}, denying: map[string][]*authorization{},
	}
	for _, ns := range snap.Namespaces {
		m.namespaces[ns.Name] = ns.Labels
	}
	for _, c := range snap.ConfigMaps {
		if c.Name == "istio" || strings.HasPrefix(c.Name, "istio-") {
			m.configure(c.Value.Data["mesh"])
		}
	}
	for _, w := range snap.Workloads {
		if w.Template != nil {
			m.changed[w.Template] += w.Running
		}
	}
	m.readPeers()
	for _, w := range snap.Workloads {
		p, doubt := m.PartOf(w)
		if doubt != "" {
			m.doubts[doubt] = append(m.doubts[doubt], w)
		} else if p != Outside {
			m.members[p] = append(m.members[p], w)
		}
	}
	m.classify()
	m.meshed = m.pods(nil, Sidecar, Gateway, Ambient)
	return m
}

// configure takes over the two settings that policies depend on from the text of the
// mesh's configuration, where they stand at the top level.
func (m *Mesh) configure(text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if value, _, _ = strings.Cut(value, " #"); strings.TrimSpace(value) == "" {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch key {
		case "rootNamespace":
			m.Root = value
		case "trustDomain":
			m.trust = value
		}
	}
}

// A raw is a value that is decoded later, or never.
type raw []byte

func (r *raw) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// decode reads JSON whose place is at. A field that is not known, or stands there
// twice, is no error: the text returned says which it is.
func decode(data raw, at evidence.Path, into any) (unknown string, err error) {
	strict, err := json.UnmarshalStrict(data, into)
	if err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	if len(strict) > 0 {
		return fmt.Sprintf("%s: %s", at, strict[0]), nil
	}
	return "", nil
}

// specOf returns the spec of an object as it is.
func specOf(c *evidence.Custom) (raw, error) {
	if c.APIVersion != group+"/v1" && c.APIVersion != group+"/v1beta1" {
		return nil, fmt.Errorf("apiVersion %s is not served", c.APIVersion)
	}
	var o struct {
		Spec raw `json:"spec"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(c.JSON, &o); err != nil {
		return nil, err
	}
	if len(o.Spec) == 0 || string(o.Spec) == "null" {
		return raw("{}"), nil
	}
	return o.Spec, nil
}
