//go:build browser

// Package browser looks at the HTML report in a real browser: Chromium without a
// window, driven over a pipe by its DevTools protocol. It knows nothing of how
// the report is made but the command that makes it.
package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long any answer of the browser may take.
const patience = time.Minute

// A browser is a running Chromium.
type browser struct {
	to       io.Writer
	messages chan message
	lastID   int
	pages    map[string]*page // by session
	stderr   *bytes.Buffer
}

// A message is a command, its answer or an event of the DevTools protocol.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// A page is a tab, with what it said on the console and which addresses besides
// its own it asked for.
type page struct {
	b           *browser
	url, target string
	session     string
	loaded      bool
	said, asked []string
}

// start runs a browser until the test ends. It can resolve no name.
func start(t *testing.T) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		t.Fatal("no Chromium: make browser installs it on Debian")
	}
	commandsRead, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, answersWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "gabion-browser-*")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{to: commands, messages: make(chan message, 1024), pages: map[string]*page{}, stderr: &bytes.Buffer{}}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{commandsRead, answersWrite} // descriptors 3 and 4
	cmd.Stderr = b.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	commandsRead.Close()
	answersWrite.Close()
	go b.listen(answers)
	t.Cleanup(func() {
		commands.Close() // Chromium ends with its pipe
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		os.RemoveAll(profile)
	})
	return b
}

// listen hands on what the browser says, until it ends.
func (b *browser) listen(r io.ReadCloser) {
	defer close(b.messages)
	defer r.Close()
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) == nil {
			b.messages <- m
		}
	}
}

// next waits for a message and notes what it says of a page.
func (b *browser) next(t *testing.T) message {
	t.Helper()
	select {
	case m, ok := <-b.messages:
		if !ok {
			t.Fatalf("the browser ended:\n%s", b.stderr)
		}
		if p := b.pages[m.SessionID]; p != nil {
			p.note(m)
		}
		return m
	case <-time.After(patience):
		t.Fatalf("the browser does not answer")
	}
	return message{}
}

// call sends a command and waits for its answer.
func (b *browser) call(t *testing.T, session, method string, params, result any) {
	t.Helper()
	data, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	b.lastID++
	id := b.lastID
	text, err := json.Marshal(message{ID: id, SessionID: session, Method: method, Params: data})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	for {
		m := b.next(t)
		if m.ID != id {
			continue
		}
		if m.Error != nil {
			t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (p *page) call(t *testing.T, method string, params, result any) {
	t.Helper()
	p.b.call(t, p.session, method, params, result)
}

// open shows a file in a new tab of a width and a color scheme, and waits until
// it is loaded with all that it asks for.
func (b *browser) open(t *testing.T, file string, width int, scheme string) *page {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{b: b, url: "file://" + path}
	var target struct{ TargetID string }
	b.call(t, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.target, p.session = target.TargetID, attached.SessionID
	b.pages[p.session] = p
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(t, domain+".enable", struct{}{}, nil)
	}
	p.call(t, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call(t, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.call(t, "Page.navigate", map[string]any{"url": p.url}, nil)
	for !p.loaded {
		b.next(t)
	}
	p.call(t, "Runtime.evaluate", map[string]any{"expression": "1"}, nil) // what was said before has arrived
	return p
}

// note keeps what an event says of the page.
func (p *page) note(m message) {
	var params struct {
		Entry   struct{ Text, URL string }
		Request struct{ URL string }
		Args    json.RawMessage
	}
	_ = json.Unmarshal(m.Params, &params) // events of other shapes are not looked at
	switch m.Method {
	case "Page.loadEventFired":
		p.loaded = true
	case "Log.entryAdded":
		p.said = append(p.said, strings.TrimSpace(params.Entry.Text+" "+params.Entry.URL))
	case "Runtime.consoleAPICalled":
		p.said = append(p.said, string(params.Args))
	case "Runtime.exceptionThrown":
		p.said = append(p.said, string(m.Params))
	case "Network.requestWillBeSent":
		if params.Request.URL != p.url {
			p.asked = append(p.asked, params.Request.URL)
		}
	case "Inspector.targetCrashed":
		p.said = append(p.said, fmt.Sprintf("%s crashed", p.url))
	}
}
