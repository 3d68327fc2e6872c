package live

import (
	"context"

	"github.com/gabion-k8s/gabion/internal/source/cluster"
)

// podMetrics is the right that asking for measured use takes. Nothing that is judged is
// missing without it.
var podMetrics = Right{Verb: "list", Group: cluster.MetricsGroup, Resource: "pods"}

// usage asks for what the containers of pods use, where the cluster serves metrics. They
// come before the pods, so that nothing has to be kept of pods that nobody measured. That
// there are none, or that they may not be listed, stands in the Lists and is no gap.
func (co *collection) usage(ctx context.Context, found *catalogue) error {
	if !co.options.Usage || found == nil {
		return nil
	}
	versions := found.versions(cluster.MetricsGroup, cluster.MetricsKind)
	if len(versions) == 0 {
		return nil
	}
	s := versions[0]
	return co.list(ctx, co.options.listings(resource{
		group: s.group, version: s.version, kind: s.kind, name: s.resource, namespaced: s.namespaced, form: inJSON, served: true,
	}))
}

// scaling asks for how far autoscalers scale, besides their names, where use is asked for.
func (o Options) scaling(r resource) resource {
	if o.Usage && r.group == "autoscaling" && r.kind == "HorizontalPodAutoscaler" {
		r.version, r.form = "v2", inFull
	}
	return r
}
