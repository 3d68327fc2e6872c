package reach

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

func parsed(t *testing.T, text ...string) cidr.Set {
	t.Helper()
	set, err := cidr.Parse(text...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func addWorkload(snap *evidence.Snapshot, kind, name string, labels map[string]string, pod *corev1.PodSpec) *evidence.Workload {
	w := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &metav1.ObjectMeta{Labels: labels}, pod)
	snap.Add(&evidence.Ref{Kind: kind, Namespace: "shop", Name: name}, []*evidence.Workload{w})
	return w
}

func addNode(snap *evidence.Snapshot, name string, addresses, podRanges []string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: podRanges}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: name}, n)
}

// shown is what an endpoint is, in one line.
func shown(e *Endpoint) string {
	var names []string
	for _, w := range e.Workloads {
		name := w.Kind + " " + w.Name
		if w.Instance != "" {
			name += " as " + w.Instance
		}
		names = append(names, name)
	}
	return strings.TrimSpace(strings.Join(names, ", ") + e.Name + " " + e.Addresses.String())
}

// Pods are in the order of namespace, kind and name, then come nodes, the API server
// and what is outside.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{}
	labels := map[string]string{"app": "web"}
	web := &corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}}
	addWorkload(snap, "Pod", "one", labels, web)
	addWorkload(snap, "Deployment", "web", labels, web)
	addWorkload(snap, "Deployment", "also", labels, web)
	addWorkload(snap, "Deployment", "ports", labels, &corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}}})
	addWorkload(snap, "Deployment", "account", labels, &corev1.PodSpec{ServiceAccountName: "bot"})
	addWorkload(snap, "DaemonSet", "agent", nil, &corev1.PodSpec{HostNetwork: true})
	addNode(snap, "n2", []string{"192.0.2.2", "n2.example"}, []string{"10.1.2.0/24"})
	addNode(snap, "n1", []string{"192.0.2.1"}, []string{"10.1.1.0/24"})
	policy := &netpol.Policy{Ref: &evidence.Ref{}, Subject: netpol.Everyone(), Egress: &netpol.Rules{List: []netpol.Rule{
		{Action: netpol.Allow, Peers: netpol.Address{In: parsed(t, "203.0.113.0/24")}, Ports: netpol.AllPorts()},
		{Action: netpol.Allow, Peers: netpol.Address{In: parsed(t, "10.1.2.0/24")}, Ports: netpol.AllPorts()},
	}}}
	g := &Graph{policies: []*netpol.Policy{policy}}
	g.survey(snap, Options{Ranges: map[string]cidr.Set{"office": parsed(t, "203.0.113.128/25", "198.51.100.1")}})
	var got []string
	for i, e := range g.Endpoints() {
		if e.ID != i {
			t.Errorf("ID %d at %d", e.ID, i)
		}
		if e.Kind != netpol.OfWorld || e.Name != "" {
			got = append(got, shown(e))
		}
	}
	want := []string{
		"DaemonSet agent 192.0.2.1, 192.0.2.2",
		"Deployment account 10.1.1.0/24, 10.1.2.0/24",
		"Deployment also, Deployment web 10.1.1.0/24, 10.1.2.0/24",
		"Deployment ports 10.1.1.0/24, 10.1.2.0/24",
		"Pod one 10.1.1.0/24, 10.1.2.0/24",
		"n1 192.0.2.1", "n2 192.0.2.2",
		"API server " + cidr.All().Minus(parsed(t, "10.1.1.0/24", "10.1.2.0/24")).String(),
		"cloud metadata 100.100.100.200, 168.63.129.16, 169.254.169.254, 169.254.170.2, 169.254.170.23, 192.0.0.192",
		"cloud metadata fd00:ec2::23, fd00:ec2::254, fd20:ce::254",
		"office 198.51.100.1", "office 203.0.113.128/25",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var world cidr.Set
	for _, e := range g.World() {
		world = world.Union(e.Addresses)
	}
	if !world.Union(g.universe.addresses.pods).Equal(cidr.All()) || len(g.Metadata()) != 2 || len(g.Named("office")) != 2 || len(g.Nodes()) != 2 {
		t.Errorf("outside are %v", world)
	}
}

// A workload of which all pods run otherwise than it is written stands for none.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		running, variant int
		labels           string // of what runs
		want             []string
	}{
		"all run otherwise":      {3, 3, "other", []string{"Deployment web as web-1"}},
		"some run otherwise":     {3, 1, "other", []string{"Deployment web", "Deployment web as web-1"}},
		"otherwise, but alike":   {3, 1, "web", []string{"Deployment web"}},
		"all otherwise, alike":   {3, 3, "web", []string{"Deployment web as web-1"}},
		"will run, but runs not": {0, 0, "other", []string{"Deployment web", "Deployment web as web-1"}},
	} {
		written := evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), &metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, &corev1.PodSpec{})
		written.Running = test.running
		runs := *written
		runs.PodLabels, runs.Template, runs.Running, runs.Instance = map[string]string{"app": test.labels}, written, test.variant, "web-1"
		snap := &evidence.Snapshot{}
		snap.Add(&evidence.Ref{Kind: "Deployment", Namespace: "shop", Name: "web"}, []*evidence.Workload{written, &runs})
		g := NewGraph(snap, Options{})
		var got []string
		for _, e := range g.Endpoints() {
			if len(e.Workloads) > 0 {
				got = append(got, strings.TrimSuffix(shown(e), " "+e.Addresses.String()))
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		for _, w := range snap.Workloads {
			if e := g.Of(w); e == nil || e.Workloads[0].Ref != w.Ref {
				t.Errorf("%s: the pods of %v are %v", name, w, e)
			}
		}
	}
}

// The families of a cluster follow from what is known of its addresses.
func TestFamilies(t *testing.T) {
	t.Parallel()
	type list []string
	for name, test := range map[string]struct {
		options     Options
		pods, nodes list
		services    list
		want        families
	}{
		"nothing known":                      {want: families{isSo, mayBe}},
		"ranges of nodes":                    {pods: list{"fd00::/64"}, nodes: list{"192.0.2.1"}, want: families{isNot, isSo}},
		"both ranges":                        {pods: list{"fd00::/64", "10.0.0.0/24"}, want: families{isSo, isSo}},
		"said":                               {options: Options{Pods: parsed(t, "10.0.0.0/8")}, pods: list{"fd00::/64"}, want: families{isSo, isNot}},
		"nodes":                              {nodes: list{"2001:db8::1"}, want: families{isNot, isSo}},
		"nodes have both":                    {nodes: list{"2001:db8::1", "192.0.2.1"}, want: families{mayBe, mayBe}},
		"nodes have both, Services not":      {nodes: list{"2001:db8::1", "192.0.2.1"}, services: list{"fd01::1"}, want: families{mayBe, isSo}},
		"Services":                           {services: list{"fd01::1"}, want: families{mayBe, isSo}},
		"a Service without address":          {services: list{"None"}, want: families{isSo, mayBe}},
		"what is said of nodes, not of pods": {options: Options{Nodes: parsed(t, "192.0.2.0/24")}, want: families{isSo, isNot}},
	} {
		snap := &evidence.Snapshot{}
		if len(test.pods)+len(test.nodes) > 0 {
			addNode(snap, "n1", test.nodes, test.pods)
		}
		if len(test.services) > 0 {
			snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Service"}, &corev1.Service{Spec: corev1.ServiceSpec{ClusterIPs: test.services}})
		}
		web := addWorkload(snap, "Deployment", "web", nil, &corev1.PodSpec{})
		g := NewGraph(snap, test.options)
		if got := g.member(g.Of(web)).has; got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// Labels that controllers give to single pods, and those of operators' pods, are not known.
func TestLabels(t *testing.T) {
	t.Parallel()
	app := map[string]string{"app": "web", appsv1.DefaultDeploymentUniqueLabelKey: "abc"}
	for name, test := range map[string]struct {
		kind    string
		change  func(*evidence.Workload)
		key     string
		present bool
		unknown bool
	}{
		"written":                 {kind: "Deployment", key: "app", present: true},
		"not written":             {kind: "Deployment", key: "tier"},
		"given by the controller": {kind: "Deployment", key: appsv1.DefaultDeploymentUniqueLabelKey, unknown: true},
		"given by another":        {kind: "StatefulSet", key: appsv1.DefaultDeploymentUniqueLabelKey, present: true},
		"given to pods of sets":   {kind: "StatefulSet", key: appsv1.PodIndexLabel, unknown: true},
		"given by the node":       {kind: "Deployment", key: corev1.LabelTopologyZone, unknown: true},
		"a pod in a file":         {kind: "Pod", key: corev1.LabelTopologyZone, unknown: true},
		"a pod that runs":         {kind: "Pod", key: corev1.LabelTopologyZone, change: func(w *evidence.Workload) { w.Running = 1 }},
		"a pod of somebody":       {kind: "Pod", key: appsv1.PodIndexLabel, unknown: true, change: func(w *evidence.Workload) { w.Running, w.Owner = 1, "Widget w" }},
		"an operator's":           {kind: "Widget", key: "tier", unknown: true, change: func(w *evidence.Workload) { w.Partial = "labels" }},
		"an operator's, written":  {kind: "Widget", key: "app", present: true, change: func(w *evidence.Workload) { w.ByShape = true }},
		"an operator's, running":  {kind: "Widget", key: "tier", change: func(w *evidence.Workload) { w.ByShape, w.Template = true, &evidence.Workload{} }},
	} {
		snap := &evidence.Snapshot{}
		w := addWorkload(snap, test.kind, "web", app, &corev1.PodSpec{})
		if test.change != nil {
			test.change(w)
		}
		g := NewGraph(snap, Options{})
		_, present, why := g.member(g.Of(w)).owners[netpol.Pod].value(test.key)
		if present != test.present || (why != "") != test.unknown {
			t.Errorf("%s: the label is there: %v, unknown %q", name, present, why)
		}
	}
}

// The cost follows the number of different pods and policies, not of workloads.
func TestAlike(t *testing.T) {
	t.Parallel()
	snap := &evidence.Snapshot{}
	for i := range 3000 {
		addWorkload(snap, "Deployment", fmt.Sprint("web-", i), map[string]string{"app": fmt.Sprint(i % 10)}, &corev1.PodSpec{})
	}
	for i := range 300 {
		spec := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(i % 5)}}}
		snap.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: "shop", Name: fmt.Sprint("p", i)}, &networkingv1.NetworkPolicy{Spec: spec})
	}
	g := NewGraph(snap, Options{})
	pods := 0
	for _, e := range g.Endpoints() {
		if e.Kind == netpol.OfPod {
			pods++
		}
	}
	g.weighAll()
	if programs := len(g.directions[netpol.Ingress].programs); pods != 10 || programs > 10 {
		t.Errorf("%d endpoints of pods, %d programs", pods, programs)
	}
}

// What is not valid is not in force in a cluster, and may be put right in files; what is
// written twice may be in force either way.
func TestDoubtful(t *testing.T) {
	t.Parallel()
	deny := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}
	open := networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{}}}
	wrong := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{"Inwards"}}
	type specs map[string][]networkingv1.NetworkPolicySpec
	for name, test := range map[string]struct {
		cluster  *evidence.Cluster
		specs    specs
		want     string // of all ports, into the pods
		isolated bool
		doubt    bool
		invalid  int
	}{
		"none":                          {nil, nil, "allow", false, false, 0},
		"deny":                          {nil, specs{"a": {deny}}, "deny", true, false, 0},
		"not valid, in files":           {nil, specs{"a": {wrong}}, "unknown", false, true, 1},
		"not valid, in a cluster":       {&evidence.Cluster{}, specs{"a": {wrong}}, "allow", false, false, 1},
		"not valid, and deny":           {nil, specs{"a": {wrong}, "b": {deny}}, "unknown", true, true, 1},
		"not valid, and one that opens": {nil, specs{"a": {wrong}, "b": {open}}, "allow", true, true, 1},
		"twice, alike":                  {nil, specs{"a": {deny, deny}}, "deny", true, false, 0},
		"twice, not alike":              {nil, specs{"a": {deny, open}}, "unknown", false, true, 0},
		"generated names":               {nil, specs{"a-": {deny, open}}, "allow", true, false, 0},
	} {
		snap := &evidence.Snapshot{Cluster: test.cluster}
		web := addWorkload(snap, "Deployment", "web", nil, &corev1.PodSpec{})
		for name, list := range test.specs {
			for _, spec := range list {
				snap.Add(&evidence.Ref{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Namespace: "shop", Name: name}, &networkingv1.NetworkPolicy{Spec: spec})
			}
		}
		g := NewGraph(snap, Options{})
		e := g.Of(web)
		x, coverage := g.Weigh(e, netpol.Ingress, e, ports.All()), g.Coverage(e, netpol.Ingress)
		got := "unknown"
		switch {
		case x.Allowed.Equal(ports.All()):
			got = "allow"
		case x.Denied.Equal(ports.All()):
			got = "deny"
		}
		if got != test.want || coverage.Isolated != test.isolated || (coverage.Unknown != "") != test.doubt || len(g.Invalid()) != test.invalid {
			t.Errorf("%s: %s, isolated %v, doubt %q, %d invalid", name, got, coverage.Isolated, coverage.Unknown, len(g.Invalid()))
		}
		for _, p := range slices.Concat(g.Policies(), coverage.By) {
			if _, invalid := p.Subject.(netpol.Unknown); invalid {
				t.Errorf("%s: %v is listed", name, p)
			}
		}
	}
}

func TestEnforcement(t *testing.T) {
	t.Parallel()
	custom := func(version, kind string) func(*evidence.Snapshot) {
		return func(s *evidence.Snapshot) {
			s.Add(&evidence.Ref{APIVersion: version, Kind: kind, Name: "x"}, &evidence.Custom{JSON: []byte(`{"spec":{}}`)})
		}
	}
	agent := func(kind, image string) func(*evidence.Snapshot) {
		return func(s *evidence.Snapshot) {
			addWorkload(s, kind, "agent", nil, &corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: image}}})
		}
	}
	cilium, calico := custom("cilium.io/v2", "CiliumNetworkPolicy"), custom("projectcalico.org/v3", "GlobalNetworkPolicy")
	for name, test := range map[string]struct {
		add     []func(*evidence.Snapshot)
		want    netpol.Enforcement
		twofold bool
	}{
		"nothing":                    {nil, netpol.Kubernetes, false},
		"Cilium's policies":          {[]func(*evidence.Snapshot){cilium}, netpol.Cilium, false},
		"Calico's policies":          {[]func(*evidence.Snapshot){calico}, netpol.Calico, false},
		"both":                       {[]func(*evidence.Snapshot){calico, cilium}, netpol.Kubernetes, true},
		"an agent":                   {[]func(*evidence.Snapshot){agent("DaemonSet", "quay.io/cilium/cilium:v1.18.0@sha256:00")}, netpol.Cilium, false},
		"an agent of a registry":     {[]func(*evidence.Snapshot){agent("DaemonSet", "localhost:5000/mirror/calico/node")}, netpol.Calico, false},
		"two agents":                 {[]func(*evidence.Snapshot){agent("DaemonSet", "calico/node:v3"), agent("DaemonSet", "cilium/cilium")}, netpol.Kubernetes, false},
		"an agent of the other":      {[]func(*evidence.Snapshot){calico, agent("DaemonSet", "cilium/cilium")}, netpol.Calico, false},
		"another image":              {[]func(*evidence.Snapshot){agent("DaemonSet", "quay.io/cilium/cilium-envoy:v1")}, netpol.Kubernetes, false},
		"not one on each node":       {[]func(*evidence.Snapshot){agent("Deployment", "cilium/cilium")}, netpol.Kubernetes, false},
		"another kind of the group":  {[]func(*evidence.Snapshot){custom("cilium.io/v2", "CiliumNode")}, netpol.Kubernetes, false},
		"the kind of another group":  {[]func(*evidence.Snapshot){custom("example.org/v1", "GlobalNetworkPolicy")}, netpol.Kubernetes, false},
		"Calico's, as it keeps them": {[]func(*evidence.Snapshot){custom("crd.projectcalico.org/v1", "NetworkPolicy")}, netpol.Calico, false},
	} {
		snap := &evidence.Snapshot{}
		for _, add := range test.add {
			add(snap)
		}
		if e, twofold := enforcement(snap); e != test.want || twofold != test.twofold {
			t.Errorf("%s: %v, twofold %v", name, e, twofold)
		}
	}
}
