package kustomize

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
)

// A view is the file system as it would be with some files edited, and some added:
// their bytes by real path. The zero view is the file system as it is.
type view map[string][]byte

// newView makes a view of files by the paths that a person would write.
func newView(edited map[string][]byte) (view, error) {
	v := view{}
	for name, data := range edited {
		real, err := realOfNew(name)
		if err != nil {
			return nil, err
		}
		v[real] = data
	}
	return v, nil
}

// realOfNew is the real path of a file that need not exist, nor its folders.
func realOfNew(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	missing := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, missing), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return "", err
		}
		missing = filepath.Join(filepath.Base(at), missing)
	}
}

// real is an absolute path without symbolic links.
func (v view) real(path string) (string, error) {
	real, err := realPath(path)
	if err == nil || len(v) == 0 {
		return real, err
	}
	added, addErr := realOfNew(path)
	if _, isFile := v[added]; addErr == nil && (isFile || v.hasBelow(added)) {
		return added, nil
	}
	return "", err
}

func (v view) hasBelow(folder string) bool {
	for name := range v {
		if strings.HasPrefix(name, folder+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// edited returns the bytes of a file that was edited or added.
func (v view) edited(path string) ([]byte, bool) {
	if len(v) == 0 {
		return nil, false
	}
	real, err := v.real(path)
	if err != nil {
		return nil, false
	}
	data, ok := v[real]
	return data, ok
}

func (v view) read(path string) ([]byte, error) {
	if data, ok := v.edited(path); ok {
		return slices.Clone(data), nil
	}
	return readBounded(path)
}

func (v view) isFolder(path string) bool {
	if isFolder(path) {
		return true
	}
	if len(v) == 0 {
		return false
	}
	real, err := v.real(path)
	return err == nil && v.hasBelow(real)
}

func (v view) isFile(path string) bool {
	_, ok := v.edited(path)
	return ok || isFile(path)
}

// exists tells whether there is something at path.
func (v view) exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || v.isFile(path) || v.isFolder(path)
}

// kustomizationFiles are the kustomization files in dir, under the names that
// Kustomize knows.
func (v view) kustomizationFiles(dir string) []string {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if _, added := v.edited(file); added || err == nil && info.Mode().IsRegular() {
			found = append(found, file)
		}
	}
	return found
}
