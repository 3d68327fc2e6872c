package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EmptyDirSizeLimit reports scratch volumes that can fill the node.
//
// Guide: immutable container file systems, Appendix B. The kubelet evicts a pod
// whose emptyDir exceeds its limit, and takes a limit of 0 for none.
var EmptyDirSizeLimit = &check.Check{
	ID:             "empty-dir-size-limit",
	Title:          "emptyDir without a size limit",
	Doc:            emptyDirSizeLimitDoc,
	Recommendation: "FS-02",
	Severity:       guide.Low,
	Remedy:         "give the emptyDir a sizeLimit",
	Needs:          []evidence.Fact{evidence.Workloads},
	Leaves:         check.Rest{What: "whether every directory that the images write to is a volume", To: []guide.Evidence{guide.Image}},
	Run:            emptyDirSizeLimits,
}

const emptyDirSizeLimitDoc = `The directories that an application writes should be volumes, so that the rest of
its file system can be read-only. An emptyDir is the usual one. Without a size
limit whoever writes to it can fill the disk of the node, or with medium: Memory
its memory, and take the other pods down.

sizeLimit of every emptyDir is judged; left out or 0 it is unlimited. A volume
without any kind is an emptyDir too. Which directories the application writes,
and whether each of them is a volume, is in its image and not in its manifest,
so that files alone never prove this row.

    volumes:
      - name: tmp
        emptyDir:
          sizeLimit: 64Mi
`

func emptyDirSizeLimits(r *check.Run) {
	for _, w := range r.Workloads {
		settle(r, w, emptyDirSizeLimit(w))
	}
}

func emptyDirSizeLimit(w *evidence.Workload) (problems []check.Problem) {
	for i := range w.Pod.Volumes {
		v := &w.Pod.Volumes[i]
		dir := v.EmptyDir
		if v.VolumeSource == (corev1.VolumeSource{}) {
			dir = &corev1.EmptyDirVolumeSource{}
		}
		if dir == nil || dir.SizeLimit != nil && dir.SizeLimit.Sign() > 0 {
			continue
		}
		p := check.Problem{
			Path:           w.PodPath.Field("volumes").Index(i, v.Name).Field("emptyDir", "sizeLimit"),
			Message:        fmt.Sprintf("emptyDir %q has no size limit", v.Name),
			Severity:       guide.Low,
			SeverityReason: "it guards the node's disk; the application is no easier to change for it",
		}
		if dir.SizeLimit != nil {
			p.Value = dir.SizeLimit.String()
		}
		problems = append(problems, p)
	}
	return problems
}
