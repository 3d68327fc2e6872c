package escalate

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	standards "k8s.io/pod-security-admission/policy"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// An account names a ServiceAccount.
type account struct{ namespace, name string }

func accountOf(w *evidence.Workload) account {
	return account{w.Namespace, w.ServiceAccountName()}
}

// world is what the snapshot shows apart from rights, looked up by namespace.
type world struct {
	snap    *evidence.Snapshot
	version evidence.Version

	namespaces []string // sorted
	labels     map[string]map[string]string
	accounts   []account // sorted: those that exist, as far as seen
	// running are the workloads that have pods, by namespace and by account.
	running map[string][]*evidence.Workload
	runAs   map[account][]*evidence.Workload
	noToken map[account]bool // ServiceAccounts that mount no token unless a pod asks for it
	// templates are the names of the objects with pod templates, by namespace and
	// kind.
	templates map[template][]string
	roles     map[string][]*evidence.Ref // by namespace
	// tokens are the names of the Secrets that hold a token, by account.
	tokens map[account][]string
	// escapes are the workloads whose containers reach the node, and how.
	escapes map[*evidence.Workload]string
	// controlPlane names a node of the control plane, or a pod that shows that there
	// is one; "" when none is seen. Those that are seen are in masters.
	controlPlane string
	masters      map[string]bool
	operators    []*operator              // those that run here
	applied      map[need][]*evidence.Ref // the objects of operators
	webhooks     podWebhooks
	policies     *podPolicies
	has          map[string]bool               // kinds of admission objects that there are
	nodes        map[string]bool               // empty when none are seen
	aggregated   map[string]bool               // ClusterRoles that are seen, and whether they collect others
	judge        func() standards.Evaluator    // nil for a version that the standards do not know
	below        map[*evidence.Workload]string // known answers of frozen
}

type template struct{ namespace, kind string }

func newWorld(snap *evidence.Snapshot, version evidence.Version) *world {
	w := &world{
		snap: snap, version: version,
		labels:  map[string]map[string]string{},
		running: map[string][]*evidence.Workload{}, runAs: map[account][]*evidence.Workload{},
		noToken: map[account]bool{}, templates: map[template][]string{}, tokens: map[account][]string{},
		judge: sync.OnceValue(func() standards.Evaluator { return newJudge(version) }), below: map[*evidence.Workload]string{},
		escapes: map[*evidence.Workload]string{}, has: map[string]bool{}, applied: map[need][]*evidence.Ref{}, masters: map[string]bool{}, nodes: map[string]bool{}, aggregated: map[string]bool{}, roles: map[string][]*evidence.Ref{},
	}
	namespaces, accounts := map[string]bool{}, map[account]bool{}
	for _, ns := range snap.Namespaces {
		namespaces[ns.Name], w.labels[ns.Name] = true, ns.Labels
	}
	for _, sa := range snap.ServiceAccounts {
		a := account{sa.Namespace, sa.Name}
		accounts[a] = true
		if off := sa.Value.AutomountServiceAccountToken; off != nil && !*off {
			w.noToken[a] = true
		}
	}
	for _, wl := range snap.Workloads {
		w.addWorkload(wl)
		accounts[accountOf(wl)] = true
	}
	for a := range accounts {
		if a.namespace != "" {
			namespaces[a.namespace] = true
		}
	}
	w.namespaces = slices.Sorted(maps.Keys(namespaces))
	for _, ns := range w.namespaces {
		accounts[account{ns, "default"}] = true // the controller makes it
	}
	for a := range accounts {
		if a.namespace != "" {
			w.accounts = append(w.accounts, a)
		}
	}
	slices.SortFunc(w.accounts, compareAccounts)
	for _, role := range snap.Roles {
		w.roles[role.Namespace] = append(w.roles[role.Namespace], role.Ref)
	}
	for _, role := range snap.ClusterRoles {
		rule := role.Value.AggregationRule
		w.aggregated[role.Name] = w.aggregated[role.Name] || rule != nil && len(rule.ClusterRoleSelectors) > 0
	}
	w.addSecrets()
	w.addNodes()
	w.addOperators()
	w.addAdmission()
	return w
}

func compareAccounts(a, b account) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

func (w *world) addWorkload(wl *evidence.Workload) {
	if wl.Namespace == "" {
		return
	}
	key := template{wl.Namespace, wl.Kind}
	w.templates[key] = append(w.templates[key], wl.Name)
	if !runs(wl) {
		return
	}
	w.running[wl.Namespace] = append(w.running[wl.Namespace], wl)
	if _, mirror := wl.Annotations[corev1.MirrorPodAnnotationKey]; !mirror { // those have no ServiceAccount
		w.runAs[accountOf(wl)] = append(w.runAs[accountOf(wl)], wl)
	}
	if how := escape(wl); how != "" {
		w.escapes[wl] = how
	}
	if wl.Kind == "Pod" && wl.Namespace == "kube-system" && wl.PodLabels["component"] == "kube-apiserver" {
		w.controlPlane = wl.Ref.String()
	}
}

// runs reports whether a workload has pods, or wants some.
func runs(wl *evidence.Workload) bool {
	return wl.Running > 0 || wl.Kind != "PodTemplate" && (wl.Replicas == nil || *wl.Replicas > 0)
}

func (w *world) addSecrets() {
	for _, s := range w.snap.Secrets {
		if s.Type != corev1.SecretTypeServiceAccountToken {
			continue
		}
		a := account{s.Namespace, s.Annotations[corev1.ServiceAccountNameKey]}
		w.tokens[a] = append(w.tokens[a], s.Name)
	}
}

var controlPlaneLabels = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

func (w *world) addNodes() {
	for _, n := range w.snap.Nodes {
		w.nodes[n.Name] = true
		for _, label := range controlPlaneLabels {
			if _, ok := n.Labels[label]; ok {
				w.controlPlane = n.Ref.String()
				w.masters[n.Name] = true
			}
		}
	}
}

func (w *world) addAdmission() {
	w.has[mutatingWebhooks] = len(w.snap.MutatingWebhooks) > 0
	w.has[validatingWebhooks] = len(w.snap.ValidatingWebhooks) > 0
	for _, ref := range w.snap.Objects {
		switch ref.Kind {
		case "MutatingAdmissionPolicy":
			w.has[mutatingPolicies] = true
		case "MutatingAdmissionPolicyBinding":
			w.has[mutatingPolicyBindings] = true
		}
	}
	w.webhooks, w.policies = newPodWebhooks(w.snap), newPodPolicies(w.snap)
}

// collects reports whether a role takes the rules of others by their labels.
func (w *world) collects(role *rbac.Role) bool {
	if role.Kind != "ClusterRole" {
		return false
	}
	if collects, seen := w.aggregated[role.Name]; seen {
		return collects
	}
	return role.BuiltIn && slices.Contains([]string{"admin", "edit", "view"}, role.Name)
}

// isNode reports whether a node is there, or may be, where none are seen.
func (w *world) isNode(name string) bool {
	return name != "" && (len(w.nodes) == 0 || w.nodes[name])
}

// rolesIn are the Roles of a namespace, or of all.
func (w *world) rolesIn(namespace string) (list []*evidence.Ref) {
	if namespace != "" {
		return w.roles[namespace]
	}
	for _, ns := range slices.Sorted(maps.Keys(w.roles)) {
		list = append(list, w.roles[ns]...)
	}
	return list
}

// mountsToken reports whether the containers of a workload find a token of its
// ServiceAccount.
func (w *world) mountsToken(wl *evidence.Workload) bool {
	for _, v := range wl.Pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == "" {
				return true
			}
		}
	}
	if own := wl.Pod.AutomountServiceAccountToken; own != nil {
		return *own
	}
	return !w.noToken[accountOf(wl)]
}

// everyNode reports whether a workload has a pod on every node, or there is one
// node only.
func (w *world) everyNode(wl *evidence.Workload) bool {
	if len(w.snap.Nodes) == 1 && w.snap.Cluster != nil {
		return true
	}
	if wl.Kind != "DaemonSet" || len(wl.Pod.NodeSelector) > 0 || wl.Pod.Affinity != nil {
		return false
	}
	if w.controlPlane == "" {
		return true
	}
	return slices.ContainsFunc(wl.Pod.Tolerations, func(t corev1.Toleration) bool {
		return t.Operator == corev1.TolerationOpExists && (t.Key == "" || slices.Contains(controlPlaneLabels, t.Key))
	})
}

// anyNode reports whether root on the nodes of a workload is as good as root on
// whatever node is wanted: it has a pod on every one, or on the control plane.
func (w *world) anyNode(wl *evidence.Workload) bool {
	return w.everyNode(wl) || w.masters[wl.Pod.NodeName]
}

// isPodOf reports whether a pod of this name can be one of the workload's.
func isPodOf(wl *evidence.Workload, pod string) bool {
	return pod == wl.Instance || pod == wl.Name || wl.Kind != "Pod" && strings.HasPrefix(pod, wl.Name+"-")
}

// nodePaths are folders of a node that make who may write below them root there.
var nodePaths = []string{"/", "/etc", "/root", "/home", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/boot", "/dev", "/proc", "/sys", "/run", "/var", "/var/run", "/var/lib"}

// nodeTrees are folders of which every part does.
var nodeTrees = []string{"/etc/kubernetes", "/etc/cron.d", "/etc/systemd", "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/docker", "/var/lib/etcd", "/var/spool/cron",
	"/run/containerd", "/var/run/containerd", "/run/crio", "/var/run/crio", "/run/docker.sock", "/var/run/docker.sock"}

// nodeCapabilities reach the node from a container that sees its processes.
var nodeCapabilities = []corev1.Capability{"ALL", "SYS_ADMIN", "SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}

// escape says how whoever runs commands in a container of a workload is root on
// its node, "" if it is not seen that they are.
func escape(wl *evidence.Workload) string {
	if wl.Windows() {
		return ""
	}
	writable := map[string]string{}
	for _, v := range wl.Pod.Volumes {
		if v.HostPath != nil && reachesNode(path.Clean(v.HostPath.Path)) {
			writable[v.Name] = v.HostPath.Path
		}
	}
	for c := range wl.Containers() {
		if c.SecurityContext != nil {
			if p := c.SecurityContext.Privileged; p != nil && *p {
				return "is privileged"
			}
			if add := c.SecurityContext.Capabilities; add != nil && wl.Pod.HostPID && slices.ContainsFunc(add.Add, func(x corev1.Capability) bool { return slices.Contains(nodeCapabilities, x) }) {
				return "sees the node's processes and may trace them"
			}
		}
		for _, m := range c.VolumeMounts {
			if host := writable[m.Name]; host != "" && !m.ReadOnly {
				return "writes to " + host + " of the node"
			}
		}
	}
	return ""
}

func reachesNode(p string) bool {
	return slices.Contains(nodePaths, p) || slices.ContainsFunc(nodeTrees, func(t string) bool { return p == t || strings.HasPrefix(p, t+"/") })
}
