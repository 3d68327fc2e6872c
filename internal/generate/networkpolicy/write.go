package networkpolicy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A policy is what is written for a set of pods, or for all of a namespace.
type policy struct {
	namespace, name string
	// set is whom it is about; nil for every pod of the namespace.
	set *need.Set
	// about says above the policy what it is for.
	about           []string
	ingress, egress []rule
	// denies is set on the policy that isolates every pod.
	denies bool
	in     language
}

// A rule opens one direction to one peer.
type rule struct {
	peer    need.End
	ports   ports.Set
	reasons []need.Reason
	more    int
}

// A language is how a flavour spells policies.
type language interface {
	kind() (apiVersion, kind string)
	// spec is the part of a spec that is no rules.
	spec(p *policy) map[string]any
	// rule is a rule of a policy in one direction; some languages need several.
	rule(c *catalog, p *policy, r rule, ingress bool) []map[string]any
	// closed is what a list of rules is that allows nothing.
	closed() []map[string]any
}

// write makes the policies of the governed namespaces.
func (c *catalog) write(list []*need.Need) []*document {
	var in language = kubernetesLanguage{}
	switch c.options.Flavour {
	case Cilium:
		in = ciliumLanguage{}
	case Calico:
		in = calicoLanguage{}
	}
	var policies []*policy
	for _, namespace := range slices.Sorted(maps.Keys(c.governed)) {
		policies = append(policies, c.deny(namespace), c.naming(namespace))
		for _, s := range c.Sets {
			if s.Namespace != namespace {
				continue
			}
			if p := c.allow(s, list); p != nil {
				policies = append(policies, p)
			}
		}
	}
	documents := make([]*document, len(policies))
	for i, p := range policies {
		p.in = in
		documents[i] = c.document(p)
	}
	return documents
}

func (c *catalog) deny(namespace string) *policy {
	return &policy{namespace: namespace, name: c.free(namespace, "default-deny"), denies: true, about: []string{
		"Every pod of " + need.Printable(namespace) + ", those to come as well: nothing in, nothing out, but for what other policies open (NET-02, NET-03)."}}
}

// naming opens name resolution for every pod.
func (c *catalog) naming(namespace string) *policy {
	p := &policy{namespace: namespace, name: c.free(namespace, "name-resolution"), about: []string{
		"Every pod of " + need.Printable(namespace) + " may ask the cluster's name servers."}}
	for _, r := range c.Resolvers() {
		p.egress = append(p.egress, rule{peer: r.To, ports: r.Ports})
	}
	return p
}

// allow is the policy of a set, nil where it needs nothing.
func (c *catalog) allow(s *need.Set, list []*need.Need) *policy {
	p := &policy{namespace: s.Namespace, name: c.free(s.Namespace, "allow-"+s.Name), set: s, about: []string{need.Printable(s.String())}}
	for _, n := range list {
		if n.To.Kind == need.OfSet && n.To.Set == s {
			p.ingress = append(p.ingress, rule{n.From, n.Ports, n.Reasons, n.More})
		}
		if n.From.Kind == need.OfSet && n.From.Set == s {
			p.egress = append(p.egress, rule{n.To, n.Ports, n.Reasons, n.More})
		}
	}
	if len(p.ingress)+len(p.egress) == 0 {
		return nil
	}
	for _, w := range s.Workloads {
		for container := range w.Containers() {
			if container.LivenessProbe != nil || container.ReadinessProbe != nil || container.StartupProbe != nil {
				p.about = append(p.about, "Its probes need no rule: the kubelet of a pod's own node always reaches it.")
				return p
			}
		}
	}
	return p
}

// free is a name for a policy that no other one has that somebody else wrote.
func (c *catalog) free(namespace, wanted string) string {
	if len(wanted) > 200 {
		sum := fnv.New64a()
		sum.Write([]byte(wanted))
		wanted = fmt.Sprintf("%s-%x", strings.TrimRight(wanted[:180], "-."), sum.Sum64())
	}
	for _, o := range c.Snap.NetworkPolicies {
		if o.Namespace == namespace && o.Name == wanted && o.Labels[managedBy] != manager {
			return "gabion-" + wanted
		}
	}
	for _, o := range c.Snap.Custom {
		if (o.Kind == "CiliumNetworkPolicy" || o.Kind == "NetworkPolicy") && o.Namespace == namespace && o.Name == wanted && o.Labels[managedBy] != manager {
			return "gabion-" + wanted
		}
	}
	return wanted
}

// A document is a policy as it is printed.
type document struct {
	namespace, name string
	text            string
	err             error
}

// A block of rules that are spelled alike but for their ports and reasons.
type spelled struct {
	value    map[string]any
	comments []string
}

func (c *catalog) document(p *policy) *document {
	d := &document{namespace: p.namespace, name: p.name}
	var b strings.Builder
	for _, line := range p.about {
		b.WriteString("# " + line + "\n")
	}
	apiVersion, kind := p.in.kind()
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata:\n", apiVersion, kind)
	d.put(&b, 2, map[string]any{"name": p.name, "namespace": p.namespace, "labels": map[string]string{managedBy: manager}})
	b.WriteString("spec:\n")
	d.put(&b, 2, p.in.spec(p))
	d.rules(&b, c, p, true)
	d.rules(&b, c, p, false)
	d.text = b.String()
	return d
}

// rules writes one direction.
func (d *document) rules(b *strings.Builder, c *catalog, p *policy, ingress bool) {
	name, list := "egress", p.egress
	if ingress {
		name, list = "ingress", p.ingress
	}
	var values []spelled
	if p.denies {
		for _, value := range p.in.closed() {
			values = append(values, spelled{value: value})
		}
	}
	for _, r := range list {
		for i, value := range p.in.rule(c, p, r, ingress) {
			one := spelled{value: value}
			if i == 0 {
				one.comments = c.comments(r, ingress)
			}
			values = append(values, one)
		}
	}
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(b, "  %s:\n", name)
	for _, v := range merged(values) {
		for _, line := range v.comments {
			b.WriteString("    # " + line + "\n")
		}
		d.put(b, 4, []any{v.value})
	}
}

// merged joins rules that are the same, with the comments of all.
func merged(list []spelled) (kept []spelled) {
	for _, one := range list {
		text, _ := json.Marshal(one.value)
		i := slices.IndexFunc(kept, func(k spelled) bool {
			have, _ := json.Marshal(k.value)
			return bytes.Equal(have, text)
		})
		if i < 0 {
			kept = append(kept, one)
		} else {
			kept[i].comments = append(kept[i].comments, one.comments...)
		}
	}
	return kept
}

// comments say to whom a rule opens what, and why.
func (c *catalog) comments(r rule, ingress bool) []string {
	towards := "to "
	if ingress {
		towards = "from "
	}
	list := []string{need.Printable(towards + r.peer.String())}
	const most = 5
	for i, why := range r.reasons {
		if i == most {
			list = append(list, fmt.Sprintf("  and for %d more reasons", len(r.reasons)-most+r.more))
			break
		}
		list = append(list, "  "+need.Printable(why.Ports.String()+": "+why.String()))
	}
	if wide := c.wide(r.peer); wide != "" {
		list = append(list, "  "+need.Printable(wide))
		if r.peer.Kind != need.OfWorld {
			c.Notes.Addf("%s", wide)
		}
	}
	return list
}

// wide is why the addresses of a rule are more than those of its peer, "" when they
// are not.
func (c *catalog) wide(e need.End) string {
	if c.options.Flavour == Cilium {
		return ""
	}
	switch unknown := c.Pods.Empty(); {
	case e.Kind == need.OfWorld:
		return "A policy of this kind knows no names: every public address is open on these ports. If " + e.Name + " has a private one, add its range."
	case e.Kind == need.OfAPIServer && c.APIServer.Empty():
		return "The addresses of the API server are not known: its ports are open at every address but those of metadata. Narrow it by --api-server."
	case e.Kind == need.OfNodes && c.Nodes.Empty():
		return "The addresses of nodes are not known: the ports are open at every private address. Narrow it by --node-cidr."
	case e.Kind == need.OfOutside && e.Block.Empty() && unknown:
		return "The addresses of pods are not known: what is open to the outside is open to pods, too. Narrow it by --pod-cidr."
	case e.Kind == need.OfOutside && !e.Block.Empty() && !e.Local && c.Nodes.Empty():
		return "Nodes send on for clients, and their addresses are not known: it is open to every private address. Narrow it by --node-cidr."
	}
	return ""
}

// put writes a value as YAML, indented.
func (d *document) put(b *strings.Builder, indent int, value any) {
	text, err := yaml.Marshal(value)
	if err != nil {
		d.err = err
		return
	}
	for line := range strings.Lines(string(text)) {
		b.WriteString(strings.Repeat(" ", indent) + line)
	}
}

// render joins the documents.
func render(list []*document) (string, error) {
	var b strings.Builder
	for _, d := range list {
		if d.err != nil {
			return "", fmt.Errorf("write policy %s/%s: %w", d.namespace, d.name, d.err)
		}
		b.WriteString("---\n" + d.text)
	}
	return b.String(), nil
}

const headText = `# Network policies: a default deny for each namespace, and the connections that are
# needed. What the objects do not say is not open: programs connect to more than their
# manifests tell. Lay them down first where an outage hurts nobody, and compare with
# what is seen (--flows).
# Before they were printed they were weighed: every connection that a comment names is
# open, and no other one between workloads, nodes, the API server and the outside.
`

// head is what stands above the policies.
func (c *catalog) head() string {
	text := headText
	if c.options.Flavour == Cilium {
		text += "# Cilium opens names by what it saw resolved: the rule for name resolution passes its proxy.\n"
	}
	return text
}

// kubernetesLanguage spells networking.k8s.io/v1 NetworkPolicies.
type kubernetesLanguage struct{}

func (kubernetesLanguage) kind() (string, string) { return "networking.k8s.io/v1", "NetworkPolicy" }

func (kubernetesLanguage) spec(p *policy) map[string]any {
	selector := &metav1.LabelSelector{}
	if p.set != nil {
		selector = p.set.Selector
	}
	return map[string]any{"podSelector": selector, "policyTypes": p.types()}
}

// types are the directions that a policy is about.
func (p *policy) types() (list []string) {
	if p.denies || len(p.ingress) > 0 {
		list = append(list, "Ingress")
	}
	if p.denies || len(p.egress) > 0 {
		list = append(list, "Egress")
	}
	return list
}

func (kubernetesLanguage) closed() []map[string]any { return nil }

func (kubernetesLanguage) rule(c *catalog, p *policy, r rule, ingress bool) []map[string]any {
	peers := "to"
	if ingress {
		peers = "from"
	}
	var list []any
	switch r.peer.Kind {
	case need.OfSet:
		list = append(list, p.namespaced(r.peer.Set.Namespace, r.peer.Set.Selector))
	case need.OfLabels:
		list = append(list, p.namespaced(r.peer.Namespace, &metav1.LabelSelector{MatchLabels: r.peer.Labels}))
	case need.OfAnyPod:
		list = append(list, map[string]any{"namespaceSelector": map[string]any{}})
	default:
		for _, b := range c.Blocks(r.peer) {
			list = append(list, map[string]any{"ipBlock": b})
		}
	}
	var numbers []any
	for _, p := range r.ports.Ranges() {
		one := map[string]any{"protocol": p.Protocol.String(), "port": p.First}
		if p.Last != p.First {
			one["endPort"] = p.Last
		}
		numbers = append(numbers, one)
	}
	return []map[string]any{{peers: list, "ports": numbers}}
}

// namespaced means pods of a namespace; the policy's own needs no name.
func (p *policy) namespaced(namespace string, pods *metav1.LabelSelector) map[string]any {
	if namespace == p.namespace {
		return map[string]any{"podSelector": pods}
	}
	return map[string]any{
		"namespaceSelector": &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
		"podSelector":       pods,
	}
}
