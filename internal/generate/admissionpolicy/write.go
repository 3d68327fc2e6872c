package admissionpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kyvernoNamespace is where Kyverno runs unless it was told otherwise: its own pods must
// not need its answer.
const kyvernoNamespace = "kyverno"

// An object is a policy or a binding, its fields in the order in which they are read.
type object struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       any      `yaml:"spec"`
}

type metadata struct {
	Name        string            `yaml:"name"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

type policySpec struct {
	ValidationActions []string       `yaml:"validationActions,omitempty,flow"` // Kyverno's
	FailurePolicy     string         `yaml:"failurePolicy"`
	MatchConstraints  matchResources `yaml:"matchConstraints"`
	Variables         []namedText    `yaml:"variables"`
	Validations       []checked      `yaml:"validations"`
	AuditAnnotations  []annotation   `yaml:"auditAnnotations"`
}

type bindingSpec struct {
	PolicyName        string         `yaml:"policyName"`
	ValidationActions []string       `yaml:"validationActions,flow"`
	MatchResources    matchResources `yaml:"matchResources"`
}

type matchResources struct {
	NamespaceSelector *selector      `yaml:"namespaceSelector,omitempty"`
	ResourceRules     []resourceRule `yaml:"resourceRules,omitempty"`
}

type selector struct {
	MatchExpressions []requirement `yaml:"matchExpressions"`
}

type requirement struct {
	Key      string   `yaml:"key"`
	Operator string   `yaml:"operator"`
	Values   []string `yaml:"values,flow"`
}

type resourceRule struct {
	APIGroups   []string `yaml:"apiGroups,flow"`
	APIVersions []string `yaml:"apiVersions,flow"`
	Operations  []string `yaml:"operations,flow"`
	Resources   []string `yaml:"resources,flow"`
}

type namedText struct {
	Name       string `yaml:"name"`
	Expression string `yaml:"expression"`
}

type checked struct {
	Expression        string `yaml:"expression"`
	Message           string `yaml:"message"`
	MessageExpression string `yaml:"messageExpression"`
}

type annotation struct {
	Key             string `yaml:"key"`
	ValueExpression string `yaml:"valueExpression"`
}

// write makes the document.
func write(o Options, chosen []rule, left []string) (string, error) {
	var b strings.Builder
	head(&b, o, left)
	for _, r := range chosen {
		b.WriteString("---\n")
		comment(&b, fmt.Sprintf("%s (%s): %s.", r.check.ID, r.check.Recommendation, r.asks))
		comment(&b, r.blind)
		if err := encode(&b, r.objects(o)); err != nil {
			return "", fmt.Errorf("write the policy %s: %w", r.name(), err)
		}
	}
	return b.String(), nil
}

func encode(b *strings.Builder, list []object) error {
	for i, one := range list {
		if i > 0 {
			b.WriteString("---\n")
		}
		e := yaml.NewEncoder(b)
		e.SetIndent(2)
		if err := e.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

// name is that of the policy and of its binding.
func (r rule) name() string {
	if r.advises {
		return "gabion-" + r.check.ID + "-templates"
	}
	return "gabion-" + r.check.ID
}

// actions are what becomes of objects that a policy finds fault with.
func (r rule) actions(o Options) []string {
	if o.Deny && !r.advises {
		return []string{"Deny"}
	}
	return []string{"Warn", "Audit"}
}

// objects are the policy, and its binding where it needs one.
func (r rule) objects(o Options) []object {
	meta := metadata{
		Name:        r.name(),
		Labels:      map[string]string{"app.kubernetes.io/managed-by": "gabion"},
		Annotations: map[string]string{"gabion.dev/recommendation": r.check.Recommendation},
	}
	outside := &selector{[]requirement{{"kubernetes.io/metadata.name", "NotIn", o.Exclude}}}
	spec := policySpec{
		FailurePolicy:    "Fail",
		MatchConstraints: matchResources{ResourceRules: r.scope.resources()},
		Variables:        r.variables(),
		Validations:      []checked{r.validation()},
		AuditAnnotations: []annotation{{auditKey, `variables.unchanged ? "" : variables.faults.join("; ")`}},
	}
	if o.Kyverno {
		spec.ValidationActions = r.actions(o)
		spec.MatchConstraints.NamespaceSelector = outside
		return []object{{"policies.kyverno.io/v1", "ValidatingPolicy", meta, spec}}
	}
	binding := bindingSpec{r.name(), r.actions(o), matchResources{NamespaceSelector: outside}}
	return []object{
		{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", meta, spec},
		{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", metadata{Name: r.name(), Labels: meta.Labels}, binding},
	}
}

// resources are the kinds with pods in them. An ephemeral container comes by a resource
// of its own.
func (s scope) resources() (list []resourceRule) {
	core := []string{"pods", "pods/ephemeralcontainers", "replicationcontrollers"}
	switch s {
	case podsOnly:
		core = core[:2]
	case templatesOnly:
		core = core[2:]
	}
	operations := []string{"CREATE", "UPDATE"}
	list = append(list, resourceRule{[]string{""}, []string{"v1"}, operations, core})
	if s == podsOnly {
		return list
	}
	return append(list,
		resourceRule{[]string{"apps"}, []string{"v1"}, operations, []string{"daemonsets", "deployments", "replicasets", "statefulsets"}},
		resourceRule{[]string{"batch"}, []string{"v1"}, operations, []string{"cronjobs", "jobs"}})
}

// faults is the variable with what is wrong with an object, in words that name what is at
// fault; it is empty where nothing is.
func (r rule) faults() variable {
	var list []string
	for _, d := range r.demands {
		text := strconv.Quote(d.fault)
		if d.names != "" {
			text = strconv.Quote(d.nouns+" ") + " + variables." + d.names + `.join(", ") + ` + strconv.Quote(" "+d.fault)
		}
		list = append(list, d.expression+" ? \"\" :\n  "+text)
	}
	return variable{"faults", "[" + strings.Join(list, ",\n") + `].filter(f, f != "")`}
}

// validation is the one of a policy, which has one message for all that is wrong. The
// short message stands in where the long one cannot be made.
func (r rule) validation() checked {
	tail := fmt.Sprintf("; %s (%s, %s)", r.check.Remedy, r.check.ID, r.check.Recommendation)
	return checked{
		Expression:        "variables.unchanged || size(variables.faults) == 0",
		Message:           r.check.Title + tail,
		MessageExpression: `variables.faults.join("; ") + ` + strconv.Quote(tail),
	}
}

// auditKey is that of the annotation in the audit log, after the name of the policy. The
// one that the API server sets itself has room for a single policy: what others find in
// the same object is lost.
const auditKey = "fault"

var mention = regexp.MustCompile(`\bvariables\.([A-Za-z_]+)`)

// variables are those that the validation needs, the common ones first.
func (r rule) variables() (list []namedText) {
	needed := map[string]bool{"unchanged": true, "faults": true}
	all := slices.Concat(common(), r.own, []variable{r.faults()})
	for _, v := range slices.Backward(all) {
		if !needed[v.name] {
			continue
		}
		list = append(list, namedText{v.name, v.expression})
		for _, m := range mention.FindAllStringSubmatch(v.expression, -1) {
			needed[m[1]] = true
		}
	}
	slices.Reverse(list)
	return list
}

const headText = `Admission policies for what the Pod Security Standards leave open: one for each rule, in
the sense of the rule of the same name of gabion scan, for Kubernetes %s. Serves ENF-02.

In this order:
1. Warn and audit first, which refuse nothing: the same command without --deny, then
     kubectl apply --server-side --field-manager=gabion -f FILE
%s
3. Mend what they find. Where a rule cannot be met by some namespace, leave the namespace
   out (--exclude-namespace) or the rule (--rule for those that stay).
4. Deny: the same command with --deny, one rule after the other if need be.
To go back: kubectl delete %s -l app.kubernetes.io/managed-by=gabion

%s

Judged are pods, their ephemeral containers, and the templates of Deployments, StatefulSets,
DaemonSets, ReplicaSets, ReplicationControllers, Jobs and CronJobs, when they are created
and when an update changes the pod in them. An update of labels, replicas or finalizers is
let through whatever is there: so what runs can be scaled down and deleted.

Left alone: %s. Upgrades bring parts there that need the node; whoever may write
there is beyond these policies. In kube-public and kube-node-lease nothing has to run, and
the policies hold there.

failurePolicy: Fail. %s

Not seen: pods that run already (gabion scan --cluster finds them), static pods, which the
kubelet starts by itself, and what webhooks make of the pods of a template: the pods are
judged again when they are made. Kinds of operators are judged by the pods they make.`

const (
	lookNative = `2. Look for a while: kubectl prints the warnings, and the audit log has what each policy
   finds as the annotation POLICY/fault, such as gabion-root-group/fault.`
	lookKyverno = `2. Look for a while: kubectl prints the warnings, and Kyverno's PolicyReports hold what
   they find, of what runs already too.`
	failNative = `The API server evaluates the expressions itself, so that there is
no connection that could fail; an object that an expression cannot be evaluated for, or that
costs more than the API server allows, is refused.`
	failKyverno = `While Kyverno does not answer, nothing of these kinds can be created
or changed outside of the namespaces that are left alone: run several replicas of it. With
Ignore whoever stops Kyverno could bring in anything.`
)

func head(b *strings.Builder, o Options, left []string) {
	look, fail, kinds := lookNative, failNative, "validatingadmissionpolicybindings,validatingadmissionpolicies"
	if o.Kyverno {
		look, fail, kinds = lookKyverno, failKyverno, "validatingpolicies.policies.kyverno.io"
	}
	now := "These warn and audit: nothing is refused."
	if o.Deny {
		now = "These deny. Those whose name ends in -templates warn all the same: they speak of what may\nstill be filled in when pods are made, and the pods are judged for certain."
	}
	lines(b, fmt.Sprintf(headText, o.Version, look, kinds, now, strings.Join(o.Exclude, ", "), fail))
	for _, l := range left {
		lines(b, "\nLeft out: "+l+".")
	}
}

// lines writes a text as comments.
func lines(b *strings.Builder, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
}

// width is that of comments.
const width = 95

// comment writes a sentence as comments of several lines.
func comment(b *strings.Builder, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
