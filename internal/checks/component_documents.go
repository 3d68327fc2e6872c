package checks

import (
	"encoding/json"
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// leaveOut keeps a node that a check has nothing to ask of from being counted as one
// that passed.
func (n *node) leaveOut() { n.open = true }

// inapplicable leaves a node out, and says why.
func (n *node) inapplicable(reason string) {
	n.leaveOut()
	n.Inapplicable("node "+n.Node, reason)
}

// runs is the release of a component: its own where it is known.
func (n *node) runs(c *evidence.Component) evidence.Version {
	if v, err := evidence.ParseVersion(c.Version); err == nil {
		return v
	}
	return n.Settings.Version
}

// decode reads the file that a flag of a component names into value. It reports false,
// and records why, where nobody knows what stands in it.
func (n *node) decode(c *evidence.Component, f evidence.Flag, value any) (*evidence.Document, bool) {
	doc := c.Documents[f.Name]
	why := ""
	if _, mounted := c.HostPath(f.Value); !mounted {
		why = "nothing of the node is mounted there"
	} else if doc == nil {
		why = "it was not read"
	} else if doc.Error != "" {
		why = doc.Error
	} else if err := json.Unmarshal(doc.JSON, value); err != nil {
		why = err.Error()
	}
	if why != "" {
		n.cannot("%s: what stands in %s (--%s) is not known: %s", c.Name, f.Value, f.Name, why)
		return nil, false
	}
	return doc, true
}

// below leads from the top of a document to a field.
type below func(evidence.Path) evidence.Path

// sayIn records a problem in the file that a flag of a component names.
func (n *node) sayIn(c *evidence.Component, flag string, doc *evidence.Document, where below, value, format string, args ...any) *check.Problem {
	at := evidence.Position{File: doc.File}
	if doc.Outline != nil {
		at = doc.Outline.Place(where(evidence.Path{}))
	}
	return n.say(at, where(flagPath(c, flag)), value, format, args...)
}

// lookedAt returns what is known of a file that a flag names, but its content; nil,
// which is recorded, when nothing is.
func (n *node) lookedAt(c *evidence.Component, f evidence.Flag, path string) *evidence.File {
	file := n.Files[path]
	why := "it was not looked at"
	switch ok, reason := n.Saw(evidence.TheFiles); {
	case file != nil && (file.Type == evidence.Missing || file.UID >= 0):
		return file
	case file != nil && file.Error != "":
		why = file.Error
	case !ok:
		why = reason
	}
	n.cannot("%s: mode and owner of %s (--%s) are not known: %s", c.Name, path, f.Name, why)
	return nil
}

// sayFile records what is wrong with a file itself.
func (n *node) sayFile(file *evidence.File, what, value, format string, args ...any) *check.Problem {
	return n.say(evidence.Position{File: file.Path}, filePath(file.Path, what), value, format, args...)
}

// octal writes a mode as chmod takes it.
func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// owned reports whether a file belongs to root, or to the user that the component runs as.
func owned(file *evidence.File, c *evidence.Component) bool {
	return file.UID == 0 || file.UID > 0 && file.UID == c.UID
}
