package networkpolicy

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// observed are the connections that were seen, as far as their ends are known.
type observed struct {
	list     []sighting
	unplaced []string
}

// A sighting is a connection that was seen between known ends.
type sighting struct {
	from, to need.End
	ports    ports.Set
	// address is that of an end outside.
	address netip.Addr
	says    string
	dropped bool
}

// observe places what was seen, and takes what was seen between workloads for needed.
func (c *catalog) observe(logs []*flows.Log) *observed {
	seen := &observed{}
	pods := c.podAddresses(len(logs) > 0)
	unknown := map[string]int{}
	for _, l := range logs {
		for i := range l.Flows {
			f := &l.Flows[i]
			c.sight(l, f, pods, seen, unknown)
		}
		if l.Left > 0 {
			seen.unplaced = append(seen.unplaced, fmt.Sprintf("%s: %d more entries were left out: more than %d different flows", l.Name, l.Left, flows.MaxFlows))
		}
	}
	for _, why := range slices.Sorted(maps.Keys(unknown)) {
		seen.unplaced = append(seen.unplaced, fmt.Sprintf("%s (%s)", why, count(unknown[why], "flow")))
	}
	return seen
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// A target is where a connection that was seen came out.
type target struct {
	to    need.End
	ports ports.Set
}

func (c *catalog) sight(l *flows.Log, f *flows.Flow, pods map[netip.Addr]*evidence.Workload, seen *observed, unknown map[string]int) {
	at := ports.Of(f.Protocol, f.Port, f.Port)
	from, why := c.peer(f.Src, pods)
	if why != "" {
		unknown[l.Name+": "+why]++
		return
	}
	var targets []target
	if s := c.serviceOf(f.Dst); s != nil {
		for _, b := range c.Backends(s) {
			if b.Workload != nil {
				if set := need.PortsOf(s, b, f.Port); !set.Empty() {
					targets = append(targets, target{c.EndOf(b.Workload), set})
				}
			}
		}
		if s.Namespace == "default" && s.Name == "kubernetes" {
			targets = append(targets, target{need.End{Kind: need.OfAPIServer}, at})
		}
		if len(targets) == 0 {
			unknown[fmt.Sprintf("%s: %s has no such port, or no workload that was read is behind it", l.Name, s)]++
			return
		}
	} else {
		to, why := c.peer(f.Dst, pods)
		if why != "" {
			unknown[l.Name+": "+why]++
			return
		}
		targets = append(targets, target{to, at})
	}
	times := "seen once"
	if f.Count > 1 {
		times = fmt.Sprintf("seen %d times", f.Count)
	}
	for _, t := range targets {
		says := fmt.Sprintf("%s in %s", times, l.Name)
		seen.list = append(seen.list, sighting{from, t.to, t.ports, worldAddress(f, from, t.to), fmt.Sprintf("%s => %s : %s, %s:%d, %s", called(from, f.Src), called(t.to, f.Dst), t.ports, l.Name, f.Line, times), f.Dropped})
		known := from.Kind == need.OfSet && (t.to.Kind == need.OfSet || t.to.Kind == need.OfAPIServer)
		if known && !f.Dropped {
			c.Needs.Add(from, t.to, t.ports, need.Reason{At: fmt.Sprintf("%s:%d", l.Name, f.Line), Says: says})
		}
	}
}

// called names an end by what is known of it, else as the log does.
func called(e need.End, p flows.Peer) string {
	if e.Kind == need.OfSet {
		return e.String()
	}
	return need.Printable(p.String())
}

func worldAddress(f *flows.Flow, from, to need.End) netip.Addr {
	switch {
	case to.Kind == need.OfBlock:
		return f.Dst.Address
	case from.Kind == need.OfBlock:
		return f.Src.Address
	}
	return netip.Addr{}
}

// podAddresses are those that objects of bare pods tell, where the objects were kept.
func (c *catalog) podAddresses(wanted bool) map[netip.Addr]*evidence.Workload {
	found := map[netip.Addr]*evidence.Workload{}
	for _, w := range c.Snap.Workloads {
		if !wanted || w.Kind != "Pod" || w.Pod.HostNetwork {
			continue
		}
		var pod struct {
			Status struct {
				PodIPs []corev1.PodIP `json:"podIPs"`
				PodIP  string         `json:"podIP"`
			} `json:"status"`
		}
		if !need.Decode(w.Ref, &pod) {
			continue
		}
		for _, ip := range append(pod.Status.PodIPs, corev1.PodIP{IP: pod.Status.PodIP}) {
			if a, err := netip.ParseAddr(ip.IP); err == nil {
				found[a.Unmap()] = w
			}
		}
	}
	return found
}

// serviceOf is the Service that a peer is, by its address or its name.
func (c *catalog) serviceOf(p flows.Peer) *evidence.Object[corev1.Service] {
	if s, ok := c.ServiceAt(p.Address); ok && p.Name == "" {
		return s
	}
	if p.Kind == "Service" || p.Kind == "" && p.Name != "" && c.workload(p) == nil {
		return c.Services[need.Name{Namespace: p.Namespace, Name: p.Name}]
	}
	return nil
}

// peer is the end that a log speaks of, or why that is not known.
func (c *catalog) peer(p flows.Peer, pods map[netip.Addr]*evidence.Workload) (need.End, string) {
	if p.Name != "" {
		if w := c.workload(p); w != nil {
			return c.EndOf(w), ""
		}
		return need.End{}, fmt.Sprintf("%s/%s is no workload that was read", need.Printable(p.Namespace), need.Printable(p.Name))
	}
	switch p.Entity {
	case "host", "remote-node", "ingress":
		return need.End{Kind: need.OfNodes}, ""
	case "kube-apiserver":
		return need.End{Kind: need.OfAPIServer}, ""
	}
	switch a := p.Address; {
	case !a.IsValid() && p.Entity == "world" || !a.IsValid() && p.Domain != "":
		return need.End{Kind: need.OfWorld, Name: "the outside"}, ""
	case !a.IsValid():
		return need.End{}, "an end has neither a name nor an address"
	case pods[a] != nil:
		return c.EndOf(pods[a]), ""
	case c.Nodes.Contains(a):
		return need.End{Kind: need.OfNodes}, ""
	case c.APIServer.Contains(a):
		return need.End{Kind: need.OfAPIServer}, ""
	case p.Entity == "" && !need.Metadata().Contains(a) && (c.Pods.Contains(a) || c.Pods.Empty() && reach.Private().Contains(a)):
		return need.End{}, "addresses that belong to no workload, Service or node that was read"
	}
	return need.End{Kind: need.OfBlock, Block: cidr.Address(p.Address)}, ""
}

// workload is the one that a log names: by kind and name, by the labels of the pod, or
// by the name that its controller gives to a pod.
func (c *catalog) workload(p flows.Peer) *evidence.Workload {
	p.Address, p.Domain, p.Entity = netip.Addr{}, "", ""
	w, known := c.peers[p]
	if !known {
		w = c.find(p)
		c.peers[p] = w
	}
	return w
}

func (c *catalog) find(p flows.Peer) *evidence.Workload {
	var byLabels, byPod *evidence.Workload
	labels := map[string]string{}
	for _, pair := range strings.Split(p.Labels, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			labels[key] = value
		}
	}
	for _, w := range c.Snap.Workloads {
		if w.Namespace != p.Namespace {
			continue
		}
		if w.Name == p.Name && (p.Kind == "" || strings.EqualFold(p.Kind, w.Kind) || p.Kind == "Pod" && w.Kind == "Pod") {
			return w
		}
		if len(labels) > 0 && len(w.PodLabels) > 0 && subset(need.Stable(w), labels) && (byLabels == nil || len(w.PodLabels) > len(byLabels.PodLabels)) {
			byLabels = w
		}
		if podOf(w, p.Name) && (byPod == nil || len(w.Name) > len(byPod.Name)) {
			byPod = w
		}
	}
	if byLabels != nil {
		return byLabels
	}
	return byPod
}

func subset(of, whole map[string]string) bool {
	for key, value := range of {
		if have, ok := whole[key]; !ok || have != value {
			return false
		}
	}
	return len(of) > 0
}

var podSuffix = regexp.MustCompile(`^(?:-[a-z0-9]{1,10}){1,2}$`)

// podOf reports whether a name is one that the controller of a workload gives to pods,
// or to what makes them.
func podOf(w *evidence.Workload, name string) bool {
	rest, ok := strings.CutPrefix(name, w.Name)
	return ok && w.Kind != "Pod" && podSuffix.MatchString(rest)
}

// drops says which observed connections the policies would drop, together with those
// that are there, and which are dropped as it is.
func (p *proof) drops(seen *observed) (then, now []string) {
	full, existing := asked{}, asked{}
	for _, s := range seen.list {
		if s.dropped || !p.c.isGoverned(s.from) && !p.c.isGoverned(s.to) {
			continue
		}
		if full.lets(p.full, s) == no {
			then = append(then, s.says)
		}
		if existing.lets(p.c.Graph, s) == no {
			now = append(now, s.says)
		}
	}
	return then, now
}

type answer uint8

const (
	yes answer = iota
	no
	perhaps
)

// asked are the answers of one graph, each asked for once.
type asked map[string]answer

func (a asked) lets(g *reach.Graph, s sighting) answer {
	key := fmt.Sprintf("%s > %s : %s %s", s.from.Key(), s.to.Key(), s.address, s.ports.Key())
	result, known := a[key]
	if !known {
		result = lets(g, s)
		a[key] = result
	}
	return result
}

// lets asks a graph about a sighting: it must be open between all pods that may have
// been meant.
func lets(g *reach.Graph, s sighting) answer {
	result := perhaps
	for _, src := range g.Endpoints() {
		if !meant(s.from, src, s.address) {
			continue
		}
		for _, dst := range g.Endpoints() {
			if !meant(s.to, dst, s.address) {
				continue
			}
			switch c := g.Between(src, dst); {
			case !c.Ports.Union(c.Unknown).Covers(s.ports):
				return no
			case c.Ports.Covers(s.ports):
				result = yes
			}
		}
	}
	return result
}

// meant reports whether an endpoint is who was seen.
func meant(e need.End, at *reach.Endpoint, a netip.Addr) bool {
	switch e.Kind {
	case need.OfSet:
		return slices.ContainsFunc(at.Workloads, func(w *evidence.Workload) bool { return slices.Contains(e.Set.Workloads, w) })
	case need.OfNodes:
		return at.Kind == netpol.OfHost
	case need.OfAPIServer:
		return at.Kind == netpol.OfAPIServer
	}
	return at.Kind == netpol.OfWorld && (!a.IsValid() || at.Addresses.Contains(a))
}
