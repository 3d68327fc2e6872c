//go:build cluster

package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// stages say what kwok does with Pods and nodes.
//
//go:embed kwok.yaml
var stages []byte

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

// addNodes makes the first n nodes, those that are not there yet, as a kubelet
// would report a healthy one.
func addNodes(ctx context.Context, k kubernetes.Interface, n int) error {
	version, err := k.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	return each(ctx, n, func(ctx context.Context, i int) error {
		_, err := k.CoreV1().Nodes().Create(ctx, fakeNode(i, version.GitVersion), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

func fakeNode(i int, version string) *corev1.Node {
	size := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods: resource.MustParse("1000"),
	}
	now := metav1.Now()
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: map[string]string{
			corev1.LabelHostname: nodeName(i), corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Status: corev1.NodeStatus{
			Capacity: size, Allocatable: size,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.%d.%d", i/250%250, i%250+1)},
				{Type: corev1.NodeHostName, Address: nodeName(i)},
			},
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: version, ContainerRuntimeVersion: "containerd://2.2.0", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
}

// fake makes nodes and starts kwok, which keeps every node alive and every Pod
// on one running.
func (c *Cluster) fake(ctx context.Context, n int) error {
	k, err := c.loader()
	if err != nil {
		return err
	}
	a, err := c.certified("kwok", time.Now().Add(validity), simulator, "system:masters")
	if err != nil {
		return err
	}
	if err := addNodes(ctx, k, n); err != nil {
		return fmt.Errorf("make nodes: %w", err)
	}
	if err := c.write("kwok.yaml", stages); err != nil {
		return err
	}
	if err := c.run("kwok", "--kubeconfig="+a.Kubeconfig, "--config="+c.path("kwok.yaml"), "--manage-all-nodes", "--v=WARN"); err != nil {
		return err
	}
	return c.await(ctx, "kwok to hold the nodes' leases", func(ctx context.Context) error {
		leases, err := k.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
		if err == nil && len(leases.Items) < n {
			err = fmt.Errorf("%d of %d", len(leases.Items), n)
		}
		return err
	})
}
