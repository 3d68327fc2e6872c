// Package namespace writes what one namespace needs to be under enforcement, in one
// document: the Namespace with its Pod Security labels, network policies, a LimitRange
// and a ResourceQuota, the default ServiceAccount without its token, and on request the
// rights of those who look after it. For a namespace that was read the parts are
// those of packages podsecurity, networkpolicy and limits; for a new one, in which
// nothing can break yet, they are the strictest that are of use, and stated defaults.
//
// It reads nothing but evidence. What is in a namespace and was not read it does not know.
package namespace

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/limits"
	"github.com/gabion-k8s/gabion/internal/generate/networkpolicy"
	"github.com/gabion-k8s/gabion/internal/generate/podsecurity"
)

// Options say what to write.
type Options struct {
	// Names are the namespaces, at least one.
	Names []string
	// Version is the release whose Pod Security Standards are pinned: that of the
	// cluster when it is zero, else the newest known.
	Version evidence.Version
	// Group is a group of users who get to see what is in the namespaces; "" for none.
	Group string
	// Headroom is what quotas add to what is there, in percent of it.
	Headroom int
	// Network is for the network policies; its Namespaces are not used.
	Network networkpolicy.Options
}

// A Result is what was written.
type Result struct {
	Bundles []*Bundle // in the order in which they were asked for
	// Text is the document.
	Text string
}

// A Bundle is what was written for one namespace.
type Bundle struct {
	Name string
	// New is set where nothing of the namespace was among what was read.
	New bool
	// Notes are what has to be known before it is laid down.
	Notes []string

	text strings.Builder
	// above are the comments of the object that is written next.
	above []string
}

const head = `# Namespaces with what enforces their separation: Pod Security labels, network policies, a
# LimitRange and a ResourceQuota, and a default ServiceAccount without a token. The comment
# above each object names the recommendations that it serves.
#
# In this order:
`

const stepsNew = `# 1. Read what is stated without knowing the workloads: the numbers, and the name servers.
# 2. kubectl apply --server-side --field-manager=gabion -f FILE
#    --dry-run=server works once the Namespace is there: objects in one that is not are refused.
# 3. Then the workloads. What they have to reach is not open yet: generate networkpolicy.
`

const stepsKnown = `# 1. Read the comments, and on standard error what is not opened and who loses a token.
# 2. Try: kubectl apply --server-side --field-manager=gabion --dry-run=server -f FILE
#    It names fields that others manage, and pods that the level would refuse.
# 3. Lay the LimitRange down before the quota, and network policies first where an outage hurts
#    nobody. Pods that run stay; policies act at once, all else on the next pods.
# 4. kubectl apply --server-side --field-manager=gabion -f FILE
# 5. Restart one workload after the other, and look at events: a pod that is refused shows up
#    there (reason FailedCreate).
`

// steps is the order in which to proceed: there is more to it where something runs.
func steps(r *Result) string {
	if slices.ContainsFunc(r.Bundles, func(b *Bundle) bool { return !b.New }) {
		return stepsKnown
	}
	return stepsNew
}

// Generate writes the bundles. Without a snapshot every namespace is new. The snapshot
// has to be read with the objects' JSON. The error is a *networkpolicy.Refusal where
// network policies could be written but would not do what they should.
func Generate(snap *evidence.Snapshot, o Options) (*Result, error) {
	if len(o.Names) == 0 {
		return nil, fmt.Errorf("no namespace to write for")
	}
	if err := checkGroup(o.Group); err != nil {
		return nil, err
	}
	r := &Result{}
	for i, name := range o.Names {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if slices.Contains(o.Names[:i], name) {
			return nil, fmt.Errorf("namespace %s is named twice", name)
		}
		b, err := bundle(snap, name, o)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		r.Bundles = append(r.Bundles, b)
	}
	r.Text = head + steps(r)
	for _, b := range r.Bundles {
		r.Text += b.text.String()
	}
	return r, nil
}

// checkName refuses what is no name, and the namespaces of Kubernetes itself.
func checkName(name string) error {
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		return fmt.Errorf("namespace %q: %s", name, wrong[0])
	}
	if strings.HasPrefix(name, "kube-") {
		return fmt.Errorf("namespace %s: the prefix kube- is for Kubernetes' own (NS-03), and bounds there could stop the control plane; see generate networkpolicy -n kube-system", name)
	}
	return nil
}

// checkGroup refuses groups that are everybody, or more than what a namespace is about.
func checkGroup(name string) error {
	switch {
	case name == "":
		return nil
	case strings.HasPrefix(name, "system:"):
		return fmt.Errorf("group %q: groups that begin with system: are Kubernetes' own (RBAC-06)", name)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("group %q: want a name without spaces at its ends and control characters", name)
	}
	return nil
}

// known reports whether a namespace, or a workload in it, was read.
func known(snap *evidence.Snapshot, name string) (namespace, workloads bool) {
	if snap == nil {
		return false, false
	}
	for _, n := range snap.Namespaces {
		namespace = namespace || n.Name == name
	}
	for _, w := range snap.Workloads {
		workloads = workloads || w.Namespace == name
	}
	return namespace, workloads
}

// bundle writes the parts in the order in which they are laid down: first what fills in
// and opens, then what refuses.
func bundle(snap *evidence.Snapshot, name string, o Options) (*Bundle, error) {
	there, populated := known(snap, name)
	b := &Bundle{Name: name, New: !there && !populated}
	if b.New && snap != nil {
		b.Notes = append(b.Notes, "nothing of it is among what was read: it is taken to be new")
	}
	if err := b.labels(snap, o); err != nil {
		return nil, err
	}
	if err := b.policies(snap, o, populated); err != nil {
		return nil, err
	}
	if err := b.bounds(snap, o, populated); err != nil {
		return nil, err
	}
	if err := b.account(snap); err != nil {
		return nil, err
	}
	return b, b.readers(o.Group)
}

// labels writes the Namespace.
func (b *Bundle) labels(snap *evidence.Snapshot, o Options) error {
	if b.New {
		v := o.Version
		if v == (evidence.Version{}) {
			v = release(snap)
		}
		if !v.AtLeast(23) {
			return fmt.Errorf("Kubernetes %s: Pod Security Admission is on from 1.23 on", v)
		}
		b.comment("The namespace (NS-01). Pod Security Admission refuses pods that do not keep to the level")
		b.comment("restricted of Kubernetes %s (ENF-01); nothing runs here that this could stop.", v)
		labels := map[string]string{}
		for _, mode := range []string{"enforce", "audit", "warn"} {
			labels["pod-security.kubernetes.io/"+mode] = "restricted"
			labels["pod-security.kubernetes.io/"+mode+"-version"] = "v" + v.String()
		}
		return b.object("v1", "Namespace", map[string]any{"name": b.Name, "labels": labels}, nil)
	}
	r, err := podsecurity.Generate(snap, podsecurity.Options{Namespaces: []string{b.Name}, Version: o.Version})
	if err != nil {
		return err
	}
	n := r.Namespaces[0]
	switch {
	case n.Unseen():
		b.comment("The namespace. No Pod Security level is proposed, as nothing was seen and not all was")
		b.comment("looked at (ENF-01).")
		b.Notes = append(b.Notes, "no Pod Security level is proposed: not all of it was looked at")
	default:
		b.comment("The namespace. Its pods satisfy the Pod Security level %s of Kubernetes %s, which is enforced", n.Level, r.Version)
		b.comment("(ENF-01, ENF-03). Warn and audit first: generate pod-security --warn-only.")
	}
	for _, d := range n.Doubts {
		b.comment("  Doubt: %s", d)
	}
	if n.Next != "" && len(n.Blockers) > 0 {
		b.comment("%s above it is blocked by %d workloads: generate pod-security names the fields.", n.Next, len(n.Blockers))
		b.Notes = append(b.Notes, fmt.Sprintf("the level is %s; what blocks %s is listed by generate pod-security", n.Level, n.Next))
	}
	return b.object("v1", "Namespace", map[string]any{"name": b.Name, "labels": n.Labels}, nil)
}

// release is that of the cluster, as far as its standards are known, else the newest.
func release(snap *evidence.Snapshot) evidence.Version {
	newest := evidence.Newest()
	if snap == nil || snap.Cluster == nil {
		return newest
	}
	v, err := evidence.ParseVersion(snap.Cluster.Version)
	if err != nil || v.AtLeast(newest.Minor+1) {
		return newest
	}
	return v
}

// policies writes the network policies: those that the workloads need, or a default deny
// with name resolution.
func (b *Bundle) policies(snap *evidence.Snapshot, o Options, populated bool) error {
	if populated {
		options := o.Network
		options.Namespaces = []string{b.Name}
		r, err := networkpolicy.Generate(snap, options)
		if err != nil {
			return err
		}
		b.text.WriteString(r.Text[strings.Index(r.Text, "---\n"):])
		for _, list := range []struct {
			lead string
			of   []string
		}{{"not opened, or wider than needed: ", r.Notes}, {"existing policies open more than is needed: ", r.Reopened},
			{"seen, and would be dropped: ", r.Dropped}, {"seen, and dropped already: ", r.DroppedNow}, {"seen, and not judged: ", r.Unplaced}} {
			for _, note := range list.of {
				b.Notes = append(b.Notes, list.lead+note)
			}
		}
		return nil
	}
	b.comment("Nothing in, nothing out, for every pod that comes, but for what other policies open (NET-02,")
	b.comment("NET-03, CLD-01). Only plugins that enforce policies do so (NET-01).")
	deny := map[string]any{"podSelector": map[string]any{}, "policyTypes": []string{"Ingress", "Egress"}}
	if err := b.object("networking.k8s.io/v1", "NetworkPolicy", b.meta("default-deny"), deny); err != nil {
		return err
	}
	b.comment("Every pod may ask the cluster's name servers, which are taken to run in kube-system with the")
	b.comment("label k8s-app=kube-dns. Where a cache runs on each node, its address has to be added.")
	port := func(protocol string) map[string]any { return map[string]any{"protocol": protocol, "port": 53} }
	naming := map[string]any{"podSelector": map[string]any{}, "policyTypes": []string{"Egress"}, "egress": []any{map[string]any{
		"to": []any{map[string]any{
			"namespaceSelector": map[string]any{"matchLabels": map[string]string{"kubernetes.io/metadata.name": "kube-system"}},
			"podSelector":       map[string]any{"matchLabels": map[string]string{"k8s-app": "kube-dns"}}}},
		"ports": []any{port("UDP"), port("TCP")}}}}
	return b.object("networking.k8s.io/v1", "NetworkPolicy", b.meta("name-resolution"), naming)
}

// bounds writes the LimitRange and the ResourceQuota.
func (b *Bundle) bounds(snap *evidence.Snapshot, o Options, populated bool) error {
	if !populated {
		return b.statedBounds()
	}
	r, err := limits.Generate(snap, limits.Options{Namespaces: []string{b.Name}, Headroom: o.Headroom})
	if err != nil {
		return err
	}
	n := r.Namespaces[0]
	for _, refused := range n.Refused {
		b.Notes = append(b.Notes, "refused by the LimitRange: "+refused)
	}
	b.text.WriteString("---\n")
	if err := n.WriteLimitRange(&b.text); err != nil {
		return err
	}
	b.text.WriteString("---\n")
	return n.WriteQuota(&b.text)
}

// statedBounds are for a namespace of which nothing is known.
func (b *Bundle) statedBounds() error {
	b.comment("What a container gets that sets nothing, and the most and the least that it may")
	b.comment("ask for (RES-01). The numbers are stated defaults, derived from nothing: write your own.")
	spec := map[string]any{"limits": []any{map[string]any{"type": "Container",
		"defaultRequest": map[string]string{"cpu": "100m", "memory": "128Mi"}, "default": map[string]string{"cpu": "500m", "memory": "512Mi"},
		"max": map[string]string{"cpu": "2", "memory": "4Gi"}, "min": map[string]string{"cpu": "5m", "memory": "8Mi"}}}}
	if err := b.object("v1", "LimitRange", b.meta("bounds"), spec); err != nil {
		return err
	}
	b.comment("What the namespace may use in all (RES-02), stated defaults too. No Service of it may open a")
	b.comment("port of all nodes or a load balancer before somebody says so (NET-06).")
	hard := map[string]string{"requests.cpu": "4", "requests.memory": "8Gi", "limits.cpu": "8", "limits.memory": "16Gi",
		"pods": "40", "services.nodeports": "0", "services.loadbalancers": "0"}
	return b.object("v1", "ResourceQuota", b.meta("total"), map[string]any{"hard": hard})
}
