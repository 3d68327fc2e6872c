package evidence

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Host is one node: what its files and processes say, or, in part, what the API
// tells of it. Paths are those that the node itself uses, whatever folder its tree
// was read from. No private key and no other credential is kept.
type Host struct {
	// Ref is the Node, by the name it has in the cluster or, when nothing tells, by
	// that of the tree. It is not stored with the host: the objects hold it.
	*Ref `json:"-"`
	// Node is the Node's name.
	Node string `json:"node"`
	// Root is the folder that was read, "" for what only the API told.
	Root string `json:"root,omitempty"`
	// ReadAt is when it was looked at: what has expired has expired by then.
	ReadAt time.Time `json:"readAt"`
	// Distribution is what set the node up, "" when nothing tells.
	Distribution Distribution `json:"distribution,omitempty"`
	// Roles are those that what runs or is configured tells, in order.
	Roles []Role `json:"roles,omitempty"`
	// Components are the programs of Kubernetes, and those it builds on, that run on
	// the node or are set up to, by name.
	Components []*Component `json:"components,omitempty"`
	// Files are those that are a recommendation's matter, by path, and those that
	// another file names and that are not there.
	Files        map[string]*File `json:"files,omitempty"`
	Certificates []*Certificate   `json:"certificates,omitempty"`
	Keys         []*PrivateKey    `json:"keys,omitempty"`
	Kubeconfigs  []*Kubeconfig    `json:"kubeconfigs,omitempty"`
	Sockets      []Socket         `json:"sockets,omitempty"`
	// Networks are those that the node has addresses in.
	Networks []Network `json:"networks,omitempty"`
	// Firewall are the rules of the packet filter, as the programs print them.
	Firewall []FirewallRules `json:"firewall,omitempty"`
	// Etcd is how Secrets are stored in etcd's data, nil where that was not read.
	Etcd    *EtcdData `json:"etcd,omitempty"`
	System  System    `json:"system"`
	Logging Logging   `json:"logging"`
	// Unseen says of each aspect that was not, or not wholly, read why not. It
	// answers "none found": see Saw.
	Unseen map[Aspect]string `json:"unseen,omitempty"`
}

// A Distribution is what set a node up.
type Distribution string

// The distributions that are recognised.
const (
	Kubeadm  Distribution = "kubeadm"
	K3s      Distribution = "k3s"
	RKE2     Distribution = "rke2"
	MicroK8s Distribution = "microk8s"
	K0s      Distribution = "k0s"
	Talos    Distribution = "talos"
	KOps     Distribution = "kops"
	EKS      Distribution = "eks"
	GKE      Distribution = "gke"
	AKS      Distribution = "aks"
)

// A Role is what a node is for.
type Role string

// The roles of nodes.
const (
	ControlPlane Role = "control-plane"
	EtcdMember   Role = "etcd"
	Worker       Role = "worker"
)

// The names of components: those that their processes have.
const (
	APIServer              = "kube-apiserver"
	ControllerManager      = "kube-controller-manager"
	CloudControllerManager = "cloud-controller-manager"
	Scheduler              = "kube-scheduler"
	Etcd                   = "etcd"
	Kubelet                = "kubelet"
	KubeProxy              = "kube-proxy"
	Containerd             = "containerd"
	CRIO                   = "crio"
)

// An Aspect is a part of what there is to see of a node.
type Aspect string

// The aspects of a node.
const (
	TheFiles     Aspect = "files"     // files at all, with their modes and owners
	TheProcesses Aspect = "processes" // what runs
	TheSockets   Aspect = "sockets"   // what listens
	TheDatagrams Aspect = "datagrams" // what listens by UDP, where what listens by TCP is known
	TheNetworks  Aspect = "networks"  // which networks it is on
	TheFirewall  Aspect = "firewall"  // the packet filter's rules
	ThePackages  Aspect = "packages"  // installed packages
	TheKernel    Aspect = "kernel"    // sysctls, SELinux, AppArmor
	TheLogging   Aspect = "logging"   // journald, syslog, auditd
	TheDisks     Aspect = "disks"     // sizes of file systems
)

// Aspects returns every aspect.
func Aspects() []Aspect {
	return []Aspect{TheFiles, TheProcesses, TheSockets, TheDatagrams, TheNetworks, TheFirewall, ThePackages, TheKernel, TheLogging, TheDisks}
}

// Has reports whether the node has a role.
func (h *Host) Has(r Role) bool { return slices.Contains(h.Roles, r) }

// Saw reports whether an aspect was read wholly, and if not, why: only then does
// "none found" mean that there is none.
func (h *Host) Saw(a Aspect) (bool, string) {
	why, unseen := h.Unseen[a]
	return !unseen, why
}

// Component returns the component of that name, nil when the node has none.
func (h *Host) Component(name string) *Component {
	for _, c := range h.Components {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Certificate returns the first certificate of a file, nil when it has none.
func (h *Host) Certificate(path string) *Certificate {
	for _, c := range h.Certificates {
		if c.Place.File == path {
			return c
		}
	}
	return nil
}

// A Way is how something came to be known.
type Way string

// The ways, the better one later: what runs wins over what is on disk, and what the
// node itself says over what the API says of it.
const (
	FromAPI     Way = "api"     // a mirror pod, configz, the Node
	FromFile    Way = "file"    // a manifest, a unit, a configuration file
	FromProcess Way = "process" // the command line of what runs
)

// A Component is one program: kube-apiserver, etcd, kubelet, containerd.
type Component struct {
	Name string `json:"name"`
	// Way is how its flags are known, Place where they are written.
	Way   Way      `json:"way"`
	Place Position `json:"place"`
	// Image and Version are what runs, "" when not known. A version begins with v.
	Image   string `json:"image,omitempty"`
	Version string `json:"version,omitempty"`
	// UID is the user it runs as, -1 when not known.
	UID int `json:"uid"`
	// Flags are those in force, in the order in which they were given.
	Flags []Flag `json:"flags,omitempty"`
	// Options are the fields of its configuration files by dotted path in the
	// component's own spelling (authentication.anonymous.enabled), as in force after
	// all files, drop-ins and flags were merged in the component's order. Defaults are
	// among them only when the component said so itself (configz).
	Options map[string]Option `json:"options,omitempty"`
	// Documents are the configuration files that its flags name, by the flag:
	// encryption-provider-config, audit-policy-file.
	Documents map[string]*Document `json:"documents,omitempty"`
	// Mounts are the paths of the host that it sees, for one in a pod; Pod is set for
	// one in a pod, whose other paths are not the host's.
	Pod    bool    `json:"pod,omitempty"`
	Mounts []Mount `json:"mounts,omitempty"`
	// Others is the same component as worse ways tell of it.
	Others []*Component `json:"others,omitempty"`
	// Unread says why not everything that it is set up with is known: what is not
	// among the flags and options may then be set all the same. "" when all is known.
	Unread string `json:"unread,omitempty"`
	// UnreadIn are the flags that Unread is about, where it is about no other: they are
	// given, and their values are not known.
	UnreadIn []string `json:"unreadIn,omitempty"`
}

// A Flag is one flag as it was given: --anonymous-auth=false. A flag without a value
// has the value "true". Name has no dashes in front.
type Flag struct {
	Name  string   `json:"name"`
	Value string   `json:"value"`
	Place Position `json:"place"`
}

// Flag returns the flag in force: of several the last one, as the components read
// them; false when it is not given.
func (c *Component) Flag(name string) (Flag, bool) {
	for i := len(c.Flags) - 1; i >= 0; i-- {
		if c.Flags[i].Name == name {
			return c.Flags[i], true
		}
	}
	return Flag{}, false
}

// Doubt is why it is not known whether a flag is set that is not among the flags, ""
// when it is known.
func (c *Component) Doubt(flag string) string {
	if len(c.UnreadIn) > 0 && !slices.Contains(c.UnreadIn, flag) {
		return ""
	}
	return c.Unread
}

// HostPath is where a path that the component uses is on the node: for one in a pod
// what is mounted there. False for a path of a pod at which nothing of the node is
// mounted.
func (c *Component) HostPath(path string) (string, bool) {
	if !c.Pod {
		return path, true
	}
	m, found := c.Mount(path)
	if !found {
		return "", false
	}
	return strings.TrimSuffix(m.Host, "/") + strings.TrimPrefix(path, strings.TrimSuffix(m.Container, "/")), true
}

// Mount is what of the node is mounted at a path of a component in a pod, or at the
// nearest folder above it; false where nothing is.
func (c *Component) Mount(path string) (best Mount, found bool) {
	for _, m := range c.Mounts {
		if under(path, m.Container) && (!found || len(m.Container) > len(best.Container)) {
			best, found = m, true
		}
	}
	return best, found
}

// under reports whether a path is a folder or below it.
func under(path, folder string) bool {
	folder = strings.TrimSuffix(folder, "/")
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// An Option is a field of a configuration, in force.
type Option struct {
	// Value is JSON.
	Value json.RawMessage `json:"value"`
	// Place is the file, or the flag, that decided it.
	Place Position `json:"place"`
}

// A Document is a configuration file: EncryptionConfiguration, an audit policy.
type Document struct {
	// File is the path on the node.
	File       string `json:"file"`
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	// JSON is its content. Of a key or another credential it holds, in place of the
	// value, its length in bits: "256 bit".
	JSON    json.RawMessage `json:"json,omitempty"`
	Outline *Outline        `json:"outline,omitempty"`
	// Error is why it could not be read or is none, "" when it could.
	Error string `json:"error,omitempty"`
}

// A Mount is a path of the host inside a component's container.
type Mount struct {
	Host      string `json:"host"`
	Container string `json:"container"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
}

// A FileType is what a path leads to.
type FileType string

// The types of files.
const (
	Regular    FileType = "file"
	Directory  FileType = "directory"
	SocketFile FileType = "socket"
	OtherFile  FileType = "other" // a device, a FIFO
	// Missing is for what another file names and is not there.
	Missing FileType = "missing"
)

// A File is what is known of a file without its content. A symbolic link is told
// as what it leads to.
type File struct {
	Path string   `json:"path"`
	Type FileType `json:"type"`
	// Mode has the permission bits and setuid, setgid and sticky as in chmod: 0o4755.
	Mode uint32 `json:"mode"`
	// UID and GID are the owner's.
	UID  int   `json:"uid"`
	GID  int   `json:"gid"`
	Size int64 `json:"size,omitempty"`
	// Link is the path that a symbolic link leads to in the end, "" for no link.
	Link string `json:"link,omitempty"`
	// Error is why nothing, or not the content, could be read.
	Error string `json:"error,omitempty"`
}

// A Certificate is an X.509 certificate of a file; a file may hold several.
type Certificate struct {
	Place         Position     `json:"place"`
	Subject       string       `json:"subject,omitempty"`
	Issuer        string       `json:"issuer,omitempty"`
	CommonName    string       `json:"commonName,omitempty"`
	Organizations []string     `json:"organizations,omitempty"`
	Serial        string       `json:"serial,omitempty"` // hexadecimal
	NotBefore     time.Time    `json:"notBefore"`
	NotAfter      time.Time    `json:"notAfter"`
	IsCA          bool         `json:"isCA,omitempty"`
	KeyType       string       `json:"keyType,omitempty"` // RSA, ECDSA, Ed25519
	KeyBits       int          `json:"keyBits,omitempty"`
	Signature     string       `json:"signature,omitempty"` // SHA256-RSA
	DNSNames      []string     `json:"dnsNames,omitempty"`
	Addresses     []netip.Addr `json:"addresses,omitempty"`
	// Client and Server are what its extended key usage allows.
	Client bool `json:"client,omitempty"`
	Server bool `json:"server,omitempty"`
	// SHA256 is the certificate's fingerprint, PublicKey that of its public key, in
	// hexadecimal.
	SHA256    string `json:"sha256,omitempty"`
	PublicKey string `json:"publicKey,omitempty"`
	// SignedBy are the fingerprints of those among the host's certificates that signed
	// it, verified; its own for one that signed itself.
	SignedBy []string `json:"signedBy,omitempty"`
	// Raw is the certificate as it was read, in DER; it is not stored with the host.
	Raw []byte `json:"-"`
	// Error is why it could not be parsed, "" when it could.
	Error string `json:"error,omitempty"`
}

// A PrivateKey is a private key without the key.
type PrivateKey struct {
	Place   Position `json:"place"`
	KeyType string   `json:"keyType,omitempty"`
	KeyBits int      `json:"keyBits,omitempty"`
	// PublicKey is the fingerprint of the public key that belongs to it, as in
	// Certificate.
	PublicKey string `json:"publicKey,omitempty"`
	// Encrypted is set when a passphrase protects it.
	Encrypted bool   `json:"encrypted,omitempty"`
	Error     string `json:"error,omitempty"`
}

// A Kubeconfig is a kubeconfig file without its credentials.
type Kubeconfig struct {
	Path     string              `json:"path"`
	Users    []KubeconfigUser    `json:"users,omitempty"`
	Clusters []KubeconfigCluster `json:"clusters,omitempty"`
	// Error is why it could not be read, "" when it could.
	Error string `json:"error,omitempty"`
}

// A KubeconfigUser says by which means a user authenticates.
type KubeconfigUser struct {
	Name string `json:"name"`
	// Token and Password say that there is one in the file; TokenExpires is the end of
	// a token that tells, zero for one that has none or does not tell.
	Token        bool      `json:"token,omitempty"`
	TokenExpires time.Time `json:"tokenExpires,omitzero"`
	Password     bool      `json:"password,omitempty"`
	TokenFile    string    `json:"tokenFile,omitempty"`
	// Certificate is the client certificate, in the file or in CertificateFile; Key says
	// that its key is in the file itself.
	Certificate     *Certificate `json:"certificate,omitempty"`
	CertificateFile string       `json:"certificateFile,omitempty"`
	Key             bool         `json:"key,omitempty"`
	KeyFile         string       `json:"keyFile,omitempty"`
	// Exec is the command of a credential plugin, AuthProvider the name of one of the
	// old kind.
	Exec         string   `json:"exec,omitempty"`
	AuthProvider string   `json:"authProvider,omitempty"`
	Place        Position `json:"place"`
}

// A KubeconfigCluster says how a server is verified.
type KubeconfigCluster struct {
	Name   string `json:"name"`
	Server string `json:"server"`
	// Insecure is insecure-skip-tls-verify; CA says that an authority is given.
	Insecure bool     `json:"insecure,omitempty"`
	CA       bool     `json:"ca,omitempty"`
	Proxy    string   `json:"proxy,omitempty"`
	Place    Position `json:"place"`
}

// A Socket is a port that something listens on.
type Socket struct {
	Protocol string         `json:"protocol"` // tcp, udp
	Address  netip.AddrPort `json:"address"`
	// Process is the program that listens, "" when not known.
	Process string `json:"process,omitempty"`
}

// A Network is one that a node has an address in.
type Network struct {
	// Interface is its name, or that of the file that sets it up; "" when not known.
	Interface string `json:"interface,omitempty"`
	// Prefix is the node's address with the length of the network's: 10.0.0.11/24.
	Prefix netip.Prefix `json:"prefix"`
	Place  Position     `json:"place"`
}

// FirewallRules are the rules of a packet filter as its program prints them.
type FirewallRules struct {
	// Format is nft for the JSON of nft -j list ruleset, iptables and ip6tables for the
	// text of iptables-save and ip6tables-save.
	Format string `json:"format"`
	// File that the program printed to; empty if the kernel was asked.
	File string `json:"file"`
	Text string `json:"text"`
}

// An EtcdData is how Secrets are stored in the data of etcd, without a value.
type EtcdData struct {
	// File is what was read.
	File string `json:"file"`
	// Secrets is how many there are, Marks how many begin with which mark of
	// encryption: k8s:enc:secretbox:v1:key1: — "" for plain text.
	Secrets int            `json:"secrets"`
	Marks   map[string]int `json:"marks,omitempty"`
	// Plain are those in plain text, as namespace/name, the first few.
	Plain []string `json:"plain,omitempty"`
	// Error is why it could not be read, "" when it could.
	Error string `json:"error,omitempty"`
}

// A System is the operating system below Kubernetes.
type System struct {
	Hostname string `json:"hostname,omitempty"`
	// MachineID is that of /etc/machine-id, which the Node's status has as well.
	MachineID string `json:"machineID,omitempty"`
	// OS, OSVersion and OSName are ID, VERSION_ID and PRETTY_NAME of os-release.
	OS        string `json:"os,omitempty"`
	OSVersion string `json:"osVersion,omitempty"`
	OSName    string `json:"osName,omitempty"`
	Kernel    string `json:"kernel,omitempty"`
	// SELinux is enforcing, permissive or disabled; "" where the kernel has none or
	// nothing tells. SELinuxPlace is what said so.
	SELinux      string   `json:"selinux,omitempty"`
	SELinuxPlace Position `json:"selinuxPlace,omitzero"`
	// AppArmor is whether the kernel has it switched on, nil when nothing tells;
	// AppArmorProfiles are those loaded, with their mode: "cri-containerd (enforce)".
	AppArmor         *bool    `json:"apparmor,omitempty"`
	AppArmorProfiles []string `json:"apparmorProfiles,omitempty"`
	// SeccompProfiles are the files below the kubelet's folder of profiles, with their
	// default action and what they otherwise do.
	SeccompProfiles []SeccompProfile `json:"seccompProfiles,omitempty"`
	// Sysctls are the kernel's settings, as running, else as configured.
	Sysctls     map[string]Setting `json:"sysctls,omitempty"`
	Packages    []Package          `json:"packages,omitempty"`
	FileSystems []FileSystem       `json:"fileSystems,omitempty"`
	Users       []User             `json:"users,omitempty"`
	// CNI are the network plugins' configuration files, the one in force first.
	CNI []*Document `json:"cni,omitempty"`
}

// A SeccompProfile is a file with a profile.
type SeccompProfile struct {
	Path          string `json:"path"`
	DefaultAction string `json:"defaultAction"`
	Error         string `json:"error,omitempty"`
}

// A Setting is a value and where it is written.
type Setting struct {
	Value string   `json:"value"`
	Place Position `json:"place"`
}

// A Package is installed software.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A FileSystem is a mounted file system.
type FileSystem struct {
	Path   string `json:"path"`
	Type   string `json:"type"`
	Device string `json:"device"`
	// Options are those of the mount: ro, nosuid.
	Options []string `json:"options,omitempty"`
	// Encrypted is set where the device is one that dm-crypt makes.
	Encrypted bool `json:"encrypted,omitempty"`
	// Size and Free are bytes, 0 when not known.
	Size int64 `json:"size,omitempty"`
	Free int64 `json:"free,omitempty"`
}

// A User is a line of /etc/passwd.
type User struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Home string `json:"home"`
}

// Logging is what the node does with its logs.
type Logging struct {
	// Journald has the settings of journald.conf in force, after its drop-ins:
	// Storage, SystemMaxUse, ForwardToSyslog. nil when there is no journald.
	Journald map[string]Setting `json:"journald,omitempty"`
	// PersistentJournal is whether /var/log/journal is there.
	PersistentJournal bool `json:"persistentJournal,omitempty"`
	// Daemons are the log daemons and agents that are installed or run: rsyslog,
	// syslog-ng, auditd, fluent-bit, vector.
	Daemons []LogDaemon `json:"daemons,omitempty"`
}

// A LogDaemon is a program that keeps or sends logs.
type LogDaemon struct {
	Name string `json:"name"`
	// Running is set when its process was seen or its unit is enabled.
	Running bool     `json:"running,omitempty"`
	Place   Position `json:"place"`
	// Outputs are where it sends logs away from the node.
	Outputs []LogOutput `json:"outputs,omitempty"`
	// Error is why its configuration was not, or not wholly, understood.
	Error string `json:"error,omitempty"`
}

// A LogOutput is one place that logs are sent to.
type LogOutput struct {
	Target   string `json:"target"`   // logs.example.com:6514
	Protocol string `json:"protocol"` // udp, tcp, relp, http, kafka …
	// TLS and Verified say that the connection is encrypted, and the server's
	// certificate verified; nil when the configuration does not say.
	TLS      *bool `json:"tls,omitempty"`
	Verified *bool `json:"verified,omitempty"`
	// Buffered is whether what cannot be sent is kept on disk.
	Buffered *bool    `json:"buffered,omitempty"`
	Place    Position `json:"place"`
}

// A Managed control plane is one that a provider runs, and whose files and flags its
// users cannot see.
type Managed struct {
	// Provider is its name: EKS, GKE, AKS.
	Provider string `json:"provider"`
	// Why is how it was recognised: the version v1.30.4-eks-a737599.
	Why string `json:"why"`
	// Command prints what a user may set of it, as --cloud-config wants it.
	Command string `json:"command"`
	// Config is what that command printed, nil when it was not given.
	Config *CloudConfig `json:"config,omitempty"`
}

// A CloudConfig is what a user has set of a managed control plane, in words that are
// the same for all providers. What the provider has no such setting for is nil.
type CloudConfig struct {
	Place Position `json:"place"`
	Name  string   `json:"name"`
	// Version is that of the control plane: 1.30.
	Version string `json:"version,omitempty"`
	// PublicEndpoint is whether the API server has an address that the internet
	// reaches, PublicRanges from where it may be reached; none means from anywhere.
	PublicEndpoint *CloudBool   `json:"publicEndpoint,omitempty"`
	PublicRanges   []CloudRange `json:"publicRanges,omitempty"`
	// SecretsEncryption is whether Secrets are encrypted with a key of the user's.
	SecretsEncryption *CloudBool `json:"secretsEncryption,omitempty"`
	// AuditLog is whether the API server's audit log is kept for the user.
	AuditLog *CloudBool `json:"auditLog,omitempty"`
	// NetworkPolicy is whether something enforces NetworkPolicies.
	NetworkPolicy *CloudBool `json:"networkPolicy,omitempty"`
	// LocalAccounts is whether accounts besides those of the provider's identity
	// service are allowed (static certificates, basic authentication).
	LocalAccounts *CloudBool `json:"localAccounts,omitempty"`
	// LegacyAuthorization is whether more than RBAC authorizes (GKE's ABAC).
	LegacyAuthorization *CloudBool `json:"legacyAuthorization,omitempty"`
	// MetadataConcealed is whether pods are kept from the nodes' metadata service.
	MetadataConcealed *CloudBool `json:"metadataConcealed,omitempty"`
}

// A CloudBool is a setting of a provider, with the field that decides it.
type CloudBool struct {
	Value bool     `json:"value"`
	Field string   `json:"field"` // resourcesVpcConfig.endpointPublicAccess
	Place Position `json:"place"`
}

// A CloudRange is a range of addresses, with the field that names it.
type CloudRange struct {
	CIDR  string   `json:"cidr"`
	Field string   `json:"field"`
	Place Position `json:"place"`
}

// A Probed is what an attempt to connect showed (--probe).
type Probed struct {
	// Node is the node that the address belongs to, Component what is said to listen.
	Node      string         `json:"node,omitempty"`
	Component string         `json:"component"`
	Address   netip.AddrPort `json:"address"`
	// At is when it was tried, From the address it was tried from, where a connection
	// came about.
	At   time.Time  `json:"at,omitzero"`
	From netip.Addr `json:"from,omitzero"`
	// Open is whether a connection came about, Error why not, or why what follows is
	// not, or not wholly, known.
	Open  bool   `json:"open"`
	Error string `json:"error,omitempty"`
	// TLS is whether the port speaks TLS; Versions are those that it agreed to: TLS 1.2;
	// Ciphers are the weak suites that it agreed to.
	TLS      bool     `json:"tls"`
	Versions []string `json:"versions,omitempty"`
	Ciphers  []string `json:"ciphers,omitempty"`
	// Chain is what it served, the leaf first. ClientCertificate is whether it demands one.
	Chain             []*Certificate `json:"chain,omitempty"`
	ClientCertificate bool           `json:"clientCertificate,omitempty"`
	// Anonymous are the requests without credentials that were tried.
	Anonymous []ProbedRequest `json:"anonymous,omitempty"`
}

// A ProbedRequest is a request without credentials: Status is the answer's, and
// Answered is set when it gave what only those should get who authenticate.
type ProbedRequest struct {
	Request  string `json:"request"` // GET /pods
	Status   int    `json:"status,omitempty"`
	Answered bool   `json:"answered,omitempty"`
	// User is whom a refusal says that the server took the request to be from, where it
	// was taken to be from somebody: system:anonymous.
	User  string `json:"user,omitempty"`
	Error string `json:"error,omitempty"`
}
