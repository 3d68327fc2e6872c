package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodSecurityAdmission reports API servers that enforce no pod security, or none where
// a namespace does not ask for it (guide: Pod security enforcement; KEP-2579).
var PodSecurityAdmission = &check.Check{
	ID:             "pod-security-admission",
	Title:          "API server enforces no pod security by default",
	Recommendation: "ENF-01",
	Severity:       guide.High,
	Remedy:         "leave the admission plugin PodSecurity on, and set defaults.enforce to baseline or restricted in its configuration",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server enforces pod security, and by which default",
	Doc: `Pod Security Admission refuses insecure pods by the labels of their namespace. It has
to be switched on, and what holds for a namespace without a label is in the API
server's admission configuration: privileged, so nothing, unless it says otherwise.

Looked at are the admission plugins (PodSecurity is on from 1.23 on unless it is
disabled, or its feature gate in 1.23 and 1.24; before that PodSecurityPolicy has to be
enabled) and the default level in the file of admission-control-config-file. No default
is a low finding: namespaces that carry a label are enforced all the same. Where
another policy engine among the objects refuses insecure pods, none of it is judged.
The plugin AlwaysAdmit is none: it adds nothing and switches nothing off.

` + "```yaml" + `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: PodSecurity
    configuration:
      apiVersion: pod-security.admission.config.k8s.io/v1
      kind: PodSecurityConfiguration
      defaults: {enforce: baseline, enforce-version: latest}
` + "```",
	Run: eachComponent(podSecurityAdmission, evidence.APIServer),
}

const podSecurityPlugin = "PodSecurity"

// A podSecurityConfig is what is looked at of a PodSecurityConfiguration.
type podSecurityConfig struct {
	Defaults struct {
		Enforce string `json:"enforce"`
	} `json:"defaults"`
	Exemptions struct {
		Usernames      []string `json:"usernames"`
		Namespaces     []string `json:"namespaces"`
		RuntimeClasses []string `json:"runtimeClasses"`
	} `json:"exemptions"`
}

func podSecurityAdmission(n *node, c *evidence.Component) {
	if podSecurityControl(n.Scan) != "" {
		return
	}
	plugin, since := podSecurityPlugin, true
	if !n.runs(c).AtLeast(23) {
		plugin, since = "PodSecurityPolicy", false
	}
	on, at, known := n.plugin(c, plugin, since)
	if !known {
		return
	}
	if !on {
		flag := "enable-admission-plugins"
		if since {
			flag = "disable-admission-plugins"
		}
		n.say(at.at, flagPath(c, flag).Field(plugin), at.value, "%s lets in pods of any kind: the admission plugin %s is off", c.Name, plugin)
		return
	}
	if f, off := n.gatedOff(c, podSecurityPlugin); off {
		n.say(f.Place, flagPath(c, f.Name).Field(podSecurityPlugin), f.Value, "%s lets in pods of any kind: the feature gate %s is off", c.Name, podSecurityPlugin)
		return
	}
	if since {
		n.defaultLevel(c)
	}
}

// gatedOff reports whether a release in which PodSecurity can be gated has it off.
func (n *node) gatedOff(c *evidence.Component, gate string) (evidence.Flag, bool) {
	v := n.runs(c)
	f, given := c.Flag("feature-gates")
	off := given && v.AtLeast(23) && !v.AtLeast(25) && !gateIn(f.Value, gate, true)
	return f, off
}

func (n *node) defaultLevel(c *evidence.Component) {
	var conf podSecurityConfig
	doc, where, known := n.pluginConfig(c, podSecurityPlugin, &conf)
	if !known || enforces(conf.Defaults.Enforce) {
		return
	}
	const text = "%s enforces no level of pod security in a namespace without a label"
	var p *check.Problem
	if where == nil {
		p = n.say(c.Place, flagPath(c, admissionConfigFlag), "", text, c.Name)
	} else {
		p = n.sayIn(c, admissionConfigFlag, doc, func(p evidence.Path) evidence.Path {
			return where(p).Field("defaults", "enforce")
		}, conf.Defaults.Enforce, text, c.Name)
	}
	p.Severity, p.SeverityReason = guide.Low, "namespaces with a label of their own are enforced all the same"
}

func enforces(level string) bool { return level == "baseline" || level == "restricted" }

// podSecurityDefault is the level that every API server seen enforces in a namespace
// without a label, "" for none.
func podSecurityDefault(s *check.Scan, namespace string) (level string) {
	for _, h := range s.Hosts {
		c := h.Component(evidence.APIServer)
		if c == nil {
			continue
		}
		// What cannot be told of the configuration is said by the checks of it.
		quiet := &node{Run: &check.Run{Scan: s}, Host: h}
		var conf podSecurityConfig
		on, _, _ := quiet.plugin(c, podSecurityPlugin, quiet.runs(c).AtLeast(23))
		_, _, known := quiet.pluginConfig(c, podSecurityPlugin, &conf)
		_, off := quiet.gatedOff(c, podSecurityPlugin)
		if !on || off || !known || !enforces(conf.Defaults.Enforce) || slices.Contains(conf.Exemptions.Namespaces, namespace) {
			return ""
		}
		level = conf.Defaults.Enforce
	}
	return level
}
