package probe

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"sallyport/internal/database"
)

// topic is what the transactions claim.
const topic = "probe"

const (
	forgotten = 30 * 24 * time.Hour // rows of services that nobody probes any more
	maxRows   = 100_000
)

// rows are the table that replicas share.
type rows struct {
	db    *database.DB
	key   []byte
	owner string
}

// row is one service's.
type row struct {
	due, holds time.Time
	owner      string
	result     *Result // nil: there is none, or no replica has written it
}

// free tells whether a probe may be begun. A claim, or a due time, that lies further ahead than any gate sets it is
// nobody's.
func (r *row) free(now time.Time, every time.Duration) bool {
	claimed := r.owner != "" && now.Before(r.holds) && r.holds.Before(now.Add(2*claimFor))
	wait := now.Before(r.due) && r.due.Before(now.Add(maxWait+2*every))
	return !claimed && !wait
}

// all are the rows by service.
func (t *rows) all(ctx context.Context) (map[string]row, error) {
	list, err := t.db.QueryContext(ctx, `SELECT service, due, substr(owner, 1, 64), holds, body, mac FROM probe
		WHERE length(service) <= 63 AND length(body) <= 4096 AND length(mac) <= 64 LIMIT $1`, maxRows)
	if err != nil {
		return nil, fmt.Errorf("reading the probes: %w", database.Explain(err))
	}
	defer list.Close() //nolint:errcheck // read only
	known := make(map[string]row)
	for list.Next() {
		var name, owner, body string
		var due, holds int64
		var mac []byte
		if err := list.Scan(&name, &due, &owner, &holds, &body, &mac); err != nil {
			return nil, fmt.Errorf("reading the probes: %w", database.Explain(err))
		}
		one := row{due: time.UnixMicro(due), holds: time.UnixMicro(holds), owner: owner}
		result := new(Result)
		if body != "" && hmac.Equal(mac, t.mac(name, body)) && json.Unmarshal([]byte(body), result) == nil {
			one.result = result
		}
		known[name] = one
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("reading the probes: %w", database.Explain(err))
	}
	return known, nil
}

// claim makes this replica the one that probes a service, unless its row is no longer as it was seen.
func (t *rows) claim(ctx context.Context, name string, seen row, now time.Time) (ours bool, err error) {
	err = t.db.WriteQuietly(ctx, topic, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM probe WHERE due < $1 AND service <> $2",
			now.Add(-forgotten).UnixMicro(), name); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `INSERT INTO probe (service, due, owner, holds, body, mac)
			VALUES ($1, $2, $3, $4, '', $5)
			ON CONFLICT (service) DO UPDATE SET owner = excluded.owner, holds = excluded.holds
			WHERE probe.due = $6 AND substr(probe.owner, 1, 64) = $7 AND probe.holds = $8`,
			name, now.UnixMicro(), t.owner, now.Add(claimFor).UnixMicro(), []byte{},
			seen.due.UnixMicro(), seen.owner, seen.holds.UnixMicro())
		if err != nil {
			return err
		}
		changed, err := done.RowsAffected()
		ours = changed > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claiming the probe of %q: %w", name, database.Explain(err))
	}
	return ours, nil
}

// save writes a result, unless another replica has taken the probe over.
func (t *rows) save(ctx context.Context, name string, r *Result, due time.Time) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = t.db.WriteQuietly(ctx, topic, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE probe SET due = $1, owner = '', holds = 0, body = $2, mac = $3
			WHERE service = $4 AND owner = $5`, due.UnixMicro(), string(body), t.mac(name, string(body)), name, t.owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the probe of %q: %w", name, database.Explain(err))
	}
	return nil
}

// mac authenticates a result as that of a service.
func (t *rows) mac(name, body string) []byte {
	h := hmac.New(sha256.New, t.key)
	for _, one := range []string{name, body} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(one))))
		h.Write([]byte(one))
	}
	return h.Sum(nil)
}
