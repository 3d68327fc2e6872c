package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodSecurityExemptions reports what the API server exempts from Pod Security
// Admission, but namespaces of the system (guide: Pod Security Policies).
var PodSecurityExemptions = &check.Check{
	ID:             "pod-security-exemptions",
	Title:          "pod security exempts users, namespaces or runtime classes",
	Recommendation: "ENF-03",
	Severity:       guide.Medium,
	Remedy:         "cut the exemptions down to namespaces of the system",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whom and what the API server exempts from pod security",
	Doc: `What is exempted in the configuration of Pod Security Admission is let in whatever the
level of the namespace, without a warning and without a trace among the objects.

Looked at is exemptions in the admission configuration. Namespaces of the system may be
there: those of Kubernetes, and those that the configuration of the scan calls so. Any
user name is a problem; one of a controller ranks high, as it makes the pods of
everyone who may make a Deployment. A runtime class is one, too: whoever makes a pod
names its class.

` + "```yaml" + `
exemptions:
  usernames: []
  runtimeClasses: []
  namespaces: [kube-system]
` + "```",
	Run: eachComponent(podSecurityExemptions, evidence.APIServer),
}

func podSecurityExemptions(n *node, c *evidence.Component) {
	var conf podSecurityConfig
	doc, where, known := n.pluginConfig(c, podSecurityPlugin, &conf)
	if !known || where == nil {
		return
	}
	say := func(list string, i int, name, format string) *check.Problem {
		return n.sayIn(c, admissionConfigFlag, doc, func(p evidence.Path) evidence.Path {
			return where(p).Field("exemptions", list).Index(i, name)
		}, name, format, name)
	}
	for i, name := range conf.Exemptions.Usernames {
		p := say("usernames", i, name, "every pod that user %q makes is exempt from pod security")
		if isController(name) {
			p.Severity, p.SeverityReason = guide.High, "the controller makes the pods of everyone who makes its objects"
		}
	}
	for i, name := range conf.Exemptions.Namespaces {
		if isUserNamespace(n.Scan, name) {
			say("namespaces", i, name, "namespace %q is exempt from pod security")
		}
	}
	for i, name := range conf.Exemptions.RuntimeClasses {
		say("runtimeClasses", i, name, "every pod that names the runtime class %q is exempt from pod security")
	}
}

// isController reports whether a user is a controller that makes pods for others.
func isController(user string) bool {
	name, is := strings.CutPrefix(user, "system:serviceaccount:kube-system:")
	return user == "system:kube-controller-manager" || is && strings.HasSuffix(name, "-controller")
}
