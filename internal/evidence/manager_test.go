package evidence

import "testing"

func TestManager(t *testing.T) {
	for _, test := range []struct {
		want string
		ref  Ref
	}{
		{"", Ref{}},
		{"", Ref{Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}},
		{"terraform", Ref{Labels: map[string]string{"app.kubernetes.io/managed-by": "terraform"}}},
		{"Helm release shop/web", Ref{
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "Helm"},
			Annotations: map[string]string{"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"},
		}},
		{"Flux HelmRelease flux/web", Ref{
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "Helm", "helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "flux",
			},
			Annotations: map[string]string{"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"},
		}},
		{"Flux Kustomization flux/apps", Ref{Labels: map[string]string{
			"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux",
		}}},
		{"Argo CD Application shop", Ref{Annotations: map[string]string{
			"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web",
		}}},
		{"Argo CD Application shop", Ref{Labels: map[string]string{"argocd.argoproj.io/instance": "shop"}}},
		{"Rancher Addon kube-system/coredns", Ref{Annotations: map[string]string{
			"objectset.rio.cattle.io/owner-gvk":  "k3s.cattle.io/v1, Kind=Addon",
			"objectset.rio.cattle.io/owner-name": "coredns", "objectset.rio.cattle.io/owner-namespace": "kube-system",
		}}},
		{"Config Sync", Ref{Annotations: map[string]string{"configmanagement.gke.io/managed": "enabled"}}},
		{"OLM ClusterServiceVersion operators/etcd.v1", Ref{Labels: map[string]string{
			"olm.owner": "etcd.v1", "olm.owner.kind": "ClusterServiceVersion", "olm.owner.namespace": "operators",
		}}},
		{"kapp app 1612211312", Ref{Labels: map[string]string{"kapp.k14s.io/app": "1612211312"}}},
		{"Crossplane composite resource db-x2", Ref{Labels: map[string]string{"crossplane.io/composite": "db-x2"}}},
		{"the addon manager", Ref{Labels: map[string]string{"addonmanager.kubernetes.io/mode": "Reconcile"}}},
		{"the addon manager, when it is missing", Ref{Labels: map[string]string{"addonmanager.kubernetes.io/mode": "EnsureExists"}}},
		{"the API server, when it starts", Ref{
			Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
			Annotations: map[string]string{"rbac.authorization.kubernetes.io/autoupdate": "true"},
		}},
		{"the kubelet of node cp-1, from a static pod's file", Ref{
			Owner:       "Node cp-1",
			Annotations: map[string]string{"kubernetes.io/config.mirror": "4ac1", "kubernetes.io/config.source": "file"},
		}},
		{"Grafana shop", Ref{Owner: "Grafana shop", Labels: map[string]string{"app.kubernetes.io/managed-by": "grafana-operator"}}},
	} {
		if got := test.ref.Manager(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.ref, got, test.want)
		}
	}
}
