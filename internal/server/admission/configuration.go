package admission

import (
	"net/url"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Service is where API servers of a cluster find the webhook.
type Service struct{ Namespace, Name string }

// Hosts are the names that API servers call a Service by.
func (s Service) Hosts() []string {
	return []string{s.Name + "." + s.Namespace + ".svc", s.Name + "." + s.Namespace + ".svc.cluster.local"}
}

// A Webhook is how a webhook is made known to API servers.
type Webhook struct {
	// Name is that of the configuration object.
	Name string
	// Service is called unless there is a URL.
	Service Service
	URL     string
	// Fail refuses what is not judged because nobody answers; else it is let through.
	Fail bool
	// TimeoutSeconds is how long API servers wait.
	TimeoutSeconds int32
	// Exclude are further namespaces whose objects are not sent.
	Exclude []string
	// CABundle has the authorities to trust, as PEM; empty where it is filled in later.
	CABundle []byte
}

// Hosts are the names that API servers call it by.
func (w Webhook) Hosts() []string {
	if u, err := url.Parse(w.URL); w.URL != "" && err == nil {
		return []string{u.Hostname()}
	}
	return w.Service.Hosts()
}

// Namespaces are those whose objects are never sent: what a cluster needs to come up,
// and the webhook itself, must not wait for it.
func (w Webhook) Namespaces() []string {
	list := []string{metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}
	if w.Service.Namespace != "" {
		list = append(list, w.Service.Namespace)
	}
	list = append(list, w.Exclude...)
	slices.Sort(list)
	return slices.Compact(list)
}

// sent are the resources of each fact. None of them lives outside a namespace: such
// objects know no namespaceSelector.
var sent = []struct {
	fact      evidence.Fact
	group     string
	resources []string
}{
	{evidence.Workloads, "", []string{"pods", "pods/ephemeralcontainers", "pods/resize", "podtemplates", "replicationcontrollers"}},
	{evidence.Workloads, "apps", []string{"daemonsets", "deployments", "replicasets", "statefulsets"}},
	{evidence.Workloads, "batch", []string{"cronjobs", "jobs"}},
	{evidence.ConfigMaps, "", []string{"configmaps"}},
	{evidence.Exposure, "", []string{"services"}},
	{evidence.Exposure, "networking.k8s.io", []string{"ingresses"}},
	{evidence.NetworkPolicies, "networking.k8s.io", []string{"networkpolicies"}},
}

// Configuration is the object that has API servers ask this judge: for the kinds that
// some rule of it judges, but for the namespaces that are left alone and for nodes,
// which show static pods that run whatever anybody says.
func (j *Judge) Configuration(w Webhook) *admissionregistrationv1.ValidatingWebhookConfiguration {
	path := Path
	client := admissionregistrationv1.WebhookClientConfig{CABundle: w.CABundle}
	if w.URL != "" {
		client.URL = &w.URL
	} else {
		client.Service = &admissionregistrationv1.ServiceReference{Namespace: w.Service.Namespace, Name: w.Service.Name, Path: &path}
	}
	policy, none, equivalent := admissionregistrationv1.Ignore, admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Equivalent
	if w.Fail {
		policy = admissionregistrationv1.Fail
	}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: w.Name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "admission.gabion.dev", ClientConfig: client, Rules: j.sent(),
			FailurePolicy: &policy, SideEffects: &none, MatchPolicy: &equivalent,
			TimeoutSeconds: &w.TimeoutSeconds, AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: w.Namespaces()},
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{
				{Name: "not-from-nodes", Expression: `!("system:nodes" in request.userInfo.groups)`},
				{Name: "not-leases", Expression: `request.resource.group != "coordination.k8s.io"`},
			},
		}},
	}
}

// sent are the rules of what API servers send.
func (j *Judge) sent() (rules []admissionregistrationv1.RuleWithOperations) {
	scope := admissionregistrationv1.NamespacedScope
	for _, s := range sent {
		if len(j.rules[s.fact]) == 0 {
			continue
		}
		rules = append(rules, admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{s.group}, APIVersions: []string{"v1"}, Resources: s.resources, Scope: &scope},
		})
	}
	return rules
}

// Rights are what it takes to keep the bundle of a configuration: a role on this one
// object, and a binding for the account that a webhook behind a Service runs as.
func (w Webhook) Rights(account string) (*rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding) {
	meta := metav1.ObjectMeta{Name: w.Name + "-bundle"}
	version := rbacv1.SchemeGroupVersion.String()
	role := &rbacv1.ClusterRole{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "ClusterRole"}, ObjectMeta: meta,
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{admissionregistrationv1.GroupName}, Resources: []string{"validatingwebhookconfigurations"},
			ResourceNames: []string{w.Name}, Verbs: []string{"get", "patch"},
		}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: "ClusterRoleBinding"}, ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Service.Namespace, Name: account}},
	}
	return role, binding
}
