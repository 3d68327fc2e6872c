package cluster

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func mirrorPod(command ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kube-apiserver-cp1", Namespace: "kube-system", Annotations: map[string]string{"kubernetes.io/config.mirror": "4ac1"},
		},
		Spec: corev1.PodSpec{NodeName: "cp1", Containers: []corev1.Container{{Image: "registry.k8s.io/kube-apiserver:v1.36.3", Command: command}}},
	}
}

// toldBy builds what a cluster's pods tell of the API server of cp1.
func toldBy(pods ...*corev1.Pod) *evidence.Component {
	snap := &evidence.Snapshot{}
	b := NewBuilder(snap, &evidence.Cluster{Name: "c"})
	for _, p := range pods {
		b.mirrored(p)
	}
	b.addHosts()
	if len(snap.Hosts) == 0 {
		return nil
	}
	return snap.Hosts[0].Component(evidence.APIServer)
}

func TestMirrorPod(t *testing.T) {
	c := toldBy(mirrorPod("kube-apiserver", "--anonymous-auth=false", "--anonymous_auth", "true", "--audit-log-maxage", "-1", "--profiling", "--etcd-servers=https://u:CANARY@etcd:2379", "--some-token=CANARY"))
	var flags []string
	for _, f := range c.Flags {
		flags = append(flags, f.Name+"="+f.Value)
	}
	const want = "anonymous-auth=false anonymous-auth=true audit-log-maxage=-1 profiling=true etcd-servers=https://…@etcd:2379 some-token=48 bit"
	if got := strings.Join(flags, " "); got != want || c.Unread != "" || c.Version != "v1.36.3" {
		t.Errorf("%+v\n%s\nwant %s", c, got, want)
	}
	for _, command := range [][]string{
		{"kube-apiserver", "--anonymous-auth=$(VALUE)"},
		{"sh", "-c", "exec", "$X", "kube-apiserver", "--x"},
		{"kube-apiserver", "more"},
	} {
		if c := toldBy(mirrorPod(command...)); c.Unread == "" {
			t.Errorf("%v: all is known", command)
		}
	}
	if c := toldBy(mirrorPod("kube-apiserver"), mirrorPod("kube-apiserver", "--anonymous-auth=true")); c.Unread == "" {
		t.Error("two API servers of one node, and nothing is said")
	}
	elsewhere := mirrorPod("kube-apiserver")
	elsewhere.Namespace = "default"
	if c := toldBy(elsewhere); c != nil {
		t.Error("believed a pod of a namespace in which others may write")
	}
}

func TestConfigz(t *testing.T) {
	snap := &evidence.Snapshot{}
	b := NewBuilder(snap, &evidence.Cluster{Name: "c"})
	if err := b.configured("w1", []byte(`{"staticPodURL": "https://u:CANARY@x/", "staticPodURLHeader": {"A": ["CANARY"]}, "authentication": {"anonymous": {"enabled": false}}}`)); err != nil {
		t.Fatal(err)
	}
	b.addHosts()
	options := snap.Hosts[0].Component(evidence.Kubelet).Options
	if len(options) != 2 || string(options["staticPodURL"].Value) != `"https://…@x/"` || string(options["authentication.anonymous.enabled"].Value) != "false" {
		t.Errorf("%v", options)
	}
}
