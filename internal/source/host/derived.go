package host

import (
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A derived component is one that a distribution sets up from a configuration of its
// own: no process, unit or static pod tells of its flags.
func derived(name string, at evidence.Position, flags []evidence.Flag) *candidate {
	kept := make([]evidence.Flag, 0, len(flags))
	for _, f := range flags {
		kept = append(kept, evidence.NewFlag(f.Name, f.Value, f.Place))
	}
	return &candidate{env: map[string]word{}, Component: &evidence.Component{
		Name: name, Way: evidence.FromFile, Place: at, UID: -1, Flags: kept,
	}}
}

// documented are flags that a distribution is documented to pass, written as name=value.
// They stand nowhere on the node: their place is that of what starts the component.
func documented(at evidence.Position, lines ...string) (flags []evidence.Flag) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		flags = append(flags, evidence.Flag{Name: name, Value: value, Place: at})
	}
	return flags
}

// extra reads flags as distributions let users add them: name=value, name alone, with
// or without dashes.
func extra(text string, at evidence.Position) evidence.Flag {
	name, value, given := strings.Cut(strings.TrimLeft(strings.TrimSpace(text), "-"), "=")
	if !given {
		value = "true"
	}
	return evidence.Flag{Name: strings.ReplaceAll(name, "_", "-"), Value: value, Place: at}
}

// overlay puts users' flags behind a distribution's own, in place of those of the same
// name.
func overlay(own, users []evidence.Flag) []evidence.Flag {
	own = slices.DeleteFunc(slices.Clone(own), func(f evidence.Flag) bool {
		return slices.ContainsFunc(users, func(u evidence.Flag) bool { return u.Name == f.Name })
	})
	return append(own, users...)
}

// hasCandidate reports whether something that is set up to run is among the candidates.
func hasCandidate(all []*candidate, name string) bool {
	return slices.ContainsFunc(all, func(c *candidate) bool { return c.Name == name && !c.idle })
}

// missing are those of the derived components that nothing better tells of.
func missing(all, list []*candidate) []*candidate {
	return slices.DeleteFunc(list, func(c *candidate) bool { return hasCandidate(all, c.Name) })
}

// unsure leaves a component without all that may be otherwise, since not everything that
// decides it could be read.
func (c *candidate) unsure(why string) {
	if why == "" {
		return
	}
	leave(c.Component, why)
	c.Flags, c.Options, c.Documents = nil, nil, nil
}

// isThere reports whether anything is at a path.
func (r *reader) isThere(file string) bool { return r.tree.Stat(file).Type != evidence.Missing }

// ownConfig reads a distribution's configuration, which may hold credentials: of a
// broken one no word is repeated. why is "" when it could be read, or is not there.
func (r *reader) ownConfig(file string) (doc yamldoc.Document, there bool, why string) {
	data, err := r.read(file)
	if err != nil {
		if !r.isThere(file) {
			return doc, false, ""
		}
		return doc, false, file + ": " + err.Error()
	}
	doc, problem := r.document(file, data)
	if problem != nil {
		const reason = "no document of YAML or JSON with fields"
		r.broken(evidence.Issue{File: file, Line: problem.Line, Column: problem.Column, Reason: reason})
		return doc, false, file + ": " + reason
	}
	return doc, true, ""
}

// moved is the layout of an installation that keeps its data in another folder.
func (l layout) moved(from, to string) layout {
	from, to = path.Clean(from), path.Clean(to)
	for _, list := range []*[]string{&l.signs, &l.kubeletConfigs, &l.kubeProxyConfigs, &l.kubeconfigs, &l.kubeletKubeconfigs, &l.pki, &l.files} {
		*list = slices.Clone(*list)
		for i, p := range *list {
			(*list)[i] = movedPath(p, from, to)
		}
	}
	l.manifests, l.etcd = movedPath(l.manifests, from, to), movedPath(l.etcd, from, to)
	return l
}

func movedPath(p, from, to string) string {
	if rest, below := strings.CutPrefix(p, from+"/"); below {
		return path.Join(to, rest)
	}
	if p == from {
		return to
	}
	return p
}
