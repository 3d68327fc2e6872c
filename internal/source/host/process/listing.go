package process

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// Texts that were put into the tree for Gabion where it has no /proc.
const (
	PsText       = "/gabion/ps.txt"       // ps -eo pid,user,args, ps -ef, ps aux
	CmdlinesText = "/gabion/cmdlines.txt" // one command line a line
	SsText       = "/gabion/ss.txt"       // ss -tulnp
	NetstatText  = "/gabion/netstat.txt"  // netstat -tulpn
)

// Folders of a sosreport in which it keeps what programs printed.
const (
	sosProcesses = "/sos_commands/process"
	sosSockets   = "/sos_commands/networking"
)

const (
	maxListing  = 16 << 20 // bytes of what a program printed
	maxListed   = 100_000  // lines of it that are looked at
	widestKnown = 512      // columns of a terminal, and more than any has
)

// gathered are the texts of some files, and of those of a folder whose names begin with
// a prefix, as far as they are there.
func gathered(t *tree.Tree, files []string, folder string, prefixes ...string) (list []text) {
	names, _ := t.ReadDir(folder)
	for _, prefix := range prefixes {
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				files = append(files, folder+"/"+name)
			}
		}
	}
	const most = 20
	for _, file := range files[:min(len(files), most)] {
		if data, err := t.ReadFile(file, maxListing); err == nil && len(strings.TrimSpace(string(data))) > 0 {
			list = append(list, text{file, string(data)})
		}
	}
	return list
}

// A text is what a program printed into a file.
type text struct{ file, content string }

// A listing is what runs as such a text tells.
type listing struct {
	file      string
	processes []*Process
	// names is set where only the names of programs are told.
	names bool
}

// listed reads what runs from texts, where there is no /proc: of several that which
// tells the most.
func (table *Table) listed(t *tree.Tree, wanted func(*Process) bool) (running []*Process) {
	var best *listing
	var list []*Process
	most := -1
	for _, found := range gathered(t, []string{PsText, CmdlinesText}, sosProcesses, "ps_aux", "ps_alx", "ps_") {
		l := parseListing(found)
		if l == nil {
			continue
		}
		whole := 0
		var these []*Process
		for _, p := range l.processes {
			if wanted(p) {
				these = append(these, p)
				if p.Hidden == "" && p.Cut == "" {
					whole++
				}
			}
		}
		if whole > most {
			best, list, most = l, these, whole
		}
	}
	if best == nil {
		return nil
	}
	table.Processes = list
	switch first := slices.ContainsFunc(best.processes, func(p *Process) bool { return p.PID == 1 }); {
	case best.names:
		table.Unseen[evidence.TheProcesses] = best.file + ": only the names of what runs are told, not with which arguments (ps -eo pid,user,args)"
	case !first:
		table.Unseen[evidence.TheProcesses] = best.file + ": not all that runs is told: the first process is missing (ps -eo pid,user,args)"
	}
	return best.processes
}

// The columns that ps prints by default, for texts without the line that names them.
func headings() [][]string {
	return [][]string{
		strings.Fields("USER PID PPID C STIME TTY TIME CMD"),
		strings.Fields("USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
		strings.Fields("PID USER COMMAND"),
		strings.Fields("PID COMMAND"),
		{"COMMAND"},
	}
}

var (
	headingWord = regexp.MustCompile(`^[%A-Z][%A-Z0-9_+-]*$`)
	userName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*[$+]?$`)
	clock       = regexp.MustCompile(`^(?:\d+-)?\d+:\d\d(?::\d\d)?$`)
	weekday     = regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)$`)
	month       = regexp.MustCompile(`^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$`)
	branch      = regexp.MustCompile(`^[ |]*\\_ `)
)

// parseListing reads what ps prints, nil for what is none of it.
func parseListing(from text) *listing {
	lines := strings.Split(from.content, "\n")
	lines = lines[:min(len(lines), maxListed)]
	first := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) != "" })
	if first < 0 || !utf8.ValidString(from.content) {
		return nil
	}
	columns := strings.Fields(lines[first])
	if isHeading(columns) {
		return newListing(from.file, lines, first+1, columns)
	}
	for _, columns := range headings() {
		if l := newListing(from.file, lines, first, columns); l != nil && l.fits(lines) {
			return l
		}
	}
	return nil
}

func isHeading(words []string) bool {
	for _, w := range words {
		if !headingWord.MatchString(w) {
			return false
		}
	}
	last := words[len(words)-1]
	return last == "COMMAND" || last == "CMD" || last == "ARGS"
}

// newListing reads the lines from the first on. Of threads only that of the process is
// told by its arguments; the kernel's own are in brackets.
func newListing(file string, lines []string, first int, columns []string) *listing {
	l := &listing{file: file, names: true}
	widest, times, ended := 0, 0, true
	seen := map[int]bool{}
	for i, line := range lines[first:] {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		switch width := utf8.RuneCountInString(line); {
		case width > widest:
			widest, times = width, 1
		case width == widest:
			times++
		}
		ended = ended && strings.HasSuffix(line, " ")
		p, command, ok := parseLine(line, columns)
		if !ok || command == "" || command[0] == '[' || command == "-" || p.PID != 0 && seen[p.PID] {
			continue
		}
		seen[p.PID] = true
		p.At = evidence.Position{File: file, Line: first + i + 1}
		p.Args = strings.Fields(command)
		l.names = l.names && !slices.ContainsFunc(p.Args[1:], func(a string) bool { return strings.HasPrefix(a, "-") })
		l.processes = append(l.processes, p)
	}
	for _, p := range l.processes {
		if l.names {
			p.Comm, p.Args = p.Args[0], nil
			p.Hidden = "only its name is told"
			continue
		}
		// Lines that a terminal cut are all of one length. Those of /proc's command lines
		// end in the blank that stands for the last zero byte.
		width := utf8.RuneCountInString(strings.TrimSuffix(lines[p.At.Line-1], "\r"))
		if width == widest && (times > 1 || widest <= widestKnown) && !(len(columns) == 1 && ended) {
			p.Cut = "the line may be cut (ps -ww)"
		}
	}
	return l
}

// parseLine takes a line apart: all but the last column are words.
func parseLine(line string, columns []string) (p *Process, command string, ok bool) {
	p = &Process{UID: -1}
	rest := line
	next := func() string {
		rest = strings.TrimLeft(rest, " \t")
		n := strings.IndexAny(rest, " \t")
		if n < 0 {
			n = len(rest)
		}
		word := rest[:n]
		rest = rest[n:]
		return word
	}
	for _, column := range columns[:len(columns)-1] {
		word := next()
		switch column {
		case "PID":
			pid, err := strconv.Atoi(word)
			if err != nil || pid <= 0 {
				return p, "", false
			}
			p.PID = pid
		case "USER", "EUSER", "RUSER", "UID", "EUID":
			p.User = word
			if uid, err := strconv.Atoi(word); err == nil && uid >= 0 {
				p.UID = uid
			} else if word == "root" {
				p.UID = 0
			}
		case "STARTED": // 07:37:43, Nov 23, or Mon Nov 23 07:37:43 2026
			more := 0
			switch {
			case weekday.MatchString(word):
				more = 4
			case month.MatchString(word):
				more = 1
			}
			for range more {
				next()
			}
		}
		if word == "" {
			return p, "", false
		}
	}
	rest = branch.ReplaceAllString(rest, "")
	return p, strings.TrimSpace(rest), true
}

// fits reports whether a text without a line that names the columns is of those that it
// was read by: all lines are.
func (l *listing) fits(lines []string) bool {
	filled := 0
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			filled++
		}
	}
	byUser := slices.ContainsFunc(l.processes, func(p *Process) bool { return p.User != "" })
	if !byUser {
		return len(l.processes) > 0 && (l.processes[0].PID == 0 || len(l.processes) == filled)
	}
	root := false
	for _, p := range l.processes {
		root = root || p.User == "root" || p.User == "0"
		if !userName.MatchString(p.User) {
			return false
		}
		words := strings.Fields(lines[p.At.Line-1])
		if words[0] == p.User && !slices.ContainsFunc(words, clock.MatchString) {
			return false // all sets of columns that begin with the user tell the time it has run
		}
	}
	return root
}
