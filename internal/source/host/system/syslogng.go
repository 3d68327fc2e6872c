package system

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A ngNode is a word or a quoted text of syslog-ng's configuration, with what stands
// in parentheses or braces behind it.
type ngNode struct {
	text  string
	line  int
	below []*ngNode
	block bool // in braces
}

// one returns the arguments of an option.
func (n *ngNode) one(names ...string) *ngNode {
	for _, b := range n.below {
		if slices.Contains(names, strings.ReplaceAll(strings.ToLower(b.text), "_", "-")) && b.below != nil {
			return b
		}
	}
	return nil
}

// value returns the first argument of an option, or what counts without it.
func (n *ngNode) value(byDefault string, names ...string) string {
	if o := n.one(names...); o != nil && len(o.below) > 0 {
		return o.below[0].text
	}
	return byDefault
}

// syslogNG reads the destinations that log statements use. syslog-ng's own library of
// blocks (scl) is not read: what it defines is not understood when it is used.
func (d *daemonReader) syslogNG() {
	var all []*ngNode
	waiting := []string{d.file}
	place := map[*ngNode]string{}
	for ; len(waiting) > 0; waiting = waiting[1:] {
		file := waiting[0]
		nodes, includes, err := parseNG(d.load(file))
		if err != "" {
			d.fail("%s: %s", file, err)
		}
		for _, pattern := range includes {
			if pattern == "scl.conf" {
				continue
			}
			if !strings.HasPrefix(pattern, "/") {
				pattern = "/etc/syslog-ng/" + pattern
			}
			if d.is(pattern, evidence.Directory) {
				pattern += "/*"
			}
			waiting = append(waiting, d.included(file, pattern)...)
		}
		for _, n := range nodes {
			place[n] = file
		}
		all = append(all, nodes...)
	}
	used := map[string]bool{}
	for _, n := range all {
		if n.text == "log" && n.block {
			d.ngLog(place[n], n, used)
		}
	}
	for i := 1; i < len(all); i++ {
		if all[i-1].text == "destination" && !all[i-1].block && all[i].block && used[all[i].text] {
			d.ngDrivers(place[all[i]], all[i])
		}
	}
}

// ngLog collects the destinations that a log statement names, and reads those that it
// writes out itself.
func (d *daemonReader) ngLog(file string, n *ngNode, used map[string]bool) {
	for _, b := range n.below {
		switch {
		case b.text == "destination" && b.block:
			d.ngDrivers(file, b)
		case b.text == "destination" && len(b.below) > 0:
			used[b.below[0].text] = true
		case b.block:
			d.ngLog(file, b, used)
		}
	}
}

func (d *daemonReader) ngDrivers(file string, destination *ngNode) {
	for _, driver := range destination.below {
		d.ngDriver(evidence.Position{File: file, Line: driver.line}, driver)
	}
}

func (d *daemonReader) ngDriver(place evidence.Position, n *ngNode) {
	o := evidence.LogOutput{Place: place}
	first := ""
	if len(n.below) > 0 {
		first = n.below[0].text
	}
	tls := n.one("tls")
	switch n.text {
	case "channel", "junction":
		d.ngDrivers(place.File, n)
		return
	case "file", "pipe", "unix-dgram", "unix-stream", "usertty", "pseudofile":
		return
	case "network", "syslog", "tcp", "tcp6", "udp", "udp6":
		transport := strings.ToLower(n.value(map[string]string{"udp": "udp", "udp6": "udp"}[n.text], "transport"))
		if transport == "" {
			transport = "tcp"
		}
		ports := map[string]string{"network tls": "514", "syslog tls": "6514", "syslog tcp": "601"}
		port := n.value(ports[n.text+" "+transport], "port", "localport", "destport")
		if port == "" {
			port = "514"
		}
		o.Target, o.Protocol = hostPort(first, port), transport
		switch transport {
		case "tls", "proxied-tls", "proxied-tls-passthrough":
			o.Protocol, o.TLS = "tcp", new(true)
		case "tcp", "udp":
			o.TLS = new(transport == "tcp" && tls != nil && (n.text == "tcp" || n.text == "tcp6"))
		default:
			d.fail("%s, line %d: the transport %q is not understood", place.File, place.Line, transport)
		}
	case "http", "elasticsearch-http", "splunk-hec-event", "splunk-hec-raw":
		o = urlOutput(n.value("", "url"))
		o.Place = place
	case "loki", "opentelemetry":
		o.Target, o.Protocol = n.value("", "url"), "grpc"
		o.TLS = new(n.one("auth") != nil && n.one("auth").one("tls") != nil)
		if isTrue(o.TLS) {
			tls = n.one("auth").one("tls")
		}
	default:
		d.fail("%s, line %d: the destination %s() is not understood", place.File, place.Line, n.text)
		return
	}
	if o.Target == "" || strings.Contains(o.Target, "`") {
		d.fail("%s, line %d: the target is not in the file", place.File, place.Line)
	}
	verify := "required-trusted"
	if tls != nil {
		verify = tls.value(verify, "peer-verify")
	}
	o.Verified = new(verify == "required-trusted" || verify == "yes")
	buffer := n.one("disk-buffer")
	o.Buffered = new(buffer != nil)
	d.output(settled(o))
}

const maxNGDepth = 50

// parseNG reads words, quoted texts, and what stands in parentheses and braces behind
// them. err says what is not closed.
func parseNG(data []byte) (top []*ngNode, includes []string, err string) {
	root := &ngNode{}
	stack := []*ngNode{root}
	text := string(data)
	number := 1
	var last *ngNode // what a parenthesis would belong to
	add := func(word string) {
		last = &ngNode{text: word, line: number}
		in := stack[len(stack)-1]
		in.below = append(in.below, last)
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\n':
			number++
		case ' ', '\t', '\r', ',':
		case ';':
			last = nil
		case '#':
			if nl := strings.IndexByte(text[i:], '\n'); nl >= 0 {
				i += nl - 1
			} else {
				i = len(text)
			}
		case '@':
			end := len(text)
			if nl := strings.IndexByte(text[i:], '\n'); nl >= 0 {
				end = i + nl
			}
			if name, ok := strings.CutPrefix(text[i:end], "@include"); ok && len(stack) == 1 {
				includes = append(includes, unquote(strings.TrimSpace(name)))
			}
			i = end - 1
		case '"', '\'':
			end := closingQuote(text, i)
			if c == '\'' {
				if q := strings.IndexByte(text[i+1:], '\''); q >= 0 {
					end = i + 1 + q
				}
			}
			if end == i || text[end] != c {
				return root.below, includes, "a quote that does not close"
			}
			add(text[i+1 : end])
			number += strings.Count(text[i:end], "\n")
			i = end
		case '(', '{':
			if last == nil {
				add("")
			}
			last.block = c == '{'
			if last.below == nil {
				last.below = []*ngNode{}
			}
			if stack = append(stack, last); len(stack) > maxNGDepth {
				return root.below, includes, "nested too deep"
			}
			last = nil
		case ')', '}':
			if len(stack) == 1 {
				return root.below, includes, "a parenthesis that opens nothing"
			}
			last = nil
			stack = stack[:len(stack)-1]
		default:
			end := i
			for end < len(text) && !strings.ContainsRune(" \t\r\n(){};,\"'#", rune(text[end])) {
				end++
			}
			add(text[i:end])
			i = end - 1
		}
	}
	if len(stack) > 1 {
		return root.below, includes, "a parenthesis that does not close"
	}
	return root.below, includes, ""
}
