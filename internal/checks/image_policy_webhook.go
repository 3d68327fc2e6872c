package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ImagePolicyWebhook reports API servers whose plugin about images lets them in when
// nobody judges them, and clusters in which nothing judges images (guide: Building
// secure container images, Figure 4).
var ImagePolicyWebhook = &check.Check{
	ID:             "image-policy-webhook",
	Title:          "API server lets in images that nobody judged",
	Recommendation: "IMG-05",
	Severity:       guide.High,
	Remedy:         "set defaultAllow to false and reach the webhook by verified TLS, or judge images by an admission policy that denies",
	Needs:          []evidence.Fact{evidence.ControlPlanes, evidence.Admission},
	Node:           "whether the API server has images judged",
	Doc: `The admission plugin ImagePolicyWebhook asks a service of yours whether the images of a
pod are to be run.

Looked at is whether the plugin is enabled (it is off unless it is), and its
configuration in the file of admission-control-config-file: defaultAllow, with which
every image is let in when the service does not answer, and the kubeconfig by which it
is reached. Where the plugin is off, and the objects of a live cluster were
read besides, a problem is that no admission policy or webhook among them judges images
either; what those do is asked by image-admission.

` + "```yaml" + `
imagePolicy:
  kubeConfigFile: /etc/kubernetes/admission/images.kubeconfig
  allowTTL: 50
  denyTTL: 50
  retryBackoff: 500
  defaultAllow: false
` + "```",
	Run: eachComponent(imagePolicyWebhook, evidence.APIServer),
}

const imagePolicyPlugin = "ImagePolicyWebhook"

// An imagePolicyConfig is what is looked at of the plugin's configuration.
type imagePolicyConfig struct {
	ImagePolicy struct {
		KubeConfigFile string `json:"kubeConfigFile"`
		DefaultAllow   bool   `json:"defaultAllow"`
	} `json:"imagePolicy"`
}

func imagePolicyWebhook(n *node, c *evidence.Component) {
	on, at, known := n.plugin(c, imagePolicyPlugin, false)
	if !known {
		return
	}
	if !on {
		n.othersJudge(c)
		return
	}
	var conf imagePolicyConfig
	doc, where, known := n.pluginConfig(c, imagePolicyPlugin, &conf)
	if !known {
		return
	}
	if where == nil {
		n.say(at.at, flagPath(c, admissionConfigFlag), "", "%s has the plugin %s without a configuration, so nobody to ask", c.Name, imagePolicyPlugin)
		return
	}
	if conf.ImagePolicy.DefaultAllow {
		n.sayIn(c, admissionConfigFlag, doc, func(p evidence.Path) evidence.Path {
			return where(p).Field("imagePolicy", "defaultAllow")
		}, "true", "every image is let in when the image policy webhook does not answer (defaultAllow)")
	}
	n.judgeConnection(c, admissionConfigFlag, conf.ImagePolicy.KubeConfigFile, "the image policy webhook")
}

// othersJudge judges whether anything else in a live cluster judges images.
func (n *node) othersJudge(c *evidence.Component) {
	if n.Cluster == nil {
		n.leaveOut()
		return
	}
	if !judgesImages(n.Scan) {
		n.say(c.Place, flagPath(c, "enable-admission-plugins").Field(imagePolicyPlugin), "", "nothing judges the images of pods: neither the plugin %s nor an admission policy or webhook", imagePolicyPlugin)
	}
}

// judgesImages reports whether a policy or a webhook among the objects judges images.
func judgesImages(s *check.Scan) bool {
	for _, c := range controls(s) {
		if imageWords.MatchString(c.text) {
			return true
		}
	}
	for _, o := range s.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			if h := &o.Value.Webhooks[i]; (webhook{name: h.Name, client: h.ClientConfig, rules: h.Rules}).judgesImages() {
				return true
			}
		}
	}
	for _, o := range s.MutatingWebhooks {
		for i := range o.Value.Webhooks {
			if h := &o.Value.Webhooks[i]; (webhook{name: h.Name, client: h.ClientConfig, rules: h.Rules}).judgesImages() {
				return true
			}
		}
	}
	return false
}
