package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/checks"
)

// benchmarkSections are how many items each section of the benchmark has.
var benchmarkSections = []struct {
	section string
	items   int
}{{"1.1", 21}, {"1.2", 30}, {"1.3", 7}, {"1.4", 2}, {"2", 7}, {"3.1", 3}, {"3.2", 2}, {"4.1", 10}, {"4.2", 14}, {"4.3", 1}}

// Every item of the benchmark is compared or left out with a reason, and once only.
func TestEveryItemOnce(t *testing.T) {
	var got, want []string
	for _, item := range cisItems() {
		got = append(got, item.id)
	}
	for _, rest := range cisLeftOut() {
		got = append(got, strings.Split(rest.ids, ", ")...)
		if rest.asks == "" || rest.why == "" {
			t.Errorf("%s: left out without a reason", rest.ids)
		}
	}
	for _, s := range benchmarkSections {
		for i := range s.items {
			want = append(want, fmt.Sprintf("%s.%d", s.section, i+1))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("items are\n%v, want\n%v", got, want)
	}
}

// What is said of an item has a reason where it is not the same.
func TestComparedWithReason(t *testing.T) {
	for _, item := range cisItems() {
		if item.asks == "" || len(item.rules) == 0 || item.how != same && item.why == "" {
			t.Errorf("%s: says too little", item.id)
		}
		for _, id := range item.rules {
			c, ok := checks.Find(id)
			if !ok {
				t.Errorf("%s: there is no rule %q", item.id, id)
			} else if c.Node == "" {
				t.Errorf("%s: the rule %q does not judge nodes", item.id, id)
			}
		}
	}
}

// fault matches an example's line that names a finding.
var fault = regexp.MustCompile(`(?m)^# want |# want "`)

// The fault that an item asks about is among the examples of its rule, where the rule
// is said to find it; the tests of the checks judge them.
func TestItemsHaveExamples(t *testing.T) {
	for _, item := range cisItems() {
		if item.example == "" {
			if item.how == same || item.how == stricter {
				t.Errorf("%s: is %s without an example", item.id, item.how)
			}
			continue
		}
		rule, _, _ := strings.Cut(item.example, "/")
		if !slices.Contains(item.rules, rule) {
			t.Errorf("%s: the example %s is none of its rules", item.id, item.example)
		}
		data, err := os.ReadFile(filepath.Join("../../internal/checks/testdata", item.example+".txtar"))
		if err != nil {
			t.Errorf("%s: %v", item.id, err)
		} else if !fault.Match(data) || !bytes.Contains(data, []byte("# base: kubeadm")) {
			t.Errorf("%s: the example %s has no fault put into a node that has none", item.id, item.example)
		}
	}
}
