package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/fix"
)

// closed says that a chart makes its ServiceAccounts itself, by which value if it has the
// usual one.
func (c *chartFolder) closed(_ texts, a *check.Addition) error {
	if c.chart != nil {
		values, err := c.chart.Values(c.options.Helm)
		account, _ := values["serviceAccount"].(map[string]any)
		if create, has := account["create"].(bool); err == nil && has && !create {
			return fmt.Errorf("%s is for the chart to make: set serviceAccount.create in its values", newObject(a))
		}
	}
	return fmt.Errorf("%s would have to be a template of the chart: write one, and name it in serviceAccountName", newObject(a))
}

// closed says why an object cannot be one more resource of an overlay.
func (o *overlay) closed(before texts, a *check.Addition) error {
	switch {
	case o.unfit != "":
		return errors.New(o.unfit)
	case o.editBase:
		return fmt.Errorf("%s would have to be a resource of the overlay: without --base it is added to it", newObject(a))
	}
	_, err := o.withResources(before[o.file], []*check.Addition{a})
	return err
}

// withResources is a kustomization with objects among its resources, in files beside it.
func (o *overlay) withResources(kustomization []byte, list []*check.Addition) ([]byte, error) {
	var now struct {
		Resources []any `json:"resources"`
	}
	if err := yaml.Unmarshal(kustomization, &now); err != nil {
		return nil, err
	}
	edits := make([]fix.Edit, len(list))
	for i, a := range list {
		edits[i].Fields = []fix.Field{{Path: fmt.Sprintf("resources[%d]", len(now.Resources)), Value: filepath.Base(o.fileOf(a))}}
	}
	out, outcomes := fix.Apply(kustomization, edits)
	for _, made := range outcomes {
		if made.Err != nil {
			return nil, fmt.Errorf("resources of %s: %w", o.file, made.Err)
		}
	}
	return out, nil
}

// fileOf is the file of a new resource.
func (o *overlay) fileOf(a *check.Addition) string {
	return filepath.Join(o.source.Ref, "gabion-"+strings.ToLower(a.Kind)+"-"+a.Name+".yaml")
}

// addResources makes the objects that the fixes of a list need resources of the overlay.
func (o *overlay) addResources(before, changed texts, list []wanted, outcomes []outcome) error {
	var some []*check.Addition
	for i, w := range list {
		if w.adds == nil || outcomes[i].err != nil {
			continue
		}
		name := o.fileOf(w.adds)
		some = append(some, w.adds)
		changed[name] = []byte(w.adds.Text)
		outcomes[i].edits = append(outcomes[i].edits, madeEdit{file: name, value: w.adds.Text})
	}
	if len(some) == 0 {
		return nil
	}
	kustomization, touched := changed[o.file]
	if !touched {
		kustomization = before[o.file]
	}
	out, err := o.withResources(kustomization, some)
	changed[o.file] = out
	return err
}
