package escalate

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/policy"
)

// podPolicies are the ValidatingAdmissionPolicies that deny something, and what
// they say of the pods that reach a node.
type podPolicies struct {
	snap *evidence.Snapshot
	// sure are those whose answer the objects decide, doubtful those that also ask
	// who it is, or for what an attacker is free to write.
	sure     []podPolicy
	doubtful []string
	bindings map[string][]string // by policy, those that deny
	known    map[string][]string // the policies that refuse them, by namespace
}

type podPolicy struct {
	name string
	set  *policy.Set
}

func newPodPolicies(snap *evidence.Snapshot) *podPolicies {
	p := &podPolicies{snap: snap, bindings: map[string][]string{}, known: map[string][]string{}}
	for _, o := range snap.AdmissionPolicies {
		var files []policy.File
		open := anyObject(o.Value.Spec.MatchConstraints)
		for _, b := range snap.AdmissionPolicyBindings {
			if b.Value.Spec.PolicyName == o.Name && slices.Contains(b.Value.Spec.ValidationActions, admissionregistrationv1.Deny) {
				bound := b.Value.DeepCopy()
				bound.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding"}
				bound.ObjectMeta = metav1.ObjectMeta{Name: b.Name}
				files = append(files, file(bound))
				p.bindings[o.Name] = append(p.bindings[o.Name], b.Name)
				open = open && anyObject(b.Value.Spec.MatchResources)
			}
		}
		if len(files) == 0 || !asksForPods(o.Value.Spec.MatchConstraints) {
			continue
		}
		whole := o.Value.DeepCopy()
		whole.TypeMeta = metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy"}
		whole.ObjectMeta, whole.Status = metav1.ObjectMeta{Name: o.Name}, admissionregistrationv1.ValidatingAdmissionPolicyStatus{}
		text := file(whole)
		set, err := policy.Load(append(files, text))
		if err != nil || !open || whole.Spec.ParamKind != nil || depends(string(text.Data)) {
			p.doubtful = append(p.doubtful, o.Name)
			continue
		}
		p.sure = append(p.sure, podPolicy{o.Name, set})
	}
	slices.Sort(p.doubtful)
	return p
}

// file is an object as a file; objects of the API are always written.
func file(object metav1.Object) policy.File {
	data, _ := json.Marshal(object)
	return policy.File{Name: object.GetName(), Data: data}
}

// depends reports whether an expression reads what an attacker chooses or is.
func depends(text string) bool {
	for _, word := range []string{"userInfo", "authorizer", "object.metadata", "generateName"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// anyObject reports whether a policy looks at objects of all labels.
func anyObject(m *admissionregistrationv1.MatchResources) bool {
	return m == nil || m.ObjectSelector == nil || len(m.ObjectSelector.MatchLabels)+len(m.ObjectSelector.MatchExpressions) == 0
}

func asksForPods(m *admissionregistrationv1.MatchResources) bool {
	return m != nil && slices.ContainsFunc(m.ResourceRules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
		return asksAboutPods(r.RuleWithOperations)
	})
}

// refuse names the policies that keep every pod that reaches the node out of a
// namespace, sorted; none when one such pod gets in.
func (p *podPolicies) refuse(namespace string) []string {
	if len(p.sure) == 0 {
		return nil
	}
	if list, ok := p.known[namespace]; ok {
		return list
	}
	denied := map[string][]string{} // by pod
	for _, policy := range p.sure {
		found, _, err := policy.set.Judge(context.Background(), p.attempts(namespace))
		if err != nil {
			continue
		}
		refused := map[string]bool{}
		for _, f := range found {
			refused[f.Ref.Name] = true
		}
		if refused[harmless] {
			continue // it asks for something else, which the other pods could have as well
		}
		for name := range refused {
			denied[name] = append(denied[name], policy.name)
		}
	}
	var all []string
	for name := range attacks() {
		if len(denied[name]) == 0 {
			all = nil
			break
		}
		all = append(all, denied[name]...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	p.known[namespace] = all
	return all
}

const harmless = "harmless"

// attacks are the pods that reach a node, by what they do it with.
func attacks() map[string]corev1.PodSpec {
	yes := true
	return map[string]corev1.PodSpec{
		"privileged": {Containers: []corev1.Container{{SecurityContext: &corev1.SecurityContext{Privileged: &yes}}}},
		"folder": {
			Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "node", MountPath: "/node"}}}},
			Volumes:    []corev1.Volume{{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}},
		},
		"processes": {HostPID: true, Containers: []corev1.Container{{SecurityContext: &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"SYS_PTRACE", "SYS_ADMIN"}}}}}},
	}
}

// attempts are the attacks, and a pod without, as they would be created.
func (p *podPolicies) attempts(namespace string) *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	for _, ns := range p.snap.Namespaces {
		if ns.Name == namespace {
			snap.Namespaces = append(snap.Namespaces, ns)
		}
	}
	pods := attacks()
	pods[harmless] = corev1.PodSpec{Containers: []corev1.Container{{}}}
	for name, spec := range pods {
		spec.Containers[0].Name, spec.Containers[0].Image = "main", "registry.example.com/app:1"
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: spec}
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, JSON: file(&pod).Data}, nil)
	}
	return snap
}
