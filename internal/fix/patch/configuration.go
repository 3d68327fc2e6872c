package patch

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Configuration is what a server-side apply has to say in order to set fields of an
// object as they are in it: the object's identity, those fields, and the keys of the
// elements that they are in. A field that is not in the object cannot be set.
func Configuration(object Object, fields []Path) (Object, error) {
	var out any = map[string]any{"apiVersion": object["apiVersion"], "kind": object["kind"]}
	identity := []Path{fieldPath("metadata", "name")}
	if object.Text("metadata", "namespace") != "" {
		identity = append(identity, fieldPath("metadata", "namespace"))
	}
	for _, p := range append(identity, fields...) {
		value := get(map[string]any(object), p)
		if value == nil {
			return nil, fmt.Errorf("%s would have to be taken away, which a patch of this kind cannot do", p)
		}
		var err error
		if out, err = put(out, p, value); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return Object(out.(map[string]any)), nil
}

// Settable returns the fields of differences, or why a server-side apply cannot be
// trusted to set them and nothing else.
func Settable(object Object, differences []Difference) (fields []Path, err error) {
	c := comparison{custom: object.custom()}
	for _, d := range differences {
		_, wasList := d.Before.([]any)
		switch {
		case d.After == nil:
			return nil, fmt.Errorf("%s would have to be taken away, which a patch of this kind cannot do", d.Path)
		case wasList && c.custom:
			return nil, fmt.Errorf("%s is a list of a custom kind, and how those merge is not known", d.Path)
		case wasList && c.keys(d.Path) != nil:
			return nil, fmt.Errorf("the elements of %s cannot be told apart", d.Path)
		}
		fields = append(fields, d.Path)
	}
	return fields, nil
}

// Owned are the fields that a manager has applied before: a configuration that leaves
// one out takes it away. They are those of server-side apply, not of updates.
func Owned(object Object, manager string) ([]Path, error) {
	entries, _ := get(map[string]any(object), fieldPath("metadata", "managedFields")).([]any)
	var fields []Path
	for _, e := range entries {
		entry := Object(asMap(e))
		if entry.Text("manager") != manager || entry.Text("operation") != "Apply" || entry.Text("subresource") != "" {
			continue
		}
		if err := owned(nil, asMap(entry["fieldsV1"]), &fields); err != nil {
			return nil, fmt.Errorf("%s: what %s applied: %w", object, manager, err)
		}
	}
	return slices.DeleteFunc(fields, func(p Path) bool { return get(map[string]any(object), p) == nil }), nil
}

// owned reads a set of fields as structured-merge-diff writes them: f: a field, k: an
// element by its keys, v: an element of a set by its value.
func owned(at Path, set map[string]any, into *[]Path) error {
	if len(set) == 0 && len(at) > 0 {
		*into = append(*into, at)
	}
	for _, name := range sorted(set) {
		what, text, _ := strings.Cut(name, ":")
		var s Step
		switch what {
		case ".":
			continue // the mapping or element itself, which its fields bring with them
		case "f":
			s.Field = text
		case "k":
			keys, err := Decode([]byte(text))
			if err != nil {
				return fmt.Errorf("keys %q: %w", text, err)
			}
			s.Keys = keys
		default:
			return fmt.Errorf("the set %s, which is not read", at)
		}
		if err := owned(at.with(s), asMap(set[name]), into); err != nil {
			return err
		}
	}
	return nil
}

// Managers are who set a field, or something below it, besides one manager: the names
// that the API server keeps of them, sorted.
func Managers(object Object, field Path, but string) (names []string) {
	entries, _ := get(map[string]any(object), fieldPath("metadata", "managedFields")).([]any)
	for _, e := range entries {
		entry := Object(asMap(e))
		var fields []Path
		if owned(nil, asMap(entry["fieldsV1"]), &fields) != nil || entry.Text("manager") == but {
			continue
		}
		if slices.ContainsFunc(fields, func(p Path) bool { return p.Within(field) }) {
			names = append(names, entry.Text("manager"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Make returns the object with differences made in it. It fails where a field is no
// longer as it was before.
func Make(object Object, differences []Difference) (Object, error) {
	var out any = map[string]any(object)
	for _, d := range differences {
		switch now := get(out, d.Path); {
		case reflect.DeepEqual(now, d.After):
			continue
		case !reflect.DeepEqual(now, d.Before):
			return nil, fmt.Errorf("%s has changed since it was judged", d.Path)
		case d.After == nil:
			out = drop(out, d.Path, 0)
			continue
		}
		var err error
		if out, err = put(out, d.Path, d.After); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Path, err)
		}
	}
	return Object(out.(map[string]any)), nil
}

// Undo returns the object with differences taken back: the values before, and what was
// not there before is not there again. It takes back only what still is as the
// difference made it; left are those that are neither so nor as before.
func Undo(object Object, differences []Difference) (out Object, left []Difference) {
	var tree any = map[string]any(object)
	for _, d := range slices.Backward(differences) {
		now := get(tree, d.Path)
		switch {
		case reflect.DeepEqual(now, d.Before):
		case !reflect.DeepEqual(now, d.After):
			left = append(left, d)
		case d.Before == nil:
			tree = drop(tree, d.Path, d.Made)
		default:
			put, err := put(tree, d.Path, d.Before)
			if err != nil {
				left = append(left, d)
				continue
			}
			tree = put
		}
	}
	slices.Reverse(left)
	return Object(tree.(map[string]any)), left
}

// Merge is the JSON merge patch (RFC 7386) that makes one object of another.
func Merge(before, after map[string]any) map[string]any {
	out := map[string]any{}
	for name := range before {
		if _, stays := after[name]; !stays {
			out[name] = nil
		}
	}
	for name, now := range after {
		was := before[name]
		switch {
		case reflect.DeepEqual(was, now):
		case asMap(was) != nil && asMap(now) != nil:
			out[name] = Merge(asMap(was), asMap(now))
		default:
			out[name] = now
		}
	}
	return out
}

// Foretold compares what was wanted with what the API server makes of it, and returns
// what is not as it was wanted, "" when all is. The API server may complete what is
// new: a volume gets the defaults of its kind.
func Foretold(wanted, got []Difference) string {
	for _, w := range wanted {
		i := slices.IndexFunc(got, func(g Difference) bool { return reflect.DeepEqual(g.Path, w.Path) })
		switch {
		case i < 0:
			return fmt.Sprintf("the API server would not set %s", w.Path)
		case !holds(got[i].After, w.After):
			return fmt.Sprintf("the API server would set %s to %s instead of %s", w.Path, text(got[i].After), text(w.After))
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(wanted, func(w Difference) bool { return w.brings(g) }) {
			return fmt.Sprintf("the API server would also change %s from %s to %s", g.Path, text(g.Before), text(g.After))
		}
	}
	return ""
}

// brings reports whether a difference is the wanted one, or within what it makes anew,
// or what the API server writes twice.
func (d Difference) brings(got Difference) bool {
	if got.Path.Within(d.Path) || d.Made > 0 && got.Path.Within(d.Path[:len(d.Path)-d.Made+1]) {
		return true
	}
	last := len(d.Path) - 1
	twin := len(got.Path) == len(d.Path) && got.Path.Within(d.Path[:last]) &&
		d.Path[last].Field == "serviceAccountName" && got.Path[last].Field == "serviceAccount"
	return twin && reflect.DeepEqual(got.After, d.After)
}

// holds reports whether a value is another one, or that one with more in its mappings.
// The API leaves out what is false.
func holds(got, want any) bool {
	if want == false && got == nil {
		return true
	}
	wanted, given := asMap(want), asMap(got)
	if wanted == nil || given == nil {
		return reflect.DeepEqual(got, want)
	}
	for name := range maps.Keys(wanted) {
		if !holds(given[name], wanted[name]) {
			return false
		}
	}
	return true
}

// text is a value for a person.
func text(v any) string {
	if v == nil {
		return "nothing"
	}
	out, err := json.Marshal(v)
	if err != nil {
		return "something"
	}
	const most = 200
	if len(out) > most {
		return string(out[:most]) + "…"
	}
	return string(out)
}

// Same reports whether two readings of an object are of the same object in the same
// version of what its owner wrote, whatever the controllers have written since.
func Same(a, b Object) bool {
	if a.Text("metadata", "uid") != b.Text("metadata", "uid") {
		return false
	}
	version := func(o Object) any { return get(map[string]any(o), fieldPath("metadata", "resourceVersion")) }
	generation := func(o Object) int64 { return number(get(map[string]any(o), fieldPath("metadata", "generation"))) }
	return reflect.DeepEqual(version(a), version(b)) || generation(a) > 0 && generation(a) == generation(b)
}
