package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/internal/report"
)

// nodeFolder is where the files for the API server go, unless said otherwise.
const nodeFolder = "/etc/kubernetes/gabion"

func newGenerate(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate KIND",
		Short: "Configuration for nodes, and guard rails for namespaces, that meet the guide",
		Long: `Print what enforces the guide: configuration for the nodes of a cluster (its API server,
kubelets and packet filter), and guard rails for what runs in it (Pod Security levels,
admission policies, network policies, LimitRanges and ResourceQuotas, or all that one
namespace needs). Each kind says in comments at its head what it is, which recommendations
it serves, and in which order to put it in place without an outage. Nothing is written and
nothing is changed: what is printed is for you to read, to keep and to lay down.

By itself it lists the kinds.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return listKinds(env.Stdout, cmd)
			}
			var kinds []string
			for _, c := range cmd.Commands() {
				kinds = append(kinds, c.Name())
			}
			return usagef("no kind %q%s\nKinds: %s", args[0], didYouMean(args[0], kinds), strings.Join(kinds, ", "))
		},
	}
	cmd.AddCommand(newAdmissionPolicy(env), newAPIServerFlags(env), newAuditPolicy(env), newAuthenticationConfig(env), newEncryptionConfig(env), newFirewall(env), newKubeletConfig(env), newLimitRange(env), newNamespace(env), newNetworkPolicy(env), newPodSecurity(env), newResourceQuota(env))
	return cmd
}

func listKinds(out io.Writer, cmd *cobra.Command) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, c := range cmd.Commands() {
		fmt.Fprintf(w, "%s\t%s\n", c.Name(), c.Short)
	}
	return w.Flush()
}

// versionFlag adds --kubernetes-version; the value is read by versionOf.
func versionFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "kubernetes-version", "", "release that it is for, X.Y (default the newest known)")
}

func versionOf(text string) (evidence.Version, error) {
	if text == "" {
		return evidence.Newest(), nil
	}
	v, err := evidence.ParseVersion(text)
	if err != nil {
		return v, usagef("--kubernetes-version: %w", err)
	}
	return v, nil
}

// pin reads --kubernetes-version where it is the release whose Pod Security Standards
// are pinned, into `to` when it was given. Charts are rendered for it.
func (s *sources) pin(text string, to *evidence.Version) error {
	v, err := versionOf(text)
	if err != nil {
		return err
	}
	if text != "" {
		if newest := evidence.Newest(); v.AtLeast(newest.Minor + 1) {
			return usagef("--kubernetes-version %s: the newest whose standards are known is %s", v, newest)
		}
		*to = v
	}
	if s.helm.KubeVersion == "" {
		s.helm.KubeVersion = "v" + v.String() + ".0"
	}
	return nil
}

// one reads the one cluster, or the files, that something is to be written for, and says
// what could not be read.
func (s *sources) one(ctx context.Context, env Env, what string) (*evidence.Snapshot, error) {
	if s.cluster && len(s.paths) > 0 {
		return nil, usagef("files and a cluster: %s are written for one at a time", what)
	}
	worlds, err := s.gather(ctx, env)
	switch {
	case err != nil:
		return nil, err
	case len(worlds) != 1:
		return nil, usagef("%d clusters, or a cluster and files: %s are written for one at a time", len(worlds), what)
	}
	for _, source := range worlds[0].Sources {
		for _, issue := range source.Errors {
			fmt.Fprintf(env.Stderr, "gabion: not read: %s\n", report.Printable(issue.String()))
		}
	}
	return worlds[0], nil
}

// wholeOf is exit code 3 where something that was asked for could not be read.
func wholeOf(world *evidence.Snapshot) error {
	for _, g := range world.Gaps {
		if !g.Declined {
			return exit(ExitIncomplete)
		}
	}
	for _, s := range world.Sources {
		if len(s.Errors) > 0 {
			return exit(ExitIncomplete)
		}
	}
	return nil
}

// printed writes what was generated, or says which option was wrong.
func printed(out io.Writer, text string, err error) error {
	if err != nil {
		return usageError{err}
	}
	_, err = io.WriteString(out, text)
	return err
}

func newEncryptionConfig(env Env) *cobra.Command {
	var o generate.Encryption
	var version string
	cmd := &cobra.Command{
		Use:   "encryption-config",
		Short: "EncryptionConfiguration: Secrets in etcd, and how to get there (SEC-03 to SEC-06)",
		Long: `Print an EncryptionConfiguration with a new random key, or with a KMS v2 plugin, and the
order of steps: for a new cluster, or with --migrate for one that runs.

The key is printed: redirect it into a file that nobody else can read.`,
		Example: `  (umask 077; gabion generate encryption-config --migrate > encryption.yaml)
  gabion generate encryption-config --kms-socket /run/kms/kms.sock`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			if o.Version, err = versionOf(version); err != nil {
				return err
			}
			if _, err := rand.Read(o.Key[:]); err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			o.Made = env.Now()
			text, err := generate.EncryptionConfig(o)
			return printed(env.Stdout, text, err)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.Migrate, "migrate", false, "for a cluster that runs: also read what is not encrypted yet")
	f.StringSliceVar(&o.Resources, "resources", []string{"secrets"}, "resources to encrypt, such as secrets,configmaps")
	f.StringVar(&o.KMSSocket, "kms-socket", "", "socket of a KMS v2 plugin on the control plane nodes, instead of a key in the file")
	versionFlag(f, &version)
	return cmd
}

func newAuthenticationConfig(env Env) *cobra.Command {
	var o generate.Authentication
	var version string
	cmd := &cobra.Command{
		Use:   "authentication-config",
		Short: "AuthenticationConfiguration: anonymous requests to the health paths alone (AUTHN-01, AUTHN-03)",
		Example: `  gabion generate authentication-config
  gabion generate authentication-config --oidc-issuer https://login.example.org --oidc-client-id kubernetes`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			if o.Version, err = versionOf(version); err != nil {
				return err
			}
			text, err := generate.AuthenticationConfig(o)
			return printed(env.Stdout, text, err)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Issuer, "oidc-issuer", "", "URL of an OpenID Connect provider to add")
	f.StringVar(&o.ClientID, "oidc-client-id", "", "client that its tokens are issued for")
	versionFlag(f, &version)
	return cmd
}

func newAuditPolicy(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "audit-policy",
		Short: "Audit policy: every request, and no secrets in the log (AUD-01 to AUD-03, LOG-04)",
		Args:  wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return printed(env.Stdout, generate.AuditPolicy(), nil)
		},
	}
}

func newKubeletConfig(env Env) *cobra.Command {
	var o generate.Kubelet
	var version string
	cmd := &cobra.Command{
		Use:   "kubelet-config",
		Short: "KubeletConfiguration: a drop-in or kubeadm patch (CP-07, ENC-01, ENC-02, RES-04, RES-05, NLOG-02)",
		Example: `  gabion generate kubelet-config > 10-gabion.conf
  gabion generate kubelet-config --kubernetes-version 1.29 --client-ca ""`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			if o.Version, err = versionOf(version); err != nil {
				return err
			}
			text, err := generate.KubeletConfig(o)
			return printed(env.Stdout, text, err)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.ClientCA, "client-ca", "/etc/kubernetes/pki/ca.crt", "file on the nodes with the CA of client certificates; empty leaves it out")
	versionFlag(f, &version)
	return cmd
}

func oneManifest(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("want one FILE: the API server's manifest, such as /etc/kubernetes/manifests/kube-apiserver.yaml")
	}
	return nil
}

func newAPIServerFlags(env Env) *cobra.Command {
	var o generate.APIServer
	var version string
	var diff bool
	cmd := &cobra.Command{
		Use:   "apiserver-flags FILE",
		Short: "The API server's static Pod manifest with the guide's flags, mounts and volumes",
		Long: `Print the manifest of the API server's static Pod with the flags that the guide asks for
and the mounts and volumes that they need. Comments, order and every other byte stay as
they are. A manifest that has them all is printed unchanged.

Why each was added, what was left alone, and which files must be on the node before, is on
standard error. Nothing is written. To put it in place: lay the files down, write the
output to a file outside of the manifests folder (the kubelet runs whatever is in there,
copies too), and move it over the manifest, one control plane node after the other.
kubeadm upgrade writes the manifest anew: keep the change as a patch for --patches, too.`,
		Example: `  gabion generate apiserver-flags --diff /etc/kubernetes/manifests/kube-apiserver.yaml
  gabion generate apiserver-flags /etc/kubernetes/manifests/kube-apiserver.yaml > /root/kube-apiserver.yaml`,
		Args: wrongArgs(oneManifest),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if version != "" {
				if o.Version, err = versionOf(version); err != nil {
					return err
				}
			}
			data, err := readInput(env, args[0])
			if err != nil {
				return usagef("read %s: %w", args[0], reason(err))
			}
			p, err := generate.PatchAPIServer(data, filepath.ToSlash(args[0]), o)
			if err != nil {
				return usagef("%s: %w", args[0], err)
			}
			sayPatched(env.Stderr, p)
			if diff {
				return printed(env.Stdout, p.Diff, nil)
			}
			return printed(env.Stdout, p.Text, nil)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&diff, "diff", false, "print the change alone, as a unified diff")
	f.StringVar(&o.Folder, "folder", nodeFolder, "folder on the node with the files that flags name")
	f.StringVar(&o.AuditLog, "audit-log", "/var/log/kubernetes/audit/audit.log", "file on the node for audit events, where none is named")
	f.StringVar(&o.Admission, "admission-config", "", "file on the node with an AdmissionConfiguration to be named")
	f.StringVar(&o.KubeletCA, "kubelet-ca", "", "file on the node with the CA of the kubelets' serving certificates, once all have one from it")
	versionFlag(f, &version)
	f.Lookup("kubernetes-version").Usage = "release of the API server, X.Y (default that of the image's tag)"
	return cmd
}

// maxManifest bounds the manifest of a static Pod, in bytes.
const maxManifest = 1 << 20

// readInput reads a file, or standard input for -.
func readInput(env Env, name string) ([]byte, error) {
	in := env.Stdin
	if name != "-" {
		if !filepath.IsAbs(name) {
			name = filepath.Join(env.Dir, name)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("more than %d bytes: no manifest of a static Pod", maxManifest)
	}
	return data, err
}

func sayPatched(out io.Writer, p *generate.Patched) {
	for _, part := range []struct {
		heading string
		list    []string
	}{{"Changed", p.Changes}, {"Left alone", p.Left}, {"Must be on the node first", p.Files}} {
		if len(part.list) > 0 {
			fmt.Fprintf(out, "%s:\n", part.heading)
		}
		for _, line := range part.list {
			fmt.Fprintf(out, "  %s\n", report.Printable(line))
		}
	}
	if len(p.Changes) == 0 {
		fmt.Fprintln(out, "Nothing to change.")
	}
}

func newFirewall(env Env) *cobra.Command {
	var o generate.Firewall
	var role string
	lists := map[string]*[]string{}
	cmd := &cobra.Command{
		Use:   "firewall --role ROLE --control-plane CIDR",
		Short: "nftables rules: the guide's ports, from where they may be reached (CP-04, ETCD-01, WRK-02)",
		Long: `Print nftables rules for one kind of node: each port of the guide's tables is open to
whom it is for, and to nobody else, over IPv4 and IPv6. Other ports stay as they are, or
with --default-drop are closed to all but the cluster's own hosts and Pods.

Before they are printed the rules are proven: every port is asked about from every address.`,
		Example: `  gabion generate firewall --role worker --control-plane 10.0.0.0/28 > firewall.nft
  gabion generate firewall --role control-plane --control-plane 10.0.0.0/28 --nodes 10.0.1.0/24 \
    --pod-cidr 10.244.0.0/16 --admin 192.0.2.10`,
		Args: wrongArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) (err error) {
			o.Role = generate.Role(role)
			for _, l := range []struct {
				flag string
				to   *[]netip.Prefix
			}{{"control-plane", &o.ControlPlane}, {"nodes", &o.Nodes}, {"etcd", &o.Etcd}, {"pod-cidr", &o.Pods}, {"admin", &o.Admin},
				{"api-clients", &o.APIClients}, {"kubelet-clients", &o.KubeletClients}, {"node-port-sources", &o.NodePortSources}} {
				if *l.to, err = ranges(l.flag, *lists[l.flag]); err != nil {
					return err
				}
			}
			switch example := "\nFor example: gabion generate firewall --role worker --control-plane 10.0.0.0/28"; {
			case role == "":
				return usagef("no --role: want control-plane, worker or etcd%s", example)
			case len(o.ControlPlane) == 0:
				return usagef("no --control-plane: want the addresses of its nodes, which reach every kubelet and etcd%s", example)
			case o.Role == generate.ControlPlane && len(o.Nodes) == 0:
				return usagef("no --nodes: none could reach the API server of a control plane node")
			}
			text, err := o.Ruleset()
			return printed(env.Stdout, text, err)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&role, "role", "", "what the node does: control-plane, worker or etcd; required")
	for _, l := range []struct{ flag, usage string }{
		{"control-plane", "control plane nodes, as CIDR, repeatable; required"},
		{"nodes", "all other nodes; required for a control plane node"},
		{"etcd", "members of an etcd on hosts of its own"},
		{"pod-cidr", "Pods: they reach the API server"},
		{"admin", "administrators: they reach the API server, and SSH under --default-drop"},
		{"api-clients", "others that reach the API server"},
		{"kubelet-clients", "others that reach the kubelet: what reads its metrics"},
		{"node-port-sources", "clients of Services of type NodePort (default nobody)"},
	} {
		lists[l.flag] = f.StringSlice(l.flag, nil, l.usage)
	}
	f.BoolVar(&o.DefaultDrop, "default-drop", false, "close every other port to all but the cluster's own hosts and Pods, too")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func roleNames() (names []string) {
	for _, r := range generate.Roles() {
		names = append(names, string(r))
	}
	return slices.Clip(names)
}

// ranges reads CIDRs, and single addresses as those of one.
func ranges(flag string, texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, bad := netip.ParseAddr(text); bad == nil && a.Zone() == "" {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, usagef("--%s %q: want a CIDR such as 10.0.0.0/16, or an address", flag, text)
		}
		list = append(list, p)
	}
	return list, nil
}
