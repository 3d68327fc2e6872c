package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ImageUser never judges: the user that an image starts as is in the image's
// configuration, which no manifest shows. It says how many images that concerns.
//
// Guide: non-root containers, Appendix A.
var ImageUser = &check.Check{
	ID:             "image-user",
	Title:          "image is built to run as root",
	Doc:            imageUserDoc,
	Recommendation: "POD-01",
	Severity:       guide.High,
	Remedy:         "create a user and a group in the Dockerfile and end it with USER uid:gid",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            imageUser,
}

const imageUserDoc = `An image says which user and group it starts as. Left out, that is root, although
few applications need it.

The answer is in the image's configuration (User, and the passwd and group files
that a name is looked up in). A manifest only names the image, so that from files
alone this row is never judged. What the pod forces on top of the image is
judged by run-as-non-root and root-group.

    FROM debian:12-slim
    RUN groupadd -g 10001 app && useradd -u 10001 -g 10001 app
    USER 10001:10001

Write the user as numbers: the kubelet cannot tell whether a name is root.
`

func imageUser(r *check.Run) {
	images := map[string]bool{}
	for _, w := range r.Workloads {
		for c := range w.Containers() {
			if c.Image != "" {
				images[c.Image] = true
			}
		}
	}
	if len(images) > 0 {
		r.Unknown("", fmt.Sprintf("which user the images start as, %d in all: only their configuration shows it (--image)", len(images)))
	}
}
