package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// configName is looked for from the working folder up.
const configName = ".gabion.yaml"

// config is what a .gabion.yaml may say. A flag wins over it.
type config struct {
	// KubernetesVersion is the release to judge as, X.Y.
	KubernetesVersion string `yaml:"kubernetesVersion"`
	// FailOn is the least severity that makes the exit code 1, or none.
	FailOn string `yaml:"failOn"`
	Images struct {
		// Trusted are registries, or registry/path prefixes, that images may come from.
		Trusted []string `yaml:"trusted"`
	} `yaml:"images"`
	Network struct {
		// Sensitive are CIDRs outside the cluster that workloads must not reach, by name.
		Sensitive map[string]string `yaml:"sensitive"`
		// Pods and Nodes are the ranges that their addresses come from, where the cluster's
		// nodes do not tell.
		Pods  []string `yaml:"pods"`
		Nodes []string `yaml:"nodes"`
		// Ranges are networks outside the cluster, by the names that answers call them by.
		Ranges map[string][]string `yaml:"ranges"`
	} `yaml:"network"`
	Namespaces struct {
		// System are namespaces besides kube-* whose workloads belong to the platform.
		System []string `yaml:"system"`
	} `yaml:"namespaces"`
	Workloads struct {
		// Untrusted are pod labels of workloads that need a sandboxed runtime.
		Untrusted map[string]string `yaml:"untrusted"`
	} `yaml:"workloads"`
	// ExceptionFiles are read besides --exceptions, relative to this file.
	ExceptionFiles []string                    `yaml:"exceptionFiles"`
	Exceptions     []located[engine.Exception] `yaml:"exceptions"`
	Attestations   []engine.Attestation        `yaml:"attestations"`

	path string
}

// located is a value with the line it begins on.
type located[T any] struct {
	Value T
	Line  int
}

// UnmarshalYAML keeps the line. Unknown fields are refused here, since the
// decoder's own strictness does not reach through an Unmarshaler.
func (l *located[T]) UnmarshalYAML(n *yaml.Node) error {
	text, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&l.Value); err != nil {
		return fmt.Errorf("line %d: %s", n.Line, inEntry.ReplaceAllString(oneLine(err), ""))
	}
	l.Line = n.Line
	return nil
}

// inEntry is what the decoder says of lines and Go types: the lines count from
// the entry, and nobody outside knows the types.
var inEntry = regexp.MustCompile(`line \d+: | in type \S+`)

// oneLine spells the decoder's list of faults in one line.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", ";")), " ")
}

// loadConfig reads the file, or the nearest .gabion.yaml when none is named. No
// file is an empty configuration.
func loadConfig(file, dir string) (*config, error) {
	if file == "" {
		if file = nearest(dir); file == "" {
			return &config{}, nil
		}
	}
	c := &config{path: file}
	if err := decodeStrict(file, c); err != nil {
		return nil, err
	}
	if _, err := c.reach(nil, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, a := range c.Attestations {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return c, nil
}

func nearest(dir string) string {
	for {
		file := filepath.Join(dir, configName)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// decodeStrict decodes a YAML file into v; unknown fields and further documents
// are errors.
func decodeStrict(file string, v any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	switch err := dec.Decode(v); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %s", file, oneLine(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: want one document", file)
	}
	return nil
}

// exceptionFile is what --exceptions names.
type exceptionFile struct {
	APIVersion string                      `yaml:"apiVersion"`
	Kind       string                      `yaml:"kind"`
	Exceptions []located[engine.Exception] `yaml:"exceptions"`
}

// exceptions gathers those of the configuration, of the files it names and of
// the files given as flags.
func (c *config) exceptions(flags []string) ([]engine.Exception, error) {
	list, err := sound(c.path, c.Exceptions)
	if err != nil {
		return nil, err
	}
	files := []string{}
	for _, f := range c.ExceptionFiles {
		if !filepath.IsAbs(f) {
			f = filepath.Join(filepath.Dir(c.path), f)
		}
		files = append(files, f)
	}
	for _, file := range append(files, flags...) {
		var f exceptionFile
		if err := decodeStrict(file, &f); err != nil {
			return nil, fmt.Errorf("exceptions: %w", err)
		}
		more, err := sound(file, f.Exceptions)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func sound(file string, list []located[engine.Exception]) ([]engine.Exception, error) {
	var out []engine.Exception
	for _, l := range list {
		l.Value.Source = fmt.Sprintf("%s:%d", file, l.Line)
		if err := l.Value.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Value.Source, err)
		}
		out = append(out, l.Value)
	}
	return out, nil
}

// settings are what the checks need to know of the configuration.
func (c *config) settings(version string) (check.Settings, error) {
	s := check.Settings{
		Version:           evidence.Newest(),
		TrustedRegistries: c.Images.Trusted,
		SensitiveRanges:   c.Network.Sensitive,
		SystemNamespaces:  c.Namespaces.System,
		UntrustedSelector: c.Workloads.Untrusted,
	}
	if version == "" {
		version = c.KubernetesVersion
	}
	if version != "" {
		v, err := evidence.ParseVersion(version)
		if err != nil {
			return s, err
		}
		s.Version = v
	}
	var err error
	s.Network, err = c.reach(nil, nil)
	return s, err
}
