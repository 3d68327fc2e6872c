package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A node is called by its name, with what it is for and what set it up.
func TestNodeSource(t *testing.T) {
	source := &evidence.Source{
		Type: "host", Ref: "/mnt/cp\x1b1", Files: 35, Objects: 1, Documents: 3, Node: "cp1",
		Roles: []evidence.Role{evidence.ControlPlane, evidence.EtcdMember}, Distribution: evidence.Kubeadm,
		Errors: []evidence.Issue{{Reason: "a"}, {Reason: "b"}},
	}
	for _, c := range []struct {
		format string
		change func(*evidence.Source)
		want   string
	}{
		{"table", func(*evidence.Source) {}, "  node cp1 (control-plane, etcd; kubeadm): /mnt/cp\\u001b1, 35 files, 2 could not be read\n"},
		{"table", func(s *evidence.Source) { s.Roles = nil }, "  node cp1 (kubeadm): "},
		{"table", func(s *evidence.Source) { s.Distribution = "" }, "  node cp1 (control-plane, etcd): "},
		{"table", func(s *evidence.Source) { s.Roles, s.Distribution = nil, "" }, "  node cp1: "},
		{"markdown", func(*evidence.Source) {}, "- node cp1 (control-plane, etcd; kubeadm): "},
		{"html", func(*evidence.Source) {}, "<h1><bdi>node cp1</bdi></h1>"},
		{"html", func(*evidence.Source) {}, "node cp1 (control-plane, etcd; kubeadm): "},
		{"json", func(*evidence.Source) {}, `"node": "cp1"`},
	} {
		s := *source
		c.change(&s)
		r := &Report{APIVersion: APIVersion, Kind: Kind, Sources: []*evidence.Source{&s}}
		var out bytes.Buffer
		if err := Formats()[c.format](&out, r, Options{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %q is not in\n%.2000s", c.format, c.want, out.String())
		}
	}
}

// A place and a field that do not fit beside each other stand one below the other.
func TestNarrowPlace(t *testing.T) {
	r := &Report{APIVersion: APIVersion, Kind: Kind,
		Recommendations: []Recommendation{{ID: "SEC-03", Status: Fail}},
		Findings: []Finding{{Recommendation: "SEC-03", Path: "kube-apiserver.encryption-provider-config",
			Location: Location{File: "/etc/kubernetes/manifests/kube-apiserver.yaml", Line: 14}}},
	}
	for width, want := range map[int]string{
		0:   "kube-apiserver.yaml:14  kube-apiserver.enc",
		120: "kube-apiserver.yaml:14  kube-apiserver.enc",
		80:  "kube-apiserver.yaml:14\n              kube-apiserver.enc",
	} {
		var out bytes.Buffer
		if err := writeTable(&out, r, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%d columns: %q is not in\n%s", width, want, out.String())
		}
	}
}
