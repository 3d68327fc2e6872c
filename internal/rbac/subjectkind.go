package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A SubjectKind is what sort of thing a binding's subject is.
type SubjectKind int

// The kinds. Person is also what a machine outside the cluster is that logs in like
// one: the API server cannot tell.
const (
	Person SubjectKind = iota
	People
	Everyone
	Account
	Node
	ControlPlane
	AddOn
)

// String names the kind in a few words.
func (k SubjectKind) String() string {
	return [...]string{"person", "group of people", "everyone", "ServiceAccount", "node", "control plane", "add-on"}[k]
}

// Names of users and groups that stand for neither people nor pods. Those of the API
// server, the nodes and the control plane are Kubernetes' own
// (k8s.io/apiserver/pkg/authentication/user, kubeadm's certificates).
var (
	everyone     = []string{Anonymous, Unauthenticated, Authenticated}
	nodeNames    = []string{"system:nodes", "system:bootstrappers", "system:kube-proxy"}
	nodePrefixes = []string{"system:node:", "system:bootstrap:", "system:bootstrappers:"}
	controlPlane = []string{"system:kube-controller-manager", "system:kube-scheduler", "system:apiserver", "system:aggregator",
		"system:cloud-controller-manager", "system:konnectivity-server", "kube-apiserver-kubelet-client"}
	// administrators are groups and users of the prefix system: that people are in:
	// the API server's own, and those of OpenShift and k3s.
	administrators = []string{Masters, "system:admin", "system:cluster-admins", "system:cluster-readers"}
	// addOns are users of distributions without the prefix system:.
	addOns        = []string{"k3s-cloud-controller-manager", "rke2-cloud-controller-manager"}
	addOnPrefixes = []string{"system:", "eks:"}
	// addOnNamespaces hold the parts that a distribution installs.
	addOnNamespaces        = []string{"kube-system", "tigera-operator", "calico-system"}
	addOnNamespacePrefixes = []string{"openshift-", "gke-managed-"}
)

// KindOf says by its name what sort of thing a subject is. The names of Kubernetes'
// own parts are certain; those of distributions are a rule of thumb, good for labels
// and for sorting, never for trust. A ServiceAccount needs its namespace: one that
// stands for the binding's has to be filled in.
func KindOf(s rbacv1.Subject) SubjectKind {
	if s.Kind == rbacv1.ServiceAccountKind {
		return accountKind(s.Namespace, s.Name)
	}
	if account, ok := strings.CutPrefix(s.Name, "system:serviceaccount:"); ok && s.Kind == rbacv1.UserKind {
		namespace, name, _ := strings.Cut(account, ":")
		return accountKind(namespace, name)
	}
	switch {
	case slices.Contains(everyone, s.Name):
		return Everyone
	case s.Name == ServiceAccounts, strings.HasPrefix(s.Name, ServiceAccounts+":"):
		return Account
	case slices.Contains(nodeNames, s.Name), hasPrefix(s.Name, nodePrefixes):
		return Node
	case slices.Contains(controlPlane, s.Name):
		return ControlPlane
	case !slices.Contains(administrators, s.Name) && (slices.Contains(addOns, s.Name) || hasPrefix(s.Name, addOnPrefixes)):
		return AddOn
	case s.Kind == rbacv1.GroupKind:
		return People
	}
	return Person
}

// accountKind tells the accounts of controllers from those of add-ons and of all
// other pods.
func accountKind(namespace, name string) SubjectKind {
	if t, err := builtinTable(); err == nil && namespace == "kube-system" && t.objects[roleKey{kind: "ClusterRoleBinding", name: "system:controller:" + name}] != nil {
		return ControlPlane
	}
	if slices.Contains(addOnNamespaces, namespace) || hasPrefix(namespace, addOnNamespacePrefixes) {
		return AddOn
	}
	return Account
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// distributions are those that can be told by the version their API server gives,
// with the beginning of the names that they keep for users and bindings of their own:
// EKS lets no access entry have such a name, k3s and RKE2 sign the certificates of
// theirs, and names that begin with system: are not for people anywhere.
var distributions = []struct{ version, prefix string }{
	{"-eks-", "eks:"},
	{"-gke.", "system:gke-"},
	{"+k3s", "system:k3s-"},
	{"+rke2r", "system:rke2-"},
}

// Shipped reports whether a binding is, by the names of itself and of all its
// subjects, one that the distribution of a live cluster makes for its own control
// plane. It is a rule of thumb for what to fold away.
func Shipped(b *evidence.Binding, cluster *evidence.Cluster) bool {
	if cluster == nil || len(b.Subjects) == 0 {
		return false
	}
	for _, d := range distributions {
		own := func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.UserKind && strings.HasPrefix(s.Name, d.prefix)
		}
		if strings.Contains(cluster.Version, d.version) && strings.HasPrefix(b.Name, d.prefix) && len(slices.DeleteFunc(slices.Clone(b.Subjects), own)) == 0 {
			return true
		}
	}
	return false
}
