package escalate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// A lead says how a place leads to a state.
type lead struct {
	// ns and name are what the request is about.
	ns, name string
	why      string
	// closed is the guard that refuses it, "" for none.
	closed string
}

// leads reports whether a place that gives no rights by itself leads to a state;
// with lax, also when a guard refuses it.
func (r *rights) leads(p *place, v *state, lax bool) (lead, bool) {
	var l lead
	var ok bool
	switch v.kind {
	case aServiceAccount:
		if p.ns != "" && p.ns != v.namespace {
			return lead{}, false
		}
		l, ok = r.toAccount(p, v)
		l.ns = v.namespace
	case aUser, aGroup, aKubelet:
		l, ok = r.toIdentity(p, v)
	case anyNode, someNode:
		l, ok = r.toNode(p, v.kind == anyNode, lax)
	case secretsOf:
		if p.ns != "" && p.ns != v.namespace {
			return lead{}, false
		}
		l, ok = r.toSecrets(p, v)
		l.ns = v.namespace
	case allRights:
		l, ok = lead{why: "its rules allow every verb on every resource"}, p.technique == bound
	}
	return l, ok && (lax || l.closed == "")
}

func (r *rights) toAccount(p *place, v *state) (lead, bool) {
	switch p.technique {
	case createPod:
		return lead{why: fmt.Sprintf("a pod in namespace %s can run as any of its ServiceAccounts", v.namespace)}, true
	case controllerTemplate:
		return r.template(p, v.namespace, fmt.Sprintf("the controller creates pods in namespace %s, which can run as any of its ServiceAccounts", v.namespace))
	case execPod, attachPod, debugPod, patchPod:
		return r.insidePod(p, v)
	case nodeProxy:
		for _, wl := range r.runAs[v.account] {
			if r.mountsToken(wl) && r.onProxied(p, wl) {
				return lead{name: p.name, why: fmt.Sprintf("the kubelet runs commands in the pods of %s, which hold a token", wl.Ref)}, true
			}
		}
	case createToken:
		return lead{name: v.account.name, why: "the API server returns a token of the ServiceAccount"}, p.name == "" || p.name == v.account.name
	case readTokenSecret:
		for _, secret := range r.tokens[v.account] {
			if p.name == "" || p.name == secret {
				return lead{name: secret, why: fmt.Sprintf("Secret %s holds a token of the ServiceAccount", secret)}, true
			}
		}
	case mintTokenSecret:
		return lead{why: fmt.Sprintf("a new Secret that names the ServiceAccount in annotation %s is filled with its token", annotation)}, true
	case impersonate:
		return lead{name: v.account.name, why: "requests may say that they come from the ServiceAccount"},
			p.need == impersonateAccounts && (p.name == "" || p.name == v.account.name)
	case approveCertificate:
		return lead{name: clientSigner, why: "a certificate for the ServiceAccount's user name is as good as its token, where the cluster signs for " + clientSigner}, p.name == clientSigner
	case nodeTokens, steerPods:
		return r.onNode(p, v)
	case conversionWebhook, operatorObject:
		return r.operated(p, v)
	}
	return lead{}, false
}

const annotation = "kubernetes.io/service-account.name"

// template judges a right on controllers: a change needs one that is there.
func (r *rights) template(p *place, ns, why string) (lead, bool) {
	l := lead{ns: ns, why: why}
	kind := r.reqs[p.need].kind
	if kind == "" {
		return l, true
	}
	if !r.existing(kind, ns, p.name) {
		return lead{}, false
	}
	l.name = p.name
	if l.name == "" {
		l.name = slices.Min(r.templates[template{ns, kind}])
	}
	return l, true
}

// insidePod is for techniques that get into a running pod of the account.
func (r *rights) insidePod(p *place, v *state) (l lead, ok bool) {
	for _, wl := range r.runAs[v.account] {
		if p.name != "" && !isPodOf(wl, p.name) || !r.mountsToken(wl) || !r.enters(p.technique, wl) {
			continue
		}
		guard := r.changes(p.technique, wl)
		if guard == "" || !ok {
			l, ok = lead{name: p.name, closed: guard, why: fmt.Sprintf("the pods of %s hold a token of the ServiceAccount", wl.Ref)}, true
		}
		if guard == "" {
			break
		}
	}
	return l, ok
}

// changes names what refuses a technique that changes the pods of a workload, ""
// for nothing, or when it changes none.
func (r *rights) changes(t technique, wl *evidence.Workload) string {
	if t != patchPod && t != debugPod {
		return ""
	}
	return r.frozen(wl)
}

func (r *rights) enters(t technique, wl *evidence.Workload) bool {
	if t != attachPod {
		return true
	}
	for c := range wl.Containers() {
		if c.Stdin {
			return true
		}
	}
	return false
}

// onProxied reports whether a pod of a workload runs on a node that a right on
// nodes/proxy reaches.
func (r *rights) onProxied(p *place, wl *evidence.Workload) bool {
	return p.name == "" || wl.Pod.NodeName == p.name || r.everyNode(wl)
}

func (r *rights) onNode(p *place, v *state) (lead, bool) {
	for _, wl := range r.runAs[v.account] {
		if p.technique == steerPods {
			if wl.Kind == "Pod" || wl.Kind == "DaemonSet" {
				continue // nothing makes it anew on another node
			}
			return lead{why: fmt.Sprintf("the pods of %s are driven to a node that the subject is root on, which holds their token", wl.Ref)}, true
		}
		if p.name == "" {
			return lead{why: fmt.Sprintf("a node that runs a pod of %s gets tokens of its ServiceAccount", wl.Ref)}, true
		}
		if wl.Pod.NodeName == p.name {
			return lead{why: fmt.Sprintf("a pod of %s runs on node %s, which gets tokens of its ServiceAccount", wl.Ref, p.name)}, true
		}
		if r.everyNode(wl) {
			return lead{why: fmt.Sprintf("a pod of %s runs on every node, which gets tokens of its ServiceAccount", wl.Ref)}, true
		}
	}
	return lead{}, false
}

func (r *rights) operated(p *place, v *state) (lead, bool) {
	for _, o := range r.operators {
		if o.account != v.account {
			continue
		}
		if p.technique == conversionWebhook {
			if p.name == "" || p.name == o.resource {
				return lead{name: o.resource, why: fmt.Sprintf("a conversion webhook rewrites what %s reads of %s, and it applies that as this ServiceAccount", o.program, o.resource)}, true
			}
			continue
		}
		if p.need == o.need {
			return lead{why: fmt.Sprintf("%s applies as this ServiceAccount what such an object describes", o.program)}, true
		}
	}
	return lead{}, false
}

func (r *rights) toIdentity(p *place, v *state) (lead, bool) {
	node := v.kind == aGroup && v.name == nodesGroup
	if p.kubelet || v.kind == aKubelet {
		return lead{why: "requests may say that they come from a kubelet, by its user and the group " + nodesGroup},
			p.kubelet && (v.kind == aKubelet && p.name == v.name || node && p.name == "")
	}
	switch p.technique {
	case impersonate:
		if p.name != "" && p.name != v.name {
			return lead{}, false
		}
		return lead{name: v.name, why: "requests may say that they come from " + v.name},
			v.kind == aUser && p.need == impersonateUsers || v.kind == aGroup && p.need == impersonateGroups && !node
	case approveCertificate:
		if p.name == kubeletSigner && !node || v.name == rbac.Masters || v.name == rbac.Unauthenticated {
			return lead{}, false
		}
		return lead{name: p.name, why: fmt.Sprintf("the certificate names %s, where the cluster signs for %s", v.name, p.name)}, true
	case nodeCertificate:
		return lead{why: "the controller that joins nodes approves the certificate of any node"}, node
	}
	return lead{}, false
}

func (r *rights) toSecrets(p *place, v *state) (lead, bool) {
	switch p.technique {
	case readNamespaceSecrets:
		return lead{why: "reading Secrets returns their values, by their names where only get is allowed"}, true
	case createPod:
		return lead{why: "a pod mounts any Secret of its namespace whose name is known"}, true
	case controllerTemplate:
		return r.template(p, v.namespace, "the pods that the controller creates mount any Secret of their namespace whose name is known")
	case validatingWebhook:
		return lead{name: p.name, why: "every Secret that is written from then on is sent to the webhook"}, true
	}
	return lead{}, false
}

func (r *rights) toNode(p *place, chosen, lax bool) (lead, bool) {
	switch p.technique {
	case createPod, controllerTemplate:
		if !chosen {
			return lead{}, false
		}
		return r.podOnNode(p, lax, []string{baseline, restricted}, "a privileged pod on any node that it names is root there")
	case hostPathVolume:
		if !chosen {
			return lead{}, false
		}
		return r.podOnNode(p, lax, nil, "a pod claims a volume that is a folder of the node; no Pod Security level looks at it")
	case relabelNamespace:
		return r.relabeled(p, chosen)
	case liftPolicy:
		return r.lifted(p, chosen)
	case newNamespace:
		return r.founded(chosen)
	case execPod, attachPod, patchPod, nodeProxy:
		return r.throughEscape(p, chosen, lax)
	case debugPod:
		return r.debugged(p, chosen, lax)
	}
	return lead{}, false
}

// podOnNode finds the namespace in which a pod that breaks some levels is let in:
// the first one that is open, or else, with lax, the first one.
func (r *rights) podOnNode(p *place, lax bool, broken []string, why string) (lead, bool) {
	spaces := r.namespaces
	if p.ns != "" {
		spaces = []string{p.ns}
	}
	var first lead
	found := false
	for _, ns := range spaces {
		l := lead{ns: ns, why: why}
		if p.technique == controllerTemplate {
			var ok bool
			if l, ok = r.template(p, ns, why); !ok {
				continue
			}
		}
		guard, note := r.admits(ns, broken...)
		if l.why, l.closed = why+note, guard; guard == "" {
			return l, true
		}
		if !found {
			first, found = l, true
		}
	}
	return first, found && lax
}

// relabeled finds a namespace whose level has to be lifted.
func (r *rights) relabeled(p *place, chosen bool) (lead, bool) {
	if !chosen {
		return lead{}, false
	}
	spaces := r.namespaces
	if p.ns != "" {
		spaces = []string{p.ns}
	}
	for _, ns := range spaces {
		if l := r.level(ns); (l == baseline || l == restricted) && len(r.policies.refuse(ns)) == 0 {
			return lead{ns: ns, name: ns, why: fmt.Sprintf("without its label namespace %s enforces Pod Security level %s no longer, and a privileged pod there is root on any node%s", ns, l, r.doubts(ns))}, true
		}
	}
	return lead{}, false
}

// founded judges a pod in a namespace that is not there yet.
func (r *rights) founded(chosen bool) (lead, bool) {
	ns := "new"
	for slices.Contains(r.namespaces, ns) {
		ns += "-new"
	}
	l := lead{why: "a new namespace has no label that enforces a Pod Security level, only a default of the API server, which cannot be seen, and a privileged pod there is root on any node" + r.doubts(ns)}
	if list := r.policies.refuse(ns); len(list) > 0 {
		l.closed = fmt.Sprintf("ValidatingAdmissionPolicy %s in a new namespace", strings.Join(list, ", "))
	}
	return l, chosen
}

// lifted finds a namespace that nothing but one policy guards.
func (r *rights) lifted(p *place, chosen bool) (lead, bool) {
	spaces := r.namespaces
	if p.ns != "" {
		spaces = []string{p.ns}
	}
	for _, ns := range spaces {
		if l := r.level(ns); !chosen || l == baseline || l == restricted {
			continue
		}
		if o := r.liftable(p, ns); o != "" {
			return lead{ns: ns, name: o, why: fmt.Sprintf("without %s nothing that is seen refuses a privileged pod in namespace %s, which is root on any node%s", o, ns, r.doubts(ns))}, true
		}
	}
	return lead{}, false
}

// liftable names the policy, or the binding, whose end leaves a namespace open; ""
// when there is none, or others may be left.
func (r *rights) liftable(p *place, ns string) string {
	names := r.policies.refuse(ns)
	if len(names) == 1 && p.need == liftPolicyBindings {
		names = r.policies.bindings[names[0]]
	}
	if len(names) != 1 || p.name != "" && p.name != names[0] {
		return ""
	}
	return names[0]
}

func (r *rights) throughEscape(p *place, chosen, lax bool) (l lead, ok bool) {
	pod := p.name
	if p.technique == nodeProxy {
		pod = ""
	}
	r.reachable(p.ns, pod, func(wl *evidence.Workload) bool {
		how := r.escapes[wl]
		if how == "" || !r.enters(p.technique, wl) {
			return true
		}
		if p.technique == nodeProxy && !r.onProxied(p, wl) || chosen && !r.anyNode(wl) {
			return true
		}
		guard := r.changes(p.technique, wl)
		if guard == "" || lax && !ok {
			l, ok = lead{ns: wl.Namespace, name: p.name, closed: guard, why: fmt.Sprintf("a container of %s %s", wl.Ref, how)}, true
		}
		return guard != ""
	})
	return l, ok
}

func (r *rights) debugged(p *place, chosen, lax bool) (l lead, ok bool) {
	r.reachable(p.ns, p.name, func(wl *evidence.Workload) bool {
		if chosen && !r.anyNode(wl) {
			return true
		}
		// Policies on pods are not asked about containers that are added.
		guard, note := r.leveled(wl.Namespace, baseline, restricted)
		note += r.doubts(wl.Namespace)
		if guard == "" || lax && !ok {
			l, ok = lead{ns: wl.Namespace, name: p.name, closed: guard,
				why: fmt.Sprintf("a privileged container that is added to a pod of %s is root on its node%s", wl.Ref, note)}, true
		}
		return guard != ""
	})
	return l, ok
}
