// Package probe tries the ports of a cluster: whether they can be reached from here,
// which TLS they agree to, what they serve, and what they answer to somebody without
// credentials. It connects to the addresses it is given and to no others, follows no
// redirection, sends no credential, and asks only what is listed in request.go. It
// keeps nothing of the answers but whether they were given.
//
// It tells facts. Whether they are faults is for checks to say.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Options bound what is tried. A zero field has the default.
type Options struct {
	// Attempt is how long one connection may take with all that it is for; 3 seconds.
	Attempt time.Duration
	// Total is how long all may take; 2 minutes. What was not tried by then says so.
	Total time.Duration
	// Parallel is how many ports are tried at a time; 32.
	Parallel int
}

// maxAddresses bounds how many addresses of a name are tried.
const maxAddresses = 4

// Probe tries the targets and tells what came of each, in their order: of a name, one
// for each of its addresses. It returns early, and says so of the rest, when the
// context ends.
func Probe(ctx context.Context, targets []Target, o Options) []*evidence.Probed {
	if o.Attempt <= 0 {
		o.Attempt = 3 * time.Second
	}
	if o.Total <= 0 {
		o.Total = 2 * time.Minute
	}
	if o.Parallel <= 0 {
		o.Parallel = 32
	}
	ctx, cancel := context.WithTimeout(ctx, o.Total)
	defer cancel()
	results := make([][]*evidence.Probed, len(targets))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(o.Parallel, len(targets)) {
		workers.Go(func() {
			for i := range next {
				results[i] = try(ctx, targets[i], o.Attempt)
			}
		})
	}
	for i := range targets {
		next <- i
	}
	close(next)
	workers.Wait()
	return slices.Concat(results...)
}

// try tries one target, at every address that it has.
func try(ctx context.Context, t Target, attempt time.Duration) []*evidence.Probed {
	if t.Name == "" {
		return []*evidence.Probed{tryAddress(ctx, t, t.Address, attempt)}
	}
	lookup, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(lookup, "ip", t.Name)
	if err != nil || len(addresses) == 0 {
		return []*evidence.Probed{{
			Node: t.Node, Component: t.Component, Address: t.Address, At: time.Now().UTC(),
			Error: fmt.Sprintf("%s: its address was not found", t.Name),
		}}
	}
	var list []*evidence.Probed
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		list = append(list, tryAddress(ctx, t, netip.AddrPortFrom(a.Unmap(), t.Address.Port()), attempt))
	}
	return list
}

// A prober is the look at one port.
type prober struct {
	ctx     context.Context
	attempt time.Duration
	name    string // of the server, "" for an address
	*evidence.Probed
}

func tryAddress(ctx context.Context, t Target, address netip.AddrPort, attempt time.Duration) *evidence.Probed {
	p := &prober{ctx: ctx, attempt: attempt, name: t.Name, Probed: &evidence.Probed{
		Node: t.Node, Component: t.Component, Address: address, At: time.Now().UTC().Truncate(time.Second),
	}}
	if ctx.Err() != nil {
		p.Error = "not tried: " + words(ctx.Err())
		return p.Probed
	}
	conn, done, err := p.dial()
	if err != nil {
		p.Error = words(err)
		return p.Probed
	}
	p.Open = true
	if from, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		p.From = from.AddrPort().Addr().Unmap().WithZone("")
	}
	conn.Close()
	done()
	if p.handshakes() {
		p.requests()
	}
	return p.Probed
}

// dial connects. Whatever is done with the connection ends with the attempt's time, or
// with done.
func (p *prober) dial() (conn net.Conn, done func(), err error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.attempt)
	conn, err = new(net.Dialer).DialContext(ctx, "tcp", p.Address.String())
	if err != nil {
		cancel()
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); cancel() }, nil
}

// note keeps the first reason why not everything is known.
func (p *prober) note(format string, args ...any) {
	if p.Error == "" {
		p.Error = fmt.Sprintf(format, args...)
	}
}

// timedOut reports whether an error is for want of time.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// words says an error of the network without the addresses in it, which change from
// one look to the next.
func words(err error) string {
	var number syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case timedOut(err):
		return "no answer in time"
	case errors.As(err, &number):
		return number.Error()
	case closed(err):
		return "the connection was closed"
	}
	const most = 200
	text := strings.ToValidUTF8(err.Error(), "?")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
