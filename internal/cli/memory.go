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
	// These are the memory, in bytes, up to which that holds; a quarter of what is
	// kept may always be garbage. A cluster is mostly larger than what anybody has
	// in files.
	plentyForFiles    = 280 << 20
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

// beside is about what Go itself needs, in bytes, which counts for the limit.
const beside = 16 << 20

// raiseLimit keeps the limit at which Go collects whatever the percentage well
// above what the scan keeps, with the holes between that only objects of the same
// size fit into: a limit that is reached for good would have Go do nothing but
// collect.
func raiseLimit(plenty int64) (stop func()) {
	debug.SetMemoryLimit(plenty)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
		for tick := time.Tick(50 * time.Millisecond); ; {
			select {
			case <-done:
				return
			case <-tick:
				metrics.Read(m)
				kept, holes := int64(m[0].Value.Uint64()), int64(m[1].Value.Uint64())
				debug.SetMemoryLimit(max(plenty, kept/4*5+holes+beside))
			}
		}
	}()
	return func() { close(done); <-ended }
}
