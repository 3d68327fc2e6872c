package networkpolicy

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/reach/need"
)

// ciliumLanguage spells cilium.io/v2 CiliumNetworkPolicies
// (https://docs.cilium.io/en/stable/security/policy/language/).
type ciliumLanguage struct{}

func (ciliumLanguage) kind() (string, string) { return "cilium.io/v2", "CiliumNetworkPolicy" }

func (ciliumLanguage) spec(p *policy) map[string]any {
	selector := &metav1.LabelSelector{}
	if p.set != nil {
		selector = p.set.Selector
	}
	spec := map[string]any{"endpointSelector": selector}
	if p.denies {
		// A name that resolves to a metadata address would open it: denied first.
		spec["egressDeny"] = []any{map[string]any{"toCIDR": need.MetadataList()}}
	}
	return spec
}

// closed is an empty rule: it allows nothing, and isolates.
func (ciliumLanguage) closed() []map[string]any { return []map[string]any{{}} }

func (ciliumLanguage) rule(c *catalog, _ *policy, r rule, ingress bool) []map[string]any {
	way := "to"
	if ingress {
		way = "from"
	}
	at := toPorts(r)
	value := map[string]any{"toPorts": []any{at}}
	switch r.peer.Kind {
	case need.OfSet:
		value[way+"Endpoints"] = []any{ciliumSelector(r.peer.Set.Namespace, r.peer.Set.Selector)}
	case need.OfLabels:
		value[way+"Endpoints"] = []any{ciliumSelector(r.peer.Namespace, &metav1.LabelSelector{MatchLabels: r.peer.Labels})}
		if r.reasons == nil {
			// The proxy for names has to see what they resolve to.
			at["rules"] = map[string]any{"dns": []any{map[string]any{"matchPattern": "*"}}}
		}
	case need.OfAnyPod:
		value[way+"Endpoints"] = []any{&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: ciliumNamespace, Operator: metav1.LabelSelectorOpExists}}}}
	case need.OfAPIServer:
		value[way+"Entities"] = []string{"kube-apiserver"}
	case need.OfNodes:
		value[way+"Entities"] = []string{"host", "remote-node"}
	case need.OfOutside:
		switch {
		case r.peer.Block.Empty() && r.peer.Local:
			value[way+"Entities"] = []string{"world"}
		case r.peer.Block.Empty():
			value[way+"Entities"] = []string{"world", "host", "remote-node"}
		default:
			value[way+"CIDRSet"] = need.BlocksOf(r.peer.Block)
			if !r.peer.Local {
				nodes := map[string]any{way + "Entities": []string{"host", "remote-node"}, "toPorts": value["toPorts"]}
				return []map[string]any{value, nodes}
			}
		}
	case need.OfWorld:
		value[way+"FQDNs"] = []any{map[string]string{"matchName": r.peer.Name}}
	default:
		value[way+"CIDRSet"] = c.Blocks(r.peer)
	}
	return []map[string]any{value}
}

func toPorts(r rule) map[string]any {
	var list []any
	for _, p := range r.ports.Ranges() {
		one := map[string]any{"port": fmt.Sprint(p.First), "protocol": p.Protocol.String()}
		if p.Last != p.First {
			one["endPort"] = p.Last
		}
		list = append(list, one)
	}
	return map[string]any{"ports": list}
}

const ciliumNamespace = "k8s:io.kubernetes.pod.namespace"

func ciliumSelector(namespace string, pods *metav1.LabelSelector) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: map[string]string{ciliumNamespace: namespace}, MatchExpressions: pods.MatchExpressions}
	maps.Copy(s.MatchLabels, pods.MatchLabels)
	return s
}
