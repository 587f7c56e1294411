package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/database"
	"sallyport/internal/secret/seal"
)

// sealDerived is the kind under which derived tokens are sealed.
const sealDerived = "derived-token"

// derivedVault keeps derived tokens in the database, sealed. It implements derive.Vault.
type derivedVault struct {
	db     *database.DB
	sealer *seal.Sealer
}

// Load returns the State of that name.
func (v *derivedVault) Load(ctx context.Context, name string) (derive.State, int64, error) {
	var version int64
	var sealed []byte
	err := v.db.QueryRowContext(ctx, "SELECT version, sealed FROM derived_token WHERE name = $1", name).Scan(&version, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return derive.State{}, 0, nil
	case err != nil:
		return derive.State{}, 0, fmt.Errorf("reading the derived token %q: %w", name, database.Explain(err))
	}
	plain, err := v.sealer.Unseal(sealDerived, name, int(version), sealed)
	if err != nil {
		return derive.State{}, 0, err
	}
	defer clear(plain)
	s, err := derive.ReadState(plain)
	return s, version, err
}

// Save replaces the State of that name, if it has still the version that was loaded.
func (v *derivedVault) Save(ctx context.Context, name string, s derive.State, version int64) error {
	plain, err := s.Plain()
	if err != nil {
		return fmt.Errorf("writing the derived token %q: %w", name, err)
	}
	defer clear(plain)
	sealed, err := v.sealer.Seal(sealDerived, name, int(version+1), plain)
	if err != nil {
		return err
	}
	write := v.db.Write
	if !s.Spending.IsZero() {
		write = v.db.WriteQuietly // nobody can use a mark
	}
	return write(ctx, derivedTopic(name), func(tx *sql.Tx) error { return replaceDerived(ctx, tx, name, version, sealed) })
}

func replaceDerived(ctx context.Context, tx *sql.Tx, name string, version int64, sealed []byte) error {
	query := "UPDATE derived_token SET sealed = $1, updated = $2, version = $3 WHERE name = $4 AND version = $5"
	args := []any{sealed, database.Micros(time.Now()), version + 1, name, version}
	if version == 0 {
		query = "INSERT INTO derived_token (sealed, updated, version, name) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING"
		args = args[:4]
	}
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("writing the derived token %q: %w", name, database.Explain(err))
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(derive.ErrStale, err)
	}
	return nil
}

// derivedTopic is announced when the derived token of that name is another.
func derivedTopic(name string) string { return topicDerived + name }

// derivedOwner gives the right to mint. It implements derive.Owner.
type derivedOwner struct{ locks *database.Locks }

// Acquire waits for the right.
func (o derivedOwner) Acquire(ctx context.Context, name string) (release func(), err error) {
	return o.locks.Acquire(ctx, "mint "+name)
}

// cutDerived is the name of the derived token that a topic is about.
func cutDerived(topic string) (name string, ok bool) { return strings.CutPrefix(topic, topicDerived) }
