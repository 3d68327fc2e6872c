package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// A compared says how what a rule finds fault with relates to what an item does.
type compared string

const (
	// same: what the one finds fault with, the other does.
	same compared = "same"
	// stricter: the rule finds all that the item does, and more.
	stricter compared = "stricter"
	// looser: the rule lets pass some of what the item finds fault with.
	looser compared = "looser"
	// differs: each finds something that the other lets pass.
	differs compared = "differs"
)

// A cisItem is an item of the benchmark that a program can test, and that serves a row
// of the guide.
type cisItem struct {
	// id is the benchmark's number; manual is set where the benchmark leaves the
	// verdict to a person.
	id     string
	manual bool
	// asks is what the item asks for.
	asks string
	// rules are ours for it; the first of them says which row is served.
	rules []string
	how   compared
	why   string
	// example is one with the very fault that the item asks about, RULE/NAME below
	// the examples of the checks. What is the same or stricter has one.
	example string
}

// A cisRest is an item that is not compared, and why.
type cisRest struct{ ids, asks, why string }

const (
	onlyWriting = "reading by others passes, as with 0644; writing does not"
	anyGroup    = "the group is not asked about"
	ownForm     = "the AuthorizationConfiguration is read as well; the item fails where the flag is not set"
	theSocket   = "an etcd behind a socket of the node (unix://) needs none"
)

// cisItems are in the order of the benchmark.
func cisItems() []cisItem {
	return []cisItem{
		{"1.1.1", false, "manifest of the API server: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, "node-file-permissions/manifest-writable"},
		{"1.1.2", false, "manifest of the API server: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, "node-file-permissions/manifest-owner"},
		{"1.1.3", false, "manifest of the controller manager: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, ""},
		{"1.1.4", false, "manifest of the controller manager: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, ""},
		{"1.1.5", false, "manifest of the scheduler: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, ""},
		{"1.1.6", false, "manifest of the scheduler: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, ""},
		{"1.1.7", false, "manifest of etcd: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, ""},
		{"1.1.8", false, "manifest of etcd: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, ""},
		{"1.1.9", true, "files of the network plugin: mode 600", []string{"node-file-permissions"}, differs,
			"the item looks at a folder that a flag of old kubelets names and at the addresses handed out; the rule at who may change the configuration, and the folder with the programs, that the runtime uses", "node-file-permissions/cni-writable"},
		{"1.1.10", true, "files of the network plugin: owner root:root", []string{"node-file-permissions"}, differs, "as for 1.1.9", ""},
		{"1.1.11", false, "etcd's data folder: mode 700", []string{"etcd-data-access"}, stricter, "the folder of the write-ahead log and copies of the data are looked at too", "etcd-data-access/readable"},
		{"1.1.12", false, "etcd's data folder: owner etcd:etcd", []string{"etcd-data-access"}, looser, "root may own it: that is who etcd runs as in a static pod", "etcd-data-access/owner"},
		{"1.1.13", false, "admin.conf and super-admin.conf: mode 600", []string{"kubeconfig-permissions"}, same, "kubeconfigs in the homes of users are looked at too", "kubeconfig-permissions/admin-readable"},
		{"1.1.14", false, "admin.conf and super-admin.conf: owner root:root", []string{"kubeconfig-permissions"}, looser, anyGroup, "kubeconfig-permissions/admin-owner"},
		{"1.1.15", false, "scheduler.conf: mode 600", []string{"kubeconfig-permissions"}, same, "", "kubeconfig-permissions/scheduler-group"},
		{"1.1.16", false, "scheduler.conf: owner root:root", []string{"kubeconfig-permissions"}, looser, anyGroup, ""},
		{"1.1.17", false, "controller-manager.conf: mode 600", []string{"kubeconfig-permissions"}, same, "the rule does not tell it from scheduler.conf", "kubeconfig-permissions/scheduler-group"},
		{"1.1.18", false, "controller-manager.conf: owner root:root", []string{"kubeconfig-permissions"}, looser, anyGroup, ""},
		{"1.1.19", false, "folder of certificates and keys: owner root:root", []string{"node-file-permissions", "private-key-file", "etcd-client-certificates"}, looser, anyGroup, "private-key-file/owner"},
		{"1.1.20", true, "certificates: mode 644", []string{"node-file-permissions"}, stricter, "the public key of service accounts, and certificates by other names and in other folders, are looked at too", "node-file-permissions/authority-writable"},
		{"1.1.21", true, "keys: mode 600", []string{"private-key-file", "etcd-client-certificates"}, differs, "keys are known by what is in the file, whatever its name and folder; those that a passphrase protects are left out", "private-key-file/authority"},

		{"1.2.1", true, "API server: anonymous requests off", []string{"anonymous-requests"}, looser, "an AuthenticationConfiguration that switches them off, or limits them to health paths, is as good: the flag alone breaks the probes of a kubeadm API server", "anonymous-requests/default"},
		{"1.2.2", false, "API server: no file of static tokens", []string{"static-credentials"}, stricter, "releases that read a file of passwords are asked about that one too", "static-credentials/tokens"},
		{"1.2.4", false, "API server: certificate and key for kubelets", []string{"api-server-certificates"}, same, "", "api-server-certificates/kubelet-client-certificate"},
		{"1.2.5", false, "API server: authority that signs the kubelets' certificates", []string{"api-server-certificates"}, same, "", "api-server-certificates/kubelet-certificate-authority"},
		{"1.2.6", false, "API server: authorization not AlwaysAllow", []string{"authorization-mode"}, looser, ownForm, "authorization-mode/always-allow"},
		{"1.2.7", false, "API server: authorization by Node", []string{"authorization-mode"}, looser, ownForm, "authorization-mode/no-node"},
		{"1.2.8", false, "API server: authorization by RBAC", []string{"authorization-mode"}, looser, ownForm, "authorization-mode/no-rbac"},
		{"1.2.14", false, "API server: admission plugin NodeRestriction", []string{"node-restriction"}, looser, "it is asked for where Node is among the authorizers; where it is not, authorization-mode says so", "node-restriction/missing"},
		{"1.2.16", false, "API server: path of the audit log", []string{"audit-log-off"}, differs, "a webhook in place of a file will do; a path without a policy, or a policy that records nothing, will not", "audit-log-off/no-target"},
		{"1.2.17", false, "API server: audit logs kept for 30 days or more", []string{"audit-log-retention"}, looser, "since 1.36 there is a limit by default, 366 days, and it counts; so does one by number of files alone. Without any audit log, audit-log-off speaks instead", "audit-log-retention/a-week"},
		{"1.2.18", false, "API server: 10 old audit logs or more", []string{"audit-log-retention"}, looser, "no least number: how long the log is kept, and whether it fits the disk, is asked for instead", "audit-log-retention/both-unlimited"},
		{"1.2.19", false, "API server: audit logs of 100 MB or more", []string{"audit-log-retention"}, looser, "any size is good but 0 from 1.36 on, with which the file is never rotated", "audit-log-retention/never-rotated"},
		{"1.2.21", false, "API server: tokens of deleted service accounts refused", []string{"authentication-methods"}, same, "", "authentication-methods/lookup"},
		{"1.2.23", false, "API server: certificate and key for etcd", []string{"api-server-etcd-tls"}, differs, "https is asked for in each of etcd's addresses; " + theSocket, "api-server-etcd-tls/no-certificate"},
		{"1.2.24", false, "API server: serving certificate and key", []string{"api-server-certificates"}, looser, "a certificate in the folder of --cert-dir will do; without a key beside its certificate the API server does not start", "api-server-certificates/tls-cert-file"},
		{"1.2.25", false, "API server: authority of client certificates", []string{"api-server-certificates"}, same, "", "api-server-certificates/client-ca-file"},
		{"1.2.26", false, "API server: authority of etcd's certificate", []string{"api-server-etcd-tls"}, looser, theSocket, "api-server-etcd-tls/no-authority"},
		{"1.2.27", true, "API server: configuration of encryption at rest", []string{"encryption-at-rest"}, stricter, "the file has to be there, mounted, and about secrets", "encryption-at-rest/no-flag"},
		{"1.2.28", true, "encryption at rest by aescbc, kms or secretbox", []string{"encryption-provider"}, differs,
			"the rule looks at the first provider of the entry that decides about secrets, the item at the first one of the last entry, whatever that is about; aescbc, KMS v1 and short keys are low findings", "encryption-provider/identity-first"},
		{"1.2.29", true, "API server: a list of strong cipher suites", []string{"tls-cipher-suites"}, looser, "without a list, what the release offers by itself is judged: from 1.32 on nothing weak; with TLS 1.3 as the least version no list is needed. CBC with SHA-1, which Go does not call insecure, passes", "tls-cipher-suites/rc4"},
		{"1.2.30", false, "API server: tokens of pods not made valid for a year", []string{"token-lifetime"}, stricter, "that there is no limit for other tokens is a low finding", "token-lifetime/extended"},

		{"1.3.5", false, "controller manager: authority for pods", []string{"controller-manager-root-ca"}, same, "", "controller-manager-root-ca/missing"},
		{"1.3.6", false, "controller manager: serving certificates of kubelets rotated", []string{"kubelet-serving-certificate"}, differs, "the gate has no effect in the controller manager; the kubelet's gate and its serverTLSBootstrap have, and are asked for", ""},
		{"1.3.7", false, "controller manager: bound to 127.0.0.1", []string{"control-plane-bind-address"}, differs, "not set means all addresses and is found, which the item lets pass; the other loopback addresses are as good, and so is a port that is off", "control-plane-bind-address/controller-manager"},
		{"1.4.2", false, "scheduler: bound to 127.0.0.1", []string{"control-plane-bind-address"}, differs, "as for 1.3.7", "control-plane-bind-address/scheduler"},

		{"2.1", false, "etcd: serving certificate and key", []string{"etcd-client-tls"}, stricter, "no address for clients may begin with http://", "etcd-client-tls/no-certificate"},
		{"2.2", false, "etcd: client certificates demanded", []string{"etcd-client-auth"}, stricter, "the authority has to be named, else every one that the system trusts would do", "etcd-client-auth/off"},
		{"2.3", false, "etcd: no certificate of its own making", []string{"etcd-client-tls"}, same, "", "etcd-client-tls/auto-tls"},
		{"2.4", false, "etcd: certificate and key for peers", []string{"etcd-peer-tls"}, stricter, "no address for peers may begin with http://", "etcd-peer-tls/no-certificate"},
		{"2.5", false, "etcd: certificates of peers demanded", []string{"etcd-peer-tls"}, stricter, "as for 2.2", "etcd-peer-tls/auth-off"},
		{"2.6", false, "etcd: no certificate for peers of its own making", []string{"etcd-peer-tls"}, same, "", "etcd-peer-tls/auto-tls"},
		{"2.7", true, "etcd: an authority of its own", []string{"etcd-separate-ca", "etcd-client-auth"}, stricter, "the item asks whether one is named; the rules ask for that, and compare it with the cluster's by the public key", "etcd-client-auth/no-authority"},

		{"3.2.1", true, "API server: an audit policy", []string{"audit-log-off"}, stricter, "the policy has to record something, and somewhere", "audit-log-off/no-policy"},

		{"4.1.1", false, "kubelet's unit: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, "node-file-permissions/unit-writable"},
		{"4.1.2", false, "kubelet's unit: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, "node-file-permissions/unit-owner"},
		{"4.1.3", true, "kubeconfig of kube-proxy, if there is one: mode 600", []string{"kubeconfig-permissions"}, same, "as for every kubeconfig in /etc/kubernetes; one that is not there is no fault, which the item gives a warning for", "kubeconfig-permissions/scheduler-group"},
		{"4.1.4", true, "kubeconfig of kube-proxy, if there is one: owner root:root", []string{"kubeconfig-permissions"}, looser, anyGroup, ""},
		{"4.1.5", false, "kubelet's kubeconfig: mode 600", []string{"kubeconfig-permissions"}, same, "without a key or token in it, as kubeadm leaves it, the finding is low", "kubeconfig-permissions/kubelet-readable"},
		{"4.1.6", false, "kubelet's kubeconfig: owner root:root", []string{"kubeconfig-permissions"}, looser, anyGroup, ""},
		{"4.1.7", true, "authority of the kubelet's clients: mode 644", []string{"node-file-permissions"}, same, "", "node-file-permissions/authority-writable"},
		{"4.1.8", true, "authority of the kubelet's clients: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, ""},
		{"4.1.9", false, "kubelet's configuration: mode 600", []string{"node-file-permissions"}, looser, onlyWriting, "node-file-permissions/kubelet-config-writable"},
		{"4.1.10", false, "kubelet's configuration: owner root:root", []string{"node-file-permissions"}, looser, anyGroup, ""},

		{"4.2.1", false, "kubelet: anonymous requests off", []string{"kubelet-api-access"}, looser, "not set, they are off for a kubelet with a configuration file; for one that only has flags they are on, and found", "kubelet-api-access/anonymous"},
		{"4.2.2", false, "kubelet: authorization not AlwaysAllow", []string{"kubelet-authorization", "kubelet-api-access"}, looser, "not set, it is Webhook for a kubelet with a configuration file; for one that only has flags it is AlwaysAllow, and found", "kubelet-authorization/always-allow"},
		{"4.2.3", false, "kubelet: authority of client certificates", []string{"kubelet-api-access"}, same, "", "kubelet-api-access/no-authority"},
		{"4.2.4", true, "kubelet: read-only port off", []string{"kubelet-read-only-port"}, stricter, "not set, it is on for a kubelet that only has flags", "kubelet-read-only-port/on"},
		{"4.2.9", true, "kubelet: serving certificate and key", []string{"kubelet-serving-certificate"}, differs, "serverTLSBootstrap is as good; a certificate that the kubelet signed itself is not", "kubelet-serving-certificate/default"},
		{"4.2.10", false, "kubelet: client certificate rotated", []string{"kubelet-client-rotation"}, differs, "not set means not rotated, which the item lets pass; a kubelet that has no certificate, but a token, is left out", "kubelet-client-rotation/off"},
		{"4.2.11", true, "kubelet: gate for rotated serving certificates not off", []string{"kubelet-serving-certificate"}, differs, "the gate counts where serverTLSBootstrap is on, which is asked for; a certificate of a known authority in a file is as good", "kubelet-serving-certificate/gate-off"},
		{"4.2.12", true, "kubelet: a list of strong cipher suites", []string{"tls-cipher-suites"}, looser, "as for 1.2.29", "tls-cipher-suites/kubelet"},
		{"4.2.13", true, "kubelet: a limit of process ids per pod", []string{"pod-pids-limit"}, stricter, "-1 is no limit, though it is set", "pod-pids-limit/unset"},
		{"4.2.14", true, "kubelet: seccomp profile by default", []string{"kubelet-seccomp-default"}, stricter, "set to false it is off, though it is set", "kubelet-seccomp-default/unset"},
		{"4.3.1", false, "kube-proxy: metrics on 127.0.0.1", []string{"worker-port-listening"}, differs, "the rule looks at what listens on workers, not at the setting; the item fails where no kube-proxy runs", "worker-port-listening/exporter"},
	}
}

// cisLeftOut are the other items, in the order of the benchmark.
func cisLeftOut() []cisRest {
	const noRow = "the guide does not ask for it"
	return []cisRest{
		{"1.2.3", "admission plugin DenyServiceExternalIPs", noRow},
		{"1.2.9", "admission plugin EventRateLimit", noRow},
		{"1.2.10", "no admission plugin AlwaysAdmit", "the guide does not ask for it; the plugin adds nothing and switches nothing off"},
		{"1.2.11", "admission plugin AlwaysPullImages", noRow},
		{"1.2.12, 1.2.13", "admission plugins ServiceAccount and NamespaceLifecycle", "the guide does not ask for them; they are on by default"},
		{"1.2.15, 1.3.2, 1.4.1", "profiles off", noRow},
		{"1.2.20", "timeout of requests", "the guide does not ask for it, and a person has to judge it"},
		{"1.2.22, 1.3.4", "keys for tokens of service accounts", "the guide does not ask for them"},
		{"1.3.1", "threshold for terminated pods", noRow},
		{"1.3.3", "an account for each controller", noRow},
		{"3.1.1, 3.1.2, 3.1.3", "users not by client certificates, tokens of service accounts or bootstrap tokens", "a person has to judge it. Rows AUTHN-03 and AUTHN-05; `user-authentication`, `authentication-methods` and `bootstrap-token` tell what there is"},
		{"3.2.2", "what the audit policy covers", "a person has to judge it. Rows LOG-02 and AUD-03"},
		{"4.2.5", "timeout of idle streams", noRow},
		{"4.2.6", "chains of iptables made by the kubelet", noRow},
		{"4.2.7", "no other name for the node", noRow},
		{"4.2.8", "rate of events", noRow},
	}
}

// cisPage compares our rules with the items of the benchmark.
func cisPage() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# The CIS benchmark, item by item\n\n" + generated)
	b.WriteString(`The guide and the CIS Kubernetes Benchmark ask for much the same of a node, but not always in the same words. Here
are the items of kube-bench's ` + "`cis-1.12`" + ` for master, etcd, control plane and nodes that a program can test and that serve a
row of the guide, and what our rules make of them:

- *same*: what the item finds fault with, the rule does, and the other way round;
- *stricter*: the rule finds all of that, and more;
- *looser*: some of what the item finds fault with passes;
- *differs*: each finds something that the other lets pass.

What holds for all of them: an item compares a flag, or a line of a file, with a text. A rule looks at what is in force,
after configuration file, drop-ins, flags and the release's defaults, and follows it to the files that it names. A rule
says when it could not look.

Of modes the rules ask what others than the owner may do: write to whatever Kubernetes runs or trusts, read keys and
kubeconfigs. A manifest, a unit or a kubelet's configuration is no secret, and whether a file may be executed is not
asked about. Of owners they ask for root, or the user that the component runs as. Which group a file belongs to decides
nothing: what the group may do is seen from the mode.

Items marked with \* are those whose verdict the benchmark leaves to a person; kube-bench tests them all the same, and
warns where others fail.

`)
	counts := map[compared]int{}
	rows := map[string]guide.Recommendation{}
	for _, r := range guide.All() {
		rows[r.ID] = r
	}
	var table bytes.Buffer
	for _, item := range cisItems() {
		counts[item.how]++
		var names, served []string
		for _, id := range item.rules {
			c, ok := checks.Find(id)
			if !ok {
				return nil, fmt.Errorf("item %s: there is no rule %q", item.id, id)
			}
			names = append(names, fmt.Sprintf("[%s](rules.md#%s)", id, id))
			row := fmt.Sprintf("[%s](guide.md#%s)", c.Recommendation, anchor(rows[c.Recommendation]))
			if len(served) == 0 || served[len(served)-1] != row {
				served = append(served, row)
			}
		}
		id := item.id
		if item.manual {
			id += ` \*`
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s |\n", id, cell(item.asks), strings.Join(names, ", "), strings.Join(served, ", "), item.how, cell(item.why))
	}
	fmt.Fprintf(&b, "%d items: %d are the same, %d stricter, %d looser, %d differ.\n\n", len(cisItems()), counts[same], counts[stricter], counts[looser], counts[differs])
	b.WriteString(`On a control plane node as kubeadm 1.36 leaves it, kube-bench and the rules give the same answer to 59 of them. kube-bench
alone finds fault with 1.1.9, 1.1.10, 1.1.12, 1.2.17 to 1.2.19, 1.2.28, 1.2.29, 4.1.1, 4.1.3, 4.1.4, 4.1.9, 4.2.12 and 4.3.1: with files
that are not there, among others, and with the age of an audit log that is not kept at all. The rules alone find fault
where 1.3.6 and 4.2.11 look: the kubelet serves a certificate that it signed itself.

`)
	b.WriteString("| item | asks for | rules | rows | compared | why |\n|---|---|---|---|---|---|\n")
	b.Write(table.Bytes())
	b.WriteString("\n## Items that are not compared\n\n| items | ask for | why not |\n|---|---|---|\n")
	for _, rest := range cisLeftOut() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", rest.ids, cell(rest.asks), cell(rest.why))
	}
	return b.Bytes(), nil
}
