package podsecurity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Field is one that a level refuses.
type Field struct {
	// Path is where it stands in the object.
	Path evidence.Path
	// Value is what it says, "" when it is missing.
	Value string
	// Reasons are the API server's, Message its whole sentence about this field alone.
	Reasons []string
	Message string
}

// A candidate is a part of a pod that a level may refuse: it is put, alone, into a pod
// that every level accepts. What the level says then is said of this part. So no
// condition of the standards is written a second time here.
type candidate struct {
	path  evidence.Path
	value string
	put   func(to *corev1.PodSpec)
	// annotation is the key of one, where the part is no field of the pod's spec.
	annotation string
	// inherits is the candidate of the pod that holds where the container says nothing.
	inherits *candidate
}

// fields are the parts of a workload's pod that a level refuses.
func (j *judge) fields(level api.Level, w *evidence.Workload) (list []Field) {
	refused := map[*candidate]bool{}
	for _, c := range candidates(w) {
		pod := acceptable(w.Pod)
		var annotations map[string]string
		if c.annotation != "" {
			annotations = map[string]string{c.annotation: c.value}
		} else {
			c.put(pod)
		}
		result := j.evaluate(level, annotations, pod)
		if result.Allowed {
			continue
		}
		refused[c] = true
		if c.inherits != nil && c.value == "" && refused[c.inherits] {
			continue // said of the pod
		}
		list = append(list, Field{Path: w.Resolve(c.path), Value: c.value, Reasons: result.ForbiddenReasons, Message: result.ForbiddenDetail()})
	}
	return list
}

// acceptable is a pod that every version of every level accepts, of the same operating
// system and with the same user namespace, which the standards make exceptions for.
func acceptable(like *corev1.PodSpec) *corev1.PodSpec {
	return &corev1.PodSpec{
		OS: like.OS, HostUsers: like.HostUsers,
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: of(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}
}

// acceptableContainer is a container that every level accepts.
func acceptableContainer(name string) corev1.Container {
	return corev1.Container{Name: name, SecurityContext: &corev1.SecurityContext{
		AllowPrivilegeEscalation: of(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}}
}

func of[T any](v T) *T { return &v }

// candidates are all parts of a pod that some level may refuse.
func candidates(w *evidence.Workload) []*candidate {
	list, nonRoot, seccomp := podCandidates(w)
	for c := range w.Containers() {
		list = append(list, containerCandidates(w, c, nonRoot, seccomp)...)
	}
	for _, key := range slices.Sorted(maps.Keys(w.PodAnnotations)) {
		if strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			list = append(list, &candidate{path: w.MetaPath.Field("annotations", key), value: w.PodAnnotations[key], annotation: key})
		}
	}
	return list
}

// podCandidates are the fields of the pod itself, and the two that containers inherit.
func podCandidates(w *evidence.Workload) (list []*candidate, nonRoot, seccomp *candidate) {
	add := func(set bool, path evidence.Path, value string, put func(*corev1.PodSpec)) *candidate {
		if !set {
			return nil
		}
		c := &candidate{path: path, value: value, put: put}
		list = append(list, c)
		return c
	}
	pod := w.Pod
	add(pod.HostNetwork, w.PodPath.Field("hostNetwork"), "true", func(to *corev1.PodSpec) { to.HostNetwork = true })
	add(pod.HostPID, w.PodPath.Field("hostPID"), "true", func(to *corev1.PodSpec) { to.HostPID = true })
	add(pod.HostIPC, w.PodPath.Field("hostIPC"), "true", func(to *corev1.PodSpec) { to.HostIPC = true })
	for i, v := range served(pod).Volumes {
		at, value := w.PodPath.Field("volumes").Index(i, v.Name), "volume "+v.Name
		if v.HostPath != nil {
			at, value = at.Field("hostPath", "path"), v.HostPath.Path
		}
		add(true, at, value, func(to *corev1.PodSpec) { to.Volumes = []corev1.Volume{v} })
	}
	s := pod.SecurityContext
	if s == nil {
		return list, nil, nil
	}
	at := w.PodPath.Field("securityContext")
	for i, ctl := range s.Sysctls {
		add(true, at.Field("sysctls").Index(i, ctl.Name), ctl.Name, func(to *corev1.PodSpec) { to.SecurityContext.Sysctls = []corev1.Sysctl{ctl} })
	}
	add(s.RunAsUser != nil, at.Field("runAsUser"), text(s.RunAsUser), func(to *corev1.PodSpec) { to.SecurityContext.RunAsUser = s.RunAsUser })
	add(s.SELinuxOptions != nil, at.Field("seLinuxOptions"), selinux(s.SELinuxOptions), func(to *corev1.PodSpec) { to.SecurityContext.SELinuxOptions = s.SELinuxOptions })
	add(s.WindowsOptions != nil, at.Field("windowsOptions", "hostProcess"), hostProcess(s.WindowsOptions), func(to *corev1.PodSpec) { to.SecurityContext.WindowsOptions = s.WindowsOptions })
	if p := s.AppArmorProfile; p != nil {
		add(true, at.Field("appArmorProfile", "type"), string(p.Type), func(to *corev1.PodSpec) { to.SecurityContext.AppArmorProfile = p })
	}
	nonRoot = add(s.RunAsNonRoot != nil, at.Field("runAsNonRoot"), text(s.RunAsNonRoot), func(to *corev1.PodSpec) { to.SecurityContext.RunAsNonRoot = s.RunAsNonRoot })
	if p := s.SeccompProfile; p != nil {
		seccomp = add(true, at.Field("seccompProfile", "type"), string(p.Type), func(to *corev1.PodSpec) { to.SecurityContext.SeccompProfile = p })
	}
	return list, nonRoot, seccomp
}

// containerCandidates are the fields of a container. Where it says nothing about its
// user or seccomp, what the pod says holds.
func containerCandidates(w *evidence.Workload, c evidence.Container, nonRoot, seccomp *candidate) (list []*candidate) {
	in := func(change func(to *corev1.Container)) func(*corev1.PodSpec) {
		return func(to *corev1.PodSpec) {
			one := acceptableContainer(c.Name)
			change(&one)
			to.Containers = []corev1.Container{one}
		}
	}
	add := func(path evidence.Path, value string, change func(to *corev1.Container)) *candidate {
		one := &candidate{path: path, value: value, put: in(change)}
		list = append(list, one)
		return one
	}
	for i, p := range c.Ports {
		value, port := fmt.Sprint(p.HostPort), p
		if p.HostPort == 0 && w.Pod.HostNetwork && c.List != evidence.EphemeralContainers {
			port.HostPort = p.ContainerPort
			value = fmt.Sprintf("%d, which the API server sets on the node's network", p.ContainerPort)
		}
		add(c.Path().Field("ports").Index(i, p.Name).Field("hostPort"), value, func(to *corev1.Container) { to.Ports = []corev1.ContainerPort{port} })
	}
	for _, probe := range []struct {
		name string
		of   *corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if probe.of != nil {
			field, host := handler(probe.of.HTTPGet, probe.of.TCPSocket)
			add(c.Path().Field(probe.name, field, "host"), host, func(to *corev1.Container) { to.LivenessProbe = probe.of })
		}
	}
	if l := c.Lifecycle; l != nil {
		for _, hook := range []struct {
			name string
			of   *corev1.LifecycleHandler
		}{{"postStart", l.PostStart}, {"preStop", l.PreStop}} {
			if hook.of != nil {
				field, host := handler(hook.of.HTTPGet, hook.of.TCPSocket)
				add(c.Path().Field("lifecycle", hook.name, field, "host"), host, func(to *corev1.Container) { to.Lifecycle = &corev1.Lifecycle{PostStart: hook.of} })
			}
		}
	}
	return append(list, contextCandidates(w, c, in, nonRoot, seccomp)...)
}

// contextCandidates are the fields of a container's security context.
func contextCandidates(w *evidence.Workload, c evidence.Container, in func(func(*corev1.Container)) func(*corev1.PodSpec), nonRoot, seccomp *candidate) (list []*candidate) {
	at := c.Path().Field("securityContext")
	s := c.SecurityContext
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	add := func(path evidence.Path, value string, change func(to *corev1.SecurityContext)) *candidate {
		one := &candidate{path: path, value: value, put: in(func(to *corev1.Container) { change(to.SecurityContext) })}
		list = append(list, one)
		return one
	}
	if s.Capabilities == nil {
		add(at.Field("capabilities", "drop"), "", func(to *corev1.SecurityContext) { to.Capabilities = nil })
	} else {
		add(at.Field("capabilities", "add"), names(s.Capabilities.Add), func(to *corev1.SecurityContext) { to.Capabilities.Add = s.Capabilities.Add })
		add(at.Field("capabilities", "drop"), names(s.Capabilities.Drop), func(to *corev1.SecurityContext) { to.Capabilities.Drop = s.Capabilities.Drop })
	}
	add(at.Field("privileged"), text(s.Privileged), func(to *corev1.SecurityContext) { to.Privileged = s.Privileged })
	add(at.Field("allowPrivilegeEscalation"), text(s.AllowPrivilegeEscalation), func(to *corev1.SecurityContext) { to.AllowPrivilegeEscalation = s.AllowPrivilegeEscalation })
	add(at.Field("runAsUser"), text(s.RunAsUser), func(to *corev1.SecurityContext) { to.RunAsUser = s.RunAsUser })
	add(at.Field("procMount"), text(s.ProcMount), func(to *corev1.SecurityContext) { to.ProcMount = s.ProcMount })
	add(at.Field("seLinuxOptions"), selinux(s.SELinuxOptions), func(to *corev1.SecurityContext) { to.SELinuxOptions = s.SELinuxOptions })
	add(at.Field("windowsOptions", "hostProcess"), hostProcess(s.WindowsOptions), func(to *corev1.SecurityContext) { to.WindowsOptions = s.WindowsOptions })
	if p := s.AppArmorProfile; p != nil {
		add(at.Field("appArmorProfile", "type"), string(p.Type), func(to *corev1.SecurityContext) { to.AppArmorProfile = p })
	}
	profile := ""
	if s.SeccompProfile != nil {
		profile = string(s.SeccompProfile.Type)
	}
	inherited := w.Pod.SecurityContext
	if inherited == nil {
		inherited = &corev1.PodSecurityContext{}
	}
	add(at.Field("seccompProfile", "type"), profile, func(to *corev1.SecurityContext) { to.SeccompProfile = s.SeccompProfile }).
		under(seccomp, func(to *corev1.PodSecurityContext) { to.SeccompProfile = inherited.SeccompProfile })
	add(at.Field("runAsNonRoot"), text(s.RunAsNonRoot), func(to *corev1.SecurityContext) { to.RunAsNonRoot = s.RunAsNonRoot }).
		under(nonRoot, func(to *corev1.PodSecurityContext) { to.RunAsNonRoot = inherited.RunAsNonRoot })
	return list
}

// under judges a part of a container that says nothing below what its own pod says.
func (c *candidate) under(pod *candidate, inherit func(*corev1.PodSecurityContext)) {
	if c.inherits = pod; c.value != "" {
		return
	}
	put := c.put
	c.put = func(to *corev1.PodSpec) {
		inherit(to.SecurityContext)
		put(to)
	}
}

func handler(http *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) (field, host string) {
	switch {
	case http != nil:
		return "httpGet", http.Host
	case tcp != nil:
		return "tcpSocket", tcp.Host
	}
	return "exec", ""
}

func text[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

func names(list []corev1.Capability) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprint(list)
}

func hostProcess(o *corev1.WindowsSecurityContextOptions) string {
	if o == nil {
		return ""
	}
	return text(o.HostProcess)
}

func selinux(o *corev1.SELinuxOptions) string {
	if o == nil {
		return ""
	}
	var parts []string
	for _, p := range [][2]string{{"user", o.User}, {"role", o.Role}, {"type", o.Type}, {"level", o.Level}} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	return strings.Join(parts, ", ")
}
