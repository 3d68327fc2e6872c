//go:build cluster

package generate_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// The API server records what the policy means to record, and no secret.
func TestAuditPolicy(t *testing.T) {
	// The usual audit log marks its reads; this policy leaves that stage out.
	c := cluster.Start(t, cluster.Options{NoScheduler: true, APIServer: []string{"--audit-policy-file=" + writeFile(t, t.TempDir()+"/p.yaml", generate.AuditPolicy())}})
	const value, setting = "hunter2-in-a-secret", "hunter2-in-a-map"
	for _, command := range []string{
		"create secret generic s --from-literal=password=" + value,
		"annotate secret s a=b", "get secret s -o yaml", "get secrets -o yaml",
		"create configmap m --from-literal=password=" + setting, "get configmap m -o yaml",
		"create serviceaccount robot",
		"run p --image=example.org/p:1 --restart=Never", "label pod p x=y", "get pod p", "delete pod p --wait=false --force",
		"create lease-placeholder",
		"auth can-i list pods",
		"delete secret s", "delete configmaps --all",
	} {
		if command == "create lease-placeholder" {
			lease := writeFile(t, t.TempDir()+"/lease.yaml", "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l, namespace: default}\n")
			c.Kubectl(t, "create", "-f", lease)
			continue
		}
		c.Kubectl(t, strings.Fields(command)...)
	}
	token := strings.TrimSpace(c.Kubectl(t, "create", "token", "robot"))
	review := writeFile(t, t.TempDir()+"/review.json", fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":%q}}`, token))
	c.Kubectl(t, "create", "-f", review)
	if code, err := anonymous(c.CA, c.URL+"/api/v1/secrets"); err != nil || code != 403 {
		t.Fatal(code, err)
	}

	want := map[string]auditv1.Level{ // by verb, resource and name
		"create secrets s": auditv1.LevelMetadata, "patch secrets s": auditv1.LevelMetadata, "get secrets s": auditv1.LevelMetadata,
		"list secrets ": auditv1.LevelMetadata, "delete secrets s": auditv1.LevelMetadata,
		"create configmaps m": auditv1.LevelMetadata, "get configmaps m": auditv1.LevelMetadata,
		"create serviceaccounts/token robot": auditv1.LevelMetadata, "create tokenreviews ": auditv1.LevelMetadata,
		"create leases l":              auditv1.LevelMetadata,
		"create serviceaccounts robot": auditv1.LevelRequestResponse,
		"create pods p":                auditv1.LevelRequestResponse, "patch pods p": auditv1.LevelRequestResponse, "delete pods p": auditv1.LevelRequestResponse,
		"create selfsubjectaccessreviews ":  auditv1.LevelRequestResponse,
		"get pods p":                        auditv1.LevelMetadata,
		"list secrets  by system:anonymous": auditv1.LevelMetadata,
	}
	var text []byte
	eventually(t, "the events", func() error {
		var err error
		if text, err = os.ReadFile(c.AuditFile); err != nil {
			return err
		}
		got := levels(t, text)
		for request, level := range want {
			if got[request] != level {
				return fmt.Errorf("%s: level %q, want %s", request, got[request], level)
			}
		}
		return nil
	})
	for _, hidden := range []string{value, setting, base64Of(value), token} {
		if bytes.Contains(text, []byte(hidden)) {
			t.Errorf("the log holds %q", hidden)
		}
	}
	if bytes.Contains(text, []byte(`"stage":"RequestReceived"`)) {
		t.Error("the log holds what the later stages repeat")
	}
}

// levels are those of the administrator's and of anonymous requests.
func levels(t *testing.T, log []byte) map[string]auditv1.Level {
	t.Helper()
	levels := map[string]auditv1.Level{}
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var e auditv1.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.ObjectRef == nil {
			continue // the last line may be half written
		}
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		request := e.Verb + " " + resource + " " + e.ObjectRef.Name
		switch e.User.Username {
		case "kubernetes-super-admin":
			levels[request] = e.Level
		case "system:anonymous":
			levels[request+" by system:anonymous"] = e.Level
		}
	}
	return levels
}
