package token

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"hash"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
)

// Topic is what listeners of the database hear when tokens have changed; they call Load.
const Topic = database.Urgent

const hashSize = sha256.Size

// Registry holds every generation of every token in memory, in front of the database. It is safe for concurrent use:
// Verify and Touch never wait, changes run one after the other.
type Registry struct {
	db    *database.DB
	book  *ledger.Book
	now   func() time.Time
	macs  sync.Pool // of *macState
	view  atomic.Pointer[map[string]*Grant]
	fresh atomic.Pointer[time.Time] // until when the view counts as complete
	bound time.Duration             // 0: always
	wrong [hashSize]byte            // stands in for the hash of a generation that is not there

	report atomic.Pointer[ledger.Report]

	mu     sync.Mutex // guards what follows, and makes views follow each other in the order of the database's commits
	rows   []row
	scopes *Scopes
	usages map[string]*usage

	governs bool             // scopes decide about requests
	narrow  map[string]Scope // by id: what the configuration has narrowed and the database does not have yet
}

// macState is what one Verify needs; pooled, so that it allocates nothing.
type macState struct {
	mac   hash.Hash
	token [Length]byte
	sum   [hashSize]byte
}

// NewRegistry returns an empty registry over a migrated db: call Load. The key hashes tokens and vouches for rows; with
// another key none of those in db is accepted. The clock is now, or time.Now when now is nil.
func NewRegistry(db *database.DB, macKey []byte, now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	key := bytes.Clone(macKey)
	r := &Registry{db: db, book: ledger.New(Topic, key), now: now, usages: make(map[string]*usage)}
	r.macs.New = func() any { return &macState{mac: hmac.New(sha256.New, key)} }
	r.view.Store(&map[string]*Grant{})
	return r
}

// Load reads the whole table and swaps the view. Rows that the ledger does not vouch for are left out, see Report. On
// an error the earlier view stays.
func (r *Registry) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	m, err := r.read(ctx)
	if err != nil {
		return fmt.Errorf("loading proxy tokens: %w", database.Explain(err))
	}
	r.take(m)
	return nil
}

// read reads the table. The caller holds r.mu.
func (r *Registry) read(ctx context.Context) (m *reading, err error) {
	err = r.db.Snapshot(ctx, func(tx *sql.Tx) error {
		s, err := r.book.Read(ctx, tx)
		if err != nil {
			return err
		}
		m, err = r.match(ctx, tx, s, r.rows)
		return err
	})
	return m, err
}

// take makes what was read the view. The caller holds r.mu.
func (r *Registry) take(m *reading) {
	r.rows = m.rows
	r.report.Store(&m.report)
	r.swap()
}

// SetScopes says which scopes List shows. Requests are not decided by them but by those of the configuration that they
// came under (Scopes.Of).
func (r *Registry) SetScopes(scopes *Scopes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scopes = scopes
}

// swap builds the view of r.rows. The caller holds r.mu.
func (r *Registry) swap() {
	grants := make(map[string]*Grant, len(r.rows))
	usages := make(map[string]*usage, len(r.rows))
	narrow := make(map[string]Scope)
	for i := range r.rows {
		g := &r.rows[i]
		used := r.usages[g.ID]
		if used == nil {
			used = &usage{}
		}
		usages[g.ID] = used
		scope := r.narrowed(&g.Generation)
		if !scope.same(g.Scope) {
			narrow[g.ID] = scope
		}
		grants[g.ID] = &Grant{
			ID: g.ID, Name: g.Name, Number: g.Number, Created: g.Created, Expires: g.Expires, Retires: g.RetireAt,
			revoked: !g.Revoked.IsZero(), hash: g.hash, stored: compile(scope), used: used,
		}
	}
	r.usages, r.narrow = usages, narrow
	r.view.Store(&grants)
}

// Verify returns what the presented token may do. It reads memory only and does not allocate when the token is good.
// The fault is one of token_invalid, token_expired, token_revoked; only who holds the whole token learns which of the
// last two.
func (r *Registry) Verify(presented string) (*Grant, *fault.Fault) {
	id, ok := Parse(presented)
	if !ok {
		return nil, fault.New(fault.TokenInvalid, "this is not a proxy token, or it was altered or cut on the way")
	}
	grant := (*r.view.Load())[id]
	want := &r.wrong
	if grant != nil {
		want = &grant.hash
	}
	if !r.matches(presented, want) || grant == nil {
		if stale := r.Stale(); stale != nil {
			return nil, stale // it may have been issued meanwhile
		}
		return nil, fault.New(fault.TokenInvalid, "the proxy token is unknown")
	}
	now := r.now()
	switch {
	case grant.revoked:
		return nil, fault.New(fault.TokenRevoked, fmt.Sprintf("generation %d of proxy token %q was revoked",
			grant.Number, grant.Name))
	case past(grant.Expires, now):
		return nil, fault.New(fault.TokenExpired, fmt.Sprintf("proxy token %q has expired", grant.Name))
	case past(grant.Retires, now):
		return nil, fault.New(fault.TokenExpired,
			fmt.Sprintf("generation %d of proxy token %q was replaced, and the overlap is over",
				grant.Number, grant.Name))
	}
	if stale := r.staleAt(now); stale != nil {
		return nil, stale
	}
	return grant, nil
}

// matches compares the keyed hash of presented with want, in constant time.
func (r *Registry) matches(presented string, want *[hashSize]byte) bool {
	state := r.macs.Get().(*macState) //nolint:errcheck,forcetypeassert // New returns nothing else
	defer r.macs.Put(state)
	copy(state.token[:], presented)
	state.mac.Reset()
	_, _ = state.mac.Write(state.token[:])
	state.mac.Sum(state.sum[:0])
	return hmac.Equal(state.sum[:], want[:])
}

func (r *Registry) hash(token string) (sum [hashSize]byte) {
	state := r.macs.Get().(*macState) //nolint:errcheck,forcetypeassert // New returns nothing else
	defer r.macs.Put(state)
	state.mac.Reset()
	_, _ = state.mac.Write([]byte(token))
	state.mac.Sum(sum[:0])
	return sum
}
