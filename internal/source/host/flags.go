package host

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A word is one argument of a command line, and where it is written.
type word struct {
	text string
	at   evidence.Position
	// unknown is a variable in it that is set nowhere on the node, as it is written.
	unknown string
}

// A command is a component's command line, with what of it could not be read.
type command struct {
	component string
	args      []word // without the program
	unread    string
}

// programs are the names that components' programs have.
var programs = []string{
	evidence.APIServer, evidence.ControllerManager, evidence.CloudControllerManager, evidence.Scheduler,
	evidence.Etcd, evidence.Kubelet, evidence.KubeProxy, evidence.Containerd, evidence.CRIO,
}

// wholes are programs that run several components in one process, by their name and
// first argument. Their names as components are those of their units.
var wholes = map[string]map[string]string{
	"k3s":  {"server": "k3s", "agent": "k3s-agent"},
	"rke2": {"server": "rke2-server", "agent": "rke2-agent"},
	"k0s":  {"controller": "k0scontroller", "worker": "k0sworker"},
}

// hyperkubes are programs whose first argument is the name of the component to be.
var hyperkubes = []string{"hyperkube", "kubernetes"}

// wrappers are programs that run the command that follows their own flags.
var wrappers = []string{"exec", "env", "go-runner", "tini", "dumb-init", "nice", "ionice", "nohup", "numactl", "taskset", "chrt"}

var shells = []string{"sh", "bash", "dash", "ash"}

// maxWords bounds the words of a command line that are looked at.
const maxWords = 4096

// parseCommand says which component a command line runs, and with which arguments;
// false for what runs none. env gives the variables that a shell would replace.
func parseCommand(words []word, env map[string]word) (command, bool) {
	if len(words) > maxWords {
		words = words[:maxWords]
	}
	if len(words) == 0 {
		return command{}, false
	}
	name, rest := path.Base(words[0].text), words[1:]
	switch {
	case isProgram(name):
		return command{component: name, args: rest}, true
	case wholes[name] != nil:
		if len(rest) > 0 && wholes[name][rest[0].text] != "" {
			return command{component: wholes[name][rest[0].text], args: rest[1:]}, true
		}
		return command{}, false
	case contains(hyperkubes, name):
		if len(rest) > 0 && isProgram(strings.TrimPrefix(rest[0].text, "/")) {
			return command{component: rest[0].text, args: rest[1:]}, true
		}
		if len(rest) > 0 && rest[0].text == "apiserver" || len(rest) > 0 && isProgram("kube-"+rest[0].text) {
			return command{component: "kube-" + rest[0].text, args: rest[1:]}, true
		}
		return command{}, false
	case contains(shells, name):
		return parseShell(rest, env)
	case contains(wrappers, name):
		for i, w := range rest {
			if base := path.Base(w.text); isProgram(base) || wholes[base] != nil || contains(shells, base) {
				return parseCommand(rest[i:], env)
			}
		}
	}
	return command{}, false
}

func isProgram(name string) bool { return contains(programs, name) }

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// parseShell reads sh -c "exec kube-apiserver --flag". A script that does more than
// run one command is not followed: it says only which component it seems to run.
func parseShell(args []word, env map[string]word) (command, bool) {
	for i, a := range args {
		if !strings.HasPrefix(a.text, "-") {
			return command{}, false
		}
		if !strings.HasSuffix(a.text, "c") || i+1 == len(args) {
			continue
		}
		script := args[i+1]
		words, simple := splitShell(script, env)
		if simple && script.unknown == "" {
			return parseCommand(words, env)
		}
		if name := mentioned.FindString(script.text); name != "" {
			return command{component: strings.Trim(name, " /\t\n;&|)"), unread: "it is started by a shell script that does more than run it"}, true
		}
		return command{}, false
	}
	return command{}, false
}

// mentioned matches a component's name in a script, as a command.
var mentioned = regexp.MustCompile(`(?:^|[ \t\n;&/])(?:kube-apiserver|kube-controller-manager|cloud-controller-manager|kube-scheduler|etcd|kubelet|kube-proxy|containerd|crio)(?:[ \t\n;&|)]|$)`)

// splitShell splits a script that is one simple command into its words; false for
// one with operators, substitutions or unknown variables.
func splitShell(script word, env map[string]word) (words []word, simple bool) {
	text := strings.TrimSpace(strings.ReplaceAll(script.text, "\\\n", " "))
	var current strings.Builder
	open := false
	end := func() {
		if open {
			words = append(words, word{text: current.String(), at: script.at})
		}
		current.Reset()
		open = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t':
			end()
		case '\'':
			n := strings.IndexByte(text[i+1:], '\'')
			if n < 0 {
				return nil, false
			}
			current.WriteString(text[i+1 : i+1+n])
			i, open = i+1+n, true
		case '"':
			n := strings.IndexByte(text[i+1:], '"')
			if n < 0 || strings.ContainsAny(text[i+1:i+1+n], "\\`") {
				return nil, false
			}
			part, ok := substitute(text[i+1:i+1+n], env)
			if !ok {
				return nil, false
			}
			current.WriteString(part)
			i, open = i+1+n, true
		case '\\':
			if i++; i < len(text) {
				current.WriteByte(text[i])
			}
			open = true
		case '$':
			name := variable.FindString(text[i:])
			value, known := env[strings.Trim(name, "${}")]
			if name == "" || !known {
				return nil, false
			}
			i += len(name) - 1
			for j, field := range strings.Fields(value.text) {
				if j > 0 {
					end()
				}
				current.WriteString(field)
				open = true
			}
		case '\n', ';', '&', '|', '<', '>', '(', ')', '`', '*', '?', '[', '#', '~':
			// A redirection of the output at the end changes nothing.
			if c == '>' && !strings.ContainsAny(text[i:], "\n;|(`$") {
				if s := strings.TrimRight(current.String(), "12"); open && s == "" {
					current.Reset()
					open = false
				}
				end()
				return words, true
			}
			if c == '*' || c == '?' || c == '[' || c == '~' || c == '#' && open {
				current.WriteByte(c)
				open = true
				continue
			}
			return nil, false
		default:
			current.WriteByte(c)
			open = true
		}
	}
	end()
	return words, true
}

// variable matches $NAME and ${NAME} at the beginning of a text.
var variable = regexp.MustCompile(`^\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})`)

// substitute replaces the variables of a text within double quotes; false when one
// is not known.
func substitute(text string, env map[string]word) (string, bool) {
	var out strings.Builder
	for {
		before, rest, more := strings.Cut(text, "$")
		out.WriteString(before)
		if !more {
			return out.String(), true
		}
		name := variable.FindString("$" + rest)
		value, known := env[strings.Trim(name, "${}")]
		if name == "" || !known {
			return "", false
		}
		out.WriteString(value.text)
		text = rest[len(name)-1:]
	}
}

// flags reads the arguments of a component: --name=value, --name value, --name, and
// the same with a single dash, in the order given. What follows -- and what is no
// flag is passed over. Credentials are not kept.
func (c command) flags() []evidence.Flag {
	list, _, _ := c.knownFlags()
	return list
}

// knownFlags is flags, and says what is among the arguments of which the value is not
// known, and in which flags: none where it may be anything.
func (c command) knownFlags() (list []evidence.Flag, open, in []string) {
	unknown := map[string]bool{}
	for i := 0; i < len(c.args); i++ {
		w := c.args[i]
		if w.text == "--" {
			break
		}
		name, ok := strings.CutPrefix(w.text, "-")
		if !ok || name == "" {
			if w.unknown != "" {
				open = append(open, w.unknown)
			}
			continue
		}
		name = strings.TrimPrefix(name, "-")
		name, value, given := strings.Cut(name, "=")
		if name == "" || name[0] == '-' || strings.ContainsAny(name, " \t\n/") {
			continue
		}
		if !given {
			value = "true"
			if i+1 < len(c.args) && isValue(c.args[i+1].text) {
				i++
				value = c.args[i].text
				w.unknown = cmp.Or(w.unknown, c.args[i].unknown)
			}
		}
		f := evidence.NewFlag(name, value, w.at)
		if w.unknown != "" {
			unknown[f.Name] = true
			open = append(open, w.unknown+" in --"+f.Name)
			continue
		}
		list = append(list, f)
	}
	in = slices.Sorted(maps.Keys(unknown))
	isConfig := func(name string) bool { return strings.HasPrefix(name, "config") } // it may set any other
	if len(in) != len(open) || slices.ContainsFunc(in, isConfig) {
		in = nil
	}
	return slices.DeleteFunc(list, func(f evidence.Flag) bool { return unknown[f.Name] }), open, in
}

// asListed is a command of which a text has blanks between the words, whatever was in
// them. No component takes words that are no flags: where there is one it belongs to the
// flag before it, of which the value is not known then.
func (c command) asListed() command {
	c.args = slices.Clone(c.args)
	last := -1
	for i := 0; i < len(c.args); i++ {
		text := c.args[i].text
		switch {
		case strings.HasPrefix(text, "-") && len(text) > 1:
			last = i
			if !strings.Contains(text, "=") && i+1 < len(c.args) && isValue(c.args[i+1].text) {
				i++
			}
		default:
			at := where(c.args[i].at)
			c.unread = cmp.Or(c.unread, at+": a word without a flag: blanks within arguments cannot be told from those between them")
			if last >= 0 {
				c.args[last].unknown = at
			}
		}
	}
	return c
}

// isValue reports whether a word is the value of the flag before it, and no flag.
func isValue(text string) bool {
	return !strings.HasPrefix(text, "-") || len(text) > 1 && text[1] >= '0' && text[1] <= '9'
}
