package need

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A prometheus is what collects metrics: an object of the Prometheus operator, or
// pods that are a Prometheus by their labels or image.
type prometheus struct {
	w *evidence.Workload
	// spec is that of an operator's object, nil for other pods.
	spec *prometheusSpec
}

type prometheusSpec struct {
	ServiceMonitorSelector          *metav1.LabelSelector `json:"serviceMonitorSelector"`
	ServiceMonitorNamespaceSelector *metav1.LabelSelector `json:"serviceMonitorNamespaceSelector"`
	PodMonitorSelector              *metav1.LabelSelector `json:"podMonitorSelector"`
	PodMonitorNamespaceSelector     *metav1.LabelSelector `json:"podMonitorNamespaceSelector"`
	Alerting                        struct {
		Alertmanagers []struct {
			Namespace string             `json:"namespace"`
			Name      string             `json:"name"`
			Port      intstr.IntOrString `json:"port"`
		} `json:"alertmanagers"`
	} `json:"alerting"`
}

// A monitor says which pods are to be asked for metrics, and on which ports.
type monitor struct {
	*evidence.Ref
	Spec struct {
		Selector          metav1.LabelSelector `json:"selector"`
		NamespaceSelector struct {
			Any        bool     `json:"any"`
			MatchNames []string `json:"matchNames"`
		} `json:"namespaceSelector"`
		Endpoints    []monitorPort `json:"endpoints"`
		PodEndpoints []monitorPort `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

type monitorPort struct {
	Port       string              `json:"port"`
	TargetPort *intstr.IntOrString `json:"targetPort"`
}

// Decode reads an object whose JSON was kept.
func Decode[T any](ref *evidence.Ref, into *T) bool {
	return len(ref.JSON) > 0 && json.UnmarshalCaseSensitivePreserveInts(ref.JSON, into) == nil
}

// operated are the connections that an operator's object asks for in fields of its own.
func (r *reader) operated() {
	if r.w.Group() != "monitoring.coreos.com" {
		return
	}
	var object struct {
		Spec prometheusSpec `json:"spec"`
	}
	if !Decode(r.w.Ref, &object) {
		return
	}
	for i, a := range object.Spec.Alerting.Alertmanagers {
		if a.Namespace == "" {
			a.Namespace = r.w.Namespace
		}
		s := r.Services[Name{a.Namespace, a.Name}]
		at := evidence.NewPath("spec", "alerting", "alertmanagers").Index(i, a.Name)
		if s == nil {
			r.Notes.Addf("%s names Service %s/%s, which was not read: no connection to it is opened", Field(r.w.Ref, at), a.Namespace, a.Name)
			continue
		}
		for _, p := range s.Value.Spec.Ports {
			if a.Port.Type == intstr.String && p.Name == a.Port.StrVal || a.Port.Type == intstr.Int && p.Port == a.Port.IntVal {
				r.need(s, Number(p.Port), Reason{At: Field(r.w.Ref, at), Says: a.Name + ":" + a.Port.String()})
			}
		}
	}
	if r.w.Kind == "Alertmanager" && (r.w.Replicas == nil || *r.w.Replicas > 1) && r.from.Kind == OfSet {
		mesh := ports.Of(ports.TCP, 9094, 9094).Union(ports.Of(ports.UDP, 9094, 9094))
		r.Needs.Add(r.from, r.from, mesh, Reason{At: Field(r.w.Ref, evidence.NewPath("spec", "replicas")), Says: "several Alertmanagers tell each other of alerts on port 9094"})
	}
}

// monitors are the connections of those who collect metrics.
func (c *Catalog) monitors() {
	var collectors []prometheus
	for _, w := range c.Snap.Workloads {
		if w.Group() == "monitoring.coreos.com" && (w.Kind == "Prometheus" || w.Kind == "PrometheusAgent") {
			var object struct {
				Spec prometheusSpec `json:"spec"`
			}
			if Decode(w.Ref, &object) {
				collectors = append(collectors, prometheus{w, &object.Spec})
			}
		} else if isPrometheus(w) {
			collectors = append(collectors, prometheus{w: w})
		}
	}
	for _, ref := range c.Snap.Objects {
		if ref.Group() != "monitoring.coreos.com" || ref.Kind != "ServiceMonitor" && ref.Kind != "PodMonitor" {
			continue
		}
		m := monitor{Ref: ref}
		if !Decode(ref, &m) {
			c.Notes.Addf("%s could not be read: what collects its metrics is not opened", ref)
			continue
		}
		c.monitor(&m, collectors)
	}
	for _, w := range c.Snap.Workloads {
		c.scraped(w, collectors)
	}
}

func isPrometheus(w *evidence.Workload) bool {
	for c := range w.Containers() {
		image, _, _ := strings.Cut(c.Image, "@")
		image, _, _ = strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
		if image == "prometheus" || image == "vmagent" || image == "vmsingle" {
			return true
		}
	}
	return false
}

// monitor needs what the Prometheuses that select a monitor connect to.
func (c *Catalog) monitor(m *monitor, collectors []prometheus) {
	var from []*evidence.Workload
	for _, p := range collectors {
		if p.spec != nil && c.selects(p, m.Ref) {
			from = append(from, p.w)
		}
	}
	if len(from) == 0 {
		c.Notes.Addf("%s: no Prometheus that was read selects it: what collects its metrics is not opened", m.Ref)
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	if err != nil {
		c.Notes.Addf("%s: its selector is not valid: %v", m.Ref, err)
		return
	}
	meant := func(namespace string) bool {
		names := m.Spec.NamespaceSelector.MatchNames
		return m.Spec.NamespaceSelector.Any || slices.Contains(names, namespace) || len(names) == 0 && namespace == m.Namespace
	}
	found := false
	for i, e := range m.Spec.Endpoints {
		why := Reason{At: Field(m.Ref, evidence.NewPath("spec", "endpoints").Index(i, e.Port))}
		for _, s := range c.Snap.Services {
			if !meant(s.Namespace) || !selector.Matches(labels.Set(s.Labels)) {
				continue
			}
			for _, b := range c.Backends(s) {
				if b.Workload == nil {
					continue
				}
				found = true
				var set ports.Set
				for n, p := range s.Value.Spec.Ports {
					if e.Port != "" && p.Name == e.Port {
						set = set.Union(b.Ports[n])
					}
				}
				set = set.Union(targetPort(b.Workload, e.TargetPort))
				c.collected(from, b.Workload, set, why)
			}
		}
	}
	for i, e := range m.Spec.PodEndpoints {
		why := Reason{At: Field(m.Ref, evidence.NewPath("spec", "podMetricsEndpoints").Index(i, e.Port))}
		for _, w := range c.Snap.Workloads {
			if !meant(w.Namespace) || !selector.Matches(labels.Set(w.PodLabels)) {
				continue
			}
			found = true
			set := targetPort(w, e.TargetPort)
			if e.Port != "" {
				set = set.Union(PortsNamed(w, e.Port))
			}
			c.collected(from, w, set, why)
		}
	}
	if !found {
		c.controlPlane(m, from)
	}
}

// targetPort are the ports of a workload that a monitor gives by number or name.
func targetPort(w *evidence.Workload, p *intstr.IntOrString) ports.Set {
	switch {
	case p == nil:
		return ports.Set{}
	case p.Type == intstr.String:
		return PortsNamed(w, p.StrVal)
	}
	return Single(ports.TCP, p.IntVal)
}

// collected needs what some Prometheuses ask a workload for.
func (c *Catalog) collected(from []*evidence.Workload, w *evidence.Workload, set ports.Set, why Reason) {
	for _, p := range from {
		why.Says = fmt.Sprintf("%s collects its metrics", p.Ref)
		if f, to := c.EndOf(p), c.EndOf(w); f.Kind == OfSet || to.Kind == OfSet {
			c.Needs.Add(f, to, set, why)
		}
	}
}

// selects reports whether a Prometheus takes a monitor: a selector that is not there
// takes none, one that is empty takes all, and without one for namespaces it is the
// Prometheus's own.
func (c *Catalog) selects(p prometheus, m *evidence.Ref) bool {
	objects, namespaces := p.spec.ServiceMonitorSelector, p.spec.ServiceMonitorNamespaceSelector
	if m.Kind == "PodMonitor" {
		objects, namespaces = p.spec.PodMonitorSelector, p.spec.PodMonitorNamespaceSelector
	}
	if objects == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(objects)
	if err != nil || !selector.Matches(labels.Set(m.Labels)) {
		return false
	}
	if namespaces == nil {
		return m.Namespace == p.w.Namespace
	}
	selector, err = metav1.LabelSelectorAsSelector(namespaces)
	return err == nil && selector.Matches(c.NamespaceLabels(m.Namespace))
}

// controlPlane knows what monitors of the cluster's own parts mean, whose Services a
// folder of manifests does not have.
func (c *Catalog) controlPlane(m *monitor, from []*evidence.Workload) {
	means := m.Spec.Selector.MatchLabels
	part := means["app.kubernetes.io/name"]
	if part == "" {
		part = means["k8s-app"]
	}
	if part == "" {
		part = means["component"]
	}
	why := Reason{At: Field(m.Ref, evidence.NewPath("spec", "selector"))}
	for _, p := range from {
		f := c.EndOf(p)
		why.Says = fmt.Sprintf("%s collects the metrics of %s", p.Ref, Printable(part))
		switch part {
		case "kubelet":
			c.Needs.Add(f, End{Kind: OfNodes}, ports.Of(ports.TCP, 10250, 10250), why)
		case "kube-dns", "coredns":
			c.Needs.Add(f, DNSPods(), ports.Of(ports.TCP, 9153, 9153), why)
		case "kube-scheduler":
			c.Needs.Add(f, End{Kind: OfNodes}, ports.Of(ports.TCP, 10259, 10259), why)
		case "kube-controller-manager":
			c.Needs.Add(f, End{Kind: OfNodes}, ports.Of(ports.TCP, 10257, 10257), why)
		case "apiserver":
			c.apiNeed(f, why)
		default:
			c.Notes.Addf("%s selects no Service and no pods that were read: what collects its metrics is not opened", m.Ref)
		}
	}
}

// scraped needs what the annotations prometheus.io ask for: a convention that the
// configuration of many a Prometheus keeps to.
func (c *Catalog) scraped(w *evidence.Workload, collectors []prometheus) {
	if w.PodAnnotations["prometheus.io/scrape"] != "true" || c.EndOf(w).Kind != OfSet {
		return
	}
	why := Reason{At: Field(w.Ref, w.MetaPath.Field("annotations", "prometheus.io/scrape")), Says: "asks to have its metrics collected"}
	set := containerPorts(w)
	if port := portOf(w.PodAnnotations["prometheus.io/port"]); port != 0 {
		set = ports.Of(ports.TCP, port, port)
	}
	if len(collectors) == 0 {
		c.Notes.Addf("%s %s on %s: no Prometheus is among what was read, and none is let in", why.At, why.Says, set)
	}
	for _, p := range collectors {
		c.Needs.Add(c.EndOf(p.w), c.EndOf(w), set, why)
	}
}
