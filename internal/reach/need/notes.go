package need

import (
	"fmt"
	"slices"
)

// Notes are remarks, each once, in order.
type Notes struct{ seen map[string]bool }

// Addf adds a remark.
func (n *Notes) Addf(format string, args ...any) {
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[fmt.Sprintf(format, args...)] = true
}

// List is all remarks, in the order of their words.
func (n *Notes) List() []string {
	list := make([]string, 0, len(n.seen))
	for text := range n.seen {
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}
