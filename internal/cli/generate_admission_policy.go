package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate/admissionpolicy"
	"github.com/gabion-k8s/gabion/internal/report"
)

type admissionPolicyOptions struct {
	admissionpolicy.Options
	version, config string
	quiet           bool
}

func newAdmissionPolicy(env Env) *cobra.Command {
	var o admissionPolicyOptions
	cmd := &cobra.Command{
		Use:   "admission-policy",
		Short: "Admission policies: what the Pod Security levels leave open (ENF-02)",
		Long: `Print ValidatingAdmissionPolicies with their bindings, one for each rule that the levels of
Pod Security Admission have no word for: a read-only root file system, groups, the token of
the ServiceAccount, AppArmor and SELinux, registries and digests of images, requests and
limits, user namespaces. They judge pods and the templates of workloads as the rules of
gabion scan do.

The bindings warn and audit; with --deny they refuse. Comments say the order to proceed,
which namespaces are left alone, and what each policy cannot see. Nothing is changed.

The trusted registries are those of --registry, else the setting images.trusted; without any
there is no policy for that rule. The namespaces of the setting namespaces.system are left
alone, too.

With --kyverno the same expressions are written as ValidatingPolicies for Kyverno (1.17 or
newer).`,
		Example: `  gabion generate admission-policy --registry registry.example.com/team > policies.yaml
  gabion generate admission-policy --rule read-only-root-filesystem --rule image-not-pinned --deny
  gabion generate admission-policy --kyverno --exclude-namespace monitoring`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return runAdmissionPolicy(env, &o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.Rules, "rule", nil, "rule to write a policy for, repeatable (default all that there is one for)")
	f.StringSliceVar(&o.Registries, "registry", nil, "registry that images may come from, with the beginning of a path if need be; repeatable (default images.trusted of the configuration)")
	f.BoolVar(&o.Deny, "deny", false, "refuse, instead of warning and auditing: the last step")
	f.StringSliceVar(&o.Exclude, "exclude-namespace", nil, "namespace that is left alone besides kube-system, repeatable")
	f.BoolVar(&o.Kyverno, "kyverno", false, "write ValidatingPolicies for Kyverno")
	versionFlag(f, &o.version)
	f.StringVar(&o.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing on standard error")
	_ = cmd.RegisterFlagCompletionFunc("rule", cobra.FixedCompletions(admissionpolicy.Rules(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runAdmissionPolicy(env Env, o *admissionPolicyOptions) error {
	c, err := loadConfig(o.config, env.Dir)
	if err != nil {
		return usageError{err}
	}
	if o.version == "" {
		o.version = c.KubernetesVersion
	}
	if o.Version, err = versionOf(o.version); err != nil {
		return err
	}
	if newest := evidence.Newest(); o.Version.AtLeast(newest.Minor + 1) {
		return usagef("--kubernetes-version %s: the newest that is known is %s", o.Version, newest)
	}
	for _, rule := range o.Rules {
		if known := admissionpolicy.Rules(); !slices.Contains(known, rule) {
			return usagef("--rule %q: there is no policy for it%s", rule, didYouMean(rule, known))
		}
	}
	if len(o.Registries) == 0 {
		o.Registries = c.Images.Trusted
	}
	o.Exclude = slices.Concat(c.Namespaces.System, o.Exclude)
	r, err := admissionpolicy.Generate(o.Options)
	if err != nil {
		return usageError{err}
	}
	if _, err := io.WriteString(env.Stdout, r.Text); err != nil {
		return err
	}
	for _, left := range r.Left {
		if !o.quiet {
			fmt.Fprintf(env.Stderr, "no policy for %s\n", report.Printable(left))
		}
	}
	return nil
}
