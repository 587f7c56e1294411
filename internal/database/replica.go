package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Replica is a running gate on this database, as it registers itself.
type Replica struct {
	ID string `json:"id"` // of one process
	// names its data directory, which one process at a time has; "" when that cannot be told
	Home    string `json:"-"`
	Host    string `json:"host"` // the machine's name
	Address string `json:"address"`
	Version string `json:"version"`
}

// Member is a registered Replica. All times are by the database's clock, and relative to the moment at which it was
// asked.
type Member struct {
	Replica

	Seen time.Duration `json:"-"` // since it was last heard of
	// until it stops accepting tokens by itself, unless it is heard of again; not above 0: it has stopped
	Accepts time.Duration `json:"-"`
	Acted   int64         `json:"acted"`
	Behind  []string      `json:"behind,omitempty"`
}

// everything stands for all topics but the urgent one.
const everything = "*"

// ActsBy tells whether the member acts by the change of topic with the number seq.
func (m *Member) ActsBy(topic string, seq int64) bool {
	return m.Acted >= seq && !slices.Contains(m.Behind, topic) &&
		(topic == Urgent || !slices.Contains(m.Behind, everything))
}

const (
	// slack is what clocks may differ in their pace, and a stopped clock's last tick: a member is taken to have stopped
	// only when its time has been over for as long.
	slack = time.Second
	// forgetAfter is when the row of a replica that did not say goodbye goes.
	forgetAfter = 24 * time.Hour
)

// clock is the database's clock in microseconds, as an expression. Replicas' clocks differ; this one they share.
func (db *DB) clock() string {
	if db.Dialect == SQLite {
		return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	}
	return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
}

// Members lists the registered replicas by host and id.
func (db *DB) Members(ctx context.Context) ([]Member, error) {
	// The rows are not authenticated, and one that someone has made up must not keep the others from being read: so
	// numbers are cast to what they ought to be, texts are cut, and nothing is calculated where it could overflow.
	rows, err := db.QueryContext(ctx,
		`SELECT substr(id, 1, 64), substr(home, 1, 64), substr(host, 1, 255), substr(address, 1, 255), substr(version, 1, 64),
		now, CAST(seen AS BIGINT), CAST(accepts_until AS BIGINT), CAST(acted AS BIGINT), substr(behind, 1, 65536)
		FROM replica, (SELECT `+db.clock()+` AS now) AS clock ORDER BY host, id`)
	if err != nil {
		return nil, db.failed(ctx, "reading the replicas", err)
	}
	defer func() { _ = rows.Close() }()
	var list []Member
	for rows.Next() {
		var m Member
		var now, seen, accepts int64
		var behind []byte
		if err := rows.Scan(&m.ID, &m.Home, &m.Host, &m.Address, &m.Version, &now, &seen, &accepts, &m.Acted,
			&behind); err != nil {
			return nil, db.failed(ctx, "reading the replicas", err)
		}
		if json.Unmarshal(behind, &m.Behind) != nil {
			m.Behind = []string{everything, Urgent} // no gate wrote this: it proves nothing
		}
		m.Seen = max(0, between(seen, now))
		m.Accepts = between(now, accepts) + slack
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, db.failed(ctx, "reading the replicas", err)
	}
	return list, nil
}

// between is the time from one moment to another, both in microseconds, but no more than a year.
func between(from, to int64) time.Duration {
	const year = 365 * 24 * time.Hour
	from, to = max(from, 0), max(to, 0) // so that the difference is in range
	return time.Duration(min(max(to-from, -year.Microseconds()), year.Microseconds())) * time.Microsecond
}

// report is what a replica writes of itself.
type report struct {
	acted   int64
	behind  []string
	accepts time.Duration // from now on, without another report
	keep    bool          // leave what was last said of that
}

// register writes the row of self, whether it is there or not.
func (db *DB) register(ctx context.Context, on *sql.Conn, self *Replica, r report) error {
	behind, err := json.Marshal(r.behind)
	if err != nil {
		return fmt.Errorf("registering this replica: %w", err)
	}
	keep, now := 0, db.clock()
	if r.keep {
		keep = 1
	}
	//nolint:gosec // now is one of two constants
	_, err = on.ExecContext(ctx,
		`INSERT INTO replica (id, home, host, address, version, started, seen, accepts_until, acted, behind)
		VALUES ($1, $2, $3, $4, $5, `+now+`, `+now+`, `+now+` + CAST($6 AS BIGINT), $7, $8)
		ON CONFLICT (id) DO UPDATE SET address = excluded.address, seen = excluded.seen, acted = excluded.acted, behind = excluded.behind,
			accepts_until = CASE WHEN CAST($9 AS BIGINT) = 1 THEN replica.accepts_until ELSE excluded.accepts_until END`,
		self.ID, self.Home, self.Host, self.Address, self.Version, r.accepts.Microseconds(), r.acted,
		string(behind), keep)
	if err != nil {
		return fmt.Errorf("registering this replica: %w", Explain(err))
	}
	return nil
}

// bury takes off the list what is dead: an earlier process on the data directory of self, which can have one only, and
// what has not been heard of for long. None of them has said goodbye; before they go, dead is told, unless it is nil.
func (db *DB) bury(ctx context.Context, on *sql.Conn, self *Replica, dead func(context.Context) error) error {
	where := " FROM replica WHERE id <> $1 AND (home = $2 AND home <> '' OR accepts_until < " + db.clock() +
		" - CAST($3 AS BIGINT))"
	args := []any{self.ID, self.Home, forgetAfter.Microseconds()}
	var many int
	if err := on.QueryRowContext(ctx, "SELECT count(*)"+where, args...).Scan(&many); err != nil {
		return fmt.Errorf("registering this replica: %w", Explain(err))
	}
	if many == 0 {
		return nil
	}
	if dead != nil {
		if err := dead(ctx); err != nil {
			return err
		}
	}
	if _, err := on.ExecContext(ctx, "DELETE"+where, args...); err != nil {
		return fmt.Errorf("registering this replica: %w", Explain(err))
	}
	return nil
}

// unregister takes a replica that has stopped off the list.
func (db *DB) unregister(ctx context.Context, id string) error {
	_, err := db.ExecContext(ctx, "DELETE FROM replica WHERE id = $1", id)
	if err != nil {
		return db.failed(ctx, "taking this replica off the list", err)
	}
	return nil
}
