// Package poll asks every replica something, and collects what each answers: whether a new value works from where it
// runs, and whether it uses a version.
//
// Question and answers are rows of the database. A replica that is on the list (database.Members) and accepts tokens is
// waited for until it has answered or has stopped accepting by itself; who has not answered in time is named. One
// replica is no special case: the one that asks answers like any other.
//
// It does not know what is asked. No question has a value of a secret.
//
// Invariant: an answer counts only if a replica that has the seal key has given it to this very question.
package poll

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/pause"
)

// Topic announces a question.
const Topic = "rotation_question"

const (
	lookFirst   = 20 * time.Millisecond // how soon answers are looked for again
	lookLongest = 500 * time.Millisecond
	keptFor     = time.Hour // questions of processes that have ended
	maxFailure  = 2048      // bytes
)

// Question is what is asked.
type Question struct {
	ID       string `json:"id"` // set by Ask
	Rotation string `json:"rotation"`
	Run      string `json:"run"`
	About    string `json:"about"`   // what is asked, as who answers knows it
	Version  string `json:"version"` // of the secret, where it is about one
}

// Answer is one replica's.
type Answer struct {
	Replica string // as people know it
	Failure string // "" is a success
	None    bool   // it has not answered; Failure says so
}

// Poll asks and answers. It is safe for concurrent use.
type Poll struct {
	DB  *database.DB
	Key []byte // authenticates rows; all replicas have it
	Now func() time.Time
	// tells this process that there is a question; may be nil
	Wake func()
}

// Ask asks every live replica, and returns an answer of each, by its name. Those that have not answered after patience
// are named all the same. An error means that nothing is known.
func (p *Poll) Ask(ctx context.Context, q Question, patience time.Duration) ([]Answer, error) {
	q.ID = strings.ToLower(rand.Text())
	if err := p.put(ctx, &q); err != nil {
		return nil, fmt.Errorf("asking the replicas: %w", database.Explain(err))
	}
	defer p.drop(context.WithoutCancel(ctx), q.ID)
	if p.Wake != nil {
		p.Wake()
	}
	waited := time.Duration(0)
	for between := lookFirst; ; between = min(2*between, lookLongest) {
		members, err := p.DB.Members(ctx)
		if err != nil {
			return nil, err
		}
		given, err := p.answers(ctx, q.ID)
		if err != nil {
			return nil, fmt.Errorf("reading the replicas' answers: %w", database.Explain(err))
		}
		list, missing := collect(members, given)
		switch {
		case len(list) == 0:
			return nil, errors.New("asking the replicas: none is registered in the database")
		case missing == 0 || waited >= patience:
			return list, nil
		}
		if err := pause.For(ctx, between); err != nil {
			return nil, err
		}
		waited += between
	}
}

// collect sorts the answers by replica.
func collect(members []database.Member, given map[string]string) (list []Answer, missing int) {
	for i := range members {
		m := &members[i]
		name := printable(m.Host) + " at " + printable(m.Address)
		failure, there := given[m.ID]
		switch {
		case there:
			list = append(list, Answer{Replica: name, Failure: failure})
		case m.Accepts <= 0: // it has stopped, and uses nothing
		default:
			missing++
			list = append(list, Answer{
				Replica: name, None: true,
				Failure: "no answer; last seen " + m.Seen.Round(time.Second).String() + " ago",
			})
		}
	}
	slices.SortFunc(list, func(a, b Answer) int { return strings.Compare(a.Replica, b.Replica) })
	return list, missing
}

// printable escapes what a terminal would act on.
func printable(s string) string { return strings.Trim(strconv.QuoteToASCII(s), `"`) }

func (p *Poll) put(ctx context.Context, q *Question) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	now := p.Now()
	return p.DB.Write(ctx, Topic, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM rotation_answer WHERE question IN "+
			"(SELECT id FROM rotation_question WHERE asked < $1)", now.Add(-keptFor).UnixMicro())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM rotation_question WHERE asked < $1", now.Add(-keptFor).UnixMicro())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO rotation_question (id, asked, body, mac) VALUES ($1, $2, $3, $4)",
			q.ID, now.UnixMicro(), string(body), p.mac("question", q.ID, string(body)))
		return err
	})
}

// drop forgets a question. What stays of it goes with the next one that is asked an hour later.
func (p *Poll) drop(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = p.DB.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM rotation_answer WHERE question = $1", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM rotation_question WHERE id = $1", id)
		return err
	})
}

// answers are those that are authentic, by replica.
func (p *Poll) answers(ctx context.Context, id string) (map[string]string, error) {
	rows, err := p.DB.QueryContext(ctx, "SELECT substr(replica, 1, 64), substr(failure, 1, 4096), mac "+
		"FROM rotation_answer WHERE question = $1 AND length(mac) <= 64 LIMIT 10000", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read only
	given := make(map[string]string)
	for rows.Next() {
		var replica, failure string
		var mac []byte
		if err := rows.Scan(&replica, &failure, &mac); err != nil {
			return nil, err
		}
		if hmac.Equal(mac, p.mac("answer", id, replica, failure)) {
			given[replica] = failure
		}
	}
	return given, rows.Err()
}

// Open returns the questions that a replica has not answered.
func (p *Poll) Open(ctx context.Context, replica string) ([]Question, error) {
	rows, err := p.DB.QueryContext(ctx, `SELECT id, body, mac FROM rotation_question
		WHERE length(id) <= 64 AND length(body) <= 4096 AND length(mac) <= 64 AND asked > $2
		AND NOT EXISTS (SELECT 1 FROM rotation_answer WHERE question = id AND replica = $1) LIMIT 1000`,
		replica, p.Now().Add(-keptFor).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("reading what the replicas are asked: %w", database.Explain(err))
	}
	defer rows.Close() //nolint:errcheck // read only
	var list []Question
	for rows.Next() {
		var id, body string
		var mac []byte
		if err := rows.Scan(&id, &body, &mac); err != nil {
			return nil, fmt.Errorf("reading what the replicas are asked: %w", database.Explain(err))
		}
		var q Question
		if hmac.Equal(mac, p.mac("question", id, body)) && json.Unmarshal([]byte(body), &q) == nil {
			list = append(list, q)
		}
	}
	return list, rows.Err()
}

// Answer gives a replica's answer to a question. failure never has a value of a secret.
func (p *Poll) Answer(ctx context.Context, q Question, replica, failure string) error {
	failure = strings.ToValidUTF8(strings.ReplaceAll(failure, "\x00", ""), "")
	failure = strings.ToValidUTF8(failure[:min(len(failure), maxFailure)], "")
	err := p.DB.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO rotation_answer (question, replica, failure, mac)
			VALUES ($1, $2, $3, $4)
			ON CONFLICT (question, replica) DO UPDATE SET failure = excluded.failure, mac = excluded.mac`,
			q.ID, replica, failure, p.mac("answer", q.ID, replica, failure))
		return err
	})
	if err != nil {
		return fmt.Errorf("answering what the replicas are asked: %w", database.Explain(err))
	}
	return nil
}

// mac authenticates fields, each with its length before it.
func (p *Poll) mac(fields ...string) []byte {
	h := hmac.New(sha256.New, p.Key)
	for _, one := range fields {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(one))))
		h.Write([]byte(one))
	}
	return h.Sum(nil)
}
