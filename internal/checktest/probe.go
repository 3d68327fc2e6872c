package checktest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// probes are what the lines that begin with "# probe: " say that attempts to connect
// showed, as JSON of evidence.Probed, at the time of the look.
func probes(t *testing.T, file, src string) (list []*evidence.Probed) {
	t.Helper()
	for line := range strings.Lines(src) {
		text, ok := strings.CutPrefix(line, "# probe: ")
		if !ok {
			continue
		}
		p := &evidence.Probed{At: LookedAt}
		if err := json.Unmarshal([]byte(text), p); err != nil {
			t.Fatalf("%s: probe: %v", file, err)
		}
		list = append(list, p)
	}
	return list
}
