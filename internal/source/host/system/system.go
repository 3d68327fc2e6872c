// Package system reads what is below Kubernetes on a node: the operating system, the
// kernel's settings, its security modules and packet filter, packages, mounts, the
// container runtime's and the network plugins' configuration, and what becomes of the
// node's logs.
//
// It reads files, and on the node itself asks the kernel for the packet filter's rules. It
// follows each program's own order of files. What a program
// would take otherwise than this package understands is said to be not understood.
// It judges nothing, and keeps no credential.
package system

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

const (
	maxConfig   = 1 << 20  // bytes of a configuration file
	maxDatabase = 32 << 20 // bytes of a database of packages
	maxDump     = 16 << 20 // bytes of the rules of a packet filter
	maxIncluded = 500      // files that one program's configuration consists of
)

// A reader is one look at a node.
type reader struct {
	t      *tree.Tree
	h      *evidence.Host
	unseen map[evidence.Aspect]string
}

// Read fills in what is below Kubernetes: System, Logging and Firewall of the host,
// the options of its container runtimes, and in Unseen what of it could not be read.
// The components must be there already.
func Read(t *tree.Tree, h *evidence.Host) {
	r := &reader{t: t, h: h, unseen: map[evidence.Aspect]string{}}
	r.operatingSystem()
	r.users()
	r.disks()
	r.networks()
	r.sysctls()
	r.securityModules()
	r.seccompProfiles()
	r.packages()
	r.runtimes()
	r.versions()
	r.cni()
	r.firewall(r.inForce)
	r.logging()
	if h.Unseen == nil {
		h.Unseen = map[evidence.Aspect]string{}
	}
	for aspect, why := range r.unseen {
		h.Unseen[aspect] = why
	}
}

// miss records why an aspect was not wholly seen; the first reason stays.
func (r *reader) miss(a evidence.Aspect, format string, args ...any) {
	if _, told := r.unseen[a]; !told {
		r.unseen[a] = fmt.Sprintf(format, args...)
	}
}

// read returns a configuration file. One that is not there is no error.
func (r *reader) read(file string) (data []byte, there bool, err error) {
	data, err = r.t.ReadFile(file, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("%s: %w", file, err)
	}
	return data, true, nil
}

// word returns the content of a file of one line, "" when it cannot be read.
func (r *reader) word(file string) string {
	data, err := r.t.ReadFile(file, 1<<12)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// is reports whether something of a type is at a path.
func (r *reader) is(file string, what evidence.FileType) bool { return r.t.Stat(file).Type == what }

// first returns the first of some files that is there, "" for none.
func (r *reader) first(files ...string) string {
	for _, f := range files {
		if r.is(f, evidence.Regular) {
			return f
		}
	}
	return ""
}

// names returns what is in a folder; one that is not there is empty.
func (r *reader) names(dir string) ([]string, error) {
	names, err := r.t.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return names, fmt.Errorf("%s: %w", dir, err)
	}
	return names, nil
}

// glob returns the files that a pattern names, sorted. Only the last part of the path
// may have wildcards.
func (r *reader) glob(pattern string) ([]string, error) {
	dir, base := path.Split(pattern)
	if !strings.ContainsAny(base, "*?[") {
		return []string{pattern}, nil
	}
	if strings.ContainsAny(dir, "*?[") {
		return nil, fmt.Errorf("%s: wildcards in the name of a folder are not understood", pattern)
	}
	names, err := r.names(path.Clean(dir))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range names {
		if ok, err := path.Match(base, name); err == nil && ok && !(strings.HasPrefix(name, ".") && base[0] != '.') {
			files = append(files, path.Join(dir, name))
		}
	}
	return files, nil
}

// The folders in which systemd's programs look for configuration, the one that wins
// first.
func systemdFolders() []string { return []string{"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"} }

// dropIns returns the files *.conf of a folder's name below several parents in the
// order in which they apply: by name, and of those of one name only that of the
// foremost parent (systemd.unit(5), sysctl.d(5)). One that is empty or leads to
// /dev/null hides the others and says nothing.
func (r *reader) dropIns(parents []string, folder string) ([]string, error) {
	where := map[string]string{}
	var names []string
	for _, parent := range parents {
		dir := path.Join(parent, folder)
		list, err := r.names(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range list {
			if _, hidden := where[name]; !hidden && strings.HasSuffix(name, ".conf") {
				where[name] = path.Join(dir, name)
				names = append(names, name)
			}
		}
	}
	if len(names) > maxIncluded {
		return nil, fmt.Errorf("%s: more than %d files", folder, maxIncluded)
	}
	slices.Sort(names)
	files := make([]string, 0, len(names))
	for _, name := range names {
		if r.is(where[name], evidence.Regular) {
			files = append(files, where[name])
		}
	}
	return files, nil
}

// A line is a line of text with its number, blanks around it removed.
type line struct {
	number int
	text   string
}

// lines returns the lines that are neither blank nor a comment.
func lines(data []byte, comments string) []line {
	var list []line
	number := 0
	for raw := range bytes.Lines(data) {
		number++
		text := strings.TrimSpace(string(raw))
		if text != "" && !strings.ContainsRune(comments, rune(text[0])) {
			list = append(list, line{number, text})
		}
	}
	return list
}

// assignments reads lines of the form KEY=VALUE.
func assignments(file string, data []byte) map[string]evidence.Setting {
	settings := map[string]evidence.Setting{}
	for _, l := range lines(data, "#;") {
		if key, value, ok := strings.Cut(l.text, "="); ok {
			settings[strings.TrimSpace(key)] = evidence.Setting{
				Value: unquote(strings.TrimSpace(value)),
				Place: evidence.Position{File: file, Line: l.number},
			}
		}
	}
	return settings
}

// unquote removes quotes around a value.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
