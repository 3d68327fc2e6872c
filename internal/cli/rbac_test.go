package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/source/live"
)

// run runs the whole program.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := cli.System()
	env.Stdout, env.Stderr, env.Dir = &out, &errs, t.TempDir()
	code = cli.Main(context.Background(), append([]string{"gabion"}, args...), env)
	return out.String(), errs.String(), code
}

// What is printed as YAML is the roles that the reader of clusters asks for, no
// more and no less, and every rule says what it is for.
func TestOwnRole(t *testing.T) {
	for _, c := range []struct {
		args    []string
		options live.Options
	}{
		{nil, live.Options{}},
		{[]string{"--no-secrets"}, live.Options{NoSecrets: true}},
		{[]string{"-n", "shop"}, live.Options{Namespaces: []string{"shop"}}},
		{[]string{"-n", "yes", "--name", "null", "--no-secrets"}, live.Options{Namespaces: []string{"yes"}, NoSecrets: true}},
	} {
		text, errs, code := run(t, append([]string{"rbac", "own-role"}, c.args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", c.args, code, errs)
		}
		name := "gabion"
		if len(c.args) > 2 {
			name = "null"
		}
		whole, roles := live.Roles(name, live.Rights(c.options))
		documents := strings.Split(text, "---\n")
		if len(documents) != 1+len(roles) {
			t.Fatalf("%v: %d documents, want %d", c.args, len(documents), 1+len(roles))
		}
		var got rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict([]byte(documents[0]), &got); err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		if diff := cmp.Diff(*whole, got); diff != "" {
			t.Errorf("%v: %s", c.args, diff)
		}
		for i, role := range roles {
			var got rbacv1.Role
			if err := yaml.UnmarshalStrict([]byte(documents[1+i]), &got); err != nil {
				t.Fatalf("%v: %v", c.args, err)
			}
			if diff := cmp.Diff(*role, got); diff != "" {
				t.Errorf("%v: %s", c.args, diff)
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasSuffix(line, "# \n") {
				t.Errorf("%v: %q says nothing of its purpose", c.args, line)
			}
		}
	}
}

// The bindings are to the role, and to the subject.
func TestOwnBinding(t *testing.T) {
	for subject, want := range map[string]rbacv1.Subject{
		"system:serviceaccount:gabion:reader": {Kind: "ServiceAccount", Namespace: "gabion", Name: "reader"},
		"jane: no":                            {APIGroup: rbacv1.GroupName, Kind: "User", Name: "jane: no"},
	} {
		text, _, _ := run(t, "rbac", "own-role", "-n", "shop", "--subject", subject)
		documents := strings.Split(text, "---\n")
		if len(documents) != 4 {
			t.Fatalf("%d documents, want two roles and their bindings", len(documents))
		}
		var whole rbacv1.ClusterRoleBinding
		if err := yaml.UnmarshalStrict([]byte(documents[1]), &whole); err != nil {
			t.Fatal(err)
		}
		var local rbacv1.RoleBinding
		if err := yaml.UnmarshalStrict([]byte(documents[3]), &local); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]rbacv1.Subject{want}, whole.Subjects); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]rbacv1.Subject{want}, local.Subjects); diff != "" {
			t.Error(diff)
		}
		if whole.RoleRef.Name != "gabion" || whole.RoleRef.Kind != "ClusterRole" || local.RoleRef.Kind != "Role" || local.Namespace != "shop" {
			t.Errorf("%+v %+v", whole, local)
		}
	}
}
