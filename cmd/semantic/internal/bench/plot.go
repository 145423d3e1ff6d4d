package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// Sizes of a picture, in pixels.
const (
	plotWidth   = 960.0
	plotHead    = 64.0
	panelHeight = 330.0
	panelTop    = 40.0
	panelBottom = 54.0
	panelLeft   = 84.0
	panelRight  = 176.0
)

// Colours that people who see few of them tell apart, too (Okabe and Ito).
const (
	blue   = "#0072b2"
	orange = "#d55e00"
	green  = "#009e73"
	purple = "#aa4499"
	red    = "#cc0000"
	grey   = "#555555"
)

// axis is one direction of a panel.
type axis struct {
	label     string
	low, high float64
	// scale makes equal distances of what looks equal; nil leaves it.
	scale func(float64) float64
	ticks []tick
}

type tick struct {
	at   float64
	text string
}

// place is where a value is on the axis, 0 … 1.
func (a axis) place(v float64) float64 {
	low, high := a.low, a.high
	if a.scale != nil {
		v, low, high = a.scale(v), a.scale(low), a.scale(high)
	}
	if high <= low {
		return 0.5
	}
	return min(max((v-low)/(high-low), 0), 1)
}

// series is a line, or points, with a name in the legend.
type series struct {
	name, colour string
	x, y         []float64
	// mark is how points are drawn: 0 a line with dots, else points of that radius.
	mark   float64
	dashed bool
}

// panel is one chart of a picture.
type panel struct {
	title  string
	x, y   axis
	series []series
	// rules are vertical lines.
	rules []float64
}

// picture writes the panels below each other.
func picture(title, subtitle string, panels ...panel) []byte {
	var b bytes.Buffer
	height := plotHead + float64(len(panels))*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" `+
		`font-family="Helvetica, Arial, sans-serif" font-size="13">`+"\n", plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="white"/>`+"\n", plotWidth, height)
	label(&b, 20, 28, "start", 18, "#000", title)
	label(&b, 20, 48, "start", 13, grey, subtitle)
	for i, p := range panels {
		p.draw(&b, plotHead+float64(i)*panelHeight)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func label(b *bytes.Buffer, x, y float64, anchor string, size int, colour, text string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>`+"\n",
		x, y, anchor, size, colour, html.EscapeString(text))
}

func line(b *bytes.Buffer, x1, y1, x2, y2 float64, colour string, width float64) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"/>`+"\n", x1, y1, x2, y2, colour, width)
}

func (p panel) draw(b *bytes.Buffer, top float64) {
	left, right := panelLeft, plotWidth-panelRight
	up, down := top+panelTop, top+panelHeight-panelBottom
	atX := func(v float64) float64 { return left + p.x.place(v)*(right-left) }
	atY := func(v float64) float64 { return down - p.y.place(v)*(down-up) }
	label(b, left, top+26, "start", 15, "#000", p.title)
	for _, t := range p.y.ticks {
		line(b, left, atY(t.at), right, atY(t.at), "#dddddd", 1)
		label(b, left-8, atY(t.at)+4, "end", 12, grey, t.text)
	}
	for _, t := range p.x.ticks {
		line(b, atX(t.at), down, atX(t.at), down+5, grey, 1)
		label(b, atX(t.at), down+19, "middle", 12, grey, t.text)
	}
	for _, at := range p.rules {
		line(b, atX(at), up, atX(at), down, "#bbbbbb", 1)
	}
	line(b, left, down, right, down, grey, 1)
	line(b, left, up, left, down, grey, 1)
	label(b, (left+right)/2, down+40, "middle", 12, grey, p.x.label)
	fmt.Fprintf(b, `<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle" font-size="12" fill="%s">%s</text>`+"\n",
		20.0, (up+down)/2, grey, html.EscapeString(p.y.label))
	for i, s := range p.series {
		s.draw(b, atX, atY)
		y := up + 10 + float64(i)*22
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/>`+"\n", right+16, y-10, s.colour)
		label(b, right+34, y, "start", 12, "#000", s.name)
	}
}

func (s series) draw(b *bytes.Buffer, atX, atY func(float64) float64) {
	radius := s.mark
	if s.mark == 0 {
		radius = 0
		b.WriteString(`<polyline fill="none" stroke="` + s.colour + `" stroke-width="2"`)
		if s.dashed {
			b.WriteString(` stroke-dasharray="6 4"`)
		}
		b.WriteString(` points="`)
		for i := range s.x {
			fmt.Fprintf(b, "%.1f,%.1f ", atX(s.x[i]), atY(s.y[i]))
		}
		b.WriteString(`"/>` + "\n")
		if len(s.x) <= 12 {
			radius = 3.5
		}
	}
	if radius == 0 {
		return
	}
	opacity := 1.0
	if s.mark > 0 && len(s.x) > 100 {
		opacity = 0.45
	}
	fmt.Fprintf(b, `<g fill="%s" fill-opacity="%.2f">`+"\n", s.colour, opacity)
	for i := range s.x {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%.1f"/>`+"\n", atX(s.x[i]), atY(s.y[i]), radius)
	}
	b.WriteString("</g>\n")
}

// logAxis is a logarithmic axis of milliseconds around the values.
func logAxis(name string, values ...float64) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		if v > 0 && !math.IsInf(v, 1) {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	a := axis{label: name, low: nice(low, false), high: nice(high, true), scale: math.Log}
	if a.high <= a.low {
		a.high = nice(a.low*1.5, true)
	}
	steps := []float64{1, 2, 5}
	if a.high/a.low > 5000 {
		steps = steps[:1]
	}
	for decade := math.Pow(10, math.Floor(math.Log10(a.low))); decade <= a.high; decade *= 10 {
		for _, step := range steps {
			if v := decade * step; v >= a.low*0.999 && v <= a.high*1.001 {
				a.ticks = append(a.ticks, tick{v, tickTime(v)})
			}
		}
	}
	return a
}

// nice is the next of 1, 2, 5, 10 …, above or below.
func nice(v float64, up bool) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	steps := []float64{1, 2, 5, 10}
	if up {
		for _, s := range steps {
			if s*decade >= v*0.999 {
				return s * decade
			}
		}
	}
	for i := range steps {
		if s := steps[len(steps)-1-i] * decade; s <= v*1.001 {
			return s
		}
	}
	return decade
}

func tickTime(ms float64) string {
	if ms >= 999.5 {
		return short(ms/1000) + " s"
	}
	return short(ms) + " ms"
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// linearAxis begins at 0.
func linearAxis(name string, high float64) axis {
	a := axis{label: name, high: nice(max(high, 1e-9), true)}
	step := nice(a.high/5, true)
	for v := 0.0; v <= a.high*1.001; v += step {
		a.ticks = append(a.ticks, tick{v, short(v)})
	}
	return a
}

// percentAxis spreads the quantiles near 1, which are the ones that matter.
func percentAxis(to float64) axis {
	a := axis{label: "percentile", high: to, scale: func(q float64) float64 { return -math.Log10(1 - min(q, 0.99999)) }}
	for _, q := range []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999} {
		if q <= to {
			a.ticks = append(a.ticks, tick{q, "p" + short(q*100)})
		}
	}
	return a
}
