package cli

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Decoding makes much garbage and keeps little. By default Go collects whenever
// there is as much garbage as what is kept, and spends a good part of a scan on it.
const (
	// gcPercent is how much garbage may gather, in percent of what is kept, while
	// memory is plenty.
	gcPercent = 500
	// These are the memory, in bytes, up to which that holds; half of what is
	// kept may always be garbage. A cluster is mostly larger than what anybody has
	// in files.
	plentyForFiles    = 340 << 20
	plentyForClusters = 600 << 20
)

// plenty is the memory for what is to be read.
func (s *sources) plenty() int64 {
	if s.cluster || len(s.snapshots) > 0 {
		return plentyForClusters
	}
	return plentyForFiles
}

// collectRarely tunes the garbage collector for a scan until stop is called. A
// user who sets GOGC knows better; one who sets GOMEMLIMIT has that limit.
func collectRarely(env Env, plenty int64) (stop func()) {
	if env.Getenv("GOGC") != "" {
		return func() {}
	}
	percent, limit := debug.SetGCPercent(gcPercent), debug.SetMemoryLimit(-1)
	stopRaising := func() {}
	if env.Getenv("GOMEMLIMIT") == "" {
		stopRaising = raiseLimit(plenty)
	}
	return func() {
		stopRaising()
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// raiseLimit keeps the limit at which Go collects whatever the percentage well
// above what the scan keeps: a limit that is reached for good would have Go do
// nothing but collect.
func raiseLimit(plenty int64) (stop func()) {
	debug.SetMemoryLimit(plenty)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for tick := time.Tick(50 * time.Millisecond); ; {
			select {
			case <-done:
				return
			case <-tick:
				metrics.Read(live)
				debug.SetMemoryLimit(max(plenty, int64(live[0].Value.Uint64())/2*3))
			}
		}
	}()
	return func() { close(done); <-ended }
}
