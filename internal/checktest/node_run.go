package checktest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// Scan prepares the node for judging, with its settings.
func (n *Node) Scan(t *testing.T) *check.Scan {
	t.Helper()
	return n.ScanTree(t, n.Tree(t))
}

// ScanTree is Scan of files that the test has changed.
func (n *Node) ScanTree(t *testing.T, files *tree.Tree) *check.Scan {
	t.Helper()
	snap := Host(t, files)
	if n.Beside != nil {
		for _, h := range Host(t, n.Beside.Tree(t)).Hosts {
			snap.AddHost(h, snap.Sources[0])
		}
	}
	snap.Probes = probes(t, n.File, n.src)
	return check.NewScan(snap, settings(t, n.File, n.src))
}

// Host returns what there is to know of one node.
func Host(t *testing.T, files *tree.Tree) *evidence.Snapshot {
	t.Helper()
	h, source, gaps, err := host.Read(t.Context(), files, host.Options{Root: "/host", Now: LookedAt})
	if err != nil {
		t.Fatal(err)
	}
	snap := &evidence.Snapshot{Sources: []*evidence.Source{source}, Gaps: gaps}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: h.Node, Source: source}, h)
	return snap
}

// Wants reports whether the node is one that has a fault.
func (n *Node) Wants() bool {
	if strings.Contains(n.src, "\n# want ") || strings.HasPrefix(n.src, "# want ") {
		return true
	}
	for _, text := range n.sections {
		if strings.Contains(text, "# want ") {
			return true
		}
	}
	return false
}

// Compare reports every problem that the example does not want, and those that it
// wants in vain.
func (n *Node) Compare(t *testing.T, run *check.Run) {
	t.Helper()
	lines, files := map[string]map[int][]string{}, map[string][]string{}
	for _, f := range run.Failures {
		file, line := "-", 0
		if at := f.Problem.At; at != nil && at.File != "" {
			file, line = strings.TrimPrefix(at.File, "/"), at.Line
		}
		if text, own := n.sections[file]; own && wantedAt(text, line) {
			if lines[file] == nil {
				lines[file] = map[int][]string{}
			}
			lines[file][line] = append(lines[file][line], f.Problem.Message)
			continue
		}
		files[file] = append(files[file], f.Problem.Message)
	}
	for name, text := range n.sections {
		for i, line := range strings.Split(text, "\n") {
			place := n.File + ": " + name
			match(t, place, i+1, "problem", expressions(t, place, i+1, line, "# want "), lines[name][i+1])
		}
	}
	wants := map[string][]*regexp.Regexp{}
	var unknown []*regexp.Regexp
	for i, line := range strings.Split(n.src, "\n") {
		if rest, ok := strings.CutPrefix(line, "# want "); ok {
			file, _, _ := strings.Cut(rest, " ")
			wants[file] = append(wants[file], expressions(t, n.File, i+1, line, "# want ")...)
			if _, ok := files[file]; !ok {
				files[file] = nil
			}
		}
		if strings.HasPrefix(line, "# unknown ") {
			unknown = append(unknown, expressions(t, n.File, i+1, line, "# unknown ")...)
		}
	}
	for file, got := range files {
		match(t, n.File, 0, "problem in "+file, wants[file], got)
	}
	match(t, n.File, 0, "unknown", unknown, Unknowns(run))
}

// wantedAt reports whether a line of a text wants a problem.
func wantedAt(text string, line int) bool {
	lines := strings.Split(text, "\n")
	return line > 0 && line <= len(lines) && strings.Contains(lines[line-1], "# want ")
}

// Unknowns is what a check could not tell, in words.
func Unknowns(run *check.Run) (said []string) {
	for _, u := range run.Unknowns {
		said = append(said, strings.TrimPrefix(fmt.Sprintf("%s: %s", u.Scope, u.Reason), ": "))
	}
	return said
}

// JudgeNode runs a check over what is known of nodes.
func JudgeNode(c *check.Check, s *check.Scan) *check.Run {
	run := &check.Run{Scan: s, Severity: c.Severity}
	if c.Asks(s.Snapshot) {
		c.Run(run)
	}
	return run
}
