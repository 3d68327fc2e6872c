package system

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// text is a decoded scalar as it is written, "" for what is none.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	case json.Number:
		return v.String()
	}
	return ""
}

// at follows names into decoded tables, nil where they lead to nothing.
func at(v any, names ...string) any {
	for _, name := range names {
		table, _ := v.(map[string]any)
		v = table[name]
	}
	return v
}

// nested makes tables of dotted names, as Elastic's programs read them: output.kafka.
func nested(table map[string]any) map[string]any {
	made := map[string]any{}
	for _, name := range sorted(table) {
		v := table[name]
		if below, ok := v.(map[string]any); ok {
			v = nested(below)
		}
		in := made
		parts := strings.SplitN(name, ".", 8)
		for _, part := range parts[:len(parts)-1] {
			below, ok := in[part].(map[string]any)
			if !ok {
				below = map[string]any{}
				in[part] = below
			}
			in = below
		}
		last := parts[len(parts)-1]
		if into, ok := in[last].(map[string]any); ok {
			if from, ok := v.(map[string]any); ok {
				maps.Copy(into, from)
				continue
			}
		}
		in[last] = v
	}
	return made
}

// texts is a list of texts, or a single one.
func texts(v any) []string {
	var list []string
	if items, ok := v.([]any); ok {
		for _, item := range items {
			if t := text(item); t != "" {
				list = append(list, t)
			}
		}
		return list
	}
	if t := text(v); t != "" {
		list = append(list, t)
	}
	return list
}

// decode reads a file of the configuration by its ending.
func (d *daemonReader) decode(file string) (map[string]any, *evidence.Outline) {
	data := d.load(file)
	if path.Ext(file) == ".toml" {
		config, err := decodeTOML(data)
		if err != nil {
			d.fail("%s: %v", file, err)
		}
		return config, nil
	}
	config, outline, err := decodeYAML(file, data)
	if err != nil {
		d.fail("%s: %v", file, err)
	}
	return config, outline
}

// place is where an outline has a field, the file alone without one.
func place(file string, outline *evidence.Outline, names ...string) evidence.Position {
	if p := outline.Place(evidence.NewPath(names...)); p.Line > 0 {
		return p
	}
	return evidence.Position{File: file}
}

// sorted returns the names in a decoded table.
func sorted(table map[string]any) []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// vector reads the sinks of Vector.
func (d *daemonReader) vector() {
	config, outline := d.decode(d.file)
	sinks, _ := config["sinks"].(map[string]any)
	for _, name := range sorted(sinks) {
		d.vectorSink(sinks[name], place(d.file, outline, "sinks", name))
	}
}

func (d *daemonReader) vectorSink(sink any, place evidence.Position) {
	kind := text(at(sink, "type"))
	var targets []string
	for _, field := range []string{"endpoint", "endpoints", "address", "uri", "bootstrap_servers", "hosts", "url", "bucket"} {
		if targets = texts(at(sink, field)); targets != nil {
			break
		}
	}
	var byDefault *bool
	switch kind {
	case "console", "file", "blackhole", "prometheus_exporter":
		return
	case "socket", "vector", "kafka", "syslog", "redis", "nats", "amqp", "pulsar", "papertrail":
		byDefault = new(kind == "papertrail")
	case "http", "elasticsearch", "loki", "splunk_hec_logs", "opentelemetry", "clickhouse", "humio_logs", "influxdb_logs", "prometheus_remote_write":
	case "aws_s3", "aws_cloudwatch_logs", "aws_kinesis_firehose", "aws_kinesis_streams", "gcp_stackdriver_logs", "gcp_cloud_storage", "azure_blob", "azure_monitor_logs", "datadog_logs":
		byDefault = new(true)
		if targets == nil {
			targets = []string{kind}
		}
	default:
		d.fail("%s: the sink %q is not understood", place.File, kind)
		return
	}
	if targets == nil {
		d.fail("%s: the target of the sink %q is not in the file", place.File, kind)
	}
	verified := text(at(sink, "tls", "verify_certificate")) != "false" && text(at(sink, "tls", "verify_hostname")) != "false"
	for _, target := range targets {
		o := urlOutput(target)
		o.Place, o.Verified, o.Buffered = place, &verified, new(text(at(sink, "buffer", "type")) == "disk")
		if o.TLS == nil {
			if o.TLS = byDefault; at(sink, "tls", "enabled") != nil {
				o.TLS = boolean(text(at(sink, "tls", "enabled")))
			}
		}
		if o.Protocol = kind; kind == "socket" {
			o.Protocol = text(at(sink, "mode"))
		}
		if o.Protocol == "unix" || o.Protocol == "unix_stream" || o.Protocol == "unix_datagram" {
			continue
		}
		d.output(settled(o))
	}
}

// filebeat reads the output of Filebeat.
func (d *daemonReader) filebeat() {
	decoded, outline := d.decode(d.file)
	config := nested(decoded)
	buffered := at(config, "queue", "disk") != nil
	known := false
	for _, kind := range []string{"elasticsearch", "logstash", "kafka", "redis"} {
		out := at(config, "output", kind)
		if out == nil || text(at(out, "enabled")) == "false" {
			continue
		}
		known = true
		where := place(d.file, outline, "output."+kind)
		if where.Line <= 1 {
			where = place(d.file, outline, "output", kind)
		}
		mode := text(at(out, "ssl", "verification_mode"))
		for _, host := range texts(at(out, "hosts")) {
			o := urlOutput(host)
			if o.TLS == nil {
				o.TLS = new(text(at(out, "ssl", "enabled")) == "true" || at(out, "ssl") != nil && text(at(out, "ssl", "enabled")) != "false" || text(at(out, "protocol")) == "https")
			}
			o.Protocol, o.Place, o.Verified, o.Buffered = kind, where, new(mode != "none"), &buffered
			d.output(settled(o))
		}
	}
	for _, kind := range []string{"file", "console", "discard"} {
		known = known || at(config, "output", kind) != nil
	}
	if !known {
		d.fail("%s has no output that is understood", d.file)
	}
}

// promtail reads the clients of Promtail.
func (d *daemonReader) promtail() {
	config, outline := d.decode(d.file)
	clients, _ := config["clients"].([]any)
	for i, client := range clients {
		o := urlOutput(text(at(client, "url")))
		o.Place = outline.Place(evidence.NewPath("clients").Index(i, ""))
		o.Protocol = "loki"
		o.Verified = new(text(at(client, "tls_config", "insecure_skip_verify")) != "true")
		d.output(settled(o))
	}
	if len(clients) == 0 {
		d.fail("%s has no clients", d.file)
	}
}

// A block of Alloy that sends logs, and the fields of it that matter.
var (
	alloyWrite    = regexp.MustCompile(`(?m)^\s*loki\.write\s+"[^"]*"\s*\{`)
	alloyEndpoint = regexp.MustCompile(`(?m)^\s*endpoint\s*\{`)
	alloyURL      = regexp.MustCompile(`(?m)\burl\s*=\s*(?:"([^"]*)"|(\S+))`)
	alloyInsecure = regexp.MustCompile(`\binsecure_skip_verify\s*=\s*true\b`)
	alloyOthers   = regexp.MustCompile(`(?m)^\s*(otelcol\.exporter\.\w+|import\.\w+|remotecfg)\b`)
	alloyComment  = regexp.MustCompile(`(?m)^[ \t]*//.*$`)
)

// alloy reads the endpoints of loki.write in Grafana Alloy's configuration. Other
// ways to send logs are not understood.
func (d *daemonReader) alloy() {
	config := alloyComment.ReplaceAllString(string(d.load(d.file)), "")
	if other := alloyOthers.FindStringSubmatch(config); other != nil {
		d.fail("%s: %s is not understood", d.file, other[1])
	}
	for _, write := range alloyWrite.FindAllStringIndex(config, maxOutputs) {
		end := braceEnd(config, write[1])
		if end == len(config) {
			d.fail("%s: a block that does not close", d.file)
			return
		}
		inside := config[write[1]:end]
		for _, endpoint := range alloyEndpoint.FindAllStringIndex(inside, maxOutputs) {
			fields := inside[endpoint[1]:braceEnd(inside, endpoint[1])]
			where := evidence.Position{File: d.file, Line: 1 + strings.Count(config[:write[1]+endpoint[1]], "\n")}
			url := alloyURL.FindStringSubmatch(fields)
			if url == nil || url[1] == "" {
				d.fail("%s, line %d: the target is not in the file", d.file, where.Line)
				continue
			}
			o := urlOutput(url[1])
			o.Protocol, o.Place, o.Verified = "loki", where, new(!alloyInsecure.MatchString(fields))
			d.output(settled(o))
		}
	}
}

// braceEnd is where the brace closes that opens before an offset.
func braceEnd(text string, from int) int {
	depth := 1
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = closingQuote(text, i)
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(text)
}
