package gitops

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func object(t *testing.T, text string) *evidence.Custom {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
	}
	if err := yaml.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return &evidence.Custom{JSON: data, Ref: &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Metadata.Name, Namespace: o.Metadata.Namespace}}
}

func TestRepositoryName(t *testing.T) {
	for url, want := range map[string]string{
		"https://github.com/Org/Repo":                     "github.com/org/repo",
		"https://github.com/org/repo.git/":                "github.com/org/repo",
		"git@github.com:org/repo.git":                     "github.com/org/repo",
		"ssh://git@github.com:22/org/repo.git":            "github.com/org/repo",
		"https://user:pass/word@github.com/org/repo":      "github.com/org/repo",
		"https://gitlab.com/a/b/c.git?token=hunter2#main": "gitlab.com/a/b/c",
		"file:///srv/repo":                                "/srv/repo",
		"oci://ghcr.io/org/charts":                        "ghcr.io/org/charts",
		"https://charts.example.com":                      "charts.example.com",
		"":                                                "",
	} {
		if got := RepositoryName(url); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

func TestSameRepository(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want Match
	}{
		{"git@github.com:org/repo.git", "https://GitHub.com/org/repo", Same},
		{"https://github.com/fork/repo", "https://github.com/org/repo", Perhaps},
		{"https://github.com/org/repo", "", Perhaps},
		{"https://github.com/org/repo", "https://github.com/org/other", Other},
	} {
		if got := SameRepository(test.a, test.b); got != test.want || SameRepository(test.b, test.a) != got {
			t.Errorf("%s and %s: got %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestListing(t *testing.T) {
	files := []string{"a.yaml", "b.json", "config.json", "sub/a.yaml", "sub/deep/env.yaml"}
	for _, test := range []struct {
		recurse          bool
		include, exclude string
		want             string
	}{
		{false, "", "", "a.yaml b.json config.json"},
		{true, "", "", "a.yaml b.json config.json sub/a.yaml sub/deep/env.yaml"},
		{true, "*.yaml", "", "a.yaml sub/a.yaml sub/deep/env.yaml"},
		{true, "**/*.yaml", "", "sub/a.yaml sub/deep/env.yaml"},
		{true, "{a.yaml,b.*}", "", "a.yaml b.json"},
		{true, "", "{config.json,*env.yaml}", "a.yaml b.json sub/a.yaml"},
		{true, "*.yaml", "sub/*", "a.yaml"},
		{true, "[!a].json", "", "b.json"},
		{true, "[ab].????", "", "a.yaml b.json"},
		{true, `\a.yaml`, "", "a.yaml"},
	} {
		include, err := glob(test.include)
		if err != nil {
			t.Fatal(err)
		}
		exclude, err := glob(test.exclude)
		if err != nil {
			t.Fatal(err)
		}
		reads := Listing{Recurse: test.recurse, Include: include, Exclude: exclude}.Matcher()
		got := strings.Join(slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !reads(f) }), " ")
		if got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
	for _, bad := range []string{"[", "[]", "{a", "[b-a]", "a}{"} {
		if expr, err := glob(bad); err == nil {
			t.Errorf("%s became %s", bad, expr)
		}
	}
}

func TestReplace(t *testing.T) {
	s := &Substitution{Variables: map[string]string{"a": "A", "empty": "", "dollar": "$1 ${a}"}}
	for text, want := range map[string]string{
		"${a}-${a}":                       "A-A",
		"$a $(a) $${a} {{ .a }}":          "$a $(a) ${a} {{ .a }}",
		"${b}|${b:-d}|${b:=e}|${b-f}":     "|d|e|f",
		"${empty}|${empty:-d}|${empty-d}": "|d|",
		"${dollar}":                       "$1 ${a}",
		"${a^^} ${#a} ${}":                "${a^^} ${#a} ${}",
	} {
		if got := string(s.Replace([]byte(text))); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	keep := &Substitution{KeepUnknown: true}
	if got := string(keep.Replace([]byte("${b} ${b:=d}"))); got != "${b} d" {
		t.Errorf("got %s", got)
	}
	var none *Substitution
	if got := string(none.Replace([]byte("${b}"))); got != "${b}" {
		t.Errorf("got %s", got)
	}
}

// Helm itself is asked what it makes of a parameter.
func TestEscapeCommas(t *testing.T) {
	letters := []rune("a,=[]. {é\"")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var value string
		for range rng.IntN(8) {
			value += string(letters[rng.IntN(len(letters))])
		}
		if strings.HasPrefix(value, "{") {
			continue
		}
		got := map[string]any{}
		if err := strvals.ParseIntoString("k="+escapeCommas(value), got); err != nil || got["k"] != value {
			t.Errorf("%q became %q, which Helm reads as %q: %v", value, escapeCommas(value), got, err)
		}
	}
	if got := escapeCommas("{a,b}"); got != "{a,b}" {
		t.Errorf("a list became %q", got)
	}
}

// Helm itself is asked how it merges.
func TestMergeValues(t *testing.T) {
	texts := []string{"a: 1\nb: {c: 2, d: {e: 3}}", "b: {d: {f: 4}, c: null}", "b: 5", "a: {x: [1]}\nb: null", "{}"}
	for _, under := range texts {
		for _, over := range texts {
			a, err := ReadValues([]byte(under))
			if err != nil {
				t.Fatal(err)
			}
			b, err := ReadValues([]byte(over))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(loader.MergeMaps(a, b), MergeValues(a, b)); diff != "" {
				t.Errorf("%s under %s: -Helm +got\n%s", under, over, diff)
			}
			if again, _ := ReadValues([]byte(under)); !cmp.Equal(a, again) {
				t.Errorf("%s was changed", under)
			}
		}
	}
}

func TestReleaseName(t *testing.T) {
	for _, test := range []struct{ own, target, object, want string }{
		{"own", "ns", "o", "own"},
		{"", "ns", "o", "ns-o"},
		{"", "", "o", "o"},
		{"", "", strings.Repeat("x", 53), strings.Repeat("x", 53)},
	} {
		if got := releaseName(test.own, test.target, test.object); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
	long := releaseName("", "", strings.Repeat("x", 54))
	if len(long) != maxReleaseName || long == releaseName("", "", strings.Repeat("x", 55)) {
		t.Errorf("got %s", long)
	}
}

const everything = `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: app, namespace: argocd}
spec:
  destination: {namespace: shop}
  sources:
  - repoURL: https://github.com/x/y
    path: ./a/../charts/web/
    helm:
      releaseName: r
      namespace: own
      kubeVersion: "1.30"
      apiVersions: [v1]
      ignoreMissingValueFiles: true
      valueFiles: [v.yaml, ../v.yaml, /v.yaml, $v/v.yaml, ../../../v.yaml, https://x/v.yaml, $ARGOCD_APP_NAME.yaml]
      values: 'a: 1'
      valuesObject: {a: 12345678901234567890}
      parameters: [{name: p, value: "1,2"}, {name: q, value: "true", forceString: true}, {name: e, value: $ARGOCD_APP_NAME}]
      fileParameters: [{name: f, path: f.txt}]
  - {repoURL: 'https://github.com/x/values', ref: v}
`

func TestDecodeApplication(t *testing.T) {
	renderings, opaque := Decode(object(t, everything), &Sources{})
	if len(renderings) != 1 || len(opaque) != 0 {
		t.Fatalf("got %v, %v", renderings, opaque)
	}
	r := renderings[0]
	var got []string
	for _, f := range r.Release.Files {
		got = append(got, RepositoryName(f.Repository)+":"+f.Path)
	}
	want := []string{"github.com/x/y:charts/web/v.yaml", "github.com/x/y:charts/v.yaml", "github.com/x/y:v.yaml", "github.com/x/values:v.yaml"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var unseen []string
	for _, u := range r.Unseen {
		unseen = append(unseen, u.At.String()+": "+u.Reason)
		if u.Namespace != "shop" {
			t.Errorf("%v is of namespace %q", u, u.Namespace)
		}
	}
	at := "spec.sources[0].helm."
	want = []string{
		at + `valueFiles[4]: file "../../../v.yaml" leads out of the repository`,
		at + `valueFiles[5]: is judged without the file that x/v.yaml has`,
		at + `valueFiles[6]: is judged without the file "$ARGOCD_APP_NAME.yaml", whose name Argo CD completes`,
		at + `parameters[2]: is judged without what Argo CD puts into the parameter e`,
	}
	if diff := cmp.Diff(want, unseen); diff != "" {
		t.Error(diff)
	}
	rel := r.Release
	if r.Folder.Path != "charts/web" || r.Tool != Helm || r.Namespace != "shop" || rel.Name != "r" || rel.Namespace != "own" || rel.KubeVersion != "1.30" || !rel.IgnoreMissing {
		t.Errorf("got %+v", r)
	}
	if diff := cmp.Diff([]string{`p=1\,2`, "e=$ARGOCD_APP_NAME"}, rel.Set); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"q=true"}, rel.SetString); diff != "" {
		t.Error(diff)
	}
	if len(rel.SetFile) != 1 || rel.SetFile[0].Key != "f" || rel.SetFile[0].File.Path != "charts/web/f.txt" {
		t.Errorf("got %+v", rel.SetFile)
	}
	text, err := yaml.Marshal(rel.Values)
	if err != nil || string(text) != "a: 12345678901234567890\n" {
		t.Errorf("got %s, %v", text, err)
	}
}

// Whatever is cut from an object, it is decoded or refused, never more than that.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(everything))
	for _, text := range []string{
		"{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, spec: {chart: {spec: {chart: ./x, sourceRef: {kind: GitRepository}, valuesFiles: [a]}}, values: {a: b}}}",
		"{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, spec: {path: x, sourceRef: {kind: GitRepository}, postBuild: {substitute: {a: b}}}}",
		"{apiVersion: argoproj.io/v1alpha1, kind: Application, spec: {source: {path: x, directory: {include: '{a,[b]*}'}, kustomize: {namespace: x}}}}",
		"{apiVersion: argoproj.io/v1alpha1, kind: ApplicationSet, spec: {generators: [{list: {}}]}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		data, err := yaml.YAMLToJSON(text)
		if err != nil {
			return
		}
		for _, kind := range []string{"argoproj.io/Application", "argoproj.io/ApplicationSet", "helm.toolkit.fluxcd.io/HelmRelease", "kustomize.toolkit.fluxcd.io/Kustomization", "source.toolkit.fluxcd.io/GitRepository"} {
			group, name, _ := strings.Cut(kind, "/")
			c := &evidence.Custom{JSON: data, Ref: &evidence.Ref{APIVersion: group + "/v1", Kind: name}}
			var s Sources
			s.Add(c)
			renderings, opaque := Decode(c, &s)
			for _, r := range renderings {
				if p := r.Folder.Path; p == ".." || strings.HasPrefix(p, "../") || strings.HasPrefix(p, "/") {
					t.Errorf("path %q", p)
				}
				r.Listing.Matcher()("a/b")
				opaque = append(opaque, r.Unseen...)
			}
			for _, o := range opaque {
				if o.Reason == "" {
					t.Error("no reason")
				}
			}
		}
	})
}
