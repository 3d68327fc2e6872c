package checks

import (
	"testing"

	admissionregistrationv1alpha1 "k8s.io/api/admissionregistration/v1alpha1"
	admissionregistrationv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	certificatesv1alpha1 "k8s.io/api/certificates/v1alpha1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	coordinationv1beta1 "k8s.io/api/coordination/v1beta1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"
	eventsv1beta1 "k8s.io/api/events/v1beta1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	flowcontrolv1beta1 "k8s.io/api/flowcontrol/v1beta1"
	flowcontrolv1beta2 "k8s.io/api/flowcontrol/v1beta2"
	flowcontrolv1beta3 "k8s.io/api/flowcontrol/v1beta3"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	nodev1beta1 "k8s.io/api/node/v1beta1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1alpha1 "k8s.io/api/storage/v1alpha1"
	storagev1beta1 "k8s.io/api/storage/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The table says of each kind what the Kubernetes API says of it.
func TestRemovedAPIAgainstTypes(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1alpha1.AddToScheme, admissionregistrationv1beta1.AddToScheme, appsv1beta1.AddToScheme, appsv1beta2.AddToScheme,
		batchv1beta1.AddToScheme, certificatesv1alpha1.AddToScheme, certificatesv1beta1.AddToScheme, coordinationv1beta1.AddToScheme,
		discoveryv1beta1.AddToScheme, eventsv1beta1.AddToScheme, extensionsv1beta1.AddToScheme, flowcontrolv1beta1.AddToScheme,
		flowcontrolv1beta2.AddToScheme, flowcontrolv1beta3.AddToScheme, networkingv1beta1.AddToScheme, nodev1beta1.AddToScheme,
		policyv1beta1.AddToScheme, rbacv1beta1.AddToScheme, schedulingv1beta1.AddToScheme, storagev1alpha1.AddToScheme, storagev1beta1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	// What nobody writes into a manifest.
	verbs := map[string]bool{"Scale": true, "Eviction": true, "DeploymentRollback": true}
	compared := 0
	for gvk := range scheme.AllKnownTypes() {
		object, err := scheme.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		_, isObject := object.(metav1.Object)
		life, hasEnd := object.(interface{ APILifecycleRemoved() (int, int) })
		if !isObject || !hasEnd || verbs[gvk.Kind] {
			continue
		}
		_, minor := life.APILifecycleRemoved()
		have, listed := removedAPI[gvk.GroupVersion().String()][gvk.Kind]
		switch {
		case minor > evidence.Newest().Minor:
			if listed {
				t.Errorf("%s is removed in 1.%d only, later than the newest known version", gvk, minor)
			}
		case have.minor != minor:
			t.Errorf("%s is removed in 1.%d, the table says 1.%d", gvk, minor, have.minor)
		}
		compared++
	}
	if compared < 50 {
		t.Errorf("only %d kinds were compared", compared)
	}
}
