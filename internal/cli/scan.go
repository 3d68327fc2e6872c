package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/network"
	"github.com/gabion-k8s/gabion/internal/picture"
	"github.com/gabion-k8s/gabion/internal/policy"
	"github.com/gabion-k8s/gabion/internal/report"
)

type scanOptions struct {
	sources
	selector         string
	outputs          []string
	failOn           string
	config           string
	exceptions       []string
	trustAnnotations bool
	showDefaults     bool
	baseline         string
	policies         []string
	kubeVersion      string // of Kubernetes, the rules to apply
	color            string
}

func newScan(env Env) *cobra.Command {
	var o scanOptions
	cmd := &cobra.Command{
		Use:   "scan [PATH...] [--cluster] [--host-root DIR] [--snapshot FILE]",
		Short: "Judge manifests, charts, overlays, clusters and nodes against every recommendation",
		Long: `Judge what is given against every recommendation of the guide, and report.

A PATH is a file, a folder, a Helm chart (folder or .tgz), a Kustomize folder, a
glob, or - for standard input. It is recognised by what it contains: in a folder,
charts and overlays are rendered and what they are made of is not judged by
itself. Folders and files whose name begins with a dot are passed over.

With --cluster the live cluster of the kubeconfig is read, as kubectl would read
it, and with --snapshot one that was read earlier. Reading takes get and list, no
Secret's value, and what may not be read is said: gabion rbac own-role prints the
rights that it takes. Files and each cluster are judged apart and reported together.

With --host-root a node is read: its files, and what runs and listens if it is the
node itself. Nothing is started and nothing written. Given together with the
cluster that it belongs to, or with a snapshot of it, both are judged as one.

Exit codes:
  0  judged, and nothing at or above --fail-on
  1  findings at or above --fail-on
  2  wrong usage or configuration; nothing was judged
  3  no such findings, but something could not be read: the report says what
  4  a fault of the program itself`,
		Example: `  gabion scan deploy/
  gabion scan chart/ --values prod.yaml -o wide
  kustomize build overlays/prod | gabion scan -
  gabion scan --cluster --context prod
  gabion scan --host-root /
  gabion scan deploy/ -o sarif=gabion.sarif -o html=report.html --fail-on high`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			if o.namespace != "" && !o.cluster && len(o.paths) == 0 {
				return usagef("--namespace %s: a snapshot is judged as it was collected; gabion snapshot -n %s collects one namespace", o.namespace, o.namespace)
			}
			return runScan(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.pathFlags(f)
	o.clusterFlags(f)
	o.hostFlags(f)
	o.cloudFlags(f)
	o.probeFlags(f)
	f.StringVarP(&o.selector, "selector", "l", "", "report only about objects with these labels; everything is read all the same")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "FORMAT[=FILE], repeatable: "+strings.Join(report.Names(), ", ")+" (default table)")
	f.StringVar(&o.failOn, "fail-on", "", "least severity that makes the exit code 1: critical, high, medium, low, info, none (default medium)")
	f.StringVar(&o.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
	f.StringArrayVar(&o.exceptions, "exceptions", nil, "file of exceptions, repeatable")
	f.BoolVar(&o.trustAnnotations, "trust-annotations", false, "clusters: honour the exceptions that live objects claim by annotation")
	f.BoolVar(&o.showDefaults, "show-defaults", false, "judge the roles and bindings that Kubernetes itself makes like any other")
	f.StringVar(&o.baseline, "baseline", "", "earlier JSON report: only findings that are not in it count for the exit code")
	f.StringArrayVar(&o.policies, "policy", nil, "file or folder of ValidatingAdmissionPolicies to judge by as well, repeatable")
	f.StringVar(&o.kubeVersion, "kubernetes-version", "", "judge as this Kubernetes release, X.Y (default: the cluster's, for files "+evidence.Newest().String()+")")
	o.chartFlags(f)
	f.StringVar(&o.color, "color", "auto", "auto, always or never; NO_COLOR and CLICOLOR_FORCE are honoured")
	o.voiceFlags(f)
	return cmd
}

func runScan(ctx context.Context, env Env, o scanOptions) error {
	plan, err := prepare(env, o)
	if err != nil {
		return usageError{err}
	}
	defer collectRarely(env, o.plenty())()

	started := env.Now()
	o.keepJSON = o.keepJSON || len(o.policies) > 0
	if o.helm.KubeVersion == "" {
		o.helm.KubeVersion = "v" + plan.engine.Settings.Version.String() + ".0"
	}
	worlds, err := o.gather(ctx, env)
	if err != nil {
		return err
	}
	var reports []*report.Report
	for i, world := range worlds {
		worlds[i] = nil // what was judged may go
		rep, err := plan.judge(ctx, world)
		if err != nil {
			return err
		}
		plan.draw(world)
		reports = append(reports, rep)
	}
	rep := report.Merge(reports)
	rep.Tool = tool()
	rep.StartedAt, rep.FinishedAt = started.UTC(), env.Now().UTC()
	if plan.baseline != nil {
		rep.MarkBaseline(plan.baseline)
	}
	if err := plan.write(env, rep, o); err != nil {
		return err
	}
	return plan.verdict(rep)
}

// judge judges one world.
func (p *plan) judge(ctx context.Context, world *evidence.Snapshot) (*report.Report, error) {
	o := p.engine
	o.Most = p.most()
	if c := world.Cluster; c != nil {
		o.Exceptions.Annotations = p.trustAnnotations
		if v, err := evidence.ParseVersion(c.Version); err == nil && !p.versionGiven {
			o.Settings.Version = v
		}
	}
	extra, err := p.judgePolicies(ctx, world)
	if err != nil {
		return nil, err
	}
	o.Extra = extra
	return engine.Run(ctx, world, checks.All(), o)
}

// most is how many findings of one row are needed; 0 for all.
func (p *plan) most() (n int) {
	if p.baseline != nil {
		return 0
	}
	for _, out := range p.outputs {
		most := report.Most(out.name)
		if most == 0 {
			return 0
		}
		n = max(n, most)
	}
	return n
}

// A plan is everything about a scan that can be wrong before anything is read.
type plan struct {
	engine   engine.Options
	failOn   guide.Severity // 0 for none
	baseline *report.Report
	outputs  []output
	policies *policy.Set   // nil without --policy
	maps     []picture.Map // of the networks, for outputs that show them
	// versionGiven is set when the user says which release to judge as.
	versionGiven     bool
	trustAnnotations bool
}

type output struct {
	name   string
	format report.Format
	file   string // "" for standard output
}

func prepare(env Env, o scanOptions) (*plan, error) {
	c, err := loadConfig(o.config, env.Dir)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	p := &plan{trustAnnotations: o.trustAnnotations, versionGiven: o.kubeVersion != "" || c.KubernetesVersion != ""}
	if p.engine.Settings, err = c.settings(o.kubeVersion); err != nil {
		return nil, err
	}
	p.engine.Settings.ShowDefaults = o.showDefaults
	list, err := c.exceptions(o.exceptions)
	if err != nil {
		return nil, err
	}
	p.engine.Exceptions = engine.Exceptions{List: list, Annotations: true, Now: env.Now()}
	p.engine.Attestations = c.Attestations
	if o.selector != "" {
		selector, err := labels.Parse(o.selector)
		if err != nil {
			return nil, fmt.Errorf("--selector: %w", err)
		}
		p.engine.Selector = func(ref *evidence.Ref) bool { return selector.Matches(labels.Set(ref.Labels)) }
	}
	if p.failOn, err = failOn(o.failOn, c.FailOn); err != nil {
		return nil, err
	}
	if p.policies, err = loadPolicies(o.policies); err != nil {
		return nil, err
	}
	if o.baseline != "" {
		if p.baseline, err = loadReport(o.baseline); err != nil {
			return nil, fmt.Errorf("baseline: %w", err)
		}
	}
	switch o.color {
	case "auto", "always", "never":
	default:
		return nil, fmt.Errorf("--color %q: want auto, always or never", o.color)
	}
	p.outputs, err = parseOutputs(o.outputs)
	return p, err
}

func failOn(flag, configured string) (guide.Severity, error) {
	for _, s := range []string{flag, configured} {
		switch {
		case strings.EqualFold(s, "none"):
			return 0, nil
		case s != "":
			v, err := guide.ParseSeverity(s)
			if err != nil {
				return 0, fmt.Errorf("fail-on: %w, or none", err)
			}
			return v, nil
		}
	}
	return guide.Medium, nil
}

func parseOutputs(flags []string) ([]output, error) {
	if len(flags) == 0 {
		flags = []string{"table"}
	}
	formats := report.Formats()
	var outputs []output
	stdout := ""
	for _, flag := range flags {
		name, file, hasFile := strings.Cut(flag, "=")
		format, ok := formats[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("--output %q: no such format; there are %s", name, strings.Join(report.Names(), ", "))
		case hasFile && file == "":
			return nil, fmt.Errorf("--output %q: no file after =", flag)
		case !hasFile && stdout != "":
			return nil, fmt.Errorf("--output: both %s and %s would go to standard output; give one of them a file: -o %s=FILE", stdout, name, name)
		case !hasFile:
			stdout = name
		}
		outputs = append(outputs, output{name, format, file})
	}
	return outputs, nil
}

// draw makes the map of a world's network, where an output shows it and there are pods.
func (p *plan) draw(world *evidence.Snapshot) {
	if len(world.Workloads) == 0 || !slices.ContainsFunc(p.outputs, func(o output) bool { return o.name == "html" }) {
		return
	}
	w := network.NewWorld(world, p.engine.Settings.Network, "")
	m := (&network.Connectivity{Worlds: []*network.World{w}}).Map()
	if world.Cluster != nil {
		m.Title += ": " + world.Cluster.Name
	}
	p.maps = append(p.maps, m)
}

// write writes every output. A file is written whole or not at all.
func (p *plan) write(env Env, rep *report.Report, o scanOptions) error {
	for _, out := range p.outputs {
		options := report.Options{Program: o.program, FailOn: p.failOn, Excerpt: o.excerpts().line, Rules: ruleHelp, Maps: p.maps}
		if out.file == "" {
			options.Color = env.colorful(o.color, env.Stdout)
			options.Width, _ = env.Terminal(env.Stdout)
			if err := out.format(env.Stdout, rep, options); err != nil {
				return fmt.Errorf("write %s: %w", out.name, err)
			}
			continue
		}
		options.Color = o.color == "always"
		err := replaceFile(out.file, func(w io.Writer) error { return out.format(w, rep, options) })
		if err != nil {
			return usagef("write %s: %w", out.name, err)
		}
	}
	return nil
}

// replaceFile writes a file in one step, so that a reader never sees half of it.
// What is no regular file, such as /dev/stderr, is written to directly.
func replaceFile(name string, write func(io.Writer) error) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".gabion-*")
	if err != nil {
		return fmt.Errorf("%s: %w", name, reason(err))
	}
	defer os.Remove(tmp.Name())
	b := bufio.NewWriter(tmp)
	if err := errors.Join(write(b), b.Flush(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// reason is why a file could not be written, without the name of the temporary one.
func reason(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// verdict is the exit code.
func (p *plan) verdict(rep *report.Report) error {
	if p.failOn != 0 {
		for i := range rep.Findings {
			if f := &rep.Findings[i]; f.Counts() && f.Severity >= p.failOn {
				return exit(ExitFindings)
			}
		}
	}
	if rep.Incomplete() {
		return exit(ExitIncomplete)
	}
	return nil
}

// ruleHelp is the title and the help of a rule, for formats that carry them.
func ruleHelp(id string) (title, doc string, ok bool) {
	c, ok := checks.Find(id)
	if !ok {
		return "", "", false
	}
	return c.Title, explainRule(c), true
}
