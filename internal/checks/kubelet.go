package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// eachKubelet judges the kubelet of every node. Of one that the node does not wholly
// tell of, what it said of itself through the API is judged.
func eachKubelet(judge func(*node, *evidence.Component)) func(*check.Run) {
	return eachComponent(func(n *node, c *evidence.Component) {
		if c.Unread != "" {
			for _, other := range c.Others {
				if other.Way == evidence.FromAPI && other.Unread == "" && len(other.Options) > 0 {
					c = other
				}
			}
		}
		judge(n, c)
	}, evidence.Kubelet)
}

// setting is a field of a kubelet's configuration in force, and where it is, or would
// be, written; known is as for flag.
func setting[T any](n *node, c *evidence.Component, path string, byDefault T) (value T, at evidence.Position, known bool) {
	value = byDefault
	at, known = n.option(c, path, &value)
	if _, set := c.Options[path]; !set {
		at = configured(c)
	}
	return value, at, known
}

// configured is where a kubelet's configuration is to be written: its file, or what
// starts it where it has none.
func configured(c *evidence.Component) evidence.Position {
	if f, given := c.Flag("config"); given && f.Value != "" {
		return evidence.Position{File: f.Value}
	}
	return c.Place
}

// flagDefaults reports whether a kubelet has the old defaults of its flags, which are
// open, instead of those of KubeletConfiguration. It does where it has no file.
func flagDefaults(c *evidence.Component) bool {
	f, _ := c.Flag("config")
	return f.Value == "" && c.Way != evidence.FromAPI
}

// unset is what a message says of a field that has its default.
func unset(c *evidence.Component, path string) string {
	if _, set := c.Options[path]; set {
		return ""
	}
	return ", which is the default"
}

// unsetOpen is unset of a field whose default is open where there is no file.
func unsetOpen(c *evidence.Component, path string) string {
	if _, set := c.Options[path]; !set && flagDefaults(c) {
		return ", the default of a kubelet without a configuration file"
	}
	return unset(c, path)
}
