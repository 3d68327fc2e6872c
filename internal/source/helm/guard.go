package helm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"helm.sh/helm/v4/pkg/chart/common"
)

// Bounds on one rendering of a chart. Real charts stay far below all of them.
const (
	maxSteps  = 1_000_000 // passes through a loop or a named template
	maxNested = 1_000     // named templates and tpl texts in one another
	maxOutput = 64 << 20  // bytes printed, those of strings that functions make included
	maxString = 16 << 20  // bytes of one string that a function makes
	maxItems  = 100_000   // items of one list that a function makes, spaces of an indent
	maxValues = 1_000_000 // nodes of one tree of values that a function makes
	maxLevels = 1_000     // levels of such a tree
)

// A guard stops a rendering that is out of bounds or out of time.
//
// The engine cannot be interrupted, so the guard speaks where templates call
// it: the functions that can make much out of little are replaced by ones that
// ask it first, and in the marked rendering, which is the first, every loop,
// template and output asks it too. What remains is one call that takes long on
// 16 MiB of text.
type guard struct {
	ctx     context.Context
	steps   int
	nested  int
	output  int
	rand    *rand.Rand
	stopped error // why the rendering was stopped
}

func newGuard(ctx context.Context) *guard {
	return &guard{ctx: ctx, rand: rand.New(rand.NewPCG(1, 2))}
}

func (g *guard) stop(err error) error {
	g.stopped = err
	return err
}

func (g *guard) step() error {
	g.steps++
	if g.steps > maxSteps {
		return g.stop(fmt.Errorf("templates take more than %d steps", maxSteps))
	}
	if g.steps%256 == 0 && g.ctx.Err() != nil {
		return g.stop(g.ctx.Err())
	}
	return nil
}

// print counts n bytes of a string that is made or printed.
func (g *guard) print(n int) error {
	g.output += n
	if n > maxString || g.output > maxOutput {
		return g.stop(fmt.Errorf("templates make more than %d bytes", maxOutput))
	}
	return g.step()
}

func (g *guard) enter() error {
	g.nested++
	if g.nested > maxNested {
		return g.stop(fmt.Errorf("more than %d templates in one another", maxNested))
	}
	return g.step()
}

func (g *guard) leave() { g.nested-- }

// funcs are the template functions that replace Helm's own: the same but
// bounded, and for those that would give something else each time the same each
// time, so that two scans of a chart find the same.
func (g *guard) funcs() template.FuncMap {
	all := sprig.TxtFuncMap()
	for _, name := range []string{"env", "expandenv", "getHostByName", "fail"} {
		delete(all, name) // not given by Helm, or not in this form
	}
	for _, name := range []string{"toJson", "mustToJson", "fromJson"} {
		delete(all, name) // Helm has its own
	}
	all["print"], all["printf"], all["println"] = fmt.Sprint, fmt.Sprintf, fmt.Sprintln
	bounded := template.FuncMap{}
	for name, f := range all {
		bounded[name] = g.bound(name, f)
	}
	g.addSteady(bounded)
	return bounded
}

// bound wraps a template function so that it asks the guard about what it is
// given and about what it made.
func (g *guard) bound(name string, f any) any {
	fv := reflect.ValueOf(f)
	ft := fv.Type()
	errorType := reflect.TypeFor[error]()
	in := make([]reflect.Type, ft.NumIn())
	for i := range in {
		in[i] = ft.In(i)
	}
	wrapped := reflect.FuncOf(in, []reflect.Type{ft.Out(0), errorType}, ft.IsVariadic())
	return reflect.MakeFunc(wrapped, func(args []reflect.Value) []reflect.Value {
		fail := func(err error) []reflect.Value {
			_ = g.stop(err)
			return []reflect.Value{reflect.Zero(ft.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		if err := checkArgs(name, args); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		var out []reflect.Value
		if ft.IsVariadic() {
			out = fv.CallSlice(args)
		} else {
			out = fv.Call(args)
		}
		if err := g.checkResult(name, out[0]); err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		if len(out) == 1 {
			out = append(out, reflect.Zero(errorType))
		}
		return out
	}).Interface()
}

var errTooMuch = errors.New("makes too much")

// checkArgs refuses calls whose result would be out of bounds.
func checkArgs(name string, args []reflect.Value) error {
	text := func(i int) string { return args[i].String() }
	number := func(i int) int { return int(args[i].Int()) }
	var n float64 // items or bytes to be made; a float64 cannot overflow
	limit := float64(maxItems)
	switch name {
	case "until":
		n = max(float64(number(0)), -float64(number(0)))
	case "untilStep":
		n = (float64(number(1)) - float64(number(0))) / float64(max(number(2), -number(2), 1))
		n = max(n, -n)
	case "seq":
		n = seqItems(args[0])
	case "indent", "nindent":
		limit = maxString
		n = float64(number(0)) * float64(1+strings.Count(text(1), "\n"))
		if number(0) < 0 {
			return errTooMuch // a panic in the function itself
		}
	case "repeat":
		limit = maxString
		n = float64(number(0)) * float64(len(text(1)))
	case "replace":
		limit = maxString
		n = float64(strings.Count(text(2), text(0))) * float64(len(text(1)))
	case "regexReplaceAll", "mustRegexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral":
		limit = maxString
		n = regexBound(text(0), text(1), text(2))
	case "join":
		limit = maxString
		if list := args[1]; list.Kind() == reflect.Interface && list.Elem().Kind() == reflect.Slice {
			n = float64(list.Elem().Len()) * float64(len(text(0)))
		}
	case "wrapWith":
		limit = maxOutput
		n = float64(1+len(text(1))) * float64(1+len(text(2)))
	}
	if n > limit {
		return errTooMuch
	}
	return nil
}

// seqItems returns how many numbers seq would give.
func seqItems(params reflect.Value) float64 {
	p, ok := params.Interface().([]int)
	if !ok || len(p) == 0 {
		return 0
	}
	start, step, end := 1.0, 1.0, float64(p[len(p)-1])
	if len(p) > 1 {
		start = float64(p[0])
	}
	if len(p) > 2 && p[1] != 0 {
		step = float64(p[1])
	}
	n := (end - start) / step
	return max(n, -n)
}

// regexBound returns at most how many bytes a replacement by a pattern makes.
func regexBound(pattern, text, replacement string) float64 {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return 0 // the function itself reports it
	}
	matches := re.FindAllStringIndex(text, -1)
	longest := 0
	for _, m := range matches {
		longest = max(longest, m[1]-m[0])
	}
	each := len(replacement) + strings.Count(replacement, "$")*longest
	return float64(len(matches)) * float64(each)
}

// checkResult refuses results out of bounds, and trees of values that hold
// themselves: printing one would never end.
func (g *guard) checkResult(name string, v reflect.Value) error {
	if v.Kind() == reflect.String {
		return g.print(v.Len())
	}
	switch name {
	case "dict", "set", "list", "tuple", "append", "push", "mustAppend", "mustPush",
		"prepend", "mustPrepend", "concat", "merge", "mustMerge", "mergeOverwrite",
		"mustMergeOverwrite", "chunk", "mustChunk":
		left := maxValues
		if !countNodes(v.Interface(), &left, maxLevels) {
			return errTooMuch
		}
	}
	return nil
}

// countNodes takes the number of nodes of a tree of values from left and
// returns whether there were as many, and not more than so many levels.
func countNodes(v any, left *int, levels int) bool {
	*left--
	if *left < 0 || levels == 0 {
		return false
	}
	switch v := v.(type) {
	case common.Values:
		return countNodes(v.AsMap(), left, levels)
	case map[string]any:
		for _, item := range v {
			if !countNodes(item, left, levels-1) {
				return false
			}
		}
	case []any:
		for _, item := range v {
			if !countNodes(item, left, levels-1) {
				return false
			}
		}
	}
	return true
}

// A certificate has the fields that templates read of what genCA and its like
// return.
type certificate struct{ Cert, Key string }

// addSteady adds the functions that would give something random. Their results
// have the same form but nothing secret in them, and are the same in each
// rendering.
func (g *guard) addSteady(m template.FuncMap) {
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	pick := func(alphabet string) func(int) (string, error) {
		return func(n int) (string, error) {
			if n < 0 || n > maxItems {
				return "", errTooMuch
			}
			b := make([]byte, n)
			for i := range b {
				b[i] = alphabet[g.rand.IntN(len(alphabet))]
			}
			return string(b), nil
		}
	}
	m["randNumeric"] = pick(digits)
	m["randAlpha"] = pick(letters)
	m["randAlphaNum"] = pick(digits + letters)
	m["randAscii"] = pick(digits + letters + "!#$%&()*+,-./:;<=>?@[]^_{|}~")
	m["randBytes"] = func(n int) (string, error) {
		s, err := pick(digits + letters)(n)
		return base64.StdEncoding.EncodeToString([]byte(s)), err
	}
	m["randInt"] = func(low, high int) (int, error) {
		if high <= low {
			return 0, fmt.Errorf("randInt: %d is not above %d", high, low)
		}
		return low + g.rand.IntN(high-low), nil
	}
	hex := pick("0123456789abcdef")
	m["uuidv4"] = func() string {
		s, _ := hex(32)
		return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-8" + s[17:20] + "-" + s[20:]
	}
	m["shuffle"] = func(s string) string {
		r := []rune(s)
		g.rand.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
		return string(r)
	}
	m["bcrypt"] = func(string) string { s, _ := pick(letters)(53); return "$2a$10$" + s }
	m["htpasswd"] = func(user, _ string) string { s, _ := pick(letters)(53); return user + ":$2a$10$" + s }
	m["encryptAES"] = func(_, text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	pem := func(kind string) string {
		s, _ := pick(letters)(64)
		return "-----BEGIN " + kind + "-----\n" + s + "\n-----END " + kind + "-----\n"
	}
	m["genPrivateKey"] = func(string) string { return pem("PRIVATE KEY") }
	cert := func(...any) certificate { return certificate{pem("CERTIFICATE"), pem("PRIVATE KEY")} }
	for _, name := range []string{"genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey"} {
		m[name] = cert
	}
	m["buildCustomCert"] = func(cert, key string) (certificate, error) {
		c, err := base64.StdEncoding.DecodeString(cert)
		if err != nil {
			return certificate{}, fmt.Errorf("buildCustomCert: certificate: %w", err)
		}
		k, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return certificate{}, fmt.Errorf("buildCustomCert: key: %w", err)
		}
		return certificate{string(c), string(k)}, nil
	}
}
