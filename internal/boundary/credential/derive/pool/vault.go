package pool

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

// sealKind is the kind under which derived tokens are sealed.
const sealKind = "derived-token"

// vault keeps derived tokens in the database, sealed.
type vault struct {
	db     *database.DB
	sealer *seal.Sealer
}

// NewVault returns a derive.Vault in a database. Each change is announced under Topic.
func NewVault(db *database.DB, sealer *seal.Sealer) derive.Vault { return &vault{db, sealer} }

// Load returns the State of that name.
func (v *vault) Load(ctx context.Context, name string) (derive.State, int64, error) {
	var version int64
	var sealed []byte
	err := v.db.QueryRowContext(ctx, "SELECT version, sealed FROM derived_token WHERE name = $1",
		name).Scan(&version, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return derive.State{}, 0, nil
	case err != nil:
		return derive.State{}, 0, fmt.Errorf("reading the derived token %q: %w", name, database.Explain(err))
	}
	plain, err := v.sealer.Unseal(sealKind, name, int(version), sealed)
	if err != nil {
		return derive.State{}, 0, err
	}
	defer clear(plain)
	s, err := derive.ReadState(plain)
	return s, version, err
}

// Save replaces the State of that name, if it has still the version that was loaded.
func (v *vault) Save(ctx context.Context, name string, s derive.State, version int64) error {
	plain, err := s.Plain()
	if err != nil {
		return fmt.Errorf("writing the derived token %q: %w", name, err)
	}
	defer clear(plain)
	sealed, err := v.sealer.Seal(sealKind, name, int(version+1), plain)
	if err != nil {
		return err
	}
	write := v.db.Write
	if !s.Spending.IsZero() {
		write = v.db.WriteQuietly // nobody can use a mark
	}
	return write(ctx, Topic(name), func(tx *sql.Tx) error { return replace(ctx, tx, name, version, sealed) })
}

func replace(ctx context.Context, tx *sql.Tx, name string, version int64, sealed []byte) error {
	query := "UPDATE derived_token SET sealed = $1, updated = $2, version = $3 WHERE name = $4 AND version = $5"
	args := []any{sealed, database.Micros(time.Now()), version + 1, name, version}
	if version == 0 {
		query = "INSERT INTO derived_token (sealed, updated, version, name) VALUES ($1, $2, $3, $4) ON CONFLICT " +
			"(name) DO NOTHING"
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

// topic is what a Topic begins with.
const topic = "derived:"

// Topic is announced when there is another record of the derived token of that name. The audit log calls the token so,
// too.
func Topic(name string) string { return topic + name }

// CutTopic is the name of the derived token that t is about.
func CutTopic(t string) (name string, ok bool) { return strings.CutPrefix(t, topic) }

// owner gives the right to mint.
type owner struct{ locks *database.Locks }

// NewOwner returns a derive.Owner: of all processes on a database one has the right to mint a token.
func NewOwner(locks *database.Locks) derive.Owner { return owner{locks} }

// Acquire waits for the right.
func (o owner) Acquire(ctx context.Context, name string) (release func(), err error) {
	return o.locks.Acquire(ctx, "mint "+name)
}
