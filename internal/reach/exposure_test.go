package reach

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// load makes a snapshot of documents, with Deployments and StatefulSets as the
// only carriers of pods.
func load(t *testing.T, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	for _, doc := range strings.Split(text, "\n---\n") {
		var head metav1.PartialObjectMetadata
		decode(t, doc, &head)
		ref := &evidence.Ref{
			APIVersion: head.APIVersion, Kind: head.Kind, Namespace: head.Namespace, Name: head.Name,
			Labels: head.Labels, Annotations: head.Annotations,
		}
		switch head.Kind {
		case "Deployment", "StatefulSet":
			var d appsv1.Deployment
			decode(t, doc, &d)
			path := evidence.NewPath("spec", "template", "spec")
			w := evidence.NewWorkload(path, path, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec)
			snap.Add(ref, []*evidence.Workload{w})
		case "Service":
			snap.Add(ref, decode(t, doc, &corev1.Service{}))
		case "EndpointSlice":
			snap.Add(ref, decode(t, doc, &discoveryv1.EndpointSlice{}))
		case "Node":
			snap.Add(ref, decode(t, doc, &corev1.Node{}))
		case "Namespace":
			snap.Add(ref, decode(t, doc, &corev1.Namespace{}))
		case "Ingress":
			snap.Add(ref, decode(t, doc, &networkingv1.Ingress{}))
		case "NetworkPolicy":
			if ref.Group() == "networking.k8s.io" {
				snap.Add(ref, decode(t, doc, &networkingv1.NetworkPolicy{}))
				continue
			}
			fallthrough
		default:
			raw, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			snap.Add(ref, &evidence.Custom{JSON: raw})
		}
	}
	return snap
}

func decode[T any](t *testing.T, doc string, into *T) *T {
	t.Helper()
	if err := yaml.Unmarshal([]byte(doc), into); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	return into
}

const web = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web, tier: front}}, spec: {containers: [{name: web}]}}}
`

func TestExposed(t *testing.T) {
	service := func(name, annotations, spec string) string {
		return fmt.Sprintf("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop, annotations: {%s}}\nspec: {selector: {app: web}, %s}", name, annotations, spec)
	}
	route := func(kind, spec string) string {
		group := "gateway.networking.k8s.io/v1"
		if kind == "VirtualService" {
			group = "networking.istio.io/v1"
		}
		return fmt.Sprintf("\n---\napiVersion: %s\nkind: %s\nmetadata: {name: r, namespace: shop}\nspec: %s", group, kind, spec)
	}
	inside := service("web", "", "type: ClusterIP")
	tests := []struct {
		name, docs string
		want       []string
	}{
		{"cluster IP", inside, nil},
		{"load balancer", service("web", "", "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"internal load balancer", service("web", `networking.gke.io/load-balancer-type: Internal`, "type: LoadBalancer"), nil},
		{"internal by any value", service("web", `service.beta.kubernetes.io/aws-load-balancer-internal: 0.0.0.0/0`, "type: LoadBalancer"), nil},
		{"internal said to be false", service("web", `service.beta.kubernetes.io/aws-load-balancer-internal: "false"`, "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"AWS controller's default", service("web", `service.beta.kubernetes.io/aws-load-balancer-type: external`, "type: LoadBalancer"), nil},
		{"AWS controller, public", service("web", `service.beta.kubernetes.io/aws-load-balancer-type: external, service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing`, "type: LoadBalancer"), []string{"Service shop/web (LoadBalancer)"}},
		{"source ranges", service("web", "", "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24]"), nil},
		{"source ranges of everyone", service("web", "", "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24, 0.0.0.0/0]"), []string{"Service shop/web (LoadBalancer)"}},
		{"node port", service("web", "", "type: NodePort"), []string{"Service shop/web (NodePort)"}},
		{"external IPs", service("web", "", "externalIPs: [192.0.2.7]"), []string{"Service shop/web (externalIPs)"}},
		{"two ways", service("a", "", "type: NodePort") + service("b", "", "type: LoadBalancer"), []string{"Service shop/a (NodePort)", "Service shop/b (LoadBalancer)"}},
		{"other pods", strings.Replace(service("web", "", "type: NodePort"), "app: web", "app: db", 1), nil},
		{"no selector", strings.Replace(service("web", "", "type: NodePort"), "app: web", "", 1), nil},
		{"other namespace", strings.Replace(service("web", "", "type: NodePort"), "namespace: shop", "namespace: pay", 1), nil},
		{"one pod of a StatefulSet", strings.Replace(service("web", "", "type: NodePort"), "app: web", "statefulset.kubernetes.io/pod-name: web-0", 1), nil},
		{"ingress", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: shop}\nspec: {rules: [{http: {paths: [{backend: {service: {name: web}}}, {backend: {service: {name: web}}}]}}]}", []string{"Ingress shop/front"}},
		{"default backend", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: shop}\nspec: {defaultBackend: {service: {name: web}}}", []string{"Ingress shop/front"}},
		{"ingress of another namespace", inside + "\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front, namespace: pay}\nspec: {defaultBackend: {service: {name: web}}}", nil},
		{"gateway route", inside + route("HTTPRoute", "{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web}]}]}"), []string{"HTTPRoute shop/r"}},
		{"route of a mesh", inside + route("HTTPRoute", "{parentRefs: [{kind: Service, group: '', name: web}], rules: [{backendRefs: [{name: web}]}]}"), nil},
		{"virtual service", inside + route("VirtualService", "{gateways: [edge], http: [{route: [{destination: {host: web}}]}]}"), []string{"VirtualService shop/r"}},
		{"virtual service, full name", inside + route("VirtualService", "{gateways: [mesh, edge], tcp: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}"), []string{"VirtualService shop/r"}},
		{"virtual service of the mesh", inside + route("VirtualService", "{http: [{route: [{destination: {host: web}}]}]}"), nil},
		{"route that cannot be read", inside + route("HTTPRoute", "{parentRefs: 7}"), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			snap := load(t, web+test.docs)
			if diff := cmp.Diff(test.want, NewExposures(snap).Exposed(snap.Workloads[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("one pod of this StatefulSet", func(t *testing.T) {
		docs := strings.Replace(web, "kind: Deployment", "kind: StatefulSet", 1) + strings.Replace(service("web", "", "type: NodePort"), "app: web", "statefulset.kubernetes.io/pod-name: web-0", 1)
		snap := load(t, docs)
		if diff := cmp.Diff([]string{"Service shop/web (NodePort)"}, NewExposures(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("host ports and network", func(t *testing.T) {
		snap := load(t, strings.Replace(web, "{name: web}", "{name: web, ports: [{containerPort: 80, hostPort: 8080}]}", 1))
		if diff := cmp.Diff([]string{"hostPort 8080"}, NewExposures(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
		snap.Workloads[0].Pod.HostNetwork = true
		if diff := cmp.Diff([]string{"hostNetwork"}, NewExposures(snap).Exposed(snap.Workloads[0])); diff != "" {
			t.Error(diff)
		}
	})
}
