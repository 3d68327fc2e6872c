package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head29 = `items:
- {kind: ClusterRole, metadata: {name: edit, labels: {rbac.authorization.k8s.io/aggregate-to-admin: "true", kubernetes.io/bootstrapping: rbac-defaults}},
   aggregationRule: {clusterRoleSelectors: [{matchLabels: {rbac.authorization.k8s.io/aggregate-to-edit: "true"}}]}}
- {kind: ClusterRole, metadata: {name: info}, rules: [{nonResourceURLs: [/version, /healthz], verbs: [get]}]}
- kind: Role
  metadata: {name: reader, namespace: kube-system}
  rules: [{apiGroups: ["", apps], resources: [pods], resourceNames: [b, a], verbs: [list, get]}]
- kind: RoleBinding
  metadata: {name: reader, namespace: kube-system}
  roleRef: {kind: Role, name: reader}
  subjects: [{kind: ServiceAccount, name: web, namespace: kube-system}, {kind: Group, name: all}]
`

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRun(t *testing.T) {
	info := func(name, url string) string {
		return "items: [{kind: ClusterRole, metadata: {name: " + name + "}, rules: [{nonResourceURLs: [" + url + "], verbs: [get]}]}]\n"
	}
	var out strings.Builder
	err := run([]string{
		"1.29=" + folder(t, map[string]string{"roles.yaml": head29}),
		"1.30=" + folder(t, map[string]string{"a.yaml": info("info", "/version"), "a-featuregates.yaml": info("new", "/new")}),
		"1.31=" + folder(t, map[string]string{"a.yaml": info("info", "/version"), "b.yaml": info("new", "/new")}),
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	want := `
minors 29 30 31

ClusterRole 29 edit from=aggregate-to-edit into=aggregate-to-admin

ClusterRole * info
 29 get url /healthz,/version
 30- get url /version

ClusterRole 30?,31- new
 30?,31- get url /new

Role 29 kube-system/reader
 29 get,list apps,core pods a,b

RoleBinding 29 kube-system/reader Role/reader
 29 Group all
 29 ServiceAccount kube-system/web
`
	if diff := cmp.Diff(head+want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRunRefuses(t *testing.T) {
	odd := strings.Replace(head29, "aggregate-to-edit: \"true\"}}]", "aggregate-to-edit: \"maybe\"}}]", 1)
	for _, args := range [][]string{
		nil, {"1.29"}, {"1.x=" + t.TempDir()}, {"1.29=" + t.TempDir()},
		{"1.29=" + folder(t, map[string]string{"a.yaml": "items: ["})},
		{"1.29=" + folder(t, map[string]string{"a.yaml": odd})},
		{"1.29=" + folder(t, map[string]string{"a.yaml": head29}), "1.30=" + folder(t, map[string]string{"a.yaml": strings.Replace(head29, "name: reader}\n  subjects", "name: other}\n  subjects", 1)})},
	} {
		if err := run(args, new(strings.Builder)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
