package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A manifest is the text of a static Pod of the API server, edited line by line:
// a line that is not edited is not touched.
type manifest struct {
	lines     []string // without their \n
	doc       yamldoc.Document
	pod       corev1.Pod
	container int
	// words of the command and the args, in order; those from flags on are the
	// API server's flags.
	words []word
	flags int

	edits map[int]*edit // by line, from 1
	// What the edits come to, beside the changes of words.
	added   []string
	mounts  []corev1.VolumeMount
	volumes []corev1.Volume
}

// A word is one element of command or args.
type word struct {
	list string // "command" or "args"
	text string // as it will be
	gone bool
	at   evidence.Position
	old  string
}

// An edit of a line: what it becomes, and what comes after it.
type edit struct {
	replaced *string
	deleted  bool
	after    []string
}

// readManifest reads the manifest of a static Pod that runs an API server.
func readManifest(data []byte) (*manifest, error) {
	m := &manifest{lines: strings.Split(string(data), "\n"), edits: map[int]*edit{}}
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 || docs[0].Kind != "Pod" || docs[0].APIVersion != "v1" {
		return nil, errors.New("want one Pod of v1, as in the manifest of a static Pod")
	}
	m.doc = docs[0]
	if strict, err := kjson.UnmarshalStrict(m.doc.JSON, &m.pod); err != nil {
		return nil, err
	} else if len(strict) > 0 {
		return nil, strict[0]
	}
	for i, c := range m.pod.Spec.Containers {
		var words []word
		for _, list := range []struct {
			name  string
			texts []string
		}{{"command", c.Command}, {"args", c.Args}} {
			for j, text := range list.texts {
				n, ok := m.doc.Outline.Find(m.inContainer(i).Field(list.name).Index(j, ""))
				if !ok {
					return nil, fmt.Errorf("%s of container %q is not written in one place", list.name, c.Name)
				}
				words = append(words, word{list: list.name, text: text, old: text, at: m.doc.Outline.At(n)})
			}
		}
		start := slices.IndexFunc(words, func(w word) bool { return path.Base(w.text) == "kube-apiserver" })
		if start >= 0 {
			m.container, m.words, m.flags = i, words, start+1
			return m, nil
		}
	}
	return nil, errors.New("no container runs kube-apiserver with its flags in command or args, one element each")
}

func documents(data []byte) (docs []yamldoc.Document, err error) {
	for d, problem := range new(yamldoc.Decoder).Documents("", data) {
		if problem != nil {
			return nil, problem
		}
		docs = append(docs, d)
	}
	return docs, nil
}

func (m *manifest) inContainer(i int) evidence.Path {
	return evidence.NewPath("spec", "containers").Index(i, "")
}

func (m *manifest) edit(line int) *edit {
	if m.edits[line] == nil {
		m.edits[line] = &edit{}
	}
	return m.edits[line]
}

// A flag is one flag of the API server as it is given.
type flag struct {
	name, value string
	at          int // of the word with its name
	valueAt     int // of the word with its value: the same, but for --name value
}

// given are the flags in order, by the names that the component gives them.
func (m *manifest) given() (list []flag) {
	for i := m.flags; i < len(m.words); i++ {
		text, ok := strings.CutPrefix(m.words[i].text, "--")
		if !ok || m.words[i].gone {
			continue
		}
		name, value, has := strings.Cut(text, "=")
		f := flag{name: strings.ReplaceAll(name, "_", "-"), value: value, at: i, valueAt: i}
		switch {
		case has:
		case slices.Contains([]string{"anonymous-auth", "profiling"}, f.name): // a bool takes no further word
			f.value = "true"
		case i+1 < len(m.words) && !strings.HasPrefix(m.words[i+1].text, "-"):
			i++
			f.value, f.valueAt = m.words[i].text, i
		default:
			f.value = "true"
		}
		list = append(list, f)
	}
	return list
}

// find returns the flag as it counts: the last one of that name.
func (m *manifest) find(name string) (flag, bool) {
	list := m.given()
	for _, f := range slices.Backward(list) {
		if f.name == name {
			return f, true
		}
	}
	return flag{}, false
}

// set gives a flag a value, in the place where it stands or after the last one.
func (m *manifest) set(name, value string) error {
	last, ok := m.find(name)
	if !ok {
		m.added = append(m.added, "--"+name+"="+value)
		return nil
	}
	for _, f := range m.given() {
		if f.name == name && f.at != last.at {
			if err := m.drop(f); err != nil {
				return err
			}
		}
	}
	if last.at != last.valueAt {
		return m.rewrite(last.valueAt, value)
	}
	return m.rewrite(last.at, "--"+name+"="+value)
}

// remove takes a flag away wherever it stands.
func (m *manifest) remove(name string) error {
	for _, f := range m.given() {
		if f.name == name {
			if err := m.drop(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *manifest) drop(f flag) error {
	for i := f.at; i <= f.valueAt; i++ {
		if _, err := m.alone(i); err != nil {
			return err
		}
		m.words[i].gone = true
		m.edit(m.words[i].at.Line).deleted = true
	}
	return nil
}

func (m *manifest) rewrite(i int, text string) error {
	l, err := m.alone(i)
	if err != nil {
		return err
	}
	m.words[i].text = text
	line := l.before + l.quote + text + l.quote + l.after
	m.edit(m.words[i].at.Line).replaced = &line
	return nil
}

// A wordLine is a line that holds one word and nothing else but a comment.
type wordLine struct{ before, quote, after string }

// alone returns the line of the i-th word, which must be one element of a list in
// block style, on a line of its own.
func (m *manifest) alone(i int) (wordLine, error) {
	w := m.words[i]
	if before, rest, ok := m.cut(w.at); ok && isDash(before) {
		for _, quote := range []string{"", `"`, "'"} {
			if after, ok := strings.CutPrefix(rest, quote+w.old+quote); ok && isEnd(after) {
				return wordLine{before, quote, after}, nil
			}
		}
	}
	return wordLine{}, fmt.Errorf("line %d: %q does not stand on a line of its own, after a dash: write it so first", w.at.Line, w.old)
}

// cut returns what stands on the line before and from a position on. It fails
// where the lines of YAML are not those of the text.
func (m *manifest) cut(at evidence.Position) (before, rest string, ok bool) {
	if at.Line < 1 || at.Line > len(m.lines) || at.Column < 1 || at.Column > len(m.lines[at.Line-1]) {
		return "", "", false
	}
	line := m.lines[at.Line-1]
	return line[:at.Column-1], line[at.Column-1:], true
}

// isDash reports whether text is the indentation and dash of a list's element.
func isDash(text string) bool {
	return strings.HasSuffix(text, " ") && strings.Trim(text, " ") == "-"
}

// isEnd reports whether nothing follows on the line but a comment.
func isEnd(text string) bool {
	rest := strings.TrimSpace(text)
	return rest == "" || rest[0] == '#' && (text[0] == ' ' || text[0] == '\t')
}

// like ends a line as its neighbour ends.
func like(neighbour, line string) string {
	if strings.HasSuffix(neighbour, "\r") {
		return line + "\r"
	}
	return line
}

// mounted reports whether the container sees the file or folder of the host.
func (m *manifest) mounted(name string) bool {
	mounts := slices.Concat(m.pod.Spec.Containers[m.container].VolumeMounts, m.mounts)
	return slices.ContainsFunc(mounts, func(v corev1.VolumeMount) bool {
		return name == v.MountPath || strings.HasPrefix(name, strings.TrimSuffix(v.MountPath, "/")+"/")
	})
}

// mount lets the container see a file or folder of the host under its own name.
func (m *manifest) mount(volume, name string, kind corev1.HostPathType, readOnly bool) {
	taken := slices.Concat(m.pod.Spec.Volumes, m.volumes)
	unique := volume
	for n := 2; slices.ContainsFunc(taken, func(v corev1.Volume) bool { return v.Name == unique }); n++ {
		unique = fmt.Sprintf("%s-%d", volume, n)
	}
	m.mounts = append(m.mounts, corev1.VolumeMount{Name: unique, MountPath: name, ReadOnly: readOnly})
	m.volumes = append(m.volumes, corev1.Volume{Name: unique, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: name, Type: &kind}}})
}

// place turns what was added into edits of lines.
func (m *manifest) place() error {
	last := len(m.words) - 1
	if len(m.added) > 0 || len(m.mounts) > 0 {
		l, err := m.alone(last)
		if err != nil {
			return err
		}
		line := m.words[last].at.Line
		for _, text := range m.added {
			m.after(line, l.before+text)
		}
	}
	if len(m.mounts) == 0 {
		return nil
	}
	if err := m.placeMounts(m.words[last].at.Line, m.words[last].list); err != nil {
		return err
	}
	return m.placeVolumes()
}

func (m *manifest) after(line int, text string) {
	e := m.edit(line)
	e.after = append(e.after, like(m.lines[line-1], text))
}

// placeMounts puts the mounts first in the container's list, or a list after the
// last flag, which ends the list of that name.
func (m *manifest) placeMounts(lastFlag int, list string) error {
	at := m.inContainer(m.container)
	line, dash, ok, err := m.list(at.Field("volumeMounts"))
	if err != nil {
		return err
	}
	if !ok {
		n, _ := m.doc.Outline.Find(at.Field(list))
		indent := strings.Repeat(" ", max(0, m.doc.Outline.At(n).Column-1))
		line, dash = lastFlag, indent+"- "
		m.after(line, indent+"volumeMounts:")
	}
	for _, v := range m.mounts {
		m.after(line, dash+"mountPath: "+v.MountPath)
		m.after(line, blank(dash)+"name: "+v.Name)
		if v.ReadOnly {
			m.after(line, blank(dash)+"readOnly: true")
		}
	}
	return nil
}

// placeVolumes puts the volumes first in the Pod's list, or a list before its
// containers.
func (m *manifest) placeVolumes() error {
	line, dash, ok, err := m.list(evidence.NewPath("spec", "volumes"))
	if err != nil {
		return err
	}
	var text []string
	if !ok {
		n, _ := m.doc.Outline.Find(evidence.NewPath("spec", "containers"))
		at := m.doc.Outline.At(n)
		indent, rest, ok := m.cut(at)
		if !ok || strings.Trim(indent, " ") != "" || !strings.HasPrefix(rest, "containers") {
			return fmt.Errorf("line %d: containers does not stand on a line of its own: write it so first", at.Line)
		}
		for line = at.Line - 1; line > 1 && strings.HasPrefix(strings.TrimSpace(m.lines[line-1]), "#"); {
			line-- // a comment stays with what it is about
		}
		if line < 1 {
			return fmt.Errorf("line %d: containers stands on the first line: write the Pod in block style first", at.Line)
		}
		dash = indent + "- "
		text = append(text, indent+"volumes:")
	}
	for _, v := range m.volumes {
		text = append(text, dash+"hostPath:", blank(dash)+"  path: "+v.HostPath.Path, blank(dash)+"  type: "+string(*v.HostPath.Type), blank(dash)+"name: "+v.Name)
	}
	for _, t := range text {
		m.after(line, t)
	}
	return nil
}

func blank(dash string) string { return strings.Repeat(" ", len(dash)) }

// list returns the line of the key of a list and what its elements begin with;
// ok is false when there is no such list.
func (m *manifest) list(at evidence.Path) (line int, dash string, ok bool, err error) {
	n, ok := m.doc.Outline.Find(at)
	if !ok {
		return 0, "", false, nil
	}
	key := m.doc.Outline.At(n)
	refused := fmt.Errorf("line %d: %s is not written one element a line, after dashes: write it so first", key.Line, at)
	elements := slices.Collect(m.doc.Outline.Children(n))
	if len(elements) == 0 {
		return 0, "", false, refused
	}
	name := at.String()[strings.LastIndex(at.String(), ".")+1:]
	first := m.doc.Outline.At(elements[0])
	_, rest, inText := m.cut(key)
	rest, isKey := strings.CutPrefix(rest, name+":")
	dash, _, firstInText := m.cut(first)
	if !inText || !firstInText || !isKey || !isEnd(rest) || first.Line <= key.Line || !isDash(dash) {
		return 0, "", false, refused
	}
	return key.Line, dash, true, nil
}

// text is the manifest with its edits. It fails when the edits are not exactly what was meant.
func (m *manifest) text() (whole string, err error) {
	var out []string
	for _, c := range m.changes() {
		if c.sign != '-' {
			out = append(out, c.text)
		}
	}
	whole = strings.Join(out, "\n")
	docs, err := documents([]byte(whole))
	if err != nil {
		return "", fmt.Errorf("the manifest cannot be edited where it stands: %w", err)
	}
	if len(docs) != 1 {
		return "", errors.New("the manifest cannot be edited where it stands: it would be several")
	}
	var want, got map[string]any
	if err := errors.Join(json.Unmarshal(m.doc.JSON, &want), json.Unmarshal(docs[0].JSON, &got)); err != nil {
		return "", err
	}
	if err := m.apply(want); err != nil {
		return "", err
	}
	if !reflect.DeepEqual(want, got) {
		return "", errors.New("the manifest cannot be edited where it stands: it would say something else than is meant")
	}
	return whole, nil
}

// apply makes the changes in the decoded manifest.
func (m *manifest) apply(tree map[string]any) error {
	spec, _ := tree["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	if m.container >= len(containers) {
		return errors.New("the container is gone")
	}
	container, _ := containers[m.container].(map[string]any)
	for _, list := range []string{"command", "args"} {
		var texts []any
		for _, w := range m.words {
			if w.list == list && !w.gone {
				texts = append(texts, w.text)
			}
		}
		if m.words[len(m.words)-1].list == list {
			for _, a := range m.added {
				texts = append(texts, a)
			}
		}
		if _, ok := container[list]; ok {
			container[list] = texts
		}
	}
	for _, list := range []struct {
		in    map[string]any
		name  string
		items any
		n     int
	}{{container, "volumeMounts", m.mounts, len(m.mounts)}, {spec, "volumes", m.volumes, len(m.volumes)}} {
		if list.n == 0 {
			continue
		}
		raw, err := json.Marshal(list.items)
		if err != nil {
			return err
		}
		var items []any
		if err := json.Unmarshal(raw, &items); err != nil {
			return err
		}
		old, _ := list.in[list.name].([]any)
		list.in[list.name] = append(items, old...)
	}
	return nil
}

// A change is one line of the old text, the new, or both.
type change struct {
	sign byte // ' ', '-' or '+'
	text string
	last bool // of the old text or the new, and without an end
}

func (m *manifest) changes() (list []change) {
	for i, text := range m.lines {
		e := m.edits[i+1]
		if e == nil {
			e = &edit{}
		}
		last := i == len(m.lines)-1 && text != ""
		switch {
		case e.deleted:
			list = append(list, change{'-', text, last})
		case e.replaced != nil:
			list = append(list, change{'-', text, last}, change{'+', *e.replaced, last && len(e.after) == 0})
		case last && len(e.after) > 0:
			list = append(list, change{'-', text, true}, change{'+', text, false}) // it gets an end
		default:
			list = append(list, change{' ', text, last})
		}
		for j, t := range e.after {
			list = append(list, change{'+', t, last && j == len(e.after)-1})
		}
	}
	return list
}

// diff is the change of the manifest in the unified format, empty when there is none.
func (m *manifest) diff(name string) string {
	if len(m.edits) == 0 {
		return ""
	}
	list := m.changes()
	if n := len(list) - 1; list[n] == (change{sign: ' '}) {
		list = list[:n] // what follows the last line's end is no line
	}
	near := nearby(list)
	var b, hunk strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", name, name)
	var before, inside [2]int // lines of the old and the new text, before the hunk and in it
	flush := func() {
		if hunk.Len() > 0 {
			fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n%s", before[0]+1, inside[0], before[1]+1, inside[1], hunk.String())
		}
		hunk.Reset()
		before[0], before[1], inside = before[0]+inside[0], before[1]+inside[1], [2]int{}
	}
	for i, c := range list {
		if !near[i] {
			flush()
			before[0]++
			before[1]++
			continue
		}
		fmt.Fprintf(&hunk, "%c%s\n", c.sign, c.text)
		if c.last {
			hunk.WriteString("\\ No newline at end of file\n")
		}
		if c.sign != '+' {
			inside[0]++
		}
		if c.sign != '-' {
			inside[1]++
		}
	}
	flush()
	return b.String()
}

// nearby are the changed lines and three around each.
func nearby(list []change) map[int]bool {
	const around = 3
	near := map[int]bool{}
	for i, c := range list {
		if c.sign == ' ' {
			continue
		}
		for j := i - around; j <= i+around; j++ {
			near[j] = true
		}
	}
	return near
}

// hostPaths are what the added volumes mount.
func (m *manifest) hostPaths() (list []string) {
	for _, v := range m.volumes {
		list = append(list, v.HostPath.Path)
	}
	return list
}
