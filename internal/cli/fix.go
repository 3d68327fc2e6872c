package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/remedy"
	"github.com/gabion-k8s/gabion/internal/report"
)

type fixOptions struct {
	scan            scanOptions
	rules           []string
	recommendations []string
	severity        string
	unsafe          bool
	inPlace         bool
	interactive     bool
	outputDir       string
	output          string
	live            liveFix
	remedy          remedyFlags
	known           *remedy.Known // what the flags of remedy say
	overlay         overlayOptions
}

func newFix(env Env) *cobra.Command {
	var o fixOptions
	cmd := &cobra.Command{
		Use:   "fix [PATH...]",
		Short: "The smallest edits that make findings go away: a diff, or written in place",
		Long: `Make the findings go away that have one right answer, by the smallest edit of the
files they are in. Comments, order, quoting, indentation and line ends stay as they
are; the difference is shown, and nothing is written without --write or --output-dir.

Safe fixes are made: those that cannot stop a workload that runs today. With --unsafe
the others are made as well: read the difference, and try it before you trust it.

Every edit is proven before anything is shown or written: the file is read again
and must mean the same but for the fields of the fixes, and the result is judged again:
the finding has to be gone, and no new one may have come. What cannot be proven is
refused, with the reason. An object that a fix needs comes last in the file.

Files of manifests are edited, YAML and JSON. Of a chart the values are, or the template
where a field is written out, else a patch for after the rendering is written. An overlay
gets a patch, or its base is edited with --base.

With --cluster objects of a live cluster are fixed. The patches are printed, or written
to --output-dir, for kubectl apply --server-side; each was tried on the API server in a
dry run, which changes nothing but takes the right to patch. --apply makes them, one
namespace after the other; before each the way back is written to --undo-file, and
--undo takes back what still is as it was made.

Exit codes are those of scan, for the findings that were chosen and that are left
after the fixes, whether there is a fix for them or not.`,
		Example: `  gabion fix deploy/
  gabion fix deploy/ --write
  gabion fix deploy/ --unsafe --recommendation POD-08
  gabion fix deploy/ -o patch | git apply
  gabion fix deploy/ --output-dir hardened/
  gabion fix charts/web --values production.yaml
  gabion fix --cluster -n shop --output-dir patches/
  gabion fix --cluster -n shop --apply --undo-file before.json
  gabion fix --undo before.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.live.undo != "" { // which reads nothing else
				o.scan.paths = slices.Concat(args, o.scan.filenames)
			} else if err := o.scan.complete(cmd, args); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return runFix(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&o.scan.filenames, "filename", "f", nil, "file or folder to read; same as PATH, repeatable")
	f.StringSliceVar(&o.rules, "rule", nil, "fix findings of this rule only, repeatable")
	f.StringSliceVar(&o.recommendations, "recommendation", nil, "fix findings of this recommendation only, repeatable")
	f.StringVar(&o.severity, "severity", "", "fix findings of at least this severity only: critical, high, medium, low, info")
	f.BoolVar(&o.unsafe, "unsafe", false, "make fixes as well that could stop a workload that runs today")
	f.BoolVar(&o.interactive, "interactive", false, "go through the fixes one by one, and ask for each; needs a terminal")
	f.BoolVar(&o.inPlace, "write", false, "edit the files in place")
	f.StringVar(&o.outputDir, "output-dir", "", "write the edited files into this folder, and leave the originals")
	f.StringVarP(&o.output, "output", "o", "", "patch or json (default: a diff for people)")
	f.StringVar(&o.scan.failOn, "fail-on", "", "least severity of a finding that is left that makes the exit code 1: critical, high, medium, low, info, none (default medium)")
	f.StringVar(&o.scan.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
	f.StringArrayVar(&o.scan.exceptions, "exceptions", nil, "file of exceptions, repeatable: what is excepted is left alone")
	f.StringVar(&o.scan.kubeVersion, "kubernetes-version", "", "judge as this Kubernetes release, X.Y (default: "+evidence.Newest().String()+")")
	f.StringVar(&o.scan.color, "color", "auto", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are honoured")
	o.live.flags(f, &o.scan.sources)
	o.remedy.flags(f)
	o.scan.chartFlags(f)
	o.overlay.flags(f)
	o.scan.voiceFlags(f)
	return cmd
}

// A FixReport is what gabion fix -o json writes.
type FixReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Edits      []FixEdit      `json:"edits"`
	Refused    []FixRefused   `json:"refused"`
	Gaps       []evidence.Gap `json:"gaps"`
}

// A FixEdit is a fix that was made, or would be with --write: a field that is set, or an
// object that is new.
type FixEdit struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // of the file as it was, 0 for a new object
	Finding string `json:"finding"`
	Rule    string `json:"rule"`
	Path    string `json:"path"` // "" for a new object, of which New is the text
	Old     string `json:"old"`  // "" when the field was missing
	New     string `json:"new"`
	Safe    bool   `json:"safe"`
	// Breaks is what the change may stop of what runs today, "" when it is safe.
	Breaks string `json:"breaks,omitempty"`
}

// A FixRefused is a finding that was chosen and is not fixed.
type FixRefused struct {
	Finding string `json:"finding"`
	Reason  string `json:"reason"`
}

func runFix(ctx context.Context, env Env, o fixOptions) error {
	switch {
	case o.interactive && (o.scan.cluster || o.live.undo != ""):
		return usagef("--interactive: files only, not a live cluster")
	case o.live.undo != "":
		return o.runUndo(ctx, env)
	case o.scan.cluster:
		return o.runCluster(ctx, env)
	}
	if _, isTerminal := env.Terminal(env.Stdin); o.interactive && !isTerminal {
		return usagef("--interactive: standard input is no terminal")
	}
	chosen, err := o.chooser()
	if err != nil {
		return err
	}
	if o.known, err = o.remedy.known(); err != nil {
		return err
	}
	o.scan.outputs = []string{"json"} // the format that wants all findings
	plan, err := prepare(env, o.scan)
	if err != nil {
		return usageError{err}
	}
	worlds, err := o.scan.gather(ctx, env)
	if err != nil {
		return err
	}
	if len(worlds) != 1 {
		return usagef("fix: files and clusters are fixed one at a time")
	}
	world := worlds[0]
	rep, err := plan.judge(ctx, world)
	if err != nil {
		return err
	}
	m := newMender(plan, o)
	m.openMedia(world)
	m.collect(world, rep, chosen)
	if err := m.mend(ctx); err != nil {
		return err
	}
	if o.interactive {
		if err := m.ask(ctx, env); err != nil {
			return err
		}
	}
	if err := m.write(env); err != nil {
		return err
	}
	if err := m.print(env, rep); err != nil {
		return err
	}
	return m.verdict(rep)
}

// chooser checks the flags that choose, and returns what they choose.
func (o fixOptions) chooser() (func(*report.Finding) bool, error) {
	switch {
	case o.inPlace && o.outputDir != "":
		return nil, usagef("--write and --output-dir %s: give one of them", o.outputDir)
	case o.output != "" && o.output != "patch" && o.output != "json":
		return nil, usagef("--output %q: want patch or json", o.output)
	}
	for _, id := range o.rules {
		if _, ok := checks.Find(id); !ok {
			return nil, usagef("--rule %q: there is no such rule; gabion rules list prints them", id)
		}
	}
	for _, id := range o.recommendations {
		if !slices.ContainsFunc(guide.All(), func(r guide.Recommendation) bool { return strings.EqualFold(r.ID, id) }) {
			return nil, usagef("--recommendation %q: there is no such row; gabion guide list prints them", id)
		}
	}
	var least guide.Severity
	if o.severity != "" {
		var err error
		if least, err = guide.ParseSeverity(o.severity); err != nil {
			return nil, usagef("--severity: %w", err)
		}
	}
	return func(f *report.Finding) bool {
		return f.Exception == nil && f.Severity >= least &&
			(len(o.rules) == 0 || slices.Contains(o.rules, f.Rule)) &&
			(len(o.recommendations) == 0 || slices.ContainsFunc(o.recommendations, func(id string) bool { return strings.EqualFold(id, f.Recommendation) }))
	}, nil
}

// A mend is a finding that was chosen, and what becomes of it.
type mend struct {
	finding *report.Finding
	ref     *evidence.Ref
	fix     *check.Fix
	home    medium // what the object is written in
	outcome outcome
	refused string // why it is not made, "" when it is
	// held is set while others of the object are tried without it, fresh when it is
	// made for the first time.
	held, fresh bool
}

// made reports whether the fix is made as things stand.
func (d *mend) made() bool { return d.refused == "" && !d.held }

// wanted is what the fix asks for.
func (d *mend) wanted() wanted {
	return wanted{d.ref, d.finding.Rule, append([]check.Change{{Path: d.fix.Path, Value: d.fix.Value}}, d.fix.With...), d.fix.Adds}
}

// A mender makes the fixes that were chosen.
type mender struct {
	fixOptions
	plan  *plan
	media []medium
	mends []*mend
	// written are the files in which objects stand as they are.
	written map[string]bool
	// owners are the media of the objects of a world that was read again, by their ID.
	owners []medium
	// gaps are what was not seen when the objects were read first.
	gaps []evidence.Gap
	// before are the files as they are, after those that the fixes change or make.
	before, after texts
}

func newMender(plan *plan, o fixOptions) *mender {
	return &mender{fixOptions: o, plan: plan, written: map[string]bool{}, before: texts{}, after: texts{}}
}

// foundAt tells the findings of a run apart: the same object may be in two files.
type foundAt struct{ id, file string }

// place is where a finding was found. What a chart or an overlay makes is known by the
// finding alone: the file that a field of it comes from changes with a fix.
func (m *mender) place(id, file string) foundAt {
	if !m.written[file] {
		file = ""
	}
	return foundAt{id, file}
}

func (m *mender) placeOf(f *report.Finding) foundAt { return m.place(f.ID, f.Location.File) }

// collect finds the fix of each finding that was chosen.
func (m *mender) collect(world *evidence.Snapshot, rep *report.Report, chosen func(*report.Finding) bool) {
	m.gaps = world.Gaps
	for _, ref := range world.Objects {
		if ref.Source != nil && ref.Source.Type == "manifest" {
			m.written[fileOf(ref)] = true
		}
	}
	fixes := m.failures(world)
	for i := range rep.Findings {
		f := &rep.Findings[i]
		if !chosen(f) {
			continue
		}
		at := m.placeOf(f)
		var failure check.Failure
		if same := fixes[at]; len(same) > 0 { // several when overlays make the same object
			failure = same[0]
			fixes[at] = same[1:]
		}
		d := &mend{finding: f, ref: failure.Ref, fix: failure.Problem.Fix}
		d.refused = m.unfit(d)
		d.fresh = d.refused == ""
		m.mends = append(m.mends, d)
	}
}

// failures are what the checks say of a world, with their fixes.
func (m *mender) failures(world *evidence.Snapshot) map[foundAt][]check.Failure {
	fixes := map[foundAt][]check.Failure{}
	scan := check.NewScan(world, m.plan.engine.Settings)
	for _, c := range checks.All() {
		if !c.Asks(world) {
			continue
		}
		run := &check.Run{Scan: scan, Severity: c.Severity}
		c.Run(run)
		for _, f := range run.Failures {
			f.Problem.Fix = m.known.Fix(world, c.ID, f)
			at := m.place(engine.Fingerprint(c.ID, f.Ref, f.Problem.Container, f.Problem.Path), f.Ref.Position(f.Problem.Path).File)
			fixes[at] = append(fixes[at], f)
		}
	}
	return fixes
}

// follow finds fixes that only the fixes that were made so far have made possible.
func (m *mender) follow(now *evidence.Snapshot) (some bool) {
	fixes := m.failures(now)
	for _, d := range m.mends {
		if d.fix == nil && d.ref != nil {
			for _, f := range fixes[m.placeOf(d.finding)] {
				d.fix = cmp.Or(d.fix, f.Problem.Fix)
			}
			if d.fix != nil {
				d.refused = m.unfit(d)
				d.fresh = d.refused == ""
				some = some || d.fresh
			}
		}
	}
	return some
}

// unfit is why a fix is not even tried, "" when it is.
func (m *mender) unfit(d *mend) string {
	for _, medium := range m.media {
		if d.ref != nil && medium.holds(d.ref) {
			d.home = medium
		}
	}
	switch {
	case d.fix == nil:
		return "no automatic fix: " + cmp.Or(d.finding.Remediation.Summary, "a person has to decide")
	case d.home == nil && d.ref.Source != nil && (d.ref.Source.Type == "helm" || d.ref.Source.Type == "kustomize"):
		return d.ref.Source.Ref + " is rendered as an Argo CD or Flux object asks: fix the chart or the overlay by itself"
	case d.home == nil:
		return "it is not read from a file that could be edited"
	case d.fix.Breaks != "" && !m.unsafe:
		return "--unsafe makes it, and may stop " + d.fix.Breaks
	}
	return ""
}

// print writes the differences or the report to standard output, and what was done to
// standard error.
func (m *mender) print(env Env, rep *report.Report) error {
	if m.output == "json" {
		e := json.NewEncoder(env.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(m.report(rep))
	}
	if m.output == "patch" || !m.writes() {
		for _, name := range slices.Sorted(maps.Keys(m.after)) {
			if err := m.printDiff(env, m.diff(name)); err != nil {
				return err
			}
		}
	}
	if !m.scan.quiet {
		m.summary(env.Stderr)
	}
	return nil
}

// writes tells whether files are written.
func (m *mender) writes() bool { return m.inPlace || m.outputDir != "" }

// diff is what the fixes change in a file.
func (m *mender) diff(name string) string {
	was, old := "a/"+tidy(name), m.before[name]
	if _, exists := m.before[name]; !exists {
		was = "/dev/null"
	}
	return fix.Diff(was, "b/"+tidy(name), old, m.after[name])
}

// tidy is a file's name as patch wants it below a/ and b/.
func tidy(name string) string { return strings.TrimLeft(strings.TrimPrefix(name, "./"), "/") }

// printDiff prints a difference. On a terminal no character of a file may do more
// than stand there; a patch has the bytes as they are.
func (m *mender) printDiff(env Env, text string) error {
	colors := m.output != "patch" && env.colorful(m.scan.color, env.Stdout)
	_, isTerminal := env.Terminal(env.Stdout)
	for line := range strings.Lines(text) {
		if isTerminal || colors {
			line = visible(line)
		}
		if colors {
			line = colored(line)
		}
		if _, err := io.WriteString(env.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func visible(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			if r == '\r' {
				return -1
			}
			return '?'
		}
		return r
	}, line)
}

func colored(line string) string {
	color := ""
	switch {
	case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		color = "1"
	case strings.HasPrefix(line, "@@"):
		color = "36"
	case strings.HasPrefix(line, "+"):
		color = "32"
	case strings.HasPrefix(line, "-"):
		color = "31"
	default:
		return line
	}
	return "\x1b[" + color + "m" + strings.TrimSuffix(line, "\n") + "\x1b[0m\n"
}

// summary says how many fixes were made, and why others were not.
func (m *mender) summary(w io.Writer) {
	made, files := 0, map[string]bool{}
	reasons := map[string]int{}
	unfixable := 0
	for _, d := range m.mends {
		switch {
		case d.refused == "":
			made++
			for _, e := range d.outcome.edits {
				files[e.file] = true
			}
		case d.fix == nil:
			unfixable++
		default:
			reasons[d.refused]++
		}
	}
	verb := "can be fixed"
	if m.writes() {
		verb = "fixed"
	}
	fmt.Fprintf(w, "%s %s in %s\n", count(made, "finding"), verb, count(len(files), "file"))
	if unfixable > 0 {
		fmt.Fprintf(w, "%s without an automatic fix: a person has to decide\n", count(unfixable, "finding"))
	}
	sayRefused(w, reasons)
	for _, medium := range m.media {
		if n, ok := medium.(noter); ok {
			for _, line := range n.notes(m.after) {
				fmt.Fprintln(w, visible(line))
			}
		}
	}
}

// inQuotes is what a reason names: an image, a container.
var inQuotes = regexp.MustCompile(`"[^"]*"`)

// sayRefused says why findings were not fixed, and of how many each is said. Reasons that
// differ in what they name alone are one line.
func sayRefused(w io.Writer, reasons map[string]int) {
	alike := map[string][]string{}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		key := inQuotes.ReplaceAllString(reason, `"…"`)
		alike[key] = append(alike[key], reason)
	}
	for _, key := range slices.Sorted(maps.Keys(alike)) {
		n, text := 0, key
		for _, reason := range alike[key] {
			n += reasons[reason]
		}
		if len(alike[key]) == 1 {
			text = alike[key][0]
		}
		fmt.Fprintf(w, "%s not fixed: %s\n", count(n, "finding"), visible(text))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (m *mender) report(rep *report.Report) FixReport {
	r := FixReport{APIVersion: report.APIVersion, Kind: "FixReport", Edits: []FixEdit{}, Refused: []FixRefused{}, Gaps: slices.Concat([]evidence.Gap{}, rep.Gaps)}
	for _, d := range m.mends {
		if d.refused != "" {
			r.Refused = append(r.Refused, FixRefused{d.finding.ID, d.refused})
			continue
		}
		for _, e := range d.outcome.edits {
			r.Edits = append(r.Edits, FixEdit{
				File: e.file, Line: e.line, Finding: d.finding.ID, Rule: d.finding.Rule,
				Path: e.path, Old: e.old, New: e.value, Safe: d.fix.Breaks == "", Breaks: d.fix.Breaks,
			})
		}
	}
	return r
}

// verdict is the exit code.
func (m *mender) verdict(rep *report.Report) error {
	for _, d := range m.mends {
		if d.refused != "" && m.plan.failOn != 0 && d.finding.Severity >= m.plan.failOn {
			return exit(ExitFindings)
		}
	}
	if rep.Incomplete() {
		return exit(ExitIncomplete)
	}
	return nil
}

// stands reports whether a file is still what was read, or still missing.
func stands(name string, before []byte, existed bool) error {
	if _, err := os.Lstat(name); !existed {
		if err == nil {
			return fmt.Errorf("%s is there already, and would be written over", name)
		}
		return nil
	}
	now, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if string(now) != string(before) {
		return fmt.Errorf("%s has changed while it was judged", name)
	}
	return nil
}
