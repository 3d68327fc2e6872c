package checks

import "github.com/gabion-k8s/gabion/internal/check"

func authorization() []*check.Check {
	return []*check.Check{
		AnonymousBinding,
		AuthenticatedBinding,
		WildcardRule,
		ClusterAdminBinding,
		EscalationVerbs,
		RoleEditing,
		ClusterWideBinding,
		DanglingBinding,
		ExecAccess,
	}
}
