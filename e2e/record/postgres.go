package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"sallyport/e2e/backing"
)

// Role and database of n8n.
const account, password = "n8n", "recorded"

// postgresServer is a PostgreSQL of its own.
type postgresServer struct {
	*backing.Postgres
	schema, folder string
}

func openPostgres(ctx context.Context, r Recipe, tools string, packed []byte) (store, error) {
	programs, err := installed(ctx, tools, "postgres")
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "n8n-record-postgres-")
	if err != nil {
		return nil, err
	}
	s := &postgresServer{schema: r.Schema, folder: folder}
	if s.Postgres, err = backing.StartPostgres(ctx, programs, folder, account, password); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	statements := string(packed)
	switch {
	case packed != nil: // as the role that n8n comes as, so that all is its own
		statements = "SET SESSION AUTHORIZATION " + account + ";\n" + statements
	case r.Schema != "":
		statements = fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s;\n", r.Schema, account)
	}
	if err := s.Execute(ctx, account, statements); err != nil {
		s.Down()
		return nil, err
	}
	return s, nil
}

func (s *postgresServer) Settings() []string {
	settings := []string{
		"DB_TYPE=postgresdb", "DB_POSTGRESDB_HOST=127.0.0.1", "DB_POSTGRESDB_PORT=" + s.Port,
		"DB_POSTGRESDB_DATABASE=" + account, "DB_POSTGRESDB_USER=" + account, "DB_POSTGRESDB_PASSWORD=" + password,
	}
	if s.schema != "" {
		settings = append(settings, "DB_POSTGRESDB_SCHEMA="+s.schema)
	}
	return settings
}

// Pack leaves out what psql alone understands: one Exec can load the rest.
func (s *postgresServer) Pack(ctx context.Context) ([]byte, error) {
	dump, err := s.Dump(ctx, account, "--no-owner", "--no-privileges", "--no-comments", "--rows-per-insert=100")
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for line := range strings.Lines(string(dump)) {
		if !strings.HasPrefix(line, `\restrict `) && !strings.HasPrefix(line, `\unrestrict `) {
			b.WriteString(line)
		}
	}
	return []byte(b.String()), nil
}

func (s *postgresServer) Down() {
	s.Postgres.Down()
	os.RemoveAll(s.folder)
}
