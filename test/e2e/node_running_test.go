//go:build cluster

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// lookAtNode is what is done on the running node. Nothing of it may fail but by what it
// finds: every exit code but that of a finding ends the test.
const lookAtNode = `mkdir -p /gabion
nft -j list ruleset >/gabion/nft.json
export KUBECONFIG=/etc/kubernetes/super-admin.conf
until kubectl get pods -n kube-system etcd-cp1 kube-apiserver-cp1 kube-controller-manager-cp1 kube-scheduler-cp1 >/dev/null 2>&1; do sleep 0.1; done
n=0
for way in '--host-root /' '--cluster --configz' '--cluster --configz --host-root /'; do
	n=$((n + 1))
	kubectl-gabion scan $way -o json=/out/$n.json >/out/$n.log 2>&1 || [ $? = 1 ]
done
kubectl-gabion snapshot --host-root / --output-file /out/cp1.snap
mkdir -p /mnt
unshare -m sh -eu -c '
	mount -t tmpfs tmpfs /mnt
	mkdir /mnt/host
	mount --rbind / /mnt/host
	mount -o remount,bind,ro /mnt/host
	setpriv --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all,+dac_read_search \
		kubectl-gabion scan --host-root /mnt/host --host-name cp1 -o json=/out/collector.json >/out/collector.log 2>&1 || [ $? = 1 ]'
mkdir /out/bundle
tar -C / -cf - etc/cni etc/containerd etc/kubernetes etc/systemd etc/hostname etc/os-release etc/passwd etc/machine-id \
	usr/lib/systemd/systemd-journald var/lib/etcd var/lib/kubelet/config.yaml var/lib/kubelet/kubeadm-flags.env var/lib/kubelet/pki | tar -C /out/bundle -xf -
sh /out/texts.sh /out/bundle cp1
kubectl-gabion scan --host-root /out/bundle -o json=/out/bundle.json >/out/bundle.log 2>&1 || [ $? = 1 ]
`

// kubeletOfTests is what a kubelet takes on a machine that is none of its own: control
// groups of the first kind, swap, little room. containerdOfTests is that of containerd.
const (
	kubeletOfTests = `---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
`
	containerdOfTests = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "PAUSE"
  restrict_oom_score_adj = true
  disable_apparmor = true
`
)

// A whole kubeadm init, with the real kubelet and containerd: what runs, what is on disk
// and what the API says are one.
func TestKubeadmRunning(t *testing.T) {
	root, out := kubeadmFiles(t), quickFolder(t)
	tools, err := exec.Command("../kubeadm/tools").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := writeImages(t, filepath.Join(out, "images.tar"))
	pause := names[slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, "/pause:") })]
	put(t, root, "etc/containerd/config.toml", strings.ReplaceAll(containerdOfTests, "PAUSE", pause))
	put(t, root, "kubeadm.yaml", strings.ReplaceAll(kubeadmConfig, "VERSION", kubeVersion(t))+kubeletOfTests)
	put(t, root, "etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
	put(t, root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	put(t, root, "etc/hosts", "127.0.0.1 localhost\n10.99.0.1 cp1\n")
	put(t, root, "etc/hostname", "cp1\n")
	put(t, root, "etc/resolv.conf", "nameserver 127.0.0.1\n")
	put(t, root, "etc/machine-id", strings.Repeat("0", 31)+"1\n")
	put(t, out, "look", lookAtNode)
	texts, err := os.ReadFile("../../examples/collector/texts.sh")
	if err != nil {
		t.Fatal(err)
	}
	put(t, out, "texts.sh", string(texts))
	cmd := exec.CommandContext(t.Context(), "../kubeadm/node.sh", root, out, strings.TrimSpace(string(tools)), kubeBinaries(t), plugin(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, text, logs(out))
	}

	byNode, byAPI, both := readReport(t, out, "1.json"), readReport(t, out, "2.json"), readReport(t, out, "3.json")
	node, api, together := ofNode(t, byNode), ofNode(t, byAPI), ofNode(t, both)
	faults := slices.Sorted(slices.Values(append(slices.Clone(kubeadmFaults), "api-server-reach kube-apiserver.reach"))) // no packet filter
	// What the kernel and the logs of this machine are is none of kubeadm's matter.
	ofMachine := regexp.MustCompile(`^\S+ (?:system|logging|journald|firewall)\b`)
	if got := slices.DeleteFunc(places(slices.Collect(maps.Values(node))), ofMachine.MatchString); !slices.Equal(got, faults) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(faults, "\n"))
	}
	if got, want := rules(notIn(api, node)), []string{"image-policy-webhook", "unsupported-component", "unsupported-runtime"}; !slices.Equal(got, want) {
		t.Errorf("only the API tells of %q, want %q", got, want)
	}
	// configz does not tell what is set and what a default.
	want := []string{"api-server-reach", "container-log-limits", "kubeconfig-content"}
	if got := rules(slices.DeleteFunc(notIn(node, api), func(f report.Finding) bool { return ofMachine.MatchString(f.Rule + " " + f.Path) })); !slices.Equal(got, want) {
		t.Errorf("only the node tells of %q, want %q", got, want)
	}
	union := maps.Clone(node)
	maps.Copy(union, api)
	if lost, more := notIn(union, together), notIn(together, union); len(lost)+len(more) > 0 {
		t.Errorf("both together lose %q and add %q", rules(lost), rules(more))
	}
	blind := regexp.MustCompile(`/proc|whether \S+ is set is not known|was not seen|no file system|os-release|are in no file`)
	for name, r := range map[string]*report.Report{"the node": byNode, "both": both} {
		if row := rows(r)["CP-08"]; row.Status != report.Pass { // what runs is what is written, and what the API shows
			t.Errorf("%s: CP-08: %s, %q", name, row.Status, row.Reason)
		}
		for _, id := range nodeRows {
			if row := rows(r)[id]; blind.MatchString(row.Reason) {
				t.Errorf("%s: %s: %s, %q", name, id, row.Status, row.Reason)
			}
		}
	}
	for _, id := range strings.Fields("CP-01 CP-02 CP-03 CP-04 CP-06 CP-07 CP-08 ETCD-01 ETCD-02 ETCD-04 ETCD-05 ETCD-06 KCF-01 KCF-02 ENC-01 ENC-02 ENC-03 SEC-03 AUTHN-01 AUTHN-03 AUTHN-04 RBAC-01 FT-01") {
		if row := rows(both)[id]; row.Status != report.Pass && row.Status != report.Fail {
			t.Errorf("%s: %s, %q", id, row.Status, row.Reason)
		}
	}

	collector := readReport(t, out, "collector.json")
	found := ofNode(t, collector)
	if lost, more := notIn(node, found), notIn(found, node); len(lost)+len(more) > 0 {
		t.Errorf("the collector loses %q and adds %q", rules(lost), rules(more))
	}
	for id, row := range rows(collector) {
		if was := rows(byNode)[id]; row.Status != was.Status {
			t.Errorf("the collector: %s: %s, %q, where the node has %s", id, row.Status, row.Reason, was.Status)
		}
	}

	bundle := readReport(t, out, "bundle.json")
	found = ofNode(t, bundle)
	// The programs' own account of their releases is no file of the node.
	releases := []string{"runtime-user-namespaces", "unsupported-component", "unsupported-node-runtime"}
	if lost, more := rules(notIn(node, found)), rules(notIn(found, node)); len(lost) > 0 || !slices.Equal(more, releases) {
		t.Errorf("a copy of the files with texts loses %q and adds %q", lost, more)
	}
	for _, id := range nodeRows {
		row, was := rows(bundle)[id], rows(byNode)[id]
		if released := slices.Contains([]string{"POD-04", "UPG-02", "IMG-07"}, id); released && row.Status != report.Fail || !released && row.Status != was.Status {
			t.Errorf("a copy of the files with texts: %s: %s, %q, where the node has %s", id, row.Status, row.Reason, was.Status)
		}
	}

	snap, err := os.Open(filepath.Join(out, "cp1.snap"))
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	worlds, _, err := snapshot.Load(t.Context(), snap, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	listening := map[uint16]string{}
	for _, s := range worlds[0].Hosts[0].Sockets {
		listening[s.Address.Port()] = s.Process
	}
	for port, process := range map[uint16]string{
		2379: evidence.Etcd, 2380: evidence.Etcd, 2381: evidence.Etcd, 6443: evidence.APIServer, 10248: evidence.Kubelet, 10250: evidence.Kubelet,
		10257: evidence.ControllerManager, 10259: evidence.Scheduler,
	} {
		if listening[port] != process {
			t.Errorf("port %d: %q listens, want %q", port, listening[port], process)
		}
	}
}

// readReport reads a report that was written on the node.
func readReport(t *testing.T, dir, name string) *report.Report {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// logs are the ends of the logs of a node.
func logs(dir string) string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		fmt.Fprintf(&all, "--- %s %v\n%s\n", filepath.Base(file), err, data[max(0, len(data)-3000):])
	}
	return all.String()
}

// writeImages writes an archive with one image under all the names that kubeadm asks
// for: each program is in it under its own name.
func writeImages(t *testing.T, file string) []string {
	t.Helper()
	bin := kubeBinaries(t)
	names, err := exec.Command(filepath.Join(bin, "kubeadm"), "config", "images", "list", "--kubernetes-version", kubeVersion(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	pause := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", pause, "../kubeadm/pause.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}

	layer := filepath.Join(filepath.Dir(file), "layer.tar")
	sum, size := writeLayer(t, layer, map[string]string{"pause": pause, "usr/local/bin/kube": filepath.Join(bin, "kube")})
	defer os.Remove(layer)
	config := encode(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/pause"}, "Env": []string{"PATH=/usr/local/bin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{sum}},
	})
	blob := func(kind, sum string, size int64) map[string]any {
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": sum, "size": size}
	}
	manifest := encode(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": blob("config.v1+json", digest(config), int64(len(config))),
		"layers": []any{blob("layer.v1.tar", sum, size)},
	})
	var images []any
	for name := range strings.FieldsSeq(string(names)) {
		image := blob("manifest.v1+json", digest(manifest), int64(len(manifest)))
		image["annotations"] = map[string]string{"io.containerd.image.name": name}
		images = append(images, image)
	}
	to, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	archive := tar.NewWriter(to)
	for name, text := range map[string][]byte{
		"oci-layout":          []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json":          encode(t, map[string]any{"schemaVersion": 2, "manifests": images}),
		blobs(digest(config)): config, blobs(digest(manifest)): manifest,
	} {
		add(t, archive, name, 0o644, bytes.NewReader(text), int64(len(text)))
	}
	from, err := os.Open(layer)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	add(t, archive, blobs(sum), 0o644, from, size)
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(names))
}

// writeLayer writes the files of an image, and a link for each component to the program
// that is all of them. It returns the layer's digest and size.
func writeLayer(t *testing.T, file string, files map[string]string) (sum string, size int64) {
	t.Helper()
	to, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	h := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(to, h))
	for name, source := range files {
		from, err := os.Open(source)
		if err != nil {
			t.Fatal(err)
		}
		info, err := from.Stat()
		if err != nil {
			t.Fatal(err)
		}
		add(t, archive, name, 0o755, from, info.Size())
		from.Close()
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if err := archive.WriteHeader(&tar.Header{Name: "usr/local/bin/" + name, Linkname: "kube", Typeflag: tar.TypeSymlink}); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := to.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return hashText(h), info.Size()
}

func add(t *testing.T, archive *tar.Writer, name string, mode int64, from io.Reader, size int64) {
	t.Helper()
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(archive, from); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hashText(h hash.Hash) string { return fmt.Sprintf("sha256:%x", h.Sum(nil)) }

func digest(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }

func blobs(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }
