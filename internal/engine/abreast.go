package engine

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// abreast calls work for every i below n, on all processors, until the context ends;
// worker is a number below workers() that no two calls have at the same time. A panic
// in work becomes one of the caller, which can recover from it.
func abreast(ctx context.Context, n int, work func(worker, i int)) error {
	var (
		running sync.WaitGroup
		next    atomic.Int64
		fault   atomic.Pointer[string]
	)
	for worker := range min(workers(), n) {
		running.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					text := fmt.Sprintf("%v\n%s", r, debug.Stack())
					fault.Store(&text)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				work(worker, i)
			}
		})
	}
	running.Wait()
	if text := fault.Load(); text != nil {
		panic(*text)
	}
	return ctx.Err()
}

func workers() int { return runtime.GOMAXPROCS(0) }
