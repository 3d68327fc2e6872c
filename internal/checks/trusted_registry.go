package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// TrustedRegistry reports images from outside the registries that the user trusts.
//
// Guide: building secure container images. Which registries are trusted only the
// user can say; without a list nothing is judged.
var TrustedRegistry = &check.Check{
	ID:             "trusted-registry",
	Title:          "image from a registry that is not trusted",
	Doc:            trustedRegistryDoc,
	Recommendation: "IMG-01",
	Severity:       guide.High,
	Remedy:         "run the image from one of the trusted registries, or add its registry to the list",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            trustedRegistry,
}

const trustedRegistryDoc = `Whoever can replace an image runs code in the cluster, so the guide asks to build
on and run images from trusted repositories only. Which ones those are is for
you to say, in the setting images.trusted; without it the row is not
evaluated.

The image of every container and of every image volume is judged. An entry is a
registry, with its port where it has one, or a registry and the beginning of a
path: registry.example.com/team trusts registry.example.com/team/web but not
registry.example.com/teams. An image without a registry comes from docker.io, and
without a path from docker.io/library. Placeholders that something fills in
later are not judged.

    containers:
      - name: web
        image: registry.example.com/team/web:1.4.2

An admission policy with the same list keeps others out for good.
`

func trustedRegistry(r *check.Run) {
	if len(r.Settings.TrustedRegistries) == 0 {
		r.Unknown("", "which registries are trusted: none are configured (images.trusted in .gabion.yaml)")
		return
	}
	trusted := make([]string, len(r.Settings.TrustedRegistries))
	for i, entry := range r.Settings.TrustedRegistries {
		trusted[i] = registryPrefix(entry)
	}
	images(func(ref imageReference) (check.Problem, bool) {
		full := ref.registry + "/" + ref.repository
		for _, prefix := range trusted {
			if within(full, prefix) {
				return check.Problem{}, false
			}
		}
		return check.Problem{Message: fmt.Sprintf("uses an image from %s, which is not trusted", ref.registry)}, true
	})(r)
}

// registryPrefix reads an entry of the user's list as an image is read: a path
// without a registry is one of Docker Hub.
func registryPrefix(entry string) string {
	entry = strings.TrimSuffix(strings.TrimPrefix(entry, "https://"), "/")
	first, _, _ := strings.Cut(entry, "/")
	switch {
	case first == "index.docker.io":
		return "docker.io" + strings.TrimPrefix(entry, first)
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return entry
	}
	return "docker.io/" + entry
}
