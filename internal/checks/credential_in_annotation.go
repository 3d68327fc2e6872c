package checks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/credential"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CredentialInAnnotation reports passwords and tokens in annotations and labels.
//
// Guide: Secrets. Metadata is shown and copied everywhere.
var CredentialInAnnotation = &check.Check{
	ID:             "credential-in-annotation",
	Title:          "annotation or label holds a credential",
	Doc:            credentialInAnnotationDoc,
	Recommendation: "SEC-01",
	Severity:       guide.Critical,
	Remedy:         credentialRemedy,
	Needs:          evidence.Facts(),
	Run:            credentialsInMetadata,
}

const credentialInAnnotationDoc = `Annotations and labels are shown by every tool, copied into logs and metrics, and sent
to webhooks.

The annotations and labels of every object and of every pod template are judged. A
form that only credentials have is critical, a value that only its name tells is
medium or low. The annotation in which kubectl apply keeps the object it was given
is read as that object; what the object's own fields hold as well is reported there
and not once more. The value is never shown.

Name a Secret instead, as most controllers allow:

    metadata:
      annotations:
        nginx.ingress.kubernetes.io/auth-secret: admin-login
`

func credentialsInMetadata(r *check.Run) {
	m := metadataRun{Run: r}
	for _, ref := range r.Objects {
		r.Judge(ref, m.problems(ref, "", evidence.NewPath("metadata"), ref.Annotations, ref.Labels))
	}
	for _, w := range r.Workloads {
		if w.MetaPath.String() != "metadata" {
			r.Judge(w.Ref, m.problems(w.Ref, "pod template: ", w.MetaPath, w.PodAnnotations, w.PodLabels))
		}
	}
}

// metadataRun judges metadata.
type metadataRun struct {
	*check.Run
	// fields are the objects' other fields by Ref.ID; nil until they are asked for.
	fields map[int]*ownFields
}

type ownFields struct {
	workloads []*evidence.Workload
	configMap *evidence.Object[corev1.ConfigMap]
}

func (m *metadataRun) problems(ref *evidence.Ref, where string, at evidence.Path, annotations, labels map[string]string) (problems []check.Problem) {
	add := func(field, word, key string, found []credential.Match) {
		if len(found) == 0 {
			return
		}
		if p, bad := credentialProblem(at.Field(field, key), fmt.Sprintf("%s%s %q", where, word, key), found); bad {
			problems = append(problems, p)
		}
	}
	for key, value := range sortedPairs(annotations) {
		if key == corev1.LastAppliedConfigAnnotation {
			add("annotations", "annotation", key, m.onlyApplied(ref, value))
			continue
		}
		add("annotations", "annotation", key, credential.Find(key, value))
	}
	for key, value := range sortedPairs(labels) {
		add("labels", "label", key, credential.Find(key, value))
	}
	return problems
}

// sortedPairs yields the entries of a map by key, and costs nothing for an empty one.
func sortedPairs(m map[string]string) func(func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		if len(m) == 0 {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// onlyApplied returns the credentials in the object that kubectl applied last
// which its fields do not hold any more. Those that they do hold are reported
// where they stand.
func (m *metadataRun) onlyApplied(ref *evidence.Ref, text string) (found []credential.Match) {
	var object any
	if json.Unmarshal([]byte(text), &object) != nil {
		return credential.Find("", text)
	}
	var all []credential.Match
	if collectCredentials("", object, &all); len(all) == 0 {
		return nil
	}
	seen := m.hashes(ref)
	for _, c := range all {
		if !seen[c.Hash] {
			seen[c.Hash] = true
			found = append(found, c)
		}
	}
	return found
}

// collectCredentials walks a JSON value. A string is named by its field, or, as
// in a list of environment variables, by the field "name" beside it.
func collectCredentials(name string, value any, found *[]credential.Match) {
	switch v := value.(type) {
	case string:
		*found = append(*found, credential.Find(name, v)...)
	case []any:
		if line, ok := commandLine(name, v); ok {
			for _, a := range credential.FindArgs(line) {
				*found = append(*found, a.Match)
			}
			return
		}
		for _, e := range v {
			collectCredentials(name, e, found)
		}
	case map[string]any:
		own, _ := v["name"].(string)
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if key == "value" && own != "" {
				collectCredentials(own, v[key], found)
				continue
			}
			collectCredentials(key, v[key], found)
		}
	}
}

// commandLine returns the words of a command or of arguments.
func commandLine(field string, list []any) (words []string, ok bool) {
	if field != "command" && field != "args" {
		return nil, false
	}
	for _, e := range list {
		word, ok := e.(string)
		if !ok {
			return nil, false
		}
		words = append(words, word)
	}
	return words, true
}

// hashes are those of the credentials in the fields of an object that the other
// checks of this row report.
func (m *metadataRun) hashes(ref *evidence.Ref) map[string]bool {
	if m.fields == nil {
		m.index()
	}
	seen := map[string]bool{}
	var found []credential.Match
	metadata := func(pairs map[string]string) {
		for key, value := range pairs {
			if key != corev1.LastAppliedConfigAnnotation {
				found = append(found, credential.Find(key, value)...)
			}
		}
	}
	metadata(ref.Annotations)
	metadata(ref.Labels)
	if own := m.fields[ref.ID]; own != nil {
		for _, w := range own.workloads {
			metadata(w.PodAnnotations)
			metadata(w.PodLabels)
			for c := range w.Containers() {
				for _, env := range c.Env {
					found = append(found, credential.Find(env.Name, env.Value)...)
				}
				for _, a := range credential.FindArgs(slices.Concat(c.Command, c.Args)) {
					found = append(found, a.Match)
				}
			}
		}
		if own.configMap != nil {
			for key, value := range own.configMap.Value.Data {
				found = append(found, credential.Find(key, value)...)
			}
		}
	}
	for _, c := range found {
		seen[c.Hash] = true
	}
	return seen
}

func (m *metadataRun) index() {
	m.fields = map[int]*ownFields{}
	of := func(ref *evidence.Ref) *ownFields {
		if m.fields[ref.ID] == nil {
			m.fields[ref.ID] = &ownFields{}
		}
		return m.fields[ref.ID]
	}
	for _, w := range m.Workloads {
		own := of(w.Ref)
		own.workloads = append(own.workloads, w)
	}
	for _, cm := range m.ConfigMaps {
		of(cm.Ref).configMap = cm
	}
}
