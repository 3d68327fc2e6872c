// Package reach answers which workloads the network policies isolate, which
// addresses they may still reach, and what exposes a workload to the outside. It
// reads networking.k8s.io NetworkPolicy, Services, Ingresses and the routes of
// Gateway API and Istio. It does not compute which pod reaches which: policies of
// CNI plugins and AdminNetworkPolicies are not read, they make an answer unknown.
package reach

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An Index holds policies and exposure by namespace.
type Index struct {
	all      []*Policy
	invalid  []Invalid
	policies map[string][]*Policy
	// unread says, by namespace, which policies of other kinds may decide there;
	// those of the whole cluster stand under "".
	unread    map[string]string
	exposures map[string][]exposure
}

// NewIndex reads the policies, Services, Ingresses and routes of a snapshot.
func NewIndex(snap *evidence.Snapshot) *Index {
	x := &Index{policies: map[string][]*Policy{}, unread: map[string]string{}, exposures: newExposures(snap)}
	for _, o := range snap.NetworkPolicies {
		p, err := newPolicy(o)
		if err != nil {
			x.invalid = append(x.invalid, Invalid{o.Ref, err})
			x.miss(o.Namespace, o.String()+" is not valid: "+err.Error())
			continue
		}
		x.all = append(x.all, p)
		x.policies[o.Namespace] = append(x.policies[o.Namespace], p)
	}
	for _, c := range snap.Custom {
		if otherPolicy(c.Ref) {
			x.miss(c.Namespace, c.String()+" is not read by this version")
		}
	}
	return x
}

func (x *Index) miss(namespace, why string) {
	if x.unread[namespace] == "" {
		x.unread[namespace] = why
	}
}

// otherPolicy reports whether an object decides about connections in a language
// that is not read here. Calico's staged policies decide nothing.
func otherPolicy(r *evidence.Ref) bool {
	switch r.Group() {
	case "cilium.io":
		return r.Kind == "CiliumNetworkPolicy" || r.Kind == "CiliumClusterwideNetworkPolicy"
	case "crd.projectcalico.org", "projectcalico.org":
		return r.Kind == "NetworkPolicy" || r.Kind == "GlobalNetworkPolicy"
	case "policy.networking.k8s.io":
		return true
	}
	return false
}

// An Invalid is a NetworkPolicy that the API server would refuse, and why.
type Invalid struct {
	*evidence.Ref
	Err error
}

// All returns every NetworkPolicy and, apart, those that are not valid.
func (x *Index) All() ([]*Policy, []Invalid) { return x.all, x.invalid }

// Policies returns the valid NetworkPolicies of a namespace, in the order they were read.
func (x *Index) Policies(namespace string) []*Policy { return x.policies[namespace] }

// Unread says why what the policies of a namespace allow is not certain: a
// policy that is not valid or of a kind that is not read. "" when nothing is.
func (x *Index) Unread(namespace string) string {
	if why := x.unread[namespace]; why != "" {
		return why
	}
	return x.unread[""]
}

// Isolation is what the policies say of a workload's pods in one direction.
type Isolation struct {
	// Isolated is set when a policy selects the pods: only what a rule allows is
	// then allowed. Never set for pods on the node's network, which the common
	// implementations do not govern.
	Isolated bool
	// By are the policies that select the pods.
	By []*Policy
	// Open is the first rule that allows everything all the same, nil if none does.
	Open *Rule
	// Unknown is why the answer is not certain, "" when it is.
	Unknown string
}

// Isolation of a workload's pods in both directions.
func (x *Index) Isolation(w *evidence.Workload) (ingress, egress Isolation) {
	return x.isolation(w, networkingv1.PolicyTypeIngress), x.isolation(w, networkingv1.PolicyTypeEgress)
}

func (x *Index) isolation(w *evidence.Workload, d networkingv1.PolicyType) Isolation {
	answer := Isolation{Unknown: x.Unread(w.Namespace)}
	if w.Pod.HostNetwork {
		return answer
	}
	for _, p := range x.policies[w.Namespace] {
		if !p.Isolates(d) || !p.Selects(w) {
			continue
		}
		answer.Isolated = true
		answer.By = append(answer.By, p)
		if answer.Open == nil {
			answer.Open = p.Open(d)
		}
	}
	return answer
}

// Egress is whether a workload's pods may open connections to an address.
type Egress struct {
	Allowed bool
	// By is the rule that allows it; nil when no policy selects the pods.
	By *Rule
	// Unknown is why the answer is not certain, "" when it is.
	Unknown string
}

// Egress answers whether the pods of a workload may reach any address of a range
// outside the cluster on a TCP port; port 0 asks for any port and protocol.
// Selectors in rules name pods, so they never match an address outside.
func (x *Index) Egress(w *evidence.Workload, to netip.Prefix, port int32) Egress {
	answer := Egress{Allowed: true, Unknown: x.Unread(w.Namespace)}
	if w.Pod.HostNetwork {
		return answer
	}
	for _, p := range x.policies[w.Namespace] {
		if !p.Isolates(networkingv1.PolicyTypeEgress) || !p.Selects(w) {
			continue
		}
		answer.Allowed = false
		for i := range p.egress {
			if p.egress[i].Reaches(to, port) {
				return Egress{Allowed: true, By: &p.egress[i], Unknown: answer.Unknown}
			}
		}
	}
	return answer
}

// Selects reports whether the policy's podSelector matches the workload's pods.
// Labels that controllers add to each pod are not known here.
func (p *Policy) Selects(w *evidence.Workload) bool {
	return p.Namespace == w.Namespace && p.pods.Matches(labels.Set(w.PodLabels))
}
