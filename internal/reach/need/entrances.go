package need

import (
	"cmp"
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
func (c *Catalog) entrances() {
	for _, w := range c.Graph.Ways(c.Snap) {
		if w.Workload == nil {
			if w.Endpoint != nil {
				continue // a node or the API server: no pods
			}
			c.Notes.Addf("%s leads to pods that are not known: %s", w.By, w.Unknown)
			continue
		}
		to := c.EndOf(w.Workload)
		if to.Kind != OfSet {
			continue
		}
		switch {
		case w.ByProxy:
			c.throughProxy(w, to)
		case w.How == reach.NodePort && c.isBalancer(w.By):
			// The node ports of a load balancer with source ranges: nobody asked for them.
		default:
			from := End{Kind: OfOutside, Local: !w.ByNode && !w.ByBalancer}
			if !w.From.Covers(cidr.IPv4()) && !w.From.Covers(cidr.IPv6()) {
				from.Block = w.From
			}
			c.Needs.Add(from, to, w.Ports, Reason{At: Field(w.By, evidence.NewPath("spec")), Says: w.How, Weak: w.Unknown})
		}
	}
}

func (c *Catalog) isBalancer(ref *evidence.Ref) bool {
	s := c.Services[Name{ref.Namespace, ref.Name}]
	return s != nil && s.Ref == ref && s.Value.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// throughProxy needs what the proxies of an Ingress or a route connect to.
func (c *Catalog) throughProxy(w reach.Way, to End) {
	why := Reason{At: Field(w.By, evidence.NewPath("spec")), Weak: w.Unknown}
	if w.Service != nil {
		why.Says = "sends to " + w.Service.String()
	}
	for _, e := range w.Proxies {
		for _, p := range e.Workloads {
			if of := c.Of[p]; of != nil || p.Pod.HostNetwork {
				c.Needs.Add(c.EndOf(p), to, w.Ports, why)
			}
		}
	}
	if len(w.Proxies) > 0 {
		return
	}
	for _, namespace := range c.facts.IngressNamespaces {
		c.Needs.Add(End{Kind: OfLabels, Namespace: namespace}, to, w.Ports, why)
	}
	if len(c.facts.IngressNamespaces) == 0 {
		c.Notes.Addf("%s: the pods of its controller are not among what was read: its backend is opened to the outside and to every pod, on that port alone; narrow it by --ingress-namespace", w.By)
		why.Weak = cmp.Or(why.Weak, "which pods its controller has is not known")
		c.Needs.Add(End{Kind: OfOutside}, to, w.Ports, why)
		c.Needs.Add(End{Kind: OfAnyPod}, to, w.Ports, why)
	}
}

// calledByAPI is what the API server connects to: webhooks of admission and of
// conversion, and the servers of aggregated APIs.
func (c *Catalog) calledByAPI() {
	call := func(ref *evidence.Ref, p evidence.Path, namespace, service string, port *int32) {
		at := int32(443)
		if port != nil {
			at = *port
		}
		s := c.Services[Name{namespace, service}]
		if s == nil || Number(at) == 0 {
			return
		}
		why := Reason{At: Field(ref, p), Says: fmt.Sprintf("%s/%s:%d", namespace, service, at)}
		for _, b := range c.Backends(s) {
			if b.Workload != nil {
				c.Needs.Add(End{Kind: OfAPIServer}, c.EndOf(b.Workload), PortsOf(s, b, Number(at)), why)
			}
		}
	}
	client := func(ref *evidence.Ref, i int, hook string, cc *admissionregistrationv1.WebhookClientConfig) {
		if cc.Service != nil {
			call(ref, evidence.NewPath("webhooks").Index(i, hook).Field("clientConfig", "service"), cc.Service.Namespace, cc.Service.Name, cc.Service.Port)
		}
	}
	for _, o := range c.Snap.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			client(o.Ref, i, o.Value.Webhooks[i].Name, &o.Value.Webhooks[i].ClientConfig)
		}
	}
	for _, o := range c.Snap.MutatingWebhooks {
		for i := range o.Value.Webhooks {
			client(o.Ref, i, o.Value.Webhooks[i].Name, &o.Value.Webhooks[i].ClientConfig)
		}
	}
	type serviceRef struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Port      *int32 `json:"port"`
	}
	for _, o := range c.Snap.Custom {
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

// A subject is one of those that a binding names.
type subject struct {
	binding *evidence.Binding
	index   int
}

// readBindings notes for each ServiceAccount the first binding that names it: one is
// reason enough.
func (c *Catalog) readBindings() {
	c.bound = map[Name]subject{}
	for _, b := range c.Snap.Bindings {
		for i, s := range b.Subjects {
			at := Name{cmp.Or(s.Namespace, b.Namespace), s.Name}
			if _, known := c.bound[at]; !known && s.Kind == rbacv1.ServiceAccountKind {
				c.bound[at] = subject{b, i}
			}
		}
	}
}

// reachesAPI needs the API server for pods that have a token and the rights to do
// something with it.
func (c *Catalog) reachesAPI(w *evidence.Workload) {
	path, ok := c.token(w)
	if !ok {
		return
	}
	account := w.ServiceAccountName()
	if b, ok := c.bound[Name{w.Namespace, account}]; ok {
		why := Reason{At: Field(b.binding.Ref, evidence.NewPath("subjects").Index(b.index, account)), Says: fmt.Sprintf("binds %s to ServiceAccount %s, whose token the pods have (%s)", b.binding.RoleRef.Name, account, path)}
		c.apiNeed(c.EndOf(w), why)
		return
	}
	for container := range w.Containers() {
		if client := apiClient(container.Image); client != "" {
			c.apiNeed(c.EndOf(w), Reason{At: Field(w.Ref, w.Resolve(container.Path()).Field("image")), Says: client + " is a client of the API server, and the pods have a token"})
			return
		}
	}
}

// token says by which field the pods have a token of their ServiceAccount.
func (c *Catalog) token(w *evidence.Workload) (evidence.Path, bool) {
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
	if a := c.accounts[Name{w.Namespace, w.ServiceAccountName()}]; mounted == nil && a != nil {
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
func (c *Catalog) apiNeed(from End, why Reason) {
	if from.Kind != OfSet {
		return // a node's network
	}
	set := ports.Of(ports.TCP, 443, 443).Union(ports.Of(ports.TCP, 6443, 6443))
	c.Needs.Add(from, End{Kind: OfAPIServer}, set, why)
}
