package snapshot_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// A node is the same after it was written and read, in all that checks look at: its
// fields, the places in its files, and what every check says of it.
func TestHost(t *testing.T) {
	for _, name := range checktest.Bases(t) {
		scan := checktest.BaseNode(t, name).Scan(t)
		snap := scan.Snapshot
		snap.Managed = &evidence.Managed{Provider: "EKS", Why: "a label", Command: "aws eks …"}
		snap.Probes = []*evidence.Probed{{Component: "etcd", Open: true}}
		var b bytes.Buffer
		w := snapshot.NewWriter(&b, "v0.1.0", created)
		if err := w.Files(snap); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again := load(t, b.Bytes())[0]
		same := cmp.Options{
			cmpopts.IgnoreFields(evidence.Host{}, "Ref"), cmpopts.IgnoreFields(evidence.Certificate{}, "Raw"), cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b *evidence.Outline) bool {
				return (a == nil) == (b == nil) && (a == nil || bytes.Equal(a.Encode(), b.Encode()))
			}),
			cmp.Comparer(func(a, b evidence.Option) bool { return string(a.Value) == string(b.Value) && a.Place == b.Place }),
			cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}),
		}
		if diff := cmp.Diff(snap.Hosts, again.Hosts, same); diff != "" {
			t.Errorf("%s: -written +read\n%s", name, diff)
		}
		if again.Managed == nil || *again.Managed != *snap.Managed || len(again.Probes) != 1 || again.HasObjects() {
			t.Errorf("%s: %+v %+v", name, again.Managed, again.Probes)
		}
		for _, c := range checks.All() {
			before, after := said(c, snap), said(c, again)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s: %s: -written +read\n%s", name, c.ID, diff)
			}
		}
	}
}

// said is what a check says of a node.
func said(c *check.Check, snap *evidence.Snapshot) (lines []string) {
	run := checktest.JudgeNode(c, check.NewScan(snap, check.Settings{Version: evidence.Newest()}))
	for _, f := range run.Failures {
		lines = append(lines, fmt.Sprintf("%s %s %+v", f.Problem.Path, f.Problem.Message, f.Problem.At))
	}
	return append(lines, strings.Join(checktest.Unknowns(run), "\n"))
}
