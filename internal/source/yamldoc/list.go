package yamldoc

import (
	"bytes"
	"iter"
	"strings"
)

// Expand yields the items of a List, and of lists in it, as documents of their
// own, with the positions that they have in the file. A document that is no list
// yields itself.
//
// A list is what has an array in the field items and a kind that ends in List:
// the v1 List of anything, or the list of one kind, whose items inherit what they
// leave out (PodList of v1: apiVersion v1, kind Pod), as those of API servers do.
func Expand(d Document) iter.Seq[Document] {
	return func(yield func(Document) bool) { expand(d, 0, yield) }
}

// maxLists is the deepest nesting of lists that are expanded: each is looked
// through once more for every list around it.
const maxLists = 3

func expand(d Document, lists int, yield func(Document) bool) bool {
	array, node := itemsOf(d)
	if array == nil || lists == maxLists {
		return yield(d)
	}
	next, stop := iter.Pull(d.Outline.Children(node))
	defer stop()
	for text := range elements(array) {
		n, _ := next()
		item := Document{JSON: text, Outline: d.Outline.Sub(n)}
		item.Line = item.Outline.At(0).Line
		item.inherit(d)
		if !expand(item, lists+1, yield) {
			return false
		}
	}
	return true
}

// itemsOf returns the array of a list's items, and its node in the outline; nil
// when the document is no list.
func itemsOf(d Document) (array []byte, node int) {
	if !strings.HasSuffix(d.Kind, "List") || d.APIVersion == "" {
		return nil, 0
	}
	next, stop := iter.Pull(d.Outline.Children(0))
	defer stop()
	for name, value := range members(d.JSON) {
		if node, _ = next(); name != "items" {
			continue
		}
		if value[0] == '[' {
			return value, node
		}
		if string(value) != "null" {
			return nil, 0
		}
	}
	if d.Kind == "List" {
		return []byte("[]"), 0
	}
	return nil, 0
}

// inherit fills in the apiVersion and kind of an item of a list.
func (d *Document) inherit(list Document) {
	if d.JSON[0] != '{' {
		return
	}
	d.APIVersion, d.Kind = list.APIVersion, strings.TrimSuffix(list.Kind, "List")
	missing := map[string]*string{"apiVersion": &d.APIVersion, "kind": &d.Kind}
	for name, value := range members(d.JSON) {
		if field, ok := missing[name]; ok {
			*field = ""
			if value[0] == '"' {
				*field = unquote(value)
			}
			delete(missing, name)
		}
	}
	if list.Kind == "List" { // of anything: nothing to inherit
		for _, field := range missing {
			*field = ""
		}
		return
	}
	var added []byte
	for _, name := range []string{"apiVersion", "kind"} {
		if field, ok := missing[name]; ok {
			added = append(append(append(added, ',', '"'), name...), '"', ':')
			added = appendString(added, *field)
		}
	}
	if len(added) == 0 {
		return
	}
	rest := trimSpace(d.JSON[1:])
	if rest[0] != '}' {
		added = append(added, ',')
	}
	added[0] = '{'
	d.JSON = append(added, rest...)
}

// members yields the names and values of a well-formed JSON object.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := trimSpace(object[1:]); rest[0] != '}'; {
			n := valueLen(rest)
			name := unquote(rest[:n])
			rest = trimSpace(trimSpace(rest[n:])[1:])
			n = valueLen(rest)
			if !yield(name, rest[:n:n]) {
				return
			}
			rest = trimComma(rest[n:])
		}
	}
}

// elements yields the values of a well-formed JSON array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := trimSpace(array[1:]); rest[0] != ']'; {
			n := valueLen(rest)
			if !yield(rest[:n:n]) {
				return
			}
			rest = trimComma(rest[n:])
		}
	}
}

func trimComma(rest []byte) []byte {
	return trimSpace(bytes.TrimPrefix(trimSpace(rest), []byte(",")))
}

// valueLen returns the length of the value at the beginning of well-formed JSON.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case '"':
			i += stringLen(text[i:]) - 1
		default:
			if depth > 0 {
				continue
			}
			if n := bytes.IndexAny(text[i:], ",]} \t\r\n"); n >= 0 {
				return i + n
			}
			return len(text)
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// stringLen returns the length of the string at the beginning of well-formed JSON.
func stringLen(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}
