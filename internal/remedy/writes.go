package remedy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Writes are folders that containers were observed to write.
type Writes struct {
	containers map[writer][]folder
	images     map[string][]folder // by reference as it is written
}

// A writer is a container of an object. Kinds are in lower case.
type writer struct{ namespace, kind, name, container string }

// Bounds of a file of observed folders.
const (
	maxWrites = 100_000
	maxFolder = 1024 // bytes
)

// ParseWrites reads folders that were observed to be written. Each line is one:
//
//	NAMESPACE/KIND/NAME CONTAINER FOLDER [SIZE]
//	image IMAGE FOLDER [SIZE]
//
// separated by spaces or tabs; the kind in any case (shop/deployment/web), the image as
// manifests name it (registry.example.com/shop/web:1.4), or without its tag for all of
// them. SIZE is the most that is written there, 64Mi when it is not said. What follows a
// # is a comment. Errors name the line.
func ParseWrites(name string, text []byte) (*Writes, error) {
	w := &Writes{containers: map[writer][]folder{}, images: map[string][]folder{}}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if lines++; lines > maxWrites {
			return nil, fmt.Errorf("%s: more than %d lines", name, maxWrites)
		}
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			if err := w.add(fields); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, lines, err)
			}
		}
	}
	return w, nil
}

func (w *Writes) add(fields []string) error {
	if len(fields) < 3 || len(fields) > 4 {
		return fmt.Errorf("%d fields: want NAMESPACE/KIND/NAME CONTAINER FOLDER [SIZE], or image IMAGE FOLDER [SIZE]", len(fields))
	}
	f := folder{size: usualSize}
	var err error
	if f.path, err = cleanFolder(fields[2]); err != nil {
		return err
	}
	if len(fields) == 4 {
		if f.size = fields[3]; !isSize(f.size) {
			return fmt.Errorf("%q is no size: want one such as 64Mi", f.size)
		}
	}
	if fields[0] == "image" {
		w.images[fields[1]] = append(w.images[fields[1]], f)
		return nil
	}
	object := strings.Split(fields[0], "/")
	if len(object) != 3 || slices.Contains(object, "") {
		return fmt.Errorf("%q names no object: want NAMESPACE/KIND/NAME, such as shop/deployment/web", fields[0])
	}
	key := writer{object[0], strings.ToLower(object[1]), object[2], fields[1]}
	w.containers[key] = append(w.containers[key], f)
	return nil
}

// of are the folders that a container was observed to write, and whether anything is
// said of it.
func (w *Writes) of(owner *evidence.Workload, c evidence.Container) (list []folder, said bool) {
	if w == nil {
		return nil, false
	}
	list = append(list, w.containers[writer{owner.Namespace, strings.ToLower(owner.Kind), owner.Name, c.Name}]...)
	list = append(list, w.images[c.Image]...)
	if repository := withoutTag(c.Image); repository != c.Image {
		list = append(list, w.images[repository]...)
	}
	return list, len(list) > 0
}

// wholes are folders that an empty volume must not hide: what the image is made of is in
// them. Folders below them may be given.
var wholes = [...]string{"/", "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64",
	"/usr/libexec", "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/local/sbin", "/usr/sbin", "/usr/share", "/var", "/var/lib"}

// kernels are folders of the kernel and of the runtime: nothing below them is a place
// for a volume.
var kernels = [...]string{"/dev", "/proc", "/sys", "/run/secrets"}

// cleanFolder checks a folder and returns it without dots and double slashes.
func cleanFolder(text string) (string, error) {
	switch {
	case len(text) > maxFolder:
		return "", fmt.Errorf("a folder of %d bytes: want at most %d", len(text), maxFolder)
	case !strings.HasPrefix(text, "/"):
		return "", fmt.Errorf("folder %q: want an absolute path", text)
	case slices.Contains(strings.Split(text, "/"), ".."):
		return "", fmt.Errorf("folder %q: want a path without ..", text)
	case strings.ContainsRune(text, ':'), strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("folder %q: no volume can be mounted under this name", text)
	}
	clean := path.Clean(text)
	if slices.Contains(wholes[:], clean) {
		return "", fmt.Errorf("folder %q: an empty volume there would hide what the image is made of; name the folders below it that are written", text)
	}
	for _, k := range kernels {
		if within(clean, k) {
			return "", fmt.Errorf("folder %q: %s is no place for a volume", text, k)
		}
	}
	return clean, nil
}

// isSize reports whether a text is a size that a volume can be limited to.
func isSize(text string) bool {
	q, err := resource.ParseQuantity(text)
	return err == nil && q.Sign() > 0 && q.String() == text
}
