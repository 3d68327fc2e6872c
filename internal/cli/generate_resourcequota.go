package cli

import (
	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/generate/limits"
)

func newResourceQuota(env Env) *cobra.Command {
	var o limitsOptions
	cmd := &cobra.Command{
		Use:   "resourcequota [PATH...]",
		Short: "ResourceQuotas: what each namespace may use in all, with rollouts and headroom (RES-02)",
		Long: `Print a ResourceQuota for each namespace: requests and limits of cpu and memory, and how many
pods, Services, load balancers, claims, ConfigMaps and Secrets there may be. It holds what
runs or is written there: the replicas, or the most that an autoscaler makes of them; what a
rollout adds (maxSurge); Jobs and CronJobs; and the headroom. Comments say of each workload
what was counted, and name containers without requests or limits: a quota makes the API
server refuse these, unless a LimitRange gives them defaults. So the sums count on the
LimitRange that gabion generate limitrange prints of the same input: lay it down first.

A quota that is there keeps its name, and what else it bounds. Secrets are not bounded for
a live cluster: not all of them are asked for. The namespaces of Kubernetes itself are left
out. Nothing is changed.

Exit codes: 0 printed; 2 wrong usage; 3 printed, and something that was asked for could
not be read.`,
		Example: `  gabion generate resourcequota --cluster > quotas.yaml
  gabion generate resourcequota --cluster -n shop --headroom 100
  gabion generate resourcequota deploy/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd, args); err != nil {
				return err
			}
			return o.run(cmd.Context(), env, (*limits.Result).ResourceQuotas)
		},
	}
	o.flags(cmd)
	return cmd
}
