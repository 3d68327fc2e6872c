package rbac

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// builtinText holds the roles and bindings that the API server makes, and adds to
// at every start, in each release that is known.
//
//go:embed builtin.txt
var builtinText string

// kubeadmText holds those that kubeadm makes.
//
//go:embed kubeadm.txt
var kubeadmText string

// aggregationPrefix begins the labels by which the built-in roles collect rules.
const aggregationPrefix = "rbac.authorization.k8s.io/"

// A defaultTable is the content of one of the texts above.
type defaultTable struct {
	// minors are the releases of Kubernetes 1 that are known, in order.
	minors  []int
	objects map[roleKey]*defaultObject
	// names are the keys of objects, in the order of the text.
	names []roleKey
}

// A defaultObject is a role or a binding, with all that it had in any release.
type defaultObject struct {
	releases releases
	// from and into are aggregation labels.
	from, into []string
	rules      []defaultRule
	subjects   []defaultSubject
	roleRef    rbacv1.RoleRef
}

type defaultRule struct {
	releases releases
	rule     rbacv1.PolicyRule
}

type defaultSubject struct {
	releases releases
	subject  rbacv1.Subject
}

// releases tells, by index in defaultTable.minors, in which releases something is
// made: always, or when a feature gate is on.
type releases struct{ always, gated uint64 }

// in reports whether something is made in one of the releases of a set.
func (r releases) in(set uint64) bool { return (r.always|r.gated)&set != 0 }

// The tables are the project's own data: a fault in them is found by its tests, and
// nobody else meets one.
var (
	builtinTable = sync.OnceValues(func() (*defaultTable, error) { return parseDefaults(builtinText) })
	kubeadmTable = sync.OnceValues(func() (*defaultTable, error) { return parseDefaults(kubeadmText) })
)

// parseDefaults reads a table; its form is told at the head of builtin.txt.
func parseDefaults(text string) (*defaultTable, error) {
	t := &defaultTable{objects: map[roleKey]*defaultObject{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if err := t.parseLine(fields, strings.HasPrefix(line, " ")); err != nil {
			return t, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
	}
	return t, nil
}

func (t *defaultTable) parseLine(fields []string, inside bool) error {
	if fields[0] == "minors" {
		for _, f := range fields[1:] {
			minor, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			t.minors = append(t.minors, minor)
		}
		return nil
	}
	if len(fields) < 3 || len(t.minors) == 0 {
		return fmt.Errorf("%d fields are too few, or there are no minors", len(fields))
	}
	if !inside {
		return t.parseObject(fields)
	}
	if len(t.names) == 0 {
		return fmt.Errorf("a rule of no object")
	}
	r, err := t.parseReleases(fields[0])
	if err != nil {
		return err
	}
	o := t.objects[t.names[len(t.names)-1]]
	if o.roleRef.Name == "" {
		if len(fields) < 4 {
			return fmt.Errorf("%d fields are too few for a rule", len(fields))
		}
		o.rules = append(o.rules, defaultRule{r, parseRule(fields[1:])})
		return nil
	}
	subject := rbacv1.Subject{Kind: fields[1], Name: fields[2]}
	if subject.Kind == rbacv1.ServiceAccountKind {
		subject.Namespace, subject.Name, _ = strings.Cut(fields[2], "/")
	}
	o.subjects = append(o.subjects, defaultSubject{r, subject})
	return nil
}

func (t *defaultTable) parseObject(fields []string) (err error) {
	o := &defaultObject{}
	if o.releases, err = t.parseReleases(fields[1]); err != nil {
		return err
	}
	key := roleKey{kind: fields[0], name: fields[2]}
	if strings.HasPrefix(key.kind, "Role") {
		key.namespace, key.name, _ = strings.Cut(fields[2], "/")
	}
	for _, f := range fields[3:] {
		if label, ok := strings.CutPrefix(f, "into="); ok {
			o.into = append(o.into, label)
		} else if label, ok := strings.CutPrefix(f, "from="); ok {
			o.from = append(o.from, label)
		} else if kind, name, ok := strings.Cut(f, "/"); ok {
			o.roleRef = rbacv1.RoleRef{APIGroup: rbacGroup, Kind: kind, Name: name}
		}
	}
	if t.objects[key] != nil {
		return fmt.Errorf("%s %s is written twice", key.kind, key.name)
	}
	t.objects[key], t.names = o, append(t.names, key)
	return nil
}

// parseReleases reads ranges of minors: "29-31,33?,34-".
func (t *defaultTable) parseReleases(text string) (r releases, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part, gated := strings.CutSuffix(part, "?")
		set := t.set(0, t.minors[len(t.minors)-1])
		if part != "*" {
			from, to, isRange := strings.Cut(part, "-")
			first, err := strconv.Atoi(from)
			if err != nil {
				return r, err
			}
			last := first
			if isRange {
				last = t.minors[len(t.minors)-1]
			}
			if to != "" {
				if last, err = strconv.Atoi(to); err != nil {
					return r, err
				}
			}
			set = t.set(first, last)
		}
		if gated {
			r.gated |= set
		} else {
			r.always |= set
		}
	}
	return r, nil
}

// set is the set of the known minors between two, both included.
func (t *defaultTable) set(first, last int) (set uint64) {
	for i, m := range t.minors {
		if first <= m && m <= last {
			set |= 1 << i
		}
	}
	return set
}

// nearest is the known release that is closest to a version: the version itself
// when it is known, the newest for all that are newer.
func (t *defaultTable) nearest(v evidence.Version) evidence.Version {
	best := t.minors[0]
	for _, m := range t.minors {
		if distance(m, v) <= distance(best, v) {
			best = m
		}
	}
	return evidence.Version{Major: 1, Minor: best}
}

func distance(minor int, v evidence.Version) int {
	if v.Major != 1 {
		return -minor
	}
	return max(minor-v.Minor, v.Minor-minor)
}

// at is the set with the known release nearest to a version.
func (t *defaultTable) at(v evidence.Version) uint64 {
	m := t.nearest(v).Minor
	return t.set(m, m)
}

// upTo is the set of the releases whose defaults a cluster of a version may hold
// untouched: its own, all earlier ones, since the API server adds to its objects
// but takes nothing away when a cluster is upgraded, and the next one, since an
// upgrade goes from one API server to the other. For a version that is not known it
// holds both of its neighbours.
func (t *defaultTable) upTo(v evidence.Version) uint64 {
	if v.Major != 1 {
		return t.set(0, t.minors[len(t.minors)-1])
	}
	last := max(v.Minor+1, t.nearest(v).Minor)
	for _, m := range t.minors {
		if m >= v.Minor {
			last = max(m, v.Minor+1)
			break
		}
	}
	return t.set(0, last)
}

func parseRule(fields []string) rbacv1.PolicyRule {
	rule := rbacv1.PolicyRule{Verbs: strings.Split(fields[0], ",")}
	if fields[1] == "url" {
		rule.NonResourceURLs = strings.Split(fields[2], ",")
		return rule
	}
	for group := range strings.SplitSeq(fields[1], ",") {
		if group == "core" {
			group = ""
		}
		rule.APIGroups = append(rule.APIGroups, group)
	}
	rule.Resources = strings.Split(fields[2], ",")
	if len(fields) > 3 {
		rule.ResourceNames = strings.Split(fields[3], ",")
	}
	return rule
}

// roles are the roles of the table as a release makes them with its feature gates
// as they come, those that collect rules still without.
func (t *defaultTable) roles(v evidence.Version) []*Role {
	set := t.at(v)
	var roles []*Role
	for _, key := range t.names {
		o := t.objects[key]
		if o.roleRef.Name != "" || o.releases.always&set == 0 {
			continue
		}
		role := &Role{Kind: key.kind, Namespace: key.namespace, Name: key.name, BuiltIn: true, selectors: o.selectors(), labels: labels.Set{}}
		for _, label := range o.into {
			role.labels[aggregationPrefix+label] = "true"
		}
		for _, r := range o.rules {
			if r.releases.always&set != 0 {
				role.Rules = append(role.Rules, r.rule)
			}
		}
		roles = append(roles, role)
	}
	return roles
}

func (o *defaultObject) selectors() (list []metav1.LabelSelector) {
	for _, label := range o.from {
		list = append(list, metav1.LabelSelector{MatchLabels: map[string]string{aggregationPrefix + label: "true"}})
	}
	return list
}

// rulesOf are all rules that an object had in the releases of a set, behind feature
// gates too; for a role that collects rules those of the roles it collects.
func (t *defaultTable) rulesOf(o *defaultObject, set uint64) (rules []rbacv1.PolicyRule) {
	for _, r := range o.rules {
		if r.releases.in(set) {
			rules = append(rules, r.rule)
		}
	}
	for _, label := range o.from {
		for _, key := range t.names {
			if other := t.objects[key]; other != o && slices.Contains(other.into, label) {
				rules = append(rules, t.rulesOf(other, set)...)
			}
		}
	}
	return rules
}
