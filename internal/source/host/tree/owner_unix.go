//go:build unix

package tree

import (
	"io/fs"
	"syscall"
)

// noWait has opening a FIFO return at once, and follows no link.
const noWait = syscall.O_NONBLOCK | syscall.O_NOFOLLOW | syscall.O_CLOEXEC

// owner returns the owner and the group of a file, -1 when they are not known.
func owner(info fs.FileInfo) (uid, gid int) {
	switch of := info.Sys().(type) {
	case *syscall.Stat_t:
		return int(of.Uid), int(of.Gid)
	case Owner:
		return of.UID, of.GID
	}
	return -1, -1
}
