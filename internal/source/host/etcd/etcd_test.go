package etcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A write is one revision of a key.
type write struct {
	key, value string
	deleted    bool
}

// dataFile makes a data file with bbolt, as etcd does.
func dataFile(t testing.TB, pageSize int, writes []write) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(file, 0o600, &bolt.Options{PageSize: pageSize, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for begin := 0; begin == 0 || begin < len(writes); begin += 100 {
		err := db.Update(func(tx *bolt.Tx) error {
			if _, err := tx.CreateBucketIfNotExists([]byte("auth")); err != nil {
				return err
			}
			b, err := tx.CreateBucketIfNotExists([]byte("key"))
			if err != nil {
				return err
			}
			for i := begin; i < min(begin+100, len(writes)); i++ {
				w := writes[i]
				rev := binary.BigEndian.AppendUint64(nil, uint64(i+1))
				rev = binary.BigEndian.AppendUint64(append(rev, '_'), 0)
				if w.deleted {
					rev = append(rev, tombstone)
				}
				if err := b.Put(rev, message(w)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// message is etcd's KeyValue.
func message(w write) (text []byte) {
	field := func(n byte, value string) {
		text = append(text, n<<3|2)
		text = binary.AppendUvarint(text, uint64(len(value)))
		text = append(text, value...)
	}
	field(1, w.key)
	if !w.deleted {
		text = append(text, 2<<3, 3, 4<<3, 1)
		field(5, w.value)
	}
	return text
}

func read(data []byte) (*evidence.EtcdData, error) {
	return Read(context.Background(), bytes.NewReader(data), "/registry")
}

// The latest revision of each Secret counts, wherever bbolt has put it.
func TestRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	marks := []string{"", "k8s:enc:secretbox:v1:key1:", "k8s:enc:kms:v2:vault:", "k8s:enc:aescbc:v1:key2:"}
	for round := range 60 {
		var writes []write
		want := map[string]string{}
		for range r.IntN(1500) {
			name := fmt.Sprintf("ns-%d/s-%d", r.IntN(3), r.IntN(200))
			w := write{key: "/registry/secrets/" + name}
			switch r.IntN(6) {
			case 0:
				w.deleted = true
				delete(want, name)
			case 1:
				w.key = "/registry/configmaps/" + name
				w.value = "k8s\x00 plain"
			default:
				m := marks[r.IntN(len(marks))]
				want[name] = m
				w.value = m + "k8s\x00" + strings.Repeat("v", r.IntN(3000))
			}
			writes = append(writes, w)
		}
		got, err := read(dataFile(t, []int{4096, 4096, 16384, 65536}[round%4], writes))
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, m := range want {
			counts[m]++
		}
		if got.Secrets != len(want) {
			t.Fatalf("round %d: %d Secrets, want %d", round, got.Secrets, len(want))
		}
		if diff := cmp.Diff(counts, got.Marks); diff != "" {
			t.Errorf("round %d: %s", round, diff)
		}
		for _, name := range got.Plain {
			if m, there := want[name]; !there || m != "" {
				t.Errorf("%s is not in plain text: %q", name, m)
			}
		}
		if len(got.Plain) != min(counts[""], maxNamed) {
			t.Errorf("%d named of %d", len(got.Plain), counts[""])
		}
	}
}

func TestMark(t *testing.T) {
	for value, want := range map[string]string{
		"":                                    "",
		"k8s\x00":                             "",
		"k8s:enc:secretbox:v1:key1:abc:d":     "k8s:enc:secretbox:v1:key1:",
		"k8s:enc:kms:v2:":                     "k8s:enc:",
		"k8s:enc:kms:v1:a\x00b:c":             "k8s:enc:",
		"k8s:enc:" + strings.Repeat("x", 999): "k8s:enc:",
	} {
		if got := mark([]byte(value)); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// What is no data file is an error, and no claim.
func TestForeign(t *testing.T) {
	whole := dataFile(t, 4096, []write{{key: "/registry/secrets/a/b", value: "v"}})
	for name, data := range map[string][]byte{
		"empty": nil, "text": bytes.Repeat([]byte("etcd"), 99999), "cut": whole[:4096*2], "no pages": append(bytes.Clone(whole[:4096*2]), make([]byte, len(whole)-4096*2)...),
	} {
		if d, err := read(data); err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if _, err := Read(func() context.Context { ctx, stop := context.WithCancel(context.Background()); stop(); return ctx }(), bytes.NewReader(whole), "/registry"); err != context.Canceled {
		t.Error(err)
	}
	// One meta page is enough: etcd may have died in the middle of writing the other.
	twice := dataFile(t, 4096, make([]write, 150))
	for page := range 2 {
		broken := bytes.Clone(twice)
		clear(broken[page*4096 : page*4096+100])
		if _, err := read(broken); err != nil {
			t.Errorf("meta page %d: %v", page, err)
		}
	}
}

// A file that is written to all the time is not told of.
func TestMoving(t *testing.T) {
	whole := dataFile(t, 4096, []write{{key: "/registry/secrets/a/b", value: "v"}})
	m := &moving{data: whole}
	if _, err := Read(context.Background(), m, "/registry"); err != errMoving {
		t.Error(err)
	}
}

// A moving file has another transaction whenever its meta pages are read.
type moving struct {
	data []byte
	tx   uint64
}

func (m *moving) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(m.data).ReadAt(p, off)
	if off <= 4096 && n == headSize+metaSize {
		m.tx += 3
		binary.LittleEndian.PutUint64(p[headSize+48:], m.tx)
		binary.LittleEndian.PutUint64(p[headSize+56:], sum(p[headSize:headSize+56]))
	}
	return n, err
}

func sum(b []byte) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	return h
}

func FuzzRead(f *testing.F) {
	f.Add(dataFile(f, 4096, []write{{key: "/registry/secrets/a/b", value: "k8s:enc:kms:v2:vault:x"}, {key: "/registry/secrets/a/b", deleted: true}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The sums of the meta pages are put right, so that what is behind them is tried.
		for _, at := range []int{headSize, 4096 + headSize} {
			if len(data) >= at+metaSize {
				binary.LittleEndian.PutUint64(data[at+56:], sum(data[at:at+56]))
			}
		}
		if d, err := read(data); err == nil && d == nil {
			t.Error("neither an answer nor an error")
		}
	})
}
