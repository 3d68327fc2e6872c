package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An imageReference is an image field taken apart as container runtimes do it:
// [registry[:port]/]repository[:tag][@digest].
type imageReference struct {
	// registry is docker.io where the reference names none.
	registry string
	// repository is the path in the registry, with Docker Hub's library/ filled in.
	repository  string
	tag, digest string
}

// parseImage reads a reference. Templates, placeholders and anything else that a
// runtime would refuse are not references.
func parseImage(s string) (ref imageReference, ok bool) {
	name, digest, pinned := strings.Cut(s, "@")
	if pinned && !validDigest(digest) {
		return ref, false
	}
	ref.digest = digest
	if slash, colon := strings.LastIndexByte(name, '/'), strings.LastIndexByte(name, ':'); colon > slash {
		name, ref.tag = name[:colon], name[colon+1:]
		if !validTag(ref.tag) {
			return ref, false
		}
	}
	ref.registry, ref.repository = splitRegistry(name)
	return ref, validRegistry(ref.registry) && validRepository(ref.repository)
}

// splitRegistry tells the registry from the path: the first part is a registry
// when it could not be a directory of Docker Hub.
func splitRegistry(name string) (registry, repository string) {
	first, rest, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" && first == strings.ToLower(first) {
		first, rest = "docker.io", name
	}
	if first == "index.docker.io" {
		first = "docker.io"
	}
	if first == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return first, rest
}

func validDigest(s string) bool {
	algorithm, hex, ok := strings.Cut(s, ":")
	return ok && len(hex) >= 32 && only(hex, "0123456789abcdefABCDEF") &&
		algorithm != "" && only(algorithm, lowerCase+digits+"+._-")
}

func validTag(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '.' && s[0] != '-' && only(s, lowerCase+upperCase+digits+"_.-")
}

func validRegistry(s string) bool {
	return s != "" && only(s, lowerCase+upperCase+digits+".-:[]")
}

func validRepository(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || strings.IndexByte("._-", part[0]) >= 0 || !only(part, lowerCase+digits+"._-") {
			return false
		}
	}
	return true
}

const (
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
)

// only reports whether s holds nothing but the given characters.
func only(s, characters string) bool {
	return strings.Trim(s, characters) == ""
}

// images lifts a judgement about one image to all images that the pods of a scan
// run or mount. The judge's message follows the words container "web". An image
// that is a placeholder, or missing, is not judged.
func images(judge func(imageReference) (check.Problem, bool)) func(*check.Run) {
	return func(r *check.Run) {
		for _, w := range r.Workloads {
			judgeImages(r, w, judge)
		}
	}
}

func judgeImages(r *check.Run, w *evidence.Workload, judge func(imageReference) (check.Problem, bool)) {
	var problems []check.Problem
	whole := true
	look := func(image, what, name string) *check.Problem {
		ref, ok := parseImage(image)
		if !ok || image == injectedImage {
			whole = false
			if w.Kind == "Pod" || w.Running == 0 { // else its pods have what it became
				r.Unknown(w.Ref.String(), fmt.Sprintf("%s %q: %q is not the name of an image yet", what, name, image))
			}
			return nil
		}
		p, found := judge(ref)
		if !found {
			return nil
		}
		p.Value, p.Message = image, fmt.Sprintf("%s %q %s", what, name, p.Message)
		problems = append(problems, p)
		return &problems[len(problems)-1]
	}
	for c := range w.Containers() {
		if p := look(c.Image, "container", c.Name); p != nil {
			p.Path, p.Container = c.Path().Field("image"), c.Name
		}
	}
	for i := range w.Pod.Volumes {
		v := &w.Pod.Volumes[i]
		if v.Image == nil {
			continue
		}
		if p := look(v.Image.Reference, "volume", v.Name); p != nil {
			p.Path = w.PodPath.Field("volumes").Index(i, v.Name).Field("image", "reference")
		}
	}
	if whole || len(problems) > 0 {
		settle(r, w, problems)
	}
}

// injectedImage is the image of Istio's gateways until the injector replaces it.
const injectedImage = "auto"
