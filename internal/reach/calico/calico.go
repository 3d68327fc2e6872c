// Package calico reads the network policies of Calico: NetworkPolicy and
// GlobalNetworkPolicy with their tiers, sets of networks and host endpoints, both as
// the API serves them (projectcalico.org/v3) and as they are stored
// (crd.projectcalico.org/v1). It refuses what Calico refuses and puts the rest into
// the form of package netpol. It evaluates nothing, and does not read the policies of
// Kubernetes, which Calico enforces beside its own. Staged policies decide nothing
// and are left out.
package calico

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

const (
	servedGroup = "projectcalico.org"
	storedGroup = "crd.projectcalico.org"
	defaultTier = "default"
)

// Read returns Calico's policies and, apart, those that are not valid. One policy may
// be given in several parts with the same Ref, Tier and Order, which are to be asked
// in the order given: a rule that is about some of the policy's endpoints only stands
// in a part of its own.
func Read(snap *evidence.Snapshot) (valid []*netpol.Policy, invalid []netpol.Invalid) {
	r := &reader{
		shadow: newShadow(snap), workloads: snap.Workloads, services: newServices(snap), tiers: map[string]netpol.Tier{},
		profiles: map[string]profileSpec{}, hostPorts: map[string]bool{}, meant: map[string]netpol.Expr{},
	}
	objects := ownObjects(snap)
	r.surroundings(snap, objects)
	r.each(objects, "NetworkPolicy", r.policy)
	r.each(objects, "GlobalNetworkPolicy", r.policy)
	if len(r.policies) > 0 || len(r.hosts) > 0 {
		r.hostPolicies(snap, objects)
	}
	return r.policies, r.invalid
}

// A reader reads the objects of one snapshot.
type reader struct {
	shadow    shadow
	workloads []*evidence.Workload
	services  map[string]*service
	tiers     map[string]netpol.Tier
	sets      []networkSet
	hosts     []*host
	profiles  map[string]profileSpec
	// hostPorts are the names that host endpoints give to ports of theirs.
	hostPorts map[string]bool
	// meant are the endpoints that selectors mean, by their text.
	meant map[string]netpol.Expr

	policies []*netpol.Policy
	invalid  []netpol.Invalid
}

// ownObjects are the objects of Calico, without those that a cluster shows twice: as
// they are stored and as the API serves them. What the API makes of policies of
// Kubernetes is left out, too.
func ownObjects(snap *evidence.Snapshot) []*evidence.Custom {
	served := map[string]bool{}
	for _, c := range snap.Custom {
		if c.Group() == servedGroup {
			served[identity(c)] = true
		}
	}
	var list []*evidence.Custom
	for _, c := range snap.Custom {
		group := c.Group()
		if group == servedGroup && !converted(c.Name) || group == storedGroup && !served[identity(c)] {
			list = append(list, c)
		}
	}
	return list
}

// identity names an object alike in both groups: names of policies may have their
// tier before them.
func identity(c *evidence.Custom) string {
	name := c.Name
	if c.Kind == "NetworkPolicy" || c.Kind == "GlobalNetworkPolicy" {
		var spec struct {
			Tier string `json:"tier"`
		}
		// One that cannot be decoded is refused later.
		_ = decodeLoosely(c, &spec)
		name = strings.TrimPrefix(name, cmp.Or(spec.Tier, defaultTier)+".")
	}
	return strings.Join([]string{c.Kind, c.Namespace, name}, "/")
}

// converted reports whether a name is one by which Calico shows a policy of Kubernetes.
func converted(name string) bool {
	for _, prefix := range []string{"knp.default.", "kanp.adminnetworkpolicy.", "kbanp.baselineadminnetworkpolicy.", "kcnp."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// each reads the objects of a kind, and keeps apart those that are not valid.
func (r *reader) each(objects []*evidence.Custom, kind string, read func(*evidence.Custom) error) {
	for _, c := range objects {
		if c.Kind != kind {
			continue
		}
		err := checkVersion(c)
		if err == nil {
			err = read(c)
		}
		if err != nil {
			r.invalid = append(r.invalid, netpol.Invalid{Ref: c.Ref, Err: err})
		}
	}
}

func checkVersion(c *evidence.Custom) error {
	switch c.APIVersion {
	case servedGroup + "/v3", storedGroup + "/v1":
		return nil
	}
	return fmt.Errorf("apiVersion %s is not served", c.APIVersion)
}

// surroundings reads what policies refer to.
func (r *reader) surroundings(snap *evidence.Snapshot, objects []*evidence.Custom) {
	r.tiers[defaultTier] = netpol.Tier{Name: defaultTier, Order: netpol.DefaultOrder, Default: netpol.Deny}
	r.each(objects, "Tier", r.tier)
	namespaces := map[string]map[string]string{}
	for _, ns := range snap.Namespaces {
		namespaces[ns.Name] = ns.Labels
	}
	set := func(c *evidence.Custom) error { return r.networkSet(c, namespaces) }
	r.each(objects, "NetworkSet", set)
	r.each(objects, "GlobalNetworkSet", set)
	r.each(objects, "Profile", r.profile)
	r.each(objects, "HostEndpoint", r.host)
}

// last is the order of tiers that have none. What is asked after all tiers comes at
// infinity.
const last = math.MaxFloat64

func (r *reader) tier(c *evidence.Custom) error {
	spec, at := tierSpec{}, evidence.NewPath("spec")
	data, err := specOf(c)
	if err != nil {
		return err
	}
	unknown, err := decode(data, at, &spec)
	if err != nil {
		return err
	}
	t := netpol.Tier{Name: c.Name, Order: last, Default: netpol.Deny}
	if spec.Order != nil {
		t.Order = *spec.Order
	}
	switch spec.DefaultAction {
	case "", "Deny":
	case "Pass":
		t.Default = netpol.Pass
	default:
		return fmt.Errorf("%s: %q is neither Deny nor Pass", at.Field("defaultAction"), spec.DefaultAction)
	}
	switch {
	case c.Name == defaultTier && t.Default != netpol.Deny:
		return errors.New("the tier default denies by default")
	case c.Name == defaultTier:
		return nil
	case unknown != "":
		// A tier that is not known: its policies say so.
		return nil
	}
	r.tiers[c.Name] = t
	return nil
}

// A networkSet is networks that selectors mean by the set's labels.
type networkSet struct {
	labelled
	nets cidr.Set
}

func (r *reader) networkSet(c *evidence.Custom, namespaces map[string]map[string]string) error {
	var spec setSpec
	data, err := specOf(c)
	if err != nil {
		return err
	}
	unknown, err := decode(data, evidence.NewPath("spec"), &spec)
	if err != nil {
		return err
	}
	s := networkSet{labelled: labelled{labels: map[string]string{}}}
	if s.nets, err = networks(spec.Nets); err != nil {
		return fmt.Errorf("spec.nets: %w", err)
	}
	if unknown != "" {
		s.nets = cidr.All()
		s.open = func(string) bool { return true }
		r.sets = append(r.sets, s)
		return nil
	}
	if c.Kind == "NetworkSet" {
		s.inherit(c.Namespace, namespaces)
	}
	for key, value := range c.Labels {
		s.labels[key] = value
	}
	if c.Kind == "NetworkSet" {
		s.labels[namespaceKey] = c.Namespace
	}
	r.sets = append(r.sets, s)
	return nil
}

// inherit gives a set the labels of its namespace.
func (s *networkSet) inherit(namespace string, namespaces map[string]map[string]string) {
	labels, read := namespaces[namespace]
	for key, value := range labels {
		s.labels[namespacePrefix+key] = value
	}
	s.labels[namespacePrefix+nameKey] = namespace
	s.labels[namespacePrefix+metadataName] = namespace
	if !read {
		s.open = func(key string) bool { return strings.HasPrefix(key, namespacePrefix) }
	}
}

// endpoints are all that a selector means: pods, sets of networks, and host endpoints
// by the addresses that are expected of them.
func (r *reader) endpoints(e netpol.Expr) netpol.Expr {
	key := fmt.Sprintf("%#v", e)
	if found, ok := r.meant[key]; ok {
		return found
	}
	some := netpol.Some{r.shadow.pods(e)}
	var meant, possible []cidr.Set
	add := func(x labelled, set cidr.Set) {
		switch x.holds(e) {
		case yes:
			meant = append(meant, set)
		case perhaps:
			possible = append(possible, set)
		}
	}
	for _, s := range r.sets {
		add(s.labelled, s.nets)
	}
	for _, h := range r.hosts {
		add(h.labelled, h.addresses)
	}
	if set := union(meant); !set.Empty() {
		some = append(some, netpol.Address{In: set})
	}
	if set := union(possible); !set.Empty() {
		some = append(some, netpol.Unknown{Within: netpol.Address{In: set}, Why: "the labels of a NetworkSet or HostEndpoint are not known: not all that it has them from was read"})
	}
	found := netpol.Expr(some)
	if len(some) == 1 {
		found = some[0]
	}
	r.meant[key] = found
	return found
}

func union(sets []cidr.Set) cidr.Set {
	for len(sets) > 1 {
		half := sets[:0:0]
		for pair := range slices.Chunk(sets, 2) {
			half = append(half, pair[0].Union(pair[len(pair)-1]))
		}
		sets = half
	}
	if len(sets) == 0 {
		return cidr.Set{}
	}
	return sets[0]
}
