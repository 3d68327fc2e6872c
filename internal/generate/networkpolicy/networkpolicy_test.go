package networkpolicy

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// load reads manifests as the program does.
func load(t testing.TB, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	err := files.Read(t.Context(), snap, files.Options{Paths: []string{"-"}, Stdin: strings.NewReader(text), Manifest: manifest.Options{KeepJSON: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range snap.Sources {
		if len(s.Errors)+len(s.Skipped) > 0 {
			t.Fatalf("not read: %v %v\n%s", s.Errors, s.Skipped, text)
		}
	}
	return snap
}

func addresses(t testing.TB, list ...string) cidr.Set {
	t.Helper()
	set, err := cidr.Parse(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// known are options that leave no address open.
func known(t testing.TB, f Flavour) Options {
	return Options{Flavour: f, APIServer: addresses(t, "10.9.0.1"), Network: reach.Options{Pods: addresses(t, "10.244.0.0/16"), Nodes: addresses(t, "10.9.0.0/24")}}
}

func flavours() []Flavour { return []Flavour{Kubernetes, Cilium, Calico} }

// deployment is one of namespace/name with pods labelled app: name, and containers or
// other fields of the pod, in flow style.
func deployment(at, pod string) string {
	return workload("Deployment", at, "", pod)
}

func workload(kind, at, annotations, pod string) string {
	namespace, name, _ := strings.Cut(at, "/")
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: %s
metadata: {name: %s, namespace: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}, annotations: {%s}}
    spec: {%s}
`, kind, name, namespace, name, name, annotations, pod)
}

func service(at, spec string) string {
	namespace, name, _ := strings.Cut(at, "/")
	if !strings.Contains(spec, "selector") {
		spec = "selector: {app: " + name + "}, " + spec
	}
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n", name, namespace, spec)
}

func object(apiVersion, kind, at, rest string) string {
	meta := "name: " + at
	if namespace, name, ok := strings.Cut(at, "/"); ok {
		meta = fmt.Sprintf("name: %s, namespace: %s", name, namespace)
	}
	return fmt.Sprintf("\n---\napiVersion: %s\nkind: %s\nmetadata: {%s}\n%s\n", apiVersion, kind, meta, rest)
}

// found are the needs of a snapshot as text.
func found(c *catalog) (list []string) {
	c.stated()
	for _, n := range c.relevant(c.Needs.List()) {
		text := fmt.Sprintf("%s => %s : %s", n.From, n.To, n.Ports)
		if n.Reasons[0].Weak != "" {
			text += " weak"
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// What each kind of hint makes needed. Every row must also be provable in every
// flavour.
func TestNeeds(t *testing.T) {
	env := func(name, value string) string {
		return fmt.Sprintf(`containers: [{name: c, image: i, env: [{name: %s, value: %q}]}]`, name, value)
	}
	args := func(list string) string { return `containers: [{name: c, image: i, args: [` + list + `]}]` }
	db := deployment("shop/db", "containers: [{name: c, image: i, ports: [{name: sql, containerPort: 5432}, {containerPort: 9187}]}]") +
		service("shop/db", "ports: [{name: sql, port: 5432, targetPort: sql}, {name: metrics, port: 9100, targetPort: 9187}]")
	const (
		sql  = "Deployment shop/web => Deployment shop/db : TCP 5432"
		both = "Deployment shop/web => Deployment shop/db : TCP 5432,9187"
	)
	web := func(pod string) string { return deployment("shop/web", pod) + db }
	own := deployment("shop/web", "automountServiceAccountToken: false, containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]") + service("shop/web", "ports: [{port: 80, targetPort: http}]")
	const outside = "the outside => Deployment shop/web : TCP 8080"
	tests := []struct {
		name, docs string
		want       []string
	}{
		{"host and port", web(env("DB", "db:5432")), []string{sql}},
		{"port of the Service, other of the pod", web(env("DB", "db:9100")), []string{"Deployment shop/web => Deployment shop/db : TCP 9187"}},
		{"port that the Service has not", web(env("DB", "db:1")), nil},
		{"URL with its scheme's port", web(env("DB", "postgres://u:p@db/x")), []string{sql}},
		{"URL, long name", web(env("DB", "postgresql://u:p%40w@db.shop.svc.cluster.local:5432/x?sslmode=off")), []string{sql}},
		{"JDBC", web(env("DB", "jdbc:postgresql://db:5432/orders")), []string{sql}},
		{"Go's MySQL", web(env("DB", "user:pw@tcp(db:5432)/orders")), []string{sql}},
		{"libpq", web(env("DB", "host=db port=5432 user=x")), []string{sql}},
		{"SQL Server", web(env("DB", "Server=tcp:db,5432;Database=x")), []string{sql}},
		{"name of a host variable", web(env("DB_HOST", "db")), []string{both}},
		{"with the port beside it", web(`containers: [{name: c, image: i, env: [{name: DB_PORT, value: "5432"}, {name: DB_HOST, value: db}]}]`), []string{sql}},
		{"just a word", web(env("TIER", "db")), []string{both + " weak"}},
		{"a word in a text", web(env("GREETING", "the db is fine")), nil},
		{"name and namespace", web(env("DB_HOST", "db.shop")), []string{both}},
		{"other namespace needs its name", deployment("pay/web", env("DB", "db:5432")) + db, nil},
		{"other namespace", deployment("pay/web", env("DB", "db.shop:5432")) + db, []string{"Deployment pay/web => Deployment shop/db : TCP 5432"}},
		{"list of hosts", web(env("DBS", "db:5432,db:9100")), []string{both}},
		{"flag", web(args(`"--dsn=postgres://db:5432"`)), []string{sql}},
		{"flag and its value", web(args(`"-h", "db"`)), []string{both}},
		{"shell", web(args(`"-c", "until nc -z db 5432; do sleep 1; done; exec app"`)), []string{sql}},
		{"image of that name", web(args(`"db:latest", "path/db", "db/x"`)), nil},
		{"expanded", web(`containers: [{name: c, image: i, env: [{name: H, value: db}, {name: URL, value: "postgres://$(H):5432"}]}]`), []string{both}},
		{"injected", web(args(`"--db=$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)"`)), []string{both}},
		{"injected with its port", web(args(`"$(DB_PORT_5432_TCP_ADDR)"`)), []string{sql}},
		{"init container", web(`initContainers: [{name: wait, image: i, command: [sh, -c, "wait-for db:5432"]}], containers: [{name: c, image: i}]`), []string{sql}},
		{"mounted ConfigMap", web(`containers: [{name: c, image: i}], volumes: [{name: v, configMap: {name: conf}}]`) +
			object("v1", "ConfigMap", "shop/conf", "data: {app.yaml: \"database:\\n  url: db:5432\\n# cache: db:9100\\nkind: db\\n\"}"), []string{sql}},
		{"ConfigMap of others", web(`containers: [{name: c, image: i}]`) + object("v1", "ConfigMap", "shop/conf", "data: {app.yaml: \"url: db:5432\"}"), nil},
		{"envFrom", web(`containers: [{name: c, image: i, envFrom: [{configMapRef: {name: conf}}]}]`) + object("v1", "ConfigMap", "shop/conf", "data: {DB: db:5432}"), []string{sql}},
		{"key of a ConfigMap", web(`containers: [{name: c, image: i, env: [{name: X, valueFrom: {configMapKeyRef: {name: conf, key: DB}}}]}]`) + object("v1", "ConfigMap", "shop/conf", "data: {DB: db:5432, OTHER: db:9100}"), []string{sql}},
		{"annotation", workload("Deployment", "shop/web", `example.com/upstreams: "db:5432"`, "containers: [{name: c, image: i}]") + db, []string{sql}},
		{"headless peers", workload("StatefulSet", "shop/zk", "", env("PEERS", "zk-0.zk:3888,zk-1.zk:3888")) + service("shop/zk", "clusterIP: None, ports: [{port: 2888}]"), []string{"StatefulSet shop/zk => StatefulSet shop/zk : TCP 3888"}},
		{"own name", own + "", nil},
		{"ExternalName", web(env("DB", "alias:5432")) + service("shop/alias", "type: ExternalName, externalName: db.shop.svc.cluster.local"), []string{sql}},
		{"ExternalName outside", web(env("DB", "alias:5432")) + service("shop/alias", "type: ExternalName, externalName: db.example.com"), []string{"Deployment shop/web => db.example.com : TCP 5432"}},
		{"outside", web(env("API", "https://api.stripe.com/v1")), []string{"Deployment shop/web => api.stripe.com : TCP 443"}},
		{"outside, host and port", web(env("SMTP", "smtp.example.com:587")), []string{"Deployment shop/web => smtp.example.com : TCP 587"}},
		{"address", web(env("API", "http://198.51.100.7:8080")), []string{"Deployment shop/web => 198.51.100.7 : TCP 8080"}},
		{"metadata is never needed", web(env("API", "http://169.254.169.254/latest")), nil},
		{"metadata by its name", web(env("API", "http://metadata.google.internal/")), nil},
		{"own machine", web(env("API", "http://localhost:8080,http://127.0.0.1:80,http://0.0.0.0:80,http://[::1]:80")), nil},
		{"port of the own node", deployment("shop/web", `containers: [{name: c, image: i, env: [{name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}, {name: OTEL, value: "http://$(HOST_IP):4317"}]}]`) +
			deployment("mon/agent", "containers: [{name: c, image: i, ports: [{containerPort: 5317, hostPort: 4317}]}]"),
			[]string{"Deployment shop/web => Deployment mon/agent : TCP 5317", "Deployment shop/web => nodes : TCP 4317", "the outside => Deployment mon/agent : TCP 5317"}},
		{"load balancer", own + service("shop/lb", "type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"), []string{outside}},
		{"node port", own + service("shop/np", "type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"), []string{outside}},
		{"source ranges", own + service("shop/lb", "type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]"),
			[]string{"the outside, from 198.51.100.0/24 => Deployment shop/web : TCP 8080"}},
		{"Ingress without its controller", own + object("networking.k8s.io/v1", "Ingress", "shop/in", "spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}"), []string{"every pod => Deployment shop/web : TCP 8080 weak", outside + " weak"}},
		{"Ingress with it", own + deployment("in/nginx", "containers: [{name: c, image: registry.k8s.io/ingress-nginx/controller}]") + service("in/nginx", "type: LoadBalancer, ports: [{port: 80}]") +
			object("networking.k8s.io/v1", "Ingress", "shop/in", "spec: {ingressClassName: nginx, rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}"),
			[]string{"Deployment in/nginx => Deployment shop/web : TCP 8080", "the outside => Deployment in/nginx : TCP 80"}},
		{"route with the pods of its gateway", own + strings.Replace(deployment("shop/gw", "containers: [{name: c, image: envoy}]"), "labels: {app: gw}", "labels: {app: gw, gateway.networking.k8s.io/gateway-name: edge}", 1) +
			object("gateway.networking.k8s.io/v1", "Gateway", "shop/edge", "spec: {gatewayClassName: x, listeners: [{name: h, port: 80, protocol: HTTP}]}") +
			object("gateway.networking.k8s.io/v1", "HTTPRoute", "shop/r", "spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}"),
			[]string{"Deployment shop/gw => Deployment shop/web : TCP 8080 weak"}},
		{"webhook", own + object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "hook", "webhooks: [{name: h.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {service: {name: web, namespace: shop, port: 80}}}]"),
			[]string{"the API server => Deployment shop/web : TCP 8080"}},
		{"aggregated API", own + object("apiregistration.k8s.io/v1", "APIService", "v1.x", "spec: {group: x, version: v1, groupPriorityMinimum: 1, versionPriority: 1, service: {name: web, namespace: shop, port: 80}}"), []string{"the API server => Deployment shop/web : TCP 8080"}},
		{"conversion", own + object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "xs.x.io", "spec: {group: x.io, names: {kind: X, plural: xs}, scope: Namespaced, versions: [{name: v1, served: true, storage: true}], conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {service: {name: web, namespace: shop, port: 80}}}}}"),
			[]string{"the API server => Deployment shop/web : TCP 8080"}},
		{"rights", deployment("shop/op", "serviceAccountName: op, containers: [{name: c, image: i}]") +
			object("rbac.authorization.k8s.io/v1", "RoleBinding", "shop/op", "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: op}\nsubjects: [{kind: ServiceAccount, name: op, namespace: shop}]"),
			[]string{"Deployment shop/op => the API server : TCP 443,6443"}},
		{"rights without a token", deployment("shop/op", "automountServiceAccountToken: false, serviceAccountName: op, containers: [{name: c, image: i}]") +
			object("rbac.authorization.k8s.io/v1", "RoleBinding", "shop/op", "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: op}\nsubjects: [{kind: ServiceAccount, name: op, namespace: shop}]"), nil},
		{"the API server by its name", web(env("API", "https://kubernetes.default.svc")), []string{"Deployment shop/web => the API server : TCP 443,6443"}},
		{"scrape annotations", workload("Deployment", "shop/web", `prometheus.io/scrape: "true", prometheus.io/port: "9797"`, "containers: [{name: c, image: i}]") + deployment("mon/prometheus", "containers: [{name: p, image: prom/prometheus:v3}]"),
			[]string{"Deployment mon/prometheus => Deployment shop/web : TCP 9797"}},
		{"ServiceMonitor", own + strings.Replace(service("shop/web2", "selector: {app: web}, ports: [{name: m, port: 9000, targetPort: 9001}]"), "name: web2,", "name: web2, labels: {watch: me},", 1) +
			object("monitoring.coreos.com/v1", "ServiceMonitor", "shop/m", "spec: {selector: {matchLabels: {watch: me}}, endpoints: [{port: m}]}") +
			object("monitoring.coreos.com/v1", "Prometheus", "mon/k8s", "spec: {serviceMonitorSelector: {}, serviceMonitorNamespaceSelector: {}, podMetadata: {labels: {app: prom}}}"),
			[]string{"Prometheus mon/k8s => Deployment shop/web : TCP 9001"}},
		{"ServiceMonitor that nobody selects", own + object("monitoring.coreos.com/v1", "ServiceMonitor", "shop/m", "spec: {selector: {}, endpoints: [{port: http}]}") +
			object("monitoring.coreos.com/v1", "Prometheus", "mon/k8s", "spec: {serviceMonitorSelector: {}}"), nil},
		{"PodMonitor", own + object("monitoring.coreos.com/v1", "PodMonitor", "shop/m", "spec: {selector: {matchLabels: {app: web}}, podMetricsEndpoints: [{port: http}]}") +
			object("monitoring.coreos.com/v1", "Prometheus", "shop/k8s", "spec: {podMonitorSelector: {}, podMetadata: {labels: {app: prom}}}"), []string{"Prometheus shop/k8s => Deployment shop/web : TCP 8080"}},
		{"Alertmanagers", object("monitoring.coreos.com/v1", "Alertmanager", "mon/main", "spec: {replicas: 3}") + service("mon/am", "selector: {alertmanager: main}, ports: [{name: web, port: 9093, targetPort: web}]") +
			object("monitoring.coreos.com/v1", "Prometheus", "mon/k8s", "spec: {alerting: {alertmanagers: [{name: am, namespace: mon, port: web}]}}"),
			[]string{"Alertmanager mon/main => Alertmanager mon/main : TCP 9094, UDP 9094", "Prometheus mon/k8s => Alertmanager mon/main : TCP 9093"}},
		{"stated by a policy", web(`containers: [{name: c, image: i}]`) + object("networking.k8s.io/v1", "NetworkPolicy", "shop/db", "spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]}"), []string{sql}},
		{"a policy for everybody states nothing", web(`containers: [{name: c, image: i}]`) + object("networking.k8s.io/v1", "NetworkPolicy", "shop/db", "spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {}]}"), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			snap := load(t, test.docs)
			got := found(newCatalog(snap, known(t, Kubernetes)))
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, f := range flavours() {
				if _, err := Generate(snap, known(t, f)); err != nil {
					t.Errorf("flavour %d: %v", f, err)
				}
			}
		})
	}
}

// The reasons name the place, and never what stands before an @.
func TestReasons(t *testing.T) {
	docs := deployment("shop/web", `containers: [{name: c, image: i, env: [{name: DB, value: "postgres://user:tr0ub4dor@db:5432/x"}]}]`) +
		deployment("shop/db", "containers: [{name: c, image: i}]") + service("shop/db", "ports: [{port: 5432}]")
	r, err := Generate(load(t, docs), known(t, Kubernetes))
	if err != nil {
		t.Fatal(err)
	}
	if want := "#   TCP 5432: Deployment shop/web, spec.template.spec.containers[0].env[0].value (<stdin>:10): postgres://db:5432\n"; !strings.Contains(r.Text, want) {
		t.Errorf("want %q in\n%s", want, r.Text)
	}
	if strings.Contains(r.Text, "tr0ub4dor") || strings.Contains(r.Text, "user") {
		t.Errorf("what stands before an @ is printed:\n%s", r.Text)
	}
}

// A shop as the documentation of Online Boutique draws its architecture: who calls
// whom. The manifests are ours: one Deployment and one Service each, addresses in
// variables.
var boutique = map[string][]string{
	"loadgenerator":         {"frontend"},
	"frontend":              {"adservice", "cartservice", "checkoutservice", "currencyservice", "productcatalogservice", "recommendationservice", "shippingservice"},
	"checkoutservice":       {"cartservice", "currencyservice", "emailservice", "paymentservice", "productcatalogservice", "shippingservice"},
	"recommendationservice": {"productcatalogservice"},
	"cartservice":           {"redis-cart"},
	"adservice":             nil, "currencyservice": nil, "emailservice": nil, "paymentservice": nil, "productcatalogservice": nil, "shippingservice": nil, "redis-cart": nil,
}

func boutiqueManifests() string {
	var b strings.Builder
	b.WriteString(object("v1", "Namespace", "boutique", ""))
	var names []string
	for name := range boutique {
		names = append(names, name)
	}
	slices.Sort(names)
	port := func(name string) int { return 5000 + 10*slices.Index(names, name) }
	for _, name := range names {
		var env []string
		for _, to := range boutique[name] {
			env = append(env, fmt.Sprintf("{name: %s_ADDR, value: \"%s:%d\"}", strings.ToUpper(to), to, port(to)))
		}
		b.WriteString(deployment("boutique/"+name, fmt.Sprintf("containers: [{name: server, image: i, env: [%s], ports: [{containerPort: %d}], readinessProbe: {tcpSocket: {port: %d}}}]", strings.Join(env, ", "), port(name)+1, port(name)+1)))
		b.WriteString(service("boutique/"+name, fmt.Sprintf("ports: [{port: %d, targetPort: %d}]", port(name), port(name)+1)))
	}
	b.WriteString(service("boutique/frontend-external", fmt.Sprintf("type: LoadBalancer, selector: {app: frontend}, ports: [{port: 80, targetPort: %d}]", port("frontend")+1)))
	return b.String()
}

func TestBoutique(t *testing.T) {
	snap := load(t, boutiqueManifests())
	for _, f := range flavours() {
		r, err := Generate(snap, known(t, f))
		if err != nil {
			t.Fatal(err)
		}
		for pair, open := range opened(t, snap, r.Text, f) {
			from, to, _ := strings.Cut(pair, " ")
			if want := slices.Contains(boutique[from], to); open != want {
				t.Errorf("flavour %d: %s => %s is open: %v, want %v", f, from, to, open, want)
			}
		}
		if len(r.Notes)+len(r.Reopened) > 0 {
			t.Errorf("flavour %d: %q %q", f, r.Notes, r.Reopened)
		}
	}
}

// opened says of every pair of workloads whether anything is open between them under
// the policies of a text and no others.
func opened(t *testing.T, snap *evidence.Snapshot, text string, f Flavour) map[string]bool {
	t.Helper()
	with := *snap
	with.NetworkPolicies, with.Custom, with.Objects = nil, nil, slices.Clone(snap.Objects)
	p := &proof{c: &catalog{options: Options{Flavour: f}}}
	for _, part := range documents(text)[1:] {
		if err := p.read(part); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range p.own {
		with.Add(o.Ref, o.Value)
	}
	for _, o := range p.ownCustom {
		with.Add(o.Ref, o)
	}
	g := reach.NewGraph(&with, known(t, f).Network)
	pairs := map[string]bool{}
	for _, src := range snap.Workloads {
		for _, dst := range snap.Workloads {
			if src != dst {
				c := g.Between(g.Of(src), g.Of(dst))
				pairs[src.Name+" "+dst.Name] = !c.Ports.Union(c.Unknown).Empty()
			}
		}
	}
	return pairs
}

// Random shops: what is written opens each call, on its port, and nothing else between
// workloads, by a reading of NetworkPolicy that shares no code with the engine. The
// other flavours are proven by the engine. Writing it twice, and again when the
// policies are there, gives the same text.
func TestRandomShops(t *testing.T) {
	random := rand.New(rand.NewSource(5))
	for round := range 60 {
		docs, calls := randomShop(random)
		snap := load(t, docs)
		for _, f := range flavours() {
			r, err := Generate(snap, known(t, f))
			if err != nil {
				t.Fatalf("round %d, flavour %d: %v\n%s", round, f, err, docs)
			}
			again, err := Generate(load(t, docs+r.Text), known(t, f))
			if err != nil || again.Text != r.Text {
				t.Fatalf("round %d, flavour %d: with the policies in force they are others: %v\n%s", round, f, err, cmp.Diff(strings.Split(r.Text, "\n"), strings.Split(again.Text, "\n")))
			}
			if f == Kubernetes {
				compare(t, snap, calls, r.Text)
			}
		}
	}
}

// randomShop has workloads in some namespaces and calls between them, by
// "namespace/name namespace/name" with the ports of the pods.
func randomShop(random *rand.Rand) (docs string, calls map[string][]int32) {
	calls = map[string][]int32{}
	var b strings.Builder
	namespaces := []string{"a", "b", "c"}[:1+random.Intn(3)]
	var names []string
	for i := range 2 + random.Intn(7) {
		names = append(names, fmt.Sprintf("%s/w%d", namespaces[random.Intn(len(namespaces))], i))
	}
	for i, at := range names {
		namespace, _, _ := strings.Cut(at, "/")
		var env []string
		for n := range random.Intn(4) {
			k := random.Intn(len(names))
			if k == i {
				continue
			}
			of, name, _ := strings.Cut(names[k], "/")
			host := fmt.Sprintf("%s.%s.svc", name, of)
			if of == namespace && random.Intn(2) == 0 {
				host = name
			}
			value := []string{"%s:%d", "http://u:p@%s:%d/x", "tcp(%s:%d)", "x=1,%s:%d"}[random.Intn(4)]
			env = append(env, fmt.Sprintf("{name: V%d, value: %q}", n, fmt.Sprintf(value, host, 80)))
			if pair := at + " " + names[k]; !slices.Contains(calls[pair], int32(8000+k)) {
				calls[pair] = append(calls[pair], int32(8000+k))
			}
		}
		b.WriteString(deployment(at, fmt.Sprintf("containers: [{name: c, image: i, env: [%s]}]", strings.Join(env, ", "))))
		b.WriteString(service(at, fmt.Sprintf("ports: [{name: a, port: 80, targetPort: %d}, {name: b, port: 81, targetPort: 9000}]", 8000+i)))
	}
	return b.String(), calls
}

// compare asks the policies about every pair of workloads and every port that occurs.
func compare(t *testing.T, snap *evidence.Snapshot, calls map[string][]int32, text string) {
	t.Helper()
	var policies []*networkingv1.NetworkPolicy
	for _, part := range documents(text)[1:] {
		var np networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(part), &np); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, &np)
	}
	for _, src := range snap.Workloads {
		for _, dst := range snap.Workloads {
			for port := int32(7999); port <= 9001; port++ {
				if port > 8010 && port < 8999 || src == dst {
					continue
				}
				want := slices.Contains(calls[src.Namespace+"/"+src.Name+" "+dst.Namespace+"/"+dst.Name], port)
				if got := plainly(policies, src, dst, port); got != want {
					t.Fatalf("%s => %s : %d is open: %v, want %v\n%s", src, dst, port, got, want, text)
				}
			}
		}
	}
}

// plainly evaluates NetworkPolicies as the API describes them, for TCP between pods.
func plainly(policies []*networkingv1.NetworkPolicy, src, dst *evidence.Workload, port int32) bool {
	matches := func(s *metav1.LabelSelector, l map[string]string) bool {
		compiled, err := metav1.LabelSelectorAsSelector(s)
		return err == nil && compiled.Matches(labels.Set(l))
	}
	peer := func(p networkingv1.NetworkPolicyPeer, own string, w *evidence.Workload) bool {
		if p.IPBlock != nil {
			return false
		}
		if p.NamespaceSelector == nil && w.Namespace != own || p.NamespaceSelector != nil && !matches(p.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": w.Namespace}) {
			return false
		}
		return p.PodSelector == nil || matches(p.PodSelector, w.PodLabels)
	}
	at := func(list []networkingv1.NetworkPolicyPort) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPort) bool {
			return (p.Protocol == nil || *p.Protocol == "TCP") && (p.Port == nil || p.Port.IntVal == port || p.EndPort != nil && p.Port.IntVal <= port && port <= *p.EndPort)
		})
	}
	out, in, isolatedOut, isolatedIn := false, false, false, false
	for _, p := range policies {
		if p.Namespace == src.Namespace && matches(&p.Spec.PodSelector, src.PodLabels) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			isolatedOut = true
			for _, r := range p.Spec.Egress {
				out = out || at(r.Ports) && slices.ContainsFunc(r.To, func(x networkingv1.NetworkPolicyPeer) bool { return peer(x, p.Namespace, dst) })
			}
		}
		if p.Namespace == dst.Namespace && matches(&p.Spec.PodSelector, dst.PodLabels) && slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			isolatedIn = true
			for _, r := range p.Spec.Ingress {
				in = in || at(r.Ports) && slices.ContainsFunc(r.From, func(x networkingv1.NetworkPolicyPeer) bool { return peer(x, p.Namespace, src) })
			}
		}
	}
	return (out || !isolatedOut) && (in || !isolatedIn)
}

// The proof refuses policies that are changed in any one place: a port, a peer, a
// policy that is gone, a rule for everybody.
func TestProofRefuses(t *testing.T) {
	snap := load(t, boutiqueManifests())
	for _, f := range flavours() {
		c := newCatalog(snap, known(t, f))
		c.stated()
		needs := c.relevant(c.Needs.List())
		text, err := render(c.write(needs))
		if err != nil {
			t.Fatal(err)
		}
		proves := func(text string) error {
			p, err := newProof(c, needs, text)
			if err != nil {
				return err
			}
			return p.alone()
		}
		if err := proves(text); err != nil {
			t.Fatalf("flavour %d: %v", f, err)
		}
		parts := documents(text)
		for i := range parts {
			rest := "---\n" + strings.Join(slices.Delete(slices.Clone(parts), i, i+1), "\n---\n")
			if err := proves(rest); !errors.As(err, new(*Refusal)) {
				t.Errorf("flavour %d: without this policy the proof says %v:\n%s", f, err, parts[i])
			}
		}
		for _, change := range []struct{ old, new string }{
			{"app: cartservice", "app: frontend"}, {"app == 'cartservice'", "app == 'frontend'"},
			{"port: 5011", "port: 5012"}, {"port: \"5011\"", "port: \"5012\""}, {"- 5011\n", "- 5012\n"},
			{"app: cartservice", "app: nobody"},
			{"except:\n", "excepted:\n"}, {"10.244.0.0/16", "10.245.0.0/16"},
		} {
			if !strings.Contains(text, change.old) {
				continue
			}
			if err := proves(strings.Replace(text, change.old, change.new, 1)); err == nil {
				t.Errorf("flavour %d: with %q for %q the proof says nothing", f, change.new, change.old)
			}
		}
	}
}

func TestLabelsThatTellNothing(t *testing.T) {
	docs := strings.ReplaceAll(deployment("shop/web", `containers: [{name: c, image: i, env: [{name: DB, value: "db:1"}]}]`), "labels: {app: web}", "labels: {helm.sh/chart: x}") +
		deployment("shop/db", "containers: [{name: c, image: i}]") + service("shop/db", "ports: [{port: 1}]")
	_, err := Generate(load(t, docs), known(t, Kubernetes))
	if !errors.As(err, new(*Refusal)) || !strings.Contains(err.Error(), "Deployment shop/web") {
		t.Errorf("error %v", err)
	}
	same := boutiqueManifests() + strings.ReplaceAll(deployment("boutique/twin", "containers: [{name: c, image: i}]"), "app: twin", "app: adservice")
	r, err := Generate(load(t, same), known(t, Kubernetes))
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "Deployment boutique/adservice and Deployment boutique/twin have the same labels") {
		t.Errorf("%v, %+v", err, r)
	}
	_, err = Generate(load(t, service("shop/db", "ports: [{port: 1}]")), Options{})
	if err == nil || !strings.Contains(err.Error(), "no workload") {
		t.Errorf("error %v", err)
	}
}

func TestExistingPolicies(t *testing.T) {
	open := object("networking.k8s.io/v1", "NetworkPolicy", "boutique/open", "spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}")
	r, err := Generate(load(t, boutiqueManifests()+open), known(t, Kubernetes))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Reopened, func(s string) bool {
		return strings.HasPrefix(s, "NetworkPolicy boutique/open, spec.egress[0] with NetworkPolicy boutique/open, spec.ingress[0]: ")
	}) {
		t.Errorf("reopened: %q", r.Reopened)
	}
	deny := object("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "shut", "spec: {priority: 5, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: boutique}}}, ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: {protocol: TCP, port: 5021}}]}]}")
	_, err = Generate(load(t, boutiqueManifests()+deny), known(t, Kubernetes))
	if !errors.As(err, new(*Refusal)) || !strings.Contains(err.Error(), "denied by AdminNetworkPolicy shut") {
		t.Errorf("error %v", err)
	}
}

// Where Cilium's own policies are, addresses mean neither nodes nor the API server.
func TestCiliumCluster(t *testing.T) {
	docs := deployment("shop/web", `containers: [{name: c, image: i, env: [{name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}, {name: AGENT, value: "$(HOST):4317"}]}]`) +
		object("cilium.io/v2", "CiliumNetworkPolicy", "elsewhere/x", "spec: {endpointSelector: {}, ingress: [{}]}")
	_, err := Generate(load(t, docs), known(t, Kubernetes))
	if !errors.As(err, new(*Refusal)) || !strings.Contains(err.Error(), "try --cilium") {
		t.Errorf("error %v", err)
	}
	if _, err := Generate(load(t, docs), known(t, Cilium)); err != nil {
		t.Error(err)
	}
}

func TestObserved(t *testing.T) {
	log := `src,dst,protocol,port,count
boutique/adservice,boutique/redis-cart,tcp,5111,7
boutique/Deployment/frontend-6d4b-abcde,boutique/adservice,tcp,5001,1
boutique/emailservice,203.0.113.9,tcp,443,2
boutique/emailservice,169.254.169.254,tcp,80,1
boutique/emailservice,10.244.3.3,tcp,80,1
boutique/gone,boutique/adservice,tcp,5001,1
203.0.113.9,boutique/frontend,tcp,5051,1
`
	l, err := flows.Read("seen.csv", strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	deny := object("networking.k8s.io/v1", "NetworkPolicy", "boutique/email", "spec: {podSelector: {matchLabels: {app: emailservice}}, policyTypes: [Egress]}")
	for _, f := range flavours() {
		o := known(t, f)
		o.Observed = []*flows.Log{l}
		r, err := Generate(load(t, boutiqueManifests()+deny), o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.Text, "TCP 5111: seen.csv:2: seen 7 times in seen.csv") {
			t.Errorf("what was seen is not opened:\n%s", r.Text)
		}
		dropped := []string{
			"Deployment boutique/emailservice => 203.0.113.9 : TCP 443, seen.csv:4, seen 2 times",
			"Deployment boutique/emailservice => 169.254.169.254 : TCP 80, seen.csv:5, seen once",
		}
		if diff := cmp.Diff(dropped, r.Dropped); diff != "" {
			t.Errorf("flavour %d, dropped: %s", f, diff)
		}
		if diff := cmp.Diff(dropped, r.DroppedNow); diff != "" {
			t.Errorf("flavour %d, dropped now: %s", f, diff)
		}
		unplaced := []string{"seen.csv: addresses that belong to no workload, Service or node that was read (1 flow)", "seen.csv: boutique/gone is no workload that was read (1 flow)"}
		if diff := cmp.Diff(unplaced, r.Unplaced); diff != "" {
			t.Errorf("flavour %d, unplaced: %s", f, diff)
		}
	}
}

// kube-system has parts whose needs are known, and only when it is named.
func TestSystem(t *testing.T) {
	system := func(name, label string) string {
		return strings.ReplaceAll(deployment("kube-system/"+name, "containers: [{name: c, image: i}]"), "app: "+name, "k8s-app: "+label)
	}
	docs := system("coredns", "kube-dns") + service("kube-system/kube-dns", "selector: {k8s-app: kube-dns}, ports: [{name: u, port: 53, protocol: UDP}, {name: t, port: 53}]") +
		system("metrics-server", "metrics-server") + system("konnectivity-agent", "konnectivity-agent") + boutiqueManifests()
	o := known(t, Kubernetes)
	o.Namespaces = []string{"kube-system"}
	want := []string{
		"Deployment kube-system/coredns => name servers further up : TCP 53, UDP 53",
		"Deployment kube-system/coredns => the API server : TCP 443,6443",
		"Deployment kube-system/konnectivity-agent => nodes : TCP 10250",
		"Deployment kube-system/konnectivity-agent => the API server : TCP 443,8132",
		"Deployment kube-system/metrics-server => nodes : TCP 10250",
		"Deployment kube-system/metrics-server => the API server : TCP 443,6443",
		"every pod => Deployment kube-system/coredns : TCP 53, UDP 53",
	}
	if diff := cmp.Diff(want, found(newCatalog(load(t, docs), o))); diff != "" {
		t.Error(diff)
	}
	for _, f := range flavours() {
		o.Flavour = f
		r, err := Generate(load(t, docs), o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.Text, "boutique") {
			t.Errorf("policies for another namespace:\n%s", r.Text)
		}
	}
	if r, err := Generate(load(t, docs), known(t, Kubernetes)); err != nil || strings.Contains(r.Text, "namespace: kube-system") {
		t.Errorf("policies for kube-system, which nobody named: %v", err)
	}
}

// No metadata address is in a block, whatever is asked for.
func TestMetadataStaysClosed(t *testing.T) {
	docs := boutiqueManifests() + deployment("boutique/far", `containers: [{name: c, image: i, env: [{name: A, value: "https://api.example.com"}, {name: B, value: "http://169.254.169.254:80"}, {name: C, value: "kubernetes.default.svc:443"}]}]`)
	for _, f := range []Flavour{Kubernetes, Calico} {
		r, err := Generate(load(t, docs), Options{Flavour: f})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range documents(r.Text)[1:] {
			if strings.Contains(part, "0.0.0.0/0") && !strings.Contains(part, "169.254.") {
				t.Errorf("a block holds metadata addresses:\n%s", part)
			}
		}
	}
}

// Whatever stands in a variable, what is written can be read and is proven, and a
// comment never ends before its line does.
func FuzzGenerate(f *testing.F) {
	for _, seed := range []string{"db:5432", "http://u:p@db:5432/\nspec: {}", "a\u2028b://db:1", "$(X)$(X)", "postgres://[::1]:1,db:2", "https://ex ample.com", "\x00db:5432", "169.254.169.254:80", "db.shop.svc:80,kubernetes"} {
		f.Add(seed, "DB_HOST")
	}
	f.Fuzz(func(t *testing.T, value, key string) {
		quoted, err := yaml.Marshal(map[string]string{"name": key, "value": value})
		if err != nil || strings.Contains(value, "\ufeff") {
			t.Skip("what no YAML can hold")
		}
		var back map[string]string
		if yaml.Unmarshal(quoted, &back) != nil || back["value"] != value {
			t.Skip("YAML gives back another text")
		}
		snap := load(t, deployment("shop/web", `containers: [{name: c, image: i, env: [{name: A, value: b}]}]`)+deployment("shop/db", "containers: [{name: c, image: i}]")+service("shop/db", "ports: [{port: 5432}]"))
		snap.Workloads[0].Pod.Containers[0].Env[0].Name = key
		snap.Workloads[0].Pod.Containers[0].Env[0].Value = value
		for _, flavour := range flavours() {
			if _, err := Generate(snap, known(t, flavour)); err != nil {
				t.Fatalf("flavour %d, %q: %v", flavour, value, err)
			}
		}
	})
}

// A password is in no note either.
func TestNotesHoldNoPasswords(t *testing.T) {
	docs := deployment("shop/web", `containers: [{name: c, image: i, env: [{name: SERVICE_AUTH, value: "admin:1234"}, {name: SERVICE_URL, value: "http://admin:tr0ub4dor@nowhere:80"}]}]`)
	r, err := Generate(load(t, docs), known(t, Kubernetes))
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(r.Notes, "\n"); strings.Contains(all, "1234") || strings.Contains(all, "tr0ub4dor") || !strings.Contains(all, "http://nowhere:80") {
		t.Errorf("notes: %s", all)
	}
}

// What is far too much is bounded, and said.
func TestBounds(t *testing.T) {
	docs := deployment("shop/web", `containers: [{name: c, image: i, env: [{name: A, value: "x"}]}]`) + deployment("shop/db", "containers: [{name: c, image: i}]") + service("shop/db", "ports: [{port: 5432}]")
	snap := load(t, docs)
	var hosts strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&hosts, "h%d:1,", i)
	}
	env := &snap.Workloads[0].Pod.Containers[0].Env
	(*env)[0].Value = hosts.String()
	one := (*env)[0]
	for i := range 20_000 {
		one.Name, one.Value = fmt.Sprintf("DB%d_HOST", i), "db:5432"
		*env = append(*env, one)
	}
	r, err := Generate(snap, known(t, Kubernetes))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Text, "and for 19995 more reasons") || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "names more hosts than are looked at") }) {
		t.Errorf("%d bytes, notes %.300q", len(r.Text), r.Notes)
	}
}
