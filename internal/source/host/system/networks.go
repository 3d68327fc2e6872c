package system

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What ip addr printed, put into the tree for Gabion, and where a sosreport has it.
const (
	IPText    = "/gabion/ip-addr.txt" // ip -o addr, ip addr, or ip -j addr
	sosIP     = "/sos_commands/networking/ip_-o_addr"
	sosIPLong = "/sos_commands/networking/ip_-d_address"
)

const maxNetworks = 2000

// networks reads which networks the node has addresses in: those of the kernel, else
// those that ip addr printed, else those that it is set up to have.
func (r *reader) networks() {
	r.addressesOfKernel()
	if len(r.h.Networks) == 0 {
		file, data := r.print(IPText, sosIP, sosIPLong)
		r.addressesPrinted(file, data)
	}
	known := len(r.h.Networks) > 0
	if !known {
		r.addressesConfigured()
	}
	switch {
	case known:
	case len(r.h.Networks) > 0:
		r.miss(evidence.TheNetworks, "only the static addresses of its configuration are known, not those that it has (ip -o addr > %s)", IPText)
	default:
		r.miss(evidence.TheNetworks, "neither /proc/net nor %s (ip -o addr) nor a file of the network's configuration tells which networks it is on", IPText)
	}
	slices.SortFunc(r.h.Networks, func(a, b evidence.Network) int {
		return cmp.Or(strings.Compare(a.Interface, b.Interface), a.Prefix.Addr().Compare(b.Prefix.Addr()), a.Prefix.Bits()-b.Prefix.Bits())
	})
}

// onNetwork keeps an address with the length of its network, but for those that every
// node has.
func (r *reader) onNetwork(name string, p netip.Prefix, at evidence.Position) {
	a := p.Addr().Unmap()
	bits := p.Bits()
	if p.Addr().Is4In6() {
		bits -= 96
	}
	p = netip.PrefixFrom(a, bits)
	if !p.IsValid() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || len(r.h.Networks) >= maxNetworks {
		return
	}
	if !slices.ContainsFunc(r.h.Networks, func(n evidence.Network) bool { return n.Prefix == p && n.Interface == name }) {
		r.h.Networks = append(r.h.Networks, evidence.Network{Interface: name, Prefix: p, Place: at})
	}
}

// kernelNet returns a table of the network of the node: that of its first process, not
// that of the container in which this may run.
func (r *reader) kernelNet(name string) (file string, data []byte) {
	for _, dir := range []string{"/proc/1/net/", "/proc/net/"} {
		data, err := r.t.ReadFile(dir+name, maxConfig)
		if err == nil {
			return dir + name, data
		}
		if errors.Is(err, fs.ErrPermission) || r.otherNetwork() {
			return "", nil
		}
	}
	return "", nil
}

// A route is a network that is reached without a gateway.
type route struct {
	name   string
	prefix netip.Prefix
	line   int
}

func (r *reader) addressesOfKernel() {
	file, data := r.kernelNet("route")
	var routes []route
	for _, l := range lines(data, "") {
		f := strings.Fields(l.text)
		if len(f) < 8 || f[2] != "00000000" {
			continue
		}
		to, ok1 := kernelAddress(f[1])
		mask, ok2 := kernelAddress(f[7])
		if bits := maskBits(mask); ok1 && ok2 && bits > 0 {
			routes = append(routes, route{f[0], netip.PrefixFrom(to, bits), l.number})
		}
	}
	_, trie := r.kernelNet("fib_trie")
	if len(trie) == 0 {
		return // of IPv6 alone not all is known
	}
	for _, a := range localAddresses(trie) {
		own := route{prefix: netip.PrefixFrom(a, a.BitLen())}
		bits := 0
		for _, to := range routes {
			if to.prefix.Contains(a) && to.prefix.Bits() > bits {
				bits, own = to.prefix.Bits(), to
			}
		}
		r.onNetwork(own.name, netip.PrefixFrom(a, own.prefix.Bits()), evidence.Position{File: file, Line: own.line})
	}
	file, data = r.kernelNet("if_inet6")
	for _, l := range lines(data, "") {
		f := strings.Fields(l.text)
		if len(f) < 6 {
			continue
		}
		bytes, err := hex.DecodeString(f[0])
		bits, errBits := strconv.ParseUint(f[2], 16, 8)
		if a, ok := netip.AddrFromSlice(bytes); ok && err == nil && errBits == nil {
			r.onNetwork(f[5], netip.PrefixFrom(a, int(bits)), evidence.Position{File: file, Line: l.number})
		}
	}
}

// kernelAddress parses an address of IPv4 as a little-endian machine prints its bytes.
func kernelAddress(text string) (netip.Addr, bool) {
	bytes, err := hex.DecodeString(text)
	if err != nil || len(bytes) != 4 {
		return netip.Addr{}, false
	}
	binary.BigEndian.PutUint32(bytes, binary.LittleEndian.Uint32(bytes))
	return netip.AddrFromSlice(bytes)
}

// maskBits is the length of a mask, -1 for what is none.
func maskBits(mask netip.Addr) int {
	if !mask.Is4() {
		return -1
	}
	b := mask.As4()
	text := strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[:]))|1<<32, 2)[1:]
	if strings.Contains(text, "01") {
		return -1
	}
	return strings.Count(text, "1")
}

// localAddresses are the node's own in the kernel's table of routes: each stands above
// the line that says so.
func localAddresses(trie []byte) (list []netip.Addr) {
	var last netip.Addr
	for _, l := range lines(trie, "") {
		if text, ok := strings.CutPrefix(l.text, "|-- "); ok {
			last, _ = netip.ParseAddr(text)
			continue
		}
		if l.text == "/32 host LOCAL" && last.Is4() && !slices.Contains(list, last) && len(list) < maxNetworks {
			list = append(list, last)
		}
	}
	return list
}

// printedAddr matches an address of ip addr, with or without the interface before it.
var (
	printedAddr = regexp.MustCompile(`^(?:\d+: (\S+)\s+)?inet6? ([0-9a-fA-F:.]+/\d+)\b`)
	printedLink = regexp.MustCompile(`^\d+: ([^:@\s]+)[:@]`)
)

func (r *reader) addressesPrinted(file string, data []byte) {
	var links []struct {
		Name      string `json:"ifname"`
		Addresses []struct {
			Local  netip.Addr `json:"local"`
			Length int        `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if json.Unmarshal(data, &links) == nil {
		for _, l := range links {
			for _, a := range l.Addresses {
				r.onNetwork(l.Name, netip.PrefixFrom(a.Local, a.Length), evidence.Position{File: file})
			}
		}
		return
	}
	link := ""
	for _, l := range lines(data, "") {
		if m := printedAddr.FindStringSubmatch(l.text); m != nil {
			name := link
			if m[1] != "" {
				name = m[1]
			}
			if p, err := netip.ParsePrefix(m[2]); err == nil {
				r.onNetwork(name, p, evidence.Position{File: file, Line: l.number})
			}
		} else if m := printedLink.FindStringSubmatch(l.text); m != nil {
			link = m[1]
		}
	}
}

// addressesConfigured reads the static addresses of netplan, systemd-networkd,
// NetworkManager, ifcfg files and ifupdown.
func (r *reader) addressesConfigured() {
	for _, dir := range []string{"/etc/netplan", "/run/netplan", "/lib/netplan"} {
		names, _ := r.names(dir)
		for _, name := range names[:min(len(names), maxIncluded)] {
			if ext := path.Ext(name); ext == ".yaml" || ext == ".yml" {
				r.netplan(path.Join(dir, name))
			}
		}
	}
	for dir, suffix := range map[string]string{
		"/etc/systemd/network": ".network", "/run/systemd/network": ".network",
		"/etc/NetworkManager/system-connections": ".nmconnection",
		"/etc/sysconfig/network-scripts":         "", "/etc/network/interfaces.d": "", "/etc/network": "interfaces",
	} {
		names, _ := r.names(dir)
		for _, name := range names[:min(len(names), maxIncluded)] {
			if strings.HasSuffix(name, suffix) {
				r.addressLines(path.Join(dir, name))
			}
		}
	}
}

func (r *reader) netplan(file string) {
	data, there, err := r.read(file)
	if !there || err != nil {
		return
	}
	var config struct {
		Network map[string]json.RawMessage `json:"network"`
	}
	doc, outline, err := decodeYAML(file, data)
	if text, bad := json.Marshal(doc); err != nil || bad != nil || json.Unmarshal(text, &config) != nil {
		return
	}
	for _, sort := range []string{"ethernets", "bonds", "bridges", "vlans", "wifis"} {
		var links map[string]struct {
			Addresses []json.RawMessage `json:"addresses"`
		}
		if json.Unmarshal(config.Network[sort], &links) != nil {
			continue
		}
		for name, link := range links {
			for i, raw := range link.Addresses {
				var text string
				if json.Unmarshal(raw, &text) != nil {
					continue
				}
				if p, err := netip.ParsePrefix(text); err == nil {
					r.onNetwork(name, p, outline.Place(evidence.NewPath("network", sort, name, "addresses").Index(i, "")))
				}
			}
		}
	}
}

// addressLine matches the lines that give an interface an address: Address=10.0.0.11/24,
// address1=10.0.0.11/24,10.0.0.1, IPADDR=10.0.0.11, address 10.0.0.11/24.
var (
	addressLine = regexp.MustCompile(`^(?i:address\d*|ipaddr\d*|ipv6addr)(?:\s*=\s*|\s+)"?([0-9a-fA-F:.]+(?:/\d+)?)`)
	maskLine    = regexp.MustCompile(`^(?i:netmask\d*|prefix\d*)(?:\s*=\s*|\s+)"?([0-9.]+)`)
)

func (r *reader) addressLines(file string) {
	data, there, err := r.read(file)
	if !there || err != nil {
		return
	}
	var bare netip.Addr
	var at evidence.Position
	for _, l := range lines(data, "#;") {
		if m := addressLine.FindStringSubmatch(l.text); m != nil {
			at = evidence.Position{File: file, Line: l.number}
			if p, err := netip.ParsePrefix(m[1]); err == nil {
				r.onNetwork(path.Base(file), p, at)
			} else {
				bare, _ = netip.ParseAddr(m[1])
			}
		}
		if m := maskLine.FindStringSubmatch(l.text); m != nil && bare.Is4() {
			bits, err := strconv.Atoi(m[1])
			if mask, errMask := netip.ParseAddr(m[1]); errMask == nil {
				bits, err = maskBits(mask), nil
			}
			if err == nil && bits > 0 && bits <= 32 {
				r.onNetwork(path.Base(file), netip.PrefixFrom(bare, bits), at)
				bare = netip.Addr{}
			}
		}
	}
}
