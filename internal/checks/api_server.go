package checks

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// An element is one of the values of a flag that takes several.
type element struct {
	value string
	at    evidence.Position
}

// elements are the values of a flag that takes several, with commas between them or
// each time that it is given: all of them count. known is as for flag.
func (n *node) elements(c *evidence.Component, name string) (list []element, known bool) {
	for _, f := range c.Flags {
		if f.Name != name {
			continue
		}
		for value := range strings.SplitSeq(f.Value, ",") {
			list = append(list, element{strings.TrimSpace(value), f.Place})
		}
	}
	if list == nil {
		_, _, known = n.flag(c, name, "")
		return nil, known
	}
	return list, true
}

// find returns the element of a value.
func find(list []element, value string) (element, bool) {
	i := slices.IndexFunc(list, func(e element) bool { return e.value == value })
	if i < 0 {
		return element{}, false
	}
	return list[i], true
}

// tells reports whether a component says itself which release it is.
func tells(c *evidence.Component) bool {
	_, err := evidence.ParseVersion(c.Version)
	return err == nil
}

// given returns a flag that is set to something; known is as for flag.
func (n *node) given(c *evidence.Component, name string) (f evidence.Flag, given, known bool) {
	f, given = c.Flag(name)
	if !given {
		_, _, known = n.flag(c, name, "")
		return f, false, known
	}
	return f, f.Value != "", true
}

// plugin reports whether an admission plugin is switched on, and which flag says so.
// One that is both enabled and disabled is on; --admission-control, of old, names all.
func (n *node) plugin(c *evidence.Component, name string, byDefault bool) (on bool, at element, known bool) {
	if all, _ := n.onlyGiven(c, "admission-control"); all != nil {
		e, on := find(all, name)
		if !on {
			e = all[0]
		}
		return on, e, true
	}
	enabled, knownOn := n.elements(c, "enable-admission-plugins")
	if e, on := find(enabled, name); on {
		return true, e, true
	}
	disabled, knownOff := n.onlyGiven(c, "disable-admission-plugins")
	if e, off := find(disabled, name); off {
		return false, e, knownOn
	}
	if knownOn && !knownOff {
		n.flag(c, "disable-admission-plugins", "") // so that it is heard of
	}
	return byDefault, element{at: c.Place}, knownOn && knownOff
}

// onlyGiven is elements of a flag of which nobody needs to hear that it may be set.
func (n *node) onlyGiven(c *evidence.Component, name string) ([]element, bool) {
	if _, is := c.Flag(name); !is {
		return nil, c.Unread == ""
	}
	return n.elements(c, name)
}

const admissionConfigFlag = "admission-control-config-file"

// An admissionConfig is the part of an AdmissionConfiguration that is looked at, or of
// the file that ImagePolicyWebhook alone could have in old releases.
type admissionConfig struct {
	Plugins []struct {
		Name          string          `json:"name"`
		Path          string          `json:"path"`
		Configuration json.RawMessage `json:"configuration"`
	} `json:"plugins"`
	ImagePolicy json.RawMessage `json:"imagePolicy"`
}

// pluginConfig decodes what the admission configuration says to a plugin into value.
// where leads to it; nil when it says nothing. known is false, and why recorded, when
// nobody knows what it says.
func (n *node) pluginConfig(c *evidence.Component, plugin string, value any) (doc *evidence.Document, where below, known bool) {
	f, given, known := n.given(c, admissionConfigFlag)
	if !given {
		return nil, nil, known
	}
	var conf admissionConfig
	if doc, known = n.decode(c, f, &conf); !known {
		return nil, nil, false
	}
	top := func(at evidence.Path) evidence.Path { return at }
	var text json.RawMessage
	for i, p := range conf.Plugins {
		switch {
		case p.Name != plugin:
		case len(p.Configuration) > 0 && string(p.Configuration) != "null":
			text = p.Configuration
			where = func(at evidence.Path) evidence.Path {
				return at.Field("plugins").Index(i, plugin).Field("configuration")
			}
		case p.Path != "":
			own := c.Documents[admissionConfigFlag+"/"+plugin]
			if own == nil || own.Error != "" {
				n.cannot("%s: the configuration of the plugin %s in %s was not read", c.Name, plugin, p.Path)
				return nil, nil, false
			}
			doc, text, where = own, own.JSON, top
		}
	}
	if text == nil && plugin == imagePolicyPlugin && conf.ImagePolicy != nil {
		text, where = doc.JSON, top
	}
	if text == nil {
		return doc, nil, true
	}
	if err := json.Unmarshal(text, value); err != nil {
		n.cannot("%s: the configuration of the plugin %s in %s: %v", c.Name, plugin, doc.File, err)
		return nil, nil, false
	}
	return doc, where, true
}

// judgeConnection judges how an API server reaches a service that decides for it, as a
// kubeconfig says.
func (n *node) judgeConnection(c *evidence.Component, flag, kubeconfig, service string) {
	path, mounted := c.HostPath(kubeconfig)
	i := slices.IndexFunc(n.Kubeconfigs, func(k *evidence.Kubeconfig) bool { return mounted && k.Path == path })
	switch {
	case i < 0:
		n.cannot("%s: how it reaches %s is not known: %s was not read", c.Name, service, kubeconfig)
		return
	case n.Kubeconfigs[i].Error != "":
		n.cannot("%s: how it reaches %s is not known: %s: %s", c.Name, service, kubeconfig, n.Kubeconfigs[i].Error)
		return
	}
	for j, cluster := range n.Kubeconfigs[i].Clusters {
		at := flagPath(c, flag).Field("clusters").Index(j, cluster.Name)
		switch {
		case strings.HasPrefix(cluster.Server, "http://"):
			n.say(cluster.Place, at.Field("server"), cluster.Server, "%s asks %s at %s without TLS: whoever is on the way decides", c.Name, service, cluster.Server)
		case cluster.Insecure:
			n.say(cluster.Place, at.Field("insecure-skip-tls-verify"), "true", "%s does not verify the certificate of %s at %s: whoever is on the way decides", c.Name, service, cluster.Server)
		}
	}
}

// isLoopback reports whether only the node itself reaches an address.
func isLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap().IsLoopback()
}

// seesAPIServer reports whether the flags of an API server are among what was read.
func seesAPIServer(s *check.Scan) bool {
	return slices.ContainsFunc(s.Hosts, func(h *evidence.Host) bool { return h.Component(evidence.APIServer) != nil })
}

// unlessSeen records a question that the flags of an API server answer, where none of
// them were read: a check of the same row asks them otherwise.
func unlessSeen(r *check.Run, what string) {
	if !seesAPIServer(r.Scan) {
		r.Unknown("", needs(what, guide.Host))
	}
}

// eachOrNone judges the components of some names that every cluster has, and of others
// that it may have.
func eachOrNone(judge func(*node, *evidence.Component), optional string, names ...string) func(*check.Run) {
	return func(r *check.Run) {
		eachComponent(judge, names...)(r)
		for _, h := range r.Hosts {
			if c := h.Component(optional); c != nil {
				n := &node{Run: r, Host: h}
				judge(n, c)
				n.done()
			}
		}
	}
}

// flagText is a flag as it is written.
func flagText(name, value string) string { return fmt.Sprintf("--%s=%s", name, value) }

// gateIn reads feature gates as a flag has them; later ones win.
func gateIn(flag, name string, before bool) bool {
	for pair := range strings.SplitSeq(flag, ",") {
		if k, v, _ := strings.Cut(strings.TrimSpace(pair), "="); k == name {
			before = isTrue(v)
		}
	}
	return before
}
