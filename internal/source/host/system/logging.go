package system

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A program is a log daemon or agent: how it is recognised and read.
type program struct {
	name    string   // of the daemon
	units   []string // its services
	process []string // as the kernel names its processes, which it cuts to 15 characters
	files   []string // its configuration, the first that is there counts
	flags   []string // of its command line that name another file
	read    func(*daemonReader)
}

func programs() []program {
	return []program{
		{"rsyslog", []string{"rsyslog", "syslog"}, []string{"rsyslogd"}, []string{"/etc/rsyslog.conf"}, []string{"-f"}, (*daemonReader).rsyslog},
		{"syslog-ng", []string{"syslog-ng", "syslog-ng@default"}, []string{"syslog-ng"}, []string{"/etc/syslog-ng/syslog-ng.conf"}, []string{"-f", "--cfgfile"}, (*daemonReader).syslogNG},
		{"auditd", []string{"auditd"}, []string{"auditd"}, []string{"/etc/audit/auditd.conf"}, nil, (*daemonReader).auditd},
		{"fluent-bit", []string{"fluent-bit", "td-agent-bit"}, []string{"fluent-bit", "td-agent-bit"},
			[]string{"/etc/fluent-bit/fluent-bit.yaml", "/etc/fluent-bit/fluent-bit.conf", "/etc/td-agent-bit/td-agent-bit.conf"}, []string{"-c", "--config"}, (*daemonReader).fluentBit},
		{"fluentd", []string{"fluentd", "td-agent"}, []string{"fluentd", "td-agent"},
			[]string{"/etc/fluent/fluentd.conf", "/etc/fluent/fluent.conf", "/etc/td-agent/td-agent.conf"}, []string{"-c", "--config"}, (*daemonReader).fluentd},
		{"vector", []string{"vector"}, []string{"vector"},
			[]string{"/etc/vector/vector.yaml", "/etc/vector/vector.toml", "/etc/vector/vector.json"}, []string{"-c", "--config", "--config-yaml", "--config-toml"}, (*daemonReader).vector},
		{"filebeat", []string{"filebeat"}, []string{"filebeat"}, []string{"/etc/filebeat/filebeat.yml"}, []string{"-c"}, (*daemonReader).filebeat},
		{"promtail", []string{"promtail"}, []string{"promtail"}, []string{"/etc/promtail/config.yml", "/etc/promtail/config.yaml"}, []string{"-config.file", "--config.file"}, (*daemonReader).promtail},
		{"alloy", []string{"alloy"}, []string{"alloy"}, []string{"/etc/alloy/config.alloy"}, nil, (*daemonReader).alloy},
		{"systemd-journal-upload", []string{"systemd-journal-upload"}, []string{"systemd-journal"}, nil, nil, (*daemonReader).journalUpload},
	}
}

// logging reads what the node does with its logs.
func (r *reader) logging() {
	r.journald()
	seen, wanted := r.processes(), r.wanted()
	for _, p := range programs() {
		if d := r.daemon(p, seen, wanted); d != nil {
			r.h.Logging.Daemons = append(r.h.Logging.Daemons, *d)
		}
	}
	if r.h.Logging.Journald != nil || len(r.h.Logging.Daemons) > 0 {
		return
	}
	switch {
	case r.osRelease() == "":
		r.miss(evidence.TheLogging, "/etc/os-release is not there: what was read is not a node's whole file system")
	case !r.hasPrograms():
		r.miss(evidence.TheLogging, "there is neither /usr/lib nor /usr/sbin: which programs keep logs was not among what was read")
	}
}

// hasPrograms reports whether the node's programs are among what was read.
func (r *reader) hasPrograms() bool {
	for _, dir := range []string{"/usr/lib", "/usr/sbin", "/sbin", "/usr/local"} {
		if r.is(dir, evidence.Directory) {
			return true
		}
	}
	return false
}

func (r *reader) journald() {
	l := &r.h.Logging
	l.PersistentJournal = r.is("/var/log/journal", evidence.Directory)
	settings, found, err := r.systemdConfig("journald.conf", "Journal")
	if err != nil {
		r.miss(evidence.TheLogging, "%v", err)
	}
	if found || r.first("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald") != "" {
		l.Journald = settings
	}
}

// systemdConfig reads a configuration file of a program of systemd and its drop-ins
// (journald.conf(5)): one section of it, where of a setting given twice the last one
// counts.
func (r *reader) systemdConfig(name, section string) (settings map[string]evidence.Setting, found bool, err error) {
	settings = map[string]evidence.Setting{}
	var parents, files []string
	for _, parent := range systemdFolders() {
		parents = append(parents, parent+"/systemd")
	}
	for _, parent := range parents {
		if file := path.Join(parent, name); r.is(file, evidence.Regular) {
			files = append(files, file)
			break
		}
	}
	dropIns, err := r.dropIns(parents, name+".d")
	for _, file := range append(files, dropIns...) {
		data, _, failed := r.read(file)
		if failed != nil {
			err = failed
			continue
		}
		in := ""
		for _, l := range lines(data, "#;") {
			if l.text[0] == '[' {
				in = strings.Trim(l.text, "[]")
				continue
			}
			if key, value, ok := strings.Cut(l.text, "="); ok && in == section {
				settings[strings.TrimSpace(key)] = evidence.Setting{Value: strings.TrimSpace(value), Place: evidence.Position{File: file, Line: l.number}}
			}
		}
	}
	return settings, len(files)+len(dropIns) > 0, err
}

const maxProcesses = 1 << 16

// A running program is one that a process of a name was seen of.
type running struct {
	pid string
	pod bool
}

// processes finds the log daemons that run, by the name that the kernel has of them.
// One of the node itself wins over one in a pod.
func (r *reader) processes() map[string]running {
	wanted := map[string]bool{}
	for _, p := range programs() {
		for _, name := range p.process {
			wanted[name] = true
		}
	}
	seen := map[string]running{}
	names, _ := r.names("/proc")
	for i, pid := range names {
		if _, err := strconv.Atoi(pid); err != nil || i > maxProcesses {
			continue
		}
		comm := r.word("/proc/" + pid + "/comm")
		if !wanted[comm] {
			continue
		}
		if comm == "systemd-journal" && !strings.Contains(r.word("/proc/"+pid+"/cmdline"), "journal-upload") {
			continue // journald's name is cut to the same
		}
		pod := strings.Contains(r.word("/proc/"+pid+"/cgroup"), "kubepods")
		if before, ok := seen[comm]; !ok || before.pod {
			seen[comm] = running{pid, pod}
		}
	}
	return seen
}

// wanted returns the units that folders *.wants and *.requires of systemd name: those
// that it starts unless they are masked.
func (r *reader) wanted() map[string]bool {
	units := map[string]bool{}
	for _, parent := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		dirs, _ := r.names(parent)
		for _, dir := range dirs {
			if strings.HasSuffix(dir, ".wants") || strings.HasSuffix(dir, ".requires") {
				names, _ := r.names(path.Join(parent, dir))
				for _, name := range names {
					units[name] = true
				}
			}
		}
	}
	return units
}

// enabled reports whether one of some services is wanted and not masked.
func (r *reader) enabled(services []string, wanted map[string]bool) bool {
	return slices.ContainsFunc(services, func(name string) bool {
		target, _ := r.t.ReadLink("/etc/systemd/system/" + name + ".service")
		return wanted[name+".service"] && target != "/dev/null"
	})
}

// daemon reads one log daemon, nil when nothing of it is there.
func (r *reader) daemon(p program, seen map[string]running, wanted map[string]bool) *evidence.LogDaemon {
	d := &daemonReader{reader: r, daemon: &evidence.LogDaemon{Name: p.name}, seen: map[string]bool{}}
	var process running
	for _, name := range p.process {
		if found, ok := seen[name]; ok {
			process = found
		}
	}
	d.daemon.Running = process.pid != "" || r.enabled(p.units, wanted)
	file := r.first(p.files...)
	if process.pid != "" && !process.pod {
		if named := r.commandLineFile(process.pid, p.flags); named != "" {
			file = named
		}
	}
	d.daemon.Place.File = file
	switch {
	case file != "":
		d.file = file
		p.read(d)
	case p.files == nil:
		if p.read(d); d.daemon.Place.File == "" && !d.daemon.Running {
			return nil
		}
	case process.pod:
		d.fail("it runs in a pod: its configuration is not among the node's files")
	case d.daemon.Running:
		d.fail("it runs, and its configuration is not at %s", strings.Join(p.files, " or "))
	default:
		return nil
	}
	return d.daemon
}

// commandLineFile is the configuration file that a process was started with.
func (r *reader) commandLineFile(pid string, flags []string) string {
	args := strings.Split(r.word("/proc/"+pid+"/cmdline"), "\x00")
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		if !slices.Contains(flags, name) {
			continue
		}
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		if path.IsAbs(value) {
			return value
		}
	}
	return ""
}

// A daemonReader reads the configuration of one log daemon.
type daemonReader struct {
	*reader
	daemon *evidence.LogDaemon
	file   string
	seen   map[string]bool
}

// fail records what was not understood; the first reason stays.
func (d *daemonReader) fail(format string, args ...any) {
	if d.daemon.Error == "" {
		d.daemon.Error = fmt.Sprintf(format, args...)
	}
}

const maxOutputs = 200 // of one daemon

func (d *daemonReader) output(o evidence.LogOutput) {
	if len(d.daemon.Outputs) == maxOutputs {
		d.fail("more than %d outputs", maxOutputs)
		return
	}
	o.Target = evidence.WithoutPassword(o.Target)
	if at := strings.LastIndexByte(o.Target, '@'); at >= 0 && !strings.Contains(o.Target, "://") {
		o.Target = o.Target[at+1:]
	}
	d.daemon.Outputs = append(d.daemon.Outputs, o)
}

// load reads a file of the configuration, once; nil when there is nothing to read.
func (d *daemonReader) load(file string) []byte {
	if d.seen[file] {
		return nil
	}
	if len(d.seen) == maxIncluded {
		d.fail("more than %d files", maxIncluded)
		return nil
	}
	d.seen[file] = true
	data, there, err := d.read(file)
	switch {
	case err != nil:
		d.fail("%v", err)
	case !there:
		d.fail("%s is not there", file)
	}
	return data
}

// included returns the files that an include in a file names.
func (d *daemonReader) included(from, pattern string) []string {
	if strings.ContainsAny(pattern, "$`") {
		d.fail("%s includes %s, which a variable decides", from, pattern)
		return nil
	}
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(from), pattern)
	}
	files, err := d.glob(pattern)
	if err != nil {
		d.fail("%v", err)
	}
	return files
}

// hostPort joins a host and a port, which may be "".
func hostPort(host, port string) string {
	if port == "" || host == "" {
		return host
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// urlOutput is what the URL of a target says. A URL without a scheme says nothing of
// TLS. Users and passwords in it are left out.
func urlOutput(url string) evidence.LogOutput {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		scheme, rest = "", url
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	o := evidence.LogOutput{Target: rest, Protocol: strings.ToLower(scheme)}
	switch o.Protocol {
	case "https":
		o.Protocol, o.TLS = "http", new(true)
	case "http":
		o.TLS = new(false)
	}
	return o
}

// boolean reads a switch as configurations write it; nil for what is none, such as a
// variable.
func boolean(text string) *bool {
	switch strings.ToLower(text) {
	case "on", "yes", "true", "1", "enable", "enabled":
		return new(true)
	case "off", "no", "false", "0", "disable", "disabled", "":
		return new(false)
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// settled drops what is said of the verification of a connection without TLS: there is
// nothing to verify.
func settled(o evidence.LogOutput) evidence.LogOutput {
	if o.TLS != nil && !*o.TLS {
		o.Verified = nil
	}
	return o
}
