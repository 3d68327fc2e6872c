package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DanglingAPIService reports parts of the API that are handed to a Service that
// does not exist (guide: Upgrading and application security practices).
var DanglingAPIService = &check.Check{
	ID:             "dangling-api-service",
	Title:          "API group is handed to a Service that does not exist",
	Recommendation: "UPG-06",
	Severity:       guide.Medium,
	Remedy:         "delete the APIService, or deploy what it hands the group to",
	Needs:          []evidence.Fact{evidence.Extensions, evidence.Exposure, evidence.Namespaces},
	Doc: `An APIService hands all requests for a group of the API to a Service. One that outlived
its Service makes each listing of the API fail in part, and whoever may create the
missing Service answers these requests from then on, with the users' identities in
them.

Looked at is each APIService that names a Service. That the Service does not exist is
certain only in a namespace that the files create, or in a cluster.

    spec:
      group: metrics.k8s.io
      service: {name: metrics-server, namespace: kube-system}
`,
	Run: danglingAPIServices,
}

func danglingAPIServices(r *check.Run) {
	services := map[[2]string]bool{}
	for _, o := range r.Services {
		services[[2]string{o.Namespace, o.Name}] = true
	}
	for ref, s := range customs[apiService](r, apiServices, "APIService") {
		at := s.Spec.Service
		if at == nil {
			continue // served by the API server itself
		}
		if services[[2]string{at.Namespace, at.Name}] {
			r.Judge(ref, nil)
			continue
		}
		if ok, why := r.Complete(evidence.Exposure, at.Namespace); !ok {
			r.Unknown(ref.String(), fmt.Sprintf("it names Service %s/%s, which was not read: %s", at.Namespace, at.Name, why))
			continue
		}
		r.Judge(ref, []check.Problem{{
			Path: evidence.NewPath("spec", "service", "name"), Value: at.Name,
			Message: fmt.Sprintf("APIService %q hands the group %s to Service %q of namespace %q, which does not exist", ref.Name, s.Spec.Group, at.Name, at.Namespace),
		}})
	}
}
