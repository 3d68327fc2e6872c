package evidence

import (
	"fmt"
	"slices"
	"strings"
)

// UnseenNodes says which of a live cluster's nodes were not looked at, where others
// were: what holds of those that were says nothing about the rest.
func (s *Snapshot) UnseenNodes() (gaps []Gap) {
	if s.Cluster == nil || len(s.Hosts) == 0 {
		return nil
	}
	if listed, why := s.Complete(Nodes, ""); !listed {
		why = "which nodes the cluster has besides is not known: " + why
		return []Gap{{Fact: Hosts, Declined: true, Reason: why}, {Fact: ControlPlanes, Declined: true, Reason: why}}
	}
	seen := map[string]*Host{}
	for _, h := range s.Hosts {
		seen[h.Node] = h
	}
	var all, control nodes
	for _, n := range s.Nodes {
		h := seen[n.Name]
		all.count(n.Name, h != nil)
		runs := h != nil && (h.Has(ControlPlane) || h.Has(EtcdMember)) // of some only the kubelet was seen
		if controls(n.Labels) || h != nil && h.Has(ControlPlane) {
			control.count(n.Name, runs)
		}
	}
	return append(all.gap(Hosts, "nodes"), control.gap(ControlPlanes, "control plane nodes")...)
}

// controls reports whether a Node's labels say that it runs the control plane.
func controls(labels map[string]string) bool {
	return slices.ContainsFunc([]string{"control-plane", "controlplane", "master", "etcd"}, func(role string) bool {
		_, labelled := labels["node-role.kubernetes.io/"+role]
		return labelled
	})
}

// OwnControlPlane tells which node shows that no provider runs the control plane, and
// how; "" when none does.
func (s *Snapshot) OwnControlPlane() string {
	for _, h := range s.Hosts {
		for _, c := range h.Components {
			if c.Name == APIServer || c.Name == ControllerManager || c.Name == Scheduler {
				return "node " + h.Node + " runs " + c.Name
			}
		}
	}
	for _, n := range s.Nodes {
		if controls(n.Labels) {
			return "node " + n.Name + " has the label of a control plane node"
		}
	}
	return ""
}

// nodes are some of a cluster's nodes, and those of them that were not looked at.
type nodes struct {
	n      int
	unseen []string
}

func (l *nodes) count(name string, seen bool) {
	l.n++
	if !seen {
		l.unseen = append(l.unseen, name)
	}
}

// gap says that some were not looked at. That is no fault of the run: whoever gives
// one node asks for no other.
func (l *nodes) gap(f Fact, what string) []Gap {
	const named = 5
	if len(l.unseen) == 0 {
		return nil
	}
	slices.Sort(l.unseen)
	names := strings.Join(l.unseen[:min(named, len(l.unseen))], ", ")
	if len(l.unseen) > named {
		names += ", …"
	}
	return []Gap{{
		Fact: f, Declined: true,
		Reason: fmt.Sprintf("%d of %d %s seen, not %s (--host-root on each, or gabion snapshot --host-root there)", l.n-len(l.unseen), l.n, what, names),
	}}
}
