//go:build cluster

package generate_test

import (
	"net/http"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// The API server answers nobody but on the health paths, in both versions of the
// configuration that it knows.
func TestAuthentication(t *testing.T) {
	servers := map[string]string{}
	var c *cluster.Cluster
	for _, o := range []generate.Authentication{
		{Version: evidence.Version{Major: 1, Minor: 34}},
		{Version: evidence.Version{Major: 1, Minor: 32}, Issuer: "https://login.example.org/realm", ClientID: "kubernetes"},
	} {
		text, err := generate.AuthenticationConfig(o)
		if err != nil {
			t.Fatal(err)
		}
		flag := "--authentication-config=" + writeFile(t, t.TempDir()+"/authentication.yaml", text)
		if c == nil {
			c = cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true, APIServer: []string{flag}})
			servers["v1"] = c.URL
			continue
		}
		servers["v1beta1 with jwt"] = anotherServer(t, c, flag)
	}
	for name, url := range servers {
		for path, want := range map[string]int{
			"/livez": 200, "/readyz": 200, "/healthz": 200,
			"/": 401, "/api": 401, "/apis": 401, "/version": 401, "/openapi/v2": 401, "/livez/ping": 401, "/metrics": 401,
			"/api/v1/namespaces/kube-public/configmaps/cluster-info": 401,
		} {
			code, err := anonymous(c.CA, url+path)
			if err != nil || code != want {
				t.Errorf("%s: %s: status %d, want %d; %v", name, path, code, want, err)
			}
		}
	}
	c.Kubectl(t, "get", "namespaces") // those who say who they are come in as before
	if code, err := anonymous(c.CA, c.URL+"/api"); err != nil || code != http.StatusUnauthorized {
		t.Error(code, err)
	}
}
