package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

func terminal(stream any) (int, bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		columns = 80
	}
	return columns, true
}

// colorful decides whether to colour a stream: the flag, then NO_COLOR and
// CLICOLOR_FORCE, then whether it is a terminal.
func (env Env) colorful(flag string, stream any) bool {
	switch {
	case flag == "always":
		return true
	case flag == "never", env.Getenv("NO_COLOR") != "":
		return false
	case env.Getenv("CLICOLOR_FORCE") != "" && env.Getenv("CLICOLOR_FORCE") != "0":
		return true
	}
	_, ok := env.Terminal(stream)
	return ok && env.Getenv("TERM") != "dumb"
}

// progress is one line on a terminal that says what is being read. It is
// silent for the first half second, and always when the stream is no terminal.
type progress struct {
	w       io.Writer
	columns int
	started time.Time
	last    time.Time
	shown   bool
	now     func() time.Time
	lines   chan string
	done    chan struct{}
}

// newProgress returns nil when there is nobody to watch. With verbose every step
// gets a line of its own, whoever reads it.
func newProgress(env Env, quiet, verbose bool) *progress {
	columns, ok := env.Terminal(env.Stderr)
	if !verbose && (!ok || quiet) {
		return nil
	}
	p := &progress{w: env.Stderr, columns: columns, started: env.Now(), now: env.Now,
		lines: make(chan string), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for what := range p.lines {
			if verbose {
				fmt.Fprintf(p.w, "reading %s\n", strings.Map(printable, what))
				continue
			}
			p.show(what)
		}
	}()
	return p
}

// say may be called from several goroutines.
func (p *progress) say(what string) { p.lines <- what }

func (p *progress) show(what string) {
	now := p.now()
	if now.Sub(p.started) < 500*time.Millisecond || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last, p.shown = now, true
	text := []rune("reading " + strings.Map(printable, what))
	if room := max(p.columns-1, 10); len(text) > room {
		text = append([]rune("…"), text[len(text)-room+1:]...)
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(text))
}

// stop clears the line.
func (p *progress) stop() {
	if p == nil {
		return
	}
	close(p.lines)
	<-p.done
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return '?'
	}
	return r
}
