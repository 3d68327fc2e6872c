//go:build cluster

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// controlPlaneNode is the name of the node that a control plane is said to run on.
const controlPlaneNode = "cp1"

// A component is a process of a control plane.
type component struct {
	name string
	pid  int
	argv []string
}

// components are the processes of one cluster: all others have other folders.
func components(t *testing.T, c *cluster.Cluster) (list []component) {
	t.Helper()
	files, err := filepath.Glob("/proc/[1-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(data, []byte(c.Dir+"/")) {
			continue // gone, or of somebody else
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		argv := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		list = append(list, component{filepath.Base(argv[0]), pid, argv})
	}
	return list
}

// filesOf are the files and folders of the cluster that a component's flags name.
func filesOf(c *cluster.Cluster, p component) (files []string) {
	for _, arg := range p.argv[1:] {
		if _, value, _ := strings.Cut(arg, "="); strings.HasPrefix(value, c.Dir+"/") {
			files = append(files, value)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// nodeTree lays out what a node shows on which nothing runs but a cluster's control
// plane: its processes with their sockets, and the files that their flags name, where
// they are and with their modes. It returns the folder.
func nodeTree(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	root := t.TempDir()
	inodes := map[string]bool{}
	for _, p := range components(t, c) {
		for _, name := range []string{"cmdline", "status", "comm", "environ"} {
			copyFile(t, root, fmt.Sprintf("/proc/%d/%s", p.pid, name))
		}
		for inode, fd := range sockets(t, p.pid) {
			inodes[inode] = true
			place(t, root, fd, 0o700)
			if err := os.Symlink("socket:["+inode+"]", filepath.Join(root, fd)); err != nil {
				t.Fatal(err)
			}
		}
		for _, file := range filesOf(c, p) {
			copyFile(t, root, file)
		}
	}
	write := func(file, text string) {
		place(t, root, file, 0o755)
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("/proc/1/cmdline", "/sbin/init\x00")
	write("/proc/1/comm", "systemd\n")
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		write("/proc/1/net/"+table, socketTable(t, "/proc/self/net/"+table, inodes))
	}
	write("/etc/hostname", controlPlaneNode+"\n")
	return root
}

var socketLink = regexp.MustCompile(`^socket:\[(\d+)\]$`)

// sockets are those that a process holds, by their inodes, with a descriptor of each.
func sockets(t *testing.T, pid int) map[string]string {
	t.Helper()
	found := map[string]string{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range links {
		target, _ := os.Readlink(fd) // it may be closed by now
		if m := socketLink.FindStringSubmatch(target); m != nil {
			found[m[1]] = fd
		}
	}
	return found
}

// socketTable is a table of the kernel's without the sockets of others.
func socketTable(t *testing.T, file string, inodes map[string]bool) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) < 10 || out.Len() == 0 || inodes[fields[9]] {
			out.WriteString(line)
		}
	}
	return out.String()
}

// place makes the folders above a file below root, with the modes that they have on
// this machine, or with another one where they are none of it.
func place(t *testing.T, root, file string, mode fs.FileMode) {
	t.Helper()
	dir := filepath.Dir(file)
	if _, err := os.Stat(filepath.Join(root, dir)); err == nil {
		return
	}
	if info, err := os.Stat(dir); err == nil && !strings.HasPrefix(dir, "/proc/") {
		mode = info.Mode()
	}
	place(t, root, dir, 0o755)
	if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, dir), mode); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies a file, or a folder with all in it, to the same path below root. What
// is in a folder that a flag names is data: nobody reads it, its size is enough.
func copyFile(t *testing.T, root, file string) {
	t.Helper()
	err := filepath.WalkDir(file, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		place(t, root, name, 0o755)
		to := filepath.Join(root, name)
		if entry.IsDir() {
			place(t, root, filepath.Join(name, "x"), 0o755)
			return nil
		}
		var data []byte
		if name == file {
			if data, err = os.ReadFile(name); err != nil {
				return err
			}
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
		if name != file {
			if err := os.Truncate(to, info.Size()); err != nil {
				return err
			}
		}
		return os.Chmod(to, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// asNode tells the API what a kubelet would that runs a cluster's control plane: its
// Node, and a mirror pod of each component.
func asNode(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(c.Config())
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: controlPlaneNode, Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
			NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: version.GitVersion, ContainerRuntimeVersion: "containerd://2.3.0", OperatingSystem: "linux", Architecture: "amd64"},
		},
	}
	if _, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range components(t, c) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: p.name + "-" + controlPlaneNode, Namespace: metav1.NamespaceSystem,
				Labels:      map[string]string{"component": p.name, "tier": "control-plane"},
				Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "0", "kubernetes.io/config.source": "file"},
			},
			Spec: corev1.PodSpec{
				NodeName: controlPlaneNode, HostNetwork: true,
				Containers: []corev1.Container{{
					Name: p.name, Image: "registry.k8s.io/" + p.name + ":" + version.GitVersion, Command: append([]string{p.name}, p.argv[1:]...),
				}},
			},
		}
		for i, file := range filesOf(c, p) {
			name := fmt.Sprint("f", i)
			if file == c.AuditFile {
				file = c.Dir // of which the API server makes new files
			}
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
				Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: file}},
			})
			mounts := &pod.Spec.Containers[0].VolumeMounts
			*mounts = append(*mounts, corev1.VolumeMount{Name: name, MountPath: file, ReadOnly: file != c.EtcdDir && file != c.Dir})
		}
		if _, err := client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// ofNode are a report's findings about a node, by their IDs.
func ofNode(t *testing.T, r *report.Report) map[string]report.Finding {
	t.Helper()
	found := map[string]report.Finding{}
	for _, f := range r.Findings {
		if f.Object.Kind != "Node" {
			continue
		}
		if other, twice := found[f.ID]; twice {
			t.Errorf("twice: %s: %s (%s, %s)", f.ID, f.Rule, f.Message, other.Message)
		}
		found[f.ID] = f
	}
	return found
}

// notIn are the findings of one report that another has not.
func notIn(some, others map[string]report.Finding) (list []report.Finding) {
	for _, id := range slices.Sorted(maps.Keys(some)) {
		if _, both := others[id]; !both {
			list = append(list, some[id])
		}
	}
	return list
}

// What a control plane's own processes and files say is what the API says of it, as far
// as flags tell. What only files tell is open over the API, and both together are one
// report.
func TestNodeOwnControlPlane(t *testing.T) {
	c := cluster.Start(t, cluster.Options{APIServer: []string{
		"--tls-min-version=VersionTLS11", "--service-account-lookup=false", "--audit-log-maxage=1", "--authorization-mode=AlwaysAllow",
		"--kubelet-certificate-authority=",
	}})
	root := nodeTree(t, c)
	asNode(t, c)
	node, live := []string{"--host-root", root}, []string{"--cluster", "--kubeconfig", c.Kubeconfig}

	// What flags do not tell, and what takes objects of the cluster besides.
	filesOnly := []string{"certificate-names", "encryption-key-service", "pod-security-admission", "secrets-rewritten"}
	apiOnly := []string{"image-policy-webhook", "shared-network"} // a taint is of the Node

	byFiles, byAPI := scan(t, node...), scan(t, live...)
	files, api := ofNode(t, byFiles), ofNode(t, byAPI)
	if got := rules(notIn(files, api)); !slices.Equal(got, filesOnly) {
		t.Errorf("only the files tell of %q, want %q", got, filesOnly)
	}
	if got := rules(notIn(api, files)); !slices.Equal(got, apiOnly) {
		t.Errorf("only the API tells of %q, want %q", got, apiOnly)
	}
	for id, f := range files {
		if g, both := api[id]; both && (f.Message != g.Message || f.Value != g.Value || f.Severity != g.Severity) {
			t.Errorf("%s: by files %q (%s), over the API %q (%s)", f.Rule, f.Message, f.Value, g.Message, g.Value)
		}
	}
	for _, want := range []string{"tls-version", "authentication-methods", "audit-log-retention", "authorization-mode", "api-server-certificates", "token-lifetime"} {
		if !slices.Contains(rules(slices.Collect(maps.Values(api))), want) {
			t.Errorf("nothing by %s over the API", want)
		}
	}
	open := regexp.MustCompile(`was not read|were not both read|are not known|the API does not tell the files`)
	for _, f := range notIn(files, api) {
		if row := rows(byAPI)[f.Recommendation]; row.Status == report.Pass || !open.MatchString(row.Reason) {
			t.Errorf("%s over the API: %s, %q, where the files have: %s", row.ID, row.Status, row.Reason, f.Message)
		}
	}
	for id, row := range rows(byAPI) {
		if by := rows(byFiles)[id]; row.Status == report.Pass && by.Status == report.Fail {
			t.Errorf("%s passes over the API and fails by files", id)
		}
	}

	both := scan(t, slices.Concat(live, node)...)
	together := ofNode(t, both)
	union := maps.Clone(files)
	maps.Copy(union, api)
	if lost, more := notIn(union, together), notIn(together, union); len(lost)+len(more) > 0 {
		t.Errorf("both together lose %q and add %q", rules(lost), rules(more))
	}
	if missing := slices.DeleteFunc(idsOf(byAPI), func(id string) bool { return slices.Contains(idsOf(both), id) }); len(missing) > 0 {
		t.Errorf("of the cluster's findings %d are lost", len(missing))
	}

	dir := t.TempDir()
	snapshots := []string{"scan", "-o", "json"}
	for name, from := range map[string][]string{"node.snap": node, "cluster.snap": live} {
		file := filepath.Join(dir, name)
		if got := run(t, slices.Concat([]string{"snapshot", "--output-file", file}, from)...); got.code == cli.ExitUsage {
			t.Fatal(got.errors)
		}
		snapshots = append(snapshots, "--snapshot", file)
	}
	merged := scan(t, snapshots[3:]...)
	if diff := cmp.Diff(answers(both), answers(merged)); diff != "" {
		t.Errorf("two snapshots, read together, say something else: -at once +merged\n%s", diff)
	}
}

// rules are those of findings, each once, in order.
func rules(list []report.Finding) (names []string) {
	for _, f := range list {
		names = append(names, f.Rule)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func idsOf(r *report.Report) (list []string) {
	for _, f := range r.Findings {
		list = append(list, f.ID)
	}
	return list
}

// answers are what a report says, without where it was read and when.
func answers(r *report.Report) map[string]string {
	all := map[string]string{}
	for _, row := range r.Recommendations {
		all[row.ID] = fmt.Sprint(row.Status, " ", row.Evaluated, " ", row.Failed, " ", row.Reason)
	}
	for _, f := range r.Findings {
		all[f.ID] = fmt.Sprint(f.Rule, " ", f.Object, " ", f.Path, ": ", f.Message)
	}
	return all
}
