//go:build cluster

package snapshot_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	source "github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// A tee gives everything to two sinks.
type tee struct{ first, second source.Sink }

func (t tee) Add(o source.Object) error {
	if err := t.first.Add(o); err != nil {
		return err
	}
	return t.second.Add(o)
}

func (t tee) Gap(g evidence.Gap) {
	t.first.Gap(g)
	t.second.Gap(g)
}

const applied = `
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: default}
stringData: {password: ` + canary + `}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: default, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
stringData: {password: ` + canary + `}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

const appliedLater = `
apiVersion: example.com/v1
kind: Thing
metadata: {name: thing, namespace: default}
spec: {template: {spec: {containers: [{name: c, image: registry.example.com/c, securityContext: {privileged: true}}]}}}
`

// TestLive: what a real API server serves goes through a snapshot as it is, and is
// judged as what does not.
func TestLive(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	apply := func(args ...string) { c.Kubectl(t, append([]string{"apply", "--validate=false"}, args...)...) }
	apply("-f", "../../../examples/shop/namespaces.yaml")
	apply("-f", "../../../examples/shop")
	for _, text := range []string{applied, appliedLater} {
		cmd := c.Command(t.Context(), "apply", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		c.Kubectl(t, "wait", "--for=condition=Established", "crd/things.example.com")
	}
	client, err := live.Connect(live.Options{Kubeconfig: c.Kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	about, err := client.Cluster(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	direct := &evidence.Snapshot{}
	b := source.NewBuilder(direct, about)
	b.KeepJSON = true
	data := write(t, func(w *snapshot.Writer) {
		to, err := w.Cluster(about)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Collect(t.Context(), tee{to, b}); err != nil {
			t.Fatal(err)
		}
		if err := to.Finish(); err != nil {
			t.Fatal(err)
		}
	})
	b.Finish()
	through := load(t, data)[0]
	if len(direct.Objects) < 100 || len(direct.Workloads) < 5 || len(direct.Secrets) == 0 {
		t.Fatalf("%d objects, %d workloads, %d Secrets", len(direct.Objects), len(direct.Workloads), len(direct.Secrets))
	}
	if diff := cmp.Diff(judge(t, direct), judge(t, through)); diff != "" {
		t.Errorf("-direct +through\n%s", diff)
	}
	for i, ref := range direct.Objects {
		if through.Objects[i].String() != ref.String() {
			t.Errorf("object %d is %s, was %s", i, through.Objects[i], ref)
		}
	}
	text := strings.Join(lines(t, data), "")
	for _, no := range []string{"managedFields", "last-applied-configuration"} {
		if strings.Contains(text, no) {
			t.Errorf("%s is in the snapshot", no)
		}
	}
	if leaks(text) {
		t.Error("the value of a Secret is in the snapshot")
	}
}
