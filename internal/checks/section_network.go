package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
)

func networkSeparation() []*check.Check {
	return slices.Concat([]*check.Check{
		DefaultNamespace,
		NamespaceBundle,
		SystemNamespace,
		ReservedNamespacePrefix,
		NetworkPlugin,
		DefaultDeny,
		PodNotSelected,
		UndeclaredFlow,
		AllowAllPolicy,
		KubeSystemEgress,
		IngressTLS,
		GatewayTLS,
		LoadBalancerTLS,
		ExternalService,
		IPBlock,
		EtcdOpenToPods,
		ControlPlaneOpenToPods,
		LimitRange,
		SeveralLimitRanges,
		ResourceQuota,
	}, resources())
}
