package generate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// APIServer says how an API server is to be hardened.
type APIServer struct {
	// Version of the API server; zero: that of the image's tag, else the newest.
	Version evidence.Version
	// Folder of the node with the files that the flags name.
	Folder string
	// AuditLog is the file that audit events go to where none is named.
	AuditLog string
	// Admission is the file of an AdmissionConfiguration; empty: none is named.
	Admission string
	// KubeletCA is the file with the CA of the kubelets' serving certificates;
	// empty: it is not known, and the flag is not added.
	KubeletCA string
}

// Patched is a manifest with the flags of the guide.
type Patched struct {
	Text string // the whole manifest, every other byte as it was
	Diff string // the change in the unified format; empty: there is none
	// Changes say what was done and why, Left what was left alone and why.
	Changes, Left []string
	// Files must be on the node before the manifest is, with what makes them.
	Files []string
}

// PatchAPIServer hardens the manifest of a static Pod that runs an API server.
// An error is a wrong option, or a manifest that it does not understand well
// enough to leave the rest of it alone: nothing is guessed.
func PatchAPIServer(data []byte, name string, o APIServer) (*Patched, error) {
	if err := o.valid(); err != nil {
		return nil, err
	}
	m, err := readManifest(data)
	if err != nil {
		return nil, err
	}
	h := &hardening{manifest: m, APIServer: o, done: &Patched{}}
	if h.Version == (evidence.Version{}) {
		h.Version = imageVersion(m.pod.Spec.Containers[m.container].Image)
	}
	for _, step := range []func() error{h.audit, h.encryption, h.authentication, h.authorization, h.admission, h.tls, h.profiling, h.kubelets} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	h.files()
	if err := m.place(); err != nil {
		return nil, err
	}
	if h.done.Text, err = m.text(); err != nil {
		return nil, err
	}
	h.done.Diff = m.diff(name)
	return h.done, nil
}

func (o *APIServer) valid() error {
	if err := errors.Join(checkPath("folder", o.Folder), checkPath("audit log", o.AuditLog)); err != nil {
		return err
	}
	if path.Dir(o.AuditLog) == "/" {
		return fmt.Errorf("audit log %q: want it in a folder of its own, which is mounted", o.AuditLog)
	}
	if o.Admission != "" {
		if err := checkPath("admission configuration", o.Admission); err != nil {
			return err
		}
	}
	if o.KubeletCA != "" {
		return checkPath("kubelet CA", o.KubeletCA)
	}
	return nil
}

// imageVersion is the release that an image's tag names, the newest if none.
func imageVersion(image string) evidence.Version {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndex(image, ":"); i >= 0 {
		if v, err := evidence.ParseVersion(image[i+1:]); err == nil {
			return v
		}
	}
	return evidence.Newest()
}

// A hardening is the work on one manifest.
type hardening struct {
	*manifest
	APIServer
	done *Patched
}

func (h *hardening) want(name, value, why string) error {
	old, had := h.find(name)
	if had && old.value == value && h.times(name) == 1 {
		return nil
	}
	if err := h.set(name, value); err != nil {
		return err
	}
	verb := "added:"
	switch {
	case had && old.value == value:
		verb = "was given more than once:"
	case had:
		verb = fmt.Sprintf("was %q:", old.value)
	}
	h.done.Changes = append(h.done.Changes, fmt.Sprintf("--%s=%s %s %s", name, value, verb, why))
	return nil
}

// times counts how often a flag is given: of one that takes a list all count.
func (h *hardening) times(name string) (n int) {
	for _, f := range h.given() {
		if f.name == name {
			n++
		}
	}
	return n
}

func (h *hardening) left(format string, args ...any) {
	h.done.Left = append(h.done.Left, fmt.Sprintf(format, args...))
}

func (h *hardening) value(name string) string {
	f, _ := h.find(name)
	return f.value
}

// has reports whether a flag is given and says something.
func (h *hardening) has(name string) bool {
	return h.value(name) != "" || slices.Contains(h.names(), name)
}

// names are the flags that are to be added.
func (h *hardening) names() (list []string) {
	for _, a := range h.added {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		list = append(list, name)
	}
	return list
}

// file adds a flag that names a file of the folder, unless it names one already.
func (h *hardening) file(flag, file, kind, why string) error {
	if h.has(flag) {
		return nil
	}
	name := path.Join(h.Folder, file)
	h.done.Files = append(h.done.Files, fmt.Sprintf("%s, mode 0600: gabion generate %s", name, kind))
	return h.want(flag, name, why)
}

func (h *hardening) audit() error {
	if err := h.file("audit-policy-file", "audit-policy.yaml", "audit-policy", "nothing is recorded without a policy (AUD-01)"); err != nil {
		return err
	}
	if !h.has("audit-log-path") {
		if err := h.want("audit-log-path", h.AuditLog, "where events go, beside any webhook (AUD-01, FT-02)"); err != nil {
			return err
		}
	}
	for _, limit := range []struct{ flag, value, why string }{
		{"audit-log-maxage", "30", "days that a rotated file is kept (AUD-05)"},
		{"audit-log-maxbackup", "10", "rotated files that are kept: with the size of each, what the log takes of the disk (AUD-05, FT-01)"},
		{"audit-log-maxsize", "100", "MiB of one file (AUD-05, FT-01)"},
	} {
		if v := h.value(limit.flag); v != "" && v != "0" {
			continue
		}
		if err := h.want(limit.flag, limit.value, limit.why); err != nil {
			return err
		}
	}
	return nil
}

func (h *hardening) encryption() error {
	return h.file("encryption-provider-config", "encryption.yaml", "encryption-config --migrate, the same file on every node", "Secrets lie in etcd as they are without it (SEC-03)")
}

// authentication limits anonymous requests to the health paths.
func (h *hardening) authentication() error {
	anonymous, given := h.find("anonymous-auth")
	var oidc []string
	for _, f := range h.given() {
		if strings.HasPrefix(f.name, "oidc-") {
			oidc = append(oidc, "--"+f.name)
		}
	}
	switch {
	case h.has("authentication-config"):
		h.left("--authentication-config is set: whether %s limits anonymous requests is not seen here (AUTHN-01)", h.value("authentication-config"))
		return nil
	case given && anonymous.value == "false":
		h.left("--anonymous-auth=false stays, though the kubelet's probes are anonymous: it works only with other probes (AUTHN-01)")
		return nil
	case !h.Version.AtLeast(32):
		h.left("--anonymous-auth: Kubernetes %s cannot limit anonymous requests to the health paths, and the probes need those; 1.32 can (AUTHN-01)", h.Version)
		return nil
	case len(oidc) > 0:
		h.left("--authentication-config excludes %s: say the same with gabion generate authentication-config --oidc-issuer --oidc-client-id, change the flags by hand, and run this again (AUTHN-01)", strings.Join(oidc, ", "))
		return nil
	}
	if given {
		if err := h.remove("anonymous-auth"); err != nil {
			return err
		}
		h.done.Changes = append(h.done.Changes, fmt.Sprintf("--anonymous-auth=%s taken away: the authentication configuration says it, and they exclude each other (AUTHN-01)", anonymous.value))
	}
	return h.file("authentication-config", "authentication.yaml", "authentication-config", "anonymous requests reach the health paths alone (AUTHN-01)")
}

// authorization has Node and RBAC among the modes and takes none away but the
// one that allows everything, which is the default.
func (h *hardening) authorization() error {
	if h.has("authorization-config") {
		return nil
	}
	var modes []string
	for _, f := range h.given() {
		if f.name == "authorization-mode" {
			modes = append(modes, strings.Split(f.value, ",")...)
		}
	}
	wanted := slices.DeleteFunc(slices.Clone(modes), func(m string) bool { return m == "AlwaysAllow" || m == "" })
	if !slices.Contains(wanted, "RBAC") {
		wanted = append(wanted, "RBAC")
	}
	if !slices.Contains(wanted, "Node") {
		wanted = append([]string{"Node"}, wanted...)
	}
	if slices.Equal(modes, wanted) {
		return nil
	}
	return h.want("authorization-mode", strings.Join(wanted, ","), "RBAC decides, and kubelets keep their own authorizer (RBAC-01)")
}

func (h *hardening) admission() error {
	if h.Admission == "" || h.has("admission-control-config-file") {
		return nil
	}
	h.done.Files = append(h.done.Files, h.Admission+": an AdmissionConfiguration")
	return h.want("admission-control-config-file", h.Admission, "levels of namespaces without labels (ENF-01)")
}

func (h *hardening) tls() error {
	if h.value("tls-min-version") != "VersionTLS13" {
		if err := h.want("tls-min-version", "VersionTLS12", "no older protocol, whatever the default becomes (ENC-01)"); err != nil {
			return err
		}
	} else if !h.has("tls-cipher-suites") {
		return nil // TLS 1.3 has its own
	}
	var given []string
	for _, f := range h.given() {
		if f.name == "tls-cipher-suites" {
			given = append(given, strings.Split(f.value, ",")...)
		}
	}
	good := cipherSuites()
	weak := slices.ContainsFunc(given, func(s string) bool {
		return !slices.Contains(good, s) && !strings.HasPrefix(s, "TLS_AES_") && !strings.HasPrefix(s, "TLS_CHACHA20_")
	})
	if len(given) > 0 && !weak {
		return nil
	}
	return h.want("tls-cipher-suites", strings.Join(good, ","), "forward secret, authenticated suites alone (ENC-01)")
}

func (h *hardening) profiling() error {
	return h.want("profiling", "false", "the profiler tells what the process does to whoever may ask")
}

func (h *hardening) kubelets() error {
	switch {
	case h.has("kubelet-certificate-authority"):
		return nil
	case h.KubeletCA == "":
		h.left("--kubelet-certificate-authority: kubelets sign their serving certificates themselves unless they ask the cluster for them (gabion generate kubelet-config), and logs and exec would fail; once all do, give --kubelet-ca FILE (CP-06)")
		return nil
	}
	return h.want("kubelet-certificate-authority", h.KubeletCA, "the API server knows the kubelet it talks to (CP-06)")
}

// files sees to it that the container sees what the flags name (AUD-04).
func (h *hardening) files() {
	paths := map[string]string{}
	for _, f := range h.given() {
		paths[f.name] = f.value
	}
	for _, a := range h.added {
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		paths[name] = value
	}
	for _, flag := range []string{"audit-policy-file", "encryption-provider-config", "authentication-config", "admission-control-config-file", "kubelet-certificate-authority"} {
		file := paths[flag]
		switch {
		case checkPath(flag, file) != nil || h.mounted(file):
		case path.Dir(file) == h.Folder:
			// Folder by folder: a file that is replaced by renaming is seen.
			h.mount("gabion-config", h.Folder, corev1.HostPathDirectory, true)
		default:
			h.mount(flag, file, corev1.HostPathFile, true)
		}
	}
	// "-" is the standard output.
	if log := paths["audit-log-path"]; checkPath("audit log", log) == nil && path.Dir(log) != "/" && !h.mounted(log) {
		h.mount("gabion-audit-log", path.Dir(log), corev1.HostPathDirectoryOrCreate, false)
	}
	for _, p := range h.hostPaths() {
		h.done.Changes = append(h.done.Changes, "mounted "+p+": what a flag names must be there in the Pod, too (AUD-04)")
	}
}
