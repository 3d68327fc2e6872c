package netfilter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// A message is one that the kernel answers with, without its heads.
type message struct {
	family uint8
	body   []byte
}

// kernel is what the kernel tells. The elements are by set.
type kernel struct {
	tables, chains, rules, sets, objects []message
	elements                             [][]message
}

// An owner is a table, as what is in it names it.
type owner struct {
	family uint8
	table  string
}

type setName struct {
	owner
	name string
}

func (o owner) of(name string) setName { return setName{o, name} }

func (o owner) head() (object, error) {
	family, ok := familyNames()[o.family]
	if !ok {
		return nil, fmt.Errorf("table %q is of a family %d that is not known", o.table, o.family)
	}
	return object{"family": family, "table": o.table}, nil
}

type set struct {
	setName
	flags    uint32
	keySize  int
	elements []element
	shape    string // of the values that it is written for; empty: not written yet
	written  any
}

type element struct {
	key, end []byte
	flags    uint32
	verdict  object
	strange  bool // it has what is not understood
}

// A ruleset is being written.
type ruleset struct {
	known map[string]expression
	sets  map[setName]*set
	text  []byte
}

// text writes what the kernel told as nft would list it.
func (k *kernel) text(devices map[uint32]string) ([]byte, error) {
	rs := &ruleset{known: expressions(), sets: map[setName]*set{}, text: []byte(`{"nftables": [{"metainfo": {"json_schema_version": 1}}`)}
	for i, m := range k.sets {
		if err := rs.readSet(m, k.elements[i]); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		list []message
		read func(message) error
	}{{k.tables, rs.table}, {k.chains, rs.chain}, {k.objects, rs.object},
		{k.rules, func(m message) error { return rs.rule(m, decoder{devices}) }}} {
		for _, m := range part.list {
			if err := part.read(m); err != nil {
				return nil, err
			}
		}
	}
	return append(rs.text, "]}"...), nil
}

func (rs *ruleset) add(kind string, body object) error {
	var text bytes.Buffer
	to := json.NewEncoder(&text)
	to.SetEscapeHTML(false)
	if err := to.Encode(object{kind: body}); err != nil {
		return err
	}
	if len(rs.text)+text.Len() > maxText {
		return fmt.Errorf("more than %d MiB of rules", maxText>>20)
	}
	rs.text = append(append(rs.text, ",\n"...), bytes.TrimSpace(text.Bytes())...)
	return nil
}

func (rs *ruleset) table(m message) error {
	a, err := attributes(m.body)
	if err != nil {
		return err
	}
	body, err := owner{m.family, a.text(attrTableName)}.head()
	if err != nil {
		return err
	}
	delete(body, "table")
	body["name"] = a.text(attrTableName)
	if a.number(attrTableFlags)&tableDormant != 0 {
		body["flags"] = []string{"dormant"}
	}
	return rs.add("table", body)
}

func (rs *ruleset) chain(m message) error {
	a, err := attributes(m.body)
	if err != nil {
		return err
	}
	body, err := owner{m.family, a.text(attrChainTable)}.head()
	if err != nil {
		return err
	}
	body["name"], body["handle"] = a.text(attrChainName), a.number(attrChainHandle)
	if a.has(attrChainHook) {
		h, err := a.nested(attrChainHook)
		if err != nil {
			return err
		}
		hook, ok := hookName(m.family, h.number(attrHookNumber))
		if !ok {
			return fmt.Errorf("chain %q is at a hook %d that is not known", a.text(attrChainName), h.number(attrHookNumber))
		}
		devices, err := hookDevices(h)
		if err != nil {
			return err
		}
		body["type"], body["hook"], body["prio"], body["policy"] = a.text(attrChainType), hook, int32(h.number(attrHookPriority)), "accept"
		if a.has(attrChainPolicy) && a.number(attrChainPolicy) == 0 {
			body["policy"] = "drop"
		}
		if len(devices) > 0 {
			body["dev"] = devices
		}
	}
	return rs.add("chain", body)
}

// hookDevices are those whose packets meet a chain.
func hookDevices(h attrs) (names []string, err error) {
	list, err := items(h[attrHookDevices])
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		name := text(i.data)
		if i.kind == devicePrefix {
			name += "*"
		}
		names = append(names, name)
	}
	if len(names) == 0 && h.has(attrHookDevice) {
		names = append(names, h.text(attrHookDevice))
	}
	return names, nil
}

// object writes the named limits, by which a rule may match or not.
func (rs *ruleset) object(m message) error {
	a, err := attributes(m.body)
	if err != nil || a.number(attrObjectType) != objectLimit {
		return err
	}
	head, err := owner{m.family, a.text(attrObjectTable)}.head()
	if err != nil {
		return err
	}
	data, err := a.nested(attrObjectData)
	if err != nil {
		return err
	}
	body := limitBody(data)
	body["family"], body["table"], body["name"] = head["family"], head["table"], a.text(attrObjectName)
	return rs.add("limit", body)
}

func (rs *ruleset) rule(m message, d decoder) error {
	a, err := attributes(m.body)
	if err != nil {
		return err
	}
	in := owner{m.family, a.text(attrRuleTable)}
	body, err := in.head()
	if err != nil {
		return err
	}
	list, err := items(a[attrRuleExpressions])
	if err != nil {
		return err
	}
	r := &ruleReader{decoder: d, k: rs, in: in, written: []object{}}
	switch m.family {
	case familyIP:
		r.network = address4
	case familyIP6:
		r.network = address6
	}
	for _, i := range list {
		if err := r.expression(i.data); err != nil {
			return err
		}
	}
	body["chain"], body["handle"], body["expr"] = a.text(attrRuleChain), a.number(attrRuleHandle), r.written
	return rs.add("rule", body)
}

// Sets.

func (rs *ruleset) readSet(m message, told []message) error {
	a, err := attributes(m.body)
	if err != nil {
		return err
	}
	s := &set{setName: owner{m.family, a.text(attrSetTable)}.of(a.text(attrSetName)), flags: a.number(attrSetFlags), keySize: int(a.number(attrSetKeySize))}
	for _, t := range told {
		a, err := attributes(t.body)
		if err != nil {
			return err
		}
		list, err := items(a[attrElementsList])
		if err != nil {
			return err
		}
		for _, i := range list {
			e, err := readElement(i.data)
			if err != nil {
				return err
			}
			s.elements = append(s.elements, e)
		}
	}
	rs.sets[s.setName] = s
	return nil
}

func readElement(data []byte) (e element, err error) {
	a, err := attributes(data)
	if err != nil {
		return e, err
	}
	d, err := a.nested(attrElementData)
	if err != nil {
		return e, err
	}
	e = element{key: dataValue(a, attrElementKey), end: dataValue(a, attrElementKeyEnd), flags: a.number(attrElementFlags)}
	e.strange = a.beyond(attrElementExpressions) || e.flags&^(elementEnd|elementAny) != 0
	if d.has(attrDataVerdict) {
		e.verdict = verdict(d[attrDataVerdict])
	}
	stmts, err := items(a[attrElementExpressions])
	if a.has(attrElementExpression) {
		stmts = append(stmts, item{1, a[attrElementExpression]})
	}
	for _, s := range stmts {
		a, err := attributes(s.data)
		if err != nil {
			return e, err
		}
		body, err := a.nested(attrExpressionData)
		if err != nil {
			return e, err
		}
		// The first packet is within every limit that is not for what is beyond it.
		name := a.text(attrExpressionName)
		within := name == "limit" && limitBody(body)["inv"] == false
		e.strange = e.strange || name != "counter" && name != "last" && !within
	}
	return e, err
}

// listed is what the right side of a match with a set is: its elements as the values are
// that they are compared with. A set with a name is written as an object of the ruleset, when
// it is first asked for; it cannot be for two kinds of values.
func (rs *ruleset) listed(s *set, v *value, d decoder, verdicts bool) (any, error) {
	shape := fmt.Sprint(v.shape(), verdicts)
	if s.shape != "" && s.shape != shape {
		return nil, errBytes
	}
	if s.shape == shape {
		return s.written, nil
	}
	list, err := s.list(v, d, verdicts)
	if err != nil {
		return nil, err
	}
	s.shape, s.written = shape, object{"set": list}
	if s.flags&setAnonymous != 0 {
		return s.written, nil
	}
	body, err := s.head()
	if err != nil {
		return nil, err
	}
	kind := "set"
	if s.flags&setMap != 0 {
		kind = "map"
	}
	body["name"], body["elem"] = s.name, list
	s.written = "@" + s.name
	return s.written, rs.add(kind, body)
}

func (s *set) list(v *value, d decoder, verdicts bool) ([]any, error) {
	list := []any{}
	add := func(key any, e element) error {
		if !verdicts {
			list = append(list, key)
			return nil
		}
		if e.verdict == nil {
			return errBytes
		}
		list = append(list, []any{key, e.verdict})
		return nil
	}
	elements := slices.Clone(s.elements)
	intervals := s.flags&setInterval != 0 && s.flags&setConcat == 0
	if intervals {
		slices.SortFunc(elements, func(a, b element) int {
			if c := bytes.Compare(a.key, b.key); c != 0 {
				return c
			}
			return int(b.flags&elementEnd) - int(a.flags&elementEnd) // what ends comes first
		})
	}
	for i, e := range elements {
		var key any
		var err error
		switch {
		case e.strange || e.flags&elementAny == 0 && len(e.key) != s.keySize:
			return nil, errBytes
		case e.flags&elementAny != 0:
			key = "*"
		case e.flags&elementEnd != 0:
			if !intervals {
				return nil, errBytes
			}
			continue
		case intervals && (e.end != nil || len(v.parts) != 1):
			return nil, errBytes
		case intervals:
			// Up to where the next one begins, or to the end.
			to := bytes.Repeat([]byte{0xff}, len(e.key))
			if i+1 < len(elements) {
				if bytes.Equal(elements[i+1].key, e.key) {
					return nil, errBytes
				}
				to = before(elements[i+1].key)
			}
			key, err = d.between(v, e.key, to)
		case e.end != nil:
			if len(e.end) != s.keySize {
				return nil, errBytes
			}
			key, err = d.between(v, e.key, e.end)
		default:
			key, err = d.one(v, e.key)
		}
		if err == nil {
			err = add(key, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
