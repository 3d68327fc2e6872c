//go:build !linux

package tree

// Space is not known here: nodes run Linux.
func (t *Tree) Space(string) (size, free int64, ok bool) { return 0, 0, false }

// Running is not the case here, likewise.
func (t *Tree) Running() bool { return false }
