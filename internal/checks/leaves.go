package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// What several checks leave open, whatever the files say.
var (
	// bindingsElsewhere is for rows that count who has a right.
	bindingsElsewhere = check.Rest{What: "roles and bindings that are not among the files", To: []guide.Evidence{guide.Cluster}, Elsewhere: true}
	handshake         = check.Rest{What: "whether a TLS handshake succeeds", To: []guide.Evidence{guide.Probe}}
	attempt           = check.Rest{What: "whether the network holds the pods to the policies", To: []guide.Evidence{guide.Probe}}
	inForce           = check.Rest{What: "whether the policies are in force in the cluster, and who is exempted", To: []guide.Evidence{guide.Cluster}, Elsewhere: true}
)
