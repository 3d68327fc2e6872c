package remedy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/source/files"
)

func read(t testing.TB, text string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	if err := files.Read(t.Context(), snap, files.Options{Paths: []string{"-"}, Stdin: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
	return snap
}

// failures are what some rules find in a world.
func failures(world *evidence.Snapshot, rules ...string) map[string][]check.Failure {
	found := map[string][]check.Failure{}
	scan := check.NewScan(world, check.Settings{Version: evidence.Newest()})
	for _, c := range checks.All() {
		if slices.Contains(rules, c.ID) {
			run := &check.Run{Scan: scan, Severity: c.Severity}
			c.Run(run)
			found[c.ID] = run.Failures
		}
	}
	return found
}

// mended applies the fixes of some rules, and returns the pod that comes of it, and what
// the fixes may break.
func mended(t testing.TB, k *Known, text string, usage map[string]evidence.Use, rules ...string) (*evidence.Workload, []string) {
	t.Helper()
	world := read(t, text)
	for _, w := range world.Workloads {
		w.Usage = usage
	}
	var edits []fix.Edit
	var breaks []string
	for _, rule := range rules {
		for _, f := range failures(world, rule)[rule] {
			made := k.Fix(world, rule, f)
			if made == nil {
				continue
			}
			if made.Breaks == "" {
				t.Errorf("%s: a fix that is taken to be safe", rule)
			}
			breaks = append(breaks, made.Breaks)
			e := fix.Edit{Object: f.Ref.Outline.At(0), Fields: []fix.Field{{Path: made.Path.String(), Value: made.Value}}}
			for _, w := range made.With {
				e.Fields = append(e.Fields, fix.Field{Path: w.Path.String(), Value: w.Value})
			}
			edits = append(edits, e)
		}
	}
	out, outcomes := fix.Apply([]byte(text), edits)
	for i, o := range outcomes {
		if o.Err != nil {
			t.Errorf("%v: %v", edits[i], o.Err)
		}
	}
	return read(t, string(out)).Workloads[0], breaks
}

// mounts are the emptyDirs that a container has, as FOLDER=SIZE.
func mounts(t testing.TB, w *evidence.Workload, name string) (list []string) {
	t.Helper()
	volumes := map[string]corev1.Volume{}
	for _, v := range w.Pod.Volumes {
		if _, twice := volumes[v.Name]; twice {
			t.Errorf("two volumes %q", v.Name)
		}
		volumes[v.Name] = v
	}
	used := map[string]int{}
	for c := range w.Containers() {
		for _, m := range c.VolumeMounts {
			v, there := volumes[m.Name]
			if !there && w.Kind != "StatefulSet" {
				t.Errorf("no volume %q", m.Name)
			}
			if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
				continue
			}
			if used[m.Name]++; used[m.Name] > 1 {
				t.Errorf("volume %q is shared", m.Name)
			}
			if c.Name == name {
				list = append(list, m.MountPath+"="+v.EmptyDir.SizeLimit.String())
			}
		}
	}
	return list
}

func pod(spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec:\n" + spec
}

// For exactly the folders that are written and that are no volume there is one.
func TestReadOnly(t *testing.T) {
	writes, err := ParseWrites("writes.txt", []byte("# seen\nshop/pod/web app /srv/cache 10Mi\nshop/Pod/web app /srv/cache/deep\nimage registry.example.com/other /var/spool/other # by inotify\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		writes       *Writes
		spec         string
		want         []string // of container app
		says, others string
	}{
		"known":            {nil, "  containers:\n    - {name: app, image: nginx}\n", []string{"/var/cache/nginx=256Mi", "/var/run=64Mi"}, "known is what the image nginx writes", ""},
		"known, long name": {nil, "  containers:\n    - {name: app, image: 'docker.io/library/nginx:1.27.3-alpine@sha256:00000000000000000000000000000000'}\n", []string{"/var/cache/nginx=256Mi", "/var/run=64Mi"}, "", ""},
		"mirror":           {nil, "  containers:\n    - {name: app, image: public.ecr.aws/docker/library/redis:7}\n", []string{"/data=1Gi"}, "", ""},
		"old postgres":     {nil, "  containers:\n    - {name: app, image: postgres:16-alpine3.20}\n", []string{"/var/lib/postgresql/data=1Gi", "/var/run/postgresql=64Mi"}, "", ""},
		"new postgres":     {nil, "  containers:\n    - {name: app, image: postgres:18}\n", []string{"/var/lib/postgresql=1Gi", "/var/run/postgresql=64Mi"}, "", ""},
		"base":             {nil, "  containers:\n    - {name: app, image: python:3.13-slim}\n", []string{"/tmp=256Mi"}, "not what the application in it does", ""},
		"writes nowhere":   {nil, "  containers:\n    - {name: app, image: memcached}\n", nil, "known is what", ""},
		"unknown":          {nil, "  containers:\n    - {name: app, image: registry.example.com/nginx}\n", nil, "is not known (--writes tells)", ""},
		"another tag":      {nil, "  containers:\n    - {name: app, image: nginx:1.27-otel}\n", nil, "is not known (--writes tells)", ""},
		"of somebody else": {nil, "  containers:\n    - {name: app, image: someone/nginx}\n", nil, "is not known (--writes tells)", ""},
		"a volume already": {nil, "  containers:\n    - {name: app, image: nginx, volumeMounts: [{name: run, mountPath: /run/}]}\n  volumes: [{name: run, emptyDir: {}}]\n", []string{"/var/cache/nginx=256Mi"}, "", ""},
		"above":            {nil, "  containers:\n    - {name: app, image: nginx, volumeMounts: [{name: var, mountPath: /var}]}\n  volumes: [{name: var, emptyDir: {}}]\n", []string{"/var/run=64Mi"}, "", ""},
		"below":            {nil, "  containers:\n    - {name: app, image: grafana/grafana, volumeMounts: [{name: boards, mountPath: /var/lib/grafana/dashboards}]}\n  volumes: [{name: boards, configMap: {name: b}}]\n", []string{"/tmp=256Mi", "/var/lib/grafana=1Gi"}, "", ""},
		"read-only":        {nil, "  containers:\n    - {name: app, image: redis, volumeMounts: [{name: data, mountPath: /data, readOnly: true}]}\n  volumes: [{name: data, emptyDir: {}}]\n", nil, "which is read-only", ""},
		"fixed":            {nil, "  containers:\n    - {name: app, image: redis, volumeMounts: [{name: data, mountPath: /data}]}\n  volumes: [{name: data, configMap: {name: c}}]\n", nil, "which is read-only", ""},
		"a name is taken":  {nil, "  containers:\n    - {name: app, image: redis}\n  volumes: [{name: app-data, configMap: {name: c}}]\n", []string{"/data=1Gi"}, "", ""},
		"names that meet":  {nil, "  containers:\n    - {name: app, image: mongo}\n    - {name: app-data, image: mongo}\n    - {name: b, image: redis}\n  initContainers:\n    - {name: i, image: nginx}\n", []string{"/data/configdb=64Mi", "/data/db=1Gi", "/tmp=256Mi"}, "", "app-data"},
		"observed":         {writes, "  containers:\n    - {name: app, image: registry.example.com/app}\n", []string{"/srv/cache=10Mi"}, "the folders that were observed", ""},
		"observed image":   {writes, "  containers:\n    - {name: app2, image: 'registry.example.com/other:1'}\n    - {name: app, image: registry.example.com/x}\n", []string{"/srv/cache=10Mi"}, "", ""},
		"observed, known":  {writes, "  containers:\n    - {name: app, image: redis}\n", []string{"/data=1Gi", "/srv/cache=10Mi"}, "observed and those of the image redis", ""},
		"a command":        {nil, "  containers:\n    - {name: app, image: redis, command: [sh]}\n", []string{"/data=1Gi"}, "nor what the command does", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := Defaults()
			k.Writes = tt.writes
			w, breaks := mended(t, &k, pod(tt.spec), nil, readOnlyRoot)
			got := mounts(t, w, "app")
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.others != "" && len(mounts(t, w, tt.others)) == 0 {
				t.Errorf("%s has none", tt.others)
			}
			if !strings.Contains(strings.Join(breaks, "\n"), tt.says) {
				t.Errorf("nothing of %q: %q", tt.says, breaks)
			}
			for c := range w.Containers() {
				if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s is not read-only", c.Name)
				}
			}
		})
	}
}

// No folder of the table is one that may not be given.
func TestImages(t *testing.T) {
	for repository, img := range images() {
		if got, tag := split(repository + ":1"); got != repository || tag != "1" {
			t.Errorf("%s is read as %s", repository, got)
		}
		for i, f := range img.writes {
			if clean, err := cleanFolder(f.path); err != nil || clean != f.path || !isSize(f.size) {
				t.Errorf("%s: %q %q: %v", repository, f.path, f.size, err)
			}
			for _, other := range img.writes[:i] {
				if within(f.path, other.path) || within(other.path, f.path) {
					t.Errorf("%s: %s and %s", repository, f.path, other.path)
				}
			}
		}
	}
}

// What is no folder for a volume is refused, with its line.
func TestWrites(t *testing.T) {
	for _, bad := range []string{"/", "relative", "/a/../etc", "/..", "/etc", "/usr/", "/usr//bin", "/proc/1", "/sys", "/dev/shm", "/var/run/secrets/x", "/run/secrets", "/a:b", "/a\x07", "/" + strings.Repeat("a", 2000), "//"} {
		_, err := ParseWrites("w", []byte("\nshop/pod/web app "+bad+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "w:2: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"shop/pod/web app", "shop/pod app /a", "a//b app /a", "shop/pod/web app /a 64Mi more", "shop/pod/web app /a -1", "shop/pod/web app /a lots", "image nginx"} {
		if _, err := ParseWrites("w", []byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "w:1: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if w, err := ParseWrites("w", []byte(" # nothing\n\n image nginx /a/./b//c/ 5Mi\t#x\r\n")); err != nil || w.images["nginx"][0] != (folder{"/a/b/c", "5Mi"}) {
		t.Errorf("%v %v", w, err)
	}
}

func FuzzParseWrites(f *testing.F) {
	f.Add([]byte("shop/pod/web app /a 1Mi\nimage x /b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		w, err := ParseWrites("w", text)
		if err != nil {
			return
		}
		for _, list := range w.images {
			for _, f := range list {
				var m corev1.VolumeMount
				if err := yaml.UnmarshalStrict([]byte("{mountPath: "+plain(f.path)+"}"), &m); err != nil || m.MountPath != f.path {
					t.Errorf("%q is written %s: %v", f.path, plain(f.path), err)
				}
			}
		}
	})
}

// Requests and limits are measured or stated, and within the namespace's bounds.
func TestResources(t *testing.T) {
	const bare = "  containers:\n    - {name: app, image: x}\n"
	bounds := func(item string) string {
		return "---\n{apiVersion: v1, kind: LimitRange, metadata: {name: l, namespace: shop}, spec: {limits: [{type: Container, " + item + "}]}}\n"
	}
	used := func(cpu, memory string) map[string]evidence.Use {
		return map[string]evidence.Use{"app": {CPU: resource.MustParse(cpu), Memory: resource.MustParse(memory), Pods: 3}}
	}
	for name, tt := range map[string]struct {
		text  string
		usage map[string]evidence.Use
		want  string // cpu and memory, request/limit
		says  string
	}{
		"stated":       {pod(bare), nil, "100m/1 128Mi/512Mi", "was not measured"},
		"measured":     {pod(bare), used("333m", "100Mi"), "500m/1 150Mi/300Mi", "100Mi was the most that any of 3 pods used"},
		"idle":         {pod(bare), used("0", "1Ki"), "10m/20m 16Mi/32Mi", ""},
		"request":      {pod("  containers:\n    - {name: app, image: x, resources: {requests: {cpu: 2, memory: 1Gi}}}\n"), nil, "2/2 1Gi/1Gi", ""},
		"limit":        {pod("  containers:\n    - {name: app, image: x, resources: {limits: {memory: 64Mi}}}\n"), nil, "100m/1 0/64Mi", ""},
		"least":        {pod(bare) + bounds("min: {memory: 1Gi}"), nil, "100m/1 1Gi/1Gi", "within the LimitRange"},
		"ratio":        {pod(bare) + bounds("maxLimitRequestRatio: {cpu: 2, memory: 4}"), nil, "100m/200m 128Mi/512Mi", ""},
		"impossible":   {pod("  containers:\n    - {name: app, image: x, resources: {requests: {cpu: 100m, memory: 1Mi}}}\n") + bounds("min: {memory: 1Gi}"), nil, "100m/1 1Mi/0", ""},
		"all are said": {pod("  containers:\n    - {name: app, image: x, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}}\n"), nil, "1/1 1Gi/1Gi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := Defaults()
			w, breaks := mended(t, &k, tt.text, tt.usage, requests, limits)
			r := w.Pod.Containers[0].Resources
			got := ""
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				request, limit := r.Requests[name], r.Limits[name]
				got += " " + request.String() + "/" + limit.String()
			}
			if got = strings.TrimSpace(got); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if !strings.Contains(strings.Join(breaks, "\n"), tt.says) {
				t.Errorf("nothing of %q: %q", tt.says, breaks)
			}
		})
	}
}

// Fixes of other rules are left as they are.
func TestOthers(t *testing.T) {
	k := Defaults()
	f := check.Failure{Ref: &evidence.Ref{}, Problem: check.Problem{Fix: &check.Fix{Value: "true"}}}
	if got := k.Fix(&evidence.Snapshot{}, "host-pid", f); got != f.Problem.Fix {
		t.Errorf("%v", got)
	}
}
