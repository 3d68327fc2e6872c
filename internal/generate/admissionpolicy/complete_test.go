package admissionpolicy

import (
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// examples are the manifests of a rule of internal/checks, for files: what a live cluster
// would show of pods that run is not what is asked of admission.
func examples(t *testing.T, id string) iter.Seq2[string, string] {
	t.Helper()
	files, err := filepath.Glob("../../checks/testdata/" + id + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %d examples", id, err, len(files))
	}
	return func(yield func(string, string) bool) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(text), "# cluster:") {
				continue
			}
			if !yield(file, string(text)) {
				return
			}
		}
	}
}

// completePods does to pods, and to those that templates make, what the API server's
// plugins ServiceAccount and LimitRanger do before a policy sees them.
func completePods(t *testing.T, snap *evidence.Snapshot) {
	t.Helper()
	for _, w := range snap.Workloads {
		if w.Kind != "Pod" {
			complete(snap, w.Namespace, w.ServiceAccountName(), w.Pod)
			continue
		}
		var pod corev1.Pod
		if err := json.Unmarshal(w.JSON, &pod); err != nil {
			t.Fatal(err)
		}
		if pod.Annotations[corev1.MirrorPodAnnotationKey] == "" {
			complete(snap, w.Namespace, w.ServiceAccountName(), &pod.Spec)
		}
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		w.JSON = text
	}
}

func complete(snap *evidence.Snapshot, namespace, account string, pod *corev1.PodSpec) {
	mount := true
	for _, sa := range snap.ServiceAccounts {
		if sa.Namespace == namespace && sa.Name == account && sa.Value.AutomountServiceAccountToken != nil {
			mount = *sa.Value.AutomountServiceAccountToken
		}
	}
	if own := pod.AutomountServiceAccountToken; own != nil {
		mount = *own
	}
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			if mount {
				mountToken(&list[i])
			}
			for _, lr := range snap.LimitRanges {
				for _, item := range lr.Value.Spec.Limits {
					if lr.Namespace == namespace && item.Type == corev1.LimitTypeContainer {
						fill(&list[i].Resources, item)
					}
				}
			}
		}
	}
}

func mountToken(c *corev1.Container) {
	const at = "/var/run/secrets/kubernetes.io/serviceaccount"
	for _, m := range c.VolumeMounts {
		if m.MountPath == at {
			return
		}
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access-abcde", MountPath: at, ReadOnly: true})
}

// fill gives a container the defaults of a LimitRange: the API server has derived those
// of its limits from max, and those of its requests from its limits.
func fill(to *corev1.ResourceRequirements, item corev1.LimitRangeItem) {
	put := func(list *corev1.ResourceList, from ...corev1.ResourceList) {
		for _, l := range from {
			for name, q := range l {
				if _, set := (*list)[name]; !set {
					if *list == nil {
						*list = corev1.ResourceList{}
					}
					(*list)[name] = q
				}
			}
		}
	}
	put(&to.Requests, item.DefaultRequest, item.Default, item.Max, item.Min)
	put(&to.Limits, item.Default, item.Max)
}
