package checks

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Setting the field that a fix names, in a pod, makes its problem go away.
func TestFixesSilenceTheirProblem(t *testing.T) {
	fixed := 0
	for _, c := range All() {
		files, err := filepath.Glob(filepath.Join("testdata", c.ID, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			run := runFile(t, c, file)
			for _, f := range run.Failures {
				if f.Problem.Fix == nil {
					continue
				}
				i := slices.IndexFunc(run.Workloads, func(w *evidence.Workload) bool {
					return w.Ref == f.Ref && strings.HasPrefix(f.Problem.Fix.Path.String(), w.PodPath.String()+".")
				})
				if i < 0 {
					continue
				}
				fixed++
				if still := problemsAfter(t, c, run, i, f.Problem.Fix); slices.ContainsFunc(still, func(g check.Failure) bool {
					return g.Ref == f.Ref && g.Problem.Path.Key() == f.Problem.Path.Key()
				}) {
					t.Errorf("%s: setting %s to %s does not help: %s", file, f.Problem.Fix.Path, f.Problem.Fix.Value, f.Problem.Message)
				}
			}
		}
	}
	if fixed == 0 {
		t.Error("no example has a fix")
	}
}

// Fixes that must not be offered, or are safe, by the example they are in.
func TestFixes(t *testing.T) {
	const none, unsafe, safe = "none", "unsafe", "safe"
	for _, test := range []struct {
		check               *check.Check
		example, object, at string
		want                string
	}{
		{RunAsNonRoot, "containers", "faulty-regular", "containers[web].securityContext.runAsUser", none},
		{RunAsNonRoot, "missing", "faulty-regular", "containers[web].securityContext.runAsNonRoot", unsafe},
		{RunAsNonRoot, "inheritance", "pod-is-root", "securityContext.runAsUser", none},
		{RunAsNonRoot, "inheritance", "pod-is-root", "securityContext.runAsNonRoot", none},
		{RunAsNonRoot, "inheritance", "pod-is-root", "containers[mesh].securityContext.runAsNonRoot", none},
		{RunAsNonRoot, "inheritance", "pod-allows-root", "securityContext.runAsNonRoot", unsafe},
		{RunAsNonRoot, "inheritance", "pod-names-a-user", "containers[proxy].securityContext.runAsNonRoot", safe},
		{DropCapabilities, "without", "user-of-the-pod", "initContainers[migrate].securityContext.capabilities.drop", safe},
		{DropCapabilities, "without", "user-of-the-pod", "containers[named].securityContext.capabilities.drop", safe},
		{DropCapabilities, "without", "user-of-the-pod", "containers[root].securityContext.capabilities.drop", unsafe},
		{DropCapabilities, "without", "user-of-the-pod", "containers[escalates].securityContext.capabilities.drop", unsafe},
		{DropCapabilities, "without", "user-of-the-pod", "containers[adds].securityContext.capabilities.drop", unsafe},
		{DropCapabilities, "without", "some-user", "containers[asks].securityContext.capabilities.drop", safe},
		{DropCapabilities, "without", "some-user", "containers[allows-root].securityContext.capabilities.drop", unsafe},
		{SeccompProfile, "inheritance", "pod-is-bad", "securityContext.seccompProfile.type", unsafe},
		{SeccompProfile, "inheritance", "overridden", "securityContext.seccompProfile.type", safe},
		{AppArmorProfile, "pods", "field", "securityContext.appArmorProfile.type", unsafe},
		{AppArmorProfile, "inheritance", "overridden", "securityContext.appArmorProfile.type", safe},
		{HostNetwork, "pods", "shared", "hostNetwork", unsafe},
		{HostNetwork, "no-fix", "takes-a-port", "hostNetwork", none},
		{HostNetwork, "no-fix", "among-policies", "hostNetwork", none},
		{HostNetwork, "no-fix", "without-policies", "hostNetwork", none},
		{PrivilegeEscalation, "no-fix", "agent", "containers[privileged].securityContext.allowPrivilegeEscalation", none},
		{PrivilegeEscalation, "no-fix", "agent", "containers[admin].securityContext.allowPrivilegeEscalation", none},
		{PrivilegeEscalation, "missing", "faulty-regular", "containers[web].securityContext.allowPrivilegeEscalation", unsafe},
		{ServiceAccountToken, "needed", "operator", "automountServiceAccountToken", none},
		{ServiceAccountToken, "automount", "default", "automountServiceAccountToken", unsafe},
		{AddedCapabilities, "versions", "web", "containers[web].securityContext.capabilities.add[CHOWN]", none},
	} {
		got := ""
		for _, f := range runFile(t, test.check, filepath.Join("testdata", test.check.ID, test.example+".yaml")).Failures {
			if f.Ref.Name != test.object || f.Problem.Path.Key() != test.at {
				continue
			}
			switch fix := f.Problem.Fix; {
			case fix == nil:
				got = none
			case fix.Breaks == "":
				got = safe
			default:
				got = unsafe
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, %s: fix %q, want %q", test.check.ID, test.object, test.at, got, test.want)
		}
	}
}

// problemsAfter runs a check again with a fix made in the i-th workload.
func problemsAfter(t *testing.T, c *check.Check, run *check.Run, i int, fix *check.Fix) []check.Failure {
	t.Helper()
	w := *run.Workloads[i]
	text, err := json.Marshal(w.Pod)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(fix.Value), &value); err != nil {
		t.Fatalf("%s: value %q: %v", fix.Path, fix.Value, err)
	}
	set(tree, strings.Split(strings.TrimPrefix(fix.Path.String(), w.PodPath.String()+"."), "."), value)
	text, err = json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	w.Pod = &corev1.PodSpec{}
	if err := yaml.UnmarshalStrict(text, w.Pod); err != nil {
		t.Fatalf("%s: %s is no value for it: %v", fix.Path, fix.Value, err)
	}
	snap := *run.Snapshot
	snap.Workloads = slices.Clone(snap.Workloads)
	snap.Workloads[i] = &w
	again := &check.Run{Scan: check.NewScan(&snap, run.Settings)}
	c.Run(again)
	return again.Failures
}

// set puts a value into a tree of JSON objects, at steps such as "containers[0]".
func set(tree map[string]any, steps []string, value any) {
	name, index, isList := strings.Cut(strings.TrimSuffix(steps[0], "]"), "[")
	if len(steps) == 1 && !isList {
		tree[name] = value
		return
	}
	if !isList {
		child, ok := tree[name].(map[string]any)
		if !ok {
			child = map[string]any{}
			tree[name] = child
		}
		set(child, steps[1:], value)
		return
	}
	i, err := strconv.Atoi(index)
	list, ok := tree[name].([]any)
	if err != nil || !ok || i >= len(list) {
		panic(fmt.Sprintf("no element %s", steps[0]))
	}
	if len(steps) == 1 {
		list[i] = value
		return
	}
	set(list[i].(map[string]any), steps[1:], value)
}
