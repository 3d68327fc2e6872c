package rbac

import "fmt"

// strongest is the last power that makes a ServiceAccount strong: who steals a
// token with one of them gets further than the pod it was stolen from.
const strongest = CreatePods

// Strong says in words why a ServiceAccount's rights are strong: the greatest of
// its powers, with the binding and the role it comes from, as in "may read all
// Secrets (ClusterRoleBinding ci to ClusterRole reader)". It is "" if they are
// not, as far as the snapshot shows.
func (x *Index) Strong(namespace, serviceAccount string) string {
	best, found := Grant{}, strongest+1
	for g := range x.Granted(ServiceAccount(namespace, serviceAccount)) {
		if g.Rule == nil {
			continue
		}
		for p := Everything; p <= strongest; p++ {
			if p > found || p == found && !(g.Namespace == "" && best.Namespace != "") {
				break
			}
			if _, ok := p.In(g.Rule, g.Namespace != ""); ok {
				best, found = g, p
				break
			}
		}
	}
	if found > strongest {
		return ""
	}
	return fmt.Sprintf("may %s%s (%s to %s)", found, within(best.Namespace), best.Binding, best.Role)
}

func within(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " in namespace " + namespace
}
