package evidence

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Manager says what keeps a live object as it is, so that a change by hand would be
// undone, or would be missing after the next release: Helm release shop/web. "" when
// nothing on the object tells. What looks after the others is named first: a release
// that Flux installs is Flux's.
func (r *Ref) Manager() string {
	for _, by := range managers {
		if name := by(r); name != "" {
			return name
		}
	}
	return ""
}

// managers are the ways to tell, as the programs document their marks.
var managers = [...]func(*Ref) string{
	staticPod, argoCD, flux, fleet, configSync, lifecycleManager, kapp, crossplane, helm,
	addonManager, apiServer, maker, named,
}

// staticPod is a pod that the kubelet runs out of a file or an address, and only
// shows in the API.
func staticPod(r *Ref) string {
	if _, mirrored := r.Annotations["kubernetes.io/config.mirror"]; !mirrored {
		return ""
	}
	text := "the kubelet"
	if node, ok := strings.CutPrefix(r.Owner, "Node "); ok {
		text += " of node " + node
	}
	if source := r.Annotations["kubernetes.io/config.source"]; source != "" {
		text += ", from a static pod's " + source
	}
	return text
}

// argoCD marks what it applies with application:group/Kind:namespace/name, or, as it
// is set up, with a label.
func argoCD(r *Ref) string {
	app, _, _ := strings.Cut(r.Annotations["argocd.argoproj.io/tracking-id"], ":")
	return title("Argo CD Application ", cmp.Or(app, r.Labels["argocd.argoproj.io/instance"]))
}

func flux(r *Ref) string {
	for _, kind := range [...]struct{ label, kind string }{
		{"helm.toolkit.fluxcd.io/", "HelmRelease"}, {"kustomize.toolkit.fluxcd.io/", "Kustomization"},
	} {
		if name := r.Labels[kind.label+"name"]; name != "" {
			return "Flux " + kind.kind + " " + within(r.Labels[kind.label+"namespace"], name)
		}
	}
	return ""
}

// fleet marks for Rancher's Fleet, and for the manifests that k3s and RKE2 apply
// from a folder of the server.
func fleet(r *Ref) string {
	name := r.Annotations["objectset.rio.cattle.io/owner-name"]
	if name == "" {
		return ""
	}
	name = within(r.Annotations["objectset.rio.cattle.io/owner-namespace"], name)
	_, kind, _ := strings.Cut(r.Annotations["objectset.rio.cattle.io/owner-gvk"], "Kind=")
	if kind == "" {
		return "Rancher " + name
	}
	return "Rancher " + kind + " " + name
}

func configSync(r *Ref) string {
	if r.Annotations["configmanagement.gke.io/managed"] == "enabled" {
		return "Config Sync"
	}
	return ""
}

// lifecycleManager is the Operator Lifecycle Manager, which installs operators.
func lifecycleManager(r *Ref) string {
	name := r.Labels["olm.owner"]
	if name == "" {
		return ""
	}
	return "OLM " + cmp.Or(r.Labels["olm.owner.kind"], "ClusterServiceVersion") + " " + within(r.Labels["olm.owner.namespace"], name)
}

func kapp(r *Ref) string { return title("kapp app ", r.Labels["kapp.k14s.io/app"]) }

func crossplane(r *Ref) string {
	return title("Crossplane composite resource ", r.Labels["crossplane.io/composite"])
}

// helm marks what it installs by annotations; the label alone is in what others
// render from a chart.
func helm(r *Ref) string {
	name := r.Annotations["meta.helm.sh/release-name"]
	if name == "" {
		return ""
	}
	return "Helm release " + within(r.Annotations["meta.helm.sh/release-namespace"], name)
}

// addonManager applies the add-ons of a cluster from a folder of the control plane.
func addonManager(r *Ref) string {
	switch r.Labels["addonmanager.kubernetes.io/mode"] {
	case "Reconcile":
		return "the addon manager"
	case "EnsureExists":
		return "the addon manager, when it is missing"
	}
	return ""
}

// apiServer restores the roles and bindings that it ships when it starts.
func apiServer(r *Ref) string {
	if r.Labels["kubernetes.io/bootstrapping"] != "" && r.Annotations["rbac.authorization.kubernetes.io/autoupdate"] == "true" {
		return "the API server, when it starts"
	}
	return ""
}

// maker is the object that made this one, and may make it anew.
func maker(r *Ref) string { return r.Owner }

// named is who calls itself the manager, in the label that is recommended for it.
func named(r *Ref) string {
	name := r.Labels["app.kubernetes.io/managed-by"]
	if name == "Helm" {
		return "" // a chart that somebody else applied
	}
	return name
}

func title(what, name string) string {
	if name == "" {
		return ""
	}
	return what + name
}

func within(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// controlPlane are the components that installers run as static pods.
var controlPlane = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// ControlPlane reports whether the object is the mirror, in a live cluster, of a
// static pod of the control plane. Anyone who may create pods in kube-system can
// write such an object, but the kubelet deletes a mirror of nothing.
func (r *Ref) ControlPlane() bool {
	return r.Kind == "Pod" && r.Namespace == "kube-system" && r.Annotations[corev1.MirrorPodAnnotationKey] != "" &&
		r.Labels["tier"] == "control-plane" && slices.Contains(controlPlane, r.Labels["component"])
}
