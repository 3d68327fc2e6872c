// Package flows reads logs of connections that were seen: of Hubble, of Calico, of a
// node's connection tracking, of providers' networks, and plain tables. It knows how
// each writes who spoke to whom on which port, and nothing of policies, nor whose
// address it is.
//
// A log is somebody else's text: every line is bounded, what cannot be read is
// counted with its place and never dropped in silence, and like flows are kept once.
package flows

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Bounds on what one log may hold.
const (
	// MaxLine is the longest line that is read, in bytes.
	MaxLine = 1 << 20
	// MaxFlows is how many different flows of one log are kept.
	MaxFlows = 200_000
	// maxBad is how many bad lines are kept by their place; all are counted.
	maxBad = 20
)

// A Peer is one end of a flow, as far as the log tells.
type Peer struct {
	// Namespace and Name are those of a pod, of a workload or of a Service; Kind is what
	// of these Name is, "" where the log does not say.
	Namespace, Kind, Name string
	// Labels are those of the pod, as key=value, sorted and separated by commas.
	Labels string
	// Address is that of the end, invalid where the log has none.
	Address netip.Addr
	// Entity is who it is where that is no pod: world, host, kube-apiserver.
	Entity string
	// Domain is the name that was asked for to find the address.
	Domain string
}

// String is how people call the peer.
func (p Peer) String() string {
	switch {
	case p.Name != "" && p.Namespace != "":
		return p.Namespace + "/" + p.Name
	case p.Domain != "":
		return p.Domain
	case p.Address.IsValid():
		return p.Address.String()
	case p.Entity != "":
		return p.Entity
	}
	return p.Name
}

// A Flow is a connection that was opened from Src to Dst.
type Flow struct {
	Src, Dst Peer
	Protocol ports.Protocol
	Port     uint16
	// Dropped is set when it was seen to be refused.
	Dropped bool
	// Count is how often it was seen, Line where first.
	Count uint64
	Line  int
}

// A Bad line is one that could not be read, and why.
type Bad struct {
	Line   int
	Reason string
}

// A Log is what was read of one file.
type Log struct {
	// Name is the file's, Format what it was recognised as.
	Name, Format string
	Flows        []Flow
	// Records is how many lines or entries there were, Ignored how many of them are no
	// connection: answers, other protocols, headings.
	Records, Ignored int
	// BadCount is how many could not be read, Bad the first of them.
	BadCount int
	Bad      []Bad
	// Left is how many entries were left out, as there were too many different flows.
	Left int
}

// A Format is one way to write flows.
type format struct {
	name string
	// is reports whether a line is the first of such a log.
	is func(line []byte) bool
	// parser makes what reads the lines; the first is that which is was asked about.
	parser func() parser
}

// A parser reads one line. Of a line that is no connection it returns ErrIgnored.
type parser func(line []byte) ([]Flow, error)

// errIgnored is what is well formed and no connection that was opened.
var errIgnored = errors.New("no connection")

// formats are all that are known, the most telling first.
func formats() []format {
	return []format{
		{"Hubble JSON", isHubble, func() parser { return parseHubble }},
		{"Calico flow log", isCalico, func() parser { return parseCalico }},
		{"Google Cloud VPC flow log", isGCP, func() parser { return parseGCP }},
		{"AWS VPC flow log", isAWS, newAWS},
		{"conntrack", isConntrack, func() parser { return parseConntrack }},
		{"CSV", isCSV, newCSV},
	}
}

// Read reads a log: lines, or one array of JSON, whose entries then count as lines.
// The error is that of the reader, or that the text is no log of a known form.
func Read(name string, r io.Reader) (*Log, error) {
	l := &Log{Name: name}
	in := bufio.NewReaderSize(r, 64<<10)
	next := func() ([]byte, error) { return readLine(in) }
	if array(in) {
		next = entries(in)
	}
	seen := map[key]int{}
	var parse parser
	for line := 1; ; line++ {
		text, err := next()
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, errLong) {
			return nil, fmt.Errorf("read flows of %q: entry %d: %w", name, line, err)
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 || text[0] == '#' && parse == nil {
			continue
		}
		if parse == nil {
			if l.Format, parse = recognise(text); parse == nil {
				return nil, fmt.Errorf("read flows of %q: line %d is of no known form: want Hubble JSON, Calico flow logs, conntrack -L, VPC flow logs, or CSV with a heading src,dst,protocol,port", name, line)
			}
		}
		l.Records++
		if err != nil {
			l.bad(line, err)
			continue
		}
		l.take(parse, text, line, seen)
	}
	if parse == nil {
		return nil, fmt.Errorf("read flows of %q: it is empty", name)
	}
	return l, nil
}

func (l *Log) take(parse parser, text []byte, line int, seen map[key]int) {
	found, err := parse(text)
	switch {
	case errors.Is(err, errIgnored):
		l.Ignored++
	case err != nil:
		l.bad(line, err)
	}
	for _, f := range found {
		l.add(f, line, seen)
	}
}

// array reports whether a text begins an array of JSON; a mark of the byte order
// before it is read away.
func array(in *bufio.Reader) bool {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		in.Discard(3)
	}
	start, _ := in.Peek(4 << 10)
	return bytes.HasPrefix(bytes.TrimLeft(start, " \t\r\n"), []byte("["))
}

// entries reads the entries of an array one by one. Each may be MaxLine long.
func entries(in io.Reader) func() ([]byte, error) {
	limited := &io.LimitedReader{R: in, N: MaxLine}
	d := json.NewDecoder(limited)
	opened := false
	return func() ([]byte, error) {
		limited.N = MaxLine
		if !opened {
			if _, err := d.Token(); err != nil {
				return nil, err
			}
			opened = true
		}
		if !d.More() {
			if limited.N == 0 {
				return nil, errors.New(errLong.Error())
			}
			if _, err := d.Token(); err != nil {
				return nil, fmt.Errorf("the array does not end: %w", noEOF(err))
			}
			return nil, io.EOF
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return nil, noEOF(err)
		}
		return one, nil
	}
}

// noEOF keeps an end that comes too early from looking like one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// recognise finds the format of a line.
func recognise(line []byte) (string, parser) {
	for _, f := range formats() {
		if f.is(line) {
			return f.name, f.parser()
		}
	}
	return "", nil
}

var errLong = fmt.Errorf("longer than %d bytes", MaxLine)

// readLine reads a line. One that is too long is read to its end, cut off, and errLong.
func readLine(in *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			long = true
		} else {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil && (err != io.EOF || len(line) == 0 && !long):
			return nil, err
		case long:
			return line, errLong
		default:
			return line, nil
		}
	}
}

func (l *Log) bad(line int, err error) {
	l.BadCount++
	if len(l.Bad) < maxBad {
		reason := err.Error()
		if len(reason) > 200 {
			reason = reason[:200] + "…"
		}
		l.Bad = append(l.Bad, Bad{line, reason})
	}
}

type key struct {
	src, dst Peer
	protocol ports.Protocol
	port     uint16
	dropped  bool
}

func (l *Log) add(f Flow, line int, seen map[key]int) {
	k := key{f.Src, f.Dst, f.Protocol, f.Port, f.Dropped}
	f.Count = max(f.Count, 1)
	if i, have := seen[k]; have {
		l.Flows[i].Count += f.Count
		return
	}
	if len(l.Flows) >= MaxFlows {
		l.Left++
		return
	}
	f.Line = line
	seen[k] = len(l.Flows)
	l.Flows = append(l.Flows, f)
}

// Sort puts the flows into an order that does not hang on that of the lines.
func (l *Log) Sort() {
	slices.SortStableFunc(l.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.Src.String(), b.Src.String()), cmp.Compare(a.Dst.String(), b.Dst.String()),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
}
