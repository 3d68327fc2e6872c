package escalate

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// A need is a right that a technique takes: any one of some requests.
type need int

// The needs.
const (
	everything need = iota
	createPods
	createTemplates
	changeDeployments
	changeDaemonSets
	changeStatefulSets
	changeReplicaSets
	changeReplicationControllers
	changeCronJobs
	patchPods
	execPods
	attachPods
	debugPods
	createTokens
	createSecrets
	readSecrets
	impersonateAccounts
	impersonateUsers
	impersonateGroups
	createClusterBindings
	changeClusterBindings
	createBindings
	changeBindings
	bindClusterRoles
	bindRoles
	changeClusterRoles
	escalateClusterRoles
	changeRoles
	escalateRoles
	createRequests
	readRequests
	approveRequests
	approveSigners
	nodeClientRequests
	proxyNodes
	changeNodes
	createMutatingWebhooks
	changeMutatingWebhooks
	createValidatingWebhooks
	changeValidatingWebhooks
	createMutatingPolicies
	changeMutatingPolicies
	createMutatingPolicyBindings
	changeMutatingPolicyBindings
	changeDefinitions
	createVolumes
	createClaims
	relabelNamespaces
	liftPolicies
	liftPolicyBindings
	createClusterRoles
	createNamespaces
	writeArgoApplications
	writeFluxKustomizations
	writeFluxReleases
	writeCrossplaneObjects
	writeCrossplaneReleases
	needs // how many there are
)

// A requirement says which requests meet a need.
type requirement struct {
	verbs     []string
	group     string
	resources []string
	// wide is set for requests that are about no namespace: a RoleBinding gives none.
	wide bool
	// named is set for requests that name the object that they are about: a rule with
	// resourceNames allows those.
	named bool
	// kind is that of the objects which have to be there already, "" for none.
	kind string
}

const (
	rbacGroup         = rbacv1.GroupName
	admissionGroup    = "admissionregistration.k8s.io"
	certificatesGroup = "certificates.k8s.io"

	mutatingWebhooks       = "mutatingwebhookconfigurations"
	validatingWebhooks     = "validatingwebhookconfigurations"
	mutatingPolicies       = "mutatingadmissionpolicies"
	mutatingPolicyBindings = "mutatingadmissionpolicybindings"
)

// requirements are the needs of a version.
func requirements(v evidence.Version) *[needs]requirement {
	create, change, read := []string{"create"}, []string{"update", "patch"}, []string{"list", "watch", "get"}
	write := []string{"create", "update", "patch"}
	connect := []string{"create"}
	if !v.AtLeast(35) {
		// A WebSocket is opened by a GET, which the API server held for a get until
		// AuthorizePodWebsocketUpgradeCreatePermission.
		connect = []string{"create", "get"}
	}
	only := func(r string) []string { return []string{r} }
	return &[needs]requirement{
		everything:                   {verbs: only("*"), group: "*", resources: only("*"), wide: true},
		createPods:                   {verbs: create, resources: only("pods")},
		createTemplates:              {verbs: create, resources: []string{"deployments", "daemonsets", "statefulsets", "replicasets", "jobs", "cronjobs", "replicationcontrollers"}},
		changeDeployments:            {verbs: change, group: "apps", resources: only("deployments"), named: true, kind: "Deployment"},
		changeDaemonSets:             {verbs: change, group: "apps", resources: only("daemonsets"), named: true, kind: "DaemonSet"},
		changeStatefulSets:           {verbs: change, group: "apps", resources: only("statefulsets"), named: true, kind: "StatefulSet"},
		changeReplicaSets:            {verbs: change, group: "apps", resources: only("replicasets"), named: true, kind: "ReplicaSet"},
		changeReplicationControllers: {verbs: change, resources: only("replicationcontrollers"), named: true, kind: "ReplicationController"},
		changeCronJobs:               {verbs: change, group: "batch", resources: only("cronjobs"), named: true, kind: "CronJob"},
		patchPods:                    {verbs: []string{"patch", "update"}, resources: only("pods"), named: true},
		execPods:                     {verbs: connect, resources: only("pods/exec"), named: true},
		attachPods:                   {verbs: connect, resources: only("pods/attach"), named: true},
		debugPods:                    {verbs: []string{"patch", "update"}, resources: only("pods/ephemeralcontainers"), named: true},
		createTokens:                 {verbs: create, resources: only("serviceaccounts/token"), named: true},
		createSecrets:                {verbs: create, resources: only("secrets")},
		readSecrets:                  {verbs: read, resources: only("secrets"), named: true},
		impersonateAccounts:          {verbs: only("impersonate"), resources: only("serviceaccounts"), named: true},
		impersonateUsers:             {verbs: only("impersonate"), resources: only("users"), wide: true, named: true},
		impersonateGroups:            {verbs: only("impersonate"), resources: only("groups"), wide: true, named: true},
		createClusterBindings:        {verbs: create, group: rbacGroup, resources: only("clusterrolebindings"), wide: true},
		changeClusterBindings:        {verbs: change, group: rbacGroup, resources: only("clusterrolebindings"), wide: true, named: true},
		createBindings:               {verbs: create, group: rbacGroup, resources: only("rolebindings")},
		changeBindings:               {verbs: change, group: rbacGroup, resources: only("rolebindings"), named: true},
		// To bind is asked about in the namespace of the binding, for ClusterRoles too.
		bindClusterRoles:             {verbs: only("bind"), group: rbacGroup, resources: only("clusterroles"), named: true},
		bindRoles:                    {verbs: only("bind"), group: rbacGroup, resources: only("roles"), named: true},
		changeClusterRoles:           {verbs: change, group: rbacGroup, resources: only("clusterroles"), wide: true, named: true},
		escalateClusterRoles:         {verbs: only("escalate"), group: rbacGroup, resources: only("clusterroles"), wide: true, named: true},
		changeRoles:                  {verbs: change, group: rbacGroup, resources: only("roles"), named: true},
		escalateRoles:                {verbs: only("escalate"), group: rbacGroup, resources: only("roles"), named: true},
		createRequests:               {verbs: create, group: certificatesGroup, resources: only("certificatesigningrequests"), wide: true},
		readRequests:                 {verbs: read, group: certificatesGroup, resources: only("certificatesigningrequests"), wide: true},
		approveRequests:              {verbs: change, group: certificatesGroup, resources: only("certificatesigningrequests/approval"), wide: true},
		approveSigners:               {verbs: only("approve"), group: certificatesGroup, resources: only("signers"), wide: true, named: true},
		nodeClientRequests:           {verbs: create, group: certificatesGroup, resources: only("certificatesigningrequests/nodeclient"), wide: true},
		proxyNodes:                   {verbs: []string{"get", "create"}, resources: only("nodes/proxy"), wide: true, named: true},
		changeNodes:                  {verbs: []string{"patch", "update"}, resources: []string{"nodes", "nodes/status"}, wide: true},
		createMutatingWebhooks:       {verbs: create, group: admissionGroup, resources: only(mutatingWebhooks), wide: true},
		changeMutatingWebhooks:       {verbs: change, group: admissionGroup, resources: only(mutatingWebhooks), wide: true, named: true, kind: mutatingWebhooks},
		createValidatingWebhooks:     {verbs: create, group: admissionGroup, resources: only(validatingWebhooks), wide: true},
		changeValidatingWebhooks:     {verbs: change, group: admissionGroup, resources: only(validatingWebhooks), wide: true, named: true, kind: validatingWebhooks},
		createMutatingPolicies:       {verbs: create, group: admissionGroup, resources: only(mutatingPolicies), wide: true},
		changeMutatingPolicies:       {verbs: change, group: admissionGroup, resources: only(mutatingPolicies), wide: true, named: true, kind: mutatingPolicies},
		createMutatingPolicyBindings: {verbs: create, group: admissionGroup, resources: only(mutatingPolicyBindings), wide: true},
		changeMutatingPolicyBindings: {verbs: change, group: admissionGroup, resources: only(mutatingPolicyBindings), wide: true, named: true, kind: mutatingPolicyBindings},
		changeDefinitions:            {verbs: change, group: "apiextensions.k8s.io", resources: only("customresourcedefinitions"), wide: true, named: true},
		createVolumes:                {verbs: create, resources: only("persistentvolumes"), wide: true},
		createClaims:                 {verbs: create, resources: only("persistentvolumeclaims")},
		relabelNamespaces:            {verbs: []string{"patch", "update"}, resources: only("namespaces"), named: true},
		liftPolicies:                 {verbs: []string{"delete", "patch", "update"}, group: admissionGroup, resources: only("validatingadmissionpolicies"), wide: true, named: true},
		liftPolicyBindings:           {verbs: []string{"delete", "patch", "update"}, group: admissionGroup, resources: only("validatingadmissionpolicybindings"), wide: true, named: true},
		createClusterRoles:           {verbs: create, group: rbacGroup, resources: only("clusterroles"), wide: true},
		createNamespaces:             {verbs: create, resources: only("namespaces"), wide: true},
		writeArgoApplications:        {verbs: write, group: "argoproj.io", resources: []string{"applications"}, named: true},
		writeFluxKustomizations:      {verbs: write, group: "kustomize.toolkit.fluxcd.io", resources: only("kustomizations"), named: true},
		writeFluxReleases:            {verbs: write, group: "helm.toolkit.fluxcd.io", resources: only("helmreleases"), named: true},
		writeCrossplaneObjects:       {verbs: write, group: "kubernetes.crossplane.io", resources: only("objects"), wide: true, named: true},
		writeCrossplaneReleases:      {verbs: write, group: "helm.crossplane.io", resources: only("releases"), wide: true, named: true},
	}
}

// templateGroup is the API group of a resource that holds pod templates.
func templateGroup(resource string) string {
	switch resource {
	case "jobs", "cronjobs":
		return "batch"
	case "replicationcontrollers":
		return ""
	}
	return "apps"
}

// meets returns the first request of a need that a rule allows. A rule that names
// objects is asked about the first of them.
func (q *requirement) meets(n need, rule *rbacv1.PolicyRule) (rbac.Request, bool) {
	name := ""
	if len(rule.ResourceNames) > 0 {
		if !q.named {
			return rbac.Request{}, false
		}
		name = rule.ResourceNames[0]
	}
	for _, resource := range q.resources {
		group := q.group
		if n == createTemplates {
			group = templateGroup(resource)
		}
		for _, verb := range q.verbs {
			if r := (rbac.Request{Verb: verb, Group: group, Resource: resource, Name: name}); rbac.Allows(rule, r) {
				return r, true
			}
		}
	}
	return rbac.Request{}, false
}

// A met need is one that a rule of a role meets.
type met struct {
	need    need
	rule    int
	request rbac.Request
	names   []string // nil when it holds for every object
}

// meet returns the needs that the rules of a role meet, each rule by itself.
func meet(reqs *[needs]requirement, rules []rbacv1.PolicyRule) (list []met) {
	for i := range rules {
		if len(rules[i].NonResourceURLs) > 0 && len(rules[i].Resources) == 0 {
			continue
		}
		for n := range needs {
			if r, ok := reqs[n].meets(n, &rules[i]); ok {
				list = append(list, met{n, i, r, slices.Compact(slices.Sorted(slices.Values(rules[i].ResourceNames)))})
			}
		}
	}
	return list
}
