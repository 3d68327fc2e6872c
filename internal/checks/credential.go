package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/credential"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

const credentialRemedy = "replace the credential, for the old one counts as lost, and refer to the new one in a Secret that no file holds"

// credentialProblem is the problem of a field whose text holds credentials; false
// when there are none. A field is one problem, named for the surest of them. Of
// a credential only its kind and hash are ever told. The message begins with
// where, and goes on "holds a credential: …".
func credentialProblem(path evidence.Path, where string, found []credential.Match) (check.Problem, bool) {
	if len(found) == 0 {
		return check.Problem{}, false
	}
	surest := found[0]
	for _, m := range found[1:] {
		if m.Confidence > surest.Confidence {
			surest = m
		}
	}
	p := check.Problem{
		Path:      path,
		Value:     fmt.Sprintf("%s (sha256:%s)", surest.Kind, surest.Hash),
		Message:   fmt.Sprintf("%s holds a credential: %s (sha256:%s)", where, surest.Title, surest.Hash),
		Sensitive: true,
	}
	if more := len(found) - 1; more > 0 {
		p.Message += fmt.Sprintf(", and %d more", more)
	}
	switch surest.Confidence {
	case credential.Medium:
		p.Severity, p.SeverityReason = guide.High, "the name says that it is a credential; the value has no form that only credentials have"
	case credential.Low:
		p.Severity, p.SeverityReason = guide.Low, "only the name says that it is a credential; the value may as well be a word"
	}
	return p, true
}
