package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The documents about access fit their schemas, with everything in them and with
// nothing, and as YAML they say the same. The names in them are an attacker's.
func TestAccessSchemas(t *testing.T) {
	const evil = "x\x1b[2J\u202e\n::error::"
	grant := &Grant{
		Binding: ObjectName{Kind: "RoleBinding", Namespace: "shop", Name: evil}, Role: ObjectName{Kind: "Role", Namespace: "shop", Name: evil},
		Rule: 1, Allows: &Rule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{evil}, ResourceNames: []string{"a"}},
	}
	permission := Permission{Verb: "create", Resource: "pods", Namespace: "shop"}
	path := Path{From: evil, To: "node", Cluster: "prod", Hops: []Hop{
		{From: evil, To: "node", Technique: "create-pods", Why: evil, Permission: &permission, GrantedBy: grant, Also: []Permitted{{permission, grant}}, ClosedBy: evil},
		{From: "node", To: "cluster-admin", Technique: "node-tokens"},
	}}
	gaps := []evidence.Gap{{Fact: evidence.RBAC, Scope: "shop", Reason: evil}}
	for _, c := range []struct {
		schema   string
		document any
	}{
		{"who-can.schema.json", &WhoCan{APIVersion, WhoCanKind, Request{Verb: "get", Resource: evil, Namespace: "shop", Name: evil},
			[]Holder{{Kind: "User", Name: evil, Cluster: "prod", GrantedBy: grant}, {Kind: "Group", Name: "system:masters"}}, []string{evil}, gaps}},
		{"who-can.schema.json", &WhoCan{APIVersion, WhoCanKind, Request{Path: "/"}, []Holder{}, []string{}, []evidence.Gap{}}},
		{"can.schema.json", &Can{APIVersion: APIVersion, Kind: CanKind, Subject: Subject{evil, []string{evil}}, Answer: Yes, GrantedBy: grant, Why: evil,
			Namespaces: []string{"shop"}, Warnings: []string{evil}, Gaps: gaps}},
		{"can.schema.json", &Can{APIVersion: APIVersion, Kind: CanKind, Subject: Subject{Groups: []string{}}, Answer: No, Warnings: []string{}, Gaps: []evidence.Gap{}}},
		{"paths.schema.json", &PathReport{APIVersion, PathKind, "node", []Path{path}, []Path{path}, true, []string{evil}, gaps}},
		{"paths.schema.json", &PathReport{APIVersion: APIVersion, Kind: PathKind, Target: "node", Paths: []Path{}, Warnings: []string{}, Gaps: []evidence.Gap{}}},
	} {
		var asJSON, asYAML bytes.Buffer
		if err := WriteJSON(&asJSON, c.document); err != nil {
			t.Fatal(err)
		}
		if err := WriteYAML(&asYAML, c.document); err != nil {
			t.Fatal(err)
		}
		validate(t, strictSchema(t, c.schema), asJSON.String())
		if strings.ContainsAny(asJSON.String()+asYAML.String(), "\x1b\u202e") {
			t.Errorf("%s: a character that nobody sees", c.schema)
		}
		var left, right any
		if err := yaml.Unmarshal(asJSON.Bytes(), &left); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(asYAML.Bytes(), &right); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(left, right); diff != "" {
			t.Errorf("%s: as YAML: %s", c.schema, diff)
		}
	}
}
