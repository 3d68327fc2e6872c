package report

import (
	"bufio"
	"fmt"
	"io"
)

// WriteDiffJSON writes a diff as JSON.
func WriteDiffJSON(w io.Writer, d *Diff) error { return encodeJSON(w, d) }

// WriteDiffTable writes a diff for people.
func WriteDiffTable(w io.Writer, d *Diff) error {
	b := bufio.NewWriter(w)
	n := d.naming
	diffList(b, n, "New", "+", d.New)
	diffList(b, n, "Fixed", "-", d.Fixed)
	if len(d.Rows) > 0 {
		fmt.Fprintln(b, "Recommendations")
		for _, r := range d.Rows {
			fmt.Fprintf(b, "  %-8s %s → %s  %s\n", Printable(r.ID), Printable(string(r.Old)), Printable(string(r.New)), Printable(r.Title))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "%d new, %d fixed, %d unchanged\n", len(d.New), len(d.Fixed), len(d.Unchanged))
	return b.Flush()
}

func diffList(w io.Writer, n naming, title, mark string, list []Finding) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for i := range list {
		f := &list[i]
		fmt.Fprintf(w, "  %s %-8s %-8s %s: %s\n", mark, f.Severity, Printable(f.Recommendation), Printable(n.object(f.Object)), Printable(f.Message))
		if place := f.Location.String(); place != "" {
			fmt.Fprintf(w, "      %s\n", Printable(place))
		}
	}
	fmt.Fprintln(w)
}

// WriteDiffMarkdown writes a diff as a comment for a pull request.
func WriteDiffMarkdown(w io.Writer, d *Diff) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "**%d new, %d fixed, %d unchanged**\n", len(d.New), len(d.Fixed), len(d.Unchanged))
	n := d.naming
	for _, part := range []struct {
		title string
		list  []Finding
	}{{"New", d.New}, {"Fixed", d.Fixed}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n### %s\n\n| Severity | Recommendation | Object | What | Where |\n|---|---|---|---|---|\n", part.title)
		for i := range part.list {
			f := &part.list[i]
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", f.Severity, markdownText(f.Recommendation),
				markdownCode(n.object(f.Object)), markdownText(f.Message), markdownCode(f.Location.String()))
		}
	}
	return b.Flush()
}
