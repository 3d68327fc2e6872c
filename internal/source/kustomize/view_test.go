package kustomize

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildEdited builds what is nowhere on the disk, and what is there otherwise.
func TestBuildEdited(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"
	write("base/kustomization.yaml", "resources: [account.yaml]\n")
	write("base/account.yaml", account)
	write("over/kustomization.yaml", "resources: [../base]\n")
	build := func(folder string, edited map[string]string) string {
		t.Helper()
		files := map[string][]byte{}
		for name, text := range edited {
			files[filepath.Join(dir, name)] = []byte(text)
		}
		built, err := BuildEdited(t.Context(), filepath.Join(dir, folder), dir, files)
		if err != nil {
			return err.Error()
		}
		var all []string
		for _, o := range built.Objects {
			all = append(all, string(o.Data))
		}
		return strings.Join(all, "---\n")
	}
	if got := build("over", nil); strings.Contains(got, "automount") {
		t.Fatalf("unedited:\n%s", got)
	}
	if got := build("over", map[string]string{"base/account.yaml": account + "automountServiceAccountToken: false\n"}); !strings.Contains(got, "automountServiceAccountToken: false") {
		t.Errorf("an edited base:\n%s", got)
	}
	added := map[string]string{
		"over/kustomization.yaml": "resources: [../base]\npatches:\n- path: gabion.yaml\n",
		"over/gabion.yaml":        account + "automountServiceAccountToken: false\n",
	}
	if got := build("over", added); !strings.Contains(got, "automountServiceAccountToken: false") {
		t.Errorf("an added patch:\n%s", got)
	}
	added = map[string]string{"new/deep/kustomization.yaml": "resources: [all.yaml]\nnamePrefix: x-\n", "new/deep/all.yaml": account}
	if got := build("new/deep", added); !strings.Contains(got, "name: x-web") {
		t.Errorf("a folder that is nowhere:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a folder was made")
	}
	added = map[string]string{"over/kustomization.yaml": "resources: [../base, ../../secret]\n"}
	if got := build("over", added); !strings.Contains(got, "secret") {
		t.Errorf("a base that is not there:\n%s", got)
	}
}
