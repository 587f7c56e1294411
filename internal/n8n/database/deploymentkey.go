package database

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
)

const deploymentKeys = "deployment_key"

// DeploymentKeyRow is a row of deployment_key: a secret that is wrapped under the master key.
type DeploymentKeyRow struct {
	ID string
	cipher.DeploymentKey

	Status string // "active" or "inactive"; of most types there is one active row at most
}

// DeploymentKeys returns all rows, by type and id; nil when there is no such table, as before n8n 2.20.
func (t *Tx) DeploymentKeys(ctx context.Context) ([]DeploymentKeyRow, error) {
	have, ok := t.tables[deploymentKeys]
	if !ok {
		return nil, nil
	}
	names := make([]string, 0, 5)
	for _, name := range []string{"id", "type", "algorithm", "value", "status"} {
		names = append(names, t.db.dialect.quote(name))
	}
	rows, err := t.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s ORDER BY 2, 1", strings.Join(names, ", "),
		t.qualified(have)))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", deploymentKeys, t.db.dialect.explain(err))
	}
	defer func() { _ = rows.Close() }()
	var keys []DeploymentKeyRow
	for rows.Next() {
		var key DeploymentKeyRow
		var algorithm sql.NullString
		var value []byte
		if err := rows.Scan(&key.ID, &key.Type, &algorithm, &value, &key.Status); err != nil {
			return nil, fmt.Errorf("reading %s: %w", deploymentKeys, t.db.dialect.explain(err))
		}
		key.Algorithm, key.Value = algorithm.String, secret.NewValue(value)
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", deploymentKeys, t.db.dialect.explain(err))
	}
	return keys, nil
}

// SetDeploymentKey writes a row's value.
func (t *Tx) SetDeploymentKey(ctx context.Context, id, value string) error {
	return t.setDeploymentKey(ctx, id, "value", value)
}

// SetDeploymentKeyStatus writes a row's status. A row that takes over as the active one of its type comes last: first
// the other is made inactive.
func (t *Tx) SetDeploymentKeyStatus(ctx context.Context, id, status string) error {
	return t.setDeploymentKey(ctx, id, "status", status)
}

func (t *Tx) setDeploymentKey(ctx context.Context, id, column, value string) error {
	d := t.db.dialect
	return t.oneDeploymentKey(ctx, "writing", "UPDATE %s SET "+d.quote(column)+" = "+d.bind(1)+" WHERE "+d.quote("id")+
		" = "+d.bind(2), value, id)
}

// RemoveDeploymentKey deletes a row: only what AddDeploymentKey has added should go.
func (t *Tx) RemoveDeploymentKey(ctx context.Context, id string) error {
	d := t.db.dialect
	return t.oneDeploymentKey(ctx, "removing", "DELETE FROM %s WHERE "+d.quote("id")+" = "+d.bind(1), id)
}

// AddDeploymentKey adds a row, made and changed now. The algorithm "" is NULL.
func (t *Tx) AddDeploymentKey(ctx context.Context, row DeploymentKeyRow) error {
	d := t.db.dialect
	names, binds := []string{"id", "type", "value", "algorithm", "status"}, make([]string, 5)
	for i := range names {
		names[i], binds[i] = d.quote(names[i]), d.bind(i+1)
	}
	return t.oneDeploymentKey(ctx, "adding to", "INSERT INTO %s ("+strings.Join(names, ", ")+") VALUES ("+
		strings.Join(binds, ", ")+")",
		row.ID, row.Type, string(row.Value.Reveal()),
		sql.NullString{String: row.Algorithm, Valid: row.Algorithm != ""}, row.Status)
}

// oneDeploymentKey runs a statement that has to hit one row.
func (t *Tx) oneDeploymentKey(ctx context.Context, doing, statement string, args ...any) error {
	have, ok := t.tables[deploymentKeys]
	if !ok {
		return fmt.Errorf("%s %s: there is no such table", doing, deploymentKeys)
	}
	result, err := t.conn.ExecContext(ctx, fmt.Sprintf(statement, t.qualified(have)), slices.Clone(args)...)
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, deploymentKeys, t.db.dialect.explain(err))
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("%s %s: %d rows were there", doing, deploymentKeys, n)
	}
	return nil
}
