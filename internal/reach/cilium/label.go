package cilium

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Keys of the labels that Cilium gives to pods.
const (
	namespaceKey       = "io.kubernetes.pod.namespace"
	namespaceLabelKey  = "io.cilium.k8s.namespace.labels."
	serviceAccountKey  = "io.cilium.k8s.policy.serviceaccount"
	clusterKey         = "io.cilium.k8s.policy.cluster"
	ciliumKey          = "io.cilium.k8s."
	recommendedAppKeys = "app.kubernetes.io"
)

// A label is a condition of a selector. Its source says who made labels of that
// kind: "k8s", "reserved", or "any" of them. matchLabel is set where it stands in
// matchLabels.
type label struct {
	source, key string
	op          netpol.Op
	values      []string
	matchLabel  bool
}

// readSelector reads a label selector as Cilium's agents do, which refuse the
// same ones; keys may begin with a source and a colon.
func readSelector(raw json.RawMessage, at evidence.Path) (list []label, doubt string, err error) {
	s, doubt, err := decode[selector](raw, at)
	if err != nil {
		return nil, "", err
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		l, err := readLabel(requirement{key, "In", []string{s.MatchLabels[key]}}, at.Field("matchLabels", key))
		if err != nil {
			return nil, "", err
		}
		l.matchLabel = true
		list = append(list, l)
	}
	for i, q := range s.MatchExpressions {
		l, err := readLabel(q, at.Field("matchExpressions").Index(i, ""))
		if err != nil {
			return nil, "", err
		}
		list = append(list, l)
	}
	return list, doubt, nil
}

var isSource = regexp.MustCompile(`^[A-Za-z0-9]+$`).MatchString

func readLabel(q requirement, at evidence.Path) (label, error) {
	l := label{source: "any", key: q.Key, values: q.Values}
	if source, key, ok := strings.Cut(q.Key, ":"); ok {
		l.source, l.key = source, key
	}
	if !isSource(l.source) {
		return label{}, fmt.Errorf("%s: key %q: %q is no source of labels", at, q.Key, l.source)
	}
	for _, fault := range validation.IsQualifiedName(l.key) {
		return label{}, fmt.Errorf("%s: key %q: %s", at, q.Key, fault)
	}
	values := true
	switch q.Operator {
	case "In":
		l.op = netpol.In
	case "NotIn":
		l.op = netpol.NotIn
	case "Exists":
		l.op, values = netpol.Exists, false
	case "DoesNotExist":
		l.op, values = netpol.Absent, false
	default:
		return label{}, fmt.Errorf("%s: %q is no operator", at, q.Operator)
	}
	if values != (len(q.Values) > 0) {
		return label{}, fmt.Errorf("%s: operator %s with %d values", at, q.Operator, len(q.Values))
	}
	for _, v := range q.Values {
		for _, fault := range validation.IsValidLabelValue(v) {
			return label{}, fmt.Errorf("%s: value %q: %s", at, v, fault)
		}
	}
	return l, nil
}

// negative reports whether the condition holds where the label is not there.
func (l label) negative() bool { return l.op == netpol.NotIn || l.op == netpol.Absent }

// kubernetes reports whether the label is one that pods have.
func (l label) kubernetes() bool { return l.source == "k8s" || l.source == "any" }

// constant is the condition where the label has one known value.
func (l label) constant(value string) netpol.Expr {
	if l.op == netpol.Exists || l.op != netpol.Absent && slices.Contains(l.values, value) != l.negative() {
		return netpol.Everyone()
	}
	return netpol.Nobody()
}

// absent is the condition where nobody has the label.
func (l label) absent() netpol.Expr {
	if l.negative() {
		return netpol.Everyone()
	}
	return netpol.Nobody()
}

// where is the condition where those that a part means have the label, without a
// value, and nobody else.
func (l label) where(part netpol.Expr) netpol.Expr {
	if len(l.values) > 0 && !slices.Contains(l.values, "") {
		return l.absent()
	}
	if l.negative() {
		return netpol.Not{Of: part}
	}
	return part
}

// pod says which pods the condition means.
func (r *reader) pod(l label) netpol.Expr {
	switch {
	case !l.kubernetes():
		return r.foreign(l)
	case l.key == namespaceKey:
		return l.named(netpol.Namespace)
	case l.key == serviceAccountKey:
		return l.named(netpol.ServiceAccount)
	case l.key == clusterKey && r.settings.value("cluster-name") != "":
		return l.constant(r.settings.value("cluster-name"))
	case l.key == clusterKey:
		return netpol.Unknown{Within: netpol.Everyone(), Why: "the name that Cilium gives to the cluster is not known"}
	case strings.HasPrefix(l.key, namespaceLabelKey):
		return netpol.Label{Of: netpol.Namespace, Key: strings.TrimPrefix(l.key, namespaceLabelKey), Op: l.op, Values: l.values}
	case strings.HasPrefix(l.key, ciliumKey):
		return l.absent()
	case withheld(l.key):
		return netpol.Unknown{Within: netpol.Everyone(), Why: fmt.Sprintf("Cilium by default does not look at the label %s", l.key)}
	}
	return netpol.Label{Of: netpol.Pod, Key: l.key, Op: l.op, Values: l.values}
}

// foreign says which pods a condition on a label means that does not come from
// Kubernetes: pods have none of those that Cilium keeps of addresses and nodes.
func (r *reader) foreign(l label) netpol.Expr {
	switch l.source {
	case "reserved", "cidr", "cidrgroup", "fqdn", "node":
		return l.absent()
	}
	return netpol.Unknown{Within: netpol.Everyone(), Why: fmt.Sprintf("who has labels of the source %q is not known", l.source)}
}

// named is a condition on the name of a pod's namespace or ServiceAccount, which
// every pod has.
func (l label) named(of netpol.Owner) netpol.Expr {
	switch l.op {
	case netpol.Exists:
		return netpol.Everyone()
	case netpol.Absent:
		return netpol.Nobody()
	}
	var names netpol.Some
	for _, v := range l.values {
		names = append(names, netpol.Named{Of: of, Name: v})
	}
	if l.op == netpol.NotIn {
		return netpol.Not{Of: names}
	}
	if len(names) == 1 {
		return names[0]
	}
	return names
}

// withheld reports whether Cilium, unless it is told otherwise, leaves a label out
// of what it knows of a pod: labels that change often, or that are Kubernetes' own.
func withheld(key string) bool {
	if strings.HasPrefix(key, recommendedAppKeys) {
		return false
	}
	return strings.Contains(key, "beta.kubernetes.io") || slices.ContainsFunc(withheldKeys, func(k string) bool {
		return strings.HasPrefix(key, k)
	})
}

var withheldKeys = []string{
	"io.kubernetes", "kubernetes.io", "k8s.io", "topology.kubernetes.io",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid",
	"pod-template-generation", "pod-template-hash", "controller-revision-hash", "controller-uid",
	"annotation", "etcd_node",
}

// anyone says which endpoints of all kinds the condition means. It is needed for
// selectors with a reserved label or without a namespace; all others mean pods only.
func (r *reader) anyone(l label) netpol.Expr {
	pods := netpol.Is{Kind: netpol.OfPod}
	switch {
	case l.source == "reserved":
		return l.where(reserved(l.key))
	case !l.kubernetes():
		return netpol.Some{
			netpol.Every{pods, r.pod(l)},
			netpol.Unknown{Within: netpol.Not{Of: pods}, Why: fmt.Sprintf("who has labels of the source %q is not known", l.source)},
		}
	}
	some := netpol.Some{
		netpol.Every{pods, r.pod(l)},
		netpol.Unknown{Within: netpol.Is{Kind: netpol.OfHost}, Why: "which labels of nodes Cilium knows is not known"},
	}
	if l.negative() {
		some = append(some, netpol.Is{Kind: netpol.OfWorld}, netpol.Unknown{Within: netpol.Is{Kind: netpol.OfAPIServer}, Why: onNode})
	}
	return some
}

// reserved says who has a label that Cilium reserves for what is no pod.
func reserved(key string) netpol.Expr {
	switch key {
	case "world":
		return netpol.Unknown{Within: outer(netpol.Everyone()), Why: "in a cluster of both address families the label is reserved:world-ipv4 or reserved:world-ipv6"}
	case "world-ipv4":
		return netpol.Unknown{Within: outer(netpol.Address{In: cidr.IPv4()}), Why: "in a cluster of one address family the label is reserved:world"}
	case "world-ipv6":
		return netpol.Unknown{Within: outer(netpol.Address{In: cidr.IPv6()}), Why: "in a cluster of one address family the label is reserved:world"}
	}
	if e, ok := entity(key); ok && key != "all" && key != "cluster" && key != "cluster-mesh" {
		return e
	}
	return netpol.Nobody()
}
