package cli

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gabion-k8s/gabion/internal/remedy"
)

// remedyFlags say what fixes need to know besides the objects.
type remedyFlags struct {
	writes           string
	requests, limits map[string]string
	headroom         int
}

func (o *remedyFlags) flags(f *pflag.FlagSet) {
	d := remedy.Defaults()
	f.StringVar(&o.writes, "writes", "", "file of folders that containers were observed to write, one a line: NAMESPACE/KIND/NAME CONTAINER FOLDER [SIZE], or image IMAGE FOLDER [SIZE]")
	f.StringToStringVar(&o.requests, "requests", nil, "requests of containers whose use was not measured (default "+amounts(d.Requests)+")")
	f.StringToStringVar(&o.limits, "limits", nil, "limits of containers whose use was not measured (default "+amounts(d.Limits)+")")
	f.IntVar(&o.headroom, "headroom", d.Headroom, "percent that are added to measured use for a request; the limit is twice the request")
}

func amounts(list corev1.ResourceList) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		parts = append(parts, string(name)+"="+q.String())
	}
	return strings.Join(parts, ",")
}

// known reads what the flags name.
func (o *remedyFlags) known() (*remedy.Known, error) {
	k := remedy.Defaults()
	if o.headroom < 0 || o.headroom > 1000 {
		return nil, usagef("--headroom %d: want a percentage of 0 to 1000", o.headroom)
	}
	k.Headroom = o.headroom
	for _, part := range []struct {
		flag string
		from map[string]string
		to   corev1.ResourceList
	}{{"requests", o.requests, k.Requests}, {"limits", o.limits, k.Limits}} {
		for _, name := range slices.Sorted(maps.Keys(part.from)) {
			q, err := resource.ParseQuantity(part.from[name])
			switch {
			case name != string(corev1.ResourceCPU) && name != string(corev1.ResourceMemory):
				return nil, usagef("--%s %s: want cpu or memory, such as cpu=100m,memory=128Mi", part.flag, name)
			case err != nil || q.Sign() <= 0:
				return nil, usagef("--%s %s=%s: want a quantity above 0, such as 100m or 128Mi", part.flag, name, part.from[name])
			}
			part.to[corev1.ResourceName(name)] = q
		}
	}
	for name, least := range k.Requests {
		if highest := k.Limits[name]; highest.Cmp(least) < 0 {
			return nil, usagef("--limits %s=%s is below the request, %s", name, highest.String(), least.String())
		}
	}
	if o.writes == "" {
		return &k, nil
	}
	text, err := readBounded(o.writes)
	if err != nil {
		return nil, usagef("read %s: %w", o.writes, err)
	}
	if k.Writes, err = remedy.ParseWrites(filepath.ToSlash(o.writes), text); err != nil {
		return nil, usageError{err}
	}
	return &k, nil
}
