package app

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/rotation"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/seal"
)

// Open opens the state that c describes, creating the data directory and the tables where they are missing. The seal
// key must be there: without it nothing can be read, and making another would hide that.
func Open(ctx context.Context, c *config.Config) (*State, error) { return open(ctx, c, observers{}) }

// observers are told what happens beneath a State. What is nil is told nobody.
type observers struct {
	store func(name string, err error) // a store stopped answering, or answers again
	// a store was read
	read     func(store string, began time.Time, secrets int, err error)
	minted   func(derive.Observation)            // an attempt to obtain a derived token
	panicked func(task string, why *fault.Panic) // in the background
	// puts a call to a token endpoint on record; nil: as a command's
	recordMint func(ctx context.Context, name string) error
	adapter    func(*config.Store) (secret.Store, error) // instead of the real stores, in tests
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
		own: func(context.Context) (secret.Store, error) {
			return s.Builtin, nil
		}, told: true, noted: o.store, read: o.read, adapter: o.adapter,
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
	s.pool = pool.New(pool.Options{
		Vault: s.vault, Owner: s.owner, Record: record, Observe: o.minted,
		Panicked: o.panicked,
	})
	s.assembler = assemble.New(s.pool)
	s.Tokens = token.NewRegistry(s.DB, key, time.Now)
	s.Plan(s.Config)
	s.journal, s.runs = rotation.NewLedger(sealer), run.NewLedger(sealer)
	s.approvals = approval.NewLedger(sealer)
	if err := s.vouch(ctx); err != nil {
		return err
	}
	return s.Tokens.Load(ctx)
}
