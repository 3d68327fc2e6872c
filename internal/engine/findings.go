package engine

import (
	"context"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
)

// Findings are those that Run reports, in the same order, without the answers to the
// recommendations: for whoever judges one object and has to be quick.
func Findings(ctx context.Context, snap *evidence.Snapshot, checks []*check.Check, o Options) ([]report.Finding, error) {
	scan := check.NewScan(prepared(snap), o.Settings)
	m := newMaker(scan, o.Selector, 0)
	rulings, err := judge(ctx, scan, checks, m)
	if err != nil {
		return nil, err
	}
	exceptions := o.Exceptions.use()
	var lists [][]report.Finding
	for i := range rulings {
		fs := rulings[i].findings
		for k, ref := range fs.refs {
			fs.list[k].Exception = exceptions.match(&fs.list[k], ref)
		}
		lists = append(lists, fs.list)
	}
	return sorted(ctx, lists)
}
