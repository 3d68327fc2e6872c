package checktest

import (
	"encoding/json"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// provider is who runs the control plane, as the line that begins with "# managed: "
// says: JSON of evidence.Managed; nil without one.
func provider(t *testing.T, file, src string) *evidence.Managed {
	t.Helper()
	text, ok := header(src, "# managed: ")
	if !ok {
		return nil
	}
	m := &evidence.Managed{}
	if err := json.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: managed: %v", file, err)
	}
	return m
}
