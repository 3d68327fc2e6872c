package gitops

import (
	"bytes"
	"regexp"
)

// A Substitution is what Flux replaces in the objects that it rendered.
type Substitution struct {
	Variables map[string]string
	// KeepUnknown leaves variables as they stand that have no value here and no
	// default; else nothing takes their place, as in Flux.
	KeepUnknown bool
}

// variable matches what Flux replaces: ${NAME}, and NAME with a default; and
// $${…}, which stands for itself without the first dollar sign.
var variable = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-=])([^}\n]*))?\}`)

// Replace puts the variables' values into a rendered text. Other expressions
// than ${NAME}, ${NAME:-DEFAULT} and ${NAME:=DEFAULT} stay as they stand.
func (s *Substitution) Replace(text []byte) []byte {
	if s == nil || !bytes.Contains(text, []byte("${")) {
		return text
	}
	return variable.ReplaceAllFunc(text, func(found []byte) []byte {
		m := variable.FindSubmatch(found)
		if len(m[1]) == 0 {
			return []byte("${")
		}
		value, known := s.Variables[string(m[1])]
		orEmpty := len(m[2]) == 2 // with the colon, an empty value counts as none
		switch {
		case known && (value != "" || !orEmpty):
			return []byte(value)
		case s.KeepUnknown && !known && len(m[2]) == 0:
			return found
		}
		return m[3]
	})
}
