package netfilter

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
)

// Rules returns the nf_tables rules of the network namespace that the program runs in,
// in the form of `nft -j list ruleset`. Rules that change while they are read are read
// again, and are an error if that goes on.
func Rules() ([]byte, error) {
	runtime.LockOSThread() // a thread may be in a network namespace of its own
	defer runtime.UnlockOSThread()
	names, err := legacyTables()
	if err != nil {
		return nil, fmt.Errorf("look for tables of legacy iptables: %w", err)
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrLegacy, strings.Join(names, ", "))
	}
	devices, err := deviceNames()
	if err != nil {
		return nil, fmt.Errorf("read names of network devices: %w", err)
	}
	c, err := dial()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its packet filter: %w", err)
	}
	defer c.close()
	const tries = 5
	for range tries {
		text, err := c.ruleset(devices)
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the kernel's packet filter: %w", err)
		}
		return text, nil
	}
	return nil, fmt.Errorf("read the kernel's packet filter: %w, %d times in a row", errChanged, tries)
}

// Namespace names the network namespace that Rules reads, as the links /proc/*/ns/net do.
func Namespace() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// legacyTables are the tables of legacy iptables in this network namespace.
func legacyTables() (names []string, err error) {
	for _, program := range []string{"ip", "ip6"} {
		data, err := os.ReadFile("/proc/thread-self/net/" + program + "_tables_names")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for name := range strings.FieldsSeq(string(data)) {
			names = append(names, program+"tables "+name)
		}
	}
	return names, nil
}

func deviceNames() (map[uint32]string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	for _, i := range list {
		names[uint32(i.Index)] = i.Name
	}
	return names, nil
}
