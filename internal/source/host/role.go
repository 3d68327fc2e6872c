package host

import (
	"cmp"
	"encoding/json"
	"path"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// roles tells what the node is for from what runs on it. A control plane node that
// lets ordinary pods run as well does not show it in its files.
func (r *reader) roles() {
	has := func(names ...string) bool {
		for _, name := range names {
			if r.host.Component(name) != nil {
				return true
			}
		}
		return false
	}
	control := has(evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, "k3s", "rke2-server", "k0scontroller")
	if control {
		r.host.Roles = append(r.host.Roles, evidence.ControlPlane)
	}
	if has(evidence.Etcd) {
		r.host.Roles = append(r.host.Roles, evidence.EtcdMember)
	}
	if !control && (has("k3s-agent", "rke2-agent", "k0sworker") || r.joins()) {
		r.host.Roles = append(r.host.Roles, evidence.Worker)
	}
}

// joins reports whether the node's kubelet registers it.
func (r *reader) joins() bool {
	c := r.host.Component(evidence.Kubelet)
	if c == nil {
		return false
	}
	register := true
	if o, ok := c.Options["registerNode"]; ok {
		_ = json.Unmarshal(o.Value, &register)
	}
	_, joined := c.Flag("kubeconfig")
	return register && (joined || c.Unread != "")
}

// name is the Node's name: as the user or the kubelet's flags say, as its
// certificate has it, or the machine's, in small letters as the kubelet makes them.
func (r *reader) name() string {
	if r.Name != "" {
		return r.Name
	}
	if c := r.host.Component(evidence.Kubelet); c != nil {
		if f, ok := c.Flag("hostname-override"); ok && f.Value != "" {
			return strings.ToLower(f.Value)
		}
	}
	for _, c := range r.host.Certificates {
		if name, ok := strings.CutPrefix(c.CommonName, "system:node:"); ok && name != "" {
			return name
		}
	}
	for _, k := range r.host.Kubeconfigs {
		for _, u := range k.Users {
			if u.Certificate == nil {
				continue
			}
			if name, ok := strings.CutPrefix(u.Certificate.CommonName, "system:node:"); ok && name != "" {
				return name
			}
		}
	}
	root := path.Base(path.Clean("/" + r.Root))
	if root == "/" {
		root = "node"
	}
	return cmp.Or(strings.ToLower(r.hostname()), root)
}

// hostname is that of /etc/hostname, "" when it is not told there.
func (r *reader) hostname() string {
	data, err := r.open("/etc/hostname")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}
