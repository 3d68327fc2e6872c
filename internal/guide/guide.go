// Package guide is the ledger of the NSA/CISA Kubernetes Hardening Guide: every
// recommendation, in words of our own, with what proves it, what puts it right
// and where following the guide to the letter does harm. It also knows the
// severities.
//
// It is data. It judges nothing and does not know the rules: they name the
// recommendation that they serve.
package guide

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Title is the guide that the ledger answers for.
const Title = "NSA/CISA Kubernetes Hardening Guide v1.2"

// A Recommendation is one row of the ledger. All texts are plain English in one
// paragraph without markup.
type Recommendation struct {
	// ID is the row's name, such as POD-05. It is never changed or reused.
	ID string `yaml:"id" json:"id"`
	// Title states what should be so, without a full stop.
	Title string `yaml:"title" json:"title"`
	// Section is the heading that people look for it under.
	Section string `yaml:"-" json:"section"`
	// Severity is our proposal, the guide gives none; SeverityReason is one
	// sentence that says why, and when a finding ranks higher.
	Severity       Severity `yaml:"severity" json:"severity"`
	SeverityReason string   `yaml:"severityReason" json:"severityReason"`
	// Place is where the guide says it.
	Place Place `yaml:"guide" json:"guide"`
	// Text is what the guide asks for and why.
	Text string `yaml:"text" json:"text"`
	// Proof is what would show that the recommendation is met, and what would
	// show that it is not.
	Proof string `yaml:"proof" json:"proof"`
	// Evidence lists the kinds of evidence that speak to it, the most telling
	// first.
	Evidence []Evidence `yaml:"evidence" json:"evidence"`
	// Fix is how to put it right.
	Fix string `yaml:"fix" json:"fix"`
	// Trap, if any, is where the guide's own text or example does harm, and what
	// to do instead.
	Trap string `yaml:"trap" json:"trap,omitempty"`
	// NoRule, if any, says why no rule can decide the row from objects in files,
	// and what does. Every row has either this or a rule.
	NoRule string `yaml:"noRule" json:"noRule,omitempty"`
	// Manual marks rows that no machine can decide: a person's dated statement
	// does.
	Manual bool `yaml:"manual" json:"manual,omitempty"`
}

// A Place is where the guide makes a recommendation.
type Place struct {
	// Where names sections, tables and appendices. Appendix letters are those of
	// version 1.0; later versions shift some of them.
	Where string `yaml:"where" json:"where"`
	// Page is a list of pages and ranges of version 1.0 ("2, 10-11"), empty for
	// what came later.
	Page string `yaml:"page" json:"page"`
	// Since is the first version of the guide with the recommendation: 1.0 or 1.1.
	Since string `yaml:"since" json:"since"`
	// Confirmed is false where no source at hand holds the wording, which is then
	// provisional.
	Confirmed bool `yaml:"confirmed" json:"confirmed"`
}

// Evidence is a kind of evidence: where one has to look to decide a row.
type Evidence string

// The kinds of evidence.
const (
	Manifest        Evidence = "manifest"        // objects in files, charts and overlays
	Cluster         Evidence = "cluster"         // the live API
	Host            Evidence = "host"            // files and processes of a node
	Image           Evidence = "image"           // configuration and layers of an image
	AuditLog        Evidence = "audit-log"       // recorded events, of the API server above all
	Probe           Evidence = "probe"           // an attempt to connect
	Vulnerabilities Evidence = "vulnerabilities" // advisories
	Attestation     Evidence = "attestation"     // a statement by a person or another system
)

// Describe says in words what the evidence is; empty for an unknown kind.
func (e Evidence) Describe() string {
	switch e {
	case Manifest:
		return "objects in files, charts and overlays"
	case Cluster:
		return "the live cluster's API"
	case Host:
		return "files and processes of the nodes"
	case Image:
		return "configuration and layers of container images"
	case AuditLog:
		return "audit and system logs"
	case Probe:
		return "connection attempts over the network"
	case Vulnerabilities:
		return "vulnerability data"
	case Attestation:
		return "a dated statement by a person or another system"
	}
	return ""
}

// Read reports whether scans read the kind of evidence so far.
func (e Evidence) Read() bool {
	return e == Manifest || e == Cluster || e == Host || e == Probe || e == Attestation
}

// Flag is how a scan is given the evidence: the flag of the command line, or the file.
func (e Evidence) Flag() string {
	switch e {
	case Manifest:
		return "PATH"
	case Cluster:
		return "--cluster"
	case Host:
		return "--host-root"
	case Image:
		return "--image"
	case AuditLog:
		return "--audit-log"
	case Probe:
		return "--probe"
	case Vulnerabilities:
		return "gabion db import"
	case Attestation:
		return "an attestation in .gabion.yaml"
	}
	return ""
}

// UnmarshalText reads the name of a kind of evidence and refuses unknown ones.
func (e *Evidence) UnmarshalText(text []byte) error {
	v := Evidence(text)
	if v.Describe() == "" {
		return fmt.Errorf("unknown kind of evidence %q", text)
	}
	*e = v
	return nil
}

//go:embed ledger/*.yaml
var files embed.FS

var ledger = sync.OnceValue(func() []Recommendation {
	rows, err := read(files)
	if err != nil {
		panic(err) // a build with a broken ledger: the tests of this package exclude it
	}
	return rows
})

var index = sync.OnceValue(func() map[string]Recommendation {
	m := make(map[string]Recommendation)
	for _, r := range ledger() {
		m[r.ID] = r
	}
	return m
})

// All returns every recommendation in the ledger's order. The slice is the
// caller's own; the lists of evidence in it are shared and must not be changed.
func All() []Recommendation { return slices.Clone(ledger()) }

// Find returns the recommendation of that id, in any case.
func Find(id string) (Recommendation, bool) {
	r, ok := index()[strings.ToUpper(id)]
	return r, ok
}

// read decodes the ledger's files in the order of their names.
func read(fsys fs.FS) ([]Recommendation, error) {
	names, err := fs.Glob(fsys, "ledger/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the ledger: %w", err)
	}
	var rows []Recommendation
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		section, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		rows = append(rows, section...)
	}
	return rows, nil
}

// decode reads one file of the ledger: one section, in one document.
func decode(data []byte) ([]Recommendation, error) {
	var file struct {
		Section         string           `yaml:"section" json:"section"`
		Recommendations []Recommendation `yaml:"recommendations" json:"recommendations"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	for i := range file.Recommendations {
		r := &file.Recommendations[i]
		r.Section = file.Section
		for _, text := range []*string{&r.SeverityReason, &r.Text, &r.Proof, &r.Fix, &r.Trap, &r.NoRule} {
			*text = strings.TrimSpace(*text)
		}
	}
	return file.Recommendations, nil
}
