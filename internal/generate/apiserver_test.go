package generate_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/generate"
)

var update = flag.Bool("update", false, "write what comes out into the examples")

func usual() generate.APIServer {
	return generate.APIServer{Folder: "/etc/kubernetes/gabion", AuditLog: "/var/log/kubernetes/audit/audit.log"}
}

func TestAPIServerExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/apiserver/*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			example, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := string(example.Files[0].Data)
			p, err := generate.PatchAPIServer([]byte(in), "kube-apiserver.yaml", usual())
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(slices.Concat(p.Changes, []string{"left:"}, p.Left, []string{"files:"}, p.Files), "\n") + "\n"
			if *update {
				example.Files = append(example.Files[:1], txtar.File{Name: "diff", Data: []byte(p.Diff)}, txtar.File{Name: "said", Data: []byte(said)})
				if err := os.WriteFile(file, txtar.Format(example), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(example.Files[1].Data), p.Diff); diff != "" {
				t.Errorf("diff: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(string(example.Files[2].Data), said); diff != "" {
				t.Errorf("said: -want +got\n%s", diff)
			}
		})
	}
}

// What is not understood is refused with the line, and never guessed.
func TestAPIServerRefused(t *testing.T) {
	pod := func(container string) string {
		return "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n" + container
	}
	for name, test := range map[string]struct{ in, want string }{
		"empty":          {"", "one Pod"},
		"not YAML":       {"a: [", ""},
		"another object": {"apiVersion: v1\nkind: Service\n", "one Pod"},
		"two":            {pod("  - command: [kube-apiserver]\n") + "---\napiVersion: v1\nkind: Pod\n", "one Pod"},
		"no API server":  {pod("  - command: [etcd]\n"), "no container runs kube-apiserver"},
		"a shell":        {pod("  - command: [sh, -c, 'exec kube-apiserver --a']\n"), "no container runs kube-apiserver"},
		"a flow list":    {pod("  - command: [kube-apiserver, --a=b]\n"), "line 5"},
		"JSON":           {`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"command":["kube-apiserver","--a=b"]}]}}`, "line 1"},
		"two lines":      {pod("  - command:\n    - kube-apiserver\n    - \"--a=b\n      c\"\n"), "line 7"},
		"an escape":      {pod("  - command:\n    - kube-apiserver\n    - \"--a=\\x41\"\n"), "line 7"},
		"an alias":       {pod("  - name: &n --a\n    command:\n    - kube-apiserver\n    - *n\n"), "line 8"},
		"an anchor":      {pod("  - command:\n    - kube-apiserver\n    - &n --a=b\n"), "line 7"},
		"flow mounts":    {pod("  - command:\n    - kube-apiserver\n    - --a\n    volumeMounts: [{name: a, mountPath: /a}]\n"), "line 8"},
		"empty mounts":   {pod("  - command:\n    - kube-apiserver\n    volumeMounts: []\n"), "line 7"},
		"merged":         {"apiVersion: v1\nkind: Pod\nx: &x\n  command:\n  - kube-apiserver\n  - --a=b\nspec:\n  containers:\n  - <<: *x\n    name: a\n", ""},
		"flow spec":      {"apiVersion: v1\nkind: Pod\nspec: {\n  containers: [ {command: [\nkube-apiserver,\n--a=b\n] } ] }\n", ""},
		"lone returns":   {strings.ReplaceAll(pod("  - command:\n    - kube-apiserver\n    - --a=b\n"), "\n", "\r"), ""},
		"unknown field":  {pod("  - command:\n    - kube-apiserver\n    comand: []\n"), "comand"},
	} {
		p, err := generate.PatchAPIServer([]byte(test.in), "x", usual())
		if err == nil {
			t.Errorf("%s: taken:\n%s", name, p.Text)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	good := pod("  - command:\n    - kube-apiserver\n")
	for _, change := range []func(*generate.APIServer){
		func(o *generate.APIServer) { o.Folder = "" },
		func(o *generate.APIServer) { o.Folder = "etc" },
		func(o *generate.APIServer) { o.Folder = "/etc/a: b" },
		func(o *generate.APIServer) { o.AuditLog = "/audit.log" },
		func(o *generate.APIServer) { o.Admission = "/a/../b" },
		func(o *generate.APIServer) { o.KubeletCA = "/a\nb" },
	} {
		o := usual()
		change(&o)
		if p, err := generate.PatchAPIServer([]byte(good), "x", o); err == nil {
			t.Errorf("%+v is taken:\n%s", o, p.Text)
		}
	}
}

// manifests draws a manifest in one of the ways that people and tools write them,
// and says which of its lines are flags, and which flags are none of our business.
func manifests(t *rapid.T) (text string, flagLines, foreign []string) {
	pick := func(name string, list ...string) string { return rapid.SampledFrom(list).Draw(t, name) }
	deeper := pick("indent", "", "  ")
	var flags []string
	add := func(line string) { flags = append(flags, line) }
	pool := [][]string{
		{"--anonymous-auth=true"}, {"--anonymous-auth=false"}, {`"--anonymous-auth"`},
		{"--authorization-mode=AlwaysAllow"}, {"--authorization-mode=RBAC"}, {"'--authorization-mode=Webhook,RBAC'"}, {"--authorization-mode", "Node,RBAC"}, {"--authorization-mode=ABAC"},
		{"--profiling"}, {"--profiling=true"}, {"--profiling=false # asked for"},
		{"--tls-min-version=VersionTLS10"}, {"--tls-min-version", `"VersionTLS11"`}, {"--tls_min_version=VersionTLS13"},
		{"--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"}, {"--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
		{"--audit-policy-file=/etc/audit/p.yaml"}, {"--audit-log-path=/var/log/a/audit.log"}, {"--audit-log-maxage=0"}, {"--audit-log-maxsize", `"0"`}, {"--audit-log-maxbackup=3"},
		{"--encryption-provider-config=/etc/kubernetes/pki/e.yaml"}, {"--authentication-config=/etc/kubernetes/gabion/a.yaml"}, {"--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt"},
		{"--oidc-issuer-url=https://a.example.org"}, {"--authorization-config=/etc/kubernetes/pki/z.yaml"},
	}
	seen := map[string]bool{}
	for i := range rapid.IntRange(0, 12).Draw(t, "flags") {
		if rapid.Bool().Draw(t, "foreign") {
			name := fmt.Sprintf("--foreign-%d=%s", i, rapid.StringMatching(`[a-z0-9/:.,=-]{1,12}[a-z]`).Draw(t, "value"))
			foreign = append(foreign, name)
			add(pick("quote", name, `"`+name+`"`, "'"+name+"'  # kept"))
			continue
		}
		words := rapid.SampledFrom(pool).Draw(t, "flag")
		if seen[words[0]] {
			continue
		}
		seen[words[0]] = true
		for _, w := range words {
			add(w)
		}
		if rapid.IntRange(0, 5).Draw(t, "comment") == 0 {
			add("#")
		}
	}
	var b strings.Builder
	list := func(lines []string) {
		for _, l := range lines {
			if l == "#" {
				b.WriteString("    # a comment between flags\n\n")
				continue
			}
			b.WriteString("    " + deeper + "- " + l + "\n")
		}
	}
	parts := []func(){
		func() { b.WriteString("    image: kube-apiserver" + pick("tag", "", ":v1.36.3", ":v1.29.1") + "\n") },
		func() {
			b.WriteString("    livenessProbe:\n      httpGet: {path: /livez, port: 6443}\n    # its end\n")
		},
	}
	if rapid.Bool().Draw(t, "args") {
		parts = append(parts, func() { b.WriteString("    command:\n"); list([]string{"/usr/bin/kube-apiserver"}) })
		if len(flags) > 0 {
			parts = append(parts, func() { b.WriteString("    args:\n"); list(flags) })
		}
	} else {
		parts = append(parts, func() {
			b.WriteString("    command: # all of it\n")
			list(append([]string{"kube-apiserver"}, flags...))
		})
	}
	volumes := ""
	if rapid.Bool().Draw(t, "volumes") {
		parts = append(parts, func() {
			b.WriteString("    volumeMounts:\n    # the keys\n    " + deeper + "- mountPath: /etc/kubernetes/pki\n    " + deeper + "  name: pki\n")
		})
		volumes = "  volumes:\n  " + deeper + "- name: pki\n  " + deeper + "  hostPath: {path: /etc/kubernetes/pki}\n"
	}
	parts = rapid.Permutation(parts).Draw(t, "order")
	first := rapid.Bool().Draw(t, "volumes first")
	b.WriteString(pick("head", "", "---\n", "# head\n\n") + "apiVersion: v1\nkind: Pod\nspec:\n")
	if first {
		b.WriteString(volumes)
	}
	b.WriteString("  # what runs\n  containers:\n")
	if rapid.Bool().Draw(t, "sidecar") {
		b.WriteString("  - {name: sidecar, command: [sleep, inf]}\n")
	}
	b.WriteString("  - name: kube-apiserver\n")
	for _, p := range parts {
		p()
	}
	if !first {
		b.WriteString(volumes)
	}
	text = b.String() + pick("tail", "", "status: {}\n", "\n# end\n")
	if rapid.Bool().Draw(t, "no end") {
		text = strings.TrimRight(text, "\n")
	}
	if rapid.Bool().Draw(t, "windows") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text, flags, foreign
}

func TestAPIServerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, flagLines, foreign := manifests(t)
		o := usual()
		if rapid.Bool().Draw(t, "more") {
			o.Admission, o.KubeletCA = "/etc/kubernetes/gabion/admission.yaml", "/etc/kubernetes/pki/ca.crt"
		}
		p, err := generate.PatchAPIServer([]byte(in), "m", o)
		if err != nil {
			t.Fatalf("%v\n%s", err, in)
		}
		again, err := generate.PatchAPIServer([]byte(p.Text), "m", o)
		if err != nil || again.Text != p.Text || again.Diff != "" || len(again.Changes) > 0 || len(again.Files) > 0 {
			t.Fatalf("applied twice: %v\n%+v\n%s", err, again, p.Text)
		}
		patched, removed := applyDiff(t, in, p.Diff)
		if patched != p.Text {
			t.Fatalf("the diff is not the change:\n%s\n-want +got\n%s", p.Diff, cmp.Diff(p.Text, patched))
		}
		for _, line := range removed {
			if !strings.HasSuffix(line, "\n") && strings.Contains(p.Text, line+"\n") {
				continue // the last line: it got an end
			}
			if text := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "-")); !slices.Contains(flagLines, text) {
				t.Fatalf("the line %q is gone or changed\n%s", line, p.Diff)
			}
		}
		judge(t, in, p.Text, foreign)
	})
}

// judge holds the flags before and after against what is promised.
func judge(t *rapid.T, in, out string, foreign []string) {
	before, after := flagsOf(t, in), flagsOf(t, out)
	values := map[string]string{}
	for _, f := range after {
		values[f.name] = f.value
	}
	modes := strings.Split(values["authorization-mode"], ",")
	if values["authorization-config"] == "" {
		if !slices.Contains(modes, "Node") || !slices.Contains(modes, "RBAC") || slices.Contains(modes, "AlwaysAllow") {
			t.Fatalf("modes %v\n%s", modes, out)
		}
		for _, f := range before {
			for mode := range strings.SplitSeq(f.value, ",") {
				if f.name == "authorization-mode" && mode != "AlwaysAllow" && !slices.Contains(modes, mode) {
					t.Fatalf("mode %s is lost\n%s", mode, out)
				}
			}
		}
	}
	hadConfig := slices.ContainsFunc(before, func(g given) bool { return g.name == "authentication-config" })
	if values["authentication-config"] != "" && values["anonymous-auth"] != "" && !hadConfig || values["profiling"] != "false" ||
		!slices.Contains([]string{"VersionTLS12", "VersionTLS13"}, values["tls-min-version"]) || strings.Contains(values["tls-cipher-suites"], "CBC") {
		t.Fatalf("%v\n%s", values, out)
	}
	for _, name := range []string{"audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize"} {
		if n, err := strconv.Atoi(values[name]); err != nil || n <= 0 {
			t.Fatalf("--%s=%s\n%s", name, values[name], out)
		}
	}
	mounts := podOf(t, out).Spec.Containers
	for _, name := range []string{"audit-policy-file", "audit-log-path", "encryption-provider-config"} {
		if !slices.ContainsFunc(mounts[len(mounts)-1].VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.MountPath == values[name] || strings.HasPrefix(values[name], m.MountPath+"/")
		}) {
			t.Fatalf("--%s=%s is not mounted\n%s", name, values[name], out)
		}
	}
	for _, f := range foreign {
		if name, value, _ := strings.Cut(strings.TrimPrefix(f, "--"), "="); values[name] != value {
			t.Fatalf("%s became %q\n%s", f, values[name], out)
		}
	}
}

func podOf(t *rapid.T, text string) *corev1.Pod {
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(text), &pod); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &pod
}

type given struct{ name, value string }

// flagsOf reads flags as the API server's command line does.
func flagsOf(t *rapid.T, text string) (list []given) {
	containers := podOf(t, text).Spec.Containers
	words := slices.Concat(containers[len(containers)-1].Command, containers[len(containers)-1].Args)[1:]
	for i := 0; i < len(words); i++ {
		name, value, has := strings.Cut(strings.TrimPrefix(words[i], "--"), "=")
		name = strings.ReplaceAll(name, "_", "-")
		switch {
		case has:
		case name == "profiling" || name == "anonymous-auth":
			value = "true"
		default:
			i++
			value = words[i]
		}
		at := slices.IndexFunc(list, func(g given) bool { return g.name == name })
		switch {
		case at < 0:
			list = append(list, given{name, value})
		case name == "authorization-mode" || name == "tls-cipher-suites":
			list[at].value += "," + value // all count
		default:
			list[at].value = value // the last counts
		}
	}
	return list
}

// applyDiff does what patch does, and strictly.
func applyDiff(t *rapid.T, text, diff string) (patched string, removed []string) {
	if diff == "" {
		return text, nil
	}
	old := strings.SplitAfter(text, "\n")
	var out strings.Builder
	at := 0
	lines := strings.SplitAfter(diff, "\n")[2:]
	for i, line := range lines {
		if line == "" || line[0] == '\\' {
			continue
		}
		if line[0] == '@' {
			var a, an, b, bn int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &a, &an, &b, &bn); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			for ; at < a-1; at++ {
				out.WriteString(old[at])
			}
			if got := strings.Count(out.String(), "\n"); got != b-1 {
				t.Fatalf("hunk %q begins at line %d", line, got+1)
			}
			continue
		}
		body := line[1:]
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], `\`) {
			body = strings.TrimSuffix(body, "\n")
		}
		if line[0] != '+' {
			if at >= len(old) || old[at] != body {
				t.Fatalf("line %d is not %q\n%s", at+1, body, diff)
			}
			at++
		}
		if line[0] == '-' {
			removed = append(removed, body)
		} else {
			out.WriteString(body)
		}
	}
	out.WriteString(strings.Join(old[at:], ""))
	return out.String(), removed
}

// Nothing panics, and what is accepted is accepted again, unchanged.
func FuzzPatchAPIServer(f *testing.F) {
	files, err := filepath.Glob("testdata/apiserver/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		example, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(example.Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := generate.PatchAPIServer(data, "m", usual())
		if err != nil {
			return
		}
		again, err := generate.PatchAPIServer([]byte(p.Text), "m", usual())
		if err != nil || again.Diff != "" {
			t.Fatalf("applied twice: %v\n%+v\nof\n%s", err, again, p.Text)
		}
	})
}
