package gitops

import (
	"path"
	"strings"
)

// RepositoryName is a repository's URL without what does not tell repositories
// apart: the scheme, who logs in and with what, the port, ".git". It is fit to be
// shown: host/path, in lower case.
func RepositoryName(url string) string {
	name := strings.ToLower(strings.TrimSpace(url))
	_, rest, hasScheme := strings.Cut(name, "://")
	if hasScheme {
		name = rest
	}
	if end := strings.IndexAny(name, "?#"); end >= 0 {
		name = name[:end]
	}
	name = name[strings.LastIndex(name, "@")+1:]
	host, rest, _ := strings.Cut(name, "/")
	host, port, hasPort := strings.Cut(host, ":")
	if hasPort && !hasScheme { // git@host:path
		rest = port + "/" + rest
	}
	rest = strings.TrimSuffix(strings.Trim(rest, "/"), ".git")
	return strings.TrimSuffix(host+"/"+rest, "/")
}

// A Match says whether two URLs name one repository.
type Match int

// Of two repositories that have the last part of the name in common one may be a
// fork or a mirror of the other.
const (
	Other Match = iota
	Perhaps
	Same
)

// SameRepository compares the URLs of two repositories; "" is any.
func SameRepository(a, b string) Match {
	switch a, b := RepositoryName(a), RepositoryName(b); {
	case a == "" || b == "":
		return Perhaps
	case a == b:
		return Same
	case path.Base(a) == path.Base(b):
		return Perhaps
	}
	return Other
}
