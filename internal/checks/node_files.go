package checks

import (
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// stat returns what is known of mode and owner of a file; nil, which is recorded, when
// nothing is, and nil for a file that is not there.
func (n *node) stat(path string) *evidence.File {
	f := n.Files[path]
	switch {
	case f == nil:
		why := "it was not looked at"
		if ok, reason := n.Saw(evidence.TheFiles); !ok {
			why = reason
		}
		n.cannot("mode and owner of %s are not known: %s", path, why)
		return nil
	case f.Error != "" && f.UID < 0:
		n.cannot("mode and owner of %s are not known: %s", path, f.Error)
		return nil
	case f.Type == evidence.Missing:
		return nil
	}
	return f
}

// paths are those of all files of the node, in order.
func (n *node) paths() []string { return slices.Sorted(maps.Keys(n.Files)) }

// home returns the user whose home a file is in; false for none. The homes of
// services, which are folders of the system, are not meant.
func (n *node) home(path string) (evidence.User, bool) {
	best, found := evidence.User{}, false
	for _, u := range n.System.Users {
		if len(u.Home) > len(best.Home) && inFolder(path, u.Home) && (u.UID == 0 || inFolder(path, "/home") || inFolder(path, "/Users")) {
			best, found = u, true
		}
	}
	return best, found
}

// inFolder reports whether a path is below a folder.
func inFolder(path, folder string) bool {
	folder = strings.TrimSuffix(folder, "/")
	return folder != "" && strings.HasPrefix(path, folder+"/")
}

// ownerAllowed reports whether a file belongs to root, to the user that a component of
// the node runs as, or to whose home it is in.
func (n *node) ownerAllowed(f *evidence.File) bool {
	if f.UID <= 0 {
		return true
	}
	if u, ok := n.home(f.Path); ok && u.UID == f.UID {
		return true
	}
	for _, c := range n.Components {
		if c.UID == f.UID {
			return true
		}
	}
	for _, u := range n.System.Users {
		if u.Name == "etcd" && u.UID == f.UID {
			return n.Component(evidence.Etcd) != nil
		}
	}
	return false
}

// hostFile is the file of the node that a flag names; false when the flag is not set,
// or, which is recorded, when that is not known or leads to no file of the node.
func (n *node) hostFile(c *evidence.Component, flag string) (string, evidence.Position, bool) {
	value, place, known := n.flag(c, flag, "")
	if !known || value == "" {
		return "", place, false
	}
	file, mounted := c.HostPath(value)
	if !mounted {
		n.cannot("%s: nothing of the node is mounted at %s (--%s)", c.Name, value, flag)
		return "", place, false
	}
	return file, place, true
}
