package remedy

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An amount is what a container is to request and to be limited to, of one resource.
type amount struct {
	request, limit resource.Quantity
	// basis says where the numbers come from.
	basis string
}

// resources sets the request or the limit that a container lacks. A limit brings a
// request with it where there is none: it would be the request as well.
func (k *Known) resources(world *evidence.Snapshot, w *evidence.Workload, c evidence.Container, p check.Problem) *check.Fix {
	at, field := p.Path.String(), "limits"
	name := corev1.ResourceCPU
	if strings.HasSuffix(at, ".memory") {
		name = corev1.ResourceMemory
	}
	if strings.HasSuffix(at, ".requests."+string(name)) {
		field = "requests"
	}
	a, possible := k.amount(world, w, c, name)
	switch have := map[string]corev1.ResourceList{"requests": c.Resources.Requests, "limits": c.Resources.Limits}[field]; {
	case !possible, positive(have, name): // what is written is right, and only what runs is not
		return nil
	case field == "requests":
		return &check.Fix{Path: p.Path, Value: scalar(a.request), Breaks: fmt.Sprintf(
			"a pod for which no node has %s of %s left: it is not scheduled (%s)", a.request.String(), name, a.basis)}
	}
	f := &check.Fix{Path: p.Path, Value: scalar(a.limit), Breaks: fmt.Sprintf("a container that needs more memory than %s: it is killed (%s)", a.limit.String(), a.basis)}
	if name == corev1.ResourceCPU {
		f.Breaks = fmt.Sprintf("a container that needs more processor time than %s: it is slowed down (%s)", a.limit.String(), a.basis)
	}
	if !positive(c.Resources.Requests, name) && (w.Pod.Resources == nil || !positive(w.Pod.Resources.Requests, name)) {
		f.With = []check.Change{{Path: w.Resolve(c.Path().Field("resources", "requests", string(name))), Value: scalar(a.request)}}
	}
	return f
}

// amount finds what to request and to limit, within the bounds of the namespace. It is
// not possible where these contradict what is written.
func (k *Known) amount(world *evidence.Snapshot, w *evidence.Workload, c evidence.Container, name corev1.ResourceName) (a amount, possible bool) {
	request, limit := k.Requests[name], k.Limits[name]
	a.basis = "a stated default: what it uses was not measured"
	if used, measured := w.Usage[c.Name]; measured {
		request = with(used.Of(name), 100+k.Headroom, name)
		limit = with(request, 200, name)
		a.basis = fmt.Sprintf("%s was the most that %s used at one moment; %d%% more are requested, and twice that is the limit", human(used.Of(name), name), pods(used.Pods), k.Headroom)
	}
	least, most, ratio := bounds(world, w.Namespace, name)
	a.request, a.limit = larger(request, least), larger(limit, least)
	if most != nil {
		a.request, a.limit = smaller(a.request, *most), smaller(a.limit, *most)
	}
	if written, ok := c.Resources.Requests[name]; ok && written.Sign() > 0 {
		a.request = written.DeepCopy()
	}
	if a.limit.Cmp(a.request) < 0 {
		a.limit = a.request.DeepCopy()
	}
	if ratio != nil {
		allowed := with(a.request, int(ratio.AsApproximateFloat64()*100), name)
		a.limit = smaller(a.limit, allowed)
	}
	if least != nil || most != nil || ratio != nil {
		a.basis += "; within the LimitRange of the namespace"
	}
	possible = a.request.Sign() > 0 && a.limit.Cmp(a.request) >= 0 && (most == nil || a.limit.Cmp(*most) <= 0) && (least == nil || a.request.Cmp(*least) >= 0)
	return a, possible
}

// bounds are what the LimitRanges of a namespace allow a container, nil for no bound.
func bounds(world *evidence.Snapshot, namespace string, name corev1.ResourceName) (least, most, ratio *resource.Quantity) {
	for _, lr := range world.LimitRanges {
		if lr.Namespace != namespace {
			continue
		}
		for _, item := range lr.Value.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			if q, ok := item.Min[name]; ok && (least == nil || q.Cmp(*least) > 0) {
				least = &q
			}
			if q, ok := item.Max[name]; ok && (most == nil || q.Cmp(*most) < 0) {
				most = &q
			}
			if q, ok := item.MaxLimitRequestRatio[name]; ok && (ratio == nil || q.Cmp(*ratio) < 0) {
				ratio = &q
			}
		}
	}
	return least, most, ratio
}

func positive(list corev1.ResourceList, name corev1.ResourceName) bool {
	q, ok := list[name]
	return ok && q.Sign() > 0
}

func larger(a resource.Quantity, least *resource.Quantity) resource.Quantity {
	if least != nil && a.Cmp(*least) < 0 {
		return least.DeepCopy()
	}
	return a.DeepCopy()
}

func smaller(a, most resource.Quantity) resource.Quantity {
	if a.Cmp(most) > 0 {
		return most.DeepCopy()
	}
	return a.DeepCopy()
}

const (
	mebibyte = 1 << 20
	// leastCPU and leastMemory are the smallest that is ever suggested, in thousandths of
	// a processor and in bytes: what idles at one moment does not always.
	leastCPU    = 10
	leastMemory = 16 * mebibyte
)

// with is some percent of an amount, rounded up to ten thousandths of a processor or to
// whole mebibytes.
func with(q resource.Quantity, percent int, name corev1.ResourceName) resource.Quantity {
	if name == corev1.ResourceCPU {
		milli := up(float64(q.MilliValue())*float64(percent)/100, 10)
		return *resource.NewMilliQuantity(max(milli, leastCPU), resource.DecimalSI)
	}
	bytes := up(float64(q.Value())*float64(percent)/100, mebibyte)
	return *resource.NewQuantity(max(bytes, leastMemory), resource.BinarySI)
}

// most is the most that is computed with: a pebibyte, or as many processors.
const most = 1 << 50

// up rounds up to a whole number of steps.
func up(v float64, step int64) int64 {
	n := int64(min(max(v, 0), most))
	if float64(n) < v {
		n++
	}
	return (n + step - 1) / step * step
}

// human writes an amount for people.
func human(q resource.Quantity, name corev1.ResourceName) string {
	if name == corev1.ResourceCPU {
		return fmt.Sprintf("%dm", q.MilliValue())
	}
	return fmt.Sprintf("%dMi", (q.Value()+mebibyte-1)/mebibyte)
}

func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("any of %d pods", n)
}

// scalar writes a quantity as YAML: in quotes where it would be read as a number.
func scalar(q resource.Quantity) string {
	text := q.String()
	if strings.Trim(text, "0123456789.") == "" {
		return `"` + text + `"`
	}
	return text
}
