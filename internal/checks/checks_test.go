package checks_test

import (
	"os"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/guide"
)

func TestValid(t *testing.T) {
	if err := check.Validate(checks.All()); err != nil {
		t.Fatal(err)
	}
}

// Every check has examples that it fails, and examples that it passes or says it
// cannot judge.
func TestExamples(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range checks.All() {
		tested[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			tally := checktest.Run(t, "testdata/"+c.ID, c)
			if tally.Failing == 0 && tally.Unknown == 0 {
				t.Error("no example that fails")
			}
			if tally.Passing == 0 && tally.Unknown == 0 {
				t.Error("no example that passes")
			}
		})
	}
	dirs, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !tested[d.Name()] {
			t.Errorf("testdata/%s: examples of a check that does not exist", d.Name())
		}
	}
}

// Every recommendation has a check, or says why none can exist.
func TestLedgerCovered(t *testing.T) {
	served := map[string][]string{}
	for _, c := range checks.All() {
		served[c.Recommendation] = append(served[c.Recommendation], c.ID)
	}
	for _, rec := range guide.All() {
		switch {
		case len(served[rec.ID]) == 0 && rec.NoRule == "":
			t.Errorf("%s has neither a check nor a reason why none can exist", rec.ID)
		case len(served[rec.ID]) > 0 && rec.NoRule != "":
			t.Errorf("%s has the checks %v and says that none can exist: %s", rec.ID, served[rec.ID], rec.NoRule)
		}
	}
}

// The checks are in the ledger's order.
func TestOrder(t *testing.T) {
	place := map[string]int{}
	for i, rec := range guide.All() {
		place[rec.ID] = i
	}
	last := 0
	for _, c := range checks.All() {
		if place[c.Recommendation] < last {
			t.Errorf("%s (%s) stands after a check of a later recommendation", c.ID, c.Recommendation)
		}
		last = max(last, place[c.Recommendation])
	}
}
