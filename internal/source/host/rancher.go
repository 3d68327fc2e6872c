package host

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/process"
)

// A rancher is K3s or RKE2, which is K3s with the control plane in static pods.
type rancher struct {
	program, server, agent string // the program, and its services
	env                    string // what the names of its variables begin with
	pods                   bool   // the control plane's flags stand in static pods
}

var (
	k3s  = rancher{"k3s", "k3s", "k3s-agent", "K3S_", false}
	rke2 = rancher{"rke2", "rke2-server", "rke2-agent", "RKE2_", true}
)

func (d rancher) config() string { return "/etc/rancher/" + d.program + "/config.yaml" }

func (d rancher) data() string { return "/var/lib/rancher/" + d.program }

// parts are the components that the one program runs: from its flags, its variables and
// its configuration, and the flags that it is documented to pass by itself.
func (d rancher) parts(r *reader, all []*candidate) []*candidate {
	whole, found := d.whole(r, all)
	if whole.idle && !r.isThere(d.data()+"/agent/kubelet.kubeconfig") {
		return nil // installed, and never started
	}
	whole.idle = false
	s := d.settings(r, whole)
	whole.Flags = s.shown()
	data := s.get("data-dir", d.data())
	if data != d.data() {
		r.layout = r.layout.moved(d.data(), data)
	}
	p := parting{rancher: d, settings: s, reader: r, at: whole.Place, data: data}
	list := p.agent()
	if whole.Name == d.server && !d.pods {
		list = append(p.controlPlane(), list...)
	}
	for _, c := range list {
		if c.Name != evidence.Etcd && c.Name != evidence.Containerd { // these have files that are written for them
			c.unsure(whole.Unread)
		}
	}
	list = missing(all, list)
	if !found {
		list = append(list, whole)
	}
	return list
}

// whole is the program itself. It hides its arguments once it runs, so that the unit
// tells more than the process. Where neither is there, what it has left on the node
// tells whether it is a server.
func (d rancher) whole(r *reader, all []*candidate) (c *candidate, found bool) {
	var unit, running *candidate
	for _, c := range all {
		switch {
		case c.Name != d.server && c.Name != d.agent:
		case c.Way == evidence.FromProcess:
			running = c
		case unit == nil || unit.idle:
			unit = c
		}
	}
	switch {
	case unit != nil && (running == nil || running.Name == unit.Name && len(running.Flags) == 0):
		if running != nil {
			running.idle = true
			unit.idle, unit.UID = false, running.UID
		}
		return unit, true
	case running != nil:
		if unit != nil {
			unit.idle = true // what it has is told by what runs
		}
		if len(running.Flags) == 0 {
			leave(running.Component, d.program+" hides its arguments, and no unit tells them")
		}
		return running, true
	}
	name := d.agent
	if r.isThere(d.data()+"/server/tls") || r.isThere(d.data()+"/server/db") || r.isThere("/etc/rancher/"+d.program+"/"+d.program+".yaml") {
		name = d.server
	}
	c = derived(name, evidence.Position{File: d.config()}, nil)
	c.Unread = "neither a process nor a unit tells how " + d.program + " is started"
	return c, false
}

// settings are what a program is set up with: its flags behind what its configuration
// says, as it puts them together itself. They may hold credentials.
type settings []evidence.Flag

// get is the value in force, or the default.
func (s settings) get(name, byDefault string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].Name == name {
			return s[i].Value
		}
	}
	return byDefault
}

func (s settings) on(name string) bool {
	switch strings.ToLower(s.get(name, "")) {
	case "true", "1", "t":
		return true
	}
	return false
}

// extra are the flags of a component that a repeated setting holds.
func (s settings) extra(name string) (flags []evidence.Flag) {
	for _, f := range s {
		if f.Name == name && f.Value != "" {
			flags = append(flags, extra(f.Value, f.Place))
		}
	}
	return flags
}

// shown are the settings without the credentials in them.
func (s settings) shown() (flags []evidence.Flag) {
	for _, f := range s {
		switch inner := extra(f.Value, f.Place); {
		case strings.HasSuffix(f.Name, "-arg"):
			f.Value = inner.Name + "=" + evidence.NewFlag(inner.Name, inner.Value, f.Place).Value
		case f.Name == "datastore-endpoint":
			f.Value = withoutUser(f.Value)
		case f.Name == "vpn-auth":
			f.Value = bits(f.Value)
		case strings.HasSuffix(f.Value, " bit"): // it was a flag, and is hidden already
		default:
			f.Value = evidence.NewFlag(f.Name, f.Value, f.Place).Value
		}
		flags = append(flags, f)
	}
	return flags
}

// anyUser matches what may be user and password in the address of a database, whatever
// signs are in them.
var anyUser = regexp.MustCompile(`://.*@`)

func withoutUser(address string) string { return anyUser.ReplaceAllString(address, "://…@") }

// settings puts together variables, configuration files and flags, the stronger later.
func (d rancher) settings(r *reader, whole *candidate) (s settings) {
	env := whole.env
	if whole.Way == evidence.FromProcess {
		values, known := process.Environ(r.tree, whole.pid, d.env)
		if !known {
			leave(whole.Component, "the variables of the process may not be read")
		}
		env = map[string]word{}
		for name, value := range values {
			env[name] = word{text: value, at: whole.Place}
		}
	}
	for _, pair := range [][2]string{{"DATASTORE_ENDPOINT", "datastore-endpoint"}, {"DATASTORE_CAFILE", "datastore-cafile"}, {"DATASTORE_CERTFILE", "datastore-certfile"}, {"DATASTORE_KEYFILE", "datastore-keyfile"}, {"DATA_DIR", "data-dir"}, {"URL", "server"}} {
		if v, set := env[d.env+pair[0]]; set && v.text != "" {
			s = append(s, evidence.Flag{Name: pair[1], Value: v.text, Place: v.at})
		}
	}
	own := settings(whole.Flags)
	file := cmp.Or(env[d.env+"CONFIG_FILE"].text, own.get("config", ""), own.get("c", ""), d.config())
	s = append(s, d.configuration(r, whole.Component, file)...)
	for _, f := range own {
		if f.Name == "d" {
			f.Name = "data-dir"
		}
		s = append(s, f)
	}
	return s
}

// configuration reads the configuration file and its drop-ins in the order of their
// names. What a later file says of a setting goes in place of what an earlier one did;
// with a + behind its name it is added.
func (d rancher) configuration(r *reader, whole *evidence.Component, file string) (s settings) {
	if !path.IsAbs(file) {
		leave(whole, file+": a configuration that is not on the node")
		return nil
	}
	const maxDropIns = 500
	files := []string{file}
	for _, name := range r.list(file + ".d") {
		if ext := path.Ext(name); (ext == ".yaml" || ext == ".yml") && len(files) < maxDropIns {
			files = append(files, path.Join(file+".d", name))
		}
	}
	r.note(path.Dir(file), false)
	said := map[string][]evidence.Flag{}
	for _, file := range files {
		doc, there, why := r.ownConfig(file)
		if why != "" {
			leave(whole, why)
		}
		var fields map[string]json.RawMessage
		if !there || json.Unmarshal(doc.JSON, &fields) != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			name, adds := strings.CutSuffix(key, "+")
			if !adds {
				said[name] = nil
			}
			var items []json.RawMessage
			at := evidence.NewPath(key)
			if json.Unmarshal(fields[key], &items) != nil {
				said[name] = append(said[name], evidence.Flag{Name: name, Value: asText(fields[key]), Place: doc.Outline.Place(at)})
			}
			for i, item := range items {
				said[name] = append(said[name], evidence.Flag{Name: name, Value: asText(item), Place: doc.Outline.Place(at.Index(i, ""))})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		s = append(s, said[name]...)
	}
	return s
}

// A parting takes the one program apart.
type parting struct {
	rancher
	settings
	*reader
	at   evidence.Position
	data string
}

// part is one of the components, with the flags that the program is documented to pass
// (K3s' CIS self-assessment guides print whole command lines) and those that users add
// by a setting.
func (p parting) part(name, setting string, own ...string) *candidate {
	for i := range own {
		own[i] = strings.ReplaceAll(own[i], "{data}", p.data)
	}
	return derived(name, p.at, overlay(documented(p.at, own...), p.extra(setting)))
}

const rancherSuites = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"

func (p parting) controlPlane() (list []*candidate) {
	const tls, cred = "{data}/server/tls/", "{data}/server/cred/"
	if !p.on("disable-apiserver") {
		issuer := "https://kubernetes.default.svc." + p.get("cluster-domain", "cluster.local")
		own := []string{
			"allow-privileged=true", "anonymous-auth=false", "api-audiences=" + issuer + ",k3s", "authorization-mode=Node,RBAC", "bind-address=127.0.0.1",
			"cert-dir=" + tls + "temporary-certs", "client-ca-file=" + tls + "client-ca.crt", "egress-selector-config-file={data}/server/etc/egress-selector-config.yaml",
			"enable-admission-plugins=NodeRestriction", "enable-aggregator-routing=true", "enable-bootstrap-token-auth=true",
			"kubelet-certificate-authority=" + tls + "server-ca.crt", "kubelet-client-certificate=" + tls + "client-kube-apiserver.crt", "kubelet-client-key=" + tls + "client-kube-apiserver.key",
			"kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "profiling=false",
			"proxy-client-cert-file=" + tls + "client-auth-proxy.crt", "proxy-client-key-file=" + tls + "client-auth-proxy.key",
			"requestheader-allowed-names=system:auth-proxy", "requestheader-client-ca-file=" + tls + "request-header-ca.crt", "requestheader-extra-headers-prefix=X-Remote-Extra-",
			"requestheader-group-headers=X-Remote-Group", "requestheader-username-headers=X-Remote-User", "secure-port=" + p.port(), "service-account-issuer=" + issuer,
			"service-account-key-file=" + tls + "service.key", "service-account-signing-key-file=" + tls + "service.current.key",
			"service-cluster-ip-range=" + p.get("service-cidr", "10.43.0.0/16"), "service-node-port-range=" + p.get("service-node-port-range", "30000-32767"), "storage-backend=etcd3",
			"tls-cert-file=" + tls + "serving-kube-apiserver.crt", "tls-cipher-suites=" + rancherSuites, "tls-private-key-file=" + tls + "serving-kube-apiserver.key",
		}
		list = append(list, p.part(evidence.APIServer, "kube-apiserver-arg", append(own, p.store()...)...))
	}
	if !p.on("disable-controller-manager") {
		list = append(list, p.part(evidence.ControllerManager, "kube-controller-manager-arg",
			"allocate-node-cidrs=true", "authentication-kubeconfig="+cred+"controller.kubeconfig", "authorization-kubeconfig="+cred+"controller.kubeconfig", "bind-address=127.0.0.1",
			"cluster-cidr="+p.get("cluster-cidr", "10.42.0.0/16"),
			"cluster-signing-kube-apiserver-client-cert-file="+tls+"client-ca.crt", "cluster-signing-kube-apiserver-client-key-file="+tls+"client-ca.key",
			"cluster-signing-kubelet-client-cert-file="+tls+"client-ca.crt", "cluster-signing-kubelet-client-key-file="+tls+"client-ca.key",
			"cluster-signing-kubelet-serving-cert-file="+tls+"server-ca.crt", "cluster-signing-kubelet-serving-key-file="+tls+"server-ca.key",
			"cluster-signing-legacy-unknown-cert-file="+tls+"server-ca.crt", "cluster-signing-legacy-unknown-key-file="+tls+"server-ca.key",
			"kubeconfig="+cred+"controller.kubeconfig", "profiling=false", "root-ca-file="+tls+"server-ca.crt", "secure-port=10257",
			"service-account-private-key-file="+tls+"service.current.key", "use-service-account-credentials=true"))
	}
	if !p.on("disable-scheduler") {
		list = append(list, p.part(evidence.Scheduler, "kube-scheduler-arg",
			"authentication-kubeconfig="+cred+"scheduler.kubeconfig", "authorization-kubeconfig="+cred+"scheduler.kubeconfig", "bind-address=127.0.0.1",
			"kubeconfig="+cred+"scheduler.kubeconfig", "profiling=false", "secure-port=10259"))
	}
	if !p.on("disable-cloud-controller") {
		list = append(list, p.part(evidence.CloudControllerManager, "kube-cloud-controller-manager-arg",
			"allocate-node-cidrs=true", "authentication-kubeconfig="+cred+"cloud-controller.kubeconfig", "authorization-kubeconfig="+cred+"cloud-controller.kubeconfig", "bind-address=127.0.0.1",
			"cloud-provider=k3s", "cluster-cidr="+p.get("cluster-cidr", "10.42.0.0/16"), "kubeconfig="+cred+"cloud-controller.kubeconfig", "profiling=false"))
	}
	if p.etcd() && !p.on("disable-etcd") {
		// The configuration that K3s writes for etcd has the etcd-arg settings in it.
		list = append(list, p.part(evidence.Etcd, "", "config-file={data}/server/db/etcd/config"))
	}
	return list
}

// port is the API server's own: K3s answers at https-listen-port, and hands on what is
// for the API server to the port after it, which only the node reaches.
func (p parting) port() string {
	n, err := strconv.Atoi(p.get("https-listen-port", "6443"))
	if err != nil {
		n = 6443
	}
	return strconv.Itoa(n + 1)
}

// etcd reports whether the cluster's data is in etcd: where the first server was told
// so, or one has joined others, or the folder is there.
func (p parting) etcd() bool {
	return p.get("datastore-endpoint", "") == "" &&
		(p.on("cluster-init") || p.get("server", "") != "" || p.isThere(p.data+"/server/db/etcd"))
}

// store are the API server's flags about where the data is and how it is kept.
func (p parting) store() (flags []string) {
	const tls = "{data}/server/tls/"
	if p.on("secrets-encryption") {
		flags = append(flags, "encryption-provider-config={data}/server/cred/encryption-config.json", "encryption-provider-config-automatic-reload=true")
	}
	endpoint := p.get("datastore-endpoint", "")
	switch {
	case p.etcd():
		return append(flags, "etcd-servers=https://127.0.0.1:2379", "etcd-cafile="+tls+"etcd/server-ca.crt", "etcd-certfile="+tls+"etcd/client.crt", "etcd-keyfile="+tls+"etcd/client.key")
	case strings.HasPrefix(endpoint, "http://"), strings.HasPrefix(endpoint, "https://"):
		flags = append(flags, "etcd-servers="+withoutUser(endpoint))
		for flag, setting := range map[string]string{"etcd-cafile": "datastore-cafile", "etcd-certfile": "datastore-certfile", "etcd-keyfile": "datastore-keyfile"} {
			if file := p.get(setting, ""); file != "" {
				flags = append(flags, flag+"="+file)
			}
		}
		slices.Sort(flags)
		return flags
	}
	return append(flags, "etcd-servers=unix://kine.sock") // the database is reached by way of kine, in the same process
}

// agent are the components of every node. From 1.32 on the kubelet's own settings are in
// a file that is written for it; before, they were flags.
func (p parting) agent() (list []*candidate) {
	if p.on("disable-agent") {
		return nil
	}
	configs := p.data + "/agent/etc/kubelet.conf.d"
	own := []string{"kubeconfig={data}/agent/kubelet.kubeconfig", "read-only-port=0"}
	if p.isThere(configs) {
		own = append(own, "config-dir="+configs)
	} else {
		own = append(own, "address=0.0.0.0", "anonymous-auth=false", "authentication-token-webhook=true", "authorization-mode=Webhook", "client-ca-file={data}/agent/client-ca.crt",
			"container-runtime-endpoint=unix:///run/k3s/containerd/containerd.sock", "fail-swap-on=false", "healthz-bind-address=127.0.0.1", "pod-manifest-path={data}/agent/pod-manifests",
			"serialize-image-pulls=false", "tls-cert-file={data}/agent/serving-kubelet.crt", "tls-private-key-file={data}/agent/serving-kubelet.key")
	}
	if p.on("protect-kernel-defaults") || p.pods && strings.HasPrefix(p.get("profile", ""), "cis") {
		own = append(own, "protect-kernel-defaults=true")
	}
	if name := p.get("node-name", ""); name != "" {
		own = append(own, "hostname-override="+name)
	}
	list = append(list, p.part(evidence.Kubelet, "kubelet-arg", own...))
	if !p.pods && !p.on("disable-kube-proxy") {
		list = append(list, p.part(evidence.KubeProxy, "kube-proxy-arg",
			"cluster-cidr="+p.get("cluster-cidr", "10.42.0.0/16"), "healthz-bind-address=127.0.0.1", "kubeconfig={data}/agent/kubeproxy.kubeconfig", "proxy-mode=iptables"))
	}
	if p.get("container-runtime-endpoint", "") == "" && !p.on("docker") {
		list = append(list, p.part(evidence.Containerd, "", "config={data}/agent/etc/containerd/config.toml"))
	}
	return list
}
