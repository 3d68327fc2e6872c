package host

import (
	"path"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const microk8sData = "/var/snap/microk8s/current"

// microk8sParts are the components of MicroK8s, which run in one process (kubelite) and
// read their flags from a file each.
func microk8sParts(r *reader, all []*candidate) (list []*candidate) {
	names := []string{evidence.Kubelet, evidence.KubeProxy, evidence.Containerd}
	if !r.isThere(microk8sData + "/var/lock/clustered.lock") { // there is none on a worker
		names = append(names, evidence.APIServer, evidence.ControllerManager, evidence.Scheduler)
		if !r.isThere(microk8sData + "/var/lock/ha-cluster") { // with it the data is in dqlite, not in etcd
			names = append(names, evidence.Etcd)
		}
	}
	for _, name := range names {
		if c := r.argsFile(name, path.Join(microk8sData, "args", name)); c != nil {
			list = append(list, c)
		}
	}
	return missing(all, list)
}

// argsFile is the component whose flags stand in a file, one or more on a line; nil when
// it is not there.
func (r *reader) argsFile(name, file string) *candidate {
	data, err := r.read(file)
	if err != nil && !r.isThere(file) {
		return nil
	}
	c := derived(name, evidence.Position{File: file}, nil)
	c.UID = 0
	if err != nil {
		c.Unread = file + ": " + err.Error()
		return c
	}
	env := map[string]word{
		"SNAP":        {text: "/snap/microk8s/current"},
		"SNAP_DATA":   {text: microk8sData},
		"SNAP_COMMON": {text: "/var/snap/microk8s/common"},
	}
	var words []word
	for line := range joinedLines(string(data)) {
		if text := strings.TrimSpace(line.text); text == "" || text[0] == '#' {
			continue
		}
		at := evidence.Position{File: file, Line: line.number, Column: 1}
		parts, simple := splitShell(word{text: line.text, at: at}, env)
		if !simple {
			leave(c.Component, file+": a line of it is more than flags")
			r.broken(evidence.Issue{File: file, Line: line.number, Reason: "a line that is more than flags"})
			continue
		}
		if words = append(words, parts...); len(words) > maxWords {
			leave(c.Component, file+": it is too long")
			break
		}
	}
	c.Flags = command{args: words}.flags()
	c.unsure(c.Unread)
	return c
}
