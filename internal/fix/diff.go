package fix

import (
	"fmt"
	"slices"
	"strings"
)

// context is how many lines are shown around a change.
const context = 3

// maxDifference bounds the lines that a difference is looked for in with care; of
// files that differ in more, all between the first and the last is shown.
const maxDifference = 4000

// Diff returns the difference of two texts as a unified diff that patch(1) and
// git apply take, "" when there is none. The names are those of the old and the new
// file.
func Diff(oldName, newName string, before, after []byte) string {
	if string(before) == string(after) {
		return ""
	}
	a, b := splitLines(before), splitLines(after)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", oldName, newName)
	for _, h := range hunks(script(a, b)) {
		h.write(&out, a, b)
	}
	return out.String()
}

func splitLines(text []byte) []string {
	lines := strings.SplitAfter(string(text), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// A change has the lines a[a0:a1] replaced by b[b0:b1].
type change struct{ a0, a1, b0, b1 int }

// script is the shortest list of changes that makes b of a.
func script(a, b []string) []change {
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	end := 0
	for end < min(len(a), len(b))-from && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	list := shortest(a[from:len(a)-end], b[from:len(b)-end])
	for i := range list {
		c := &list[i]
		c.a0, c.a1, c.b0, c.b1 = c.a0+from, c.a1+from, c.b0+from, c.b1+from
	}
	return list
}

// shortest is the algorithm of Myers: reached has, for every diagonal, how far into a
// one comes with d changes.
func shortest(a, b []string) []change {
	reached := map[int]int{1: 0}
	var rounds []map[int]int
	for d := 0; ; d++ {
		if d > maxDifference {
			return []change{{0, len(a), 0, len(b)}}
		}
		now := make(map[int]int, d+2)
		for k := -d; k <= d; k += 2 {
			x := reached[k-1] + 1
			if k == -d || k != d && reached[k-1] < reached[k+1] {
				x = reached[k+1]
			}
			for x < len(a) && x-k < len(b) && x-k >= 0 && a[x] == b[x-k] {
				x++
			}
			now[k] = x
			if x >= len(a) && x-k >= len(b) {
				return walkBack(rounds, len(a), len(b))
			}
		}
		rounds = append(rounds, now)
		reached = now
	}
}

// walkBack finds the changes that led to the end of both texts.
func walkBack(rounds []map[int]int, x, y int) []change {
	var list []change
	for d := len(rounds); d > 0; d-- {
		k, before := x-y, rounds[d-1]
		from := k - 1
		if k == -d || k != d && before[k-1] < before[k+1] {
			from = k + 1
		}
		x0 := before[from]
		y0 := x0 - from
		c := change{x0, x0, y0, y0 + 1}
		if from == k-1 {
			c = change{x0, x0 + 1, y0, y0}
		}
		if n := len(list); n > 0 && list[n-1].a0 == c.a1 && list[n-1].b0 == c.b1 {
			list[n-1].a0, list[n-1].b0 = c.a0, c.b0
		} else {
			list = append(list, c)
		}
		x, y = x0, y0
	}
	slices.Reverse(list)
	return list
}

// A hunk is a group of changes near one another.
type hunk []change

func hunks(list []change) (out []hunk) {
	for _, c := range list {
		if n := len(out); n > 0 && c.a0-out[n-1][len(out[n-1])-1].a1 <= 2*context {
			out[n-1] = append(out[n-1], c)
		} else {
			out = append(out, hunk{c})
		}
	}
	return out
}

func (h hunk) write(out *strings.Builder, a, b []string) {
	first, last := h[0], h[len(h)-1]
	lead := min(context, first.a0)
	tail := min(context, len(a)-last.a1)
	fmt.Fprintf(out, "@@ -%s +%s @@\n", extent(first.a0-lead, last.a1+tail), extent(first.b0-lead, last.b1+tail))
	at := first.a0 - lead
	for _, c := range h {
		writeLines(out, " ", a[at:c.a0])
		writeLines(out, "-", a[c.a0:c.a1])
		writeLines(out, "+", b[c.b0:c.b1])
		at = c.a1
	}
	writeLines(out, " ", a[at:last.a1+tail])
}

func extent(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(from + 1)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, mark string, lines []string) {
	for _, line := range lines {
		out.WriteString(mark + line)
		if !strings.HasSuffix(line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
