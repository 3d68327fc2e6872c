package network

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// unnamed reports whether an endpoint is addresses outside that have no name.
func unnamed(e *reach.Endpoint) bool { return e.Kind == netpol.OfWorld && e.Name == "" }

// outside is how an answer is put about addresses outside: parts with the same answer
// are one, in the fewest prefixes. Addresses of pods and nodes are not outside, so
// that a prefix may hold them or not.
type outside struct {
	// free are the addresses that no part without a name holds.
	free cidr.Set
	// named are the parts with names.
	named []*reach.Endpoint
}

func newOutside(endpoints []*reach.Endpoint) (o outside) {
	o.free = cidr.All()
	for _, e := range endpoints {
		switch {
		case unnamed(e):
			o.free = o.free.Minus(e.Addresses)
		case e.Kind == netpol.OfWorld:
			o.named = append(o.named, e)
		}
	}
	return o
}

// merged is the simplest set that holds a part of the unnamed addresses and nothing
// of the rest. Of the named addresses it may hold those for which same holds.
func (o outside) merged(part cidr.Set, same func(*reach.Endpoint) bool) cidr.Set {
	may := o.free
	for _, e := range o.named {
		if !same(e) {
			may = may.Minus(e.Addresses)
		}
	}
	whole := part.Union(may)
	var kept []netip.Prefix
	for _, p := range whole.Prefixes() {
		if part.OverlapsPrefix(p) {
			kept = append(kept, p)
		}
	}
	return cidr.Of(kept...)
}

// maxPrefixes is how many prefixes are written out for people.
const maxPrefixes = 4

const anyOutside = "any address outside"

// outsideText says which addresses are meant: 192.0.2.0/24, any address outside except
// 169.254.169.254.
func outsideText(set cidr.Set) string {
	missing := cidr.All().Minus(set)
	switch {
	case missing.Empty():
		return anyOutside
	case len(missing.Prefixes()) < len(set.Prefixes()) && len(missing.Prefixes()) <= maxPrefixes:
		return anyOutside + " except " + prefixText(missing)
	}
	v4, v6 := set.Intersect(cidr.IPv4()), set.Intersect(cidr.IPv6())
	var parts []string
	for _, part := range []struct{ set, all cidr.Set }{{v4, cidr.IPv4()}, {v6, cidr.IPv6()}} {
		missing := part.all.Minus(part.set)
		switch {
		case part.set.Empty():
		case missing.Empty():
			parts = append(parts, prefixText(part.all))
		case len(missing.Prefixes()) < len(part.set.Prefixes()) && len(missing.Prefixes()) <= maxPrefixes:
			parts = append(parts, prefixText(part.all)+" except "+prefixText(missing))
		default:
			parts = append(parts, prefixText(part.set))
		}
	}
	return strings.Join(parts, ", ")
}

// prefixText writes a few prefixes, and how many more there are.
func prefixText(set cidr.Set) string {
	prefixes := set.Prefixes()
	if len(prefixes) <= maxPrefixes {
		return set.String()
	}
	return fmt.Sprintf("%s and %d more ranges", cidr.Of(prefixes[:maxPrefixes-1]...), len(prefixes)-maxPrefixes+1)
}
