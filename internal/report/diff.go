package report

// A Diff is what changed between two reports.
type Diff struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // ScanDiff
	// New and Fixed are findings only one of the reports has; Unchanged are those
	// of the newer report that both have. Excepted findings count as absent.
	New       []Finding `json:"new"`
	Fixed     []Finding `json:"fixed"`
	Unchanged []Finding `json:"unchanged"`
	// Rows are recommendations whose status changed.
	Rows []RowChange `json:"recommendations"`

	naming naming
}

// A RowChange is a recommendation whose status changed.
type RowChange struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Old    Status `json:"old"`
	New    Status `json:"new"`
	Reason string `json:"reason"`
}

// Compare tells what changed from one report to another. The same fault of the
// same object has the same ID in both, wherever it stands by now.
func Compare(before, after *Report) *Diff {
	d := &Diff{APIVersion: APIVersion, Kind: "ScanDiff", New: []Finding{}, Fixed: []Finding{}, Unchanged: []Finding{}, Rows: []RowChange{},
		naming: naming{before.clusters() > 1 || after.clusters() > 1}}
	same := identity(before, after)
	had, has := active(before, same), active(after, same)
	for _, f := range after.Findings {
		switch {
		case f.Exception != nil:
		case had[same(&f)]:
			d.Unchanged = append(d.Unchanged, f)
		default:
			d.New = append(d.New, f)
		}
	}
	for _, f := range before.Findings {
		if f.Exception == nil && !has[same(&f)] {
			d.Fixed = append(d.Fixed, f)
		}
	}
	status := map[string]Status{}
	for _, r := range before.Recommendations {
		status[r.ID] = r.Status
	}
	for _, r := range after.Recommendations {
		if old, ok := status[r.ID]; ok && old != r.Status {
			d.Rows = append(d.Rows, RowChange{ID: r.ID, Title: r.Title, Old: old, New: r.Status, Reason: r.Reason})
		}
	}
	return d
}

func active(r *Report, same func(*Finding) key) map[key]bool {
	ids := map[key]bool{}
	for _, f := range r.Findings {
		if f.Exception == nil {
			ids[same(&f)] = true
		}
	}
	return ids
}
