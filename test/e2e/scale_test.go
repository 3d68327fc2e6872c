//go:build cluster

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

var (
	pods       = flag.Int("pods", 1000, "pods of the large cluster")
	namespaces = flag.Int("namespaces", 100, "namespaces of the large cluster")
	bindings   = flag.Int("bindings", 250, "bindings of the large cluster")
	rounds     = flag.Int("rounds", 1, "how often the large cluster is scanned")
)

// A large cluster is read whole, and what it costs is told beside what it costs
// to fetch the same lists with client-go alone. The figures of
// docs/performance.md are of 20,000 pods, 2,000 namespaces and 5,000 bindings.
func TestLargeCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true})
	if err := c.Load(t.Context(), cluster.Load{Namespaces: *namespaces, Pods: *pods, Bindings: *bindings}); err != nil {
		t.Fatal(err)
	}
	gabion := filepath.Join(t.TempDir(), "gabion")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", gabion, "../../cmd/gabion")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range *rounds {
		out := filepath.Join(t.TempDir(), "report.json")
		whole := program(t, gabion, "scan", "--cluster", "--kubeconfig", c.Kubeconfig, "-o", "json="+out, "-o", "table")
		var r report.Report
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		for _, row := range r.Recommendations {
			if row.ID == "POD-05" && row.Evaluated < *pods {
				t.Errorf("%d pods judged, there are %d", row.Evaluated, *pods)
			}
		}
		fetched, dropped := fetch(t, c, &r, "keep"), fetch(t, c, &r, "drop")
		table := program(t, gabion, "scan", "--cluster", "--kubeconfig", c.Kubeconfig)
		snap := program(t, gabion, "snapshot", "--cluster", "--kubeconfig", c.Kubeconfig, "--output-file", filepath.Join(t.TempDir(), "c.snap"))
		paths := program(t, gabion, "rbac", "paths", "--cluster", "--kubeconfig", c.Kubeconfig)
		t.Logf("%d findings", len(r.Findings))
		for _, row := range []struct {
			what string
			cost cost
		}{{"the same lists with client-go alone", fetched}, {"the same, each page dropped at once", dropped}, {"scan --cluster", table}, {"scan --cluster, with a report in JSON", whole}, {"snapshot --cluster", snap}, {"rbac paths --cluster", paths}} {
			t.Logf("%-40s %6.2f s  %6.2f CPU s  %4d MB  %.2f of the fetch", row.what, row.cost.wall.Seconds(), row.cost.cpu.Seconds(), row.cost.memory>>20,
				row.cost.wall.Seconds()/fetched.wall.Seconds())
		}
	}
}

// A cost is what a run took.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // bytes at the peak; 0 when not known
}

// program runs the program by itself, and fails unless it judged.
func program(t *testing.T, name string, args ...string) cost {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &errs
	cmd.Dir = t.TempDir()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	wall := time.Since(began)
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak()}
}

// watchMemory follows the peak of a process's memory, in bytes, until it is asked
// for after its end. What wait(2) tells is no less than the memory of this process,
// from which that one was forked.
func watchMemory(pid int) (peak func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for tick := time.Tick(20 * time.Millisecond); ; {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			for line := range strings.Lines(string(text)) {
				var kib int64
				if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
					most = max(most, kib<<10)
				}
			}
			select {
			case <-done:
				result <- most
				return
			case <-tick:
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}

// fetchAs names the kubeconfig by which this program, instead of testing, fetches
// the lists that its arguments name.
const fetchAs = "GABION_TEST_FETCH"

// fetch lists what a scan listed, in a process of its own as the scan has, in pages
// of 500, as protobuf where the API server has it, into the same Go types. It keeps
// the lists, as client-go gives them to whoever asks, or drops each page.
func fetch(t *testing.T, c *cluster.Cluster, r *report.Report, how string) cost {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{how}
	for _, l := range r.Sources[0].Cluster.Lists {
		args = append(args, l.Resource)
	}
	t.Setenv(fetchAs, c.Kubeconfig)
	defer os.Unsetenv(fetchAs)
	return program(t, self, args...)
}

// fetchAlone returns the exit code.
func fetchAlone(kubeconfig string, args []string) int {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	config.QPS = -1
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.GroupVersion = &schema.GroupVersion{Version: "v1"}
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var kept []runtime.Object
	objects := 0
	for _, resource := range args[1:] {
		n, err := fetchList(client, resource, func(page runtime.Object) {
			if args[0] == "keep" {
				kept = append(kept, page)
			}
		})
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", resource, err)
			return 2
		}
		objects += n
	}
	fmt.Println(objects, len(kept))
	return 0
}

func fetchList(client *rest.RESTClient, resource string, take func(runtime.Object)) (n int, err error) {
	name, group, _ := strings.Cut(resource, ".")
	base := "/api/v1"
	if group != "" {
		version := "v1"
		if group == "autoscaling" {
			version = "v2"
		}
		base = fmt.Sprintf("/apis/%s/%s", group, version)
	}
	more := ""
	for {
		request := client.Get().AbsPath(base, name).Param("limit", "500")
		if name == "secrets" {
			request = request.Param("fieldSelector", "type=kubernetes.io/service-account-token").
				SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
		}
		if group == "apiregistration.k8s.io" || group == "apiextensions.k8s.io" { // no Go types in client-go
			request = request.SetHeader("Accept", "application/json")
		}
		if more != "" {
			request = request.Param("continue", more)
		}
		raw, err := request.Do(context.Background()).Raw()
		if err != nil {
			return n, err
		}
		page, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), raw)
		if err != nil { // a kind without a Go type
			var list metav1.PartialObjectMetadataList
			if err := json.Unmarshal(raw, &list); err != nil {
				return n, err
			}
			page = &list
		}
		take(page)
		n += meta.LenList(page)
		if more = page.(metav1.ListInterface).GetContinue(); more == "" {
			return n, nil
		}
	}
}
