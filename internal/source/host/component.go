package host

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/process"
)

// A candidate is a component as one way tells of it.
type candidate struct {
	*evidence.Component
	env map[string]word
	// idle is set for what is installed, and not set up to be started.
	idle bool
	// contained is whether a process is in a container, pid its number.
	contained certainty
	pid       int
	standing  standing
	// cut is why the end of a process's arguments may be missing, or all of them, "" when
	// they are whole.
	cut string
}

// hiddenVariables is why not all is known of what etcd is set up with.
const hiddenVariables = "the variables of the process may not be read"

// A standing is how far a process is to be believed that it is the component whose name
// it bears: a name may be given to any program.
type standing int

const (
	placed   standing = iota // the component's program, where the system or the kubelet runs it
	likely                   // root's, or of somebody who is not known
	stray                    // a user's, run by hand
	impostor                 // a user's, and another program
)

// standingOf tells the standing of a process that bears a component's name.
func standingOf(p *process.Process, component string) standing {
	program := path.Base(p.Exe)
	named := program == component || wholes[program] != nil || contains(hyperkubes, program)
	users := strings.HasPrefix(p.Cgroup, "/user.slice")
	managed := !users && (container.MatchString(p.Cgroup) || managedService.MatchString(p.Cgroup))
	switch {
	case managed && named:
		return placed
	case managed || p.UID <= 0:
		return likely
	case named || p.Exe == "":
		return stray
	}
	return impostor
}

// where is a place in words: /gabion/ps.txt:12.
func where(at evidence.Position) string {
	if at.Line == 0 {
		return at.File
	}
	return fmt.Sprintf("%s:%d", at.File, at.Line)
}

// A certainty is an answer that may not be known.
type certainty int

const (
	no certainty = iota
	perhaps
	yes
)

// runsComponent reports whether a process is one of the components'.
func runsComponent(p *process.Process) bool {
	_, ok := processCommand(p)
	return ok
}

// processCommand says which component a process is, by its first argument, and if it
// has given itself another name by that of the program.
func processCommand(p *process.Process) (command, bool) {
	words := make([]word, 0, min(len(p.Args), maxWords))
	for _, a := range p.Args[:min(len(p.Args), maxWords)] {
		words = append(words, word{text: a, at: p.Cmdline()})
	}
	name := p.Program()
	if len(words) == 1 && wholes[name] != nil { // it has put its name and that of what it does in place of its arguments
		var parts []word
		for _, part := range strings.Fields(words[0].text) {
			parts = append(parts, word{text: part, at: words[0].at})
		}
		words = parts
	}
	if contains(wrappers, name) || contains(shells, name) {
		return command{}, false // what it has started is a process of its own
	}
	if cmd, ok := parseCommand(words, nil); ok {
		return cmd, true
	}
	if len(p.Args) == 0 {
		// The kernel cuts names.
		for _, name := range programs {
			if p.Comm == name[:min(len(name), 15)] {
				return command{component: name, unread: where(p.Cmdline()) + ": " + p.Hidden}, true
			}
		}
		return command{}, false
	}
	for _, name := range programs {
		if p.Exe != "" && path.Base(p.Exe) == name || name == p.Program() {
			return command{component: name, args: words[1:]}, true
		}
	}
	return command{}, false
}

// components finds the components by all ways, and puts each together.
func (r *reader) components(table *process.Table) {
	all := r.processes(table)
	r.hidden = table.Hidden
	for _, u := range r.units() {
		if s, ok := r.service(u); ok {
			all = append(all, r.unitComponent(s))
		}
	}
	if r.layout.parts != nil {
		all = append(all, r.layout.parts(r, all)...)
	}
	// Where the static pods are, the kubelet says.
	kubelet := r.choose(all, evidence.Kubelet)
	if kubelet == nil {
		kubelet = r.configuredKubelet()
	}
	folder := r.layout.manifests
	if kubelet != nil {
		r.configure(kubelet)
	}
	if kubelet = r.tell(kubelet); kubelet != nil {
		folder = r.manifestFolder(kubelet.Component, folder)
	}
	all = append(all, r.staticPods(folder)...)
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name == evidence.Kubelet {
			continue
		}
		if c := r.choose(all, name); c != nil {
			r.configure(c)
			r.host.Components = append(r.host.Components, c.Component)
		}
	}
	if kubelet != nil {
		r.host.Components = append(r.host.Components, kubelet.Component)
	}
	r.tellImpostors()
}

// tellImpostors says which components were not seen, but something that bears their name.
func (r *reader) tellImpostors() {
	for _, name := range slices.Sorted(maps.Keys(r.impostors)) {
		if r.host.Component(name) != nil {
			continue
		}
		p := r.impostors[name]
		why := fmt.Sprintf("it calls itself %s, but is %s, run by the user %d", name, p.Exe, p.UID)
		at := where(p.Cmdline())
		r.gap(at, why)
		if r.host.Unseen[evidence.TheProcesses] == "" {
			r.host.Unseen[evidence.TheProcesses] = at + ": " + why
		}
	}
}

// container matches the control group of a process in a container; ordinaryPod that of
// one in a pod that the API server knows: static pods have an ID without dashes.
// managedService matches that of what systemd runs.
var (
	managedService = regexp.MustCompile(`^/system\.slice/|\.service(?:/|$)`)
	container      = regexp.MustCompile(`kubepods|[0-9a-f]{64}`)
	ordinaryPod    = regexp.MustCompile(`pod[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}`)
)

// processes are the components that run. A control plane in an ordinary pod is that
// of another cluster, which is hosted here.
func (r *reader) processes(table *process.Table) (list []*candidate) {
	for _, p := range table.Processes {
		cmd, ok := processCommand(p)
		if !ok || ordinaryPod.MatchString(p.Cgroup) && cmd.component != evidence.KubeProxy && cmd.component != evidence.CloudControllerManager {
			continue
		}
		if p.At.File != "" {
			cmd = cmd.asListed()
			if p.UID < 0 && p.User != "" {
				p.UID = r.uid(p.User)
			}
		}
		belief := standingOf(p, cmd.component)
		if belief == impostor {
			r.impostors[cmd.component] = p
			continue
		}
		c := &candidate{env: map[string]word{}, pid: p.PID, standing: belief, Component: &evidence.Component{
			Name: cmd.component, Way: evidence.FromProcess, Place: p.Cmdline(), UID: p.UID,
			Flags: cmd.flags(), Unread: cmd.unread,
		}}
		if c.cut = p.Cut; p.At.File != "" && p.Hidden != "" {
			c.cut = p.Hidden
		}
		if cmd.component == evidence.Etcd {
			env, known := process.Environ(r.tree, p.PID, "ETCD_")
			if !known && c.Unread == "" {
				c.Unread = hiddenVariables
			}
			for name, value := range env {
				c.env[name] = word{text: value, at: evidence.Position{File: path.Join(path.Dir(p.Cmdline().File), "environ")}}
			}
		}
		switch {
		case container.MatchString(p.Cgroup):
			c.contained, c.Pod = yes, true
		case p.OwnMounts, p.Cgroup == "":
			c.contained = perhaps // a manifest will tell
		}
		list = append(list, c)
	}
	return list
}

// unitComponent is the component that a service runs.
func (r *reader) unitComponent(s service) *candidate {
	c := &candidate{env: s.env, idle: !s.unit.enabled, Component: &evidence.Component{
		Name: s.cmd.component, Way: evidence.FromFile, Place: evidence.Position{File: s.unit.file}, UID: 0,
		Flags: s.cmd.flags(), Unread: s.cmd.unread,
	}}
	if s.unit.unread != "" {
		c.Unread = s.unit.unread
	}
	for _, set := range s.unit.settings {
		if set.section == "Service" && set.key == "ExecStart" && set.value != "" {
			c.Place = set.at
		}
	}
	if s.user != "" {
		c.UID = r.uid(s.user)
	}
	return c
}

// uid is the number of a user, -1 when it is not known.
func (r *reader) uid(user string) int {
	if n, err := strconv.Atoi(user); err == nil {
		return n
	}
	for _, u := range r.users() {
		if u.name == user {
			return u.uid
		}
	}
	return -1
}

// choose puts together what all ways tell of a component: the best one, and behind it
// the others. nil when it is not there.
func (r *reader) choose(all []*candidate, name string) *candidate {
	var ways []*candidate
	for _, c := range all {
		if c.Name == name {
			ways = append(ways, c)
		}
	}
	busy := slices.DeleteFunc(slices.Clone(ways), func(c *candidate) bool { return c.idle })
	if len(busy) > 0 || !r.kubeletIsSetUp(name) {
		ways = busy
	}
	if len(ways) == 0 {
		return nil
	}
	rank := map[evidence.Way]int{evidence.FromProcess: -1}
	slices.SortStableFunc(ways, func(a, b *candidate) int {
		return cmp.Or(rank[a.Way]-rank[b.Way], int(a.standing)-int(b.standing))
	})
	ways = r.mend(ways)
	best := ways[0]
	if best.Way == evidence.FromProcess && best.standing < stray {
		ways = slices.DeleteFunc(ways, func(c *candidate) bool { return c.standing == stray })
	}
	for _, other := range ways[1:] {
		best.learn(other)
		best.Others = append(best.Others, other.Component)
	}
	if best.Way == evidence.FromFile && r.hidden != "" {
		leave(best.Component, "it may run with other flags: "+r.hidden)
	}
	if best.contained == yes && len(best.Mounts) == 0 {
		best.Mounts = process.Mounts(r.tree, best.pid)
	}
	return best
}

// mend makes up for arguments of processes that may be cut: with what the component is
// started from, where what is left agrees with it. What does not agree stays, and what is
// missing there is not known.
func (r *reader) mend(ways []*candidate) []*candidate {
	var kept []*candidate
	for _, c := range ways {
		if c.cut == "" {
			kept = append(kept, c)
			continue
		}
		written := slices.IndexFunc(ways, func(w *candidate) bool { return w.Way == evidence.FromFile && w.begins(c) })
		if written >= 0 && len(c.Flags) > 0 && sameFlags(ways[written].Flags, c.Flags) {
			kept = append(kept, c) // it is whole
			continue
		}
		why := where(c.Place) + ": " + c.cut
		if r.host.Unseen[evidence.TheProcesses] == "" {
			r.host.Unseen[evidence.TheProcesses] = why
		}
		if written < 0 {
			leave(c.Component, why)
			c.Flags = c.Flags[:max(0, len(c.Flags)-1)]
			kept = append(kept, c)
		}
	}
	return kept
}

func sameFlags(a, b []evidence.Flag) bool {
	return slices.EqualFunc(a, b, func(f, g evidence.Flag) bool { return f.Name == g.Name && f.Value == g.Value })
}

// begins reports whether a component as it is written begins with the arguments of a
// process, of which the last one may be cut.
func (c *candidate) begins(p *candidate) bool {
	if len(p.Flags) > len(c.Flags) {
		return false
	}
	for i, f := range p.Flags {
		w := c.Flags[i]
		last := i == len(p.Flags)-1
		if same := f.Name == w.Name && f.Value == w.Value; same || last && strings.HasPrefix(w.Name+"="+w.Value, f.Name+"="+f.Value) {
			continue
		}
		if !last || f.Value != "true" || !strings.HasPrefix(w.Name, f.Name) {
			return false
		}
	}
	return true
}

// kubeletIsSetUp reports whether a name is the kubelet's, and it has what it needs.
func (r *reader) kubeletIsSetUp(name string) bool {
	return name == evidence.Kubelet && slices.ContainsFunc(r.layout.kubeletKubeconfigs, func(file string) bool {
		return r.tree.Stat(file).Type == evidence.Regular
	})
}

// learn takes from what is on disk what a process does not tell: the image, the
// mounts, and where the flags are written that it runs with.
func (c *candidate) learn(other *candidate) {
	if c.Way != evidence.FromProcess || other.Way != evidence.FromFile {
		return
	}
	if other.Pod && c.contained != no && len(c.Mounts) == 0 {
		c.Pod, c.Mounts, c.Image, c.Version = true, other.Mounts, other.Image, other.Version
	}
	same := len(c.Flags) == len(other.Flags)
	used := make([]bool, len(other.Flags))
	for i, f := range c.Flags {
		found := false
		for j, g := range other.Flags {
			if !used[j] && f.Name == g.Name && f.Value == g.Value {
				c.Flags[i].Place, used[j], found = g.Place, true, true
				break
			}
		}
		same = same && found
	}
	if !same {
		return
	}
	c.Place = other.Place
	if c.Unread == hiddenVariables && other.Pod { // it was started from there
		c.env, c.Unread, c.UnreadIn = other.env, other.Unread, other.UnreadIn
	}
}
