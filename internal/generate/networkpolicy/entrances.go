package networkpolicy

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// entrances are the connections that come from outside: through Services that are
// open to it, and from the proxies that serve Ingresses and routes.
func (c *catalog) entrances() {
	for _, w := range c.graph.Ways(c.snap) {
		if w.Workload == nil {
			if w.Endpoint != nil {
				continue // a node or the API server: no pods
			}
			c.notes.addf("%s leads to pods that are not known: %s", w.By, w.Unknown)
			continue
		}
		to := c.endOf(w.Workload)
		if to.kind != ofSet {
			continue
		}
		switch {
		case w.ByProxy:
			c.throughProxy(w, to)
		case w.How == reach.NodePort && c.isBalancer(w.By):
			// The node ports of a load balancer with source ranges: nobody asked for them.
		default:
			from := end{kind: ofOutside, local: !w.ByNode && !w.ByBalancer}
			if !w.From.Covers(cidr.IPv4()) && !w.From.Covers(cidr.IPv6()) {
				from.block = w.From
			}
			c.needs.add(from, to, w.Ports, reason{at: field(w.By, evidence.NewPath("spec")), says: w.How, weak: w.Unknown})
		}
	}
}

func (c *catalog) isBalancer(ref *evidence.Ref) bool {
	s := c.services[name{ref.Namespace, ref.Name}]
	return s != nil && s.Ref == ref && s.Value.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// throughProxy needs what the proxies of an Ingress or a route connect to.
func (c *catalog) throughProxy(w reach.Way, to end) {
	why := reason{at: field(w.By, evidence.NewPath("spec")), weak: w.Unknown}
	if w.Service != nil {
		why.says = "sends to " + w.Service.String()
	}
	for _, e := range w.Proxies {
		for _, p := range e.Workloads {
			if of := c.of[p]; of != nil || p.Pod.HostNetwork {
				c.needs.add(c.endOf(p), to, w.Ports, why)
			}
		}
	}
	if len(w.Proxies) > 0 {
		return
	}
	for _, namespace := range c.options.IngressNamespaces {
		c.needs.add(end{kind: ofLabels, namespace: namespace}, to, w.Ports, why)
	}
	if len(c.options.IngressNamespaces) == 0 {
		c.notes.addf("%s: the pods of its controller are not among what was read: its backend is opened to the outside and to every pod, on that port alone; narrow it by --ingress-namespace", w.By)
		c.needs.add(end{kind: ofOutside}, to, w.Ports, why)
		c.needs.add(end{kind: ofAnyPod}, to, w.Ports, why)
	}
}

// calledByAPI is what the API server connects to: webhooks of admission and of
// conversion, and the servers of aggregated APIs.
func (c *catalog) calledByAPI() {
	call := func(ref *evidence.Ref, p evidence.Path, namespace, service string, port *int32) {
		at := int32(443)
		if port != nil {
			at = *port
		}
		s := c.services[name{namespace, service}]
		if s == nil || number(at) == 0 {
			return
		}
		why := reason{at: field(ref, p), says: fmt.Sprintf("%s/%s:%d", namespace, service, at)}
		for _, b := range c.graph.Backends(s) {
			if b.Workload != nil {
				c.needs.add(end{kind: ofAPIServer}, c.endOf(b.Workload), portsOf(s, b, number(at)), why)
			}
		}
	}
	client := func(ref *evidence.Ref, i int, hook string, cc *admissionregistrationv1.WebhookClientConfig) {
		if cc.Service != nil {
			call(ref, evidence.NewPath("webhooks").Index(i, hook).Field("clientConfig", "service"), cc.Service.Namespace, cc.Service.Name, cc.Service.Port)
		}
	}
	for _, o := range c.snap.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			client(o.Ref, i, o.Value.Webhooks[i].Name, &o.Value.Webhooks[i].ClientConfig)
		}
	}
	for _, o := range c.snap.MutatingWebhooks {
		for i := range o.Value.Webhooks {
			client(o.Ref, i, o.Value.Webhooks[i].Name, &o.Value.Webhooks[i].ClientConfig)
		}
	}
	type serviceRef struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Port      *int32 `json:"port"`
	}
	for _, o := range c.snap.Custom {
		switch o.Kind {
		case "APIService":
			var api struct {
				Spec struct {
					Service *serviceRef `json:"service"`
				} `json:"spec"`
			}
			if json.UnmarshalCaseSensitivePreserveInts(o.JSON, &api) == nil && api.Spec.Service != nil {
				call(o.Ref, evidence.NewPath("spec", "service"), api.Spec.Service.Namespace, api.Spec.Service.Name, api.Spec.Service.Port)
			}
		case "CustomResourceDefinition":
			var crd struct {
				Spec struct {
					Conversion struct {
						Webhook struct {
							ClientConfig struct {
								Service *serviceRef `json:"service"`
							} `json:"clientConfig"`
						} `json:"webhook"`
					} `json:"conversion"`
				} `json:"spec"`
			}
			if json.UnmarshalCaseSensitivePreserveInts(o.JSON, &crd) == nil && crd.Spec.Conversion.Webhook.ClientConfig.Service != nil {
				s := crd.Spec.Conversion.Webhook.ClientConfig.Service
				call(o.Ref, evidence.NewPath("spec", "conversion", "webhook", "clientConfig", "service"), s.Namespace, s.Name, s.Port)
			}
		}
	}
}

// reachesAPI needs the API server for pods that have a token and the rights to do
// something with it.
func (c *catalog) reachesAPI(w *evidence.Workload) {
	path, ok := c.token(w)
	if !ok {
		return
	}
	account := w.ServiceAccountName()
	for _, b := range c.snap.Bindings {
		for i, s := range b.Subjects {
			if s.Kind != rbacv1.ServiceAccountKind || s.Name != account || s.Namespace != w.Namespace && !(s.Namespace == "" && b.Namespace == w.Namespace) {
				continue
			}
			why := reason{at: field(b.Ref, evidence.NewPath("subjects").Index(i, s.Name)), says: fmt.Sprintf("binds %s to ServiceAccount %s, whose token the pods have (%s)", b.RoleRef.Name, account, path)}
			c.apiNeed(c.endOf(w), why)
			return // one binding is reason enough
		}
	}
	for container := range w.Containers() {
		if client := apiClient(container.Image); client != "" {
			c.apiNeed(c.endOf(w), reason{at: field(w.Ref, w.Resolve(container.Path()).Field("image")), says: client + " is a client of the API server, and the pods have a token"})
			return
		}
	}
}

// token says by which field the pods have a token of their ServiceAccount.
func (c *catalog) token(w *evidence.Workload) (evidence.Path, bool) {
	for i := range w.Pod.Volumes {
		if p := w.Pod.Volumes[i].Projected; p != nil {
			for _, s := range p.Sources {
				if s.ServiceAccountToken != nil {
					return w.PodPath.Field("volumes").Index(i, w.Pod.Volumes[i].Name), true
				}
			}
		}
	}
	mounted := w.Pod.AutomountServiceAccountToken
	if a := c.accounts[name{w.Namespace, w.ServiceAccountName()}]; mounted == nil && a != nil {
		mounted = a.Value.AutomountServiceAccountToken
	}
	return w.PodPath.Field("serviceAccountName"), mounted == nil || *mounted
}

// apiClient knows programs that do nothing without the API server by their image.
func apiClient(image string) string {
	image, _, _ = strings.Cut(image, "@")
	base := image[strings.LastIndexByte(image, '/')+1:]
	base, _, _ = strings.Cut(base, ":")
	for _, known := range []string{"kubectl", "kube-state-metrics", "metrics-server", "external-dns", "cluster-autoscaler", "argocd", "cert-manager-controller", "cert-manager-cainjector", "k8s-sidecar", "kube-rbac-proxy"} {
		if base == known {
			return base
		}
	}
	return ""
}

// apiNeed needs the API server from an end.
func (c *catalog) apiNeed(from end, why reason) {
	if from.kind != ofSet {
		return // a node's network
	}
	set := ports.Of(ports.TCP, 443, 443).Union(ports.Of(ports.TCP, 6443, 6443))
	c.needs.add(from, end{kind: ofAPIServer}, set, why)
}

// stated are the connections between pods that existing NetworkPolicies allow by
// naming both ends and the port: somebody has said that they are needed. Policies
// that this program wrote say nothing of their own.
func (c *catalog) stated() {
	for _, p := range c.snap.NetworkPolicies {
		if !c.governed[p.Namespace] || p.Labels[managedBy] == manager {
			continue
		}
		spec := &p.Value.Spec
		subjects := c.selected(p.Namespace, &spec.PodSelector)
		for i := range spec.Ingress {
			r := &spec.Ingress[i]
			at := evidence.NewPath("spec", "ingress").Index(i, "")
			for _, peer := range r.From {
				for _, other := range c.named(p.Namespace, &peer) {
					for _, s := range subjects {
						c.needs.add(end{kind: ofSet, set: other}, end{kind: ofSet, set: s}, statedPorts(s, r.Ports), reason{at: field(p.Ref, at), says: "an existing policy names both ends"})
					}
				}
			}
		}
		for i := range spec.Egress {
			r := &spec.Egress[i]
			at := evidence.NewPath("spec", "egress").Index(i, "")
			for _, peer := range r.To {
				for _, other := range c.named(p.Namespace, &peer) {
					for _, s := range subjects {
						c.needs.add(end{kind: ofSet, set: s}, end{kind: ofSet, set: other}, statedPorts(other, r.Ports), reason{at: field(p.Ref, at), says: "an existing policy names both ends"})
					}
				}
			}
		}
	}
}

const (
	managedBy = "app.kubernetes.io/managed-by"
	manager   = "gabion"
)
