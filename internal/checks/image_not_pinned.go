package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ImageNotPinned reports images whose bytes the registry may exchange.
//
// Guide: building secure container images. Only a digest says which image runs.
var ImageNotPinned = &check.Check{
	ID:             "image-not-pinned",
	Title:          "image is not pinned by digest",
	Doc:            imageNotPinnedDoc,
	Recommendation: "IMG-01",
	Severity:       guide.Medium,
	Remedy:         "append the digest of the image: name:tag@sha256:…",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            images(imageNotPinned),
}

const imageNotPinnedDoc = `A tag is a name that can be moved: the image that was tested and the one that runs
tomorrow may differ, by mistake or because someone took over the registry. A
digest names the bytes.

The image of every container and of every image volume is judged. Without a tag,
or with latest, the finding is of medium severity, since that tag is meant to
move; with another tag it is low; with a digest there is none. The colon of a
registry's port is no tag. Placeholders that something fills in later are not
judged.

    containers:
      - name: web
        image: registry.example.com/team/web:1.4.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

An update bot keeps the digests current.
`

func imageNotPinned(ref imageReference) (check.Problem, bool) {
	const reason = "it makes the image exchangeable, which matters once its registry is not to be trusted"
	switch {
	case ref.digest != "":
		return check.Problem{}, false
	case ref.tag == "":
		return check.Problem{
			Message:  "uses an image without a tag, which means latest",
			Severity: guide.Medium, SeverityReason: reason,
		}, true
	case ref.tag == "latest":
		return check.Problem{
			Message:  "uses the tag latest, which is meant to move",
			Severity: guide.Medium, SeverityReason: reason,
		}, true
	}
	return check.Problem{
		Message:  fmt.Sprintf("uses the tag %q without a digest", ref.tag),
		Severity: guide.Low, SeverityReason: reason + "; the tag names a version",
	}, true
}
