package credential

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// expand replaces {an:36} and its like by characters that are random but the
// same in every run, so that no file holds anything that looks like a token.
func expand(s string, r *rand.Rand) string {
	pick := func(set string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = set[r.IntN(len(set))]
		}
		return string(b)
	}
	const digits, hex, lower = "0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"
	upper := strings.ToUpper(lower)
	sets := map[string]string{
		"an": digits + lower + upper, "hex": hex, "b64": digits + lower + upper + "+/", "url": digits + lower + upper + "-_",
		"up": digits + upper, "lo": digits + lower, "num": "123456789", "b32": upper + "234567",
	}
	block := func(label string) string {
		text := "-----BEGIN " + label + "-----\n"
		for range 4 {
			text += pick(sets["b64"], 64) + "\n"
		}
		return text + "-----END " + label + "-----"
	}
	s = placeholders.ReplaceAllStringFunc(s, func(m string) string {
		name, arg, _ := strings.Cut(strings.Trim(m, "{}"), ":")
		switch name {
		case "pem":
			return block(arg)
		case "pemn":
			return strings.ReplaceAll(block(arg), "\n", `\n`)
		case "jwt":
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"x"}`)) + "." + pick(sets["an"], 60) + "." + pick(sets["url"], 86)
		}
		n, _ := strconv.Atoi(arg)
		return pick(sets[name], n)
	})
	return encoded.ReplaceAllStringFunc(s, func(m string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.TrimSuffix(strings.TrimPrefix(m, "{enc:"), "}")))
	})
}

var (
	placeholders = regexp.MustCompile(`\{(an|hex|b64|url|up|lo|num|b32):\d+\}|\{pemn?:[A-Z ]+\}|\{jwt\}`)
	encoded      = regexp.MustCompile(`\{enc:[^}]*\}`)
)

// A label is a span that must be found.
type label struct{ Kind, Value string }

// readLabels takes the marks out of a text and returns what they mark.
func readLabels(t *testing.T, text, kinds string) (string, []label) {
	t.Helper()
	var out []label
	plain := ""
	for i, piece := range strings.Split(text, "«") {
		if i == 0 {
			plain = piece
			continue
		}
		value, rest, ok := strings.Cut(piece, "»")
		if !ok {
			t.Fatalf("mark is not closed in %q", text)
		}
		plain += value + rest
		out = append(out, label{Value: value})
	}
	if kinds != "-" {
		for i, k := range strings.Split(kinds, ",") {
			if i >= len(out) {
				t.Fatalf("more kinds than marks in %q", text)
			}
			out[i].Kind = k
		}
	}
	return plain, out
}

func corpus(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			rows = append(rows, line)
		}
	}
	return rows
}

func TestFindCorpus(t *testing.T) {
	for n, row := range corpus(t, "testdata/values.txt") {
		columns := strings.SplitN(row, " |", 3)
		if len(columns) != 3 {
			t.Fatalf("row %q has not three columns", row)
		}
		kinds, name := columns[0], strings.TrimSpace(columns[1])
		text := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(strings.TrimPrefix(columns[2], " "))
		text = expand(text, rand.New(rand.NewPCG(uint64(n), 1)))
		wantText, want := readLabels(t, text, kinds)
		var got []label
		for i, m := range Find(name, wantText) {
			l := label{m.Kind, wantText[m.Start:m.End]}
			if i < len(want) && strings.Contains(want[i].Kind, "/") {
				l.Kind += "/" + m.Confidence.String()
			}
			got = append(got, l)
		}
		if !cmp.Equal(want, got) && !samePrefixed(want, got) {
			t.Errorf("%s\n%s", row, cmp.Diff(want, got))
		}
		checkMask(t, wantText)
	}
}

// samePrefixed allows «…» to leave out the fixed beginning of a token: sig=.
func samePrefixed(want, got []label) bool {
	return slices.EqualFunc(want, got, func(w, g label) bool {
		return w.Kind == g.Kind && g.Kind == "azure-sas" && g.Value == "sig="+w.Value
	})
}

func TestFindArgsCorpus(t *testing.T) {
	for n, row := range corpus(t, "testdata/args.txt") {
		kinds, list, _ := strings.Cut(row, " | ")
		var args []string
		if err := json.Unmarshal([]byte(expand(list, rand.New(rand.NewPCG(uint64(n), 2)))), &args); err != nil {
			t.Fatalf("row %q: %v", row, err)
		}
		var want, got []label
		for i := range args {
			var in []label
			args[i], in = readLabels(t, args[i], "-")
			want = append(want, in...)
		}
		for i := range want {
			want[i].Kind = strings.Split(kinds, ",")[i]
		}
		for _, m := range FindArgs(args) {
			got = append(got, label{m.Kind, args[m.Arg][m.Start:m.End]})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", row, diff)
		}
	}
}

// Every shape of the table is found at its least and greatest length, alone and
// within a text, and not when it is one byte shorter or longer.
func TestEveryShape(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, sh := range slices.Concat(shapes, cryptPrefixes) {
		var set []byte
		for b := range sh.body {
			if sh.body[b] && alnumChars[b] {
				set = append(set, byte(b))
			}
		}
		token := func(n int) string {
			b := []byte(sh.prefix)
			for range n {
				b = append(b, set[r.IntN(len(set))])
			}
			return string(b)
		}
		found := func(text, value string) bool {
			return slices.ContainsFunc(Find("", text), func(m Match) bool {
				return m.Kind == sh.id && text[m.Start:m.End] == value
			})
		}
		for _, n := range []int{sh.min, sh.max} {
			v := token(n)
			for _, text := range []string{v, "see " + v + ".\n", `{"x":"` + v + `"}`, "x=" + v + "\ny=1", `a\n` + v} {
				if strings.HasSuffix(text, ".\n") && sh.body['.'] {
					continue
				}
				if !found(text, v) {
					t.Errorf("%s %s…: not found with %d bytes in %q", sh.id, sh.prefix, n, text)
				}
			}
		}
		for _, n := range []int{sh.min - 1, sh.max + 1} {
			if v := token(n); found(v, v) {
				t.Errorf("%s %s…: found with %d bytes", sh.id, sh.prefix, n)
			}
		}
	}
}

func TestHashIsThatOfTheValue(t *testing.T) {
	a, b := Find("DB_PASSWORD", "hunter2"), Find("", "x: 1\npassword: hunter2\n")
	if len(a) != 1 || len(b) != 1 || a[0].Hash != b[0].Hash || a[0].Hash != "f52fbd32" {
		t.Errorf("got %v and %v, want hash f52fbd32 in both", a, b)
	}
}

func TestMask(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"image: shop:1.0", "image: shop:1.0"},
		{"password: hunter2 # x", "password: [masked:password:f52fbd32] # x"},
		{"a://u:hunter2@h/", "a://u:[masked:url-password:f52fbd32]@h/"},
		{`"password": "hunter2 and more"`, `"password": "[masked:password:d06e08ed]"`},
		{"k: |\n  " + strings.Repeat("Ab1+", 16) + "\n", "k: |\n  [masked:base64:8ad0839d]\n"},
	} {
		if diff := cmp.Diff(tc.want, Mask(tc.in)); diff != "" {
			t.Errorf("Mask(%q):\n%s", tc.in, diff)
		}
	}
}

// checkMask fails if Mask leaves a value of what Find finds, adds or drops
// lines, or finds something new in its own output.
func checkMask(t interface {
	Helper()
	Errorf(string, ...any)
}, text string) {
	t.Helper()
	masked := Mask(text)
	if again := Mask(masked); again != masked {
		t.Errorf("Mask is not idempotent:\n%q\n%q\n%q", text, masked, again)
	}
	if strings.Count(text, "\n") != strings.Count(masked, "\n") {
		t.Errorf("Mask changes the number of lines:\n%q\n%q", text, masked)
	}
	end := 0
	for _, m := range Find("", text) {
		if m.Start < end || m.End <= m.Start || m.End > len(text) {
			t.Errorf("match %+v of %q is out of order or out of the text", m, text)
			return
		}
		end = m.End
		v := text[m.Start:m.End]
		if strings.Count(text, v) == 1 && len(v) >= 4 && strings.Contains(masked, v) && !strings.Contains("[masked:"+m.Kind+":"+m.Hash, v) {
			t.Errorf("Mask leaves %q in %q", v, masked)
		}
		if shown := m.Kind + "\n" + m.Title + "\n" + m.Hash; len(v) > 8 && hasAny(v, digitChars) && strings.Contains(shown, v) {
			t.Errorf("match %+v holds the value", m)
		}
	}
	if left := Find("", masked); len(left) > 0 {
		t.Errorf("Mask leaves credentials: %+v in %q", left, masked)
	}
}

// text draws what looks like configuration: fragments that mean something to the
// scanner, in any order.
func text(t *rapid.T) string {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
	fragments := []string{
		"password", "PASSWORD", "db_token", "secretKey", "api.key", "auth", "name", "value", "user", "pwd", "x",
		"=", ":", ": ", " = ", ":=", "=>", ">", "<", "\"", "'", `\"`, "\\", "\n", " ", "\t", ";", ",", "&", "|", "{", "}", "${", "$", "(", ")",
		"[", "]", "#", "-", "--", ".", "@", "/", "://", "@tcp(", "\\n", "[masked:", "«",
		"postgres://u:", "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "Basic ", "Bearer ", "$2a$10$", "eyJ", "ghp_", "sk-", "hvs.",
		"{an:8}", "{an:36}", "{hex:32}", "{b64:64}", "{enc:user:pass1}", "{jwt}", "{pem:PRIVATE KEY}", "{lo:6}.{lo:16}", "hunter2", "é", "\xff",
	}
	n := rapid.IntRange(0, 24).Draw(t, "n")
	var b strings.Builder
	for range n {
		b.WriteString(rapid.SampledFrom(fragments).Draw(t, "f"))
	}
	return expand(b.String(), r)
}

func TestMaskProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMask(t, text(t)) })
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{"password: hunter2", "a://b:c@d", `{"token": "x"}`, "$2y$10$", "-----BEGIN PRIVATE KEY-----"} {
		f.Add("DB_PASSWORD", seed)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		for _, m := range Find(name, text) {
			if m.Start < 0 || m.End <= m.Start || m.End > len(text) {
				t.Errorf("match %+v out of %d bytes", m, len(text))
			}
		}
		FindArgs([]string{name, text, "-p", text})
		checkMask(t, text)
	})
}

// Half a megabyte of what is worst for each part takes far less than the limit;
// what is quadratic takes minutes.
func TestLinear(t *testing.T) {
	const size, limit = 1 << 19, 5 * time.Second
	for _, unit := range []string{
		"a", "password=", "password=${", "password=\"", `password="\`, `password='`, `password=\"`, "pwd=pwd:", "token: a;", "token=a,", "token=,,,,",
		"a://", "a://b:", "a://b:c@", "@tcp(", "hvs.", "eyJ.", "eyJhbGciOiJSUzI1NiJ9.", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("Ab1/", 16),
		"$2a$", "$argon2", ":AA", "Q~", "name: password\nvalue", "<password>", "password:\n", "password: |\n", "sk-", "\\n", "${token:-", "Basic QQ", "Bearer aB1",
		"[masked:", "--token ", "key ", "passwordpassword", "login machine password ", "abcdef.0123456789abcdef ", "LS0tLS1CRUdJTi", "\"", " ", "token='\\'",
	} {
		text := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		Find("PASSWORD", text)
		FindArgs([]string{"sh", "-c", text})
		Mask(text)
		if d := time.Since(start); d > limit {
			t.Errorf("%q over and over takes %v", unit, d)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for _, bm := range []struct{ name, key, value string }{
		{"ordinary", "LOG_LEVEL", "info"},
		{"url", "CART_SERVICE_ADDR", "http://cartservice.shop.svc:7070"},
		{"named", "TOKEN_TTL", "3600"},
		{"password", "DB_PASSWORD", "hunter2"},
		{"text", "application.properties", strings.Repeat("server.port=8080\nlogging.level.root=info\n", 25)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bm.value)))
			for b.Loop() {
				Find(bm.key, bm.value)
			}
		})
	}
}
