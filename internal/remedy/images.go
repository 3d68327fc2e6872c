package remedy

import (
	"slices"
	"strings"
	"sync"
)

// An image is what is known of one that many people run.
type image struct {
	// name is its repository as people say it: nginx.
	name string
	// writes are the folders that its own entrypoint and program write as the image is
	// configured; none for one that is known to write nowhere.
	writes []folder
	// base is set of an image that applications are put on: what they write is not known.
	base bool
}

// temporary are sizes of folders for files that come and go, stored those of folders in
// which a program keeps its data.
const (
	temporary = "256Mi"
	stored    = "1Gi"
)

var tmp = folder{"/tmp", temporary}

// images are well-known ones, by repository. Only what an image surely writes is in here:
// from its entrypoint, the configuration that it ships, and the volumes that it declares.
// One that writes into a folder that it also ships files in, such as Elasticsearch its
// key store beside its configuration, is not: an empty volume would hide these.
var images = sync.OnceValue(func() map[string]image {
	return map[string]image{
		// client_temp, proxy_temp and the others are made below /var/cache/nginx; the
		// process number is in /var/run.
		"docker.io/library/nginx": {writes: []folder{{"/var/cache/nginx", temporary}, {"/var/run", usualSize}}},
		// All temporary files and the process number are configured into /tmp.
		"docker.io/nginxinc/nginx-unprivileged": {writes: []folder{tmp}},
		// The process number and the sockets of modules; its logs go to the container's.
		"docker.io/library/httpd": {writes: []folder{{"/usr/local/apache2/logs", usualSize}}},
		// Dumps and the append-only file; a declared volume.
		"docker.io/library/redis": {writes: []folder{{"/data", stored}}},
		"docker.io/valkey/valkey": {writes: []folder{{"/data", stored}}},
		// A declared volume: the folder itself up to 17, the one above from 18 on. The
		// socket and its lock are in /var/run/postgresql.
		"docker.io/library/postgres": {writes: []folder{{"/var/lib/postgresql/data", stored}, {"/var/run/postgresql", usualSize}}},
		// A declared volume; socket and process number; temporary tables.
		"docker.io/library/mysql":   {writes: []folder{{"/var/lib/mysql", stored}, {"/var/run/mysqld", usualSize}, tmp}},
		"docker.io/library/mariadb": {writes: []folder{{"/var/lib/mysql", stored}, {"/run/mysqld", usualSize}, tmp}},
		// Two declared volumes; the socket is in /tmp.
		"docker.io/library/mongo": {writes: []folder{{"/data/db", stored}, {"/data/configdb", usualSize}, tmp}},
		// A declared volume: the database, and the cookie beside it.
		"docker.io/library/rabbitmq": {writes: []folder{{"/var/lib/rabbitmq", stored}}},
		// It keeps everything in memory.
		"docker.io/library/memcached": {},
		// It buffers large requests there, where it is told to buffer.
		"docker.io/library/traefik": {writes: []folder{tmp}},
		// Its configuration comes with it; a socket is made only where that names one.
		"docker.io/library/haproxy": {},
		// Two volumes: certificates and the configuration of last time.
		"docker.io/library/caddy": {writes: []folder{{"/config", usualSize}, {"/data", stored}}},
		// Layers; a declared volume.
		"docker.io/library/registry": {writes: []folder{{"/var/lib/registry", stored}}},
		// Its entrypoint copies the application into the declared volume; Apache's process
		// number and lock; uploads and sessions.
		"docker.io/library/wordpress": {writes: []folder{{"/var/www/html", stored}, {"/var/run/apache2", usualSize}, {"/var/lock/apache2", usualSize}, tmp}},
		// What it unpacks and logs while it runs; conf/Catalina is made where it can be.
		"docker.io/library/tomcat": {writes: []folder{{"/usr/local/tomcat/logs", temporary}, {"/usr/local/tomcat/temp", temporary}, {"/usr/local/tomcat/work", temporary}}},
		// Its database, plugins and pictures; uploads.
		"docker.io/grafana/grafana":     {writes: []folder{{"/var/lib/grafana", stored}, tmp}},
		"docker.io/grafana/grafana-oss": {writes: []folder{{"/var/lib/grafana", stored}, tmp}},
		// The time series, and what Alertmanager remembers; declared volumes.
		"docker.io/prom/prometheus":       {writes: []folder{{"/prometheus", stored}}},
		"quay.io/prometheus/prometheus":   {writes: []folder{{"/prometheus", stored}}},
		"docker.io/prom/alertmanager":     {writes: []folder{{"/alertmanager", temporary}}},
		"quay.io/prometheus/alertmanager": {writes: []folder{{"/alertmanager", temporary}}},
		// They only read.
		"docker.io/prom/node-exporter":                          {},
		"quay.io/prometheus/node-exporter":                      {},
		"docker.io/prom/blackbox-exporter":                      {},
		"quay.io/prometheus/blackbox-exporter":                  {},
		"docker.io/coredns/coredns":                             {},
		"registry.k8s.io/coredns/coredns":                       {},
		"registry.k8s.io/kube-state-metrics/kube-state-metrics": {},
		"registry.k8s.io/pause":                                 {},
		"registry.k8s.io/metrics-server/metrics-server":         {writes: []folder{tmp}}, // its own certificate
		"docker.io/library/node":                                {writes: []folder{tmp}, base: true},
		"docker.io/library/python":                              {writes: []folder{tmp}, base: true},
		"docker.io/library/ruby":                                {writes: []folder{tmp}, base: true},
		"docker.io/library/php":                                 {writes: []folder{tmp}, base: true}, // sessions and uploads
		"docker.io/library/eclipse-temurin":                     {writes: []folder{tmp}, base: true}, // hsperfdata of every JVM
		"docker.io/library/amazoncorretto":                      {writes: []folder{tmp}, base: true},
		"docker.io/library/openjdk":                             {writes: []folder{tmp}, base: true},
		"mcr.microsoft.com/dotnet/aspnet":                       {writes: []folder{tmp}, base: true}, // diagnostic sockets of every process
		"mcr.microsoft.com/dotnet/runtime":                      {writes: []folder{tmp}, base: true},
	}
})

// wellKnown is what is known of an image, false for one that is not in the table or
// whose tag says that it is made otherwise.
func wellKnown(reference string) (image, bool) {
	repository, tag := split(reference)
	img, known := images()[repository]
	if !known || !isPlainTag(tag) {
		return image{}, false
	}
	img.name = strings.TrimPrefix(strings.TrimPrefix(repository, "docker.io/"), "library/")
	if img.name == "postgres" && !before18(tag) {
		img.writes = []folder{{"/var/lib/postgresql", stored}, {"/var/run/postgresql", usualSize}}
	}
	return img, true
}

// before18 reports whether a tag says a release of PostgreSQL before 18. The newest keep
// their data one folder higher, and what is mounted there serves the older ones as well.
func before18(tag string) bool {
	major := tag[:len(tag)-len(strings.TrimLeft(tag, "0123456789"))]
	return major != "" && (len(major) < 2 || len(major) == 2 && major < "18")
}

// mirrors serve the images of Docker Hub under the same repositories.
var mirrors = [...]string{"index.docker.io/", "registry-1.docker.io/", "registry.hub.docker.com/", "mirror.gcr.io/", "public.ecr.aws/docker/"}

// split takes a reference apart: the repository with its registry, Docker Hub's filled
// in, and the tag.
func split(reference string) (repository, tag string) {
	repository = withoutTag(reference)
	if rest, ok := strings.CutPrefix(reference, repository+":"); ok {
		tag, _, _ = strings.Cut(rest, "@")
	}
	for _, m := range mirrors {
		if rest, ok := strings.CutPrefix(repository, m); ok {
			repository = "docker.io/" + rest
			break
		}
	}
	registry, rest, many := strings.Cut(repository, "/")
	if !many || !strings.ContainsAny(registry, ".:") && registry != "localhost" {
		registry, rest = "docker.io", repository
	}
	if registry == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return registry + "/" + rest, tag
}

// withoutTag is a reference without tag and digest.
func withoutTag(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

// variants are the words of tags that say what an image stands on, and leave alone what
// it writes.
var variants = [...]string{"alpine", "slim", "bookworm", "bullseye", "trixie", "buster", "jammy", "noble", "management", "perl", "jdk", "jre", "lts", "stable", "mainline"}

// isPlainTag reports whether a tag is a version, latest, or one with a known variant.
func isPlainTag(tag string) bool {
	if tag == "" || tag == "latest" {
		return true
	}
	for i, word := range strings.Split(tag, "-") {
		version := strings.Trim(strings.TrimPrefix(word, "v"), "0123456789._") == "" && word != "" && word != "v"
		if !version && !slices.Contains(variants[:], strings.TrimRight(word, "0123456789.")) || i > 3 {
			return false
		}
	}
	return true
}
