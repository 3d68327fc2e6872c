package escalate

import (
	"cmp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// alone are the techniques that a need is enough for.
var alone = map[need]technique{
	everything: bound, createPods: createPod, createTemplates: controllerTemplate,
	changeDeployments: controllerTemplate, changeDaemonSets: controllerTemplate, changeStatefulSets: controllerTemplate,
	changeReplicaSets: controllerTemplate, changeReplicationControllers: controllerTemplate, changeCronJobs: controllerTemplate,
	patchPods: patchPod, execPods: execPod, attachPods: attachPod, debugPods: debugPod, createTokens: createToken,
	impersonateAccounts: impersonate, impersonateUsers: impersonate, proxyNodes: nodeProxy,
	createValidatingWebhooks: validatingWebhook, changeValidatingWebhooks: validatingWebhook,
	changeDefinitions:     conversionWebhook,
	writeArgoApplications: operatorObject, writeFluxKustomizations: operatorObject, writeFluxReleases: operatorObject,
	writeCrossplaneObjects: operatorObject, writeCrossplaneReleases: operatorObject,
}

// single are the edges that one grant of a principal gives.
func (r *rights) single(p *principal) (edges []edge) {
	for n := range needs {
		for _, first := range p.byNeed[n] {
			key := placeKey{need: n, ns: first.ns, name: first.name}
			for _, t := range r.techniquesOf(n, first) {
				key.technique = t
				if t == mutatingWebhook {
					if p.mask&(1<<everything) != 0 {
						continue
					}
					key.as = r.all()
				}
				if t == operatorObject && !confined(n) {
					key.ns, key.name = "", ""
				}
				for _, g := range p.grants[first.grantKey] {
					if t == operatorObject && !r.operable(g) {
						continue
					}
					edges = append(edges, edge{r.place(key), []use{g.used()}})
				}
			}
		}
	}
	return edges
}

func (r *rights) techniquesOf(n need, g *grant) []technique {
	switch n {
	case readSecrets:
		if g.name == "" {
			return []technique{readNamespaceSecrets, readTokenSecret}
		}
		return []technique{readTokenSecret}
	case createMutatingWebhooks:
		return []technique{mutatingWebhook}
	case changeMutatingWebhooks:
		if r.has[mutatingWebhooks] {
			return []technique{mutatingWebhook}
		}
		return nil
	case changeValidatingWebhooks:
		if !r.has[validatingWebhooks] {
			return nil
		}
	}
	if t, ok := alone[n]; ok {
		return []technique{t}
	}
	return nil
}

// operable reports whether an operator's object can be made, or one that is there
// be changed.
func (r *rights) operable(g *grant) bool {
	if g.request.Verb == "create" {
		return true
	}
	for _, o := range r.applied[g.need] {
		if (g.ns == "" || o.Namespace == g.ns) && (g.name == "" || o.Name == g.name) {
			return true
		}
	}
	return false
}

// joint are the edges for which a subject needs several grants.
func (r *rights) joint(s *state, single []edge) (edges []edge) {
	mask := s.mask()
	if mask == 0 {
		return nil
	}
	seen := map[*place]bool{}
	add := func(key placeKey, uses ...use) {
		if key.as != nil && mask&(1<<everything) != 0 {
			return // it has these rights
		}
		if p := r.place(key); !seen[p] {
			seen[p] = true
			edges = append(edges, edge{p, uses})
		}
	}
	r.mint(s, add)
	r.impersonateGroups(s, add)
	r.bind(s, add)
	r.escalate(s, add)
	r.certificates(s, add)
	r.mutatingPolicies(s, add)
	r.volumes(s, add)
	r.relabel(s, add)
	r.lift(s, add)
	r.found(s, add)
	r.steer(s, single, add)
	return edges
}

type adder func(key placeKey, uses ...use)

func (g *grant) used() use { return use{g, g.ns, g.name} }

func (r *rights) mint(s *state, add adder) {
	for create, read := range s.pairs(createSecrets, readSecrets) {
		add(placeKey{technique: mintTokenSecret, need: createSecrets, ns: create.ns}, create, read)
	}
}

func (r *rights) impersonateGroups(s *state, add adder) {
	groups := s.grants(impersonateGroups)
	if len(groups) == 0 {
		return
	}
	users := append(s.grants(impersonateUsers), s.grants(impersonateAccounts)...)
	if len(users) == 0 {
		return
	}
	for _, g := range groups {
		key := placeKey{technique: impersonate, need: impersonateGroups, name: g.name}
		add(key, g.used(), users[0].used())
		if g.name == "" || g.name == rbac.Masters {
			key.name, key.as = rbac.Masters, r.all()
			add(key, use{g, "", rbac.Masters}, users[0].used())
		}
		if g.name == "" || g.name == nodesGroup {
			r.impersonateKubelets(s, g, add)
		}
	}
}

// impersonateKubelets takes the user of a kubelet and the group: the API server
// takes nobody for a kubelet who has only one of them.
func (r *rights) impersonateKubelets(s *state, group *grant, add adder) {
	for _, u := range s.grants(impersonateUsers) {
		if u.name == "" || strings.HasPrefix(u.name, nodePrefix) {
			add(placeKey{technique: impersonate, need: impersonateGroups, name: u.name, kubelet: true}, use{group, "", nodesGroup}, u.used())
		}
	}
}

func (r *rights) bind(s *state, add adder) {
	if s.mask()&(1<<bindClusterRoles|1<<bindRoles) == 0 {
		return
	}
	r.bindNew(s, add)
	mask := s.mask()
	for _, b := range r.snap.Bindings {
		n := changeBindings
		if b.Namespace == "" {
			n = changeClusterBindings
		}
		if mask&(1<<n) == 0 {
			continue
		}
		change, ok := s.may(n, b.Namespace, b.Name)
		if !ok {
			continue
		}
		if u, ok := s.may(bindNeed(b.RoleRef.Kind), b.Namespace, b.RoleRef.Name); ok {
			r.addBound(placeKey{need: n, ns: b.Namespace}, b.RoleRef.Kind, b.RoleRef.Name, b.Namespace, add, u, change)
		}
	}
}

func bindNeed(kind string) need {
	if kind == "Role" {
		return bindRoles
	}
	return bindClusterRoles
}

func (r *rights) addBound(key placeKey, kind, name, scope string, add adder, uses ...use) {
	namespace := ""
	if kind == "Role" {
		namespace = scope
	}
	key.technique = bindRole
	if key.as = r.role(kind, namespace, name, scope); key.as != nil {
		add(key, uses...)
	}
}

// bindNew follows what a subject may bind by a binding that it creates.
func (r *rights) bindNew(s *state, add adder) {
	if create, ok := s.may(createClusterBindings, "", ""); ok {
		for _, b := range s.grants(bindClusterRoles) {
			if u := b.used(); b.ns == "" {
				u.name = cmp.Or(b.name, "cluster-admin")
				r.addBound(placeKey{need: create.need}, "ClusterRole", u.name, "", add, u, create)
			}
		}
	}
	for u, create := range s.pairs(bindClusterRoles, createBindings) {
		u.name = cmp.Or(u.name, "cluster-admin")
		r.addBound(placeKey{need: create.need, ns: u.ns}, "ClusterRole", u.name, cmp.Or(u.ns, eachNamespace), add, u, create)
	}
	for u, create := range s.pairs(bindRoles, createBindings) {
		for _, role := range r.rolesIn(u.ns) {
			if u.name == "" || u.name == role.Name {
				one := use{u.grant, role.Namespace, role.Name}
				create.ns = role.Namespace
				r.addBound(placeKey{need: create.need, ns: role.Namespace}, "Role", role.Name, role.Namespace, add, one, create)
			}
		}
	}
}

func (r *rights) escalate(s *state, add adder) {
	if s.mask()&escalateMask == 0 {
		return
	}
	part := r.writePart(s)
	for _, p := range s.principals {
		for _, b := range p.bindings {
			uses := r.rewrite(s, b.role)
			if uses == nil && r.collects(b.role) {
				uses = part
			}
			if uses == nil {
				continue
			}
			if as := r.role("ClusterRole", "", "cluster-admin", b.scope); as != nil {
				add(placeKey{technique: escalateRole, need: uses[0].need, ns: b.scope, as: as}, uses...)
			}
		}
	}
}

// rewrite takes the rights to give a role any rule, nil without them.
func (r *rights) rewrite(s *state, role *rbac.Role) []use {
	change, raise, ns := changeClusterRoles, escalateClusterRoles, ""
	if role.Kind == "Role" {
		change, raise, ns = changeRoles, escalateRoles, role.Namespace
	}
	c, ok := s.may(change, ns, role.Name)
	if !ok {
		return nil
	}
	e, ok := s.may(raise, ns, role.Name)
	if !ok {
		return nil
	}
	return []use{e, c}
}

// writePart takes the rights to write some ClusterRole, with any rule and any label,
// that aggregated ones then collect: a new one, or one that is there. It is nil
// without them. That a new one has no name yet when escalate is asked about makes a
// rule with resourceNames worth nothing for it.
func (r *rights) writePart(s *state) []use {
	if e, ok := s.may(escalateClusterRoles, "", ""); ok {
		if c, ok := s.may(createClusterRoles, "", ""); ok {
			return []use{e, c}
		}
	}
	for _, g := range append(s.grants(escalateClusterRoles), s.grants(changeClusterRoles)...) {
		if g.name == "" {
			continue
		}
		if role := r.clusterRole(g.name); role != nil {
			if uses := r.rewrite(s, role); uses != nil {
				return uses
			}
		}
	}
	return nil
}

func (r *rights) clusterRole(name string) *rbac.Role {
	return r.index.Role(&evidence.Binding{Ref: &evidence.Ref{}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: name}})
}

// The signers of certificates that the API server takes for identities.
const (
	clientSigner  = "kubernetes.io/kube-apiserver-client"
	kubeletSigner = "kubernetes.io/kube-apiserver-client-kubelet"
	everySigner   = "kubernetes.io/*" // of that domain, as the API server asks for it
)

func (r *rights) certificates(s *state, add adder) {
	create, ok := s.may(createRequests, "", "")
	if !ok {
		return
	}
	if approve, ok := s.may(approveRequests, "", ""); ok {
		for _, signer := range []string{clientSigner, kubeletSigner} {
			u, ok := s.may(approveSigners, "", signer)
			if !ok {
				u, ok = s.may(approveSigners, "", everySigner)
			}
			if ok {
				add(placeKey{technique: approveCertificate, need: approveSigners, name: signer}, u, approve, create)
			}
		}
	}
	node, ok := s.may(nodeClientRequests, "", "")
	if !ok {
		return
	}
	if read, ok := s.may(readRequests, "", ""); ok {
		add(placeKey{technique: nodeCertificate, need: nodeClientRequests}, node, create, read)
	}
}

// mutatingPolicies takes a policy and a binding: each is created, or changed where
// there is one.
func (r *rights) mutatingPolicies(s *state, add adder) {
	if !r.version.AtLeast(36) && !r.has[mutatingPolicies] {
		return
	}
	key := placeKey{technique: mutatingPolicy, as: r.all()}
	if change, ok := r.change(s, changeMutatingPolicies); ok && r.has[mutatingPolicyBindings] {
		key.need = changeMutatingPolicies
		add(key, change)
	}
	create, ok := s.may(createMutatingPolicies, "", "")
	if !ok {
		return
	}
	key.need = createMutatingPolicies
	if b, ok := s.may(createMutatingPolicyBindings, "", ""); ok {
		add(key, create, b)
	} else if b, ok := r.change(s, changeMutatingPolicyBindings); ok {
		add(key, create, b)
	}
}

// change returns the right to change some object of a kind, if there is one.
func (r *rights) change(s *state, n need) (use, bool) {
	if !r.has[r.reqs[n].kind] {
		return use{}, false
	}
	for _, g := range s.grants(n) {
		return g.used(), true
	}
	return use{}, false
}

// podNeeds are those to have pods run that do not depend on what is there.
var podNeeds = []need{createPods, createTemplates}

func (r *rights) volumes(s *state, add adder) {
	volume, ok := s.may(createVolumes, "", "")
	if !ok {
		return
	}
	for _, n := range podNeeds {
		for claim, pod := range s.pairs(createClaims, n) {
			add(placeKey{technique: hostPathVolume, need: createVolumes, ns: claim.ns}, volume, claim, pod)
		}
	}
}

func (r *rights) relabel(s *state, add adder) {
	for _, n := range podNeeds {
		for label, pod := range s.pairs(relabelNamespaces, n) {
			label.name = label.ns
			add(placeKey{technique: relabelNamespace, need: relabelNamespaces, ns: label.ns}, label, pod)
		}
	}
}

// lift takes a right on the policies that guard others; which they have to be is
// seen where they are lifted.
func (r *rights) lift(s *state, add adder) {
	for _, lifts := range []need{liftPolicies, liftPolicyBindings} {
		for _, n := range podNeeds {
			for policy, pod := range s.pairs(lifts, n) {
				name := policy.name
				add(placeKey{technique: liftPolicy, need: lifts, ns: pod.ns, name: name}, use{policy.grant, "", name}, pod)
			}
		}
	}
}

// found takes the rights to make a namespace and pods in it.
func (r *rights) found(s *state, add adder) {
	create, ok := s.may(createNamespaces, "", "")
	if !ok {
		return
	}
	for _, n := range podNeeds {
		if pod, ok := s.may(n, "", ""); ok {
			add(placeKey{technique: newNamespace, need: createNamespaces}, create, pod)
			return
		}
	}
}

// steer needs root on some node, which the subject comes to by another edge.
func (r *rights) steer(s *state, single []edge, add adder) {
	change, ok := s.may(changeNodes, "", "")
	if !ok {
		return
	}
	some := &state{kind: someNode}
	for _, e := range single {
		if e.place.as != nil {
			continue
		}
		if l, ok := r.leads(e.place, some, false); ok {
			uses := []use{change}
			for _, u := range e.uses {
				if u.ns == "" {
					u.ns = l.ns
				}
				uses = append(uses, u)
			}
			add(placeKey{technique: steerPods, need: changeNodes}, uses...)
			return
		}
	}
}

// existing returns the workloads of a kind that a right to change them reaches.
func (w *world) existing(kind, ns, name string) bool {
	list := w.templates[template{ns, kind}]
	return len(list) > 0 && (name == "" || slices.Contains(list, name))
}

// reachable yields the running workloads of a namespace, or of all, whose pods a
// right on pods of that name reaches.
func (w *world) reachable(ns, name string, yield func(*evidence.Workload) bool) {
	spaces := []string{ns}
	if ns == "" {
		spaces = w.namespaces
	}
	for _, space := range spaces {
		for _, wl := range w.running[space] {
			if (name == "" || isPodOf(wl, name)) && !yield(wl) {
				return
			}
		}
	}
}
