package escalate

import (
	"cmp"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// eachNamespace is the scope of what may be bound in any namespace, but not for
// the whole cluster. It is no name that a namespace can have.
const eachNamespace = "*"

// A principal is a user or a group that bindings name: what they give is worked
// out once for all who are it.
type principal struct {
	grants map[grantKey][]*grant
	// byNeed are the first grants of each key.
	byNeed   map[need][]*grant
	in       map[grantKey]*grant // by need and namespace, whatever the name
	mask     uint64              // the needs that are met
	bindings []boundRole
	edges    []edge
	members  []*state
}

type principalKey struct {
	group bool
	name  string
}

type grantKey struct {
	need     need
	ns, name string
}

// A grant is a need that a binding meets.
type grant struct {
	grantKey // ns is "" for everywhere, name "" for every object
	request  rbac.Request
	binding  *evidence.Binding // nil for what a subject could bind to itself
	role     *rbac.Role
	rule     int
}

type boundRole struct {
	role  *rbac.Role
	scope string
}

// A use is a grant that is used on one object.
type use struct {
	*grant
	ns, name string
}

// A state is something that an attacker can be or have.
type state struct {
	id   int // its place in the order of states, -1 for what nobody can become
	kind stateKind
	name string
	account
	principals []*principal
	// own are the ways that take rights of several principals, or none.
	own []edge
	// impliedBy are the places at which the subject binds these rights to itself.
	impliedBy []*place
}

type stateKind int

const (
	aServiceAccount stateKind = iota
	aUser
	aGroup
	anyNode  // root on whatever node is wanted
	someNode // root on a node that cannot be chosen
	allRights
	secretsOf // all Secrets of a namespace
	boundTo   // the rights of a role
	aKubelet  // a kubelet's user, in the group of kubelets
	aStart
)

// A place is where a subject stands between two states: what it can do with one
// technique. There are as many as rights, not as pairs of subjects.
type place struct {
	placeKey
	holders []holder
}

type placeKey struct {
	technique technique
	need      need
	// ns is where, "" for everywhere; name is the object, "" for any.
	ns, name string
	// kubelet is set where the name is that of a kubelet's user, "" for any, and comes
	// with the group of kubelets: by its name alone nobody is one.
	kubelet bool
	// as are the rights that the technique gives, nil when it leads to states.
	as *state
}

type holder struct {
	principal *principal
	state     *state // when principal is nil
}

// An edge leads from a subject to a place.
type edge struct {
	place *place
	uses  []use
}

// rights are who may do what, as far as techniques ask.
type rights struct {
	*world
	index      *rbac.Index
	reqs       *[needs]requirement
	principals map[principalKey]*principal
	states     []*state
	byAccount  map[account]*state
	placesAt   map[string][]*place
	places     map[placeKey]*place
	met        map[*rbac.Role][]met
	bindable   map[boundRole]*state
	// combined are the principals that stand for what several give together.
	combined map[[mostTogether]*principal]*principal
	unworked []*state // of bindable, those whose edges are not known yet
	// full is set when there were too many rights to follow all; named counts those on
	// single objects.
	full  bool
	named int
}

// mostBindable bounds the pairs of a role and a scope that are followed.
const mostBindable = 1 << 14

// mostNamed bounds the grants on single objects: a rule may name very many, and
// be bound very often.
const mostNamed = 1 << 18

// mostKubelets bounds the kubelets that rules name and that are followed.
const mostKubelets = 1 << 10

func newRights(w *world, index *rbac.Index) *rights {
	r := &rights{
		world: w, index: index, reqs: requirements(w.version),
		principals: map[principalKey]*principal{},
		byAccount:  map[account]*state{},
		placesAt:   map[string][]*place{}, places: map[placeKey]*place{},
		met: map[*rbac.Role][]met{}, bindable: map[boundRole]*state{},
		combined: map[[mostTogether]*principal]*principal{},
	}
	r.all() // before others take its place
	r.addPrincipals()
	r.addStates()
	r.addEdges()
	return r
}

func (r *rights) addPrincipals() {
	for _, b := range r.snap.Bindings {
		role := r.index.Role(b)
		for _, s := range b.Subjects {
			key, ok := principalOf(b, s)
			if !ok {
				continue
			}
			r.addPrincipal(key)
			if role != nil && len(role.Rules) == 0 {
				// It grants nothing, but may come to.
				p := r.principals[key]
				p.bindings = append(p.bindings, boundRole{role, b.Namespace})
			}
		}
	}
}

func principalOf(b *evidence.Binding, s rbacv1.Subject) (principalKey, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return principalKey{false, s.Name}, true
	case rbacv1.GroupKind:
		return principalKey{true, s.Name}, true
	case rbacv1.ServiceAccountKind:
		ns := cmp.Or(s.Namespace, b.Namespace)
		return principalKey{false, rbac.ServiceAccount(ns, s.Name).User}, ns != ""
	}
	return principalKey{}, false
}

func (r *rights) addPrincipal(key principalKey) {
	if r.principals[key] != nil {
		return
	}
	p := &principal{}
	r.principals[key] = p
	who := rbac.Subject{User: key.name}
	if key.group {
		who = rbac.Subject{Groups: []string{key.name}}
	}
	var last *evidence.Binding
	for g := range r.index.Granted(who) {
		if g.Binding == last || g.Role == nil {
			continue
		}
		last = g.Binding
		r.give(p, g.Role, g.Binding, g.Namespace)
	}
}

// give adds what a role meets in a scope.
func (r *rights) give(p *principal, role *rbac.Role, b *evidence.Binding, scope string) {
	p.bindings = append(p.bindings, boundRole{role, scope})
	mets, ok := r.met[role]
	if !ok {
		mets = meet(r.reqs, role.Rules)
		r.met[role] = mets
	}
	for _, m := range mets {
		names := m.names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			key, ok := r.where(m.need, scope, name)
			if !ok {
				continue
			}
			if name != "" {
				if r.named++; r.named > mostNamed {
					r.full = true
					break
				}
			}
			if p.grants == nil {
				p.grants, p.byNeed, p.in = map[grantKey][]*grant{}, map[need][]*grant{}, map[grantKey]*grant{}
			}
			g := &grant{key, m.request, b, role, m.rule}
			if len(p.grants[key]) == 0 {
				p.byNeed[m.need] = append(p.byNeed[m.need], g)
			}
			if key.name = ""; p.in[key] == nil {
				p.in[key] = g
			}
			key = g.grantKey
			p.grants[key] = append(p.grants[key], g)
			p.mask |= 1 << m.need
		}
	}
}

// where is what a rule in a scope is about. A request about a namespace itself
// counts as one in that namespace, so that a RoleBinding there gives it.
func (r *rights) where(n need, scope, name string) (grantKey, bool) {
	switch {
	case n == relabelNamespaces && (scope == "" || scope == eachNamespace):
		return grantKey{n, name, ""}, true
	case n == relabelNamespaces:
		return grantKey{n, scope, ""}, name == "" || name == scope
	case r.reqs[n].wide && scope != "":
		return grantKey{}, false
	case scope == eachNamespace:
		return grantKey{n, "", name}, true
	}
	return grantKey{n, scope, name}, true
}

// find returns the grant by which a principal may do something to one object;
// with the name "", to all of them.
func (p *principal) find(n need, ns, name string) *grant {
	if p.mask&(1<<n) == 0 {
		return nil
	}
	for _, key := range []grantKey{{n, "", ""}, {n, ns, ""}, {n, "", name}, {n, ns, name}} {
		if list := p.grants[key]; len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// may is find over all that a subject is.
func (s *state) may(n need, ns, name string) (use, bool) {
	for _, p := range s.principals {
		if g := p.find(n, ns, name); g != nil {
			return use{g, ns, name}, true
		}
	}
	return use{}, false
}

// within is may for some object of a namespace, whichever.
func (s *state) within(n need, ns string) (use, bool) {
	for _, p := range s.principals {
		for _, space := range []string{"", ns} {
			if g := p.in[grantKey{n, space, ""}]; g != nil {
				return use{g, ns, g.name}, true
			}
		}
	}
	return use{}, false
}

// pairs yields where a subject meets two needs, "" for everywhere.
func (s *state) pairs(a, b need) iter.Seq2[use, use] {
	return func(yield func(use, use) bool) {
		for _, first := range s.grants(a) {
			if first.ns != "" {
				if second, ok := s.within(b, first.ns); ok && !yield(first.used(), second) {
					return
				}
				continue
			}
			for _, second := range s.grants(b) {
				if !yield(use{first, second.ns, first.name}, second.used()) {
					return
				}
			}
		}
	}
}

// grants are what meets a need of a subject, one for each namespace and name.
func (s *state) grants(n need) (list []*grant) {
	for _, p := range s.principals {
		list = append(list, p.byNeed[n]...)
	}
	return list
}

func (s *state) mask() (mask uint64) {
	for _, p := range s.principals {
		mask |= p.mask
	}
	return mask
}

// subject returns the state of being a subject, with the principals that it is.
func (r *rights) subject(kind stateKind, who rbac.Subject) *state {
	s := &state{id: -1, kind: kind, name: Name(who)}
	if who.User != "" {
		s.is(r.principals[principalKey{false, who.User}])
	}
	for _, g := range who.Groups {
		s.is(r.principals[principalKey{true, g}])
	}
	if slices.Contains(who.Groups, rbac.Masters) {
		s.own = append(s.own, edge{place: r.place(placeKey{technique: bound, as: r.all()})})
	}
	if slices.Contains(who.Groups, nodesGroup) {
		if who.User == "" {
			s.own = append(s.own, r.nodeTokens(""))
		} else if node, ok := strings.CutPrefix(who.User, nodePrefix); ok && node != "" {
			s.own = append(s.own, r.nodeTokens(node))
		}
	}
	return s
}

func (s *state) is(p *principal) {
	if p != nil {
		s.principals = append(s.principals, p)
	}
}

// addStates makes the states that somebody can come to.
func (r *rights) addStates() {
	for _, a := range r.accounts {
		s := r.subject(aServiceAccount, rbac.ServiceAccount(a.namespace, a.name))
		s.account = a
		r.byAccount[a] = s
		r.addState(s)
	}
	var keys []principalKey
	for key := range r.principals {
		if _, _, ok := splitAccount(key.name); !ok && !(key.group && key.name == nodesGroup) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b principalKey) int {
		if a.group != b.group {
			if a.group {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.name, b.name)
	})
	for _, key := range keys {
		if key.group {
			r.addState(r.subject(aGroup, groupSubject(key.name)))
		} else if key.name != rbac.Anonymous {
			r.addState(r.subject(aUser, rbac.Subject{User: key.name, Groups: []string{rbac.Authenticated}}))
		}
	}
	r.addState(r.subject(aGroup, groupSubject(nodesGroup)))
	r.addKubelets()
	chosen := &state{kind: anyNode, name: string(Node), own: []edge{r.nodeTokens("")}}
	if r.controlPlane != "" {
		chosen.own = append(chosen.own, edge{place: r.place(placeKey{technique: controlPlaneNode, as: r.all()})})
	}
	r.addState(chosen)
	r.addState(&state{kind: someNode, name: string(Node), own: []edge{r.nodeTokens(oneNode)}})
	r.addState(&state{kind: allRights, name: string(ClusterAdmin)})
}

// addKubelets makes the states of kubelets that rules name.
func (r *rights) addKubelets() {
	names := map[string]bool{}
	for _, role := range r.snap.ClusterRoles {
		for i := range role.Value.Rules {
			rule := &role.Value.Rules[i]
			if _, ok := r.reqs[impersonateUsers].meets(impersonateUsers, rule); !ok {
				continue
			}
			for _, name := range rule.ResourceNames {
				if node, ok := strings.CutPrefix(name, nodePrefix); ok && r.isNode(node) {
					names[name] = true
				}
			}
		}
	}
	for i, name := range slices.Sorted(maps.Keys(names)) {
		if i == mostKubelets {
			r.full = true
			return
		}
		r.addState(r.subject(aKubelet, rbac.Subject{User: name, Groups: []string{nodesGroup, rbac.Authenticated}}))
	}
}

// nodeTokens leads to who runs on a node: any one, if the name is "".
func (r *rights) nodeTokens(node string) edge {
	return edge{place: r.place(placeKey{technique: nodeTokens, name: node})}
}

// oneNode is the name of the place of who is on a node that cannot be chosen. It is
// no name that a node can have.
const oneNode = "*"

func (r *rights) addState(s *state) {
	s.id = len(r.states)
	r.states = append(r.states, s)
	for _, p := range s.principals {
		p.members = append(p.members, s)
	}
}

// the returns the one state of a kind.
func (r *rights) the(kind stateKind) *state {
	i := slices.IndexFunc(r.states, func(s *state) bool { return s.kind == kind })
	return r.states[i]
}

// all is to have the rights of cluster-admin for the whole cluster.
func (r *rights) all() *state {
	return r.role("ClusterRole", "", "cluster-admin", "")
}

// role is to have the rights of a role in a scope.
func (r *rights) role(kind, namespace, name, scope string) *state {
	role := r.index.Role(&evidence.Binding{Ref: &evidence.Ref{Namespace: namespace}, RoleRef: rbacv1.RoleRef{Kind: kind, Name: name}})
	if role == nil {
		return nil
	}
	key := boundRole{role, scope}
	if s := r.bindable[key]; s != nil {
		return s
	}
	if len(r.bindable) >= mostBindable {
		r.full = true
		return nil
	}
	p := &principal{}
	r.give(p, role, nil, scope)
	s := &state{id: -1, kind: boundTo, name: role.String() + scoped(scope), principals: []*principal{p}}
	r.bindable[key] = s
	r.unworked = append(r.unworked, s)
	return s
}

func scoped(scope string) string {
	switch scope {
	case "":
		return ""
	case eachNamespace:
		return " in any namespace"
	}
	return " in namespace " + scope
}

func (r *rights) place(key placeKey) *place {
	p := r.places[key]
	if p == nil {
		p = &place{placeKey: key}
		r.places[key] = p
		if key.as != nil {
			key.as.impliedBy = append(key.as.impliedBy, p)
		} else {
			r.placesAt[key.ns] = append(r.placesAt[key.ns], p)
		}
	}
	return p
}

// addEdges works out the places of all principals, and of those subjects that
// come to more of them by what several principals give together.
func (r *rights) addEdges() {
	keys := make([]principalKey, 0, len(r.principals))
	for key := range r.principals {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b principalKey) int { return cmp.Compare(a.name, b.name) })
	for _, key := range keys {
		r.work(r.principals[key])
	}
	for _, s := range r.states {
		r.workState(s)
	}
	r.workBindable()
	for _, list := range r.placesAt {
		slices.SortFunc(list, comparePlaces)
	}
}

// workBindable works out what can be done with the rights that can be bound, and
// with those that can be bound then.
func (r *rights) workBindable() {
	for len(r.unworked) > 0 {
		s := r.unworked[0]
		r.unworked = r.unworked[1:]
		r.work(s.principals[0])
		s.principals[0].members = []*state{s}
	}
}

func (r *rights) work(p *principal) {
	if len(p.bindings) == 0 {
		return
	}
	p.edges = r.single(p)
	p.edges = append(p.edges, r.joint(&state{principals: []*principal{p}}, p.edges)...)
	slices.SortStableFunc(p.edges, compareEdges)
	for _, e := range p.edges {
		e.place.holders = append(e.place.holders, holder{principal: p})
	}
}

// workState adds to a state what its principals give together.
func (r *rights) workState(s *state) {
	for _, e := range s.own {
		e.place.holders = append(e.place.holders, holder{state: s})
	}
	for _, p := range r.together(s) {
		p.members = append(p.members, s)
		s.principals = append(s.principals, p)
	}
}

const escalateMask = 1<<escalateClusterRoles | 1<<escalateRoles

// mostTogether is how many principals are combined in every way: a ServiceAccount
// is four. Those of somebody in more groups are combined once, all.
const mostTogether = 4

// together are what several principals of a subject give that none of them gives
// alone, as principals of their own: subjects share them, so that rights of large
// groups are combined once.
func (r *rights) together(s *state) (list []*principal) {
	var able []*principal
	for _, p := range s.principals {
		if p.mask != 0 || s.mask()&escalateMask != 0 && len(p.bindings) > 0 {
			able = append(able, p)
		}
	}
	if len(able) > mostTogether {
		return append(list, r.combine(able))
	}
	for size := 2; size <= len(able); size++ {
		for set := range 1 << len(able) {
			if bits.OnesCount(uint(set)) != size {
				continue
			}
			var some []*principal
			for i, p := range able {
				if set&(1<<i) != 0 {
					some = append(some, p)
				}
			}
			if p := r.combine(some); len(p.edges) > 0 {
				list = append(list, p)
			}
		}
	}
	return list
}

// combine works out the edges for which all of some principals are needed.
func (r *rights) combine(some []*principal) *principal {
	var key [mostTogether]*principal
	if len(some) <= mostTogether {
		copy(key[:], some)
		if p := r.combined[key]; p != nil {
			return p
		}
	}
	s := &state{principals: some}
	known, alone := map[*place]bool{}, []edge{}
	for _, p := range some {
		alone = append(alone, p.edges...)
	}
	if len(some) > 2 && len(some) <= mostTogether {
		for i := range some {
			alone = append(alone, r.combine(slices.Delete(slices.Clone(some), i, i+1)).edges...)
		}
	}
	for _, e := range alone {
		known[e.place] = true
	}
	p := &principal{}
	for _, e := range r.joint(s, alone) {
		if !known[e.place] {
			p.edges = append(p.edges, e)
			e.place.holders = append(e.place.holders, holder{principal: p})
		}
	}
	slices.SortStableFunc(p.edges, compareEdges)
	if len(some) <= mostTogether {
		r.combined[key] = p
	}
	return p
}

// edges are all edges of a state, sorted.
func (s *state) edges() (list []edge) {
	if len(s.own) == 0 && len(s.principals) == 1 {
		return s.principals[0].edges
	}
	list = append(list, s.own...)
	for _, p := range s.principals {
		list = append(list, p.edges...)
	}
	slices.SortStableFunc(list, compareEdges)
	return list
}

func compareEdges(a, b edge) int {
	if c := comparePlaces(a.place, b.place); c != 0 {
		return c
	}
	return slices.CompareFunc(a.uses, b.uses, func(a, b use) int { return cmp.Compare(bindingID(a), bindingID(b)) })
}

func bindingID(u use) int {
	if u.binding == nil {
		return -1
	}
	return u.binding.ID
}

// comparePlaces puts places that lead somewhere by themselves before those that
// first give rights.
func comparePlaces(a, b *place) int {
	return cmp.Or(cmp.Compare(nameOf(a.as), nameOf(b.as)), cmp.Compare(a.technique, b.technique), cmp.Compare(a.need, b.need), cmp.Compare(a.ns, b.ns),
		cmp.Compare(a.name, b.name), compareBools(a.kubelet, b.kubelet))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func nameOf(s *state) string {
	if s == nil {
		return ""
	}
	return s.name
}
