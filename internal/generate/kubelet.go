package generate

import (
	"errors"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Kubelet is what a KubeletConfiguration is made from.
type Kubelet struct {
	Version evidence.Version
	// ClientCA is the file that the API server's client certificate is checked
	// against; empty leaves it to the node's own configuration.
	ClientCA string
}

const kubeletHead = `
What the guide asks of a kubelet, to be merged over the node's own configuration.
Serves CP-07 (authenticated API, no read-only port), ENC-01 (TLS 1.2), ENC-02 (certificates
rotated), POD-13 (seccomp), RES-04 and RES-05 (process ids), NLOG-02 (log rotation).

To put it in place, one node first:
1. protectKernelDefaults: the kubelet does not start when the kernel differs from what it
   expects. Before, write this to /etc/sysctl.d/90-kubelet.conf and run sysctl --system:

       vm.overcommit_memory = 1
       vm.panic_on_oom = 0
       kernel.panic = 10
       kernel.panic_on_oops = 1
       kernel.keys.root_maxkeys = 1000000
       kernel.keys.root_maxbytes = 25000000

`

const kubeletDropIn = `
2. Write this to /etc/kubernetes/kubelet.conf.d/10-gabion.conf and start the kubelet with
   --config-dir=/etc/kubernetes/kubelet.conf.d (of kubeadm: in KUBELET_EXTRA_ARGS of
   /etc/default/kubelet or /etc/sysconfig/kubelet).`

const kubeletNoDropIn = `
2. Merge it into the kubelet's configuration (of kubeadm: /var/lib/kubelet/config.yaml):
   this version has no folder of additions that is on by default.`

const kubeletTail = `
   Or, with kubeadm, save it as kubeletconfiguration+merge.yaml in a folder that is given to
   kubeadm init, join and upgrade with --patches.
   Flags of the kubelet win over both. Mappings are merged field by field; a list, such as
   tlsCipherSuites, replaces the one below it.
3. Restart the kubelet. serverTLSBootstrap: it now asks the cluster for its serving
   certificate, and kubectl logs, exec and metrics fail on the node until it is approved.
   Nothing approves these by itself; look that each is asked for by system:node:NAME and
   names only that node's own addresses, then:

       kubectl get csr --field-selector=spec.signerName=kubernetes.io/kubelet-serving
       kubectl certificate approve NAME

   They come again at each rotation: install an approver that makes the same checks. When
   every node has one, give the API server --kubelet-certificate-authority.
4. seccompDefault: Pods without a profile of their own now run under the runtime's. Look at
   one node for a while before the next.`

// KubeletConfig makes a KubeletConfiguration that has only what the guide asks.
// An error is a wrong option.
func KubeletConfig(o Kubelet) (string, error) {
	if o.ClientCA != "" {
		if err := checkPath("client CA", o.ClientCA); err != nil {
			return "", err
		}
	}
	if !o.Version.AtLeast(27) {
		return "", errors.New("Kubernetes " + o.Version.String() + ": seccompDefault is stable from 1.27 on; older versions are not served")
	}
	place := kubeletNoDropIn
	if o.Version.AtLeast(30) { // KEP-3983: beta, on by default
		place = kubeletDropIn
	}
	var p page
	p.comment(kubeletHead)
	p.comment("")
	p.comment(place)
	p.comment(kubeletTail)
	p.line("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration")
	p.line("authentication:\n  anonymous:\n    enabled: false\n  webhook:\n    enabled: true")
	if o.ClientCA != "" {
		p.line("  x509:\n    clientCAFile: %s", o.ClientCA)
	}
	p.WriteString(`authorization:
  mode: Webhook
readOnlyPort: 0
rotateCertificates: true
serverTLSBootstrap: true
tlsMinVersion: VersionTLS12
tlsCipherSuites:
  - ` + strings.Join(cipherSuites(), "\n  - ") + `
seccompDefault: true
protectKernelDefaults: true

# Processes and threads of one Pod, at most; -1 would be no limit.
podPidsLimit: 4096
# Of the node's ids, those that Pods never get.
systemReserved:
  pid: "1000"
kubeReserved:
  pid: "1000"
# All of them, since naming one takes the defaults of the others away. Take out what the
# node sets otherwise. Eviction is slow: the limits above are what holds.
evictionHard:
  memory.available: 100Mi
  nodefs.available: 10%
  nodefs.inodesFree: 5%
  imagefs.available: 15%
  imagefs.inodesFree: 5%
  pid.available: 10%

# Of one container, at most size times files stays on the disk.
containerLogMaxSize: 10Mi
containerLogMaxFiles: 5
`)
	return p.String(), nil
}
