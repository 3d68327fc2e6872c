// Package pki tells what certificates, private keys and kubeconfigs say without the
// secrets in them: of a key it gives the fingerprint of the public one, of a token
// that there is one and when it ends. Nothing that it returns, its error texts
// included, has a part of a credential.
//
// It works on bytes and reads no files, and it judges nothing: whether a certificate
// is too old or its signature too weak is told by the checks.
package pki

import (
	"bytes"
	"encoding/pem"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// maxBlocks is how many PEM blocks of one file are looked at: bundles of all public
// authorities have some 150.
const maxBlocks = 2000

// A block is one PEM block of a file.
type block struct {
	place evidence.Position
	kind  string     // what stands after BEGIN
	pem   *pem.Block // nil when the block is damaged
}

// private reports whether the block has, or should have, a private key.
func (b block) private() bool { return strings.HasSuffix(b.kind, "PRIVATE KEY") }

const begin = "-----BEGIN "

// blocks returns the PEM blocks of a text, and whether there are more than are
// looked at. A block that has no end reaches up to the next one, which is not lost.
func blocks(file string, data []byte) (found []block, more bool) {
	line := 1
	for {
		start := nextBegin(data, 0)
		if start < 0 {
			return found, false
		}
		if len(found) == maxBlocks {
			return found, true
		}
		line += bytes.Count(data[:start], []byte("\n"))
		data = data[start:]
		text := data
		if end := nextBegin(data, 1); end > 0 {
			text = data[:end]
		}
		b := block{place: evidence.Position{File: file, Line: line}, kind: kindOf(text)}
		b.pem, _ = pem.Decode(text)
		found = append(found, b)
		line += bytes.Count(text, []byte("\n"))
		data = data[len(text):]
	}
}

// nextBegin is where the next line from an offset on begins a block, -1 for nowhere.
func nextBegin(data []byte, from int) int {
	if from == 0 && bytes.HasPrefix(data, []byte(begin)) {
		return 0
	}
	i := bytes.Index(data[min(from, len(data)):], []byte("\n"+begin))
	if i < 0 {
		return -1
	}
	return from + i + 1
}

// kindOf is the kind that a block's first line names.
func kindOf(text []byte) string {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	kind, _, _ := strings.Cut(strings.TrimPrefix(string(first), begin), "-----")
	return strings.TrimSpace(kind)
}

// isDER reports whether data may be an ASN.1 sequence, as keys and certificates that
// are no PEM are.
func isDER(data []byte) bool { return len(data) > 2 && data[0] == 0x30 && data[1] > 0x30 }

// notPEM says what stands in the place of PEM blocks.
func notPEM(data []byte) string {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "the file is empty"
	case bytes.Contains(data, []byte(begin)):
		return "something stands before -----BEGIN on its line, so that it begins no PEM block"
	}
	return "neither PEM nor DER"
}
