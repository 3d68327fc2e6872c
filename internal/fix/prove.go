package fix

import "reflect"

// Proves reports whether after, the JSON of an object, is before with the fields of
// each edit set, and differs in nothing else. Like Apply it knows elements that are
// added to lists.
func Proves(before, after []byte, edits [][]Field) bool {
	was, err := fromJSON(before)
	if err != nil {
		return false
	}
	is, err := fromJSON(after)
	if err != nil {
		return false
	}
	d := document{was: was, tree: was}
	for _, fields := range edits {
		p, err := settings(nil, fields)
		if err != nil {
			return false
		}
		added := map[string][]int{}
		for i := range p {
			if d.settle(&p[i], added) != nil {
				return false
			}
			if d.tree, err = with(d.tree, p[i].path, p[i].value.tree); err != nil {
				return false
			}
		}
	}
	return reflect.DeepEqual(d.tree, is)
}
