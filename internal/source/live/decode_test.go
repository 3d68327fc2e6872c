package live

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Who manages which field is not decoded, and all the rest is.
func TestUnmanaged(t *testing.T) {
	grace := int64(7)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web", Namespace: "shop", Generation: 3, DeletionGracePeriodSeconds: &grace,
			Labels: map[string]string{"app": "web"}, Finalizers: []string{"example.com/last"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-1"}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubectl", Time: &metav1.Time{Time: time.Unix(1, 0)}, FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{}}`)}},
				{Manager: "kubelet"},
			},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nginx"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	text, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got := &corev1.Pod{}
	if err := unmarshal(text, true, got); err != nil {
		t.Fatal(err)
	}
	want := pod.DeepCopy()
	want.ManagedFields = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Broken protobuf does no harm, wherever it is broken.
func TestBrokenProtobuf(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}}
	text, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if unmarshal(text[:3:3], true, &corev1.Pod{}) == nil {
		t.Error("a message that is cut off is no error")
	}
	for n := range text {
		_ = unmarshal(bytes.Clone(text[:n]), true, &corev1.Pod{})
		broken := bytes.Clone(text)
		broken[n] ^= 0xff
		_ = unmarshal(broken, true, &corev1.Pod{})
	}
}
