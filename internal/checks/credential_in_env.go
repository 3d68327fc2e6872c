package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/credential"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CredentialInEnv reports passwords and tokens written as environment values.
//
// Guide: Secrets. Credentials do not belong into configuration files.
var CredentialInEnv = &check.Check{
	ID:             "credential-in-env",
	Title:          "environment variable holds a credential",
	Doc:            credentialInEnvDoc,
	Recommendation: "SEC-01",
	Severity:       guide.Critical,
	Remedy:         credentialRemedy,
	Needs:          []evidence.Fact{evidence.Workloads},
	Leaves:         check.Rest{What: "whether layers of the images hold credentials", To: []guide.Evidence{guide.Image}},
	Run:            check.Containers(credentialInEnv),
}

const credentialInEnvDoc = `A value in a manifest is read by whoever may read the file, its history, the pod or
the deployment: many more than need it.

The literal value of every environment variable of every container is judged by the
known forms of tokens, keys and URLs with a password, and by the name of the
variable. A form that only credentials have is critical; a name that says so, with
a value that could be one, is medium; where the value may as well be a plain word
it is low. Variables with valueFrom pass, as do references such as $(DB_PASSWORD).
The value is never shown, only its kind and the first digits of its SHA-256, by
which two places with the same credential are known; a weak password can be
guessed from them.

    env:
      - name: DATABASE_PASSWORD
        valueFrom:
          secretKeyRef: {name: database, key: password}

Layers of images hold credentials too. No manifest shows them, so that files alone
never prove this row.
`

func credentialInEnv(_ *check.Scan, _ *evidence.Workload, c evidence.Container) (problems []check.Problem) {
	for i := range c.Env {
		env := &c.Env[i]
		if env.Value == "" {
			continue
		}
		found := credential.Find(env.Name, env.Value)
		if len(found) == 0 {
			continue
		}
		path := c.Path().Field("env").Index(i, env.Name).Field("value")
		where := fmt.Sprintf("container %q: env %q", c.Name, env.Name)
		if p, bad := credentialProblem(path, where, found); bad {
			problems = append(problems, p)
		}
	}
	return problems
}
