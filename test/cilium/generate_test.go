package cilium_test

import "math/rand/v2"

// A generator writes specs at random: fields that are there, empty or absent,
// peers of all sorts that need nothing from outside, and now and then a fault.
type generator struct{ *rand.Rand }

type object = map[string]any

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// rarely is true once in n times.
func (g generator) rarely(n int) bool { return g.IntN(n) == 0 }

func (g generator) spec() object {
	spec := object{"endpointSelector": g.selector(true)}
	if g.rarely(60) {
		delete(spec, "endpointSelector")
	}
	sections := []string{"ingress", "egress", "ingress", "egress", "ingressDeny", "egressDeny"}
	for range 1 + g.IntN(3) {
		section := pick(g.Rand, sections...)
		var rules []any
		for range 1 + g.IntN(2) {
			rules = append(rules, g.rule(section))
		}
		if g.rarely(40) {
			rules = []any{}
		}
		spec[section] = rules
	}
	if g.rarely(5) {
		spec["enableDefaultDeny"] = object{pick(g.Rand, "ingress", "egress"): g.rarely(3)}
	}
	return spec
}

func (g generator) rule(section string) object {
	prefix, deny := "from", section == "ingressDeny" || section == "egressDeny"
	if section == "egress" || section == "egressDeny" {
		prefix = "to"
	}
	rule := object{}
	if !g.rarely(8) {
		g.peers(rule, prefix)
	}
	if g.rarely(40) {
		g.peers(rule, prefix)
	}
	if !g.rarely(3) {
		var list []any
		for range g.IntN(3) {
			list = append(list, g.ports(prefix == "from", deny))
		}
		if list != nil {
			rule["toPorts"] = list
		}
	}
	if g.rarely(30) {
		rule["icmps"] = []any{object{"fields": []any{object{"type": 8}}}}
	}
	if !deny && g.rarely(20) {
		rule["authentication"] = object{"mode": "required"}
	}
	return rule
}

func (g generator) peers(rule object, prefix string) {
	var list []any
	add := func(make func() any) {
		list = []any{}
		for range 1 + g.IntN(2) {
			list = append(list, make())
		}
		if g.rarely(15) {
			list = []any{}
		}
	}
	field := pick(g.Rand, "Endpoints", "Endpoints", "Endpoints", "Entities", "CIDR", "CIDRSet")
	switch field {
	case "Endpoints":
		add(func() any { return g.selector(false) })
	case "Entities":
		add(func() any {
			return pick(g.Rand, "all", "world", "cluster", "host", "remote-node", "kube-apiserver", "none", "init", "health", "ingress")
		})
	case "CIDR":
		add(func() any {
			return pick(g.Rand, "0.0.0.0/0", "::/0", "203.0.113.0/24", "203.0.113.5", "198.51.100.0/25", "10.0.0.0/8", "192.168.7.1/32", "2001:db8::/32")
		})
	case "CIDRSet":
		add(func() any {
			return pick(g.Rand,
				object{"cidr": "203.0.113.0/24", "except": []any{"203.0.113.128/25"}},
				object{"cidr": "0.0.0.0/0", "except": []any{"203.0.113.0/24", "10.0.0.0/8"}},
				object{"cidr": "203.0.113.0/24"},
				object{"cidr": "198.51.100.7/32"},
				object{"cidr": "2001:db8::/32", "except": []any{"2001:db8::/64"}},
				object{"cidr": pick(g.Rand, "10.0.0.0/8", "203.0.113.0/24"), "except": []any{"203.0.113.0/25"}},
				object{"cidrGroupRef": pick(g.Rand, "near", "far")},
				object{"cidrGroupRef": "far", "except": []any{"203.0.113.0/25"}},
				object{"cidrGroupSelector": object{"matchLabels": object{"role": pick(g.Rand, "partner", "customer")}}},
				object{"cidrGroupSelector": object{"matchExpressions": []any{object{"key": "role", "operator": pick(g.Rand, "Exists", "DoesNotExist")}}}},
				object{"cidrGroupSelector": object{"matchExpressions": []any{
					object{"key": "role", "operator": pick(g.Rand, "In", "NotIn"), "values": []any{pick(g.Rand, "partner", "customer")}},
				}}})
		})
	}
	rule[prefix+field] = list
}

func (g generator) ports(ingress, deny bool) object {
	list := []any{}
	for range 1 + g.IntN(2) {
		p := object{
			"port":     pick(g.Rand, "80", "80", "81", "53", "0", "1", "0x50", "0120"),
			"protocol": pick(g.Rand, "TCP", "TCP", "UDP", "SCTP", "ANY", ""),
		}
		if p["protocol"] == "" {
			delete(p, "protocol")
		}
		if g.rarely(5) {
			p["endPort"] = pick(g.Rand, 85, 65535, 10, 0)
		}
		if ingress && g.rarely(8) {
			p["port"] = "http"
		}
		if g.rarely(60) {
			p["port"] = pick(g.Rand, "65536", "-1", "")
		}
		list = append(list, p)
	}
	if g.rarely(20) {
		list = []any{}
	}
	entry := object{"ports": list}
	if !deny && g.rarely(12) {
		entry["rules"] = object{"http": []any{object{"method": "GET"}}}
		if !g.rarely(5) {
			entry["ports"] = []any{object{"port": "80", "protocol": "TCP"}}
		}
	}
	return entry
}

// selector is of pods, as subjects or as peers.
func (g generator) selector(subject bool) object {
	s, labels := object{}, object{}
	if !g.rarely(3) {
		labels[pick(g.Rand, "app", "k8s:app", "any:app")] = pick(g.Rand, "web", "api", "db")
	}
	if g.rarely(8) {
		labels[pick(g.Rand, "io.cilium.k8s.policy.serviceaccount", "k8s:io.cilium.k8s.policy.serviceaccount")] = pick(g.Rand, "web", "db", "nobody")
	}
	if g.rarely(4) {
		labels[pick(g.Rand, "k8s:io.kubernetes.pod.namespace", "io.kubernetes.pod.namespace", "any:io.kubernetes.pod.namespace")] = pick(g.Rand, "shop", "bank")
	}
	if g.rarely(6) {
		labels[pick(g.Rand, "k8s:io.cilium.k8s.namespace.labels.team", "io.cilium.k8s.namespace.labels.team")] = pick(g.Rand, "a", "b")
	}
	if g.rarely(20) {
		labels["io.cilium.k8s.policy.cluster"] = pick(g.Rand, clusterName, "another")
	}
	if !subject && g.rarely(20) {
		labels[pick(g.Rand, "reserved:host", "reserved:kube-apiserver", "reserved:health")] = pick(g.Rand, "", "", "x")
	}
	if g.rarely(60) {
		labels["a b"] = "c"
	}
	if len(labels) > 0 {
		s["matchLabels"] = labels
	}
	if g.rarely(4) {
		s["matchExpressions"] = []any{g.expression()}
	}
	if !subject && g.rarely(10) {
		return g.elsewhere()
	}
	return s
}

// elsewhere is a selector that speaks of namespaces and may ask for none.
func (g generator) elsewhere() object {
	e := object{"key": pick(g.Rand, "k8s:", "any:", "") + pick(g.Rand, "io.kubernetes.pod.namespace", "io.cilium.k8s.namespace.labels.team")}
	switch e["operator"] = pick(g.Rand, "NotIn", "DoesNotExist", "NotIn", "Exists"); e["operator"] {
	case "NotIn":
		e["values"] = []any{pick(g.Rand, "shop", "bank", "a", "b")}
	}
	list := []any{e}
	if g.rarely(3) {
		list = append(list, g.expression())
	}
	return object{"matchExpressions": list}
}

func (g generator) expression() object {
	key := pick(g.Rand, "app", "k8s:app", "k8s:io.kubernetes.pod.namespace", "io.cilium.k8s.namespace.labels.team", "cidr:app", "reserved:host", "reserved:kube-apiserver")
	e := object{"key": key, "operator": pick(g.Rand, "In", "NotIn", "Exists", "DoesNotExist")}
	values := []any{pick(g.Rand, "web", "db", "shop", "a", "b", "")}
	if g.rarely(2) {
		values = append(values, pick(g.Rand, "api", "bank"))
	}
	if (e["operator"] == "In" || e["operator"] == "NotIn") != g.rarely(60) {
		e["values"] = values
	}
	return e
}
