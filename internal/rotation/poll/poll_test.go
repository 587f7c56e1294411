package poll_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/internal/database"
	"sallyport/internal/rotation/poll"
)

// hour is when a replica stops accepting tokens that is there for the whole of a test.
const hour = time.Hour

func open(t *testing.T) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func exec(t *testing.T, db *database.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// member puts a replica on the list that stops accepting tokens after a time.
func member(t *testing.T, db *database.DB, id string, accepts time.Duration) {
	t.Helper()
	now := time.Now()
	exec(t, db, `INSERT INTO replica (id, home, host, address, version, started, seen, accepts_until, acted, behind)
		VALUES ($1, '', $2, 'a:1', 'test', $3, $3, $4, 0, '[]')`, id, "host-"+id, now.UnixMicro(),
		now.Add(accepts).UnixMicro())
}

func of(db *database.DB, key string) *poll.Poll {
	return &poll.Poll{DB: db, Key: []byte(key), Now: time.Now}
}

// ask asks, and has during run while the question is open.
func ask(t *testing.T, p *poll.Poll, patience time.Duration, during func(q poll.Question)) []poll.Answer {
	t.Helper()
	p.Wake = func() {
		list, err := p.Open(t.Context(), "asker")
		if err != nil || len(list) != 1 {
			t.Fatalf("open are %+v (%v)", list, err)
		}
		during(list[0])
	}
	list, err := p.Ask(t.Context(), poll.Question{Rotation: "crm", Run: "r1", About: "test"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func text(list []poll.Answer) string {
	var b strings.Builder
	for _, a := range list {
		fmt.Fprintf(&b, "%s: %q %t\n", a.Replica, a.Failure, a.None)
	}
	return b.String()
}

// TestAsk: every live replica answers, and what it says is its own; one that has stopped is not waited for, and one
// that is silent is named.
func TestAsk(t *testing.T) {
	db := open(t)
	p := of(db, "key")
	member(t, db, "a", hour)
	member(t, db, "b", hour)
	member(t, db, "stopped", -hour)
	list := ask(t, p, hour, func(q poll.Question) {
		if q.Rotation != "crm" || q.Run != "r1" || q.About != "test" {
			t.Errorf("the question is %+v", q)
		}
		for id, failure := range map[string]string{"a": "", "b": "the API answered 401"} {
			if err := p.Answer(t.Context(), q, id, failure); err != nil {
				t.Error(err)
			}
			if left, err := p.Open(t.Context(), id); err != nil || len(left) != 0 {
				t.Errorf("%s is asked again: %+v (%v)", id, left, err)
			}
		}
	})
	want := "host-a at a:1: \"\" false\nhost-b at a:1: \"the API answered 401\" false\n"
	if got := text(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	silent := ask(t, p, 0, func(poll.Question) {})
	if len(silent) != 2 || !silent[0].None || !silent[1].None || silent[0].Failure == "" {
		t.Errorf("of silent replicas: %s", text(silent))
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM rotation_question) + "+
		"(SELECT count(*) FROM rotation_answer)").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left (%v)", rows, err)
	}
}

// TestNobodyIsThere: without a replica on the list nothing is known.
func TestNobodyIsThere(t *testing.T) {
	db := open(t)
	member(t, db, "stopped", -hour)
	if _, err := of(db, "key").Ask(t.Context(), poll.Question{}, hour); err == nil {
		t.Error("got an answer of nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	member(t, db, "silent", hour)
	p := of(db, "key")
	p.Wake = cancel
	if _, err := p.Ask(ctx, poll.Question{}, hour); err == nil {
		t.Error("who asked went away, and got an answer")
	}
}

// TestForgedAnswers: who writes the database without the key says nothing for a replica: not by an answer of its own,
// not by an altered one, not by one that was given to another question or by another replica.
func TestForgedAnswers(t *testing.T) {
	db := open(t)
	p := of(db, "key")
	for _, id := range []string{"altered", "moved", "none", "other"} {
		member(t, db, id, hour)
	}
	var earlier []byte // a replica's answer to an earlier question
	answered := func(q poll.Question, id string) (mac []byte) {
		if err := p.Answer(t.Context(), q, id, ""); err != nil {
			t.Error(err)
		}
		if err := db.QueryRowContext(t.Context(),
			"SELECT mac FROM rotation_answer WHERE question = $1 AND replica = $2", q.ID, id).Scan(&mac); err != nil {
			t.Error(err)
		}
		return mac
	}
	ask(t, p, 0, func(q poll.Question) { earlier = answered(q, "none") })
	list := ask(t, p, 0, func(q poll.Question) {
		forge := func(id, failure string, mac []byte) {
			err := db.WriteQuietly(t.Context(), poll.Topic, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), `INSERT INTO rotation_answer (question, replica, failure, mac)
					VALUES ($1, $2, $3, $4) ON CONFLICT (question, replica) DO UPDATE SET failure = excluded.failure`,
					q.ID, id, failure, mac)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		genuine := answered(q, "other")
		forge("none", "", earlier)
		forge("moved", "", genuine)
		if err := of(db, "key").Answer(t.Context(), q, "altered", "the API answered 401"); err != nil {
			t.Error(err)
		}
		forge("altered", "", []byte{})
		if err := of(db, "another key").Answer(t.Context(), q, "moved", ""); err != nil {
			t.Error(err)
		}
	})
	for _, a := range list {
		if good := a.Failure == ""; good != strings.Contains(a.Replica, "other") {
			t.Errorf("%s: %q counts", a.Replica, a.Failure)
		}
	}
	if len(list) != 4 {
		t.Errorf("got %s", text(list))
	}
}

// TestForgedQuestions: a question that nobody with the key has asked is not answered.
func TestForgedQuestions(t *testing.T) {
	db := open(t)
	p := of(db, "key")
	member(t, db, "a", hour)
	ask(t, p, 0, func(q poll.Question) {
		exec(t, db, `INSERT INTO rotation_question (id, asked, body, mac)
			SELECT 'copy', asked, body, mac FROM rotation_question`)
		exec(t, db, `INSERT INTO rotation_question (id, asked, body, mac)
			SELECT 'made-up', asked, '{"rotation": "crm", "about": "test"}', mac FROM rotation_question WHERE id = $1`, q.ID)
		exec(t, db, `UPDATE rotation_question SET body = replace(body, 'crm', 'erp') WHERE id = $1`, q.ID)
		if list, err := p.Open(t.Context(), "a"); err != nil || len(list) != 0 {
			t.Errorf("asked is %+v (%v)", list, err)
		}
	})
}

// TestHostileAnswers: whatever a failure says, it is stored within bounds and can be read.
func TestHostileAnswers(t *testing.T) {
	db := open(t)
	p := of(db, "key")
	member(t, db, "a", hour)
	list := ask(t, p, hour, func(q poll.Question) {
		if err := p.Answer(t.Context(), q, "a", "\x00\xff"+strings.Repeat("ü", 10000)); err != nil {
			t.Error(err)
		}
	})
	if len(list) != 1 || list[0].None || len(list[0].Failure) > 2048 || list[0].Failure == "" ||
		strings.Contains(list[0].Failure, "\x00") || !utf8.ValidString(list[0].Failure) {
		t.Errorf("got %s", text(list))
	}
}
