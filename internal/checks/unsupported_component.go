package checks

import (
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsupportedComponent reports nodes whose runtime, kubelet, control plane or kernel no
// longer get fixes (guide: Threat model, supply chain).
var UnsupportedComponent = &check.Check{
	ID:             "unsupported-component",
	Title:          "a part of the platform gets no fixes any more",
	Recommendation: "IMG-07",
	Severity:       guide.High,
	Remedy:         "upgrade it, and have the runtime, the kubelets and the nodes' systems scanned like images",
	Needs:          []evidence.Fact{evidence.Hosts},
	Leaves:         check.Rest{What: "whether runtimes, kernels, kubelets and the images in kube-system match an open advisory", To: []guide.Evidence{guide.Vulnerabilities}},
	Node:           "which releases of runtimes, kubelets and systems the nodes have",
	Doc: `A flaw that is found in a release without support stays open: no advisory needs to be looked up
to know that this part of the platform is left out of the work on vulnerabilities.

Looked at are the releases of the components of Kubernetes and of containerd or CRI-O that a
node runs, by the tags of their images, their installed packages, what they print of themselves
in /gabion/versions.txt, and the status of the Node, and the release of the operating system, by
which the kernel gets its fixes: each against the end of its support on the day on which the
node was looked at. UPG-01 and UPG-02 ask the same of upgrades. Whether a release that is
supported has an open flaw takes data about vulnerabilities.

    kubelet --version
    containerd --version
`,
	Run: eachHost(unsupportedComponent),
}

func unsupportedComponent(n *node) {
	said := map[string]bool{}
	judge := func(c *evidence.Component, name, text string, v evidence.Version) {
		ends := kubernetesSupport
		if name == evidence.Containerd {
			ends = containerdSupport
		}
		state, end := ends(v, n.ReadAt)
		if state == unknownSupport {
			n.cannot("%s %s is not in the list of releases as of %s", name, v, releasesKnown.Format(time.DateOnly))
		}
		runtime := name == evidence.Containerd || name == evidence.CRIO
		if key := v.String(); state != ended || !runtime && said[key] {
			return
		} else if !runtime {
			said[key] = true
		}
		at := evidence.Position{}
		if c != nil {
			at = c.Place
		}
		p := n.say(at, evidence.NewPath(name, "version"), text, "%s is of release %s, whose support ended on %s", name, text, end.Format(time.DateOnly))
		switch provider := extendedSupport(text); {
		case runtime:
			p.Severity, p.SeverityReason = guide.Medium, "the node's distribution may still put fixes into the release"
		case provider != "":
			p.Severity, p.SeverityReason = guide.Medium, provider+" can support a release longer than the Kubernetes project does"
		}
	}
	known, runtimes := map[string]bool{}, 0
	var untold []string
	for _, c := range n.Components {
		switch c.Name {
		case evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, evidence.KubeProxy, evidence.Kubelet, evidence.Containerd, evidence.CRIO:
			if c.Name == evidence.Containerd || c.Name == evidence.CRIO {
				runtimes++
			}
			text, v, ok := n.releaseOf(c)
			if !ok {
				untold = append(untold, c.Name)
				continue
			}
			known[c.Name] = true
			judge(c, c.Name, text, v)
		}
	}
	if o := n.object(); o != nil {
		runtime, version, _ := strings.Cut(o.Value.Status.NodeInfo.ContainerRuntimeVersion, "://")
		if runtime == "cri-o" {
			runtime = evidence.CRIO
		}
		for _, part := range [][2]string{{evidence.Kubelet, o.Value.Status.NodeInfo.KubeletVersion}, {runtime, version}} {
			name, text := part[0], part[1]
			if v, err := evidence.ParseVersion(text); err == nil && !known[name] && (name == evidence.Kubelet || name == evidence.Containerd || name == evidence.CRIO) {
				known[name] = true
				judge(nil, name, text, v)
			}
		}
	}
	for _, name := range untold {
		if !known[name] {
			n.cannot("%s: which release it is is not known", name)
		}
	}
	if runtimes == 0 && !known[evidence.Containerd] && !known[evidence.CRIO] {
		n.cannot("no container runtime was seen")
	}
	switch end, listed := systemEnd(n.System.OS, n.System.OSVersion); {
	case n.System.OS == "":
		n.cannot("which operating system it has is not known")
	case listed && supportUntil(end.free, n.ReadAt) == ended:
		p := n.say(evidence.Position{File: "/etc/os-release"}, evidence.NewPath("system", "os"), n.System.OSVersion, "the kernel is that of %s %s, whose support ended on %s", n.System.OS, n.System.OSVersion, end.free.Format(time.DateOnly))
		if !end.paid.IsZero() && supportUntil(end.paid, n.ReadAt) == supported {
			p.Severity, p.SeverityReason = guide.Medium, "its makers sell fixes until "+end.paid.Format(time.DateOnly)
		}
	}
	n.sayAge(releasesKnown)
}
