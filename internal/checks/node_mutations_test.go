package checks_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// leastMutations is how many faults of nodes the examples hold, each made by one
// change of a node that has none.
const leastMutations = 280

// A base has nothing that a check finds fault with; with one fault put in, the check
// that the example belongs to finds it, and no other does but for those it names.
func TestNodeMutations(t *testing.T) {
	said := map[string]bool{}
	for _, name := range checktest.Bases(t) {
		scan := checktest.BaseNode(t, name).Scan(t)
		for _, c := range nodeChecks() {
			for _, f := range checktest.JudgeNode(c, scan).Failures {
				t.Errorf("the base %s: %s: %s", name, c.ID, f.Problem.Message)
				said[c.ID+f.Problem.Message] = true
			}
		}
	}
	mutations := 0
	for file, n := range mutatedNodes(t) {
		if n.Wants() {
			mutations++
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			scan := n.Scan(t)
			for _, c := range nodeChecks() {
				run := checktest.JudgeNode(c, scan)
				switch {
				case c.ID == exampleOf(file): // TestExamples compares
				case !slices.Contains(n.Also, c.ID):
					for _, f := range run.Failures {
						if !said[c.ID+f.Problem.Message] {
							t.Errorf("%s: %s: %s", file, c.ID, f.Problem.Message)
						}
					}
				case len(run.Failures) == 0:
					t.Errorf("%s: %s finds no fault", file, c.ID)
				}
			}
		})
	}
	if mutations < leastMutations {
		t.Errorf("only %d mutations", mutations)
	}
}

// What a check found fault with and cannot be read any more is not passed in silence.
func TestNodeNeeds(t *testing.T) {
	tried := map[string]bool{}
	examples := mutatedNodes(t)
	for _, file := range slices.Sorted(maps.Keys(examples)) {
		n := examples[file]
		c, ok := checks.Find(exampleOf(file))
		if !ok || !n.Wants() {
			continue
		}
		scan := n.Scan(t)
		for aspect, blind := range blindnesses() {
			h := *scan.Hosts[0]
			h.Unseen = map[evidence.Aspect]string{aspect: "closed eyes"}
			blind(&h)
			snap := &evidence.Snapshot{}
			snap.Add(&evidence.Ref{Kind: "Node", Name: h.Node}, &h)
			if passesInSilence(c, check.NewScan(snap, scan.Settings)) {
				t.Errorf("%s: %s passes without %s", file, c.ID, aspect)
			}
		}
		for _, fault := range n.Faults {
			if tried[c.ID+" "+fault] {
				continue // what cannot be read makes no difference between examples
			}
			tried[c.ID+" "+fault] = true
			t.Run(c.ID+"/"+fault, func(t *testing.T) {
				for how, files := range map[string]*tree.Tree{"cannot be opened": n.Denied(t, fault), "is in a closed folder": n.Shut(t, fault)} {
					if passesInSilence(c, n.ScanTree(t, files)) {
						t.Errorf("%s: %s passes when %s %s", file, c.ID, fault, how)
					}
				}
			})
		}
	}
}

// passesInSilence reports whether a check passes a node, and nothing says that something
// of it was not seen.
func passesInSilence(c *check.Check, s *check.Scan) bool {
	run := checktest.JudgeNode(c, s)
	return run.Evaluated.Len() > 0 && len(run.Failures)+len(run.Unknowns) == 0 && !touches(s.Gaps, c.Needs)
}

// blindnesses take from a host what would not be there had an aspect not been seen.
func blindnesses() map[evidence.Aspect]func(*evidence.Host) {
	return map[evidence.Aspect]func(*evidence.Host){
		evidence.TheFiles: func(h *evidence.Host) {
			h.Files, h.Certificates, h.Keys, h.Kubeconfigs = nil, nil, nil, nil
		},
		evidence.TheSockets:  func(h *evidence.Host) { h.Sockets = nil },
		evidence.TheFirewall: func(h *evidence.Host) { h.Firewall = nil },
		evidence.ThePackages: func(h *evidence.Host) { h.System.Packages = nil },
		evidence.TheLogging:  func(h *evidence.Host) { h.Logging = evidence.Logging{} },
		evidence.TheDisks:    func(h *evidence.Host) { h.System.FileSystems = nil },
		evidence.TheKernel: func(h *evidence.Host) {
			h.System.Sysctls, h.System.SELinux, h.System.AppArmor, h.System.AppArmorProfiles = nil, "", nil, nil
		},
	}
}

func nodeChecks() (list []*check.Check) {
	for _, c := range checks.All() {
		if c.Node != "" {
			list = append(list, c)
		}
	}
	return list
}

// mutatedNodes are the examples of nodes that have a base, by their files.
func mutatedNodes(t *testing.T) map[string]*checktest.Node {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*checktest.Node{}
	for _, file := range files {
		if n := checktest.ReadNode(t, file); n.Base != "" {
			all[file] = n
		}
	}
	return all
}

// exampleOf is the check that an example belongs to.
func exampleOf(file string) string { return filepath.Base(filepath.Dir(file)) }
