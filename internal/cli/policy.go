package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/policy"
	"github.com/gabion-k8s/gabion/internal/source/files"
)

// loadPolicies reads the files that --policy names; of a folder those that look
// like manifests, in the folders below it too. Without any it returns nil.
func loadPolicies(paths []string) (*policy.Set, error) {
	var list []policy.File
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			f, err := readPolicy(path)
			if err != nil {
				return nil, err
			}
			list = append(list, f)
			continue
		}
		err = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && file != path && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case !d.Type().IsRegular() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
				return nil
			}
			f, err := readPolicy(file)
			list = append(list, f)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(paths) == 0 {
		return nil, nil
	}
	set, err := policy.Load(list)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	for _, name := range set.Names() {
		if _, taken := checks.Find(name); taken {
			return nil, fmt.Errorf("--policy: policy %q has the name of a rule; rename it", name)
		}
	}
	return set, nil
}

func readPolicy(file string) (policy.File, error) {
	info, err := os.Stat(file)
	if err != nil {
		return policy.File{}, err
	}
	if info.Size() > files.MaxFileSize {
		return policy.File{}, fmt.Errorf("%s: too big for a file of policies", file)
	}
	data, err := os.ReadFile(file)
	return policy.File{Name: file, Data: data}, err
}

// judgePolicies returns what the user's own policies say of a world, and adds to
// its sources what they could not be asked about.
func (p *plan) judgePolicies(ctx context.Context, world *evidence.Snapshot) ([]engine.Extra, error) {
	if p.policies == nil {
		return nil, nil
	}
	found, rows, err := p.policies.Judge(ctx, world)
	if err != nil {
		return nil, fmt.Errorf("judge by policies: %w", err)
	}
	world.Sources = append(world.Sources, rows...)
	return found, nil
}
