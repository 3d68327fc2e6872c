package admissionpolicy

import (
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A rule is one of internal/checks in the language of admission policies.
type rule struct {
	check *check.Check
	// asks is what the policy demands, in a clause.
	asks string
	// blind is what the policy cannot see, in sentences.
	blind string
	// scope are the kinds of objects that it judges.
	scope scope
	// advises is set where what a template leaves open may be filled in when its pods
	// are made: the policy then warns and never refuses. What it warns of is judged for
	// certain in the pods, by another policy of the rule.
	advises bool
	// own are the variables besides the common ones.
	own     []variable
	demands []demand
}

// A scope says which kinds of objects a policy judges.
type scope int

const (
	everywhere scope = iota
	podsOnly
	templatesOnly
)

// A variable is a named expression. Later ones may speak of earlier ones.
type variable struct{ name, expression string }

// A demand is what has to hold.
type demand struct {
	expression string
	// names is the variable with a list of what is at fault, and nouns what they are; ""
	// where it is the pod.
	names, nouns string
	// fault is what is wrong: "NOUNS NAMES FAULT".
	fault string
}

// containers is a demand that names the containers of a variable.
func containers(expression, names, fault string) demand {
	return demand{expression, names, "containers", fault}
}

// pod is a demand on the pod as a whole.
func pod(expression, fault string) demand { return demand{expression, "", "", fault} }

// common are the variables that policies share, in the order in which one needs another.
// A pod spec stands elsewhere in each kind. The type of object is taken from it (dyn), for
// the API server checks the expressions against every kind that matches.
func common() []variable {
	return []variable{
		{"template", templateOf("object")},
		{"pod", `variables.template.spec`},
		{"annotations", `variables.template.?metadata.?annotations.orValue({})`},
		{"old", templateOf("oldObject")},
		// An update that leaves the pod as it is, as of labels, replicas or finalizers, is
		// let through: else nothing that is there could be scaled down or deleted.
		{"unchanged", `request.operation == "UPDATE" && variables.old.spec == variables.pod &&
(object.kind == "Pod" || variables.old.?metadata.?annotations.orValue({}) == variables.annotations)`},
		{"linux", `variables.pod.?os.?name.orValue("linux") != "windows"`},
		{"main", `variables.pod.?initContainers.orValue([]) + variables.pod.?containers.orValue([])`},
		{"containers", `variables.main + variables.pod.?ephemeralContainers.orValue([])`},
	}
}

func templateOf(object string) string {
	return strings.ReplaceAll(`object.kind == "Pod" ? dyn(OBJECT) :
object.kind == "CronJob" ? dyn(OBJECT).spec.jobTemplate.spec.template :
dyn(OBJECT).spec.template`, "OBJECT", object)
}

// rules are all rules, in the order of the guide, as they are in a release.
func rules(v evidence.Version, trusted []string) []rule {
	return []rule{
		rootGroup(),
		userNamespace(v),
		seLinuxUnset(),
		appArmorUnset(),
		readOnlyRootFilesystem(),
		trustedRegistry(trusted),
		imageNotPinned(),
		serviceAccountToken(),
		serviceAccountTokenOfTemplates(),
		resources(checks.ResourceRequests, v, podsOnly),
		resources(checks.ResourceRequests, v, templatesOnly),
		resources(checks.ResourceLimits, v, podsOnly),
		resources(checks.ResourceLimits, v, templatesOnly),
	}
}

func readOnlyRootFilesystem() rule {
	return rule{
		check: checks.ReadOnlyRootFilesystem,
		asks:  "readOnlyRootFilesystem of every container is true",
		blind: "Where the application writes is not seen: what it needs is an emptyDir for each such folder.",
		own: []variable{
			{"writable", `variables.containers.filter(c, !c.?securityContext.?readOnlyRootFilesystem.orValue(false)).map(c, c.name)`},
		},
		demands: []demand{containers(`!variables.linux || size(variables.writable) == 0`, "writable", "can write to the root file system")},
	}
}

func rootGroup() rule {
	return rule{
		check: checks.RootGroup,
		asks:  "runAsGroup of every container, its own or the pod's, is set and not 0, and neither fsGroup nor supplementalGroups is 0",
		blind: "The groups in the /etc/group of an image are not seen; supplementalGroupsPolicy: Strict keeps them away.",
		own: []variable{
			{"context", `variables.pod.?securityContext.orValue({})`},
			{"inGroupZero", `variables.containers.filter(c, c.?securityContext.?runAsGroup.orValue(variables.context.?runAsGroup.orValue(0)) == 0).map(c, c.name)`},
		},
		demands: []demand{
			containers(`!variables.linux || size(variables.inGroupZero) == 0`, "inGroupZero", "run with group 0, or with the group of the image: no runAsGroup above 0 is set"),
			pod(`!variables.linux || variables.context.?runAsGroup.orValue(1) != 0 && variables.context.?fsGroup.orValue(1) != 0 &&
!(0 in variables.context.?supplementalGroups.orValue([]))`, "the pod's runAsGroup, fsGroup or supplementalGroups is group 0"),
		},
	}
}

// appArmorAnnotation names the profile of a container, whose name follows.
const appArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/"

func appArmorUnset() rule {
	return rule{
		check: checks.AppArmorUnset,
		asks:  "every container has an AppArmor profile, its own or the pod's; a pod with seLinuxOptions needs none",
		blind: "Whether the nodes have AppArmor is not seen: a pod with a profile does not start on one that has not.",
		own: []variable{
			{"forSELinux", `variables.pod.?securityContext.?seLinuxOptions.hasValue() ||
variables.containers.exists(c, c.?securityContext.?seLinuxOptions.hasValue())`},
			{"unprofiled", `variables.containers.filter(c, !c.?securityContext.?appArmorProfile.hasValue() &&
variables.annotations[?"` + appArmorAnnotation + `" + c.name].orValue("") == "").map(c, c.name)`},
		},
		demands: []demand{containers(`!variables.linux || variables.forSELinux ||
variables.pod.?securityContext.?appArmorProfile.hasValue() || size(variables.unprofiled) == 0`, "unprofiled", "set no AppArmor profile")},
	}
}

func seLinuxUnset() rule {
	return rule{
		check: checks.SELinuxUnset,
		asks:  "every container has seLinuxOptions, its own or the pod's; a pod that an AppArmor profile confines needs none",
		blind: "Whether the nodes enforce SELinux is not seen.",
		own: []variable{
			{"profiles", `[variables.pod.?securityContext.?appArmorProfile.?type] +
variables.containers.map(c, c.?securityContext.?appArmorProfile.?type)`},
			{"forAppArmor", `variables.profiles.exists(p, p.orValue("") in ["RuntimeDefault", "Localhost"]) ||
variables.containers.exists(c, variables.annotations[?"` + appArmorAnnotation + `" + c.name].orValue("").matches("^(runtime/default$|localhost/)"))`},
			{"unlabelled", `variables.containers.filter(c, !c.?securityContext.?seLinuxOptions.hasValue()).map(c, c.name)`},
		},
		demands: []demand{containers(`!variables.linux || variables.forAppArmor ||
variables.pod.?securityContext.?seLinuxOptions.hasValue() || size(variables.unlabelled) == 0`, "unlabelled", "leave the SELinux label to the runtime")},
	}
}

func userNamespace(v evidence.Version) rule {
	r := rule{
		check:   checks.UserNamespace,
		asks:    "hostUsers is false",
		blind:   "Whether the nodes' runtimes and file systems can map users is not seen: try it on one replica of each workload.",
		demands: []demand{pod(`!variables.linux || !variables.pod.?hostUsers.orValue(true)`, "the pod shares the node's user namespace: hostUsers is not false")},
	}
	if !v.AtLeast(33) {
		r.asks = "hostUsers is not true; left out is let through, for before Kubernetes 1.33 clusters do not have user namespaces by default"
		r.demands[0].expression = `!variables.linux || !variables.pod.?hostUsers.orValue(false)`
	}
	return r
}

// images are the variables with all images of a pod. Istio's injector replaces the image
// auto in pods, and not in templates.
func images() []variable {
	return []variable{
		{"images", `variables.containers.map(c, {"of": "container " + c.name, "image": string(c.?image.orValue(""))}) +
variables.pod.?volumes.orValue([]).filter(v, has(v.image)).map(v, {"of": "volume " + v.name, "image": string(v.image.?reference.orValue(""))})`},
		{"named", `variables.images.filter(i, object.kind == "Pod" || i.image != "auto")`},
	}
}

func trustedRegistry(trusted []string) rule {
	list := make([]string, len(trusted))
	for i, prefix := range trusted {
		list[i] = strconv.Quote(prefix)
	}
	return rule{
		check: checks.TrustedRegistry,
		asks:  "every image of containers and volumes comes from one of the trusted registries",
		blind: "Mirrors that a node's runtime is configured with, and what a registry really serves, are not seen.",
		own: append(images(),
			variable{"trusted", "[" + strings.Join(list, ", ") + "]"},
			// A first part that could not be a folder of Docker Hub is a registry.
			variable{"qualified", `variables.named.map(i, {"of": i.of, "image":
  !i.image.matches("^(localhost|[^/]*[.:A-Z][^/]*)/") ? "docker.io/" + i.image :
  i.image.startsWith("index.docker.io/") ? i.image.substring(6) : i.image})`},
			variable{"full", `variables.qualified.map(i, {"of": i.of, "image":
  i.image.matches("^docker.io/[^/]*$") ? "docker.io/library/" + i.image.substring(10) : i.image})`},
			variable{"untrusted", `variables.full.filter(i, !variables.trusted.exists(t, i.image == t || i.image.startsWith(t + "/") ||
  t.contains("/") && (i.image.startsWith(t + ":") || i.image.startsWith(t + "@")))).map(i, i.of)`},
		),
		demands: []demand{{`size(variables.untrusted) == 0`, "untrusted", "images of", "come from a registry that is not trusted"}},
	}
}

func imageNotPinned() rule {
	return rule{
		check: checks.ImageNotPinned,
		asks:  "every image of containers and volumes is named with its digest",
		blind: "Whose image it is, a digest does not say.",
		own: append(images(),
			variable{"unpinned", `variables.named.filter(i, !i.image.matches("@[a-z0-9+._-]+:[0-9a-fA-F]{32,}$")).map(i, i.of)`}),
		demands: []demand{{`size(variables.unpinned) == 0`, "unpinned", "images of", "have no digest"}},
	}
}

// tokens are the variables about the token. A volume at its place is the API server's by
// its name: since 1.21 kube-api-access-, before that the Secret of the ServiceAccount.
func tokens() []variable {
	return []variable{
		{"account", `variables.pod.?serviceAccountName.orValue("default") + "-token-"`},
		{"mounted", `variables.main.filter(c, c.?volumeMounts.orValue([]).exists(m, m.mountPath == "/var/run/secrets/kubernetes.io/serviceaccount" &&
  (m.name.startsWith("kube-api-access-") || m.name.startsWith(variables.account)))).map(c, c.name)`},
		{"ownMounts", `variables.main.all(c, c.?volumeMounts.orValue([]).exists(m, m.mountPath == "/var/run/secrets/kubernetes.io/serviceaccount" &&
  !m.name.startsWith("kube-api-access-") && !m.name.startsWith(variables.account)))`},
		{"mirror", `object.kind == "Pod" && "kubernetes.io/config.mirror" in variables.annotations`},
	}
}

func serviceAccountToken() rule {
	return rule{
		check: checks.ServiceAccountToken,
		asks:  "no pod gets the token of its ServiceAccount by itself: neither automountServiceAccountToken: true, nor, once the API server has completed the pod, the volume",
		blind: "Tokens that a pod projects by name, and Secrets with tokens that it mounts, are not judged.",
		own:   tokens(),
		demands: []demand{
			pod(`variables.mirror || variables.ownMounts || !variables.pod.?automountServiceAccountToken.orValue(false)`,
				"automountServiceAccountToken is true"),
			containers(`variables.mirror || object.kind != "Pod" || !variables.pod.?automountServiceAccountToken.orValue(true) || size(variables.mounted) == 0`, "mounted",
				"get the token of the ServiceAccount"),
		},
	}
}

func serviceAccountTokenOfTemplates() rule {
	return rule{
		check:   checks.ServiceAccountToken,
		asks:    "a template says no to the token, where the pods' own policy would else depend on the ServiceAccount",
		blind:   "What the ServiceAccount says is not seen here: if it says no, the warning means nothing.",
		scope:   templatesOnly,
		advises: true,
		own:     tokens(),
		demands: []demand{pod(`variables.ownMounts || variables.pod.?automountServiceAccountToken.hasValue()`,
			"automountServiceAccountToken is not set: unless it is false in the ServiceAccount, the pods get the token")},
	}
}

// resources are the two rules about requests and limits, for cpu and memory. Pods are
// judged when a LimitRange has filled in what it can; templates are not filled in.
func resources(c *check.Check, v evidence.Version, s scope) rule {
	lists, what := []string{"limits"}, "limit"
	if c == checks.ResourceRequests {
		lists, what = []string{"requests", "limits"}, "request"
	}
	r := rule{
		check: c,
		asks:  "every init and regular container has a " + what + " for cpu and memory above 0, of its own or by a LimitRange",
		blind: "Whether the numbers fit the application is not seen.",
		scope: s,
	}
	if v.AtLeast(34) {
		r.asks = strings.Replace(r.asks, "of its own", "of its own, by the pod's resources", 1)
	}
	after := ""
	if s == templatesOnly {
		r.advises = true
		r.asks = "the same as above, of templates"
		r.blind = "LimitRanges are not seen here: where one of the namespace fills in what is missing, the warning means nothing."
		after = ", unless a LimitRange fills it in"
	}
	for _, name := range []string{"cpu", "memory"} {
		var places []string
		for _, list := range lists {
			places = append(places, "c.?resources.?"+list+".?"+name)
			if v.AtLeast(34) {
				places = append(places, "variables.pod.?resources.?"+list+".?"+name)
			}
		}
		r.own = append(r.own, variable{"without_" + name, `variables.main.filter(c, ![` + strings.Join(places, ", ") + `].exists(q,
  quantity(string(q.orValue("0"))).isGreaterThan(quantity("0")))).map(c, c.name)`})
		r.demands = append(r.demands, containers("size(variables.without_"+name+") == 0", "without_"+name, "have no "+name+" "+what+after))
	}
	return r
}
