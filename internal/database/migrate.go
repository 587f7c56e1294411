package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"sallyport/internal/fault"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable holds which migrations have run; n8n or another program may keep goose's default table in the same
// database.
const versionTable = "sallyport_schema"

// Migrate brings the tables up to date. Several processes may call it at once: one works, the others wait and find it
// done. A database that a newer Sallyport has migrated is refused. There is no way back but a backup.
func (db *DB) Migrate(ctx context.Context) error {
	unlock, err := db.lockMigrations(ctx)
	if err != nil {
		return fmt.Errorf("migrating %s: waiting for other processes: %w", db.Where, Explain(err))
	}
	err = db.migrate(ctx)
	if errUnlock := unlock(); err == nil {
		err = errUnlock
	}
	if err != nil {
		return fmt.Errorf("migrating %s: %w", db.Where, Explain(err))
	}
	return nil
}

func (db *DB) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	dialect := goose.DialectPostgres
	if db.Dialect == SQLite {
		dialect = goose.DialectSQLite3
	}
	provider, err := goose.NewProvider(dialect, db.DB, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return fault.WithHint(fmt.Errorf("the database is at version %d and this Sallyport knows up to %d", current,
			known),
			"run the Sallyport that migrated it or a newer one, or restore the backup from before the upgrade")
	}
	_, err = provider.Up(ctx)
	// What goose says beside the database's own error ("transaction has already been committed or rolled back") only
	// follows from it.
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite
	}
	return err
}
