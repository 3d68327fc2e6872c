package system

import (
	"strings"
	"testing"
	"time"
)

// Large files, made of what costs a careless parser most.
func TestHostile(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, maxConfig/4/len(unit)) }
	units := map[string][]string{
		"etc/rsyslog.conf":               {" ", "(", "action(", "action(a=[", "=[", "\"", "*.* @@a:1\n", "& @a ", "}", "\\\n", "$IncludeConfig /etc/*\n", "#", "/*"},
		"etc/syslog-ng/syslog-ng.conf":   {"(", "a{", "a(b)", "log{destination{network(a);};};", "@include \"*\"\n", "'", "\"a\"", "log{destination(a);};destination a{"},
		"etc/fluent-bit/fluent-bit.conf": {"[OUTPUT]\nName es\n", "@INCLUDE *\n", "["},
		"etc/fluent/fluentd.conf":        {"<a>\n", "</a>\n", "<match>\n</match>\n", "@include *\n"},
		"etc/filebeat/filebeat.yml":      {"[", "a.", "- ", "a: {"},
		"etc/vector/vector.toml":         {"[", "a.", "[a.b]\n", "a={", "[[a]]\n"},
		"etc/alloy/config.alloy":         {"loki.write \"a\" {\n", "endpoint {\n", "\"", "//"},
		"etc/containerd/config.toml":     {"[plugins.a]\n", "[", "a = 1\n"},
		"etc/fstab":                      {"/dev/mapper/a /a ext4 rw 0 0\n", " "},
		"etc/sysctl.conf":                {"*.*.* = 1\n", "-"},
	}
	for file, list := range units {
		for _, unit := range list {
			start := time.Now()
			node(map[string]string{file: fill(unit)})
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s full of %q took %v", file, unit, took)
			}
		}
	}
}

// Block devices that lie on each other in a ring and side by side.
func TestRings(t *testing.T) {
	files := map[string]string{"proc/1/mounts": "/dev/dm-0 / ext4 rw 0 0\n"}
	for _, a := range "0123456789" {
		for _, b := range "0123456789" {
			files["sys/block/dm-"+string(a)+"/slaves/dm-"+string(b)+"/x"] = ""
		}
	}
	if f := node(files).System.FileSystems; len(f) != 1 || f[0].Encrypted {
		t.Errorf("%+v", f)
	}
	if h := node(map[string]string{"etc/sysctl.d": "->sysctl.d", "proc": "->/proc", "etc/os-release": "->/etc"}); len(h.Unseen) == 0 {
		t.Error("links that lead nowhere")
	}
}
