//go:build !linux

package netfilter

// Rules says that this is no Linux.
func Rules() ([]byte, error) { return nil, ErrNotLinux }

// Namespace says likewise.
func Namespace() (string, error) { return "", ErrNotLinux }
