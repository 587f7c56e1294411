package database

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Urgent is the topic that a Follower acts by before all others, and whose staleness is bounded: which tokens are
// accepted.
const Urgent = "tokens"

const (
	// reportEvery is how often a replica says that it is there, when there is no other news of it. On SQLite each time
	// is a write to the disk.
	reportEvery       = time.Second
	reportEverySQLite = 10 * time.Second
	// readAgain is how often the urgent topic is read whatever the numbers say: a change by hand, or by an older
	// version that is still running, has none.
	readAgain = 30 * time.Second
	// actTimeout is for the urgent topic; until it has succeeded nothing is fresh.
	actTimeout = 10 * time.Second
)

// Follower keeps one replica acting by what is in the database, and on the list of those that do.
//
// The rule that bounds how long a revoked token can be accepted: the replica is fresh until MaxStale after the
// beginning of the last look by which it saw and acted on every change of the urgent topic, and it is on the list
// before such a look begins. So when MaxStale has passed since a change, every replica acts by it or has stopped
// accepting; and who reads the list after a change finds there every replica that may accept on older knowledge.
//
// On PostgreSQL a look counts only if the replica could write as well: a server that has become a read-only standby
// answers reads with a past that does not end. SQLite's file is on this machine, and has no such double.
type Follower struct {
	DB       *DB
	Self     Replica
	MaxStale time.Duration
	// Act reads again what topic names, or everything but the urgent topic when it is "". When it returns nil, the next
	// request acts by it. It is called at once for the urgent topic, and meanwhile, one after the other, for the rest.
	Act func(ctx context.Context, topic string) error
	// Fresh is told, after each good look, from when on the urgent topic can have changed unseen.
	Fresh func(at time.Time)
	// Broke is told of a panic while acting; it is tried again after a pause. nil: nobody.
	Broke func(*fault.Panic)
	// Dead is told before replicas go off the list that have ended without a goodbye; nil: nobody. It may come twice.
	Dead func(context.Context) error
	// Failed is told why a topic could not be acted on; it is tried again.
	Failed func(topic string, err error)

	bell bell
	due  dues

	// Of the looks, which follow each other.
	on       *sql.Conn // of the last one
	version  int64     // SQLite's data_version there
	last     int64     // the highest number seen
	looked   bool      // whether there was one
	urgentAt time.Time // when the urgent topic was last read; zero: it has to be
	freshAt  time.Time // what Fresh was told
	claimed  time.Time // when the last report was begun that said how long this replica accepts
	reported time.Time // when the last report was begun
	said     report    // what it said
	unsaid   error     // why the last one could not be written, or nil
}

// Start registers the replica and acts on the urgent topic. After an error Run does it.
func (f *Follower) Start(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, watchConnect)
	defer cancel()
	conn, err := f.DB.Conn(connecting)
	if err != nil {
		return f.DB.failed(ctx, "connecting", err)
	}
	defer func() { _ = conn.Close() }()
	return f.look(ctx, conn, false)
}

// Run follows until ctx ends. Then the replica is off the list, if the database could be told.
func (f *Follower) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var working guard.Group
	working.Go("acting on changes", func() {
		guard.Loop(ctx, "acting on changes", func(ctx context.Context) { f.due.run(ctx, f.act, f.Hurry) }, f.broke)
	})
	defer working.Wait() // also after a panic: the next Run must not find this one's work
	defer stop()
	f.DB.watch(ctx, &f.bell, f.look)
	stop()
	working.Wait()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	_ = f.DB.unregister(leaving, f.Self.ID) // or it is forgotten later
}

func (f *Follower) broke(why *fault.Panic) {
	if f.Broke != nil {
		f.Broke(why)
	}
}

// Hurry has the next look taken now.
func (f *Follower) Hurry() { f.bell.ring() }

// act acts on a topic that is not urgent.
func (f *Follower) act(ctx context.Context, topic string) error {
	name := topic
	if topic == everything {
		name = ""
	}
	err := f.Act(ctx, name)
	f.failed(ctx, name, err)
	return err
}

func (f *Follower) failed(ctx context.Context, topic string, err error) {
	if err != nil && ctx.Err() == nil && f.Failed != nil {
		f.Failed(topic, err)
	}
}

// look is one look at the database.
func (f *Follower) look(ctx context.Context, on *sql.Conn, lost bool) error {
	began := time.Now()
	if err := f.read(ctx, on, lost); err != nil {
		return err
	}
	unread := f.actUrgent(ctx, began)
	// SQLite's disk may be full: then nobody can revoke a token there either.
	if err := f.say(ctx, on, unread == nil); err != nil && f.DB.Dialect == PostgreSQL {
		return err
	}
	if unread == nil {
		f.freshAt = began
		f.Fresh(began)
	}
	f.DB.heard(cmp.Or(unread, f.unsaid))
	return nil
}

// read makes sure that the replica is on the list, and finds out what has changed.
func (f *Follower) read(ctx context.Context, on *sql.Conn, lost bool) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := f.enlist(ctx, on); err != nil && (f.DB.Dialect == PostgreSQL || !f.looked) {
		return err
	}
	if f.DB.Dialect == SQLite {
		if err := f.DB.inPlace(); err != nil {
			return err
		}
		version, err := dataVersion(ctx, on)
		if err != nil {
			return fmt.Errorf("looking for changes: %w", Explain(err))
		}
		if f.looked && f.on == on && f.version == version {
			return nil
		}
		f.version = version
	}
	last, topics, err := changes(ctx, on, f.last)
	if err != nil {
		return err
	}
	if lost || !f.looked || last < f.last { // numbers that went back: another database, such as a restored one
		topics = []string{Urgent, everything}
	}
	f.on, f.last, f.looked = on, last, true
	if slices.Contains(topics, Urgent) {
		f.urgentAt = time.Time{}
	}
	f.due.add(slices.DeleteFunc(topics, func(topic string) bool { return topic == Urgent }))
	return nil
}

// enlist puts the replica on the list before it can become fresh, unless it is known to be there still.
func (f *Follower) enlist(ctx context.Context, on *sql.Conn) error {
	if !f.claimed.IsZero() && time.Since(f.claimed) < f.MaxStale {
		return nil
	}
	if err := f.DB.bury(ctx, on, &f.Self, f.Dead); err != nil {
		return err
	}
	return f.report(ctx, on, report{behind: []string{everything, Urgent}, accepts: f.claim()})
}

// claim is how long a report says that the replica may accept: until the next report is due it can become fresh without
// one.
func (f *Follower) claim() time.Duration { return f.MaxStale + f.reportEvery() }

func (f *Follower) reportEvery() time.Duration {
	if f.DB.Dialect == SQLite {
		return reportEverySQLite
	}
	return reportEvery
}

// actUrgent acts on the urgent topic if that is due, and returns why something of it is left undone.
func (f *Follower) actUrgent(ctx context.Context, began time.Time) error {
	if !f.urgentAt.IsZero() && began.Sub(f.urgentAt) < readAgain {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	if err := f.Act(ctx, Urgent); err != nil {
		f.failed(context.WithoutCancel(ctx), Urgent, err)
		f.urgentAt = time.Time{}
		return err
	}
	f.urgentAt = began
	return nil
}

// say reports what the replica acts by, if that is news or due.
func (f *Follower) say(ctx context.Context, on *sql.Conn, fresh bool) error {
	r := report{acted: f.last, behind: f.due.topics()}
	switch {
	case fresh:
		r.accepts = f.claim()
	case time.Since(f.freshAt) < f.MaxStale:
		r.behind, r.keep = append(r.behind, Urgent), true
	default:
		r.behind = append(r.behind, Urgent) // it has stopped accepting
	}
	if r.acted == f.said.acted && slices.Equal(r.behind, f.said.behind) && time.Since(f.reported) < f.reportEvery() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return f.report(ctx, on, r)
}

func (f *Follower) report(ctx context.Context, on *sql.Conn, r report) error {
	began := time.Now()
	if f.unsaid = f.DB.register(ctx, on, &f.Self, r); f.unsaid != nil {
		return f.unsaid
	}
	f.said, f.reported = r, began
	if r.accepts > 0 {
		f.claimed = began
	}
	return nil
}
