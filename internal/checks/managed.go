package checks

import (
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// judgeManaged records what is wrong with a control plane that a provider runs: at
// the Namespace kube-system, which stands for the cluster, or at the first node where
// only nodes were looked at.
func judgeManaged(r *check.Run, problems ...check.Problem) {
	if r.Namespace(kubeSystem) == nil && r.Cluster == nil && len(r.Hosts) > 0 {
		r.Judge(r.Hosts[0].Ref, problems)
		return
	}
	judgeCluster(r, problems...)
}

// managed is one setting that providers leave to their users.
type managed struct {
	setting func(*evidence.CloudConfig) *evidence.CloudBool
	good    bool
	// told are the providers whose description tells, elsewhere what does of others.
	told      []string
	elsewhere map[string]string
	// duty is set when a provider without such a setting sees to it itself.
	duty            bool
	question, fault string
}

// managedSetting judges a setting. Where the description was not given, the command
// that prints it is named.
func managedSetting(of managed) func(*check.Run) {
	return func(r *check.Run) {
		m := r.Managed
		switch {
		case m == nil:
			return
		case of.elsewhere[m.Provider] != "":
			r.Unknown("", of.question+": "+of.elsewhere[m.Provider])
			return
		case !slices.Contains(of.told, m.Provider):
			if of.duty {
				r.Inapplicable("", providersDuty(m))
			}
			return
		case m.Config == nil:
			r.Unknown("", fmt.Sprintf("%s: needs what %s prints (--cloud-config FILE)", of.question, m.Command))
			return
		}
		s := of.setting(m.Config)
		switch {
		case s == nil:
			r.Unknown("", of.question+": "+m.Config.Place.File+" does not tell")
		case s.Value == of.good:
			judgeManaged(r)
		default:
			judgeManaged(r, check.Problem{
				Path: evidence.NewPath("cloud").Field(s.Field), Value: fmt.Sprint(s.Value), At: &s.Place,
				Message: fmt.Sprintf("%s cluster %q: %s (%s)", m.Provider, m.Config.Name, of.fault, s.Field),
			})
		}
	}
}
