// Package netfilter reads the packet filter's rules from the kernel of this machine,
// as `nft -j list ruleset` would print them, and starts no program for it.
//
// The kernel keeps rules as instructions on registers. What of them is understood is
// written as nft writes it; everything else is written too, in a form that says that
// it is not understood, so that no condition of a rule is lost. Legacy iptables keeps
// its rules elsewhere: where it has any there is an error, and no rules. It changes
// nothing and judges nothing.
package netfilter

import "errors"

// Faults that a caller may want to tell apart, besides fs.ErrPermission: the kernel
// tells its rules only to who has CAP_NET_ADMIN.
var (
	// ErrLegacy is that there are rules of legacy iptables, which are not read.
	ErrLegacy = errors.New("tables of legacy iptables are in force, which are not read")
	// ErrNotLinux is what Rules says on every other system.
	ErrNotLinux = errors.New("the rules of a packet filter can be read on Linux only")
)

// maxText is how much the kernel may tell, and how long the text may be, in bytes.
const maxText = 64 << 20
