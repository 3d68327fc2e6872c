package need

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// infer finds what is needed.
func (c *Catalog) infer() {
	for _, w := range c.Snap.Workloads {
		r := &reader{Catalog: c, w: w, from: c.EndOf(w)}
		r.containers()
		r.mounted()
		r.annotations()
		r.operated()
		c.reachesAPI(w)
	}
	c.entrances()
	c.calledByAPI()
	c.monitors()
	c.system()
}

// A reader looks through what one workload is told.
type reader struct {
	*Catalog
	w    *evidence.Workload
	from End
	env  map[string]string
}

// A source is a text that a workload is given.
type source struct {
	ref  *evidence.Ref
	path evidence.Path
	// key is what the text is the value of: a variable, a flag, a key.
	key string
	// loose is set for texts in which much stands that nobody connects to, file for a
	// setting in a file: a word there is a name only if its key says that it is.
	loose, file bool
}

func (s source) reason(says string) Reason {
	return Reason{At: Field(s.ref, s.path), Says: Printable(says)}
}

func (r *reader) containers() {
	for c := range r.w.Containers() {
		at := func(steps ...string) evidence.Path { return r.w.Resolve(c.Path()).Field(steps...) }
		r.env = map[string]string{}
		for i := range c.EnvFrom {
			if from := c.EnvFrom[i].ConfigMapRef; from != nil {
				r.configMap(from.Name, func(key, text string, src source) {
					src.key = c.EnvFrom[i].Prefix + key
					r.env[src.key] = text
					r.read(text, src)
				})
			}
		}
		for i := range c.Env {
			e := &c.Env[i]
			src := source{ref: r.w.Ref, path: at("env").Index(i, e.Name).Field("value"), key: e.Name}
			text := e.Value
			if from := e.ValueFrom; from != nil {
				if from.FieldRef != nil && from.FieldRef.FieldPath == "status.hostIP" {
					r.env[e.Name] = ownNode
				}
				if from.ConfigMapKeyRef == nil {
					continue
				}
				m := r.configMaps[Name{r.w.Namespace, from.ConfigMapKeyRef.Name}]
				if m == nil {
					continue
				}
				text = m.Value.Data[from.ConfigMapKeyRef.Key]
				src.ref, src.path = m.Ref, evidence.NewPath("data", from.ConfigMapKeyRef.Key)
			}
			text = r.expand(text)
			r.env[e.Name] = text
			r.read(text, src)
		}
		r.words(c.Command, at("command"))
		r.words(c.Args, at("args"))
		if l := c.Lifecycle; l != nil {
			if l.PostStart != nil && l.PostStart.Exec != nil {
				r.words(l.PostStart.Exec.Command, at("lifecycle", "postStart", "exec", "command"))
			}
			if l.PreStop != nil && l.PreStop.Exec != nil {
				r.words(l.PreStop.Exec.Command, at("lifecycle", "preStop", "exec", "command"))
			}
		}
	}
}

var variable = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)`)

// expand puts the values of variables into a text, as the kubelet does.
func (r *reader) expand(text string) string {
	if len(text) > maxText {
		return text
	}
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		if value, ok := r.env[m[2:len(m)-1]]; ok && len(value) < 4096 {
			return value
		}
		return m
	})
}

// words are a command line: each word by itself, a flag with its value.
func (r *reader) words(list []string, at evidence.Path) {
	for i, word := range list {
		key := ""
		if strings.HasPrefix(word, "-") || assignment.MatchString(word) {
			if k, value, ok := strings.Cut(word, "="); ok {
				key, word = k, value
			}
		} else if i > 0 && strings.HasPrefix(list[i-1], "-") {
			key = list[i-1]
		}
		r.read(r.expand(word), source{ref: r.w.Ref, path: at.Index(i, ""), key: key})
	}
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*=`)

func (r *reader) configMap(of string, each func(key, text string, src source)) {
	m := r.configMaps[Name{r.w.Namespace, of}]
	if m == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m.Value.Data)) {
		each(key, m.Value.Data[key], source{ref: m.Ref, path: evidence.NewPath("data", key), key: key})
	}
}

// mounted are the ConfigMaps among the volumes.
func (r *reader) mounted() {
	read := func(of string, items []corev1.KeyToPath) {
		r.configMap(of, func(key, text string, src source) {
			if len(items) > 0 && !slices.ContainsFunc(items, func(i corev1.KeyToPath) bool { return i.Key == key }) {
				return
			}
			src.loose = true
			r.file(text, src)
		})
	}
	for i := range r.w.Pod.Volumes {
		v := &r.w.Pod.Volumes[i]
		if v.ConfigMap != nil {
			read(v.ConfigMap.Name, v.ConfigMap.Items)
		}
		if v.Projected == nil {
			continue
		}
		for _, p := range v.Projected.Sources {
			if p.ConfigMap != nil {
				read(p.ConfigMap.Name, p.ConfigMap.Items)
			}
		}
	}
}

// setting is a line of a file of settings: key: value, or key = value.
var setting = regexp.MustCompile(`^\s*(?:-\s+)?["']?([A-Za-z0-9_.\-/]+)["']?\s*[:=]\s*["']?(.*?)["']?,?\s*$`)

// file follows a mounted file: a host that is the value of a setting is as good as a
// variable's; what stands elsewhere must be a Service in full.
func (r *reader) file(text string, src source) {
	if len(text) > maxText {
		r.Notes.Addf("%s is too long: only its first MiB was looked through", Field(src.ref, src.path))
	}
	at := entry{src.ref, src.key}
	list, known := r.passages[at]
	if !known {
		list = passages(text[:min(len(text), maxText)])
		r.passages[at] = list
	}
	for _, p := range list {
		one := src
		if p.setting {
			one.key, one.loose, one.file = p.key, markup(src.key) || linkKey(p.key), true
		}
		r.follow(p.telling, one)
	}
}

// An entry is one of the texts of a ConfigMap.
type entry struct {
	ref *evidence.Ref
	key string
}

// A passage is a line of a file that names hosts.
type passage struct {
	// key is that of a setting.
	key     string
	setting bool
	telling
}

// passages are the lines of a text that tell something. Many pods may mount one file.
func passages(text string) (list []passage) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//") {
			continue
		}
		p := passage{}
		if parts := setting.FindStringSubmatch(line); parts != nil {
			p.key, p.setting, trimmed = parts[1], true, parts[2]
		}
		if p.telling = tell(trimmed); len(p.mentions)+len(p.injected) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// markup reports whether a file is one of those in which URLs are mostly links.
func markup(file string) bool {
	for _, suffix := range []string{".json", ".html", ".htm", ".js", ".css", ".md", ".xml", ".xsd", ".svg", ".txt"} {
		if strings.HasSuffix(file, suffix) {
			return true
		}
	}
	return false
}

func linkKey(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "schema") || strings.Contains(key, "xmlns") || strings.Contains(key, "runbook") || strings.Contains(key, "doc") || key == "link" || key == "description" || key == "homepage"
}

func (r *reader) annotations() {
	for _, key := range slices.Sorted(maps.Keys(r.w.PodAnnotations)) {
		if strings.HasPrefix(key, "prometheus.io/") || strings.HasPrefix(key, "checksum/") {
			continue
		}
		r.read(r.w.PodAnnotations[key], source{ref: r.w.Ref, path: r.w.MetaPath.Field("annotations", key), key: key, loose: true})
	}
}

// A telling is what one text names: hosts, and variables that the kubelet makes.
type telling struct {
	mentions []mention
	injected [][]string
}

func tell(text string) telling {
	return telling{mentions(text), injected.FindAllStringSubmatch(text, 100)}
}

// read looks through one text.
func (r *reader) read(text string, src source) { r.follow(tell(text), src) }

// follow needs what a text names.
func (r *reader) follow(t telling, src source) {
	if len(t.mentions) == maxMentions {
		r.Notes.Addf("%s names more hosts than are looked at: the first %d", Field(src.ref, src.path), maxMentions)
	}
	for _, m := range t.mentions {
		r.mention(m, src)
	}
	for _, found := range t.injected {
		r.injected(found[1], portOf(found[2]), src, found[0])
	}
}

// ownNode stands for the address of the pod's node, in the values of variables.
const ownNode = "own-node.invalid"

// toNode needs a port of the pod's node: of what runs in its network, or of the pods
// that have that port of it.
func (r *reader) toNode(port uint16, why Reason) {
	if port == 0 {
		r.Notes.Addf("%s: %s: no port is known: no connection to it is opened", why.At, why.Says)
		return
	}
	if r.from.Kind == OfSet {
		r.Needs.Add(r.from, End{Kind: OfNodes}, ports.Of(ports.TCP, port, port), why)
	}
	for _, w := range r.Snap.Workloads {
		for c := range w.Containers() {
			for _, p := range c.Ports {
				if p.HostPort == int32(port) && !w.Pod.HostNetwork {
					r.Needs.Add(r.from, r.EndOf(w), Single(ProtocolOf(p.Protocol), p.ContainerPort), why)
				}
			}
		}
	}
}

// mention follows a host.
func (r *reader) mention(m mention, src source) {
	if m.host == ownNode {
		if m.port == 0 {
			m.port = schemePort(m.scheme)
		}
		r.toNode(m.port, src.reason(strings.Replace(m.says, ownNode, "the pod's own node", 1)))
		return
	}
	if a, err := netip.ParseAddr(strings.Trim(m.host, "[]")); err == nil {
		r.address(a.Unmap(), m, src)
		return
	}
	host := strings.ToLower(m.host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return
	}
	if host == "kubernetes" || host == "kubernetes.default" || strings.HasPrefix(host, "kubernetes.default.svc") {
		if m.scheme != "" || m.port != 0 || host != "kubernetes" {
			r.apiNeed(r.from, src.reason(m.says))
		}
		return
	}
	at, long := r.serviceName(host)
	if s := r.Services[at]; s != nil {
		r.toService(s, host, m, src)
		return
	}
	switch {
	case long:
		r.Notes.Addf("%s: %s names a Service that was not read: no connection to it is opened", Field(src.ref, src.path), Printable(m.says))
	case !strings.Contains(host, "."):
		if m.scheme != "" && m.scheme != "file" && m.scheme != "unix" || m.whole && m.port != 0 && addressKey(src.key) && !secretKey(src.key) {
			r.Notes.Addf("%s: %s names no Service of namespace %s that was read: no connection to it is opened", Field(src.ref, src.path), Printable(m.says), r.w.Namespace)
		}
	default:
		r.outside(host, m, src)
	}
}

// serviceName reads a host as the cluster's name servers do for a pod. The form
// name.namespace.svc can only be a Service, and long then says so.
func (r *reader) serviceName(host string) (at Name, long bool) {
	labels := strings.Split(host, ".")
	if i := slices.Index(labels, "svc"); i >= 2 {
		return Name{labels[i-1], labels[i-2]}, true
	}
	exists := func(namespace, of string) bool { return r.Services[Name{namespace, of}] != nil }
	switch n := len(labels); {
	case n == 1:
		return Name{r.w.Namespace, host}, false
	case n == 2 && exists(labels[1], labels[0]):
		return Name{labels[1], labels[0]}, false
	case n == 2 && exists(r.w.Namespace, labels[1]) && headless(r.Services[Name{r.w.Namespace, labels[1]}]): // web-0.web
		return Name{r.w.Namespace, labels[1]}, false
	case n == 3 && exists(labels[2], labels[1]) && headless(r.Services[Name{labels[2], labels[1]}]):
		return Name{labels[2], labels[1]}, false
	}
	return Name{}, false
}

func headless(s *evidence.Object[corev1.Service]) bool {
	return s.Value.Spec.ClusterIP == corev1.ClusterIPNone
}

// toService needs what a mention of a Service means.
func (r *reader) toService(s *evidence.Object[corev1.Service], host string, m mention, src source) {
	why := src.reason(m.says)
	bare := m.scheme == "" && m.port == 0 && !strings.Contains(host, ".")
	switch {
	case bare && (src.loose || !m.whole), bare && src.file && !addressKey(src.key), bare && r.own(s) && !headless(s):
		return // a word in a text, or its own name
	case bare && !addressKey(src.key):
		why.Weak = fmt.Sprintf("%q is the name of a Service, and may be just a word", host)
	case r.own(s) && !headless(s):
		why.Weak = "its own Service: often no more than the address that it tells others"
	}
	if s.Value.Spec.Type == corev1.ServiceTypeExternalName {
		r.external(s, m, src)
		return
	}
	port := m.port
	if port == 0 {
		port = r.portBeside(src.key, s)
	}
	if port == 0 && schemePort(m.scheme) != 0 && hasPort(s, schemePort(m.scheme)) {
		port = schemePort(m.scheme)
	}
	r.need(s, port, why)
}

// own reports whether the workload's pods are behind a Service.
func (r *reader) own(s *evidence.Object[corev1.Service]) bool {
	return slices.ContainsFunc(r.Backends(s), func(b reach.Backend) bool {
		return b.Workload != nil && r.from.Kind == OfSet && r.Of[b.Workload] == r.from.Set
	})
}

// need needs a port of a Service, or all of its ports for 0.
func (r *reader) need(s *evidence.Object[corev1.Service], port uint16, why Reason) {
	backends := r.Backends(s)
	if len(backends) == 0 {
		r.Notes.Addf("%s: %s: no workload that was read is behind %s: no connection to it is opened", why.At, why.Says, s)
	}
	for _, b := range backends {
		if b.Workload == nil {
			if b.Endpoint != nil {
				b.Unknown = fmt.Sprintf("%s leads to what is no pods", s)
			}
			r.Notes.Addf("%s: %s: %s; no connection to it is opened", why.At, why.Says, b.Unknown)
			continue
		}
		set := PortsOf(s, b, port)
		if set.Empty() {
			r.Notes.Addf("%s: %s: %s has no such port, or its pods none of that name: no connection is opened", why.At, why.Says, s)
			continue
		}
		because := why
		if because.Weak == "" {
			because.Weak = b.Unknown
		}
		r.Needs.Add(r.from, r.EndOf(b.Workload), set, because)
	}
}

// PortsOf are the ports of pods that a port of a Service leads to. The pods behind
// a headless Service are connected to directly.
func PortsOf(s *evidence.Object[corev1.Service], b reach.Backend, port uint16) ports.Set {
	if port == 0 {
		return b.All()
	}
	var set ports.Set
	for i := range s.Value.Spec.Ports {
		if s.Value.Spec.Ports[i].Port == int32(port) {
			set = set.Union(b.Ports[i])
		}
	}
	if !headless(s) {
		return set
	}
	for c := range b.Workload.Containers() {
		for _, p := range c.Ports {
			if p.ContainerPort == int32(port) {
				set = set.Union(ports.Of(ProtocolOf(p.Protocol), port, port))
			}
		}
	}
	if set.Empty() {
		set = ports.Of(ports.TCP, port, port)
	}
	return set
}

// ProtocolOf is the protocol of a port: TCP where none is named.
func ProtocolOf(p corev1.Protocol) ports.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return ports.UDP
	case corev1.ProtocolSCTP:
		return ports.SCTP
	}
	return ports.TCP
}

func hasPort(s *evidence.Object[corev1.Service], port uint16) bool {
	return slices.ContainsFunc(s.Value.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == int32(port) })
}

// portBeside is the port that stands beside a host in a variable of its own:
// DB_PORT beside DB_HOST. 0 where there is none that the Service has.
func (r *reader) portBeside(key string, s *evidence.Object[corev1.Service]) uint16 {
	upper := strings.ToUpper(key)
	for _, suffix := range []string{"HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER"} {
		if !strings.HasSuffix(upper, suffix) {
			continue
		}
		beside := key[:len(key)-len(suffix)]
		for _, tail := range []string{"PORT", "port", "Port"} {
			if port := portOf(r.env[beside+tail]); port != 0 && hasPort(s, port) {
				return port
			}
		}
	}
	return 0
}

// addressKey reports whether what a value is called says that it is an address.
func addressKey(key string) bool {
	key = strings.ToLower(key)
	if key == "-h" {
		return true
	}
	for _, word := range []string{"host", "addr", "url", "uri", "server", "service", "endpoint", "upstream", "broker", "backend", "target", "peer", "dsn", "conn", "proxy", "remote", "node", "svc"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// secretKey reports whether a value may be a name and a password, which look like a
// host and a port.
func secretKey(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"pass", "secret", "token", "auth", "cred", "user", "login"}, func(word string) bool { return strings.Contains(key, word) })
}

// injected follows a variable that the kubelet makes for each Service of the pod's
// namespace, when the workload is told to use it.
func (r *reader) injected(prefix string, port uint16, src source, says string) {
	for _, s := range r.Snap.Services {
		if s.Namespace == r.w.Namespace && strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) == prefix {
			r.need(s, port, src.reason(says))
			return
		}
	}
	if prefix == "KUBERNETES" {
		r.apiNeed(r.from, src.reason(says))
	}
}

// external follows a Service that stands for a name.
func (r *reader) external(s *evidence.Object[corev1.Service], m mention, src source) {
	target := strings.ToLower(strings.TrimSuffix(s.Value.Spec.ExternalName, "."))
	inside := &reader{Catalog: r.Catalog, w: r.w, from: r.from}
	at, _ := inside.serviceName(target)
	if to := r.Services[at]; to != nil && to.Value.Spec.Type != corev1.ServiceTypeExternalName {
		r.need(to, m.port, src.reason(m.says+", which stands for "+target))
		return
	}
	port := m.port
	if port == 0 {
		port = schemePort(m.scheme)
	}
	for i := range s.Value.Spec.Ports {
		if port == 0 {
			port = Number(s.Value.Spec.Ports[i].Port)
		}
	}
	r.world(target, port, src.reason(m.says+", which stands for "+Printable(target)))
}

// address follows an address that is written out.
func (r *reader) address(a netip.Addr, m mention, src source) {
	if s, ok := r.ServiceAt(a); ok {
		if s.Name == "kubernetes" && s.Namespace == "default" {
			r.apiNeed(r.from, src.reason(m.says))
			return
		}
		r.need(s, m.port, src.reason(m.says))
		return
	}
	port := m.port
	if port == 0 {
		port = schemePort(m.scheme)
	}
	switch {
	case Metadata().Contains(a):
		r.Notes.Addf("%s: %s is the address of a provider's metadata service: it is never opened (CLD-01)", Field(src.ref, src.path), Printable(m.says))
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || port == 0 || src.loose:
	default:
		r.Needs.Add(r.from, End{Kind: OfBlock, Block: cidr.Address(a)}, ports.Of(ports.TCP, port, port), src.reason(m.says))
	}
}

// outside follows a name that is not the cluster's.
func (r *reader) outside(host string, m mention, src source) {
	port := m.port
	if port == 0 {
		port = schemePort(m.scheme)
	}
	if !domainName(host) {
		return
	}
	if port == 0 {
		if !src.loose && (m.scheme != "" || m.whole && addressKey(src.key)) && !notConnected(host) {
			r.Notes.Addf("%s: %s: no port is known: no connection to it is opened", Field(src.ref, src.path), Printable(m.says))
		}
		return
	}
	switch {
	case src.loose && m.scheme != "":
		r.Notes.Addf("%s names %s: not opened, for much stands in such texts that nobody connects to", Field(src.ref, src.path), Printable(m.says))
	case src.loose:
	case m.scheme == "" && !m.whole:
	case notConnected(host):
	default:
		r.world(host, port, src.reason(m.says))
	}
}

// world needs a name outside the cluster.
func (r *reader) world(host string, port uint16, why Reason) {
	switch {
	case metadataName(host):
		r.Notes.Addf("%s: %s is the name of a provider's metadata service: it is never opened (CLD-01)", why.At, why.Says)
	case port == 0:
		r.Notes.Addf("%s: %s: no port is known: no connection to it is opened", why.At, why.Says)
	case privateName(host) && !r.facts.Names:
		r.Notes.Addf("%s: %s has an address inside a private network that is not known: no connection to it is opened; add a policy with its range", why.At, why.Says)
	default:
		r.Needs.Add(r.from, End{Kind: OfWorld, Name: host}, ports.Of(ports.TCP, port, port), why)
	}
}

var domain = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

func domainName(host string) bool { return len(host) <= 253 && domain.MatchString(host) }

// notConnected are hosts in names of things that only look like URLs.
func notConnected(host string) bool {
	for _, suffix := range []string{"w3.org", "json-schema.org", "schemas.xmlsoap.org", "schemas.openxmlformats.org"} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return true
		}
	}
	return false
}

// privateName reports whether a name is one of those that the internet has not.
func privateName(host string) bool {
	for _, suffix := range []string{".internal", ".local", ".lan", ".corp", ".intra", ".intranet", ".home.arpa", ".private", ".localdomain"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

func metadataName(host string) bool {
	return host == "metadata.google.internal" || host == "metadata.azure.internal" || host == "instance-data.ec2.internal"
}
