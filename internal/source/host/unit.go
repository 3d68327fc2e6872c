package host

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// unitFolders are where systemd looks for units, the one that wins first.
var unitFolders = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

// unitNames are the services that run components.
var unitNames = []string{
	"kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "cloud-controller-manager", "etcd",
	"containerd", "crio", "cri-o", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "k0scontroller", "k0sworker",
}

// A setting is one assignment of a unit: Key=Value.
type setting struct {
	section, key, value string
	at                  evidence.Position
	// lines are where the lines of a continued value begin.
	lines []lineStart
}

// A lineStart says which line of the file a part of a value stands on.
type lineStart struct{ offset, line int }

// place is where the text at an offset of the value stands.
func (s setting) place(offset int) evidence.Position {
	at := s.at
	for _, l := range s.lines {
		if l.offset <= offset {
			at.Line = l.line
		}
	}
	return at
}

// A unit is a service as systemd has it after all drop-ins.
type unit struct {
	name     string // with .service
	file     string
	enabled  bool
	settings []setting
	unread   string
}

// units reads the services that run components.
func (r *reader) units() (list []*unit) {
	wanted := r.wantedUnits()
	for _, name := range unitNames {
		if u := r.unit(name + ".service"); u != nil {
			u.enabled = wanted == nil || slices.Contains(wanted, u.name)
			list = append(list, u)
		}
	}
	return list
}

// wantedUnits are the units that something starts at boot; nil when that is not
// known, since the tree has no folder that would tell.
func (r *reader) wantedUnits() (names []string) {
	for _, folder := range []string{"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator"} {
		entries, _ := r.tree.ReadDir(folder)
		for _, e := range entries {
			if strings.HasSuffix(e, ".wants") || strings.HasSuffix(e, ".requires") || strings.HasSuffix(e, ".upholds") {
				units, _ := r.tree.ReadDir(path.Join(folder, e))
				names = append(names, units...)
			}
		}
	}
	return names
}

// unit returns the service of that name, nil for one that is not there or masked.
func (r *reader) unit(name string) *unit {
	u := &unit{name: name}
	for _, folder := range unitFolders {
		file := path.Join(folder, name)
		if r.masked(file) {
			return nil
		}
		if r.tree.Stat(file).Type != evidence.Missing {
			u.file = file
			break
		}
	}
	if u.file == "" {
		return nil
	}
	r.unitFile(u, u.file)
	for _, file := range r.dropIns(u) {
		r.unitFile(u, file)
	}
	return u
}

// masked reports whether a unit or a drop-in is switched off: by a link to nothing, or
// by being empty.
func (r *reader) masked(file string) bool {
	if target, err := r.tree.ReadLink(file); err == nil && path.Clean(target) == "/dev/null" {
		return true
	}
	f := r.tree.Stat(file)
	return f.Type == evidence.Regular && f.Size == 0
}

// dropIns are the files that change a unit, in order: by their name, wherever they
// are; of two with the same name the one of the folder that wins.
func (r *reader) dropIns(u *unit) (files []string) {
	names := []string{u.name + ".d"}
	base := strings.TrimSuffix(u.name, ".service")
	for i := len(base) - 1; i > 0; i-- {
		if base[i] == '-' {
			names = append(names, base[:i+1]+".service.d")
		}
	}
	var folders []string
	for _, folder := range unitFolders {
		for _, d := range names {
			folders = append(folders, path.Join(folder, d))
		}
	}
	for _, folder := range unitFolders {
		folders = append(folders, path.Join(folder, "service.d"))
	}
	chosen := map[string]string{}
	for _, dir := range folders {
		entries, why := r.listing(dir)
		if why != "" {
			u.unread = dir + ": " + why
		}
		for _, entry := range entries {
			if strings.HasSuffix(entry, ".conf") && chosen[entry] == "" {
				chosen[entry] = path.Join(dir, entry)
			}
		}
	}
	for _, entry := range slices.Sorted(maps.Keys(chosen)) {
		if !r.masked(chosen[entry]) {
			files = append(files, chosen[entry])
		}
	}
	return files
}

func (r *reader) unitFile(u *unit, file string) {
	data, err := r.read(file)
	if err != nil {
		u.unread = file + ": " + err.Error()
		return
	}
	if !isText(data) {
		u.unread = file + ": " + noText
		r.broken(evidence.Issue{File: file, Reason: noText})
	}
	u.settings = append(u.settings, parseUnit(file, string(data))...)
}

// noText is what is wrong with a file that systemd would not read either.
const noText = "no text, of which settings could be read"

func isText(data []byte) bool { return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 }

// maxSettings bounds the assignments of one file.
const maxSettings = 10_000

// parseUnit reads the assignments of a unit file. Lines that are none are passed
// over, as systemd does.
func parseUnit(file, text string) (list []setting) {
	section := ""
	var current *setting
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && (trimmed[0] == '#' || trimmed[0] == ';') {
			continue
		}
		continued := strings.HasSuffix(line, `\`)
		line = strings.TrimSuffix(line, `\`)
		switch {
		case current != nil:
			current.lines = append(current.lines, lineStart{len(current.value), number})
			current.value += " " + line
		case strings.HasPrefix(trimmed, "["):
			section = strings.Trim(trimmed, "[]")
			continue
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				continue
			}
			if len(list) == maxSettings {
				return list
			}
			list = append(list, setting{
				section: section, key: strings.TrimSpace(key), value: strings.TrimLeft(value, " \t"),
				at: evidence.Position{File: file, Line: number, Column: 1},
			})
			current = &list[len(list)-1]
		}
		if !continued {
			current = nil
		}
	}
	return list
}

// A service is what a unit runs, and with which variables.
type service struct {
	unit *unit
	env  map[string]word
	cmd  command
	user string
}

// service reads the command that a unit starts a component with; false when it
// starts none.
func (r *reader) service(u *unit) (service, bool) {
	s := service{unit: u, env: map[string]word{}}
	var starts, files []setting
	for _, set := range u.settings {
		if set.section != "Service" {
			continue
		}
		switch set.key {
		case "Environment":
			if set.value == "" {
				clear(s.env)
			}
			for _, w := range splitUnit(r.specifiers(u, set)) {
				if name, value, ok := strings.Cut(w.text, "="); ok {
					s.env[name] = word{text: value, at: w.at}
				}
			}
		case "EnvironmentFile":
			if files = append(files, set); set.value == "" {
				files = nil
			}
		case "ExecStart":
			if starts = append(starts, set); strings.TrimSpace(set.value) == "" {
				starts = nil
			}
		case "User":
			s.user = strings.TrimSpace(set.value)
		case "UnsetEnvironment", "PassEnvironment":
			u.unread = set.at.File + ": " + set.key + "= changes what its variables are"
		}
	}
	// What stands in files wins over Environment=.
	for _, set := range files {
		r.environmentFiles(u, set, s.env)
	}
	for _, set := range starts {
		words := expand(splitUnit(r.specifiers(u, executable(set))), s.env, strings.HasPrefix(set.value, ":"))
		cmd, ok := parseCommand(words, s.env)
		if ok {
			s.cmd = cmd
			return s, true
		}
	}
	if u.unread != "" {
		name := strings.TrimSuffix(u.name, ".service")
		s.cmd = command{component: name}
		return s, isProgram(name)
	}
	return s, false
}

// executable is ExecStart= without the signs before the program.
func executable(s setting) setting {
	trimmed := strings.TrimLeft(s.value, "@-:+!| ")
	s.lines = slices.Clone(s.lines)
	for i := range s.lines {
		s.lines[i].offset -= len(s.value) - len(trimmed)
	}
	s.value = trimmed
	return s
}

// environmentFiles reads the variables of EnvironmentFile=, which may be a pattern.
func (r *reader) environmentFiles(u *unit, set setting, env map[string]word) {
	name := strings.TrimSpace(r.specifiers(u, set).value)
	optional := strings.HasPrefix(name, "-")
	name = strings.Trim(strings.TrimPrefix(name, "-"), `"'`)
	files := []string{name}
	if strings.ContainsAny(name, "*?[") {
		files = nil
		for _, entry := range r.list(path.Dir(name)) {
			if ok, _ := path.Match(path.Base(name), entry); ok {
				files = append(files, path.Join(path.Dir(name), entry))
			}
		}
	}
	for _, file := range files {
		data, err := r.read(file)
		switch {
		case err == nil && !isText(data):
			u.unread = file + ": " + noText
			r.broken(evidence.Issue{File: file, Reason: noText})
		case err == nil:
			if line := parseEnvironment(file, string(data), env); line > 0 {
				u.unread = fmt.Sprintf("%s: line %d sets no variable", file, line)
			}
		case !optional || r.tree.Stat(file).Type != evidence.Missing:
			u.unread = file + ": " + err.Error()
		}
	}
}

// parseEnvironment reads NAME=value lines, in which a value may be quoted. It returns
// the first line that is none, 0 when all are.
func parseEnvironment(file, text string, env map[string]word) (wrong int) {
	for line := range joinedLines(text) {
		trimmed := strings.TrimSpace(line.text)
		if trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(trimmed, "export "), "=")
		if name = strings.TrimSpace(name); !ok || !variableName.MatchString(name) {
			wrong = cmp.Or(wrong, line.number)
			continue
		}
		if len(env) >= maxSettings {
			continue
		}
		env[name] = word{text: unquote(strings.TrimSpace(value)), at: evidence.Position{File: file, Line: line.number, Column: 1}}
	}
	return wrong
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// A numbered line of a file.
type numbered struct {
	text   string
	number int
}

// joinedLines yields the lines of a text, those that end in a backslash joined with
// the next.
func joinedLines(text string) func(func(numbered) bool) {
	return func(yield func(numbered) bool) {
		var current numbered
		open, n := false, 0
		for line := range strings.Lines(text) {
			n++
			line = strings.TrimRight(line, "\r\n")
			if !open {
				current = numbered{number: n}
			}
			part, continued := strings.CutSuffix(line, `\`)
			current.text += part
			if open = continued; !open && !yield(current) {
				return
			}
		}
		if open {
			yield(current)
		}
	}
}

// unquote takes the quotes from a value, and the escapes within double quotes.
func unquote(value string) string {
	var out strings.Builder
	quote := byte(0)
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == '\\' && quote != '\'' && i+1 < len(value):
			i++
			out.WriteByte(value[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// splitUnit splits a value into words as systemd does: at blanks, with quotes and
// C's escapes.
func splitUnit(s setting) (words []word) {
	var current strings.Builder
	quote, open, start := byte(0), false, 0
	for i := 0; i < len(s.value); i++ {
		c := s.value[i]
		if !open && c != ' ' && c != '\t' {
			start = i
		}
		switch {
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				words = append(words, word{text: current.String(), at: s.place(start)})
			}
			current.Reset()
			open = false
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case c == '\\' && i+1 < len(s.value):
			i += escape(&current, s.value[i+1:])
			open = true
		default:
			current.WriteByte(c)
			open = true
		}
	}
	if open {
		words = append(words, word{text: current.String(), at: s.place(start)})
	}
	return words
}

// escape writes what a backslash and the text after it stand for, and returns how
// much of the text that was.
func escape(out *strings.Builder, rest string) int {
	if i := strings.IndexByte(`abfnrtvs`, rest[0]); i >= 0 {
		out.WriteByte("\a\b\f\n\r\t\v "[i])
		return 1
	}
	if rest[0] == 'x' && len(rest) >= 3 {
		if n, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
			out.WriteByte(byte(n))
			return 3
		}
	}
	if !strings.ContainsRune(`\"'`, rune(rest[0])) {
		out.WriteByte('\\')
	}
	out.WriteByte(rest[0])
	return 1
}

// expand replaces variables in the words of a command: $NAME, alone in a word, by
// the words of the value, ${NAME} by the value. A command marked with : is taken as
// it stands.
func expand(words []word, env map[string]word, verbatim bool) (out []word) {
	for _, w := range words {
		switch {
		case verbatim:
			out = append(out, w)
		case len(w.text) > 1 && w.text[0] == '$' && w.text[1] != '{' && w.text[1] != '$':
			value := env[w.text[1:]]
			for _, part := range splitUnit(setting{value: value.text, at: value.at}) {
				out = append(out, word{text: part.text, at: value.at})
			}
		default:
			out = append(out, braces(w, env))
		}
		if len(out) > maxWords {
			return out
		}
	}
	return out
}

// braces replaces ${NAME} and $$ in a word. A word that is nothing but a variable
// stands where the variable is set.
func braces(w word, env map[string]word) word {
	var out strings.Builder
	at, rest := w.at, w.text
	for {
		before, after, more := strings.Cut(rest, "$")
		out.WriteString(before)
		if !more {
			return word{text: out.String(), at: at}
		}
		name, tail, closed := strings.Cut(strings.TrimPrefix(after, "{"), "}")
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			rest = after[1:]
		case strings.HasPrefix(after, "{") && closed:
			value, known := env[name]
			out.WriteString(value.text)
			if known && w.text == "${"+name+"}" {
				at = value.at
			}
			rest = tail
		default:
			out.WriteByte('$')
			rest = after
		}
		if out.Len() > maxFile {
			return word{text: out.String(), at: at}
		}
	}
}

// specifiers replaces systemd's %-signs in a value. One that only the running system
// could tell leaves the unit partly unread.
func (r *reader) specifiers(u *unit, s setting) setting {
	if !strings.Contains(s.value, "%") {
		return s
	}
	name := strings.TrimSuffix(u.name, ".service")
	known := map[byte]string{
		'%': "%", 'n': u.name, 'N': name, 'p': name, 'i': "", 't': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log",
		'E': "/etc", 'T': "/tmp", 'V': "/var/tmp", 'u': "root", 'U': "0", 'g': "root", 'G': "0", 'h': "/root", 's': "/bin/sh",
	}
	var out strings.Builder
	shift := 0
	lines := slices.Clone(s.lines)
	for i := 0; i < len(s.value); i++ {
		if s.value[i] != '%' || i+1 == len(s.value) {
			out.WriteByte(s.value[i])
			continue
		}
		i++
		value, ok := known[s.value[i]]
		switch {
		case ok:
		case s.value[i] == 'H' || s.value[i] == 'l':
			value = r.hostname()
		case !strings.ContainsRune("aAbBdDfIjJmMoPqvwWyY", rune(s.value[i])):
			value = s.value[i-1 : i+1] // no specifier: left as it is
		default:
			u.unread = s.at.File + ": what %" + s.value[i:i+1] + " stands for only the running system knows"
			value = "%" + s.value[i:i+1]
		}
		out.WriteString(value)
		shift = out.Len() - (i + 1)
		for j, l := range s.lines {
			if l.offset > i {
				lines[j].offset = l.offset + shift
			}
		}
	}
	s.value, s.lines = out.String(), lines
	return s
}
