package host

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// talosConfigs are where a machine configuration may be: on the node, or in a folder
// that it was put in.
func talosConfigs() []string {
	return []string{"/system/state/config.yaml", "/machine.yaml", "/controlplane.yaml", "/worker.yaml"}
}

// talosUnread is why not all that Talos sets etcd and the kubelet up with is known where
// no process shows it.
const talosUnread = "Talos passes flags of its own that its machine configuration does not show"

// isTalos reports whether one of the files is a machine configuration.
func (r *reader) isTalos() bool {
	for _, file := range talosConfigs() {
		data, err := r.open(file)
		if err != nil && r.tree.Stat(file).Type == evidence.Regular {
			return true // as its name says: what it holds, nobody knows
		}
		if err == nil {
			is := bytes.HasPrefix(data, []byte("machine:")) || bytes.Contains(data, []byte("\nmachine:")) || bytes.Contains(data, []byte(`"machine"`))
			clear(data)
			if is {
				return true
			}
		}
	}
	return false
}

// A talosFields is the part of a machine configuration that decides what components are
// set up with.
type talosFields struct {
	Machine *struct {
		Type    string
		Network struct{ Hostname string }
		Kubelet struct {
			ExtraArgs                          map[string]json.RawMessage
			ExtraConfig                        json.RawMessage
			DefaultRuntimeSeccompProfileEnable *bool `json:"defaultRuntimeSeccompProfileEnabled"`
		}
	}
	Cluster struct {
		ControlPlane struct{ Endpoint string }
		APIServer    struct {
			Image               string
			ExtraArgs           map[string]json.RawMessage
			AuditPolicy         json.RawMessage
			AuthorizationConfig json.RawMessage
			AdmissionControl    []struct {
				Name          string
				Configuration json.RawMessage
			}
		} `json:"apiServer"`
		ControllerManager, Scheduler struct {
			Image     string
			ExtraArgs map[string]json.RawMessage
		}
		Etcd                                              struct{ ExtraArgs map[string]json.RawMessage }
		AESCBCEncryptionSecret, SecretboxEncryptionSecret string
	}
}

// talosParts are the components that a machine configuration sets up: its own flags of
// them, those that Talos is documented to pass, and its documents. The control plane
// runs in static pods that are on no disk.
func talosParts(r *reader, all []*candidate) []*candidate {
	p, found := r.talosMachine()
	if !found {
		return nil
	}
	list := []*candidate{p.kubelet()}
	if t := p.config.Machine; t != nil && (t.Type == "controlplane" || t.Type == "init") {
		list = append(list, p.apiServer(),
			p.pod(evidence.ControllerManager, p.config.Cluster.ControllerManager.ExtraArgs, "controllerManager", p.config.Cluster.ControllerManager.Image,
				"allocate-node-cidrs=true", "authentication-kubeconfig={secrets}/kubeconfig", "authorization-kubeconfig={secrets}/kubeconfig", "bind-address=127.0.0.1",
				"cluster-signing-cert-file={secrets}/ca.crt", "cluster-signing-key-file={secrets}/ca.key", "controllers=*,tokencleaner", "kubeconfig={secrets}/kubeconfig",
				"leader-elect=true", "profiling=false", "root-ca-file={secrets}/ca.crt", "service-account-private-key-file={secrets}/service-account.key",
				"tls-min-version=VersionTLS13", "use-service-account-credentials=true"),
			p.pod(evidence.Scheduler, p.config.Cluster.Scheduler.ExtraArgs, "scheduler", p.config.Cluster.Scheduler.Image,
				"authentication-kubeconfig={secrets}/kubeconfig", "authentication-tolerate-lookup-failure=false", "authorization-kubeconfig={secrets}/kubeconfig",
				"bind-address=127.0.0.1", "leader-elect=true", "profiling=false", "tls-min-version=VersionTLS13"),
			p.pod(evidence.Etcd, p.config.Cluster.Etcd.ExtraArgs, "etcd", "",
				"client-cert-auth=true", "peer-client-cert-auth=true", "cert-file=/system/secrets/etcd/server.crt", "key-file=/system/secrets/etcd/server.key",
				"trusted-ca-file=/system/secrets/etcd/ca.crt", "peer-cert-file=/system/secrets/etcd/peer.crt", "peer-key-file=/system/secrets/etcd/peer.key", "peer-trusted-ca-file=/system/secrets/etcd/ca.crt"))
	}
	for _, c := range list {
		c.unsure(p.why)
		if c.Name == evidence.Etcd || c.Name == evidence.Kubelet {
			leave(c.Component, talosUnread)
		}
	}
	return missing(all, list)
}

// A talosMachine is a machine configuration and where it stands.
type talosMachine struct {
	file   string
	doc    yamldoc.Document
	config talosFields
	why    string // why it could not be read
	// running is set where the node's own file system is looked at, not a file of it.
	running bool
}

// talosMachine reads the first machine configuration that is there. Further documents
// in its file, as newer ones have, are about other things.
func (r *reader) talosMachine() (p talosMachine, found bool) {
	i := slices.IndexFunc(talosConfigs(), r.isThere)
	if i < 0 {
		return p, false
	}
	p.file, p.running = talosConfigs()[i], r.isThere("/system/secrets")
	fail := func(line, column int, reason string) {
		p.why = p.file + ": " + reason
		r.broken(evidence.Issue{File: p.file, Line: line, Column: column, Reason: reason})
	}
	data, err := r.read(p.file)
	if err != nil {
		p.why = p.file + ": " + err.Error()
		return p, true
	}
	for doc, problem := range r.decoder.Documents(p.file, data) {
		if problem != nil {
			fail(problem.Line, problem.Column, "no document of YAML or JSON")
			return p, true
		}
		var config talosFields
		if json.Unmarshal(doc.JSON, &config) != nil {
			fail(doc.Line, 1, "it is no machine configuration of Talos")
			return p, true
		}
		if config.Machine != nil {
			p.doc, p.config = doc, config
			return p, true
		}
	}
	fail(0, 0, "it is no machine configuration of Talos")
	return p, true
}

// users are the flags of a component that the configuration adds; one may have several
// values.
func (p talosMachine) users(args map[string]json.RawMessage, at evidence.Path) (flags []evidence.Flag) {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		var values []json.RawMessage
		place := p.doc.Outline.Place(at.Field(name))
		if json.Unmarshal(args[name], &values) != nil {
			values = []json.RawMessage{args[name]}
		}
		for _, v := range values {
			flags = append(flags, evidence.Flag{Name: name, Value: asText(v), Place: place})
		}
	}
	return flags
}

func (p talosMachine) place(fields ...string) evidence.Position {
	at := p.doc.Outline.Place(evidence.NewPath(fields...))
	at.File = p.file
	return at
}

// pod is a component of the control plane.
func (p talosMachine) pod(name string, args map[string]json.RawMessage, field, image string, own ...string) *candidate {
	at := p.place("cluster", field)
	secrets := "/system/secrets/kubernetes/" + name
	for i := range own {
		own[i] = strings.ReplaceAll(own[i], "{secrets}", secrets)
	}
	users := p.users(args, evidence.NewPath("cluster", field, "extraArgs"))
	for i, f := range users { // to these, what users set is added
		switch f.Name {
		case "authorization-mode":
			users[i].Value = "Node,RBAC," + f.Value
		case "enable-admission-plugins":
			users[i].Value = "NodeRestriction," + f.Value
		}
	}
	c := derived(name, at, overlay(documented(at, own...), users))
	c.Pod, c.Image, c.Version = true, image, imageVersion(image)
	if p.running { // else nothing of the node's is seen there
		c.Mounts = []evidence.Mount{{Host: secrets, Container: secrets, ReadOnly: true}}
	}
	return c
}

func (p talosMachine) apiServer() *candidate {
	api := p.config.Cluster.APIServer
	c := p.pod(evidence.APIServer, api.ExtraArgs, "apiServer", api.Image,
		"allow-privileged=true", "anonymous-auth=false", "audit-log-maxage=30", "audit-log-maxbackup=10", "audit-log-maxsize=100",
		"audit-log-path=/var/log/audit/kube/kube-apiserver.log", "authorization-mode=Node,RBAC", "bind-address=0.0.0.0", "client-ca-file={secrets}/ca.crt",
		"enable-admission-plugins=NodeRestriction", "enable-bootstrap-token-auth=true",
		"etcd-cafile={secrets}/etcd-client-ca.crt", "etcd-certfile={secrets}/etcd-client.crt", "etcd-keyfile={secrets}/etcd-client.key", "etcd-servers=https://localhost:2379",
		"kubelet-client-certificate={secrets}/apiserver-kubelet-client.crt", "kubelet-client-key={secrets}/apiserver-kubelet-client.key", "kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"profiling=false", "proxy-client-cert-file={secrets}/front-proxy-client.crt", "proxy-client-key-file={secrets}/front-proxy-client.key",
		"requestheader-allowed-names=front-proxy-client", "requestheader-client-ca-file={secrets}/aggregator-ca.crt", "requestheader-extra-headers-prefix=X-Remote-Extra-",
		"requestheader-group-headers=X-Remote-Group", "requestheader-username-headers=X-Remote-User", "secure-port=6443", "service-account-issuer="+cmp.Or(p.config.Cluster.ControlPlane.Endpoint, "https://localhost:6443"),
		"service-account-key-file={secrets}/service-account.pub", "service-account-signing-key-file={secrets}/service-account.key",
		"tls-cert-file={secrets}/apiserver.crt", "tls-cipher-suites="+talosSuites, "tls-min-version=VersionTLS12", "tls-private-key-file={secrets}/apiserver.key")
	if more := string(api.AuthorizationConfig); more != "" && more != "null" {
		leave(c.Component, p.file+": what authorizers are added by authorizationConfig is not looked at")
	}
	c.Mounts = append(c.Mounts, evidence.Mount{Host: "/var/log/audit/kube", Container: "/var/log/audit/kube"})
	c.Documents = map[string]*evidence.Document{}
	if doc := p.encryption(); doc != nil {
		p.document(c, "encryption-provider-config", talosSecrets+"/encryptionconfig.yaml", p.place("cluster"), doc)
	}
	if policy := api.AuditPolicy; len(policy) > 0 && string(policy) != "null" {
		p.document(c, "audit-policy-file", talosConfig+"/auditpolicy.yaml", p.place("cluster", "apiServer", "auditPolicy"),
			&evidence.Document{APIVersion: "audit.k8s.io/v1", Kind: "Policy", JSON: redact(policy)})
	}
	if len(api.AdmissionControl) > 0 {
		type plugin struct {
			Name          string          `json:"name"`
			Configuration json.RawMessage `json:"configuration,omitempty"`
		}
		var plugins []plugin
		for _, a := range api.AdmissionControl {
			plugins = append(plugins, plugin{a.Name, a.Configuration})
		}
		if text, err := json.Marshal(map[string]any{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}); err == nil {
			p.document(c, "admission-control-config-file", talosConfig+"/admission-control-config.yaml", p.place("cluster", "apiServer", "admissionControl"),
				&evidence.Document{APIVersion: "apiserver.config.k8s.io/v1", Kind: "AdmissionConfiguration", JSON: redact(text)})
		}
	}
	return c
}

// The folders in which the API server finds its keys and its configuration.
const (
	talosSecrets = "/system/secrets/kubernetes/kube-apiserver"
	talosConfig  = "/system/config/kubernetes/kube-apiserver"
)

const talosSuites = "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"

// document gives a component a configuration file that Talos writes from a part of the
// machine configuration: it stands for that file, as it is what decides.
func (p talosMachine) document(c *candidate, flag, file string, at evidence.Position, doc *evidence.Document) {
	doc.File = p.file
	c.Documents[flag] = doc
	c.Flags = append(c.Flags, evidence.Flag{Name: flag, Value: file, Place: at})
	c.Mounts = append(c.Mounts, evidence.Mount{Host: p.file, Container: file, ReadOnly: true})
}

// encryption is the configuration that Talos writes from the key in the machine
// configuration: secretbox goes before AES-CBC. Of the key only its length is kept.
func (p talosMachine) encryption() *evidence.Document {
	type key struct {
		Name   string `json:"name"`
		Secret string `json:"secret"`
	}
	var providers []map[string]any
	for _, one := range []struct{ provider, secret string }{
		{"secretbox", p.config.Cluster.SecretboxEncryptionSecret}, {"aescbc", p.config.Cluster.AESCBCEncryptionSecret},
	} {
		if one.secret != "" {
			providers = append(providers, map[string]any{one.provider: map[string]any{"keys": []key{{"key", bits(one.secret)}}}})
		}
	}
	if providers == nil {
		return nil
	}
	providers = append(providers, map[string]any{"identity": map[string]any{}})
	text, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
		"resources": []any{map[string]any{"resources": []string{"secrets"}, "providers": providers}},
	})
	if err != nil {
		return nil
	}
	return &evidence.Document{APIVersion: "apiserver.config.k8s.io/v1", Kind: "EncryptionConfiguration", JSON: text}
}

// kubelet is the kubelet with the settings that Talos gives it, which users may change
// but for some that it refuses to change.
func (p talosMachine) kubelet() *candidate {
	at := p.place("machine", "kubelet")
	c := derived(evidence.Kubelet, at, documented(at, "kubeconfig=/etc/kubernetes/kubeconfig-kubelet", "cert-dir=/var/lib/kubelet/pki"))
	c.UID = 0
	m := merging{}
	for path, value := range map[string]any{
		"authentication.anonymous.enabled": false, "authentication.webhook.enabled": true, "authorization.mode": "Webhook",
		"protectKernelDefaults": true, "rotateCertificates": true, "streamingConnectionIdleTimeout": "5m", "tlsMinVersion": "VersionTLS13", "readOnlyPort": 0,
	} {
		m.set(path, value, at)
	}
	if p.config.Machine != nil {
		k := p.config.Machine.Kubelet
		if k.DefaultRuntimeSeccompProfileEnable != nil {
			m.set("seccompDefault", *k.DefaultRuntimeSeccompProfileEnable, p.place("machine", "kubelet", "defaultRuntimeSeccompProfileEnabled"))
		}
		if len(k.ExtraConfig) > 0 {
			m.patch(redact(k.ExtraConfig), p.doc.Outline, evidence.NewPath("machine", "kubelet", "extraConfig"), "")
		}
		if name := p.config.Machine.Network.Hostname; name != "" {
			c.Flags = append(c.Flags, evidence.Flag{Name: "hostname-override", Value: name, Place: p.place("machine", "network", "hostname")})
		}
		flags := p.users(k.ExtraArgs, evidence.NewPath("machine", "kubelet", "extraArgs"))
		for _, f := range flags {
			c.Flags = append(c.Flags, evidence.NewFlag(f.Name, f.Value, f.Place))
		}
	}
	c.Options = m
	return c
}
