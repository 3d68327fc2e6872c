package process

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// A row is one process as ps is made to print it in every way.
type row struct {
	pid        int
	user, args string
}

var rowsOfNode = []row{
	{1, "root", "/usr/lib/systemd/systemd --switched-root --system"},
	{2, "root", "[kthreadd]"},
	{30, "root", "/usr/bin/containerd"},
	{114, "root", "/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --node-labels a=b"},
	{382, "etcd", "etcd --data-dir=/var/lib/etcd " + strings.Repeat("--x=yyyyyyyyyyyyyyyyyyyyyyyyy ", 30) + "--end=1"},
}

// prints are the ways to print a row.
var prints = map[string]struct {
	heading string
	line    func(row) string
}{
	"ps -eo pid,user,args":    {"    PID USER     COMMAND", func(r row) string { return fmt.Sprintf("%7d %-8s %s", r.pid, r.user, r.args) }},
	"ps -eo pid=,user=,args=": {"", func(r row) string { return fmt.Sprintf("%7d %-8s %s", r.pid, r.user, r.args) }},
	"ps -ef": {"UID          PID    PPID  C STIME TTY          TIME CMD", func(r row) string {
		return fmt.Sprintf("%-8s %7d %7d  0 Nov23 ?        00:00:01 %s", r.user, r.pid, r.pid-1, r.args)
	}},
	"ps -ef without a heading": {"", func(r row) string {
		return fmt.Sprintf("%-8s %7d %7d  0 07:37 ?        00:00:01 %s", r.user, r.pid, r.pid-1, r.args)
	}},
	"ps aux": {"USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND", func(r row) string {
		return fmt.Sprintf("%-8s %7d  0.0  0.1 1234567 12345 ?        Ssl  07:37   0:01 %s", r.user, r.pid, r.args)
	}},
	"ps auxm": {"USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND", func(r row) string {
		return fmt.Sprintf("%-8s %7d  0.0  0.1 1234567 12345 ?        -    07:37   0:01 %s\n%-8s       -  0.0    -      -     - -        Ssl  07:37   0:00 -", r.user, r.pid, r.args, r.user)
	}},
	"ps alx": {"F   UID     PID    PPID PRI  NI    VSZ   RSS WCHAN  STAT TTY        TIME COMMAND", func(r row) string {
		uid := map[string]int{"root": 0, "etcd": 996}[r.user]
		return fmt.Sprintf("4 %5d %7d %7d  20   0  12345  1234 -      Ss   ?          0:01 %s", uid, r.pid, r.pid-1, r.args)
	}},
	"ps with the day": {"F S   UID     PID                  STARTED CMD", func(r row) string {
		uid := map[string]int{"root": 0, "etcd": 996}[r.user]
		return fmt.Sprintf("4 S %5d %7d Mon Nov 23 07:37:43 2026 %s", uid, r.pid, r.args)
	}},
	"ps f":                  {"    PID USER     COMMAND", func(r row) string { return fmt.Sprintf("%7d %-8s  |   \\_ %s", r.pid, r.user, r.args) }},
	"with carriage returns": {"    PID USER     COMMAND\r", func(r row) string { return fmt.Sprintf("%7d %-8s %s\r", r.pid, r.user, r.args) }},
}

func printed(heading string, line func(row) string, rows []row) string {
	var b strings.Builder
	if heading != "" {
		b.WriteString(heading + "\n")
	}
	for _, r := range rows {
		b.WriteString(line(r) + "\n")
	}
	return b.String()
}

func readTexts(t *testing.T, texts map[string]string) *Table {
	t.Helper()
	table, err := Read(t.Context(), tree.New(files(texts)), everything)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Whatever columns are printed, the same runs.
func TestListing(t *testing.T) {
	for name, p := range prints {
		table := readTexts(t, map[string]string{"gabion/ps.txt": printed(p.heading, p.line, rowsOfNode)})
		var got []row
		for _, p := range table.Processes {
			if p.At.File != PsText || p.At.Line == 0 || p.Cut != "" {
				t.Errorf("%s: %d is at %+v, %q", name, p.PID, p.At, p.Cut)
			}
			user := p.User
			switch p.UID {
			case 0:
				user = "root"
			case 996:
				user = "etcd"
			}
			got = append(got, row{p.PID, user, strings.Join(p.Args, " ")})
		}
		want := append([]row{rowsOfNode[0]}, rowsOfNode[2:]...)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if why := table.Unseen[evidence.TheProcesses]; why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// Where a terminal cut the lines, no process of a cut line passes for whole, at any width.
func TestListingThatIsCut(t *testing.T) {
	for name, p := range prints {
		if strings.HasPrefix(name, "with carriage") {
			continue
		}
		for width := 40; width < 400; width += 7 {
			lines := strings.Split(printed(p.heading, p.line, rowsOfNode), "\n")
			for i, l := range lines {
				lines[i] = l[:min(len(l), width)]
			}
			for _, found := range readTexts(t, map[string]string{"gabion/ps.txt": strings.Join(lines, "\n")}).Processes {
				for _, r := range rowsOfNode {
					if r.pid == found.PID && strings.Join(found.Args, " ") != r.args && found.Cut == "" && found.Hidden == "" {
						t.Fatalf("%s at %d: %v passes for whole", name, width, found.Args)
					}
				}
			}
		}
	}
}

func TestListingOfLess(t *testing.T) {
	for name, test := range map[string]struct{ text, why string }{
		"names":             {"    PID TTY          TIME CMD\n      1 ?        00:00:01 systemd\n    391 ?        00:10:01 kube-apiserver\n", "only the names"},
		"without the first": {"    391 root     kube-apiserver --x=y\n    392 root     sleep 1\n", "the first process is missing"},
		"commands":          {"kube-apiserver --x=y \nsleep 1 \n", "the first process is missing"},
		"blank":             {" \n\n", "there is no /proc"},
		"not a text":        {"kubelet \xff\xfe --x\n", "there is no /proc"},
	} {
		table := readTexts(t, map[string]string{"gabion/ps.txt": test.text})
		if why := table.Unseen[evidence.TheProcesses]; !strings.Contains(why, test.why) {
			t.Errorf("%s: %q, want %q", name, why, test.why)
		}
	}
	// A longer line than the others is whole, of whatever length, where each ends in a blank.
	for _, p := range readTexts(t, map[string]string{"gabion/cmdlines.txt": "kubelet --x=y \nsleep \n"}).Processes {
		if p.Cut != "" {
			t.Errorf("%v: %s", p.Args, p.Cut)
		}
	}
	// What /proc tells is not told by a text.
	table := readTexts(t, map[string]string{"proc/1/cmdline": "init\x00", "gabion/ps.txt": "1 root kubelet --x\n"})
	if len(table.Processes) != 1 || table.Processes[0].Args[0] != "init" {
		t.Errorf("%+v", table.Processes)
	}
	// The text that has the arguments is taken, and a sosreport is looked through.
	table = readTexts(t, map[string]string{
		"proc/391/status":                      "Name:\tkube-apiserver\n",
		"sos_commands/process/ps_axo_pid_comm": "  PID COMMAND\n    1 systemd\n  391 kube-apiserver\n",
		"sos_commands/process/ps_auxwwwm":      printed(prints["ps auxm"].heading, prints["ps auxm"].line, rowsOfNode),
	})
	if len(table.Processes) != 4 || table.Processes[0].At.File != "/sos_commands/process/ps_auxwwwm" {
		t.Errorf("%+v", table.Processes)
	}
}

func TestPrintedSockets(t *testing.T) {
	const ss = `Netid State  Recv-Q Send-Q              Local Address:Port  Peer Address:PortProcess
udp   UNCONN 0      0                       127.0.0.1:323        0.0.0.0:*    users:(("chronyd",pid=70,fd=5))
udp   ESTAB  0      0                   10.0.0.11%eth0:68       10.0.0.1:67
tcp   LISTEN 0      4096                127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=71,fd=14))
tcp   LISTEN 0      4096                            *:6443             *:*    users:(("kube-apiserver",pid=391,fd=5))
	 skmem:(r0,rb131072,t0) cubic
tcp   ESTAB  0      0                       10.0.0.11:6443      10.0.0.12:4000
tcp   LISTEN 0      4096                         [::]:22              [::]:*
u_str LISTEN 0      4096   /run/x.sock 123                         * 0
`
	const netstat = `Active Internet connections (only servers)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name
tcp        0      0 127.0.0.53:53           0.0.0.0:*               LISTEN      71/systemd-resolve
tcp6       0      0 :::6443                 :::*                    LISTEN      391/kube-apiserver
tcp6       0      0 :::22                   :::*                    LISTEN      -
tcp        0      0 10.0.0.11:6443          10.0.0.12:4000          ESTABLISHED 391/kube-apiserver
udp        0      0 127.0.0.1:323           0.0.0.0:*                           70/chronyd
`
	const sos = `Proto Recv-Q Send-Q Local Address           Foreign Address         State       User       Inode      PID/Program name     Timer
tcp        0      0 127.0.0.53:53           0.0.0.0:*               LISTEN      0          1234       71/systemd-resolve   off (0.00/0/0)
tcp6       0      0 :::6443                 :::*                    LISTEN      0          1234       391/kube-apiserver   off (0.00/0/0)
tcp6       0      0 :::22                   :::*                    LISTEN      0          1234       -                    off (0.00/0/0)
udp        0      0 127.0.0.1:323           0.0.0.0:*                           0          1234       70/chronyd           off (0.00/0/0)
`
	at := netip.MustParseAddrPort
	want := []evidence.Socket{
		{Protocol: "tcp", Address: at("127.0.0.53:53"), Process: "systemd-resolved"},
		{Protocol: "tcp", Address: at("[::]:22")},
		{Protocol: "tcp", Address: at("[::]:6443"), Process: "kube-apiserver"},
		{Protocol: "udp", Address: at("127.0.0.1:323"), Process: "chronyd"},
	}
	const ps = "1 root init --x\n71 root /usr/lib/systemd/systemd-resolved\n"
	for file, text := range map[string]string{
		"gabion/ss.txt": ss, "gabion/netstat.txt": netstat, "sos_commands/networking/ss_-peaonmi": ss, "sos_commands/networking/netstat_-W_-neopa": sos,
	} {
		table := readTexts(t, map[string]string{file: text, "gabion/ps.txt": ps})
		if diff := cmp.Diff(want, table.Sockets, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s: -want +got\n%s", file, diff)
		}
		if len(table.Unseen) != 0 {
			t.Errorf("%s: %v", file, table.Unseen)
		}
	}
	// One protocol alone says nothing of the other, and names say no numbers.
	table := readTexts(t, map[string]string{"gabion/ss.txt": "State  Recv-Q Send-Q Local Address:Port Peer Address:Port\nLISTEN 0 5 [::]:22 [::]:*\n"})
	if len(table.Sockets) != 1 || table.Unseen[evidence.TheSockets] != "" || table.Unseen[evidence.TheDatagrams] == "" {
		t.Errorf("%+v", table)
	}
	table = readTexts(t, map[string]string{"gabion/ss.txt": "LISTEN 0 5 [::]:ssh [::]:*\n"})
	if table.Unseen[evidence.TheSockets] == "" {
		t.Errorf("%+v", table)
	}
	// Of a copy of /proc/net a text tells who listens.
	table = readTexts(t, map[string]string{"proc/net/tcp": tcp, "gabion/ss.txt": `LISTEN 0 5 127.0.0.1:2379 0.0.0.0:* users:(("etcd",pid=1,fd=1))`, "gabion/ps.txt": ps})
	if n := len(table.Sockets); n == 0 || table.Sockets[n-1].Process != "init" {
		t.Errorf("%+v", table.Sockets)
	}
}

// No text of such programs, however it is broken, does harm or makes up what is not there.
func TestBrokenTexts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, p := range prints {
		whole := printed(p.heading, p.line, rowsOfNode)
		for range 300 {
			text := []byte(whole)
			for range 1 + random.IntN(8) {
				i := random.IntN(len(text))
				text[i] = " \n\t-[]%:\x00\\*0aZ"[random.IntN(14)]
			}
			for _, found := range readTexts(t, map[string]string{"gabion/ps.txt": string(text), "gabion/ss.txt": string(text)}).Processes {
				if line := strings.Split(string(text), "\n")[found.At.Line-1]; len(found.Args) > 0 && !strings.Contains(line, found.Args[0]) {
					t.Fatalf("%s: %v is not in line %q", name, found.Args, line)
				}
			}
		}
	}
}

func FuzzTexts(f *testing.F) {
	for _, p := range prints {
		f.Add(printed(p.heading, p.line, rowsOfNode))
	}
	f.Fuzz(func(t *testing.T, content string) {
		if l := parseListing(text{"/x", content}); l != nil {
			for _, p := range l.processes {
				if p.At.Line < 1 || p.At.Line > strings.Count(content, "\n")+1 {
					t.Errorf("line %d", p.At.Line)
				}
			}
		}
		for _, s := range func() []told { list, _, _ := parseSockets(content); return list }() {
			if !s.Address.IsValid() {
				t.Errorf("%+v", s)
			}
		}
	})
}
