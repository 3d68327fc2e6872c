//go:build cluster

package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/test/cluster"
)

// stall is a namespace with three workloads that need one another.
const stall = `
apiVersion: v1
kind: Namespace
metadata: {name: stall}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: page, namespace: stall}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: page}}
  template:
    metadata: {labels: {app.kubernetes.io/name: page}}
    spec:
      containers:
      - {name: page, image: registry.example.com/page, env: [{name: CART, value: "http://cart:8080"}, {name: BANK, value: "https://bank.example.com"}]}
---
apiVersion: v1
kind: Service
metadata: {name: page, namespace: stall}
spec: {type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24], selector: {app.kubernetes.io/name: page}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: stall}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: cart}}
  template:
    metadata: {labels: {app.kubernetes.io/name: cart}}
    spec:
      containers:
      - {name: cart, image: registry.example.com/cart, args: [--store=store-0.store:6379], ports: [{name: http, containerPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: stall}
spec: {selector: {app.kubernetes.io/name: cart}, ports: [{port: 8080, targetPort: http}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store, namespace: stall}
spec:
  serviceName: store
  selector: {matchLabels: {app.kubernetes.io/name: store}}
  template:
    metadata: {labels: {app.kubernetes.io/name: store}}
    spec: {containers: [{name: store, image: registry.example.com/store, ports: [{containerPort: 6379}, {name: gossip, containerPort: 7000, protocol: UDP}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: stall}
spec: {clusterIP: None, selector: {app.kubernetes.io/name: store}, ports: [{name: redis, port: 6379}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: page, namespace: stall}
spec: {defaultBackend: {service: {name: page, port: {number: 80}}}}
`

// What is written for a live cluster is taken by its API server as it stands, closes
// the namespace for a scan, and is written again just so when it is in force.
func TestGenerateNetworkPolicies(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	applyText(t, c, stall)
	client := kubernetes.NewForConfigOrDie(c.Config())
	eventually(t, "the ReplicaSets", func() error {
		list, err := client.AppsV1().ReplicaSets("stall").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) < 2 {
			err = fmt.Errorf("%d ReplicaSets", len(list.Items))
		}
		return err
	})
	if row := rows(scan(t, "--kubeconfig", c.Kubeconfig, "-n", "stall"))["NET-02"]; row.Status != "fail" {
		t.Errorf("before: NET-02 is %s: %s", row.Status, row.Reason)
	}
	generate := []string{"generate", "networkpolicy", "-n", "stall", "--kubeconfig", c.Kubeconfig, "--ingress-namespace", "ingress"}
	first := run(t, generate...)
	if first.code != 0 {
		t.Fatalf("exit code %d: %s", first.code, first.errors)
	}
	for _, want := range []string{"# to Deployment stall/cart\n", "# to bank.example.com\n", "# from every pod in ingress\n", "# from the outside, from 198.51.100.0/24\n", "cidr: 198.51.100.0/24"} {
		if !strings.Contains(first.out, want) {
			t.Errorf("no %q in\n%s", want, first.out)
		}
	}
	cmd := c.Command(t.Context(), "apply", "--dry-run=server", "--validate=strict", "-f", "-")
	cmd.Stdin = strings.NewReader(first.out)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	applyText(t, c, first.out)
	if again := run(t, generate...); again.out != first.out {
		t.Errorf("with the policies in force they are others:\n%s\n%s", first.out, again.out)
	}
	after := rows(scan(t, "--kubeconfig", c.Kubeconfig, "-n", "stall"))
	if row := after["NET-02"]; row.Status != "pass" {
		t.Errorf("NET-02 is %s: %s", row.Status, row.Reason)
	}
	if row := after["NET-03"]; row.Failed != 0 || row.Evaluated == 0 {
		t.Errorf("NET-03: %d of %d failed", row.Failed, row.Evaluated)
	}
}
