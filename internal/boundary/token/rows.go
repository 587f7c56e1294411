package token

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"sallyport/internal/database"
)

// row is a line of table proxy_token.
type row struct {
	Generation

	hash [hashSize]byte
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func readAll(ctx context.Context, from querier) ([]row, error) {
	result, err := from.QueryContext(ctx, `SELECT id, name, number, hash, scope, pending, created, expires, retire_at, revoked, last_used, last_workflow
		FROM proxy_token`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = result.Close() }()
	var rows []row
	for result.Next() {
		r, err := scan(result)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, result.Err()
}

func scan(result *sql.Rows) (r row, err error) {
	var hash, scope []byte
	var pending int
	var created, expires, retireAt, revoked, lastUsed int64
	err = result.Scan(&r.ID, &r.Name, &r.Number, &hash, &scope, &pending, &created, &expires, &retireAt, &revoked, &lastUsed, &r.LastWorkflow)
	if err != nil {
		return row{}, err
	}
	if err := json.Unmarshal(scope, &r.Scope); err != nil {
		return row{}, fmt.Errorf("reading the scope of generation %q: %w", r.ID, err)
	}
	if copy(r.hash[:], hash) != hashSize || len(hash) != hashSize {
		return row{}, fmt.Errorf("reading generation %q: its hash has %d bytes", r.ID, len(hash))
	}
	r.Pending = pending != 0
	r.Created, r.Expires, r.RetireAt = database.Time(created), database.Time(expires), database.Time(retireAt)
	r.Revoked, r.LastUsed = database.Time(revoked), database.Time(lastUsed)
	return r, nil
}

func insert(ctx context.Context, tx *sql.Tx, r *row) error {
	scope, err := json.Marshal(r.Scope)
	if err != nil {
		return err
	}
	pending := 0
	if r.Pending {
		pending = 1
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO proxy_token (id, name, number, hash, scope, pending, created, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.ID, r.Name, r.Number, r.hash[:], string(scope), pending, database.Micros(r.Created), database.Micros(r.Expires))
	return err
}

// update writes what changes in a generation's life.
func update(ctx context.Context, tx *sql.Tx, r *row) error {
	pending := 0
	if r.Pending {
		pending = 1
	}
	_, err := tx.ExecContext(ctx, "UPDATE proxy_token SET pending = $1, retire_at = $2, revoked = $3 WHERE id = $4",
		pending, database.Micros(r.RetireAt), database.Micros(r.Revoked), r.ID)
	return err
}
