package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// APIServerEtcdTLS reports an API server that does not authenticate to etcd, or does
// not verify it (guide: Etcd).
var APIServerEtcdTLS = &check.Check{
	ID:             "api-server-etcd-tls",
	Title:          "API server talks to etcd without mutual TLS",
	Recommendation: "ETCD-06",
	Severity:       guide.High,
	Remedy:         "give the API server --etcd-cafile, --etcd-certfile and --etcd-keyfile, and https in --etcd-servers",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server and etcd authenticate each other",
	Doc: `The API server hands etcd every Secret. It must know that it is etcd which it talks to, and
etcd must know that it is the API server.

Looked at are the flags in force: all addresses of ` + "`--etcd-servers`" + ` and
` + "`--etcd-servers-overrides`" + ` begin with https://, ` + "`--etcd-cafile`" + ` names the authority that signs etcd's
certificate, ` + "`--etcd-certfile`" + ` and ` + "`--etcd-keyfile`" + ` the API server's own. An etcd behind a socket of
the node (unix://), as small distributions have it, needs none of these.

    - --etcd-servers=https://127.0.0.1:2379
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
`,
	Run: eachComponent(apiServerEtcdTLS, evidence.APIServer),
}

func apiServerEtcdTLS(n *node, c *evidence.Component) {
	remote := false
	for _, name := range []string{"etcd-servers", "etcd-servers-overrides"} {
		list, at, known := n.flag(c, name, "")
		if !known {
			return
		}
		if list == "" && name == "etcd-servers" {
			n.cannot("kube-apiserver: it is not known where its etcd is: --etcd-servers is not among what was seen")
			return
		}
		for _, server := range etcdServers(list) {
			if strings.HasPrefix(server, "unix:") || strings.HasPrefix(server, "unixs:") {
				continue
			}
			remote = true
			if !strings.HasPrefix(strings.ToLower(server), "https://") {
				n.say(at, flagPath(c, name), list, "the API server talks to etcd without TLS at %s", server)
			}
		}
	}
	if !remote {
		return
	}
	for _, wanted := range []struct{ flag, without string }{
		{"etcd-cafile", "verifies etcd only against the authorities that the system trusts"},
		{"etcd-certfile", "does not authenticate to etcd"},
		{"etcd-keyfile", "has no key to authenticate to etcd with"},
	} {
		if value, at, known := n.flag(c, wanted.flag, ""); known && value == "" {
			n.say(at, flagPath(c, wanted.flag), "", "the API server %s: --%s is not set", wanted.without, wanted.flag)
		}
	}
}

// etcdServers are the addresses in a flag: a,b and, for overrides, group/resource#a;b.
func etcdServers(list string) (servers []string) {
	for part := range strings.SplitSeq(list, ",") {
		if _, after, override := strings.Cut(part, "#"); override {
			part = after
		}
		for one := range strings.SplitSeq(part, ";") {
			if one = strings.TrimSpace(one); one != "" {
				servers = append(servers, one)
			}
		}
	}
	return servers
}
