package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/database"
	"sallyport/internal/fault"
	"sallyport/internal/pause"
)

// Changed has all replicas act by a change that is in the database, beginning with the gate that runs here, and waits
// for it. Those that did not confirm it in time are named by an UnconfirmedError. A replica that is gone is not waited
// for: after max_stale without the database it accepts no token.
func (s *State) Changed(ctx context.Context, topic string) error {
	none, err := s.tell(ctx, topic)
	return errors.Join(err, s.confirmed(ctx, topic, none))
}

// StoreChanged is Changed for the secrets of a store.
func (s *State) StoreChanged(ctx context.Context, name string) error {
	if slices.Contains(s.stores.builtins(), name) {
		return s.Changed(ctx, topicSecrets)
	}
	// The database has no part in it, but its numbers are how other replicas hear of it.
	if err := s.DB.Notify(ctx, topicStore+name); err != nil {
		return err
	}
	return s.Changed(ctx, topicStore+name)
}

// tell has the gate that runs on this data directory act by a change, and returns when it does. Without one there is
// nobody to tell.
func (s *State) tell(ctx context.Context, topic string) (none bool, err error) {
	err = s.control().post(ctx, "/refresh/"+url.PathEscape(topic), nil)
	if errors.Is(err, errNoGate) {
		return true, nil
	}
	return false, err
}

const (
	confirmFirst   = 10 * time.Millisecond // how soon the replicas are looked at again
	confirmLongest = 200 * time.Millisecond
)

// confirmed waits until every replica acts by the latest change of topic, or accepts no token any more. With none, a
// replica that is registered for this data directory is a process that was killed: no gate answers here.
func (s *State) confirmed(ctx context.Context, topic string, none bool) error {
	seq, err := s.DB.Seq(ctx, topic)
	if err != nil {
		return err
	}
	home := ""
	if none {
		home = homeOf(s.Config.Data)
	}
	began := time.Now()
	for between := confirmFirst; ; between = min(2*between, confirmLongest) {
		members, err := s.DB.Members(ctx)
		if err != nil {
			return err
		}
		late, stopped, all := sortOut(members, topic, seq, home)
		waited := time.Since(began)
		switch {
		case len(late) == 0:
			s.noteStopped(stopped)
			return nil
		case waited >= s.Wait:
			s.noteStopped(stopped)
			return fault.WithExit(&UnconfirmedError{Replicas: late, All: all, Waited: s.Wait}, fault.ExitUnconfirmed)
		}
		if pause.For(ctx, min(between, s.Wait-waited)) != nil {
			return context.Cause(ctx)
		}
	}
}

// sortOut tells which members do not act by a change yet, and which have stopped accepting.
func sortOut(members []database.Member, topic string, seq int64, gone string) (late,
	stopped []database.Member, all int,
) {
	for i := range members {
		m := &members[i]
		switch {
		case gone != "" && m.Home == gone:
		case m.ActsBy(topic, seq):
			all++
		case m.Accepts <= 0:
			stopped = append(stopped, *m)
		default:
			all++
			late = append(late, *m)
		}
	}
	return late, stopped, all
}

func (s *State) noteStopped(stopped []database.Member) {
	for i := range stopped {
		if s.Noted != nil {
			s.Noted("replica " + called(&stopped[i]) + " is not waited for: without the database for so long it " +
				"accepts no token")
		}
	}
}

// UnconfirmedError tells that a change is in the database, and which replicas were not seen to act by it. It exits with
// 13.
type UnconfirmedError struct {
	Replicas []database.Member
	All      int // of those that are waited for
	Waited   time.Duration
}

// Unconfirmed implements proxytoken.Unconfirmed.
func (*UnconfirmedError) Unconfirmed() bool { return true }

// Error names the replicas.
func (u *UnconfirmedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the change is made, but %d of %d replicas did not confirm it within %s:",
		len(u.Replicas), u.All, u.Waited)
	for i := range u.Replicas {
		m := &u.Replicas[i]
		fmt.Fprintf(&b, "\nreplica %s may act by the old state for %s more, then it stops accepting tokens by itself",
			called(m), m.Accepts.Round(time.Second))
	}
	return b.String()
}

// Hint says what to do.
func (u *UnconfirmedError) Hint() string {
	longest := time.Duration(0)
	for i := range u.Replicas {
		longest = max(longest, u.Replicas[i].Accepts)
	}
	return "see that it reaches the database, or stop it; the same command with --wait " +
		(longest.Round(time.Second) + 5*time.Second).String() + " waits until it is certain"
}

// called is how a replica is called to people.
func called(m *database.Member) string {
	return fmt.Sprintf("%s on %s at %s (last seen %s ago)", printable(m.ID), printable(m.Host), printable(m.Address),
		m.Seen.Round(time.Second))
}

// printable escapes what a terminal would act on: whoever can write the database chooses these names.
func printable(s string) string { return strings.Trim(fmt.Sprintf("%+q", s), `"`) }

// homeOf names a data directory, which one gate at a time has, over all containers of a machine and until that starts
// again.
func homeOf(data string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // not Linux: a gate that was killed is waited for until it counts as gone
	}
	info, err := os.Stat(data)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", boot, stat.Dev, stat.Ino))
	return hex.EncodeToString(sum[:16])
}
