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

// server is a PostgreSQL of its own.
type server struct {
	*backing.Postgres
	schema, folder string
}

func openServer(ctx context.Context, r Recipe, tools string) (store, error) {
	programs, err := installed(ctx, tools, "postgres")
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "n8n-record-postgres-")
	if err != nil {
		return nil, err
	}
	s := &server{schema: r.Schema, folder: folder}
	if s.Postgres, err = backing.StartPostgres(ctx, programs, folder, account, password); err != nil {
		return nil, err
	}
	if r.Schema != "" {
		statement := fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s;\n", r.Schema, account)
		if err := s.Execute(ctx, account, statement); err != nil {
			s.Down()
			return nil, err
		}
	}
	return s, nil
}

func (s *server) Settings() []string {
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
func (s *server) Pack(ctx context.Context) ([]byte, error) {
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

func (s *server) Down() {
	s.Postgres.Down()
	os.RemoveAll(s.folder)
}
