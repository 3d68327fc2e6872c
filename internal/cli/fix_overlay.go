package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gabion-k8s/gabion/internal/evidence"
	layers "github.com/gabion-k8s/gabion/internal/fix/overlay"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/kustomize"
)

// overlayOptions say how overlays are edited.
type overlayOptions struct {
	base bool
}

func (o *overlayOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.base, "base", false, "overlays: edit the base file that an object is written in, rather than adding a patch")
}

// An overlay is a folder with a kustomization, which gets patches; or its bases are
// edited.
type overlay struct {
	renderedSource
	editBase bool
	// file is the kustomization, root the folder that was named and that it is in.
	file, root string
	own        []string // names of files that may be edited
	// unfit is why nothing of it can be edited, "" when it can.
	unfit string
}

func (o *overlay) load() (texts, error) {
	dir := o.source.Ref
	refs, err := kustomize.References(dir)
	if err != nil {
		return nil, usageError{err}
	}
	o.file, o.root = refs.File, o.rootOf(dir)
	names := []string{o.file}
	if o.editBase {
		built, err := kustomize.Build(context.Background(), dir, o.root)
		if err != nil {
			return nil, usageError{err}
		}
		names = nil
		for _, object := range built.Objects {
			if at, ok := object.Written(); ok && !slices.Contains(names, at.File) {
				names = append(names, at.File)
			}
		}
	} else if made, err := filepath.Glob(filepath.Join(escapeGlob(dir), layers.Prefix+"*.yaml")); err == nil {
		names = append(names, made...)
	}
	all := texts{}
	for _, name := range names {
		if why := linked(name); why != "" {
			o.unfit = why
			return texts{}, nil
		}
		if all[name], err = readBounded(name); err != nil {
			return nil, usagef("read %s: %w", name, err)
		}
	}
	o.own = names
	return all, nil
}

// linked says that a file is a symbolic link: what is written through it would land
// somewhere else.
func linked(name string) string {
	if info, err := os.Lstat(name); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return name + " is a symbolic link: edit what it leads to"
	}
	return ""
}

// escapeGlob writes a path so that a pattern means just it.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// rootOf is the named folder that a folder is in.
func (o *overlay) rootOf(dir string) string {
	for _, path := range o.options.Paths {
		if below, err := filepath.Rel(path, dir); err == nil && filepath.IsLocal(below) {
			return path
		}
	}
	return dir
}

func (o *overlay) apply(before texts, list []wanted) (texts, []outcome) {
	if o.unfit != "" {
		return nil, refusedAll(list, errors.New(o.unfit))
	}
	return o.once(before, list, o.make)
}

func (o *overlay) make(before texts, list []wanted) (texts, []outcome) {
	maker := layers.New(context.Background(), o.source.Ref, o.root, o.file, o.editBase)
	own := rendered.Files{}
	for _, name := range o.own {
		own[name] = before[name]
	}
	world, _, err := maker.Render(own)
	if err != nil {
		return nil, refusedAll(list, err)
	}
	outcomes := make([]outcome, len(list))
	wants, of := wantsOf(list, outcomes, func(ref *evidence.Ref) string {
		return world.FindNamed(ref.APIVersion, ref.Kind, ref.Namespace, ref.Name)
	})
	result, err := rendered.MakeWhole(maker.Make, own, wants, of)
	if err != nil {
		return nil, refusedAll(list, err)
	}
	changed, outcomes := settle(world, own, result, wants, of, outcomes)
	for name := range changed {
		if _, existed := own[name]; !existed && filepath.Dir(name) != filepath.Clean(o.source.Ref) {
			return nil, refusedAll(list, fmt.Errorf("%s would be made outside of %s", name, o.source.Ref))
		}
	}
	if err := o.addResources(before, changed, list, outcomes); err != nil {
		return nil, refusedAll(list, err)
	}
	return changed, outcomes
}
