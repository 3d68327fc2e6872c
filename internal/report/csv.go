package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
)

// csvHeader names the columns. New ones are only ever added at the end.
var csvHeader = [...]string{"id", "severity", "recommendation", "rule", "message", "apiVersion", "kind", "namespace", "name", "container",
	"path", "value", "file", "line", "column", "valuesKey", "remediation", "automatic", "standing", "severityReason",
	"cluster", "manager"}

// writeCSV writes one record for every finding (RFC 4180), in the report's
// order. Rows without findings are not in it: it is for lists of work.
func writeCSV(w io.Writer, r *Report, _ Options) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	if err := c.Write(csvHeader[:]); err != nil {
		return err
	}
	for i := range r.Findings {
		if err := c.Write(csvRecord(&r.Findings[i])); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func csvRecord(f *Finding) []string {
	record := []string{f.ID, f.Severity.String(), f.Recommendation, f.Rule, f.Message,
		f.Object.APIVersion, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Object.Container,
		f.Path, f.shownValue(), f.Location.File, number(f.Location.Line), number(f.Location.Column), f.Location.ValuesKey,
		f.Remediation.Summary, strconv.FormatBool(f.Remediation.Automatic), f.standing(), f.SeverityReason,
		f.Object.Cluster, f.Object.Manager}
	for i, cell := range record {
		record[i] = inert(Printable(cell))
	}
	return record
}

// number is a line or column, "" when it is not known.
func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// inert keeps a spreadsheet from taking a cell for a formula: what begins with
// one of these characters, of either width, is led by an apostrophe. Control
// characters cannot begin a cell any more.
func inert(cell string) string {
	if start := strings.TrimLeft(cell, " \u00a0\u3000"); start != "" && strings.ContainsAny(firstRune(start), "=+-@＝＋－＠") {
		return "'" + cell
	}
	return cell
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
