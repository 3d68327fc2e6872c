package istio

import (
	"maps"
	"slices"
	"strings"
)

// asked is what is asked of one attribute of requests: one of the values, if there are
// any, and none of the others.
type asked struct {
	key         string
	values, not []string
}

// appendAsked adds what is asked of an attribute, if anything is.
func appendAsked(list []asked, key string, values, not []string) []asked {
	if len(values)+len(not) == 0 {
		return list
	}
	switch key {
	case "request.auth.principal":
		key = "requestPrincipals"
	case "remote.ip":
		key = remoteIP
	}
	return append(list, asked{key, values, not})
}

const remoteIP = "remoteIpBlocks"

// A request is the values of its attributes. Those that are not there have the value
// that nobody writes.
type request map[string]string

const (
	unwritten = "\x00"
	// none is the value of an attribute that a request does not have.
	none = ""
	// combinations are how many ways through a rule are looked at, and mostValues how many
	// values: of longer ones it is not known what they leave.
	combinations = 16
	mostValues   = 1000
	// mostRequests are how many requests are tried in each way.
	mostRequests = 50
)

// leaves reports whether of the requests that pass some clauses, in each way that they
// offer, there are surely some that others do not all mean. Requests are made up of the
// values that are written.
func leaves(passed, denied []clause) bool {
	if values(passed) > mostValues || values(denied) > mostValues {
		return false
	}
	ways := [][]asked{nil}
	for _, c := range passed {
		var longer [][]asked
		for _, way := range ways {
			for _, alt := range c {
				longer = append(longer, slices.Concat(way, alt.asks))
			}
		}
		if ways = longer; len(ways) > combinations {
			return false
		}
	}
	return !slices.ContainsFunc(ways, func(way []asked) bool {
		return !slices.ContainsFunc(requests(way, denied), func(r request) bool { return !r.means(denied) })
	})
}

// values is how many values clauses hold.
func values(clauses []clause) (n int) {
	for _, c := range clauses {
		for _, alt := range c {
			for _, a := range alt.asks {
				n += len(a.values) + len(a.not)
			}
		}
	}
	return n
}

// requests are some that pass all that is asked.
func requests(way []asked, denied []clause) (list []request) {
	first, options := request{}, map[string][]string{}
	for _, a := range way {
		if _, twice := options[a.key]; twice {
			return nil
		}
		values := a.values
		if len(values) == 0 {
			values = unasked(a.key, denied)
		}
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool {
			return slices.ContainsFunc(a.not, func(not string) bool { return overlap(not, v) })
		})
		if len(values) == 0 {
			return nil
		}
		options[a.key], first[a.key] = values, values[0]
	}
	for _, c := range denied {
		for _, alt := range c {
			for _, a := range alt.asks {
				if _, known := options[a.key]; !known {
					options[a.key] = unasked(a.key, denied)
				}
			}
		}
	}
	list = append(list, first)
	for _, key := range slices.Sorted(maps.Keys(options)) {
		for _, v := range options[key] {
			if len(list) == mostRequests {
				return list
			}
			r := request{key: v}
			for k, other := range first {
				if k != key {
					r[k] = other
				}
			}
			list = append(list, r)
		}
	}
	return list
}

// unasked are values of an attribute of which nothing is asked: one that nobody writes,
// none, where requests may be without it, and those that the clauses do not mean.
func unasked(key string, denied []clause) []string {
	values := []string{unwritten}
	if !slices.Contains([]string{"methods", "paths", "hosts", remoteIP}, key) {
		values = append(values, none)
	}
	for _, c := range denied {
		for _, alt := range c {
			for _, a := range alt.asks {
				if a.key == key && key != remoteIP {
					values = append(values, a.not...)
				}
			}
		}
	}
	return values
}

// means reports whether clauses mean a request, as far as its attributes tell; it is
// true where that is not clear.
func (r request) means(clauses []clause) bool {
	return !slices.ContainsFunc(clauses, func(c clause) bool {
		return !slices.ContainsFunc(c, func(alt alternative) bool {
			return !slices.ContainsFunc(alt.asks, func(a asked) bool { return !a.holds(r) })
		})
	})
}

func (a asked) holds(r request) bool {
	value, given := r[a.key]
	if !given {
		value = unwritten
	}
	if slices.ContainsFunc(a.not, func(p string) bool { return covers(p, value) }) {
		return false
	}
	return len(a.values) == 0 || slices.ContainsFunc(a.values, func(p string) bool {
		// Blocks may hold each other, and templates of paths mean many.
		return covers(strings.ToLower(p), strings.ToLower(value)) || strings.Contains(p, "{") || a.key == remoteIP && value != unwritten
	})
}

// covers reports whether a pattern means all that another means.
func covers(pattern, other string) bool {
	switch {
	case other == none:
		return false
	case slices.Contains([]string{"*", "/*", "0.0.0.0/0", "::/0"}, pattern), pattern == other:
		return true
	case other == unwritten:
		return false
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(other, strings.TrimSuffix(pattern, "*")) && !strings.HasPrefix(other, "*")
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(other, strings.TrimPrefix(pattern, "*")) && !strings.HasSuffix(other, "*")
	}
	return false
}

// overlap reports whether two patterns may mean the same.
func overlap(a, b string) bool {
	if b == none {
		return false
	}
	return covers(a, b) || covers(b, a) || b != unwritten && strings.ContainsAny(a+b, "*{/")
}
