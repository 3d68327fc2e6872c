package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/server/admission"
)

type serveOptions struct {
	admission        string // address to listen on
	deny             string
	rules            []string
	recommendations  []string
	config           string
	exceptions       []string
	trustAnnotations bool
	kubeVersion      string
	exclude          []string

	print         bool
	name          string
	service       string
	url           string
	failurePolicy string
	timeout       int32
	manage        bool
	kubeconfig    string
	context       string

	certificateDir      string
	certificateLifetime time.Duration
	drain               time.Duration
}

func newServe(env Env) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --admission ADDRESS",
		Short: "Judge objects on their way into a cluster: an admission webhook",
		Long: `Answer API servers that ask whether an object may be stored. The rules are those of a
scan that one object is enough to decide; what takes more is not judged, and never a
reason to refuse. Findings of at least the severity of --deny refuse, all others are
warnings that kubectl prints. An update is judged by what it brings: an object that had
a fault before keeps it, and deletions always pass.

API servers learn of the webhook by a ValidatingWebhookConfiguration, which
--print-webhook-configuration prints. It leaves out kube-system, kube-public,
kube-node-lease, the namespace of the webhook itself and those of --exclude-namespace.

The certificate comes from --certificate-dir (tls.crt and tls.key, read again when they
change), or is made in memory and renewed: then --manage-webhook-configuration has to
keep caBundle of the webhook configuration, which takes get and patch on this one object.
What the webhook trusts next is put there before it is served with.

/livez and /readyz answer on the same address. Ready is: the certificate is valid, and
the webhook configuration, where it is managed, holds its authority.

Exit codes: 0 stopped by a signal, with every request answered; 2 wrong usage or
configuration; 4 it could not listen or stop.`,
		Example: `  gabion serve --print-webhook-configuration --manage-webhook-configuration | kubectl apply -f -
  gabion serve --admission :8443 --manage-webhook-configuration
  gabion serve --admission :8443 --certificate-dir /etc/gabion/tls --deny critical
  gabion serve --admission :8443 --certificate-dir /etc/gabion/tls --deny high --rule privileged-container,host-path`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServe(cmd.Context(), env, &o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.admission, "admission", "", "address to answer requests for admission on, HTTPS: :8443")
	f.StringVar(&o.deny, "deny", "none", "least severity that refuses an object: critical, high, medium, low, info, none")
	f.StringSliceVar(&o.rules, "rule", nil, "judge by this rule only, repeatable")
	f.StringSliceVar(&o.recommendations, "recommendation", nil, "judge by the rules of this recommendation only, repeatable")
	f.StringVar(&o.config, "config", "", "configuration file (default: the nearest .gabion.yaml from here up)")
	f.StringArrayVar(&o.exceptions, "exceptions", nil, "file of exceptions, repeatable")
	f.BoolVar(&o.trustAnnotations, "trust-annotations", false, "honour the exceptions that objects claim by annotation")
	f.StringVar(&o.kubeVersion, "kubernetes-version", "", "judge as this Kubernetes release, X.Y (default the newest known)")
	f.StringSliceVar(&o.exclude, "exclude-namespace", nil, "further namespace whose objects are not judged, repeatable")
	o.registrationFlags(f)
	f.StringVar(&o.certificateDir, "certificate-dir", "", "folder with tls.crt and tls.key, and ca.crt where caBundle is kept or printed")
	f.DurationVar(&o.certificateLifetime, "certificate-lifetime", 24*time.Hour, "how long a certificate made in memory lasts; it is renewed at half of that")
	f.DurationVar(&o.drain, "shutdown-delay", 5*time.Second, "how long requests are still taken after /readyz says no, when it is stopped")
	return cmd
}

// registrationFlags are about how API servers know of the webhook.
func (o *serveOptions) registrationFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.print, "print-webhook-configuration", false, "print the ValidatingWebhookConfiguration and end; with --manage-webhook-configuration also the rights that this takes")
	f.StringVar(&o.name, "webhook-configuration", "gabion-admission", "name of the ValidatingWebhookConfiguration")
	f.StringVar(&o.service, "service", "gabion-system/gabion-admission", "NAMESPACE/NAME of the Service that API servers call, on port 443")
	f.StringVar(&o.url, "admission-url", "", "URL that API servers call instead of the Service, ending in "+admission.Path)
	f.StringVar(&o.failurePolicy, "failure-policy", "Ignore", "what API servers do when nobody answers: Ignore or Fail")
	f.Int32Var(&o.timeout, "webhook-timeout", 3, "seconds that API servers wait for an answer, 2 to 5")
	f.BoolVar(&o.manage, "manage-webhook-configuration", false, "keep caBundle of the ValidatingWebhookConfiguration in the cluster")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file to reach the cluster by (default: KUBECONFIG, then ~/.kube/config, then the one this runs in)")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig to use")
}

func runServe(ctx context.Context, env Env, o *serveOptions) error {
	judge, webhook, err := o.prepare(env)
	if err != nil {
		return usageError{err}
	}
	switch {
	case o.print:
		return o.printConfiguration(env, judge, webhook)
	case o.admission == "":
		return usagef("nothing to serve: name an address for requests for admission, such as --admission :8443")
	case o.certificateDir == "" && !o.manage:
		return usagef("no certificate: name its folder with --certificate-dir, or have one made, of which the cluster is told by --manage-webhook-configuration")
	case o.certificateLifetime < time.Second:
		return usagef("--certificate-lifetime %s: want a second or more", o.certificateLifetime)
	case o.drain < 0:
		return usagef("--shutdown-delay %s: want no less than 0", o.drain)
	}
	defer collectRarely(env, plentyForFiles)()
	log := slog.New(slog.NewTextHandler(env.Stderr, nil))
	certificates := &admission.Certificates{Dir: o.certificateDir, Names: webhook.Hosts(), Lifetime: o.certificateLifetime, Log: log}
	if o.manage {
		if certificates.Registration, err = admission.Connect(o.kubeconfig, o.context, o.name); err != nil {
			return usageError{err}
		}
	}
	listener, err := net.Listen("tcp", o.admission)
	if err != nil {
		return err
	}
	server := admission.NewServer(judge, certificates, log)
	server.Drain = o.drain
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the last request is answered
	defer stop()
	go certificates.Keep(keeping)
	log.Info("listening", "address", listener.Addr().String())
	return server.Serve(ctx, listener)
}

// prepare reads everything that can be wrong before anything is served.
func (o *serveOptions) prepare(env Env) (*admission.Judge, admission.Webhook, error) {
	webhook, err := o.webhook()
	if err != nil {
		return nil, webhook, err
	}
	c, err := loadConfig(o.config, env.Dir)
	if err != nil {
		return nil, webhook, fmt.Errorf("configuration: %w", err)
	}
	options := admission.Options{TrustAnnotations: o.trustAnnotations, Namespaces: webhook.Namespaces(), Now: env.Now}
	if options.Settings, err = c.settings(o.kubeVersion); err != nil {
		return nil, webhook, err
	}
	if options.Exceptions, err = c.exceptions(o.exceptions); err != nil {
		return nil, webhook, err
	}
	if !strings.EqualFold(o.deny, "none") {
		if options.Deny, err = guide.ParseSeverity(o.deny); err != nil {
			return nil, webhook, fmt.Errorf("--deny: %w, or none", err)
		}
	}
	if options.Rules, err = o.chosen(); err != nil {
		return nil, webhook, err
	}
	return admission.NewJudge(options), webhook, nil
}

// chosen are the rules to judge by. One that cannot be asked is a mistake: its author
// would believe that it is.
func (o *serveOptions) chosen() ([]*check.Check, error) {
	all := admission.Rules()
	for _, id := range o.rules {
		if !slices.ContainsFunc(all, func(c *check.Check) bool { return c.ID == id }) {
			return nil, fmt.Errorf("--rule %q: no such rule, or none that one object is enough to decide", id)
		}
	}
	serves := func(c *check.Check, id string) bool { return strings.EqualFold(c.Recommendation, id) }
	for _, id := range o.recommendations {
		if !slices.ContainsFunc(all, func(c *check.Check) bool { return serves(c, id) }) {
			return nil, fmt.Errorf("--recommendation %q: no such row, or none that one object is enough to decide a part of", id)
		}
	}
	return slices.DeleteFunc(all, func(c *check.Check) bool {
		return len(o.rules) > 0 && !slices.Contains(o.rules, c.ID) ||
			len(o.recommendations) > 0 && !slices.ContainsFunc(o.recommendations, func(id string) bool { return serves(c, id) })
	}), nil
}

var nameInDNS = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// webhook is how API servers are told of it.
func (o *serveOptions) webhook() (admission.Webhook, error) {
	w := admission.Webhook{Name: o.name, URL: o.url, TimeoutSeconds: o.timeout, Exclude: o.exclude}
	namespace, name, ok := strings.Cut(o.service, "/")
	if !ok || !nameInDNS.MatchString(namespace) || !nameInDNS.MatchString(name) {
		return w, fmt.Errorf("--service %q: want NAMESPACE/NAME", o.service)
	}
	w.Service = admission.Service{Namespace: namespace, Name: name}
	for _, ns := range o.exclude {
		if !nameInDNS.MatchString(ns) {
			return w, fmt.Errorf("--exclude-namespace %q: want the name of a namespace", ns)
		}
	}
	if u, err := url.Parse(o.url); o.url != "" && (err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != admission.Path || u.RawQuery+u.Fragment != "" || u.User != nil) {
		return w, fmt.Errorf("--admission-url %q: want https://HOST[:PORT]%s", o.url, admission.Path)
	}
	switch o.failurePolicy {
	case "Fail":
		w.Fail = true
	case "Ignore":
	default:
		return w, fmt.Errorf("--failure-policy %q: want Ignore or Fail", o.failurePolicy)
	}
	if o.timeout < 2 || o.timeout > 5 {
		return w, fmt.Errorf("--webhook-timeout %d: want 2 to 5 seconds", o.timeout)
	}
	return w, nil
}

// printConfiguration prints what has API servers ask, and what managing that takes.
func (o *serveOptions) printConfiguration(env Env, judge *admission.Judge, w admission.Webhook) error {
	if o.certificateDir != "" {
		text, err := os.ReadFile(filepath.Join(o.certificateDir, "ca.crt"))
		if err != nil {
			return usagef("read the authority: %w", err)
		}
		w.CABundle = text
	}
	objects := []any{judge.Configuration(w)}
	if o.manage {
		role, binding := w.Rights(w.Service.Name)
		objects = append(objects, role, binding)
	}
	for i, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(env.Stdout, "---")
		}
		if _, err := env.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}
