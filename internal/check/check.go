// Package check is the unit of judgement: a Check looks at evidence and says,
// object by object, what is wrong. A check is a value, not a type; it does no
// I/O, prints nothing, and does not know where its evidence came from.
package check

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/need"
)

// A Check answers one question about every object that it applies to.
type Check struct {
	// ID is kebab-case; it is never renamed and never reused.
	ID string
	// Title is the fault in a few words: lower case, no full stop.
	Title string
	// Doc is Markdown: why it matters, what exactly is looked at and how
	// defaults and inheritance are resolved, and how to put it right.
	Doc string
	// Recommendation is the row of the ledger that the check serves.
	Recommendation string
	// Severity of its problems unless one says otherwise.
	Severity guide.Severity
	// Remedy is the one-line remediation of problems that have none of their own.
	Remedy string
	// Needs are the facts without which the answer is not whole: a gap in one of
	// them turns a pass into not-evaluated. It names every fact that Run reads.
	Needs []evidence.Fact
	// Leaves is what the recommendation's proof asks for besides and no object
	// shows. It keeps the row from passing once anything was judged.
	Leaves Rest
	// Live is the question of a check that only a live cluster can answer, in words
	// that follow "not known:": whether running pods meet the level of their
	// namespace. Over files such a check is not run, and its row says so. "" for a
	// check that judges objects wherever they come from.
	Live string
	// Written is the question of a check that only files can answer, likewise: which
	// API version objects are written in. Over a live cluster it is not run.
	Written string
	// Node is the question of a check that only the configuration of nodes can answer,
	// likewise: who may read the keys. It judges hosts, and is not run where none was
	// looked at. "" for a check that judges objects.
	Node string
	// Probe is the question of a check that only attempts to connect can answer,
	// likewise: what a port answers to everybody. It judges what the probes tell, and
	// where nothing was probed nobody misses it: other checks of its row ask the same of
	// what is configured. "" for any other check.
	Probe string
	// Alone is set when what the check finds answers the row by itself, though other
	// kinds of evidence could: the version of an API server without the flag as well as
	// the flag. What other checks of the row would have asked is then not missing.
	Alone bool
	// Run judges.
	Run func(*Run)
}

// Asks reports whether a snapshot is of the kind that the check can judge.
func (c *Check) Asks(snap *evidence.Snapshot) bool {
	switch {
	case c.Node != "":
		return snap.HasHosts()
	case c.Probe != "":
		return len(snap.Probes) > 0
	}
	return snap.HasObjects() && (c.Live == "" || snap.Cluster != nil) && (c.Written == "" || snap.Cluster == nil)
}

// A Rest is a question that a check leaves open; the zero value is none.
type Rest struct {
	// What is the question in words: whether the nodes enforce SELinux.
	What string
	// To are the kinds of evidence that would answer it.
	To []guide.Evidence
	// Elsewhere is set when the question is about objects like those judged that
	// are not among files: a live cluster, of which all are listed, leaves it to
	// nobody.
	Elsewhere bool
}

// A Problem is one thing wrong with an object, at one field.
type Problem struct {
	// Path is the field, symbolic: its line is looked up when it is printed.
	Path evidence.Path
	// Value is what stands there, "" when the field is missing. Never a credential.
	Value string
	// Message says what is wrong, with names quoted: container "web" runs privileged.
	Message string
	// Container is the container concerned, "" for the pod or another object.
	Container string
	// Severity and SeverityReason replace the check's severity for this problem.
	Severity       guide.Severity
	SeverityReason string
	// Remedy replaces the check's.
	Remedy string
	// Fix is nil when only a person can decide.
	Fix *Fix
	// Sensitive is set when the line holds a credential and must not be shown.
	Sensitive bool
	// At is where the fault is written, for what is not a field of the object: a line of
	// a file of a node, by its path on the node. nil for a field.
	At *evidence.Position
}

// A Fix sets the field at Path to Value, and others with it.
type Fix struct {
	Path evidence.Path
	// Value is the new value as YAML in flow style: true, RuntimeDefault, {drop: [ALL]}.
	Value string
	// Breaks is what the change may stop of what runs today, and "" when it cannot stop
	// anything: the fix is safe then.
	Breaks string
	// With are changes that have to be made together with it, all or none: the volume
	// and the mount that a read-only root file system needs. The index that is the length
	// of a list adds an element to it.
	With []Change
	// Adds is an object that has to be there as well, nil for none: the ServiceAccount
	// that a pod is to run as.
	Adds *Addition
}

// An Addition is an object that is not there yet.
type Addition struct {
	// APIVersion, Kind, Namespace and Name are those that a reader finds in it: the
	// Namespace is set as well where the text leaves it to whoever applies it.
	APIVersion, Kind, Namespace, Name string
	// Text is the object as YAML in block style, indented by two, without markers.
	Text string
}

// String names the object as people do: ServiceAccount shop/web.
func (a *Addition) String() string {
	ref := evidence.Ref{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}
	return ref.String()
}

// A Change sets the field at Path to Value, as a Fix does.
type Change struct {
	Path  evidence.Path
	Value string
}

// Settings are what the user says about the cluster.
type Settings struct {
	// Version is the Kubernetes release to judge as.
	Version evidence.Version
	// TrustedRegistries are the registries, or registry/path prefixes, that images
	// may come from; empty when the user named none.
	TrustedRegistries []string
	// SensitiveRanges are named CIDRs outside the cluster that workloads must not
	// reach (WRK-03), by name.
	SensitiveRanges map[string]string
	// Network is what the user says about addresses.
	Network reach.Options
	// SystemNamespaces are namespaces besides kube-* whose workloads belong to the
	// platform.
	SystemNamespaces []string
	// UntrustedSelector marks workloads that need a sandboxed runtime (ENV-01):
	// pod labels that must all match; empty when none are declared.
	UntrustedSelector map[string]string
	// ShowDefaults has the roles and bindings that Kubernetes itself makes judged
	// like any other, where they are not told apart by having been changed.
	ShowDefaults bool
}

// network is what the settings tell of the network.
func (s Settings) network() reach.Options {
	o := s.Network
	o.Ranges = maps.Clone(o.Ranges)
	for name, text := range s.SensitiveRanges {
		// What is no range is reported by the check that judges it.
		if set, err := cidr.Parse(text); err == nil {
			if o.Ranges == nil {
				o.Ranges = map[string]cidr.Set{}
			}
			o.Ranges[name] = o.Ranges[name].Union(set)
		}
	}
	return o
}

// A Scan is what all checks of one run share: the evidence, the settings, and
// facts that are derived from the evidence at most once, on first use.
type Scan struct {
	*evidence.Snapshot
	Settings Settings
	// RBAC answers who may do what.
	RBAC func() *rbac.Index
	// Reach answers who may connect to whom, and by which policy.
	Reach func() *reach.Graph
	// Needs answers which connections the objects declare to be needed.
	Needs func() *need.Catalog
	// Exposures answers what exposes workloads to the outside.
	Exposures func() reach.Exposures

	namespaces      map[string]*evidence.Object[corev1.Namespace]
	serviceAccounts map[namespacedName]*evidence.Object[corev1.ServiceAccount]
	// several are the objects of which more than one workload is judged: what is
	// written, and what runs instead.
	several IDs
}

type namespacedName struct{ namespace, name string }

// NewScan prepares a snapshot for judging.
func NewScan(snap *evidence.Snapshot, settings Settings) *Scan {
	s := &Scan{
		Snapshot:        snap,
		Settings:        settings,
		RBAC:            sync.OnceValue(func() *rbac.Index { return rbac.NewIndex(snap) }),
		Reach:           sync.OnceValue(func() *reach.Graph { return reach.NewGraph(snap, settings.network()) }),
		Exposures:       sync.OnceValue(func() reach.Exposures { return reach.NewExposures(snap) }),
		namespaces:      make(map[string]*evidence.Object[corev1.Namespace], len(snap.Namespaces)),
		serviceAccounts: make(map[namespacedName]*evidence.Object[corev1.ServiceAccount], len(snap.ServiceAccounts)),
	}
	s.Needs = sync.OnceValue(func() *need.Catalog { return need.Find(snap, s.Reach(), need.Facts{Network: settings.network()}) })
	for _, ns := range snap.Namespaces {
		s.namespaces[ns.Name] = ns
	}
	for _, sa := range snap.ServiceAccounts {
		s.serviceAccounts[namespacedName{sa.Namespace, sa.Name}] = sa
	}
	for _, w := range snap.Workloads {
		if w.Instance != "" {
			s.several.Add(w.Ref.ID)
		}
	}
	return s
}

// Namespace returns the Namespace object of that name, or nil.
func (s *Scan) Namespace(name string) *evidence.Object[corev1.Namespace] { return s.namespaces[name] }

// ServiceAccount returns the ServiceAccount, or nil.
func (s *Scan) ServiceAccount(namespace, name string) *evidence.Object[corev1.ServiceAccount] {
	return s.serviceAccounts[namespacedName{namespace, name}]
}

// A Failure is an object with its problems.
type Failure struct {
	Ref     *evidence.Ref
	Problem Problem
}

// An Unjudged is something that a check did not judge, and why.
type Unjudged struct {
	// Scope is the object, node or namespace that was not judged, "" for the whole row.
	Scope  string
	Reason string
}

// A Run is one check's look at one scan, and what it said.
type Run struct {
	*Scan
	// Evaluated has the IDs of the objects that were judged.
	Evaluated IDs
	Failures  []Failure
	// Unknowns could not be judged, Inapplicables were not to be: somebody else answers
	// for them, or what they are about is not in use.
	Unknowns, Inapplicables []Unjudged

	// Severity is that of problems that have none of their own.
	Severity guide.Severity

	// said is what was found of objects of which several workloads are judged: the
	// place of each among the failures.
	said map[saying]int
}

// A saying is what tells the problems of one check apart.
type saying struct {
	object         int
	container, key string
}

// Judge records that an object was looked at, with what is wrong with it: no
// problems is a pass, and is counted. What is wrong with what is written, and just
// so with what runs, is one problem: the worst.
func (r *Run) Judge(ref *evidence.Ref, problems []Problem) {
	r.Evaluated.Add(ref.ID)
	for _, p := range problems {
		if r.several.Has(ref.ID) && r.say(saying{ref.ID, p.Container, p.Path.Key()}, p) {
			continue
		}
		r.Failures = append(r.Failures, Failure{ref, p})
	}
}

// say reports whether something was said before, and puts what is worse in its place.
func (r *Run) say(s saying, p Problem) bool {
	i, said := r.said[s]
	if !said {
		if r.said == nil {
			r.said = map[saying]int{}
		}
		r.said[s] = len(r.Failures)
		return false
	}
	before := &r.Failures[i].Problem
	if cmp.Or(p.Severity, r.Severity) > cmp.Or(before.Severity, r.Severity) {
		*before = p
	}
	return true
}

// JudgeWorkload records what is wrong with a workload, where its parts really
// stand. Of what runs it names a pod and offers no fix: the object may be right.
func (r *Run) JudgeWorkload(w *evidence.Workload, problems []Problem) {
	problems = resolve(w, problems)
	for i := range problems {
		p := &problems[i]
		switch {
		case w.Template != nil && w.Running == 0:
			p.Message += fmt.Sprintf(" (so in %s, which belongs to it, not in the template)", w.Instance)
			p.Fix = nil
		case w.Template != nil:
			p.Message += fmt.Sprintf(" (so in running pod %s, not in the template)", w.Instance)
			p.Fix = nil
		case w.Instance != "":
			p.Message += fmt.Sprintf(" (so in %s)", w.Instance)
		}
	}
	r.Judge(w.Ref, problems)
}

// Unknown records that something was not judged.
func (r *Run) Unknown(scope, reason string) {
	r.Unknowns = append(r.Unknowns, Unjudged{scope, reason})
}

// Inapplicable records that there is nothing to judge: what the check asks about is for
// the provider of the control plane to see to, or is not in use. It is the answer to a
// row of which nothing else was judged.
func (r *Run) Inapplicable(scope, reason string) {
	r.Inapplicables = append(r.Inapplicables, Unjudged{scope, reason})
}

// Workloads lifts a judgement about one workload to a whole scan.
func Workloads(judge func(*Scan, *evidence.Workload) []Problem) func(*Run) {
	return func(r *Run) {
		for _, w := range r.Workloads {
			r.JudgeWorkload(w, judge(r.Scan, w))
		}
	}
}

// resolve puts the problems of a workload where its parts really stand.
func resolve(w *evidence.Workload, problems []Problem) []Problem {
	for i := range problems {
		p := &problems[i]
		p.Path = w.Resolve(p.Path)
		if p.Fix != nil {
			p.Fix.Path = w.Resolve(p.Fix.Path)
			for j := range p.Fix.With {
				p.Fix.With[j].Path = w.Resolve(p.Fix.With[j].Path)
			}
		}
	}
	return problems
}

// Containers lifts a judgement about one container to a whole scan. Traversal of
// init, regular and ephemeral containers is written here and nowhere else.
func Containers(judge func(*Scan, *evidence.Workload, evidence.Container) []Problem) func(*Run) {
	return Workloads(func(s *Scan, w *evidence.Workload) (problems []Problem) {
		for c := range w.Containers() {
			for _, p := range judge(s, w, c) {
				p.Container = c.Name
				problems = append(problems, p)
			}
		}
		return problems
	})
}

// Each lifts a judgement about one object to all objects of a kind.
func Each[S interface{ Subject() *evidence.Ref }](subjects func(*evidence.Snapshot) []S, judge func(*Scan, S) []Problem) func(*Run) {
	return func(r *Run) {
		for _, s := range subjects(r.Snapshot) {
			r.Judge(s.Subject(), judge(r.Scan, s))
		}
	}
}

// IDs is a set of object IDs.
type IDs struct {
	bits []uint64
	n    int
}

// Add puts id into the set.
func (s *IDs) Add(id int) {
	for len(s.bits) <= id/64 {
		s.bits = append(s.bits, make([]uint64, id/64+1-len(s.bits))...)
	}
	if s.bits[id/64]&(1<<(id%64)) == 0 {
		s.bits[id/64] |= 1 << (id % 64)
		s.n++
	}
}

// Has reports whether id is in the set.
func (s *IDs) Has(id int) bool { return id/64 < len(s.bits) && s.bits[id/64]&(1<<(id%64)) != 0 }

// AddAll puts all of other into the set.
func (s *IDs) AddAll(other IDs) {
	for i, word := range other.bits {
		for b := 0; word != 0; b, word = b+1, word>>1 {
			if word&1 != 0 {
				s.Add(i*64 + b)
			}
		}
	}
}

// Len is the number of IDs.
func (s *IDs) Len() int { return s.n }

var validID = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Validate reports the first thing wrong with the declarations themselves.
func Validate(checks []*Check) error {
	seen := map[string]bool{}
	for _, c := range checks {
		switch {
		case !validID.MatchString(c.ID):
			return fmt.Errorf("check %q: bad ID", c.ID)
		case seen[c.ID]:
			return fmt.Errorf("check %s: declared twice", c.ID)
		case c.Title == "" || c.Doc == "" || c.Remedy == "":
			return fmt.Errorf("check %s: needs a title, a doc and a remedy", c.ID)
		case c.Severity < guide.Info || c.Severity > guide.Critical:
			return fmt.Errorf("check %s: needs a severity", c.ID)
		case c.Run == nil:
			return fmt.Errorf("check %s: has nothing to run", c.ID)
		case c.Live != "" && c.Written != "", c.Node != "" && c.Live+c.Written != "", c.Probe != "" && c.Live+c.Written+c.Node != "":
			return fmt.Errorf("check %s: asks two kinds of evidence that never come together", c.ID)
		case (c.Leaves.What == "") != (len(c.Leaves.To) == 0):
			return fmt.Errorf("check %s: what it leaves open needs both a question and evidence", c.ID)
		}
		if _, ok := guide.Find(c.Recommendation); !ok {
			return fmt.Errorf("check %s: recommendation %q is not in the ledger", c.ID, c.Recommendation)
		}
		seen[c.ID] = true
	}
	return nil
}
