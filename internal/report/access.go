package report

import (
	"io"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The kinds of the documents about access.
const (
	WhoCanKind = "WhoCanReport"
	CanKind    = "CanReport"
	PathKind   = "PathReport"
)

// A WhoCan lists the subjects of bindings that may do something.
type WhoCan struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Request    Request        `json:"request"`
	Subjects   []Holder       `json:"subjects"`
	Warnings   []string       `json:"warnings"`
	Gaps       []evidence.Gap `json:"gaps"`
}

// A Request is what is asked about.
type Request struct {
	Verb     string `json:"verb"`
	APIGroup string `json:"apiGroup"`
	// Resource has a subresource with its parent: pods/exec.
	Resource string `json:"resource,omitempty"`
	// Namespace is "" for a request that is in none: about everything in all of them,
	// or about what lives in no namespace.
	Namespace string `json:"namespace,omitempty"`
	// AnyNamespace is set when each namespace was asked about by itself.
	AnyNamespace bool   `json:"anyNamespace,omitempty"`
	Name         string `json:"name,omitempty"`
	// Path is the URL path of a request that is about no resource.
	Path string `json:"path,omitempty"`
}

// A Holder is a subject of a binding that may do what was asked.
type Holder struct {
	// Kind is User, Group or ServiceAccount.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Cluster is where, when several were looked at.
	Cluster string `json:"cluster,omitempty"`
	// GrantedBy is nil for system:masters, which needs no binding.
	GrantedBy *Grant `json:"grantedBy"`
}

// A Grant is the rule that decides, and the binding that makes it hold.
type Grant struct {
	Binding ObjectName `json:"binding"`
	Role    ObjectName `json:"role"`
	// Rule is the place of the rule among those of the role, from 0.
	Rule int `json:"rule"`
	// Allows is that rule; nil where the permission in question is told instead.
	Allows *Rule `json:"allows,omitempty"`
}

// An ObjectName names an object of the authorization API.
type ObjectName struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String names the object as people do: Role shop/reader.
func (o ObjectName) String() string {
	return Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}.String()
}

// A Rule is a rule of a role, as the role's object spells it.
type Rule struct {
	Verbs           []string `json:"verbs"`
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
}

// A Can says whether one subject may do something.
type Can struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Subject    Subject `json:"subject"`
	Request    Request `json:"request"`
	// Answer is yes, no, or unknown when what was not read could allow it.
	Answer    string `json:"answer"`
	GrantedBy *Grant `json:"grantedBy"`
	// Why is the answer in words.
	Why string `json:"why"`
	// Namespaces are those in which the subject may, where it may not everywhere.
	Namespaces []string       `json:"namespaces,omitempty"`
	Warnings   []string       `json:"warnings"`
	Gaps       []evidence.Gap `json:"gaps"`
}

// A Subject is who asks, with all groups that count.
type Subject struct {
	User   string   `json:"user"`
	Groups []string `json:"groups"`
}

// The answers of a Can.
const (
	Yes     = "yes"
	No      = "no"
	Unknown = "unknown"
)

// A PathReport says which subjects can become what.
type PathReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Target is what the paths lead to.
	Target string `json:"target"`
	Paths  []Path `json:"paths"`
	// Closed are paths of subjects without an open one that a guard closes, when they
	// were asked for.
	Closed []Path `json:"closed,omitempty"`
	// Truncated is set when there are more paths than are listed.
	Truncated bool           `json:"truncated,omitempty"`
	Warnings  []string       `json:"warnings"`
	Gaps      []evidence.Gap `json:"gaps"`
}

// A Path is one chain of hops.
type Path struct {
	// From and To are users and groups as the API server writes them, or targets.
	From string `json:"from"`
	To   string `json:"to"`
	// Cluster is where, when several were looked at.
	Cluster string `json:"cluster,omitempty"`
	Hops    []Hop  `json:"hops"`
}

// A Hop is one step of a path: who is From can be To.
type Hop struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Technique string `json:"technique"`
	// Why says in a sentence why it works.
	Why string `json:"why"`
	// Permission is nil where none is needed: who is root on a node asks nobody.
	Permission *Permission `json:"permission"`
	// GrantedBy is nil where no binding is needed.
	GrantedBy *Grant `json:"grantedBy"`
	// Also are further permissions that the hop takes.
	Also []Permitted `json:"also,omitempty"`
	// ClosedBy is the guard that refuses the hop.
	ClosedBy string `json:"closedBy,omitempty"`
}

// A Permission is one request that is allowed.
type Permission struct {
	Verb      string `json:"verb"`
	APIGroup  string `json:"apiGroup"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// A Permitted is a permission with what gives it.
type Permitted struct {
	Permission Permission `json:"permission"`
	GrantedBy  *Grant     `json:"grantedBy"`
}

// WriteJSON writes a document as JSON, as reports are written: what nobody could
// see in it is escaped.
func WriteJSON(w io.Writer, document any) error { return encodeJSON(w, document) }
