// Package networkpolicy writes the policies that open just the connections that the
// workloads of a snapshot need, as package need finds them, as logs of connections show
// them and as policies that are there state them: a default deny for each namespace,
// name resolution, and one policy for each workload, in the language of Kubernetes, of
// Cilium or of Calico.
//
// What it writes is read again and weighed by package reach before it is given
// back: every needed connection must be open, and nothing else. It reads no file and
// asks no cluster.
package networkpolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/need"
)

// A Flavour is the language of the policies.
type Flavour uint8

// The flavours: networking.k8s.io/v1 NetworkPolicy, cilium.io/v2
// CiliumNetworkPolicy, projectcalico.org/v3 NetworkPolicy.
const (
	Kubernetes Flavour = iota
	Cilium
	Calico
)

// Options are what the objects do not tell.
type Options struct {
	Flavour Flavour
	// Namespaces are those to write policies for; without any it is all that have
	// workloads, but for those of Kubernetes itself.
	Namespaces []string
	// Network holds the ranges of pods and nodes.
	Network reach.Options
	// APIServer are the addresses of the API server as pods reach it, after its
	// Service has been resolved; where empty, they are taken from the nodes of the
	// control plane, and are else not known.
	APIServer cidr.Set
	// IngressNamespaces are where the controllers of Ingresses and routes run whose
	// pods are not among what was read.
	IngressNamespaces []string
	// Observed are connections that were seen.
	Observed []*flows.Log
}

// A Result is what was written, and what is to be known about it.
type Result struct {
	// Text is the policies as YAML, with the reason of each rule above it.
	Text string
	// Policies is their number, Flows that of the needed connections.
	Policies, Flows int
	// Notes are what was not opened, or wider than needed, and why.
	Notes []string
	// Reopened is what existing policies allow beyond what is needed, by policy.
	Reopened []string
	// Dropped are the observed connections that the policies would drop, and
	// DroppedNow those that the existing ones drop.
	Dropped, DroppedNow []string
	// Unplaced says of the observed connections that could not be judged why.
	Unplaced []string
}

// A Refusal is an error that lists why policies were not written: labels that tell
// nothing apart, or a proof that failed, pair by pair.
type Refusal struct {
	What  string
	Pairs []string
}

func (r *Refusal) Error() string {
	const most = 20
	list := r.Pairs
	more := ""
	if len(list) > most {
		more = fmt.Sprintf("\n  and %d more", len(list)-most)
		list = list[:most]
	}
	return r.What + ":\n  " + strings.Join(list, "\n  ") + more
}

// Generate finds the needed connections, writes the policies and proves them. The
// error is a *Refusal where policies could be written but would not do what they
// should.
func Generate(snap *evidence.Snapshot, o Options) (*Result, error) {
	c := newCatalog(snap, o)
	if len(c.governed) == 0 {
		return nil, fmt.Errorf("no workload to write policies for%s", c.elsewhere(o.Namespaces))
	}
	c.stated()
	seen := c.observe(o.Observed)
	needs := c.relevant(c.Needs.List())
	if refusal := c.unselectable(needs); refusal != nil {
		return nil, refusal
	}
	policies := c.write(needs)
	text, err := render(policies)
	if err != nil {
		return nil, err
	}
	p, err := newProof(c, needs, text)
	if err != nil {
		return nil, err
	}
	if err := p.alone(); err != nil {
		return nil, err
	}
	r := &Result{Policies: len(policies), Flows: len(needs)}
	if r.Reopened, err = p.withExisting(); err != nil {
		return nil, err
	}
	r.Dropped, r.DroppedNow = p.drops(seen)
	r.Unplaced = seen.unplaced
	r.Notes = c.Notes.List()
	r.Text = c.head() + text
	return r, nil
}

// relevant are the needs that the policies have a say in.
func (c *catalog) relevant(list []*need.Need) (kept []*need.Need) {
	for _, n := range list {
		if c.isGoverned(n.From) || c.isGoverned(n.To) {
			kept = append(kept, n)
		}
	}
	return kept
}

// elsewhere says where there are workloads, when there are none where policies are to
// be written.
func (c *catalog) elsewhere(asked []string) string {
	text := ""
	if len(asked) > 0 {
		text = " in namespace " + strings.Join(asked, ", ")
	}
	var have []string
	for _, s := range c.Sets {
		if !slices.Contains(have, s.Namespace) {
			have = append(have, s.Namespace)
		}
	}
	if len(have) > 0 {
		slices.Sort(have)
		text += "; there are some in " + strings.Join(have, ", ") + ", to be named by -n"
	}
	return text
}
