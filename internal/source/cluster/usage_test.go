package cluster

import "testing"

// What pods use is put to whoever made them: the most of any pod, container by container.
func TestUsage(t *testing.T) {
	pod := func(name, owner string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop" + owner + "}\nspec: {containers: [{name: app, image: a}]}\nstatus: {phase: Running}\n"
	}
	made := ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: rs, controller: true}]"
	use := func(pod, container, cpu, memory string) string {
		return "apiVersion: metrics.k8s.io/v1beta1\nkind: PodMetrics\nmetadata: {name: " + pod + ", namespace: shop}\ncontainers: [{name: " + container + ", usage: {cpu: " + cpu + ", memory: " + memory + "}}]\n"
	}
	const template = "selector: {}, template: {metadata: {}, spec: {containers: [{name: app, image: a}]}}"
	snap := build(t,
		served(t, use("web-a", "app", "100m", "50Mi")), served(t, use("web-b", "app", "20m", "90Mi")),
		served(t, use("web-c", "sidecar", "7m", "7Mi")), served(t, use("alone", "app", "1m", "1Mi")), served(t, use("gone", "app", "9", "9Gi")),
		served(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, uid: deployment}\nspec: {"+template+"}\n"),
		served(t, "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-1, namespace: shop, uid: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: deployment, controller: true}]}\nspec: {"+template+"}\n"),
		served(t, pod("web-a", made)), served(t, pod("web-b", made)), served(t, pod("web-c", made)), served(t, pod("alone", "")),
	)
	got := map[string]string{}
	for _, w := range snap.Workloads {
		for name, u := range w.Usage {
			got[w.Ref.String()+" "+name] = u.CPU.String() + " " + u.Memory.String()
			if name == "app" && w.Kind == "Deployment" && u.Pods != 2 {
				t.Errorf("%d pods", u.Pods)
			}
		}
	}
	want := map[string]string{"Deployment shop/web app": "100m 90Mi", "Deployment shop/web sidecar": "7m 7Mi", "Pod shop/alone app": "1m 1Mi"}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for key, text := range want {
		if got[key] != text {
			t.Errorf("%s: %q, want %q", key, got[key], text)
		}
	}
}
