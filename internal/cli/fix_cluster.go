package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/apply"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix/patch"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/live"
)

// liveFix is what fix does to a cluster.
type liveFix struct {
	apply    bool
	force    bool
	undo     string
	undoFile string
}

func (l *liveFix) flags(f *pflag.FlagSet, s *sources) {
	s.clusterFlags(f)
	f.Lookup("cluster").Usage = "fix the live cluster of the kubeconfig, or the one this runs in: write patches, or make them with --apply"
	f.Lookup("context").Usage = "context of the kubeconfig to use"
	f.BoolVar(&l.apply, "apply", false, "clusters: make the changes, one namespace after the other")
	f.StringVar(&l.undoFile, "undo-file", "", "clusters: file for the way back, written before each namespace (default: gabion-undo-CLUSTER-TIME.json)")
	f.BoolVar(&l.force, "force-conflicts", false, "clusters: change as well what Helm, a GitOps tool or a controller keeps, and take over fields that other managers set")
	f.StringVar(&l.undo, "undo", "", "take back what --apply has made: the file that it wrote")
}

// check finds what is wrong with the flags that are for clusters.
func (o fixOptions) check() error {
	l := o.live
	cluster := o.scan.cluster
	switch {
	case l.undo != "" && (l.apply || o.inPlace || o.outputDir != "" || l.undoFile != "" || len(o.scan.paths) > 0):
		return usagef("--undo %s: takes back what the file says; give nothing besides that is to be read or written", l.undo)
	case len(o.scan.contexts) > 1:
		return usagef("--context: %d contexts; fix one cluster at a time", len(o.scan.contexts))
	case l.undo != "":
		return nil
	case !cluster && (l.apply || l.force || l.undoFile != ""):
		return usagef("--apply, --undo-file and --force-conflicts are for clusters: give --cluster")
	case !cluster:
		return nil
	case len(o.scan.paths) > 0:
		return usagef("--cluster: files and clusters are fixed one at a time")
	case o.inPlace:
		return usagef("--write: nothing of a cluster is in a file: --output-dir writes patches, --apply makes them")
	case o.output == "patch":
		return usagef("--output patch: is for files; what is printed for a cluster are the patches")
	case l.undoFile != "" && !l.apply:
		return usagef("--undo-file %s: nothing is changed without --apply", l.undoFile)
	}
	return nil
}

// A liveMender makes the fixes of a cluster.
type liveMender struct {
	*mender
	medium *liveMedium
	client *apply.Client
	trials map[string]*trial // by file
}

// A trial is a patch that was tried, and for which text.
type trial struct {
	*apply.Trial
	after []byte
}

// runCluster finds the patches for a cluster, proves them, and writes or makes them.
func (o fixOptions) runCluster(ctx context.Context, env Env) error {
	chosen, err := o.chooser()
	if err != nil {
		return err
	}
	o.scan.outputs = []string{"json"} // the format that wants all findings
	o.scan.usage = true
	if o.known, err = o.remedy.known(); err != nil {
		return err
	}
	plan, err := prepare(env, o.scan)
	if err != nil {
		return usageError{err}
	}
	connection, err := o.connectOne()
	if err != nil {
		return err
	}
	liveObjects := &liveMedium{force: o.live.force, index: map[string]int{}}
	world, err := o.readOnce(ctx, connection, liveObjects)
	if err != nil {
		return err
	}
	if v, err := evidence.ParseVersion(world.Cluster.Version); err == nil && !plan.versionGiven {
		plan.engine.Settings.Version = v
	}
	rep, err := plan.judge(ctx, world)
	if err != nil {
		return err
	}
	m := &liveMender{mender: newMender(plan, o), medium: liveObjects, client: o.writer(connection), trials: map[string]*trial{}}
	m.media = []medium{liveObjects}
	m.collect(world, rep, chosen)
	if err := m.prove(ctx); err != nil {
		return err
	}
	if err := m.writePatches(); err != nil {
		return err
	}
	var failed error
	if o.live.apply {
		failed = m.make(ctx, env)
	}
	if err := m.tell(env, rep); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return m.verdict(rep)
}

// connectOne finds the one cluster.
func (o fixOptions) connectOne() (*live.Client, error) {
	clients, err := o.scan.connect(nil)
	if err != nil {
		return nil, err
	}
	return clients[0], nil
}

// readOnce reads the cluster as a scan does, and records what it is made of.
func (o fixOptions) readOnce(ctx context.Context, c *live.Client, medium *liveMedium) (*evidence.Snapshot, error) {
	world := &evidence.Snapshot{}
	var b *cluster.Builder
	err := look(ctx, c, true, func(about *evidence.Cluster) (cluster.Sink, error) {
		b = cluster.NewBuilder(world, about)
		b.KeepJSON = true
		medium.about, medium.sink = about, b
		return medium, nil
	})
	if err != nil {
		return nil, err
	}
	b.Finish()
	return world, nil
}

// writer is what writes to the cluster that a connection is to.
func (o fixOptions) writer(c *live.Client) *apply.Client {
	http, base := c.Door()
	return apply.NewClient(http, base, time.Duration(o.scan.requestTimeout), "gabion/"+tool().Version)
}

// mostTrials is how often patches are tried again after some fixes were refused.
const mostTrials = 8

// prove makes the fixes offline, and has the API server try what came of it, until it
// refuses nothing.
func (m *liveMender) prove(ctx context.Context) error {
	for range mostTrials {
		for _, d := range m.mends {
			d.fresh = d.refused == ""
		}
		if err := m.mend(ctx); err != nil {
			return err
		}
		refused, err := m.try(ctx)
		if err != nil || !refused {
			return err
		}
	}
	m.refuseAll("the API server refuses one thing after the other")
	clear(m.after)
	return nil
}

// try has the API server try to make each new object, and then, if there is nothing in the
// way of these, the patch of each that is there. It refuses the fixes that are in the way,
// and reports whether there were any.
func (m *liveMender) try(ctx context.Context) (refused bool, err error) {
	for _, isNew := range []bool{true, false} {
		names := slices.Sorted(maps.Keys(m.after))
		names = slices.DeleteFunc(names, func(name string) bool { return m.medium.isNew(name) != isNew })
		if refused, err = m.tryAll(ctx, names); refused || err != nil {
			return refused, err
		}
	}
	return false, nil
}

func (m *liveMender) tryAll(ctx context.Context, names []string) (refused bool, err error) {
	for _, name := range names {
		if t := m.trials[name]; t != nil && string(t.after) == string(m.after[name]) {
			continue
		}
		t, err := m.tryOne(ctx, name)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if _, unreachable := errors.AsType[*url.Error](err); unreachable {
			return false, usageError{err}
		}
		if err == nil && m.medium.isNew(name) && m.live.apply && t.Unproven != "" {
			err = errors.New(t.Unproven) // what needs it cannot be made without it
		}
		if err == nil {
			m.trials[name] = &trial{t, m.after[name]}
			continue
		}
		if !m.blame(ctx, name, err) {
			return false, err
		}
		refused = true
	}
	return refused, nil
}

// tryOne has the API server try the patch of one object, or the making of a new one.
func (m *liveMender) tryOne(ctx context.Context, name string) (*apply.Trial, error) {
	if !m.medium.isNew(name) {
		judged, wanted, err := m.medium.differences(name, m.after[name])
		if err != nil {
			return nil, err
		}
		return m.client.Try(ctx, judged, wanted, m.live.force)
	}
	object, err := patch.Decode(m.after[name])
	if err != nil {
		return nil, err
	}
	by := m.adders(name)
	if len(by) == 0 {
		return nil, fmt.Errorf("%s: no fix asks for it", object)
	}
	return m.client.TryNew(ctx, object, by[0].ref.String())
}

// adders are the fixes that ask for a new object.
func (m *liveMender) adders(name string) []*mend {
	return m.suspects(func(d *mend) bool { return d.made() && d.fix.Adds != nil && fileOfNew(d.fix.Adds) == name })
}

// blame refuses the fixes of an object that the API server refused: those that set the
// fields which it says are in the way, else those that it refuses by themselves, else
// all of them.
func (m *liveMender) blame(ctx context.Context, name string, why error) (some bool) {
	if by := m.adders(name); len(by) > 0 {
		refuse(by, fmt.Sprintf("%s: %v", newObject(by[0].fix.Adds), why))
		return true
	}
	all := m.suspects(func(d *mend) bool { return d.made() && d.home == medium(m.medium) && fileOfObject(d.ref) == name })
	if conflict, is := errors.AsType[*apply.Conflict](why); is {
		why = fmt.Errorf("%w: change it there, or take it over with --force-conflicts", why)
		blamed := slices.DeleteFunc(slices.Clone(all), func(d *mend) bool { return !m.sets(d, conflict.Fields) })
		if len(blamed) > 0 {
			refuse(blamed, why.Error())
			return true
		}
	}
	for _, d := range all {
		if err := m.tryAlone(ctx, d); err != nil {
			d.refused, some = err.Error(), true
		}
	}
	if !some {
		refuse(all, why.Error())
	}
	return len(all) > 0
}

// alone is what one fix changes in its object by itself.
func (m *liveMender) alone(d *mend) (judged patch.Object, differences []patch.Difference, err error) {
	after, outcomes := m.medium.apply(nil, []wanted{d.wanted()})
	if err := outcomes[0].err; err != nil {
		return nil, nil, err
	}
	name := fileOfObject(d.ref)
	return m.medium.differences(name, after[name])
}

// tryAlone has the API server try one fix by itself.
func (m *liveMender) tryAlone(ctx context.Context, d *mend) error {
	judged, differences, err := m.alone(d)
	if err != nil {
		return err
	}
	_, err = m.client.Try(ctx, judged, differences, m.live.force)
	return err
}

// sets reports whether a fix sets one of some fields, as the API server spells them, or
// something around it or below it.
func (m *liveMender) sets(d *mend, fields []string) bool {
	_, differences, err := m.alone(d)
	return err == nil && slices.ContainsFunc(differences, func(c patch.Difference) bool {
		return slices.ContainsFunc(fields, func(f string) bool { return below(f, c.Path.String()) || below(c.Path.String(), f) })
	})
}

// below reports whether a field is another one or in it.
func below(field, other string) bool {
	rest, ok := strings.CutPrefix(field, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// patches are the names of the files of the patches, in the order in which they are
// made: namespace by namespace, what is new in one first, and what lives in none after
// them, for a label of a Namespace may keep out the pods of a workload that is not fixed
// yet.
func (m *liveMender) patches() []string {
	names := slices.Collect(maps.Keys(m.after))
	slices.SortFunc(names, func(a, b string) int {
		if wideA, wideB := namespaceOf(a) == clusterWide, namespaceOf(b) == clusterWide; wideA != wideB {
			if wideA {
				return 1
			}
			return -1
		}
		newness := func(name string) int {
			if m.medium.isNew(name) {
				return 0
			}
			return 1
		}
		return cmp.Or(strings.Compare(namespaceOf(a), namespaceOf(b)), newness(a)-newness(b), strings.Compare(a, b))
	})
	return names
}

func namespaceOf(file string) string {
	namespace, _, _ := strings.Cut(file, "/")
	return namespace
}

// document is the text of a patch, with what it is for.
func (m *liveMender) document(name string) ([]byte, error) {
	t := m.trials[name]
	body, err := yaml.Marshal(t.Configuration)
	if err != nil {
		return nil, err
	}
	var head strings.Builder
	fmt.Fprintf(&head, "# %s\n", t.Configuration)
	for _, d := range m.adders(name) {
		fmt.Fprintf(&head, "#   %s: %s is to run as it\n", d.finding.Rule, d.ref)
	}
	for _, d := range m.mends {
		if !d.made() || fileOfObject(d.ref) != name {
			continue
		}
		for i, e := range d.outcome.edits {
			if e.file != name {
				fmt.Fprintf(&head, "#     and the object of %s\n", e.file)
			} else if i == 0 {
				fmt.Fprintf(&head, "#   %s: %s = %s\n", d.finding.Rule, e.path, e.value)
			} else {
				fmt.Fprintf(&head, "#     and %s = %s\n", e.path, e.value)
			}
		}
		if d.fix.Breaks != "" {
			fmt.Fprintf(&head, "#     may stop %s\n", d.fix.Breaks)
		}
	}
	if t.Unproven == "" {
		fmt.Fprintf(&head, "# The API server of %s has accepted it in a dry run, and would change nothing else.\n", m.medium.about.Name)
	} else {
		fmt.Fprintf(&head, "# NOT proven by the API server of %s: %s.\n", m.medium.about.Name, t.Unproven)
	}
	fmt.Fprint(&head, "# kubectl apply --server-side --field-manager ", apply.Manager, forced(m.live.force), " -f FILE\n")
	return append([]byte(visible(head.String())), body...), nil
}

func forced(force bool) string {
	if force {
		return " --force-conflicts"
	}
	return ""
}

// writePatches writes the patches into the folder, if there is one.
func (m *liveMender) writePatches() error {
	if m.outputDir == "" {
		return nil
	}
	for _, name := range m.patches() {
		text, err := m.document(name)
		if err != nil {
			return err
		}
		to := filepath.Join(m.outputDir, filepath.FromSlash(name))
		if err := putFile(to, to, text); err != nil {
			return usagef("write %s: %w", to, err)
		}
	}
	return nil
}

// tell prints the patches or the report to standard output, and what was found or done
// to standard error.
func (m *liveMender) tell(env Env, rep *report.Report) error {
	if m.output == "json" {
		e := json.NewEncoder(env.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(m.report(rep))
	}
	if m.outputDir == "" && !m.live.apply {
		for _, name := range m.patches() {
			text, err := m.document(name)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(env.Stdout, "---\n%s", text); err != nil {
				return err
			}
		}
	}
	if !m.scan.quiet {
		m.summaryLive(env.Stderr)
	}
	return nil
}

func (m *liveMender) summaryLive(w io.Writer) {
	made, objects := 0, map[string]bool{}
	reasons := map[string]int{}
	unfixable := 0
	for _, d := range m.mends {
		switch {
		case d.refused == "":
			made++
			for _, e := range d.outcome.edits {
				objects[e.file] = true
			}
		case d.fix == nil:
			unfixable++
		default:
			reasons[d.refused]++
		}
	}
	verb := "can be fixed"
	if m.live.apply {
		verb = "fixed"
	}
	fmt.Fprintf(w, "%s %s in %s of cluster %s\n", count(made, "finding"), verb, count(len(objects), "object"), visible(m.medium.about.Name))
	if unfixable > 0 {
		fmt.Fprintf(w, "%s without an automatic fix: a person has to decide\n", count(unfixable, "finding"))
	}
	sayRefused(w, reasons)
	unproven := map[string]int{}
	for _, name := range m.patches() {
		if t := m.trials[name]; t.Unproven != "" && !m.live.apply {
			unproven[t.Unproven]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(unproven)) {
		fmt.Fprintf(w, "%s not proven by the API server: %s\n", count(unproven[why], "patch"), visible(why))
	}
}

// make makes the changes, one namespace after the other. Before each the way back is on
// the disk. It stops at the first that fails.
func (m *liveMender) make(ctx context.Context, env Env) error {
	names := m.proven()
	if len(names) == 0 {
		return nil
	}
	uid, err := m.client.UID(ctx)
	if err != nil {
		return usagef("--apply: %w: the way back has to name it", err)
	}
	way := &apply.WayBack{Cluster: apply.Cluster{Name: m.medium.about.Name, UID: uid}}
	file, err := m.undoFile(env)
	if err != nil {
		return err
	}
	for first := 0; first < len(names); {
		last := first
		for last < len(names) && namespaceOf(names[last]) == namespaceOf(names[first]) {
			way.Add(m.trials[names[last]].Trial)
			last++
		}
		if err := way.Write(file); err != nil {
			return m.stopped(env, file, names[:first], names[first:], fmt.Errorf("write the way back to %s: %w", file, reason(err)))
		}
		for i, name := range names[first:last] {
			if err := m.client.Do(ctx, m.trials[name].Trial); err != nil {
				return m.stopped(env, file, names[:first+i], names[first+i:], fmt.Errorf("%s: %w", m.trials[name].Configuration, err))
			}
		}
		first = last
	}
	m.done(env.Stderr, names, file)
	return nil
}

// proven are the patches that the API server has accepted. The fixes of the others are
// refused: what is not proven is not made.
func (m *liveMender) proven() (names []string) {
	for _, name := range m.patches() {
		if why := m.trials[name].Unproven; why != "" {
			m.refuseAt(name, "not proven by the API server: "+why)
		}
	}
	for _, name := range m.patches() {
		if m.trials[name].Unproven == "" && (!m.medium.isNew(name) || len(m.adders(name)) > 0) {
			names = append(names, name)
		}
	}
	return names
}

// refuseAt refuses the fixes of one object.
func (m *liveMender) refuseAt(name, why string) {
	refuse(m.suspects(func(d *mend) bool { return d.made() && fileOfObject(d.ref) == name }), why)
}

// undoFile is the file for the way back: one that is not there, for it may be the only
// way back from something else.
func (m *liveMender) undoFile(env Env) (string, error) {
	file := m.live.undoFile
	if file == "" {
		letters := func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
				return r
			}
			return '-'
		}
		file = fmt.Sprintf("gabion-undo-%s-%s.json", strings.Map(letters, m.medium.about.Name), env.Now().UTC().Format("20060102-150405"))
	}
	if _, err := os.Lstat(file); err == nil {
		return "", usagef("--undo-file %s: is there already, and may be the way back from something else", file)
	}
	return file, nil
}

// stopped says why no more is done, and refuses the fixes that were not made.
func (m *liveMender) stopped(env Env, file string, done, left []string, why error) error {
	fmt.Fprintf(env.Stderr, "stopped: %s\n", visible(why.Error()))
	for _, name := range left {
		m.refuseAt(name, "not made: stopped before it, or at it")
	}
	m.done(env.Stderr, done, file)
	return exit(ExitIncomplete)
}

// done says what was changed, how to watch it, and how to get back.
func (m *liveMender) done(w io.Writer, names []string, file string) {
	if m.scan.quiet {
		return
	}
	for _, name := range names {
		object, verb := m.trials[name].Configuration, "changed"
		if m.medium.isNew(name) {
			verb = "made"
		}
		fmt.Fprintf(w, "%s %s\n", verb, visible(object.String()))
		if hint := watch(object); hint != "" {
			fmt.Fprintf(w, "  %s\n", visible(hint))
		}
	}
	if _, err := os.Lstat(file); err == nil {
		fmt.Fprintf(w, "The way back: gabion fix --undo %s\n", file)
	}
}

// watch is how a person sees the change of a workload take effect.
func watch(o patch.Object) string {
	switch kind := o.Text("kind"); kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		return fmt.Sprintf("kubectl rollout status --namespace %s %s/%s", o.Text("metadata", "namespace"), strings.ToLower(kind), o.Text("metadata", "name"))
	case "ReplicaSet", "ReplicationController":
		return "its pods stay as they are until they are deleted"
	case "CronJob":
		return "takes effect with the next run"
	}
	return ""
}

// runUndo takes back what --apply has made.
func (o fixOptions) runUndo(ctx context.Context, env Env) error {
	f, err := os.Open(o.live.undo)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	way, err := apply.ReadWayBack(f)
	if err != nil {
		return usagef("--undo %s: %w", o.live.undo, err)
	}
	o.scan.cluster = true
	connection, err := o.connectOne()
	if err != nil {
		return err
	}
	if _, err := connection.Cluster(ctx); err != nil {
		return usageError{err}
	}
	client := o.writer(connection)
	uid, err := client.UID(ctx)
	if err != nil {
		return usageError{err}
	}
	if uid != way.Cluster.UID {
		return usagef("--undo %s: is of another cluster, %q: this one has the UID %s, that one %s", o.live.undo, way.Cluster.Name, uid, way.Cluster.UID)
	}
	whole, needed := true, map[string]bool{} // what still runs as an account that was made
	for _, e := range slices.Backward(way.Objects) {
		if o.scan.namespace != "" && e.Namespace != o.scan.namespace {
			continue
		}
		var outcome apply.Outcome
		var err error
		if needed[e.By] {
			err = fmt.Errorf("%s, which it was made for, may still need it", e.By)
		} else {
			outcome, err = client.Undo(ctx, e)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		whole = whole && err == nil && len(outcome.Left) == 0
		needed[e.String()] = err != nil || slices.ContainsFunc(outcome.Left, namesAccount)
		sayUndone(env.Stderr, e, outcome, err)
	}
	if !whole {
		return exit(ExitIncomplete)
	}
	return nil
}

// namesAccount reports whether a field names the account of a pod.
func namesAccount(field patch.Path) bool {
	text := field.String()
	return strings.HasSuffix(text, ".serviceAccountName") || strings.HasSuffix(text, ".serviceAccount")
}

// sayUndone says what became of one object.
func sayUndone(w io.Writer, e apply.Entry, o apply.Outcome, err error) {
	say := func(format string, args ...any) { fmt.Fprintln(w, visible(fmt.Sprintf(format, args...))) }
	switch {
	case err != nil:
		say("%s: not undone: %v", e, err)
		return
	case o.Deleted:
		say("%s: deleted, as it was not there before", e)
	case o.Nothing && len(o.Left) == 0 && e.Made != nil:
		say("%s: is not there, as before", e)
	case o.Nothing && len(o.Left) == 0:
		say("%s: is as it was before", e)
	case !o.Nothing:
		say("%s: %s undone", e, count(o.Undone, "field"))
	}
	for _, p := range o.Left {
		say("%s: %s was changed by somebody else since, and is left as it is", e, p)
	}
}
