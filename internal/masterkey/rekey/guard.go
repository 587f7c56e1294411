package rekey

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/database"
)

// guard refuses while n8n is at work: what it writes meanwhile would be under the old key, and what it holds in memory too.
func guard(ctx context.Context, db *database.DB, o Options) error {
	if o.Active {
		return nil
	}
	warnings, err := atWork(ctx, db, o)
	if err != nil || len(warnings) == 0 {
		return err
	}
	return fault.WithHint(fault.WithExit(fmt.Errorf("changing the master key: %s", strings.Join(warnings, "; ")), fault.ExitLocked),
		"stop every n8n process first, main, webhook and workers; a client that is none of n8n's is passed over with --even-if-active")
}

// maxSessions bounds how many sessions an error names.
const maxSessions = 5

// atWork lists the signs of n8n at work.
func atWork(ctx context.Context, db *database.DB, o Options) ([]string, error) {
	sessions, err := db.Sessions(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking who else uses the database: %w", err)
	}
	var warnings []string
	for i, s := range sessions {
		if i == maxSessions {
			warnings = append(warnings, fmt.Sprintf("and %d more", len(sessions)-i))
			break
		}
		warnings = append(warnings, "the database is in use by "+s.Who)
	}
	at, what, err := db.LastActivity(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking when n8n was last at work: %w", err)
	}
	if ago := o.Now().Sub(at); !at.IsZero() && ago < o.Quiet {
		warnings = append(warnings, fmt.Sprintf("n8n was at work %s ago (%s); it has to be quiet for %s", max(ago, 0).Round(time.Second), what, o.Quiet))
	}
	return warnings, nil
}
