package system

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// auditd reads whether its plugin au-remote sends the kernel's audit log away, and how
// (auditd-plugins(5), audisp-remote.conf(5)).
func (d *daemonReader) auditd() {
	for _, dir := range []string{"/etc/audit", "/etc/audisp"} {
		plugin := dir + "/plugins.d/au-remote.conf"
		if !d.is(plugin, evidence.Regular) || !strings.EqualFold(assignments(plugin, d.load(plugin))["active"].Value, "yes") {
			continue
		}
		file := dir + "/audisp-remote.conf"
		set := assignments(file, d.load(file))
		server := set["remote_server"]
		if server.Value == "" {
			d.fail("%s has no remote_server", file)
			continue
		}
		port := set["port"].Value
		if port == "" {
			port = "60"
		}
		kerberos := strings.EqualFold(set["enable_krb5"].Value, "yes") || strings.EqualFold(set["transport"].Value, "krb5")
		o := evidence.LogOutput{
			Target: hostPort(server.Value, port), Protocol: "tcp", Place: server.Place,
			TLS: &kerberos, Verified: new(true),
			Buffered: new(strings.EqualFold(set["mode"].Value, "forward")),
		}
		d.output(settled(o))
	}
}

// journalUpload reads systemd-journal-upload, which sends the journal from its files:
// what cannot be sent stays there as long as the journal is kept.
func (d *daemonReader) journalUpload() {
	set, _, err := d.systemdConfig("journal-upload.conf", "Upload")
	if err != nil {
		d.fail("%v", err)
	}
	url := set["URL"]
	if url.Value == "" {
		if d.daemon.Running {
			d.fail("it runs, and no URL is in journal-upload.conf: it may be on its command line")
		}
		return
	}
	if !d.daemon.Running {
		return // its file comes with the package
	}
	d.daemon.Place = url.Place
	text := url.Value
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	o := urlOutput(text)
	if !strings.Contains(strings.TrimPrefix(o.Target, "["), ":") {
		o.Target = hostPort(o.Target, "19532")
	}
	trusted := set["TrustedCertificateFile"].Value
	o.Verified = new(trusted != "-" && trusted != "all")
	o.Buffered, o.Place = new(d.h.Logging.PersistentJournal), url.Place
	d.output(settled(o))
}
