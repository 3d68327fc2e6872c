package live

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A row is all that a table without objects says of a Secret.
type row struct {
	Name string `json:"name"`
	// Age is what kubectl prints: 27h, 3d4h, 2y34d.
	Age string `json:"age"`
}

// parseTable is a page whose items are the rows of a table without objects.
func parseTable(body []byte) (page, error) {
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil || table.Kind != "Table" {
		return page{}, errors.New("no table")
	}
	cell := func(r metav1.TableRow, name string) (string, bool) {
		i := slices.IndexFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == name })
		if i < 0 || i >= len(r.Cells) {
			return "", false
		}
		text, ok := r.Cells[i].(string)
		return text, ok
	}
	p := page{next: table.Continue}
	for _, r := range table.Rows {
		name, ok := cell(r, "Name")
		if !ok {
			return page{}, errors.New("a table without names")
		}
		age, _ := cell(r, "Age")
		item, err := json.Marshal(row{name, age})
		if err != nil {
			return page{}, err
		}
		p.items = append(p.items, item)
	}
	return p, nil
}

// secret is the Secret that a row is about. When it was made is only as exact as
// the age, which is rounded down.
func (r row) secret(namespace string, t corev1.SecretType, now time.Time) *corev1.Secret {
	s := &corev1.Secret{Type: t, ObjectMeta: metav1.ObjectMeta{Name: r.Name, Namespace: namespace}}
	if age, ok := parseAge(r.Age); ok {
		s.CreationTimestamp = metav1.NewTime(now.Add(-age).UTC().Truncate(time.Second))
	}
	return s
}

// units are those of an age, in the order in which they are written.
var units = []struct {
	letter byte
	length time.Duration
}{{'y', 365 * 24 * time.Hour}, {'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

// parseAge reads what the API server writes in a column of ages.
func parseAge(text string) (age time.Duration, ok bool) {
	unit := 0
	for text != "" {
		digits := 0
		for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseUint(text[:digits], 10, 16)
		if err != nil || digits == len(text) {
			return 0, false
		}
		for unit < len(units) && units[unit].letter != text[digits] {
			unit++
		}
		if unit == len(units) || units[unit].letter == 'y' && n > 200 {
			return 0, false
		}
		age += time.Duration(n) * units[unit].length
		unit++
		text = text[digits+1:]
		ok = true
	}
	return age, ok
}
