//go:build cluster

package etcd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/test/cluster"
)

// A real etcd's file, while it runs: each Secret is counted, those that are written
// while it is read at the latest soon after.
func TestRealEtcd(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	for i := range 30 {
		c.Kubectl(t, "create", "secret", "generic", fmt.Sprintf("s-%d", i), "--from-literal=a=b")
	}
	for i := range 10 {
		c.Kubectl(t, "delete", "secret", fmt.Sprintf("s-%d", i))
	}
	f, err := os.Open(filepath.Join(c.EtcdDir, "member/snap/db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		d, err := Read(context.Background(), f, "/registry")
		if err == nil && d.Secrets == 20 && len(d.Marks) == 1 && d.Marks[""] == 0 {
			t.Log(d.Marks)
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("%+v %v", d, err)
		}
	}
}
