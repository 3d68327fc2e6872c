package firewall

// Bits of `ct state`, of `ct status` and of TCP flags, as nf_tables numbers them.
const (
	stateInvalid     = 1
	stateEstablished = 2
	stateRelated     = 4
	stateNew         = 8
	stateUntracked   = 64

	statusSource      = 16
	statusDestination = 32
	knownStatus       = 1 | 2 | 4 | statusSource | statusDestination | 512

	flagSyn    = 2
	knownFlags = 1 | 2 | 4 | 8 | 16 | 32
)

func stateNames() map[string]uint64 {
	return map[string]uint64{"invalid": stateInvalid, "established": stateEstablished, "related": stateRelated,
		"new": stateNew, "untracked": stateUntracked}
}

func statusNames() map[string]uint64 {
	return map[string]uint64{"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": statusSource,
		"dnat": statusDestination, "dying": 512}
}

func flagNames() map[string]uint64 {
	return map[string]uint64{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
}

func protocolNames() map[string]uint64 {
	return map[string]uint64{"icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47,
		"esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "comp": 108, "ipcomp": 108,
		"vrrp": 112, "l2tp": 115, "sctp": 132, "mobility-header": 135, "ipv6-mh": 135, "udplite": 136}
}

// addressTypes are those of routes, as the kernel numbers them.
func addressTypes() map[string]uint64 {
	return map[string]uint64{"unspec": 0, "unicast": 1, "local": addressLocal, "broadcast": 3, "anycast": 4, "multicast": 5,
		"blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9, "nat": 10, "xresolve": 11}
}

const addressLocal = 2

// packetTypes are those of the link layer; what is sent to the host itself is 0.
func packetTypes() map[string]uint64 {
	return map[string]uint64{"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3, "otherhost": 3}
}
