package evidence

// Manager names what made a live object and would undo a change by hand.
func (r *Ref) Manager() string { return "" }
