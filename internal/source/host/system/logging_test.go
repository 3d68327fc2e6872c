package system

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestJournald(t *testing.T) {
	h := node(map[string]string{
		"usr/lib/systemd/journald.conf":               "[Journal]\nStorage=none\n",
		"etc/systemd/journald.conf":                   "[Other]\nStorage=x\n[Journal]\n#Storage=auto\nStorage=persistent\nSystemMaxUse=1G\n",
		"usr/lib/systemd/journald.conf.d/syslog.conf": "[Journal]\nForwardToSyslog=yes\nSystemMaxUse=2G\n",
		"etc/systemd/journald.conf.d/90.conf":         "[Journal]\nForwardToSyslog=no\n",
		"var/log/journal/x/system.journal":            "",
	})
	same(t, map[string]evidence.Setting{
		"Storage":         setting("persistent", "/etc/systemd/journald.conf", 5),
		"SystemMaxUse":    setting("2G", "/usr/lib/systemd/journald.conf.d/syslog.conf", 3),
		"ForwardToSyslog": setting("yes", "/usr/lib/systemd/journald.conf.d/syslog.conf", 2),
	}, h.Logging.Journald)
	if !h.Logging.PersistentJournal {
		t.Error("/var/log/journal is there")
	}
	if saw, why := h.Saw(evidence.TheLogging); !saw {
		t.Error(why)
	}
	if h := node(map[string]string{"lib/systemd/systemd-journald": ""}); h.Logging.Journald == nil || h.Logging.PersistentJournal {
		t.Error("journald without configuration")
	}
}

// outputs tells each output in a line: target, protocol, TLS, verified, buffered, line.
func outputs(d evidence.LogDaemon) string {
	say := func(name string, b *bool) string {
		switch {
		case b == nil:
			return " " + name + "?"
		case *b:
			return " " + name
		}
		return " no-" + name
	}
	var b strings.Builder
	for _, o := range d.Outputs {
		fmt.Fprintf(&b, "%s %s%s%s%s :%d\n", o.Target, o.Protocol, say("tls", o.TLS), say("verified", o.Verified), say("buffered", o.Buffered), o.Place.Line)
	}
	return b.String()
}

// Each configuration with the outputs that the program would make of it, and with
// what of it is not understood.
func TestDaemons(t *testing.T) {
	for _, tt := range []struct {
		name, file, config string
		want, err          string
	}{
		{"rsyslog", "etc/rsyslog.conf", `# *.* @@commented:514
$WorkDirectory /var/spool/rsyslog
auth,authpriv.* /var/log/auth.log
*.* @logs.example
kern.*   @@[fd00::1]:6514;RSYSLOG_SyslogProtocol23Format # why
& @(z9)other
*.emerg :omusrmsg:*
/* *.* @@no
*/
local0.* :omrelp:relay:2514;Fmt
`, `logs.example:514 udp no-tls verified? no-buffered :4
[fd00::1]:6514 tcp no-tls verified? no-buffered :5
other:514 udp no-tls verified? no-buffered :6
relay:2514 relp no-tls verified? no-buffered :10
`, ""},
		{"rsyslog", "etc/rsyslog.conf", `$DefaultNetstreamDriver gtls
$ActionSendStreamDriverMode 1
$ActionSendStreamDriverAuthMode x509/name
$ActionQueueType LinkedList
$ActionQueueFileName fwd
$ActionResumeRetryCount -1
*.* @@a:6514
*.* @@b
`, "a:6514 tcp tls verified buffered :7\nb:514 tcp tls verified no-buffered :8\n", ""},
		{"rsyslog", "etc/rsyslog.conf", `global(defaultNetstreamDriver="ossl")
module(load="imuxsock" SysSock.Use="off")
template(name="x" type="string" string="a (b) @c # d")
if $programname == 'x' then {
  action(type="omfile" file="/var/log/x")
}
ruleset(name="send") {
  action(type="omfwd"   # a comment (
    target="a" port="6514" protocol="tcp"
    StreamDriverMode="1" StreamDriverAuthMode="anon"
    queue.type="LinkedList" queue.filename="q" action.resumeRetryCount="-1")
}
*.* action(type="omfwd" Target="b" Protocol="tcp") stop
action(type="omrelp" target="c" port="20514" tls="on" tls.authMode="name" tls.permittedPeer=["x", "y"])
action(type="omelasticsearch" server="es" serverport="9200" usehttps="on" allowUnsignedCerts="on")
`, `a:6514 tcp tls no-verified buffered :8
b:514 tcp no-tls verified? no-buffered :13
c:20514 relp tls verified no-buffered :14
es:9200 http tls no-verified no-buffered :15
`, ""},
		{"rsyslog", "etc/rsyslog.conf", "action(type=\"omfwd\" target=[\"a\", \"fd00::1\"] port=\"1\" protocol=\"udp\")\n",
			"a:1 udp no-tls verified? no-buffered :1\n[fd00::1]:1 udp no-tls verified? no-buffered :1\n", ""},
		{"rsyslog", "etc/rsyslog.conf", "action(type=\"omkinesis\" target=\"x\")\n", "", "omkinesis"},
		{"rsyslog", "etc/rsyslog.conf", "*.* :omhiredis:x\n", "", "omhiredis"},
		{"rsyslog", "etc/rsyslog.conf", "action(type=\"omfwd target=\n", "", "line 1"},
		{"rsyslog", "etc/rsyslog.conf", "$IncludeConfig /etc/no/such.conf\n", "", "such.conf is not there"},
		{"syslog-ng", "etc/syslog-ng/syslog-ng.conf", `@version: 4.2
@include "scl.conf"
source s { system(); internal(); };
destination d_local { file("/var/log/messages"); };
destination d_tls {
  network("a" port(6514) transport("tls")
    tls(ca-dir("/etc/ssl") peer-verify(optional-untrusted)) disk-buffer(reliable(yes)));
};
destination d_unused { network("no"); };
filter f { level(info..emerg) and not match("x(" value("MESSAGE")); };
log { source(s); filter(f); destination(d_local); destination(d_tls); };
log { source(s); destination { syslog('b' transport(tls)); udp("c"); tcp("d" port(1)); }; };
`, `b:6514 tcp tls verified no-buffered :12
c:514 udp no-tls verified? no-buffered :12
d:1 tcp no-tls verified? no-buffered :12
a:6514 tcp tls no-verified buffered :6
`, ""},
		{"syslog-ng", "etc/syslog-ng/syslog-ng.conf", "log { destination { mongodb(); }; };", "", "mongodb() is not understood"},
		{"syslog-ng", "etc/syslog-ng/syslog-ng.conf", "log { destination { network(\"`host`\"); }; };", "`host`:514 tcp no-tls verified? no-buffered :1\n", "not in the file"},
		{"syslog-ng", "etc/syslog-ng/syslog-ng.conf", "log { destination(x;", "", "does not close"},
		{"fluent-bit", "etc/fluent-bit/fluent-bit.conf", `[SERVICE]
    storage.path /var/lib/fb
[INPUT]
    Name tail
    storage.type  filesystem
[OUTPUT]
    Name   es
    Host   a
    Port   9200
    tls    On
    tls.verify Off
[OUTPUT]
    Name stdout
[OUTPUT]
    name forward
    host b
    tls ${TLS}
[OUTPUT]
    Name syslog
    Host c
    Mode udp
`, "a:9200 es tls no-verified buffered :6\nb forward tls? verified buffered :14\nc udp no-tls verified? buffered :18\n", ""},
		{"fluent-bit", "etc/fluent-bit/fluent-bit.conf", "[SERVICE]\nstorage.path /x\n[INPUT]\nstorage.type filesystem\n[INPUT]\nName tail\n[OUTPUT]\nName tcp\n[OUTPUT]\nName forward\nUpstream up.conf\n",
			"127.0.0.1 tcp no-tls verified? no-buffered :7\n", "up.conf"},
		{"fluent-bit", "etc/fluent-bit/fluent-bit.yaml", `pipeline:
  inputs:
    - name: tail
  outputs:
    - name: loki
      host: a
      port: 443
      tls: on
    - name: oddity
`, "a:443 loki tls verified no-buffered :5\n", `"oddity"`},
		{"fluentd", "etc/fluent/fluentd.conf", `<source>
  @type tail
</source>
<match kube.**>
  @type copy
  <store>
    @type forward
    transport tls
    <server>
      host a
      port 24225
    </server>
    <server>
      host b
    </server>
    <buffer>
      @type file
    </buffer>
  </store>
  <store>
    @type elasticsearch
    host c
    port 9200
    scheme https
    ssl_verify false
  </store>
</match>
<label @x>
  <match **>
    @type weird
  </match>
</label>
`, "a:24225 forward tls verified buffered :9\nb:24224 forward tls verified buffered :13\nc:9200 elasticsearch tls no-verified no-buffered :20\n", `"weird"`},
		{"fluentd", "etc/fluent/fluentd.conf", "<match **>\n@type forward\n", "", "does not end"},
		{"vector", "etc/vector/vector.yaml", `sinks:
  es: {type: elasticsearch, endpoints: ["https://a:9200"], tls: {verify_certificate: false}, buffer: {type: disk, max_size: 1}}
  out: {type: console}
  tcp:
    type: socket
    mode: tcp
    address: b:6000
`, "a:9200 elasticsearch tls no-verified buffered :2\nb:6000 tcp no-tls verified? no-buffered :4\n", ""},
		{"vector", "etc/vector/vector.toml", "[sinks.x]\ntype = \"socket\"\nmode = \"tcp\"\naddress = \"b:6000\"\ntls.enabled = true\n[sinks.y]\ntype = \"x\"\n",
			"b:6000 tcp tls verified no-buffered :0\n", `"x" is not understood`},
		{"filebeat", "etc/filebeat/filebeat.yml", "output.logstash:\n  hosts: [\"a:5044\"]\n  ssl.certificate_authorities: [x]\nqueue.disk.max_size: 1GB\n",
			"a:5044 logstash tls verified buffered :1\n", ""},
		{"filebeat", "etc/filebeat/filebeat.yml", "output:\n  elasticsearch:\n    hosts: http://a:9200\n    ssl: {verification_mode: none}\n",
			"a:9200 elasticsearch no-tls verified? no-buffered :2\n", ""},
		{"filebeat", "etc/filebeat/filebeat.yml", "x: y\n", "", "no output"},
		{"promtail", "etc/promtail/config.yml", "clients:\n- url: https://a/loki\n  tls_config: {insecure_skip_verify: true}\n- url: http://b:3100/loki\n",
			"a loki tls no-verified buffered? :2\nb:3100 loki no-tls verified? buffered? :4\n", ""},
		{"alloy", "etc/alloy/config.alloy", "// loki.write \"no\" {\nloki.write \"x\" {\n  endpoint {\n    url = \"https://a/{x}\"\n    tls_config { insecure_skip_verify = true }\n  }\n\n  endpoint {\n    url = sys.env(\"X\")\n  }\n}\n",
			"a loki tls no-verified buffered? :3\n", "line 8: the target"},
		{"auditd", "etc/audit/auditd.conf", "log_file = /var/log/audit/audit.log\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := node(map[string]string{tt.file: tt.config})
			if len(h.Logging.Daemons) != 1 {
				t.Fatalf("%+v", h.Logging.Daemons)
			}
			d := h.Logging.Daemons[0]
			if d.Name != tt.name || d.Place.File != "/"+tt.file || d.Running {
				t.Errorf("%+v", d)
			}
			same(t, tt.want, outputs(d))
			if tt.err == "" && d.Error != "" || !strings.Contains(d.Error, tt.err) {
				t.Errorf("error %q, want %q", d.Error, tt.err)
			}
		})
	}
}

func TestIncludes(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"rsyslog": {"etc/rsyslog.conf": "$IncludeConfig /etc/rsyslog.d/*.conf\ninclude(file=\"/etc/rsyslog.conf\")\n",
			"etc/rsyslog.d/10.conf": "*.* @@a:1\n", "etc/rsyslog.d/20.txt": "*.* @@b:1\n"},
		"syslog-ng": {"etc/syslog-ng/syslog-ng.conf": "@include \"conf.d/*.conf\"\nlog { destination(d); };\n",
			"etc/syslog-ng/conf.d/d.conf": "destination d { network(\"a\" port(1)); };\n"},
		"fluent-bit": {"etc/fluent-bit/fluent-bit.conf": "@INCLUDE out*.conf\n", "etc/fluent-bit/out.conf": "[OUTPUT]\nName tcp\nHost a\nPort 1\n"},
		"fluentd": {"etc/fluent/fluentd.conf": "@include conf.d/*.conf\n",
			"etc/fluent/conf.d/x.conf": "<match **>\n@type http\nendpoint http://a:1/x\n</match>\n"},
	} {
		h := node(files)
		if d := h.Logging.Daemons; len(d) != 1 || d[0].Error != "" || !strings.HasPrefix(outputs(d[0]), "a:1 ") || len(d[0].Outputs) != 1 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestAuditRemote(t *testing.T) {
	h := node(map[string]string{
		"etc/audit/auditd.conf": "", "etc/audit/plugins.d/au-remote.conf": "active = yes\n",
		"etc/audit/audisp-remote.conf": "remote_server = logs\nport = 60\nmode = forward\nenable_krb5 = yes\n",
	})
	same(t, "logs:60 tcp tls verified buffered :1\n", outputs(h.Logging.Daemons[0]))
	h = node(map[string]string{
		"etc/audit/auditd.conf": "", "etc/audit/plugins.d/au-remote.conf": "active = yes\n", "etc/audit/audisp-remote.conf": "remote_server = logs\n",
	})
	same(t, "logs:60 tcp no-tls verified? no-buffered :1\n", outputs(h.Logging.Daemons[0]))
	h = node(map[string]string{"etc/audit/auditd.conf": "", "etc/audit/plugins.d/au-remote.conf": "active = no\n"})
	if d := h.Logging.Daemons[0]; d.Outputs != nil || d.Error != "" {
		t.Errorf("%+v", d)
	}
}

func TestJournalUpload(t *testing.T) {
	wants := "etc/systemd/system/multi-user.target.wants/systemd-journal-upload.service"
	unit := "->/usr/lib/systemd/system/systemd-journal-upload.service"
	h := node(map[string]string{wants: unit, "var/log/journal/x/y": "", "etc/systemd/journal-upload.conf": "[Upload]\nURL=logs\nTrustedCertificateFile=all\n"})
	if d := h.Logging.Daemons; len(d) != 1 || !d[0].Running {
		t.Fatalf("%+v", d)
	}
	same(t, "logs:19532 http tls no-verified buffered :2\n", outputs(h.Logging.Daemons[0]))
	if d := node(map[string]string{"etc/systemd/journal-upload.conf": "[Upload]\nURL=http://x\n"}).Logging.Daemons; d != nil {
		t.Errorf("installed, but not started: %+v", d)
	}
	if d := node(map[string]string{wants: unit}).Logging.Daemons; len(d) != 1 || d[0].Error == "" {
		t.Errorf("%+v", d)
	}
}

func TestRunning(t *testing.T) {
	wants, unit := "etc/systemd/system/multi-user.target.wants/rsyslog.service", "->/usr/lib/systemd/system/rsyslog.service"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"enabled", map[string]string{"etc/rsyslog.conf": "", wants: unit}, "rsyslog true /etc/rsyslog.conf "},
		{"masked", map[string]string{"etc/rsyslog.conf": "", wants: unit, "etc/systemd/system/rsyslog.service": "->/dev/null"}, "rsyslog false /etc/rsyslog.conf "},
		{"process", map[string]string{"etc/rsyslog.conf": "", "proc/12/comm": "rsyslogd\n"}, "rsyslog true /etc/rsyslog.conf "},
		{"another file", map[string]string{"x.conf": "*.* @@a:1", "etc/rsyslog.conf": "", "proc/12/comm": "rsyslogd\n", "proc/12/cmdline": "rsyslogd\x00-n\x00-f\x00/x.conf\x00"},
			"rsyslog true /x.conf "},
		{"in a pod", map[string]string{"proc/12/comm": "fluent-bit\n", "proc/12/cgroup": "0::/kubepods.slice/x\n"}, "fluent-bit true  it runs in a pod: its configuration is not among the node's files"},
		{"no configuration", map[string]string{"proc/12/comm": "vector\n"},
			"vector true  it runs, and its configuration is not at /etc/vector/vector.yaml or /etc/vector/vector.toml or /etc/vector/vector.json"},
		{"journald is not journal-upload", map[string]string{"proc/12/comm": "systemd-journal\n", "proc/12/cmdline": "/lib/systemd/systemd-journald\x00"}, ""},
	} {
		got := ""
		for _, d := range node(tt.files).Logging.Daemons {
			got += fmt.Sprint(d.Name, " ", d.Running, " ", d.Place.File, " ", d.Error)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Every file that is read, with anything in it.
func FuzzRead(f *testing.F) {
	files := []string{
		"etc/rsyslog.conf", "etc/syslog-ng/syslog-ng.conf", "etc/fluent-bit/fluent-bit.conf", "etc/fluent-bit/fluent-bit.yaml", "etc/fluent/fluentd.conf",
		"etc/vector/vector.toml", "etc/vector/vector.yaml", "etc/filebeat/filebeat.yml", "etc/promtail/config.yml", "etc/alloy/config.alloy",
		"etc/containerd/config.toml", "etc/crio/crio.conf", "etc/cni/net.d/x.conflist", "etc/sysctl.conf", "proc/1/mounts", "etc/crypttab",
		"var/lib/dpkg/status", "lib/apk/db/installed", "etc/passwd", "etc/os-release", "gabion/nft.json", "gabion/iptables-save.txt",
		"etc/systemd/journald.conf", "etc/audit/audisp-remote.conf", "var/lib/kubelet/seccomp/x.json", "etc/selinux/config",
	}
	for i, text := range []string{
		"$ActionQueueType x\n*.* @@a:1;b\naction(type=\"omfwd\" target=[\"a\"] # (\n port='1')\n", "log { destination { network(\"a\" tls(peer-verify(no))); }; };",
		"[OUTPUT]\n Name es\n@INCLUDE *\n", "pipeline: {outputs: [{name: es, tls: on}]}", "<match **>\n@type copy\n<store>\n</store>\n</match>\n@include *\n",
		"[sinks.x]\ntype = 'http'\n", "sinks: {a: {type: socket}}", "output.kafka: {hosts: [a]}", "clients: [{url: a}]", "loki.write \"a\" {\n endpoint {\n url = \"x\"\n",
		"imports = ['*']\n[plugins.'a'.b]\nc = 1\n", "[crio]\na = [{b = 1}]\n", "{\"a\": {\"token\": [\"b\"]}}", "net.*.x = 1\n-a/b\n", "/dev/dm-0 / ext4 rw 0 0\n", "a b\n",
	} {
		f.Add(uint8(i), []byte(text))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		h := node(map[string]string{files[int(which)%len(files)]: string(data), "proc/1/mounts": "/dev/mapper/a / ext4 rw 0 0"})
		for _, d := range h.Logging.Daemons {
			for _, o := range d.Outputs {
				if o.Target == "" && d.Error == "" && o.Place.File == "" {
					t.Errorf("%+v", d)
				}
			}
		}
	})
}

// Of a target no user and no password is kept.
func TestTargetsWithoutPassword(t *testing.T) {
	for file, config := range map[string]string{
		"etc/fluent-bit/fluent-bit.conf": "[OUTPUT]\n    Name http\n    Host https://u:SECRET@shown\n    Port 443\n[OUTPUT]\n    Name es\n    Host u:SECRET@shown\n    Port 9200\n",
		"etc/fluent/fluentd.conf":        "<match **>\n  @type kafka2\n  brokers u:SECRET@shown:9092\n</match>\n<match **>\n  @type elasticsearch\n  host https://u:SECRET@shown\n  port 9200\n</match>\n",
		"etc/vector/vector.toml":         "[sinks.a]\ntype = \"loki\"\nendpoint = \"https://u:SECRET@shown\"\n",
	} {
		h := node(map[string]string{file: config})
		out := ""
		for _, d := range h.Logging.Daemons {
			for _, o := range d.Outputs {
				out += o.Target + "\n"
			}
		}
		if strings.Contains(out+fmt.Sprint(h.Unseen), "SECRET") || !strings.Contains(out, "shown") {
			t.Errorf("%s: %s", file, out)
		}
	}
}

// Of a network plugin's addresses no password is kept.
func TestNetworkWithoutPassword(t *testing.T) {
	h := node(map[string]string{"etc/cni/net.d/10-x.conflist": `{"plugins": [{"type": "calico", "etcd_endpoints": "https://u:SECRET@shown:2379,https://v:SECRET@shown:2379", "urls": ["http://u:SECRET@shown"]}]}`})
	if len(h.System.CNI) != 1 || strings.Contains(string(h.System.CNI[0].JSON), "SECRET") || strings.Count(string(h.System.CNI[0].JSON), "shown") != 3 {
		t.Errorf("%s", h.System.CNI[0].JSON)
	}
}
