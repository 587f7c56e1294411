package database

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"sallyport/internal/pause"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	lockAgain = 100 * time.Millisecond // how often a lock that another process has is tried, give or take a half
	lockReply = 10 * time.Second       // how long the server may take to say who has a lock
	lockIdle  = 3 * time.Minute        // how long the server waits for who has a lock; longer than anybody has one
)

// Locks are locks by name of which one holder at a time has each, of this process and, on PostgreSQL, of all that use
// the database. All of a process belong to one connection that is made for them: the pool is not used up by who waits,
// and if the process dies, or loses the connection, the server gives them to others. On SQLite they are this process's
// alone.
//
// So are the locks of a process that hangs, and of a machine that is gone without a word, which the server would take
// for alive for hours: after lockIdle.
//
// So a lock can be lost unnoticed; what it guards has to bear two holders. It is safe for concurrent use. Close ends
// it.
type Locks struct {
	db *DB

	mu    sync.Mutex
	local map[string]*local

	wire    chan struct{} // holds a token while the connection is used
	session *pgx.Conn     // nil: none is open; used with wire held
	held    int           // locks of session; with wire held
	idle    time.Duration
	closed  bool // with wire held
}

// undefinedObject is PostgreSQL's code for a setting that it does not know.
const undefinedObject = "42704"

var errLocksClosed = errors.New("the locks are closed")

// local is the queue within this process.
type local struct {
	turn chan struct{}
	wait int // holders and waiters, with mu held: nobody needs it at 0
}

// NewLocks returns Locks that connect when the first is taken.
func (db *DB) NewLocks() *Locks {
	return &Locks{db: db, local: make(map[string]*local), wire: make(chan struct{}, 1), idle: lockIdle}
}

// Acquire waits for the lock until ctx ends. release gives it back, and may be called more than once.
func (l *Locks) Acquire(ctx context.Context, name string) (release func(), err error) {
	leave, err := l.queue(ctx, name)
	if err != nil {
		return nil, err
	}
	if l.db.Dialect == SQLite {
		return leave, nil
	}
	session, err := l.claim(ctx, lockID(name))
	if err != nil {
		leave()
		return nil, fmt.Errorf("taking the lock %q in %s: %w", name, l.db.Where, Explain(err))
	}
	return sync.OnceFunc(func() {
		l.giveBack(context.WithoutCancel(ctx), session, lockID(name))
		leave()
	}), nil
}

// queue waits for the others of this process: a connection gets a lock that it has already.
func (l *Locks) queue(ctx context.Context, name string) (leave func(), err error) {
	l.mu.Lock()
	q := l.local[name]
	if q == nil {
		q = &local{turn: make(chan struct{}, 1)}
		l.local[name] = q
	}
	q.wait++
	l.mu.Unlock()
	out := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if q.wait--; q.wait == 0 {
			delete(l.local, name)
		}
	}
	select {
	case q.turn <- struct{}{}:
		return sync.OnceFunc(func() { <-q.turn; out() }), nil
	case <-ctx.Done():
		out()
		return nil, context.Cause(ctx)
	}
}

// claim tries again and again: a connection that waited on the server would wait for one lock only.
func (l *Locks) claim(ctx context.Context, id int64) (*pgx.Conn, error) {
	for {
		session, got, err := l.try(ctx, id)
		if err != nil || got {
			return session, err
		}
		if pause.For(ctx, lockAgain/2+rand.N(lockAgain)) != nil { //nolint:gosec // nothing secret depends on it
			return nil, context.Cause(ctx)
		}
	}
}

func (l *Locks) try(ctx context.Context, id int64) (session *pgx.Conn, got bool, err error) {
	done, err := l.use(ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	// The end of the caller's context must not end the connection, to which the locks of others belong.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockReply)
	defer cancel()
	fresh := l.session == nil
	for {
		if err := l.connect(asking); err != nil {
			return nil, false, err
		}
		err = l.session.QueryRow(asking, "SELECT pg_try_advisory_lock($1)", id).Scan(&got)
		if err == nil {
			if got {
				l.held++
			}
			return l.session, got, nil
		}
		l.hangUp(asking)
		if fresh {
			return nil, false, withoutPassword(err, l.db.postgres.Password)
		}
		fresh = true // it may have been dead for long: once more on a new one
	}
}

// use waits for the connection; done gives it to the next.
func (l *Locks) use(ctx context.Context) (done func(), err error) {
	select {
	case l.wire <- struct{}{}:
		return func() { <-l.wire }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *Locks) connect(ctx context.Context) error {
	switch {
	case l.closed:
		return errLocksClosed
	case l.session != nil:
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, l.db.postgres.Copy())
	if err != nil {
		return withoutPassword(err, l.db.postgres.Password)
	}
	l.session, l.held = conn, 0
	_, err = conn.Exec(ctx, fmt.Sprintf("SET idle_session_timeout = %d", l.idle.Milliseconds()))
	if tooOld, ok := errors.AsType[*pgconn.PgError](err); ok && tooOld.Code == undefinedObject {
		return nil // PostgreSQL 13 has no such limit
	}
	if err != nil {
		l.hangUp(ctx)
	}
	return err
}

func (l *Locks) hangUp(ctx context.Context) {
	if l.session != nil {
		_ = l.session.Close(ctx)
		l.session = nil
	}
}

// giveBack ends the lock. If the server cannot be told, it learns of it by the end of the connection.
func (l *Locks) giveBack(ctx context.Context, session *pgx.Conn, id int64) {
	ctx, cancel := context.WithTimeout(ctx, lockReply)
	defer cancel()
	done, err := l.use(ctx)
	if err != nil {
		return
	}
	defer done()
	if l.session != session {
		return // it was lost with its connection
	}
	_, err = session.Exec(ctx, "SELECT pg_advisory_unlock($1)", id)
	if l.held--; err != nil || l.held == 0 { // before the server does, and says so in its log
		l.hangUp(ctx)
	}
}

// Close hangs up, which gives all locks back. No more can be taken.
func (l *Locks) Close() error {
	l.wire <- struct{}{} // each use of it is soon over
	defer func() { <-l.wire }()
	l.closed = true
	if l.session == nil {
		return nil
	}
	err := l.session.PgConn().Conn().Close()
	l.session = nil
	return err
}
