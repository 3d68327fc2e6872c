package system

import (
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A section is a part of an agent's configuration: its name and its settings with
// names in lower case.
type section struct {
	name  string
	arg   string // <match kube.**>
	place evidence.Position
	set   map[string]string
	below []*section
}

func newSection(name string, place evidence.Position) *section {
	return &section{name: strings.ToLower(name), place: place, set: map[string]string{}}
}

// fluentBit reads Fluent Bit's configuration, in its own form or in YAML.
func (d *daemonReader) fluentBit() {
	var sections []*section
	if ext := path.Ext(d.file); ext == ".yaml" || ext == ".yml" {
		sections = d.fluentBitYAML(d.file)
	} else {
		sections = d.fluentBitClassic(d.file, nil)
	}
	storage, inputs, onDisk := false, 0, 0
	for _, s := range sections {
		switch s.name {
		case "service":
			storage = storage || s.set["storage.path"] != ""
		case "input":
			inputs++
			if strings.EqualFold(s.set["storage.type"], "filesystem") {
				onDisk++
			}
		}
	}
	buffered := storage && inputs > 0 && onDisk == inputs
	for _, s := range sections {
		if s.name == "output" {
			d.fluentBitOutput(s, buffered)
		}
	}
}

func (d *daemonReader) fluentBitClassic(file string, sections []*section) []*section {
	for _, l := range lines(d.load(file), "#") {
		place := evidence.Position{File: file, Line: l.number}
		key, value, _ := strings.Cut(strings.ReplaceAll(l.text, "\t", " "), " ")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(key, "@include"):
			for _, f := range d.included(file, value) {
				sections = d.fluentBitClassic(f, sections)
			}
		case l.text[0] == '@':
		case l.text[0] == '[':
			sections = append(sections, newSection(strings.Trim(l.text, "[] "), place))
		case len(sections) > 0:
			sections[len(sections)-1].set[strings.ToLower(key)] = value
		}
	}
	return sections
}

func (d *daemonReader) fluentBitYAML(file string) (sections []*section) {
	config, outline, err := decodeYAML(file, d.load(file))
	if err != nil {
		d.fail("%s: %v", file, err)
		return nil
	}
	if includes, ok := config["includes"].([]any); ok {
		for _, include := range includes {
			for _, f := range d.included(file, text(include)) {
				if d.seen[f] {
					continue
				}
				sections = append(sections, d.fluentBitYAML(f)...)
			}
		}
	}
	if service, ok := config["service"].(map[string]any); ok {
		sections = append(sections, sectionOf("service", service, outline.Place(evidence.NewPath("service"))))
	}
	pipeline, _ := config["pipeline"].(map[string]any)
	for name, list := range pipeline {
		items, _ := list.([]any)
		for i, item := range items {
			if fields, ok := item.(map[string]any); ok {
				at := outline.Place(evidence.NewPath("pipeline", name).Index(i, ""))
				sections = append(sections, sectionOf(strings.TrimSuffix(name, "s"), fields, at))
			}
		}
	}
	return sections
}

// sectionOf makes a section of decoded fields; those that hold others are left out.
func sectionOf(name string, fields map[string]any, place evidence.Position) *section {
	s := newSection(name, place)
	for k, v := range fields {
		s.set[strings.ToLower(k)] = text(v)
	}
	return s
}

func (d *daemonReader) fluentBitOutput(s *section, buffered bool) {
	kind := strings.ToLower(s.set["name"])
	tls, verify := s.set["tls"], s.set["tls.verify"]
	if verify == "" {
		verify = "on"
	}
	o := evidence.LogOutput{
		Target: hostPort(orDefault(s.set["host"], "127.0.0.1"), s.set["port"]), Protocol: kind, Place: s.place,
		TLS: boolean(tls), Verified: boolean(verify), Buffered: &buffered,
	}
	if s.set["upstream"] != "" {
		d.fail("%s, line %d: the targets are in another file, %s", s.place.File, s.place.Line, s.set["upstream"])
		return
	}
	switch kind {
	case "stdout", "file", "null", "counter", "exit", "flowcounter", "prometheus_exporter", "plot", "lib":
		return
	case "http", "es", "opensearch", "loki", "splunk", "forward", "tcp", "gelf", "opentelemetry", "nats", "influxdb", "prometheus_remote_write":
	case "syslog":
		if o.Protocol = strings.ToLower(s.set["mode"]); o.Protocol == "" {
			o.Protocol = "udp"
		}
		if o.Protocol == "tls" {
			o.Protocol, o.TLS = "tcp", new(true)
		} else if o.Protocol == "udp" {
			o.TLS = new(false)
		}
	case "kafka":
		o.Target = s.set["brokers"]
		protocol := strings.ToLower(s.set["rdkafka.security.protocol"])
		o.TLS = new(protocol == "ssl" || protocol == "sasl_ssl")
		o.Verified = new(isTrue(boolean(orDefault(s.set["rdkafka.enable.ssl.certificate.verification"], "true"))))
	case "s3", "cloudwatch_logs", "cloudwatch", "kinesis_firehose", "kinesis_streams", "firehose", "kinesis", "stackdriver", "azure", "azure_blob", "bigquery", "chronicle":
		if o.Target = orDefault(s.set["endpoint"], orDefault(s.set["bucket"], kind)); strings.HasPrefix(s.set["endpoint"], "http://") {
			o.TLS = new(false)
		} else {
			o.TLS = new(true)
		}
	default:
		d.fail("%s, line %d: the output %q is not understood", s.place.File, s.place.Line, kind)
		return
	}
	d.output(settled(o))
}

func orDefault(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}

// fluentd reads the <match> sections of Fluentd's configuration.
func (d *daemonReader) fluentd() {
	root := newSection("", evidence.Position{File: d.file})
	d.fluentdFile(d.file, root, 0)
	d.fluentdMatches(root)
}

func (d *daemonReader) fluentdMatches(s *section) {
	for _, b := range s.below {
		switch b.name {
		case "match", "store":
			d.fluentdOutput(b)
		case "label", "worker":
			d.fluentdMatches(b)
		}
	}
}

const maxFluentdDepth = 20

func (d *daemonReader) fluentdFile(file string, root *section, depth int) {
	stack := []*section{root}
	for _, l := range lines(d.load(file), "#") {
		in := stack[len(stack)-1]
		switch {
		case strings.HasPrefix(l.text, "</"):
			if len(stack) == 1 {
				d.fail("%s, line %d: a section ends that did not begin", file, l.number)
				return
			}
			stack = stack[:len(stack)-1]
		case l.text[0] == '<':
			name, arg, _ := strings.Cut(strings.Trim(l.text, "<> "), " ")
			s := newSection(name, evidence.Position{File: file, Line: l.number})
			s.arg = strings.TrimSpace(arg)
			in.below = append(in.below, s)
			if stack = append(stack, s); len(stack) > maxFluentdDepth {
				d.fail("%s, line %d: nested too deep", file, l.number)
				return
			}
		default:
			key, value, _ := strings.Cut(strings.ReplaceAll(l.text, "\t", " "), " ")
			value = strings.TrimSpace(value)
			if key != "@include" {
				in.set[strings.ToLower(key)] = unquote(value)
				continue
			}
			if depth == maxFluentdDepth {
				d.fail("%s, line %d: includes nested too deep", file, l.number)
				return
			}
			for _, f := range d.included(file, value) {
				d.fluentdFile(f, in, depth+1)
			}
		}
	}
	if len(stack) > 1 {
		d.fail("%s: the section <%s> does not end", file, stack[len(stack)-1].name)
	}
}

func (d *daemonReader) fluentdOutput(s *section) {
	kind := strings.ToLower(orDefault(s.set["@type"], s.set["type"]))
	o := evidence.LogOutput{Protocol: kind, Place: s.place, Target: hostPort(s.set["host"], s.set["port"]), Buffered: new(false)}
	for _, b := range s.below {
		if b.name == "buffer" {
			o.Buffered = new(strings.EqualFold(orDefault(b.set["@type"], b.set["type"]), "file") || strings.EqualFold(b.set["@type"], "file_single"))
		}
	}
	is := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return isTrue(boolean(s.set[n])) })
	}
	switch kind {
	case "copy", "roundrobin":
		d.fluentdMatches(s)
		return
	case "stdout", "null", "file", "relabel", "exec_filter", "rewrite_tag_filter", "detect_exceptions", "flatten_hash", "record_reformer", "prometheus":
		d.fluentdMatches(s)
		return
	case "forward":
		o.TLS = new(strings.EqualFold(s.set["transport"], "tls"))
		o.Verified = new(!is("tls_insecure_mode") && !strings.EqualFold(s.set["tls_verify_hostname"], "false"))
		for _, b := range s.below {
			if b.name == "server" {
				o.Target, o.Place = hostPort(b.set["host"], orDefault(b.set["port"], "24224")), b.place
				d.output(settled(o))
			}
		}
		return
	case "http", "loki":
		u := urlOutput(orDefault(s.set["endpoint"], s.set["url"]))
		o.Target, o.TLS = u.Target, u.TLS
		o.Verified = new(s.set["tls_verify_mode"] != "none" && !is("insecure_tls"))
	case "elasticsearch", "opensearch":
		o.Target = orDefault(o.Target, s.set["hosts"])
		o.TLS = new(strings.EqualFold(s.set["scheme"], "https") || strings.Contains(s.set["hosts"], "https://"))
		if strings.Contains(s.set["hosts"], "@") {
			o.Target = urlOutput(s.set["hosts"]).Target
		}
		o.Verified = new(!strings.EqualFold(s.set["ssl_verify"], "false"))
	case "splunk_hec":
		o.Target = hostPort(s.set["hec_host"], s.set["hec_port"])
		o.TLS = new(!strings.EqualFold(s.set["protocol"], "http"))
		o.Verified = new(!is("insecure_ssl"))
	case "kafka2", "kafka":
		o.Target = s.set["brokers"]
		o.TLS = new(s.set["ssl_ca_cert"] != "" || is("ssl_ca_certs_from_system"))
		o.Verified = new(!strings.EqualFold(s.set["ssl_verify_hostname"], "false"))
	case "remote_syslog":
		o.Protocol = orDefault(s.set["protocol"], "udp")
		o.TLS = new(is("tls"))
		o.Verified = new(s.set["verify_mode"] != "0")
	case "s3", "cloudwatch_logs", "google_cloud", "azure-loganalytics":
		o.Target, o.TLS, o.Verified = orDefault(s.set["s3_bucket"], kind), new(true), new(!strings.EqualFold(s.set["ssl_verify_peer"], "false"))
	default:
		d.fail("%s, line %d: the output %q is not understood", s.place.File, s.place.Line, kind)
		return
	}
	d.output(settled(o))
}
