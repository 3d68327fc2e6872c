package guide

import (
	"strings"
	"testing"
)

func TestSeverity(t *testing.T) {
	worst := Critical + 1
	for _, s := range Severities() {
		if s >= worst {
			t.Errorf("%v comes after %v, want worst first", s, worst)
		}
		worst = s
		text, err := s.MarshalText()
		if err != nil || string(text) != s.String() {
			t.Errorf("%v is written as %q, %v", s, text, err)
		}
		var back Severity
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%q is read as %v, %v", text, back, err)
		}
		if got, err := ParseSeverity(strings.ToUpper(s.String())); err != nil || got != s {
			t.Errorf("%q in upper case is read as %v, %v", s, got, err)
		}
	}
	if worst != Info {
		t.Errorf("the last severity is %v, want info", worst)
	}
}

func TestSeverityRefuses(t *testing.T) {
	for _, s := range []Severity{0, -1, Critical + 1} {
		if text, err := s.MarshalText(); err == nil {
			t.Errorf("severity %d is written as %q", int(s), text)
		}
	}
	for _, name := range []string{"", "severe", "medium ", "3", "severity(3)"} {
		s := High
		if err := s.UnmarshalText([]byte(name)); err == nil || s != High {
			t.Errorf("%q is read as %v, %v", name, s, err)
		}
	}
}
