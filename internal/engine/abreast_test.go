package engine_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/files"
)

// However many checks are asked at a time, the report is the same.
func TestSameReportOnAnyProcessors(t *testing.T) {
	var snap evidence.Snapshot
	if err := files.Read(t.Context(), &snap, files.Options{Paths: []string{"../../examples"}}); err != nil {
		t.Fatal(err)
	}
	o := engine.Options{Exceptions: engine.Exceptions{Annotations: true, Now: today}}
	on := func(processors int) *report.Report {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		return run(t, &snap, o, checks.All()...)
	}
	want := on(1)
	if len(want.Findings) == 0 {
		t.Fatal("no findings to compare")
	}
	for range 3 {
		if diff := cmp.Diff(want, on(8)); diff != "" {
			t.Fatal(diff)
		}
	}
}

// A check's panic is one of the caller, who can tell about it, and says where.
func TestPanic(t *testing.T) {
	defer func() {
		text, _ := recover().(string)
		if !strings.Contains(text, "broken check") || !strings.Contains(text, "abreast_test.go") {
			t.Errorf("recovered %q", text)
		}
	}()
	broken := *bad
	broken.Run = func(*check.Run) { panic("broken check") }
	run(t, &evidence.Snapshot{}, engine.Options{}, &broken, bad)
	t.Error("no panic")
}

// A run that is called off ends with the reason.
func TestCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	stop := *bad
	stop.Run = func(*check.Run) { asked++; cancel() }
	_, err := engine.Run(ctx, &evidence.Snapshot{}, []*check.Check{&stop}, engine.Options{})
	if !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("%v after %d checks", err, asked)
	}
	if _, err = engine.Run(ctx, &evidence.Snapshot{}, []*check.Check{&stop}, engine.Options{}); !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("%v after %d checks", err, asked)
	}
}
