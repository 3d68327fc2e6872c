//go:build netns

// The firewall that gabion generate prints is loaded by nft in a network namespace
// and tried with packets. It needs root, nft and ip.
package generate_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/firewall"
	"github.com/gabion-k8s/gabion/internal/generate"
)

// The clients, by what they are to the node; each has the address 10.77.N.1 and
// fd77::N:1. The node is 10.77.0.1 and fd77::1.
var clients = []string{"control-plane", "node", "admin", "api-client", "pod", "metrics", "node-port-client", "etcd", "stranger"}

func (l *lab) addresses(names ...string) (list []netip.Prefix) {
	for i, name := range clients {
		if slices.Contains(names, name) {
			list = append(list, netip.MustParsePrefix(fmt.Sprintf("10.77.%d.0/24", i+1)), netip.MustParsePrefix(fmt.Sprintf("fd77::%d:0/112", i+1)))
		}
	}
	return list
}

// A nodePort is one that a proxy sends to a Pod, as kube-proxy does.
const nodePort = 31234

// who may reach which ports of the guide's tables, and which protocol they speak.
var tables = map[generate.Role][]struct {
	network string
	ports   []int
	who     []string
}{
	generate.ControlPlane: {
		{"tcp", []int{6443}, []string{"control-plane", "node", "admin", "api-client", "pod"}},
		{"tcp", []int{2379, 2380}, []string{"control-plane", "etcd"}},
		{"tcp", []int{10250}, []string{"control-plane", "metrics"}},
		{"tcp", []int{10257, 10259}, []string{"control-plane"}},
		{"tcp", []int{30000, nodePort, 32767}, []string{"node-port-client"}},
		{"udp", []int{30000, 32767}, []string{"node-port-client"}},
	},
	generate.Worker: {
		{"tcp", []int{10250}, []string{"control-plane", "metrics"}},
		{"tcp", []int{30000, nodePort, 32767}, []string{"node-port-client"}},
		{"udp", []int{30000, 32767}, []string{"node-port-client"}},
	},
	generate.Etcd: {
		{"tcp", []int{2379, 2380}, []string{"control-plane", "etcd"}},
		{"tcp", []int{10250}, []string{"control-plane", "metrics"}},
		{"tcp", []int{30000, nodePort, 32767}, []string{"node-port-client"}},
		{"udp", []int{30000, 32767}, []string{"node-port-client"}},
	},
}

var (
	tcpPorts = []int{22, 80, 2379, 2380, 6443, 10250, 10257, 10259, 29999, 30000, nodePort, 32767, 32768}
	udpPorts = []int{53, 30000, 32767}
)

// wanted says whether a connection is to come through.
func wanted(role generate.Role, defaultDrop bool, client, network string, port int) bool {
	for _, row := range tables[role] {
		if row.network == network && slices.Contains(row.ports, port) {
			return slices.Contains(row.who, client)
		}
	}
	if !defaultDrop || network == "tcp" && port == 22 && client == "admin" {
		return true
	}
	return slices.Contains([]string{"control-plane", "node", "etcd", "pod"}, client)
}

func TestFirewall(t *testing.T) {
	for _, program := range []string{"nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatal(err)
		}
	}
	l := newLab(t)
	for _, role := range generate.Roles() {
		for _, defaultDrop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s drop=%v", role, defaultDrop), func(t *testing.T) {
				text, err := generate.Firewall{
					Role: role, DefaultDrop: defaultDrop,
					ControlPlane: l.addresses("control-plane"), Nodes: l.addresses("node"), Etcd: l.addresses("etcd"), Pods: l.addresses("pod"),
					Admin: l.addresses("admin"), APIClients: l.addresses("api-client"), KubeletClients: l.addresses("metrics"), NodePortSources: l.addresses("node-port-client"),
				}.Ruleset()
				if err != nil {
					t.Fatal(err)
				}
				// All is open, and a stranger has a connection.
				l.node.run(t, "", "nft", "flush ruleset")
				l.node.run(t, proxy, "nft", "-f", "-")
				standing := l.open(t, "10.77.9.1", "10.77.0.1:10250")
				defer standing.Close()
				for range 2 { // twice is as once
					l.node.run(t, text, "nft", "--file", "-")
				}
				for _, n := range []*namespace{l.node, l.clients} { // neighbours are to be found anew
					n.run(t, "", "ip", "neigh", "flush", "all")
				}
				l.try(t, role, defaultDrop, text)
				if _, err := io.WriteString(standing, "x"); err != nil || reply(standing) != "x" {
					t.Errorf("a connection that stood is cut: %v", err)
				}
				// The node itself.
				for _, to := range []string{"127.0.0.1:10257", "10.77.0.1:6443", "[::1]:10257", "[fd77::1]:2379"} {
					if got := l.node.ask("tcp", "", to, 2*time.Second); got != "x" {
						t.Errorf("the node does not reach its own %s", to)
					}
				}
				l.node.run(t, "", "nft", "delete table inet gabion")
				if got := l.clients.ask("tcp", "10.77.9.1", "10.77.0.1:10250", 2*time.Second); got != "x" {
					t.Error("not open again when the table is gone")
				}
			})
		}
	}
}

// try makes every connection, and holds what the kernel does against the table and
// against what the rules are understood to do.
func (l *lab) try(t *testing.T, role generate.Role, defaultDrop bool, text string) {
	rules, err := firewall.ParseNft([]byte(l.node.run(t, "", "nft", "-j", "list table inet gabion")))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	room := make(chan bool, 40)
	for i, client := range clients {
		for source, node := range map[string]string{fmt.Sprintf("10.77.%d.1", i+1): "10.77.0.1", fmt.Sprintf("fd77::%d:1", i+1): "fd77::1"} {
			for network, ports := range map[string][]int{"tcp": tcpPorts, "udp": udpPorts} {
				for _, port := range ports {
					wait.Go(func() {
						room <- true
						defer func() { <-room }()
						want := wanted(role, defaultDrop, client, network, port)
						protocol := map[string]firewall.Protocol{"tcp": firewall.TCP, "udp": firewall.UDP}[network]
						verdict := rules.Admits(firewall.Packet{Interface: "eth0", Destination: netip.MustParseAddr(node), Protocol: protocol, Port: uint16(port)}, netip.MustParseAddr(source))
						if verdict.Outcome == firewall.Unknown || want != (verdict.Outcome == firewall.Allowed) {
							t.Errorf("%s from %s to %s %d: %v, want allowed %v", client, source, network, port, verdict, want)
						}
						patience := 400 * time.Millisecond
						if want {
							patience = 5 * time.Second // a busy machine
						}
						answer := l.clients.ask(network, source, net.JoinHostPort(node, fmt.Sprint(port)), patience)
						if (answer != "") != want {
							t.Errorf("%s from %s to %s %d: connected %v, want %v\n%s", client, source, network, port, answer != "", want, text)
						}
						if want && port == nodePort && answer != "pod" {
							t.Errorf("%s: the NodePort is answered by %q", source, answer)
						}
					})
				}
			}
		}
	}
	wait.Wait()
}

// proxy sends the NodePort to a Pod, where kube-proxy does.
const proxy = `table inet proxy {
	chain services {
		type nat hook prerouting priority dstnat; policy accept;
		meta nfproto ipv4 fib daddr type local tcp dport 31234 dnat ip to 10.99.0.2:8080
		meta nfproto ipv6 fib daddr type local tcp dport 31234 dnat ip6 to [fd99::2]:8080
	}
}
`

// A lab is three namespaces: the node, which filters and listens; its clients; and
// a Pod, behind the node.
type lab struct{ node, clients, pod *namespace }

func newLab(t *testing.T) *lab {
	l := &lab{newNamespace(t), newNamespace(t), newNamespace(t)}
	ip := func(n *namespace, args string, values ...any) {
		n.run(t, "", append([]string{"ip"}, strings.Fields(fmt.Sprintf(args, values...))...)...)
	}
	ip(l.node, "link set lo up")
	ip(l.node, "link add eth0 type veth peer name c0 netns %s", l.clients.path)
	ip(l.node, "link add cni0 type veth peer name p0 netns %s", l.pod.path)
	for _, a := range []string{"10.77.0.1/16 dev eth0", "fd77::1/64 dev eth0 nodad", "10.99.0.1/24 dev cni0", "fd99::1/64 dev cni0 nodad"} {
		ip(l.node, "addr add %s", a)
	}
	for i := range clients {
		ip(l.clients, "addr add 10.77.%d.1/16 dev c0", i+1)
		ip(l.clients, "addr add fd77::%d:1/64 dev c0 nodad", i+1)
	}
	ip(l.pod, "addr add 10.99.0.2/24 dev p0")
	ip(l.pod, "addr add fd99::2/64 dev p0 nodad")
	for n, devices := range map[*namespace][]string{l.node: {"eth0", "cni0"}, l.clients: {"c0"}, l.pod: {"p0"}} {
		for _, d := range devices {
			ip(n, "link set %s up", d)
		}
	}
	ip(l.pod, "route add default via 10.99.0.1")
	ip(l.pod, "-6 route add default via fd99::1")
	l.node.do(func() {
		for _, name := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
			if err := os.WriteFile(name, []byte("1"), 0o644); err != nil { // of this thread's namespace
				t.Error(err)
			}
		}
	})
	for _, port := range tcpPorts {
		l.node.echo(t, "tcp", port, "x")
	}
	for _, port := range udpPorts {
		l.node.echo(t, "udp", port, "x")
	}
	l.pod.echo(t, "tcp", 8080, "pod")
	return l
}

// open connects and proves that the connection stands.
func (l *lab) open(t *testing.T, from, to string) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	l.clients.within(func() { c, err = dial("tcp", from, to, 2*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, "x"); err != nil || reply(c) != "x" {
		t.Fatalf("no answer: %v", err)
	}
	return c
}

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

// within does it in the namespace on a thread of its own, beside others.
func (n *namespace) within(f func()) {
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		file, err := os.Open(n.path)
		if err != nil {
			panic(err)
		}
		defer file.Close()
		const setns = 308 // of amd64
		if _, _, errno := syscall.RawSyscall(setns, file.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
			panic(errno)
		}
		f()
	}()
	<-done
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

// echo answers on a port of every address.
func (n *namespace) echo(t *testing.T, network string, port int, answer string) {
	address := fmt.Sprintf(":%d", port)
	if network == "udp" {
		for _, host := range []string{"10.77.0.1", "fd77::1"} { // else it may answer from another
			n.do(func() {
				c, err := net.ListenPacket("udp", net.JoinHostPort(host, fmt.Sprint(port)))
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
				go func() {
					for buffer := make([]byte, 10); ; {
						_, from, err := c.ReadFrom(buffer)
						if err != nil {
							return
						}
						_, _ = c.WriteTo([]byte(answer), from)
					}
				}()
			})
		}
		return
	}
	n.do(func() {
		listener, err := net.Listen("tcp", address)
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
				go func() {
					defer c.Close()
					for buffer := make([]byte, 1); ; {
						if _, err := c.Read(buffer); err != nil {
							return
						}
						_, _ = io.WriteString(c, answer)
					}
				}()
			}
		}()
	})
}

// ask sends a word and returns what is answered, "" for nothing.
func (n *namespace) ask(network, from, to string, patience time.Duration) (answer string) {
	n.within(func() {
		c, err := dial(network, from, to, patience)
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, "x")
		answer = reply(c)
	})
	return answer
}

func dial(network, from, to string, patience time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		address := net.ParseIP(from)
		d.LocalAddr = &net.TCPAddr{IP: address}
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: address}
		}
	}
	// A literal address: it is dialled on the thread at hand.
	return d.Dial(network, to)
}

func reply(c net.Conn) string {
	buffer := make([]byte, 10)
	n, _ := c.Read(buffer)
	return string(buffer[:n])
}
