package checks

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DanglingWebhook reports admission webhooks whose Service does not exist (guide:
// Upgrading and application security practices).
var DanglingWebhook = &check.Check{
	ID:             "dangling-webhook",
	Title:          "admission webhook calls a Service that does not exist",
	Recommendation: "UPG-06",
	Severity:       guide.Medium,
	Remedy:         "delete the webhook configuration, or deploy what it calls",
	Needs:          []evidence.Fact{evidence.Admission, evidence.Exposure, evidence.Namespaces},
	Doc: `A webhook without a backend blocks every request that it matches, or, with
failurePolicy Ignore, lets every one pass unseen. Whoever may create the missing Service
decides from then on what the API server lets in.

Looked at is each webhook of a validating or mutating configuration that calls a
Service. That the Service does not exist is certain only in a namespace that the files
create. Webhooks that are called by a URL are not judged.

` + "```yaml" + `
clientConfig:
  service: {name: gate, namespace: gate-system, path: /validate}
` + "```",
	Run: danglingWebhooks,
}

func danglingWebhooks(r *check.Run) {
	services := map[[2]string]bool{}
	for _, o := range r.Services {
		services[[2]string{o.Namespace, o.Name}] = true
	}
	judge := func(ref *evidence.Ref, i int, name string, service *admissionregistrationv1.ServiceReference) {
		if service == nil {
			return
		}
		if services[[2]string{service.Namespace, service.Name}] {
			r.Judge(ref, nil)
			return
		}
		if ok, why := r.Complete(evidence.Exposure, service.Namespace); !ok {
			r.Unknown(ref.String(), fmt.Sprintf("webhook %q calls Service %s/%s, which was not read: %s", name, service.Namespace, service.Name, why))
			return
		}
		r.Judge(ref, []check.Problem{{
			Path: evidence.NewPath("webhooks").Index(i, name).Field("clientConfig", "service", "name"), Value: service.Name,
			Message: fmt.Sprintf("webhook %q calls Service %q of namespace %q, which does not exist", name, service.Name, service.Namespace),
		}})
	}
	for _, o := range r.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			judge(o.Ref, i, o.Value.Webhooks[i].Name, o.Value.Webhooks[i].ClientConfig.Service)
		}
	}
	for _, o := range r.MutatingWebhooks {
		for i := range o.Value.Webhooks {
			judge(o.Ref, i, o.Value.Webhooks[i].Name, o.Value.Webhooks[i].ClientConfig.Service)
		}
	}
}
