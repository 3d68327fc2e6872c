package need

import (
	"fmt"
	"strings"
	"testing"
)

func TestMentions(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"redis", "redis"},
		{"redis:6379", "redis:6379"},
		{"redis:6379/0", "redis:6379"},
		{"redis.shop", "redis.shop"},
		{"redis.shop.svc.cluster.local.", "redis.shop.svc.cluster.local"},
		{"at redis.shop.svc today", "redis.shop.svc"},
		{"http://user:p@ss@web:80/a?to=http://next:81", "web:80 next:81"},
		{"http://[2001:db8::1]:8080/x", "2001:db8::1:8080"},
		{"mongodb://u:p@a:27017,b:27018/db", "a:27017 b:27018"},
		{"PLAINTEXT://a.b.svc:9092,PLAINTEXT://c.d.svc:9093", "a.b.svc:9092 c.d.svc:9093"},
		{"a:1,b:2;c:3", "a:1 b:2 c:3"},
		{"jdbc:oracle:thin:@ora:1521:orcl", "ora:1521"},
		{"jdbc:sqlserver://sql:1433;databaseName=x", "sql:1433"},
		{"Server=tcp:sql.db.svc,1433", "sql.db.svc:1433"},
		{"user:pw@tcp(db:3306)/x", "db:3306"},
		{"host=db port=5432 user=u", "db:5432"},
		{"until nc -z db 5432; do :; done", "db:5432"},
		{"$(hostname).kafka.b.svc:9092", "kafka.b.svc:9092"},
		{"image:tag web/path /etc/db:ro", ""},
		{"10:30:00", ""},
		{"key: value", ""},
		{"db:99999", ""},
	}
	for _, test := range tests {
		var got []string
		for _, m := range mentions(test.text) {
			if m.port != 0 {
				got = append(got, fmt.Sprintf("%s:%d", m.host, m.port))
			} else {
				got = append(got, m.host)
			}
			if strings.Contains(m.says, "p@ss") || strings.Contains(m.says, "pw") {
				t.Errorf("%q: says %q", test.text, m.says)
			}
		}
		if text := strings.Join(got, " "); text != test.want {
			t.Errorf("%q: got %q, want %q", test.text, text, test.want)
		}
	}
}
