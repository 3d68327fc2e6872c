package calico

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// The fields of Calico's objects that decide about connections, as the API has them.
// Fields that decide nothing are there as raw JSON, so that they are known.
type (
	policySpec struct {
		Tier                   string   `json:"tier"`
		Order                  *float64 `json:"order"`
		Ingress                []raw    `json:"ingress"`
		Egress                 []raw    `json:"egress"`
		Selector               string   `json:"selector"`
		Types                  []string `json:"types"`
		ServiceAccountSelector string   `json:"serviceAccountSelector"`
		PerformanceHints       raw      `json:"performanceHints"`
		// Of GlobalNetworkPolicies only.
		DoNotTrack        bool   `json:"doNotTrack"`
		PreDNAT           bool   `json:"preDNAT"`
		ApplyOnForward    bool   `json:"applyOnForward"`
		NamespaceSelector string `json:"namespaceSelector"`
	}

	ruleSpec struct {
		Action      string     `json:"action"`
		IPVersion   *int       `json:"ipVersion"`
		Protocol    *protocol  `json:"protocol"`
		NotProtocol *protocol  `json:"notProtocol"`
		ICMP        *icmpSpec  `json:"icmp"`
		NotICMP     *icmpSpec  `json:"notICMP"`
		Source      entitySpec `json:"source"`
		Destination entitySpec `json:"destination"`
		HTTP        *httpSpec  `json:"http"`
		Metadata    raw        `json:"metadata"`
	}

	entitySpec struct {
		Nets              []string     `json:"nets"`
		NotNets           []string     `json:"notNets"`
		Selector          string       `json:"selector"`
		NotSelector       string       `json:"notSelector"`
		NamespaceSelector string       `json:"namespaceSelector"`
		Services          *serviceSpec `json:"services"`
		ServiceAccounts   *accountSpec `json:"serviceAccounts"`
		Ports             []portRange  `json:"ports"`
		NotPorts          []portRange  `json:"notPorts"`
	}

	serviceSpec struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}

	accountSpec struct {
		Names    []string `json:"names"`
		Selector string   `json:"selector"`
	}

	icmpSpec struct {
		Type *int `json:"type"`
		Code *int `json:"code"`
	}

	httpSpec struct {
		Methods []string `json:"methods"`
		Paths   []struct {
			Exact  string `json:"exact"`
			Prefix string `json:"prefix"`
		} `json:"paths"`
	}

	tierSpec struct {
		Order         *float64 `json:"order"`
		DefaultAction string   `json:"defaultAction"`
	}

	setSpec struct {
		Nets []string `json:"nets"`
	}

	hostSpec struct {
		Node          string     `json:"node"`
		InterfaceName string     `json:"interfaceName"`
		ExpectedIPs   []string   `json:"expectedIPs"`
		Profiles      []string   `json:"profiles"`
		Ports         []hostPort `json:"ports"`
	}

	hostPort struct {
		Name     string `json:"name"`
		Protocol raw    `json:"protocol"`
		Port     raw    `json:"port"`
	}

	profileSpec struct {
		Ingress       []raw             `json:"ingress"`
		Egress        []raw             `json:"egress"`
		LabelsToApply map[string]string `json:"labelsToApply"`
	}

	felixSpec struct {
		Inbound  *[]safePort `json:"failsafeInboundHostPorts"`
		Outbound *[]safePort `json:"failsafeOutboundHostPorts"`
	}

	safePort struct {
		Protocol string `json:"protocol"`
		Port     uint16 `json:"port"`
		Net      string `json:"net"`
	}

	controllersSpec struct {
		Controllers struct {
			Node struct {
				HostEndpoint struct {
					AutoCreate string `json:"autoCreate"`
				} `json:"hostEndpoint"`
			} `json:"node"`
		} `json:"controllers"`
	}
)

// A raw is a value that is decoded later, or never.
type raw []byte

func (r *raw) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

// specOf returns the spec of an object as it is.
func specOf(c *evidence.Custom) (raw, error) {
	var o struct {
		Spec raw `json:"spec"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(c.JSON, &o); err != nil {
		return nil, err
	}
	if len(o.Spec) == 0 {
		return raw("{}"), nil
	}
	return o.Spec, nil
}

// decode reads JSON whose place is at. A field that is not known, or stands there
// twice, is no error: the text returned says which it is.
func decode(data raw, at evidence.Path, into any) (unknown string, err error) {
	strict, err := json.UnmarshalStrict(data, into)
	if err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	if len(strict) > 0 {
		return fmt.Sprintf("%s: %s", at, strict[0]), nil
	}
	return "", nil
}

// decodeLoosely reads what is asked for and leaves all other fields alone.
func decodeLoosely(c *evidence.Custom, into any) error {
	spec, err := specOf(c)
	if err != nil {
		return err
	}
	return json.UnmarshalCaseSensitivePreserveInts(spec, into)
}

// A protocol is one of the protocols above IP. Whole is set where of is just that
// protocol, and not one of many without a name here.
type protocol struct {
	of    ports.Protocol
	whole bool
}

func (p *protocol) UnmarshalJSON(data []byte) error {
	text, err := unquote(data)
	if err != nil {
		return err
	}
	switch text {
	case "TCP", "6":
		*p = protocol{ports.TCP, true}
	case "UDP", "17":
		*p = protocol{ports.UDP, true}
	case "SCTP", "132":
		*p = protocol{ports.SCTP, true}
	case "ICMP", "1":
		*p = protocol{ports.ICMP, true}
	case "ICMPv6", "58":
		*p = protocol{ports.ICMPv6, true}
	case "UDPLite":
		*p = protocol{of: ports.Other}
	default:
		if n, err := strconv.ParseUint(text, 10, 8); err != nil || n == 0 {
			return fmt.Errorf("protocol %s is none", data)
		}
		*p = protocol{of: ports.Other}
	}
	return nil
}

// unquote returns a text or a number as text.
func unquote(data []byte) (string, error) {
	if len(data) == 0 || data[0] != '"' {
		return string(data), nil
	}
	var text string
	err := json.UnmarshalCaseSensitivePreserveInts(data, &text)
	return text, err
}

// A portRange is ports by number, or one by name.
type portRange struct {
	first, last uint16
	name        string
}

var (
	portNumbers = regexp.MustCompile(`^[0-9]+(:[0-9]+)?$`)
	portName    = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
)

func (p *portRange) UnmarshalJSON(data []byte) error {
	text, err := unquote(data)
	if err != nil {
		return err
	}
	if !portNumbers.MatchString(text) {
		if data[0] != '"' || !portName.MatchString(text) {
			return fmt.Errorf("port %s is neither a number nor a name", data)
		}
		*p = portRange{name: text}
		return nil
	}
	first, last, ok := strings.Cut(text, ":")
	if !ok {
		last = first
	}
	lo, errLo := strconv.ParseUint(first, 10, 16)
	hi, errHi := strconv.ParseUint(last, 10, 16)
	if errLo != nil || errHi != nil || lo < 1 || hi < lo {
		return fmt.Errorf("ports %s are not between 1 and 65535", data)
	}
	*p = portRange{first: uint16(lo), last: uint16(hi)}
	return nil
}

// check returns what the API server or Calico refuses a rule for.
func (r *ruleSpec) check(egress bool) error {
	switch r.Action {
	case "Allow", "Deny", "Log", "Pass":
	default:
		return fmt.Errorf("action %q is none", r.Action)
	}
	far, near := &r.Source, &r.Destination
	if egress {
		far, near = near, far
	}
	switch {
	case r.IPVersion != nil && *r.IPVersion != 4 && *r.IPVersion != 6:
		return fmt.Errorf("ipVersion %d is none", *r.IPVersion)
	case near.Services != nil:
		return errors.New("services of the policy's own side")
	case r.HTTP != nil && egress:
		return errors.New("http in a rule of egress")
	case r.HTTP != nil && r.Action != "Allow":
		return errors.New("http in a rule that does not allow")
	case r.HTTP != nil && r.Protocol != nil && r.Protocol.of != ports.TCP:
		return errors.New("http with a protocol other than TCP")
	}
	if err := r.checkICMP(); err != nil {
		return err
	}
	for _, e := range []*entitySpec{far, near} {
		if err := e.check(r.Protocol); err != nil {
			return err
		}
	}
	if r.HTTP == nil {
		return nil
	}
	return r.HTTP.check()
}

func (r *ruleSpec) checkICMP() error {
	isICMP := r.Protocol != nil && (r.Protocol.of == ports.ICMP || r.Protocol.of == ports.ICMPv6)
	for _, i := range []*icmpSpec{r.ICMP, r.NotICMP} {
		switch {
		case i == nil:
		case i.Type == nil && i.Code != nil:
			return errors.New("an ICMP code without a type")
		case i.Type != nil && (*i.Type < 0 || *i.Type > 254), i.Code != nil && (*i.Code < 0 || *i.Code > 255):
			return errors.New("an ICMP type or code that is none")
		}
	}
	if r.ICMP != nil && !isICMP {
		return errors.New("icmp with a protocol other than ICMP and ICMPv6")
	}
	for _, p := range []*protocol{r.Protocol, r.NotProtocol} {
		if p == nil || r.IPVersion == nil {
			continue
		}
		if p.of == ports.ICMP && *r.IPVersion != 4 || p.of == ports.ICMPv6 && *r.IPVersion != 6 {
			return fmt.Errorf("%s with ipVersion %d", p.of, *r.IPVersion)
		}
	}
	return nil
}

func (e *entitySpec) check(p *protocol) error {
	if s := e.Services; s != nil {
		switch {
		case s.Name == "":
			return errors.New("services without a name")
		case e.NamespaceSelector != "" || e.Selector != "" || e.NotSelector != "" || e.ServiceAccounts != nil ||
			len(e.Nets) > 0 || len(e.NotNets) > 0:
			return errors.New("services beside selectors, serviceAccounts or nets")
		}
	}
	for _, list := range [][]portRange{e.Ports, e.NotPorts} {
		if p != nil && !p.of.HasPorts() && len(list) > 0 {
			return errors.New("ports of a protocol that has none")
		}
		for _, r := range list {
			if p == nil && r.name == "" {
				return errors.New("ports by number without a protocol")
			}
		}
	}
	return nil
}

func (h *httpSpec) check() error {
	for _, p := range h.Paths {
		path := p.Exact + p.Prefix
		if (p.Exact == "") == (p.Prefix == "") || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "? #") {
			return fmt.Errorf("http path %q is none", path)
		}
	}
	return nil
}

// words says to which requests an http match restricts.
func (h *httpSpec) words() string {
	var paths []string
	for _, p := range h.Paths {
		if p.Exact != "" {
			paths = append(paths, p.Exact)
		} else {
			paths = append(paths, p.Prefix+"*")
		}
	}
	return strings.Join(append(append([]string{"HTTP"}, strings.Join(h.Methods, ",")), strings.Join(paths, ",")), " ")
}
