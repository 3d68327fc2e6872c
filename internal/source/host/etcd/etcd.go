// Package etcd reads from etcd's data file how Secrets are stored in it: in plain
// text, or behind which mark of encryption. It keeps marks and counts and the names
// of those in plain text, never a value: what was read is wiped at once.
//
// It reads the pages of the file itself, as they are documented in the source of
// bbolt, which etcd keeps its data in: bbolt maps a file into memory and trusts it,
// and a file that somebody else made, or that etcd writes meanwhile, is neither to be
// trusted nor to be locked. It knows nothing of etcd's log, so that what was written
// in the last tenth of a second may be missing.
package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Limits of what is read of a file.
const (
	maxBytes   = 4 << 30 // in all
	maxPage    = 64 << 20
	maxDepth   = 32
	maxSecrets = 2_000_000
	maxNamed   = 20
	tries      = 5
)

var (
	errForeign = errors.New("not the data of an etcd")
	errBroken  = errors.New("its pages contradict each other")
	errMoving  = errors.New("etcd writes to it faster than it can be read: give a copy (etcdctl snapshot save)")
)

// Read tells how the Secrets below a prefix (/registry) are stored in a data file,
// or in a snapshot that etcdctl saved. A file that etcd writes to while it is read is
// read again, a few times.
func Read(ctx context.Context, file io.ReaderAt, prefix string) (*evidence.EtcdData, error) {
	for range tries {
		r := &reader{ctx: ctx, file: file, prefix: []byte(strings.TrimSuffix(prefix, "/") + "/secrets/"), stored: map[string]stored{}}
		before, err := r.meta()
		if err != nil {
			return nil, err
		}
		err = r.bucket(before)
		after, metaErr := r.meta()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case metaErr == nil && after.tx > before.tx+1:
			continue // pages may have been used again since
		case err != nil:
			return nil, err
		case metaErr != nil:
			return nil, metaErr
		}
		return r.data(), nil
	}
	return nil, errMoving
}

// A reader walks the pages of one file.
type reader struct {
	ctx      context.Context
	file     io.ReaderAt
	prefix   []byte
	pageSize int64
	pages    uint64 // the file has fewer
	read     int64
	stored   map[string]stored // by the Secret's key below the prefix
}

// A stored is the latest of a Secret.
type stored struct {
	revision [2]uint64
	mark     string
	deleted  bool
}

// A meta is what one of the two first pages says of the rest.
type meta struct{ root, pages, tx uint64 }

// Flags of pages and of elements.
const (
	isBranch  = 0x01
	isLeaf    = 0x02
	isBucket  = 0x01
	headSize  = 16
	metaSize  = 64
	magic     = 0xED0CDAED
	tombstone = 't'
)

// meta returns the newer of the two meta pages that are sound.
func (r *reader) meta() (best meta, err error) {
	found := false
	sizes := []int64{r.pageSize}
	if r.pageSize == 0 {
		sizes = []int64{4096, 8192, 16384, 65536, 1024, 2048, 32768}
	}
	for _, size := range sizes {
		for page := range int64(2) {
			m, pageSize, ok := r.metaAt(page * size)
			if ok && pageSize == size && (!found || m.tx > best.tx) {
				best, found, r.pageSize = m, true, size
			}
		}
		if found {
			r.pages = best.pages
			return best, nil
		}
	}
	return meta{}, errForeign
}

func (r *reader) metaAt(offset int64) (m meta, pageSize int64, ok bool) {
	var page [headSize + metaSize]byte
	if _, err := r.file.ReadAt(page[:], offset); err != nil {
		return meta{}, 0, false
	}
	b := page[headSize:]
	sum := fnv.New64a()
	sum.Write(b[:56])
	if binary.LittleEndian.Uint32(b) != magic || binary.LittleEndian.Uint32(b[4:]) != 2 || sum.Sum64() != binary.LittleEndian.Uint64(b[56:]) {
		return meta{}, 0, false
	}
	return meta{
		root: binary.LittleEndian.Uint64(b[16:]), pages: binary.LittleEndian.Uint64(b[40:]), tx: binary.LittleEndian.Uint64(b[48:]),
	}, int64(binary.LittleEndian.Uint32(b[8:])), true
}

// bucket finds the bucket with the keys, and reads it.
func (r *reader) bucket(m meta) error {
	var root uint64
	found := false
	err := r.walk(m.root, 0, func(flags uint32, key, value []byte) error {
		if flags&isBucket == 0 || string(key) != "key" {
			return nil
		}
		if len(value) < 16 {
			return errBroken
		}
		found = true
		root = binary.LittleEndian.Uint64(value)
		if root == 0 { // a small bucket is kept in its element
			return r.elements(value[16:], 0, 0, r.pair)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found:
		return errForeign
	case root == 0:
		return nil
	}
	return r.walk(root, 0, r.pair)
}

// walk visits the elements of all leaves below a page.
func (r *reader) walk(id uint64, depth int, visit func(flags uint32, key, value []byte) error) error {
	page, err := r.page(id, depth)
	if err != nil {
		return err
	}
	defer clear(page)
	return r.elements(page, id, depth, visit)
}

// page reads a page with those that belong to it.
func (r *reader) page(id uint64, depth int) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	if id >= r.pages || depth > maxDepth || id > 1<<40 {
		return nil, errBroken
	}
	var head [headSize]byte
	offset := int64(id) * r.pageSize
	if _, err := r.file.ReadAt(head[:], offset); err != nil {
		return nil, fmt.Errorf("it is cut short: %w", err)
	}
	size := (int64(binary.LittleEndian.Uint32(head[12:])) + 1) * r.pageSize
	if r.read += size; size > maxPage || r.read > maxBytes {
		return nil, errors.New("it has more than is read of one")
	}
	if binary.LittleEndian.Uint64(head[:]) != id {
		return nil, errBroken
	}
	page := make([]byte, size)
	if _, err := r.file.ReadAt(page, offset); err != nil {
		return nil, fmt.Errorf("it is cut short: %w", err)
	}
	return page, nil
}

// elements visits the elements of a page, and of those below it.
func (r *reader) elements(page []byte, id uint64, depth int, visit func(flags uint32, key, value []byte) error) error {
	if len(page) < headSize {
		return errBroken
	}
	flags, count := binary.LittleEndian.Uint16(page[8:]), int(binary.LittleEndian.Uint16(page[10:]))
	if headSize+16*count > len(page) {
		return errBroken
	}
	for i := range count {
		at := headSize + 16*i
		e := page[at : at+16]
		switch flags {
		case isBranch:
			if err := r.walk(binary.LittleEndian.Uint64(e[8:]), depth+1, visit); err != nil {
				return err
			}
		case isLeaf:
			key := uint64(at) + uint64(binary.LittleEndian.Uint32(e[4:]))
			value := key + uint64(binary.LittleEndian.Uint32(e[8:]))
			end := value + uint64(binary.LittleEndian.Uint32(e[12:]))
			if end > uint64(len(page)) {
				return errBroken
			}
			if err := visit(binary.LittleEndian.Uint32(e), page[key:value], page[value:end]); err != nil {
				return err
			}
		default:
			return errBroken
		}
	}
	return nil
}

// pair takes one revision of one key.
func (r *reader) pair(_ uint32, revision, value []byte) error {
	if len(revision) < 17 {
		return errForeign
	}
	key, stored, err := keyValue(value)
	if err != nil {
		return err
	}
	name, ok := bytes.CutPrefix(key, r.prefix)
	if !ok {
		return nil
	}
	s := r.stored[string(name)]
	now := [2]uint64{binary.BigEndian.Uint64(revision), binary.BigEndian.Uint64(revision[9:])}
	if slices.Compare(now[:], s.revision[:]) < 0 {
		return nil
	}
	s.revision, s.deleted = now, len(revision) > 17 && revision[17] == tombstone
	s.mark = mark(stored)
	if r.stored[string(name)] = s; len(r.stored) > maxSecrets {
		return errors.New("it has more Secrets than are read")
	}
	return nil
}

// keyValue takes the key and the value out of etcd's protobuf message KeyValue.
func keyValue(text []byte) (key, value []byte, err error) {
	for len(text) > 0 {
		tag, n := binary.Uvarint(text)
		if n <= 0 {
			return nil, nil, errForeign
		}
		text = text[n:]
		number, n := binary.Uvarint(text)
		if n <= 0 {
			return nil, nil, errForeign
		}
		text = text[n:]
		switch tag & 7 {
		case 0:
		case 2:
			if number > uint64(len(text)) {
				return nil, nil, errForeign
			}
			switch tag >> 3 {
			case 1:
				key = text[:number]
			case 5:
				value = text[:number]
			}
			text = text[number:]
		default:
			return nil, nil, errForeign
		}
	}
	return key, value, nil
}

// mark is what the API server puts before what it has encrypted:
// k8s:enc:<provider>:<version>:<key>: — "" for plain text.
func mark(value []byte) string {
	const encrypted, parts, longest = "k8s:enc:", 5, 300
	if !bytes.HasPrefix(value, []byte(encrypted)) {
		return ""
	}
	head := value[:min(len(value), longest)]
	end := 0
	for range parts {
		i := bytes.IndexByte(head[end:], ':')
		if i < 0 {
			return encrypted
		}
		end += i + 1
	}
	text := string(head[:end])
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0xFFFD }) {
		return encrypted
	}
	return text
}

// data sums up.
func (r *reader) data() *evidence.EtcdData {
	d := &evidence.EtcdData{Marks: map[string]int{}}
	for name, s := range r.stored {
		if s.deleted {
			continue
		}
		d.Secrets++
		d.Marks[s.mark]++
		if s.mark == "" {
			d.Plain = append(d.Plain, name)
		}
	}
	slices.Sort(d.Plain)
	d.Plain = d.Plain[:min(len(d.Plain), maxNamed)]
	return d
}
