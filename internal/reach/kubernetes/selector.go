package kubernetes

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// selector reads a label selector of the objects of an owner; nil and empty ones
// mean all of them. It fails where the API server does.
func selector(of netpol.Owner, s *metav1.LabelSelector, at evidence.Path) (netpol.Every, error) {
	if s == nil {
		return nil, nil
	}
	var all netpol.Every
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		l, err := label(of, metav1.LabelSelectorRequirement{
			Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{s.MatchLabels[key]},
		}, at.Field("matchLabels", key))
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	for i, r := range s.MatchExpressions {
		l, err := label(of, r, at.Field("matchExpressions").Index(i, ""))
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func label(of netpol.Owner, r metav1.LabelSelectorRequirement, at evidence.Path) (netpol.Expr, error) {
	l := netpol.Label{Of: of, Key: r.Key, Values: r.Values}
	values := true
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		l.Op = netpol.In
	case metav1.LabelSelectorOpNotIn:
		l.Op = netpol.NotIn
	case metav1.LabelSelectorOpExists:
		l.Op, values = netpol.Exists, false
	case metav1.LabelSelectorOpDoesNotExist:
		l.Op, values = netpol.Absent, false
	default:
		return nil, fmt.Errorf("%s: %q is no operator", at, r.Operator)
	}
	if values != (len(r.Values) > 0) {
		return nil, fmt.Errorf("%s: operator %s with %d values", at, r.Operator, len(r.Values))
	}
	for _, fault := range validation.IsQualifiedName(r.Key) {
		return nil, fmt.Errorf("%s: key %q: %s", at, r.Key, fault)
	}
	for _, v := range r.Values {
		for _, fault := range validation.IsValidLabelValue(v) {
			return nil, fmt.Errorf("%s: value %q: %s", at, v, fault)
		}
	}
	return l, nil
}

// addresses means peers by their address. Cilium knows pods and nodes by what they
// are, and its blocks match only what is neither.
func addresses(set cidr.Set, e netpol.Enforcement) netpol.Expr {
	in := netpol.Address{In: set}
	if e != netpol.Cilium {
		return in
	}
	return netpol.Some{
		netpol.Every{netpol.Is{Kind: netpol.OfWorld}, in},
		netpol.Unknown{
			Within: netpol.Every{netpol.Is{Kind: netpol.OfAPIServer}, in},
			Why:    "it is not known whether the API server runs on a node: Cilium matches no node by its address",
		},
	}
}
