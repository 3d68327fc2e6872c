package remedy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// defaultAccount is the ServiceAccount that every namespace has, and that pods run as
// which name none.
const defaultAccount = "default"

// ownAccount gives a workload that runs as the default ServiceAccount one of its own, of
// the same name and without a token. There is no fix where rights, an identity or a
// policy hang on either name, or where the name is not free: it would not be the same
// workload afterwards, and only a person knows what is meant. There is none for a pod by
// itself either: the API server makes no pod before its account, and what is added to a
// file comes last in it. Controllers try again.
func ownAccount(world *evidence.Snapshot, f check.Failure) *check.Fix {
	w := runsAsDefault(world, f)
	if w == nil || w.Kind == "Pod" && w.Group() == "" || len(validation.IsDNS1123Subdomain(w.Name)) > 0 {
		return nil
	}
	old, plainly := plainAccount(world, w)
	if !plainly || !isFree(world, w) || isNamed(world, w, defaultAccount) || isNamed(world, w, w.Name) {
		return nil
	}
	fix := &check.Fix{Path: f.Problem.Path, Value: word(w.Name), Breaks: losses(world, w, old), Adds: newAccount(w, old)}
	if w.Pod.DeprecatedServiceAccount != "" { // the API server wants both to be the same
		fix.With = []check.Change{{Path: w.PodPath.Field("serviceAccount"), Value: word(w.Name)}}
	}
	return fix
}

// runsAsDefault finds the workload, as it is written, that a problem is about; nil where
// something else makes its pods, and may choose their account.
func runsAsDefault(world *evidence.Snapshot, f check.Failure) *evidence.Workload {
	for _, w := range world.Workloads {
		if w.Ref == f.Ref && w.Template == nil && w.Partial == "" && !w.ByShape && len(w.Moved) == 0 &&
			w.ServiceAccountName() == defaultAccount && w.PodPath.Field("serviceAccountName").String() == f.Problem.Path.String() {
			return w
		}
	}
	return nil
}

// plainAccount finds the default ServiceAccount of a workload's namespace, nil where it
// is not among the objects. It is not plain where it carries something that a copy might
// lack, or should not have: the role of a cloud, say, is an annotation. In a cluster it
// has to be seen.
func plainAccount(world *evidence.Snapshot, w *evidence.Workload) (old *corev1.ServiceAccount, plainly bool) {
	for _, sa := range world.ServiceAccounts {
		if sa.Name != defaultAccount || !same(w.Ref, sa.Namespace, sa.NamespaceAssumed) {
			continue
		}
		for key := range sa.Annotations {
			if key != corev1.LastAppliedConfigAnnotation {
				return nil, false
			}
		}
		if old != nil || len(sa.Labels) > 0 {
			return nil, false
		}
		old = sa.Value
	}
	return old, old != nil || world.Cluster == nil
}

// isFree reports whether nobody has or wants an account of the workload's name.
func isFree(world *evidence.Snapshot, w *evidence.Workload) bool {
	for _, sa := range world.ServiceAccounts {
		if sa.Name == w.Name && same(w.Ref, sa.Namespace, sa.NamespaceAssumed) {
			return false
		}
	}
	for _, other := range world.Workloads {
		if other.Ref == w.Ref || !same(w.Ref, other.Namespace, other.NamespaceAssumed) {
			continue
		}
		runsAs := other.ServiceAccountName()
		if runsAs == w.Name || runsAs == defaultAccount && other.Name == w.Name {
			return false
		}
	}
	if world.Cluster == nil {
		return true
	}
	whole, _ := world.Complete(evidence.ServiceAccounts, w.Namespace)
	return whole
}

// same reports whether a namespace is, or may be, that of an object: one that is only
// assumed is whichever the manifests are applied to.
func same(ref *evidence.Ref, namespace string, assumed bool) bool {
	return ref.Namespace == namespace || ref.NamespaceAssumed || assumed
}

// isNamed reports whether a binding or a policy names an account of a workload's
// namespace, or may do so where a cluster did not show all. What the groups of all
// accounts may do stays as it is.
func isNamed(world *evidence.Snapshot, w *evidence.Workload, account string) bool {
	if world.Cluster != nil {
		if whole, _ := world.Complete(evidence.RBAC, w.Namespace); !whole {
			return true
		}
	}
	return slices.ContainsFunc(world.Bindings, func(b *evidence.Binding) bool {
		return slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return isSubject(w, b, s, account) })
	}) || slices.ContainsFunc(world.Custom, func(c *evidence.Custom) bool { return mayName(c, w, account) })
}

func isSubject(w *evidence.Workload, b *evidence.Binding, s rbacv1.Subject, account string) bool {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return s.Name == account && same(w.Ref, cmp.Or(s.Namespace, b.Namespace), s.Namespace == "" && b.NamespaceAssumed)
	case rbacv1.UserKind:
		rest, ok := strings.CutPrefix(s.Name, "system:serviceaccount:")
		namespace, name, _ := strings.Cut(rest, ":")
		return ok && name == account && same(w.Ref, namespace, false)
	}
	return false
}

// bySelector are the words by which policies of Cilium and of Calico choose accounts,
// whichever these are.
var bySelector = [...]string{`io.cilium.k8s.policy.serviceaccount`, `"serviceAccountSelector"`, `"serviceAccounts"`}

// mayName reports whether a policy of a mesh or of a network plugin may mean an account:
// by its SPIFFE name, or by a selector.
func mayName(c *evidence.Custom, w *evidence.Workload, account string) bool {
	if bytes.Contains(c.JSON, []byte("/sa/"+account+`"`)) {
		return true
	}
	return slices.ContainsFunc(bySelector[:], func(word string) bool { return bytes.Contains(c.JSON, []byte(word)) }) &&
		(c.Namespace == "" || same(w.Ref, c.Namespace, c.NamespaceAssumed))
}

// losses says what a workload may lose with the default account.
func losses(world *evidence.Snapshot, w *evidence.Workload, old *corev1.ServiceAccount) string {
	unseen := "a policy or a cloud role"
	switch all, _ := world.Complete(evidence.RBAC, ""); {
	case old == nil:
		unseen = "a binding, a pull secret, " + unseen
	case world.Cluster == nil:
		unseen = "a binding, " + unseen
	case !all:
		unseen = "a binding of another namespace, " + unseen
	}
	by := fmt.Sprintf("that works by the name of the account %q, through %s that was not seen", defaultAccount, unseen)
	hasToken := old == nil || old.AutomountServiceAccountToken == nil || *old.AutomountServiceAccountToken
	if w.Pod.AutomountServiceAccountToken == nil && hasToken {
		return "an application that calls the API: its pods get no token any more; and one " + by
	}
	return "an application " + by
}

// newAccount is the ServiceAccount of a workload: what its pods have today of the old
// one, but for the token.
func newAccount(w *evidence.Workload, old *corev1.ServiceAccount) *check.Addition {
	var text strings.Builder
	fmt.Fprintf(&text, "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: %s\n", word(w.Name))
	if !w.NamespaceAssumed && w.Namespace != "" {
		fmt.Fprintf(&text, "  namespace: %s\n", word(w.Namespace))
	}
	text.WriteString("automountServiceAccountToken: false\n")
	if old != nil && len(old.ImagePullSecrets) > 0 {
		text.WriteString("imagePullSecrets:\n")
		for _, s := range old.ImagePullSecrets {
			fmt.Fprintf(&text, "  - name: %s\n", word(s.Name))
		}
	}
	return &check.Addition{APIVersion: "v1", Kind: "ServiceAccount", Namespace: w.Namespace, Name: w.Name, Text: text.String()}
}

// taken are the words that one reader of YAML or another takes for something else than a
// text.
var taken = [...]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

// word writes a name as YAML: as it is where no reader takes it for anything else.
func word(name string) string {
	if name != "" && name[0] >= 'a' && name[0] <= 'z' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && !slices.Contains(taken[:], name) {
		return name
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return `""` // a string always encodes
	}
	return string(quoted)
}
