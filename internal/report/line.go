package report

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// appendFinding appends a finding as JSON, in the bytes that encoding/json and
// escapeInvisible would make of it. It spares a big report their reflection: the
// findings are nearly all of its text.
func appendFinding(text []byte, f *Finding) ([]byte, error) {
	severity, err := f.Severity.MarshalText()
	if err != nil {
		return nil, err
	}
	l := line{append(text, '{')}
	l.text("id", f.ID)
	l.text("rule", f.Rule)
	l.text("recommendation", f.Recommendation)
	l.text("severity", string(severity))
	l.someText("severityReason", f.SeverityReason)
	l.text("message", f.Message)
	l.open("object")
	l.text("apiVersion", f.Object.APIVersion)
	l.text("kind", f.Object.Kind)
	l.someText("namespace", f.Object.Namespace)
	l.text("name", f.Object.Name)
	l.someText("container", f.Object.Container)
	l.someText("cluster", f.Object.Cluster)
	l.someText("manager", f.Object.Manager)
	l.close()
	l.text("path", f.Path)
	l.text("value", f.Value)
	l.open("location")
	l.someText("file", f.Location.File)
	l.someNumber("line", f.Location.Line)
	l.someNumber("column", f.Location.Column)
	l.someText("valuesKey", f.Location.ValuesKey)
	l.close()
	l.open("remediation")
	l.text("summary", f.Remediation.Summary)
	l.plain("automatic", strconv.FormatBool(f.Remediation.Automatic))
	l.close()
	l.exception(f.Exception)
	l.someTruth("baseline", f.Baseline)
	l.someTruth("sensitive", f.Sensitive)
	l.close()
	return l.json, nil
}

// A line is JSON text that fields are appended to, some of them only when they
// are not empty.
type line struct{ json []byte }

func (l *line) exception(e *Exception) {
	if e == nil {
		l.plain("exception", "null")
		return
	}
	l.open("exception")
	l.text("reason", e.Reason)
	l.someText("author", e.Author)
	l.someText("expires", e.Expires)
	l.text("source", e.Source)
	l.close()
}

func (l *line) name(name string) {
	if l.json[len(l.json)-1] != '{' {
		l.json = append(l.json, ',')
	}
	l.json = append(append(append(l.json, '"'), name...), `":`...)
}

func (l *line) open(name string) {
	l.name(name)
	l.json = append(l.json, '{')
}

func (l *line) close() { l.json = append(l.json, '}') }

func (l *line) plain(name, value string) {
	l.name(name)
	l.json = append(l.json, value...)
}

func (l *line) text(name, value string) {
	l.name(name)
	l.json = appendString(l.json, value)
}

func (l *line) someText(name, value string) {
	if value != "" {
		l.text(name, value)
	}
}

func (l *line) someNumber(name string, value int) {
	if value != 0 {
		l.plain(name, strconv.Itoa(value))
	}
}

func (l *line) someTruth(name string, value bool) {
	if value {
		l.plain(name, "true")
	}
}

// appendString appends a JSON string. One of visible ASCII is written as it is.
func appendString(text []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return append(text, quoted(s)...)
		}
	}
	return append(append(append(text, '"'), s...), '"')
}

func quoted(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil { // which strings do not do
		return []byte(`""`)
	}
	return escapeInvisible(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
