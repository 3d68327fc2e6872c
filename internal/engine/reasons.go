package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// named is how many of what one reason holds for are named.
const named = 3

// together says each reason once, with what it holds for: nodes a, b, c and 2 more: its
// kernel is not known.
func together(list []check.Unjudged) []string {
	scopes := map[string][]string{}
	for _, u := range perFile(list) {
		scopes[u.Reason] = append(scopes[u.Reason], u.Scope)
	}
	var reasons []string
	for reason, of := range scopes {
		if of = distinct(of); of[0] != "" { // what holds for the whole row holds for each
			reason = kindOnce(of) + ": " + reason
		}
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	return reasons
}

// perFile puts the files of a node together of which the same is to be said: /a, /b:
// permission denied.
func perFile(list []check.Unjudged) (merged []check.Unjudged) {
	files := map[check.Unjudged][]string{}
	for _, u := range list {
		file, why, ok := strings.Cut(u.Reason, ": ")
		if !ok || !strings.HasPrefix(file, "/") || strings.Contains(file, " ") {
			merged = append(merged, u)
			continue
		}
		key := check.Unjudged{Scope: u.Scope, Reason: why}
		files[key] = append(files[key], file)
	}
	for key, of := range files {
		merged = append(merged, check.Unjudged{Scope: key.Scope, Reason: some(distinct(of)) + ": " + key.Reason})
	}
	return merged
}

// some lists the first few.
func some(list []string) string {
	text := strings.Join(list[:min(named, len(list))], ", ")
	if more := len(list) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// kindOnce lists the first few scopes. A kind that all are of is said once: nodes a, b.
func kindOnce(scopes []string) string {
	if len(scopes) == 1 {
		return scopes[0]
	}
	for _, kind := range []string{"node", "namespace", "rule"} {
		var names []string
		for _, s := range scopes {
			if name, ok := strings.CutPrefix(s, kind+" "); ok {
				names = append(names, name)
			}
		}
		if len(names) == len(scopes) {
			return kind + "s " + some(names)
		}
	}
	return some(scopes)
}

// unread says what could not be read of the facts that a check needs.
func unread(snap *evidence.Snapshot, c *check.Check) (list []check.Unjudged) {
	for _, g := range snap.Gaps {
		if slices.ContainsFunc(c.Needs, func(f evidence.Fact) bool { return g.Touches(f, "") }) {
			list = append(list, check.Unjudged{Reason: g.Reason})
		}
	}
	return list
}

// reasons are why the answer is not whole. What a check said itself of a gap is not
// said again.
func (rw *row) reasons() []string {
	said := map[string]bool{}
	for _, u := range rw.open {
		said[u.Reason] = true
	}
	gaps := slices.DeleteFunc(slices.Clone(rw.gaps), func(u check.Unjudged) bool { return said[u.Reason] })
	list := together(rw.open)
	for _, text := range together(gaps) {
		list = append(list, "not read: "+text)
	}
	return distinct(list)
}
