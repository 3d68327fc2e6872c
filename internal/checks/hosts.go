package checks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A node is one check's look at one host, and what it said.
type node struct {
	*check.Run
	*evidence.Host
	problems []check.Problem
	open     bool // something could not be told
}

// say records a problem at a place in a file of the node, under a path that names the
// field of the component: kube-apiserver.anonymous-auth.
func (n *node) say(at evidence.Position, path evidence.Path, value, format string, args ...any) *check.Problem {
	n.problems = append(n.problems, check.Problem{Path: path, Value: value, Message: fmt.Sprintf(format, args...), At: &at})
	return &n.problems[len(n.problems)-1]
}

// cannot records that something of the node could not be told, and why.
func (n *node) cannot(format string, args ...any) {
	n.open = true
	n.Unknown("node "+n.Node, fmt.Sprintf(format, args...))
}

// sees reports whether an aspect of the node was read; what was not is recorded.
func (n *node) sees(a evidence.Aspect) bool {
	ok, why := n.Saw(a)
	if !ok {
		n.cannot("%s", why)
	}
	return ok
}

// done records the node as judged, unless all that there is to say of it is that it
// could not be told.
func (n *node) done() {
	if len(n.problems) > 0 || !n.open {
		n.Judge(n.Ref, n.problems)
	}
}

// eachHost judges every host.
func eachHost(judge func(*node)) func(*check.Run) {
	return func(r *check.Run) {
		for _, h := range r.Hosts {
			n := &node{Run: r, Host: h}
			judge(n)
			n.done()
		}
		if len(r.Hosts) == 0 {
			r.Unknown("", "no node was looked at (--host-root on each)")
		}
	}
}

// eachComponent judges the components of some names, wherever they run. Where the
// control plane is a provider's, its components are the provider's duty.
func eachComponent(judge func(*node, *evidence.Component), names ...string) func(*check.Run) {
	return func(r *check.Run) {
		found := map[string]bool{}
		for _, h := range r.Hosts {
			n := &node{Run: r, Host: h}
			any := false
			for _, name := range names {
				if c := h.Component(name); c != nil {
					found[name], any = true, true
					judge(n, c)
					n.onlyOne(c)
				}
			}
			if any {
				n.done()
			}
		}
		for _, name := range names {
			switch {
			case found[name]:
			case r.Managed != nil && isControlPlane(name):
				r.Inapplicable("", providersDuty(r.Managed))
			case isControlPlane(name):
				r.Unknown("", notAmong(r, name, "the control plane nodes"))
			default:
				r.Unknown("", notAmong(r, name, "the nodes"))
			}
		}
		for _, h := range r.Hosts {
			for _, name := range names {
				if found[name] && h.Component(name) == nil && mayRun(h, name) {
					r.Unknown("node "+h.Node, "its "+name+" was not seen")
				}
			}
		}
		if found[evidence.Kubelet] {
			for _, h := range r.Hosts {
				if h.Component(evidence.Kubelet) == nil {
					r.Unknown("node "+h.Node, "its kubelet's configuration was not seen")
				}
			}
		}
	}
}

// onlyOne records that a component runs more than once, where the others have other
// flags: it is not known which one serves the cluster, and one of them was judged.
func (n *node) onlyOne(c *evidence.Component) {
	for _, other := range c.Others {
		twice := other.Way == evidence.FromProcess || c.Pod && other.Pod // a kubelet runs every static pod of its folder
		if c.Way == other.Way && twice && !sameFlags(c, other) {
			n.cannot("%s runs several times, with different flags: what %s has was not judged", c.Name, other.Place.File)
		}
	}
}

func sameFlags(a, b *evidence.Component) bool {
	return slices.EqualFunc(a.Flags, b.Flags, func(f, g evidence.Flag) bool { return f.Name == g.Name && f.Value == g.Value })
}

// mayRun reports whether a node of which a component of the control plane was not seen
// may have it all the same: it has others, its static pods or what it is for were not
// seen, or it has the kubeconfigs that only control plane nodes have.
func mayRun(h *evidence.Host, component string) bool {
	unknown := h.Root != "" && len(h.Roles) == 0
	switch component {
	case evidence.Etcd:
		return unknown || ownEtcd(h) || h.Component(evidence.APIServer) == nil && mayRun(h, evidence.APIServer)
	case evidence.APIServer, evidence.ControllerManager, evidence.Scheduler:
	default:
		return false
	}
	folder := "/etc/kubernetes/manifests"
	if c := h.Component(evidence.Kubelet); c != nil {
		folder = cmp.Or(optionText(c, "staticPodPath"), folder)
	}
	f := h.Files[folder]
	return unknown || h.Has(evidence.ControlPlane) || f != nil && f.Error != "" ||
		slices.ContainsFunc(h.Kubeconfigs, func(k *evidence.Kubeconfig) bool {
			return slices.Contains([]string{"controller-manager.conf", "scheduler.conf"}, path.Base(k.Path))
		})
}

// ownEtcd reports whether the API server of a node finds etcd on the node itself.
func ownEtcd(h *evidence.Host) bool {
	c := h.Component(evidence.APIServer)
	if c == nil {
		return false
	}
	f, _ := c.Flag("etcd-servers")
	return slices.ContainsFunc(strings.Split(f.Value, ","), func(server string) bool {
		u, err := url.Parse(strings.TrimSpace(server))
		return err == nil && (u.Hostname() == "localhost" || isLoopback(u.Hostname()))
	})
}

// notAmong says that no component of a name was seen. It may be among what could not
// be read.
func notAmong(r *check.Run, component, where string) string {
	for _, h := range r.Hosts {
		for _, f := range h.Files {
			if f.Error != "" && path.Base(f.Path) == "manifests" {
				return fmt.Sprintf("no %s was seen, but it may be set up on node %s: %s: %s", component, h.Node, f.Path, f.Error)
			}
		}
	}
	return fmt.Sprintf("no %s was among what was looked at (--host-root on %s)", component, where)
}

func isControlPlane(component string) bool {
	switch component {
	case evidence.APIServer, evidence.ControllerManager, evidence.CloudControllerManager, evidence.Scheduler, evidence.Etcd:
		return true
	}
	return false
}

func providersDuty(m *evidence.Managed) string {
	return fmt.Sprintf("the provider's duty: %s runs the control plane (%s)", m.Provider, m.Why)
}

// flag returns the value of a flag in force, or the default; known is false, and that
// is recorded, when the flag is not seen and may be set all the same.
func (n *node) flag(c *evidence.Component, name, byDefault string) (value string, at evidence.Position, known bool) {
	if f, given := c.Flag(name); given {
		return f.Value, f.Place, true
	}
	if why := c.Doubt(name); why != "" {
		n.cannot("%s: whether %s is set is not known: %s", c.Name, name, why)
		return "", c.Place, false
	}
	return byDefault, c.Place, true
}

// isTrue reports whether a flag's value means true, as Go's flags read it.
func isTrue(value string) bool {
	switch strings.ToLower(value) {
	case "1", "t", "true":
		return true
	}
	return false
}

// option decodes a field of a component's configuration in force into value, which
// holds the default. known is as for flag.
func (n *node) option(c *evidence.Component, path string, value any) (at evidence.Position, known bool) {
	o, set := c.Options[path]
	switch {
	case set:
		if err := json.Unmarshal(o.Value, value); err != nil {
			n.cannot("%s: %s: %s is not what belongs there", c.Name, path, o.Value)
			return o.Place, false
		}
		return o.Place, true
	case c.Unread != "":
		n.cannot("%s: whether %s is set is not known: %s", c.Name, path, c.Unread)
		return c.Place, false
	}
	return c.Place, true
}

// flagPath is the path of a component's flag, or of a field of its configuration.
func flagPath(c *evidence.Component, name string) evidence.Path {
	return evidence.NewPath(c.Name).Field(strings.Split(name, ".")...)
}

// filePath is the path of a file of a node, with what of it is wrong: mode, owner.
func filePath(file, what string) evidence.Path { return evidence.NewPath("files", file, what) }
