package system

import (
	"regexp"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An rsyslogReader reads rsyslog's configuration in both of its languages: the old
// lines of selectors and $-directives, and the objects of RainerScript. Conditions are
// not followed: an output counts whatever is sent to it.
type rsyslogReader struct {
	*daemonReader
	directives map[string]string // in lower case; those in force so far
	driver     string            // defaultNetstreamDriver of global()
	mainQueue  bool              // is kept on disk
	pending    []pendingOutput
}

// A pendingOutput is one whose queue may be the main one, which may come later.
type pendingOutput struct {
	output    evidence.LogOutput
	ownQueue  bool // kept on disk
	retries   bool // until it works
	driver    string
	needsTLS  bool // StreamDriverMode 1
	isForward bool
}

func (d *daemonReader) rsyslog() {
	r := &rsyslogReader{daemonReader: d, directives: map[string]string{}}
	r.readFile(d.file)
	for _, p := range r.pending {
		if p.isForward {
			driver := p.driver
			if driver == "" {
				driver = r.driver
			}
			p.output.TLS = new(p.needsTLS && driver != "" && driver != "ptcp")
		}
		p.output.Buffered = new((p.ownQueue || r.mainQueue) && p.retries)
		d.output(settled(p.output))
	}
}

func (r *rsyslogReader) readFile(file string) {
	for _, s := range rsyslogStatements(r.load(file)) {
		if s.broken {
			r.fail("%s, line %d: quotes or parentheses that do not close", file, s.number)
			return
		}
		r.statement(file, s.line)
	}
}

// The objects whose parameters matter; input() and others have nothing to say.
var rsyslogObject = regexp.MustCompile(`(?i)\b(action|global|include|main_queue)\s*\(`)

// forward is the old form of an output: @host for UDP, @@host for TCP.
var rsyslogForward = regexp.MustCompile(`(?:^|[\s&])(@@?)(?:\(([^)]*)\))?(\[[0-9a-fA-F:.%]+\]|[^\s:;@\[\]()"]+)(?::([^\s:;]+))?(?:;\S*)?\s*\}?\s*$`)

// rsyslogModule is the old form of an output of a module: :omrelp:host:port.
var rsyslogModule = regexp.MustCompile(`\s:(om\w+):(\S*)`)

// rsyslogOpens is what an object begins with, but for its parenthesis.
var rsyslogOpens = regexp.MustCompile(`(?i)\b(action|input|module|global|main_queue|template|ruleset|include|parser|lookup_table|timezone|dyn_stats|property|constant)\s*$`)

func (r *rsyslogReader) statement(file string, l line) {
	place := evidence.Position{File: file, Line: l.number}
	if rest, ok := strings.CutPrefix(l.text, "$"); ok {
		r.directive(file, rest)
		return
	}
	found := false
	for text := l.text; ; {
		at := rsyslogObject.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		params, rest := rsyslogParams(text[at[1]:])
		r.object(file, strings.ToLower(text[at[2]:at[3]]), params, place)
		text, found = rest, true
	}
	if found {
		return
	}
	if m := rsyslogForward.FindStringSubmatch(l.text); m != nil {
		r.legacyForward(m, place)
		return
	}
	if m := rsyslogModule.FindStringSubmatch(l.text); m != nil {
		r.legacyModule(m[1], m[2], place)
	} else if f := strings.Fields(l.text); len(f) > 1 && strings.HasPrefix(f[len(f)-1], "@") {
		r.fail("%s, line %d: a forward that is not understood", file, l.number)
	}
}

func (r *rsyslogReader) directive(file, text string) {
	name, value, _ := strings.Cut(text, " ")
	name, value = strings.ToLower(strings.TrimSpace(name)), unquote(strings.TrimSpace(value))
	switch name {
	case "includeconfig":
		for _, f := range r.included(file, value) {
			r.readFile(f)
		}
	case "resetconfigvariables":
		clear(r.directives)
	case "mainmsgqueuefilename":
		r.mainQueue = true
	case "defaultnetstreamdriver":
		r.driver = value
	default:
		r.directives[name] = value
	}
}

func (r *rsyslogReader) legacyForward(m []string, place evidence.Position) {
	protocol, port := "udp", m[4]
	if m[1] == "@@" {
		protocol = "tcp"
	}
	if port == "" {
		port = "514"
	}
	p := r.legacyQueue()
	p.output = evidence.LogOutput{Target: hostPort(m[3], port), Protocol: protocol, Place: place}
	p.isForward = true
	p.driver, p.needsTLS = r.directives["actionsendstreamdriver"], protocol == "tcp" && r.directives["actionsendstreamdrivermode"] == "1"
	p.output.Verified = new(authenticates(r.directives["actionsendstreamdriverauthmode"]))
	r.pending = append(r.pending, p)
}

// legacyQueue takes the directives for the queue of the next action, which count for
// that one alone.
func (r *rsyslogReader) legacyQueue() pendingOutput {
	kind := strings.ToLower(r.directives["actionqueuetype"])
	p := pendingOutput{
		ownQueue: r.directives["actionqueuefilename"] != "" && kind != "" && kind != "direct",
		retries:  r.directives["actionresumeretrycount"] == "-1",
	}
	for _, name := range []string{"actionqueuetype", "actionqueuefilename", "actionresumeretrycount"} {
		delete(r.directives, name)
	}
	return p
}

func (r *rsyslogReader) legacyModule(module, rest string, place evidence.Position) {
	switch {
	case isLocalRsyslog(module):
	case module == "omrelp":
		p := r.legacyQueue()
		target, _, _ := strings.Cut(rest, ";")
		p.output = evidence.LogOutput{Target: target, Protocol: "relp", TLS: new(false), Place: place}
		r.pending = append(r.pending, p)
	default:
		r.fail("%s, line %d: the output %s is not understood", place.File, place.Line, module)
	}
}

func isLocalRsyslog(module string) bool {
	switch module {
	case "omfile", "omusrmsg", "ompipe", "omjournal", "omuxsock", "omdiscard", "omstdout", "omruleset", "omtesting":
		return true
	}
	return false
}

// authenticates reports whether an authentication mode verifies the server.
func authenticates(mode string) bool {
	switch strings.ToLower(mode) {
	case "x509/name", "x509/fingerprint", "x509/certvalid", "name", "fingerprint", "certvalid":
		return true
	}
	return false
}

func (r *rsyslogReader) object(file, name string, params map[string]string, place evidence.Position) {
	switch name {
	case "global":
		if driver := params["defaultnetstreamdriver"]; driver != "" {
			r.driver = driver
		}
	case "main_queue":
		r.mainQueue = r.mainQueue || params["queue.filename"] != ""
	case "include":
		if params["file"] == "" {
			r.fail("%s, line %d: an include that is not understood", file, place.Line)
			return
		}
		for _, f := range r.included(file, params["file"]) {
			if strings.EqualFold(params["mode"], "optional") && !r.is(f, evidence.Regular) {
				continue
			}
			r.readFile(f)
		}
	case "action":
		r.action(params, place)
	}
}

func (r *rsyslogReader) action(params map[string]string, place evidence.Position) {
	kind := strings.ToLower(params["queue.type"])
	p := pendingOutput{
		ownQueue: params["queue.filename"] != "" && kind != "" && kind != "direct",
		retries:  params["action.resumeretrycount"] == "-1",
	}
	o := evidence.LogOutput{Target: hostPort(params["target"], params["port"]), Place: place}
	switch module := strings.ToLower(params["type"]); {
	case isLocalRsyslog(module):
		return
	case module == "omfwd":
		p.isForward = true
		if o.Protocol = strings.ToLower(params["protocol"]); o.Protocol == "" {
			o.Protocol = "udp"
		}
		if params["port"] == "" {
			o.Target = hostPort(params["target"], "514")
		}
		p.driver, p.needsTLS = params["streamdriver"], o.Protocol == "tcp" && params["streamdrivermode"] == "1"
		o.Verified = new(authenticates(params["streamdriverauthmode"]))
	case module == "omrelp":
		o.Protocol, o.TLS = "relp", boolean(params["tls"])
		o.Verified = new(authenticates(params["tls.authmode"]))
	case module == "omelasticsearch", module == "omhttp":
		o = rsyslogHTTP(module, params)
		o.Place = place
	default:
		r.fail("%s, line %d: the output %q is not understood", place.File, place.Line, module)
		return
	}
	if strings.ContainsAny(o.Target, "`$") || o.Target == "" {
		r.fail("%s, line %d: the target is not in the file", place.File, place.Line)
	}
	p.output = o
	for _, target := range rsyslogList(o.Target) {
		p.output.Target = target
		r.pending = append(r.pending, p)
	}
}

// rsyslogList returns the targets that a list names: ["a", "b"]:514.
func rsyslogList(target string) []string {
	list, port, ok := strings.Cut(target, "]")
	if !ok || !strings.Contains(list, `"`) {
		return []string{target}
	}
	var targets []string
	for _, t := range strings.Split(strings.TrimPrefix(list, "["), ",") {
		targets = append(targets, hostPort(strings.Trim(t, `" `), strings.TrimPrefix(port, ":")))
	}
	return targets
}

func rsyslogHTTP(module string, params map[string]string) evidence.LogOutput {
	o := urlOutput(strings.Trim(params["server"], `[]"' `))
	if o.Protocol == "" {
		https := params["usehttps"]
		if https == "" && module == "omhttp" {
			https = "on"
		}
		o.Protocol, o.TLS = "http", boolean(https)
	}
	if !strings.Contains(o.Target, ":") {
		o.Target = hostPort(o.Target, params["serverport"])
	}
	o.Verified = new(!isTrue(boolean(params["allowunsignedcerts"])) && !isTrue(boolean(params["skipverifyhost"])))
	return o
}

// rsyslogParams reads name="value" pairs up to the parenthesis that closes them, and
// returns what follows it. Names are in lower case; of a list the text is kept.
func rsyslogParams(text string) (params map[string]string, rest string) {
	params = map[string]string{}
	depth, start, name := 1, 0, ""
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"', '\'':
			end := closingQuote(text, i)
			if name != "" && depth == 1 {
				params[name] = text[i+1 : end]
				name = ""
			}
			i, start = end, end+1
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return params, text[i+1:]
			}
		case '[':
			if end := strings.IndexByte(text[i:], ']'); end < 0 {
				return params, ""
			} else if name != "" {
				params[name] = text[i : i+end+1]
				name, i, start = "", i+end, i+end+1
			}
		case '=':
			name = strings.ToLower(strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	return params, ""
}

// closingQuote is where a quoted text ends, the end of all when it does not.
func closingQuote(text string, open int) int {
	for i := open + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[open]:
			return i
		}
	}
	return len(text) - 1
}

// An rsyslogStatement is a line with those that belong to it, without comments.
type rsyslogStatement struct {
	line
	broken bool
}

// rsyslogStatements joins the lines of objects, whose parentheses span them, and those
// that a backslash continues, and leaves out comments. Quotes and parentheses count
// inside objects only: lines of the old form may have single ones.
func rsyslogStatements(data []byte) []rsyslogStatement {
	text := string(data)
	var list []rsyslogStatement
	number, started := 1, 1
	var b strings.Builder
	depth, blank := 0, true
	end := func(broken bool) {
		if s := strings.TrimSpace(b.String()); s != "" {
			list = append(list, rsyslogStatement{line{started, s}, broken})
		}
		b.Reset()
		depth, blank = 0, true
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n':
			number++
			if depth == 0 {
				end(false)
			} else {
				b.WriteByte(' ')
			}
		case c == '#' && (depth > 0 || blank || text[i-1] == ' ' || text[i-1] == '\t' || text[i-1] == '}'):
			if nl := strings.IndexByte(text[i:], '\n'); nl >= 0 {
				i += nl - 1
			} else {
				i = len(text)
			}
		case c == '/' && i+1 < len(text) && text[i+1] == '*' && (blank || depth > 0):
			stop := strings.Index(text[i+2:], "*/")
			if stop < 0 {
				started = number
				b.WriteByte('/')
				end(true)
				return list
			}
			number += strings.Count(text[i:i+2+stop], "\n")
			i += stop + 3
		case c == '\\' && depth == 0 && i+1 < len(text) && text[i+1] == '\n':
			number++
			i++
		case (c == '"' || c == '\'') && depth > 0:
			stop := closingQuote(text, i)
			if text[stop] != c || stop == i {
				b.WriteByte(c)
				end(true)
				return list
			}
			number += strings.Count(text[i:stop], "\n")
			b.WriteString(text[i : stop+1])
			i = stop
		default:
			if blank && c != ' ' && c != '\t' && c != '\r' {
				if c == '}' || c == '{' {
					continue
				}
				started, blank = number, false
			}
			if c == '(' && (depth > 0 || rsyslogOpens.MatchString(tail(b.String(), 40))) {
				depth++
			} else if c == ')' && depth > 0 {
				depth--
			}
			b.WriteByte(c)
		}
	}
	end(depth > 0)
	return list
}

// tail is the end of a text.
func tail(s string, n int) string { return s[max(0, len(s)-n):] }
