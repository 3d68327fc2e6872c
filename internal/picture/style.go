package picture

import (
	"fmt"
	"strings"
)

// palette gives a drawing of its own the colours that a page's style sheet gives one
// that stands in it.
const palette = `
:root { color-scheme: light dark; --page: #ffffff; --panel: #f6f7f9; --line: #d5d9e0; --ink: #1c2430; --soft: #566070; --link: #0b57b0; --fail-on: #b3263b; --medium: #674100; }
@media (prefers-color-scheme: dark) { :root { --page: #14181f; --panel: #1c222b; --line: #39424f; --ink: #e4e8ee; --soft: #a3adbb; --link: #8ab8f5; --fail-on: #e0566d; --medium: #f8d48a; } }
svg { background: var(--page); }
`

const style = `
.map { font: 12px ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.map text { fill: var(--ink); }
.map-area rect { fill: var(--panel); stroke: var(--line); }
.map-area text { fill: var(--soft); font-weight: 600; }
.map-outside rect { stroke-dasharray: 6 4; fill: none; }
.map-box rect { fill: var(--page); stroke: var(--soft); }
.map-open-in rect { stroke: var(--fail-on); stroke-width: 1.6; }
.map-mark { fill: var(--fail-on); }
.map-line { fill: none; stroke: var(--link); stroke-width: 1.2; opacity: 0.6; }
.map-thick { stroke-width: 2.6; }
.map-maybe { stroke: var(--medium); stroke-dasharray: 5 4; }
.map-tip { fill: var(--link); }
.map-line:hover { opacity: 1; stroke-width: 3.2; }
.map-area:focus-visible, .map-box:focus-visible { outline: none; }
.map-area:is(:hover, :focus) > rect, .map-box:is(:hover, :focus) > rect { stroke: var(--link); stroke-width: 2.2; }
.map:has(.map-box:is(:hover, :focus)) .map-line { opacity: 0.06; }
.map:has(.map-box:is(:hover, :focus)) .map-box { opacity: 0.35; }
`

// highlights are the rules by which a box that is pointed at, or focused, shows the
// lines that begin or end at it, and the boxes at their other ends.
func (d *drawing) highlights(lines []bundle) string {
	var b strings.Builder
	members := make([][]int, len(d.Areas))
	for box, area := range d.area {
		members[area] = append(members[area], box)
	}
	ends := func(e end) []int {
		if e.whole {
			return members[e.index]
		}
		return []int{e.index}
	}
	near := make([]map[int]bool, len(d.box))
	for i := range near {
		near[i] = map[int]bool{i: true}
	}
	for _, l := range lines {
		for _, f := range ends(l.from) {
			for _, t := range ends(l.to) {
				near[f][t], near[t][f] = true, true
			}
		}
	}
	for i := range d.box {
		on := fmt.Sprintf("#%[1]s:has(#%[1]s-b%[2]d:is(:hover, :focus)) ", d.ID, i)
		fmt.Fprintf(&b, "%s:is(.f-b%d, .t-b%d, .f-a%d, .t-a%d) { opacity: 1; }\n", on, i, i, d.area[i], d.area[i])
		var list []string
		for n := range d.box {
			if near[i][n] {
				list = append(list, fmt.Sprintf("#%s-b%d", d.ID, n))
			}
		}
		fmt.Fprintf(&b, "%s:is(%s) { opacity: 1; }\n", on, strings.Join(list, ", "))
	}
	return b.String()
}
