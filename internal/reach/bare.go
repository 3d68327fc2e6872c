package reach

// Bare reports whether all that is unknown hangs on what nobody tells of a pod that was
// not read: whether there is a pod with such labels, in such a namespace.
func (x Explanation) Bare() bool {
	for _, s := range x.Steps {
		if s.Unknown != "" && !bare(s.Unknown) {
			return false
		}
	}
	return true
}
