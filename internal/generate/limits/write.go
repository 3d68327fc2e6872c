package limits

import (
	"fmt"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

const rangeHead = `# LimitRanges: what a container gets that sets nothing, and what it may ask for at the
# most and at the least, such that all that %s is admitted. Serves RES-01.
#
# In this order:
# 1. Read where each number comes from. Defaults are guesses where nothing was measured.
# 2. kubectl apply --server-side --field-manager=gabion -f FILE
#    Pods that run stay as they are; new ones, also those that a controller makes in place
#    of old ones, get the defaults and are held to the bounds.
# 3. Then the quotas: gabion generate resourcequota. A quota refuses pods without numbers,
#    and the defaults here are what gives them some.
%s`

const quotaHead = `# ResourceQuotas: what a namespace may use in all: what %s, with what a rollout
# adds, and %d%% headroom. Serves RES-02.
#
# In this order:
# 1. Lay down the LimitRanges first (gabion generate limitrange): a quota on cpu and memory
#    makes the API server refuse every pod of which a container has no request or limit, and
#    their defaults fill it in. The sums here count on them.
# 2. kubectl apply --server-side --field-manager=gabion -f FILE
#    Pods that run stay, also above the quota; new ones are refused then, also those that a
#    controller makes in place of old ones, and Jobs.
# 3. Look after rollouts: kubectl get events -A --field-selector reason=FailedCreate
%s`

func (r *Result) seen() (what, more string) {
	if r.live {
		return "runs or is written there", "# Autoscalers of nodes, and what is started by hand or by pipelines at other times, were not seen.\n"
	}
	return "is written", "# Judged was what files say: what webhooks add to pods, what runs without a file, and what\n# containers use were not seen. With --cluster they are.\n"
}

// LimitRanges are the documents of all namespaces, with where their numbers come from.
func (r *Result) LimitRanges() (string, error) {
	var b strings.Builder
	what, more := r.seen()
	fmt.Fprintf(&b, rangeHead, what, more)
	for _, n := range r.Namespaces {
		b.WriteString("---\n")
		if err := n.WriteLimitRange(&b); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// ResourceQuotas are the documents of all namespaces, with where their numbers come from.
func (r *Result) ResourceQuotas() (string, error) {
	var b strings.Builder
	what, more := r.seen()
	fmt.Fprintf(&b, quotaHead, what, r.headroom, more)
	for _, n := range r.Namespaces {
		b.WriteString("---\n")
		if err := n.WriteQuota(&b); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// WriteLimitRange writes the LimitRange of one namespace, with where its numbers come
// from; comments alone where none is proposed.
func (n *Namespace) WriteLimitRange(b *strings.Builder) error {
	line := lines(b)
	n.head(line, "LimitRange")
	if n.LimitRange == nil {
		return nil
	}
	for _, s := range n.limitNotes {
		line("%s", s)
	}
	for _, s := range n.Refused {
		line("REFUSED: %s", s)
	}
	var items []map[string]any
	for _, item := range n.LimitRange.Spec.Limits {
		fields := map[string]any{"type": string(item.Type)}
		for name, list := range map[string]corev1.ResourceList{
			"default": item.Default, "defaultRequest": item.DefaultRequest, "max": item.Max, "min": item.Min, "maxLimitRequestRatio": item.MaxLimitRequestRatio,
		} {
			if len(list) > 0 {
				fields[name] = list
			}
		}
		items = append(items, fields)
	}
	return document(b, "LimitRange", n.LimitRange.Name, n.Name, map[string]any{"limits": items})
}

// WriteQuota writes the ResourceQuota of one namespace, with where its numbers come from;
// comments alone where none is proposed.
func (n *Namespace) WriteQuota(b *strings.Builder) error {
	line := lines(b)
	n.head(line, "ResourceQuota")
	if n.Quota == nil {
		return nil
	}
	for _, s := range n.quotaNotes {
		line("%s", s)
	}
	if len(n.Bare) > 0 {
		line("Refused without the LimitRange, which gives them what they leave out:")
	}
	for _, s := range n.Bare {
		line("  %s", s)
	}
	for _, s := range n.Refused {
		line("REFUSED by the LimitRange: %s", s)
	}
	return document(b, "ResourceQuota", n.Quota.Name, n.Name, map[string]any{"hard": n.Quota.Spec.Hard})
}

func (n *Namespace) head(line func(string, ...any), kind string) {
	switch {
	case n.unseen():
		line("Namespace %s: nothing was seen, and not all of it was looked at. No %s is proposed.", n.Name, kind)
	case len(n.Doubts) > 0:
		line("Namespace %s, as far as was seen. Not everything was:", n.Name)
	default:
		line("Namespace %s", n.Name)
	}
	for _, d := range n.Doubts {
		line("  Doubt: %s", d)
	}
}

func document(b *strings.Builder, kind, name, namespace string, spec map[string]any) error {
	text, err := yaml.Marshal(struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       map[string]any    `json:"spec"`
	}{"v1", kind, map[string]string{"name": name, "namespace": namespace}, spec})
	if err != nil {
		return fmt.Errorf("write %s of namespace %q: %w", kind, namespace, err)
	}
	b.Write(text)
	return nil
}

// lines writes comments, a line each.
func lines(b *strings.Builder) func(string, ...any) {
	return func(format string, args ...any) {
		b.WriteString(strings.TrimRight("# "+printable(fmt.Sprintf(format, args...)), " ") + "\n")
	}
}

// printable keeps a text within the comment that it stands in.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func resourceCount(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.DecimalSI) }
