package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// That a role does not exist is said only where all roles were read.
func TestLostRole(t *testing.T) {
	for _, c := range []struct{ fault, want string }{
		{"", "which is not there: it grants nothing"},
		{"may not list clusterroles", "which was not read: what it grants is not counted"},
	} {
		file := write(t, c.fault)
		for _, args := range [][]string{{"can", "jane", "get", "pods"}, {"who-can", "get", "pods"}} {
			_, errs, _ := run(t, append(append([]string{"rbac"}, args...), "--snapshot", file)...)
			if !strings.Contains(errs, "ClusterRoleBinding a leads to ClusterRole gone, "+c.want) {
				t.Errorf("%v, %q: %s", args, c.fault, errs)
			}
		}
	}
}

// write writes the snapshot of a cluster in which jane is bound to a role that is not
// among those that were read.
func write(t *testing.T, fault string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "a.snap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	about := &evidence.Cluster{Name: "a", Version: "v1.36.3", Lists: []evidence.Listing{{Resource: "clusterroles.rbac.authorization.k8s.io", Error: fault}}}
	w := snapshot.NewWriter(f, "v0.1.0", time.Now())
	to, err := w.Cluster(about)
	if err != nil {
		t.Fatal(err)
	}
	if fault != "" {
		to.Gap(evidence.Gap{Fact: evidence.RBAC, Reason: fault})
	}
	err = to.Add(cluster.Object{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding", Typed: &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "gone"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "jane"}},
	}})
	for _, err := range []error{err, to.Finish(), w.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return file
}
