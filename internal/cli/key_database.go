package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/localfile"
	"sallyport/internal/n8n/database"
)

// n8nDatabase is n8n's database as flags name it.
type n8nDatabase struct {
	options database.Options
	file    string // holds the address
}

func (d *n8nDatabase) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.options.URL, "database", "", "n8n's database: sqlite:///PATH, postgres://… or mysql://…")
	f.StringVar(&d.file, "database-file", "",
		"file with the address of n8n's database, with its password (or PGPASSWORD)")
	f.StringVar(&d.options.TablePrefix, "table-prefix", "", "n8n's DB_TABLE_PREFIX")
	f.StringVar(&d.options.Schema, "schema", "", "n8n's DB_POSTGRESDB_SCHEMA (default public)")
}

func (d *n8nDatabase) named() bool { return d.options.URL+d.file != "" }

// openDatabase opens n8n's database.
func (e *env) openDatabase(ctx context.Context, d n8nDatabase, write bool) (*database.DB, error) {
	o, err := e.databaseOptions(d)
	if err != nil {
		return nil, err
	}
	o.Write = write
	return database.Open(ctx, o)
}

// databaseOptions says which database it is. An argument is seen by every process: one with a password in it is taken,
// and talked of.
func (e *env) databaseOptions(d n8nDatabase) (database.Options, error) {
	o := d.options
	switch {
	case o.URL != "" && d.file != "":
		return o, usage(errors.New("--database and --database-file are two databases"), "keep one")
	case d.file != "":
		content, err := localfile.Read(d.file, localfile.Small)
		if err != nil {
			return o, fmt.Errorf("reading --database-file: %w", err)
		}
		o.URL = strings.TrimSpace(string(content))
	case o.URL == "":
		return o, usage(errors.New("which database?"),
			"name n8n's with --database: sqlite:///PATH, postgres://… or mysql://…")
	}
	if u, err := url.Parse(d.options.URL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			e.note("the password in --database can be read by every process of this machine: --database-file FILE " +
				"keeps it from them")
		}
	}
	return o, nil
}
