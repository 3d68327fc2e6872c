package istio

import "testing"

// ask is one alternative that asks of attributes.
func ask(list ...asked) alternative { return alternative{asks: list} }

// TestLeaves holds what rules that deny requests leave of those that are allowed.
func TestLeaves(t *testing.T) {
	t.Parallel()
	is := func(key string, values ...string) asked { return asked{key: key, values: values} }
	not := func(key string, values ...string) asked { return asked{key: key, not: values} }
	get, admin := is("methods", "GET"), is("paths", "/admin*")
	for name, test := range map[string]struct {
		passed, denied []clause
		want           bool
	}{
		"all, some methods denied":                 {nil, []clause{{ask(get)}}, true},
		"all, everything denied":                   {nil, []clause{{ask(is("paths", "/*"))}}, false},
		"all, everything denied in two ways":       {nil, []clause{{ask(get), ask(is("methods", "*"))}}, false},
		"all, two things denied":                   {nil, []clause{{ask(get), ask(admin)}}, true},
		"all, all but one method denied":           {nil, []clause{{ask(not("methods", "GET"))}}, true},
		"all, what has no token denied":            {nil, []clause{{ask(not("requestPrincipals", "*"))}}, true},
		"all, what has a token denied":             {nil, []clause{{ask(is("requestPrincipals", "*"))}}, true},
		"all, no request asked for":                {nil, []clause{{ask()}}, false},
		"the same":                                 {[]clause{{ask(get)}}, []clause{{ask(get)}}, false},
		"the same, in another case":                {[]clause{{ask(is("hosts", "A.example"))}}, []clause{{ask(is("hosts", "a.example"))}}, false},
		"another method":                           {[]clause{{ask(is("methods", "POST"))}}, []clause{{ask(get)}}, true},
		"one of two methods":                       {[]clause{{ask(is("methods", "POST", "GET"))}}, []clause{{ask(get)}}, true},
		"the method, on some paths":                {[]clause{{ask(get)}}, []clause{{ask(get, admin)}}, true},
		"the method on a path, all of it":          {[]clause{{ask(get, is("paths", "/admin/x"))}}, []clause{{ask(get, admin)}}, false},
		"the method on a path, of two clauses":     {[]clause{{ask(get)}, {ask(is("paths", "/admin/x"))}}, []clause{{ask(get, admin)}}, false},
		"the method on wider paths":                {[]clause{{ask(get, is("paths", "/*"))}}, []clause{{ask(get, admin)}}, true},
		"one way of two is closed":                 {[]clause{{ask(get), ask(is("paths", "/x"))}}, []clause{{ask(get)}}, false},
		"all methods but one, that one denied":     {[]clause{{ask(not("methods", "GET"))}}, []clause{{ask(get)}}, true},
		"one method, all but that one denied":      {[]clause{{ask(get)}}, []clause{{ask(not("methods", "GET"))}}, true},
		"one method, all but another denied":       {[]clause{{ask(is("methods", "POST"))}}, []clause{{ask(not("methods", "GET"))}}, false},
		"addresses within others, perhaps":         {[]clause{{ask(is(remoteIP, "192.0.2.1"))}}, []clause{{ask(is(remoteIP, "192.0.2.0/24"))}}, false},
		"a template of paths":                      {[]clause{{ask(is("paths", "/a/b"))}}, []clause{{ask(is("paths", "/a/{*}"))}}, false},
		"a header, denied without it":              {nil, []clause{{ask(not("request.headers[x]", "*"))}}, true},
		"one clause of those that deny is not met": {[]clause{{ask(get)}}, []clause{{ask(get)}, {ask(admin)}}, true},
		"two things are asked of one attribute":    {[]clause{{ask(get)}, {ask(is("methods", "G*"))}}, []clause{{ask(get)}}, false},
	} {
		if got := leaves(test.passed, test.denied); got != test.want {
			t.Errorf("%s: leaves is %t", name, got)
		}
	}
}
