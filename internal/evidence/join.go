package evidence

import (
	"fmt"
	"slices"
)

// AddHost adds a node that was looked at to the others of its cluster. The Node, if
// it is among the objects, and the host are one object. What two ways tell of the
// same node is put together: the node's own files and processes win over what the
// API says of them, and of two looks the later one.
func (s *Snapshot) AddHost(h *Host, source *Source) {
	for i, known := range s.Hosts {
		if known.Node == h.Node {
			s.Hosts[i] = join(known, h)
			if gaps := passedOver(known, h); len(gaps) > 0 {
				s.Gaps = append(s.Gaps, gaps...)
				source.fail(gaps[0].Reason)
			}
			return
		}
	}
	for _, n := range s.Nodes {
		if n.Name == h.Node {
			h.Ref = n.Ref
			s.Hosts = append(s.Hosts, h)
			return
		}
	}
	s.Add(&Ref{APIVersion: "v1", Kind: "Node", Name: h.Node, Source: source}, h)
}

// passedOver says that of two nodes by one name only one is judged, unless both looks
// show that they are at the same machine: by a certificate that no other has.
func passedOver(a, b *Host) []Gap {
	if a.Root == "" || b.Root == "" || a.Root == b.Root && a.ReadAt.Equal(b.ReadAt) {
		return nil
	}
	own := map[string]bool{}
	for c := range a.leaves {
		own[c.SHA256] = true
	}
	for c := range b.leaves {
		if own[c.SHA256] {
			return nil
		}
	}
	if b.ReadAt.Before(a.ReadAt) {
		a, b = b, a
	}
	reason := fmt.Sprintf("two nodes named %s were read, and only the later look is judged, at %s and not at %s (--host-name gives a node another name)", a.Node, b.Root, a.Root)
	return []Gap{{Fact: Hosts, Reason: reason}, {Fact: ControlPlanes, Reason: reason}}
}

// fail adds an error to a source, if there is one.
func (s *Source) fail(reason string) {
	if s != nil {
		s.Errors = append(s.Errors, Issue{Reason: reason})
		s.Documents++
	}
}

// leaves yields the certificates of the node that are no authority's.
func (h *Host) leaves(yield func(*Certificate) bool) {
	for _, c := range h.Certificates {
		if !c.IsCA && c.SHA256 != "" && !yield(c) {
			return
		}
	}
	for _, k := range h.Kubeconfigs {
		for _, u := range k.Users {
			if c := u.Certificate; c != nil && c.SHA256 != "" && !yield(c) {
				return
			}
		}
	}
}

// join puts two looks at one node together. The reference is that of the one that
// is known.
func join(known, h *Host) *Host {
	better, worse := h, known
	if worse.Root != "" && (better.Root == "" || better.ReadAt.Before(worse.ReadAt)) {
		better, worse = worse, better
	}
	joined := *better
	joined.Ref = known.Ref
	if worse.Root != "" {
		return &joined // an earlier look
	}
	joined.Components = slices.Clone(better.Components)
	for _, c := range worse.Components {
		i := slices.IndexFunc(joined.Components, func(b *Component) bool { return b.Name == c.Name })
		if i < 0 {
			joined.Components = append(joined.Components, c)
			continue
		}
		both := *joined.Components[i]
		both.Others = append(slices.Clone(both.Others), c)
		joined.Components[i] = &both
	}
	for _, r := range worse.Roles {
		if !joined.Has(r) {
			joined.Roles = append(slices.Clone(joined.Roles), r)
		}
	}
	slices.Sort(joined.Roles)
	if joined.Distribution == "" {
		joined.Distribution = worse.Distribution
	}
	return &joined
}
