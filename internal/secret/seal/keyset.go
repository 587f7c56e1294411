package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// The rows of table keyset: the one that the keeper wraps, and those that it seals in turn.
const (
	rowRecords = "records"
	rowMAC     = "mac/"
	rowSign    = "sign/"
)

// purposeRows is of the key under which other packages authenticate rows of the database.
const purposeRows = "rows"

// MACKey returns the 32 random bytes kept for purpose ("token", "audit-chain"), and makes them when they are asked for
// first. Every process on the database gets the same.
func (s *Sealer) MACKey(ctx context.Context, purpose string) ([]byte, error) {
	return s.key(ctx, rowMAC+purpose)
}

// SigningKey is MACKey for an Ed25519 key.
func (s *Sealer) SigningKey(ctx context.Context, purpose string) (ed25519.PrivateKey, error) {
	seed, err := s.key(ctx, rowSign+purpose)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func (s *Sealer) key(ctx context.Context, row string) ([]byte, error) {
	key, err := s.loadKey(ctx, row)
	if err != nil {
		return nil, fmt.Errorf("reading key %q: %w", row, err)
	}
	return key, nil
}

func (s *Sealer) loadKey(ctx context.Context, row string) ([]byte, error) {
	sealed, err := stored(ctx, s.db, row)
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		fresh := make([]byte, keySize)
		_, _ = rand.Read(fresh) // never fails
		if sealed, err = s.Seal("keyset", row, 1, fresh); err != nil {
			return nil, err
		}
		if sealed, err = keepFirst(ctx, s.db, row, sealed); err != nil {
			return nil, err
		}
	}
	return s.Unseal("keyset", row, 1, sealed)
}

// Rewrap wraps the keyset with newKeeper in one transaction: afterwards newKeeper opens the database and the old keeper
// does not. Running processes go on; each needs the new key at its next start. What newKeeper wrapped is unwrapped
// again before the commit. On an error nothing has changed.
func (s *Sealer) Rewrap(ctx context.Context, newKeeper Keeper) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.db.WriteQuietly(ctx, "keyset", func(tx *sql.Tx) error {
		wrapped, err := stored(ctx, tx, rowRecords)
		if err != nil {
			return err
		}
		handle, form, err := unwrap(ctx, wrapped, s.keeper)
		if err != nil {
			return err
		}
		return rewrap(ctx, tx, handle, newKeeper, form)
	})
	if err != nil {
		return fmt.Errorf("changing the seal key: %w", err)
	}
	s.keeper = newKeeper
	return nil
}

// rewrap replaces the keyset's row, after a look whether keeper opens what is written.
func rewrap(ctx context.Context, tx *sql.Tx, handle *keyset.Handle, keeper Keeper, form string) error {
	wrapped, err := wrap(ctx, handle, keeper, form)
	if err != nil {
		return err
	}
	if _, _, err := unwrap(ctx, wrapped, keeper); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE keyset SET wrapped = $1, updated = $2 WHERE name = $3",
		wrapped, database.Micros(time.Now()), rowRecords)
	return err
}

// Adopted tells whether the rows of this database have been put on record (package database/ledger). The sign of it is
// the form of the wrapped keyset: who can write the database but has no key-encryption key can make no keyset of the
// older form, and taking the keyset away opens nothing.
func (s *Sealer) Adopted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopted
}

// Adopt makes Adopted true, for good, when tx commits; then call AdoptionKept. It tells whether that is so already.
func (s *Sealer) Adopt(ctx context.Context, tx *sql.Tx) (already bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrapped, err := stored(ctx, tx, rowRecords)
	if err != nil {
		return false, fmt.Errorf("reading the keyset: %w", err)
	}
	handle, form, err := unwrap(ctx, wrapped, s.keeper)
	if err != nil {
		return false, fmt.Errorf("reading the keyset: %w", err)
	}
	if form == wrappedAs {
		return true, nil
	}
	if err := rewrap(ctx, tx, handle, s.keeper, wrappedAs); err != nil {
		return false, fmt.Errorf("writing the keyset: %w", database.Explain(err))
	}
	return false, nil
}

// AdoptionKept is called once the transaction of Adopt has committed.
func (s *Sealer) AdoptionKept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopted = true
}

// loadKeyset tells also in which form the keyset is wrapped.
func loadKeyset(ctx context.Context, db *database.DB, keeper Keeper) (*keyset.Handle, string, error) {
	wrapped, err := stored(ctx, db, rowRecords)
	if err != nil {
		return nil, "", err
	}
	if wrapped == nil {
		if wrapped, err = makeKeyset(ctx, db, keeper); err != nil {
			return nil, "", err
		}
	}
	return unwrap(ctx, wrapped, keeper)
}

// makeKeyset keeps a new keyset and returns the one that is kept, which another process may have made meanwhile.
func makeKeyset(ctx context.Context, db *database.DB, keeper Keeper) ([]byte, error) {
	var orphans int
	if err := db.QueryRowContext(ctx,
		"SELECT count(*) FROM secret_version WHERE sealed IS NOT NULL").Scan(&orphans); err != nil {
		return nil, database.Explain(err)
	}
	if orphans > 0 {
		return nil, fault.WithHint(fmt.Errorf("the keyset is gone, and %d sealed values with it", orphans),
			"restore the whole database from a backup: a new keyset could not open what is there")
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	wrapped, err := wrap(ctx, handle, keeper, wrappedAs)
	if err != nil {
		return nil, err
	}
	return keepFirst(ctx, db, rowRecords, wrapped)
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// stored returns the bytes of a row, or nil when there is none.
func stored(ctx context.Context, from querier, name string) (wrapped []byte, err error) {
	err = from.QueryRowContext(ctx, "SELECT wrapped FROM keyset WHERE name = $1", name).Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return wrapped, database.Explain(err)
}

// keepFirst writes the row unless there is one, and returns what is there then.
func keepFirst(ctx context.Context, db *database.DB, name string, wrapped []byte) (kept []byte, err error) {
	err = db.WriteQuietly(ctx, "keyset", func(tx *sql.Tx) error {
		now := database.Micros(time.Now())
		_, err := tx.ExecContext(ctx,
			"INSERT INTO keyset (name, wrapped, created, updated) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO "+
				"NOTHING",
			name, wrapped, now, now)
		if err != nil {
			return database.Explain(err)
		}
		kept, err = stored(ctx, tx, name)
		return err
	})
	return kept, err
}

// One of these is in every wrapped keyset, since a Keeper has no associated data: other bytes under the same key don't
// pass.
const (
	wrappedAs      = "sallyport keyset 2\x00"
	wrappedAsFirst = "sallyport keyset 1\x00" // before Adopt
)

func wrap(ctx context.Context, handle *keyset.Handle, keeper Keeper, form string) ([]byte, error) {
	var out bytes.Buffer
	adapter := &keeperAEAD{keeper: keeper}
	err := handle.WriteWithContext(ctx, keyset.NewBinaryWriter(&out), adapter, []byte(form))
	if adapter.err != nil {
		err = adapter.err
	}
	if err != nil {
		return nil, fmt.Errorf("wrapping the keyset: %w", err)
	}
	return out.Bytes(), nil
}

// unwrap returns the form that the keyset was wrapped in, too.
func unwrap(ctx context.Context, wrapped []byte, keeper Keeper) (*keyset.Handle, string, error) {
	handle, err := unwrapAs(ctx, wrapped, keeper, wrappedAs)
	if err == nil {
		return handle, wrappedAs, nil
	}
	if errors.Is(err, ErrWrongKeeper) {
		if handle, first := unwrapAs(ctx, wrapped, keeper, wrappedAsFirst); first == nil {
			return handle, wrappedAsFirst, nil
		}
	}
	return nil, "", err
}

func unwrapAs(ctx context.Context, wrapped []byte, keeper Keeper, form string) (*keyset.Handle, error) {
	adapter := &keeperAEAD{keeper: keeper}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(wrapped)), adapter, []byte(form))
	if adapter.err != nil {
		err = adapter.err
	}
	if errors.Is(err, ErrWrongKeeper) {
		f := fault.New(fault.StoreUnavailable, "the seal key is not the one that this database was sealed under").
			WithHint("use the key that `sallyport init` made with this database (`seal.key_file`), or the database " +
				"that belongs to this key").Wrap(err)
		return nil, fault.WithExit(f, fault.ExitKeyMismatch)
	}
	if err != nil {
		f := fault.New(fault.StoreUnavailable,
			"the keyset cannot be unwrapped").WithHint("is the key-management service reachable, and was the " +
			"database restored whole?")
		return nil, fault.WithHint(fmt.Errorf("%w: %w", f, err), f.Hint)
	}
	return handle, nil
}

// keeperAEAD lets Tink use a Keeper. Tink drops the chain of its errors, so the adapter keeps the last one.
type keeperAEAD struct {
	keeper Keeper
	err    error
}

func (k *keeperAEAD) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	var ciphertext []byte
	ciphertext, k.err = k.keeper.Encrypt(ctx, append(bytes.Clone(associatedData), plaintext...))
	return ciphertext, k.err
}

func (k *keeperAEAD) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := k.keeper.Decrypt(ctx, ciphertext)
	if err == nil {
		var ok bool
		if plaintext, ok = bytes.CutPrefix(plaintext, associatedData); !ok {
			err = ErrWrongKeeper
		}
	}
	k.err = err
	return plaintext, err
}
