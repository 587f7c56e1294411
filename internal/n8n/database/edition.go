package database

import (
	"context"
	"errors"
	"fmt"
)

// The lines of versions that differ in what they encrypt.
const (
	Line1      = "1.x"
	Line2Early = "2.x before 2.20"
	Line2      = "2.20 or later"
)

// The newest migrations that were looked at for the inventory: n8n 1.123.81's and 2.41.1's, by their timestamps.
const (
	newest1 = 1784000000004
	newest2 = 1789995003141
	// begins2 is a migration that 2.0 brought and 1.x never had.
	begins2 = 1763048000000
)

// Edition is what the database says of the n8n that wrote it.
type Edition struct {
	Migration      string // the newest by its timestamp: its name
	Line           string // Line1, Line2Early, Line2
	DeploymentKeys bool   // there is a table deployment_key
	Newer          bool   // it has a migration newer than those that the inventory is known to be right for
}

// Edition reads n8n's table of migrations.
func (d *DB) Edition(ctx context.Context) (e Edition, err error) {
	conn, err := d.conn(ctx)
	if err == nil {
		defer func() { _ = conn.Close() }()
		t := &Tx{db: d, conn: conn}
		if t.tables, err = d.catalogue(ctx, conn); err == nil {
			e, err = t.edition(ctx)
		}
	}
	if err != nil {
		return Edition{}, fmt.Errorf("finding out n8n's version: %w", d.dialect.explain(err))
	}
	return e, nil
}

func (t *Tx) edition(ctx context.Context) (e Edition, err error) {
	d := t.db.dialect
	rows, err := t.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM %s ORDER BY 1", d.quote("timestamp"),
		d.quote("name"), t.qualified(t.tables["migrations"])))
	if err != nil {
		return e, err
	}
	defer func() { _ = rows.Close() }()
	var newest int64
	second := false
	for rows.Next() {
		if err := rows.Scan(&newest, &e.Migration); err != nil {
			return e, err
		}
		second = second || newest == begins2
	}
	if err := rows.Err(); err != nil {
		return e, err
	}
	if newest == 0 {
		return e, errors.New("no migration of it is recorded")
	}
	_, e.DeploymentKeys = t.tables[deploymentKeys]
	switch {
	case e.DeploymentKeys:
		e.Line, e.Newer = Line2, newest > newest2
	case second:
		e.Line, e.Newer = Line2Early, newest > newest2
	default:
		e.Line, e.Newer = Line1, newest > newest1
	}
	return e, nil
}
