package limits

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// objectName is what new objects are called.
const objectName = "gabion"

// stated are the numbers of containers of which nothing is known, in thousandths of a
// processor and in bytes.
var stated = map[corev1.ResourceName]struct{ request, limit, least int64 }{
	corev1.ResourceCPU:    {100, 500, 10},
	corev1.ResourceMemory: {128 << 20, 512 << 20, 16 << 20},
}

// A figure is an amount, in thousandths of a processor or in bytes, with what it is
// derived from.
type figure struct {
	n    int64
	from string
}

// higher takes an amount that is more.
func (f *figure) higher(n int64, format string, args ...any) {
	if n > f.n {
		*f = figure{n, fmt.Sprintf(format, args...)}
	}
}

// lower takes an amount that is less.
func (f *figure) lower(n int64, format string, args ...any) {
	if n < f.n {
		*f = figure{n, fmt.Sprintf(format, args...)}
	}
}

// limit makes the LimitRange of a namespace.
func (n *Namespace) limit(snap *evidence.Snapshot, headroom int) {
	item := corev1.LimitRangeItem{
		Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{}, DefaultRequest: corev1.ResourceList{},
		Max: corev1.ResourceList{}, Min: corev1.ResourceList{},
	}
	n.LimitRange = &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: objectName, Namespace: n.Name}}
	today := n.replaces(snap)
	for _, name := range judged {
		n.bound(&item, name, today, headroom)
	}
	n.LimitRange.Spec.Limits = append([]corev1.LimitRangeItem{item}, n.LimitRange.Spec.Limits...)
	for _, w := range n.workloads {
		for _, pod := range w.all() {
			if _, why := Admit(n.LimitRange, pod.Pod); len(why) > 0 {
				for _, reason := range why {
					n.Refused = append(n.Refused, fmt.Sprintf("%s: %s", called(pod), reason))
				}
			}
		}
	}
}

// replaces finds the LimitRange that is there. The only one is replaced, and what it
// bounds besides containers is kept; several are left, and named.
func (n *Namespace) replaces(snap *evidence.Snapshot) (today []corev1.LimitRangeItem) {
	var have []*evidence.Object[corev1.LimitRange]
	for _, lr := range snap.LimitRanges {
		if lr.Namespace == n.Name {
			have = append(have, lr)
		}
	}
	if len(have) > 1 {
		n.limitNotes = append(n.limitNotes, fmt.Sprintf("There are %d LimitRanges already, and their bounds apply as well. Merge them into one: which defaults apply is not defined.", len(have)))
		return nil
	}
	if len(have) == 1 {
		n.LimitRange.Name = have[0].Name
		n.limitNotes = append(n.limitNotes, fmt.Sprintf("It takes the place of LimitRange %s: its defaults are kept, unless what is there needs more.", have[0].Name))
		for _, item := range have[0].Value.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				today = append(today, item)
				continue
			}
			n.LimitRange.Spec.Limits = append(n.LimitRange.Spec.Limits, *item.DeepCopy())
			n.limitNotes = append(n.limitNotes, fmt.Sprintf("  Kept from it: the bounds of type %s.", item.Type))
		}
	}
	return today
}

// bound sets the defaults and bounds of one resource.
func (n *Namespace) bound(item *corev1.LimitRangeItem, name corev1.ResourceName, today []corev1.LimitRangeItem, headroom int) {
	s := stated[name]
	standard := figure{s.limit, "a stated default"}
	request := figure{s.request, "a stated default"}
	for _, t := range today {
		if q, ok := t.Default[name]; ok && q.Sign() > 0 {
			standard = figure{number(q, name), "as today"}
		}
		if q, ok := t.DefaultRequest[name]; ok && q.Sign() > 0 {
			request = figure{number(q, name), "as today"}
		}
	}
	var highest figure
	least := figure{s.least, "a stated default"}
	n.each(func(c container) {
		limit, limited := c.Resources.Limits[name]
		asked, requested := c.Resources.Requests[name]
		if limited {
			highest.higher(number(limit, name), "%s is limited to %s", c, limit.String())
			least.lower(number(limit, name), "%s is limited to %s", c, limit.String())
		}
		if requested {
			highest.higher(number(asked, name), "%s requests %s", c, asked.String())
			least.lower(number(asked, name), "%s requests %s", c, asked.String())
		}
		used, measured := c.usage[c.Name]
		if !limited && measured {
			q := used.Of(name)
			with := percent(number(q, name), 100+headroom, name)
			request.higher(with, "%s, which requests nothing, used %s at one moment", c, show(number(q, name), name))
			standard.higher(2*with, "twice what %s, which has no limit, used at one moment, plus %d%%", c, headroom)
		}
		if !limited && requested {
			standard.higher(number(asked, name), "%s requests %s and has no limit: a lower default would be below it", c, asked.String())
		}
	})
	n.fit(&standard, &request, name)
	request.lower(standard.n, "no more than the default limit")
	least.lower(request.n, "no more than the default request")
	highest.higher(standard.n, "the default limit")
	most := percent(highest.n, 100+headroom, name)
	item.Default[name], item.DefaultRequest[name] = quantity(standard.n, name), quantity(request.n, name)
	item.Max[name], item.Min[name] = quantity(most, name), quantity(least.n, name)
	n.limitNotes = append(n.limitNotes,
		fmt.Sprintf("%s default %s: %s.", name, shown(item.Default, name), standard.from),
		fmt.Sprintf("%s defaultRequest %s: %s.", name, shown(item.DefaultRequest, name), request.from),
		fmt.Sprintf("%s max %s: %s, plus %d%%.", name, shown(item.Max, name), highest.from, headroom),
		fmt.Sprintf("%s min %s: %s.", name, shown(item.Min, name), least.from))
}

// fit lowers the defaults to what fits into pods that set their resources as a whole:
// containers get the defaults there as well.
func (n *Namespace) fit(standard, request *figure, name corev1.ResourceName) {
	for _, w := range n.workloads {
		for _, pod := range w.all() {
			full := served(pod.Pod)
			whole := full.Resources
			if whole == nil {
				continue
			}
			bare, given := int64(0), int64(0)
			for _, c := range full.Containers {
				if q, ok := c.Resources.Requests[name]; ok {
					given += number(q, name)
				} else {
					bare++
				}
			}
			if q, ok := whole.Limits[name]; ok && q.Sign() > 0 {
				standard.lower(number(q, name), "%s is limited to %s as a whole", called(pod), q.String())
			}
			if q, ok := whole.Requests[name]; ok && bare > 0 && number(q, name) > given {
				request.lower((number(q, name)-given)/bare, "the containers of %s share its request of %s", called(pod), q.String())
			}
		}
	}
}

// A container is one that counts: of any list but the ephemeral ones, which have no
// resources.
type container struct {
	corev1.Container
	workload *evidence.Workload
	// usage is that of all pods of the object, by container.
	usage map[string]evidence.Use
}

func (c container) String() string {
	return fmt.Sprintf("container %q of %s", c.Name, called(c.workload))
}

// each visits the containers of all pods, as the API server completes them.
func (n *Namespace) each(visit func(container)) {
	for _, w := range n.workloads {
		for _, pod := range w.all() {
			full := served(pod.Pod)
			for _, list := range [][]corev1.Container{full.InitContainers, full.Containers} {
				for _, c := range list {
					visit(container{c, pod, w.Usage})
				}
			}
		}
	}
}

// called names a workload, and what runs instead of it.
func called(w *evidence.Workload) string {
	if w.Template != nil {
		return fmt.Sprintf("%s as it runs (%s)", w.Ref, w.Instance)
	}
	return w.Ref.String()
}

// most is the most that is computed with, so that nothing runs over.
const most = 1 << 55

// number is an amount in thousandths of a processor or in bytes.
func number(q resource.Quantity, name corev1.ResourceName) int64 {
	if name == corev1.ResourceCPU {
		if q.AsApproximateFloat64() > most/1000 {
			return most
		}
		return max(q.MilliValue(), 0)
	}
	return min(max(q.Value(), 0), most)
}

// step is what amounts are rounded up to.
func step(name corev1.ResourceName) int64 {
	if name == corev1.ResourceCPU {
		return 10
	}
	return 1 << 20
}

// percent is some percent of an amount, rounded up.
func percent(n int64, p int, name corev1.ResourceName) int64 {
	full := int64(min(float64(n)*float64(p)/100, most))
	return (full + step(name) - 1) / step(name) * step(name)
}

func quantity(n int64, name corev1.ResourceName) resource.Quantity {
	if name == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(n, resource.DecimalSI)
	}
	return *resource.NewQuantity(n, resource.BinarySI)
}

func show(n int64, name corev1.ResourceName) string {
	q := quantity(n, name)
	return q.String()
}
