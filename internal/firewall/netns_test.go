//go:build netns

package firewall_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

// TestKernel asks the kernel: random filters are loaded in a network namespace,
// printed by nft and iptables-save, and every answer is held against real
// connections from another namespace. It needs root, nft, iptables and ip.
func TestKernel(t *testing.T) {
	for _, program := range []string{"nft", "ip", "iptables-restore", "ip6tables-restore", "iptables-save", "ip6tables-save"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatal(err)
		}
	}
	lab := newLab(t)
	const filters = 60
	seen := map[firewall.Outcome]int{}
	for seed := range filters {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 40)), unknowns: seed%5 == 0}
		tables := g.tables()
		lab.load(tables)
		rs := lab.read()
		for tried, connected := range lab.connections() {
			verdict := rs.Admits(firewall.Packet{Interface: "eth0", Destination: tried.to, Protocol: firewall.TCP, Port: uint16(tried.port)}, tried.from)
			seen[verdict.Outcome]++
			switch {
			case verdict.Outcome == firewall.Unknown && g.unknowns:
			case connected != (verdict.Outcome == firewall.Allowed) || verdict.Outcome == firewall.Unknown:
				// A busy machine may let a connection time out.
				if !connected && lab.connect(tried, 3*time.Second) {
					continue
				}
				t.Errorf("seed %d: from %s to port %d: connected %v, and the answer is %v\n%s", seed, tried.from, tried.port, connected, verdict, lab.inside("nft", "list", "ruleset"))
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Log(seen)
	if seen[firewall.Allowed] < filters || seen[firewall.Dropped] < filters {
		t.Errorf("answers %v: the filters are not random enough", seen)
	}
}

// A lab is two namespaces joined by a pair of devices: the node, which filters
// and listens, and clients.
type lab struct {
	t             *testing.T
	node, clients *namespace
}

var (
	nodeAddresses   = []netip.Addr{netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd77::1")}
	clientAddresses = []string{"10.77.0.2", "10.77.0.3", "10.77.0.9", "10.77.1.5", "10.77.128.9", "fd77::2", "fd77::3", "fd77::1:7", "fd77::ffff:9"}
)

// A namespace is a thread that lives in a network namespace of its own and does
// there what it is sent.
type namespace struct {
	work chan func()
	path string
}

func newNamespace(t *testing.T) *namespace {
	n := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the namespace
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), syscall.Gettid())
		ready <- err
		for f := range n.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("no network namespace here: %v", err)
	}
	t.Cleanup(func() { close(n.work) })
	return n
}

func (n *namespace) do(f func()) {
	done := make(chan bool)
	n.work <- func() { f(); close(done) }
	<-done
}

// enter moves the calling thread, which must be locked, into the namespace.
func (n *namespace) enter() error {
	f, err := os.Open(n.path)
	if err != nil {
		return err
	}
	defer f.Close()
	const setns = 308 // of amd64
	if _, _, errno := syscall.RawSyscall(setns, f.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		return errno
	}
	return nil
}

func (n *namespace) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var out []byte
	var err error
	n.do(func() {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.Output()
	})
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("%v: %v\n%s", args, err, stdin)
	}
	return string(out)
}

func newLab(t *testing.T) *lab {
	if runtime.GOARCH != "amd64" {
		t.Skip("the number of setns is that of amd64")
	}
	l := &lab{t, newNamespace(t), newNamespace(t)}
	ip := func(n *namespace, args string) { n.run(t, "", append([]string{"ip"}, strings.Fields(args)...)...) }
	ip(l.node, "link set lo up")
	ip(l.node, "link add eth0 type veth peer name c0 netns "+l.clients.path)
	for _, a := range []string{"10.77.0.1/16", "fd77::1/64"} {
		ip(l.node, "addr add "+a+" dev eth0"+nodad(a))
	}
	for _, a := range clientAddresses {
		length := "/16"
		if strings.Contains(a, ":") {
			length = "/64"
		}
		ip(l.clients, "addr add "+a+length+" dev c0"+nodad(a))
	}
	ip(l.node, "link set eth0 up")
	ip(l.clients, "link set c0 up")
	// Where a filter drops what IPv6 needs to find its neighbours, it is known already.
	for _, link := range []struct {
		at        *namespace
		dev, peer string
		addresses []string
	}{{l.node, "eth0", mac(l, l.clients, "c0"), clientAddresses}, {l.clients, "c0", mac(l, l.node, "eth0"), []string{"10.77.0.1", "fd77::1"}}} {
		for _, a := range link.addresses {
			ip(link.at, "neigh replace "+a+" lladdr "+link.peer+" dev "+link.dev+" nud permanent")
		}
	}
	for _, a := range nodeAddresses {
		for _, port := range testPorts {
			l.node.do(func() {
				listener, err := net.Listen("tcp", netip.AddrPortFrom(a, uint16(port)).String())
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { listener.Close() })
				go func() {
					for {
						c, err := listener.Accept()
						if err != nil {
							return
						}
						c.Close()
					}
				}()
			})
		}
	}
	return l
}

func nodad(a string) string {
	if strings.Contains(a, ":") {
		return " nodad"
	}
	return ""
}

func mac(l *lab, n *namespace, dev string) string {
	fields := strings.Fields(n.run(l.t, "", "ip", "-o", "link", "show", dev))
	for i, f := range fields {
		if f == "link/ether" {
			return fields[i+1]
		}
	}
	l.t.Fatalf("device %s has no address", dev)
	return ""
}

func (l *lab) inside(args ...string) string { return l.node.run(l.t, "", args...) }

func (l *lab) load(tables []*testTable) {
	l.node.run(l.t, "flush ruleset\n"+nftScript(tables), "nft", "-f", "-")
	text4, _ := iptablesSave(tables, "ip")
	text6, _ := iptablesSave(tables, "ip6")
	if text4 != "" {
		l.node.run(l.t, text4, "iptables-restore")
	}
	if text6 != "" {
		l.node.run(l.t, text6, "ip6tables-restore")
	}
}

// read gives the dumps to the room.
func (l *lab) read() *firewall.Ruleset {
	nft, err := firewall.ParseNft([]byte(l.inside("nft", "-j", "list", "ruleset")))
	if err != nil {
		l.t.Fatal(err)
	}
	v4, err := firewall.ParseIptables([]byte(l.inside("iptables-save")), firewall.IPv4)
	if err != nil {
		l.t.Fatal(err)
	}
	v6, err := firewall.ParseIptables([]byte(l.inside("ip6tables-save")), firewall.IPv6)
	if err != nil {
		l.t.Fatal(err)
	}
	return firewall.Join(nft, v4, v6)
}

// A try is one connection from a client to the node.
type try struct {
	from, to netip.Addr
	port     int
}

// connections tries every client and port at once.
func (l *lab) connections() map[try]bool {
	results := map[try]bool{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, a := range clientAddresses {
		from := netip.MustParseAddr(a)
		to := nodeAddresses[0]
		if from.Is6() {
			to = nodeAddresses[1]
		}
		for _, port := range testPorts {
			wait.Go(func() {
				c := try{from, to, port}
				ok := l.connect(c, 300*time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				results[c] = ok
			})
		}
	}
	wait.Wait()
	return results
}

func (l *lab) connect(c try, patience time.Duration) bool {
	result := make(chan bool)
	go func() {
		runtime.LockOSThread()
		if err := l.clients.enter(); err != nil {
			l.t.Error(err)
			result <- false
			return
		}
		result <- l.dial(c, patience)
	}()
	return <-result
}

// dial waits for the answer to the first packet alone: what becomes of those
// that follow is no part of the question, and an error of theirs none here.
func (l *lab) dial(c try, patience time.Duration) bool {
	family, to, from := syscall.AF_INET6, sockaddr(c.to, c.port), sockaddr(c.from, 0)
	if c.to.Is4() {
		family = syscall.AF_INET
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err != nil {
		l.t.Error(err)
		return false
	}
	defer syscall.Close(fd)
	timeout := syscall.NsecToTimeval(patience.Nanoseconds())
	if err := errors.Join(syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &timeout), syscall.Bind(fd, from)); err != nil {
		l.t.Error(err)
		return false
	}
	for {
		switch err := syscall.Connect(fd, to); err {
		case nil, syscall.EISCONN:
			return true
		case syscall.EINTR, syscall.EALREADY:
		default:
			return false
		}
	}
}

func sockaddr(a netip.Addr, port int) syscall.Sockaddr {
	if a.Is4() {
		return &syscall.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &syscall.SockaddrInet6{Port: port, Addr: a.As16()}
}

// nftScript writes tables in the language of nft.
func nftScript(tables []*testTable) string {
	var b strings.Builder
	for _, t := range tables {
		if t.iptables {
			continue
		}
		fmt.Fprintf(&b, "table %s %s {\n", t.family, t.name)
		for i := len(t.chains) - 1; i >= 0; i-- { // those that are called first
			for _, r := range t.chains[i].rules {
				if r.named {
					kind := "ipv4_addr"
					if r.sources[0].Addr().Is6() {
						kind = "ipv6_addr"
					}
					fmt.Fprintf(&b, "set s%d { type %s; flags interval; elements = { %s }; }\n", r.handle, kind, list(r.sources))
				}
			}
			c := t.chains[i]
			fmt.Fprintf(&b, "chain %s {\n", c.name)
			if c.hook != "" {
				policy := map[bool]string{true: "drop", false: "accept"}[c.drop]
				fmt.Fprintf(&b, "type filter hook %s priority %d; policy %s;\n", c.hook, c.priority, policy)
			}
			for _, r := range c.rules {
				b.WriteString(r.nft() + "\n")
			}
			b.WriteString("}\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func list(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

func (r *testRule) nft() string {
	var b strings.Builder
	not := func(n bool) string { return map[bool]string{true: "!= ", false: ""}[n] }
	source := func(p netip.Prefix) string {
		if p.Addr().Is4() {
			return "ip saddr "
		}
		return "ip6 saddr "
	}
	var ports []string
	for _, p := range r.ports {
		ports = append(ports, portRange(p))
	}
	switch {
	case r.joined:
		var elements []string
		for _, s := range r.sources {
			for _, p := range ports {
				elements = append(elements, s.String()+" . "+p)
			}
		}
		b.WriteString(source(r.sources[0]) + ". tcp dport { " + strings.Join(elements, ", ") + " } ")
	default:
		if r.named {
			fmt.Fprintf(&b, "%s%s@s%d ", source(r.sources[0]), not(r.notSources), r.handle)
		} else if len(r.sources) > 0 {
			b.WriteString(source(r.sources[0]) + not(r.notSources) + "{ " + list(r.sources) + " } ")
		}
		if len(ports) > 0 {
			b.WriteString("tcp dport " + not(r.notPorts) + "{ " + strings.Join(ports, ", ") + " } ")
		}
	}
	if r.state != "" {
		state := r.state
		if r.notState || strings.Contains(state, "untracked") {
			state = "{ " + state + " }"
		}
		b.WriteString("ct state " + not(r.notState) + state + " ")
	}
	if r.iface != "" {
		fmt.Fprintf(&b, "iifname %s%q ", not(r.notIface), r.iface)
	}
	if r.mark[1] != 0 {
		fmt.Fprintf(&b, "meta mark & %#x == %#x ", r.mark[1], r.mark[0])
	}
	if r.limit != "" {
		b.WriteString("limit rate " + map[string]string{"under": "", "over": "over "}[r.limit] + "1000/second burst 1000 packets ")
	}
	if r.unknown {
		b.WriteString("meta cpu 0 ")
	}
	b.WriteString("counter ")
	switch r.effect {
	case "none":
	case "mark":
		fmt.Fprintf(&b, "meta mark set meta mark & %#x ^ %#x", ^r.set[1], r.set[0])
	case "vmap":
		key := "tcp dport"
		var elements []string
		for _, branch := range r.branches {
			at := portRange(branch.ports)
			if branch.source.IsValid() {
				key, at = source(branch.source), branch.source.String()
			}
			elements = append(elements, at+" : "+strings.TrimSpace(branch.effect+" "+branchTarget(branch)))
		}
		b.WriteString(key + " vmap { " + strings.Join(elements, ", ") + " }")
	case "jump", "goto":
		b.WriteString(r.effect + " " + r.target)
	case "reject":
		b.WriteString("reject with icmpx port-unreachable")
	default:
		b.WriteString(r.effect)
	}
	return b.String()
}

func branchTarget(b testBranch) string {
	if b.effect == "jump" || b.effect == "goto" {
		return b.target
	}
	return ""
}

func portRange(p [2]int) string {
	if p[0] == p[1] {
		return fmt.Sprint(p[0])
	}
	return fmt.Sprintf("%d-%d", p[0], p[1])
}
