package checks

import (
	"fmt"
	"regexp"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ImageAdmission reports policies and webhooks about images that can be got round
// (guide: Building secure container images, Figure 4).
var ImageAdmission = &check.Check{
	ID:             "image-admission",
	Title:          "admission of images can be got round",
	Recommendation: "IMG-05",
	Severity:       guide.High,
	Remedy:         "let it deny, fail closed and cover every namespace that users can write to",
	Needs:          []evidence.Fact{evidence.Admission, evidence.Namespaces, evidence.Workloads},
	Doc: `A scan in the pipeline only sees what goes through the pipeline. A gate in the
cluster has to refuse other images, refuse when it cannot answer, and leave out no
namespace that users can write to.

Looked at are policies that match pods and speak of images (ValidatingAdmissionPolicy
with its bindings, Kyverno's validate and verifyImages rules and image policies,
Gatekeeper's constraints), and webhooks for pods whose name or service says that they
judge images. A problem is an action other than deny, failurePolicy Ignore, a selector
that leaves out a namespace of users, and one by which pods choose themselves. A policy
without a binding is one in a live cluster only, and selectors over labels that no file
shows are not judged. When
nothing of the kind is found, the cluster may have it all the same, or the API server's
ImagePolicyWebhook.

` + "```yaml" + `
webhooks:
  - name: verify.images.example.com
    failurePolicy: Fail
    namespaceSelector:
      matchExpressions:
        - {key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}
` + "```",
	Run: imageAdmission,
}

// imageWords are how a policy about images calls them, in lower case.
var imageWords = regexp.MustCompile(`\.image\b|\.images\b|"image"|"=\(image\)"|verifyimages|imagedigest|allowedrepos|disallowedtags|disallowedrepos|allowedimages`)

// imageWebhook tells webhooks that judge images, by their names and services.
var imageWebhook = regexp.MustCompile(`image|sigstore|cosign|connaisseur|kritis|portieris|ratify|notation|notary|binauthz|binary-?authorization|trivy|anchore|grafeas`)

func imageAdmission(r *check.Run) {
	found := false
	for _, c := range controls(r.Scan) {
		if imageWords.MatchString(c.text) {
			found = true
			judgeControl(r, c)
		}
	}
	for _, o := range r.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			h := &o.Value.Webhooks[i]
			found = judgeWebhook(r, o.Ref, i, webhook{h.Name, h.ClientConfig, h.Rules, h.FailurePolicy, h.NamespaceSelector, h.ObjectSelector}) || found
		}
	}
	for _, o := range r.MutatingWebhooks {
		for i := range o.Value.Webhooks {
			h := &o.Value.Webhooks[i]
			found = judgeWebhook(r, o.Ref, i, webhook{h.Name, h.ClientConfig, h.Rules, h.FailurePolicy, h.NamespaceSelector, h.ObjectSelector}) || found
		}
	}
	switch {
	case !found && r.Cluster != nil:
		unlessSeen(r, "no admission policy or webhook about images was found; whether the API server has the plugin ImagePolicyWebhook")
	case !found:
		r.Unknown("", "no admission policy or webhook about images is among what was read; files cannot show all of a cluster, nor the API server's configuration")
	case r.Cluster == nil:
		r.Unknown("", needs(inForce.What, guide.Cluster))
	}
}

// A webhook is what validating and mutating webhooks have in common.
type webhook struct {
	name              string
	client            admissionregistrationv1.WebhookClientConfig
	rules             []admissionregistrationv1.RuleWithOperations
	failurePolicy     *admissionregistrationv1.FailurePolicyType
	namespaceSelector *metav1.LabelSelector
	objectSelector    *metav1.LabelSelector
}

func (h webhook) judgesImages() bool {
	name := h.name
	if h.client.Service != nil {
		name += " " + h.client.Service.Namespace + "/" + h.client.Service.Name
	}
	if !imageWebhook.MatchString(strings.ToLower(name)) {
		return false
	}
	for _, rule := range h.rules {
		if ruleMatchesPods(rule) {
			return true
		}
	}
	return false
}

// judgeWebhook reports whether a webhook is about images, and judges it if so.
func judgeWebhook(r *check.Run, ref *evidence.Ref, i int, h webhook) bool {
	if !h.judgesImages() {
		return false
	}
	at := evidence.NewPath("webhooks").Index(i, h.name)
	c := control{Ref: ref, covers: []coverage{byLabels(h.namespaceSelector)}}
	var problems []check.Problem
	if h.failurePolicy != nil && *h.failurePolicy == admissionregistrationv1.Ignore {
		problems = append(problems, check.Problem{
			Path: at.Field("failurePolicy"), Value: "Ignore",
			Message: fmt.Sprintf("webhook %q lets every image pass when it does not answer (failurePolicy Ignore)", h.name),
		})
	}
	if s := h.objectSelector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
		problems = append(problems, check.Problem{
			Path:    at.Field("objectSelector"),
			Message: fmt.Sprintf("pods choose by their own labels whether webhook %q looks at them", h.name),
		})
	}
	out, unsure := c.leftOut(r.Scan)
	if len(out) > 0 {
		problems = append(problems, check.Problem{
			Path:    at.Field("namespaceSelector"),
			Message: fmt.Sprintf("webhook %q leaves out namespace %s", h.name, listed(out)),
		})
	}
	if unsure != "" {
		r.Unknown(ref.String(), unsure)
	}
	if unsure == "" || len(problems) > 0 {
		r.Judge(ref, problems)
	}
	return true
}
