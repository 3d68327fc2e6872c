package files

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/gabion-k8s/gabion/internal/source/gitops"
)

// A checkout is a folder that paths in a repository may be seen from: the top of
// a working tree of Git, or a folder that was named.
type checkout struct {
	top string // real path
	// remotes are the URLs that Git knows the repository by; none when there is no
	// Git, or it knows none.
	remotes []string
}

// match says whether the checkout is of a repository, as far as it can be told.
func (c checkout) match(repository string) gitops.Match {
	if len(c.remotes) == 0 {
		return gitops.Perhaps
	}
	best := gitops.Other
	for _, url := range c.remotes {
		best = max(best, gitops.SameRepository(url, repository))
	}
	return best
}

// checkout is the working tree that a folder is in; ok is false when it is in
// none.
func (r *reader) checkout(dir string) (c checkout, ok bool) {
	if c, known := r.checkouts[dir]; known {
		return c, c.top != ""
	}
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		c = checkout{dir, remotes(filepath.Join(dir, ".git", "config"))}
	} else if parent := filepath.Dir(dir); parent != dir {
		c, _ = r.checkout(parent)
	}
	r.checkouts[dir] = c
	return c, c.top != ""
}

// remotes reads the URLs of the remotes in a configuration of Git. One that cannot
// be read has none.
func remotes(config string) []string {
	data, err := readFile(config)
	if err != nil {
		return nil
	}
	var urls []string
	inRemote := false
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			inRemote = strings.HasPrefix(line, "[remote ")
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if inRemote && strings.EqualFold(strings.TrimSpace(key), "url") {
			urls = append(urls, strings.Trim(strings.TrimSpace(value), `"`))
		}
	}
	return urls
}
