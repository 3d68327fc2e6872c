//go:build cluster

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// town has namespaces that need one another, Services of every type, and policies
// of the API's own kind.
const town = `
apiVersion: v1
kind: Namespace
metadata: {name: front, labels: {street: main}}
---
apiVersion: v1
kind: Namespace
metadata: {name: back, labels: {street: main}}
---
apiVersion: v1
kind: Namespace
metadata: {name: vault}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: front}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example.com/web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: front}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {hostNetwork: true, containers: [{name: agent, image: registry.example.com/agent, ports: [{containerPort: 9100}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: back}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: registry.example.com/api, ports: [{name: http, containerPort: 9090}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle, namespace: back}
spec:
  replicas: 0
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {containers: [{name: idle, image: registry.example.com/idle}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: vault}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: registry.example.com/db, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: front}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: back}
spec: {type: NodePort, selector: {app: api}, ports: [{port: 80, targetPort: http, nodePort: 30090}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: vault}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432, targetPort: sql}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: back}
spec: {type: ExternalName, externalName: bank.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: legacy, namespace: back}
spec: {ports: [{port: 3306}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: legacy-by-hand, namespace: back, labels: {kubernetes.io/service-name: legacy}}
addressType: IPv4
ports: [{name: "", port: 3306, protocol: TCP}]
endpoints: [{addresses: [198.51.100.7]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api, namespace: back}
spec: {rules: [{host: api.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: vault}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: sql, namespace: vault}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {matchLabels: {street: main}}, podSelector: {matchLabels: {app: api}}}], ports: [{port: sql}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: back}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}], ports: [{port: 9090}]}]
  egress:
  - {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: vault}}}], ports: [{port: 5432}]}
  - {to: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}}], ports: [{port: 3306}]}
`

// townNamespaces are those that the comparison is about.
var townNamespaces = []string{"front", "back", "vault"}

// build applies the town to a control plane of its own.
func build(t *testing.T) (c *cluster.Cluster, file string) {
	t.Helper()
	c = cluster.Start(t, cluster.Options{FakeNodes: 1})
	applyText(t, c, town)
	client := kubernetes.NewForConfigOrDie(c.Config())
	eventually(t, "pods and slices", func() error {
		for ns, want := range map[string]int{"front": 3, "back": 1, "vault": 1} {
			pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
			if err != nil || len(pods.Items) < want {
				return fmt.Errorf("%d pods in %s: %w", len(pods.Items), ns, err)
			}
			slices, err := client.DiscoveryV1().EndpointSlices(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io"})
			if err != nil || len(slices.Items) == 0 {
				return fmt.Errorf("%d slices in %s: %w", len(slices.Items), ns, err)
			}
		}
		return nil
	})
	file = filepath.Join(t.TempDir(), "town.yaml")
	if err := os.WriteFile(file, []byte(town), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, file
}

// netPeer, netConnection and netReport are the documents as the contract has them.
type netPeer struct{ Namespace, Kind, Name, CIDR string }

type netConnection struct {
	Src, Dst netPeer
	Ports    []struct {
		Protocol      string
		Port, EndPort int
	}
	Reason string
	Way    struct{ Kind, Namespace, Name string }
}

type netReport struct {
	Kind                                                                   string
	Connections, Unknown                                                   []netConnection
	Inbound, Outbound, Metadata, Kubelets, Etcd, APIServer, UnknownInbound []netConnection
	Opened, Closed                                                         []netConnection
	Gaps                                                                   []struct{ Fact, Scope, Reason string }
}

func (p netPeer) String() string {
	switch {
	case p.CIDR != "":
		return p.CIDR
	case p.Kind == "Node": // files tell of none, a cluster names each
		return "node"
	}
	return strings.TrimPrefix(p.Namespace+"/"+p.Kind+"/"+p.Name, "/")
}

// onlyLive are connections of which a cluster can tell more than files, and why.
var onlyLive = map[string]string{
	"back/Deployment/api => APIServer/API server": "files do not tell the API server's address, which is in a range that api may reach",
}

// netRows are connections as text, sorted, each once, but those of other namespaces
// and the exceptions.
func netRows(list []netConnection) (rows []string) {
	foreign := func(p netPeer) bool { return p.Namespace != "" && !slices.Contains(townNamespaces, p.Namespace) }
	for _, c := range list {
		if foreign(c.Src) || foreign(c.Dst) || onlyLive[fmt.Sprintf("%s => %s", c.Src, c.Dst)] != "" {
			continue
		}
		ports := ""
		for _, p := range c.Ports {
			ports += fmt.Sprintf(" %s %d-%d", p.Protocol, p.Port, max(p.Port, p.EndPort))
		}
		rows = append(rows, fmt.Sprintf("%s => %s :%s %s", c.Src, c.Dst, ports, strings.Join([]string{c.Way.Kind, c.Way.Namespace, c.Way.Name}, "/")))
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// ask runs a network command that prints a document.
func ask(t *testing.T, args ...string) (doc netReport, code int) {
	t.Helper()
	r := run(t, append([]string{"network", args[0], "-o", "json"}, args[1:]...)...)
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("%v: %s: %v", args, r.errors, err)
	}
	return doc, r.code
}

// explained asks how a connection is decided: allowed, denied or not known, and by
// which policies.
func explained(t *testing.T, args ...string) (answer string, code int) {
	t.Helper()
	r := run(t, append([]string{"network", "explain", "-o", "json"}, args...)...)
	var doc struct {
		Allowed bool
		Unknown string
		Steps   []struct {
			Direction string
			DecidedBy *struct{ Kind, Namespace, Name string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("%v: %s: %v", args, r.errors, err)
	}
	switch {
	case doc.Unknown != "":
		answer = "unknown: " + doc.Unknown
	case doc.Allowed:
		answer = "allowed"
	default:
		answer = "denied"
	}
	for _, s := range doc.Steps {
		if s.DecidedBy != nil {
			answer += fmt.Sprintf("; %s by %s %s/%s", s.Direction, s.DecidedBy.Kind, s.DecidedBy.Namespace, s.DecidedBy.Name)
		}
	}
	return answer, r.code
}

// townQuestions are those that are asked of files, of the cluster and of a snapshot.
var townQuestions = [][]string{
	{"front/web", "back/api", "TCP/9090"},
	{"front/web", "back/api", "TCP/80"}, // the Service's port: the workload is meant
	{"front/web", "back/Service/api", "TCP/80"},
	{"back/api", "vault/db", "TCP/5432"},
	{"back/api", "vault/db", "TCP/5433"},
	{"back/idle", "vault/db", "TCP/5432"},
	{"front/web", "vault/db", "TCP/5432"},
	{"vault/db", "internet"},
	{"back/api", "198.51.100.7", "TCP/3306"},
	{"back/api", "198.51.100.200", "TCP/3306"},
	{"back/api", "metadata"},
	{"internet", "back/api"},
	{"front/web", "198.51.100.7", "TCP/3306"},
}

// The same is said of the files, of the cluster that they were applied to and of a
// snapshot of it, and the least role is refused nothing.
func TestNetworkSources(t *testing.T) {
	c, file := build(t)
	snap := filepath.Join(t.TempDir(), "town.gabion")
	if r := run(t, "snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", snap); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.errors)
	}
	user := c.User(t, "mapmaker")
	applyText(t, c, run(t, "rbac", "own-role", "--name", "mapmaker", "--subject", "mapmaker").out)
	eventually(t, "the rights", func() error {
		if r := try(t, "rbac", "own-role", "--check", "--kubeconfig", user.Kubeconfig); r.code != 0 {
			return fmt.Errorf("exit code %d: %s%s", r.code, r.out, r.errors)
		}
		return nil
	})
	sources := map[string][]string{"cluster": {"--kubeconfig", c.Kubeconfig, "--cluster"}, "snapshot": {"--snapshot", snap}, "least role": {"--kubeconfig", user.Kubeconfig, "--cluster"}}
	before := len(requests(t, c, "mapmaker"))
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			compareTown(t, []string{file}, source)
		})
	}
	asked := requests(t, c, "mapmaker")[before:]
	slicesAsked := 0
	for _, e := range asked {
		if e.ResponseStatus.Code == 403 || !slices.Contains([]string{"get", "list", "watch"}, e.Verb) {
			t.Errorf("%s %s: %d", e.Verb, e.RequestURI, e.ResponseStatus.Code)
		}
		if e.ObjectRef != nil && e.ObjectRef.Resource == "endpointslices" {
			slicesAsked++
			if !strings.Contains(e.RequestURI, "labelSelector=") {
				t.Errorf("all slices are asked for: %s", e.RequestURI)
			}
		}
	}
	if slicesAsked == 0 {
		t.Errorf("no slices are asked for in %d requests", len(asked))
	}
	// The hand-made slices arrive, with that of the API server; those of the
	// controller do not.
	text := string(unzip(t, snap))
	for _, want := range []string{`"legacy-by-hand"`, `"198.51.100.7"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the snapshot", want)
		}
	}
	if n := strings.Count(text, `"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"`); n > 0 {
		t.Errorf("%d slices of the controller are in the snapshot", n)
	}
}

// compareTown asks two sources the same.
func compareTown(t *testing.T, files, source []string) {
	t.Helper()
	fromFiles, code := ask(t, append([]string{"list"}, files...)...)
	if len(fromFiles.Connections) < 15 || code != 0 {
		t.Fatalf("%d connections, exit code %d", len(fromFiles.Connections), code)
	}
	live, code := ask(t, append([]string{"list"}, source...)...)
	if code != 0 || len(live.Gaps) > 0 {
		t.Errorf("list: exit code %d: %v", code, live.Gaps)
	}
	if diff := cmp.Diff(netRows(fromFiles.Connections), netRows(live.Connections)); diff != "" {
		t.Errorf("list (-files +%s):\n%s", source[0], diff)
	}
	if diff := cmp.Diff(netRows(fromFiles.Unknown), netRows(live.Unknown)); diff != "" {
		t.Errorf("not known (-files +%s):\n%s", source[0], diff)
	}
	fromFiles, _ = ask(t, append([]string{"exposure"}, files...)...)
	live, code = ask(t, append([]string{"exposure"}, source...)...)
	if code != 0 {
		t.Errorf("exposure: exit code %d: %v", code, live.Gaps)
	}
	for what, pair := range map[string][2][]netConnection{
		"inbound": {fromFiles.Inbound, live.Inbound}, "outbound": {fromFiles.Outbound, live.Outbound}, "metadata": {fromFiles.Metadata, live.Metadata},
		"kubelets": {fromFiles.Kubelets, live.Kubelets}, "etcd": {fromFiles.Etcd, live.Etcd}, "API server": {fromFiles.APIServer, live.APIServer},
		"unknown": {fromFiles.Unknown, live.Unknown}, "unknown inbound": {fromFiles.UnknownInbound, live.UnknownInbound},
	} {
		if diff := cmp.Diff(netRows(pair[0]), netRows(pair[1])); diff != "" {
			t.Errorf("exposure, %s (-files +%s):\n%s", what, source[0], diff)
		}
	}
	for _, q := range townQuestions {
		want, _ := explained(t, append(slices.Clone(q), files...)...)
		if got, _ := explained(t, append(slices.Clone(q), source...)...); got != want {
			t.Errorf("explain %v: from files %q, from %s %q", q, want, source[0], got)
		}
	}
}

// decided are questions with certain answers, and the rights that each hangs on.
var decided = []struct {
	ends   []string
	want   string
	rights []string
}{
	{[]string{"back/api", "vault/db", "TCP/5432"}, "allowed", []string{"networkpolicies", "namespaces"}},
	{[]string{"front/web", "vault/db", "TCP/5432"}, "denied", []string{"networkpolicies"}},
	{[]string{"front/web", "back/api", "TCP/9090"}, "allowed", []string{"networkpolicies"}},
	{[]string{"vault/db", "internet"}, "denied", []string{"networkpolicies"}},
	{[]string{"internet", "front/web", "TCP/8080"}, "allowed", []string{"networkpolicies"}},
	{[]string{"front/web", "back/Service/api", "TCP/80"}, "allowed", []string{"networkpolicies"}},
}

// Whatever right is taken away, no certain answer becomes another one: it stays, or
// is not known, with the reason and exit code 3.
func TestNetworkRights(t *testing.T) {
	c, _ := build(t)
	rights := rightsOf(t, live.Options{Kubeconfig: c.Kubeconfig})
	for _, resource := range []string{"networkpolicies", "endpointslices", "namespaces", "services", "pods", "deployments", "nodes", "ingresses"} {
		t.Run(resource, func(t *testing.T) {
			i := slices.IndexFunc(rights, func(r live.Right) bool { return r.Resource == resource })
			if i < 0 {
				t.Fatal("no such right is asked for")
			}
			name := "without-" + resource
			a := c.User(t, name)
			grant(t, c, name, slices.Delete(slices.Clone(rights), i, i+1))
			await(t, a, rights[(i+1)%len(rights)])
			source := []string{"--kubeconfig", a.Kubeconfig, "--cluster"}
			for _, q := range decided {
				r := try(t, append(append([]string{"network", "explain", "-o", "json"}, q.ends...), source...)...)
				if r.code == cli.ExitUsage {
					t.Logf("%v: %s", q.ends, r.errors) // what was asked about is not among what was read
					continue
				}
				answer, code := explained(t, append(slices.Clone(q.ends), source...)...)
				switch {
				case strings.HasPrefix(answer, "unknown: "):
					if code != 3 || !strings.Contains(r.out, resource) {
						t.Errorf("%v: exit code %d, and nothing of %s: %s", q.ends, code, resource, answer)
					}
				case slices.Contains(q.rights, resource) || !strings.HasPrefix(answer, q.want):
					t.Errorf("%v: %s (exit code %d)", q.ends, answer, code)
				}
			}
			for _, command := range []string{"list", "exposure"} {
				doc, code := ask(t, append([]string{command}, source...)...)
				said := slices.ContainsFunc(doc.Gaps, func(g struct{ Fact, Scope, Reason string }) bool { return strings.Contains(g.Reason, resource) })
				if code != 3 || !said {
					t.Errorf("%s: exit code %d, gaps %v", command, code, doc.Gaps)
				}
			}
		})
	}
}

// definition is a kind that the API server takes whatever it says.
func definition(group, version, kind, plural, scope string) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[4]s.%[1]s, annotations: {api-approved.kubernetes.io: unapproved}}
spec:
  group: %[1]s
  scope: %[5]s
  names: {kind: %[3]s, plural: %[4]s, singular: %[6]s, listKind: %[3]sList}
  versions: [{name: %[2]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---`, group, version, kind, plural, scope, strings.ToLower(kind))
}

// closers close every namespace by one object, each in its plugin's way; reopeners
// open all of it again.
var closers = map[string]struct{ definitions, closer, reopener, passes string }{
	"Cilium": {
		definition("cilium.io", "v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies", "Cluster") +
			definition("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", "Namespaced"),
		`{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: closed}, spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}}`,
		`{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: reopened}, spec: {endpointSelector: {}, ingress: [{fromEntities: [all]}], egress: [{toEntities: [all]}]}}`,
		"pass",
	},
	"Calico": {
		definition("crd.projectcalico.org", "v1", "GlobalNetworkPolicy", "globalnetworkpolicies", "Cluster") +
			definition("crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies", "Namespaced"),
		`{apiVersion: crd.projectcalico.org/v1, kind: GlobalNetworkPolicy, metadata: {name: default.closed}, spec: {tier: default, order: 2000, selector: all(), types: [Ingress, Egress]}}`,
		`{apiVersion: crd.projectcalico.org/v1, kind: GlobalNetworkPolicy, metadata: {name: default.reopened}, spec: {tier: default, order: 1500, selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}`,
		"pass",
	},
	"AdminNetworkPolicy": {
		definition("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies", "Cluster") +
			definition("policy.networking.k8s.io", "v1alpha1", "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", "Cluster"),
		`{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: default}, spec: {subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{namespaces: {}}, {networks: [0.0.0.0/0, "::/0"]}]}]}}`,
		`{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: reopened}, spec: {priority: 5, subject: {namespaces: {}}, ingress: [{action: Allow, from: [{namespaces: {}}]}], egress: [{action: Allow, to: [{namespaces: {}}, {networks: [0.0.0.0/0, "::/0"]}]}]}}`,
		"fail", // no baseline keeps out what comes from outside the cluster
	},
}

// What a change opens is told with exit code 1, what it closes with 0, whatever kind
// of policy it is, and a scan judges the namespaces by what is in effect.
func TestNetworkChanges(t *testing.T) {
	for name, kind := range closers {
		t.Run(name, func(t *testing.T) {
			c, _ := build(t)
			applyText(t, c, kind.definitions)
			state := func(what string) (file string) {
				file = filepath.Join(t.TempDir(), what)
				eventually(t, what, func() error {
					if r := try(t, "snapshot", "--kubeconfig", c.Kubeconfig, "--output-file", file); r.code != 0 {
						return fmt.Errorf("exit code %d: %s", r.code, r.errors)
					}
					return nil
				})
				return file
			}
			apply := func(object string) {
				eventually(t, "the kind", func() error {
					cmd := c.Command(t.Context(), "apply", "-f", "-")
					cmd.Stdin = strings.NewReader(object)
					if out, err := cmd.CombinedOutput(); err != nil {
						return fmt.Errorf("%w: %s", err, out)
					}
					return nil
				})
			}
			open := state("open")
			apply(kind.closer)
			closed := state("closed")
			apply(kind.reopener)
			reopened := state("reopened")

			doc, code := ask(t, "diff", open, closed)
			if code != 0 && code != 3 || len(doc.Opened) > 0 || len(doc.Closed) < 5 {
				t.Errorf("closing: exit code %d, %d opened, %d closed", code, len(doc.Opened), len(doc.Closed))
			}
			doc, code = ask(t, "diff", closed, reopened)
			if code != 1 || len(doc.Opened) < 5 || len(doc.Closed) > 0 {
				t.Errorf("reopening: exit code %d, %d opened, %d closed", code, len(doc.Opened), len(doc.Closed))
			}
			if doc, code = ask(t, "diff", closed, closed); code != 0 || len(doc.Opened)+len(doc.Closed) > 0 {
				t.Errorf("no change: exit code %d, %d opened, %d closed", code, len(doc.Opened), len(doc.Closed))
			}
			for _, one := range []struct {
				state, question, want string
			}{{open, "front/web back/idle", "allowed"}, {closed, "front/web back/idle", "denied"}, {reopened, "front/web back/idle", "allowed"}} {
				answer, code := explained(t, append(strings.Fields(one.question), "--snapshot", one.state)...)
				if !strings.HasPrefix(answer, one.want) || code != 0 {
					t.Errorf("%s in %s: %s (exit code %d)", one.question, filepath.Base(one.state), answer, code)
				}
			}
			before, now, after := scan(t, "--snapshot", open), scan(t, "--snapshot", closed), scan(t, "--snapshot", reopened)
			if was, is := rows(now)["NET-03"].Failed, rows(after)["NET-03"].Failed; kind.passes == "pass" && (was > 0 || is == 0) {
				t.Errorf("NET-03: %d failed when all was closed, %d when it was open again", was, is)
			}
			if status := rows(before)["NET-02"].Status; status != "fail" {
				t.Errorf("open: NET-02 is %s", status)
			}
			if status := rows(now)["NET-02"].Status; string(status) != kind.passes {
				t.Errorf("closed: NET-02 is %s, want %s", status, kind.passes)
			}
			if status := rows(after)["NET-02"].Status; status != "fail" {
				t.Errorf("reopened: NET-02 is %s", status)
			}
			page := run(t, "scan", "--snapshot", closed, "-o", "html").out
			for _, want := range []string{`<svg class="map"`, ">web<", ">db<", "vault"} {
				if !strings.Contains(page, want) {
					t.Errorf("no %q in the HTML report", want)
				}
			}
		})
	}
}
