package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SeveralLimitRanges reports namespaces with more than one LimitRange: the guide
// says that only one can be, the API accepts several (guide: Resource policies).
var SeveralLimitRanges = &check.Check{
	ID:             "several-limit-ranges",
	Title:          "namespace has more than one LimitRange",
	Recommendation: "RES-01",
	Severity:       guide.Low,
	Remedy:         "merge the LimitRanges of the namespace into one",
	Needs:          []evidence.Fact{evidence.LimitRanges},
	Doc:            severalLimitRangesDoc,
	Run:            severalLimitRanges,
}

const severalLimitRangesDoc = `The guide says that a namespace can have only one LimitRange. The API accepts
several. All their bounds apply, but which of their defaults a container gets is
not defined, so the same manifest may get other limits tomorrow.

Looked at are the LimitRanges of each namespace; the second and later ones are
reported.

    # one object with one entry for each type
    spec:
      limits:
        - type: Container
          default: {cpu: 500m, memory: 512Mi}
        - type: PersistentVolumeClaim
          max: {storage: 50Gi}
`

func severalLimitRanges(r *check.Run) {
	first := make(map[string]string, len(r.LimitRanges))
	for _, o := range r.LimitRanges {
		other, second := first[o.Namespace]
		if !second || other == o.Name {
			first[o.Namespace] = o.Name
			r.Judge(o.Ref, nil)
			continue
		}
		r.Judge(o.Ref, []check.Problem{{
			Path:           evidence.NewPath("metadata", "name"),
			Value:          o.Name,
			Message:        fmt.Sprintf("namespace %q has LimitRange %q beside %q: which defaults apply is not defined", o.Namespace, o.Name, other),
			Severity:       guide.Low,
			SeverityReason: "all bounds apply, only the defaults are uncertain",
		}})
	}
}
