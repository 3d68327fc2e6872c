package picture

import (
	"fmt"
	"strings"
)

// The room of the legend below a map.
const (
	legendHeight = 34
	legendSample = 26 // width of what a text is about
)

// keys are what the legend explains, each with a sample that is drawn from the origin.
var keys = [...]struct{ sample, text string }{
	{`<path class="map-line" d="M0 0H22"/>`, "may connect"},
	{`<path class="map-line map-thick" d="M0 0H22"/>`, "several connections"},
	{`<path class="map-line map-maybe" d="M0 0H22"/>`, "not certain"},
	{`<g class="map-box map-open-in"><rect x="0" y="-8" width="22" height="16" rx="3"/></g><path class="map-mark" d="M3 -5l8 5-8 5z"/>`, "everyone may connect to it"},
	{`<g class="map-box"><rect x="0" y="-8" width="22" height="16" rx="3"/></g><path class="map-mark" d="M12 -5l8 5-8 5z"/>`, "it may connect to everyone"},
}

// legendWidth is the room that the legend takes in one row.
func legendWidth() float64 {
	width := float64(2 * margin)
	for _, k := range keys {
		width += legendSample + columnsOf(k.text)*letter + boxGap
	}
	return width
}

// legend writes what lines and marks mean, below the map.
func (d *drawing) legend(b *strings.Builder) {
	x, y := float64(margin), d.size.y-legendHeight/2
	b.WriteString(`<g class="map-legend">`)
	for _, k := range keys {
		fmt.Fprintf(b, `<g transform="translate(%.1f %.1f)">%s<text x="%d" y="4">%s</text></g>`, x, y, k.sample, legendSample, escape(k.text))
		x += legendSample + columnsOf(k.text)*letter + boxGap
	}
	b.WriteString("</g>\n")
}
