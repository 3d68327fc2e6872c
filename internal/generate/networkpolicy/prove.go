package networkpolicy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A proof weighs the policies as they are printed. Besides the workloads that were
// read it has pods that stand for others: a stranger in each governed namespace and
// one elsewhere, and name servers where none were read.
type proof struct {
	c     *catalog
	needs []*need.Need
	// own are the policies that were written, as they were read again.
	own []*evidence.Object[networkingv1.NetworkPolicy]
	// ownCustom are those of other kinds.
	ownCustom []*evidence.Custom
	graph     *reach.Graph // the written policies by themselves
	full      *reach.Graph // with those that are there
	wanted    map[pair]expectation
}

type pair struct{ src, dst int }

// An expectation is what is to be open between two endpoints, and what may be since
// no policy can be that narrow.
type expectation struct{ want, may ports.Set }

func newProof(c *catalog, list []*need.Need, text string) (*proof, error) {
	p := &proof{c: c, needs: list}
	for _, part := range documents(text) {
		if err := p.read(part); err != nil {
			return nil, fmt.Errorf("read again what was written: %w", err)
		}
	}
	p.graph = reach.NewGraph(p.world(false), p.network())
	p.full = reach.NewGraph(p.world(true), p.network())
	for _, bad := range p.graph.Invalid() {
		return nil, fmt.Errorf("%s, as written, is not valid: %w", bad.Ref, bad.Err)
	}
	if got, want := len(p.graph.Policies()), len(p.own)+len(p.ownCustom); got != want {
		return nil, fmt.Errorf("of %d policies that were written %d are in force", want, got)
	}
	return p, nil
}

// documents are those of a text, without empty ones.
func documents(text string) (list []string) {
	for _, part := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(part) != "" {
			list = append(list, part)
		}
	}
	return list
}

// network are the ranges that the blocks were written with.
func (p *proof) network() reach.Options { return p.c.options.Network }

// read takes one document as the API server would.
func (p *proof) read(part string) error {
	if p.c.options.Flavour == Kubernetes {
		var np networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(part), &np); err != nil {
			return err
		}
		ref := &evidence.Ref{APIVersion: np.APIVersion, Kind: np.Kind, Namespace: np.Namespace, Name: np.Name, Labels: np.Labels}
		p.own = append(p.own, &evidence.Object[networkingv1.NetworkPolicy]{Ref: ref, Value: &np})
		return nil
	}
	text, err := yaml.YAMLToJSONStrict([]byte(part))
	if err != nil {
		return err
	}
	var object struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	ref := &evidence.Ref{APIVersion: object.APIVersion, Kind: object.Kind, Namespace: object.Namespace, Name: object.Name, Labels: object.Labels}
	p.ownCustom = append(p.ownCustom, &evidence.Custom{Ref: ref, JSON: text})
	return nil
}

// world is the snapshot with the written policies, and with those that are there or
// without.
func (p *proof) world(existing bool) *evidence.Snapshot {
	w := *p.c.Snap
	w.Workloads = slices.Clone(w.Workloads)
	w.Namespaces = slices.Clone(w.Namespaces)
	w.Objects = slices.Clone(w.Objects)
	old, oldCustom := w.NetworkPolicies, w.Custom
	w.NetworkPolicies, w.Custom = nil, nil
	for _, o := range old {
		if existing && !(p.c.governed[o.Namespace] && o.Labels[managedBy] == manager) {
			w.NetworkPolicies = append(w.NetworkPolicies, o)
		}
	}
	for _, o := range oldCustom {
		if !decides(o.Ref) || existing && !(p.c.governed[o.Namespace] && o.Labels[managedBy] == manager) {
			w.Custom = append(w.Custom, o)
		}
	}
	for _, o := range p.own {
		w.Add(o.Ref, o.Value)
	}
	for _, o := range p.ownCustom {
		w.Add(o.Ref, o)
	}
	p.strangers(&w)
	return &w
}

// decides reports whether a custom object may be a policy.
func decides(ref *evidence.Ref) bool {
	switch ref.Group() {
	case "cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io", "security.istio.io":
		return true
	}
	return false
}

// elsewhereNamespace is no namespace that anybody can have: its name is not valid.
const elsewhereNamespace = "(another namespace)"

func (p *proof) strangers(w *evidence.Snapshot) {
	add := func(namespace, name string, labels map[string]string) {
		ref := &evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, Labels: labels}
		pod := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &metav1.ObjectMeta{Labels: labels}, &corev1.PodSpec{})
		w.Add(ref, []*evidence.Workload{pod})
	}
	other := map[string]string{"gabion.dev/stranger": "stranger"}
	for _, namespace := range slices.Sorted(maps.Keys(p.c.governed)) {
		add(namespace, "(another pod)", other)
	}
	w.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: elsewhereNamespace}, &corev1.Namespace{})
	add(elsewhereNamespace, "(another pod)", other)
	dns := need.DNSPods()
	if !slices.ContainsFunc(w.Workloads, func(w *evidence.Workload) bool {
		return w.Namespace == dns.Namespace && subset(dns.Labels, w.PodLabels)
	}) {
		add(dns.Namespace, "(name servers)", dns.Labels)
	}
}

// expect is what the needs make of a graph's endpoints.
func (p *proof) expect(g *reach.Graph) map[pair]expectation {
	all := map[pair]expectation{}
	note := func(from, to need.End, set ports.Set) {
		for _, src := range g.Endpoints() {
			a := p.c.match(from, src)
			if a == no {
				continue
			}
			for _, dst := range g.Endpoints() {
				b := p.c.match(to, dst)
				if b == no {
					continue
				}
				e := all[pair{src.ID, dst.ID}]
				if a == yes && b == yes {
					e.want = e.want.Union(set)
				} else {
					e.may = e.may.Union(set)
				}
				all[pair{src.ID, dst.ID}] = e
			}
		}
	}
	for _, n := range p.needs {
		note(n.From, n.To, n.Ports)
	}
	for _, r := range p.c.Resolvers() {
		for _, src := range g.Endpoints() {
			if src.Kind != netpol.OfPod || !p.c.governed[src.Namespace] {
				continue
			}
			for _, dst := range g.Endpoints() {
				b := p.c.match(r.To, dst)
				// A name server that stands for one that was not read has no policy that lets
				// anybody in.
				if b == no || b == yes && p.c.governed[dst.Namespace] && len(dst.Workloads) > 0 && p.c.Of[dst.Workloads[0]] == nil {
					continue
				}
				e := all[pair{src.ID, dst.ID}]
				if b == yes {
					e.want = e.want.Union(r.Ports)
				} else {
					e.may = e.may.Union(r.Ports)
				}
				all[pair{src.ID, dst.ID}] = e
			}
		}
	}
	return all
}

// match reports whether an endpoint is surely meant by an end, or perhaps: where
// addresses stand for what cannot be named, an endpoint that may have one of them.
func (c *catalog) match(e need.End, at *reach.Endpoint) answer {
	switch e.Kind {
	case need.OfSet:
		if slices.ContainsFunc(at.Workloads, func(w *evidence.Workload) bool { return c.Of[w] == e.Set }) {
			return yes
		}
		return no
	case need.OfLabels:
		if at.Kind == netpol.OfPod && at.Namespace == e.Namespace && labels.SelectorFromSet(e.Labels).Matches(labels.Set(at.Workloads[0].PodLabels)) {
			return yes
		}
		return no
	case need.OfAnyPod:
		switch {
		case at.Kind != netpol.OfPod:
			return no
		case c.governed[at.Namespace]:
			return perhaps // let in, but not let out for it
		}
		return yes
	}
	set := c.addresses(e)
	switch {
	case e.Kind == need.OfAPIServer && at.Kind == netpol.OfAPIServer, e.Kind == need.OfNodes && at.Kind == netpol.OfHost && len(at.Workloads) == 0:
		return yes
	case at.Name == "cloud metadata" && e.Kind != need.OfOutside:
		return no
	case c.options.Flavour == Cilium && e.Kind == need.OfWorld:
		if at.Kind == netpol.OfWorld || at.Kind == netpol.OfAPIServer {
			return perhaps // which addresses a name has is not known
		}
		return no
	case at.Kind == netpol.OfWorld && set.Covers(at.Addresses) && e.Kind != need.OfAPIServer && e.Kind != need.OfNodes:
		return yes
	case c.options.Flavour == Cilium && at.Kind == netpol.OfPod:
		return no // addresses never mean pods there
	case e.Kind == need.OfOutside && at.Kind != netpol.OfPod, e.Kind == need.OfNodes && at.Kind == netpol.OfHost, set.Overlaps(at.Addresses):
		return perhaps
	}
	return no
}

// addresses are those of an end's blocks.
func (c *catalog) addresses(e need.End) (set cidr.Set) {
	for _, b := range c.Blocks(e) {
		set = set.Union(b.Set())
	}
	return set
}

// alone proves the written policies by themselves: what is needed is open, and
// nothing else.
func (p *proof) alone() error {
	p.wanted = p.expect(p.graph)
	ends := p.graph.Endpoints()
	var cut, opened []string
	for at, e := range p.wanted {
		src, dst := ends[at.src], ends[at.dst]
		if e.want.Empty() || !p.judged(src, dst) {
			continue
		}
		c := p.graph.Between(src, dst)
		have := c.Ports
		if src.Kind != netpol.OfPod || dst.Kind != netpol.OfPod || partial(src) || partial(dst) {
			have = have.Union(c.Unknown)
		}
		if lost := e.want.Minus(have); !lost.Empty() {
			cut = append(cut, fmt.Sprintf("needed, and not open: %s => %s : %s", describe(src), describe(dst), lost))
		}
	}
	for c := range p.graph.Connections() {
		if !p.judged(c.Src, c.Dst) {
			continue
		}
		if extra := p.extra(c); !extra.Empty() {
			opened = append(opened, fmt.Sprintf("open, and not needed: %s => %s : %s", describe(c.Src), describe(c.Dst), extra))
		}
	}
	if len(cut)+len(opened) == 0 {
		return nil
	}
	slices.Sort(cut)
	slices.Sort(opened)
	return &Refusal{"the policies would not do what they should, and are not printed", append(cut, opened...)}
}

// judged reports whether the policies have a say between two endpoints. A node's
// connections to pods no policy of Kubernetes can refuse.
func (p *proof) judged(src, dst *reach.Endpoint) bool {
	if src.Kind == netpol.OfHost && p.c.options.Flavour == Kubernetes {
		return false
	}
	return src.Kind == netpol.OfPod && p.c.governed[src.Namespace] || dst.Kind == netpol.OfPod && p.c.governed[dst.Namespace]
}

// extra is what a connection has beyond what is needed. What hangs on labels that
// controllers add, or on which node a pod runs, is not counted.
func (p *proof) extra(c reach.Connection) ports.Set {
	e := p.wanted[pair{c.Src.ID, c.Dst.ID}]
	open := c.Ports
	switch {
	case partial(c.Src) || partial(c.Dst):
		if !c.Unknown.Empty() {
			p.c.Notes.Addf("%s: what its controller adds to the labels is not known, and so not certain what is open", describe(partialOf(c.Src, c.Dst)))
		}
	case c.Dst.Kind != netpol.OfHost:
		open = open.Union(c.Unknown)
	}
	open = open.Minus(e.want.Union(e.may))
	if c.Src.Kind == netpol.OfHost && p.c.options.Flavour != Kubernetes {
		open = ports.Set{} // the own node reaches its pods whatever policies say
	}
	return open
}

func partialOf(a, b *reach.Endpoint) *reach.Endpoint {
	if partial(a) {
		return a
	}
	return b
}

// partial reports whether what the pods of an endpoint are labelled is not all known.
func partial(e *reach.Endpoint) bool {
	return slices.ContainsFunc(e.Workloads, func(w *evidence.Workload) bool { return w.Partial != "" || w.ByShape })
}

// describe names an endpoint.
func describe(e *reach.Endpoint) string {
	switch {
	case len(e.Workloads) > 1:
		return fmt.Sprintf("%s and %d more", e.Workloads[0].Ref, len(e.Workloads)-1)
	case len(e.Workloads) == 1:
		return e.Workloads[0].Ref.String()
	case e.Name != "":
		return e.Name
	}
	return e.Addresses.String()
}

// withExisting weighs the written policies together with those that are there: what
// is needed must be open all the same. What they open beyond it is told, by policy.
func (p *proof) withExisting() ([]string, error) {
	if len(p.full.Policies()) == len(p.graph.Policies()) {
		return nil, nil
	}
	cilium := p.c.options.Flavour == Kubernetes && p.full.Enforcement() == netpol.Cilium
	if cilium {
		p.c.Notes.Addf("Policies of Cilium are there: it matches nodes, and an API server on them, by no address; write its own kind (--cilium)")
	}
	ends := p.full.Endpoints()
	wanted := p.expect(p.full)
	var cut []string
	for at, e := range wanted {
		src, dst := ends[at.src], ends[at.dst]
		if e.want.Empty() || !p.judged(src, dst) {
			continue
		}
		c := p.full.Between(src, dst)
		if lost := e.want.Minus(c.Ports.Union(c.Unknown)); !lost.Empty() {
			cut = append(cut, fmt.Sprintf("needed, and not open: %s => %s : %s%s", describe(src), describe(dst), lost, p.denier(src, dst, lost)))
		}
	}
	if len(cut) > 0 {
		slices.Sort(cut)
		what := "policies that are there keep closed what is needed"
		if cilium {
			what = "with Cilium, which matches no node and no API server by its address, needed connections would be closed (try --cilium)"
		}
		return nil, &Refusal{what, cut}
	}
	return p.reopened(wanted), nil
}

// denier names a policy of others that denies.
func (p *proof) denier(src, dst *reach.Endpoint, set ports.Set) string {
	for _, s := range p.full.Explain(src, dst, set).Steps {
		if s.Policy != nil && s.Action == netpol.Deny && s.Policy.Labels[managedBy] != manager {
			return ", denied by " + s.Policy.String()
		}
	}
	return ""
}

// maxExplained bounds how many pairs are asked for the policy that opens them.
const maxExplained = 2000

// reopened is what existing policies open beyond what is needed.
func (p *proof) reopened(wanted map[pair]expectation) []string {
	p.wanted = wanted
	pairs := map[string]int{}
	example := map[string]string{}
	asked := 0
	for c := range p.full.Connections() {
		if !p.judged(c.Src, c.Dst) {
			continue
		}
		extra := p.extra(c)
		if extra.Empty() {
			continue
		}
		by := "policies that are there"
		if asked++; asked <= maxExplained {
			by = p.opener(c.Src, c.Dst, extra)
		}
		if pairs[by]++; pairs[by] == 1 {
			example[by] = fmt.Sprintf("%s => %s : %s", describe(c.Src), describe(c.Dst), extra)
		}
	}
	var list []string
	for _, by := range slices.Sorted(maps.Keys(pairs)) {
		text := fmt.Sprintf("%s: %s", by, example[by])
		if n := pairs[by] - 1; n > 0 {
			text += fmt.Sprintf(", and %s more", count(n, "connection"))
		}
		list = append(list, text)
	}
	return list
}

// opener names the rules of others that allow.
func (p *proof) opener(src, dst *reach.Endpoint, set ports.Set) string {
	var by []string
	for _, s := range p.full.Explain(src, dst, set).Steps {
		if s.Policy == nil || s.Policy.Labels[managedBy] == manager || s.Action != netpol.Allow && s.Unknown == "" {
			continue
		}
		text := s.Policy.String()
		if s.Rule != nil {
			text += ", " + s.Rule.Path.String()
		}
		if !slices.Contains(by, text) {
			by = append(by, text)
		}
	}
	if len(by) == 0 {
		return "policies that are there"
	}
	return strings.Join(by, " with ")
}
