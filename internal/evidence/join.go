package evidence

import "slices"

// AddHost adds a node that was looked at to the others of its cluster. The Node, if
// it is among the objects, and the host are one object. What two ways tell of the
// same node is put together: the node's own files and processes win over what the
// API says of them, and of two looks the later one.
func (s *Snapshot) AddHost(h *Host, source *Source) {
	for i, known := range s.Hosts {
		if known.Node == h.Node {
			s.Hosts[i] = join(known, h)
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
