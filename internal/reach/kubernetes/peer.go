package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A podsOf is the form in which the network policy API names pods, as subjects and as peers.
type podsOf struct {
	Namespaces *metav1.LabelSelector `json:"namespaces"`
	Pods       *struct {
		NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
		PodSelector       *metav1.LabelSelector `json:"podSelector"`
	} `json:"pods"`
}

// given counts the fields that are set.
func (p *podsOf) given() int { return count(p.Namespaces != nil, p.Pods != nil) }

// read gives the pods that are meant. Their selectors are no part of what the
// definition of the kind checks: what becomes of a wrong one is not known.
func (p *podsOf) read(both bool, at evidence.Path) (netpol.Expr, error) {
	pods := netpol.Every{netpol.Is{Kind: netpol.OfPod}}
	if p.Namespaces != nil {
		namespaces, err := selector(netpol.Namespace, p.Namespaces, at.Field("namespaces"))
		return orUnknown(append(pods, namespaces...), pods, err), nil
	}
	at = at.Field("pods")
	switch {
	case p.Pods.PodSelector == nil:
		return nil, fmt.Errorf("%s is missing", at.Field("podSelector"))
	case p.Pods.NamespaceSelector == nil && both:
		return nil, fmt.Errorf("%s is missing", at.Field("namespaceSelector"))
	}
	namespaces, err := selector(netpol.Namespace, p.Pods.NamespaceSelector, at.Field("namespaceSelector"))
	if err != nil {
		return orUnknown(nil, pods, err), nil
	}
	labels, err := selector(netpol.Pod, p.Pods.PodSelector, at.Field("podSelector"))
	return orUnknown(append(append(pods, namespaces...), labels...), pods, err), nil
}

func orUnknown(e, within netpol.Expr, err error) netpol.Expr {
	if err == nil {
		return e
	}
	return netpol.Unknown{Within: within, Why: err.Error()}
}

func (r clusterReader) subject(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	var given podsOf
	surplus, err := decode(raw, &given)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at, err)
	case len(surplus) > 0:
		return netpol.Unknown{Within: netpol.Is{Kind: netpol.OfPod}, Why: surplus.String(at)}, nil
	case given.given() != 1:
		return nil, fmt.Errorf("%s: not exactly one of namespaces and pods", at)
	}
	return given.read(r.both, at)
}

// A peerSet is the other ends of a rule.
type peerSet struct {
	some netpol.Some
	// unnamed is set when some of them have no ports with names.
	unnamed bool
}

func (r clusterReader) peersOf(given *ruleFields, d netpol.Direction, at evidence.Path) (all peerSet, err error) {
	field, list := "from", given.From
	if d == netpol.Egress {
		field, list = "to", given.To
	}
	if at = at.Field(field); len(list) == 0 || len(list) > r.items {
		return peerSet{}, fmt.Errorf("%s: not 1 to %d peers", at, r.items)
	}
	for i, raw := range list {
		if err := r.peer(&all, raw, d, at.Index(i, "")); err != nil {
			return peerSet{}, err
		}
	}
	return all, nil
}

// peer adds one peer to all. Only egress rules have nodes, networks and domain names.
func (r clusterReader) peer(all *peerSet, raw json.RawMessage, d netpol.Direction, at evidence.Path) error {
	var given struct {
		podsOf
		Nodes       *metav1.LabelSelector `json:"nodes"`
		Networks    *[]string             `json:"networks"`
		DomainNames *[]string             `json:"domainNames"`
	}
	surplus, err := decode(raw, &given)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	n := given.given()
	for _, f := range []struct {
		name    string
		set, ok bool
	}{
		{"nodes", given.Nodes != nil, d == netpol.Egress},
		{"networks", given.Networks != nil, d == netpol.Egress},
		{"domainNames", given.DomainNames != nil, d == netpol.Egress && r.names},
	} {
		switch {
		case f.set && !f.ok:
			surplus = append(surplus, f.name)
		case f.set:
			n, all.unnamed = n+1, true
		}
	}
	switch {
	case len(surplus) > 0:
		all.some = append(all.some, netpol.Unknown{Within: netpol.Everyone(), Why: surplus.String(at)})
		return nil
	case n != 1:
		return fmt.Errorf("%s: not exactly one kind of peer", at)
	case given.Nodes != nil:
		all.some = append(all.some, nodes(given.Nodes, at.Field("nodes"))...)
		return nil
	case given.Networks != nil:
		set, err := networks(*given.Networks, at.Field("networks"))
		all.some = append(all.some, addresses(set, r.enforcement))
		return err
	case given.DomainNames != nil:
		all.some = append(all.some, names(*given.DomainNames))
		return checkNames(*given.DomainNames, at.Field("domainNames"))
	}
	pods, err := given.read(r.both, at)
	all.some = append(all.some, pods)
	return err
}

// nodes are meant by the addresses of those that the labels select, on which the
// API server may be, too.
func nodes(s *metav1.LabelSelector, at evidence.Path) netpol.Some {
	host := netpol.Every{netpol.Is{Kind: netpol.OfHost}}
	labels, err := selector(netpol.Node, s, at)
	return netpol.Some{
		orUnknown(append(host, labels...), host, err),
		netpol.Unknown{Within: netpol.Is{Kind: netpol.OfAPIServer}, Why: "it is not known whether the API server runs on a node of the cluster"},
	}
}

// most is how many networks, or domain names, a peer has at most.
const most = 25

func networks(list []string, at evidence.Path) (cidr.Set, error) {
	if err := checkSet(list, at); err != nil {
		return cidr.Set{}, err
	}
	var blocks []netip.Prefix
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if err == nil && p.Addr().Is4In6() {
			err = errors.New("is an IPv4 address written as IPv6")
		}
		if err != nil {
			return cidr.Set{}, fmt.Errorf("%s: %w", at.Index(i, ""), err)
		}
		blocks = append(blocks, p)
	}
	return cidr.Of(blocks...), nil
}

func checkSet(list []string, at evidence.Path) error {
	if len(list) == 0 || len(list) > most {
		return fmt.Errorf("%s: not 1 to %d entries", at, most)
	}
	if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) < len(list) {
		return fmt.Errorf("%s: an entry twice", at)
	}
	return nil
}

var domainName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?\.)+[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?\.?$`)

func checkNames(list []string, at evidence.Path) error {
	for i, name := range list {
		if !domainName.MatchString(name) {
			return fmt.Errorf("%s: %q is no domain name", at.Index(i, ""), name)
		}
	}
	return checkSet(list, at)
}

// names are the addresses that names lead to, which whoever answers for the domain
// decides anew each time. Names of the cluster's own domain lead to Services, and
// plugins may take these for their pods.
func names(list []string) netpol.Expr {
	within := netpol.Some{netpol.Is{Kind: netpol.OfWorld}}
	if slices.ContainsFunc(list, inCluster) {
		within = append(within, netpol.Is{Kind: netpol.OfPod})
	}
	return netpol.Unknown{Within: within, Why: fmt.Sprintf("the addresses of %s are known only when they are asked for", strings.Join(list, ", "))}
}

// inCluster reports whether a name is one of the domain that clusters have by default.
func inCluster(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, "."), ".cluster.local")
}
