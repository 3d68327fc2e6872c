package evidence

import (
	"cmp"
	"slices"
)

// InOrder replaces the lists of objects by sorted ones: by namespace and name, and
// as they were read where these are the same. Objects stays as it is.
func (s *Snapshot) InOrder() {
	s.Workloads = inOrder(s.Workloads)
	s.Namespaces = inOrder(s.Namespaces)
	s.ServiceAccounts = inOrder(s.ServiceAccounts)
	s.Services = inOrder(s.Services)
	s.EndpointSlices = inOrder(s.EndpointSlices)
	s.ConfigMaps = inOrder(s.ConfigMaps)
	s.Secrets = inOrder(s.Secrets)
	s.LimitRanges = inOrder(s.LimitRanges)
	s.ResourceQuotas = inOrder(s.ResourceQuotas)
	s.NetworkPolicies = inOrder(s.NetworkPolicies)
	s.Ingresses = inOrder(s.Ingresses)
	s.RuntimeClasses = inOrder(s.RuntimeClasses)
	s.Nodes = inOrder(s.Nodes)
	s.Volumes = inOrder(s.Volumes)
	s.Roles = inOrder(s.Roles)
	s.ClusterRoles = inOrder(s.ClusterRoles)
	s.Bindings = inOrder(s.Bindings)
	s.ValidatingWebhooks = inOrder(s.ValidatingWebhooks)
	s.MutatingWebhooks = inOrder(s.MutatingWebhooks)
	s.AdmissionPolicies = inOrder(s.AdmissionPolicies)
	s.AdmissionPolicyBindings = inOrder(s.AdmissionPolicyBindings)
	s.Custom = inOrder(s.Custom)
}

func inOrder[S interface{ Subject() *Ref }](list []S) []S {
	before := func(a, b S) int {
		x, y := a.Subject(), b.Subject()
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Kind, y.Kind))
	}
	if slices.IsSortedFunc(list, before) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, before)
	return list
}
