package flows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// texts writes flows one by one, with what was made of the rest.
func texts(l *Log) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d records, %d ignored, %d bad\n", l.Format, l.Records, l.Ignored, l.BadCount)
	for _, f := range l.Flows {
		fmt.Fprintf(&b, "%d: %s => %s : %s %d x%d", f.Line, end(f.Src), end(f.Dst), f.Protocol, f.Port, f.Count)
		if f.Dropped {
			b.WriteString(" dropped")
		}
		b.WriteString("\n")
	}
	for _, bad := range l.Bad {
		fmt.Fprintf(&b, "bad %d: %s\n", bad.Line, bad.Reason)
	}
	return b.String()
}

func end(p Peer) string {
	parts := []string{p.String()}
	for _, more := range []string{p.Kind, p.Labels, p.Entity, p.Domain} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	return strings.Join(parts, " ")
}

func TestRead(t *testing.T) {
	tests := []struct{ name, log, want string }{
		{"Hubble", `
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"TCP":{"source_port":40000,"destination_port":8080}},"source":{"namespace":"shop","labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"web-5d-x","workloads":[{"name":"web","kind":"Deployment"}]},"destination":{"namespace":"shop","labels":["k8s:app=cart"],"pod_name":"cart-0"}},"node_name":"n"}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.2","destination":"10.0.0.1"},"l4":{"TCP":{"source_port":8080,"destination_port":40000}},"is_reply":true}}
{"flow":{"verdict":"DROPPED","IP":{"source":"10.0.0.1","destination":"203.0.113.9"},"l4":{"TCP":{"destination_port":443}},"source":{"namespace":"shop","pod_name":"web-5d-x"},"destination":{"labels":["reserved:world"]},"destination_names":["api.example.com."]}}
{"lost_events":{"num_events_lost":7}}
{"node_status":{"state_change":"NODE_CONNECTED"}}
{"flow":{"verdict":"FORWARDED","l4":{"ICMPv4":{"type":8}}}}
{"flow":{"verdict":"FORWARDED","IP":{"destination":"10.0.0.2"},"l4":{"TCP":{"destination_port":70000}}}}
`, `Hubble JSON: 7 records, 3 ignored, 2 bad
2: shop/web Deployment app=web => shop/cart-0 Pod app=cart : TCP 8080 x1
4: shop/web-5d-x Pod => api.example.com world api.example.com : TCP 443 x1 dropped
bad 5: events were lost on their way: the log is not whole
bad 8: json: cannot unmarshal number 70000 into Go struct field hubblePorts.flow.l4.TCP.destination_port of type uint16
`},
		{"Hubble, older", `{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"UDP":{"destination_port":53}}}`,
			"Hubble JSON: 1 records, 0 ignored, 0 bad\n1: 10.0.0.1 => 10.0.0.2 : UDP 53 x1\n"},
		{"Calico", `
{"source_type":"wep","source_namespace":"shop","source_name":"-","source_name_aggr":"web-5d-*","source_labels":{"labels":["tier=front","app=web"]},"dest_type":"wep","dest_namespace":"shop","dest_name_aggr":"cart-*","dest_port":8080,"proto":"tcp","action":"allow","num_flows":4}
{"source_type":"wep","source_namespace":"shop","source_name":"-","source_name_aggr":"web-5d-*","dest_type":"net","dest_name_aggr":"pub","dest_ip":"203.0.113.9","dest_port":"443","proto":6,"action":"deny"}
{"source_type":"wep","source_namespace":"shop","source_name_aggr":"web-*","dest_type":"net","dest_name_aggr":"pub","dest_port":null,"proto":"icmp","action":"allow"}
{"source_type":"wep","dest_type":"net","proto":"tcp"}
`, `Calico flow log: 4 records, 1 ignored, 1 bad
2: shop/web-5d Pod app=web,tier=front => shop/cart Pod : TCP 8080 x4
3: shop/web-5d Pod => 203.0.113.9 world : TCP 443 x1 dropped
bad 5: no port that world is connected to
`},
		{"conntrack", `conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.
tcp      6 431999 ESTABLISHED src=10.244.1.5 dst=10.96.0.10 sport=44782 dport=80 src=10.244.0.3 dst=10.244.1.5 sport=8080 dport=44782 [ASSURED] mark=0 use=1
udp      17 25 src=10.244.1.5 dst=10.96.0.10 sport=5353 dport=53 [UNREPLIED] src=10.244.0.3 dst=10.244.1.5 sport=53 dport=5353 mark=0 use=1
ipv6     10 tcp      6 117 SYN_SENT src=fd00::5 dst=fd00::9 sport=44 dport=80 [UNREPLIED] src=fd00::9 dst=fd00::5 sport=80 dport=44
icmp     1 29 src=10.244.1.5 dst=10.96.0.10 type=8 code=0 id=1 src=10.244.0.3 dst=10.244.1.5 type=0 code=0 id=1
tcp      6 1 CLOSE src=10.244.1 dst=10.96.0.10 sport=1 dport=2
`, `conntrack: 6 records, 2 ignored, 1 bad
2: 10.244.1.5 => 10.244.0.3 : TCP 8080 x1
3: 10.244.1.5 => 10.244.0.3 : UDP 53 x1
4: fd00::5 => fd00::9 : TCP 80 x1
bad 6: src: ParseAddr("10.244.1"): IPv4 address too short
`},
		{"AWS", `version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 123456789010 eni-1 172.31.16.139 172.31.16.21 40641 22 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 172.31.16.21 172.31.16.139 22 40641 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK
2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - NODATA
2 123456789010 eni-1 172.31.9.69 172.31.9.12 49761 x 6 20 4249 1418530010 1418530070 REJECT OK
2 123456789010 eni-1
`, `AWS VPC flow log: 7 records, 3 ignored, 2 bad
2: 172.31.16.139 => 172.31.16.21 : TCP 22 x1
4: 172.31.9.69 => 172.31.9.12 : TCP 3389 x1 dropped
bad 6: dstport: "x": want a number to 65535
bad 7: 3 fields instead of 14
`},
		{"AWS without a heading, and one of its own", "2 1 eni-1 10.0.0.1 10.0.0.2 40641 22 17 20 4249 1 2 ACCEPT OK\nsrcaddr dstaddr srcport dstport protocol pkt-srcaddr pkt-dstaddr\n10.0.0.1 10.0.0.2 40000 80 6 10.9.0.1 10.9.0.2\n",
			"AWS VPC flow log: 3 records, 1 ignored, 0 bad\n1: 10.0.0.1 => 10.0.0.2 : UDP 22 x1\n3: 10.9.0.1 => 10.9.0.2 : TCP 80 x1\n"},
		{"Google Cloud, as an array over many lines", `[
  {"jsonPayload": {"connection": {"src_ip": "10.4.0.5", "src_port": 41000, "dest_ip": "10.4.0.9", "dest_port": 6379, "protocol": 6},
    "src_gke_details": {"pod": {"pod_name": "web-5d-x", "pod_namespace": "shop", "pod_workload": {"workload_name": "web"}}},
    "dest_gke_details": {"pod": {"pod_name": "redis-0", "pod_namespace": "shop"}}}},
  {"jsonPayload": {"connection": {"src_ip": "10.4.0.9", "src_port": 6379, "dest_ip": "10.4.0.5", "dest_port": "41000", "protocol": "6"}}},
  {"jsonPayload": {"connection": {"src_ip": "10.4.0.9", "dest_ip": "10.4.0.5", "protocol": 6}}}
]`, `Google Cloud VPC flow log: 3 records, 1 ignored, 1 bad
1: shop/web => shop/redis-0 Pod : TCP 6379 x1
bad 3: no port that is connected to
`},
		{"CSV", "# made by hand\nsrc,dst,protocol,port,count\nshop/web,shop/Deployment/cart,tcp,8080,3\nshop/web,shop/Deployment/cart,TCP,8080,2\n10.0.0.1,world,udp,53,\nshop/web,\"api.example.com\",tcp,443,1\nshop/web,shop/cart,tcp\nshop/web,shop/cart,tcp,0,1\nshop/web,shop/cart,nonsense,1,1\n",
			`CSV: 8 records, 1 ignored, 3 bad
3: shop/web => shop/cart Deployment : TCP 8080 x5
5: 10.0.0.1 => world world : UDP 53 x1
6: shop/web => api.example.com api.example.com : TCP 443 x1
bad 7: 3 columns instead of 5
bad 8: no port that shop/cart is connected to
bad 9: protocol "nonsense" is not known
`},
		{"CSV in another order, with a mark of the byte order", "\ufeffport,protocol,dst,src\r\n80,tcp,a/b,c/d\r\n", "CSV: 2 records, 1 ignored, 0 bad\n2: c/d => a/b : TCP 80 x1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, err := Read("log", strings.NewReader(test.log))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, texts(l)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct{ log, want string }{
		{"", "is empty"},
		{"\n\n", "is empty"},
		{"hello\n", "line 1 is of no known form"},
		{"[]", "is empty"},
		{`[{"a":`, "entry 1"},
		{`{"flow":`, "no known form"},
	} {
		if _, err := Read("log", strings.NewReader(test.log)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %q", test.log, err, test.want)
		}
	}
	if _, err := Read("log", io.MultiReader(strings.NewReader("src,dst,protocol,port\n"), failing{})); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("error %v of a reader that fails", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk") }

// What is too long, too much or cut off is counted, and what comes after it is read.
func TestBounds(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("src,dst,protocol,port\n" + strings.Repeat("x", 2*MaxLine) + "\na/b,c/d,tcp,80\n")
	l, err := Read("log", &b)
	if err != nil || len(l.Flows) != 1 || l.BadCount != 1 || l.Bad[0].Line != 2 {
		t.Fatalf("a long line: %v, %+v", err, l)
	}
	b.Reset()
	b.WriteString("src,dst,protocol,port\n")
	for i := range MaxFlows + 7 {
		fmt.Fprintf(&b, "a/b%d,c/d,tcp,80\n", i)
	}
	if l, err = Read("log", &b); err != nil || len(l.Flows) != MaxFlows || l.Left != 7 {
		t.Fatalf("many flows: %v, %d kept, %d left out", err, len(l.Flows), l.Left)
	}
	b.Reset()
	b.WriteString(`[{"jsonPayload":{"connection":{"src_ip":"1.2.3.4","dest_ip":"1.2.3.5","src_port":40000,"dest_port":80,"protocol":6}}},"` + strings.Repeat("y", 3*MaxLine) + `"]`)
	if l, err = Read("log", &b); err == nil {
		t.Fatalf("an entry of %d bytes was read: %+v", 3*MaxLine, l)
	}
}

// Whatever is read, each record is a flow, ignored, bad or left out, and the text of
// ends and lines stays in bounds.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"src,dst,protocol,port,count\na/b,c/d,tcp,80,3\n", `{"flow":{"verdict":"FORWARDED","l4":{"TCP":{"destination_port":1}},"source":{"pod_name":"a","namespace":"b"}}}`,
		"tcp 6 1 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1\n",
		"2 1 eni-1 10.0.0.1 10.0.0.2 40641 22 17 20 4249 1 2 ACCEPT OK\n", `[{"jsonPayload":{"connection":{"dest_ip":"1.2.3.4"}}}]`,
		`{"source_type":"wep","dest_type":"net","dest_port":1,"proto":"tcp","dest_ip":"1.1.1.1","source_ip":"1.1.1.2"}`, "[", "[1,2", "\ufeff[{}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Read("log", bytes.NewReader(data))
		if err != nil {
			return
		}
		kept := uint64(0)
		for _, flow := range l.Flows {
			if flow.Line < 1 || flow.Count < 1 || flow.Protocol.HasPorts() && flow.Port == 0 {
				t.Fatalf("flow %+v", flow)
			}
			kept++
		}
		if kept > uint64(l.Records) || l.Ignored+l.BadCount > l.Records || len(l.Bad) > l.BadCount {
			t.Fatalf("%d records gave %d flows, %d ignored, %d bad", l.Records, kept, l.Ignored, l.BadCount)
		}
	})
}
