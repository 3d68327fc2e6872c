package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
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
	"github.com/gabion-k8s/gabion/internal/report"
)

type fixOptions struct {
	scan            scanOptions
	rules           []string
	recommendations []string
	severity        string
	unsafe          bool
	inPlace         bool
	outputDir       string
	output          string
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
refused, with the reason.

Files of manifests are edited, YAML and JSON. What a chart or an overlay renders is
refused for now: it is not written where it is read.

Exit codes are those of scan, for the findings that were chosen and that are left
after the fixes, whether there is a fix for them or not.`,
		Example: `  gabion fix deploy/
  gabion fix deploy/ --write
  gabion fix deploy/ --unsafe --recommendation POD-08
  gabion fix deploy/ -o patch | git apply
  gabion fix deploy/ --output-dir hardened/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.scan.complete(cmd, args); err != nil {
				return err
			}
			return runFix(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&o.scan.filenames, "filename", "f", nil, "file or folder to read; same as PATH, repeatable")
	f.StringVarP(&o.scan.namespace, "namespace", "n", "", "namespace of objects that name none")
	f.StringSliceVar(&o.rules, "rule", nil, "fix findings of this rule only, repeatable")
	f.StringSliceVar(&o.recommendations, "recommendation", nil, "fix findings of this recommendation only, repeatable")
	f.StringVar(&o.severity, "severity", "", "fix findings of at least this severity only: critical, high, medium, low, info")
	f.BoolVar(&o.unsafe, "unsafe", false, "make fixes as well that could stop a workload that runs today")
	f.BoolVar(&o.inPlace, "write", false, "edit the files in place")
	f.StringVar(&o.outputDir, "output-dir", "", "write the edited files into this folder, and leave the originals")
	f.StringVarP(&o.output, "output", "o", "", "patch or json (default: a diff for people)")
	f.StringVar(&o.scan.failOn, "fail-on", "", "least severity of a finding that is left that makes the exit code 1: critical, high, medium, low, info, none (default medium)")
	f.StringVar(&o.scan.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
	f.StringArrayVar(&o.scan.exceptions, "exceptions", nil, "file of exceptions, repeatable: what is excepted is left alone")
	f.StringVar(&o.scan.kubeVersion, "kubernetes-version", "", "judge as this Kubernetes release, X.Y (default: "+evidence.Newest().String()+")")
	f.StringVar(&o.scan.color, "color", "auto", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are honoured")
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

// A FixEdit is a fix that was made, or would be with --write.
type FixEdit struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // of the file as it was
	Finding string `json:"finding"`
	Rule    string `json:"rule"`
	Path    string `json:"path"`
	Old     string `json:"old"` // "" when the field was missing
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
	chosen, err := o.chooser()
	if err != nil {
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
	world := worlds[0]
	rep, err := plan.judge(ctx, world)
	if err != nil {
		return err
	}
	m := newMender(plan, o)
	m.collect(world, rep, chosen)
	if err := m.mend(ctx); err != nil {
		return err
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
	file    string
	edit    fix.Edit
	outcome fix.Outcome
	refused string // why it is not made, "" when it is
	// held is set while others of the object are tried without it, fresh when it is
	// made for the first time.
	held, fresh bool
}

// made reports whether the fix is made as things stand.
func (d *mend) made() bool { return d.refused == "" && !d.held }

// A mender makes the fixes that were chosen.
type mender struct {
	fixOptions
	plan  *plan
	mends []*mend
	files map[string]*mended
	// names are those of the files that hold objects, in order.
	names []string
}

// A mended file is one as it was, and as it is with the fixes.
type mended struct{ before, after []byte }

func newMender(plan *plan, o fixOptions) *mender {
	return &mender{fixOptions: o, plan: plan, files: map[string]*mended{}}
}

// foundAt tells the findings of a run apart: the same object may be in two files.
type foundAt struct{ id, file string }

func placeOf(f *report.Finding) foundAt { return foundAt{f.ID, f.Location.File} }

// collect finds the fix of each finding that was chosen.
func (m *mender) collect(world *evidence.Snapshot, rep *report.Report, chosen func(*report.Finding) bool) {
	fixes := m.failures(world)
	for i := range rep.Findings {
		f := &rep.Findings[i]
		if !chosen(f) {
			continue
		}
		failure := fixes[placeOf(f)]
		d := &mend{finding: f, ref: failure.Ref, fix: failure.Problem.Fix}
		d.refused = m.unfit(d)
		d.fresh = d.refused == ""
		m.mends = append(m.mends, d)
	}
	for _, ref := range world.Objects {
		if name := fileOf(ref); name != "" && !slices.Contains(m.names, name) {
			m.names = append(m.names, name)
		}
	}
}

// failures are what the checks say of a world, with their fixes.
func (m *mender) failures(world *evidence.Snapshot) map[foundAt]check.Failure {
	fixes := map[foundAt]check.Failure{}
	scan := check.NewScan(world, m.plan.engine.Settings)
	for _, c := range checks.All() {
		if !c.Asks(world) {
			continue
		}
		run := &check.Run{Scan: scan, Severity: c.Severity}
		c.Run(run)
		for _, f := range run.Failures {
			at := f.Ref.Position(f.Problem.Path)
			fixes[foundAt{engine.Fingerprint(c.ID, f.Ref, f.Problem.Container, f.Problem.Path), at.File}] = f
		}
	}
	return fixes
}

// follow finds fixes that only the fixes that were made so far have made possible.
func (m *mender) follow(now *evidence.Snapshot) (some bool) {
	fixes := m.failures(now)
	for _, d := range m.mends {
		if d.fix == nil && d.ref != nil {
			if d.fix = fixes[placeOf(d.finding)].Problem.Fix; d.fix != nil {
				d.refused = m.unfit(d)
				d.fresh = d.refused == ""
				some = some || d.fresh
			}
		}
	}
	return some
}

// fileOf is the file that an object is written in, "" when it is not in one.
func fileOf(ref *evidence.Ref) string {
	if ref == nil || ref.Source == nil || ref.Source.Type != "manifest" || ref.Outline == nil || ref.Source.Ref == "-" {
		return ""
	}
	return ref.Outline.At(0).File
}

// unfit is why a fix is not even tried, "" when it is.
func (m *mender) unfit(d *mend) string {
	switch {
	case d.fix == nil:
		return "no automatic fix: " + cmp.Or(d.finding.Remediation.Summary, "a person has to decide")
	case d.ref.Source != nil && d.ref.Source.Type == "helm":
		return "rendered by the chart " + d.ref.Source.Ref + ": charts are not edited yet"
	case d.ref.Source != nil && d.ref.Source.Type == "kustomize":
		return "built by the overlay " + d.ref.Source.Ref + ": overlays are not edited yet"
	case fileOf(d.ref) == "":
		return "it is not read from a file that could be edited"
	case d.fix.Breaks != "" && !m.unsafe:
		return "--unsafe makes it, and may stop " + d.fix.Breaks
	}
	d.file = fileOf(d.ref)
	d.edit = fix.Edit{Object: d.ref.Outline.At(0), Path: d.fix.Path.String(), Value: d.fix.Value}
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
		for _, name := range m.names {
			if f := m.files[name]; f != nil {
				if err := m.printDiff(env, fix.Diff("a/"+tidy(name), "b/"+tidy(name), f.before, f.after)); err != nil {
					return err
				}
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
			files[d.file] = true
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
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "%s not fixed: %s\n", count(reasons[reason], "finding"), visible(reason))
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
		r.Edits = append(r.Edits, FixEdit{
			File: d.file, Line: d.finding.Location.Line, Finding: d.finding.ID, Rule: d.finding.Rule,
			Path: d.edit.Path, Old: d.outcome.Old, New: d.fix.Value, Safe: d.fix.Breaks == "", Breaks: d.fix.Breaks,
		})
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

// stands reports whether a file is still what was read.
func stands(name string, before []byte) error {
	now, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if string(now) != string(before) {
		return fmt.Errorf("%s has changed while it was judged", name)
	}
	return nil
}
