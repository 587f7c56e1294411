// Package ledger tells whether the rows of a table are those that Sallyport wrote.
//
// Whoever can write the database, but has no seal key, can change every row of it. So each table whose rows decide
// something has a page: the MAC of each of its rows, and a number that goes up with each change, all under one MAC. A
// row that is not on the page in exactly the state in which it is there now counts for nothing: it was made, altered,
// or put back as it had been before. A row that is on the page and not in the table was taken away.
//
// A page that is whole can be put back too, together with the rows of its time. So each process remembers the newest
// page that it has seen, and keeps it beside the database, in the data directory: an older one is never believed again.
//
// It does not read tables: the packages that own them do, and ask for the tag of each row. It does not decide what to
// do without a row; it says what is wrong (Report).
package ledger

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"sallyport/internal/database"
)

// maxPage bounds what is read of a page, in bytes; 10,000 rows take less than 1 MiB.
const maxPage = 64 << 20

// Tag is the MAC of a row's content, cut to 128 bits. The zero Tag is no row's.
type Tag [16]byte

// MarshalText implements encoding.TextMarshaler.
func (t Tag) MarshalText() ([]byte, error) {
	return base64.RawStdEncoding.AppendEncode(nil, t[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Tag) UnmarshalText(text []byte) error {
	var b [32]byte
	n, err := base64.RawStdEncoding.Strict().Decode(b[:], text[:min(len(text), 42)])
	if err != nil || n != copy(t[:], b[:n]) {
		return errors.New("this is no tag")
	}
	return nil
}

// Entry is what a page says of one row.
type Entry struct {
	Tag  Tag    `json:"t,omitzero"`  // zero: no row of this key counts
	Name string `json:"n,omitempty"` // what people call the row, if that is not its key
	// what must be known of the row also when it is gone; the table's owner says what
	Marks []int64 `json:"m,omitempty"`
}

// Mark is the mark at i, or 0.
func (e Entry) Mark(i int) int64 {
	if i < len(e.Marks) {
		return e.Marks[i]
	}
	return 0
}

// Page is the content that a table ought to have, by the rows' keys. It is not changed once it is written.
type Page struct {
	Seq     int64            `json:"seq"` // goes up with each change; never below the microseconds of its time
	Entries map[string]Entry `json:"entries"`
}

// Next is a copy of p to change, with the next number.
func (p *Page) Next() *Page {
	next := &Page{Seq: max(p.Seq+1, database.Micros(time.Now())), Entries: maps.Clone(p.Entries)}
	if next.Entries == nil {
		next.Entries = make(map[string]Entry)
	}
	return next
}

// Book holds the pages of one table. It is safe for concurrent use.
type Book struct {
	topic string
	key   []byte

	mu      sync.Mutex
	dir     string // where the newest page is kept beside the database; "" nowhere
	newest  *Page  // that was seen; nil none
	mac     []byte // of the page that was read last
	read    *Page  // that page
	failure error  // why the newest page could not be kept beside the database
}

// New returns the book of the table that topic names. Whoever has key, which must be kept sealed, can write pages.
func New(topic string, key []byte) *Book {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte("sallyport ledger 1\x00" + topic))
	return &Book{topic: topic, key: mac.Sum(nil)}
}

// Tag is the tag of a row that has these fields, which are of type string, []byte, int, int64 or bool.
func (b *Book) Tag(fields ...any) (tag Tag) {
	text := []byte("row\x00")
	for _, field := range fields {
		switch v := field.(type) {
		case string:
			text = binary.BigEndian.AppendUint64(append(text, 's'), uint64(len(v)))
			text = append(text, v...)
		case []byte:
			text = binary.BigEndian.AppendUint64(append(text, 'b'), uint64(len(v)))
			text = append(text, v...)
		case int:
			text = binary.BigEndian.AppendUint64(append(text, 'i'), uint64(v)) //nolint:gosec // the bits matter
		case int64:
			text = binary.BigEndian.AppendUint64(append(text, 'i'), uint64(v)) //nolint:gosec // the bits matter
		case bool:
			text = append(text, 'f')
			if v {
				text[len(text)-1] = 't'
			}
		default:
			panic(fmt.Sprintf("ledger: a field of type %T", field))
		}
	}
	copy(tag[:], b.sum(text))
	return tag
}

func (b *Book) sum(text []byte) []byte {
	mac := hmac.New(sha256.New, b.key)
	_, _ = mac.Write(text)
	return mac.Sum(nil)
}

// seal is the page as it is kept, and its MAC.
func (b *Book) seal(p *Page) (text, mac []byte, err error) {
	if text, err = json.Marshal(p); err != nil {
		return nil, nil, fmt.Errorf("writing the page of %s: %w", b.topic, err)
	}
	return text, b.macOf(text), nil
}

func (b *Book) macOf(text []byte) []byte { return b.sum(append([]byte("page\x00"), text...)) }

// open reads what seal made.
func (b *Book) open(text, mac []byte) (*Page, error) {
	if !hmac.Equal(mac, b.macOf(text)) {
		return nil, errAltered
	}
	p := new(Page)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("%w: %w", errAltered, err)
	}
	return p, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// What is wrong with the database's own page.
var (
	errAltered = errors.New("its list of rows was altered")
	errGone    = errors.New("its list of rows is gone")
	errBehind  = errors.New("its list of rows is older than one that was seen before: an older database was put back")
)

// State is what is known of a table.
type State struct {
	Page *Page // the newest that was ever seen; an empty one if there is none
	Own  *Page // the database's own, if that is whole
	Why  error // why Own is not Page
}

// Read reads the page in from, which is the database or a transaction that has neither read nor written anything yet,
// and remembers it. An error means that from could not be read.
func (b *Book) Read(ctx context.Context, from querier) (State, error) {
	// A page that another goroutine keeps while this one reads is newer than what from shows: that is no sign of an old
	// database.
	b.mu.Lock()
	newest := b.newest
	b.mu.Unlock()
	own, why, err := b.own(ctx, from)
	if err != nil {
		return State{}, fmt.Errorf("reading the list of %s: %w", b.topic, database.Explain(err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if own != nil {
		b.keep(own)
	}
	switch {
	case own != nil && (newest == nil || own.Seq > newest.Seq):
		return State{Page: own, Own: own, Why: why}, nil
	case newest == nil && errors.Is(why, errGone):
		return State{Page: &Page{}}, nil // the table has never been written
	case newest == nil:
		newest = &Page{}
	case why == nil && own.Seq < newest.Seq:
		why = errBehind
	}
	return State{Page: newest, Own: own, Why: why}, nil
}

// own reads the page of the database, or finds by its MAC that it is the one that was read last.
func (b *Book) own(ctx context.Context, from querier) (p *Page, why, err error) {
	var text, mac []byte
	err = from.QueryRowContext(ctx, "SELECT CASE WHEN length(mac) <= 64 THEN mac END FROM ledger WHERE topic = $1",
		b.topic).Scan(&mac)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errGone, nil
	case err != nil:
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read != nil && bytes.Equal(mac, b.mac) {
		return b.read, nil, nil
	}
	err = from.QueryRowContext(ctx, "SELECT CASE WHEN length(page) <= $1 THEN page END FROM ledger WHERE topic = $2",
		maxPage, b.topic).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, err
	}
	if p, why = b.open(text, mac); why == nil {
		b.read, b.mac = p, mac
	}
	return p, why, nil
}

// Write makes p the page in tx, which may run beside no other change of the table. Once tx has committed, call Keep.
func (b *Book) Write(ctx context.Context, tx *sql.Tx, p *Page) error {
	text, mac, err := b.seal(p)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO ledger (topic, mac, page) VALUES ($1, $2, $3)
		ON CONFLICT (topic) DO UPDATE SET mac = excluded.mac, page = excluded.page`, b.topic, mac, text)
	if err != nil {
		return fmt.Errorf("writing the list of %s: %w", b.topic, database.Explain(err))
	}
	var kept []byte
	err = tx.QueryRowContext(ctx, "SELECT mac FROM ledger WHERE topic = $1", b.topic).Scan(&kept)
	if err == nil && !hmac.Equal(kept, mac) {
		err = errors.New("the database does not keep what is written: look for triggers and rules on its tables")
	}
	if err != nil {
		return fmt.Errorf("writing the list of %s: %w", b.topic, database.Explain(err))
	}
	return nil
}

// Writing is a transaction that no other one of a topic overlaps: database.DB's Write or WriteQuietly.
type Writing func(ctx context.Context, topic string, fn func(tx *sql.Tx) error) error

// Change runs fn in a transaction that no other change of the table overlaps, with the page to change, and writes and
// keeps that page. An error of fn undoes everything, and is returned as it is.
func (b *Book) Change(ctx context.Context, write Writing, fn func(tx *sql.Tx, page *Page) error) error {
	var next *Page
	err := write(ctx, b.topic, func(tx *sql.Tx) error {
		state, err := b.Read(ctx, tx)
		if err != nil {
			return err
		}
		next = state.Page.Next()
		if err := fn(tx, next); err != nil {
			return err
		}
		return b.Write(ctx, tx, next)
	})
	if err == nil {
		b.Keep(next)
	}
	return err
}

// Keep remembers p, which is committed, in memory and beside the database.
func (b *Book) Keep(p *Page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep(p)
}

// keep is called with mu held.
func (b *Book) keep(p *Page) {
	if b.newest != nil && p.Seq <= b.newest.Seq {
		return
	}
	b.newest = p
	if b.dir != "" {
		b.failure = b.save(p)
	}
}
