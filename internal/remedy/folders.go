package remedy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A folder is one that a container writes.
type folder struct {
	path string // absolute and clean
	size string // the sizeLimit of its volume
}

// usualSize is the sizeLimit where nobody says another: enough for process numbers,
// sockets and small temporary files.
const usualSize = "64Mi"

// readOnly completes the fix that makes a root file system read-only: with an emptyDir
// for each folder that the container is known to write.
func (k *Known) readOnly(w *evidence.Workload, c evidence.Container, fix *check.Fix) *check.Fix {
	full := *fix
	known, why := k.folders(w, c)
	if why == "" {
		full.Breaks = fmt.Sprintf("an application that writes anywhere but in its volumes: which folders the image %q writes is not known (--writes tells)", c.Image)
		return &full
	}
	if len(w.Moved) > 0 || w.ByShape {
		full.Breaks = fmt.Sprintf("an application that writes anywhere but in its volumes: %s; where a %s takes volumes for them is not known", why, w.Kind)
		return &full
	}
	full.Breaks = "an application that writes outside of its volumes: " + why
	names := k.names(w)
	volumes := w.Resolve(w.PodPath.Field("volumes"))
	mounts := w.Resolve(c.Path().Field("volumeMounts"))
	for _, f := range known {
		switch by := cover(w, c, f.path); {
		case by == nil:
			name := names[owned{c.List, c.Index, f.path}]
			full.With = append(full.With,
				check.Change{Path: volumes.Index(len(w.Pod.Volumes)+len(full.With)/2, name), Value: fmt.Sprintf("{name: %s, emptyDir: {sizeLimit: %s}}", plain(name), plain(f.size))},
				check.Change{Path: mounts.Index(len(c.VolumeMounts)+len(full.With)/2, name), Value: fmt.Sprintf("{name: %s, mountPath: %s}", plain(name), plain(f.path))})
		case by.readOnly:
			full.Breaks += fmt.Sprintf("; %s is in the volume at %s, which is read-only", f.path, by.path)
		}
	}
	if len(full.With) > 0 {
		full.Breaks += "; one that needs a file of its image in such a folder, which the volume hides; and one that writes more into it than the volume's size limit: its pod is evicted"
	}
	return &full
}

// folders are those that a container is known to write, without those within others, and
// how that is known; "" when it is not.
func (k *Known) folders(w *evidence.Workload, c evidence.Container) (list []folder, why string) {
	observed, seen := k.Writes.of(w, c)
	img, known := wellKnown(c.Image)
	switch {
	case seen && known:
		why = fmt.Sprintf("known are the folders that were observed and those of the image %s", img.name)
	case seen:
		why = "known are the folders that were observed"
	case known && img.base:
		why = fmt.Sprintf("known is what the image %s itself writes, not what the application in it does", img.name)
	case known:
		why = fmt.Sprintf("known is what the image %s writes by itself, not what it is configured to write besides", img.name)
	default:
		return nil, ""
	}
	if known && len(c.Command) > 0 {
		why += ", nor what the command does that stands in for the image's"
	}
	list = slices.Concat(observed, img.writes)
	slices.SortStableFunc(list, func(a, b folder) int { return strings.Compare(unlinked(a.path), unlinked(b.path)) })
	var outer []folder
	for _, f := range list {
		if n := len(outer); n == 0 || !within(f.path, outer[n-1].path) {
			outer = append(outer, f)
		}
	}
	return outer, why
}

// unlinked is a folder under the name that it has behind the links that every image has:
// /var/run is /run, and /var/lock is below it.
func unlinked(p string) string {
	for _, link := range [...][2]string{{"/var/run", "/run"}, {"/var/lock", "/run/lock"}} {
		if p == link[0] || strings.HasPrefix(p, link[0]+"/") {
			return link[1] + strings.TrimPrefix(p, link[0])
		}
	}
	return p
}

// within reports whether a path is another, or below it.
func within(p, outer string) bool {
	p, outer = unlinked(p), unlinked(outer)
	return p == outer || strings.HasPrefix(p, strings.TrimSuffix(outer, "/")+"/")
}

// A covering is a volume that a folder is in.
type covering struct {
	path     string
	readOnly bool
}

// cover is the innermost volume that a folder of a container is in, nil for none.
func cover(w *evidence.Workload, c evidence.Container, p string) (by *covering) {
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		if at := path.Clean("/" + m.MountPath); within(p, at) && (by == nil || within(at, by.path)) {
			by = &covering{at, m.ReadOnly || fixed(w, m.Name)}
		}
	}
	for _, d := range c.VolumeDevices {
		if at := path.Clean("/" + d.DevicePath); at == p {
			by = &covering{at, true}
		}
	}
	return by
}

// fixed reports whether a volume of a pod is of a kind that nobody can write.
func fixed(w *evidence.Workload, name string) bool {
	for i := range w.Pod.Volumes {
		if v := &w.Pod.Volumes[i]; v.Name == name {
			return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil || v.Image != nil
		}
	}
	return false
}

// owned tells the new volumes of a pod apart.
type owned struct {
	list  string
	index int
	path  string
}

// names are those of the volumes for all folders of all containers of a pod. They depend
// on the pod alone, and not on which of its containers is mended first.
func (k *Known) names(w *evidence.Workload) map[owned]string {
	taken := map[string]bool{}
	for i := range w.Pod.Volumes {
		taken[w.Pod.Volumes[i].Name] = true
	}
	for c := range w.Containers() {
		for _, m := range c.VolumeMounts { // those of a StatefulSet's claims are no volumes of the pod
			taken[m.Name] = true
		}
	}
	names := map[owned]string{}
	for c := range w.Containers() {
		list, _ := k.folders(w, c)
		for _, f := range list {
			if cover(w, c, f.path) != nil {
				continue
			}
			name := label(c.Name + f.path)
			for n := 0; taken[name]; n++ {
				name = label(fmt.Sprintf("%s%s#%d", c.Name, f.path, n))
			}
			taken[name] = true
			names[owned{c.List, c.Index, f.path}] = name
		}
	}
	return names
}

// maxLabel is the longest name of a volume.
const maxLabel = 63

// label makes of a text the name of a volume: letters, digits and dashes. What is left
// out of the text is told apart by a digest.
func label(text string) string {
	exact := true
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == '/':
			return '-'
		}
		exact = false
		return '-'
	}, text)
	name = strings.Trim(name, "-")
	if exact && len(name) <= maxLabel && name != "" {
		return name
	}
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:8]
	name = strings.TrimRight(name[:min(len(name), maxLabel-len(digest)-1)], "-")
	return strings.TrimLeft(name+"-"+digest, "-")
}

// plain writes a text as YAML: as it is where no reader takes it for anything else.
func plain(text string) string {
	safe := text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == ""
	word := safe && (text[0] == '/' || strings.ContainsAny(text, "-") && text[0] >= 'a' && text[0] <= 'z')
	if word || isSize(text) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return `""` // a string always encodes
	}
	return string(quoted)
}
