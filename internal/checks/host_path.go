package checks

import (
	"fmt"
	"path"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostPath reports volumes that are directories or files of the node.
//
// Guide: Table I, allowedHostPaths. Pod Security Standards, baseline:
// hostPathVolumes (1.0).
var HostPath = &check.Check{
	ID:             "host-path",
	Title:          "pod mounts a directory of the node",
	Doc:            hostPathDoc,
	Recommendation: "POD-08",
	Severity:       guide.High,
	Remedy:         "use a persistent volume claim, an emptyDir or a projected volume instead",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, hostPath),
}

const hostPathDoc = `A hostPath volume is a piece of the node's file system. The kubelet's credentials,
static pod manifests and the runtime's socket are all just files there, and what
can be written can be made to run.

Every hostPath volume is reported. The path decides how bad it is: the root
directory, /etc/kubernetes, etcd's data, the kubelet's keys and the volumes of
other pods, the socket of a container runtime, and any directory that holds one
of these are critical, read-only or not. Elsewhere a volume that every container
mounts read-only is medium, and a few files without secrets, such as
/etc/localtime, are low.

    volumes:
      - name: data
        persistentVolumeClaim: {claimName: data}

A node agent that must read the host should mount the narrowest directory,
read-only, and run in a namespace of its own with a written exception.
`

// keysToTheNode are places on a node that give whoever reads them, or connects
// to them, the node or the cluster. /var/run is /run.
var keysToTheNode = []struct{ path, why string }{
	{"/etc/kubernetes", "it holds the keys of the control plane and the static pod manifests"},
	{"/var/lib/kubelet/pki", "it holds the kubelet's keys"},
	{"/var/lib/kubelet/pods", "it holds the tokens and Secrets of all pods of the node"},
	{"/var/lib/etcd", "it holds the whole state of the cluster, Secrets included"},
	{"/run/docker.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/run/containerd/containerd.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/run/crio/crio.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/run/cri-dockerd.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/run/podman/podman.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/run/k3s/containerd/containerd.sock", "whoever reaches the runtime's socket starts containers as root on the node"},
	{"/pipe/docker_engine", "whoever reaches the runtime's pipe starts containers on the node"},
	{"/pipe/containerd-containerd", "whoever reaches the runtime's pipe starts containers on the node"},
}

// harmlessFiles tell a reader nothing that helps an attacker.
var harmlessFiles = []string{
	"/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo", "/etc/machine-id", "/etc/os-release",
	"/etc/ssl/certs", "/usr/share/ca-certificates", "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust",
}

func hostPath(_ *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	for i := range w.Pod.Volumes {
		v := &w.Pod.Volumes[i]
		if v.HostPath == nil {
			continue
		}
		p := check.Problem{
			Path:    w.PodPath.Field("volumes").Index(i, v.Name).Field("hostPath", "path"),
			Value:   v.HostPath.Path,
			Message: fmt.Sprintf("volume %q is %q of the node", v.Name, v.HostPath.Path),
		}
		p.Severity, p.SeverityReason = hostPathSeverity(nodePath(v.HostPath.Path), readOnly(w, v.Name))
		problems = append(problems, p)
	}
	return problems
}

// hostPathSeverity ranks a path; zero leaves the check's own severity.
func hostPathSeverity(p string, readOnly bool) (guide.Severity, string) {
	if p == "/" {
		return guide.Critical, "it is the whole file system of the node"
	}
	for _, key := range keysToTheNode {
		switch {
		case within(p, key.path):
			return guide.Critical, key.why
		case within(key.path, p):
			return guide.Critical, fmt.Sprintf("it includes %s: %s", key.path, key.why)
		}
	}
	if !readOnly {
		return 0, ""
	}
	for _, file := range harmlessFiles {
		if within(p, file) {
			return guide.Low, "it is only read, and holds no secret"
		}
	}
	return guide.Medium, "no container can write to it"
}

// readOnly reports whether no container mounts the volume for writing.
func readOnly(w *evidence.Workload, volume string) bool {
	for c := range w.Containers() {
		for i := range c.VolumeMounts {
			if m := &c.VolumeMounts[i]; m.Name == volume && !m.ReadOnly {
				return false
			}
		}
	}
	return true
}

// within reports whether path p is dir or lies below it.
func within(p, dir string) bool {
	rest, ok := strings.CutPrefix(p, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// nodePath is one spelling for all ways to write a path on a node: cleaned,
// Windows drives and separators made alike, /var/run as the /run that it links to.
func nodePath(p string) string {
	p = strings.ReplaceAll(p, `\`, "/")
	if len(p) >= 2 && p[1] == ':' {
		p = p[2:]
	}
	p = path.Clean("/" + p)
	if within(p, "/var/run") {
		p = strings.TrimPrefix(p, "/var")
	}
	return p
}
