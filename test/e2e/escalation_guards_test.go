//go:build cluster

package e2e

import "github.com/gabion-k8s/gabion/internal/report"

const ci = "system:serviceaccount:team:ci"

// guards are what is added to an example to close a path in it.
func guards() map[string][]guard {
	return map[string][]guard{
		"control-plane-node": {
			{from: ci, to: "node", levels: map[string]string{"team": "baseline"},
				open:   ci + " -> create-pods -> node",
				closed: ci + " -> create-pods -> node | Pod Security level baseline of namespace team"},
			{from: ci, to: "cluster-admin", levels: map[string]string{"team": "restricted"},
				open:   ci + " -> create-pods -> node -> control-plane-node -> cluster-admin",
				closed: ci + " -> create-pods -> node -> control-plane-node -> cluster-admin | Pod Security level restricted of namespace team"},
			{from: ci, to: "node", objects: noNode("no-node"),
				open:   ci + " -> create-pods -> node",
				closed: ci + " -> create-pods -> node | ValidatingAdmissionPolicy no-node in namespace team"},
		},
		// Who is no longer let in privileged can still be somebody else, who is.
		"create-pods": {
			{from: ci, to: "node", levels: map[string]string{"team": "restricted"},
				open:    ci + " -> create-pods -> node",
				instead: ci + " -> create-pods -> system:serviceaccount:team:boss -> create-pods -> node"},
			{from: ci, to: "secrets:team", levels: map[string]string{"team": "restricted"},
				open:    ci + " -> create-pods -> secrets:team",
				instead: ci + " -> create-pods -> secrets:team"},
		},
		"controller-templates": {
			{from: "alice", to: "node", levels: map[string]string{"team": "baseline"},
				open:    "alice -> controller-templates -> node",
				instead: "alice -> controller-templates -> system:serviceaccount:team:boss -> create-pods -> node"},
			{from: "alice", to: "node", objects: noNode("no-node"),
				open:    "alice -> controller-templates -> node",
				instead: "alice -> controller-templates -> system:serviceaccount:team:boss -> ephemeral-containers -> node"},
		},
		"ephemeral-containers": {
			{from: ci, to: "node", levels: map[string]string{"team": "baseline"},
				open:    ci + " -> ephemeral-containers -> node",
				instead: ci + " -> ephemeral-containers -> system:serviceaccount:team:boss -> create-pods -> node"},
			// A policy on pods is not asked about the containers that are added to one.
			{from: ci, to: "node", objects: noNode("no-node"),
				open:    ci + " -> ephemeral-containers -> node",
				instead: ci + " -> ephemeral-containers -> node"},
		},
		"hostpath-volume": {
			{from: ci, to: "node", levels: map[string]string{"team": "restricted"},
				open:    ci + " -> hostpath-volume -> node",
				instead: ci + " -> hostpath-volume -> node"},
		},
	}
}

// noNode is a policy that keeps pods off the node.
func noNode(name string) []object {
	const group = "admissionregistration.k8s.io/v1"
	return []object{
		{"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": object{"name": name}, "spec": object{
			"failurePolicy": "Fail",
			"matchConstraints": object{"resourceRules": []any{object{"apiGroups": []any{""}, "apiVersions": []any{"v1"},
				"operations": []any{"CREATE", "UPDATE"}, "resources": []any{"pods"}}}},
			"validations": []any{object{"expression": `!(has(object.spec.hostPID) && object.spec.hostPID) && ` +
				`!(has(object.spec.volumes) && object.spec.volumes.exists(v, has(v.hostPath))) && ` +
				`object.spec.containers.all(c, !(has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged))`}},
		}},
		{"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": object{"name": name}, "spec": object{
			"policyName": name, "validationActions": []any{"Deny"},
		}},
	}
}

// inReality are the chains that differ where there is all that Kubernetes ships:
// by what is asked for and the chain of the example, those in its place.
func inReality() map[string]map[string]string {
	aggregation := " -> approve-certificate -> system:serviceaccount:kube-system:clusterrole-aggregation-controller -> escalate -> cluster-admin"
	return map[string]map[string]string{
		"bound": {"secrets:team: system:masters -> bound -> secrets:team": "system:masters -> read-secrets -> secrets:team"},
		"approve-certificate": {
			"cluster-admin: " + ci + " -> approve-certificate -> system:serviceaccount:team:boss -> bound -> cluster-admin": ci + aggregation},
		"approve-masters":     {"cluster-admin: none": ci + aggregation},
		"impersonate-kubelet": {"cluster-admin: erin -> impersonate -> system:nodes -> node-tokens -> system:serviceaccount:team:boss -> bound -> cluster-admin": "erin -> impersonate -> system:kube-controller-manager -> create-token -> system:serviceaccount:kube-system:clusterrole-aggregation-controller -> escalate -> cluster-admin"},
	}
}

// emulated are paths that are open in an API server which emulates the version of
// the example. Its version is still its own, so the program is not asked. Among them
// is one that is open everywhere, in whose place the program names another.
func emulated() map[string][]report.Path {
	boss := "system:serviceaccount:team:boss"
	return map[string][]report.Path{
		"exec-get": {{From: ci, To: boss, Hops: []report.Hop{
			{From: ci, To: boss, Technique: "exec", Permission: &report.Permission{Verb: "get", Resource: "pods/exec", Namespace: "team"}},
		}}},
		"impersonate-kubelet": {{From: "erin", To: boss, Hops: []report.Hop{
			{From: "erin", To: "system:nodes", Technique: "impersonate", Permission: &report.Permission{Verb: "impersonate", Resource: "groups", Name: "system:nodes"},
				Also: []report.Permitted{{Permission: report.Permission{Verb: "impersonate", Resource: "users"}}}},
			{From: "system:nodes", To: boss, Technique: "node-tokens"},
		}}},
	}
}

// refused are single hops that are tried where nothing is found to carry out.
func refused() map[string][]report.Hop {
	boss := "system:serviceaccount:team:boss"
	list := map[string][]report.Hop{
		"exec-get-135": {
			{From: ci, To: boss, Technique: "exec", Permission: &report.Permission{Verb: "get", Resource: "pods/exec", Namespace: "team"}},
			{From: ci, To: boss, Technique: "exec", Permission: &report.Permission{Verb: "create", Resource: "pods/exec", Namespace: "team"}},
		},
		"exec-get":            {{From: ci, To: boss, Technique: "exec", Permission: &report.Permission{Verb: "create", Resource: "pods/exec", Namespace: "team"}}},
		"mutating-policy-135": {{From: ci, To: "cluster-admin", Technique: "mutating-policy"}},
		// What their rights are for, and lead nowhere.
		"attach": {{From: "alice", To: "system:serviceaccount:other:boss", Technique: "attach",
			Permission: &report.Permission{Verb: "create", Resource: "pods/attach", Namespace: "other"}}},
		"escalate": {{From: "alice", To: "cluster-admin", Technique: "escalate",
			Permission: &report.Permission{Verb: "escalate", APIGroup: rbacGroup, Resource: "clusterroles", Name: "ci"},
			Also:       []report.Permitted{{Permission: report.Permission{Verb: "update"}}}}},
		"operator-object": {
			{From: "alice", To: "system:serviceaccount:argocd:argocd-application-controller", Technique: "operator-object",
				Permission: &report.Permission{Verb: "create", APIGroup: "argoproj.io", Resource: "applications", Namespace: "team"}},
			{From: "carol", To: "system:serviceaccount:flux-system:helm-controller", Technique: "operator-object",
				Permission: &report.Permission{Verb: "create", APIGroup: "helm.toolkit.fluxcd.io", Resource: "helmreleases", Namespace: "team"}},
		},
		"approve-certificate": {{From: ci, To: "system:masters", Technique: "approve-certificate"}},
		"hardened": {
			{From: ci, To: "system:serviceaccount:web:app", Technique: "bind",
				Permission: &report.Permission{Verb: "bind", APIGroup: rbacGroup, Resource: "clusterroles", Namespace: "web", Name: "cluster-admin"},
				Also:       []report.Permitted{{Permission: report.Permission{Verb: "create", APIGroup: rbacGroup, Resource: "rolebindings", Namespace: "web"}}}},
			{From: ci, To: "system:serviceaccount:web:app", Technique: "escalate",
				Permission: &report.Permission{Verb: "escalate", APIGroup: rbacGroup, Resource: "roles", Namespace: "web", Name: "deploy"},
				Also:       []report.Permitted{{Permission: report.Permission{Verb: "patch"}}}},
		},
	}
	// Every technique in the hardened cluster, by whoever is asked about there.
	for _, from := range []string{ci, "system:serviceaccount:ops:boss", "system:serviceaccount:web:app", "system:authenticated", "system:anonymous"} {
		for technique := range executors() {
			to := "system:serviceaccount:ops:boss"
			if from == to {
				to = "system:serviceaccount:web:app"
			}
			switch technique {
			case "bound", "bind", "escalate", "mutating-webhook", "mutating-policy", "control-plane-node":
				to = "cluster-admin"
			case "hostpath-volume", "relabel-namespace", "lift-policy", "new-namespace":
				to = "node"
			case "read-secrets", "validating-webhook":
				to = "secrets:team"
			case "approve-certificate", "node-certificate":
				to = "system:nodes"
			}
			h := report.Hop{From: from, To: to, Technique: technique}
			if technique == "operator-object" {
				h.Permission = &report.Permission{Verb: "create", APIGroup: "argoproj.io", Resource: "applications", Namespace: "ops"}
			}
			list["hardened"] = append(list["hardened"], h)
		}
	}
	return list
}
