package reach

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A holder is something with labels: a class of pods, a namespace, a ServiceAccount
// or a node.
type holder struct {
	labels map[string]string
	// open is why there may be labels beyond these, "" where these are all.
	open string
	// unsure are keys whose value is not known, nor whether they are there.
	unsure []string
	// members are the endpoints that the labels speak of, in order.
	members []int32
}

// value is the value of a label, "" with present unset where there is none. Why says
// why neither is known, "" where it is.
func (h *holder) value(key string) (value string, present bool, why string) {
	if h == nil {
		return "", false, ""
	}
	if slices.Contains(h.unsure, key) {
		return "", false, "the label " + key + " is given to single pods, and not by what was read"
	}
	if value, present = h.labels[key]; present {
		return value, true, ""
	}
	return "", false, h.open
}

// holds reports whether a label that is there with a value is meant, of an operator
// that needs the label to be there; those that do not are the opposite of another one.
func holds(l netpol.Label, value string) bool {
	switch l.Op {
	case netpol.In, netpol.NotIn:
		return slices.Contains(l.Values, value)
	case netpol.Prefix:
		return slices.ContainsFunc(l.Values, func(v string) bool { return strings.HasPrefix(value, v) })
	case netpol.Suffix:
		return slices.ContainsFunc(l.Values, func(v string) bool { return strings.HasSuffix(value, v) })
	case netpol.Contains:
		return slices.ContainsFunc(l.Values, func(v string) bool { return strings.Contains(value, v) })
	}
	return true
}

// negative reports whether an operator is the opposite of one that holds: NotIn is
// true where In is not, Absent where Exists is not.
func negative(op netpol.Op) bool { return op == netpol.NotIn || op == netpol.Absent }

// A labelIndex finds the holders of labels.
type labelIndex struct {
	// values are the holders by key and value of what is certain.
	values map[string]map[string][]*holder
	// open are the holders that may have any label, unsure those that may have the key.
	open   []*holder
	unsure map[string][]*holder
}

func newLabelIndex(holders []*holder) *labelIndex {
	x := &labelIndex{values: map[string]map[string][]*holder{}, unsure: map[string][]*holder{}}
	for _, h := range holders {
		for key, value := range h.labels {
			if slices.Contains(h.unsure, key) {
				continue
			}
			if x.values[key] == nil {
				x.values[key] = map[string][]*holder{}
			}
			x.values[key][value] = append(x.values[key][value], h)
		}
		for _, key := range h.unsure {
			x.unsure[key] = append(x.unsure[key], h)
		}
		if h.open != "" {
			x.open = append(x.open, h)
		}
	}
	return x
}

// find is the members of the holders that a label means, as if its operator were the
// one that needs the label to be there, and those of which it is not known.
func (x *labelIndex) find(l netpol.Label) (yes, maybe bitset) {
	var sure, unsure []*holder
	if l.Op == netpol.In || l.Op == netpol.NotIn {
		for _, v := range l.Values {
			sure = append(sure, x.values[l.Key][v]...)
		}
	} else {
		for v, list := range x.values[l.Key] {
			if holds(l, v) {
				sure = append(sure, list...)
			}
		}
	}
	unsure = append(unsure, x.unsure[l.Key]...)
	for _, h := range x.open {
		if _, known := h.labels[l.Key]; !known {
			unsure = append(unsure, h)
		}
	}
	return membersOf(sure), membersOf(unsure)
}

// membersOf are the endpoints that the labels of holders speak of.
func membersOf(list []*holder) bitset {
	var ids []int32
	for _, h := range list {
		ids = append(ids, h.members...)
	}
	return bitsetOf(ids)
}

// given are the labels that controllers and admission give to single pods, by the
// kind of the object: a template does not tell their values.
var given = map[string][]string{
	"Deployment":            {appsv1.DefaultDeploymentUniqueLabelKey},
	"ReplicaSet":            {appsv1.DefaultDeploymentUniqueLabelKey},
	"ReplicationController": {},
	"DaemonSet":             {appsv1.ControllerRevisionHashLabelKey, "pod-template-generation"},
	"StatefulSet":           {appsv1.ControllerRevisionHashLabelKey, appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel},
	"Job":                   ofJobs,
	"CronJob":               ofJobs,
	"Pod":                   {},
}

var ofJobs = []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, batchv1.JobCompletionIndexAnnotation, "controller-uid", "job-name"}

// ofPlace are the labels that a pod gets from the node that it is put on.
var ofPlace = []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelHostname}

// unsureLabels are the keys of which what was read of a workload does not tell the
// values that its pods have.
func unsureLabels(w *evidence.Workload) []string {
	if w.Kind == "Pod" && w.Running > 0 && w.Instance == "" && w.Owner == "" {
		return nil // it is one running pod
	}
	own, known := given[w.Kind]
	if known && (w.Kind != "Pod" || w.Owner == "" && w.Instance == "") {
		return slices.Concat(own, ofPlace)
	}
	keys := slices.Concat(given["Deployment"], given["DaemonSet"], given["StatefulSet"], ofJobs, ofPlace)
	slices.Sort(keys)
	return slices.Compact(keys)
}
