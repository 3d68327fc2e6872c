package cilium_test

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cilium"
)

// stale is the one example with a field that Cilium no longer has.
const stale = "auth/auth.yaml"

// TestExamples reads the policies that Cilium's own sources show their users: those
// that Cilium takes, Gabion takes, and knows all of their fields.
func TestExamples(t *testing.T) {
	configure()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium").Output()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(out)), "examples"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, doc := range strings.Split(string(data), "\n---") {
			var o ciliumv2.CiliumNetworkPolicy
			text, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil || json.Unmarshal(text, &o) != nil || !strings.HasSuffix(o.Kind, "NetworkPolicy") || !strings.HasPrefix(o.APIVersion, "cilium.io/") {
				continue
			}
			if o.Kind == "CiliumNetworkPolicy" && o.Namespace == "" {
				o.Namespace = "default"
			}
			read++
			example(t, file, text, &o)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d examples", read)
	if read < 50 {
		t.Errorf("%d examples are read", read)
	}
}

func example(t *testing.T, file string, text []byte, o *ciliumv2.CiliumNetworkPolicy) {
	ref := &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
	policies, invalid := cilium.Read(&evidence.Snapshot{Custom: []*evidence.Custom{{Ref: ref, JSON: text}}})
	if _, err := o.Parse(slog.New(slog.DiscardHandler), clusterName); (err != nil) != (len(invalid) > 0) {
		t.Errorf("%s: %s: Cilium says %v, Gabion %v", file, o.Name, err, invalid)
	}
	for _, p := range policies {
		if said, _ := json.Marshal(p); strings.Contains(string(said), "unknown field") != strings.HasSuffix(filepath.ToSlash(file), stale) {
			t.Errorf("%s: %s has a field that is not known, or has none that is: %s", file, o.Name, said)
		}
	}
}
