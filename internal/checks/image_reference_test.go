package checks

import (
	"strings"
	"testing"
)

func TestParseImage(t *testing.T) {
	const hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for image, want := range map[string]imageReference{
		"nginx":                                          {"docker.io", "library/nginx", "", ""},
		"nginx:1.29":                                     {"docker.io", "library/nginx", "1.29", ""},
		"docker.io/nginx":                                {"docker.io", "library/nginx", "", ""},
		"index.docker.io/grafana/grafana:12":             {"docker.io", "grafana/grafana", "12", ""},
		"grafana/grafana":                                {"docker.io", "grafana/grafana", "", ""},
		"localhost/web":                                  {"localhost", "web", "", ""},
		"registry:5000/web":                              {"registry:5000", "web", "", ""},
		"registry.example.com:5000/a/b/c:v1":             {"registry.example.com:5000", "a/b/c", "v1", ""},
		"registry.example.com/web@sha256:" + hex:         {"registry.example.com", "web", "", "sha256:" + hex},
		"registry.example.com:5000/web:v1@sha256:" + hex: {"registry.example.com:5000", "web", "v1", "sha256:" + hex},
		"REGISTRY/web":                                   {"REGISTRY", "web", "", ""},
		"[fd00::1]:5000/web:v1":                          {"[fd00::1]:5000", "web", "v1", ""},
		"registry.example.com/a_b":                       {"registry.example.com", "a_b", "", ""},
	} {
		got, ok := parseImage(image)
		if !ok || got != want {
			t.Errorf("parseImage(%q) = %+v, %v; want %+v", image, got, ok, want)
		}
	}
	for _, image := range []string{
		"", " ", "nginx ", "{{ .Values.image }}", "${IMAGE}", "$(IMAGE)", "<image>", "ko://example.com/web", "nginx:", "nginx@",
		"nginx@sha256:1234", "nginx:ta g", "nginx:" + strings.Repeat("a", 129), "a//b", "/web", "web/", "registry.example.com/Web",
		"nginx:-1", "@sha256:" + hex,
	} {
		if got, ok := parseImage(image); ok {
			t.Errorf("parseImage(%q) = %+v; want none", image, got)
		}
	}
}

func FuzzParseImage(f *testing.F) {
	for _, seed := range []string{"nginx", "a.b:1/c:d@sha256:", "::", "[::1]/x", "@@", "a/b/c:d:e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, image string) {
		ref, ok := parseImage(image)
		if !ok {
			return
		}
		again := ref.registry + "/" + ref.repository
		if ref.tag != "" {
			again += ":" + ref.tag
		}
		if ref.digest != "" {
			again += "@" + ref.digest
		}
		if got, ok := parseImage(again); !ok || got != ref {
			t.Errorf("parseImage(%q) = %+v, but parseImage(%q) = %+v, %v", image, ref, again, got, ok)
		}
	})
}
