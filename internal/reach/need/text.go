package need

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A mention is a host that a text names, as far as the text alone tells.
type mention struct {
	host string
	// port is 0 where none is written.
	port uint16
	// scheme is that of a URL, "" for other forms.
	scheme string
	// whole is set when the host, with its port, is the whole text, or one item of a
	// list that is.
	whole bool
	// says is the part of the text that names the host. It never holds what stands
	// before an @, for that is often a password.
	says string
}

// Bounds on what is looked through of one value: bytes, and hosts.
const (
	maxText     = 1 << 20
	maxMentions = 1000
)

var (
	// What comes after a comma may be a URL of its own, or another host of the first.
	nextURL   = regexp.MustCompile(`,([A-Za-z][A-Za-z0-9+.-]*://)`)
	authority = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*)://([^\s/?#"'` + "`" + `<>\\;|(){}]*)`)
	// A plain host with a port, as in host:5432, or in tcp(host:3306).
	hostPort = regexp.MustCompile(`(?:^|[\s=,;"'(@\[|>])([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?):([0-9]{1,5})(?:$|[\s,;"')\]/|<?&])`)
	// A name of a Service in its long form, wherever it stands.
	longName = regexp.MustCompile(`(?:^|[^A-Za-z0-9_.-])((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+svc(?:\.[a-z0-9-]+)*)\.?(?::([0-9]{1,5}))?`)
	// host port, as programs that wait for others take it: nc -z db 5432.
	hostThenPort = regexp.MustCompile(`(?:^|[\s"'=])([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)[ \t]+([0-9]{1,5})(?:$|[\s;"')|&])`)
	// host=db port=5432, as libpq takes it, and Server=db,1433 as SQL Server does.
	hostThenPortWords = regexp.MustCompile(`(?i)\bhost=([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?:[\s;&]+port=([0-9]{1,5}))?`)
	serverComma       = regexp.MustCompile(`(?i)\b(?:server|data source)=(?:tcp:)?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?:,([0-9]{1,5}))?`)
	injected          = regexp.MustCompile(`\b([A-Z][A-Z0-9_]*?)_(?:SERVICE_HOST|SERVICE_PORT|PORT_([0-9]{1,5})_(?:TCP|UDP)(?:_ADDR|_PORT|_PROTO)?)\b`)
	wholeHost         = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.?$`)
	oracleHost        = regexp.MustCompile(`(?i)jdbc:oracle:thin:@(?://)?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?`)
)

// mentions are the hosts that a text names by a URL, with a port, or in the long
// form of a Service's name, and the host that the whole text is.
func mentions(text string) []mention {
	if len(text) > maxText {
		text = text[:maxText]
	}
	var list []mention
	add := func(m mention) {
		for _, have := range list {
			if have.host == m.host && (have.port == m.port || m.port == 0) {
				return
			}
		}
		if m.host != "" && len(list) < maxMentions {
			list = append(list, m)
		}
	}
	text = nextURL.ReplaceAllString(text, " $1")
	for _, found := range authority.FindAllStringSubmatch(text, -1) {
		for _, m := range hosts(found[1], found[2]) {
			add(m)
		}
	}
	// $(POD).db.shop.svc names a pod of db.
	rest := strings.NewReplacer(").", ") ", "}.", "} ").Replace(authority.ReplaceAllString(text, " "))
	for _, form := range []*regexp.Regexp{oracleHost, longName, hostThenPortWords, serverComma} {
		for _, found := range form.FindAllStringSubmatch(rest, -1) {
			add(newMention(found[1], found[2], ""))
		}
	}
	for _, item := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ';' }) {
		item = strings.Trim(item, " \t\r\n\"'")
		if h, p, ok := strings.Cut(item, ":"); ok && wholeHost.MatchString(h) && portOf(p) != 0 {
			m := newMention(h, p, "")
			m.whole = true
			add(m)
		} else if a, err := netip.ParseAddrPort(item); err == nil && a.Addr().Is6() {
			add(mention{host: a.Addr().String(), port: a.Port(), whole: true, says: item})
		}
	}
	for _, form := range []*regexp.Regexp{hostPort, hostThenPort} {
		// What ends one match may begin the next: look again from there.
		for at := 0; at < len(rest); {
			found := form.FindStringSubmatchIndex(rest[at:])
			if found == nil {
				break
			}
			if port := rest[at:][found[4]:found[5]]; portOf(port) != 0 {
				add(newMention(rest[at:][found[2]:found[3]], port, ""))
			}
			at += found[5]
		}
	}
	if whole := strings.TrimSpace(text); wholeHost.MatchString(whole) {
		add(mention{host: strings.TrimSuffix(whole, "."), whole: true, says: whole})
	}
	ported := map[string]bool{}
	for _, m := range list {
		ported[m.host] = ported[m.host] || m.port != 0
	}
	return slices.DeleteFunc(list, func(m mention) bool { return m.port == 0 && m.scheme == "" && ported[m.host] })
}

// hosts are those of the authority of a URL: several, in the URLs of databases.
func hosts(scheme, text string) (list []mention) {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		text = text[at+1:]
	}
	for _, one := range strings.Split(text, ",") {
		host, port := one, ""
		if a, err := netip.ParseAddrPort(one); err == nil {
			host, port = a.Addr().String(), strconv.Itoa(int(a.Port()))
		} else if h, p, ok := strings.Cut(one, ":"); ok {
			host, port = h, p
		}
		host = strings.Trim(host, "[]")
		if _, err := netip.ParseAddr(host); err != nil && !wholeHost.MatchString(host) {
			continue
		}
		m := newMention(host, port, strings.ToLower(scheme))
		m.says = m.scheme + "://" + m.says
		list = append(list, m)
	}
	return list
}

func newMention(host, port, scheme string) mention {
	m := mention{host: strings.TrimSuffix(host, "."), port: portOf(port), scheme: scheme}
	m.says = m.host
	if strings.Contains(m.host, ":") {
		m.says = "[" + m.host + "]"
	}
	if m.port != 0 {
		m.says += ":" + port
	}
	return m
}

// portOf is the number of a port, 0 for what is none.
func portOf(text string) uint16 {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// schemePorts are the ports that URLs mean when they name none, as their schemes are
// registered or their clients have it.
func schemePort(scheme string) uint16 {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	case "redis", "rediss":
		return 6379
	case "postgres", "postgresql":
		return 5432
	case "mysql", "mariadb":
		return 3306
	case "mongodb":
		return 27017
	case "amqp":
		return 5672
	case "amqps":
		return 5671
	case "nats":
		return 4222
	case "kafka":
		return 9092
	case "ldap":
		return 389
	case "ldaps":
		return 636
	case "smtp":
		return 25
	case "smtps":
		return 465
	case "sqlserver":
		return 1433
	case "memcached":
		return 11211
	case "cassandra":
		return 9042
	case "mqtt":
		return 1883
	case "mqtts":
		return 8883
	case "ssh", "sftp":
		return 22
	case "ftp":
		return 21
	case "clickhouse":
		return 9000
	}
	return 0
}
