// Package evidence counts who uses which version of a secret, over all replicas: when an old key can be ended is
// decided by it.
//
// It sees the audit records of uses as they are written (Log) and keeps the counts in the database. A use is a
// workflow's or, where none is named, a token's. It is not the audit log: that has each use, with its time and place.
//
// What a process has counted and not written yet is lost when it is killed. Then one use more counts of everything
// (Doubt), by nobody knows whom, so that no key is ended before its whole grace time has passed since. Who can write
// the database can hide a use; counts that go down are told (rotation/run), and the grace time begins again.
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
	maxOf     = 5000  // consumers of one version in the table; further ones go under one name
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
	known := make(crowds)
	for _, k := range keys {
		one := taken[k]
		if err := known.named(ctx, tx, &k); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO secret_use (version, consumer, uses, used) VALUES ($1, $2, $3, $4)
			ON CONFLICT (version, consumer) DO UPDATE SET uses = secret_use.uses + excluded.uses,
			used = CASE WHEN secret_use.used < excluded.used THEN excluded.used ELSE secret_use.used END`,
			k.version, k.consumer, one.uses, one.last)
		if err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM secret_use WHERE used < $1", c.Now().Add(-keptFor).UnixMicro())
	return err
}

// crowds are how many consumers each version has in the table.
type crowds map[string]int

// named gives a new consumer of a version that has many already the name of all others: callers choose their names.
func (c crowds) named(ctx context.Context, tx *sql.Tx, k *key) error {
	var there int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM secret_use WHERE version = $1 AND consumer = $2", k.version,
		k.consumer).Scan(&there)
	if err != nil || there > 0 {
		return err
	}
	many, known := c[k.version]
	if !known {
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM secret_use WHERE version = $1", k.version).Scan(
			&many); err != nil {
			return err
		}
	}
	if many >= maxOf {
		k.consumer = manyOther
	} else {
		many++
	}
	c[k.version] = many
	return nil
}

// Doubt counts one use more of every version, by nobody knows whom: a process has ended without writing down what it
// had counted.
func (c *Counter) Doubt(ctx context.Context) error {
	err := c.DB.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error {
		return c.write(ctx, tx, map[key]count{{}: {1, c.Now().UnixMicro()}})
	})
	if err != nil {
		return fmt.Errorf("writing down that uses were not counted: %w", database.Explain(err))
	}
	return nil
}

// Uses returns who has used a version, as the audit log names it, the latest first. What is in doubt has no name.
func (c *Counter) Uses(ctx context.Context, version string) ([]run.Use, error) {
	if err := c.Flush(ctx); err != nil {
		return nil, err
	}
	rows, err := c.DB.QueryContext(ctx, "SELECT substr(consumer, 1, 255), uses, used FROM secret_use "+
		"WHERE version = $1 OR version = '' ORDER BY used DESC, consumer LIMIT 100000", version)
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
