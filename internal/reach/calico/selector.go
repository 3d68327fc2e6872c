package calico

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Limits of a selector. Calico's own are 1024 characters, and less in the past; a
// selector beyond these is a fault of whoever made it.
const (
	selectorLength = 1 << 16
	selectorDepth  = 500
	keyLength      = 512
)

// parseSelector reads a selector expression. The result is made of Every, Some, Not
// and Label, whose keys are those that Calico gives to endpoints (see labels.go);
// Every without parts is all(). The empty text means everything, too.
//
// global() is no part of an expression: see isGlobal.
func parseSelector(text string) (netpol.Expr, error) {
	if len(text) > selectorLength {
		return nil, fmt.Errorf("selector of %d characters", len(text))
	}
	p := parser{rest: text}
	if p.space(); p.rest == "" {
		return netpol.Everyone(), nil
	}
	e, err := p.some()
	if err != nil {
		return nil, fmt.Errorf("selector %q: %w", text, err)
	}
	if p.rest != "" {
		return nil, fmt.Errorf("selector %q: %q is left over", text, p.rest)
	}
	return e, nil
}

// isGlobal reports whether a rule's namespaceSelector is global(): whatever is in no
// namespace. It stands alone or not at all.
func isGlobal(text string) bool {
	return strings.NewReplacer(" ", "", "\t", "").Replace(text) == "global()"
}

// A parser reads a selector from left to right. Each method leaves rest at the next
// word.
type parser struct {
	rest  string
	depth int
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take drops a sign from the front, if it stands there.
func (p *parser) take(sign string) bool {
	after, ok := strings.CutPrefix(p.rest, sign)
	if ok {
		p.rest = after
		p.space()
	}
	return ok
}

// word is take for words: a longer word does not begin with it.
func (p *parser) word(w string) bool {
	after, ok := strings.CutPrefix(p.rest, w)
	if !ok || after != "" && isKeyChar(after[0]) {
		return false
	}
	return p.take(w)
}

// some reads parts that are joined by ||, which binds weakest.
func (p *parser) some() (netpol.Expr, error) {
	return p.joined("||", p.every, func(list []netpol.Expr) netpol.Expr { return netpol.Some(list) })
}

func (p *parser) every() (netpol.Expr, error) {
	return p.joined("&&", p.part, func(list []netpol.Expr) netpol.Expr { return netpol.Every(list) })
}

func (p *parser) joined(by string, read func() (netpol.Expr, error), join func([]netpol.Expr) netpol.Expr) (netpol.Expr, error) {
	var list []netpol.Expr
	for {
		e, err := read()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !p.take(by) {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return join(list), nil
}

func (p *parser) part() (netpol.Expr, error) {
	negated := false
	for !strings.HasPrefix(p.rest, "!=") && p.take("!") {
		negated = !negated
	}
	e, err := p.plain()
	if err != nil || !negated {
		return e, err
	}
	return netpol.Not{Of: e}, nil
}

func (p *parser) plain() (netpol.Expr, error) {
	switch {
	case p.rest == "":
		return nil, errors.New("it ends where a condition should stand")
	case p.take("("):
		return p.enclosed()
	case p.take("has("):
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		return netpol.Label{Key: key, Op: netpol.Exists}, p.closed()
	case p.take("all("):
		return netpol.Everyone(), p.closed()
	case p.take("global("):
		return nil, errors.New("global() stands only in the namespaceSelector of a rule, and alone")
	}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	return p.comparison(key)
}

func (p *parser) enclosed() (netpol.Expr, error) {
	if p.depth++; p.depth > selectorDepth {
		return nil, errors.New("it is nested too deeply")
	}
	e, err := p.some()
	if err != nil {
		return nil, err
	}
	p.depth--
	return e, p.closed()
}

func (p *parser) closed() error {
	if !p.take(")") {
		return fmt.Errorf("no ) before %q", p.rest)
	}
	return nil
}

func isKeyChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_./-", c) >= 0
}

func (p *parser) key() (string, error) {
	end := 0
	for end < len(p.rest) && isKeyChar(p.rest[end]) {
		end++
	}
	key := p.rest[:end]
	switch {
	case key == "":
		return "", fmt.Errorf("%q is no label", p.rest)
	case len(key) > keyLength:
		return "", fmt.Errorf("label of %d characters", len(key))
	}
	p.rest = p.rest[end:]
	p.space()
	return key, nil
}

func (p *parser) comparison(key string) (netpol.Expr, error) {
	op, list := netpol.In, false
	switch {
	case p.take("=="):
	case p.take("!="):
		op = netpol.NotIn
	case p.word("contains"):
		op = netpol.Contains
	case p.words("starts", "with"):
		op = netpol.Prefix
	case p.words("ends", "with"):
		op = netpol.Suffix
	case p.words("not", "in"):
		op, list = netpol.NotIn, true
	case p.word("in"):
		list = true
	default:
		return nil, fmt.Errorf("label %q is followed by no operator", key)
	}
	read := p.single
	if list {
		read = p.set
	}
	values, err := read()
	return netpol.Label{Key: key, Op: op, Values: values}, err
}

// words takes an operator of two words, between which space may be missing.
func (p *parser) words(first, second string) bool {
	start := p.rest
	if p.take(first) && p.word(second) {
		return true
	}
	p.rest = start
	return false
}

func (p *parser) single() ([]string, error) {
	v, err := p.value()
	return []string{v}, err
}

// value reads text in quotes of either kind; there are no escapes.
func (p *parser) value() (string, error) {
	if p.rest == "" || p.rest[0] != '"' && p.rest[0] != '\'' {
		return "", fmt.Errorf("no value in quotes before %q", p.rest)
	}
	v, after, ok := strings.Cut(p.rest[1:], p.rest[:1])
	if !ok {
		return "", errors.New("a quote is not closed")
	}
	p.rest = after
	p.space()
	return v, nil
}

// set reads values in braces, without order or repetition.
func (p *parser) set() ([]string, error) {
	if !p.take("{") {
		return nil, fmt.Errorf("no { before %q", p.rest)
	}
	values := []string{}
	for !p.take("}") {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if !p.take(",") && !strings.HasPrefix(p.rest, "}") {
			return nil, fmt.Errorf("no } before %q", p.rest)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}
