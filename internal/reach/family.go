package reach

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A family is a version of IP. Endpoints with addresses of both connect over either,
// and policies may decide otherwise about one than about the other.
type family uint8

const (
	ipv4 family = iota
	ipv6
)

func (f family) String() string {
	if f == ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// all is every address of a family.
func (f family) all() cidr.Set {
	if f == ipv6 {
		return cidr.IPv6()
	}
	return cidr.IPv4()
}

// A truth is whether something is so.
type truth uint8

const (
	isNot truth = iota
	mayBe
	isSo
)

func truthOf(b bool) truth {
	if b {
		return isSo
	}
	return isNot
}

// part is those of some addresses that count in a connection of the family: its own, or
// all where there are none.
func (f family) part(of cidr.Set) cidr.Set {
	if own := of.Intersect(f.all()); !own.Empty() {
		return own
	}
	return of
}

// addressed reports whether an endpoint that has one of some addresses is in a set.
// Blind plugins know pods and nodes by what they are, not by their addresses, and the
// API server where it runs on a node.
func addressed(k netpol.Kind, addresses, set cidr.Set, blind truth) truth {
	inside := k == netpol.OfPod || k == netpol.OfHost
	if inside && blind == isSo {
		return isNot
	}
	t := mayBe
	if a, single := addresses.Single(); single {
		t = truthOf(set.Contains(a))
	} else if !set.Overlaps(addresses) {
		t = isNot
	} else if set.Covers(addresses) {
		t = isSo
	}
	if k != netpol.OfWorld && blind != isNot {
		return min(t, mayBe)
	}
	return t
}

// families are those that something has addresses of.
type families [2]truth

// familiesOf are those of a cluster: of the ranges of its pods where they are known, else
// of its nodes and Services. Where nothing tells it has IPv4, and perhaps IPv6.
func familiesOf(snap *evidence.Snapshot, pods, nodes cidr.Set) families {
	if !pods.Empty() {
		return possessed(pods)
	}
	services := possessed(serviceAddresses(snap))
	has := possessed(nodes)
	switch {
	case has == families{} && services == families{}:
		return families{isSo, mayBe}
	case has[ipv4] != has[ipv6]:
		return has
	}
	for f := range has {
		has[f] = max(mayBe, services[f]) // a cluster need not use all that its nodes have
	}
	return has
}

// possessed are the families with addresses in a set.
func possessed(set cidr.Set) families {
	return families{truthOf(set.Overlaps(cidr.IPv4())), truthOf(set.Overlaps(cidr.IPv6()))}
}

// serviceAddresses are those that the Services of the cluster were given.
func serviceAddresses(snap *evidence.Snapshot) cidr.Set {
	var list []netip.Addr
	for _, s := range snap.Services {
		for _, text := range append([]string{s.Value.Spec.ClusterIP}, s.Value.Spec.ClusterIPs...) {
			if ip, err := netip.ParseAddr(text); err == nil && text != corev1.ClusterIPNone {
				list = append(list, ip)
			}
		}
	}
	return cidr.Address(list...)
}

// between are the families in which two endpoints may connect. An address outside is
// asked about as one that can be reached.
func (m *member) between(o *member) (both families) {
	for f := range both {
		both[f] = min(m.has[f], o.has[f])
		if m.Kind == netpol.OfWorld {
			both[f] = m.has[f]
		} else if o.Kind == netpol.OfWorld {
			both[f] = o.has[f]
		}
	}
	if both == (families{}) {
		return families{mayBe, mayBe}
	}
	return both
}

// either is what is open where endpoints connect over both families, as far as they
// have them. ICMP is of IPv4, ICMPv6 of IPv6.
func (in families) either(four, six verdict) verdict {
	switch {
	case in[ipv6] == isNot:
		return four
	case in[ipv4] == isNot:
		return six
	}
	six, four = four.give(six, ports.Every(ports.ICMP)), six.give(four, ports.Every(ports.ICMPv6))
	v := verdict{allowed: in.certain(four.allowed, six.allowed)}
	v.unknown = four.allowed.Union(four.unknown).Union(six.allowed).Union(six.unknown).Minus(v.allowed)
	v.limited = v.allowed.Minus(in.certain(four.allowed.Minus(four.limited), six.allowed.Minus(six.limited)))
	return v
}

// certain are the ports that are open in one family that there is, or in both.
func (in families) certain(four, six ports.Set) ports.Set {
	open := four.Intersect(six)
	if in[ipv4] == isSo {
		open = open.Union(four)
	}
	if in[ipv6] == isSo {
		open = open.Union(six)
	}
	return open
}

// give replaces what another verdict says of some ports.
func (v verdict) give(to verdict, which ports.Set) verdict {
	swap := func(to, from ports.Set) ports.Set { return to.Minus(which).Union(from.Intersect(which)) }
	return verdict{swap(to.allowed, v.allowed), swap(to.unknown, v.unknown), swap(to.limited, v.limited)}
}
