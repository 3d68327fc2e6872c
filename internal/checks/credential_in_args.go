package checks

import (
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/credential"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CredentialInArgs reports passwords and tokens on command lines.
//
// Guide: Secrets. Credentials do not belong into configuration files.
var CredentialInArgs = &check.Check{
	ID:             "credential-in-args",
	Title:          "command line holds a credential",
	Doc:            credentialInArgsDoc,
	Recommendation: "SEC-01",
	Severity:       guide.Critical,
	Remedy:         credentialRemedy,
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            check.Containers(credentialInArgs),
}

const credentialInArgsDoc = `A command line is read by whoever may read the manifest, and on the node by every
process that can list processes.

The command and the arguments of every container are read as one command line:
--password=x, --password x, NAME=x, the short flags of well-known programs such as
mysql -px, URLs with a password, and the text of sh -c. References such as
$(DB_PASSWORD) pass. A form that only credentials have is critical, a value that
only its name tells is medium or low. The value is never shown.

    command: [sh, -c, 'exec worker --password-file=/run/secrets/database/password']

A program that reads the credential from a file keeps it off the command line.
`

func credentialInArgs(_ *check.Scan, _ *evidence.Workload, c evidence.Container) (problems []check.Problem) {
	line := c.Args
	if len(c.Command) > 0 {
		line = slices.Concat(c.Command, c.Args)
	}
	found := credential.FindArgs(line)
	for len(found) > 0 {
		arg := found[0].Arg
		var here []credential.Match
		for len(found) > 0 && found[0].Arg == arg {
			here, found = append(here, found[0].Match), found[1:]
		}
		field, i := "command", arg
		if arg >= len(c.Command) {
			field, i = "args", arg-len(c.Command)
		}
		where := fmt.Sprintf("container %q: %s[%d]", c.Name, field, i)
		if p, bad := credentialProblem(c.Path().Field(field).Index(i, ""), where, here); bad {
			problems = append(problems, p)
		}
	}
	return problems
}
