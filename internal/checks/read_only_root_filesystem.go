package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ReadOnlyRootFilesystem reports containers that can change their own image.
//
// Guide: immutable container file systems, Table I readOnlyRootFilesystem. No
// Pod Security Standard asks for it.
var ReadOnlyRootFilesystem = &check.Check{
	ID:             "read-only-root-filesystem",
	Title:          "root file system can be written",
	Doc:            readOnlyRootFilesystemDoc,
	Recommendation: "FS-01",
	Severity:       guide.Medium,
	Remedy:         "set readOnlyRootFilesystem to true and mount an emptyDir wherever the application writes",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(linuxPods, readOnlyRootFilesystem),
}

const readOnlyRootFilesystemDoc = `An intruder in a container writes: a downloaded tool, a changed script, a web
shell. With a read-only root file system there is nowhere to put it but the few
volumes that the application needs.

readOnlyRootFilesystem of every container is judged, init and ephemeral ones too.
Left out it is false, and there is none at pod level. Windows containers do not
support it.

    containers:
      - name: web
        securityContext:
          readOnlyRootFilesystem: true
        volumeMounts:
          - {name: tmp, mountPath: /tmp}
    volumes:
      - name: tmp
        emptyDir: {sizeLimit: 64Mi}

Find out first where the application writes (/tmp, caches, pid files): without
volumes there it stops.
`

func readOnlyRootFilesystem(_ *check.Scan, _ *evidence.Workload, c evidence.Container) []check.Problem {
	own := ownContext(c)
	if is(own.ReadOnlyRootFilesystem, true) {
		return nil
	}
	at := ownField(c, "readOnlyRootFilesystem")
	p := check.Problem{
		Path:    at,
		Value:   written(own.ReadOnlyRootFilesystem),
		Message: fmt.Sprintf("container %q can write to its root file system: readOnlyRootFilesystem is not set", c.Name),
		Fix:     &check.Fix{Path: at, Value: "true", Breaks: "an application that writes anywhere but in its volumes"},
	}
	if p.Value != "" {
		p.Message = fmt.Sprintf("container %q can write to its root file system: readOnlyRootFilesystem is false", c.Name)
	}
	return []check.Problem{p}
}
