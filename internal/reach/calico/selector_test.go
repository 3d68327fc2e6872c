package calico

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

func TestParseSelector(t *testing.T) {
	t.Parallel()
	in := func(key string, values ...string) netpol.Expr {
		return netpol.Label{Key: key, Op: netpol.In, Values: values}
	}
	a, b, c := in("a", "1"), in("b", "2"), has("c")
	valid := map[string]netpol.Expr{
		"":                                  netpol.Everyone(),
		" \t ":                              netpol.Everyone(),
		"all()":                             netpol.Everyone(),
		"all(  )":                           netpol.Everyone(),
		"a == '1'":                          a,
		"a==\"1\"":                          a,
		"a == ''":                           in("a", ""),
		`a == "it's"`:                       in("a", "it's"),
		"a != '1'":                          netpol.Label{Key: "a", Op: netpol.NotIn, Values: []string{"1"}},
		"a in {}":                           netpol.Label{Key: "a", Op: netpol.In, Values: []string{}},
		"a in {'2','1','2',}":               in("a", "1", "2"),
		"a not in {'1'}":                    netpol.Label{Key: "a", Op: netpol.NotIn, Values: []string{"1"}},
		"a notin{'1'}":                      netpol.Label{Key: "a", Op: netpol.NotIn, Values: []string{"1"}},
		"a contains 'x'":                    netpol.Label{Key: "a", Op: netpol.Contains, Values: []string{"x"}},
		"a starts with 'x'":                 netpol.Label{Key: "a", Op: netpol.Prefix, Values: []string{"x"}},
		"a startswith'x'":                   netpol.Label{Key: "a", Op: netpol.Prefix, Values: []string{"x"}},
		"a ends  with 'x'":                  netpol.Label{Key: "a", Op: netpol.Suffix, Values: []string{"x"}},
		"has(app.kubernetes.io/name)":       has("app.kubernetes.io/name"),
		"has( c )":                          c,
		"has == '1'":                        in("has", "1"),
		"in in {'1'}":                       in("in", "1"),
		"a == '1' && b == '2' || has(c)":    netpol.Some{netpol.Every{a, b}, c},
		"a == '1' && (b == '2' || has(c))":  netpol.Every{a, netpol.Some{b, c}},
		"!has(c)":                           netpol.Not{Of: c},
		"!!has(c)":                          c,
		"! ! !has(c)":                       netpol.Not{Of: c},
		"!(a == '1' || b == '2') && has(c)": netpol.Every{netpol.Not{Of: netpol.Some{a, b}}, c},
		"((a == '1'))":                      a,
		strings.Repeat("(", 400) + "has(c)" + strings.Repeat(")", 400): c,
	}
	for text, want := range valid {
		got, err := parseSelector(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
	for _, text := range []string{
		"a", "a ==", "a == 1", "a = '1'", "a == '1", "a == '1' b", "== '1'", "has(", "has()", "has(a", "has (a)", "all", "all ()", "all(a)",
		"a in", "a in '1'", "a in {", "a in {'1'", "a in {'1' '2'}", "a in {,}", "a not '1'", "a inside {'1'}", "a containsx '1'",
		"a == '1' &&", "&& a == '1'", "a == '1' & b == '2'", "a == '1' | b == '2'", "(a == '1'", "a == '1')", "!", "()", "global()",
		"a == '1' || global()", "ä == '1'", "a\n== '1'", strings.Repeat("k", 513) + " == '1'", strings.Repeat("(", 10_000),
		strings.Repeat("!", 1<<17),
	} {
		if e, err := parseSelector(text); err == nil {
			t.Errorf("%.40q is read as %#v", text, e)
		}
	}
}

// show writes a selector, with its parts in parentheses.
func show(e netpol.Expr) string {
	join := func(list []netpol.Expr, by string) string {
		var parts []string
		for _, part := range list {
			parts = append(parts, "("+show(part)+")")
		}
		return strings.Join(parts, by)
	}
	quote := func(v string) string {
		if strings.Contains(v, "'") {
			return `"` + v + `"`
		}
		return "'" + v + "'"
	}
	switch e := e.(type) {
	case netpol.Every:
		if len(e) == 0 {
			return "all()"
		}
		return join(e, " && ")
	case netpol.Some:
		return join(e, "||")
	case netpol.Not:
		return "!(" + show(e.Of) + ")"
	case netpol.Label:
		if e.Op == netpol.Exists {
			return "has(" + e.Key + ")"
		}
		var values []string
		for _, v := range e.Values {
			values = append(values, quote(v))
		}
		list := strings.Join(values, ", ")
		switch e.Op {
		case netpol.In:
			return e.Key + " in {" + list + "}"
		case netpol.NotIn:
			return e.Key + " not in {" + list + "}"
		case netpol.Prefix:
			return e.Key + " starts with " + list
		case netpol.Suffix:
			return e.Key + " ends with " + list
		case netpol.Contains:
			return e.Key + " contains " + list
		}
	}
	panic(fmt.Sprintf("%#v", e))
}

var keys = []string{
	"app", "tier", namespaceKey, accountKey, orchestratorKey, namespacePrefix + "team", namespacePrefix + nameKey,
	namespacePrefix + metadataName, accountPrefix + "role", accountPrefix + nameKey,
}

var values = []string{"", "a", "ab", "b", "k8s", "it's"}

func randomSelector(rng *rand.Rand, depth int) netpol.Expr {
	part := func() netpol.Expr { return randomSelector(rng, depth-1) }
	if depth > 0 {
		switch rng.IntN(4) {
		case 0:
			return netpol.Every{part(), part()}
		case 1:
			return netpol.Some{part(), part(), part()}
		case 2:
			// Double negations are dropped when they are read.
			if p := part(); fmt.Sprintf("%T", p) != "netpol.Not" {
				return netpol.Not{Of: p}
			}
		}
	}
	l := netpol.Label{Key: keys[rng.IntN(len(keys))], Op: []netpol.Op{
		netpol.In, netpol.NotIn, netpol.Exists, netpol.Prefix, netpol.Suffix, netpol.Contains,
	}[rng.IntN(6)]}
	n := 1
	switch l.Op {
	case netpol.Exists:
		return l
	case netpol.In, netpol.NotIn:
		n = rng.IntN(3)
	}
	if rng.IntN(20) == 0 {
		return netpol.Everyone()
	}
	l.Values = []string{}
	for range n {
		l.Values = append(l.Values, values[rng.IntN(len(values))])
	}
	slices.Sort(l.Values)
	l.Values = slices.Compact(l.Values)
	return l
}

// TestSelectorRoundTrip proves that what is written is what is read.
func TestSelectorRoundTrip(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		want := randomSelector(rng, 4)
		got, err := parseSelector(show(want))
		if err != nil {
			t.Fatalf("%s: %v", show(want), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s:\n%s", show(want), diff)
		}
	}
}

// evaluate says the slow and obvious way whether a selector means what has these labels.
func evaluate(e netpol.Expr, labels map[string]string) bool {
	switch e := e.(type) {
	case netpol.Every:
		return !slices.ContainsFunc(e, func(p netpol.Expr) bool { return !evaluate(p, labels) })
	case netpol.Some:
		return slices.ContainsFunc(e, func(p netpol.Expr) bool { return evaluate(p, labels) })
	case netpol.Not:
		return !evaluate(e.Of, labels)
	case netpol.Label:
		v, ok := labels[e.Key]
		switch e.Op {
		case netpol.Exists:
			return ok
		case netpol.In:
			return ok && slices.Contains(e.Values, v)
		case netpol.NotIn:
			return !(ok && slices.Contains(e.Values, v))
		case netpol.Prefix:
			return ok && strings.HasPrefix(v, e.Values[0])
		case netpol.Suffix:
			return ok && strings.HasSuffix(v, e.Values[0])
		case netpol.Contains:
			return ok && strings.Contains(v, e.Values[0])
		}
	}
	panic(fmt.Sprintf("%#v", e))
}

// A testPod is a pod, and what it belongs to.
type testPod struct {
	namespace, account                     string
	labels, namespaceLabels, accountLabels map[string]string
}

func randomPod(rng *rand.Rand) testPod {
	value := func() string { return values[1+rng.IntN(4)] }
	some := func(keys ...string) map[string]string {
		labels := map[string]string{}
		for _, k := range keys {
			if rng.IntN(2) == 0 {
				labels[k] = value()
			}
		}
		return labels
	}
	p := testPod{
		namespace: value(), account: value(), labels: some("app", "tier"),
		namespaceLabels: some("team"), accountLabels: some("role"),
	}
	if rng.IntN(3) == 0 {
		p.labels[namespacePrefix+"team"] = value()
	}
	p.namespaceLabels[metadataName] = p.namespace
	return p
}

// flat are the labels that Calico gives to the endpoint of a pod: what it inherits, its
// own, and those that are set whatever it says.
func (p testPod) flat() map[string]string {
	labels := map[string]string{namespacePrefix + nameKey: p.namespace, accountPrefix + nameKey: p.account}
	for k, v := range p.namespaceLabels {
		labels[namespacePrefix+k] = v
	}
	for k, v := range p.accountLabels {
		labels[accountPrefix+k] = v
	}
	for k, v := range p.labels {
		labels[k] = v
	}
	labels[namespaceKey], labels[accountKey], labels[orchestratorKey] = p.namespace, p.account, orchestrator
	return labels
}

// means evaluates an expression about a pod: yes, no, or not known.
func (p testPod) means(e netpol.Expr) truth {
	switch e := e.(type) {
	case netpol.Every:
		result := yes
		for _, part := range e {
			result = min(result, p.means(part))
		}
		return result
	case netpol.Some:
		result := no
		for _, part := range e {
			result = max(result, p.means(part))
		}
		return result
	case netpol.Not:
		return -p.means(e.Of)
	case netpol.Is:
		return truthOf(e.Kind == netpol.OfPod)
	case netpol.Named:
		name := p.namespace
		if e.Of == netpol.ServiceAccount {
			name = p.account
		}
		return truthOf(name == e.Name)
	case netpol.Label:
		labels := map[netpol.Owner]map[string]string{
			netpol.Pod: p.labels, netpol.Namespace: p.namespaceLabels, netpol.ServiceAccount: p.accountLabels,
		}[e.Of]
		v, has := labels[e.Key]
		if e.Op == netpol.Absent {
			return truthOf(!has)
		}
		return truthOf(compare(e, v, has))
	case netpol.Unknown:
		return min(perhaps, p.means(e.Within))
	}
	panic(fmt.Sprintf("%#v", e))
}

// TestSelectorMeaning proves that both ways in which selectors are evaluated here are
// the obvious one: by the labels of a host or a set of networks, and by those of a pod,
// its namespace and its ServiceAccount, where it may also be unknown.
func TestSelectorMeaning(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	s := shadow{namespacePrefix + "team": true}
	unknown := 0
	for range 8_000 {
		e, pod := randomSelector(rng, 3), randomPod(rng)
		want := truthOf(evaluate(e, pod.flat()))
		if got := (labelled{labels: pod.flat()}).holds(e); got != want {
			t.Fatalf("%s\n%v\nholds: %d, not %d", show(e), pod.flat(), got, want)
		}
		switch got := pod.means(s.pods(e)); got {
		case perhaps:
			unknown++
		case want:
		default:
			t.Fatalf("%s\n%v\nmeans: %d, not %d", show(e), pod, got, want)
		}
	}
	if unknown == 0 || unknown > 2_400 {
		t.Errorf("%d of 8000 are unknown", unknown)
	}
}

// TestSelectorOpen proves that an open label makes an answer unknown only where it
// would change it.
func TestSelectorOpen(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 1500 {
		e, pod := randomSelector(rng, 3), randomPod(rng)
		key := keys[rng.IntN(len(keys))]
		known := pod.flat()
		delete(known, key)
		got := labelled{labels: known, open: func(k string) bool { return k == key }}.holds(e)
		if got == perhaps {
			continue
		}
		for _, v := range values {
			known[key] = v
			if want := truthOf(evaluate(e, known)); got != want {
				t.Fatalf("%s: %d although %s=%q makes it %d", show(e), got, key, v, want)
			}
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		f.Add(show(randomSelector(rng, 3)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseSelector(text)
		if err != nil {
			return
		}
		again, err := parseSelector(show(e))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Fatalf("%q:\n%s", text, diff)
		}
	})
}
