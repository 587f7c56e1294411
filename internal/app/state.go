// Package app puts Sallyport together: the one place that names every adapter.
//
// State is what commands and the running gate share: configuration, database, sealing, the builtin store, tokens. App is the
// running gate around it: New builds everything before anything listens, Start listens, Reload swaps in a configuration that
// was fully built, Stop drains and tears down in reverse order.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/seal"
)

// Purposes of the keys that are kept sealed in the database.
const (
	keyTokens     = "token"
	keyAuditChain = "audit-chain"
	keyAuditSign  = "audit-sign"
)

// State is what is kept, opened. Close it.
type State struct {
	Config    *config.Config
	DB        *database.DB
	Builtin   *builtin.Store
	Tokens    *token.Registry
	Wait      time.Duration     // how long Changed waits for the replicas
	Noted     func(text string) // is told what a person should know beside a result; may be nil
	sealer    *seal.Sealer
	stores    *Stores
	locks     *database.Locks
	vault     derive.Vault // of derived tokens
	owner     derive.Owner // gives the right to mint them
	pool      *pool.Pool   // of derived tokens
	assembler *assemble.Assembler
	journal   *ledger.Book // of the rotation journal
	adopted   bool         // the database's rows were put on record just now
}

// Open opens the state that c describes, creating the data directory and the tables where they are missing. The seal key must
// be there: without it nothing can be read, and making another would hide that.
func Open(ctx context.Context, c *config.Config) (*State, error) { return open(ctx, c, observers{}) }

// observers are told what happens beneath a State. What is nil is told nobody.
type observers struct {
	store      func(name string, err error)                 // a store stopped answering, or answers again
	minted     func(derive.Observation)                     // an attempt to obtain a derived token
	panicked   func(task string, why *fault.Panic)          // in the background
	recordMint func(ctx context.Context, name string) error // puts a call to a token endpoint on record; nil: as a command's
	adapter    func(*config.Store) (secret.Store, error)    // instead of the real stores, in tests
}

func open(ctx context.Context, c *config.Config, o observers) (*State, error) {
	keeper, err := keeperOf(c)
	if err != nil {
		return nil, fault.WithExit(keyAway(c, err), fault.ExitStore)
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return nil, fault.WithExit(err, fault.ExitStore)
	}
	s := &State{Config: c, DB: db, Wait: c.Revocation.Wait, locks: db.NewLocks()}
	if err := s.unseal(ctx, keeper, o); err != nil {
		return nil, errors.Join(fault.WithExit(err, fault.ExitStore), db.Close())
	}
	return s, nil
}

func (s *State) unseal(ctx context.Context, keeper seal.Keeper, o observers) error {
	sealer, err := seal.Open(ctx, s.DB, keeper)
	if err != nil {
		return err
	}
	key, err := sealer.MACKey(ctx, keyTokens)
	if err != nil {
		return err
	}
	s.sealer, s.Builtin = sealer, builtin.New(s.DB, sealer)
	s.stores = newStores(s.Config, storesOptions{
		own: func(context.Context) (secret.Store, error) { return s.Builtin, nil }, told: true, noted: o.store, adapter: o.adapter,
		panicked: func(why *fault.Panic) {
			if o.panicked != nil {
				o.panicked("secrets", why)
			}
		},
	})
	record := o.recordMint
	if record == nil {
		record = func(ctx context.Context, name string) error { return s.Record(ctx, mintEvent("command", name)) }
	}
	s.vault, s.owner = pool.NewVault(s.DB, sealer), pool.NewOwner(s.locks)
	s.pool = pool.New(pool.Options{Vault: s.vault, Owner: s.owner, Record: record, Observe: o.minted, Panicked: o.panicked})
	s.assembler = assemble.New(s.pool)
	s.Tokens = token.NewRegistry(s.DB, key, time.Now)
	s.Plan(s.Config)
	s.journal = rotation.NewLedger(sealer)
	if err := s.vouch(ctx); err != nil {
		return err
	}
	return s.Tokens.Load(ctx)
}

// Plan has Tokens list each token with the scope that c gives it.
func (s *State) Plan(c *config.Config) { s.Tokens.SetScopes(scopes(c)) }

// Close waits for tokens that are being minted, and lets go of the stores and the database.
func (s *State) Close() error {
	s.pool.Close()
	return errors.Join(s.stores.Close(), s.locks.Close(), s.DB.Close())
}

func keeperOf(c *config.Config) (seal.Keeper, error) {
	if c.Seal.KeyEnv != "" {
		return seal.KeyFromEnv(c.Seal.KeyEnv)
	}
	return seal.KeyFromFile(c.Seal.KeyFile)
}

// hintKeyAway is for a database whose seal key is not there.
const hintKeyAway = "put the key back where `seal.key_file` says, from the copy that was kept apart from the data; another key opens nothing in this database"

// keyAway says of a missing seal key what helps: a new one does where there is no database yet.
func keyAway(c *config.Config, err error) error {
	if errors.Is(err, fs.ErrNotExist) && hasDatabase(c) {
		return fault.WithHint(err, hintKeyAway)
	}
	return err
}

// hasDatabase tells whether there is a SQLite database already. (Whether a PostgreSQL server has one can't be seen from here.)
func hasDatabase(c *config.Config) bool {
	where, err := databaseURL(c)
	path, isFile := strings.CutPrefix(where, "sqlite://")
	if err != nil || !isFile {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// MayInit refuses to make a seal key beside a database that was sealed under another.
func MayInit(c *config.Config) error {
	if c.Seal.KeyEnv != "" || !hasDatabase(c) {
		return nil
	}
	if _, err := os.Stat(c.Seal.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fault.WithHint(fmt.Errorf("making seal key %q: there is a database already, which was sealed under a key that is not there", c.Seal.KeyFile),
		hintKeyAway+". To begin again without what it holds, move the data directory away first")
}

func openDatabase(ctx context.Context, c *config.Config) (*database.DB, error) {
	dir, err := localfile.MakeDir(c.Data)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if err := dir.Close(); err != nil {
		return nil, err
	}
	where, err := databaseURL(c)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, where)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func databaseURL(c *config.Config) (string, error) {
	where, err := c.DatabaseURL(func(name string) ([]byte, error) { return localfile.Read(name, localfile.Small) })
	if err != nil || where != "" {
		return where, err
	}
	return "sqlite://" + filepath.Join(c.Data, "sallyport.db"), nil
}

func scopes(c *config.Config) *token.Scopes {
	m := make(map[string]token.Scope, len(c.Tokens))
	for name, t := range c.Tokens {
		m[name] = ScopeOf(t)
	}
	return token.NewScopes(m)
}

// ScopeOf is the scope that the configuration gives a token.
func ScopeOf(t *config.Token) token.Scope {
	return token.Scope{Services: t.Services, Methods: t.Methods, From: t.From}
}

// AuditKeys returns the keys of the audit log.
func (s *State) AuditKeys(ctx context.Context) (audit.Keys, error) {
	chain, err := s.sealer.MACKey(ctx, keyAuditChain)
	if err != nil {
		return audit.Keys{}, err
	}
	sign, err := s.sealer.SigningKey(ctx, keyAuditSign)
	if err != nil {
		return audit.Keys{}, err
	}
	return audit.Keys{Chain: chain, Sign: sign}, nil
}

// openAudit opens the log for writing; only one process can. What the configuration says is added to o.
func (s *State) openAudit(ctx context.Context, o audit.Options) (*audit.Log, error) {
	keys, err := s.AuditKeys(ctx)
	if err != nil {
		return nil, err
	}
	c := s.Config.Audit
	o.Path, o.CheckpointPath, o.Keys, o.Sync = c.File, c.CheckpointFile, keys, c.Sync
	o.CheckpointEvery, o.CheckpointInterval = c.CheckpointEvery, c.CheckpointInterval
	if o.OnCheckpoint != nil { // a gate; a command that ends at once leaves the files to it
		o.RotateSize, o.RotateEvery, o.KeepAge, o.KeepSize = int64(c.Rotate.Size), c.Rotate.Every, c.Keep.Age, int64(c.Keep.Size)
	}
	l, err := audit.Open(ctx, o)
	if _, damaged := errors.AsType[*audit.DamageError](err); damaged {
		return nil, fault.WithHint(err, "`sallyport audit verify` says where; `sallyport serve --accept-audit-damage` sets the damaged files aside and begins a new log")
	}
	return l, err
}

// recordPatience is how long Record waits for another command, or a gate that is just starting or stopping, to let go of the log.
const recordPatience = 10 * time.Second

// Record puts what a person did on record before it is done: through the running gate when there is one, which holds the log,
// or in the log itself.
func (s *State) Record(ctx context.Context, ev *audit.Event) error {
	return patiently(ctx, func() error { return s.record(ctx, ev) })
}

// RotateAudit ends the audit log's file and begins the next one, through the running gate when there is one. ev goes on record
// first.
func (s *State) RotateAudit(ctx context.Context, ev *audit.Event) (r audit.Rotation, err error) {
	err = patiently(ctx, func() (err error) {
		r, err = s.rotateAudit(ctx, ev)
		return err
	})
	return r, err
}

// rotateAudit is one attempt, as record.
func (s *State) rotateAudit(ctx context.Context, ev *audit.Event) (audit.Rotation, error) {
	l, err := s.openAudit(ctx, audit.Options{})
	switch {
	case errors.Is(err, audit.ErrLocked):
		var r audit.Rotation
		payload, err := json.Marshal(ev)
		if err != nil {
			return r, fmt.Errorf("writing a message to the running gate: %w", err)
		}
		answer, err := s.control().call(ctx, http.MethodPost, "/audit/rotate", payload)
		if err != nil {
			return r, err
		}
		if err := json.Unmarshal(answer, &r); err != nil {
			return r, fmt.Errorf("reading the running gate's answer: %w", err)
		}
		return r, nil
	case err != nil:
		return audit.Rotation{}, err
	}
	r, err := recordAndRotate(ctx, l, ev)
	return r, errors.Join(err, l.Close())
}

func recordAndRotate(ctx context.Context, l *audit.Log, ev *audit.Event) (audit.Rotation, error) {
	if err := l.Admin(ctx, ev); err != nil {
		return audit.Rotation{}, err
	}
	return l.Rotate(ctx)
}

// patiently tries again while the log is held by a process that takes nothing (errNoGate).
func patiently(ctx context.Context, try func() error) error {
	waiting, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if !errors.Is(err, errNoGate) {
			return err
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fault.WithExit(fault.WithHint(audit.ErrLocked, "it is neither a gate on this data directory nor a command that ends"), fault.ExitLocked)
		}
	}
}

// record is one attempt; errNoGate tells that the log is held by a process that takes no events.
func (s *State) record(ctx context.Context, ev *audit.Event) error {
	l, err := s.openAudit(ctx, audit.Options{})
	if errors.Is(err, audit.ErrLocked) {
		return s.control().post(ctx, "/audit", ev)
	}
	if err != nil {
		return err
	}
	return errors.Join(l.Admin(ctx, ev), l.Close())
}
