package checks

import "github.com/gabion-k8s/gabion/internal/check"

func authorization() []*check.Check {
	return []*check.Check{
		AnonymousBinding,
		AuthenticatedBinding,
		BootstrapToken,
		WildcardRule,
		TamperedDefaultRole,
		ClusterAdminBinding,
		EscalationVerbs,
		RoleEditing,
		TamperedDefaultBinding,
		ClusterWideBinding,
		MixedSubjects,
		DanglingBinding,
		ExecAccess,
	}
}
