package netpol

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	definition "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/kubernetes"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// TestDefinition breaks random ClusterNetworkPolicies in one place and compares what we
// refuse with what the API server does that has the CustomResourceDefinition of the
// API's own repository: its schema, its sets and its rules in CEL.
//
// A field that the definition does not have is not tried: the API server drops it and
// judges what is left, while we take the definition to be another one than we know.
func TestDefinition(t *testing.T) {
	check := clusterDefinition(t)
	var sum struct{ valid, refused int }
	for seed := range uint64(4000) {
		d := dice{rand.New(rand.NewPCG(seed, 0xc4d)), true}
		object := generic(t, d.clusterPolicy(0))
		if !d.one(4) {
			object["spec"] = d.corrupt(object["spec"])
		}
		object["metadata"] = map[string]any{"name": "p"}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		want := check(generic(t, object))
		snap := &evidence.Snapshot{}
		snap.Add(&evidence.Ref{APIVersion: "policy.networking.k8s.io/v1alpha2", Kind: "ClusterNetworkPolicy", Name: "p"}, &evidence.Custom{JSON: text})
		_, refused := kubernetes.Read(snap, netpol.Kubernetes)
		switch {
		case len(refused) > 0 && len(want) == 0:
			t.Fatalf("seed %d: we refuse what is valid: %v\n%s", seed, refused[0].Err, text)
		case len(refused) == 0 && len(want) > 0:
			t.Fatalf("seed %d: we take what is refused: %v\n%s", seed, want, text)
		case len(refused) > 0:
			sum.refused++
		default:
			sum.valid++
		}
	}
	t.Logf("%d valid, %d refused", sum.valid, sum.refused)
	if sum.valid < 1000 || sum.refused < 1000 {
		t.Error("the policies try too little")
	}
}

// generic is an object as JSON has it.
func generic(t *testing.T, object any) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := kjson.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	delete(tree, "status")
	return tree
}

// corrupt changes, drops or doubles one thing somewhere in a tree, mostly deep in it.
func (d dice) corrupt(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		key := d.field(v)
		switch {
		case key == "":
		case d.one(12):
			delete(v, key)
		case d.one(8):
			d.beside(v, key)
		default:
			v[key] = d.corrupt(v[key])
		}
		return v
	case []any:
		switch i := d.IntN(max(len(v), 1)); {
		case len(v) == 0 || d.one(8):
			return []any{}
		case d.one(8):
			for range pick(d, 1, 25, 26) {
				v = append(v, v[i])
			}
		default:
			v[i] = d.corrupt(v[i])
		}
		return v
	case string:
		return pick[any](d, "", "Admin", "Baseline", "Pass", "Accept", "Allow", "10.0.0.0/8", "10.0.0.1/8", "10.0.0.0", "::ffff:10.0.0.0/104", "::/0", "web",
			strings.Repeat("n", 101), 5)
	case int64:
		return pick[any](d, -1, 0, 1, 1000, 1001, 65535, 65536, "80", 1.5)
	}
	return tree
}

// field is a field of an object, rather a list than another, and no part of a selector:
// these the definition leaves to the network plugin. "" if there is none.
func (d dice) field(v map[string]any) string {
	var keys []string
	for k, value := range v {
		if k == "matchLabels" || k == "matchExpressions" {
			continue
		}
		keys = append(keys, k)
		if _, list := value.([]any); list {
			keys = append(keys, k, k, k)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	return pick(d, keys...)
}

// beside puts a field next to another that its type may not have along with it.
func (d dice) beside(v map[string]any, key string) {
	all := map[string]any{"matchLabels": map[string]any{}}
	space := func() any { return map[string]any{"namespaceSelector": map[string]any{}, "podSelector": all} }
	switch key {
	case "namespaces", "pods":
		other := map[string]string{"namespaces": "pods", "pods": "namespaces"}[key]
		v[other] = map[string]any{"namespaces": all, "pods": space()}[other]
	case "networks", "nodes", "domainNames":
		v["domainNames"] = pick(d, []any{"a.example.com"}, []any{"*.example.com", "example"}, []any{})
		if d.one(2) {
			delete(v, key)
		}
	case "tcp", "udp", "sctp":
		v["destinationNamedPort"] = "web"
		if d.one(2) {
			delete(v, key)
		}
	case "number":
		v["range"] = map[string]any{"start": 1, "end": pick(d, 1, 2)}
	case "range":
		v["number"] = 80
	default:
		delete(v, key)
	}
}

// clusterDefinition reads the experimental definition of ClusterNetworkPolicy, which has
// every field, from the module of the API.
func clusterDefinition(t *testing.T) func(object map[string]any) field.ErrorList {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/network-policy-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var given definition.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	var props apiextensions.JSONSchemaProps
	if err := definition.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(given.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&props)
	if err != nil {
		t.Fatal(err)
	}
	types, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return func(object map[string]any) field.ErrorList {
		list := validation.ValidateCustomResource(nil, object, types)
		list = append(list, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
		if len(list) == 0 {
			list, _ = rules.Validate(context.Background(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
		}
		return list
	}
}
