//go:build !unix

package tree

import "io/fs"

const noWait = 0

// owner returns the owner and the group of a file, -1 when they are not known.
func owner(info fs.FileInfo) (uid, gid int) {
	if of, ok := info.Sys().(Owner); ok {
		return of.UID, of.GID
	}
	return -1, -1
}
