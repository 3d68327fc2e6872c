package patch

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func object(t *testing.T, text string) Object {
	t.Helper()
	o, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u","resourceVersion":"7","generation":2,
"managedFields":[{"manager":"gabion","operation":"Apply","fieldsV1":{"f:spec":{"f:template":{"f:spec":{"f:hostUsers":{},"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:tty":{}}}}}}}},
{"manager":"kubectl","operation":"Update","fieldsV1":{"f:spec":{"f:replicas":{}}}}]},
"spec":{"replicas":2,"template":{"spec":{"hostUsers":false,"containers":[{"name":"log","image":"l"},{"name":"web","image":"w","tty":true,"args":["a"]}]}}}}`

// What is applied is the identity, the fields that differ with the keys above them, and
// what was applied before.
func TestConfiguration(t *testing.T) {
	for _, c := range []struct{ name, replace, with, want, problem string }{
		{"a field of a container", `"image":"w"`, `"image":"w","securityContext":{"capabilities":{"drop":["ALL"]}}`,
			`{"containers":[{"name":"web","tty":true,"securityContext":{"capabilities":{"drop":["ALL"]}}}],"hostUsers":false}`, ""},
		{"a volume", `"hostUsers":false`, `"hostUsers":false,"volumes":[{"name":"tmp","emptyDir":{}}]`,
			`{"containers":[{"name":"web","tty":true}],"hostUsers":false,"volumes":[{"name":"tmp","emptyDir":{}}]}`, ""},
		{"a list that is one value", `"args":["a"]`, `"args":["b"]`,
			`{"containers":[{"name":"web","tty":true,"args":["b"]}],"hostUsers":false}`, ""},
		{"a field that goes", `"image":"w",`, ``, "", `.spec.template.spec.containers[name="web"].image would have to be taken away`},
		{"an element that goes", `{"name":"log","image":"l"},`, ``, "", `.spec.template.spec.containers[name="log"] would have to be taken away`},
		{"elements with the same key", `{"name":"log","image":"l"}`, `{"name":"web","image":"l"}`, "", `the elements of .spec.template.spec.containers cannot be told apart`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := object(t, deployment), object(t, strings.Replace(deployment, c.replace, c.with, 1))
			fields, err := Settable(before, Compare(before, after))
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Fatalf("%v, want %s", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			had, err := Owned(before, "gabion")
			if err != nil {
				t.Fatal(err)
			}
			got, err := Configuration(after, append(had, fields...))
			if err != nil {
				t.Fatal(err)
			}
			want := object(t, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},"spec":{"template":{"spec":`+c.want+`}}}`)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// How the lists of a custom kind merge is not known.
func TestCustomLists(t *testing.T) {
	const rollout = `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"r"},"spec":{"paused":true,"containers":[{"name":"a"}]}}`
	before := object(t, rollout)
	if _, err := Settable(before, Compare(before, object(t, strings.Replace(rollout, `"a"`, `"a","tty":true`, 1)))); err == nil || !strings.Contains(err.Error(), "custom kind") {
		t.Errorf("%v", err)
	}
	if _, err := Settable(before, Compare(before, object(t, strings.Replace(rollout, `true`, `false`, 1)))); err != nil {
		t.Error(err)
	}
}

// random changes some of an object: fields set, changed and taken away, parents and list
// elements made.
func random(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, below := range v {
			if r.IntN(12) > 0 || name == "name" {
				out[name] = random(r, below)
			}
		}
		if r.IntN(4) == 0 {
			out[fmt.Sprint("new", r.IntN(3))] = map[string]any{"in": map[string]any{"deep": r.IntN(2) == 0}}
		}
		return out
	case []any:
		var out []any
		for _, e := range v {
			out = append(out, random(r, e))
		}
		if r.IntN(4) == 0 {
			return append(out, map[string]any{"name": fmt.Sprint("added", r.IntN(1000)), "x": "y"})
		}
		return out
	case string:
		if r.IntN(5) == 0 && v != "web" && v != "log" {
			return v + "'"
		}
	}
	return v
}

// Whatever differs: making the differences makes the one state of the other, taking them
// back leads back, and both survive being written to a file.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	some := 0
	for range 1000 {
		before := object(t, deployment)
		after := Object(random(r, map[string]any(before)).(map[string]any))
		for _, own := range []string{"apiVersion", "kind", "metadata"} {
			after[own] = before[own]
		}
		var differences []Difference
		d := json.NewDecoder(strings.NewReader(asJSON(t, Compare(before, after))))
		d.UseNumber()
		if err := d.Decode(&differences); err != nil {
			t.Fatal(err)
		}
		some += len(differences)
		got, err := Make(before, differences)
		if err != nil {
			t.Fatal(err)
		}
		if left := Compare(got, after); len(left) > 0 {
			t.Fatalf("%s\nwant %s\ngot  %s", asJSON(t, differences), asJSON(t, after), asJSON(t, got))
		}
		back, left := Undo(after, differences)
		if rest := Compare(back, before); len(left) > 0 || len(rest) > 0 {
			t.Fatalf("%s\nback %s\nleft %s\nrest %s", asJSON(t, differences), asJSON(t, back), asJSON(t, left), asJSON(t, rest))
		}
		for _, d := range differences {
			if err := d.Valid(); err != nil {
				t.Fatalf("%s: %v", asJSON(t, d), err)
			}
		}
		if again, _ := Undo(back, differences); len(Compare(again, back)) > 0 {
			t.Fatal("taking back twice is not the same as once")
		}
	}
	if some < 1000 {
		t.Errorf("only %d differences", some)
	}
}

// What somebody else has changed since is left.
func TestUndoLeaves(t *testing.T) {
	before := object(t, deployment)
	after := object(t, strings.Replace(deployment, `"image":"w"`, `"image":"w","securityContext":{"a":true,"b":true}`, 1))
	differences := Compare(before, after)
	now := object(t, strings.Replace(deployment, `"image":"w"`, `"image":"w","securityContext":{"a":true,"b":false}`, 1))
	back, left := Undo(now, differences)
	want := object(t, strings.Replace(deployment, `"image":"w"`, `"image":"w","securityContext":{"b":false}`, 1))
	if diff := cmp.Diff(want, back); diff != "" || len(left) != 1 || left[0].Path.String() != `.spec.template.spec.containers[name="web"].securityContext.b` {
		t.Errorf("%v\n%s", left, diff)
	}
}

// What the API server would do besides, or instead, is told.
func TestForetold(t *testing.T) {
	before := object(t, deployment)
	with := func(text string) []Difference {
		return Compare(before, object(t, strings.Replace(deployment, `"hostUsers":false`, text, 1)))
	}
	wanted := with(`"hostUsers":false,"volumes":[{"name":"v","configMap":{"name":"c"}}],"serviceAccountName":"web","sc":{"a":1}`)
	for text, want := range map[string]string{
		`"hostUsers":false,"volumes":[{"name":"v","configMap":{"name":"c","defaultMode":420}}],"serviceAccountName":"web","serviceAccount":"web","sc":{"a":1,"b":2}`: "",
		`"hostUsers":false,"volumes":[{"name":"v","configMap":{"name":"c"}}],"serviceAccountName":"web","sc":{"a":1},"x":1`:                                          "would also change .spec.template.spec.x",
		`"hostUsers":false,"volumes":[{"name":"v","configMap":{"name":"d"}}],"serviceAccountName":"web","sc":{"a":1}`:                                                `would set .spec.template.spec.volumes[name="v"] to`,
		`"hostUsers":false,"serviceAccountName":"web","sc":{"a":1}`:                                                                                                  `would not set .spec.template.spec.volumes[name="v"]`,
	} {
		if got := Foretold(wanted, with(text)); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A file may say anything; what is no field of an object that may be changed is refused.
func TestValid(t *testing.T) {
	for _, text := range []string{
		`{"path":[]}`, `{"path":["metadata","uid"],"before":"x"}`, `{"path":["status"],"after":{}}`, `{"path":["kind"],"before":"Secret"}`,
		`{"path":[{"name":"x"}],"after":1}`, `{"path":["spec"],"made":2,"after":1}`, `{"path":["spec"],"made":-1,"after":1}`, `{"path":["spec"]}`, `{"path":["spec"],"made":1,"before":1}`,
	} {
		var d Difference
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(text, err)
		}
		if d.Valid() == nil {
			t.Errorf("%s is taken", text)
		}
	}
	for _, text := range []string{`{"path":[1]}`, `{"path":[{}]}`, `{"path":[null]}`} {
		var d Difference
		if json.Unmarshal([]byte(text), &d) == nil && d.Valid() == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
