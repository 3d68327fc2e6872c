package process

import (
	"path"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// A mounted is a line of mountinfo, proc(5): which part of which file system is where.
type mounted struct {
	device, root, at string
	readOnly         bool
}

const (
	maxMountinfo = 4 << 20 // bytes
	maxMounts    = 10_000  // lines
)

// Mounts returns what of the node's files a process in a container sees, but for its
// own root: nothing when that may not be known. Both see the same file system under
// the same number of a device.
func Mounts(t *tree.Tree, pid int) (list []evidence.Mount) {
	byDevice := map[string][]mounted{}
	for _, m := range mountinfo(t, 1) {
		byDevice[m.device] = append(byDevice[m.device], m)
	}
	for _, m := range mountinfo(t, pid) {
		if m.at == "/" {
			continue
		}
		best, found := mounted{}, false
		for _, h := range byDevice[m.device] {
			if _, ok := below(m.root, h.root); ok && (!found || len(h.root) > len(best.root)) {
				best, found = h, true
			}
		}
		if rest, _ := below(m.root, best.root); found {
			list = append(list, evidence.Mount{Host: path.Join(best.at, rest), Container: m.at, ReadOnly: m.readOnly})
		}
	}
	return list
}

// below returns the part of a path that is below a folder; false when it is not.
func below(file, folder string) (string, bool) {
	folder = strings.TrimSuffix(folder, "/")
	rest, ok := strings.CutPrefix(file, folder)
	return rest, ok && (rest == "" || rest[0] == '/')
}

func mountinfo(t *tree.Tree, pid int) (list []mounted) {
	data, err := t.ReadFile(file(pid, "mountinfo"), maxMountinfo)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || len(list) == maxMounts {
			continue
		}
		list = append(list, mounted{
			device: fields[2], root: octal(fields[3]), at: path.Clean("/" + octal(fields[4])),
			readOnly: fields[5] == "ro" || strings.HasPrefix(fields[5], "ro,"),
		})
	}
	return list
}

// octal replaces the escapes that stand for blanks: \040.
func octal(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}
