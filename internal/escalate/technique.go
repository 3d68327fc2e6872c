package escalate

// A Technique is one way to become somebody else.
type Technique struct {
	// ID is how hops name it.
	ID string
	// Title completes "by …".
	Title string
	// Doc says what it takes and why it works, in Markdown.
	Doc string
}

// A technique is an index into the table below, whose order is that in which
// hops of equal length are preferred.
type technique int

const (
	bound technique = iota
	readNamespaceSecrets
	createToken
	impersonate
	bindRole
	escalateRole
	createPod
	controllerTemplate
	execPod
	attachPod
	debugPod
	patchPod
	readTokenSecret
	mintTokenSecret
	approveCertificate
	nodeCertificate
	nodeProxy
	hostPathVolume
	relabelNamespace
	liftPolicy
	newNamespace
	mutatingWebhook
	mutatingPolicy
	validatingWebhook
	conversionWebhook
	operatorObject
	nodeTokens
	steerPods
	controlPlaneNode
	techniques // how many there are
)

var table = [techniques]Technique{
	bound: {"bound", "its own rights",
		"The subject may do everything already: a rule of its roles allows every verb on every resource of every group, or it is in `system:masters`."},
	readNamespaceSecrets: {"read-secrets", "reading Secrets",
		"`get`, `list` or `watch` on all Secrets of the namespace. Each of the three returns their values."},
	createToken: {"create-token", "asking for a token",
		"`create` on `serviceaccounts/token` returns a token of the ServiceAccount."},
	impersonate: {"impersonate", "impersonation",
		"`impersonate` on `users`, `groups` or `serviceaccounts`. A group can be taken on only together with some user or ServiceAccount; whoever may take on `system:masters` may do everything. The user of a kubelet, `system:node:` and its node, together with the group `system:nodes`, is that kubelet; one without the other is not. The verbs of constrained impersonation (KEP-5284) are not followed, request by request: where a role has them, the answer says that it is not whole."},
	bindRole: {"bind", "binding a role",
		"`bind` on a role lifts the rule that nobody may bind rights that they do not have; with `create`, `update` or `patch` on bindings the subject gives itself the role."},
	escalateRole: {"escalate", "adding rights to a role",
		"`escalate` on a role lifts the rule that nobody may write a role with rights that they do not have; with `update` or `patch` on a role that the subject is bound to it gives itself any right where that binding holds. Where the role collects others by their labels, as `view`, `edit` and `admin` do, it is enough to `create` a ClusterRole with such a label, or to change one that is there."},
	createPod: {"create-pods", "creating a pod",
		"`create` on `pods`: the pod runs as any ServiceAccount of the namespace and mounts any of its Secrets. A privileged one is root on any node, unless the namespace enforces a Pod Security level."},
	controllerTemplate: {"controller-templates", "changing the template of a controller",
		"`create` on Deployments, DaemonSets, StatefulSets, ReplicaSets, ReplicationControllers, Jobs or CronJobs, or `update` or `patch` where there is one: the controller creates the pod that the subject may not."},
	execPod: {"exec", "running commands in a pod",
		"`create` on `pods/exec`, before 1.35 also `get`: the commands run as the pod, find the token that it mounts, and are root on the node when the container reaches it."},
	attachPod: {"attach", "attaching to a pod",
		"`create` on `pods/attach`, before 1.35 also `get`, of a container that reads its standard input."},
	debugPod: {"ephemeral-containers", "adding a container to a pod",
		"`update` or `patch` on `pods/ephemeralcontainers` puts a container into a running pod. It can mount what the pod mounts, its token among that, and be privileged unless the namespace enforces a Pod Security level."},
	patchPod: {"patch-pods", "changing the image of a pod",
		"`update` or `patch` on `pods`: the image of a running pod is one of the few fields that may change, and the kubelet starts it in place of the old one, with the same token and privileges."},
	readTokenSecret: {"read-token-secret", "reading the Secret that holds a token",
		"`get`, `list` or `watch` on a Secret of type `kubernetes.io/service-account-token`."},
	mintTokenSecret: {"mint-token-secret", "having a Secret filled with a token",
		"`create` on Secrets and `get`, `list` or `watch` on them: the token controller fills every new Secret of type `kubernetes.io/service-account-token` with a token of the ServiceAccount that its annotation names."},
	approveCertificate: {"approve-certificate", "approving a certificate",
		"`create` on `certificatesigningrequests`, `update` or `patch` on their `approval` and `approve` on the signer `kubernetes.io/kube-apiserver-client`: the certificate names any user and groups but `system:masters`, which an admission plugin refuses. The signer `kubernetes.io/kube-apiserver-client-kubelet` makes nodes only. To `sign` needs the key of the authority as well, so it is no technique."},
	nodeCertificate: {"node-certificate", "joining as a node",
		"`create` on `certificatesigningrequests/nodeclient`: the controller that joins nodes approves the subject's request for the certificate of any node, one that is there already too."},
	nodeProxy: {"nodes-proxy", "talking to kubelets",
		"`get` or `create` on `nodes/proxy` reaches the whole API of the kubelet, past admission and the audit log of the API server. A GET is enough to open a WebSocket that runs commands in any pod of the node."},
	hostPathVolume: {"hostpath-volume", "making a volume of a node's folder",
		"`create` on `persistentvolumes` with a `hostPath`, and on claims and pods of a namespace. Pod Security judges the pod, not the volume, so that every level lets it pass. Under level restricted the pod is not root, but may be in root's group, which may write to the socket of containerd or CRI-O."},
	relabelNamespace: {"relabel-namespace", "lifting the Pod Security level",
		"`update` or `patch` on the namespace takes its label `pod-security.kubernetes.io/enforce` away; then the subject creates a privileged pod there. A RoleBinding in the namespace is enough for both."},
	liftPolicy: {"lift-policy", "lifting an admission policy",
		"`delete`, `update` or `patch` on the ValidatingAdmissionPolicy that refuses privileged pods, or on its binding; then the subject creates one."},
	newNamespace: {"new-namespace", "creating a namespace",
		"`create` on `namespaces`, and `create` on pods, or on what has pods created, in the whole cluster: a namespace without labels enforces no Pod Security level, so that the subject creates a privileged pod there when every other namespace refuses it."},
	mutatingWebhook: {"mutating-webhook", "changing objects on their way in",
		"`create` on `mutatingwebhookconfigurations`, or `update` or `patch` of one: what anybody writes then passes through a server of the subject's choice. It adds itself to the next binding that somebody with the rights writes, or a container to the next pod."},
	mutatingPolicy: {"mutating-policy", "changing objects on their way in by a policy",
		"`create`, `update` or `patch` on `mutatingadmissionpolicies` and their bindings, served by default since 1.36: as with a webhook, without a server."},
	validatingWebhook: {"validating-webhook", "reading objects on their way in",
		"`create` on `validatingwebhookconfigurations`, or `update` or `patch` of one: whatever is written, Secrets among it, is sent to a server of the subject's choice. It sees the Secrets that are written, changed or deleted from then on."},
	conversionWebhook: {"conversion-webhook", "changing custom resources as they are read",
		"`update` or `patch` on a CustomResourceDefinition: a conversion webhook of the subject's choice rewrites its objects whenever their operator reads them, so that it applies what the subject wants."},
	operatorObject: {"operator-object", "having an operator apply manifests",
		"Argo CD, Flux and Crossplane apply, with their own rights, what somebody describes in an Application, Kustomization, HelmRelease, Object or Release."},
	nodeTokens: {"node-tokens", "taking the tokens on a node",
		"Root on a node reads the tokens of all pods there, and the kubelet's own certificate gets tokens of their ServiceAccounts from the API server. A pod can be put on any node that the technique allows to choose."},
	steerPods: {"patch-nodes", "driving pods to a node",
		"`update` or `patch` on `nodes` or `nodes/status` by whoever is root on one node already: taints, or nodes that look full, drive the pods of every other node there, with their tokens. By itself it gives nothing."},
	controlPlaneNode: {"control-plane-node", "taking over the control plane",
		"Root on a node of the control plane has the keys of the cluster's authorities, etcd, and the folder of static pods."},
}

// Techniques returns every technique, in the order in which hops of equal length
// are preferred.
func Techniques() []Technique { return append([]Technique(nil), table[:]...) }
