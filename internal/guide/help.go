package guide

import (
	"fmt"
	"strings"
)

// Help returns the row as a Markdown document: what the guide asks for and why,
// what proves it, how to put it right and where the guide says it. One
// paragraph is one line.
func (r Recommendation) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n%s · %s\n\n%s\n", r.ID, r.Title, r.Section, r.Severity, r.Text)
	section := func(heading, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", heading, text)
		}
	}
	section("Why "+r.Severity.String(), r.SeverityReason)
	section("What proves it", r.Proof)
	section("How to put it right", r.Fix)
	section("Where following the guide to the letter does harm", r.Trap)
	section("Evidence", r.evidence())
	if r.Manual {
		section("Why a person decides it", r.NoRule)
	} else {
		section("Why no rule decides it from files", r.NoRule)
	}
	section("In the guide", r.Place.String())
	return b.String()
}

func (r Recommendation) evidence() string {
	lines := make([]string, len(r.Evidence))
	for i, e := range r.Evidence {
		lines[i] = fmt.Sprintf("- %s: %s", e, e.Describe())
	}
	return strings.Join(lines, "\n")
}

// String says where to look in the guide, in one or two sentences.
func (p Place) String() string {
	var b strings.Builder
	b.WriteString(p.Where)
	switch {
	case p.Page == "":
		fmt.Fprintf(&b, " (since version %s).", p.Since)
	case strings.ContainsAny(p.Page, ",-"):
		fmt.Fprintf(&b, " (version 1.0, pages %s).", p.Page)
	default:
		fmt.Fprintf(&b, " (version 1.0, page %s).", p.Page)
	}
	if strings.Contains(p.Where, "Appendi") {
		b.WriteString(" Appendix letters are those of version 1.0.")
	}
	if !p.Confirmed {
		b.WriteString(" The wording is provisional: it could not be confirmed in the guide's text.")
	}
	return b.String()
}
