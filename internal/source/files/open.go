package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// MaxFileSize is the largest file that is read, in bytes. The API server takes
// objects of at most 1.5 MiB; a dump of a large cluster has some tens of MiB.
const MaxFileSize = 128 << 20

// read reads files, several at a time.
func (r *reader) read(texts []*text, s setting) {
	parallel(len(texts), func() func(int) {
		decoder := r.decoder(s)
		return func(i int) {
			if r.ctx.Err() == nil {
				r.say(texts[i].name)
				texts[i].results = s.finish(texts[i].read(decoder, s))
			}
		}
	})
}

func (t *text) read(decoder *manifest.Reader, s setting) []manifest.Result {
	data, err := readFile(t.name)
	if err != nil {
		return []manifest.Result{manifest.Unreadable(t.name, err.Error())}
	}
	results := decoder.Read(t.name, s.Substitute.Replace(data))
	if len(results) == 0 {
		return skipped(t.name, "nothing in it but blanks and comments")
	}
	familiar := sync.OnceValue(func() bool { return !t.found || speaksOfObjects(data) })
	for i, res := range results {
		switch {
		case res.Err != nil && !familiar():
			res.Err.Reason = "not a Kubernetes object (no apiVersion, no kind), and broken: " + res.Err.Reason
			results[i] = manifest.Result{Skipped: res.Err}
		case t.beside && isPatch(res):
			at := res.Ref.Position(evidence.Path{})
			results[i] = manifest.Result{Skipped: &evidence.Issue{File: at.File, Line: at.Line, Reason: fmt.Sprintf("%s has no image: taken for a patch, which no kustomization here that can be built uses", res.Ref.Kind)}}
		}
	}
	return results
}

// isPatch reports whether an object is too little for the API server to take it:
// a pod without an image.
func isPatch(res manifest.Result) bool {
	pods, _ := res.Object.([]*evidence.Workload)
	for _, w := range pods {
		if w.ByShape || w.Partial != "" {
			continue
		}
		if len(w.Pod.Containers) == 0 {
			return true
		}
		for _, c := range w.Pod.Containers {
			if c.Image == "" {
				return true
			}
		}
	}
	return false
}

func skipped(file, reason string) []manifest.Result {
	return []manifest.Result{{Skipped: issue(file, reason)}}
}

func issue(file, reason string) *evidence.Issue { return &evidence.Issue{File: file, Reason: reason} }

// speaksOfObjects reports whether a text has a field that every object has. What
// a broken file without any was meant to be is no object.
func speaksOfObjects(data []byte) bool {
	data = bytes.ReplaceAll(data, []byte{0}, nil) // UTF-16
	return bytes.Contains(data, []byte("apiVersion")) || bytes.Contains(data, []byte("kind"))
}

// readFile reads a regular file of bounded size. It does not trust the size that
// the file system tells: the file may grow, or be none.
func readFile(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, reason(err)
	} else if !info.Mode().IsRegular() {
		return nil, notRegular(info.Mode())
	}
	// Without O_NONBLOCK a pipe that took the file's place would never open.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, reason(err)
	case !info.Mode().IsRegular():
		return nil, notRegular(info.Mode())
	case info.Size() > MaxFileSize:
		return nil, fmt.Errorf("%d MiB are more than the %d MiB that are read of one file", info.Size()>>20, MaxFileSize>>20)
	}
	return readAll(f)
}

func readAll(from io.Reader) ([]byte, error) {
	var data bytes.Buffer
	if f, ok := from.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			data.Grow(int(min(info.Size(), MaxFileSize)) + bytes.MinRead)
		}
	}
	_, err := data.ReadFrom(io.LimitReader(from, MaxFileSize+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case data.Len() > MaxFileSize:
		return nil, fmt.Errorf("longer than the %d MiB that are read of one file", MaxFileSize>>20)
	}
	return data.Bytes(), nil
}

func notRegular(mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return errors.New("a folder, not a file")
	case mode&fs.ModeNamedPipe != 0:
		return errors.New("a named pipe, not a file: give it on standard input")
	case mode&fs.ModeSocket != 0:
		return errors.New("a socket, not a file")
	case mode&fs.ModeDevice != 0:
		return errors.New("a device, not a file")
	}
	return errors.New("not a regular file")
}

// reason drops the operation and the path from a file error: the caller has said them.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// linkFault says why a path cannot be followed.
func linkFault(err error) string {
	switch {
	case errors.Is(err, syscall.ELOOP), strings.Contains(err.Error(), "too many links"):
		return "a link that leads to itself"
	case errors.Is(err, fs.ErrNotExist):
		return "a link that leads nowhere"
	}
	return reason(err).Error()
}

// real is an absolute path without symbolic links, as far as the path exists.
func real(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		return resolved
	}
	return abs
}

// within reports whether path is root or below it; both are real paths.
func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// parallel calls a worker's function for 0…n-1, one worker on each core.
func parallel(n int, worker func() func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			do := worker()
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
