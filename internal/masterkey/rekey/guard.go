package rekey

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/database"
	"sallyport/internal/pause"
)

// refuseAtWork refuses while n8n is at work: what it writes meanwhile would be under the old key, and what it holds in
// memory too.
func refuseAtWork(ctx context.Context, db *database.DB, o Options) error {
	if o.Active {
		return nil
	}
	warnings, err := atWork(ctx, db, o)
	if err != nil || len(warnings) == 0 {
		return err
	}
	return busy(warnings)
}

// guardAgain looks at the last moment: an n8n that was started meanwhile has read the old key, and would write under
// it.
func guardAgain(ctx context.Context, db *database.DB, o Options) error {
	if o.Active {
		return nil
	}
	warnings, err := others(ctx, db)
	switch {
	case fault.ExitOf(err) == fault.ExitLocked:
		return nil // SQLite with a rollback journal: nobody can read the file but this transaction
	case err != nil || len(warnings) == 0:
		return err
	}
	return busy(warnings)
}

func busy(warnings []string) error {
	return fault.WithHint(fault.WithExit(fmt.Errorf("changing the master key: %s",
		strings.Join(warnings, "; ")), fault.ExitLocked),
		"stop every n8n process first, main, webhook and workers; a client that is none of n8n's is passed over with "+
			"--even-if-active")
}

// maxSessions bounds how many sessions an error names.
const maxSessions = 5

// atWork lists the signs of n8n at work.
func atWork(ctx context.Context, db *database.DB, o Options) ([]string, error) {
	warnings, err := others(ctx, db)
	if err != nil {
		return nil, err
	}
	at, what, err := db.LastActivity(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking when n8n was last at work: %w", err)
	}
	if ago := o.Now().Sub(at); !at.IsZero() && ago < o.Quiet {
		warnings = append(warnings, fmt.Sprintf("n8n was at work %s ago (%s); it has to be quiet for %s",
			max(ago, 0).Round(time.Second), what, o.Quiet))
	}
	return warnings, nil
}

const (
	looks     = 4
	lookAgain = 250 * time.Millisecond
)

// others lists who else is connected. A server notices only after a moment that a client has gone, so that it looks
// again.
func others(ctx context.Context, db *database.DB) (warnings []string, err error) {
	for look := 1; ; look++ {
		sessions, err := db.Sessions(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking who else uses the database: %w", err)
		case len(sessions) == 0 || look == looks:
			return named(sessions), nil
		}
		if err := pause.For(ctx, lookAgain); err != nil {
			return nil, err
		}
	}
}

func named(sessions []database.Session) (warnings []string) {
	for i, s := range sessions {
		if i == maxSessions {
			return append(warnings, fmt.Sprintf("and %d more", len(sessions)-i))
		}
		warnings = append(warnings, "the database is in use by "+s.Who)
	}
	return warnings
}
