package cli

import (
	"runtime/debug"
	"testing"
)

// What the user sets is left alone, and what a scan sets is set back.
func TestCollectRarely(t *testing.T) {
	settings := func() (percent int, limit int64) {
		percent = debug.SetGCPercent(100)
		debug.SetGCPercent(percent)
		return percent, debug.SetMemoryLimit(-1)
	}
	percent, limit := settings()
	for _, test := range []struct {
		name    string
		getenv  map[string]string
		percent int
		limit   int64
	}{
		{"nothing set", nil, gcPercent, plentyForFiles},
		{"GOGC", map[string]string{"GOGC": "100"}, percent, limit},
		{"GOMEMLIMIT", map[string]string{"GOMEMLIMIT": "1GiB"}, gcPercent, limit},
	} {
		stop := collectRarely(Env{Getenv: func(name string) string { return test.getenv[name] }}, plentyForFiles)
		if p, l := settings(); p != test.percent || l != test.limit {
			t.Errorf("%s: %d percent, limit %d; want %d, %d", test.name, p, l, test.percent, test.limit)
		}
		stop()
		if p, l := settings(); p != percent || l != limit {
			t.Errorf("%s: left at %d percent, limit %d", test.name, p, l)
		}
	}
}
