package calico

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// The labels that Calico adds to endpoints. Those of a pod's namespace and
// ServiceAccount have a prefix.
const (
	namespaceKey    = "projectcalico.org/namespace"
	accountKey      = "projectcalico.org/serviceaccount"
	orchestratorKey = "projectcalico.org/orchestrator"
	nameKey         = "projectcalico.org/name"
	namespacePrefix = "pcns."
	accountPrefix   = "pcsa."

	orchestrator = "k8s"
	// metadataName is the label by which every namespace has its own name.
	metadataName = "kubernetes.io/metadata.name"
	// accountLength is the shortest name of a ServiceAccount that pods do not get as
	// their label accountKey.
	accountLength = 63
)

// mapLabels returns a selector with each of its labels, and each of its all(),
// replaced.
func mapLabels(e netpol.Expr, all netpol.Expr, label func(netpol.Label) netpol.Expr) netpol.Expr {
	each := func(list []netpol.Expr) []netpol.Expr {
		mapped := make([]netpol.Expr, len(list))
		for i, part := range list {
			mapped[i] = mapLabels(part, all, label)
		}
		return mapped
	}
	switch e := e.(type) {
	case netpol.Every:
		if len(e) == 0 {
			return all
		}
		return netpol.Every(each(e))
	case netpol.Some:
		return netpol.Some(each(e))
	case netpol.Not:
		return netpol.Not{Of: mapLabels(e.Of, all, label)}
	case netpol.Label:
		return label(e)
	}
	return e
}

// has is the selector has(key).
func has(key string) netpol.Expr { return netpol.Label{Key: key, Op: netpol.Exists} }

// prefixed turns a selector of namespaces or ServiceAccounts into one of endpoints.
func prefixed(e netpol.Expr, prefix string, all netpol.Expr) netpol.Expr {
	return mapLabels(e, all, func(l netpol.Label) netpol.Expr {
		l.Key = prefix + l.Key
		return l
	})
}

// allMeans replaces all() in a selector.
func allMeans(e, all netpol.Expr) netpol.Expr {
	return mapLabels(e, all, func(l netpol.Label) netpol.Expr { return l })
}

// A shadow is a set of labels of pods that hide one of their namespace's or
// ServiceAccount's: Calico takes a pod's own label before one that it inherits.
type shadow map[string]bool

func newShadow(snap *evidence.Snapshot) shadow {
	found := shadow{}
	for _, w := range snap.Workloads {
		for key := range w.PodLabels {
			if strings.HasPrefix(key, namespacePrefix) || strings.HasPrefix(key, accountPrefix) {
				found[key] = true
			}
		}
	}
	return found
}

// pods are the pods that a selector means.
func (s shadow) pods(e netpol.Expr) netpol.Expr {
	return netpol.Every{netpol.Is{Kind: netpol.OfPod}, mapLabels(e, netpol.Everyone(), s.podLabel)}
}

func (s shadow) podLabel(l netpol.Label) netpol.Expr {
	switch l.Key {
	case namespaceKey:
		return named(l, netpol.Namespace)
	case accountKey:
		l.Values = slices.DeleteFunc(slices.Clone(l.Values), func(v string) bool { return len(v) >= accountLength })
		return named(l, netpol.ServiceAccount)
	case orchestratorKey:
		if compare(l, orchestrator, true) {
			return netpol.Everyone()
		}
		return netpol.Nobody()
	}
	if key, ok := strings.CutPrefix(l.Key, namespacePrefix); ok {
		return s.inherited(l, key, netpol.Namespace)
	}
	if key, ok := strings.CutPrefix(l.Key, accountPrefix); ok {
		return s.inherited(l, key, netpol.ServiceAccount)
	}
	return l
}

// inherited is a label that pods have from their namespace or ServiceAccount, where
// it is called key.
func (s shadow) inherited(l netpol.Label, key string, owner netpol.Owner) netpol.Expr {
	theirs := netpol.Expr(netpol.Label{Of: owner, Key: key, Op: l.Op, Values: l.Values})
	if key == nameKey {
		theirs = named(l, owner)
	}
	if !s[l.Key] {
		return theirs
	}
	own, without := netpol.Expr(l), netpol.Label{Key: l.Key, Op: netpol.Absent}
	if l.Op == netpol.NotIn {
		own = netpol.Every{has(l.Key), l}
	}
	return netpol.Some{own, netpol.Every{without, theirs}}
}

// named is a label whose value is the name of a pod's namespace or ServiceAccount.
func named(l netpol.Label, owner netpol.Owner) netpol.Expr {
	var names netpol.Some
	for _, v := range l.Values {
		names = append(names, netpol.Named{Of: owner, Name: v})
	}
	switch {
	case l.Op == netpol.Exists:
		return netpol.Everyone()
	case l.Op == netpol.In && len(names) == 1:
		return names[0]
	case l.Op == netpol.In:
		return names
	case l.Op == netpol.NotIn:
		return netpol.Not{Of: names}
	case owner == netpol.Namespace:
		return netpol.Label{Of: netpol.Namespace, Key: metadataName, Op: l.Op, Values: l.Values}
	}
	return netpol.Unknown{Within: netpol.Everyone(), Why: "ServiceAccounts by a part of their name are not looked up"}
}

// compare says whether a label compares as wanted with the value that something has
// of it, if it has one.
func compare(l netpol.Label, value string, has bool) bool {
	if !has {
		return l.Op == netpol.NotIn
	}
	switch l.Op {
	case netpol.In:
		return slices.Contains(l.Values, value)
	case netpol.NotIn:
		return !slices.Contains(l.Values, value)
	case netpol.Prefix:
		return strings.HasPrefix(value, l.Values[0])
	case netpol.Suffix:
		return strings.HasSuffix(value, l.Values[0])
	case netpol.Contains:
		return strings.Contains(value, l.Values[0])
	}
	return true
}

// A truth is how far something holds.
type truth int8

const (
	no truth = iota - 1
	perhaps
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// A labelled is something that is no pod, with its labels: a host endpoint or a set of
// networks.
type labelled struct {
	labels map[string]string
	// open reports whether something may also have a label that is not in labels; nil
	// when it has no others.
	open func(key string) bool
}

// holds says whether a selector means something with these labels.
func (x labelled) holds(e netpol.Expr) truth {
	switch e := e.(type) {
	case netpol.Every:
		result := yes
		for _, part := range e {
			result = min(result, x.holds(part))
		}
		return result
	case netpol.Some:
		result := no
		for _, part := range e {
			result = max(result, x.holds(part))
		}
		return result
	case netpol.Not:
		return -x.holds(e.Of)
	case netpol.Label:
		value, has := x.labels[e.Key]
		if !has && x.open != nil && x.open(e.Key) {
			return perhaps
		}
		return truthOf(compare(e, value, has))
	}
	return perhaps
}
