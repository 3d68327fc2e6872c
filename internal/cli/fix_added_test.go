package cli

import (
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
)

// An object that a fix adds has to be there once, in the file's medium, and as it was
// asked for; any other that comes or goes has everything refused.
func TestAdded(t *testing.T) {
	const (
		web = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n"
		own = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: shop}\n"
	)
	change := strings.NewReplacer("name: a", "name: a, labels: {x: v}")
	for name, tt := range map[string]struct {
		now  []string
		want string // why the fix is refused, "" when it is not
	}{
		"last":             {[]string{change.Replace(web), own}, ""},
		"first":            {[]string{own, change.Replace(web)}, ""},
		"missing":          {[]string{change.Replace(web)}, "would not be there as it should"},
		"twice":            {[]string{change.Replace(web), own, own}, "would not be there as it should"},
		"with more":        {[]string{change.Replace(web), own + "secrets: [{name: x}]\n"}, "would not be there as it should"},
		"another name":     {[]string{change.Replace(web), strings.Replace(own, "web", "other", 1)}, "would not be there as it should"},
		"one more":         {[]string{change.Replace(web), own, strings.Replace(own, "web", "other", 1)}, "more objects or fewer"},
		"instead":          {[]string{own}, "more objects or fewer"},
		"without the edit": {[]string{web, own}, "something else of ConfigMap shop/a would change"},
	} {
		t.Run(name, func(t *testing.T) {
			was, home := readManifests(t, web)
			m := &mender{media: []medium{home}}
			d := &mend{
				ref: was.Objects[0], home: home, finding: &report.Finding{},
				fix: &check.Fix{
					Path: evidence.NewPath("metadata", "labels", "x"), Value: "v",
					Adds: &check.Addition{APIVersion: "v1", Kind: "ServiceAccount", Namespace: "shop", Name: "web", Text: own},
				},
			}
			m.mends = []*mend{d}
			now, _ := readManifests(t, strings.Join(tt.now, "---\n"))
			for range now.Objects {
				m.owners = append(m.owners, home)
			}
			if some := m.disturbed(was, now); some != (tt.want != "") || !strings.Contains(d.refused, tt.want) || (d.refused == "") != (tt.want == "") {
				t.Errorf("%v: %q, want %q", some, d.refused, tt.want)
			}
		})
	}
}

func readManifests(t *testing.T, text string) (*evidence.Snapshot, *manifests) {
	t.Helper()
	m := &manifests{names: []string{"a.yaml"}}
	world := &evidence.Snapshot{}
	if err := m.read(t.Context(), world, texts{"a.yaml": []byte(text)}); err != nil {
		t.Fatal(err)
	}
	return world, m
}

// Reasons that name something else each are one line, and none is lost.
func TestSayRefused(t *testing.T) {
	var out strings.Builder
	sayRefused(&out, map[string]int{`the image "a" is not known`: 2, `the image "b" is not known`: 1, `the image "c" has no tag`: 1, "no": 3})
	want := "3 findings not fixed: no\n1 finding not fixed: the image \"c\" has no tag\n3 findings not fixed: the image \"…\" is not known\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}
