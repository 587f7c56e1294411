package app

import (
	"context"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/database"
)

// Names are what the database has names for.
type Names struct {
	Secrets []string // of the builtin store
	Tokens  []string
}

// NamesOf reads names, for a shell that completes a word: it opens no seal, makes no file and no table, and vouches for
// nothing. Where there is no database yet, there are none.
func NamesOf(ctx context.Context, c *config.Config) (n Names, err error) {
	where, err := databaseURL(c)
	if err != nil || strings.HasPrefix(where, "sqlite://") && !hasDatabase(c) {
		return n, err
	}
	db, err := database.Open(ctx, where)
	if err != nil {
		return n, err
	}
	defer db.Close() //nolint:errcheck // read only
	if n.Secrets, err = namesIn(ctx, db,
		"SELECT name FROM secret WHERE deleted = 0 AND length(name) <= 255 ORDER BY name LIMIT 10000"); err != nil {
		return n, err
	}
	n.Tokens, err = namesIn(ctx, db,
		"SELECT DISTINCT name FROM proxy_token WHERE length(name) <= 100 ORDER BY name LIMIT 10000")
	return n, err
}

func namesIn(ctx context.Context, db *database.DB, query string) (names []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read only
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
