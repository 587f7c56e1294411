package database_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/database"
)

func locks(t *testing.T, db *database.DB) *database.Locks {
	t.Helper()
	l := db.NewLocks()
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func take(t *testing.T, l *database.Locks, name string) (release func()) {
	t.Helper()
	release, err := l.Acquire(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// TestLocksHaveOneHolder counts without any other protection than the lock, in several goroutines of several processes'
// Locks.
func TestLocksHaveOneHolder(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		replicas := []*database.Locks{locks(t, open(t, url))}
		if strings.HasPrefix(url, "postgres") {
			replicas = append(replicas, locks(t, open(t, url)), locks(t, open(t, url)))
		}
		const goroutines, rounds = 3, 5
		holders := make(chan struct{}, 1)
		var wg sync.WaitGroup
		for _, l := range replicas {
			for range goroutines {
				wg.Go(func() {
					for range rounds {
						release := take(t, l, "lark")
						select {
						case holders <- struct{}{}:
						default:
							t.Error("two had the lock at once")
						}
						other := take(t, l, "another name")
						other()
						<-holders
						release()
						release() // again: it must not take the lock from someone else
					}
				})
			}
		}
		wg.Wait()
	})
}

func TestLocksDoNotWaitLongerThanTheCaller(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		db := open(t, url)
		l, other := locks(t, db), locks(t, db)
		defer take(t, l, "lark")()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for _, waiter := range []*database.Locks{l, other} {
			if waiter == other && db.Dialect == database.SQLite {
				continue // there, locks are of one Locks
			}
			if _, err := waiter.Acquire(ctx, "lark"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's end", err)
			}
		}
		defer take(t, l, "mill")() // the connection is as good as before
	})
}

// TestLocksLeaveThePool: who waits, and who holds, takes no connection from those who read and write.
func TestLocksLeaveThePool(t *testing.T) {
	db := open(t, postgres.URL(t))
	l := locks(t, db)
	for i := range 40 {
		defer take(t, l, fmt.Sprint("service ", i))()
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var connections int
	if err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").Scan(
		&connections); err != nil || connections > 3 {
		t.Errorf("%d connections (%v), want one for the locks, and the pool's", connections, err)
	}
}

func TestLocksAfterALostConnection(t *testing.T) {
	url := postgres.URL(t)
	db := open(t, url)
	l, other := locks(t, db), locks(t, open(t, url))
	release := take(t, l, "lark")
	if _, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() " +
		"AND pid <> pg_backend_pid() AND query LIKE 'SELECT pg_try_advisory_lock%'"); err != nil {
		t.Fatal(err)
	}
	second := take(t, other, "lark") // passed on
	take(t, l, "mill")()             // on a new connection
	release()                        // of what was lost: it must not end the other's
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, "lark"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v while the other has it", err)
	}
	second()
	take(t, l, "lark")()
}

func TestLocksEndWithTheDatabase(t *testing.T) {
	db := open(t, postgres.URL(t))
	l := locks(t, db)
	take(t, l, "lark")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Acquire(t.Context(), "lark2"); err == nil {
		t.Error("a lock was taken after the end")
	}
	take(t, locks(t, db), "lark")()
}

// lockChild makes TestLocksOfADeadProcess the process that dies with a lock.
const lockChild = "SALLYPORT_TEST_LOCK_CHILD"

func TestLocksOfADeadProcess(t *testing.T) {
	if url := os.Getenv(lockChild); url != "" {
		take(t, locks(t, open(t, url)), "lark")
		fmt.Println("\ntaken")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	url := postgres.URL(t)
	child := exec.Command(os.Args[0], "-test.run=^TestLocksOfADeadProcess$")
	child.Env = append(os.Environ(), lockChild+"="+url)
	in, errIn := child.StdinPipe()
	out, errOut := child.StdoutPipe()
	if err := errors.Join(errIn, errOut, child.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "taken" {
		continue
	}
	l := locks(t, open(t, url))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, "lark"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v while the child has the lock", err)
	}
	if err := child.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = child.Wait()
	take(t, l, "lark")()
}

// TestLocksOfAHungProcess: who has a lock and is not heard of any more, alive or not, loses it.
func TestLocksOfAHungProcess(t *testing.T) {
	url := postgres.URL(t)
	hung, other := locks(t, open(t, url)), locks(t, open(t, url))
	hung.SetIdle(300 * time.Millisecond)
	release := take(t, hung, "lark")
	second := take(t, other, "lark")
	release() // it wakes up: the lock is the other's now
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := hung.Acquire(ctx, "lark"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v while the other has it", err)
	}
	second()
}

// TestLocksLeaveNoConnection: with no lock held there is no idle connection, which the server would end, and log.
func TestLocksLeaveNoConnection(t *testing.T) {
	db := open(t, postgres.URL(t))
	l := locks(t, db)
	one, two := take(t, l, "lark"), take(t, l, "mill")
	one()
	take(t, l, "kite")()
	two()
	const left = "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.02) WHERE datname = current_database() AND query " +
		"LIKE '%advisory%' AND pid <> pg_backend_pid()"
	n := 1
	for range 500 { // the server takes its time to notice
		if err := db.QueryRow(left).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if n != 0 {
		t.Errorf("%d connections are left", n)
	}
	take(t, l, "lark")()
}
