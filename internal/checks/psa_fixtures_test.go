package checks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// A standardRow says which rules, of which rows, answer for one check of the Pod
// Security Standards.
type standardRow struct {
	rows  []string
	rules []string
}

// standard maps the standards' checks, as their fixtures are named, to ours.
var standard = map[string]standardRow{
	"allowprivilegeescalation":   {[]string{"POD-09"}, []string{"privilege-escalation"}},
	"apparmorprofile":            {[]string{"POD-12"}, []string{"apparmor-profile"}},
	"capabilities_baseline":      {[]string{"POD-10"}, []string{"added-capabilities"}},
	"capabilities_restricted":    {[]string{"POD-10"}, []string{"added-capabilities", "drop-capabilities"}},
	"hostnamespaces":             {[]string{"POD-06", "POD-07"}, []string{"host-pid", "host-ipc", "host-network"}},
	"hostpathvolumes":            {[]string{"POD-08"}, []string{"host-path"}},
	"hostports":                  {[]string{"ENF-01"}, []string{"host-ports"}},
	"hostprobesandhostlifecycle": {[]string{"ENF-01"}, []string{"host-probes"}},
	"privileged":                 {[]string{"POD-05"}, []string{"privileged-container"}},
	"procmount":                  {[]string{"ENF-01"}, []string{"proc-mount"}},
	"procmount_restricted":       {[]string{"ENF-01"}, []string{"proc-mount"}},
	"restrictedvolumes":          {[]string{"POD-14"}, []string{"volume-types"}},
	"runasnonroot":               {[]string{"POD-02"}, []string{"run-as-non-root"}},
	"runasuser":                  {[]string{"POD-02"}, []string{"run-as-non-root"}},
	"seccompprofile_baseline":    {[]string{"POD-13"}, []string{"seccomp-profile"}},
	"seccompprofile_restricted":  {[]string{"POD-13"}, []string{"seccomp-profile"}},
	"selinuxoptions":             {[]string{"POD-11"}, []string{"selinux-options"}},
	"sysctls":                    {[]string{"ENF-01"}, []string{"unsafe-sysctls"}},
	"windowshostprocess":         {[]string{"POD-05"}, []string{"host-process"}},
}

// beyondStandard are the rules of those rows that ask for what no standard does.
var beyondStandard = map[string]string{
	"selinux-unset":  "the ledger asks for a label, the standards only forbid bad ones",
	"apparmor-unset": "the ledger asks for a profile, the standards only forbid bad ones",
}

// restrictedOnly are the rules that ask of every pod what only the restricted
// standard asks for: baseline's own examples may break them.
var restrictedOnly = []string{
	"privilege-escalation", "drop-capabilities", "added-capabilities", "volume-types", "run-as-non-root",
	"seccomp-profile", "proc-mount",
}

// basePods are fixtures without a fault that are about no check in particular.
var basePods = []string{"base", "base_linux", "base_windows"}

// The fixtures of the Pod Security Standards: what the standard of a version
// refuses has a finding of the row it breaks when judged as that version, and
// what the restricted standard lets through has none in any row the standards
// are about, but from the rules that ask for more.
func TestStandardFixtures(t *testing.T) {
	dir := filepath.Join(moduleDir(t, "k8s.io/pod-security-admission"), "test", "testdata")
	looked := map[string]int{}
	for _, level := range []string{"baseline", "restricted"} {
		for minor := 0; minor <= evidence.Newest().Minor; minor++ {
			version := evidence.Version{Major: 1, Minor: minor}
			for _, verdict := range []string{"pass", "fail"} {
				files := glob(t, filepath.Join(dir, level, "v"+version.String(), verdict, "*.yaml"))
				if len(files) == 0 {
					t.Errorf("no fixtures that %s %s %s", verdict, level, version)
				}
				for _, file := range files {
					looked[file]++
					judgeFixture(t, file, level, verdict, version)
				}
			}
		}
	}
	all := 0
	for _, file := range glob(t, filepath.Join(dir, "*", "*", "*", "*")) {
		all++
		if looked[file] != 1 {
			t.Errorf("%s was looked at %d times", file, looked[file])
		}
	}
	if all == 0 {
		t.Fatalf("no fixtures in %s", dir)
	}
	t.Logf("%d fixtures", all)
}

func judgeFixture(t *testing.T, file, level, verdict string, version evidence.Version) {
	t.Helper()
	name := strings.TrimRight(strings.TrimSuffix(filepath.Base(file), ".yaml"), "0123456789")
	row, known := standard[name]
	if !known && !slices.Contains(basePods, name) {
		t.Errorf("%s: no row is known for fixtures of %q", file, name)
		return
	}
	var found []string
	scanRules(readPod(t, file), version, func(rule string) { found = append(found, rule) })
	where := fmt.Sprintf("%s %s %s/%s", level, version, verdict, filepath.Base(file))
	if verdict == "fail" {
		if !slices.ContainsFunc(row.rules, func(rule string) bool { return slices.Contains(found, rule) }) {
			t.Errorf("%s: none of %v found anything", where, row.rules)
		}
		return
	}
	for _, rule := range found {
		if beyondStandard[rule] == "" && !(level == "baseline" && slices.Contains(restrictedOnly, rule)) {
			t.Errorf("%s: %s has a finding", where, rule)
		}
	}
}

// scanRules runs every rule of the rows that the standards are about over a pod,
// and reports each that has a finding.
func scanRules(pod *corev1.Pod, version evidence.Version, found func(rule string)) {
	scan := check.NewScan(podSnapshot(pod), check.Settings{Version: version})
	for _, c := range standardRules() {
		run := &check.Run{Scan: scan}
		c.Run(run)
		if len(run.Failures) > 0 {
			found(c.ID)
		}
	}
}

// standardRules are the rules that judge pods in the rows of the standards.
func standardRules() (list []*check.Check) {
	for _, c := range checks.All() {
		for _, row := range standard {
			if slices.Contains(row.rules, c.ID) || slices.Contains(row.rows, c.Recommendation) && c.Recommendation != "ENF-01" {
				list = append(list, c)
				break
			}
		}
	}
	return list
}

// Every rule that the table names is a check of the row it is named for.
func TestStandardTable(t *testing.T) {
	for name, row := range standard {
		for _, id := range row.rows {
			if _, ok := guide.Find(id); !ok {
				t.Errorf("%s: no row %s", name, id)
			}
		}
		for _, rule := range row.rules {
			c, ok := checks.Find(rule)
			if !ok || !slices.Contains(row.rows, c.Recommendation) {
				t.Errorf("%s: %s is not a rule of %v", name, rule, row.rows)
			}
		}
	}
	for rule, why := range beyondStandard {
		if _, ok := checks.Find(rule); !ok || why == "" {
			t.Errorf("%s: not a rule, or no reason", rule)
		}
	}
}

func podSnapshot(pod *corev1.Pod) *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	w := evidence.NewWorkload(evidence.NewPath("spec").Rooted(""), evidence.NewPath("metadata"), &pod.ObjectMeta, &pod.Spec)
	snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: pod.Name}, []*evidence.Workload{w})
	return snap
}

func readPod(t *testing.T, file string) *corev1.Pod {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(text, pod); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return pod
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// moduleDir is where the go command keeps a module that this one requires.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Fatal(fmt.Errorf("find module %s: %w", module, err))
	}
	return dir
}
