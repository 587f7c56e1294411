// Package evidence counts who uses which version of a secret, over all replicas: when an old key can be ended is
// decided by it.
//
// It sees the audit records of uses as they are written (Log) and keeps the counts in the database. A use is a
// workflow's or, where none is named, a token's. It is not the audit log: that has each use, with its time and place.
//
// What a process has counted and not written yet is lost with it, at most the last seconds before a kill; and who can
// write the database can hide a use. Neither ends a key early by more than that: the grace time is counted from looks.
//
// Invariant: a use that is counted was on record before.
package evidence

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"sallyport/internal/audit"
	"sallyport/internal/database"
	"sallyport/internal/rotation/run"
)

// Topic is what the transactions claim.
const Topic = "secret_use"

const (
	maxName   = 200   // bytes of a consumer's name; callers choose it
	maxHeld   = 20000 // counts in memory between two flushes; more go under one name
	keptFor   = 400 * 24 * time.Hour
	manyOther = "others, too many to name"
)

// Log is the audit log as the pipeline writes it.
type Log interface {
	Authorise(ctx context.Context, ev *audit.Event) error
	Complete(ev *audit.Event)
	Refuse(ev *audit.Event)
}

// Counter is a Log that counts. It is safe for concurrent use.
type Counter struct {
	Log

	DB  *database.DB
	Now func() time.Time

	mu    sync.Mutex
	fresh map[key]count
}

type key struct{ version, consumer string }

type count struct{ uses, last int64 }

// Authorise implements Log.
func (c *Counter) Authorise(ctx context.Context, ev *audit.Event) error {
	err := c.Log.Authorise(ctx, ev)
	if err == nil && len(ev.Secrets) > 0 {
		c.add(ev)
	}
	return err
}

func (c *Counter) add(ev *audit.Event) {
	at := c.Now().UnixMicro()
	by := consumer(ev)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh == nil {
		c.fresh = make(map[key]count)
	}
	for _, version := range ev.Secrets {
		k := key{version, by}
		one, known := c.fresh[k]
		if !known && len(c.fresh) >= maxHeld {
			k.consumer = manyOther
			one = c.fresh[k]
		}
		c.fresh[k] = count{one.uses + 1, max(one.last, at)}
	}
}

// consumer is who uses a secret, as people know it.
func consumer(ev *audit.Event) string {
	name := "token " + ev.Label
	if ev.Workflow != "" {
		name = "workflow " + ev.Workflow
	}
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "")
}

// Flush writes what was counted since the last Flush. What could not be written is written with the next one.
func (c *Counter) Flush(ctx context.Context) error {
	c.mu.Lock()
	taken := c.fresh
	c.fresh = nil
	c.mu.Unlock()
	if len(taken) == 0 {
		return nil
	}
	err := c.DB.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error { return c.write(ctx, tx, taken) })
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fresh == nil {
		c.fresh = make(map[key]count)
	}
	for k, one := range taken {
		now := c.fresh[k]
		c.fresh[k] = count{now.uses + one.uses, max(now.last, one.last)}
	}
	return fmt.Errorf("writing who uses which version of a secret: %w", database.Explain(err))
}

func (c *Counter) write(ctx context.Context, tx *sql.Tx, taken map[key]count) error {
	keys := make([]key, 0, len(taken))
	for k := range taken {
		keys = append(keys, k)
	}
	// one order for all replicas, so that none waits for another that waits for it
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(strings.Compare(a.version, b.version), strings.Compare(a.consumer, b.consumer))
	})
	for _, k := range keys {
		_, err := tx.ExecContext(ctx, `INSERT INTO secret_use (version, consumer, uses, used) VALUES ($1, $2, $3, $4)
			ON CONFLICT (version, consumer) DO UPDATE SET uses = secret_use.uses + excluded.uses,
			used = CASE WHEN secret_use.used < excluded.used THEN excluded.used ELSE secret_use.used END`,
			k.version, k.consumer, taken[k].uses, taken[k].last)
		if err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM secret_use WHERE used < $1", c.Now().Add(-keptFor).UnixMicro())
	return err
}

// Uses returns who has used a version, as the audit log names it, the latest first.
func (c *Counter) Uses(ctx context.Context, version string) ([]run.Use, error) {
	if err := c.Flush(ctx); err != nil {
		return nil, err
	}
	rows, err := c.DB.QueryContext(ctx, "SELECT substr(consumer, 1, 255), uses, used FROM secret_use "+
		"WHERE version = $1 ORDER BY used DESC, consumer LIMIT 100000", version)
	if err != nil {
		return nil, fmt.Errorf("reading who has used %s: %w", version, database.Explain(err))
	}
	defer rows.Close() //nolint:errcheck // read only
	var list []run.Use
	for rows.Next() {
		var u run.Use
		var used int64
		if err := rows.Scan(&u.By, &u.Count, &used); err != nil {
			return nil, fmt.Errorf("reading who has used %s: %w", version, database.Explain(err))
		}
		u.Last = database.Time(used)
		list = append(list, u)
	}
	return list, rows.Err()
}
