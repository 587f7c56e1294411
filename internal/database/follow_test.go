package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"
)

// replica is a Follower of a test, with what it was asked to act on.
type replica struct {
	*database.Follower

	db    *database.DB
	heard chan string
	fresh atomic.Int64 // UnixNano of what Fresh was told last
	looks atomic.Int64
	fail  atomic.Bool // Act fails
	stop  func()
}

// follow runs a Follower until the test, or stop, ends it. What it does at its start has been heard.
func follow(t *testing.T, db *database.DB, id string, maxStale time.Duration) *replica {
	t.Helper()
	r := &replica{db: db, heard: make(chan string, 1000)}
	r.Follower = &database.Follower{
		DB: db, Self: database.Replica{ID: id, Home: "home of " + id, Host: "host-" + id, Address: "127.0.0.1:1"},
		MaxStale: maxStale,
		Act: func(_ context.Context, topic string) error {
			if r.fail.Load() {
				return errors.New("no")
			}
			r.heard <- topic
			return nil
		},
		Fresh: func(at time.Time) { r.fresh.Store(at.UnixNano()); r.looks.Add(1) },
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(r.stop)
	r.expect(t, database.Urgent, "")
	return r
}

// expect waits for topics, in any order, and for no others.
func (r *replica) expect(t *testing.T, topics ...string) {
	t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for left := slices.Clone(topics); len(left) > 0; {
		select {
		case got := <-r.heard:
			i := slices.Index(left, got)
			if i < 0 {
				t.Fatalf("asked to act on %q, want %q", got, left)
			}
			left = slices.Delete(left, i, i+1)
		case <-timeout.C:
			t.Fatalf("never asked to act on %q", left)
		}
	}
}

// member is the row of the replica, as another process reads it.
func (r *replica) member(t *testing.T, db *database.DB) *database.Member {
	t.Helper()
	list, err := db.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].ID == r.Self.ID {
			return &list[i]
		}
	}
	return nil
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("within a minute it did not happen that %s", what)
		}
	}
}

func notify(t *testing.T, db *database.DB, topic string) (seq int64) {
	t.Helper()
	if err := db.Notify(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	seq, err := db.Seq(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// TestFollow: every committed change is acted on, once, and confirmed.
func TestFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db, other := migrated(t, url), open(t, url)
		r := follow(t, db, "a", time.Hour)
		_ = other.Write(t.Context(), "must not be heard", func(*sql.Tx) error { return errors.New("no") })
		for _, topic := range []string{"tokens", "secrets", "derived:lark", "store:corp", "tokens"} {
			seq := notify(t, other, topic)
			r.expect(t, topic)
			until(t, "the replica confirms "+topic, func() bool { return r.member(t, other).ActsBy(topic, seq) })
		}
		if r.member(t, other).ActsBy("tokens", 1000) {
			t.Error("it confirms what has not happened")
		}
		r.stop()
		if m := r.member(t, other); m != nil {
			t.Errorf("after its end it is on the list: %+v", m)
		}
	})
}

// TestNumbersAppearInOrder: a change that is begun earlier and committed later has the higher number.
func TestNumbersAppearInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := migrated(t, url)
		const writers, rounds = 4, 20
		var wg sync.WaitGroup
		for i := range writers {
			own := open(t, url)
			wg.Go(func() {
				for range rounds {
					before := notify(t, own, fmt.Sprint("topic", i))
					if after := notify(t, own, fmt.Sprint("topic", i)); after <= before {
						t.Errorf("number %d came after %d", after, before)
					}
				}
			})
		}
		wg.Wait()
		seen := make(map[int64]bool)
		for i := range writers {
			seq, err := db.Seq(t.Context(), fmt.Sprint("topic", i))
			if err != nil || seen[seq] {
				t.Errorf("topic %d has the number %d again, or %v", i, seq, err)
			}
			seen[seq] = true
		}
		if !seen[2*writers*rounds] {
			t.Errorf("%d changes have the numbers %v", 2*writers*rounds, seen)
		}
	})
}

// TestFailingTopic: what cannot be acted on is not confirmed, is tried again, and keeps nothing else from being
// confirmed.
func TestFailingTopic(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db, other := migrated(t, url), open(t, url)
		r := follow(t, db, "a", 3*time.Second)
		until(t, "it confirms everything", func() bool { return r.member(t, other).ActsBy("secrets", 0) })
		r.fail.Store(true)
		secrets := notify(t, other, "secrets")
		until(t, "the replica is behind with secrets", func() bool {
			return slices.Contains(r.member(t, other).Behind, "secrets")
		})
		if m := r.member(t, other); m.ActsBy("secrets", secrets) || !m.ActsBy("tokens", secrets) {
			t.Errorf("confirmed the wrong topics: %+v", m)
		}
		tokens := notify(t, other, "tokens")
		until(t, "the replica says that it has stopped accepting", func() bool {
			return r.member(t, other).Accepts <= 0
		})
		if r.member(t, other).ActsBy("tokens", tokens) {
			t.Error("it confirms tokens that it could not read")
		}
		if fresh := time.Unix(0, r.fresh.Load()); time.Since(fresh) < 3*time.Second {
			t.Errorf("it was fresh %s ago", time.Since(fresh))
		}
		r.fail.Store(false)
		r.expect(t, "tokens", "secrets")
		until(t, "both are confirmed", func() bool {
			m := r.member(t, other)
			return m.ActsBy("tokens", tokens) && m.ActsBy("secrets", secrets) && m.Accepts > 0
		})
	})
}

// TestDeaf: what a replica cannot read, or not write, is told from the next look on, and no longer than that.
func TestDeaf(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db, other := migrated(t, url), open(t, url)
		r := follow(t, db, "a", time.Hour)
		r.fail.Store(true)
		notify(t, other, "tokens")
		until(t, "it says that the tokens cannot be read", func() bool { return db.Deaf() != nil })
		r.fail.Store(false)
		r.expect(t, "tokens")
		until(t, "it says nothing more", func() bool { return db.Deaf() == nil })
	})
}

// TestDeafOnSQLite: a file that is away, one in its place, and one that cannot be written.
func TestDeafOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := migrated(t, path)
	r := follow(t, db, "a", 500*time.Millisecond)
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rename(path, path+".away")
	until(t, "it says that the file is away", func() bool { return errors.Is(db.Deaf(), fs.ErrNotExist) })
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "it says that another is in its place", func() bool {
		err := db.Deaf()
		return err != nil && strings.Contains(err.Error(), "another file") &&
			strings.Contains(fault.HintOf(err), "restart")
	})
	before := time.Now().UnixNano()
	rename(path+".away", path)
	r.expect(t, database.Urgent, "") // whatever was missed
	until(t, "it is fresh and says nothing more", func() bool { return db.Deaf() == nil && r.fresh.Load() > before })

	if _, err := db.Exec(
		"CREATE TRIGGER full BEFORE UPDATE ON replica BEGIN SELECT RAISE(FAIL, 'no room'); END"); err != nil {
		t.Fatal(err)
	}
	before = time.Now().UnixNano()
	until(t, "it says that it cannot write, and is fresh", func() bool {
		err := db.Deaf()
		return err != nil && strings.Contains(err.Error(), "no room") && r.fresh.Load() > before
	})
	if _, err := db.Exec("DROP TRIGGER full"); err != nil {
		t.Fatal(err)
	}
	until(t, "it says nothing more", func() bool { return db.Deaf() == nil })
}

// TestRestoredDatabase: numbers that went back mean another database; everything is read again.
func TestRestoredDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db, other := migrated(t, url), open(t, url)
		r := follow(t, db, "a", time.Hour)
		notify(t, other, "secrets")
		notify(t, other, "secrets")
		r.expect(t, "secrets")
		for len(r.heard) > 0 {
			<-r.heard // the second may have been one with the first
		}
		if _, err := other.Exec("DELETE FROM change"); err != nil {
			t.Fatal(err)
		}
		r.expect(t, database.Urgent, "")
	})
}

// TestEarlierProcessIsBuried: a killed process is not waited for once another runs on its data directory.
func TestEarlierProcessIsBuried(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := migrated(t, url)
		_, err := db.Exec(
			`INSERT INTO replica (id, home, host, address, version, started, seen, accepts_until, acted, behind)
			VALUES ('killed', 'home of a', '', '', '', 0, 9e15, 9e15, 0, '[]'), ('elsewhere', '', '', '', '', 0, 9e15, 9e15, 0, '[]'), ('old', '', '', '', '', 0, 0, 0, 0, '[]')`)
		if err != nil {
			t.Fatal(err)
		}
		follow(t, db, "a", time.Hour)
		list, err := db.Members(t.Context())
		var ids []string
		for _, m := range list {
			ids = append(ids, m.ID)
		}
		if slices.Sort(ids); err != nil || !slices.Equal(ids, []string{"a", "elsewhere"}) {
			t.Errorf("on the list are %q, %v", ids, err)
		}
	})
}

// TestNoticeIsAHint: a notification from anybody has the numbers read and nothing else, and a storm of them does not
// have them read without end.
func TestNoticeIsAHint(t *testing.T) {
	url := postgres.URL(t)
	db, other := migrated(t, url), open(t, url)
	r := follow(t, db, "a", time.Hour)
	began, before := time.Now(), r.looks.Load()
	for i := range 200 {
		if _, err := other.Exec("SELECT pg_notify('sallyport', $1 || g) FROM generate_series(1, 100) AS g",
			fmt.Sprint(i, "tokens ")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec("SELECT pg_notify('sallyport', 'tokens')"); err != nil {
		t.Fatal(err)
	}
	looks := r.looks.Load() - before
	if allowed := int64(time.Since(began)/(50*time.Millisecond)) + 3; looks > allowed {
		t.Errorf("20,000 notifications in %s made it look %d times, more than %d", time.Since(began), looks, allowed)
	}
	seq := notify(t, other, "tokens")
	r.expect(t, "tokens") // the one that is true, and no other
	until(t, "the change is confirmed", func() bool { return r.member(t, other).ActsBy("tokens", seq) })
}

// TestLostConnections: however the way to PostgreSQL is lost, changes are acted on soon after it is back, or, where a
// new connection works, without that.
func TestLostConnections(t *testing.T) {
	url := postgres.URL(t)
	other := migrated(t, url)
	link, through := postgres.Through(t, url)
	r := follow(t, open(t, through), "a", time.Hour)
	for _, c := range []struct {
		name      string
		lose, fix func()
	}{
		{"closed", link.Sever, func() {}},
		{"half open", link.StallOpen, func() {}},
		{"refused", link.Cut, link.Heal},
		{"stalled", link.Stall, link.Heal},
	} {
		c.lose()
		seq := notify(t, other, "derived:"+c.name)
		c.fix()
		began := time.Now()
		until(t, c.name+": the change is confirmed", func() bool {
			return r.member(t, other).ActsBy("derived:"+c.name, seq)
		})
		t.Logf("%s: confirmed after %s", c.name, time.Since(began).Round(10*time.Millisecond))
	}
}

// TestNotificationLost: a change without its notification is found at the next look.
func TestNotificationLost(t *testing.T) {
	url := postgres.URL(t)
	db, other := migrated(t, url), open(t, url)
	r := follow(t, db, "a", time.Hour)
	if _, err := other.Exec("INSERT INTO change (topic, seq) VALUES ('', 7), ('tokens', 7)"); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "tokens")
	until(t, "the change is confirmed", func() bool { return r.member(t, other).ActsBy("tokens", 7) })
}

// TestFreshness: a replica that cannot read, or not write, is fresh no more, and its row says so by the database's
// clock.
func TestFreshness(t *testing.T) {
	url := postgres.URL(t)
	other := migrated(t, url)
	link, through := postgres.Through(t, url)
	r := follow(t, open(t, through), "a", 2*time.Second)
	fresh := func() time.Time { return time.Unix(0, r.fresh.Load()) }
	link.Stall()
	cut := time.Now()
	until(t, "the row says that it has stopped", func() bool { return r.member(t, other).Accepts <= 0 })
	if fresh().After(cut) {
		t.Error("it was fresh after the cut")
	}
	link.Heal()
	healed := time.Now()
	until(t, "it is fresh again", func() bool { return fresh().After(healed) && r.member(t, other).Accepts > 0 })

	// A server that has become a standby.
	var name string
	if err := other.QueryRow("SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec("ALTER DATABASE " + name + " SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	link.Sever()
	until(t, "the row says that it has stopped", func() bool { return r.member(t, other).Accepts <= 0 })
	if left := 2*time.Second - time.Since(fresh()); left > 0 {
		t.Errorf("it counts as stopped %s before it stops", left)
	}
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec("SET TRANSACTION READ WRITE")
	_, alter := tx.Exec("ALTER DATABASE " + name + " RESET default_transaction_read_only")
	if err := errors.Join(err, alter, tx.Commit()); err != nil {
		t.Fatal(err)
	}
	link.Sever()
	healed = time.Now()
	until(t, "it is fresh again", func() bool { return fresh().After(healed) && r.member(t, other).Accepts > 0 })
}
