package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/database"
	"sallyport/internal/localfile"
)

func databaseURL(c *config.Config) (string, error) {
	where, err := c.DatabaseURL(func(name string) ([]byte, error) { return localfile.Read(name, localfile.Small) })
	if err != nil || where != "" {
		return where, err
	}
	return "sqlite://" + filepath.Join(c.Data, "sallyport.db"), nil
}

// hasDatabase tells whether there is a SQLite database already. (Whether a PostgreSQL server has one can't be seen from
// here.)
func hasDatabase(c *config.Config) bool {
	where, err := databaseURL(c)
	path, isFile := strings.CutPrefix(where, "sqlite://")
	if err != nil || !isFile {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

func openDatabase(ctx context.Context, c *config.Config) (*database.DB, error) {
	dir, err := localfile.MakeDir(c.Data)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if err := dir.Close(); err != nil {
		return nil, err
	}
	where, err := databaseURL(c)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, where)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}
