package networkpolicy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// calicoLanguage spells projectcalico.org/v3 NetworkPolicies
// (https://docs.tigera.io/calico/latest/reference/resources/networkpolicy).
type calicoLanguage struct{}

func (calicoLanguage) kind() (string, string) { return "projectcalico.org/v3", "NetworkPolicy" }

func (calicoLanguage) spec(p *policy) map[string]any {
	selector := "all()"
	if p.set != nil {
		selector = calicoSelector(p.set.Selector)
	}
	return map[string]any{"selector": selector, "types": p.types()}
}

func (calicoLanguage) closed() []map[string]any { return nil }

// rule is one rule for each protocol, and for each block that has exceptions.
func (calicoLanguage) rule(c *catalog, _ *policy, r rule, ingress bool) (list []map[string]any) {
	var peers []map[string]any
	switch r.peer.Kind {
	case need.OfSet:
		peers = append(peers, calicoPods(r.peer.Set.Namespace, calicoSelector(r.peer.Set.Selector)))
	case need.OfLabels:
		peers = append(peers, calicoPods(r.peer.Namespace, calicoSelector(&metav1.LabelSelector{MatchLabels: r.peer.Labels})))
	case need.OfAnyPod:
		peers = append(peers, map[string]any{"namespaceSelector": "all()"})
	default:
		// A rule holds addresses of one family.
		var plain [2][]string
		for _, b := range c.Blocks(r.peer) {
			family := 0
			if strings.Contains(b.CIDR, ":") {
				family = 1
			}
			if len(b.Except) == 0 {
				plain[family] = append(plain[family], b.CIDR)
			} else {
				peers = append(peers, map[string]any{"nets": []string{b.CIDR}, "notNets": b.Except})
			}
		}
		for _, nets := range plain {
			if len(nets) > 0 {
				peers = append(peers, map[string]any{"nets": nets})
			}
		}
	}
	for _, protocol := range ports.Protocols() {
		var numbers []any
		for _, p := range r.ports.Ranges() {
			switch {
			case p.Protocol != protocol:
			case p.First == p.Last:
				numbers = append(numbers, p.First)
			default:
				numbers = append(numbers, fmt.Sprintf("%d:%d", p.First, p.Last))
			}
		}
		if numbers == nil {
			continue
		}
		for _, peer := range peers {
			value := map[string]any{"action": "Allow", "protocol": protocol.String()}
			if ingress {
				value["source"], value["destination"] = peer, map[string]any{"ports": numbers}
			} else {
				peer = maps.Clone(peer)
				peer["ports"] = numbers
				value["destination"] = peer
			}
			list = append(list, value)
		}
	}
	return list
}

func calicoPods(namespace, selector string) map[string]any {
	return map[string]any{"namespaceSelector": fmt.Sprintf("projectcalico.org/name == '%s'", namespace), "selector": selector}
}

// calicoSelector spells a selector. Values of labels hold no quotes: the API server
// takes none that do.
func calicoSelector(s *metav1.LabelSelector) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		list = append(list, fmt.Sprintf("%s == '%s'", key, strings.ReplaceAll(s.MatchLabels[key], "'", "")))
	}
	for _, e := range s.MatchExpressions {
		list = append(list, fmt.Sprintf("!has(%s)", e.Key)) // no other operator is chosen
	}
	if list == nil {
		return "all()"
	}
	return strings.Join(list, " && ")
}
