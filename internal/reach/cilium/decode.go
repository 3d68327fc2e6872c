package cilium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	sigsjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// given reports whether a field has a value; the API server drops those that are null.
func given(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// decode reads one level of a document. doubt says which of its fields are not
// known, "" when all are. Lists of objects are decoded one by one, so that a field
// that is not known makes only the part unknown in which it stands.
func decode[T any](raw json.RawMessage, at evidence.Path) (v T, doubt string, err error) {
	if !given(raw) {
		return v, "", fmt.Errorf("%s: is null", at)
	}
	strict, err := sigsjson.UnmarshalStrict(raw, &v)
	if err != nil {
		return v, "", fmt.Errorf("%s: %w", at, err)
	}
	if len(strict) > 3 {
		strict = append(strict[:3:3], errors.New("…"))
	}
	for _, e := range strict {
		if doubt == "" {
			doubt = at.String() + ": "
		} else {
			doubt += ", "
		}
		doubt += e.Error()
	}
	return v, doubt, nil
}

// A spec is one rule of a policy object. Fields without a Go type of their own
// are those that decide nothing, or that are read further down.
type spec struct {
	EndpointSelector  json.RawMessage   `json:"endpointSelector"`
	NodeSelector      json.RawMessage   `json:"nodeSelector"`
	Ingress           []json.RawMessage `json:"ingress"`
	IngressDeny       []json.RawMessage `json:"ingressDeny"`
	Egress            []json.RawMessage `json:"egress"`
	EgressDeny        []json.RawMessage `json:"egressDeny"`
	EnableDefaultDeny struct {
		Ingress *bool `json:"ingress"`
		Egress  *bool `json:"egress"`
	} `json:"enableDefaultDeny"`
	Labels      json.RawMessage `json:"labels"`
	Description json.RawMessage `json:"description"`
	Log         json.RawMessage `json:"log"`
}

// An ingressRule and an egressRule differ in the names of their peers.
type ingressRule struct {
	portFields
	Endpoints []json.RawMessage `json:"fromEndpoints"`
	Requires  []json.RawMessage `json:"fromRequires"`
	CIDR      []string          `json:"fromCIDR"`
	CIDRSet   []json.RawMessage `json:"fromCIDRSet"`
	Entities  []string          `json:"fromEntities"`
	Groups    []json.RawMessage `json:"fromGroups"`
	Nodes     []json.RawMessage `json:"fromNodes"`
}

type egressRule struct {
	portFields
	Endpoints []json.RawMessage `json:"toEndpoints"`
	Requires  []json.RawMessage `json:"toRequires"`
	CIDR      []string          `json:"toCIDR"`
	CIDRSet   []json.RawMessage `json:"toCIDRSet"`
	Entities  []string          `json:"toEntities"`
	Groups    []json.RawMessage `json:"toGroups"`
	Nodes     []json.RawMessage `json:"toNodes"`
	Services  []json.RawMessage `json:"toServices"`
	FQDNs     []json.RawMessage `json:"toFQDNs"`
}

type portFields struct {
	ToPorts        []json.RawMessage `json:"toPorts"`
	ICMPs          []json.RawMessage `json:"icmps"`
	Authentication json.RawMessage   `json:"authentication"`
}

// A portRule is an element of toPorts.
type portRule struct {
	Ports          []portProtocol  `json:"ports"`
	TerminatingTLS json.RawMessage `json:"terminatingTLS"`
	OriginatingTLS json.RawMessage `json:"originatingTLS"`
	ServerNames    []string        `json:"serverNames"`
	Listener       json.RawMessage `json:"listener"`
	Rules          json.RawMessage `json:"rules"`
}

type portProtocol struct {
	Port     string `json:"port"`
	EndPort  int32  `json:"endPort"`
	Protocol string `json:"protocol"`
}

// requestRules are what a proxy allows of the requests of a connection. Kafka and
// the rules of other protocols are of older versions.
type requestRules struct {
	HTTP    []httpRule        `json:"http"`
	DNS     []nameRule        `json:"dns"`
	Kafka   []json.RawMessage `json:"kafka"`
	L7Proto string            `json:"l7proto"`
	L7      []json.RawMessage `json:"l7"`
}

type httpRule struct {
	Path          string            `json:"path"`
	Method        string            `json:"method"`
	Host          string            `json:"host"`
	Headers       []string          `json:"headers"`
	HeaderMatches []json.RawMessage `json:"headerMatches"`
}

// A nameRule matches DNS names.
type nameRule struct {
	MatchName    string `json:"matchName"`
	MatchPattern string `json:"matchPattern"`
}

type icmpRule struct {
	Fields []icmpField `json:"fields"`
}

type icmpField struct {
	Family string          `json:"family"`
	Type   json.RawMessage `json:"type"`
}

// A cidrRule is an element of fromCIDRSet and toCIDRSet.
type cidrRule struct {
	CIDR          string          `json:"cidr"`
	GroupRef      string          `json:"cidrGroupRef"`
	GroupSelector json.RawMessage `json:"cidrGroupSelector"`
	Except        []string        `json:"except"`
}

// A serviceRule is an element of toServices.
type serviceRule struct {
	Selector *struct {
		Selector  json.RawMessage `json:"selector"`
		Namespace string          `json:"namespace"`
	} `json:"k8sServiceSelector"`
	Service *struct {
		Name      string `json:"serviceName"`
		Namespace string `json:"namespace"`
	} `json:"k8sService"`
}

type selector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []requirement     `json:"matchExpressions"`
}

type requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}
