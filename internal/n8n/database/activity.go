package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// sign is a column that says when n8n has last done something. What a person or a script has saved says little of a
// process.
type sign struct{ table, column string }

var signs = [...]sign{{"execution_entity", "startedAt"}, {"execution_entity", "stoppedAt"}}

// recentRows are how many of the newest executions are looked at, by the primary key: the columns have no index.
const recentRows = 1000

// LastActivity is when n8n has last begun or ended an execution, and which: table, column and id. The zero time means
// that there is none.
func (d *DB) LastActivity(ctx context.Context) (at time.Time, what string, err error) {
	conn, err := d.conn(ctx)
	if err != nil {
		return at, "", fmt.Errorf("looking for n8n's last activity: %w", d.dialect.explain(err))
	}
	defer func() { _ = conn.Close() }()
	t := &Tx{db: d, conn: conn}
	if t.tables, err = d.catalogue(ctx, conn); err != nil {
		return at, "", d.dialect.explain(err)
	}
	for _, s := range signs {
		one, id, err := t.latest(ctx, s)
		if err != nil {
			return time.Time{}, "", fmt.Errorf("looking for n8n's last activity in %s: %w", s.table,
				d.dialect.explain(err))
		}
		if one.After(at) {
			at, what = one, s.table+"."+s.column+" of "+id
		}
	}
	return at, what, nil
}

func (t *Tx) latest(ctx context.Context, s sign) (at time.Time, id string, err error) {
	have, ok := t.tables[s.table]
	if !ok || len(have.key) != 1 {
		return at, "", nil
	}
	if _, ok := have.column(s.column); !ok {
		return at, "", nil
	}
	d := t.db.dialect
	key, column := d.quote(have.key[0]), d.quote(s.column)
	from := fmt.Sprintf("(SELECT %s, %s FROM %s ORDER BY %s DESC LIMIT %d) AS recent", key, column,
		t.qualified(have), key, recentRows)
	var seconds sql.NullFloat64
	query := []string{
		"SELECT", d.read(key) + ",", d.epoch(column), "FROM", from, "WHERE", column,
		"IS NOT NULL ORDER BY", column, "DESC LIMIT 1",
	}
	err = t.conn.QueryRowContext(ctx, strings.Join(query, " ")).Scan(&id, &seconds)
	if errors.Is(err, sql.ErrNoRows) || !seconds.Valid {
		return time.Time{}, "", ignoreNoRows(err)
	}
	whole, part := math.Modf(seconds.Float64)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), id, err
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
