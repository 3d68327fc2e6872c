// Package checktest runs a check over annotated manifests. A line that ends in
//
//	# want "regexp" "regexp"
//
// expects problems to be reported there, one for each expression; any other
// problem is an error. A comment line
//
//	# unknown "regexp"
//
// anywhere expects the check to say that something could not be judged. The
// comments that a file begins with may give settings as JSON:
//
//	# settings: {"version": "1.29", "trustedRegistries": ["registry.example.com"]}
//
// With a line that describes a cluster the manifests stand for the objects that
// its API server served, and what could not be listed of it is among the gaps:
//
//	# cluster: {"version": "v1.36.3", "gaps": [{"fact": "nodes", "reason": "forbidden"}]}
//
// and lines that give evidence.Probed as JSON are what attempts to connect to it showed:
//
//	# probe: {"node": "cp-1", "component": "etcd", "address": "10.0.0.11:2379", "open": true}
//
// One that gives evidence.Managed as JSON says that a provider runs its control plane:
//
//	# managed: {"provider": "EKS", "why": "the version", "command": "aws eks …"}
//
// A check that asks only live clusters, or only files, is not run on the others.
//
// Manifests are decoded strictly: an example that the API server would refuse,
// or drop a field of, proves nothing.
//
// What is to be judged of nodes is written as archives of their files: see Node. The
// package is for tests only.
package checktest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A Tally is what the examples of one check held.
type Tally struct {
	// Failing and Passing are objects, or nodes, with and without a problem.
	Failing, Passing int
	Unknown          int
}

// Run runs c on every manifest and every node in dir, each by itself.
func Run(t *testing.T, dir string, c *check.Check) Tally {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	archives, _ := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if len(files)+len(archives) == 0 {
		t.Fatalf("%s: no examples", dir)
	}
	var tally Tally
	for _, file := range files {
		src := read(t, file)
		run := Judge(t, file, src, c)
		compare(t, file, src, run)
		tally.add(run)
	}
	for _, file := range archives {
		n := ReadNode(t, file)
		run := JudgeNode(c, n.Scan(t))
		n.Compare(t, run)
		tally.add(run)
	}
	return tally
}

func (y *Tally) add(run *check.Run) {
	failed := map[*evidence.Ref]bool{}
	for _, f := range run.Failures {
		failed[f.Ref] = true
	}
	y.Failing += len(failed)
	y.Passing += run.Evaluated.Len() - len(failed)
	y.Unknown += len(run.Unknowns)
}

// Judge runs c over the manifests in src, if they are of the kind that it asks.
func Judge(t *testing.T, file, src string, c *check.Check) *check.Run {
	t.Helper()
	run := &check.Run{Scan: Scan(t, file, src), Severity: c.Severity}
	if c.Asks(run.Snapshot) {
		c.Run(run)
	}
	return run
}

// Scan prepares the manifests in src for judging, with their settings.
func Scan(t *testing.T, file, src string) *check.Scan {
	t.Helper()
	return check.NewScan(Load(t, file, src), settings(t, file, src))
}

// Load decodes the manifests in src; a fault in one of them ends the test.
func Load(t *testing.T, file, src string) *evidence.Snapshot {
	t.Helper()
	snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest", Ref: file}
	manifest.Add(snap, source, new(manifest.Reader).Read(file, []byte(src)))
	for _, issues := range [][]evidence.Issue{source.Errors, source.Skipped, source.Warnings} {
		for _, i := range issues {
			t.Fatalf("the example is not sound: %s", i)
		}
	}
	if text, live := header(src, "# cluster: "); live {
		return served(t, file, text, src)
	}
	return snap
}

// served is a cluster that holds the objects of a file, each with the lines that
// it is written in.
func served(t *testing.T, file, text, src string) *evidence.Snapshot {
	t.Helper()
	var given struct {
		evidence.Cluster
		Gaps []evidence.Gap `json:"gaps"`
	}
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		t.Fatalf("%s: cluster: %v", file, err)
	}
	given.Name = cmp.Or(given.Name, "test")
	if given.CollectedAt.IsZero() {
		given.CollectedAt = time.Date(2026, time.October, 1, 12, 0, 0, 0, time.UTC)
	}
	snap := &evidence.Snapshot{}
	b := cluster.NewBuilder(snap, &given.Cluster)
	outlines := map[string]*evidence.Outline{}
	for doc, err := range new(yamldoc.Decoder).Documents(file, []byte(src)) {
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		o := object(t, file, doc)
		if err := b.Add(o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var named struct{ Metadata metav1.ObjectMeta }
		if err := json.Unmarshal(doc.JSON, &named); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		ref := evidence.Ref{Kind: o.Kind, Namespace: named.Metadata.Namespace, Name: named.Metadata.Name}
		outlines[ref.String()] = doc.Outline
	}
	for _, g := range given.Gaps {
		b.Gap(g)
	}
	b.Finish()
	snap.Probes, snap.Managed = probes(t, file, src), provider(t, file, src)
	for _, ref := range snap.Objects {
		ref.Outline = outlines[ref.String()]
	}
	return snap
}

// object is what an API server would have served of a document.
func object(t *testing.T, file string, doc yamldoc.Document) cluster.Object {
	t.Helper()
	o := cluster.Object{APIVersion: doc.APIVersion, Kind: doc.Kind}
	group, _, grouped := strings.Cut(doc.APIVersion, "/")
	if !grouped {
		group = ""
	}
	k, ok := kind.Find(group, doc.Kind)
	if !ok || k.New == nil {
		o.JSON = bytes.Clone(doc.JSON)
		return o
	}
	typed := k.New().(metav1.Object)
	if err := json.Unmarshal(doc.JSON, typed); err != nil {
		t.Fatalf("%s: %s: %v", file, doc.Kind, err)
	}
	o.Typed = typed
	return o
}

// header returns what follows a mark in the comments that a file begins with.
func header(src, mark string) (string, bool) {
	for line := range strings.Lines(src) {
		if text, ok := strings.CutPrefix(line, mark); ok {
			return text, true
		}
		if !strings.HasPrefix(line, "#") {
			break
		}
	}
	return "", false
}

func compare(t *testing.T, file, src string, run *check.Run) {
	t.Helper()
	got := map[int][]string{}
	for _, f := range run.Failures {
		line := f.Ref.Position(f.Problem.Path).Line
		got[line] = append(got[line], f.Problem.Message)
	}
	for i, text := range strings.Split(src, "\n") {
		match(t, file, i+1, "problem", expressions(t, file, i+1, text, "# want "), got[i+1])
	}
	var unknown []string
	for _, u := range run.Unknowns {
		unknown = append(unknown, strings.TrimPrefix(u.Scope+": "+u.Reason, ": "))
	}
	var expected []*regexp.Regexp
	for i, text := range strings.Split(src, "\n") {
		expected = append(expected, expressions(t, file, i+1, text, "# unknown ")...)
	}
	match(t, file, 0, "unknown", expected, unknown)
}

// match pairs every text with an expression of its own.
func match(t *testing.T, file string, line int, what string, want []*regexp.Regexp, got []string) {
	t.Helper()
	got = append([]string(nil), got...)
next:
	for _, w := range want {
		for i, g := range got {
			if w.MatchString(g) {
				got = append(got[:i], got[i+1:]...)
				continue next
			}
		}
		t.Errorf("%s:%d: no %s matches %q (there are %q)", file, line, what, w, got)
	}
	for _, g := range got {
		t.Errorf("%s:%d: unexpected %s: %s", file, line, what, g)
	}
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func expressions(t *testing.T, file string, line int, text, mark string) (list []*regexp.Regexp) {
	t.Helper()
	_, rest, ok := strings.Cut(text, mark)
	if !ok {
		return nil
	}
	for _, q := range quoted.FindAllString(rest, -1) {
		s, err := strconv.Unquote(q)
		if err != nil {
			s = strings.Trim(q, `"`)
		}
		re, err := regexp.Compile(s)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, line, err)
		}
		list = append(list, re)
	}
	if len(list) == 0 {
		t.Fatalf("%s:%d: %q without a quoted expression", file, line, mark)
	}
	return list
}

func settings(t *testing.T, file, src string) check.Settings {
	t.Helper()
	s := check.Settings{Version: evidence.Newest()}
	text, ok := header(src, "# settings: ")
	if !ok {
		return s
	}
	var given struct {
		Version           string            `json:"version"`
		TrustedRegistries []string          `json:"trustedRegistries"`
		SensitiveRanges   map[string]string `json:"sensitiveRanges"`
		SystemNamespaces  []string          `json:"systemNamespaces"`
		UntrustedSelector map[string]string `json:"untrustedSelector"`
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&given); err != nil {
		t.Fatalf("%s:1: settings: %v", file, err)
	}
	if given.Version != "" {
		v, err := evidence.ParseVersion(given.Version)
		if err != nil {
			t.Fatalf("%s:1: %v", file, err)
		}
		s.Version = v
	}
	s.TrustedRegistries, s.SensitiveRanges = given.TrustedRegistries, given.SensitiveRanges
	s.SystemNamespaces, s.UntrustedSelector = given.SystemNamespaces, given.UntrustedSelector
	return s
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
