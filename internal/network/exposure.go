package network

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
	"github.com/gabion-k8s/gabion/internal/report"
)

// An Exposure says what the outside reaches, what reaches the outside, and what
// reaches the parts of a cluster by which it is taken over.
type Exposure struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Inbound    []Inbound `json:"inbound"`
	// Outbound are connections of pods to addresses outside; Metadata those to the
	// metadata addresses of clouds, Kubelets, Etcd and APIServer those to where these
	// listen by default.
	Outbound  []Connection `json:"outbound"`
	Metadata  []Connection `json:"metadata"`
	Kubelets  []Connection `json:"kubelets"`
	Etcd      []Connection `json:"etcd"`
	APIServer []Connection `json:"apiServer"`
	// UnknownInbound and Unknown are those of which it is not known whether they are
	// allowed, with the reason.
	UnknownInbound []Inbound      `json:"unknownInbound"`
	Unknown        []Connection   `json:"unknown"`
	Warnings       []string       `json:"warnings"`
	Gaps           []evidence.Gap `json:"gaps"`

	sections []section
}

// An Inbound is what the outside reaches by one way in.
type Inbound struct {
	Connection
	Way Way `json:"way"`
	// AdmittedBy are the rules that let the connection in; empty where no policy is about
	// the pods.
	AdmittedBy []PolicyRule `json:"admittedBy"`

	src  string
	into ports.Set
}

// A Way is by what the outside gets to pods.
type Way struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// How is LoadBalancer, NodePort, externalIPs, hostPort, hostNetwork, or the kind of an
	// Ingress or a route.
	How string `json:"how"`
	// Ports are those that the outside connects to, as far as they are known; an entry
	// without a port is all of a protocol.
	Ports []Port `json:"ports"`
	// Service is what an Ingress or a route sends to.
	Service string `json:"service,omitempty"`
	// Via are the pods of the proxies in between, where they were found.
	Via []Peer `json:"via,omitempty"`
}

// A section is connections to one sort of destination, as people read them.
type section struct {
	title string
	// lines are the sources by where they reach.
	lines []line
}

// Expose works out what is exposed in some worlds. Ports limits what is asked about;
// empty is all. With a namespace only its workloads are told of.
func Expose(worlds []*World, f Filter) *Exposure {
	x := &Exposure{APIVersion: APIVersion, Kind: ExposureKind,
		Inbound: []Inbound{}, Outbound: []Connection{}, Metadata: []Connection{}, Kubelets: []Connection{}, Etcd: []Connection{}, APIServer: []Connection{},
		UnknownInbound: []Inbound{}, Unknown: []Connection{}, Warnings: []string{}, Gaps: []evidence.Gap{}}
	for _, w := range worlds {
		e := &exposing{World: w, doc: x, filter: f, outside: newOutside(w.Graph.Endpoints()), all: newWhole(w)}
		e.inbound()
		e.outbound()
	}
	return x
}

// An exposing is the work on one world.
type exposing struct {
	*World
	doc     *Exposure
	filter  Filter
	outside outside
	all     *whole
}

func (e *exposing) asked(set ports.Set) ports.Set {
	if e.filter.Ports.Empty() {
		return set
	}
	return set.Intersect(e.filter.Ports)
}

func (e *exposing) inbound() {
	for _, way := range e.Graph.Ways(e.Snap) {
		if e.filter.Namespace != "" && (way.Workload == nil && way.By.Namespace != e.filter.Namespace || way.Workload != nil && way.Workload.Namespace != e.filter.Namespace) {
			continue
		}
		for _, a := range e.Graph.Admit(way) {
			e.admitted(&way, &a)
		}
	}
	compare := func(a, b Inbound) int {
		return cmp.Or(comparePeers(a.Dst, b.Dst), cmp.Compare(a.Way.Kind, b.Way.Kind), cmp.Compare(a.Way.Namespace, b.Way.Namespace),
			cmp.Compare(a.Way.Name, b.Way.Name), cmp.Compare(a.Way.How, b.Way.How))
	}
	slices.SortStableFunc(e.doc.Inbound, compare)
	slices.SortStableFunc(e.doc.UnknownInbound, compare)
}

// admitted writes down what policies make of a way for a part of the outside.
func (e *exposing) admitted(way *reach.Way, a *reach.Admission) {
	row := Inbound{Way: e.way(way), AdmittedBy: []PolicyRule{}}
	switch {
	case way.Workload != nil:
		row.Dst = e.workloadPeer(way.Workload)
	case way.Endpoint != nil:
		for p := range e.peers(side{endpoint: way.Endpoint}) {
			row.Dst = p
		}
	default:
		row.Dst = Peer{Namespace: way.By.Namespace, Kind: way.By.Kind, Name: way.By.Name, Cluster: e.Name}
	}
	for _, s := range a.Steps {
		if s.Action == netpol.Allow && s.Policy != nil && !s.Ports.Empty() {
			if rule := policyRule(s.Policy, s.Rule); !slices.ContainsFunc(row.AdmittedBy, func(have PolicyRule) bool { return have.Path == rule.Path && have.object() == rule.object() }) {
				row.AdmittedBy = append(row.AdmittedBy, *rule)
			}
		}
	}
	sets := []struct {
		set    ports.Set
		list   *[]Inbound
		reason string
	}{{e.asked(a.Ports), &e.doc.Inbound, ""}, {e.asked(a.Unknown), &e.doc.UnknownInbound, a.Reason}}
	for _, part := range sets {
		if part.set.Empty() {
			continue
		}
		row.Ports, row.Reason, row.set, row.into = portList(part.set), part.reason, part.set, way.Front
		row.Limited = a.Limited && part.reason == ""
		for _, s := range e.sources(a.From, way.From) {
			row.src = e.all.in(e.all.outsideName(s))
			for src := range e.peers(s) {
				row.Src = src
				*part.list = append(*part.list, row)
			}
		}
	}
}

// sources are endpoints outside as sides, those without a name put together, as far as
// a way is open to them.
func (e *exposing) sources(list []*reach.Endpoint, from cidr.Set) (sides []side) {
	var set cidr.Set
	same := func(one *reach.Endpoint) bool { return slices.Contains(list, one) || one.Name == metadataName }
	for _, one := range list {
		if unnamed(one) {
			set = set.Union(one.Addresses)
		} else {
			named := *one
			named.Addresses = one.Addresses.Intersect(from)
			sides = append(sides, side{endpoint: &named})
		}
	}
	if set = e.outside.merged(set, same).Intersect(from); !set.Empty() {
		sides = append([]side{{outside: set}}, sides...)
	}
	return sides
}

func (e *exposing) way(w *reach.Way) Way {
	way := Way{Kind: w.By.Kind, Namespace: w.By.Namespace, Name: w.By.Name, How: w.How, Ports: explicit(w.Front)}
	if w.Service != nil {
		way.Service = w.Service.Namespace + "/" + w.Service.Name
	}
	for _, p := range w.Proxies {
		way.Via = append(way.Via, e.workloadPeers(p)...)
	}
	return way
}

// The ports that kubelets and etcd listen on by default.
func kubeletPorts() ports.Set {
	return ports.Of(ports.TCP, 10250, 10250).Union(ports.Of(ports.TCP, 10255, 10255))
}
func etcdPorts() ports.Set { return ports.Of(ports.TCP, 2379, 2380) }
func apiServerPorts() ports.Set {
	return ports.Of(ports.TCP, 443, 443).Union(ports.Of(ports.TCP, 6443, 6443))
}

func (e *exposing) outbound() {
	var world []*reach.Endpoint
	for _, one := range e.Graph.World() {
		if one.Name != metadataName {
			world = append(world, one)
		}
	}
	g := e.Graph
	e.reached("What reaches the outside", world, ports.All(), &e.doc.Outbound)
	e.reached("What reaches the metadata of clouds", g.Metadata(), ports.All(), &e.doc.Metadata)
	e.reached("What reaches kubelets", g.Nodes(), kubeletPorts(), &e.doc.Kubelets)
	e.reached("What reaches etcd", e.etcd(), etcdPorts(), &e.doc.Etcd)
	e.reached("What reaches the API server", []*reach.Endpoint{g.APIServer()}, apiServerPorts(), &e.doc.APIServer)
}

// etcd is where etcd may listen: the nodes that are known to run the control plane, and
// pods of it; all nodes where none is known.
func (e *exposing) etcd() (list []*reach.Endpoint) {
	control := map[string]bool{}
	for _, n := range e.Snap.Nodes {
		for _, label := range []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master", "node-role.kubernetes.io/etcd"} {
			if _, has := n.Labels[label]; has {
				control[n.Name] = true
			}
		}
	}
	for _, one := range e.Graph.Nodes() {
		if len(control) == 0 || control[one.Name] {
			list = append(list, one)
		}
	}
	for _, one := range e.Graph.Endpoints() {
		if slices.ContainsFunc(one.Workloads, func(w *evidence.Workload) bool { return w.Pod != nil && runsEtcd(w) }) {
			list = append(list, one)
		}
	}
	return list
}

// runsEtcd reports whether a container of a workload is etcd, by its image.
func runsEtcd(w *evidence.Workload) bool {
	for c := range w.Containers() {
		image, _, _ := strings.Cut(c.Image, "@")
		image = image[strings.LastIndexByte(image, '/')+1:]
		if name, _, _ := strings.Cut(image, ":"); name == "etcd" {
			return true
		}
	}
	return false
}

// reached writes down which pods reach some endpoints on certain ports.
func (e *exposing) reached(title string, to []*reach.Endpoint, on ports.Set, list *[]Connection) {
	q := e.query(Filter{Ports: e.asked(on), To: []*Target{{Endpoints: to}}}, 0, true)
	if e.asked(on).Empty() {
		return
	}
	type lineKey struct {
		dst string
		outcomeKey
	}
	sources := map[lineKey][]side{}
	var order []lineKey
	lines := map[lineKey]line{}
	q.outgoing(func(l link) bool {
		if len(l.src.endpoint.Workloads) == 0 || e.filter.Namespace != "" && l.src.endpoint.Namespace != e.filter.Namespace || l.src.endpoint == l.dst.endpoint {
			return true
		}
		e.expand(&l, Filter{}, 0, l.ports, allowed, func(row Connection) bool { *list = append(*list, row); return true })
		if !l.unknown.Empty() {
			e.expand(&l, Filter{}, 0, l.unknown, uncertain, func(row Connection) bool { e.doc.Unknown = append(e.doc.Unknown, row); return true })
		}
		if l.ports.Empty() {
			return true
		}
		for _, dst := range e.all.places(l.dst, nil) {
			key := lineKey{dst.text, l.key()}
			if len(sources[key]) == 0 {
				order = append(order, key)
				lines[key] = newLine(place{}, dst, l.ports, l.limited)
			}
			sources[key] = append(sources[key], l.src)
		}
		return true
	})
	s := section{title: title}
	for _, key := range order {
		l := lines[key]
		for _, src := range e.all.destinations(sources[key], nil) {
			l.src = src
			s.lines = append(s.lines, l)
		}
	}
	e.doc.sections = append(e.doc.sections, s)
}

// WriteExposure writes what is exposed for people.
func WriteExposure(w io.Writer, x *Exposure) error {
	b := bufio.NewWriter(w)
	b.WriteString("What the outside reaches\n\n")
	if len(x.Inbound) == 0 {
		b.WriteString("  nothing, as far as is known\n")
	}
	writeInbound(b, x.Inbound)
	if len(x.UnknownInbound) > 0 {
		b.WriteString("\nWhat the outside may reach\n\n")
		writeInbound(b, x.UnknownInbound)
	}
	for _, s := range x.sections {
		fmt.Fprintf(b, "\n%s\n\n", s.title)
		if len(s.lines) == 0 {
			b.WriteString("  nothing, as far as is known\n")
		}
		for _, l := range s.lines {
			fmt.Fprintf(b, "  %s => %s : %s\n", report.Printable(l.src.text), report.Printable(l.dst.text), l.portText)
		}
	}
	writeDoubts(b, countDoubts(slices.Values(x.Unknown)))
	return b.Flush()
}

// writeInbound writes each connection once, whatever prefixes its source takes.
func writeInbound(b *bufio.Writer, list []Inbound) {
	last := ""
	for i := range list {
		r := &list[i]
		head := fmt.Sprintf("  %s => %s : %s", report.Printable(r.src), report.Printable(r.Dst.String()), portWords(r.set))
		by := "      by " + report.Printable(r.Way.String())
		if !r.into.Empty() && !r.into.Equal(ports.All()) {
			by += " on " + r.into.String()
		}
		why := "; no policy is about it"
		if len(r.AdmittedBy) > 0 {
			var rules []string
			for _, a := range r.AdmittedBy {
				rules = append(rules, a.short())
			}
			why = ";\n      let in by " + report.Printable(strings.Join(rules, ", "))
		}
		if r.Reason != "" {
			why = ""
		} else if r.Limited {
			why += " (some requests only)"
		}
		if text := head + "\n" + by + why + "\n"; text+r.Reason != last {
			last = text + r.Reason
			b.WriteString(text)
			if r.Reason != "" {
				writeWords(b, "      not known: ", r.Reason)
			}
		}
	}
}

// short names the rule: NetworkPolicy shop/web, rule 0.
func (r PolicyRule) short() string {
	if r.Rule == nil {
		return r.object()
	}
	return fmt.Sprintf("%s, rule %d", r.object(), *r.Rule)
}

// String says by what: Service shop/web (LoadBalancer).
func (w Way) String() string {
	text := w.Kind + " " + w.Namespace + "/" + w.Name
	if w.How != w.Kind {
		text += " (" + w.How + ")"
	}
	if w.Service != "" {
		text += ", Service " + w.Service
	}
	if len(w.Via) > 0 {
		text += ", through " + w.Via[0].String()
		if len(w.Via) > 1 {
			text += fmt.Sprintf(" and %d more", len(w.Via)-1)
		}
	}
	return text
}
